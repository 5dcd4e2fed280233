/* engine_fields_build.c - single rows become blocks and images, in the background.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Borders are slot numbers: 4,096 rows at first, which sixteen at a time become 65,536. When that many
 * wait they become one at once. Meta rows stay until they are in a block of 65,536, which is made of them;
 * text rows go as soon as they are in an image, as images can be merged. One thread builds at a time
 * (build_mu); rows that it is given stay, as nobody else frees them. */
#include <string.h>

#include "engine_fields_int.h"

enum { RIPE_ROWS = 4 * OM_SUB_ROWS };
#define QUIET_NS UINT64_C(20000000)

/* ---- What to build ------------------------------------------------------------------------------ */
typedef struct span {
    uint32_t begin, end; /* of the block */
    uint32_t covered;    /* rows from here on are in no block yet; >= begin */
} span;

static uint32_t full_begin(uint32_t slot)
{
    return slot / OM_FULL_ROWS * OM_FULL_ROWS;
}

/* The next block, if there are rows for it; all: also a short one, as no more rows come. */
static bool next_span(uint32_t covered, uint32_t visible, bool all, span *out)
{
    uint32_t begin = full_begin(covered);
    uint64_t border = (uint64_t)begin + OM_FULL_ROWS;
    *out = (span){.begin = begin, .covered = covered};
    if (covered >= visible) {
        return false;
    }
    if (visible >= border || all) {
        out->end = (uint32_t)om_min_u64(border, visible);
        return true;
    }
    out->begin = covered;
    out->end = covered + OM_SUB_ROWS;
    return out->end <= visible;
}

/* The span to build now. No rows come once a segment is frozen: looked at in this order, what is visible
 * then is all there will be. */
static bool find_span(om_segment *seg, span *out)
{
    const om_fields *fields = om_fields_of(seg);
    bool frozen = atomic_load(&seg->frozen);
    uint32_t visible = atomic_load(&seg->visible);
    return next_span(atomic_load(&fields->covered), visible, frozen, out);
}

bool om_fields_wanted(om_segment *seg, uint64_t last_append_ns, uint64_t *ready_ns)
{
    span next;
    *ready_ns = 0;
    if (om_fields_of(seg) == NULL || !find_span(seg, &next)) {
        return false;
    }
    uint32_t waiting = atomic_load(&seg->visible) - next.covered;
    uint64_t retry_ns = atomic_load(&om_fields_of(seg)->retry_ns);
    *ready_ns = waiting >= RIPE_ROWS ? 0 : last_append_ns + QUIET_NS;
    *ready_ns = *ready_ns < retry_ns ? retry_ns : *ready_ns;
    return true;
}

/* ---- A block ------------------------------------------------------------------------------------- */
omen_status_t om_fields_build_block(om_collection *c, const uint8_t *const *meta, uint32_t count,
                                    struct om_meta_block **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &c->rt->alloc;
    om_metabuild *build = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    OM_TRY(om_metabuild_create(alloc, c->schema, &build, err));
    for (uint32_t i = 0; i < count; i++) {
        OM_TRY(om_metabuild_add(build, meta[i] != NULL ? meta[i] : om_meta_empty, err));
    }
    OM_TRY(om_metabuild_finish(build, &bytes, &size, err));
    OM_TRY(om_meta_block_make(alloc, c->schema, bytes, size, out, err));
    bytes = NULL;
out:
    if (bytes != NULL) {
        om_alloc_put(alloc, bytes, size, OM_CACHE_LINE);
    }
    om_metabuild_free(build);
    return status;
}

omen_status_t om_fields_build_image(om_collection *c, const uint8_t *const *text, uint32_t count,
                                    struct om_text_image **out, omen_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    const om_alloc *alloc = &c->rt->alloc;
    omen_status_t status = om_textimage_build(alloc, text, count, &bytes, &size, err);
    if (status == OMEN_OK) {
        status = om_text_image_make(alloc, bytes, size, out, err);
        if (status != OMEN_OK) {
            om_alloc_put(alloc, bytes, size, OM_CACHE_LINE);
        }
    }
    return status;
}

/* ---- Images, merged ------------------------------------------------------------------------------ */
omen_status_t om_fields_merge_images(om_collection *c, const om_text_merge *merge,
                                     struct om_text_image **out, omen_error *err)
{
    const om_alloc *alloc = &c->rt->alloc;
    uint8_t *bytes = NULL;
    size_t size = 0;
    omen_status_t status = om_textimage_merge(alloc, merge, &bytes, &size, err);
    if (status == OMEN_OK) {
        status = om_text_image_make(alloc, bytes, size, out, err);
        if (status != OMEN_OK) {
            om_alloc_put(alloc, bytes, size, OM_CACHE_LINE);
        }
    }
    return status;
}

/* Rows without words, as an image. */
omen_status_t om_fields_empty_image(om_collection *c, uint32_t rows, struct om_text_image **out,
                                    omen_error *err)
{
    const om_alloc *alloc = &c->rt->alloc;
    const uint8_t **nothing = om_alloc_zero(alloc, rows, sizeof *nothing, OM_CACHE_LINE);
    if (nothing == NULL) {
        return om_fail_memory(err, "image of text", rows * sizeof *nothing);
    }
    omen_status_t status = om_fields_build_image(c, nothing, rows, out, err);
    om_alloc_put(alloc, nothing, rows * sizeof *nothing, OM_CACHE_LINE);
    return status;
}

enum { MOST_JOINED = OM_FULL_ROWS / OM_SUB_ROWS + 1 };
typedef struct join { /* images, one behind the other; NULL in `parts`: rows without words */
    struct om_text_image *parts[MOST_JOINED];
    uint32_t rows[MOST_JOINED];
    uint32_t count;
    bool any;
} join;

static void add_image(join *j, struct om_text_image *image, uint32_t rows)
{
    om_assert(j->count < MOST_JOINED);
    j->parts[j->count] = image;
    j->rows[j->count++] = rows;
    j->any = j->any || image != NULL;
}

/* One image of all; NULL when none of them has words. */
static omen_status_t join_images(om_collection *c, const join *j, struct om_text_image **out,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    struct om_text_image *empty[MOST_JOINED] = {NULL};
    const om_textimage *images[MOST_JOINED];
    if (!j->any) {
        return OMEN_OK;
    }
    for (uint32_t i = 0; i < j->count; i++) {
        if (j->parts[i] == NULL) {
            OM_TRY(om_fields_empty_image(c, j->rows[i], &empty[i], err));
        }
        images[i] = atomic_load(&(j->parts[i] == NULL ? empty[i] : j->parts[i])->open);
    }
    const om_text_merge merge = {.images = images, .count = j->count};
    status = om_fields_merge_images(c, &merge, out, err);
out:
    for (uint32_t i = 0; i < MOST_JOINED; i++) {
        om_text_image_unref(empty[i]);
    }
    return status;
}

/* The text of a span: what is in images already, and the rows behind it. build_mu held. */
static omen_status_t build_text(om_segment *seg, const span *s, const om_span_rows *r,
                                struct om_text_image **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_fields *fields = om_fields_of(seg);
    const om_parts *parts = &atomic_load(&fields->parts)->parts;
    struct om_text_image *fresh = NULL;
    join j = {.count = 0};
    for (uint32_t i = 0; i < parts->text_count; i++) {
        if (parts->text[i].first >= s->begin) {
            add_image(&j, parts->text[i].holder, parts->text[i].rows);
        }
    }
    if (s->end != s->covered) {
        const uint8_t *const *text = r->text + (s->covered - r->first);
        if (r->any_text) {
            OM_TRY(om_fields_build_image(seg->c, text, s->end - s->covered, &fresh, err));
        }
        add_image(&j, fresh, s->end - s->covered);
    }
    if (j.count == 1) {
        *out = j.parts[0];
        if (*out != NULL) {
            atomic_fetch_add_explicit(&(*out)->refs, 1, memory_order_relaxed);
        }
    } else {
        status = join_images(seg->c, &j, out, err);
    }
out:
    om_text_image_unref(fresh);
    return status;
}

/* ---- Publishing. build_mu held -------------------------------------------------------------------- */
static omen_status_t extend(om_segment *seg, const span *s, struct om_meta_block *block,
                            struct om_text_image *image, om_parts_list **out, omen_error *err)
{
    const om_parts *parts = &atomic_load(&om_fields_of(seg)->parts)->parts;
    om_parts_list *list = NULL;
    omen_status_t status =
        om_parts_make(&seg->rt->alloc, parts->meta_count + 1, parts->text_count + 1, &list, err);
    if (status != OMEN_OK) {
        return status;
    }
    for (uint32_t i = 0; i < parts->meta_count && parts->meta[i].first < s->begin; i++) {
        om_parts_add_meta(list, parts->meta[i].rows, parts->meta[i].holder);
    }
    for (uint32_t i = 0; i < parts->text_count && parts->text[i].first < s->begin; i++) {
        om_parts_add_text(list, parts->text[i].rows, parts->text[i].holder);
    }
    om_parts_add_meta(list, s->end - s->begin, block);
    om_parts_add_text(list, s->end - s->begin, image);
    *out = list;
    return OMEN_OK;
}

/* The directory without chunks of rows that are in large blocks; where there is no memory it stays as it is.
 * write_mu held. */
static void trim_dir(om_segment *seg, uint32_t first)
{
    const om_rowdir *dir = atomic_load(&om_fields_of(seg)->dir);
    uint32_t used = 0;
    if (dir == NULL || first <= dir->first) {
        return;
    }
    for (uint32_t i = 0; i < dir->room; i++) {
        if (atomic_load_explicit(&dir->chunk[i], memory_order_relaxed) != NULL) {
            used = dir->first + i + 1;
        }
    }
    uint32_t room = 16;
    while (used > first && room < used - first) {
        room *= 2;
    }
    if (om_fields_replace_dir(seg, first, room, NULL) != OMEN_OK) {
        return;
    }
}

static void publish(om_segment *seg, om_parts_list *list, om_retired *node)
{
    om_fields *fields = om_fields_of(seg);
    om_parts_list *former = atomic_load(&fields->parts);
    uint32_t covered = list->parts.meta_covered;
    atomic_store(&fields->parts, list);
    atomic_store(&fields->covered, covered);
    om_mutex_lock(&seg->c->write_mu);
    om_slab *meta = om_slabs_cut(&fields->meta, full_begin(covered));
    om_slab *text = om_slabs_cut(&fields->text, covered);
    trim_dir(seg, full_begin(covered) / OM_CHUNK_ROWS);
    om_mutex_unlock(&seg->c->write_mu);
    *node = (om_retired){.parts = former != fields->first ? former : NULL,
                         .meta = meta,
                         .text = text,
                         .tag = om_epoch_tag(seg->rt),
                         .next = fields->retired};
    fields->retired = node;
}

static bool reclaim(om_segment *seg)
{
    om_fields *fields = om_fields_of(seg);
    om_retired **at = &fields->retired; /* newest first */
    while (*at != NULL && !om_epoch_passed(seg->rt, (*at)->tag)) {
        at = &(*at)->next;
    }
    om_retired *past = *at;
    *at = NULL;
    om_retired_free_list(&seg->rt->alloc, past);
    om_mutex_lock(&seg->c->write_mu);
    bool clean = om_fields_reclaim_dirs(seg) && fields->retired == NULL;
    om_mutex_unlock(&seg->c->write_mu);
    atomic_store(&fields->untidy, !clean);
    return clean;
}

static omen_status_t build(om_segment *seg, const span *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &seg->rt->alloc;
    struct om_meta_block *block = NULL;
    struct om_text_image *image = NULL;
    om_parts_list *list = NULL;
    om_span_rows r = {.count = 0};
    om_retired *node = om_alloc_zero(alloc, 1, sizeof *node, _Alignof(om_retired));
    if (node == NULL) {
        return om_fail_memory(err, "parts of a segment", sizeof *node);
    }
    OM_TRY(om_fields_take_rows(seg, s->begin, s->end, &r, err));
    if (r.any_meta) {
        OM_TRY(om_fields_build_block(seg->c, r.meta, r.count, &block, err));
    }
    OM_TRY(build_text(seg, s, &r, &image, err));
    OM_TRY(extend(seg, s, block, image, &list, err));
    publish(seg, list, node);
    node = NULL;
out:
    om_alloc_put(alloc, node, sizeof *node, _Alignof(om_retired));
    om_meta_block_unref(block); /* the list has references of its own */
    om_text_image_unref(image);
    om_fields_drop_rows(seg, &r);
    return status;
}

omen_status_t om_fields_step(om_segment *seg, bool wanted, bool *moved, bool *clean,
                             omen_error *err)
{
    om_fields *fields = om_fields_of(seg);
    omen_status_t status = OMEN_OK;
    span next;
    om_mutex_lock(&fields->build_mu);
    if (wanted && find_span(seg, &next)) {
        status = build(seg, &next, err);
        *moved = status == OMEN_OK;
    }
    *clean = reclaim(seg);
    om_mutex_unlock(&fields->build_mu);
    return status;
}
