/* engine_scan.c - rows one after the other: in full precision, or by their codes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_search.h"

enum { CHUNK = 256, RAW_CHUNK = 256 };

omen_status_t om_search_stopped(om_search *s, omen_status_t status)
{
    if (status == OMEN_DEADLINE_EXCEEDED && (s->flags & OMEN_PARTIAL_OK) != 0) {
        s->partial = true;
        return OMEN_OK;
    }
    return om_fail(
        s->err, status, OMEN_D_NONE, "search stopped after %llu graph distances and %llu rows",
        (unsigned long long)s->counters.distances, (unsigned long long)s->explain.scanned);
}

static omen_status_t touch_rows(om_search *s, uint32_t first, uint32_t n)
{
    om_mapped *mapped = s->view->mapped;
    omen_status_t status = OMEN_OK;
    if (OM_LIKELY(mapped == NULL)) {
        return OMEN_OK;
    }
    OM_TRY(om_mapped_touch(mapped, OM_TOUCH_DEAD, first, n, s->err));
    OM_TRY(om_mapped_touch(mapped, OM_TOUCH_VECTORS, first, n, s->err));
    OM_TRY(om_mapped_touch(mapped, OM_TOUCH_KEYS, first, n, s->err));
    if (s->seg->options.metric == OMEN_COSINE) {
        OM_TRY(om_mapped_touch(mapped, OM_TOUCH_NORMS, first, n, s->err));
    }
out:
    return status;
}

omen_status_t om_scan_raw(om_search *s, uint32_t first, uint32_t last)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t from = first; from < last && !s->partial; from += RAW_CHUNK) {
        uint32_t to = om_min_u32(last, from + RAW_CHUNK);
        status = om_stop_check(&s->stop);
        if (status != OMEN_OK) {
            return om_search_stopped(s, status);
        }
        OM_TRY(touch_rows(s, from, to - from));
        for (uint32_t slot = from; slot < to; slot++) {
            if (OM_UNLIKELY(om_search_skips(s, slot))) {
                continue;
            }
            s->found++;
            float distance = om_exact_distance(s, slot);
            if (s->size < s->cap || distance <= s->ctx->hits[0].distance) {
                om_heap_push(s, (om_hit){distance, slot, s->view->keys[slot], s->seg});
            }
        }
        s->explain.scanned += to - from;
    }
out:
    return status;
}

/* The scan's state: a sorted beam like the graph's. */
typedef struct code_scan {
    uint64_t *beam;
    uint32_t size, cap;
    uint32_t ids[CHUNK];
    int32_t distance[CHUNK];
    uint64_t packed[CHUNK + 16];
} code_scan;

static void take_chunk(om_search *s, code_scan *scan, const om_probe *probe, uint32_t n)
{
    const om_kernels *kernels = s->seg->rt->kernels;
    kernels->gather[probe->kind](probe, s->view->codes, s->seg->layout.code_stride, scan->ids, n,
                                 scan->distance);
    int32_t limit =
        scan->size == scan->cap ? om_key_distance(scan->beam[scan->cap - 1]) : INT32_MAX;
    uint32_t packed = kernels->pack_below(scan->distance, scan->ids, n, limit, scan->packed);
    for (uint32_t i = 0; i < packed; i++) {
        uint64_t key = scan->packed[i];
        if (scan->size == scan->cap && key >= scan->beam[scan->cap - 1]) {
            continue;
        }
        if (OM_UNLIKELY(om_search_skips(s, om_key_slot(key)))) {
            continue;
        }
        (void)kernels->beam_insert(scan->beam, scan->size, scan->cap, key);
        scan->size += scan->size < scan->cap;
    }
}

omen_status_t om_scan_codes(om_search *s, const om_probe *probe, uint32_t first, uint32_t last,
                            uint32_t cap, uint32_t *found)
{
    omen_status_t status = OMEN_OK;
    code_scan scan = {.beam = s->ctx->beam, .cap = cap};
    for (uint32_t from = first; from < last; from += CHUNK) {
        uint32_t n = om_min_u32(CHUNK, last - from);
        status = om_stop_check(&s->stop);
        if (status != OMEN_OK) {
            status = om_search_stopped(s, status);
            break;
        }
        if (s->view->mapped != NULL) {
            OM_TRY(om_mapped_touch(s->view->mapped, OM_TOUCH_DEAD, from, n, s->err));
            OM_TRY(om_mapped_touch(s->view->mapped, OM_TOUCH_CODES, from, n, s->err));
        }
        for (uint32_t i = 0; i < n; i++) {
            scan.ids[i] = from + i;
        }
        take_chunk(s, &scan, probe, n);
        s->explain.scanned += n;
    }
    *found = scan.size;
out:
    return status;
}
