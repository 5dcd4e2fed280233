/* cmd_database.c - stats of a whole database, at a server or in a folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"
#include "remote_operations.h"

static const char *state_name(uint32_t state)
{
    static const char *const names[] = {"writable", "read_only", "disk_full", "failed", "damaged"};
    return state < sizeof names / sizeof *names ? names[state] : "unknown";
}

static bool from_folder(const om_args *args, om_database_info *out, om_tool_error *err)
{
    omen_db *db = NULL;
    omen_error why;
    memset(out, 0, sizeof *out);
    out->persistent = true;
    out->stats.struct_size = sizeof out->stats;
    if (!om_embed_database(args->db, OM_TARGET_READ, false, &db, err)) {
        return false;
    }
    bool ok = omen_get_db_stats(db, &out->stats, &why) == OMEN_OK || om_tool_fail_omen(err, &why);
    omen_db_free(db);
    return ok;
}

static bool from_server(const om_args *args, om_database_info *out, om_tool_error *err)
{
    om_remote_link *r;
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    bool ok = om_remote_database(r, out, err);
    om_remote_link_close(r);
    return ok;
}

static void print_json(const om_database_info *i)
{
    const omen_db_stats *s = &i->stats;
    json_t *o = json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I}", "state",
                          state_name(s->state), "reason", s->reason, "persistent",
                          (int)i->persistent, "backups", (int)i->backups, "version",
                          (json_int_t)s->version, "durable_version", (json_int_t)s->durable_version,
                          "checkpoint_version", (json_int_t)s->checkpoint_version, "collections",
                          (json_int_t)s->collections, "segments", (json_int_t)s->segments);
    (void)json_object_update_new(
        o, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "growing_rows",
                     (json_int_t)s->growing_rows, "log_bytes", (json_int_t)s->log_bytes,
                     "segment_bytes", (json_int_t)s->segment_bytes, "disk_available_bytes",
                     (json_int_t)s->disk_available, "checkpoints", (json_int_t)s->checkpoints,
                     "seals", (json_int_t)s->seals, "merges", (json_int_t)s->merges,
                     "recovered_rows", (json_int_t)s->recovered_rows, "replayed_records",
                     (json_int_t)s->replayed_records));
    om_out_object(o);
}

static void print_text(const char *name, const om_database_info *i)
{
    const omen_db_stats *s = &i->stats;
    char a[32], b[32], c[32];
    (void)printf("%s\n", name);
    (void)printf("  state         %s%s%s%s\n", state_name(s->state),
                 s->reason[0] != '\0' ? ": " : "", s->reason,
                 i->persistent ? "" : ", in memory: nothing is kept");
    (void)printf("  versions      %llu newest, %llu durable, %llu in segments\n",
                 (unsigned long long)s->version, (unsigned long long)s->durable_version,
                 (unsigned long long)s->checkpoint_version);
    (void)printf("  collections   %llu, %llu segments, %s rows growing\n",
                 (unsigned long long)s->collections, (unsigned long long)s->segments,
                 om_out_count(a, s->growing_rows));
    (void)printf("  disk          %s segments, %s log, %s free\n",
                 om_out_bytes(a, s->segment_bytes), om_out_bytes(b, s->log_bytes),
                 om_out_bytes(c, s->disk_available));
    (void)printf("  since start   %llu checkpoints, %llu seals, %llu merges\n",
                 (unsigned long long)s->checkpoints, (unsigned long long)s->seals,
                 (unsigned long long)s->merges);
    if (s->replayed_records > 0) {
        (void)printf("  at the start  %s records replayed in %.0f ms, %s rows recovered\n",
                     om_out_count(a, s->replayed_records), (double)s->replayed_ns / 1e6,
                     om_out_count(b, s->recovered_rows));
    }
}

bool om_cmd_database(const om_args *args, om_tool_error *err)
{
    om_database_info info;
    bool remote = args->server != NULL;
    if (!(remote ? from_server(args, &info, err) : from_folder(args, &info, err))) {
        return false;
    }
    if (args->json) {
        print_json(&info);
    } else {
        print_text(remote ? args->server : args->db, &info);
    }
    return true;
}
