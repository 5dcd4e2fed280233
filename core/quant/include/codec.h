/* codec.h - how a vector becomes the fixed-stride row that the graph walks over: centred uniform SQ8
 * (optionally after a random rotation), or plain floats. Immutable once trained.
 * Depends on: base, simd.  Threads: any, after training.  SPDX-License-Identifier: Apache-2.0
 *
 * Geometry. Rows are always compared by squared Euclidean distance while the graph is built:
 *   L2      the vector itself
 *   cosine  the vector divided by its norm (a zero vector stays zero)
 *   IP      the vector extended so that every row has the norm R of the longest one seen in training:
 *           the missing length sqrt(R^2 - |x|^2) is spread over OM_IP_PAD extra components, which keeps
 *           it inside the range of the uniform code (reduction of maximum inner product search to
 *           nearest neighbours: Bachrach et al., RecSys 2014). Rows longer than R count as clipped.
 * Searches use the same L2 form for L2, and a plain dot product with the query on a scale of its own for
 * IP and cosine. Rows of SQ8 codec with code dimension <= OM_DIRECT_DIM are compared by differences; longer
 * ones by dot product and the half squared norm kept in the last 4 bytes of the row. */
#ifndef OM_CODEC_H
#define OM_CODEC_H
#include "alloc.h"
#include "base.h"
#include "simd.h"

#define OM_IP_PAD 16u
#define OM_DIRECT_DIM 256u

typedef struct om_codec_params {
    uint32_t dim, metric, dtype;
    uint32_t quantization; /* OMEN_QUANT_*  */
    uint32_t rotation; /* OMEN_ROTATE_*; AUTO rotates when that at least halves the coding error */
    uint64_t seed;
} om_codec_params;

typedef struct om_codec om_codec;

/* Trains on `count` >= 1 rows of float vectors (row i at sample + i * dim). u8 and i8 collections under L2
 * without rotation get the identity code: exact. */
omen_status_t om_codec_train(const om_alloc *alloc, const om_codec_params *params,
                             const float *sample, uint32_t count, om_codec **out,
                             omen_error *err) OM_NODISCARD;
void om_codec_free(om_codec *codec); /* NULL ok */

size_t om_codec_stride(const om_codec *codec);              /* bytes of a row: multiple of 64 */
uint32_t om_codec_row_bytes(const om_codec_params *params); /* the same, before training */
bool om_codec_rotated(const om_codec *codec);
/* Rows lose nothing: L2 between stored vectors is exact in the geometry of the graph. A user's query is
 * too when it is exactly representable (in an identity code: whole numbers in the range of the dtype). */
bool om_codec_exact(const om_codec *codec);
/* Mean squared coding error / mean squared distance from the mean, of the sample; 0 for exact codes. */
double om_codec_error(const om_codec *codec);

/* Floats of scratch that encode and the probes need. */
size_t om_codec_scratch(const om_codec *codec);
/* Encodes one vector; returns the number of clipped components. row: stride bytes, aligned to 64. */
uint32_t om_codec_encode(const om_codec *codec, const float *vector, float *scratch, uint8_t *row);
/* A probe for a user's query; data: stride bytes aligned to 64, which must outlive the probe. */
void om_codec_query(const om_codec *codec, const float *query, float *scratch, uint8_t *data,
                    om_probe *probe);
/* A probe for a stored row in the geometry of the graph. May point into the row itself or use data. */
void om_codec_row_probe(const om_codec *codec, const uint8_t *row, uint8_t *data, om_probe *probe);

/* Portable bytes of the codec for a segment file, and back. Hostile input gives OMEN_DATA_LOSS. */
size_t om_codec_export_size(const om_codec *codec);
void om_codec_export(const om_codec *codec, uint8_t *out);
omen_status_t om_codec_import(const om_alloc *alloc, const uint8_t *bytes, size_t size,
                              om_codec **out, omen_error *err) OM_NODISCARD;

/* Converts a stored vector of a dtype to floats. */
void om_to_f32(const om_kernels *kernels, uint32_t dtype, const void *in, float *out, uint32_t dim);
#endif
