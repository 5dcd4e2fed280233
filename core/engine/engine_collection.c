/* engine_collection.c - the life of a collection: options, creation, handles, description, the
 * end.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_int.h"

enum { DEFAULT_M = 16, DEFAULT_EF_CONSTRUCTION = 100 };
/* The tail of rows that are not in the graph yet is scanned by every search. A million rows of
 * 128 bytes of code take a search about ten milliseconds, and let a burst of a million rows be
 * accepted at the speed of memory; a gigabyte bounds wide vectors; 65,536 rows keep the indexer
 * busy whatever their width. */
enum { BACKLOG_ROWS = 1048576, BACKLOG_LEAST = 65536 };
#define BACKLOG_BYTES (UINT64_C(1) << 30)
#define CODEC_SEED UINT64_C(0x6f6d656e)

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
    *out = o;
out:
    return status;
}

void om_collection_set_options(om_segment *c, const omen_options *options)
{
    c->options = *options;
    c->options.struct_size = sizeof c->options;
    c->codec_params = (om_codec_params){.dim = options->dim,
                                        .metric = options->metric,
                                        .dtype = options->dtype,
                                        .quantization = options->quantization,
                                        .rotation = options->rotation,
                                        .seed = CODEC_SEED};
    /* The graph has no kind of its own for AUTO: seeds, by the figures in its README. A file
     * names the kind that it holds, so it must be the same one when it is opened. */
    uint32_t entry = options->entry == OMEN_ENTRY_AUTO ? OMEN_ENTRY_SEEDS : options->entry;
    c->graph_params = (om_graph_params){.m = options->m,
                                        .ef_construction = options->ef_construction,
                                        .entry = entry,
                                        .seed = CODEC_SEED};
    om_layout_init(&c->layout, &c->codec_params, options->m);
    c->backlog_limit = (uint32_t)options->max_backlog_rows;
}

static omen_status_t init_locks(om_segment *c, omen_error *err)
{
    omen_status_t status = om_mutex_init(&c->save_mu, OM_RANK_SAVE, err);
    if (status != OMEN_OK) {
        return status;
    }
    if ((status = om_mutex_init(&c->index_mu, OM_RANK_INDEX, err)) != OMEN_OK) {
        goto no_index;
    }
    if ((status = om_mutex_init(&c->write_mu, OM_RANK_WRITE, err)) != OMEN_OK) {
        goto no_write;
    }
    if ((status = om_rwlock_init(&c->ids_mu, OM_RANK_IDS, err)) != OMEN_OK) {
        goto no_ids;
    }
    if ((status = om_mutex_init(&c->marks_mu, OM_RANK_MARKS, err)) != OMEN_OK) {
        goto no_marks;
    }
    return OMEN_OK;
no_marks:
    om_rwlock_destroy(&c->ids_mu);
no_ids:
    om_mutex_destroy(&c->write_mu);
no_write:
    om_mutex_destroy(&c->index_mu);
no_index:
    om_mutex_destroy(&c->save_mu);
    return status;
}

omen_status_t om_collection_make(omen_db *db, const char *name, const omen_options *options,
                                 om_segment **out, omen_error *err)
{
    omen_runtime *rt = db->rt;
    om_segment *c = om_alloc_zero(&rt->alloc, 1, sizeof *c, _Alignof(om_segment));
    if (c == NULL) {
        return om_fail_memory(err, "collection", sizeof *c);
    }
    omen_status_t status = init_locks(c, err);
    if (status != OMEN_OK) {
        om_alloc_put(&rt->alloc, c, sizeof *c, _Alignof(om_segment));
        return status;
    }
    c->rt = rt;
    c->db = db;
    atomic_fetch_add_explicit(&db->refs, 1, memory_order_relaxed);
    atomic_init(&c->refs, 1);
    c->index_limit = UINT32_MAX;
    memcpy(c->name, name, strlen(name)); /* checked: at most OMEN_MAX_NAME bytes */
    om_idmap_init(&c->map, &rt->alloc);
    om_collection_set_options(c, options);
    *out = c;
    return OMEN_OK;
}

static void destroy(om_segment *c)
{
    const om_alloc *alloc = &c->rt->alloc;
    om_indexer_forget(c);
    om_view_free_all(c);
    om_graph_free(c->graph);
    om_mapped_close(c); /* the arrays that the two above point into */
    om_idmap_free(&c->map);
    om_idtable_free(c->table);
    om_streams_free(alloc, &c->streams);
    om_alloc_put(alloc, c->windows, c->window_count * sizeof(om_window), OM_CACHE_LINE);
    om_alloc_put(alloc, c->former, c->former_room * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(alloc, c->marks, OM_MARKS * sizeof(om_mark), OM_CACHE_LINE);
    om_mutex_destroy(&c->marks_mu);
    om_rwlock_destroy(&c->ids_mu);
    om_mutex_destroy(&c->write_mu);
    om_mutex_destroy(&c->index_mu);
    om_mutex_destroy(&c->save_mu);
    omen_db *db = c->db;
    om_alloc_put(alloc, c, sizeof *c, _Alignof(om_segment));
    om_db_unref(db);
}

void om_collection_unref(om_segment *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        destroy(c);
    }
}

omen_status_t om_collection_handle(om_segment *c, omen_collection **out, omen_error *err)
{
    omen_collection *handle =
        om_alloc_zero(&c->rt->alloc, 1, sizeof *handle, _Alignof(omen_collection));
    if (handle == NULL) {
        return om_fail_memory(err, "collection handle", sizeof *handle);
    }
    handle->handle = (om_handle){.magic = OM_MAGIC_COLLECTION, .generation = om_fork_generation()};
    handle->c = c;
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    *out = handle;
    return OMEN_OK;
}

void om_collection_free(omen_collection *handle)
{
    om_segment *c = handle->c;
    handle->handle.magic = OM_MAGIC_FREED;
    om_alloc_put(&c->rt->alloc, handle, sizeof *handle, _Alignof(omen_collection));
    om_collection_unref(c);
}

omen_status_t om_collection_alive(const om_segment *c, omen_error *err)
{
    if (OM_UNLIKELY(atomic_load_explicit(&c->dropped, memory_order_relaxed))) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NAME, "collection '%s' was dropped", c->name);
    }
    return OMEN_OK;
}

omen_status_t om_collection_writable(const om_segment *c, omen_error *err)
{
    if (c->read_only) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                       "collection '%s' is a mapped file: it can be read only", c->name);
    }
    return om_collection_alive(c, err);
}

omen_status_t om_collection_describe(omen_collection *handle, omen_options *out, omen_error *err)
{
    omen_status_t status = om_collection_alive(handle->c, err);
    if (status == OMEN_OK) {
        *out = handle->c->options;
    }
    return status;
}

omen_status_t om_collection_count(omen_collection *handle, uint64_t *count, omen_error *err)
{
    omen_status_t status = om_collection_alive(handle->c, err);
    if (status == OMEN_OK) {
        *count = atomic_load_explicit(&handle->c->live, memory_order_acquire);
    }
    return status;
}
