/* capi_runtime.c - runtimes and databases: checks, then the engine.
 * SPDX-License-Identifier: Apache-2.0 */
#include "capi_int.h"

/* The handle types begin with their om_handle; what follows is the engine's. */
static const om_handle *head(const void *handle)
{
    return handle;
}

omen_status_t omen_runtime_create(const omen_runtime_options *opt, omen_runtime **out,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_runtime_options options;
    OM_TRY(om_pointer_check(out, "out", err));
    OM_TRY(om_struct_in(&options, sizeof options, opt, "omen_runtime_options", err));
    OM_TRY(om_runtime_create(&options, out, err));
out:
    return status;
}

void omen_runtime_free(omen_runtime *rt)
{
    if (om_handle_owned(head(rt), OM_MAGIC_RUNTIME)) {
        om_runtime_free(rt);
    }
}

omen_status_t omen_get_runtime_stats(omen_runtime *rt, omen_runtime_stats *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_runtime_stats stats = {.struct_size = sizeof stats};
    size_t room = 0;
    OM_TRY(om_handle_check(head(rt), OM_MAGIC_RUNTIME, "rt", err));
    OM_TRY(om_struct_room(out, "omen_runtime_stats", &room, err));
    om_runtime_stats(rt, &stats);
    om_struct_out(out, room, &stats, sizeof stats);
out:
    return status;
}

omen_status_t omen_db_open(const char *path, const omen_db_options *opt, omen_db **out,
                           omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_db_options options;
    OM_TRY(om_pointer_check(out, "out", err));
    OM_TRY(om_struct_in(&options, sizeof options, opt, "omen_db_options", err));
    if (options.runtime != NULL) {
        OM_TRY(om_handle_check(head(options.runtime), OM_MAGIC_RUNTIME, "omen_db_options.runtime",
                               err));
    }
    OM_TRY(om_db_open(path, &options, out, err));
out:
    return status;
}

void omen_db_free(omen_db *db)
{
    if (om_handle_owned(head(db), OM_MAGIC_DB)) {
        om_db_free(db);
    }
}

omen_status_t omen_create(omen_db *db, const char *name, const omen_options *opt,
                          omen_collection **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_options options;
    OM_TRY(om_handle_check(head(db), OM_MAGIC_DB, "db", err));
    OM_TRY(om_pointer_check(name, "name", err));
    OM_TRY(om_pointer_check(opt, "opt", err));
    OM_TRY(om_pointer_check(out, "out", err));
    OM_TRY(om_struct_in(&options, sizeof options, opt, "omen_options", err));
    OM_TRY(om_db_create(db, name, &options, out, err));
out:
    return status;
}

omen_status_t omen_open(omen_db *db, const char *name, const omen_open_options *opt,
                        omen_collection **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_open_options options;
    OM_TRY(om_handle_check(head(db), OM_MAGIC_DB, "db", err));
    OM_TRY(om_pointer_check(name, "name", err));
    OM_TRY(om_pointer_check(out, "out", err));
    OM_TRY(om_struct_in(&options, sizeof options, opt, "omen_open_options", err));
    OM_TRY(om_op_check(options.op, err));
    OM_TRY(om_db_attach(db, name, &options, out, err));
out:
    return status;
}

omen_status_t omen_drop(omen_db *db, const char *name, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_handle_check(head(db), OM_MAGIC_DB, "db", err));
    OM_TRY(om_pointer_check(name, "name", err));
    OM_TRY(om_db_drop(db, name, err));
out:
    return status;
}

omen_status_t omen_list(omen_db *db, const char *after, char *names, size_t capacity, size_t *count,
                        omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_handle_check(head(db), OM_MAGIC_DB, "db", err));
    OM_TRY(om_pointer_check(count, "count", err));
    if (capacity != 0) {
        OM_TRY(om_pointer_check(names, "names", err));
    }
    om_db_list(db, after, names, capacity, count);
out:
    return status;
}
