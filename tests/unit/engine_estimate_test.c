/* engine_estimate_test.c - what omen_estimate says against what collections of several shapes take: bytes of
 * the file, of its sections that searches read, and the peak of the budget.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine_pile.h"
#include "wal.h"

enum { LOG = (int)OM_WAL_MAX_FILE };

static void within_a_tenth(const char *what, uint64_t estimated, uint64_t real)
{
    double ratio = (double)estimated / (double)real;
    if (ratio < 0.9 || ratio > 1.1) {
        print_error("%s: %llu estimated, %llu are there\n", what, (unsigned long long)estimated,
                    (unsigned long long)real);
    }
    assert_true(ratio >= 0.9 && ratio <= 1.1);
}

static uint64_t bytes_of_file(const pile *p)
{
    char path[4096];
    struct stat info;
    pile_path(p, pile_segment(p, 0)->id, path, sizeof path);
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_size;
}

/* Everything that searches read but vectors. */
static uint64_t bytes_resident(const pile *p)
{
    const om_mapped *mapped = pile_segment(p, 0)->mapped;
    uint64_t bytes = 0;
    for (uint32_t kind = OM_SECTION_CODES; kind < OM_SECTION_MAX; kind++) {
        bytes += kind == OM_SECTION_VECTORS ? 0 : mapped->section[kind].bytes;
    }
    return bytes;
}

typedef struct shape {
    omen_options options;
    uint32_t rows;
} shape;

static void files_are_as_estimated(void **state)
{
    (void)state;
    static const shape shapes[] = {
        {{.dim = 128}, 6000},
        {{.dim = 8, .id_type = OMEN_ID_STRING}, 20000},
        {{.dim = 300, .metric = OMEN_COSINE, .dtype = OMEN_F16}, 4000},
        {{.dim = 96, .dtype = OMEN_U8, .m = 32, .id_type = OMEN_ID_UUID}, 5000},
        {{.dim = 64, .metric = OMEN_IP, .entry = OMEN_ENTRY_HIERARCHY}, 5000},
        {{.dim = 40, .quantization = OMEN_QUANT_NONE, .ef_construction = 40}, 5000},
        {{.dim = 768, .dtype = OMEN_I8, .metric = OMEN_COSINE}, 3000},
    };
    for (uint32_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        enum { ID_BYTES = 20 }; /* of the pile's strings: "item ", a number, up to 20 letters */
        omen_estimate_result out = {.struct_size = sizeof out};
        pile p;
        pile_options options = {
            .collection = shapes[i].options, .threads = 2, .items = shapes[i].rows};
        pile_open(&p, "estimate", &options);
        pile_put_range(&p, 0, shapes[i].rows / 2);
        pile_put_range(&p, shapes[i].rows / 2, shapes[i].rows - shapes[i].rows / 2);
        pile_seal(&p);
        OK(&p.f, omen_estimate(&p.f.options, shapes[i].rows, ID_BYTES, &out, &p.f.err));
        uint64_t reserve = (uint64_t)LOG * (1 + OM_WAL_SPARES);
        within_a_tenth("file", out.disk - reserve, bytes_of_file(&p));
        within_a_tenth("memory", out.memory_serving, bytes_resident(&p));
        assert_int_equal(out.disk_peak - reserve, 2 * (out.disk - reserve));
        pile_close(&p);
    }
}

/* The budget's peak while rows are written, sealed and merged. */
typedef struct peak {
    pthread_mutex_t mutex;
    uint64_t now, most;
} peak;

static void *peak_alloc(void *ctx, size_t size, size_t align)
{
    peak *k = ctx;
    size_t power = align < 16 ? 16 : align;
    void *block = aligned_alloc(power, (size + power - 1) / power * power + power);
    assert_non_null(block);
    (void)pthread_mutex_lock(&k->mutex);
    k->now += size;
    k->most = k->now > k->most ? k->now : k->most;
    (void)pthread_mutex_unlock(&k->mutex);
    return block;
}

static void peak_free(void *ctx, void *block, size_t size, size_t align)
{
    peak *k = ctx;
    (void)align;
    (void)pthread_mutex_lock(&k->mutex);
    k->now -= size;
    (void)pthread_mutex_unlock(&k->mutex);
    free(block);
}

static void the_growing_part_fits_its_estimate(void **state)
{
    (void)state;
    enum { ROWS = 30000, DIM = 64 };
    omen_estimate_result out = {.struct_size = sizeof out};
    pile p;
    peak k = {.now = 0};
    assert_int_equal(pthread_mutex_init(&k.mutex, NULL), 0);
    omen_allocator allocator = {peak_alloc, peak_free, &k};
    pile_options options = {
        .collection = {.dim = DIM}, .threads = 2, .items = ROWS, .allocator = &allocator};
    pile_open(&p, "peak", &options);
    for (uint32_t at = 0; at < ROWS; at += 1000) {
        pile_put_range(&p, at, 1000);
    }
    fx_index(&p.f);
    omen_runtime_stats rt = {.struct_size = sizeof rt};
    OK(&p.f, omen_get_runtime_stats(p.f.rt, &rt, &p.f.err));
    OK(&p.f, omen_estimate(&p.f.options, ROWS, 0, &out, &p.f.err));
    /* What is in use, and the heap's peak on top of what it has now: never more than was said, and no
     * less than half of it: it is a bound on the worst moment. */
    uint64_t worst = rt.memory_used + (k.most - k.now);
    assert_true(worst <= out.memory_growing + out.memory_growing / 10);
    assert_true(rt.memory_used >= out.memory_growing / 2);
    pile_close(&p);
    assert_int_equal(k.now, 0);
    assert_int_equal(pthread_mutex_destroy(&k.mutex), 0);
}

static void what_is_asked_is_checked(void **state)
{
    (void)state;
    omen_error err;
    omen_estimate_result out = {.struct_size = sizeof out}, twice = out;
    omen_options o = {.struct_size = sizeof o, .dim = 100};
    assert_int_equal(omen_estimate(&o, 0, 0, &out, &err), OMEN_OK);
    assert_int_equal(out.memory_serving, 0);
    assert_true(out.disk >= 4096);
    assert_int_equal(omen_estimate(&o, 1000000, 0, &out, &err), OMEN_OK);
    assert_int_equal(omen_estimate(&o, 2000000, 0, &twice, &err), OMEN_OK);
    within_a_tenth("twice the rows", twice.memory_serving, 2 * out.memory_serving);
    assert_int_equal(omen_estimate(&o, (uint64_t)OMEN_MAX_ROWS + 1, 0, &out, &err),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    o.id_type = OMEN_ID_STRING;
    assert_int_equal(omen_estimate(&o, 10, 0, &out, &err), OMEN_INVALID_ARGUMENT);
    assert_int_equal(omen_estimate(&o, 10, OMEN_MAX_STRING_ID, &out, &err), OMEN_OK);
    assert_int_equal(omen_estimate(&o, 10, OMEN_MAX_STRING_ID + 1, &out, &err),
                     OMEN_INVALID_ARGUMENT);
    o.dim = 0;
    assert_int_equal(omen_estimate(&o, 10, 8, &out, &err), OMEN_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_as_estimated),
        cmocka_unit_test(the_growing_part_fits_its_estimate),
        cmocka_unit_test(what_is_asked_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
