/* engine_indexer.c - rows into the graph: one step at a time, by a thread in the background or by
 * a caller who waits.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A step is one micro-batch. Its borders are a function of slot numbers (ruling 11): an
 * incomplete batch is done only when a caller asks for it. The background leaves a burst of
 * writes alone: it begins when none came for a moment, or when the tail is half full, and then
 * goes on until an eighth is left. */
#include "engine_fields_int.h"

enum {
    RETRY_NS = 100 * 1000 * 1000,
    RECLAIM_NS = 10 * 1000 * 1000,
    PAUSE_NS = 1000 * 1000,
    CODE_LAG = 8192
};
#define QUIET_NS UINT64_C(20000000)

/* ---- Steps ----------------------------------------------------------------------------------- */
static omen_status_t start_graph(om_segment *seg, omen_error *err)
{
    if (seg->graph != NULL) {
        return OMEN_OK;
    }
    return om_graph_create(&seg->rt->alloc, &seg->graph_params, &seg->graph, err);
}

static uint32_t next_border(uint32_t indexed)
{
    return om_min_u32(om_graph_batch_end(indexed), om_codec_border(indexed));
}

/* Whether a whole micro-batch is there. The first one waits for the sample that trains the codec,
 * which would otherwise depend on when the background looked. A hint without the index mutex. */
bool om_index_has_batch(uint32_t indexed, uint32_t visible)
{
    if (indexed == 0 && visible < OM_FIRST_SAMPLE) {
        return false;
    }
    return indexed < visible && om_graph_batch_end(indexed) <= visible;
}

static om_graph_arrays graph_arrays(const om_segment *seg)
{
    return (om_graph_arrays){.codec = seg->codec,
                             .codes = seg->codes->array.base,
                             .links = (uint32_t *)(void *)seg->store->array[OM_A_LINKS].base,
                             .incoming = (uint32_t *)(void *)seg->store->array[OM_A_INCOMING].base};
}

/* Rows [indexed, end) into the graph, and a view that has them. */
static omen_status_t index_rows(om_segment *seg, uint32_t indexed, uint32_t end, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_view *view = NULL;
    om_graph_view *graph = NULL;
    om_graph_arrays arrays = graph_arrays(seg);
    OM_TRY(om_view_prepare(seg, &view, err));
    if (om_graph_count(seg->graph) < end) {
        OM_TRY(om_graph_insert(seg->graph, &arrays, end - indexed, seg->rt->executor, err));
    }
    OM_TRY(om_graph_view_create(seg->graph, &arrays, &graph, err));
    om_view_parts parts = {
        .store = seg->store, .codes = seg->codes, .codec = seg->codec, .graph = graph};
    om_view_publish(seg, view, &parts);
    view = NULL;
    atomic_store(&seg->indexed, end);
out:
    if (view != NULL) {
        om_alloc_put(&seg->rt->alloc, view, sizeof *view, _Alignof(om_view));
    }
    return status;
}

omen_status_t om_index_step(om_segment *seg, uint32_t target, bool force, bool *moved,
                            omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t visible = atomic_load(&seg->visible);
    uint32_t indexed = atomic_load_explicit(&seg->indexed, memory_order_relaxed);
    visible = om_min_u32(visible, seg->index_limit);
    *moved = false;
    if (indexed >= visible || indexed >= target ||
        (!om_index_has_batch(indexed, visible) && !force)) {
        return OMEN_OK;
    }
    OM_TRY(om_codec_start(seg, om_min_u32(visible, OM_FIRST_SAMPLE), err));
    uint32_t end = om_min_u32(next_border(indexed), visible);
    OM_TRY(om_encode_step(seg, visible, seg->rt->executor, err));
    uint32_t encoded = atomic_load_explicit(&seg->codes->encoded, memory_order_relaxed);
    om_assert(encoded >= end);
    (void)encoded;
    OM_TRY(start_graph(seg, err));
    /* A view that could not be made after an insert leaves the graph ahead: the next step catches
     * up. */
    end = om_max_u32(end, om_graph_count(seg->graph));
    OM_TRY(index_rows(seg, indexed, end, err));
    *moved = true;
    status = om_codec_review(seg, err);
    if (status == OMEN_RESOURCE_EXHAUSTED) {
        om_log_write(&seg->rt->log, OMEN_LOG_WARN, "engine",
                     "collection '%s': no memory to train the codec again, the old one stays",
                     seg->c->name);
        status = OMEN_OK;
    }
out:
    return status;
}

static omen_status_t step_locked(om_segment *seg, uint32_t target, bool force, bool *moved,
                                 omen_error *err)
{
    om_mutex_lock(&seg->index_mu);
    omen_status_t status = om_index_step(seg, target, force, moved, err);
    om_mutex_unlock(&seg->index_mu);
    return status;
}

static omen_status_t index_until(om_segment *seg, uint32_t target, const om_stop *stop, omen_op *op,
                                 omen_error *err)
{
    uint32_t begun = atomic_load(&seg->indexed);
    for (;;) {
        uint32_t indexed = atomic_load(&seg->indexed);
        om_op_report(op, 0, indexed - begun, target > begun ? target - begun : 0);
        if (indexed >= target) {
            return OMEN_OK;
        }
        omen_status_t status = om_stop_check(stop);
        if (status != OMEN_OK) {
            return om_fail(err, status, OMEN_D_NONE, "stopped with %u of %u rows in the graph",
                           indexed, target);
        }
        bool moved = false;
        status = step_locked(seg, target, true, &moved, err);
        if (status != OMEN_OK) {
            return status;
        }
        if (!moved && atomic_load(&seg->indexed) < target) {
            om_indexer_pause(seg->rt); /* A save holds the graph at the rows that it writes. */
        }
    }
}

/* Where nothing whole waits, the builder's scratch goes: collections that rest should cost little. Index
 * mutex held. */
static void rest(om_segment *seg)
{
    if (seg->graph != NULL &&
        !om_index_has_batch(atomic_load(&seg->indexed), atomic_load(&seg->visible))) {
        om_graph_trim(seg->graph);
    }
}

omen_status_t om_index_until(om_segment *seg, uint32_t target, const om_stop *stop, omen_op *op,
                             omen_error *err)
{
    atomic_fetch_add(&seg->index_waiters, 1);
    omen_status_t status = index_until(seg, target, stop, op, err);
    om_mutex_lock(&seg->index_mu);
    rest(seg);
    om_mutex_unlock(&seg->index_mu);
    if (atomic_fetch_sub(&seg->index_waiters, 1) == 1) {
        om_indexer_notify(seg); /* What remains is the background's again. */
    }
    return status;
}

/* ---- The background -------------------------------------------------------------------------- */
typedef struct item {
    om_segment *seg;
    uint64_t not_before_ns; /* after a failure, or while a burst goes on */
    bool draining;          /* has passed half of the bound              */
} item;

struct om_indexer {
    omen_runtime *rt;
    om_mutex mu; /* rank INDEXER: everything below */
    om_cond wake;
    om_thread *thread; /* NULL until there is work */
    item *queue;
    uint32_t count, capacity;
    om_segment *current; /* being worked on */
    bool stop;
};

omen_status_t om_indexer_create(omen_runtime *rt, om_indexer **out, omen_error *err)
{
    om_indexer *indexer = om_alloc_zero(&rt->alloc, 1, sizeof *indexer, _Alignof(om_indexer));
    if (indexer == NULL) {
        return om_fail_memory(err, "indexer", sizeof *indexer);
    }
    indexer->rt = rt;
    omen_status_t status = om_mutex_init(&indexer->mu, OM_RANK_INDEXER, err);
    if (status != OMEN_OK) {
        om_alloc_put(&rt->alloc, indexer, sizeof *indexer, _Alignof(om_indexer));
        return status;
    }
    status = om_cond_init(&indexer->wake, err);
    if (status != OMEN_OK) {
        om_mutex_destroy(&indexer->mu);
        om_alloc_put(&rt->alloc, indexer, sizeof *indexer, _Alignof(om_indexer));
        return status;
    }
    *out = indexer;
    return OMEN_OK;
}

void om_indexer_free(om_indexer *indexer)
{
    om_mutex_lock(&indexer->mu);
    indexer->stop = true;
    om_cond_broadcast(&indexer->wake);
    om_mutex_unlock(&indexer->mu);
    om_thread_join(indexer->thread);
    const om_alloc *alloc = &indexer->rt->alloc;
    om_cond_destroy(&indexer->wake);
    om_mutex_destroy(&indexer->mu);
    om_alloc_put(alloc, indexer->queue, indexer->capacity * sizeof(item), OM_CACHE_LINE);
    om_alloc_put(alloc, indexer, sizeof *indexer, _Alignof(om_indexer));
}

/* Whether enough rows wait for codes that a search gains by them. */
static bool lacks_codes(om_segment *seg, uint32_t visible)
{
    uint32_t coded = atomic_load_explicit(&seg->coded, memory_order_relaxed);
    return seg->options.quantization == OMEN_QUANT_SQ8 && visible >= OM_FIRST_SAMPLE &&
           visible > coded && visible - coded >= CODE_LAG;
}

/* A frozen segment is indexed to its end, its last micro-batch however short: no rows will fill it, and it is
 * written to disk only then. */
static bool must_end(om_segment *seg)
{
    return atomic_load(&seg->frozen) && atomic_load(&seg->indexed) < atomic_load(&seg->visible);
}

/* Whether there is a whole micro-batch, something to free, or nothing; and from when on. Mutex
 * held. */
static bool graph_wants(item *it, uint64_t *ready_ns)
{
    om_segment *seg = it->seg;
    uint32_t visible = atomic_load(&seg->visible);
    uint32_t indexed = atomic_load(&seg->indexed);
    uint32_t backlog = visible - om_min_u32(indexed, visible);
    uint64_t last = atomic_load_explicit(&seg->last_append_ns, memory_order_relaxed);
    if (backlog > seg->c->backlog_limit / 2) {
        it->draining = true;
    } else if (backlog < seg->c->backlog_limit / 8) {
        it->draining = false;
    }
    *ready_ns = it->draining || lacks_codes(seg, visible) ? 0 : last + QUIET_NS;
    *ready_ns = *ready_ns < it->not_before_ns ? it->not_before_ns : *ready_ns;
    if (om_index_has_batch(indexed, visible) || must_end(seg)) {
        return true;
    }
    *ready_ns = it->not_before_ns;
    const om_fields *fields = om_fields_of(seg);
    return atomic_load(&seg->untidy) || (fields != NULL && atomic_load(&fields->untidy));
}

/* The same with blocks of metadata and text. */
static bool wants(item *it, uint64_t *ready_ns)
{
    uint64_t last = atomic_load_explicit(&it->seg->last_append_ns, memory_order_relaxed);
    uint64_t blocks_ns = 0;
    bool graph = graph_wants(it, ready_ns);
    if (!om_fields_wanted(it->seg, last, &blocks_ns)) {
        return graph;
    }
    blocks_ns = blocks_ns < it->not_before_ns ? it->not_before_ns : blocks_ns;
    *ready_ns = graph && *ready_ns < blocks_ns ? *ready_ns : blocks_ns;
    return true;
}

/* In a burst: codes for some of its rows, on this thread alone. Index mutex held. */
static omen_status_t code_step(om_segment *seg, bool *moved, omen_error *err)
{
    uint32_t visible = om_min_u32(atomic_load(&seg->visible), seg->index_limit);
    *moved = false;
    if (!lacks_codes(seg, visible)) {
        return OMEN_OK;
    }
    omen_status_t status = om_codec_start(seg, OM_FIRST_SAMPLE, err);
    if (status == OMEN_OK) {
        status = om_encode_step(seg, visible, &om_executor_serial, err);
        *moved = true;
    }
    return status;
}

/* A block of metadata and text, when its time has come. */
/* One that fails is tried again; the graph goes on meanwhile. */
static void block_step(om_segment *seg, bool *moved, bool *clean)
{
    omen_error err;
    uint64_t last = atomic_load_explicit(&seg->last_append_ns, memory_order_relaxed);
    uint64_t ready_ns = 0;
    om_fields *fields = om_fields_of(seg);
    *moved = false;
    *clean = true;
    if (fields == NULL) {
        return;
    }
    bool wanted = om_fields_wanted(seg, last, &ready_ns) && ready_ns <= om_now_ns();
    if ((wanted || atomic_load(&fields->untidy)) &&
        om_fields_step(seg, wanted, moved, clean, &err) != OMEN_OK) {
        om_log_write(&seg->rt->log, OMEN_LOG_WARN, "engine",
                     "collection '%s': metadata waits for its block: %s", seg->c->name,
                     err.message);
        atomic_store(&fields->retry_ns, om_now_ns() + RETRY_NS);
    }
}

static void work_on(om_segment *seg, item *it)
{
    omen_error err;
    bool moved = false;
    bool built = false;
    bool clean = true;
    bool tidy = true;
    uint64_t last = atomic_load_explicit(&seg->last_append_ns, memory_order_relaxed);
    bool burst = !it->draining && om_now_ns() < last + QUIET_NS;
    om_mutex_lock(&seg->index_mu);
    omen_status_t status = burst ? code_step(seg, &moved, &err)
                                 : om_index_step(seg, UINT32_MAX, must_end(seg), &moved, &err);
    clean = om_view_reclaim(seg);
    rest(seg);
    om_mutex_unlock(&seg->index_mu);
    block_step(seg, &built, &tidy);
    clean = clean && tidy;
    if (moved && atomic_load(&seg->frozen) &&
        atomic_load(&seg->indexed) >= atomic_load(&seg->visible)) {
        om_keeper_notify(seg->c->db);
    }
    /* A save may hold the end of a frozen segment back for a while. */
    bool held = !burst && !moved && must_end(seg);
    it->not_before_ns = moved || built || (clean && !held) ? 0 : om_now_ns() + RECLAIM_NS;
    if (status != OMEN_OK) {
        om_log_write(&seg->rt->log, OMEN_LOG_WARN, "engine", "collection '%s': indexing waits: %s",
                     seg->c->name, err.message);
        it->not_before_ns = om_now_ns() + RETRY_NS;
    }
}

/* Takes out of the queue what has nothing to do, and finds the next to work on; false: wait until
 * *wake_ns (0: until something happens). Mutex held. */
static bool pick(om_indexer *indexer, item *out, uint64_t *wake_ns)
{
    uint64_t now = om_now_ns();
    *wake_ns = 0;
    for (uint32_t i = 0; i < indexer->count;) {
        item *it = &indexer->queue[i];
        uint64_t ready = 0;
        bool leave = atomic_load(&it->seg->index_waiters) != 0;
        if (!leave && wants(it, &ready)) {
            if (ready <= now) {
                *out = *it;
                indexer->queue[i] = indexer->queue[--indexer->count];
                return true;
            }
            *wake_ns = *wake_ns == 0 || ready < *wake_ns ? ready : *wake_ns;
            i++;
            continue;
        }
        atomic_store(&it->seg->queued, false);
        uint64_t unused;
        if (atomic_load(&it->seg->index_waiters) == 0 && wants(it, &unused) &&
            !atomic_exchange(&it->seg->queued, true)) {
            /* A batch came between the two looks, and its writer saw the flag still set. Had it seen the
             * flag cleared it would wait for the mutex now, to queue the segment itself: never twice. */
            continue;
        }
        indexer->queue[i] = indexer->queue[--indexer->count];
    }
    return false;
}

/* Back to the end of the queue: collections take turns. Its place was kept free. Mutex held. */
static void put_back(om_indexer *indexer, const item *it)
{
    om_assert(indexer->count < indexer->capacity);
    indexer->queue[indexer->count++] = *it;
}

static void run(void *ctx)
{
    om_indexer *indexer = ctx;
    om_mutex_lock(&indexer->mu);
    while (!indexer->stop) {
        item it;
        uint64_t wake_ns = 0;
        if (!pick(indexer, &it, &wake_ns)) {
            (void)om_cond_wait(&indexer->wake, &indexer->mu, wake_ns);
            continue;
        }
        indexer->current = it.seg;
        om_mutex_unlock(&indexer->mu);
        work_on(it.seg, &it);
        om_mutex_lock(&indexer->mu);
        indexer->current = NULL;
        put_back(indexer, &it);
        om_cond_broadcast(&indexer->wake);
    }
    om_mutex_unlock(&indexer->mu);
}

/* Queue and thread, so that work can be taken on. Mutex held. */
static omen_status_t prepare(om_indexer *indexer, omen_error *err)
{
    const om_alloc *alloc = &indexer->rt->alloc;
    /* One place more than is used: for the collection being worked on, which comes back. */
    if (indexer->count + 2 > indexer->capacity) {
        uint32_t capacity = indexer->capacity == 0 ? 16 : indexer->capacity * 2;
        item *queue = om_alloc_grow(alloc, indexer->queue, indexer->capacity * sizeof(item),
                                    capacity * sizeof(item), OM_CACHE_LINE);
        if (queue == NULL) {
            return om_fail_memory(err, "indexer queue", capacity * sizeof(item));
        }
        indexer->queue = queue;
        indexer->capacity = capacity;
    }
    if (indexer->thread == NULL) {
        return om_thread_create(alloc, "omen-index", run, indexer, &indexer->thread, err);
    }
    return OMEN_OK;
}

void om_indexer_notify(om_segment *seg)
{
    om_indexer *indexer = seg->rt->indexer;
    if (seg->mapped != NULL || atomic_exchange(&seg->queued, true)) {
        return;
    }
    om_mutex_lock(&indexer->mu);
    omen_status_t status = prepare(indexer, NULL);
    if (status == OMEN_OK) {
        indexer->queue[indexer->count++] = (item){.seg = seg};
        om_cond_broadcast(&indexer->wake);
    } else {
        atomic_store(&seg->queued,
                     false); /* The next batch tries again; waiting callers index themselves. */
    }
    om_mutex_unlock(&indexer->mu);
}

void om_indexer_pause(omen_runtime *rt)
{
    om_indexer *indexer = rt->indexer;
    om_mutex_lock(&indexer->mu);
    (void)om_cond_wait(&indexer->wake, &indexer->mu, om_now_ns() + PAUSE_NS);
    om_mutex_unlock(&indexer->mu);
}

void om_indexer_forget(om_segment *seg)
{
    om_indexer *indexer = seg->rt->indexer;
    /* Like a caller who works on the graph: the thread then leaves the collection after the current
     * step. Otherwise it begins the next one before this thread gets the mutex, until all is done. */
    atomic_fetch_add(&seg->index_waiters, 1);
    om_mutex_lock(&indexer->mu);
    while (indexer->current == seg) {
        (void)om_cond_wait(&indexer->wake, &indexer->mu, 0);
    }
    for (uint32_t i = 0; i < indexer->count; i++) {
        if (indexer->queue[i].seg == seg) {
            indexer->queue[i] = indexer->queue[--indexer->count];
            break;
        }
    }
    om_mutex_unlock(&indexer->mu);
}
