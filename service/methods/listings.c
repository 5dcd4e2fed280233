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

/* ---- Whose place is given away; the mutex is held -------------------------------------------- */

static bool same_owner(const om_cursor *a, const om_cursor *b)
{
    return memcmp(a->owner, b->owner, sizeof a->owner) == 0;
}

/* How many places the tenant of x has, or its owner alone. */
static uint32_t held(const om_cursors *c, const om_cursor *x, bool owner)
{
    uint32_t n = 0;
    for (size_t i = 0; i < OM_CURSORS_MAX; i++) {
        const om_cursor *y = &c->places[i].cursor;
        n += y->id != 0 && y->tenant == x->tenant && (!owner || same_owner(x, y));
    }
    return n;
}

/* How much it is p's turn to make place for `mine`; 0: not at all. Tenants that will have more than this one
 * come first, then others of the tenant that will have more than this caller, then the caller's own; last
 * what nobody came back to for a while. */
static uint32_t turn_of(const om_cursors *c, const place *p, const om_cursor *mine)
{
    enum { RESTING = 1, OWN = 2, SAME_TENANT = 1 << 8, OTHER_TENANT = 1 << 16 };
    uint32_t tenants = held(c, &p->cursor, false), owners = held(c, &p->cursor, true);
    if (p->cursor.tenant != mine->tenant && tenants > held(c, mine, false) + 1) {
        return OTHER_TENANT * tenants + owners;
    }
    if (p->cursor.tenant == mine->tenant && same_owner(&p->cursor, mine)) {
        return OWN;
    }
    if (p->cursor.tenant == mine->tenant && owners > held(c, mine, true) + 1) {
        return SAME_TENANT * owners;
    }
    return c->now_ns() - p->used_ns > OM_CURSORS_REST_S * NS_PER_SECOND ? RESTING : 0;
}

/* A free place, else one that is not in use and whose turn it is, the one unused longest among its like;
 * NULL: there is none. */
static place *choose(om_cursors *c, const om_cursor *mine)
{
    place *best = NULL;
    uint32_t most = 0;
    for (size_t i = 0; i < OM_CURSORS_MAX; i++) {
        place *p = &c->places[i];
        if (p->cursor.id == 0) {
            return p;
        }
        uint32_t turn = p->users == 0 ? turn_of(c, p, mine) : 0;
        if (turn > most || (turn != 0 && turn == most && p->used_ns < best->used_ns)) {
            best = p;
            most = turn;
        }
    }
    return best;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

bool om_cursors_add(om_cursors *c, const om_principal *who, om_cursor *cursor)
{
    memcpy(cursor->owner, who->identity, sizeof cursor->owner);
    cursor->tenant = who->tenant;
    pthread_mutex_lock(&c->mutex);
    place *p = choose(c, cursor);
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

bool om_cursors_take(om_cursors *c, const om_principal *who, uint64_t id, om_cursor *out)
{
    pthread_mutex_lock(&c->mutex);
    place *p = find(c, id);
    if (p != NULL && memcmp(p->cursor.owner, who->identity, sizeof p->cursor.owner) != 0) {
        p = NULL; /* a token can be guessed: its last page would end the listing */
    }
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
