/* engine_record_head.c - the log: heads and fields of payloads, appending, and records without items.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_record.h"

/* ---- Head and fields --------------------------------------------------------------------------- */
void om_payload_field(om_head_block *b, uint16_t tag, const void *value, size_t length)
{
    uint16_t tag_length[2] = {tag, (uint16_t)length};
    size_t bytes = om_round_up(sizeof tag_length + length, OM_PAYLOAD_ALIGN);
    om_assert(bytes <= OM_HEAD_ROOM - b->used);
    memset(b->bytes + b->used, 0, bytes);
    memcpy(b->bytes + b->used, tag_length, sizeof tag_length);
    memcpy(b->bytes + b->used + sizeof tag_length, value, length);
    b->used += bytes;
}

void om_payload_begin(om_head_block *b)
{
    memset(b->bytes, 0, sizeof(om_payload_head));
    b->used = sizeof(om_payload_head);
}

void om_payload_end(om_head_block *b, om_payload_head head)
{
    head.version = OM_PAYLOAD_VERSION;
    head.field_bytes = (uint16_t)(b->used - sizeof head);
    memcpy(b->bytes, &head, sizeof head);
}

/* Who sent the batch, and what came of it: enough to answer when it is sent again. */
void om_payload_origin(om_head_block *b, const omen_batch *batch, const om_written *done)
{
    if (batch->stream_id != NULL) {
        om_payload_field(b, OM_FIELD_STREAM, batch->stream_id, batch->stream_id_len);
        om_payload_field(b, OM_FIELD_SEQ, &batch->seq, sizeof batch->seq);
        if (batch->crc != 0) {
            om_payload_field(b, OM_FIELD_CRC, &batch->crc, sizeof batch->crc);
        }
    }
    if (batch->request_id != NULL) {
        uint64_t counts[3] = {done->applied, done->replaced, done->refused};
        om_payload_field(b, OM_FIELD_REQUEST, batch->request_id, batch->request_id_len);
        om_payload_field(b, OM_FIELD_COUNTS, counts, sizeof counts);
    }
}

/* ---- Appending --------------------------------------------------------------------------------- */
/* A driver that broke stays so until the database is opened again. */
static void note_failure(omen_db *db, omen_status_t status, const omen_error *err)
{
    om_disk *disk = db->disk;
    om_log_state state;
    disk->log->ops->tail(disk->log, &state);
    if (state.state == OM_LOG_BROKEN) {
        om_disk_fail(db, OMEN_DB_FAILED, state.reason[0] != '\0' ? state.reason : err->message);
    } else if (status == OMEN_RESOURCE_EXHAUSTED && err->detail == OMEN_D_DISK_FULL) {
        om_disk_full(db);
    }
}

omen_status_t om_record_append(omen_db *db, const om_log_entry *entries, uint32_t count,
                               uint64_t *lsn, omen_error *err)
{
    omen_error local = {0};
    om_disk *disk = db->disk;
    omen_status_t status = disk->log->ops->append(disk->log, entries, count, lsn, &local);
    if (status != OMEN_OK) {
        note_failure(db, status, &local);
        if (err != NULL) {
            *err = local;
        }
        return status;
    }
    uint64_t bytes = 0;
    for (uint32_t e = 0; e < count; e++) {
        for (uint32_t i = 0; i < entries[e].part_count; i++) {
            bytes += entries[e].parts[i].iov_len;
        }
    }
    om_disk_logged(db, *lsn, bytes);
    return OMEN_OK;
}

omen_status_t om_record_durable(omen_db *db, uint64_t lsn, omen_error *err)
{
    omen_error local = {0};
    om_disk *disk = db->disk;
    omen_status_t status = disk->log->ops->sync(disk->log, lsn, &local);
    if (status != OMEN_OK) {
        note_failure(db, status, &local);
        if (err != NULL) {
            *err = local;
        }
    }
    return status;
}

omen_status_t om_record_append_head(om_collection *c, uint8_t type, om_head_block *b, uint64_t *lsn,
                                    omen_error *err)
{
    /* A few bytes that nothing grows by; a COMMIT is not refused after its parts. */
    om_log_entry entry = {
        .collection = c->serial, .type = type, .flags = OM_LOG_BALLAST, .part_count = 1};
    entry.parts[0] = (struct iovec){.iov_base = b->bytes, .iov_len = b->used};
    return om_record_append(c->db, &entry, 1, lsn, err);
}

omen_status_t om_record_sync(om_collection *c, uint32_t level, uint64_t version, omen_error *err)
{
    return level < OMEN_DURABILITY_BATCH ? OMEN_OK : om_record_durable(c->db, version, err);
}

/* ---- Records without items --------------------------------------------------------------------- */
omen_status_t om_record_consumed(om_collection *c, const omen_batch *batch, uint64_t *version,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_head_block b;
    const om_written nothing = {0};
    omen_batch origin = *batch;
    origin.request_id = NULL; /* a refused request may be sent again under its id */
    om_payload_begin(&b);
    om_payload_origin(&b, &origin, &nothing);
    om_payload_end(&b, (om_payload_head){.mode = 0});
    OM_TRY(om_disk_writable(c->db, true, err));
    OM_TRY(om_record_append_head(c, OM_LOG_NOOP, &b, version, err));
    if (om_max_u32(c->options.durability, batch->durability) >= OMEN_DURABILITY_BATCH) {
        OM_TRY(om_record_durable(c->db, *version, err));
    }
    atomic_store(&c->version, *version);
out:
    return status;
}

static void put_options(om_head_block *b, const omen_options *o)
{
    const om_options_field field = {.dim = o->dim,
                                    .metric = o->metric,
                                    .dtype = o->dtype,
                                    .id_type = o->id_type,
                                    .m = o->m,
                                    .ef_construction = o->ef_construction,
                                    .quantization = o->quantization,
                                    .rotation = o->rotation,
                                    .entry = o->entry,
                                    .durability = o->durability,
                                    .capacity_hint = o->capacity_hint,
                                    .max_backlog_rows = o->max_backlog_rows};
    om_payload_field(b, OM_FIELD_OPTIONS, &field, sizeof field);
}

/* ---- Fields of a collection ---------------------------------------------------------------------- */
/* A column behind the head: its size, then its bytes, then zeros. */
static void add_column(om_log_entry *entry, const uint64_t *size, const uint8_t *bytes)
{
    static const uint8_t zeros[OM_PAYLOAD_ALIGN];
    size_t hole = om_round_up((size_t)*size, OM_PAYLOAD_ALIGN) - (size_t)*size;
    entry->parts[entry->part_count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)size, .iov_len = sizeof *size};
    entry->parts[entry->part_count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = (size_t)*size};
    if (hole != 0) {
        entry->parts[entry->part_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)zeros, .iov_len = hole};
    }
}

/* The fields from `first` on as a column of a SCHEMA record, whose head is complete but for its end. */
static omen_status_t make_fields(om_collection *c, uint32_t first, om_record_fields_block *out,
                                 omen_error *err)
{
    out->alloc = &c->rt->alloc;
    out->size = om_schema_export_size(c->schema, first);
    out->bytes = om_alloc_get(out->alloc, (size_t)out->size, OM_CACHE_LINE);
    if (out->bytes == NULL) {
        return om_fail_memory(err, "log record", out->size);
    }
    om_schema_export(c->schema, first, out->bytes);
    om_payload_end(&out->head, (om_payload_head){.columns = OM_COLUMN_SCHEMA});
    out->entry = (om_log_entry){
        .collection = c->serial, .type = OM_LOG_SCHEMA, .flags = OM_LOG_BALLAST, .part_count = 1};
    out->entry.parts[0] = (struct iovec){.iov_base = out->head.bytes, .iov_len = out->head.used};
    add_column(&out->entry, &out->size, out->bytes);
    return OMEN_OK;
}

static void begin_schema(om_head_block *b, const om_collection *c, uint32_t action)
{
    om_payload_begin(b);
    om_payload_field(b, OM_FIELD_ACTION, &action, sizeof action);
    om_payload_field(b, OM_FIELD_NAME, c->name, strlen(c->name));
}

omen_status_t om_record_fields_begin(om_collection *c, om_record_fields_block *out, omen_error *err)
{
    *out = (om_record_fields_block){.bytes = NULL};
    begin_schema(&out->head, c, OM_SCHEMA_FIELDS);
    return make_fields(c, c->schema_logged, out, err);
}

void om_record_fields_end(om_record_fields_block *block)
{
    if (block->alloc != NULL) {
        om_alloc_put(block->alloc, block->bytes, (size_t)block->size, OM_CACHE_LINE);
        block->bytes = NULL;
    }
}

omen_status_t om_record_fields(om_collection *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t lsn = 0;
    om_record_fields_block block = {.bytes = NULL};
    uint32_t count = om_schema_count(c->schema);
    if (count == c->schema_logged) {
        return OMEN_OK;
    }
    OM_TRY(om_disk_writable(c->db, false, err));
    OM_TRY(om_record_fields_begin(c, &block, err));
    OM_TRY(om_record_append(c->db, &block.entry, 1, &lsn, err));
    c->schema_logged = count;
    OM_TRY(om_record_sync(c, c->options.durability, lsn, err));
    atomic_store(&c->version, lsn);
out:
    om_record_fields_end(&block);
    return status;
}

/* ---- Collections that come and go ---------------------------------------------------------------- */
static omen_status_t append_schema(om_collection *c, uint32_t action, uint64_t *lsn,
                                   omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_record_fields_block block = {.bytes = NULL};
    begin_schema(&block.head, c, action);
    if (action == OM_SCHEMA_CREATE) {
        put_options(&block.head, &c->options);
    }
    if (action == OM_SCHEMA_CREATE && om_schema_count(c->schema) != 0) {
        OM_TRY(make_fields(c, 0, &block, err));
        OM_TRY(om_record_append(c->db, &block.entry, 1, lsn, err));
    } else {
        om_payload_end(&block.head, (om_payload_head){.mode = 0});
        OM_TRY(om_record_append_head(c, OM_LOG_SCHEMA, &block.head, lsn, err));
    }
out:
    om_record_fields_end(&block);
    return status;
}

static omen_status_t write_schema(om_collection *c, uint32_t action, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t lsn = 0;
    OM_TRY(om_disk_writable(c->db, action == OM_SCHEMA_DROP, err));
    OM_TRY(append_schema(c, action, &lsn, err));
    OM_TRY(om_record_durable(c->db, lsn, err));
    if (action == OM_SCHEMA_CREATE) {
        om_disk_prepare(c);
        atomic_store(&c->version, lsn);
        c->contained = lsn;
        c->schema_logged = om_schema_count(c->schema);
    }
out:
    return status;
}

omen_status_t om_record_created(om_collection *c, omen_error *err)
{
    return write_schema(c, OM_SCHEMA_CREATE, err);
}

omen_status_t om_record_dropped(om_collection *c, omen_error *err)
{
    return write_schema(c, OM_SCHEMA_DROP, err);
}

void om_record_sealed(om_collection *c)
{
    om_head_block b;
    uint64_t lsn = 0;
    omen_error err = {0};
    if (c->db->disk->log == NULL || !c->db->disk->ready) {
        return; /* it is being recovered, or only read */
    }
    om_payload_begin(&b);
    om_payload_end(&b, (om_payload_head){.mode = 0});
    omen_status_t status = om_disk_writable(c->db, true, &err);
    if (status == OMEN_OK) {
        status = om_record_append_head(c, OM_LOG_SEAL, &b, &lsn, &err);
    }
    if (status != OMEN_OK) {
        /* Without it recovery cuts the rows elsewhere, which is as good. */
        om_log_write(&c->rt->log, OMEN_LOG_WARN, "engine", "collection '%s': no SEAL record: %s",
                     c->name, err.message);
    }
}
