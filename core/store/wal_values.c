/* wal_values.c - small named values that are replaced whole: a file for each revision, the newest three
 * kept. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "wal_int.h"

enum { VALUE_NAME = OM_WAL_MAX_KEY + 18, MOST_REMOVED = 64 };

/* Keys become names of files. */
static omen_status_t check_key(const char *key, omen_error *err)
{
    size_t length = strnlen(key, OM_WAL_MAX_KEY + 1);
    bool good = length != 0 && length <= OM_WAL_MAX_KEY;
    for (size_t i = 0; good && i < length; i++) {
        char c = key[i];
        good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    }
    if (!good) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME,
                       "key of a value: 1 to %d of A-Z, a-z, 0-9, _ and - are possible",
                       OM_WAL_MAX_KEY);
    }
    return OMEN_OK;
}

static void value_path(om_wal_path *out, const om_wal *wal, const char *key, uint64_t revision)
{
    char name[VALUE_NAME];
    (void)snprintf(name, sizeof name, "%s-%016" PRIx64, key, revision);
    om_wal_path_join(out, wal->values.text, name);
}

/* What the folder has of a key. */
typedef struct revisions {
    const char *prefix;         /* the key and a hyphen */
    uint64_t newest;            /* 0: none */
    uint64_t before;            /* only revisions below it are kept in old; 0: none at all */
    uint64_t old[MOST_REMOVED]; /* the rest waits for the next time */
    uint32_t count;
} revisions;

static int list_revision(void *arg, const char *name)
{
    revisions *r = arg;
    uint64_t revision = 0;
    if (om_wal_name_number(name, r->prefix, "", &revision)) {
        r->newest = revision > r->newest ? revision : r->newest;
        if (revision < r->before && r->count < MOST_REMOVED) {
            r->old[r->count++] = revision;
        }
    }
    return 0;
}

static omen_status_t list_revisions(const om_wal *wal, const char *key, uint64_t before,
                                    revisions *out, omen_error *err)
{
    char prefix[VALUE_NAME];
    (void)snprintf(prefix, sizeof prefix, "%s-", key);
    memset(out, 0, sizeof *out);
    out->prefix = prefix;
    out->before = before;
    int failed = wal->io->ops->list(wal->io->ctx, wal->values.text, list_revision, out);
    out->prefix = NULL;
    if (failed != 0 && failed != ENOENT) {
        return om_fail_errno(err, OMEN_UNAVAILABLE, failed, "%s: cannot list the folder",
                             wal->values.text);
    }
    return OMEN_OK;
}

/* Best effort: what stays is removed by a later one. */
static void remove_old(const om_wal *wal, const char *key, uint64_t newest)
{
    revisions r;
    omen_error err;
    if (newest <= OM_WAL_KEEP_VALUES ||
        list_revisions(wal, key, newest - OM_WAL_KEEP_VALUES + 1, &r, &err) != OMEN_OK) {
        return;
    }
    for (uint32_t i = 0; i < r.count; i++) {
        om_wal_path path;
        value_path(&path, wal, key, r.old[i]);
        if (om_io_unlink(wal->io, path.text, &err) != OMEN_OK) {
            om_log_write(wal->options.log, OMEN_LOG_WARN, "log", "%s", err.message);
        }
    }
}

static omen_status_t replace(om_wal *wal, const char *key, uint64_t revision, const void *value,
                             size_t bytes, omen_error *err)
{
    om_wal_path path;
    value_path(&path, wal, key, revision);
    omen_status_t status = om_io_replace(wal->io, path.text, value, bytes, err);
    if (status != OMEN_OK) {
        /* The name may be there although its folder was not synced: as if it had never been. */
        omen_error other;
        if (om_io_unlink(wal->io, path.text, &other) != OMEN_OK) {
            om_log_write(wal->options.log, OMEN_LOG_WARN, "log", "%s", other.message);
        }
    }
    return status;
}

static om_wal_watcher **find_watcher(om_wal *wal, const char *key)
{
    om_wal_watcher **at = &wal->watchers;
    while (*at != NULL && strcmp((*at)->key, key) != 0) {
        at = &(*at)->next;
    }
    return at;
}

omen_status_t om_wal_cas(om_logdriver *driver, const char *key, uint64_t expected,
                         const void *value, size_t bytes, omen_error *err)
{
    om_wal *wal = om_wal_of(driver);
    omen_status_t status = check_key(key, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_mutex_lock(&wal->values_mu);
    revisions r;
    OM_TRY(om_wal_writable(wal, err));
    OM_TRY(list_revisions(wal, key, 0, &r, err));
    if (r.newest != expected || expected >= INT64_MAX) {
        status = om_fail(err, OMEN_ABORTED, OMEN_D_VERSION_CONFLICT,
                         "%s: revision %" PRIu64 " is the newest, not %" PRIu64, key, r.newest,
                         expected);
        goto out;
    }
    OM_TRY(replace(wal, key, expected + 1, value, bytes, err));
    remove_old(wal, key, expected + 1);
    const om_wal_watcher *watcher = *find_watcher(wal, key);
    if (watcher != NULL) {
        watcher->watch(watcher->ctx, key, expected + 1);
    }
out:
    om_mutex_unlock(&wal->values_mu);
    return status;
}

static void end_watch(om_wal *wal, const char *key)
{
    om_wal_watcher **at = find_watcher(wal, key);
    om_wal_watcher *gone = *at;
    if (gone != NULL) {
        *at = gone->next;
        om_alloc_put(wal->alloc, gone, sizeof *gone, alignof(om_wal_watcher));
    }
}

omen_status_t om_wal_watch(om_logdriver *driver, const char *key, om_log_watch watch, void *ctx,
                           omen_error *err)
{
    om_wal *wal = om_wal_of(driver);
    omen_status_t status = check_key(key, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_mutex_lock(&wal->values_mu);
    revisions r;
    om_wal_watcher *watcher = NULL;
    if (watch != NULL) {
        OM_TRY(list_revisions(wal, key, 0, &r, err));
        watcher = om_alloc_zero(wal->alloc, 1, sizeof *watcher, alignof(om_wal_watcher));
        if (watcher == NULL) {
            status = om_fail_memory(err, "a watcher", sizeof *watcher);
            goto out;
        }
    }
    end_watch(wal, key);
    if (watcher != NULL) {
        watcher->watch = watch;
        watcher->ctx = ctx;
        (void)snprintf(watcher->key, sizeof watcher->key, "%s", key);
        watcher->next = wal->watchers;
        wal->watchers = watcher;
        watch(ctx, key, r.newest);
    }
out:
    om_mutex_unlock(&wal->values_mu);
    return status;
}

void om_wal_watchers_free(om_wal *wal)
{
    while (wal->watchers != NULL) {
        om_wal_watcher *next = wal->watchers->next;
        om_alloc_put(wal->alloc, wal->watchers, sizeof *wal->watchers, alignof(om_wal_watcher));
        wal->watchers = next;
    }
}
