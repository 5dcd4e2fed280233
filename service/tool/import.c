/* import.c - opens a file of vectors: tells its format, skips to the first row, hands out batches.
 * SPDX-License-Identifier: Apache-2.0 */
#include "import.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "import_int.h"

static const struct format {
    const char *name;
    const char *suffix; /* of a file name, before .gz or .zst */
    bool (*start)(om_import *imp, om_tool_error *err);
    uint32_t dtype; /* of the TEXMEX formats, whose header does not tell */
} formats[] = {
    {"fvecs", ".fvecs", om_import_vecs_start, OMEN_F32},
    {"bvecs", ".bvecs", om_import_vecs_start, OMEN_U8},
    {"ivecs", ".ivecs", om_import_vecs_start, OM_IMPORT_I32},
    {"npy", ".npy", om_import_npy_start, 0},
    {"idx", "-ubyte", om_import_idx_start, 0},
    {"idx", ".idx", om_import_idx_start, 0},
    {"dump", ".omendump", om_import_dump_start, 0},
    {"dump", ".dump", om_import_dump_start, 0},
    {"jsonl", ".jsonl", om_import_jsonl_start, 0},
    {"jsonl", ".ndjson", om_import_jsonl_start, 0},
    {"jsonl", ".json", om_import_jsonl_start, 0},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static const struct format *format_by_name(const char *name)
{
    for (size_t i = 0; i < FORMATS; i++) {
        if (strcmp(name, formats[i].name) == 0) {
            return &formats[i];
        }
    }
    return NULL;
}

static bool ends_with(const char *text, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len >= n && strncasecmp(text + len - n, suffix, n) == 0;
}

static const struct format *format_by_path(const char *path)
{
    size_t len = strlen(path);
    static const char *const packed[] = {".gz", ".zst", ".zstd"};
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        if (ends_with(path, len, packed[i])) {
            len -= strlen(packed[i]);
            break;
        }
    }
    for (size_t i = 0; i < FORMATS; i++) {
        if (ends_with(path, len, formats[i].suffix)) {
            return &formats[i];
        }
    }
    return NULL;
}

/* The TEXMEX formats have no magic number, so only the others can be told by their bytes. */
static const struct format *format_by_bytes(const uint8_t *b, size_t n)
{
    if (n >= 6 && memcmp(b, "\x93NUMPY", 6) == 0) {
        return format_by_name("npy");
    }
    if (n >= 4 && b[0] == 0 && b[1] == 0 && b[2] >= 8 && b[2] <= 14 && b[3] >= 1 && b[3] <= 4) {
        return format_by_name("idx");
    }
    if (n >= 8 && memcmp(b, "OMENDUMP", 8) == 0) {
        return format_by_name("dump");
    }
    size_t i = 0;
    while (i < n && isspace(b[i])) {
        i++;
    }
    if (i + 1 < n && (b[i] == '{' || b[i] == '[') && b[i + 1] >= 0x09) {
        return format_by_name("jsonl");
    }
    return NULL;
}

static bool choose_format(om_import *imp, const char *path, const char *wanted,
                          const struct format **out, om_tool_error *err)
{
    if (wanted != NULL) {
        *out = format_by_name(wanted);
        return *out != NULL
                   ? true
                   : om_tool_fail(
                         err, OM_EXIT_USAGE,
                         "unknown format '%s' (fvecs, bvecs, ivecs, npy, idx, jsonl, dump)",
                         wanted);
    }
    *out = format_by_path(path);
    if (*out != NULL) {
        return true;
    }
    const uint8_t *bytes;
    size_t n;
    if (!om_source_peek(imp->src, &bytes, &n, err)) {
        return false;
    }
    *out = format_by_bytes(bytes, n);
    return *out != NULL
               ? true
               : om_tool_fail(err, OM_EXIT_BAD_INPUT,
                              "%s: the format cannot be told from the name or the content; say "
                              "--format fvecs, bvecs, ivecs, npy, idx, jsonl or dump",
                              om_source_name(imp->src));
}

size_t om_import_row_bytes(const om_import *imp)
{
    return (size_t)imp->info.dim * om_import_dtype_width(imp->info.dtype);
}

bool om_import_set_shape(om_import *imp, uint64_t rows, uint64_t dim, om_tool_error *err)
{
    const char *name = om_source_name(imp->src);
    if (dim == 0 || dim > OMEN_MAX_DIM) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: the header tells %llu values a row; 1 to %u are allowed", name,
                            (unsigned long long)dim, OMEN_MAX_DIM);
    }
    imp->info.dim = (uint32_t)dim;
    imp->declared = rows;
    uint64_t size = om_source_plain_size(imp->src);
    uint64_t bytes;
    bool over = __builtin_mul_overflow(rows, (uint64_t)om_import_row_bytes(imp), &bytes);
    uint64_t header = om_source_offset(imp->src);
    if (over || (size != 0 && bytes != size - header)) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: the header tells %llu rows of %zu bytes, but %llu bytes follow it",
                            name, (unsigned long long)rows, om_import_row_bytes(imp),
                            (unsigned long long)(size - header));
    }
    return true;
}

static void swap_words(uint8_t *data, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint32_t w;
        memcpy(&w, data + 4 * i, 4);
        w = __builtin_bswap32(w);
        memcpy(data + 4 * i, &w, 4);
    }
}

bool om_import_dense_read(om_import *imp, size_t n, size_t *got, om_tool_error *err)
{
    uint64_t rest = imp->declared - imp->next_row;
    n = n < rest ? n : (size_t)rest;
    size_t row = om_import_row_bytes(imp);
    size_t bytes;
    if (n == 0) {
        uint8_t more;
        if (!om_source_read(imp->src, &more, 1, &bytes, err)) {
            return false;
        }
        if (bytes != 0) {
            return om_tool_fail(
                err, OM_EXIT_BAD_INPUT,
                "%s: there is more after the last of the %llu rows its header tells",
                om_source_name(imp->src), (unsigned long long)imp->declared);
        }
        *got = 0;
        return true;
    }
    if (!om_source_read(imp->src, imp->buf, n * row, &bytes, err)) {
        return false;
    }
    if (bytes < n * row) {
        return om_tool_fail(
            err, OM_EXIT_BAD_INPUT, "%s: truncated in row %llu of %llu (byte %llu)",
            om_source_name(imp->src), (unsigned long long)(imp->next_row + bytes / row),
            (unsigned long long)imp->declared, (unsigned long long)om_source_offset(imp->src));
    }
    if (imp->big_endian) {
        swap_words(imp->buf, n * imp->info.dim);
    }
    *got = n;
    return true;
}

bool om_import_enough(const om_import *imp)
{
    return om_json_column_bytes(&imp->metadata) >= OM_IMPORT_META_BATCH;
}

static bool reserve_rows(om_import *imp, size_t rows, om_tool_error *err)
{
    size_t bytes = rows * om_import_row_bytes(imp);
    if (bytes <= imp->buf_bytes) {
        return true;
    }
    uint8_t *grown = realloc(imp->buf, bytes);
    if (grown == NULL) {
        return om_tool_no_memory(err, bytes);
    }
    imp->buf = grown;
    imp->buf_bytes = bytes;
    return true;
}

/* One step of the reader of the format, at most n rows, within the memory limit. */
static bool read_rows(om_import *imp, size_t n, size_t *got, om_tool_error *err)
{
    size_t row = om_import_row_bytes(imp);
    size_t most = OM_IMPORT_BATCH_MAX / (row > 0 ? row : 64);
    n = n < most ? n : most;
    if (!imp->has_pending) { /* else they hold the id and the metadata of the first line */
        om_ids_clear(&imp->ids);
        om_json_column_clear(&imp->metadata);
    }
    if (!reserve_rows(imp, n, err) || !imp->read(imp, n, got, err)) {
        return false;
    }
    imp->next_row += *got;
    return true;
}

static bool skip_rows(om_import *imp, uint64_t offset, om_tool_error *err)
{
    while (imp->next_row < offset) {
        uint64_t want = offset - imp->next_row;
        size_t batch = om_import_batch_rows(imp->info.dim, imp->info.dtype);
        size_t got;
        if (!read_rows(imp, want < batch ? (size_t)want : batch, &got, err)) {
            return false;
        }
        if (got == 0) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                                "%s: the offset %llu lies behind its last row (it has %llu)",
                                om_source_name(imp->src), (unsigned long long)offset,
                                (unsigned long long)imp->next_row);
        }
    }
    return true;
}

static bool start(om_import *imp, const char *path, const om_import_options *opt,
                  om_tool_error *err)
{
    const struct format *format;
    if (!choose_format(imp, path, opt->format, &format, err)) {
        return false;
    }
    imp->bare = opt->bare;
    imp->info.format = format->name;
    imp->info.dtype = format->dtype;
    imp->declared = OMEN_NONE;
    if (!format->start(imp, err) || !skip_rows(imp, opt->offset, err)) {
        return false;
    }
    imp->left = opt->limit == 0 ? OM_IMPORT_ALL : opt->limit;
    imp->info.rows = OMEN_NONE;
    if (imp->declared != OMEN_NONE) {
        uint64_t rest = imp->declared - imp->next_row;
        imp->info.rows = rest < imp->left ? rest : imp->left;
    }
    return true;
}

/* Takes over src, also on failure. */
static bool open_on(om_source *src, const char *path, const om_import_options *opt, om_import **out,
                    om_tool_error *err)
{
    om_import *imp = calloc(1, sizeof *imp);
    if (imp == NULL) {
        om_source_free(src);
        return om_tool_no_memory(err, sizeof *imp);
    }
    imp->src = src;
    if (!start(imp, path, opt, err)) {
        om_import_free(imp);
        return false;
    }
    *out = imp;
    return true;
}

bool om_import_open(const char *path, const om_import_options *opt, om_import **out,
                    om_tool_error *err)
{
    om_source *src;
    return om_source_open(path, &src, err) && open_on(src, path, opt, out, err);
}

bool om_import_open_memory(const void *data, size_t size, const char *name,
                           const om_import_options *opt, om_import **out, om_tool_error *err)
{
    om_source *src;
    return om_source_open_memory(data, size, &src, err) && open_on(src, name, opt, out, err);
}

void om_import_free(om_import *imp)
{
    if (imp == NULL) {
        return;
    }
    om_source_free(imp->src);
    om_ids_free(&imp->ids);
    om_json_column_free(&imp->metadata);
    om_field_list_free(&imp->info.fields);
    free(imp->buf);
    free(imp->pending);
    om_import_dump_free(imp);
    free(imp);
}

const om_import_info *om_import_about(const om_import *imp)
{
    return &imp->info;
}

bool om_import_read(om_import *imp, size_t max, om_import_rows *rows, om_tool_error *err)
{
    size_t n = max < imp->left ? max : (size_t)imp->left;
    size_t got = 0;
    uint64_t first = imp->next_row;
    if (n > 0 && !read_rows(imp, n, &got, err)) {
        return false;
    }
    imp->left -= got;
    rows->count = got;
    rows->first = first;
    rows->data = imp->buf;
    rows->ids = imp->info.has_ids ? &imp->ids : NULL;
    rows->metadata = om_json_column_bytes(&imp->metadata) > 0 ? &imp->metadata : NULL;
    return true;
}

void om_import_position(const om_import *imp, uint64_t *done, uint64_t *total)
{
    om_source_position(imp->src, done, total);
}

size_t om_import_batch_rows(uint32_t dim, uint32_t dtype)
{
    size_t row = (size_t)dim * om_import_dtype_width(dtype);
    size_t rows =
        row == 0 ? 4096 : (1u << 20) / row; /* about 1 MiB: two batches fit any credit window */
    return rows < 1 ? 1 : rows > 10000 ? 10000 : rows;
}
