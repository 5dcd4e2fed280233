/* engine_fields_test.c - metadata, text and versions of items: in memory, in the log, in files.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_items.h"

/* ---- In memory ------------------------------------------------------------------------------------ */
/* Waits until the background has put everything it can into blocks. */
static void settle(const items *x)
{
    om_segment *seg = om_set_last(om_set_load(x->f.c->c));
    uint64_t ready = 0;
    while (om_fields_wanted(seg, 0, &ready)) {
        om_indexer_pause(x->f.rt);
    }
}

static uint32_t covered(const items *x)
{
    const om_fields *fields = om_fields_of(om_set_last(om_set_load(x->f.c->c)));
    return fields != NULL ? atomic_load(&fields->covered) : 0;
}

static void rows_and_blocks_say_the_same(void **state)
{
    (void)state;
    enum { ROWS = 70000 };
    items x;
    it_begin(&x, ROWS, NULL);
    for (uint32_t at = 0; at < ROWS;) {
        uint32_t n = 1 + fx_below(&x.rng, 3000);
        n = n < ROWS - at ? n : ROWS - at;
        (void)it_put(&x, at, n, fx_below(&x.rng, 8) == 0);
        at += n;
    }
    it_check(&x, x.f.c); /* whatever is built by now */
    settle(&x);
    assert_int_equal(covered(&x), ROWS / OM_SUB_ROWS * OM_SUB_ROWS);
    const om_parts_list *parts =
        atomic_load(&om_fields_of(om_set_last(om_set_load(x.f.c->c)))->parts);
    assert_int_equal(parts->meta[0].rows, OM_FULL_ROWS);
    it_check(&x, x.f.c);
    it_check_text(&x, x.f.c);
    uint64_t titles = 0;
    for (uint32_t key = 0; key < ROWS; key++) {
        titles += x.item[key].has_title;
    }
    omen_stats stats = {.struct_size = sizeof stats};
    OK(&x.f, omen_get_stats(x.f.c, &stats, &x.f.err));
    assert_int_equal(stats.fields, 5);
    assert_int_equal(stats.text_rows, titles);
    assert_true(stats.bytes_metadata > ROWS && stats.bytes_text > titles);
    it_end(&x);
}

/* Items that are replaced, changed and deleted; others come one by one. */
static void items_change(void **state)
{
    (void)state;
    enum { ROWS = 3000 };
    items x;
    it_begin(&x, ROWS, NULL);
    (void)it_put(&x, 0, ROWS / 2, false);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t first = fx_below(&x.rng, ROWS / 2);
        uint32_t n = 1 + fx_below(&x.rng, 20);
        switch (fx_below(&x.rng, 4)) {
        case 0:
            (void)it_put(&x, ROWS / 2 + i, 1, false);
            break;
        case 1:
            it_remove(&x, ROWS / 2 + i, 1);
            break;
        case 2:
            (void)it_put(&x, first, n, fx_below(&x.rng, 3) == 0);
            break;
        default:
            assert_int_equal(it_patch(&x, first, n, fx_below(&x.rng, 2) == 0).replaced, n);
            break;
        }
    }
    it_check(&x, x.f.c);
    it_check_text(&x, x.f.c);
    it_end(&x);
}

/* ---- Refusals --------------------------------------------------------------------------------------- */
static omen_batch one(const uint64_t *keys, const float *vectors, const char *json,
                      const int64_t *offsets, uint64_t count)
{
    return (omen_batch){.struct_size = sizeof(omen_batch),
                        .count = count,
                        .vectors = vectors,
                        .dim = IT_DIM,
                        .keys = keys,
                        .metadata = {.data = json, .offsets = offsets, .offset_bits = 64}};
}

static void bad_metadata_is_refused(void **state)
{
    (void)state;
    items x;
    it_begin(&x, 4, NULL);
    const uint64_t keys[2] = {0, 1};
    const float vectors[2 * IT_DIM] = {0};
    const char *json = "{\"n\":1}{\"n\":\"x\"}";
    const int64_t offsets[3] = {0, 7, 16};
    omen_batch batch = one(keys, vectors, json, offsets, 2);
    FAILS(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_TYPE);
    assert_int_equal(x.f.err.item, 1);
    assert_int_equal(fx_count(&x.f), 0);
    int32_t states[2];
    omen_write_result result = {.struct_size = sizeof result};
    batch.flags = OMEN_PER_ITEM;
    batch.item_status = states;
    OK(&x.f, omen_add_batch(x.f.c, &batch, &result, NULL, &x.f.err));
    assert_int_equal(result.applied, 1);
    assert_int_equal(states[0], OMEN_OK);
    assert_int_equal(states[1], OMEN_INVALID_ARGUMENT);
    x.item[0] = (it_item){.alive = true, .has_n = true, .n = 1, .version = result.version};
    om_fields_look look;
    om_segment *seg = om_set_last(om_set_load(x.f.c->c));
    om_fields_look_at(seg, atomic_load(&seg->visible), &look);
    assert_int_equal(om_meta_fields(om_fields_meta_row(&look, 0)), 1);
    const int64_t falling[3] = {0, 16, 7};
    batch = one(keys, vectors, json, falling, 2);
    FAILS(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NONE);
    it_end(&x);
}

static void fields_of_refused_batches_do_not_stay(void **state)
{
    (void)state;
    items x;
    it_begin(&x, 4, NULL);
    (void)it_put(&x, 0, 1, false);
    const uint64_t key = 0;
    const float vector[IT_DIM] = {0};
    const char *json = "{\"fresh\":1}";
    const int64_t offsets[2] = {0, 11};
    omen_batch batch = one(&key, vector, json, offsets, 1);
    batch.mode = OMEN_INSERT;
    uint32_t before = om_schema_count(x.f.c->c->schema);
    FAILS(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err), OMEN_ALREADY_EXISTS,
          OMEN_D_NONE);
    assert_int_equal(om_schema_count(x.f.c->c->schema), before);
    it_check(&x, x.f.c);
    it_end(&x);
}

/* ---- Versions --------------------------------------------------------------------------------------- */
static omen_status_t put_if(items *x, uint64_t key, uint64_t version, uint32_t mode, int32_t *state)
{
    const float vector[IT_DIM] = {1};
    const char *json = "{\"n\":7}";
    const int64_t offsets[2] = {0, 7};
    omen_batch batch = one(&key, vector, json, offsets, 1);
    omen_write_result result = {.struct_size = sizeof result};
    batch.mode = mode;
    batch.if_version = &version;
    batch.flags = state != NULL ? (uint32_t)OMEN_PER_ITEM : 0;
    batch.item_status = state;
    omen_status_t status = omen_add_batch(x->f.c, &batch, &result, NULL, &x->f.err);
    if (status == OMEN_OK && result.applied == 1) {
        x->item[key].version = result.version;
    }
    return status;
}

static void versions_decide(void **state)
{
    (void)state;
    items x;
    it_begin(&x, 8, NULL);
    OK(&x.f, put_if(&x, 3, 0, OMEN_UPSERT, NULL)); /* must not be there */
    FAILS(&x.f, put_if(&x, 3, 0, OMEN_UPSERT, NULL), OMEN_ABORTED, OMEN_D_VERSION_CONFLICT);
    uint64_t first = x.item[3].version;
    OK(&x.f, put_if(&x, 3, first, OMEN_UPSERT, NULL));
    FAILS(&x.f, put_if(&x, 3, first, OMEN_PATCH, NULL), OMEN_ABORTED, OMEN_D_VERSION_CONFLICT);
    int32_t refused = 0;
    OK(&x.f, put_if(&x, 3, first, OMEN_PATCH, &refused));
    assert_int_equal(refused, OMEN_ABORTED);
    OK(&x.f, put_if(&x, 3, x.item[3].version, OMEN_PATCH, NULL));
    const uint64_t key = 3;
    omen_batch batch = {
        .struct_size = sizeof batch, .count = 1, .keys = &key, .if_version = &first};
    FAILS(&x.f, omen_delete_batch(x.f.c, &batch, NULL, NULL, &x.f.err), OMEN_ABORTED,
          OMEN_D_VERSION_CONFLICT);
    batch.if_version = &x.item[3].version;
    OK(&x.f, omen_delete_batch(x.f.c, &batch, NULL, NULL, &x.f.err));
    assert_int_equal(fx_count(&x.f), 0);
    OK(&x.f, put_if(&x, 3, 0, OMEN_INSERT, NULL));
    it_end(&x);
}

/* ---- On disk ----------------------------------------------------------------------------------------- */
static void reopen(items *x)
{
    it_close(x);
    it_open(x, false);
}

static void churn(items *x, uint32_t batches, uint32_t keys)
{
    for (uint32_t i = 0; i < batches; i++) {
        uint32_t n = 1 + fx_below(&x->rng, keys / 8);
        uint32_t first = fx_below(&x->rng, keys - n);
        uint32_t what = fx_below(&x->rng, 8);
        if (what == 0) {
            it_remove(x, first, n);
        } else if (what == 1 && x->item[first].alive) {
            (void)it_patch(x, first, 1, fx_below(&x->rng, 2) == 0);
        } else {
            (void)it_put(x, first, n, what == 2);
        }
    }
}

static void what_is_logged_comes_back(void **state)
{
    (void)state;
    items x;
    it_begin(&x, 2000, "logged");
    churn(&x, 40, 2000);
    it_check(&x, x.f.c);
    reopen(&x);
    it_check(&x, x.f.c);
    it_check_text(&x, x.f.c);
    churn(&x, 10, 2000);
    reopen(&x);
    it_check(&x, x.f.c);
    it_end(&x);
}

static void what_is_sealed_comes_back(void **state)
{
    (void)state;
    items x;
    it_begin(&x, 6000, "sealed");
    for (uint32_t i = 0; i < 5; i++) {
        churn(&x, 12, 6000);
        OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        it_check(&x, x.f.c);
        it_check_text(&x, x.f.c);
    }
    reopen(&x);
    it_check(&x, x.f.c);
    it_check_text(&x, x.f.c);
    omen_stats stats = {.struct_size = sizeof stats};
    OK(&x.f, omen_get_stats(x.f.c, &stats, &x.f.err));
    assert_true(stats.text_rows > 0 && stats.fields == 5);
    churn(&x, 5, 6000);
    omen_collection *snapshot = NULL;
    it_item *then = malloc(x.count * sizeof *then);
    memcpy(then, x.item, x.count * sizeof *then);
    OK(&x.f, omen_snapshot(x.f.c, &snapshot, &x.f.err));
    churn(&x, 5, 6000);
    OK(&x.f, omen_optimize(x.f.c, NULL, &x.f.err));
    it_check(&x, x.f.c);
    it_check_text(&x, x.f.c);
    it_check_against(&x, snapshot, then);
    omen_collection_free(snapshot);
    free(then);
    reopen(&x);
    it_check(&x, x.f.c);
    it_check_text(&x, x.f.c);
    omen_backup_options options = {.struct_size = sizeof options};
    it_close(&x);
    OK(&x.f, omen_verify(x.path, &options, NULL, NULL) == OMEN_OK
                 ? OMEN_OK
                 : omen_verify(x.path, &options, NULL, &x.f.err));
    it_open(&x, false);
    it_end(&x);
}

/* Several blocks in a file; merges copy some and make others anew. */
static void large_segments_merge(void **state)
{
    (void)state;
    enum { ROWS = 150000 };
    items x;
    it_begin(&x, ROWS, "large");
    for (uint32_t at = 0; at < ROWS / 2; at += 5000) {
        (void)it_put(&x, at, 5000, false);
    }
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    for (uint32_t at = ROWS / 2; at < ROWS; at += 5000) {
        (void)it_put(&x, at, 5000, at % 10000 == 0);
    }
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    it_remove(&x, ROWS / 2 + 70000, 100);
    OK(&x.f, omen_optimize(x.f.c, NULL, &x.f.err));
    it_check(&x, x.f.c);
    it_check_text(&x, x.f.c);
    reopen(&x);
    it_check(&x, x.f.c);
    it_end(&x);
}

static void files_carry_them(void **state)
{
    (void)state;
    items x;
    char path[512];
    it_begin(&x, 5000, NULL);
    churn(&x, 30, 5000);
    (void)snprintf(path, sizeof path, "%s", fx_path("fields.omen"));
    OK(&x.f, omen_save(x.f.c, path, NULL, &x.f.err));
    omen_open_options options = {
        .struct_size = sizeof options, .file = path, .flags = OMEN_OPEN_VERIFY};
    omen_collection *copy = NULL;
    OK(&x.f, omen_open(x.f.db, "copy", &options, &copy, &x.f.err));
    assert_int_equal(om_schema_count(copy->c->schema), om_schema_count(x.f.c->c->schema));
    it_check(&x, copy);
    it_check_text(&x, copy);
    omen_collection_free(copy);
    fx_remove(path);
    it_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_blocks_say_the_same),
        cmocka_unit_test(items_change),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(fields_of_refused_batches_do_not_stay),
        cmocka_unit_test(versions_decide),
        cmocka_unit_test(what_is_logged_comes_back),
        cmocka_unit_test(what_is_sealed_comes_back),
        cmocka_unit_test(files_carry_them),
        cmocka_unit_test(large_segments_merge),
    };
    return cmocka_run_group_tests_name("engine_fields", tests, NULL, NULL);
}
