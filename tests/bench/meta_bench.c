/* meta_bench.c - what metadata costs: JSON lines to rows (beside jansson's tree of the same lines), rows to a
 * block, opening it, rows out of it. Usage: meta_bench FILE.jsonl [rounds]
 * SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metablock.h"

enum { BATCH = 1000, ROUNDS = 5 };

static const om_alloc heap;

typedef struct om_lines {
    char *bytes;
    int64_t *offsets; /* [count + 1] */
    uint64_t count;
} om_lines;

/* Of this process: others may run beside it. */
static double now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "meta_bench: %s\n", what);
        exit(1);
    }
}

/* The lines of a file without their ends, at most one block of them. */
static om_lines read_lines(const char *path)
{
    om_lines lines = {0};
    FILE *file = fopen(path, "rb");
    must(file != NULL, "the file cannot be opened");
    must(fseek(file, 0, SEEK_END) == 0, "the file cannot be read");
    long size = ftell(file);
    rewind(file);
    must(size > 0, "the file is empty");
    lines.bytes = malloc((size_t)size);
    lines.offsets = malloc((OM_BLOCK_ROWS + 1) * sizeof lines.offsets[0]);
    must(lines.bytes != NULL && lines.offsets != NULL, "no memory");
    must(fread(lines.bytes, 1, (size_t)size, file) == (size_t)size, "the file cannot be read");
    (void)fclose(file);
    lines.offsets[0] = 0;
    for (const char *at = lines.bytes, *end = at + size; at < end && lines.count < OM_BLOCK_ROWS;) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        line = line == NULL ? end : line + 1;
        lines.offsets[++lines.count] = line - lines.bytes;
        at = line;
    }
    return lines;
}

/* All lines in batches; the rows of the last batch of each are not kept. */
static void parse_all(om_schema *schema, const om_lines *lines, om_metabuild *build)
{
    for (uint64_t from = 0; from < lines->count; from += BATCH) {
        omen_error err;
        om_meta_rows rows;
        uint32_t first;
        omen_column column = {lines->bytes, lines->offsets + from, 64, 0};
        uint64_t count = om_min_u64(BATCH, lines->count - from);
        om_meta_input input = {.schema = schema, .column = &column, .count = count};
        if (om_meta_parse(&heap, &input, &rows, &err) != OMEN_OK) {
            must(false, err.message);
        }
        must(om_meta_bind(schema, &rows, &first, &err) == OMEN_OK, "bind");
        for (uint64_t i = 0; build != NULL && i < count; i++) {
            must(om_metabuild_add(build, rows.bytes + rows.offsets[i], &err) == OMEN_OK, "add");
        }
        om_meta_rows_free(&rows);
    }
}

static void jansson_all(const om_lines *lines)
{
    for (uint64_t i = 0; i < lines->count; i++) {
        json_error_t error;
        size_t size = (size_t)(lines->offsets[i + 1] - lines->offsets[i]);
        json_t *tree =
            json_loadb(lines->bytes + lines->offsets[i], size, JSON_REJECT_DUPLICATES, &error);
        must(tree != NULL, error.text);
        json_decref(tree);
    }
}

static void report(const char *what, double seconds, const om_lines *lines)
{
    double rows = (double)lines->count;
    (void)printf("%-24s %8.0f ns a row  %8.1f MB/s\n", what, seconds / rows * 1e9,
                 (double)lines->offsets[lines->count] / seconds / 1e6);
}

/* The fastest of some rounds. */
static double best(double before, double seconds)
{
    return before == 0 || seconds < before ? seconds : before;
}

/* "text" is one, as a collection of films would declare it. */
static om_schema *make_schema(void)
{
    om_schema *schema = NULL;
    om_field field;
    omen_field text = {.name = "text", .type = OMEN_TYPE_TEXT};
    must(om_schema_create(&heap, &schema, NULL) == OMEN_OK, "schema");
    must(om_field_check(&text, &field, NULL) == OMEN_OK, "field");
    must(om_schema_add(schema, &field, NULL) == OMEN_OK, "field");
    return schema;
}

static void measure(const om_lines *lines, int rounds)
{
    double parse = 0;
    double jansson = 0;
    double add = 0;
    double finish = 0;
    double open = 0;
    double rows = 0;
    size_t size = 0;
    for (int round = 0; round < rounds; round++) {
        om_schema *schema = make_schema();
        om_metabuild *build = NULL;
        om_metablock *block = NULL;
        uint8_t *bytes = NULL;
        must(om_metabuild_create(&heap, schema, &build, NULL) == OMEN_OK, "builder");
        double at = now();
        parse_all(schema, lines, NULL);
        double after = now();
        parse = best(parse, after - at);
        jansson_all(lines);
        jansson = best(jansson, now() - after);
        at = now();
        parse_all(schema, lines, build);
        after = now();
        add = best(add, after - at);
        must(om_metabuild_finish(build, &bytes, &size, NULL) == OMEN_OK, "finish");
        at = now();
        finish = best(finish, at - after);
        must(om_metablock_open(&heap, schema, bytes, size, &block, NULL) == OMEN_OK, "open");
        after = now();
        open = best(open, after - at);
        om_bytes out = {.alloc = &heap};
        for (uint32_t i = 0; i < om_metablock_rows(block); i++) {
            out.size = 0;
            must(om_metablock_row(block, i, &out, NULL) == OMEN_OK, "row");
        }
        rows = best(rows, now() - after);
        om_bytes_free(&out);
        om_metablock_free(block);
        om_alloc_put(&heap, bytes, size, 64);
        om_metabuild_free(build);
        om_schema_free(schema);
    }
    report("JSON to rows", parse, lines);
    report("jansson, tree alone", jansson, lines);
    report("rows to columns", add > parse ? add - parse : 0, lines);
    report("columns to a block", finish, lines);
    report("opening", open, lines);
    report("rows out of the block", rows, lines);
    (void)printf("%llu rows, JSON %lld bytes, block %zu bytes\n", (unsigned long long)lines->count,
                 (long long)lines->offsets[lines->count], size);
}

int main(int argc, char **argv)
{
    must(argc == 2 || argc == 3, "usage: meta_bench FILE.jsonl [rounds]");
    om_lines lines = read_lines(argv[1]);
    int rounds = argc == 3 ? atoi(argv[2]) : ROUNDS;
    must(rounds > 0, "rounds must be above 0");
    measure(&lines, rounds);
    free(lines.bytes);
    free(lines.offsets);
    return 0;
}
