/* eval_data.c - the files of a set: vectors, JSON lines, labels; and rows into a collection.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "eval.h"
#include "import.h"

enum { READ_ROWS = 4096, READ_BYTES = 1 << 20, LABELS_AT = 8 };

void *eval_alloc(size_t count, size_t size)
{
    void *block = calloc(count == 0 ? 1 : count, size);
    if (block == NULL) {
        eval_die("memory", "there is none");
    }
    return block;
}

static void path_of(char *out, const char *folder, const char *file)
{
    if (snprintf(out, EVAL_PATH, "%s/%s", folder, file) >= EVAL_PATH) {
        eval_die(folder, "the path is too long");
    }
}

bool eval_has(const char *folder, const char *file)
{
    char path[EVAL_PATH];
    struct stat info;
    path_of(path, folder, file);
    return stat(path, &info) == 0;
}

eval_matrix eval_load(const char *folder, const char *file)
{
    char path[EVAL_PATH];
    om_tool_error err;
    om_import *imp;
    om_import_options options = {0};
    path_of(path, folder, file);
    if (!om_import_open(path, &options, &imp, &err)) {
        eval_die(path, err.message);
    }
    eval_matrix m = {.dim = om_import_about(imp)->dim, .dtype = om_import_about(imp)->dtype};
    m.row_bytes = m.dim * om_import_dtype_width(m.dtype);
    om_import_rows part;
    for (;;) {
        if (!om_import_read(imp, READ_ROWS, &part, &err)) {
            eval_die(path, err.message);
        }
        if (part.count == 0) {
            break;
        }
        char *grown = realloc(m.data, (m.rows + part.count) * m.row_bytes);
        if (grown == NULL) {
            eval_die(path, "no memory");
        }
        memcpy(grown + m.rows * m.row_bytes, part.data, part.count * m.row_bytes);
        m.data = grown;
        m.rows += part.count;
    }
    om_import_free(imp);
    return m;
}

void eval_matrix_free(eval_matrix *m)
{
    free(m->data);
    *m = (eval_matrix){0};
}

/* A whole gzip file, and a zero byte behind it. */
static char *read_gzip(const char *folder, const char *file, size_t *size)
{
    char path[EVAL_PATH];
    path_of(path, folder, file);
    gzFile in = gzopen(path, "rb");
    if (in == NULL) {
        eval_die(path, "cannot be read");
    }
    char *bytes = NULL;
    *size = 0;
    for (;;) {
        char *grown = realloc(bytes, *size + READ_BYTES + 1);
        if (grown == NULL) {
            eval_die(path, "no memory");
        }
        bytes = grown;
        int got = gzread(in, bytes + *size, READ_BYTES);
        if (got < 0) {
            eval_die(path, "is damaged");
        }
        if (got == 0) {
            break;
        }
        *size += (size_t)got;
    }
    bytes[*size] = '\0';
    (void)gzclose(in);
    return bytes;
}

eval_lines eval_read_lines(const char *folder, const char *file)
{
    size_t size;
    eval_lines lines = {.bytes = read_gzip(folder, file, &size)};
    size_t breaks = 0;
    for (size_t i = 0; i < size; i++) {
        breaks += lines.bytes[i] == '\n';
    }
    lines.line = eval_alloc(breaks + 1, sizeof *lines.line);
    char *at = lines.bytes;
    while (at < lines.bytes + size) {
        lines.line[lines.count++] = at;
        char *end = memchr(at, '\n', (size_t)(lines.bytes + size - at));
        if (end == NULL) {
            break;
        }
        *end = '\0';
        at = end + 1;
    }
    return lines;
}

void eval_lines_free(eval_lines *lines)
{
    free(lines->bytes);
    free(lines->line);
    *lines = (eval_lines){0};
}

uint8_t *eval_read_labels(const char *folder, const char *file, size_t rows)
{
    size_t size;
    char *bytes = read_gzip(folder, file, &size);
    if (size < LABELS_AT + rows) {
        eval_die(file, "has too few labels");
    }
    memmove(bytes, bytes + LABELS_AT, size - LABELS_AT);
    return (uint8_t *)bytes;
}

omen_collection *eval_create_text(omen_db *db, const eval_matrix *vectors)
{
    omen_error err;
    omen_collection *c;
    const omen_field text = {.name = "text",
                             .type = OMEN_TYPE_TEXT,
                             .flags = OMEN_FIELD_STOP_WORDS,
                             .language = "porter"};
    omen_options options = {.struct_size = sizeof options,
                            .dim = vectors->dim,
                            .metric = OMEN_COSINE,
                            .dtype = vectors->dtype,
                            .fields = &text,
                            .field_count = 1};
    eval_must(omen_create(db, "eval", &options, &c, &err), &err);
    return c;
}

void eval_add(omen_collection *c, const eval_matrix *vectors, char *const *metadata)
{
    uint64_t keys[EVAL_BATCH], offsets[EVAL_BATCH + 1];
    for (size_t at = 0; at < vectors->rows; at += EVAL_BATCH) {
        size_t count = vectors->rows - at < EVAL_BATCH ? vectors->rows - at : EVAL_BATCH;
        offsets[0] = 0;
        for (size_t i = 0; i < count; i++) {
            keys[i] = at + i;
            offsets[i + 1] = offsets[i] + strlen(metadata[at + i]);
        }
        char *json = eval_alloc(offsets[count], 1);
        for (size_t i = 0; i < count; i++) {
            memcpy(json + offsets[i], metadata[at + i], offsets[i + 1] - offsets[i]);
        }
        omen_error err;
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = count,
                            .vectors = eval_row(vectors, at),
                            .dim = vectors->dim,
                            .keys = keys,
                            .metadata = {.data = json, .offsets = offsets, .offset_bits = 64}};
        eval_must(omen_add_batch(c, &batch, NULL, NULL, &err), &err);
        free(json);
    }
}
