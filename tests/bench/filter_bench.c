/* filter_bench.c - evaluates conditions over columns that filter_bench.py has written, and says how long it
 * took. SPDX-License-Identifier: Apache-2.0
 *
 *   filter_bench DIR ROWS NAME:TYPE ...
 *
 * TYPE is int64, double, bool, time or string; DIR/NAME.values holds 8 bytes a row, or the bytes of the
 * strings with DIR/NAME.offsets (ROWS + 1 of uint64_t); DIR/NAME.valid, when it exists, a byte a row: 0 is
 * null. Says how many bytes the blocks have. Then reads a condition a line, with a number of repetitions in
 * front, and answers with the number of rows that pass, the nanoseconds of every repetition (compiling
 * included) and those of the first compiling. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "filter.h"

enum { MOST_COLUMNS = 32, MOST_REPEATS = 1000, LINE = 65536 };

typedef struct bench_column {
    om_field field;
    uint64_t *values, *offsets;
    uint8_t *valid;
} bench_column;

static const om_alloc alloc = {{NULL, NULL, NULL}, NULL};
static bench_column columns[MOST_COLUMNS];
static uint32_t column_count;

static void fail(const char *what, const char *name)
{
    (void)fprintf(stderr, "filter_bench: %s: %s\n", what, name);
    exit(1);
}

static void check(omen_status_t status, const omen_error *err)
{
    if (status != OMEN_OK) {
        fail("error", err->message);
    }
}

static uint64_t now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A whole file; NULL: it is not there. */
static void *read_file(const char *dir, const char *name, const char *kind, bool needed)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s.%s", dir, name, kind);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        if (needed) {
            fail("cannot open", path);
        }
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) != 0) {
        fail("cannot seek", path);
    }
    const size_t size = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(size + 1);
    if (bytes == NULL || fread(bytes, 1, size, file) != size) {
        fail("cannot read", path);
    }
    (void)fclose(file);
    return bytes;
}

static uint32_t type_of(const char *name)
{
    static const struct {
        const char *name;
        uint32_t type;
    } types[] = {{"int64", OMEN_TYPE_INT64},
                 {"double", OMEN_TYPE_DOUBLE},
                 {"bool", OMEN_TYPE_BOOL},
                 {"time", OMEN_TYPE_TIME},
                 {"string", OMEN_TYPE_STRING}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0) {
            return types[i].type;
        }
    }
    fail("no such type", name);
    return 0;
}

static void add_column(om_schema *schema, const char *dir, char *argument)
{
    bench_column *column = &columns[column_count];
    omen_field declared;
    omen_error err;
    char *type = strchr(argument, ':');
    if (type == NULL || column_count == MOST_COLUMNS) {
        fail("expected NAME:TYPE, at most 32 times", argument);
        return;
    }
    *type++ = '\0';
    memset(&declared, 0, sizeof declared);
    (void)snprintf(declared.name, sizeof declared.name, "%s", argument);
    declared.type = type_of(type);
    check(om_field_check(&declared, &column->field, &err), &err);
    column->field.id = (uint16_t)column_count;
    check(om_schema_add(schema, &column->field, &err), &err);
    column->values = read_file(dir, argument, "values", true);
    column->offsets = read_file(dir, argument, "offsets", declared.type == OMEN_TYPE_STRING);
    column->valid = read_file(dir, argument, "valid", false);
    column_count++;
}

/* Row i as a meta row (metarow.h). */
static const uint8_t *make_row(uint64_t i)
{
    static _Alignas(8) uint8_t row[1 << 20];
    uint8_t *payload = row + 8;
    uint16_t fields = 0;
    uint8_t *entry = row + 8;
    for (uint32_t c = 0; c < column_count; c++) {
        payload += columns[c].valid == NULL || columns[c].valid[i] != 0 ? 8 : 0;
    }
    for (uint32_t c = 0; c < column_count; c++) {
        const bench_column *column = &columns[c];
        if (column->valid != NULL && column->valid[i] == 0) {
            continue;
        }
        uint32_t size = 8;
        if (column->offsets != NULL) {
            size = (uint32_t)(column->offsets[i + 1] - column->offsets[i]);
            memset(payload, 0, om_round_up(size, 8));
            memcpy(payload, (const char *)column->values + column->offsets[i], size);
        } else {
            memcpy(payload, &column->values[i], 8);
        }
        memcpy(entry, &column->field.id, 2);
        memcpy(entry + 2, &column->field.type, 2);
        memcpy(entry + 4, &size, 4);
        entry += 8;
        fields++;
        payload += om_round_up(size, 8);
    }
    const uint32_t bytes = (uint32_t)(payload - row);
    memset(row, 0, 8);
    memcpy(row, &bytes, 4);
    memcpy(row + 4, &fields, 2);
    return row;
}

static om_metablock **make_blocks(const om_schema *schema, uint64_t rows, uint64_t *total)
{
    const uint64_t count = (rows + OM_BLOCK_ROWS - 1) / OM_BLOCK_ROWS;
    om_metablock **blocks = calloc(count, sizeof(om_metablock *));
    om_metabuild *build;
    omen_error err;
    check(om_metabuild_create(&alloc, schema, &build, &err), &err);
    for (uint64_t b = 0; b < count && blocks != NULL; b++) {
        uint8_t *bytes;
        size_t size;
        for (uint64_t i = b * OM_BLOCK_ROWS; i < rows && i < (b + 1) * OM_BLOCK_ROWS; i++) {
            check(om_metabuild_add(build, make_row(i), &err), &err);
        }
        check(om_metabuild_finish(build, &bytes, &size, &err), &err);
        check(om_metablock_open(&alloc, schema, bytes, size, &blocks[b], &err), &err);
        *total += size;
    }
    om_metabuild_free(build);
    return blocks;
}

/* One repetition, from the text on; a scratch for every block as a search would have it. */
static uint64_t evaluate(const om_schema *schema, const char *line, om_metablock **blocks,
                         uint64_t rows, uint64_t *compiled)
{
    static uint64_t words[OM_BLOCK_WORDS];
    const om_predicate_text text = {line, strlen(line), NULL, 0};
    om_predicate *predicate = NULL;
    omen_error err;
    const uint64_t begin = now();
    check(om_predicate_compile(&alloc, schema, &text, &predicate, &err), &err);
    *compiled = now() - begin;
    const size_t size = om_round_up(om_predicate_scratch(predicate), 64);
    void *scratch = aligned_alloc(64, size);
    uint64_t passed = 0;
    for (uint64_t b = 0; b * OM_BLOCK_ROWS < rows && scratch != NULL; b++) {
        passed += om_predicate_block(predicate, blocks[b], words, scratch);
    }
    free(scratch);
    om_predicate_free(predicate);
    return passed;
}

int main(int argc, char **argv)
{
    static char line[LINE];
    om_schema *schema;
    omen_error err;
    uint64_t bytes = 0;
    if (argc < 4) {
        (void)fprintf(stderr, "usage: filter_bench DIR ROWS NAME:TYPE ...\n");
        return 2;
    }
    const uint64_t rows = strtoull(argv[2], NULL, 10);
    check(om_schema_create(&alloc, &schema, &err), &err);
    for (int i = 3; i < argc; i++) {
        add_column(schema, argv[1], argv[i]);
    }
    om_metablock **blocks = make_blocks(schema, rows, &bytes);
    (void)printf("%" PRIu64 "\n", bytes);
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *condition;
        const unsigned long repeats = strtoul(line, &condition, 10);
        uint64_t first = 0, compiled;
        condition[strcspn(condition, "\n")] = '\0';
        for (unsigned long i = 0; i < repeats && i < MOST_REPEATS; i++) {
            const uint64_t begin = now();
            const uint64_t passed = evaluate(schema, condition, blocks, rows, &compiled);
            const uint64_t took = now() - begin;
            first = i == 0 ? compiled : first;
            if (i == 0) {
                (void)printf("%" PRIu64, passed);
            }
            (void)printf(" %" PRIu64, took);
        }
        (void)printf(" %" PRIu64 "\n", first);
        (void)fflush(stdout);
    }
    return 0;
}
