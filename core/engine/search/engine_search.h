/* engine_search.h - a search as its steps see it: rows of a segment, beams, the heap of hits.
 * Depends on: engine_int.h.  Threads: one a search, epoch pinned.  Locks: none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_SEARCH_H
#define OM_ENGINE_SEARCH_H
#include "engine_int.h"

/* ---- Searching (engine_search.c, engine_scan.c, engine_rerank.c) ----------------------------- */
typedef struct om_search {
    om_collection *c;
    const om_snapshot *snapshot; /* NULL: the present */
    om_segment *seg;             /* being searched */
    uint32_t part;               /* its place in the set */
    const uint64_t *dead;        /* of a snapshot: copied tombstones of seg */
    om_ctx *ctx;
    om_view *view;
    om_stop stop;
    const float *query; /* cosine: of length 1 */
    uint32_t flags, k, ef, rerank;
    uint32_t rows, live; /* as seen when it began */
    uint32_t size;       /* of the heap ctx->hits */
    uint32_t kept;       /* its size before this segment */
    uint32_t found;      /* live rows of this segment that were scored */
    uint32_t cap;
    bool partial, timed;
    bool estimates;             /* filters.estimated is wanted */
    struct om_filter *filter;   /* NULL: all rows pass */
    const struct om_pass *pass; /* of seg */
    uint64_t walked_ef;         /* widths of the walks, summed */
    uint64_t seen;              /* live rows of the segments that were searched */
    uint64_t seen_rows;         /* of these segments, dead ones included */
    omen_explain explain;
    omen_filter_explain filters;
    om_graph_counters counters;
    omen_error *err;
} om_search;
/* engine_query.c. What is common to all searches. */
typedef struct om_query_vector {
    const void *vector; /* at any address */
    uint32_t dtype, k;
    uint32_t item;    /* its number, and */
    const char *what; /* what it is, in errors */
} om_query_vector;
/* The vector as floats in the context, of length 1 under cosine; and room for k hits. */
omen_status_t om_query_load(om_collection *c, om_ctx *ctx, const om_query_vector *from,
                            omen_error *err) OM_NODISCARD;
/* Waits until min_version is visible; *version: everything up to it is. */
omen_status_t om_query_version(const omen_collection *handle, uint64_t min_version,
                               uint64_t *version, omen_error *err) OM_NODISCARD;
uint64_t om_query_deadline(uint64_t timeout_us);
uint32_t om_default_ef(uint32_t metric, uint32_t k, uint32_t rows);
omen_status_t om_search_one(om_search *s) OM_NODISCARD;
/* The same with the context pinned by the caller, without the counters of the collection. */
omen_status_t om_search_pinned(om_search *s) OM_NODISCARD;
/* Distances that an unfiltered walk of width ef makes, as seen so far; 0: not known. */
double om_walk_distances(const om_collection *c, uint32_t ef);
static inline uint64_t om_search_clock(const om_search *s)
{
    return s->timed ? om_now_ns() : 0;
}
/* The query in the form of the codes, and room for a beam of ef. */
omen_status_t om_search_probe(om_search *s, uint32_t ef, om_probe *probe) OM_NODISCARD;
/* Merges two ascending lists into the third part of the beam block; returns the length. */
uint32_t om_search_merge(om_search *s, const uint64_t *a, uint32_t na, const uint64_t *b,
                         uint32_t nb, const uint64_t **out);
/* The heap as it was before this segment, kept in the second half of its block, and back. */
void om_search_keep_heap(om_search *s);
void om_search_again(om_search *s);
/* The best of rows [first, last), in full precision, into the heap. */
omen_status_t om_scan_raw(om_search *s, uint32_t first, uint32_t last) OM_NODISCARD;
/* The best `cap` live rows of [first, last) by their codes, ascending, into beam. */
omen_status_t om_scan_codes(om_search *s, const om_probe *probe, uint32_t first, uint32_t last,
                            uint32_t cap, uint32_t *found) OM_NODISCARD;
/* Scores the nearest of `keys` (ascending) in full precision into the heap. */
omen_status_t om_rerank(om_search *s, const om_probe *probe, const uint64_t *keys, uint32_t n,
                        uint32_t most) OM_NODISCARD;
float om_exact_distance(const om_search *s, uint32_t slot);
/* Dead, or not there yet, for this search. */
static inline bool om_search_skips(const om_search *s, uint32_t slot)
{
    if (OM_LIKELY(s->snapshot == NULL)) {
        return om_view_is_dead(s->view, slot);
    }
    return slot >= s->rows || ((s->dead[slot >> 6] >> (slot & 63)) & 1) != 0;
}
void om_heap_push(om_search *s, om_hit hit);
void om_heap_sort(om_search *s);   /* ascending; the heap is no heap any more */
void om_heap_unique(om_search *s); /* after the sort: one hit a key, the newest slot */
/* Stops the search with what it has when the deadline passed and that is allowed. */
omen_status_t om_search_stopped(om_search *s, omen_status_t status) OM_NODISCARD;

enum { OM_PREFETCH_BYTES = 1024 };
/* The row is wanted in full precision soon: the first kilobyte of it, and its key. */
static inline void om_search_prefetch_row(const om_search *s, uint32_t slot)
{
    const om_layout *layout = &s->seg->layout;
    const char *row = (const char *)s->view->vectors + (size_t)slot * layout->row_bytes;
    size_t bytes = layout->row_bytes < OM_PREFETCH_BYTES ? layout->row_bytes : OM_PREFETCH_BYTES;
    for (size_t at = 0; at < bytes; at += OM_CACHE_LINE) {
        __builtin_prefetch(row + at);
    }
    __builtin_prefetch(&s->view->keys[slot]);
}
#endif
