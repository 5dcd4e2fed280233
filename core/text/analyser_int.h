/* analyser_int.h - what the files of the analyser share: an analyser, the words of a text, the cache of
 * stems. Private to core/text.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ANALYSER_INT_H
#define OM_ANALYSER_INT_H
#include <string.h>

#include "analyser.h"

enum {
    OM_KEY_BYTES = 32,   /* of a cached word: its analyser's config, its length, the word, zeros */
    OM_KEY_HEAD = 2,     /* config and length */
    OM_KEY_WORD = 30,    /* longer words are not cached */
    OM_CACHED_STEM = 31, /* longer stems are not cached */
    OM_MAX_STEMMERS = 64,
    OM_UNIT_BYTES = 32,    /* a character of CJK with its marks: two fit into a word */
    OM_PIECE = 64,         /* characters that are normalised together */
    OM_PIECE_BORDER = 48,  /* a piece may end from here on, in front of what joins nothing */
    OM_MAX_EXPANSION = 20, /* characters of one that is decomposed: 18 in Unicode, U+FDFA */
    OM_CONFIG_STOP = 0x80, /* of the config: stop words are left out */
};

struct om_analyser {
    const om_alloc *alloc;
    const char *algorithm; /* its name in libstemmer's own list; NULL: no stemming */
    uint32_t number;       /* its place there */
    uint32_t flags;
    uint8_t config; /* tells analysers that treat a word differently: number + 1, OM_CONFIG_STOP */
};

/* A word and what became of it, one line of the processor's cache. Stem of length 0: a stop word. */
typedef struct om_stem_entry {
    uint8_t key[OM_KEY_BYTES];
    uint8_t length;
    uint8_t stem[OM_CACHED_STEM];
} om_stem_entry;

/* Sets of two entries. Grows while words miss, up to a limit: what is in it is never needed. */
typedef struct om_stems {
    om_stem_entry *entries;
    uint32_t bits; /* 2^bits entries; 0: none yet */
    uint32_t misses;
    struct sb_stemmer *stemmers[OM_MAX_STEMMERS];
} om_stems;

/* A run of characters with others than the simple ones, on its way to words. */
typedef struct om_run {
    uint32_t length, limit; /* of the word in key; at the limit it is closed */
    bool open;
    uint32_t bigrams; /* that this stretch of CJK has given */
    uint32_t previous_length, unit_length;
    uint8_t previous[OM_UNIT_BYTES], unit[OM_UNIT_BYTES];
    int32_t folded[OM_PIECE * OM_MAX_EXPANSION];
} om_run;

struct om_words {
    const om_alloc *alloc;
    om_word *list;
    char *bytes;
    uint32_t count, capacity;
    uint32_t size, byte_capacity;
    uint32_t position;
    const uint16_t *simple; /* om_simple_chars(), NULL until there is such a character */
    om_stems stems;
    om_stem_entry spare; /* in place of the cache while there is no memory for it */
    om_run run;
    _Alignas(
        8) uint8_t key[OM_KEY_HEAD + OM_MAX_WORD + 6]; /* the word that is being read, as a key */
};

/* Where in a text. */
typedef struct om_chars {
    const uint8_t *start, *at, *end;
} om_chars;

/* ---- analyser_words.c ------------------------------------------------------------------------------- */
/* Forgets the words. `length`: of the text to come, so that memory of a far longer one is not kept. */
void om_words_clear(om_words *words, size_t length);
/* Appends a word with the next position. */
omen_status_t om_words_append(om_words *words, const uint8_t *word, uint32_t length,
                              omen_error *err) OM_NODISCARD;
/* The word of `length` bytes that stands in words->key, folded: left out as a stop word, or its stem is
 * appended; counts a position. */
omen_status_t om_words_end_word(om_words *words, const om_analyser *analyser, uint32_t length,
                                omen_error *err) OM_NODISCARD;
static inline uint8_t *om_words_key_word(om_words *words)
{
    return words->key + OM_KEY_HEAD;
}
/* An empty word: what is behind it in the key has to be zero. */
static inline void om_words_begin_word(om_words *words)
{
    memset(words->key, 0, OM_KEY_BYTES);
}

/* ---- analyser_stem.c -------------------------------------------------------------------------------- */
/* The name in libstemmer's own list and its place there, or NULL. */
const char *om_stem_algorithm(const char *language, uint32_t *number);
/* Names of algorithms for a message, cut to size. */
void om_stem_names(char *out, size_t size);
bool om_stem_is_stop_word(const uint8_t *word, uint32_t length);
/* The stem of the word in words->key, through the cache. *length 0: a stop word. *stem lives until the next
 * call; when it has up to OM_CACHED_STEM bytes, so many can be read. */
omen_status_t om_stem_find(om_words *words, const om_analyser *analyser, uint32_t word_length,
                           const uint8_t **stem, uint32_t *length, omen_error *err) OM_NODISCARD;
void om_stems_free(om_stems *stems, const om_alloc *alloc);
size_t om_stems_bytes(const om_stems *stems);

/* ---- analyser_fold.c -------------------------------------------------------------------------------- */
enum { OM_SIMPLE_NO = 0, OM_SIMPLE_GAP = 1, OM_SIMPLE_FROM = 0x80, OM_SIMPLE_TO = 0x800 };
/* The character at `at` and its bytes; false when that is no UTF-8. */
bool om_utf8_read(const uint8_t *at, const uint8_t *end, uint32_t *character, uint32_t *bytes);
/* Whether a character stands inside words (or is dropped from them), and does not end them. */
bool om_char_joins(uint32_t character);
/* The Unicode version, "15.0.0". */
const char *om_char_version(void);
/* What each of U+0080 .. U+07FF becomes, alone: OM_SIMPLE_GAP: it ends words; OM_SIMPLE_NO: it is not simple;
 * else the folded character, below U+0800. Made once in a process. */
const uint16_t *om_simple_chars(void);
/* The words of the run that begins at text->at, which is moved behind it. */
omen_status_t om_run_words(om_words *words, const om_analyser *analyser, om_chars *text,
                           omen_error *err) OM_NODISCARD;
omen_status_t om_fail_utf8(const om_chars *text, omen_error *err);
#endif
