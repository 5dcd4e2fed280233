/* search_reader.h - the hot message of reading: a SearchRequest out of the transport's slices, and its
 * answer into one slice.
 * Depends on: guard.h (arena), wread.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SEARCH_READER_H
#define OM_SEARCH_READER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "guard.h"
#include "wread.h"

enum { OM_SEARCH_DEFAULT_LIMIT = 10 };

typedef struct om_wire_search {
    char collection[OMEN_MAX_NAME + 1];
    uint32_t limit; /* as sent; 0 means OM_SEARCH_DEFAULT_LIMIT */
    uint32_t ef, rerank;
    uint32_t type, dim;    /* of the vector; type 0: the collection's */
    const uint8_t *vector; /* in the arena, 64-byte aligned           */
    size_t vector_size;
    uint64_t min_version;
    bool exact, partial_ok, explain, with_vectors;
} om_wire_search;

/* Reads the SearchRequest in which the reader stands, to its end. The vector goes into the arena. */
bool om_read_search(om_wread *r, om_arena *arena, om_wire_search *out, om_failure *f);
/* Copies a text field of `size` bytes, at most `capacity` - 1, NUL-terminated. */
bool om_read_name(om_wread *r, size_t size, const char *field, char *out, size_t capacity,
                  om_failure *f);

/* The answer to a search. */
typedef struct om_wire_hits {
    uint32_t count;
    uint32_t id_type;       /* OMEN_ID_*                                            */
    const uint64_t *keys;   /* U64: the ids                                         */
    const omen_column *ids; /* UUID: 16 bytes each; STRING: 64-bit offsets          */
    const float *distances;
    const uint8_t *vectors; /* NULL, or count rows                                  */
    size_t vectors_size;
    uint32_t vectors_type, vectors_dim;
    uint64_t version;
    bool partial;
    const omen_explain *explain; /* NULL: none */
    uint64_t queue_ns;
} om_wire_hits;
/* Bytes of the SearchResponse, and the writing of exactly so many. */
size_t om_search_response_size(const om_wire_hits *hits);
void om_write_search_response(const om_wire_hits *hits, uint8_t *out, size_t size);
#endif
