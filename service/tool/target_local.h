/* target_local.h - shared by the local targets: segment files and databases in folders.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TARGET_LOCAL_H
#define OM_TARGET_LOCAL_H
#include "target.h"

typedef struct om_local {
    om_target base;
    char *path;
    int lock_fd;
    omen_db *db;
    omen_op *op;                 /* cancelled by Ctrl-C */
    omen_collection *collection; /* the file, mapped read-only */
    omen_options options;
    omen_collection *writing; /* the copy in memory that is written to, or NULL */
    om_target_write_options write_options;
    uint64_t accepted, skipped;
    uint64_t seq, last_seq, epoch; /* of a stream: databases only */
    omen_collection *snapshot;     /* of a scan, else NULL */
    uint64_t cursor;               /* of a scan */
} om_local;

extern const om_target_ops om_local_ops, om_embed_ops;

bool om_local_keys(omen_collection *c, const om_ids *ids, uint64_t *keys, om_tool_error *err);
bool om_local_describe(om_target *base, om_target_info *info, om_tool_error *err);
bool om_local_count(om_target *base, uint64_t *count, om_tool_error *err);
bool om_local_get(om_target *base, const om_ids *ids, void *vectors, uint8_t *found,
                  om_tool_error *err);
bool om_local_scan(om_target *base, size_t most, om_ids *ids, void *vectors, om_tool_error *err);
bool om_local_recall(om_target *base, const om_recall_params *p, omen_recall *out,
                     om_tool_error *err);
bool om_local_search(om_target *base, const om_search_params *p, om_search_result *r,
                     om_tool_error *err);
bool om_local_session_open(om_target *base, const om_search_params *p, size_t in_flight,
                           om_session **out, om_tool_error *err);
bool om_local_session_step(om_session *base, uint64_t *latency_ns, om_tool_error *err);
void om_local_session_close(om_session *base);
bool om_local_erase(om_target *base, const om_ids *ids, uint64_t *removed, om_tool_error *err);
bool om_local_write_begin(om_target *base, const om_target_write_options *opt, om_tool_error *err);
bool om_local_write(om_target *base, const om_target_batch *batch, om_tool_error *err);
bool om_local_write_end(om_target *base, om_target_written *out, om_tool_error *err);
#endif
