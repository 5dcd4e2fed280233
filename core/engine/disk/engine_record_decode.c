/* engine_record_decode.c - payloads of log records, read without trust: a right checksum only says that
 * somebody wrote these bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_record.h"

typedef struct reader {
    const om_log_record *record;
    size_t at;
    omen_error *err;
} reader;

static omen_status_t wrong(const reader *r, const char *what, uint64_t value, uint64_t limit)
{
    return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_NONE,
                   "log record %llu: %s is %llu, where %llu is the limit",
                   (unsigned long long)r->record->lsn, what, (unsigned long long)value,
                   (unsigned long long)limit);
}

static omen_status_t newer(const reader *r, const char *what, uint32_t value)
{
    return om_fail(r->err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                   "log record %llu: %s %u is unknown: it was written by a newer version",
                   (unsigned long long)r->record->lsn, what, value);
}

/* ---- Fields ------------------------------------------------------------------------------------ */
static omen_status_t take_bytes(const reader *r, const uint8_t *value, size_t length, size_t most,
                                om_stream_id *out)
{
    if (length == 0 || length > most || out->bytes != NULL) {
        return wrong(r, "length of an id or name", length, most);
    }
    *out = (om_stream_id){.bytes = (const char *)value, .length = length};
    return OMEN_OK;
}

static omen_status_t take_value(const reader *r, const uint8_t *value, size_t length, size_t size,
                                void *out)
{
    if (length != size) {
        return wrong(r, "length of a field", length, size);
    }
    memcpy(out, value, size);
    return OMEN_OK;
}

static omen_status_t take_counts(const reader *r, const uint8_t *value, size_t length,
                                 om_payload *out)
{
    uint64_t counts[3];
    omen_status_t status = take_value(r, value, length, sizeof counts, counts);
    if (status != OMEN_OK) {
        return status;
    }
    out->has_counts = true;
    out->counts = (om_written){.applied = counts[0], .replaced = counts[1], .refused = counts[2]};
    return OMEN_OK;
}

static omen_status_t take_part(const reader *r, const uint8_t *value, size_t length,
                               om_payload *out)
{
    omen_status_t status = take_value(r, value, length, sizeof out->part, &out->part);
    if (status != OMEN_OK) {
        return status;
    }
    out->has_part = true;
    if (out->part.items > OMEN_MAX_BATCH_ITEMS) {
        return wrong(r, "items of a batch in parts", out->part.items, OMEN_MAX_BATCH_ITEMS);
    }
    if (out->part.id_bytes > OMEN_MAX_BATCH_BYTES) {
        return wrong(r, "id bytes of a batch in parts", out->part.id_bytes, OMEN_MAX_BATCH_BYTES);
    }
    return OMEN_OK;
}

static omen_status_t take_field(const reader *r, uint16_t tag, const uint8_t *value, size_t length,
                                om_payload *out)
{
    switch (tag) {
    case OM_FIELD_STREAM:
        return take_bytes(r, value, length, OMEN_MAX_STREAM_ID, &out->stream);
    case OM_FIELD_SEQ:
        return take_value(r, value, length, sizeof out->seq, &out->seq);
    case OM_FIELD_REQUEST:
        return take_bytes(r, value, length, OMEN_MAX_REQUEST_ID, &out->request);
    case OM_FIELD_CRC:
        return take_value(r, value, length, sizeof out->crc, &out->crc);
    case OM_FIELD_COUNTS:
        return take_counts(r, value, length, out);
    case OM_FIELD_PART:
        return take_part(r, value, length, out);
    case OM_FIELD_ACTION:
        return take_value(r, value, length, sizeof out->action, &out->action);
    case OM_FIELD_NAME:
        return take_bytes(r, value, length, OMEN_MAX_NAME, &out->name);
    case OM_FIELD_OPTIONS:
        out->has_options = true;
        return take_value(r, value, length, sizeof out->options, &out->options);
    default:
        return (tag & OM_FIELD_REQUIRED) != 0 ? newer(r, "field", tag) : OMEN_OK;
    }
}

static omen_status_t read_fields(reader *r, om_payload *out)
{
    size_t end = r->at + out->head.field_bytes;
    while (r->at < end) {
        uint16_t tag_length[2];
        const uint8_t *field = r->record->payload + r->at;
        if (end - r->at < sizeof tag_length) {
            return wrong(r, "end of the fields", r->at + sizeof tag_length, end);
        }
        memcpy(tag_length, field, sizeof tag_length);
        size_t bytes = om_round_up(sizeof tag_length + tag_length[1], OM_PAYLOAD_ALIGN);
        if (bytes > end - r->at) {
            return wrong(r, "end of a field", r->at + bytes, end);
        }
        if (tag_length[0] != 0) { /* 0: padding */
            omen_status_t status =
                take_field(r, tag_length[0], field + sizeof tag_length, tag_length[1], out);
            if (status != OMEN_OK) {
                return status;
            }
        }
        r->at += bytes;
    }
    if ((out->stream.bytes != NULL) != (out->seq != 0)) {
        return wrong(r, "seq of a stream", out->seq, UINT64_MAX);
    }
    return OMEN_OK;
}

/* ---- Columns ----------------------------------------------------------------------------------- */
/* The next `count` * `width` bytes, and the padding behind them. */
static omen_status_t take_column(reader *r, uint64_t count, uint64_t width, const uint8_t **out)
{
    size_t left = r->record->bytes - r->at;
    uint64_t bytes = count * width; /* below 2^25 * 2^19 */
    if (bytes > left) {
        return wrong(r, "size of a column", bytes, left);
    }
    *out = r->record->payload + r->at;
    size_t padded = om_round_up((size_t)bytes, OM_PAYLOAD_ALIGN);
    r->at += padded < left ? padded : left;
    return OMEN_OK;
}

static omen_status_t read_offsets(reader *r, om_payload *out)
{
    const uint8_t *column = NULL;
    omen_status_t status =
        take_column(r, (uint64_t)out->head.count + 1, sizeof *out->offsets, &column);
    if (status != OMEN_OK) {
        return status;
    }
    out->offsets = (const void *)column;
    uint32_t before = 0;
    for (uint32_t i = 0; i <= out->head.count; i++) {
        uint32_t offset = out->offsets[i];
        if (offset < before || offset > out->head.id_bytes || (i == 0 && offset != 0)) {
            return wrong(r, "offset of an id", offset, out->head.id_bytes);
        }
        before = offset;
    }
    return before == out->head.id_bytes ? OMEN_OK
                                        : wrong(r, "end of the ids", before, out->head.id_bytes);
}

static omen_status_t read_ids(reader *r, om_payload *out)
{
    const om_payload_head *head = &out->head;
    if (head->id_width > OMEN_MAX_STRING_ID) {
        return wrong(r, "width of ids", head->id_width, OMEN_MAX_STRING_ID);
    }
    if (head->id_width != 0) {
        if ((uint64_t)head->id_width * head->count != head->id_bytes) {
            return wrong(r, "bytes of ids", head->id_bytes, (uint64_t)head->id_width * head->count);
        }
    } else {
        omen_status_t status = read_offsets(r, out);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return take_column(r, head->id_bytes, 1, &out->ids);
}

/* The u64 in front of a column says how long it is. */
static omen_status_t take_sized(reader *r, const uint8_t **out, size_t *bytes)
{
    const uint8_t *size = NULL;
    uint64_t value = 0;
    omen_status_t status = take_column(r, 1, sizeof value, &size);
    if (status == OMEN_OK) {
        memcpy(&value, size, sizeof value);
        status = value > r->record->bytes - r->at
                     ? wrong(r, "size of a column", value, r->record->bytes - r->at)
                     : take_column(r, value, 1, out);
    }
    *bytes = (size_t)value;
    return status;
}

/* What stands in the rows is checked when the fields of the collection are known. */
static omen_status_t read_meta(reader *r, om_payload *out)
{
    omen_status_t status = take_sized(r, &out->meta, &out->meta_bytes);
    size_t at = 0;
    for (uint32_t i = 0; status == OMEN_OK && i < out->head.count; i++) {
        uint32_t size = 0;
        if (out->meta_bytes - at < OM_PAYLOAD_ALIGN) {
            return wrong(r, "end of a row", at + OM_PAYLOAD_ALIGN, out->meta_bytes);
        }
        memcpy(&size, out->meta + at, sizeof size);
        if (size < OM_PAYLOAD_ALIGN || size % OM_PAYLOAD_ALIGN != 0 ||
            size > out->meta_bytes - at) {
            return wrong(r, "size of a row", size, out->meta_bytes - at);
        }
        at += size;
    }
    if (status == OMEN_OK && at != out->meta_bytes) {
        status = wrong(r, "end of the rows", at, out->meta_bytes);
    }
    return status;
}

static omen_status_t read_columns(reader *r, om_payload *out)
{
    omen_status_t status = OMEN_OK;
    const om_payload_head *head = &out->head;
    const uint8_t *keys = NULL;
    if ((head->columns & OM_COLUMN_KEYS) != 0) {
        OM_TRY(take_column(r, head->count, sizeof *out->keys, &keys));
        out->keys = (const void *)keys;
    }
    if ((head->columns & OM_COLUMN_IDS) != 0) {
        OM_TRY(read_ids(r, out));
    } else if (head->id_bytes != 0 || head->id_width != 0) {
        return wrong(r, "bytes of ids", head->id_bytes, 0);
    }
    if ((head->columns & OM_COLUMN_VECTORS) != 0) {
        uint64_t row = (uint64_t)head->dim * om_dtype_width(head->dtype);
        if (head->dim > OMEN_MAX_DIM || row == 0) {
            return wrong(r, "dimension", head->dim, OMEN_MAX_DIM);
        }
        OM_TRY(take_column(r, head->count, row, &out->vectors));
    }
    if ((head->columns & OM_COLUMN_META) != 0) {
        OM_TRY(read_meta(r, out));
    }
    if ((head->columns & OM_COLUMN_SCHEMA) != 0) {
        OM_TRY(take_sized(r, &out->schema, &out->schema_bytes));
    }
out:
    return status;
}

omen_status_t om_payload_decode(const om_log_record *record, om_payload *out, omen_error *err)
{
    reader r = {.record = record, .err = err};
    memset(out, 0, sizeof *out);
    om_assert((uintptr_t)record->payload % OM_PAYLOAD_ALIGN == 0);
    if (record->bytes < sizeof out->head) {
        return wrong(&r, "size of the payload", record->bytes, sizeof out->head);
    }
    memcpy(&out->head, record->payload, sizeof out->head);
    r.at = sizeof out->head;
    if (out->head.version != OM_PAYLOAD_VERSION) {
        return newer(&r, "payload version", out->head.version);
    }
    uint32_t known =
        OM_COLUMN_KEYS | OM_COLUMN_IDS | OM_COLUMN_VECTORS | OM_COLUMN_META | OM_COLUMN_SCHEMA;
    if ((out->head.columns & ~known) != 0) {
        return newer(&r, "a column of", out->head.columns & ~known);
    }
    if (out->head.count > OMEN_MAX_BATCH_ITEMS) {
        return wrong(&r, "items", out->head.count, OMEN_MAX_BATCH_ITEMS);
    }
    if (out->head.field_bytes > OM_PAYLOAD_FIELDS ||
        out->head.field_bytes % OM_PAYLOAD_ALIGN != 0 ||
        out->head.field_bytes > record->bytes - r.at) {
        return wrong(&r, "size of the fields", out->head.field_bytes, record->bytes - r.at);
    }
    omen_status_t status = read_fields(&r, out);
    if (status == OMEN_OK) {
        status = read_columns(&r, out);
    }
    if (status == OMEN_OK && r.at != record->bytes) {
        status = wrong(&r, "size of the payload", record->bytes, r.at);
    }
    return status;
}

/* ---- What the columns are for ------------------------------------------------------------------ */
static omen_status_t unfit(omen_error *err, const char *what, uint64_t value, uint64_t expected)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                   "log: a record has %s %llu, its collection %llu", what,
                   (unsigned long long)value, (unsigned long long)expected);
}

static omen_status_t check_ids(const om_payload *p, const omen_options *o, bool deletes,
                               omen_error *err)
{
    uint32_t ids = p->head.columns & (OM_COLUMN_KEYS | OM_COLUMN_IDS);
    if (o->id_type == OMEN_ID_U64 || (deletes && ids == OM_COLUMN_KEYS)) {
        return ids == OM_COLUMN_KEYS ? OMEN_OK : unfit(err, "id columns", ids, OM_COLUMN_KEYS);
    }
    uint32_t wanted = deletes ? OM_COLUMN_IDS : OM_COLUMN_KEYS | OM_COLUMN_IDS;
    if (ids != wanted) {
        return unfit(err, "id columns", ids, wanted);
    }
    if (o->id_type == OMEN_ID_UUID && p->head.id_width != 16) {
        return unfit(err, "an id width of", p->head.id_width, 16);
    }
    return OMEN_OK;
}

omen_status_t om_payload_batch(const om_payload *p, const omen_options *o, bool deletes,
                               omen_batch *out, omen_error *err)
{
    omen_status_t status = check_ids(p, o, deletes, err);
    if (status != OMEN_OK) {
        return status;
    }
    bool vectors = (p->head.columns & OM_COLUMN_VECTORS) != 0;
    if (vectors == deletes) {
        return unfit(err, "vectors", vectors, !deletes);
    }
    if (vectors && p->head.dim != o->dim) {
        return unfit(err, "dimension", p->head.dim, o->dim);
    }
    if (vectors && p->head.dtype != o->dtype) {
        return unfit(err, "dtype", p->head.dtype, o->dtype);
    }
    if (p->head.mode > OMEN_PATCH) {
        return unfit(err, "mode", p->head.mode, OMEN_PATCH);
    }
    if (deletes && (p->head.columns & OM_COLUMN_META) != 0) {
        return unfit(err, "metadata", 1, 0);
    }
    *out = (omen_batch){.struct_size = sizeof *out,
                        .count = p->head.count,
                        .vectors = p->vectors,
                        .dtype = o->dtype,
                        .dim = o->dim,
                        .keys = p->keys,
                        .mode = OMEN_UPSERT}; /* it was checked before it was logged */
    if (p->ids != NULL) {
        out->ids = (omen_column){.data = p->ids,
                                 .offsets = p->offsets,
                                 .offset_bits = p->offsets != NULL ? 32 : 0,
                                 .width = p->head.id_width};
    }
    return OMEN_OK;
}

omen_status_t om_payload_options(const om_payload *p, omen_options *out, omen_error *err)
{
    const om_options_field *f = &p->options;
    omen_error inner = {0};
    if (!p->has_options) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "log: a collection is created without options");
    }
    omen_options options = {.struct_size = sizeof options,
                            .dim = f->dim,
                            .metric = f->metric,
                            .dtype = f->dtype,
                            .id_type = f->id_type,
                            .m = f->m,
                            .ef_construction = f->ef_construction,
                            .quantization = f->quantization,
                            .rotation = f->rotation,
                            .entry = f->entry,
                            .durability = f->durability,
                            .capacity_hint = f->capacity_hint,
                            .max_backlog_rows = f->max_backlog_rows};
    omen_status_t status = om_options_check(&options, out, &inner);
    if (status == OMEN_INVALID_ARGUMENT) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "log: a collection is created with options that do not hold: %s",
                       inner.message);
    }
    if (status != OMEN_OK && err != NULL) {
        *err = inner;
    }
    return status;
}
