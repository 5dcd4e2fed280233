/* engine_fields.c - what a reader sees of the metadata and text of a segment.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Whoever builds publishes larger parts, whoever writes a larger directory of single rows; each frees what it
 * replaced when no context is pinned any more. A reader takes the directory before the parts: it then has all
 * rows behind the parts that there were, and those that it gets have at least as many. */
#include <string.h>

#include "engine_fields_int.h"

/* ---- A look ------------------------------------------------------------------------------------ */
void om_fields_look_at(om_segment *seg, uint32_t rows, om_fields_look *out)
{
    static const om_parts none = {.meta = NULL};
    const om_fields *fields = om_fields_of(seg);
    *out = (om_fields_look){.segment = seg, .parts = &none, .rows = rows};
    if (fields != NULL) {
        out->dir = atomic_load(&fields->dir);
        out->parts = &atomic_load(&fields->parts)->parts;
        out->any = true;
    }
}

uint32_t om_fields_part_of(const om_fields_look *look, uint32_t slot)
{
    uint32_t low = 0;
    uint32_t high = look->parts->meta_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (look->parts->meta[middle].first <= slot) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- Blocks and images; those of files at their first use ----------------------------------------- */
/* What is not as it must be is not kept: the next one who comes finds it out again. */
static omen_status_t open_block(const om_fields_look *look, const om_meta_part *part,
                                om_metablock **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    struct om_meta_block *holder = part->holder;
    om_mapped *mapped = look->segment->mapped;
    om_metablock *made = NULL;
    om_metablock *other = NULL;
    const om_section *section = &mapped->section[OM_SECTION_METADATA];
    OM_TRY(om_segfile_verify(mapped->file, section, (uint64_t)(holder->mapped - section->data),
                             holder->size, err));
    OM_TRY(om_metablock_open(holder->alloc, look->segment->c->schema, holder->mapped, holder->size,
                             &made, err));
    if (om_metablock_rows(made) != part->rows) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                         "segment file: a block of metadata has %u rows, must have %u",
                         om_metablock_rows(made), part->rows);
        om_metablock_free(made);
        goto out;
    }
    if (!atomic_compare_exchange_strong(&holder->open, &other, made)) {
        om_metablock_free(made); /* somebody else was faster */
        made = other;
    }
    *out = made;
out:
    return status;
}

omen_status_t om_fields_block(const om_fields_look *look, uint32_t i, const om_metablock **out,
                              omen_error *err)
{
    const om_meta_part *part = &look->parts->meta[i];
    om_assert(!part->none);
    om_metablock *block = atomic_load_explicit(&part->holder->open, memory_order_acquire);
    if (OM_UNLIKELY(block == NULL)) {
        omen_status_t status = open_block(look, part, &block, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    *out = block;
    return OMEN_OK;
}

static omen_status_t open_image(const om_fields_look *look, const om_text_part *part,
                                om_textimage **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    struct om_text_image *holder = part->holder;
    om_mapped *mapped = look->segment->mapped;
    om_textimage *made = NULL;
    om_textimage *other = NULL;
    const om_stop stop = {.op = NULL};
    OM_TRY(om_mapped_verify(mapped, OM_SECTION_TEXT, &stop, err));
    OM_TRY(om_textimage_open(holder->alloc, holder->mapped, holder->size, &made, err));
    if (om_textimage_rows(made) != part->rows) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                         "segment file: the image of its text has %u rows, must have %u",
                         om_textimage_rows(made), part->rows);
        om_textimage_free(made);
        goto out;
    }
    if (!atomic_compare_exchange_strong(&holder->open, &other, made)) {
        om_textimage_free(made);
        made = other;
    }
    *out = made;
out:
    return status;
}

omen_status_t om_fields_image(const om_fields_look *look, uint32_t i, const om_textimage **out,
                              omen_error *err)
{
    const om_text_part *part = &look->parts->text[i];
    om_assert(!part->none);
    om_textimage *image = atomic_load_explicit(&part->holder->open, memory_order_acquire);
    if (OM_UNLIKELY(image == NULL)) {
        omen_status_t status = open_image(look, part, &image, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    *out = image;
    return OMEN_OK;
}

omen_status_t om_fields_row(const om_fields_look *look, uint32_t slot, om_bytes *scratch,
                            const uint8_t **row, omen_error *err)
{
    *row = NULL;
    if (slot >= look->parts->meta_covered) {
        *row = om_fields_meta_row(look, slot);
        return OMEN_OK;
    }
    uint32_t i = om_fields_part_of(look, slot);
    const om_meta_part *part = &look->parts->meta[i];
    const om_metablock *block = NULL;
    if (part->none) {
        return OMEN_OK;
    }
    omen_status_t status = om_fields_block(look, i, &block, err);
    if (status == OMEN_OK) {
        scratch->size = 0;
        status = om_metablock_row(block, slot - part->first, scratch, err);
    }
    if (status == OMEN_OK && om_meta_fields(scratch->data) != 0) {
        *row = scratch->data;
    }
    return status;
}

/* Epoch pinned and write_mu held. */
void om_fields_stats(om_segment *seg, omen_stats *out)
{
    const om_fields *fields = om_fields_of(seg);
    if (fields == NULL) {
        return;
    }
    const om_parts *parts = &atomic_load(&fields->parts)->parts;
    const om_rowdir *dir = atomic_load(&fields->dir);
    out->bytes_metadata += fields->meta.bytes;
    out->bytes_text += fields->text.bytes;
    out->text_rows += atomic_load(&fields->text_rows);
    for (uint32_t i = 0; i < parts->meta_count; i++) {
        const struct om_meta_block *block = parts->meta[i].holder;
        out->bytes_metadata += block != NULL && block->bytes != NULL ? block->size : 0;
    }
    for (uint32_t i = 0; i < parts->text_count; i++) {
        const struct om_text_image *image = parts->text[i].holder;
        out->bytes_text += image != NULL && image->bytes != NULL ? image->size : 0;
    }
    for (uint32_t i = 0; dir != NULL && i < dir->room; i++) {
        const om_rowchunk *chunk = atomic_load_explicit(&dir->chunk[i], memory_order_relaxed);
        out->bytes_metadata += chunk != NULL ? sizeof *chunk : 0;
    }
}

/* ---- Life -------------------------------------------------------------------------------------- */
omen_status_t om_fields_start(om_segment *seg, om_fields **out, omen_error *err)
{
    const om_alloc *alloc = &seg->rt->alloc;
    om_fields *fields = om_alloc_zero(alloc, 1, sizeof *fields, _Alignof(om_fields));
    if (fields == NULL) {
        return om_fail_memory(err, "fields of a segment", sizeof *fields);
    }
    omen_status_t status = om_parts_make(alloc, 0, 0, &fields->first, err);
    if (status == OMEN_OK) {
        status = om_mutex_init(&fields->build_mu, OM_RANK_BUILD, err);
    }
    if (status != OMEN_OK) {
        om_parts_free(alloc, fields->first);
        om_alloc_put(alloc, fields, sizeof *fields, _Alignof(om_fields));
        return status;
    }
    atomic_init(&fields->parts, fields->first);
    atomic_store(&seg->fields, fields);
    *out = fields;
    return OMEN_OK;
}

static void free_chunks(const om_alloc *alloc, om_rowdir *dir, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        om_alloc_put(alloc, atomic_load_explicit(&dir->chunk[i], memory_order_relaxed),
                     sizeof(om_rowchunk), OM_CACHE_LINE);
    }
}

static void free_dir(const om_alloc *alloc, om_rowdir *dir)
{
    om_alloc_put(alloc, dir, sizeof *dir + dir->room * sizeof dir->chunk[0], OM_CACHE_LINE);
}

void om_retired_free_list(const om_alloc *alloc, om_retired *list)
{
    while (list != NULL) {
        om_retired *next = list->next;
        om_parts_free(alloc, list->parts);
        om_slab_free_list(alloc, list->meta);
        om_slab_free_list(alloc, list->text);
        om_alloc_put(alloc, list, sizeof *list, _Alignof(om_retired));
        list = next;
    }
}

void om_fields_free(om_segment *seg)
{
    om_fields *fields = om_fields_of(seg);
    const om_alloc *alloc = &seg->rt->alloc;
    if (fields == NULL) {
        return;
    }
    om_retired_free_list(alloc, fields->retired);
    om_parts_list *parts = atomic_load(&fields->parts);
    if (parts != fields->first) {
        om_parts_free(alloc, parts);
    }
    om_parts_free(alloc, fields->first);
    om_fields_free_dirs(seg);
    om_slab_free_list(alloc, fields->meta.first);
    om_slab_free_list(alloc, fields->text.first);
    om_mutex_destroy(&fields->build_mu);
    om_alloc_put(alloc, fields, sizeof *fields, _Alignof(om_fields));
    atomic_store(&seg->fields, NULL);
}

/* ---- The directory of single rows. write_mu held ------------------------------------------------- */
void om_fields_free_dirs(om_segment *seg)
{
    om_fields *fields = om_fields_of(seg);
    const om_alloc *alloc = &seg->rt->alloc;
    om_rowdir *dir = atomic_load(&fields->dir);
    if (dir != NULL) {
        free_chunks(alloc, dir, dir->room);
        free_dir(alloc, dir);
    }
    while (fields->old_dirs != NULL) {
        om_rowdir *next = fields->old_dirs->next;
        free_chunks(alloc, fields->old_dirs, fields->old_dirs->dropped);
        free_dir(alloc, fields->old_dirs);
        fields->old_dirs = next;
    }
    atomic_store(&fields->dir, NULL);
}

/* Newest first: behind the first one that no search holds, none is held. */
bool om_fields_reclaim_dirs(om_segment *seg)
{
    om_fields *fields = om_fields_of(seg);
    const om_alloc *alloc = &seg->rt->alloc;
    om_rowdir **at = &fields->old_dirs;
    while (*at != NULL && !om_epoch_passed(seg->rt, (*at)->tag)) {
        at = &(*at)->next;
    }
    while (*at != NULL) {
        om_rowdir *past = *at;
        *at = past->next;
        free_chunks(alloc, past, past->dropped);
        free_dir(alloc, past);
    }
    return fields->old_dirs == NULL;
}

/* A directory of chunks [first, first + room), in the place of the one there is. */
omen_status_t om_fields_replace_dir(om_segment *seg, uint32_t first, uint32_t room, omen_error *err)
{
    om_fields *fields = om_fields_of(seg);
    om_rowdir *former = atomic_load(&fields->dir);
    size_t bytes = sizeof *former + room * sizeof former->chunk[0];
    om_rowdir *dir = om_alloc_zero(&seg->rt->alloc, 1, bytes, OM_CACHE_LINE);
    if (dir == NULL) {
        return om_fail_memory(err, "rows of metadata", bytes);
    }
    dir->first = first;
    dir->room = room;
    if (former != NULL) {
        om_assert(first >= former->first);
        former->dropped = om_min_u32(first - former->first, former->room);
        for (uint32_t i = former->dropped; i < former->room; i++) {
            om_rowchunk *chunk = atomic_load_explicit(&former->chunk[i], memory_order_relaxed);
            om_assert(chunk == NULL || former->first + i - first < room);
            if (chunk != NULL) {
                atomic_init(&dir->chunk[former->first + i - first], chunk);
            }
        }
    }
    atomic_store(&fields->dir, dir);
    if (former != NULL) {
        former->tag = om_epoch_tag(seg->rt);
        former->next = fields->old_dirs;
        fields->old_dirs = former;
        (void)om_fields_reclaim_dirs(seg);
        atomic_store(&fields->untidy, fields->old_dirs != NULL || atomic_load(&fields->untidy));
    }
    return OMEN_OK;
}

/* Where the rows begin that are in no block of OM_FULL_ROWS: older chunks are not looked at. */
static uint32_t first_chunk(const om_fields *fields)
{
    return atomic_load(&fields->parts)->parts.meta_covered / OM_FULL_ROWS *
           (OM_FULL_ROWS / OM_CHUNK_ROWS);
}

static omen_status_t widen_dir(om_segment *seg, uint32_t last, omen_error *err)
{
    om_fields *fields = om_fields_of(seg);
    const om_rowdir *dir = atomic_load(&fields->dir);
    if (dir != NULL && last - dir->first < dir->room) {
        return OMEN_OK;
    }
    uint32_t first = first_chunk(fields);
    first = dir != NULL ? om_max_u32(first, dir->first) : first;
    uint32_t room = 16;
    while (room <= last - first) {
        room *= 2;
    }
    return om_fields_replace_dir(seg, first, room, err);
}

omen_status_t om_fields_reserve(om_segment *seg, uint32_t begin, uint32_t end, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_fields *fields = om_fields_of(seg);
    uint32_t last = (end - 1) / OM_CHUNK_ROWS;
    OM_TRY(widen_dir(seg, last, err));
    om_rowdir *dir = atomic_load(&fields->dir);
    for (uint32_t at = begin / OM_CHUNK_ROWS; at <= last; at++) {
        if (atomic_load_explicit(&dir->chunk[at - dir->first], memory_order_relaxed) != NULL) {
            continue;
        }
        om_rowchunk *chunk = om_alloc_zero(&seg->rt->alloc, 1, sizeof(om_rowchunk), OM_CACHE_LINE);
        if (chunk == NULL) {
            return om_fail_memory(err, "rows of metadata", sizeof *chunk);
        }
        atomic_store_explicit(&dir->chunk[at - dir->first], chunk, memory_order_release);
    }
out:
    return status;
}
