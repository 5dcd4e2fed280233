/* engine_merge_int.h - one merge: its inputs as streams of live rows, and what is made of them.
 * Depends on: engine_files.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_MERGE_INT_H
#define OM_ENGINE_MERGE_INT_H
#include "engine_files.h"

enum { OM_MERGE_CODES = 0, OM_MERGE_GRAPH = 1, OM_MERGE_FILE = 2 }; /* stages, for omen_op */

/* An input, and where its rows lie. */
typedef struct om_merge_source {
    om_merge_input input; /* ids are its own when own_ids is set */
    bool own_ids;
    om_mapped *mapped; /* NULL: in memory */
    const uint8_t *vectors;
    const uint64_t *keys;
    const float *norms;
} om_merge_source;

typedef struct om_merge {
    const om_file_job *job;
    omen_runtime *rt;
    const omen_options *options;
    om_layout layout;
    om_merge_source *sources; /* [count] */
    uint32_t count;
    uint32_t rows; /* of the output */
    om_ctx *ctx;   /* keeps arrays of a growing input */
    om_codec *codec;
    om_graph *graph;
    om_vm codes, links, incoming; /* of the output; released as soon as they are written */
    om_sink sink;
    om_pair *pairs; /* [rows] */
} om_merge;

/* Live rows of one source that follow each other, ascending: the output's rows [first, first + n). Zeroed, it
 * stands before the first one. */
enum { OM_RUN_ROWS = 4096 };
typedef struct om_run {
    const om_merge_source *source;
    uint32_t first, n;
    uint32_t at, next; /* source and slot to go on with */
    uint32_t slots[OM_RUN_ROWS];
} om_run;
/* The next run of at most `most` rows; false behind the last one. */
bool om_run_next(const om_merge *merge, om_run *run, uint32_t most);
/* Moves over `skip` live rows; the run then holds the one behind them. False: there is none. */
bool om_run_seek(const om_merge *merge, om_run *run, uint64_t skip);
/* Rows whose vectors are a few megabytes. */
uint32_t om_run_most(const om_merge *merge);

/* The rows' bytes in a section may be read (blocks verified, pages wanted); and are not needed any more. */
omen_status_t om_run_touch(const om_merge *merge, const om_run *run, uint32_t what,
                           omen_error *err) OM_NODISCARD;
void om_run_done(const om_merge *merge, const om_run *run, uint32_t what);
static inline const void *om_run_vector(const om_merge *merge, const om_run *run, uint32_t i)
{
    return run->source->vectors + (size_t)run->slots[i] * merge->layout.row_bytes;
}
omen_status_t om_merge_stopped(const om_merge *merge, omen_error *err) OM_NODISCARD;

/* engine_merge_rows.c: sections that are streamed from the inputs. */
omen_status_t om_merge_rows(om_merge *merge, omen_error *err) OM_NODISCARD;
/* engine_merge_graph.c: codec, codes and graph. */
omen_status_t om_merge_graph(om_merge *merge, omen_error *err) OM_NODISCARD;
#endif
