/* engine_rerank.c - distances in full precision, and the heap of the best hits.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>

#include "engine_search.h"

enum { AHEAD = 4 };

/* Sums of squares or products that leave the range of floats: once more in double, cut to the
 * largest float, so that every distance is finite and in order (infinity is what empty places of
 * the output hold). */
static OM_NODISCARD float wide_distance(const om_search *s, uint32_t slot)
{
    const om_segment *seg = s->seg;
    uint32_t dim = seg->options.dim;
    const uint8_t *row = s->view->vectors + (size_t)slot * seg->layout.row_bytes;
    uint32_t width = om_dtype_width(seg->options.dtype);
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        float value;
        om_to_f32(seg->rt->kernels, seg->options.dtype, row + (size_t)i * width, &value, 1);
        double d = seg->options.metric == OMEN_L2 ? (double)s->query[i] - (double)value : 0;
        sum += seg->options.metric == OMEN_L2 ? d * d : (double)s->query[i] * (double)value;
    }
    if (seg->options.metric == OMEN_COSINE) {
        sum = 1 - sum * (double)s->view->norms[slot];
    } else if (seg->options.metric == OMEN_IP) {
        sum = -sum;
    }
    if (!(sum <= (double)FLT_MAX)) {
        return FLT_MAX; /* NaN too: only the bytes of a damaged file can be that. */
    }
    return sum < -(double)FLT_MAX ? -FLT_MAX : (float)sum;
}

float om_exact_distance(const om_search *s, uint32_t slot)
{
    const om_segment *seg = s->seg;
    const om_kernels *kernels = seg->rt->kernels;
    const void *row = s->view->vectors + (size_t)slot * seg->layout.row_bytes;
    float distance;
    if (seg->options.metric == OMEN_L2) {
        distance = kernels->l2[seg->options.dtype](s->query, row, seg->options.dim);
    } else {
        distance = kernels->ip[seg->options.dtype](s->query, row, seg->options.dim);
        distance = seg->options.metric == OMEN_IP ? -distance : 1 - distance * s->view->norms[slot];
    }
    if (OM_UNLIKELY(!(fabsf(distance) <= FLT_MAX))) {
        distance = wide_distance(s, slot);
    }
    if (seg->options.metric == OMEN_COSINE) {
        distance = distance < 0 ? 0 : distance > 2 ? 2 : distance;
    }
    return distance + 0.0f; /* -0 becomes 0 */
}

/* ---- The heap: the worst hit on top ---------------------------------------------------------- */
static bool worse(om_hit a, om_hit b)
{
    return a.distance != b.distance ? a.distance > b.distance
                                    : (a.key != b.key ? a.key > b.key : a.slot < b.slot);
}

static void sift_down(om_hit *hits, uint32_t size, uint32_t at)
{
    om_hit hit = hits[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= size) {
            break;
        }
        if (child + 1 < size && worse(hits[child + 1], hits[child])) {
            child++;
        }
        if (!worse(hits[child], hit)) {
            break;
        }
        hits[at] = hits[child];
        at = child;
    }
    hits[at] = hit;
}

void om_heap_push(om_search *s, om_hit hit)
{
    om_hit *hits = s->ctx->hits;
    if (s->size == s->cap) {
        if (worse(hits[0], hit)) {
            hits[0] = hit;
            sift_down(hits, s->size, 0);
        }
        return;
    }
    uint32_t at = s->size++;
    while (at != 0 && worse(hit, hits[(at - 1) / 2])) {
        hits[at] = hits[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    hits[at] = hit;
}

void om_heap_sort(om_search *s)
{
    om_hit *hits = s->ctx->hits;
    for (uint32_t size = s->size; size > 1; size--) {
        om_hit last = hits[size - 1];
        hits[size - 1] = hits[0];
        hits[0] = last;
        sift_down(hits, size - 1, 0);
    }
}

/* Whether a is a later row than b. */
static bool later_row(const om_hit *a, const om_hit *b)
{
    if (a->segment == b->segment) {
        return a->slot > b->slot;
    }
    return atomic_load_explicit(&a->segment->first_version, memory_order_relaxed) >
           atomic_load_explicit(&b->segment->first_version, memory_order_relaxed);
}

void om_heap_unique(om_search *s)
{
    om_hit *hits = s->ctx->hits;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->size; i++) {
        bool newest = true;
        for (uint32_t j = 0; j < s->size && newest; j++) {
            newest = hits[j].key != hits[i].key || !later_row(&hits[j], &hits[i]);
        }
        /* The same row can come from the graph and from the scan of late rows. */
        for (uint32_t j = 0; j < kept && newest; j++) {
            newest = hits[j].key != hits[i].key;
        }
        if (newest) {
            om_hit keep = hits[i];
            hits[kept++] = keep;
        }
    }
    s->size = kept;
}

/* ---- Scoring --------------------------------------------------------------------------------- */
/* What a mapped file needs before a row may be trusted. */
static omen_status_t touch_row(om_search *s, uint32_t slot)
{
    om_mapped *mapped = s->view->mapped;
    omen_status_t status = OMEN_OK;
    if (OM_LIKELY(mapped == NULL)) {
        return OMEN_OK;
    }
    OM_TRY(om_mapped_touch(mapped, OM_TOUCH_VECTORS, slot, 1, s->err));
    OM_TRY(om_mapped_touch(mapped, OM_TOUCH_KEYS, slot, 1, s->err));
    if (s->seg->options.metric == OMEN_COSINE) {
        OM_TRY(om_mapped_touch(mapped, OM_TOUCH_NORMS, slot, 1, s->err));
    }
out:
    return status;
}

/* How far apart two distances by codes may be and still stand in the wrong order. Rounding moves every
 * component of row and query by a uniform error of variance 1/12: the squared difference of two vectors
 * then errs by 0.82 sqrt(distance), a dot product by about 0.41 |query|, and the difference of two
 * such values by sqrt(2) more. Three deviations, in the units of the probe. */
static double code_slack(const om_probe *probe, int32_t distance)
{
    double d = distance > 0 ? (double)distance : 0.0;
    double sum = 0.0;
    switch (probe->kind) {
    case OM_PROBE_L2_U8:
        return 3.5 * sqrt(d);
    case OM_PROBE_NORM: /* half the squared distance */
        return 2.5 * sqrt(d);
    case OM_PROBE_DOT:
        for (uint32_t i = 0; i < probe->bytes; i++) {
            double q = (double)((const int8_t *)probe->data)[i];
            sum += q * q;
        }
        return 1.7 * sqrt(sum);
    default:
        return 0.0;
    }
}

omen_status_t om_rerank(om_search *s, const om_probe *probe, const uint64_t *keys, uint32_t n,
                        uint32_t most)
{
    uint32_t scored = 0;
    double limit = HUGE_VAL;
    for (uint32_t i = 0; i < om_min_u32(n, AHEAD); i++) {
        om_search_prefetch_row(s, om_key_slot(keys[i]));
    }
    for (uint32_t i = 0; i < n && (most == 0 || scored < most); i++) {
        uint32_t slot = om_key_slot(keys[i]);
        if (most == 0 && (double)om_key_distance(keys[i]) > limit) {
            break;
        }
        if (i + AHEAD < n) {
            om_search_prefetch_row(s, om_key_slot(keys[i + AHEAD]));
        }
        if (s->view->mapped != NULL) {
            omen_status_t status = om_mapped_touch(s->view->mapped, OM_TOUCH_DEAD, slot, 1, s->err);
            if (status != OMEN_OK) {
                return status;
            }
        }
        if (om_search_skips(s, slot)) {
            continue;
        }
        omen_status_t status = touch_row(s, slot);
        if (status != OMEN_OK) {
            return status;
        }
        om_heap_push(s, (om_hit){om_exact_distance(s, slot), slot, s->view->keys[slot], s->seg});
        if (++scored == s->k) {
            int32_t distance = om_key_distance(keys[i]);
            limit = (double)distance + code_slack(probe, distance);
        }
    }
    s->found += scored;
    s->explain.reranked += scored;
    return OMEN_OK;
}
