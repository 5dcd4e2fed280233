/* collections.c - the service Collections. Creating and dropping allocate and free a lot, so all but
 * the look-up of one collection run on the admin workers. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "impls.h"
#include "method_util.h"
#include "omen/v1/collections.pb-c.h"

enum { PAGE_DEFAULT = 100, PAGE_MAX = 1000 };

typedef Omen__V1__CollectionConfig config_t;

/* A call that waits for an admin worker. */
typedef struct admin_call {
    om_job job;
    om_rpc *rpc;
    void *request;
    void (*work)(struct admin_call *call);
} admin_call;

/* One Collection message with what it points to. */
typedef struct view {
    Omen__V1__Collection message;
    config_t config;
    Omen__V1__CollectionStats stats;
    char name[OMEN_MAX_NAME + 1];
    om_field_list fields; /* to be freed by om_field_list_end */
} view;

static void view_config(config_t *out, const omen_options *o)
{
    omen__v1__collection_config__init(out);
    out->dim = o->dim;
    out->metric = (Omen__V1__Metric)o->metric;
    out->type = (Omen__V1__DataType)o->dtype;
    out->id_type = (Omen__V1__IdType)o->id_type;
    out->m = o->m;
    out->ef_construction = o->ef_construction;
    out->durability = (Omen__V1__Durability)o->durability;
    out->quantization = (Omen__V1__CollectionConfig__Quantization)o->quantization;
    out->rotation = (Omen__V1__CollectionConfig__Rotation)o->rotation;
    out->entry = (Omen__V1__CollectionConfig__Entry)o->entry;
    out->capacity_hint = o->capacity_hint;
    out->max_backlog_rows = o->max_backlog_rows;
}

/* with_fields: a list of collections goes without, since each may have a thousand. */
static omen_status_t view_of(om_coll *coll, bool with_fields, view *out, omen_error *err)
{
    omen_stats stats = {.struct_size = sizeof stats};
    omen_status_t status = omen_get_stats(coll->handle, &stats, err);
    out->fields = (om_field_list){0};
    if (status == OMEN_OK && with_fields) {
        status = om_field_list_of(coll->handle, &out->fields, err);
    }
    if (status != OMEN_OK) {
        return status;
    }
    omen__v1__collection__init(&out->message);
    omen__v1__collection_stats__init(&out->stats);
    view_config(&out->config, &coll->options);
    out->config.fields = out->fields.list;
    out->config.n_fields = out->fields.count;
    memcpy(out->name, coll->name, sizeof out->name);
    out->stats.count = stats.count;
    out->stats.deleted = stats.deleted;
    out->stats.indexed_rows = stats.indexed_rows;
    out->stats.backlog_rows = stats.backlog_rows;
    out->stats.memory_bytes = stats.bytes_codes + stats.bytes_links + stats.bytes_ids +
                              stats.bytes_vectors + stats.bytes_scratch + stats.bytes_metadata +
                              stats.bytes_text;
    out->stats.metadata_bytes = stats.bytes_metadata;
    out->stats.text_bytes = stats.bytes_text;
    out->stats.mapped_bytes = stats.bytes_mapped;
    out->stats.version = stats.version;
    out->stats.read_only = stats.read_only != 0;
    out->stats.rotated = stats.rotated != 0;
    out->stats.segments = stats.segments;
    out->stats.frozen_segments = stats.frozen;
    out->stats.disk_bytes = stats.bytes_disk;
    out->message.name = out->name;
    out->message.config = &out->config;
    out->message.stats = &out->stats;
    return OMEN_OK;
}

static void reply_collection(om_rpc *rpc, const char *name)
{
    om_failure f;
    omen_error err = {.item = OMEN_NONE};
    view v;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_coll *coll = om_method_coll(rpc, name, &f);
    if (coll == NULL) {
        om_rpc_finish(rpc, &f);
        return;
    }
    if (view_of(coll, true, &v, &err) == OMEN_OK) {
        om_rpc_reply_pb(rpc, &v.message.base);
        om_field_list_end(&v.fields);
    } else {
        if (err.status == OMEN_NOT_FOUND) {
            om_colls_forget(s->colls, name);
        }
        om_method_fail_engine(rpc, &err);
    }
    om_coll_release(coll);
}

/* ---- Create ---------------------------------------------------------------------------------- */

static bool check_enum(const char *field, int value, int last, om_failure *f)
{
    return (value >= 0 && value <= last) ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                          "%s is %d, which is not a value of its type", field, value);
}

static bool check_config(const config_t *c, om_failure *f)
{
    if (c == NULL) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "config", "config is not set");
    }
    if (c->dim == 0 || c->dim > OMEN_MAX_DIM) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "config.dim",
                              "config.dim is %u, it must be 1 to %u", c->dim, OMEN_MAX_DIM);
    }
    if ((int)c->metric == OMEN_HAMMING) {
        return om_failure_unimplemented(f, "config.metric");
    }
    if ((int)c->type == OMEN_BF16 || (int)c->type == OMEN_B1) {
        return om_failure_unimplemented(f, "config.type");
    }
    if (c->m > OMEN_MAX_M || c->m == 1) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "config.m",
                              "config.m is %u, it must be 0 or 2 to %u", c->m, OMEN_MAX_M);
    }
    if (c->ef_construction > OMEN_MAX_EF) {
        return om_failure_limit(f, "config.ef_construction", c->ef_construction, OMEN_MAX_EF);
    }
    return check_enum("config.metric", (int)c->metric, OMEN_HAMMING, f) &&
           check_enum("config.type", (int)c->type, OMEN_B1, f) &&
           check_enum("config.id_type", (int)c->id_type, OMEN_ID_STRING, f) &&
           check_enum("config.durability", (int)c->durability, OMEN_DURABILITY_BATCH, f) &&
           check_enum("config.quantization", (int)c->quantization, OMEN_QUANT_NONE, f) &&
           check_enum("config.rotation", (int)c->rotation, OMEN_ROTATE_ON, f) &&
           check_enum("config.entry", (int)c->entry, OMEN_ENTRY_HIERARCHY, f);
}

/* What the engine says of a declared field is about the list of them. */
static void fail_fields(om_rpc *rpc, const omen_error *err, const char *field)
{
    om_failure f;
    om_failure_from_engine(&f, err);
    if (err->status == OMEN_INVALID_ARGUMENT &&
        (err->detail == OMEN_D_FIELD || err->detail == OMEN_D_TYPE)) {
        om_failure_about(&f, field);
    }
    om_rpc_finish(rpc, &f);
}

static void declare_work(admin_call *call)
{
    const Omen__V1__DeclareFieldsRequest *q = call->request;
    om_failure f;
    omen_error err = {.item = OMEN_NONE};
    omen_field *fields = NULL;
    if (!om_field_list_read(q->fields, q->n_fields, "fields", &fields, &f)) {
        om_rpc_finish(call->rpc, &f);
        return;
    }
    om_coll *coll = om_method_coll(call->rpc, q->name, &f);
    if (coll == NULL) {
        free(fields);
        om_rpc_finish(call->rpc, &f);
        return;
    }
    omen_status_t status =
        q->n_fields == 0 ? OMEN_OK : omen_declare_fields(coll->handle, fields, q->n_fields, &err);
    free(fields);
    om_coll_release(coll);
    if (status == OMEN_OK) {
        om_rpc_audit(call->rpc, "declare_fields", q->name, true);
        reply_collection(call->rpc, q->name);
        return;
    }
    if (status == OMEN_NOT_FOUND) {
        om_colls_forget(om_rt_shared_of(om_rpc_runtime(call->rpc))->colls, q->name);
    }
    fail_fields(call->rpc, &err, "fields");
}

/* A collection is its owner's before anybody can open it: a handle knows whose it is. One that is there
 * already stays whose it is. */
static bool create_owned(const admin_call *call, const char *name, const omen_options *opt,
                         omen_error *err, om_failure *f)
{
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(call->rpc));
    omen_collection *handle = NULL;
    om_coll *there = NULL;
    om_colls_change(s->colls, name);
    omen_status_t status = om_colls_get(s->colls, name, &there, err);
    om_coll_release(there);
    bool fresh = status == OMEN_NOT_FOUND;
    if (!fresh && status != OMEN_OK && status != OMEN_INVALID_ARGUMENT) {
        om_colls_changed(s->colls, name); /* it may be there, and is not known well enough */
        return false;
    }
    *err = (omen_error){.item = OMEN_NONE};
    bool ok = !fresh ||
              om_access_own(om_rpc_access(call->rpc), name, om_rpc_principal(call->rpc)->tenant, f);
    if (ok && omen_create(s->opt.db, name, opt, &handle, err) != OMEN_OK) {
        ok = false;
        if (fresh) {
            (void)om_access_disown(om_rpc_access(call->rpc), name, f);
        }
    }
    omen_collection_free(handle);
    om_colls_changed(s->colls, name);
    return ok;
}

static void create_work(admin_call *call)
{
    const Omen__V1__CreateCollectionRequest *q = call->request;
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(call->rpc));
    const config_t *c = q->config;
    om_failure f;
    omen_error err = {.item = OMEN_NONE};
    omen_field *fields = NULL;
    if (!om_method_may(call->rpc, q->name, &f) || !check_config(c, &f) ||
        !om_field_list_read(c->fields, c->n_fields, "config.fields", &fields, &f)) {
        om_rpc_finish(call->rpc, &f);
        return;
    }
    omen_options opt = {.struct_size = sizeof opt,
                        .dim = c->dim,
                        .metric = (uint32_t)c->metric,
                        .dtype = (uint32_t)c->type,
                        .id_type = (uint32_t)c->id_type,
                        .m = c->m,
                        .ef_construction = c->ef_construction,
                        .quantization = (uint32_t)c->quantization,
                        .rotation = (uint32_t)c->rotation,
                        .entry = (uint32_t)c->entry,
                        .durability =
                            c->durability != 0 ? (uint32_t)c->durability : s->opt.durability,
                        .capacity_hint = c->capacity_hint,
                        .max_backlog_rows = c->max_backlog_rows,
                        .fields = fields,
                        .field_count = c->n_fields};
    bool ok = create_owned(call, q->name, &opt, &err, &f);
    free(fields);
    if (!ok && err.status == OMEN_OK) {
        om_rpc_finish(call->rpc, &f);
        return;
    }
    if (!ok) {
        fail_fields(call->rpc, &err, "config.fields");
        return;
    }
    om_rpc_audit(call->rpc, "create_collection", q->name, true);
    reply_collection(call->rpc, q->name);
}

/* ---- Delete and list ------------------------------------------------------------------------- */

static void delete_work(admin_call *call)
{
    const Omen__V1__DeleteCollectionRequest *q = call->request;
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(call->rpc));
    om_failure f;
    omen_error err = {.item = OMEN_NONE};
    if (!om_method_may(call->rpc, q->name, &f)) {
        om_rpc_finish(call->rpc, &f);
        return;
    }
    om_colls_change(s->colls, q->name);
    bool gone = omen_drop(s->opt.db, q->name, &err) == OMEN_OK;
    if (gone) {
        (void)om_access_disown(om_rpc_access(call->rpc), q->name, &f);
        om_colls_forget(s->colls, q->name);
    }
    om_colls_changed(s->colls, q->name);
    if (!gone) {
        om_method_fail_engine(call->rpc, &err);
        return;
    }
    om_rpc_audit(call->rpc, "delete_collection", q->name, true);
    Omen__V1__DeleteCollectionResponse r;
    omen__v1__delete_collection_response__init(&r);
    om_rpc_reply_pb(call->rpc, &r.base);
}

/* Names of one page that the caller may read; one more than asked for, to know whether another
 * follows. Those that it may not are passed over, however many there are: neither they nor the gaps
 * they leave are seen. */
static omen_status_t page_names(om_rpc *rpc, const char *token, size_t page, char *names,
                                size_t *count, omen_error *err)
{
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    const om_principal *who = om_rpc_principal(rpc);
    char after[OMEN_MAX_NAME + 1];
    omen_status_t status = OMEN_OK;
    bool more = true;
    *count = 0;
    (void)snprintf(after, sizeof after, "%s", token);
    while (more && *count <= page) {
        char *room = names + *count * (OMEN_MAX_NAME + 1);
        size_t asked = page + 1 - *count;
        size_t got = 0;
        status = omen_list(s->opt.db, after[0] != '\0' ? after : NULL, room, asked, &got, err);
        if (status != OMEN_OK || got == 0) {
            break;
        }
        memcpy(after, room + (got - 1) * (OMEN_MAX_NAME + 1), sizeof after);
        for (size_t i = 0; i < got; i++) {
            const char *name = room + i * (OMEN_MAX_NAME + 1);
            if (om_principal_may(who, name, OM_VERB_READ)) {
                memmove(names + *count * (OMEN_MAX_NAME + 1), name, OMEN_MAX_NAME + 1);
                (*count)++;
            }
        }
        more = got == asked;
    }
    return status;
}

static void list_reply(admin_call *call, const char *names, size_t page, size_t count)
{
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(call->rpc));
    size_t shown = count < page ? count : page;
    view *views = calloc(shown + 1, sizeof *views);
    Omen__V1__Collection **pointers = calloc(shown + 1, sizeof(Omen__V1__Collection *));
    Omen__V1__ListCollectionsResponse r;
    omen__v1__list_collections_response__init(&r);
    if (views != NULL && pointers != NULL) {
        for (size_t i = 0; i < shown; i++) {
            om_coll *coll = NULL;
            view *v = &views[r.n_collections];
            /* One that was dropped meanwhile is left out. */
            if (om_colls_get(s->colls, names + i * (OMEN_MAX_NAME + 1), &coll, NULL) == OMEN_OK &&
                view_of(coll, false, v, NULL) == OMEN_OK) {
                pointers[r.n_collections++] = &v->message;
            }
            om_coll_release(coll);
        }
        r.collections = pointers;
        if (count > page) {
            r.next_page_token = (char *)(uintptr_t)(names + (page - 1) * (OMEN_MAX_NAME + 1));
        }
        om_rpc_reply_pb(call->rpc, &r.base);
    } else {
        om_failure f;
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the list");
        om_rpc_finish(call->rpc, &f);
    }
    free(pointers);
    free(views);
}

static void list_work(admin_call *call)
{
    const Omen__V1__ListCollectionsRequest *q = call->request;
    om_failure f;
    omen_error err = {.item = OMEN_NONE};
    size_t page = q->page_size == 0 ? PAGE_DEFAULT : q->page_size;
    size_t count = 0;
    if (page > PAGE_MAX || strlen(q->page_token) > OMEN_MAX_NAME) {
        om_failure_limit(&f, page > PAGE_MAX ? "page_size" : "page_token",
                         page > PAGE_MAX ? page : strlen(q->page_token),
                         page > PAGE_MAX ? PAGE_MAX : OMEN_MAX_NAME);
        om_rpc_finish(call->rpc, &f);
        return;
    }
    char *names = malloc((page + 1) * (OMEN_MAX_NAME + 1));
    if (names == NULL) {
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the list");
        om_rpc_finish(call->rpc, &f);
    } else if (page_names(call->rpc, q->page_token, page, names, &count, &err) == OMEN_OK) {
        list_reply(call, names, page, count);
    } else {
        om_method_fail_engine(call->rpc, &err);
    }
    free(names);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void admin_run(om_job *job, bool expired)
{
    admin_call *call = (admin_call *)(void *)job;
    om_rpc *rpc = call->rpc;
    if (expired) {
        om_method_fail_expired(rpc);
    } else if (!om_rpc_is_cancelled(rpc)) {
        call->work(call);
    }
    om_rpc_release(rpc);
}

static void submit(om_rpc *rpc, void *request, void (*work)(admin_call *))
{
    admin_call *call = om_rpc_state(rpc);
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    if (request == NULL) {
        return;
    }
    *call = (admin_call){.rpc = rpc, .request = request, .work = work};
    call->job.run = admin_run;
    call->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, s->admin, &call->job, "administrative calls");
}

static void create_message(om_rpc *rpc, om_rpc_message *m)
{
    submit(rpc, om_rpc_unpack(rpc, m, &omen__v1__create_collection_request__descriptor),
           create_work);
}

static void declare_message(om_rpc *rpc, om_rpc_message *m)
{
    submit(rpc, om_rpc_unpack(rpc, m, &omen__v1__declare_fields_request__descriptor), declare_work);
}

static void delete_message(om_rpc *rpc, om_rpc_message *m)
{
    submit(rpc, om_rpc_unpack(rpc, m, &omen__v1__delete_collection_request__descriptor),
           delete_work);
}

static void list_message(om_rpc *rpc, om_rpc_message *m)
{
    submit(rpc, om_rpc_unpack(rpc, m, &omen__v1__list_collections_request__descriptor), list_work);
}

static void get_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__GetCollectionRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__get_collection_request__descriptor);
    if (q != NULL) {
        reply_collection(rpc, q->name);
    }
}

const om_rpc_impl om_impl_omen_v1_Collections_CreateCollection = {
    .verb = OM_VERB_MANAGE, .state_size = sizeof(admin_call), .message = create_message};
const om_rpc_impl om_impl_omen_v1_Collections_DeclareFields = {
    .verb = OM_VERB_MANAGE, .state_size = sizeof(admin_call), .message = declare_message};
const om_rpc_impl om_impl_omen_v1_Collections_DeleteCollection = {
    .verb = OM_VERB_MANAGE, .state_size = sizeof(admin_call), .message = delete_message};
const om_rpc_impl om_impl_omen_v1_Collections_ListCollections = {
    .verb = OM_VERB_ANY, .state_size = sizeof(admin_call), .message = list_message};
const om_rpc_impl om_impl_omen_v1_Collections_GetCollection = {.verb = OM_VERB_READ,
                                                               .message = get_message};
