/* show_hits.h - prints items, plans and facets for people and as JSON.
 * Depends on: target.h, out.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SHOW_HITS_H
#define OM_SHOW_HITS_H
#include "out.h"
#include "target.h"

/* The metadata of an item as a JSON object; {} when it has none or they are not JSON. */
json_t *om_show_metadata(const om_json_column *metadata, size_t i);
/* An item with its metadata: number, title, what is told of it (may be ""), id; below it the other fields,
 * dimmed on a terminal. */
typedef struct om_shown_item {
    size_t number; /* 0: none */
    const om_ids *ids;
    size_t i; /* of ids and metadata */
    const om_json_column *metadata;
    const char *note;
} om_shown_item;
void om_show_item(const om_shown_item *item);
void om_show_plan(const om_search_plan *plan);
json_t *om_show_plan_json(const om_search_plan *plan);
/* Facets of --facet: as text to standard output, or (to not NULL) as a member "facets" of an object. */
bool om_show_facets(const om_args *args, om_target *t, const om_condition *where, json_t *to,
                    om_tool_error *err);
/* The fields that --fields and --metadata ask for: *wanted false for neither. `names` is made from --fields;
 * free its items. */
bool om_shown_fields(const om_args *args, om_texts *names, bool *wanted, om_tool_error *err);
void om_shown_fields_free(om_texts *names);
#endif
