/* engine_disk_memory_test.c - every allocation of opening, checkpoints and refreshes fails once: an
 * error, nothing leaked, nothing lost.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "disk_fixture.h"

typedef struct torture {
    pthread_mutex_t mutex;
    uint64_t calls, fail_at, blocks;
    bool failed;
} torture;

static void *torture_alloc(void *ctx, size_t size, size_t align)
{
    torture *t = ctx;
    (void)pthread_mutex_lock(&t->mutex);
    t->calls++;
    bool fail = t->fail_at != 0 && t->calls == t->fail_at;
    t->failed = t->failed || fail;
    void *block = fail ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
    t->blocks += block != NULL;
    (void)pthread_mutex_unlock(&t->mutex);
    return block;
}

static void torture_free(void *ctx, void *block, size_t size, size_t align)
{
    torture *t = ctx;
    (void)size;
    (void)align;
    (void)pthread_mutex_lock(&t->mutex);
    t->blocks--;
    (void)pthread_mutex_unlock(&t->mutex);
    free(block);
}

static void arm(torture *t, uint64_t fail_at)
{
    (void)pthread_mutex_lock(&t->mutex);
    t->calls = 0;
    t->fail_at = fail_at;
    t->failed = false;
    (void)pthread_mutex_unlock(&t->mutex);
}

static void use_torture(dbx *x, torture *t)
{
    const omen_runtime_options options = {
        .struct_size = sizeof options,
        .threads = 1,
        .allocator = {.alloc = torture_alloc, .free = torture_free, .ctx = t}};
    arm(t, 0);
    OK(&x->f, omen_runtime_create(&options, &x->f.rt, &x->f.err));
}

/* Files, rows only in the log, streams, request ids, deaths, a dropped collection. */
static void fill(dbx *x)
{
    static const omen_options shapes[3] = {
        {.metric = OMEN_L2},
        {.metric = OMEN_L2, .id_type = OMEN_ID_STRING},
        {.metric = OMEN_L2, .id_type = OMEN_ID_UUID, .dtype = OMEN_F16}};
    const omen_batch how = {
        .stream_id = "s", .stream_id_len = 1, .seq = 1, .request_id = "r", .request_id_len = 1};
    db_init_sim(x);
    db_open(x);
    for (uint32_t i = 0; i < 3; i++) {
        db_create(x, i, &shapes[i]);
        OK(&x->f, db_put_how(x, i, 0, 60, &how, NULL));
    }
    OK(&x->f, omen_checkpoint(x->f.db, NULL, &x->f.err));
    db_churn(x, 12);
    OK(&x->f, om_checkpoint_write(x->f.db, &x->f.err));
    db_churn(x, 12);
    db_drop(x, 2);
}

static void opening(void **state)
{
    (void)state;
    static dbx x;
    torture t = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    fill(&x);
    db_kill(&x);
    uint64_t nth = 0;
    bool failed = true;
    while (failed) {
        use_torture(&x, &t);
        arm(&t, ++nth);
        omen_status_t status = db_try_open(&x);
        failed = t.failed;
        arm(&t, 0);
        if (status != OMEN_OK) {
            assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
            x.f.db = NULL;
            omen_runtime_free(x.f.rt);
            x.f.rt = NULL;
            assert_int_equal(t.blocks, 0);
            continue;
        }
        db_close(&x);
        assert_int_equal(t.blocks, 0);
    }
    assert_true(nth > 50);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

static void checkpoints(void **state)
{
    (void)state;
    static dbx x;
    torture t = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    fill(&x);
    db_close(&x);
    use_torture(&x, &t);
    db_open(&x);
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        db_churn(&x, 3);
        arm(&t, nth);
        omen_status_t status = om_checkpoint_write(x.f.db, &x.f.err);
        failed = t.failed;
        arm(&t, 0);
        assert_true(status == OMEN_OK || (failed && status == OMEN_RESOURCE_EXHAUSTED));
        if (nth % 8 == 0) {
            db_kill(&x);
            assert_int_equal(t.blocks, 0);
            use_torture(&x, &t);
            db_open(&x);
            db_check(&x);
        }
    }
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    db_check(&x);
    db_close(&x);
    assert_int_equal(t.blocks, 0);
    db_end(&x);
}

static void refreshes(void **state)
{
    (void)state;
    static dbx x, reader;
    torture t = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    fill(&x);
    memset(&reader, 0, sizeof reader);
    reader.io = x.io;
    reader.sim = x.sim;
    memcpy(reader.path, x.path, sizeof reader.path);
    reader.options = x.options;
    reader.options.flags = OMEN_DB_READ_ONLY;
    use_torture(&reader, &t);
    db_open(&reader);
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        uint32_t changed = 0;
        db_churn(&x, 3);
        if (nth % 3 == 0) {
            OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        }
        arm(&t, nth);
        omen_status_t status = omen_refresh(reader.f.db, &changed, &reader.f.err);
        failed = t.failed;
        arm(&t, 0);
        assert_true(status == OMEN_OK || (failed && status == OMEN_RESOURCE_EXHAUSTED));
        OK(&reader.f, omen_refresh(reader.f.db, &changed, &reader.f.err));
        for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
            const omen_open_options open = {.struct_size = sizeof open};
            omen_collection *handle = reader.model[i].handle;
            reader.model[i] = x.model[i];
            reader.model[i].handle = handle;
            if (x.model[i].exists && handle == NULL) {
                OK(&reader.f, omen_open(reader.f.db, x.model[i].name, &open,
                                        &reader.model[i].handle, &reader.f.err));
            }
        }
        db_check(&reader);
    }
    db_close(&reader);
    assert_int_equal(t.blocks, 0);
    db_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening),
        cmocka_unit_test(checkpoints),
        cmocka_unit_test(refreshes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
