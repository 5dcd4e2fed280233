/* import_dump.c - reads a dump (dump.h): a block at a time, each checked as a whole before a row of it is
 * handed out, so that a batch never holds rows of a block that turns out to be damaged.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "dump.h"
#include "import_int.h"

typedef struct om_import_dump {
    uint64_t blocks, rows; /* read so far */
    uint8_t *payload;      /* of the block that is handed out */
    size_t payload_cap;
    size_t count, next; /* its rows, and the first that was not handed out */
    size_t ids_at;      /* strings: where the bytes of the next id are */
    size_t vectors_at;
    size_t lengths_at, json_at; /* of the metadata: their lengths, and the next one */
    uint32_t version;
    bool has_metadata; /* this block */
    bool ended;
} om_import_dump;

static bool damaged(const om_import *imp, const char *why, om_tool_error *err)
{
    const om_import_dump *d = imp->dump;
    return om_tool_fail(err, OM_EXIT_DATA_LOSS, "%s: %s, in block %llu (after %llu rows)",
                        om_source_name(imp->src), why, (unsigned long long)d->blocks + 1,
                        (unsigned long long)d->rows);
}

static bool read_exactly(om_import *imp, void *out, size_t n, om_tool_error *err)
{
    size_t got = 0;
    if (!om_source_read(imp->src, out, n, &got, err)) {
        return false;
    }
    return got == n ? true : damaged(imp, "it is cut short", err);
}

static bool grow(om_import_dump *d, size_t bytes, om_tool_error *err)
{
    if (bytes > d->payload_cap) {
        uint8_t *grown = realloc(d->payload, bytes);
        if (grown == NULL) {
            return om_tool_no_memory(err, bytes);
        }
        d->payload = grown;
        d->payload_cap = bytes;
    }
    return true;
}

/* Header, payload and checksum of a block agree. */
static bool check_sum(om_import *imp, const uint8_t *head, size_t bytes, om_tool_error *err)
{
    uint8_t crc[4];
    if (!read_exactly(imp, crc, sizeof crc, err)) {
        return false;
    }
    uint32_t sum = om_wire_crc32c(0, head, OM_DUMP_BLOCK);
    sum = om_wire_crc32c(sum, imp->dump->payload, bytes);
    uint32_t told =
        (uint32_t)crc[0] | (uint32_t)crc[1] << 8 | (uint32_t)crc[2] << 16 | (uint32_t)crc[3] << 24;
    return sum == told ? true : damaged(imp, "a checksum is wrong", err);
}

/* Length i of a list of them that begins at `from`. */
static uint32_t length_of(const om_import_dump *d, size_t from, size_t i)
{
    const uint8_t *at = d->payload + from + 4 * i;
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Sets where the parts of the payload begin; false: they do not add up. */
static bool split(const om_import *imp, const om_dump_block *b)
{
    om_import_dump *d = imp->dump;
    uint64_t vectors = b->rows * om_import_row_bytes(imp); /* both below 2^33 */
    uint64_t ids = b->rows * (imp->ids.type == OMEN_ID_UUID ? 16 : 8);
    if (imp->ids.type == OMEN_ID_STRING) {
        ids = b->rows * 4;
        d->ids_at = (size_t)ids;
        for (size_t i = 0; ids <= b->bytes && i < b->rows; i++) {
            ids += length_of(d, 0, i);
        }
    }
    d->vectors_at = (size_t)ids;
    d->has_metadata = b->kind == OM_DUMP_ITEMS;
    if (!d->has_metadata) {
        return ids <= b->bytes && b->bytes - ids == vectors;
    }
    uint64_t at = ids + vectors;
    if (at > b->bytes || b->bytes - at < 4 * b->rows) {
        return false;
    }
    d->lengths_at = (size_t)at;
    at += 4 * b->rows;
    d->json_at = (size_t)at;
    for (size_t i = 0; at <= b->bytes && i < b->rows; i++) {
        at += length_of(d, d->lengths_at, i);
    }
    return at == b->bytes;
}

/* The fields of the collection; before the first row. */
static bool read_fields(om_import *imp, const om_dump_block *b, om_tool_error *err)
{
    om_import_dump *d = imp->dump;
    json_error_t why;
    if (d->blocks != 0 || b->rows != 0) {
        return damaged(imp, "fields stand where they should not", err);
    }
    json_t *list =
        json_loadb((const char *)d->payload, (size_t)b->bytes, JSON_REJECT_DUPLICATES, &why);
    bool ok = om_fields_from_json(list, &imp->info.fields, err);
    json_decref(list);
    d->blocks++;
    return ok ? true : om_tool_wrap(err, "%s", om_source_name(imp->src));
}

static bool known_kind(const om_import_dump *d, uint32_t kind)
{
    return kind == OM_DUMP_ROWS || kind == OM_DUMP_END ||
           (d->version >= 2 && (kind == OM_DUMP_FIELDS || kind == OM_DUMP_ITEMS));
}

static bool read_end(om_import *imp, const om_dump_block *b, om_tool_error *err)
{
    om_import_dump *d = imp->dump;
    uint8_t more;
    size_t got = 0;
    if (b->rows != d->rows || b->bytes != 0) {
        return damaged(imp, "the end tells of another number of rows", err);
    }
    if (!om_source_read(imp->src, &more, 1, &got, err)) {
        return false;
    }
    d->ended = true;
    return got == 0 ? true : damaged(imp, "there is more behind its end", err);
}

/* The next block; at the end d->ended. */
static bool next_block(om_import *imp, om_tool_error *err)
{
    om_import_dump *d = imp->dump;
    uint8_t head[OM_DUMP_BLOCK];
    om_dump_block b;
    if (!read_exactly(imp, head, sizeof head, err)) {
        return false;
    }
    if (!om_dump_get_block(head, &b) || b.number != d->blocks + 1 || !known_kind(d, b.kind)) {
        return damaged(imp, "no block begins where one should", err);
    }
    if (b.bytes > OM_DUMP_PAYLOAD_MAX || (b.kind != OM_DUMP_END && b.rows > OM_DUMP_PAYLOAD_MAX)) {
        return damaged(imp, "a block is larger than 80 MiB", err);
    }
    if (!grow(d, (size_t)b.bytes + 1, err) ||
        !read_exactly(imp, d->payload, (size_t)b.bytes, err) ||
        !check_sum(imp, head, (size_t)b.bytes, err)) {
        return false;
    }
    if (b.kind == OM_DUMP_END) {
        return read_end(imp, &b, err);
    }
    if (b.kind == OM_DUMP_FIELDS) {
        return read_fields(imp, &b, err);
    }
    /* Four bytes an id are the least; a row has one value or more. */
    if (b.rows * 4 > b.bytes || !split(imp, &b)) {
        return damaged(imp, "a block does not hold the rows it tells of", err);
    }
    d->blocks++;
    d->rows += b.rows;
    d->count = (size_t)b.rows;
    d->next = 0;
    return true;
}

static bool take_id(om_import *imp, om_tool_error *err)
{
    om_import_dump *d = imp->dump;
    const uint8_t *at = d->payload + d->next * (imp->ids.type == OMEN_ID_UUID ? 16 : 8);
    uint64_t number = 0;
    uint32_t length;
    switch (imp->ids.type) {
    case OMEN_ID_U64:
        for (int i = 7; i >= 0; i--) {
            number = number << 8 | at[i];
        }
        return om_ids_add_u64(&imp->ids, number, err);
    case OMEN_ID_UUID:
        return om_ids_add_uuid(&imp->ids, at, err);
    default:
        length = length_of(d, 0, d->next);
        d->ids_at += length;
        return om_ids_add_string(&imp->ids, (const char *)d->payload + d->ids_at - length, length,
                                 err);
    }
}

static bool take_metadata(om_import *imp, om_tool_error *err)
{
    om_import_dump *d = imp->dump;
    uint32_t length = d->has_metadata ? length_of(d, d->lengths_at, d->next) : 0;
    const char *text = length > 0 ? (const char *)d->payload + d->json_at : "";
    d->json_at += length;
    return om_json_column_add(&imp->metadata, text, length, err);
}

static bool read_dump(om_import *imp, size_t n, size_t *got, om_tool_error *err)
{
    om_import_dump *d = imp->dump;
    size_t row = om_import_row_bytes(imp);
    *got = 0;
    while (*got < n && !om_import_enough(imp)) {
        while (d->next == d->count && !d->ended) {
            if (!next_block(imp, err)) {
                return false;
            }
        }
        if (d->ended) {
            return true;
        }
        if (!take_id(imp, err) || !take_metadata(imp, err)) {
            return om_tool_wrap(err, "%s, row %llu", om_source_name(imp->src),
                                (unsigned long long)(imp->next_row + *got));
        }
        memcpy(imp->buf + *got * row, d->payload + d->vectors_at + d->next * row, row);
        d->next++;
        (*got)++;
    }
    return true;
}

bool om_import_dump_start(om_import *imp, om_tool_error *err)
{
    uint8_t bytes[OM_DUMP_HEADER];
    om_dump_head head;
    const char *why = NULL;
    imp->dump = calloc(1, sizeof *imp->dump);
    if (imp->dump == NULL) {
        return om_tool_no_memory(err, sizeof *imp->dump);
    }
    if (!read_exactly(imp, bytes, sizeof bytes, err)) {
        return false;
    }
    if (!om_dump_get_head(bytes, &head, &why)) {
        return om_tool_fail(err, OM_EXIT_DATA_LOSS, "%s: %s", om_source_name(imp->src), why);
    }
    imp->info.dim = head.options.dim;
    imp->info.dtype = head.options.dtype;
    imp->info.has_ids = true;
    imp->info.shape = head.options;
    imp->info.has_shape = true;
    imp->ids.type = head.options.id_type;
    imp->read = read_dump;
    imp->dump->version = head.version;
    /* What it tells of fields is needed before its rows are asked for. */
    return head.version < 2 || next_block(imp, err);
}

void om_import_dump_free(om_import *imp)
{
    if (imp->dump != NULL) {
        free(imp->dump->payload);
        free(imp->dump);
    }
}
