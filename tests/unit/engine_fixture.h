/* engine_fixture.h - a database with one collection, data, and brute force to compare with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_FIXTURE_H
#define OM_ENGINE_FIXTURE_H
#include <stdbool.h>

#include "omen.h"
#include "unit.h"

typedef struct fixture {
    omen_runtime *rt;
    omen_db *db;
    omen_collection *c;
    omen_options options;
    omen_error err;
} fixture;

/* A call that must succeed; the library's own words are in the report when it does not. */
#define OK(f, call) fx_ok((call), &(f)->err, #call, __FILE__, __LINE__)
/* One that must fail in this way. */
#define FAILS(f, call, status, detail) \
    fx_fails((call), &(f)->err, (status), (detail), #call, __FILE__, __LINE__)
void fx_ok(omen_status_t status, const omen_error *err, const char *call, const char *file,
           int line);
void fx_fails(omen_status_t got, const omen_error *err, omen_status_t status, int32_t detail,
              const char *call, const char *file, int line);

void fx_open(fixture *f, const omen_options *options, uint32_t threads);
void fx_close(fixture *f);

typedef struct fx_rng {
    uint64_t state;
} fx_rng;
uint64_t fx_next(fx_rng *rng);
uint32_t fx_below(fx_rng *rng, uint32_t bound);
float fx_uniform(fx_rng *rng); /* -1 .. 1 */
/* n rows: near a plane of few dimensions, so that a graph finds them (malloc'd). */
float *fx_rows(uint32_t n, uint32_t dim, uint64_t seed);

/* Adds n float rows with keys first, first + 1, ... */
void fx_add(fixture *f, const float *rows, uint32_t n, uint64_t first);
void fx_index(fixture *f);
void fx_delete(fixture *f, uint64_t key);
uint64_t fx_count(fixture *f);

/* One query; hits arrays hold k. Returns the number of hits. */
typedef struct fx_query {
    const float *vector;
    uint32_t k, ef, flags;
} fx_query;
uint32_t fx_search(fixture *f, const fx_query *q, uint64_t *keys, float *distances);

double fx_distance(uint32_t metric, const float *a, const float *b, uint32_t dim);
/* The k-th smallest distance from q to the rows that `alive` (NULL: all) names. */
double fx_kth(const fixture *f, const float *q, const float *rows, const bool *alive, uint32_t n,
              uint32_t k);
/* A path in a directory of this run; static storage. */
const char *fx_path(const char *name);
void fx_remove(const char *path);
uint8_t *fx_read(const char *path, size_t *size);
void fx_write(const char *path, const void *bytes, size_t size);
#endif
