/* text_bench.c - BM25 by core/text alone, one thread: text_bench DOCS QUERIES IMAGE_ROWS DOCS: a text a
 * line. QUERIES: a class, a tab and a query a line; classes one behind the other. IMAGE_ROWS: rows of
 * an image; 0: one image of all. Prints a line of JSON when the index is built; then, for each line
 * that it reads, it runs all queries and prints the seconds of each (its analysis included) and its
 * best score.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "textindex.h"

enum { K = 10, BLOCK = 4096, MAX_CLASSES = 32 };
static const om_alloc alloc_all = {.budget = NULL};

static void fail(const char *what)
{
    fprintf(stderr, "text_bench: %s\n", what);
    exit(1);
}

static void need(omen_status_t status, const omen_error *err)
{
    if (status != OMEN_OK) {
        fail(err->message);
    }
}

static void *more(void *old, size_t bytes)
{
    void *new = realloc(old, bytes);
    if (new == NULL) {
        fail("no memory");
    }
    return new;
}

typedef struct built {
    uint8_t *bytes;
    size_t size;
    om_textimage *image;
} built;
typedef struct index_of {
    built *images;
    uint32_t count, room;
    uint64_t rows;
    om_analyser *analyser;
    om_words *words;
} index_of;

/* ---- Indexing: images of 4,096 rows, joined ------------------------------------------------- */
static void add_image(index_of *index, const built *image)
{
    if (index->count == index->room) {
        index->room = index->room * 2 + 16;
        index->images = more(index->images, index->room * sizeof *index->images);
    }
    index->images[index->count++] = *image;
}

static void open_image(built *image)
{
    omen_error err;
    need(om_textimage_open(&alloc_all, image->bytes, image->size, &image->image, &err), &err);
}

static void build_image(index_of *index, om_textbuf *buf, const size_t *at, uint32_t count)
{
    const uint8_t *rows[BLOCK];
    built image;
    omen_error err;
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = buf->data + at[i];
    }
    need(om_textimage_build(&alloc_all, rows, count, &image.bytes, &image.size, &err), &err);
    open_image(&image);
    add_image(index, &image);
    buf->size = 0;
}

static void join(index_of *index, uint32_t first)
{
    const uint32_t count = index->count - first;
    const om_textimage **images = more(NULL, (count + 1) * sizeof *images);
    const om_text_merge what = {.images = images, .count = count};
    built image;
    omen_error err;
    if (count <= 1) {
        free(images);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        images[i] = index->images[first + i].image;
    }
    need(om_textimage_merge(&alloc_all, &what, &image.bytes, &image.size, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        built *old = &index->images[first + i];
        om_textimage_free(old->image);
        om_alloc_put(&alloc_all, old->bytes, old->size, 64);
    }
    index->count = first;
    open_image(&image);
    add_image(index, &image);
    free(images);
}

static void read_docs(index_of *index, const char *path, uint32_t image_rows)
{
    FILE *file = fopen(path, "r");
    om_textbuf buf = {.alloc = &alloc_all};
    size_t at[BLOCK], room = 0;
    char *line = NULL;
    uint32_t held = 0, first = 0, in_image = 0;
    ssize_t length;
    omen_error err;
    if (file == NULL) {
        fail("no DOCS");
    }
    while ((length = getline(&line, &room, file)) > 0) {
        const om_text_field field = {
            .field = 0, .analyser = index->analyser, .text = line, .length = (size_t)length};
        at[held++] = buf.size;
        need(om_textrow_make(&field, 1, index->words, &buf, &err), &err);
        index->rows++;
        if (held == BLOCK) {
            build_image(index, &buf, at, held);
            in_image += held;
            held = 0;
            if (image_rows == 0 ? index->count - first == 16 : in_image >= image_rows) {
                join(index, first);
                first = index->count;
                in_image = 0;
            }
        }
    }
    if (held != 0) {
        build_image(index, &buf, at, held);
    }
    join(index, first);
    if (image_rows == 0) {
        join(index, 0);
    }
    om_textbuf_free(&buf);
    free(line);
    fclose(file);
}

/* ---- Queries -------------------------------------------------------------------------------- */
typedef struct query_list {
    char **classes, **texts;
    uint32_t count, room;
} query_list;

static char *copy(const char *text)
{
    const size_t size = strlen(text) + 1;
    return memcpy(more(NULL, size), text, size);
}

static void read_queries(const char *path, query_list *out)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    if (file == NULL) {
        fail("no QUERIES");
    }
    while (getline(&line, &room, file) > 0) {
        char *tab = strchr(line, '\t');
        if (tab == NULL) {
            fail("a query without a class");
        }
        *tab = 0;
        tab[1 + strcspn(tab + 1, "\n")] = 0;
        if (out->count == out->room) {
            out->room = out->room * 2 + 64;
            out->texts = more(out->texts, out->room * sizeof *out->texts);
            out->classes = more(out->classes, out->room * sizeof *out->classes);
        }
        out->classes[out->count] = copy(line);
        out->texts[out->count++] = copy(tab + 1);
    }
    free(line);
    fclose(file);
}

/* Seconds of a query; *best: its best score. */
static double run_query(const index_of *index, const char *text, const om_text_source *sources,
                        om_textscratch *scratch, double *best)
{
    const om_text_target target = {.field = 0, .weight = 1, .analyser = index->analyser};
    const om_textquery_options options = {.text = text,
                                          .length = strlen(text),
                                          .targets = &target,
                                          .target_count = 1,
                                          .k1 = 1.2f,
                                          .b = 0.75f};
    om_text_hit hits[K];
    om_textquery *query;
    omen_error err;
    const uint64_t begin = om_now_ns();
    need(om_textquery_create(&alloc_all, &options, &query, &err), &err);
    om_text_search search = {
        .query = query, .sources = sources, .source_count = index->count, .limit = K, .hits = hits};
    need(om_text_run(&search, scratch, &err), &err);
    om_textquery_free(query);
    const uint64_t end = om_now_ns();
    *best = search.found != 0 ? (double)hits[0].score : 0;
    return (double)(end - begin) * 1e-9;
}

static void run_round(const index_of *index, const query_list *queries,
                      const om_text_source *sources, om_textscratch *scratch)
{
    printf("{");
    for (uint32_t i = 0; i < queries->count; i++) {
        const bool first = i == 0 || strcmp(queries->classes[i], queries->classes[i - 1]) != 0;
        double best;
        const double seconds = run_query(index, queries->texts[i], sources, scratch, &best);
        if (first) {
            printf("%s\"%s\": [", i == 0 ? "" : "], ", queries->classes[i]);
        }
        printf("%s[%.9f, %.5f]", first ? "" : ", ", seconds, best);
    }
    printf("%s}\n", queries->count == 0 ? "" : "]");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const om_analyser_options plain = {.flags = OMEN_FIELD_NO_STEMMING};
    index_of index = {.count = 0};
    query_list queries = {.count = 0};
    om_textscratch *scratch;
    uint64_t bytes = 0;
    omen_error err;
    if (argc != 4) {
        fail("text_bench DOCS QUERIES IMAGE_ROWS");
    }
    need(om_analyser_create(&alloc_all, &plain, &index.analyser, &err), &err);
    need(om_words_create(&alloc_all, &index.words, &err), &err);
    need(om_textscratch_create(&alloc_all, &scratch, &err), &err);
    read_queries(argv[2], &queries);
    const uint64_t begin = om_now_ns();
    read_docs(&index, argv[1], (uint32_t)strtoul(argv[3], NULL, 10));
    const double seconds = (double)(om_now_ns() - begin) * 1e-9;
    om_text_source *sources = more(NULL, (index.count + 1) * sizeof *sources);
    for (uint32_t i = 0; i < index.count; i++) {
        sources[i] = (om_text_source){.image = index.images[i].image,
                                      .count = om_textimage_rows(index.images[i].image)};
        bytes += index.images[i].size;
    }
    printf("{\"rows\": %" PRIu64 ", \"index_s\": %.3f, \"bytes\": %" PRIu64 "}\n", index.rows,
           seconds, bytes);
    fflush(stdout);
    for (int c = getchar(); c != EOF; c = getchar()) {
        if (c == '\n') {
            run_round(&index, &queries, sources, scratch);
        }
    }
    return 0;
}
