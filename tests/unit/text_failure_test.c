/* text_failure_test.c - the index without memory, and stopped: a clear status, nothing leaked, and
 * the same objects work afterwards. SPDX-License-Identifier: Apache-2.0 */
#include "text_fixture.h"

#include <stdlib.h>

/* ---- An allocator that fails once ----------------------------------------------------------- */
typedef struct failing {
    uint64_t calls, fail_at; /* 0: never */
    int64_t blocks;
} failing;

static void *failing_alloc(void *ctx, size_t size, size_t align)
{
    failing *f = ctx;
    if (++f->calls == f->fail_at) {
        return NULL;
    }
    f->blocks++;
    return aligned_alloc(align < 16 ? 16 : align, om_round_up(size, align < 16 ? 16 : align));
}

static void failing_free(void *ctx, void *block, size_t size, size_t align)
{
    (void)size;
    (void)align;
    ((failing *)ctx)->blocks--;
    free(block);
}

typedef struct world {
    failing memory;
    om_budget budget;
    om_alloc alloc;
    text_corpus corpus;
} world;

static void world_make(world *w)
{
    *w = (world){.memory = {.calls = 0}};
    w->alloc = (om_alloc){.fns = {.ctx = &w->memory, .alloc = failing_alloc, .free = failing_free},
                          .budget = &w->budget};
    text_corpus_make(&(text_shape){700, 2, 60, 12, 5, 1, 31}, &w->corpus);
}

static const uint8_t *const *rows_of(const world *w, uint32_t first)
{
    return (const uint8_t *const *)(const void *)(w->corpus.rows + first);
}

/* Rows, two images, their merge, a query over all: everything that allocates, once. */
static omen_status_t make_rows(world *w, om_words *words)
{
    char text[4000];
    om_textbuf buf = {.alloc = &w->alloc};
    for (uint32_t i = 0; i < sizeof text; i++) {
        text[i] = i % 7 == 6 ? ' ' : (char)('a' + i * i % 23);
    }
    const om_text_field field = {
        .field = 1, .analyser = w->corpus.analyser, .text = text, .length = sizeof text};
    omen_status_t status = om_textrow_make(&field, 1, words, &buf, NULL);
    assert_true(status == OMEN_OK || buf.size == 0);
    om_textbuf_free(&buf);
    return status;
}

static omen_status_t stream(void *ctx, const void *bytes, size_t size, omen_error *err)
{
    (void)bytes;
    (void)err;
    *(uint64_t *)ctx += size;
    return OMEN_OK;
}

static omen_status_t merge_both(world *w, const om_textimage *const *images, const om_stop *stop)
{
    const om_text_merge what = {.images = images, .count = 2, .stop = stop};
    om_textmerge *merge = NULL;
    uint8_t *bytes;
    size_t size;
    uint64_t streamed = 0;
    omen_status_t status = om_textimage_merge(&w->alloc, &what, &bytes, &size, NULL);
    if (status != OMEN_OK) {
        return status;
    }
    om_alloc_put(&w->alloc, bytes, size, 64);
    status = om_textmerge_create(&w->alloc, &what, &merge, NULL);
    if (status == OMEN_OK) {
        status = om_textmerge_write(merge, stream, &streamed, NULL);
        assert_true(status != OMEN_OK || streamed == size);
        om_textmerge_free(merge);
    }
    return status;
}

static omen_status_t search_both(world *w, const om_textimage *const *images, const om_stop *stop)
{
    om_textquery *query = NULL;
    om_textscratch *scratch = NULL;
    om_text_hit hits[10];
    const om_text_target targets[2] = {{0, 1, w->corpus.analyser}, {3, 2, w->corpus.analyser}};
    const om_textquery_options options = {.text = "w1 w2 \"w0 w1 w0\" w9 w30",
                                          .length = 24,
                                          .targets = targets,
                                          .target_count = 2,
                                          .k1 = 1.2f,
                                          .b = 0.75f};
    const om_text_source sources[3] = {
        {.image = images[0], .count = 400},
        {.image = images[1], .count = 200},
        {.rows = rows_of(w, 600), .count = 100},
    };
    omen_status_t status = om_textquery_create(&w->alloc, &options, &query, NULL);
    if (status == OMEN_OK) {
        status = om_textscratch_create(&w->alloc, &scratch, NULL);
    }
    if (status == OMEN_OK) {
        om_text_search search = {.query = query,
                                 .sources = sources,
                                 .source_count = 3,
                                 .limit = 10,
                                 .stop = stop,
                                 .hits = hits};
        omen_error err;
        memset(&err, 0x5a, sizeof err);
        status = om_text_run(&search, scratch, &err);
        assert_true(status != OMEN_OK || search.found == 10);
        assert_true(status == OMEN_OK || (err.status == status && err.message[0] != 'Z'));
    }
    om_textscratch_free(scratch);
    om_textquery_free(query);
    return status;
}

static omen_status_t do_all(world *w, om_words *words)
{
    static const uint32_t first[2] = {0, 400}, count[2] = {400, 200};
    uint8_t *bytes[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    om_textimage *opened[2] = {NULL, NULL};
    omen_status_t status = make_rows(w, words);
    for (uint32_t i = 0; i < 2 && status == OMEN_OK; i++) {
        status = om_textimage_build(&w->alloc, rows_of(w, first[i]), count[i], &bytes[i], &sizes[i],
                                    NULL);
        if (status == OMEN_OK) {
            status = om_textimage_open(&w->alloc, bytes[i], sizes[i], &opened[i], NULL);
        }
        if (status == OMEN_OK) {
            status = om_textimage_verify(opened[i], NULL, NULL);
        }
    }
    const om_textimage *const images[2] = {opened[0], opened[1]};
    if (status == OMEN_OK) {
        status = merge_both(w, images, NULL);
    }
    if (status == OMEN_OK) {
        status = search_both(w, images, NULL);
    }
    for (uint32_t i = 0; i < 2; i++) {
        om_textimage_free(opened[i]);
        om_alloc_put(&w->alloc, bytes[i], sizes[i], 64);
    }
    return status;
}

static void every_allocation_fails(void **unused)
{
    (void)unused;
    world w;
    om_words *words;
    world_make(&w);
    assert_int_equal(om_words_create(&text_alloc, &words, NULL), OMEN_OK);
    assert_int_equal(do_all(&w, words), OMEN_OK);
    const uint64_t calls = w.memory.calls;
    assert_true(calls > 50);
    for (uint64_t at = 1; at <= calls; at++) {
        w.memory.calls = 0;
        w.memory.fail_at = at;
        omen_status_t status = do_all(&w, words);
        /* Fewer calls than the first time: what the analyser keeps for queries is there now. */
        assert_true(status == OMEN_RESOURCE_EXHAUSTED ||
                    (status == OMEN_OK && w.memory.calls < at));
        assert_int_equal(w.memory.blocks, 0);
        assert_int_equal(atomic_load(&w.budget.used), 0);
    }
    om_words_free(words);
    text_corpus_free(&w.corpus);
}

static void stops_when_asked(void **unused)
{
    (void)unused;
    world w;
    omen_op op = {.cancelled = 1};
    const om_stop stop = {.op = &op};
    const om_stop late = {.deadline_ns = 1};
    text_image images[2];
    world_make(&w);
    text_image_build(&w.corpus, 0, 400, &images[0]);
    text_image_build(&w.corpus, 400, 200, &images[1]);
    const om_textimage *const both[2] = {images[0].image, images[1].image};
    assert_int_equal(search_both(&w, both, &stop), OMEN_CANCELLED);
    assert_int_equal(search_both(&w, both, &late), OMEN_DEADLINE_EXCEEDED);
    assert_int_equal(merge_both(&w, both, &stop), OMEN_CANCELLED);
    assert_int_equal(merge_both(&w, both, &late), OMEN_DEADLINE_EXCEEDED);
    assert_int_equal(om_textimage_verify(both[0], &stop, NULL), OMEN_CANCELLED);
    assert_int_equal(w.memory.blocks, 0);
    atomic_store(&op.cancelled, 0);
    assert_int_equal(search_both(&w, both, &stop), OMEN_OK);
    text_image_free(&images[0]);
    text_image_free(&images[1]);
    text_corpus_free(&w.corpus);
}

/* A query of many fields is stopped while it is made, and says so. */
static void queries_stop_when_asked(void **unused)
{
    (void)unused;
    world w;
    omen_op op = {.cancelled = 1};
    const om_stop stop = {.op = &op};
    om_textquery *query = NULL;
    omen_error err;
    world_make(&w);
    const om_text_target target = {0, 1, w.corpus.analyser};
    const om_textquery_options options = {
        .text = "w1", .length = 2, .targets = &target, .target_count = 1, .stop = &stop};
    memset(&err, 0x5a, sizeof err);
    assert_int_equal(om_textquery_create(&w.alloc, &options, &query, &err), OMEN_CANCELLED);
    assert_int_equal(err.status, OMEN_CANCELLED);
    assert_null(query);
    assert_int_equal(w.memory.blocks, 0);
    text_corpus_free(&w.corpus);
}

/* Many fields and words, one small image: stopped before their lists are looked at. */
static void counting_stops_when_asked(void **unused)
{
    (void)unused;
    enum { FIELDS = 200 };
    world w;
    omen_op op = {.cancelled = 1};
    const om_stop stop = {.op = &op};
    om_text_target targets[FIELDS];
    om_text_hit hits[2];
    om_textquery *query;
    om_textscratch *scratch;
    text_image image;
    omen_error err;
    world_make(&w);
    text_image_build(&w.corpus, 0, 3, &image);
    for (uint32_t i = 0; i < FIELDS; i++) {
        targets[i] = (om_text_target){(uint16_t)(i + 10), 1, w.corpus.analyser};
    }
    const om_textquery_options options = {
        .text = "w1 w2", .length = 5, .targets = targets, .target_count = FIELDS};
    assert_int_equal(om_textquery_create(&w.alloc, &options, &query, NULL), OMEN_OK);
    assert_int_equal(om_textscratch_create(&w.alloc, &scratch, NULL), OMEN_OK);
    const om_text_source source = {.image = image.image, .count = 3};
    om_text_search search = {.query = query,
                             .sources = &source,
                             .source_count = 1,
                             .limit = 2,
                             .stop = &stop,
                             .hits = hits};
    memset(&err, 0x5a, sizeof err);
    assert_int_equal(om_text_run(&search, scratch, &err), OMEN_CANCELLED);
    assert_int_equal(err.status, OMEN_CANCELLED);
    om_textscratch_free(scratch);
    om_textquery_free(query);
    text_image_free(&image);
    text_corpus_free(&w.corpus);
}

static omen_status_t refuse(void *ctx, const void *bytes, size_t size, omen_error *err)
{
    (void)bytes;
    (void)size;
    (void)err;
    ++*(uint32_t *)ctx;
    return OMEN_UNAVAILABLE;
}

static void a_sink_may_refuse(void **unused)
{
    (void)unused;
    world w;
    text_image image;
    om_textmerge *merge;
    uint32_t asked = 0;
    world_make(&w);
    text_image_build(&w.corpus, 0, 700, &image);
    const om_textimage *images[1] = {image.image};
    const om_text_merge what = {.images = images, .count = 1};
    assert_int_equal(om_textmerge_create(&w.alloc, &what, &merge, NULL), OMEN_OK);
    assert_int_equal(om_textmerge_write(merge, refuse, &asked, NULL), OMEN_UNAVAILABLE);
    assert_int_equal(asked, 1);
    om_textmerge_free(merge);
    assert_int_equal(w.memory.blocks, 0);
    text_image_free(&image);
    text_corpus_free(&w.corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(stops_when_asked),
        cmocka_unit_test(queries_stop_when_asked),
        cmocka_unit_test(counting_stops_when_asked),
        cmocka_unit_test(a_sink_may_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
