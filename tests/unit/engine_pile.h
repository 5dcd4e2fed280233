/* engine_pile.h - a collection on disk whose segments are frozen, sealed and merged when the test says so (no
 * thread of the database runs), and a model of its items to compare with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_PILE_H
#define OM_ENGINE_PILE_H
#include <pthread.h>

#include "engine_files.h"
#include "engine_fixture.h"

typedef struct pile_item {
    bool alive;
    uint32_t turn; /* of its newest vector */
    uint64_t key;  /* OMEN_NONE: not known yet */
} pile_item;
typedef struct pile {
    fixture f;
    char folder[512];
    uint32_t items;
    pile_item *item; /* [items] */
    fx_rng rng;
} pile;

typedef struct pile_options {
    omen_options collection;
    uint32_t threads, items;
    uint64_t memory_limit;
    const omen_allocator *allocator; /* NULL: the C library's */
    const om_io_ops *io;             /* NULL: the system's */
} pile_options;
void pile_open(pile *p, const char *name, const pile_options *options);
void pile_close(pile *p); /* removes the folder */
om_collection *pile_collection(const pile *p);

/* Whole numbers, which every dtype holds exactly. Item 0 mod 97 of a cosine collection is zero. */
void pile_vector(const pile *p, uint32_t i, uint32_t turn, float *out);
/* Puts items with new vectors, or removes those of them that are there. */
void pile_put(pile *p, const uint32_t *which, uint32_t n);
void pile_remove(pile *p, const uint32_t *which, uint32_t n);
/* Random ones among [first, first + span): `puts` and then `removals`. */
void pile_churn(pile *p, uint32_t first, uint32_t span, uint32_t puts, uint32_t removals);
void pile_put_range(pile *p, uint32_t first, uint32_t n);

void pile_freeze(pile *p);
omen_status_t pile_seal_one(pile *p, bool *done);
void pile_seal(pile *p); /* freezes and seals all */
omen_status_t pile_merge(pile *p, bool all, const om_stop *stop, omen_op *op, bool *done);
uint32_t pile_segments(const pile *p); /* the growing one included */
om_segment *pile_segment(const pile *p, uint32_t i);
/* Segment files in the folder, temporary ones included. */
uint32_t pile_files(const pile *p);
void pile_path(const pile *p, uint64_t id, char *out, size_t room);
/* Changes one bit of a section of a sealed file, before anybody has read it. */
void pile_flip(const pile *p, uint32_t part, uint32_t kind);

/* An allocator of which call number fail_at fails once armed (0: none does). */
typedef struct pile_torture {
    pthread_mutex_t mutex;
    uint64_t calls, fail_at, failed;
} pile_torture;
omen_allocator pile_torture_init(pile_torture *t);
void pile_torture_arm(pile_torture *t, uint64_t fail_at);
uint64_t pile_torture_end(pile_torture *t); /* whether the last arming made a call fail */

/* Counts, ids, keys (which never change), vectors, scans and exact searches are those of the model. */
void pile_check(pile *p);
#endif
