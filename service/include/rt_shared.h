/* rt_shared.h - what the methods share with the server: options with defaults filled in, worker pools,
 * open collections, state of the service.
 * Depends on: rt.h, pool.h.  Threads: any; pointers do not change while calls run.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RT_SHARED_H
#define OM_RT_SHARED_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"
#include "rt.h"

struct om_colls;
struct om_operations;
struct om_cursors;

/* Defaults and fixed limits of the service; tests and GetServerInfo use the same names. */
enum {
    OM_RT_MAX_CQ = 4,
    OM_RT_ADMIN_THREADS = 4,
    OM_RT_KEYS_THREADS = 2,
    OM_RT_MAX_RECALLS = 2,       /* MeasureRecall calls at once                          */
    OM_RT_MAX_SEARCHES = 1024,   /* searches of one BatchSearch                          */
    OM_RT_MAX_GET_ITEMS = 65536, /* ids of one BatchGet                                  */
    OM_RT_MAX_PAGE = 10000,      /* items of one page of a List                          */
    OM_RT_STREAM_BATCHES = 64,   /* batches of a stream that wait for a worker           */
    OM_RT_STREAM_ERRORS = 64,    /* BatchErrors that wait for a slow reader              */
    OM_RT_ITEM_ERRORS = 1000,    /* item errors told about one batch                     */
    OM_RT_MESSAGE_BYTES = 16 << 20,
    OM_RT_METADATA_BYTES = 16 << 10,
    OM_RT_WINDOW_BYTES = 8 << 20,
    OM_RT_STREAMS = 128,
    OM_RT_IN_FLIGHT = 4096
};

struct om_rt_shared;
/* usage.h: measuring what tenants store. */
typedef struct om_usage {
    om_job job;            /* first */
    pthread_mutex_t mutex; /* one measurement at a time */
    struct om_rt_shared *shared;
    _Atomic bool running;
    _Atomic uint64_t next_ns;
} om_usage;

typedef struct om_rt_shared {
    om_rt_options opt;
    om_pool *search; /* searches and gets                                        */
    om_pool *ingest; /* batches                                                  */
    om_pool *keys;   /* Access.* and lists of backups: others cannot fill it */
    om_pool *admin;  /* create, delete, waits for the index, recall measurements */
    struct om_colls *colls;
    struct om_operations *operations; /* maintenance that takes long */
    struct om_cursors *cursors;       /* snapshots that listings stand in */
    char epoch[17]; /* changes with every start of the server                    */
    _Atomic bool draining;
    _Atomic bool serving;
    _Atomic uint32_t drain_grace_ms;
    _Atomic uint64_t streams;
    _Atomic uint64_t ingest_bytes; /* batches received and not yet applied, of all calls */
    _Atomic uint64_t answer_bytes; /* of large answers that clients have not taken yet    */
    _Atomic uint64_t read_bytes;   /* of large messages that calls hold which write nothing */
    om_usage usage;
    _Atomic uint32_t recalls;
} om_rt_shared;

/* Counts received bytes of batches in (or out, when negative). */
void om_rt_note_ingest(om_rt_shared *shared, int64_t bytes);
/* Whether batches hold so much memory that only calls which hold none may go on reading. Half of what
 * the transport may buffer: its quota must never be what ends a stream. */
bool om_rt_ingest_full(const om_rt_shared *shared);
/* Counts bytes of answers that wait in (or out, when negative). */
void om_rt_note_answers(om_rt_shared *shared, int64_t bytes);
/* Whether answers that wait for their clients, and `more` bytes, pass what they may hold: the other half. */
bool om_rt_answers_full(const om_rt_shared *shared, uint64_t more);

/* Bytes of large messages that calls hold which write nothing, and how many they may be. */
static inline uint64_t om_rt_reads_hold(const om_rt_shared *shared)
{
    return atomic_load_explicit(&shared->read_bytes, memory_order_relaxed);
}
static inline uint64_t om_rt_reads_limit(const om_rt_shared *shared)
{
    return shared->opt.transport_quota / 4;
}

om_rt_shared *om_rt_shared_of(om_rt *rt);
#endif
