/* console_collections.c - collections that the caller may read: a list, and one with all that is known of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "console_int.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_PAGE = 256 };

typedef struct number {
    const char *name;
    uint64_t value;
} number;

static json_t *numbers_of(const number *list, size_t count)
{
    json_t *o = json_object();
    for (size_t i = 0; i < count; i++) {
        (void)json_object_set_new(o, list[i].name, om_console_u64(list[i].value));
    }
    return o;
}

static json_t *config_of(const omen_options *o)
{
    static const char *const durabilities[] = {"", "none", "interval", "batch"};
    return json_pack("{s:i,s:s,s:s,s:s,s:i,s:i,s:s,s:s,s:o}", "dim", (int)o->dim, "metric",
                     om_console_metric(o->metric), "type", om_console_type(o->dtype), "id_type",
                     om_console_id_type(o->id_type), "m", (int)o->m, "ef_construction",
                     (int)o->ef_construction, "quantization",
                     o->quantization == OMEN_QUANT_NONE ? "none" : "sq8", "durability",
                     o->durability < 4 ? durabilities[o->durability] : "", "max_backlog_rows",
                     om_console_u64(o->max_backlog_rows));
}

static json_t *memory_of(const omen_stats *s)
{
    const number parts[] = {{"codes", s->bytes_codes},       {"links", s->bytes_links},
                            {"ids", s->bytes_ids},           {"vectors", s->bytes_vectors},
                            {"metadata", s->bytes_metadata}, {"text", s->bytes_text},
                            {"scratch", s->bytes_scratch}};
    return numbers_of(parts, sizeof parts / sizeof parts[0]);
}

static json_t *stats_of(const omen_stats *s)
{
    const number parts[] = {
        {"items", s->count},          {"deleted", s->deleted},      {"rows", s->rows},
        {"indexed", s->indexed_rows}, {"backlog", s->backlog_rows}, {"segments", s->segments},
        {"frozen", s->frozen},        {"mapped", s->bytes_mapped},  {"disk", s->bytes_disk},
        {"searches", s->searches},    {"distances", s->distances},  {"hops", s->hops},
        {"fields", s->fields},        {"text_rows", s->text_rows},  {"retrained", s->retrained},
        {"clipped", s->clipped_rows}};
    return numbers_of(parts, sizeof parts / sizeof parts[0]);
}

/* Estimates of the recall monitor for one collection, a plan each. */
typedef struct estimates {
    om_recall_estimate *list;
    size_t count;
} estimates;

static estimates estimates_get(const om_console *c)
{
    estimates e = {0};
    om_recall *recall = c->options.observe != NULL ? c->options.observe->recall : NULL;
    size_t count = om_recall_copy(recall, NULL, 0);
    if (count > 0) {
        e.list = calloc(count, sizeof *e.list);
    }
    if (e.list != NULL) {
        e.count = om_recall_copy(recall, e.list, count);
        e.count = e.count < count ? e.count : count;
    }
    return e;
}

static json_t *estimates_of(const estimates *e, const char *name)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->count; i++) {
        const om_recall_estimate *r = &e->list[i];
        if (strcmp(r->collection, name) == 0) {
            (void)json_array_append_new(
                list, json_pack("{s:s,s:f,s:o,s:o,s:o}", "plan", omen_plan_name(r->plan), "queries",
                                r->queries, "recall", om_console_real(r->recall), "low",
                                om_console_real(r->low), "high", om_console_real(r->high)));
        }
    }
    return list;
}

static json_t *collection_of(om_console_call *call, om_coll *coll, const estimates *recall)
{
    omen_stats s = {.struct_size = sizeof s};
    omen_error err = {.item = OMEN_NONE};
    if (omen_get_stats(coll->handle, &s, &err) != OMEN_OK) {
        om_failure_from_engine(&call->f, &err);
        return NULL;
    }
    return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:b,s:b,s:b,s:b,s:I}", "name", coll->name, "config",
                     config_of(&coll->options), "stats", stats_of(&s), "memory", memory_of(&s),
                     "version", om_console_version(s.version), "recall",
                     estimates_of(recall, coll->name), "read_only", s.read_only != 0, "rotated",
                     s.rotated != 0, "damaged", atomic_load(&coll->damaged) != 0, "manage",
                     om_principal_may(call->who, coll->name, OM_VERB_MANAGE) ? 1 : 0, "search_ns",
                     (json_int_t)atomic_load_explicit(&coll->search_ns, memory_order_relaxed));
}

/* ---- The list -------------------------------------------------------------------------------- */

typedef struct listing {
    om_console_call *call;
    json_t *list;
    const estimates *recall;
    char after[OMEN_MAX_NAME + 1]; /* the last name that was looked at */
    bool more;
} listing;

/* One that was dropped meanwhile is left out. */
static void add_one(listing *l, const char *name)
{
    om_coll *coll = NULL;
    om_console_call quiet = *l->call;
    if (om_colls_get(l->call->shared->colls, name, &coll, NULL) == OMEN_OK) {
        json_t *o = collection_of(&quiet, coll, l->recall);
        if (o != NULL) {
            (void)json_array_append_new(l->list, o);
        }
        om_coll_release(coll);
    }
}

/* False: this was the last page of names, or the list is full. */
static bool add_page(listing *l, char *names)
{
    size_t count = 0;
    omen_error err = {.item = OMEN_NONE};
    const char *after = l->after[0] != '\0' ? l->after : NULL;
    if (omen_list(l->call->shared->opt.db, after, names, LIST_PAGE, &count, &err) != OMEN_OK) {
        return om_failure_from_engine(&l->call->f, &err);
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = names + i * (OMEN_MAX_NAME + 1);
        bool may = om_principal_may(l->call->who, name, OM_VERB_READ);
        if (may && json_array_size(l->list) >= OM_CONSOLE_MAX_LIST) {
            l->more = true;
            return false;
        }
        if (may) {
            add_one(l, name);
        }
        memcpy(l->after, name, sizeof l->after);
    }
    return count == LIST_PAGE;
}

json_t *om_console_collections(om_console_call *call)
{
    const char *after = om_admin_argument(call->request, "after");
    listing l = {.call = call};
    if (after != NULL && strlen(after) > OMEN_MAX_NAME) {
        om_failure_limit(&call->f, "after", strlen(after), OMEN_MAX_NAME);
        return NULL;
    }
    if (after != NULL) {
        memcpy(l.after, after, strlen(after) + 1);
    }
    char *names = malloc(LIST_PAGE * (OMEN_MAX_NAME + 1));
    if (names == NULL) {
        return NULL;
    }
    estimates recall = estimates_get(call->console);
    l.list = json_array();
    l.recall = &recall;
    while (add_page(&l, names)) {
    }
    free(names);
    free(recall.list);
    if (call->f.code != 0) {
        json_decref(l.list);
        return NULL;
    }
    return json_pack("{s:o,s:s}", "collections", l.list, "next", l.more ? l.after : "");
}

/* ---- One ------------------------------------------------------------------------------------- */

static json_t *field_of(const omen_field *f)
{
    static const char *const types[] = {"",     "string", "int64", "double", "bool",
                                        "time", "bytes",  "geo",   "text"};
    uint32_t type = f->type & ~(uint32_t)OMEN_TYPE_ARRAY;
    return json_pack("{s:s,s:s,s:b,s:f,s:s}", "name", f->name, "type",
                     type < sizeof types / sizeof types[0] ? types[type] : "", "array",
                     (f->type & OMEN_TYPE_ARRAY) != 0, "weight", (double)f->weight, "language",
                     f->language);
}

static json_t *fields_of(om_console_call *call, om_coll *coll)
{
    omen_error err = {.item = OMEN_NONE};
    uint64_t count = 0;
    omen_field *fields = calloc(OMEN_MAX_FIELDS, sizeof *fields);
    if (fields == NULL) {
        return NULL;
    }
    json_t *list = NULL;
    if (omen_list_fields(coll->handle, fields, OMEN_MAX_FIELDS, &count, &err) == OMEN_OK) {
        list = json_array();
        for (uint64_t i = 0; i < count && i < OMEN_MAX_FIELDS; i++) {
            (void)json_array_append_new(list, field_of(&fields[i]));
        }
    } else {
        om_failure_from_engine(&call->f, &err);
    }
    free(fields);
    return list;
}

static json_t *progress_of(om_coll *coll)
{
    omen_write_progress p = {.struct_size = sizeof p};
    if (omen_get_progress(coll->handle, &p, NULL) != OMEN_OK) {
        return json_null();
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "durable", om_console_version(p.durable_version),
                     "visible", om_console_version(p.visible_version), "indexed",
                     om_console_version(p.indexed_version), "backlog_limit",
                     om_console_u64(p.backlog_limit_rows));
}

json_t *om_console_collection(om_console_call *call)
{
    const char *name = om_admin_argument(call->request, "name");
    om_coll *coll = om_console_coll(call, name != NULL ? name : "", OM_VERB_READ);
    if (coll == NULL) {
        return NULL;
    }
    estimates recall = estimates_get(call->console);
    json_t *o = collection_of(call, coll, &recall);
    json_t *fields = o != NULL ? fields_of(call, coll) : NULL;
    if (fields != NULL) {
        (void)json_object_set_new(o, "fields", fields);
        (void)json_object_set_new(o, "progress", progress_of(coll));
    } else {
        json_decref(o);
        o = NULL;
    }
    if (o == NULL && call->f.code == OMEN_NOT_FOUND) {
        om_colls_forget(call->shared->colls, name);
    }
    free(recall.list);
    om_coll_release(coll);
    return o;
}
