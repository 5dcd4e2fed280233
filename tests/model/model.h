/* model.h - a collection and the plain array that says what it must hold.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_H
#define MODEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

enum { MODEL_MAX_DIM = 48, MODEL_MAX_BATCH = 300, MODEL_MAX_K = 700, MODEL_MAX_ID = 512 };

#define MODEL_STREAM "stream"

/* One id of the universe, and what is stored under it. */
typedef struct model_fields { /* which there are, and what they are */
    bool title, n, score, tag, flag, late;
    bool flag_value;
    uint32_t first_word, second_word, tag_value, late_value;
    int32_t number;
    double score_value;
} model_fields;
typedef struct model_item {
    bool live;
    uint64_t key, version;
    model_fields fields;
    float vector[MODEL_MAX_DIM];
} model_item;

typedef struct model_run {
    /* What is tested. */
    uint32_t id_type, metric, dtype, quantization, dim, universe;
    uint64_t seed;
    uint32_t ops;
    /* Where it is. */
    uint64_t rng;
    uint32_t op;
    const char *what; /* the operation */
    omen_db *db;
    omen_collection *c;
    omen_error err;
    model_item *items; /* [universe] */
    uint64_t live, highest_key, version;
    uint64_t last_seq; /* of the stream MODEL_STREAM */
    uint32_t last_crc; /* of its last batch; 0: not known */
    char request[64];  /* a request id that the library must know, or "" */
    /* Recall of the searches through the graph. */
    uint64_t wanted, found;
    const char *path; /* for saved files */
} model_run;

/* Ends the program with seed, operation and the library's error, so that it can be run again. */
_Noreturn void model_fail(const model_run *run, const char *what, const char *file, int line);
#define CHECK(run, x) ((x) ? (void)0 : model_fail(run, #x, __FILE__, __LINE__))

/* ---- model_data.c: ids, vectors, distances ---- */
uint32_t model_below(model_run *run, uint32_t bound);
/* The bytes of id n (at most MODEL_MAX_ID); u64 ids are 8 bytes. */
size_t model_id(const model_run *run, uint32_t n, uint8_t *out);
uint64_t model_u64_id(uint32_t n);
/* Fills a column with the ids of `names`; the memory lives until the next call. */
omen_column model_column(model_run *run, const uint32_t *names, uint32_t count);
/* A random vector that the dtype holds exactly; sometimes zero, or the one of another item. */
void model_vector(model_run *run, float *out);
size_t model_width(uint32_t dtype);
void model_encode(uint32_t dtype, const float *vector, uint32_t dim, void *out);
double model_distance(const model_run *run, const float *a, const float *b);
/* How far a float32 computation may be off. */
double model_tolerance(const model_run *run, const float *a, const float *b);
/* The item that has a key; NULL: none. */
model_item *model_by_key(const model_run *run, uint64_t key);

/* ---- model_write.c, model_read.c: operations ---- */
void model_add(model_run *run);
void model_add_bad(model_run *run);
void model_delete(model_run *run);
/* Batches of the past again, with other bytes: nothing may change. */
void model_repeat(model_run *run);
void model_get(model_run *run, omen_collection *c);
void model_lookup(model_run *run, omen_collection *c);
void model_scan(model_run *run, omen_collection *c);
void model_search(model_run *run, omen_collection *c, uint32_t flags);
void model_read_only(model_run *run, omen_collection *c);

/* ---- model_fields.c: metadata, text and versions ---- */
void model_declare(model_run *run); /* of a new collection */
/* Metadata for the items of a batch, or none; the memory lives until the next call of these. */
void model_objects(model_run *run, omen_batch *batch, model_fields *fields);
void model_bad_object(model_run *run, omen_batch *batch, uint32_t at);
/* Changes of those that are there, in the model too. */
void model_changes(model_run *run, omen_batch *batch, const uint32_t *names);
void model_patch(model_run *run);
void model_delete_where(model_run *run);
void model_read_fields(model_run *run, omen_collection *c);

/* ---- model_run.c: collections in memory ---- */
void model_execute(model_run *run);
#endif
