/* things.c - items with vectors, metadata and text, and what is known of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "things.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_int.h"

enum { ROOM_OF_JSON = 800, VOCABULARY = 400 };
static const char *const color_names[THING_COLORS] = {"red", "green", "blue", "d'or", "\xC3\xA9"};

/* ---- Making and writing -------------------------------------------------------------------------- */
void things_query(fx_rng *rng, float *out)
{
    for (uint32_t i = 0; i < THING_DIM; i++) {
        out[i] = fx_uniform(rng);
    }
}

static void make(thing *item, uint64_t key)
{
    fx_rng rng = {key * 7919 + item->turn * UINT64_C(1000003)};
    item->turn++;
    item->alive = true;
    item->share = (double)(fx_next(&rng) >> 11) / 9007199254740992.0;
    item->number = (int64_t)(key % 97) - 20;
    item->color = (int32_t)fx_below(&rng, THING_COLORS + 1) - 1;
    item->on = fx_below(&rng, 3) == 0;
    item->tags = fx_below(&rng, 1u << THING_TAGS);
    item->when = INT64_C(1700000000) + fx_below(&rng, 1000000);
    item->word_count = fx_below(&rng, THING_WORDS + 1);
    for (uint32_t i = 0; i < item->word_count; i++) {
        uint32_t n = fx_below(&rng, VOCABULARY);
        item->word[i] = (uint16_t)(n * n / VOCABULARY); /* low numbers are frequent */
    }
    things_query(&rng, item->vector);
}

const char *thing_word(uint16_t number)
{
    static char names[16][16];
    static uint32_t turn;
    char *name = names[turn++ % 16];
    (void)snprintf(name, sizeof names[0], "w%uq", number);
    return name;
}

static char *print(char *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(at, ROOM_OF_JSON / 4, format, args);
    va_end(args);
    assert_true(n >= 0 && n < ROOM_OF_JSON / 4);
    return at + n;
}

static size_t write_json(const thing *item, char *out)
{
    char *at = out;
    char when[32];
    time_t seconds = (time_t)item->when;
    struct tm parts;
    assert_non_null(gmtime_r(&seconds, &parts));
    assert_true(strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts) != 0);
    at = print(at, "{\"share\":%.17g,\"number\":%lld,\"on\":%s,\"when\":\"%s\"", item->share,
               (long long)item->number, item->on ? "true" : "false", when);
    if (item->color >= 0) {
        at = print(at, ",\"color\":\"%s\"", color_names[item->color]);
    }
    at = print(at, ",\"tags\":[");
    for (uint32_t i = 0, n = 0; i < THING_TAGS; i++) {
        if ((item->tags >> i & 1) != 0) {
            at = print(at, "%s\"t%u\"", n++ != 0 ? "," : "", i);
        }
    }
    at = print(at, "]");
    if (item->word_count != 0) {
        at = print(at, ",\"body\":\"");
        for (uint32_t i = 0; i < item->word_count; i++) {
            at = print(at, "%s%s", i != 0 ? " " : "", thing_word(item->word[i]));
        }
        at = print(at, "\"");
    }
    at = print(at, "}");
    assert_true(at - out < ROOM_OF_JSON - ROOM_OF_JSON / 4);
    return (size_t)(at - out);
}

static omen_status_t put(things *t, uint32_t first, uint32_t n)
{
    char *json = malloc((size_t)n * ROOM_OF_JSON + 1);
    int64_t *offsets = calloc((size_t)n + 1, sizeof *offsets);
    uint64_t *keys = malloc(((size_t)n + 1) * sizeof *keys);
    float *vectors = malloc(((size_t)n + 1) * THING_DIM * sizeof *vectors);
    assert_true(json != NULL && offsets != NULL && keys != NULL && vectors != NULL);
    assert_true(first + n <= t->room);
    for (uint32_t i = 0; i < n; i++) {
        thing *item = &t->item[first + i];
        make(item, first + i);
        keys[i] = first + i;
        memcpy(vectors + (size_t)i * THING_DIM, item->vector, sizeof item->vector);
        offsets[i + 1] = offsets[i] + (int64_t)write_json(item, json + offsets[i]);
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = n,
                        .vectors = vectors,
                        .dtype = OMEN_F32,
                        .dim = THING_DIM,
                        .keys = keys,
                        .metadata = {.data = json, .offsets = offsets, .offset_bits = 64}};
    omen_status_t status = omen_add_batch(t->f.c, &batch, NULL, NULL, &t->f.err);
    free(json);
    free(offsets);
    free(keys);
    free(vectors);
    return status;
}

void things_put(things *t, uint32_t first, uint32_t n)
{
    OK(&t->f, put(t, first, n));
}

bool things_try_put(things *t, uint32_t first, uint32_t n)
{
    bool went = put(t, first, n) == OMEN_OK;
    for (uint32_t i = 0; !went && i < n; i++) {
        t->item[first + i].alive = false;
    }
    return went;
}

void things_remove(things *t, uint32_t first, uint32_t n, uint32_t step)
{
    uint64_t *keys = malloc(((size_t)n + 1) * sizeof *keys);
    uint64_t count = 0;
    assert_non_null(keys);
    for (uint32_t key = first; key < first + n; key += step) {
        keys[count++] = key;
        t->item[key].alive = false;
    }
    omen_batch batch = {.struct_size = sizeof batch, .count = count, .keys = keys};
    OK(&t->f, omen_delete_batch(t->f.c, &batch, NULL, NULL, &t->f.err));
    free(keys);
}

void things_split(things *t)
{
    om_collection *c = t->f.c->c;
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_collection_freeze(c, &t->f.err);
    om_mutex_unlock(&c->write_mu);
    OK(&t->f, status);
}

static void declare(things *t)
{
    omen_field fields[] = {
        {.name = "share", .type = OMEN_TYPE_DOUBLE},
        {.name = "number", .type = OMEN_TYPE_INT64},
        {.name = "when", .type = OMEN_TYPE_TIME},
        {.name = "color", .type = OMEN_TYPE_STRING},
        {.name = "on", .type = OMEN_TYPE_BOOL},
        {.name = "tags", .type = OMEN_TYPE_STRING | OMEN_TYPE_ARRAY},
        {.name = "body", .type = OMEN_TYPE_TEXT, .flags = OMEN_FIELD_NO_STEMMING}};
    OK(&t->f, omen_declare_fields(t->f.c, fields, sizeof fields / sizeof *fields, &t->f.err));
}

static void open_db(things *t)
{
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = t->f.rt, .seal_rows = 700};
    OK(&t->f, omen_db_open(t->folder[0] != '\0' ? t->folder : NULL, &dopt, &t->f.db, &t->f.err));
}

void things_reopen(things *t)
{
    omen_collection_free(t->f.c);
    omen_db_free(t->f.db);
    open_db(t);
    OK(&t->f, omen_open(t->f.db, "things", NULL, &t->f.c, &t->f.err));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void things_discard(const char *folder)
{
    assert_int_equal(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void things_open_in(things *t, uint32_t metric, const char *disk)
{
    (void)snprintf(t->folder, sizeof t->folder, "%s", disk != NULL ? disk : "");
    open_db(t);
    omen_options o = {.struct_size = sizeof o, .dim = THING_DIM, .metric = metric};
    OK(&t->f, omen_create(t->f.db, "things", &o, &t->f.c, &t->f.err));
    t->f.options.struct_size = sizeof t->f.options;
    OK(&t->f, omen_describe(t->f.c, &t->f.options, &t->f.err));
    declare(t);
}

void things_open(things *t, uint32_t metric, uint32_t room, const char *disk)
{
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 2};
    memset(t, 0, sizeof *t);
    t->room = room;
    t->item = calloc(room, sizeof *t->item);
    assert_non_null(t->item);
    OK(&t->f, omen_runtime_create(&ropt, &t->f.rt, &t->f.err));
    things_open_in(t, metric, disk);
}

void things_close(things *t)
{
    fx_close(&t->f);
    free(t->item);
}

/* ---- Conditions ---------------------------------------------------------------------------------- */
bool thing_below(const thing *item, double value)
{
    return item->share < value;
}
static bool number_is(const thing *item, double value)
{
    return item->number == (int64_t)value;
}
static bool is_red_or_blue(const thing *item, double value)
{
    (void)value;
    return item->color == 0 || item->color == 2;
}
static bool has_color_but_dor(const thing *item, double value)
{
    (void)value;
    return item->color >= 0 && item->color != 3;
}
static bool colorless(const thing *item, double value)
{
    (void)value;
    return item->color < 0;
}
static bool tagged(const thing *item, double value)
{
    (void)value;
    return (item->tags >> 2 & 1) != 0 && (item->on || item->share >= 0.5);
}
static bool between(const thing *item, double value)
{
    (void)value;
    return item->number >= -3 && item->number <= 11 && !(item->color == 1);
}
static bool late(const thing *item, double value)
{
    (void)value;
    return item->when >= INT64_C(1700500000);
}
static bool every(const thing *item, double value)
{
    (void)item;
    (void)value;
    return true;
}
static bool none(const thing *item, double value)
{
    (void)item;
    (void)value;
    return false;
}

const thing_filter thing_filters[] = {
    {"share < $1", thing_below, 0.001},
    {"share < $1", thing_below, 0.01},
    {"share < $1", thing_below, 0.06},
    {"share < $1", thing_below, 0.3},
    {"share < $1", thing_below, 0.8},
    {"share < $1", thing_below, 0.99},
    {"number = $1", number_is, 5},
    {"color IN ('red', 'blue')", is_red_or_blue, 0},
    {"color != 'd''or'", has_color_but_dor, 0},
    {"color IS NULL", colorless, 0},
    {"tags CONTAINS 't2' AND (on OR share >= 0.5)", tagged, 0},
    {"number BETWEEN -3 AND 11 AND (color != 'green' OR color IS NULL)", between, 0},
    {"when >= '2023-11-20T17:06:40Z'", late, 0},
    {"TRUE", every, 0},
    {"number > 1000 OR FALSE", none, 0},
};
const uint32_t thing_filter_count = sizeof thing_filters / sizeof *thing_filters;

thing_filter things_share(double below)
{
    return (thing_filter){"share < $1", thing_below, below};
}

omen_filter *things_compile(things *t, const thing_filter *filter)
{
    omen_filter *out = NULL;
    bool bound = strstr(filter->text, "$1") != NULL;
    int64_t whole = (int64_t)filter->value;
    bool integer = filter->test == number_is;
    omen_param param = {.type = integer ? OMEN_TYPE_INT64 : OMEN_TYPE_DOUBLE,
                        .count = 1,
                        .data = integer ? (const void *)&whole : (const void *)&filter->value};
    OK(&t->f, omen_filter_compile(t->f.c, filter->text, strlen(filter->text), &param, bound, &out,
                                  &t->f.err));
    return out;
}

bool thing_passes(const thing *item, const thing_filter *filter)
{
    return item->alive && (filter == NULL || filter->test(item, filter->value));
}

uint32_t things_matches(const things *t, const thing_filter *filter)
{
    uint32_t n = 0;
    for (uint32_t key = 0; key < t->room; key++) {
        n += thing_passes(&t->item[key], filter);
    }
    return n;
}

/* ---- Brute force --------------------------------------------------------------------------------- */
static int by_value(const void *a, const void *b)
{
    const thing_hit *x = a, *y = b;
    if (x->value != y->value) {
        return x->value < y->value ? -1 : 1;
    }
    return (x->key > y->key) - (x->key < y->key);
}

static uint32_t best(thing_hit *all, uint32_t n, thing_hit *out, uint32_t k)
{
    qsort(all, n, sizeof *all, by_value);
    uint32_t found = n < k ? n : k;
    memcpy(out, all, found * sizeof *out);
    free(all);
    return found;
}

uint32_t things_nearest(const things *t, const float *vector, const thing_filter *filter,
                        thing_hit *out, uint32_t k)
{
    thing_hit *all = malloc((t->room + 1) * sizeof *all);
    uint32_t n = 0;
    assert_non_null(all);
    for (uint32_t key = 0; key < t->room; key++) {
        if (thing_passes(&t->item[key], filter)) {
            all[n++] = (thing_hit){
                key, fx_distance(t->f.options.metric, vector, t->item[key].vector, THING_DIM)};
        }
    }
    return best(all, n, out, k);
}

static uint32_t times(const thing *item, uint16_t word)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < item->word_count; i++) {
        n += item->word[i] == word;
    }
    return n;
}

uint32_t things_by_words(const things *t, const thing_words *words, const thing_filter *filter,
                         thing_hit *out, uint32_t k)
{
    thing_hit *all = malloc((t->room + 1) * sizeof *all);
    double rows = 0, length = 0;
    double df[16] = {0};
    uint32_t n = 0;
    assert_non_null(all);
    assert_true(words->count <= 16);
    for (uint32_t key = 0; key < t->room; key++) {
        rows += t->item[key].turn != 0 && t->item[key].word_count != 0;
        length += t->item[key].turn != 0 ? t->item[key].word_count : 0;
        for (uint32_t i = 0; i < words->count; i++) {
            df[i] += t->item[key].turn != 0 && times(&t->item[key], words->word[i]) != 0;
        }
    }
    for (uint32_t key = 0; key < t->room; key++) {
        const thing *item = &t->item[key];
        double score = 0;
        for (uint32_t i = 0; i < words->count && thing_passes(item, filter); i++) {
            double count = times(item, words->word[i]);
            double norm =
                words->k1 * (1 - words->b + words->b * item->word_count / (length / rows));
            score += count > 0 ? log(1 + (rows - df[i] + 0.5) / (df[i] + 0.5)) * count *
                                     (words->k1 + 1) / (count + norm)
                               : 0;
        }
        if (score > 0) {
            all[n++] = (thing_hit){key, -score};
        }
    }
    n = best(all, n, out, k);
    for (uint32_t i = 0; i < n; i++) {
        out[i].value = -out[i].value;
    }
    return n;
}
