/* crash.h - omend is killed at random moments; what it had acknowledged must be there, once.
 *
 * Every writer owns a part of the ids of one collection, so that what its part must hold follows from its
 * own batches alone: the model. Batch n of a writer is a function of seed, writer and the batches before.
 * Threads: a writer belongs to its thread while the load runs, else to main.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CRASH_H
#define CRASH_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote.h"

enum {
    CRASH_DIM = 16,
    CRASH_IDS = 240,       /* of a writer */
    CRASH_ROWS = 40,       /* of a batch, at most */
    CRASH_PENDING = 8,     /* batches of a stream that are not acknowledged */
    CRASH_RING = 16,       /* batches kept: the pending ones, and some before them */
    CRASH_COLLECTIONS = 3, /* one a durability level */
    CRASH_WRITERS = 9,     /* two streams and one that makes single calls, for each collection */
    CRASH_PATIENCE_MS = 60000
};

typedef enum crash_kind { CRASH_LOST, CRASH_RESURRECTED, CRASH_DOUBLED, CRASH_OTHER } crash_kind;

typedef struct crash_batch {
    uint64_t number;  /* 1, 2, 3, ... of the writer: the seq, or part of the request id */
    uint64_t version; /* that it was acknowledged with; 0: not known */
    uint32_t op;      /* Omen__V1__WriteOp */
    uint32_t count;
    bool refused; /* an INSERT with an id that exists: has no effect and uses up its seq */
    uint16_t ids[CRASH_ROWS];
} crash_batch;

typedef struct crash_run crash_run;
typedef struct crash_writer {
    crash_run *run;
    uint32_t index; /* 0 .. CRASH_WRITERS - 1 */
    bool stream;    /* StreamWrite, else BatchWrite */
    bool unsure;    /* the batch after `acked` was sent before, with an unknown outcome */
    uint64_t rng;
    uint64_t acked, sent, made; /* acked <= sent <= made */
    uint64_t now[CRASH_IDS];    /* batch that wrote the id, 0: absent; after `acked` batches */
    uint64_t next[CRASH_IDS];   /* the same after `made` batches */
    crash_batch ring[CRASH_RING];
    uint64_t replays, cuts, rows; /* for the report */
} crash_writer;

struct crash_run {
    const char *omend, *folder;
    uint64_t seed, cycles, rng;
    uint32_t seal_rows;
    bool copy; /* keeps the folder as it was before each start */
    pid_t pid;
    int out; /* the server's stdout, or -1 */
    char address[96];
    bool created;     /* the collections are there */
    atomic_bool over; /* the server was told to end */
    atomic_ullong problems[4];
    crash_writer writers[CRASH_WRITERS];
    uint64_t cycle, kills_early, kills_idle, kills_loaded,
        stops; /* for the report, as what follows */
    uint64_t recovered_rows, replayed_records, segments_most, maintained;
    double seconds_starting, seconds_checking;
};

/* Counts and prints something that must not be. Any thread. */
void crash_problem(crash_run *run, crash_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool crash_is_bad(crash_run *run);

/* ---- crash_model.c ---- */
uint64_t crash_mix(uint64_t x);
uint32_t crash_below(uint64_t *rng, uint32_t bound);
void crash_writer_init(crash_run *run, uint32_t index);
/* The batch with this number, which is in the ring. */
crash_batch *crash_at(crash_writer *w, uint64_t number);
/* Makes the next batch: number made + 1. */
crash_batch *crash_make(crash_writer *w);
void crash_apply(const crash_batch *b, uint64_t *state);
/* Everything up to `number` is acknowledged, or was found to be there. */
void crash_advance(crash_writer *w, uint64_t number);
/* The vector that batch `number` of w writes for an id. */
void crash_row(const crash_writer *w, uint32_t id, uint64_t number, float *out);
/* The number that wrote these bytes for the id; UINT64_MAX: no batch did. */
uint64_t crash_who_wrote(const crash_writer *w, uint32_t id, const float *row);
static inline uint32_t crash_collection(const crash_writer *w)
{
    return w->index % CRASH_COLLECTIONS;
}

/* ---- crash_wire.c ---- */
extern const char *const crash_names[CRASH_COLLECTIONS];
extern const uint32_t crash_id_types[CRASH_COLLECTIONS];
typedef struct crash_ids {
    uint64_t u64[CRASH_IDS];
    uint8_t uuid[CRASH_IDS * 16];
    char text[CRASH_IDS][24];
    char *texts[CRASH_IDS];
    Omen__V1__Ids ids;
} crash_ids;
void crash_make_ids(const crash_writer *w, const uint16_t *ids, uint32_t count, crash_ids *out);
/* Writer and id of item `at` of an answer; false: none of ours. */
bool crash_read_id(uint32_t collection, const Omen__V1__Ids *ids, size_t at, uint32_t *writer,
                   uint32_t *id);
void crash_stream_id(const crash_writer *w, char out[32]);
om_rpcc_buf *crash_pack_open(const crash_writer *w);
om_rpcc_buf *crash_pack_stream_batch(const crash_writer *w, const crash_batch *b);
om_rpcc_buf *crash_pack_batch_write(const crash_writer *w, const crash_batch *b);
/* A call whose answer must come: the answer in the arena, or NULL and *status. */
void *crash_call(om_rpcc *client, const char *method, om_rpcc_buf *request, uint64_t timeout_ms,
                 const ProtobufCMessageDescriptor *type, om_arena *arena, om_rpcc_status *status);
void *crash_must(void *memory);

/* ---- crash_load.c: the threads ---- */
void *crash_write(void *writer);
/* Checkpoints and merges beside the load. */
void *crash_maintain(void *run);
om_rpcc *crash_connect(const crash_run *run);
/* One try of a single call; true: acknowledged or rightly refused, and noted. */
bool crash_try_single(crash_writer *w, om_rpcc *client, om_arena *arena, uint64_t timeout_ms,
                      bool *replayed);
/* The server says what it has of a stream. */
void crash_on_opened(crash_writer *w, uint64_t last_seq);

/* ---- crash_check.c ---- */
/* Settles what was under way when the server ended, then compares everything with the models. */
void crash_check(crash_run *run);

/* ---- crash_server.c ---- */
bool crash_start(crash_run *run); /* does not wait until it serves */
bool crash_wait_serving(crash_run *run);
void crash_kill(crash_run *run);        /* SIGKILL, and waits for its end */
void crash_stop(crash_run *run);        /* SIGTERM; must end with 0 */
bool crash_copy_folder(crash_run *run); /* data -> before */
void crash_remove(const char *path);
#endif
