/* engine_disk.c - the directory of a database: made, locked, opened and closed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine_record.h"
#include "wal.h"

#define DEFAULT_SEAL_BYTES (UINT64_C(512) << 20)
#define LEAST_SEAL_BYTES (UINT64_C(1) << 20)
#define NS_OF_MS UINT64_C(1000000)
enum {
    DEFAULT_INTERVAL_MS = 50,
    MOST_INTERVAL_MS = 60000,
    DEFAULT_SEAL_ROWS = 262144,
    BUDGET_SHARE = 8, /* growing and frozen rows with their codes and links stay below a half */
    SEAL_AT_CLOSE = 65536,
    LOCK_TEXT = 80,
    BOOT_ID = 36,
    NUMBER_DIGITS = 16
};

const om_io *om_db_io(const omen_db *db)
{
    return db->disk != NULL ? db->disk->io : &om_io_system;
}

/* ---- The folder -------------------------------------------------------------------------------- */
static omen_status_t find_folder(omen_db *db, const char *path, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    om_io_stat info;
    bool found = false;
    OM_TRY(om_io_look(disk->io, path, &info, &found, err));
    if (found && !info.folder) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME,
                       "%s: is a file; a database is a directory (omen_open maps single files)",
                       path);
    }
    if (!found && (disk->options.flags & (OMEN_DB_READ_ONLY | OMEN_DB_MUST_EXIST)) != 0) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NONE, "%s: there is no database", path);
    }
    if (!found) {
        OM_TRY(om_io_mkdir(disk->io, path, err));
        OM_TRY(om_io_sync_parent(disk->io, path, err));
    }
    OM_TRY(om_io_resolve(disk->io, path, disk->folder.text, sizeof disk->folder.text, err));
out:
    return status;
}

typedef struct newest_name {
    uint64_t generation;
} newest_name;

/* The number that the 16 digits at `text` write; false when they are none. */
static bool take_number(const char *text, uint64_t *out)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < NUMBER_DIGITS; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit && (text[i] < 'a' || text[i] > 'f')) {
            return false;
        }
        number = number << 4 | (uint64_t)(digit ? text[i] - '0' : text[i] - 'a' + 10);
    }
    *out = number;
    return true;
}

static int look_at_name(void *arg, const char *name)
{
    newest_name *newest = arg;
    const size_t prefix = sizeof OM_MANIFEST_KEY; /* with the dash in the place of the zero */
    uint64_t number = 0;
    if (strncmp(name, OM_MANIFEST_KEY "-", prefix) == 0 && strlen(name) == prefix + NUMBER_DIGITS &&
        take_number(name + prefix, &number)) {
        newest->generation = number > newest->generation ? number : newest->generation;
    }
    return 0;
}

omen_status_t om_disk_newest(const om_disk *disk, uint64_t *generation, omen_error *err)
{
    newest_name newest = {0};
    omen_status_t status = om_io_list(disk->io, disk->folder.text, look_at_name, &newest, err);
    *generation = newest.generation;
    return status;
}

/* ---- The lock ---------------------------------------------------------------------------------- */
/* Neither the boot nor random bytes are of the database: they do not go through its io. */
static void read_boot_id(char out[BOOT_ID + 1])
{
    const om_io *io = &om_io_system;
    int fd = -1;
    size_t got = 0;
    if (io->ops->open(io->ctx, "/proc/sys/kernel/random/boot_id", 0, &fd) == 0) {
        if (io->ops->pread(io->ctx, fd, out, BOOT_ID, 0, &got) != 0) {
            got = 0;
        }
        (void)io->ops->close(io->ctx, fd);
    }
    out[got] = '\0';
}

static omen_status_t fill_random(void *out, size_t bytes, omen_error *err)
{
    if (getrandom(out, bytes, 0) != (ssize_t)bytes) {
        return om_fail_errno(err, OMEN_UNAVAILABLE, errno, "no random bytes");
    }
    return OMEN_OK;
}

/* Who holds it, for the message only. */
static omen_status_t fail_locked(const om_disk *disk, omen_error *err)
{
    char text[LOCK_TEXT] = {0};
    size_t done = 0;
    const om_io *io = disk->io;
    int failed = io->ops->pread(io->ctx, disk->lock.fd, text, sizeof text - 1, 0, &done);
    size_t digits = failed == 0 ? strspn(text, "0123456789") : 0;
    return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_LOCKED,
                   "%s: is open for writing by process %.*s", disk->folder.text,
                   digits != 0 ? (int)digits : 9, digits != 0 ? text : "(unknown)");
}

static omen_status_t take_lock(om_disk *disk, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_error inner = {0};
    char boot[BOOT_ID + 1];
    char text[LOCK_TEXT];
    OM_TRY(om_path_join(&disk->lock_path, disk->folder.text, "LOCK", err));
    OM_TRY(
        om_io_open(disk->io, disk->lock_path.text, OM_IO_WRITE | OM_IO_CREATE, &disk->lock, err));
    status = om_io_lock(&disk->lock, &inner);
    if (status != OMEN_OK) {
        if (inner.detail == OMEN_D_LOCKED) {
            return fail_locked(disk, err);
        }
        if (err != NULL) {
            *err = inner;
        }
        return status;
    }
    read_boot_id(boot);
    int length = snprintf(text, sizeof text, "%ld %s\n", (long)getpid(), boot);
    /* On a full disk the lock holds without its text. */
    if (om_io_truncate(&disk->lock, 0, NULL) == OMEN_OK) {
        status = om_io_write(&disk->lock, text, (size_t)length, 0, &inner);
        status = status == OMEN_RESOURCE_EXHAUSTED ? OMEN_OK : status;
        if (status != OMEN_OK && err != NULL) {
            *err = inner;
        }
    }
out:
    return status;
}

/* ---- A new database ---------------------------------------------------------------------------- */
static int any_name(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
    return 0;
}

/* A log without a manifest is what is left of a database, not the beginning of one. */
static omen_status_t check_no_log(const om_disk *disk, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_path path;
    om_io_stat info;
    bool found = false;
    OM_TRY(om_path_join(&path, disk->folder.text, "wal", err));
    OM_TRY(om_io_look(disk->io, path.text, &info, &found, err));
    if (found && info.folder) {
        found = false;
        OM_TRY(om_io_list(disk->io, path.text, any_name, &found, err));
    }
    if (found) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "%s: there is a log, but no manifest",
                       disk->folder.text);
    }
out:
    return status;
}

/* The manifest first: a folder with a log has one, always. */
static omen_status_t make_database(omen_db *db, om_manifest *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_disk *disk = db->disk;
    om_manifest m = {.generation = 1, .next_segment = 1, .next_serial = 1, .newest = 1};
    om_path path;
    uint8_t *bytes = NULL;
    size_t size = 0;
    OM_TRY(check_no_log(disk, err));
    OM_TRY(fill_random(m.database, sizeof m.database, err));
    OM_TRY(om_manifest_encode(&db->rt->alloc, &m, &bytes, &size, err));
    OM_TRY(om_path_manifest(&path, disk->folder.text, m.generation, err));
    /* The log syncs the folder when it puts its own there, before anything is acknowledged. */
    OM_TRY(om_io_put(disk->io, path.text, bytes, size, err));
    *out = m;
out:
    om_alloc_put(&db->rt->alloc, bytes, size, OM_PAYLOAD_ALIGN);
    return status;
}

static omen_status_t refuse_newer(const om_disk *disk, omen_error *err)
{
    return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_FORMAT_VERSION,
                   "%s: a newer version wrote it: it can be opened for reading only",
                   disk->folder.text);
}

/* Looked at before it is locked, so that a folder that is not ours stays as it is; again, when another
 * process wrote in between. */
static omen_status_t load_for_writing(omen_db *db, om_manifest *out, uint32_t *skipped,
                                      omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    const om_alloc *alloc = &db->rt->alloc;
    omen_error inner = {0};
    uint64_t newest = 0;
    status = om_manifest_load(disk->io, alloc, disk->folder.text, out, skipped, &inner);
    if (status != OMEN_OK &&
        (status != OMEN_NOT_FOUND || (disk->options.flags & OMEN_DB_MUST_EXIST) != 0)) {
        if (err != NULL) {
            *err = inner;
        }
        return status;
    }
    OM_TRY(take_lock(disk, err));
    OM_TRY(om_disk_newest(disk, &newest, err));
    if (newest == 0) {
        return make_database(db, out, err);
    }
    if (newest != out->newest) {
        om_manifest_free(alloc, out);
        *out = (om_manifest){0};
        OM_TRY(om_manifest_load(disk->io, alloc, disk->folder.text, out, skipped, err));
    }
    if (out->read_only) {
        return refuse_newer(disk, err);
    }
out:
    return status;
}

/* ---- The log ----------------------------------------------------------------------------------- */
omen_status_t om_disk_open_log(omen_db *db, const om_manifest *manifest, uint64_t checkpoint,
                               om_logdriver **out, omen_error *err)
{
    const om_disk *disk = db->disk;
    om_path wal;
    omen_status_t status = om_path_join(&wal, disk->folder.text, "wal", err);
    if (status != OMEN_OK) {
        return status;
    }
    bool system = disk->io == &om_io_system;
    bool read_only = (disk->options.flags & OMEN_DB_READ_ONLY) != 0;
    om_wal_options options = {.io = disk->io,
                              .alloc = &db->rt->alloc,
                              .log = &db->rt->log,
                              .folder = wal.text,
                              .values = disk->folder.text,
                              .checkpoint = checkpoint,
                              .durable_hint = manifest != NULL ? manifest->durable : checkpoint,
                              .interval_ns = disk->options.interval_ms * NS_OF_MS,
                              .read_only = read_only,
                              .timer = system && !read_only};
    memcpy(options.database, disk->uuid, sizeof options.database);
    return om_wal_open(&options, out, err);
}

/* Every collection has seen whatever is in the log, also what was for others. */
static void settle_versions(omen_db *db, uint64_t tail)
{
    om_mutex_lock(&db->mu);
    for (size_t i = 0; i < db->count; i++) {
        om_collection *c = db->list[i];
        if (atomic_load(&c->version) < tail) {
            atomic_store(&c->version, tail);
        }
    }
    om_mutex_unlock(&db->mu);
    om_disk_version(db, tail);
}

static omen_status_t replay(omen_db *db, const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    om_log_state state;
    uint64_t begun = om_io_now(disk->io);
    OM_TRY(om_disk_open_log(db, m, m->checkpoint, &disk->log, err));
    disk->log->ops->tail(disk->log, &state);
    disk->max_payload = state.max_payload;
    OM_TRY(disk->log->ops->read(disk->log, m->checkpoint + 1, om_record_replay, db, err));
    om_pending_drop(disk, db->rt, 0); /* batches whose end was not written */
    om_serials_free(db);
    settle_versions(db, state.tail);
    disk->replayed_ns = om_io_now(disk->io) - begun;
    if (state.state != OM_LOG_OPEN) {
        om_disk_fail(db, OMEN_DB_DAMAGED, state.reason);
    }
out:
    return status;
}

/* An older manifest was taken: ids that the damaged ones gave out are not given out again. Files of the
 * database carry them in their names, as 16 digits. */
static int look_at_file(void *arg, const char *name)
{
    uint64_t *most = arg;
    uint64_t number = 0;
    if (strlen(name) > NUMBER_DIGITS && take_number(name, &number) && number < UINT64_MAX / 2) {
        *most = number > *most ? number : *most;
    }
    return 0;
}

static omen_status_t skip_used_ids(omen_db *db, const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    uint64_t most = m->next_segment - 1;
    for (uint32_t serial = 1; serial <= db->next_serial && status == OMEN_OK; serial++) {
        om_path path;
        om_io_stat info;
        bool found = false;
        OM_TRY(om_path_collection(&path, disk->folder.text, serial, err));
        OM_TRY(om_io_look(disk->io, path.text, &info, &found, err));
        if (found && info.folder) {
            OM_TRY(om_io_list(disk->io, path.text, look_at_file, &most, err));
        }
    }
    atomic_store(&disk->next_segment, most + 1);
out:
    return status;
}

static omen_status_t open_writer(omen_db *db, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = db->disk;
    om_manifest m = {0};
    uint32_t skipped = 0;
    OM_TRY(load_for_writing(db, &m, &skipped, err));
    OM_TRY(om_disk_adopt(db, &m, err));
    OM_TRY(replay(db, &m, err));
    if (skipped != 0) {
        om_log_write(&db->rt->log, OMEN_LOG_WARN, "engine",
                     "%s: %u damaged manifests were passed over: %s", disk->folder.text, skipped,
                     m.trouble);
        OM_TRY(skip_used_ids(db, &m, err));
    }
    om_disk_watch(db);
    disk->ready = true;
    if (disk->io == &om_io_system && atomic_load(&disk->state) != OMEN_DB_DAMAGED) {
        OM_TRY(om_keeper_create(db, err));
        om_keeper_notify(db);
    }
out:
    om_manifest_free(&db->rt->alloc, &m);
    return status;
}

/* ---- Options ----------------------------------------------------------------------------------- */
static omen_status_t fill_options(omen_db *db, const omen_db_options *given, omen_error *err)
{
    omen_db_options *o = &db->disk->options;
    *o = *given;
    if (o->interval_ms > MOST_INTERVAL_MS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "interval_ms: %u is above %d",
                       o->interval_ms, MOST_INTERVAL_MS);
    }
    o->interval_ms = o->interval_ms != 0 ? o->interval_ms : (uint32_t)DEFAULT_INTERVAL_MS;
    o->seal_rows = o->seal_rows != 0 ? om_min_u64(o->seal_rows, OMEN_MAX_ROWS / 2)
                                     : (uint64_t)DEFAULT_SEAL_ROWS;
    if (o->seal_bytes == 0) {
        uint64_t share = db->rt->budget.limit / BUDGET_SHARE;
        o->seal_bytes = share != 0 ? om_min_u64(share, DEFAULT_SEAL_BYTES) : DEFAULT_SEAL_BYTES;
        o->seal_bytes = o->seal_bytes > LEAST_SEAL_BYTES ? o->seal_bytes : LEAST_SEAL_BYTES;
    }
    return OMEN_OK;
}

omen_status_t om_disk_open(omen_db *db, const om_io *io, const char *path,
                           const omen_db_options *options, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = om_alloc_zero(&db->rt->alloc, 1, sizeof *disk, _Alignof(om_disk));
    if (disk == NULL) {
        return om_fail_memory(err, "database", sizeof *disk);
    }
    disk->io = io;
    disk->lock.fd = -1;
    db->disk = disk;
    OM_TRY(om_mutex_init(&disk->keep_mu, OM_RANK_KEEP, err));
    disk->keep_mu_made = true;
    OM_TRY(om_mutex_init(&disk->files_mu, OM_RANK_FILES, err));
    disk->files_mu_made = true;
    OM_TRY(fill_options(db, options, err));
    OM_TRY(find_folder(db, path, err));
    if ((disk->options.flags & OMEN_DB_READ_ONLY) != 0) {
        status = om_disk_open_reader(db, err);
    } else {
        status = open_writer(db, err);
    }
out:
    return status;
}

/* ---- The end ----------------------------------------------------------------------------------- */
/* What is large and has its graph becomes files, so that the next open has less to replay. */
static void seal_at_close(omen_db *db)
{
    om_roll roll;
    omen_error err = {0};
    om_stop stop = {.op = NULL};
    const om_sealing how = {.least = SEAL_AT_CLOSE, .stop = &stop};
    omen_status_t status = om_roll_take(db, &roll, &err);
    for (size_t i = 0; status == OMEN_OK && i < roll.count; i++) {
        bool done = false;
        status = om_checkpoint_seal(roll.list[i], &how, &done, &err);
    }
    om_roll_drop(db, &roll);
    if (status == OMEN_OK && atomic_load(&db->disk->dropped)) {
        status = om_checkpoint_settle(db, &err);
    } else if (status == OMEN_OK && om_checkpoint_wanted(db)) {
        status = om_checkpoint_write(db, &err);
    }
    if (status != OMEN_OK) {
        /* Nothing is lost: what is not in files is in the log. */
        om_log_write(&db->rt->log, OMEN_LOG_WARN, "engine", "%s: closed without a checkpoint: %s",
                     db->disk->folder.text, err.message);
    }
}

static void close_log(omen_db *db)
{
    om_disk *disk = db->disk;
    om_log_state state;
    omen_error err = {0};
    disk->log->ops->tail(disk->log, &state);
    if (state.state == OM_LOG_OPEN && state.durable < state.tail &&
        disk->log->ops->sync(disk->log, state.tail, &err) != OMEN_OK) {
        om_log_write(&db->rt->log, OMEN_LOG_ERROR, "engine", "%s: the log cannot be synced: %s",
                     disk->folder.text, err.message);
    }
    disk->log->ops->close(disk->log);
    disk->log = NULL;
}

void om_disk_close(omen_db *db)
{
    om_disk *disk = db->disk;
    if (disk == NULL) {
        return;
    }
    om_keeper_stop(db);
    uint32_t state = atomic_load(&disk->state);
    bool writable = state == OMEN_DB_WRITABLE || state == OMEN_DB_DISK_FULL;
    if (disk->ready && writable && disk->log != NULL) {
        seal_at_close(db);
    }
    if (disk->log != NULL) {
        om_disk_fail(db, OMEN_DB_OPENED_READ_ONLY, "it was closed");
        close_log(db);
    }
    om_io_close(&disk->lock);
}

void om_disk_free(omen_db *db)
{
    om_disk *disk = db->disk;
    if (disk == NULL) {
        return;
    }
    om_keeper_free(db);
    om_pending_drop(disk, db->rt, 0);
    om_serials_free(db);
    if (disk->files_mu_made) {
        om_mutex_destroy(&disk->files_mu);
    }
    if (disk->keep_mu_made) {
        om_mutex_destroy(&disk->keep_mu);
    }
    db->disk = NULL;
    om_alloc_put(&db->rt->alloc, disk, sizeof *disk, _Alignof(om_disk));
}

/* ---- Calls ------------------------------------------------------------------------------------- */
omen_status_t om_db_checkpoint(omen_db *db, omen_op *op, omen_error *err)
{
    if (db->disk == NULL) {
        return OMEN_OK;
    }
    uint64_t rejections = om_rejections(db->rt);
    return om_explain_memory(db->rt, rejections, om_checkpoint_all(db, op, err), err);
}

omen_status_t om_db_refresh(omen_db *db, uint32_t *changed, omen_error *err)
{
    uint32_t moved = 0;
    uint64_t rejections = om_rejections(db->rt);
    omen_status_t status = OMEN_OK;
    if (db->disk != NULL && (db->disk->options.flags & OMEN_DB_READ_ONLY) != 0) {
        status = om_disk_refresh(db, &moved, err);
    }
    if (status == OMEN_OK && changed != NULL) {
        *changed = moved;
    }
    return om_explain_memory(db->rt, rejections, status, err);
}
