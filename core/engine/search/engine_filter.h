/* engine_filter.h - conditions as the engine keeps them: compiled filters, the rows of each segment that
 * pass, and searches among these rows.
 * Depends on: engine_fields.h, filter.h, plan.h.  Threads: any, epoch pinned where rows are read.  Locks:
 * README, rank FILTERS and FILTER.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows never change and never move inside their segment, and deaths are kept apart: whether a row passes
 * is computed once. A filter has, for each segment that it was used with, a bitmap of the rows that pass
 * ("om_pass"); it is immutable and gives way to a longer one when rows have come. */
#ifndef OM_ENGINE_FILTER_H
#define OM_ENGINE_FILTER_H
#include "engine_fields.h"
#include "engine_search.h"
#include "filter.h"
#include "plan.h"

enum { OM_PASS_CHUNK = 4096 };

typedef struct om_pass {
    uint64_t serial; /* of the segment */
    uint32_t
        rows; /* that were looked at: bit i < rows says whether row i passes; bits behind are 0 */
    uint32_t matches;           /* bits set, dead rows included */
    uint64_t *words;            /* [(rows + 63) / 64] */
    uint32_t *before;           /* [rows / OM_PASS_CHUNK + 1] bits set before each chunk */
    bool present;               /* found by looking keys up: rows that died before are not in it */
    _Atomic uint64_t dead_now;  /* deaths of the segment << 32 | passing rows that were dead then */
    _Atomic uint64_t live_then; /* serial of a snapshot << 32 | passing rows that live in it */
    _Atomic uint64_t
        guess; /* rows in blocks << 32 | bits of a float: the share of them that passes */
    size_t bytes;
    uint64_t tag; /* when it gave way */
    struct om_pass *next;
} om_pass;

typedef struct om_answers { /* immutable */
    uint32_t count;
    uint64_t tag;
    struct om_answers *next;
    om_pass *pass[];
} om_answers;

typedef struct om_filter {
    _Atomic uint32_t refs;
    omen_runtime *rt;
    const om_collection
        *c; /* which one it was compiled for; whoever holds a handle keeps it alive */
    om_predicate *predicate; /* NULL: keys */
    uint64_t *keys;          /* ascending, each once */
    uint64_t key_count, key_room;
    _Atomic(om_answers *) answers; /* NULL at first; replaced with mu held */
    _Atomic uint64_t bytes;        /* of the condition, its name, bitmaps and keys */
    om_mutex mu;                   /* rank FILTER */
    om_cond made;                  /* a bitmap, or not: `making` ended */
    bool making;                   /* somebody makes one; guarded by mu */
    om_answers *retired_answers;   /* this and the rest of this part: of who makes one */
    om_pass *retired;
    uint8_t *scratch;
    size_t scratch_bytes;
    /* In the list of its collection, guarded by that one's mu: */
    struct om_filter *newer, *older;
    uint64_t hash;
    uint8_t *name; /* what it was compiled from */
    size_t name_bytes;
} om_filter;

struct omen_filter { /* a handle */
    om_handle handle;
    om_filter *filter;
    om_collection *c;
};

/* Compiled filters of a collection that may be wanted again, newest first (engine_filter_list.c). */
typedef struct om_filters {
    om_mutex mu; /* rank FILTERS */
    om_filter *newest, *oldest;
    uint32_t count;
    uint64_t most_bytes;
} om_filters;
void om_filters_free(om_collection *c); /* of a collection that goes */
typedef struct om_filter_name {
    uint64_t hash;
    uint8_t *bytes; /* NULL: too long to be kept */
    size_t size;
} om_filter_name;
/* The bytes that tell one filter from another. */
omen_status_t om_filter_name_make(const om_alloc *alloc, const om_predicate_text *text,
                                  om_filter_name *out, omen_error *err) OM_NODISCARD;
/* One that was compiled from the same, with a reference more; NULL: none. */
om_filter *om_filters_find(om_collection *c, const om_filter_name *name);
/* Lists a filter (a reference more), which takes the name's bytes over; others may go. It may be left out. */
void om_filters_keep(om_collection *c, om_filter *filter, om_filter_name *name);
/* Lets the oldest go while the list is above its bounds: bitmaps have grown. */
void om_filters_trim(om_collection *c);
/* Empties the list; false: it was. */
bool om_filters_shed(om_collection *c);

/* engine_filter.c */
void om_filter_ref(om_filter *filter);
void om_filter_unref(om_filter *filter);
/* That it was compiled for this collection; filter NULL is fine and gives *out NULL. */
omen_status_t om_filter_of(const om_collection *c, const omen_filter *handle, om_filter **out,
                           omen_error *err) OM_NODISCARD;

/* engine_pass.c. The bitmap of a segment with at least `rows` rows (visible ones). Valid until the epoch is
 * unpinned. past: rows that are dead by now matter too (snapshots). */
typedef struct om_pass_need {
    om_segment *segment;
    uint32_t rows;
    bool past;
    const om_stop *stop;
} om_pass_need;
omen_status_t om_filter_pass(om_filter *filter, const om_pass_need *need, const om_pass **out,
                             omen_error *err) OM_NODISCARD;
void om_pass_free_all(om_filter *filter);
/* Whether rows without metadata pass. */
bool om_filter_empty(const om_filter *filter);
/* Bits set among the first `rows`, at most pass->rows. */
uint32_t om_pass_count(const om_pass *pass, uint32_t rows);

/* engine_pass_live.c */
/* A segment as somebody sees it; epoch pinned. */
typedef struct om_part {
    om_segment *segment;
    const om_view *view;         /* NULL: it has no rows */
    const om_snapshot *snapshot; /* NULL: the present */
    uint32_t number;             /* in the set */
    uint32_t rows, live;         /* rows seen, and how many of them live: about, in the present */
} om_part;
om_part om_part_of(const om_reader *from, uint32_t number);
/* Its live rows that pass (pass NULL: all). Tombstones of files are checked first. */
omen_status_t om_part_matches(const om_part *part, const om_pass *pass, uint32_t *out,
                              omen_error *err) OM_NODISCARD;
/* 64 rows: those that pass (pass NULL: all) and live, of [first, last). */
typedef struct om_rows_of {
    const om_pass *pass;
    const uint64_t *dead_then; /* of a snapshot, or */
    const _Atomic uint64_t *dead_now;
    bool still; /* of a moment (engine_moment.h): these bits alone, NULL: all */
    const uint64_t *live;
    uint32_t first, last;
} om_rows_of;
static inline uint64_t om_rows_live(const om_rows_of *of, uint32_t word)
{
    if (of->still) {
        return of->live != NULL ? of->live[word] : UINT64_MAX;
    }
    uint64_t bits = of->pass != NULL ? of->pass->words[word] : UINT64_MAX;
    return bits & (of->dead_then != NULL
                       ? ~of->dead_then[word]
                       : ~atomic_load_explicit(&of->dead_now[word], memory_order_acquire));
}
static inline uint64_t om_rows_word(const om_rows_of *of, uint32_t word)
{
    uint64_t bits = om_rows_live(of, word);
    if (word == of->first >> 6) {
        bits &= UINT64_MAX << (of->first & 63);
    }
    if (word == of->last >> 6) {
        bits &= ~(UINT64_MAX << (of->last & 63));
    }
    return bits;
}
/* Rows [first, last) of a part, at least one, ready to be gone through from word first / 64 to (last - 1)
 * / 64. */
omen_status_t om_rows_begin(const om_part *part, const om_pass *pass, uint32_t first, uint32_t last,
                            om_rows_of *out, omen_error *err) OM_NODISCARD;

/* engine_filtered.c. What om_search does in a segment when it has a filter; *all: nothing, as all rows
 * pass. */
omen_status_t om_search_passing(om_search *s, bool *all) OM_NODISCARD;
/* A guess of how many rows pass, from the dictionaries of the blocks alone; the rest is taken to be like
 * them, and so are blocks that a stop leaves out. Each block is asked once, whatever bitmaps come after. */
omen_status_t om_pass_estimate(om_filter *filter, const om_fields_look *look, const om_pass *pass,
                               const om_stop *stop, double *out, omen_error *err) OM_NODISCARD;
/* What a distance costs here, for om_plan_choose; 0: not known yet. */
omen_status_t om_search_costs(om_search *s, om_plan_costs *out) OM_NODISCARD;
/* Rows [first, s->rows) of it that pass, in full precision. */
omen_status_t om_scan_late_passing(om_search *s, uint32_t first) OM_NODISCARD;
/* engine_gather.c: the same of any rows with the pass at hand; and by codes into the beam, as
 * om_scan_codes. */
omen_status_t om_gather_raw(om_search *s, uint32_t first, uint32_t last) OM_NODISCARD;
omen_status_t om_gather_codes(om_search *s, const om_probe *probe, uint32_t first, uint32_t last,
                              uint32_t cap, uint32_t *found) OM_NODISCARD;

/* engine_count.c: for omen_delete_where. */
omen_status_t om_filter_keys(void *filter, om_collection *c, const om_stop *stop, uint64_t **keys,
                             uint64_t *count, omen_error *err) OM_NODISCARD;
#endif
