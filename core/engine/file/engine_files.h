/* engine_files.h - what seals, merges and saves share: segments at one moment, sections of a segment file,
 * files that take the place of segments, the choice of what to merge.
 * Depends on: engine_disk.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_FILES_H
#define OM_ENGINE_FILES_H
#include "engine_disk.h"

/* ---- Segments at one moment (engine_files.c) --------------------------------------------------- */
/* Copies the tombstones of all visible rows, and the ids of live ones where they are in memory. write_mu
 * held, so that several segments are seen at the same moment. Harmless to drop after a failure. */
omen_status_t om_input_take(om_segment *seg, om_merge_input *out, omen_error *err) OM_NODISCARD;
/* Ids alone, for an input whose tombstones are somebody else's copy. OMEN_ABORTED: a row was deleted since
 * they were copied and its id is gone; trying again with newer tombstones helps. */
omen_status_t om_input_take_ids(om_merge_input *input, omen_error *err) OM_NODISCARD;
void om_input_drop_ids(om_merge_input *input);
void om_input_drop(om_merge_input *input);
static inline bool om_input_is_dead(const om_merge_input *input, uint32_t slot)
{
    return ((input->dead[slot >> 6] >> (slot & 63)) & 1) != 0;
}

/* ---- Sections (engine_files.c) ----------------------------------------------------------------- */
typedef struct om_sink { /* a segment file being written */
    om_segwriter *writer;
    const om_stop *stop;
} om_sink;
omen_status_t om_sink_open(om_collection *c, const char *path, const om_stop *stop, om_sink *out,
                           omen_error *err) OM_NODISCARD;
omen_status_t om_sink_section(om_sink *sink, const om_section *section, uint32_t kind,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_sink_meta(om_sink *sink, const omen_options *options, uint64_t next_key,
                           uint64_t live, omen_error *err) OM_NODISCARD;
omen_status_t om_sink_codec(om_sink *sink, const om_alloc *alloc, const om_codec *codec,
                            omen_error *err) OM_NODISCARD;
omen_status_t om_sink_entry(om_sink *sink, const om_alloc *alloc, const om_graph *graph,
                            omen_error *err) OM_NODISCARD;
/* KEYMAP out of sorted pairs. */
omen_status_t om_sink_key_map(om_sink *sink, const om_pair *pairs, uint64_t count,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_sink_commit(om_sink *sink, uint32_t rows, uint64_t version,
                             omen_error *err) OM_NODISCARD;
void om_sink_abort(om_sink *sink);

/* ---- Writing (engine_save.c, engine_merge_write.c) --------------------------------------------- */
typedef struct om_file_job {
    om_collection *c;
    const om_merge_input *inputs; /* oldest first */
    uint32_t count;
    const char *path;
    uint64_t version, next_key; /* for the header and META */
    const om_stop *stop;
    omen_op *op;
} om_file_job;
/* The one input, a segment in memory, as it is, dead rows included; its graph is brought to these rows. */
omen_status_t om_file_copy(const om_file_job *job, omen_error *err) OM_NODISCARD;
/* Live rows of all inputs, with a codec and a graph of their own. */
omen_status_t om_file_merge(const om_file_job *job, omen_error *err) OM_NODISCARD;

/* ---- Files that take the place of segments (engine_files.c) ------------------------------------ */
typedef struct om_new_file {
    uint64_t id;
    om_path path;
} om_new_file;
/* A fresh id and its path; the folder of the collection is made when it is missing. */
omen_status_t om_new_file_begin(om_collection *c, om_new_file *out, omen_error *err) OM_NODISCARD;
/* After a failure: whatever is there under the name is removed; what cannot be, a later sweep finds. */
void om_new_file_discard(om_collection *c, const om_new_file *file);
/* Opens the file and reads codes and links back against their checksums, so that searches need not. */
omen_status_t om_new_file_open(om_collection *c, const om_new_file *file, const om_stop *stop,
                               om_segment **out, omen_error *err) OM_NODISCARD;
/* Puts `by` (NULL: nothing) into the place of the inputs' segments and marks dead in it what died since
 * they were taken. packed: dead rows were left out of `by`. sealed: these were the oldest frozen rows. */
typedef struct om_swap {
    const om_merge_input *inputs;
    uint32_t count;
    om_segment *by;
    bool packed, sealed;
} om_swap;
omen_status_t om_swap_in(om_collection *c, const om_swap *swap, omen_error *err) OM_NODISCARD;

/* ---- What to merge (engine_policy.c) ----------------------------------------------------------- */
#define OM_MERGE_MOST_BYTES (UINT64_C(16) << 30)
enum { OM_MERGE_LEAST = 4, OM_MERGE_GROWTH = 2, OM_DEAD_IN = 5 };
typedef struct om_policy_segment {
    uint64_t rows, live, bytes; /* bytes: of the file */
} om_policy_segment;
typedef struct om_policy_limits {
    uint64_t bytes, rows; /* most of one merge's output */
} om_policy_limits;
typedef struct om_policy_pick {
    uint32_t first, count; /* count 0: nothing */
} om_policy_pick;
/* More than one in OM_DEAD_IN dead: the segment is worth being written again. */
static inline bool om_policy_wasteful(uint64_t rows, uint64_t live)
{
    return (rows - live) * OM_DEAD_IN > rows;
}
om_policy_pick om_policy_choose(const om_policy_segment *segments, uint32_t count,
                                const om_policy_limits *limits);
/* Of all segments one without dead rows. */
om_policy_pick om_policy_all(const om_policy_segment *segments, uint32_t count);
#endif
