/* engine_count.c - counting what passes a filter, and the keys of it for deleting.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_answer.h"
#include "engine_moment.h"

typedef struct counting {
    const omen_collection *handle;
    om_filter *filter;
    const om_stop *stop;
    uint64_t count;
} counting;

static omen_status_t count_part(const om_part *part, const counting *count, uint32_t *out,
                                omen_error *err)
{
    const om_pass *pass = NULL;
    om_pass_need need = {.segment = part->segment,
                         .rows = part->rows,
                         .past = part->snapshot != NULL,
                         .stop = count->stop};
    omen_status_t status = om_filter_pass(count->filter, &need, &pass, err);
    return status != OMEN_OK ? status : om_part_matches(part, pass, out, err);
}

static omen_status_t count_all(const om_reader *from, void *args, omen_error *err)
{
    counting *count = args;
    count->count = 0;
    for (uint32_t i = 0; i < from->set->count; i++) {
        om_part part = om_part_of(from, i);
        uint32_t matches = 0;
        if (part.rows == 0 || part.view == NULL) {
            continue;
        }
        omen_status_t status = count_part(&part, count, &matches, err);
        if (status != OMEN_OK) {
            return status;
        }
        count->count += matches;
    }
    return OMEN_OK;
}

/* While rows are replaced all the time: as of one moment. */
static omen_status_t count_moment(const om_reader *from, void *args, omen_error *err)
{
    counting *count = args;
    om_moment moment = {.alloc = &from->c->rt->alloc};
    omen_status_t status = om_moment_take(count->handle, count->filter, count->stop, &moment, err);
    count->count = moment.matches;
    om_moment_free(&moment);
    return status;
}

omen_status_t om_collection_count_where(omen_collection *handle, const omen_filter *filter,
                                        uint64_t *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    om_stop stop = {.op = NULL};
    counting count = {.handle = handle, .stop = &stop};
    bool steady = false;
    if (filter == NULL) {
        return om_collection_count(handle, out, err);
    }
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(om_filter_of(c, filter, &count.filter, err));
    OM_TRY(om_read_steady(handle, count_all, &count, &steady, err));
    if (!steady) {
        OM_TRY(om_read_pinned(handle, false, count_moment, &count, err));
    }
    *out = count.count;
out:
    return om_explain_memory(c->rt, rejections, status, err);
}

/* ---- What is to be deleted ------------------------------------------------------------------------ */
static omen_status_t put_keys(const om_part *part, const om_pass *pass, uint64_t *keys,
                              uint64_t room, uint64_t *n, omen_error *err)
{
    om_rows_of of;
    omen_status_t status = om_rows_begin(part, pass, 0, part->rows, &of, err);
    for (uint32_t word = 0; status == OMEN_OK && word <= (part->rows - 1) >> 6; word++) {
        for (uint64_t bits = om_rows_word(&of, word); bits != 0 && *n < room; bits &= bits - 1) {
            uint32_t slot = (word << 6) + (uint32_t)__builtin_ctzll(bits);
            if (part->view->mapped != NULL) {
                status = om_mapped_touch(part->view->mapped, OM_TOUCH_KEYS, slot, 1, err);
                if (status != OMEN_OK) {
                    return status;
                }
            }
            keys[(*n)++] = part->view->keys[slot];
        }
    }
    return status;
}

static omen_status_t list_keys(const om_reader *from, const counting *count, uint64_t *keys,
                               omen_error *err)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < from->set->count; i++) {
        om_part part = om_part_of(from, i);
        const om_pass *pass = NULL;
        om_pass_need need = {.segment = part.segment, .rows = part.rows, .stop = count->stop};
        if (part.rows == 0 || part.view == NULL) {
            continue;
        }
        omen_status_t status = om_filter_pass(count->filter, &need, &pass, err);
        if (status == OMEN_OK) {
            status = put_keys(&part, pass, keys, count->count, &n, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return n == count->count ? OMEN_OK
                             : om_fail(err, OMEN_INTERNAL, OMEN_D_NONE,
                                       "delete: %llu rows pass, %llu were counted",
                                       (unsigned long long)n, (unsigned long long)count->count);
}

static omen_status_t find_keys(const om_reader *from, counting *count, uint64_t **keys,
                               omen_error *err)
{
    omen_status_t status = count_all(from, count, err);
    if (status != OMEN_OK || count->count == 0) {
        return status;
    }
    size_t bytes = (size_t)count->count * sizeof(uint64_t);
    *keys = om_alloc_get(&from->c->rt->alloc, bytes, OM_CACHE_LINE);
    if (*keys == NULL) {
        return om_fail_memory(err, "keys to delete", bytes);
    }
    status = list_keys(from, count, *keys, err);
    if (status != OMEN_OK) {
        om_alloc_put(&from->c->rt->alloc, *keys, bytes, OM_CACHE_LINE);
        *keys = NULL;
    }
    return status;
}

/* write_mu held: neither rows nor tombstones change meanwhile. */
omen_status_t om_filter_keys(void *filter, om_collection *c, const om_stop *stop, uint64_t **keys,
                             uint64_t *count, omen_error *err)
{
    om_ctx *ctx = NULL;
    counting found = {.filter = filter, .stop = stop};
    *keys = NULL;
    *count = 0;
    omen_status_t status = om_ctx_acquire(c->rt, &ctx, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(c->rt, ctx);
    om_reader from = {.c = c, .set = om_set_load(c)};
    status = find_keys(&from, &found, keys, err);
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    *count = status == OMEN_OK ? found.count : 0;
    return status;
}

omen_status_t om_collection_delete_where(omen_collection *handle, const omen_filter *filter,
                                         const omen_batch *origin, omen_write_result *result,
                                         omen_op *op, omen_error *err)
{
    om_filter *found = NULL;
    omen_status_t status = om_collection_alive(handle->c, err);
    om_stop stop = {.op = op};
    counting before = {.stop = &stop};
    if (status == OMEN_OK) {
        status = om_collection_writable(handle, true, err);
    }
    if (status == OMEN_OK) {
        status = om_filter_of(handle->c, filter, &found, err);
    }
    if (status == OMEN_OK) {
        /* Once while writers go on: files are read and answers kept, so that they wait for the new rows
         * only. */
        before.filter = found;
        status = om_read_pinned(handle, false, count_all, &before, err);
    }
    if (status != OMEN_OK) {
        return status;
    }
    return om_collection_delete_found(handle, om_filter_keys, found, origin, result, op, err);
}
