/* registry.h - counters, gauges and latency histograms: wait-free to report, summed when asked for.
 * Each thread adds to one of a few shards, so that busy threads do not share cache lines. Families
 * and series are made before the threads that report start; then the registry only grows numbers.
 * Depends on: page.h.  Threads: add, observe, set: any; the rest one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_REGISTRY_H
#define OM_REGISTRY_H
#include <stdbool.h>
#include <stdint.h>

#include "page.h"

typedef struct om_registry om_registry;
typedef uint32_t om_cell_t; /* a number of its own; of a histogram: its first */
enum {
    OM_REGISTRY_SHARDS = 16, /* a power of two */
    OM_REGISTRY_CELLS = 8192,
    OM_REGISTRY_FAMILIES = 160,
    OM_REGISTRY_SERIES = 4096,
    OM_HISTOGRAM_BOUNDS = 20,                    /* finite bounds, 10 us .. 30 s */
    OM_HISTOGRAM_CELLS = OM_HISTOGRAM_BOUNDS + 2 /* and +Inf, and the sum in ns */
};
#define OM_CELL_NONE UINT32_MAX /* what a full registry gives; reporting to it does nothing */
enum {
    OM_FAMILY_COUNTER = 0,         /* only rises */
    OM_FAMILY_COUNTER_SECONDS = 1, /* counts ns, shown in seconds */
    OM_FAMILY_GAUGE = 2,           /* rises and falls by add */
    OM_FAMILY_GAUGE_DOUBLE = 3,    /* replaced by set */
    OM_FAMILY_HISTOGRAM = 4
}; /* of ns, shown in seconds */

om_registry *om_registry_create(void); /* NULL: no memory */
void om_registry_free(om_registry *r);
/* A family of series; name and help must live as long as the registry. -1: full. */
int om_registry_family(om_registry *r, uint32_t type, const char *name, const char *help);
/* A series of it, at 0; labels like `code="OK",plan="graph"` (escaped already, copied), or "". */
om_cell_t om_registry_series(om_registry *r, int family, const char *labels);
void om_registry_add(om_registry *r, om_cell_t cell, uint64_t n); /* -1 as UINT64_MAX for gauges */
void om_registry_set(om_registry *r, om_cell_t cell, double value);
void om_registry_observe(om_registry *r, om_cell_t histogram, uint64_t ns);
uint64_t om_registry_read(const om_registry *r, om_cell_t cell);
/* The bound, in ns, of bucket i < OM_HISTOGRAM_BOUNDS; a value equal to it belongs to bucket i. */
uint64_t om_histogram_bound(uint32_t i);
uint32_t om_histogram_bucket(uint64_t ns);
/* All families in the order of their making, as Prometheus text 0.0.4. */
void om_registry_render(const om_registry *r, om_page *page);
/* The two comment lines that stand before the series of a family. */
void om_page_put_family(om_page *page, const char *name, const char *type, const char *help);
#endif
