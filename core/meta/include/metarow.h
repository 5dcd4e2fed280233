/* metarow.h - the metadata of one item as bytes ("meta row"): what JSON becomes at the door, what the
 * log holds, and what columns are built from. FORMAT.md gives every byte.
 * Depends on: schema.h.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0
 *
 * A row: u32 bytes (of all of it, a multiple of 8), u16 fields, u16 0; then an entry of 8 bytes a
 * field, in ascending order of field ids: u16 field, u16 type, u32 payload bytes; then the payloads in
 * that order, each padded with zeros to 8. Payloads: INT64, DOUBLE, BOOL (0, 1), TIME: 8 bytes;
 * STRING, TEXT, BYTES: the bytes; GEO: lat, lon as doubles; arrays of 8-byte types: these; of STRING
 * and BYTES: u32 count, u32 offsets[count + 1], the bytes. Null fields have no entry; an empty row is
 * 8 bytes. */
#ifndef OM_METAROW_H
#define OM_METAROW_H
#include "schema.h"

/* Meta rows of a batch: row i is bytes[offsets[i] .. offsets[i + 1]), aligned to 8. */
typedef struct om_meta_rows {
    const om_alloc *alloc;
    uint8_t *bytes;
    uint64_t *offsets; /* [count + 1] */
    uint64_t count, capacity_bytes;
    /* Fields that the schema did not have: their ids in the rows are OM_FIELD_ADDED + place until
     * om_meta_bind. */
    om_field *added;
    uint32_t added_count, added_capacity;
    bool patch; /* rows may hold entries of type 0: unset this field */
} om_meta_rows;
#define OM_FIELD_ADDED 0x8000u

/* Parses one JSON object an item (column->data NULL or an empty value: no fields). Types of new fields
 * are inferred over the whole batch. refuse(ctx, item, status, err): a bad item; when it returns
 * OMEN_OK the item gets an empty row and parsing goes on (per-item errors). Errors name item, field
 * and what was expected. */
typedef omen_status_t (*om_meta_refuse)(void *ctx, uint64_t item, omen_status_t status,
                                        omen_error *err);
typedef struct om_meta_input {
    const om_schema *schema;
    const omen_column *column;
    uint64_t count;
    bool patch; /* null unsets instead of being left out */
    om_meta_refuse refuse;
    void *ctx;
} om_meta_input;
omen_status_t om_meta_parse(const om_alloc *alloc, const om_meta_input *input, om_meta_rows *out,
                            omen_error *err) OM_NODISCARD;
void om_meta_rows_free(om_meta_rows *rows);
/* Gives added fields their ids in the schema as it is now, and adds those that are missing: write
 * mutex held. Another batch may have added them since with another type: an INT64 that became DOUBLE
 * is converted, else INVALID_ARGUMENT / TYPE names the field and nothing is added. *first: fields of
 * the schema before. */
omen_status_t om_meta_bind(om_schema *schema, om_meta_rows *rows, uint32_t *first,
                           omen_error *err) OM_NODISCARD;

/* Hostile bytes: the shape of a row, its types against the schema, UTF-8. OMEN_DATA_LOSS. */
omen_status_t om_meta_check(const om_schema *schema, const uint8_t *row, size_t size,
                            omen_error *err) OM_NODISCARD;

/* One value of a checked row. */
typedef struct om_meta_value {
    uint16_t field, type;
    uint32_t size;
    const uint8_t *payload;
} om_meta_value;
uint32_t om_meta_fields(const uint8_t *row);
om_meta_value om_meta_at(const uint8_t *row, uint32_t i);
bool om_meta_get(const uint8_t *row, uint16_t field, om_meta_value *out);
/* All values in order: first, then next until false. */
typedef struct om_meta_iter {
    const uint8_t *row, *payload;
    uint32_t at, fields;
} om_meta_iter;
om_meta_iter om_meta_first(const uint8_t *row);
bool om_meta_next(om_meta_iter *iter, om_meta_value *out);
/* The order of two values of one type, that is no GEO and no array: below 0, 0, above 0. Bytes for
 * STRING, TEXT and BYTES, else by value; -0.0 stands directly before 0.0, so that only equal bits give
 * 0. */
int om_meta_compare(const om_meta_value *a, const om_meta_value *b);
/* Elements of an array value: their number, and the bytes of one (8 of a number). */
uint32_t om_meta_elements(const om_meta_value *value);
const uint8_t *om_meta_element(const om_meta_value *value, uint32_t i, uint32_t *size);
/* `patch` laid over `row` into out (NULL: only the size). The caller refuses what is above
 * OM_META_ROW_MAX: 1 MiB of JSON never is, but many patches of one item can be. */
size_t om_meta_merge(const uint8_t *row, const uint8_t *patch, uint8_t *out);
#define OM_META_ROW_MAX (UINT32_C(8) << 20)

/* Appends bytes that grow. */
typedef struct om_bytes {
    const om_alloc *alloc;
    uint8_t *data;
    size_t size, capacity;
} om_bytes;
omen_status_t om_bytes_room(om_bytes *bytes, size_t more, omen_error *err) OM_NODISCARD;
void om_bytes_free(om_bytes *bytes);
/* The row as a JSON object, fields in the order of the schema; only[0 .. only_count): field ids (NULL:
 * all). */
omen_status_t om_meta_json(const om_schema *schema, const uint8_t *row, const uint16_t *only,
                           uint32_t only_count, om_bytes *out, omen_error *err) OM_NODISCARD;
/* RFC 3339 with a zone ("2026-11-20T08:00:00.25+01:00") in microseconds since 1970, UTC. Digits behind
 * the sixth of a fraction are dropped. A leap second (23:59:60 UTC at the end of a June or December)
 * is the second after it. False: it is no such time, or outside OM_TIME_MIN .. OM_TIME_MAX. */
bool om_time_parse(const char *text, size_t length, int64_t *micros);
/* The first and the last microsecond of the years 0000 to 9999: what RFC 3339 can write. */
#define OM_TIME_MIN (INT64_C(-62167219200) * 1000000)
#define OM_TIME_MAX (INT64_C(253402300799) * 1000000 + 999999)
/* One value as JSON. */
omen_status_t om_meta_value_json(const om_meta_value *value, om_bytes *out,
                                 omen_error *err) OM_NODISCARD;
#endif
