/* churn_data.c - the generator of rows. SPDX-License-Identifier: Apache-2.0 */
#include "churn_data.h"

#include <stdlib.h>

enum { FACTORS = 48, CLUSTERS = 200 };
static const float NOISE = 0.05f;
static const float SPREAD = 1.0f; /* of a cluster, against the distance between clusters */

uint64_t churn_next(churn_rng *rng)
{
    uint64_t x = rng->state += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint32_t churn_below(churn_rng *rng, uint32_t bound)
{
    return (uint32_t)(((churn_next(rng) >> 32) * bound) >> 32);
}

static float uniform(churn_rng *rng)
{
    return (float)((double)(churn_next(rng) >> 11) / 4503599627370496.0 - 1.0);
}

int churn_data_make(churn_data *data, uint32_t dim, uint64_t seed)
{
    churn_rng rng = {seed};
    *data = (churn_data){.dim = dim, .seed = seed};
    data->basis = malloc((size_t)FACTORS * dim * sizeof *data->basis);
    data->centers = malloc((size_t)CLUSTERS * FACTORS * sizeof *data->centers);
    if (data->basis == NULL || data->centers == NULL) {
        churn_data_free(data);
        return -1;
    }
    for (size_t i = 0; i < (size_t)FACTORS * dim; i++) {
        data->basis[i] = uniform(&rng);
    }
    for (size_t i = 0; i < (size_t)CLUSTERS * FACTORS; i++) {
        data->centers[i] = uniform(&rng);
    }
    return 0;
}

void churn_data_free(churn_data *data)
{
    free(data->basis);
    free(data->centers);
    data->basis = NULL;
    data->centers = NULL;
}

void churn_row(const churn_data *data, uint64_t item, uint32_t turn, float *out)
{
    churn_rng rng = {data->seed ^ (item * UINT64_C(0xD1342543DE82EF95) + turn)};
    const float *center = data->centers + (size_t)churn_below(&rng, CLUSTERS) * FACTORS;
    float weight[FACTORS];
    for (uint32_t j = 0; j < FACTORS; j++) {
        weight[j] = center[j] + SPREAD * uniform(&rng);
    }
    for (uint32_t d = 0; d < data->dim; d++) {
        out[d] = NOISE * uniform(&rng);
    }
    for (uint32_t j = 0; j < FACTORS; j++) {
        const float *basis = data->basis + (size_t)j * data->dim;
        for (uint32_t d = 0; d < data->dim; d++) {
            out[d] += weight[j] * basis[d];
        }
    }
}
