/* engine_find_test.c - searches of several parts against plain oracles: legs, fusions, bounds, groups,
 * offsets, and everything that is refused. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "things.h"

enum { K = 10, MOST = 600, ROWS = 3000 };

typedef struct answer {
    uint64_t keys[MOST];
    float distances[MOST], scores[MOST];
    uint32_t groups[MOST];
    uint32_t count, flags, k;
    omen_explain explain;
    omen_filter_explain filters;
    omen_hits hits;
} answer;

static omen_status_t find(things *t, omen_collection *c, const omen_request *request, answer *out)
{
    out->hits = (omen_hits){.struct_size = sizeof out->hits,
                            .keys = out->keys,
                            .distances = out->distances,
                            .counts = &out->count,
                            .flags = &out->flags,
                            .explain = &out->explain,
                            .filters = &out->filters,
                            .scores = out->scores,
                            .groups = out->groups};
    out->k = request->k;
    return omen_find(c, request, &out->hits, &t->f.err);
}

static omen_leg vector_leg(const float *vector)
{
    return (omen_leg){.struct_size = sizeof(omen_leg),
                      .flags = OMEN_EXACT,
                      .kind = OMEN_LEG_VECTOR,
                      .vector = vector,
                      .dtype = OMEN_F32,
                      .dim = THING_DIM};
}

static omen_leg text_leg(const char *text)
{
    return (omen_leg){.struct_size = sizeof(omen_leg),
                      .kind = OMEN_LEG_TEXT,
                      .text = text,
                      .text_len = strlen(text)};
}

static omen_leg like_leg(const uint64_t *keys, uint64_t count)
{
    return (omen_leg){.struct_size = sizeof(omen_leg),
                      .flags = OMEN_EXACT,
                      .kind = OMEN_LEG_LIKE,
                      .keys = keys,
                      .key_count = count};
}

static omen_request request_of(const omen_leg *legs, uint32_t count, uint32_t k)
{
    return (omen_request){
        .struct_size = sizeof(omen_request), .legs = legs, .leg_count = count, .k = k};
}

/* Hits are those of the oracle; at equal values (within rounding) any of them. `best` is above or below. */
static void same_hits(const answer *got, const thing_hit *truth, uint32_t want, bool distances)
{
    assert_int_equal(got->count, want);
    for (uint32_t i = 0; i < want; i++) {
        double value = (double)(distances ? got->distances[i] : got->scores[i]);
        double room = 2e-3 * (1e-3 + fabs(truth[i].value));
        assert_true(fabs(value - truth[i].value) <= room);
        if (got->keys[i] == truth[i].key) {
            continue;
        }
        bool tie = false; /* the key is there with about this value, or is one of the last */
        for (uint32_t j = 0; j < want; j++) {
            tie |= truth[j].key == got->keys[i] && fabs(truth[j].value - value) <= room;
        }
        assert_true(tie || fabs(truth[want - 1].value - value) <= room);
    }
    for (uint32_t i = 0; i < want; i++) {
        assert_true(isinf(distances ? got->scores[i] : got->distances[i]));
    }
    assert_true(want == got->k || got->keys[want] == OMEN_NONE);
}

/* Text that is searched, of frequent and rare words. */
static const uint16_t asked[][3] = {
    {0, 1, 2}, {5, 120, 300}, {40, 41, 42}, {7, 7, 9}, {390, 391, 3}};
enum { QUERIES = sizeof asked / sizeof *asked };

static const char *question(uint32_t i)
{
    static char text[64];
    (void)snprintf(text, sizeof text, "%s, %s? %s", thing_word(asked[i][0]),
                   thing_word(asked[i][1]), thing_word(asked[i][2]));
    return text;
}

static uint32_t by_words(const things *t, uint32_t i, const thing_filter *filter, thing_hit *out,
                         uint32_t k)
{
    const thing_words words = {asked[i], 3, (double)1.2f, 0.75};
    return things_by_words(t, &words, filter, out, k);
}

static void fill(things *t)
{
    things_put(t, 0, 1200);
    fx_index(&t->f);
    things_split(t);
    things_put(t, 1200, 1300);
    fx_index(&t->f);
    things_put(t, 2500, 500);
}

/* ---- One leg ------------------------------------------------------------------------------------- */
static void one_leg_is_a_search(void **state)
{
    (void)state;
    things t;
    answer got;
    thing_hit truth[MOST];
    fx_rng rng = {3};
    things_open(&t, OMEN_COSINE, ROWS, NULL);
    fill(&t);
    for (uint32_t i = 0; i <= thing_filter_count; i++) {
        const thing_filter *filter = i < thing_filter_count ? &thing_filters[i] : NULL;
        omen_filter *compiled = filter != NULL ? things_compile(&t, filter) : NULL;
        float vector[THING_DIM];
        things_query(&rng, vector);
        omen_leg leg = vector_leg(vector);
        omen_request request = request_of(&leg, 1, K);
        request.filter = compiled;
        OK(&t.f, find(&t, t.f.c, &request, &got));
        same_hits(&got, truth, things_nearest(&t, vector, filter, truth, K), true);
        assert_int_equal(got.filters.matches, things_matches(&t, filter));
        leg = text_leg(question(i % QUERIES));
        request.k = 40;
        OK(&t.f, find(&t, t.f.c, &request, &got));
        same_hits(&got, truth, by_words(&t, i % QUERIES, filter, truth, 40), false);
        assert_int_equal(got.filters.matches, things_matches(&t, filter));
        assert_int_equal(got.explain.plan,
                         got.filters.matches != 0 ? OMEN_PLAN_TEXT : OMEN_PLAN_EMPTY);
        leg.field = "body";
        leg.k1 = 0.9f;
        leg.b = 0.4f;
        OK(&t.f, find(&t, t.f.c, &request, &got));
        const thing_words words = {asked[i % QUERIES], 3, (double)0.9f, (double)0.4f};
        same_hits(&got, truth, things_by_words(&t, &words, filter, truth, 40), false);
        omen_filter_free(compiled);
    }
    things_close(&t);
}

static void like_is_the_mean_without_its_items(void **state)
{
    (void)state;
    static const uint64_t keys[] = {17, 1800, 2999};
    things t;
    answer got;
    thing_hit truth[MOST];
    float mean[THING_DIM] = {0};
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t d = 0; d < THING_DIM; d++) {
            mean[d] += t.item[keys[i]].vector[d] / 3;
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        t.item[keys[i]].alive = false; /* for the oracle */
    }
    uint32_t want = things_nearest(&t, mean, NULL, truth, K);
    omen_leg leg = like_leg(keys, 3);
    omen_request request = request_of(&leg, 1, K);
    OK(&t.f, find(&t, t.f.c, &request, &got));
    same_hits(&got, truth, want, true);
    static const uint64_t absent[] = {17, 77777};
    leg = like_leg(absent, 2);
    FAILS(&t.f, find(&t, t.f.c, &request, &got), OMEN_NOT_FOUND, OMEN_D_NONE);
    assert_int_equal(t.f.err.item, 1);
    things_close(&t);
}

/* ---- Fusion -------------------------------------------------------------------------------------- */
static int falling(const void *a, const void *b)
{
    const thing_hit *x = a, *y = b;
    if (x->value != y->value) {
        return x->value > y->value ? -1 : 1;
    }
    return (x->key > y->key) - (x->key < y->key);
}

typedef struct list {
    thing_hit hit[MOST];
    uint32_t count;
    double weight;
    bool distances;
} list;

static double worth(const list *l, uint32_t i, uint32_t fusion, double constant)
{
    if (fusion == OMEN_FUSE_RRF) {
        return l->weight / (constant + i + 1);
    }
    double first = l->hit[0].value, last = l->hit[l->count - 1].value;
    return l->weight * (first == last ? 1 : (l->hit[i].value - last) / (first - last));
}

static uint32_t fuse(const list *lists, uint32_t count, uint32_t fusion, double constant,
                     thing_hit *out, uint32_t k)
{
    static thing_hit all[ROWS];
    uint32_t n = 0;
    for (uint64_t key = 0; key < ROWS; key++) {
        double sum = 0;
        bool there = false;
        for (uint32_t l = 0; l < count; l++) {
            for (uint32_t i = 0; i < lists[l].count; i++) {
                if (lists[l].hit[i].key == key) {
                    sum += worth(&lists[l], i, fusion, constant);
                    there = true;
                }
            }
        }
        if (there) {
            all[n++] = (thing_hit){key, sum};
        }
    }
    qsort(all, n, sizeof *all, falling);
    n = n < k ? n : k;
    memcpy(out, all, n * sizeof *out);
    return n;
}

/* The lists of the single legs, as the library gives them, fused by the oracle: ties within a list and
 * rounding of scores then cannot differ. */
static void take_list(things *t, omen_leg *leg, const omen_filter *filter, uint32_t limit,
                      list *out)
{
    answer got;
    omen_leg alone = *leg;
    alone.limit = 0;
    omen_request request = request_of(&alone, 1, limit);
    request.filter = filter;
    OK(&t->f, find(t, t->f.c, &request, &got));
    out->count = got.count;
    out->distances = leg->kind != OMEN_LEG_TEXT;
    out->weight = leg->weight != 0 ? (double)leg->weight : 1;
    for (uint32_t i = 0; i < got.count; i++) {
        out->hit[i].key = got.keys[i];
        out->hit[i].value = (double)(out->distances ? got.distances[i] : got.scores[i]);
    }
}

static void legs_are_fused(void **state)
{
    (void)state;
    static const uint64_t liked[] = {5, 6};
    static list lists[4];
    things t;
    answer got;
    thing_hit truth[MOST];
    float vector[2][THING_DIM];
    fx_rng rng = {31};
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    things_query(&rng, vector[0]);
    things_query(&rng, vector[1]);
    omen_leg legs[4] = {vector_leg(vector[0]), text_leg("w1q w3q w50q"), vector_leg(vector[1]),
                        like_leg(liked, 2)};
    legs[1].weight = 2.5f;
    legs[3].weight = 0.25f;
    legs[2].limit = 37;
    for (uint32_t i = 0; i <= thing_filter_count; i++) {
        const thing_filter *filter = i < thing_filter_count ? &thing_filters[i] : NULL;
        omen_filter *compiled = filter != NULL ? things_compile(&t, filter) : NULL;
        for (uint32_t count = 2; count <= 4; count++) {
            for (uint32_t l = 0; l < count; l++) {
                take_list(&t, &legs[l], compiled, legs[l].limit != 0 ? legs[l].limit : 100,
                          &lists[l]);
            }
            for (uint32_t fusion = 0; fusion <= OMEN_FUSE_WEIGHTED; fusion++) {
                omen_request request = request_of(legs, count, 50);
                request.fusion = fusion;
                request.filter = compiled;
                request.rank_constant = count == 3 ? 10 : 0;
                OK(&t.f, find(&t, t.f.c, &request, &got));
                uint32_t kind = fusion != 0 ? fusion : OMEN_FUSE_RRF;
                uint32_t want = fuse(lists, count, kind, count == 3 ? 10 : 60, truth, 50);
                same_hits(&got, truth, want, false);
                assert_int_equal(got.explain.plan,
                                 got.filters.matches != 0 ? OMEN_PLAN_HYBRID : OMEN_PLAN_EMPTY);
            }
        }
        omen_filter_free(compiled);
    }
    things_close(&t);
}

/* ---- Offsets and bounds -------------------------------------------------------------------------- */
static void offsets_and_bounds_cut_the_list(void **state)
{
    (void)state;
    things t;
    answer all, got;
    float vector[THING_DIM] = {0.3f};
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    omen_leg leg = vector_leg(vector);
    omen_request request = request_of(&leg, 1, 50);
    OK(&t.f, find(&t, t.f.c, &request, &all));
    request.k = 20;
    request.offset = 30;
    OK(&t.f, find(&t, t.f.c, &request, &got));
    assert_int_equal(got.count, 20);
    assert_memory_equal(got.keys, all.keys + 30, 20 * sizeof *got.keys);
    request.offset = 0;
    request.flags = OMEN_FIND_MAX_DISTANCE;
    request.max_distance = all.distances[6];
    OK(&t.f, find(&t, t.f.c, &request, &got));
    assert_int_equal(got.count, 7);
    assert_int_equal(got.keys[7], OMEN_NONE);
    request.offset = 5;
    OK(&t.f, find(&t, t.f.c, &request, &got));
    assert_int_equal(got.count, 2);
    assert_int_equal(got.keys[0], all.keys[5]);
    request.max_distance = -1;
    OK(&t.f, find(&t, t.f.c, &request, &got));
    assert_int_equal(got.count, 0);
    leg = text_leg("w1q w2q");
    request = request_of(&leg, 1, 50);
    OK(&t.f, find(&t, t.f.c, &request, &all));
    request.flags = OMEN_FIND_MIN_SCORE;
    request.min_score = all.scores[20];
    OK(&t.f, find(&t, t.f.c, &request, &got));
    assert_true(got.count >= 21 && got.count < 50);
    for (uint32_t i = 0; i < got.count; i++) {
        assert_true(got.scores[i] >= request.min_score);
    }
    things_close(&t);
}

/* ---- Groups -------------------------------------------------------------------------------------- */
typedef int64_t (*group_value)(const thing *item);
static int64_t group_number(const thing *item)
{
    return item->number;
}
static int64_t group_color(const thing *item)
{
    return item->color;
}

/* The best groups of all items that pass, by brute force. */
static void check_groups(things *t, const char *field, group_value value, uint32_t size,
                         const thing_filter *filter)
{
    static thing_hit all[ROWS];
    static uint64_t expected[MOST];
    static uint32_t group[MOST];
    enum { GROUPS = 6, OFFSET = 2 };
    int64_t seen[GROUPS + OFFSET];
    uint64_t member[GROUPS + OFFSET][8];
    uint32_t members[GROUPS + OFFSET] = {0}, groups = 0, n = 0;
    float vector[THING_DIM] = {0.1f, -0.4f};
    answer got;
    uint32_t count = things_nearest(t, vector, filter, all, ROWS);
    for (uint32_t i = 0; i < count; i++) {
        int64_t mine = value(&t->item[all[i].key]);
        uint32_t g = 0;
        while (g < groups && seen[g] != mine) {
            g++;
        }
        if (g == groups && groups < GROUPS + OFFSET) {
            seen[groups++] = mine;
        }
        if (g < groups && members[g] < size) {
            member[g][members[g]++] = all[i].key;
        }
    }
    for (uint32_t g = OFFSET; g < groups; g++) {
        for (uint32_t i = 0; i < members[g]; i++) {
            expected[n] = member[g][i];
            group[n++] = g - OFFSET;
        }
    }
    omen_leg leg = vector_leg(vector);
    omen_request request = request_of(&leg, 1, GROUPS);
    omen_filter *compiled = filter != NULL ? things_compile(t, filter) : NULL;
    request.offset = OFFSET;
    request.group_by = field;
    request.group_size = size;
    request.filter = compiled;
    OK(&t->f, find(t, t->f.c, &request, &got));
    assert_int_equal(got.count, n);
    assert_memory_equal(got.keys, expected, n * sizeof *expected);
    assert_memory_equal(got.groups, group, n * sizeof *group);
    omen_filter_free(compiled);
}

static void groups_are_the_best_of_all(void **state)
{
    (void)state;
    things t;
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    things_remove(&t, 0, ROWS, 7);
    for (uint32_t size = 1; size <= 8; size += 3) {
        check_groups(&t, "number", group_number, size, NULL);
        check_groups(&t, "color", group_color, size, NULL); /* fewer groups than are asked for */
        check_groups(&t, "number", group_number, size, &thing_filters[1]);
        check_groups(&t, "color", group_color, size, &thing_filters[3]);
    }
    things_close(&t);
}

/* ---- Deaths, replacing, snapshots ---------------------------------------------------------------- */
static void words_of_the_dead_are_not_found(void **state)
{
    (void)state;
    things t;
    answer now, then;
    omen_collection *snapshot = NULL;
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    omen_leg leg = text_leg("w0q w1q w2q w3q");
    omen_request request = request_of(&leg, 1, MOST);
    OK(&t.f, omen_snapshot(t.f.c, &snapshot, &t.f.err));
    OK(&t.f, find(&t, snapshot, &request, &then));
    things_remove(&t, 1, 1500, 2);
    things_put(&t, 2000, 300);
    OK(&t.f, find(&t, t.f.c, &request, &now));
    assert_true(now.count > 100 && then.count > 100);
    for (uint32_t i = 0; i < now.count; i++) {
        const thing *item = &t.item[now.keys[i]];
        bool has = false;
        for (uint32_t j = 0; j < item->word_count; j++) {
            has |= item->word[j] <= 3;
        }
        assert_true(item->alive && has);
    }
    answer again;
    OK(&t.f, find(&t, snapshot, &request, &again));
    assert_int_equal(again.count, then.count);
    assert_memory_equal(again.keys, then.keys, then.count * sizeof *then.keys);
    omen_collection_free(snapshot);
    things_close(&t);
}

/* Words in files: of one that was merged, of several, and behind them. Dead rows are in the statistics until
 * they are merged away, so nothing is replaced here. */
static void words_in_files_are_found(void **state)
{
    (void)state;
    things t;
    answer got;
    thing_hit truth[MOST];
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", fx_path("words"));
    things_open(&t, OMEN_L2, ROWS, folder);
    things_put(&t, 0, 1500);
    OK(&t.f, omen_checkpoint(t.f.db, NULL, &t.f.err));
    things_put(&t, 1500, 1000);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < thing_filter_count; i++) {
            omen_filter *compiled = things_compile(&t, &thing_filters[i]);
            omen_leg leg = text_leg(question(i % QUERIES));
            omen_request request = request_of(&leg, 1, 40);
            request.filter = compiled;
            OK(&t.f, find(&t, t.f.c, &request, &got));
            same_hits(&got, truth, by_words(&t, i % QUERIES, &thing_filters[i], truth, 40), false);
            omen_filter_free(compiled);
        }
        if (round == 0) {
            OK(&t.f, omen_optimize(t.f.c, NULL, &t.f.err));
        } else if (round == 1) {
            things_put(&t, 2500, 500);
            things_reopen(&t);
        }
    }
    check_groups(&t, "number", group_number, 2, &thing_filters[4]);
    things_close(&t);
    things_discard(folder);
}

/* ---- What is refused ----------------------------------------------------------------------------- */
static void bad_requests_are_refused(void **state)
{
    (void)state;
    things t;
    answer got;
    float vector[THING_DIM] = {0};
    uint64_t key = 1;
    things_open(&t, OMEN_L2, 10, NULL);
    things_put(&t, 0, 10);
#define REFUSED(detail, change)                                                  \
    do {                                                                         \
        omen_leg leg[2] = {vector_leg(vector), text_leg("w1q")};                 \
        omen_request r = request_of(leg, 2, K);                                  \
        change;                                                                  \
        FAILS(&t.f, find(&t, t.f.c, &r, &got), OMEN_INVALID_ARGUMENT, (detail)); \
    } while (0)
    REFUSED(OMEN_D_LIMIT, r.leg_count = 0);
    REFUSED(OMEN_D_LIMIT, r.leg_count = OMEN_MAX_LEGS + 1);
    REFUSED(OMEN_D_NONE, r.legs = NULL);
    REFUSED(OMEN_D_NONE, r.flags = OMEN_EXACT);
    REFUSED(OMEN_D_LIMIT, r.k = 0);
    REFUSED(OMEN_D_LIMIT, r.offset = OMEN_MAX_K);
    REFUSED(OMEN_D_NONE, r.fusion = 3);
    REFUSED(OMEN_D_LIMIT, r.rank_constant = -1);
    REFUSED(OMEN_D_LIMIT, r.rank_constant = NAN);
    REFUSED(OMEN_D_NONE, r.flags = OMEN_FIND_MAX_DISTANCE);
    REFUSED(OMEN_D_NONE, (r.leg_count = 1, r.flags = OMEN_FIND_MIN_SCORE));
    REFUSED(OMEN_D_NONE, (r.flags = OMEN_FIND_MIN_SCORE, r.min_score = NAN));
    REFUSED(OMEN_D_FIELD, r.group_by = "nothing");
    REFUSED(OMEN_D_TYPE, r.group_by = "tags");
    REFUSED(OMEN_D_NONE, r.group_size = 2);
    REFUSED(OMEN_D_LIMIT, (r.group_by = "color", r.group_size = OMEN_MAX_K));
    REFUSED(OMEN_D_NONE, leg[0].kind = 9);
    REFUSED(OMEN_D_NONE, leg[0].flags = 64);
    REFUSED(OMEN_D_NONE, leg[0].vector = NULL);
    REFUSED(OMEN_D_DIM_MISMATCH, leg[0].dim = 3);
    REFUSED(OMEN_D_TYPE, leg[0].dtype = 17);
    REFUSED(OMEN_D_LIMIT, leg[0].ef = OMEN_MAX_EF + 1);
    REFUSED(OMEN_D_LIMIT, leg[0].limit = OMEN_MAX_K + 1);
    REFUSED(OMEN_D_LIMIT, leg[0].weight = -1);
    REFUSED(OMEN_D_LIMIT, leg[0].weight = INFINITY);
    REFUSED(OMEN_D_NOT_FINITE, vector[3] = NAN);
    vector[3] = 0;
    REFUSED(OMEN_D_LIMIT, leg[1].text_len = OMEN_MAX_TEXT_QUERY + 1);
    REFUSED(OMEN_D_NONE, leg[1].text = NULL);
    REFUSED(OMEN_D_FIELD, leg[1].field = "nothing");
    REFUSED(OMEN_D_TYPE, leg[1].field = "color");
    REFUSED(OMEN_D_LIMIT, leg[1].k1 = -1);
    REFUSED(OMEN_D_LIMIT, leg[1].b = 2);
    REFUSED(OMEN_D_NONE, leg[0] = like_leg(NULL, 0));
    REFUSED(OMEN_D_LIMIT, leg[0] = like_leg(&key, OMEN_MAX_K));
    REFUSED(OMEN_D_STRUCT_SIZE, leg[1].struct_size -= 8);
    REFUSED(OMEN_D_STRUCT_SIZE, leg[0].struct_size = 1);
#undef REFUSED
    omen_leg leg = vector_leg(vector);
    omen_request request = request_of(&leg, 1, K);
    request.min_version = UINT64_MAX / 2;
    FAILS(&t.f, find(&t, t.f.c, &request, &got), OMEN_OUT_OF_RANGE, OMEN_D_NONE);
    things_close(&t);
}

static void cancelled_and_late_searches_stop(void **state)
{
    (void)state;
    things t;
    answer got;
    omen_op *op = NULL;
    float vector[THING_DIM] = {0};
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    OK(&t.f, omen_op_create(&op, &t.f.err));
    omen_op_cancel(op);
    omen_leg legs[2] = {vector_leg(vector), text_leg("w0q w1q")};
    omen_request request = request_of(legs, 2, K);
    request.op = op;
    FAILS(&t.f, find(&t, t.f.c, &request, &got), OMEN_CANCELLED, OMEN_D_NONE);
    request.legs = &legs[1];
    request.leg_count = 1;
    FAILS(&t.f, find(&t, t.f.c, &request, &got), OMEN_CANCELLED, OMEN_D_NONE);
    request.timeout_us = 1; /* over before the first look, or just not */
    request.op = NULL;
    request.flags = OMEN_PARTIAL_OK;
    OK(&t.f, find(&t, t.f.c, &request, &got));
    assert_true(got.flags == OMEN_HITS_PARTIAL ? got.count <= K : got.count == K);
    request = request_of(legs, 2, K);
    request.op = op;
    omen_op_reset(op);
    OK(&t.f, find(&t, t.f.c, &request, &got));
    assert_int_equal(got.count, K);
    omen_op_free(op);
    things_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leg_is_a_search),
        cmocka_unit_test(like_is_the_mean_without_its_items),
        cmocka_unit_test(legs_are_fused),
        cmocka_unit_test(offsets_and_bounds_cut_the_list),
        cmocka_unit_test(groups_are_the_best_of_all),
        cmocka_unit_test(words_of_the_dead_are_not_found),
        cmocka_unit_test(words_in_files_are_found),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(cancelled_and_late_searches_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
