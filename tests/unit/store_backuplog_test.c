/* store_backuplog_test.c - ranges of a log as files of a backup. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backupfile.h"
#include "segfile.h"
#include "store_manifest.h"
#include "store_sample.h"
#include "wal.h"

static const om_alloc libc_alloc;
static const sim_fault no_fault;
static sim_disk *disk;
static om_io io;
static uint8_t content[500000];

static int set_up(void **unused)
{
    (void)unused;
    disk = sim_disk_create(NULL);
    io = sim_disk_io(disk);
    return om_io_mkdir(&io, "/b", NULL) == OMEN_OK && om_io_mkdir(&io, "/db", NULL) == OMEN_OK ? 0
                                                                                               : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    sim_open open = sim_disk_open(disk);
    sim_disk_free(disk);
    return open.files == 0 && open.mappings == 0 ? 0 : -1;
}

static void expect_message(const omen_error *err, const char *message)
{
    if (strstr(err->message, message) == NULL) {
        fail_msg("'%s' is not in '%s'", message, err->message);
    }
}

static void make_content(void)
{
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 31 + i / 4096);
    }
}

static om_wal_options wal_options(const char *folder)
{
    static const om_log quiet;
    om_wal_options o = {
        .io = &io, .alloc = &libc_alloc, .log = &quiet, .folder = folder, .values = "/db"};
    memset(o.database, 0xD8, sizeof o.database);
    return o;
}

static size_t record_bytes(uint64_t lsn)
{
    return lsn % 50 == 0 ? 400000 + (size_t)lsn : (size_t)(lsn * 37 % 300);
}

static void append_records(om_logdriver *log, uint64_t first, uint64_t last)
{
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        uint64_t got = 0;
        om_log_entry entry = {.collection = (uint32_t)(lsn % 5),
                              .type = (uint8_t)(1 + lsn % 10),
                              .flags = (uint8_t)(lsn % 3 == 0 ? OM_LOG_PART : 0),
                              .part_count = 1};
        entry.parts[0] =
            (struct iovec){.iov_base = content + lsn % 100, .iov_len = record_bytes(lsn)};
        assert_int_equal(log->ops->append(log, &entry, 1, &got, NULL), OMEN_OK);
        assert_int_equal(got, lsn);
    }
    assert_int_equal(log->ops->sync(log, last, NULL), OMEN_OK);
}

static omen_status_t check_record(void *ctx, const om_log_record *record, omen_error *err)
{
    uint64_t *next = ctx;
    uint64_t lsn = (*next)++;
    (void)err;
    assert_int_equal(record->lsn, lsn);
    assert_int_equal(record->collection, lsn % 5);
    assert_int_equal(record->type, 1 + lsn % 10);
    assert_int_equal(record->flags, lsn % 3 == 0 ? OM_LOG_PART : 0);
    assert_int_equal(record->bytes, record_bytes(lsn));
    assert_memory_equal(record->payload, content + lsn % 100, record->bytes);
    return OMEN_OK;
}

/* A log of some files, cut out in every way, gives the same records, goes on where it ended, and is no longer
 * than what is in it. */
static void test_log(void **unused)
{
    enum { LAST = 700 };
    static const struct {
        uint64_t after, to;
    } cuts[] = {{0, LAST}, {0, 1}, {0, 0}, {LAST, LAST}, {350, 420}, {699, 700}, {1, 699}};
    (void)unused;
    om_logdriver *log = NULL;
    make_content();
    om_wal_options options = wal_options("/db/wal");
    assert_int_equal(om_wal_open(&options, &log, NULL), OMEN_OK);
    append_records(log, 1, LAST);
    om_backup_work work = {.io = &io, .alloc = &libc_alloc};
    assert_int_equal(om_backup_work_begin(&work, NULL), OMEN_OK);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        char folder[32], wal[40];
        om_backup_list list = {.count = 0};
        omen_error err = {0};
        (void)snprintf(folder, sizeof folder, "/b/%zu", i);
        (void)snprintf(wal, sizeof wal, "%s/wal", folder);
        assert_int_equal(om_io_mkdir(&io, folder, NULL), OMEN_OK);
        const om_backup_log what = {.log = log,
                                    .database = options.database,
                                    .folder = folder,
                                    .after = cuts[i].after,
                                    .to = cuts[i].to};
        if (om_backup_log_copy(&work, &what, &list, &err) != OMEN_OK) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(folder_count(&io, wal), list.count);
        assert_int_equal(list.count != 0, cuts[i].to > cuts[i].after);
        uint64_t bytes = 0;
        for (uint64_t lsn = cuts[i].after + 1; lsn <= cuts[i].to; lsn++) {
            bytes += 40 + (record_bytes(lsn) + 7) / 8 * 8;
        }
        assert_int_equal(om_backup_list_bytes(&list), bytes + 4096 * list.count);
        for (uint32_t f = 0; f < list.count; f++) {
            om_path path;
            om_backup_file sum = list.files[f];
            assert_int_equal(om_path_join(&path, folder, sum.name, NULL), OMEN_OK);
            assert_int_equal(om_backup_copy(&work, path.text, NULL, &sum, NULL), OMEN_OK);
            assert_int_equal(sum.crc, list.files[f].crc);
        }
        om_logdriver *copy = NULL;
        om_wal_options again = wal_options(wal);
        again.checkpoint = cuts[i].after;
        again.durable_hint = cuts[i].to;
        assert_int_equal(om_wal_open(&again, &copy, NULL), OMEN_OK);
        om_log_state state;
        copy->ops->tail(copy, &state);
        assert_int_equal(state.state, OM_LOG_OPEN);
        assert_int_equal(state.tail, cuts[i].to);
        uint64_t next = cuts[i].after + 1;
        assert_int_equal(copy->ops->read(copy, next, check_record, &next, NULL), OMEN_OK);
        assert_int_equal(next, cuts[i].to + 1);
        append_records(copy, cuts[i].to + 1, cuts[i].to + 10);
        next = cuts[i].after + 1;
        assert_int_equal(copy->ops->read(copy, next, check_record, &next, NULL), OMEN_OK);
        assert_int_equal(next, cuts[i].to + 11);
        copy->ops->close(copy);
        om_backup_list_free(&libc_alloc, &list);
    }
    om_backup_work_end(&work);
    log->ops->close(log);
}

/* ---- Logs of another driver -------------------------------------------------------------------- */
/* Gives records of `bytes` bytes from `first` on, until it is told to stop; one of them is wrong. */
typedef struct odd_log {
    om_logdriver driver;
    uint64_t first, last, wrong; /* wrong: an lsn that comes twice; 0: none */
    size_t bytes, most;          /* most: bytes of the last one */
    const uint8_t *payload;
} odd_log;

static omen_status_t odd_read(om_logdriver *driver, uint64_t from, om_log_apply apply, void *ctx,
                              omen_error *err)
{
    const odd_log *log = (const odd_log *)driver;
    omen_status_t status = OMEN_OK;
    for (uint64_t lsn = from; lsn <= log->last && status == OMEN_OK; lsn++) {
        const om_log_record record = {.lsn = lsn == log->wrong ? lsn - 1 : lsn,
                                      .collection = 1,
                                      .type = OM_LOG_UPSERT,
                                      .payload = log->payload,
                                      .bytes = lsn == log->last ? log->most : log->bytes};
        status = apply(ctx, &record, err);
    }
    return status;
}

static omen_status_t count_record(void *ctx, const om_log_record *record, omen_error *err)
{
    (void)err;
    assert_int_equal(record->bytes, OM_LOG_MAX_PAYLOAD);
    ++*(uint64_t *)ctx;
    return OMEN_OK;
}

/* Records as large as they may be: a new file begins where one is full. */
static void test_log_files(void **unused)
{
    static const om_logdriver_ops ops = {.read = odd_read};
    (void)unused;
    odd_log log = {.driver.ops = &ops,
                   .last = 9,
                   .bytes = OM_LOG_MAX_PAYLOAD,
                   .most = OM_LOG_MAX_PAYLOAD,
                   .payload = calloc(1, OM_LOG_MAX_PAYLOAD + 1)};
    om_backup_work work = {.io = &io, .alloc = &libc_alloc};
    om_backup_list list = {.count = 0};
    omen_error err = {0};
    assert_non_null(log.payload);
    assert_int_equal(om_backup_work_begin(&work, NULL), OMEN_OK);
    om_wal_options options = wal_options("/b/wal");
    om_backup_log what = {
        .log = &log.driver, .database = options.database, .folder = "/b", .to = 9};
    assert_int_equal(om_backup_log_copy(&work, &what, &list, NULL), OMEN_OK);
    assert_int_equal(list.count, 2); /* seven of 8 MiB fit into 64 MiB */
    assert_string_equal(list.files[1].name, "wal/0000000000000008.wal");
    om_logdriver *copy = NULL;
    om_log_state state;
    options.durable_hint = 9;
    assert_int_equal(om_wal_open(&options, &copy, NULL), OMEN_OK);
    copy->ops->tail(copy, &state);
    assert_int_equal(state.state, OM_LOG_OPEN);
    assert_int_equal(state.tail, 9);
    uint64_t seen = 0;
    assert_int_equal(copy->ops->read(copy, 1, count_record, &seen, NULL), OMEN_OK);
    assert_int_equal(seen, 9);
    copy->ops->close(copy);

    what.folder = "/db";
    log.most++;
    assert_int_equal(om_backup_log_copy(&work, &what, &list, &err), OMEN_DATA_LOSS);
    expect_message(&err, "the log gives record 9 of 8388609 bytes");
    assert_int_equal(om_io_rename(&io, "/db/wal", "/b/wal2", NULL), OMEN_OK);
    log.bytes = log.most = 8;
    log.wrong = 5;
    assert_int_equal(om_backup_log_copy(&work, &what, &list, &err), OMEN_DATA_LOSS);
    expect_message(&err, "the log gives record 4 of 8 bytes for 5");
    om_backup_list_free(&libc_alloc, &list);
    om_backup_work_end(&work);
    free((void *)(uintptr_t)log.payload);
}

static void test_log_failures(void **unused)
{
    (void)unused;
    om_logdriver *log = NULL;
    omen_error err = {0};
    omen_op op = {0};
    make_content();
    om_wal_options options = wal_options("/db/wal");
    assert_int_equal(om_wal_open(&options, &log, NULL), OMEN_OK);
    append_records(log, 1, 160); /* more than a buffer */
    om_backup_work work = {.io = &io, .alloc = &libc_alloc, .op = &op};
    assert_int_equal(om_backup_work_begin(&work, NULL), OMEN_OK);
    om_backup_log what = {.log = log, .database = options.database, .folder = "/b", .to = 160};
    for (uint64_t nth = 1;; nth++) {
        om_backup_list list = {.count = 0};
        const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = EIO};
        sim_disk_fault(disk, &fault);
        omen_status_t status = om_backup_log_copy(&work, &what, &list, &err);
        bool faulted = sim_disk_faulted(disk);
        sim_disk_fault(disk, &no_fault);
        assert_true(status == OMEN_OK || status == OMEN_UNAVAILABLE);
        om_backup_list_free(&libc_alloc, &list);
        assert_int_equal(om_io_unlink(&io, "/b/wal/0000000000000001.wal", &err), OMEN_OK);
        if (!faulted) {
            assert_int_equal(status, OMEN_OK);
            break;
        }
    }
    om_backup_list list = {.count = 0};
    char folder[OM_PATH_MAX];
    memset(folder, '/', sizeof folder); /* no room for "wal", and then for a file in it */
    folder[OM_PATH_MAX - 3] = '\0';
    what.folder = folder;
    assert_int_equal(om_backup_log_copy(&work, &what, &list, &err), OMEN_INVALID_ARGUMENT);
    folder[OM_PATH_MAX - 10] = '\0';
    assert_int_equal(om_backup_log_copy(&work, &what, &list, &err), OMEN_INVALID_ARGUMENT);
    what.folder = "/b";
    what.to = 161;
    assert_int_equal(om_backup_log_copy(&work, &what, &list, &err), OMEN_DATA_LOSS);
    expect_message(&err, "the log ends with record 160, 161 is needed");
    atomic_store(&op.cancelled, 1);
    assert_int_equal(om_backup_log_copy(&work, &what, &list, &err), OMEN_CANCELLED);
    assert_int_equal(om_backup_log_copy(&work, &what, &list, NULL), OMEN_CANCELLED);
    om_backup_list_free(&libc_alloc, &list);
    om_backup_work_end(&work);
    log->ops->close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_failures, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store backup log", tests, NULL, NULL);
}
