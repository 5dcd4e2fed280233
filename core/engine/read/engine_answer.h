/* engine_answer.h - what omen_fetch and omen_facet hand out, and reading single values of rows.
 * Depends on: engine_filter.h.  Threads: any, epoch pinned where rows are read.  Locks: README.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_ANSWER_H
#define OM_ENGINE_ANSWER_H
#include "engine_filter.h"

/* ---- Rows that are handed out (engine_answer.c) ----------------------------------------------------- */
enum { OM_ANSWER_COLUMNS = 5 }; /* bits of OMEN_FIELD_* */
typedef struct om_answer_column {
    bool there;
    uint32_t width;    /* 0: offsets */
    uint64_t *offsets; /* [count + 1] */
    om_bytes bytes;
} om_answer_column;
struct omen_rows {
    om_handle handle;
    omen_runtime *rt;
    uint64_t count;
    om_answer_column column[OM_ANSWER_COLUMNS];
};
omen_status_t om_answer_make(omen_runtime *rt, uint64_t count, omen_rows **out,
                             omen_error *err) OM_NODISCARD;
/* The column of one OMEN_FIELD_*; width 0: with offsets, all 0; else with room for count * width bytes. */
omen_status_t om_answer_column_make(omen_rows *rows, uint32_t field, uint32_t width,
                                    om_answer_column **out, omen_error *err) OM_NODISCARD;

/* ---- Fields and their values (engine_cells.c) --------------------------------------------------------- */
/* The field of a name. INVALID_ARGUMENT / FIELD: there is none; `what` names the argument. */
omen_status_t om_field_find(const om_collection *c, const char *what, const char *name,
                            const om_field **out, omen_error *err) OM_NODISCARD;
const char *om_field_type_name(uint32_t type);
/* The value of a row; type 0: null. Valid until the epoch is unpinned. */
omen_status_t om_cell(const om_fields_look *look, uint32_t slot, uint16_t field, om_meta_value *out,
                      omen_error *err) OM_NODISCARD;

/* A call that reads: epoch pinned (engine_ids.c). With `lock` ids_mu is held too. */
typedef omen_status_t (*om_reading)(const om_reader *from, void *args, omen_error *err);
omen_status_t om_read_pinned(omen_collection *handle, bool lock, om_reading reader, void *args,
                             omen_error *err) OM_NODISCARD;
/* *steady: no rows were replaced while the reader ran; else it may have seen an item twice or not at all. It
 * is run twice at most. */
omen_status_t om_read_steady(omen_collection *handle, om_reading reader, void *args, bool *steady,
                             omen_error *err) OM_NODISCARD;
#endif
