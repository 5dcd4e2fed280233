/* quant_fixture.h - vectors and codecs for the tests of core/quant. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_QUANT_FIXTURE_H
#define OM_QUANT_FIXTURE_H
#include "codec.h"
#include "quant_int.h"

/* Correlated vectors with a centre and a spread of their own in every dimension: what embeddings are like. */
typedef struct quant_set {
    uint32_t count, dim;
    float *rows;
} quant_set;
quant_set quant_set_make(uint32_t count, uint32_t dim, uint64_t seed);
void quant_set_free(quant_set *set);

extern const om_alloc quant_alloc;
om_codec_params quant_params(uint32_t dim, uint32_t metric, uint32_t quantization,
                             uint32_t rotation);
/* Trains; fails the test when that fails. */
om_codec *quant_train(const om_codec_params *params, const quant_set *set);
void *quant_aligned(size_t size); /* to 64; free with quant_free */
void quant_free(void *memory);
float quant_random(uint64_t *state); /* about normal: mean 0, deviation 1 */

/* All rows of a set, encoded; and the distances of a probe to all of them. */
typedef struct quant_rows {
    om_codec *codec;
    size_t stride;
    uint32_t count;
    uint64_t clipped;
    uint8_t *codes, *data;
    float *scratch;
    uint32_t *ids;
    int32_t *distance;
} quant_rows;
quant_rows quant_encode(om_codec *codec, const quant_set *set); /* takes the codec */
void quant_rows_free(quant_rows *rows);
void quant_scan(quant_rows *rows, const om_probe *probe);

/* Exact distance of a metric between two vectors (cosine of zero vectors: 1). */
double quant_distance(uint32_t metric, const float *a, const float *b, uint32_t dim);
/* How many of the k rows nearest by rows->distance are among the k nearest by `exact`; ties count. */
uint32_t quant_overlap(const quant_rows *rows, const double *exact, uint32_t k);
/* Pearson correlation of rows->distance and exact. */
double quant_correlation(const quant_rows *rows, const double *exact);
#endif
