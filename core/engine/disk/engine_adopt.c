/* engine_adopt.c - what a manifest names becomes collections, segments and cursors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_disk.h"

/* ---- Segments ---------------------------------------------------------------------------------- */
static omen_status_t open_deaths(om_collection *c, const om_manifest_segment *named, om_deaths *out,
                                 omen_error *err)
{
    om_path path;
    const om_disk *disk = c->db->disk;
    omen_status_t status =
        om_path_deaths(&path, disk->folder.text, c->serial, named->id, named->deaths, err);
    if (status == OMEN_OK) {
        status = om_deaths_open(disk->io, path.text, named->id, named->rows, out, err);
    }
    return status;
}

static omen_status_t check_segment(const om_collection *c, const om_segment *seg,
                                   const om_manifest_segment *named, omen_error *err)
{
    uint32_t rows = atomic_load(&seg->visible);
    uint32_t live = atomic_load(&seg->live);
    /* A file of deaths may have more than the manifest knew: one that could not be named was written
     * again, with what had died since. The log has the records of these. */
    if (rows == named->rows &&
        (live == named->live || (named->deaths != 0 && live < named->live))) {
        return OMEN_OK;
    }
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                   "collection '%s', segment %llu: %u rows, %u alive; the manifest says %u and %u",
                   c->name, (unsigned long long)named->id, rows, live, named->rows, named->live);
}

omen_status_t om_disk_open_segment(om_collection *c, const om_manifest_segment *named,
                                   om_segment **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_disk *disk = c->db->disk;
    om_path path;
    om_deaths deaths = {.mapping = NULL};
    om_segment *seg = NULL;
    om_segment_file file = {.path = path.text, .id = named->id, .warm = disk->options.warm};
    OM_TRY(om_path_segment(&path, disk->folder.text, c->serial, named->id, err));
    if (named->deaths != 0) {
        OM_TRY(open_deaths(c, named, &deaths, err));
        file.deaths = &deaths;
    }
    OM_TRY(om_segment_open(c, &file, &seg, err));
    deaths.mapping = NULL; /* the segment's now */
    OM_TRY(check_segment(c, seg, named, err));
    atomic_store(&seg->first_version, named->first_lsn);
    atomic_store(&seg->last_version, named->last_lsn);
    seg->deaths_saved = named->deaths;
    *out = seg;
    seg = NULL;
out:
    om_segment_unref(seg);
    if (deaths.mapping != NULL) {
        om_deaths_close(disk->io, &deaths);
    }
    return status;
}

/* ---- Cursors ----------------------------------------------------------------------------------- */
static omen_status_t import(omen_db *db, const om_cursors *saved, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < saved->cursor_count && status == OMEN_OK; i++) {
        bool known = false;
        om_collection *c = om_serials_get(db->disk, saved->cursors[i].collection, &known);
        status = c != NULL ? om_streams_import(c, &saved->cursors[i], err) : OMEN_OK;
    }
    for (uint32_t i = 0; i < saved->request_count && status == OMEN_OK; i++) {
        status = om_requests_import(db->requests, &saved->requests[i], err);
    }
    return status;
}

static omen_status_t adopt_cursors(omen_db *db, const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    om_path path;
    om_cursors saved = {0};
    disk->cursors = m->cursors;
    if (m->cursors == 0) {
        return OMEN_OK;
    }
    OM_TRY(om_path_cursors(&path, disk->folder.text, m->cursors, err));
    OM_TRY(om_cursors_read(disk->io, &db->rt->alloc, path.text, &saved, err));
    disk->cursors_lsn = saved.lsn;
    status = import(db, &saved, err);
out:
    om_cursors_free(&db->rt->alloc, &saved);
    return status;
}

/* ---- All of it --------------------------------------------------------------------------------- */
omen_status_t om_disk_adopt(omen_db *db, const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    memcpy(disk->uuid, m->database, sizeof disk->uuid);
    for (uint32_t i = 0; i < m->collection_count; i++) {
        const om_manifest_collection *mc = &m->collections[i];
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
    om_mutex_lock(&db->mu);
    db->next_serial = om_max_u32(db->next_serial, m->next_serial - 1);
    om_mutex_unlock(&db->mu);
    OM_TRY(adopt_cursors(db, m, err));
    disk->generation = m->newest;
    disk->trim_to = m->checkpoint;
    disk->manifest_tail = m->durable;
    atomic_store(&disk->next_segment, m->next_segment);
    atomic_store(&disk->checkpoint, m->checkpoint);
    atomic_store(&disk->applied, m->checkpoint);
    om_disk_version(db, m->durable);
out:
    return status;
}
