/* engine_journal.c - batches and the model of them. SPDX-License-Identifier: Apache-2.0 */
#include "engine_journal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct state {
    uint32_t batch[JOURNAL_KEYS]; /* that wrote the key, plus 1; 0: not there */
} state;

static uint64_t key_of(uint32_t batch, uint32_t i)
{
    return ((uint64_t)batch * 13 + i * 7) % JOURNAL_KEYS;
}

static bool deletes(uint32_t batch)
{
    return batch % 5 == 4;
}

static void vector_of(uint32_t batch, uint64_t key, float *out)
{
    for (uint32_t d = 0; d < JOURNAL_DIM; d++) {
        out[d] = (float)((batch * 31 + (uint32_t)key * 17 + d * d * 5) % 1000);
    }
}

omen_status_t journal_create(omen_db *db, omen_collection **out, omen_error *err)
{
    const omen_options options = {.struct_size = sizeof options, .dim = JOURNAL_DIM, .m = 8};
    return omen_create(db, "journal", &options, out, err);
}

omen_status_t journal_write(journal *j, omen_collection *c, omen_error *err)
{
    uint32_t n = atomic_load(&j->written);
    uint64_t keys[JOURNAL_BATCH];
    float vectors[JOURNAL_BATCH][JOURNAL_DIM];
    omen_write_result result = {.struct_size = sizeof result};
    assert_true(n < JOURNAL_MAX);
    for (uint32_t i = 0; i < JOURNAL_BATCH; i++) {
        keys[i] = key_of(n, i);
        vector_of(n, keys[i], vectors[i]);
    }
    const omen_batch batch = {.struct_size = sizeof batch,
                              .count = JOURNAL_BATCH,
                              .vectors = vectors,
                              .dim = JOURNAL_DIM,
                              .keys = keys,
                              .stream_id = "s",
                              .stream_id_len = 1,
                              .seq = n + UINT64_C(1)};
    omen_status_t status = deletes(n) ? omen_delete_batch(c, &batch, &result, NULL, err)
                                      : omen_add_batch(c, &batch, &result, NULL, err);
    if (status == OMEN_OK) {
        j->version[n] = result.version;
        atomic_store(&j->written, n + 1);
    }
    return status;
}

static uint32_t replay(const journal *j, uint64_t version, state *out)
{
    memset(out, 0, sizeof *out);
    uint32_t n = 0;
    for (; n < atomic_load(&j->written) && j->version[n] <= version; n++) {
        for (uint32_t i = 0; i < JOURNAL_BATCH; i++) {
            out->batch[key_of(n, i)] = deletes(n) ? 0 : n + 1;
        }
    }
    return n;
}

static void check_items(const state *want, omen_collection *c, uint64_t *alive)
{
    uint64_t keys[JOURNAL_KEYS];
    uint8_t found[JOURNAL_KEYS];
    static float rows[JOURNAL_KEYS][JOURNAL_DIM];
    omen_error err = {0};
    *alive = 0;
    for (uint64_t k = 0; k < JOURNAL_KEYS; k++) {
        keys[k] = k;
    }
    fx_ok(omen_get_vectors(c, keys, JOURNAL_KEYS, rows, 0, 0, found, &err), &err, "get", __FILE__,
          __LINE__);
    for (uint32_t k = 0; k < JOURNAL_KEYS; k++) {
        float vector[JOURNAL_DIM];
        if (found[k] != (want->batch[k] != 0)) {
            fail_msg("key %u is %s, batch %u", k, found[k] ? "there" : "not there", want->batch[k]);
        }
        if (want->batch[k] != 0) {
            vector_of(want->batch[k] - 1, k, vector);
            assert_memory_equal(rows[k], vector, sizeof vector);
            ++*alive;
        }
    }
}

static void check_search(const state *want, omen_collection *c, uint64_t alive)
{
    for (uint32_t k = 0; k < JOURNAL_KEYS && alive != 0; k += 37) {
        float query[JOURNAL_DIM], vector[JOURNAL_DIM];
        float distance;
        uint64_t key;
        omen_error err = {0};
        double best = INFINITY;
        vector_of(k * 3, k, query);
        for (uint32_t other = 0; other < JOURNAL_KEYS; other++) {
            if (want->batch[other] != 0) {
                vector_of(want->batch[other] - 1, other, vector);
                best = fmin(best, fx_distance(OMEN_L2, query, vector, JOURNAL_DIM));
            }
        }
        const omen_query asked = {.struct_size = sizeof asked,
                                  .flags = OMEN_EXACT,
                                  .vectors = query,
                                  .dim = JOURNAL_DIM,
                                  .count = 1,
                                  .k = 1};
        omen_hits hits = {.struct_size = sizeof hits, .keys = &key, .distances = &distance};
        fx_ok(omen_search(c, &asked, &hits, &err), &err, "search", __FILE__, __LINE__);
        assert_true(key < JOURNAL_KEYS && want->batch[key] != 0);
        assert_true(fabs((double)distance - best) <= 1e-4 * (1 + best));
    }
}

uint32_t journal_check(const journal *j, omen_db *db, uint64_t version)
{
    omen_collection *c = NULL;
    omen_error err = {0};
    state want;
    uint64_t alive = 0, count = 0, seq = 0, epoch = 0;
    uint32_t batches = replay(j, version, &want);
    const omen_open_options options = {.struct_size = sizeof options};
    fx_ok(omen_open(db, "journal", &options, &c, &err), &err, "open", __FILE__, __LINE__);
    check_items(&want, c, &alive);
    fx_ok(omen_count(c, &count, &err), &err, "count", __FILE__, __LINE__);
    assert_int_equal(count, alive);
    check_search(&want, c, alive);
    omen_db_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(omen_get_db_stats(db, &stats, NULL), OMEN_OK);
    if (stats.state == OMEN_DB_WRITABLE) { /* opening a stream writes */
        fx_ok(omen_stream_open(c, "s", 1, &seq, &epoch, &err), &err, "stream", __FILE__, __LINE__);
        assert_int_equal(seq, batches);
    }
    omen_collection_free(c);
    return batches;
}
