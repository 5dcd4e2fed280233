/* store_wal_threads_test.c - many threads at one log: syncs are shared, nobody waits for ever, nobody is told
 * "durable" too early. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "rng.h"
#include "store_wal_fixture.h"

enum { THREADS = 8, ROUNDS = 150 };

/* The simulated disk, whose syncs can be held up. */
static struct {
    om_io_ops ops;
    om_io below;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t arrived; /* syncs that have begun */
    bool closed;      /* they wait */
    int error;        /* of those that begin now; 0: none */
} gate;

static int gated_sync(void *ctx, int fd)
{
    (void)pthread_mutex_lock(&gate.mutex);
    gate.arrived++;
    (void)pthread_cond_broadcast(&gate.changed);
    while (gate.closed) {
        (void)pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    int error = gate.error;
    (void)pthread_mutex_unlock(&gate.mutex);
    return error != 0 ? error : gate.below.ops->sync(ctx, fd);
}

static void gate_set(bool closed, int error)
{
    (void)pthread_mutex_lock(&gate.mutex);
    gate.closed = closed;
    gate.error = error;
    (void)pthread_cond_broadcast(&gate.changed);
    (void)pthread_mutex_unlock(&gate.mutex);
}

static void gate_await(uint32_t arrived)
{
    (void)pthread_mutex_lock(&gate.mutex);
    while (gate.arrived < arrived) {
        (void)pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    (void)pthread_mutex_unlock(&gate.mutex);
}

static void setup_gated(wal_fixture *f)
{
    wal_setup(f, NULL);
    gate.below = f->io;
    gate.ops = *f->io.ops;
    gate.ops.sync = gated_sync;
    gate.arrived = 0;
    gate_set(false, 0);
    f->io.ops = &gate.ops;
}

typedef struct worker {
    om_logdriver *log;
    pthread_t thread;
    uint32_t number;
    _Atomic uint32_t *appended;
    uint64_t lsn[ROUNDS];
    omen_status_t status;
    omen_error err;
} worker;

static omen_status_t append_number(om_logdriver *log, uint64_t number, uint64_t *lsn,
                                   omen_error *err)
{
    om_log_entry entry = {.type = OM_LOG_UPSERT, .collection = (uint32_t)number, .part_count = 1};
    entry.parts[0] = (struct iovec){.iov_base = &number, .iov_len = sizeof number};
    return log->ops->append(log, &entry, 1, lsn, err);
}

static void *append_and_sync(void *arg)
{
    worker *w = arg;
    w->status = append_number(w->log, w->number, &w->lsn[0], &w->err);
    atomic_fetch_add(w->appended, 1);
    if (w->status == OMEN_OK) {
        w->status = w->log->ops->sync(w->log, w->lsn[0], &w->err);
    }
    return NULL;
}

static void start_workers(worker *workers, uint32_t count, void *(*run)(void *), om_logdriver *log,
                          _Atomic uint32_t *appended)
{
    for (uint32_t i = 0; i < count; i++) {
        workers[i] = (worker){.log = log, .number = i, .appended = appended};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
}

static void join_workers(worker *workers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
}

/* One sync is held up; all that come meanwhile share the next one. */
static void share(int error)
{
    static worker workers[THREADS];
    _Atomic uint32_t appended = 0;
    wal_fixture f;
    uint64_t first = 0;
    setup_gated(&f);
    wal_must_open(&f);
    assert_int_equal(append_number(f.log, 99, &first, &f.err), OMEN_OK);
    uint32_t before = gate.arrived;
    gate_set(true, error);
    start_workers(workers, 1, append_and_sync, f.log, &appended);
    gate_await(before + 1);
    start_workers(workers + 1, THREADS - 1, append_and_sync, f.log, &appended);
    while (atomic_load(&appended) < THREADS) {
        (void)sched_yield(); /* appending goes on while the disk syncs */
    }
    assert_int_equal(wal_state(&f).durable, 0);
    gate_set(false, error);
    join_workers(workers, THREADS);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].status, error == 0 ? OMEN_OK : OMEN_UNAVAILABLE);
        assert_true(error == 0 || workers[i].err.detail == OMEN_D_OUTCOME_UNKNOWN);
    }
    om_log_state state = wal_state(&f);
    assert_int_equal(state.syncs, error == 0 ? 2 : 1); /* a failed one is never repeated */
    assert_int_equal(state.durable, error == 0 ? THREADS + 1 : 0);
    assert_int_equal(state.state, error == 0 ? OM_LOG_OPEN : OM_LOG_BROKEN);
    wal_teardown(&f);
}

static void test_syncs_are_shared(void **unused)
{
    (void)unused;
    share(0);
}

static void test_failed_sync_reaches_all(void **unused)
{
    (void)unused;
    share(EIO);
}

static void *append_many(void *arg)
{
    worker *w = arg;
    for (uint32_t i = 0; i < ROUNDS && w->status == OMEN_OK; i++) {
        w->status = append_number(w->log, w->number * UINT64_C(1000) + i, &w->lsn[i], &w->err);
        if (w->status == OMEN_OK && i % 3 != 0) {
            w->status = w->log->ops->sync(w->log, w->lsn[i], &w->err);
        }
        om_log_state state;
        w->log->ops->tail(w->log, &state);
        if (w->status == OMEN_OK && i % 3 != 0 && state.durable < w->lsn[i]) {
            w->status = OMEN_INTERNAL;
        }
    }
    return NULL;
}

typedef struct collected {
    uint64_t numbers[THREADS * ROUNDS * 2];
    uint64_t count;
} collected;

static omen_status_t collect(void *ctx, const om_log_record *record, omen_error *err)
{
    collected *c = ctx;
    (void)err;
    assert_int_equal(record->bytes, sizeof c->numbers[0]);
    assert_int_equal(record->lsn, c->count + 1);
    memcpy(&c->numbers[c->count++], record->payload, sizeof c->numbers[0]);
    return OMEN_OK;
}

static void test_many_appends(void **unused)
{
    (void)unused;
    static worker workers[THREADS];
    static collected c;
    wal_fixture f;
    wal_setup(&f, NULL);
    f.options.timer = true;
    f.options.interval_ns = 100000;
    wal_must_open(&f);
    start_workers(workers, THREADS, append_many, f.log, NULL);
    om_wal_options options = f.options;
    om_logdriver *reader = NULL;
    options.read_only = true;
    assert_int_equal(om_wal_open(&options, &reader, &f.err), OMEN_OK);
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t before = c.count = 0;
        assert_int_equal(reader->ops->read(reader, 1, collect, &c, &f.err), OMEN_OK);
        assert_true(c.count >= before);
        c.count = 0;
        assert_int_equal(f.log->ops->read(f.log, 1, collect, &c, &f.err), OMEN_OK);
    }
    join_workers(workers, THREADS);
    c.count = 0;
    assert_int_equal(f.log->ops->read(f.log, 1, collect, &c, &f.err), OMEN_OK);
    assert_int_equal(c.count, THREADS * ROUNDS);
    for (uint32_t t = 0; t < THREADS; t++) {
        assert_int_equal(workers[t].status, OMEN_OK);
        for (uint32_t i = 0; i < ROUNDS; i++) {
            assert_int_equal(c.numbers[workers[t].lsn[i] - 1], t * 1000 + i);
        }
    }
    reader->ops->close(reader);
    wal_teardown(&f);
}

/* Large records, so that files begin while syncs are in progress; trims and reads beside. */
static void *append_large(void *arg)
{
    static uint8_t payload[60000];
    worker *w = arg;
    om_log_entry entry = {.type = OM_LOG_UPSERT, .part_count = 1};
    entry.parts[0] = (struct iovec){.iov_base = payload, .iov_len = sizeof payload};
    for (uint32_t i = 0; i < 60 && w->status == OMEN_OK; i++) {
        w->status = w->log->ops->append(w->log, &entry, 1, &w->lsn[i], &w->err);
        if (w->status == OMEN_OK) {
            w->status = w->log->ops->sync(w->log, w->lsn[i], &w->err);
        }
        if (w->status == OMEN_OK && i % 10 == 9) {
            w->status = w->log->ops->trim(w->log, w->lsn[i] - 5, &w->err);
        }
    }
    return NULL;
}

static void test_files_change_under_syncs(void **unused)
{
    (void)unused;
    static worker workers[THREADS];
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    start_workers(workers, THREADS, append_large, f.log, NULL);
    join_workers(workers, THREADS);
    for (uint32_t t = 0; t < THREADS; t++) {
        assert_int_equal(workers[t].status, OMEN_OK);
    }
    om_log_state state = wal_state(&f);
    assert_int_equal(state.tail, THREADS * 60);
    assert_int_equal(state.durable, state.tail);
    assert_true(state.first > 1);
    wal_teardown(&f);
}

/* The timer syncs what nobody waits for, goes back to sleep, and ends with the log. */
static void test_timer(void **unused)
{
    (void)unused;
    wal_fixture f;
    setup_gated(&f);
    f.options.timer = true;
    f.options.interval_ns = 1000;
    wal_must_open(&f);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t before = gate.arrived;
        wal_must_append(&f, i, 100);
        gate_await(before + (i == 0 ? 2 : 1)); /* the first append syncs a header */
        while (wal_state(&f).durable < f.model.last) {
            (void)sched_yield();
        }
    }
    /* One that waits for its interval must not keep the log from closing. */
    f.options.interval_ns = UINT64_C(3600) * 1000 * 1000 * 1000;
    wal_close(&f);
    for (uint32_t i = 0; i < 40; i++) {
        wal_must_open(&f);
        wal_must_append(&f, i, 100);
        for (uint32_t k = 0; k < i * 10; k++) {
            (void)sched_yield();
        }
        wal_close(&f);
    }
    wal_must_open(&f);
    wal_must_hold(&f);
    assert_int_equal(wal_state(&f).durable, f.model.last);
    wal_close(&f);
    /* A sync of the timer that fails is found in the state. */
    f.options.interval_ns = 1000;
    wal_must_open(&f);
    gate_set(false, EIO);
    wal_must_append(&f, 8, 100);
    while (wal_state(&f).state == OM_LOG_OPEN) {
        (void)sched_yield();
    }
    assert_int_equal(wal_append_one(&f, 9, 1), OMEN_FAILED_PRECONDITION);
    assert_int_equal(f.log->ops->sync(f.log, UINT64_MAX, NULL), OMEN_UNAVAILABLE);
    wal_teardown(&f);
}

/* Closing syncs; when that fails there is nothing left to do but to say so. */
static void log_line(void *ctx, int32_t level, const char *module, const char *text, size_t length)
{
    uint32_t *lines = ctx;
    (void)module;
    (void)text;
    (void)length;
    *lines += level == OMEN_LOG_ERROR;
}

static void test_close_fails(void **unused)
{
    (void)unused;
    wal_fixture f;
    uint32_t lines = 0;
    const om_log log = {.fn = log_line, .ctx = &lines, .level = OMEN_LOG_DEBUG};
    setup_gated(&f);
    f.options.log = &log;
    wal_must_open(&f);
    wal_must_append(&f, 1, 100);
    gate_set(false, EIO);
    wal_close(&f);
    assert_true(lines >= 1);
    gate_set(false, 0);
    wal_teardown(&f);
}

int main(void)
{
    (void)pthread_mutex_init(&gate.mutex, NULL);
    (void)pthread_cond_init(&gate.changed, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syncs_are_shared),
        cmocka_unit_test(test_failed_sync_reaches_all),
        cmocka_unit_test(test_many_appends),
        cmocka_unit_test(test_files_change_under_syncs),
        cmocka_unit_test(test_timer),
        cmocka_unit_test(test_close_fails),
    };
    return cmocka_run_group_tests_name("wal threads", tests, NULL, NULL);
}
