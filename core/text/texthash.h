/* texthash.h - the hash of a word: in text rows, images and questions, and kept beside cached stems.
 * Depends on: rng.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TEXTHASH_H
#define OM_TEXTHASH_H
#include <string.h>

#include "rng.h"

/* FORMAT.md: 8 bytes at a time, the last ones filled up with zeros. */
static inline uint64_t om_text_hash(const char *word, uint32_t length, uint64_t seed)
{
    uint64_t hash = om_mix64(seed + length);
    for (uint32_t at = 0; at < length; at += 8) {
        uint64_t chunk = 0;
        memcpy(&chunk, word + at, length - at < 8 ? length - at : 8);
        hash = om_mix64(hash ^ chunk);
    }
    return hash;
}
/* What a text row has of a word. */
static inline uint32_t om_text_row_hash(const char *word, uint32_t length)
{
    return (uint32_t)(om_text_hash(word, length, 0) >> 32);
}
#endif
