/* dump.c - the bytes of a dump, and writing one. SPDX-License-Identifier: Apache-2.0 */
#include "dump.h"

#include <stdlib.h>
#include <string.h>

#include "crc32c.h"

enum { CRC = 4 };

/* ---- Numbers: little-endian, whatever the machine ------------------------------------------------ */

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)value);
    put32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get64(const uint8_t *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

/* ---- Header and blocks ----------------------------------------------------------------------------- */

enum { AT_VERSION = 8, AT_SIZE = 12, AT_SHAPE = 16, SHAPE = 10, AT_ROWS = 56, AT_BACKLOG = 64 };

void om_dump_put_head(const om_dump_head *head, uint8_t out[OM_DUMP_HEADER])
{
    const omen_options *o = &head->options;
    const uint32_t shape[SHAPE] = {o->dim,   o->metric,          o->dtype,        o->id_type,
                                   o->m,     o->ef_construction, o->quantization, o->rotation,
                                   o->entry, o->durability};
    memset(out, 0, OM_DUMP_HEADER);
    memcpy(out, OM_DUMP_MAGIC, 8);
    put32(out + AT_VERSION, o->field_count > 0 ? OM_DUMP_VERSION : 1);
    put32(out + AT_SIZE, OM_DUMP_HEADER);
    for (int i = 0; i < SHAPE; i++) {
        put32(out + AT_SHAPE + 4 * i, shape[i]);
    }
    put64(out + AT_ROWS, head->rows);
    put64(out + AT_BACKLOG, o->max_backlog_rows);
    put32(out + OM_DUMP_HEADER - CRC, om_wire_crc32c(0, out, OM_DUMP_HEADER - CRC));
}

bool om_dump_get_head(const uint8_t in[OM_DUMP_HEADER], om_dump_head *head, const char **why)
{
    uint32_t shape[SHAPE];
    for (int i = 0; i < SHAPE; i++) {
        shape[i] = get32(in + AT_SHAPE + 4 * i);
    }
    uint32_t version = get32(in + AT_VERSION);
    *why = memcmp(in, OM_DUMP_MAGIC, 8) != 0 ? "it does not begin with " OM_DUMP_MAGIC
           : version < 1 || version > OM_DUMP_VERSION
               ? "it was written by a version that this omen does not know"
           : get32(in + AT_SIZE) != OM_DUMP_HEADER ||
                   get32(in + OM_DUMP_HEADER - CRC) != om_wire_crc32c(0, in, OM_DUMP_HEADER - CRC)
               ? "its header is damaged"
           : shape[0] == 0 || shape[0] > OMEN_MAX_DIM || om_tool_dtype_width(shape[2]) == 0 ||
                   shape[2] > OMEN_U8 || om_tool_id_type_name(shape[3]) == NULL
               ? "its header tells of vectors or ids that there are not"
               : NULL;
    *head = (om_dump_head){.options = {.struct_size = sizeof head->options,
                                       .dim = shape[0],
                                       .metric = shape[1],
                                       .dtype = shape[2],
                                       .id_type = shape[3],
                                       .m = shape[4],
                                       .ef_construction = shape[5],
                                       .quantization = shape[6],
                                       .rotation = shape[7],
                                       .entry = shape[8],
                                       .durability = shape[9],
                                       .max_backlog_rows = get64(in + AT_BACKLOG)},
                           .rows = get64(in + AT_ROWS),
                           .version = version};
    return *why == NULL;
}

void om_dump_put_block(const om_dump_block *block, uint8_t out[OM_DUMP_BLOCK])
{
    memcpy(out, OM_DUMP_BLOCK_MAGIC, 4);
    put32(out + 4, block->kind);
    put64(out + 8, block->number);
    put64(out + 16, block->rows);
    put64(out + 24, block->bytes);
}

bool om_dump_get_block(const uint8_t in[OM_DUMP_BLOCK], om_dump_block *block)
{
    *block = (om_dump_block){get32(in + 4), get64(in + 8), get64(in + 16), get64(in + 24)};
    return memcmp(in, OM_DUMP_BLOCK_MAGIC, 4) == 0;
}

/* ---- Writing --------------------------------------------------------------------------------------- */

typedef struct part {
    const void *bytes;
    size_t n;
} part;

/* Header, payload in parts, checksum. block->bytes: of all parts. */
static bool put_block(om_dump_writer *w, const om_dump_block *block, const part *parts,
                      size_t count, om_tool_error *err)
{
    uint8_t head[OM_DUMP_BLOCK];
    uint8_t crc[CRC];
    om_dump_put_block(block, head);
    uint32_t sum = om_wire_crc32c(0, head, sizeof head);
    bool ok = w->put(w->ctx, head, sizeof head, err);
    for (size_t i = 0; ok && i < count; i++) {
        sum = om_wire_crc32c(sum, parts[i].bytes, parts[i].n);
        ok = parts[i].n == 0 || w->put(w->ctx, parts[i].bytes, parts[i].n, err);
    }
    put32(crc, sum);
    return ok && w->put(w->ctx, crc, sizeof crc, err);
}

bool om_dump_begin(om_dump_writer *w, om_tool_error *err)
{
    uint8_t head[OM_DUMP_HEADER];
    const omen_options *o = &w->head.options;
    om_dump_put_head(&w->head, head);
    if (!w->put(w->ctx, head, sizeof head, err)) {
        return false;
    }
    if (o->field_count == 0) {
        return true;
    }
    json_t *list = om_fields_json(o->fields, o->field_count);
    char *text = list != NULL ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    if (text == NULL) {
        return om_tool_no_memory(err, o->field_count * sizeof *o->fields);
    }
    const part all = {text, strlen(text)};
    om_dump_block block = {OM_DUMP_FIELDS, ++w->blocks, 0, all.n};
    bool ok = put_block(w, &block, &all, 1, err);
    free(text);
    return ok;
}

static size_t ids_bytes(const om_ids *ids)
{
    if (ids->type == OMEN_ID_STRING) {
        return ids->count == 0 ? 0 : 4 * ids->count + (size_t)ids->offsets[ids->count];
    }
    return (ids->type == OMEN_ID_U64 ? 8 : 16) * ids->count;
}

static void put_ids(const om_ids *ids, uint8_t *out)
{
    for (size_t i = 0; ids->type == OMEN_ID_U64 && i < ids->count; i++) {
        put64(out + 8 * i, ids->u64[i]);
    }
    if (ids->type == OMEN_ID_UUID && ids->count > 0) {
        memcpy(out, ids->uuid, 16 * ids->count);
    }
    for (size_t i = 0; ids->type == OMEN_ID_STRING && i < ids->count; i++) {
        put32(out + 4 * i, (uint32_t)(ids->offsets[i + 1] - ids->offsets[i]));
    }
    if (ids->type == OMEN_ID_STRING && ids->count > 0) {
        memcpy(out + 4 * ids->count, ids->text, (size_t)ids->offsets[ids->count]);
    }
}

bool om_dump_rows(om_dump_writer *w, const om_ids *ids, const void *vectors,
                  const om_json_column *metadata, om_tool_error *err)
{
    const omen_options *o = &w->head.options;
    size_t row = o->dim * om_tool_dtype_width(o->dtype);
    size_t id_bytes = ids_bytes(ids);
    size_t lengths = metadata != NULL ? 4 * ids->count : 0;
    size_t need = id_bytes + lengths;
    if (need > w->room_bytes) {
        uint8_t *grown = realloc(w->room, need);
        if (grown == NULL) {
            return om_tool_no_memory(err, need);
        }
        w->room = grown;
        w->room_bytes = need;
    }
    put_ids(ids, w->room);
    for (size_t i = 0; metadata != NULL && i < ids->count; i++) {
        size_t len;
        (void)om_json_column_get(metadata, i, &len);
        put32(w->room + id_bytes + 4 * i, (uint32_t)len);
    }
    size_t json = metadata != NULL ? om_json_column_bytes(metadata) : 0;
    const part parts[] = {{w->room, id_bytes},
                          {vectors, ids->count * row},
                          {w->room + id_bytes, lengths},
                          {json > 0 ? metadata->text : "", json}};
    om_dump_block block = {metadata != NULL ? OM_DUMP_ITEMS : OM_DUMP_ROWS, ++w->blocks, ids->count,
                           need + ids->count * row + json};
    w->rows += ids->count;
    return put_block(w, &block, parts, sizeof parts / sizeof *parts, err);
}

bool om_dump_end(om_dump_writer *w, om_tool_error *err)
{
    om_dump_block block = {OM_DUMP_END, ++w->blocks, w->rows, 0};
    return put_block(w, &block, NULL, 0, err);
}

void om_dump_writer_free(om_dump_writer *w)
{
    free(w->room);
    w->room = NULL;
    w->room_bytes = 0;
}
