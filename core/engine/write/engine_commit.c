/* engine_commit.c - group commit: batches that come while one is being made durable wait in a queue, and the
 * next of their writers stages, logs, syncs and applies all of them, with one fdatasync.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The write mutex is held from the first check to the last row, so for everybody else a group is like one
 * batch. Batches of a group are checked against the state before it: those that would have to see each
 * other (INSERT, UPDATE, PATCH, versions, ids that get keys, streams, request ids) are groups of their
 * own. */
#include "engine_disk.h"

enum { MOST_IN_GROUP = 64, MOST_ROWS = 65536 };

typedef struct group {
    om_write *list[MOST_IN_GROUP];
    uint32_t count;
    uint64_t rows; /* most that they write */
} group;

/* Whether a batch is right whatever the others of its group write. */
static bool independent(const om_write *w)
{
    const omen_batch *b = w->batch;
    bool upsert = b->mode == 0 || b->mode == OMEN_UPSERT;
    return w->c->options.id_type == OMEN_ID_U64 && upsert && b->request_id == NULL &&
           b->stream_id == NULL && b->if_version == NULL && !w->recovered;
}

/* ---- The queue. queue_mu held ------------------------------------------------------------------ */
static void push(om_collection *c, om_write *w)
{
    om_write **at = &c->queue;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    w->next = NULL;
    *at = w;
}

static void take_group(om_collection *c, group *g)
{
    g->count = 0;
    g->rows = 0;
    while (c->queue != NULL && g->count < MOST_IN_GROUP) {
        om_write *w = c->queue;
        bool alone = !independent(w);
        if (g->count != 0 && (alone || g->rows + w->accepted > MOST_ROWS)) {
            break;
        }
        c->queue = w->next;
        g->list[g->count++] = w;
        g->rows += w->accepted;
        if (alone) {
            break;
        }
    }
}

/* What could not be done yet goes back to the front, in its order. */
static void put_back(om_collection *c, group *g, uint32_t from)
{
    while (g->count > from) {
        om_write *w = g->list[--g->count];
        w->next = c->queue;
        c->queue = w;
    }
}

/* ---- A group. write_mu held -------------------------------------------------------------------- */
static bool logged(const om_write *w)
{
    return w->c->db->disk != NULL && !w->recovered && !w->replayed;
}

static omen_status_t stage_one(om_write *w, bool *grow)
{
    omen_status_t status = om_write_stage(w, grow, w->error);
    if (status == OMEN_OK && !*grow && logged(w)) {
        status = om_record_write(w, w->error);
    }
    return status;
}

/* Stages and logs until larger arrays are needed; returns how many batches are done with. */
static uint32_t stage_all(om_collection *c, group *g, bool *grow)
{
    uint64_t ahead = 0;
    uint64_t next_key = c->next_key;
    for (uint32_t i = 0; i < g->count; i++) {
        om_write *w = g->list[i];
        w->seg = om_set_last(om_set_load(c));
        w->ahead = ahead;
        w->ahead_batches = i;
        w->next_key = next_key;
        w->level = om_max_u32(c->options.durability, w->batch->durability);
        w->status_of_commit = stage_one(w, grow);
        if (*grow) {
            return i;
        }
        if (w->status_of_commit == OMEN_OK && !w->replayed) {
            ahead += w->accepted;
            next_key = w->next_key;
        }
    }
    return g->count;
}

static void fail(om_write *w, omen_status_t status, const omen_error *err)
{
    w->status_of_commit = status;
    if (w->error != NULL) {
        *w->error = *err;
    }
}

/* One sync for all of them, at the highest of their levels. */
static void sync_all(om_collection *c, group *g, uint32_t count)
{
    uint32_t level = 0;
    uint64_t version = 0;
    omen_error err;
    for (uint32_t i = 0; i < count; i++) {
        const om_write *w = g->list[i];
        if (w->status_of_commit == OMEN_OK && logged(w)) {
            level = om_max_u32(level, w->level);
            version = w->done.version;
        }
    }
    omen_status_t status = version == 0 ? OMEN_OK : om_record_sync(c, level, version, &err);
    for (uint32_t i = 0; status != OMEN_OK && i < count; i++) {
        om_write *w = g->list[i];
        if (w->status_of_commit == OMEN_OK && logged(w)) {
            fail(w, status, &err);
        }
    }
}

static void apply_all(om_collection *c, group *g, uint32_t count)
{
    om_write *last = NULL;
    for (uint32_t i = 0; i < count; i++) {
        om_write *w = g->list[i];
        if (w->status_of_commit == OMEN_OK && !w->replayed) {
            om_write_apply(w);
            last = w;
        }
    }
    if (last != NULL) {
        om_write_seal(last);
    }
    om_write_note_tail(c);
    for (uint32_t i = 0; i < count; i++) {
        g->list[i]->backlog = atomic_load_explicit(&c->tail, memory_order_relaxed);
    }
}

/* Commits what it can of the group; returns how many batches are done with. */
static uint32_t commit_group(om_collection *c, group *g)
{
    bool grow = false;
    uint32_t done = 0;
    omen_error err;
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_write_grow_scratch(c, g->rows, &err);
    if (status == OMEN_OK) {
        done = stage_all(c, g, &grow);
        sync_all(c, g, done);
        apply_all(c, g, done);
    }
    om_segment *seg = om_set_last(om_set_load(c));
    om_segment_ref(seg);
    om_mutex_unlock(&c->write_mu);
    if (status == OMEN_OK && grow && done == 0) {
        status = om_growth_run(seg, g->list[0]->accepted, &err);
    }
    om_segment_unref(seg);
    if (status != OMEN_OK && done == 0) {
        fail(g->list[0], status, &err); /* No memory for this one; the next may need less. */
        done = 1;
    }
    return done;
}

/* ---- The call ---------------------------------------------------------------------------------- */
/* The leader commits until its own batch is done; then the next writer in the queue leads. queue_mu held. */
static void lead(om_collection *c, om_write *own) OM_REQUIRES(c->queue_mu)
{
    group g;
    c->leading = true;
    while (!own->committed) {
        take_group(c, &g);
        om_mutex_unlock(&c->queue_mu);
        uint32_t done = commit_group(c, &g);
        om_mutex_lock(&c->queue_mu);
        put_back(c, &g, done);
        for (uint32_t i = 0; i < done; i++) {
            g.list[i]->committed = true;
        }
        om_cond_broadcast(&c->queue_moved);
    }
    c->leading = false;
}

omen_status_t om_write_commit(om_write *w, omen_error *err)
{
    om_collection *c = w->c;
    w->error = err;
    om_mutex_lock(&c->queue_mu);
    push(c, w);
    while (!w->committed) {
        if (c->leading) {
            (void)om_cond_wait(&c->queue_moved, &c->queue_mu, 0);
        } else {
            lead(c, w);
        }
    }
    om_mutex_unlock(&c->queue_mu);
    return w->status_of_commit;
}
