/* engine_merger_test.c - a merge that takes long: rows are sealed, checkpoints are written and files are
 * swept meanwhile; and one that meets rot leaves the others be.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_pile.h"

enum { ITEMS = 2400, DIM = 12 };

/* A disk that holds the merging thread at its first write until it is let go. */
static struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool waiting, open;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
static _Thread_local bool held_back;

static int gated_pwritev(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset,
                         size_t *done)
{
    if (held_back) {
        (void)pthread_mutex_lock(&gate.mutex);
        gate.waiting = true;
        (void)pthread_cond_broadcast(&gate.moved);
        while (!gate.open) {
            (void)pthread_cond_wait(&gate.moved, &gate.mutex);
        }
        (void)pthread_mutex_unlock(&gate.mutex);
    }
    return om_io_system.ops->pwritev(ctx, fd, parts, count, offset, done);
}

static void wait_until_held(void)
{
    (void)pthread_mutex_lock(&gate.mutex);
    while (!gate.waiting) {
        (void)pthread_cond_wait(&gate.moved, &gate.mutex);
    }
    (void)pthread_mutex_unlock(&gate.mutex);
}

static void let_go(void)
{
    (void)pthread_mutex_lock(&gate.mutex);
    gate.open = true;
    (void)pthread_cond_broadcast(&gate.moved);
    (void)pthread_mutex_unlock(&gate.mutex);
}

typedef struct merging {
    om_collection *c;
    omen_status_t status;
    bool done;
    omen_error err;
} merging;

static void *merge_slowly(void *arg)
{
    merging *m = arg;
    om_stop stop = {.op = NULL};
    held_back = true;
    om_mutex_lock(&m->c->merge_mu);
    m->status = om_merge_next(m->c, false, &stop, NULL, &m->done, &m->err);
    om_mutex_unlock(&m->c->merge_mu);
    return NULL;
}

static void segments(pile *p, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pile_put_range(p, first + i * 200, 200);
        pile_seal(p);
    }
}

static void seals_and_checkpoints_go_on(void **state)
{
    (void)state;
    pile p;
    om_io_ops ops = *om_io_system.ops;
    ops.pwritev = gated_pwritev;
    pile_options options = {
        .collection = {.dim = DIM, .metric = OMEN_L2}, .threads = 2, .items = ITEMS, .io = &ops};
    pile_open(&p, "gate", &options);
    segments(&p, 0, 4);
    merging m = {.c = pile_collection(&p)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, merge_slowly, &m), 0);
    wait_until_held();

    segments(&p, 800, 2); /* would wait for ever if the merge held them up */
    pile_churn(&p, 0, 800, 30, 30);
    for (uint32_t i = 0; i <= OM_MANIFEST_KEPT;
         i++) { /* sweeps, but not the file that is being written */
        OK(&p.f, om_checkpoint_write(p.f.db, &p.f.err));
    }
    assert_int_equal(pile_files(&p), 4 + 2 + 1);
    let_go();
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (m.status != OMEN_OK || !m.done) {
        fail_msg("merge: %s", m.err.message);
    }
    pile_check(&p);
    assert_int_equal(pile_segments(&p), 1 + 2 + 1);
    OK(&p.f, om_checkpoint_settle(p.f.db, &p.f.err));
    assert_int_equal(pile_files(&p), 1 + 2);
    pile_close(&p);
}

static void rot_holds_up_only_its_own_segment(void **state)
{
    (void)state;
    pile p;
    bool done = false;
    pile_options options = {
        .collection = {.dim = DIM, .metric = OMEN_L2}, .threads = 2, .items = ITEMS};
    pile_open(&p, "rot", &options);
    segments(&p, 0, 5);
    pile_flip(&p, 0, OM_SECTION_VECTORS);
    assert_int_equal(pile_merge(&p, false, NULL, NULL, &done), OMEN_DATA_LOSS);
    assert_true(atomic_load(&pile_segment(&p, 0)->damaged));
    assert_false(atomic_load(&pile_segment(&p, 1)->damaged));
    OK(&p.f, pile_merge(&p, false, NULL, NULL, &done)); /* the four behind it */
    assert_true(done);
    assert_int_equal(pile_segments(&p), 3);
    OK(&p.f, pile_merge(&p, false, NULL, NULL, &done));
    assert_false(done);
    assert_int_equal(pile_merge(&p, true, NULL, NULL, &done),
                     OMEN_DATA_LOSS); /* who asks is told */
    pile_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seals_and_checkpoints_go_on),
        cmocka_unit_test(rot_holds_up_only_its_own_segment),
    };
    return cmocka_run_group_tests_name("engine merger", tests, NULL, NULL);
}
