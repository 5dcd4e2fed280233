/* capi_write.c - adding, deleting, streams and waiting.
 * SPDX-License-Identifier: Apache-2.0 */
#include "capi_int.h"

static omen_status_t check(const void *collection, omen_error *err)
{
    return om_handle_check(collection, OM_MAGIC_COLLECTION, "c", err);
}

typedef omen_status_t write_fn(omen_collection *c, const omen_batch *batch,
                               omen_write_result *result, omen_op *op, omen_error *err);

static omen_status_t write_batch(write_fn *write, omen_collection *c, const omen_batch *batch,
                                 omen_write_result *result, omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_batch b;
    omen_write_result filled = {.struct_size = sizeof filled};
    size_t room = 0;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(batch, "batch", err));
    OM_TRY(om_struct_in(&b, sizeof b, batch, "omen_batch", err));
    if (result != NULL) {
        OM_TRY(om_struct_room(result, "omen_write_result", &room, err));
    }
    OM_TRY(om_op_check(op, err));
    OM_TRY(write(c, &b, &filled, op, err));
    if (result != NULL) {
        om_struct_out(result, room, &filled, sizeof filled);
    }
out:
    return status;
}

omen_status_t omen_add_batch(omen_collection *c, const omen_batch *batch, omen_write_result *result,
                             omen_op *op, omen_error *err)
{
    return write_batch(om_collection_add, c, batch, result, op, err);
}

omen_status_t omen_delete_batch(omen_collection *c, const omen_batch *batch,
                                omen_write_result *result, omen_op *op, omen_error *err)
{
    return write_batch(om_collection_delete, c, batch, result, op, err);
}

omen_status_t omen_stream_open(omen_collection *c, const char *stream_id, size_t stream_id_len,
                               uint64_t *last_seq, uint64_t *epoch, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(stream_id, "stream_id", err));
    OM_TRY(om_pointer_check(last_seq, "last_seq", err));
    OM_TRY(om_pointer_check(epoch, "epoch", err));
    om_stream_id id = {.bytes = stream_id, .length = stream_id_len};
    OM_TRY(om_collection_stream_open(c, id, last_seq, epoch, err));
out:
    return status;
}

omen_status_t omen_wait(omen_collection *c, uint64_t version, uint32_t state, uint64_t timeout_us,
                        omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_op_check(op, err));
    om_wait wait = {.version = version, .state = state, .timeout_us = timeout_us, .op = op};
    OM_TRY(om_collection_wait(c, &wait, err));
out:
    return status;
}
