/* engine_seal_test.c - frozen segments become files: every type of ids, metric and dtype; deaths that come
 * meanwhile; mostly dead ones; failures that leave everything as it was.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>

#include "engine_pile.h"

enum { ITEMS = 900, DIM = 12 };

static pile_options small(uint32_t metric, uint32_t dtype, uint32_t id_type)
{
    return (pile_options){
        .collection = {.dim = DIM, .metric = metric, .dtype = dtype, .id_type = id_type},
        .threads = 2,
        .items = ITEMS};
}

static void a_sealed_segment_answers_as_before(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {
        {OMEN_L2, OMEN_F32, OMEN_ID_U64},      {OMEN_IP, OMEN_F16, OMEN_ID_STRING},
        {OMEN_COSINE, OMEN_F32, OMEN_ID_UUID}, {OMEN_L2, OMEN_U8, OMEN_ID_STRING},
        {OMEN_COSINE, OMEN_I8, OMEN_ID_U64},
    };
    for (uint32_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        pile p;
        pile_options options = small(shapes[i][0], shapes[i][1], shapes[i][2]);
        pile_open(&p, "seal", &options);
        pile_put_range(&p, 0, 600);
        pile_churn(&p, 0, 600, 60, 30);
        pile_check(&p);
        pile_seal(&p);
        assert_int_equal(pile_segments(&p), 2);
        om_segment *seg = pile_segment(&p, 0);
        assert_non_null(seg->mapped);
        assert_int_equal(atomic_load(&seg->visible), 660);
        assert_true(pile_collection(&p)->contained == atomic_load(&seg->last_version));
        assert_true(atomic_load(&seg->first_version) < atomic_load(&seg->last_version));
        pile_check(&p);
        pile_put_range(&p, 500, 400); /* replaces sealed rows */
        pile_churn(&p, 0, 900, 50, 50);
        pile_check(&p);
        pile_seal(&p);
        assert_int_equal(pile_segments(&p), 3);
        pile_check(&p);
        pile_close(&p);
    }
}

static void seals_go_in_order(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_U64);
    bool done = false;
    pile_open(&p, "order", &options);
    for (uint32_t i = 0; i < 3; i++) {
        pile_put_range(&p, i * 300, 300);
        pile_freeze(&p);
    }
    pile_freeze(&p); /* an empty one is not frozen */
    assert_int_equal(pile_segments(&p), 4);
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t last = atomic_load(&pile_segment(&p, i)->last_version);
        OK(&p.f, pile_seal_one(&p, &done));
        assert_true(done);
        assert_non_null(pile_segment(&p, i)->mapped);
        assert_true(pile_collection(&p)->contained == last);
        for (uint32_t j = i + 1; j < 4; j++) {
            assert_null(pile_segment(&p, j)->mapped);
        }
    }
    OK(&p.f, pile_seal_one(&p, &done));
    assert_false(done);
    assert_int_equal(pile_files(&p), 3);
    pile_check(&p);
    pile_close(&p);
}

static void dead_ones_leave_no_file(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_STRING);
    pile_open(&p, "dead", &options);
    pile_put_range(&p, 0, 300);
    pile_freeze(&p);
    uint64_t last = atomic_load(&pile_segment(&p, 0)->last_version);
    pile_put_range(&p, 0, 300); /* all of them again */
    bool done = false;
    OK(&p.f, pile_seal_one(&p, &done));
    assert_true(done);
    assert_int_equal(pile_segments(&p), 1);
    assert_int_equal(pile_files(&p), 0);
    assert_true(pile_collection(&p)->contained == last);
    pile_check(&p);
    pile_close(&p);
}

static void mostly_dead_rows_are_left_out(void **state)
{
    (void)state;
    for (uint32_t id_type = OMEN_ID_U64; id_type <= OMEN_ID_STRING; id_type++) {
        pile p;
        pile_options options = small(OMEN_COSINE, OMEN_F32, id_type);
        pile_open(&p, "mostly", &options);
        pile_put_range(&p, 0, 800);
        pile_freeze(&p);
        pile_put_range(&p, 100, 300); /* 300 of 800 */
        bool done = false;
        OK(&p.f, pile_seal_one(&p, &done));
        assert_true(done);
        om_segment *seg = pile_segment(&p, 0);
        assert_int_equal(atomic_load(&seg->visible), 500);
        assert_int_equal(atomic_load(&seg->live), 500);
        pile_check(&p);
        pile_close(&p);
    }
}

/* ---- Meanwhile --------------------------------------------------------------------------------- */
typedef struct meanwhile {
    pile *p;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint32_t rounds;
    _Atomic uint32_t freezes; /* allowed: else there would be more than can be sealed */
} meanwhile;

static void *churn(void *arg)
{
    meanwhile *m = arg;
    do {
        pile_churn(m->p, 0, ITEMS, 5, 5);
        atomic_fetch_add(&m->rounds, 1);
    } while (!atomic_load(&m->stop));
    return NULL;
}

/* Freezing, too, while others write; the model is the writer's. */
static void what_dies_meanwhile_is_dead(void **state)
{
    (void)state;
    for (uint32_t id_type = OMEN_ID_U64; id_type <= OMEN_ID_STRING; id_type++) {
        pile p;
        pile_options options = small(OMEN_L2, OMEN_F32, id_type);
        pile_open(&p, "meanwhile", &options);
        pile_put_range(&p, 0, ITEMS);
        meanwhile m = {.p = &p};
        assert_int_equal(pthread_create(&m.thread, NULL, churn, &m), 0);
        for (uint32_t i = 0; i < 12; i++) {
            pile_seal(&p);
        }
        atomic_store(&m.stop, true);
        assert_int_equal(pthread_join(m.thread, NULL), 0);
        assert_true(atomic_load(&m.rounds) > 0);
        pile_check(&p);
        pile_seal(&p);
        pile_check(&p);
        pile_close(&p);
    }
}

/* ---- Failures ---------------------------------------------------------------------------------- */
/* Seals with call n failing, n + 1, ... until it is done; false: a failure was put up with, and the calls
 * behind it are still to be tried. */
static bool seal_with_failures(uint32_t churned, uint64_t *n)
{
    pile p;
    pile_torture t = {.fail_at = 0};
    omen_allocator allocator = pile_torture_init(&t);
    pile_options options = small(OMEN_COSINE, OMEN_F32, OMEN_ID_STRING);
    options.threads = 1;
    options.allocator = &allocator;
    pile_open(&p, "torture", &options);
    pile_put_range(&p, 0, 200);
    pile_churn(&p, 0, 200, churned, 5);
    pile_freeze(&p);
    bool done = false;
    while (!done) {
        pile_torture_arm(&t, (*n)++);
        omen_status_t status = pile_seal_one(&p, &done);
        pile_torture_arm(&t, 0);
        assert_int_equal(done, status == OMEN_OK);
        if (!done) {
            assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
            assert_int_equal(p.f.err.detail, OMEN_D_NO_MEMORY);
            assert_int_equal(pile_files(&p), 0);
            assert_null(pile_segment(&p, 0)->mapped);
        }
        assert_true(*n < 10000);
    }
    assert_int_equal(pile_files(&p), 1);
    pile_check(&p);
    pile_close(&p);
    return pile_torture_end(&t) == 0;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint32_t churned = 10; churned <= 100; churned += 90) { /* written as it is; packed */
        uint64_t n = 1;
        while (!seal_with_failures(churned, &n)) {
        }
        assert_true(n > 20);
    }
}

static void a_stopped_seal_changes_nothing(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_U64);
    pile_open(&p, "stopped", &options);
    pile_put_range(&p, 0, 500);
    pile_freeze(&p);
    omen_op *op = NULL;
    bool done = false;
    OK(&p.f, omen_op_create(&op, &p.f.err));
    omen_op_cancel(op);
    om_stop stop = {.op = op};
    om_collection *c = pile_collection(&p);
    uint64_t contained = c->contained;
    om_mutex_lock(&c->save_mu);
    omen_status_t status = om_seal_next(c, &stop, &done, &p.f.err);
    om_mutex_unlock(&c->save_mu);
    FAILS(&p.f, status, OMEN_CANCELLED, OMEN_D_NONE);
    assert_false(done);
    assert_int_equal(pile_files(&p), 0);
    assert_true(c->contained == contained);
    OK(&p.f, pile_seal_one(&p, &done));
    assert_true(done);
    pile_check(&p);
    omen_op_free(op);
    pile_close(&p);
}

/* omen_save of several segments, and of one with deaths that its file does not know. */
static void a_save_has_all_segments(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_STRING);
    pile_open(&p, "saves", &options);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/saved.omen", p.folder);
    for (uint32_t step = 0; step < 4; step++) {
        if (step < 3) {
            pile_put_range(&p, step * 250, 300);
        }
        pile_churn(&p, 0, 800, 20, 20);
        if (step == 1 || step == 3) {
            pile_seal(&p);
        }
        OK(&p.f, omen_save(p.f.c, path, NULL, &p.f.err));
        omen_open_options opt = {
            .struct_size = sizeof opt, .file = path, .flags = OMEN_OPEN_VERIFY};
        omen_db *memory = NULL;
        omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = p.f.rt};
        OK(&p.f, omen_db_open(NULL, &dopt, &memory, &p.f.err));
        fixture own = p.f;
        OK(&p.f, omen_open(memory, "saved", &opt, &p.f.c, &p.f.err));
        pile_check(&p);
        omen_collection_free(p.f.c);
        omen_db_free(memory);
        p.f = own;
    }
    fx_remove(path);
    pile_close(&p);
}

/* Items are only replaced, never deleted: every save has all of them, whatever is frozen meanwhile. */
static void *replace(void *arg)
{
    meanwhile *m = arg;
    do {
        pile_put_range(m->p, fx_below(&m->p->rng, ITEMS - 50), 50);
        if (atomic_load(&m->freezes) != 0) {
            pile_freeze(m->p);
            atomic_fetch_sub(&m->freezes, 1);
        }
        atomic_fetch_add(&m->rounds, 1);
    } while (!atomic_load(&m->stop));
    return NULL;
}

static void a_save_is_of_one_moment(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_STRING);
    pile_open(&p, "moment", &options);
    pile_put_range(&p, 0, ITEMS);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/saved.omen", p.folder);
    meanwhile m = {.p = &p};
    assert_int_equal(pthread_create(&m.thread, NULL, replace, &m), 0);
    for (uint32_t i = 0; i < 15; i++) {
        omen_error err;
        omen_db *memory = NULL;
        omen_collection *c = NULL;
        uint64_t count = 0;
        bool done = false;
        atomic_fetch_add(&m.freezes, 5);
        assert_int_equal(omen_save(p.f.c, path, NULL, &err), OMEN_OK);
        omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = p.f.rt};
        omen_open_options opt = {
            .struct_size = sizeof opt, .file = path, .flags = OMEN_OPEN_VERIFY};
        assert_int_equal(omen_db_open(NULL, &dopt, &memory, &err), OMEN_OK);
        assert_int_equal(omen_open(memory, "saved", &opt, &c, &err), OMEN_OK);
        assert_int_equal(omen_count(c, &count, &err), OMEN_OK);
        assert_int_equal(count, ITEMS);
        omen_collection_free(c);
        omen_db_free(memory);
        for (uint32_t j = 0; j < 5; j++) {
            assert_int_equal(pile_seal_one(&p, &done), OMEN_OK);
        }
        assert_int_equal(pile_merge(&p, true, NULL, NULL, &done), OMEN_OK);
    }
    atomic_store(&m.stop, true);
    assert_int_equal(pthread_join(m.thread, NULL), 0);
    pile_check(&p);
    fx_remove(path);
    pile_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_segment_answers_as_before),
        cmocka_unit_test(seals_go_in_order),
        cmocka_unit_test(dead_ones_leave_no_file),
        cmocka_unit_test(mostly_dead_rows_are_left_out),
        cmocka_unit_test(what_dies_meanwhile_is_dead),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_stopped_seal_changes_nothing),
        cmocka_unit_test(a_save_has_all_segments),
        cmocka_unit_test(a_save_is_of_one_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
