/* batch_write.c - Items.BatchWrite: one atomic batch, parsed and applied on an ingest worker.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "impls.h"
#include "search_reader.h"
#include "wwrite.h"

enum { RETRY_NS = 4000000 };           /* between two tries while the index is behind */
#define STALL_NS UINT64_C(10000000000) /* that a call waits for memory */

typedef struct write_call {
    om_job job;
    om_rpc *rpc;
    om_coll *coll;
    om_rpc_message *message;
    omen_op *op;
    om_wbuffer buffer;
    om_wire_batch batch;
    om_apply apply;
    bool parsed;
    uint32_t durability;
    size_t held;                   /* bytes of the message, counted until the end */
    uint64_t arrived_ns, queue_ns; /* queue: until a worker took it first */
    uint64_t stalled_ns; /* when the index was first found too far behind; 0: it was not */
    char collection[OMEN_MAX_NAME + 1];
    char request_id[OMEN_MAX_REQUEST_ID + 1];
} write_call;

static void release_message(write_call *c)
{
    om_rpc_message_free(c->message);
    c->message = NULL;
}

static bool request_field(write_call *c, om_wread *r, const om_wfield *field, bool *had_batch,
                          om_failure *f)
{
    size_t size = (size_t)field->value;
    if (field->number == 1 && field->type == OM_WT_LEN) {
        return om_read_name(r, size, "collection", c->collection, sizeof c->collection, f);
    }
    if (field->number == 2 && field->type == OM_WT_LEN) {
        return om_read_name(r, size, "request_id", c->request_id, sizeof c->request_id, f);
    }
    if (field->number == 3 && field->type == OM_WT_VARINT) {
        c->durability = field->value > OMEN_DURABILITY_BATCH ? UINT32_MAX : (uint32_t)field->value;
        return c->durability != UINT32_MAX ||
               om_failure_limit(f, "durability", field->value, OMEN_DURABILITY_BATCH);
    }
    if (field->number == 4 && field->type == OM_WT_LEN && !*had_batch) {
        *had_batch = true;
        size_t outer = om_wread_enter(r, size);
        bool ok = om_read_write_batch(r, &c->buffer, &c->batch, f);
        if (ok) {
            om_wread_leave(r, outer);
        }
        return ok;
    }
    if (field->number <= 4) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL,
                              "BatchWriteRequest is malformed: field %u", field->number);
    }
    if (field->type == OM_WT_LEN) {
        om_wread_skip(r, size);
    }
    return true;
}

static bool parse(write_call *c, om_failure *f)
{
    om_wread r;
    om_wfield field;
    bool had_batch = false;
    om_wread_init(&r, c->message->spans, c->message->span_count);
    while (om_wread_field(&r, &field)) {
        if (!request_field(c, &r, &field, &had_batch, f)) {
            return false;
        }
    }
    if (r.bad != NULL) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL,
                              "BatchWriteRequest is malformed: %s", r.bad);
    }
    if (!had_batch) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "batch", "batch is not set");
    }
    if (c->batch.seq != 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "SEQUENCE", "batch.seq",
                              "batch.seq is %llu, a BatchWrite has 0: streams use StreamWrite",
                              (unsigned long long)c->batch.seq);
    }
    c->coll = om_method_coll(c->rpc, c->collection, f);
    return c->coll != NULL;
}

static void reply(write_call *c)
{
    om_failure first;
    size_t errors = 0;
    uint8_t *items = om_apply_item_errors(&c->apply, 5, &errors, &first);
    const omen_write_result *w = &c->apply.result;
    om_rpc_out out;
    om_rpc_out_init(&out, om_wsize_fixed64(w->version) + om_wsize_uint(w->applied) +
                              om_wsize_uint(w->replaced) + (w->replayed != 0 ? 2 : 0) + errors);
    om_wbuf b = om_wbuf_of(out.data, out.size);
    om_w_fixed64(&b, 1, w->version);
    om_w_uint(&b, 2, w->applied);
    om_w_uint(&b, 3, w->replaced);
    om_w_uint(&b, 4, w->replayed != 0 ? 1 : 0);
    om_w_raw(&b, items, errors);
    free(items);
    om_rpc_reply(c->rpc, &out);
}

/* One try. False: the index is behind, try again later. */
static bool attempt(write_call *c)
{
    om_failure f;
    bool final = false;
    if (!c->parsed) {
        if (!parse(c, &f)) {
            om_rpc_finish(c->rpc, &f);
            return true;
        }
        c->parsed = true;
        release_message(c);
        c->apply = (om_apply){.shared = om_rt_shared_of(om_rpc_runtime(c->rpc)),
                              .coll = c->coll,
                              .batch = &c->batch,
                              .durability = c->durability,
                              .request_id = c->request_id[0] != '\0' ? c->request_id : NULL,
                              .op = c->op};
    }
    switch (om_apply_run(&c->apply, &final, &f)) {
    case OM_APPLIED:
        if (c->apply.result.replayed == 0) {
            om_metrics_ingest_visible(c->apply.shared->opt.metrics,
                                      om_pool_now_ns() - c->arrived_ns);
        }
        reply(c);
        return true;
    case OM_APPLY_FAILED:
        om_rpc_finish(c->rpc, &f);
        return true;
    default:
        /* A stopping server refuses what it cannot take now, and memory may never come back; otherwise
         * the writer waits. */
        if (om_rpc_draining(c->rpc) || (c->apply.short_of_memory && c->stalled_ns != 0 &&
                                        om_pool_now_ns() - c->stalled_ns > STALL_NS)) {
            om_rpc_finish(c->rpc, &f);
            return true;
        }
        return false;
    }
}

static void run(om_job *job, bool expired)
{
    write_call *c = (write_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    c->queue_ns = c->queue_ns == 0 ? om_pool_now_ns() - c->arrived_ns : c->queue_ns;
    if (expired) {
        om_method_fail_expired(rpc);
    } else if (!om_rpc_is_cancelled(rpc) && !attempt(c)) {
        c->stalled_ns = c->stalled_ns == 0 ? om_pool_now_ns() : c->stalled_ns;
        om_pool_submit_later(s->ingest, job, RETRY_NS);
        return;
    }
    if (c->stalled_ns != 0) {
        om_metrics_ingest_stall(s->opt.metrics,
                                c->apply.short_of_memory ? OM_STALL_MEMORY : OM_STALL_BACKLOG,
                                om_pool_now_ns() - c->stalled_ns);
    }
    om_rpc_note_engine(rpc, c->queue_ns, c->apply.engine_ns);
    om_rpc_release(rpc);
}

static void message(om_rpc *rpc, om_rpc_message *received)
{
    write_call *c = om_rpc_state(rpc);
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    c->rpc = rpc;
    c->message = received;
    if (om_rt_ingest_full(s)) {
        om_method_fail_full(rpc, "batches");
        return;
    }
    c->held = received->size;
    c->arrived_ns = om_pool_now_ns();
    om_rt_note_ingest(s, (int64_t)c->held);
    c->op = om_rpc_op(rpc);
    c->job.run = run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, s->ingest, &c->job, "batches");
}

static void destroy(om_rpc *rpc)
{
    write_call *c = om_rpc_state(rpc);
    om_rt_note_ingest(om_rt_shared_of(om_rpc_runtime(rpc)), -(int64_t)c->held);
    release_message(c);
    om_apply_end(&c->apply);
    om_wbuffer_free(&c->buffer);
    om_coll_release(c->coll);
}

const om_rpc_impl om_impl_omen_v1_Items_BatchWrite = {.verb = OM_VERB_WRITE,
                                                      .state_size = sizeof(write_call),
                                                      .message = message,
                                                      .destroy = destroy};
