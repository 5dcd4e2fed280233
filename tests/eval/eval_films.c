/* eval_films.c - films found by their titles in their texts: alone, with a filter, and beside a vector.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The references are those of a plain BM25 in another program with another tokeniser (runs of letters and
 * digits, Porter stems of another implementation). With the filter on the film's year every list is checked
 * against the rows themselves: nothing that does not pass, and no fewer than min(k, matches) beside a
 * vector. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

enum { EVERY = 10 };
static const double TITLES_MRR = 0.8961, TITLES_FOUND = 0.98;

typedef struct films {
    omen_collection *c;
    eval_matrix vectors;
    eval_lines lines;
    json_t **film;
} films;

typedef struct list {
    uint64_t keys[EVAL_K];
    uint32_t count;
} list;

typedef struct sums {
    size_t queries, few, strangers;
    double reciprocal, found;
} sums;

static int year_of(const films *all, size_t row)
{
    return (int)json_integer_value(json_object_get(all->film[row], "year"));
}

static list search(const films *all, size_t row, bool with_vector, const omen_filter *filter)
{
    omen_error err;
    list out = {.count = 0};
    /* Some titles are in quotation marks: no phrases. */
    char *title = strdup(json_string_value(json_object_get(all->film[row], "title")));
    if (title == NULL) {
        eval_die("memory", "there is none");
    }
    for (char *c = title; *c != '\0'; c++) {
        *c = *c == '"' ? ' ' : *c;
    }
    const omen_leg legs[2] = {{.struct_size = sizeof legs[0],
                               .kind = OMEN_LEG_TEXT,
                               .text = title,
                               .text_len = strlen(title),
                               .field = "text"},
                              {.struct_size = sizeof legs[0],
                               .kind = OMEN_LEG_VECTOR,
                               .vector = eval_row(&all->vectors, row),
                               .dim = all->vectors.dim}};
    omen_request request = {.struct_size = sizeof request,
                            .legs = legs,
                            .leg_count = with_vector ? 2 : 1,
                            .k = EVAL_K,
                            .filter = filter};
    omen_hits hits = {.struct_size = sizeof hits, .keys = out.keys, .counts = &out.count};
    eval_must(omen_find(all->c, &request, &hits, &err), &err);
    free(title);
    return out;
}

static void judge(const list *found, size_t row, sums *out)
{
    out->queries++;
    for (uint32_t i = 0; i < found->count; i++) {
        if (found->keys[i] == row) {
            out->reciprocal += 1.0 / (i + 1);
            out->found++;
        }
    }
}

/* The same queries among the films of one year. */
static void search_year(const films *all, size_t row, bool with_vector, sums *out)
{
    omen_error err;
    omen_filter *filter;
    char text[32];
    int length = snprintf(text, sizeof text, "year = %d", year_of(all, row));
    eval_must(omen_filter_compile(all->c, text, (size_t)length, NULL, 0, &filter, &err), &err);
    list found = search(all, row, with_vector, filter);
    size_t matches = 0;
    for (size_t i = 0; i < all->lines.count; i++) {
        matches += year_of(all, i) == year_of(all, row);
    }
    for (uint32_t i = 0; i < found.count; i++) {
        out->strangers +=
            found.keys[i] >= all->lines.count || year_of(all, found.keys[i]) != year_of(all, row);
    }
    out->few += with_vector && found.count < (matches < EVAL_K ? matches : EVAL_K);
    judge(&found, row, out);
    omen_filter_free(filter);
}

static void measure(const char *name, const films *all)
{
    sums titles = {0}, in_year = {0}, both = {0};
    for (size_t row = 0; row < all->lines.count; row += EVERY) {
        list found = search(all, row, false, NULL);
        judge(&found, row, &titles);
        search_year(all, row, false, &in_year);
        search_year(all, row, true, &both);
    }
    double n = (double)titles.queries;
    eval_report(name, "titles", "mrr@10", titles.reciprocal / n, EVAL_NEAR, TITLES_MRR);
    eval_report(name, "titles", "found@10", titles.found / n, EVAL_NEAR, TITLES_FOUND);
    /* Among fewer films a title is not harder to find. */
    eval_report(name, "titles_of_year", "found@10", in_year.found / n, EVAL_LEAST,
                titles.found / n);
    eval_report(name, "titles_of_year", "not_passing", (double)in_year.strangers, EVAL_EQUAL, 0);
    eval_report(name, "titles_and_vectors_of_year", "found@10", both.found / n, EVAL_LEAST,
                titles.found / n);
    eval_report(name, "titles_and_vectors_of_year", "not_passing", (double)both.strangers,
                EVAL_EQUAL, 0);
    eval_report(name, "titles_and_vectors_of_year", "short", (double)both.few, EVAL_EQUAL, 0);
}

bool eval_films(const char *name, const char *folder)
{
    if (!eval_has(folder, "films.jsonl.gz")) {
        return false;
    }
    films all = {.vectors = eval_load(folder, "films.i8.npy.gz"),
                 .lines = eval_read_lines(folder, "films.jsonl.gz")};
    if (all.lines.count != all.vectors.rows) {
        eval_die(folder, "has not one line for each vector");
    }
    all.film = eval_alloc(all.lines.count, sizeof(json_t *));
    for (size_t i = 0; i < all.lines.count; i++) {
        all.film[i] = json_loads(all.lines.line[i], 0, NULL);
        if (!json_is_string(json_object_get(all.film[i], "title"))) {
            eval_die(all.lines.line[i], "has no title");
        }
    }
    omen_db *db = eval_open_db(name);
    all.c = eval_create_text(db, &all.vectors);
    eval_add(all.c, &all.vectors, all.lines.line);
    eval_settle(&db, &all.c);
    measure(name, &all);
    omen_collection_free(all.c);
    omen_db_free(db);
    for (size_t i = 0; i < all.lines.count; i++) {
        json_decref(all.film[i]);
    }
    free(all.film);
    eval_lines_free(&all.lines);
    eval_matrix_free(&all.vectors);
    return true;
}
