/* engine_checkpoint.c - a manifest of what is sealed now, and what it makes needless: records of
 * the log, and files.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Order is everything. The end of the log is read first: whatever is collected afterwards has the effects of
 * all records up to it. Tombstones and cursors may have those of later records too; so the log is made
 * durable before the manifest that names their files. A manifest that cannot be written changes nothing.
 * The log is trimmed to the checkpoint of the manifest before: should the new one be damaged, the one
 * before still opens with all that was written. */
#include <string.h>

#include "engine_fields_int.h"
#include "engine_record.h"

/* ---- All collections --------------------------------------------------------------------------- */
static omen_status_t grow_roll(omen_db *db, om_roll *roll, size_t count, omen_error *err)
{
    om_alloc_put(&db->rt->alloc, roll->list, roll->room * sizeof *roll->list, OM_CACHE_LINE);
    roll->room = count;
    roll->list = om_alloc_get(&db->rt->alloc, count * sizeof *roll->list, OM_CACHE_LINE);
    if (roll->list == NULL) {
        return om_fail_memory(err, "list of collections", count * sizeof *roll->list);
    }
    return OMEN_OK;
}

omen_status_t om_roll_take(omen_db *db, om_roll *out, omen_error *err)
{
    *out = (om_roll){.list = NULL};
    size_t count = 0;
    for (;;) {
        om_mutex_lock(&db->mu);
        count = db->count;
        for (size_t i = 0; count <= out->room && i < count; i++) {
            om_collection_ref(db->list[i]);
            out->list[i] = db->list[i];
        }
        out->next_serial = db->next_serial + 1;
        om_mutex_unlock(&db->mu);
        if (count <= out->room) {
            out->count = count;
            return OMEN_OK;
        }
        omen_status_t status = grow_roll(db, out, count + count / 8 + 1, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
}

void om_roll_drop(omen_db *db, om_roll *roll)
{
    for (size_t i = 0; i < roll->count; i++) {
        om_collection_unref(roll->list[i]);
    }
    om_alloc_put(&db->rt->alloc, roll->list, roll->room * sizeof *roll->list, OM_CACHE_LINE);
    *roll = (om_roll){.list = NULL};
}

/* ---- What is collected ------------------------------------------------------------------------- */
typedef struct death { /* tombstones to be saved */
    om_segment *segment;
    om_collection *c;
    uint64_t *words;
    uint64_t seen; /* value of segment->deaths */
    uint32_t rows;
    om_manifest_segment *named;
} death;
typedef struct work {
    omen_db *db;
    om_roll roll;
    om_set **sets; /* [roll.count] held */
    om_manifest manifest;
    uint64_t tail;    /* newest lsn when it began */
    uint64_t settled; /* files below it that no manifest names are needless */
    death *deaths;
    uint32_t death_count, death_room;
    om_cursors cursors;
    uint32_t cursor_room, request_room;
} work;

static omen_status_t no_memory(uint64_t bytes, omen_error *err)
{
    return om_fail_memory(err, "a checkpoint", bytes);
}

/* One place more, doubled: `room` elements of `size` bytes in `block`. */
static omen_status_t grow(omen_db *db, void **block, uint32_t *room, size_t size, uint32_t needed,
                          omen_error *err)
{
    uint32_t wanted = *room == 0 ? 16 : *room;
    while (wanted < needed) {
        wanted *= 2;
    }
    if (wanted == *room) {
        return OMEN_OK;
    }
    void *larger =
        om_alloc_grow(&db->rt->alloc, *block, *room * size, wanted * size, OM_CACHE_LINE);
    if (larger == NULL) {
        return no_memory(wanted * size, err);
    }
    *block = larger;
    *room = wanted;
    return OMEN_OK;
}

static omen_status_t add_death(work *w, om_collection *c, om_segment *seg,
                               om_manifest_segment *named, omen_error *err)
{
    void *block = w->deaths;
    omen_status_t status =
        grow(w->db, &block, &w->death_room, sizeof *w->deaths, w->death_count + 1, err);
    w->deaths = block;
    if (status != OMEN_OK) {
        return status;
    }
    death *d = &w->deaths[w->death_count];
    *d = (death){.segment = seg,
                 .c = c,
                 .seen = atomic_load(&seg->deaths),
                 .rows = named->rows,
                 .named = named};
    status = om_segment_copy_dead(seg, d->rows, &d->words, &named->live, err);
    if (status == OMEN_OK) {
        w->death_count++;
    }
    return status;
}

/* write_mu held. */
static omen_status_t collect_segment(work *w, om_collection *c, om_segment *seg,
                                     om_manifest_segment *out, omen_error *err)
{
    *out = (om_manifest_segment){.id = seg->id,
                                 .file_bytes = om_segfile_bytes(seg->mapped->file),
                                 .header_crc = om_segfile_header_crc(seg->mapped->file),
                                 .rows = atomic_load(&seg->visible),
                                 .live = atomic_load(&seg->live),
                                 .first_lsn = atomic_load(&seg->first_version),
                                 .last_lsn = atomic_load(&seg->last_version),
                                 .deaths = seg->deaths_saved};
    if (atomic_load(&seg->deaths) == seg->deaths_written) {
        return OMEN_OK;
    }
    return add_death(w, c, seg, out, err);
}

static omen_status_t collect_streams(work *w, om_collection *c, omen_error *err)
{
    uint32_t count = om_streams_export(&c->streams, c->serial, NULL);
    if (count == 0) {
        return OMEN_OK;
    }
    void *block = w->cursors.cursors;
    omen_status_t status = grow(w->db, &block, &w->cursor_room, sizeof(om_cursor),
                                w->cursors.cursor_count + count, err);
    w->cursors.cursors = block;
    if (status == OMEN_OK) {
        w->cursors.cursor_count +=
            om_streams_export(&c->streams, c->serial, w->cursors.cursors + w->cursors.cursor_count);
    }
    return status;
}

/* Fields are only added with write_mu held, which is. */
static omen_status_t collect_schema(om_collection *c, om_manifest_collection *out, omen_error *err)
{
    size_t size = 0;
    omen_status_t status = om_schema_give(c, &out->schema, &size, err);
    out->schema_bytes = (uint32_t)size;
    if (status == OMEN_OK && size > OM_MANIFEST_MAX_SCHEMA) {
        return om_fail(err, OMEN_INTERNAL, OMEN_D_LIMIT,
                       "collection '%s': %zu bytes of fields are above the limit of %d", c->name,
                       size, OM_MANIFEST_MAX_SCHEMA);
    }
    return status;
}

/* The first record that the rows in memory need; 0: there are none. Readers of the set have write_mu. */
static uint64_t first_needed(const om_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        om_segment *seg = set->part[i];
        if (seg->mapped == NULL && atomic_load(&seg->visible) != 0) {
            return atomic_load(&seg->first_version);
        }
    }
    return 0;
}

/* write_mu held: no batch is half in the log, and all that is logged is applied. */
static omen_status_t collect_locked(work *w, size_t at, om_manifest_collection *out,
                                    omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = w->roll.list[at];
    const om_set *now = om_set_load(c);
    OM_TRY(om_set_make(c->rt, now->part, now->count, &w->sets[at], err));
    om_set *set = w->sets[at];
    out->segments = om_alloc_zero(&c->rt->alloc, set->count, sizeof *out->segments, OM_CACHE_LINE);
    if (out->segments == NULL) {
        return no_memory(set->count * sizeof *out->segments, err);
    }
    uint64_t needed = first_needed(set);
    uint64_t settled = needed != 0 ? needed - 1 : atomic_load(&c->version);
    memcpy(out->name, c->name, sizeof out->name);
    out->serial = c->serial;
    out->options = c->options;
    out->next_key = c->next_key;
    out->contained = settled > c->contained ? settled : c->contained;
    if (needed != 0 && needed - 1 < w->manifest.checkpoint) {
        w->manifest.checkpoint = needed - 1;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->part[i]->mapped != NULL) {
            OM_TRY(collect_segment(w, c, set->part[i], &out->segments[out->segment_count], err));
            out->segment_count++;
        }
    }
    OM_TRY(collect_streams(w, c, err));
    OM_TRY(collect_schema(c, out, err));
out:
    return status;
}

/* The array is as long as the set; the manifest wants one of just its segments. */
static omen_status_t fit_segments(work *w, om_manifest_collection *mc, uint32_t room,
                                  omen_error *err)
{
    const om_alloc *alloc = &w->db->rt->alloc;
    om_manifest_segment *fitting = NULL;
    size_t bytes = mc->segment_count * sizeof *fitting;
    if (mc->segment_count != 0) {
        fitting = om_alloc_get(alloc, bytes, _Alignof(om_manifest_segment));
        if (fitting == NULL) {
            return no_memory(bytes, err);
        }
        memcpy(fitting, mc->segments, bytes);
    }
    for (uint32_t i = 0; i < w->death_count; i++) {
        death *d = &w->deaths[i];
        if (d->named >= mc->segments && d->named < mc->segments + mc->segment_count) {
            d->named = fitting + (d->named - mc->segments);
        }
    }
    om_alloc_put(alloc, mc->segments, room * sizeof *fitting, OM_CACHE_LINE);
    mc->segments = fitting;
    return OMEN_OK;
}

static omen_status_t collect_one(work *w, size_t at, omen_error *err)
{
    om_collection *c = w->roll.list[at];
    om_manifest_collection *mc = &w->manifest.collections[at];
    om_mutex_lock(&c->write_mu);
    omen_status_t status = collect_locked(w, at, mc, err);
    om_mutex_unlock(&c->write_mu);
    w->manifest.collection_count++;
    if (mc->segments == NULL) {
        return status;
    }
    omen_status_t fitted = fit_segments(w, mc, w->sets[at]->count, err);
    if (fitted != OMEN_OK) { /* too long to be given back by om_manifest_free */
        om_alloc_put(&c->rt->alloc, mc->segments, w->sets[at]->count * sizeof *mc->segments,
                     OM_CACHE_LINE);
        mc->segments = NULL;
        mc->segment_count = 0;
    }
    return status != OMEN_OK ? status : fitted;
}

static omen_status_t collect_requests(work *w, omen_error *err)
{
    uint32_t count = om_requests_count(w->db->requests);
    if (count == 0) {
        return OMEN_OK;
    }
    void *block = NULL;
    omen_status_t status = grow(w->db, &block, &w->request_room, sizeof(om_request), count, err);
    w->cursors.requests = block;
    if (status == OMEN_OK) {
        w->cursors.request_count = om_requests_export(w->db->requests, w->cursors.requests, count);
    }
    return status;
}

static omen_status_t collect(work *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_db *db = w->db;
    om_disk *disk = db->disk;
    om_log_state state;
    /* Before the sets: a file that is not in them may wait to be named by a later manifest. */
    w->settled = om_disk_settled_files(disk);
    disk->log->ops->tail(disk->log, &state);
    w->tail = state.tail;
    w->cursors.lsn = state.tail;
    w->manifest.checkpoint = state.tail;
    OM_TRY(om_roll_take(db, &w->roll, err));
    size_t count = w->roll.count;
    w->sets = om_alloc_zero(&db->rt->alloc, count + 1, sizeof *w->sets, OM_CACHE_LINE);
    w->manifest.collections = om_alloc_zero(&db->rt->alloc, count, sizeof(om_manifest_collection),
                                            _Alignof(om_manifest_collection));
    if (w->sets == NULL || (w->manifest.collections == NULL && count != 0)) {
        return no_memory(count * sizeof(om_manifest_collection), err);
    }
    for (size_t i = 0; i < count; i++) {
        OM_TRY(collect_one(w, i, err));
    }
    OM_TRY(collect_requests(w, err));
    memcpy(w->manifest.database, disk->uuid, sizeof disk->uuid);
    w->manifest.next_serial = w->roll.next_serial;
    w->manifest.next_segment = atomic_load(&disk->next_segment);
out:
    return status;
}

/* ---- What is written --------------------------------------------------------------------------- */
static omen_status_t write_deaths(const work *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = w->db->disk;
    om_path path;
    for (uint32_t i = 0; i < w->death_count; i++) {
        const death *d = &w->deaths[i];
        d->named->deaths = w->manifest.generation;
        OM_TRY(om_path_deaths(&path, disk->folder.text, d->c->serial, d->named->id,
                              w->manifest.generation, err));
        OM_TRY(om_deaths_write(disk->io, path.text, d->named->id, d->rows, d->words, err));
    }
out:
    return status;
}

/* Cursors of a moment when the log ended where it ended for the last ones are the same. */
static omen_status_t write_cursors(work *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = w->db->disk;
    om_path path;
    if (disk->cursors != 0 && disk->cursors_lsn == w->tail) {
        w->manifest.cursors = disk->cursors;
        return OMEN_OK;
    }
    if (w->cursors.cursor_count == 0 && w->cursors.request_count == 0) {
        return OMEN_OK;
    }
    w->manifest.cursors = w->manifest.generation;
    OM_TRY(om_path_cursors(&path, disk->folder.text, w->manifest.generation, err));
    OM_TRY(om_cursors_write(disk->io, &w->db->rt->alloc, path.text, &w->cursors, err));
out:
    return status;
}

/* A record whose effects are in a file that a manifest names must not be lost before them. */
static omen_status_t sync_log(omen_db *db, uint64_t *durable, omen_error *err)
{
    om_disk *disk = db->disk;
    om_log_state state;
    disk->log->ops->tail(disk->log, &state);
    omen_status_t status = disk->log->ops->sync(disk->log, state.tail, err);
    *durable = state.tail;
    if (status != OMEN_OK) {
        disk->log->ops->tail(disk->log, &state);
        if (state.state == OM_LOG_BROKEN) {
            om_disk_fail(db, OMEN_DB_FAILED, state.reason);
        }
    }
    return status;
}

/* A manifest whose folder could not be synced may be there all the same, and could not be removed either.
 * It is as good as its files; the next one goes above it. */
static omen_status_t publish(om_disk *disk, const uint8_t *bytes, size_t size, omen_error *err)
{
    omen_error local = {0};
    omen_error other;
    uint64_t newest = 0;
    om_logdriver *log = disk->log;
    omen_status_t status =
        log->ops->cas(log, OM_MANIFEST_KEY, disk->generation, bytes, size, &local);
    if (status != OMEN_OK && local.detail == OMEN_D_VERSION_CONFLICT &&
        om_disk_newest(disk, &newest, &other) == OMEN_OK && newest > disk->generation) {
        disk->generation = newest;
    }
    if (status != OMEN_OK && err != NULL) {
        *err = local;
    }
    return status;
}

static omen_status_t write_manifest(work *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = w->db->disk;
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint64_t before = atomic_load(&disk->checkpoint);
    w->manifest.generation = disk->generation + 1;
    w->manifest.checkpoint = w->manifest.checkpoint > before ? w->manifest.checkpoint : before;
    OM_TRY(sync_log(w->db, &w->manifest.durable, err));
    OM_TRY(write_deaths(w, err));
    OM_TRY(write_cursors(w, err));
    OM_TRY(om_manifest_encode(&w->db->rt->alloc, &w->manifest, &bytes, &size, err));
    OM_TRY(publish(disk, bytes, size, err));
out:
    om_alloc_put(&w->db->rt->alloc, bytes, size, OM_PAYLOAD_ALIGN);
    return status;
}

/* From here on it is true; nothing fails any more. */
static void take_over(work *w)
{
    om_disk *disk = w->db->disk;
    for (uint32_t i = 0; i < w->death_count; i++) {
        const death *d = &w->deaths[i];
        d->segment->deaths_saved = w->manifest.generation;
        d->segment->deaths_written = d->seen;
    }
    disk->generation = w->manifest.generation;
    disk->trim_to = atomic_load(&disk->checkpoint);
    disk->cursors = w->manifest.cursors;
    disk->cursors_lsn = w->tail;
    disk->manifest_tail = w->tail;
    atomic_store(&disk->checkpoint, w->manifest.checkpoint);
    atomic_fetch_add(&disk->checkpoints, 1);
    atomic_store(&disk->logged, 0);
}

/* What nobody needs any more. It can be tried again after the next manifest. */
static void clean_up(work *w)
{
    om_disk *disk = w->db->disk;
    omen_error err = {0};
    omen_status_t status = disk->log->ops->trim(disk->log, disk->trim_to, &err);
    if (status == OMEN_OK && atomic_load(&disk->pins) == 0) {
        const om_sweeping what = {
            .folder = disk->folder.text, .current = &w->manifest, .segments_below = w->settled};
        status = om_sweep(disk->io, &w->db->rt->alloc, &what, &err);
    }
    if (status != OMEN_OK) {
        om_log_write(&w->db->rt->log, OMEN_LOG_WARN, "engine", "%s: not all is tidied up: %s",
                     disk->folder.text, err.message);
    }
}

static void drop_work(work *w)
{
    const om_alloc *alloc = &w->db->rt->alloc;
    for (uint32_t i = 0; i < w->death_count; i++) {
        om_segment_drop_dead(w->deaths[i].segment, w->deaths[i].rows, w->deaths[i].words);
    }
    om_alloc_put(alloc, w->deaths, w->death_room * sizeof *w->deaths, OM_CACHE_LINE);
    om_alloc_put(alloc, w->cursors.cursors, w->cursor_room * sizeof(om_cursor), OM_CACHE_LINE);
    om_alloc_put(alloc, w->cursors.requests, w->request_room * sizeof(om_request), OM_CACHE_LINE);
    for (size_t i = 0; w->sets != NULL && i < w->roll.count; i++) {
        om_set_free(w->db->rt, w->sets[i]);
    }
    if (w->sets != NULL) {
        om_alloc_put(alloc, w->sets, (w->roll.count + 1) * sizeof *w->sets, OM_CACHE_LINE);
    }
    w->manifest.collection_count = (uint32_t)w->roll.count; /* as it was allocated */
    om_manifest_free(alloc, &w->manifest);
    om_roll_drop(w->db, &w->roll);
}

/* keep_mu held. */
static omen_status_t write_locked(omen_db *db, omen_error *err)
{
    om_disk *disk = db->disk;
    uint64_t changes = atomic_load(&disk->changes);
    work w = {.db = db};
    omen_status_t status = collect(&w, err);
    if (status == OMEN_OK) {
        status = write_manifest(&w, err);
    }
    if (status == OMEN_OK) {
        take_over(&w);
        disk->manifest_changes = changes;
        clean_up(&w);
    }
    drop_work(&w);
    return status;
}

static omen_status_t check_state(omen_db *db, omen_error *err)
{
    if (db->disk->log == NULL) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                       "the database is open for reading");
    }
    return om_disk_writable(db, true, err);
}

omen_status_t om_checkpoint_write(omen_db *db, omen_error *err)
{
    omen_status_t status = check_state(db, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_mutex_lock(&db->disk->keep_mu);
    status = write_locked(db, err);
    om_mutex_unlock(&db->disk->keep_mu);
    return status;
}

omen_status_t om_checkpoint_settle(omen_db *db, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < OM_MANIFEST_KEPT && status == OMEN_OK; i++) {
        status = om_checkpoint_write(db, err);
    }
    return status;
}

bool om_checkpoint_wanted(omen_db *db)
{
    om_disk *disk = db->disk;
    om_log_state state;
    disk->log->ops->tail(disk->log, &state);
    om_mutex_lock(&disk->keep_mu);
    bool wanted =
        state.tail != disk->manifest_tail || atomic_load(&disk->changes) != disk->manifest_changes;
    om_mutex_unlock(&disk->keep_mu);
    return wanted;
}

/* ---- Everything into files --------------------------------------------------------------------- */
/* Whether the indexer has something left to do: the last, incomplete micro-batch is not its. */
static bool waits(om_segment *seg)
{
    return om_index_has_batch(atomic_load(&seg->indexed), atomic_load(&seg->visible));
}

static omen_status_t freeze(om_collection *c, uint32_t least, bool force, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mutex_lock(&c->write_mu);
    om_segment *last = om_set_last(om_set_load(c));
    uint32_t rows = atomic_load(&last->visible);
    if (rows != 0 && rows >= least && (force || !waits(last))) {
        status = om_collection_freeze(c, err);
    }
    om_mutex_unlock(&c->write_mu);
    return status;
}

/* Whether the oldest frozen segment waits for its graph. */
static bool oldest_waits(om_collection *c)
{
    bool waiting = false;
    om_mutex_lock(&c->write_mu);
    const om_set *set = om_set_load(c);
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->part[i]->mapped == NULL) {
            waiting = waits(set->part[i]);
            if (waiting) {
                om_indexer_notify(set->part[i]); /* there may have been no memory to queue it */
            }
            break;
        }
    }
    om_mutex_unlock(&c->write_mu);
    return waiting;
}

omen_status_t om_checkpoint_seal(om_collection *c, const om_sealing *how, bool *done,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    bool sealed = true;
    *done = false;
    om_mutex_lock(&c->save_mu);
    if (how->least != UINT32_MAX && !atomic_load(&c->dropped)) {
        status = freeze(c, how->least, how->force, err);
    }
    /* Those there are now: a writer who freezes one while another is written would keep this going for ever,
     * without a checkpoint, and the log would grow for as long. */
    uint32_t left = om_seal_count(c);
    while (status == OMEN_OK && sealed && left-- != 0 && !atomic_load(&c->dropped)) {
        if (!how->force && oldest_waits(c)) {
            break;
        }
        status = om_seal_next(c, how->stop, &sealed, err);
        if (status == OMEN_OK && sealed) {
            *done = true;
        }
    }
    om_mutex_unlock(&c->save_mu);
    return status;
}

omen_status_t om_checkpoint_all(omen_db *db, omen_op *op, omen_error *err)
{
    om_roll roll = {.list = NULL};
    om_stop stop = {.op = op};
    const om_sealing how = {.least = 0, .force = true, .stop = &stop};
    omen_status_t status = check_state(db, err);
    if (status != OMEN_OK) {
        return status;
    }
    OM_TRY(om_roll_take(db, &roll, err));
    for (size_t i = 0; i < roll.count; i++) {
        bool done = false;
        om_op_report(op, 0, i, roll.count);
        OM_TRY(om_checkpoint_seal(roll.list[i], &how, &done, err));
    }
    om_op_report(op, 0, roll.count, roll.count);
    /* Twice: the log is trimmed to what the manifest before does not need. */
    OM_TRY(om_checkpoint_write(db, err));
    OM_TRY(om_checkpoint_write(db, err));
out:
    om_roll_drop(db, &roll);
    return status;
}
