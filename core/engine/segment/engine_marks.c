/* engine_marks.c - which version is in the graph: a short table of (version, rows there were).
 * SPDX-License-Identifier: Apache-2.0
 *
 * When it is full its newest mark moves on instead of a new one being made: a version in between
 * then counts as indexed a little late, never early. */
#include "engine_int.h"

omen_status_t om_marks_reserve(om_segment *seg, omen_error *err)
{
    if (seg->marks != NULL) {
        return OMEN_OK;
    }
    om_mark *marks = om_alloc_zero(&seg->rt->alloc, OM_MARKS, sizeof *marks, OM_CACHE_LINE);
    if (marks == NULL) {
        return om_fail_memory(err, "versions", OM_MARKS * sizeof *marks);
    }
    om_mutex_lock(&seg->marks_mu);
    seg->marks = marks;
    om_mutex_unlock(&seg->marks_mu);
    return OMEN_OK;
}

static om_mark *mark_at(om_segment *seg, uint32_t i)
{
    return &seg->marks[(seg->mark_first + i) % OM_MARKS];
}

/* Takes away what is in the graph by now. */
static void settle(om_segment *seg)
{
    uint32_t indexed = atomic_load_explicit(&seg->indexed, memory_order_acquire);
    while (seg->mark_count != 0 && mark_at(seg, 0)->end <= indexed) {
        seg->indexed_version = mark_at(seg, 0)->version;
        seg->mark_first = (seg->mark_first + 1) % OM_MARKS;
        seg->mark_count--;
    }
}

void om_marks_push(om_segment *seg, uint64_t version, uint32_t end)
{
    om_mutex_lock(&seg->marks_mu);
    settle(seg);
    if (seg->mark_count == OM_MARKS) {
        seg->mark_count--;
    }
    seg->mark_count++;
    *mark_at(seg, seg->mark_count - 1) = (om_mark){.version = version, .end = end};
    settle(seg);
    om_mutex_unlock(&seg->marks_mu);
}

uint32_t om_marks_target(om_segment *seg, uint64_t version)
{
    uint32_t target = 0;
    om_mutex_lock(&seg->marks_mu);
    settle(seg);
    if (version > seg->indexed_version) {
        for (uint32_t i = 0; i < seg->mark_count; i++) {
            target = mark_at(seg, i)->end;
            if (mark_at(seg, i)->version >= version) {
                break;
            }
        }
    }
    om_mutex_unlock(&seg->marks_mu);
    return target;
}

uint64_t om_marks_indexed(om_segment *seg)
{
    om_mutex_lock(&seg->marks_mu);
    settle(seg);
    uint64_t version = seg->indexed_version;
    om_mutex_unlock(&seg->marks_mu);
    return version;
}
