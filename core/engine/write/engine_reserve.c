/* engine_reserve.c - memory that writers leave alone, so that what frees memory can always be done.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Under a memory limit rows leave memory by being sealed, which itself takes some: scratch of the graph, a
 * sorted map, the file's buffer. If writers took the last byte, no segment would ever be sealed and every
 * write be refused from then on. So they stop short of the limit, and freeze what they have. */
#include "engine_fields_int.h"

/* An eighth of the limit, or what a seal of the collection needs: mostly the sample that the entry points of
 * its graph are drawn from. Never more than a half. */
enum {
    RESERVE_IN = 8,
    RESERVE_MOST_IN = 2,
    BLOCK_COST = 4,
    PATIENCE_S = 10,
    SEED_SAMPLE = 8192,
    SEEDS = 2048
};
/* Scratch of the builders of a few segments, samples that codecs are trained on, the file's buffer, maps. */
#define RESERVE_LEAST (UINT64_C(20) << 20)

static uint64_t needed_by(om_collection *c)
{
    const om_layout *layout = &om_set_last(om_set_load(c))->layout;
    return RESERVE_LEAST +
           (om_min_u64(c->seal_rows, SEED_SAMPLE) + SEEDS) * (layout->code_stride + 16);
}

/* Bytes of single rows of metadata and text in the segment that has most of them. write_mu held. */
static uint64_t unbuilt(om_collection *c)
{
    const om_set *set = om_set_load(c);
    uint64_t most = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const om_fields *fields = om_fields_of(set->part[i]);
        uint64_t bytes = fields != NULL ? fields->meta.bytes + fields->text.bytes : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Sealing makes a block of the single rows: columns that grow by doubling, then its bytes. `own`: bytes of
 * a batch that will be among them. write_mu held. */
static bool blocks_do_not_fit(om_collection *c, uint64_t own)
{
    uint64_t limit = c->rt->budget.limit;
    uint64_t rows = unbuilt(c) + own;
    return rows != 0 &&
           atomic_load(&c->rt->budget.used) + BLOCK_COST * rows + RESERVE_LEAST / 2 > limit;
}

/* write_mu held. */
static bool memory_short(om_collection *c, uint64_t own)
{
    uint64_t limit = c->rt->budget.limit;
    uint64_t reserve = limit / RESERVE_IN;
    uint64_t needed = needed_by(c);
    reserve = reserve > needed ? reserve : needed;
    reserve = om_min_u64(reserve, limit / RESERVE_MOST_IN);
    return limit != 0 &&
           (atomic_load(&c->rt->budget.used) > limit - reserve || blocks_do_not_fit(c, own));
}

static bool short_for(om_collection *c, uint64_t own)
{
    if (OM_LIKELY(c->rt->budget.limit == 0)) {
        return false;
    }
    om_mutex_lock(&c->write_mu);
    bool less = memory_short(c, own);
    om_mutex_unlock(&c->write_mu);
    return less;
}

bool om_memory_short(om_collection *c)
{
    return short_for(c, 0);
}

/* Whether there is something for the keeper to seal; the growing rows are, when nothing else is. */
static bool give_up_rows(om_collection *c)
{
    bool any = false;
    om_mutex_lock(&c->write_mu);
    const om_set *set = om_set_load(c);
    for (uint32_t i = 0; i < set->count; i++) {
        any = any || (set->part[i]->mapped == NULL && atomic_load(&set->part[i]->frozen));
    }
    if (!any && atomic_load(&om_set_last(set)->visible) != 0) {
        any = om_collection_freeze(c, NULL) == OMEN_OK;
    }
    om_mutex_unlock(&c->write_mu);
    return any;
}

static omen_status_t refuse(const om_write *w, omen_error *err)
{
    omen_runtime *rt = w->c->rt;
    atomic_fetch_add_explicit(&rt->budget.rejections, 1, memory_order_relaxed);
    return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BUDGET,
                   "memory limit: %llu of %llu bytes are in use, the rest is kept for sealing",
                   (unsigned long long)atomic_load(&rt->budget.used),
                   (unsigned long long)rt->budget.limit);
}

omen_status_t om_write_leave_room(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = w->c;
    om_disk *disk = c->db->disk;
    om_stop stop = {.op = w->op};
    uint64_t own = om_fields_bytes(w);
    if (OM_LIKELY(disk == NULL || !short_for(c, own))) {
        return OMEN_OK;
    }
    uint64_t patience = om_now_ns() + PATIENCE_S * UINT64_C(1000000000);
    while (status == OMEN_OK && short_for(c, own)) {
        bool any = give_up_rows(c);
        om_keeper_notify(c->db);
        if (!any || disk->keeper == NULL || (w->batch->flags & OMEN_NO_THROTTLE) != 0 ||
            om_now_ns() > patience) {
            return refuse(w, err);
        }
        if (om_stop_check(&stop) != OMEN_OK) {
            return om_fail(err, OMEN_CANCELLED, OMEN_D_NONE,
                           "cancelled before anything was written");
        }
        om_indexer_pause(c->rt);
        status = om_disk_writable(c->db, false, err);
    }
    return status;
}
