/* engine_growth.c - room for rows: memory committed before a batch is applied, and larger arrays
 * when the reserved ones are full.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_int.h"

static uint32_t visible_rows(om_segment *seg)
{
    return atomic_load_explicit(&seg->visible, memory_order_relaxed);
}

omen_status_t om_growth_commit(om_segment *seg, uint64_t extra, bool *grow, omen_error *err)
{
    uint64_t rows = visible_rows(seg) + extra;
    *grow = false;
    if (rows > seg->layout.max_rows) {
        return om_fail(
            err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
            "rows: the collection has %u (deleted ones included) and %llu more are above the "
            "limit of %u",
            visible_rows(seg), (unsigned long long)extra, seg->layout.max_rows);
    }
    if (seg->store == NULL || rows > seg->store->capacity) {
        *grow = true;
        return OMEN_OK;
    }
    omen_status_t status = om_store_commit(seg->store, &seg->layout, rows, err);
    return status != OMEN_OK ? status : om_codes_commit(seg->codes, &seg->layout, rows, err);
}

/* Gives the arrays of `rows` rows to new ones. Readers of the old ones are not disturbed. */
static void copy_rows(om_segment *seg, om_store *store, om_codes *codes, uint32_t rows)
{
    for (uint32_t i = 0; i < OM_A_COUNT; i++) {
        size_t bytes = i == OM_A_DEAD ? (size_t)(rows + 63) / 64 * sizeof(uint64_t)
                                      : (size_t)rows * seg->layout.bytes[i];
        if (bytes != 0) {
            memcpy(store->array[i].base, seg->store->array[i].base, bytes);
        }
    }
    uint32_t encoded = atomic_load_explicit(&seg->codes->encoded, memory_order_relaxed);
    memcpy(codes->array.base, seg->codes->array.base, (size_t)encoded * seg->layout.code_stride);
    atomic_store_explicit(&codes->encoded, encoded, memory_order_relaxed);
}

typedef struct grown {
    om_store *store;
    om_codes *codes;
    om_graph_view *graph;
    om_view *view;
} grown;

static void drop_grown(om_segment *seg, grown *g)
{
    om_graph_view_free(g->graph);
    om_store_free(seg->rt, g->store);
    om_codes_free(seg->rt, g->codes);
    om_alloc_put(&seg->rt->alloc, g->view, sizeof *g->view, _Alignof(om_view));
}

static om_graph_arrays arrays_of(const om_codec *codec, const om_store *store,
                                 const om_codes *codes)
{
    return (om_graph_arrays){.codec = codec,
                             .codes = codes->array.base,
                             .links = (uint32_t *)(void *)store->array[OM_A_LINKS].base,
                             .incoming = (uint32_t *)(void *)store->array[OM_A_INCOMING].base};
}

static omen_status_t make_arrays(om_segment *seg, uint32_t capacity, uint64_t rows, grown *g,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_store_create(seg->rt, &seg->layout, capacity, &g->store, err));
    OM_TRY(om_codes_create(seg->rt, &seg->layout, capacity, &g->codes, err));
    OM_TRY(om_store_commit(g->store, &seg->layout, rows, err));
    OM_TRY(om_codes_commit(g->codes, &seg->layout, rows, err));
out:
    if (status != OMEN_OK) {
        om_store_free(seg->rt, g->store);
        om_codes_free(seg->rt, g->codes);
        g->store = NULL;
        g->codes = NULL;
    }
    return status;
}

static omen_status_t grow_to(om_segment *seg, uint32_t capacity, uint64_t rows, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    grown g = {.store = NULL};
    OM_TRY(om_view_prepare(seg, &g.view, err));
    OM_TRY(make_arrays(seg, capacity, rows, &g, err));
    if (seg->store != NULL) {
        copy_rows(seg, g.store, g.codes, visible_rows(seg));
    }
    if (seg->graph != NULL) {
        om_graph_arrays arrays = arrays_of(seg->codec, g.store, g.codes);
        OM_TRY(om_graph_view_create(seg->graph, &arrays, &g.graph, err));
    }
    /* The id map reads keys through the store: it changes under the lock of the map's readers. */
    om_rwlock_write(&seg->c->ids_mu);
    seg->store = g.store;
    seg->codes = g.codes;
    om_rwlock_unlock(&seg->c->ids_mu);
    om_view_parts parts = {
        .store = g.store, .codes = g.codes, .codec = seg->codec, .graph = g.graph};
    om_view_publish(seg, g.view, &parts);
out:
    if (status != OMEN_OK) {
        drop_grown(seg, &g);
    }
    return status;
}

/* Index and write mutex held. */
static omen_status_t grow_locked(om_segment *seg, uint64_t extra, omen_error *err)
{
    uint64_t rows = visible_rows(seg) + extra;
    uint32_t current = seg->store != NULL ? seg->store->capacity : 0;
    if (rows <= current || atomic_load(&seg->frozen)) {
        /* Somebody else was here first; or froze it, and a seal may be reading its arrays. */
        return OMEN_OK;
    }
    uint64_t hint = om_min_u64(seg->options.capacity_hint, seg->layout.max_rows);
    uint32_t capacity = om_layout_capacity(&seg->layout, current, rows, hint);
    omen_status_t status = grow_to(seg, capacity, rows, err);
    /* Where address space is rationed (ulimit -v) a smaller reservation may still be had. */
    while (status == OMEN_RESOURCE_EXHAUSTED && capacity / 2 >= rows && capacity / 2 > current) {
        capacity /= 2;
        status = grow_to(seg, capacity, rows, err);
    }
    if (status == OMEN_OK) {
        om_log_write(&seg->rt->log, OMEN_LOG_DEBUG, "engine", "collection '%s': room for %u rows",
                     seg->c->name, capacity);
    }
    return status;
}

omen_status_t om_growth_run(om_segment *seg, uint64_t extra, omen_error *err)
{
    om_mutex_lock(&seg->index_mu);
    om_mutex_lock(&seg->c->write_mu);
    omen_status_t status = grow_locked(seg, extra, err);
    om_mutex_unlock(&seg->c->write_mu);
    om_mutex_unlock(&seg->index_mu);
    return status;
}
