/* recall.h - how many true neighbours searches find, measured on the searches of users: one of many is done
 * again, exactly, by a thread of the lowest priority, and compared.
 *
 * Its cost is capped twice: the copy of a query is made for one search of `sample`, and the thread rests
 * after each measurement until it has used no more than `permille` of one core. What is too large or
 * cannot wait any more is left out and counted, never made up for.
 * Depends on: omen.h, metrics.h, fault.h.  Threads: offer: any; create, free: one; the rest any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RECALL_H
#define OM_RECALL_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"
#include "omen.h"

enum {
    OM_RECALL_WAITING = 64,           /* queries that wait, of all collections ... */
    OM_RECALL_WAITING_EACH = 4,       /* ... and of one                            */
    OM_RECALL_MAX_BYTES = 256 * 1024, /* of a copied query: vector, filter, values */
    OM_RECALL_MAX_SERIES = 4096,      /* collections times plans                   */
    OM_RECALL_WINDOW = 1024           /* queries; at twice as many the old half weighs half */
};

/* A query as it ran. Everything is borrowed until offer returns, but collection and damaged: they live
 * as long as owner, which is held by hold and given back by release. */
typedef struct om_recall_query {
    void *owner;
    void (*hold)(void *owner);
    void (*release)(void *owner);
    omen_collection *collection;
    _Atomic uint32_t *damaged; /* of om_fault_enter */
    const char *name;          /* of the collection */
    const void *vector;
    size_t vector_size;
    uint32_t dtype, dim, k, ef, rerank;
    const char *filter; /* NULL: none */
    size_t filter_size;
    const omen_param *params;
    uint32_t param_count;
} om_recall_query;

typedef struct om_recall_estimate {
    char collection[OMEN_MAX_NAME + 1];
    uint32_t plan;  /* OMEN_PLAN_* */
    double queries; /* behind it; old ones weigh less */
    double recall, low,
        high; /* mean and 95 % interval (Wilson, over as many independent trials as the spread
                                 of the queries allows) */
} om_recall_estimate;

typedef struct om_recall om_recall;
typedef struct om_recall_options {
    uint32_t sample;   /* one search of so many; 0: none */
    uint32_t permille; /* of one core */
    om_metrics *metrics;
    bool no_thread; /* tests: om_recall_step does what the thread would */
} om_recall_options;
om_recall *om_recall_create(const om_recall_options *options); /* NULL: no memory, or no thread */
/* Cancels what runs, ends the thread, gives back what waits. */
void om_recall_free(om_recall *recall);
/* Whether this search is one to offer: a few instructions. NULL: never. */
bool om_recall_wants(om_recall *recall);
/* Whether a search that was answered by this plan (OMEN_PLAN_*) can have missed anything. */
bool om_recall_suits(uint32_t plan);
/* Copies the query, or counts why not. */
void om_recall_offer(om_recall *recall, const om_recall_query *query);
/* Measures one query that waits; false: none does. */
bool om_recall_step(om_recall *recall);
/* Estimates, ordered by collection and plan; returns how many there are, also beyond capacity. NULL: 0. */
size_t om_recall_copy(om_recall *recall, om_recall_estimate *out, size_t capacity);
/* The lowest one; false: there is none. */
bool om_recall_lowest(om_recall *recall, om_recall_estimate *out);
/* A collection is gone. */
void om_recall_forget(om_recall *recall, const char *collection);
#endif
