/* engine_marks.c - which version is in the graph: a short table of (version, rows there were).
 * SPDX-License-Identifier: Apache-2.0
 *
 * When it is full its newest mark moves on instead of a new one being made: a version in between
 * then counts as indexed a little late, never early. */
#include "engine_int.h"

omen_status_t om_marks_reserve(om_segment *c, omen_error *err)
{
    if (c->marks != NULL) {
        return OMEN_OK;
    }
    om_mark *marks = om_alloc_zero(&c->rt->alloc, OM_MARKS, sizeof *marks, OM_CACHE_LINE);
    if (marks == NULL) {
        return om_fail_memory(err, "versions", OM_MARKS * sizeof *marks);
    }
    om_mutex_lock(&c->marks_mu);
    c->marks = marks;
    om_mutex_unlock(&c->marks_mu);
    return OMEN_OK;
}

static om_mark *mark_at(om_segment *c, uint32_t i)
{
    return &c->marks[(c->mark_first + i) % OM_MARKS];
}

/* Takes away what is in the graph by now. */
static void settle(om_segment *c)
{
    uint32_t indexed = atomic_load_explicit(&c->indexed, memory_order_acquire);
    while (c->mark_count != 0 && mark_at(c, 0)->end <= indexed) {
        c->indexed_version = mark_at(c, 0)->version;
        c->mark_first = (c->mark_first + 1) % OM_MARKS;
        c->mark_count--;
    }
}

void om_marks_push(om_segment *c, uint64_t version, uint32_t end)
{
    om_mutex_lock(&c->marks_mu);
    settle(c);
    if (c->mark_count == OM_MARKS) {
        c->mark_count--;
    }
    c->mark_count++;
    *mark_at(c, c->mark_count - 1) = (om_mark){.version = version, .end = end};
    settle(c);
    om_mutex_unlock(&c->marks_mu);
}

uint32_t om_marks_target(om_segment *c, uint64_t version)
{
    uint32_t target = 0;
    om_mutex_lock(&c->marks_mu);
    settle(c);
    if (version > c->indexed_version) {
        for (uint32_t i = 0; i < c->mark_count; i++) {
            target = mark_at(c, i)->end;
            if (mark_at(c, i)->version >= version) {
                break;
            }
        }
    }
    om_mutex_unlock(&c->marks_mu);
    return target;
}

uint64_t om_marks_indexed(om_segment *c)
{
    om_mutex_lock(&c->marks_mu);
    settle(c);
    uint64_t version = c->indexed_version;
    om_mutex_unlock(&c->marks_mu);
    return version;
}
