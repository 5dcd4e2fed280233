/* dataset.h - reads the two file formats of the examples: MNIST idx images and ivecs answers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLE_DATASET_H
#define EXAMPLE_DATASET_H
#include <stddef.h>
#include <stdint.h>

/* Rows of equal length, row-major. `bytes` is set for images, `ints` for answers. */
typedef struct dataset {
    size_t rows, dim;
    uint8_t *bytes;
    int32_t *ints;
} dataset;

/* 0 on success; otherwise a message went to stderr and *out is empty. */
int dataset_read_idx(const char *dir, const char *file, dataset *out);
int dataset_read_ivecs(const char *dir, const char *file, dataset *out);
void dataset_free(dataset *set);
#endif
