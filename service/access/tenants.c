/* tenants.c - the limits of tenants. Counters are atomics that everybody may read and change without
 * waiting; only the table of names has a lock. SPDX-License-Identifier: Apache-2.0 */
#include "tenants.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

enum { RETRY_SLOT_MS = 100 /* when a call in flight may have ended */ };

struct om_tenant {
    char name[OM_ACCESS_MAX_PRINCIPAL + 1];
    uint32_t index;
    _Atomic uint64_t max_rows, max_bytes;
    _Atomic uint32_t calls_a_second, calls_at_once, max_streams, weight;
    /* The bucket as the time at which it is full again: a rate, a depth and one atomic number. */
    _Atomic uint64_t full_ns;
    _Atomic uint32_t calls, streams;
    _Atomic int64_t used_rows, used_bytes; /* as measured last, plus what was added since   */
    _Atomic uint64_t claimed_rows,
        claimed_bytes; /* by batches that are under way                 */
};

struct om_tenants {
    pthread_mutex_t mutex;
    uint32_t count;                          /* guarded by mutex, as the table */
    om_tenant *table[OM_ACCESS_MAX_TENANTS]; /* what it points to lives until free */
    _Atomic bool metered;
};

/* ---- The table ------------------------------------------------------------------------------------- */

static void set_limits(om_tenant *t, const om_tenant_limits *limits)
{
    atomic_store(&t->max_rows, limits->rows);
    atomic_store(&t->max_bytes, limits->bytes);
    atomic_store(&t->calls_a_second, limits->calls_a_second);
    atomic_store(&t->calls_at_once, limits->calls_at_once);
    atomic_store(&t->max_streams, limits->streams);
    uint32_t weight = limits->weight > 0 ? limits->weight : 1;
    atomic_store(&t->weight, weight < OM_TENANT_MAX_WEIGHT ? weight : OM_TENANT_MAX_WEIGHT);
}

static om_tenant *find(om_tenants *tenants, const char *name)
{
    for (uint32_t i = 0; i < tenants->count; i++) {
        if (strcmp(tenants->table[i]->name, name) == 0) {
            return tenants->table[i];
        }
    }
    return NULL;
}

static om_tenant *add(om_tenants *tenants, const char *name)
{
    size_t size = strlen(name);
    if (tenants->count == OM_ACCESS_MAX_TENANTS || size == 0 || size > OM_ACCESS_MAX_PRINCIPAL) {
        return NULL;
    }
    om_tenant *t = calloc(1, sizeof *t);
    if (t != NULL) {
        memcpy(t->name, name, size);
        t->index = tenants->count;
        tenants->table[tenants->count++] = t;
    }
    return t;
}

/* A limit that is taken away again leaves one poll too many: the mutex is held. */
static void note_metered(om_tenants *tenants)
{
    bool metered = false;
    for (uint32_t i = 0; i < tenants->count; i++) {
        const om_tenant *t = tenants->table[i];
        metered = metered || atomic_load(&t->max_rows) != 0 || atomic_load(&t->max_bytes) != 0;
    }
    atomic_store(&tenants->metered, metered);
}

om_tenant *om_tenants_set(om_tenants *tenants, const char *name, const om_tenant_limits *limits)
{
    pthread_mutex_lock(&tenants->mutex);
    om_tenant *t = find(tenants, name);
    t = t != NULL ? t : add(tenants, name);
    if (t != NULL) {
        set_limits(t, limits);
        note_metered(tenants);
    }
    pthread_mutex_unlock(&tenants->mutex);
    return t;
}

om_tenant *om_tenants_find(om_tenants *tenants, const char *name)
{
    pthread_mutex_lock(&tenants->mutex);
    om_tenant *t = find(tenants, name);
    pthread_mutex_unlock(&tenants->mutex);
    return t;
}

uint32_t om_tenants_count(om_tenants *tenants)
{
    pthread_mutex_lock(&tenants->mutex);
    uint32_t count = tenants->count;
    pthread_mutex_unlock(&tenants->mutex);
    return count;
}

om_tenant *om_tenants_at(om_tenants *tenants, uint32_t i)
{
    pthread_mutex_lock(&tenants->mutex);
    om_tenant *t = i < tenants->count ? tenants->table[i] : NULL;
    pthread_mutex_unlock(&tenants->mutex);
    return t;
}

om_tenants *om_tenants_create(void)
{
    om_tenants *tenants = calloc(1, sizeof *tenants);
    if (tenants == NULL) {
        return NULL;
    }
    pthread_mutex_init(&tenants->mutex, NULL);
    if (om_tenants_set(tenants, "default", &(om_tenant_limits){0}) == NULL) {
        om_tenants_free(tenants);
        return NULL;
    }
    return tenants;
}

void om_tenants_free(om_tenants *tenants)
{
    if (tenants == NULL) {
        return;
    }
    for (uint32_t i = 0; i < tenants->count; i++) {
        free(tenants->table[i]);
    }
    pthread_mutex_destroy(&tenants->mutex);
    free(tenants);
}

bool om_tenants_metered(const om_tenants *tenants)
{
    return atomic_load_explicit(&tenants->metered, memory_order_relaxed);
}

const char *om_tenant_name(const om_tenant *tenant)
{
    return tenant->name;
}

uint32_t om_tenant_index(const om_tenant *tenant)
{
    return tenant->index;
}

uint32_t om_tenant_weight(const om_tenant *tenant)
{
    return atomic_load_explicit(&tenant->weight, memory_order_relaxed);
}

/* ---- Calls ------------------------------------------------------------------------------------------ */

/* One more of something of which `limit` (0: any number) may be there. */
static bool count_in(_Atomic uint32_t *count, uint32_t limit)
{
    uint32_t before = atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    if (limit == 0 || before < limit) {
        return true;
    }
    atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
    return false;
}

static bool refuse_more(const om_tenant *t, const char *what, uint32_t limit, om_failure *f)
{
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "CONCURRENCY", NULL,
                   "the tenant %s may have %u %s at once, and has them", t->name, limit, what);
    f->retry_ms = RETRY_SLOT_MS;
    return false;
}

/* Takes a token. A call moves the time at which the bucket is full again by its share of a second;
 * more than a second ahead means empty. */
static bool take_token(om_tenant *t, uint64_t now_ns, om_failure *f)
{
    uint32_t rate = atomic_load_explicit(&t->calls_a_second, memory_order_relaxed);
    if (rate == 0) {
        return true;
    }
    uint64_t share = NS_PER_SECOND / rate;
    uint64_t full = atomic_load_explicit(&t->full_ns, memory_order_relaxed);
    for (;;) {
        uint64_t from = full > now_ns ? full : now_ns;
        uint64_t next = from + share;
        if (next - now_ns > NS_PER_SECOND) {
            om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "RATE", NULL,
                           "the tenant %s may make %u calls a second", t->name, rate);
            f->retry_ms = (uint32_t)((next - now_ns - NS_PER_SECOND) / NS_PER_MS) + 1;
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&t->full_ns, &full, next, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
}

bool om_tenant_enter(om_tenant *t, uint64_t now_ns, bool stream, om_failure *f)
{
    uint32_t at_once = atomic_load_explicit(&t->calls_at_once, memory_order_relaxed);
    uint32_t streams = atomic_load_explicit(&t->max_streams, memory_order_relaxed);
    if (!count_in(&t->calls, at_once)) {
        return refuse_more(t, "calls", at_once, f);
    }
    if (stream && !count_in(&t->streams, streams)) {
        atomic_fetch_sub_explicit(&t->calls, 1, memory_order_relaxed);
        return refuse_more(t, "streams", streams, f);
    }
    /* Last, so that a call that is refused otherwise takes no token. */
    if (!take_token(t, now_ns, f)) {
        om_tenant_leave(t, stream);
        return false;
    }
    return true;
}

void om_tenant_leave(om_tenant *t, bool stream)
{
    atomic_fetch_sub_explicit(&t->calls, 1, memory_order_relaxed);
    if (stream) {
        atomic_fetch_sub_explicit(&t->streams, 1, memory_order_relaxed);
    }
}

/* ---- What is stored ---------------------------------------------------------------------------------- */

static uint64_t positive(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

/* Whether `more` fits, and then claims it. Batches that come together cannot pass the limit together,
 * since each sees the claims of those before it. */
static bool claim(_Atomic uint64_t *claimed, const _Atomic int64_t *used, uint64_t more,
                  uint64_t limit)
{
    uint64_t all = atomic_fetch_add(claimed, more) + more;
    /* What adds nothing (deletes, updates) is always welcome. */
    if (limit == 0 || more == 0 || positive(atomic_load(used)) + all <= limit) {
        return true;
    }
    atomic_fetch_sub(claimed, more);
    return false;
}

static bool over_quota(const om_tenant *t, const char *what, uint64_t more, om_failure *f)
{
    bool rows = strcmp(what, "rows") == 0;
    uint64_t used = positive(atomic_load(rows ? &t->used_rows : &t->used_bytes)) +
                    atomic_load(rows ? &t->claimed_rows : &t->claimed_bytes);
    uint64_t limit = atomic_load(rows ? &t->max_rows : &t->max_bytes);
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "QUOTA", NULL,
                   "the tenant %s may store %llu %s and uses %llu; the batch may add %llu: delete "
                   "items, or raise the quota%s",
                   t->name, (unsigned long long)limit, what, (unsigned long long)used,
                   (unsigned long long)more,
                   rows ? " (items that are there already may be sent with op UPDATE)" : "");
    snprintf(f->quota, sizeof f->quota, "%s/%s", t->name, what);
    return false;
}

bool om_tenant_claim_room(om_tenant *t, const om_tenant_claim *c, om_failure *f)
{
    if (!claim(&t->claimed_rows, &t->used_rows, c->rows, atomic_load(&t->max_rows))) {
        return over_quota(t, "rows", c->rows, f);
    }
    if (!claim(&t->claimed_bytes, &t->used_bytes, c->bytes, atomic_load(&t->max_bytes))) {
        atomic_fetch_sub(&t->claimed_rows, c->rows);
        return over_quota(t, "bytes", c->bytes, f);
    }
    return true;
}

/* First added, then given back: in between the batch counts twice, never not at all. */
void om_tenant_settle(om_tenant *t, const om_tenant_claim *c, const om_tenant_claim *added)
{
    atomic_fetch_add(&t->used_rows, (int64_t)added->rows);
    atomic_fetch_add(&t->used_bytes, (int64_t)added->bytes);
    atomic_fetch_sub(&t->claimed_rows, c->rows);
    atomic_fetch_sub(&t->claimed_bytes, c->bytes);
}

om_tenant_look_t om_tenant_look(const om_tenant *t)
{
    return (om_tenant_look_t){atomic_load(&t->used_rows), atomic_load(&t->used_bytes)};
}

/* What was added since the look stays on top of what was measured. */
void om_tenant_used(om_tenant *t, om_tenant_look_t look, uint64_t rows, uint64_t bytes)
{
    atomic_fetch_add(&t->used_rows, (int64_t)rows - look.rows);
    atomic_fetch_add(&t->used_bytes, (int64_t)bytes - look.bytes);
}

void om_tenant_get(const om_tenant *t, om_tenant_limits *limits, uint64_t *rows, uint64_t *bytes)
{
    if (limits != NULL) {
        *limits = (om_tenant_limits){.rows = atomic_load(&t->max_rows),
                                     .bytes = atomic_load(&t->max_bytes),
                                     .calls_a_second = atomic_load(&t->calls_a_second),
                                     .calls_at_once = atomic_load(&t->calls_at_once),
                                     .streams = atomic_load(&t->max_streams),
                                     .weight = atomic_load(&t->weight)};
    }
    if (rows != NULL) {
        *rows = positive(atomic_load(&t->used_rows));
    }
    if (bytes != NULL) {
        *bytes = positive(atomic_load(&t->used_bytes));
    }
}
