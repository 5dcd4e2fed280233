/* capi_disk.c - databases on disk, their backups, and what data will take: checks, then the engine.
 * SPDX-License-Identifier: Apache-2.0 */
#include "capi_int.h"

/* The handle types begin with their om_handle; what follows is the engine's. */
static omen_status_t check_db(const void *db, omen_error *err)
{
    return om_handle_check(db, OM_MAGIC_DB, "db", err);
}

omen_status_t omen_checkpoint(omen_db *db, omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check_db(db, err));
    OM_TRY(om_op_check(op, err));
    OM_TRY(om_db_checkpoint(db, op, err));
out:
    return status;
}

omen_status_t omen_refresh(omen_db *db, uint32_t *changed, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t moved = 0;
    OM_TRY(check_db(db, err));
    OM_TRY(om_db_refresh(db, &moved, err));
    if (changed != NULL) {
        *changed = moved;
    }
out:
    return status;
}

omen_status_t omen_get_db_stats(omen_db *db, omen_db_stats *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_db_stats stats = {.struct_size = sizeof stats};
    size_t room = 0;
    OM_TRY(check_db(db, err));
    OM_TRY(om_struct_room(out, "omen_db_stats", &room, err));
    OM_TRY(om_db_stats(db, &stats, err));
    om_struct_out(out, room, &stats, sizeof stats);
out:
    return status;
}

/* ---- Backups ----------------------------------------------------------------------------------- */

/* Options, and where the result goes (*room 0: nowhere). */
static omen_status_t read_backup(const omen_backup_options *opt, const omen_backup_result *out,
                                 omen_backup_options *options, size_t *room, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    *room = 0;
    OM_TRY(om_struct_in(options, sizeof *options, opt, "omen_backup_options", err));
    if (options->runtime != NULL) {
        const void *runtime = options->runtime;
        OM_TRY(om_handle_check(runtime, OM_MAGIC_RUNTIME, "omen_backup_options.runtime", err));
    }
    OM_TRY(om_op_check(options->op, err));
    if (out != NULL) {
        OM_TRY(om_struct_room(out, "omen_backup_result", room, err));
    }
out:
    return status;
}

static void write_backup(omen_backup_result *out, size_t room, const omen_backup_result *result)
{
    if (room != 0) {
        om_struct_out(out, room, result, sizeof *result);
    }
}

omen_status_t omen_backup(omen_db *db, const char *path, const omen_backup_options *opt,
                          omen_backup_result *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_backup_options options;
    omen_backup_result result = {.struct_size = sizeof result};
    size_t room = 0;
    OM_TRY(check_db(db, err));
    OM_TRY(om_pointer_check(path, "path", err));
    OM_TRY(read_backup(opt, out, &options, &room, err));
    OM_TRY(om_backup(db, path, &options, &result, err));
    write_backup(out, room, &result);
out:
    return status;
}

omen_status_t omen_restore(const char *from, const char *to, const omen_backup_options *opt,
                           omen_backup_result *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_backup_options options;
    omen_backup_result result = {.struct_size = sizeof result};
    size_t room = 0;
    OM_TRY(om_pointer_check(from, "from", err));
    OM_TRY(om_pointer_check(to, "to", err));
    OM_TRY(read_backup(opt, out, &options, &room, err));
    OM_TRY(om_restore(NULL, from, to, &options, &result, err));
    write_backup(out, room, &result);
out:
    return status;
}

omen_status_t omen_verify(const char *path, const omen_backup_options *opt, omen_backup_result *out,
                          omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_backup_options options;
    omen_backup_result result = {.struct_size = sizeof result};
    size_t room = 0;
    OM_TRY(om_pointer_check(path, "path", err));
    OM_TRY(read_backup(opt, out, &options, &room, err));
    OM_TRY(om_verify(NULL, path, &options, &result, err));
    write_backup(out, room, &result);
out:
    return status;
}

omen_status_t omen_estimate(const omen_options *opt, uint64_t rows, uint32_t id_bytes,
                            omen_estimate_result *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_options options;
    omen_estimate_result result = {.struct_size = sizeof result};
    size_t room = 0;
    OM_TRY(om_pointer_check(opt, "opt", err));
    OM_TRY(om_struct_in(&options, sizeof options, opt, "omen_options", err));
    OM_TRY(om_struct_room(out, "omen_estimate_result", &room, err));
    OM_TRY(om_estimate(&options, rows, id_bytes, &result, err));
    om_struct_out(out, room, &result, sizeof result);
out:
    return status;
}
