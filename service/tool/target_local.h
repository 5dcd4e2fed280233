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
    struct om_local_walk {         /* a scan */
        omen_collection *snapshot; /* NULL: none is under way */
        omen_filter *filter;
        uint64_t cursor, last; /* omen_scan; the last key of omen_list_items */
        uint64_t *keys;        /* a page, handed out from `next` on */
        size_t count, next;
        bool begun, ended;
    } walk;
    omen_filter *filter; /* compiled for `filter_of`, the condition last used */
    const om_condition *filter_of;
} om_local;

extern const om_target_ops om_local_ops, om_embed_ops;

bool om_local_keys(omen_collection *c, const om_ids *ids, uint64_t *keys, om_tool_error *err);
bool om_local_describe(om_target *base, om_target_info *info, om_tool_error *err);
/* Frees what reading has kept: the walk and the filter. */
void om_local_rest(om_local *t);
/* The compiled filter of a condition (NULL: none); the target keeps it. */
bool om_local_filter(om_local *t, const om_condition *where, const omen_filter **out,
                     om_tool_error *err);
bool om_local_compile(omen_collection *c, const om_condition *where, omen_filter **out,
                      om_tool_error *err);
/* Appends the ids of keys that are there, and their metadata and versions where these are wanted. */
bool om_local_take(omen_collection *c, const uint64_t *keys, size_t n, om_ids *ids,
                   const om_item_parts *parts, om_tool_error *err);
bool om_local_fields(om_target *base, om_field_list *out, om_tool_error *err);
bool om_local_count(om_target *base, const om_condition *where, uint64_t *count,
                    om_tool_error *err);
bool om_local_facet(om_target *base, const om_condition *where, const char *field, uint32_t limit,
                    om_facet *out, om_tool_error *err);
bool om_local_get(om_target *base, const om_ids *ids, const om_item_parts *parts, uint8_t *found,
                  om_tool_error *err);
bool om_local_scan(om_target *base, const om_scan_params *p, om_ids *ids,
                   const om_item_parts *parts, om_tool_error *err);
bool om_local_find(om_target *base, const om_find_params *p, size_t query, om_search_result *r,
                   om_tool_error *err);
void om_local_plan(const omen_explain *from, const omen_filter_explain *filter, bool filtered,
                   om_search_plan *to);
bool om_local_recall(om_target *base, const om_recall_params *p, omen_recall *out,
                     om_tool_error *err);
bool om_local_search(om_target *base, const om_search_params *p, om_search_result *r,
                     om_tool_error *err);
bool om_local_session_open(om_target *base, const om_search_params *p, size_t in_flight,
                           om_session **out, om_tool_error *err);
bool om_local_session_step(om_session *base, uint64_t *latency_ns, om_tool_error *err);
void om_local_session_close(om_session *base);
bool om_local_erase(om_target *base, const om_ids *ids, uint64_t *removed, om_tool_error *err);
bool om_local_erase_where(om_target *base, const om_condition *where, uint64_t *removed,
                          om_tool_error *err);
bool om_local_declare(om_target *base, const om_field_list *fields, om_tool_error *err);
bool om_local_write_begin(om_target *base, const om_target_write_options *opt, om_tool_error *err);
bool om_local_write(om_target *base, const om_target_batch *batch, om_tool_error *err);
bool om_local_write_end(om_target *base, om_target_written *out, om_tool_error *err);
#endif
