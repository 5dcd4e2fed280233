/* store_cursors_test.c - files of cursors: round trips, damage, limits, failing disks and memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "segfile.h"
#include "store_manifest.h"
#include "store_sample.h"

enum { STREAMS = 5, REQUESTS = 4, HEADER = 64, STREAM_BYTES = 48, REQUEST_BYTES = 40 };
static const om_alloc libc_alloc;
static const char path[] = "/cursors";
static const sim_fault no_fault;
static sim_disk *disk;
static om_io io;
static om_cursor streams[STREAMS];
static om_request requests[REQUESTS];
static om_cursors sample;

/* In no order; ids of 1, 7, 8, 9 and the most bytes, with zeros and high bytes in them. */
static int set_up(void **unused)
{
    static const uint32_t lengths[STREAMS] = {8, 1, OMEN_MAX_STREAM_ID, 9, 7};
    static const uint32_t owners[STREAMS] = {4, 9, 4, 1, 4};
    (void)unused;
    disk = sim_disk_create(NULL);
    io = sim_disk_io(disk);
    memset(streams, 0, sizeof streams);
    memset(requests, 0, sizeof requests);
    for (uint32_t i = 0; i < STREAMS; i++) {
        streams[i] = (om_cursor){.collection = owners[i],
                                 .length = lengths[i],
                                 .last_seq = UINT64_MAX - i,
                                 .last_version = i * 10,
                                 .epoch = i + 1,
                                 .used_wall_ns = 1000 + i,
                                 .crc = 0xC0FFEE00u + i};
        for (uint32_t b = 0; b < lengths[i]; b++) {
            streams[i].id[b] = (char)(b == 2 ? 0 : 255 - b);
        }
    }
    for (uint32_t i = 0; i < REQUESTS; i++) {
        requests[i] = (om_request){.collection = 9 - i,
                                   .length = i == 0 ? OMEN_MAX_REQUEST_ID : i,
                                   .version = 100 - i,
                                   .applied = i,
                                   .replaced = i / 2,
                                   .refused = 3};
        memset(requests[i].id, 'r', requests[i].length);
    }
    sample = (om_cursors){.lsn = 4711,
                          .cursors = streams,
                          .requests = requests,
                          .cursor_count = STREAMS,
                          .request_count = REQUESTS};
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    sim_open open = sim_disk_open(disk);
    sim_disk_free(disk);
    return open.files == 0 && open.mappings == 0 ? 0 : -1;
}

static void write_sample(void)
{
    omen_error err = {0};
    if (om_cursors_write(&io, &libc_alloc, path, &sample, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
}

static void assert_cursor_equal(const om_cursor *a, const om_cursor *b)
{
    assert_int_equal(a->collection, b->collection);
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->id, b->id, a->length);
    assert_int_equal(a->last_seq, b->last_seq);
    assert_int_equal(a->last_version, b->last_version);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->used_wall_ns, b->used_wall_ns);
    assert_int_equal(a->crc, b->crc);
}

static void test_round_trip(void **unused)
{
    static const uint32_t order[STREAMS] = {3, 4, 0, 2, 1}; /* by collection, then id */
    (void)unused;
    om_cursors read;
    write_sample();
    assert_int_equal(om_cursors_probe(&io, &libc_alloc, path, NULL), OMEN_OK);
    assert_int_equal(om_cursors_read(&io, &libc_alloc, path, &read, NULL), OMEN_OK);
    assert_int_equal(read.lsn, 4711);
    assert_int_equal(read.cursor_count, STREAMS);
    assert_int_equal(read.request_count, REQUESTS);
    for (uint32_t i = 0; i < STREAMS; i++) {
        assert_cursor_equal(&read.cursors[i], &streams[order[i]]);
    }
    for (uint32_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(read.requests[i].collection, requests[i].collection);
        assert_int_equal(read.requests[i].length, requests[i].length);
        assert_memory_equal(read.requests[i].id, requests[i].id, requests[i].length);
        assert_int_equal(read.requests[i].version, requests[i].version);
        assert_int_equal(read.requests[i].applied, requests[i].applied);
        assert_int_equal(read.requests[i].replaced, requests[i].replaced);
        assert_int_equal(read.requests[i].refused, requests[i].refused);
    }
    om_cursors_free(&libc_alloc, &read);
    om_cursors_free(&libc_alloc, &read);

    sample = (om_cursors){.lsn = 1};
    write_sample();
    assert_int_equal(om_cursors_read(&io, &libc_alloc, path, &read, NULL), OMEN_OK);
    assert_int_equal(read.lsn, 1);
    assert_null(read.cursors);
    assert_null(read.requests);
    om_cursors_free(&libc_alloc, &read);
    assert_int_equal(folder_count(&io, "/"), 1);
}

/* Many of both, in an order that comes from a generator; the result ascends. */
static void test_many(void **unused)
{
    enum { MANY = 20000 };
    (void)unused;
    om_cursor *many = calloc(MANY, sizeof *many);
    om_cursors read;
    assert_non_null(many);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t n = (uint32_t)((uint64_t)i * 7919 % MANY);
        many[i] = (om_cursor){.collection = 1 + n % 7, .last_seq = n};
        many[i].length = (uint32_t)snprintf(many[i].id, sizeof many[i].id, "stream-%u", n);
    }
    sample.cursors = many;
    sample.cursor_count = MANY;
    write_sample();
    assert_int_equal(om_cursors_read(&io, &libc_alloc, path, &read, NULL), OMEN_OK);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        sum += read.cursors[i].last_seq;
        assert_true(i == 0 || read.cursors[i - 1].collection <= read.cursors[i].collection);
    }
    assert_int_equal(sum, (uint64_t)MANY * (MANY - 1) / 2);
    om_cursors_free(&libc_alloc, &read);
    free(many);
}

static void refuse_write(omen_status_t want, const char *message)
{
    omen_error err = {0};
    assert_int_equal(om_cursors_write(&io, &libc_alloc, path, &sample, &err), want);
    if (strstr(err.message, message) == NULL) {
        fail_msg("'%s' is not in '%s'", message, err.message);
    }
    assert_false(file_exists(&io, path));
}

static void test_write_refuses(void **unused)
{
    (void)unused;
    streams[1].collection = 0;
    refuse_write(OMEN_INTERNAL, "stream 1 belongs to no collection");
    streams[1].collection = 9;
    streams[1].length = 0;
    refuse_write(OMEN_INTERNAL, "id of stream 1 has 0 bytes, must have 1 to 128");
    streams[1].length = OMEN_MAX_STREAM_ID + 1;
    refuse_write(OMEN_INTERNAL, "has 129 bytes");
    streams[1] = streams[3];
    refuse_write(OMEN_INTERNAL, "is there twice");
    streams[1].collection++;
    requests[2].collection = 0;
    refuse_write(OMEN_INTERNAL, "request 2 belongs to no collection");
    requests[2].collection = 1;
    requests[2].length = OMEN_MAX_REQUEST_ID + 1;
    refuse_write(OMEN_INTERNAL, "id of request 2 has 129 bytes");
    requests[2] = requests[0];
    refuse_write(OMEN_INTERNAL, "the id of request");
    sample.cursor_count = OM_CURSORS_MAX_STREAMS + 1;
    refuse_write(OMEN_RESOURCE_EXHAUSTED, "the limits are 4194304 and 65536");
    sample.cursor_count = 0;
    sample.request_count = OM_CURSORS_MAX_REQUESTS + 1;
    refuse_write(OMEN_RESOURCE_EXHAUSTED, "65537 requests");
}

/* ---- Damage ---- */
static void reseal(uint8_t *bytes, size_t size)
{
    uint32_t crc = om_crc32c(0, bytes + HEADER, size - HEADER);
    memcpy(bytes + 56, &crc, sizeof crc);
    om_head_seal(&om_cursors_kind, bytes);
}

static omen_status_t read_bytes(const uint8_t *bytes, size_t size, omen_error *err)
{
    om_cursors read = {0};
    assert_int_equal(om_io_unlink(&io, path, NULL), OMEN_OK);
    file_put(&io, path, bytes, size);
    omen_status_t status = om_cursors_read(&io, &libc_alloc, path, &read, err);
    if (status == OMEN_OK) { /* then it can be written again */
        assert_int_equal(om_cursors_write(&io, &libc_alloc, path, &read, NULL), OMEN_OK);
    }
    om_cursors_free(&libc_alloc, &read);
    return status;
}

static void test_every_bit(void **unused)
{
    (void)unused;
    size_t size, harmless = 0;
    write_sample();
    uint8_t *bytes = file_get(&io, path, &size);
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        memcpy(copy, bytes, size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(read_bytes(copy, size, NULL), OMEN_DATA_LOSS);
        assert_int_equal(om_cursors_probe(&io, &libc_alloc, path, NULL), OMEN_DATA_LOSS);
        reseal(copy, size);
        omen_status_t status = read_bytes(copy, size, NULL);
        harmless += status == OMEN_OK;
        assert_true(status == OMEN_OK || status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED);
    }
    assert_true(harmless > size);
    free(copy);
    free(bytes);
}

static void test_every_cut(void **unused)
{
    (void)unused;
    size_t size;
    write_sample();
    uint8_t *bytes = file_get(&io, path, &size);
    uint8_t *copy = calloc(1, size + 16);
    assert_non_null(copy);
    for (size_t cut = 0; cut < size + 16; cut++) {
        if (cut == size) {
            continue;
        }
        memcpy(copy, bytes, size);
        assert_int_equal(read_bytes(copy, cut, NULL), OMEN_DATA_LOSS);
        assert_int_equal(om_cursors_probe(&io, &libc_alloc, path, NULL), OMEN_DATA_LOSS);
        if (cut >= HEADER) {
            uint64_t said = cut;
            memcpy(copy + offsetof(om_head, file_bytes), &said, sizeof said);
            reseal(copy, cut);
            assert_int_equal(read_bytes(copy, cut, NULL), OMEN_DATA_LOSS);
        }
    }
    free(copy);
    free(bytes);
}

static void hostile(uint8_t *bytes, size_t size, size_t at, uint32_t value, const char *message)
{
    uint32_t old;
    omen_error err = {0};
    memcpy(&old, bytes + at, sizeof old);
    memcpy(bytes + at, &value, sizeof value);
    reseal(bytes, size);
    assert_int_equal(read_bytes(bytes, size, &err), OMEN_DATA_LOSS);
    if (strstr(err.message, message) == NULL) {
        fail_msg("'%s' is not in '%s'", message, err.message);
    }
    memcpy(bytes + at, &old, sizeof old);
}

static void test_hostile_values(void **unused)
{
    (void)unused;
    size_t size;
    write_sample();
    uint8_t *bytes = file_get(&io, path, &size);
    const size_t second = HEADER + STREAM_BYTES + 16; /* behind the id of 9 bytes */
    hostile(bytes, size, 48, STREAMS + 1, "stream 5");
    hostile(bytes, size, 48, STREAMS - 1, "request");
    hostile(bytes, size, 48, OM_CURSORS_MAX_STREAMS + 1, "4194305 streams");
    hostile(bytes, size, 48, UINT32_MAX, "streams");
    hostile(bytes, size, 52, REQUESTS + 1, "request 4 needs 40 bytes, but only 0");
    hostile(bytes, size, 52, REQUESTS - 1, "stand behind the last request");
    hostile(bytes, size, 52, OM_CURSORS_MAX_REQUESTS + 1, "65537 requests");
    hostile(bytes, size, HEADER, 0, "stream 0 belongs to no collection");
    hostile(bytes, size, HEADER + 4, 0, "has 0 bytes");
    hostile(bytes, size, HEADER + 4, OMEN_MAX_STREAM_ID + 1, "has 129 bytes");
    hostile(bytes, size, HEADER + 4, UINT32_MAX, "has 4294967295 bytes");
    hostile(bytes, size, HEADER, 5, "does not stand behind");
    hostile(bytes, size, second, 1, "does not stand behind");
    /* The last request gets an id that is longer than the rest of the file. */
    hostile(bytes, size, size - 8 - REQUEST_BYTES + 4, 9, "needs 16 bytes, but only 8 are left");
    free(bytes);

    /* The same stream twice, and the same request twice. */
    sample.cursor_count = 2;
    sample.request_count = 2;
    streams[0].length = streams[1].length = 4;
    streams[0].collection = streams[1].collection = 3;
    requests[0].length = requests[1].length = 4;
    memset(requests[0].id, 'a', 4);
    memset(requests[1].id, 'b', 4);
    requests[0].collection = requests[1].collection = 3;
    memcpy(streams[0].id, "aaaa", 4);
    memcpy(streams[1].id, "bbbb", 4);
    write_sample();
    bytes = file_get(&io, path, &size);
    hostile(bytes, size, HEADER + STREAM_BYTES + 8 + STREAM_BYTES, 0x61616161,
            "stream 1 does not stand behind");
    hostile(bytes, size, size - 8, 0x61616161, "is there twice");
    free(bytes);
}

/* ---- Failures ---- */
static void test_failing_disk(void **unused)
{
    (void)unused;
    static const int errors[] = {EIO, ENOSPC, EINTR, 0};
    write_sample();
    for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
        for (uint64_t nth = 1;; nth++) {
            om_cursors read = {0};
            omen_error err = {0};
            const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = errors[e]};
            sim_disk_fault(disk, &fault);
            omen_status_t status = om_cursors_write(&io, &libc_alloc, path, &sample, &err);
            if (status == OMEN_OK) {
                status = om_cursors_probe(&io, &libc_alloc, path, &err);
            }
            if (status == OMEN_OK) {
                status = om_cursors_read(&io, &libc_alloc, path, &read, &err);
            }
            bool faulted = sim_disk_faulted(disk);
            sim_disk_fault(disk, &no_fault);
            if (status != OMEN_OK) {
                assert_int_not_equal(status, OMEN_DATA_LOSS);
                assert_int_equal(om_cursors_read(&io, &libc_alloc, path, &read, NULL), OMEN_OK);
            }
            assert_int_equal(read.cursor_count, STREAMS);
            om_cursors_free(&libc_alloc, &read);
            if (!faulted) {
                assert_int_equal(status, OMEN_OK);
                break;
            }
        }
    }
}

static void test_without_memory(void **unused)
{
    (void)unused;
    omen_status_t status = OMEN_INTERNAL;
    uint64_t calls = 0;
    for (; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        omen_error err = {0};
        status = om_cursors_write(&io, &alloc, path, &sample, &err);
        assert_int_equal(err.detail, status == OMEN_OK ? OMEN_D_NONE : OMEN_D_NO_MEMORY);
        assert_int_equal(file_exists(&io, path), status == OMEN_OK);
        assert_int_equal(scarce.blocks, 0);
    }
    assert_int_equal(calls, 4); /* two orders and the bytes */
    status = OMEN_INTERNAL;
    for (calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        om_cursors read = {0};
        omen_error err = {0};
        status = om_cursors_read(&io, &alloc, path, &read, &err);
        assert_int_equal(err.detail, status == OMEN_OK ? OMEN_D_NONE : OMEN_D_NO_MEMORY);
        om_cursors_free(&alloc, &read);
        assert_int_equal(scarce.blocks, 0);
    }
    assert_int_equal(calls, 5); /* the file, two arrays, an order */
    assert_int_equal(om_cursors_read(&io, &libc_alloc, "/none", &sample, NULL), OMEN_NOT_FOUND);
    assert_int_equal(om_cursors_probe(&io, &libc_alloc, "/none", NULL), OMEN_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store cursors", tests, NULL, NULL);
}
