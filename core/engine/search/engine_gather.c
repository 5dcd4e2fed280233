/* engine_gather.c - the rows that pass, one after the other: in full precision, or by their codes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_filter.h"

enum { CHUNK = 256, AHEAD = 4 };

/* Slots of rows that pass and live, in order. */
typedef struct slots {
    om_rows_of of;
    uint64_t bits; /* of `word` that were not taken yet */
    uint32_t word, end;
    uint32_t ids[CHUNK + AHEAD];
} slots;

static omen_status_t begin(om_search *s, uint32_t first, uint32_t last, slots *out)
{
    om_part part = {.segment = s->seg,
                    .view = s->view,
                    .snapshot = s->snapshot,
                    .number = s->part,
                    .rows = s->rows};
    out->word = first >> 6;
    out->end = ((last - 1) >> 6) + 1;
    omen_status_t status = om_rows_begin(&part, s->pass, first, last, &out->of, s->err);
    out->bits = status == OMEN_OK ? om_rows_word(&out->of, out->word) : 0;
    return status;
}

/* Up to CHUNK slots; 0: there are no more. */
static uint32_t take(slots *at)
{
    uint32_t n = 0;
    while (n < CHUNK) {
        if (at->bits == 0) {
            if (at->word + 1 >= at->end) {
                break;
            }
            at->bits = om_rows_word(&at->of, ++at->word);
            continue;
        }
        at->ids[n++] = (at->word << 6) + (uint32_t)__builtin_ctzll(at->bits);
        at->bits &= at->bits - 1;
    }
    return n;
}

/* ---- In full precision --------------------------------------------------------------------------- */
static omen_status_t touch_row(om_search *s, uint32_t slot)
{
    om_mapped *mapped = s->view->mapped;
    omen_status_t status = OMEN_OK;
    OM_TRY(om_mapped_touch(mapped, OM_TOUCH_VECTORS, slot, 1, s->err));
    OM_TRY(om_mapped_touch(mapped, OM_TOUCH_KEYS, slot, 1, s->err));
    if (s->seg->options.metric == OMEN_COSINE) {
        OM_TRY(om_mapped_touch(mapped, OM_TOUCH_NORMS, slot, 1, s->err));
    }
out:
    return status;
}

static omen_status_t score(om_search *s, const slots *at, uint32_t n)
{
    for (uint32_t i = 0; i < om_min_u32(n, AHEAD); i++) {
        om_search_prefetch_row(s, at->ids[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = at->ids[i];
        if (i + AHEAD < n) {
            om_search_prefetch_row(s, at->ids[i + AHEAD]);
        }
        if (s->view->mapped != NULL) {
            omen_status_t status = touch_row(s, slot);
            if (status != OMEN_OK) {
                return status;
            }
        }
        float distance = om_exact_distance(s, slot);
        if (s->size < s->cap || distance <= s->ctx->hits[0].distance) {
            om_heap_push(s, (om_hit){distance, slot, s->view->keys[slot], s->seg});
        }
    }
    s->found += n;
    s->explain.scanned += n;
    return OMEN_OK;
}

omen_status_t om_gather_raw(om_search *s, uint32_t first, uint32_t last)
{
    omen_status_t status = OMEN_OK;
    slots at;
    if (first >= last) {
        return OMEN_OK;
    }
    OM_TRY(begin(s, first, last, &at));
    for (uint32_t n; (n = take(&at)) != 0 && !s->partial;) {
        status = om_stop_check(&s->stop);
        if (status != OMEN_OK) {
            return om_search_stopped(s, status);
        }
        OM_TRY(score(s, &at, n));
    }
out:
    return status;
}

/* ---- By codes ------------------------------------------------------------------------------------ */
typedef struct code_gather {
    uint64_t *beam;
    uint32_t size, cap;
    int32_t distance[CHUNK];
    uint64_t packed[CHUNK + 16];
} code_gather;

static void compare(om_search *s, code_gather *g, const om_probe *probe, const slots *at,
                    uint32_t n)
{
    const om_kernels *kernels = s->seg->rt->kernels;
    kernels->gather[probe->kind](probe, s->view->codes, s->seg->layout.code_stride, at->ids, n,
                                 g->distance);
    int32_t limit = g->size == g->cap ? om_key_distance(g->beam[g->cap - 1]) : INT32_MAX;
    uint32_t packed = kernels->pack_below(g->distance, at->ids, n, limit, g->packed);
    for (uint32_t i = 0; i < packed; i++) {
        uint64_t key = g->packed[i];
        if (g->size == g->cap && key >= g->beam[g->cap - 1]) {
            continue;
        }
        (void)kernels->beam_insert(g->beam, g->size, g->cap, key);
        g->size += g->size < g->cap;
    }
}

/* Codes of a file are checked before their first use; all at once when the graph is walked. */
static omen_status_t touch_codes(om_search *s, const slots *at, uint32_t n)
{
    om_mapped *mapped = s->view->mapped;
    omen_status_t status = OMEN_OK;
    if (mapped == NULL || atomic_load_explicit(&mapped->verified, memory_order_acquire)) {
        return OMEN_OK;
    }
    for (uint32_t i = 0; i < n && status == OMEN_OK; i++) {
        status = om_mapped_touch(mapped, OM_TOUCH_CODES, at->ids[i], 1, s->err);
    }
    return status;
}

omen_status_t om_gather_codes(om_search *s, const om_probe *probe, uint32_t first, uint32_t last,
                              uint32_t cap, uint32_t *found)
{
    omen_status_t status = OMEN_OK;
    code_gather gather = {.beam = s->ctx->beam, .cap = cap};
    slots at;
    *found = 0;
    if (first >= last) {
        return OMEN_OK;
    }
    OM_TRY(begin(s, first, last, &at));
    for (uint32_t n; (n = take(&at)) != 0;) {
        status = om_stop_check(&s->stop);
        if (status != OMEN_OK) {
            status = om_search_stopped(s, status);
            break;
        }
        OM_TRY(touch_codes(s, &at, n));
        compare(s, &gather, probe, &at, n);
        s->explain.scanned += n;
    }
    *found = gather.size;
out:
    return status;
}
