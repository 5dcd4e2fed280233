/* engine_fixture.c - a database with one collection, data, and brute force to compare with.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FACTORS = 8 };

void fx_ok(omen_status_t status, const omen_error *err, const char *call, const char *file,
           int line)
{
    if (status != OMEN_OK) {
        print_error("%s:%d: %s: %s/%s: %s\n", file, line, call, omen_status_name(status),
                    omen_detail_name(err->detail), err->message);
        _fail(file, line);
    }
}

void fx_fails(omen_status_t got, const omen_error *err, omen_status_t status, int32_t detail,
              const char *call, const char *file, int line)
{
    if (got != status || err->status != status || err->detail != detail ||
        err->message[0] == '\0') {
        print_error("%s:%d: %s: %s/%s (%s), expected %s/%s\n", file, line, call,
                    omen_status_name(got), got == OMEN_OK ? "" : omen_detail_name(err->detail),
                    got == OMEN_OK ? "" : err->message, omen_status_name(status),
                    omen_detail_name(detail));
        _fail(file, line);
    }
}

void fx_open(fixture *f, const omen_options *options, uint32_t threads)
{
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = threads};
    memset(f, 0, sizeof *f);
    OK(f, omen_runtime_create(&ropt, &f->rt, &f->err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = f->rt};
    OK(f, omen_db_open(NULL, &dopt, &f->db, &f->err));
    omen_options o = *options;
    o.struct_size = sizeof o;
    OK(f, omen_create(f->db, "test", &o, &f->c, &f->err));
    f->options.struct_size = sizeof f->options;
    OK(f, omen_describe(f->c, &f->options, &f->err));
}

void fx_close(fixture *f)
{
    omen_collection_free(f->c);
    omen_db_free(f->db);
    omen_runtime_free(f->rt);
}

uint64_t fx_next(fx_rng *rng)
{
    uint64_t x = rng->state += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint32_t fx_below(fx_rng *rng, uint32_t bound)
{
    return (uint32_t)(((fx_next(rng) >> 32) * bound) >> 32);
}

float fx_uniform(fx_rng *rng)
{
    return (float)((double)(fx_next(rng) >> 11) / 4503599627370496.0 - 1.0);
}

float *fx_rows(uint32_t n, uint32_t dim, uint64_t seed)
{
    fx_rng rng = {seed};
    float *basis = malloc((size_t)FACTORS * dim * sizeof *basis);
    float *rows = malloc((size_t)n * dim * sizeof *rows);
    assert_non_null(basis);
    assert_non_null(rows);
    for (size_t i = 0; i < (size_t)FACTORS * dim; i++) {
        basis[i] = fx_uniform(&rng);
    }
    for (size_t i = 0; i < n; i++) {
        float weight[FACTORS];
        for (uint32_t j = 0; j < FACTORS; j++) {
            weight[j] = fx_uniform(&rng);
        }
        for (uint32_t d = 0; d < dim; d++) {
            float sum = 0.01f * fx_uniform(&rng);
            for (uint32_t j = 0; j < FACTORS; j++) {
                sum += weight[j] * basis[j * dim + d];
            }
            rows[i * dim + d] = sum;
        }
    }
    free(basis);
    return rows;
}

void fx_add(fixture *f, const float *rows, uint32_t n, uint64_t first)
{
    uint64_t *keys = malloc((size_t)n * sizeof *keys + 1);
    assert_non_null(keys);
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = first + i;
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = n,
                        .vectors = rows,
                        .dtype = OMEN_F32,
                        .dim = f->options.dim,
                        .keys = keys};
    omen_write_result result = {.struct_size = sizeof result};
    OK(f, omen_add_batch(f->c, &batch, &result, NULL, &f->err));
    assert_int_equal(result.applied, n);
    free(keys);
}

void fx_index(fixture *f)
{
    omen_stats stats = {.struct_size = sizeof stats};
    OK(f, omen_wait(f->c, 0, OMEN_WAIT_INDEXED, 0, NULL, &f->err));
    OK(f, omen_get_stats(f->c, &stats, &f->err));
    assert_int_equal(stats.backlog_rows, 0);
    assert_int_equal(stats.indexed_rows, stats.rows);
}

void fx_delete(fixture *f, uint64_t key)
{
    omen_batch batch = {.struct_size = sizeof batch, .count = 1, .keys = &key};
    omen_write_result result = {.struct_size = sizeof result};
    OK(f, omen_delete_batch(f->c, &batch, &result, NULL, &f->err));
    assert_int_equal(result.applied, 1);
}

uint64_t fx_count(fixture *f)
{
    uint64_t count = 0;
    OK(f, omen_count(f->c, &count, &f->err));
    return count;
}

uint32_t fx_search(fixture *f, const fx_query *q, uint64_t *keys, float *distances)
{
    uint32_t count = 0;
    omen_query query = {.struct_size = sizeof query,
                        .flags = q->flags,
                        .vectors = q->vector,
                        .dtype = OMEN_F32,
                        .dim = f->options.dim,
                        .count = 1,
                        .k = q->k,
                        .ef = q->ef};
    omen_hits hits = {
        .struct_size = sizeof hits, .keys = keys, .distances = distances, .counts = &count};
    OK(f, omen_search(f->c, &query, &hits, &f->err));
    for (uint32_t i = 0; i < q->k; i++) {
        assert_true((keys[i] != OMEN_NONE) == (i < count));
        assert_true(isinf(distances[i]) == (i >= count));
        if (i != 0 && i < count) {
            assert_true(distances[i] > distances[i - 1] ||
                        (distances[i] == distances[i - 1] && keys[i] > keys[i - 1]));
        }
    }
    return count;
}

double fx_distance(uint32_t metric, const float *a, const float *b, uint32_t dim)
{
    double l2 = 0, dot = 0, aa = 0, bb = 0;
    for (uint32_t d = 0; d < dim; d++) {
        double x = (double)a[d], y = (double)b[d];
        l2 += (x - y) * (x - y);
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    if (metric == OMEN_L2) {
        return l2;
    }
    if (metric == OMEN_IP) {
        return -dot;
    }
    return aa > 0 && bb > 0 ? 1 - dot / sqrt(aa) / sqrt(bb) : 1;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double fx_kth(const fixture *f, const float *q, const float *rows, const bool *alive, uint32_t n,
              uint32_t k)
{
    double *all = malloc((n + 1) * sizeof *all);
    uint32_t count = 0;
    assert_non_null(all);
    for (uint32_t i = 0; i < n; i++) {
        if (alive == NULL || alive[i]) {
            all[count++] = fx_distance(f->options.metric, q, rows + (size_t)i * f->options.dim,
                                       f->options.dim);
        }
    }
    assert_true(k >= 1 && k <= count);
    qsort(all, count, sizeof *all, compare);
    double kth = all[k - 1];
    free(all);
    return kth;
}

static char directory[256];
static void remove_directory(void)
{
    (void)rmdir(directory);
}

const char *fx_path(const char *name)
{
    static char path[512];
    if (directory[0] == '\0') {
        const char *base = getenv("TMPDIR");
        (void)snprintf(directory, sizeof directory, "%s/omen-test-XXXXXX",
                       base != NULL ? base : "/tmp");
        assert_non_null(mkdtemp(directory));
        (void)atexit(remove_directory);
    }
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

void fx_remove(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

uint8_t *fx_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long end = ftell(file);
    assert_true(end > 0);
    rewind(file);
    uint8_t *bytes = malloc((size_t)end);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)end, file), (size_t)end);
    assert_int_equal(fclose(file), 0);
    *size = (size_t)end;
    return bytes;
}

void fx_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
