/* main.c - OmenDB from C: store 10,000 images in one call, find neighbours, check the answers, handle
 * errors, save and open again, keep a database in a folder, free.
 *
 * Usage: omen-example DIR SAVE_FILE; the folder is SAVE_FILE.db; DIR holds train-images-idx3-ubyte,
 * t10k-images-idx3-ubyte and groundtruth.ivecs, unpacked. The last line is "c: recall@10=R". Exit
 * status 0 when all is well.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset.h"

#include <math.h>
#include <omen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { K = 10 };

/* Every failing call fills the caller's omen_error: code, machine-readable reason, item and text. */
static int failed(const char *what, const omen_error *err)
{
    fprintf(stderr, "%s: %s / %s: %s\n", what, omen_status_name(err->status),
            omen_detail_name(err->detail), err->message);
    return 1;
}

static int create_collection(omen_db *db, const char *name, uint32_t dtype, uint32_t dim,
                             omen_collection **out)
{
    omen_error err;
    const omen_options options = {
        .struct_size = sizeof options, .dim = dim, .dtype = dtype, .metric = OMEN_L2};
    return omen_create(db, name, &options, out, &err) == OMEN_OK ? 0 : failed("create", &err);
}

/* All rows in one call. The ids are the row numbers. */
static int add_images(omen_collection *c, const dataset *images)
{
    int rc = 1;
    uint64_t *ids = malloc(images->rows * sizeof *ids);
    if (ids == NULL) {
        perror("malloc");
        return 1;
    }
    for (size_t i = 0; i < images->rows; i++) {
        ids[i] = i;
    }
    omen_error err;
    omen_write_result result = {.struct_size = sizeof result};
    const omen_batch batch = {.struct_size = sizeof batch,
                              .count = images->rows,
                              .vectors = images->bytes,
                              .dtype = OMEN_U8,
                              .dim = (uint32_t)images->dim,
                              .keys = ids};
    if (omen_add_batch(c, &batch, &result, NULL, &err) != OMEN_OK) {
        failed("add", &err);
        goto out;
    }
    if (omen_wait(c, result.version, OMEN_WAIT_INDEXED, 0, NULL, &err) != OMEN_OK) {
        failed("wait", &err);
        goto out;
    }
    printf("added %llu items as version %llu\n", (unsigned long long)result.applied,
           (unsigned long long)result.version);
    rc = result.applied == images->rows ? 0 : 1;
out:
    free(ids);
    return rc;
}

static size_t count_found(const uint64_t *keys, const int32_t *truth)
{
    size_t found = 0;
    for (size_t i = 0; i < K; i++) {
        for (size_t j = 0; j < K; j++) {
            if (keys[i] == (uint64_t)truth[j]) {
                found++;
                break;
            }
        }
    }
    return found;
}

/* One call searches for all queries. OMEN_GRAPH_ONLY: a collection this small would otherwise be
 * scanned, and the example would not show the index. */
static int search_images(omen_collection *c, const dataset *queries, const dataset *truth,
                         double *recall)
{
    int rc = 1;
    uint64_t *keys = malloc(queries->rows * K * sizeof *keys);
    float *distances = malloc(queries->rows * K * sizeof *distances);
    if (keys == NULL || distances == NULL) {
        perror("malloc");
        goto out;
    }
    omen_error err;
    const omen_query query = {.struct_size = sizeof query,
                              .flags = OMEN_GRAPH_ONLY,
                              .vectors = queries->bytes,
                              .dtype = OMEN_U8,
                              .dim = (uint32_t)queries->dim,
                              .count = (uint32_t)queries->rows,
                              .k = K};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .distances = distances};
    if (omen_search(c, &query, &hits, &err) != OMEN_OK) {
        failed("search", &err);
        goto out;
    }
    size_t found = 0;
    for (size_t q = 0; q < queries->rows; q++) {
        found += count_found(keys + q * K, truth->ints + q * truth->dim);
    }
    *recall = (double)found / (double)(queries->rows * K);
    printf("image 0: nearest is item %llu at squared distance %.0f\n", (unsigned long long)keys[0],
           (double)distances[0]);
    rc = 0;
out:
    free(keys);
    free(distances);
    return rc;
}

static int expect(const char *what, const omen_error *err, omen_status_t status, int32_t detail)
{
    if (err->status != status || err->detail != detail) {
        fprintf(stderr, "%s: expected %s / %s\n", what, omen_status_name(status),
                omen_detail_name(detail));
        return failed(what, err);
    }
    printf("as expected, %s: %s\n", what, err->message);
    return 0;
}

/* Mistakes come back as codes, with the item that is to blame; nothing of the batch is kept. */
static int show_errors(omen_db *db)
{
    int rc = 1;
    omen_collection *c = NULL;
    if (create_collection(db, "errors", OMEN_F32, 4, &c) != 0) {
        return 1;
    }
    float rows[2][4] = {{1, 2, 3, 4}, {5, 6, NAN, 8}};
    omen_batch batch = {.struct_size = sizeof batch, .count = 2, .vectors = rows, .dim = 4};
    omen_error err = {0};
    uint64_t count = 99;
    if (omen_add_batch(c, &batch, NULL, NULL, &err) == OMEN_OK ||
        expect("a NaN", &err, OMEN_INVALID_ARGUMENT, OMEN_D_NOT_FINITE) != 0 || err.item != 1) {
        goto out;
    }
    batch.dim = 3;
    if (omen_add_batch(c, &batch, NULL, NULL, &err) == OMEN_OK ||
        expect("a wrong dimension", &err, OMEN_INVALID_ARGUMENT, OMEN_D_DIM_MISMATCH) != 0) {
        goto out;
    }
    if (omen_count(c, &count, &err) != OMEN_OK || count != 0) {
        fprintf(stderr, "a refused batch left %llu items\n", (unsigned long long)count);
        goto out;
    }
    rc = 0;
out:
    omen_collection_free(c);
    return rc;
}

/* One file holds a collection; opening it maps the file and costs the same whatever its size. */
static int save_and_open(omen_db *db, omen_collection *c, const char *path, uint64_t expected)
{
    omen_error err;
    if (omen_save(c, path, NULL, &err) != OMEN_OK) {
        return failed("save", &err);
    }
    const omen_open_options options = {.struct_size = sizeof options, .file = path};
    omen_collection *copy = NULL;
    uint64_t count = 0;
    if (omen_open(db, "copy", &options, &copy, &err) != OMEN_OK) {
        return failed("open", &err);
    }
    omen_status_t status = omen_count(copy, &count, &err);
    omen_collection_free(copy);
    if (status != OMEN_OK) {
        return failed("count", &err);
    }
    printf("saved and opened again: %llu items\n", (unsigned long long)count);
    return count == expected ? 0 : 1;
}

static int add_pair(omen_collection *c, uint64_t first)
{
    omen_error err;
    const float rows[2][2] = {{(float)first, 0}, {(float)first + 1, 0}};
    const uint64_t ids[2] = {first, first + 1};
    const omen_batch batch = {
        .struct_size = sizeof batch, .count = 2, .vectors = rows, .dim = 2, .keys = ids};
    return omen_add_batch(c, &batch, NULL, NULL, &err) == OMEN_OK ? 0 : failed("add", &err);
}

/* Opens the database, takes what is there or makes it, adds a pair, looks at it through a snapshot. */
static int one_visit(const char *folder, uint64_t expected_before)
{
    int rc = 1;
    omen_error err;
    omen_db *db = NULL;
    omen_collection *c = NULL;
    omen_collection *before = NULL;
    uint64_t count = 0;
    omen_db_stats stats = {.struct_size = sizeof stats};
    const omen_options options = {.struct_size = sizeof options, .dim = 2};
    if (omen_db_open(folder, NULL, &db, &err) != OMEN_OK) {
        return failed("open a folder", &err);
    }
    if (expected_before == 0) { /* of an earlier run of this program */
        if (omen_drop(db, "visits", &err) != OMEN_OK && err.status != OMEN_NOT_FOUND) {
            failed("drop", &err);
            goto out;
        }
        if (omen_create(db, "visits", &options, &c, &err) != OMEN_OK) {
            failed("create", &err);
            goto out;
        }
    } else if (omen_open(db, "visits", NULL, &c, &err) != OMEN_OK) {
        failed("open", &err);
        goto out;
    }
    if (omen_snapshot(c, &before, &err) != OMEN_OK) {
        failed("snapshot", &err);
        goto out;
    }
    if (add_pair(c, expected_before) != 0) {
        goto out;
    }
    if (omen_count(before, &count, &err) != OMEN_OK || count != expected_before ||
        omen_checkpoint(db, NULL, &err) != OMEN_OK ||
        omen_get_db_stats(db, &stats, &err) != OMEN_OK || stats.state != OMEN_DB_WRITABLE) {
        fprintf(stderr, "%s: %llu items where %llu were written\n", folder,
                (unsigned long long)count, (unsigned long long)expected_before);
        goto out;
    }
    printf("in a folder: %llu items of before, version %llu is durable\n",
           (unsigned long long)count, (unsigned long long)stats.durable_version);
    rc = 0;
out:
    omen_collection_free(before);
    omen_collection_free(c);
    omen_db_free(db); /* the last reference makes everything durable and unlocks the folder */
    return rc;
}

/* A folder keeps what was written: each visit finds what the one before has left. */
static int visit_twice(const char *save_file)
{
    char folder[4096];
    const int n = snprintf(folder, sizeof folder, "%s.db", save_file);
    if (n < 0 || (size_t)n >= sizeof folder) {
        fprintf(stderr, "%s: the path is too long\n", save_file);
        return 1;
    }
    return one_visit(folder, 0) != 0 || one_visit(folder, 2) != 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s DATA_DIR SAVE_FILE\n", argv[0]);
        return 2;
    }
    int rc = 1;
    double recall = 0;
    dataset images = {0};
    dataset queries = {0};
    dataset truth = {0};
    omen_db *db = NULL;
    omen_collection *c = NULL;
    omen_error err;
    if (dataset_read_idx(argv[1], "train-images-idx3-ubyte", &images) != 0 ||
        dataset_read_idx(argv[1], "t10k-images-idx3-ubyte", &queries) != 0 ||
        dataset_read_ivecs(argv[1], "groundtruth.ivecs", &truth) != 0) {
        goto out;
    }
    if (truth.rows != queries.rows || truth.dim < K || queries.dim != images.dim) {
        fprintf(stderr, "%s: the files do not belong together\n", argv[1]);
        goto out;
    }
    if (omen_db_open(NULL, NULL, &db, &err) != OMEN_OK) {
        failed("open", &err);
        goto out;
    }
    if (create_collection(db, "images", OMEN_U8, (uint32_t)images.dim, &c) != 0 ||
        add_images(c, &images) != 0 || search_images(c, &queries, &truth, &recall) != 0 ||
        show_errors(db) != 0 || save_and_open(db, c, argv[2], images.rows) != 0 ||
        visit_twice(argv[2]) != 0) {
        goto out;
    }
    printf("c: recall@10=%.4f\n", recall);
    rc = recall >= 0.95 ? 0 : 1;
out:
    omen_collection_free(c);
    omen_db_free(db);
    dataset_free(&images);
    dataset_free(&queries);
    dataset_free(&truth);
    return rc;
}
