/* dev_certs.h - a certificate authority for tests and first steps: a folder with ca.pem and ca.key, and pairs
 * NAME.pem, NAME.key that it has signed (P-256). Keys are files of 0600. A file that is there is only
 * replaced when that is asked for, and then at once. Depends on: tool.h, OpenSSL.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_DEV_CERTS_H
#define OM_DEV_CERTS_H
#include "tool.h"

enum { OM_DEV_NAME = 63 }; /* bytes of a name */
typedef struct om_dev_ca om_dev_ca;
/* Reads the authority of the folder, or makes both. *made tells which. */
bool om_dev_ca_open(const char *folder, bool *made, om_dev_ca **out, om_tool_error *err);
void om_dev_ca_free(om_dev_ca *ca); /* NULL is accepted */

typedef struct om_dev_leaf {
    const char *name;         /* of the files, and common name: ^[a-z0-9][a-z0-9._-]{0,62}$ */
    const char *const *hosts; /* names and addresses of a server; NULL: a client */
    size_t host_count;
    uint32_t days;
    bool replace;
} om_dev_leaf;
/* *made false: the pair is there and was kept. */
bool om_dev_issue(om_dev_ca *ca, const om_dev_leaf *leaf, bool *made, om_tool_error *err);
bool om_dev_name_ok(const char *name);
/* Why a pair that was kept does not do: it has ended, or a host is not in it. "": it does. */
void om_dev_lacks(const om_dev_ca *ca, const om_dev_leaf *leaf, char *out, size_t size);
/* The names of pairs that are there, beside ca and server, in no order; returns their number. */
size_t om_dev_clients(const om_dev_ca *ca, char (*names)[OM_DEV_NAME + 1], size_t capacity);
#endif
