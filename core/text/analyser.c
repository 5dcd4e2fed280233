/* analyser.c - from a text to its words: the loop over a text, quick where its characters are simple.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Simple is what needs no look at its neighbours: ASCII, and below U+0800 letters and digits that fold to one
 * of their kind. A word of these alone ("simple word") is folded while it is read. Anything else makes the
 * run of characters go through om_run_words, which gives the same words for simple characters too. */
#include "analyser_int.h"

enum { ASCII_GAP = 0, ASCII_WIDE = 1, ASCII_LEAST = '0' };
/* What a byte becomes in a word; ASCII_GAP: it ends words; ASCII_WIDE: not ASCII. */
static const uint8_t ascii[256] = {
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   /* 00 */
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   /* 10 */
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   /* 20 */
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0,   0,   0,   0,   0,   0,   /* 30 */
    0,   'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', /* 40 */
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0,   0,   0,   0,   0,   /* 50 */
    0,   'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', /* 60 */
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0,   0,   0,   0,   0,   /* 70 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* 80 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* 90 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* a0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* b0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* c0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* d0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* e0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   /* f0 */
};

omen_status_t om_analyser_create(const om_alloc *alloc, const om_analyser_options *options,
                                 om_analyser **out, omen_error *err)
{
    const char *language = options->language;
    if (language == NULL || language[0] == '\0') {
        language = "english";
    }
    uint32_t number = 0;
    const char *algorithm = om_stem_algorithm(language, &number);
    if (algorithm == NULL) {
        char names[128];
        om_stem_names(names, sizeof names);
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_FIELD,
                       "language '%.32s' is unknown; there are %s", language, names);
    }
    if ((options->flags & ~(uint32_t)(OMEN_FIELD_STOP_WORDS | OMEN_FIELD_NO_STEMMING)) != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_FIELD, "flags 0x%x of a text field",
                       options->flags);
    }
    om_analyser *analyser = om_alloc_zero(alloc, 1, sizeof *analyser, _Alignof(om_analyser));
    om_spares *spares = om_alloc_zero(alloc, 1, sizeof *spares, _Alignof(om_spares));
    if (analyser == NULL || spares == NULL) {
        om_alloc_put(alloc, analyser, sizeof *analyser, _Alignof(om_analyser));
        om_alloc_put(alloc, spares, sizeof *spares, _Alignof(om_spares));
        return om_fail_memory(err, "analyser", sizeof *analyser + sizeof *spares);
    }
    analyser->spares = spares;
    analyser->alloc = alloc;
    analyser->flags = options->flags;
    if ((options->flags & OMEN_FIELD_NO_STEMMING) == 0) {
        analyser->algorithm = algorithm;
        analyser->number = number;
        analyser->config = (uint8_t)(number + 1);
    }
    if ((options->flags & OMEN_FIELD_STOP_WORDS) != 0) {
        analyser->config |= OM_CONFIG_STOP;
    }
    *out = analyser;
    return OMEN_OK;
}

void om_analyser_free(om_analyser *analyser)
{
    if (analyser != NULL) {
        for (uint32_t i = 0; i < OM_SPARE_WORDS; i++) {
            om_words_free(atomic_load_explicit(&analyser->spares->words[i], memory_order_acquire));
        }
        om_alloc_put(analyser->alloc, analyser->spares, sizeof *analyser->spares,
                     _Alignof(om_spares));
        om_alloc_put(analyser->alloc, analyser, sizeof *analyser, _Alignof(om_analyser));
    }
}

bool om_analyser_same(const om_analyser *a, const om_analyser *b)
{
    return a->config == b->config;
}

/* What stands at text->at. */
typedef enum { NEXT_GAP, NEXT_WORD, NEXT_RUN, NEXT_BAD } next_t;

/* The character at `at`, which is not ASCII, behind a word of `*length` bytes: NEXT_WORD: it was taken into
 * the word, *at moved; NEXT_GAP: it ends words; NEXT_RUN: it is not simple. */
static next_t take_wide(om_words *words, const om_chars *text, const uint8_t **at, uint32_t *length,
                        uint32_t *limit)
{
    uint32_t character, bytes;
    if (!om_utf8_read(*at, text->end, &character, &bytes)) {
        return NEXT_BAD;
    }
    if (character >= OM_SIMPLE_TO) {
        return om_char_joins(character) ? NEXT_RUN : NEXT_GAP;
    }
    if (words->simple == NULL) {
        words->simple = om_simple_chars();
    }
    uint32_t folded = words->simple[character - OM_SIMPLE_FROM];
    if (folded == OM_SIMPLE_NO || folded == OM_SIMPLE_GAP) {
        return folded == OM_SIMPLE_NO ? NEXT_RUN : NEXT_GAP;
    }
    uint8_t *word = words->word;
    uint32_t need = folded < 0x80 ? 1 : 2;
    if (*length + need > *limit) {
        *limit = *length;
    } else if (need == 1) {
        word[(*length)++] = (uint8_t)folded;
    } else {
        word[(*length)++] = (uint8_t)(0xC0 | (folded >> 6));
        word[(*length)++] = (uint8_t)(0x80 | (folded & 0x3F));
    }
    *at += bytes;
    return NEXT_WORD;
}

/* Reads a simple word into words->word and moves text->at behind it; or moves it over a character that is in
 * no word; or leaves it where a run begins; or moves it to bytes that are bad. */
static next_t read_simple(om_words *words, om_chars *text, uint32_t *length)
{
    uint8_t *word = words->word;
    const uint8_t *at = text->at;
    uint32_t taken = 0, limit = OM_MAX_WORD;
    next_t next = NEXT_WORD;
    om_words_begin_word(words);
    while (next == NEXT_WORD) {
        const uint8_t *stop = text->end - at > limit - taken ? at + (limit - taken) : text->end;
        uint8_t folded = ASCII_GAP;
        while (at < stop && (folded = ascii[*at]) >= ASCII_LEAST) {
            word[taken++] = folded;
            at++;
        }
        if (at == stop) { /* what is behind the cut */
            while (at < text->end && (folded = ascii[*at]) >= ASCII_LEAST) {
                at++;
            }
        }
        if (at == text->end || folded == ASCII_GAP) {
            break;
        }
        next = take_wide(words, text, &at, &taken, &limit);
    }
    if (next == NEXT_RUN) {
        return next;
    }
    if (next == NEXT_BAD) {
        text->at = at;
        return next;
    }
    *length = taken;
    if (taken != 0) {
        text->at = at;
        return NEXT_WORD;
    }
    uint32_t character, bytes = 1;
    if (next == NEXT_GAP && om_utf8_read(at, text->end, &character, &bytes)) {
        at += bytes;
    }
    text->at = at;
    return NEXT_GAP;
}

/* Moves text->at over "'s" behind a word: "Ohm's law" has the words of "Ohm law". */
static void skip_apostrophe(om_chars *text)
{
    const uint8_t *at = text->at;
    size_t left = (size_t)(text->end - at);
    if (left >= 2 && at[0] == '\'') {
        at += 1;
    } else if (left >= 4 &&
               (memcmp(at, "\xE2\x80\x99", 3) == 0 || memcmp(at, "\xEF\xBC\x87", 3) == 0)) {
        at += 3;
    } else {
        return;
    }
    if (*at != 's' && *at != 'S') {
        return;
    }
    at++;
    uint32_t character, bytes;
    if (at < text->end && ascii[*at] != ASCII_GAP &&
        (ascii[*at] != ASCII_WIDE ||
         (om_utf8_read(at, text->end, &character, &bytes) && om_char_joins(character)))) {
        return;
    }
    text->at = at;
}

/* Most words end at a space or a full stop. */
static inline void skip_possessive(om_chars *text)
{
    if (text->at < text->end && (*text->at == '\'' || *text->at >= 0xE2)) {
        skip_apostrophe(text);
    }
}

/* How many of eight bytes, from the first one on, are ASCII letters and digits; these folded, zeros behind
 * them. Sums stay below 256 in every byte, so that none carries into the next. */
static inline uint32_t fold_eight(uint64_t bytes, uint64_t *folded)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    const uint64_t low = bytes & ~high, small = low | ones << 5;
    const uint64_t letter =
        (small + ones * (0x80 - 'a')) & ~(small + ones * (0x7F - 'z')) & ~bytes & high;
    const uint64_t digit =
        (low + ones * (0x80 - '0')) & ~(low + ones * (0x7F - '9')) & ~bytes & high;
    const uint64_t other = ~(letter | digit) & high;
    *folded = bytes | letter >> 2;
    if (other == 0) {
        return 8;
    }
    const uint32_t count = (uint32_t)__builtin_ctzll(other) / 8;
    *folded &= (UINT64_C(1) << 8 * count) - 1;
    return count;
}

/* What the cache of stems has of the word at text->at, which is moved behind it; NULL, and text stays, when
 * the word is not ASCII alone, is long, lies at the end of the text, or is not in the cache. Most words
 * are. */
static const om_stem_entry *quick_word(const om_words *words, const om_analyser *analyser,
                                       om_chars *text)
{
    om_wordkey key = {0};
    uint64_t part, third = 0;
    if (text->end - text->at <= 24) {
        return NULL;
    }
    memcpy(&part, text->at, sizeof part);
    uint32_t length = fold_eight(part, &key.head[0]);
    if (length == 8) {
        memcpy(&part, text->at + 8, sizeof part);
        length += fold_eight(part, &key.head[1]);
    }
    if (length == 16) {
        memcpy(&part, text->at + 16, sizeof part);
        length += fold_eight(part, &third);
        key.tail = (uint32_t)third;
    }
    if (length == 0 || length > OM_CACHED_WORD || text->at[length] >= 0x80) {
        return NULL;
    }
    const om_stem_entry *entry = om_stem_look(words, analyser, &key);
    text->at += entry != NULL ? length : 0;
    return entry;
}

static omen_status_t analyse_all(const om_analyser *analyser, om_chars *text, om_words *words,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    while (text->at < text->end) {
        if (ascii[*text->at] == ASCII_GAP) {
            text->at++;
            continue;
        }
        const om_stem_entry *known =
            analyser->algorithm != NULL ? quick_word(words, analyser, text) : NULL;
        if (known != NULL) {
            OM_TRY(om_words_put_entry(words, known, err));
            skip_possessive(text);
            continue;
        }
        uint32_t length = 0;
        switch (read_simple(words, text, &length)) {
        case NEXT_GAP:
            continue;
        case NEXT_WORD:
            OM_TRY(om_words_end_word(words, analyser, length, err));
            break;
        case NEXT_RUN:
            OM_TRY(om_run_words(words, analyser, text, err));
            break;
        case NEXT_BAD:
            return om_fail_utf8(text, err);
        }
        skip_possessive(text);
    }
out:
    return status;
}

omen_status_t om_analyse(const om_analyser *analyser, const char *text, size_t length,
                         om_words *words, omen_error *err)
{
    om_words_clear(words, length);
    if (length == 0) {
        return OMEN_OK;
    }
    if (length > OM_MAX_TEXT) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "text of %zu bytes, at most %u",
                       length, OM_MAX_TEXT);
    }
    const uint8_t *start = (const uint8_t *)text;
    om_chars chars = {.start = start, .at = start, .end = start + length};
    omen_status_t status = analyse_all(analyser, &chars, words, err);
    if (status != OMEN_OK) {
        om_words_clear(words, length);
    }
    return status;
}
