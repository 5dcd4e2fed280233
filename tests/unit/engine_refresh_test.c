/* engine_refresh_test.c - readers beside a writer: what they see, and that they never see less.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_fixture.h"

static const omen_options shapes[DB_COLLECTIONS] = {
    {.metric = OMEN_L2, .id_type = OMEN_ID_U64},
    {.metric = OMEN_L2, .id_type = OMEN_ID_STRING},
    {.metric = OMEN_L2, .id_type = OMEN_ID_UUID},
    {.metric = OMEN_L2, .dtype = OMEN_F16, .id_type = OMEN_ID_U64},
};

/* Another database over the same disk, for reading, with the writer's model. */
static void open_reader(dbx *x, dbx *reader)
{
    memset(reader, 0, sizeof *reader);
    reader->io = x->io;
    reader->sim = x->sim;
    reader->threads = 2;
    memcpy(reader->path, x->path, sizeof reader->path);
    reader->options = x->options;
    reader->options.flags = OMEN_DB_READ_ONLY;
    db_open(reader);
}

static void copy_model(const dbx *x, dbx *reader)
{
    const omen_open_options open = {.struct_size = sizeof open};
    for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
        omen_collection *handle = reader->model[i].handle;
        bool same = handle != NULL && x->model[i].exists &&
                    handle->c->serial == x->model[i].handle->c->serial;
        if (handle != NULL && !same) {
            uint64_t count;
            FAILS(&reader->f, omen_count(handle, &count, &reader->f.err), OMEN_NOT_FOUND,
                  OMEN_D_NAME);
            omen_collection_free(handle);
            handle = NULL;
        }
        reader->model[i] = x->model[i];
        reader->model[i].handle = handle;
        if (x->model[i].exists && handle == NULL) {
            OK(&reader->f, omen_open(reader->f.db, x->model[i].name, &open,
                                     &reader->model[i].handle, &reader->f.err));
        }
    }
}

static void refresh(const dbx *x, dbx *reader)
{
    uint32_t changed = 2;
    OK(&reader->f, omen_refresh(reader->f.db, &changed, &reader->f.err));
    copy_model(x, reader);
    db_check(reader);
    OK(&reader->f, omen_refresh(reader->f.db, &changed, &reader->f.err));
    assert_int_equal(changed, 0);
    db_check(reader);
}

static void close_reader(dbx *reader)
{
    db_close(reader);
}

static void create_all(dbx *x)
{
    for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
        db_create(x, i, &shapes[i]);
    }
}

static void a_reader_changes_nothing(void **state)
{
    (void)state;
    static dbx x, reader;
    db_init_sim(&x);
    db_open(&x);
    create_all(&x);
    db_churn(&x, 50);
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    db_churn(&x, 50);
    sim_image *before = sim_disk_image(x.sim);
    open_reader(&x, &reader);
    copy_model(&x, &reader);
    db_check(&reader);
    assert_int_equal(db_stats(&reader).state, OMEN_DB_OPENED_READ_ONLY);
    FAILS(&reader.f, db_put_how(&reader, 0, 0, 5, NULL, NULL), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    FAILS(&reader.f, omen_checkpoint(reader.f.db, NULL, &reader.f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    FAILS(&reader.f, omen_drop(reader.f.db, "c0", &reader.f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    refresh(&x, &reader);
    close_reader(&reader);
    sim_image *after = sim_disk_image(x.sim);
    assert_true(sim_image_hash(before) == sim_image_hash(after));
    sim_image_free(before);
    sim_image_free(after);
    db_end(&x);
}

static void a_reader_follows(void **state)
{
    (void)state;
    static dbx x, reader;
    uint32_t changed = 0;
    db_init_sim(&x);
    x.options.seal_rows = 200;
    db_open(&x);
    OK(&x.f, omen_refresh(x.f.db, &changed, &x.f.err)); /* a writer has nothing to follow */
    assert_int_equal(changed, 0);
    create_all(&x);
    open_reader(&x, &reader);
    om_stop stop = {.op = NULL};
    const om_sealing how = {.least = UINT32_MAX, .force = true, .stop = &stop};
    for (uint32_t round = 0; round < 30; round++) {
        db_churn(&x, 25);
        bool done = false;
        uint32_t at = round % DB_COLLECTIONS;
        if (round % 3 == 0) { /* what is frozen, not what grows */
            OK(&x.f, om_checkpoint_seal(db_inner(&x, at), &how, &done, &x.f.err));
            OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        }
        if (round % 5 == 0) {
            om_collection *c = db_inner(&x, at);
            om_mutex_lock(&c->save_mu);
            omen_status_t merged = om_merge_next(c, true, &stop, NULL, &done, &x.f.err);
            om_mutex_unlock(&c->save_mu);
            OK(&x.f, merged);
            OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        }
        if (round % 2 == 0) {
            db_churn(&x, 5);
            refresh(&x, &reader);
        }
    }
    for (uint32_t at = 0; at < DB_COLLECTIONS; at++) {
        bool done = false;
        OK(&x.f, om_checkpoint_seal(db_inner(&x, at), &how, &done, &x.f.err));
    }
    OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
    refresh(&x, &reader);
    /* It has taken the writer's files, not kept their rows in memory. */
    assert_int_equal(db_stats(&reader).segments, db_stats(&x).segments);
    assert_int_equal(db_stats(&reader).growing_rows, db_stats(&x).growing_rows);
    close_reader(&reader);
    db_end(&x);
}

static uint64_t log_begins(const dbx *x)
{
    om_log_state state;
    om_disk *disk = x->f.db->disk;
    disk->log->ops->tail(disk->log, &state);
    return state.first;
}

static void a_reader_that_was_away(void **state)
{
    (void)state;
    static dbx x, reader;
    db_init_sim(&x);
    sim_disk_limit(x.sim, UINT64_C(64) << 20); /* so log files are small */
    x.options.reserve_bytes = 1;
    db_open(&x);
    create_all(&x);
    db_churn(&x, 20);
    open_reader(&x, &reader);
    for (uint32_t round = 0; round < 4; round++) {
        refresh(&x, &reader);
        uint64_t seen = atomic_load(&reader.f.db->disk->applied);
        if (round == 1) {
            db_drop(&x, 2);
        }
        for (uint32_t i = 0; log_begins(&x) <= seen + 1; i++) {
            assert_true(i < 200);
            db_put(&x, i % 2, 0, DB_ITEMS);
            if (i % 10 == 9) {
                OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
            }
        }
        if (round == 1) {
            db_create(&x, 2, &shapes[0]);
        }
        db_churn(&x, 15);
    }
    refresh(&x, &reader);
    close_reader(&reader);
    db_end(&x);
}

static void collections_appear_and_go(void **state)
{
    (void)state;
    static dbx x, reader;
    db_init_sim(&x);
    db_open(&x);
    open_reader(&x, &reader);
    for (uint32_t round = 0; round < 16; round++) {
        uint32_t at = (round * 7) % DB_COLLECTIONS;
        if (x.model[at].exists) {
            db_drop(&x, at);
        } else {
            db_create(&x, at, &shapes[(at + round) % DB_COLLECTIONS]);
            db_put(&x, at, round * 5, 30);
        }
        if (round % 3 == 1) {
            OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        }
        if (round % 2 == 0) {
            refresh(&x, &reader);
        }
    }
    close_reader(&reader);
    db_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_changes_nothing),
        cmocka_unit_test(a_reader_follows),
        cmocka_unit_test(a_reader_that_was_away),
        cmocka_unit_test(collections_appear_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
