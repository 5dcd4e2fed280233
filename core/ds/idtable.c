/* idtable.c - ids of bytes to u64 keys: a hash table of tagged keys over pages of bytes.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word of the table is 16 bits of the hash above 48 bits of key; 0 is empty, as keys begin at 1.
 * The upper half of the hash is scaled to the number of words, which may thus be any number: the
 * table grows by half and wastes less than powers of two would. Bytes are compared only where the
 * tag agrees. */
#include "idtable.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "idpages.h"
#include "op.h"
#include "rng.h"

enum { MIN_CAPACITY = 32, KEY_BITS = 48 };
#define MAX_KEY ((UINT64_C(1) << KEY_BITS) - 1)

struct om_idtable {
    const om_alloc *alloc;
    uint64_t *words;
    uint64_t capacity; /* below 2^32 */
    uint64_t used;
    uint64_t seed; /* so that colliding ids cannot be prepared */
    om_idpages pages;
};

static uint64_t hash_id(const om_idtable *table, const void *id, size_t length)
{
    return XXH3_64bits_withSeed(id, length, table->seed);
}

static uint64_t home_of(uint64_t hash, uint64_t capacity)
{
    return ((hash >> 32) * capacity) >> 32;
}

static uint64_t word_for(uint64_t hash, uint64_t key)
{
    return (hash << KEY_BITS) | key;
}

static bool tag_agrees(uint64_t word, uint64_t hash)
{
    return ((word ^ (hash << KEY_BITS)) >> KEY_BITS) == 0;
}

static uint64_t next_place(uint64_t at, uint64_t capacity)
{
    return at + 1 == capacity ? 0 : at + 1;
}

omen_status_t om_idtable_create(const om_alloc *alloc, om_idtable **out, omen_error *err)
{
    om_idtable *table = om_alloc_zero(alloc, 1, sizeof *table, _Alignof(om_idtable));
    if (table == NULL) {
        return om_fail_memory(err, "id table", sizeof *table);
    }
    table->alloc = alloc;
    table->seed = om_mix64((uint64_t)(uintptr_t)table ^ om_mix64(om_now_ns()));
    om_idpages_init(&table->pages, alloc);
    *out = table;
    return OMEN_OK;
}

void om_idtable_free(om_idtable *table)
{
    if (table == NULL) {
        return;
    }
    const om_alloc *alloc = table->alloc;
    om_idpages_free(&table->pages);
    om_alloc_put(alloc, table->words, (size_t)table->capacity * sizeof table->words[0],
                 OM_CACHE_LINE);
    om_alloc_put(alloc, table, sizeof *table, _Alignof(om_idtable));
}

/* The place of an id, or the empty one where it would go. */
static uint64_t find_place(const om_idtable *table, const void *id, size_t length, uint64_t hash)
{
    uint64_t at = home_of(hash, table->capacity);
    for (; table->words[at] != 0; at = next_place(at, table->capacity)) {
        if (tag_agrees(table->words[at], hash)) {
            size_t stored_length = 0;
            const uint8_t *stored =
                om_idpages_get(&table->pages, table->words[at] & MAX_KEY, &stored_length);
            om_assert(stored != NULL);
            if (stored_length == length && memcmp(stored, id, length) == 0) {
                break;
            }
        }
    }
    return at;
}

/* Numbers come in rising order: a later one with the same bytes takes the place of the former. */
static void place_again(void *ctx, uint64_t key, const uint8_t *id, size_t length)
{
    om_idtable *table = ctx;
    uint64_t hash = hash_id(table, id, length);
    table->words[find_place(table, id, length, hash)] = word_for(hash, key);
}

/* Makes the table large enough for `needed` ids at a load of three quarters. */
static omen_status_t grow_words(om_idtable *table, uint64_t needed, omen_error *err)
{
    if (table->capacity != 0 && needed * 4 <= table->capacity * 3) {
        return OMEN_OK;
    }
    uint64_t capacity = needed + needed / 3 + 2; /* two: integer division, and never full */
    uint64_t by_half = table->capacity + table->capacity / 2;
    capacity = capacity < by_half ? by_half : capacity;
    capacity = capacity < MIN_CAPACITY ? MIN_CAPACITY : capacity;
    uint64_t *words = om_alloc_zero(table->alloc, (size_t)capacity, sizeof words[0], OM_CACHE_LINE);
    if (words == NULL) {
        return om_fail_memory(err, "id table", capacity * sizeof words[0]);
    }
    om_alloc_put(table->alloc, table->words, (size_t)table->capacity * sizeof words[0],
                 OM_CACHE_LINE);
    table->words = words;
    table->capacity = capacity;
    om_idpages_each(&table->pages, place_again, table);
    return OMEN_OK;
}

omen_status_t om_idtable_reserve(om_idtable *table, uint64_t ids, uint64_t bytes, omen_error *err)
{
    if (ids > OMEN_MAX_ROWS || table->used + ids > OMEN_MAX_ROWS) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "id table: %llu ids and %llu more are above the limit of %u rows",
                       (unsigned long long)table->used, (unsigned long long)ids, OMEN_MAX_ROWS);
    }
    if (table->pages.next_key + ids > MAX_KEY) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "id table: key %llu and %llu more are above the limit of %llu keys",
                       (unsigned long long)table->pages.next_key, (unsigned long long)ids,
                       (unsigned long long)MAX_KEY);
    }
    omen_status_t status = grow_words(table, table->used + ids, err);
    if (status != OMEN_OK) {
        return status;
    }
    bytes = om_min_u64(bytes, ids * OMEN_MAX_STRING_ID); /* more cannot be added */
    return om_idpages_reserve(&table->pages, ids, bytes, err);
}

uint64_t om_idtable_find(const om_idtable *table, const void *id, size_t length)
{
    if (table->used == 0) {
        return OMEN_NONE;
    }
    uint64_t word = table->words[find_place(table, id, length, hash_id(table, id, length))];
    return word == 0 ? OMEN_NONE : word & MAX_KEY;
}

uint64_t om_idtable_add(om_idtable *table, const void *id, size_t length, bool *added)
{
    om_assert(table->words != NULL);
    uint64_t hash = hash_id(table, id, length);
    uint64_t at = find_place(table, id, length, hash);
    *added = table->words[at] == 0;
    if (!*added) {
        return table->words[at] & MAX_KEY;
    }
    uint64_t key = om_idpages_append(&table->pages, id, length);
    table->words[at] = word_for(hash, key);
    table->used++;
    om_assert(table->used < table->capacity);
    return key;
}

uint64_t om_idtable_put(om_idtable *table, const void *id, size_t length)
{
    om_assert(table->words != NULL);
    uint64_t hash = hash_id(table, id, length);
    uint64_t at = find_place(table, id, length, hash);
    uint64_t former = table->words[at] & MAX_KEY;
    uint64_t number = om_idpages_append(&table->pages, id, length);
    table->words[at] = word_for(hash, number);
    table->used += former == 0;
    om_assert(table->used < table->capacity);
    return former;
}

void om_idtable_forget(om_idtable *table, uint64_t number)
{
    om_idpages_remove(&table->pages, number);
}

static uint64_t distance(uint64_t from, uint64_t to, uint64_t capacity)
{
    return to >= from ? to - from : to + capacity - from;
}

/* Closes a gap: later words of the run move back as far as the place their hash asks for allows. */
static void close_gap(om_idtable *table, uint64_t gap)
{
    uint64_t capacity = table->capacity;
    for (uint64_t at = next_place(gap, capacity); table->words[at] != 0;
         at = next_place(at, capacity)) {
        size_t length = 0;
        const uint8_t *id = om_idpages_get(&table->pages, table->words[at] & MAX_KEY, &length);
        om_assert(id != NULL);
        uint64_t home = home_of(hash_id(table, id, length), capacity);
        if (distance(home, at, capacity) >= distance(gap, at, capacity)) {
            table->words[gap] = table->words[at];
            gap = at;
        }
    }
    table->words[gap] = 0;
}

void om_idtable_remove(om_idtable *table, uint64_t key)
{
    size_t length = 0;
    const uint8_t *id = om_idpages_get(&table->pages, key, &length);
    if (id == NULL) {
        return;
    }
    uint64_t hash = hash_id(table, id, length);
    uint64_t at = home_of(hash, table->capacity);
    while ((table->words[at] & MAX_KEY) != key) {
        om_assert(table->words[at] != 0);
        at = next_place(at, table->capacity);
    }
    close_gap(table, at);
    om_idpages_remove(&table->pages, key);
    table->used--;
}

const void *om_idtable_id(const om_idtable *table, uint64_t key, size_t *length)
{
    return om_idpages_get(&table->pages, key, length);
}

uint64_t om_idtable_count(const om_idtable *table)
{
    return table->used;
}

uint64_t om_idtable_next_key(const om_idtable *table)
{
    return table->pages.next_key;
}

size_t om_idtable_bytes(const om_idtable *table)
{
    return sizeof *table + (size_t)table->capacity * sizeof table->words[0] +
           om_idpages_bytes(&table->pages);
}
