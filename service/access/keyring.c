/* keyring.c - the keys of the catalogue in memory: found by the hash of the secret or the name of a
 * certificate. Keys that were revoked stay for a while, so that who still shows one is told so.
 * SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "access_int.h"

enum { BUCKETS = 16384 };

struct om_keyring {
    om_ring_key *first, **last;
    size_t good, revoked;
    om_ring_key *secrets[BUCKETS], *certificates[BUCKETS];
};

om_keyring *om_keyring_create(void)
{
    om_keyring *r = calloc(1, sizeof *r);
    if (r != NULL) {
        r->last = &r->first;
    }
    return r;
}

static void key_free(om_ring_key *key)
{
    om_box_release(key->box);
    free(key->certificate);
    free(key);
}

void om_keyring_free(om_keyring *r)
{
    while (r != NULL && r->first != NULL) {
        om_ring_key *next = r->first->next;
        key_free(r->first);
        r->first = next;
    }
    free(r);
}

static size_t text_bucket(const char *text, size_t size)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        h = (h ^ (uint8_t)text[i]) * 16777619u;
    }
    return (h ^ h >> 15) % BUCKETS;
}

static om_ring_key **bucket_of(om_keyring *r, const om_ring_key *key)
{
    if (key->certificate[0] != '\0') {
        return &r->certificates[text_bucket(key->certificate, strlen(key->certificate))];
    }
    return &r->secrets[(key->hash[0] | (size_t)key->hash[1] << 8) % BUCKETS];
}

om_ring_key *om_keyring_add(om_keyring *r, const om_key_row *row, om_tenant *tenant)
{
    om_box_request q = {.name = row->name,
                        .kind = row->certificate[0] != '\0' ? OM_BY_CERTIFICATE : OM_BY_KEY,
                        .tenant = tenant,
                        .expires = row->expires,
                        .grants = row->grants,
                        .grant_count = row->grant_count,
                        .id = row->id};
    om_ring_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return NULL;
    }
    key->box = om_box_create(&q);
    key->certificate = strdup(row->certificate);
    if (key->box == NULL || key->certificate == NULL) {
        key_free(key);
        return NULL;
    }
    key->number = row->number;
    memcpy(key->id, row->id, sizeof key->id);
    memcpy(key->hash, row->hash, sizeof key->hash);
    key->created = row->created;
    key->revoked = row->revoked;
    key->saved_used = row->last_used;
    atomic_init(&key->box->used, row->last_used);
    atomic_init(&key->box->revoked, row->revoked != 0);
    om_ring_key **bucket = bucket_of(r, key);
    key->next_hash = *bucket;
    *bucket = key;
    *r->last = key;
    r->last = &key->next;
    *(row->revoked != 0 ? &r->revoked : &r->good) += 1;
    return key;
}

void om_keyring_remove(om_keyring *r, om_ring_key *key)
{
    om_ring_key **at = bucket_of(r, key);
    while (*at != key) {
        at = &(*at)->next_hash;
    }
    *at = key->next_hash;
    for (at = &r->first; *at != key;) {
        at = &(*at)->next;
    }
    *at = key->next;
    if (r->last == &key->next) {
        r->last = at;
    }
    *(key->revoked != 0 ? &r->revoked : &r->good) -= 1;
    atomic_store_explicit(&key->box->revoked, true, memory_order_release);
    key_free(key);
}

om_ring_key *om_keyring_first(om_keyring *r)
{
    return r->first;
}

size_t om_keyring_count(const om_keyring *r, bool revoked)
{
    return revoked ? r->revoked : r->good;
}

om_ring_key *om_keyring_by_hash(om_keyring *r, const uint8_t hash[OM_HASH])
{
    static const uint8_t none[OM_HASH]; /* of a hash that could not be computed */
    om_ring_key *at = r->secrets[(hash[0] | (size_t)hash[1] << 8) % BUCKETS];
    while (at != NULL && CRYPTO_memcmp(at->hash, hash, OM_HASH) != 0) {
        at = at->next_hash;
    }
    return CRYPTO_memcmp(hash, none, OM_HASH) != 0 ? at : NULL;
}

/* One that is in force, if there is one: a name may have been given again after its key was revoked. */
om_ring_key *om_keyring_by_certificate(om_keyring *r, const char *name, size_t size)
{
    om_ring_key *ended = NULL;
    for (om_ring_key *at = r->certificates[text_bucket(name, size)]; at != NULL;
         at = at->next_hash) {
        if (strlen(at->certificate) == size && memcmp(at->certificate, name, size) == 0) {
            if (at->revoked == 0) {
                return at;
            }
            ended = ended == NULL ? at : ended;
        }
    }
    return ended;
}

om_ring_key *om_keyring_find(om_keyring *r, const char *key)
{
    for (om_ring_key *at = r->first; at != NULL; at = at->next) {
        if (at->revoked == 0 &&
            (strcmp(at->box->principal.name, key) == 0 || strcmp(at->id, key) == 0)) {
            return at;
        }
    }
    return NULL;
}

void om_keyring_revoke(om_keyring *r, om_ring_key *key, int64_t when)
{
    key->revoked = when;
    atomic_store_explicit(&key->box->revoked, true, memory_order_release);
    r->good--;
    r->revoked++;
}

void om_keyring_tell(const om_ring_key *key, om_key *out)
{
    const om_principal *p = &key->box->principal;
    *out = (om_key){.number = key->number,
                    .id = key->id,
                    .name = p->name,
                    .tenant = om_tenant_name(p->tenant),
                    .certificate = key->certificate,
                    .created = key->created,
                    .expires = p->expires,
                    .revoked = key->revoked,
                    .last_used = atomic_load_explicit(&key->box->used, memory_order_relaxed),
                    .grant_count = p->grant_count,
                    .grants = p->grants};
}
