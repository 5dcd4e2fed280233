/* eval_cases.c - filters of a set: read with their exact answers, or made with them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MADE_QUERIES = 100, LABELS = 10, YEARS = 5, U_FACTOR = 40503, U_RANGE = 65536 };
/* Relative, for sums in f32; and absolute, for similarities (see the README of the data). */
static const double TIE_RELATIVE = 2e-6;
static const double TIE_COSINE = 1e-6;

/* ---- What a filter means ----------------------------------------------------------------------- */
static bool contains(const json_t *list, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), value)) {
            return true;
        }
    }
    return false;
}

static bool holds(const json_t *row, const json_t *condition)
{
    const json_t *value =
        json_object_get(row, json_string_value(json_object_get(condition, "field")));
    const json_t *wanted = json_object_get(condition, "value");
    const char *op = json_string_value(json_object_get(condition, "op"));
    if (value == NULL || wanted == NULL || op == NULL) {
        return false;
    }
    if (strcmp(op, "eq") == 0) {
        return json_equal(value, wanted);
    }
    if (strcmp(op, "contains") == 0) {
        return contains(value, wanted);
    }
    double left = json_number_value(value), right = json_number_value(wanted);
    if (!json_is_number(value) || !json_is_number(wanted)) {
        eval_die(op, "of what is no number");
    }
    return strcmp(op, "lt") == 0    ? left < right
           : strcmp(op, "lte") == 0 ? left <= right
           : strcmp(op, "gt") == 0  ? left > right
           : strcmp(op, "gte") == 0 ? left >= right
                                    : false;
}

bool eval_passes(const json_t *row, const json_t *filter)
{
    const json_t *all = json_object_get(filter, "and");
    if (all == NULL) {
        return holds(row, filter);
    }
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (!holds(row, json_array_get(all, i))) {
            return false;
        }
    }
    return true;
}

static void print_value(FILE *out, const json_t *value)
{
    if (json_is_string(value)) {
        (void)fputc('\'', out);
        for (const char *c = json_string_value(value); *c != '\0'; c++) {
            (void)fprintf(out, *c == '\'' ? "''" : "%c", *c);
        }
        (void)fputc('\'', out);
    } else if (json_is_boolean(value)) {
        (void)fputs(json_is_true(value) ? "TRUE" : "FALSE", out);
    } else if (json_is_integer(value)) {
        (void)fprintf(out, "%lld", (long long)json_integer_value(value));
    } else {
        (void)fprintf(out, "%.17g", json_number_value(value));
    }
}

static void print_condition(FILE *out, const json_t *condition)
{
    static const char *const ops[][2] = {{"eq", "="}, {"lt", "<"},   {"lte", "<="},
                                         {"gt", ">"}, {"gte", ">="}, {"contains", "CONTAINS"}};
    const char *op = json_string_value(json_object_get(condition, "op"));
    const char *sign = NULL;
    for (size_t i = 0; op != NULL && i < sizeof ops / sizeof ops[0]; i++) {
        sign = strcmp(ops[i][0], op) == 0 ? ops[i][1] : sign;
    }
    if (sign == NULL) {
        eval_die("a filter", "has an op that is not known");
    }
    (void)fprintf(out, "%s %s ", json_string_value(json_object_get(condition, "field")), sign);
    print_value(out, json_object_get(condition, "value"));
}

char *eval_filter_text(const json_t *filter)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        eval_die("memory", "there is none");
    }
    const json_t *all = json_object_get(filter, "and");
    for (size_t i = 0; i < json_array_size(all); i++) {
        (void)fputs(i == 0 ? "" : " AND ", out);
        print_condition(out, json_array_get(all, i));
    }
    if (all == NULL) {
        print_condition(out, filter);
    }
    (void)fclose(out);
    return text;
}

/* "label_eq_same", "u_lt_66", "genres_contains+year_gte". */
static void name_kind(eval_case *one, const char *note)
{
    const json_t *all = json_object_get(one->filter, "and");
    size_t count = all == NULL ? 1 : json_array_size(all), used = 0;
    for (size_t i = 0; i < count && used < sizeof one->kind; i++) {
        const json_t *condition = all == NULL ? one->filter : json_array_get(all, i);
        const char *field = json_string_value(json_object_get(condition, "field"));
        used += (size_t)snprintf(one->kind + used, sizeof one->kind - used, "%s%s_%s",
                                 i == 0 ? "" : "+", field,
                                 json_string_value(json_object_get(condition, "op")));
        if (strcmp(field, "u") == 0 && used < sizeof one->kind) {
            used += (size_t)snprintf(one->kind + used, sizeof one->kind - used, "_%lld",
                                     json_integer_value(json_object_get(condition, "value")));
        }
    }
    if (note != NULL && strstr(note, "class") != NULL && used < sizeof one->kind) {
        (void)snprintf(one->kind + used, sizeof one->kind - used, "_%s",
                       strncmp(note, "same", 4) == 0 ? "same" : "other");
    }
}

/* ---- Rows -------------------------------------------------------------------------------------- */
static void read_rows(eval_filter_set *set, const char *folder, const char *file)
{
    eval_lines lines = eval_read_lines(folder, file);
    if (lines.count != set->rows) {
        eval_die(folder, "has not one line of metadata for each vector");
    }
    for (size_t i = 0; i < set->rows; i++) {
        set->row[i] = json_loads(lines.line[i], 0, NULL);
        set->json[i] = strdup(lines.line[i]);
        if (set->row[i] == NULL || set->json[i] == NULL) {
            eval_die(lines.line[i], "is no JSON");
        }
    }
    eval_lines_free(&lines);
}

static void make_rows(eval_filter_set *set, const uint8_t *labels)
{
    for (size_t i = 0; i < set->rows; i++) {
        set->row[i] = json_pack("{s:I}", "u", (json_int_t)(i * U_FACTOR % U_RANGE));
        if (labels != NULL) {
            (void)json_object_set_new(set->row[i], "label", json_integer(labels[i]));
        }
        set->json[i] = json_dumps(set->row[i], JSON_COMPACT);
        if (set->json[i] == NULL) {
            eval_die("memory", "there is none");
        }
    }
}

/* ---- Cases that come with their answers -------------------------------------------------------- */
static double limit_of(const eval_filter_set *set, const eval_matrix *distances, size_t row,
                       size_t last)
{
    if (set->metric == OMEN_L2) {
        return (double)((const int32_t *)eval_row(distances, row))[last] * (1 + TIE_RELATIVE);
    }
    return 1 - (double)((const float *)eval_row(distances, row))[last] + TIE_COSINE;
}

static void read_cases(eval_filter_set *set, const char *folder)
{
    eval_lines lines = eval_read_lines(folder, "filters.jsonl.gz");
    eval_matrix truth = eval_load(folder, "filtered-groundtruth.ivecs.gz");
    eval_matrix distances = eval_load(folder, set->metric == OMEN_L2 ? "filtered-sqdist.ivecs.gz"
                                                                     : "filtered-cosine.fvecs.gz");
    if (truth.rows != lines.count || distances.rows != lines.count || truth.dim < EVAL_K ||
        distances.dim != truth.dim) {
        eval_die(folder, "the files of filters do not fit together");
    }
    set->cases = eval_alloc(lines.count, sizeof *set->cases);
    set->count = lines.count;
    for (size_t i = 0; i < lines.count; i++) {
        eval_case *one = &set->cases[i];
        json_t *line = json_loads(lines.line[i], 0, NULL);
        one->filter = json_incref(json_object_get(line, "filter"));
        one->query = (size_t)json_integer_value(json_object_get(line, "query"));
        one->matches = (uint64_t)json_integer_value(json_object_get(line, "matches"));
        if (!json_is_object(one->filter) || one->query >= set->queries.rows) {
            eval_die(lines.line[i], "is no filter of this set");
        }
        one->truths = one->matches < EVAL_K ? (size_t)one->matches : EVAL_K;
        for (size_t k = 0; k < one->truths; k++) {
            one->truth[k] = (uint64_t)((const int32_t *)eval_row(&truth, i))[k];
        }
        one->limit = one->truths == 0 ? 0 : limit_of(set, &distances, i, one->truths - 1);
        name_kind(one, json_string_value(json_object_get(line, "note")));
        json_decref(line);
    }
    eval_matrix_free(&truth);
    eval_matrix_free(&distances);
    eval_lines_free(&lines);
}

/* ---- Cases that are made here ------------------------------------------------------------------ */
static double l2_u8(const uint8_t *a, const uint8_t *b, uint32_t dim)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        int32_t d = a[i] - b[i];
        sum += (uint32_t)(d * d);
    }
    return sum;
}

static double cosine_i8(const int8_t *a, const int8_t *b, uint32_t dim)
{
    int32_t product = 0, squares_a = 0, squares_b = 0;
    for (uint32_t i = 0; i < dim; i++) {
        product += a[i] * b[i];
        squares_a += a[i] * a[i];
        squares_b += b[i] * b[i];
    }
    double lengths = sqrt((double)squares_a * (double)squares_b);
    return lengths > 0 ? 1 - product / lengths : 1;
}

static double distance(const eval_filter_set *set, size_t query, size_t row)
{
    const void *a = eval_row(&set->queries, query), *b = eval_row(&set->base, row);
    return set->metric == OMEN_L2 ? l2_u8(a, b, set->base.dim) : cosine_i8(a, b, set->base.dim);
}

/* Takes the filter. */
static void add_case(eval_filter_set *set, size_t query, json_t *filter, const char *note)
{
    double nearest[EVAL_K];
    eval_case *one = &set->cases[set->count++];
    if (filter == NULL) {
        eval_die("memory", "there is none");
    }
    one->query = query;
    one->filter = filter;
    name_kind(one, note);
    for (size_t row = 0; row < set->rows; row++) {
        if (!eval_passes(set->row[row], one->filter)) {
            continue;
        }
        one->matches++;
        double d = distance(set, query, row);
        if (one->truths == EVAL_K && d >= nearest[EVAL_K - 1]) {
            continue;
        }
        one->truths += one->truths < EVAL_K;
        size_t at = one->truths - 1;
        for (; at > 0 && nearest[at - 1] > d; at--) {
            nearest[at] = nearest[at - 1];
            one->truth[at] = one->truth[at - 1];
        }
        nearest[at] = d;
        one->truth[at] = row;
    }
    double last = one->truths == 0 ? 0 : nearest[one->truths - 1];
    one->limit = set->metric == OMEN_L2 ? last * (1 + TIE_RELATIVE) : last + TIE_COSINE;
}

static void make_image_cases(eval_filter_set *set, const uint8_t *query_labels)
{
    static const int thresholds[] = {66, 655, 6554, 32768};
    enum { THRESHOLDS = sizeof thresholds / sizeof thresholds[0] };
    size_t queries = set->queries.rows < MADE_QUERIES ? set->queries.rows : MADE_QUERIES;
    set->cases = eval_alloc(queries * (2 + THRESHOLDS), sizeof *set->cases);
    for (size_t q = 0; q < queries; q++) {
        int same = query_labels[q], other = (query_labels[q] + LABELS / 2) % LABELS;
        static const char condition[] = "{s:s, s:s, s:i}";
        add_case(set, q, json_pack(condition, "field", "label", "op", "eq", "value", same),
                 "same class");
        add_case(set, q, json_pack(condition, "field", "label", "op", "eq", "value", other),
                 "another class");
        for (size_t i = 0; i < THRESHOLDS; i++) {
            add_case(set, q, json_pack(condition, "field", "u", "op", "lt", "value", thresholds[i]),
                     NULL);
        }
    }
}

/* Of films as queries: their year, years, and genre. */
static void make_film_cases(eval_filter_set *set)
{
    enum { KINDS = 4 };
    size_t step = set->rows / MADE_QUERIES + 1;
    set->cases = eval_alloc(MADE_QUERIES * KINDS, sizeof *set->cases);
    for (size_t q = 0; q < set->rows; q += step) {
        int year = (int)json_integer_value(json_object_get(set->row[q], "year"));
        const json_t *first = json_array_get(json_object_get(set->row[q], "genres"), 0);
        const char *genre = first == NULL ? "Drama" : json_string_value(first);
        add_case(set, q, json_pack("{s:s, s:s, s:i}", "field", "year", "op", "eq", "value", year),
                 NULL);
        add_case(set, q,
                 json_pack("{s:s, s:s, s:s}", "field", "genres", "op", "contains", "value", genre),
                 NULL);
        add_case(set, q,
                 json_pack("{s:[{s:s, s:s, s:i}, {s:s, s:s, s:i}]}", "and", "field", "year", "op",
                           "gte", "value", year - YEARS, "field", "year", "op", "lt", "value",
                           year + YEARS),
                 NULL);
        add_case(set, q,
                 json_pack("{s:[{s:s, s:s, s:s}, {s:s, s:s, s:i}]}", "and", "field", "genres", "op",
                           "contains", "value", genre, "field", "year", "op", "gte", "value", year),
                 NULL);
    }
}

/* ---- Sets -------------------------------------------------------------------------------------- */
static void load_vectors(eval_filter_set *set, const char *folder)
{
    set->metric = OMEN_L2;
    if (eval_has(folder, "films.i8.npy.gz")) {
        set->base = eval_load(folder, "films.i8.npy.gz");
        set->queries = eval_load(folder, "films.i8.npy.gz");
        set->metric = OMEN_COSINE;
    } else if (eval_has(folder, "train-images-idx3-ubyte.gz")) {
        set->base = eval_load(folder, "train-images-idx3-ubyte.gz");
        set->queries = eval_load(folder, "t10k-images-idx3-ubyte.gz");
    } else if (eval_has(folder, "base.bvecs.gz")) {
        set->base = eval_load(folder, "base.bvecs.gz");
        set->queries = eval_load(folder, "query.bvecs.gz");
    } else {
        set->base = eval_load(folder, "base.fvecs.gz");
        set->queries = eval_load(folder, "query.fvecs.gz");
        set->metric = OMEN_COSINE;
    }
    if (set->base.dim != set->queries.dim) {
        eval_die(folder, "base and queries differ in dim");
    }
    set->rows = set->base.rows;
    set->row = eval_alloc(set->rows, sizeof *set->row);
    set->json = eval_alloc(set->rows, sizeof *set->json);
}

bool eval_load_filters(eval_filter_set *set, const char *folder)
{
    static const char base_labels[] = "train-labels-idx1-ubyte.gz";
    static const char query_labels[] = "t10k-labels-idx1-ubyte.gz";
    *set = (eval_filter_set){0};
    bool filters = eval_has(folder, "filters.jsonl.gz"), labels = eval_has(folder, base_labels);
    bool films = eval_has(folder, "films.jsonl.gz");
    if (!filters && !labels && !films) {
        return false;
    }
    load_vectors(set, folder);
    uint8_t *classes = labels ? eval_read_labels(folder, base_labels, set->rows) : NULL;
    if (films || eval_has(folder, "base.jsonl.gz")) {
        read_rows(set, folder, films ? "films.jsonl.gz" : "base.jsonl.gz");
    } else {
        make_rows(set, classes);
    }
    free(classes);
    if (filters) {
        read_cases(set, folder);
    } else if (films) {
        make_film_cases(set);
    } else {
        classes = eval_read_labels(folder, query_labels, set->queries.rows);
        make_image_cases(set, classes);
        free(classes);
    }
    return true;
}

void eval_free_filters(eval_filter_set *set)
{
    for (size_t i = 0; i < set->rows; i++) {
        json_decref(set->row[i]);
        free(set->json[i]);
    }
    for (size_t i = 0; i < set->count; i++) {
        json_decref(set->cases[i].filter);
    }
    free(set->row);
    free(set->json);
    free(set->cases);
    eval_matrix_free(&set->base);
    eval_matrix_free(&set->queries);
}
