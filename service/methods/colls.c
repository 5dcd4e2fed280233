/* colls.c - the table of open collections. SPDX-License-Identifier: Apache-2.0 */
#include "colls.h"

#include "fault.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, CHANGE_LOCKS = 64 };

struct om_colls {
    omen_db *db;
    om_access *access;
    pthread_rwlock_t lock;
    om_coll *bucket[BUCKETS];             /* guarded by lock */
    uint64_t forgotten;                   /* calls of om_colls_forget; guarded by lock */
    pthread_mutex_t change[CHANGE_LOCKS]; /* by the hash of the name */
    om_metrics *metrics;
    om_recall *recall;
};

static uint32_t bucket_of(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name != '\0'; name++) {
        h = (h ^ (uint8_t)*name) * 16777619u;
    }
    return (h ^ h >> 15) % BUCKETS;
}

uint32_t om_coll_width(uint32_t dtype)
{
    static const uint8_t widths[] = {0, 4, 2, 1, 1};
    return dtype < sizeof widths ? widths[dtype] : 0;
}

om_colls *om_colls_create(omen_db *db, om_access *access)
{
    om_colls *c = calloc(1, sizeof *c);
    if (c != NULL) {
        c->db = db;
        c->access = access;
        pthread_rwlock_init(&c->lock, NULL);
        for (size_t i = 0; i < CHANGE_LOCKS; i++) {
            pthread_mutex_init(&c->change[i], NULL);
        }
    }
    return c;
}

om_coll *om_coll_hold(om_coll *coll)
{
    atomic_fetch_add_explicit(&coll->refs, 1, memory_order_relaxed);
    return coll;
}

void om_coll_release(om_coll *coll)
{
    if (coll != NULL && atomic_fetch_sub_explicit(&coll->refs, 1, memory_order_acq_rel) == 1) {
        omen_collection_free(coll->handle);
        free(coll);
    }
}

void om_colls_free(om_colls *c)
{
    if (c == NULL) {
        return;
    }
    (void)om_metrics_source(c->metrics, NULL, c);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (c->bucket[i] != NULL) {
            om_coll *next = c->bucket[i]->next;
            om_coll_release(c->bucket[i]);
            c->bucket[i] = next;
        }
    }
    for (size_t i = 0; i < CHANGE_LOCKS; i++) {
        pthread_mutex_destroy(&c->change[i]);
    }
    pthread_rwlock_destroy(&c->lock);
    free(c);
}

static om_coll *find(om_colls *c, const char *name)
{
    for (om_coll *at = c->bucket[bucket_of(name)]; at != NULL; at = at->next) {
        if (strcmp(at->name, name) == 0) {
            return om_coll_hold(at);
        }
    }
    return NULL;
}

static omen_status_t open_new(om_colls *c, const char *name, om_coll **out, omen_error *err)
{
    om_coll *coll = calloc(1, sizeof *coll);
    if (coll == NULL) {
        if (err != NULL) {
            *err = (omen_error){.status = OMEN_RESOURCE_EXHAUSTED,
                                .detail = OMEN_D_NO_MEMORY,
                                .item = OMEN_NONE,
                                .message = "no memory for a collection handle"};
        }
        return OMEN_RESOURCE_EXHAUSTED;
    }
    omen_open_options how = {.struct_size = sizeof how};
    omen_status_t status = omen_open(c->db, name, &how, &coll->handle, err);
    if (status == OMEN_OK) {
        coll->options.struct_size = sizeof coll->options;
        status = omen_describe(coll->handle, &coll->options, err);
    }
    if (status != OMEN_OK) {
        omen_collection_free(coll->handle);
        free(coll);
        return status;
    }
    atomic_store(&coll->refs, 1);
    coll->tenant = c->access != NULL ? om_access_owner(c->access, name) : NULL;
    coll->row_bytes = coll->options.dim * om_coll_width(coll->options.dtype);
    snprintf(coll->name, sizeof coll->name, "%s", name);
    *out = coll;
    return OMEN_OK;
}

omen_status_t om_colls_get(om_colls *c, const char *name, om_coll **out, omen_error *err)
{
    pthread_rwlock_rdlock(&c->lock);
    *out = find(c, name);
    uint64_t forgotten = c->forgotten;
    pthread_rwlock_unlock(&c->lock);
    if (*out != NULL) {
        return OMEN_OK;
    }
    om_coll *fresh = NULL;
    omen_status_t status = open_new(c, name, &fresh, err);
    if (status != OMEN_OK) {
        return status;
    }
    pthread_rwlock_wrlock(&c->lock);
    *out = find(c, name);
    if (*out == NULL && c->forgotten != forgotten) {
        /* A collection was dropped since: it may be this one, so this call alone uses the handle. */
        *out = fresh;
        fresh = NULL;
    } else if (*out == NULL) {
        om_coll **head = &c->bucket[bucket_of(name)];
        fresh->next = *head;
        *head = fresh;
        *out = om_coll_hold(fresh);
        fresh = NULL;
    }
    pthread_rwlock_unlock(&c->lock);
    om_coll_release(fresh);
    return OMEN_OK;
}

void om_colls_change(om_colls *c, const char *name)
{
    pthread_mutex_lock(&c->change[bucket_of(name) % CHANGE_LOCKS]);
}

void om_colls_changed(om_colls *c, const char *name)
{
    pthread_mutex_unlock(&c->change[bucket_of(name) % CHANGE_LOCKS]);
}

void om_colls_forget(om_colls *c, const char *name)
{
    om_coll *gone = NULL;
    pthread_rwlock_wrlock(&c->lock);
    c->forgotten++;
    for (om_coll **at = &c->bucket[bucket_of(name)]; *at != NULL; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0) {
            gone = *at;
            *at = gone->next;
            break;
        }
    }
    pthread_rwlock_unlock(&c->lock);
    om_coll_release(gone);
    om_recall_forget(c->recall, name);
}

omen_status_t om_coll_whole(const om_coll *coll, omen_error *err)
{
    if (atomic_load(&coll->damaged) == 0) {
        return OMEN_OK;
    }
    if (err != NULL) {
        *err = (omen_error){.status = OMEN_DATA_LOSS, .detail = OMEN_D_IO, .item = OMEN_NONE};
        (void)snprintf(
            err->message, sizeof err->message,
            "a file of the collection '%s' was cut while it was served: restore a backup",
            coll->name);
    }
    return OMEN_DATA_LOSS;
}

void om_coll_enter(om_coll *coll)
{
    om_fault_enter(&coll->damaged);
}

omen_status_t om_coll_leave(om_coll *coll, omen_status_t status, omen_error *err)
{
    om_fault_leave();
    omen_status_t whole = om_coll_whole(coll, err);
    return whole != OMEN_OK ? whole : status;
}

void om_coll_note_search(om_coll *coll, uint64_t ns)
{
    uint32_t sample = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    uint32_t old = atomic_load_explicit(&coll->search_ns, memory_order_relaxed);
    uint32_t mean = old == 0 ? sample : old - old / 8 + sample / 8;
    atomic_store_explicit(&coll->search_ns, mean > 0 ? mean : 1, memory_order_relaxed);
}

/* ---- Times of searches ---------------------------------------------------------------------------- */

static const struct {
    uint64_t ns;
    const char *text;
} bounds[OM_COLL_TIMES] = {{100000, "0.0001"},         {250000, "0.00025"}, {1000000, "0.001"},
                           {2500000, "0.0025"},        {10000000, "0.01"},  {25000000, "0.025"},
                           {100000000, "0.1"},         {250000000, "0.25"}, {1000000000, "1"},
                           {UINT64_C(5000000000), "5"}};

void om_coll_note_time(om_coll *coll, uint64_t ns)
{
    uint32_t i = 0;
    while (i < OM_COLL_TIMES && ns > bounds[i].ns) {
        i++;
    }
    atomic_fetch_add_explicit(&coll->times[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&coll->time_ns, ns, memory_order_relaxed);
}

/* coll NULL: nothing was asked of it yet. */
static void put_times(om_page *page, const char *name, const om_coll *coll)
{
    uint64_t total = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= OM_COLL_TIMES; i++) {
        total += coll != NULL ? atomic_load_explicit(&coll->times[i], memory_order_relaxed) : 0;
        om_page_printf(
            page,
            "omendb_collection_search_seconds_bucket{collection=\"%s\",le=\"%s\"} %" PRIu64 "\n",
            name, i < OM_COLL_TIMES ? bounds[i].text : "+Inf", total);
    }
    sum = coll != NULL ? atomic_load_explicit(&coll->time_ns, memory_order_relaxed) : 0;
    om_page_printf(page, "omendb_collection_search_seconds_sum{collection=\"%s\"} ", name);
    om_page_put_seconds(page, sum);
    om_page_printf(page,
                   "\nomendb_collection_search_seconds_count{collection=\"%s\"} %" PRIu64 "\n",
                   name, total);
}

static void put_all_times(void *ctx, om_page *page, const om_metrics_labelled *labelled)
{
    om_colls *c = ctx;
    om_page_put_family(
        page, "omendb_collection_search_seconds", "histogram",
        "Time of one query in the engine, of collections with a label of their own.");
    for (size_t i = 0; i < labelled->count; i++) {
        pthread_rwlock_rdlock(&c->lock);
        om_coll *coll = find(c, labelled->names[i]);
        pthread_rwlock_unlock(&c->lock);
        put_times(page, labelled->names[i], coll);
        om_coll_release(coll);
    }
}

void om_colls_observe(om_colls *c, om_metrics *metrics, om_recall *recall)
{
    c->recall = recall;
    if (om_metrics_source(metrics, put_all_times, c)) {
        c->metrics = metrics;
    }
}
