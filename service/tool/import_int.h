/* import_int.h - what the readers of the formats share. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IMPORT_INT_H
#define OM_IMPORT_INT_H
#include "import.h"

struct om_import {
    om_source *src;
    om_import_info info;
    uint64_t next_row; /* position in the file of the next row */
    uint64_t declared; /* rows the header tells, or OMEN_NONE */
    uint64_t left;     /* rows still to hand out */
    uint8_t *buf;      /* rows of the batch */
    size_t buf_bytes;
    om_ids ids;
    om_json_column metadata;
    bool bare;        /* JSON lines may be without vectors */
    uint64_t line;    /* JSON lines: of the last line read */
    uint8_t *pending; /* JSON lines: the first vector, read to learn the dimension */
    bool has_pending;
    bool big_endian;             /* idx: values wider than a byte */
    struct om_import_dump *dump; /* a dump: what import_dump.c keeps */
    /* Reads up to n rows into buf (which has room), and their ids into ids. */
    bool (*read)(om_import *imp, size_t n, size_t *got, om_tool_error *err);
};

/* Each reads the header and sets info.dim, info.dtype, declared and read. */
bool om_import_vecs_start(om_import *imp, om_tool_error *err);
bool om_import_npy_start(om_import *imp, om_tool_error *err);
bool om_import_idx_start(om_import *imp, om_tool_error *err);
bool om_import_dump_start(om_import *imp, om_tool_error *err);
void om_import_dump_free(om_import *imp);
bool om_import_jsonl_start(om_import *imp, om_tool_error *err);
/* Rows of fixed size after a header that told their number: npy and idx. */
bool om_import_dense_read(om_import *imp, size_t n, size_t *got, om_tool_error *err);
/* Sets info.dim and declared from a header; refuses what no collection could hold. */
bool om_import_set_shape(om_import *imp, uint64_t rows, uint64_t dim, om_tool_error *err);
size_t om_import_row_bytes(const om_import *imp);
/* A batch ends here: its metadata are large enough. */
bool om_import_enough(const om_import *imp);
#endif
