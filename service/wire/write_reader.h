/* write_reader.h - the hot message of ingest: a WriteBatch out of the transport's slices, its columns
 * copied once, into aligned memory that the engine can take as it is.
 * Depends on: wread.h, params.h.  Threads: one a buffer.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WRITE_READER_H
#define OM_WRITE_READER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "params.h"
#include "wread.h"

enum { OM_IDS_NONE = 0, OM_IDS_U64 = 1, OM_IDS_UUID = 2, OM_IDS_STRING = 3 }; /* as OMEN_ID_* */

/* Offsets, or versions, of which nobody knows in advance how many come. */
typedef struct om_wlist {
    void *data;
    size_t capacity; /* bytes */
} om_wlist;
/* Memory of one batch, kept from message to message. Zero to begin with. */
typedef struct om_wbuffer {
    uint8_t *data;
    size_t capacity;
    om_wlist offsets, json; /* of string ids, of metadata */
    om_wlist versions;      /* if_version                 */
    om_arena arena;         /* a filter and its parameters */
} om_wbuffer;
void om_wbuffer_free(om_wbuffer *b);
/* Gives back memory beyond `keep` bytes, which one large batch left behind. */
void om_wbuffer_trim(om_wbuffer *b, size_t keep);

typedef struct om_wire_ids {
    uint32_t type; /* OM_IDS_*                              */
    size_t count;
    const void *data;       /* u64[count], or uuid bytes, or texts   */
    size_t size;            /* of data                               */
    const int32_t *offsets; /* strings: count + 1                    */
} om_wire_ids;
typedef struct om_wire_vectors {
    bool present;
    uint32_t type, dim;
    const uint8_t *data; /* 64-byte aligned */
    size_t size;
} om_wire_vectors;
/* JSON objects of the items, one after the other. */
typedef struct om_wire_metadata {
    bool present;
    size_t count;
    const uint8_t *data;
    size_t size;
    const int32_t *offsets; /* count + 1; NULL when count is 0 */
} om_wire_metadata;
/* Pointers lead into the buffer and live until it is used again. */
typedef struct om_wire_batch {
    uint64_t seq;
    uint32_t op;
    uint32_t crc32c; /* 0: not to be checked */
    bool per_item_errors;
    om_wire_ids ids;
    om_wire_vectors vectors;
    om_wire_metadata metadata;
    const uint64_t *if_version; /* [version_count] */
    size_t version_count;
    const char *filter; /* delete_filter; NULL: none */
    size_t filter_size;
    om_params params;
} om_wire_batch;

/* Reads the WriteBatch in which the reader stands, to its end. False: the bytes are malformed, or a
 * limit is passed; *f says which. */
bool om_read_write_batch(om_wread *r, om_wbuffer *buffer, om_wire_batch *out, om_failure *f);
/* Reads the Ids message in which the reader stands, to its end. */
bool om_read_ids(om_wread *r, om_wbuffer *buffer, om_wire_ids *out, om_failure *f);
/* The same into an arena. */
bool om_read_ids_arena(om_wread *r, om_arena *arena, om_wire_ids *out, om_failure *f);
/* Bytes of the columns, for windows and metrics. */
static inline size_t om_wire_batch_bytes(const om_wire_batch *b)
{
    return b->ids.size + b->vectors.size + b->metadata.size;
}
/* The checksum of ids, vectors and metadata, as clients compute it. */
uint32_t om_write_batch_crc(const om_wire_batch *batch);
/* False when the checksum is given and wrong. */
bool om_write_batch_crc_ok(const om_wire_batch *batch);

enum {
    OM_STREAM_NONE = 0,
    OM_STREAM_OPEN = 1,
    OM_STREAM_BATCH = 2,
    OM_STREAM_FLUSH = 3,
    OM_STREAM_CLOSE = 4
};
/* Which member of StreamWriteRequest the message has, and the reader stands inside it afterwards. The
 * member must be the only field, as every encoder writes it. OM_STREAM_NONE: *f says why. */
uint32_t om_read_stream_kind(om_wread *r, om_failure *f);
#endif
