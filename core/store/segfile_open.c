/* segfile_open.c - opens a segment file: header, section table and bounds, whatever its size.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nothing here trusts the file. The header page is checked as a whole by its own checksum first;
 * what it says is then checked against the real size of the file as if there were no checksum,
 * because a hostile file has a right one. After that, every section lies inside the file, behind
 * the one before it. */
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "segfile_int.h"

static const char *const section_names[] = {
    [OM_SECTION_META] = "meta",         [OM_SECTION_CODEC] = "codec",
    [OM_SECTION_CODES] = "codes",       [OM_SECTION_LINKS] = "links",
    [OM_SECTION_ENTRY] = "entry",       [OM_SECTION_KEYS] = "keys",
    [OM_SECTION_KEYMAP] = "keymap",     [OM_SECTION_DEAD] = "dead",
    [OM_SECTION_VECTORS] = "vectors",   [OM_SECTION_NORMS] = "norms",
    [OM_SECTION_ID_BYTES] = "id bytes", [OM_SECTION_ID_OFFSETS] = "id offsets",
    [OM_SECTION_ID_MAP] = "id map",
};

bool om_section_known(uint32_t kind)
{
    return kind < sizeof section_names / sizeof section_names[0] && section_names[kind] != NULL;
}

const char *om_section_name(uint32_t kind)
{
    return om_section_known(kind) ? section_names[kind] : "unknown kind";
}

/* A field of the header that has one right value. */
static omen_status_t expect(const om_segfile *file, const char *field, uint64_t value,
                            uint64_t right, omen_error *err)
{
    if (value == right) {
        return OMEN_OK;
    }
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "%s: %s is %llu, must be %llu", file->name,
                   field, (unsigned long long)value, (unsigned long long)right);
}

static omen_status_t expect_most(const om_segfile *file, const char *field, uint64_t value,
                                 uint64_t limit, omen_error *err)
{
    if (value <= limit) {
        return OMEN_OK;
    }
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "%s: %s is %llu, above the limit of %llu",
                   file->name, field, (unsigned long long)value, (unsigned long long)limit);
}

static omen_status_t fail_checksum(const om_segfile *file, const char *what, uint32_t found,
                                   uint32_t stored, omen_error *err)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                   "%s: checksum of the %s is %08x, the file says %08x", file->name, what, found,
                   stored);
}

/* The page itself: these three checks mean the same in every version of the format. */
static omen_status_t check_page(om_segfile *file, omen_error *err)
{
    const size_t least = OM_SEG_HEADER_BYTES + sizeof(om_seg_tail);
    if (file->map.bytes < least) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: %zu bytes are no segment file: the smallest has %zu", file->name,
                       file->map.bytes, least);
    }
    const uint8_t *page = file->map.base;
    if (memcmp(page, OM_SEG_MAGIC, sizeof file->header.magic) != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: no segment file: the first 8 bytes are not the magic number",
                       file->name);
    }
    uint32_t stored;
    memcpy(&stored, page + OM_SEG_HEADER_CRC_AT, sizeof stored);
    uint32_t found = om_crc32c(0, page, OM_SEG_HEADER_CRC_AT);
    if (found != stored) {
        return fail_checksum(file, "header", found, stored, err);
    }
    memcpy(&file->header, page, sizeof file->header);
    return OMEN_OK;
}

static omen_status_t check_version(const om_segfile *file, omen_error *err)
{
    const om_seg_header *header = &file->header;
    if (header->format > OM_FORMAT_VERSION) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "%s: format version %u is newer than %u, the newest that this library reads",
                       file->name, header->format, OM_FORMAT_VERSION);
    }
    uint32_t unknown = header->incompat & ~OM_SEG_KNOWN_INCOMPAT;
    if (unknown != 0) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "%s: the file needs features %08x, which this library does not know",
                       file->name, unknown);
    }
    return expect(file, "format version", header->format, OM_FORMAT_VERSION, err);
}

static omen_status_t check_header(om_segfile *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_seg_header *header = &file->header;
    OM_TRY(expect(file, "header size", header->header_bytes, OM_SEG_HEADER_BYTES, err));
    OM_TRY(expect(file, "byte order mark", header->byte_order, OM_SEG_BYTE_ORDER, err));
    OM_TRY(expect(file, "block size", header->block_bytes, OM_SEG_BLOCK, err));
    OM_TRY(expect_most(file, "number of rows", header->rows, OMEN_MAX_ROWS, err));
    OM_TRY(expect_most(file, "number of sections", header->sections, OM_SEG_MAX_SECTIONS, err));
    if (header->file_bytes != file->map.bytes) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: the file has %zu bytes, its header says %llu: %s", file->name,
                       file->map.bytes, (unsigned long long)header->file_bytes,
                       file->map.bytes < header->file_bytes ? "it was cut off"
                                                            : "something was appended");
    }
    size_t table_bytes = header->sections * sizeof file->entries[0];
    memcpy(file->entries, file->map.base + OM_SEG_TABLE_AT, table_bytes);
    uint32_t found = om_crc32c(0, file->entries, table_bytes);
    if (found != header->table_crc) {
        return fail_checksum(file, "section table", found, header->table_crc, err);
    }
out:
    return status;
}

/* The end of the file was written, and belongs to this header. */
static omen_status_t check_tail(const om_segfile *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_seg_tail tail;
    uint32_t header_crc;
    memcpy(&tail, file->map.base + file->map.bytes - sizeof tail, sizeof tail);
    memcpy(&header_crc, file->map.base + OM_SEG_HEADER_CRC_AT, sizeof header_crc);
    if (memcmp(tail.magic, OM_SEG_TAIL_MAGIC, sizeof tail.magic) != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: the last 8 bytes are not the closing magic number", file->name);
    }
    OM_TRY(expect(file, "file size in the tail", tail.file_bytes, file->map.bytes, err));
    OM_TRY(expect(file, "header checksum in the tail", tail.header_crc, header_crc, err));
    OM_TRY(expect(file, "reserved word in the tail", tail.reserved, 0, err));
out:
    return status;
}

static omen_status_t fail_section(const om_segfile *file, uint32_t index, const char *field,
                                  uint64_t value, const char *rule, uint64_t limit, omen_error *err)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "%s: section %u (%s): %s is %llu, %s %llu",
                   file->name, index, om_section_name(file->entries[index].kind), field,
                   (unsigned long long)value, rule, (unsigned long long)limit);
}

/* Section `index` lies at or behind `free_from`, before the tail; *end is where it stops. */
static omen_status_t check_place(const om_segfile *file, uint32_t index, uint64_t free_from,
                                 uint64_t *end, omen_error *err)
{
    const om_seg_entry *entry = &file->entries[index];
    uint64_t limit = file->map.bytes - sizeof(om_seg_tail);
    if (entry->offset < free_from) {
        return fail_section(file, index, "offset", entry->offset, "but what comes before ends at",
                            free_from, err);
    }
    if (entry->offset % om_seg_alignment(entry->bytes) != 0) {
        return fail_section(file, index, "offset", entry->offset, "not a multiple of",
                            om_seg_alignment(entry->bytes), err);
    }
    if (entry->offset > limit || entry->bytes > limit - entry->offset) {
        return fail_section(file, index, "size", entry->bytes, "but the data of the file end at",
                            limit, err);
    }
    *end = entry->offset + entry->bytes;
    return OMEN_OK;
}

static omen_status_t check_shape(const om_segfile *file, uint32_t index, omen_error *err)
{
    const om_seg_entry *entry = &file->entries[index];
    if (!om_section_known(entry->kind) && (entry->flags & OM_SEG_FLAG_REQUIRED) != 0) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "%s: the file needs section kind %u, which this library does not know",
                       file->name, entry->kind);
    }
    uint64_t bytes = 0;
    if (entry->stride != 0 &&
        (__builtin_mul_overflow(entry->stride, entry->rows, &bytes) || bytes != entry->bytes)) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: section %u (%s): %llu rows of %llu bytes are not its %llu bytes",
                       file->name, index, om_section_name(entry->kind),
                       (unsigned long long)entry->rows, (unsigned long long)entry->stride,
                       (unsigned long long)entry->bytes);
    }
    if (entry->blocks != om_seg_blocks(entry->bytes)) {
        return fail_section(file, index, "number of blocks", entry->blocks, "must be",
                            om_seg_blocks(entry->bytes), err);
    }
    for (uint32_t i = 0; i < index; i++) {
        if (file->entries[i].kind == entry->kind &&
            file->entries[i].vector_index == entry->vector_index) {
            return fail_section(file, index, "kind", entry->kind, "as that of section", i, err);
        }
    }
    return OMEN_OK;
}

/* The checksum tables follow all sections, in the same order. */
static omen_status_t check_checksums(const om_segfile *file, uint32_t index, uint64_t *free_from,
                                     omen_error *err)
{
    const om_seg_entry *entry = &file->entries[index];
    uint64_t limit = file->map.bytes - sizeof(om_seg_tail);
    uint64_t bytes = (uint64_t)entry->blocks * sizeof(uint32_t);
    if (entry->checksums < *free_from) {
        return fail_section(file, index, "offset of checksums", entry->checksums,
                            "but what comes before ends at", *free_from, err);
    }
    if (entry->checksums % sizeof(uint32_t) != 0) {
        return fail_section(file, index, "offset of checksums", entry->checksums,
                            "not a multiple of", sizeof(uint32_t), err);
    }
    if (entry->checksums > limit || bytes > limit - entry->checksums) {
        return fail_section(file, index, "offset of checksums", entry->checksums,
                            "but the data of the file end at", limit, err);
    }
    *free_from = entry->checksums + bytes;
    return OMEN_OK;
}

static omen_status_t check_table(om_segfile *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t end = OM_SEG_HEADER_BYTES;
    for (uint32_t i = 0; i < file->header.sections; i++) {
        OM_TRY(check_place(file, i, end, &end, err));
        OM_TRY(check_shape(file, i, err));
        file->first_block[i] = file->blocks;
        file->blocks += file->entries[i].blocks;
    }
    for (uint32_t i = 0; i < file->header.sections; i++) {
        OM_TRY(check_checksums(file, i, &end, err));
    }
out:
    return status;
}

static size_t bitmap_bytes(const om_segfile *file)
{
    return (size_t)(file->blocks / 64 + 1) * sizeof file->verified[0];
}

static omen_status_t open_checked(const om_io *io, om_segfile *file, const char *path,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_map_open(io, &file->map, path, err));
    OM_TRY(check_page(file, err));
    OM_TRY(check_version(file, err));
    OM_TRY(check_header(file, err));
    OM_TRY(check_tail(file, err));
    OM_TRY(check_table(file, err));
    file->verified = om_alloc_zero(file->alloc, 1, bitmap_bytes(file), OM_CACHE_LINE);
    if (file->verified == NULL) {
        status = om_fail_memory(err, "bitmap of checked blocks", bitmap_bytes(file));
    }
out:
    return status;
}

omen_status_t om_segfile_open(const om_io *io, const om_alloc *alloc, const char *path,
                              om_segfile **out, omen_error *err)
{
    om_segfile *file = om_alloc_zero(alloc, 1, sizeof *file, alignof(om_segfile));
    if (file == NULL) {
        return om_fail_memory(err, "segment file", sizeof *file);
    }
    file->alloc = alloc;
    size_t length = strlen(path);
    const char *end_of_path = length < OM_SEG_NAME ? path : path + length - (OM_SEG_NAME - 1);
    (void)snprintf(file->name, sizeof file->name, "%s", end_of_path);
    omen_status_t status = open_checked(io, file, path, err);
    if (status != OMEN_OK) {
        om_segfile_close(file);
        return status;
    }
    *out = file;
    return OMEN_OK;
}

omen_status_t om_segfile_load(om_segfile *file, om_budget *budget, omen_error *err)
{
    return om_map_load(&file->map, budget, err);
}

void om_segfile_close(om_segfile *file)
{
    if (file == NULL) {
        return;
    }
    if (file->verified != NULL) {
        om_alloc_put(file->alloc, file->verified, bitmap_bytes(file), OM_CACHE_LINE);
    }
    om_map_close(&file->map);
    om_alloc_put(file->alloc, file, sizeof *file, alignof(om_segfile));
}

uint64_t om_segfile_rows(const om_segfile *file)
{
    return file->header.rows;
}

uint64_t om_segfile_version(const om_segfile *file)
{
    return file->header.version;
}

uint32_t om_segfile_header_crc(const om_segfile *file)
{
    uint32_t crc;
    memcpy(&crc, file->map.base + OM_SEG_HEADER_CRC_AT, sizeof crc);
    return crc;
}

uint64_t om_segfile_bytes(const om_segfile *file)
{
    return file->map.bytes;
}

omen_status_t om_segfile_section(const om_segfile *file, uint32_t kind, uint32_t vector_index,
                                 uint64_t stride, uint64_t rows, om_section *out, omen_error *err)
{
    for (uint32_t i = 0; i < file->header.sections; i++) {
        const om_seg_entry *entry = &file->entries[i];
        if (entry->kind != kind || entry->vector_index != vector_index) {
            continue;
        }
        if (stride != 0 && entry->stride != stride) {
            return fail_section(file, i, "row size", entry->stride, "must be", stride, err);
        }
        if (rows != 0 && entry->rows != rows) {
            return fail_section(file, i, "number of rows", entry->rows, "must be", rows, err);
        }
        *out = (om_section){.data = file->map.base + entry->offset,
                            .bytes = entry->bytes,
                            .stride = entry->stride,
                            .rows = entry->rows,
                            .index = i};
        return OMEN_OK;
    }
    *out = (om_section){0};
    return OMEN_OK;
}
