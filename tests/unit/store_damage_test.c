/* store_damage_test.c - damaged and hostile segment files: every one is refused, or harmless.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "rng.h"
#include "segfile_int.h"
#include "store_sample.h"

static const om_alloc libc_alloc;

/* The sample as it is, and the file in memory that tests change and open. */
static uint8_t *whole;
static size_t whole_size;
static int memory_fd;
static char memory_path[64];
static om_seg_header header;
static om_seg_entry entries[OM_SEG_MAX_SECTIONS];

static int setup(void **unused)
{
    (void)unused;
    char dir[] = "damage-XXXXXX";
    char path[64];
    om_map map;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/sample.omen", dir);
    if (sample_write(&libc_alloc, path, sample_small, sample_small_count, 500, NULL) != OMEN_OK ||
        om_map_open(&om_io_system, &map, path, NULL) != OMEN_OK) {
        return -1;
    }
    whole_size = map.bytes;
    whole = malloc(whole_size);
    if (whole == NULL) {
        return -1;
    }
    memcpy(whole, map.base, whole_size);
    memcpy(&header, whole, sizeof header);
    memcpy(entries, whole + OM_SEG_TABLE_AT, sizeof entries);
    om_map_close(&map);
    memory_fd = memfd_create("segment", MFD_CLOEXEC);
    (void)snprintf(memory_path, sizeof memory_path, "/proc/self/fd/%d", memory_fd);
    return memory_fd < 0 || unlink(path) != 0 ? -1 : rmdir(dir);
}

static int teardown(void **unused)
{
    (void)unused;
    free(whole);
    return close(memory_fd);
}

static void set_file(const uint8_t *bytes, size_t size)
{
    assert_int_equal(ftruncate(memory_fd, 0), 0);
    assert_int_equal(ftruncate(memory_fd, (off_t)size), 0);
    assert_int_equal(pwrite(memory_fd, bytes, size, 0), (ssize_t)size);
}

static void set_byte(size_t at, uint8_t value)
{
    assert_int_equal(pwrite(memory_fd, &value, 1, (off_t)at), 1);
}

/* Opens the file and reads all of it as a user of it would. The status of the first failure. */
static omen_status_t open_and_read(omen_error *err)
{
    om_segfile *file = NULL;
    omen_status_t status = om_segfile_open(&om_io_system, &libc_alloc, memory_path, &file, err);
    if (status != OMEN_OK) {
        assert_null(file);
        assert_int_equal(err->status, status);
        assert_true(strlen(err->message) > 20);
        return status;
    }
    volatile uint8_t sum = 0;
    for (uint32_t i = 0; i < file->header.sections; i++) {
        om_section section;
        assert_int_equal(om_segfile_section(file, file->entries[i].kind,
                                            file->entries[i].vector_index, 0, 0, &section, err),
                         OMEN_OK);
        assert_int_equal(section.index, i);
        assert_true(section.data >= file->map.base + OM_SEG_HEADER_BYTES);
        assert_true(section.bytes <= file->map.bytes);
        assert_true(section.data + section.bytes <= file->map.base + file->map.bytes);
        if (om_segfile_verify(file, &section, 0, section.bytes, err) != OMEN_OK) {
            status = OMEN_DATA_LOSS;
            continue;
        }
        for (uint64_t at = 0; at < section.bytes; at++) {
            sum = (uint8_t)(sum + section.data[at]);
        }
    }
    omen_status_t all = om_segfile_verify_all(file, NULL, status == OMEN_OK ? err : NULL);
    assert_int_equal(all, status);
    om_segfile_close(file);
    return status;
}

/* One bit of every byte of the header page and of the tail: always found. */
static void test_bits_of_header_and_tail(void **unused)
{
    (void)unused;
    omen_error err;
    set_file(whole, whole_size);
    assert_int_equal(open_and_read(&err), OMEN_OK);
    for (size_t at = 0; at < whole_size; at++) {
        if (at == OM_SEG_HEADER_BYTES) {
            at = whole_size - sizeof(om_seg_tail);
        }
        set_byte(at, (uint8_t)(whole[at] ^ (1u << (om_mix64(at) % 8))));
        assert_int_equal(open_and_read(&err), OMEN_DATA_LOSS);
        set_byte(at, whole[at]);
    }
    assert_int_equal(open_and_read(&err), OMEN_OK);
}

/* Which section, or checksum table, a byte belongs to; -1: padding. */
static int owner_of(size_t at)
{
    for (uint32_t i = 0; i < header.sections; i++) {
        const om_seg_entry *entry = &entries[i];
        bool in_data = at >= entry->offset && at < entry->offset + entry->bytes;
        bool in_sums = at >= entry->checksums && at < entry->checksums + 4 * (size_t)entry->blocks;
        if (in_data || in_sums) {
            return (int)i;
        }
    }
    return -1;
}

/* A bit anywhere behind the header: found by name, except in padding, which nobody reads. */
static void test_bits_of_sections(void **unused)
{
    (void)unused;
    omen_error err;
    uint64_t state = 4711;
    uint32_t hits[OM_SEG_MAX_SECTIONS] = {0};
    set_file(whole, whole_size);
    for (uint32_t i = 0; i < 4000; i++) {
        uint32_t section = i % header.sections;
        bool sums = om_rng_below(&state, 8) == 0;
        uint64_t span = sums ? 4 * (uint64_t)entries[section].blocks : entries[section].bytes;
        if (span == 0) {
            continue;
        }
        size_t at = (size_t)(sums ? entries[section].checksums : entries[section].offset) +
                    om_rng_below(&state, (uint32_t)span);
        set_byte(at, (uint8_t)(whole[at] ^ (1u << om_rng_below(&state, 8))));
        assert_int_equal(open_and_read(&err), OMEN_DATA_LOSS);
        assert_int_equal(err.detail, OMEN_D_CHECKSUM);
        char name[64];
        (void)snprintf(name, sizeof name, "section %u (%s)", section,
                       om_section_name(entries[section].kind));
        assert_non_null(strstr(err.message, name));
        assert_int_equal(owner_of(at), section);
        hits[section]++;
        set_byte(at, whole[at]);
    }
    for (uint32_t i = 0; i < header.sections; i++) {
        assert_true(hits[i] > 100 || entries[i].bytes == 0);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        size_t at = OM_SEG_HEADER_BYTES +
                    om_rng_below(
                        &state, (uint32_t)(whole_size - OM_SEG_HEADER_BYTES - sizeof(om_seg_tail)));
        set_byte(at, (uint8_t)(whole[at] ^ 0x10));
        assert_int_equal(open_and_read(&err), owner_of(at) < 0 ? OMEN_OK : OMEN_DATA_LOSS);
        set_byte(at, whole[at]);
    }
}

/* A page that reads as zeros. A page that was zero already, padding for the most, is no damage. */
static void test_zeroed_pages(void **unused)
{
    (void)unused;
    omen_error err;
    const uint8_t zeros[4096] = {0};
    uint32_t damaged = 0;
    for (size_t at = 0; at < whole_size; at += sizeof zeros) {
        size_t bytes = whole_size - at < sizeof zeros ? whole_size - at : sizeof zeros;
        set_file(whole, whole_size);
        assert_int_equal(pwrite(memory_fd, zeros, bytes, (off_t)at), (ssize_t)bytes);
        bool changed = memcmp(whole + at, zeros, bytes) != 0;
        assert_int_equal(open_and_read(&err), changed ? OMEN_DATA_LOSS : OMEN_OK);
        damaged += changed;
    }
    assert_true(damaged >= header.sections);
}

static void check_size(size_t size)
{
    omen_error err;
    uint8_t *bytes = calloc(size + 1, 1);
    assert_non_null(bytes);
    memcpy(bytes, whole, size < whole_size ? size : whole_size);
    set_file(bytes, size);
    assert_int_equal(open_and_read(&err), size == whole_size ? OMEN_OK : OMEN_DATA_LOSS);
    /* The same with a right header and tail for this size: what is cut off is found all the same,
     * unless that is only the padding before the tail. */
    const om_seg_entry *last = &entries[header.sections - 1];
    size_t needed = (size_t)last->checksums + 4 * (size_t)last->blocks + sizeof(om_seg_tail);
    if (size > OM_SEG_HEADER_BYTES + sizeof(om_seg_tail)) {
        uint64_t said = size;
        memcpy(bytes + offsetof(om_seg_header, file_bytes), &said, sizeof said);
        sample_reseal(bytes, size);
        set_file(bytes, size);
        assert_int_equal(open_and_read(&err), size >= needed ? OMEN_OK : OMEN_DATA_LOSS);
    }
    free(bytes);
}

static void test_truncated_and_extended(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < header.sections; i++) {
        const uint64_t borders[] = {entries[i].offset, entries[i].offset + entries[i].bytes,
                                    entries[i].checksums,
                                    entries[i].checksums + 4 * (uint64_t)entries[i].blocks};
        for (size_t b = 0; b < sizeof borders / sizeof borders[0]; b++) {
            for (uint64_t size = borders[b] - 1; size <= borders[b] + 1; size++) {
                check_size((size_t)size);
            }
        }
    }
    const size_t others[] = {0,
                             1,
                             7,
                             8,
                             127,
                             128,
                             4091,
                             4092,
                             4095,
                             4096,
                             4097,
                             4119,
                             4120,
                             4121,
                             8192,
                             whole_size - 25,
                             whole_size - 24,
                             whole_size - 23,
                             whole_size - 8,
                             whole_size - 1,
                             whole_size};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        check_size(others[i]);
    }
    check_size(whole_size + 8);
    check_size(whole_size + 4096);
}

/* Sets a field of the header page, with all checksums right. */
static omen_status_t open_with(size_t at, const void *value, size_t width, omen_error *err)
{
    uint8_t *bytes = malloc(whole_size);
    assert_non_null(bytes);
    memcpy(bytes, whole, whole_size);
    memcpy(bytes + at, value, width);
    sample_reseal(bytes, whole_size);
    set_file(bytes, whole_size);
    free(bytes);
    return open_and_read(err);
}

static void expect_u32(size_t at, uint32_t value, omen_status_t status, int32_t detail,
                       const char *text)
{
    omen_error err;
    assert_int_equal(open_with(at, &value, sizeof value, &err), status);
    assert_int_equal(err.detail, detail);
    if (strstr(err.message, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, err.message);
    }
}

static void test_header_fields(void **unused)
{
    (void)unused;
    omen_error err;
    expect_u32(offsetof(om_seg_header, format), 2, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
               "format version 2 is newer than 1");
    expect_u32(offsetof(om_seg_header, format), 0, OMEN_DATA_LOSS, OMEN_D_NONE,
               "format version is 0");
    expect_u32(offsetof(om_seg_header, incompat), 0x40, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
               "features 00000040");
    expect_u32(offsetof(om_seg_header, header_bytes), 8192, OMEN_DATA_LOSS, OMEN_D_NONE,
               "header size is 8192");
    expect_u32(offsetof(om_seg_header, byte_order), 0x04030201, OMEN_DATA_LOSS, OMEN_D_NONE,
               "byte order");
    expect_u32(offsetof(om_seg_header, block_bytes), 4096, OMEN_DATA_LOSS, OMEN_D_NONE,
               "block size is 4096");
    expect_u32(offsetof(om_seg_header, sections), 61, OMEN_DATA_LOSS, OMEN_D_NONE,
               "sections is 61");
    const uint64_t too_many = (uint64_t)OMEN_MAX_ROWS + 1;
    assert_int_equal(open_with(offsetof(om_seg_header, rows), &too_many, 8, &err), OMEN_DATA_LOSS);
    assert_non_null(strstr(err.message, "2147483647"));
    const uint32_t unknown_compatible = 0x80000001u;
    assert_int_equal(open_with(offsetof(om_seg_header, ro_compat), &unknown_compatible, 4, &err),
                     OMEN_OK);
    assert_int_equal(open_with(offsetof(om_seg_header, compat), &unknown_compatible, 4, &err),
                     OMEN_OK);
}

/* A table that does not fit a header with a right checksum: a writer that went wrong. */
static void test_table_checksum(void **unused)
{
    (void)unused;
    omen_error err;
    uint32_t value = header.table_crc ^ 1;
    uint8_t *bytes = malloc(whole_size);
    assert_non_null(bytes);
    memcpy(bytes, whole, whole_size);
    memcpy(bytes + offsetof(om_seg_header, table_crc), &value, sizeof value);
    uint32_t crc = om_crc32c(0, bytes, OM_SEG_HEADER_CRC_AT);
    memcpy(bytes + OM_SEG_HEADER_CRC_AT, &crc, sizeof crc);
    set_file(bytes, whole_size);
    free(bytes);
    assert_int_equal(open_and_read(&err), OMEN_DATA_LOSS);
    assert_int_equal(err.detail, OMEN_D_CHECKSUM);
    assert_non_null(strstr(err.message, "section table"));
}

static void expect_entry(uint32_t index, const om_seg_entry *entry, omen_status_t status,
                         const char *text)
{
    omen_error err;
    assert_int_equal(open_with(OM_SEG_TABLE_AT + index * sizeof *entry, entry, sizeof *entry, &err),
                     status);
    if (strstr(err.message, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, err.message);
    }
}

/* Hostile table entries whose checksums are right. */
static void test_table_entries(void **unused)
{
    (void)unused;
    om_seg_entry entry = entries[2];
    entry.offset = entries[1].offset; /* over the section before */
    expect_entry(2, &entry, OMEN_DATA_LOSS, "but what comes before ends at");
    entry.offset = 0; /* over the header */
    expect_entry(2, &entry, OMEN_DATA_LOSS, "but what comes before ends at");
    entry.offset = entries[2].offset + 64;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "not a multiple of 4096");
    entry.offset = UINT64_MAX - 4095; /* offset + size wraps around */
    expect_entry(2, &entry, OMEN_DATA_LOSS, "data of the file end at");
    entry = entries[2];
    entry.bytes = UINT64_MAX - entry.offset + 1;
    entry.stride = 0;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "section 2 (codes)");
    entry = entries[2];
    entry.rows = 3; /* the product wraps around to the right size */
    entry.stride = entries[2].bytes * UINT64_C(0xAAAAAAAAAAAAAAAB);
    expect_entry(2, &entry, OMEN_DATA_LOSS, "are not its 2560 bytes");
    entry = entries[2];
    entry.rows++;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "41 rows of 64 bytes");
    entry = entries[2];
    entry.blocks = 0;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "number of blocks is 0, must be 1");
    entry = entries[2];
    entry.kind = entries[0].kind;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "as that of section 0");
    entry = entries[2];
    entry.checksums = entry.offset;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "offset of checksums");
    entry.checksums = entries[2].checksums + 1;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "not a multiple of 4");
    entry.checksums = UINT64_MAX - 3;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "data of the file end at");
    entry = entries[2];
    entry.checksums_crc ^= 1;
    expect_entry(2, &entry, OMEN_DATA_LOSS, "checksum of its checksum table");
    entry = entries[13];
    entry.flags = OM_SEG_FLAG_REQUIRED; /* kind 200 */
    expect_entry(13, &entry, OMEN_UNIMPLEMENTED, "needs section kind 200");
}

/* Any field of any entry, and of the header, set to anything: an error or a harmless file. */
static void test_random_fields(void **unused)
{
    (void)unused;
    uint64_t state = 99;
    uint32_t opened = 0;
    uint8_t *bytes = malloc(whole_size);
    assert_non_null(bytes);
    for (uint32_t round = 0; round < 20000; round++) {
        memcpy(bytes, whole, whole_size);
        uint32_t changes = 1 + om_rng_below(&state, 3);
        for (uint32_t i = 0; i < changes; i++) {
            size_t at = 8 + 4 * (size_t)om_rng_below(&state, 14 + 16 * header.sections);
            at = at < 8 + 4 * 14 ? at : OM_SEG_TABLE_AT + at - (8 + 4 * 14);
            const uint64_t choices[] = {0,
                                        1,
                                        4,
                                        4096,
                                        1 << 20,
                                        2 << 20,
                                        whole_size,
                                        whole_size - 24,
                                        UINT32_MAX,
                                        UINT64_MAX,
                                        (uint64_t)1 << 63,
                                        om_rng_next(&state) % whole_size,
                                        om_rng_next(&state)};
            uint64_t value = choices[om_rng_below(&state, sizeof choices / sizeof choices[0])];
            memcpy(bytes + at, &value, om_rng_below(&state, 2) == 0 ? 4 : 8);
        }
        sample_reseal(bytes, whole_size);
        set_file(bytes, whole_size);
        omen_error err;
        omen_status_t status = open_and_read(&err);
        assert_true(status == OMEN_OK || status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED);
        opened += status == OMEN_OK;
    }
    assert_true(opened > 0 && opened < 20000);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_header_and_tail),
        cmocka_unit_test(test_bits_of_sections),
        cmocka_unit_test(test_zeroed_pages),
        cmocka_unit_test(test_truncated_and_extended),
        cmocka_unit_test(test_header_fields),
        cmocka_unit_test(test_table_checksum),
        cmocka_unit_test(test_table_entries),
        cmocka_unit_test(test_random_fields),
    };
    return cmocka_run_group_tests_name("store_damage", tests, setup, teardown);
}
