/* store_wal_follow_test.c - a log that is read beside the process that writes it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "store_wal_fixture.h"

/* A second driver on the same disk. */
static om_logdriver *open_reader(wal_fixture *f)
{
    om_wal_options options = f->options;
    om_logdriver *reader = NULL;
    options.read_only = true;
    options.timer = true; /* has no effect */
    if (om_wal_open(&options, &reader, &f->err) != OMEN_OK) {
        fail_msg("%s", f->err.message);
    }
    return reader;
}

static omen_status_t read_with(wal_fixture *f, om_logdriver *reader, uint64_t from, uint64_t *last)
{
    om_logdriver *own = f->log;
    f->log = reader;
    omen_status_t status = wal_read_check(f, from, last);
    f->log = own;
    return status;
}

static void expect_read(wal_fixture *f, om_logdriver *reader, uint64_t from, uint64_t want)
{
    uint64_t last = 0;
    if (read_with(f, reader, from, &last) != OMEN_OK) {
        fail_msg("%s", f->err.message);
    }
    assert_int_equal(last, want);
}

static om_log_state state_of(om_logdriver *log)
{
    om_log_state state;
    log->ops->tail(log, &state);
    return state;
}

static void test_empty(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    om_logdriver *reader = open_reader(&f);
    assert_int_equal(state_of(reader).state, OM_LOG_READ_ONLY);
    assert_int_equal(state_of(reader).tail, 0);
    expect_read(&f, reader, 1, 0);
    assert_int_equal(wal_count(&f, "db", "wal"), 0); /* nothing was made */
    wal_must_open(&f);
    expect_read(&f, reader, 1, 0);
    wal_must_append(&f, 1, 10);
    expect_read(&f, reader, 1, 1);
    assert_int_equal(state_of(reader).tail, 1);
    expect_read(&f, reader, 2, 1);
    expect_read(&f, reader, 9, 8);
    assert_int_equal(state_of(reader).tail, 1);
    reader->ops->close(reader);
    wal_teardown(&f);
}

/* It may look, not touch. */
static void test_refuses(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    wal_must_append(&f, 1, 10);
    om_logdriver *reader = open_reader(&f);
    om_logdriver *own = f.log;
    f.log = reader;
    assert_int_equal(wal_append_one(&f, 1, 1), OMEN_FAILED_PRECONDITION);
    assert_int_equal(f.err.detail, OMEN_D_READ_ONLY);
    assert_int_equal(reader->ops->sync(reader, 1, &f.err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(reader->ops->trim(reader, 1, &f.err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(reader->ops->cas(reader, "K", 0, "v", 1, &f.err), OMEN_FAILED_PRECONDITION);
    f.log = own;
    reader->ops->close(reader);
    wal_teardown(&f);
}

/* What was delivered is durable, although the writer has not synced it. */
static void test_delivers_what_is_durable(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    assert_int_equal(om_io_sync_dir(&f.io, ".", NULL), OMEN_OK);
    sim_disk_record(f.disk);
    wal_must_open(&f);
    om_logdriver *reader = open_reader(&f);
    for (uint32_t i = 0; i < 5; i++) {
        wal_must_append(&f, i, 3000);
        expect_read(&f, reader, 1, i + 1);
        assert_int_equal(state_of(reader).durable, i + 1);
        sim_disk_mark(f.disk, i + 1);
    }
    reader->ops->close(reader);
    sim_trace *trace = sim_disk_recorded(f.disk);
    sim_crash *crash = sim_crash_create(trace);
    while (sim_crash_next(crash)) {
        sim_image *left = sim_crash_state(crash, SIM_KEEP_NONE, 1);
        wal_fixture g;
        wal_setup(&g, left);
        g.model = f.model;
        wal_must_open(&g);
        assert_true(wal_state(&g).tail >= sim_crash_mark(crash));
        wal_must_hold_until(&g, wal_state(&g).tail);
        wal_teardown(&g);
        sim_image_free(left);
    }
    sim_crash_free(crash);
    sim_trace_free(trace);
    wal_teardown(&f);
}

/* The writer appends, syncs, trims, recycles; the reader sees all of it, or is told that it is late. */
static void test_follows(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t state = seed;
        uint64_t next = 1;
        uint32_t late = 0;
        wal_fixture f;
        wal_setup(&f, NULL);
        wal_must_open(&f);
        om_logdriver *reader = open_reader(&f);
        for (uint32_t i = 0; i < 300; i++) {
            uint32_t what = om_rng_below(&state, 10);
            if (what < 7) {
                wal_must_append(&f, om_rng_next(&state), om_rng_below(&state, 200000));
            } else if (what < 8) {
                assert_int_equal(wal_sync(&f), OMEN_OK);
            } else if (what < 9 && om_rng_below(&state, 3) == 0) {
                uint64_t lsn = wal_state(&f).durable;
                f.options.checkpoint = lsn;
                assert_int_equal(f.log->ops->trim(f.log, lsn, &f.err), OMEN_OK);
            } else {
                uint64_t last = 0;
                omen_status_t status = read_with(&f, reader, next, &last);
                if (status == OMEN_OUT_OF_RANGE) {
                    late++;
                    assert_int_equal(last, next - 1);
                    assert_true(next < wal_state(&f).first);
                    next = wal_state(&f).first;
                } else {
                    assert_int_equal(status, OMEN_OK);
                    assert_int_equal(last, f.model.last);
                    next = last + 1;
                }
            }
        }
        assert_true(late < 30);
        reader->ops->close(reader);
        wal_teardown(&f);
    }
}

/* In the middle of a read, after some records, the writer does what it likes. */
typedef struct meddling {
    wal_fixture *f;
    uint64_t at, expected;
    bool trim;
} meddling;

static omen_status_t meddle(void *ctx, const om_log_record *record, omen_error *err)
{
    meddling *m = ctx;
    wal_fixture *f = m->f;
    (void)err;
    assert_int_equal(record->lsn, m->expected++);
    assert_int_equal(record->bytes, f->model.bytes[record->lsn % WAL_MOST_RECORDS]);
    if (record->lsn == m->at) {
        for (uint32_t i = 0; i < 12; i++) {
            wal_must_append(f, i, 150000);
        }
        assert_int_equal(wal_sync(f), OMEN_OK);
        if (m->trim) {
            assert_int_equal(f->log->ops->trim(f->log, f->model.last - 2, NULL), OMEN_OK);
            for (uint32_t i = 0; i < 20; i++) {
                wal_must_append(f, i, 150000);
            }
        }
    }
    return OMEN_OK;
}

static void test_writer_meddles(void **unused)
{
    (void)unused;
    for (uint32_t trim = 0; trim < 2; trim++) {
        for (uint64_t at = 1; at <= 14; at++) {
            wal_fixture f;
            wal_setup(&f, NULL);
            wal_must_open(&f);
            for (uint32_t i = 0; i < 14; i++) {
                wal_must_append(&f, i, 150000);
            }
            om_logdriver *reader = open_reader(&f);
            meddling m = {.f = &f, .at = at, .expected = 1, .trim = trim == 1};
            omen_status_t status = reader->ops->read(reader, 1, meddle, &m, &f.err);
            if (status == OMEN_OK) {
                assert_true(m.expected - 1 >= 14);
            } else {
                /* Its file is gone: it must not guess. */
                assert_int_equal(status, OMEN_OUT_OF_RANGE);
                assert_int_equal(trim, 1);
                assert_true(m.expected > at);
            }
            reader->ops->close(reader);
            wal_teardown(&f);
        }
    }
}

/* Damage in a file that is followed by another one is told at once, in the last one it is the end. */
static void test_damage(void **unused)
{
    (void)unused;
    wal_fixture f;
    uint64_t last = 0;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (uint32_t i = 0; i < 14; i++) {
        wal_must_append(&f, i, 150000);
    }
    om_logdriver *reader = open_reader(&f);
    wal_flip(&f, wal_name(1), 8 * (wal_position(&f, 1, 3) + 99));
    assert_int_equal(read_with(&f, reader, 1, &last), OMEN_DATA_LOSS);
    assert_int_equal(last, 2);
    assert_non_null(strstr(f.err.message, "record 3"));
    reader->ops->close(reader);
    /* Opened now: rotten, without a change, and readable up to there. */
    reader = open_reader(&f);
    assert_int_equal(state_of(reader).state, OM_LOG_ROTTEN);
    assert_int_equal(state_of(reader).rotten_lsn, 3);
    expect_read(&f, reader, 1, 2);
    reader->ops->close(reader);
    wal_flip(&f, wal_name(1), 8 * (wal_position(&f, 1, 3) + 99));
    reader = open_reader(&f);
    expect_read(&f, reader, 1, 14);
    wal_flip(&f, wal_name(1), 3);
    assert_int_equal(read_with(&f, reader, 1, &last), OMEN_DATA_LOSS);
    wal_flip(&f, wal_name(1), 3);
    reader->ops->close(reader);
    assert_int_equal(wal_read_check(&f, 1, &last), OMEN_OK);
    wal_flip(&f, wal_name(1), 3);
    assert_int_equal(wal_read_check(&f, 1, &last), OMEN_DATA_LOSS);
    wal_teardown(&f);
}

/* A torn tail is left out, and left where it is. */
static void test_torn_tail(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (uint32_t i = 0; i < 9; i++) {
        wal_must_append(&f, i, 500);
    }
    wal_flip(&f, wal_name(1), 8 * (wal_position(&f, 1, 7) + 99));
    wal_kill(&f);
    om_logdriver *reader = open_reader(&f);
    sim_image *image = sim_disk_image(f.disk);
    uint64_t before = sim_image_hash(image);
    sim_image_free(image);
    assert_int_equal(state_of(reader).state, OM_LOG_READ_ONLY);
    assert_int_equal(state_of(reader).tail, 6);
    f.model.last = 6;
    expect_read(&f, reader, 1, 6);
    image = sim_disk_image(f.disk);
    assert_int_equal(sim_image_hash(image), before);
    sim_image_free(image);
    wal_must_open(&f);
    wal_must_append(&f, 70, 400);
    expect_read(&f, reader, 1, 7);
    wal_kill(&f);
    reader->ops->close(reader);
    wal_must_open(&f);
    wal_must_hold(&f);
    wal_teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_delivers_what_is_durable),
        cmocka_unit_test(test_follows),
        cmocka_unit_test(test_writer_meddles),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_torn_tail),
    };
    return cmocka_run_group_tests_name("wal follow", tests, NULL, NULL);
}
