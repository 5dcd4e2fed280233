/* engine_record.h - payloads of log records: their bytes, reading them without trust, and what replay keeps
 * of batches that come in parts. core/store/FORMAT.md gives every byte.
 * Depends on: engine_disk.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_RECORD_H
#define OM_ENGINE_RECORD_H
#include "engine_disk.h"

enum {
    OM_PAYLOAD_VERSION = 1,
    OM_PAYLOAD_FIELDS = 1024, /* bytes of tagged fields, at most */
    OM_PAYLOAD_ALIGN = 8
};
enum {
    OM_COLUMN_KEYS = 1,
    OM_COLUMN_IDS = 2,
    OM_COLUMN_VECTORS = 4,
    OM_COLUMN_META = 8,   /* u64 bytes, then a meta row an item */
    OM_COLUMN_SCHEMA = 16 /* u64 bytes, then fields of a collection */
};
typedef struct om_payload_head { /* then the fields, then the columns, each padded to 8 bytes */
    uint16_t version;
    uint16_t field_bytes; /* a multiple of 8 */
    uint32_t mode;
    uint32_t count; /* items in this record */
    uint32_t dim;
    uint8_t dtype, columns; /* OM_COLUMN_* */
    uint16_t id_width;      /* 0: u32 offsets stand before the bytes */
    uint32_t id_bytes;
} om_payload_head;
_Static_assert(sizeof(om_payload_head) == 24, "the head is 24 bytes");

/* Fields: u16 tag, u16 length, the bytes, zeros up to a multiple of 8. Readers skip unknown tags, but not
 * those with OM_FIELD_REQUIRED. Each tag occurs once at most. */
enum {
    OM_FIELD_STREAM = 1,  /* bytes of the stream's id */
    OM_FIELD_SEQ = 2,     /* u64 */
    OM_FIELD_REQUEST = 3, /* bytes of the request's id */
    OM_FIELD_CRC = 4,     /* u32, the client's */
    OM_FIELD_COUNTS = 5,  /* u64 applied, replaced, refused */
    OM_FIELD_PART = 6,    /* om_part_field */
    OM_FIELD_ACTION = 7,  /* u32 OM_SCHEMA_* */
    OM_FIELD_NAME = 8,    /* of a collection */
    OM_FIELD_OPTIONS = 9, /* om_options_field */
    OM_FIELD_REQUIRED = 0x8000
};
enum { OM_SCHEMA_CREATE = 1, OM_SCHEMA_DROP = 2, OM_SCHEMA_FIELDS = 3 };
typedef struct om_part_field {
    uint32_t index;           /* of the part, from 0; in the COMMIT: how many there were */
    uint32_t columns;         /* of the whole batch */
    uint64_t items, id_bytes; /* likewise */
} om_part_field;
_Static_assert(sizeof(om_part_field) == 24, "the part field is 24 bytes");
typedef struct om_options_field {
    uint32_t dim, metric, dtype, id_type, m, ef_construction, quantization, rotation, entry,
        durability;
    uint64_t capacity_hint, max_backlog_rows;
} om_options_field;
_Static_assert(sizeof(om_options_field) == 56, "the options field is 56 bytes");

/* ---- Writing (engine_record_head.c) -------------------------------------------------------------- */
enum { OM_HEAD_ROOM = sizeof(om_payload_head) + OM_PAYLOAD_FIELDS };
typedef struct om_head_block {
    _Alignas(8) uint8_t bytes[OM_HEAD_ROOM];
    size_t used;
} om_head_block;
void om_payload_begin(om_head_block *b);
void om_payload_field(om_head_block *b, uint16_t tag, const void *value, size_t length);
/* Who sent the batch, and what came of it. */
void om_payload_origin(om_head_block *b, const omen_batch *batch, const om_written *done);
void om_payload_end(om_head_block *b, om_payload_head head);
omen_status_t om_record_append(omen_db *db, const om_log_entry *entries, uint32_t count,
                               uint64_t *lsn, omen_error *err) OM_NODISCARD;
omen_status_t om_record_append_head(om_collection *c, uint8_t type, om_head_block *b, uint64_t *lsn,
                                    omen_error *err) OM_NODISCARD;
omen_status_t om_record_durable(omen_db *db, uint64_t lsn, omen_error *err) OM_NODISCARD;
/* A SCHEMA record of the fields that the log does not have yet; its entry points into it. write_mu held. */
typedef struct om_record_fields_block {
    om_head_block head;
    const om_alloc *alloc;
    uint8_t *bytes;
    uint64_t size;
    om_log_entry entry;
} om_record_fields_block;
omen_status_t om_record_fields_begin(om_collection *c, om_record_fields_block *out,
                                     omen_error *err) OM_NODISCARD;
void om_record_fields_end(om_record_fields_block *block);
/* Logs it by itself, durable at the collection's level. */
omen_status_t om_record_fields(om_collection *c, omen_error *err) OM_NODISCARD;

/* ---- Reading (engine_record_decode.c) ---------------------------------------------------------- */
typedef struct om_payload { /* points into the record */
    om_payload_head head;
    om_stream_id stream, request, name; /* bytes NULL: none */
    uint64_t seq;
    uint32_t crc, action;
    bool has_counts, has_part, has_options;
    om_written counts; /* its version is not set */
    om_part_field part;
    om_options_field options;
    const uint64_t *keys;    /* NULL: none; so are the next three */
    const uint32_t *offsets; /* [count + 1] from 0, ascending; NULL too when ids have one width */
    const uint8_t *ids;
    const uint8_t *vectors;
    const uint8_t *meta; /* [meta_bytes] a row an item, each of a size that fits */
    size_t meta_bytes;
    const uint8_t *schema; /* [schema_bytes] */
    size_t schema_bytes;
} om_payload;
/* Trusts nothing: OMEN_DATA_LOSS says what is wrong; OMEN_UNIMPLEMENTED / FORMAT_VERSION for a newer
 * payload. The payload must be aligned to 8. */
omen_status_t om_payload_decode(const om_log_record *record, om_payload *out,
                                omen_error *err) OM_NODISCARD;
/* The columns as a batch of a collection with these options, for om_write_recover; no stream and no request
 * id. DATA_LOSS when they do not fit. */
omen_status_t om_payload_batch(const om_payload *payload, const omen_options *options, bool deletes,
                               omen_batch *out, omen_error *err) OM_NODISCARD;
/* Options of a SCHEMA record, checked. */
omen_status_t om_payload_options(const om_payload *payload, omen_options *out,
                                 omen_error *err) OM_NODISCARD;

/* ---- Batches in parts (engine_record_parts.c) --------------------------------------------------- */
/* A batch of which parts were read: collected until its COMMIT, at most one a collection. Its memory is not
 * charged: whoever wrote the batch held as much beside the engine, and under the limit that was enough to
 * write it opening must succeed too. */
typedef struct om_pending {
    struct om_pending *next;
    uint32_t serial, parts;
    uint8_t type;
    uint64_t first_lsn, rows;
    om_payload_head head; /* of the first part */
    om_part_field whole;
    uint64_t *keys;
    uint32_t *offsets;
    uint8_t *ids;
    uint8_t *vectors;
    size_t vector_bytes;
    uint8_t *meta; /* [meta_room] */
    size_t meta_bytes, meta_room;
    uint64_t id_bytes; /* of `whole.id_bytes` so far */
} om_pending;
omen_status_t om_pending_add(om_disk *disk, omen_runtime *rt, const om_log_record *record,
                             const om_payload *payload, omen_error *err) OM_NODISCARD;
/* Takes the batch out that this COMMIT ends; give it to om_pending_free. */
omen_status_t om_pending_take(om_disk *disk, const om_log_record *record, const om_payload *payload,
                              om_pending **out, omen_error *err) OM_NODISCARD;
/* The columns of the whole as if they came in one record. */
void om_pending_payload(const om_pending *pending, om_payload *out);
void om_pending_free(omen_runtime *rt, om_pending *pending);
/* Parts of a collection without a COMMIT; serial 0: of all. */
void om_pending_drop(om_disk *disk, omen_runtime *rt, uint32_t serial);
#endif
