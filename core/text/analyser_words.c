/* analyser_words.c - the words of a text: their arrays, and the way of a folded word into them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "analyser_int.h"

#include "texthash.h"

enum {
    FIRST_WORDS = 64,
    FIRST_BYTES = 1024,
    SLACK = 32,        /* a word of the cache is copied whole */
    KEEP_BYTES = 65536 /* more is kept only for texts that need about as much */
};
_Static_assert(SLACK >= (int)OM_CACHED_WORD + (int)OM_CACHED_END,
               "a copied word stays in the buffer");
_Static_assert(sizeof(om_stem_entry) * OM_CACHE_WAYS == OM_CACHE_LINE, "a set is a cache line");

omen_status_t om_words_create(const om_alloc *alloc, om_words **out, omen_error *err)
{
    om_words *words = om_alloc_get(alloc, sizeof *words, _Alignof(om_words));
    if (words == NULL) {
        return om_fail_memory(err, "words of a text", sizeof *words);
    }
    memset(words, 0, offsetof(om_words, folded));
    words->alloc = alloc;
    words->stems.most = OM_CACHE_BITS;
    *out = words;
    return OMEN_OK;
}

static void free_list(om_words *words)
{
    om_alloc_put(words->alloc, words->list, words->capacity * sizeof *words->list,
                 _Alignof(om_word));
    words->list = NULL;
    words->capacity = 0;
}

static void free_bytes(om_words *words)
{
    om_alloc_put(words->alloc, words->bytes, words->byte_capacity, 1);
    words->bytes = NULL;
    words->byte_capacity = 0;
}

void om_words_free(om_words *words)
{
    if (words == NULL) {
        return;
    }
    free_list(words);
    free_bytes(words);
    om_stems_free(&words->stems, words->alloc);
    om_alloc_put(words->alloc, words, sizeof *words, _Alignof(om_words));
}

omen_status_t om_words_borrow(const om_analyser *analyser, om_words **out, omen_error *err)
{
    for (uint32_t i = 0; i < OM_SPARE_WORDS; i++) {
        _Atomic(om_words *) *place = &analyser->spares->words[i];
        if (atomic_load_explicit(place, memory_order_relaxed) != NULL) {
            *out = atomic_exchange_explicit(place, NULL, memory_order_acquire);
            if (*out != NULL) {
                return OMEN_OK;
            }
        }
    }
    omen_status_t status = om_words_create(analyser->alloc, out, err);
    if (status == OMEN_OK) {
        (*out)->stems.most = OM_SPARE_BITS;
    }
    return status;
}

void om_words_return(const om_analyser *analyser, om_words *words)
{
    if (words == NULL) {
        return;
    }
    om_words_clear(words, 0);
    for (uint32_t i = 0; i < OM_SPARE_WORDS && words->stems.most == OM_SPARE_BITS; i++) {
        om_words *empty = NULL;
        if (atomic_compare_exchange_strong_explicit(&analyser->spares->words[i], &empty, words,
                                                    memory_order_release, memory_order_relaxed)) {
            return;
        }
    }
    om_words_free(words);
}

size_t om_words_memory(const om_words *words)
{
    return sizeof *words + words->capacity * sizeof *words->list + words->byte_capacity +
           om_stems_bytes(&words->stems);
}

void om_words_clear(om_words *words, size_t length)
{
    words->count = 0;
    words->size = 0;
    words->position = 0;
    if (words->byte_capacity > KEEP_BYTES && words->byte_capacity / 8 > length) {
        free_bytes(words);
    }
    if (words->capacity * sizeof *words->list > KEEP_BYTES && words->capacity / 8 > length) {
        free_list(words);
    }
}

const om_word *om_words_list(const om_words *words, uint32_t *count)
{
    *count = words->count;
    return words->list;
}

const char *om_words_bytes(const om_words *words)
{
    return words->bytes;
}

/* Room for one word of any length and the slack. Neither number passes 2^32: a text has OM_MAX_TEXT bytes at
 * most, and one of them gives two words ("1/2" in one character) and 11 bytes of words (U+FDFA) at most. */
static omen_status_t grow(om_words *words, omen_error *err)
{
    if (words->count == words->capacity) {
        uint32_t wanted = words->capacity == 0 ? FIRST_WORDS : words->capacity * 2;
        void *list = om_alloc_grow(words->alloc, words->list, words->capacity * sizeof *words->list,
                                   wanted * sizeof *words->list, _Alignof(om_word));
        if (list == NULL) {
            return om_fail_memory(err, "words of a text", wanted * sizeof *words->list);
        }
        words->list = list;
        words->capacity = wanted;
    }
    if (words->byte_capacity - words->size < OM_MAX_WORD + SLACK) {
        uint32_t wanted = words->byte_capacity == 0 ? FIRST_BYTES : words->byte_capacity * 2;
        void *bytes = om_alloc_grow(words->alloc, words->bytes, words->byte_capacity, wanted, 1);
        if (bytes == NULL) {
            return om_fail_memory(err, "words of a text", wanted);
        }
        words->bytes = bytes;
        words->byte_capacity = wanted;
    }
    return OMEN_OK;
}

static inline omen_status_t make_room(om_words *words, omen_error *err)
{
    if (OM_LIKELY(words->count < words->capacity &&
                  words->byte_capacity - words->size >= OM_MAX_WORD + SLACK)) {
        return OMEN_OK;
    }
    return grow(words, err);
}

static void put_word(om_words *words, uint32_t length, uint32_t hash)
{
    words->list[words->count++] = (om_word){
        .offset = words->size, .length = length, .position = words->position, .hash = hash};
    words->size += length;
    words->position++;
}

omen_status_t om_words_append(om_words *words, const uint8_t *word, uint32_t length,
                              omen_error *err)
{
    om_assert(length >= 1 && length <= OM_MAX_WORD);
    omen_status_t status = make_room(words, err);
    if (status == OMEN_OK) {
        memcpy(words->bytes + words->size, word, length);
        put_word(words, length, om_text_row_hash((const char *)word, length));
    }
    return status;
}

/* The way without the cache. */
static omen_status_t end_new_word(om_words *words, const om_analyser *analyser, uint32_t length,
                                  omen_error *err)
{
    const uint8_t *stem = words->word;
    uint32_t stem_length = length;
    if (analyser->algorithm != NULL) {
        omen_status_t status = om_stem_make(words, analyser, length, &stem, &stem_length, err);
        if (status != OMEN_OK) {
            return status;
        }
    } else if (analyser->config != 0 && om_stem_is_stop_word(stem, length)) {
        stem_length = 0;
    }
    if (stem_length == 0) {
        words->position++;
        return OMEN_OK;
    }
    return om_words_append(words, stem, stem_length, err);
}

omen_status_t om_words_put_entry(om_words *words, const om_stem_entry *entry, omen_error *err)
{
    const uint32_t stem_length = (uint32_t)entry->keep + entry->extra;
    if (stem_length == 0) {
        words->position++;
        return OMEN_OK;
    }
    omen_status_t status = make_room(words, err);
    if (status == OMEN_OK) {
        /* More than the stem, so that the compiler knows the lengths of the copies. */
        char *out = words->bytes + words->size;
        memcpy(out, entry->word, OM_CACHED_WORD);
        memcpy(out + entry->keep, entry->end, OM_CACHED_END);
        put_word(words, stem_length, entry->hash);
    }
    return status;
}

omen_status_t om_words_end_word(om_words *words, const om_analyser *analyser, uint32_t length,
                                omen_error *err)
{
    const om_stem_entry *entry = NULL;
    if (OM_LIKELY(analyser->algorithm != NULL && length <= OM_CACHED_WORD)) {
        const om_wordkey key = om_word_key(words);
        entry = om_stem_look(words, analyser, &key);
    }
    return entry != NULL ? om_words_put_entry(words, entry, err)
                         : end_new_word(words, analyser, length, err);
}

/* Suffixes, folding, composition and bigrams in the scripts that the stemmers know, and more. */
static const char sample[] =
    "The Relational databases' indexing conditionally generalizations of flies, trying hopefully "
    "running "
    "agreed 1984 caf\xC3\xA9 cafe\xCC\x81 Stra\xC3\x9F"
    "e \xEF\xAC\x81xe na\xC3\xAFve \xEF\xBC\xA1\xEF\xBC\xA2 "
    "nationales continuellement arbeiten H\xC3\xA4user canciones r\xC3\xA1pidamente libert\xC3\xA0 "
    "cora\xC3\xA7\xC3\xB5"
    "es lopende jaktkarlarne k\xC3\xB8rende juoksemme h\xC3\xA1zakat evlerimizden oamenilor "
    "\xD1\x80\xD0\xB0\xD0\xB1\xD0\xBE\xD1\x82\xD0\xB0\xD1\x8E\xD1\x89\xD0\xB8\xD0\xB5 "
    "\xCE\xBB\xCF\x8C\xCE\xB3\xCE\xBF\xCF\x85\xCF\x82 "
    "\xD8\xA7\xD9\x84\xD9\x83\xD8\xAA\xD8\xA7\xD8\xA8 "
    "\xE0\xA4\xB2\xE0\xA4\xA1\xE0\xA4\xBC\xE0\xA4\x95\xE0\xA4\xBF\xE0\xA4\xAF\xE0\xA4\xBE\xE0\xA4"
    "\x82 "
    "\xE6\x9D\xB1\xE4\xBA\xAC\xE9\x83\xBD \xEF\xBD\xB6\xEF\xBE\x9E\xEF\xBD\xB7 "
    "\xD5\xA3\xD6\x80\xD6\x84\xD5\xA5\xD6\x80\xD5\xAB "
    "\xE0\xAE\xAA\xE0\xAF\x81\xE0\xAE\xA4\xE0\xAF\x8D\xE0\xAE\xA4\xE0\xAE\x95\xE0\xAE\x99\xE0\xAF"
    "\x8D\xE0\xAE\x95"
    "\xE0\xAE\xB3\xE0\xAF\x8D "
    "\xD7\x91\xD7\x99\xD7\x9B\xD7\xA2\xD7\xA8 "
    "\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4 "
    "\xE0\xB8\x81\xE0\xB8\xB3\xE0\xB8\xA5\xE0\xB8\xB1\xE0\xB8\x87";

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = om_mix64(hash ^ (uint8_t)*text);
    }
    return om_mix64(hash);
}

omen_status_t om_analyser_fingerprint(const om_analyser *analyser, om_words *scratch, uint64_t *out,
                                      omen_error *err)
{
    omen_status_t status = om_analyse(analyser, sample, sizeof sample - 1, scratch, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t hash = om_mix64(OM_ANALYSER_VERSION + ((uint64_t)analyser->flags << 32));
    hash = mix_text(hash, analyser->algorithm == NULL ? "" : analyser->algorithm);
    hash = mix_text(hash, om_char_version());
    for (uint32_t i = 0; i < scratch->count; i++) {
        const om_word *word = &scratch->list[i];
        hash = om_mix64(hash ^ word->position);
        for (uint32_t k = 0; k < word->length; k++) {
            hash = om_mix64(hash ^ (uint8_t)scratch->bytes[word->offset + k]);
        }
    }
    *out = hash;
    return OMEN_OK;
}
