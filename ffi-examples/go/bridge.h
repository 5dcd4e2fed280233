/* bridge.h - flat calls for cgo. Go may pass a pointer into a slice as an argument, but no struct that
 * holds such pointers; so the structs of omen.h are put together here, on the C stack, for the call.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OMEN_GO_BRIDGE_H
#define OMEN_GO_BRIDGE_H
#include <omen.h>

typedef struct bridge_write {
    uint64_t count, seq, epoch;
    uint32_t dtype, dim, mode, durability, flags, id_type, deletes;
} bridge_write;

typedef struct bridge_query {
    uint64_t timeout_us, min_version;
    uint32_t dtype, dim, count, k, ef, rerank, threads, flags;
    omen_filter *filter;
    omen_op *op;
} bridge_query;

typedef struct bridge_file {
    omen_db *db;
    const char *name, *file;
} bridge_file;

typedef struct bridge_db {
    uint64_t memory_limit, seal_rows;
    uint32_t threads, flags, interval_ms;
} bridge_db;

/* path NULL: in memory. */
omen_status_t bridge_db_open(const char *path, const bridge_db *o, omen_db **out, omen_error *err);
omen_status_t bridge_backup(omen_db *db, const char *path, const char *previous, omen_op *op,
                            omen_backup_result *out, omen_error *err);
/* to NULL: only verifies. */
omen_status_t bridge_restore(const char *from, const char *to, omen_op *op, omen_backup_result *out,
                             omen_error *err);
omen_status_t bridge_open(const bridge_file *f, omen_collection **out, omen_error *err);
/* ids: uint64_t or 16-byte values, or text with count + 1 offsets; metadata: JSON with count + 1
 * offsets; versions: if_version. NULL: none. stream and request are texts with their lengths. */
omen_status_t bridge_write_batch(omen_collection *c, const bridge_write *w, const void *vectors,
                                 const void *ids, const int64_t *offsets, const void *metadata,
                                 const int64_t *metadata_offsets, const uint64_t *versions,
                                 const char *stream, size_t stream_len, const char *request,
                                 size_t request_len, omen_write_result *result, omen_op *op,
                                 omen_error *err);
/* explain and filters: NULL, or [count] each. */
omen_status_t bridge_search(omen_collection *c, const bridge_query *q, const void *vectors,
                            uint64_t *keys, float *distances, uint32_t *counts, uint32_t *flags,
                            omen_explain *explain, omen_filter_explain *filters, uint64_t *version,
                            omen_error *err);
/* The request points to memory of C. counts and flags: [1]; the others as above. */
omen_status_t bridge_find(omen_collection *c, const omen_request *request, uint64_t *keys,
                          float *distances, float *scores, uint32_t *groups, uint32_t *count,
                          uint32_t *flags, omen_explain *explain, omen_filter_explain *filters,
                          uint64_t *version, omen_error *err);
omen_status_t bridge_lookup(omen_collection *c, uint32_t id_type, const void *ids,
                            const int64_t *offsets, uint64_t count, uint64_t *keys, omen_error *err);
#endif
