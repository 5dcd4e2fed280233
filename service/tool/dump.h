/* dump.h - our own stream of a collection's items: what `omen dump` writes and `omen load` reads.
 * Little-endian, no alignment. Every part has a crc32c, so that a stream that was cut, changed, or mixed
 * up is told from a whole one; and it can be read from front to back through a pipe.
 *
 *   header   OM_DUMP_HEADER bytes: "OMENDUMP", u32 version, u32 OM_DUMP_HEADER, then u32 each: dim, metric,
 *            dtype, id_type, m, ef_construction, quantization, rotation, entry, durability; u64 rows (a hint;
 *            UINT64_MAX: not known), u64 max_backlog_rows; zeros; at the end u32 crc32c of what stands before
 *   block    OM_DUMP_BLOCK bytes: "OMBK", u32 kind, u64 number (1, 2, ...), u64 rows, u64 payload bytes;
 *            the payload; u32 crc32c of both. Kind OM_DUMP_ROWS: the ids (u64 or 16 bytes each; strings:
 *            a u32 length each, then all bytes), then the vectors as stored, row by row. Kind
 *            OM_DUMP_ITEMS: the same, and behind it the metadata: a u32 length each (0: none), then all
 *            JSON objects
 *   fields   a block of kind OM_DUMP_FIELDS, rows 0, may come first: the fields as a JSON list
 *   end      a block of kind OM_DUMP_END, rows: of all blocks, no payload; nothing follows it
 *
 * A dump of a collection without fields has version 1, which knows neither OM_DUMP_FIELDS nor OM_DUMP_ITEMS;
 * with them it has version 2. This omen reads both.
 *
 * Depends on: ids.h, json_column.h, field_spec.h.  Threads: one at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_DUMP_H
#define OM_DUMP_H
#include "field_spec.h"
#include "ids.h"
#include "json_column.h"

#define OM_DUMP_MAGIC "OMENDUMP"
#define OM_DUMP_BLOCK_MAGIC "OMBK"
#define OM_DUMP_PAYLOAD_MAX (80u << 20) /* bytes of a block */
enum { OM_DUMP_VERSION = 2, OM_DUMP_HEADER = 128, OM_DUMP_BLOCK = 32 };
enum { OM_DUMP_ROWS = 1, OM_DUMP_END = 2, OM_DUMP_FIELDS = 3, OM_DUMP_ITEMS = 4 };

typedef struct om_dump_head {
    omen_options options;
    uint64_t rows;    /* OMEN_NONE: not known */
    uint32_t version; /* 1 or 2; writing: told by whether options has fields */
} om_dump_head;
typedef struct om_dump_block {
    uint32_t kind;
    uint64_t number, rows, bytes;
} om_dump_block;

void om_dump_put_head(const om_dump_head *head, uint8_t out[OM_DUMP_HEADER]);
/* False: *why says what is wrong with it. */
bool om_dump_get_head(const uint8_t in[OM_DUMP_HEADER], om_dump_head *head, const char **why);
void om_dump_put_block(const om_dump_block *block, uint8_t out[OM_DUMP_BLOCK]);
bool om_dump_get_block(const uint8_t in[OM_DUMP_BLOCK], om_dump_block *block);

/* Writes a stream through `put`. */
typedef struct om_dump_writer {
    bool (*put)(void *ctx, const void *bytes, size_t n, om_tool_error *err);
    void *ctx;
    om_dump_head head;
    uint64_t blocks, rows;
    uint8_t *room; /* ids of a block */
    size_t room_bytes;
} om_dump_writer;
/* Header and fields; head.options.fields are borrowed until then. */
bool om_dump_begin(om_dump_writer *w, om_tool_error *err);
/* A block of ids->count rows. metadata: NULL, or that many objects; with fields only. */
bool om_dump_rows(om_dump_writer *w, const om_ids *ids, const void *vectors,
                  const om_json_column *metadata, om_tool_error *err);
bool om_dump_end(om_dump_writer *w, om_tool_error *err);
void om_dump_writer_free(om_dump_writer *w);
#endif
