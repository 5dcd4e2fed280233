/* recall.c - the queue of copied queries, the thread that measures them, what it tells.
 * SPDX-License-Identifier: Apache-2.0 */
#include "recall.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "recall_int.h"

#define NS_PER_SECOND UINT64_C(1000000000)
enum { MEASURED = 0, DROPPED = 1, SKIPPED = 2, FAILED = 3, RESULTS = 4 };

struct om_recall {
    om_recall_options options;
    uint32_t threshold;  /* a random number up to it is a search to look at */
    uint64_t most_bytes; /* of vectors that one measurement may read */
    om_cell_t samples[RESULTS], cpu;
    omen_op *op; /* cancelled by free */
    pthread_t thread;
    bool threaded;
    pthread_mutex_t mutex; /* guards what follows; never held while anything is measured */
    pthread_cond_t wake;
    bool stop;
    uint32_t first, waiting;
    om_recall_job *ring[OM_RECALL_WAITING];
    om_recall_table table;
};

/* ---- Time ------------------------------------------------------------------------------------ */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t = {0, 0};
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

/* Reading all vectors of a collection must not push everything else out of memory: that of the container,
 * or of the machine. */
static uint64_t quarter_of_memory(void)
{
    uint64_t all = om_config_cgroup_memory("/");
    return all > 0 ? all / 4 : UINT64_C(1) << 30;
}

/* ---- Offering -------------------------------------------------------------------------------- */

/* Random, so that a workload that repeats every so many searches is not sampled at one beat of it. */
bool om_recall_wants(om_recall *r)
{
    static _Thread_local uint32_t state;
    if (r == NULL) {
        return false;
    }
    if (state == 0) {
        state = (uint32_t)(clock_ns(CLOCK_MONOTONIC) ^ (uintptr_t)&state) | 1u;
    }
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state <= r->threshold;
}

static size_t data_size(const omen_param *p)
{
    switch (p->type) {
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_BYTES:
        return p->count > 0 ? (size_t)p->offsets[p->count] : 0;
    case OMEN_TYPE_BOOL:
        return p->count;
    default:
        return p->count * sizeof(uint64_t);
    }
}

static size_t padded(size_t size)
{
    return (size + 63) & ~(size_t)63;
}

static size_t offsets_size(const omen_param *p)
{
    return p->offsets != NULL ? ((size_t)p->count + 1) * sizeof *p->offsets : 0;
}

static size_t size_of(const om_recall_query *q)
{
    size_t size = padded(sizeof(om_recall_job)) + padded(q->vector_size) + padded(q->filter_size) +
                  padded(q->param_count * sizeof *q->params);
    for (uint32_t i = 0; i < q->param_count && size <= OM_RECALL_MAX_BYTES; i++) {
        size += padded(data_size(&q->params[i])) + padded(offsets_size(&q->params[i]));
    }
    return size;
}

static const void *keep(uint8_t **at, const void *data, size_t size)
{
    void *to = *at;
    if (size > 0) {
        memcpy(to, data, size);
    }
    *at += padded(size);
    return to;
}

static om_recall_job *copy_of(const om_recall_query *q, size_t size)
{
    om_recall_job *job = aligned_alloc(64, size);
    if (job == NULL) {
        return NULL;
    }
    uint8_t *at = (uint8_t *)job + padded(sizeof *job);
    job->query = *q;
    (void)snprintf(job->name, sizeof job->name, "%s", q->name);
    job->query.name = job->name;
    job->query.vector = keep(&at, q->vector, q->vector_size);
    job->query.filter = q->filter != NULL ? keep(&at, q->filter, q->filter_size) : NULL;
    omen_param *params = (omen_param *)(void *)at;
    (void)keep(&at, q->params, q->param_count * sizeof *params);
    for (uint32_t i = 0; i < q->param_count; i++) {
        const omen_param *p = &q->params[i];
        params[i].data = keep(&at, p->data, data_size(p));
        params[i].offsets = p->offsets != NULL ? keep(&at, p->offsets, offsets_size(p)) : NULL;
    }
    job->query.params = params;
    job->query.hold(job->query.owner);
    return job;
}

static void drop(om_recall_job *job)
{
    if (job != NULL) {
        job->query.release(job->query.owner);
        free(job);
    }
}

/* The mutex is held. */
static bool has_room(const om_recall *r, const char *name)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < r->waiting; i++) {
        same += strcmp(r->ring[(r->first + i) % OM_RECALL_WAITING]->name, name) == 0;
    }
    return r->waiting < OM_RECALL_WAITING && same < OM_RECALL_WAITING_EACH && !r->stop;
}

/* Looked at twice, so that what is dropped in a busy hour is not copied first. */
static bool enqueue(om_recall *r, const om_recall_query *q, size_t size)
{
    (void)pthread_mutex_lock(&r->mutex);
    bool room = has_room(r, q->name);
    (void)pthread_mutex_unlock(&r->mutex);
    om_recall_job *job = room ? copy_of(q, size) : NULL;
    if (job == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&r->mutex);
    room = has_room(r, q->name);
    if (room) {
        r->ring[(r->first + r->waiting++) % OM_RECALL_WAITING] = job;
        (void)pthread_cond_signal(&r->wake);
    }
    (void)pthread_mutex_unlock(&r->mutex);
    if (!room) {
        drop(job);
    }
    return room;
}

bool om_recall_suits(uint32_t plan)
{
    return plan == OMEN_PLAN_GRAPH || (plan >= OMEN_PLAN_FILTER_IN && plan <= OMEN_PLAN_ABANDONED);
}

void om_recall_offer(om_recall *r, const om_recall_query *q)
{
    if (r == NULL) {
        return;
    }
    size_t size = size_of(q);
    if (size > OM_RECALL_MAX_BYTES || q->k == 0) {
        om_metrics_add(r->options.metrics, r->samples[SKIPPED], 1);
    } else if (!enqueue(r, q, size)) {
        om_metrics_add(r->options.metrics, r->samples[DROPPED], 1);
    }
}

/* ---- Measuring ------------------------------------------------------------------------------- */

static om_recall_job *take(om_recall *r)
{
    om_recall_job *job = NULL;
    (void)pthread_mutex_lock(&r->mutex);
    if (r->waiting > 0) {
        job = r->ring[r->first];
        r->first = (r->first + 1) % OM_RECALL_WAITING;
        r->waiting--;
    }
    (void)pthread_mutex_unlock(&r->mutex);
    return job;
}

/* A query whose plan is not a walk any more (the collection shrank) has nothing to be missed. */
static uint32_t account(om_recall *r, const om_recall_job *job, om_recall_end_t end,
                        const om_recall_result *result)
{
    if (end == OM_RECALL_TOO_LARGE) {
        return SKIPPED;
    }
    if (end == OM_RECALL_FAILED) {
        return FAILED;
    }
    if (result->wanted == 0 || !om_recall_suits(result->plan)) {
        return SKIPPED;
    }
    (void)pthread_mutex_lock(&r->mutex);
    bool added = om_recall_table_add(&r->table, job->name, result);
    (void)pthread_mutex_unlock(&r->mutex);
    return added ? MEASURED : DROPPED;
}

bool om_recall_step(om_recall *r)
{
    om_recall_result result;
    om_recall_job *job = take(r);
    if (job == NULL) {
        return false;
    }
    om_recall_end_t end = om_recall_measure(&job->query, r->most_bytes, r->op, &result);
    om_metrics_add(r->options.metrics, r->samples[account(r, job, end, &result)], 1);
    drop(job);
    return true;
}

/* Waits until there is a query, and not before `due`; false: the end. */
static bool await(om_recall *r, uint64_t due)
{
    struct timespec at = {(time_t)(due / NS_PER_SECOND), (long)(due % NS_PER_SECOND)};
    (void)pthread_mutex_lock(&r->mutex);
    while (!r->stop && clock_ns(CLOCK_MONOTONIC) < due) {
        (void)pthread_cond_timedwait(&r->wake, &r->mutex, &at);
    }
    while (!r->stop && r->waiting == 0) {
        (void)pthread_cond_wait(&r->wake, &r->mutex);
    }
    bool go_on = !r->stop;
    (void)pthread_mutex_unlock(&r->mutex);
    return go_on;
}

/* Last in line for processor and disk. Not SCHED_IDLE: that may be left standing for long with a lock of
 * the engine in its hand. */
static void step_back(void)
{
    (void)pthread_setname_np(pthread_self(), "omend-recall");
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
    (void)syscall(SYS_ioprio_set, 1 /* a thread */, 0 /* this one */, 3 << 13 /* idle */);
}

static void *thread_main(void *arg)
{
    om_recall *r = arg;
    uint64_t due = 0;
    step_back();
    while (await(r, due)) {
        uint64_t begun = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        (void)om_recall_step(r);
        uint64_t used = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun;
        om_metrics_add(r->options.metrics, r->cpu, used);
        due = clock_ns(CLOCK_MONOTONIC) + used * 1000 / r->options.permille;
    }
    return NULL;
}

/* ---- Telling --------------------------------------------------------------------------------- */

typedef struct figure {
    const char *name, *help;
} figure;
static const figure figures[4] = {
    {"omendb_recall_estimate", "True neighbours that searches find, of those there are."},
    {"omendb_recall_low", "Lower end of the estimate's 95 % interval."},
    {"omendb_recall_high", "Upper end of the estimate's 95 % interval."},
    {"omendb_recall_queries", "Queries behind the estimate; old ones weigh less."}};

static double figure_of(const om_recall_estimate *e, size_t i)
{
    return i == 0 ? e->recall : i == 1 ? e->low : i == 2 ? e->high : e->queries;
}

/* Collections without a label of their own are one, by plan. The mutex of the monitor is held. */
static void sum_others(const om_recall *r, const om_metrics_labelled *labelled,
                       om_recall_series *others)
{
    for (size_t i = 0; i < r->table.count; i++) {
        const om_recall_series *s = &r->table.items[i];
        if (!om_metrics_has_label(labelled, s->collection)) {
            om_recall_merge(&others[s->plan], s);
        }
    }
}

static void put_one(om_page *page, const om_recall_series *s, const char *name, size_t i)
{
    om_recall_estimate e;
    om_recall_estimate_of(s, &e);
    om_page_printf(page, "%s{collection=\"%s\",plan=\"%s\"} %.6g\n", figures[i].name, name,
                   omen_plan_name(s->plan), figure_of(&e, i));
}

static void put_estimates(void *ctx, om_page *page, const om_metrics_labelled *labelled)
{
    om_recall *r = ctx;
    om_recall_series others[OMEN_PLAN_HYBRID + 1];
    memset(others, 0, sizeof others);
    (void)pthread_mutex_lock(&r->mutex);
    sum_others(r, labelled, others);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        om_page_put_family(page, figures[i].name, "gauge", figures[i].help);
        for (size_t k = 0; k < r->table.count; k++) {
            if (om_metrics_has_label(labelled, r->table.items[k].collection)) {
                put_one(page, &r->table.items[k], r->table.items[k].collection, i);
            }
        }
        for (uint32_t plan = 0; plan <= OMEN_PLAN_HYBRID; plan++) {
            others[plan].plan = plan;
            if (others[plan].queries > 0) {
                put_one(page, &others[plan], "_other", i);
            }
        }
    }
    (void)pthread_mutex_unlock(&r->mutex);
}

size_t om_recall_copy(om_recall *r, om_recall_estimate *out, size_t capacity)
{
    if (r == NULL) {
        return 0;
    }
    (void)pthread_mutex_lock(&r->mutex);
    size_t count = r->table.count;
    for (size_t i = 0; i < count && i < capacity; i++) {
        om_recall_estimate_of(&r->table.items[i], &out[i]);
    }
    (void)pthread_mutex_unlock(&r->mutex);
    return count;
}

bool om_recall_lowest(om_recall *r, om_recall_estimate *out)
{
    bool found = false;
    if (r == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&r->mutex);
    for (size_t i = 0; i < r->table.count; i++) {
        om_recall_estimate e;
        om_recall_estimate_of(&r->table.items[i], &e);
        if (!found || e.recall < out->recall) {
            *out = e;
            found = true;
        }
    }
    (void)pthread_mutex_unlock(&r->mutex);
    return found;
}

void om_recall_forget(om_recall *r, const char *collection)
{
    if (r != NULL) {
        (void)pthread_mutex_lock(&r->mutex);
        om_recall_table_forget(&r->table, collection);
        (void)pthread_mutex_unlock(&r->mutex);
    }
}

/* ---- Start and stop -------------------------------------------------------------------------- */

static void add_metrics(om_recall *r)
{
    static const char *const results[RESULTS] = {"result=\"measured\"", "result=\"dropped\"",
                                                 "result=\"skipped\"", "result=\"failed\""};
    om_metrics *m = r->options.metrics;
    int family = om_metrics_family(m, OM_FAMILY_COUNTER, "omendb_recall_samples_total",
                                   "Searches taken for the recall monitor: measured, dropped since "
                                   "enough waited, skipped as too large, failed.");
    for (uint32_t i = 0; i < RESULTS; i++) {
        r->samples[i] = om_metrics_series(m, family, results[i]);
    }
    family = om_metrics_family(m, OM_FAMILY_COUNTER_SECONDS, "omendb_recall_cpu_seconds_total",
                               "Processor time of the recall monitor.");
    r->cpu = om_metrics_series(m, family, "");
}

static bool start(om_recall *r)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&r->mutex, NULL);
    (void)pthread_cond_init(&r->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (omen_op_create(&r->op, NULL) != OMEN_OK) {
        return false;
    }
    add_metrics(r);
    if (!om_metrics_source(r->options.metrics, put_estimates, r)) {
        return false;
    }
    r->threaded = !r->options.no_thread && pthread_create(&r->thread, NULL, thread_main, r) == 0;
    return r->threaded || r->options.no_thread;
}

om_recall *om_recall_create(const om_recall_options *options)
{
    om_recall *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->options = *options;
    r->options.permille = options->permille > 0 ? options->permille : 1;
    r->threshold = options->sample > 0 ? UINT32_MAX / options->sample : 0;
    r->most_bytes = quarter_of_memory();
    if (!start(r)) {
        om_recall_free(r);
        return NULL;
    }
    return r;
}

void om_recall_free(om_recall *r)
{
    if (r == NULL) {
        return;
    }
    (void)om_metrics_source(r->options.metrics, NULL, r);
    (void)pthread_mutex_lock(&r->mutex);
    r->stop = true;
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->mutex);
    if (r->op != NULL) {
        omen_op_cancel(r->op);
    }
    if (r->threaded) {
        (void)pthread_join(r->thread, NULL);
    }
    for (om_recall_job *job = take(r); job != NULL; job = take(r)) {
        drop(job);
    }
    omen_op_free(r->op);
    free(r->table.items);
    (void)pthread_cond_destroy(&r->wake);
    (void)pthread_mutex_destroy(&r->mutex);
    free(r);
}
