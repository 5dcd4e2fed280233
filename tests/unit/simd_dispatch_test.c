/* simd_dispatch_test.c - which table is chosen, with and without the cap.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simd.h"

/* Rising order; tables that the machine lacks are NULL. */
static const char *const order[] = {"scalar", "avx2", "avx512", "neon"};

static const char *best_up_to(const char *cap)
{
    const char *best = "scalar";
    for (size_t i = 0; i < 4; i++) {
        if (om_kernels_by_name(order[i]) != NULL) {
            best = order[i];
        }
        if (cap != NULL && strcmp(cap, order[i]) == 0) {
            break;
        }
    }
    return best;
}

/* The choice is made once a process: each case needs a process of its own. */
static void check_cap(const char *cap, const char *wanted)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (cap != NULL) {
            setenv("OMEN_ISA_MAX", cap, 1);
        } else {
            unsetenv("OMEN_ISA_MAX");
        }
        const om_kernels *kernels = om_kernels_get();
        bool right = strcmp(kernels->name, wanted) == 0 && om_kernels_get() == kernels;
        _exit(right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void cap_is_respected(void **state)
{
    (void)state;
    check_cap(NULL, best_up_to(NULL));
    check_cap("scalar", "scalar");
    for (size_t i = 0; i < 4; i++) {
        if (om_kernels_by_name(order[i]) != NULL) {
            check_cap(order[i], best_up_to(order[i]));
        }
    }
}

static void unknown_cap_is_ignored(void **state)
{
    (void)state;
    check_cap("", best_up_to(NULL));
    check_cap("avx1024", best_up_to(NULL));
}

static void tables_are_complete(void **state)
{
    (void)state;
    assert_non_null(om_kernels_by_name("scalar"));
    assert_null(om_kernels_by_name("mmx"));
    for (size_t i = 0; i < 4; i++) {
        const om_kernels *k = om_kernels_by_name(order[i]);
        if (k == NULL) {
            continue;
        }
        assert_string_equal(k->name, order[i]);
        assert_null(k->gather[0]);
        for (size_t kind = 1; kind < 6; kind++) {
            assert_non_null(k->gather[kind]);
        }
        for (size_t type = 1; type < 5; type++) {
            assert_non_null(k->l2[type]);
            assert_non_null(k->ip[type]);
        }
        assert_non_null(k->pack_below);
        assert_non_null(k->beam_insert);
        assert_non_null(k->hadamard);
        assert_true(om_cpu_has(order[i]));
    }
    assert_false(om_cpu_has("no such feature"));
}

static void tables_follow_features(void **state)
{
    (void)state;
    bool avx512 = om_cpu_has("avx512f") && om_cpu_has("avx512bw") && om_cpu_has("avx512vl") &&
                  om_cpu_has("avx512dq") && om_cpu_has("avx512vnni");
    if (!avx512) {
        assert_null(om_kernels_by_name("avx512"));
    }
    if (!om_cpu_has("avx2")) {
        assert_null(om_kernels_by_name("avx2"));
        assert_null(om_kernels_by_name("avx512"));
    }
#if defined(__aarch64__)
    assert_non_null(om_kernels_by_name("neon"));
#else
    assert_null(om_kernels_by_name("neon"));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cap_is_respected),
        cmocka_unit_test(unknown_cap_is_ignored),
        cmocka_unit_test(tables_are_complete),
        cmocka_unit_test(tables_follow_features),
    };
    return cmocka_run_group_tests_name("simd_dispatch", tests, NULL, NULL);
}
