/* backups.c - Maintenance: ListBackups and DeleteBackup, on administrative workers, since a folder may answer
 * slowly. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "backup_list.h"
#include "impls.h"
#include "method_util.h"
#include "omen/v1/maintenance.pb-c.h"

typedef struct backup_call {
    om_job job;
    om_rpc *rpc;
    const char *text; /* prefix or name; lives in the arena of the call */
} backup_call;

static const char *folder_of(om_rpc *rpc)
{
    return om_rt_shared_of(om_rpc_runtime(rpc))->opt.backup_dir;
}

static void submit(om_rpc *rpc, const char *text, void (*run)(om_job *job, bool expired))
{
    backup_call *c = om_rpc_state(rpc);
    *c = (backup_call){.rpc = rpc, .text = text};
    c->job.run = run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, om_rt_shared_of(om_rpc_runtime(rpc))->keys, &c->job,
                     "administrative calls");
}

/* ---- List ------------------------------------------------------------------------------------------ */

static void answer_list(om_rpc *rpc, om_backup_entry *entries, size_t count)
{
    Omen__V1__ListBackupsResponse r;
    Omen__V1__Backup *rows = calloc(count + 1, sizeof *rows);
    Omen__V1__Backup **pointers = calloc(count + 1, sizeof *pointers);
    omen__v1__list_backups_response__init(&r);
    if (rows != NULL && pointers != NULL) {
        for (size_t i = 0; i < count; i++) {
            omen__v1__backup__init(&rows[i]);
            rows[i].name = entries[i].name;
            rows[i].created_unix_ms = entries[i].created_ms;
            rows[i].files = entries[i].files;
            rows[i].bytes = entries[i].bytes;
            pointers[i] = &rows[i];
        }
        r.n_backups = count;
        r.backups = pointers;
        om_rpc_reply_pb(rpc, &r.base);
    } else {
        om_failure f;
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the list");
        om_rpc_finish(rpc, &f);
    }
    free(rows);
    free(pointers);
}

static void list_run(om_job *job, bool expired)
{
    backup_call *c = (backup_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    om_backup_entry *entries = NULL;
    size_t count = 0;
    om_failure f;
    if (expired) {
        om_method_fail_expired(rpc);
    } else if (om_backup_list(folder_of(rpc), c->text, &entries, &count, &f)) {
        answer_list(rpc, entries, count);
    } else {
        om_rpc_finish(rpc, &f);
    }
    free(entries);
    om_rpc_release(rpc);
}

static void list_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__ListBackupsRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__list_backups_request__descriptor);
    if (q != NULL) {
        submit(rpc, q->prefix, list_run);
    }
}

/* ---- Delete ---------------------------------------------------------------------------------------- */

static void delete_run(om_job *job, bool expired)
{
    backup_call *c = (backup_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    om_failure f;
    if (expired) {
        om_method_fail_expired(rpc);
    } else if (om_backup_remove(folder_of(rpc), c->text, &f)) {
        Omen__V1__DeleteBackupResponse r;
        omen__v1__delete_backup_response__init(&r);
        om_slog(om_rt_shared_of(om_rpc_runtime(rpc))->opt.log, OMEN_LOG_INFO, "maintenance",
                "a backup was deleted", OM_SLOG_STR("target", c->text));
        om_rpc_audit(rpc, "delete_backup", c->text, true);
        om_rpc_reply_pb(rpc, &r.base);
    } else {
        om_rpc_audit(rpc, "delete_backup", c->text, false);
        om_rpc_finish(rpc, &f);
    }
    om_rpc_release(rpc);
}

static void delete_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__DeleteBackupRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__delete_backup_request__descriptor);
    om_failure f;
    if (q == NULL) {
        return;
    }
    if (!om_backup_name_ok(q->name)) {
        om_failure_set(&f, OMEN_INVALID_ARGUMENT, "NAME", "name",
                       "name: this is not the name of a backup");
        om_rpc_finish(rpc, &f);
        return;
    }
    submit(rpc, q->name, delete_run);
}

const om_rpc_impl om_impl_omen_v1_Maintenance_ListBackups = {
    .verb = OM_VERB_ADMIN, .state_size = sizeof(backup_call), .message = list_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_DeleteBackup = {
    .verb = OM_VERB_ADMIN, .state_size = sizeof(backup_call), .message = delete_message};
