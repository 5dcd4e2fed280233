/* search.c - Items.Search. A quick search on a quiet queue runs where it arrived; the rest goes to the
 * search workers, so that health checks and cheap calls never wait behind it. A worker sends the answer
 * itself: that saves the way back through the queue. SPDX-License-Identifier: Apache-2.0 */
#include "impls.h"
#include "searcher.h"

/* Measured on two cores: a hand-over to a worker costs about 4 us of CPU and 30 us of latency. Up to
 * INLINE_NS a search that would delay others by less than a scheduler tick is cheaper in place, as long
 * as few calls share the queue; more calls mean that workers can run them in parallel. */
enum { INLINE_NS = 150000, INLINE_CALLS = 2, INLINE_QUEUE_NS = 1000000 };
enum { LARGE = 64 << 10 /* bytes of an answer */ };

typedef struct search_call {
    om_job job;
    om_rpc *rpc;
    om_coll *coll;
    omen_op *op;
    om_wire_search request;
} search_call;

static void execute(search_call *c, uint64_t queue_ns)
{
    om_rpc *rpc = c->rpc;
    om_failure f;
    om_rpc_out out;
    om_searcher s = {.shared = om_rt_shared_of(om_rpc_runtime(rpc)),
                     .coll = c->coll,
                     .rpc = rpc,
                     .request = &c->request,
                     .arena = om_rpc_arena(rpc),
                     .op = c->op,
                     .timeout_us = om_rpc_timeout_us(rpc),
                     .queue_ns = queue_ns};
    bool ok = om_search_run(&s, &f);
    om_rpc_note_engine(rpc, queue_ns, s.engine_ns);
    om_rpc_note_search(rpc, &s.noted);
    if (ok) {
        om_rpc_out_init(&out, s.size);
        om_write_search_response(&s.hits, out.data, out.size);
        om_rpc_reply(rpc, &out);
    } else {
        om_rpc_finish(rpc, &f);
    }
    bool large = s.size >= LARGE;
    om_search_end(&s);
    if (large) {
        /* The call lives until its client has taken the answer: what it was made of need not. */
        om_arena_reset(om_rpc_arena(rpc));
    }
}

static void run(om_job *job, bool expired)
{
    search_call *c = (search_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    uint64_t waited = om_pool_now_ns() - job->queued_ns;
    om_metrics_queue_wait(s->opt.metrics, waited);
    if (expired) {
        om_method_fail_expired(rpc);
    } else if (!om_rpc_is_cancelled(rpc)) {
        execute(c, waited);
    }
    om_rpc_release(rpc);
}

/* Whether the other calls of the queue can wait for one more search. Where there are as many queue threads
 * as workers, and all have calls, a hand-over wins no parallelism and only the sum of the waiting counts:
 * with 16 calls in flight from each of two clients it saved 8 of 40 us of CPU a call. */
static bool has_room(const search_call *c, uint32_t expected_ns)
{
    const om_rt_options *opt = &om_rt_shared_of(om_rpc_runtime(c->rpc))->opt;
    uint32_t calls = om_rpc_neighbours(c->rpc);
    return calls <= INLINE_CALLS ||
           (opt->cq_threads >= opt->search_threads && om_rpc_all_busy(c->rpc) &&
            (uint64_t)calls * expected_ns < INLINE_QUEUE_NS);
}

/* Whether the search is expected to be so short that it may run on the queue thread. */
static bool is_quick(const search_call *c)
{
    uint32_t expected = atomic_load_explicit(&c->coll->search_ns, memory_order_relaxed);
    return !c->request.rich && !c->request.first.exact && c->request.min_version == 0 &&
           !c->request.with_vectors && !c->request.with_metadata && c->request.first.ef <= 512 &&
           c->request.limit <= 128 && expected > 0 && expected < INLINE_NS && has_room(c, expected);
}

static bool parse(search_call *c, om_rpc_message *message, om_failure *f)
{
    om_wread r;
    om_wread_init(&r, message->spans, message->span_count);
    bool ok = om_read_search(&r, om_rpc_arena(c->rpc), &c->request, f);
    om_rpc_message_free(message);
    if (!ok) {
        return false;
    }
    c->coll = om_method_coll(c->rpc, c->request.collection, f);
    return c->coll != NULL && om_search_check(&c->request, c->coll, f);
}

static void message(om_rpc *rpc, om_rpc_message *received)
{
    search_call *c = om_rpc_state(rpc);
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    c->rpc = rpc;
    if (!parse(c, received, &f)) {
        om_rpc_finish(rpc, &f);
        return;
    }
    if (is_quick(c)) {
        execute(c, 0);
        return;
    }
    c->op = om_rpc_op(rpc);
    c->job.run = run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, s->search, &c->job, "searches");
}

static void destroy(om_rpc *rpc)
{
    search_call *c = om_rpc_state(rpc);
    om_coll_release(c->coll);
}

const om_rpc_impl om_impl_omen_v1_Items_Search = {.verb = OM_VERB_READ,
                                                  .flags = OM_RPC_HOT,
                                                  .state_size = sizeof(search_call),
                                                  .message = message,
                                                  .destroy = destroy};
