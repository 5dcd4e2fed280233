/* analyser.h - text becomes words: Unicode word characters, folded by case and width, CJK as bigrams, stop
 * words, stems. The rule is written in FORMAT.md: the same text gives the same words in every build that has
 * this analyser version.
 * Depends on: base.  Threads: an analyser any, a scratch one.  Locks: none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ANALYSER_H
#define OM_ANALYSER_H
#include "alloc.h"
#include "base.h"

#define OM_ANALYSER_VERSION 1u
#define OM_MAX_WORD 64u       /* bytes of a word; longer ones are cut at a character */
#define OM_MAX_TEXT 16777216u /* bytes of a text: 16 MiB */
typedef struct om_analyser om_analyser;
typedef struct om_analyser_options {
    const char
        *language;  /* an algorithm of libstemmer, "english", "porter", ...; NULL, "": english */
    uint32_t flags; /* OMEN_FIELD_STOP_WORDS, OMEN_FIELD_NO_STEMMING */
} om_analyser_options;
/* INVALID_ARGUMENT / FIELD: no such language or flag. It keeps the pointer to alloc. */
omen_status_t om_analyser_create(const om_alloc *alloc, const om_analyser_options *options,
                                 om_analyser **out, omen_error *err) OM_NODISCARD;
void om_analyser_free(om_analyser *analyser);
/* They give the same words for every text. */
bool om_analyser_same(const om_analyser *a, const om_analyser *b);

/* Words of a text in order. A position counts words, stop words included, so that phrases hold over them. */
typedef struct om_word {
    uint32_t offset, length; /* in bytes[], which may be read to 32 bytes behind the last word */
    uint32_t position;
    uint32_t hash; /* om_text_row_hash of it */
} om_word;
typedef struct om_words om_words; /* reused: keeps its memory, and a cache of stems */
omen_status_t om_words_create(const om_alloc *alloc, om_words **out, omen_error *err) OM_NODISCARD;
void om_words_free(om_words *words);
size_t om_words_memory(const om_words *words); /* bytes that it holds */
/* Replaces what words held; after a failure it holds none. Invalid UTF-8 is INVALID_ARGUMENT / METADATA with
 * its offset, a longer text than OM_MAX_TEXT INVALID_ARGUMENT / LIMIT. */
omen_status_t om_analyse(const om_analyser *analyser, const char *text, size_t length,
                         om_words *words, omen_error *err) OM_NODISCARD;
/* For texts that come one by one, queries above all: words that the analyser keeps in between, with their
 * cache and stemmers, or new ones. Give them back before the analyser is freed. Any thread. */
omen_status_t om_words_borrow(const om_analyser *analyser, om_words **out,
                              omen_error *err) OM_NODISCARD;
void om_words_return(const om_analyser *analyser, om_words *words); /* words may be NULL */
const om_word *om_words_list(const om_words *words, uint32_t *count);
const char *om_words_bytes(const om_words *words);
/* Tells analysers apart that give other words for some text, across builds too: a hash over what it makes
 * of a text in many scripts, which changes with the rules here, with the Unicode version of utf8proc and
 * with a stemmer of libstemmer. Replaces what scratch held. */
omen_status_t om_analyser_fingerprint(const om_analyser *analyser, om_words *scratch, uint64_t *out,
                                      omen_error *err) OM_NODISCARD;
#endif
