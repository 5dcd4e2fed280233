/* rpc_auth.c - who calls: the credential of a call becomes a principal before a message is read.
 * SPDX-License-Identifier: Apache-2.0 */
#include <grpc/support/alloc.h>
#include <stdio.h>
#include <string.h>

#include "rpc_int.h"
#include "tenants.h"

/* ---- Who ------------------------------------------------------------------------------------- */

static void tell_peer(const void *ctx, char *out, size_t size)
{
    om_rpc_peer(ctx, out, size);
}

/* The names of the certificate that was verified in the handshake. They live as long as the context. */
static size_t names_of(grpc_auth_context *context, om_certificate_name *out)
{
    static const char *const properties[] = {
        GRPC_PEER_URI_PROPERTY_NAME, GRPC_X509_SAN_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME};
    size_t n = 0;
    if (context == NULL || grpc_auth_context_peer_is_authenticated(context) == 0) {
        return 0;
    }
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        const grpc_auth_property *property = NULL;
        grpc_auth_property_iterator at =
            grpc_auth_context_find_properties_by_name(context, properties[i]);
        while (n < OM_ACCESS_CERTIFICATE_NAMES &&
               (property = grpc_auth_property_iterator_next(&at)) != NULL) {
            out[n++] = (om_certificate_name){property->value, property->value_length};
        }
    }
    return n;
}

static const om_principal *identify(om_rpc *rpc, om_failure *f)
{
    om_certificate_name names[OM_ACCESS_CERTIFICATE_NAMES];
    grpc_auth_context *context = NULL;
    om_access *access = rpc->rt->shared.opt.access;
    om_credentials c = {.authorization = rpc->authorization,
                        .authorization_size = rpc->authorization_size,
                        .tell_peer = tell_peer,
                        .peer_ctx = rpc};
    if (c.authorization == NULL && om_access_takes_certificates(access)) {
        context = grpc_call_auth_context(rpc->call);
        c.certificates = names;
        c.certificate_count = names_of(context, names);
    }
    const om_principal *who = om_access_identify(access, &c, f);
    if (context != NULL) {
        grpc_auth_context_release(context);
    }
    return who;
}

/* ---- Whether --------------------------------------------------------------------------------- */

static bool may(om_rpc *rpc, om_failure *f)
{
    char peer[128];
    uint32_t verb = rpc->impl->verb;
    if (verb == OM_VERB_OPEN || om_principal_may_some(rpc->principal, verb)) {
        return true;
    }
    om_rpc_peer(rpc, peer, sizeof peer);
    return om_access_denied_from(rpc->rt->shared.opt.access, rpc->principal, peer, NULL, verb, f);
}

/* The limit of streams is for those that write. */
static bool is_writer(const om_rpc *rpc)
{
    return om_rpc_methods[rpc->index].client_stream && rpc->impl->verb == OM_VERB_WRITE;
}

/* Counts the call in with the tenant; what is quiet has none. */
static bool enter(om_rpc *rpc, om_failure *f)
{
    om_tenant *tenant = rpc->principal->tenant;
    if ((rpc->impl->flags & OM_RPC_QUIET) != 0) {
        return true;
    }
    if (!om_tenant_enter(tenant, rpc->started_ns, is_writer(rpc), f)) {
        om_metrics_rpc_shed(rpc->rt->shared.opt.metrics,
                            strcmp(f->reason, "RATE") == 0 ? OM_SHED_RATE : OM_SHED_CONCURRENCY);
        return false;
    }
    rpc->tenant = tenant;
    return true;
}

bool om_rpc_authorize(om_rpc *rpc, om_failure *f)
{
    rpc->principal = rpc->impl->verb == OM_VERB_OPEN
                         ? om_access_anonymous(rpc->rt->shared.opt.access)
                         : identify(rpc, f);
    return rpc->principal != NULL && may(rpc, f) && enter(rpc, f);
}

bool om_rpc_still(om_rpc *rpc, om_failure *f)
{
    const om_principal *last = rpc->renewed != NULL ? rpc->renewed : rpc->principal;
    if (rpc->impl->verb == OM_VERB_OPEN || om_principal_still(last)) {
        return true;
    }
    /* Its token may be good with the keys of now. The same text says the same claims, so the call keeps the
     * principal that workers may be looking at. A certificate says who it is, not what it may: what it is
     * found with now may have other grants, and another tenant. */
    const om_principal *again = identify(rpc, f);
    if (again == NULL) {
        return false;
    }
    if (last->kind == OM_BY_CERTIFICATE) {
        om_principal_release(again);
        return om_failure_set(f, OM_CODE_UNAUTHENTICATED, "CREDENTIAL_REVOKED", NULL,
                              "the key of the certificate was revoked: open the stream again");
    }
    om_principal_release(rpc->renewed);
    rpc->renewed = again;
    return true;
}

void om_rpc_leave(om_rpc *rpc)
{
    if (rpc->tenant != NULL) {
        om_tenant_leave(rpc->tenant, is_writer(rpc));
    }
    om_principal_release(rpc->principal);
    om_principal_release(rpc->renewed);
}

/* ---- What a method may ask ------------------------------------------------------------------- */

const om_principal *om_rpc_principal(const om_rpc *rpc)
{
    return rpc->principal;
}

om_tenant *om_rpc_tenant(const om_rpc *rpc)
{
    return rpc->tenant;
}

uint32_t om_rpc_verb(const om_rpc *rpc)
{
    return rpc->impl->verb;
}

om_access *om_rpc_access(const om_rpc *rpc)
{
    return rpc->rt->shared.opt.access;
}

void om_rpc_peer(const om_rpc *rpc, char *out, size_t size)
{
    char *peer = grpc_call_get_peer(rpc->call);
    (void)snprintf(out, size, "%s", peer != NULL ? peer : "");
    gpr_free(peer);
}

void om_rpc_audit(const om_rpc *rpc, const char *action, const char *object, bool ok)
{
    char peer[128];
    om_rpc_peer(rpc, peer, sizeof peer);
    om_access_audit(om_rpc_access(rpc), rpc->principal, peer, action, object, ok);
}
