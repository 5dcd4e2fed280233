/* engine_merger.c - merges in the background, in a thread of their own: a large one takes minutes, and rows
 * are sealed and the log is trimmed meanwhile.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_disk.h"

static omen_status_t merge_collection(om_worker *worker, om_collection *c, bool *done,
                                      omen_error *err)
{
    om_stop stop = {.op = &worker->cancel};
    bool merged = false;
    om_mutex_lock(&c->merge_mu);
    omen_status_t status =
        atomic_load(&c->dropped) ? OMEN_OK : om_merge_next(c, false, &stop, NULL, &merged, err);
    om_mutex_unlock(&c->merge_mu);
    *done = *done || merged;
    return status;
}

/* One merge of each collection that wants one. The first failure is returned when all had their turn. */
static omen_status_t merge_all(om_worker *worker, const om_roll *roll, omen_error *err)
{
    omen_status_t first = OMEN_OK;
    bool merged = false;
    for (size_t i = 0; i < roll->count && !om_worker_stopping(worker); i++) {
        omen_error local = {0};
        om_first_failure(merge_collection(worker, roll->list[i], &merged, &local), &local, &first,
                         err);
    }
    if (merged && !om_worker_stopping(worker)) {
        omen_error local = {0};
        om_first_failure(om_checkpoint_settle(worker->db, &local), &local, &first, err);
        /* The outcome may be merged in turn, rows were frozen meanwhile. */
        om_keeper_notify(worker->db);
    }
    return first;
}

omen_status_t om_merger_round(om_worker *worker, omen_error *err)
{
    om_roll roll = {.list = NULL};
    uint32_t state = atomic_load(&worker->db->disk->state);
    if (state != OMEN_DB_WRITABLE && state != OMEN_DB_DISK_FULL) {
        return OMEN_OK;
    }
    omen_status_t status = om_roll_take(worker->db, &roll, err);
    if (status == OMEN_OK) {
        status = merge_all(worker, &roll, err);
    }
    om_roll_drop(worker->db, &roll);
    return status;
}
