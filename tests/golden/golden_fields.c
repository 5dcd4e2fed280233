/* golden_fields.c - items with metadata and text in a segment file and in a backup: `make FOLDER` writes them, by
 * hand once a format is new; `check FOLDER` opens those of any version. The formulas never change.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"

enum { ITEMS = 90, SEALED = 60, PATCHED = 10, DELETED = 5, DIM = 4, JSON = 512 };
static const char *const colours[] = {"red", "green", "blue"};
static const char *const texts[] = {"The lighthouse keeper reads", "A harbour at night",
                                    "\xE6\x9D\xB1\xE4\xBA\xAC \xC3\x89t\xC3\xA9 lights"};

static void need(omen_status_t status, const omen_error *err, const char *what)
{
    if (status != OMEN_OK) {
        fprintf(stderr, "%s: %s: %.232s\n", what, omen_status_name(status), err->message);
        exit(1);
    }
}

static void wrong(const char *what, uint32_t n, const char *got, const char *want)
{
    fprintf(stderr, "item %u: %s is %s, must be %s\n", n, what, got, want);
    exit(1);
}

/* The object of an item, as the library writes it. */
static size_t object(uint32_t n, bool patched, char *out)
{
    size_t at = (size_t)snprintf(out, JSON, "{\"title\": \"%s\"", texts[n % 3]);
    at += (size_t)snprintf(out + at, JSON - at, ", \"when\": \"2026-11-%02uT08:00:00.25Z\"",
                           1 + n % 28);
    if (n % 4 == 0) {
        at += (size_t)snprintf(out + at, JSON - at, ", \"place\": {\"lat\": %d.5, \"lon\": -%u.25}",
                               (int)(n % 90), n % 180);
    }
    if (n % 5 == 0) {
        at += (size_t)snprintf(out + at, JSON - at, ", \"blob\": \"AAEC\"");
    }
    at += (size_t)snprintf(out + at, JSON - at, ", \"n\": %d, \"ratio\": %u.125",
                           patched ? -1 : (int)n, n);
    if (!patched) {
        at += (size_t)snprintf(out + at, JSON - at, ", \"colour\": \"%s\"", colours[n % 3]);
    }
    at += (size_t)snprintf(out + at, JSON - at, ", \"even\": %s, \"list\": [%u, %u]",
                           n % 2 == 0 ? "true" : "false", n, n + 1);
    if (n >= SEALED) {
        at += (size_t)snprintf(out + at, JSON - at, ", \"late\": \"l%u\"", n);
    }
    return at + (size_t)snprintf(out + at, JSON - at, "}");
}

static void put(omen_collection *c, uint32_t first, uint32_t last, bool patch)
{
    static char json[ITEMS * JSON];
    static int64_t offsets[ITEMS + 1];
    float vectors[ITEMS * DIM] = {0};
    uint64_t keys[ITEMS];
    omen_error err;
    for (uint32_t n = first; n < last; n++) {
        uint32_t i = n - first;
        keys[i] = n;
        vectors[i * DIM] = (float)n;
        offsets[i + 1] = offsets[i];
        offsets[i + 1] += patch ? snprintf(json + offsets[i], JSON, "{\"n\": -1, \"colour\": null}")
                                : (int64_t)object(n, false, json + offsets[i]);
    }
    const omen_batch batch = {.struct_size = sizeof batch,
                              .count = last - first,
                              .vectors = patch ? NULL : vectors,
                              .dim = DIM,
                              .keys = keys,
                              .mode = patch ? OMEN_PATCH : OMEN_UPSERT,
                              .metadata = {.data = json, .offsets = offsets, .offset_bits = 64}};
    need(omen_add_batch(c, &batch, NULL, NULL, &err), &err, "writing");
}

static omen_collection *create(omen_db *db)
{
    static const omen_field fields[] = {{.name = "title", .type = OMEN_TYPE_TEXT, .weight = 2},
                                        {.name = "when", .type = OMEN_TYPE_TIME},
                                        {.name = "place", .type = OMEN_TYPE_GEO},
                                        {.name = "blob", .type = OMEN_TYPE_BYTES}};
    const omen_options options = {.struct_size = sizeof options,
                                  .dim = DIM,
                                  .m = 8,
                                  .fields = fields,
                                  .field_count = sizeof fields / sizeof fields[0]};
    omen_collection *c = NULL;
    omen_error err;
    need(omen_create(db, "fields", &options, &c, &err), &err, "creating");
    return c;
}

/* Part of it sealed, when it is on disk; new fields, changes and deaths behind that. */
static void fill(omen_db *db, omen_collection *c, bool seal)
{
    omen_error err;
    uint64_t gone[DELETED];
    put(c, 0, SEALED, false);
    if (seal) {
        need(omen_checkpoint(db, NULL, &err), &err, "sealing");
    }
    put(c, SEALED, ITEMS, false);
    put(c, 0, PATCHED, true);
    for (uint32_t i = 0; i < DELETED; i++) {
        gone[i] = SEALED - 1 - i;
    }
    const omen_batch batch = {.struct_size = sizeof batch, .count = DELETED, .keys = gone};
    need(omen_delete_batch(c, &batch, NULL, NULL, &err), &err, "deleting");
}

static void make(const char *folder)
{
    char path[1024], database[1024];
    omen_db *db = NULL;
    omen_error err;
    const omen_backup_options copy = {.struct_size = sizeof copy, .flags = OMEN_BACKUP_COPY};
    need(omen_db_open(NULL, NULL, &db, &err), &err, "opening");
    omen_collection *c = create(db);
    fill(db, c, false);
    (void)snprintf(path, sizeof path, "%s/fields.omen", folder);
    need(omen_save(c, path, NULL, &err), &err, "saving");
    omen_collection_free(c);
    omen_db_free(db);
    (void)snprintf(database, sizeof database, "%s/making", folder);
    (void)snprintf(path, sizeof path, "%s/backup", folder);
    golden_remove(database);
    golden_remove(path);
    need(omen_db_open(database, NULL, &db, &err), &err, "opening");
    c = create(db);
    fill(db, c, true);
    need(omen_backup(db, path, &copy, NULL, &err), &err, "backing up");
    omen_collection_free(c);
    omen_db_free(db);
    golden_remove(database);
}

/* ---- Checking ----------------------------------------------------------------------------------- */
static bool is_gone(uint32_t n)
{
    return n < SEALED && n >= SEALED - DELETED;
}

static void check_objects(omen_collection *c)
{
    uint64_t keys[ITEMS];
    omen_rows *rows = NULL;
    omen_column json, versions;
    omen_error err;
    for (uint32_t n = 0; n < ITEMS; n++) {
        keys[n] = n;
    }
    need(omen_fetch(c, keys, ITEMS, OMEN_FIELD_METADATA | OMEN_FIELD_VERSION, &rows, &err), &err,
         "fetching");
    omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
    omen_rows_column(rows, OMEN_FIELD_VERSION, &versions);
    for (uint32_t n = 0; n < ITEMS; n++) {
        const int64_t *offsets = json.offsets;
        const uint64_t *version = versions.data;
        char want[JSON] = "", got[JSON];
        if (!is_gone(n)) {
            (void)object(n, n < PATCHED, want);
        }
        (void)snprintf(got, sizeof got, "%.*s", (int)(offsets[n + 1] - offsets[n]),
                       (const char *)json.data + offsets[n]);
        if (strcmp(got, want) != 0) {
            wrong("its metadata", n, got, want);
        }
        uint32_t same = n < PATCHED ? 0 : n < SEALED ? PATCHED : SEALED; /* written together */
        if (is_gone(n) ? version[n] != 0 : version[n] != version[same] || version[n] == 0) {
            wrong("its version", n, "another", "that of its batch");
        }
    }
    const uint64_t *version = versions.data;
    if (version[PATCHED] >= version[SEALED] || version[SEALED] >= version[0]) {
        wrong("the order of versions", 0, "another", "that of the batches");
    }
    omen_rows_free(rows);
}

static void check_count(omen_collection *c, const char *text, uint64_t want)
{
    omen_filter *filter = NULL;
    uint64_t count = 0;
    omen_error err;
    need(omen_filter_compile(c, text, strlen(text), NULL, 0, &filter, &err), &err, text);
    need(omen_count_where(c, filter, &count, &err), &err, text);
    omen_filter_free(filter);
    if (count != want) {
        fprintf(stderr, "%s: %llu items pass, must be %llu\n", text, (unsigned long long)count,
                (unsigned long long)want);
        exit(1);
    }
}

static void check_word(omen_collection *c, const char *word, uint32_t third)
{
    uint64_t hits[ITEMS];
    uint32_t found = 0, want = 0;
    omen_error err;
    const omen_leg leg = {
        .struct_size = sizeof leg, .kind = OMEN_LEG_TEXT, .text = word, .text_len = strlen(word)};
    const omen_request request = {
        .struct_size = sizeof request, .legs = &leg, .leg_count = 1, .k = ITEMS};
    omen_hits h = {.struct_size = sizeof h, .keys = hits, .counts = &found};
    need(omen_find(c, &request, &h, &err), &err, word);
    for (uint32_t n = 0; n < ITEMS; n++) {
        want += !is_gone(n) && n % 3 == third;
    }
    for (uint32_t i = 0; i < found; i++) {
        if (hits[i] % 3 != third) {
            wrong("a word of it", (uint32_t)hits[i], word, "another");
        }
    }
    if (found != want) {
        fprintf(stderr, "%s: %u items, must be %u\n", word, found, want);
        exit(1);
    }
}

static void check_collection(omen_collection *c)
{
    check_objects(c);
    check_count(c, "n >= 0", ITEMS - DELETED - PATCHED);
    check_count(c, "colour IS NULL", PATCHED);
    check_count(c, "late IS NOT NULL", ITEMS - SEALED);
    check_count(c, "list CONTAINS 20 AND when < '2027-01-01T00:00:00Z'", 2);
    check_count(c, "DISTANCE(place, 12.5, -12.25) < 1", 1);
    check_word(c, "lighthouses", 0);
    check_word(c, "HARBOUR", 1);
    check_word(c, "\xE6\x9D\xB1\xE4\xBA\xAC", 2);
}

static void check(const char *folder)
{
    char path[1024], copy[1024];
    omen_db *db = NULL;
    omen_collection *c = NULL;
    omen_error err;
    (void)snprintf(path, sizeof path, "%s/fields.omen", folder);
    const omen_open_options file = {
        .struct_size = sizeof file, .file = path, .flags = OMEN_OPEN_VERIFY};
    need(omen_db_open(NULL, NULL, &db, &err), &err, "opening");
    need(omen_open(db, "fields", &file, &c, &err), &err, path);
    check_collection(c);
    omen_collection_free(c);
    omen_db_free(db);
    const char *scratch = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%s/backup", folder);
    (void)snprintf(copy, sizeof copy, "%s/omen-golden-XXXXXX", scratch != NULL ? scratch : "/tmp");
    if (mkdtemp(copy) == NULL) {
        perror(copy);
        exit(1);
    }
    golden_remove(copy);
    need(omen_verify(path, NULL, NULL, &err), &err, "verifying");
    need(omen_restore(path, copy, NULL, NULL, &err), &err, "restoring");
    need(omen_db_open(copy, NULL, &db, &err), &err, "opening");
    need(omen_open(db, "fields", NULL, &c, &err), &err, "opening");
    check_collection(c);
    need(omen_optimize(c, NULL, &err), &err, "merging");
    check_collection(c);
    omen_collection_free(c);
    omen_db_free(db);
    golden_remove(copy);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        make(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "check") == 0) {
        check(argv[2]);
    } else {
        fprintf(stderr, "usage: golden_fields make|check FOLDER\n");
        return 2;
    }
    return 0;
}
