/* sim_crash_test.c - small programs, right and wrong, against power failures: the wrong ones must be found
 * and the right ones must not. SPDX-License-Identifier: Apache-2.0 */
#include "../unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "sim_disk.h"

/* A log of numbers that are certain once they are acknowledged (marked), and a value that is replaced. */
enum { RECORDS = 12, RECORD = 700, SEEDS = 40 };
typedef struct record {
    uint64_t number;
    uint64_t sum;
    uint8_t filler[RECORD - 16];
} record;

typedef struct toy {
    bool skip_sync, skip_dir, ack_early, retry_failed;
} toy;

static record make_record(uint64_t number)
{
    record r = {.number = number, .sum = om_mix64(number)};
    memset(r.filler, (int)number, sizeof r.filler);
    return r;
}

static bool record_holds(const record *r, uint64_t number)
{
    record want = make_record(number);
    return memcmp(r, &want, sizeof want) == 0;
}

static void append_all(sim_disk *disk, const toy *how)
{
    om_io io = sim_disk_io(disk);
    om_iofile file;
    assert_int_equal(om_io_open(&io, "/log", OM_IO_WRITE | OM_IO_CREATE, &file, NULL), OMEN_OK);
    if (!how->skip_dir) {
        assert_int_equal(om_io_sync_dir(&io, "/", NULL), OMEN_OK);
    }
    for (uint64_t i = 0; i < RECORDS; i++) {
        record r = make_record(i);
        assert_int_equal(om_io_write(&file, &r, sizeof r, i * sizeof r, NULL), OMEN_OK);
        if (how->ack_early) {
            sim_disk_mark(disk, i + 1);
        }
        if (!how->skip_sync && om_io_sync(&file, NULL) != OMEN_OK) {
            if (!how->retry_failed) {
                break;
            }
            assert_int_equal(om_io_sync(&file, NULL), OMEN_OK);
        }
        sim_disk_mark(disk, i + 1);
    }
    om_io_close(&file);
}

/* Records from the first on that are whole. */
static uint64_t recover(const sim_image *image)
{
    sim_disk *disk = sim_disk_create(image);
    om_io io = sim_disk_io(disk);
    om_iofile file;
    uint64_t count = 0;
    if (om_io_open(&io, "/log", 0, &file, NULL) == OMEN_OK) {
        record r;
        while (om_io_read(&file, &r, sizeof r, count * sizeof r, NULL) == OMEN_OK &&
               record_holds(&r, count)) {
            count++;
        }
    }
    om_io_close(&file);
    sim_disk_free(disk);
    return count;
}

typedef struct outcome {
    uint64_t states, violations, partial;
} outcome;

/* partial: states that hold more than what was acknowledged, so that both outcomes occur. */
static outcome enumerate(const sim_trace *trace)
{
    outcome out = {0};
    sim_crash *crash = sim_crash_create(trace);
    do {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            sim_kept kept = seed == 0   ? SIM_KEEP_NONE
                            : seed == 1 ? SIM_KEEP_ALL
                            : seed < 8  ? SIM_KEEP_PREFIX
                                        : SIM_KEEP_SOME;
            sim_image *image = sim_crash_state(crash, kept, seed);
            uint64_t found = recover(image);
            out.states++;
            out.violations += found < sim_crash_mark(crash) ? 1 : 0;
            out.partial += found > sim_crash_mark(crash) ? 1 : 0;
            sim_image_free(image);
        }
    } while (sim_crash_next(crash));
    sim_crash_free(crash);
    return out;
}

static outcome run_toy(const toy *how, const sim_fault *fault, uint64_t lie)
{
    sim_disk *disk = sim_disk_create(NULL);
    sim_disk_record(disk);
    if (fault != NULL) {
        sim_disk_fault(disk, fault);
    }
    sim_disk_lie(disk, lie);
    append_all(disk, how);
    sim_trace *trace = sim_disk_recorded(disk);
    outcome out = enumerate(trace);
    sim_trace_free(trace);
    sim_disk_free(disk);
    return out;
}

static void a_right_log_loses_nothing(void **state)
{
    (void)state;
    outcome out = run_toy(&(toy){.skip_sync = false}, NULL, 0);
    assert_true(out.states > 1000);
    assert_int_equal(out.violations, 0);
    assert_true(out.partial > 100); /* what was written and not acknowledged may be there */
}

static void wrong_logs_are_found(void **state)
{
    (void)state;
    assert_true(run_toy(&(toy){.skip_sync = true}, NULL, 0).violations > 100);
    assert_true(run_toy(&(toy){.skip_dir = true}, NULL, 0).violations > 10);
    assert_true(run_toy(&(toy){.ack_early = true}, NULL, 0).violations > 100);
}

static void every_sync_that_lies_is_found(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= RECORDS + 1; nth++) {
        assert_true(run_toy(&(toy){.skip_sync = false}, NULL, nth).violations > 0);
    }
    assert_int_equal(run_toy(&(toy){.skip_sync = false}, NULL, RECORDS + 2).violations, 0);
}

static void a_failed_sync_must_not_be_repeated(void **state)
{
    (void)state;
    sim_fault fault = {SIM_SYNC, 5, false, EIO};
    assert_true(run_toy(&(toy){.retry_failed = true}, &fault, 0).violations > 0);
    assert_int_equal(run_toy(&(toy){.retry_failed = false}, &fault, 0).violations, 0);
}

/* ---- A value that is replaced: old or new, never anything else ---- */
enum { VALUES = 8, VALUE = 3000 };

static void fill_value(uint8_t *out, uint64_t number)
{
    memset(out, (int)(number + 1), VALUE);
}

/* The number of the value in the file; -1 none; -2 not whole. */
static int64_t read_value(const sim_image *image)
{
    uint8_t got[VALUE + 1], want[VALUE];
    int64_t found = -2;
    sim_disk *disk = sim_disk_create(image);
    om_io io = sim_disk_io(disk);
    om_iofile file;
    uint64_t bytes = 0;
    if (om_io_open(&io, "/value", 0, &file, NULL) != OMEN_OK) {
        found = -1;
    } else if (om_io_size(&file, &bytes, NULL) == OMEN_OK && bytes == VALUE &&
               om_io_read(&file, got, VALUE, 0, NULL) == OMEN_OK) {
        fill_value(want, got[0] - (uint64_t)1);
        found = memcmp(got, want, VALUE) == 0 ? got[0] - 1 : -2;
    }
    om_io_close(&file);
    sim_disk_free(disk);
    return found;
}

static void write_in_place(const om_io *io, const uint8_t *value)
{
    om_iofile file;
    uint32_t flags = OM_IO_WRITE | OM_IO_CREATE | OM_IO_TRUNCATE;
    assert_int_equal(om_io_open(io, "/value", flags, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_write(&file, value, VALUE, 0, NULL), OMEN_OK);
    assert_int_equal(om_io_sync(&file, NULL), OMEN_OK);
    om_io_close(&file);
    assert_int_equal(om_io_sync_dir(io, "/", NULL), OMEN_OK);
}

/* States in which the value is older than acknowledged or not whole. */
static uint64_t replace_values(bool in_place, uint64_t lie)
{
    uint8_t value[VALUE];
    uint64_t violations = 0;
    sim_disk *disk = sim_disk_create(NULL);
    om_io io = sim_disk_io(disk);
    sim_disk_record(disk);
    sim_disk_lie(disk, lie);
    for (uint64_t i = 0; i < VALUES; i++) {
        fill_value(value, i);
        if (in_place) {
            write_in_place(&io, value);
        } else {
            assert_int_equal(om_io_replace(&io, "/value", value, VALUE, NULL), OMEN_OK);
        }
        sim_disk_mark(disk, i + 1);
    }
    sim_trace *trace = sim_disk_recorded(disk);
    sim_crash *crash = sim_crash_create(trace);
    do {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            sim_image *image = sim_crash_state(crash, (sim_kept)(seed % 4), seed);
            int64_t found = read_value(image);
            violations += found < (int64_t)sim_crash_mark(crash) - 1 ? 1 : 0;
            sim_image_free(image);
        }
    } while (sim_crash_next(crash));
    sim_crash_free(crash);
    sim_trace_free(trace);
    sim_disk_free(disk);
    return violations;
}

static void om_io_replace_is_atomic(void **state)
{
    (void)state;
    assert_int_equal(replace_values(false, 0), 0);
    for (uint64_t nth = 1; nth <= 2 * VALUES; nth++) {
        assert_true(replace_values(false, nth) > 0);
    }
    assert_true(replace_values(true, 0) > 0);
}

/* ---- Effects one by one ---- */
static uint64_t count_distinct(const sim_crash *crash, uint64_t seeds)
{
    uint64_t hashes[512];
    uint64_t count = 0;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        sim_image *image = sim_crash_state(crash, SIM_KEEP_SOME, seed);
        uint64_t hash = sim_image_hash(image), i = 0;
        while (i < count && hashes[i] != hash) {
            i++;
        }
        hashes[i] = hash;
        count += i == count ? 1 : 0;
        sim_image_free(image);
    }
    return count;
}

static void sectors_arrive_one_by_one(void **state)
{
    (void)state;
    static uint8_t data[8 * SIM_SECTOR];
    sim_disk *disk = sim_disk_create(NULL);
    om_io io = sim_disk_io(disk);
    om_iofile file;
    assert_int_equal(om_io_open(&io, "/x", OM_IO_WRITE | OM_IO_CREATE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_write(&file, data, sizeof data, 0, NULL), OMEN_OK);
    sim_disk_record(disk);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(1 + i / SIM_SECTOR);
    }
    assert_int_equal(om_io_write(&file, data, sizeof data, 0, NULL), OMEN_OK);
    om_io_close(&file);
    sim_trace *trace = sim_disk_recorded(disk);
    sim_crash *crash = sim_crash_create(trace);
    assert_true(sim_crash_next(crash));
    assert_int_equal(sim_crash_pending(crash), 1);
    assert_true(count_distinct(crash, 500) > 100); /* of 256 */
    sim_image *one = sim_crash_state(crash, SIM_KEEP_SOME, 7);
    sim_image *same = sim_crash_state(crash, SIM_KEEP_SOME, 7);
    assert_true(sim_image_hash(one) == sim_image_hash(same));
    sim_image_free(one);
    sim_image_free(same);
    assert_false(sim_crash_next(crash));
    sim_crash_free(crash);
    sim_trace_free(trace);
    sim_disk_free(disk);
}

static bool is_there(const sim_image *image, const char *path)
{
    sim_disk *disk = sim_disk_create(image);
    om_io io = sim_disk_io(disk);
    om_io_stat info;
    bool found = false;
    assert_int_equal(om_io_look(&io, path, &info, &found, NULL), OMEN_OK);
    sim_disk_free(disk);
    return found;
}

static void names_are_lost_and_reordered_until_their_folder_is_synced(void **state)
{
    (void)state;
    sim_disk *disk = sim_disk_create(NULL);
    om_io io = sim_disk_io(disk);
    assert_int_equal(om_io_mkdir(&io, "/d", NULL), OMEN_OK);
    om_iofile file;
    assert_int_equal(om_io_open(&io, "/d/a", OM_IO_WRITE | OM_IO_CREATE, &file, NULL), OMEN_OK);
    om_io_close(&file);
    sim_disk_record(disk);
    assert_int_equal(om_io_link(&io, "/d/a", "/d/b", NULL), OMEN_OK);
    assert_int_equal(om_io_unlink(&io, "/d/a", NULL), OMEN_OK);
    assert_int_equal(om_io_sync_dir(&io, "/", NULL), OMEN_OK); /* another folder */
    assert_int_equal(om_io_sync_dir(&io, "/d", NULL), OMEN_OK);
    sim_trace *trace = sim_disk_recorded(disk);
    sim_crash *crash = sim_crash_create(trace);
    for (int i = 0; i < 3; i++) {
        assert_true(sim_crash_next(crash));
    }
    assert_int_equal(sim_crash_pending(crash), 2);
    uint32_t seen = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        sim_image *image = sim_crash_state(crash, SIM_KEEP_SOME, seed);
        seen |= 1u << ((is_there(image, "/d/a") ? 1 : 0) + (is_there(image, "/d/b") ? 2 : 0));
        sim_image_free(image);
    }
    assert_int_equal(seen, 15); /* also: neither of them, which loses the file */
    assert_true(sim_crash_next(crash));
    assert_int_equal(sim_crash_pending(crash), 0);
    sim_image *image = sim_crash_state(crash, SIM_KEEP_NONE, 0);
    assert_true(!is_there(image, "/d/a") && is_there(image, "/d/b"));
    sim_image_free(image);
    sim_crash_free(crash);
    sim_trace_free(trace);
    sim_disk_free(disk);
}

/* A process that ended before it synced a name, and the next one that writes behind this name. */
static void what_a_killed_process_left_is_not_certain(void **state)
{
    (void)state;
    for (int synced = 0; synced < 2; synced++) {
        sim_disk *first = sim_disk_create(NULL);
        om_io io = sim_disk_io(first);
        om_iofile file;
        sim_disk_record(first);
        assert_int_equal(om_io_open(&io, "/x", OM_IO_WRITE | OM_IO_CREATE, &file, NULL), OMEN_OK);
        assert_int_equal(om_io_write(&file, "abc", 3, 0, NULL), OMEN_OK);
        om_io_close(&file);
        sim_trace *trace = sim_disk_recorded(first);
        sim_crash *crash = sim_crash_create(trace);
        while (sim_crash_next(crash)) {
        }
        sim_disk *second = sim_crash_killed(crash);
        sim_crash_free(crash);
        sim_trace_free(trace);
        sim_disk_free(first);
        io = sim_disk_io(second);
        assert_int_equal(om_io_open(&io, "/x", OM_IO_WRITE, &file, NULL), OMEN_OK);
        assert_int_equal(om_io_write(&file, "def", 3, 3, NULL), OMEN_OK);
        assert_int_equal(om_io_sync(&file, NULL), OMEN_OK);
        om_io_close(&file);
        if (synced == 1) {
            assert_int_equal(om_io_sync_dir(&io, "/", NULL), OMEN_OK);
        }
        assert_int_equal(om_io_mkdir(&io, "/d", NULL), OMEN_OK);
        trace = sim_disk_recorded(second);
        crash = sim_crash_create(trace);
        while (sim_crash_next(crash)) {
        }
        sim_image *image = sim_crash_state(crash, SIM_KEEP_NONE, 0);
        assert_int_equal(is_there(image, "/x"), synced == 1);
        sim_image_free(image);
        image = sim_crash_state(crash, SIM_KEEP_ALL, 0);
        assert_true(is_there(image, "/x") && is_there(image, "/d"));
        sim_image *live = sim_disk_image(second);
        assert_true(sim_image_hash(image) == sim_image_hash(live));
        sim_image_free(live);
        sim_image_free(image);
        sim_crash_free(crash);
        sim_trace_free(trace);
        sim_disk_free(second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_log_loses_nothing),
        cmocka_unit_test(wrong_logs_are_found),
        cmocka_unit_test(every_sync_that_lies_is_found),
        cmocka_unit_test(a_failed_sync_must_not_be_repeated),
        cmocka_unit_test(om_io_replace_is_atomic),
        cmocka_unit_test(sectors_arrive_one_by_one),
        cmocka_unit_test(what_a_killed_process_left_is_not_certain),
        cmocka_unit_test(names_are_lost_and_reordered_until_their_folder_is_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
