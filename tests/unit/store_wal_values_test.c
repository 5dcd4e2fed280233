/* store_wal_values_test.c - named values that are replaced whole, and who watches them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store_wal_fixture.h"

static omen_status_t cas(wal_fixture *f, const char *key, uint64_t expected, const char *value)
{
    return f->log->ops->cas(f->log, key, expected, value, strlen(value), &f->err);
}

static void check_value(wal_fixture *f, const char *path, const char *value)
{
    char text[64] = {0};
    assert_int_equal(wal_file_size(f, path), strlen(value));
    wal_peek(f, path, 0, text, strlen(value));
    assert_string_equal(text, value);
}

static void test_revisions(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    assert_int_equal(cas(&f, "KEY", 0, "one"), OMEN_OK);
    check_value(&f, "db/KEY-0000000000000001", "one");
    assert_int_equal(cas(&f, "KEY", 0, "other"), OMEN_ABORTED);
    assert_int_equal(f.err.detail, OMEN_D_VERSION_CONFLICT);
    assert_int_equal(cas(&f, "KEY", 2, "other"), OMEN_ABORTED);
    assert_int_equal(f.log->ops->cas(f.log, "KEY", 7, "x", 1, NULL), OMEN_ABORTED);
    check_value(&f, "db/KEY-0000000000000001", "one");
    /* Keys that begin alike are others. */
    assert_int_equal(cas(&f, "KEY-2", 0, "two"), OMEN_OK);
    assert_int_equal(cas(&f, "KE", 0, ""), OMEN_OK);
    for (uint64_t i = 1; i < 20; i++) {
        char value[32];
        (void)snprintf(value, sizeof value, "value %d", (int)i + 1);
        assert_int_equal(cas(&f, "KEY", i, value), OMEN_OK);
        assert_int_equal(wal_count(&f, "db", "KEY-00"), i + 1 < 3 ? i + 1 : 3);
    }
    check_value(&f, "db/KEY-0000000000000014", "value 20");
    check_value(&f, "db/KEY-0000000000000012", "value 18");
    wal_close(&f);
    wal_must_open(&f);
    assert_int_equal(cas(&f, "KEY", 19, "x"), OMEN_ABORTED);
    assert_int_equal(cas(&f, "KEY", 20, "x"), OMEN_OK);
    assert_int_equal(wal_count(&f, "db", "KEY-2-"), 1);
    wal_teardown(&f);
}

static void test_keys(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "",   "a/b", "a.b",
        "..", "a b", "\xC3\xA9",
        "@",  "[",   "`",
        "{",  ":",   "0123456789012345678901234567890123456789012345678901234567890123x",
    };
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cas(&f, bad[i], 0, "x"), OMEN_INVALID_ARGUMENT);
        assert_int_equal(f.err.detail, OMEN_D_NAME);
        assert_int_equal(f.log->ops->watch(f.log, bad[i], NULL, NULL, &f.err),
                         OMEN_INVALID_ARGUMENT);
    }
    assert_int_equal(
        cas(&f, "0123456789012345678901234567890123456789012345678901234567890123", 0, "x"),
        OMEN_OK);
    assert_int_equal(cas(&f, "azAZ09_-", 0, "x"), OMEN_OK);
    wal_teardown(&f);
}

/* The largest revision has no successor. */
static void test_last_revision(void **unused)
{
    (void)unused;
    wal_fixture f;
    om_iofile file;
    wal_setup(&f, NULL);
    assert_int_equal(
        om_io_open(&f.io, "db/KEY-7fffffffffffffff", OM_IO_WRITE | OM_IO_CREATE, &file, NULL),
        OMEN_OK);
    om_io_close(&file);
    wal_must_open(&f);
    assert_int_equal(cas(&f, "KEY", INT64_MAX, "x"), OMEN_ABORTED);
    wal_teardown(&f);
}

typedef struct seen {
    uint32_t calls;
    uint64_t revision;
    char key[OM_WAL_MAX_KEY + 1];
} seen;

static void see(void *ctx, const char *key, uint64_t revision)
{
    seen *s = ctx;
    s->calls++;
    s->revision = revision;
    (void)snprintf(s->key, sizeof s->key, "%s", key);
}

static void test_watch(void **unused)
{
    (void)unused;
    wal_fixture f;
    seen a = {0}, b = {0}, c = {0};
    wal_memory memory = {0};
    wal_setup(&f, NULL);
    f.alloc = wal_memory_alloc(&memory);
    wal_must_open(&f);
    const om_logdriver_ops *ops = f.log->ops;
    assert_int_equal(ops->watch(f.log, "A", NULL, NULL, &f.err), OMEN_OK); /* nobody watches */
    assert_int_equal(ops->watch(f.log, "A", see, &a, &f.err), OMEN_OK);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.revision, 0);
    assert_int_equal(cas(&f, "A", 0, "x"), OMEN_OK);
    assert_int_equal(a.calls, 2);
    assert_int_equal(a.revision, 1);
    assert_string_equal(a.key, "A");
    assert_int_equal(ops->watch(f.log, "B", see, &b, &f.err), OMEN_OK);
    assert_int_equal(ops->watch(f.log, "C", see, &c, &f.err), OMEN_OK);
    assert_int_equal(cas(&f, "B", 0, "x"), OMEN_OK);
    assert_int_equal(cas(&f, "B", 0, "x"), OMEN_ABORTED);
    assert_int_equal(a.calls, 2);
    assert_int_equal(b.calls, 2);
    /* A second watcher of a key takes the place of the first. */
    assert_int_equal(ops->watch(f.log, "A", see, &c, &f.err), OMEN_OK);
    assert_int_equal(c.revision, 1);
    assert_int_equal(cas(&f, "A", 1, "x"), OMEN_OK);
    assert_int_equal(a.calls, 2);
    assert_int_equal(c.revision, 2);
    assert_int_equal(ops->watch(f.log, "A", NULL, NULL, &f.err), OMEN_OK);
    assert_int_equal(cas(&f, "A", 2, "x"), OMEN_OK);
    assert_int_equal(c.revision, 2);
    memory.fail_at = memory.calls + 1;
    assert_int_equal(ops->watch(f.log, "D", see, &a, &f.err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(a.calls, 2);
    wal_close(&f);
    assert_int_equal(memory.blocks, 0);
    wal_teardown(&f);
}

/* Each call on the disk fails: the value is the old one or the new one, and later calls work. */
static void test_faults(void **unused)
{
    (void)unused;
    for (uint32_t ever = 0; ever < 2; ever++) {
        bool reached = true;
        for (uint64_t nth = 1; reached; nth++) {
            wal_fixture f;
            seen s = {0};
            wal_setup(&f, NULL);
            wal_must_open(&f);
            for (uint64_t i = 0; i < 5; i++) {
                assert_int_equal(cas(&f, "KEY", i, "old"), OMEN_OK);
            }
            const sim_fault fault = {
                .call = SIM_CALLS, .nth = nth, .for_ever = ever != 0, .error = EIO};
            const sim_fault none = {0};
            sim_disk_fault(f.disk, &fault);
            omen_status_t status = cas(&f, "KEY", 5, "new");
            reached = sim_disk_faulted(f.disk);
            omen_status_t watched = f.log->ops->watch(f.log, "KEY", see, &s, &f.err);
            assert_true(watched == OMEN_OK || watched == OMEN_UNAVAILABLE);
            assert_true(status == OMEN_OK || reached);
            sim_disk_fault(f.disk, &none);
            assert_int_equal(f.log->ops->watch(f.log, "KEY", see, &s, &f.err), OMEN_OK);
            assert_true(s.revision == 6 || (s.revision == 5 && status != OMEN_OK));
            assert_int_equal(cas(&f, "KEY", s.revision, "next"), OMEN_OK);
            assert_int_equal(wal_count(&f, "db", "KEY-00"), 3);
            wal_teardown(&f);
        }
    }
}

/* Old revisions of a database that was left alone for long go in steps. */
static void test_many_old(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    for (uint32_t i = 1; i <= 100; i++) {
        char path[64];
        om_iofile file;
        (void)snprintf(path, sizeof path, "db/KEY-%016x", i);
        assert_int_equal(om_io_open(&f.io, path, OM_IO_WRITE | OM_IO_CREATE, &file, NULL), OMEN_OK);
        om_io_close(&file);
    }
    wal_must_open(&f);
    assert_int_equal(cas(&f, "KEY", 100, "x"), OMEN_OK);
    assert_int_equal(wal_count(&f, "db", "KEY-"), 101 - 64);
    assert_int_equal(cas(&f, "KEY", 101, "x"), OMEN_OK);
    assert_int_equal(wal_count(&f, "db", "KEY-"), 3);
    wal_teardown(&f);
}

/* The folder of values is the caller's business. */
static void test_no_folder(void **unused)
{
    (void)unused;
    wal_fixture f;
    seen s = {0};
    wal_setup(&f, NULL);
    f.options.values = "db/none";
    wal_must_open(&f);
    assert_int_equal(f.log->ops->watch(f.log, "KEY", see, &s, &f.err), OMEN_OK);
    assert_int_equal(s.revision, 0);
    assert_int_equal(cas(&f, "KEY", 0, "x"), OMEN_NOT_FOUND);
    wal_close(&f);
    static char longer[OM_WAL_PATH - OM_WAL_NAME];
    memset(longer, 'v', sizeof longer - 1);
    f.options.values = longer;
    wal_must_open(&f);
    omen_status_t status =
        cas(&f, "0123456789012345678901234567890123456789012345678901234567890123", 0, "x");
    assert_int_not_equal(status, OMEN_OK);
    wal_teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revisions),     cmocka_unit_test(test_keys),
        cmocka_unit_test(test_last_revision), cmocka_unit_test(test_watch),
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_many_old),
        cmocka_unit_test(test_no_folder),
    };
    return cmocka_run_group_tests_name("wal values", tests, NULL, NULL);
}
