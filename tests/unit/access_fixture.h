/* access_fixture.h - a folder, files of keys, credentials, tokens that are signed as asked for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ACCESS_FIXTURE_H
#define ACCESS_FIXTURE_H
#include <openssl/evp.h>

#include "unit.h"

#include "access_int.h"

int things_set_up(void **state);
int things_tear_down(void **state);
/* The path of a file in the folder of the test; good until the next eight calls. */
const char *things_path(const char *name);
void things_write(const char *name, const char *text, unsigned mode);
/* Starts; fails the test when it does not. */
om_access *things_start(const om_access_options *options);
/* Must not start; the message must hold `why`. */
void things_refuse(const om_access_options *options, const char *why);
const om_principal *identify_with(om_access *access, const char *key, om_failure *f);
const om_principal *identify_by(om_access *access, const char *certificate, om_failure *f);
/* Who shows this key must be refused for this reason. */
void refused_for(om_access *access, const char *key, const char *reason);

EVP_PKEY *make_key(const char *algorithm); /* of a kind that fits */
char *public_pem(EVP_PKEY *key);           /* to be freed */
/* header.claims.signature; algorithm is what it is signed with, whatever the header says. To be freed. */
char *sign_token(const char *header, const char *claims, const char *algorithm, EVP_PKEY *key);
char *sign_secret(const char *header, const char *claims, const char *secret);
#endif
