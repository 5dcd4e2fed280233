/* tls.h - certificate files of the server: loaded with limits, checked, watched for changes.
 * What is handed out has been checked: PEM of a bounded size, a chain whose first certificate
 * belongs to the key. When new files are bad the old ones stay, and a metric and a log line tell.
 * Depends on: metrics.h, slog.h.  Threads: any, but create and free.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TLS_H
#define OM_TLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"
#include "slog.h"

typedef struct om_tls om_tls;
enum {
    OM_TLS_MAX_FILE = 256 * 1024, /* bytes of a chain or CA file */
    OM_TLS_MAX_KEY = 64 * 1024,
    OM_TLS_MAX_CHAIN = 16, /* certificates in the chain */
    OM_TLS_MAX_CA = 256
};
enum { OM_TLS_UNCHANGED = 0, OM_TLS_CHANGED = 1, OM_TLS_FAILED = 2 };
typedef struct om_tls_options {
    const char *cert_file; /* PEM, the server's certificate first, then intermediates */
    const char *key_file;  /* PEM, not encrypted */
    const char *ca_file;   /* NULL: clients need no certificate */
    om_metrics *metrics;
    om_slog *log;
} om_tls_options;
/* PEM texts with their NUL; valid until om_tls_release. */
typedef struct om_tls_pem {
    const char *chain, *key;
    const char *client_ca; /* NULL: none */
    void *owner;
} om_tls_pem;
/* Loads and checks at once. NULL: *error says which file and why. */
om_tls *om_tls_create(const om_tls_options *options, char *error, size_t error_size);
void om_tls_free(om_tls *tls);
bool om_tls_wants_client_certificate(const om_tls *tls);
/* For the handshake callback. A few stat calls when nothing changed. *generation is the caller's
 * and says what it has: 0 at first, set by CHANGED; each listener needs one of its own, since each
 * keeps its own copy in the transport. CHANGED: *out holds what is in use now, release it. FAILED:
 * the files changed and are bad, go on with the ones from before; told once for each change. */
int om_tls_fetch(om_tls *tls, uint64_t *generation, om_tls_pem *out);
void om_tls_release(om_tls_pem *pem); /* wipes the key when the last holder goes */
/* The next fetch reads the files whatever their times say (SIGHUP). */
void om_tls_force(om_tls *tls);
#endif
