/* recall_measure.c - one query, exactly and as users search it, on the collection as it is.
 *
 * The collection may change between the two. The exact search comes first: what is added meanwhile can
 * only push true neighbours out of the approximate list, and one that is farther than all of a full list
 * is no miss. What was deleted or moved meanwhile looks like a miss, so misses on a collection that has
 * changed are looked for in a second exact search, and only those that are still there count.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "recall_int.h"

typedef struct hits {
    uint64_t *keys;
    float *distances;
    uint32_t count;
    uint64_t version;
    omen_explain explain;
} hits;

/* A search keeps what it reads from being freed. On a busy machine this thread is last in line, so that
 * one that needs little may take long: then it is given up. */
#define MOST_US UINT64_C(10000000)

typedef struct measure {
    const om_recall_query *q;
    bool slow; /* a search was given up */
    omen_filter *filter;
    omen_op *op;
    hits exact, found, again;
} measure;

static bool search(measure *m, uint32_t flags, hits *out)
{
    const om_recall_query *q = m->q;
    omen_query query = {.struct_size = sizeof query,
                        .flags = flags,
                        .vectors = q->vector,
                        .dtype = q->dtype,
                        .dim = q->dim,
                        .count = 1,
                        .k = q->k,
                        .ef = (flags & OMEN_EXACT) != 0 ? 0 : q->ef,
                        .rerank = (flags & OMEN_EXACT) != 0 ? 0 : q->rerank,
                        .threads = 1,
                        .timeout_us = MOST_US,
                        .filter = m->filter,
                        .op = m->op};
    omen_hits got = {.struct_size = sizeof got,
                     .keys = out->keys,
                     .distances = out->distances,
                     .counts = &out->count,
                     .explain = &out->explain};
    omen_status_t status = omen_search(q->collection, &query, &got, NULL);
    if (status != OMEN_OK) {
        m->slow = status == OMEN_DEADLINE_EXCEEDED;
        return false;
    }
    out->version = got.version;
    return true;
}

static bool has_key(const hits *h, uint64_t key)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->keys[i] == key) {
            return true;
        }
    }
    return false;
}

/* A true neighbour is missed when it is not there although it is nearer than the last that is, or fewer
 * than k are. Among several at the same distance any will do. */
static bool is_missed(const measure *m, uint32_t i)
{
    const hits *found = &m->found;
    bool nearer =
        found->count < m->q->k || m->exact.distances[i] < found->distances[found->count - 1];
    return nearer && !has_key(found, m->exact.keys[i]);
}

static bool is_still_there(const measure *m, uint32_t i)
{
    for (uint32_t k = 0; k < m->again.count; k++) {
        if (m->again.keys[k] == m->exact.keys[i]) {
            return m->again.distances[k] <= m->exact.distances[i] &&
                   m->again.distances[k] >= m->exact.distances[i];
        }
    }
    return false;
}

static bool compare(measure *m, om_recall_result *out)
{
    uint32_t missed = 0;
    out->plan = m->found.explain.plan;
    out->wanted = m->exact.count;
    for (uint32_t i = 0; i < m->exact.count; i++) {
        missed += is_missed(m, i);
    }
    if (missed > 0 && m->found.version != m->exact.version) {
        if (!search(m, OMEN_EXACT, &m->again)) {
            return false;
        }
        missed = 0;
        for (uint32_t i = 0; i < m->exact.count; i++) {
            if (is_missed(m, i)) {
                bool there = is_still_there(m, i);
                missed += there;
                out->wanted -= !there;
            }
        }
    }
    out->found = out->wanted - missed;
    return true;
}

static bool run(measure *m, om_recall_result *out)
{
    const om_recall_query *q = m->q;
    if (q->filter != NULL &&
        omen_filter_compile(q->collection, q->filter, q->filter_size, q->params, q->param_count,
                            &m->filter, NULL) != OMEN_OK) {
        return false;
    }
    return search(m, OMEN_EXACT, &m->exact) && search(m, 0, &m->found) && compare(m, out);
}

static void place(hits *h, uint8_t **at, uint32_t k)
{
    h->keys = (uint64_t *)(void *)*at;
    *at += k * sizeof *h->keys;
    h->distances = (float *)(void *)*at;
    *at += (k + 1) / 2 * 2 * sizeof *h->distances; /* what follows is aligned to 8 */
}

om_recall_end_t om_recall_measure(const om_recall_query *q, uint64_t most_bytes, omen_op *op,
                                  om_recall_result *out)
{
    measure m = {.q = q, .op = op};
    uint64_t items = 0;
    memset(out, 0, sizeof *out);
    if (omen_count(q->collection, &items, NULL) != OMEN_OK) {
        return OM_RECALL_FAILED;
    }
    if (items > most_bytes / (q->vector_size > 0 ? q->vector_size : 1)) {
        return OM_RECALL_TOO_LARGE;
    }
    uint8_t *room = malloc(3 * ((size_t)q->k + 1) * (sizeof(uint64_t) + sizeof(float)));
    if (room == NULL) {
        return OM_RECALL_FAILED;
    }
    uint8_t *at = room;
    place(&m.exact, &at, q->k);
    place(&m.found, &at, q->k);
    place(&m.again, &at, q->k);
    om_fault_enter(q->damaged);
    bool ok = run(&m, out);
    om_fault_leave();
    omen_filter_free(m.filter);
    free(room);
    /* Where a file was cut zeros were read: the collection is marked, and what was found means nothing. */
    if (!ok && m.slow) {
        return OM_RECALL_TOO_LARGE;
    }
    return ok && atomic_load(q->damaged) == 0 ? OM_RECALL_MEASURED : OM_RECALL_FAILED;
}
