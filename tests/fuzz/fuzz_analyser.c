/* fuzz_analyser.c - any bytes as a text. The first byte chooses language and flags. Texts that are no UTF-8
 * are refused and no others; words are short, in order and UTF-8; a scratch that was used before changes
 * nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const om_alloc libc_alloc;
static const char *const languages[] = {"english", "porter", "german", "turkish",
                                        "arabic",  "tamil",  "hindi",  "greek"};
enum { LANGUAGES = sizeof languages / sizeof languages[0] };

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* The definition of the Unicode standard, table 3-7: apart from the code under test. */
static bool is_utf8(const uint8_t *s, size_t size)
{
    size_t i = 0;
    while (i < size) {
        uint8_t c = s[i++];
        uint32_t more = c < 0x80 ? 0 : c >= 0xC2 && c <= 0xDF ? 1 : (c & 0xF0) == 0xE0 ? 2 : 3;
        if (c >= 0x80 && (c < 0xC2 || c > 0xF4)) {
            return false;
        }
        for (uint32_t k = 0; k < more; k++, i++) {
            uint8_t low = 0x80, high = 0xBF;
            if (k == 0) {
                low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
                high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
            }
            if (i >= size || s[i] < low || s[i] > high) {
                return false;
            }
        }
    }
    return true;
}

static void check_words(const om_words *words, size_t size)
{
    uint32_t count;
    const om_word *list = om_words_list(words, &count);
    const uint8_t *bytes = (const uint8_t *)om_words_bytes(words);
    need(count <= 2 * size, "the number of words");
    for (uint32_t i = 0; i < count; i++) {
        need(list[i].length >= 1 && list[i].length <= OM_MAX_WORD, "the length of a word");
        need(i == 0 ? list[i].offset == 0
                    : list[i].offset == list[i - 1].offset + list[i - 1].length,
             "offsets");
        need(i == 0 || list[i].position > list[i - 1].position, "positions rise");
        need(is_utf8(bytes + list[i].offset, list[i].length), "a word is UTF-8");
    }
}

static void need_same(const om_words *a, const om_words *b)
{
    uint32_t count_a, count_b;
    const om_word *list_a = om_words_list(a, &count_a);
    const om_word *list_b = om_words_list(b, &count_b);
    need(count_a == count_b, "the same number of words");
    if (count_a != 0) {
        const om_word *last = &list_a[count_a - 1];
        need(memcmp(list_a, list_b, count_a * sizeof *list_a) == 0, "the same places");
        need(memcmp(om_words_bytes(a), om_words_bytes(b), last->offset + last->length) == 0,
             "the same words");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static om_words *used;
    if (size == 0) {
        return 0;
    }
    const om_analyser_options options = {.language = languages[data[0] % LANGUAGES],
                                         .flags = (uint32_t)data[0] / LANGUAGES % 4};
    om_analyser *analyser = NULL;
    om_words *words = NULL;
    need(om_analyser_create(&libc_alloc, &options, &analyser, NULL) == OMEN_OK, "an analyser");
    need(om_words_create(&libc_alloc, &words, NULL) == OMEN_OK, "words");
    need(used != NULL || om_words_create(&libc_alloc, &used, NULL) == OMEN_OK, "words");
    /* A copy of exactly that size, so that a read behind it is seen. */
    char *text = malloc(size);
    need(text != NULL, "memory");
    memcpy(text, data + 1, size - 1);
    text = realloc(text, size == 1 ? 1 : size - 1);
    need(text != NULL, "memory");
    omen_status_t status = om_analyse(analyser, text, size - 1, words, NULL);
    bool utf8 = is_utf8(data + 1, size - 1);
    need(status == (utf8 ? OMEN_OK : OMEN_INVALID_ARGUMENT), "UTF-8 or not");
    check_words(words, size - 1);
    for (int round = 0; round < 2; round++) {
        need(om_analyse(analyser, text, size - 1, used, NULL) == status, "the same status");
        need_same(words, used);
    }
    free(text);
    om_words_free(words);
    om_analyser_free(analyser);
    return 0;
}
