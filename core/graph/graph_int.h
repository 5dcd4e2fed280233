/* graph_int.h - what the files of the graph module share; nobody else includes it.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_GRAPH_INT_H
#define OM_GRAPH_INT_H
#include "graph.h"

/* Slots travel inverted through beams, so that among equal distances the newest slot comes first. Copies
 * of one vector then form a chain that a search can walk to its newest end; with the oldest first, every
 * new copy would link to the same few old ones and be found by nobody. */
#define OM_SLOT_FLIP 0x7FFFFFFFu
/* Of the links of a node, at most this many lead to rows with the very same code. */
#define OM_MAX_TWINS 4u
/* Candidates from the same micro-batch that a new node keeps. */
#define OM_BATCH_CANDIDATES 32u
/* Distances between two looks at the stop flag: 1024 take 10 to 30 us. */
#define OM_STOP_INTERVAL 1024u

/* Starting points that the entry structure hands to the walk. */
#define OM_ENTRY_WANTED 8u

#define OM_KEY_EXPANDED UINT64_C(1)
static inline uint32_t om_flip_slot(uint64_t key)
{
    return OM_SLOT_FLIP - om_key_slot(key);
}

/* A list that is being read and written by different threads: single relaxed words (see graph.h). Under the
 * thread sanitizer a word carries the order of the code row that it names, which on real machines the
 * address dependency gives. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OM_THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define OM_THREAD_SANITIZER 1
#endif
#if defined(OM_THREAD_SANITIZER)
#define OM_LINK_ORDER_LOAD __ATOMIC_ACQUIRE
#define OM_LINK_ORDER_STORE __ATOMIC_RELEASE
#else
#define OM_LINK_ORDER_LOAD __ATOMIC_RELAXED
#define OM_LINK_ORDER_STORE __ATOMIC_RELAXED
#endif
static inline uint32_t om_link_load(const uint32_t *word)
{
    return __atomic_load_n(word, OM_LINK_ORDER_LOAD);
}
static inline void om_link_store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, OM_LINK_ORDER_STORE);
}

/* ---- Entry points (graph_entry.c, graph_seeds.c, graph_upper.c) -------------------------------------- */
/* A sample of slots with contiguous copies of their code rows; append-only up to its capacity, shared by
 * the graph and its views, freed with the last reference. */
typedef struct om_seeds {
    const om_alloc *alloc;
    _Atomic uint32_t refs;
    uint32_t capacity;
    uint32_t count; /* builder only; views hold their own */
    bool borrowed;  /* the arrays are a mapped file's     */
    uint32_t rows;  /* of the graph when they were drawn  */
    uint32_t probe_kind;
    double news; /* a new row farther than this from every seed becomes one */
    size_t stride;
    uint32_t *slots; /* [capacity]          */
    uint8_t *codes;  /* [capacity * stride] */
} om_seeds;

/* The hierarchy: a graph of its own over every 16th node, with its own compact rows. */
typedef struct om_upper {
    const om_alloc *alloc;
    _Atomic uint32_t refs;
    uint32_t capacity;
    uint32_t count;
    bool borrowed; /* as above */
    size_t stride, link_stride;
    uint32_t *slots;
    uint8_t *codes;
    uint32_t *links;
    uint32_t *incoming;
} om_upper;

typedef struct om_entry_view {
    om_seeds *seeds;
    uint32_t seed_count;
    om_upper *upper;           /* NULL without hierarchy */
    om_graph_view *upper_view; /* its level 0 and seeds  */
} om_entry_view;

typedef struct om_redge {
    uint32_t target, source;
    int32_t distance;
} om_redge;

struct om_graph {
    const om_alloc *alloc;
    const om_kernels *kernels;
    om_graph_params params;
    uint32_t m, m0, words; /* links chosen, links kept, words of a link row */
    bool hierarchy;
    _Atomic uint32_t count;
    om_seeds *seeds;
    om_upper *upper;
    om_graph *upper_graph;
    /* Scratch of the builder, made at the first insert. */
    struct om_build *build;
};

struct om_graph_view {
    const om_alloc *alloc;
    const om_kernels *kernels;
    om_graph_arrays arrays;
    size_t stride; /* of a code row */
    uint32_t words, m0, count;
    om_entry_view entry;
};

/* The beam's arrays and the visited marks of one search at a time. */
struct om_graph_ctx {
    const om_alloc *alloc;
    uint8_t *visited; /* [slots + 1]; equal to epoch: seen */
    size_t visited_size;
    uint8_t epoch;
    uint64_t *beam; /* [beam_cap + 8], ascending */
    uint32_t beam_cap;
    uint32_t *ids;     /* [OM_LINK_MAX] unvisited slots of the hop        */
    uint32_t *flipped; /* the same, inverted                              */
    int32_t *distance;
    uint64_t *packed;
    om_graph_ctx *upper; /* for the hierarchy's graph; NULL until needed    */
};
/* Ids of one gather: a whole list of links, or a chunk of seeds or batch rows. */
#define OM_GATHER_MAX 256u

/* Fills the beam with starting points; returns the beam's size. */
uint32_t om_entry_search(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                         uint32_t ef, om_graph_counters *counters);
/* Takes slots [first, first + n) into the entry structure, before they are linked. */
omen_status_t om_entry_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t first,
                              uint32_t n, om_executor *executor, omen_error *err) OM_NODISCARD;
/* Makes the copies of code rows anew with another codec. */
omen_status_t om_entry_rescore(om_graph *graph, const om_graph_arrays *arrays,
                               om_executor *executor, omen_error *err) OM_NODISCARD;
omen_status_t om_entry_view_init(om_graph *graph, om_entry_view *entry,
                                 const om_graph_arrays *arrays, omen_error *err) OM_NODISCARD;
void om_entry_view_release(om_entry_view *entry);
void om_entry_free(om_graph *graph);

omen_status_t om_seeds_create(const om_alloc *alloc, uint32_t capacity, size_t stride,
                              om_seeds **out, omen_error *err) OM_NODISCARD;
void om_seeds_release(om_seeds *seeds);
omen_status_t om_seeds_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t first,
                              uint32_t n, omen_error *err) OM_NODISCARD;
void om_seeds_append(om_seeds *seeds, const uint8_t *code, uint32_t slot);
/* Draws seeds for slots [0, rows) anew (graph_cover.c). */
omen_status_t om_cover_draw(om_graph *graph, const om_graph_arrays *arrays, uint32_t rows,
                            omen_error *err) OM_NODISCARD;
uint32_t om_seeds_search(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                         uint32_t wanted, om_graph_counters *counters);
omen_status_t om_upper_create(const om_alloc *alloc, uint32_t capacity, size_t stride, uint32_t m,
                              om_upper **out, omen_error *err) OM_NODISCARD;
void om_upper_release(om_upper *upper);
omen_status_t om_upper_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t first,
                              uint32_t n, om_executor *executor, omen_error *err) OM_NODISCARD;
omen_status_t om_upper_rescore(om_graph *graph, const om_graph_arrays *arrays,
                               om_executor *executor, omen_error *err) OM_NODISCARD;
om_graph_arrays om_upper_arrays(const om_upper *upper, const om_codec *codec);

/* ---- Search (graph_search.c) -------------------------------------------------------------------------- */
void om_ctx_begin(om_graph_ctx *ctx, uint32_t count);
/* Inserts the gathered candidates ids[0 .. n) with their distances into the beam. *cur falls back to the
 * first new entry. Returns the new size. */
uint32_t om_beam_merge(const om_graph_view *view, om_graph_ctx *ctx, uint32_t n, uint32_t size,
                       uint32_t ef, uint32_t *cur);
/* The walk over level 0 from the starting points in the beam. */
omen_status_t om_graph_walk(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                            uint32_t ef, uint32_t *size, const om_stop *stop,
                            om_graph_counters *counters);

/* ---- Selection (graph_select.c) ----------------------------------------------------------------------- */
typedef struct om_candidates {
    uint32_t n;
    uint32_t *slot;    /* nearest first */
    int32_t *distance; /* to the node   */
} om_candidates;
#define OM_DROPPED_MAX 8192u
/* Scratch of one build worker. */
typedef struct om_worker {
    om_graph_ctx *ctx;
    uint8_t *probe_data;  /* the node being inserted      */
    uint8_t *select_data; /* the neighbour being compared */
    om_candidates list;   /* room for capacity            */
    uint32_t capacity;
    uint32_t *alive;      /* [capacity] positions         */
    uint32_t *gather_ids; /* [capacity]                   */
    int32_t *gather_out;  /* [capacity rounded up to 16]  */
    uint64_t *merge;      /* [OM_BATCH_CANDIDATES + 16]   */
    uint32_t *dropped;    /* [OM_DROPPED_MAX] slots whose incoming links became fewer */
    uint32_t dropped_count;
} om_worker;
/* Keeps of the candidates (nearest first) at most `most` that no kept one shadows: the heuristic of
 * Malkov and Yashunin (algorithm 4, TPAMI 2018), with a cap on copies. Compacts the list in place. */
void om_select(const om_graph *graph, const om_graph_arrays *arrays, om_worker *worker,
               uint32_t most);

/* Distances of a node to n slots, n <= worker->capacity, in the geometry of the graph. Distances are not kept
 * beside the links: computing the twenty of a changed list again costs a few percent of a build, keeping
 * them would cost as many bytes as the links, for ever. */
void om_node_distances(const om_graph *graph, const om_graph_arrays *arrays, om_worker *worker,
                       uint32_t node, const uint32_t *slots, uint32_t n, int32_t *out);

/* ---- Build (graph_insert.c, graph_link.c) ------------------------------------------------------------- */
typedef struct om_build {
    uint32_t workers;
    om_worker *worker;
    size_t stride;
    uint32_t *chosen; /* [OM_GRAPH_MAX_BATCH * m] */
    int32_t *chosen_dist;
    uint32_t *chosen_count;       /* [OM_GRAPH_MAX_BATCH] */
    om_redge *edge, *edge_sorted; /* [OM_GRAPH_MAX_BATCH * m] */
    uint32_t *group;              /* start of each target's edges */
    uint32_t *lonely;             /* [workers * OM_DROPPED_MAX] nodes without an incoming link */
} om_build;
omen_status_t om_build_reserve(om_graph *graph, const om_graph_view *frozen, uint32_t workers,
                               omen_error *err) OM_NODISCARD;
void om_build_free(om_graph *graph);
/* Everything of a view but its entry points. */
void om_view_fill(const om_graph *graph, const om_graph_arrays *arrays, om_graph_view *view);
/* ---- Incoming links (graph_guard.c) ------------------------------------------------------------------- */
void om_guard_reset(const om_graph_arrays *arrays, uint32_t slot);
void om_guard_add(const om_graph_arrays *arrays, uint32_t slot, uint32_t links);
void om_guard_drop(const om_graph_arrays *arrays, om_worker *worker, uint32_t slot);
/* Links every node of the batch, and every one that lost its last incoming link, from a neighbour. */
void om_guard_mend(om_graph *graph, const om_graph_arrays *arrays, uint32_t first, uint32_t n);

/* Adds the reverse edges of the batch: grouped by target, each target changed once by one thread. */
void om_link_reverse(om_graph *graph, const om_graph_arrays *arrays, uint32_t edges,
                     om_executor *executor);
static inline uint32_t *om_link_row(uint32_t *links, uint32_t words, uint32_t slot)
{
    return links + (size_t)slot * words;
}
#endif
