/* churn_data.h - rows that need not be kept: a function of item and turn.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CHURN_DATA_H
#define OM_CHURN_DATA_H
#include <stdint.h>

enum { CHURN_MOST_DIM = 2048 };
typedef struct churn_rng {
    uint64_t state;
} churn_rng;
uint64_t churn_next(churn_rng *rng);
uint32_t churn_below(churn_rng *rng, uint32_t bound);

/* Vectors near a subspace of a few dozen dimensions, in some hundred loose clusters: a graph needs a beam of
 * several times k for them, as for real embeddings. */
typedef struct churn_data {
    uint32_t dim;
    uint64_t seed;
    float *basis;   /* [factors * dim]      */
    float *centers; /* [clusters * factors] */
} churn_data;
int churn_data_make(churn_data *data, uint32_t dim, uint64_t seed); /* 0, or -1 without memory */
void churn_data_free(churn_data *data);
void churn_row(const churn_data *data, uint64_t item, uint32_t turn, float *out);
#endif
