/* text_image_test.c - packed integers, rows and images: what went in comes out, a merge gives what a
 * build of the same rows gives, damage is told.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Packing -------------------------------------------------------------------------------- */
static void packs_every_width(void **unused)
{
    (void)unused;
    uint64_t state = 1;
    for (uint32_t width = 0; width <= 32; width++) {
        uint32_t in[OM_PACK] __attribute__((aligned(16)));
        uint32_t out[OM_PACK] __attribute__((aligned(16)));
        uint8_t *packed = calloc(1, OM_PACK * 4 + 8);
        const uint64_t mask = (UINT64_C(1) << width) - 1;
        for (uint32_t i = 0; i < OM_PACK; i++) {
            in[i] = (uint32_t)(om_rng_next(&state) & mask);
        }
        in[0] = in[127] = (uint32_t)mask;
        om_pack_full(in, width, packed);
        om_unpack_full(packed, width, out);
        assert_memory_equal(in, out, sizeof in);
        for (uint32_t n = 0; n < OM_PACK; n += 7) {
            memset(packed, 0xEE, OM_PACK * 4 + 8);
            om_pack_some(in, n, width, packed);
            assert_int_equal(packed[om_pack_bytes(n, width)], 0xEE);
            memset(out, 0, sizeof out);
            om_unpack_some(packed, n, width, out);
            assert_memory_equal(in, out, n * 4);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(om_pack_get(packed, i, width), in[i]);
            }
        }
        free(packed);
    }
}

static void unpacks_rows(void **unused)
{
    (void)unused;
    uint64_t state = 2;
    for (uint32_t width = 0; width <= 32; width++) {
        uint32_t gaps[OM_PACK] __attribute__((aligned(16)));
        uint32_t out[OM_PACK] __attribute__((aligned(16)));
        uint8_t packed[OM_PACK * 4];
        const uint32_t before = width % 2 == 0 ? UINT32_MAX : 77;
        uint32_t row = before, all = 0;
        for (uint32_t i = 0; i < OM_PACK; i++) {
            gaps[i] = (uint32_t)(om_rng_next(&state) & ((UINT64_C(1) << width) - 1));
        }
        om_pack_full(gaps, width, packed);
        uint32_t told = om_unpack_rows(packed, width, before, out);
        for (uint32_t i = 0; i < OM_PACK; i++) {
            row += gaps[i] + 1;
            all |= row;
            assert_int_equal(out[i], row);
        }
        assert_int_equal(told, all);
    }
}

static void impacts_are_the_frontier(void **unused)
{
    (void)unused;
    uint64_t state = 3;
    for (uint32_t round = 0; round < 200; round++) {
        om_impacts impacts = {.count = 0};
        uint32_t counts[300], lengths[300];
        const uint32_t n = 1 + om_rng_below(&state, 300);
        const uint32_t most = round % 4 == 0 ? 100000 : 12;
        for (uint32_t i = 0; i < n; i++) {
            counts[i] = 1 + om_rng_below(&state, most);
            lengths[i] = counts[i] + om_rng_below(&state, most * 4);
            om_impacts_add(&impacts, counts[i], lengths[i]);
        }
        for (uint32_t i = 0; i < n; i++) { /* every pair is covered */
            bool covered = false;
            for (uint32_t k = 0; k < impacts.count; k++) {
                covered = covered || (impacts.pair[k][0] >= om_min_u32(counts[i], 65535) &&
                                      impacts.pair[k][1] <= lengths[i]);
            }
            assert_true(covered);
        }
        for (uint32_t k = 0; k < impacts.count; k++) { /* by pairs that are there, each needed */
            bool there = impacts.count >= OM_TEXT_MAX_IMPACTS - 1;
            for (uint32_t i = 0; i < n; i++) {
                there = there || (impacts.pair[k][0] == om_min_u32(counts[i], 65535) &&
                                  impacts.pair[k][1] == om_min_u32(lengths[i], 65535));
            }
            assert_true(there);
            assert_true(k == 0 || (impacts.pair[k][0] < impacts.pair[k - 1][0] &&
                                   impacts.pair[k][1] < impacts.pair[k - 1][1]));
        }
    }
}

/* ---- Rows ----------------------------------------------------------------------------------- */
static void check_row(const text_corpus *corpus, uint32_t item)
{
    for (uint32_t f = 0; f < corpus->fields; f++) {
        const uint32_t at = item * corpus->fields + f, count = corpus->counts[at];
        om_rowfield field;
        assert_int_equal(om_rowfield_find(corpus->rows[item], (uint16_t)(f * 3), &field),
                         count != 0);
        for (uint32_t i = 0; i < count; i++) {
            char word[16];
            const uint32_t length =
                (uint32_t)snprintf(word, sizeof word, "w%u", corpus->words[at][i]);
            const uint32_t hash = (uint32_t)(om_text_hash(word, length, 0) >> 32);
            const uint32_t place = om_rowfield_word(&field, hash, word, length);
            assert_int_not_equal(place, UINT32_MAX);
            bool found = false;
            for (uint32_t k = om_rowfield_number(&field, field.first, place);
                 k < om_rowfield_number(&field, field.first, place + 1); k++) {
                found = found || om_rowfield_number(&field, field.positions, k) == i;
            }
            assert_true(found);
            assert_int_equal(om_rowfield_word(&field, hash + 1, word, length), UINT32_MAX);
            assert_int_equal(om_rowfield_word(&field, hash, word, length - 1), UINT32_MAX);
        }
        assert_true(count == 0 || field.head->length == count);
    }
}

static void rows_have_their_words(void **unused)
{
    (void)unused;
    text_corpus corpus;
    text_corpus_make(&(text_shape){300, 3, 200, 90, 4, 1, 21}, &corpus);
    for (uint32_t item = 0; item < corpus.items; item++) {
        check_row(&corpus, item);
    }
    text_corpus_free(&corpus);
    text_corpus_make(&(text_shape){2, 1, 30000, 90000, 0, 1, 27}, &corpus); /* wide */
    check_row(&corpus, 0);
    text_corpus_free(&corpus);
}

/* ---- Images --------------------------------------------------------------------------------- */
static void same_bytes(const text_image *a, const text_image *b)
{
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->bytes, b->bytes, a->size);
}

/* Several images as one are byte for byte the image of all their rows. */
static void merges_to_the_same_bytes(void **unused)
{
    (void)unused;
    static const text_shape shapes[] = {{2000, 1, 100, 20, 0, 1, 22},
                                        {1500, 3, 3000, 40, 3, 1, 23},
                                        {9000, 1, 20, 4, 0, 0, 24},
                                        {300, 2, 100, 3, 2, 1, 25}};
    for (uint32_t i = 0; i < 4; i++) {
        text_corpus corpus;
        text_image parts[4], whole, merged;
        uint64_t state = i;
        text_corpus_make(&shapes[i], &corpus);
        uint32_t first = 0;
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t end =
                k == 3 ? corpus.items : first + om_rng_below(&state, (corpus.items - first) / 2);
            text_image_build(&corpus, first, end - first, &parts[k]);
            first = end;
        }
        text_image_build(&corpus, 0, corpus.items, &whole);
        text_image_merge(parts, 4, NULL, &merged);
        same_bytes(&whole, &merged);
        text_image_free(&whole);
        text_image_free(&merged);
        for (uint32_t k = 0; k < 4; k++) {
            text_image_free(&parts[k]);
        }
        text_corpus_free(&corpus);
    }
}

typedef struct collected {
    uint8_t *bytes;
    size_t used, size;
} collected;

static omen_status_t collect(void *ctx, const void *bytes, size_t size, omen_error *err)
{
    collected *c = ctx;
    (void)err;
    assert_true(size <= c->size - c->used);
    memcpy(c->bytes + c->used, bytes, size);
    c->used += size;
    return OMEN_OK;
}

/* Without the dropped rows it is the image of those that stay; streamed or in memory. */
static void merges_without_dropped_rows(void **unused)
{
    (void)unused;
    const text_shape shape = {3000, 2, 150, 20, 4, 1, 26};
    text_corpus corpus, kept = {.fields = 2};
    text_image parts[3], whole, merged;
    const uint32_t ends[3] = {700, 1000, 3000};
    uint64_t *drop[3], state = 9;
    text_corpus_make(&shape, &corpus);
    kept.rows = calloc(corpus.items, sizeof *kept.rows);
    for (uint32_t k = 0, first = 0; k < 3; first = ends[k++]) {
        text_image_build(&corpus, first, ends[k] - first, &parts[k]);
        drop[k] = calloc((ends[k] - first + 63) / 64, 8);
        for (uint32_t i = 0; i < ends[k] - first; i++) {
            const bool gone = k == 1 || om_rng_below(&state, 3) == 0; /* the second one wholly */
            drop[k][i / 64] |= (uint64_t)gone << (i % 64);
            if (!gone) {
                kept.rows[kept.items++] = corpus.rows[first + i];
            }
        }
    }
    const uint64_t *const drops[3] = {drop[0], drop[1], drop[2]};
    text_image_build(&kept, 0, kept.items, &whole);
    text_image_merge(parts, 3, drops, &merged);
    same_bytes(&whole, &merged);

    const om_textimage *images[3] = {parts[0].image, parts[1].image, parts[2].image};
    const om_text_merge what = {.images = images, .drop = drops, .count = 3};
    om_textmerge *merge;
    assert_int_equal(om_textmerge_create(&text_alloc, &what, &merge, NULL), OMEN_OK);
    assert_int_equal(om_textmerge_bytes(merge), whole.size);
    assert_int_equal(om_textmerge_rows(merge), kept.items);
    collected c = {.bytes = malloc(whole.size), .size = whole.size};
    assert_int_equal(om_textmerge_write(merge, collect, &c, NULL), OMEN_OK);
    assert_int_equal(c.used, whole.size);
    assert_memory_equal(c.bytes, whole.bytes, whole.size);
    om_textmerge_free(merge);
    free(c.bytes);
    text_image_free(&whole);
    text_image_free(&merged);
    for (uint32_t k = 0; k < 3; k++) {
        text_image_free(&parts[k]);
        free(drop[k]);
    }
    free(kept.rows);
    text_corpus_free(&corpus);
}

static void empty_images(void **unused)
{
    (void)unused;
    text_image none, all[2], merged;
    text_corpus corpus;
    text_corpus_make(&(text_shape){50, 1, 10, 3, 1, 1, 28}, &corpus); /* no text is there */
    text_image_build(&corpus, 0, 0, &none);
    assert_int_equal(om_textimage_rows(none.image), 0);
    text_image_build(&corpus, 0, 50, &all[0]);
    assert_int_equal(om_textimage_rows(all[0].image), 50);
    assert_int_equal(om_textimage_worded(all[0].image), 0);
    assert_int_equal(om_textimage_terms(all[0].image), 0);
    all[1] = none;
    text_image_merge(all, 2, NULL, &merged);
    same_bytes(&all[0], &merged);
    text_image_free(&merged);
    text_image_merge(NULL, 0, NULL, &merged);
    same_bytes(&none, &merged);
    text_image_free(&merged);
    text_image_free(&none);
    text_image_free(&all[0]);
    text_corpus_free(&corpus);
}

/* Any changed byte is either told by open or verify, or changes nothing that counts; never a crash. */
static void damage_is_told(void **unused)
{
    (void)unused;
    text_corpus corpus;
    text_image whole;
    uint32_t told = 0, tried = 0;
    uint64_t state = 4;
    text_corpus_make(&(text_shape){600, 2, 60, 12, 4, 1, 29}, &corpus);
    text_image_build(&corpus, 0, corpus.items, &whole);
    for (size_t at = 0; at < whole.size; at += 1 + om_rng_below(&state, 16)) {
        om_textimage *image = NULL;
        const uint8_t old = whole.bytes[at];
        whole.bytes[at] ^= (uint8_t)(1u << om_rng_below(&state, 8));
        omen_status_t status =
            om_textimage_open(&text_alloc, whole.bytes, whole.size, &image, NULL);
        if (status == OMEN_OK) {
            status = om_textimage_verify(image, NULL, NULL);
            om_textimage_free(image);
        }
        assert_true(status == OMEN_OK || status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED);
        told += status != OMEN_OK;
        tried++;
        whole.bytes[at] = old;
    }
    /* Padding, unused slots and positions that still ascend are all that may pass. */
    assert_true(told > tried / 2);
    text_image_free(&whole);
    text_corpus_free(&corpus);
}

/* ---- Words that somebody chose ------------------------------------------------------------- */
enum { CHOSEN = 300, CHOSEN_BYTES = 16 };
typedef struct chosen_feed {
    uint64_t words[CHOSEN][2];
    uint32_t at;
} chosen_feed;

static void chosen_rewind(void *ctx)
{
    ((chosen_feed *)ctx)->at = UINT32_MAX;
}

static omen_status_t chosen_next(void *ctx, om_textterm *term, bool *more, omen_error *err)
{
    chosen_feed *feed = ctx;
    (void)err;
    *more = ++feed->at < CHOSEN;
    if (*more) {
        *term = (om_textterm){.field = 0,
                              .length = CHOSEN_BYTES,
                              .word = (const char *)(const void *)feed->words[feed->at]};
    }
    return OMEN_OK;
}

static omen_status_t chosen_rows(void *ctx, om_listwriter *writer, omen_error *err)
{
    return om_listwriter_row(writer, ((chosen_feed *)ctx)->at, 1, 1, err);
}

static omen_status_t chosen_positions(void *ctx, om_listwriter *writer, omen_error *err)
{
    uint32_t *positions;
    (void)ctx;
    omen_status_t status = om_listwriter_room(writer, 1, &positions, err);
    if (status == OMEN_OK) {
        positions[0] = 0;
        status = om_listwriter_positions(writer, 1, err);
    }
    return status;
}

static void chosen_lengths(void *ctx, uint32_t field, uint32_t first, uint32_t count, uint32_t *out)
{
    (void)ctx;
    (void)field;
    (void)first;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = 1;
    }
}

static int compare_chosen(const void *a, const void *b)
{
    return memcmp(a, b, CHOSEN_BYTES);
}

/* Words whose hashes are all one with the first seed: the second half is what the first one leaves. */
static void chosen_words_take_another_seed(void **unused)
{
    (void)unused;
    static chosen_feed feed;
    text_image made;
    const uint16_t field = 0;
    const om_textfeed what = {.rows = CHOSEN,
                              .fields = 1,
                              .field = &field,
                              .ctx = &feed,
                              .rewind = chosen_rewind,
                              .next = chosen_next,
                              .list_rows = chosen_rows,
                              .list_positions = chosen_positions,
                              .lengths = chosen_lengths};
    for (uint64_t i = 0; i < CHOSEN; i++) {
        feed.words[i][0] = i * UINT64_C(0x9E3779B97F4A7C15);
        feed.words[i][1] = om_mix64(om_mix64(CHOSEN_BYTES) ^ feed.words[i][0]) ^ 77;
    }
    qsort(feed.words, CHOSEN, CHOSEN_BYTES, compare_chosen);
    assert_int_equal(
        om_text_hash((const char *)(const void *)feed.words[0], CHOSEN_BYTES, 0),
        om_text_hash((const char *)(const void *)feed.words[CHOSEN - 1], CHOSEN_BYTES, 0));
    assert_int_equal(om_textwriter_memory(&text_alloc, &what, &made.bytes, &made.size, NULL),
                     OMEN_OK);
    assert_int_equal(om_textimage_open(&text_alloc, made.bytes, made.size, &made.image, NULL),
                     OMEN_OK);
    assert_int_equal(om_textimage_verify(made.image, NULL, NULL), OMEN_OK);
    assert_int_equal(made.image->head->seed, 1);
    text_image_free(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_every_width),
        cmocka_unit_test(unpacks_rows),
        cmocka_unit_test(impacts_are_the_frontier),
        cmocka_unit_test(rows_have_their_words),
        cmocka_unit_test(merges_to_the_same_bytes),
        cmocka_unit_test(merges_without_dropped_rows),
        cmocka_unit_test(empty_images),
        cmocka_unit_test(chosen_words_take_another_seed),
        cmocka_unit_test(damage_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
