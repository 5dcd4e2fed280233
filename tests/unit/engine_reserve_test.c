/* engine_reserve_test.c - more data than the memory limit, on disk: rows leave memory by being sealed, and
 * writers leave enough for that. SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_fixture.h"

enum { WIDE = 1024, PIECE = 250, PIECES = 56, LIMIT = 28 << 20 };
/* A refused writer comes again after a moment, as a client does: how often depends on the machine. */
enum { RETRY_US = 5000, REFUSALS = 20000 };

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static void open_limited(fixture *f, const char *folder)
{
    memset(f, 0, sizeof *f);
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 2, .memory_limit = LIMIT};
    OK(f, omen_runtime_create(&ropt, &f->rt, &f->err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = f->rt};
    OK(f, omen_db_open(folder, &dopt, &f->db, &f->err));
    f->options = (omen_options){.struct_size = sizeof f->options,
                                .dim = WIDE,
                                .ef_construction = 32,
                                .durability = OMEN_DURABILITY_NONE};
    OK(f, omen_create(f->db, "c", &f->options, &f->c, &f->err));
}

/* A full budget is never for ever: refused batches go in later. */
static void data_beyond_the_limit_are_taken(void **state)
{
    (void)state;
    fixture f;
    char folder[512];
    uint32_t refusals = 0;
    (void)snprintf(folder, sizeof folder, "%s", fx_path("limited"));
    assert_true((uint64_t)PIECE * PIECES * WIDE * sizeof(float) > (uint64_t)LIMIT * 19 / 10);
    open_limited(&f, folder);
    float *rows = fx_rows(PIECE, WIDE, 77);
    for (uint32_t i = 0; i < PIECES;) {
        uint64_t keys[PIECE];
        for (uint32_t j = 0; j < PIECE; j++) {
            keys[j] = (uint64_t)i * PIECE + j;
        }
        rows[0] = (float)i; /* so that no two pieces are the same */
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = PIECE,
                            .vectors = rows,
                            .dim = WIDE,
                            .keys = keys};
        omen_status_t status = omen_add_batch(f.c, &batch, NULL, NULL, &f.err);
        i += status == OMEN_OK;
        if (status != OMEN_OK) {
            FAILS(&f, status, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BUDGET);
            assert_true(++refusals < REFUSALS);
            (void)usleep(RETRY_US);
        }
        omen_runtime_stats stats = {.struct_size = sizeof stats};
        OK(&f, omen_get_runtime_stats(f.rt, &stats, &f.err));
        assert_true(stats.memory_used <= LIMIT);
    }
    assert_int_equal(fx_count(&f), PIECE * PIECES);
    omen_db_stats db = {.struct_size = sizeof db};
    OK(&f, omen_get_db_stats(f.db, &db, &f.err));
    assert_true(db.seals > 0);
    uint64_t keys[5];
    OK(&f, omen_search_f32(f.c, rows, 1, 5, 0, keys, NULL, &f.err));
    assert_int_equal(keys[0], (uint64_t)(PIECES - 1) * PIECE);
    free(rows);
    fx_close(&f);
    assert_int_equal(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(data_beyond_the_limit_are_taken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
