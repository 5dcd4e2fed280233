/* metadict.c - different values in a hash table, in the order they came.
 * SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "metarow_int.h"
#include "metasort.h"
#include "rng.h"

enum { FIRST_TABLE = 64 };
#define UPPER_HALF (~UINT64_C(0) << 32)

void om_metadict_init(om_metadict *dict, const om_alloc *alloc, uint32_t width, uint64_t seed)
{
    *dict = (om_metadict){.alloc = alloc,
                          .seed = seed,
                          .width = width,
                          .values.alloc = alloc,
                          .offsets.alloc = alloc};
}

void om_metadict_free(om_metadict *dict)
{
    om_alloc_put(dict->alloc, dict->table, dict->table_size * sizeof dict->table[0], OM_CACHE_LINE);
    om_bytes_free(&dict->values);
    om_bytes_free(&dict->offsets);
    dict->table = NULL;
    dict->table_size = 0;
    dict->count = 0;
}

void om_metadict_clear(om_metadict *dict)
{
    if (dict->table != NULL && dict->count != 0) {
        memset(dict->table, 0, dict->table_size * sizeof dict->table[0]);
    }
    dict->values.size = 0;
    dict->offsets.size = 0;
    dict->count = 0;
}

const uint8_t *om_metadict_value(const om_metadict *dict, uint32_t number, size_t *size)
{
    if (dict->width != 0) {
        *size = dict->width;
        return dict->values.data + (size_t)number * dict->width;
    }
    uint64_t ends[2];
    memcpy(ends, dict->offsets.data + 8 * (size_t)number, sizeof ends);
    *size = (size_t)(ends[1] - ends[0]);
    return dict->values.data + ends[0];
}

/* 0 is what an empty place has, so a word is never 0. */
static uint64_t hash_value(const om_metadict *dict, const uint8_t *value, size_t size)
{
    return dict->width == 8 ? om_mix64(om_load64(value) ^ dict->seed)
                            : XXH3_64bits_withSeed(value, size, dict->seed);
}

static omen_status_t grow_table(om_metadict *dict, omen_error *err)
{
    size_t size = dict->table_size == 0 ? FIRST_TABLE : 2 * dict->table_size;
    uint64_t *table = om_alloc_zero(dict->alloc, size, sizeof table[0], OM_CACHE_LINE);
    if (table == NULL) {
        return om_fail_memory(err, "a dictionary of metadata", size * sizeof table[0]);
    }
    for (uint32_t number = 0; number < dict->count; number++) {
        size_t length;
        const uint8_t *value = om_metadict_value(dict, number, &length);
        uint64_t hash = hash_value(dict, value, length);
        size_t at = (size_t)hash & (size - 1);
        while (table[at] != 0) {
            at = (at + 1) & (size - 1);
        }
        table[at] = (hash & UPPER_HALF) | (number + 1u);
    }
    om_alloc_put(dict->alloc, dict->table, dict->table_size * sizeof table[0], OM_CACHE_LINE);
    dict->table = table;
    dict->table_size = size;
    return OMEN_OK;
}

static omen_status_t append_value(om_metadict *dict, const uint8_t *value, size_t size,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (dict->width == 0) {
        uint64_t end = dict->values.size;
        if (dict->count == 0) {
            dict->offsets.size = 0;
            OM_TRY(om_bytes_put(&dict->offsets, &end, sizeof end, err));
        }
        end += size;
        OM_TRY(om_bytes_room(&dict->offsets, sizeof end, err));
        OM_TRY(om_bytes_room(&dict->values, size + 1, err)); /* an address for empty ones, too */
        OM_TRY(om_bytes_put(&dict->values, value, size, err));
        OM_TRY(om_bytes_put(&dict->offsets, &end, sizeof end, err));
    } else {
        OM_TRY(om_bytes_put(&dict->values, value, dict->width, err));
    }
    dict->count++;
out:
    return status;
}

omen_status_t om_metadict_add(om_metadict *dict, const uint8_t *value, size_t size,
                              uint32_t *number, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (2 * (size_t)dict->count >= dict->table_size) {
        OM_TRY(grow_table(dict, err));
    }
    uint64_t hash = hash_value(dict, value, size);
    size_t mask = dict->table_size - 1;
    size_t at = (size_t)hash & mask;
    for (; dict->table[at] != 0; at = (at + 1) & mask) {
        if (((dict->table[at] ^ hash) & UPPER_HALF) != 0) {
            continue;
        }
        size_t length;
        uint32_t there = (uint32_t)dict->table[at] - 1;
        const uint8_t *bytes = om_metadict_value(dict, there, &length);
        if (length == size && (size == 0 || memcmp(bytes, value, size) == 0)) {
            *number = there;
            return OMEN_OK;
        }
    }
    if (dict->count == UINT32_MAX - 1) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "metadata: a field has more than %u different values in one block",
                       UINT32_MAX - 1);
    }
    *number = dict->count;
    OM_TRY(append_value(dict, value, size, err));
    dict->table[at] = (hash & UPPER_HALF) | dict->count;
out:
    return status;
}
