/* capi_collection.c - a collection as a whole: description, file, snapshot, numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "capi_int.h"

static omen_status_t check(const void *collection, omen_error *err)
{
    return om_handle_check(collection, OM_MAGIC_COLLECTION, "c", err);
}

void omen_collection_free(omen_collection *c)
{
    const void *head = c;
    if (om_handle_owned(head, OM_MAGIC_COLLECTION)) {
        om_collection_free(c);
    }
}

omen_status_t omen_describe(omen_collection *c, omen_options *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_options options;
    size_t room = 0;
    OM_TRY(check(c, err));
    OM_TRY(om_struct_room(out, "omen_options", &room, err));
    OM_TRY(om_collection_describe(c, &options, err));
    om_struct_out(out, room, &options, sizeof options);
out:
    return status;
}

omen_status_t omen_declare_fields(omen_collection *c, const omen_field *fields, uint64_t count,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    if (count != 0) {
        OM_TRY(om_pointer_check(fields, "fields", err));
    }
    OM_TRY(om_collection_declare_fields(c, fields, count, err));
out:
    return status;
}

omen_status_t omen_list_fields(omen_collection *c, omen_field *fields, uint64_t capacity,
                               uint64_t *count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    if (capacity != 0) {
        OM_TRY(om_pointer_check(fields, "fields", err));
    }
    OM_TRY(om_pointer_check(count, "count", err));
    OM_TRY(om_collection_list_fields(c, fields, capacity, count, err));
out:
    return status;
}

omen_status_t omen_save(omen_collection *c, const char *path, omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(path, "path", err));
    OM_TRY(om_op_check(op, err));
    OM_TRY(om_collection_save(c, path, op, err));
out:
    return status;
}

omen_status_t omen_optimize(omen_collection *c, omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_op_check(op, err));
    OM_TRY(om_collection_optimize(c, op, err));
out:
    return status;
}

omen_status_t omen_snapshot(omen_collection *c, omen_collection **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(out, "out", err));
    OM_TRY(om_collection_snapshot(c, out, err));
out:
    return status;
}

omen_status_t omen_count(omen_collection *c, uint64_t *count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(count, "count", err));
    OM_TRY(om_collection_count(c, count, err));
out:
    return status;
}

omen_status_t omen_get_stats(omen_collection *c, omen_stats *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_stats stats = {.struct_size = sizeof stats};
    size_t room = 0;
    OM_TRY(check(c, err));
    OM_TRY(om_struct_room(out, "omen_stats", &room, err));
    OM_TRY(om_collection_stats(c, &stats, err));
    om_struct_out(out, room, &stats, sizeof stats);
out:
    return status;
}

omen_status_t omen_get_progress(omen_collection *c, omen_write_progress *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_write_progress progress = {.struct_size = sizeof progress};
    size_t room = 0;
    OM_TRY(check(c, err));
    OM_TRY(om_struct_room(out, "omen_write_progress", &room, err));
    OM_TRY(om_collection_progress(c, &progress, err));
    om_struct_out(out, room, &progress, sizeof progress);
out:
    return status;
}

omen_status_t omen_measure_recall(omen_collection *c, const omen_recall_options *opt,
                                  omen_recall *out, omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_recall_options options;
    omen_recall recall = {.struct_size = sizeof recall};
    size_t room = 0;
    OM_TRY(check(c, err));
    OM_TRY(om_struct_in(&options, sizeof options, opt, "omen_recall_options", err));
    OM_TRY(om_struct_room(out, "omen_recall", &room, err));
    OM_TRY(om_op_check(op, err));
    OM_TRY(om_collection_recall(c, &options, &recall, op, err));
    om_struct_out(out, room, &recall, sizeof recall);
out:
    return status;
}
