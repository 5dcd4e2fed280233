/* store_wal_edges_test.c - what happens seldom: records larger than a read, files that are full to the last
 * byte, names of one file twice, folders and bytes that change between two looks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "store_wal_fixture.h"

/* The simulated disk with a hand in it. */
static struct {
    om_io_ops ops;
    om_io below;
    uint32_t listings;         /* of the log's folder so far */
    uint32_t extra_names;      /* each listing shows so many more */
    bool changing;             /* each listing shows one more than the one before */
    uint32_t reads, flip_read; /* read number flip_read, from 1 on, finds a bit changed... */
    uint64_t flip_from;        /* ...and so do the later ones when this is UINT64_MAX */
    uint64_t flip_at;          /* byte of the file */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool hold_syncs;
    uint32_t syncs, writes;
    uint32_t
        full_at; /* write number full_at, from 1 on, takes half, and the next finds the disk full */
    int sync_error;
    uint32_t full_for; /* or so many of them find it full */
} hand;

static int hand_list(void *ctx, const char *path, om_io_entry entry, void *arg)
{
    int failed = hand.below.ops->list(ctx, path, entry, arg);
    if (strcmp(path, "db/wal") != 0) {
        return failed;
    }
    hand.listings++;
    uint32_t extra = hand.changing ? hand.listings : hand.extra_names;
    for (uint32_t i = 0; failed == 0 && i < extra; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%016x.wal", 0x70000000 + i);
        failed = entry(arg, name);
    }
    return failed;
}

static int hand_read(void *ctx, int fd, void *data, size_t bytes, uint64_t offset, size_t *done)
{
    int failed = hand.below.ops->pread(ctx, fd, data, bytes, offset, done);
    hand.reads++;
    bool now = hand.reads == hand.flip_read ||
               (hand.flip_from == UINT64_MAX && hand.reads > hand.flip_read);
    if (failed == 0 && hand.flip_read != 0 && now && hand.flip_at >= offset &&
        hand.flip_at < offset + *done) {
        ((uint8_t *)data)[hand.flip_at - offset] ^= 4;
    }
    return failed;
}

static int hand_sync(void *ctx, int fd)
{
    (void)pthread_mutex_lock(&hand.mutex);
    hand.syncs++;
    (void)pthread_cond_broadcast(&hand.changed);
    while (hand.hold_syncs) {
        (void)pthread_cond_wait(&hand.changed, &hand.mutex);
    }
    int error = hand.sync_error;
    (void)pthread_mutex_unlock(&hand.mutex);
    return error != 0 ? error : hand.below.ops->sync(ctx, fd);
}

static int hand_write(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset,
                      size_t *done)
{
    (void)pthread_mutex_lock(&hand.mutex);
    uint32_t number = hand.writes + 1;
    (void)pthread_mutex_unlock(&hand.mutex);
    *done = 0;
    int failed = ENOSPC;
    if (hand.full_at == 0 || number <= hand.full_at || number > hand.full_at + hand.full_for) {
        int half = number == hand.full_at ? (count + 1) / 2 : count;
        failed = hand.below.ops->pwritev(ctx, fd, parts, half, offset, done);
    }
    (void)pthread_mutex_lock(&hand.mutex);
    hand.writes++;
    (void)pthread_cond_broadcast(&hand.changed);
    (void)pthread_mutex_unlock(&hand.mutex);
    return failed;
}

static void setup_hand(wal_fixture *f)
{
    wal_setup(f, NULL);
    memset(&hand, 0, sizeof hand);
    (void)pthread_mutex_init(&hand.mutex, NULL);
    (void)pthread_cond_init(&hand.changed, NULL);
    hand.below = f->io;
    hand.full_for = 1;
    hand.ops = *f->io.ops;
    hand.ops.list = hand_list;
    hand.ops.pread = hand_read;
    hand.ops.sync = hand_sync;
    hand.ops.pwritev = hand_write;
    f->io.ops = &hand.ops;
}

static void wait_for(const uint32_t *counter, uint32_t value)
{
    (void)pthread_mutex_lock(&hand.mutex);
    while (*counter < value) {
        (void)pthread_cond_wait(&hand.changed, &hand.mutex);
    }
    (void)pthread_mutex_unlock(&hand.mutex);
}

static void hold_syncs(bool hold, int error)
{
    (void)pthread_mutex_lock(&hand.mutex);
    hand.hold_syncs = hold;
    hand.sync_error = error;
    (void)pthread_cond_broadcast(&hand.changed);
    (void)pthread_mutex_unlock(&hand.mutex);
}

/* ---- Sizes ---- */
static void test_largest_records(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    sim_disk_limit(f.disk, UINT64_C(16) << 30);
    wal_must_open(&f);
    assert_int_equal(wal_state(&f).max_payload, OM_LOG_MAX_PAYLOAD);
    wal_must_append(&f, 1, OM_LOG_MAX_PAYLOAD);
    wal_must_append(&f, 2, 100);
    wal_must_append(&f, 3, (1 << 20) - OM_WAL_FRAME_BYTES);
    wal_must_append(&f, 4, (1 << 20) + 1);
    assert_int_equal(wal_append_one(&f, 5, OM_LOG_MAX_PAYLOAD + 1), OMEN_INVALID_ARGUMENT);
    wal_must_hold(&f);
    wal_kill(&f);
    wal_must_open(&f);
    wal_must_hold(&f);
    /* On a smaller disk the old file is used up; records are limited as new files are. */
    wal_close(&f);
    sim_disk_limit(f.disk, UINT64_C(127) << 20);
    wal_must_open(&f);
    assert_true(wal_state(&f).max_payload < OM_WAL_MIN_FILE / 4);
    wal_must_hold(&f);
    wal_must_append(&f, 6, 100);
    wal_must_hold(&f);
    /* Nor is it kept as a spare. */
    uint32_t large = wal_count(&f, "db/wal", ".wal");
    for (uint32_t i = 0; wal_count(&f, "db/wal", ".wal") == large; i++) {
        const uint32_t group[] = {200000, 200000, 200000};
        assert_int_equal(wal_append_sizes(&f, i, group, 3, 0), OMEN_OK);
    }
    assert_int_equal(wal_sync(&f), OMEN_OK);
    assert_int_equal(f.log->ops->trim(f.log, f.model.last, &f.err), OMEN_OK);
    assert_int_equal(wal_state(&f).bytes, 2 * OM_WAL_MIN_FILE);
    wal_teardown(&f);
}

/* The last record ends with the file. */
static void test_full_file(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    uint32_t most = wal_state(&f).max_payload;
    const uint32_t group[] = {most, most, most, most};
    assert_int_equal(wal_append_sizes(&f, 1, group, 4, 0), OMEN_OK);
    wal_kill(&f);
    wal_must_open(&f);
    wal_must_hold(&f);
    assert_int_equal(wal_count(&f, "db/wal", ".wal"), 1);
    wal_must_append(&f, 2, 1);
    wal_must_hold(&f);
    assert_int_equal(wal_count(&f, "db/wal", ".wal"), 2);
    wal_teardown(&f);
}

/* Files of more than one read: the disk may fail in the middle of each of them. */
static void test_reads_of_large_files_fail(void **unused)
{
    (void)unused;
    sim_image *image;
    wal_model model;
    wal_fixture f;
    wal_setup(&f, NULL);
    sim_disk_limit(f.disk, UINT64_C(256) << 20); /* files of 4 MiB */
    wal_must_open(&f);
    for (uint32_t i = 0; i < 5; i++) {
        wal_must_append(&f, i, 400000);
    }
    image = sim_disk_image(f.disk);
    model = f.model;
    wal_teardown(&f);
    bool reached = true;
    for (uint64_t nth = 1; reached; nth++) {
        const sim_fault fault = {.call = SIM_PREAD, .nth = nth, .error = EIO};
        wal_setup(&f, image);
        f.model = model;
        sim_disk_fault(f.disk, &fault);
        omen_status_t status = wal_open(&f);
        reached = sim_disk_faulted(f.disk);
        assert_int_equal(status, reached ? OMEN_UNAVAILABLE : OMEN_OK);
        assert_true(reached || nth > 8);
        wal_teardown(&f);
    }
    /* The same beside a writer. */
    reached = true;
    for (uint64_t nth = 1; reached; nth++) {
        const sim_fault fault = {.call = SIM_PREAD, .nth = nth, .error = EIO};
        uint64_t last = 0;
        wal_setup(&f, image);
        f.model = model;
        f.options.read_only = true;
        wal_must_open(&f);
        sim_disk_fault(f.disk, &fault);
        omen_status_t status = wal_read_check(&f, 1, &last);
        reached = sim_disk_faulted(f.disk);
        assert_int_equal(status, reached ? OMEN_UNAVAILABLE : OMEN_OK);
        wal_teardown(&f);
    }
    sim_image_free(image);
}

/* Memory ends where it is needed seldom: for a thread, for the first spare of a log that had none. */
static void test_memory_ends(void **unused)
{
    (void)unused;
    wal_memory memory = {0};
    wal_fixture f;
    omen_status_t status = OMEN_INTERNAL;
    wal_setup(&f, NULL);
    f.alloc = wal_memory_alloc(&memory);
    f.options.timer = true;
    for (uint64_t at = 1; status != OMEN_OK; at++) {
        memory.calls = 0;
        memory.fail_at = at;
        status = wal_open(&f);
        assert_true(status == OMEN_OK || (status == OMEN_RESOURCE_EXHAUSTED && memory.blocks == 0));
    }
    memory.fail_at = 0;
    for (uint32_t i = 0; i < 10; i++) {
        wal_must_append(&f, i, 150000);
    }
    wal_close(&f);
    assert_int_equal(om_io_unlink(&f.io, "db/wal/spare-0000000000000000", NULL), OMEN_OK);
    assert_int_equal(wal_count(&f, "db/wal", "spare-"), 0);
    f.options.timer = false;
    wal_must_open(&f);
    memory.fail_at = memory.calls + 1;
    assert_int_equal(f.log->ops->trim(f.log, f.model.last, &f.err), OMEN_RESOURCE_EXHAUSTED);
    wal_must_hold(&f);
    assert_int_equal(f.log->ops->trim(f.log, f.model.last, &f.err), OMEN_OK);
    assert_true(wal_count(&f, "db/wal", "spare-") > 0);
    wal_teardown(&f);
    assert_int_equal(memory.blocks, 0);
}

/* More pieces than one write takes, and a disk that fails in one of them. */
static void test_many_pieces(void **unused)
{
    (void)unused;
    for (uint32_t nth = 0; nth < 4; nth++) {
        for (uint32_t count = 30; count <= 34; count++) {
            om_log_entry entries[40];
            uint64_t last = 0;
            wal_fixture f;
            wal_setup(&f, NULL);
            wal_must_open(&f);
            wal_must_append(&f, 1, 10);
            for (uint32_t i = 0; i < count; i++) {
                entries[i] = (om_log_entry){.type = OM_LOG_NOOP};
            }
            /* The blocks behind were not written yet: zeros follow the records. */
            wal_must_append(&f, 2, OM_WAL_MIN_FILE / OM_WAL_AHEAD_SHARE - 4300);
            const sim_fault fault = {.call = SIM_PWRITEV, .nth = nth, .error = EIO};
            sim_disk_fault(f.disk, &fault);
            omen_status_t status = f.log->ops->append(f.log, entries, count, &last, &f.err);
            bool failed = sim_disk_faulted(f.disk);
            assert_int_equal(status, failed ? OMEN_UNAVAILABLE : OMEN_OK);
            assert_int_equal(wal_state(&f).tail, failed ? 2 : 2 + count);
            assert_int_equal(wal_state(&f).state, failed ? OM_LOG_BROKEN : OM_LOG_OPEN);
            wal_teardown(&f);
        }
    }
}

/* ---- Names ---- */
/* After a power failure the old name of a spare may still be there, beside its new one. */
static void test_two_names_of_one_file(void **unused)
{
    (void)unused;
    for (uint32_t what = 0; what < 3; what++) {
        wal_fixture f;
        uint64_t second = 2, third;
        uint8_t byte = 7;
        wal_setup(&f, NULL);
        wal_must_open(&f);
        for (uint32_t i = 0; i < 14; i++) {
            wal_must_append(&f, i, 150000);
        }
        assert_int_equal(wal_sync(&f), OMEN_OK);
        while (wal_count(&f, "db/wal", wal_name(second) + strlen("db/wal/")) == 0) {
            second++;
        }
        third = second + 1;
        while (wal_count(&f, "db/wal", wal_name(third) + strlen("db/wal/")) == 0) {
            third++;
        }
        wal_close(&f);
        if (what == 0) {
            char live[64];
            (void)snprintf(live, sizeof live, "%s", wal_name(third));
            assert_int_equal(om_io_unlink(&f.io, wal_name(1), NULL), OMEN_OK);
            assert_int_equal(om_io_link(&f.io, live, wal_name(1), NULL), OMEN_OK);
        } else if (what == 1) {
            wal_poke(&f, wal_name(1), 3, &byte, 1);
        }
        f.options.checkpoint = second;
        wal_must_open(&f);
        assert_int_equal(wal_state(&f).first, second);
        const sim_fault fault = {.call = SIM_OPEN, .nth = what == 2, .error = EIO};
        sim_disk_fault(f.disk, &fault);
        assert_int_equal(f.log->ops->trim(f.log, second, &f.err), OMEN_OK);
        assert_int_equal(wal_count(&f, "db/wal", "0000000001.wal"), 0);
        assert_int_equal(wal_count(&f, "db/wal", "spare-"), 1); /* the ballast: not this one */
        f.model.first = second;
        for (uint32_t i = 0; i < 14; i++) {
            wal_must_append(&f, i, 150000);
        }
        wal_must_hold(&f);
        wal_teardown(&f);
    }
}

static void test_too_many_files(void **unused)
{
    (void)unused;
    wal_fixture f;
    setup_hand(&f);
    wal_must_open(&f);
    wal_close(&f);
    hand.extra_names = OM_WAL_MAX_FILES + 1;
    assert_int_equal(wal_open(&f), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(f.err.detail, OMEN_D_LIMIT);
    hand.extra_names = 0;
    wal_teardown(&f);
}

/* A reader whose folder never stays the same, and fails: it gives up, with the failure. */
static void test_folder_that_always_changes(void **unused)
{
    (void)unused;
    wal_fixture f;
    uint64_t last = 0;
    setup_hand(&f);
    wal_must_open(&f);
    wal_must_append(&f, 1, 10);
    wal_close(&f);
    f.options.read_only = true;
    wal_must_open(&f);
    hand.changing = true;
    assert_int_equal(wal_read_check(&f, 1, &last), OMEN_DATA_LOSS);
    assert_true(hand.listings >= 16);
    wal_close(&f);
    hand.listings = 0;
    assert_int_equal(wal_open(&f), OMEN_NOT_FOUND);
    assert_true(hand.listings >= 8);
    hand.changing = false;
    wal_must_open(&f);
    wal_must_hold(&f);
    wal_teardown(&f);
}

/* A reader's own failures are told as they are. */
static omen_status_t refuse(void *ctx, const om_log_record *record, omen_error *err)
{
    (void)ctx;
    (void)record;
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "no thanks");
}

static void test_reader_refuses(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    wal_must_append(&f, 1, 10);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(f.log->ops->read(f.log, 1, refuse, NULL, NULL), OMEN_DATA_LOSS);
        assert_int_equal(f.log->ops->read(f.log, 1, refuse, NULL, &f.err), OMEN_DATA_LOSS);
        assert_string_equal(f.err.message, "no thanks");
        wal_close(&f);
        f.options.read_only = true;
        wal_must_open(&f);
    }
    wal_teardown(&f);
}

/* Errors of opening beside a writer that are no race: another database, a folder that cannot be listed. */
static void test_reader_cannot_open(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    wal_must_append(&f, 1, 10);
    wal_close(&f);
    f.options.read_only = true;
    f.options.database[3] ^= 1;
    assert_int_equal(wal_open(&f), OMEN_FAILED_PRECONDITION);
    f.options.database[3] ^= 1;
    const sim_fault fault = {.call = SIM_LIST, .nth = 1, .for_ever = true, .error = EIO};
    const sim_fault none = {0};
    sim_disk_fault(f.disk, &fault);
    assert_int_equal(wal_open(&f), OMEN_UNAVAILABLE);
    /* Only the second look at the folder fails: the first failure is told. */
    wal_flip(&f, wal_name(1), 5);
    const sim_fault second = {.call = SIM_LIST, .nth = 2, .error = EIO};
    sim_disk_fault(f.disk, &second);
    wal_must_open(&f);
    assert_int_equal(wal_state(&f).state, OM_LOG_ROTTEN);
    wal_close(&f);
    sim_disk_fault(f.disk, &none);
    wal_flip(&f, wal_name(1), 5);
    wal_must_open(&f);
    const sim_fault later = {.call = SIM_LIST, .nth = 2, .error = EIO};
    uint64_t last = 0;
    sim_disk_fault(f.disk, &later);
    assert_int_equal(wal_read_check(&f, 1, &last), OMEN_UNAVAILABLE);
    wal_teardown(&f);
}

/* ---- Bytes that change between two looks ---- */
/* A record that is half there in the first look, with proof behind it that it was durable, and whole in
 * the second: no rot, but a writer at work. */
static void test_record_that_was_being_written(void **unused)
{
    (void)unused;
    wal_fixture f;
    setup_hand(&f);
    wal_must_open(&f);
    for (uint32_t i = 0; i < 6; i++) {
        wal_must_append(&f, i, 500);
        assert_int_equal(wal_sync(&f), OMEN_OK);
    }
    wal_kill(&f);
    hand.flip_at = wal_position(&f, 1, 3) + 100;
    hand.reads = 0;
    hand.flip_read = 1;
    f.options.read_only = true;
    wal_must_open(&f);
    assert_true(hand.reads >= 2);
    assert_int_equal(wal_state(&f).state, OM_LOG_READ_ONLY);
    wal_must_hold(&f);
    wal_teardown(&f);
}

/* What was found right is damaged when it is made durable, or read. */
static void test_damage_meanwhile(void **unused)
{
    (void)unused;
    for (uint32_t what = 0; what < 2; what++) {
        wal_fixture f;
        setup_hand(&f);
        wal_must_open(&f);
        for (uint32_t i = 0; i < 6; i++) {
            wal_must_append(&f, i, 500);
        }
        wal_kill(&f);
        hand.flip_at = what == 0 ? 20 : wal_position(&f, 1, 3) + 100;
        hand.reads = 0;
        hand.flip_read = 3; /* records, the look behind the last one, then again */
        hand.flip_from = UINT64_MAX;
        assert_int_equal(wal_open(&f), OMEN_DATA_LOSS);
        assert_true(hand.reads >= 3);
        wal_teardown(&f);
    }
}

/* ---- Failures that meet ---- */
typedef struct call {
    wal_fixture *f;
    pthread_t thread;
    omen_status_t status;
    omen_error err;
} call;

static void *sync_all(void *arg)
{
    call *c = arg;
    c->status = c->f->log->ops->sync(c->f->log, UINT64_MAX, &c->err);
    return NULL;
}

static void *append_group(void *arg)
{
    call *c = arg;
    static const uint32_t group[] = {3000, 3000, 3000};
    c->status = wal_append_sizes(c->f, 3, group, 3, 0);
    return NULL;
}

static void begin_call(call *c, wal_fixture *f, void *(*run)(void *))
{
    c->f = f;
    assert_int_equal(pthread_create(&c->thread, NULL, run, c), 0);
}

/* A write fails while a sync is in progress that fails later: the first reason stays. */
static void test_two_failures(void **unused)
{
    (void)unused;
    wal_fixture f;
    call c = {0};
    setup_hand(&f);
    wal_must_open(&f);
    wal_must_append(&f, 1, 100);
    uint32_t before = hand.syncs;
    hold_syncs(true, 0);
    begin_call(&c, &f, sync_all);
    wait_for(&hand.syncs, before + 1);
    const sim_fault fault = {.call = SIM_PWRITEV, .nth = 1, .error = EIO};
    sim_disk_fault(f.disk, &fault);
    assert_int_equal(wal_append_one(&f, 2, 100), OMEN_UNAVAILABLE);
    assert_int_equal(f.err.detail, OMEN_D_OUTCOME_UNKNOWN);
    hold_syncs(false, EIO);
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    assert_int_equal(c.status, OMEN_UNAVAILABLE);
    assert_int_equal(c.err.detail, OMEN_D_OUTCOME_UNKNOWN);
    assert_non_null(strstr(wal_state(&f).reason, "write"));
    wal_teardown(&f);
}

/* A group that did not fit is undone, and that is made durable, but not beside another sync. */
static void test_undo_beside_sync(void **unused)
{
    (void)unused;
    wal_fixture f;
    call s = {0}, a = {0};
    setup_hand(&f);
    wal_must_open(&f);
    wal_must_append(&f, 1, 100);
    uint32_t syncs = hand.syncs;
    hold_syncs(true, 0);
    begin_call(&s, &f, sync_all);
    wait_for(&hand.syncs, syncs + 1);
    uint32_t writes = hand.writes;
    hand.full_at = writes + 1;
    begin_call(&a, &f, append_group);
    wait_for(&hand.writes, writes + 3); /* half, nothing, and the frame that is made none */
    for (uint32_t i = 0; i < 1000; i++) {
        (void)sched_yield();
    }
    assert_int_equal(hand.syncs, syncs + 1);
    hold_syncs(false, 0);
    assert_int_equal(pthread_join(s.thread, NULL), 0);
    assert_int_equal(pthread_join(a.thread, NULL), 0);
    assert_int_equal(s.status, OMEN_OK);
    assert_int_equal(a.status, OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(f.err.detail, OMEN_D_DISK_FULL);
    assert_int_equal(hand.syncs, syncs + 2);
    wal_must_hold(&f);
    wal_must_append(&f, 9, 100);
    wal_kill(&f);
    wal_must_open(&f);
    wal_must_hold(&f);
    wal_teardown(&f);
}

/* The same alone, and with a disk that then fails altogether. */
static void test_undo(void **unused)
{
    (void)unused;
    for (uint32_t what = 0; what < 3; what++) {
        wal_fixture f;
        const uint32_t group[] = {300, 300, 300, 300, 300, 300};
        bool undone = what == 0;
        setup_hand(&f);
        wal_must_open(&f);
        wal_must_append(&f, 1, 100);
        assert_int_equal(wal_sync(&f), OMEN_OK);
        hand.full_at = hand.writes + 1;
        hand.full_for = what == 1 ? 2 : 1; /* not even the frame can be written over */
        hold_syncs(false, what == 2 ? EIO : 0);
        omen_status_t status = wal_append_sizes(&f, 2, group, 6, 0);
        assert_int_equal(status, undone ? OMEN_RESOURCE_EXHAUSTED : OMEN_UNAVAILABLE);
        assert_int_equal(wal_state(&f).state, undone ? OM_LOG_OPEN : OM_LOG_BROKEN);
        assert_int_equal(wal_state(&f).tail, 1);
        if (undone) {
            /* The first record again, to the bit: the second of the group must not follow it. */
            assert_int_equal(wal_append_sizes(&f, 2, group, 1, 0), OMEN_OK);
        }
        uint64_t last = f.model.last;
        wal_kill(&f);
        hold_syncs(false, 0);
        wal_must_open(&f);
        om_log_state state = wal_state(&f);
        /* Unknown is unknown. */
        assert_true(state.tail == last || (!undone && state.tail <= last + 6));
        f.model.last = state.tail;
        wal_must_hold(&f);
        wal_teardown(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_largest_records),
        cmocka_unit_test(test_full_file),
        cmocka_unit_test(test_reads_of_large_files_fail),
        cmocka_unit_test(test_memory_ends),
        cmocka_unit_test(test_many_pieces),
        cmocka_unit_test(test_two_names_of_one_file),
        cmocka_unit_test(test_too_many_files),
        cmocka_unit_test(test_folder_that_always_changes),
        cmocka_unit_test(test_reader_refuses),
        cmocka_unit_test(test_reader_cannot_open),
        cmocka_unit_test(test_record_that_was_being_written),
        cmocka_unit_test(test_damage_meanwhile),
        cmocka_unit_test(test_two_failures),
        cmocka_unit_test(test_undo_beside_sync),
        cmocka_unit_test(test_undo),
    };
    return cmocka_run_group_tests_name("wal edges", tests, NULL, NULL);
}
