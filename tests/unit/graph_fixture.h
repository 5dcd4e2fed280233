/* graph_fixture.h - a graph over rows of a test: arrays, codec, pool; and its brute-force oracle.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GRAPH_FIXTURE_H
#define GRAPH_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph.h"
#include "os.h"

typedef struct fixture {
    om_alloc alloc;
    om_budget budget;
    uint32_t n, dim, metric;
    size_t stride, link_stride;
    float *rows;
    uint8_t *codes;
    uint32_t *links;
    uint32_t *incoming;
    om_codec *codec;
    om_graph *graph;
    om_graph_arrays arrays;
    om_pool *pool;
    om_graph_ctx *ctx;
    float *scratch;
    uint8_t *probe;
} fixture;

typedef struct fixture_options {
    uint32_t n, dim, metric, threads, entry, m, ef_construction, quantization;
} fixture_options;

/* Rows as `make` writes them (row i of dim floats); encoded, not yet indexed. */
typedef void (*make_row_fn)(uint32_t i, uint32_t dim, float *row);
void fixture_open(fixture *f, const fixture_options *options, make_row_fn make);
/* Indexes rows up to `end` in the module's micro-batches. */
void fixture_index(fixture *f, uint32_t end);
void fixture_close(fixture *f);

/* The k slots nearest to the query by the codes themselves, through the graph; returns how many. */
uint32_t fixture_search(fixture *f, const float *query, uint32_t ef, uint64_t *keys, uint32_t k);
/* The same by looking at every row. */
uint32_t fixture_brute(fixture *f, const float *query, uint64_t *keys, uint32_t k);
/* Mean share of the k nearest distances found, rows 0, n/queries, ... as queries (ties count). */
double fixture_recall(fixture *f, uint32_t queries, uint32_t k, uint32_t ef);

void random_row(uint32_t i, uint32_t dim, float *row);
#endif
