/* remote_operations.h - long-running operations of a server, as the commands see them.
 * Depends on: remote.h.  Threads: one at a time.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_REMOTE_OPERATIONS_H
#define OM_REMOTE_OPERATIONS_H
#include "args.h"

typedef struct om_remote_link om_remote_link; /* a connection */

/* The numbers are those of omen.v1.Operation. */
enum { OM_REMOTE_RUNNING = 2, OM_REMOTE_SUCCEEDED = 3, OM_REMOTE_CANCELLED = 5 };
typedef struct om_operation_info {
    char id[64], target[128], reason[40], message[400];
    uint32_t kind, state, code;
    uint64_t done, total, version, files, bytes, files_linked, bytes_copied;
    int64_t started_ms, ended_ms;
} om_operation_info;
const char *om_operation_kind_name(uint32_t kind);
const char *om_operation_state_name(uint32_t state);

bool om_remote_link_open(const om_args *args, om_remote_link **out, om_tool_error *err);
void om_remote_link_close(om_remote_link *r);

/* What to start. name and other: as the messages of maintenance.proto have them. */
typedef enum om_remote_start {
    OM_START_OPTIMIZE,
    OM_START_CHECKPOINT,
    OM_START_BACKUP,
    OM_START_RESTORE,
    OM_START_VERIFY
} om_remote_start;
typedef struct om_remote_what {
    om_remote_start kind;
    const char *name, *other; /* NULL: "" */
    bool copy;
} om_remote_what;
bool om_remote_begin(om_remote_link *r, const om_remote_what *what, om_operation_info *out,
                     om_tool_error *err);
bool om_remote_get(om_remote_link *r, const char *id, om_operation_info *out, om_tool_error *err);
bool om_remote_cancel(om_remote_link *r, const char *id, om_operation_info *out,
                      om_tool_error *err);
/* Answers within timeout_ms. */
bool om_remote_wait(om_remote_link *r, const char *id, uint32_t timeout_ms, om_operation_info *out,
                    om_tool_error *err);
typedef void (*om_operation_each)(void *ctx, const om_operation_info *info);
bool om_remote_operations(om_remote_link *r, om_operation_each each, void *ctx, om_tool_error *err);

/* The backups of the server's folder whose names begin with `prefix`, newest first. */
typedef struct om_backup_info {
    char name[64];
    int64_t created_ms;
    uint64_t files, bytes;
} om_backup_info;
/* *out: free(). */
bool om_remote_backups(om_remote_link *r, const char *prefix, om_backup_info **out, size_t *count,
                       om_tool_error *err);
bool om_remote_delete_backup(om_remote_link *r, const char *name, om_tool_error *err);

/* The database behind the server, or one in a folder. */
typedef struct om_database_info {
    omen_db_stats stats;
    bool persistent, backups;
} om_database_info;
bool om_remote_database(om_remote_link *r, om_database_info *out, om_tool_error *err);
#endif
