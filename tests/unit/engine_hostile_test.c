/* engine_hostile_test.c - segment files whose checksums are right and whose contents are not: written by
 * somebody who means harm, or by a library with a bug. Nothing may crash, hang or read outside of the file
 * (the address sanitizer watches). SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"
#include "segfile.h"

enum { ROWS = 300, DIM = 10, K = 10, TRIES = 40 };

static const om_alloc plain = {.budget = NULL};

/* Copies a segment file with one section changed: bytes replaced, or the section cut or left out. */
typedef struct change {
    uint32_t kind;
    uint64_t at;
    uint64_t value; /* eight bytes written there */
    bool leave_out;
} change;

static void copy_section(om_segfile *from, om_segwriter *to, uint32_t kind, const change *what)
{
    omen_error err;
    om_section s;
    assert_int_equal(om_segfile_section(from, kind, 0, 0, 0, &s, &err), OMEN_OK);
    if (s.data == NULL || (what->leave_out && kind == what->kind)) {
        return;
    }
    uint8_t *bytes = malloc((size_t)s.bytes + 1);
    assert_non_null(bytes);
    memcpy(bytes, s.data, (size_t)s.bytes);
    if (kind == what->kind && s.bytes >= sizeof what->value) {
        memcpy(bytes + what->at % (s.bytes - 7), &what->value, sizeof what->value);
    }
    assert_int_equal(
        om_segwriter_begin(to, kind, 0, s.stride, s.stride != 0 ? s.rows : 0, s.bytes, &err),
        OMEN_OK);
    assert_int_equal(om_segwriter_append(to, bytes, (size_t)s.bytes, &err), OMEN_OK);
    assert_int_equal(om_segwriter_end(to, &err), OMEN_OK);
    free(bytes);
}

static void copy_with(const char *from_path, const char *to_path, const change *what)
{
    omen_error err;
    om_segfile *from = NULL;
    om_segwriter *to = NULL;
    assert_int_equal(om_segfile_open(&om_io_system, &plain, from_path, &from, &err), OMEN_OK);
    assert_int_equal(om_segwriter_create(&om_io_system, &plain, to_path, &to, &err), OMEN_OK);
    for (uint32_t kind = 1; kind < OM_SECTION_MAX; kind++) {
        copy_section(from, to, kind, what);
    }
    assert_int_equal(om_segwriter_commit(to, om_segfile_rows(from), om_segfile_version(from), &err),
                     OMEN_OK);
    om_segfile_close(from);
}

/* Every way to read; only that each call comes back matters. */
static void read_everything(fixture *f, omen_collection *c, const float *rows,
                            const uint64_t *known)
{
    static uint64_t keys[ROWS + 64];
    static float distances[ROWS];
    uint64_t cursor = 0, count = 0;
    uint32_t answered = 0;
    for (uint32_t flags = 0; flags <= OMEN_GRAPH_ONLY; flags++) {
        omen_query query = {.struct_size = sizeof query,
                            .flags = flags & ~(uint32_t)OMEN_PARTIAL_OK,
                            .vectors = rows,
                            .dtype = OMEN_F32,
                            .dim = DIM,
                            .count = 1,
                            .k = flags == OMEN_EXACT ? ROWS : K};
        omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .distances = distances};
        answered += omen_search(c, &query, &hits, &f->err) == OMEN_OK;
    }
    float vectors[K * DIM];
    uint8_t found[K];
    answered += omen_get_vectors(c, known, K, vectors, 0, 0, found, &f->err) == OMEN_OK;
    omen_rows *ids = NULL;
    if (omen_fetch(c, known, K, OMEN_FIELD_ID, &ids, &f->err) == OMEN_OK) {
        omen_column column;
        omen_rows_column(ids, OMEN_FIELD_ID, &column);
        answered += omen_lookup(c, &column, K, keys, &f->err) == OMEN_OK;
        omen_rows_free(ids);
    }
    omen_status_t status;
    do {
        status = omen_scan(c, &cursor, keys, 64, &count, &f->err);
    } while (status == OMEN_OK && count == 64);
    omen_recall_options opt = {.struct_size = sizeof opt, .samples = 5};
    omen_recall recall = {.struct_size = sizeof recall};
    answered += omen_measure_recall(c, &opt, &recall, NULL, &f->err) == OMEN_OK;
    omen_stats stats = {.struct_size = sizeof stats};
    OK(f, omen_get_stats(c, &stats, &f->err));
    assert_true(answered <= 8);
}

static bool try_file(fixture *f, const char *path, uint32_t flags, const float *rows,
                     const uint64_t *known)
{
    omen_open_options opt = {.struct_size = sizeof opt, .flags = flags, .file = path};
    omen_collection *c = NULL;
    omen_status_t status = omen_open(f->db, "hostile", &opt, &c, &f->err);
    if (status != OMEN_OK) {
        assert_true(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED ||
                    status == OMEN_RESOURCE_EXHAUSTED);
        return false;
    }
    read_everything(f, c, rows, known);
    omen_collection_free(c);
    OK(f, omen_drop(f->db, "hostile", &f->err));
    return true;
}

static uint64_t nasty(fx_rng *rng)
{
    static const uint64_t values[] = {0,
                                      UINT64_MAX,
                                      UINT32_MAX,
                                      ROWS,
                                      ROWS - 1,
                                      UINT64_C(0x7FC000007FC00000),
                                      UINT64_C(0x7F8000007F800000),
                                      UINT64_C(0x8000000080000000)};
    uint32_t choice = fx_below(rng, 2 * sizeof values / sizeof values[0]);
    return choice < sizeof values / sizeof values[0] ? values[choice] : fx_next(rng);
}

static void make_good(fixture *f, const char *path, const float *rows, uint64_t *known)
{
    char ids[ROWS * 16];
    for (uint32_t i = 0; i < ROWS; i++) {
        (void)snprintf(ids + (size_t)i * 16, 16, "id-%012u", i);
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = ROWS,
                        .vectors = rows,
                        .dim = DIM,
                        .ids = {.data = ids, .width = 16}};
    OK(f, omen_add_batch(f->c, &batch, NULL, NULL, &f->err));
    OK(f, omen_search_f32(f->c, rows, 1, K, 0, known, NULL, &f->err));
    fx_delete(f, known[K - 1]);
    OK(f, omen_save(f->c, path, NULL, &f->err));
}

static void contents_are_not_trusted(void **state)
{
    (void)state;
    fixture f;
    const omen_options o = {.dim = DIM, .metric = OMEN_COSINE, .id_type = OMEN_ID_STRING};
    fx_open(&f, &o, 1);
    float *rows = fx_rows(ROWS, DIM, 70);
    uint64_t known[K];
    char good[512], bad[512];
    (void)snprintf(good, sizeof good, "%s", fx_path("good.omen"));
    (void)snprintf(bad, sizeof bad, "%s", fx_path("hostile.omen"));
    make_good(&f, good, rows, known);
    fx_rng rng = {71};
    uint32_t refused = 0;
    for (uint32_t kind = OM_SECTION_META; kind <= OM_SECTION_ID_MAP; kind++) {
        change what = {.kind = kind, .leave_out = true};
        copy_with(good, bad, &what);
        assert_false(try_file(&f, bad, 0, rows, known)); /* none of them can be missing */
        for (uint32_t i = 0; i < TRIES; i++) {
            what =
                (change){.kind = kind, .at = i < 12 ? i * 8 : fx_next(&rng), .value = nasty(&rng)};
            copy_with(good, bad, &what);
            refused += !try_file(&f, bad, i % 2 == 0 ? 0 : OMEN_OPEN_VERIFY, rows, known);
        }
    }
    assert_true(refused > TRIES);
    fx_remove(good);
    fx_remove(bad);
    free(rows);
    fx_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_are_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
