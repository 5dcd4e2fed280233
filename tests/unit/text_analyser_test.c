/* text_analyser_test.c - words of texts by hand, then properties on random texts: the quick path gives what
 * the careful one gives, the cache of stems changes nothing, failures leave nothing behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <libstemmer.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyser.h"
#include "rng.h"

static const om_alloc libc_alloc;

static om_analyser *make_analyser(const char *language, uint32_t flags)
{
    om_analyser *analyser = NULL;
    const om_analyser_options options = {.language = language, .flags = flags};
    assert_int_equal(om_analyser_create(&libc_alloc, &options, &analyser, NULL), OMEN_OK);
    return analyser;
}

static om_words *make_words(void)
{
    om_words *words = NULL;
    assert_int_equal(om_words_create(&libc_alloc, &words, NULL), OMEN_OK);
    return words;
}

/* "word:position word:position ..." */
static void print_words(const om_words *words, char *out, size_t size)
{
    uint32_t count;
    const om_word *list = om_words_list(words, &count);
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        int wrote =
            snprintf(out + used, size - used, "%s%.*s:%u", i == 0 ? "" : " ", (int)list[i].length,
                     om_words_bytes(words) + list[i].offset, list[i].position);
        assert_true(wrote > 0 && (size_t)wrote < size - used);
        used += (size_t)wrote;
    }
}

static void expect_words(const om_analyser *analyser, om_words *words, const char *text,
                         const char *expected)
{
    char got[2048];
    assert_int_equal(om_analyse(analyser, text, strlen(text), words, NULL), OMEN_OK);
    print_words(words, got, sizeof got);
    if (strcmp(got, expected) != 0) {
        print_message("of: %s\n", text);
    }
    assert_string_equal(got, expected);
}

typedef struct example {
    const char *text, *words;
} example;

static void check_examples(const char *language, uint32_t flags, const example *examples,
                           size_t count)
{
    om_analyser *analyser = make_analyser(language, flags);
    om_words *words = make_words();
    for (size_t i = 0; i < count; i++) {
        expect_words(analyser, words, examples[i].text, examples[i].words);
    }
    om_words_free(words);
    om_analyser_free(analyser);
}
#define CHECK_EXAMPLES(language, flags, examples) \
    check_examples(language, flags, examples, sizeof(examples) / sizeof(examples)[0])

static void test_borders(void **state)
{
    (void)state;
    static const example examples[] = {
        {"", ""},
        {" \t\n.,;!", ""},
        {"one", "one:0"},
        {"One, two;three", "one:0 two:1 three:2"},
        {"x86-64 e_mail a.b@c.de", "x86:0 64:1 e:2 mail:3 a:4 b:5 c:6 de:7"},
        {"3.14 1,000", "3:0 14:1 1:2 000:3"},
        {"caf\u00e9!na\u00efve", "caf\u00e9:0 na\u00efve:1"},
        {"a\u2014b\u00a0c\u3000d", "a:0 b:1 c:2 d:3"},
        {"Java\u2122 \u00a9 50\u20ac", "java:0 50:1"},
        {"\U0001F600face\U0001F600\u2764\ufe0f", "face:0"},
        {"\u00bd m\u00b2 \u2167", "1:0 2:1 m2:2 viii:3"},
        {"soft\u00adhyphen zero\u200bwidth join\u200der \ufeffbom",
         "softhyphen:0 zero:1 width:2 joiner:3 bom:4"},
        {"\u00ad\u200d", ""},
        {"\u0301\u0302", "\u0301\u0302:0"},
    };
    CHECK_EXAMPLES(NULL, OMEN_FIELD_NO_STEMMING, examples);
}

static void test_apostrophes(void **state)
{
    (void)state;
    static const example examples[] = {
        {"Ohm's law", "ohm:0 law:1"},
        {"Ohm\u2019s law", "ohm:0 law:1"},
        {"Ohm\uff07s", "ohm:0"},
        {"OHM'S", "ohm:0"},
        {"caf\u00e9's \u6771\u4eac's.", "caf\u00e9:0 \u6771\u4eac:1"},
        {"don't l'avion O'Brien", "don:0 t:1 l:2 avion:3 o:4 brien:5"},
        {"it'ssome it's\u00e9", "it:0 ssome:1 it:2 s\u00e9:3"},
        {"'s 's' dogs' s", "s:0 s:1 dogs:2 s:3"},
        {"x's's", "x:0 s:1"},
        {"x'", "x:0"},
        {"x\u2019", "x:0"},
        {"x's\u00ad", "x:0 s:1"},
    };
    CHECK_EXAMPLES("english", OMEN_FIELD_NO_STEMMING, examples);
}

static void test_folding(void **state)
{
    (void)state;
    static const example examples[] = {
        {"STRASSE Stra\u00dfe STRA\u1e9eE", "strasse:0 strasse:1 strasse:2"},
        {"\u0391\u03a3 \u03b1\u03c2 \u03b1\u03c3", "\u03b1\u03c3:0 \u03b1\u03c3:1 \u03b1\u03c3:2"},
        {"CAF\u00c9 cafe\u0301 CAFE\u0301", "caf\u00e9:0 caf\u00e9:1 caf\u00e9:2"},
        {"\uff26\uff55\uff4c\uff4c \uff11\uff12 \ufb01n \u01c4", "full:0 12:1 fin:2 d\u017e:3"},
        {"\u0130 I \u0131", "i\u0307:0 i:1 \u0131:2"},
        {"q\u0323\u0307 q\u0307\u0323", "q\u0323\u0307:0 q\u0323\u0307:1"},
        {"\u0416\u0418\u0417\u041d\u042c \u0439 \u0438\u0306",
         "\u0436\u0438\u0437\u043d\u044c:0 \u0439:1 \u0439:2"},
        {"\ufdfa", "\u0635\u0644\u0649:0 \u0627\u0644\u0644\u0647:1 \u0639\u0644\u064a\u0647:2 "
                   "\u0648\u0633\u0644\u0645:3"},
        {"\U0001D400\U0001D401", "ab:0"},
        {"\u212b \u00c5 A\u030a", "\u00e5:0 \u00e5:1 \u00e5:2"},
    };
    CHECK_EXAMPLES("english", OMEN_FIELD_NO_STEMMING, examples);
}

static void test_cjk(void **state)
{
    (void)state;
    static const example examples[] = {
        {"\u6771", "\u6771:0"},
        {"\u6771\u4eac", "\u6771\u4eac:0"},
        {"\u6771\u4eac\u90fd\u5e81", "\u6771\u4eac:0 \u4eac\u90fd:1 \u90fd\u5e81:2"},
        {"\u6771\u3001\u4eac", "\u6771:0 \u4eac:1"},
        {"2020\u5e74tokyo\u6771\u4eac", "2020:0 \u5e74:1 tokyo:2 \u6771\u4eac:3"},
        {"\u30ab\u3099\u30ad \uff76\uff9e\uff77 \u30ac\u30ad",
         "\u30ac\u30ad:0 \u30ac\u30ad:1 \u30ac\u30ad:2"},
        {"\ud55c\uad6d\uc5b4", "\ud55c\uad6d:0 \uad6d\uc5b4:1"},
        {"\u1112\u1161\u11ab\u1100\u116e\u11a8", "\ud55c\uad6d:0"},
        {"\u4eba\u3005\u30fc", "\u4eba\u3005:0 \u3005\u30fc:1"},
        {"\u3007", "\u3007:0"},
        {"\U00020000\U00020001", "\U00020000\U00020001:0"},
        {"\u0e01\u0e38\u0e07\u0e40\u0e17\u0e1e\u0e51",
         "\u0e01\u0e38\u0e07:0 \u0e07\u0e40:1 \u0e40\u0e17:2 \u0e17\u0e1e:3 \u0e51:4"},
    };
    CHECK_EXAMPLES("english", OMEN_FIELD_STOP_WORDS, examples);
}

static void test_stop_words(void **state)
{
    (void)state;
    static const char all[] =
        "a an and are as at be but by for if in into is it no not of on or such that "
        "the their then there these they this to was will with";
    static const example examples[] = {
        {"The cat AND the dog", "cat:1 dog:4"},
        {all, ""},
        {"thee an\u0301 theirs i", "thee:0 a\u0144:1 theirs:2 i:3"},
    };
    static const example kept[] = {{"to be", "to:0 be:1"}};
    CHECK_EXAMPLES("porter", OMEN_FIELD_STOP_WORDS | OMEN_FIELD_NO_STEMMING, examples);
    static const example stemmed[] = {
        {"The cats AND the dogs", "cat:1 dog:4"},
        {all, ""},
        {"the the the", ""},
    };
    CHECK_EXAMPLES("porter", OMEN_FIELD_STOP_WORDS, stemmed);
    CHECK_EXAMPLES("porter", 0, kept);
    CHECK_EXAMPLES("porter", OMEN_FIELD_NO_STEMMING, kept);
}

static void test_stems(void **state)
{
    (void)state;
    static const example english[] = {
        {"running dies generously fairly", "run:0 die:1 generous:2 fair:3"},
        {"running running dies", "run:0 run:1 die:2"},
    };
    static const example porter[] = {
        {"running dies generously fairly", "run:0 di:1 gener:2 fairli:3"},
        {"relational conditional", "relat:0 condit:1"},
    };
    static const example german[] = {{"H\u00e4user arbeiten", "haus:0 arbeit:1"}};
    static const example russian[] = {
        {"\u0420\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0435",
         "\u0440\u0430\u0431\u043e\u0442\u0430:0"}};
    CHECK_EXAMPLES(NULL, 0, english);
    CHECK_EXAMPLES("", 0, english);
    CHECK_EXAMPLES("porter", 0, porter);
    CHECK_EXAMPLES("german", 0, german);
    CHECK_EXAMPLES("russian", 0, russian);
}

/* One scratch for analysers that differ: the cache must not mix them up. */
static void test_shared_scratch(void **state)
{
    (void)state;
    om_analyser *analysers[] = {make_analyser("english", 0), make_analyser("porter", 0),
                                make_analyser("english", OMEN_FIELD_STOP_WORDS),
                                make_analyser("english", OMEN_FIELD_NO_STEMMING)};
    om_words *words = make_words();
    for (int round = 0; round < 3; round++) {
        expect_words(analysers[0], words, "the dies fairly", "the:0 die:1 fair:2");
        expect_words(analysers[1], words, "the dies fairly", "the:0 di:1 fairli:2");
        expect_words(analysers[2], words, "the dies fairly", "die:1 fair:2");
        expect_words(analysers[3], words, "the dies fairly", "the:0 dies:1 fairly:2");
    }
    om_words_free(words);
    for (size_t i = 0; i < 4; i++) {
        om_analyser_free(analysers[i]);
    }
}

/* Borrowed words: the same ones come back, more than are kept do not leak, a crowd of threads shares them. */
static void *borrow_often(void *arg)
{
    const om_analyser *analyser = arg;
    for (int i = 0; i < 2000; i++) {
        om_words *words = NULL;
        if (om_words_borrow(analyser, &words, NULL) != OMEN_OK ||
            om_analyse(analyser, "running dogs", 12, words, NULL) != OMEN_OK ||
            memcmp(om_words_bytes(words), "rundog", 6) != 0) {
            return arg;
        }
        om_words_return(analyser, words);
    }
    return NULL;
}

static void test_borrowed_words(void **state)
{
    (void)state;
    enum { MANY = 7 };
    om_budget budget = {0};
    const om_alloc alloc = {.budget = &budget};
    const om_analyser_options options = {0};
    om_analyser *analyser = NULL;
    assert_int_equal(om_analyser_create(&alloc, &options, &analyser, NULL), OMEN_OK);
    om_words *words[MANY], *again = NULL;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(om_words_borrow(analyser, &words[i], NULL), OMEN_OK);
        expect_words(analyser, words[i], "running dogs", "run:0 dog:1");
    }
    uint64_t most = budget.used;
    for (int i = 0; i < MANY; i++) {
        om_words_return(analyser, words[i]);
    }
    om_words_return(analyser, NULL);
    assert_true(budget.used < most);
    assert_int_equal(om_words_borrow(analyser, &again, NULL), OMEN_OK);
    assert_true(again == words[0]);
    om_words_return(analyser, again);
    pthread_t threads[MANY];
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, borrow_often, analyser), 0);
    }
    for (int i = 0; i < MANY; i++) {
        void *failed = analyser;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    om_analyser_free(analyser);
    assert_int_equal(budget.used, 0);
}

static void test_every_language(void **state)
{
    (void)state;
    const char **names = sb_stemmer_list();
    om_words *words = make_words();
    uint64_t hashes[64];
    uint32_t count = 0;
    for (; names[count] != NULL; count++) {
        om_analyser *analyser = make_analyser(names[count], 0);
        uint64_t again = 0;
        assert_int_equal(om_analyser_fingerprint(analyser, words, &hashes[count], NULL), OMEN_OK);
        assert_int_equal(om_analyser_fingerprint(analyser, words, &again, NULL), OMEN_OK);
        assert_int_equal(again, hashes[count]);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_not_equal(hashes[i], hashes[count]);
        }
        om_analyser_free(analyser);
    }
    assert_true(count >= 15);
    om_words_free(words);
}

static void test_bad_options(void **state)
{
    (void)state;
    static const char *const languages[] = {"klingon", "English", "en", "porter ", "p"};
    om_analyser *analyser = NULL;
    omen_error err;
    for (size_t i = 0; i < sizeof languages / sizeof languages[0]; i++) {
        const om_analyser_options options = {.language = languages[i]};
        assert_int_equal(om_analyser_create(&libc_alloc, &options, &analyser, &err),
                         OMEN_INVALID_ARGUMENT);
        assert_int_equal(err.detail, OMEN_D_FIELD);
        assert_non_null(strstr(err.message, languages[i]));
        assert_non_null(strstr(err.message, "danish"));
    }
    const om_analyser_options flags = {.flags = 4};
    assert_int_equal(om_analyser_create(&libc_alloc, &flags, &analyser, &err),
                     OMEN_INVALID_ARGUMENT);
    assert_null(analyser);
    om_analyser_free(NULL);
    om_words_free(NULL);
}

/* Words are cut at 64 bytes, never inside a character, and nothing behind the cut gets in. */
static void test_long_words(void **state)
{
    (void)state;
    om_analyser *analyser = make_analyser(NULL, OMEN_FIELD_NO_STEMMING);
    om_words *words = make_words();
    char text[256], expected[256];
    memset(text, 'A', 100);
    memset(expected, 'a', 64);
    memcpy(text + 100, " b", 3);
    memcpy(expected + 64, ":0 b:1", 7);
    expect_words(analyser, words, text, expected);
    /* 63 bytes, then one of two, then one of one. */
    memcpy(text + 63, "\u00c9x y", 6);
    memcpy(expected + 63, ":0 y:1", 7);
    expect_words(analyser, words, text, expected);
    /* The same through the careful path. */
    memcpy(text + 63, "\u1ea0x y", 7);
    expect_words(analyser, words, text, expected);
    /* 62 bytes and one of two fit. */
    memcpy(text + 62, "\u00c9xyz", 6);
    memcpy(expected + 62, "\u00e9:0", 5);
    expect_words(analyser, words, text, expected);
    om_words_free(words);
    om_analyser_free(analyser);
}

static void test_one_mib(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    static const struct {
        const char *unit;
        uint32_t words, bytes; /* words in all; bytes of the first */
    } cases[] = {
        {"a", 1, 64},         {"\u00e9", 1, 64},       {"\u0301", 1, 64},     {"\u00ad", 0, 0},
        {"\u1ea1", 1, 63},    {"\ufdfa", 0, 0},        {"\U0001D400", 1, 64}, {"-", 0, 0},
        {"a ", BYTES / 2, 1}, {"\u0323\u0301", 1, 64}, {"\u00bd", 0, 0},
    };
    char *text = malloc(BYTES);
    assert_non_null(text);
    om_analyser *analyser = make_analyser(NULL, OMEN_FIELD_NO_STEMMING);
    om_words *words = make_words();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t unit = strlen(cases[i].unit), size = 0;
        for (; size + unit <= BYTES; size += unit) {
            memcpy(text + size, cases[i].unit, unit);
        }
        assert_int_equal(om_analyse(analyser, text, size, words, NULL), OMEN_OK);
        uint32_t count;
        const om_word *list = om_words_list(words, &count);
        if (cases[i].bytes != 0 || cases[i].words != 0) {
            assert_int_equal(count, cases[i].words);
            assert_int_equal(list[0].length, cases[i].bytes);
        }
    }
    /* A run of Han is words to its end. */
    size_t chars = 0;
    for (; chars < BYTES / 3; chars++) {
        memcpy(text + 3 * chars, "\u6771", 3);
    }
    assert_int_equal(om_analyse(analyser, text, 3 * chars, words, NULL), OMEN_OK);
    uint32_t count;
    const om_word *list = om_words_list(words, &count);
    assert_int_equal(count, chars - 1);
    assert_int_equal(list[count - 1].position, chars - 2);
    size_t large = om_words_memory(words);
    expect_words(analyser, words, "small", "small:0");
    assert_true(om_words_memory(words) <
                large / 8); /* memory of the large text is not kept for ever */
    om_words_free(words);
    om_analyser_free(analyser);
    free(text);
}

static void test_bad_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length, at;
    } cases[] = {
        {"\x80", 1, 0},
        {"ab\xFF", 3, 2},
        {"ab \xC3", 4, 3},
        {"a\xC3z", 3, 1},
        {"\xC0\x80", 2, 0},
        {"\xE0\x9F\xBF", 3, 0},
        {"\xED\xA0\x80", 3, 0},
        {"\xF4\x90\x80\x80", 4, 0},
        {"\xF0\x8F\xBF\xBF", 4, 0},
        {"\xF5\x80\x80\x80", 4, 0},
        {"\xE6\x9D\xB1\xE4\xBA", 5, 3},
        {"\xE6\x9D\xB1z\xE4", 5, 4},
        {"x's\xC3", 4, 3},
        {"x\xE2\x80", 3, 1},
        {"e\xCC\x81\xCC", 4, 3},
    };
    om_analyser *analyser = make_analyser(NULL, 0);
    om_words *words = make_words();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        omen_error err;
        expect_words(analyser, words, "full", "full:0");
        assert_int_equal(om_analyse(analyser, cases[i].text, cases[i].length, words, &err),
                         OMEN_INVALID_ARGUMENT);
        assert_int_equal(err.detail, OMEN_D_METADATA);
        char expected[64];
        (void)snprintf(expected, sizeof expected, "at byte %zu of %zu:", cases[i].at,
                       cases[i].length);
        assert_non_null(strstr(err.message, expected));
        uint32_t count;
        (void)om_words_list(words, &count);
        assert_int_equal(count, 0);
    }
    om_words_free(words);
    om_analyser_free(analyser);
}

static void test_zero_bytes_and_limits(void **state)
{
    (void)state;
    om_analyser *analyser = make_analyser(NULL, 0);
    om_words *words = make_words();
    char got[64];
    assert_int_equal(om_analyse(analyser, "a\0b\0\0c", 6, words, NULL), OMEN_OK);
    print_words(words, got, sizeof got);
    assert_string_equal(got, "a:0 b:1 c:2");
    assert_int_equal(om_analyse(analyser, NULL, 0, words, NULL), OMEN_OK);
    uint32_t count = 1;
    (void)om_words_list(words, &count);
    assert_int_equal(count, 0);
    char *text = malloc(OM_MAX_TEXT + 1);
    assert_non_null(text);
    memset(text, '.', OM_MAX_TEXT + 1);
    memcpy(text + OM_MAX_TEXT - 3, "end", 3);
    omen_error err;
    assert_int_equal(om_analyse(analyser, text, OM_MAX_TEXT, words, NULL), OMEN_OK);
    (void)om_words_list(words, &count);
    assert_int_equal(count, 1);
    assert_int_equal(om_analyse(analyser, text, OM_MAX_TEXT + 1, words, &err),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    free(text);
    om_words_free(words);
    om_analyser_free(analyser);
}

/* ---- Properties ---------------------------------------------------------------------------------- */
static const char *const pieces[] = {
    "a",      "b",      "S",      "ing",    "the",        "tion",   "Running", "7",
    "9",      " ",      " ",      " ",      ".",          "-",      "\t",      "\u00e9",
    "\u00c9", "\u0416", "\u0438", "\u00df", "\u00e7",     "\u0301", "\uff21",  "\u6771",
    "\u4eac", "\u30ab", "\u3099", "\u1100", "\u1161",     "\u11a8", "\ufb03",  "\u00bd",
    "\u0e01", "\u0e38", "\u0627", "\u0651", "\U0001F600", "\u2014", "e\u0301",
};

static size_t random_text(uint64_t *seed, char *out, uint32_t parts, const char *between)
{
    size_t size = 0;
    for (uint32_t i = 0; i < parts; i++) {
        const char *piece = pieces[om_rng_below(seed, sizeof pieces / sizeof pieces[0])];
        size_t length = strlen(piece);
        memcpy(out + size, piece, length);
        size += length;
        memcpy(out + size, between, strlen(between));
        size += strlen(between);
    }
    out[size] = '\0';
    return size;
}

/* A soft hyphen is dropped, and sends the run through the careful path: the words are the same. */
static void test_quick_is_careful(void **state)
{
    (void)state;
    om_analyser *analyser = make_analyser("english", OMEN_FIELD_STOP_WORDS);
    om_words *quick = make_words(), *careful = make_words();
    char plain[4096], hyphens[4096], a[8192], b[8192];
    for (uint64_t round = 0; round < 20000; round++) {
        uint64_t first = round, second = round;
        uint32_t parts = 1 + (uint32_t)(round % 40);
        size_t plain_size = random_text(&first, plain, parts, "");
        size_t size = random_text(&second, hyphens, parts, "\u00ad");
        assert_int_equal(om_analyse(analyser, plain, plain_size, quick, NULL), OMEN_OK);
        assert_int_equal(om_analyse(analyser, hyphens, size, careful, NULL), OMEN_OK);
        print_words(quick, a, sizeof a);
        print_words(careful, b, sizeof b);
        assert_string_equal(a, b);
    }
    om_words_free(quick);
    om_words_free(careful);
    om_analyser_free(analyser);
}

/* Many words, so that the cache grows and evicts, against a stemmer that is asked each time. */
static void test_cache_is_stemmer(void **state)
{
    (void)state;
    om_analyser *analyser = make_analyser("porter", 0);
    om_words *words = make_words();
    struct sb_stemmer *stemmer = sb_stemmer_new("porter", NULL);
    uint64_t seed = 5;
    static const char *const ends[] = {"", "s", "ing", "ation", "fulness", "ly", "izer", "edly"};
    for (uint32_t round = 0; round < 60000; round++) {
        char word[OM_MAX_WORD + 16];
        /* Few short words that come again and again among many others, some too long for the cache. */
        uint32_t length =
            om_rng_below(&seed, 8) == 0 ? 25 + om_rng_below(&seed, 20) : 1 + om_rng_below(&seed, 4);
        for (uint32_t i = 0; i < length; i++) {
            word[i] = (char)('a' + om_rng_below(&seed, 6));
        }
        (void)snprintf(word + length, sizeof word - length, "%s", ends[om_rng_below(&seed, 8)]);
        const uint8_t *expected =
            sb_stemmer_stem(stemmer, (const uint8_t *)word, (int)strlen(word));
        assert_int_equal(om_analyse(analyser, word, strlen(word), words, NULL), OMEN_OK);
        uint32_t count;
        const om_word *list = om_words_list(words, &count);
        assert_int_equal(count, 1);
        assert_int_equal(list[0].length, sb_stemmer_length(stemmer));
        assert_memory_equal(om_words_bytes(words) + list[0].offset, expected, list[0].length);
    }
    assert_true(om_words_memory(words) < 700000); /* the cache has its limit */
    sb_stemmer_delete(stemmer);
    om_words_free(words);
    om_analyser_free(analyser);
}

/* ---- Failing memory ------------------------------------------------------------------------------- */
typedef struct failing {
    uint32_t left; /* allocations until they fail */
    uint32_t calls;
} failing;

static void *fail_alloc(void *ctx, size_t size, size_t align)
{
    failing *f = ctx;
    f->calls++;
    if (f->left == 0) {
        return NULL;
    }
    f->left--;
    return aligned_alloc(align < 16 ? 16 : align, (size + 63) & ~(size_t)63);
}

static void fail_free(void *ctx, void *ptr, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(ptr);
}

static omen_status_t analyse_many(const om_alloc *alloc, om_analyser **analyser, om_words **words,
                                  const char *text, size_t size)
{
    const om_analyser_options options = {0};
    omen_status_t status = om_analyser_create(alloc, &options, analyser, NULL);
    if (status == OMEN_OK) {
        status = om_words_create(alloc, words, NULL);
    }
    if (status == OMEN_OK) {
        status = om_analyse(*analyser, text, size, *words, NULL);
    }
    return status;
}

static void test_failing_memory(void **state)
{
    (void)state;
    char text[20000];
    size_t size = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "w%u ", i % 1500);
    }
    uint32_t fails = 0, fine = 0;
    for (uint32_t left = 0; left < 40; left++) {
        failing f = {.left = left};
        om_budget budget = {0};
        const om_alloc alloc = {.fns = {.alloc = fail_alloc, .free = fail_free, .ctx = &f},
                                .budget = &budget};
        om_analyser *analyser = NULL;
        om_words *words = NULL;
        omen_status_t status = analyse_many(&alloc, &analyser, &words, text, size);
        assert_true(status == OMEN_OK || status == OMEN_RESOURCE_EXHAUSTED);
        fails += status != OMEN_OK;
        fine += status == OMEN_OK;
        if (words != NULL) {
            uint32_t count;
            (void)om_words_list(words, &count);
            assert_int_equal(count, status == OMEN_OK ? 3000 : 0);
        }
        om_words_free(words);
        om_analyser_free(analyser);
        assert_int_equal(budget.used, 0);
    }
    assert_true(fails > 5 && fine > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_borders),          cmocka_unit_test(test_apostrophes),
        cmocka_unit_test(test_folding),          cmocka_unit_test(test_cjk),
        cmocka_unit_test(test_stop_words),       cmocka_unit_test(test_stems),
        cmocka_unit_test(test_shared_scratch),   cmocka_unit_test(test_every_language),
        cmocka_unit_test(test_borrowed_words),   cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_long_words),       cmocka_unit_test(test_one_mib),
        cmocka_unit_test(test_bad_utf8),         cmocka_unit_test(test_zero_bytes_and_limits),
        cmocka_unit_test(test_quick_is_careful), cmocka_unit_test(test_cache_is_stemmer),
        cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
