/* service_operations_test.c - the table of operations and the one of listings, with a clock of their own; and
 * names of backups that want to be elsewhere.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#include "backup_list.h"
#include "listings.h"
#include "operations.h"

#define SECOND UINT64_C(1000000000)

static omen_db *db;
static om_access *access_;
static const om_principal *anybody;
static om_rt_shared shared;
static om_operation_request checkpoint = {.kind = OM_OPERATION_CHECKPOINT, .name = "", .other = ""};
static _Atomic uint64_t now = 5 * SECOND;
static char folder[64];

static uint64_t fake_now(void)
{
    return atomic_load(&now);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/service_operations.XXXXXX");
    shared.opt.db = NULL;
    (void)snprintf(shared.epoch, sizeof shared.epoch, "epoch");
    if (mkdtemp(folder) == NULL || omen_db_open(NULL, NULL, &db, NULL) != OMEN_OK) {
        return -1;
    }
    shared.opt.db = db;
    om_access_options nothing = {.catalog = NULL};
    char why[256];
    access_ = om_access_create(&nothing, why, sizeof why);
    if (access_ == NULL) {
        return -1;
    }
    anybody = om_access_anonymous(access_);
    checkpoint.who = anybody;
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    omen_db_free(db);
    om_principal_release(anybody);
    om_access_free(access_);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void names_are_single_and_plain(void **state)
{
    static const char *const good[] = {"a", "Monday", "2026-11-20T10_00.full", "0"};
    static const char *const bad[] = {"",          ".",    "..",       ".a",  "-a",
                                      "_a",        "a/b",  "a b",      "a\n", "/etc",
                                      "a.partial", "a\\b", "\xc3\xa4", "a:b", "a*"};
    char longest[80];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(om_backup_name_ok(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(om_backup_name_ok(bad[i]));
    }
    memset(longest, 'x', sizeof longest);
    longest[OM_BACKUP_NAME] = '\0';
    assert_true(om_backup_name_ok(longest));
    longest[OM_BACKUP_NAME] = 'x';
    longest[OM_BACKUP_NAME + 1] = '\0';
    assert_false(om_backup_name_ok(longest));
}

static void paths_stay_in_the_folder(void **state)
{
    char path[256], wanted[128], outside[128];
    om_failure f;
    (void)state;
    om_backup_place p = {folder, "name", "there", true};
    assert_false(om_backup_path(&p, path, sizeof path, &f));
    assert_int_equal(f.code, OMEN_NOT_FOUND);
    assert_string_equal(f.reason, "BACKUP_NOT_FOUND");
    p.exists = false;
    assert_true(om_backup_path(&p, path, sizeof path, &f));
    (void)snprintf(wanted, sizeof wanted, "%s/there", folder);
    assert_string_equal(path, wanted);
    assert_int_equal(mkdir(wanted, 0700), 0);
    assert_false(om_backup_path(&p, path, sizeof path, &f));
    assert_int_equal(f.code, OMEN_ALREADY_EXISTS);
    p.exists = true;
    assert_true(om_backup_path(&p, path, sizeof path, &f));
    /* A link is no backup, wherever it leads; nor is a file. */
    (void)snprintf(outside, sizeof outside, "%s/link", folder);
    assert_int_equal(symlink("/", outside), 0);
    p.name = "link";
    assert_false(om_backup_path(&p, path, sizeof path, &f));
    assert_int_equal(f.code, OMEN_NOT_FOUND);
    p.exists = false;
    assert_false(om_backup_path(&p, path, sizeof path, &f));
    assert_int_equal(f.code, OMEN_ALREADY_EXISTS);
    p.name = "../there";
    assert_false(om_backup_path(&p, path, sizeof path, &f));
    assert_int_equal(f.code, OMEN_INVALID_ARGUMENT);
    assert_string_equal(f.field, "name");
    p.folder = NULL;
    assert_false(om_backup_path(&p, path, sizeof path, &f));
    assert_string_equal(f.reason, "NO_BACKUP_DIR");
    assert_int_equal(f.code, OMEN_FAILED_PRECONDITION);
}

/* ---- The list ---------------------------------------------------------------------------------------- */

/* Below the folder; with a text it is a file, otherwise a folder. */
static void make(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (text == NULL) {
        assert_int_equal(mkdir(path, 0700), 0);
        return;
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static bool is_there(const char *name)
{
    char path[256];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return lstat(path, &st) == 0;
}

static void set_time(const char *name, time_t seconds)
{
    char path[256];
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds, .tv_nsec = 5000000}};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_backup(const char *name, time_t seconds)
{
    char path[128];
    make(name, NULL);
    (void)snprintf(path, sizeof path, "%s/wal", name);
    make(path, NULL);
    (void)snprintf(path, sizeof path, "%s/wal/1.wal", name);
    make(path, "123456");
    (void)snprintf(path, sizeof path, "%s/BACKUP", name);
    make(path, "list");
    set_time(path, seconds);
}

static void backups_are_told_newest_first(void **state)
{
    om_backup_entry *all = NULL;
    size_t count = 7;
    om_failure f;
    (void)state;
    assert_true(om_backup_list(folder, "n-", &all, &count, &f));
    assert_int_equal(count, 0);
    free(all);
    assert_int_equal(om_backup_newest_ms(folder), 0);
    make_backup("n-2", 200);
    make_backup("n-3", 300);
    make_backup("n-1", 100);
    make_backup("other", 400);
    make("n-restored", NULL); /* a database, but no backup */
    make("n-file", "x");
    make("n-4.partial", NULL);
    make("n-4.partial/BACKUP", "x");
    make(".n-5", NULL);
    make(".n-5/BACKUP", "x");
    assert_true(om_backup_list(folder, "n-", &all, &count, &f));
    assert_int_equal(count, 3);
    assert_string_equal(all[0].name, "n-3");
    assert_string_equal(all[1].name, "n-2");
    assert_string_equal(all[2].name, "n-1");
    assert_int_equal(all[2].created_ms, 100005);
    assert_int_equal(all[2].files, 2);
    assert_int_equal(all[2].bytes, 10);
    free(all);
    assert_true(om_backup_list(folder, "", &all, &count, &f));
    assert_int_equal(count, 4);
    assert_string_equal(all[0].name, "other");
    free(all);
    assert_int_equal(om_backup_newest_ms(folder), 400005);
    assert_int_equal(om_backup_newest_ms(NULL), 0);
    assert_int_equal(om_backup_newest_ms("/nowhere/at/all"), 0);
    assert_false(om_backup_list(NULL, "", &all, &count, &f));
    assert_string_equal(f.reason, "NO_BACKUP_DIR");
    assert_false(om_backup_list("/nowhere/at/all", "", &all, &count, &f));
    assert_string_equal(f.reason, "IO");
}

static void only_backups_are_removed(void **state)
{
    static const char *const none[] = {"n-restored", "n-file", "n-4.partial", ".n-5",
                                       "..",         ".",      "n-2/wal",     "gone",
                                       "",           "to-2",   "/tmp"};
    char path[128];
    om_failure f;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/to-2", folder);
    assert_int_equal(symlink("n-2", path), 0);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_false(om_backup_remove(folder, none[i], &f));
        assert_string_equal(f.reason, "BACKUP_NOT_FOUND");
    }
    /* A link in it is removed, not followed; what a killed removal left goes too. */
    (void)snprintf(path, sizeof path, "%s/n-2/out", folder);
    assert_int_equal(symlink("../other", path), 0);
    make(".deleted-n-9", NULL);
    make(".deleted-n-9/half", "x");
    assert_true(om_backup_remove(folder, "n-2", &f));
    assert_false(is_there("n-2"));
    assert_false(is_there(".deleted-n-2"));
    assert_false(is_there(".deleted-n-9"));
    assert_true(is_there("other/wal/1.wal"));
    assert_true(is_there("n-1/BACKUP") && is_there("n-3/BACKUP") && is_there("n-file"));
    assert_true(is_there("n-4.partial/BACKUP") && is_there(".n-5/BACKUP"));
    assert_false(om_backup_remove(folder, "n-2", &f));
    assert_int_equal(f.code, OMEN_NOT_FOUND);
    assert_false(om_backup_remove(NULL, "n-1", &f));
    assert_string_equal(f.reason, "NO_BACKUP_DIR");
}

/* ---- Operations -------------------------------------------------------------------------------------- */

static void pause_a_little(void)
{
    struct timespec t = {0, 1000000};
    (void)nanosleep(&t, NULL);
}

static om_operation_view wait_for(om_operations *ops, const char *id)
{
    om_operation_view v;
    om_failure f;
    for (;;) {
        assert_true(om_operations_get(ops, anybody, id, &v, &f));
        if (om_operation_ended(&v)) {
            return v;
        }
        pause_a_little();
    }
}

static om_operation_view start(om_operations *ops, const om_operation_request *q)
{
    om_operation_view v;
    om_failure f;
    if (!om_operations_start(ops, q, &v, &f)) {
        fail_msg("%s", f.message);
    }
    return v;
}

static void operations_run_and_are_forgotten_after_an_hour(void **state)
{
    om_failure f;
    (void)state;
    om_operations *ops = om_operations_create(&shared, fake_now);
    assert_non_null(ops);
    om_operation_view v = start(ops, &checkpoint);
    char id[sizeof v.id];
    memcpy(id, v.id, sizeof id);
    assert_string_equal(id, "epoch-1");
    v = wait_for(ops, id);
    assert_true(v.started_ms > 0 && v.ended_ms >= v.started_ms);
    assert_true(om_operations_cancel(ops, anybody, id, &v, &f)); /* it has ended: nothing changes */
    uint32_t ended_as = v.state;
    atomic_fetch_add(&now, OM_OPERATIONS_KEPT_S * SECOND);
    assert_true(om_operations_get(ops, anybody, id, &v, &f));
    assert_int_equal(v.state, ended_as);
    atomic_fetch_add(&now, 1);
    assert_false(om_operations_get(ops, anybody, id, &v, &f));
    assert_int_equal(f.code, OMEN_NOT_FOUND);
    assert_string_equal(f.reason, "OPERATION_NOT_FOUND");
    assert_false(om_operations_cancel(ops, anybody, id, &v, &f));
    om_operation_view *all = calloc(OM_OPERATIONS_MAX, sizeof *all);
    assert_int_equal(om_operations_list(ops, anybody, all), 0);
    free(all);
    om_operations_free(ops);
}

static void the_table_is_bounded_and_newest_first(void **state)
{
    (void)state;
    om_operations *ops = om_operations_create(&shared, fake_now);
    om_operation_view *all = calloc(OM_OPERATIONS_MAX, sizeof *all);
    char id[40];
    for (int i = 0; i < OM_OPERATIONS_MAX + 6; i++) {
        om_operation_view v = start(ops, &checkpoint);
        (void)wait_for(ops, v.id);
        atomic_fetch_add(&now, 1);
    }
    assert_int_equal(om_operations_list(ops, anybody, all), OM_OPERATIONS_MAX);
    for (int i = 0; i < OM_OPERATIONS_MAX; i++) {
        (void)snprintf(id, sizeof id, "epoch-%d", OM_OPERATIONS_MAX + 6 - i);
        assert_string_equal(all[i].id, id);
    }
    free(all);
    om_operations_free(ops);
}

static void failures_are_told(void **state)
{
    (void)state;
    shared.opt.backup_dir = folder;
    om_operations *ops = om_operations_create(&shared, fake_now);
    om_operation_request q = {
        .who = anybody, .kind = OM_OPERATION_VERIFY, .name = "there", .other = ""};
    om_operation_view v = start(ops, &q); /* an empty folder is no database */
    v = wait_for(ops, v.id);
    assert_int_equal(v.state, OM_OPERATION_FAILED);
    assert_true(v.error.code != 0 && v.error.reason[0] != '\0' && v.error.message[0] != '\0');
    assert_string_equal(v.target, "there");
    om_failure f;
    q.name = "nowhere";
    assert_false(om_operations_start(ops, &q, &v, &f));
    assert_int_equal(f.code, OMEN_NOT_FOUND);
    q = (om_operation_request){
        .who = anybody, .kind = OM_OPERATION_RESTORE, .name = "there", .other = "there"};
    assert_false(om_operations_start(ops, &q, &v, &f));
    assert_int_equal(f.code, OMEN_ALREADY_EXISTS);
    assert_string_equal(f.field, "to");
    q = (om_operation_request){
        .who = anybody, .kind = OM_OPERATION_BACKUP, .name = "new", .other = "missing"};
    assert_false(om_operations_start(ops, &q, &v, &f));
    assert_string_equal(f.field, "previous");
    om_operations_stop(ops);
    assert_false(om_operations_start(ops, &checkpoint, &v, &f));
    assert_int_equal(f.code, OMEN_UNAVAILABLE);
    om_operations_free(ops);
    shared.opt.backup_dir = NULL;
}

/* ---- Listings -------------------------------------------------------------------------------- */

static om_cursor open_cursor(om_colls *colls)
{
    om_cursor c = {.version = 7};
    assert_int_equal(om_colls_get(colls, "list", &c.coll, NULL), OMEN_OK);
    assert_int_equal(omen_snapshot(c.coll->handle, &c.snapshot, NULL), OMEN_OK);
    return c;
}

static void listings_are_bounded_and_end(void **state)
{
    omen_options opt = {.struct_size = sizeof opt, .dim = 2};
    omen_collection *handle = NULL;
    (void)state;
    assert_int_equal(omen_create(db, "list", &opt, &handle, NULL), OMEN_OK);
    om_colls *colls = om_colls_create(db, NULL);
    om_cursors *cursors = om_cursors_create(fake_now);
    om_cursor c[OM_CURSORS_MAX + 1];
    om_cursor got;
    for (int i = 0; i < OM_CURSORS_MAX; i++) {
        c[i] = open_cursor(colls);
        assert_true(om_cursors_add(cursors, anybody, &c[i]));
        atomic_fetch_add(&now, 1);
    }
    /* All are in use: there is no place for another one. */
    c[OM_CURSORS_MAX] = open_cursor(colls);
    assert_false(om_cursors_add(cursors, anybody, &c[OM_CURSORS_MAX]));
    for (int i = 0; i < OM_CURSORS_MAX; i++) {
        om_cursors_give(cursors, c[i].id, i == 5);
    }
    assert_false(om_cursors_take(cursors, anybody, c[5].id, &got)); /* it had ended */
    assert_false(om_cursors_take(cursors, anybody, 0, &got));
    assert_true(om_cursors_take(cursors, anybody, c[0].id, &got));
    assert_int_equal(got.version, 7);
    assert_ptr_equal(got.coll, c[0].coll);
    /* The one that was unused longest makes place, not the one in use. */
    for (int i = 0; i < 2; i++) {
        om_cursor more = open_cursor(colls);
        assert_true(om_cursors_add(cursors, anybody, &more));
        om_cursors_give(cursors, more.id, false);
    }
    assert_false(om_cursors_take(cursors, anybody, c[1].id, &got));
    om_cursors_give(cursors, c[0].id, false);
    atomic_fetch_add(&now, OM_CURSORS_IDLE_S * SECOND);
    om_cursors_sweep(cursors);
    assert_true(om_cursors_take(cursors, anybody, c[0].id, &got));
    atomic_fetch_add(&now, OM_CURSORS_IDLE_S * SECOND + 1);
    om_cursors_sweep(cursors); /* c[0] is in use, the rest goes */
    assert_false(om_cursors_take(cursors, anybody, c[2].id, &got));
    om_cursors_give(cursors, c[0].id, false);
    assert_true(om_cursors_take(cursors, anybody, c[0].id, &got));
    om_cursors_give(cursors, c[0].id, true);
    om_cursors_sweep(NULL);
    om_cursors_free(cursors);
    om_colls_free(colls);
    omen_collection_free(handle);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

typedef struct waiter {
    om_operation_waiter base; /* first */
    sem_t woken;
} waiter;

static void wake(om_operation_waiter *w)
{
    assert_int_equal(sem_post(&((waiter *)(void *)w)->woken), 0);
}

/* The end of an operation wakes who waits, long before his time is over; who has left is left alone. */
static void the_end_wakes_who_waits(void **state)
{
    om_operation_view v;
    om_failure f;
    waiter w = {.base = {.wake = wake, .until_ns = UINT64_MAX}};
    waiter gone = w;
    waiter timed = {.base = {.wake = wake, .until_ns = om_pool_now_ns() + 1}};
    (void)state;
    om_operations *ops = om_operations_create(&shared, fake_now);
    assert_non_null(ops);
    sem_init(&w.woken, 0, 0);
    sem_init(&gone.woken, 0, 0);
    sem_init(&timed.woken, 0, 0);
    om_operations_wait(ops, &w.base);
    om_operations_wait(ops, &gone.base);
    om_operations_wait(ops, &timed.base);
    assert_int_equal(sem_wait(&timed.woken), 0); /* nothing has ended */
    int early = 0;
    assert_int_equal(sem_getvalue(&w.woken, &early), 0);
    assert_int_equal(early, 0);
    assert_true(om_operations_leave(ops, &gone.base));
    assert_false(om_operations_leave(ops, &gone.base));
    assert_true(om_operations_start(ops, &checkpoint, &v, &f));
    assert_int_equal(sem_wait(&w.woken), 0);
    assert_true(om_operations_get(ops, anybody, v.id, &v, &f));
    assert_true(om_operation_ended(&v));
    assert_int_equal(sem_getvalue(&gone.woken, &early), 0);
    assert_int_equal(early, 0);
    assert_true(om_operations_leave(ops, &timed.base));
    assert_true(om_operations_leave(ops, &w.base));
    om_operations_free(ops);
    sem_destroy(&w.woken);
    sem_destroy(&gone.woken);
    sem_destroy(&timed.woken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_single_and_plain),
        cmocka_unit_test(paths_stay_in_the_folder),
        cmocka_unit_test(backups_are_told_newest_first),
        cmocka_unit_test(only_backups_are_removed),
        cmocka_unit_test(operations_run_and_are_forgotten_after_an_hour),
        cmocka_unit_test(the_table_is_bounded_and_newest_first),
        cmocka_unit_test(the_end_wakes_who_waits),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(listings_are_bounded_and_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
