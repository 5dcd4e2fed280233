/* engine_merge_rows.c - live rows of several segments as one stream, and the sections that are copied from
 * it: keys, norms, ids, vectors. Nothing is held but what a section needs sorted.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_file.h"
#include "engine_merge_int.h"

enum { RUN_BYTES = 4 << 20, RUN_LEAST = 16 };

/* ---- Runs -------------------------------------------------------------------------------------- */
uint32_t om_run_most(const om_merge *merge)
{
    uint64_t rows = RUN_BYTES / merge->layout.row_bytes;
    return rows < RUN_LEAST ? RUN_LEAST : (uint32_t)om_min_u64(rows, OM_RUN_ROWS);
}

/* Live rows of the word that holds `slot`, from `slot` on; none behind the last row. */
static uint64_t alive_from(const om_merge_input *input, uint32_t slot)
{
    uint32_t word = slot >> 6;
    uint64_t alive = ~input->dead[word] & (UINT64_MAX << (slot & 63));
    if (input->rows - word * 64 < 64) {
        alive &= (UINT64_C(1) << (input->rows - word * 64)) - 1;
    }
    return alive;
}

/* To the next source with rows left; false: there is none. */
static bool find_source(const om_merge *merge, om_run *run)
{
    while (run->at < merge->count && run->next >= merge->sources[run->at].input.rows) {
        run->at++;
        run->next = 0;
    }
    return run->at < merge->count;
}

bool om_run_next(const om_merge *merge, om_run *run, uint32_t most)
{
    run->first += run->n;
    run->n = 0;
    while (run->n == 0 && find_source(merge, run)) {
        const om_merge_source *source = &merge->sources[run->at];
        run->source = source;
        while (run->n < most && run->next < source->input.rows) {
            uint64_t alive = alive_from(&source->input, run->next);
            if (alive == 0) {
                run->next = (run->next | 63) + 1;
                continue;
            }
            uint32_t slot = (run->next & ~63u) + (uint32_t)__builtin_ctzll(alive);
            run->slots[run->n++] = slot;
            run->next = slot + 1;
        }
    }
    return run->n != 0;
}

bool om_run_seek(const om_merge *merge, om_run *run, uint64_t skip)
{
    run->first += run->n;
    run->n = 0;
    while (skip != 0 && find_source(merge, run)) {
        uint64_t alive = alive_from(&merge->sources[run->at].input, run->next);
        uint64_t count = (uint64_t)__builtin_popcountll(alive);
        if (count <= skip) {
            skip -= count;
            run->first += (uint32_t)count;
            run->next = (run->next | 63) + 1;
            continue;
        }
        run->next = (run->next & ~63u) + (uint32_t)__builtin_ctzll(alive) + 1;
        run->first++;
        skip--;
    }
    return om_run_next(merge, run, 1);
}

/* ---- Bytes of a run ---------------------------------------------------------------------------- */
static uint32_t span_of(const om_run *run)
{
    return run->slots[run->n - 1] - run->slots[0] + 1;
}

static const uint8_t *bytes_of(const om_merge *merge, const om_run *run, uint32_t what,
                               size_t *stride)
{
    switch (what) {
    case OM_TOUCH_VECTORS:
        *stride = merge->layout.row_bytes;
        return run->source->vectors;
    case OM_TOUCH_KEYS:
        *stride = sizeof(uint64_t);
        return (const uint8_t *)run->source->keys;
    default:
        *stride = sizeof(float);
        return (const uint8_t *)run->source->norms;
    }
}

omen_status_t om_run_touch(const om_merge *merge, const om_run *run, uint32_t what, omen_error *err)
{
    if (run->source->mapped == NULL) {
        return OMEN_OK;
    }
    size_t stride;
    const uint8_t *bytes = bytes_of(merge, run, what, &stride);
    om_pages_wanted(bytes + run->slots[0] * stride, span_of(run) * stride);
    return om_mapped_touch(run->source->mapped, what, run->slots[0], span_of(run), err);
}

void om_run_done(const om_merge *merge, const om_run *run, uint32_t what)
{
    if (run->source->mapped != NULL) {
        size_t stride;
        const uint8_t *bytes = bytes_of(merge, run, what, &stride);
        om_pages_done(bytes + run->slots[0] * stride, span_of(run) * stride);
    }
}

omen_status_t om_merge_stopped(const om_merge *merge, omen_error *err)
{
    omen_status_t status = om_stop_check(merge->job->stop);
    return status == OMEN_OK
               ? OMEN_OK
               : om_fail(err, status, OMEN_D_NONE, "merge stopped; nothing has changed");
}

/* ---- Sections of rows -------------------------------------------------------------------------- */
/* Rows that lie side by side go together. */
static omen_status_t append_run(om_merge *merge, const om_run *run, uint32_t what, omen_error *err)
{
    size_t stride;
    const uint8_t *bytes = bytes_of(merge, run, what, &stride);
    for (uint32_t i = 0; i < run->n;) {
        uint32_t begin = i++;
        while (i < run->n && run->slots[i] == run->slots[i - 1] + 1) {
            i++;
        }
        omen_status_t status = om_segwriter_append(
            merge->sink.writer, bytes + run->slots[begin] * stride, (i - begin) * stride, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t begin(om_merge *merge, uint32_t kind, uint64_t stride, uint64_t rows,
                           omen_error *err)
{
    return om_segwriter_begin(merge->sink.writer, kind, OM_VECTOR_INDEX_DEFAULT, stride, rows,
                              stride * rows, err);
}

static omen_status_t write_rows(om_merge *merge, uint32_t kind, uint32_t what, size_t stride,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_run run = {.n = 0};
    OM_TRY(begin(merge, kind, stride, merge->rows, err));
    while (om_run_next(merge, &run, om_run_most(merge))) {
        OM_TRY(om_merge_stopped(merge, err));
        OM_TRY(om_run_touch(merge, &run, what, err));
        OM_TRY(append_run(merge, &run, what, err));
        om_run_done(merge, &run, what);
        om_op_report(merge->job->op, OM_MERGE_FILE, run.first + run.n, merge->rows);
    }
    OM_TRY(om_segwriter_end(merge->sink.writer, err));
out:
    return status;
}

/* ---- Keys -------------------------------------------------------------------------------------- */
static omen_status_t write_key_map(om_merge *merge, omen_error *err)
{
    om_run run = {.n = 0};
    while (om_run_next(merge, &run, OM_RUN_ROWS)) { /* verified when they were copied */
        for (uint32_t i = 0; i < run.n; i++) {
            merge->pairs[run.first + i] =
                (om_pair){.value = run.source->keys[run.slots[i]], .slot = run.first + i};
        }
    }
    om_pairs_sort(merge->pairs, merge->rows);
    return om_sink_key_map(&merge->sink, merge->pairs, merge->rows, err);
}

/* Nobody is dead in the output. */
static omen_status_t write_dead(om_merge *merge, omen_error *err)
{
    static const uint64_t zeros[4096 / sizeof(uint64_t)];
    omen_status_t status = OMEN_OK;
    uint64_t words = ((uint64_t)merge->rows + 63) / 64;
    OM_TRY(begin(merge, OM_SECTION_DEAD, sizeof(uint64_t), words, err));
    for (uint64_t left = words * sizeof(uint64_t); left != 0;) {
        size_t part = (size_t)om_min_u64(left, sizeof zeros);
        OM_TRY(om_segwriter_append(merge->sink.writer, zeros, part, err));
        left -= part;
    }
    OM_TRY(om_segwriter_end(merge->sink.writer, err));
out:
    return status;
}

/* ---- Ids --------------------------------------------------------------------------------------- */
static omen_status_t id_of(const om_run *run, uint32_t i, om_id *out, omen_error *err)
{
    const om_merge_input *input = &run->source->input;
    uint32_t slot = run->slots[i];
    if (input->id_offsets != NULL) {
        *out = (om_id){.bytes = input->id_bytes + input->id_offsets[slot],
                       .length = (size_t)(input->id_offsets[slot + 1] - input->id_offsets[slot])};
        return OMEN_OK;
    }
    return om_mapped_id_of_slot(run->source->mapped, slot, out, err);
}

/* Hashes of all ids, and their bytes together. */
static omen_status_t hash_ids(om_merge *merge, uint64_t *bytes, omen_error *err)
{
    om_run run = {.n = 0};
    *bytes = 0;
    while (om_run_next(merge, &run, OM_RUN_ROWS)) {
        for (uint32_t i = 0; i < run.n; i++) {
            om_id id;
            omen_status_t status = id_of(&run, i, &id, err);
            if (status != OMEN_OK) {
                return status;
            }
            *bytes += id.length;
            merge->pairs[run.first + i] = (om_pair){.value = om_id_hash(id), .slot = run.first + i};
        }
    }
    return OMEN_OK;
}

static omen_status_t write_id_bytes(om_merge *merge, uint64_t bytes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_run run = {.n = 0};
    om_id id;
    OM_TRY(om_segwriter_begin(merge->sink.writer, OM_SECTION_ID_BYTES, OM_VECTOR_INDEX_DEFAULT, 0,
                              0, bytes, err));
    while (om_run_next(merge, &run, OM_RUN_ROWS)) {
        OM_TRY(om_merge_stopped(merge, err));
        for (uint32_t i = 0; i < run.n; i++) {
            OM_TRY(id_of(&run, i, &id, err));
            OM_TRY(om_segwriter_append(merge->sink.writer, id.bytes, id.length, err));
        }
    }
    OM_TRY(om_segwriter_end(merge->sink.writer, err));
out:
    return status;
}

static omen_status_t write_id_offsets(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_run run = {.n = 0};
    uint64_t offset = 0;
    uint64_t ends[OM_RUN_ROWS / 8];
    om_id id;
    OM_TRY(begin(merge, OM_SECTION_ID_OFFSETS, sizeof offset, (uint64_t)merge->rows + 1, err));
    OM_TRY(om_segwriter_append(merge->sink.writer, &offset, sizeof offset, err));
    while (om_run_next(merge, &run, OM_RUN_ROWS / 8)) {
        for (uint32_t i = 0; i < run.n; i++) {
            OM_TRY(id_of(&run, i, &id, err));
            offset += id.length;
            ends[i] = offset;
        }
        OM_TRY(om_segwriter_append(merge->sink.writer, ends, run.n * sizeof ends[0], err));
    }
    OM_TRY(om_segwriter_end(merge->sink.writer, err));
out:
    return status;
}

static omen_status_t write_ids(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t bytes = 0;
    OM_TRY(hash_ids(merge, &bytes, err));
    om_pairs_sort(merge->pairs, merge->rows);
    OM_TRY(write_id_bytes(merge, bytes, err));
    OM_TRY(write_id_offsets(merge, err));
    om_section map = {.data = (const uint8_t *)merge->pairs,
                      .bytes = merge->rows * sizeof *merge->pairs,
                      .stride = sizeof *merge->pairs,
                      .rows = merge->rows};
    OM_TRY(om_sink_section(&merge->sink, &map, OM_SECTION_ID_MAP, err));
out:
    return status;
}

omen_status_t om_merge_rows(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    size_t bytes = merge->rows * sizeof *merge->pairs;
    OM_TRY(write_rows(merge, OM_SECTION_KEYS, OM_TOUCH_KEYS, sizeof(uint64_t), err));
    merge->pairs = om_alloc_get(&merge->rt->alloc, bytes, OM_CACHE_LINE);
    if (merge->pairs == NULL) {
        return om_fail_memory(err, "key map", bytes);
    }
    OM_TRY(write_key_map(merge, err));
    OM_TRY(write_dead(merge, err));
    if (merge->options->metric == OMEN_COSINE) {
        OM_TRY(write_rows(merge, OM_SECTION_NORMS, OM_TOUCH_NORMS, sizeof(float), err));
    }
    if (merge->options->id_type != OMEN_ID_U64) {
        OM_TRY(write_ids(merge, err));
    }
    const om_fields_job fields = {
        .inputs = merge->job->inputs, .count = merge->count, .packed = true};
    OM_TRY(om_sink_fields(&merge->sink, merge->job->c, &fields, err));
    OM_TRY(write_rows(merge, OM_SECTION_VECTORS, OM_TOUCH_VECTORS, merge->layout.row_bytes, err));
out:
    return status;
}
