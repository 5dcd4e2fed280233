/* model_fields.c - metadata, text and versions: written with batches, changed by PATCH, read back, and
 * asked for by filters and words. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

enum { JSON = 256, TEMPLATES = 7 };
static const char *const words[] = {"anchor", "basil", "copper", "dune"};
enum { WORDS = sizeof words / sizeof words[0] };

void model_declare(model_run *run)
{
    static const omen_field fields[] = {{.name = "title", .type = OMEN_TYPE_TEXT},
                                        {.name = "n", .type = OMEN_TYPE_INT64},
                                        {.name = "score", .type = OMEN_TYPE_DOUBLE},
                                        {.name = "tag", .type = OMEN_TYPE_STRING},
                                        {.name = "flag", .type = OMEN_TYPE_BOOL}};
    run->what = "declare fields";
    CHECK(run, omen_declare_fields(run->c, fields, sizeof fields / sizeof fields[0], &run->err) ==
                   OMEN_OK);
}

/* ---- Objects ------------------------------------------------------------------------------------- */
static bool chance(model_run *run, uint32_t in)
{
    return model_below(run, in) == 0;
}

static model_fields random_fields(model_run *run)
{
    model_fields f = {.title = !chance(run, 3),
                      .n = !chance(run, 4),
                      .score = chance(run, 3),
                      .tag = !chance(run, 3),
                      .flag = chance(run, 2),
                      .late = run->op > 20 && chance(run, 5)};
    f.first_word = model_below(run, WORDS);
    f.second_word = model_below(run, WORDS);
    f.number = (int32_t)model_below(run, 41) - 20;
    f.score_value = (double)model_below(run, 64) / 4 + 0.125;
    f.tag_value = model_below(run, 30);
    f.flag_value = chance(run, 2);
    f.late_value = model_below(run, 12);
    return f;
}

/* As the library writes it: fields in the order in which they came. */
static size_t object(const model_fields *f, char *out)
{
    const char *gap = "";
    size_t at = (size_t)snprintf(out, JSON, "{");
    if (f->title) {
        at += (size_t)snprintf(out + at, JSON - at, "\"title\": \"%s %s\"", words[f->first_word],
                               words[f->second_word]);
        gap = ", ";
    }
    if (f->n) {
        at += (size_t)snprintf(out + at, JSON - at, "%s\"n\": %d", gap, f->number);
        gap = ", ";
    }
    if (f->score) {
        at += (size_t)snprintf(out + at, JSON - at, "%s\"score\": %.17g", gap, f->score_value);
        gap = ", ";
    }
    if (f->tag) {
        at += (size_t)snprintf(out + at, JSON - at, "%s\"tag\": \"t%u\"", gap, f->tag_value);
        gap = ", ";
    }
    if (f->flag) {
        at += (size_t)snprintf(out + at, JSON - at, "%s\"flag\": %s", gap,
                               f->flag_value ? "true" : "false");
        gap = ", ";
    }
    if (f->late) {
        at += (size_t)snprintf(out + at, JSON - at, "%s\"late\": [%u, %u]", gap, f->late_value,
                               f->late_value + 1);
    }
    return at + (size_t)snprintf(out + at, JSON - at, "}");
}

static char text[MODEL_MAX_BATCH * JSON];
static int64_t offsets[MODEL_MAX_BATCH + 1];
static omen_column column(void)
{
    return (omen_column){.data = text, .offsets = offsets, .offset_bits = 64};
}

void model_objects(model_run *run, omen_batch *batch, model_fields *fields)
{
    memset(fields, 0, (size_t)batch->count * sizeof *fields);
    if (chance(run, 4)) {
        return; /* without metadata: what the items had goes */
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        offsets[i + 1] = offsets[i];
        if (!chance(run, 10)) { /* else nothing at all: {} */
            fields[i] = random_fields(run);
            offsets[i + 1] += (int64_t)object(&fields[i], text + offsets[i]);
        }
    }
    batch->metadata = column();
}

/* What cannot be, in the item `at`. */
void model_bad_object(model_run *run, omen_batch *batch, uint32_t at)
{
    static const char *const bad[] = {"{\"n\": \"x\"}", "{\"flag\": 1}", "[1]", "{\"tag\": {}}",
                                      "{\"n\": 1,}"};
    const char *which = bad[model_below(run, sizeof bad / sizeof bad[0])];
    for (uint32_t i = 0; i < batch->count; i++) {
        offsets[i + 1] = offsets[i];
        if (i == at) {
            offsets[i + 1] += snprintf(text + offsets[i], JSON, "%s", which);
        }
    }
    batch->metadata = column();
}

/* ---- PATCH --------------------------------------------------------------------------------------- */
void model_changes(model_run *run, omen_batch *batch, const uint32_t *names)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        model_fields *f = &run->items[names[i]].fields;
        model_fields fresh = random_fields(run);
        char *out = text + offsets[i];
        size_t at = (size_t)snprintf(out, JSON, "{\"n\": %d", fresh.number);
        bool live = run->items[names[i]].live;
        if (fresh.tag) {
            at += (size_t)snprintf(out + at, JSON - at, ", \"tag\": null");
        }
        if (fresh.title) {
            at += (size_t)snprintf(out + at, JSON - at, ", \"title\": \"%s %s\"",
                                   words[fresh.first_word], words[fresh.second_word]);
        }
        at += (size_t)snprintf(out + at, JSON - at, "}");
        offsets[i + 1] = offsets[i] + (int64_t)at;
        if (live) { /* names are not twice in a batch */
            f->n = true;
            f->number = fresh.number;
            f->tag = f->tag && !fresh.tag;
            f->title = f->title || fresh.title;
            f->first_word = fresh.title ? fresh.first_word : f->first_word;
            f->second_word = fresh.title ? fresh.second_word : f->second_word;
        }
    }
    batch->metadata = column();
}

/* ---- Conditions ---------------------------------------------------------------------------------- */
typedef struct condition {
    uint32_t which;
    int32_t low, high;
    uint32_t tag;
    double score;
    char text[128];
} condition;

static condition random_condition(model_run *run)
{
    condition q = {.which = model_below(run, TEMPLATES), .tag = model_below(run, 30)};
    q.low = (int32_t)model_below(run, 41) - 20;
    q.high = q.low + (int32_t)model_below(run, 10);
    q.score = (double)model_below(run, 16);
    const size_t room = sizeof q.text;
    switch (q.which) {
    case 0:
        (void)snprintf(q.text, room, "n < %d", q.low);
        break;
    case 1:
        (void)snprintf(q.text, room, "n BETWEEN %d AND %d AND flag", q.low, q.high);
        break;
    case 2:
        (void)snprintf(q.text, room, "tag = 't%u' OR score > %.1f", q.tag, q.score);
        break;
    case 3:
        (void)snprintf(q.text, room, "tag IN ('t%u', 't%u') OR title IS NULL AND n = %d", q.tag,
                       (q.tag + 7) % 30, q.low);
        break;
    case 4:
        (void)snprintf(q.text, room, "NOT (n = %d)", q.low);
        break;
    case 5:
        (void)snprintf(q.text, room, "title IS NULL");
        break;
    default:
        (void)snprintf(q.text, room, "tag IS NOT NULL AND NOT flag");
        break;
    }
    return q;
}

static bool passes(const condition *q, const model_fields *f)
{
    switch (q->which) {
    case 0:
        return f->n && f->number < q->low;
    case 1:
        return f->n && f->number >= q->low && f->number <= q->high && f->flag && f->flag_value;
    case 2:
        return (f->tag && f->tag_value == q->tag) || (f->score && f->score_value > q->score);
    case 3:
        return (f->tag && (f->tag_value == q->tag || f->tag_value == (q->tag + 7) % 30)) ||
               (!f->title && f->n && f->number == q->low);
    case 4:
        return f->n && f->number != q->low;
    case 5:
        return !f->title;
    default:
        return f->tag && f->flag && !f->flag_value;
    }
}

static omen_filter *compile(model_run *run, omen_collection *c, const condition *q)
{
    omen_filter *filter = NULL;
    CHECK(run,
          omen_filter_compile(c, q->text, strlen(q->text), NULL, 0, &filter, &run->err) == OMEN_OK);
    return filter;
}

void model_delete_where(model_run *run)
{
    run->what = "delete by a filter";
    condition q = random_condition(run);
    while (q.which == 4 || q.which == 5) { /* most of all items: too many */
        q = random_condition(run);
    }
    omen_filter *filter = compile(run, run->c, &q);
    omen_write_result result = {.struct_size = sizeof result};
    CHECK(run, omen_delete_where(run->c, filter, NULL, &result, NULL, &run->err) == OMEN_OK);
    omen_filter_free(filter);
    uint64_t applied = 0;
    for (uint32_t n = 0; n < run->universe; n++) {
        model_item *item = &run->items[n];
        if (item->live && passes(&q, &item->fields)) {
            item->live = false;
            run->live--;
            applied++;
        }
    }
    CHECK(run, result.applied == applied);
    CHECK(run, result.version > run->version);
    run->version = result.version;
}

/* ---- Reading ------------------------------------------------------------------------------------- */
static void check_objects(model_run *run, omen_collection *c)
{
    enum { MOST = 40 };
    uint64_t keys[MOST];
    const model_item *items[MOST];
    omen_rows *rows = NULL;
    omen_column json, versions;
    uint32_t count = 0;
    for (; count < MOST; count++) {
        const model_item *item = &run->items[model_below(run, run->universe)];
        items[count] = item->live ? item : NULL;
        keys[count] = item->live ? item->key : OMEN_NONE;
    }
    CHECK(run, omen_fetch(c, keys, count, OMEN_FIELD_METADATA | OMEN_FIELD_VERSION, &rows,
                          &run->err) == OMEN_OK);
    omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
    omen_rows_column(rows, OMEN_FIELD_VERSION, &versions);
    for (uint32_t i = 0; i < count; i++) {
        char want[JSON] = "";
        const int64_t *at = json.offsets;
        size_t size = items[i] != NULL ? object(&items[i]->fields, want) : 0;
        CHECK(run, (size_t)(at[i + 1] - at[i]) == size);
        CHECK(run, size == 0 || memcmp((const char *)json.data + at[i], want, size) == 0);
        uint64_t version = ((const uint64_t *)versions.data)[i];
        CHECK(run, version == (items[i] != NULL ? items[i]->version : 0));
    }
    omen_rows_free(rows);
}

static void check_filter(model_run *run, omen_collection *c, bool exact)
{
    static uint64_t keys[MODEL_MAX_K];
    condition q = random_condition(run);
    omen_filter *filter = compile(run, c, &q);
    float query[MODEL_MAX_DIM];
    uint8_t bytes[MODEL_MAX_DIM * 4];
    uint64_t count = 0, want = 0;
    uint32_t found = 0;
    const uint32_t k = 1 + model_below(run, 40);
    CHECK(run, omen_count_where(c, filter, &count, &run->err) == OMEN_OK);
    for (uint32_t n = 0; n < run->universe; n++) {
        want += run->items[n].live && passes(&q, &run->items[n].fields);
    }
    CHECK(run, count == want);
    model_vector(run, query);
    model_encode(OMEN_F32, query, run->dim, bytes);
    const omen_query vector = {.struct_size = sizeof vector,
                               .flags = exact ? OMEN_EXACT : 0,
                               .vectors = bytes,
                               .dtype = OMEN_F32,
                               .dim = run->dim,
                               .count = 1,
                               .k = k,
                               .filter = filter};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &found};
    CHECK(run, omen_search(c, &vector, &hits, &run->err) == OMEN_OK);
    omen_filter_free(filter);
    CHECK(run, found == (k < want ? k : want));
    double farthest = -INFINITY;
    for (uint32_t i = 0; i < found; i++) {
        const model_item *item = model_by_key(run, keys[i]);
        CHECK(run, item != NULL && passes(&q, &item->fields));
        double distance =
            model_distance(run, query, item->vector) - model_tolerance(run, query, item->vector);
        farthest = distance > farthest ? distance : farthest;
    }
    uint32_t nearer = 0; /* than the farthest hit, beyond doubt */
    for (uint32_t n = 0; exact && n < run->universe; n++) {
        const model_item *item = &run->items[n];
        nearer +=
            item->live && passes(&q, &item->fields) &&
            model_distance(run, query, item->vector) + model_tolerance(run, query, item->vector) <
                farthest;
    }
    CHECK(run, nearer < found || found == 0);
}

static void check_words(model_run *run, omen_collection *c)
{
    static uint64_t keys[MODEL_MAX_K];
    uint32_t word = model_below(run, WORDS);
    uint32_t found = 0, want = 0;
    const omen_leg leg = {.struct_size = sizeof leg,
                          .kind = OMEN_LEG_TEXT,
                          .text = words[word],
                          .text_len = strlen(words[word])};
    const omen_request request = {
        .struct_size = sizeof request, .legs = &leg, .leg_count = 1, .k = MODEL_MAX_K};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &found};
    CHECK(run, omen_find(c, &request, &hits, &run->err) == OMEN_OK);
    for (uint32_t n = 0; n < run->universe; n++) {
        const model_fields *f = &run->items[n].fields;
        want += run->items[n].live && f->title && (f->first_word == word || f->second_word == word);
    }
    CHECK(run, found == (want < MODEL_MAX_K ? want : MODEL_MAX_K));
    for (uint32_t i = 0; i < found; i++) {
        const model_item *item = model_by_key(run, keys[i]);
        CHECK(run, item != NULL && item->fields.title);
        CHECK(run, item->fields.first_word == word || item->fields.second_word == word);
    }
}

void model_read_fields(model_run *run, omen_collection *c)
{
    run->what = "read metadata";
    check_objects(run, c);
    run->what = "filter";
    check_filter(run, c, true);
    check_filter(run, c, false);
    run->what = "words";
    check_words(run, c);
}
