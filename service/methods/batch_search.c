/* batch_search.c - Items.BatchSearch: several searches in one call, on several workers. A lane takes
 * the next search, answers it, and queues itself again, so that single searches of others come in
 * between. Answers wait in a short list: when the client is slow, the lanes park.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "impls.h"
#include "searcher.h"
#include "wwrite.h"

/* Answers that wait for a slow reader: so many, of so many bytes, and the lanes rest. */
enum { LANES = 16, WAITING = 32, WAITING_BYTES = 4 << 20 };

typedef struct lane {
    om_job job;
    struct batch_call *call;
    bool parked;
} lane;
typedef struct answer {
    struct answer *next;
    om_rpc_out out;
} answer;
typedef struct batch_call {
    om_rpc *rpc;
    om_rt_shared *shared;
    omen_op *op;
    om_rpc_message *message;
    lane lanes[LANES];
    uint32_t lane_count;
    _Atomic uint64_t engine_ns;
    pthread_mutex_t mutex; /* guards what follows, down to the actor's */
    om_wread reader;
    uint32_t taken, total;
    uint32_t busy; /* lanes that work on a search of the message */
    answer *answers, **tail;
    uint32_t waiting, done; /* answers in the list; searches answered */
    size_t waiting_bytes;
    om_slow_search noted; /* sums, and the largest k and ef */
    bool short_of_memory;
    /* The actor's. */
    bool started, writing, ended;
    uint32_t sent;
} batch_call;

/* ---- One search ------------------------------------------------------------------------------ */

static answer *answer_of(uint32_t index, size_t body)
{
    answer *a = malloc(sizeof *a);
    if (a != NULL) {
        a->next = NULL;
        om_rpc_out_init(&a->out, om_wsize_uint(index) + body);
    }
    return a;
}

static answer *failed_answer(uint32_t index, const om_failure *f)
{
    answer *a = answer_of(index, om_wsize_uint(f->code) + om_wsize_len(strlen(f->reason)) +
                                     om_wsize_len(strlen(f->message)));
    if (a != NULL) {
        om_wbuf w = om_wbuf_of(a->out.data, a->out.size);
        om_w_uint(&w, 1, index);
        om_w_uint(&w, 3, f->code);
        om_w_len(&w, 4, strlen(f->reason));
        om_w_raw(&w, f->reason, strlen(f->reason));
        om_w_len(&w, 5, strlen(f->message));
        om_w_raw(&w, f->message, strlen(f->message));
    }
    return a;
}

static answer *found_answer(uint32_t index, const om_searcher *s)
{
    answer *a = answer_of(index, om_wsize_len(s->size));
    if (a != NULL) {
        om_wbuf w = om_wbuf_of(a->out.data, a->out.size);
        om_w_uint(&w, 1, index);
        om_w_len(&w, 2, s->size);
        om_write_search_response(&s->hits, w.at, s->size);
    }
    return a;
}

static void add_noted(batch_call *c, const om_slow_search *one)
{
    om_slow_search *all = &c->noted;
    pthread_mutex_lock(&c->mutex);
    all->searches += one->searches;
    all->legs = one->legs > all->legs ? one->legs : all->legs;
    all->k = one->k > all->k ? one->k : all->k;
    all->ef = one->ef > all->ef ? one->ef : all->ef;
    all->plan = one->plan != 0 ? one->plan : all->plan;
    all->visited += one->visited;
    all->distances += one->distances;
    all->filter_hash = one->filter_hash != 0 ? one->filter_hash : all->filter_hash;
    all->filter_us += one->filter_us;
    pthread_mutex_unlock(&c->mutex);
}

static answer *search_one(batch_call *c, uint32_t index, const om_wire_search *q, om_arena *arena,
                          uint64_t queue_ns)
{
    om_failure f;
    om_searcher s = {.shared = c->shared,
                     .rpc = c->rpc,
                     .request = q,
                     .arena = arena,
                     .op = c->op,
                     .timeout_us = om_rpc_timeout_us(c->rpc),
                     .queue_ns = queue_ns};
    s.coll = om_method_find(c->rpc, q->collection, &f);
    answer *a = NULL;
    if (om_rt_answers_full(c->shared, 0)) {
        om_method_answers_full(&f);
        a = failed_answer(index, &f);
    } else if (s.coll != NULL && om_search_check(q, s.coll, &f) && om_search_run(&s, &f)) {
        a = found_answer(index, &s);
    } else {
        if (f.code == OMEN_DATA_LOSS) {
            om_metrics_checksum_failure(c->shared->opt.metrics);
        }
        a = failed_answer(index, &f);
    }
    add_noted(c, &s.noted);
    atomic_fetch_add_explicit(&c->engine_ns, s.engine_ns, memory_order_relaxed);
    om_search_end(&s);
    om_coll_release(s.coll);
    return a;
}

/* ---- Lanes ----------------------------------------------------------------------------------- */

/* Takes the next search out of the message; the mutex is held. False: it is malformed, *f says how. */
static bool take_next(batch_call *c, om_arena *arena, om_wire_search *q, om_failure *f)
{
    om_wfield field;
    while (om_wread_field(&c->reader, &field)) {
        size_t size = (size_t)field.value;
        if (field.number == 1 && field.type == OM_WT_LEN) {
            size_t outer = om_wread_enter(&c->reader, size);
            size_t end = c->reader.limit;
            bool ok = om_read_search(&c->reader, arena, q, f);
            if (!ok) {
                /* The outer message was walked before, so the next search can still be found. */
                c->reader.bad = NULL;
                c->reader.limit = end;
                om_wread_skip(&c->reader, end - c->reader.pos);
            }
            om_wread_leave(&c->reader, outer);
            return ok;
        }
        if (field.type == OM_WT_LEN) {
            om_wread_skip(&c->reader, size);
        }
    }
    return om_failure_set(f, OMEN_INTERNAL, "INTERNAL", NULL, "the batch ended early");
}

static void add_answer(batch_call *c, answer *a)
{
    pthread_mutex_lock(&c->mutex);
    c->done++;
    if (a != NULL) {
        *c->tail = a;
        c->tail = &a->next;
        c->waiting++;
        c->waiting_bytes += a->out.size;
        om_rt_note_answers(c->shared, (int64_t)a->out.size);
    } else {
        c->short_of_memory = true;
    }
    pthread_mutex_unlock(&c->mutex);
    om_rpc_post(c->rpc);
}

/* A search was answered. With the last one the message goes: the client may take its time with answers. */
static void let_go(batch_call *c)
{
    om_rpc_message *message = NULL;
    pthread_mutex_lock(&c->mutex);
    c->busy--;
    if (c->busy == 0 && c->taken == c->total) {
        message = c->message;
        c->message = NULL;
    }
    pthread_mutex_unlock(&c->mutex);
    om_rpc_message_free(message);
}

static void lane_run(om_job *job, bool expired)
{
    lane *l = (lane *)(void *)job;
    batch_call *c = l->call;
    om_arena arena;
    om_wire_search q;
    om_failure f;
    (void)expired; /* the engine sees the deadline */
    uint64_t waited = om_pool_now_ns() - job->queued_ns;
    pthread_mutex_lock(&c->mutex);
    bool stop = om_rpc_is_cancelled(c->rpc) || c->taken == c->total;
    l->parked = !stop && (c->waiting >= WAITING || c->waiting_bytes >= WAITING_BYTES);
    if (stop || l->parked) {
        om_rpc *rpc = c->rpc;
        pthread_mutex_unlock(&c->mutex);
        om_rpc_release(rpc);
        return;
    }
    om_arena_init(&arena, NULL, 0, c->message->size);
    uint32_t index = c->taken++;
    c->busy++;
    bool ok = take_next(c, &arena, &q, &f);
    pthread_mutex_unlock(&c->mutex);
    om_metrics_queue_wait(c->shared->opt.metrics, waited);
    answer *a = ok ? search_one(c, index, &q, &arena, waited) : failed_answer(index, &f);
    om_arena_reset(&arena);
    let_go(c);
    add_answer(c, a);
    om_pool_submit_always(c->shared->search, job);
}

static void start_lane(batch_call *c, lane *l)
{
    l->job.run = lane_run;
    om_method_lane(c->rpc, &l->job);
    l->call = c;
    l->parked = false;
    om_rpc_hold(c->rpc);
    om_pool_submit_always(c->shared->search, &l->job);
}

/* ---- The actor ------------------------------------------------------------------------------- */

static void finish(batch_call *c)
{
    om_failure f;
    c->ended = true;
    om_rpc_note_engine(c->rpc, 0, atomic_load(&c->engine_ns));
    om_rpc_note_search(c->rpc, &c->noted); /* all have ended */
    if (c->short_of_memory) {
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for an answer");
        f.retry_ms = 1000;
    }
    om_rpc_finish(c->rpc, c->short_of_memory ? &f : NULL);
}

static void send_next(om_rpc *rpc)
{
    batch_call *c = om_rpc_state(rpc);
    if (!c->started || c->writing || c->ended || om_rpc_is_cancelled(rpc)) {
        return;
    }
    pthread_mutex_lock(&c->mutex);
    answer *a = c->answers;
    if (a != NULL) {
        c->answers = a->next;
        c->tail = c->answers == NULL ? &c->answers : c->tail;
        c->waiting--;
        c->waiting_bytes -= a->out.size;
        om_rt_note_answers(c->shared, -(int64_t)a->out.size);
    }
    bool over = a == NULL && c->done == c->total;
    lane *wake[LANES];
    uint32_t woken = 0;
    bool room = c->waiting < WAITING / 2 && c->waiting_bytes < WAITING_BYTES / 2;
    for (uint32_t i = 0; i < c->lane_count && room; i++) {
        if (c->lanes[i].parked) {
            c->lanes[i].parked = false;
            wake[woken++] = &c->lanes[i];
        }
    }
    pthread_mutex_unlock(&c->mutex);
    for (uint32_t i = 0; i < woken; i++) {
        start_lane(c, wake[i]);
    }
    if (a != NULL) {
        c->writing = true;
        om_rpc_write(rpc, &a->out);
        free(a);
    } else if (over) {
        finish(c);
    }
}

static void written(om_rpc *rpc)
{
    batch_call *c = om_rpc_state(rpc);
    c->writing = false;
    send_next(rpc);
}

/* Counts the searches, and sees that the outer message is whole. */
static bool count_searches(batch_call *c, om_failure *f)
{
    om_wread r;
    om_wfield field;
    om_wread_init(&r, c->message->spans, c->message->span_count);
    while (om_wread_field(&r, &field)) {
        c->total += field.number == 1 && field.type == OM_WT_LEN;
        if (field.type == OM_WT_LEN) {
            om_wread_skip(&r, (size_t)field.value);
        }
    }
    if (r.bad != NULL) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL,
                              "BatchSearchRequest is malformed: %s", r.bad);
    }
    if (c->total == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "searches", "searches is empty");
    }
    return c->total <= OM_RT_MAX_SEARCHES ||
           om_failure_limit(f, "searches", c->total, OM_RT_MAX_SEARCHES);
}

static void start(om_rpc *rpc)
{
    batch_call *c = om_rpc_state(rpc);
    c->rpc = rpc;
    c->shared = om_rt_shared_of(om_rpc_runtime(rpc));
    c->op = om_rpc_op(rpc);
    c->tail = &c->answers;
    pthread_mutex_init(&c->mutex, NULL);
}

static void message(om_rpc *rpc, om_rpc_message *received)
{
    batch_call *c = om_rpc_state(rpc);
    om_failure f;
    c->message = received;
    if (!count_searches(c, &f)) {
        c->ended = true;
        om_rpc_finish(rpc, &f);
        return;
    }
    om_method_lane(rpc, &c->lanes[0].job);
    if (!om_pool_has_room(c->shared->search, &c->lanes[0].job)) {
        c->ended = true;
        om_method_fail_full(rpc, "searches");
        return;
    }
    om_wread_init(&c->reader, received->spans, received->span_count);
    uint32_t lanes = c->shared->opt.search_threads < LANES ? c->shared->opt.search_threads : LANES;
    c->lane_count = lanes < c->total ? lanes : c->total;
    c->started = true;
    for (uint32_t i = 0; i < c->lane_count; i++) {
        start_lane(c, &c->lanes[i]);
    }
}

static void destroy(om_rpc *rpc)
{
    batch_call *c = om_rpc_state(rpc);
    while (c->answers != NULL) {
        answer *next = c->answers->next;
        om_rt_note_answers(c->shared, -(int64_t)c->answers->out.size);
        om_rpc_out_drop(&c->answers->out);
        free(c->answers);
        c->answers = next;
    }
    om_rpc_message_free(c->message);
    pthread_mutex_destroy(&c->mutex);
}

const om_rpc_impl om_impl_omen_v1_Items_BatchSearch = {.verb = OM_VERB_READ,
                                                       .state_size = sizeof(batch_call),
                                                       .start = start,
                                                       .message = message,
                                                       .written = written,
                                                       .posted = send_next,
                                                       .destroy = destroy};
