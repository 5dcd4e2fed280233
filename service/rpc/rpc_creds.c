/* rpc_creds.c - credentials of a listener. Certificates are asked for before every handshake, so that
 * renewed files are used without a restart. SPDX-License-Identifier: Apache-2.0 */
#include "rpc_int.h"

/* The core calls it once for each listener at the start, then before each handshake, under its lock. */
static grpc_ssl_certificate_config_reload_status fetch(void *ctx,
                                                       grpc_ssl_server_certificate_config **out)
{
    om_tls_port *port = ctx;
    om_tls_pem pem = {0};
    int result = om_tls_fetch(port->rt->shared.opt.tls, &port->seen, &pem);
    if (result != OM_TLS_CHANGED) {
        return result == OM_TLS_UNCHANGED ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED
                                          : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    }
    grpc_ssl_pem_key_cert_pair pair = {pem.key, pem.chain};
    /* Roots must not be NULL in this build of the core, also when clients are not asked. */
    *out = grpc_ssl_server_certificate_config_create(
        pem.client_ca != NULL ? pem.client_ca : pem.chain, &pair, 1);
    om_tls_release(&pem);
    return *out != NULL ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW
                        : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
}

grpc_server_credentials *om_rpc_credentials(om_rt *rt, size_t port)
{
    if (rt->shared.opt.tls == NULL) {
        return grpc_insecure_server_credentials_create();
    }
    om_tls_port *state = &rt->tls_ports[port];
    *state = (om_tls_port){rt, 0};
    grpc_ssl_client_certificate_request_type request =
        om_tls_wants_client_certificate(rt->shared.opt.tls)
            ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
            : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, fetch, state));
}
