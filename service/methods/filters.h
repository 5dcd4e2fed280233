/* filters.h - filters of requests: compiled (the engine keeps what was compiled lately, so this is done for
 * every request), with errors that name the request's field.
 * Depends on: params.h, metrics.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FILTERS_H
#define OM_FILTERS_H
#include <stdint.h>

#include "failure.h"
#include "metrics.h"
#include "params.h"

/* What to compile, and how to speak of it. */
typedef struct om_filter_source {
    omen_collection *collection;
    const char *text;
    size_t size;
    const om_params *params;
    const char *field; /* of the request, for errors: "filter" */
    om_metrics *metrics;
} om_filter_source;

/* To be freed by omen_filter_free. NULL: *f says why, and at which byte of the text. */
omen_filter *om_source_compile(const om_filter_source *source, om_failure *f);
/* A number that tells filters with other texts or parameters apart. */
uint64_t om_source_hash(const om_filter_source *source);
#endif
