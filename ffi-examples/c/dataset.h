/* dataset.h - reads the files of the examples: MNIST idx images, ivecs answers, and others as they are.
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

/* The whole file in memory, a NUL behind it, to be freed; or NULL with a message on stderr. */
uint8_t *dataset_read_file(const char *dir, const char *file, size_t *size);

/* 0 on success; otherwise a message went to stderr and *out is empty. */
int dataset_read_idx(const char *dir, const char *file, dataset *out);
int dataset_read_ivecs(const char *dir, const char *file, dataset *out);
void dataset_free(dataset *set);
#endif
