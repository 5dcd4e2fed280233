/* catalog.c - the SQLite file of keys, tenants and owners of collections. It is read once at the
 * start; afterwards only changes are written, each on disk before it counts. One process has it at
 * a time. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access_int.h"

enum { APPLICATION = 0x4f4d4143, VERSION = 1, MAX_VALUE = 1 << 20 };

struct om_catalog {
    sqlite3 *db;
};

static const char schema[] =
    "CREATE TABLE tenants(name TEXT PRIMARY KEY NOT NULL, max_rows INTEGER NOT NULL,"
    " max_bytes INTEGER NOT NULL, calls INTEGER NOT NULL, concurrent INTEGER NOT NULL,"
    " streams INTEGER NOT NULL, weight INTEGER NOT NULL) STRICT;"
    "CREATE TABLE keys(number INTEGER PRIMARY KEY NOT NULL, id TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL, tenant TEXT NOT NULL, certificate TEXT NOT NULL, hash BLOB NOT NULL,"
    " grants TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " revoked INTEGER NOT NULL, last_used INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX keys_name ON keys(name) WHERE revoked = 0;"
    "CREATE TABLE collections(name TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL) STRICT;";

/* ---- The file -------------------------------------------------------------------------------- */

/* Made with no rights for others, and ours: who else could write it could make keys. */
static bool check_file(const char *path, int make, char *error, size_t size)
{
    struct stat st;
    int fd = open(path, O_RDWR | make | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    const char *why = NULL;
    if (fd < 0) {
        (void)snprintf(error, size, "%.200s: %s: its folder must be there and writable", path,
                       strerror(errno));
        return false;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        why = "it is not a regular file";
    } else if (st.st_uid != geteuid()) {
        (void)snprintf(error, size,
                       "%.200s: it belongs to user %u and omend runs as user %u: run omend as that "
                       "user, or chown the file",
                       path, (unsigned)st.st_uid, (unsigned)geteuid());
        (void)close(fd);
        return false;
    } else if ((st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        why = "everybody on this machine may read or write it: chmod o-rwx";
    }
    (void)close(fd);
    if (why != NULL) {
        (void)snprintf(error, size, "%.200s: %s", path, why);
    }
    return why == NULL;
}

static bool fail_open(om_catalog *c, const char *path, char *error, size_t size)
{
    int code = c->db != NULL ? sqlite3_errcode(c->db) : SQLITE_NOMEM;
    const char *why = c->db != NULL ? sqlite3_errmsg(c->db) : "no memory";
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
        why = "another process uses it: one omend has one catalog";
    } else if (code == SQLITE_NOTADB) {
        why = "it is not a catalog";
    } else if (code == SQLITE_CORRUPT) {
        why = "it is damaged: put a copy in its place";
    } else if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) {
        why = "its folder must be writable: SQLite keeps its log beside it";
    }
    (void)snprintf(error, size, "%.200s: %s", path, why);
    return false;
}

static bool exec(om_catalog *c, const char *sql)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* One number; -1: it failed. */
static int64_t ask(om_catalog *c, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW) {
        value = sqlite3_column_int64(stmt, 0);
    }
    (void)sqlite3_finalize(stmt);
    return value;
}

/* A new file gets its tables; another program's file, or one of a newer version, is left alone. */
static bool check_kind(om_catalog *c, const char *path, char *error, size_t size)
{
    char make[64];
    int64_t application = ask(c, "PRAGMA application_id");
    int64_t version = ask(c, "PRAGMA user_version");
    int64_t tables = ask(c, "SELECT count(*) FROM sqlite_schema");
    if (application < 0 || version < 0 || tables < 0) {
        return fail_open(c, path, error, size);
    }
    if (application == 0 && tables == 0) {
        (void)snprintf(make, sizeof make, "PRAGMA application_id=%d;PRAGMA user_version=%d;",
                       APPLICATION, VERSION);
        return (exec(c, "BEGIN IMMEDIATE") && exec(c, make) && exec(c, schema) &&
                exec(c, "COMMIT")) ||
               fail_open(c, path, error, size);
    }
    if (application != APPLICATION || version != VERSION) {
        (void)snprintf(error, size, "%.200s: %s", path,
                       application != APPLICATION ? "it is an SQLite file of another program"
                                                  : "it was made by another version of omend");
        return false;
    }
    return true;
}

bool om_catalog_check(const char *path, char *error, size_t error_size)
{
    char folder[4096];
    struct stat st;
    if (stat(path, &st) == 0) {
        return check_file(path, 0, error, error_size);
    }
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        (void)snprintf(folder, sizeof folder, ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    if (access(folder, W_OK | X_OK) != 0) {
        (void)snprintf(error, error_size, "%.200s: %s: its folder must be there and writable", path,
                       strerror(errno));
        return false;
    }
    return true;
}

om_catalog *om_catalog_open(const char *path, char *error, size_t error_size)
{
    if (!check_file(path, O_CREAT, error, error_size)) {
        return NULL;
    }
    om_catalog *c = calloc(1, sizeof *c);
    if (c == NULL) {
        (void)snprintf(error, error_size, "no memory for the catalog");
        return NULL;
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    bool ok = sqlite3_open_v2(path, &c->db, flags, NULL) == SQLITE_OK;
    if (ok) {
        (void)sqlite3_extended_result_codes(c->db, 0);
        (void)sqlite3_busy_timeout(c->db, 0);
        (void)sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, MAX_VALUE);
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        ok = exec(c, "PRAGMA locking_mode=EXCLUSIVE;PRAGMA cell_size_check=ON;"
                     "PRAGMA temp_store=MEMORY;PRAGMA mmap_size=0;PRAGMA journal_mode=WAL;"
                     "PRAGMA synchronous=FULL;BEGIN IMMEDIATE;COMMIT");
    }
    ok = ok ? check_kind(c, path, error, error_size) : fail_open(c, path, error, error_size);
    if (!ok) {
        om_catalog_close(c);
        return NULL;
    }
    return c;
}

void om_catalog_close(om_catalog *c)
{
    if (c != NULL) {
        (void)sqlite3_close(c->db);
        free(c);
    }
}

/* ---- Copying --------------------------------------------------------------------------------- */

/* An empty file that only we may read, which VACUUM INTO takes for one that it may fill. */
static bool make_empty(const char *path)
{
    (void)unlink(path); /* of a copy that did not come to its end */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 && close(fd) == 0;
}

static bool sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

static bool vacuum_into(om_catalog *c, const char *path)
{
    sqlite3_stmt *stmt = NULL;
    bool ok = sqlite3_prepare_v2(c->db, "VACUUM INTO ?", -1, &stmt, NULL) == SQLITE_OK &&
              sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_step(stmt) == SQLITE_DONE;
    (void)sqlite3_finalize(stmt);
    return ok;
}

bool om_catalog_copy(om_catalog *c, const char *folder, const char *name, char *error,
                     size_t error_size)
{
    char path[PATH_MAX];
    char part[PATH_MAX];
    const char *why = NULL;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    int m = snprintf(part, sizeof part, "%s/.%s.part", folder, name);
    if (n < 0 || m < 0 || (size_t)n >= sizeof path || (size_t)m >= sizeof part) {
        why = strerror(ENAMETOOLONG);
    } else if (!make_empty(part)) {
        why = strerror(errno);
    } else if (!vacuum_into(c, part)) {
        why = sqlite3_errmsg(c->db);
    } else if (!sync_path(part, O_RDONLY) || rename(part, path) != 0 ||
               !sync_path(folder, O_RDONLY | O_DIRECTORY)) {
        why = strerror(errno);
    }
    if (why != NULL) {
        (void)snprintf(error, error_size, "%s", why);
        (void)unlink(part);
    }
    return why == NULL;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool take_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    size_t n = (size_t)sqlite3_column_bytes(stmt, column);
    if (text == NULL || n >= size || strlen(text) != n) {
        return false;
    }
    memcpy(out, text, n + 1);
    return true;
}

/* "read:films*,manage:logs" */
static bool take_grants(const char *text, om_key_row *row)
{
    row->grant_count = 0;
    while (text[0] != '\0') {
        char one[OMEN_MAX_NAME + 16];
        size_t n = strcspn(text, ",");
        if (n >= sizeof one || row->grant_count == OM_ACCESS_MAX_GRANTS) {
            return false;
        }
        memcpy(one, text, n);
        one[n] = '\0';
        if (!om_grant_parse(one, &row->grants[row->grant_count++])) {
            return false;
        }
        text += n + (text[n] == ',');
    }
    return row->grant_count > 0;
}

static bool read_tenant(sqlite3_stmt *stmt, const om_catalog_reader *reader)
{
    char name[OM_ACCESS_MAX_PRINCIPAL + 1];
    om_tenant_limits limits = {.rows = (uint64_t)sqlite3_column_int64(stmt, 1),
                               .bytes = (uint64_t)sqlite3_column_int64(stmt, 2),
                               .calls_a_second = (uint32_t)sqlite3_column_int64(stmt, 3),
                               .calls_at_once = (uint32_t)sqlite3_column_int64(stmt, 4),
                               .streams = (uint32_t)sqlite3_column_int64(stmt, 5),
                               .weight = (uint32_t)sqlite3_column_int64(stmt, 6)};
    return take_text(stmt, 0, name, sizeof name) && om_access_name_ok(name) &&
           reader->tenant(reader->ctx, name, &limits);
}

static bool read_key(sqlite3_stmt *stmt, const om_catalog_reader *reader)
{
    static const char *const no_text = "";
    om_key_row row = {.number = (uint64_t)sqlite3_column_int64(stmt, 0),
                      .created = sqlite3_column_int64(stmt, 7),
                      .expires = sqlite3_column_int64(stmt, 8),
                      .revoked = sqlite3_column_int64(stmt, 9),
                      .last_used = sqlite3_column_int64(stmt, 10)};
    const char *grants = (const char *)sqlite3_column_text(stmt, 6);
    const void *hash = sqlite3_column_blob(stmt, 5);
    size_t size = (size_t)sqlite3_column_bytes(stmt, 5);
    bool ok = take_text(stmt, 1, row.id, sizeof row.id) &&
              take_text(stmt, 2, row.name, sizeof row.name) && om_access_name_ok(row.name) &&
              take_text(stmt, 3, row.tenant, sizeof row.tenant) &&
              take_text(stmt, 4, row.certificate, sizeof row.certificate) &&
              take_grants(grants != NULL ? grants : no_text, &row) &&
              (row.certificate[0] != '\0' ? size == 0 : size == OM_HASH);
    if (ok && size > 0) {
        memcpy(row.hash, hash, OM_HASH);
    }
    return ok && reader->key(reader->ctx, &row);
}

static bool read_owner(sqlite3_stmt *stmt, const om_catalog_reader *reader)
{
    char collection[OMEN_MAX_NAME + 1];
    char tenant[OM_ACCESS_MAX_PRINCIPAL + 1];
    return take_text(stmt, 0, collection, sizeof collection) &&
           take_text(stmt, 1, tenant, sizeof tenant) &&
           reader->owner(reader->ctx, collection, tenant);
}

static bool each(om_catalog *c, const char *sql, const om_catalog_reader *reader,
                 bool (*row)(sqlite3_stmt *, const om_catalog_reader *))
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(stmt)) == SQLITE_ROW && row(stmt, reader)) {
        }
    }
    (void)sqlite3_finalize(stmt);
    return code == SQLITE_DONE;
}

bool om_catalog_read(om_catalog *c, const om_catalog_reader *reader, char *error, size_t error_size)
{
    const char *table = "tenants";
    bool ok = each(c,
                   "SELECT name, max_rows, max_bytes, calls, concurrent, streams, weight"
                   " FROM tenants ORDER BY rowid",
                   reader, read_tenant);
    if (ok) {
        table = "keys";
        ok = each(c,
                  "SELECT number, id, name, tenant, certificate, hash, grants, created, expires,"
                  " revoked, last_used FROM keys ORDER BY number",
                  reader, read_key);
    }
    if (ok) {
        table = "collections";
        ok = each(c, "SELECT name, tenant FROM collections", reader, read_owner);
    }
    if (!ok) {
        (void)snprintf(error, error_size,
                       "the catalog's table %s cannot be read: it is damaged, or memory is short; "
                       "put a copy in its place",
                       table);
    }
    return ok;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool fail_write(om_catalog *c, om_failure *f)
{
    int code = sqlite3_errcode(c->db);
    om_failure_set(f, code == SQLITE_FULL ? OMEN_RESOURCE_EXHAUSTED : OMEN_UNAVAILABLE,
                   code == SQLITE_FULL ? "DISK_FULL" : "CATALOG", NULL,
                   "the catalog could not be written: %s", sqlite3_errmsg(c->db));
    f->retry_ms = 1000;
    return false;
}

/* types: s text, i int64_t, b 32 bytes (NULL: none). */
static bool run(om_catalog *c, om_failure *f, const char *sql, const char *types, ...)
{
    sqlite3_stmt *stmt = NULL;
    va_list args;
    int code = sqlite3_prepare_v2(c->db, sql, -1, &stmt, NULL);
    va_start(args, types);
    for (int i = 0; code == SQLITE_OK && types[i] != '\0'; i++) {
        if (types[i] == 'i') {
            code = sqlite3_bind_int64(stmt, i + 1, va_arg(args, int64_t));
        } else if (types[i] == 's') {
            code = sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
        } else {
            const void *hash = va_arg(args, const void *);
            code = hash != NULL ? sqlite3_bind_blob(stmt, i + 1, hash, OM_HASH, SQLITE_STATIC)
                                : sqlite3_bind_zeroblob(stmt, i + 1, 0);
        }
    }
    va_end(args);
    code = code == SQLITE_OK ? sqlite3_step(stmt) : code;
    bool ok = code == SQLITE_DONE || fail_write(c, f);
    (void)sqlite3_finalize(stmt);
    return ok;
}

bool om_catalog_add_key(om_catalog *c, const om_key_row *row, om_failure *f)
{
    char grants[OM_ACCESS_MAX_GRANTS * (OMEN_MAX_NAME + 10)];
    size_t n = 0;
    for (uint32_t i = 0; i < row->grant_count; i++) {
        n += (size_t)snprintf(grants + n, sizeof grants - n, "%s%s:%s", i > 0 ? "," : "",
                              om_role_name(row->grants[i].role), row->grants[i].collection);
    }
    return run(c, f,
               "INSERT INTO keys(number, id, name, tenant, certificate, hash, grants, created,"
               " expires, revoked, last_used) VALUES(?,?,?,?,?,?,?,?,?,0,0)",
               "issssbsii", (int64_t)row->number, row->id, row->name, row->tenant, row->certificate,
               row->certificate[0] != '\0' ? NULL : (const void *)row->hash, grants, row->created,
               row->expires);
}

bool om_catalog_revoke_key(om_catalog *c, uint64_t number, int64_t when, om_failure *f)
{
    return run(c, f, "UPDATE keys SET revoked = ? WHERE number = ?", "ii", when, (int64_t)number);
}

bool om_catalog_forget_key(om_catalog *c, uint64_t number, om_failure *f)
{
    return run(c, f, "DELETE FROM keys WHERE number = ?", "i", (int64_t)number);
}

bool om_catalog_set_tenant(om_catalog *c, const char *name, const om_tenant_limits *limits,
                           om_failure *f)
{
    return run(
        c, f,
        "INSERT INTO tenants(name, max_rows, max_bytes, calls, concurrent, streams, weight)"
        " VALUES(?,?,?,?,?,?,?) ON CONFLICT(name) DO UPDATE SET max_rows = excluded.max_rows,"
        " max_bytes = excluded.max_bytes, calls = excluded.calls,"
        " concurrent = excluded.concurrent, streams = excluded.streams,"
        " weight = excluded.weight",
        "siiiiii", name, (int64_t)limits->rows, (int64_t)limits->bytes,
        (int64_t)limits->calls_a_second, (int64_t)limits->calls_at_once, (int64_t)limits->streams,
        (int64_t)limits->weight);
}

bool om_catalog_own(om_catalog *c, const char *collection, const char *tenant, om_failure *f)
{
    return run(c, f,
               "INSERT INTO collections(name, tenant) VALUES(?,?)"
               " ON CONFLICT(name) DO UPDATE SET tenant = excluded.tenant",
               "ss", collection, tenant);
}

bool om_catalog_disown(om_catalog *c, const char *collection, om_failure *f)
{
    return run(c, f, "DELETE FROM collections WHERE name = ?", "s", collection);
}

bool om_catalog_begin(om_catalog *c, om_failure *f)
{
    return run(c, f, "BEGIN IMMEDIATE", "");
}

bool om_catalog_used(om_catalog *c, uint64_t number, int64_t when, om_failure *f)
{
    return run(c, f, "UPDATE keys SET last_used = ? WHERE number = ?", "ii", when, (int64_t)number);
}

bool om_catalog_commit(om_catalog *c, om_failure *f)
{
    if (run(c, f, "COMMIT", "")) {
        return true;
    }
    (void)exec(c, "ROLLBACK");
    return false;
}
