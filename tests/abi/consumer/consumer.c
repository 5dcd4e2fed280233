/* consumer.c - a stranger's program: made with nothing but the installed package, it stores vectors,
 * searches them, saves and opens. SPDX-License-Identifier: Apache-2.0 */
#include <omen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 500, DIM = 8, K = 3 };

static int fail(const char *what, const omen_error *err)
{
    fprintf(stderr, "%s: %s (%s/%s)\n", what, err->message, omen_status_name(err->status),
            omen_detail_name(err->detail));
    return 1;
}

/* Row i of the collection: its nearest neighbour is itself, then i - 1 or i + 1. */
static void fill(float *row, int i)
{
    for (int d = 0; d < DIM; d++) {
        row[d] = (float)i + (float)d * 0.25f;
    }
}

static int search(omen_collection *collection, omen_error *err)
{
    float query[DIM];
    uint64_t keys[K];
    float distances[K];
    for (int i = 0; i < ROWS; i += 7) {
        fill(query, i);
        if (omen_search_f32(collection, query, 1, K, 0, keys, distances, err) != OMEN_OK) {
            return fail("omen_search_f32", err);
        }
        if (keys[0] != 1000u + (uint64_t)i || distances[0] != 0.0f) {
            fprintf(stderr, "row %d: found key %llu at %g\n", i, (unsigned long long)keys[0],
                    (double)distances[0]);
            return 1;
        }
    }
    return 0;
}

static int add(omen_collection *collection, omen_error *err)
{
    static float vectors[ROWS][DIM];
    static uint64_t keys[ROWS];
    omen_batch batch = {0};
    omen_write_result result = {0};
    for (int i = 0; i < ROWS; i++) {
        fill(vectors[i], i);
        keys[i] = 1000u + (uint64_t)i;
    }
    batch.struct_size = sizeof batch;
    result.struct_size = sizeof result;
    batch.count = ROWS;
    batch.vectors = vectors;
    batch.dtype = OMEN_F32;
    batch.dim = DIM;
    batch.keys = keys;
    if (omen_add_batch(collection, &batch, &result, NULL, err) != OMEN_OK) {
        return fail("omen_add_batch", err);
    }
    if (result.applied != ROWS) {
        fprintf(stderr, "applied %llu rows\n", (unsigned long long)result.applied);
        return 1;
    }
    batch.dim = DIM + 1;
    if (omen_add_batch(collection, &batch, NULL, NULL, err) != OMEN_INVALID_ARGUMENT ||
        err->detail != OMEN_D_DIM_MISMATCH) {
        fprintf(stderr, "a wrong dimension was accepted\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    omen_error err;
    omen_db *db = NULL;
    omen_collection *made = NULL;
    omen_collection *opened = NULL;
    omen_options options = {0};
    omen_open_options from = {0};
    int result = 1;
    uint32_t version = omen_abi_version();
    if (argc != 2) {
        fprintf(stderr, "usage: consumer FILE\n");
        return 2;
    }
    if (version >> 16 != OMEN_ABI_MAJOR || (version & 0xFFFFu) < OMEN_ABI_MINOR) {
        fprintf(stderr, "header and library differ\n");
        return 1;
    }
    options.struct_size = sizeof options;
    options.dim = DIM;
    from.struct_size = sizeof from;
    from.file = argv[1];
    from.flags = OMEN_OPEN_VERIFY;
    if (omen_db_open(NULL, NULL, &db, &err) != OMEN_OK) {
        return fail("omen_db_open", &err);
    }
    if (omen_create(db, "made", &options, &made, &err) != OMEN_OK) {
        fail("omen_create", &err);
    } else if (add(made, &err) == 0 && search(made, &err) == 0) {
        if (omen_save(made, argv[1], NULL, &err) != OMEN_OK) {
            fail("omen_save", &err);
        } else if (omen_open(db, "opened", &from, &opened, &err) != OMEN_OK) {
            fail("omen_open", &err);
        } else {
            result = search(opened, &err);
        }
    }
    omen_db_free(db); /* in any order */
    omen_collection_free(opened);
    omen_collection_free(made);
    if (result == 0) {
        printf("consumer: omendb %s works\n", omen_version_string());
    }
    return result;
}
