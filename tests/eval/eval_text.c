/* eval_text.c - ranking of texts against judgements: BM25, vectors, and both by reciprocal rank fusion.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The references are those of the README of the data (a plain BM25 in another program, exact cosine, and the
 * fusion of both lists). nDCG@10 with linear gain over the queries that have a relevant item. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

enum { DEPTH = 100 };

/* What another implementation gives. */
typedef struct reference {
    const char *set;
    double bm25_low, bm25, recall, vectors, fused;
} reference;
static const reference references[] = {
    {"beir-scifact", 0.6778, 0.6826, 0.9282, 0.5177, 0.5945},
    {"cranfield", 0.3578, 0.3750, 0.7320, 0.4266, 0.4063},
    {"cisi", 0.3626, 0.3824, 0.4456, 0.3929, 0.4027},
};

typedef struct judged { /* a query with relevant items */
    char *text;
    const void *vector;
    uint64_t *items; /* relevant ones */
    double *gains;
    size_t count;
} judged;

typedef struct text_set {
    const char *name;
    omen_collection *c;
    uint32_t dim;
    judged *queries;
    size_t count;
    size_t short_lists; /* results that were fewer than they had to be */
} text_set;

/* ---- Loading ----------------------------------------------------------------------------------- */
static json_t *parse(const char *line)
{
    json_error_t error;
    json_t *value = json_loads(line, 0, &error);
    if (!json_is_object(value)) {
        eval_die(line, "is no JSON object");
    }
    return value;
}

static const char *string_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

/* {"text": title + " " + text} for each line; `ids` maps _id to the position. */
static char **make_rows(const eval_lines *lines, json_t *ids)
{
    char **rows = eval_alloc(lines->count, sizeof *rows);
    for (size_t i = 0; i < lines->count; i++) {
        json_t *item = parse(lines->line[i]);
        const char *title = string_of(item, "title"), *text = string_of(item, "text");
        size_t size = strlen(title) + strlen(text) + 2;
        char *joined = eval_alloc(size, 1);
        (void)snprintf(joined, size, "%s %s", title, text);
        json_t *row = json_pack("{s:s}", "text", joined);
        rows[i] = json_dumps(row, JSON_COMPACT);
        if (rows[i] == NULL ||
            json_object_set_new(ids, string_of(item, "_id"), json_integer((json_int_t)i)) != 0) {
            eval_die(lines->line[i], "cannot be taken");
        }
        json_decref(row);
        json_decref(item);
        free(joined);
    }
    return rows;
}

/* {query id: {item id: gain}} of the lines behind the header. */
static json_t *read_judgements(const eval_lines *lines)
{
    json_t *all = json_object();
    for (size_t i = 1; i < lines->count; i++) {
        char *save = NULL;
        const char *query = strtok_r(lines->line[i], "\t", &save);
        const char *item = strtok_r(NULL, "\t", &save);
        const char *gain = strtok_r(NULL, "\t\r", &save);
        if (query == NULL || item == NULL || gain == NULL) {
            eval_die("qrels.tsv.gz", "a line is not query, item, gain");
        }
        if (strtod(gain, NULL) <= 0) {
            continue;
        }
        if (json_object_get(all, query) == NULL) {
            (void)json_object_set_new(all, query, json_object());
        }
        (void)json_object_set_new(json_object_get(all, query), item, json_real(strtod(gain, NULL)));
    }
    return all;
}

static bool make_query(judged *out, const json_t *query, json_t *gains, const json_t *ids)
{
    const char *item;
    json_t *gain;
    if (gains == NULL) {
        return false;
    }
    out->items = eval_alloc(json_object_size(gains), sizeof *out->items);
    out->gains = eval_alloc(json_object_size(gains), sizeof *out->gains);
    json_object_foreach(gains, item, gain)
    {
        const json_t *position = json_object_get(ids, item);
        /* An item that is not in the corpus can still be missed. */
        out->items[out->count] =
            position == NULL ? OMEN_NONE : (uint64_t)json_integer_value(position);
        out->gains[out->count++] = json_real_value(gain);
    }
    const char *text = string_of(query, "text");
    out->text = eval_alloc(strlen(text) + 1, 1);
    for (size_t i = 0; text[i] != '\0'; i++) {
        out->text[i] = text[i] == '"' ? ' ' : text[i]; /* no phrases: the reference has none */
    }
    return true;
}

static void load_queries(text_set *set, const char *folder, const json_t *ids,
                         const eval_matrix *vectors)
{
    eval_lines lines = eval_read_lines(folder, "queries.jsonl.gz");
    eval_lines judgement_lines = eval_read_lines(folder, "qrels.tsv.gz");
    json_t *judgements = read_judgements(&judgement_lines);
    if (lines.count != vectors->rows) {
        eval_die(folder, "has not one vector for each query");
    }
    set->queries = eval_alloc(lines.count, sizeof *set->queries);
    for (size_t i = 0; i < lines.count; i++) {
        json_t *query = parse(lines.line[i]);
        judged *out = &set->queries[set->count];
        out->vector = eval_row(vectors, i);
        if (make_query(out, query, json_object_get(judgements, string_of(query, "_id")), ids)) {
            set->count++;
        }
        json_decref(query);
    }
    json_decref(judgements);
    eval_lines_free(&lines);
    eval_lines_free(&judgement_lines);
    if (set->count == 0) {
        eval_die(folder, "has no judged query");
    }
}

/* ---- Scoring ----------------------------------------------------------------------------------- */
static double gain_of(const judged *query, uint64_t key)
{
    for (size_t i = 0; i < query->count; i++) {
        if (query->items[i] == key) {
            return query->gains[i];
        }
    }
    return 0;
}

static int larger_first(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static double ndcg(const judged *query, const uint64_t *keys, uint32_t count)
{
    double sum = 0, best = 0;
    double *gains = eval_alloc(query->count, sizeof *gains);
    memcpy(gains, query->gains, query->count * sizeof *gains);
    qsort(gains, query->count, sizeof *gains, larger_first);
    for (uint32_t i = 0; i < EVAL_K; i++) {
        sum += i < count ? gain_of(query, keys[i]) / log2(i + 2.0) : 0;
        best += i < query->count ? gains[i] / log2(i + 2.0) : 0;
    }
    free(gains);
    return sum / best;
}

static double recall(const judged *query, const uint64_t *keys, uint32_t count)
{
    double found = 0;
    for (uint32_t i = 0; i < count; i++) {
        found += gain_of(query, keys[i]) > 0;
    }
    return found / (double)query->count;
}

/* ---- Searching --------------------------------------------------------------------------------- */
enum { WITH_TEXT = 1, WITH_VECTOR = 2 };
typedef struct scores {
    double ndcg, recall;
} scores;

static scores search(text_set *set, int legs, float k1, float b)
{
    scores sum = {0};
    for (size_t q = 0; q < set->count; q++) {
        const judged *query = &set->queries[q];
        omen_error err;
        uint64_t keys[DEPTH];
        uint32_t count = 0, leg_count = 0;
        omen_leg leg[2] = {{.struct_size = sizeof leg[0]}, {.struct_size = sizeof leg[0]}};
        if (legs & WITH_TEXT) {
            leg[leg_count].kind = OMEN_LEG_TEXT;
            leg[leg_count].text = query->text;
            leg[leg_count].text_len = strlen(query->text);
            leg[leg_count].k1 = k1;
            leg[leg_count].b = b;
            leg[leg_count++].limit = DEPTH;
        }
        if (legs & WITH_VECTOR) {
            leg[leg_count].kind = OMEN_LEG_VECTOR;
            leg[leg_count].flags = OMEN_EXACT;
            leg[leg_count].vector = query->vector;
            leg[leg_count].dim = set->dim;
            leg[leg_count++].limit = DEPTH;
        }
        omen_request request = {
            .struct_size = sizeof request, .legs = leg, .leg_count = leg_count, .k = DEPTH};
        omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &count};
        eval_must(omen_find(set->c, &request, &hits, &err), &err);
        sum.ndcg += ndcg(query, keys, count);
        sum.recall += recall(query, keys, count);
        set->short_lists += (legs & WITH_VECTOR) != 0 && count < DEPTH;
    }
    return (scores){.ndcg = sum.ndcg / (double)set->count,
                    .recall = sum.recall / (double)set->count};
}

static void measure(text_set *set)
{
    static const reference none;
    const reference *known = &none;
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++) {
        known = strcmp(references[i].set, set->name) == 0 ? &references[i] : known;
    }
    eval_bound bound = known == &none ? EVAL_SHOWN : EVAL_NEAR;
    scores low = search(set, WITH_TEXT, 0.9F, 0.4F);
    scores usual = search(set, WITH_TEXT, 1.2F, 0.75F);
    scores defaults = search(set, WITH_TEXT, 0, 0);
    scores vectors = search(set, WITH_VECTOR, 0, 0);
    scores fused = search(set, WITH_TEXT | WITH_VECTOR, 1.2F, 0.75F);
    eval_report(set->name, "bm25_0.9_0.4", "ndcg@10", low.ndcg, bound, known->bm25_low);
    eval_report(set->name, "bm25_1.2_0.75", "ndcg@10", usual.ndcg, bound, known->bm25);
    eval_report(set->name, "bm25_1.2_0.75", "recall@100", usual.recall, bound, known->recall);
    eval_report(set->name, "bm25_defaults", "ndcg@10", defaults.ndcg, EVAL_EQUAL, usual.ndcg);
    eval_report(set->name, "vectors", "ndcg@10", vectors.ndcg, bound, known->vectors);
    eval_report(set->name, "rrf", "ndcg@10", fused.ndcg, bound, known->fused);
    eval_report(set->name, "rrf", "short", (double)set->short_lists, EVAL_EQUAL, 0);
}

bool eval_text(const char *name, const char *folder)
{
    if (!eval_has(folder, "corpus.jsonl.gz")) {
        return false;
    }
    eval_matrix vectors = eval_load(folder, "lsa256-docs.fvecs.gz");
    eval_matrix query_vectors = eval_load(folder, "lsa256-queries.fvecs.gz");
    eval_lines corpus = eval_read_lines(folder, "corpus.jsonl.gz");
    json_t *ids = json_object();
    if (corpus.count != vectors.rows || query_vectors.dim != vectors.dim) {
        eval_die(folder, "the files do not fit together");
    }
    char **rows = make_rows(&corpus, ids);
    omen_db *db = eval_open_db(name);
    text_set set = {.name = name, .c = eval_create_text(db, &vectors), .dim = vectors.dim};
    eval_add(set.c, &vectors, rows);
    eval_settle(&db, &set.c);
    load_queries(&set, folder, ids, &query_vectors);
    measure(&set);
    omen_collection_free(set.c);
    omen_db_free(db);
    for (size_t i = 0; i < corpus.count; i++) {
        free(rows[i]);
    }
    for (size_t i = 0; i < set.count; i++) {
        free(set.queries[i].text);
        free(set.queries[i].items);
        free(set.queries[i].gains);
    }
    free(rows);
    free(set.queries);
    json_decref(ids);
    eval_lines_free(&corpus);
    eval_matrix_free(&vectors);
    eval_matrix_free(&query_vectors);
    return true;
}
