/* films.c - metadata from C: stores 4,000 films with their JSON, searches them by likeness with a filter,
 * by words, by both at once, and counts genres; compares with a look at every film.
 *
 * Usage: omen-films DIR; DIR holds films.jsonl (an object a line) and films.i8.npy (a vector a line),
 * unpacked. Exit status 0 when all is well.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset.h"

#include <math.h>
#include <omen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 256, K = 5, MAX_FILMS = 100000 };

typedef struct films {
    char *json;       /* all objects, each with its newline: JSON takes white space */
    int64_t *offsets; /* [count + 1] */
    uint8_t *npy;
    const int8_t *vectors; /* inside npy */
    uint64_t count;
} films;

static int failed(const char *what, const omen_error *err)
{
    fprintf(stderr, "%s: %s / %s: %s\n", what, omen_status_name(err->status),
            omen_detail_name(err->detail), err->message);
    return 1;
}

static int read_films(const char *dir, films *f)
{
    size_t size = 0;
    size_t npy_size = 0;
    f->json = (char *)dataset_read_file(dir, "films.jsonl", &size);
    f->npy = dataset_read_file(dir, "films.i8.npy", &npy_size);
    f->offsets = calloc(MAX_FILMS + 1, sizeof *f->offsets);
    if (f->json == NULL || f->npy == NULL || f->offsets == NULL || npy_size < 10) {
        return 1;
    }
    for (size_t i = 0; i < size && f->count < MAX_FILMS; i++) {
        if (f->json[i] == '\n') {
            f->offsets[++f->count] = (int64_t)i + 1;
        }
    }
    const size_t header = 10 + (size_t)f->npy[8] + 256 * (size_t)f->npy[9];
    if (npy_size != header + f->count * DIM || f->count == 0) {
        fprintf(stderr, "%s: the files do not belong together\n", dir);
        return 1;
    }
    f->vectors = (const int8_t *)f->npy + header;
    return 0;
}

static void free_films(films *f)
{
    free(f->json);
    free(f->offsets);
    free(f->npy);
}

/* The lines of the file are the metadata as they are; only the texts that are searched for words are
 * declared, the other fields become what their first value is. The keys are the line numbers. */
static int add_films(omen_db *db, const films *f, omen_collection **out)
{
    omen_error err;
    const omen_field fields[] = {{.name = "title", .type = OMEN_TYPE_TEXT, .weight = 3},
                                 {.name = "text", .type = OMEN_TYPE_TEXT}};
    const omen_options options = {.struct_size = sizeof options,
                                  .dim = DIM,
                                  .dtype = OMEN_I8,
                                  .metric = OMEN_COSINE,
                                  .fields = fields,
                                  .field_count = 2};
    if (omen_create(db, "films", &options, out, &err) != OMEN_OK) {
        return failed("create", &err);
    }
    const omen_batch batch = {
        .struct_size = sizeof batch,
        .count = f->count,
        .vectors = f->vectors,
        .dim = DIM,
        .metadata = {.data = f->json, .offsets = f->offsets, .offset_bits = 64}};
    if (omen_add_batch(*out, &batch, NULL, NULL, &err) != OMEN_OK) {
        return failed("add", &err); /* names film, field and byte when a line is no object */
    }
    return 0;
}

/* Prints "  [key] {"title": ..., "year": ...}" for each. */
static int print_films(omen_collection *c, const uint64_t *keys, uint64_t count)
{
    omen_error err;
    omen_rows *rows = NULL;
    omen_column json;
    const char *const names[] = {"title", "year"};
    if (omen_fetch_fields(c, keys, count, OMEN_FIELD_METADATA, names, 2, &rows, &err) != OMEN_OK) {
        return failed("fetch", &err);
    }
    omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
    const int64_t *offsets = json.offsets;
    for (uint64_t i = 0; i < count; i++) {
        printf("  [%llu] %.*s\n", (unsigned long long)keys[i], (int)(offsets[i + 1] - offsets[i]),
               (const char *)json.data + offsets[i]);
    }
    omen_rows_free(rows);
    return 0;
}

/* The condition of the filter below, on a line of the file. */
static int passes(const films *f, uint64_t i)
{
    const char *line = f->json + f->offsets[i];
    const char *end = f->json + f->offsets[i + 1];
    const char *year = strstr(line, "\"year\":");
    const char *genres = strstr(line, "\"genres\":[");
    const char *drama = genres == NULL ? NULL : strstr(genres, "\"Drama\"");
    return year != NULL && year < end && atoi(year + 7) >= 1950 && drama != NULL &&
           drama < strchr(genres, ']') && drama < end;
}

static double cosine_distance(const int8_t *a, const int8_t *b)
{
    double dot = 0;
    double aa = 0;
    double bb = 0;
    for (int d = 0; d < DIM; d++) {
        dot += a[d] * b[d];
        aa += a[d] * a[d];
        bb += b[d] * b[d];
    }
    return 1 - dot / sqrt(aa * bb);
}

/* Looks at every film: how many pass, and how many of them are nearer than the distance. */
static uint64_t count_passing(const films *f, uint64_t like, double below, uint64_t *nearer)
{
    uint64_t count = 0;
    *nearer = 0;
    for (uint64_t i = 0; i < f->count; i++) {
        if (passes(f, i)) {
            const double d = cosine_distance(f->vectors + i * DIM, f->vectors + like * DIM);
            *nearer += d < below;
            count++;
        }
    }
    return count;
}

/* Values are bound, never written into the text: no quoting, no injection, and the text stays the same. */
static omen_filter *late_dramas(omen_collection *c)
{
    omen_error err;
    omen_filter *filter = NULL;
    const char text[] = "year >= $1 AND genres CONTAINS $2";
    const int64_t year = 1950;
    const uint64_t ends[] = {0, 5};
    const omen_param params[] = {
        {.type = OMEN_TYPE_INT64, .count = 1, .data = &year},
        {.type = OMEN_TYPE_STRING, .count = 1, .data = "Drama", .offsets = ends}};
    if (omen_filter_compile(c, text, sizeof text - 1, params, 2, &filter, &err) != OMEN_OK) {
        failed("filter", &err);
        return NULL;
    }
    return filter;
}

static int search_filtered(omen_collection *c, const films *f, uint64_t like, omen_filter *filter)
{
    omen_error err;
    uint64_t keys[K];
    float distances[K];
    uint32_t found = 0;
    omen_filter_explain explain;
    const omen_query query = {.struct_size = sizeof query,
                              .vectors = f->vectors + like * DIM,
                              .dim = DIM,
                              .count = 1,
                              .k = K,
                              .filter = filter};
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .distances = distances,
                      .counts = &found,
                      .filters = &explain};
    if (omen_search(c, &query, &hits, &err) != OMEN_OK) {
        return failed("search", &err);
    }
    printf("dramas since 1950 like film %llu, of %llu that pass:\n", (unsigned long long)like,
           (unsigned long long)explain.matches);
    uint64_t nearer = 0;
    const uint64_t all = count_passing(f, like, distances[K - 1] - 1e-6, &nearer);
    if (found != K || explain.matches != all || nearer >= K || print_films(c, keys, found) != 0) {
        fprintf(stderr, "%u found, %llu pass of %llu, %llu are nearer than the last\n", found,
                (unsigned long long)explain.matches, (unsigned long long)all,
                (unsigned long long)nearer);
        return 1;
    }
    for (uint32_t i = 0; i < found; i++) {
        if (!passes(f, keys[i])) {
            fprintf(stderr, "film %llu does not pass\n", (unsigned long long)keys[i]);
            return 1;
        }
    }
    return 0;
}

/* Words and likeness at once: the two lists become one by reciprocal rank fusion. */
static int find_hybrid(omen_collection *c, const films *f, uint64_t like, omen_filter *filter)
{
    omen_error err;
    uint64_t keys[K];
    float scores[K];
    uint32_t found = 0;
    const char words[] = "small town secret";
    const omen_leg legs[] = {{.struct_size = sizeof legs[0],
                              .kind = OMEN_LEG_TEXT,
                              .text = words,
                              .text_len = sizeof words - 1},
                             {.struct_size = sizeof legs[0],
                              .kind = OMEN_LEG_VECTOR,
                              .vector = f->vectors + like * DIM,
                              .dim = DIM}};
    const omen_request request = {
        .struct_size = sizeof request, .legs = legs, .leg_count = 2, .k = K, .filter = filter};
    omen_hits hits = {
        .struct_size = sizeof hits, .keys = keys, .scores = scores, .counts = &found};
    if (omen_find(c, &request, &hits, &err) != OMEN_OK) {
        return failed("find", &err);
    }
    printf("the same, and about \"%s\":\n", words);
    for (uint32_t i = 0; i < found; i++) {
        if (!passes(f, keys[i]) || (i > 0 && scores[i] > scores[i - 1])) {
            fprintf(stderr, "film %llu does not belong here\n", (unsigned long long)keys[i]);
            return 1;
        }
    }
    return found == K ? print_films(c, keys, found) : 1;
}

static int count_genres(omen_collection *c, omen_filter *filter)
{
    omen_error err;
    omen_rows *rows = NULL;
    omen_column values;
    omen_column counts;
    if (omen_facet(c, filter, "genres", 4, &rows, &err) != OMEN_OK) {
        return failed("facet", &err);
    }
    omen_rows_column(rows, OMEN_FIELD_VALUE, &values);
    omen_rows_column(rows, OMEN_FIELD_COUNT, &counts);
    const int64_t *offsets = values.offsets;
    const uint64_t *numbers = counts.data;
    printf("their genres:");
    for (uint64_t i = 0; i < omen_rows_count(rows); i++) {
        printf(" %.*s %llu", (int)(offsets[i + 1] - offsets[i]),
               (const char *)values.data + offsets[i], (unsigned long long)numbers[i]);
    }
    printf("\n");
    omen_rows_free(rows);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DATA_DIR\n", argv[0]);
        return 2;
    }
    int rc = 1;
    films f = {0};
    omen_db *db = NULL;
    omen_collection *c = NULL;
    omen_filter *filter = NULL;
    omen_error err;
    if (read_films(argv[1], &f) != 0) {
        goto out;
    }
    if (omen_db_open(NULL, NULL, &db, &err) != OMEN_OK) {
        failed("open", &err);
        goto out;
    }
    if (add_films(db, &f, &c) != 0 || (filter = late_dramas(c)) == NULL) {
        goto out;
    }
    const uint64_t like = f.count / 2;
    printf("film %llu:\n", (unsigned long long)like);
    if (print_films(c, &like, 1) != 0 || search_filtered(c, &f, like, filter) != 0 ||
        find_hybrid(c, &f, like, filter) != 0 || count_genres(c, filter) != 0) {
        goto out;
    }
    rc = 0;
out:
    omen_filter_free(filter);
    omen_collection_free(c);
    omen_db_free(db);
    free_films(&f);
    return rc;
}
