/* quant_rotate.c - the random rotation: signs and overlapping Walsh-Hadamard blocks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "quant_int.h"
#include "rng.h"

static uint32_t block_start(const om_rotation *rotation, uint32_t step)
{
    return step % 2 == 0 ? 0 : rotation->dim - rotation->block;
}

omen_status_t om_rotation_init(const om_alloc *alloc, uint32_t dim, uint64_t seed, om_rotation *out,
                               omen_error *err)
{
    uint32_t block = 1;
    while (block * 2 <= dim) {
        block *= 2;
    }
    *out = (om_rotation){.dim = dim, .block = block};
    const size_t bytes = (size_t)dim * sizeof(float);
    const float norm = (float)(1.0 / sqrt((double)block));
    uint64_t state = om_mix64(seed ^ UINT64_C(0x726f746174696f6e));
    for (uint32_t step = 0; step < OM_ROTATE_STEPS; step++) {
        float *factor = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
        if (factor == NULL) {
            om_rotation_free(alloc, out);
            return om_fail_memory(err, "rotation", bytes);
        }
        out->factor[step] = factor;
        const uint32_t start = block_start(out, step);
        uint64_t bits = 0;
        for (uint32_t i = 0; i < dim; i++) {
            bits = i % 64 == 0 ? om_rng_next(&state) : bits >> 1;
            float scale = i >= start && i - start < block ? norm : 1.0f;
            factor[i] = (bits & 1) != 0 ? -scale : scale;
        }
    }
    return OMEN_OK;
}

void om_rotation_free(const om_alloc *alloc, om_rotation *rotation)
{
    for (uint32_t step = 0; step < OM_ROTATE_STEPS; step++) {
        om_alloc_put(alloc, rotation->factor[step], (size_t)rotation->dim * sizeof(float),
                     OM_CACHE_LINE);
        rotation->factor[step] = NULL;
    }
}

void om_rotation_apply(const om_rotation *rotation, const om_kernels *kernels, float *vector)
{
    for (uint32_t step = 0; step < OM_ROTATE_STEPS; step++) {
        const float *factor = rotation->factor[step];
        for (uint32_t i = 0; i < rotation->dim; i++) {
            vector[i] *= factor[i];
        }
        kernels->hadamard(vector + block_start(rotation, step), rotation->block);
    }
}
