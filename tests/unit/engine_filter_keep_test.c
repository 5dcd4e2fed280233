/* engine_filter_keep_test.c - what compiled filters hold and share: the bytes that are counted, bitmaps that
 * grow, whose turn it is to make one, guesses that go on. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fields_int.h"
#include "engine_filter.h"
#include "things.h"

enum { ROWS = 5000, FILTERS = 40, K = 10 };

static om_filters *list_of(const things *t)
{
    om_filters *list = atomic_load(&t->f.c->c->filters);
    assert_non_null(list);
    return list;
}

static uint64_t bytes_of(const om_filters *list, uint32_t *count)
{
    uint64_t bytes = 0;
    *count = 0;
    for (const om_filter *at = list->newest; at != NULL; at = at->older) {
        bytes += atomic_load(&at->bytes);
        ++*count;
    }
    assert_int_equal(*count, list->count);
    return bytes;
}

static omen_status_t search(things *t, omen_query *query, omen_filter_explain *filters,
                            uint32_t *flags, uint32_t *count, omen_error *err)
{
    uint64_t keys[K];
    query->struct_size = sizeof *query;
    query->vectors = t->item[0].vector;
    query->dtype = OMEN_F32;
    query->dim = THING_DIM;
    query->count = 1;
    query->k = K;
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .counts = count,
                      .flags = flags,
                      .filters = filters};
    return omen_search(t->f.c, query, &hits, err);
}

/* Conditions of many kilobytes that nobody holds any more are kept within the bytes that are allowed. */
static void kept_conditions_are_counted(void **state)
{
    (void)state;
    enum { TERMS = 900, TEXT = 40000, ALLOWED = 1 << 20 };
    things t;
    char *text = malloc(TEXT);
    omen_runtime_stats before = {.struct_size = sizeof before}, after = before;
    uint32_t count = 0;
    assert_non_null(text);
    things_open(&t, OMEN_L2, 10, NULL);
    things_put(&t, 0, 10);
    for (uint32_t i = 0; i < FILTERS; i++) {
        omen_filter *compiled = NULL;
        size_t at = 0;
        for (uint32_t term = 0; term < TERMS; term++) {
            at += (size_t)snprintf(text + at, TEXT - at, "%snumber = %u", term != 0 ? " OR " : "",
                                   1000 + i * TERMS + term);
        }
        OK(&t.f, omen_filter_compile(t.f.c, text, at, NULL, 0, &compiled, &t.f.err));
        omen_filter_free(compiled);
        if (i == 0) {
            list_of(&t)->most_bytes = ALLOWED;
            assert_true(bytes_of(list_of(&t), &count) > TERMS * 50);
            OK(&t.f, omen_get_runtime_stats(t.f.rt, &before, &t.f.err));
        }
    }
    assert_true(bytes_of(list_of(&t), &count) <= ALLOWED);
    assert_true(count > 1 && count < FILTERS);
    OK(&t.f, omen_get_runtime_stats(t.f.rt, &after, &t.f.err));
    assert_true(after.memory_used < before.memory_used + ALLOWED);
    things_close(&t);
    free(text);
}

/* Bitmaps that grow behind the back of the list make it shorter; the filters themselves go on. */
static void grown_bitmaps_let_others_go(void **state)
{
    (void)state;
    things t;
    omen_filter *compiled[FILTERS];
    uint64_t matches = 0;
    uint32_t count = 0;
    things_open(&t, OMEN_L2, ROWS, NULL);
    for (uint32_t i = 0; i < FILTERS; i++) {
        thing_filter filter = things_share((double)i / FILTERS);
        compiled[i] = things_compile(&t, &filter);
    }
    om_filters *list = list_of(&t);
    uint64_t allowed = bytes_of(list, &count) + ROWS / 8;
    assert_int_equal(count, FILTERS);
    list->most_bytes = allowed;
    things_put(&t, 0, ROWS);
    for (uint32_t i = 0; i < FILTERS; i++) {
        thing_filter filter = things_share((double)i / FILTERS);
        OK(&t.f, omen_count_where(t.f.c, compiled[i], &matches, &t.f.err));
        assert_int_equal(matches, things_matches(&t, &filter));
        assert_true(bytes_of(list, &count) <= allowed);
    }
    assert_true(count != 0 && count < FILTERS);
    for (uint32_t i = 0; i < FILTERS; i++) {
        omen_filter_free(compiled[i]);
    }
    things_close(&t);
}

typedef struct patient {
    things *t;
    omen_filter *filter;
    uint32_t count;
} patient;

static void *search_on(void *context)
{
    patient *p = context;
    omen_query query = {.filter = p->filter};
    omen_error err;
    assert_int_equal(search(p->t, &query, NULL, NULL, &p->count, &err), OMEN_OK);
    return NULL;
}

/* While somebody else makes bitmaps of the same filter: who has no time goes, who has waits. */
static void who_waits_for_a_bitmap_can_be_stopped(void **state)
{
    (void)state;
    things t;
    pthread_t thread;
    omen_op *op = NULL;
    uint32_t count = 0, flags = 0;
    things_open(&t, OMEN_L2, ROWS, NULL);
    things_put(&t, 0, ROWS);
    thing_filter filter = things_share(0.5);
    omen_filter *compiled = things_compile(&t, &filter);
    om_filter *f = compiled->filter;
    om_mutex_lock(&f->mu);
    f->making = true; /* as another search would, which reads cold blocks */
    om_mutex_unlock(&f->mu);
    OK(&t.f, omen_op_create(&op, &t.f.err));
    omen_op_cancel(op);
    omen_query cancelled = {.filter = compiled, .op = op};
    FAILS(&t.f, search(&t, &cancelled, NULL, NULL, &count, &t.f.err), OMEN_CANCELLED, OMEN_D_NONE);
    omen_query late = {.filter = compiled, .timeout_us = 2000};
    FAILS(&t.f, search(&t, &late, NULL, NULL, &count, &t.f.err), OMEN_DEADLINE_EXCEEDED,
          OMEN_D_NONE);
    omen_query partial = {.filter = compiled, .timeout_us = 2000, .flags = OMEN_PARTIAL_OK};
    OK(&t.f, search(&t, &partial, NULL, &flags, &count, &t.f.err));
    assert_int_equal(flags, OMEN_HITS_PARTIAL);
    patient p = {&t, compiled, 0};
    assert_int_equal(pthread_create(&thread, NULL, search_on, &p), 0);
    om_mutex_lock(&f->mu);
    f->making = false;
    om_cond_broadcast(&f->made);
    om_mutex_unlock(&f->mu);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(p.count, K);
    omen_op_free(op);
    omen_filter_free(compiled);
    things_close(&t);
}

static uint32_t guessed_rows(const om_filter *f)
{
    const om_answers *answers = atomic_load(&f->answers);
    assert_non_null(answers);
    return (uint32_t)(atomic_load(&answers->pass[0]->guess) >> 32);
}

/* Waits until the background has put everything it can into blocks. */
static void settle(const things *t)
{
    om_segment *seg = om_set_last(om_set_load(t->f.c->c));
    uint64_t ready = 0;
    while (om_fields_wanted(seg, 0, &ready)) {
        om_indexer_pause(t->f.rt);
    }
}

/* What blocks said of a filter is asked once, and goes on to the bitmaps of more rows. */
static void guesses_go_on(void **state)
{
    (void)state;
    enum { MORE = 100 };
    things t;
    uint32_t count = 0, rows = OM_SUB_ROWS + 10;
    omen_filter_explain filters;
    things_open(&t, OMEN_L2, 3 * OM_SUB_ROWS, NULL);
    things_put(&t, 0, rows);
    settle(&t);
    thing_filter filter = things_share(0.3);
    omen_filter *compiled = things_compile(&t, &filter);
    omen_query query = {.filter = compiled};
    OK(&t.f, search(&t, &query, NULL, NULL, &count, &t.f.err));
    assert_int_equal(guessed_rows(compiled->filter), 0); /* nobody asked */
    OK(&t.f, search(&t, &query, &filters, NULL, &count, &t.f.err));
    assert_int_equal(guessed_rows(compiled->filter), OM_SUB_ROWS);
    things_put(&t, rows, MORE);
    OK(&t.f, search(&t, &query, NULL, NULL, &count, &t.f.err));
    assert_int_equal(guessed_rows(compiled->filter), OM_SUB_ROWS);
    things_put(&t, rows + MORE, OM_SUB_ROWS);
    rows += MORE + OM_SUB_ROWS;
    settle(&t);
    OK(&t.f, search(&t, &query, &filters, NULL, &count, &t.f.err));
    assert_int_equal(guessed_rows(compiled->filter), 2 * OM_SUB_ROWS);
    double share = (double)things_matches(&t, &filter) / rows;
    assert_true(fabs(filters.selectivity - share) < 1e-6);
    assert_true(fabs(filters.estimated - share) < 0.02);
    omen_filter_free(compiled);
    things_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_conditions_are_counted),
        cmocka_unit_test(grown_bitmaps_let_others_go),
        cmocka_unit_test(who_waits_for_a_bitmap_can_be_stopped),
        cmocka_unit_test(guesses_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
