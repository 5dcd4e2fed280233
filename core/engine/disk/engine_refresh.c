/* engine_refresh.c - databases opened for reading: beside a writer in another process, without a lock,
 * changing nothing.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A reader has what the newest manifest names and the log behind it. To move on it reads more of the log;
 * when the writer has made files of rows that the reader has in memory, it takes the files instead. SEAL
 * records make it cut at the rows where the writer did, so that whole segments are exchanged and a search
 * never misses what it saw before. A reader that was away for so long that the log has been trimmed begins
 * with the newest manifest again, which has more than it ever saw.
 * Files come and go meanwhile: what fails is tried again as long as there are newer manifests. */
#include <string.h>

#include "engine_fields_int.h"
#include "engine_record.h"
#include "wal.h"

enum { ATTEMPTS = 8 };

/* ---- The log ----------------------------------------------------------------------------------- */
/* Everything behind `from`, and a state that says what is wrong with the log, if anything. */
static omen_status_t read_log(omen_db *db, om_logdriver *log, uint64_t from, omen_error *err)
{
    om_log_state state;
    om_disk *disk = db->disk;
    log->ops->tail(log, &state);
    atomic_store(&disk->log_bytes, state.bytes);
    if (state.state == OM_LOG_ROTTEN) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "%s: %.150s", disk->folder.text,
                       state.reason);
    }
    omen_status_t status = log->ops->read(log, from + 1, om_record_replay, db, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_mutex_lock(&db->mu);
    for (size_t i = 0; i < db->count; i++) {
        if (atomic_load(&db->list[i]->version) < state.tail) {
            atomic_store(&db->list[i]->version, state.tail);
        }
    }
    om_mutex_unlock(&db->mu);
    om_disk_version(db, state.tail);
    return OMEN_OK;
}

static omen_status_t follow(omen_db *db, const om_manifest *m, uint64_t from, omen_error *err)
{
    om_logdriver *log = NULL;
    omen_status_t status = om_disk_open_log(db, m, from, &log, err);
    if (status == OMEN_OK) {
        status = read_log(db, log, from, err);
        log->ops->close(log);
    }
    return status;
}

/* ---- Files in the place of rows ---------------------------------------------------------------- */
typedef struct exchange {
    om_collection *c;
    const om_manifest_collection *named;
    bool behind; /* the manifest has more than the reader ever saw */
    om_segment **parts;
    uint32_t count, room;
    uint32_t kept; /* of the parts, the last ones: in memory, behind `contained` */
} exchange;

static void drop_exchange(exchange *x)
{
    for (uint32_t i = 0; i < x->count; i++) {
        om_segment_unref(x->parts[i]);
    }
    om_alloc_put(&x->c->rt->alloc, x->parts, x->room * sizeof *x->parts, OM_CACHE_LINE);
}

static om_segment *find_open(const om_set *set, uint64_t id)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->part[i]->mapped != NULL && set->part[i]->id == id) {
            return set->part[i];
        }
    }
    return NULL;
}

/* Rows in memory that the files have, or have not, as a whole: anything else cannot be exchanged yet. */
static bool fits(const exchange *x, const om_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        om_segment *seg = set->part[i];
        if (seg->mapped == NULL && atomic_load(&seg->visible) != 0 &&
            atomic_load(&seg->first_version) <= x->named->contained &&
            atomic_load(&seg->last_version) > x->named->contained) {
            return x->behind;
        }
    }
    return true;
}

static bool is_kept(const exchange *x, om_segment *seg)
{
    return !x->behind && seg->mapped == NULL &&
           (atomic_load(&seg->visible) == 0 ||
            atomic_load(&seg->first_version) > x->named->contained);
}

/* Deaths that the reader knows of and the files do not: rows whose item has gone, or a newer row. */
static omen_status_t carry_deaths(const exchange *x, om_segment *fresh, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t rows = atomic_load(&fresh->visible);
    om_view *view = om_view_load(fresh);
    if (rows == 0) {
        return OMEN_OK;
    }
    OM_TRY(om_mapped_touch(fresh->mapped, OM_TOUCH_KEYS, 0, rows, err));
    om_rwlock_read(&x->c->ids_mu);
    for (uint32_t slot = 0; slot < rows && status == OMEN_OK; slot++) {
        om_place place;
        if (om_view_is_dead(view, slot)) {
            continue;
        }
        status = om_find_key(x->c, view->keys[slot], &place, err);
        if (status == OMEN_OK && (place.segment == NULL || is_kept(x, place.segment))) {
            (void)om_segment_kill(fresh, slot);
        }
    }
    om_rwlock_unlock(&x->c->ids_mu);
out:
    return status;
}

static omen_status_t add_files(exchange *x, const om_set *set, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < x->named->segment_count; i++) {
        const om_manifest_segment *named = &x->named->segments[i];
        om_segment *seg = x->behind ? NULL : find_open(set, named->id);
        if (seg != NULL) {
            om_segment_ref(seg); /* it has at least the deaths of the file */
        } else {
            OM_TRY(om_disk_open_segment(x->c, named, &seg, err));
        }
        x->parts[x->count++] = seg;
        if (!x->behind && find_open(set, named->id) == NULL) {
            OM_TRY(carry_deaths(x, seg, err));
        }
    }
out:
    return status;
}

static omen_status_t add_rows(exchange *x, const om_set *set, omen_error *err)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (is_kept(x, set->part[i])) {
            om_segment_ref(set->part[i]);
            x->parts[x->count++] = set->part[i];
            x->kept++;
        }
    }
    if (x->kept != 0 && !atomic_load(&x->parts[x->count - 1]->frozen)) {
        return OMEN_OK;
    }
    omen_status_t status = om_segment_create(x->c, &x->parts[x->count], err);
    x->count += status == OMEN_OK;
    return status;
}

static void publish(exchange *x, om_set *made)
{
    om_collection *c = x->c;
    om_mutex_lock(&c->write_mu);
    om_set_publish(c, made);
    c->contained = x->named->contained;
    c->next_key = x->named->next_key > c->next_key ? x->named->next_key : c->next_key;
    om_set *past = om_sets_reclaim(c);
    om_mutex_unlock(&c->write_mu);
    om_sets_free_list(c->rt, past);
    if (atomic_load(&c->version) < x->named->contained) {
        atomic_store(&c->version, x->named->contained);
    }
}

/* Nobody but the thread that refreshes changes sets of a reader; keep_mu is held. */
static omen_status_t exchange_files(om_collection *c, const om_manifest_collection *named,
                                    bool behind, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_set *set = om_set_load(c);
    om_set *made = NULL;
    exchange x = {.c = c, .named = named, .behind = behind};
    if (!fits(&x, set)) {
        return OMEN_OK; /* it goes on with the rows it has, until they do */
    }
    x.room = named->segment_count + set->count + 1;
    x.parts = om_alloc_zero(&c->rt->alloc, x.room, sizeof *x.parts, OM_CACHE_LINE);
    if (x.parts == NULL) {
        return om_fail_memory(err, "segment list", x.room * sizeof *x.parts);
    }
    OM_TRY(add_files(&x, set, err));
    OM_TRY(add_rows(&x, set, err));
    OM_TRY(om_set_make(c->rt, x.parts, x.count, &made, err));
    publish(&x, made);
out:
    drop_exchange(&x);
    return status;
}

/* Collections that the manifest does not have any more. */
static void unlist_others(omen_db *db, const om_manifest *m)
{
    om_disk *disk = db->disk;
    for (size_t i = 0; i < disk->serial_count; i++) {
        om_serial *entry = &disk->serials[i];
        bool named = false;
        for (uint32_t k = 0; k < m->collection_count && !named; k++) {
            named = m->collections[k].serial == entry->serial;
        }
        if (entry->c != NULL && !named) {
            om_replay_unlist(db, entry->c);
            entry->c = NULL;
        }
    }
}

static omen_status_t adopt(omen_db *db, const om_manifest *m, bool behind, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < m->collection_count; i++) {
        const om_manifest_collection *mc = &m->collections[i];
        bool known = false;
        om_collection *c = om_serials_get(db->disk, mc->serial, &known);
        if (c != NULL) {
            if (mc->schema != NULL) {
                OM_TRY(om_schema_take(c, mc->schema, mc->schema_bytes, err));
            }
            OM_TRY(exchange_files(c, mc, behind, err));
        } else if (!known && behind) {
            const om_listing listing = {.name = mc->name,
                                        .options = &mc->options,
                                        .serial = mc->serial,
                                        .count = mc->segment_count,
                                        .contained = mc->contained,
                                        .next_key = mc->next_key,
                                        .segments = mc->segments,
                                        .schema = mc->schema,
                                        .schema_bytes = mc->schema_bytes};
            OM_TRY(om_replay_list(db, &listing, err));
        }
    }
out:
    return status;
}

/* ---- Moving on --------------------------------------------------------------------------------- */
static omen_status_t move_on(omen_db *db, const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    uint64_t applied = atomic_load(&disk->applied);
    omen_error inner = {0};
    status = follow(db, NULL, applied, &inner);
    bool behind = status != OMEN_OK && m != NULL && m->checkpoint > atomic_load(&disk->applied);
    if (status != OMEN_OK && !behind) {
        if (err != NULL) {
            *err = inner;
        }
        return status;
    }
    if (m == NULL) {
        return OMEN_OK;
    }
    if (behind) {
        om_pending_drop(disk, db->rt, 0);
        unlist_others(db, m);
    }
    OM_TRY(adopt(db, m, behind, err));
    if (behind) {
        atomic_store(&disk->applied, m->checkpoint);
        OM_TRY(follow(db, m, m->checkpoint, err));
    }
    disk->generation = m->newest;
    atomic_store(&disk->checkpoint, m->checkpoint);
out:
    return status;
}

static omen_status_t refresh_once(omen_db *db, uint64_t newest, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    om_manifest m = {0};
    uint32_t skipped = 0;
    if (newest <= disk->generation) {
        return move_on(db, NULL, err);
    }
    OM_TRY(om_manifest_load(disk->io, &db->rt->alloc, disk->folder.text, &m, &skipped, err));
    status = move_on(db, &m, err);
out:
    om_manifest_free(&db->rt->alloc, &m);
    return status;
}

/* Whether a failure may come from files that the writer removed: there is a newer manifest by now. */
static bool moved_meanwhile(const om_disk *disk, uint64_t *newest)
{
    uint64_t before = *newest;
    omen_error err;
    return om_disk_newest(disk, newest, &err) == OMEN_OK && *newest > before;
}

omen_status_t om_disk_refresh(omen_db *db, uint32_t *changed, omen_error *err)
{
    om_disk *disk = db->disk;
    uint64_t newest = 0;
    om_mutex_lock(&disk->keep_mu);
    uint64_t generation = disk->generation;
    uint64_t applied = atomic_load(&disk->applied);
    omen_status_t status = om_disk_newest(disk, &newest, err);
    for (uint32_t i = 0; i < ATTEMPTS && status == OMEN_OK; i++) {
        status = refresh_once(db, newest, err);
        if (status == OMEN_OK || !moved_meanwhile(disk, &newest)) {
            break;
        }
        status = i + 1 < ATTEMPTS ? OMEN_OK : status;
    }
    *changed = disk->generation != generation || atomic_load(&disk->applied) != applied;
    om_mutex_unlock(&disk->keep_mu);
    return status;
}

/* ---- Opening ----------------------------------------------------------------------------------- */
static void unlist_all(omen_db *db)
{
    om_disk *disk = db->disk;
    for (size_t i = 0; i < disk->serial_count; i++) {
        if (disk->serials[i].c != NULL) {
            om_replay_unlist(db, disk->serials[i].c);
        }
    }
    om_serials_free(db);
    om_pending_drop(disk, db->rt, 0);
}

static omen_status_t open_once(omen_db *db, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    om_manifest m = {0};
    uint32_t skipped = 0;
    uint64_t begun = om_io_now(disk->io);
    OM_TRY(om_manifest_load(disk->io, &db->rt->alloc, disk->folder.text, &m, &skipped, err));
    OM_TRY(om_disk_adopt(db, &m, err));
    OM_TRY(follow(db, &m, m.checkpoint, err));
    disk->replayed_ns = om_io_now(disk->io) - begun;
out:
    om_manifest_free(&db->rt->alloc, &m);
    return status;
}

omen_status_t om_disk_open_reader(omen_db *db, omen_error *err)
{
    om_disk *disk = db->disk;
    uint64_t newest = 0;
    omen_status_t status = om_disk_newest(disk, &newest, err);
    for (uint32_t i = 0; i < ATTEMPTS && status == OMEN_OK; i++) {
        status = open_once(db, err);
        if (status == OMEN_OK) {
            break;
        }
        unlist_all(db);
        if (!moved_meanwhile(disk, &newest)) {
            break;
        }
        status = i + 1 < ATTEMPTS ? OMEN_OK : status;
    }
    if (status == OMEN_OK) {
        om_disk_fail(db, OMEN_DB_OPENED_READ_ONLY, "it was opened for reading");
        om_disk_watch(db);
        disk->ready = true;
    }
    return status;
}
