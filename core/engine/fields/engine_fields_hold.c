/* engine_fields_hold.c - the metadata and text of the first rows of a segment, held for whoever writes a
 * file: blocks of 65,536 rows and images, whatever is built meanwhile.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

/* ---- Rows ---------------------------------------------------------------------------------------- */
void om_fields_drop_rows(om_segment *seg, om_span_rows *r)
{
    om_alloc_put(&seg->rt->alloc, r->meta, r->count * sizeof *r->meta, OM_CACHE_LINE);
    om_alloc_put(&seg->rt->alloc, r->text, r->count * sizeof *r->text, OM_CACHE_LINE);
    r->meta = NULL;
    r->text = NULL;
}

/* Where the rows lie; the directory is kept by a context only as long as it is read. build_mu held. */
omen_status_t om_fields_take_rows(om_segment *seg, uint32_t first, uint32_t end, om_span_rows *r,
                                  omen_error *err)
{
    om_fields_look look;
    om_ctx *ctx = NULL;
    const om_alloc *alloc = &seg->rt->alloc;
    *r = (om_span_rows){.first = first, .count = end - first};
    r->meta = om_alloc_get(alloc, r->count * sizeof *r->meta, OM_CACHE_LINE);
    r->text = om_alloc_get(alloc, r->count * sizeof *r->text, OM_CACHE_LINE);
    omen_status_t status = OMEN_OK;
    if (r->meta == NULL || r->text == NULL) {
        status = om_fail_memory(err, "rows of metadata", r->count * 2 * sizeof *r->meta);
    } else {
        status = om_ctx_acquire(seg->rt, &ctx, err);
    }
    if (status != OMEN_OK) {
        om_fields_drop_rows(seg, r);
        return status;
    }
    om_ctx_pin(seg->rt, ctx);
    om_fields_look_at(seg, end, &look);
    for (uint32_t i = 0; i < r->count; i++) {
        r->meta[i] = om_fields_meta_row(&look, first + i);
        r->text[i] = om_fields_text_row(&look, first + i);
        r->any_meta = r->any_meta || r->meta[i] != NULL;
        r->any_text = r->any_text || r->text[i] != NULL;
    }
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    return OMEN_OK;
}

/* ---- Metadata ------------------------------------------------------------------------------------ */
typedef struct holding {
    om_segment *seg;
    om_fields_look look; /* of the rows that are wanted; the epoch is pinned */
    om_parts_list *list;
    const om_stop *stop;
} holding;

static omen_status_t stopped(const holding *h, omen_error *err)
{
    omen_status_t status = om_stop_check(h->stop);
    return status == OMEN_OK
               ? OMEN_OK
               : om_fail(err, status, OMEN_D_NONE, "stopped while metadata was put together");
}

/* Rows [begin, end) as a block of their own, from whatever has them. */
static omen_status_t build_rows(holding *h, uint32_t begin, uint32_t end,
                                struct om_meta_block **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &h->seg->rt->alloc;
    om_bytes scratch = {.alloc = alloc};
    om_metabuild *build = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    bool any = false;
    OM_TRY(om_metabuild_create(alloc, h->seg->c->schema, &build, err));
    for (uint32_t slot = begin; slot < end; slot++) {
        const uint8_t *row = NULL;
        OM_TRY(om_fields_row(&h->look, slot, &scratch, &row, err));
        OM_TRY(om_metabuild_add(build, row != NULL ? row : om_meta_empty, err));
        any = any || row != NULL;
    }
    if (any) {
        OM_TRY(om_metabuild_finish(build, &bytes, &size, err));
        OM_TRY(om_meta_block_make(alloc, h->seg->c->schema, bytes, size, out, err));
        bytes = NULL;
    }
out:
    if (bytes != NULL) {
        om_alloc_put(alloc, bytes, size, OM_CACHE_LINE);
    }
    if (scratch.data != NULL) {
        om_bytes_free(&scratch);
    }
    om_metabuild_free(build);
    return status;
}

static omen_status_t hold_meta(holding *h, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_parts *parts = h->look.parts;
    for (uint32_t begin = 0, i = 0; begin < h->look.rows; begin += OM_FULL_ROWS) {
        uint32_t end = (uint32_t)om_min_u64((uint64_t)begin + OM_FULL_ROWS, h->look.rows);
        OM_TRY(stopped(h, err));
        while (i < parts->meta_count && parts->meta[i].first < begin) {
            i++;
        }
        const om_meta_part *part = i < parts->meta_count ? &parts->meta[i] : NULL;
        if (part != NULL && part->first == begin && part->rows == end - begin) {
            const om_metablock *open = NULL;
            if (!part->none) {
                OM_TRY(om_fields_block(&h->look, i, &open, err));
            }
            om_parts_add_meta(h->list, part->rows, part->holder);
            continue;
        }
        struct om_meta_block *made = NULL;
        OM_TRY(build_rows(h, begin, end, &made, err));
        om_parts_add_meta(h->list, end - begin, made);
        om_meta_block_unref(made);
    }
out:
    return status;
}

/* ---- Text ------------------------------------------------------------------------------------------ */
/* The first `count` rows of an image. */
static omen_status_t cut_image(holding *h, const om_textimage *image, uint32_t count,
                               struct om_text_image **out, omen_error *err)
{
    const om_alloc *alloc = &h->seg->rt->alloc;
    uint32_t all = om_textimage_rows(image);
    size_t words = ((size_t)all + 63) / 64;
    uint64_t *drop = om_alloc_zero(alloc, words, sizeof *drop, OM_CACHE_LINE);
    if (drop == NULL) {
        return om_fail_memory(err, "image of text", words * sizeof *drop);
    }
    for (uint32_t i = count; i < all; i++) {
        drop[i >> 6] |= UINT64_C(1) << (i & 63);
    }
    const uint64_t *const drops[1] = {drop};
    const om_text_merge merge = {.images = &image, .drop = drops, .count = 1, .stop = h->stop};
    omen_status_t status = om_fields_merge_images(h->seg->c, &merge, out, err);
    om_alloc_put(alloc, drop, words * sizeof *drop, OM_CACHE_LINE);
    return status;
}

static omen_status_t hold_image(holding *h, uint32_t i, omen_error *err)
{
    const om_text_part *part = &h->look.parts->text[i];
    const om_textimage *image = NULL;
    struct om_text_image *made = NULL;
    uint32_t count = om_min_u32(part->rows, h->look.rows - part->first);
    if (part->none) {
        om_parts_add_text(h->list, count, NULL);
        return OMEN_OK;
    }
    omen_status_t status = om_fields_image(&h->look, i, &image, err);
    if (status == OMEN_OK && count != part->rows) {
        status = cut_image(h, image, count, &made, err);
    }
    if (status == OMEN_OK) {
        om_parts_add_text(h->list, count, made != NULL ? made : part->holder);
    }
    om_text_image_unref(made);
    return status;
}

static omen_status_t hold_text(holding *h, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    struct om_text_image *made = NULL;
    const om_parts *parts = h->look.parts;
    om_span_rows rest = {.count = 0};
    for (uint32_t i = 0; i < parts->text_count && parts->text[i].first < h->look.rows; i++) {
        OM_TRY(stopped(h, err));
        OM_TRY(hold_image(h, i, err));
    }
    uint32_t begin = h->list->parts.text_covered;
    if (begin < h->look.rows) {
        OM_TRY(om_fields_take_rows(h->seg, begin, h->look.rows, &rest, err));
        if (rest.any_text) {
            OM_TRY(om_fields_build_image(h->seg->c, rest.text, rest.count, &made, err));
        }
        om_parts_add_text(h->list, rest.count, made);
    }
out:
    om_text_image_unref(made);
    om_fields_drop_rows(h->seg, &rest);
    return status;
}

/* ---- Both ------------------------------------------------------------------------------------------ */
/* build_mu held: parts and single rows stay as they are. */
static omen_status_t hold(om_segment *seg, uint32_t rows, const om_stop *stop, om_parts_list **out,
                          omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_ctx *ctx = NULL;
    holding h = {.seg = seg, .stop = stop};
    OM_TRY(om_ctx_acquire(seg->rt, &ctx, err));
    om_ctx_pin(seg->rt, ctx);
    om_fields_look_at(seg, rows, &h.look);
    OM_TRY(om_parts_make(&seg->rt->alloc, rows / OM_FULL_ROWS + 1, h.look.parts->text_count + 1,
                         &h.list, err));
    OM_TRY(hold_meta(&h, err));
    OM_TRY(hold_text(&h, err));
    *out = h.list;
    h.list = NULL;
out:
    if (ctx != NULL) {
        om_ctx_unpin(ctx);
        om_ctx_release(ctx);
    }
    om_parts_free(&seg->rt->alloc, h.list);
    return status;
}

omen_status_t om_fields_hold(om_segment *seg, uint32_t rows, const om_stop *stop,
                             om_parts_list **out, omen_error *err)
{
    om_fields *fields = om_fields_of(seg);
    *out = NULL;
    if (fields == NULL || rows == 0) {
        return OMEN_OK;
    }
    om_mutex_lock(&fields->build_mu);
    omen_status_t status = hold(seg, rows, stop, out, err);
    om_mutex_unlock(&fields->build_mu);
    return status;
}
