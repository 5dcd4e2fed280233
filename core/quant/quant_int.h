/* quant_int.h - the inside of a codec: geometry, scale, rotation.
 * Depends on: base, simd.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_QUANT_INT_H
#define OM_QUANT_INT_H
#include "codec.h"

/* A scale outside these bounds would make its inverse overflow or vanish. */
#define OM_SCALE_MIN 1e-37f
#define OM_SCALE_MAX 1e37f
/* Rotated vectors are kept below this norm: the transform adds up to 65,536 components, and an infinite
 * intermediate sum would turn into NaN in the next stage. */
#define OM_ROTATE_NORM_MAX 1e36
enum { OM_ROTATE_STEPS = 4 };

/* A random orthogonal map of any dimension: random signs, then a Walsh-Hadamard transform of the first (in
 * odd steps: of the last) `block` components. The two blocks overlap; together they cover everything. */
typedef struct om_rotation {
    uint32_t dim;
    uint32_t block;                 /* the largest power of two <= dim     */
    float *factor[OM_ROTATE_STEPS]; /* sign, and 1 / sqrt(block) inside the block */
} om_rotation;

struct om_codec {
    om_codec_params params;
    const om_alloc *alloc;
    const om_kernels *kernels;
    uint32_t code_dim; /* components of a row                                */
    uint32_t bytes;    /* of a row that take part in distances               */
    uint32_t stride;
    bool floats;   /* rows are floats: no quantisation                       */
    bool identity; /* integer data kept as it is                             */
    bool normed;   /* half the squared norm in the last 4 bytes of a row     */
    bool rotated;
    float scale;
    float inv_scale;
    double radius; /* R of the extension for inner products                  */
    double error;
    float *center;      /* [code_dim]; NULL when rows are floats             */
    uint8_t *zero_code; /* [stride] of 0x80: the code of 0; NULL likewise    */
    om_rotation rotation;
};

/* An untrained codec with its geometry and arrays. */
omen_status_t om_codec_create(const om_alloc *alloc, const om_codec_params *params, om_codec **out,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_codec_check_params(const om_codec_params *params, omen_error *err) OM_NODISCARD;
bool om_codec_is_identity(const om_codec_params *params);
uint32_t om_codec_code_dim(const om_codec_params *params);
void om_codec_set_scale(om_codec *codec, float scale);

/* Brings a vector into the geometry of the graph: normalised or extended, and rotated. Returns the result
 * (code_dim floats): scratch, or the vector itself when nothing has to change. *over: a row longer
 * than R. */
const float *om_codec_transform(const om_codec *codec, const float *vector, float *scratch,
                                bool *over);
/* Rotates code_dim floats in place. */
void om_codec_rotate(const om_codec *codec, float *vector);
double om_norm_squared(const float *vector, uint32_t dim);

/* Centre and scale with the least squared coding error over `rows` vectors of code_dim floats. */
typedef struct om_fit {
    float *center; /* [dim], the caller's */
    float scale;
    double error;  /* sum of squared coding errors, predicted   */
    double energy; /* sum of squared distances from the mean    */
} om_fit;
omen_status_t om_fit_sq8(const om_alloc *alloc, const float *rows, uint32_t count, uint32_t dim,
                         om_fit *fit, omen_error *err) OM_NODISCARD;

omen_status_t om_rotation_init(const om_alloc *alloc, uint32_t dim, uint64_t seed, om_rotation *out,
                               omen_error *err) OM_NODISCARD;
void om_rotation_free(const om_alloc *alloc, om_rotation *rotation);
/* In place; the norm is kept up to rounding. */
void om_rotation_apply(const om_rotation *rotation, const om_kernels *kernels, float *vector);
#endif
