/* engine_save.c - a collection as one segment file, while it is being written to.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Deaths and ids are copied at one moment, with the writer stopped: they are what the file holds.
 * Then the graph is brought to the rows of that moment and not beyond (index_limit), its links
 * are written with the indexer stopped, and the rest, which never changes, from a view that is
 * kept. */
#include <string.h>

#include "engine_int.h"

enum { SLOT_CHUNK = 4096 };

typedef struct save {
    om_collection *c;
    om_segwriter *writer;
    om_stop stop;
    omen_op *op;
    om_ctx *ctx;
    const om_view *view; /* kept by ctx */
    uint32_t rows, live;
    uint64_t version, next_key;
    uint64_t *dead; /* [dead_words] */
    size_t dead_words;
    uint64_t *id_offsets; /* [rows + 1], UUID and STRING */
    uint8_t *id_bytes;
    size_t id_size;
    om_pair *pairs; /* [live] */
    uint8_t *blob;  /* codec and entry bytes */
    size_t blob_size;
} save;

static const om_alloc *alloc_of(const save *s)
{
    return &s->c->rt->alloc;
}

static void release(save *s)
{
    const om_alloc *alloc = alloc_of(s);
    om_segwriter_abort(s->writer);
    om_alloc_put(alloc, s->dead, s->dead_words * sizeof *s->dead, OM_CACHE_LINE);
    om_alloc_put(alloc, s->id_offsets, ((size_t)s->rows + 1) * sizeof *s->id_offsets,
                 OM_CACHE_LINE);
    om_alloc_put(alloc, s->id_bytes, s->id_size, OM_CACHE_LINE);
    om_alloc_put(alloc, s->pairs, s->live * sizeof *s->pairs, OM_CACHE_LINE);
    om_alloc_put(alloc, s->blob, s->blob_size, OM_CACHE_LINE);
    if (s->ctx != NULL) {
        om_ctx_unpin(s->ctx);
        om_ctx_release(s->ctx);
    }
}

static bool is_dead(const save *s, uint32_t slot)
{
    return ((s->dead[slot >> 6] >> (slot & 63)) & 1) != 0;
}

/* ---- The moment ------------------------------------------------------------------------------ */
static omen_status_t copy_dead(save *s, omen_error *err)
{
    const om_collection *c = s->c;
    s->dead_words = ((size_t)s->rows + 63) / 64;
    s->dead = om_alloc_zero(alloc_of(s), s->dead_words, sizeof *s->dead, OM_CACHE_LINE);
    if (s->dead == NULL) {
        return om_fail_memory(err, "tombstones", s->dead_words * sizeof *s->dead);
    }
    _Atomic uint64_t *dead = (_Atomic uint64_t *)(void *)c->store->array[OM_A_DEAD].base;
    s->live = s->rows;
    for (size_t i = 0; i < s->dead_words; i++) {
        s->dead[i] = atomic_load_explicit(&dead[i], memory_order_relaxed);
        s->live -= (uint32_t)__builtin_popcountll(s->dead[i]);
    }
    return OMEN_OK;
}

/* Ids of live rows, by slot; dead ones have none. */
static omen_status_t copy_ids(save *s, omen_error *err)
{
    om_collection *c = s->c;
    const uint64_t *keys = (const void *)c->store->array[OM_A_KEYS].base;
    s->id_offsets =
        om_alloc_zero(alloc_of(s), (size_t)s->rows + 1, sizeof *s->id_offsets, OM_CACHE_LINE);
    if (s->id_offsets == NULL) {
        return om_fail_memory(err, "ids", ((size_t)s->rows + 1) * sizeof *s->id_offsets);
    }
    for (uint32_t slot = 0; slot < s->rows; slot++) {
        size_t length = 0;
        if (!is_dead(s, slot)) {
            (void)om_idtable_id(c->table, keys[slot], &length);
        }
        s->id_offsets[slot + 1] = s->id_offsets[slot] + length;
    }
    s->id_size = (size_t)s->id_offsets[s->rows];
    s->id_bytes = om_alloc_get(alloc_of(s), s->id_size, OM_CACHE_LINE);
    if (s->id_bytes == NULL) {
        return om_fail_memory(err, "ids", s->id_size);
    }
    for (uint32_t slot = 0; slot < s->rows; slot++) {
        size_t length = (size_t)(s->id_offsets[slot + 1] - s->id_offsets[slot]);
        if (length != 0) {
            memcpy(s->id_bytes + s->id_offsets[slot], om_idtable_id(c->table, keys[slot], &length),
                   length);
        }
    }
    return OMEN_OK;
}

static omen_status_t freeze_locked(save *s, omen_error *err)
{
    om_collection *c = s->c;
    omen_status_t status = OMEN_OK;
    s->rows = atomic_load(&c->visible);
    s->version = atomic_load(&c->version);
    s->next_key = c->next_key;
    if (s->rows == 0) {
        return OMEN_OK;
    }
    OM_TRY(copy_dead(s, err));
    if (c->options.id_type != OMEN_ID_U64) {
        om_rwlock_read(&c->ids_mu);
        status = copy_ids(s, err);
        om_rwlock_unlock(&c->ids_mu);
    }
    if (status == OMEN_OK) {
        c->index_limit = s->rows;
    }
out:
    return status;
}

static omen_status_t freeze(save *s, omen_error *err)
{
    om_mutex_lock(&s->c->index_mu);
    om_mutex_lock(&s->c->write_mu);
    omen_status_t status = freeze_locked(s, err);
    om_mutex_unlock(&s->c->write_mu);
    om_mutex_unlock(&s->c->index_mu);
    return status;
}

static void thaw(om_collection *c)
{
    om_mutex_lock(&c->index_mu);
    c->index_limit = UINT32_MAX;
    om_mutex_unlock(&c->index_mu);
    om_indexer_notify(c);
}

/* ---- Sections -------------------------------------------------------------------------------- */
static omen_status_t section(save *s, uint32_t kind, uint64_t stride, uint64_t rows,
                             const void *data, uint64_t bytes, omen_error *err)
{
    enum { PIECE = 16 << 20 };
    omen_status_t status = OMEN_OK;
    OM_TRY(om_segwriter_begin(s->writer, kind, OM_VECTOR_INDEX_DEFAULT, stride, rows, bytes, err));
    for (uint64_t at = 0; at < bytes; at += PIECE) {
        status = om_stop_check(&s->stop);
        if (status != OMEN_OK) {
            return om_fail(err, status, OMEN_D_NONE, "save stopped; the path is as it was");
        }
        OM_TRY(om_segwriter_append(s->writer, (const uint8_t *)data + at,
                                   (size_t)om_min_u64(PIECE, bytes - at), err));
    }
    OM_TRY(om_segwriter_end(s->writer, err));
out:
    return status;
}

static omen_status_t rows_section(save *s, uint32_t kind, size_t stride, const void *data,
                                  omen_error *err)
{
    return section(s, kind, stride, s->rows, data, (uint64_t)stride * s->rows, err);
}

static omen_status_t write_meta(save *s, omen_error *err)
{
    const omen_options *o = &s->c->options;
    om_meta meta = {.size = sizeof meta,
                    .dim = o->dim,
                    .metric = o->metric,
                    .dtype = o->dtype,
                    .id_type = o->id_type,
                    .m = o->m,
                    .ef_construction = o->ef_construction,
                    .quantization = o->quantization,
                    .rotation = o->rotation,
                    .entry = o->entry,
                    .durability = o->durability,
                    .capacity_hint = o->capacity_hint,
                    .max_backlog_rows = o->max_backlog_rows,
                    .next_key = s->next_key,
                    .live = s->live};
    return section(s, OM_SECTION_META, 0, 0, &meta, sizeof meta, err);
}

static omen_status_t make_blob(save *s, size_t size, omen_error *err)
{
    om_alloc_put(alloc_of(s), s->blob, s->blob_size, OM_CACHE_LINE);
    s->blob_size = 0;
    s->blob = om_alloc_get(alloc_of(s), size, OM_CACHE_LINE);
    if (s->blob == NULL) {
        return om_fail_memory(err, "exported bytes", size);
    }
    s->blob_size = size;
    return OMEN_OK;
}

/* What changes in place: with the indexer stopped. */
static omen_status_t write_graph_locked(save *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = s->c;
    s->view = om_view_load(c);
    om_assert(om_graph_count(c->graph) == s->rows);
    OM_TRY(make_blob(s, om_codec_export_size(c->codec), err));
    om_codec_export(c->codec, s->blob);
    OM_TRY(section(s, OM_SECTION_CODEC, 0, 0, s->blob, s->blob_size, err));
    OM_TRY(make_blob(s, om_graph_export_size(c->graph), err));
    om_graph_export(c->graph, s->blob);
    OM_TRY(section(s, OM_SECTION_ENTRY, 0, 0, s->blob, s->blob_size, err));
    OM_TRY(rows_section(s, OM_SECTION_LINKS, c->layout.link_stride,
                        c->store->array[OM_A_LINKS].base, err));
out:
    return status;
}

static omen_status_t write_graph(save *s, omen_error *err)
{
    omen_status_t status = om_ctx_acquire(s->c->rt, &s->ctx, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(s->c->rt, s->ctx);
    om_mutex_lock(&s->c->index_mu);
    status = write_graph_locked(s, err);
    om_mutex_unlock(&s->c->index_mu);
    return status;
}

static omen_status_t write_key_map(save *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t slots[SLOT_CHUNK];
    size_t n = 0;
    for (uint32_t slot = 0; slot < s->rows; slot++) {
        if (!is_dead(s, slot)) {
            s->pairs[n++] = (om_pair){.value = s->view->keys[slot], .slot = slot};
        }
    }
    om_pairs_sort(s->pairs, n);
    OM_TRY(om_segwriter_begin(s->writer, OM_SECTION_KEYMAP, OM_VECTOR_INDEX_DEFAULT,
                              sizeof slots[0], n, n * sizeof slots[0], err));
    for (size_t at = 0; at < n; at += SLOT_CHUNK) {
        size_t part = (size_t)om_min_u64(SLOT_CHUNK, n - at);
        for (size_t i = 0; i < part; i++) {
            slots[i] = s->pairs[at + i].slot;
        }
        OM_TRY(om_segwriter_append(s->writer, slots, part * sizeof slots[0], err));
    }
    OM_TRY(om_segwriter_end(s->writer, err));
out:
    return status;
}

static omen_status_t write_id_map(save *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    size_t n = 0;
    for (uint32_t slot = 0; slot < s->rows; slot++) {
        if (!is_dead(s, slot)) {
            om_id id = {.bytes = s->id_bytes + s->id_offsets[slot],
                        .length = (size_t)(s->id_offsets[slot + 1] - s->id_offsets[slot])};
            s->pairs[n++] = (om_pair){.value = om_id_hash(id), .slot = slot};
        }
    }
    om_pairs_sort(s->pairs, n);
    OM_TRY(section(s, OM_SECTION_ID_BYTES, 0, 0, s->id_bytes, s->id_size, err));
    OM_TRY(section(s, OM_SECTION_ID_OFFSETS, sizeof(uint64_t), (uint64_t)s->rows + 1, s->id_offsets,
                   ((uint64_t)s->rows + 1) * sizeof(uint64_t), err));
    OM_TRY(section(s, OM_SECTION_ID_MAP, sizeof(om_pair), n, s->pairs, n * sizeof(om_pair), err));
out:
    return status;
}

static omen_status_t write_rows(save *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = s->c;
    s->pairs = om_alloc_get(alloc_of(s), s->live * sizeof *s->pairs, OM_CACHE_LINE);
    if (s->pairs == NULL) {
        return om_fail_memory(err, "key map", s->live * sizeof *s->pairs);
    }
    OM_TRY(rows_section(s, OM_SECTION_CODES, c->layout.code_stride, s->view->codes, err));
    OM_TRY(rows_section(s, OM_SECTION_KEYS, sizeof(uint64_t), s->view->keys, err));
    OM_TRY(write_key_map(s, err));
    OM_TRY(section(s, OM_SECTION_DEAD, sizeof *s->dead, s->dead_words, s->dead,
                   s->dead_words * sizeof *s->dead, err));
    if (c->options.metric == OMEN_COSINE) {
        OM_TRY(rows_section(s, OM_SECTION_NORMS, sizeof(float), s->view->norms, err));
    }
    if (c->options.id_type != OMEN_ID_U64) {
        OM_TRY(write_id_map(s, err));
    }
    OM_TRY(rows_section(s, OM_SECTION_VECTORS, c->layout.row_bytes, s->view->vectors, err));
out:
    return status;
}

/* ---- The call -------------------------------------------------------------------------------- */
static omen_status_t commit(save *s, omen_error *err)
{
    om_segwriter *writer = s->writer;
    s->writer = NULL; /* Commit frees it, whatever comes of it. */
    return om_segwriter_commit(writer, s->rows, s->version, err);
}

static omen_status_t save_growing(save *s, const char *path, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = s->c;
    OM_TRY(freeze(s, err));
    if (s->rows != 0) {
        OM_TRY(om_index_until(c, s->rows, &s->stop, s->op, err));
    }
    OM_TRY(om_segwriter_create(&om_io_system, alloc_of(s), path, &s->writer, err));
    OM_TRY(write_meta(s, err));
    if (s->rows != 0) {
        OM_TRY(write_graph(s, err));
    }
out:
    thaw(c);
    if (status == OMEN_OK && s->rows != 0) {
        status = write_rows(s, err);
    }
    return status != OMEN_OK ? status : commit(s, err);
}

/* A mapped collection is copied section by section, each block checked on the way. */
static omen_status_t save_mapped(save *s, const char *path, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mapped *mapped = s->c->mapped;
    s->version = om_segfile_version(mapped->file);
    OM_TRY(om_segwriter_create(&om_io_system, alloc_of(s), path, &s->writer, err));
    for (uint32_t kind = 1; kind < OM_SECTION_MAX; kind++) {
        const om_section *from = &mapped->section[kind];
        if (from->data == NULL) {
            continue;
        }
        OM_TRY(om_mapped_verify(mapped, kind, &s->stop, err));
        OM_TRY(section(s, kind, from->stride, from->stride != 0 ? from->rows : 0, from->data,
                       from->bytes, err));
    }
    s->rows = mapped->rows;
    status = commit(s, err);
    s->rows = 0;
out:
    return status;
}

omen_status_t om_collection_save(omen_collection *handle, const char *path, omen_op *op,
                                 omen_error *err)
{
    om_collection *c = handle->c;
    save s = {.c = c, .op = op, .stop = {.op = op}};
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t rejections = om_rejections(c->rt);
    om_mutex_lock(&c->save_mu);
    status = c->mapped != NULL ? save_mapped(&s, path, err) : save_growing(&s, path, err);
    om_mutex_unlock(&c->save_mu);
    release(&s);
    return om_explain_memory(c->rt, rejections, status, err);
}
