/* engine_save.c - a segment in memory as one file, while it is being written to; and omen_save.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Deaths and ids are copied at one moment, with the writer stopped: they are what the file holds.
 * Then the graph is brought to the rows of that moment and not beyond (index_limit), its links
 * are written with the indexer stopped, and the rest, which never changes, from a view that is
 * kept. A collection of several segments is merged into one file instead. */
#include <string.h>

#include "engine_fields_file.h"

/* ---- One segment in memory --------------------------------------------------------------------- */
typedef struct save {
    const om_file_job *job;
    const om_merge_input *input;
    om_segment *seg;
    om_sink sink;
    om_ctx *ctx;
    const om_view *view; /* kept by ctx */
    om_pair *pairs;      /* [live] */
} save;

static void release(save *s)
{
    om_sink_abort(&s->sink);
    om_alloc_put(&s->seg->rt->alloc, s->pairs, s->input->live * sizeof *s->pairs, OM_CACHE_LINE);
    if (s->ctx != NULL) {
        om_ctx_unpin(s->ctx);
        om_ctx_release(s->ctx);
    }
}

static omen_status_t rows_section(save *s, uint32_t kind, size_t stride, const void *data,
                                  omen_error *err)
{
    om_section section = {.data = data,
                          .bytes = (uint64_t)stride * s->input->rows,
                          .stride = stride,
                          .rows = s->input->rows};
    return om_sink_section(&s->sink, &section, kind, err);
}

/* What changes in place: with the indexer stopped. */
static omen_status_t write_graph_locked(save *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segment *seg = s->seg;
    const om_alloc *alloc = &seg->rt->alloc;
    s->view = om_view_load(seg);
    om_assert(om_graph_count(seg->graph) == s->input->rows);
    OM_TRY(om_sink_codec(&s->sink, alloc, seg->codec, err));
    OM_TRY(om_sink_entry(&s->sink, alloc, seg->graph, err));
    OM_TRY(rows_section(s, OM_SECTION_LINKS, seg->layout.link_stride,
                        seg->store->array[OM_A_LINKS].base, err));
out:
    return status;
}

static omen_status_t write_graph(save *s, omen_error *err)
{
    omen_status_t status = om_ctx_acquire(s->seg->rt, &s->ctx, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(s->seg->rt, s->ctx);
    om_mutex_lock(&s->seg->index_mu);
    status = write_graph_locked(s, err);
    om_mutex_unlock(&s->seg->index_mu);
    return status;
}

static omen_status_t write_key_map(save *s, omen_error *err)
{
    size_t n = 0;
    for (uint32_t slot = 0; slot < s->input->rows; slot++) {
        if (!om_input_is_dead(s->input, slot)) {
            s->pairs[n++] = (om_pair){.value = s->view->keys[slot], .slot = slot};
        }
    }
    om_pairs_sort(s->pairs, n);
    return om_sink_key_map(&s->sink, s->pairs, n, err);
}

static omen_status_t write_id_map(save *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_merge_input *input = s->input;
    const uint64_t *offsets = input->id_offsets;
    size_t n = 0;
    for (uint32_t slot = 0; slot < input->rows; slot++) {
        if (!om_input_is_dead(input, slot)) {
            om_id id = {.bytes = input->id_bytes + offsets[slot],
                        .length = (size_t)(offsets[slot + 1] - offsets[slot])};
            s->pairs[n++] = (om_pair){.value = om_id_hash(id), .slot = slot};
        }
    }
    om_pairs_sort(s->pairs, n);
    om_section bytes = {.data = input->id_bytes, .bytes = offsets[input->rows]};
    OM_TRY(om_sink_section(&s->sink, &bytes, OM_SECTION_ID_BYTES, err));
    om_section begins = {.data = (const uint8_t *)offsets,
                         .bytes = ((uint64_t)input->rows + 1) * sizeof *offsets,
                         .stride = sizeof *offsets,
                         .rows = (uint64_t)input->rows + 1};
    OM_TRY(om_sink_section(&s->sink, &begins, OM_SECTION_ID_OFFSETS, err));
    om_section map = {.data = (const uint8_t *)s->pairs,
                      .bytes = n * sizeof *s->pairs,
                      .stride = sizeof *s->pairs,
                      .rows = n};
    OM_TRY(om_sink_section(&s->sink, &map, OM_SECTION_ID_MAP, err));
out:
    return status;
}

static omen_status_t write_dead(save *s, omen_error *err)
{
    uint64_t words = ((uint64_t)s->input->rows + 63) / 64;
    om_section section = {.data = (const uint8_t *)s->input->dead,
                          .bytes = words * sizeof(uint64_t),
                          .stride = sizeof(uint64_t),
                          .rows = words};
    return om_sink_section(&s->sink, &section, OM_SECTION_DEAD, err);
}

static omen_status_t write_rows(save *s, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_segment *seg = s->seg;
    size_t bytes = s->input->live * sizeof *s->pairs;
    s->pairs = om_alloc_get(&seg->rt->alloc, bytes, OM_CACHE_LINE);
    if (s->pairs == NULL) {
        return om_fail_memory(err, "key map", bytes);
    }
    OM_TRY(rows_section(s, OM_SECTION_CODES, seg->layout.code_stride, s->view->codes, err));
    OM_TRY(rows_section(s, OM_SECTION_KEYS, sizeof(uint64_t), s->view->keys, err));
    OM_TRY(write_key_map(s, err));
    OM_TRY(write_dead(s, err));
    if (seg->options.metric == OMEN_COSINE) {
        OM_TRY(rows_section(s, OM_SECTION_NORMS, sizeof(float), s->view->norms, err));
    }
    if (seg->options.id_type != OMEN_ID_U64) {
        OM_TRY(write_id_map(s, err));
    }
    const om_fields_job fields = {.inputs = s->input, .count = 1};
    OM_TRY(om_sink_fields(&s->sink, s->job->c, &fields, err));
    OM_TRY(rows_section(s, OM_SECTION_VECTORS, seg->layout.row_bytes, s->view->vectors, err));
out:
    return status;
}

omen_status_t om_file_copy(const om_file_job *job, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_merge_input *input = job->inputs;
    save s = {.job = job, .input = input, .seg = input->segment};
    if (input->rows != 0) {
        OM_TRY(om_index_until(s.seg, input->rows, job->stop, job->op, err));
    }
    OM_TRY(om_sink_open(job->c, job->path, job->stop, &s.sink, err));
    OM_TRY(om_sink_meta(&s.sink, &s.seg->options, job->next_key, input->live, err));
    OM_TRY(om_sink_schema(&s.sink, job->c, err));
    if (input->rows != 0) {
        OM_TRY(write_graph(&s, err));
        OM_TRY(write_rows(&s, err));
    }
    OM_TRY(om_sink_commit(&s.sink, input->rows, job->version, err));
out:
    release(&s);
    return status;
}

/* ---- omen_save --------------------------------------------------------------------------------- */
typedef struct call {
    om_file_job job;
    const om_set *set;
    const om_snapshot *snapshot; /* NULL: the present */
    bool stale;                  /* segments or rows moved after the set was looked at */
} call;

/* An item whose newest row is in a segment that the set does not have would be missed, and rows die no more
 * in segments that were exchanged (by a refresh of a reader, which does not ask for save_mu): the set must
 * still be the one there is at the moment that is saved. write_mu held. */
static omen_status_t still_current(call *k, omen_error *err)
{
    const om_set *now = om_set_load(k->job.c);
    k->stale = now->count != k->set->count;
    for (uint32_t i = 0; !k->stale && i < now->count; i++) {
        k->stale = now->part[i] != k->set->part[i];
    }
    if (k->stale) {
        return om_fail(err, OMEN_ABORTED, OMEN_D_NONE, "segments changed while the save began");
    }
    k->job.version = atomic_load(&k->job.c->version);
    k->job.next_key = k->job.c->next_key;
    return OMEN_OK;
}

/* The only segment with rows; the last one when none has any; NULL when several have. */
static om_segment *only_segment(const om_set *set)
{
    om_segment *only = NULL;
    for (uint32_t i = 0; i < set->count; i++) {
        if (atomic_load(&set->part[i]->visible) != 0) {
            if (only != NULL) {
                return NULL;
            }
            only = set->part[i];
        }
    }
    return only != NULL ? only : om_set_last(set);
}

/* Nor may rows have come to a segment that had none when it was left out. write_mu held. */
static omen_status_t still_alone(call *k, const om_segment *seg, omen_error *err)
{
    omen_status_t status = still_current(k, err);
    if (status == OMEN_OK && only_segment(k->set) != seg) {
        k->stale = true;
        status = om_fail(err, OMEN_ABORTED, OMEN_D_NONE, "rows came while the save began");
    }
    return status;
}

/* The graph stays at the rows of the input until the limit is lifted. */
static omen_status_t hold_growing(call *k, om_segment *seg, om_merge_input *input, omen_error *err)
{
    om_collection *c = seg->c;
    om_mutex_lock(&seg->index_mu);
    om_mutex_lock(&c->write_mu);
    omen_status_t status = still_alone(k, seg, err);
    if (status == OMEN_OK) {
        status = om_input_take(seg, input, err);
    }
    if (status == OMEN_OK && input->rows != 0) {
        seg->index_limit = input->rows;
    }
    om_mutex_unlock(&c->write_mu);
    om_mutex_unlock(&seg->index_mu);
    return status;
}

static void thaw(om_segment *seg)
{
    om_mutex_lock(&seg->index_mu);
    seg->index_limit = UINT32_MAX;
    om_mutex_unlock(&seg->index_mu);
    om_indexer_notify(seg);
}

static omen_status_t save_growing(call *k, om_segment *seg, omen_error *err)
{
    om_merge_input input = {.segment = seg};
    omen_status_t status = hold_growing(k, seg, &input, err);
    if (status == OMEN_OK) {
        k->job.inputs = &input;
        k->job.count = 1;
        status = om_file_copy(&k->job, err);
    }
    thaw(seg);
    om_input_drop(&input);
    return status;
}

/* A mapped segment is copied section by section, each block checked on the way. */
static omen_status_t save_mapped(om_segment *seg, const om_file_job *job, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mapped *mapped = seg->mapped;
    om_sink sink;
    OM_TRY(om_sink_open(job->c, job->path, job->stop, &sink, err));
    for (uint32_t kind = 1; kind < OM_SECTION_MAX; kind++) {
        om_section from = mapped->section[kind];
        if (kind == OM_SECTION_SCHEMA) { /* fields may have come since */
            status = om_sink_schema(&sink, job->c, err);
        } else if (from.data != NULL) {
            status = om_mapped_verify(mapped, kind, job->stop, err);
        }
        if (status == OMEN_OK && from.data != NULL && kind != OM_SECTION_SCHEMA) {
            from.rows = from.stride != 0 ? from.rows : 0;
            status = om_sink_section(&sink, &from, kind, err);
        }
        if (status != OMEN_OK) {
            om_sink_abort(&sink);
            return status;
        }
    }
    status = om_sink_commit(&sink, mapped->rows, om_segfile_version(mapped->file), err);
out:
    return status;
}

static omen_status_t take_snapshot(const om_snapshot *snapshot, uint32_t part,
                                   om_merge_input *input, omen_error *err)
{
    *input = (om_merge_input){.segment = snapshot->set->part[part],
                              .dead = snapshot->dead[part],
                              .rows = snapshot->rows[part],
                              .live = snapshot->rows[part]};
    for (uint32_t word = 0; word < (input->rows + 63) / 64; word++) {
        input->live -= (uint32_t)__builtin_popcountll(input->dead[word]);
    }
    return om_input_take_ids(input, err);
}

/* All segments at one moment: the present one, or that of a snapshot. write_mu held. */
static omen_status_t take_all(call *k, om_merge_input *inputs, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (k->snapshot == NULL) {
        status = still_current(k, err);
    } else {
        k->job.version = k->snapshot->version;
        k->job.next_key = k->job.c->next_key;
    }
    for (uint32_t i = 0; i < k->set->count && status == OMEN_OK; i++) {
        status = k->snapshot == NULL ? om_input_take(k->set->part[i], &inputs[i], err)
                                     : take_snapshot(k->snapshot, i, &inputs[i], err);
    }
    return status;
}

static void drop_all(const call *k, om_merge_input *inputs)
{
    for (uint32_t i = 0; i < k->set->count && inputs[i].segment != NULL; i++) {
        if (k->snapshot != NULL) {
            om_input_drop_ids(&inputs[i]);
        } else {
            om_input_drop(&inputs[i]);
        }
    }
}

static omen_status_t save_merged(call *k, omen_error *err)
{
    const om_alloc *alloc = &k->job.c->rt->alloc;
    size_t bytes = k->set->count * sizeof(om_merge_input);
    om_merge_input *inputs = om_alloc_zero(alloc, 1, bytes, OM_CACHE_LINE);
    if (inputs == NULL) {
        return om_fail_memory(err, "segments", bytes);
    }
    om_mutex_lock(&k->job.c->write_mu);
    omen_status_t status = take_all(k, inputs, err);
    om_mutex_unlock(&k->job.c->write_mu);
    if (status == OMEN_OK) {
        k->job.inputs = inputs;
        k->job.count = k->set->count;
        status = om_file_merge(&k->job, err);
    }
    drop_all(k, inputs);
    om_alloc_put(alloc, inputs, bytes, OM_CACHE_LINE);
    return status;
}

/* Whether rows of a mapped segment died since its file was written: then the file is not its copy. */
static bool has_new_deaths(const om_segment *seg)
{
    /* In this order: as long as none died a checkpoint leaves the other number alone. */
    return atomic_load(&seg->deaths) != 0 || seg->deaths_saved != 0;
}

static omen_status_t save_set(call *k, omen_error *err)
{
    om_segment *only = only_segment(k->set);
    if (only == NULL || (only->mapped != NULL && has_new_deaths(only))) {
        return save_merged(k, err);
    }
    return only->mapped != NULL ? save_mapped(only, &k->job, err) : save_growing(k, only, err);
}

static omen_status_t save_present(call *k, omen_error *err)
{
    om_collection *c = k->job.c;
    omen_status_t status = OMEN_OK;
    do {
        om_set *set = NULL;
        k->stale = false;
        status = om_set_hold(c, &set, err);
        if (status != OMEN_OK) {
            return status;
        }
        k->set = set;
        status = save_set(k, err);
        om_set_free(c->rt, set);
    } while (status != OMEN_OK && k->stale);
    return status;
}

omen_status_t om_collection_save(omen_collection *handle, const char *path, omen_op *op,
                                 omen_error *err)
{
    om_collection *c = handle->c;
    om_stop stop = {.op = op};
    call k = {.job = {.c = c, .path = path, .stop = &stop, .op = op}, .snapshot = handle->snapshot};
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t rejections = om_rejections(c->rt);
    om_mutex_lock(&c->save_mu);
    if (k.snapshot != NULL) {
        k.set = k.snapshot->set;
        status = save_merged(&k, err);
    } else {
        status = save_present(&k, err);
    }
    om_mutex_unlock(&c->save_mu);
    return om_explain_memory(c->rt, rejections, status, err);
}
