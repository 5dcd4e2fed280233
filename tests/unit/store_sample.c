/* store_sample.c - sample segment files for tests. SPDX-License-Identifier: Apache-2.0 */
#include "store_sample.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "segfile_int.h"

const sample_section sample_small[] = {
    {OM_SECTION_META, 0, 1, 200},       {OM_SECTION_CODEC, 0, 1, 4100},
    {OM_SECTION_CODES, 64, 40, 2560},   {OM_SECTION_LINKS, 100, 40, 4000},
    {OM_SECTION_ENTRY, 0, 1, 77},       {OM_SECTION_KEYS, 8, 40, 320},
    {OM_SECTION_KEYMAP, 12, 40, 480},   {OM_SECTION_DEAD, 8, 1, 8},
    {OM_SECTION_VECTORS, 64, 40, 2560}, {OM_SECTION_NORMS, 4, 40, 160},
    {OM_SECTION_ID_BYTES, 0, 40, 1},    {OM_SECTION_ID_OFFSETS, 8, 41, 328},
    {OM_SECTION_ID_MAP, 4, 40, 160},    {200, 0, 0, 0},
};
const uint32_t sample_small_count = sizeof sample_small / sizeof sample_small[0];

#define BLOCK ((uint64_t)1 << 20)
const sample_section sample_large[] = {
    {OM_SECTION_META, 0, 0, 0},
    {OM_SECTION_CODEC, 0, 1, BLOCK - 1},
    {OM_SECTION_CODES, 0, 1, BLOCK},
    {OM_SECTION_LINKS, 0, 1, BLOCK + 1},
    {OM_SECTION_ENTRY, 0, 1, 2 * BLOCK - 1},
    {OM_SECTION_KEYS, 8, BLOCK / 4, 2 * BLOCK},
    {OM_SECTION_DEAD, 1, 1, 1},
    {OM_SECTION_VECTORS, 3, BLOCK + 1, 3 * BLOCK + 3},
};
const uint32_t sample_large_count = sizeof sample_large / sizeof sample_large[0];

uint8_t sample_byte(uint32_t kind, uint64_t at)
{
    return (uint8_t)(om_mix64(at >> 3) >> (8 * (at & 7)) ^ kind);
}

static omen_status_t write_section(om_segwriter *writer, const sample_section *section,
                                   size_t piece, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    static uint8_t data[3 << 20];
    uint64_t state = section->kind;
    OM_TRY(om_segwriter_begin(writer, section->kind, OM_VECTOR_INDEX_DEFAULT, section->stride,
                              section->rows, section->bytes, err));
    for (uint64_t at = 0; at < section->bytes;) {
        uint64_t part = piece / 2 + om_rng_below(&state, (uint32_t)piece) + 1;
        part = om_min_u64(om_min_u64(part, section->bytes - at), sizeof data);
        for (uint64_t i = 0; i < part; i++) {
            data[i] = sample_byte(section->kind, at + i);
        }
        OM_TRY(om_segwriter_append(writer, data, (size_t)part, err));
        at += part;
    }
    OM_TRY(om_segwriter_end(writer, err));
out:
    return status;
}

omen_status_t sample_write(const om_alloc *alloc, const char *path, const sample_section *sections,
                           uint32_t count, size_t piece, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segwriter *writer = NULL;
    OM_TRY(om_segwriter_create(&om_io_system, alloc, path, &writer, err));
    for (uint32_t i = 0; i < count; i++) {
        OM_TRY(write_section(writer, &sections[i], piece, err));
    }
    om_segwriter *committed = writer;
    writer = NULL;
    OM_TRY(om_segwriter_commit(committed, 40, 77, err));
out:
    om_segwriter_abort(writer);
    return status;
}

void sample_reseal(uint8_t *bytes, size_t size)
{
    om_seg_header header;
    if (size < OM_SEG_HEADER_BYTES + sizeof(om_seg_tail)) {
        return;
    }
    memcpy(&header, bytes, sizeof header);
    uint32_t sections = om_min_u32(header.sections, OM_SEG_MAX_SECTIONS);
    header.table_crc = om_crc32c(0, bytes + OM_SEG_TABLE_AT, sections * sizeof(om_seg_entry));
    memcpy(bytes, &header, sizeof header);
    uint32_t crc = om_crc32c(0, bytes, OM_SEG_HEADER_CRC_AT);
    memcpy(bytes + OM_SEG_HEADER_CRC_AT, &crc, sizeof crc);
    om_seg_tail tail = {.file_bytes = size, .header_crc = crc, .magic = OM_SEG_TAIL_MAGIC};
    memcpy(bytes + size - sizeof tail, &tail, sizeof tail);
}

static void reseal_section(uint8_t *bytes, size_t size, om_seg_entry *entry)
{
    if (entry->offset > size || entry->bytes > size - entry->offset || entry->checksums > size ||
        om_seg_blocks(entry->bytes) * sizeof(uint32_t) > size - entry->checksums) {
        return;
    }
    uint64_t blocks = om_seg_blocks(entry->bytes);
    for (uint64_t block = 0; block < blocks; block++) {
        uint64_t start = block * OM_SEG_BLOCK;
        uint64_t length = om_min_u64(entry->bytes - start, OM_SEG_BLOCK);
        uint32_t crc = om_crc32c(0, bytes + entry->offset + start, (size_t)length);
        memcpy(bytes + entry->checksums + block * sizeof crc, &crc, sizeof crc);
    }
    entry->blocks = (uint32_t)blocks;
    entry->checksums_crc =
        om_crc32c(0, bytes + entry->checksums, (size_t)blocks * sizeof(uint32_t));
}

void sample_reseal_blocks(uint8_t *bytes, size_t size)
{
    om_seg_header header;
    if (size < OM_SEG_HEADER_BYTES + sizeof(om_seg_tail)) {
        return;
    }
    memcpy(&header, bytes, sizeof header);
    for (uint32_t i = 0; i < om_min_u32(header.sections, OM_SEG_MAX_SECTIONS); i++) {
        om_seg_entry entry;
        uint8_t *at = bytes + OM_SEG_TABLE_AT + i * sizeof entry;
        memcpy(&entry, at, sizeof entry);
        reseal_section(bytes, size, &entry);
        memcpy(at, &entry, sizeof entry);
    }
    sample_reseal(bytes, size);
}

static void *scarce_get(void *ctx, size_t size, size_t align)
{
    sample_scarce *scarce = ctx;
    if (scarce->left == 0) {
        return NULL;
    }
    align = align < sizeof(void *) ? sizeof(void *) : align;
    void *block = aligned_alloc(align, om_round_up(size, align));
    scarce->left--;
    scarce->blocks += block != NULL;
    return block;
}

static void scarce_put(void *ctx, void *block, size_t size, size_t align)
{
    sample_scarce *scarce = ctx;
    (void)size;
    (void)align;
    free(block);
    scarce->blocks--;
}

om_alloc sample_scarce_alloc(sample_scarce *scarce)
{
    return (om_alloc){.fns = {.alloc = scarce_get, .free = scarce_put, .ctx = scarce}};
}
