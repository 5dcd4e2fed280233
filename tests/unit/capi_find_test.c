/* capi_find_test.c - the calls of ABI 0.3 from the caller's side: pointers, handles, structs of every age.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_fixture.h"

enum { DIM = 4, ROWS = 50, K = 5 };

static void fill(fixture *f)
{
    fx_open(f, &(omen_options){.dim = DIM}, 1);
    float *rows = fx_rows(ROWS, DIM, 1);
    fx_add(f, rows, ROWS, 0);
    free(rows);
}

static omen_filter *some_keys(fixture *f)
{
    static const uint64_t keys[] = {3, 5, 7};
    omen_filter *filter = NULL;
    OK(f, omen_filter_from_keys(f->c, keys, 3, &filter, &f->err));
    return filter;
}

static void pointers_and_handles_are_checked(void **state)
{
    (void)state;
    fixture f;
    uint64_t count = 0, key = 1;
    omen_rows *rows = NULL;
    omen_filter *none = NULL;
    omen_request request = {.struct_size = sizeof request};
    omen_hits hits = {.struct_size = sizeof hits};
    omen_batch batch = {.struct_size = sizeof batch};
    fill(&f);
    omen_filter *filter = some_keys(&f);
    omen_error *e = &f.err;
    const omen_filter *wrong = (const void *)f.c;
#define NO(call, detail) FAILS(&f, call, OMEN_INVALID_ARGUMENT, detail)
    NO(omen_filter_compile(NULL, "TRUE", 4, NULL, 0, &none, e), OMEN_D_NONE);
    NO(omen_filter_compile((void *)filter, "TRUE", 4, NULL, 0, &none, e), OMEN_D_HANDLE);
    NO(omen_filter_compile(f.c, "TRUE", 4, NULL, 0, NULL, e), OMEN_D_NONE);
    NO(omen_filter_from_keys(f.c, &key, 1, NULL, e), OMEN_D_NONE);
    NO(omen_count_where(f.c, filter, NULL, e), OMEN_D_NONE);
    NO(omen_count_where(f.c, wrong, &count, e), OMEN_D_HANDLE);
    NO(omen_count_where((void *)filter, filter, &count, e), OMEN_D_HANDLE);
    NO(omen_facet(f.c, wrong, "x", 1, &rows, e), OMEN_D_HANDLE);
    NO(omen_facet(f.c, NULL, "x", 1, NULL, e), OMEN_D_NONE);
    NO(omen_find(f.c, NULL, &hits, e), OMEN_D_NONE);
    NO(omen_find(f.c, &request, NULL, e), OMEN_D_NONE);
    request.leg_count = 1;
    NO(omen_find(f.c, &request, &hits, e), OMEN_D_NONE);
    NO(omen_list_items(f.c, NULL, &key, 1, NULL, e), OMEN_D_NONE);
    NO(omen_list_fields(f.c, NULL, 1, &count, e), OMEN_D_NONE);
    NO(omen_list_fields(f.c, NULL, 0, NULL, e), OMEN_D_NONE);
    NO(omen_declare_fields(f.c, NULL, 1, e), OMEN_D_NONE);
    NO(omen_delete_where(f.c, NULL, &batch, NULL, NULL, e), OMEN_D_NONE);
    NO(omen_delete_where(f.c, wrong, &batch, NULL, NULL, e), OMEN_D_HANDLE);
    NO(omen_delete_where(f.c, filter, &batch, NULL, (void *)filter, e), OMEN_D_HANDLE);
    NO(omen_fetch_fields(f.c, NULL, 1, OMEN_FIELD_ID, NULL, 0, &rows, e), OMEN_D_NONE);
#undef NO
    OK(&f, omen_count_where(f.c, NULL, &count, e));
    assert_int_equal(count, ROWS);
    OK(&f, omen_count_where(f.c, filter, &count, e));
    assert_int_equal(count, 3);
    omen_filter_free(filter);
    omen_filter_free((void *)f.c); /* no filter: nothing happens */
    fx_close(&f);
}

/* What a program of ABI 0.2 passes ends before the filter and before the reports of it. */
static void structs_of_older_programs_work(void **state)
{
    (void)state;
    fixture f;
    float vector[DIM] = {0};
    uint64_t keys[K];
    fill(&f);
    omen_query query = {.struct_size = offsetof(omen_query, filter),
                        .vectors = vector,
                        .dtype = OMEN_F32,
                        .dim = DIM,
                        .count = 1,
                        .k = K,
                        .filter = (const void *)&f}; /* not read */
    omen_hits hits = {
        .struct_size = offsetof(omen_hits, filters), .keys = keys, .filters = (void *)&f};
    OK(&f, omen_search(f.c, &query, &hits, &f.err));
    assert_true(keys[K - 1] < ROWS);
    fx_close(&f);
}

/* What a newer program passes: longer legs, which lie their own size apart. */
typedef struct newer_leg {
    omen_leg leg;
    uint64_t more[3];
} newer_leg;

static void structs_of_newer_programs_work(void **state)
{
    (void)state;
    fixture f;
    float vector[2][DIM] = {{0}, {1}};
    uint64_t keys[K];
    uint32_t count = 0;
    newer_leg legs[2];
    fill(&f);
    memset(legs, 0, sizeof legs);
    for (uint32_t i = 0; i < 2; i++) {
        legs[i].leg = (omen_leg){.struct_size = sizeof legs[i],
                                 .kind = OMEN_LEG_VECTOR,
                                 .vector = vector[i],
                                 .dtype = OMEN_F32,
                                 .dim = DIM};
    }
    omen_request request = {.struct_size = sizeof request,
                            .legs = (const omen_leg *)(const void *)legs,
                            .leg_count = 2,
                            .k = K};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &count};
    OK(&f, omen_find(f.c, &request, &hits, &f.err));
    assert_int_equal(count, K);
    assert_true(hits.version != 0);
    legs[1].more[2] = 1; /* an option that this library does not know */
    FAILS(&f, omen_find(f.c, &request, &hits, &f.err), OMEN_UNIMPLEMENTED, OMEN_D_STRUCT_SIZE);
    legs[1].more[2] = 0;
    legs[1].leg.struct_size -= 8;
    FAILS(&f, omen_find(f.c, &request, &hits, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_STRUCT_SIZE);
    legs[0].leg.struct_size = 4;
    FAILS(&f, omen_find(f.c, &request, &hits, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_STRUCT_SIZE);
    omen_listing listing = {.struct_size = 4};
    FAILS(&f, omen_list_items(f.c, &listing, keys, K, hits.keys, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_STRUCT_SIZE);
    fx_close(&f);
}

static int child(fixture *f, omen_filter *filter)
{
    uint64_t count = 0;
    omen_error err;
    omen_status_t status = omen_count_where(f->c, filter, &count, &err);
    omen_filter_free(filter); /* releases nothing */
    return status == OMEN_FAILED_PRECONDITION && err.detail == OMEN_D_FORKED ? 0 : 1;
}

static void filters_do_not_cross_a_fork(void **state)
{
    (void)state;
    fixture f;
    uint64_t count = 0;
    fill(&f);
    omen_filter *filter = some_keys(&f);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(child(&f, filter));
    }
    int code = -1;
    assert_true(waitpid(pid, &code, 0) == pid);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
    OK(&f, omen_count_where(f.c, filter, &count, &f.err));
    assert_int_equal(count, 3);
    fx_close(&f);
    omen_filter_free(filter); /* after everything else */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointers_and_handles_are_checked),
        cmocka_unit_test(structs_of_older_programs_work),
        cmocka_unit_test(structs_of_newer_programs_work),
        cmocka_unit_test(filters_do_not_cross_a_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
