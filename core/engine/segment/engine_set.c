/* engine_set.c - which segments a collection consists of: immutable arrays, replaced as a whole and freed
 * when no search can hold them any more.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_disk.h"

static size_t size_of(uint32_t count)
{
    return sizeof(om_set) + count * sizeof(om_segment *);
}

static omen_status_t make_empty(omen_runtime *rt, uint32_t count, om_set **out, omen_error *err)
{
    om_set *set = om_alloc_zero(&rt->alloc, 1, size_of(count), OM_CACHE_LINE);
    if (set == NULL) {
        return om_fail_memory(err, "segment list", size_of(count));
    }
    *out = set;
    return OMEN_OK;
}

static void put(om_set *set, om_segment *seg)
{
    om_segment_ref(seg);
    set->part[set->count++] = seg;
}

omen_status_t om_set_make(omen_runtime *rt, om_segment *const *parts, uint32_t count, om_set **out,
                          omen_error *err)
{
    om_set *set = NULL;
    omen_status_t status = make_empty(rt, count, &set, err);
    if (status != OMEN_OK) {
        return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        put(set, parts[i]);
    }
    *out = set;
    return OMEN_OK;
}

static void free_set(omen_runtime *rt, om_set *set, uint32_t room)
{
    for (uint32_t i = 0; i < set->count; i++) {
        om_segment_unref(set->part[i]);
    }
    om_alloc_put(&rt->alloc, set, size_of(room), OM_CACHE_LINE);
}

void om_set_free(omen_runtime *rt, om_set *set)
{
    if (set != NULL) {
        free_set(rt, set, set->count);
    }
}

void om_set_publish(om_collection *c, om_set *set)
{
    om_set *former = om_set_load(c);
    atomic_store(&c->set, set);
    if (former != NULL) {
        former->tag = om_epoch_tag(c->rt);
        former->next = c->retired_sets;
        c->retired_sets = former;
    }
}

om_set *om_sets_reclaim(om_collection *c)
{
    om_set **at = &c->retired_sets; /* newest first: behind the first one that is past, all are */
    while (*at != NULL && !om_epoch_passed(c->rt, (*at)->tag)) {
        at = &(*at)->next;
    }
    om_set *past = *at;
    *at = NULL;
    return past;
}

void om_sets_free_list(omen_runtime *rt, om_set *list)
{
    while (list != NULL) {
        om_set *next = list->next;
        om_set_free(rt, list);
        list = next;
    }
}

omen_status_t om_set_hold(om_collection *c, om_set **out, omen_error *err)
{
    om_mutex_lock(&c->write_mu); /* sets are replaced with it held: this one cannot go meanwhile */
    const om_set *set = om_set_load(c);
    omen_status_t status = om_set_make(c->rt, set->part, set->count, out, err);
    om_mutex_unlock(&c->write_mu);
    return status;
}

omen_status_t om_set_make_replaced(om_collection *c, om_segment *first, uint32_t count,
                                   om_segment *by, om_set **out, omen_error *err)
{
    const om_set *set = om_set_load(c);
    om_set *made = NULL;
    uint32_t size = set->count - count + (by != NULL);
    omen_status_t status = make_empty(c->rt, size, &made, err);
    if (status != OMEN_OK) {
        return status;
    }
    for (uint32_t i = 0; i < set->count;) {
        if (set->part[i] != first || count == 0) {
            put(made, set->part[i++]);
            continue;
        }
        if (by != NULL) {
            put(made, by);
        }
        i += count;
        count = 0;
    }
    om_assert(made->count == size);
    *out = made;
    return OMEN_OK;
}

omen_status_t om_collection_freeze(om_collection *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_set *set = om_set_load(c);
    om_segment *last = om_set_last(set);
    om_segment *fresh = NULL;
    om_set *made = NULL;
    if (last->mapped != NULL || atomic_load(&last->visible) == 0) {
        return OMEN_OK;
    }
    OM_TRY(om_segment_create(c, &fresh, err));
    OM_TRY(make_empty(c->rt, set->count + 1, &made, err));
    for (uint32_t i = 0; i < set->count; i++) {
        put(made, set->part[i]);
    }
    put(made, fresh);
    if (c->db->disk != NULL) {
        om_record_sealed(c);
    }
    atomic_store(&last->frozen, true);
    om_set_publish(c, made);
    om_indexer_notify(last); /* its last, incomplete micro-batch is wanted now */
out:
    om_segment_unref(fresh);
    return status;
}
