/* text_fixture.h - synthetic items with text, the index of them in several shapes, and BM25 by the book.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TEXT_FIXTURE_H
#define OM_TEXT_FIXTURE_H
#include "text_int.h"
#include "unit.h"

extern const om_alloc text_alloc;

/* Items with fields 0 .. fields - 1; words are "w<number>", number 0 the most frequent. */
typedef struct text_corpus {
    uint32_t items, fields;
    uint32_t **words; /* [items * fields] of each text; its length is in counts */
    uint32_t *counts;
    om_analyser *analyser;
    uint8_t **rows; /* text rows */
} text_corpus;
typedef struct text_shape {
    uint32_t items, fields, vocabulary, longest;
    uint32_t empty; /* one text in so many is not there; 0: all are */
    double skew;    /* of the words: 1 is Zipf's law */
    uint64_t seed;
} text_shape;
void text_corpus_make(const text_shape *shape, text_corpus *out);
void text_corpus_free(text_corpus *corpus);

typedef struct text_image {
    uint8_t *bytes;
    size_t size;
    om_textimage *image;
} text_image;
/* Items [first, first + count), straight from rows; and images as one. */
void text_image_build(const text_corpus *corpus, uint32_t first, uint32_t count, text_image *out);
void text_image_merge(const text_image *images, uint32_t count, const uint64_t *const *drop,
                      text_image *out);
void text_image_free(text_image *image);

/* One clause of a query: words (numbers) of a field, one behind the other. */
typedef struct text_clause {
    uint32_t field, count, words[4];
    double weight;
} text_clause;
typedef struct text_oracle {
    double *score;   /* [items] by the book, in doubles */
    bool *match;     /* [items] */
    uint64_t *exact; /* [items] the same sum of integers as the index makes */
} text_oracle;
/* items: NULL or bit i: item i is in the statistics and can be found. */
void text_oracle_make(const text_corpus *corpus, const text_clause *clauses, uint32_t count,
                      float k1, float b, text_oracle *out);
void text_oracle_free(text_oracle *oracle);
#endif
