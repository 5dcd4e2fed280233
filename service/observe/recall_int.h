/* recall_int.h - inside of the recall monitor: queries that wait, one measurement, estimates.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RECALL_INT_H
#define OM_RECALL_INT_H
#include "recall.h"

/* A copied query. One allocation holds it and all that it points to. */
typedef struct om_recall_job {
    om_recall_query query;
    char name[OMEN_MAX_NAME + 1];
} om_recall_job;

/* What one measurement found. */
typedef struct om_recall_result {
    uint32_t plan;          /* of the approximate search */
    uint32_t found, wanted; /* true neighbours found; wanted 0: nothing can be said */
} om_recall_result;
typedef enum om_recall_end_t {
    OM_RECALL_MEASURED,
    OM_RECALL_TOO_LARGE, /* reading all rows would push too much out of memory, or took too long */
    OM_RECALL_FAILED     /* the collection is gone, damaged or changing; cancelled; no memory */
} om_recall_end_t;
/* op is cancelled from outside; most_bytes: of vectors that a measurement may read. */
om_recall_end_t om_recall_measure(const om_recall_query *query, uint64_t most_bytes, omen_op *op,
                                  om_recall_result *out);

/* Estimates by collection and plan, in order. Not locked. */
typedef struct om_recall_series {
    char collection[OMEN_MAX_NAME + 1];
    uint32_t plan;
    double queries, trials, sum, squares; /* weights of old ones fall; sums of the share found */
} om_recall_series;
typedef struct om_recall_table {
    om_recall_series *items;
    size_t count, capacity;
} om_recall_table;
/* False: no memory, or OM_RECALL_MAX_SERIES are there. */
bool om_recall_table_add(om_recall_table *table, const char *collection,
                         const om_recall_result *result);
void om_recall_table_forget(om_recall_table *table, const char *collection);
void om_recall_estimate_of(const om_recall_series *series, om_recall_estimate *out);
/* Several series as one: sums of all of them. */
void om_recall_merge(om_recall_series *to, const om_recall_series *from);
#endif
