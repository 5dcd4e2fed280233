/* engine.h - databases and collections: what stands behind every call of omen.h. The option structs come
 * complete (capi copies them with zeros behind a shorter one of the caller); everything else, the values
 * in them included, is checked here.
 * Depends on: base, os, simd, ds, quant, store, graph, meta, text, query.  Locks: README, ranks 10-80.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_H
#define OM_ENGINE_H
#include "alloc.h"
#include "base.h"

/* The first member of everything that the caller holds: capi checks it before each call. */
typedef struct om_handle {
    uint64_t magic;      /* OM_MAGIC_*; changed when the caller frees the handle */
    uint32_t generation; /* om_fork_generation() of the process that made it     */
    uint32_t reserved;
} om_handle;
#define OM_MAGIC_RUNTIME UINT64_C(0x6f6d656e2d72756e)
#define OM_MAGIC_DB UINT64_C(0x6f6d656e2d646221)
#define OM_MAGIC_COLLECTION UINT64_C(0x6f6d656e2d636f6c)
#define OM_MAGIC_ROWS UINT64_C(0x6f6d656e2d726f77)
#define OM_MAGIC_FILTER UINT64_C(0x6f6d656e2d666c74)
#define OM_MAGIC_OP UINT64_C(0x6f6d656e2d6f7021)
#define OM_MAGIC_FREED UINT64_C(0x6f6d656e2d676f6e)
/* Every handle type begins with om_handle; omen_op carries the magic in a field of its own. */

/* ---- Runtimes and databases (engine_runtime.c, engine_database.c) ---------------------------- */
omen_status_t om_runtime_create(const omen_runtime_options *opt, omen_runtime **out,
                                omen_error *err);
void om_runtime_free(omen_runtime *rt); /* the caller's reference */
void om_runtime_stats(const omen_runtime *rt, omen_runtime_stats *out);

omen_status_t om_db_open(const char *path, const omen_db_options *opt, omen_db **out,
                         omen_error *err);
void om_db_free(omen_db *db);
omen_status_t om_db_create(omen_db *db, const char *name, const omen_options *opt,
                           omen_collection **out, omen_error *err);
omen_status_t om_db_attach(omen_db *db, const char *name, const omen_open_options *opt,
                           omen_collection **out, omen_error *err);
omen_status_t om_db_drop(omen_db *db, const char *name, omen_error *err);
void om_db_list(omen_db *db, const char *after, char *names, size_t capacity, size_t *count);

/* ---- Collections ----------------------------------------------------------------------------- */
void om_collection_free(omen_collection *handle);
omen_status_t om_collection_describe(omen_collection *handle, omen_options *out, omen_error *err);
omen_status_t om_collection_declare_fields(omen_collection *handle, const omen_field *fields,
                                           uint64_t count, omen_error *err);
omen_status_t om_collection_list_fields(omen_collection *handle, omen_field *fields,
                                        uint64_t capacity, uint64_t *count, omen_error *err);
omen_status_t om_collection_save(omen_collection *handle, const char *path, omen_op *op,
                                 omen_error *err);
omen_status_t om_collection_add(omen_collection *handle, const omen_batch *batch,
                                omen_write_result *result, omen_op *op, omen_error *err);
omen_status_t om_collection_delete(omen_collection *handle, const omen_batch *batch,
                                   omen_write_result *result, omen_op *op, omen_error *err);
typedef struct om_stream_id {
    const char *bytes;
    size_t length;
} om_stream_id;
omen_status_t om_collection_stream_open(omen_collection *handle, om_stream_id id,
                                        uint64_t *last_seq, uint64_t *epoch, omen_error *err);
typedef struct om_wait {
    uint64_t version;
    uint32_t state;
    uint64_t timeout_us;
    omen_op *op;
} om_wait;
omen_status_t om_collection_wait(omen_collection *handle, const om_wait *wait, omen_error *err);
omen_status_t om_collection_progress(omen_collection *handle, omen_write_progress *out,
                                     omen_error *err);
omen_status_t om_collection_search(omen_collection *handle, const omen_query *query,
                                   omen_hits *hits, omen_error *err);
omen_status_t om_collection_lookup(omen_collection *handle, const omen_column *ids, uint64_t count,
                                   uint64_t *keys, omen_error *err);
typedef struct om_get {
    const uint64_t *keys;
    uint64_t count;
    void *out;
    uint64_t stride;
    uint32_t dtype;
    uint8_t *found;
} om_get;
omen_status_t om_collection_get(omen_collection *handle, const om_get *get, omen_error *err);
typedef struct om_fetch {
    const uint64_t *keys;
    uint64_t count;
    uint32_t fields; /* OMEN_FIELD_* */
    bool some;       /* only the named fields of the metadata */
    const char *const *names;
    uint64_t name_count;
} om_fetch;
omen_status_t om_collection_fetch(omen_collection *handle, const om_fetch *in, omen_rows **out,
                                  omen_error *err);
uint64_t om_rows_count(const omen_rows *rows);
void om_rows_column(const omen_rows *rows, uint32_t field, omen_column *out);
void om_rows_free(omen_rows *rows);
/* Keys of live items from *cursor on, in slot order. */
typedef struct om_scan {
    uint64_t *cursor;
    uint64_t *keys;
    uint64_t capacity;
    uint64_t *count;
} om_scan;
omen_status_t om_collection_scan(omen_collection *handle, const om_scan *scan, omen_error *err);
omen_status_t om_collection_count(omen_collection *handle, uint64_t *count, omen_error *err);
/* Legs and structs in `in` are complete. */
omen_status_t om_collection_find(omen_collection *handle, const omen_request *in, omen_hits *hits,
                                 omen_error *err);
typedef struct om_condition {
    const char *text;
    size_t length;
    const omen_param *params;
    uint64_t param_count;
} om_condition;
omen_status_t om_filter_compile(omen_collection *handle, const om_condition *condition,
                                omen_filter **out, omen_error *err);
omen_status_t om_filter_from_keys(omen_collection *handle, const uint64_t *keys, uint64_t count,
                                  omen_filter **out, omen_error *err);
void om_filter_free(omen_filter *handle);
omen_status_t om_collection_count_where(omen_collection *handle, const omen_filter *filter,
                                        uint64_t *out, omen_error *err);
omen_status_t om_collection_delete_where(omen_collection *handle, const omen_filter *filter,
                                         const omen_batch *origin, omen_write_result *result,
                                         omen_op *op, omen_error *err);
typedef struct om_facet {
    const omen_filter *filter;
    const char *field;
    uint32_t limit;
} om_facet;
omen_status_t om_collection_facet(omen_collection *handle, const om_facet *in, omen_rows **out,
                                  omen_error *err);
typedef struct om_item_listing {
    const omen_listing *options; /* complete */
    uint64_t *keys;
    uint64_t capacity;
} om_item_listing;
omen_status_t om_collection_list_items(omen_collection *handle, const om_item_listing *in,
                                       uint64_t *count, omen_error *err);
omen_status_t om_collection_recall(omen_collection *handle, const omen_recall_options *opt,
                                   omen_recall *out, omen_op *op, omen_error *err);
omen_status_t om_collection_stats(omen_collection *handle, omen_stats *out, omen_error *err);

/* ---- Databases on disk ------------------------------------------------------------------------ */
struct om_io;
/* om_db_open over another table of system calls: for tests. No thread of the database runs then. */
omen_status_t om_db_open_io(const struct om_io *io, const char *path, const omen_db_options *opt,
                            omen_db **out, omen_error *err);
omen_status_t om_db_checkpoint(omen_db *db, omen_op *op, omen_error *err);
omen_status_t om_db_refresh(omen_db *db, uint32_t *changed, omen_error *err);
omen_status_t om_db_stats(omen_db *db, omen_db_stats *out, omen_error *err);
omen_status_t om_collection_optimize(omen_collection *handle, omen_op *op, omen_error *err);
omen_status_t om_collection_snapshot(omen_collection *handle, omen_collection **out,
                                     omen_error *err);
omen_status_t om_estimate(const omen_options *opt, uint64_t rows, uint32_t id_bytes,
                          omen_estimate_result *out, omen_error *err);
/* opt is complete; io as in om_db_open_io (NULL: the system's). */
omen_status_t om_backup(omen_db *db, const char *path, const omen_backup_options *opt,
                        omen_backup_result *out, omen_error *err);
omen_status_t om_restore(const struct om_io *io, const char *from, const char *to,
                         const omen_backup_options *opt, omen_backup_result *out, omen_error *err);
omen_status_t om_verify(const struct om_io *io, const char *path, const omen_backup_options *opt,
                        omen_backup_result *out, omen_error *err);

omen_status_t om_op_create(omen_op **out, omen_error *err);
void om_op_free(omen_op *op);
#endif
