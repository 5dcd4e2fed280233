/* things.h - a collection of items with vectors, metadata and text, and a model of it to compare with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_THINGS_H
#define OM_THINGS_H
#include "engine_fixture.h"

enum { THING_DIM = 12, THING_WORDS = 12, THING_TAGS = 6, THING_COLORS = 5 };

typedef struct thing {
    bool alive;
    uint32_t turn;  /* how often it was written */
    double share;   /* 0 .. 1, evenly */
    int64_t number; /* key % 97 */
    int32_t color;  /* -1: it has none */
    bool on;
    uint32_t tags; /* a set of bits */
    int64_t when;  /* seconds since 1970 */
    uint32_t word_count;
    uint16_t word[THING_WORDS];
    float vector[THING_DIM];
} thing;
typedef struct things {
    fixture f;
    uint32_t room;
    thing *item; /* [room] by key */
    char folder[512];
} things;

/* disk: NULL, or the folder's name. Fields are declared. */
void things_open(things *t, uint32_t metric, uint32_t room, const char *disk);
void things_open_in(things *t, uint32_t metric, const char *disk); /* the runtime is there */
void things_close(things *t);
/* On disk: closes and opens the database. Segments have 700 rows there. */
void things_reopen(things *t);
void things_discard(const char *folder); /* after things_close */
/* Writes items [first, first + n) anew, in one batch. */
void things_put(things *t, uint32_t first, uint32_t n);
bool things_try_put(things *t, uint32_t first, uint32_t n); /* new ones; false: refused */
void things_remove(things *t, uint32_t first, uint32_t n, uint32_t step);
/* The growing segment ends here, another one begins (collections in memory). */
void things_split(things *t);

typedef bool (*thing_test)(const thing *item, double value);
typedef struct thing_filter {
    const char *text; /* with $1: value */
    thing_test test;
    double value;
} thing_filter;
extern const thing_filter thing_filters[];
extern const uint32_t thing_filter_count;
bool thing_below(const thing *item, double value);
thing_filter things_share(double below); /* share < $1 */
omen_filter *things_compile(things *t, const thing_filter *filter);
bool thing_passes(const thing *item, const thing_filter *filter); /* alive, and NULL: all */
uint32_t things_matches(const things *t, const thing_filter *filter);

/* Keys of the k nearest items that pass, exactly; returns their number. */
typedef struct thing_hit {
    uint64_t key;
    double value;
} thing_hit;
uint32_t things_nearest(const things *t, const float *vector, const thing_filter *filter,
                        thing_hit *out, uint32_t k);
/* By BM25 over the word numbers in words[]; statistics over all that are written (nothing may be
 * replaced). */
typedef struct thing_words {
    const uint16_t *word;
    uint32_t count;
    double k1, b;
} thing_words;
uint32_t things_by_words(const things *t, const thing_words *words, const thing_filter *filter,
                         thing_hit *out, uint32_t k);
const char *thing_word(uint16_t number); /* static, of a few */
void things_query(fx_rng *rng, float *out);
#endif
