/* cache.c - credentials that were verified a moment ago: a call costs one keyed hash and one look-
 * up instead of a signature. Sets of four places; who was not asked for longest leaves. Nothing of
 * a credential is kept but its tag, a keyed hash that cannot be computed or collided with from
 * outside. SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "access_int.h"

enum { SETS = 1024, WAYS = 4, LOCKS = 16, REFUSED = 1024 };

typedef struct refused {
    uint8_t tag[OM_TAG];
    int64_t until;
    uint64_t generation;
} refused;

typedef struct place {
    uint8_t tag[OM_TAG];
    om_box *box; /* NULL: free */
    uint64_t used;
} place;

struct om_cache {
    uint8_t key[16];
    pthread_mutex_t locks[LOCKS]; /* of the sets whose number is theirs modulo LOCKS */
    uint64_t clock[LOCKS];        /* of the order of use, with the lock */
    place places[SETS][WAYS];
    pthread_mutex_t refused_lock; /* guards refused */
    refused refused[REFUSED];
};

/* ---- SipHash-2-4 with 128 bits of output (Aumasson and Bernstein) ---------------------------- */

typedef struct sip {
    uint64_t a, b, c, d;
} sip;

static uint64_t turn(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void sip_rounds(sip *s, int n)
{
    for (int i = 0; i < n; i++) {
        s->a += s->b;
        s->b = turn(s->b, 13) ^ s->a;
        s->a = turn(s->a, 32);
        s->c += s->d;
        s->d = turn(s->d, 16) ^ s->c;
        s->a += s->d;
        s->d = turn(s->d, 21) ^ s->a;
        s->c += s->b;
        s->b = turn(s->b, 17) ^ s->c;
        s->c = turn(s->c, 32);
    }
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t x = 0;
    memcpy(&x, p, sizeof x);
    return le64toh(x);
}

static void store64(uint8_t *p, uint64_t x)
{
    x = htole64(x);
    memcpy(p, &x, sizeof x);
}

static void sip_word(sip *s, uint64_t word)
{
    s->d ^= word;
    sip_rounds(s, 2);
    s->a ^= word;
}

void om_siphash128(const uint8_t key[16], const uint8_t *data, size_t size, uint8_t out[16])
{
    uint64_t k0 = load64(key);
    uint64_t k1 = load64(key + 8);
    sip s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee, k0 ^ 0x6c7967656e657261u,
             k1 ^ 0x7465646279746573u};
    uint8_t last[8] = {0};
    size_t whole = size - size % 8;
    for (size_t i = 0; i < whole; i += 8) {
        sip_word(&s, load64(data + i));
    }
    if (size > whole) {
        memcpy(last, data + whole, size - whole);
    }
    last[7] = (uint8_t)size;
    sip_word(&s, load64(last));
    s.c ^= 0xee;
    sip_rounds(&s, 4);
    store64(out, s.a ^ s.b ^ s.c ^ s.d);
    s.b ^= 0xdd;
    sip_rounds(&s, 4);
    store64(out + 8, s.a ^ s.b ^ s.c ^ s.d);
}

/* ---- The table ------------------------------------------------------------------------------- */

om_cache *om_cache_create(void)
{
    om_cache *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    if (getrandom(c->key, sizeof c->key, 0) != (ssize_t)sizeof c->key) {
        free(c);
        return NULL;
    }
    (void)pthread_mutex_init(&c->refused_lock, NULL);
    for (size_t i = 0; i < LOCKS; i++) {
        (void)pthread_mutex_init(&c->locks[i], NULL);
    }
    return c;
}

void om_cache_free(om_cache *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < SETS; i++) {
        for (size_t k = 0; k < WAYS; k++) {
            om_box_release(c->places[i][k].box);
        }
    }
    (void)pthread_mutex_destroy(&c->refused_lock);
    for (size_t i = 0; i < LOCKS; i++) {
        (void)pthread_mutex_destroy(&c->locks[i]);
    }
    OPENSSL_cleanse(c->key, sizeof c->key);
    free(c);
}

void om_cache_tag(const om_cache *c, uint8_t kind, const char *text, size_t size,
                  uint8_t tag[OM_TAG])
{
    uint8_t key[16];
    memcpy(key, c->key, sizeof key);
    key[0] ^= kind; /* another key for another kind: names of certificates are no tokens */
    om_siphash128(key, (const uint8_t *)text, size, tag);
}

static size_t set_of(const uint8_t tag[OM_TAG])
{
    return (tag[0] | (size_t)tag[1] << 8) % SETS;
}

om_box *om_cache_find(om_cache *c, const uint8_t tag[OM_TAG])
{
    size_t set = set_of(tag);
    om_box *found = NULL;
    pthread_mutex_t *lock = &c->locks[set % LOCKS];
    pthread_mutex_lock(lock);
    for (size_t k = 0; k < WAYS && found == NULL; k++) {
        place *p = &c->places[set][k];
        if (p->box != NULL && CRYPTO_memcmp(p->tag, tag, OM_TAG) == 0) {
            p->used = ++c->clock[set % LOCKS];
            found = om_box_hold(p->box);
        }
    }
    pthread_mutex_unlock(lock);
    return found;
}

void om_cache_add(om_cache *c, const uint8_t tag[OM_TAG], om_box *box)
{
    size_t set = set_of(tag);
    pthread_mutex_t *lock = &c->locks[set % LOCKS];
    pthread_mutex_lock(lock);
    place *to = &c->places[set][0];
    for (size_t k = 0; k < WAYS; k++) {
        place *p = &c->places[set][k];
        if (p->box == NULL || CRYPTO_memcmp(p->tag, tag, OM_TAG) == 0) {
            to = p;
            break;
        }
        to = p->used < to->used ? p : to;
    }
    om_box *gone = to->box;
    memcpy(to->tag, tag, OM_TAG);
    to->box = om_box_hold(box);
    to->used = ++c->clock[set % LOCKS];
    pthread_mutex_unlock(lock);
    om_box_release(gone);
}

void om_cache_refuse(om_cache *c, const uint8_t tag[OM_TAG], int64_t now, uint64_t generation)
{
    refused *r = &c->refused[set_of(tag) % REFUSED];
    pthread_mutex_lock(&c->refused_lock);
    memcpy(r->tag, tag, OM_TAG);
    r->until = now + OM_REFUSED_S;
    r->generation = generation;
    pthread_mutex_unlock(&c->refused_lock);
}

bool om_cache_refused(om_cache *c, const uint8_t tag[OM_TAG], int64_t now, uint64_t generation)
{
    const refused *r = &c->refused[set_of(tag) % REFUSED];
    pthread_mutex_lock(&c->refused_lock);
    bool found = now < r->until && r->until - now <= OM_REFUSED_S && r->generation == generation &&
                 CRYPTO_memcmp(r->tag, tag, OM_TAG) == 0;
    pthread_mutex_unlock(&c->refused_lock);
    return found;
}

void om_cache_sweep(om_cache *c, int64_t now)
{
    for (size_t set = 0; set < SETS; set++) {
        pthread_mutex_t *lock = &c->locks[set % LOCKS];
        pthread_mutex_lock(lock);
        for (size_t k = 0; k < WAYS; k++) {
            place *p = &c->places[set][k];
            om_failure f;
            if (p->box != NULL && (!om_box_fresh(p->box) || !om_box_good(p->box, now, &f))) {
                om_box_release(p->box);
                memset(p, 0, sizeof *p);
            }
        }
        pthread_mutex_unlock(lock);
    }
}
