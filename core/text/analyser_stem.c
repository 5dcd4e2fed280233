/* analyser_stem.c - stop words, stems by libstemmer, and a cache of them: a stemmer takes ten times as long
 * as all the rest, and few words make up most of a text.
 * SPDX-License-Identifier: Apache-2.0
 *
 * What libstemmer allocates comes from the C library, not from om_alloc, as it knows no other: a stemmer of
 * an algorithm that is used takes about 300 bytes, whatever the words, since they are cut at OM_MAX_WORD. */
#include "analyser_int.h"
#include "texthash.h"

#include <libstemmer.h>
#include <stdio.h>

enum { FIRST_BITS = 6, STOP_WORD_BYTES = 5 };

const char *om_stem_algorithm(const char *language, uint32_t *number)
{
    const char **names = sb_stemmer_list();
    for (uint32_t i = 0; i < OM_MAX_STEMMERS && names[i] != NULL; i++) {
        if (strcmp(names[i], language) == 0) {
            *number = i;
            return names[i];
        }
    }
    return NULL;
}

void om_stem_names(char *out, size_t size)
{
    const char **names = sb_stemmer_list();
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < OM_MAX_STEMMERS && names[i] != NULL; i++) {
        size_t length = strlen(names[i]);
        if (used + length + 6 > size) {
            (void)snprintf(out + used, size - used, " ...");
            return;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : " ", names[i]);
    }
}

/* Lucene's English stop words, as u64 of their bytes. */
#define W1(a) (uint64_t)(a)
#define W2(a, b) (W1(a) | (uint64_t)(b) << 8)
#define W3(a, b, c) (W2(a, b) | (uint64_t)(c) << 16)
#define W4(a, b, c, d) (W3(a, b, c) | (uint64_t)(d) << 24)
#define W5(a, b, c, d, e) (W4(a, b, c, d) | (uint64_t)(e) << 32)
static const uint64_t stop_words[] = {
    W1('a'),
    W2('a', 'n'),
    W3('a', 'n', 'd'),
    W3('a', 'r', 'e'),
    W2('a', 's'),
    W2('a', 't'),
    W2('b', 'e'),
    W3('b', 'u', 't'),
    W2('b', 'y'),
    W3('f', 'o', 'r'),
    W2('i', 'f'),
    W2('i', 'n'),
    W4('i', 'n', 't', 'o'),
    W2('i', 's'),
    W2('i', 't'),
    W2('n', 'o'),
    W3('n', 'o', 't'),
    W2('o', 'f'),
    W2('o', 'n'),
    W2('o', 'r'),
    W4('s', 'u', 'c', 'h'),
    W4('t', 'h', 'a', 't'),
    W3('t', 'h', 'e'),
    W5('t', 'h', 'e', 'i', 'r'),
    W4('t', 'h', 'e', 'n'),
    W5('t', 'h', 'e', 'r', 'e'),
    W5('t', 'h', 'e', 's', 'e'),
    W4('t', 'h', 'e', 'y'),
    W4('t', 'h', 'i', 's'),
    W2('t', 'o'),
    W3('w', 'a', 's'),
    W4('w', 'i', 'l', 'l'),
    W4('w', 'i', 't', 'h'),
};
_Static_assert(sizeof stop_words / sizeof stop_words[0] == 33, "Lucene has 33");

bool om_stem_is_stop_word(const uint8_t *word, uint32_t length)
{
    if (length > STOP_WORD_BYTES) {
        return false;
    }
    uint64_t packed = 0;
    for (uint32_t i = 0; i < length; i++) {
        packed |= (uint64_t)word[i] << (8 * i);
    }
    for (uint32_t i = 0; i < sizeof stop_words / sizeof stop_words[0]; i++) {
        if (stop_words[i] == packed) {
            return true;
        }
    }
    return false;
}

void om_stems_free(om_stems *stems, const om_alloc *alloc)
{
    om_alloc_put(alloc, stems->entries, om_stems_bytes(stems), OM_CACHE_LINE);
    stems->entries = NULL;
    stems->bits = 0;
    for (uint32_t i = 0; i < OM_MAX_STEMMERS; i++) {
        sb_stemmer_delete(stems->stemmers[i]);
        stems->stemmers[i] = NULL;
    }
}

size_t om_stems_bytes(const om_stems *stems)
{
    return stems->bits == 0 ? 0 : sizeof *stems->entries << stems->bits;
}

/* A larger cache, empty: words come back soon. Without memory the old one stays. */
static void grow_cache(om_stems *stems, const om_alloc *alloc)
{
    uint32_t bits = stems->bits == 0 ? FIRST_BITS : stems->bits + 2;
    bits = om_min_u32(bits, stems->most);
    void *entries = om_alloc_zero(alloc, (size_t)1 << bits, sizeof *stems->entries, OM_CACHE_LINE);
    if (entries != NULL) {
        om_alloc_put(alloc, stems->entries, om_stems_bytes(stems), OM_CACHE_LINE);
        stems->entries = entries;
        stems->bits = bits;
    }
    stems->misses = 0;
}

/* The algorithm itself. */
static omen_status_t run_stemmer(om_stems *stems, const om_analyser *analyser, const uint8_t *word,
                                 uint32_t word_length, const uint8_t **out, uint32_t *length,
                                 omen_error *err)
{
    struct sb_stemmer **stemmer = &stems->stemmers[analyser->number];
    if (*stemmer == NULL) {
        *stemmer = sb_stemmer_new(analyser->algorithm, NULL);
    }
    const uint8_t *found = NULL;
    if (*stemmer != NULL) {
        found = sb_stemmer_stem(*stemmer, word, (int)word_length);
    }
    if (found == NULL) {
        return om_fail_memory(err, "stemmer", OM_MAX_WORD);
    }
    int found_length = sb_stemmer_length(*stemmer);
    if (found_length <= 0) {
        *out = word;
        *length = word_length;
        return OMEN_OK;
    }
    /* Some algorithms append a little; the rule of the longest word holds all the same. */
    uint32_t cut = om_min_u32((uint32_t)found_length, OM_MAX_WORD);
    while (cut < (uint32_t)found_length && cut > 0 && (found[cut] & 0xC0) == 0x80) {
        cut--;
    }
    *out = found;
    *length = cut;
    return OMEN_OK;
}

static om_stem_entry *set_of(const om_words *words, const om_analyser *analyser,
                             const om_wordkey *key)
{
    uint64_t hash = ((key->head[0] + analyser->config) * UINT64_C(0x9E3779B97F4A7C15)) ^
                    (key->head[1] * UINT64_C(0xC2B2AE3D27D4EB4F)) ^
                    (key->tail * UINT64_C(0x165667B19E3779F9));
    hash = (hash ^ (hash >> 32)) * UINT64_C(0xBF58476D1CE4E5B9);
    return &words->stems.entries[(hash >> (64 - words->stems.bits + 1)) * OM_CACHE_WAYS];
}

static bool same_word(const om_stem_entry *entry, const om_wordkey *key)
{
    om_wordkey other;
    memcpy(other.head, entry->word, sizeof other.head);
    memcpy(&other.tail, entry->word + sizeof other.head, sizeof other.tail);
    return ((other.head[0] ^ key->head[0]) | (other.head[1] ^ key->head[1]) |
            (other.tail ^ key->tail)) == 0;
}

const om_stem_entry *om_stem_look(const om_words *words, const om_analyser *analyser,
                                  const om_wordkey *key)
{
    if (OM_UNLIKELY(words->stems.bits == 0)) {
        return NULL;
    }
    const om_stem_entry *set = set_of(words, analyser, key);
    for (uint32_t way = 0; way < OM_CACHE_WAYS; way++) {
        if (same_word(&set[way], key) && set[way].config == analyser->config) {
            return &set[way];
        }
    }
    return NULL;
}

/* Into the cache, in front of the set's other, when it fits. */
static void remember(om_words *words, const om_analyser *analyser, uint32_t length,
                     const uint8_t *found, uint32_t found_length)
{
    om_stems *stems = &words->stems;
    uint32_t keep = 0;
    while (keep < length && keep < found_length && words->word[keep] == found[keep]) {
        keep++;
    }
    if (length > OM_CACHED_WORD || found_length - keep > OM_CACHED_END) {
        return;
    }
    if (stems->bits < stems->most && stems->misses++ >= (1u << stems->bits) >> 1) {
        grow_cache(stems, words->alloc);
    }
    if (stems->bits == 0) {
        return;
    }
    const om_wordkey key = om_word_key(words);
    om_stem_entry *set = set_of(words, analyser, &key);
    set[1] = set[0];
    set[0] = (om_stem_entry){.config = analyser->config,
                             .keep = (uint8_t)keep,
                             .extra = (uint8_t)(found_length - keep),
                             .hash = om_text_row_hash((const char *)found, found_length)};
    memcpy(set[0].word, words->word, OM_CACHED_WORD);
    memcpy(set[0].end, found + keep, found_length - keep);
}

omen_status_t om_stem_make(om_words *words, const om_analyser *analyser, uint32_t length,
                           const uint8_t **stem, uint32_t *stem_length, omen_error *err)
{
    const uint8_t *found = words->word;
    uint32_t found_length = 0;
    if ((analyser->config & OM_CONFIG_STOP) == 0 || !om_stem_is_stop_word(words->word, length)) {
        omen_status_t status =
            run_stemmer(&words->stems, analyser, words->word, length, &found, &found_length, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    remember(words, analyser, length, found, found_length);
    *stem = found;
    *stem_length = found_length;
    return OMEN_OK;
}
