/* engine_fields_threads_test.c - metadata and text that are read while batches come, blocks are built, and
 * segments are sealed and merged. SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_items.h"

enum { WRITERS = 2, BATCHES = 90, BATCH = 400 };
typedef struct traffic {
    items x;
    uint32_t writer; /* of the next thread */
    _Atomic bool done;
    _Atomic uint64_t seen; /* rows that were read */
} traffic;

/* Item k: n is k, the tag is its tens, the title has its parity. Twice the same keys, so that rows die. */
static void write_batches(traffic *t, uint32_t which)
{
    uint64_t *keys = calloc(BATCH, sizeof *keys);
    float *vectors = calloc((size_t)BATCH * IT_DIM, sizeof *vectors);
    char *json = calloc(BATCH, 128);
    int64_t *offsets = calloc(BATCH + 1, sizeof *offsets);
    for (uint32_t b = 0; b < BATCHES; b++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t at = (b % 60) * BATCH + i;
            keys[i] = at * WRITERS + which;
            vectors[(size_t)i * IT_DIM] = (float)at;
            offsets[i + 1] =
                offsets[i] + snprintf(json + offsets[i], 128,
                                      "{\"n\":%llu,\"tag\":\"t%llu\",\"title\":\"%s\"}",
                                      (unsigned long long)keys[i], (unsigned long long)keys[i] / 10,
                                      keys[i] % 2 == 0 ? "even number" : "odd");
        }
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = BATCH,
                            .vectors = vectors,
                            .dim = IT_DIM,
                            .keys = keys,
                            .metadata = {.data = json, .offsets = offsets, .offset_bits = 64}};
        omen_error err;
        assert_int_equal(omen_add_batch(t->x.f.c, &batch, NULL, NULL, &err), OMEN_OK);
    }
    free(keys);
    free(vectors);
    free(json);
    free(offsets);
}

static void *writer(void *arg)
{
    traffic *t = arg;
    write_batches(t, __atomic_fetch_add(&t->writer, 1, __ATOMIC_SEQ_CST));
    return NULL;
}

static void *keeper(void *arg)
{
    traffic *t = arg;
    omen_error err;
    while (!atomic_load(&t->done)) {
        assert_int_equal(omen_checkpoint(t->x.f.db, NULL, &err), OMEN_OK);
        assert_int_equal(omen_optimize(t->x.f.c, NULL, &err), OMEN_OK);
    }
    return NULL;
}

static void read_row(const om_fields_look *look, uint32_t slot, uint64_t key, om_bytes *scratch)
{
    const uint8_t *row = NULL;
    om_meta_value value;
    int64_t n = 0;
    omen_error err;
    assert_int_equal(om_fields_row(look, slot, scratch, &row, &err), OMEN_OK);
    assert_non_null(row);
    assert_true(om_meta_get(row, 1, &value) && value.type == OMEN_TYPE_INT64);
    memcpy(&n, value.payload, sizeof n);
    assert_true((uint64_t)n == key);
    if (slot >= look->parts->text_covered) {
        assert_non_null(om_fields_text_row(look, slot));
    }
}

static void *reader(void *arg)
{
    traffic *t = arg;
    om_collection *c = t->x.f.c->c;
    om_bytes scratch = {.alloc = &c->rt->alloc};
    uint64_t seed = 99;
    while (!atomic_load(&t->done)) {
        om_ctx *ctx = NULL;
        assert_int_equal(om_ctx_acquire(c->rt, &ctx, NULL), OMEN_OK);
        om_ctx_pin(c->rt, ctx);
        const om_set *set = om_set_load(c);
        for (uint32_t p = 0; p < set->count; p++) {
            om_fields_look look;
            uint32_t rows = atomic_load(&set->part[p]->visible);
            const om_view *view = om_view_load(set->part[p]);
            om_fields_look_at(set->part[p], rows, &look);
            /* A short block ends a segment, or does not exist: single rows begin with a chunk. */
            assert_true(look.parts->text_covered % OM_CHUNK_ROWS == 0 ||
                        look.parts->text_covered >= rows);
            for (uint32_t i = 0; i < 64 && rows != 0; i++) {
                seed = om_mix64(seed);
                uint32_t slot = i == 0 ? rows - 1 : (uint32_t)(seed % rows);
                read_row(&look, slot, view->keys[slot], &scratch);
                atomic_fetch_add(&t->seen, 1);
            }
        }
        om_ctx_unpin(ctx);
        om_ctx_release(ctx);
    }
    if (scratch.data != NULL) {
        om_bytes_free(&scratch);
    }
    return NULL;
}

static void rows_are_read_while_everything_moves(void **state)
{
    (void)state;
    traffic t = {.writer = 0};
    pthread_t writers[WRITERS];
    pthread_t others[3];
    it_begin(&t.x, 1, "moving");
    it_close(&t.x);
    t.x.options.seal_rows = 1500; /* segments are frozen all the time */
    it_open(&t.x, false);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&others[i], NULL, i == 0 ? keeper : reader, &t), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, writer, &t), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    }
    atomic_store(&t.done, true);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(others[i], NULL), 0);
    }
    assert_true(atomic_load(&t.seen) > 0);
    assert_int_equal(fx_count(&t.x.f), WRITERS * 60 * BATCH);
    it_end(&t.x);
}

/* The same in memory, where nothing is sealed and all blocks are built beside the readers. */
static void rows_are_read_while_blocks_are_built(void **state)
{
    (void)state;
    traffic t = {.writer = 0};
    pthread_t threads[WRITERS + 2];
    it_begin(&t.x, 1, NULL);
    for (uint32_t i = 0; i < WRITERS + 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? reader : writer, &t), 0);
    }
    for (uint32_t i = 2; i < WRITERS + 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    om_segment *seg = om_set_last(om_set_load(t.x.f.c->c));
    uint64_t ready = 0;
    while (om_fields_wanted(seg, 0, &ready)) {
        om_indexer_pause(t.x.f.rt);
    }
    atomic_store(&t.done, true);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(fx_count(&t.x.f), WRITERS * 60 * BATCH);
    it_end(&t.x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_while_everything_moves),
        cmocka_unit_test(rows_are_read_while_blocks_are_built),
    };
    return cmocka_run_group_tests_name("engine_fields_threads", tests, NULL, NULL);
}
