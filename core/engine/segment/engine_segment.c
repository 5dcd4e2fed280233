/* engine_segment.c - the life of a segment, and the way from keys and ids to its rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

#define CODEC_SEED UINT64_C(0x6f6d656e)

void om_segment_set_options(om_segment *seg, const omen_options *options)
{
    seg->options = *options;
    seg->options.struct_size = sizeof seg->options;
    seg->codec_params = (om_codec_params){.dim = options->dim,
                                          .metric = options->metric,
                                          .dtype = options->dtype,
                                          .quantization = options->quantization,
                                          .rotation = options->rotation,
                                          .seed = CODEC_SEED};
    /* The graph has no kind of its own for AUTO: seeds, by the figures in its README. A file
     * names the kind that it holds, so it must be the same one when it is opened. */
    uint32_t entry = options->entry == OMEN_ENTRY_AUTO ? OMEN_ENTRY_SEEDS : options->entry;
    seg->graph_params = (om_graph_params){.m = options->m,
                                          .ef_construction = options->ef_construction,
                                          .entry = entry,
                                          .seed = CODEC_SEED};
    om_layout_init(&seg->layout, &seg->codec_params, options->m);
}

omen_status_t om_segment_create(om_collection *c, om_segment **out, omen_error *err)
{
    omen_runtime *rt = c->rt;
    om_segment *seg = om_alloc_zero(&rt->alloc, 1, sizeof *seg, _Alignof(om_segment));
    if (seg == NULL) {
        return om_fail_memory(err, "segment", sizeof *seg);
    }
    omen_status_t status = om_mutex_init(&seg->index_mu, OM_RANK_INDEX, err);
    if (status != OMEN_OK) {
        goto no_index;
    }
    if ((status = om_mutex_init(&seg->marks_mu, OM_RANK_MARKS, err)) != OMEN_OK) {
        goto no_marks;
    }
    seg->rt = rt;
    seg->serial = atomic_fetch_add_explicit(&rt->serials, 1, memory_order_relaxed) + 1;
    seg->c = c;
    seg->index_limit = UINT32_MAX;
    seg->ids_kept = c->db != NULL && c->db->disk != NULL;
    atomic_init(&seg->refs, 1);
    om_idmap_init(&seg->map, &rt->alloc);
    om_segment_set_options(seg, &c->options);
    *out = seg;
    return OMEN_OK;
no_marks:
    om_mutex_destroy(&seg->index_mu);
no_index:
    om_alloc_put(&rt->alloc, seg, sizeof *seg, _Alignof(om_segment));
    return status;
}

void om_segment_ref(om_segment *seg)
{
    atomic_fetch_add_explicit(&seg->refs, 1, memory_order_relaxed);
}

static void destroy(om_segment *seg)
{
    const om_alloc *alloc = &seg->rt->alloc;
    om_indexer_forget(seg);
    om_kept *kept = atomic_load(&seg->kept);
    if (kept != NULL) {
        kept->end(kept, seg);
    }
    om_fields_free(seg);
    om_births_free(seg);
    om_view_free_all(seg);
    om_graph_free(seg->graph);
    om_mapped_close(seg); /* the arrays that the two above point into */
    om_idmap_free(&seg->map);
    om_idtable_free(seg->table);
    om_alloc_put(alloc, seg->windows, seg->window_count * sizeof(om_window), OM_CACHE_LINE);
    om_alloc_put(alloc, seg->marks, OM_MARKS * sizeof(om_mark), OM_CACHE_LINE);
    om_mutex_destroy(&seg->marks_mu);
    om_mutex_destroy(&seg->index_mu);
    om_alloc_put(alloc, seg, sizeof *seg, _Alignof(om_segment));
}

void om_segment_unref(om_segment *seg)
{
    if (seg != NULL && atomic_fetch_sub_explicit(&seg->refs, 1, memory_order_acq_rel) == 1) {
        destroy(seg);
    }
}

/* ---- From keys and ids to rows. ids_mu held -------------------------------------------------- */
/* Not by the view of a segment in memory: the indexer replaces it and frees the former as soon as no
 * context is pinned, and those who come here hold a mutex instead. The store changes with write_mu
 * and ids_mu held; a file's view never does. */
_Atomic uint64_t *om_segment_dead(om_segment *seg)
{
    return seg->mapped != NULL ? om_view_load(seg)->dead
                               : (_Atomic uint64_t *)(void *)seg->store->array[OM_A_DEAD].base;
}

bool om_segment_is_dead(om_segment *seg, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(&om_segment_dead(seg)[slot >> 6], memory_order_acquire);
    return ((word >> (slot & 63)) & 1) != 0;
}

/* Tombstones as they are now; those of a file that is only read are checked at their first use. */
static omen_status_t is_live(om_segment *seg, uint32_t *slot, omen_error *err)
{
    if (seg->mapped != NULL) {
        omen_status_t status = om_mapped_touch(seg->mapped, OM_TOUCH_DEAD, *slot, 1, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    if (om_segment_is_dead(seg, *slot)) {
        *slot = OM_IDMAP_ABSENT;
    }
    return OMEN_OK;
}

omen_status_t om_segment_find(om_segment *seg, uint64_t key, uint32_t *slot, omen_error *err)
{
    *slot = OM_IDMAP_ABSENT;
    if (seg->mapped != NULL) {
        omen_status_t status = om_mapped_slot_of_key(seg->mapped, key, slot, err);
        if (status != OMEN_OK) {
            return status;
        }
    } else if (seg->store != NULL) {
        *slot = om_idmap_get(&seg->map, (const void *)seg->store->array[OM_A_KEYS].base, key);
    }
    return *slot == OM_IDMAP_ABSENT ? OMEN_OK : is_live(seg, slot, err);
}

static omen_status_t find_in_table(om_segment *seg, om_id id, uint64_t *key, omen_error *err)
{
    *key = OMEN_NONE;
    uint64_t number =
        seg->table != NULL ? om_idtable_find(seg->table, id.bytes, id.length) : OMEN_NONE;
    if (number == OMEN_NONE) {
        return OMEN_OK;
    }
    uint32_t slot = (uint32_t)(number - 1);
    uint64_t there = ((const uint64_t *)(const void *)seg->store->array[OM_A_KEYS].base)[slot];
    omen_status_t status = is_live(seg, &slot, err);
    if (status == OMEN_OK && slot != OM_IDMAP_ABSENT) {
        *key = there;
    }
    return status;
}

omen_status_t om_segment_find_id(om_segment *seg, om_id id, uint64_t *key, omen_error *err)
{
    uint32_t slot = OM_IDMAP_ABSENT;
    if (seg->options.id_type != OMEN_ID_U64 && seg->mapped == NULL) {
        return find_in_table(seg, id, key, err);
    }
    *key = OMEN_NONE;
    if (seg->options.id_type != OMEN_ID_U64) {
        omen_status_t status = om_mapped_key_of_id(seg->mapped, id, key, err);
        if (status != OMEN_OK || *key == OMEN_NONE) {
            return status;
        }
    } else if (id.length == sizeof *key) {
        *key = om_id_u64(id);
    }
    if (*key == OMEN_NONE) {
        return OMEN_OK;
    }
    omen_status_t status = om_segment_find(seg, *key, &slot, err);
    *key = slot == OM_IDMAP_ABSENT ? OMEN_NONE : *key;
    return status;
}

omen_status_t om_segment_id(om_segment *seg, uint32_t slot, uint64_t *scratch, om_id *out,
                            omen_error *err)
{
    *out = (om_id){.bytes = NULL};
    if (seg->options.id_type == OMEN_ID_U64) {
        if (seg->mapped != NULL) {
            omen_status_t status = om_mapped_touch(seg->mapped, OM_TOUCH_KEYS, slot, 1, err);
            if (status != OMEN_OK) {
                return status;
            }
        }
        const uint8_t *keys = seg->mapped != NULL ? seg->mapped->section[OM_SECTION_KEYS].data
                                                  : seg->store->array[OM_A_KEYS].base;
        memcpy(scratch, keys + (size_t)slot * sizeof *scratch, sizeof *scratch);
        *out = (om_id){.bytes = (const uint8_t *)scratch, .length = sizeof *scratch};
        return OMEN_OK;
    }
    if (seg->mapped != NULL) {
        return om_mapped_id_of_slot(seg->mapped, slot, out, err);
    }
    out->bytes = om_idtable_id(seg->table, (uint64_t)slot + 1, &out->length);
    return OMEN_OK;
}

/* ---- Tombstones ------------------------------------------------------------------------------ */
bool om_segment_kill(om_segment *seg, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << (slot & 63);
    _Atomic uint64_t *dead = om_segment_dead(seg);
    if ((atomic_fetch_or_explicit(&dead[slot >> 6], bit, memory_order_release) & bit) != 0) {
        return false;
    }
    atomic_fetch_sub(&seg->live, 1);
    atomic_fetch_add_explicit(&seg->deaths, 1, memory_order_relaxed);
    return true;
}

static size_t words_of(uint32_t rows)
{
    return ((size_t)rows + 63) / 64;
}

omen_status_t om_segment_copy_dead(om_segment *seg, uint32_t rows, uint64_t **out, uint32_t *live,
                                   omen_error *err)
{
    size_t words = words_of(rows);
    *out = NULL;
    *live = rows;
    if (rows == 0) {
        return OMEN_OK;
    }
    if (seg->mapped != NULL) {
        omen_status_t status = om_mapped_touch(seg->mapped, OM_TOUCH_DEAD, 0, rows, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    uint64_t *copy = om_alloc_get(&seg->rt->alloc, words * sizeof *copy, OM_CACHE_LINE);
    if (copy == NULL) {
        return om_fail_memory(err, "tombstones", words * sizeof *copy);
    }
    _Atomic uint64_t *dead = om_segment_dead(seg);
    for (size_t i = 0; i < words; i++) {
        copy[i] = atomic_load_explicit(&dead[i], memory_order_relaxed);
    }
    if ((rows & 63) != 0) {
        copy[words - 1] &= (UINT64_C(1) << (rows & 63)) - 1;
    }
    for (size_t i = 0; i < words; i++) {
        *live -= (uint32_t)__builtin_popcountll(copy[i]);
    }
    *out = copy;
    return OMEN_OK;
}

void om_segment_drop_dead(om_segment *seg, uint32_t rows, uint64_t *dead)
{
    om_alloc_put(&seg->rt->alloc, dead, words_of(rows) * sizeof *dead, OM_CACHE_LINE);
}
