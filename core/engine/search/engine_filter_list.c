/* engine_filter_list.c - compiled filters that may be wanted again: whoever compiles the same text with
 * the same values gets the one that is there, with all that it has found out.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_filter.h"

enum { MOST_FILTERS = 64, MOST_NAME = 64 * 1024, SHARE_OF_LIMIT = 64 };
#define MOST_BYTES (UINT64_C(64) << 20)

/* ---- Names --------------------------------------------------------------------------------------- */
typedef struct writer {
    uint8_t *to; /* NULL: only the size */
    size_t size;
} writer;

static void put(writer *w, const void *bytes, size_t size)
{
    if (w->to != NULL && size != 0) {
        memcpy(w->to + w->size, bytes, size);
    }
    w->size += size;
}

static size_t width_of(uint32_t type)
{
    return type == OMEN_TYPE_BOOL ? sizeof(uint8_t) : sizeof(uint64_t);
}

static void put_param(writer *w, const omen_param *param)
{
    put(w, &param->type, sizeof param->type);
    put(w, &param->count, sizeof param->count);
    if (param->type != OMEN_TYPE_STRING && param->type != OMEN_TYPE_BYTES) {
        put(w, param->data, param->count * width_of(param->type));
        return;
    }
    for (uint32_t i = 0; i < param->count; i++) {
        uint64_t length = param->offsets[i + 1] - param->offsets[i];
        put(w, &length, sizeof length);
        put(w, (const uint8_t *)param->data + param->offsets[i], (size_t)length);
    }
}

static void put_all(writer *w, const om_predicate_text *text)
{
    uint64_t length = text->length;
    put(w, &length, sizeof length);
    put(w, text->text, text->length);
    for (uint64_t i = 0; i < text->param_count && w->size <= MOST_NAME; i++) {
        put_param(w, &text->params[i]);
    }
}

omen_status_t om_filter_name_make(const om_alloc *alloc, const om_predicate_text *text,
                                  om_filter_name *out, omen_error *err)
{
    writer w = {.to = NULL};
    *out = (om_filter_name){.bytes = NULL};
    put_all(&w, text);
    if (w.size > MOST_NAME) {
        return OMEN_OK;
    }
    out->bytes = om_alloc_get(alloc, w.size, OM_CACHE_LINE);
    if (out->bytes == NULL) {
        return om_fail_memory(err, "filter", w.size);
    }
    out->size = w.size;
    w = (writer){.to = out->bytes};
    put_all(&w, text);
    out->hash = om_id_hash((om_id){.bytes = out->bytes, .length = out->size});
    return OMEN_OK;
}

/* ---- The list ------------------------------------------------------------------------------------ */
/* The list of a collection, made at its first filter. NULL: no memory for it, which is no harm. */
static om_filters *list_of(om_collection *c)
{
    const om_alloc *alloc = &c->rt->alloc;
    om_filters *list = atomic_load_explicit(&c->filters, memory_order_acquire);
    if (list != NULL) {
        return list;
    }
    om_filters *made = om_alloc_zero(alloc, 1, sizeof *made, _Alignof(om_filters));
    if (made == NULL) {
        return NULL;
    }
    if (om_mutex_init(&made->mu, OM_RANK_FILTERS, NULL) != OMEN_OK) {
        om_alloc_put(alloc, made, sizeof *made, _Alignof(om_filters));
        return NULL;
    }
    made->most_bytes = c->rt->budget.limit != 0
                           ? om_min_u64(c->rt->budget.limit / SHARE_OF_LIMIT, MOST_BYTES)
                           : MOST_BYTES;
    if (!atomic_compare_exchange_strong(&c->filters, &list, made)) {
        om_mutex_destroy(&made->mu);
        om_alloc_put(alloc, made, sizeof *made, _Alignof(om_filters));
        return list;
    }
    return made;
}

static void unlink_filter(om_filters *list, om_filter *filter)
{
    *(filter->newer != NULL ? &filter->newer->older : &list->newest) = filter->older;
    *(filter->older != NULL ? &filter->older->newer : &list->oldest) = filter->newer;
    filter->newer = NULL;
    filter->older = NULL;
    list->count--;
}

static void link_newest(om_filters *list, om_filter *filter)
{
    filter->older = list->newest;
    filter->newer = NULL;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = filter;
    list->newest = filter;
    list->count++;
}

static om_filter *find(om_filters *list, const om_filter_name *name)
{
    for (om_filter *at = list->newest; at != NULL; at = at->older) {
        if (at->hash == name->hash && at->name_bytes == name->size &&
            memcmp(at->name, name->bytes, name->size) == 0) {
            return at;
        }
    }
    return NULL;
}

om_filter *om_filters_find(om_collection *c, const om_filter_name *name)
{
    om_filters *list = atomic_load_explicit(&c->filters, memory_order_acquire);
    if (list == NULL || name->bytes == NULL) {
        return NULL;
    }
    om_mutex_lock(&list->mu);
    om_filter *filter = find(list, name);
    if (filter != NULL) {
        om_filter_ref(filter);
        unlink_filter(list, filter);
        link_newest(list, filter);
    }
    om_mutex_unlock(&list->mu);
    return filter;
}

/* Takes the oldest out until the list is within its bounds; they are linked by `older`. The newest stays. */
static om_filter *take_surplus(om_filters *list)
{
    uint64_t bytes = 0;
    om_filter *gone = NULL;
    uint32_t kept = 0;
    for (om_filter *at = list->newest; at != NULL;) {
        om_filter *older = at->older;
        uint64_t with = bytes + atomic_load_explicit(&at->bytes, memory_order_relaxed);
        if (kept != 0 && (kept == MOST_FILTERS || with > list->most_bytes)) {
            unlink_filter(list, at);
            at->older = gone;
            gone = at;
        } else {
            bytes = with;
            kept++;
        }
        at = older;
    }
    return gone;
}

static void drop(om_filter *gone)
{
    while (gone != NULL) {
        om_filter *next = gone->older;
        gone->older = NULL;
        om_filter_unref(gone);
        gone = next;
    }
}

void om_filters_keep(om_collection *c, om_filter *filter, om_filter_name *name)
{
    om_filters *list = name->bytes != NULL ? list_of(c) : NULL;
    om_filter *gone = NULL;
    if (list == NULL) {
        return;
    }
    om_mutex_lock(&list->mu);
    if (find(list, name) == NULL) { /* nobody else compiled the same meanwhile */
        filter->hash = name->hash;
        filter->name = name->bytes;
        filter->name_bytes = name->size;
        *name = (om_filter_name){.bytes = NULL};
        om_filter_ref(filter);
        link_newest(list, filter);
        gone = take_surplus(list);
    }
    om_mutex_unlock(&list->mu);
    drop(gone);
}

void om_filters_trim(om_collection *c)
{
    om_filters *list = atomic_load_explicit(&c->filters, memory_order_acquire);
    if (list == NULL) {
        return;
    }
    om_mutex_lock(&list->mu);
    om_filter *gone = take_surplus(list);
    om_mutex_unlock(&list->mu);
    drop(gone);
}

bool om_filters_shed(om_collection *c)
{
    om_filters *list = atomic_load_explicit(&c->filters, memory_order_acquire);
    om_filter *gone = NULL;
    if (list == NULL) {
        return false;
    }
    om_mutex_lock(&list->mu);
    while (list->newest != NULL) {
        om_filter *filter = list->newest;
        unlink_filter(list, filter);
        filter->older = gone;
        gone = filter;
    }
    om_mutex_unlock(&list->mu);
    bool some = gone != NULL;
    drop(gone);
    return some;
}

void om_filters_free(om_collection *c)
{
    om_filters *list = atomic_load_explicit(&c->filters, memory_order_acquire);
    if (list == NULL) {
        return;
    }
    while (list->newest != NULL) {
        om_filter *filter = list->newest;
        unlink_filter(list, filter);
        om_filter_unref(filter);
    }
    om_mutex_destroy(&list->mu);
    om_alloc_put(&c->rt->alloc, list, sizeof *list, _Alignof(om_filters));
}
