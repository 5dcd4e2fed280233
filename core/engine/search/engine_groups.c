/* engine_groups.c - hits of a search by the values of a field: the best few of each of the best groups.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "engine_find.h"

/* Where the hits of each group stand on the list: place i of group g is member[g * group_size + i]. */
typedef struct members {
    uint32_t *member;
    uint32_t *count; /* [wanted] */
    uint32_t groups; /* in use */
    uint32_t full;   /* of these, with group_size members */
} members;

static omen_status_t group_of(om_find *f, const om_ranked *item, uint32_t *out)
{
    om_fields_look look;
    om_meta_value value = {.type = 0};
    om_segment *seg = f->segments[item->origin];
    om_fields_look_at(seg, atomic_load(&seg->visible), &look);
    omen_status_t status = om_cell(&look, item->slot, f->group_by->id, &value, f->err);
    if (value.type == 0) {
        value = (om_meta_value){.type = 0};
    }
    return status != OMEN_OK ? status : om_values_find(&f->groups, &value, out, f->err);
}

static omen_status_t sort_into_groups(om_find *f, members *m)
{
    om_values_clear(&f->groups);
    for (uint32_t i = 0; i < f->list_count && m->full < f->wanted; i++) {
        uint32_t group = 0;
        omen_status_t status = group_of(f, &f->list[i], &group);
        if (status != OMEN_OK) {
            return status;
        }
        if (group >= f->wanted || m->count[group] == f->group_size) {
            continue;
        }
        m->groups = om_max_u32(m->groups, group + 1);
        m->member[(size_t)group * f->group_size + m->count[group]++] = i;
        m->full += m->count[group] == f->group_size;
    }
    return OMEN_OK;
}

static void write_groups(om_find *f, const members *m)
{
    bool distances = f->in->leg_count == 1 && f->in->legs[0].kind != OMEN_LEG_TEXT;
    omen_hits *hits = f->hits;
    uint32_t n = 0;
    for (uint32_t group = f->in->offset; group < m->groups; group++) {
        for (uint32_t i = 0; i < m->count[group]; i++, n++) {
            const om_ranked *item = &f->list[m->member[(size_t)group * f->group_size + i]];
            hits->keys[n] = item->key;
            if (hits->distances != NULL) {
                hits->distances[n] = distances ? item->value : INFINITY;
            }
            if (hits->scores != NULL) {
                hits->scores[n] = distances ? -INFINITY : item->value;
            }
            if (hits->groups != NULL) {
                hits->groups[n] = group - f->in->offset;
            }
        }
    }
    f->list_count = n; /* of the hits that are handed out */
}

omen_status_t om_find_groups(om_find *f, bool *more)
{
    const om_alloc *alloc = &f->c->rt->alloc;
    size_t places = (size_t)f->wanted * f->group_size;
    size_t bytes = (places + f->wanted) * sizeof(uint32_t);
    uint32_t *block = om_alloc_zero(alloc, 1, bytes, OM_CACHE_LINE);
    if (block == NULL) {
        return om_fail_memory(f->err, "groups", bytes);
    }
    members m = {.member = block, .count = block + places};
    omen_status_t status = sort_into_groups(f, &m);
    *more = m.full < f->wanted;
    if (status == OMEN_OK) {
        write_groups(f, &m);
    }
    om_alloc_put(alloc, block, bytes, OM_CACHE_LINE);
    return status;
}
