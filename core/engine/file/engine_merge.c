/* engine_merge.c - neighbouring segments become one file; and omen_optimize.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_fields_file.h"

enum { BUDGET_SHARE = 2, BLOCK_COST = 4 };

/* ---- What to merge ----------------------------------------------------------------------------- */
/* Rows that a merge may have so that its arrays take no more than a part of what the budget has left. */
static uint64_t rows_in_budget(const omen_runtime *rt, const om_layout *layout, uint64_t fields)
{
    const om_budget *budget = &rt->budget;
    if (budget->limit == 0) {
        return layout->max_rows;
    }
    uint64_t used = atomic_load(&budget->used);
    uint64_t left = used < budget->limit ? (budget->limit - used) / BUDGET_SHARE : 0;
    uint64_t row = layout->code_stride + layout->link_stride + sizeof(uint32_t);
    uint64_t rows = om_min_u64(left / row, layout->max_rows);
    /* Metadata is made anew a block at a time: beyond one block more rows cost nothing more. */
    bool block_fits = fields * BLOCK_COST * OM_BLOCK_ROWS <= left;
    return block_fits ? rows : om_min_u64(rows, left / BLOCK_COST / fields);
}

/* Bytes of metadata and text a row, of those that have most of them. */
static uint64_t field_bytes(const om_set *set, uint32_t count)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        const om_mapped *mapped = set->part[i]->mapped;
        uint64_t bytes =
            mapped->section[OM_SECTION_METADATA].bytes + mapped->section[OM_SECTION_TEXT].bytes;
        bytes = mapped->rows != 0 ? (bytes + mapped->rows - 1) / mapped->rows : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Sealed segments stand before all others. */
static uint32_t count_sealed(const om_set *set)
{
    uint32_t count = 0;
    while (count < set->count && set->part[count]->mapped != NULL) {
        count++;
    }
    return count;
}

static omen_status_t choose(const om_collection *c, const om_set *set, bool all,
                            om_policy_pick *pick, omen_error *err)
{
    uint32_t count = count_sealed(set);
    *pick = (om_policy_pick){.count = 0};
    if (count == 0) {
        return OMEN_OK;
    }
    size_t bytes = count * sizeof(om_policy_segment);
    om_policy_segment *segments = om_alloc_get(&c->rt->alloc, bytes, OM_CACHE_LINE);
    if (segments == NULL) {
        return om_fail_memory(err, "segments to merge", bytes);
    }
    for (uint32_t i = 0; i < count; i++) {
        segments[i] = (om_policy_segment){.rows = atomic_load(&set->part[i]->visible),
                                          .live = atomic_load(&set->part[i]->live),
                                          .bytes = om_mapped_bytes(set->part[i]->mapped)};
        if (!all && atomic_load(&set->part[i]->damaged)) {
            segments[i] = (om_policy_segment){.rows = 1, .live = 1, .bytes = UINT64_MAX >> 1};
        }
    }
    om_policy_limits limits = {
        .bytes = OM_MERGE_MOST_BYTES,
        .rows = rows_in_budget(c->rt, &set->part[0]->layout, field_bytes(set, count))};
    *pick = all ? om_policy_all(segments, count) : om_policy_choose(segments, count, &limits);
    om_alloc_put(&c->rt->alloc, segments, bytes, OM_CACHE_LINE);
    return OMEN_OK;
}

/* ---- One merge --------------------------------------------------------------------------------- */
typedef struct inputs {
    om_merge_input *list; /* [count] */
    uint32_t count;
    uint64_t live;
} inputs;

static void drop_inputs(om_collection *c, inputs *in)
{
    for (uint32_t i = 0; in->list != NULL && i < in->count; i++) {
        if (in->list[i].segment != NULL) {
            om_input_drop(&in->list[i]);
        }
    }
    om_alloc_put(&c->rt->alloc, in->list, in->count * sizeof *in->list, OM_CACHE_LINE);
}

/* All inputs at one moment. */
static omen_status_t take_inputs(om_collection *c, om_segment *const *parts, inputs *in,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    in->list = om_alloc_zero(&c->rt->alloc, in->count, sizeof *in->list, OM_CACHE_LINE);
    if (in->list == NULL) {
        return om_fail_memory(err, "segments to merge", in->count * sizeof *in->list);
    }
    om_mutex_lock(&c->write_mu);
    for (uint32_t i = 0; i < in->count && status == OMEN_OK; i++) {
        status = om_input_take(parts[i], &in->list[i], err);
        in->live += in->list[i].live;
    }
    om_mutex_unlock(&c->write_mu);
    return status;
}

static omen_status_t write_and_open(om_collection *c, const inputs *in, const om_stop *stop,
                                    omen_op *op, om_new_file *file, om_segment **out,
                                    omen_error *err)
{
    omen_status_t status = om_new_file_begin(c, file, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = om_merge_write(c, in->list, in->count, file->path.text, stop, op, err);
    if (status == OMEN_OK) {
        status = om_new_file_open(c, file, stop, out, err);
    }
    if (status != OMEN_OK) {
        om_new_file_discard(c, file);
    }
    return status;
}

/* Somebody may have cut a file while it was read: a program that guards itself against the fault then goes
 * on with zeros (omend does), and what was written from them has good checksums. So it is looked at once
 * more before the output counts. In memory (OMEN_DB_RAM) it was read long ago; then this is only strict. */
static omen_status_t check_whole(om_collection *c, const inputs *in, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = c->db->disk;
    for (uint32_t i = 0; i < in->count; i++) {
        const om_segment *seg = in->list[i].segment;
        om_path path;
        om_io_stat there = {.bytes = 0};
        OM_TRY(om_path_segment(&path, disk->folder.text, c->serial, seg->id, err));
        int failed = disk->io->ops->stat(disk->io->ctx, path.text, &there);
        if (failed != 0 || there.bytes != om_mapped_bytes(seg->mapped)) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO,
                           "%s: has %llu bytes, had %llu when it was opened; nothing is merged",
                           path.text, (unsigned long long)there.bytes,
                           (unsigned long long)om_mapped_bytes(seg->mapped));
        }
    }
out:
    return status;
}

static omen_status_t merge(om_collection *c, om_segment *const *parts, uint32_t count,
                           const om_stop *stop, omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    inputs in = {.count = count};
    om_new_file file;
    om_swap swap = {.count = count, .packed = true};
    OM_TRY(take_inputs(c, parts, &in, err));
    swap.inputs = in.list;
    if (in.live != 0) {
        OM_TRY(write_and_open(c, &in, stop, op, &file, &swap.by, err));
    }
    status = check_whole(c, &in, err);
    if (status == OMEN_OK) {
        status = om_swap_in(c, &swap, err);
    }
    if (status != OMEN_OK && swap.by != NULL) {
        om_new_file_discard(c, &file);
    }
out:
    om_segment_unref(swap.by); /* the set has a reference of its own */
    drop_inputs(c, &in);
    return status;
}

/* A merge met rot: whoever has it is left out of merges from now on, so that the others can go on. What is
 * left of it is still served; omen_verify and the errors of searches tell where it is. */
static void find_damaged(om_segment *const *parts, uint32_t count, const om_stop *stop)
{
    for (uint32_t i = 0; i < count; i++) {
        omen_error err;
        if (om_mapped_check(parts[i], stop, &err) == OMEN_DATA_LOSS) {
            atomic_store(&parts[i]->damaged, true);
            om_log_write(&parts[i]->rt->log, OMEN_LOG_ERROR, "engine",
                         "a segment is left out of merges: %s", err.message);
        }
    }
}

omen_status_t om_merge_next(om_collection *c, bool all, const om_stop *stop, omen_op *op,
                            bool *done, omen_error *err)
{
    om_set *set = NULL;
    om_policy_pick pick;
    uint64_t rejections = om_rejections(c->rt);
    omen_status_t status = OMEN_OK;
    *done = false;
    OM_TRY(om_set_hold(c, &set, err));
    OM_TRY(choose(c, set, all, &pick, err));
    if (pick.count != 0) {
        om_file_mark mark;
        om_disk_begin_files(c->db->disk, &mark);
        status = merge(c, &set->part[pick.first], pick.count, stop, op, err);
        om_disk_end_files(c->db->disk, &mark);
        if (status == OMEN_DATA_LOSS && !all) {
            find_damaged(&set->part[pick.first], pick.count, stop);
        }
        OM_TRY(status);
        atomic_fetch_add(&c->db->disk->merges, 1);
        atomic_fetch_add(&c->db->disk->changes, 1);
        *done = true;
    }
out:
    om_set_free(c->rt, set);
    return om_explain_memory(c->rt, rejections, status, err);
}

/* ---- omen_optimize ----------------------------------------------------------------------------- */
static omen_status_t freeze(om_collection *c, omen_error *err)
{
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_collection_freeze(c, err);
    om_mutex_unlock(&c->write_mu);
    return status;
}

/* merge_mu held. */
static omen_status_t optimize_locked(om_collection *c, const om_stop *stop, omen_op *op,
                                     omen_error *err)
{
    omen_status_t status = OMEN_OK;
    bool done = true;
    om_mutex_lock(&c->save_mu);
    for (uint32_t left = om_seal_count(c); done && left != 0 && status == OMEN_OK;
         left--) { /* writers may freeze more */
        status = om_seal_next(c, stop, &done, err);
    }
    om_mutex_unlock(&c->save_mu);
    return status == OMEN_OK ? om_merge_next(c, true, stop, op, &done, err) : status;
}

static omen_status_t wait_indexed(om_collection *c, const om_stop *stop, omen_op *op,
                                  omen_error *err)
{
    om_set *set = NULL;
    omen_status_t status = om_set_hold(c, &set, err);
    for (uint32_t i = 0; status == OMEN_OK && i < set->count; i++) {
        om_segment *seg = set->part[i];
        if (seg->mapped == NULL) {
            status = om_index_until(seg, atomic_load(&seg->visible), stop, op, err);
        }
    }
    om_set_free(c->rt, set);
    return status;
}

omen_status_t om_collection_optimize(omen_collection *handle, omen_op *op, omen_error *err)
{
    om_collection *c = handle->c;
    om_stop stop = {.op = op};
    uint64_t rejections = om_rejections(c->rt);
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (c->db->disk == NULL) {
        status = c->read_only ? OMEN_OK : wait_indexed(c, &stop, op, err);
        return om_explain_memory(c->rt, rejections, status, err);
    }
    OM_TRY(om_collection_writable(handle, true, err));
    OM_TRY(freeze(c, err));
    om_mutex_lock(&c->merge_mu);
    status = optimize_locked(c, &stop, op, err);
    om_mutex_unlock(&c->merge_mu);
    if (status == OMEN_OK) {
        status = om_checkpoint_settle(c->db, err);
    }
out:
    return om_explain_memory(c->rt, rejections, status, err);
}
