/* listings.c - the table of listings. Snapshots are freed without the mutex: that can take a while.
 * SPDX-License-Identifier: Apache-2.0 */
#include "listings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

#define NS_PER_SECOND UINT64_C(1000000000)

typedef struct place {
    om_cursor cursor; /* id 0: free */
    uint64_t used_ns;
    uint32_t users;
} place;

struct om_cursors {
    uint64_t (*now_ns)(void);
    pthread_mutex_t mutex; /* guards all below */
    uint64_t last_id;
    place places[OM_CURSORS_MAX];
};

/* Empties a place; the mutex is held. What was in it is let go without. */
static om_cursor clear(place *p)
{
    om_cursor cursor = p->cursor;
    memset(p, 0, sizeof *p);
    return cursor;
}

static void let_go(const om_cursor *cursor)
{
    omen_filter_free(cursor->filter);
    omen_collection_free(cursor->snapshot);
    om_coll_release(cursor->coll);
}

om_cursors *om_cursors_create(uint64_t (*now_ns)(void))
{
    om_cursors *c = calloc(1, sizeof *c);
    if (c != NULL) {
        c->now_ns = now_ns != NULL ? now_ns : om_pool_now_ns;
        pthread_mutex_init(&c->mutex, NULL);
    }
    return c;
}

void om_cursors_free(om_cursors *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < OM_CURSORS_MAX; i++) {
        let_go(&c->places[i].cursor);
    }
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

static place *find(om_cursors *c, uint64_t id)
{
    for (size_t i = 0; i < OM_CURSORS_MAX; i++) {
        if (id != 0 && c->places[i].cursor.id == id) {
            return &c->places[i];
        }
    }
    return NULL;
}

/* A free place, else the one that was unused longest; NULL: all are in use. */
static place *choose(om_cursors *c)
{
    place *best = NULL;
    for (size_t i = 0; i < OM_CURSORS_MAX; i++) {
        place *p = &c->places[i];
        if (p->cursor.id == 0) {
            return p;
        }
        if (p->users == 0 && (best == NULL || p->used_ns < best->used_ns)) {
            best = p;
        }
    }
    return best;
}

bool om_cursors_add(om_cursors *c, om_cursor *cursor)
{
    pthread_mutex_lock(&c->mutex);
    place *p = choose(c);
    om_cursor gone = *cursor;
    if (p != NULL) {
        cursor->id = ++c->last_id;
        gone = clear(p);
        p->cursor = *cursor;
        p->used_ns = c->now_ns();
        p->users = 1;
    }
    pthread_mutex_unlock(&c->mutex);
    let_go(&gone);
    return p != NULL;
}

bool om_cursors_take(om_cursors *c, uint64_t id, om_cursor *out)
{
    pthread_mutex_lock(&c->mutex);
    place *p = find(c, id);
    if (p != NULL) {
        p->users++;
        p->used_ns = c->now_ns();
        *out = p->cursor;
    }
    pthread_mutex_unlock(&c->mutex);
    return p != NULL;
}

void om_cursors_give(om_cursors *c, uint64_t id, bool ends)
{
    om_cursor gone = {.id = 0};
    pthread_mutex_lock(&c->mutex);
    place *p = find(c, id);
    if (p != NULL) {
        p->users--;
        p->used_ns = c->now_ns();
        if (ends && p->users == 0) {
            gone = clear(p);
        }
    }
    pthread_mutex_unlock(&c->mutex);
    let_go(&gone);
}

void om_cursors_sweep(om_cursors *c)
{
    om_cursor gone[OM_CURSORS_MAX];
    size_t n = 0;
    if (c == NULL) {
        return;
    }
    pthread_mutex_lock(&c->mutex);
    uint64_t now = c->now_ns();
    for (size_t i = 0; i < OM_CURSORS_MAX; i++) {
        place *p = &c->places[i];
        if (p->cursor.id != 0 && p->users == 0 &&
            now - p->used_ns > OM_CURSORS_IDLE_S * NS_PER_SECOND) {
            gone[n++] = clear(p);
        }
    }
    pthread_mutex_unlock(&c->mutex);
    for (size_t i = 0; i < n; i++) {
        let_go(&gone[i]);
    }
}
