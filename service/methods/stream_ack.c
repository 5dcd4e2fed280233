/* stream_ack.c - what an Ack says: received, visible, durable, and the window that goes with it. Durable
 * means synced: at the levels INTERVAL and NONE that comes later than visible, so batches wait in a short
 * list until the engine's durable version has passed theirs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "stream_int.h"

enum {
    RECHECK_MS = 20
}; /* while batches wait for the timer of the log, or for the stream to rest */

/* ---- Durable --------------------------------------------------------------------------------------- */

static uint32_t level_of(const om_stream_call *s)
{
    uint32_t own = s->coll->options.durability;
    return s->durability > own ? s->durability : own;
}

void om_stream_applied(om_stream_call *s, uint64_t seq, uint64_t version, size_t bytes)
{
    if (seq <= s->durable_seq) {
        return;
    }
    if (s->mark_count < STREAM_MARKS) {
        s->mark_count++;
    } /* else the newest takes its batch in: told later than it could be, never earlier */
    s->marks[(s->mark_first + s->mark_count - 1) % STREAM_MARKS] = (stream_mark){seq, version};
    s->unsynced_bytes += bytes;
}

/* Forgets what the engine has synced. The mutex is held. */
static void settle(om_stream_call *s, uint64_t durable_version)
{
    while (s->mark_count > 0 && s->marks[s->mark_first].version <= durable_version) {
        s->durable_seq = s->marks[s->mark_first].seq;
        s->mark_first = (s->mark_first + 1) % STREAM_MARKS;
        s->mark_count--;
    }
    if (s->mark_count == 0) {
        s->unsynced_bytes = 0;
    }
}

omen_status_t om_stream_sync(om_stream_call *s, bool all, omen_error *err)
{
    pthread_mutex_lock(&s->mutex);
    /* A client that has its window full waits for an Ack before it goes on. */
    uint64_t half = s->shared->opt.stream_window_bytes / 16 * s->window_share;
    bool due = s->mark_count > 0 &&
               (all || (level_of(s) == OMEN_DURABILITY_NONE && s->unsynced_bytes >= half));
    uint64_t version =
        due ? s->marks[(s->mark_first + s->mark_count - 1) % STREAM_MARKS].version : 0;
    pthread_mutex_unlock(&s->mutex);
    if (!due) {
        return OMEN_OK;
    }
    omen_status_t status = omen_wait(s->coll->handle, version, OMEN_WAIT_DURABLE, 0, s->op, err);
    if (status == OMEN_OK) {
        pthread_mutex_lock(&s->mutex);
        settle(s, version);
        pthread_mutex_unlock(&s->mutex);
    }
    return status;
}

/* The timer of the log is not ours to hear: look again a little later. The mutex is held; true: the caller
 * submits ack_job. */
static bool recheck_wanted(om_stream_call *s)
{
    bool wanted = s->mark_count > 0 && !s->rechecking && !s->stopped;
    s->rechecking = s->rechecking || wanted;
    return wanted;
}

void om_stream_recheck(om_job *job, bool expired)
{
    om_stream_call *s = (om_stream_call *)((char *)job - offsetof(om_stream_call, ack_job));
    om_rpc *rpc = s->rpc;
    omen_write_progress p = {.struct_size = sizeof p};
    (void)expired;
    pthread_mutex_lock(&s->mutex);
    uint64_t before = s->durable_seq;
    bool rests = s->looked_seq == s->done_seq;
    s->looked_seq = s->done_seq;
    pthread_mutex_unlock(&s->mutex);
    /* Nobody syncs the level NONE, nor again what was synced when the server was another process: a client
     * that waits for its last batches would wait for ever. What fails here fails again, and is told, with
     * the next batch. */
    if (rests && level_of(s) != OMEN_DURABILITY_INTERVAL &&
        om_stream_sync(s, true, NULL) != OMEN_OK) {
        om_slog_write(s->shared->opt.log, OMEN_LOG_WARN, "stream", "the log could not be synced",
                      NULL, 0);
    }
    bool known = omen_get_progress(s->coll->handle, &p, NULL) == OMEN_OK;
    pthread_mutex_lock(&s->mutex);
    settle(s, known ? p.durable_version : 0);
    s->ack_due = s->ack_due || s->durable_seq != before;
    bool over = !known || s->stopped || s->mark_count == 0 || om_rpc_is_cancelled(rpc);
    s->rechecking = !over;
    pthread_mutex_unlock(&s->mutex);
    om_rpc_post(rpc);
    if (over) {
        om_rpc_release(rpc);
    } else {
        om_pool_submit_later(s->shared->ingest, job, (uint64_t)RECHECK_MS * 1000000u);
    }
}

/* ---- The window ------------------------------------------------------------------------------------ */

/* Parts out of eight that a client may have under way, by how full the tail of the index is and how much
 * of the memory limit is used: a stream slows down before it is made to stop. */
static uint32_t share_of(uint64_t used, uint64_t limit)
{
    if (limit == 0 || used < limit / 2) {
        return 8;
    }
    uint64_t left = used < limit ? limit - used : 0;
    return left > limit / 4 ? 4 : left > limit / 8 ? 2 : 1;
}

/* The first half of the memory limit is there to be used, so only what is left of the rest counts. */
static uint32_t memory_share(const om_stream_call *s)
{
    omen_runtime_stats r = {.struct_size = sizeof r};
    if (s->shared->opt.runtime == NULL ||
        omen_get_runtime_stats(s->shared->opt.runtime, &r, NULL) != OMEN_OK ||
        r.memory_limit == 0) {
        return 8;
    }
    uint64_t most = r.memory_limit / 16;
    uint64_t left = r.memory_used < r.memory_limit ? r.memory_limit - r.memory_used : 0;
    return left > 2 * most ? 8 : left > most ? 4 : left > most / 2 ? 2 : 1;
}

/* Sets the share that the next Window tells; the mutex is held. */
static void choose_window(om_stream_call *s, const omen_write_progress *p, uint32_t memory)
{
    uint32_t backlog = share_of(p->backlog_rows, p->backlog_limit_rows);
    uint32_t share = backlog < memory ? backlog : memory;
    if (s->throttled) {
        share = 1;
    } else {
        s->why = share == 8 ? "" : memory < backlog ? "memory" : "index_backlog";
    }
    s->window_due = s->window_due || share != s->window_share;
    s->window_share = share;
}

void om_stream_write_window(om_stream_call *s)
{
    pthread_mutex_lock(&s->mutex);
    bool throttled = s->throttled;
    uint32_t share = throttled ? 1 : s->window_share;
    const char *why = s->why;
    s->window_due = false;
    pthread_mutex_unlock(&s->mutex);
    uint64_t full = s->shared->opt.stream_window_bytes;
    uint64_t window = share == 8 ? full : full / 8 * share + 1;
    uint32_t retry_ms = throttled ? STREAM_RETRY_MS : 0;
    size_t text = strlen(why);
    size_t size =
        om_wsize_uint(window) + om_wsize_uint(retry_ms) + (text > 0 ? om_wsize_len(text) : 0);
    om_rpc_out out;
    om_rpc_out_init(&out, om_wsize_len(size));
    om_wbuf w = om_wbuf_of(out.data, out.size);
    om_w_len(&w, 4, size);
    om_w_uint(&w, 1, window);
    om_w_uint(&w, 2, retry_ms);
    om_w_string(&w, 3, why);
    om_rpc_write(s->rpc, &out);
}

/* ---- The Ack --------------------------------------------------------------------------------------- */

bool om_stream_write_ack(om_stream_call *s)
{
    omen_stats stats = {.struct_size = sizeof stats};
    omen_write_progress p = {.struct_size = sizeof p};
    /* Dropped meanwhile: then the rest of the Ack is still true. */
    bool known = omen_get_progress(s->coll->handle, &p, NULL) == OMEN_OK &&
                 omen_get_stats(s->coll->handle, &stats, NULL) == OMEN_OK;
    uint32_t memory = memory_share(s);
    pthread_mutex_lock(&s->mutex);
    if (s->notes !=
        NULL) { /* a batch was refused meanwhile: its error goes before the Ack that covers it */
        pthread_mutex_unlock(&s->mutex);
        return false;
    }
    if (known) {
        settle(s, p.durable_version);
        choose_window(s, &p, memory);
    }
    uint64_t received = s->received_seq;
    uint64_t visible = s->done_seq;
    uint64_t durable = s->durable_seq;
    uint64_t version = s->version;
    uint64_t accepted = s->accepted;
    s->ack_due = false;
    bool recheck = recheck_wanted(s);
    pthread_mutex_unlock(&s->mutex);
    if (recheck) {
        om_rpc_hold(s->rpc);
        om_pool_submit_later(s->shared->ingest, &s->ack_job, (uint64_t)RECHECK_MS * 1000000u);
    }
    om_rpc_out out;
    size_t size = om_wsize_fixed64(received) + om_wsize_fixed64(durable) +
                  om_wsize_fixed64(visible) + om_wsize_fixed64(version) + om_wsize_uint(accepted) +
                  om_wsize_uint(stats.indexed_rows);
    om_rpc_out_init(&out, om_wsize_len(size));
    om_wbuf w = om_wbuf_of(out.data, out.size);
    om_w_len(&w, 2, size);
    om_w_fixed64(&w, 1, received);
    om_w_fixed64(&w, 2, durable);
    om_w_fixed64(&w, 3, visible);
    om_w_fixed64(&w, 4, version);
    om_w_uint(&w, 5, accepted);
    om_w_uint(&w, 6, stats.indexed_rows);
    om_rpc_write(s->rpc, &out);
    return true;
}
