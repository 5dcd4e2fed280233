/* access_keys.c - the service Access: who am I, and the keys. SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_job.h"
#include "impls.h"
#include "omen/v1/access.pb-c.h"
#include "tenants.h"

enum { LIST_BYTES = 12 << 20 /* what the answer of a list may be made of */ };

/* ---- Jobs ------------------------------------------------------------------------------------ */

static void run(om_job *job, bool expired)
{
    om_access_job *call = (om_access_job *)(void *)job;
    if (expired) {
        om_method_fail_expired(call->rpc);
    } else if (!om_rpc_is_cancelled(call->rpc)) {
        call->work(call->rpc, call->request);
    }
    om_rpc_release(call->rpc);
}

void om_access_submit(om_rpc *rpc, om_rpc_message *message, const ProtobufCMessageDescriptor *type,
                      void (*work)(om_rpc *rpc, const void *request))
{
    om_access_job *call = om_rpc_state(rpc);
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    *call = (om_access_job){.rpc = rpc, .request = om_rpc_unpack(rpc, message, type), .work = work};
    if (call->request == NULL) {
        return;
    }
    call->job.run = run;
    call->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, s->keys, &call->job, "administrative calls");
}

/* ---- Messages out of keys -------------------------------------------------------------------- */

/* Keys as messages, in an arena of their own: what a callback was told is gone when it returns. */
typedef struct told {
    om_arena arena;
    Omen__V1__Key **keys;
    size_t count, most;
    uint64_t last; /* number of the last one */
    bool full;     /* memory was short: the list ends early */
} told;

static char *copy_text(om_arena *arena, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = om_arena_alloc(arena, n, 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    return copy;
}

static Omen__V1__Grant **grants_of(om_arena *arena, const om_grant *grants, size_t count)
{
    Omen__V1__Grant **list = om_arena_alloc(arena, (count + 1) * sizeof(Omen__V1__Grant *), 8);
    for (size_t i = 0; list != NULL && i < count; i++) {
        list[i] = om_arena_alloc(arena, sizeof *list[i], 8);
        if (list[i] == NULL) {
            return NULL;
        }
        omen__v1__grant__init(list[i]);
        list[i]->role = (Omen__V1__Role)grants[i].role;
        list[i]->collection = copy_text(arena, grants[i].collection);
        if (list[i]->collection == NULL) {
            return NULL;
        }
    }
    return list;
}

static void tell(void *ctx, const om_key *key)
{
    told *t = ctx;
    Omen__V1__Key *out = t->full ? NULL : om_arena_alloc(&t->arena, sizeof *out, 8);
    if (out == NULL || t->count == t->most) {
        t->full = true;
        return;
    }
    omen__v1__key__init(out);
    out->id = copy_text(&t->arena, key->id);
    out->name = copy_text(&t->arena, key->name);
    out->tenant = copy_text(&t->arena, key->tenant);
    out->certificate = copy_text(&t->arena, key->certificate);
    out->grants = grants_of(&t->arena, key->grants, key->grant_count);
    out->n_grants = key->grant_count;
    out->created_unix = key->created;
    out->expires_unix = key->expires;
    out->revoked_unix = key->revoked;
    out->last_used_unix = key->last_used;
    if (out->id == NULL || out->name == NULL || out->tenant == NULL || out->certificate == NULL ||
        out->grants == NULL) {
        t->full = true;
        return;
    }
    t->keys[t->count++] = out;
    t->last = key->number;
}

static void fail_memory(om_rpc *rpc)
{
    om_failure f;
    om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the answer");
    f.retry_ms = 1000;
    om_rpc_finish(rpc, &f);
}

/* ---- Making and ending ----------------------------------------------------------------------- */

static bool read_grants(const Omen__V1__CreateKeyRequest *q, om_grant *out, om_failure *f)
{
    if (q->n_grants > OM_ACCESS_MAX_GRANTS) {
        return om_failure_limit(f, "grants", q->n_grants, OM_ACCESS_MAX_GRANTS);
    }
    for (size_t i = 0; i < q->n_grants; i++) {
        const Omen__V1__Grant *grant = q->grants[i];
        if (strlen(grant->collection) >= sizeof out[i].collection) {
            return om_failure_limit(f, "grants.collection", strlen(grant->collection),
                                    OMEN_MAX_NAME);
        }
        out[i].role = (uint32_t)grant->role;
        memcpy(out[i].collection, grant->collection, strlen(grant->collection) + 1);
    }
    return true;
}

static void create_work(om_rpc *rpc, const void *request)
{
    const Omen__V1__CreateKeyRequest *q = request;
    om_grant grants[OM_ACCESS_MAX_GRANTS];
    char secret[OM_ACCESS_SECRET + 1] = "";
    Omen__V1__Key *one = NULL;
    told t = {.keys = &one, .most = 1};
    om_failure f;
    om_arena_init(&t.arena, NULL, 0, LIST_BYTES);
    om_key_request wanted = {.name = q->name,
                             .tenant = q->tenant,
                             .certificate = q->certificate,
                             .grants = grants,
                             .grant_count = q->n_grants,
                             .expires = q->expires_unix,
                             .tell = tell,
                             .ctx = &t};
    bool ok =
        read_grants(q, grants, &f) && om_access_create_key(om_rpc_access(rpc), &wanted, secret, &f);
    om_rpc_audit(rpc, "create_key", q->name, ok);
    if (!ok) {
        om_rpc_finish(rpc, &f);
    } else if (one == NULL) {
        fail_memory(rpc); /* the key is there, and its secret is lost: revoke it by its name */
    } else {
        Omen__V1__CreateKeyResponse r;
        omen__v1__create_key_response__init(&r);
        r.key = one;
        r.secret = secret;
        om_rpc_reply_pb(rpc, &r.base);
    }
    OPENSSL_cleanse(secret, sizeof secret);
    om_arena_reset(&t.arena);
}

static void revoke_work(om_rpc *rpc, const void *request)
{
    const Omen__V1__RevokeKeyRequest *q = request;
    Omen__V1__Key *one = NULL;
    told t = {.keys = &one, .most = 1};
    om_failure f;
    om_arena_init(&t.arena, NULL, 0, LIST_BYTES);
    bool ok = om_access_revoke_key(om_rpc_access(rpc), q->key, tell, &t, &f);
    om_rpc_audit(rpc, "revoke_key", ok && one != NULL ? one->name : q->key, ok);
    if (!ok) {
        om_rpc_finish(rpc, &f);
    } else if (one == NULL) {
        fail_memory(rpc); /* it is revoked all the same */
    } else {
        Omen__V1__RevokeKeyResponse r;
        omen__v1__revoke_key_response__init(&r);
        r.key = one;
        om_rpc_reply_pb(rpc, &r.base);
    }
    om_arena_reset(&t.arena);
}

/* ---- Listing --------------------------------------------------------------------------------- */

/* The number of the last key that was shown. */
static bool read_token(const char *token, uint64_t *out)
{
    char *end = NULL;
    *out = 0;
    if (token[0] == '\0') {
        return true;
    }
    *out = strtoull(token, &end, 10);
    return token[0] >= '0' && token[0] <= '9' && *end == '\0' && strlen(token) < 20;
}

static void list_work(om_rpc *rpc, const void *request)
{
    const Omen__V1__ListKeysRequest *q = request;
    om_failure f;
    om_key_page page = {.most = q->page_size != 0 ? q->page_size : OM_ACCESS_MAX_PAGE,
                        .all = q->with_revoked != 0,
                        .tell = tell};
    if (page.most > OM_ACCESS_MAX_PAGE || !read_token(q->page_token, &page.after)) {
        bool size = page.most > OM_ACCESS_MAX_PAGE;
        (void)(size ? om_failure_limit(&f, "page_size", q->page_size, OM_ACCESS_MAX_PAGE)
                    : om_failure_set(&f, OMEN_INVALID_ARGUMENT, "PAGE_TOKEN", "page_token",
                                     "page_token is none that this server has given"));
        om_rpc_finish(rpc, &f);
        return;
    }
    told t = {.most = page.most};
    om_arena_init(&t.arena, NULL, 0, LIST_BYTES);
    page.ctx = &t;
    page.most++; /* to know whether another page follows */
    t.keys = om_arena_alloc(&t.arena, t.most * sizeof(Omen__V1__Key *), 8);
    if (t.keys == NULL) {
        fail_memory(rpc);
    } else if (!om_access_list_keys(om_rpc_access(rpc), &page, &f)) {
        om_rpc_finish(rpc, &f);
    } else if (t.full && t.count == 0) {
        fail_memory(rpc);
    } else {
        char token[24] = "";
        Omen__V1__ListKeysResponse r;
        omen__v1__list_keys_response__init(&r);
        r.keys = t.keys;
        r.n_keys = t.count;
        if (t.full) {
            (void)snprintf(token, sizeof token, "%llu", (unsigned long long)t.last);
            r.next_page_token = token;
        }
        om_rpc_reply_pb(rpc, &r.base);
    }
    om_arena_reset(&t.arena);
}

/* ---- Who ------------------------------------------------------------------------------------- */

static void who_message(om_rpc *rpc, om_rpc_message *message)
{
    const om_principal *p = om_rpc_principal(rpc);
    om_arena arena;
    if (om_rpc_unpack(rpc, message, &omen__v1__who_am_irequest__descriptor) == NULL) {
        return;
    }
    om_arena_init(&arena, NULL, 0, LIST_BYTES);
    Omen__V1__Principal r;
    omen__v1__principal__init(&r);
    r.name = (char *)(uintptr_t)p->name;
    r.kind = (Omen__V1__PrincipalKind)p->kind;
    r.tenant = (char *)(uintptr_t)om_tenant_name(p->tenant);
    r.expires_unix = p->expires;
    r.grants = grants_of(&arena, p->grants, p->grant_count);
    r.n_grants = p->grant_count;
    if (r.grants != NULL) {
        om_rpc_reply_pb(rpc, &r.base);
    } else {
        fail_memory(rpc);
    }
    om_arena_reset(&arena);
}

static void create_message(om_rpc *rpc, om_rpc_message *m)
{
    om_access_submit(rpc, m, &omen__v1__create_key_request__descriptor, create_work);
}

static void list_message(om_rpc *rpc, om_rpc_message *m)
{
    om_access_submit(rpc, m, &omen__v1__list_keys_request__descriptor, list_work);
}

static void revoke_message(om_rpc *rpc, om_rpc_message *m)
{
    om_access_submit(rpc, m, &omen__v1__revoke_key_request__descriptor, revoke_work);
}

const om_rpc_impl om_impl_omen_v1_Access_WhoAmI = {.verb = OM_VERB_ANY, .message = who_message};
const om_rpc_impl om_impl_omen_v1_Access_CreateKey = {
    .verb = OM_VERB_ADMIN, .state_size = sizeof(om_access_job), .message = create_message};
const om_rpc_impl om_impl_omen_v1_Access_ListKeys = {
    .verb = OM_VERB_ADMIN, .state_size = sizeof(om_access_job), .message = list_message};
const om_rpc_impl om_impl_omen_v1_Access_RevokeKey = {
    .verb = OM_VERB_ADMIN, .state_size = sizeof(om_access_job), .message = revoke_message};
