/* text_fixture.c - see text_fixture.h. SPDX-License-Identifier: Apache-2.0 */
#include "text_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const om_alloc text_alloc = {.budget = NULL};

static uint32_t draw_word(uint64_t *state, const text_shape *shape)
{
    /* The inverse of the distribution, continuous: cheap and near enough to Zipf's law. */
    const double u = ((double)(om_rng_next(state) >> 11) + 1) / 9007199254740994.0;
    const double n = shape->vocabulary;
    const double rank = shape->skew > 0 ? pow(n, pow(u, 1 / shape->skew)) - 1 : u * (n - 1);
    return rank < 0 ? 0 : (uint32_t)rank < shape->vocabulary ? (uint32_t)rank : 0;
}

static char *spell(const uint32_t *words, uint32_t count)
{
    char *text = malloc((size_t)count * 12 + 1);
    size_t at = 0;
    assert_non_null(text);
    for (uint32_t i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, 13, "w%u ", words[i]);
    }
    text[at] = 0;
    return text;
}

static uint8_t *make_row(const text_corpus *corpus, uint32_t item, om_words *scratch)
{
    om_text_field fields[8];
    char *texts[8];
    om_textbuf buf = {.alloc = &text_alloc};
    uint32_t n = 0;
    for (uint32_t f = 0; f < corpus->fields; f++) {
        const uint32_t at = item * corpus->fields + f;
        texts[f] = spell(corpus->words[at], corpus->counts[at]);
        if (corpus->counts[at] != 0) {
            fields[n++] = (om_text_field){.field = (uint16_t)(f * 3),
                                          .analyser = corpus->analyser,
                                          .text = texts[f],
                                          .length = strlen(texts[f])};
        }
    }
    assert_int_equal(om_textrow_make(fields, n, scratch, &buf, NULL), OMEN_OK);
    assert_int_equal(buf.size, om_textrow_size(buf.data));
    assert_int_equal(om_textrow_empty(buf.data), n == 0);
    uint8_t *row = aligned_alloc(8, buf.size);
    assert_non_null(row);
    memcpy(row, buf.data, buf.size);
    om_textbuf_free(&buf);
    for (uint32_t f = 0; f < corpus->fields; f++) {
        free(texts[f]);
    }
    return row;
}

void text_corpus_make(const text_shape *shape, text_corpus *out)
{
    uint64_t state = shape->seed;
    const size_t texts = (size_t)shape->items * shape->fields;
    const om_analyser_options options = {.flags = OMEN_FIELD_NO_STEMMING};
    om_words *scratch;
    *out = (text_corpus){.items = shape->items, .fields = shape->fields};
    out->words = calloc(texts + 1, sizeof *out->words);
    out->counts = calloc(texts + 1, sizeof *out->counts);
    out->rows = calloc((size_t)shape->items + 1, sizeof *out->rows);
    assert_int_equal(om_analyser_create(&text_alloc, &options, &out->analyser, NULL), OMEN_OK);
    assert_int_equal(om_words_create(&text_alloc, &scratch, NULL), OMEN_OK);
    for (size_t i = 0; i < texts; i++) {
        const bool empty = shape->empty != 0 && om_rng_below(&state, shape->empty) == 0;
        out->counts[i] = empty ? 0 : 1 + om_rng_below(&state, shape->longest);
        out->words[i] = calloc((size_t)out->counts[i] + 1, sizeof **out->words);
        for (uint32_t j = 0; j < out->counts[i]; j++) {
            out->words[i][j] = draw_word(&state, shape);
        }
    }
    for (uint32_t i = 0; i < shape->items; i++) {
        out->rows[i] = make_row(out, i, scratch);
    }
    om_words_free(scratch);
}

void text_corpus_free(text_corpus *corpus)
{
    for (size_t i = 0; i < (size_t)corpus->items * corpus->fields; i++) {
        free(corpus->words[i]);
    }
    for (uint32_t i = 0; i < corpus->items; i++) {
        free(corpus->rows[i]);
    }
    free(corpus->words);
    free(corpus->counts);
    free(corpus->rows);
    om_analyser_free(corpus->analyser);
}

static void open_image(text_image *image)
{
    assert_int_equal((uintptr_t)image->bytes % 64, 0);
    assert_int_equal(om_textimage_open(&text_alloc, image->bytes, image->size, &image->image, NULL),
                     OMEN_OK);
    assert_int_equal(om_textimage_verify(image->image, NULL, NULL), OMEN_OK);
}

void text_image_build(const text_corpus *corpus, uint32_t first, uint32_t count, text_image *out)
{
    const uint8_t *const *rows = (const uint8_t *const *)(const void *)(corpus->rows + first);
    assert_int_equal(om_textimage_build(&text_alloc, rows, count, &out->bytes, &out->size, NULL),
                     OMEN_OK);
    open_image(out);
}

void text_image_merge(const text_image *images, uint32_t count, const uint64_t *const *drop,
                      text_image *out)
{
    const om_textimage **list = calloc((size_t)count + 1, sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = images[i].image;
    }
    const om_text_merge what = {.images = list, .drop = drop, .count = count};
    assert_int_equal(om_textimage_merge(&text_alloc, &what, &out->bytes, &out->size, NULL),
                     OMEN_OK);
    free(list);
    open_image(out);
}

void text_image_free(text_image *image)
{
    om_textimage_free(image->image);
    om_alloc_put(&text_alloc, image->bytes, image->size, 64);
}

/* ---- By the book ---------------------------------------------------------------------------- */
static uint32_t times_in(const text_corpus *corpus, uint32_t item, const text_clause *clause)
{
    const uint32_t at = item * corpus->fields + clause->field;
    uint32_t times = 0;
    for (uint32_t i = 0; i + clause->count <= corpus->counts[at]; i++) {
        times += memcmp(corpus->words[at] + i, clause->words, clause->count * 4) == 0;
    }
    return times;
}

static double idf_of(const text_corpus *corpus, uint32_t field, uint32_t word)
{
    const text_clause clause = {.field = field, .count = 1, .words = {word}};
    double n = 0, df = 0;
    for (uint32_t item = 0; item < corpus->items; item++) {
        n += corpus->counts[item * corpus->fields + field] != 0;
        df += times_in(corpus, item, &clause) != 0;
    }
    return log(1 + (n - df + 0.5) / (df + 0.5));
}

static double average_of(const text_corpus *corpus, uint32_t field)
{
    double n = 0, total = 0;
    for (uint32_t item = 0; item < corpus->items; item++) {
        const uint32_t count = corpus->counts[item * corpus->fields + field];
        n += count != 0;
        total += count;
    }
    return n > 0 ? total / n : 1;
}

void text_oracle_make(const text_corpus *corpus, const text_clause *clauses, uint32_t count,
                      float k1, float b, text_oracle *out)
{
    double weights[64], total = 0;
    int exponent;
    assert_true(count <= 64);
    out->score = calloc((size_t)corpus->items + 1, sizeof *out->score);
    out->match = calloc((size_t)corpus->items + 1, sizeof *out->match);
    out->exact = calloc((size_t)corpus->items + 1, sizeof *out->exact);
    for (uint32_t c = 0; c < count; c++) {
        weights[c] = 0;
        for (uint32_t i = 0; i < clauses[c].count; i++) {
            weights[c] += idf_of(corpus, clauses[c].field, clauses[c].words[i]);
        }
        weights[c] *= clauses[c].weight * ((double)k1 + 1);
        total += weights[c];
    }
    (void)frexp(total, &exponent);
    for (uint32_t c = 0; c < count; c++) {
        const double average = average_of(corpus, clauses[c].field);
        const float w = (float)ldexp(weights[c], 30 - exponent);
        const float ka = k1 * (1 - b), kb = (float)((double)k1 * (double)b / average);
        for (uint32_t item = 0; item < corpus->items; item++) {
            const uint32_t times = times_in(corpus, item, &clauses[c]);
            const uint32_t length = corpus->counts[item * corpus->fields + clauses[c].field];
            if (times != 0) {
                const float t = (float)times;
                out->match[item] = true;
                out->exact[item] += (uint64_t)(w * t / (t + (ka + kb * (float)length))) + 1;
                out->score[item] +=
                    weights[c] * times /
                    (times + (double)k1 * (1 - (double)b + (double)b * length / average));
            }
        }
    }
    for (uint32_t item = 0; item < corpus->items; item++) {
        out->exact[item] = (uint64_t)(float)(uint32_t)out->exact[item]; /* as a score is rounded */
    }
}

void text_oracle_free(text_oracle *oracle)
{
    free(oracle->score);
    free(oracle->match);
    free(oracle->exact);
}
