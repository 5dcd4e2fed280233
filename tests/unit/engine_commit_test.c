/* engine_commit_test.c - group commit: what waits while a sync runs is written by one more sync; batches that
 * must see each other do; a failed sync fails the whole group and nothing of it is seen.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "engine_disk.h"
#include "engine_fixture.h"

enum { DIM = 4, WRITERS = 8, ITEMS = 20 };

/* The system's calls, but for syncs: they are counted, and wait at a gate or fail when the test says so. */
static struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool closed, failing;
    uint32_t waiting, syncs;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
static om_io_ops gated_ops;
static om_io gated;

static int gated_sync(void *ctx, int fd)
{
    (void)pthread_mutex_lock(&gate.mutex);
    gate.syncs++;
    gate.waiting++;
    (void)pthread_cond_broadcast(&gate.moved);
    while (gate.closed) {
        (void)pthread_cond_wait(&gate.moved, &gate.mutex);
    }
    gate.waiting--;
    bool fail = gate.failing;
    (void)pthread_mutex_unlock(&gate.mutex);
    return fail ? EIO : om_io_system.ops->sync(ctx, fd);
}

static void set_gate(bool closed, bool failing)
{
    (void)pthread_mutex_lock(&gate.mutex);
    gate.closed = closed;
    gate.failing = failing;
    (void)pthread_cond_broadcast(&gate.moved);
    (void)pthread_mutex_unlock(&gate.mutex);
}

static void await_sync(void)
{
    (void)pthread_mutex_lock(&gate.mutex);
    while (gate.waiting == 0) {
        (void)pthread_cond_wait(&gate.moved, &gate.mutex);
    }
    (void)pthread_mutex_unlock(&gate.mutex);
}

static uint32_t queued(om_collection *c)
{
    uint32_t count = 0;
    om_mutex_lock(&c->queue_mu);
    for (const om_write *w = c->queue; w != NULL; w = w->next) {
        count++;
    }
    om_mutex_unlock(&c->queue_mu);
    return count;
}

static void await_queue(om_collection *c, uint32_t count)
{
    while (queued(c) < count) {
        om_indexer_pause(c->rt);
    }
}

/* ---- A database on disk and writers ------------------------------------------------------------ */
typedef struct writer {
    pthread_t thread;
    fixture *f;
    uint32_t number, mode;
    omen_status_t status;
    omen_error err;
    omen_write_result result;
} writer;

static void open_disk(fixture *f, const char *name)
{
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1};
    memset(f, 0, sizeof *f);
    gated_ops = *om_io_system.ops;
    gated_ops.sync = gated_sync;
    gated = (om_io){.ops = &gated_ops, .ctx = om_io_system.ctx};
    set_gate(false, false);
    OK(f, omen_runtime_create(&ropt, &f->rt, &f->err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = f->rt};
    OK(f, om_db_open_io(&gated, fx_path(name), &dopt, &f->db, &f->err));
    omen_options o = {.struct_size = sizeof o, .dim = DIM};
    OK(f, omen_create(f->db, "test", &o, &f->c, &f->err));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static void close_disk(fixture *f, const char *name)
{
    fx_close(f);
    assert_int_equal(nftw(fx_path(name), remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Items number, number + 1, ...: every writer replaces items of the one before it. */
static void *write_items(void *arg)
{
    writer *w = arg;
    float rows[ITEMS][DIM];
    uint64_t keys[ITEMS];
    for (uint32_t i = 0; i < ITEMS; i++) {
        keys[i] = w->number + i;
        for (uint32_t d = 0; d < DIM; d++) {
            rows[i][d] = (float)(100 * w->number + i);
        }
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = ITEMS,
                        .dim = DIM,
                        .vectors = rows,
                        .keys = keys,
                        .mode = w->mode,
                        .durability = OMEN_DURABILITY_BATCH};
    w->result.struct_size = sizeof w->result;
    w->status = omen_add_batch(w->f->c, &batch, &w->result, NULL, &w->err);
    return NULL;
}

static void start(writer *w, fixture *f, uint32_t number, uint32_t mode)
{
    *w = (writer){.f = f, .number = number, .mode = mode};
    assert_int_equal(pthread_create(&w->thread, NULL, write_items, w), 0);
}

/* One that syncs at the closed gate, and the others behind it in the queue, in their order. */
static void start_all(writer *w, fixture *f, uint32_t mode)
{
    set_gate(true, false);
    start(&w[0], f, 0, mode);
    await_sync();
    for (uint32_t i = 1; i < WRITERS; i++) {
        start(&w[i], f, i, mode);
        await_queue(f->c->c, i);
    }
}

static void join_all(writer *w)
{
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    }
}

static void check_rows(fixture *f, uint32_t writers)
{
    for (uint64_t key = 0; key < writers + ITEMS - 1; key++) {
        float row[DIM];
        uint64_t last = key < writers ? key : writers - 1;
        OK(f, omen_get_vectors(f->c, &key, 1, row, 0, OMEN_F32, NULL, &f->err));
        assert_true(row[0] == (float)(100 * last + key - last));
    }
    assert_int_equal(fx_count(f), writers + ITEMS - 1);
}

static void one_sync_for_all_that_wait(void **state)
{
    (void)state;
    fixture f;
    writer w[WRITERS];
    open_disk(&f, "group");
    start_all(w, &f, OMEN_UPSERT);
    uint32_t before = gate.syncs;
    set_gate(false, false);
    join_all(w);
    assert_int_equal(gate.syncs, before + 1);
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(w[i].status, OMEN_OK);
        assert_int_equal(w[i].result.applied, ITEMS);
        assert_int_equal(w[i].result.replaced, i == 0 ? 0 : ITEMS - 1);
        assert_true(i == 0 || w[i].result.version == w[i - 1].result.version + 1);
    }
    check_rows(&f, WRITERS);
    fx_close(&f);
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1};
    OK(&f, omen_runtime_create(&ropt, &f.rt, &f.err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = f.rt};
    OK(&f, om_db_open_io(&gated, fx_path("group"), &dopt, &f.db, &f.err));
    OK(&f, omen_open(f.db, "test", NULL, &f.c, &f.err));
    check_rows(&f, WRITERS);
    close_disk(&f, "group");
}

static void inserts_see_each_other(void **state)
{
    (void)state;
    fixture f;
    writer w[WRITERS];
    open_disk(&f, "inserts");
    start_all(w, &f, OMEN_INSERT);
    set_gate(false, false);
    join_all(w);
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(w[i].status, i == 0 ? OMEN_OK : OMEN_ALREADY_EXISTS);
    }
    check_rows(&f, 1);
    close_disk(&f, "inserts");
}

static void a_failed_sync_fails_them_all(void **state)
{
    (void)state;
    fixture f;
    writer w[WRITERS];
    open_disk(&f, "failed");
    start_all(w, &f, OMEN_UPSERT);
    set_gate(false, true);
    join_all(w);
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_not_equal(w[i].status, OMEN_OK);
    }
    assert_int_equal(w[0].err.detail, OMEN_D_OUTCOME_UNKNOWN);
    assert_int_equal(fx_count(&f), 0);
    set_gate(false, false);
    omen_db_stats stats = {.struct_size = sizeof stats};
    OK(&f, omen_get_db_stats(f.db, &stats, &f.err));
    assert_int_equal(stats.state, OMEN_DB_FAILED);
    close_disk(&f, "failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sync_for_all_that_wait),
        cmocka_unit_test(inserts_see_each_other),
        cmocka_unit_test(a_failed_sync_fails_them_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
