/* segfile_verify.c - block checksums at first touch, remembered in a bitmap.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The mapped bytes do not change, so a bit says only "somebody computed this and it was right": it
 * orders nothing, and relaxed loads and stores are enough. Two threads that meet at a block both
 * compute it. */
#include "segfile_int.h"

static bool is_set(const _Atomic uint64_t *words, uint64_t bit)
{
    return (atomic_load_explicit(&words[bit / 64], memory_order_relaxed) >> (bit % 64) & 1) != 0;
}

static void set_bit(_Atomic uint64_t *words, uint64_t bit)
{
    atomic_fetch_or_explicit(&words[bit / 64], UINT64_C(1) << (bit % 64), memory_order_relaxed);
}

/* The table of block checksums of a section has one of its own, in the section table. */
static omen_status_t check_checksums(om_segfile *file, uint32_t index, omen_error *err)
{
    if (is_set(&file->tables, index)) {
        return OMEN_OK;
    }
    const om_seg_entry *entry = &file->entries[index];
    uint32_t found =
        om_crc32c(0, file->map.base + entry->checksums, (size_t)entry->blocks * sizeof(uint32_t));
    if (found != entry->checksums_crc) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "%s: section %u (%s): checksum of its checksum table is %08x, must be %08x",
                       file->name, index, om_section_name(entry->kind), found,
                       entry->checksums_crc);
    }
    set_bit(&file->tables, index);
    return OMEN_OK;
}

static omen_status_t check_block(om_segfile *file, uint32_t index, uint64_t block, omen_error *err)
{
    omen_status_t status = check_checksums(file, index, err);
    if (status != OMEN_OK) {
        return status;
    }
    const om_seg_entry *entry = &file->entries[index];
    uint64_t start = block * OM_SEG_BLOCK;
    uint64_t bytes = om_min_u64(entry->bytes - start, OM_SEG_BLOCK);
    const uint32_t *sums = (const uint32_t *)(const void *)(file->map.base + entry->checksums);
    /* One large read instead of a fault for every few pages of a cold file. */
    om_map_populate(&file->map, (size_t)(entry->offset + start), (size_t)bytes);
    uint32_t found = om_crc32c(0, file->map.base + entry->offset + start, (size_t)bytes);
    if (found != sums[block]) {
        return om_fail(
            err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
            "%s: section %u (%s): checksum of block %llu, bytes %llu to %llu of the file, is "
            "%08x, must be %08x",
            file->name, index, om_section_name(entry->kind), (unsigned long long)block,
            (unsigned long long)(entry->offset + start),
            (unsigned long long)(entry->offset + start + bytes - 1), found, sums[block]);
    }
    set_bit(file->verified, file->first_block[index] + block);
    return OMEN_OK;
}

omen_status_t om_segfile_verify(om_segfile *file, const om_section *section, uint64_t offset,
                                uint64_t bytes, omen_error *err)
{
    if (bytes == 0) {
        return OMEN_OK;
    }
    if (OM_UNLIKELY(section->index >= file->header.sections || offset > section->bytes ||
                    bytes > section->bytes - offset)) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: bytes %llu + %llu are outside of a section of %llu bytes", file->name,
                       (unsigned long long)offset, (unsigned long long)bytes,
                       (unsigned long long)section->bytes);
    }
    om_assert(section->bytes == file->entries[section->index].bytes);
    uint64_t last = (offset + bytes - 1) / OM_SEG_BLOCK;
    for (uint64_t block = offset / OM_SEG_BLOCK; block <= last; block++) {
        if (OM_LIKELY(is_set(file->verified, file->first_block[section->index] + block))) {
            continue;
        }
        omen_status_t status = check_block(file, section->index, block, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

omen_status_t om_segfile_verify_all(om_segfile *file, const om_stop *stop, omen_error *err)
{
    for (uint32_t i = 0; i < file->header.sections; i++) {
        for (uint64_t block = 0; block < file->entries[i].blocks; block++) {
            omen_status_t status = stop == NULL ? OMEN_OK : om_stop_check(stop);
            if (status != OMEN_OK) {
                return om_fail(err, status, OMEN_D_NONE, "%s: stopped while checking its blocks",
                               file->name);
            }
            status = check_block(file, i, block, err);
            if (status != OMEN_OK) {
                return status;
            }
        }
    }
    return OMEN_OK;
}

void om_segfile_warm(const om_segfile *file, const om_section *section)
{
    if (section->data != NULL && section->bytes != 0) {
        om_map_populate(&file->map, (size_t)(section->data - file->map.base),
                        (size_t)section->bytes);
    }
}
