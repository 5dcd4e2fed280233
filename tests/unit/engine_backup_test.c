/* engine_backup_test.c - backups under writes, restored and verified; damage; bad calls.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backupfile.h"
#include "engine_journal.h"
#include "io.h"

enum { SEAL_ROWS = 300, PATH = 512 };
static const om_alloc libc_alloc;
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
    omen_backup_result read = {.struct_size = sizeof read};
    fx_ok(omen_verify(at("b"), NULL, &read, &err), &err, "verify", __FILE__, __LINE__);
    assert_int_equal(read.files, result.files);
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

/* ---- A database that is no backup --------------------------------------------------------------- */
static void flip_and_verify(const char *file, size_t byte)
{
    size_t size = 0;
    omen_error err = {0};
    uint8_t *bytes = fx_read(file, &size);
    assert_true(byte < size);
    bytes[byte] ^= 8;
    rewrite(file, bytes, size);
    omen_status_t status = omen_verify(at("db"), NULL, NULL, &err);
    if (status != OMEN_DATA_LOSS) {
        fail_msg("%s, byte %zu: status %d", file, byte, status);
    }
    bytes[byte] ^= 8;
    rewrite(file, bytes, size);
    free(bytes);
}

/* Flips in headers and contents of every file below a folder; *kinds counts the files. */
static void verify_damaged(const char *folder, uint32_t kinds[4])
{
    char names[64][300];
    uint32_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "LOCK") != 0 &&
            strncmp(entry->d_name, "spare-", 6) != 0) {
            assert_true(count < 64);
            (void)snprintf(names[count++], sizeof names[0], "%s", entry->d_name);
        }
    }
    closedir(dir);
    for (uint32_t i = 0; i < count; i++) {
        char path[PATH];
        struct stat info;
        (void)snprintf(path, sizeof path, "%s/%.255s", folder, names[i]);
        assert_int_equal(stat(path, &info), 0);
        if (S_ISDIR(info.st_mode)) {
            verify_damaged(path, kinds);
            continue;
        }
        bool paged = strstr(path, ".seg") != NULL || strstr(path, ".del") != NULL ||
                     strstr(path, ".wal") != NULL;
        kinds[strstr(path, ".seg") ? 0 : strstr(path, ".del") ? 1 : strstr(path, ".wal") ? 2 : 3]++;
        flip_and_verify(path, 9);
        flip_and_verify(path, paged ? 4100 : 70);
        flip_and_verify(path, strstr(path, ".wal") ? 4150 : (size_t)info.st_size - 1);
    }
}

/* All three manifests, what only older ones name, and the whole log. */
static void test_verify_database(void **unused)
{
    (void)unused;
    journal *j = new_journal();
    omen_error err = {0};
    omen_collection *c = NULL;
    omen_backup_result result = {.struct_size = sizeof result};
    omen_db *db = open_db(at("db"), 0);
    uint32_t kinds[4] = {0};
    fx_ok(journal_create(db, &c, &err), &err, "create", __FILE__, __LINE__);
    for (int i = 0; i < 3; i++) {
        write_batches(j, c, 12);
        fx_ok(omen_checkpoint(db, NULL, &err), &err, "checkpoint", __FILE__, __LINE__);
    }
    write_batches(j, c, 5);
    omen_collection_free(c);
    omen_db_free(db);
    fx_ok(omen_verify(at("db"), NULL, &result, &err), &err, "verify", __FILE__, __LINE__);
    assert_true(result.version >= j->version[40] && result.files >= 4 && result.bytes != 0);
    verify_damaged(at("db"), kinds);
    assert_true(kinds[0] >= 1 && kinds[1] >= 1 && kinds[2] >= 1 && kinds[3] >= 4);
    assert_int_equal(check_path(j, at("db"), UINT64_MAX), 41); /* as it was */
    free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_under_writes, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_incremental, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_empty, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_bad_calls, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_damage, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_verify_database, make_root, remove_root),
    };
    return cmocka_run_group_tests_name("engine backup", tests, NULL, NULL);
}
