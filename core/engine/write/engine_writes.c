/* engine_writes.c - what adding and deleting share: streams, request ids, versions, results, and the bound
 * of what is not in the graph yet.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_disk.h"

enum {
    MAX_FROZEN = 4,   /* complete segments that wait to be written, before writers wait too */
    MOST_FAILURES = 8 /* of writing them, in about thirteen seconds, before writers are told */
};

uint64_t om_write_key(const om_write *w, uint64_t i)
{
    return w->batch->keys != NULL ? w->batch->keys[i] : om_id_u64(om_column_get(&w->batch->ids, i));
}

/* The version of a write: given by the log, or the next one of a database in memory. */
void om_write_number(om_write *w)
{
    if (w->done.version == 0) {
        w->done.version = atomic_fetch_add(&w->c->db->version, 1) + 1;
    } else {
        om_db_raise_version(w->c->db, w->done.version);
    }
}

static om_request_key request_of(const om_write *w)
{
    return (om_request_key){
        .id = w->batch->request_id, .length = w->batch->request_id_len, .serial = w->c->serial};
}

static omen_status_t check_sequence(om_write *w, om_stream *stream, omen_error *err)
{
    const omen_batch *b = w->batch;
    if (b->stream_epoch != 0 && b->stream_epoch != stream->epoch) {
        return om_fail(err, OMEN_ABORTED, OMEN_D_SEQUENCE,
                       "stream_epoch: %llu was fenced by a newer open, %llu",
                       (unsigned long long)b->stream_epoch, (unsigned long long)stream->epoch);
    }
    if (b->seq == stream->last_seq && b->crc != 0 && stream->last_crc != 0 &&
        b->crc != stream->last_crc) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_SEQUENCE,
                       "seq: %llu was written with other bytes: crc 0x%08x, now 0x%08x",
                       (unsigned long long)b->seq, stream->last_crc, b->crc);
    }
    if (b->seq <= stream->last_seq) {
        w->replayed = true;
        w->done = (om_written){.version = stream->last_version};
        return OMEN_OK;
    }
    if (b->seq != stream->last_seq + 1) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_SEQUENCE,
                       "seq: %llu, the next one of the stream is %llu", (unsigned long long)b->seq,
                       (unsigned long long)stream->last_seq + 1);
    }
    return OMEN_OK;
}

omen_status_t om_write_seen(om_write *w, om_stream **stream, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const omen_batch *b = w->batch;
    if (b->stream_id != NULL) {
        om_stream_id id = {.bytes = b->stream_id, .length = b->stream_id_len};
        OM_TRY(om_streams_get(&w->c->rt->alloc, &w->c->streams, id, stream, err));
        OM_TRY(check_sequence(w, *stream, err));
    }
    if (b->request_id != NULL && !w->replayed) {
        om_request_key key = request_of(w);
        if (om_requests_find(w->c->db->requests, &key, &w->done)) {
            uint64_t version = w->done.version;
            w->replayed = true;
            if (*stream != NULL && w->c->db->disk != NULL) {
                OM_TRY(om_record_consumed(w->c, b, &version, err));
            }
            if (*stream != NULL) {
                (*stream)->last_seq = b->seq;
                (*stream)->last_crc = b->crc;
                (*stream)->last_version = version;
            }
        }
    }
out:
    return status;
}

omen_status_t om_write_recover_stream(om_write *w, om_stream **stream, omen_error *err)
{
    om_stream_id id = {.bytes = w->batch->stream_id, .length = w->batch->stream_id_len};
    if (id.bytes == NULL) {
        return OMEN_OK;
    }
    return om_streams_get(&w->c->rt->alloc, &w->c->streams, id, stream, err);
}

void om_write_remember(om_write *w, om_stream *stream)
{
    if (stream != NULL) {
        stream->last_seq = w->batch->seq;
        stream->last_crc = w->batch->crc;
        stream->last_version = w->done.version;
    }
    if (w->batch->request_id != NULL) {
        om_request_key key = request_of(w);
        om_requests_put(w->c->db->requests, &key, &w->done);
    }
}

static void consume_locked(om_write *w)
{
    const omen_batch *b = w->batch;
    om_stream *stream = NULL;
    om_stream_id id = {.bytes = b->stream_id, .length = b->stream_id_len};
    if (om_streams_get(&w->c->rt->alloc, &w->c->streams, id, &stream, NULL) == OMEN_OK &&
        b->seq == stream->last_seq + 1 &&
        (b->stream_epoch == 0 || b->stream_epoch == stream->epoch)) {
        uint64_t version = atomic_load(&w->c->version);
        if (w->c->db->disk != NULL && om_record_consumed(w->c, b, &version, NULL) != OMEN_OK) {
            return; /* Not used up then: the client sends it again. */
        }
        stream->last_seq = b->seq;
        stream->last_crc = b->crc;
        stream->last_version = version;
    }
}

static void consume(om_write *w, omen_status_t status)
{
    const omen_batch *b = w->batch;
    bool final = status == OMEN_INVALID_ARGUMENT || status == OMEN_ALREADY_EXISTS ||
                 status == OMEN_NOT_FOUND || status == OMEN_OUT_OF_RANGE;
    if (!final || b->stream_id == NULL || b->stream_id_len == 0 ||
        b->stream_id_len > OMEN_MAX_STREAM_ID || b->seq == 0) {
        return;
    }
    om_mutex_lock(&w->c->write_mu);
    consume_locked(w);
    om_mutex_unlock(&w->c->write_mu);
}

static void give_result(const om_write *w, omen_write_result *result)
{
    if (w->status != NULL && w->batch->item_status != NULL) {
        memcpy(w->batch->item_status, w->status, (size_t)w->batch->count * sizeof *w->status);
    } else if (w->batch->item_status != NULL) {
        memset(w->batch->item_status, 0, (size_t)w->batch->count * sizeof *w->batch->item_status);
    }
    if (result == NULL) {
        return;
    }
    result->replayed = w->replayed;
    result->version = w->done.version;
    result->applied = w->done.applied;
    result->replaced = w->done.replaced;
    result->refused = w->done.refused;
    result->backlog_rows = w->backlog;
}

omen_status_t om_write_end(om_write *w, omen_status_t status, const omen_error *local,
                           omen_write_result *result, omen_error *err)
{
    if (status == OMEN_OK) {
        give_result(w, result);
    } else {
        consume(w, status);
        if (err != NULL) {
            *err = *local;
        }
    }
    om_write_release(w);
    return status;
}

/* ---- The bound of the tail ------------------------------------------------------------------- */
static uint32_t backlog_of(om_segment *seg)
{
    uint32_t indexed = atomic_load(&seg->indexed);
    uint32_t visible = atomic_load(&seg->visible);
    return visible - om_min_u32(indexed, visible);
}

uint64_t om_backlog(om_collection *c)
{
    const om_set *set = om_set_load(c);
    uint64_t rows = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        rows += backlog_of(set->part[i]);
    }
    return rows;
}

/* Frozen, and wholly in its graph: nothing but the writing is left. Those that are not count by their rows,
 * in the backlog. */
static bool waits_for_keeper(om_segment *seg)
{
    return seg->mapped == NULL && atomic_load(&seg->frozen) && backlog_of(seg) == 0;
}

/* After a batch: what the next ones look at first. write_mu held. */
void om_write_note_tail(om_collection *c)
{
    const om_set *set = om_set_load(c);
    uint32_t frozen = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        frozen += waits_for_keeper(set->part[i]);
    }
    atomic_store_explicit(&c->waiting, frozen, memory_order_relaxed);
    atomic_store_explicit(&c->tail, om_backlog(c), memory_order_relaxed);
}

/* The oldest segment that is not wholly in the graph, with a reference; how many rows wait in all, and
 * whether a whole micro-batch of it does. */
static om_segment *oldest_waiting(om_collection *c, uint64_t *backlog, uint32_t *frozen,
                                  bool *whole)
{
    om_segment *oldest = NULL;
    om_mutex_lock(&c->write_mu);
    const om_set *set = om_set_load(c);
    *backlog = om_backlog(c);
    *frozen = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        om_segment *seg = set->part[i];
        *frozen += waits_for_keeper(seg);
        if (oldest == NULL && backlog_of(seg) != 0) {
            oldest = seg;
        }
    }
    if (oldest != NULL) {
        om_segment_ref(oldest);
        *whole = om_index_has_batch(atomic_load(&oldest->indexed), atomic_load(&oldest->visible));
    }
    om_mutex_unlock(&c->write_mu);
    return oldest;
}

static omen_status_t refuse_backlog(om_write *w, om_segment *seg, uint64_t backlog, omen_error *err)
{
    om_indexer_notify(seg);
    return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BACKLOG,
                   "backlog: %llu rows are not in the graph yet, the limit is %u",
                   (unsigned long long)backlog, w->c->backlog_limit);
}

/* Frozen segments are written by the keeper: when it falls behind, writers wait for it. */
static omen_status_t wait_for_keeper(om_write *w, uint32_t frozen, bool *waited, omen_error *err)
{
    om_stop stop = {.op = w->op};
    *waited = frozen >= MAX_FROZEN && w->c->db->disk != NULL && w->c->db->disk->keeper != NULL;
    if (!*waited) {
        return OMEN_OK;
    }
    om_keeper_notify(w->c->db);
    omen_status_t status = om_disk_writable(w->c->db, false, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (atomic_load(&w->c->db->disk->failures) >= MOST_FAILURES) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BACKLOG,
                       "backlog: %u segments wait to be written to disk, which fails (see the log)",
                       frozen);
    }
    if ((w->batch->flags & OMEN_NO_THROTTLE) != 0) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BACKLOG,
                       "backlog: %u segments wait to be written to disk, the limit is %u", frozen,
                       (unsigned)MAX_FROZEN);
    }
    if (om_stop_check(&stop) != OMEN_OK) {
        return om_fail(err, OMEN_CANCELLED, OMEN_D_NONE, "cancelled before anything was written");
    }
    om_indexer_pause(w->c->rt);
    return OMEN_OK;
}

/* At the bound of the tail the writer itself works on the graph until there is room. */
omen_status_t om_write_throttle(om_write *w, omen_error *err)
{
    om_collection *c = w->c;
    /* Without the mutex, which a writer holds while its batch is made durable. Rows indexed since make the
     * tail too long here, never too short; a segment that became complete since counts from the next batch
     * on, so writers may be one late to hear of it. */
    if (atomic_load_explicit(&c->tail, memory_order_relaxed) < c->backlog_limit &&
        atomic_load_explicit(&c->waiting, memory_order_relaxed) < MAX_FROZEN) {
        return OMEN_OK;
    }
    for (;;) {
        uint64_t backlog = 0;
        uint32_t frozen = 0;
        bool whole = false;
        bool waited = false;
        om_segment *seg = oldest_waiting(c, &backlog, &frozen, &whole);
        omen_status_t status = wait_for_keeper(w, frozen, &waited, err);
        if (status != OMEN_OK || seg == NULL || backlog < c->backlog_limit ||
            w->batch->count == 0) {
            om_segment_unref(seg);
            if (status != OMEN_OK || !waited) {
                return status;
            }
            continue;
        }
        /* A bound below a micro-batch leaves the indexer nothing whole to take: the writer then
         * indexes the incomplete one itself, whatever its flags, or it would be refused for ever. */
        if ((w->batch->flags & OMEN_NO_THROTTLE) != 0 && whole) {
            status = refuse_backlog(w, seg, backlog, err);
        } else {
            om_stop stop = {.op = w->op};
            status = om_index_until(seg, atomic_load(&seg->indexed) + 1, &stop, NULL, err);
        }
        om_segment_unref(seg);
        if (status != OMEN_OK) {
            return status;
        }
    }
}

/* What follows a batch that was applied: the indexer hears of it, and a full segment is frozen. */
void om_write_seal(om_write *w)
{
    om_collection *c = w->c;
    om_segment *seg = w->seg;
    atomic_store_explicit(&seg->last_append_ns, om_now_ns(), memory_order_relaxed);
    om_indexer_notify(seg);
    if (atomic_load_explicit(&seg->visible, memory_order_relaxed) >= c->seal_rows) {
        if (om_collection_freeze(c, NULL) == OMEN_OK) {
            om_keeper_notify(c->db);
        } /* Else there is no memory for another one: this one grows on until there is. */
    }
}
