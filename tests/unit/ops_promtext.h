/* ops_promtext.h - a strict reader of the Prometheus text format 0.0.4, to judge /metrics with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OPS_PROMTEXT_H
#define OPS_PROMTEXT_H
#include <stdbool.h>
#include <stddef.h>

/* NULL when the page is well-formed: comment lines before samples, families in one piece and once,
 * legal names, labels and numbers, no sample twice, counters end in _total (and nothing else does),
 * histograms cumulative with +Inf = _count. Else what is wrong, in static storage. */
const char *promtext_check(const char *text);
/* The value of the sample written exactly as `series`; false: it is not there. */
bool promtext_value(const char *text, const char *series, double *out);
/* Samples whose name is `name`, whatever their labels. */
size_t promtext_count(const char *text, const char *name);
#endif
