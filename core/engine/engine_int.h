/* engine_int.h - the objects of the engine and what its files offer each other.
 * Depends on: everything left of engine.  Locks: README.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_INT_H
#define OM_ENGINE_INT_H
#include <stdatomic.h>

#include "codec.h"
#include "engine.h"
#include "graph.h"
#include "idmap.h"
#include "idtable.h"
#include "lock.h"
#include "log.h"
#include "manifest.h"
#include "op.h"
#include "os.h"
#include "rng.h"
#include "schema.h"
#include "segfile.h"
#include "simd.h"

/* Lock ranks, taken in rising order (README has the table). */
enum {
    OM_RANK_KEEP = 5,
    OM_RANK_MERGE = 8,
    OM_RANK_SAVE = 10,
    OM_RANK_INDEX = 20,
    OM_RANK_BUILD = 22,
    OM_RANK_QUEUE = 25,
    OM_RANK_WRITE = 30,
    OM_RANK_FILTERS = 34,
    OM_RANK_FILTER = 35,
    OM_RANK_IDS = 40,
    OM_RANK_DB = 50,
    OM_RANK_REQUESTS = 55,
    OM_RANK_MARKS = 60,
    OM_RANK_INDEXER = 70,
    OM_RANK_CTX = 75
};

enum {
    OM_CTX_CHUNK = 16,
    OM_SHARDS = 8,
    OM_MAX_STREAMS = 65536,
    OM_REQUEST_MEMORY = 65536,
    OM_MARKS = 1024,
    OM_SLACK = 16,
    OM_WORDS_KEPT = 8
};

/* ---- Read epochs and search scratch (engine_epoch.c) ----------------------------------------- */
typedef struct om_segment om_segment;
typedef struct om_collection om_collection;
typedef struct om_hit {
    float distance;
    uint32_t slot;
    uint64_t key;
    om_segment *segment;
} om_hit;

/* One search at a time owns a context: its scratch, and the epoch slot that keeps what it reads
 * alive. */
typedef struct om_ctx {
    _Alignas(64) _Atomic uint32_t busy;
    uint32_t index;
    _Atomic uint64_t epoch; /* 0: reads nothing. Pairs with om_epoch_passed. */
    om_graph_ctx *graph;
    float *query; /* [query_floats] the query, then scratch of the codec */
    size_t query_floats;
    uint8_t *probe; /* [probe_bytes] */
    size_t probe_bytes;
    uint64_t *beam; /* [beam_cap + 24]: a scan's best; then as many again, for the merge */
    uint32_t beam_cap;
    om_hit *hits; /* [hits_cap] */
    uint32_t hits_cap;
    uint32_t turn; /* of walks, of which some are noted */
    uint64_t *bits; /* [bit_words] rows that pass a filter and live */
    size_t bit_words;
    struct om_textscratch *text; /* NULL until the first search for words */
    _Atomic uint64_t bytes;
} om_ctx;
typedef struct om_ctx_chunk {
    om_ctx ctx[OM_CTX_CHUNK];
    struct om_ctx_chunk *_Atomic next;
} om_ctx_chunk;
typedef struct om_epochs {
    _Alignas(64) _Atomic uint64_t now;
    _Alignas(64) om_ctx_chunk *_Atomic first;
    om_mutex grow; /* rank CTX: adds chunks */
} om_epochs;

typedef struct om_indexer om_indexer;
struct omen_runtime {
    om_handle handle;
    _Atomic uint32_t refs;
    uint32_t threads;
    om_alloc alloc;
    om_budget budget;
    om_log log;
    om_pool *pool;
    om_executor *executor;
    const om_kernels *kernels;
    om_epochs epochs;
    _Atomic uint64_t serials; /* handed out: segments and snapshots */
    om_indexer *indexer;
    _Atomic(struct om_words *) words[OM_WORDS_KEPT]; /* scratch of analysers that nobody uses */
};
omen_status_t om_epochs_init(omen_runtime *rt, omen_error *err);
void om_epochs_free(omen_runtime *rt);
/* A context of its own for the caller, until the release. */
omen_status_t om_ctx_acquire(omen_runtime *rt, om_ctx **out, omen_error *err) OM_NODISCARD;
void om_ctx_release(om_ctx *ctx);
/* What is reachable after the pin stays readable until the unpin. */
void om_ctx_pin(omen_runtime *rt, om_ctx *ctx);
void om_ctx_unpin(om_ctx *ctx);
typedef struct om_ctx_need {
    size_t floats, probe_bytes;
    uint32_t beam, hits;
} om_ctx_need;
omen_status_t om_ctx_reserve(omen_runtime *rt, om_ctx *ctx, const om_ctx_need *need,
                             omen_error *err) OM_NODISCARD;
/* Room for so many words in ctx->bits. */
omen_status_t om_ctx_bits(omen_runtime *rt, om_ctx *ctx, size_t words, omen_error *err) OM_NODISCARD;
/* The scratch of searches for words. */
omen_status_t om_ctx_text(omen_runtime *rt, om_ctx *ctx, omen_error *err) OM_NODISCARD;
void om_ctx_note_bytes(om_ctx *ctx);
/* A tag for something that was just made unreachable; passed when no reader can still hold it. */
uint64_t om_epoch_tag(omen_runtime *rt);
bool om_epoch_passed(omen_runtime *rt, uint64_t tag);
uint64_t om_ctx_bytes(omen_runtime *rt);

void om_runtime_ref(omen_runtime *rt);
void om_runtime_unref(omen_runtime *rt);

/* ---- Databases ------------------------------------------------------------------------------- */
typedef struct om_requests om_requests;
struct omen_db {
    om_handle handle;
    _Atomic uint32_t refs;
    _Atomic uint32_t users; /* handles of it, of its collections and of their snapshots */
    omen_runtime *rt;
    _Atomic uint64_t version; /* the newest one handed out, over all collections */
    om_mutex mu;              /* rank DB */
    om_collection **list;     /* by name; guarded by mu */
    size_t count, capacity;   /* guarded by mu */
    uint32_t next_serial;     /* guarded by mu */
    om_requests *requests;
    struct om_disk *disk; /* NULL: in memory (engine_disk.h) */
};
void om_db_unref(omen_db *db);
/* A handle comes and goes. The last one closes the database: its collections are still listed then. */
void om_db_enter(omen_db *db);
void om_db_leave(omen_db *db);
void om_db_raise_version(omen_db *db, uint64_t version);
struct omen_collection { /* a handle */
    om_handle handle;
    om_collection *c;
    struct om_snapshot *snapshot; /* NULL: the present */
};

/* ---- Request ids (engine_requests.c) --------------------------------------------------------- */
typedef struct om_written {
    uint64_t version, applied, replaced, refused;
} om_written;
omen_status_t om_requests_create(const om_alloc *alloc, om_requests **out,
                                 omen_error *err) OM_NODISCARD;
void om_requests_free(om_requests *requests);
typedef struct om_request_key {
    const char *id;
    size_t length;
    uint32_t serial; /* of the collection: the same token in two of them is two requests */
} om_request_key;
bool om_requests_find(om_requests *requests, const om_request_key *key, om_written *out);
omen_status_t om_requests_reserve(om_requests *requests, omen_error *err) OM_NODISCARD;
void om_requests_put(om_requests *requests, const om_request_key *key, const om_written *written);

/* ---- Streams (engine_streams.c); guarded by the collection's write mutex --------------------- */
typedef struct om_stream {
    struct om_stream *next;
    uint64_t hash, epoch, last_seq, last_version;
    uint64_t used_ns; /* wall clock */
    uint32_t length, last_crc;
    char id[OMEN_MAX_STREAM_ID];
} om_stream;
typedef struct om_streams {
    om_stream **buckets;
    uint32_t mask, count;
    const om_io *io;      /* whose clock counts; NULL: the system's */
    uint64_t first_epoch; /* no stream is opened with a lower one */
} om_streams;
void om_streams_free(const om_alloc *alloc, om_streams *streams);
omen_status_t om_streams_get(const om_alloc *alloc, om_streams *streams, om_stream_id id,
                             om_stream **out, omen_error *err) OM_NODISCARD;

/* ---- Storage of the growing segment (engine_rows.c) ------------------------------------------ */
typedef struct
    om_array { /* one heap block (small) or one reservation that is committed as rows come */
    om_vm vm;
    uint8_t *base;
    size_t heap_bytes;
} om_array;
enum { OM_A_VECTORS, OM_A_KEYS, OM_A_DEAD, OM_A_LINKS, OM_A_INCOMING, OM_A_NORMS, OM_A_COUNT };
typedef struct om_store {
    uint32_t capacity;  /* rows */
    uint32_t committed; /* rows; guarded by the write mutex */
    om_array array[OM_A_COUNT];
} om_store;
typedef struct om_codes {
    uint32_t capacity, committed;
    om_array array;
    _Alignas(
        64) _Atomic uint32_t encoded; /* rows whose code is written; released after the bytes */
} om_codes;
typedef struct om_layout {
    size_t bytes[OM_A_COUNT]; /* of a row; DEAD is counted in bits */
    size_t row_bytes, code_stride, link_stride;
    uint32_t max_rows;
} om_layout;
void om_layout_init(om_layout *layout, const om_codec_params *codec, uint32_t m);
/* The capacity to take next, for at least `needed` rows after `current`. */
uint32_t om_layout_capacity(const om_layout *layout, uint32_t current, uint64_t needed,
                            uint64_t hint);
uint64_t om_layout_total(const om_layout *layout); /* bytes a row, all arrays */
omen_status_t om_store_create(omen_runtime *rt, const om_layout *layout, uint32_t capacity,
                              om_store **out, omen_error *err) OM_NODISCARD;
omen_status_t om_store_commit(om_store *store, const om_layout *layout, uint64_t rows,
                              omen_error *err) OM_NODISCARD;
void om_store_free(omen_runtime *rt, om_store *store);
omen_status_t om_codes_create(omen_runtime *rt, const om_layout *layout, uint32_t capacity,
                              om_codes **out, omen_error *err) OM_NODISCARD;
omen_status_t om_codes_commit(om_codes *codes, const om_layout *layout, uint64_t rows,
                              omen_error *err) OM_NODISCARD;
void om_codes_free(omen_runtime *rt, om_codes *codes);
uint64_t om_array_bytes(const om_array *array);

/* ---- What a search sees (engine_view.c) ------------------------------------------------------ */
typedef struct om_mapped om_mapped;
enum { OM_DROP_STORE = 1, OM_DROP_CODES = 2, OM_DROP_CODEC = 4, OM_DROP_GRAPH = 8 };
typedef struct om_view {
    const uint8_t *vectors;
    const uint64_t *keys;
    const float *norms;     /* inverse lengths; cosine only */
    _Atomic uint64_t *dead; /* bit set: deleted or replaced */
    const uint8_t *codes;
    om_codec *codec;      /* NULL until trained */
    om_graph_view *graph; /* NULL until something is indexed */
    uint32_t indexed;     /* rows of the graph */
    om_mapped *mapped;    /* NULL for a growing segment */
    om_store *store;
    om_codes *codes_owner;
    /* For the retire list: */
    uint32_t drop; /* OM_DROP_*: what goes with this view */
    uint64_t tag;
    struct om_view *next;
} om_view;
typedef struct om_view_parts {
    om_store *store;
    om_codes *codes;
    om_codec *codec;
    om_graph_view *graph;
} om_view_parts;
/* Room for one publish, so that publishing cannot fail. Index mutex held. */
omen_status_t om_view_prepare(om_segment *seg, om_view **out, omen_error *err) OM_NODISCARD;
/* Fills the prepared view, makes it the one that searches see, and retires the former with what
 * it alone used. Index mutex held. */
void om_view_publish(om_segment *seg, om_view *view, const om_view_parts *parts);
/* Frees what no search can hold any more; true when nothing is left to free. Index mutex held. */
bool om_view_reclaim(om_segment *seg);
void om_view_free_all(om_segment *seg);

/* ---- Collections: one segment each for now --------------------------------------------------- */
typedef struct om_mark {
    uint64_t version;
    uint32_t end; /* rows there are at that version */
} om_mark;
typedef struct om_window { /* clipping in 1,024 rows, coded by the codec in use */
    _Atomic uint32_t rows;
    _Atomic uint64_t components;
} om_window;
typedef struct om_shard {
    _Alignas(64) _Atomic uint64_t searches;
    _Atomic uint64_t distances, hops;
    _Atomic uint64_t walked, walked_ef; /* some unfiltered walks: distances and widths, summed */
} om_shard;

typedef struct om_birth { /* rows from `first` on, up to the next birth's, are of this write */
    uint64_t version;
    uint32_t first, reserved;
} om_birth;
_Static_assert(sizeof(om_birth) == 16, "BIRTHS has 16 bytes a write");
typedef struct om_births {
    om_birth *list; /* [count] ascending */
    uint32_t count, room;
} om_births;

/* ---- Segments (engine_segment.c) ------------------------------------------------------------- */
/* A part of a collection: rows in the order of their writing. It grows in memory; then it is frozen (no
 * more rows, deaths only) and, when its graph is complete, written and replaced by the same rows mapped
 * from a file (sealed). A collection in memory has one that grows for ever. */
struct om_segment {
    /* Read by every search. */
    _Alignas(64) _Atomic(om_view *) view; /* release; pairs with om_view_load */
    _Atomic uint32_t visible;             /* rows that searches see; released after their bytes */
    _Atomic uint32_t indexed;
    _Atomic uint32_t live;

    /* Fixed at creation. */
    omen_runtime *rt;
    om_collection *c;     /* whose it is; lives longer */
    omen_options options; /* the collection's */
    om_codec_params codec_params;
    om_graph_params graph_params;
    om_layout layout;
    uint64_t id; /* of its file; 0 in memory */
    uint64_t serial; /* of no other segment of the runtime */
    _Atomic uint32_t refs;

    _Atomic uint64_t first_version, last_version; /* of its rows; 0: none */
    _Atomic bool frozen;                          /* set with write_mu held */

    om_mutex index_mu; /* rank INDEX: guards the graph and what is published */
    om_graph *graph;
    om_codec *codec;
    om_view *retired;
    uint32_t index_limit;  /* rows a running save allows in the graph */
    uint32_t trained_rows; /* the first training used these */
    om_window *windows;    /* [window_count] */
    uint32_t window_count;
    _Atomic uint64_t retrained;
    _Atomic uint32_t
        index_waiters; /* callers that index themselves: the background leaves it to them */

    om_store
        *store; /* changed with index_mu and the collection's write_mu held, read with either */
    om_codes *codes; /* likewise */
    _Atomic uint64_t last_append_ns;
    _Atomic bool queued;    /* in the indexer's queue */
    _Atomic bool untidy;    /* views wait to be freed */
    _Atomic uint32_t coded; /* rows that have codes: a hint */

    om_idmap map;      /* keys of live rows; guarded by the collection's ids_mu */
    om_idtable *table; /* UUID and STRING: slot n is its number n + 1; likewise */
    bool ids_kept;     /* ids of dead rows stay: a snapshot may want them; likewise */
    om_births births;  /* of rows in memory; likewise */

    _Atomic(struct om_fields *) fields; /* NULL: no row has metadata (engine_fields_int.h) */
    _Atomic(struct om_kept *) kept;     /* what searches keep with it (engine_fields.h) */

    om_mutex marks_mu; /* rank MARKS */
    om_mark *marks;    /* ring of OM_MARKS; NULL until the first write */
    uint32_t mark_first, mark_count;
    uint64_t indexed_version;

    om_mapped *mapped;       /* NULL unless sealed */
    _Atomic bool damaged;    /* a merge met rot in it */
    uint64_t deaths_saved;   /* generation of the deaths file that the manifest names; keep_mu */
    _Atomic uint64_t deaths; /* grows with every death: what is to be saved; write_mu */
    uint64_t deaths_written; /* value of `deaths` when they were saved last; keep_mu */
};

/* The segments of a collection at one moment, oldest first; the last one may grow. Immutable; each set
 * holds a reference to each of its segments. */
typedef struct om_set {
    uint32_t count;
    uint64_t tag; /* when it was replaced: see om_epoch_tag */
    struct om_set *next;
    om_segment *part[];
} om_set;
static inline om_segment *om_set_last(const om_set *set)
{
    return set->part[set->count - 1];
}

/* Where a row is. */
typedef struct om_place {
    om_segment *segment; /* NULL: nowhere */
    uint32_t slot;
} om_place;

/* ---- Collections ----------------------------------------------------------------------------- */
struct om_collection {
    /* Read by every search. */
    _Alignas(64) _Atomic(om_set *) set; /* never NULL once made; changed with write_mu held */
    _Atomic uint32_t replacing; /* odd while rows are being replaced: a search then looks again */
    _Atomic uint64_t version;   /* the newest applied one; released after visible */
    _Atomic bool dropped;
    bool read_only; /* a mapped file, a snapshot's, or of a database opened for reading */

    omen_runtime *rt;
    omen_db *db;
    omen_options options; /* defaults filled in */
    uint32_t serial;      /* of its records in the log */
    uint32_t backlog_limit;
    _Atomic uint64_t tail;    /* rows not in the graph, and */
    _Atomic uint32_t waiting; /* frozen segments in memory, when the last batch was applied */
    uint64_t seal_rows;       /* of the growing segment; UINT64_MAX in memory */
    _Atomic uint32_t refs;
    char name[OMEN_MAX_NAME + 1];

    om_mutex merge_mu; /* rank MERGE: one merge of it at a time */
    om_mutex save_mu;  /* rank SAVE: one save or seal of it at a time */

    om_mutex queue_mu;      /* rank QUEUE: batches that wait to be committed */
    om_cond queue_moved;    /* some were, or the leader went */
    struct om_write *queue; /* oldest first */
    bool leading;           /* somebody commits them */

    om_mutex write_mu; /* rank WRITE: one batch is applied at a time */
    om_streams streams;
    uint64_t next_key;  /* U64: above every key seen; otherwise keys given out */
    uint64_t *row_keys; /* scratch of a batch: the keys of its accepted items, in order */
    uint32_t *former; /* scratch of a batch: the slots that its items had in the growing segment */
    uint64_t former_room;
    om_place *places; /* likewise: the rows they had in older segments */
    om_set *retired_sets;
    uint64_t contained;     /* every write up to it is in sealed segments */
    om_schema *schema;      /* its fields: added with write_mu held, looked at without */
    uint32_t schema_logged; /* of these, fields that the log has */
    _Atomic(struct om_text_list *) texts; /* engine_schema.c */
    uint32_t pins;                        /* snapshots alive: ids of deleted rows are kept */

    om_rwlock ids_mu; /* rank IDS: the maps and tables of its segments */
    _Atomic(struct om_filters *) filters; /* compiled ones (engine_filter.h); NULL until the first */
    _Atomic uint64_t costs; /* om_plan_costs: two floats, 0 until measured (engine_filtered.c), */
    _Atomic uint32_t cost_rows; /* on so many rows */
    om_shard shards[OM_SHARDS];
};

/* A set whose tombstones are copies: what omen_snapshot hands out (engine_snapshot.c). */
typedef struct om_snapshot {
    om_set *set;
    uint64_t serial; /* of no other snapshot or segment of the runtime; never 0 */
    uint64_t version;
    uint64_t live;
    uint32_t *live_rows; /* [set->count] of these, not dead */
    uint32_t *rows;      /* [set->count] rows it sees */
    uint64_t *
        *dead; /* [set->count] tombstones at that moment, (rows + 63) / 64 words; NULL: no rows */
} om_snapshot;

static inline om_view *om_view_load(om_segment *seg)
{
    return atomic_load_explicit(&seg->view, memory_order_seq_cst);
}
static inline bool om_view_is_dead(const om_view *view, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(&view->dead[slot >> 6], memory_order_acquire);
    return ((word >> (slot & 63)) & 1) != 0;
}

typedef struct om_id {
    const uint8_t *bytes;
    size_t length;
} om_id;
/* engine_segment.c */
/* An empty one that grows. */
omen_status_t om_segment_create(om_collection *c, om_segment **out, omen_error *err) OM_NODISCARD;
/* A sealed one over a file. deaths: NULL, or tombstones that replace those of the file and are taken over. */
typedef struct om_segment_file {
    const char *path;
    uint64_t id;
    const om_deaths *deaths;
    uint32_t warm, flags; /* OMEN_WARM_*, OMEN_OPEN_VERIFY */
    omen_op *op;
} om_segment_file;
omen_status_t om_segment_open(om_collection *c, const om_segment_file *file, om_segment **out,
                              omen_error *err) OM_NODISCARD;
void om_segment_ref(om_segment *seg);
void om_segment_unref(om_segment *seg);
void om_segment_set_options(om_segment *seg, const omen_options *options);
/* The live row of a key, of an id its key; OM_IDMAP_ABSENT and OMEN_NONE when there is none. The id of a
 * live row (bytes NULL: none); `scratch` holds a u64 id. ids_mu held. */
omen_status_t om_segment_find(om_segment *seg, uint64_t key, uint32_t *slot,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_segment_find_id(om_segment *seg, om_id id, uint64_t *key,
                                 omen_error *err) OM_NODISCARD;
omen_status_t om_segment_id(om_segment *seg, uint32_t slot, uint64_t *scratch, om_id *out,
                            omen_error *err) OM_NODISCARD;
/* Its tombstones; write_mu or ids_mu held. */
_Atomic uint64_t *om_segment_dead(om_segment *seg);
bool om_segment_is_dead(om_segment *seg, uint32_t slot);
/* Marks a row dead; false when it was. write_mu held. */
bool om_segment_kill(om_segment *seg, uint32_t slot);
/* A copy of the tombstones of `rows` rows, (rows + 63) / 64 words; *live: rows without one. */
omen_status_t om_segment_copy_dead(om_segment *seg, uint32_t rows, uint64_t **out, uint32_t *live,
                                   omen_error *err) OM_NODISCARD;
void om_segment_drop_dead(om_segment *seg, uint32_t rows, uint64_t *dead);

/* engine_set.c */
static inline om_set *om_set_load(om_collection *c)
{
    return atomic_load_explicit(&c->set, memory_order_seq_cst);
}
/* A set of these segments, each with a reference more. */
omen_status_t om_set_make(omen_runtime *rt, om_segment *const *parts, uint32_t count, om_set **out,
                          omen_error *err) OM_NODISCARD;
void om_set_free(omen_runtime *rt, om_set *set); /* at once: nobody may hold it */
/* What searches see from now on; the former set goes when no search can hold it. write_mu held. */
void om_set_publish(om_collection *c, om_set *set);
/* Frees what no search holds any more; true when nothing is left. write_mu held; segments are freed by
 * om_sets_free_list after it is given back. */
om_set *om_sets_reclaim(om_collection *c);
void om_sets_free_list(omen_runtime *rt, om_set *list);
/* The set as it is, with a reference to each of its segments, for work that takes long. Give it to
 * om_set_free. */
omen_status_t om_set_hold(om_collection *c, om_set **out, omen_error *err) OM_NODISCARD;
/* Puts `by` (NULL: nothing) into the place of `count` neighbouring segments that begin with `first`.
 * Everything that can fail comes first: `made` is from om_set_make_replaced. write_mu held. */
omen_status_t om_set_make_replaced(om_collection *c, om_segment *first, uint32_t count,
                                   om_segment *by, om_set **out, omen_error *err) OM_NODISCARD;
/* The growing segment takes no more rows; an empty one follows it. Nothing happens when it is empty.
 * write_mu held. */
omen_status_t om_collection_freeze(om_collection *c, omen_error *err) OM_NODISCARD;

/* engine_collection.c */
omen_status_t om_collection_make(omen_db *db, const char *name, const omen_options *options,
                                 om_collection **out, omen_error *err) OM_NODISCARD;
/* Before it is listed: these sealed segments (references taken over) before the growing one. */
omen_status_t om_collection_adopt(om_collection *c, om_segment **parts, uint32_t count,
                                  omen_error *err) OM_NODISCARD;
omen_status_t om_collection_handle(om_collection *c, omen_collection **out,
                                   omen_error *err) OM_NODISCARD;
void om_collection_ref(om_collection *c);
void om_collection_unref(om_collection *c);
omen_status_t om_options_check(const omen_options *in, omen_options *out,
                               omen_error *err) OM_NODISCARD;
omen_status_t om_collection_alive(const om_collection *c, omen_error *err) OM_NODISCARD;
omen_status_t om_collection_writable(const omen_collection *handle, bool deletes,
                                     omen_error *err) OM_NODISCARD;
void om_collection_set_options(om_collection *c, const omen_options *options);
/* NO_MEMORY becomes BUDGET when it was the runtime's limit that refused. */
omen_status_t om_explain_memory(omen_runtime *rt, uint64_t rejections, omen_status_t status,
                                omen_error *err);
uint64_t om_rejections(const omen_runtime *rt);
/* engine_database.c: lists a collection, which gets a reference more; its serial is set before. */
omen_status_t om_db_insert(omen_db *db, om_collection *c, omen_error *err) OM_NODISCARD;
/* The i-th collection with a reference, in the order of names; NULL behind the last. */
om_collection *om_db_at(omen_db *db, size_t i);

/* engine_snapshot.c */
/* What a call through a handle reads: pinned segments, and for snapshots their tombstones. */
typedef struct om_reader {
    om_collection *c;
    const om_set *set;
    const om_snapshot *snapshot; /* NULL: the present */
} om_reader;
om_reader om_reader_of(const omen_collection *handle); /* epoch pinned or write_mu held */
uint32_t om_reader_rows(const om_reader *from, uint32_t part);
/* Tombstone of a row; blocks of mapped files that hold it are checked first. */
omen_status_t om_reader_dead(const om_reader *from, uint32_t part, uint32_t slot, bool *dead,
                             omen_error *err) OM_NODISCARD;
/* The row of a key. ids_mu held. segment NULL: none. */
omen_status_t om_reader_find(const om_reader *from, uint64_t key, om_place *out,
                             omen_error *err) OM_NODISCARD;
omen_status_t om_reader_find_id(const om_reader *from, om_id id, uint64_t *key,
                                omen_error *err) OM_NODISCARD;
void om_snapshot_free(om_collection *c, om_snapshot *snapshot); /* NULL ok */

/* ---- Ids (engine_ids.c) ---------------------------------------------------------------------- */
om_id om_column_get(const omen_column *column, uint64_t i);
/* Values of any length, one behind the other: ascending offsets, or one width. */
omen_status_t om_column_check_shape(const omen_column *column, uint64_t n, const char *what,
                                    omen_error *err) OM_NODISCARD;
/* Shape of a column of n ids of the collection's type. */
omen_status_t om_column_check(const om_collection *c, const omen_column *column, uint64_t n,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_id_check(const om_collection *c, om_id id, uint64_t item,
                          omen_error *err) OM_NODISCARD;
uint64_t om_id_u64(om_id id);
uint32_t om_id_width(const om_collection *c); /* bytes of its ids; 0: they vary */
/* Where the live row of a key is. ids_mu held. */
omen_status_t om_find_key(om_collection *c, uint64_t key, om_place *out,
                          omen_error *err) OM_NODISCARD;
/* The key of an id that has a live row, else OMEN_NONE. ids_mu held. */
omen_status_t om_find_id(om_collection *c, om_id id, uint64_t *key, omen_error *err) OM_NODISCARD;

/* ---- Writing (engine_check.c, engine_append.c, engine_growth.c, engine_marks.c) -------------- */
typedef struct om_write {
    om_collection *c;
    om_segment *seg; /* the growing one; write_mu held */
    const omen_batch *batch;
    omen_op *op;
    uint32_t dtype;         /* of the batch's vectors  */
    uint64_t stride;        /* of the batch's vectors  */
    bool by_keys;           /* ids come as u64 keys    */
    uint64_t id_bytes;      /* of all ids              */
    int32_t *status;        /* PER_ITEM: [count]       */
    uint64_t accepted;      /* items that are not refused */
    uint64_t ahead;         /* rows of the batches before it in its group, */
    uint32_t ahead_batches; /* and these */
    uint64_t *row_keys;     /* [accepted] their keys, known before the batch is logged */
    om_place *places;       /* [accepted] the rows they had in older segments */
    om_stream *stream;
    uint32_t level;    /* OMEN_DURABILITY_* */
    uint64_t next_key; /* of the collection when this batch was applied */
    uint64_t backlog;  /* rows not in the graph when it was done */
    om_written done;
    bool replayed;  /* seen before */
    bool recovered; /* comes from the log: checked long ago, has its version, is not logged again */
    bool deletes;
    struct om_batch_fields *fields; /* NULL: no metadata (engine_fields_int.h) */
    struct om_patch *patch;         /* of a PATCH: whole items in its place (engine_patch.c) */
    struct om_finding *finding;     /* of a DELETE: what finds its keys (engine_delete.c) */
    /* Waiting to be committed (engine_commit.c); guarded by the collection's queue_mu. */
    struct om_write *next;
    omen_status_t status_of_commit;
    omen_error *error;
    bool committed;
} om_write;
uint64_t om_write_key(const om_write *w, uint64_t i); /* of item i, by key or by u64 id */
omen_status_t om_write_check_mode(om_write *w, omen_error *err) OM_NODISCARD;
/* Items whose version is not the one asked for are refused. */
omen_status_t om_write_check_versions(om_write *w, omen_error *err) OM_NODISCARD;
/* Room in the scratch of the collection for `count` items. */
omen_status_t om_write_grow_scratch(om_collection *c, uint64_t count, omen_error *err) OM_NODISCARD;
void om_write_free_scratch(om_collection *c);
/* The steps of adding: everything that can fail but logging (*grow: larger arrays are needed first; replayed
 * batches are done), then, when the batch is logged, what cannot. write_mu held. */
omen_status_t om_write_stage(om_write *w, bool *grow, omen_error *err) OM_NODISCARD;
void om_write_apply(om_write *w);
/* Stages, logs, makes durable and applies a checked batch, together with others that wait meanwhile
 * (engine_commit.c). */
omen_status_t om_write_commit(om_write *w, omen_error *err) OM_NODISCARD;
void om_write_number(om_write *w);
omen_status_t om_write_throttle(om_write *w, omen_error *err) OM_NODISCARD;
void om_write_note_tail(om_collection *c);
void om_write_seal(om_write *w);
omen_status_t om_write_delete(om_write *w, omen_error *err) OM_NODISCARD;
uint64_t om_backlog(om_collection *c); /* rows that are not in the graph; write_mu held or pinned */
/* A batch out of the log, with the version it had. The collection is not listed yet, or only read. */
typedef struct om_recovered {
    const omen_batch *batch;
    const uint8_t
        *meta; /* [meta_bytes] NULL, or a meta row an item, of which only the sizes were checked */
    size_t meta_bytes;
    bool deletes;
    uint64_t version;
} om_recovered;
omen_status_t om_write_recover(om_collection *c, const om_recovered *recovered,
                               omen_error *err) OM_NODISCARD;
omen_status_t om_write_check(om_write *w, omen_error *err) OM_NODISCARD; /* a batch to add    */
omen_status_t om_write_check_delete(om_write *w, omen_error *err) OM_NODISCARD;
void om_write_release(om_write *w);
/* Refuses item i: with PER_ITEM marks it and returns OK. */
omen_status_t om_write_refuse(om_write *w, uint64_t i, omen_status_t status, omen_error *err);
static inline bool om_write_skips(const om_write *w, uint64_t i)
{
    return w->status != NULL && w->status[i] != OMEN_OK;
}
/* Streams and request ids, write mutex held: fills w->done and w->replayed when seen before. */
omen_status_t om_write_seen(om_write *w, om_stream **stream, omen_error *err) OM_NODISCARD;
omen_status_t om_write_recover_stream(om_write *w, om_stream **stream,
                                      omen_error *err) OM_NODISCARD;
void om_write_remember(om_write *w, om_stream *stream);
/* The end of a call that writes: the result, or the failure (a batch that was refused for what it is uses
 * up its place in the stream, ruling 16). Releases w; returns the status. */
omen_status_t om_write_end(om_write *w, omen_status_t status, const omen_error *local,
                           omen_write_result *result, omen_error *err);
/* Makes room for `extra` rows after the visible ones, all of it, before anything is written.
 * Write mutex held; *grow tells that a larger reservation is needed first (om_growth_run, without
 * the mutex). */
omen_status_t om_growth_commit(om_segment *seg, uint64_t extra, bool *grow,
                               omen_error *err) OM_NODISCARD;
omen_status_t om_growth_run(om_segment *seg, uint64_t extra, omen_error *err) OM_NODISCARD;
omen_status_t om_marks_reserve(om_segment *seg, omen_error *err) OM_NODISCARD;
void om_marks_push(om_segment *seg, uint64_t version, uint32_t end);
/* Rows that must be in the graph for `version` to be indexed. */
uint32_t om_marks_target(om_segment *seg, uint64_t version);
uint64_t om_marks_indexed(om_segment *seg);
void om_row_norms(om_segment *seg, uint32_t first, uint32_t n);
float om_inverse_norm(const om_segment *seg, const void *row, float *scratch);

/* ---- The graph in the background (engine_encode.c, engine_indexer.c) ------------------------- */
/* One step towards `target` rows in the graph: at most one micro-batch. force: also an incomplete
 * one. *moved: whether something was done. Index mutex held. */
omen_status_t om_index_step(om_segment *seg, uint32_t target, bool force, bool *moved,
                            omen_error *err) OM_NODISCARD;
/* Whether a whole micro-batch waits between what is indexed and what is visible. */
bool om_index_has_batch(uint32_t indexed, uint32_t visible);
/* The calling thread puts rows into the graph until `target` are. */
omen_status_t om_index_until(om_segment *seg, uint32_t target, const om_stop *stop, omen_op *op,
                             omen_error *err) OM_NODISCARD;
/* Codes for what is visible, a bounded number of rows, once there is a codec. Index mutex held. */
omen_status_t om_encode_step(om_segment *seg, uint32_t target, om_executor *executor,
                             omen_error *err) OM_NODISCARD;
omen_status_t om_codec_start(om_segment *seg, uint32_t target, omen_error *err) OM_NODISCARD;
omen_status_t om_codec_review(om_segment *seg, omen_error *err) OM_NODISCARD;
/* The next row count at which the codec is reviewed: micro-batches end there. */
uint32_t om_codec_border(uint32_t indexed);
#define OM_FIRST_SAMPLE 1024u /* rows that the first training waits for, unless a caller insists */
uint64_t om_clipped_rows(om_segment *seg);
/* A pause of a millisecond for a caller who finds the way barred. */
void om_indexer_pause(omen_runtime *rt);
omen_status_t om_indexer_create(omen_runtime *rt, om_indexer **out, omen_error *err) OM_NODISCARD;
void om_indexer_free(om_indexer *indexer);
void om_indexer_notify(om_segment *seg);
void om_indexer_forget(om_segment *seg);

/* ---- Segment files (engine_save.c, engine_mapped.c, engine_attach.c) ---------- */
typedef struct
    om_pair { /* a row of the map from hashes of ids to slots; also what key maps are sorted as */
    uint64_t value;
    uint32_t slot;
    uint32_t zero;
} om_pair;
void om_pairs_sort(om_pair *pairs, size_t count);
uint64_t om_id_hash(om_id id); /* part of the format */
typedef struct om_meta {       /* the section META: little-endian, without holes */
    uint32_t size;             /* of this structure, which may grow */
    uint32_t dim, metric, dtype, id_type, m, ef_construction, quantization, rotation, entry,
        durability;
    uint32_t reserved;
    uint64_t capacity_hint, max_backlog_rows, next_key, live;
} om_meta;
_Static_assert(sizeof(om_meta) == 80, "META is 80 bytes");
struct om_mapped {
    omen_runtime *rt;
    const om_io *io;
    om_segfile *file;
    om_deaths deaths; /* tombstones from a file of their own, or */
    om_vm dead;       /* a copy of those of the segment's file; neither: those of the map */
    bool own_dead;
    uint64_t next_key;
    _Atomic uint64_t most_key; /* OMEN_NONE: not read yet */
    om_section section[OM_SECTION_MAX];
    uint32_t rows, id_type;
    om_codec *codec;
    om_thread *warmer;
    _Atomic bool stop, verified, births_checked;
    bool warm_vectors;
};
void om_mapped_close(om_segment *seg);
/* Blocks of a section in order, stopping when told to. */
omen_status_t om_mapped_verify(om_mapped *mapped, uint32_t kind, const om_stop *stop,
                               omen_error *err) OM_NODISCARD;
/* Before the first walk over codes and links: all their blocks agree with their checksums. */
omen_status_t om_mapped_ready(om_segment *seg, const om_stop *stop, omen_error *err) OM_NODISCARD;
enum {
    OM_TOUCH_VECTORS,
    OM_TOUCH_KEYS,
    OM_TOUCH_NORMS,
    OM_TOUCH_DEAD,
    OM_TOUCH_CODES,
    OM_TOUCH_COUNT
};
/* Rows [first, first + n) of a section may be read. */
omen_status_t om_mapped_touch(om_mapped *mapped, uint32_t what, uint32_t first, uint32_t n,
                              omen_error *err) OM_NODISCARD;
/* Position i of the map of keys; the first position whose key is not below `key`. */
omen_status_t om_mapped_key_at(om_mapped *mapped, uint64_t i, uint32_t *slot, uint64_t *key,
                               omen_error *err) OM_NODISCARD;
omen_status_t om_mapped_first_key(om_mapped *mapped, uint64_t key, uint64_t *out,
                                  omen_error *err) OM_NODISCARD;
omen_status_t om_mapped_slot_of_key(om_mapped *mapped, uint64_t key, uint32_t *slot,
                                    omen_error *err) OM_NODISCARD;
omen_status_t om_mapped_key_of_id(om_mapped *mapped, om_id id, uint64_t *key,
                                  omen_error *err) OM_NODISCARD;
omen_status_t om_mapped_id_of_slot(om_mapped *mapped, uint32_t slot, om_id *out,
                                   omen_error *err) OM_NODISCARD;
/* Everything that opening does not look at: OMEN_OPEN_VERIFY. */
omen_status_t om_mapped_check(om_segment *seg, const om_stop *stop, omen_error *err) OM_NODISCARD;
uint64_t om_mapped_bytes(const om_mapped *mapped);
#endif
