/* engine_verify.c - every byte of a database or a backup against its checksums, and what the bytes say.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Three looks: a backup's files against its list; all manifests that are kept, and the files that only older
 * ones name, and the whole log; then the database is opened for reading, and its segments are checked as
 * OMEN_OPEN_VERIFY does. Nothing is changed, and nobody may write meanwhile. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backupfile.h"
#include "engine_disk.h"
#include "wal.h"

enum { MOST_MANIFESTS = 64, HEX_DIGITS = 16 };

typedef struct verify {
    const om_io *io;
    omen_runtime *rt;
    const char *path;
    omen_op *op;
    om_stop stop;
    om_iofile lock;
    om_path lock_path, file; /* file: the one at hand */
    uint64_t generations[MOST_MANIFESTS];
    uint32_t generation_count;
    uint64_t log_first; /* first lsn of the oldest log file; 0: none */
    uint32_t log_files;
    om_manifest newest;
    uint64_t done, total;
    omen_backup_result result;
} verify;

static omen_status_t report(verify *v, uint64_t bytes)
{
    v->done += bytes;
    v->result.files++;
    v->result.bytes += bytes;
    om_op_report(v->op, 0, v->done, v->total > v->done ? v->total : v->done);
    return om_stop_check(&v->stop);
}

/* ---- Nobody writes ----------------------------------------------------------------------------- */
static omen_status_t take_lock(verify *v, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_io_stat info;
    bool found = false;
    omen_error why = {0};
    OM_TRY(om_io_look(v->io, v->path, &info, &found, err));
    if (!found) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NONE, "%.200s: is not there", v->path);
    }
    if (!info.folder) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME,
                       "%.150s: is a file; a database or backup is a directory", v->path);
    }
    OM_TRY(om_path_join(&v->lock_path, v->path, "LOCK", err));
    status = om_io_open(v->io, v->lock_path.text, OM_IO_WRITE, &v->lock, &why);
    if (status == OMEN_NOT_FOUND || why.sys_errno == EROFS || why.sys_errno == EACCES) {
        return OMEN_OK; /* Nobody ever wrote here, or nobody can. */
    }
    status = status == OMEN_OK ? om_io_lock(&v->lock, &why) : status;
    if (status != OMEN_OK && err != NULL) {
        *err = why;
    }
out:
    return status;
}

/* ---- A backup against its list ----------------------------------------------------------------- */
static omen_status_t check_listed(verify *v, om_backup_work *work, const om_backup_file *file,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_backup_file sum = *file;
    omen_error why = {0};
    OM_TRY(om_path_join(&v->file, v->path, file->name, err));
    status = om_backup_copy(work, v->file.text, NULL, &sum, &why);
    if (status == OMEN_NOT_FOUND) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "%s: is missing, the backup lists it",
                       file->name);
    }
    if (status != OMEN_OK) {
        if (err != NULL) {
            *err = why;
        }
        return status;
    }
    if (sum.crc != file->crc) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "%s: checksum is %08x, the list of the backup says %08x: it was changed",
                       file->name, sum.crc, file->crc);
    }
out:
    return status;
}

static omen_status_t check_backup(verify *v, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_backup_list list = {.count = 0};
    om_backup_work work = {.io = v->io, .alloc = &v->rt->alloc, .op = v->op};
    om_io_stat info;
    bool found = false;
    OM_TRY(om_path_join(&v->file, v->path, OM_BACKUP_LIST, err));
    OM_TRY(om_io_look(v->io, v->file.text, &info, &found, err));
    if (!found) {
        return OMEN_OK;
    }
    OM_TRY(om_backup_list_read(v->io, work.alloc, v->path, &list, err));
    OM_TRY(om_backup_work_begin(&work, err));
    for (uint32_t i = 0; i < list.count; i++) {
        OM_TRY(check_listed(v, &work, &list.files[i], err));
    }
    /* Somebody who opens a backup for writing makes manifests that are not on the list. */
    for (uint32_t i = 0; i < v->generation_count; i++) {
        char name[OM_BACKUP_MAX_NAME + 1];
        (void)snprintf(name, sizeof name, OM_MANIFEST_KEY "-%016llx",
                       (unsigned long long)v->generations[i]);
        if (om_backup_list_find(&list, name) == NULL) {
            status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                             "%s: is not on the list of the backup, which was changed", name);
            goto out;
        }
    }
out:
    om_backup_work_end(&work);
    om_backup_list_free(work.alloc, &list);
    return status;
}

/* ---- Manifests --------------------------------------------------------------------------------- */
static bool number_of(const char *digits, const char *suffix, uint64_t *out)
{
    if (strspn(digits, "0123456789abcdef") != HEX_DIGITS ||
        strcmp(digits + HEX_DIGITS, suffix) != 0) {
        return false;
    }
    *out = strtoull(digits, NULL, 16);
    return true;
}

static int add_generation(void *arg, const char *name)
{
    verify *v = arg;
    const size_t prefix = sizeof OM_MANIFEST_KEY; /* with the dash in the place of the zero */
    uint64_t number = 0;
    if (strncmp(name, OM_MANIFEST_KEY "-", prefix) == 0 && number_of(name + prefix, "", &number) &&
        v->generation_count < MOST_MANIFESTS) {
        v->generations[v->generation_count++] = number;
    }
    return 0;
}

static bool is_named(const om_manifest *m, uint32_t serial, uint64_t id)
{
    for (uint32_t i = 0; i < m->collection_count; i++) {
        const om_manifest_collection *c = &m->collections[i];
        for (uint32_t s = 0; c->serial == serial && s < c->segment_count; s++) {
            if (c->segments[s].id == id) {
                return true;
            }
        }
    }
    return false;
}

static omen_status_t check_file(verify *v, uint32_t serial, const om_manifest_segment *seg,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segfile *file = NULL;
    om_deaths deaths = {0};
    if (!is_named(&v->newest, serial, seg->id)) { /* else it is checked when it is open */
        OM_TRY(om_path_segment(&v->file, v->path, serial, seg->id, err));
        OM_TRY(om_segfile_open(v->io, &v->rt->alloc, v->file.text, &file, err));
        OM_TRY(om_segfile_verify_all(file, &v->stop, err));
        OM_TRY(report(v, seg->file_bytes));
    }
    if (seg->deaths != 0) {
        OM_TRY(om_path_deaths(&v->file, v->path, serial, seg->id, seg->deaths, err));
        OM_TRY(om_deaths_open(v->io, v->file.text, seg->id, seg->rows, &deaths, err));
        OM_TRY(report(v, deaths.bytes));
    }
out:
    om_deaths_close(v->io, &deaths);
    om_segfile_close(file);
    return status;
}

static omen_status_t check_files(verify *v, const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_cursors cursors = {0};
    for (uint32_t i = 0; i < m->collection_count; i++) {
        const om_manifest_collection *c = &m->collections[i];
        for (uint32_t s = 0; s < c->segment_count; s++) {
            OM_TRY(check_file(v, c->serial, &c->segments[s], err));
        }
    }
    if (m->cursors != 0) {
        OM_TRY(om_path_cursors(&v->file, v->path, m->cursors, err));
        OM_TRY(om_cursors_read(v->io, &v->rt->alloc, v->file.text, &cursors, err));
        OM_TRY(report(v, 0));
    }
out:
    om_cursors_free(&v->rt->alloc, &cursors);
    return status;
}

/* What an older generation names must be there as well: it is what counts when the newer ones are damaged. */
static omen_status_t check_manifest(verify *v, uint64_t generation, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_manifest m = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    omen_error why = {0};
    OM_TRY(om_path_manifest(&v->file, v->path, generation, &why));
    OM_TRY(om_io_slurp(v->io, &v->rt->alloc, v->file.text, OM_MANIFEST_MAX_BYTES, &bytes, &size,
                       &why));
    OM_TRY(om_manifest_decode(&v->rt->alloc, bytes, size, &m, &why));
    OM_TRY(check_files(v, &m, &why));
    OM_TRY(report(v, size));
out:
    om_manifest_free(&v->rt->alloc, &m);
    om_alloc_put(&v->rt->alloc, bytes, bytes == NULL ? 0 : size + 1, 8);
    if (status == OMEN_DATA_LOSS || status == OMEN_NOT_FOUND) {
        return om_fail(err, OMEN_DATA_LOSS, why.detail, OM_MANIFEST_KEY "-%016llx: %.180s",
                       (unsigned long long)generation, why.message);
    }
    if (status != OMEN_OK && err != NULL) {
        *err = why;
    }
    return status;
}

static void count_bytes(verify *v)
{
    for (uint32_t i = 0; i < v->newest.collection_count; i++) {
        for (uint32_t s = 0; s < v->newest.collections[i].segment_count; s++) {
            v->total += v->newest.collections[i].segments[s].file_bytes;
        }
    }
}

static omen_status_t check_manifests(verify *v, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t skipped = 0;
    OM_TRY(om_manifest_load(v->io, &v->rt->alloc, v->path, &v->newest, &skipped, err));
    if (skipped != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%.60s: %u damaged manifests, the newest: %s", v->path, skipped,
                       v->newest.trouble);
    }
    count_bytes(v);
    for (uint32_t i = 0; i < v->generation_count; i++) {
        OM_TRY(check_manifest(v, v->generations[i], err));
    }
out:
    return status;
}

/* ---- The log ----------------------------------------------------------------------------------- */
static int find_first(void *arg, const char *name)
{
    verify *v = arg;
    uint64_t number = 0;
    if (number_of(name, ".wal", &number)) {
        v->log_files++;
        v->log_first = v->log_first == 0 || number < v->log_first ? number : v->log_first;
    }
    return 0;
}

/* All records that there are, also those that only an older manifest needs. */
static omen_status_t check_log(verify *v, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_log_state state;
    om_logdriver *log = NULL;
    om_io_stat info;
    bool found = false;
    OM_TRY(om_path_join(&v->file, v->path, "wal", err));
    OM_TRY(om_io_look(v->io, v->file.text, &info, &found, err));
    if (!found) {
        return OMEN_OK; /* What needs it finds out when the database is opened. */
    }
    OM_TRY(om_io_list(v->io, v->file.text, find_first, v, err));
    if (v->log_first == 0 || v->log_first - 1 > v->newest.checkpoint) {
        return OMEN_OK; /* likewise */
    }
    om_wal_options options = {.io = v->io,
                              .alloc = &v->rt->alloc,
                              .log = &v->rt->log,
                              .folder = v->file.text,
                              .values = v->path,
                              .checkpoint = v->log_first - 1,
                              .durable_hint = v->newest.durable,
                              .read_only = true};
    memcpy(options.database, v->newest.database, sizeof options.database);
    OM_TRY(om_wal_open(&options, &log, err));
    log->ops->tail(log, &state);
    if (state.state == OM_LOG_ROTTEN) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "%.60s: %s", v->path, state.reason);
    } else {
        v->result.files += v->log_files - 1; /* and the one that report counts */
        status = report(v, state.bytes);
    }
    log->ops->close(log);
out:
    return status;
}

/* ---- The database as it opens ------------------------------------------------------------------ */
static omen_status_t check_collection(verify *v, om_collection *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_set *set = NULL;
    OM_TRY(om_set_hold(c, &set, err));
    for (uint32_t i = 0; i < set->count; i++) {
        om_segment *seg = set->part[i];
        if (seg->mapped != NULL) {
            OM_TRY(om_mapped_check(seg, &v->stop, err));
            OM_TRY(report(v, om_mapped_bytes(seg->mapped)));
        }
    }
out:
    if (set != NULL) {
        om_set_free(c->rt, set);
    }
    return status;
}

static omen_status_t check_open(verify *v, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_db *db = NULL;
    om_roll roll = {.list = NULL};
    const omen_db_options options = {.struct_size = sizeof options,
                                     .flags = OMEN_DB_READ_ONLY | OMEN_DB_MUST_EXIST,
                                     .runtime = v->rt,
                                     .warm = OMEN_WARM_NONE};
    OM_TRY(om_db_open_io(v->io, v->path, &options, &db, err));
    v->result.version = atomic_load(&db->version);
    status = om_roll_take(db, &roll, err);
    for (size_t i = 0; status == OMEN_OK && i < roll.count; i++) {
        status = check_collection(v, roll.list[i], err);
    }
    om_roll_drop(db, &roll);
    om_db_free(db);
out:
    return status;
}

static omen_status_t run(verify *v, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(take_lock(v, err));
    OM_TRY(om_io_list(v->io, v->path, add_generation, v, err));
    OM_TRY(check_backup(v, err));
    OM_TRY(check_manifests(v, err));
    OM_TRY(check_log(v, err));
    OM_TRY(check_open(v, err));
out:
    if (status == OMEN_CANCELLED) {
        status = om_fail(err, status, OMEN_D_NONE, "verify: cancelled");
    }
    return status;
}

static omen_status_t with_runtime(const om_io *io, const char *path, const omen_backup_options *opt,
                                  omen_runtime *rt, verify **out, omen_error *err)
{
    verify *v = om_alloc_zero(&rt->alloc, 1, sizeof *v, OM_CACHE_LINE);
    if (v == NULL) {
        return om_fail_memory(err, "verification", sizeof *v);
    }
    v->io = io;
    v->rt = rt;
    v->path = path;
    v->op = opt->op;
    v->stop.op = opt->op;
    v->lock.fd = -1;
    *out = v;
    return run(v, err);
}

omen_status_t om_verify(const om_io *io, const char *path, const omen_backup_options *opt,
                        omen_backup_result *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_runtime *rt = opt->runtime;
    verify *v = NULL;
    if (opt->flags != 0 || opt->previous != NULL) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "verify: flags 0x%x, or a previous backup: neither means anything here",
                       opt->flags);
    }
    if (rt == NULL) {
        const omen_runtime_options defaults = {.struct_size = sizeof defaults};
        OM_TRY(om_runtime_create(&defaults, &rt, err));
    }
    uint64_t rejections = om_rejections(rt);
    status = with_runtime(io != NULL ? io : &om_io_system, path, opt, rt, &v, err);
    status = om_explain_memory(rt, rejections, status, err);
    if (v != NULL) {
        if (status == OMEN_OK && out != NULL) {
            v->result.struct_size = out->struct_size;
            *out = v->result;
        }
        om_io_close(&v->lock);
        om_manifest_free(&rt->alloc, &v->newest);
        om_alloc_put(&rt->alloc, v, sizeof *v, OM_CACHE_LINE);
    }
    if (opt->runtime == NULL) {
        om_runtime_free(rt);
    }
out:
    return status;
}
