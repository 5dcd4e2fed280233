/* dataset.c - reads MNIST idx images and ivecs answers from unpacked files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 1 << 30, IDX_HEADER = 16, IDX_IMAGES = 0x00000803 };

static uint32_t read_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint8_t *dataset_read_file(const char *dir, const char *file, size_t *size)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path) {
        fprintf(stderr, "%s/%s: path too long\n", dir, file);
        return NULL;
    }
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return NULL;
    }
    uint8_t *data = NULL;
    long end = -1;
    if (fseek(f, 0, SEEK_END) == 0 && (end = ftell(f)) > 0 && end <= MAX_FILE_BYTES &&
        fseek(f, 0, SEEK_SET) == 0) {
        data = malloc((size_t)end + 1);
    }
    if (data != NULL && fread(data, 1, (size_t)end, f) != (size_t)end) {
        free(data);
        data = NULL;
    }
    fclose(f);
    if (data == NULL) {
        fprintf(stderr, "%s: cannot be read (empty, over %d bytes, or a read error)\n", path,
                MAX_FILE_BYTES);
        return NULL;
    }
    data[end] = 0;
    *size = (size_t)end;
    return data;
}

int dataset_read_idx(const char *dir, const char *file, dataset *out)
{
    memset(out, 0, sizeof *out);
    size_t size = 0;
    uint8_t *data = dataset_read_file(dir, file, &size);
    if (data == NULL) {
        return 1;
    }
    uint64_t rows = 0;
    uint64_t dim = 0;
    if (size >= IDX_HEADER && read_be32(data) == IDX_IMAGES) {
        rows = read_be32(data + 4);
        dim = (uint64_t)read_be32(data + 8) * read_be32(data + 12);
    }
    if (rows == 0 || dim == 0 || dim > 65535 || rows * dim != size - IDX_HEADER) {
        fprintf(stderr, "%s/%s: not an idx file of images\n", dir, file);
        free(data);
        return 1;
    }
    memmove(data, data + IDX_HEADER, size - IDX_HEADER);
    *out = (dataset){.rows = (size_t)rows, .dim = (size_t)dim, .bytes = data};
    return 0;
}

int dataset_read_ivecs(const char *dir, const char *file, dataset *out)
{
    memset(out, 0, sizeof *out);
    size_t size = 0;
    uint8_t *data = dataset_read_file(dir, file, &size);
    if (data == NULL) {
        return 1;
    }
    int32_t dim = 0;
    if (size >= sizeof dim) {
        memcpy(&dim, data, sizeof dim);
    }
    size_t row = ((size_t)(dim > 0 ? dim : 0) + 1) * sizeof dim;
    size_t rows = size / row;
    int32_t *ints = dim > 0 && rows > 0 && size % row == 0 ? malloc(size) : NULL;
    for (size_t i = 0; ints != NULL && i < rows; i++) {
        int32_t d = 0;
        memcpy(&d, data + i * row, sizeof d);
        if (d != dim) {
            free(ints);
            ints = NULL;
        } else {
            memcpy(ints + i * (size_t)dim, data + i * row + sizeof d, row - sizeof d);
        }
    }
    free(data);
    if (ints == NULL) {
        fprintf(stderr, "%s/%s: not an ivecs file of equal rows\n", dir, file);
        return 1;
    }
    *out = (dataset){.rows = rows, .dim = (size_t)dim, .ints = ints};
    return 0;
}

void dataset_free(dataset *set)
{
    free(set->bytes);
    free(set->ints);
    memset(set, 0, sizeof *set);
}
