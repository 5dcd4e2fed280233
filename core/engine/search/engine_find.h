/* engine_find.h - searches of several parts: what their legs find, and what becomes of it.
 * Depends on: engine_values.h, query, text.  Threads: one a search, epoch pinned.  Locks: README.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_FIND_H
#define OM_ENGINE_FIND_H
#include "engine_moment.h"
#include "engine_values.h"
#include "fuse.h"

typedef struct om_find_leg {
    const omen_leg *in;
    const om_field *field; /* TEXT: NULL: all of its kind */
    uint32_t limit;        /* of this run */
    om_textquery *query;   /* TEXT */
    float *mean;           /* LIKE: [dim] */
    om_ranked *items;      /* [room] */
    uint32_t room, count;
} om_find_leg;

typedef struct om_find {
    om_collection *c;
    const omen_collection *handle;
    const omen_request *in;
    omen_hits *hits;
    om_filter *filter; /* NULL: all */
    const om_field *group_by;
    uint32_t group_size;
    uint32_t wanted; /* hits, or groups, up to the last one that is handed out */
    om_find_leg leg[OMEN_MAX_LEGS];
    om_ctx *ctx;
    om_stop stop;
    om_segment **segments; /* [segment_count] where items are: om_ranked.origin */
    uint32_t segment_count, segment_room;
    om_moment moment; /* what legs for words search; taken by the first of them */
    bool taken;
    om_text_source *sources; /* scratch of the legs for words */
    uint32_t source_room;
    om_ranked *fused; /* [fused_room] */
    uint32_t fused_room;
    const om_ranked *list; /* the answer, best first */
    uint32_t list_count;
    om_values groups;
    bool partial, timed;
    uint64_t searches;
    om_graph_counters counters;
    omen_explain explain;
    omen_filter_explain filters;
    uint32_t plan_rows;
    omen_error *err;
} om_find;
static inline uint64_t om_find_clock(const om_find *f)
{
    return f->timed ? om_now_ns() : 0;
}
/* The number of a segment. */
omen_status_t om_find_origin(om_find *f, om_segment *segment, uint32_t *out) OM_NODISCARD;

/* engine_find_check.c */
omen_status_t om_find_check(om_find *f) OM_NODISCARD;
/* engine_legs.c, engine_legs_text.c. What a leg finds, at most leg->limit, best first, each key once. */
omen_status_t om_leg_vector(om_find *f, om_find_leg *leg) OM_NODISCARD;
omen_status_t om_leg_text(om_find *f, om_find_leg *leg) OM_NODISCARD;
omen_status_t om_leg_room(om_find *f, om_find_leg *leg, uint32_t room) OM_NODISCARD;
/* engine_groups.c. The groups of the list into hits; *more: a longer list could change them. */
omen_status_t om_find_groups(om_find *f, bool *more) OM_NODISCARD;
#endif
