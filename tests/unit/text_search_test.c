/* text_search_test.c - searches of every shape against BM25 by the book: the hits, their order and, to
 * the bit, their scores, whatever way the index found them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_fixture.h"
#include "text_search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_SOURCES = 16, MAX_CLAUSES = 12 };

/* The items of a corpus as sources: images and text rows, one behind the other. */
typedef struct layout {
    const text_corpus *corpus;
    text_image images[MAX_SOURCES];
    om_text_source sources[MAX_SOURCES];
    uint32_t first[MAX_SOURCES];
    uint32_t count;
    uint64_t *pass[MAX_SOURCES];
    _Atomic uint64_t *dead[MAX_SOURCES];
    bool *left_out; /* [items] by a bitmap */
    uint64_t *keys; /* [items] */
    bool by_key;    /* equal scores go by key, else by source and row */
    uint32_t piece; /* of keys at a time */
} layout;

/* Source i ends at ends[i]; negative: text rows. */
static void make_layout(const text_corpus *corpus, const int64_t *ends, uint32_t count, layout *out)
{
    uint32_t first = 0;
    *out = (layout){.corpus = corpus, .count = count};
    out->left_out = calloc((size_t)corpus->items + 1, sizeof *out->left_out);
    out->keys = calloc((size_t)corpus->items + 1, sizeof *out->keys);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t end = (uint32_t)llabs(ends[i]);
        om_text_source *source = &out->sources[i];
        out->first[i] = first;
        source->count = end - first;
        source->rows = (const uint8_t *const *)(const void *)(corpus->rows + first);
        if (ends[i] >= 0) {
            text_image_build(corpus, first, end - first, &out->images[i]);
            source->image = out->images[i].image;
            source->rows = NULL;
        }
        first = end;
    }
    assert_int_equal(first, corpus->items);
}

static void free_layout(layout *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->sources[i].image != NULL) {
            text_image_free(&l->images[i]);
        }
        free(l->pass[i]);
        free((void *)(uintptr_t)l->dead[i]);
    }
    free(l->left_out);
    free(l->keys);
}

/* Every other time the items have keys in no order. */
static void draw_keys(layout *l, uint64_t *state)
{
    l->by_key = om_rng_below(state, 2) == 0;
    l->piece = 1 + om_rng_below(state, 200);
    for (uint32_t i = 0; i < l->corpus->items; i++) {
        const uint32_t other = om_rng_below(state, i + 1);
        l->keys[i] = l->keys[other];
        l->keys[other] = i;
    }
}

static omen_status_t give_keys(void *ctx, uint32_t source, uint32_t row, const uint64_t **keys,
                               uint32_t *count, omen_error *err)
{
    const layout *l = ctx;
    (void)err;
    assert_true(row < l->sources[source].count);
    *keys = l->keys + l->first[source] + row;
    *count = om_min_u32(l->piece, l->sources[source].count - row);
    return OMEN_OK;
}

/* About one item in pass_one_in passes, one in dead_one_in is dead (0: no bitmap). */
static void mark(layout *l, uint32_t pass_one_in, uint32_t dead_one_in, uint64_t *state)
{
    memset(l->left_out, 0, l->corpus->items * sizeof *l->left_out);
    for (uint32_t i = 0; i < l->count; i++) {
        om_text_source *source = &l->sources[i];
        const size_t words = source->count / 64 + 4;
        free(l->pass[i]);
        free((void *)(uintptr_t)l->dead[i]);
        l->pass[i] = calloc(words, 8);
        l->dead[i] = calloc(words, 8);
        source->pass = pass_one_in != 0 ? l->pass[i] : NULL;
        source->dead = dead_one_in != 0 ? l->dead[i] : NULL;
        source->dead_shift = dead_one_in != 0 ? om_rng_below(state, 130) : 0;
        for (uint32_t row = 0; row < source->count; row++) {
            const bool passes = pass_one_in == 0 || om_rng_below(state, pass_one_in) == 0;
            const bool dead = dead_one_in != 0 && om_rng_below(state, dead_one_in) == 0;
            const uint32_t at = row + source->dead_shift;
            l->pass[i][row / 64] |= (uint64_t)passes << (row % 64);
            if (dead) {
                atomic_fetch_or(&l->dead[i][at / 64], UINT64_C(1) << (at % 64));
            }
            l->left_out[l->first[i] + row] = !passes || dead;
        }
    }
}

/* ---- Queries -------------------------------------------------------------------------------- */
typedef struct request {
    text_clause clauses[MAX_CLAUSES];
    uint32_t count;
    char text[512]; /* for one field; every target gets the same */
    uint32_t fields;
    float weights[4], k1, b;
} request;

/* Words and phrases of the same numbers in all fields; one that comes twice weighs twice. */
static void draw_request(const text_corpus *corpus, uint32_t vocabulary, uint32_t words,
                         uint32_t phrases, uint64_t *state, request *out)
{
    size_t at = 0;
    uint32_t numbers[MAX_CLAUSES][3], counts[MAX_CLAUSES];
    for (uint32_t i = 0; i < words + phrases; i++) {
        const bool phrase = i >= words;
        /* Frequent words often, so that lists of every length meet. */
        const uint32_t range = om_rng_below(state, 3) == 0 ? vocabulary : 1 + vocabulary / 20;
        counts[i] = phrase ? 2 + om_rng_below(state, 2) : 1;
        at += (size_t)snprintf(out->text + at, sizeof out->text - at, phrase ? "\"" : "");
        for (uint32_t k = 0; k < counts[i]; k++) {
            numbers[i][k] = phrase ? om_rng_below(state, 4) : om_rng_below(state, range);
            at += (size_t)snprintf(out->text + at, sizeof out->text - at, "w%u ", numbers[i][k]);
        }
        at += (size_t)snprintf(out->text + at, sizeof out->text - at, phrase ? "\" " : "");
    }
    out->count = 0;
    out->fields = corpus->fields;
    out->k1 = om_rng_below(state, 4) == 0 ? 0 : (float)om_rng_below(state, 30) / 10;
    out->b = (float)om_rng_below(state, 11) / 10;
    for (uint32_t f = 0; f < corpus->fields; f++) {
        out->weights[f] = (float)(1 + om_rng_below(state, 30)) / 10;
        for (uint32_t i = 0; i < words + phrases; i++) {
            text_clause clause = {
                .field = f, .count = counts[i], .weight = (double)out->weights[f]};
            memcpy(clause.words, numbers[i], counts[i] * 4);
            uint32_t same = 0;
            while (same < out->count &&
                   (out->clauses[same].field != f || out->clauses[same].count != counts[i] ||
                    memcmp(out->clauses[same].words, clause.words, counts[i] * 4) != 0)) {
                same++;
            }
            if (same < out->count) {
                out->clauses[same].weight += (double)out->weights[f];
            } else {
                assert_true(out->count < MAX_CLAUSES);
                out->clauses[out->count++] = clause;
            }
        }
    }
}

static om_textquery *make_query(const text_corpus *corpus, const request *r)
{
    om_text_target targets[4];
    om_textquery *query;
    for (uint32_t f = 0; f < r->fields; f++) {
        targets[f] = (om_text_target){
            .field = (uint16_t)(f * 3), .weight = r->weights[f], .analyser = corpus->analyser};
    }
    const om_textquery_options options = {.text = r->text,
                                          .length = strlen(r->text),
                                          .targets = targets,
                                          .target_count = r->fields,
                                          .k1 = r->k1,
                                          .b = r->b};
    assert_int_equal(om_textquery_create(&text_alloc, &options, &query, NULL), OMEN_OK);
    return query;
}

/* ---- The comparison ------------------------------------------------------------------------- */
static const text_oracle *sorted_by;
static const uint64_t *sorted_keys; /* NULL: by number */
static int compare_items(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (sorted_by->exact[x] != sorted_by->exact[y]) {
        return sorted_by->exact[x] > sorted_by->exact[y] ? -1 : 1;
    }
    if (sorted_keys != NULL) {
        return sorted_keys[x] > sorted_keys[y] ? 1 : -1;
    }
    return (x > y) - (x < y);
}

static void compare_hits(const layout *l, const text_oracle *oracle, const om_text_search *search)
{
    const uint32_t items = l->corpus->items;
    uint32_t *order = calloc((size_t)items + 1, sizeof *order);
    uint32_t n = 0;
    for (uint32_t item = 0; item < items; item++) {
        order[n] = item;
        n += oracle->match[item] && !l->left_out[item];
    }
    sorted_by = oracle;
    sorted_keys = l->by_key ? l->keys : NULL;
    qsort(order, n, sizeof *order, compare_items);
    assert_int_equal(search->found, n < search->limit ? n : search->limit);
    float scale = 0;
    for (uint32_t i = 0; i < search->found; i++) {
        const om_text_hit *hit = &search->hits[i];
        const uint32_t item = l->first[hit->source] + hit->row;
        assert_int_equal(item, order[i]);
        assert_true(fabs((double)hit->score - oracle->score[item]) <=
                    1e-5 * oracle->score[item] + 1e-6);
        if (i == 0) {
            scale = hit->score / (float)oracle->exact[item];
        }
        assert_true(hit->score == scale * (float)oracle->exact[item]);
    }
    free(order);
}

static void compare_search(const layout *l, const request *r, uint32_t limit,
                           om_textscratch *scratch)
{
    text_oracle oracle;
    om_textquery *query = make_query(l->corpus, r);
    om_text_hit *hits = calloc(limit, sizeof *hits);
    om_text_search search = {.query = query,
                             .sources = l->sources,
                             .source_count = l->count,
                             .limit = limit,
                             .keys = l->by_key ? give_keys : NULL,
                             .keys_ctx = (void *)(uintptr_t)l,
                             .hits = hits};
    text_oracle_make(l->corpus, r->clauses, r->count, r->k1, r->b, &oracle);
    assert_int_equal(om_text_run(&search, scratch, NULL), OMEN_OK);
    compare_hits(l, &oracle, &search);
    text_oracle_free(&oracle);
    om_textquery_free(query);
    free(hits);
}

static void compare_many(const text_shape *shape, const int64_t *ends, uint32_t count,
                         uint32_t rounds)
{
    static const uint32_t limits[] = {1, 10, 10, 100, 5000};
    static const uint32_t shares[] = {0, 0, 2, 20, 300};
    text_corpus corpus;
    layout l;
    om_textscratch *scratch;
    uint64_t state = shape->seed + 1;
    text_corpus_make(shape, &corpus);
    make_layout(&corpus, ends, count, &l);
    assert_int_equal(om_textscratch_create(&text_alloc, &scratch, NULL), OMEN_OK);
    for (uint32_t i = 0; i < rounds; i++) {
        request r;
        const uint32_t words = om_rng_below(&state, 1 + MAX_CLAUSES / (2 * shape->fields));
        const uint32_t phrases = words == 0 || om_rng_below(&state, 3) == 0 ? 1 : 0;
        draw_request(&corpus, shape->vocabulary, words, phrases, &state, &r);
        mark(&l, shares[om_rng_below(&state, 5)], om_rng_below(&state, 3), &state);
        draw_keys(&l, &state);
        compare_search(&l, &r, limits[om_rng_below(&state, 5)], scratch);
    }
    om_textscratch_free(scratch);
    free_layout(&l);
    text_corpus_free(&corpus);
}

static void one_image(void **unused)
{
    (void)unused;
    const int64_t ends[] = {3000};
    compare_many(&(text_shape){3000, 1, 400, 30, 10, 1, 11}, ends, 1, 150);
}

static void long_lists(void **unused)
{
    (void)unused;
    const int64_t ends[] = {20000};
    compare_many(&(text_shape){20000, 1, 60, 8, 0, 1, 12}, ends, 1, 60);
}

static void many_images_and_rows(void **unused)
{
    (void)unused;
    const int64_t ends[] = {500, 500, 1700, -1900, 2600, -2900, -3000};
    compare_many(&(text_shape){3000, 1, 300, 25, 5, 1, 13}, ends, 7, 150);
}

static void several_fields(void **unused)
{
    (void)unused;
    const int64_t ends[] = {900, -1000, 2000};
    compare_many(&(text_shape){2000, 3, 200, 20, 3, 1, 14}, ends, 3, 100);
}

static void even_words(void **unused)
{
    (void)unused;
    const int64_t ends[] = {4000};
    compare_many(&(text_shape){4000, 1, 40, 300, 0, 0, 15}, ends, 1, 40);
}

/* Items are alike, so many scores are equal: ties go by key, or by source and row. */
static void many_ties(void **unused)
{
    (void)unused;
    const int64_t ends[] = {1000, -1200, 3000, 4000};
    compare_many(&(text_shape){4000, 1, 30, 2, 0, 0.5, 16}, ends, 4, 150);
}

static void only_rows(void **unused)
{
    (void)unused;
    const int64_t ends[] = {-400};
    compare_many(&(text_shape){400, 2, 100, 40, 4, 1, 17}, ends, 1, 60);
}

/* Fewer rows are searched than the image has: the others are not in its statistics either. */
static void first_rows_only(void **unused)
{
    (void)unused;
    const int64_t ends[] = {3000};
    const text_shape shape = {3000, 2, 100, 20, 7, 1, 18};
    text_corpus corpus;
    layout l;
    request r;
    om_textscratch *scratch;
    uint64_t state = 5;
    text_corpus_make(&shape, &corpus);
    make_layout(&corpus, ends, 1, &l);
    assert_int_equal(om_textscratch_create(&text_alloc, &scratch, NULL), OMEN_OK);
    for (uint32_t round = 0; round < 60; round++) {
        text_corpus first = corpus;
        draw_request(&corpus, 100, 2, round % 3 == 0, &state, &r);
        first.items = round == 0 ? 0 : om_rng_below(&state, 3001);
        l.corpus = &first;
        l.sources[0].count = first.items;
        compare_search(&l, &r, 50, scratch);
    }
    om_textscratch_free(scratch);
    free_layout(&l);
    text_corpus_free(&corpus);
}

/* Keys that cannot be read fail the search, and only when scores are equal are they asked for. */
static omen_status_t no_keys(void *ctx, uint32_t source, uint32_t row, const uint64_t **keys,
                             uint32_t *count, omen_error *err)
{
    (void)source;
    (void)row;
    (void)keys;
    (void)count;
    ++*(uint32_t *)ctx;
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "no keys");
}

static void keys_may_fail(void **unused)
{
    (void)unused;
    const int64_t ends[] = {2000, -2200};
    const text_shape shape = {2200, 1, 12, 2, 0, 0.5, 20};
    text_corpus corpus;
    layout l;
    om_textscratch *scratch;
    om_text_hit hits[8];
    uint32_t asked = 0;
    omen_error err = {.status = OMEN_OK};
    text_corpus_make(&shape, &corpus);
    make_layout(&corpus, ends, 2, &l);
    assert_int_equal(om_textscratch_create(&text_alloc, &scratch, NULL), OMEN_OK);
    request r = {.text = "w1 w2", .fields = 1, .weights = {1}, .k1 = 1.2f, .b = 0.75f};
    om_textquery *query = make_query(&corpus, &r);
    om_text_search search = {.query = query,
                             .sources = l.sources,
                             .source_count = 2,
                             .limit = 8,
                             .keys = no_keys,
                             .keys_ctx = &asked,
                             .hits = hits};
    assert_int_equal(om_text_run(&search, scratch, &err), OMEN_DATA_LOSS);
    assert_int_equal(err.status, OMEN_DATA_LOSS);
    assert_true(asked > 0);
    asked = 0;
    search.source_count = 1;
    l.sources[0].count = 1; /* one row has no equal */
    assert_int_equal(om_text_run(&search, scratch, &err), OMEN_OK);
    assert_int_equal(asked, 0);
    om_textquery_free(query);
    om_textscratch_free(scratch);
    free_layout(&l);
    text_corpus_free(&corpus);
}

/* ---- Queries of very many words ------------------------------------------------------------- */
/* Words "w0" .. "w<words - 1>", each of them `times` times. */
static char *many_words(uint32_t words, uint32_t times)
{
    char *text = calloc((size_t)words * times + 1, 8);
    size_t at = 0;
    for (uint32_t i = 0; i < words * times; i++) {
        at += (size_t)snprintf(text + at, 9, "w%u ", i % words);
    }
    return text;
}

static om_textquery *query_of(const char *text, const om_analyser *analyser, uint32_t fields)
{
    om_text_target *targets = calloc(fields, sizeof *targets);
    om_textquery *query = NULL;
    for (uint32_t i = 0; i < fields; i++) {
        targets[i] = (om_text_target){.field = (uint16_t)i, .weight = 1, .analyser = analyser};
    }
    const om_textquery_options options = {.text = text,
                                          .length = strlen(text),
                                          .targets = targets,
                                          .target_count = fields,
                                          .k1 = 1.2f,
                                          .b = 0.75f};
    assert_int_equal(om_textquery_create(&text_alloc, &options, &query, NULL), OMEN_OK);
    free(targets);
    return query;
}

/* The same hits from images, whose clauses are sorted and pruned, as from rows, which are just read. */
static void thousand_words(void **unused)
{
    (void)unused;
    enum { LIMIT = 300 };
    const int64_t images[] = {1700, 3000}, rows[] = {-3000};
    const text_shape shape = {3000, 1, 1200, 40, 0, 1, 21};
    text_corpus corpus;
    layout l[2];
    om_textscratch *scratch;
    om_text_hit hits[2][LIMIT];
    text_corpus_make(&shape, &corpus);
    make_layout(&corpus, images, 2, &l[0]);
    make_layout(&corpus, rows, 1, &l[1]);
    assert_int_equal(om_textscratch_create(&text_alloc, &scratch, NULL), OMEN_OK);
    char *text = many_words(900, 1);
    om_textquery *query = query_of(text, corpus.analyser, 1);
    assert_int_equal(query->word_count, 900);
    for (uint32_t i = 0; i < 2; i++) {
        om_text_search search = {.query = query,
                                 .sources = l[i].sources,
                                 .source_count = l[i].count,
                                 .limit = LIMIT,
                                 .hits = hits[i]};
        assert_int_equal(om_text_run(&search, scratch, NULL), OMEN_OK);
        assert_int_equal(search.found, LIMIT);
    }
    for (uint32_t i = 0; i < LIMIT; i++) {
        assert_true(hits[0][i].score == hits[1][i].score);
        assert_int_equal(l[0].first[hits[0][i].source] + hits[0][i].row, hits[1][i].row);
    }
    om_textquery_free(query);
    free(text);
    om_textscratch_free(scratch);
    free_layout(&l[0]);
    free_layout(&l[1]);
    text_corpus_free(&corpus);
}

static void words_times_fields_are_bounded(void **unused)
{
    (void)unused;
    const uint32_t fields[] = {1, 2, 16, 17, 128, 1024};
    om_analyser *analysers[2];
    const om_analyser_options kinds[2] = {{.flags = OMEN_FIELD_NO_STEMMING},
                                          {.flags = OMEN_FIELD_NO_STEMMING}};
    char *text = many_words(1500, 1);
    char *twice = many_words(500, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(om_analyser_create(&text_alloc, &kinds[i], &analysers[i], NULL), OMEN_OK);
    }
    assert_true(om_analyser_same(analysers[0], analysers[1]));
    for (uint32_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const uint32_t each = om_min_u32(OM_TEXT_QUERY_WORDS, OM_TEXT_QUERY_LANES / fields[i]);
        om_textquery *query = query_of(text, analysers[0], fields[i]);
        assert_int_equal(query->word_count, each * fields[i]);
        assert_int_equal(query->clause_count, each * fields[i]);
        for (uint32_t k = 0; k < query->clause_count; k++) {
            assert_int_equal(query->words[k].target, k / each);
            assert_int_equal(query->clauses[k].target, k / each);
            assert_int_equal(query->parts[query->clauses[k].first].word, k);
        }
        om_textquery_free(query);
    }
    om_textquery *query = query_of(twice, analysers[0], 3);
    assert_int_equal(query->clause_count, 1500);
    for (uint32_t k = 0; k < query->clause_count; k++) {
        assert_int_equal(query->clauses[k].times, 2);
    }
    om_textquery_free(query);
    free(text);
    free(twice);
    om_analyser_free(analysers[0]);
    om_analyser_free(analysers[1]);
}

/* A scratch does not keep what one large query took. */
static void unusual_memory_is_given_back(void **unused)
{
    (void)unused;
    const int64_t ends[] = {-50, 100};
    const text_shape shape = {100, 1, 50, 10, 0, 1, 22};
    text_corpus corpus;
    layout l;
    om_textscratch *scratch;
    om_text_hit hits[4];
    char *text = many_words(1500, 1);
    text_corpus_make(&shape, &corpus);
    make_layout(&corpus, ends, 2, &l);
    assert_int_equal(om_textscratch_create(&text_alloc, &scratch, NULL), OMEN_OK);
    for (uint32_t round = 0; round < 4; round++) {
        om_textquery *query = query_of(text, corpus.analyser, round % 2 == 0 ? 64 : 1);
        om_text_search search = {
            .query = query, .sources = l.sources, .source_count = 2, .limit = 4, .hits = hits};
        assert_int_equal(om_text_run(&search, scratch, NULL), OMEN_OK);
        assert_int_equal(search.found, 4);
        assert_true(om_textscratch_bytes(scratch) <= OM_TEXT_KEPT);
        assert_true(round % 2 == 0 || om_textscratch_bytes(scratch) > 1024 * sizeof(om_lane));
        om_textquery_free(query);
    }
    om_textscratch_free(scratch);
    free_layout(&l);
    text_corpus_free(&corpus);
    free(text);
}

static void nothing_to_find(void **unused)
{
    (void)unused;
    const int64_t ends[] = {100, -200};
    const text_shape shape = {200, 1, 20, 5, 2, 1, 19};
    text_corpus corpus;
    layout l;
    om_textscratch *scratch;
    om_text_hit hits[4];
    static const char *const texts[] = {"", "\"\"", "absent", "\"w1 absent\"", " \" "};
    text_corpus_make(&shape, &corpus);
    make_layout(&corpus, ends, 2, &l);
    assert_int_equal(om_textscratch_create(&text_alloc, &scratch, NULL), OMEN_OK);
    for (uint32_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        request r = {.fields = 1, .weights = {1}, .k1 = 1.2f, .b = 0.75f};
        snprintf(r.text, sizeof r.text, "%s", texts[i]);
        om_textquery *query = make_query(&corpus, &r);
        om_text_search search = {
            .query = query, .sources = l.sources, .source_count = 2, .limit = 4, .hits = hits};
        assert_int_equal(om_text_run(&search, scratch, NULL), OMEN_OK);
        assert_int_equal(search.found, 0);
        assert_int_equal(om_textquery_empty(query), i != 2 && i != 3);
        om_textquery_free(query);
    }
    om_textscratch_free(scratch);
    free_layout(&l);
    text_corpus_free(&corpus);
}

static void bad_options(void **unused)
{
    (void)unused;
    om_analyser *analyser;
    om_textquery *query = NULL;
    const om_analyser_options plain = {.flags = 0};
    assert_int_equal(om_analyser_create(&text_alloc, &plain, &analyser, NULL), OMEN_OK);
    const float bad[][3] = {
        {-1, 0.5f, 1}, {NAN, 0.5f, 1}, {1, -0.1f, 1},           {1, 1.1f, 1},
        {1, NAN, 1},   {1, 1, -1},     {1, 1, (float)INFINITY}, {(float)INFINITY, 1, 1}};
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const om_text_target target = {.field = 0, .weight = bad[i][2], .analyser = analyser};
        const om_textquery_options options = {.text = "a",
                                              .length = 1,
                                              .targets = &target,
                                              .target_count = 1,
                                              .k1 = bad[i][0],
                                              .b = bad[i][1]};
        omen_error err;
        assert_int_equal(om_textquery_create(&text_alloc, &options, &query, &err),
                         OMEN_INVALID_ARGUMENT);
        assert_null(query);
    }
    om_analyser_free(analyser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_image),
        cmocka_unit_test(long_lists),
        cmocka_unit_test(many_images_and_rows),
        cmocka_unit_test(several_fields),
        cmocka_unit_test(even_words),
        cmocka_unit_test(many_ties),
        cmocka_unit_test(only_rows),
        cmocka_unit_test(first_rows_only),
        cmocka_unit_test(keys_may_fail),
        cmocka_unit_test(thousand_words),
        cmocka_unit_test(words_times_fields_are_bounded),
        cmocka_unit_test(unusual_memory_is_given_back),
        cmocka_unit_test(nothing_to_find),
        cmocka_unit_test(bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
