/* store_wal_crash_test.c - power failures after every operation on the disk: what was acknowledged as durable
 * is there, what is there was appended, and nothing comes back later. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "store_wal_fixture.h"

enum { STATES_A_STEP = 4, ACTIONS = 30 };

/* What the test knows: marks in the trace tell how far the log was durable, and trimmed. */
static uint64_t mark_of(uint64_t durable, uint64_t checkpoint)
{
    return (durable << 24 | checkpoint) + 1;
}

typedef struct life {
    wal_fixture f;
    uint64_t state; /* of chance */
    uint64_t checkpoint;
} life;

static void mark(life *l)
{
    sim_disk_mark(l->f.disk, mark_of(wal_state(&l->f).durable, l->checkpoint));
}

/* Appends one to four records; true when that succeeded. */
static bool append_some(life *l)
{
    uint32_t sizes[4];
    uint32_t count = 1 + om_rng_below(&l->state, 4);
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = om_rng_below(&l->state, 4) == 0 ? om_rng_below(&l->state, 200000)
                                                   : om_rng_below(&l->state, 3000);
    }
    return wal_append_sizes(&l->f, om_rng_next(&l->state), sizes, count, 0) == OMEN_OK;
}

static void reopen(life *l)
{
    wal_fixture *f = &l->f;
    f->options.checkpoint = l->checkpoint;
    wal_must_open(f);
    om_log_state state = wal_state(f);
    assert_int_equal(state.state, OM_LOG_OPEN);
    assert_true(state.tail >= f->model.last);
    assert_true(state.tail <= f->model.last + f->model.unknown);
    f->model.last = state.tail;
    f->model.unknown = 0;
}

/* The disk refuses everything from some call on, until the process is gone. A sync that fails forgets what it
 * was to write, although it can still be read. */
static void die(life *l)
{
    wal_fixture *f = &l->f;
    static const sim_call calls[] = {SIM_CALLS, SIM_RENAME, SIM_SYNC_DIR};
    uint32_t kind = om_rng_below(&l->state, 3);
    uint32_t nth = kind == 0 ? 1 + om_rng_below(&l->state, 40) : 1;
    const sim_fault fault = {.call = calls[kind], .nth = nth, .for_ever = true, .error = EIO};
    sim_disk_fault(f->disk, &fault);
    for (uint32_t i = 0; i < 20 && append_some(l); i++) {
        if (wal_sync(f) != OMEN_OK) {
            break;
        }
        mark(l);
    }
    const sim_fault none = {0};
    sim_disk_fault(f->disk, &none);
    wal_kill(f);
    reopen(l);
}

static void act(life *l)
{
    wal_fixture *f = &l->f;
    uint32_t what = om_rng_below(&l->state, 20);
    if (what < 12) {
        assert_true(append_some(l));
    } else if (what < 17) {
        assert_int_equal(wal_sync(f), OMEN_OK);
    } else if (what < 18) {
        /* The manifest says so first, with everything in it synced. */
        assert_int_equal(wal_sync(f), OMEN_OK);
        l->checkpoint = f->model.last - f->model.last / 4;
        mark(l);
        assert_int_equal(f->log->ops->trim(f->log, l->checkpoint, &f->err), OMEN_OK);
    } else if (what < 19) {
        om_rng_below(&l->state, 2) == 0 ? wal_kill(f) : wal_close(f);
        reopen(l);
    } else {
        die(l);
    }
    mark(l);
}

/* Files that are there become spares, and those are written. */
static void recycle(wal_fixture *g)
{
    for (uint32_t i = 0; i < 12; i++) {
        wal_must_append(g, i, 200000);
        if (i % 6 == 5) {
            assert_int_equal(wal_sync(g), OMEN_OK);
            g->options.checkpoint = g->model.last - 4;
            assert_int_equal(g->log->ops->trim(g->log, g->options.checkpoint, &g->err), OMEN_OK);
        }
    }
}

/* Opens what is left, twice, with writing between: true when all is as it must be. The fixture's own checks
 * end the test; with `lie` they only count. */
static bool survives(const life *l, sim_image *left, uint64_t said, uint64_t seed)
{
    static wal_fixture g;
    uint64_t durable = said == 0 ? 0 : (said - 1) >> 24;
    uint64_t checkpoint = said == 0 ? 0 : (said - 1) & 0xFFFFFF;
    wal_setup(&g, left);
    g.model = l->f.model;
    g.options.checkpoint = checkpoint;
    bool good = wal_open(&g) == OMEN_OK;
    om_log_state state = {0};
    if (good) {
        state = wal_state(&g);
        good = state.state == OM_LOG_OPEN && state.tail >= durable &&
               state.tail <= g.model.last + g.model.unknown && state.first <= checkpoint + 1;
    }
    if (good) {
        g.model.first = state.first;
        g.model.last += g.model.unknown;
        wal_must_hold_until(&g, state.tail);
        g.model.last = state.tail;
        wal_must_append(&g, seed, (uint32_t)(seed % 5000));
        if (seed % 32 == 1) {
            recycle(&g);
        }
        if (seed % 2 == 0) {
            wal_kill(&g);
        }
        wal_close(&g);
        wal_must_open(&g);
        g.model.first = wal_state(&g).first;
        wal_must_hold(&g);
    }
    wal_teardown(&g);
    return good;
}

typedef struct outcome {
    uint64_t states, bad;
} outcome;

enum { MOST_SITES = 64 };
typedef struct syncs {
    uint64_t sites[MOST_SITES]; /* places that sync */
    uint32_t count;
} syncs;

static void note_syncs(sim_disk *disk, syncs *seen)
{
    size_t count = 0;
    const sim_site *sites = seen != NULL ? sim_disk_sites(disk, &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        uint32_t at = 0;
        while (at < seen->count && seen->sites[at] != sites[i].id) {
            at++;
        }
        if (sites[i].sync != 0 && at == seen->count) {
            assert_true(at < MOST_SITES);
            seen->sites[seen->count++] = sites[i].id;
        }
    }
}

/* Every operation of a life, each with some ways of losing power; lie: a place whose syncs do nothing. */
static outcome run(uint64_t seed, uint32_t actions, uint64_t lie, syncs *seen)
{
    static life l;
    outcome o = {0};
    wal_setup(&l.f, NULL);
    l.state = seed;
    l.checkpoint = 0;
    assert_int_equal(om_io_sync_dir(&l.f.io, ".", NULL), OMEN_OK);
    sim_disk_record(l.f.disk);
    sim_disk_lie_site(l.f.disk, lie);
    sim_disk_track(l.f.disk, seen != NULL);
    wal_must_open(&l.f);
    for (uint32_t i = 0; i < actions; i++) {
        act(&l);
    }
    note_syncs(l.f.disk, seen);
    sim_trace *trace = sim_disk_recorded(l.f.disk);
    wal_model model = l.f.model;
    wal_close(&l.f);
    l.f.model = model;
    sim_crash *crash = sim_crash_create(trace);
    while (sim_crash_next(crash) && (lie == 0 || o.bad == 0)) {
        if (sim_crash_pending(crash) == 0) {
            continue;
        }
        for (uint32_t i = 0; i < STATES_A_STEP && (lie == 0 || o.bad == 0); i++) {
            sim_kept kept = i < 2 ? (sim_kept)i : i % 2 == 0 ? SIM_KEEP_PREFIX : SIM_KEEP_SOME;
            uint64_t chance = om_rng_next(&l.state);
            sim_image *left = sim_crash_state(crash, kept, chance);
            bool good = survives(&l, left, sim_crash_mark(crash), chance);
            sim_image_free(left);
            o.states++;
            o.bad += !good;
        }
    }
    sim_crash_free(crash);
    sim_trace_free(trace);
    wal_teardown(&l.f);
    return o;
}

static uint64_t seeds = 2;
static void test_power_failures(void **unused)
{
    (void)unused;
    uint64_t states = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        outcome o = run(seed, ACTIONS, 0, NULL);
        assert_int_equal(o.bad, 0);
        states += o.states;
    }
    assert_true(states > seeds * 200);
}

/* The places that sync: without any one of them some power failure loses what was acknowledged. How many
 * there are depends on what the compiler inlines; opening a log that is there already syncs the name of its
 * folder in vain. Five are different for certain: folder, header, name of a file, records, what was found. */
static void test_every_sync_matters(void **unused)
{
    (void)unused;
    static syncs seen;
    uint32_t caught = 0;
    outcome o = run(2, ACTIONS, 0, &seen);
    assert_int_equal(o.bad, 0);
    for (uint32_t i = 0; i < seen.count; i++) {
        o = run(2, ACTIONS, seen.sites[i], NULL);
        caught += o.bad != 0;
    }
    assert_true(caught >= 5);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        seeds = strtoull(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_failures),
        cmocka_unit_test(test_every_sync_matters),
    };
    return cmocka_run_group_tests_name("wal crash", tests, NULL, NULL);
}
