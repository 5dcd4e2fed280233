/* search_reader.h - the hot message of reading: a SearchRequest out of the transport's slices, and its
 * answer into one slice.
 * Depends on: guard.h (arena), wread.h, write_reader.h (ids), params.h.  Threads: any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SEARCH_READER_H
#define OM_SEARCH_READER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "guard.h"
#include "params.h"
#include "wread.h"
#include "write_reader.h"
#include "wwrite.h"

enum {
    OM_SEARCH_DEFAULT_LIMIT = 10,
    OM_SEARCH_MAX_FACETS = 16,
    OM_FACET_DEFAULT_VALUES = 10,
    OM_FACET_MAX_VALUES = 1000
};

/* One leg. Pointers lead into the arena. */
typedef struct om_wire_leg {
    uint32_t kind; /* OMEN_LEG_* */
    uint32_t limit;
    float weight;
    uint32_t ef, rerank;   /* VECTOR, LIKE                            */
    uint32_t type, dim;    /* of the vector; type 0: the collection's */
    const uint8_t *vector; /* 64-byte aligned                         */
    size_t vector_size;
    bool exact;
    float k1, b;
    const char *text; /* TEXT: NULL: none was sent */
    size_t text_size;
    const char *field; /* TEXT: NULL: all fields   */
    om_wire_ids like;
} om_wire_leg;
typedef struct om_wire_facet {
    const char *field;
    uint32_t limit; /* values: defaults filled in */
} om_wire_facet;

enum { OM_THRESHOLD_NONE = 0, OM_THRESHOLD_DISTANCE = 1, OM_THRESHOLD_SCORE = 2 };
typedef struct om_wire_search {
    char collection[OMEN_MAX_NAME + 1];
    uint32_t limit; /* as sent; 0 means OM_SEARCH_DEFAULT_LIMIT */
    uint32_t leg_count;
    om_wire_leg first; /* most searches have one leg: it takes no allocation */
    om_wire_leg *more; /* [leg_count - 1] */
    uint64_t min_version;
    bool partial_ok, explain, with_vectors;
    bool with_metadata; /* or fields are named */
    /* Anything beyond one plain vector leg: filter, text, several legs, offset, threshold, groups, facets. */
    bool rich;
    uint32_t offset, fusion, group_size;
    float rank_constant;
    uint32_t threshold; /* OM_THRESHOLD_* */
    float bound;        /* of the threshold */
    const char *filter; /* NULL: none */
    size_t filter_size;
    om_params params;
    const char *group_by; /* NULL: none */
    const char **fields;  /* of the metadata */
    uint32_t field_count, field_capacity;
    om_wire_facet *facets; /* [OM_SEARCH_MAX_FACETS] */
    uint32_t facet_count;
} om_wire_search;
static inline const om_wire_leg *om_wire_leg_at(const om_wire_search *q, uint32_t i)
{
    return i == 0 ? &q->first : &q->more[i - 1];
}

/* Reads the SearchRequest in which the reader stands, to its end. What is long goes into the arena, whose
 * limit is raised by what the message may take. */
bool om_read_search(om_wread *r, om_arena *arena, om_wire_search *out, om_failure *f);
/* Reads the Leg in which the reader stands, to its end, into a leg that is zero. */
bool om_read_leg(om_wread *r, om_arena *arena, om_wire_leg *out, om_failure *f);
/* Copies a text field of `size` bytes, at most `capacity` - 1, NUL-terminated. */
bool om_read_name(om_wread *r, size_t size, const char *field, char *out, size_t capacity,
                  om_failure *f);

/* Texts, or JSON objects, one after the other: value i is data[offsets[i] .. offsets[i + 1]). */
typedef struct om_wire_texts {
    const char *data;
    const int64_t *offsets;
    uint32_t count;
} om_wire_texts;
typedef struct om_wire_facet_values {
    const char *field;
    om_wire_texts values;
    const uint64_t *counts;
} om_wire_facet_values;
/* The answer to a search. */
typedef struct om_wire_hits {
    uint32_t count;
    uint32_t id_type;       /* OMEN_ID_*                                            */
    const uint64_t *keys;   /* U64: the ids                                         */
    const omen_column *ids; /* UUID: 16 bytes each; STRING: 64-bit offsets          */
    const float *distances; /* NULL: none                                           */
    const float *scores;    /* NULL: none                                           */
    const uint32_t *groups; /* NULL: none                                           */
    const uint8_t *vectors; /* NULL, or count rows                                  */
    size_t vectors_size;
    uint32_t vectors_type, vectors_dim;
    const om_wire_texts *metadata;      /* NULL, or count of them */
    const om_wire_facet_values *facets; /* [facet_count]          */
    uint32_t facet_count;
    uint64_t version;
    bool partial;
    const omen_explain *explain;               /* NULL: none */
    const omen_filter_explain *filter_explain; /* NULL: none */
    uint64_t queue_ns;
} om_wire_hits;
/* Bytes of the SearchResponse, and the writing of exactly so many. */
size_t om_search_response_size(const om_wire_hits *hits);
void om_write_search_response(const om_wire_hits *hits, uint8_t *out, size_t size);
/* The bodies of an Ids message (count, id_type, keys and ids are used), a Metadata message and a Facet. */
size_t om_wsize_ids(const om_wire_hits *hits);
void om_w_ids(om_wbuf *w, const om_wire_hits *hits);
size_t om_wsize_metadata(const om_wire_texts *metadata);
void om_w_metadata(om_wbuf *w, const om_wire_texts *metadata);
size_t om_wsize_facet(const om_wire_facet_values *facet);
void om_w_facet(om_wbuf *w, const om_wire_facet_values *facet);
#endif
