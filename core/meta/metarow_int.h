/* metarow_int.h - the bytes of a meta row: entries, payloads, a writer, and the limits of a row.
 * Depends on: metarow.h.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METAROW_INT_H
#define OM_METAROW_INT_H
#include <string.h>

#include "metarow.h"

enum { OM_ROW_HEAD = 8, OM_ROW_ENTRY = 8 };

typedef struct om_row_entry {
    uint16_t field, type;
    uint32_t size;
} om_row_entry;
_Static_assert(sizeof(om_row_entry) == OM_ROW_ENTRY, "as in the file");

static inline size_t om_row_pad(size_t size)
{
    return om_round_up(size, 8);
}
static inline uint32_t om_row_bytes(const uint8_t *row)
{
    uint32_t bytes;
    memcpy(&bytes, row, sizeof bytes);
    return bytes;
}
static inline om_row_entry om_row_entry_at(const uint8_t *row, uint32_t i)
{
    om_row_entry entry;
    memcpy(&entry, row + OM_ROW_HEAD + (size_t)i * OM_ROW_ENTRY, sizeof entry);
    return entry;
}
static inline void om_row_entry_set(uint8_t *row, uint32_t i, om_row_entry entry)
{
    memcpy(row + OM_ROW_HEAD + (size_t)i * OM_ROW_ENTRY, &entry, sizeof entry);
}

/* Writes a row whose number of fields is known: begin, each entry with its payload, end. */
typedef struct om_row_writer {
    uint8_t *row, *payload;
    uint32_t fields, written;
} om_row_writer;
static inline om_row_writer om_row_begin(uint8_t *row, uint32_t fields)
{
    return (om_row_writer){
        .row = row, .payload = row + OM_ROW_HEAD + (size_t)fields * OM_ROW_ENTRY, .fields = fields};
}
/* The entry alone; returns where its payload goes, whose padding is written already. */
static inline uint8_t *om_row_room(om_row_writer *writer, om_row_entry entry)
{
    om_row_entry_set(writer->row, writer->written++, entry);
    uint8_t *payload = writer->payload;
    size_t padded = om_row_pad(entry.size);
    if (padded != entry.size) {
        memset(payload + entry.size, 0, padded - entry.size);
    }
    writer->payload += padded;
    return payload;
}
static inline void om_row_put(om_row_writer *writer, om_row_entry entry, const uint8_t *payload)
{
    uint8_t *room = om_row_room(writer, entry);
    if (entry.size != 0) {
        memcpy(room, payload, entry.size);
    }
}
static inline size_t om_row_end(om_row_writer *writer)
{
    om_assert(writer->written == writer->fields);
    size_t size = (size_t)(writer->payload - writer->row);
    uint32_t bytes = (uint32_t)size;
    uint16_t fields = (uint16_t)writer->fields;
    memcpy(writer->row, &bytes, sizeof bytes);
    memcpy(writer->row + 4, &fields, sizeof fields);
    memset(writer->row + 6, 0, 2);
    return size;
}

/* What is wrong with the payload of a value (not its padding), or NULL. */
const char *om_meta_payload_fault(uint16_t type, const uint8_t *payload, uint32_t size);
/* Appends; needs no room. */
omen_status_t om_bytes_put(om_bytes *bytes, const void *data, size_t size,
                           omen_error *err) OM_NODISCARD;

/* Bytes that JSON strings cannot hold as they are: a high bit for each quote, backslash and control
 * character; the lowest one is exact. */
static inline uint64_t om_json_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t quote = word ^ ones * '"';
    uint64_t slash = word ^ ones * '\\';
    uint64_t found =
        ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word);
    return found & high;
}
static inline uint64_t om_load64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The bits of a number as an unsigned one of the same order, and back. */
#define OM_SIGN_BIT (UINT64_C(1) << 63)
static inline uint64_t om_order_int(uint64_t bits)
{
    return bits ^ OM_SIGN_BIT;
}
static inline uint64_t om_order_double(uint64_t bits)
{
    return (bits & OM_SIGN_BIT) != 0 ? ~bits : bits | OM_SIGN_BIT;
}
static inline uint64_t om_unorder_double(uint64_t order)
{
    return (order & OM_SIGN_BIT) != 0 ? order ^ OM_SIGN_BIT : ~order;
}
#endif
