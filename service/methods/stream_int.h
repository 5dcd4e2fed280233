/* stream_int.h - one StreamWrite call. Two sides share it: the actor (stream_write.c, stream_ack.c),
 * which reads and writes messages on its queue thread, and one ingest worker at a time
 * (stream_work.c), which parses and applies them in order. What they share is behind `mutex`, which
 * is never held across a call into the engine or the transport.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_STREAM_INT_H
#define OM_STREAM_INT_H
#include <pthread.h>
#include <string.h>

#include "apply.h"
#include "wwrite.h"

enum {
    STREAM_RING = OM_RT_STREAM_BATCHES + 2, /* and a half-close                     */
    STREAM_MARKS = 256,                     /* batches that are visible and not yet durable */
    STREAM_TURN = 8,                        /* messages until other streams come in */
    STREAM_RETRY_MS = 4,                    /* while the index is behind            */
    STREAM_STALL_MS = 10000,                /* while memory is short; then an error */
    STREAM_FLUSH_US = 50000,                /* one wait of a flush                  */
    STREAM_BUFFER_KEPT = 1 << 20            /* bytes that an idle stream keeps      */
};

typedef struct stream_entry {
    om_rpc_message *message; /* NULL: the client half-closed; freed once parsed */
    size_t size;
    uint64_t arrived_ns;
} stream_entry;
/* An answer that must not be lost: Opened and BatchErrors, in order. */
typedef struct stream_note {
    struct stream_note *next;
    om_rpc_out out;
} stream_note;

typedef struct stream_mark {
    uint64_t seq, version;
} stream_mark;

typedef struct om_stream_call {
    om_rpc *rpc;
    om_rt_shared *shared;
    omen_op *op;
    om_job work_job, flush_job, ack_job;

    /* The worker's. */
    om_coll *coll; /* set by Open */
    char stream_id[OMEN_MAX_STREAM_ID + 1];
    uint32_t durability;
    uint64_t epoch;
    om_wbuffer buffer;
    om_wire_batch batch;
    om_apply apply;
    bool parsed;            /* `batch` is the head of the ring, parsed */
    uint64_t stalled_ns;    /* since when the engine is busy; 0: it is not */
    bool stalled_memory;    /* with memory; else with the index */
    uint64_t flush_version; /* what the flush waits for */

    pthread_mutex_t mutex; /* guards all down to the actor's */
    stream_entry ring[STREAM_RING];
    uint32_t first, count;
    uint64_t bytes; /* of the messages in the ring                      */
    bool running;   /* a worker or a waiting job has the ring           */
    bool stopped;   /* the ring is not processed any more               */
    bool closed;    /* Close or half-close was reached                  */
    bool failed;    /* the call ends with `failure`                     */
    bool throttled, window_due, ack_due, opened;
    bool rechecking;       /* ack_job is under way                            */
    uint32_t window_share; /* eighths of the window that the client was told */
    const char *why;       /* of a smaller window                             */
    uint64_t durable_seq, unsynced_bytes, looked_seq;
    stream_mark marks[STREAM_MARKS];
    uint32_t mark_first, mark_count;
    om_failure failure;
    uint64_t received_seq, done_seq, version, accepted;
    stream_note *notes, **notes_tail;
    uint32_t note_count;

    /* The actor's. */
    bool reading, writing, half_closed, draining, draining_due, ended;
    uint64_t full_ns; /* since when nothing is read because the window is full; 0: it is not */
} om_stream_call;

/* Gives a message (NULL: half-close) to the worker. Actor only. */
void om_stream_push(om_stream_call *s, om_rpc_message *message);
/* Frees what the ring holds; the mutex is held. */
void om_stream_drop_ring(om_stream_call *s);
void om_stream_work(om_job *job, bool expired);
void om_stream_flush(om_job *job, bool expired);
void om_stream_recheck(om_job *job, bool expired);
/* The call ends with *f, unless it does with something else already: both sides may fail at once, and what is
 * told is read without the mutex, which is held here. */
static inline void om_stream_failed(om_stream_call *s, const om_failure *f)
{
    if (!s->failed) {
        s->failed = true;
        s->failure = *f;
    }
}
/* A batch is visible and durable at the level of the stream; the mutex is held. */
void om_stream_applied(om_stream_call *s, uint64_t seq, uint64_t version, size_t bytes);
/* Waits until what was applied is synced: all of it, or when NONE has left half a window behind. */
omen_status_t om_stream_sync(om_stream_call *s, bool all, omen_error *err)
    __attribute__((warn_unused_result));
/* Actor only; the stream was opened. False: nothing was sent, an error of a batch comes first. */
bool om_stream_write_ack(om_stream_call *s);
void om_stream_write_window(om_stream_call *s);
#endif
