/* text_bench.c - BM25 by core/text alone, one thread: text_bench DOCS QUERIES IMAGE_ROWS ROUNDS
 * DOCS: a text a line. QUERIES: a class, a tab and a query a line; classes one behind the other. IMAGE_ROWS: rows
 * of an image, 0: one image of all. Prints JSON: seconds to index, bytes, and for each class the seconds of its
 * fastest round, the queries' analysis included, and the best scores, to be compared with those of others.
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

/* ---- Indexing: images of 4,096 rows, joined ------------------------------------------------------------- */
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

/* ---- Queries --------------------------------------------------------------------------------------------- */
typedef struct query_class {
    char name[32];
    char **texts;
    uint32_t count, room;
    double seconds, scores, postings, candidates, skipped;
    uint64_t found;
} query_class;

static uint32_t read_queries(const char *path, query_class *classes)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    uint32_t count = 0;
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
        if (count == 0 || strcmp(classes[count - 1].name, line) != 0) {
            if (count == MAX_CLASSES || strlen(line) >= sizeof classes->name) {
                fail("too many classes");
            }
            snprintf(classes[count++].name, sizeof classes->name, "%s", line);
        }
        query_class *class = &classes[count - 1];
        if (class->count == class->room) {
            class->room = class->room * 2 + 64;
            class->texts = more(class->texts, class->room * sizeof *class->texts);
        }
        class->texts[class->count] = more(NULL, strlen(tab + 1) + 1);
        strcpy(class->texts[class->count++], tab + 1);
    }
    free(line);
    fclose(file);
    return count;
}

static void run_class(const index_of *index, query_class *class, const om_text_source *sources,
                      om_textscratch *scratch)
{
    const om_text_target target = {.field = 0, .weight = 1, .analyser = index->analyser};
    om_text_hit hits[K];
    omen_error err;
    const uint64_t begin = om_now_ns();
    class->scores = class->postings = class->candidates = class->skipped = 0;
    class->found = 0;
    for (uint32_t i = 0; i < class->count; i++) {
        const om_textquery_options options = {.text = class->texts[i],
                                              .length = strlen(class->texts[i]),
                                              .targets = &target,
                                              .target_count = 1,
                                              .k1 = 1.2f,
                                              .b = 0.75f};
        om_textquery *query;
        need(om_textquery_create(&alloc_all, &options, &query, &err), &err);
        om_text_search search = {.query = query,
                                 .sources = sources,
                                 .source_count = index->count,
                                 .limit = K,
                                 .hits = hits};
        need(om_text_run(&search, scratch, &err), &err);
        om_textquery_free(query);
        class->found += search.found;
        class->scores += search.found != 0 ? (double)hits[0].score : 0;
        class->postings += (double)search.counters.postings;
        class->candidates += (double)search.counters.candidates;
        class->skipped += (double)search.counters.blocks_skipped;
    }
    const double seconds = (double)(om_now_ns() - begin) * 1e-9;
    class->seconds = class->seconds <= 0 || seconds < class->seconds ? seconds : class->seconds;
}

int main(int argc, char **argv)
{
    static query_class classes[MAX_CLASSES];
    const om_analyser_options plain = {.flags = OMEN_FIELD_NO_STEMMING};
    index_of index = {.count = 0};
    om_textscratch *scratch;
    omen_error err;
    if (argc != 5) {
        fail("text_bench DOCS QUERIES IMAGE_ROWS ROUNDS");
    }
    need(om_analyser_create(&alloc_all, &plain, &index.analyser, &err), &err);
    need(om_words_create(&alloc_all, &index.words, &err), &err);
    need(om_textscratch_create(&alloc_all, &scratch, &err), &err);
    const uint32_t count = read_queries(argv[2], classes);
    const uint64_t begin = om_now_ns();
    read_docs(&index, argv[1], (uint32_t)strtoul(argv[3], NULL, 10));
    const double built_in = (double)(om_now_ns() - begin) * 1e-9;
    om_text_source *sources = more(NULL, index.count * sizeof *sources);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < index.count; i++) {
        sources[i] = (om_text_source){.image = index.images[i].image,
                                      .count = om_textimage_rows(index.images[i].image)};
        bytes += index.images[i].size;
    }
    for (uint32_t round = 0; round < (uint32_t)strtoul(argv[4], NULL, 10); round++) {
        for (uint32_t c = 0; c < count; c++) {
            run_class(&index, &classes[c], sources, scratch);
        }
    }
    printf("{\"rows\": %" PRIu64 ", \"index_s\": %.3f, \"bytes\": %" PRIu64 ", \"classes\": {",
           index.rows, built_in, bytes);
    for (uint32_t c = 0; c < count; c++) {
        const query_class *class = &classes[c];
        const double n = class->count;
        printf("%s\"%s\": {\"qps\": %.1f, \"score\": %.4f, \"found\": %.2f, \"postings\": %.0f, "
               "\"candidates\": %.0f, \"skipped\": %.0f}",
               c == 0 ? "" : ", ", class->name, n / class->seconds, class->scores / n,
               (double)class->found / n, class->postings / n, class->candidates / n,
               class->skipped / n);
    }
    printf("}}\n");
    return 0;
}
