/* engine_replay.c - applying records of the log: at open, and when a reader moves on.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Everything here may happen twice: rows that a sealed segment has are skipped by `contained`, deaths that
 * were saved are found dead, streams only move forward. */
#include <string.h>

#include "engine_fields_int.h"
#include "engine_record.h"

/* ---- Collections by their serials -------------------------------------------------------------- */
static size_t position(const om_disk *disk, uint32_t serial, bool *found)
{
    size_t low = 0;
    size_t high = disk->serial_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (disk->serials[middle].serial < serial) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < disk->serial_count && disk->serials[low].serial == serial;
    return low;
}

omen_status_t om_serials_set(omen_db *db, uint32_t serial, om_collection *c, omen_error *err)
{
    om_disk *disk = db->disk;
    bool found = false;
    size_t at = position(disk, serial, &found);
    if (!found && disk->serial_count == disk->serial_room) {
        size_t room = disk->serial_room == 0 ? 16 : disk->serial_room * 2;
        om_serial *serials =
            om_alloc_grow(&db->rt->alloc, disk->serials, disk->serial_room * sizeof *serials,
                          room * sizeof *serials, OM_CACHE_LINE);
        if (serials == NULL) {
            return om_fail_memory(err, "list of collections", room * sizeof *serials);
        }
        disk->serials = serials;
        disk->serial_room = room;
    }
    if (!found) {
        memmove(&disk->serials[at + 1], &disk->serials[at],
                (disk->serial_count - at) * sizeof *disk->serials);
        disk->serial_count++;
    }
    disk->serials[at] = (om_serial){.serial = serial, .c = c};
    return OMEN_OK;
}

om_collection *om_serials_get(const om_disk *disk, uint32_t serial, bool *known)
{
    size_t at = position(disk, serial, known);
    return *known ? disk->serials[at].c : NULL;
}

void om_serials_free(omen_db *db)
{
    om_disk *disk = db->disk;
    om_alloc_put(&db->rt->alloc, disk->serials, disk->serial_room * sizeof *disk->serials,
                 OM_CACHE_LINE);
    disk->serials = NULL;
    disk->serial_count = 0;
    disk->serial_room = 0;
}

/* ---- Creation and dropping --------------------------------------------------------------------- */
static om_collection *by_name(omen_db *db, const char *name)
{
    om_collection *c = NULL;
    om_mutex_lock(&db->mu);
    for (size_t i = 0; i < db->count && c == NULL; i++) {
        c = strcmp(db->list[i]->name, name) == 0 ? db->list[i] : NULL;
    }
    om_mutex_unlock(&db->mu);
    return c;
}

void om_replay_unlist(omen_db *db, om_collection *c)
{
    om_mutex_lock(&db->mu);
    for (size_t i = 0; i < db->count; i++) {
        if (db->list[i] == c) {
            db->count--;
            memmove(&db->list[i], &db->list[i + 1], (db->count - i) * sizeof *db->list);
            break;
        }
    }
    atomic_store(&c->dropped, true);
    om_mutex_unlock(&db->mu);
    om_collection_unref(c);
}

/* Its segments, opened, before the growing one. */
static omen_status_t adopt_segments(om_collection *c, const om_listing *listing, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t opened = 0;
    om_segment **parts =
        om_alloc_zero(&c->rt->alloc, listing->count, sizeof(om_segment *), OM_CACHE_LINE);
    if (parts == NULL) {
        return om_fail_memory(err, "segment list", listing->count * sizeof(om_segment *));
    }
    for (; opened < listing->count; opened++) {
        OM_TRY(om_disk_open_segment(c, &listing->segments[opened], &parts[opened], err));
    }
    OM_TRY(om_collection_adopt(c, parts, listing->count, err));
    opened = 0; /* taken over */
out:
    while (opened != 0) {
        om_segment_unref(parts[--opened]);
    }
    om_alloc_put(&c->rt->alloc, parts, listing->count * sizeof(om_segment *), OM_CACHE_LINE);
    return status;
}

omen_status_t om_replay_list(omen_db *db, const om_listing *listing, omen_error *err)
{
    om_collection *c = NULL;
    omen_status_t status = om_collection_make(db, listing->name, listing->options, &c, err);
    if (status != OMEN_OK) {
        return status;
    }
    c->serial = listing->serial;
    c->contained = listing->contained;
    c->next_key = listing->next_key > c->next_key ? listing->next_key : c->next_key;
    atomic_store(&c->version, listing->contained);
    om_disk_prepare(c);
    if (listing->schema != NULL) {
        OM_TRY(om_schema_take(c, listing->schema, listing->schema_bytes, err));
    }
    if (listing->count != 0) {
        OM_TRY(adopt_segments(c, listing, err));
    }
    OM_TRY(om_db_insert(db, c, err));
    om_mutex_lock(&db->mu);
    db->next_serial = om_max_u32(db->next_serial, listing->serial);
    om_mutex_unlock(&db->mu);
    status = om_serials_set(db, listing->serial, c, err);
    if (status != OMEN_OK) {
        om_replay_unlist(db, c);
    }
out:
    om_collection_unref(c); /* the list has it now, or nobody */
    return status;
}

static omen_status_t damaged(const om_log_record *record, const char *what, omen_error *err)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "log record %llu: %s",
                   (unsigned long long)record->lsn, what);
}

static bool is_name(const om_stream_id *name)
{
    bool good = name->length <= OMEN_MAX_NAME && name->bytes[0] != '_' && name->bytes[0] != '-';
    for (size_t i = 0; good && i < name->length; i++) {
        char letter = name->bytes[i];
        good = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ||
               letter == '_' || letter == '-';
    }
    return good;
}

/* Those that the manifest, or a younger segment, brought already must be the same. */
static omen_status_t add_fields(omen_db *db, const om_log_record *record, const om_payload *p,
                                omen_error *err)
{
    bool known = false;
    om_collection *c = om_serials_get(db->disk, record->collection, &known);
    if (c == NULL && !known && record->collection > db->next_serial) {
        return damaged(record, "it is of a collection that was never created", err);
    }
    if (c == NULL || p->schema == NULL) {
        return OMEN_OK; /* it was dropped */
    }
    omen_status_t status = om_schema_take(c, p->schema, p->schema_bytes, err);
    if (status == OMEN_OK && record->lsn > c->contained) {
        atomic_store(&c->version, record->lsn);
    }
    return status;
}

static omen_status_t create(omen_db *db, const om_log_record *record, const om_payload *p,
                            omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_options options;
    char name[OMEN_MAX_NAME + 1] = {0};
    bool known = false;
    (void)om_serials_get(db->disk, record->collection, &known);
    if (known) {
        return OMEN_OK; /* the manifest has it, or had it */
    }
    if (!is_name(&p->name) || record->collection == 0) {
        return damaged(record, "a collection is created under no good name or number", err);
    }
    OM_TRY(om_payload_options(p, &options, err));
    memcpy(name, p->name.bytes, p->name.length);
    const om_collection *other = by_name(db, name);
    if (other != NULL && other->serial > record->collection) {
        /* Of the same name, and younger: this one was dropped before the manifest was written. */
        return om_serials_set(db, record->collection, NULL, err);
    }
    if (other != NULL) {
        return damaged(record, "a collection is created although its name is taken", err);
    }
    const om_listing listing = {
        .name = name, .options = &options, .serial = record->collection, .contained = record->lsn};
    OM_TRY(om_replay_list(db, &listing, err));
    if (p->schema != NULL) {
        status = add_fields(db, record, p, err);
    }
out:
    return status;
}

static omen_status_t schema(omen_db *db, const om_log_record *record, const om_payload *p,
                            omen_error *err)
{
    if (p->name.bytes == NULL) {
        return damaged(record, "a change of collections names none", err);
    }
    if (p->action == OM_SCHEMA_CREATE) {
        return create(db, record, p, err);
    }
    if (p->action == OM_SCHEMA_FIELDS) {
        return add_fields(db, record, p, err);
    }
    if (p->action != OM_SCHEMA_DROP) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "log record %llu: unknown change %u of collections: written by a newer "
                       "version",
                       (unsigned long long)record->lsn, p->action);
    }
    bool known = false;
    om_collection *c = om_serials_get(db->disk, record->collection, &known);
    om_pending_drop(db->disk, db->rt, record->collection);
    if (c != NULL) {
        om_replay_unlist(db, c);
    }
    return om_serials_set(db, record->collection, NULL, err);
}

/* ---- Who sent it ------------------------------------------------------------------------------- */
static omen_status_t remember_stream(om_collection *c, const om_payload *p, uint64_t version,
                                     omen_error *err)
{
    om_stream *stream = NULL;
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_streams_get(&c->rt->alloc, &c->streams, p->stream, &stream, err);
    if (status == OMEN_OK && p->seq > stream->last_seq) {
        stream->last_seq = p->seq;
        stream->last_version = version;
        stream->last_crc = p->crc;
    }
    om_mutex_unlock(&c->write_mu);
    return status;
}

static omen_status_t remember_request(om_collection *c, const om_payload *p, uint64_t version,
                                      omen_error *err)
{
    om_written written = p->counts;
    om_written seen;
    const om_request_key key = {
        .id = p->request.bytes, .length = p->request.length, .serial = c->serial};
    omen_status_t status = om_requests_reserve(c->db->requests, err);
    written.version = version;
    if (status == OMEN_OK && !om_requests_find(c->db->requests, &key, &seen)) {
        om_requests_put(c->db->requests, &key, &written);
    }
    return status;
}

/* Cursors that were saved with the manifest have everything up to their lsn. */
static omen_status_t remember(om_collection *c, const om_log_record *record, const om_payload *p,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (record->lsn <= c->db->disk->cursors_lsn) {
        return OMEN_OK;
    }
    if (p->stream.bytes != NULL) {
        OM_TRY(remember_stream(c, p, record->lsn, err));
    }
    if (p->request.bytes != NULL) {
        OM_TRY(remember_request(c, p, record->lsn, err));
    }
out:
    return status;
}

/* ---- Items ------------------------------------------------------------------------------------- */
/* Checks of values that a batch of a caller meets: from the log they mean that it is not what was written. */
static omen_status_t apply(om_collection *c, const om_log_record *record, const om_payload *p,
                           bool deletes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_batch batch;
    omen_error inner = {0};
    OM_TRY(om_payload_batch(p, &c->options, deletes, &batch, err));
    const om_recovered recovered = {.batch = &batch,
                                    .meta = p->meta,
                                    .meta_bytes = p->meta_bytes,
                                    .deletes = deletes,
                                    .version = record->lsn};
    status = om_write_recover(c, &recovered, &inner);
    if (status != OMEN_OK && status != OMEN_RESOURCE_EXHAUSTED && status != OMEN_DATA_LOSS) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "log record %llu, collection '%s': %s",
                       (unsigned long long)record->lsn, c->name, inner.message);
    }
    if (status != OMEN_OK && err != NULL) {
        *err = inner;
    }
    if (status == OMEN_OK && !deletes) {
        c->db->disk->recovered_rows += p->head.count;
    }
out:
    return status;
}

static omen_status_t commit(om_collection *c, const om_log_record *record, const om_payload *p,
                            omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_pending *pending = NULL;
    om_payload whole;
    /* The one that grows now; it may be frozen when the batch has filled it. */
    om_segment *seg = om_set_last(om_set_load(c));
    om_segment_ref(seg);
    OM_TRY(om_pending_take(c->db->disk, record, p, &pending, err));
    om_pending_payload(pending, &whole);
    OM_TRY(apply(c, record, &whole, pending->type == OM_LOG_DELETE, err));
    if (atomic_load(&seg->first_version) == record->lsn) {
        atomic_store(&seg->first_version, pending->first_lsn); /* its parts are needed too */
    }
    OM_TRY(remember(c, record, p, err));
out:
    om_segment_unref(seg);
    om_pending_free(c->rt, pending);
    return status;
}

static omen_status_t seal(om_collection *c, omen_error *err)
{
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_collection_freeze(c, err);
    om_mutex_unlock(&c->write_mu);
    return status;
}

static omen_status_t apply_record(om_collection *c, const om_log_record *record,
                                  const om_payload *p, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = c->db->disk;
    bool part = (record->flags & OM_LOG_PART) != 0;
    if (!part && record->type != OM_LOG_COMMIT) {
        om_pending_drop(disk, c->rt, c->serial); /* its writer gave up before this record */
    }
    switch (record->type) {
    case OM_LOG_UPSERT:
    case OM_LOG_INSERT:
    case OM_LOG_DELETE:
        if (part) {
            return om_pending_add(disk, c->rt, record, p, err);
        }
        OM_TRY(apply(c, record, p, record->type == OM_LOG_DELETE, err));
        OM_TRY(remember(c, record, p, err));
        break;
    case OM_LOG_COMMIT:
        OM_TRY(commit(c, record, p, err));
        break;
    case OM_LOG_SEAL:
        OM_TRY(seal(c, err));
        break;
    default: /* NOOP */
        OM_TRY(remember(c, record, p, err));
        break;
    }
    if (record->type != OM_LOG_SEAL) {
        atomic_store(&c->version, record->lsn);
    }
out:
    return status;
}

static omen_status_t to_collection(omen_db *db, const om_log_record *record, const om_payload *p,
                                   omen_error *err)
{
    bool known = false;
    om_collection *c = om_serials_get(db->disk, record->collection, &known);
    if (c == NULL && (known || record->collection <= db->next_serial)) {
        return OMEN_OK; /* it was dropped */
    }
    if (c == NULL) {
        return damaged(record, "it is of a collection that was never created", err);
    }
    if (record->lsn <= c->contained) {
        /* Only who sent it may be news: cursors are saved apart from rows. */
        return (record->flags & OM_LOG_PART) == 0 ? remember(c, record, p, err) : OMEN_OK;
    }
    return apply_record(c, record, p, err);
}

omen_status_t om_record_replay(void *ctx, const om_log_record *record, omen_error *err)
{
    omen_db *db = ctx;
    om_payload payload;
    omen_status_t status = OMEN_OK;
    switch (record->type) {
    case OM_LOG_UPSERT:
    case OM_LOG_INSERT:
    case OM_LOG_DELETE:
    case OM_LOG_SCHEMA:
    case OM_LOG_SEAL:
    case OM_LOG_COMMIT:
    case OM_LOG_NOOP:
        break;
    case OM_LOG_CHECKPOINT:
        goto out;
    default:
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "log record %llu: type %u is unknown: it was written by a newer version",
                       (unsigned long long)record->lsn, record->type);
    }
    OM_TRY(om_payload_decode(record, &payload, err));
    if (record->type == OM_LOG_SCHEMA) {
        OM_TRY(schema(db, record, &payload, err));
    } else if (record->collection != 0) {
        OM_TRY(to_collection(db, record, &payload, err));
    }
out:
    if (status == OMEN_OK) {
        db->disk->replayed_records++;
        atomic_store(&db->disk->applied, record->lsn);
        om_disk_version(db, record->lsn);
    }
    return status;
}
