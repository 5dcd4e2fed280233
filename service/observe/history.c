/* history.c - the ring of samples: differences of sums that only rise, and gauges.
 * SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recall.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_SECOND UINT64_C(1000000000)
/* Looking at every collection takes a lock of each: where that takes long it is done rarely, so that it is
 * never more than a hundredth of the time. */
enum { LOOK_SHARE = 100, LOOK_RARELY_S = 10 };

struct om_history {
    om_history_options options;
    om_metrics_totals before; /* of tick alone, as all down to the mutex */
    om_metrics_sum sum;
    uint64_t before_ns, look_ns;       /* look_ns: when the collections are looked at next */
    uint64_t seen[OM_HISTORY_SECONDS]; /* monotonic time of each sample, by its number */
    bool begun;
    pthread_mutex_t mutex; /* guards what follows */
    om_history_look look;
    void *look_ctx;
    uint64_t taken; /* sample i is ring[i % OM_HISTORY_SECONDS] */
    om_history_sample ring[OM_HISTORY_SECONDS];
};

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

static int64_t real_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

om_history *om_history_create(const om_history_options *options)
{
    om_history *h = calloc(1, sizeof *h);
    if (h != NULL) {
        h->options = *options;
        h->options.now_ns = options->now_ns != NULL ? options->now_ns : monotonic_ns;
        h->options.wall_ms = options->wall_ms != NULL ? options->wall_ms : real_ms;
        (void)pthread_mutex_init(&h->mutex, NULL);
    }
    return h;
}

void om_history_free(om_history *h)
{
    if (h != NULL) {
        (void)pthread_mutex_destroy(&h->mutex);
        free(h);
    }
}

void om_history_attach(om_history *h, om_history_look look, void *ctx)
{
    if (h != NULL) {
        (void)pthread_mutex_lock(&h->mutex);
        h->look = look;
        h->look_ctx = ctx;
        (void)pthread_mutex_unlock(&h->mutex);
    }
}

/* ---- Quantiles ------------------------------------------------------------------------------- */

/* Counts of buckets in a span, and the bounds that they stand between. */
typedef struct spread {
    uint64_t counts[OM_HISTOGRAM_BOUNDS + 1];
    uint64_t bounds[OM_HISTOGRAM_BOUNDS]; /* of all buckets but the last */
    uint32_t n;                           /* of the buckets */
    uint64_t total;
} spread;

/* Within a bucket as if its values lay evenly; beyond the last bound: that bound. */
static uint64_t quantile(const spread *s, double share)
{
    double wanted = share * (double)s->total;
    double below = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        double here = (double)s->counts[i];
        if (here > 0 && below + here >= wanted) {
            if (i == s->n - 1) {
                break;
            }
            double low = i > 0 ? (double)s->bounds[i - 1] : 0;
            double part = (wanted - below) / here;
            return (uint64_t)(low + part * ((double)s->bounds[i] - low));
        }
        below += here;
    }
    return s->bounds[s->n - 2];
}

static om_quantiles quantiles(const spread *s)
{
    om_quantiles q = {0, 0, 0};
    if (s->total > 0) {
        q = (om_quantiles){quantile(s, 0.5), quantile(s, 0.95), quantile(s, 0.99)};
    }
    return q;
}

static om_quantiles latencies(const uint64_t *now, const uint64_t *before)
{
    spread s = {.n = OM_HISTOGRAM_BOUNDS + 1};
    for (uint32_t i = 0; i < s.n; i++) {
        s.counts[i] = now[i] - before[i];
        s.total += s.counts[i];
        if (i < OM_HISTOGRAM_BOUNDS) {
            s.bounds[i] = om_histogram_bound(i);
        }
    }
    return quantiles(&s);
}

static om_quantiles syncs(const uint64_t *now, const uint64_t *before)
{
    _Static_assert(OMEN_SYNC_TIMES - 1 <= OM_HISTOGRAM_BOUNDS, "a spread holds the times of syncs");
    spread s = {.n = OMEN_SYNC_TIMES};
    for (uint32_t i = 0; i < s.n; i++) {
        s.counts[i] = now[i] - before[i];
        s.total += s.counts[i];
        if (i < s.n - 1) {
            s.bounds[i] = UINT64_C(100000) << i;
        }
    }
    return quantiles(&s);
}

/* ---- A sample -------------------------------------------------------------------------------- */

static void fill_rates(om_history_sample *s, const om_metrics_totals *a, const om_metrics_totals *b)
{
    s->calls = b->calls - a->calls;
    s->errors = b->errors - a->errors;
    s->refused = b->refused - a->refused;
    s->searches = b->searches - a->searches;
    s->filtered = b->filtered - a->filtered;
    s->short_results = b->short_results - a->short_results;
    s->partial = b->partial - a->partial;
    s->distances = b->distances - a->distances;
    s->hops = b->hops - a->hops;
    s->batches = b->batches - a->batches;
    s->rows = b->rows - a->rows;
    s->bytes = b->bytes - a->bytes;
    s->received_bytes = b->received_bytes - a->received_bytes;
    s->sent_bytes = b->sent_bytes - a->sent_bytes;
    s->cpu_ns = b->cpu_ns - a->cpu_ns;
    s->search = latencies(b->search, a->search);
    s->queue = latencies(b->queue, a->queue);
    s->commit = latencies(b->commit, a->commit);
    s->visible = latencies(b->visible, a->visible);
}

/* The counters of a database begin at 0 when it is opened. */
static void fill_database(om_history_sample *s, const omen_db_stats *a, const omen_db_stats *b)
{
    if (b->log_syncs >= a->log_syncs && b->log_written_bytes >= a->log_written_bytes) {
        s->log_bytes = b->log_written_bytes - a->log_written_bytes;
        s->log_syncs = b->log_syncs - a->log_syncs;
        s->fsync = syncs(b->log_sync_times, a->log_sync_times);
    }
    s->seals = b->seals >= a->seals ? b->seals - a->seals : 0;
    s->merges = b->merges >= a->merges ? b->merges - a->merges : 0;
    s->checkpoints = b->checkpoints >= a->checkpoints ? b->checkpoints - a->checkpoints : 0;
    s->db_state = b->state;
    s->log_kept_bytes = b->log_bytes;
    s->segment_bytes = b->segment_bytes;
    s->disk_free_bytes = b->disk_available;
    s->version = b->version;
    s->durable_version = b->durable_version;
}

static void fill_levels(const om_history *h, om_history_sample *s, const om_metrics_totals *now)
{
    s->window_bytes = now->window_bytes;
    s->maintenance = (uint32_t)now->maintenance;
    s->memory_used = now->runtime.memory_used;
    s->memory_budget = now->runtime.memory_limit;
    s->resident_bytes = now->resident_bytes;
    s->heap_bytes = now->heap_bytes;
    s->collections = h->sum.collections;
    s->items = h->sum.items;
    s->rows_stored = h->sum.rows;
    s->unindexed = h->sum.unindexed;
    s->segments = h->sum.segments;
}

static void look_at_collections(om_history *h, uint64_t now_ns)
{
    if (h->begun && now_ns < h->look_ns) {
        return;
    }
    uint64_t begun = monotonic_ns();
    (void)om_metrics_sum_collections(h->options.metrics, &h->sum);
    uint64_t took = monotonic_ns() - begun;
    h->look_ns = took * LOOK_SHARE > NS_PER_SECOND ? now_ns + LOOK_RARELY_S * NS_PER_SECOND : 0;
}

/* Since when there has been a version above this one, in ms; 0: there is none. Versions were looked at
 * once a second, so the answer is a second too short at most. */
static uint64_t age_of(const om_history *h, uint64_t version, uint64_t newest, uint64_t now_ns)
{
    uint64_t first = h->taken > OM_HISTORY_SECONDS ? h->taken - OM_HISTORY_SECONDS : 0;
    if (version >= newest) {
        return 0;
    }
    for (uint64_t i = first; i < h->taken; i++) {
        if (h->ring[i % OM_HISTORY_SECONDS].version > version) {
            return (now_ns - h->seen[i % OM_HISTORY_SECONDS]) / NS_PER_MS;
        }
    }
    return 0;
}

static void fill_estimates(const om_history *h, om_history_sample *s)
{
    om_recall_estimate lowest;
    s->recall = -1;
    s->recall_low = -1;
    if (om_recall_lowest(h->options.recall, &lowest)) {
        s->recall = (float)lowest.recall;
        s->recall_low = (float)lowest.low;
    }
}

void om_history_tick(om_history *h)
{
    om_metrics_totals now;
    om_history_sample s;
    if (h == NULL) {
        return;
    }
    memset(&s, 0, sizeof s);
    om_metrics_read(h->options.metrics, &now);
    uint64_t now_ns = h->options.now_ns();
    look_at_collections(h, now_ns);
    s.unix_ms = h->options.wall_ms();
    s.span_ms = (uint32_t)((now_ns - h->before_ns) / NS_PER_MS);
    fill_rates(&s, &h->before, &now);
    fill_database(&s, &h->before.db, &now.db);
    fill_levels(h, &s, &now);
    fill_estimates(h, &s);
    if (now.db.log_records > 0) { /* without a log nothing is durable, and nobody expects it */
        s.durable_lag_ms = age_of(h, s.durable_version, s.version, now_ns);
    }
    s.index_lag_ms = age_of(h, h->sum.indexed_version, s.version, now_ns);
    om_metrics_lags(h->options.metrics, (double)s.durable_lag_ms / 1000.0,
                    (double)s.index_lag_ms / 1000.0);
    (void)pthread_mutex_lock(&h->mutex);
    if (h->look != NULL) {
        om_history_gauges gauges = {0, 0, 0, 0};
        h->look(h->look_ctx, &gauges);
        s.in_flight = gauges.in_flight;
        s.streams = gauges.streams;
        s.searches_queued = gauges.searches_queued;
        s.ingest_queued = gauges.ingest_queued;
    }
    if (h->begun && s.span_ms > 0) {
        h->seen[h->taken % OM_HISTORY_SECONDS] = now_ns;
        h->ring[h->taken++ % OM_HISTORY_SECONDS] = s;
    }
    (void)pthread_mutex_unlock(&h->mutex);
    if (!h->begun || s.span_ms > 0) {
        h->before = now;
        h->before_ns = now_ns;
    }
    h->begun = true;
}

/* ---- Reading --------------------------------------------------------------------------------- */

size_t om_history_copy(om_history *h, int64_t after, om_history_sample *out, size_t capacity)
{
    if (h == NULL) {
        return 0;
    }
    (void)pthread_mutex_lock(&h->mutex);
    uint64_t kept = h->taken < OM_HISTORY_SECONDS ? h->taken : OM_HISTORY_SECONDS;
    kept = kept < capacity ? kept : capacity;
    size_t n = 0;
    for (uint64_t i = h->taken - kept; i < h->taken; i++) {
        const om_history_sample *s = &h->ring[i % OM_HISTORY_SECONDS];
        if (s->unix_ms > after) {
            out[n++] = *s;
        }
    }
    (void)pthread_mutex_unlock(&h->mutex);
    return n;
}

bool om_history_last(om_history *h, om_history_sample *out)
{
    return om_history_copy(h, INT64_MIN, out, 1) == 1;
}
