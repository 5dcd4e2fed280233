/* analyser_int.h - what the files of the analyser share: an analyser, the words of a text, the cache of
 * stems. Private to core/text.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ANALYSER_INT_H
#define OM_ANALYSER_INT_H
#include <string.h>

#include "analyser.h"

enum {
    OM_CACHED_WORD = 20, /* longer words are not cached */
    OM_CACHED_END = 4,   /* nor those whose stem ends in more than so many other bytes */
    OM_CACHE_WAYS = 2,
    OM_MAX_STEMMERS = 64,
    OM_SPARE_WORDS = 4,    /* that an analyser keeps for om_words_borrow */
    OM_SPARE_BITS = 10,    /* of their cache: 32 KiB */
    OM_CACHE_BITS = 14,    /* of others: 512 KiB */
    OM_UNIT_BYTES = 32,    /* a character of CJK with its marks: two fit into a word */
    OM_PIECE = 64,         /* characters that are normalised together */
    OM_PIECE_BORDER = 48,  /* a piece may end from here on, in front of what joins nothing */
    OM_MAX_EXPANSION = 20, /* characters of one that is decomposed: 18 in Unicode, U+FDFA */
    OM_CONFIG_STOP = 0x80, /* of the config: stop words are left out */
};

typedef struct om_spares {
    _Atomic(om_words *) words[OM_SPARE_WORDS];
} om_spares;

struct om_analyser {
    const om_alloc *alloc;
    const char *algorithm; /* its name in libstemmer's own list; NULL: no stemming */
    uint32_t number;       /* its place there */
    uint32_t flags;
    om_spares *spares; /* all that changes in an analyser */
    uint8_t config; /* tells analysers that treat a word differently: number + 1, OM_CONFIG_STOP */
};

/* A word and what became of it: its first `keep` bytes and `extra` others. Both 0: a stop word. Words have no
 * zero bytes, so that they need no length beside the zeros behind them. */
typedef struct om_stem_entry {
    uint8_t word[OM_CACHED_WORD];
    uint8_t config; /* of the analyser; 0: empty */
    uint8_t keep, extra;
    uint8_t unused;
    uint8_t end[OM_CACHED_END];
    uint32_t hash; /* of the stem, as om_word has it */
} om_stem_entry;
/* A folded word of at most OM_CACHED_WORD bytes, zeros behind it, in registers: a word that was just written
 * byte by byte cannot be read again in larger pieces without a wait for these writes. */
typedef struct om_wordkey {
    uint64_t head[2];
    uint32_t tail;
} om_wordkey;
_Static_assert(sizeof(uint64_t) * 2 + sizeof(uint32_t) == OM_CACHED_WORD, "a key is a cached word");

/* Sets of two entries; a set is a line of the processor's cache. Grows while words miss, up to a limit: what
 * is in it is never needed. */
typedef struct om_stems {
    om_stem_entry *entries;
    uint32_t bits; /* 2^bits entries; 0: none yet */
    uint32_t most; /* of bits */
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
    om_run run;
    uint8_t word[OM_MAX_WORD]; /* that is being read; zeros behind it, up to OM_CACHED_WORD */
    int32_t folded[OM_PIECE * OM_MAX_EXPANSION]; /* a piece of a run; not zeroed at first */
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
/* The word of `length` bytes in words->word, folded: left out as a stop word, or its stem is appended; counts
 * a position. */
omen_status_t om_words_end_word(om_words *words, const om_analyser *analyser, uint32_t length,
                                omen_error *err) OM_NODISCARD;
/* What the cache knows of a word, instead. */
omen_status_t om_words_put_entry(om_words *words, const om_stem_entry *entry,
                                 omen_error *err) OM_NODISCARD;
static inline void om_words_begin_word(om_words *words)
{
    memset(words->word, 0, OM_CACHED_WORD);
}

/* ---- analyser_stem.c -------------------------------------------------------------------------------- */
/* The name in libstemmer's own list and its place there, or NULL. */
const char *om_stem_algorithm(const char *language, uint32_t *number);
/* Names of algorithms for a message, cut to size. */
void om_stem_names(char *out, size_t size);
bool om_stem_is_stop_word(const uint8_t *word, uint32_t length);
/* Where the cache has the word, or NULL. */
const om_stem_entry *om_stem_look(const om_words *words, const om_analyser *analyser,
                                  const om_wordkey *key);
/* The key of words->word. */
static inline om_wordkey om_word_key(const om_words *words)
{
    om_wordkey key;
    memcpy(key.head, words->word, sizeof key.head);
    memcpy(&key.tail, words->word + sizeof key.head, sizeof key.tail);
    return key;
}
/* What becomes of that word, which the cache did not have; it has it then. *stem_length 0: a stop word. *stem
 * lives until the next call. */
omen_status_t om_stem_make(om_words *words, const om_analyser *analyser, uint32_t length,
                           const uint8_t **stem, uint32_t *stem_length,
                           omen_error *err) OM_NODISCARD;
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
