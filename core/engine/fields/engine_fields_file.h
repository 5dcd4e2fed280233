/* engine_fields_file.h - metadata, text and versions in segment files.
 * Depends on: engine_fields_int.h, engine_files.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_FIELDS_FILE_H
#define OM_ENGINE_FIELDS_FILE_H
#include "engine_fields_int.h"
#include "engine_files.h"

/* Blocks of a file of so many rows. */
static inline uint32_t om_fields_blocks(uint32_t rows)
{
    return rows / OM_FULL_ROWS + (rows % OM_FULL_ROWS != 0);
}

/* SCHEMA, when there are fields; METADATA and TEXT, when a row has them; BIRTHS, when there are rows. */
omen_status_t om_sink_schema(om_sink *sink, om_collection *c, omen_error *err) OM_NODISCARD;
typedef struct om_fields_job {
    const om_merge_input *inputs; /* [count] oldest first */
    uint32_t count;
    bool packed; /* dead rows are left out */
} om_fields_job;
omen_status_t om_sink_fields(om_sink *sink, om_collection *c, const om_fields_job *job,
                             omen_error *err) OM_NODISCARD;

/* engine_fields_open.c: sections of a mapped segment, checked for their shapes; its blocks are opened when
 * they are used. Nobody reads the segment yet. */
omen_status_t om_fields_map(om_segment *seg, om_mapped *mapped, omen_error *err) OM_NODISCARD;
/* Everything that opening leaves for later. */
omen_status_t om_fields_check(om_segment *seg, const om_stop *stop, omen_error *err) OM_NODISCARD;
#endif
