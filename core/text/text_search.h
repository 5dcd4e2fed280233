/* text_search.h - inside core/text: a query, and what one search of it keeps.
 * Depends on: text_int.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TEXT_SEARCH_H
#define OM_TEXT_SEARCH_H
#include "text_int.h"

/* ---- A query -------------------------------------------------------------------------------- */
typedef struct om_queryword {
    uint32_t target, at, length, hash; /* hash: as in text rows */
} om_queryword;
/* A word, or a phrase: words one behind the other, each at its offset. */
typedef struct om_clause {
    uint32_t target, times;
    uint32_t first, count; /* of parts */
} om_clause;
typedef struct om_part {
    uint32_t word, offset;
} om_part;
typedef struct om_targetspan { /* what a target has of words[], clauses[], parts[] */
    uint32_t word, word_end, clause, clause_end, part, part_end;
} om_targetspan;
struct om_textquery {
    const om_alloc *alloc;
    float k1, b;
    om_text_target *targets;
    om_targetspan *spans; /* [target_count] */
    om_queryword *words;
    om_clause *clauses;
    om_part *parts;
    char *bytes;
    uint32_t target_count, word_count, clause_count, part_count, byte_count;
    size_t words_room, clauses_room, parts_room, bytes_room;
};

/* ---- Scores --------------------------------------------------------------------------------- */
/* A contribution is an integer from 1 on: 1 + floor(weight * count / (count + ka + kb * length)), in
 * floats whose scale is one power of two for the whole query, all together below 2^31. Integers can
 * be added in any order. The score is the sum, rounded to a float, scaled back. */
typedef struct om_formula {
    float weight, ka, kb;
} om_formula;
static inline uint32_t om_formula_score(const om_formula *f, uint32_t count, uint32_t length)
{
    const float c = (float)(int32_t)count;
    const float l = (float)(int32_t)(length & INT32_MAX); /* only damaged ones are larger */
    return (uint32_t)(int32_t)(f->weight * c / (c + (f->ka + f->kb * l))) + 1;
}
/* At least every contribution whose exact value is not above x's: roundings are far below the factor. */
static inline uint32_t om_formula_lift(float x)
{
    return (uint32_t)(x * 1.000001f) + 2;
}

/* ---- A word's list in an image, while it is searched ---------------------------------------- */
#define OM_NO_BLOCK UINT32_MAX
typedef struct om_lane {
    uint32_t rows[OM_PACK] __attribute__((aligned(64))); /* behind the last one: larger than any */
    uint32_t counts[OM_PACK];
    uint32_t scores[OM_PACK];
    om_textlist list;
    om_formula formula;
    uint32_t top;                 /* no row has more */
    uint32_t next;                /* the first block that may have rows not passed yet */
    uint32_t block, n;            /* in rows[] */
    uint32_t bound_block, bound;  /* the last block whose bound was asked for */
    bool counted, scored, placed; /* counts[], scores[], places are of the block */
    uint32_t offset;              /* in its phrase */
    om_textplaces places;
    uint32_t starts[OM_PACK]; /* of each row in places */
    uint32_t *positions;      /* of one row */
    size_t positions_room;
    uint32_t found; /* the place in rows[] that was asked for last */
} om_lane;
/* Resets the lane to a list; false: damaged. */
bool om_lane_open(om_lane *lane, const om_textimage *image, uint32_t term,
                  const om_formula *formula);
/* Moves next to the first block whose last row is not below row; false: there is none. */
bool om_lane_seek(om_lane *lane, uint32_t row);
static inline uint32_t om_lane_last(const om_lane *lane, uint32_t block)
{
    return lane->list.kind == OM_LIST_LONG ? lane->list.last[block] : lane->rows[lane->n - 1];
}
/* No row of the block, of the rows from `from` below `to`, has more. */
uint32_t om_lane_block_bound(om_lane *lane, uint32_t block);
uint32_t om_lane_range_bound(om_lane *lane, uint32_t from, uint32_t to);
/* Decodes; false: damaged. */
bool om_lane_load(om_lane *lane, uint32_t block);
bool om_lane_count(om_lane *lane); /* counts of the block that is loaded */
bool om_lane_score(om_lane *lane); /* and scores */
/* The place in rows[] of the first row not below this one, n or more when there is none. */
uint32_t om_lane_place(const om_lane *lane, uint32_t row);
/* The same from lane->found on, which it moves: for rows that ascend. */
static inline uint32_t om_lane_forward(om_lane *lane, uint32_t row)
{
    enum { STEP = 16 };
    const int32_t *rows = (const int32_t *)lane->rows; /* all are below 2^31 */
    const int32_t wanted = (int32_t)row;
    uint32_t at = om_min_u32(lane->found, OM_PACK - 1) & ~(uint32_t)(STEP - 1);
    int32_t below = 0;
    while (at < OM_PACK - STEP && rows[at + STEP - 1] < wanted) {
        at += STEP;
    }
    for (uint32_t i = 0; i < STEP; i++) {
        below += rows[at + i] < wanted;
    }
    lane->found = at + (uint32_t)below;
    return lane->found;
}

/* ---- A search ------------------------------------------------------------------------------- */
typedef struct om_runclause {
    om_lane **lanes; /* [count] of them in this image, the rarest first; a word has one */
    uint32_t count;
    om_formula formula;
    uint32_t top, bound; /* in the image; in the window */
    uint64_t cost;       /* rows of the rarest lane */
} om_runclause;
typedef struct om_best {
    uint32_t sum, source, row;
    bool keyed; /* key is known */
    uint64_t key;
} om_best;
typedef struct om_textkeys { /* of rows [first, first + count) of a source */
    const uint64_t *key;
    uint32_t source, first, count;
} om_textkeys;
typedef struct om_textmatch { /* of a text row */
    uint32_t source, row, clause, count, length;
} om_textmatch;
typedef struct om_imageorder {
    uint32_t source, number; /* number: of the image, for its terms */
    uint64_t top;
} om_imageorder;
typedef struct om_targetstats {
    uint64_t rows, total;
} om_targetstats;
enum { OM_WINDOW_MAX = 65536 };

struct om_textscratch {
    const om_alloc *alloc;
    om_lane *lanes;
    om_lane **lane_of; /* lanes of all clauses, one behind the other */
    om_runclause *clauses;
    om_runclause **order;
    om_formula *formulas; /* of the query's clauses */
    om_targetstats *stats;
    uint64_t *df;    /* of the query's words */
    uint32_t *terms; /* [images][words] */
    om_imageorder *images;
    om_textmatch *matches;
    om_best *best;
    uint32_t *sums;            /* [OM_WINDOW_MAX], zero between windows */
    uint64_t *touched; /* [OM_WINDOW_MAX / 64], likewise */
    uint32_t *rows, *row_sums; /* candidates */
    uint32_t *places;          /* of the query's words in a text row */
    uint32_t *positions;       /* of a phrase in it */
    size_t lanes_room, lane_of_room, clauses_room, order_room, formulas_room, stats_room, df_room;
    size_t terms_room, images_room, matches_room, best_room, places_room;
    size_t positions_room, window_room;
    uint32_t match_count;
};
typedef struct om_textrun {
    om_text_search *search;
    const om_textquery *query;
    om_textscratch *scratch;
    int exponent;    /* scores are sums times 2^-exponent */
    uint32_t best;   /* hits so far */
    uint32_t need;   /* a sum below this cannot be among the best any more */
    uint32_t source; /* the one that is searched: */
    uint32_t limit;  /* rows of it */
    const om_text_source *from;
    uint32_t clauses; /* that the image has */
    uint32_t steps;   /* of work since stop was asked */
    om_textkeys keys;
    omen_status_t failed; /* a key could not be read */
    omen_error *err;
} om_textrun;
void om_textrun_source(om_textrun *run, uint32_t source);
/* A row of the source with its sum, which is at least need. */
void om_textrun_offer(om_textrun *run, uint32_t row, uint32_t sum);
/* The hits so far into the search, best first. */
void om_textrun_put(om_textrun *run);
/* Steps of work that are about to be done: every 64 a look at stop; run->err is filled. */
omen_status_t om_textrun_stop(om_textrun *run, uint32_t work) OM_NODISCARD;
/* Adds the fields and words of the source's image to the statistics. terms: [words] of it. */
omen_status_t om_textrun_count(om_textrun *run, uint32_t *terms) OM_NODISCARD;
/* Weights of all clauses, when the statistics are complete. */
void om_textrun_formulas(om_textrun *run);
omen_status_t om_textscratch_room(const om_textrun *run, uint32_t images,
                                  omen_error *err) OM_NODISCARD;
/* Gives the memory back when it is more than OM_TEXT_KEPT. */
#define OM_TEXT_KEPT (UINT64_C(8) << 20)
void om_textscratch_tidy(om_textscratch *s);
static inline bool om_textrun_passes(const om_textrun *run, uint32_t row)
{
    const om_text_source *from = run->from;
    if (from->pass != NULL && (from->pass[row / 64] >> (row % 64) & 1) == 0) {
        return false;
    }
    if (from->dead == NULL) {
        return true;
    }
    const uint32_t at = row + from->dead_shift;
    return (atomic_load_explicit(&from->dead[at / 64], memory_order_relaxed) >> (at % 64) & 1) == 0;
}
/* Text rows: counts words for the statistics, keeps the rows that match, and scores them when the
 * statistics are known. */
omen_status_t om_textscan_rows(om_textrun *run, uint32_t source, omen_error *err) OM_NODISCARD;
void om_textscan_score(om_textrun *run);
/* Positions of a word of a phrase in one row. */
typedef struct om_phrasepart {
    const uint32_t *positions;
    uint32_t count, offset;
} om_phrasepart;
/* How often the words stand at their offsets. False: no memory. */
bool om_phrase_match(const om_alloc *alloc, const om_phrasepart *parts, uint32_t n,
                     uint32_t *count) OM_NODISCARD;
/* The same at a row that all lanes of the clause have loaded (found is its place there). */
omen_status_t om_phrase_count(const om_alloc *alloc, const om_runclause *clause, uint32_t *count,
                              omen_error *err) OM_NODISCARD;
/* Clauses in order[]: the first `asked` ones are only asked, the others bring up rows. */
typedef struct om_window {
    uint32_t from, to;
    uint32_t asked;
    bool summed; /* sums[] is of these rows */
    bool dense;  /* so many rows that sums[] is searched, not the touched ones */
} om_window;
/* Asks the clauses [0, asked), the strongest first, about the n candidates in rows[] and row_sums[],
 * which ascend; those that cannot be among the best go, the rest is offered. */
omen_status_t om_ask_all(om_textrun *run, const om_window *w, uint32_t n,
                         omen_error *err) OM_NODISCARD;
/* What a phrase adds to a row. When that and *sum is less than enough, *sum becomes 0. */
omen_status_t om_ask_phrase(const om_textrun *run, om_runclause *clause, uint32_t row,
                            uint32_t enough, uint32_t *sum, omen_error *err) OM_NODISCARD;
/* One image, whose clauses are open. */
omen_status_t om_textwindow_run(om_textrun *run, omen_error *err) OM_NODISCARD;
#endif
