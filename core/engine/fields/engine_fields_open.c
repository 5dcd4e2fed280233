/* engine_fields_open.c - metadata, text and versions of a segment file: found, and checked.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_file.h"

static omen_status_t damaged(omen_error *err, const char *what, uint64_t value, uint64_t limit)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "segment file: %s is %llu, must be %llu", what,
                   (unsigned long long)value, (unsigned long long)limit);
}

/* A section that need not be there. */
static omen_status_t look(om_mapped *mapped, uint32_t kind, uint64_t stride, omen_error *err)
{
    return om_segfile_section(mapped->file, kind, OM_VECTOR_INDEX_DEFAULT, stride, 0,
                              &mapped->section[kind], err);
}

static omen_status_t take_schema(om_segment *seg, om_mapped *mapped, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_section *section = &mapped->section[OM_SECTION_SCHEMA];
    if (section->data == NULL) {
        return OMEN_OK;
    }
    OM_TRY(om_segfile_verify(mapped->file, section, 0, section->bytes, err));
    status = om_schema_take(seg->c, section->data, (size_t)section->bytes, err);
out:
    return status;
}

/* ---- Metadata ------------------------------------------------------------------------------------ */
static omen_status_t add_block(om_parts_list *list, const om_alloc *alloc, uint32_t rows,
                               const uint8_t *bytes, size_t size, omen_error *err)
{
    if (size == 0) {
        om_parts_add_meta(list, rows, NULL);
        return OMEN_OK;
    }
    struct om_meta_block *block = om_alloc_zero(alloc, 1, sizeof *block, OM_CACHE_LINE);
    if (block == NULL) {
        return om_fail_memory(err, "block of metadata", sizeof *block);
    }
    atomic_init(&block->refs, 1);
    block->alloc = alloc;
    block->mapped = bytes;
    block->size = size;
    om_parts_add_meta(list, rows, block);
    om_meta_block_unref(block); /* the list has it */
    return OMEN_OK;
}

/* Where the blocks begin stands at the section's end. */
static omen_status_t map_blocks(om_segment *seg, om_mapped *mapped, om_parts_list *list,
                                omen_error *err)
{
    const om_section *section = &mapped->section[OM_SECTION_METADATA];
    uint32_t count = om_fields_blocks(mapped->rows);
    uint64_t table = ((uint64_t)count + 1) * sizeof(uint64_t);
    if (section->data == NULL) {
        om_parts_add_meta(list, mapped->rows, NULL);
        return OMEN_OK;
    }
    if (section->bytes < table || section->bytes % sizeof(uint64_t) != 0) {
        return damaged(err, "size of METADATA", section->bytes, table);
    }
    uint64_t end = section->bytes - table;
    omen_status_t status = om_segfile_verify(mapped->file, section, end, table, err);
    const uint64_t *begins = (const void *)(section->data + end);
    if (status == OMEN_OK && (begins[0] != 0 || begins[count] != end)) {
        status = damaged(err, "end of the blocks of metadata", begins[count], end);
    }
    for (uint32_t i = 0; i < count && status == OMEN_OK; i++) {
        uint32_t rows = om_min_u32(OM_FULL_ROWS, mapped->rows - i * OM_FULL_ROWS);
        if (begins[i + 1] < begins[i] || begins[i + 1] > end || begins[i] % OM_CACHE_LINE != 0) {
            return damaged(err, "place of a block of metadata", begins[i + 1], end);
        }
        status = add_block(list, &seg->rt->alloc, rows, section->data + begins[i],
                           (size_t)(begins[i + 1] - begins[i]), err);
    }
    return status;
}

/* ---- Text ---------------------------------------------------------------------------------------- */
static omen_status_t map_image(om_segment *seg, om_mapped *mapped, om_parts_list *list,
                               omen_error *err)
{
    const om_section *section = &mapped->section[OM_SECTION_TEXT];
    const om_alloc *alloc = &seg->rt->alloc;
    if (section->data == NULL) {
        om_parts_add_text(list, mapped->rows, NULL);
        return OMEN_OK;
    }
    struct om_text_image *image = om_alloc_zero(alloc, 1, sizeof *image, OM_CACHE_LINE);
    if (image == NULL) {
        return om_fail_memory(err, "image of text", sizeof *image);
    }
    atomic_init(&image->refs, 1);
    image->alloc = alloc;
    image->mapped = section->data;
    image->size = (size_t)section->bytes;
    om_parts_add_text(list, mapped->rows, image);
    om_text_image_unref(image);
    return OMEN_OK;
}

/* Rows with words, for statistics: out of the image's header, which is in the first block. What else is
 * wrong with it shows when it is used. */
static uint64_t count_worded(om_segment *seg, om_mapped *mapped)
{
    const om_section *section = &mapped->section[OM_SECTION_TEXT];
    om_textimage *image = NULL;
    uint64_t rows = 0;
    if (section->data != NULL &&
        om_segfile_verify(mapped->file, section, 0, om_min_u64(section->bytes, 4096), NULL) ==
            OMEN_OK &&
        om_textimage_open(&seg->rt->alloc, section->data, (size_t)section->bytes, &image, NULL) ==
            OMEN_OK) {
        rows = om_textimage_worded(image);
        om_textimage_free(image);
    }
    return rows;
}

omen_status_t om_fields_map(om_segment *seg, om_mapped *mapped, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_parts_list *list = NULL;
    om_fields *fields = NULL;
    OM_TRY(look(mapped, OM_SECTION_SCHEMA, 0, err));
    OM_TRY(take_schema(seg, mapped, err));
    if (mapped->rows == 0) {
        return OMEN_OK;
    }
    OM_TRY(look(mapped, OM_SECTION_METADATA, 0, err));
    OM_TRY(look(mapped, OM_SECTION_TEXT, 0, err));
    OM_TRY(look(mapped, OM_SECTION_BIRTHS, sizeof(om_birth), err));
    if (mapped->section[OM_SECTION_METADATA].data == NULL &&
        mapped->section[OM_SECTION_TEXT].data == NULL) {
        return OMEN_OK;
    }
    OM_TRY(om_parts_make(&seg->rt->alloc, om_fields_blocks(mapped->rows), 1, &list, err));
    OM_TRY(map_blocks(seg, mapped, list, err));
    OM_TRY(map_image(seg, mapped, list, err));
    OM_TRY(om_fields_start(seg, &fields, err));
    atomic_store(&fields->parts, list);
    atomic_store(&fields->covered, mapped->rows);
    atomic_store(&fields->text_rows, count_worded(seg, mapped));
    list = NULL;
out:
    om_parts_free(&seg->rt->alloc, list);
    return status;
}

/* ---- Everything ------------------------------------------------------------------------------------ */
static omen_status_t check_text(om_segment *seg, const om_fields_look *at, const om_stop *stop,
                                omen_error *err)
{
    const om_textimage *image = NULL;
    (void)seg;
    for (uint32_t i = 0; i < at->parts->text_count; i++) {
        if (at->parts->text[i].none) {
            continue;
        }
        omen_status_t status = om_fields_image(at, i, &image, err);
        if (status == OMEN_OK) {
            status = om_textimage_verify(image, stop, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

omen_status_t om_fields_check(om_segment *seg, const om_stop *stop, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_metablock *block = NULL;
    const om_birth *births = NULL;
    uint64_t count = 0;
    om_fields_look at;
    OM_TRY(om_births_of(seg, &births, &count, err));
    om_fields_look_at(seg, atomic_load(&seg->visible), &at); /* a file's parts stay as they are */
    for (uint32_t i = 0; i < at.parts->meta_count; i++) {
        status = om_stop_check(stop);
        if (status != OMEN_OK) {
            return om_fail(err, status, OMEN_D_NONE, "stopped while the file was checked");
        }
        if (!at.parts->meta[i].none) {
            OM_TRY(om_fields_block(&at, i, &block, err));
        }
    }
    status = check_text(seg, &at, stop, err);
out:
    return status;
}
