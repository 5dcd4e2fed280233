/* engine_find_order_test.c - the order of what is found by words: equal scores by key, pages that fit
 * together, and snapshots whose scores stay. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fields_int.h"
#include "things.h"

enum { ROWS = 3000, MOST = 2000 };

typedef struct answer {
    uint64_t keys[MOST];
    float scores[MOST];
    uint32_t count;
} answer;

static void find(things *t, omen_collection *c, omen_request *request, uint32_t offset, uint32_t k,
                 answer *out)
{
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = out->keys,
                      .scores = out->scores,
                      .counts = &out->count};
    request->offset = offset;
    request->k = k;
    OK(&t->f, omen_find(c, request, &hits, &t->f.err));
}

static omen_leg text_leg(const char *text)
{
    return (omen_leg){.struct_size = sizeof(omen_leg),
                      .kind = OMEN_LEG_TEXT,
                      .text = text,
                      .text_len = strlen(text)};
}

/* ---- Pages --------------------------------------------------------------------------------------- */
/* The whole list is in order, has equal scores, and pages of any size are pieces of it. */
static void check_pages(things *t, omen_collection *c, omen_request *request)
{
    static const uint32_t sizes[] = {1, 7, 10, 64};
    answer *all = malloc(sizeof *all), *page = malloc(sizeof *page);
    assert_true(all != NULL && page != NULL);
    uint32_t equal = 0;
    find(t, c, request, 0, MOST, all);
    assert_in_range(all->count, 60, MOST - 1);
    for (uint32_t i = 1; i < all->count; i++) {
        assert_true(all->scores[i - 1] >= all->scores[i]);
        if (all->scores[i - 1] == all->scores[i]) {
            assert_true(all->keys[i - 1] < all->keys[i]);
            equal++;
        }
    }
    assert_in_range(equal, all->count / 4, MOST);
    for (uint32_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (uint32_t at = 0; at < all->count && at < 40 * sizes[s]; at += sizes[s]) {
            find(t, c, request, at, sizes[s], page);
            const uint32_t want = all->count - at < sizes[s] ? all->count - at : sizes[s];
            assert_int_equal(page->count, want);
            assert_memory_equal(page->keys, all->keys + at, want * sizeof *page->keys);
            assert_memory_equal(page->scores, all->scores + at, want * sizeof *page->scores);
        }
    }
    free(all);
    free(page);
}

/* Written back to front and anew, so that keys and rows go different ways. */
static void fill(things *t)
{
    for (uint32_t first = ROWS; first >= 300; first -= 300) {
        things_put(t, first - 300, 300);
        if (first % 900 == 0) {
            fx_index(&t->f);
            things_split(t);
        }
    }
    things_put(t, 500, 400);
    things_remove(t, 100, 600, 3);
}

static void pages_fit_together(void **state)
{
    (void)state;
    things t;
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    omen_leg legs[2] = {text_leg("w3q"), text_leg("w1q")};
    omen_request request = {.struct_size = sizeof request, .legs = legs, .leg_count = 1};
    check_pages(&t, t.f.c, &request);
    thing_filter half = things_share(0.5);
    omen_filter *filter = things_compile(&t, &half);
    request.filter = filter;
    check_pages(&t, t.f.c, &request);
    omen_filter_free(filter);
    things_close(&t);
}

/* Files: keys are read from them, and merging them changes neither pages nor scores of what was
 * only added. */
static void pages_of_files_fit_together(void **state)
{
    (void)state;
    things t;
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", fx_path("pages"));
    things_open(&t, OMEN_L2, ROWS, folder);
    for (uint32_t first = ROWS; first >= 500; first -= 500) {
        things_put(&t, first - 500, 500);
    }
    omen_leg leg = text_leg("w3q");
    omen_request request = {.struct_size = sizeof request, .legs = &leg, .leg_count = 1};
    answer *before = malloc(sizeof *before), *after = malloc(sizeof *after);
    assert_true(before != NULL && after != NULL);
    check_pages(&t, t.f.c, &request);
    find(&t, t.f.c, &request, 0, 25, before);
    OK(&t.f, omen_optimize(t.f.c, NULL, &t.f.err));
    things_reopen(&t);
    check_pages(&t, t.f.c, &request);
    find(&t, t.f.c, &request, 0, 25, after);
    assert_memory_equal(before->keys, after->keys, 25 * sizeof *after->keys);
    assert_memory_equal(before->scores, after->scores, 25 * sizeof *after->scores);
    free(before);
    free(after);
    things_close(&t);
    things_discard(folder);
}

/* ---- Snapshots ----------------------------------------------------------------------------------- */
/* Until all rows that can be are in images of words. */
static void settle(const things *t)
{
    om_segment *seg = om_set_last(om_set_load(t->f.c->c));
    uint64_t ready = 0;
    while (om_fields_wanted(seg, 0, &ready)) {
        om_indexer_pause(t->f.rt);
    }
}

/* The rows of a snapshot end inside of an image that was made later. */
static void scores_of_snapshots_stay(void **state)
{
    (void)state;
    enum { FIRST = 1000, ALL = 9000 };
    things t;
    omen_collection *snapshot = NULL;
    things_open(&t, OMEN_L2, ALL, NULL);
    things_put(&t, 0, FIRST);
    OK(&t.f, omen_snapshot(t.f.c, &snapshot, &t.f.err));
    omen_leg leg = text_leg("w0q w5q \"w1q w2q\"");
    omen_request request = {.struct_size = sizeof request, .legs = &leg, .leg_count = 1};
    answer *then = malloc(sizeof *then), *now = malloc(sizeof *now);
    assert_true(then != NULL && now != NULL);
    find(&t, snapshot, &request, 0, 300, then);
    assert_in_range(then->count, 150, 300);
    for (uint32_t round = 0; round < 2; round++) {
        things_put(&t, FIRST + round * 4000, 4000);
        things_remove(&t, 0, 500, 3);
        things_put(&t, 500, 100);
        settle(&t);
        find(&t, snapshot, &request, 0, 300, now);
        assert_int_equal(now->count, then->count);
        assert_memory_equal(now->keys, then->keys, then->count * sizeof *then->keys);
        assert_memory_equal(now->scores, then->scores, then->count * sizeof *then->scores);
    }
    free(then);
    free(now);
    omen_collection_free(snapshot);
    things_close(&t);
}

/* ---- Many fields --------------------------------------------------------------------------------- */
/* A long query of hundreds of fields ends, and its deadline and its end are heard and explained. */
static void queries_of_many_fields_stop(void **state)
{
    (void)state;
    enum { FIELDS = 300 };
    things t;
    omen_op *op = NULL;
    omen_field *fields = calloc(FIELDS, sizeof *fields);
    char *text = calloc(1100, 8);
    assert_true(fields != NULL && text != NULL);
    things_open(&t, OMEN_L2, 100, NULL);
    things_put(&t, 0, 100);
    for (uint32_t i = 0; i < FIELDS; i++) {
        fields[i].type = OMEN_TYPE_TEXT;
        (void)snprintf(fields[i].name, sizeof fields[i].name, "text%u", i);
    }
    for (uint32_t i = 0, at = 0; i < 1100; i++) {
        at += (uint32_t)snprintf(text + at, 9, "w%uq ", i);
    }
    OK(&t.f, omen_declare_fields(t.f.c, fields, FIELDS, &t.f.err));
    omen_leg leg = text_leg(text);
    omen_request request = {.struct_size = sizeof request, .legs = &leg, .leg_count = 1, .k = 10};
    answer *got = malloc(sizeof *got);
    assert_non_null(got);
    find(&t, t.f.c, &request, 0, 10, got);
    assert_int_equal(got->count, 10);
    OK(&t.f, omen_op_create(&op, &t.f.err));
    omen_op_cancel(op);
    request.op = op;
    omen_hits hits = {.struct_size = sizeof hits, .keys = got->keys};
    memset(&t.f.err, 0x5a, sizeof t.f.err);
    assert_int_equal(omen_find(t.f.c, &request, &hits, &t.f.err), OMEN_CANCELLED);
    assert_int_equal(t.f.err.status, OMEN_CANCELLED);
    assert_non_null(strstr(t.f.err.message, "stopped"));
    omen_op_free(op);
    free(got);
    free(fields);
    free(text);
    things_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_fit_together),
        cmocka_unit_test(pages_of_files_fit_together),
        cmocka_unit_test(scores_of_snapshots_stay),
        cmocka_unit_test(queries_of_many_fields_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
