/* store_wal_fault_test.c - disks that refuse, run full and come back, and memory that ends: what was
 * acknowledged stays, what was refused is not there, and nothing leaks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "rng.h"
#include "store_wal_fixture.h"

/* A life of the log that uses every part of it. Ends early once the log is broken, as its user would.
 * *acked: newest lsn whose sync succeeded. */
static void live(wal_fixture *f, uint64_t *acked)
{
    *acked = 0;
    if (wal_open(f) != OMEN_OK) {
        return;
    }
    static const uint32_t group[] = {500, 0, 90000};
    for (uint32_t i = 0; i < 14; i++) {
        if (wal_append_sizes(f, i + 1, group, 3, 0) != OMEN_OK ||
            wal_append_one(f, i, 130000) != OMEN_OK) {
            continue;
        }
        if (i % 2 == 0 && wal_sync(f) == OMEN_OK) {
            *acked = f->model.last;
        }
        if (i % 5 == 4 && *acked > 6) {
            f->options.checkpoint = *acked - 6;
            (void)f->log->ops->trim(f->log, *acked - 6, &f->err);
        }
        if (i == 9) {
            wal_kill(f);
            if (f->model.unknown != 0 || wal_open(f) != OMEN_OK) {
                return;
            }
        }
    }
}

/* After the fault is gone: the log opens, and holds everything that was appended, plus at most the append
 * whose outcome was unknown; then it goes on. */
static void must_recover(wal_fixture *f, uint64_t acked)
{
    const sim_fault none = {0};
    sim_disk_fault(f->disk, &none);
    if (f->log != NULL) {
        om_log_state state = wal_state(f);
        assert_true(state.durable >= acked);
        if (state.state == OM_LOG_OPEN) {
            wal_must_append(f, 5, 500); /* a disk that is well again is enough */
        } else {
            uint64_t last = 0;
            assert_int_equal(state.state, OM_LOG_BROKEN);
            assert_true(state.reason[0] != '\0');
            assert_int_equal(wal_read_check(f, state.first, &last), OMEN_OK);
            assert_int_equal(last, f->model.last);
            uint64_t unknown = f->model.unknown;
            assert_int_equal(wal_append_one(f, 1, 1), OMEN_FAILED_PRECONDITION);
            assert_int_equal(f->err.detail, OMEN_D_READ_ONLY);
            f->model.unknown = unknown;
        }
        wal_kill(f);
    }
    wal_must_open(f);
    om_log_state state = wal_state(f);
    assert_int_equal(state.state, OM_LOG_OPEN);
    assert_true(state.tail >= f->model.last && state.tail <= f->model.last + f->model.unknown);
    f->model.last = state.tail;
    f->model.first = state.first;
    wal_must_hold(f);
    wal_must_append(f, 3, 300);
    assert_int_equal(wal_sync(f), OMEN_OK);
    wal_kill(f);
    wal_must_open(f);
    f->model.first = wal_state(f).first;
    wal_must_hold(f);
}

static uint64_t faults_of(int error, bool for_ever)
{
    uint64_t tried = 0;
    for (uint64_t nth = 1;; nth++) {
        wal_fixture f;
        uint64_t acked = 0;
        wal_setup(&f, NULL);
        const sim_fault fault = {
            .call = SIM_CALLS, .nth = nth, .for_ever = for_ever, .error = error};
        sim_disk_fault(f.disk, &fault);
        live(&f, &acked);
        bool reached = sim_disk_faulted(f.disk);
        must_recover(&f, acked);
        wal_teardown(&f);
        if (!reached) {
            break;
        }
        tried++;
    }
    return tried;
}

static void test_every_call_fails_once(void **unused)
{
    (void)unused;
    static const int errors[] = {EIO, ENOSPC, EINTR, EMFILE, 0 /* short transfers */};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        assert_true(faults_of(errors[i], false) > 100);
    }
}

static void test_every_call_fails_for_ever(void **unused)
{
    (void)unused;
    static const int errors[] = {EIO, ENOSPC};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        assert_true(faults_of(errors[i], true) > 100);
    }
}

static void test_every_allocation_fails(void **unused)
{
    (void)unused;
    for (uint64_t at = 1;; at++) {
        wal_fixture f;
        wal_memory memory = {.fail_at = at};
        uint64_t acked = 0;
        wal_setup(&f, NULL);
        f.alloc = wal_memory_alloc(&memory);
        live(&f, &acked);
        bool reached = memory.calls >= at;
        memory.fail_at = 0;
        must_recover(&f, acked);
        assert_int_equal(f.model.unknown, 0);
        wal_close(&f);
        assert_int_equal(memory.blocks, 0);
        wal_teardown(&f);
        if (!reached) {
            assert_true(at > 10);
            break;
        }
    }
}

/* Reading needs memory and a disk as well; a failure of either is told, and not that there is nothing. */
static void test_reads_fail(void **unused)
{
    (void)unused;
    for (uint32_t read_only = 0; read_only < 2; read_only++) {
        bool reached = true;
        for (uint64_t nth = 1; reached; nth++) {
            wal_fixture f;
            wal_memory memory = {0};
            uint64_t last = 0;
            wal_setup(&f, NULL);
            f.alloc = wal_memory_alloc(&memory);
            wal_must_open(&f);
            for (uint32_t i = 0; i < 20; i++) {
                wal_must_append(&f, i, 150000);
            }
            if (read_only == 1) {
                wal_close(&f);
                f.options.read_only = true;
                wal_must_open(&f);
            }
            const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = EIO};
            sim_disk_fault(f.disk, &fault);
            omen_status_t status = wal_read_check(&f, 1, &last);
            reached = sim_disk_faulted(f.disk);
            /* Closing may fail without harm. */
            assert_true((reached && status == OMEN_UNAVAILABLE) ||
                        (status == OMEN_OK && last == 20));
            const sim_fault none = {0};
            sim_disk_fault(f.disk, &none);
            memory.fail_at = memory.calls + nth;
            status = wal_read_check(&f, 1, &last);
            bool missed = memory.calls >= memory.fail_at;
            assert_int_equal(status, missed ? OMEN_RESOURCE_EXHAUSTED : OMEN_OK);
            assert_true(missed || last == 20);
            reached = reached || missed;
            wal_teardown(&f);
            assert_int_equal(memory.blocks, 0);
        }
    }
}

/* ---- A full disk ---- */
static void fill_disk(wal_fixture *f)
{
    uint32_t i = 0;
    while (wal_append_one(f, i, 200000) == OMEN_OK) {
        i++;
    }
    assert_int_equal(f->err.status, OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(f->err.detail, OMEN_D_DISK_FULL);
    assert_true(i > 4);
}

/* Refused, but nothing else; what makes room may still be logged, also across files; then all is well. */
static void test_full_disk(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    sim_disk_limit(f.disk, 5 << 20);
    wal_must_open(&f);
    fill_disk(&f);
    om_log_state before = wal_state(&f);
    assert_int_equal(before.state, OM_LOG_OPEN);
    assert_int_equal(wal_count(&f, "db/wal", "spare-"), 1); /* the ballast */
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(wal_append_one(&f, 1, 200000), OMEN_RESOURCE_EXHAUSTED);
        assert_int_equal(wal_state(&f).tail, before.tail);
    }
    wal_must_hold(&f);
    assert_int_equal(wal_sync(&f), OMEN_OK);
    /* Into the ballast; a normal append may not follow it there. */
    const uint32_t size = 200000, small = 1000;
    const uint32_t two[] = {10, 10};
    assert_int_equal(wal_append_sizes(&f, 2, &size, 1, OM_LOG_BALLAST), OMEN_OK);
    assert_int_equal(wal_count(&f, "db/wal", "spare-"), 0);
    assert_int_equal(wal_append_one(&f, 3, 10), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(f.err.detail, OMEN_D_DISK_FULL);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(wal_append_sizes(&f, i, &small, 1, OM_LOG_BALLAST), OMEN_OK);
    }
    assert_int_equal(wal_append_sizes(&f, 4, two, 2, OM_LOG_BALLAST), OMEN_OK);
    wal_must_hold(&f);
    wal_kill(&f);
    wal_must_open(&f);
    wal_must_hold(&f);
    assert_int_equal(wal_append_one(&f, 3, 10), OMEN_RESOURCE_EXHAUSTED);
    /* When the ballast is full too, it is over until there is room. */
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; status == OMEN_OK; i++) {
        status = wal_append_sizes(&f, i, &size, 1, OM_LOG_BALLAST);
    }
    assert_int_equal(f.err.detail, OMEN_D_DISK_FULL);
    assert_int_equal(wal_sync(&f), OMEN_OK);
    f.options.checkpoint = f.model.last;
    assert_int_equal(f.log->ops->trim(f.log, f.model.last, &f.err), OMEN_OK);
    f.model.first = wal_state(&f).first;
    wal_must_append(&f, 9, 200000);
    wal_must_hold(&f);
    sim_disk_limit(f.disk, 64 << 20);
    for (uint32_t i = 0; i < 30; i++) {
        wal_must_append(&f, i, 200000);
    }
    wal_must_hold(&f);
    wal_teardown(&f);
}

/* A log can be opened, and read, on a full disk, with a torn tail too. */
static void test_open_on_full_disk(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    sim_disk_limit(f.disk, 3 << 20);
    wal_must_open(&f);
    fill_disk(&f);
    uint64_t first = f.model.last;
    while (wal_count(&f, "db/wal", wal_name(first) + strlen("db/wal/")) == 0) {
        first--;
    }
    wal_flip(&f, wal_name(first), 8 * (wal_position(&f, first, f.model.last) + 100));
    wal_kill(&f);
    f.model.last--;
    wal_must_open(&f);
    wal_must_hold(&f);
    assert_int_equal(wal_append_one(&f, 1, 100), OMEN_RESOURCE_EXHAUSTED);
    const uint32_t small = 100;
    assert_int_equal(wal_append_sizes(&f, 2, &small, 1, OM_LOG_BALLAST), OMEN_OK);
    wal_must_hold(&f);
    wal_teardown(&f);
}

/* A write that stops in the middle of a group because the disk is full: no part of the group comes back,
 * neither after the process nor after the machine has died. */
static void test_half_a_group_on_full_disk(void **unused)
{
    (void)unused;
    for (uint64_t nth = 1; nth < 60; nth++) {
        wal_fixture f;
        const uint32_t group[] = {4000, 4000, 4000, 4000, 4000, 4000};
        wal_setup(&f, NULL);
        wal_must_open(&f);
        wal_must_append(&f, 1, 100);
        assert_int_equal(wal_sync(&f), OMEN_OK);
        sim_disk_record(f.disk);
        /* Half of each transfer, then no room at some point. */
        const sim_fault cut = {.call = SIM_PWRITEV, .nth = nth % 7 + 1, .error = ENOSPC};
        const sim_fault none = {0};
        omen_status_t status = OMEN_OK;
        sim_disk_fault(f.disk, &cut);
        for (uint32_t i = 0; status == OMEN_OK && i < 10; i++) {
            status = wal_append_sizes(&f, i + nth, group, 6, 0);
        }
        sim_disk_fault(f.disk, &none);
        assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
        assert_int_equal(wal_state(&f).state, OM_LOG_OPEN);
        uint64_t last = f.model.last;
        wal_kill(&f);
        wal_must_open(&f);
        assert_int_equal(wal_state(&f).tail, last);
        wal_must_hold(&f);
        wal_teardown(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_fails_once),
        cmocka_unit_test(test_every_call_fails_for_ever),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_reads_fail),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_open_on_full_disk),
        cmocka_unit_test(test_half_a_group_on_full_disk),
    };
    return cmocka_run_group_tests_name("wal faults", tests, NULL, NULL);
}
