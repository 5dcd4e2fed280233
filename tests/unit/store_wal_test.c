/* store_wal_test.c - the log in order: what was appended is read, over files, trims and reopenings.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "rng.h"
#include "store_wal_fixture.h"

static void test_empty(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    om_log_state state = wal_state(&f);
    assert_int_equal(state.state, OM_LOG_OPEN);
    assert_int_equal(state.first, 1);
    assert_int_equal(state.tail, 0);
    assert_int_equal(state.durable, 0);
    assert_int_equal(state.bytes, 0);
    assert_int_equal(state.max_payload % 8, 0);
    assert_true(state.max_payload <= (OM_WAL_MIN_FILE - OM_WAL_HEADER_BYTES) / 4);
    assert_true(state.max_payload >= (OM_WAL_MIN_FILE - OM_WAL_HEADER_BYTES) / 4 - 64);
    assert_int_equal(state.max_group, OM_WAL_MIN_FILE - OM_WAL_HEADER_BYTES);
    assert_string_equal(state.reason, "");
    wal_must_hold(&f);
    assert_int_equal(wal_sync(&f), OMEN_OK);
    assert_int_equal(sim_disk_calls(f.disk, SIM_SYNC), 0);
    assert_int_equal(f.log->ops->trim(f.log, 5, &f.err), OMEN_OK);
    wal_teardown(&f);
}

static void test_one(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    wal_must_append(&f, 1, 0);
    wal_must_append(&f, 2, 1);
    wal_must_append(&f, 3, 4097);
    om_log_state state = wal_state(&f);
    assert_int_equal(state.tail, 3);
    assert_int_equal(state.durable, 0);
    assert_int_equal(state.appends, 3);
    assert_int_equal(state.bytes, 2 * OM_WAL_MIN_FILE); /* the file and the ballast */
    wal_must_hold(&f);
    assert_int_equal(f.log->ops->sync(f.log, 2, NULL), OMEN_OK);
    assert_int_equal(wal_state(&f).durable, 3);
    assert_int_equal(wal_state(&f).syncs, 1);
    assert_int_equal(wal_sync(&f), OMEN_OK);
    assert_int_equal(wal_state(&f).syncs, 1);
    /* What was not appended yet cannot be waited for. */
    assert_int_equal(f.log->ops->sync(f.log, 1000, NULL), OMEN_OK);
    wal_kill(&f);
    wal_must_open(&f);
    assert_int_equal(wal_state(&f).durable, 3);
    wal_must_hold(&f);
    wal_must_append(&f, 4, 100);
    wal_close(&f);
    wal_must_open(&f);
    wal_must_hold(&f);
    assert_int_equal(wal_count(&f, "db/wal", ".wal"), 1);
    wal_teardown(&f);
}

/* A disk decides how large files are. */
static void test_file_size(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t disk, file;
    } sizes[] = {{UINT64_C(1) << 20, 1 << 20},         {UINT64_C(127) << 20, 1 << 20},
                 {UINT64_C(128) << 20, 2 << 20},       {(UINT64_C(4) << 30) - 1, 32 << 20},
                 {UINT64_C(4) << 30, OM_WAL_MAX_FILE}, {UINT64_C(1) << 50, OM_WAL_MAX_FILE}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        wal_fixture f;
        wal_setup(&f, NULL);
        sim_disk_limit(f.disk, sizes[i].disk);
        wal_must_open(&f);
        om_log_state state = wal_state(&f);
        assert_int_equal(state.max_group, sizes[i].file - OM_WAL_HEADER_BYTES);
        assert_true(state.max_payload <= sizes[i].file / 4);
        assert_true(state.max_payload <= OM_LOG_MAX_PAYLOAD);
        wal_teardown(&f);
    }
}

static void refuse(wal_fixture *f, const om_log_entry *entries, uint32_t count)
{
    uint64_t last = 77;
    memset(&f->err, 0, sizeof f->err);
    assert_int_equal(f->log->ops->append(f->log, entries, count, &last, &f->err),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(f->err.detail, OMEN_D_LIMIT);
    assert_int_equal(f->log->ops->append(f->log, entries, count, &last, NULL),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(last, 77);
    assert_int_equal(wal_state(f).tail, f->model.last);
}

static void test_limits(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    static uint8_t payload[OM_WAL_MIN_FILE];
    uint32_t most = wal_state(&f).max_payload;
    uint32_t sizes[OM_LOG_MAX_GROUP + 1] = {0};
    om_log_entry entry = {.type = OM_LOG_TYPES};
    refuse(&f, &entry, 1);
    entry.type = 0;
    refuse(&f, &entry, 1);
    entry.type = OM_LOG_NOOP;
    refuse(&f, &entry, 0);
    entry.part_count = OM_LOG_MAX_PARTS + 1;
    refuse(&f, &entry, 1);
    entry.part_count = 2;
    entry.parts[0] = (struct iovec){.iov_base = payload, .iov_len = most};
    entry.parts[1] = (struct iovec){.iov_base = payload, .iov_len = 1};
    refuse(&f, &entry, 1);
    entry.parts[0].iov_len = SIZE_MAX;
    entry.parts[1].iov_len = SIZE_MAX;
    refuse(&f, &entry, 1);
    assert_int_equal(wal_append_sizes(&f, 1, sizes, OM_LOG_MAX_GROUP + 1, 0),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(wal_append_sizes(&f, 1, sizes, OM_LOG_MAX_GROUP, 0), OMEN_OK);
    wal_must_append(&f, 2, most);
    /* The largest group fills a file to the last byte; an empty record more is refused. */
    const uint32_t group[] = {most, most, most, most, 0};
    assert_int_equal(wal_state(&f).max_group, 4 * (most + OM_WAL_FRAME_BYTES));
    assert_int_equal(wal_append_sizes(&f, 3, group, 5, 0), OMEN_INVALID_ARGUMENT);
    assert_int_equal(wal_append_sizes(&f, 3, group, 4, 0), OMEN_OK);
    wal_must_append(&f, 4, 0);
    wal_must_hold(&f);
    wal_kill(&f);
    wal_must_open(&f);
    assert_int_equal(wal_count(&f, "db/wal", ".wal"), 3);
    wal_must_hold(&f);
    wal_teardown(&f);
}

static uint32_t draw_size(uint64_t *state, uint32_t most)
{
    switch (om_rng_below(state, 8)) {
    case 0:
        return 0;
    case 1:
        return om_rng_below(state, most + 1);
    case 2:
        return om_rng_below(state, 70000);
    default:
        return om_rng_below(state, 2000);
    }
}

static void draw_append(wal_fixture *f, uint64_t *state)
{
    uint32_t sizes[OM_LOG_MAX_GROUP];
    uint32_t count = om_rng_below(state, 8) == 0 ? 1 + om_rng_below(state, OM_LOG_MAX_GROUP)
                                                 : 1 + om_rng_below(state, 3);
    uint32_t most = count <= 3 ? wal_state(f).max_payload : 10000;
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = draw_size(state, most);
        sizes[i] = sizes[i] <= most ? sizes[i] : most;
    }
    if (wal_append_sizes(f, om_rng_next(state), sizes, count, 0) != OMEN_OK) {
        fail_msg("append: %s", f->err.message);
    }
}

static void draw_trim(wal_fixture *f, uint64_t *state)
{
    om_log_state before = wal_state(f);
    uint64_t most = before.durable;
    uint64_t lsn = most == 0 ? 0 : om_rng_next(state) % (most + 1);
    if (lsn < f->options.checkpoint) {
        return;
    }
    f->options.checkpoint = lsn;
    assert_int_equal(f->log->ops->trim(f->log, lsn, &f->err), OMEN_OK);
    om_log_state after = wal_state(f);
    assert_true(after.first >= before.first && after.first <= lsn + 1);
    f->model.first = after.first;
    assert_true(wal_count(f, "db/wal", "spare-") <= OM_WAL_SPARES);
}

/* Operations by chance; now and then everything is compared. */
static void test_random(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t state = seed;
        wal_fixture f;
        wal_setup(&f, NULL);
        wal_must_open(&f);
        for (uint32_t i = 0; i < 400 && f.model.last < WAL_MOST_RECORDS - OM_LOG_MAX_GROUP; i++) {
            uint32_t what = om_rng_below(&state, 40);
            if (what < 28) {
                draw_append(&f, &state);
            } else if (what < 34) {
                assert_int_equal(wal_sync(&f), OMEN_OK);
                assert_int_equal(wal_state(&f).durable, f.model.last);
            } else if (what < 36) {
                draw_trim(&f, &state);
            } else if (what < 38) {
                wal_must_hold(&f);
            } else {
                what == 38 ? wal_kill(&f) : wal_close(&f);
                f.options.durable_hint = om_rng_below(&state, 2) != 0 ? f.options.checkpoint : 0;
                wal_must_open(&f);
                assert_int_equal(wal_state(&f).state, OM_LOG_OPEN);
                f.model.first = wal_state(&f).first;
            }
        }
        wal_must_hold(&f);
        assert_true(wal_state(&f).bytes <= WAL_DISK);
        wal_teardown(&f);
    }
}

/* From every lsn, to the end, and what lies before the beginning. */
static void test_read_from(void **unused)
{
    (void)unused;
    wal_fixture f;
    uint64_t last = 0;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (uint32_t i = 0; i < 40; i++) {
        wal_must_append(&f, i, 100000);
    }
    for (uint64_t from = 1; from <= 41; from++) {
        assert_int_equal(wal_read_check(&f, from, &last), OMEN_OK);
        assert_int_equal(last, 40);
    }
    assert_int_equal(wal_read_check(&f, 99, &last), OMEN_OK);
    assert_int_equal(last, 98);
    wal_teardown(&f);
}

typedef struct stopping {
    uint64_t at, seen;
} stopping;

static omen_status_t stop_at(void *ctx, const om_log_record *record, omen_error *err)
{
    stopping *s = ctx;
    s->seen = record->lsn;
    return record->lsn == s->at ? om_fail(err, OMEN_CANCELLED, OMEN_D_NONE, "enough") : OMEN_OK;
}

static void test_read_stops(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (uint32_t i = 0; i < 5; i++) {
        wal_must_append(&f, i, 300);
    }
    stopping s = {.at = 3};
    assert_int_equal(f.log->ops->read(f.log, 0, stop_at, &s, &f.err), OMEN_CANCELLED);
    assert_int_equal(s.seen, 3);
    assert_string_equal(f.err.message, "enough");
    wal_teardown(&f);
}

/* Old files become spares, spares become new files, no more is kept than is said. */
static void test_recycling(void **unused)
{
    (void)unused;
    wal_fixture f;
    uint64_t last = 0;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t i = 0; i < 40; i++) {
            wal_must_append(&f, round * 100 + i, 100000);
        }
        assert_int_equal(wal_sync(&f), OMEN_OK);
        assert_true(wal_count(&f, "db/wal", ".wal") >= 4);
        wal_must_hold(&f);
        f.options.checkpoint = f.model.last;
        assert_int_equal(f.log->ops->trim(f.log, f.model.last, &f.err), OMEN_OK);
        assert_int_equal(wal_count(&f, "db/wal", ".wal"), 1);
        assert_int_equal(wal_count(&f, "db/wal", "spare-"), OM_WAL_SPARES);
        assert_int_equal(wal_state(&f).bytes, 3 * OM_WAL_MIN_FILE);
        f.model.first = wal_state(&f).first;
        assert_int_equal(wal_read_check(&f, f.model.first - 1, &last), OMEN_OUT_OF_RANGE);
        wal_must_hold(&f);
        round % 2 == 0 ? wal_kill(&f) : wal_close(&f);
        wal_must_open(&f);
        wal_must_hold(&f);
    }
    wal_teardown(&f);
}

static omen_status_t trim_inside(void *ctx, const om_log_record *record, omen_error *err)
{
    wal_fixture *f = ctx;
    (void)record;
    return f->log->ops->trim(f->log, f->model.last, err);
}

/* Files do not go away under a read. */
static void test_trim_while_reading(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (uint32_t i = 0; i < 40; i++) {
        wal_must_append(&f, i, 100000);
    }
    assert_int_equal(wal_sync(&f), OMEN_OK);
    assert_int_equal(f.log->ops->read(f.log, 1, trim_inside, &f, &f.err), OMEN_OK);
    assert_int_equal(wal_state(&f).first, 1);
    assert_int_equal(f.log->ops->trim(f.log, 20, &f.err), OMEN_OK);
    assert_true(wal_state(&f).first > 1 && wal_state(&f).first <= 21);
    wal_teardown(&f);
}

/* Small records in a new file: few syncs find blocks that were never written. */
static void test_zeros_ahead(void **unused)
{
    (void)unused;
    wal_fixture f;
    uint8_t bytes[64];
    wal_setup(&f, NULL);
    wal_must_open(&f);
    wal_must_append(&f, 1, 100);
    memset(bytes, 1, sizeof bytes);
    wal_peek(&f, wal_name(1), OM_WAL_MIN_FILE / OM_WAL_AHEAD_SHARE - sizeof bytes, bytes,
             sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], 0);
    }
    for (uint32_t i = 0; i < 1200; i++) {
        wal_must_append(&f, i, 1000);
    }
    wal_must_hold(&f);
    wal_teardown(&f);
}

/* A log that begins behind a checkpoint: files were never there, or are not needed. */
static void test_checkpoint_without_files(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    f.options.checkpoint = 41;
    f.options.durable_hint = 41;
    wal_must_open(&f);
    assert_int_equal(wal_state(&f).tail, 41);
    assert_int_equal(wal_state(&f).first, 42);
    f.model.first = 42;
    f.model.last = 41;
    wal_must_hold(&f);
    wal_must_append(&f, 1, 10);
    assert_int_equal(f.model.last, 42);
    wal_close(&f);
    wal_must_open(&f);
    wal_must_hold(&f);
    wal_close(&f);
    f.options.checkpoint = 40;
    assert_int_equal(wal_open(&f), OMEN_DATA_LOSS);
    assert_non_null(strstr(f.err.message, "files are missing"));
    wal_teardown(&f);
}

static void test_bad_options(void **unused)
{
    (void)unused;
    static char longer[OM_WAL_PATH + 10];
    wal_fixture f;
    wal_setup(&f, NULL);
    memset(longer, 'a', sizeof longer - 1);
    f.options.checkpoint = UINT64_MAX;
    assert_int_equal(wal_open(&f), OMEN_INVALID_ARGUMENT);
    f.options.checkpoint = 0;
    f.options.folder = "";
    assert_int_equal(om_wal_open(&f.options, &f.log, NULL), OMEN_INVALID_ARGUMENT);
    f.options.folder = longer;
    assert_int_equal(wal_open(&f), OMEN_INVALID_ARGUMENT);
    f.options.folder = "db/wal";
    f.options.values = longer;
    assert_int_equal(wal_open(&f), OMEN_INVALID_ARGUMENT);
    f.options.values = "db";
    f.options.folder = "nothing/here";
    assert_int_not_equal(wal_open(&f), OMEN_OK);
    assert_null(f.log);
    wal_teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_file_size),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_read_from),
        cmocka_unit_test(test_read_stops),
        cmocka_unit_test(test_recycling),
        cmocka_unit_test(test_trim_while_reading),
        cmocka_unit_test(test_zeros_ahead),
        cmocka_unit_test(test_checkpoint_without_files),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests_name("wal", tests, NULL, NULL);
}
