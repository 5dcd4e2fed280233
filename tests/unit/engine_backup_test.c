/* engine_backup_test.c - backups under writes, restored and verified; damage; bad calls; failing disks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backupfile.h"
#include "engine_journal.h"
#include "io.h"
#include "manifest.h"
#include "sim_disk.h"

enum { SEAL_ROWS = 300, PATH = 512 };
static const om_alloc libc_alloc;
static const sim_fault no_fault;
static char root[64];

static int make_root(void **unused)
{
    (void)unused;
    (void)snprintf(root, sizeof root, "backup-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        (void)unlink(path);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char below[PATH];
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
            remove_tree(below);
        }
    }
    closedir(folder);
    (void)rmdir(path);
}

static int remove_root(void **unused)
{
    (void)unused;
    remove_tree(root);
    return 0;
}

static const char *at(const char *name)
{
    static char paths[8][PATH];
    static int next;
    char *out = paths[next++ % 8];
    (void)snprintf(out, PATH, "%s/%s", root, name);
    return out;
}

static bool is_there(const char *name)
{
    struct stat info;
    return stat(at(name), &info) == 0;
}

static omen_db *open_db(const char *path, uint32_t flags)
{
    omen_db *db = NULL;
    omen_error err = {0};
    const omen_db_options options = {
        .struct_size = sizeof options, .flags = flags, .seal_rows = SEAL_ROWS};
    fx_ok(omen_db_open(path, &options, &db, &err), &err, "omen_db_open", __FILE__, __LINE__);
    return db;
}

static journal *new_journal(void)
{
    journal *j = calloc(1, sizeof *j);
    assert_non_null(j);
    return j;
}

static void write_batches(journal *j, omen_collection *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        omen_error err = {0};
        fx_ok(journal_write(j, c, &err), &err, "write", __FILE__, __LINE__);
    }
}

static void backup(omen_db *db, const char *name, const char *previous, uint32_t flags,
                   omen_backup_result *out)
{
    omen_error err = {0};
    *out = (omen_backup_result){.struct_size = sizeof *out};
    const omen_backup_options options = {
        .struct_size = sizeof options, .flags = flags, .previous = previous};
    fx_ok(omen_backup(db, at(name), &options, out, &err), &err, "omen_backup", __FILE__, __LINE__);
    assert_false(is_there("b.partial"));
}

static void expect(omen_status_t got, omen_status_t want, const omen_error *err, const char *text)
{
    if (got != want || strstr(err->message, text) == NULL) {
        fail_msg("status %d (%s), expected %d and '%s'", got, got == OMEN_OK ? "" : err->message,
                 want, text);
    }
}

static uint32_t check_path(const journal *j, const char *path, uint64_t version)
{
    omen_error err = {0};
    omen_backup_result seen = {.struct_size = sizeof seen};
    fx_ok(omen_verify(path, NULL, &seen, &err), &err, "omen_verify", __FILE__, __LINE__);
    assert_true(version == UINT64_MAX || seen.version == version);
    omen_db *db = open_db(path, OMEN_DB_READ_ONLY);
    uint32_t batches = journal_check(j, db, version);
    omen_db_free(db);
    return batches;
}

/* The backup itself, opened for reading, and what is restored from it, which can be written to. */
static uint32_t check_backup(const journal *j, const char *name, uint64_t version)
{
    omen_error err = {0};
    omen_backup_result result = {.struct_size = sizeof result};
    uint32_t batches = check_path(j, at(name), version);
    fx_ok(omen_restore(at(name), at("restored"), NULL, &result, &err), &err, "omen_restore",
          __FILE__, __LINE__);
    assert_int_equal(result.version, version);
    assert_int_equal(result.bytes, result.bytes_copied);
    assert_int_equal(result.files_linked, 0);
    assert_int_equal(check_path(j, at("restored"), version), batches);
    omen_db *db = open_db(at("restored"), 0);
    assert_int_equal(journal_check(j, db, version), batches);
    journal *own = new_journal();
    memcpy(own->version, j->version, sizeof own->version);
    atomic_store(&own->written, batches);
    omen_collection *c = NULL;
    fx_ok(omen_open(db, "journal", NULL, &c, &err), &err, "omen_open", __FILE__, __LINE__);
    write_batches(own, c, 7);
    omen_collection_free(c);
    omen_db_free(db);
    db = open_db(at("restored"), 0);
    assert_int_equal(journal_check(own, db, UINT64_MAX), batches + 7);
    omen_db_free(db);
    free(own);
    remove_tree(at("restored"));
    return batches;
}

/* ---- Backups of a database that is written to -------------------------------------------------- */
typedef struct writer {
    journal *j;
    omen_collection *c;
    _Atomic bool stop;
    _Atomic omen_status_t status;
    omen_error err;
} writer;

static void *keep_writing(void *arg)
{
    writer *w = arg;
    while (!atomic_load(&w->stop) && w->status == OMEN_OK &&
           atomic_load(&w->j->written) < JOURNAL_MAX) {
        w->status = journal_write(w->j, w->c, &w->err);
    }
    return NULL;
}

static void *keep_checkpointing(void *arg)
{
    writer *w = arg;
    omen_db *db = (omen_db *)(void *)w->c;
    while (!atomic_load(&w->stop) && w->status == OMEN_OK) {
        w->status = omen_checkpoint(db, NULL, &w->err);
    }
    return NULL;
}

static void test_under_writes(void **unused)
{
    (void)unused;
    enum { BACKUPS = 6 };
    journal *j = new_journal();
    writer w = {.j = j}, keeper = {.j = j};
    omen_db *db = open_db(at("db"), 0);
    omen_error err = {0};
    pthread_t threads[2];
    fx_ok(journal_create(db, &w.c, &err), &err, "create", __FILE__, __LINE__);
    keeper.c = (omen_collection *)(void *)db;
    assert_int_equal(pthread_create(&threads[0], NULL, keep_writing, &w), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, keep_checkpointing, &keeper), 0);
    uint64_t versions[BACKUPS];
    uint32_t acked[BACKUPS];
    char names[BACKUPS][16];
    for (int i = 0; i < BACKUPS; i++) {
        omen_backup_result result;
        (void)snprintf(names[i], sizeof names[i], "b%d", i);
        while (atomic_load(&j->written) < (uint32_t)(i + 1) * 60) {
            assert_int_equal(w.status, OMEN_OK);
        }
        acked[i] = atomic_load(&j->written);
        /* Copies, links, and links to the one before, in turn. */
        const char *previous = i % 3 == 2 ? at(names[i - 1]) : NULL;
        backup(db, names[i], previous, i % 3 == 0 ? OMEN_BACKUP_COPY : 0, &result);
        versions[i] = result.version;
        assert_int_equal(result.files_linked == 0, i % 3 == 0 || result.files_linked == 0);
    }
    atomic_store(&w.stop, true);
    atomic_store(&keeper.stop, true);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    fx_ok(w.status, &w.err, "write", __FILE__, __LINE__);
    fx_ok(keeper.status, &keeper.err, "checkpoint", __FILE__, __LINE__);
    assert_int_equal(journal_check(j, db, UINT64_MAX), atomic_load(&j->written));
    omen_collection_free(w.c);
    omen_db_free(db);
    assert_int_equal(check_path(j, at("db"), UINT64_MAX), atomic_load(&j->written));
    remove_tree(at("db"));
    for (int i = 0; i < BACKUPS; i++) {
        /* Everything that was acknowledged before it began, and batches as a whole. */
        assert_true(check_backup(j, names[i], versions[i]) >= acked[i]);
    }
    free(j);
}

/* ---- Incremental ------------------------------------------------------------------------------- */
static void test_incremental(void **unused)
{
    (void)unused;
    journal *j = new_journal();
    omen_backup_result first, second, third, copied;
    omen_error err = {0};
    omen_collection *c = NULL;
    omen_db *db = open_db(at("db"), 0);
    fx_ok(journal_create(db, &c, &err), &err, "create", __FILE__, __LINE__);
    write_batches(j, c, 100);
    fx_ok(omen_checkpoint(db, NULL, &err), &err, "checkpoint", __FILE__, __LINE__);
    backup(db, "first", NULL, OMEN_BACKUP_COPY, &first);
    assert_int_equal(first.files_linked, 0);
    assert_int_equal(first.bytes_copied, first.bytes);
    backup(db, "second", at("first"), OMEN_BACKUP_COPY, &second);
    assert_true(second.files_linked >= 1);
    assert_true(second.bytes_copied < second.bytes);
    write_batches(j, c, 30);
    backup(db, "third", at("second"), 0, &third);
    assert_true(third.files_linked >= 1);
    assert_true(third.version > second.version);
    /* Without links: all of it is copied. */
    backup(db, "copied", NULL, OMEN_BACKUP_COPY, &copied);
    assert_int_equal(copied.files_linked, 0);
    /* Each stands for itself. */
    omen_collection_free(c);
    omen_db_free(db);
    remove_tree(at("db"));
    assert_int_equal(check_backup(j, "first", first.version), 100);
    remove_tree(at("first"));
    assert_int_equal(check_backup(j, "second", second.version), 100);
    remove_tree(at("second"));
    assert_int_equal(check_backup(j, "third", third.version), 130);
    assert_int_equal(check_backup(j, "copied", copied.version), 130);
    free(j);
}

static void test_empty(void **unused)
{
    (void)unused;
    omen_error err = {0};
    omen_backup_result result;
    omen_db *db = open_db(at("db"), 0);
    backup(db, "b", NULL, 0, &result);
    assert_int_equal(result.files, 1);
    omen_db_free(db);
    fx_ok(omen_verify(at("b"), NULL, NULL, &err), &err, "verify", __FILE__, __LINE__);
    fx_ok(omen_restore(at("b"), at("restored"), NULL, NULL, &err), &err, "restore", __FILE__,
          __LINE__);
    db = open_db(at("restored"), OMEN_DB_MUST_EXIST);
    omen_db_free(db);
}

/* ---- Bad calls --------------------------------------------------------------------------------- */
static omen_status_t try_backup(omen_db *db, const char *path, const char *previous,
                                omen_error *err)
{
    const omen_backup_options options = {.struct_size = sizeof options, .previous = previous};
    return omen_backup(db, path, &options, NULL, err);
}

static void test_bad_calls(void **unused)
{
    (void)unused;
    journal *j = new_journal();
    omen_error err = {0};
    omen_backup_result result;
    omen_collection *c = NULL;
    omen_db *db = open_db(at("db"), 0), *other = open_db(at("other"), 0), *memory = NULL;
    fx_ok(journal_create(db, &c, &err), &err, "create", __FILE__, __LINE__);
    write_batches(j, c, 20);
    backup(other, "of-other", NULL, 0, &result);
    backup(db, "b", NULL, 0, &result);
    expect(try_backup(db, at("b"), NULL, &err), OMEN_ALREADY_EXISTS, &err, "b: is there already");
    expect(try_backup(db, at("db/inside"), NULL, &err), OMEN_INVALID_ARGUMENT, &err,
           "lies inside of");
    expect(try_backup(db, at("none/b"), NULL, &err), OMEN_NOT_FOUND, &err, "none");
    expect(try_backup(db, "", NULL, &err), OMEN_INVALID_ARGUMENT, &err, "path");
    expect(try_backup(db, at("b2"), at("of-other"), &err), OMEN_FAILED_PRECONDITION, &err,
           "the previous backup is of another database");
    expect(try_backup(db, at("b2"), at("db"), &err), OMEN_NOT_FOUND, &err, "is no backup");
    assert_false(is_there("b2"));
    assert_false(is_there("b2.partial"));
    const omen_backup_options flags = {.struct_size = sizeof flags, .flags = 2};
    expect(omen_backup(db, at("b2"), &flags, NULL, &err), OMEN_INVALID_ARGUMENT, &err, "0x2");
    expect(omen_restore(at("b"), at("b2"), &flags, NULL, &err), OMEN_INVALID_ARGUMENT, &err, "0x2");
    expect(omen_verify(at("b"), &flags, NULL, &err), OMEN_INVALID_ARGUMENT, &err, "0x2");
    expect(omen_restore(at("db"), at("b2"), NULL, NULL, &err), OMEN_NOT_FOUND, &err,
           "db: is no backup");
    expect(omen_restore(at("none"), at("b2"), NULL, NULL, &err), OMEN_NOT_FOUND, &err,
           "is no backup");
    expect(omen_restore(at("b"), at("other"), NULL, NULL, &err), OMEN_ALREADY_EXISTS, &err,
           "other: is there already");
    expect(omen_restore(at("b"), at("b/inside"), NULL, NULL, &err), OMEN_INVALID_ARGUMENT, &err,
           "lies inside of");
    expect(omen_verify(at("db"), NULL, NULL, &err), OMEN_FAILED_PRECONDITION, &err, "locked");
    assert_int_equal(err.detail, OMEN_D_LOCKED);
    expect(omen_verify(at("none"), NULL, NULL, &err), OMEN_NOT_FOUND, &err, "is not there");
    expect(omen_verify(at("b/BACKUP"), NULL, NULL, &err), OMEN_INVALID_ARGUMENT, &err, "is a file");
    fx_ok(omen_db_open(NULL, NULL, &memory, &err), &err, "open", __FILE__, __LINE__);
    expect(try_backup(memory, at("b2"), NULL, &err), OMEN_FAILED_PRECONDITION, &err, "in memory");
    omen_db_free(memory);
    omen_db *reader = open_db(at("db"), OMEN_DB_READ_ONLY);
    expect(try_backup(reader, at("b2"), NULL, &err), OMEN_FAILED_PRECONDITION, &err, "reading");
    assert_int_equal(err.detail, OMEN_D_READ_ONLY);
    omen_db_free(reader);
    /* Cancelled before it begins to copy. */
    omen_op *op = NULL;
    fx_ok(omen_op_create(&op, &err), &err, "op", __FILE__, __LINE__);
    omen_op_cancel(op);
    const omen_backup_options cancelled = {.struct_size = sizeof cancelled, .op = op};
    expect(omen_backup(db, at("b2"), &cancelled, NULL, &err), OMEN_CANCELLED, &err, "cancelled");
    expect(omen_restore(at("b"), at("b2"), &cancelled, NULL, &err), OMEN_CANCELLED, &err,
           "cancelled");
    expect(omen_verify(at("b"), &cancelled, NULL, &err), OMEN_CANCELLED, &err, "cancelled");
    assert_false(is_there("b2"));
    assert_false(is_there("b2.partial"));
    omen_op_reset(op);
    fx_ok(omen_verify(at("b"), &cancelled, NULL, &err), &err, "verify", __FILE__, __LINE__);
    omen_progress progress;
    omen_op_progress(op, &progress);
    assert_true(progress.total != 0 && progress.done >= progress.total);
    omen_op_free(op);
    omen_collection_free(c);
    omen_db_free(db);
    omen_db_free(other);
    free(j);
}

/* ---- Damage ------------------------------------------------------------------------------------ */
static void rewrite(const char *path, const uint8_t *bytes, size_t size)
{
    assert_int_equal(unlink(path), 0); /* other links of the file keep what they have */
    fx_write(path, bytes, size);
}

static void expect_damage(const char *name, const char *file)
{
    omen_error err = {0};
    omen_status_t status = omen_verify(at(name), NULL, NULL, &err);
    if (status != OMEN_DATA_LOSS || strstr(err.message, file) == NULL) {
        fail_msg("verify, %s: status %d, %s", file, status, status == OMEN_OK ? "" : err.message);
    }
    status = omen_restore(at(name), at("restored"), NULL, NULL, &err);
    if (status != OMEN_DATA_LOSS || strstr(err.message, file) == NULL) {
        fail_msg("restore, %s: status %d, %s", file, status, status == OMEN_OK ? "" : err.message);
    }
    assert_false(is_there("restored"));
    assert_false(is_there("restored.partial"));
}

static void damage(const char *name, const char *file, fx_rng *rng)
{
    enum { FLIPS = 12 };
    char path[PATH];
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/%s", at(name), file);
    uint8_t *bytes = fx_read(path, &size);
    uint8_t *copy = malloc(size + 8);
    assert_non_null(copy);
    for (uint32_t i = 0; i < FLIPS; i++) {
        size_t byte = i == 0 ? 0 : i == 1 ? size - 1 : fx_next(rng) % size;
        memcpy(copy, bytes, size);
        copy[byte] ^= (uint8_t)(1u << fx_below(rng, 8));
        rewrite(path, copy, size);
        expect_damage(name, file);
    }
    memcpy(copy, bytes, size);
    copy[size] = 0;
    rewrite(path, copy, size + 1);
    expect_damage(name, file);
    rewrite(path, copy, size - 1);
    expect_damage(name, file);
    rewrite(path, copy, 0);
    expect_damage(name, file);
    assert_int_equal(unlink(path), 0);
    if (strcmp(file, OM_BACKUP_LIST) != 0) {
        expect_damage(name, file);
    }
    fx_write(path, bytes, size);
    free(copy);
    free(bytes);
}

static void test_damage(void **unused)
{
    (void)unused;
    journal *j = new_journal();
    omen_error err = {0};
    omen_backup_result result;
    omen_collection *c = NULL;
    fx_rng rng = {77};
    omen_db *db = open_db(at("db"), 0);
    fx_ok(journal_create(db, &c, &err), &err, "create", __FILE__, __LINE__);
    write_batches(j, c, 60);
    fx_ok(omen_checkpoint(db, NULL, &err), &err, "checkpoint", __FILE__, __LINE__);
    write_batches(j, c, 20);
    backup(db, "b", NULL, 0, &result);
    omen_collection_free(c);
    omen_db_free(db);
    om_backup_list list = {.count = 0};
    fx_ok(om_backup_list_read(&om_io_system, &libc_alloc, at("b"), &list, &err), &err, "list",
          __FILE__, __LINE__);
    bool kinds[5] = {false};
    for (uint32_t i = 0; i < list.count; i++) {
        const char *name = list.files[i].name;
        kinds[0] |= strstr(name, ".seg") != NULL;
        kinds[1] |= strstr(name, ".del") != NULL;
        kinds[2] |= strstr(name, ".wal") != NULL;
        kinds[3] |= strstr(name, "MANIFEST-") != NULL;
        kinds[4] |= strstr(name, "CURSORS-") != NULL;
        damage("b", name, &rng);
    }
    for (int i = 0; i < 5; i++) {
        assert_true(kinds[i]); /* nothing was left out */
    }
    damage("b", OM_BACKUP_LIST, &rng);
    om_backup_list_free(&libc_alloc, &list);
    assert_int_equal(check_backup(j, "b", result.version), 80); /* it is whole again */
    /* Somebody used it as a database. */
    db = open_db(at("b"), 0);
    fx_ok(omen_open(db, "journal", NULL, &c, &err), &err, "open", __FILE__, __LINE__);
    write_batches(j, c, 5);
    fx_ok(omen_checkpoint(db, NULL, &err), &err, "checkpoint", __FILE__, __LINE__);
    omen_collection_free(c);
    omen_db_free(db);
    expect(omen_verify(at("b"), NULL, NULL, &err), OMEN_DATA_LOSS, &err, "");
    free(j);
}

/* ---- Failing disks and memory ------------------------------------------------------------------ */
typedef struct simulated {
    sim_disk *disk;
    om_io io;
    omen_runtime *rt;
    omen_db *db;
    omen_collection *c;
    journal *j;
} simulated;

static void sim_begin(simulated *s, const omen_allocator *allocator)
{
    omen_error err = {0};
    omen_runtime_options runtime = {.struct_size = sizeof runtime, .threads = 1};
    if (allocator != NULL) {
        runtime.allocator = *allocator;
    }
    s->disk = sim_disk_create(NULL);
    s->io = sim_disk_io(s->disk);
    s->j = new_journal();
    fx_ok(omen_runtime_create(&runtime, &s->rt, &err), &err, "runtime", __FILE__, __LINE__);
    const omen_db_options options = {
        .struct_size = sizeof options, .runtime = s->rt, .warm = OMEN_WARM_NONE};
    fx_ok(om_db_open_io(&s->io, "/db", &options, &s->db, &err), &err, "open", __FILE__, __LINE__);
    fx_ok(journal_create(s->db, &s->c, &err), &err, "create", __FILE__, __LINE__);
    write_batches(s->j, s->c, 30);
    fx_ok(omen_checkpoint(s->db, NULL, &err), &err, "checkpoint", __FILE__, __LINE__);
    write_batches(s->j, s->c, 10);
}

static void sim_end(simulated *s)
{
    omen_collection_free(s->c);
    omen_db_free(s->db);
    omen_runtime_free(s->rt);
    sim_open open = sim_disk_open(s->disk);
    assert_int_equal(open.files, 0);
    assert_int_equal(open.mappings, 0);
    sim_disk_free(s->disk);
    free(s->j);
}

static bool sim_has(const simulated *s, const char *path)
{
    om_io_stat info;
    bool found = false;
    assert_int_equal(om_io_look(&s->io, path, &info, &found, NULL), OMEN_OK);
    return found;
}

static void sim_remove(const simulated *s, const char *path)
{
    om_backup_target target = {.io = &s->io, .alloc = &libc_alloc};
    char partial[PATH];
    (void)snprintf(partial, sizeof partial, "%s.partial", path);
    if (sim_has(s, path)) { /* as a leftover, which goes with the next try that is given up */
        assert_int_equal(om_io_rename(&s->io, path, partial, NULL), OMEN_OK);
    }
    assert_int_equal(om_backup_target_begin(&target, path, "/db", NULL), OMEN_OK);
    om_backup_target_end(&target);
    assert_false(sim_has(s, partial));
}

static void sim_check(simulated *s, const char *path, uint64_t version, uint32_t batches)
{
    omen_error err = {0};
    omen_db *db = NULL;
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s->rt};
    fx_ok(om_verify(&s->io, path, &how, NULL, &err), &err, "verify", __FILE__, __LINE__);
    const omen_db_options options = {.struct_size = sizeof options,
                                     .flags = OMEN_DB_READ_ONLY,
                                     .runtime = s->rt,
                                     .warm = OMEN_WARM_NONE};
    fx_ok(om_db_open_io(&s->io, path, &options, &db, &err), &err, "open", __FILE__, __LINE__);
    assert_int_equal(journal_check(s->j, db, version), batches);
    omen_db_free(db);
}

/* Every call of a backup fails once, then of a restore, then of a verification: a clear failure, no partial
 * folder, and the next try succeeds. */
static void test_failing_disk(void **unused)
{
    static const int errors[] = {EIO, ENOSPC};
    (void)unused;
    for (size_t e = 0; e < 2; e++) {
        simulated s;
        sim_begin(&s, NULL);
        const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
        uint64_t failures[3] = {0};
        for (int call = 0; call < 3; call++) {
            for (uint64_t nth = 1;; nth++) {
                omen_error err = {0};
                omen_backup_result result = {.struct_size = sizeof result};
                const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = errors[e]};
                sim_disk_fault(s.disk, &fault);
                omen_status_t status = call == 0 ? om_backup(s.db, "/b", &how, &result, &err)
                                       : call == 1
                                           ? om_restore(&s.io, "/b", "/r", &how, &result, &err)
                                           : om_verify(&s.io, "/b", &how, &result, &err);
                bool faulted = sim_disk_faulted(s.disk);
                sim_disk_fault(s.disk, &no_fault);
                if (status != OMEN_OK) {
                    failures[call]++;
                    assert_true(err.message[0] != '\0');
                    assert_true(status == OMEN_UNAVAILABLE || status == OMEN_RESOURCE_EXHAUSTED ||
                                status == OMEN_FAILED_PRECONDITION);
                }
                omen_db_stats stats = {.struct_size = sizeof stats};
                assert_int_equal(omen_get_db_stats(s.db, &stats, NULL), OMEN_OK);
                if (!faulted) {
                    assert_int_equal(status, OMEN_OK);
                    break;
                }
                if (call == 0 && stats.state == OMEN_DB_FAILED) {
                    /* The log's own sync failed: nothing is written until it is opened again. */
                    omen_collection_free(s.c);
                    omen_db_free(s.db);
                    const omen_db_options options = {
                        .struct_size = sizeof options, .runtime = s.rt, .warm = OMEN_WARM_NONE};
                    fx_ok(om_db_open_io(&s.io, "/db", &options, &s.db, &err), &err, "open",
                          __FILE__, __LINE__);
                    fx_ok(omen_open(s.db, "journal", NULL, &s.c, &err), &err, "open", __FILE__,
                          __LINE__);
                }
                if (call < 2) {
                    sim_remove(&s, call == 0 ? "/b" : "/r");
                }
            }
        }
        assert_true(failures[0] > 30 && failures[1] > 15 && failures[2] > 15);
        sim_check(&s, "/b", UINT64_MAX, 40);
        sim_check(&s, "/r", UINT64_MAX, 40);
        sim_end(&s);
    }
}

/* The disk has no room for a backup: it is told, nothing is left, and the database goes on. */
static void test_full_disk(void **unused)
{
    (void)unused;
    simulated s;
    sim_begin(&s, NULL);
    omen_error err = {0};
    omen_backup_result result = {.struct_size = sizeof result};
    const omen_backup_options copy = {
        .struct_size = sizeof copy, .flags = OMEN_BACKUP_COPY, .runtime = s.rt};
    fx_ok(om_backup(s.db, "/b", &copy, &result, &err), &err, "backup", __FILE__, __LINE__);
    sim_disk_limit(s.disk, sim_disk_used(s.disk) + 8192);
    assert_int_equal(om_restore(&s.io, "/b", "/r", &copy, NULL, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_DISK_FULL);
    assert_false(sim_has(&s, "/r"));
    assert_false(sim_has(&s, "/r.partial"));
    assert_int_equal(om_backup(s.db, "/b2", &copy, NULL, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_DISK_FULL);
    assert_false(sim_has(&s, "/b2"));
    assert_false(sim_has(&s, "/b2.partial"));
    sim_disk_limit(s.disk, 0);
    fx_ok(om_backup(s.db, "/b2", &copy, &result, &err), &err, "backup", __FILE__, __LINE__);
    fx_ok(om_restore(&s.io, "/b2", "/r", &copy, NULL, &err), &err, "restore", __FILE__, __LINE__);
    sim_check(&s, "/r", result.version, 40);
    assert_int_equal(journal_check(s.j, s.db, UINT64_MAX), 40);
    sim_end(&s);
}

/* A file system without hard links. */
static void test_without_links(void **unused)
{
    (void)unused;
    simulated s;
    sim_begin(&s, NULL);
    omen_error err = {0};
    omen_backup_result result = {.struct_size = sizeof result};
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
    const sim_fault never = {.call = SIM_LINK, .nth = 1, .for_ever = true, .error = EPERM};
    sim_disk_fault(s.disk, &never);
    fx_ok(om_backup(s.db, "/b", &how, &result, &err), &err, "backup", __FILE__, __LINE__);
    assert_int_equal(result.files_linked, 0);
    assert_int_equal(result.bytes_copied, result.bytes);
    const omen_backup_options more = {
        .struct_size = sizeof more, .runtime = s.rt, .previous = "/b"};
    fx_ok(om_backup(s.db, "/b2", &more, &result, &err), &err, "backup", __FILE__, __LINE__);
    assert_int_equal(result.files_linked, 0);
    sim_disk_fault(s.disk, &no_fault);
    fx_ok(om_backup(s.db, "/b3", &more, &result, &err), &err, "backup", __FILE__, __LINE__);
    assert_true(result.files_linked != 0);
    sim_check(&s, "/b", UINT64_MAX, 40);
    sim_check(&s, "/b2", UINT64_MAX, 40);
    sim_check(&s, "/b3", UINT64_MAX, 40);
    sim_end(&s);
}

/* Rot in a file of the database is found while it is backed up, and nothing is left behind. */
static void test_rotten_source(void **unused)
{
    (void)unused;
    simulated s;
    sim_begin(&s, NULL);
    omen_error err = {0};
    om_manifest m = {0};
    uint32_t skipped;
    om_path path;
    om_iofile file;
    uint8_t byte;
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
    assert_int_equal(om_manifest_load(&s.io, &libc_alloc, "/db", &m, &skipped, NULL), OMEN_OK);
    const om_manifest_segment *seg = &m.collections[0].segments[0];
    assert_int_equal(om_path_segment(&path, "/db", m.collections[0].serial, seg->id, NULL),
                     OMEN_OK);
    assert_int_equal(om_io_open(&s.io, path.text, OM_IO_WRITE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_read(&file, &byte, 1, 4100, NULL), OMEN_OK);
    byte ^= 16;
    assert_int_equal(om_io_write(&file, &byte, 1, 4100, NULL), OMEN_OK);
    om_io_close(&file);
    expect(om_backup(s.db, "/b", &how, NULL, &err), OMEN_DATA_LOSS, &err, "checksum");
    assert_non_null(strstr(err.message, ".seg"));
    assert_false(sim_has(&s, "/b.partial"));
    om_manifest_free(&libc_alloc, &m);
    sim_end(&s);
}

/* ---- Memory ------------------------------------------------------------------------------------ */
static _Atomic uint64_t allocations, fail_at, blocks;

static void *counted_get(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    uint64_t n = atomic_fetch_add(&allocations, 1) + 1;
    if (n == atomic_load(&fail_at)) {
        return NULL;
    }
    align = align < sizeof(void *) ? sizeof(void *) : align;
    void *block = aligned_alloc(align, (size + align - 1) / align * align);
    atomic_fetch_add(&blocks, block != NULL);
    return block;
}

static void counted_put(void *ctx, void *block, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    atomic_fetch_sub(&blocks, block != NULL);
    free(block);
}

static void test_without_memory(void **unused)
{
    static const omen_allocator allocator = {.alloc = counted_get, .free = counted_put};
    (void)unused;
    simulated s;
    sim_begin(&s, &allocator);
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
    for (int call = 0; call < 3; call++) {
        omen_status_t status = OMEN_INTERNAL;
        for (uint64_t nth = 1; status != OMEN_OK; nth++) {
            omen_error err = {0};
            atomic_store(&fail_at, atomic_load(&allocations) + nth);
            status = call == 0   ? om_backup(s.db, "/b", &how, NULL, &err)
                     : call == 1 ? om_restore(&s.io, "/b", "/r", &how, NULL, &err)
                                 : om_verify(&s.io, "/b", &how, NULL, &err);
            atomic_store(&fail_at, 0);
            if (status != OMEN_OK) {
                assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
                assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
                assert_true(call == 2 || !sim_has(&s, call == 0 ? "/b" : "/r"));
                if (call < 2) {
                    sim_remove(&s, call == 0 ? "/b" : "/r");
                }
            }
        }
    }
    sim_check(&s, "/r", UINT64_MAX, 40);
    sim_end(&s);
    assert_int_equal(atomic_load(&blocks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_under_writes, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_incremental, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_empty, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_bad_calls, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_damage, make_root, remove_root),
        cmocka_unit_test(test_failing_disk),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_without_links),
        cmocka_unit_test(test_rotten_source),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests_name("engine backup", tests, NULL, NULL);
}
