/* engine_merge_write.c - several segments as one file: sections in their order, memory given back as soon
 * as it is written.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_fields_file.h"
#include "engine_merge_int.h"

/* ---- Inputs ------------------------------------------------------------------------------------ */
/* Where the rows of an input lie. A mapped segment's view and a frozen one's arrays never change; those of a
 * growing one are kept by the context that is pinned before. */
static omen_status_t find_rows(om_merge_source *source, omen_error *err)
{
    om_segment *seg = source->input.segment;
    if (source->input.rows == 0) {
        return OMEN_OK;
    }
    const om_view *view = om_view_load(seg);
    source->mapped = seg->mapped;
    source->vectors = view->vectors;
    source->keys = view->keys;
    source->norms = view->norms;
    if (seg->mapped == NULL) {
        return OMEN_OK;
    }
    if (seg->options.id_type != OMEN_ID_U64 && source->input.live != 0 &&
        seg->mapped->section[OM_SECTION_ID_OFFSETS].data == NULL) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "segment file: live rows without ids");
    }
    return OMEN_OK;
}

static omen_status_t add_source(om_merge *merge, uint32_t i, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_merge_source *source = &merge->sources[i];
    source->input = merge->job->inputs[i];
    OM_TRY(find_rows(source, err));
    if (source->input.id_offsets == NULL) {
        OM_TRY(om_input_take_ids(&source->input, err));
        source->own_ids = source->input.id_offsets != NULL;
    }
    if (source->input.live > merge->layout.max_rows - merge->rows) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "merge: more than the %u rows that a segment may have",
                       merge->layout.max_rows);
    }
    merge->rows += source->input.live;
out:
    return status;
}

static omen_status_t open_inputs(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_file_job *job = merge->job;
    merge->sources =
        om_alloc_zero(&merge->rt->alloc, job->count, sizeof *merge->sources, OM_CACHE_LINE);
    if (merge->sources == NULL) {
        return om_fail_memory(err, "segments", job->count * sizeof *merge->sources);
    }
    OM_TRY(om_ctx_acquire(merge->rt, &merge->ctx, err));
    om_ctx_pin(merge->rt, merge->ctx);
    bool growing = false;
    for (; merge->count < job->count; merge->count++) {
        const om_segment *seg = job->inputs[merge->count].segment;
        growing = growing || (seg->mapped == NULL && !atomic_load(&seg->frozen));
        OM_TRY(add_source(merge, merge->count, err));
    }
    if (!growing) {
        /* A merge takes long: nobody's memory waits for it when it does not have to. */
        om_ctx_unpin(merge->ctx);
        om_ctx_release(merge->ctx);
        merge->ctx = NULL;
    }
out:
    return status;
}

static void release(om_merge *merge)
{
    const om_alloc *alloc = &merge->rt->alloc;
    om_sink_abort(&merge->sink);
    om_alloc_put(alloc, merge->pairs, merge->rows * sizeof *merge->pairs, OM_CACHE_LINE);
    om_graph_free(merge->graph);
    om_codec_free(merge->codec);
    om_vm_release(&merge->codes);
    om_vm_release(&merge->links);
    om_vm_release(&merge->incoming);
    for (uint32_t i = 0; merge->sources != NULL && i < merge->job->count; i++) {
        if (merge->sources[i].own_ids) {
            om_input_drop_ids(&merge->sources[i].input);
        }
    }
    om_alloc_put(alloc, merge->sources, merge->job->count * sizeof *merge->sources, OM_CACHE_LINE);
    if (merge->ctx != NULL) {
        om_ctx_unpin(merge->ctx);
        om_ctx_release(merge->ctx);
    }
}

/* ---- The output -------------------------------------------------------------------------------- */
static omen_status_t write_array(om_merge *merge, uint32_t kind, om_vm *vm, size_t stride,
                                 omen_error *err)
{
    om_section section = {.data = vm->base,
                          .bytes = (uint64_t)stride * merge->rows,
                          .stride = stride,
                          .rows = merge->rows};
    omen_status_t status = om_sink_section(&merge->sink, &section, kind, err);
    om_vm_release(vm);
    return status;
}

static omen_status_t write_graph(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &merge->rt->alloc;
    om_vm_release(&merge->incoming);
    OM_TRY(om_sink_codec(&merge->sink, alloc, merge->codec, err));
    OM_TRY(om_sink_entry(&merge->sink, alloc, merge->graph, err));
    om_graph_free(merge->graph);
    merge->graph = NULL;
    OM_TRY(write_array(merge, OM_SECTION_LINKS, &merge->links, merge->layout.link_stride, err));
    OM_TRY(write_array(merge, OM_SECTION_CODES, &merge->codes, merge->layout.code_stride, err));
out:
    return status;
}

static omen_status_t write_file(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_file_job *job = merge->job;
    if (merge->rows != 0) {
        OM_TRY(om_merge_graph(merge, err));
    }
    OM_TRY(om_sink_open(job->c, job->path, job->stop, &merge->sink, err));
    OM_TRY(om_sink_meta(&merge->sink, merge->options, job->next_key, merge->rows, err));
    OM_TRY(om_sink_schema(&merge->sink, job->c, err));
    if (merge->rows != 0) {
        OM_TRY(write_graph(merge, err));
        OM_TRY(om_merge_rows(merge, err));
    }
    OM_TRY(om_sink_commit(&merge->sink, merge->rows, job->version, err));
out:
    return status;
}

omen_status_t om_file_merge(const om_file_job *job, omen_error *err)
{
    om_merge merge = {.job = job,
                      .rt = job->c->rt,
                      .options = &job->c->options,
                      .layout = job->inputs[0].segment->layout};
    omen_status_t status = open_inputs(&merge, err);
    if (status == OMEN_OK) {
        status = write_file(&merge, err);
    }
    release(&merge);
    return status;
}

omen_status_t om_merge_write(om_collection *c, const om_merge_input *inputs, uint32_t count,
                             const char *path, const om_stop *stop, omen_op *op, omen_error *err)
{
    om_file_job job = {
        .c = c, .inputs = inputs, .count = count, .path = path, .stop = stop, .op = op};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t last = atomic_load(&inputs[i].segment->last_version);
        job.version = last > job.version ? last : job.version;
    }
    om_mutex_lock(&c->write_mu);
    job.next_key = c->next_key;
    om_mutex_unlock(&c->write_mu);
    return om_file_merge(&job, err);
}
