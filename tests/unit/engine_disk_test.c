/* engine_disk_test.c - what was written is there again: after a clean end and after a kill, in every shape.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_fixture.h"

static const omen_options shapes[DB_COLLECTIONS] = {
    {.metric = OMEN_L2, .dtype = OMEN_F32, .id_type = OMEN_ID_U64},
    {.metric = OMEN_L2, .dtype = OMEN_F16, .id_type = OMEN_ID_STRING},
    {.metric = OMEN_L2,
     .dtype = OMEN_F32,
     .id_type = OMEN_ID_UUID,
     .durability = OMEN_DURABILITY_NONE},
    {.metric = OMEN_L2,
     .dtype = OMEN_F16,
     .id_type = OMEN_ID_U64,
     .durability = OMEN_DURABILITY_INTERVAL},
};

static void create_all(dbx *x)
{
    for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
        db_create(x, i, &shapes[i]);
    }
}

static void reopened_it_is_the_same(void **state)
{
    (void)state;
    static dbx x;
    db_init_sim(&x);
    db_open(&x);
    create_all(&x);
    for (uint32_t round = 0; round < 6; round++) {
        db_churn(&x, 60);
        db_check(&x);
        if (round % 2 == 0) {
            db_close(&x);
        } else {
            db_kill(&x);
        }
        db_open(&x);
        db_check(&x);
    }
    db_end(&x);
}

static void checkpoints_change_nothing(void **state)
{
    (void)state;
    static dbx x;
    db_init_sim(&x);
    x.options.seal_rows = 300;
    db_open(&x);
    create_all(&x);
    for (uint32_t round = 0; round < 12; round++) {
        db_churn(&x, 40);
        if (round % 3 == 0) {
            OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        } else if (round % 3 == 1) {
            OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        }
        db_churn(&x, 10);
        db_check(&x);
        if (round % 4 == 3) {
            db_close(&x);
        } else {
            db_kill(&x);
        }
        db_open(&x);
        db_check(&x);
    }
    omen_db_stats stats = db_stats(&x);
    assert_true(stats.segments > 0);
    assert_int_equal(stats.state, OMEN_DB_WRITABLE);
    db_end(&x);
}

static void merges_change_nothing(void **state)
{
    (void)state;
    static dbx x;
    db_init_sim(&x);
    x.options.seal_rows = 100;
    db_open(&x);
    create_all(&x);
    for (uint32_t round = 0; round < 8; round++) {
        db_churn(&x, 60);
        om_collection *c = db_inner(&x, round % DB_COLLECTIONS);
        om_stop stop = {.op = NULL};
        const om_sealing how = {.least = 1, .force = true, .stop = &stop};
        bool done = false;
        OK(&x.f, om_checkpoint_seal(c, &how, &done, &x.f.err));
        om_mutex_lock(&c->save_mu);
        omen_status_t merged = om_merge_next(c, round % 2 == 0, &stop, NULL, &done, &x.f.err);
        om_mutex_unlock(&c->save_mu);
        OK(&x.f, merged);
        if (round % 3 != 0) {
            OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        }
        db_churn(&x, 20);
        db_kill(&x);
        db_open(&x);
        db_check(&x);
    }
    db_end(&x);
}

/* ---- Collections that come and go -------------------------------------------------------------- */
static void drops_and_creations(void **state)
{
    (void)state;
    static dbx x;
    db_init_sim(&x);
    db_open(&x);
    create_all(&x);
    db_churn(&x, 40);
    for (uint32_t round = 0; round < 8; round++) {
        uint32_t at = round % DB_COLLECTIONS;
        if (x.model[at].exists) {
            db_drop(&x, at);
        }
        if (round % 3 == 0) {
            OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        }
        if (round % 2 == 0) { /* of another shape, under the same name */
            db_create(&x, at, &shapes[(at + 1) % DB_COLLECTIONS]);
            db_put(&x, at, 10, 30);
        }
        if (round % 4 == 1) {
            OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        }
        db_kill(&x);
        db_open(&x);
        db_check(&x);
    }
    db_end(&x);
}

/* ---- Streams and request ids ------------------------------------------------------------------- */
static void streams_go_on_where_they_were(void **state)
{
    (void)state;
    static dbx x;
    uint64_t last = 0, epoch = 0, before = 0;
    omen_write_result result;
    db_init_sim(&x);
    db_open(&x);
    create_all(&x);
    omen_batch how = {.stream_id = "s", .stream_id_len = 1};
    for (uint64_t seq = 1; seq <= 12; seq++) {
        how.seq = seq;
        how.crc = (uint32_t)seq * 77;
        OK(&x.f, omen_stream_open(x.model[1].handle, "s", 1, &last, &epoch, &x.f.err));
        assert_int_equal(last, seq - 1);
        assert_true(epoch > before); /* also after a kill that forgot some */
        before = epoch;
        how.stream_epoch = epoch;
        OK(&x.f, db_put_how(&x, 1, (uint32_t)seq * 10, 10, &how, &result));
        assert_int_equal(result.replayed, 0);
        uint64_t version = result.version;
        if (seq % 3 == 0) {
            OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        }
        if (seq % 2 == 0) {
            db_kill(&x);
            db_open(&x);
        }
        how.stream_epoch = 0;
        OK(&x.f, db_put_how(&x, 1, (uint32_t)seq * 10, 10, &how, &result));
        assert_int_equal(result.replayed, 1);
        assert_true(result.version == version);
        how.crc++;
        FAILS(&x.f, db_put_how(&x, 1, (uint32_t)seq * 10, 10, &how, &result), OMEN_INVALID_ARGUMENT,
              OMEN_D_SEQUENCE);
    }
    db_check(&x);
    db_end(&x);
}

static void refused_batches_use_up_their_seq(void **state)
{
    (void)state;
    static dbx x;
    uint64_t last = 0, epoch = 0;
    db_init_sim(&x);
    db_open(&x);
    create_all(&x);
    db_put(&x, 0, 0, 5);
    omen_batch how = {.stream_id = "s", .stream_id_len = 1, .seq = 1, .mode = OMEN_INSERT};
    FAILS(&x.f, db_put_how(&x, 0, 3, 4, &how, NULL), OMEN_ALREADY_EXISTS, OMEN_D_NONE);
    db_kill(&x);
    db_open(&x);
    OK(&x.f, omen_stream_open(x.model[0].handle, "s", 1, &last, &epoch, &x.f.err));
    assert_int_equal(last, 1);
    how.seq = 2;
    OK(&x.f, db_put_how(&x, 0, 5, 4, &how, NULL));
    db_close(&x);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

/* A request that is sent again as another batch of a stream uses up the seq, for good. */
static void a_known_request_uses_up_its_seq(void **state)
{
    (void)state;
    static dbx x;
    uint64_t last = 0, epoch = 0;
    omen_write_result result;
    omen_batch how = {.request_id = "r", .request_id_len = 1};
    db_init_sim(&x);
    db_open(&x);
    create_all(&x);
    OK(&x.f, db_put_how(&x, 0, 0, 5, &how, NULL));
    how.stream_id = "s";
    how.stream_id_len = 1;
    how.seq = 1;
    OK(&x.f, db_put_how(&x, 0, 0, 5, &how, &result));
    assert_int_equal(result.replayed, 1);
    db_kill(&x);
    db_open(&x);
    OK(&x.f, omen_stream_open(x.model[0].handle, "s", 1, &last, &epoch, &x.f.err));
    assert_int_equal(last, 1);
    how.request_id = NULL;
    how.request_id_len = 0;
    how.seq = 2;
    OK(&x.f, db_put_how(&x, 0, 3, 5, &how, NULL));
    db_check(&x);
    db_end(&x);
}

static void request_ids_are_remembered(void **state)
{
    (void)state;
    static dbx x;
    omen_write_result first, again;
    db_init_sim(&x);
    db_open(&x);
    create_all(&x);
    db_put(&x, 1, 0, 10);
    for (uint32_t round = 0; round < 6; round++) {
        char id[16];
        (void)snprintf(id, sizeof id, "r%u", round);
        omen_batch how = {.request_id = id, .request_id_len = strlen(id)};
        OK(&x.f, db_put_how(&x, 1, round * 5, 10, &how, &first));
        assert_int_equal(first.replayed, 0);
        if (round % 2 == 0) {
            OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        }
        db_kill(&x);
        db_open(&x);
        OK(&x.f, db_put_how(&x, 1, round * 5, 10, &how, &again));
        assert_int_equal(again.replayed, 1);
        assert_true(again.version == first.version);
        assert_int_equal(again.applied, first.applied);
        assert_int_equal(again.replaced, first.replaced);
        assert_int_equal(again.refused, first.refused);
    }
    db_check(&x);
    db_end(&x);
}

/* ---- Shapes of batches ------------------------------------------------------------------------- */
static void refused_items_are_left_out(void **state)
{
    (void)state;
    static dbx x;
    db_init_sim(&x);
    db_open(&x);
    for (uint32_t at = 0; at < DB_COLLECTIONS; at++) {
        db_create(&x, at, &shapes[at]);
        db_put(&x, at, 0, 100);
        int32_t status[60];
        omen_write_result result;
        omen_batch how = {.flags = OMEN_PER_ITEM, .mode = OMEN_INSERT, .item_status = status};
        OK(&x.f, db_put_how(&x, at, 80, 60, &how, &result)); /* 20 of them are there */
        assert_int_equal(result.refused, 20);
        for (uint32_t i = 0; i < 60; i++) {
            assert_int_equal(status[i], i < 20 ? OMEN_ALREADY_EXISTS : OMEN_OK);
        }
    }
    db_check(&x);
    db_kill(&x);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

static void assigned_keys_stay(void **state)
{
    (void)state;
    static dbx x;
    float rows[50][DB_DIM];
    uint64_t keys[2][50];
    uint64_t count = 0;
    uint8_t found[50];
    db_init_sim(&x);
    db_open(&x);
    db_create(&x, 0, &shapes[0]);
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < 50; i++) {
            db_vector(9, i, round, rows[i]);
        }
        const omen_batch batch = {.struct_size = sizeof batch,
                                  .count = 50,
                                  .vectors = rows,
                                  .dtype = OMEN_F32,
                                  .dim = DB_DIM,
                                  .keys_out = keys[round % 2]};
        OK(&x.f, omen_add_batch(x.model[0].handle, &batch, NULL, NULL, &x.f.err));
        assert_true(round == 0 || keys[round % 2][0] > keys[1 - round % 2][49]);
        if (round == 1) {
            OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        }
        db_kill(&x);
        db_open(&x);
        float back[50][DB_DIM];
        OK(&x.f, omen_get_vectors(x.model[0].handle, keys[round % 2], 50, back, 0, OMEN_F32, found,
                                  &x.f.err));
        for (uint32_t i = 0; i < 50; i++) {
            assert_int_equal(found[i], 1);
            assert_memory_equal(back[i], rows[i], sizeof rows[i]);
        }
    }
    OK(&x.f, omen_count(x.model[0].handle, &count, &x.f.err));
    assert_int_equal(count, 200);
    db_end(&x);
}

/* Wide rows, so that batches take several records. */
enum { WIDE_DIM = 65535, WIDE_ROWS = 90 };

static omen_status_t add_wide(dbx *x, omen_collection *c, uint32_t seed, uint32_t stride)
{
    float *data = calloc(WIDE_ROWS, (size_t)stride * sizeof *data);
    uint64_t keys[WIDE_ROWS];
    assert_non_null(data);
    for (uint32_t i = 0; i < WIDE_ROWS; i++) {
        keys[i] = i;
        data[(size_t)i * stride] = (float)(seed * 100 + i);
        data[(size_t)i * stride + WIDE_DIM - 1] = (float)i;
    }
    const omen_batch batch = {.struct_size = sizeof batch,
                              .count = WIDE_ROWS,
                              .vectors = data,
                              .stride = (uint64_t)stride * sizeof *data,
                              .dtype = OMEN_F32,
                              .dim = WIDE_DIM,
                              .keys = keys};
    omen_status_t status = omen_add_batch(c, &batch, NULL, NULL, &x->f.err);
    free(data);
    return status;
}

static void check_wide(dbx *x, omen_collection *c, uint32_t seed)
{
    float *row = malloc(WIDE_DIM * sizeof *row);
    uint64_t count = 0;
    assert_non_null(row);
    OK(&x->f, omen_count(c, &count, &x->f.err));
    assert_int_equal(count, seed == 0 ? 0 : WIDE_ROWS);
    for (uint64_t i = 0; seed != 0 && i < WIDE_ROWS; i++) {
        OK(&x->f, omen_get_vectors(c, &i, 1, row, 0, OMEN_F32, NULL, &x->f.err));
        assert_true(row[0] == (float)(seed * 100 + i));
        assert_true(row[WIDE_DIM - 1] == (float)i);
    }
    free(row);
}

static omen_collection *open_wide(dbx *x)
{
    omen_collection *c = NULL;
    const omen_open_options open = {.struct_size = sizeof open};
    OK(&x->f, omen_open(x->f.db, "wide", &open, &c, &x->f.err));
    return c;
}

static void large_batches_are_whole_or_not_there(void **state)
{
    (void)state;
    static dbx x;
    omen_collection *c = NULL;
    for (uint32_t dtype = OMEN_F32; dtype <= OMEN_F16; dtype++) {
        const omen_options options = {
            .struct_size = sizeof options, .dim = WIDE_DIM, .dtype = dtype};
        db_init_sim(&x);
        db_open(&x);
        OK(&x.f, omen_create(x.f.db, "wide", &options, &c, &x.f.err));
        OK(&x.f, add_wide(&x, c, 1, WIDE_DIM));
        uint64_t records = db_stats(&x).version;
        assert_true(records > 3); /* the batch came in parts */
        check_wide(&x, c, 1);
        omen_collection_free(c);
        db_kill(&x);
        db_open(&x);
        c = open_wide(&x);
        check_wide(&x, c, 1);

        /* The disk fills up in the middle: parts without an end. */
        sim_disk_fault(
            x.sim, &(sim_fault){.call = SIM_PWRITEV, .nth = 2, .error = ENOSPC, .for_ever = true});
        FAILS(&x.f, add_wide(&x, c, 2, WIDE_DIM + 3), OMEN_RESOURCE_EXHAUSTED, OMEN_D_DISK_FULL);
        sim_disk_fault(x.sim, &(sim_fault){.nth = 0});
        check_wide(&x, c, 1);
        omen_collection_free(c);
        db_kill(&x);
        db_open(&x);
        c = open_wide(&x);
        check_wide(&x, c, 1);
        OK(&x.f, add_wide(&x, c, 3, WIDE_DIM + 3));
        OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        check_wide(&x, c, 3);
        omen_collection_free(c);
        db_close(&x);
        db_open(&x);
        c = open_wide(&x);
        check_wide(&x, c, 3);
        omen_collection_free(c);
        db_end(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reopened_it_is_the_same),
        cmocka_unit_test(checkpoints_change_nothing),
        cmocka_unit_test(merges_change_nothing),
        cmocka_unit_test(drops_and_creations),
        cmocka_unit_test(streams_go_on_where_they_were),
        cmocka_unit_test(refused_batches_use_up_their_seq),
        cmocka_unit_test(a_known_request_uses_up_its_seq),
        cmocka_unit_test(request_ids_are_remembered),
        cmocka_unit_test(refused_items_are_left_out),
        cmocka_unit_test(assigned_keys_stay),
        cmocka_unit_test(large_batches_are_whole_or_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
