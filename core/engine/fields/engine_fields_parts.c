/* engine_fields_parts.c - blocks of metadata and images of text that are counted, and lists of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_fields_int.h"

/* ---- Blocks ------------------------------------------------------------------------------------ */
omen_status_t om_meta_block_make(const om_alloc *alloc, const om_schema *schema, uint8_t *bytes,
                                 size_t size, struct om_meta_block **out, omen_error *err)
{
    om_metablock *open = NULL;
    omen_status_t status = om_metablock_open(alloc, schema, bytes, size, &open, err);
    if (status != OMEN_OK) {
        return status;
    }
    struct om_meta_block *block = om_alloc_zero(alloc, 1, sizeof *block, OM_CACHE_LINE);
    if (block == NULL) {
        om_metablock_free(open);
        return om_fail_memory(err, "block of metadata", sizeof *block);
    }
    atomic_init(&block->refs, 1);
    block->alloc = alloc;
    block->bytes = bytes;
    block->size = size;
    atomic_init(&block->open, open);
    *out = block;
    return OMEN_OK;
}

void om_meta_block_unref(struct om_meta_block *block)
{
    if (block == NULL || atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const om_alloc *alloc = block->alloc;
    om_metablock *open = atomic_load(&block->open);
    if (open != NULL) {
        om_metablock_free(open);
    }
    if (block->bytes != NULL) {
        om_alloc_put(alloc, block->bytes, block->size, OM_CACHE_LINE);
    }
    om_alloc_put(alloc, block, sizeof *block, OM_CACHE_LINE);
}

/* ---- Images ------------------------------------------------------------------------------------ */
omen_status_t om_text_image_make(const om_alloc *alloc, uint8_t *bytes, size_t size,
                                 struct om_text_image **out, omen_error *err)
{
    om_textimage *open = NULL;
    omen_status_t status = om_textimage_open(alloc, bytes, size, &open, err);
    if (status != OMEN_OK) {
        return status;
    }
    struct om_text_image *image = om_alloc_zero(alloc, 1, sizeof *image, OM_CACHE_LINE);
    if (image == NULL) {
        om_textimage_free(open);
        return om_fail_memory(err, "image of text", sizeof *image);
    }
    atomic_init(&image->refs, 1);
    image->alloc = alloc;
    image->bytes = bytes;
    image->size = size;
    atomic_init(&image->open, open);
    *out = image;
    return OMEN_OK;
}

void om_text_image_unref(struct om_text_image *image)
{
    if (image == NULL || atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const om_alloc *alloc = image->alloc;
    om_textimage *open = atomic_load(&image->open);
    if (open != NULL) {
        om_textimage_free(open);
    }
    if (image->bytes != NULL) {
        om_alloc_put(alloc, image->bytes, image->size, OM_CACHE_LINE);
    }
    om_alloc_put(alloc, image, sizeof *image, OM_CACHE_LINE);
}

/* ---- Lists ------------------------------------------------------------------------------------- */
omen_status_t om_parts_make(const om_alloc *alloc, uint32_t meta_room, uint32_t text_room,
                            om_parts_list **out, omen_error *err)
{
    om_parts_list *list = om_alloc_zero(alloc, 1, sizeof *list, OM_CACHE_LINE);
    if (list == NULL) {
        return om_fail_memory(err, "parts of a segment", sizeof *list);
    }
    list->meta_room = meta_room;
    list->text_room = text_room;
    list->meta = om_alloc_zero(alloc, meta_room, sizeof *list->meta, OM_CACHE_LINE);
    list->text = om_alloc_zero(alloc, text_room, sizeof *list->text, OM_CACHE_LINE);
    if ((list->meta == NULL && meta_room != 0) || (list->text == NULL && text_room != 0)) {
        om_parts_free(alloc, list);
        return om_fail_memory(err, "parts of a segment",
                              meta_room * sizeof *list->meta + text_room * sizeof *list->text);
    }
    list->parts.meta = list->meta;
    list->parts.text = list->text;
    *out = list;
    return OMEN_OK;
}

void om_parts_free(const om_alloc *alloc, om_parts_list *list)
{
    if (list == NULL) {
        return;
    }
    for (uint32_t i = 0; i < list->parts.meta_count; i++) {
        om_meta_block_unref(list->meta[i].holder);
    }
    for (uint32_t i = 0; i < list->parts.text_count; i++) {
        om_text_image_unref(list->text[i].holder);
    }
    om_alloc_put(alloc, list->meta, list->meta_room * sizeof *list->meta, OM_CACHE_LINE);
    om_alloc_put(alloc, list->text, list->text_room * sizeof *list->text, OM_CACHE_LINE);
    om_alloc_put(alloc, list, sizeof *list, OM_CACHE_LINE);
}

void om_parts_add_meta(om_parts_list *list, uint32_t rows, struct om_meta_block *block)
{
    om_assert(list->parts.meta_count < list->meta_room);
    list->meta[list->parts.meta_count++] = (om_meta_part){
        .first = list->parts.meta_covered, .rows = rows, .none = block == NULL, .holder = block};
    list->parts.meta_covered += rows;
    if (block != NULL) {
        atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    }
}

void om_parts_add_text(om_parts_list *list, uint32_t rows, struct om_text_image *image)
{
    om_assert(list->parts.text_count < list->text_room);
    list->text[list->parts.text_count++] = (om_text_part){
        .first = list->parts.text_covered, .rows = rows, .none = image == NULL, .holder = image};
    list->parts.text_covered += rows;
    if (image != NULL) {
        atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
    }
}
