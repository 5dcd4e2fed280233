/* engine_merge_test.c - several segments become one: the model's items, ids and keys for all types; a graph
 * as good as a fresh one; the same bytes for any number of threads; damage, cancelling, memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_pile.h"

enum { ITEMS = 1200, DIM = 12 };

static pile_options small(uint32_t metric, uint32_t dtype, uint32_t id_type)
{
    return (pile_options){
        .collection = {.dim = DIM, .metric = metric, .dtype = dtype, .id_type = id_type},
        .threads = 2,
        .items = ITEMS};
}

/* Four sealed segments with rows that died and were replaced in between. */
static void four_segments(pile *p)
{
    for (uint32_t i = 0; i < 4; i++) {
        pile_put_range(p, i * 250, 300);
        pile_churn(p, 0, (i + 1) * 250, 40, 15);
        pile_seal(p);
    }
    assert_int_equal(pile_segments(p), 5);
}

static void merge_all(pile *p)
{
    bool done = false;
    OK(&p->f, pile_merge(p, true, NULL, NULL, &done));
    assert_true(done);
    assert_int_equal(pile_segments(p), 2);
    om_segment *seg = pile_segment(p, 0);
    assert_non_null(seg->mapped);
    assert_int_equal(atomic_load(&seg->visible), atomic_load(&seg->live));
    OK(&p->f, pile_merge(p, true, NULL, NULL, &done));
    assert_false(done);
}

static void merged_segments_answer_as_before(void **state)
{
    (void)state;
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        for (uint32_t dtype = OMEN_F32; dtype <= OMEN_U8; dtype++) {
            pile p;
            pile_options options = small(metric, dtype, 1 + (metric + dtype) % 3);
            options.collection.entry = dtype == OMEN_I8 ? OMEN_ENTRY_HIERARCHY : OMEN_ENTRY_AUTO;
            options.collection.quantization = dtype == OMEN_F16 ? OMEN_QUANT_NONE : OMEN_QUANT_SQ8;
            pile_open(&p, "merge", &options);
            four_segments(&p);
            pile_check(&p);
            merge_all(&p);
            pile_check(&p);
            pile_churn(&p, 0, ITEMS, 100, 100); /* the merged one is written to as any other */
            pile_check(&p);
            pile_seal(&p);
            merge_all(&p);
            pile_check(&p);
            pile_close(&p);
        }
    }
}

/* What a reader of the file checks: sections, maps, ids, links. */
static void the_file_is_sound(void **state)
{
    (void)state;
    for (uint32_t id_type = OMEN_ID_U64; id_type <= OMEN_ID_STRING; id_type++) {
        pile p;
        pile_options options = small(OMEN_COSINE, OMEN_F32, id_type);
        pile_open(&p, "sound", &options);
        four_segments(&p);
        merge_all(&p);
        om_segment *seg = pile_segment(&p, 0);
        om_stop stop = {.op = NULL};
        OK(&p.f, om_mapped_check(seg, &stop, &p.f.err));
        om_graph_report report;
        om_graph_arrays arrays = {
            .codec = seg->mapped->codec,
            .codes = seg->mapped->section[OM_SECTION_CODES].data,
            .links = (uint32_t *)(uintptr_t)seg->mapped->section[OM_SECTION_LINKS].data};
        OK(&p.f, om_graph_check(seg->graph, &arrays, &report, &p.f.err));
        assert_int_equal(report.unreached, 0);
        assert_int_equal(report.nodes, atomic_load(&seg->live));
        assert_true(om_segfile_version(seg->mapped->file) == atomic_load(&seg->last_version));
        pile_close(&p);
    }
}

static void everything_dead_is_nothing(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_UUID);
    bool done = false;
    pile_open(&p, "nothing", &options);
    four_segments(&p);
    uint32_t *which = malloc(ITEMS * sizeof *which);
    assert_non_null(which);
    for (uint32_t i = 0; i < ITEMS; i++) {
        which[i] = i;
    }
    pile_remove(&p, which, ITEMS);
    free(which);
    for (uint32_t left = 4; left != 0; left--) { /* one by one: more than a fifth is dead */
        assert_int_equal(pile_segments(&p), left + 1);
        OK(&p.f, pile_merge(&p, false, NULL, NULL, &done));
        assert_true(done);
    }
    OK(&p.f, pile_merge(&p, false, NULL, NULL, &done));
    assert_false(done);
    assert_int_equal(pile_segments(&p), 1);
    pile_check(&p);
    pile_put_range(&p, 0, 10);
    pile_check(&p);
    pile_close(&p);
}

static void wasteful_ones_are_rewritten(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_IP, OMEN_F32, OMEN_ID_STRING);
    bool done = false;
    pile_open(&p, "wasteful", &options);
    pile_put_range(&p, 0, 600);
    pile_seal(&p);
    pile_put_range(&p, 100, 120); /* a fifth, no more */
    OK(&p.f, pile_merge(&p, false, NULL, NULL, &done));
    assert_false(done);
    pile_put_range(&p, 300, 1);
    OK(&p.f, pile_merge(&p, false, NULL, NULL, &done));
    assert_true(done);
    assert_int_equal(atomic_load(&pile_segment(&p, 0)->visible), 479);
    pile_check(&p);
    pile_close(&p);
}

/* ---- Meanwhile --------------------------------------------------------------------------------- */
typedef struct meanwhile {
    pile *p;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint32_t rounds;
} meanwhile;

static void *churn(void *arg)
{
    meanwhile *m = arg;
    do {
        pile_churn(m->p, 0, ITEMS, 6, 5);
        atomic_fetch_add(&m->rounds, 1);
    } while (!atomic_load(&m->stop));
    return NULL;
}

static void what_dies_meanwhile_is_dead(void **state)
{
    (void)state;
    for (uint32_t id_type = OMEN_ID_U64; id_type <= OMEN_ID_STRING; id_type++) {
        pile p;
        pile_options options = small(OMEN_L2, OMEN_F32, id_type);
        pile_open(&p, "meanwhile", &options);
        four_segments(&p);
        meanwhile m = {.p = &p};
        assert_int_equal(pthread_create(&m.thread, NULL, churn, &m), 0);
        for (uint32_t i = 0; i < 8; i++) {
            bool done = true;
            pile_seal(&p);
            while (i % 2 != 0 && done) {
                OK(&p.f, pile_merge(&p, false, NULL, NULL, &done));
            }
            OK(&p.f, pile_merge(&p, true, NULL, NULL, &done));
        }
        atomic_store(&m.stop, true);
        assert_int_equal(pthread_join(m.thread, NULL), 0);
        pile_check(&p);
        pile_close(&p);
    }
}

static void a_snapshot_outlives_its_segments(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_STRING);
    pile_open(&p, "snapshot", &options);
    four_segments(&p);
    pile_put_range(&p, 0, 50);
    pile_item *then = malloc(ITEMS * sizeof *then);
    assert_non_null(then);
    memcpy(then, p.item, ITEMS * sizeof *then);
    omen_collection *past = NULL;
    OK(&p.f, omen_snapshot(p.f.c, &past, &p.f.err));
    pile_churn(&p, 0, ITEMS, 200, 200);
    pile_seal(&p);
    merge_all(&p);
    pile_check(&p);
    pile_item *now = p.item;
    omen_collection *present = p.f.c;
    p.item = then;
    p.f.c = past;
    pile_check(&p);
    p.item = now;
    p.f.c = present;
    omen_collection_free(past);
    free(then);
    pile_check(&p);
    pile_close(&p);
}

/* ---- The graph --------------------------------------------------------------------------------- */
static double recall_of(fixture *f)
{
    omen_recall_options opt = {.struct_size = sizeof opt,
                               .flags = OMEN_GRAPH_ONLY,
                               .k = 10,
                               .ef = 12,
                               .samples = 400,
                               .seed = 5};
    omen_recall recall = {.struct_size = sizeof recall};
    OK(f, omen_measure_recall(f->c, &opt, &recall, NULL, &f->err));
    return recall.recall;
}

static void add_piece(pile *p, const float *rows, uint32_t dim, uint32_t first, uint32_t n)
{
    fixture f = p->f;
    fx_add(&f, rows + (size_t)first * dim, n, first);
    pile_seal(p);
}

/* The oldest segment is a beginning, or is not: both make graphs as good as one of all rows at once. */
static void recall_is_that_of_a_fresh_graph(void **state)
{
    (void)state;
    enum { ROWS = 12000, WIDE = 20 };
    float *rows = fx_rows(ROWS, WIDE, 71);
    omen_options o = {.dim = WIDE};
    fixture fresh;
    fx_open(&fresh, &o, 2);
    fx_add(&fresh, rows, ROWS, 0);
    fx_index(&fresh);
    double expected = recall_of(&fresh);
    fx_close(&fresh);
    for (uint32_t dead = 0; dead < 2; dead++) {
        pile p;
        pile_options options = {.collection = o, .threads = 2, .items = 1};
        pile_open(&p, "recall", &options);
        for (uint32_t i = 0; i < 4; i++) {
            add_piece(&p, rows, WIDE, i * (ROWS / 4), ROWS / 4);
        }
        if (dead != 0) { /* its graph cannot be taken over then */
            fx_delete(&p.f, 0);
        }
        merge_all(&p);
        assert_int_equal(fx_count(&p.f), ROWS - dead);
        double merged = recall_of(&p.f);
        if (merged < expected - 0.01) {
            print_error("recall %.4f of the merged graph, %.4f of a fresh one\n", merged, expected);
        }
        assert_true(merged >= expected - 0.01);
        pile_close(&p);
    }
    free(rows);
}

static void the_same_bytes_for_any_number_of_threads(void **state)
{
    (void)state;
    uint8_t *bytes[2];
    size_t size[2];
    for (uint32_t i = 0; i < 2; i++) {
        pile p;
        pile_options options = small(OMEN_COSINE, OMEN_F32, OMEN_ID_STRING);
        options.threads = i == 0 ? 1 : 4;
        pile_open(&p, "same", &options);
        four_segments(&p);
        merge_all(&p);
        char path[4096];
        pile_path(&p, pile_segment(&p, 0)->id, path, sizeof path);
        bytes[i] = fx_read(path, &size[i]);
        pile_close(&p);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
}

/* ---- Failures ---------------------------------------------------------------------------------- */
static void unchanged(pile *p)
{
    assert_int_equal(pile_segments(p), 5);
    assert_int_equal(pile_files(p), 4);
}

static bool merge_with_failures(uint32_t id_type, uint64_t *n)
{
    pile p;
    pile_torture t;
    omen_allocator allocator = pile_torture_init(&t);
    pile_options options = small(OMEN_COSINE, OMEN_F32, id_type);
    options.threads = 1;
    options.items = 400;
    options.allocator = &allocator;
    pile_open(&p, "torture", &options);
    for (uint32_t i = 0; i < 4; i++) {
        pile_put_range(&p, i * 100, 100);
        pile_seal(&p);
    }
    if (id_type != OMEN_ID_U64) {
        pile_churn(&p, 0, 400, 40, 5);
    }
    bool done = false;
    while (!done) {
        pile_torture_arm(&t, (*n)++);
        omen_status_t status = pile_merge(&p, true, NULL, NULL, &done);
        pile_torture_arm(&t, 0);
        assert_int_equal(done, status == OMEN_OK);
        if (!done) {
            FAILS(&p.f, status, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY);
            unchanged(&p);
        }
        assert_true(*n < 10000);
    }
    pile_check(&p);
    pile_close(&p);
    return pile_torture_end(&t) == 0;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint32_t id_type = OMEN_ID_U64; id_type <= OMEN_ID_STRING; id_type += 2) {
        uint64_t n = 1;
        while (!merge_with_failures(id_type, &n)) {
        }
        assert_true(n > 30);
    }
}

/* Stops a merge at its first sign of life in a stage. */
typedef struct canceller {
    omen_op *op;
    uint32_t stage;
    pthread_t thread;
    _Atomic bool over;
} canceller;

static void *cancel_at_stage(void *arg)
{
    canceller *k = arg;
    omen_progress progress = {.done = 0};
    while (!atomic_load(&k->over) && (progress.stage < k->stage || progress.done == 0)) {
        omen_op_progress(k->op, &progress);
    }
    omen_op_cancel(k->op);
    return NULL;
}

static void a_cancelled_merge_changes_nothing(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_U64);
    pile_open(&p, "cancel", &options);
    four_segments(&p);
    omen_op *op = NULL;
    bool done = false;
    OK(&p.f, omen_op_create(&op, &p.f.err));
    omen_op_cancel(op);
    FAILS(&p.f, pile_merge(&p, true, NULL, op, &done), OMEN_CANCELLED, OMEN_D_NONE);
    unchanged(&p);
    pile_check(&p);
    for (uint32_t stage = 0; stage < 3 && !done; stage++) {
        omen_op_reset(op);
        canceller k = {.op = op, .stage = stage};
        assert_int_equal(pthread_create(&k.thread, NULL, cancel_at_stage, &k), 0);
        omen_status_t status = pile_merge(&p, true, NULL, op, &done);
        atomic_store(&k.over, true);
        assert_int_equal(pthread_join(k.thread, NULL), 0);
        /* It may have been done before the other thread looked. */
        assert_int_equal(status, done ? OMEN_OK : OMEN_CANCELLED);
        if (!done) {
            unchanged(&p);
        }
        pile_check(&p);
    }
    omen_op_free(op);
    pile_close(&p);
}

static void damaged_inputs_are_reported(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {OM_SECTION_VECTORS, OM_SECTION_NORMS, OM_SECTION_KEYS,
                                     OM_SECTION_ID_BYTES, OM_SECTION_ID_OFFSETS};
    for (uint32_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        pile p;
        bool done = false;
        pile_options options = small(OMEN_COSINE, OMEN_F32, OMEN_ID_STRING);
        pile_open(&p, "damage", &options);
        for (uint32_t j = 0; j < 4; j++) {
            pile_put_range(&p, j * 300, 300);
            pile_freeze(&p);
        }
        bool sealed = true;
        while (sealed) {
            OK(&p.f, pile_seal_one(&p, &sealed));
        }
        pile_flip(&p, 2, kinds[i]);
        FAILS(&p.f, pile_merge(&p, true, NULL, NULL, &done), OMEN_DATA_LOSS, OMEN_D_CHECKSUM);
        unchanged(&p);
        assert_int_equal(fx_count(&p.f), ITEMS);
        pile_close(&p);
    }
}

/* Vectors that are several times the memory limit: they pass through. */
static void vectors_need_no_memory(void **state)
{
    (void)state;
    enum { WIDE = 1024, PIECE = 400, PIECES = 10, LIMIT = 15 << 20 };
    pile p;
    pile_options options = {
        .collection = {.dim = WIDE}, .threads = 2, .items = PIECE * PIECES, .memory_limit = LIMIT};
    assert_true((uint64_t)PIECE * PIECES * WIDE * sizeof(float) > LIMIT);
    pile_open(&p, "memory", &options);
    for (uint32_t i = 0; i < PIECES; i++) {
        for (uint32_t j = 0; j < 4; j++) {
            pile_put_range(&p, i * PIECE + j * (PIECE / 4), PIECE / 4);
        }
        pile_seal(&p);
    }
    pile_remove(&p, (uint32_t[]){7}, 1);
    merge_all(&p);
    assert_int_equal(fx_count(&p.f), PIECE * PIECES - 1);
    pile_close(&p);
}

static void optimize_leaves_one_segment(void **state)
{
    (void)state;
    pile p;
    pile_options options = small(OMEN_L2, OMEN_F32, OMEN_ID_STRING);
    pile_open(&p, "optimize", &options);
    four_segments(&p);
    pile_put_range(&p, 1000, 200);
    OK(&p.f, omen_optimize(p.f.c, NULL, &p.f.err));
    assert_int_equal(pile_segments(&p), 2);
    assert_int_equal(atomic_load(&pile_segment(&p, 1)->visible), 0);
    om_segment *seg = pile_segment(&p, 0);
    assert_int_equal(atomic_load(&seg->visible), atomic_load(&seg->live));
    pile_check(&p);
    OK(&p.f, omen_optimize(p.f.c, NULL, &p.f.err)); /* nothing to do */
    assert_ptr_equal(pile_segment(&p, 0), seg);
    assert_int_equal(pile_files(&p), 1);
    omen_db_stats stats = {.struct_size = sizeof stats};
    OK(&p.f, omen_get_db_stats(p.f.db, &stats, &p.f.err));
    assert_int_equal(stats.seals, 5);
    assert_int_equal(stats.merges, 1);
    pile_close(&p);
}

static void a_file_that_went_away_is_not_merged(void **state)
{
    (void)state;
    pile p;
    pile_options options = {.collection = {.dim = 12}, .threads = 1, .items = 600};
    char path[600];
    bool done = true;
    pile_open(&p, "gone", &options);
    pile_put_range(&p, 0, 300);
    pile_seal(&p);
    pile_put_range(&p, 300, 300);
    pile_seal(&p);
    pile_path(&p, pile_segment(&p, 0)->id, path, sizeof path);
    assert_int_equal(remove(path), 0); /* what is mapped stays readable */
    FAILS(&p.f, pile_merge(&p, true, NULL, NULL, &done), OMEN_DATA_LOSS, OMEN_D_IO);
    assert_int_equal(pile_segments(&p), 3);
    assert_int_equal(pile_files(&p), 1);
    pile_check(&p);
    pile_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_went_away_is_not_merged),
        cmocka_unit_test(merged_segments_answer_as_before),
        cmocka_unit_test(the_file_is_sound),
        cmocka_unit_test(everything_dead_is_nothing),
        cmocka_unit_test(wasteful_ones_are_rewritten),
        cmocka_unit_test(what_dies_meanwhile_is_dead),
        cmocka_unit_test(a_snapshot_outlives_its_segments),
        cmocka_unit_test(recall_is_that_of_a_fresh_graph),
        cmocka_unit_test(the_same_bytes_for_any_number_of_threads),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_cancelled_merge_changes_nothing),
        cmocka_unit_test(damaged_inputs_are_reported),
        cmocka_unit_test(vectors_need_no_memory),
        cmocka_unit_test(optimize_leaves_one_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
