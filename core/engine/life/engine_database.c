/* engine_database.c - named collections in memory: a sorted list under one mutex.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

enum { FIRST_COLLECTIONS = 8, MAX_COLLECTIONS = 1000000 };

static omen_status_t make_db(omen_runtime *rt, omen_db **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_db *db = om_alloc_zero(&rt->alloc, 1, sizeof *db, _Alignof(omen_db));
    if (db == NULL) {
        return om_fail_memory(err, "database", sizeof *db);
    }
    OM_TRY(om_requests_create(&rt->alloc, &db->requests, err));
    OM_TRY(om_mutex_init(&db->mu, OM_RANK_DB, err));
    db->handle = (om_handle){.magic = OM_MAGIC_DB, .generation = om_fork_generation()};
    atomic_init(&db->refs, 1);
    atomic_init(&db->users, 1);
    db->rt = rt;
    om_runtime_ref(rt);
    *out = db;
    return OMEN_OK;
out:
    if (db->requests != NULL) {
        om_requests_free(db->requests);
    }
    om_alloc_put(&rt->alloc, db, sizeof *db, _Alignof(omen_db));
    return status;
}

static omen_status_t check_options(const char *path, const omen_db_options *opt, omen_error *err)
{
    const uint32_t known = OMEN_DB_READ_ONLY | OMEN_DB_MUST_EXIST | OMEN_DB_RAM;
    if ((opt->flags & ~known) != 0 || opt->warm > OMEN_WARM_ALL) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "db flags: unknown bits 0x%x, or warm %u is not one of 0 to 2",
                       opt->flags & ~known, opt->warm);
    }
    if (path == NULL && opt->flags != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "db flags: 0x%x need a path; a database in memory has none", opt->flags);
    }
    return OMEN_OK;
}

/* Without a path: in memory. */
static omen_status_t open_db(const om_io *io, const char *path, const omen_db_options *opt,
                             omen_runtime *rt, omen_db **out, omen_error *err)
{
    omen_db *db = NULL;
    omen_status_t status = make_db(rt, &db, err);
    if (status == OMEN_OK && path != NULL) {
        status = om_disk_open(db, io, path, opt, err);
        if (status != OMEN_OK) {
            om_db_free(db);
        }
    }
    if (status == OMEN_OK) {
        *out = db;
    }
    return status;
}

omen_status_t om_db_open_io(const om_io *io, const char *path, const omen_db_options *opt,
                            omen_db **out, omen_error *err)
{
    omen_runtime *rt = opt->runtime;
    omen_status_t checked = check_options(path, opt, err);
    if (checked != OMEN_OK) {
        return checked;
    }
    if (rt == NULL) {
        omen_runtime_options defaults = {.struct_size = sizeof defaults};
        omen_status_t status = om_runtime_create(&defaults, &rt, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    uint64_t rejections = om_rejections(rt);
    omen_status_t status =
        om_explain_memory(rt, rejections, open_db(io, path, opt, rt, out, err), err);
    if (opt->runtime == NULL) {
        om_runtime_free(rt); /* The database holds it from here on, or nobody does. */
    }
    return status;
}

omen_status_t om_db_open(const char *path, const omen_db_options *opt, omen_db **out,
                         omen_error *err)
{
    return om_db_open_io(&om_io_system, path, opt, out, err);
}

void om_db_raise_version(omen_db *db, uint64_t version)
{
    uint64_t newest = atomic_load(&db->version);
    while (newest < version && !atomic_compare_exchange_weak(&db->version, &newest, version)) {
    }
}

void om_db_unref(omen_db *db)
{
    if (atomic_fetch_sub_explicit(&db->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    omen_runtime *rt = db->rt;
    om_disk_free(db);
    om_requests_free(db->requests);
    om_mutex_destroy(&db->mu);
    om_alloc_put(&rt->alloc, db->list, db->capacity * sizeof(om_collection *), OM_CACHE_LINE);
    om_alloc_put(&rt->alloc, db, sizeof *db, _Alignof(omen_db));
    om_runtime_unref(rt);
}

static void empty_list(omen_db *db)
{
    for (;;) {
        /* One at a time: freeing a collection takes locks of a lower rank. */
        om_collection *c = NULL;
        om_mutex_lock(&db->mu);
        if (db->count != 0) {
            c = db->list[--db->count];
        }
        om_mutex_unlock(&db->mu);
        if (c == NULL) {
            break;
        }
        om_collection_unref(c);
    }
}

void om_db_enter(omen_db *db)
{
    atomic_fetch_add_explicit(&db->users, 1, memory_order_relaxed);
}

void om_db_leave(omen_db *db)
{
    if (atomic_fetch_sub_explicit(&db->users, 1, memory_order_acq_rel) == 1) {
        om_disk_close(db);
        empty_list(db);
    }
}

void om_db_free(omen_db *db)
{
    db->handle.magic = OM_MAGIC_FREED;
    if (db->disk == NULL) {
        empty_list(db); /* what has no handle of its own is gone; on disk it waits for the close */
    }
    om_db_leave(db);
    om_db_unref(db);
}

/* The position of a name, or where it would go. Mutex held. */
static size_t find(const omen_db *db, const char *name, bool *found)
{
    size_t low = 0;
    size_t high = db->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(db->list[middle]->name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static omen_status_t check_name(const char *name, omen_error *err)
{
    size_t length = strnlen(name, OMEN_MAX_NAME + 1u);
    bool good = length >= 1 && length <= OMEN_MAX_NAME && name[0] != '_' && name[0] != '-';
    for (size_t i = 0; good && i < length; i++) {
        good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
               name[i] == '_' || name[i] == '-';
    }
    if (!good) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME,
                       "name: must match [a-z0-9][a-z0-9_-]{0,62} and does not");
    }
    return OMEN_OK;
}

static omen_status_t reserve_list(omen_db *db, omen_error *err)
{
    if (db->count < db->capacity) {
        return OMEN_OK;
    }
    if (db->count >= MAX_COLLECTIONS) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "the database has %zu collections, the limit", db->count);
    }
    size_t capacity = db->capacity == 0 ? FIRST_COLLECTIONS : db->capacity * 2;
    om_collection **list =
        om_alloc_grow(&db->rt->alloc, db->list, db->capacity * sizeof(om_collection *),
                      capacity * sizeof(om_collection *), OM_CACHE_LINE);
    if (list == NULL) {
        return om_fail_memory(err, "collection list", capacity * sizeof(om_collection *));
    }
    db->list = list;
    db->capacity = capacity;
    return OMEN_OK;
}

static omen_status_t name_taken(const char *name, omen_error *err)
{
    return om_fail(err, OMEN_ALREADY_EXISTS, OMEN_D_NAME, "collection '%s' exists", name);
}

/* Puts a collection into the list, which gets a reference of its own. Mutex held. */
static omen_status_t insert_locked(omen_db *db, om_collection *c, omen_error *err)
{
    bool found = false;
    size_t at = find(db, c->name, &found);
    if (found) {
        return name_taken(c->name, err);
    }
    omen_status_t status = reserve_list(db, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (c->serial == 0) {
        if (db->next_serial >= UINT32_MAX - 1) { /* 0 means none, and manifests name the next one */
            return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                           "the database has made %u collections, the limit", db->next_serial);
        }
        c->serial = ++db->next_serial;
        /* Logged with the mutex held: no other one of this name can come in between. */
        status = db->disk != NULL ? om_record_created(c, err) : OMEN_OK;
        if (status != OMEN_OK) {
            return status;
        }
    }
    memmove(&db->list[at + 1], &db->list[at], (db->count - at) * sizeof(om_collection *));
    db->list[at] = c;
    db->count++;
    om_collection_ref(c);
    return OMEN_OK;
}

omen_status_t om_db_insert(omen_db *db, om_collection *c, omen_error *err)
{
    om_mutex_lock(&db->mu);
    omen_status_t status = insert_locked(db, c, err);
    om_mutex_unlock(&db->mu);
    return status;
}

/* A new reference to a collection by name, or NULL. */
static om_collection *get(omen_db *db, const char *name)
{
    bool found = false;
    om_collection *c = NULL;
    om_mutex_lock(&db->mu);
    size_t at = find(db, name, &found);
    if (found) {
        c = db->list[at];
        om_collection_ref(c);
    }
    om_mutex_unlock(&db->mu);
    return c;
}

om_collection *om_db_at(omen_db *db, size_t i)
{
    om_collection *c = NULL;
    om_mutex_lock(&db->mu);
    if (i < db->count) {
        c = db->list[i];
        om_collection_ref(c);
    }
    om_mutex_unlock(&db->mu);
    return c;
}

static bool has(omen_db *db, const char *name)
{
    bool found = false;
    om_mutex_lock(&db->mu);
    (void)find(db, name, &found);
    om_mutex_unlock(&db->mu);
    return found;
}

/* Lists a collection that is ready and makes a handle; takes over the caller's reference. */
static omen_status_t publish(omen_db *db, om_collection *c, omen_collection **out, omen_error *err)
{
    omen_collection *handle = NULL;
    omen_status_t status = om_collection_handle(c, &handle, err);
    if (status == OMEN_OK) {
        status = om_db_insert(db, c, err);
        if (status != OMEN_OK) {
            om_collection_free(handle);
        }
    }
    om_collection_unref(c);
    if (status == OMEN_OK) {
        *out = handle;
    }
    return status;
}

omen_status_t om_db_create(omen_db *db, const char *name, const omen_options *opt,
                           omen_collection **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t rejections = om_rejections(db->rt);
    omen_options options;
    om_collection *c = NULL;
    OM_TRY(check_name(name, err));
    OM_TRY(om_options_check(opt, &options, err));
    if (db->disk != NULL) {
        OM_TRY(om_disk_writable(db, false, err));
    }
    if (has(db, name)) {
        return name_taken(name, err);
    }
    OM_TRY(om_collection_make(db, name, &options, &c, err));
    status = om_schema_declare(c, opt->fields, opt->field_count, err);
    if (status != OMEN_OK) {
        om_collection_unref(c);
        goto out;
    }
    status = publish(db, c, out, err);
out:
    return om_explain_memory(db->rt, rejections, status, err);
}

/* The file becomes the only segment of the collection, which takes its options. */
static omen_status_t map_file(om_collection *c, const omen_open_options *opt, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segment *seg = NULL;
    om_set *set = NULL;
    om_segment_file file = {
        .path = opt->file, .warm = opt->warm, .flags = opt->flags, .op = opt->op};
    OM_TRY(om_segment_open(c, &file, &seg, err));
    OM_TRY(om_set_make(c->rt, &seg, 1, &set, err));
    om_mutex_lock(&c->write_mu);
    om_collection_set_options(c, &seg->options);
    c->read_only = true;
    c->next_key = seg->mapped->next_key;
    atomic_store(&c->version, atomic_load(&seg->last_version));
    om_set_publish(c, set);
    om_mutex_unlock(&c->write_mu);
    om_db_raise_version(c->db, atomic_load(&seg->last_version));
out:
    om_segment_unref(seg);
    return status;
}

/* Maps a segment file as a new collection. */
static omen_status_t attach_file(omen_db *db, const char *name, const omen_open_options *opt,
                                 omen_collection **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = NULL;
    omen_options options = {.dim = 1};
    if (db->disk != NULL) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_NONE,
                       "file: a segment file opens in a database in memory, not in a directory");
    }
    if (has(db, name)) {
        return name_taken(name, err);
    }
    OM_TRY(om_options_check(&options, &options, err));
    OM_TRY(om_collection_make(db, name, &options, &c, err));
    status = map_file(c, opt, err);
    if (status != OMEN_OK) {
        om_collection_unref(c);
        return status;
    }
    status = publish(db, c, out, err);
out:
    return status;
}

omen_status_t om_db_attach(omen_db *db, const char *name, const omen_open_options *opt,
                           omen_collection **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t rejections = om_rejections(db->rt);
    OM_TRY(check_name(name, err));
    if ((opt->flags & ~(uint32_t)OMEN_OPEN_VERIFY) != 0 || opt->warm > OMEN_WARM_ALL ||
        opt->reserved != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "open options: unknown flags 0x%x, warm %u or reserved %u", opt->flags,
                       opt->warm, opt->reserved);
    }
    if (opt->file != NULL) {
        status = attach_file(db, name, opt, out, err);
        return om_explain_memory(db->rt, rejections, status, err);
    }
    om_collection *c = get(db, name);
    if (c == NULL) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NAME, "collection '%s' does not exist", name);
    }
    status = om_collection_handle(c, out, err);
    om_collection_unref(c);
out:
    return om_explain_memory(db->rt, rejections, status, err);
}

/* Manifests that are kept name its files: without newer ones they would stay, and on a full disk, where a
 * drop is what makes room, nothing else would be written. */
static void note_dropped(omen_db *db, om_collection *c)
{
    bool files = false;
    om_mutex_lock(&c->write_mu);
    const om_set *set = om_set_load(c);
    for (uint32_t i = 0; i < set->count; i++) {
        files = files || set->part[i]->mapped != NULL;
    }
    om_mutex_unlock(&c->write_mu);
    if (files) {
        atomic_store(&db->disk->dropped, true);
        om_keeper_notify(db);
    }
}

omen_status_t om_db_drop(omen_db *db, const char *name, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = NULL;
    bool found = false;
    OM_TRY(check_name(name, err));
    if (db->disk != NULL) {
        OM_TRY(om_disk_writable(db, true, err));
    }
    om_mutex_lock(&db->mu);
    size_t at = find(db, name, &found);
    if (found && db->disk != NULL) {
        status = om_record_dropped(db->list[at], err);
    }
    if (found && status == OMEN_OK) {
        c = db->list[at];
        atomic_store(&c->dropped, true);
        db->count--;
        memmove(&db->list[at], &db->list[at + 1], (db->count - at) * sizeof(om_collection *));
    }
    om_mutex_unlock(&db->mu);
    if (status != OMEN_OK) {
        goto out;
    }
    if (c == NULL) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NAME, "collection '%s' does not exist", name);
    }
    if (db->disk != NULL) {
        note_dropped(db, c);
    }
    om_collection_unref(c);
out:
    return status;
}

void om_db_list(omen_db *db, const char *after, char *names, size_t capacity, size_t *count)
{
    size_t written = 0;
    om_mutex_lock(&db->mu);
    size_t at = 0;
    if (after != NULL) {
        bool found = false;
        at = find(db, after, &found);
        at += found ? 1 : 0;
    }
    for (; at < db->count && written < capacity; at++, written++) {
        memcpy(names + written * (OMEN_MAX_NAME + 1u), db->list[at]->name, OMEN_MAX_NAME + 1u);
    }
    om_mutex_unlock(&db->mu);
    *count = written;
}
