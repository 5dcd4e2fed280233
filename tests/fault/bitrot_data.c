/* bitrot_data.c - the items, and the judge. SPDX-License-Identifier: Apache-2.0 */
#include "bitrot_data.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 40, K = 5, QUERIES = 12, STRING = 24 };
static const char *const names[ROT_COLLECTIONS] = {"numbers", "strings"};

/* ---- Items ------------------------------------------------------------------------------------- */
/* Small whole numbers, which f16 holds. Never zero. */
static void vector_of(uint32_t c, uint32_t item, uint32_t turn, float *out)
{
    uint32_t state = item * 2654435761u + turn * 40503u + c * 97u + 1;
    for (uint32_t d = 0; d < ROT_DIM; d++) {
        state = state * 1664525u + 1013904223u;
        out[d] = (float)(1 + (state >> 24) % 120);
    }
}

static uint64_t number_of(uint32_t item)
{
    return item * UINT64_C(3) + 1;
}

typedef struct ids {
    uint64_t numbers[ROT_ITEMS];
    int64_t offsets[ROT_ITEMS + 1];
    char text[ROT_ITEMS * STRING];
} ids;

static omen_column column_of(uint32_t c, const uint32_t *items, uint32_t n, ids *memory)
{
    size_t at = 0;
    memory->offsets[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        memory->numbers[i] = number_of(items[i]);
        at += (size_t)snprintf(memory->text + at, STRING, "item-%u", items[i]);
        memory->offsets[i + 1] = (int64_t)at;
    }
    if (c == 0) {
        return (omen_column){.data = memory->numbers, .width = 8};
    }
    return (omen_column){.data = memory->text, .offsets = memory->offsets, .offset_bits = 64};
}

static void need(omen_status_t status, const omen_error *err, const char *what)
{
    if (status != OMEN_OK) {
        fprintf(stderr, "%s: %s\n", what, err->message);
        exit(2);
    }
}

/* The object of an item, as the library writes it. */
enum { JSON = 96 };
static size_t object_of(uint32_t item, uint32_t turn, char *out)
{
    return (size_t)snprintf(out, JSON,
                            "{\"text\": \"item number%u\", \"turn\": %u, \"tag\": \"t%u\"}", item,
                            turn, item % 7);
}

static void write_items(omen_collection *c, uint32_t which, const uint32_t *items, uint32_t n,
                        bool remove, uint64_t *seq, rot_model *model)
{
    static ids memory;
    static float rows[BATCH][ROT_DIM];
    omen_error err;
    char request[32];
    static char json[BATCH * JSON];
    static int64_t offsets[BATCH + 1];
    for (uint32_t i = 0; i < n; i++) {
        model->turns[which][items[i]] += remove ? 0 : 1;
        model->alive[which][items[i]] = !remove;
        vector_of(which, items[i], model->turns[which][items[i]], rows[i]);
        offsets[i + 1] = offsets[i] + (int64_t)object_of(items[i], model->turns[which][items[i]],
                                                         json + offsets[i]);
    }
    int length = snprintf(request, sizeof request, "r%u-%llu", which, (unsigned long long)*seq);
    const omen_column metadata = {.data = json, .offsets = offsets, .offset_bits = 64};
    const omen_batch batch = {.struct_size = sizeof batch,
                              .count = n,
                              .metadata = which == 1 ? metadata : (omen_column){.data = NULL},
                              .vectors = rows,
                              .dtype = OMEN_F32,
                              .dim = ROT_DIM,
                              .ids = column_of(which, items, n, &memory),
                              .stream_id = "stream",
                              .stream_id_len = 6,
                              .seq = ++*seq,
                              .request_id = request,
                              .request_id_len = (size_t)length};
    need(remove ? omen_delete_batch(c, &batch, NULL, NULL, &err)
                : omen_add_batch(c, &batch, NULL, NULL, &err),
         &err, "write");
}

/* Batches [first, last): items in a pattern, some of them again, every fourth batch removes. */
static void write_range(omen_collection *const *c, uint32_t first, uint32_t last, uint64_t *seq,
                        rot_model *model)
{
    for (uint32_t b = first; b < last; b++) {
        for (uint32_t which = 0; which < ROT_COLLECTIONS; which++) {
            uint32_t items[BATCH];
            bool remove = b % 4 == 3;
            uint32_t n = remove ? BATCH / 4 : BATCH;
            for (uint32_t i = 0; i < n; i++) {
                items[i] = (b * 29 + i * 3) % ROT_ITEMS;
            }
            write_items(c[which], which, items, n, remove, &seq[which], model);
        }
    }
}

void rot_make(const om_io *io, omen_runtime *rt, rot_model *model)
{
    const omen_db_options options = {
        .struct_size = sizeof options, .runtime = rt, .warm = OMEN_WARM_NONE};
    const omen_field text = {.name = "text", .type = OMEN_TYPE_TEXT};
    const omen_options kinds[ROT_COLLECTIONS] = {
        {.struct_size = sizeof kinds[0], .dim = ROT_DIM, .m = 6},
        {.struct_size = sizeof kinds[1],
         .dim = ROT_DIM,
         .metric = OMEN_COSINE,
         .dtype = OMEN_F16,
         .id_type = OMEN_ID_STRING,
         .fields = &text,
         .field_count = 1,
         .m = 6}};
    omen_db *db = NULL;
    omen_collection *c[ROT_COLLECTIONS];
    uint64_t seq[ROT_COLLECTIONS] = {0};
    omen_error err;
    memset(model, 0, sizeof *model);
    need(om_db_open_io(io, ROT_FOLDER, &options, &db, &err), &err, "open");
    for (uint32_t i = 0; i < ROT_COLLECTIONS; i++) {
        need(omen_create(db, names[i], &kinds[i], &c[i], &err), &err, "create");
    }
    write_range(c, 0, 9, seq, model);
    need(omen_checkpoint(db, NULL, &err), &err, "checkpoint");
    write_range(c, 9, 14, seq, model);
    need(omen_checkpoint(db, NULL, &err), &err, "checkpoint");
    write_range(c, 14, 17, seq, model);
    for (uint32_t i = 0; i < ROT_COLLECTIONS; i++) {
        omen_collection_free(c[i]);
    }
    omen_db_free(db);
}

/* ---- The judge --------------------------------------------------------------------------------- */
typedef struct judge {
    const rot_model *model;
    bool detected;
    char *why; /* empty: nothing wrong yet */
} judge;

static void wrong(judge *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void wrong(judge *j, const char *format, ...)
{
    if (j->why[0] == '\0') {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(j->why, ROT_WHY, format, args);
        va_end(args);
    }
}

/* Failures that tell of damage; anything else would be a lie about its cause. */
static bool told(judge *j, omen_status_t status, const omen_error *err, const char *call)
{
    if (status == OMEN_OK) {
        return false;
    }
    bool damage =
        status == OMEN_DATA_LOSS || status == OMEN_NOT_FOUND ||
        (status == OMEN_UNIMPLEMENTED && err->detail == OMEN_D_FORMAT_VERSION) ||
        (status == OMEN_FAILED_PRECONDITION && strstr(err->message, "of another database") != NULL);
    if (!damage || err->message[0] == '\0') {
        wrong(j, "%s: status %d, %.150s", call, status, err->message);
    }
    j->detected = true;
    return true;
}

static bool same_vector(uint32_t c, uint32_t item, uint32_t turn, const float *row)
{
    float vector[ROT_DIM];
    vector_of(c, item, turn, vector);
    return memcmp(vector, row, sizeof vector) == 0;
}

/* What was found for an item: its newest vector, or, once damage was told, an older one of its own. */
static void judge_item(judge *j, uint32_t c, uint32_t item, bool found, const float *row)
{
    uint32_t turns = j->model->turns[c][item];
    if (!j->detected && found != j->model->alive[c][item]) {
        wrong(j, "%s: item %u is %s", names[c], item, found ? "there" : "gone");
        return;
    }
    if (!found) {
        return;
    }
    bool good = same_vector(c, item, turns, row);
    for (uint32_t turn = 1; j->detected && turn < turns && !good; turn++) {
        good = same_vector(c, item, turn, row);
    }
    if (!good) {
        wrong(j, "%s: item %u has a vector that it never had", names[c], item);
    }
}

static void judge_items(judge *j, omen_collection *c, uint32_t which, uint64_t *keys)
{
    static ids memory;
    static float rows[ROT_ITEMS][ROT_DIM];
    uint8_t found[ROT_ITEMS];
    uint32_t items[ROT_ITEMS];
    omen_error err;
    for (uint32_t i = 0; i < ROT_ITEMS; i++) {
        items[i] = i;
        keys[i] = OMEN_NONE;
    }
    const omen_column column = column_of(which, items, ROT_ITEMS, &memory);
    if (told(j, omen_lookup(c, &column, ROT_ITEMS, keys, &err), &err, "lookup")) {
        return;
    }
    if (told(j, omen_get_vectors(c, keys, ROT_ITEMS, rows, 0, OMEN_F32, found, &err), &err,
             "get")) {
        return;
    }
    for (uint32_t i = 0; i < ROT_ITEMS; i++) {
        judge_item(j, which, i, found[i] != 0, rows[i]);
    }
}

/* The object of the turn that the vector is of; once damage was told, of an older one. */
static void judge_object(judge *j, uint32_t c, uint32_t item, const char *got, size_t size)
{
    uint32_t turns = j->model->turns[c][item];
    bool good = false;
    for (uint32_t turn = turns; turn >= 1 && !good && (turn == turns || j->detected); turn--) {
        char want[JSON];
        good = size == object_of(item, turn, want) && memcmp(got, want, size) == 0;
    }
    if (!good) {
        wrong(j, "%s: item %u has metadata that it never had: %.*s", names[c], item, (int)size,
              got);
    }
}

static void judge_fields(judge *j, omen_collection *c, uint32_t which, const uint64_t *keys)
{
    static const char filter_text[] = "turn > 0 AND tag IS NOT NULL";
    uint64_t hits[ROT_ITEMS], alive = 0, count = 0;
    uint32_t found = 0;
    omen_rows *rows = NULL;
    omen_filter *filter = NULL;
    omen_error err;
    for (uint32_t i = 0; i < ROT_ITEMS; i++) {
        alive += j->model->alive[which][i];
    }
    if (!told(j, omen_fetch(c, keys, ROT_ITEMS, OMEN_FIELD_METADATA, &rows, &err), &err, "fetch")) {
        omen_column json;
        omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
        const int64_t *at = json.offsets;
        for (uint32_t i = 0; i < ROT_ITEMS; i++) {
            if (keys[i] != OMEN_NONE) {
                judge_object(j, which, i, (const char *)json.data + at[i],
                             (size_t)(at[i + 1] - at[i]));
            }
        }
        omen_rows_free(rows);
    }
    omen_status_t status =
        omen_filter_compile(c, filter_text, sizeof filter_text - 1, NULL, 0, &filter, &err);
    if (status == OMEN_INVALID_ARGUMENT && err.detail == OMEN_D_FIELD && j->detected) {
        return; /* an older manifest, or a log cut short, does not know them */
    }
    if (!told(j, status, &err, "compile") &&
        !told(j, omen_count_where(c, filter, &count, &err), &err, "count by a filter") &&
        !j->detected && count != alive) {
        wrong(j, "%s: %llu items pass, not %llu", names[which], (unsigned long long)count,
              (unsigned long long)alive);
    }
    omen_filter_free(filter);
    const omen_leg leg = {
        .struct_size = sizeof leg, .kind = OMEN_LEG_TEXT, .text = "item", .text_len = 4};
    const omen_request request = {
        .struct_size = sizeof request, .legs = &leg, .leg_count = 1, .k = ROT_ITEMS};
    omen_hits h = {.struct_size = sizeof h, .keys = hits, .counts = &found};
    if (!told(j, omen_find(c, &request, &h, &err), &err, "search text") && !j->detected &&
        found != alive) {
        wrong(j, "%s: a word finds %u items, not %llu", names[which], found,
              (unsigned long long)alive);
    }
}

static double distance_of(uint32_t c, const float *a, const float *b)
{
    double sum = 0, product = 0, aa = 0, bb = 0;
    for (uint32_t d = 0; d < ROT_DIM; d++) {
        double x = (double)a[d], y = (double)b[d];
        sum += (x - y) * (x - y);
        product += x * y;
        aa += x * x;
        bb += y * y;
    }
    return c == 0 ? sum : 1 - product / sqrt(aa * bb);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The distance that came with a key must be that of a vector of its item. */
static bool has_distance(const judge *j, uint32_t c, uint32_t item, const float *query, float found)
{
    uint32_t turns = j->model->turns[c][item];
    for (uint32_t turn = j->detected ? 1 : turns; turn <= turns; turn++) {
        float vector[ROT_DIM];
        vector_of(c, item, turn, vector);
        double right = distance_of(c, query, vector);
        if (fabs(right - (double)found) <= 1e-3 * (1 + right)) {
            return true;
        }
    }
    return false;
}

static void judge_hits(judge *j, uint32_t c, const float *query, const uint64_t *keys,
                       const uint64_t *hits, const float *distances, bool exact)
{
    double all[ROT_ITEMS];
    uint32_t alive = 0;
    for (uint32_t i = 0; i < ROT_ITEMS; i++) {
        float vector[ROT_DIM];
        vector_of(c, i, j->model->turns[c][i], vector);
        if (j->model->alive[c][i]) {
            all[alive++] = distance_of(c, query, vector);
        }
    }
    qsort(all, alive, sizeof *all, compare_doubles);
    for (uint32_t h = 0; h < K && hits[h] != OMEN_NONE; h++) {
        uint32_t item = 0;
        while (item < ROT_ITEMS && keys[item] != hits[h]) {
            item++;
        }
        if (item == ROT_ITEMS) {
            wrong(j, "%s: a search found key %llu, which no item has", names[c],
                  (unsigned long long)hits[h]);
        } else if (!has_distance(j, c, item, query, distances[h])) {
            wrong(j, "%s: item %u does not have distance %g", names[c], item, (double)distances[h]);
        }
    }
    for (uint32_t h = 0; h < K && exact && !j->detected; h++) {
        if (fabs(all[h] - (double)distances[h]) > 1e-3 * (1 + all[h])) {
            wrong(j, "%s: hit %u is at %g, not at %g", names[c], h, (double)distances[h], all[h]);
        }
    }
}

static void judge_searches(judge *j, omen_collection *c, uint32_t which, const uint64_t *keys)
{
    static const uint32_t ways[] = {OMEN_EXACT, OMEN_GRAPH_ONLY, 0};
    for (uint32_t q = 0; q < QUERIES; q++) {
        float query[ROT_DIM], distances[K];
        uint64_t hits_keys[K];
        omen_error err;
        vector_of(which, q * 25, 1, query);
        for (uint32_t way = 0; way < 3; way++) {
            const omen_query asked = {.struct_size = sizeof asked,
                                      .flags = ways[way],
                                      .vectors = query,
                                      .dtype = OMEN_F32,
                                      .dim = ROT_DIM,
                                      .count = 1,
                                      .k = K,
                                      .threads = 1};
            omen_hits hits = {
                .struct_size = sizeof hits, .keys = hits_keys, .distances = distances};
            if (!told(j, omen_search(c, &asked, &hits, &err), &err, "search")) {
                judge_hits(j, which, query, keys, hits_keys, distances, way == 0);
            }
        }
    }
}

static void judge_collection(judge *j, omen_db *db, uint32_t which)
{
    omen_collection *c = NULL;
    omen_error err;
    uint64_t keys[ROT_ITEMS], count = 0, alive = 0, cursor = 0, scanned = 0;
    static uint64_t some[ROT_ITEMS + 1];
    for (uint32_t i = 0; i < ROT_ITEMS; i++) {
        alive += j->model->alive[which][i];
    }
    if (told(j, omen_open(db, names[which], NULL, &c, &err), &err, "open a collection")) {
        return;
    }
    bool before = j->detected;
    judge_items(j, c, which, keys);
    if (j->detected == before) { /* else the keys of hits are not known */
        judge_searches(j, c, which, keys);
        if (which == 1) {
            judge_fields(j, c, which, keys);
        }
    }
    if (!told(j, omen_count(c, &count, &err), &err, "count") && !j->detected && count != alive) {
        wrong(j, "%s: %llu items, not %llu", names[which], (unsigned long long)count,
              (unsigned long long)alive);
    }
    if (!told(j, omen_scan(c, &cursor, some, ROT_ITEMS + 1, &scanned, &err), &err, "scan") &&
        !j->detected && scanned != alive) {
        wrong(j, "%s: a scan gives %llu items, not %llu", names[which], (unsigned long long)scanned,
              (unsigned long long)alive);
    }
    omen_collection_free(c);
}

rot_verdict rot_judge(const om_io *io, omen_runtime *rt, const rot_model *model, uint32_t flags,
                      char why[ROT_WHY])
{
    judge j = {.model = model, .why = why};
    omen_db *db = NULL;
    omen_error err;
    const omen_db_options options = {.struct_size = sizeof options,
                                     .flags = flags | OMEN_DB_MUST_EXIST,
                                     .runtime = rt,
                                     .warm = OMEN_WARM_NONE};
    why[0] = '\0';
    if (!told(&j, om_db_open_io(io, ROT_FOLDER, &options, &db, &err), &err, "open")) {
        omen_db_stats stats = {.struct_size = sizeof stats};
        if (omen_get_db_stats(db, &stats, NULL) == OMEN_OK && stats.state == OMEN_DB_DAMAGED) {
            j.detected = true;
            if (stats.reason[0] == '\0') {
                wrong(&j, "damaged without a reason");
            }
        }
        for (uint32_t i = 0; i < ROT_COLLECTIONS; i++) {
            judge_collection(&j, db, i);
        }
        omen_db_free(db);
    }
    return why[0] != '\0' ? ROT_WRONG : j.detected ? ROT_DETECTED : ROT_HARMLESS;
}
