/* capi_watch.c - omen_op: progress and cancellation of a running call.
 * SPDX-License-Identifier: Apache-2.0 */
#include "capi_int.h"

omen_status_t omen_op_create(omen_op **out, omen_error *err)
{
    omen_status_t status = om_pointer_check(out, "out", err);
    return status != OMEN_OK ? status : om_op_create(out, err);
}

void omen_op_free(omen_op *op)
{
    if (op != NULL && op->magic == OM_MAGIC_OP) {
        om_op_free(op);
    }
}

void omen_op_reset(omen_op *op)
{
    if (op != NULL) {
        atomic_store(&op->cancelled, 0);
        om_op_report(op, 0, 0, 0);
    }
}

/* One store to a lock-free atomic: may be called from a signal handler. */
void omen_op_cancel(omen_op *op)
{
    if (op != NULL) {
        atomic_store(&op->cancelled, 1);
    }
}

void omen_op_progress(const omen_op *op, omen_progress *out)
{
    if (out == NULL) {
        return;
    }
    *out = (omen_progress){.done = 0};
    if (op != NULL) {
        out->done = atomic_load_explicit(&op->done, memory_order_relaxed);
        out->total = atomic_load_explicit(&op->total, memory_order_relaxed);
        out->stage = atomic_load_explicit(&op->stage, memory_order_relaxed);
    }
}
