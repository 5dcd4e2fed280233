/* analyser_fold.c - characters: which ones make words, what they fold to, and runs of those that have to be
 * looked at together (marks, width, ligatures, CJK).
 * SPDX-License-Identifier: Apache-2.0
 *
 * A run goes through utf8proc in pieces of at most OM_PIECE characters, so that a run of any length needs
 * bounded memory and the ordering of marks bounded time. A piece ends, where it can, in front of a character
 * that joins nothing before it, so that pieces do not show. */
#include "analyser_int.h"

#include <pthread.h>
#include <utf8proc.h>

enum { ZERO_WIDTH_SPACE = 0x200B, SIMPLE_COUNT = OM_SIMPLE_TO - OM_SIMPLE_FROM };
#define FOLD                                                                      \
    ((utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | \
                         UTF8PROC_CASEFOLD | UTF8PROC_IGNORE))
#define COMPOSE ((utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE))

bool om_utf8_read(const uint8_t *at, const uint8_t *end, uint32_t *character, uint32_t *bytes)
{
    uint32_t first = at[0];
    size_t left = (size_t)(end - at);
    if (first < 0x80) {
        *character = first;
        *bytes = 1;
        return true;
    }
    uint32_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || left < length) {
        return false;
    }
    uint32_t value = first & (0x7Fu >> length);
    for (uint32_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return false;
        }
        value = value << 6 | (at[i] & 0x3Fu);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[length] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
        return false;
    }
    *character = value;
    *bytes = length;
    return true;
}

omen_status_t om_fail_utf8(const om_chars *text, omen_error *err)
{
    return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_METADATA,
                   "text is not UTF-8 at byte %zu of %zu: 0x%02x", (size_t)(text->at - text->start),
                   (size_t)(text->end - text->start), *text->at);
}

const char *om_char_version(void)
{
    return utf8proc_unicode_version();
}

static bool is_word_category(int32_t category)
{
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
}

static bool is_mark_category(int32_t category)
{
    return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool om_char_joins(uint32_t character)
{
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)character);
    return (property->ignorable && character != ZERO_WIDTH_SPACE) ||
           is_word_category(property->category);
}

/* ---- Simple characters ------------------------------------------------------------------------------- */
static uint16_t simple[SIMPLE_COUNT];
static pthread_once_t simple_once = PTHREAD_ONCE_INIT;

static uint16_t find_simple(uint32_t character)
{
    if (!om_char_joins(character)) {
        return OM_SIMPLE_GAP;
    }
    utf8proc_int32_t folded[OM_MAX_EXPANSION];
    int boundary = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)character, folded,
                                                     OM_MAX_EXPANSION, FOLD, &boundary);
    if (count < 1 || count > OM_MAX_EXPANSION) {
        return OM_SIMPLE_NO;
    }
    count = utf8proc_normalize_utf32(folded, count, COMPOSE);
    const utf8proc_property_t *property = utf8proc_get_property(folded[0]);
    if (count != 1 || folded[0] >= OM_SIMPLE_TO || !is_word_category(property->category) ||
        is_mark_category(property->category)) {
        return OM_SIMPLE_NO;
    }
    return (uint16_t)folded[0];
}

static void find_all_simple(void)
{
    for (uint32_t i = 0; i < SIMPLE_COUNT; i++) {
        simple[i] = find_simple(OM_SIMPLE_FROM + i);
    }
}

const uint16_t *om_simple_chars(void)
{
    (void)pthread_once(&simple_once, find_all_simple);
    return simple;
}

/* ---- Scripts without spaces between words ------------------------------------------------------------ */
typedef struct char_range {
    uint32_t first, last;
} char_range;
/* Folded letters (and numbers of category Nl) that are taken two by two. */
static const char_range bigram_ranges[] = {
    {0x0E00, 0x0EFF},   /* Thai, Lao */
    {0x1000, 0x109F},   /* Myanmar */
    {0x1100, 0x11FF},   /* Hangul Jamo */
    {0x1780, 0x17FF},   /* Khmer */
    {0x3005, 0x3007},   /* marks of iteration and the zero of Han */
    {0x3021, 0x3029},   /* Hangzhou numerals */
    {0x3031, 0x3035},   /* Kana repeat marks */
    {0x3038, 0x303C},   /* more of both */
    {0x3040, 0x31FF},   /* Hiragana, Katakana, Bopomofo, Hangul compatibility */
    {0x3400, 0x4DBF},   /* Han */
    {0x4E00, 0x9FFF},   /* Han */
    {0xA960, 0xA97F},   /* Hangul Jamo */
    {0xA9E0, 0xA9FF},   /* Myanmar */
    {0xAA60, 0xAA7F},   /* Myanmar */
    {0xAC00, 0xD7FF},   /* Hangul */
    {0xF900, 0xFAFF},   /* Han compatibility */
    {0x1AFF0, 0x1B16F}, /* Kana */
    {0x20000, 0x3FFFF}, /* Han */
};

static bool is_bigram(uint32_t character, int32_t category)
{
    if (character < bigram_ranges[0].first || category == UTF8PROC_CATEGORY_ND ||
        category == UTF8PROC_CATEGORY_NO) {
        return false;
    }
    for (uint32_t i = 0; i < sizeof bigram_ranges / sizeof bigram_ranges[0]; i++) {
        if (character <= bigram_ranges[i].last) {
            return character >= bigram_ranges[i].first;
        }
    }
    return false;
}

/* Whether a piece of a run may end in front of it: it is not composed with what stands there. */
static bool joins_nothing(uint32_t character)
{
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)character);
    if (property->ignorable || is_mark_category(property->category)) {
        return false;
    }
    return !(character >= 0x1160 && character <= 0x11FF) && /* Hangul vowels and finals, */
           !(character >= 0xD7B0 && character <= 0xD7FF) &&
           !(character >= 0x3130 && character <= 0x318F) && /* their compatibility forms, */
           !(character >= 0xFF9E && character <= 0xFFDC);   /* of half width, and voice marks */
}

/* ---- Runs ------------------------------------------------------------------------------------ */
static uint32_t encode(uint32_t character, uint8_t out[4])
{
    return (uint32_t)utf8proc_encode_char((utf8proc_int32_t)character, out);
}

static omen_status_t end_simple_word(om_words *words, const om_analyser *analyser, omen_error *err)
{
    om_run *run = &words->run;
    if (!run->open) {
        return OMEN_OK;
    }
    run->open = false;
    return om_words_end_word(words, analyser, run->length, err);
}

static void add_to_word(om_words *words, uint32_t character)
{
    om_run *run = &words->run;
    if (!run->open) {
        om_words_begin_word(words);
        run->open = true;
        run->length = 0;
        run->limit = OM_MAX_WORD;
    }
    uint8_t bytes[4];
    uint32_t count = encode(character, bytes);
    if (run->length + count > run->limit) {
        run->limit = run->length;
        return;
    }
    memcpy(words->word + run->length, bytes, count);
    run->length += count;
}

/* A character of CJK is complete: it makes a word with the one before it. */
static omen_status_t end_unit(om_words *words, omen_error *err)
{
    om_run *run = &words->run;
    omen_status_t status = OMEN_OK;
    if (run->previous_length != 0) {
        uint8_t pair[2 * OM_UNIT_BYTES];
        memcpy(pair, run->previous, run->previous_length);
        memcpy(pair + run->previous_length, run->unit, run->unit_length);
        run->bigrams++;
        status = om_words_append(words, pair, run->previous_length + run->unit_length, err);
    }
    memcpy(run->previous, run->unit, run->unit_length);
    run->previous_length = run->unit_length;
    run->unit_length = 0;
    return status;
}

static omen_status_t end_bigrams(om_words *words, omen_error *err)
{
    om_run *run = &words->run;
    omen_status_t status = OMEN_OK;
    if (run->unit_length != 0) {
        OM_TRY(end_unit(words, err));
    }
    if (run->previous_length != 0 && run->bigrams == 0) {
        OM_TRY(om_words_append(words, run->previous, run->previous_length, err));
    }
    run->previous_length = 0;
    run->bigrams = 0;
out:
    return status;
}

static void add_to_unit(om_run *run, uint32_t character)
{
    uint8_t bytes[4];
    uint32_t count = encode(character, bytes);
    if (run->unit_length + count <= OM_UNIT_BYTES) {
        memcpy(run->unit + run->unit_length, bytes, count);
        run->unit_length += count;
    }
}

static omen_status_t take_folded(om_words *words, const om_analyser *analyser, uint32_t character,
                                 omen_error *err)
{
    om_run *run = &words->run;
    int32_t category = utf8proc_get_property((utf8proc_int32_t)character)->category;
    omen_status_t status = OMEN_OK;
    if (!is_word_category(category)) {
        OM_TRY(end_simple_word(words, analyser, err));
        OM_TRY(end_bigrams(words, err));
    } else if (is_mark_category(category) && run->unit_length != 0) {
        add_to_unit(run, character);
    } else if (!is_mark_category(category) && is_bigram(character, category)) {
        OM_TRY(end_simple_word(words, analyser, err));
        if (run->unit_length != 0) {
            OM_TRY(end_unit(words, err));
        }
        add_to_unit(run, character);
    } else {
        OM_TRY(end_bigrams(words, err));
        add_to_word(words, character);
    }
out:
    return status;
}

/* Moves text->at over the next piece of the run. *more: the run goes on behind it. */
static omen_status_t next_piece(om_chars *text, bool *more, omen_error *err)
{
    uint32_t count = 0;
    *more = false;
    while (text->at < text->end) {
        uint32_t character, bytes;
        if (!om_utf8_read(text->at, text->end, &character, &bytes)) {
            return om_fail_utf8(text, err);
        }
        if (!om_char_joins(character)) {
            return OMEN_OK;
        }
        if (count == OM_PIECE || (count >= OM_PIECE_BORDER && joins_nothing(character))) {
            *more = true;
            return OMEN_OK;
        }
        text->at += bytes;
        count++;
    }
    return OMEN_OK;
}

omen_status_t om_run_words(om_words *words, const om_analyser *analyser, om_chars *text,
                           omen_error *err)
{
    om_run *run = &words->run;
    omen_status_t status = OMEN_OK;
    bool more = true;
    run->open = false;
    run->bigrams = run->previous_length = run->unit_length = 0;
    while (more) {
        const uint8_t *from = text->at;
        OM_TRY(next_piece(text, &more, err));
        utf8proc_ssize_t count = utf8proc_decompose(from, text->at - from, words->folded,
                                                    OM_PIECE * OM_MAX_EXPANSION, FOLD);
        if (count < 0 || count > OM_PIECE * OM_MAX_EXPANSION) {
            return om_fail(err, OMEN_INTERNAL, OMEN_D_NONE, "utf8proc: %zd for %u characters",
                           count, OM_PIECE);
        }
        count = utf8proc_normalize_utf32(words->folded, count, COMPOSE);
        for (utf8proc_ssize_t i = 0; i < count; i++) {
            OM_TRY(take_folded(words, analyser, (uint32_t)words->folded[i], err));
        }
    }
    OM_TRY(end_simple_word(words, analyser, err));
    OM_TRY(end_bigrams(words, err));
out:
    return status;
}
