/* engine_collection.c - the life of a collection: options, creation, handles, description, the
 * end.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"
#include "engine_filter.h"

enum { DEFAULT_M = 16, DEFAULT_EF_CONSTRUCTION = 100 };
/* The tail of rows that are not in the graph yet is scanned by every search. A million rows of
 * 128 bytes of code take a search about ten milliseconds, and let a burst of a million rows be
 * accepted at the speed of memory; a gigabyte bounds wide vectors; 65,536 rows keep the indexer
 * busy whatever their width. */
enum { BACKLOG_ROWS = 1048576, BACKLOG_LEAST = 65536 };
#define BACKLOG_BYTES (UINT64_C(1) << 30)

static omen_status_t invalid(omen_error *err, const char *field, uint64_t value, const char *limit)
{
    return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "%s: %llu is not %s", field,
                   (unsigned long long)value, limit);
}

static omen_status_t check_types(const omen_options *o, omen_error *err)
{
    if (o->metric == OMEN_HAMMING || o->dtype == OMEN_BF16 || o->dtype == OMEN_B1) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_TYPE,
                       "metric %u with dtype %u: Hamming, bf16 and b1 are not there yet", o->metric,
                       o->dtype);
    }
    if (o->metric < OMEN_L2 || o->metric > OMEN_COSINE) {
        return invalid(err, "metric", o->metric, "one of l2 (1), ip (2), cosine (3)");
    }
    if (om_dtype_width(o->dtype) == 0) {
        return invalid(err, "dtype", o->dtype, "one of f32 (1), f16 (2), i8 (3), u8 (4)");
    }
    if (o->id_type < OMEN_ID_U64 || o->id_type > OMEN_ID_STRING) {
        return invalid(err, "id_type", o->id_type, "one of u64 (1), uuid (2), string (3)");
    }
    if (o->quantization < OMEN_QUANT_SQ8 || o->quantization > OMEN_QUANT_NONE) {
        return invalid(err, "quantization", o->quantization, "one of sq8 (1), none (2)");
    }
    if (o->rotation > OMEN_ROTATE_ON) {
        return invalid(err, "rotation", o->rotation, "one of auto (0), off (1), on (2)");
    }
    if (o->entry > OMEN_ENTRY_HIERARCHY) {
        return invalid(err, "entry", o->entry, "one of auto (0), seeds (1), hierarchy (2)");
    }
    if (o->durability < OMEN_DURABILITY_NONE || o->durability > OMEN_DURABILITY_BATCH) {
        return invalid(err, "durability", o->durability, "one of 0 to 3");
    }
    return OMEN_OK;
}

static omen_status_t check_sizes(const omen_options *o, omen_error *err)
{
    if (o->flags != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "options flags: unknown bits 0x%x",
                       o->flags);
    }
    if (o->dim < 1 || o->dim > OMEN_MAX_DIM) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "dim: %u is not in 1 to %u",
                       o->dim, OMEN_MAX_DIM);
    }
    if (o->m < 2 || o->m > OMEN_MAX_M) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "m: %u is not in 2 to %u", o->m,
                       OMEN_MAX_M);
    }
    if (o->ef_construction > OMEN_MAX_EF) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "ef_construction: %u is above %u",
                       o->ef_construction, OMEN_MAX_EF);
    }
    if (o->max_backlog_rows > OMEN_MAX_ROWS || o->capacity_hint > OMEN_MAX_ROWS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "capacity_hint %llu or max_backlog_rows %llu is above %u",
                       (unsigned long long)o->capacity_hint,
                       (unsigned long long)o->max_backlog_rows, OMEN_MAX_ROWS);
    }
    return OMEN_OK;
}

static void set_default(uint32_t *field, uint32_t value)
{
    if (*field == 0) {
        *field = value;
    }
}

omen_status_t om_options_check(const omen_options *in, omen_options *out, omen_error *err)
{
    omen_options o = *in;
    set_default(&o.metric, OMEN_L2);
    set_default(&o.dtype, OMEN_F32);
    set_default(&o.id_type, OMEN_ID_U64);
    set_default(&o.m, DEFAULT_M);
    set_default(&o.ef_construction, DEFAULT_EF_CONSTRUCTION);
    set_default(&o.quantization, OMEN_QUANT_SQ8);
    set_default(&o.durability, OMEN_DURABILITY_BATCH);
    omen_status_t status = OMEN_OK;
    OM_TRY(check_types(&o, err));
    OM_TRY(check_sizes(&o, err));
    if (o.max_backlog_rows == 0) {
        uint64_t rows = BACKLOG_BYTES / ((uint64_t)o.dim * om_dtype_width(o.dtype));
        rows = rows < BACKLOG_LEAST ? BACKLOG_LEAST : rows;
        o.max_backlog_rows = om_min_u64(rows, BACKLOG_ROWS);
    }
    o.fields = NULL; /* the caller's; they are declared apart */
    o.field_count = 0;
    *out = o;
out:
    return status;
}

static omen_status_t init_locks(om_collection *c, omen_error *err)
{
    omen_status_t status = om_mutex_init(&c->merge_mu, OM_RANK_MERGE, err);
    if (status != OMEN_OK) {
        return status;
    }
    if ((status = om_mutex_init(&c->save_mu, OM_RANK_SAVE, err)) != OMEN_OK) {
        goto no_save;
    }
    if ((status = om_mutex_init(&c->write_mu, OM_RANK_WRITE, err)) != OMEN_OK) {
        goto no_write;
    }
    if ((status = om_rwlock_init(&c->ids_mu, OM_RANK_IDS, err)) != OMEN_OK) {
        goto no_ids;
    }
    if ((status = om_mutex_init(&c->queue_mu, OM_RANK_QUEUE, err)) != OMEN_OK) {
        goto no_queue;
    }
    if ((status = om_cond_init(&c->queue_moved, err)) != OMEN_OK) {
        goto no_cond;
    }
    return OMEN_OK;
no_cond:
    om_mutex_destroy(&c->queue_mu);
no_queue:
    om_rwlock_destroy(&c->ids_mu);
no_ids:
    om_mutex_destroy(&c->write_mu);
no_write:
    om_mutex_destroy(&c->save_mu);
no_save:
    om_mutex_destroy(&c->merge_mu);
    return status;
}

void om_collection_set_options(om_collection *c, const omen_options *options)
{
    c->options = *options;
    c->options.struct_size = sizeof c->options;
    c->backlog_limit = (uint32_t)options->max_backlog_rows;
}

static omen_status_t first_set(om_collection *c, omen_error *err)
{
    om_segment *seg = NULL;
    om_set *set = NULL;
    omen_status_t status = om_segment_create(c, &seg, err);
    if (status == OMEN_OK) {
        status = om_set_make(c->rt, &seg, 1, &set, err);
        om_segment_unref(seg);
    }
    atomic_store(&c->set, set);
    return status;
}

/* Rows of the growing segment before it is sealed, on disk. */
static void seal_limits(om_collection *c, const omen_db_options *o)
{
    uint64_t row = (uint64_t)c->options.dim * om_dtype_width(c->options.dtype);
    uint64_t rows = o->seal_bytes / row;
    c->seal_rows = om_min_u64(rows != 0 ? rows : 1, o->seal_rows);
    c->read_only = (o->flags & OMEN_DB_READ_ONLY) != 0;
}

omen_status_t om_collection_make(omen_db *db, const char *name, const omen_options *options,
                                 om_collection **out, omen_error *err)
{
    omen_runtime *rt = db->rt;
    om_collection *c = om_alloc_zero(&rt->alloc, 1, sizeof *c, _Alignof(om_collection));
    if (c == NULL) {
        return om_fail_memory(err, "collection", sizeof *c);
    }
    omen_status_t status = init_locks(c, err);
    if (status != OMEN_OK) {
        om_alloc_put(&rt->alloc, c, sizeof *c, _Alignof(om_collection));
        return status;
    }
    c->rt = rt;
    c->db = db;
    atomic_fetch_add_explicit(&db->refs, 1, memory_order_relaxed);
    atomic_init(&c->refs, 1);
    c->seal_rows = UINT64_MAX;
    c->next_key = options->id_type != OMEN_ID_U64; /* keys that are given out begin at 1 */
    memcpy(c->name, name, strlen(name));           /* checked: at most OMEN_MAX_NAME bytes */
    om_collection_set_options(c, options);
    if (db->disk != NULL) {
        seal_limits(c, &db->disk->options);
    }
    status = om_schema_create(&rt->alloc, &c->schema, err);
    if (status == OMEN_OK) {
        status = first_set(c, err);
    }
    if (status != OMEN_OK) {
        om_collection_unref(c);
        return status;
    }
    *out = c;
    return OMEN_OK;
}

omen_status_t om_collection_adopt(om_collection *c, om_segment **parts, uint32_t count,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_set *grown = om_set_load(c);
    om_segment *last = om_set_last(grown);
    om_segment **all =
        om_alloc_get(&c->rt->alloc, (count + 1) * sizeof(om_segment *), OM_CACHE_LINE);
    om_set *set = NULL;
    if (all == NULL) {
        return om_fail_memory(err, "segment list", (count + 1) * sizeof(om_segment *));
    }
    memcpy(all, parts, count * sizeof(om_segment *));
    all[count] = last;
    status = om_set_make(c->rt, all, count + 1, &set, err);
    om_alloc_put(&c->rt->alloc, all, (count + 1) * sizeof(om_segment *), OM_CACHE_LINE);
    if (status != OMEN_OK) {
        return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        om_segment_unref(parts[i]); /* the set has them now */
    }
    om_mutex_lock(&c->write_mu);
    om_set_publish(c, set);
    om_mutex_unlock(&c->write_mu);
    return OMEN_OK;
}

static void destroy(om_collection *c)
{
    const om_alloc *alloc = &c->rt->alloc;
    om_sets_free_list(c->rt, c->retired_sets);
    om_set_free(c->rt, om_set_load(c));
    om_schema_detach(c);
    om_streams_free(alloc, &c->streams);
    om_write_free_scratch(c);
    om_filters_free(c);
    om_cond_destroy(&c->queue_moved);
    om_mutex_destroy(&c->queue_mu);
    om_rwlock_destroy(&c->ids_mu);
    om_mutex_destroy(&c->write_mu);
    om_mutex_destroy(&c->save_mu);
    om_mutex_destroy(&c->merge_mu);
    omen_db *db = c->db;
    om_alloc_put(alloc, c, sizeof *c, _Alignof(om_collection));
    om_db_unref(db);
}

void om_collection_ref(om_collection *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void om_collection_unref(om_collection *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        destroy(c);
    }
}

omen_status_t om_collection_handle(om_collection *c, omen_collection **out, omen_error *err)
{
    omen_collection *handle =
        om_alloc_zero(&c->rt->alloc, 1, sizeof *handle, _Alignof(omen_collection));
    if (handle == NULL) {
        return om_fail_memory(err, "collection handle", sizeof *handle);
    }
    handle->handle = (om_handle){.magic = OM_MAGIC_COLLECTION, .generation = om_fork_generation()};
    handle->c = c;
    om_collection_ref(c);
    om_db_enter(c->db);
    *out = handle;
    return OMEN_OK;
}

void om_collection_free(omen_collection *handle)
{
    om_collection *c = handle->c;
    omen_db *db = c->db;
    handle->handle.magic = OM_MAGIC_FREED;
    om_snapshot_free(c, handle->snapshot);
    om_alloc_put(&c->rt->alloc, handle, sizeof *handle, _Alignof(omen_collection));
    atomic_fetch_add_explicit(&db->refs, 1, memory_order_relaxed);
    om_collection_unref(c);
    om_db_leave(db);
    om_db_unref(db);
}

omen_status_t om_collection_alive(const om_collection *c, omen_error *err)
{
    if (OM_UNLIKELY(atomic_load_explicit(&c->dropped, memory_order_relaxed))) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NAME, "collection '%s' was dropped", c->name);
    }
    return OMEN_OK;
}

omen_status_t om_collection_writable(const omen_collection *handle, bool deletes, omen_error *err)
{
    const om_collection *c = handle->c;
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (c->read_only || handle->snapshot != NULL) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                       "collection '%s' can be read only: %s", c->name,
                       handle->snapshot != NULL ? "the handle is a snapshot"
                                                : "it is a mapped file or was opened so");
    }
    return c->db->disk != NULL ? om_disk_writable(c->db, deletes, err) : OMEN_OK;
}

omen_status_t om_collection_describe(omen_collection *handle, omen_options *out, omen_error *err)
{
    omen_status_t status = om_collection_alive(handle->c, err);
    if (status == OMEN_OK) {
        *out = handle->c->options;
    }
    return status;
}

/* Rows that are not dead, over all segments. */
static uint64_t live_rows(const om_set *set)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        live += atomic_load_explicit(&set->part[i]->live, memory_order_acquire);
    }
    return live;
}

static uint64_t count_locked(om_collection *c)
{
    om_mutex_lock(&c->write_mu);
    uint64_t live = live_rows(om_set_load(c));
    om_mutex_unlock(&c->write_mu);
    return live;
}

/* A context keeps the set alive; without the memory for one the mutex does, so that counting never fails. */
static uint64_t count_live(om_collection *c)
{
    om_ctx *ctx = NULL;
    if (om_ctx_acquire(c->rt, &ctx, NULL) != OMEN_OK) {
        return count_locked(c);
    }
    om_ctx_pin(c->rt, ctx);
    uint64_t live = live_rows(om_set_load(c));
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    return live;
}

omen_status_t om_collection_count(omen_collection *handle, uint64_t *count, omen_error *err)
{
    omen_status_t status = om_collection_alive(handle->c, err);
    if (status != OMEN_OK) {
        return status;
    }
    *count = handle->snapshot != NULL ? handle->snapshot->live : count_live(handle->c);
    return OMEN_OK;
}
