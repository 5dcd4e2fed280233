/* engine_ram_test.c - OMEN_DB_RAM: segments are copied into memory that the budget knows of.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_fixture.h"

enum { ROWS = 40000, DIM = 32, K = 10, SPARE = 9 << 20 /* for reading the log */ };

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static omen_status_t open_with(fixture *f, uint32_t flags, uint64_t limit)
{
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1, .memory_limit = limit};
    omen_db_options dopt = {.struct_size = sizeof dopt, .flags = flags, .warm = OMEN_WARM_NONE};
    f->rt = NULL;
    f->db = NULL;
    f->c = NULL;
    OK(f, omen_runtime_create(&ropt, &f->rt, &f->err));
    dopt.runtime = f->rt;
    return omen_db_open(fx_path("ram"), &dopt, &f->db, &f->err);
}

static void search(fixture *f, const float *query, uint64_t *keys)
{
    OK(f, omen_open(f->db, "test", NULL, &f->c, &f->err));
    OK(f, omen_search_f32(f->c, query, 1, K, 0, keys, NULL, &f->err));
}

static void segments_are_copied(void **state)
{
    (void)state;
    fixture f = {.db = NULL};
    float *rows = fx_rows(ROWS, DIM, 5);
    uint64_t mapped_keys[K], ram_keys[K];
    OK(&f, open_with(&f, 0, 0));
    omen_options o = {.struct_size = sizeof o, .dim = DIM};
    OK(&f, omen_create(f.db, "test", &o, &f.c, &f.err));
    f.options = o;
    fx_add(&f, rows, ROWS, 0);
    OK(&f, omen_checkpoint(f.db, NULL, &f.err));
    fx_close(&f);

    omen_runtime_stats mapped = {.struct_size = sizeof mapped};
    omen_runtime_stats ram = {.struct_size = sizeof ram};
    omen_stats stats = {.struct_size = sizeof stats};
    OK(&f, open_with(&f, 0, 0));
    search(&f, rows, mapped_keys);
    OK(&f, omen_get_runtime_stats(f.rt, &mapped, &f.err));
    OK(&f, omen_get_stats(f.c, &stats, &f.err));
    fx_close(&f);
    assert_true(stats.bytes_disk > SPARE);

    OK(&f, open_with(&f, OMEN_DB_RAM, 0));
    search(&f, rows, ram_keys);
    OK(&f, omen_get_runtime_stats(f.rt, &ram, &f.err));
    assert_true(ram.memory_used >= mapped.memory_used + stats.bytes_disk);
    fx_close(&f);
    assert_memory_equal(ram_keys, mapped_keys, sizeof ram_keys);

    /* The budget refuses the copy; mapped, it still opens. */
    FAILS(&f, open_with(&f, OMEN_DB_RAM, mapped.memory_used + SPARE), OMEN_RESOURCE_EXHAUSTED,
          OMEN_D_BUDGET);
    omen_runtime_free(f.rt);
    OK(&f, open_with(&f, 0, mapped.memory_used + SPARE));
    search(&f, rows, ram_keys);
    fx_close(&f);
    free(rows);
    assert_int_equal(nftw(fx_path("ram"), remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(segments_are_copied)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
