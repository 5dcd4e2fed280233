/* textbest.c - the best rows so far: a heap with the worst on top. Equal scores go by key, which is
 * looked at for them alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "text_search.h"

/* ---- Keys ----------------------------------------------------------------------------------- */
/* Keys come in runs of neighbouring rows; those of the last run are at hand. A key that cannot be read
 * fails the search at its next look at stop, or at its end. */
static uint64_t key_of(om_textrun *run, om_best *hit)
{
    const om_text_search *search = run->search;
    om_textkeys *keys = &run->keys;
    if (hit->keyed) {
        return hit->key;
    }
    if (keys->source != hit->source || hit->row - keys->first >= keys->count) {
        keys->count = 0;
        const omen_status_t status =
            search->keys(search->keys_ctx, hit->source, hit->row, &keys->key, &keys->count, run->err);
        if (status != OMEN_OK || keys->count == 0) {
            run->failed = status != OMEN_OK ? status : run->failed;
            keys->count = 0;
            return UINT64_MAX;
        }
        keys->source = hit->source;
        keys->first = hit->row;
    }
    hit->key = keys->key[hit->row - keys->first];
    hit->keyed = true;
    return hit->key;
}

static bool later(om_textrun *run, om_best *a, om_best *b)
{
    if (run->search->keys != NULL) {
        const uint64_t x = key_of(run, a), y = key_of(run, b);
        if (x != y) {
            return x > y;
        }
    }
    return a->source != b->source ? a->source > b->source : a->row > b->row;
}

/* ---- The heap ------------------------------------------------------------------------------- */
static inline bool worse(om_textrun *run, om_best *a, om_best *b)
{
    return OM_LIKELY(a->sum != b->sum) ? a->sum < b->sum : later(run, a, b);
}

static void sift(om_textrun *run, uint32_t count)
{
    om_best *best = run->scratch->best;
    om_best moved = best[0];
    uint32_t at = 0;
    for (uint32_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && worse(run, &best[child + 1], &best[child])) {
            child++;
        }
        if (!worse(run, &best[child], &moved)) {
            break;
        }
        best[at] = best[child];
        at = child;
    }
    best[at] = moved;
}

/* What a sum of this source must reach. Sums that round to the same score are at most 2^-24 of it apart.
 * An equal one may have the smaller key; without keys, rows come in ascending order, so that only the
 * worst of a later source can still be replaced by an equal one. */
static void set_need(om_textrun *run)
{
    const om_best *worst = &run->scratch->best[0];
    if (run->best < run->search->limit) {
        run->need = 1;
    } else if (run->search->keys != NULL || worst->source > run->source) {
        run->need = worst->sum - (worst->sum >> 24);
    } else {
        run->need = worst->sum + 1;
    }
}

void om_textrun_source(om_textrun *run, uint32_t source)
{
    run->source = source;
    run->from = &run->search->sources[source];
    run->limit = run->from->count;
    if (run->from->image != NULL) {
        run->limit = om_min_u32(run->limit, run->from->image->head->rows);
    }
    set_need(run);
}

void om_textrun_offer(om_textrun *run, uint32_t row, uint32_t sum)
{
    om_best *best = run->scratch->best;
    om_best hit = {.sum = (uint32_t)(float)sum, .source = run->source, .row = row};
    if (run->best < run->search->limit) {
        uint32_t at = run->best++;
        for (; at > 0 && worse(run, &hit, &best[(at - 1) / 2]); at = (at - 1) / 2) {
            best[at] = best[(at - 1) / 2];
        }
        best[at] = hit;
    } else if (worse(run, &best[0], &hit)) {
        best[0] = hit;
        sift(run, run->best);
    } else {
        return;
    }
    set_need(run);
}

void om_textrun_put(om_textrun *run)
{
    om_best *best = run->scratch->best;
    om_text_search *search = run->search;
    search->found = run->best;
    for (uint32_t left = run->best; left > 0; left--) {
        const om_best worst = best[0];
        best[0] = best[left - 1];
        sift(run, left - 1);
        search->hits[left - 1] =
            (om_text_hit){.score = (float)ldexp((double)worst.sum, -run->exponent),
                          .source = worst.source,
                          .row = worst.row};
    }
}
