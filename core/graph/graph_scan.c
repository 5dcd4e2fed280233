/* graph_scan.c - the exact side of filtered search: every passing slot, by its code.
 * Depends on: base, simd.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_filter.h"

/* Slots gathered between two looks at the stop flag. */
#define SCAN_STOP (4u * OM_GATHER_MAX)

/* Puts the slots of one word behind the n in ids. */
static inline uint32_t unpack_word(uint64_t word, uint32_t base, uint32_t *ids, uint32_t n)
{
    for (; word != 0; word &= word - 1) {
        ids[n++] = base + (uint32_t)__builtin_ctzll(word);
    }
    return n;
}

omen_status_t om_graph_scan_filtered(const om_graph_view *view, om_graph_ctx *ctx,
                                     const om_probe *probe, uint32_t ef,
                                     const om_graph_filter *filter, const om_stop *stop,
                                     const uint64_t **keys, uint32_t *found,
                                     om_graph_counters *counters)
{
    omen_status_t status = OMEN_OK;
    const uint32_t words = (view->count + 63u) / 64u;
    const uint64_t last =
        (view->count & 63u) == 0 ? UINT64_MAX : ~(UINT64_MAX << (view->count & 63u));
    uint32_t size = 0, n = 0, unasked = 0;
    om_assert(ef >= 1 && ef <= ctx->beam_cap);
    for (uint32_t at = 0; at < words && status == OMEN_OK; at++) {
        uint64_t word = filter->pass[at] & (at + 1 == words ? last : UINT64_MAX);
        n = unpack_word(word, at * 64u, ctx->ids, n);
        unasked++;
        if (n + 64 <= OM_GATHER_MAX && at + 1 < words) {
            continue;
        }
        view->kernels->gather[probe->kind](probe, view->arrays.codes, view->stride, ctx->ids, n,
                                           ctx->distance);
        size = om_beam_take(view, ctx, n, size, ef);
        counters->distances += n;
        unasked += n;
        n = 0;
        if (unasked >= SCAN_STOP && stop != NULL) {
            unasked = 0;
            status = om_stop_check(stop);
        }
    }
    for (uint32_t i = 0; i < size; i++) {
        uint64_t key = ctx->beam[i];
        ctx->beam[i] = om_key_pack(om_key_distance(key), om_flip_slot(key));
    }
    *keys = ctx->beam;
    *found = size;
    return status;
}
