/* engine_requests.c - the newest request ids of a database and what their writes did: a ring with
 * a hash over it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_disk.h"

enum { FIRST_CAPACITY = 64 };
#define NOWHERE UINT32_MAX

typedef struct entry {
    uint64_t hash;
    om_written written;
    uint32_t serial, length;
    char id[OMEN_MAX_REQUEST_ID];
} entry;

struct om_requests {
    const om_alloc *alloc;
    om_mutex mu;     /* rank REQUESTS: everything below */
    entry *ring;     /* [capacity], a power of two */
    uint32_t *table; /* [2 * capacity] positions in the ring */
    uint32_t capacity, count, next;
};

omen_status_t om_requests_create(const om_alloc *alloc, om_requests **out, omen_error *err)
{
    om_requests *requests = om_alloc_zero(alloc, 1, sizeof *requests, _Alignof(om_requests));
    if (requests == NULL) {
        return om_fail_memory(err, "request memory", sizeof *requests);
    }
    requests->alloc = alloc;
    omen_status_t status = om_mutex_init(&requests->mu, OM_RANK_REQUESTS, err);
    if (status != OMEN_OK) {
        om_alloc_put(alloc, requests, sizeof *requests, _Alignof(om_requests));
        return status;
    }
    *out = requests;
    return OMEN_OK;
}

static void free_arrays(const om_alloc *alloc, entry *ring, uint32_t *table, uint32_t capacity)
{
    om_alloc_put(alloc, ring, (size_t)capacity * sizeof *ring, OM_CACHE_LINE);
    om_alloc_put(alloc, table, (size_t)capacity * 2 * sizeof *table, OM_CACHE_LINE);
}

void om_requests_free(om_requests *requests)
{
    const om_alloc *alloc = requests->alloc;
    free_arrays(alloc, requests->ring, requests->table, requests->capacity);
    om_mutex_destroy(&requests->mu);
    om_alloc_put(alloc, requests, sizeof *requests, _Alignof(om_requests));
}

static uint64_t hash_key(const om_request_key *key)
{
    uint64_t hash = om_mix64(key->serial);
    for (size_t i = 0; i < key->length; i += sizeof hash) {
        uint64_t word = 0;
        size_t left = key->length - i;
        memcpy(&word, key->id + i, left < sizeof word ? left : sizeof word);
        hash = om_mix64(hash ^ word);
    }
    return om_mix64(hash ^ key->length);
}

static bool same(const entry *e, const om_request_key *key, uint64_t hash)
{
    return e->hash == hash && e->serial == key->serial && e->length == key->length &&
           memcmp(e->id, key->id, key->length) == 0;
}

/* The place in the table of an entry, or the empty one where it would go. */
static uint32_t find(const om_requests *requests, const om_request_key *key, uint64_t hash)
{
    uint32_t mask = requests->capacity * 2 - 1;
    uint32_t at = (uint32_t)hash & mask;
    while (requests->table[at] != NOWHERE &&
           !same(&requests->ring[requests->table[at]], key, hash)) {
        at = (at + 1) & mask;
    }
    return at;
}

bool om_requests_find(om_requests *requests, const om_request_key *key, om_written *out)
{
    bool found = false;
    om_mutex_lock(&requests->mu);
    if (requests->count != 0) {
        uint32_t position = requests->table[find(requests, key, hash_key(key))];
        found = position != NOWHERE;
        if (found) {
            *out = requests->ring[position].written;
        }
    }
    om_mutex_unlock(&requests->mu);
    return found;
}

static void link_entry(om_requests *requests, uint32_t position)
{
    const entry *e = &requests->ring[position];
    om_request_key key = {.id = e->id, .length = e->length, .serial = e->serial};
    requests->table[find(requests, &key, e->hash)] = position;
}

/* Takes an entry out of the table; the later ones of its run move back into the gap. */
static void unlink_entry(om_requests *requests, uint32_t position)
{
    uint32_t mask = requests->capacity * 2 - 1;
    uint32_t gap = (uint32_t)requests->ring[position].hash & mask;
    while (requests->table[gap] != position) {
        gap = (gap + 1) & mask;
    }
    for (uint32_t at = (gap + 1) & mask; requests->table[at] != NOWHERE; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)requests->ring[requests->table[at]].hash & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            requests->table[gap] = requests->table[at];
            gap = at;
        }
    }
    requests->table[gap] = NOWHERE;
}

static omen_status_t grow(om_requests *requests, omen_error *err)
{
    uint32_t capacity = requests->capacity == 0 ? FIRST_CAPACITY : requests->capacity * 2;
    entry *ring = om_alloc_get(requests->alloc, capacity * sizeof *ring, OM_CACHE_LINE);
    uint32_t *table =
        om_alloc_get(requests->alloc, (size_t)capacity * 2 * sizeof *table, OM_CACHE_LINE);
    if (ring == NULL || table == NULL) {
        free_arrays(requests->alloc, ring, NULL, capacity);
        om_alloc_put(requests->alloc, table, (size_t)capacity * 2 * sizeof *table, OM_CACHE_LINE);
        return om_fail_memory(err, "request memory", capacity * sizeof *ring);
    }
    for (uint32_t i = 0; i < requests->count; i++) { /* oldest first again, if it was full */
        uint32_t at = requests->next - requests->count + i;
        ring[i] = requests->ring[at & (requests->capacity - 1)];
    }
    memset(table, 0xFF, (size_t)capacity * 2 * sizeof *table);
    free_arrays(requests->alloc, requests->ring, requests->table, requests->capacity);
    requests->ring = ring;
    requests->table = table;
    requests->capacity = capacity;
    requests->next = requests->count;
    for (uint32_t i = 0; i < requests->count; i++) {
        link_entry(requests, i);
    }
    return OMEN_OK;
}

omen_status_t om_requests_reserve(om_requests *requests, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mutex_lock(&requests->mu);
    /* Writers of other collections may take the room that is seen here: leave one for each of
     * many. */
    if (requests->capacity < OM_REQUEST_MEMORY &&
        requests->count + FIRST_CAPACITY / 2 > requests->capacity) {
        status = grow(requests, err);
    }
    om_mutex_unlock(&requests->mu);
    return status;
}

void om_requests_put(om_requests *requests, const om_request_key *key, const om_written *written)
{
    om_mutex_lock(&requests->mu);
    if (requests->count == requests->capacity && requests->capacity < OM_REQUEST_MEMORY) {
        /* Writers of more collections than reserve leaves room for; without memory the oldest one goes. */
        (void)grow(requests, NULL);
    }
    if (requests->count == requests->capacity) {
        unlink_entry(requests, requests->next);
    } else {
        requests->count++;
    }
    entry *e = &requests->ring[requests->next];
    e->hash = hash_key(key);
    e->written = *written;
    e->serial = key->serial;
    e->length = (uint32_t)key->length;
    memcpy(e->id, key->id, key->length);
    link_entry(requests, requests->next);
    requests->next = (requests->next + 1) & (requests->capacity - 1);
    om_mutex_unlock(&requests->mu);
}

/* ---- Saving ------------------------------------------------------------------------------------ */
uint32_t om_requests_export(om_requests *requests, om_request *out, uint32_t room)
{
    om_mutex_lock(&requests->mu);
    uint32_t count = om_min_u32(requests->count, room);
    /* The newest ones, oldest first: the ring is full or begins at 0. */
    uint32_t at = requests->next - count;
    for (uint32_t i = 0; i < count; i++) {
        const entry *e = &requests->ring[(at + i) & (requests->capacity - 1)];
        out[i] = (om_request){.collection = e->serial,
                              .length = e->length,
                              .version = e->written.version,
                              .applied = e->written.applied,
                              .replaced = e->written.replaced,
                              .refused = e->written.refused};
        memcpy(out[i].id, e->id, e->length);
    }
    om_mutex_unlock(&requests->mu);
    return count;
}

uint32_t om_requests_count(om_requests *requests)
{
    om_mutex_lock(&requests->mu);
    uint32_t count = requests->count;
    om_mutex_unlock(&requests->mu);
    return count;
}

omen_status_t om_requests_import(om_requests *requests, const om_request *request, omen_error *err)
{
    const om_request_key key = {
        .id = request->id, .length = request->length, .serial = request->collection};
    const om_written written = {.version = request->version,
                                .applied = request->applied,
                                .replaced = request->replaced,
                                .refused = request->refused};
    om_written seen;
    omen_status_t status = om_requests_reserve(requests, err);
    if (status == OMEN_OK && !om_requests_find(requests, &key, &seen)) {
        om_requests_put(requests, &key, &written);
    }
    return status;
}
