/* engine_seal.c - the oldest frozen segment becomes a file.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Segments are sealed in the order in which they were frozen: what is behind a sealed one is in the log, and
 * `contained` of the collection says up to where it is not needed any more. Whatever fails leaves the
 * segment frozen, to be tried again. */
#include "engine_files.h"

/* The first segment of the set that is in memory and takes no more rows. */
static om_segment *oldest_frozen(const om_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->part[i]->mapped == NULL) {
            return atomic_load(&set->part[i]->frozen) ? set->part[i] : NULL;
        }
    }
    return NULL;
}

static omen_status_t take(om_segment *seg, om_merge_input *input, om_file_job *job, omen_error *err)
{
    om_collection *c = job->c;
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_input_take(seg, input, err);
    job->next_key = c->next_key;
    om_mutex_unlock(&c->write_mu);
    return status;
}

/* The file, opened. Rows that are mostly alive are written as they are, with the graph that they have. */
static omen_status_t write_and_open(om_file_job *job, const om_merge_input *input, bool packed,
                                    om_new_file *file, om_segment **out, omen_error *err)
{
    omen_status_t status = om_new_file_begin(job->c, file, err);
    if (status != OMEN_OK) {
        return status;
    }
    job->inputs = input;
    job->count = 1;
    job->path = file->path.text;
    status = packed ? om_file_merge(job, err) : om_file_copy(job, err);
    if (status == OMEN_OK) {
        status = om_new_file_open(job->c, file, job->stop, out, err);
    }
    if (status != OMEN_OK) {
        om_new_file_discard(job->c, file);
    }
    return status;
}

static omen_status_t seal(om_collection *c, om_segment *seg, const om_stop *stop, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_merge_input input = {.segment = seg};
    om_file_job job = {.c = c, .version = atomic_load(&seg->last_version), .stop = stop};
    om_new_file file;
    om_swap swap = {.inputs = &input, .count = 1, .sealed = true};
    OM_TRY(take(seg, &input, &job, err));
    swap.packed = om_policy_wasteful(input.rows, input.live);
    if (input.live != 0) {
        OM_TRY(write_and_open(&job, &input, swap.packed, &file, &swap.by, err));
    }
    status = om_swap_in(c, &swap, err);
    if (status != OMEN_OK && swap.by != NULL) {
        om_new_file_discard(c, &file);
    }
out:
    om_segment_unref(swap.by); /* the set has a reference of its own */
    om_input_drop(&input);
    return status;
}

uint32_t om_seal_count(om_collection *c)
{
    uint32_t count = 0;
    om_mutex_lock(&c->write_mu);
    const om_set *set = om_set_load(c);
    for (uint32_t i = 0; i < set->count; i++) {
        count += set->part[i]->mapped == NULL && atomic_load(&set->part[i]->frozen);
    }
    om_mutex_unlock(&c->write_mu);
    return count;
}

omen_status_t om_seal_next(om_collection *c, const om_stop *stop, bool *done, omen_error *err)
{
    om_set *set = NULL;
    uint64_t rejections = om_rejections(c->rt);
    *done = false;
    omen_status_t status = om_set_hold(c, &set, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_segment *seg = oldest_frozen(set);
    if (seg != NULL) {
        om_file_mark mark;
        om_disk_begin_files(c->db->disk, &mark);
        status = seal(c, seg, stop, err);
        om_disk_end_files(c->db->disk, &mark);
        *done = status == OMEN_OK;
    }
    om_set_free(c->rt, set);
    if (*done) {
        atomic_fetch_add(&c->db->disk->seals, 1);
        atomic_fetch_add(&c->db->disk->changes, 1);
    }
    return om_explain_memory(c->rt, rejections, status, err);
}
