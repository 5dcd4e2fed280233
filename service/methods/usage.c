/* usage.c - measures what tenants store. Rows are the live ones; bytes what segments, indexes and the
 * rest take in memory and on disk. SPDX-License-Identifier: Apache-2.0 */
#include "usage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "tenants.h"

enum { PAGE = 64, SHARE = 20 /* of a core: one in so many */ };
#define NS_PER_SECOND UINT64_C(1000000000)

typedef struct share {
    om_tenant *tenant;
    om_tenant_look_t look;
    uint64_t rows, bytes;
} share;

static uint64_t bytes_of(const omen_stats *s)
{
    return s->bytes_disk + s->bytes_vectors + s->bytes_codes + s->bytes_links + s->bytes_ids +
           s->bytes_metadata + s->bytes_text;
}

static void add_collection(const om_rt_shared *shared, const char *name, share *shares,
                           uint32_t count)
{
    omen_open_options how = {.struct_size = sizeof how};
    omen_stats stats = {.struct_size = sizeof stats};
    omen_collection *c = NULL;
    uint32_t index = om_tenant_index(om_access_owner(shared->opt.access, name));
    if (index < count && omen_open(shared->opt.db, name, &how, &c, NULL) == OMEN_OK &&
        omen_get_stats(c, &stats, NULL) == OMEN_OK) {
        shares[index].rows += stats.count;
        shares[index].bytes += bytes_of(&stats);
    }
    omen_collection_free(c);
}

/* False: the list could not be read to its end. */
static bool add_all(const om_rt_shared *shared, share *shares, uint32_t count)
{
    char names[PAGE][OMEN_MAX_NAME + 1];
    char after[OMEN_MAX_NAME + 1] = "";
    size_t listed = PAGE;
    while (listed == PAGE) {
        if (omen_list(shared->opt.db, after[0] != '\0' ? after : NULL, names[0], PAGE, &listed,
                      NULL) != OMEN_OK) {
            return false;
        }
        for (size_t i = 0; i < listed; i++) {
            add_collection(shared, names[i], shares, count);
        }
        if (listed > 0) {
            memcpy(after, names[listed - 1], sizeof after);
        }
    }
    return true;
}

/* One at a time: each corrects the difference that it has seen. */
void om_usage_measure(om_rt_shared *shared)
{
    pthread_mutex_lock(&shared->usage.mutex);
    om_tenants *tenants = om_access_tenants(shared->opt.access);
    uint32_t count = om_tenants_count(tenants);
    share *shares = calloc(count, sizeof *shares);
    for (uint32_t i = 0; shares != NULL && i < count; i++) {
        shares[i].tenant = om_tenants_at(tenants, i);
        shares[i].look = om_tenant_look(shares[i].tenant);
    }
    /* A list that is not whole would make quotas too generous: then the last figures stay. */
    if (shares != NULL && add_all(shared, shares, count)) {
        for (uint32_t i = 0; i < count; i++) {
            om_tenant_used(shares[i].tenant, shares[i].look, shares[i].rows, shares[i].bytes);
        }
    }
    pthread_mutex_unlock(&shared->usage.mutex);
    free(shares);
}

static void measure_job(om_job *job, bool expired)
{
    om_usage *usage = (om_usage *)(void *)job;
    uint64_t start = om_pool_now_ns();
    (void)expired;
    om_usage_measure(usage->shared);
    uint64_t end = om_pool_now_ns();
    uint64_t rest = (end - start) * SHARE;
    atomic_store(&usage->next_ns, end + (rest > NS_PER_SECOND ? rest : NS_PER_SECOND));
    atomic_store(&usage->running, false);
}

void om_usage_tick(om_rt_shared *shared, uint64_t now_ns)
{
    om_usage *usage = &shared->usage;
    if (shared->opt.access == NULL || atomic_load(&shared->draining) ||
        !om_tenants_metered(om_access_tenants(shared->opt.access)) ||
        now_ns < atomic_load(&usage->next_ns) || atomic_exchange(&usage->running, true)) {
        return;
    }
    usage->shared = shared;
    usage->job.run = measure_job;
    om_pool_submit_always(shared->admin, &usage->job);
}
