/* engine_view.c - what a search sees: an immutable set of pointers, replaced as a whole and freed
 * when no search can hold it any more.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_int.h"

omen_status_t om_view_prepare(om_segment *seg, om_view **out, omen_error *err)
{
    om_view *view = om_alloc_zero(&seg->rt->alloc, 1, sizeof *view, _Alignof(om_view));
    if (view == NULL) {
        return om_fail_memory(err, "view", sizeof *view);
    }
    *out = view;
    return OMEN_OK;
}

static void fill(om_view *view, const om_view_parts *parts)
{
    view->store = parts->store;
    view->codes_owner = parts->codes;
    view->codec = parts->codec;
    view->graph = parts->graph;
    view->indexed = parts->graph != NULL ? om_graph_view_count(parts->graph) : 0;
    view->vectors = parts->store->array[OM_A_VECTORS].base;
    view->keys = (const uint64_t *)(const void *)parts->store->array[OM_A_KEYS].base;
    view->norms = (const float *)(const void *)parts->store->array[OM_A_NORMS].base;
    view->dead = (_Atomic uint64_t *)(void *)parts->store->array[OM_A_DEAD].base;
    view->codes = parts->codes->array.base;
}

static void free_view(omen_runtime *rt, om_view *view)
{
    if ((view->drop & OM_DROP_GRAPH) != 0) {
        om_graph_view_free(view->graph);
    }
    if ((view->drop & OM_DROP_CODEC) != 0) {
        om_codec_free(view->codec);
    }
    if ((view->drop & OM_DROP_CODES) != 0) {
        om_codes_free(rt, view->codes_owner);
    }
    if ((view->drop & OM_DROP_STORE) != 0) {
        om_store_free(rt, view->store);
    }
    om_alloc_put(&rt->alloc, view, sizeof *view, _Alignof(om_view));
}

void om_view_publish(om_segment *seg, om_view *view, const om_view_parts *parts)
{
    om_view *former = om_view_load(seg);
    fill(view, parts);
    atomic_store(&seg->view, view);
    if (former == NULL) {
        return;
    }
    /* Views are retired in the order in which they were replaced, and a part goes with the last
     * view that has it; those that had it before have older tags, so they are past by then. */
    former->drop = (former->store != view->store && former->store != NULL ? OM_DROP_STORE : 0u) |
                   (former->codes_owner != view->codes_owner ? OM_DROP_CODES : 0u) |
                   (former->codec != view->codec && former->codec != NULL ? OM_DROP_CODEC : 0u) |
                   (former->graph != view->graph && former->graph != NULL ? OM_DROP_GRAPH : 0u);
    former->tag = om_epoch_tag(seg->rt);
    former->next = seg->retired;
    seg->retired = former;
    (void)om_view_reclaim(seg);
}

bool om_view_reclaim(om_segment *seg)
{
    om_view **at = &seg->retired; /* newest first: behind the first one that is past, all are */
    while (*at != NULL && !om_epoch_passed(seg->rt, (*at)->tag)) {
        at = &(*at)->next;
    }
    om_view *past = *at;
    *at = NULL;
    while (past != NULL) {
        om_view *next = past->next;
        free_view(seg->rt, past);
        past = next;
    }
    atomic_store(&seg->untidy, seg->retired != NULL);
    return seg->retired == NULL;
}

void om_view_free_all(om_segment *seg)
{
    while (seg->retired != NULL) {
        om_view *next = seg->retired->next;
        free_view(seg->rt, seg->retired);
        seg->retired = next;
    }
    om_view *view = om_view_load(seg);
    if (view != NULL) {
        if (view->mapped == NULL) {
            view->drop = OM_DROP_STORE | OM_DROP_CODES | OM_DROP_CODEC;
        }
        view->drop |= OM_DROP_GRAPH;
        free_view(seg->rt, view);
        atomic_store(&seg->view, NULL);
    }
}
