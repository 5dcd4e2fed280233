/* target.h - a collection as the commands see it: a segment file opened in this process
 * (target_local.c), a collection of a database opened in this process (target_db.c), or one of a server
 * (target_remote.c).
 * Depends on: args.h, ids.h. Threads: one at a time, but for sessions: each may run on a thread of
 * its own. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TARGET_H
#define OM_TARGET_H
#include "args.h"
#include "condition.h"
#include "field_spec.h"
#include "ids.h"
#include "json_column.h"

typedef struct om_target om_target;

typedef struct om_target_info {
    omen_options options; /* as created, defaults filled in */
    uint64_t count, deleted, indexed_rows, backlog_rows;
    uint64_t memory_bytes, mapped_bytes, version;
    uint64_t bytes_codes, bytes_links, bytes_ids, bytes_vectors; /* a file only, else 0 */
    uint64_t file_bytes;                                         /* a file only */
    uint64_t disk_bytes;                                         /* a database on disk */
    uint32_t segments, frozen;
    bool read_only, rotated;
} om_target_info;

/* Vectors to write, as they are handed to om_target_write. */
typedef struct om_target_batch {
    size_t count;
    uint64_t first_row;  /* position in the input of row 0: for messages */
    const void *vectors; /* NULL: none, mode OMEN_PATCH */
    uint32_t dtype, dim;
    const om_ids *ids;              /* count of them, of the type of the collection */
    const om_json_column *metadata; /* NULL, or count objects */
    const uint64_t *if_version;     /* NULL, or the version of the one item */
} om_target_batch;

/* Called now and then while a write is under way. */
typedef void (*om_target_tick)(void *ctx, uint64_t accepted, uint64_t indexed);

typedef struct om_target_write_options {
    uint32_t mode, durability;   /* OMEN_UPSERT, ...; OMEN_DURABILITY_* */
    const char *stream_id;       /* not for files; NULL: a random one */
    const om_field_list *fields; /* NULL, or declared first */
    uint64_t retry_s;
    bool wait_indexed;
    om_target_tick tick;
    void *tick_ctx;
} om_target_write_options;

typedef struct om_target_written {
    uint64_t accepted; /* rows */
    uint64_t skipped;  /* of these: rows that the server had from an earlier run */
    uint64_t indexed;  /* rows of the collection in the graph */
    uint64_t reconnects;
    double accepted_at, indexed_at; /* om_tool_now() when all were */
    char stream_id[OMEN_MAX_STREAM_ID + 1];
} om_target_written;

typedef struct om_search_params {
    const void *vectors; /* dense */
    uint32_t dtype, dim;
    size_t count;
    uint32_t k, ef, threads;
    bool exact, graph_only, explain;
    const om_condition *where; /* NULL: all items */
} om_search_params;

/* One search of several parts; each of vector, like and text may be there. */
typedef struct om_find_params {
    const void *vector; /* NULL: none */
    uint32_t dtype, dim;
    const om_ids *like;            /* NULL: none */
    const char *text, *text_field; /* NULL: none; NULL: all */
    float weights[3];              /* of vector, like, text; 0: 1 */
    uint32_t k, skip, ef;
    uint32_t fusion, group_size;           /* OMEN_FUSE_*; 0: 1 */
    const char *group_by;                  /* NULL: no groups */
    const float *max_distance, *min_score; /* NULL: none */
    const om_condition *where;
    const om_texts *shown; /* NULL: no metadata; none: all fields */
    bool exact, graph_only, explain;
} om_find_params;

enum { OM_STAGES_MAX = 10 };
typedef struct om_search_stage {
    char name[12];
    uint64_t ns;
} om_search_stage;
typedef struct om_search_plan { /* of one query, with params.explain */
    char plan[24];
    uint32_t ef;
    uint64_t distances, hops, scanned, reranked;
    bool filtered;
    double estimated, selectivity;
    uint64_t matches, tests, postings, candidates;
    om_search_stage stages[OM_STAGES_MAX];
    size_t stage_count;
} om_search_plan;
void om_search_plan_stage(om_search_plan *plan, const char *name, uint64_t ns);

typedef struct om_search_result {
    om_ids ids;              /* of all queries, one after the other */
    float *distances;        /* beside the ids; scores, when `scored` */
    uint32_t *groups;        /* beside the ids; of find with group_by */
    om_json_column metadata; /* of find with `shown`, beside the ids */
    bool scored;
    size_t *starts; /* count + 1: where the hits of a query begin */
    om_search_plan *plans;
    size_t cap; /* of distances */
} om_search_result;
void om_search_result_free(om_search_result *r);
/* Room for the starts and plans of `queries` queries. Clears the result. */
bool om_search_result_begin(om_search_result *r, size_t queries, bool plans, om_tool_error *err);
/* Room for `hits` more distances behind r->ids.count. */
bool om_search_result_reserve(om_search_result *r, size_t hits, om_tool_error *err);

typedef struct om_recall_params {
    uint32_t k, ef, samples;
    uint64_t seed;
    bool graph_only;
} om_recall_params;

/* What is wanted of items beside their ids; NULL: not. */
typedef struct om_item_parts {
    void *vectors; /* room for a row, as stored, of every id */
    om_json_column *metadata;
    const om_texts *shown; /* with metadata; NULL or none: all fields */
    uint64_t *versions;    /* get only */
} om_item_parts;

typedef struct om_scan_params {
    size_t most;
    const om_condition *where; /* NULL: all */
    const char *order_by;      /* NULL: as they were written */
    bool descending;
} om_scan_params;

typedef struct om_facet {
    om_json_column values; /* most frequent first */
    uint64_t *counts;
} om_facet;
void om_facet_free(om_facet *f);

/* Single searches in a loop, for measuring: one session a thread. */
typedef struct om_session om_session;

typedef struct om_target_ops {
    void (*close)(om_target *t);
    bool (*describe)(om_target *t, om_target_info *info, om_tool_error *err);
    bool (*fields)(om_target *t, om_field_list *out, om_tool_error *err);
    bool (*declare)(om_target *t, const om_field_list *fields, om_tool_error *err);
    bool (*count)(om_target *t, const om_condition *where, uint64_t *count, om_tool_error *err);
    bool (*facet)(om_target *t, const om_condition *where, const char *field, uint32_t limit,
                  om_facet *out, om_tool_error *err);
    bool (*search)(om_target *t, const om_search_params *p, om_search_result *r,
                   om_tool_error *err);
    /* Appends the hits of one search: r's starts and plans at `query`. */
    bool (*find)(om_target *t, const om_find_params *p, size_t query, om_search_result *r,
                 om_tool_error *err);
    /* found[i] tells whether id i exists; the parts of those that do not are empty. */
    bool (*get)(om_target *t, const om_ids *ids, const om_item_parts *parts, uint8_t *found,
                om_tool_error *err);
    bool (*erase)(om_target *t, const om_ids *ids, uint64_t *removed, om_tool_error *err);
    bool (*erase_where)(om_target *t, const om_condition *where, uint64_t *removed,
                        om_tool_error *err);
    /* The next items of a walk over all of them as they were when it began: at most p->most ids (appended
     * to cleared ids), and their parts. ids->count 0: the end. p is the same for the whole walk, but for
     * most. */
    bool (*scan)(om_target *t, const om_scan_params *p, om_ids *ids, const om_item_parts *parts,
                 om_tool_error *err);
    bool (*recall)(om_target *t, const om_recall_params *p, omen_recall *out, om_tool_error *err);
    bool (*write_begin)(om_target *t, const om_target_write_options *opt, om_tool_error *err);
    bool (*write)(om_target *t, const om_target_batch *batch, om_tool_error *err);
    bool (*write_end)(om_target *t, om_target_written *out, om_tool_error *err);
    bool (*session_open)(om_target *t, const om_search_params *p, size_t in_flight,
                         om_session **out, om_tool_error *err);
    /* Ends one search; *latency_ns tells how long it took. */
    bool (*session_step)(om_session *s, uint64_t *latency_ns, om_tool_error *err);
    void (*session_close)(om_session *s);
} om_target_ops;

struct om_target {
    const om_target_ops *ops;
    uint32_t dim, dtype, id_type, metric; /* of the collection */
};
struct om_session {
    const om_target_ops *ops;
};

/* Where a command is to work. */
typedef struct om_place {
    bool remote;
    const char *db;   /* the folder of a database; NULL: a file or a server */
    const char *name; /* the collection, or the path; NULL: not told */
    size_t args_used; /* of args->rest: 0 or 1 */
    char path[4096];  /* of the segment file */
} om_place;
/* Tells from the options, the environment and the first argument. needed: a name must be there. */
bool om_place_find(const om_args *args, bool needed, om_place *place, om_tool_error *err);

enum { OM_TARGET_READ = 0, OM_TARGET_WRITE = 1 };
bool om_target_open(const om_args *args, const om_place *place, int mode, om_target **out,
                    om_tool_error *err);
void om_target_close(om_target *t);

/* A collection of a database in a folder. */
bool om_embed_open(const om_place *place, int mode, om_target **out, om_tool_error *err);
bool om_embed_create(const om_place *place, const omen_options *opt, om_tool_error *err);
bool om_embed_drop(const om_place *place, om_tool_error *err);
/* The database itself. create: make it when it is missing. */
bool om_embed_database(const char *folder, int mode, bool create, omen_db **out,
                       om_tool_error *err);
bool om_local_open(const om_place *place, int mode, om_target **out, om_tool_error *err);
bool om_local_create(const om_place *place, const omen_options *opt, om_tool_error *err);
bool om_local_drop(const om_place *place, om_tool_error *err);
bool om_remote_open(const om_args *args, const om_place *place, om_target **out,
                    om_tool_error *err);
bool om_remote_create(const om_args *args, const om_place *place, const omen_options *opt,
                      om_tool_error *err);
bool om_remote_drop(const om_args *args, const om_place *place, om_tool_error *err);
/* Calls `each` for every collection, in ascending order. */
typedef void (*om_list_each)(void *ctx, const char *name, const om_target_info *info);
bool om_embed_list(const char *folder, om_list_each each, void *ctx, om_tool_error *err);
bool om_remote_list(const om_args *args, om_list_each each, void *ctx, om_tool_error *err);
typedef struct om_server_info {
    char version[40], isa[24], epoch[64];
    uint32_t abi, format;
    uint64_t max_dim, max_k, max_ef, max_message_bytes, max_batch_items, memory_limit_bytes,
        stream_window_bytes;
} om_server_info;
bool om_remote_info(const om_args *args, om_server_info *out, om_tool_error *err);
#endif
