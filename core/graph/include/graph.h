/* graph.h - the HNSW graph over slots: build in micro-batches, search, check. No I/O, no clocks; a search
 * allocates nothing and takes no lock.
 * Depends on: base, simd, ds, quant.  Locks: none.  SPDX-License-Identifier: Apache-2.0
 *
 * Memory is the segment's: the graph works on three arrays that it is given, none of which moves while
 * a graph object points to them:
 *   codes      one row of the codec per slot (om_codec_stride)
 *   links      one row per slot, om_graph_link_stride(m) bytes: word 0 is the count, then 2m - 1 slots,
 *              nearest first (as the codec had it that linked them), padded with OM_NO_SLOT
 *   incoming   uint32_t per slot: how many links lead to it; only for building
 * Readers: link words are single aligned u32; a list that changes under a reader is a mix of old and new
 * valid slots, which is harmless. A slot is linked to only after its code row is written.
 * One thread at a time calls the mutating functions; searches run beside them. */
#ifndef OM_GRAPH_H
#define OM_GRAPH_H
#include <stdatomic.h>

#include "alloc.h"
#include "base.h"
#include "codec.h"
#include "executor.h"
#include "op.h"
#include "simd.h"

#define OM_NO_SLOT UINT32_MAX

typedef struct om_graph_params {
    uint32_t m; /* links chosen for a new node; m0 = 2m - 1 kept */
    uint32_t ef_construction;
    uint32_t entry; /* OMEN_ENTRY_* */
    uint32_t reserved;
    uint64_t seed;
} om_graph_params;

typedef struct om_graph om_graph;         /* links, entry points, number of nodes          */
typedef struct om_graph_ctx om_graph_ctx; /* scratch of one search or one build worker     */

size_t om_graph_link_stride(uint32_t m);

/* An empty graph. The arrays come with each call. */
omen_status_t om_graph_create(const om_alloc *alloc, const om_graph_params *params, om_graph **out,
                              omen_error *err) OM_NODISCARD;
void om_graph_free(om_graph *graph);
/* Gives back the scratch of inserting (hundreds of KiB), which the next insert makes again. */
void om_graph_trim(om_graph *graph);

/* What the arrays are. codec, codes and links may change between micro-batches (a retrained codec, a larger
 * reservation); no search may still run with the old ones when they are released: the caller publishes
 * a graph view (below) per set of arrays. */
typedef struct om_graph_arrays {
    const om_codec *codec;
    const uint8_t *codes;
    uint32_t *links;
    uint32_t *incoming; /* NULL: read-only graph */
} om_graph_arrays;

/* The end (exclusive) of the micro-batch that begins at slot `first`: a function of the slot alone, so that
 * the graph does not depend on timing (ruling 11). */
uint32_t om_graph_batch_end(uint32_t first);

/* Indexes slots [count, count + n): their code rows are written. n <= OM_GRAPH_MAX_BATCH. Deterministic
 * for given rows and batch borders, whatever the executor. On failure nothing is indexed. */
#define OM_GRAPH_MAX_BATCH 1024u
omen_status_t om_graph_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t n,
                              om_executor *executor, omen_error *err) OM_NODISCARD;
/* Makes the entry points' copies of code rows anew after another codec wrote the codes. The links stay. */
omen_status_t om_graph_rescore(om_graph *graph, const om_graph_arrays *arrays,
                               om_executor *executor, omen_error *err) OM_NODISCARD;
/* Nodes in the graph. */
uint32_t om_graph_count(const om_graph *graph);

/* An immutable handle for searches: arrays + entry points as they are now. Cheap. Publish it with
 * a release store; retire it (om_graph_view_free) when no reader can hold it any more. */
typedef struct om_graph_view om_graph_view;
omen_status_t om_graph_view_create(om_graph *graph, const om_graph_arrays *arrays,
                                   om_graph_view **out, omen_error *err) OM_NODISCARD;
void om_graph_view_free(om_graph_view *view);
uint32_t om_graph_view_count(const om_graph_view *view);

/* Scratch for searches over up to `slots` slots, beam up to `ef`; grows by om_graph_ctx_reserve. */
omen_status_t om_graph_ctx_create(const om_alloc *alloc, om_graph_ctx **out,
                                  omen_error *err) OM_NODISCARD;
omen_status_t om_graph_ctx_reserve(om_graph_ctx *ctx, const om_graph_view *view, uint32_t ef,
                                   omen_error *err) OM_NODISCARD;
void om_graph_ctx_free(om_graph_ctx *ctx);
size_t om_graph_ctx_bytes(const om_graph_ctx *ctx);

typedef struct om_graph_counters {
    uint64_t distances, hops;
    uint64_t entry_ns; /* left 0: the caller has the clock */
} om_graph_counters;

/* Finds the ef slots nearest to the probe (dead ones included): *keys is the beam, ascending (om_key_*),
 * valid until the next use of ctx; *found <= ef. Slots >= the view's count are never returned.
 * OMEN_CANCELLED / OMEN_DEADLINE_EXCEEDED when `stop` says so: keys and found are valid then too. */
omen_status_t om_graph_search(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                              uint32_t ef, const om_stop *stop, const uint64_t **keys,
                              uint32_t *found, om_graph_counters *counters) OM_NODISCARD;

/* The same with only passing slots in the result, in one of three ways (OMEN_PLAN_FILTER_*):
 *   IN      walks the graph as it is, and then on over what is near, to what passes of its neighbours, until
 *           there is enough
 *   HOP     the same; where too few are near it goes on as BRIDGE does
 *   BRIDGE  finds the place, then scores passing slots alone, reached over neighbours of neighbours, from
 *           there and from seeds drawn from them
 * README.md has the rules. */
typedef struct om_graph_filter {
    const uint64_t *pass; /* bit i: slot i passes; all slots of the view. Dead ones should not */
    uint64_t matches;     /* bits set among the view's slots; a guess will do */
    uint32_t plan;        /* OMEN_PLAN_FILTER_* */
    uint32_t k;           /* passing slots wanted: with fewer the walk goes on */
    uint32_t ef;          /* the beam of an unfiltered search for k */
    uint32_t beam;   /* room for candidates, >= ef and reserved in ctx; *found is at most this */
    uint64_t budget; /* distances after which the walk gives up (tests count a little)  */
    bool abandoned;  /* set: it did, or saw that it would: keys and found are valid then too */
    uint64_t tests;  /* set: bits looked at */
} om_graph_filter;
omen_status_t om_graph_search_filtered(const om_graph_view *view, om_graph_ctx *ctx,
                                       const om_probe *probe, om_graph_filter *filter,
                                       const om_stop *stop, const uint64_t **keys, uint32_t *found,
                                       om_graph_counters *counters) OM_NODISCARD;
/* Candidates that must be expanded for k results when a share of them passes: ef when all do. */
double om_graph_horizon(uint32_t ef, uint32_t k, double share);
/* Distances, tests included, of IN and HOP, when an unfiltered search makes `distances`; and of BRIDGE. */
double om_graph_filtered_distances(double distances, uint32_t ef, uint32_t k, double share);
double om_graph_bridge_distances(uint32_t ef);

/* Portable bytes of the entry structure (seeds, upper levels) for a segment file, and a graph on top of
 * read-only arrays. `bytes` (aligned to 64, a mapped section) is used in place and must outlive the graph;
 * links and codes are the file's own bytes too. Hostile input gives OMEN_DATA_LOSS. */
size_t om_graph_export_size(const om_graph *graph);
void om_graph_export(const om_graph *graph, uint8_t *out);
omen_status_t om_graph_import(const om_alloc *alloc, const om_graph_params *params, uint32_t count,
                              const uint8_t *bytes, size_t size, om_graph **out,
                              omen_error *err) OM_NODISCARD;

/* The oracle: counts <= m0, links < count, no self links, no duplicates, padding, every node reachable from
 * the entry points. Fills the report; OMEN_DATA_LOSS when a rule is broken (not for unreached nodes). */
typedef struct om_graph_report {
    uint32_t nodes, unreached, min_degree, max_degree;
    double mean_degree;
} om_graph_report;
omen_status_t om_graph_check(const om_graph *graph, const om_graph_arrays *arrays,
                             om_graph_report *out, omen_error *err);
size_t om_graph_entry_bytes(const om_graph *graph);
#endif
