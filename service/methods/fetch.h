/* fetch.h - metadata and versions of items, fetched in pieces, so that neither memory nor an answer grows
 * beyond what was allowed, and facets of a field.
 * Depends on: colls.h, rpc.h, search_reader.h (texts).  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FETCH_H
#define OM_FETCH_H
#include "colls.h"
#include "failure.h"
#include "rpc.h"
#include "search_reader.h"

typedef struct om_fetch {
    om_coll *coll;
    omen_collection *from; /* its handle, or a snapshot of it */
    const uint64_t *keys;
    size_t count;
    bool metadata, versions;
    const char *const *fields; /* of the metadata; none: all */
    size_t field_count;
    size_t room; /* most bytes that the metadata may take in an answer */
    bool
        cut; /* stop before the item that has no room (but have one at least), instead of failing */
} om_fetch;
/* Zero to begin with; om_fetched_end frees it. Absent items have metadata of length 0 and version 0. */
typedef struct om_fetched {
    size_t count; /* items: as asked for, or fewer when it was cut */
    om_wire_texts metadata;
    size_t metadata_size; /* in an answer */
    uint64_t *versions;
    char *data;
    size_t size, capacity;
    int64_t *offsets;
} om_fetched;
bool om_fetch_items(const om_fetch *what, om_fetched *out, om_failure *f);
void om_fetched_end(om_fetched *out);

/* The most frequent values of fields among the items that pass. */
typedef struct om_facets {
    uint32_t count;
    size_t size; /* of all in an answer */
    om_wire_facet_values values[OM_SEARCH_MAX_FACETS];
    omen_rows *rows[OM_SEARCH_MAX_FACETS];
} om_facets;
typedef struct om_facets_query {
    om_coll *coll;
    const om_rpc
        *rpc; /* NULL, or the call: once it is cancelled or late, no further facet is begun */
    const omen_filter *filter;
    const om_wire_facet *facets;
    uint32_t count;
    size_t room;
} om_facets_query;
/* Fills *out; om_facets_end frees it, after a failure too. */
bool om_facets_run(const om_facets_query *what, om_facets *out, om_failure *f);
void om_facets_end(om_facets *out);
#endif
