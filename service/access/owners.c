/* owners.c - which tenant has a collection: a hash table that grows. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_int.h"

typedef struct owned {
    struct owned *next;
    om_tenant *tenant;
    char collection[OMEN_MAX_NAME + 1];
} owned;

struct om_owners {
    size_t count, buckets; /* a power of two */
    owned **bucket;
};

enum { FIRST_BUCKETS = 256 };

static uint32_t hash_of(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name != '\0'; name++) {
        h = (h ^ (uint8_t)*name) * 16777619u;
    }
    return h ^ h >> 15;
}

om_owners *om_owners_create(void)
{
    om_owners *o = calloc(1, sizeof *o);
    if (o != NULL) {
        o->buckets = FIRST_BUCKETS;
        o->bucket = calloc(o->buckets, sizeof *o->bucket);
    }
    if (o != NULL && o->bucket == NULL) {
        free(o);
        return NULL;
    }
    return o;
}

void om_owners_free(om_owners *o)
{
    for (size_t i = 0; o != NULL && i < o->buckets; i++) {
        while (o->bucket[i] != NULL) {
            owned *next = o->bucket[i]->next;
            free(o->bucket[i]);
            o->bucket[i] = next;
        }
    }
    if (o != NULL) {
        free(o->bucket);
    }
    free(o);
}

/* Twice the buckets; without memory the chains just get longer. */
static void grow(om_owners *o)
{
    size_t wanted = o->buckets * 2;
    owned **bucket = calloc(wanted, sizeof(owned *));
    for (size_t i = 0; bucket != NULL && i < o->buckets; i++) {
        while (o->bucket[i] != NULL) {
            owned *at = o->bucket[i];
            owned **to = &bucket[hash_of(at->collection) & (wanted - 1)];
            o->bucket[i] = at->next;
            at->next = *to;
            *to = at;
        }
    }
    if (bucket != NULL) {
        free(o->bucket);
        o->bucket = bucket;
        o->buckets = wanted;
    }
}

static owned **find(const om_owners *o, const char *collection)
{
    owned **at = &o->bucket[hash_of(collection) & (o->buckets - 1)];
    while (*at != NULL && strcmp((*at)->collection, collection) != 0) {
        at = &(*at)->next;
    }
    return at;
}

bool om_owners_set(om_owners *o, const char *collection, om_tenant *tenant)
{
    owned **at = find(o, collection);
    owned *row = *at;
    if (tenant == NULL) {
        if (row != NULL) {
            *at = row->next;
            free(row);
            o->count--;
        }
        return true;
    }
    if (row == NULL) {
        row = calloc(1, sizeof *row);
        if (row == NULL) {
            return false;
        }
        (void)snprintf(row->collection, sizeof row->collection, "%s", collection);
        *at = row;
        o->count++;
    }
    row->tenant = tenant;
    if (o->count > o->buckets) {
        grow(o);
    }
    return true;
}

om_tenant *om_owners_get(const om_owners *o, const char *collection)
{
    const owned *row = *find(o, collection);
    return row != NULL ? row->tenant : NULL;
}

size_t om_owners_count(const om_owners *o, const om_tenant *tenant)
{
    size_t n = 0;
    for (size_t i = 0; i < o->buckets; i++) {
        for (const owned *row = o->bucket[i]; row != NULL; row = row->next) {
            n += row->tenant == tenant;
        }
    }
    return n;
}
