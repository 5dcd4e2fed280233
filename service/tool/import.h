/* import.h - reads files of vectors, a batch of rows at a time, in bounded memory: fvecs, bvecs,
 * ivecs (TEXMEX), npy (versions 1 and 2), idx (MNIST), JSON lines, our own dumps; plain, gzip or
 * zstd. Every byte of such a file is hostile: an error names the file and the row, line or byte.
 * Depends on: tool.h, ids.h, import_source.h, jansson. Locks: none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IMPORT_H
#define OM_IMPORT_H
#include "field_spec.h"
#include "ids.h"
#include "import_source.h"
#include "json_column.h"

/* Types of values in files: those of omen.h, and int32, which collections do not have. */
#define OM_IMPORT_I32 16u
#define OM_IMPORT_ALL UINT64_MAX
#define OM_IMPORT_LINE_MAX (8u << 20)   /* bytes of a JSON line */
#define OM_IMPORT_BATCH_MAX (64u << 20) /* bytes of the rows of one om_import_read */
#define OM_IMPORT_META_BATCH \
    (1u << 20) /* it ends behind the row with which the metadata reach it */

typedef struct om_import om_import;

typedef struct om_import_options {
    const char *format; /* NULL: told by the name, then by the first bytes */
    uint64_t offset;    /* rows to skip */
    uint64_t limit;     /* rows to read; 0: all */
    bool bare; /* JSON lines may be without vectors: as the first one is; then info.dim is 0 */
} om_import_options;

typedef struct om_import_info {
    const char *format;
    uint32_t dim, dtype;  /* OMEN_F32, ... or OM_IMPORT_I32 */
    uint64_t rows;        /* that will be read, or OMEN_NONE when only the end tells */
    bool has_ids;         /* JSON lines with an "id", dumps */
    bool has_shape;       /* a dump: */
    omen_options shape;   /* what its collection was created with */
    om_field_list fields; /* declared fields that a dump or JSON lines tell of; the import's own */
} om_import_info;

typedef struct om_import_rows {
    size_t count;
    uint64_t first;    /* position of row 0 in the file */
    const void *data;  /* count * dim values of info.dtype, dense; valid until the next read */
    const om_ids *ids; /* has_ids: count ids, else NULL */
    const om_json_column *metadata; /* count objects; NULL: no row has any */
} om_import_rows;

bool om_import_open(const char *path, const om_import_options *opt, om_import **out,
                    om_tool_error *err);
/* The same over bytes in memory; `name` stands for the file name when the format is detected. */
bool om_import_open_memory(const void *data, size_t size, const char *name,
                           const om_import_options *opt, om_import **out, om_tool_error *err);
void om_import_free(om_import *imp);
const om_import_info *om_import_about(const om_import *imp);
/* Reads up to max rows; rows->count 0: the end. */
bool om_import_read(om_import *imp, size_t max, om_import_rows *rows, om_tool_error *err);
/* Bytes of the file consumed, and all, 0 when unknown. */
void om_import_position(const om_import *imp, uint64_t *done, uint64_t *total);

/* A sensible number of rows a batch for rows of this size. */
size_t om_import_batch_rows(uint32_t dim, uint32_t dtype);
const char *om_import_dtype_name(uint32_t dtype);
size_t om_import_dtype_width(uint32_t dtype);
/* The type of a collection that holds such a file without loss. */
uint32_t om_import_natural_dtype(uint32_t dtype);
/* Converts n values when that loses nothing: integers to wider types or floats, floats that are
 * whole and in range to integers. `item` is set to the first value that does not fit. */
bool om_import_convert(const void *from, uint32_t from_dtype, void *to, uint32_t to_dtype, size_t n,
                       size_t *item, om_tool_error *err);
#endif
