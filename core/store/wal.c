/* wal.c - the local log driver: its life and its table. SPDX-License-Identifier: Apache-2.0 */
#include <stdalign.h>
#include <string.h>

#include "wal_int.h"

enum { FILES_A_DISK = 64 }; /* a file takes at most this part of the file system */

static omen_status_t make_locks(om_wal *wal, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mutex *mutexes[] = {&wal->values_mu, &wal->append_mu, &wal->sync_mu};
    om_cond *conds[] = {&wal->synced, &wal->wake};
    for (uint32_t i = 0; i < 3; i++) {
        OM_TRY(om_mutex_init(mutexes[i], OM_WAL_RANK_VALUES + i, err)); /* cover: never fails */
        wal->mutexes_made++;
    }
    for (uint32_t i = 0; i < 2; i++) {
        OM_TRY(om_cond_init(conds[i], err)); /* cover: never fails on Linux */
        wal->conds_made++;
    }
out:
    return status;
}

static void free_locks(om_wal *wal)
{
    om_mutex *mutexes[] = {&wal->values_mu, &wal->append_mu, &wal->sync_mu};
    om_cond *conds[] = {&wal->synced, &wal->wake};
    while (wal->conds_made > 0) {
        om_cond_destroy(conds[--wal->conds_made]);
    }
    while (wal->mutexes_made > 0) {
        om_mutex_destroy(mutexes[--wal->mutexes_made]);
    }
}

static void free_wal(om_wal *wal)
{
    om_wal_file_release(wal, wal->current);
    om_wal_watchers_free(wal);
    om_wal_names_free(wal, &wal->files);
    om_wal_names_free(wal, &wal->spares);
    free_locks(wal);
    om_alloc_put(wal->alloc, wal, sizeof *wal, alignof(om_wal));
}

static void wal_close(om_logdriver *driver)
{
    om_wal *wal = om_wal_of(driver);
    om_wal_timer_stop(wal);
    if (atomic_load(&wal->state) == OM_LOG_OPEN) {
        omen_error err;
        if (om_wal_sync(driver, UINT64_MAX, &err) != OMEN_OK) {
            om_log_write(wal->options.log, OMEN_LOG_ERROR, "log", "at the end: %s", err.message);
        }
    }
    free_wal(wal);
}

static uint64_t bytes_of(const om_wal_names *names)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < names->count; i++) {
        bytes += names->items[i].bytes;
    }
    return bytes;
}

static void wal_tail(om_logdriver *driver, om_log_state *out)
{
    om_wal *wal = om_wal_of(driver);
    memset(out, 0, sizeof *out);
    om_mutex_lock(&wal->append_mu);
    out->state = atomic_load(&wal->state);
    out->first = wal->first;
    out->tail = atomic_load(&wal->tail);
    out->durable = atomic_load(&wal->durable);
    out->bytes = bytes_of(&wal->files) + bytes_of(&wal->spares);
    out->syncs = atomic_load(&wal->syncs);
    out->appends = atomic_load(&wal->appends);
    uint64_t settled = atomic_load(&wal->settled);
    out->written = atomic_load(&wal->written);
    out->unsynced = out->durable == out->tail ? 0 : out->written - settled;
    out->sync_ns = atomic_load(&wal->sync_ns);
    for (uint32_t i = 0; i < OMEN_SYNC_TIMES; i++) {
        out->sync_times[i] = atomic_load(&wal->sync_times[i]);
    }
    out->max_payload = wal->max_payload;
    out->max_group = (uint32_t)(wal->file_bytes - OM_WAL_HEADER_BYTES);
    out->rotten_lsn = out->state == OM_LOG_ROTTEN ? wal->rotten_lsn : 0;
    om_mutex_lock(&wal->sync_mu);
    memcpy(out->reason, wal->reason, sizeof out->reason);
    om_mutex_unlock(&wal->sync_mu);
    om_mutex_unlock(&wal->append_mu);
}

static const om_logdriver_ops wal_ops = {
    .append = om_wal_append,
    .sync = om_wal_sync,
    .read = om_wal_read,
    .tail = wal_tail,
    .trim = om_wal_trim,
    .cas = om_wal_cas,
    .watch = om_wal_watch,
    .close = wal_close,
};

/* A power of two, so that files made on disks of different sizes are few kinds. */
static uint64_t choose_file_bytes(uint64_t disk_bytes)
{
    uint64_t bytes = OM_WAL_MAX_FILE;
    while (bytes > OM_WAL_MIN_FILE && bytes > disk_bytes / FILES_A_DISK) {
        bytes /= 2;
    }
    return bytes;
}

static omen_status_t copy_folder(om_wal_path *out, const char *folder, omen_error *err)
{
    size_t length = strnlen(folder, sizeof out->text);
    if (length == 0 || length + OM_WAL_NAME >= sizeof out->text) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME,
                       "the path of the log is empty or too long");
    }
    memcpy(out->text, folder, length + 1);
    return OMEN_OK;
}

/* A folder that is there may be of a process that ended before it synced the name. */
static omen_status_t make_folder(om_wal *wal, omen_error *err)
{
    omen_status_t status = om_io_mkdir(wal->io, wal->folder.text, err);
    return status != OMEN_OK ? status : om_io_sync_parent(wal->io, wal->folder.text, err);
}

static omen_status_t start(om_wal *wal, const om_wal_options *options, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_io_space space = {0};
    OM_TRY(make_locks(wal, err)); /* cover: never fails, see there */
    OM_TRY(copy_folder(&wal->folder, options->folder, err));
    OM_TRY(copy_folder(&wal->values, options->values, err));
    wal->options.folder = wal->folder.text;
    wal->options.values = wal->values.text;
    if (options->checkpoint > (uint64_t)INT64_MAX) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "impossible checkpoint %llu",
                       (unsigned long long)options->checkpoint);
    }
    if (!options->read_only) {
        OM_TRY(make_folder(wal, err));
        OM_TRY(om_io_free_space(wal->io, wal->folder.text, &space, err));
    }
    wal->file_bytes = choose_file_bytes(space.total);
    uint64_t quarter = (wal->file_bytes - OM_WAL_HEADER_BYTES) / 4 - OM_WAL_FRAME_BYTES;
    wal->max_payload = (uint32_t)om_min_u64(OM_LOG_MAX_PAYLOAD, quarter & ~UINT64_C(7));
    OM_TRY(om_wal_recover(wal, err));
    if (options->timer && !options->read_only) {
        OM_TRY(om_wal_timer_start(wal, err));
    }
out:
    return status;
}

omen_status_t om_wal_open(const om_wal_options *options, om_logdriver **out, omen_error *err)
{
    omen_error local;
    om_wal *wal = om_alloc_zero(options->alloc, 1, sizeof *wal, alignof(om_wal));
    if (wal == NULL) {
        return om_fail_memory(err, "the log", sizeof *wal);
    }
    wal->driver.ops = &wal_ops;
    wal->options = *options;
    wal->io = options->io;
    wal->alloc = options->alloc;
    omen_status_t status = start(wal, options, err != NULL ? err : &local);
    if (status != OMEN_OK) {
        free_wal(wal);
        return status;
    }
    if (atomic_load(&wal->state) == OM_LOG_ROTTEN) {
        om_log_write(options->log, OMEN_LOG_ERROR, "log", "%s; opened for reading only",
                     wal->reason);
    }
    *out = &wal->driver;
    return OMEN_OK;
}
