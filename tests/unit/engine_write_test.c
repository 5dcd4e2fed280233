/* engine_write_test.c - batches: modes, bad items, keys, streams, request ids, the bound of the tail.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_fixture.h"

static const omen_options four = {.dim = 4};
static const float one[4] = {1, 2, 3, 4};
static const float two[4] = {5, 6, 7, 8};

static omen_batch batch_of(const float *rows, const uint64_t *keys, uint64_t count)
{
    return (omen_batch){
        .struct_size = sizeof(omen_batch), .count = count, .vectors = rows, .dim = 4, .keys = keys};
}

static omen_write_result add(fixture *f, const omen_batch *batch)
{
    omen_write_result result = {.struct_size = sizeof result};
    OK(f, omen_add_batch(f->c, batch, &result, NULL, &f->err));
    return result;
}

static void stored_is(fixture *f, uint64_t key, const float *expected)
{
    float got[4];
    OK(f, omen_get_vectors(f->c, &key, 1, got, 0, 0, NULL, &f->err));
    assert_memory_equal(got, expected, sizeof got);
}

static void upsert_replaces_and_delete_removes(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    const uint64_t key = 7;
    omen_batch batch = batch_of(one, &key, 1);
    omen_write_result first = add(&f, &batch);
    assert_int_equal(first.replaced, 0);
    batch.vectors = two;
    omen_write_result second = add(&f, &batch);
    assert_int_equal(second.replaced, 1);
    assert_true(second.version > first.version);
    assert_int_equal(fx_count(&f), 1);
    stored_is(&f, key, two);
    fx_delete(&f, key);
    assert_int_equal(fx_count(&f), 0);
    float got[4];
    FAILS(&f, omen_get_vectors(f.c, &key, 1, got, 0, 0, NULL, &f.err), OMEN_NOT_FOUND, OMEN_D_NONE);
    batch.vectors = one;
    assert_int_equal(add(&f, &batch).replaced, 0);
    stored_is(&f, key, one);
    omen_stats stats = {.struct_size = sizeof stats};
    OK(&f, omen_get_stats(f.c, &stats, &f.err));
    assert_int_equal(stats.rows, 3);
    assert_int_equal(stats.count, 1);
    assert_int_equal(stats.deleted, 2);
    fx_close(&f);
}

static void the_last_of_two_equal_ids_wins(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    const uint64_t keys[3] = {1, 2, 1};
    float rows[12];
    memcpy(rows, one, sizeof one);
    memcpy(rows + 4, one, sizeof one);
    memcpy(rows + 8, two, sizeof two);
    omen_batch batch = batch_of(rows, keys, 3);
    omen_write_result result = add(&f, &batch);
    assert_int_equal(result.applied, 3);
    assert_int_equal(result.replaced, 1);
    assert_int_equal(fx_count(&f), 2);
    stored_is(&f, 1, two);
    stored_is(&f, 2, one);
    fx_close(&f);
}

static void insert_and_update_look_before_they_write(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    const uint64_t keys[2] = {1, 2};
    const uint64_t again[2] = {3, 3};
    float rows[8];
    memcpy(rows, one, sizeof one);
    memcpy(rows + 4, two, sizeof two);
    omen_batch batch = batch_of(rows, keys, 2);
    batch.mode = OMEN_UPDATE;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_NOT_FOUND, OMEN_D_NONE);
    assert_int_equal(f.err.item, 0);
    batch.mode = OMEN_INSERT;
    add(&f, &batch);
    const uint64_t half_new[2] = {9, 2};
    batch.keys = half_new;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_ALREADY_EXISTS, OMEN_D_NONE);
    assert_int_equal(f.err.item, 1);
    assert_int_equal(fx_count(&f), 2); /* nothing of it was written */
    batch.keys = again;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_ALREADY_EXISTS, OMEN_D_NONE);
    assert_int_equal(f.err.item, 1);
    assert_int_equal(fx_count(&f), 2);
    batch.mode = OMEN_UPDATE;
    batch.keys = keys;
    assert_int_equal(add(&f, &batch).replaced, 2);
    fx_close(&f);
}

static void bad_values_are_refused_with_their_item(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    const uint64_t keys[3] = {1, 2, 3};
    for (uint32_t i = 0; i < 3; i++) {
        float rows[12];
        for (uint32_t j = 0; j < 3; j++) {
            memcpy(rows + j * 4, one, sizeof one);
        }
        rows[i * 4 + 3 - i] = bad[i];
        omen_batch batch = batch_of(rows, keys, 3);
        FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT,
              OMEN_D_NOT_FINITE);
        assert_int_equal(f.err.item, i);
        assert_int_equal(fx_count(&f), 0);
    }
    const uint64_t none[2] = {4, OMEN_NONE};
    float rows[8] = {0};
    omen_batch batch = batch_of(rows, none, 2);
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    assert_int_equal(f.err.item, 1);
    assert_int_equal(fx_count(&f), 0);
    fx_close(&f);
}

static void shapes_are_checked(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    const uint64_t key = 1;
    omen_batch batch = batch_of(one, &key, 1);
    batch.dim = 5;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_DIM_MISMATCH);
    batch = batch_of(one, &key, 1);
    batch.dtype = OMEN_U8;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_TYPE);
    batch = batch_of(one, &key, 1);
    batch.stride = 15;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    batch = batch_of(one, &key, OMEN_MAX_BATCH_ITEMS + 1ull);
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    batch = batch_of(NULL, &key, 1);
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    batch = batch_of(one, &key, 1);
    batch.ids = (omen_column){.data = "12345678", .width = 8};
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_TYPE);
    batch = batch_of(one, &key, 1);
    batch.flags = 8;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    batch = batch_of(one, &key, 1);
    batch.mode = 5;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    batch = batch_of(one, &key, 1);
    batch.durability = 4;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    batch = batch_of(NULL, NULL, 0);
    assert_int_equal(add(&f, &batch).applied, 0);
    assert_int_equal(fx_count(&f), 0);
    fx_close(&f);
}

static void per_item_refuses_only_bad_ones(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    const uint64_t keys[5] = {1, 2, OMEN_NONE, 3, 2};
    float rows[20];
    for (uint32_t i = 0; i < 20; i++) {
        rows[i] = (float)i;
    }
    rows[6] = NAN;
    uint64_t out[5];
    int32_t status[5] = {99, 99, 99, 99, 99};
    omen_batch batch = batch_of(rows, keys, 5);
    batch.flags = OMEN_PER_ITEM;
    batch.mode = OMEN_INSERT;
    batch.keys_out = out;
    batch.item_status = status;
    omen_write_result result = add(&f, &batch);
    assert_int_equal(result.applied, 3);
    assert_int_equal(result.refused, 2);
    const int32_t expected[5] = {OMEN_OK, OMEN_INVALID_ARGUMENT, OMEN_INVALID_ARGUMENT, OMEN_OK,
                                 OMEN_OK};
    assert_memory_equal(status, expected, sizeof expected);
    assert_int_equal(out[0], 1);
    assert_true(out[1] == OMEN_NONE);
    stored_is(&f, 3, rows + 12);
    stored_is(&f, 2, rows + 16);
    result = add(&f, &batch); /* INSERT: by now all of the good ones exist */
    assert_int_equal(result.applied, 0);
    assert_int_equal(result.refused, 5);
    assert_int_equal(status[0], OMEN_ALREADY_EXISTS);
    fx_close(&f);
}

static void keys_are_assigned_above_all_others(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    float rows[12] = {0};
    uint64_t out[3];
    omen_batch batch = batch_of(rows, NULL, 3);
    batch.keys_out = out;
    add(&f, &batch);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[2], 2);
    const uint64_t high = 1000;
    omen_batch given = batch_of(one, &high, 1);
    add(&f, &given);
    add(&f, &batch);
    assert_int_equal(out[0], 1001);
    const uint64_t last = OMEN_NONE - 2;
    given.keys = &last;
    add(&f, &given);
    batch.count = 1;
    add(&f, &batch);
    assert_true(out[0] == OMEN_NONE - 1);
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_OUT_OF_RANGE, OMEN_D_LIMIT);
    fx_close(&f);
}

static void floats_go_into_half_floats(void **state)
{
    (void)state;
    fixture f;
    omen_options o = {.dim = 4, .dtype = OMEN_F16};
    fx_open(&f, &o, 1);
    const uint64_t key = 1;
    float rows[5] = {0, 0.5f, -2, 65504, 1.0f / 1024};
    omen_batch batch = batch_of(NULL, &key, 1);
    uint8_t odd[17];
    memcpy(odd + 1, rows + 1, 16); /* any alignment */
    batch.vectors = odd + 1;
    batch.dtype = OMEN_F32;
    add(&f, &batch);
    float got[4];
    OK(&f, omen_get_vectors(f.c, &key, 1, got, 0, OMEN_F32, NULL, &f.err));
    assert_memory_equal(got, rows + 1, sizeof got);
    const uint16_t halves[4] = {0x3800, 0xC000, 0x7BFF, 0x1400};
    uint16_t raw[4];
    OK(&f, omen_get_vectors(f.c, &key, 1, raw, 0, 0, NULL, &f.err));
    assert_memory_equal(raw, halves, sizeof raw);
    rows[3] = 70000; /* infinite as a half float */
    batch.vectors = rows + 1;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NOT_FINITE);
    const uint16_t infinite[4] = {0, 0, 0, 0x7C00};
    batch.vectors = infinite;
    batch.dtype = OMEN_F16;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NOT_FINITE);
    fx_close(&f);
}

static omen_batch streamed(const char *id, uint64_t seq, uint64_t epoch, const uint64_t *key)
{
    omen_batch batch = batch_of(one, key, 1);
    batch.stream_id = id;
    batch.stream_id_len = strlen(id);
    batch.seq = seq;
    batch.stream_epoch = epoch;
    return batch;
}

static void streams_apply_each_seq_once(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    uint64_t last = 9, epoch = 0, key = 1;
    OK(&f, omen_stream_open(f.c, "s", 1, &last, &epoch, &f.err));
    assert_int_equal(last, 0);
    omen_batch batch = streamed("s", 1, epoch, &key);
    omen_write_result first = add(&f, &batch);
    assert_false(first.replayed);
    key = 2;
    omen_write_result again = add(&f, &batch);
    assert_true(again.replayed);
    assert_int_equal(again.version, first.version);
    assert_int_equal(again.applied, 0);
    assert_int_equal(fx_count(&f), 1);
    batch.seq = 3;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_SEQUENCE);
    batch.seq = 2;
    batch.dim = 3; /* refused for what it is: the seq is used up */
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_DIM_MISMATCH);
    batch.dim = 4;
    assert_true(add(&f, &batch).replayed);
    batch.seq = 3;
    assert_false(add(&f, &batch).replayed);
    omen_batch gone = {.struct_size = sizeof gone,
                       .count = 1,
                       .keys = &key,
                       .stream_id = "s",
                       .stream_id_len = 1,
                       .seq = 4};
    omen_write_result result = {.struct_size = sizeof result};
    OK(&f, omen_delete_batch(f.c, &gone, &result, NULL, &f.err));
    assert_int_equal(result.applied, 1);
    OK(&f, omen_delete_batch(f.c, &gone, &result, NULL, &f.err));
    assert_true(result.replayed);
    uint64_t newer = 0;
    OK(&f, omen_stream_open(f.c, "s", 1, &last, &newer, &f.err));
    assert_int_equal(last, 4);
    batch.seq = 5;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_ABORTED, OMEN_D_SEQUENCE);
    batch.stream_epoch = newer;
    add(&f, &batch);
    fx_close(&f);
}

static void stream_and_request_ids_have_limits(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    char name[OMEN_MAX_STREAM_ID + 1];
    memset(name, 's', sizeof name);
    uint64_t last, epoch;
    const uint64_t key = 1;
    OK(&f, omen_stream_open(f.c, name, OMEN_MAX_STREAM_ID, &last, &epoch, &f.err));
    FAILS(&f, omen_stream_open(f.c, name, OMEN_MAX_STREAM_ID + 1, &last, &epoch, &f.err),
          OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    FAILS(&f, omen_stream_open(f.c, name, 0, &last, &epoch, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_LIMIT);
    omen_batch batch = batch_of(one, &key, 1);
    batch.seq = 1;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_SEQUENCE);
    batch = streamed("s", 0, 0, &key);
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_SEQUENCE);
    batch = batch_of(one, &key, 1);
    batch.request_id = name;
    batch.request_id_len = OMEN_MAX_REQUEST_ID;
    add(&f, &batch);
    batch.request_id_len = OMEN_MAX_REQUEST_ID + 1;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    fx_close(&f);
}

static omen_write_result request(fixture *f, uint32_t number)
{
    char id[16];
    const uint64_t key = number;
    (void)snprintf(id, sizeof id, "r%u", number);
    omen_batch batch = batch_of(one, &key, 1);
    batch.request_id = id;
    batch.request_id_len = strlen(id);
    return add(f, &batch);
}

static void the_newest_request_ids_are_remembered(void **state)
{
    (void)state;
    enum { REMEMBERED = 65536 };
    fixture f;
    fx_open(&f, &four, 1);
    omen_write_result first = request(&f, 0);
    omen_write_result again = request(&f, 0);
    assert_true(again.replayed);
    assert_int_equal(again.version, first.version);
    assert_int_equal(again.applied, 1);
    for (uint32_t i = 1; i < REMEMBERED; i++) {
        assert_false(request(&f, i).replayed);
    }
    assert_true(request(&f, 0).replayed);
    assert_false(request(&f, REMEMBERED).replayed); /* the oldest one goes */
    assert_true(request(&f, 1).replayed);
    assert_true(request(&f, REMEMBERED / 2).replayed);
    assert_false(request(&f, 0).replayed);
    assert_false(request(&f, 1).replayed);
    fx_close(&f);
}

/* The tail cannot always hold a whole micro-batch here, which is all that the background takes: a writer
 * is refused at most until the background has taken one. */
static void a_bound_below_a_micro_batch_lets_writers_go_on(void **state)
{
    (void)state;
    fixture f;
    const omen_options o = {.dim = 4, .max_backlog_rows = 100};
    fx_open(&f, &o, 1);
    float *rows = fx_rows(50, 4, 3);
    uint64_t keys[50];
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < 50; j++) {
            keys[j] = 50 * i + j;
        }
        omen_batch batch = batch_of(rows, keys, 50);
        batch.flags = OMEN_NO_THROTTLE;
        omen_status_t status = OMEN_RESOURCE_EXHAUSTED;
        for (uint32_t tries = 0; status == OMEN_RESOURCE_EXHAUSTED && tries < 60000; tries++) {
            status = omen_add_batch(f.c, &batch, NULL, NULL, &f.err);
            if (status == OMEN_RESOURCE_EXHAUSTED) {
                const struct timespec pause = {0, 1000000};
                (void)nanosleep(&pause, NULL);
            }
        }
        OK(&f, status);
    }
    assert_int_equal(fx_count(&f), 1000);
    free(rows);
    fx_close(&f);
}

static void at_the_bound_of_the_tail_writers_wait_or_are_told(void **state)
{
    (void)state;
    fixture f;
    omen_options o = {.dim = 4, .max_backlog_rows = 2000};
    fx_open(&f, &o, 1);
    float *rows = fx_rows(2000, 4, 3);
    omen_op *op = NULL;
    OK(&f, omen_op_create(&op, &f.err));
    omen_op_cancel(op);
    fx_add(&f, rows, 2000, 0);
    const uint64_t key = 5000;
    omen_batch batch = batch_of(one, &key, 1);
    batch.flags = OMEN_NO_THROTTLE;
    omen_write_result result = {.struct_size = sizeof result};
    omen_status_t status = omen_add_batch(f.c, &batch, &result, NULL, &f.err);
    if (status != OMEN_OK) { /* unless the background was quicker */
        FAILS(&f, status, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BACKLOG);
        assert_int_equal(f.err.flags & OMEN_ERROR_RETRIABLE, OMEN_ERROR_RETRIABLE);
    }
    for (uint32_t i = 0; i < 10; i++) {
        fx_add(&f, rows, 1000, 10000 + 1000 * i);
        omen_write_progress progress = {.struct_size = sizeof progress};
        OK(&f, omen_get_progress(f.c, &progress, &f.err));
        assert_int_equal(progress.backlog_limit_rows, 2000);
        assert_true(progress.backlog_rows < 2000 + 1000);
    }
    fx_add(&f, rows, 2000, 50000);
    omen_write_progress progress = {.struct_size = sizeof progress};
    OK(&f, omen_get_progress(f.c, &progress, &f.err));
    batch.flags = 0;
    status = omen_add_batch(f.c, &batch, NULL, op, &f.err);
    assert_true(status == OMEN_CANCELLED);
    omen_op_free(op);
    free(rows);
    fx_close(&f);
}

static void versions_rise_and_can_be_waited_for(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &four, 1);
    float *rows = fx_rows(3000, 4, 4);
    const uint64_t key = 1;
    omen_batch batch = batch_of(one, &key, 1);
    uint64_t early = add(&f, &batch).version;
    fx_add(&f, rows, 3000, 10);
    omen_write_progress p = {.struct_size = sizeof p};
    OK(&f, omen_wait(f.c, early, OMEN_WAIT_INDEXED, 0, NULL, &f.err));
    OK(&f, omen_get_progress(f.c, &p, &f.err));
    assert_true(p.indexed_version >= early);
    assert_int_equal(p.visible_version, early + 1);
    assert_int_equal(p.durable_version, early + 1);
    OK(&f, omen_wait(f.c, early + 1, OMEN_WAIT_VISIBLE, 0, NULL, &f.err));
    OK(&f, omen_wait(f.c, 0, OMEN_WAIT_INDEXED, 0, NULL, &f.err));
    OK(&f, omen_get_progress(f.c, &p, &f.err));
    assert_int_equal(p.indexed_version, early + 1);
    assert_int_equal(p.backlog_rows, 0);
    FAILS(&f, omen_wait(f.c, early + 2, OMEN_WAIT_VISIBLE, 0, NULL, &f.err), OMEN_OUT_OF_RANGE,
          OMEN_D_NONE);
    FAILS(&f, omen_wait(f.c, 0, 4, 0, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    free(rows);
    fx_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upsert_replaces_and_delete_removes),
        cmocka_unit_test(the_last_of_two_equal_ids_wins),
        cmocka_unit_test(insert_and_update_look_before_they_write),
        cmocka_unit_test(bad_values_are_refused_with_their_item),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(per_item_refuses_only_bad_ones),
        cmocka_unit_test(keys_are_assigned_above_all_others),
        cmocka_unit_test(floats_go_into_half_floats),
        cmocka_unit_test(streams_apply_each_seq_once),
        cmocka_unit_test(stream_and_request_ids_have_limits),
        cmocka_unit_test(the_newest_request_ids_are_remembered),
        cmocka_unit_test(a_bound_below_a_micro_batch_lets_writers_go_on),
        cmocka_unit_test(at_the_bound_of_the_tail_writers_wait_or_are_told),
        cmocka_unit_test(versions_rise_and_can_be_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
