/* ops_fault_test.c - files that are cut under a mapping: the call that reads behind the new end goes on over
 * zeros and its flag is set; a thread that expects nothing ends the process with a code of its own.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "fault.h"

enum { PAGES = 4 };
typedef struct mapping {
    int fd;
    size_t page, size;
    volatile uint8_t *bytes;
} mapping;

/* PAGES pages full of ones. */
static mapping map_file(void)
{
    char path[] = "/tmp/ops_fault.XXXXXX";
    mapping m = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    m.size = PAGES * m.page;
    m.fd = mkstemp(path);
    assert_true(m.fd >= 0);
    assert_int_equal(unlink(path), 0);
    uint8_t *ones = malloc(m.size);
    assert_non_null(ones);
    memset(ones, 1, m.size);
    assert_int_equal(write(m.fd, ones, m.size), (ssize_t)m.size);
    free(ones);
    void *bytes = mmap(NULL, m.size, PROT_READ, MAP_SHARED, m.fd, 0);
    assert_true(bytes != MAP_FAILED);
    m.bytes = bytes;
    return m;
}

static void unmap(mapping *m)
{
    assert_int_equal(munmap((void *)(uintptr_t)m->bytes, m->size), 0);
    assert_int_equal(close(m->fd), 0);
}

static uint32_t sum_of(const mapping *m)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < m->size; i++) {
        sum += m->bytes[i];
    }
    return sum;
}

static void a_cut_file_reads_as_zeros_and_sets_the_flag(void **state)
{
    (void)state;
    om_fault_install(); /* cmocka has caught the signals of crashes itself */
    mapping m = map_file();
    _Atomic uint32_t flag = 0;
    uint64_t before = om_fault_count();
    om_fault_enter(&flag);
    assert_int_equal(sum_of(&m), m.size);
    om_fault_leave();
    assert_int_equal(atomic_load(&flag), 0);
    assert_int_equal(ftruncate(m.fd, (off_t)(2 * m.page)), 0);
    om_fault_enter(&flag);
    uint32_t sum = sum_of(&m);
    om_fault_leave();
    assert_int_equal(sum, 2 * m.page);
    assert_int_equal(atomic_load(&flag), 1);
    assert_int_equal(om_fault_count() - before, 2);
    unmap(&m);
}

/* The flag is there before anybody can read a zero, so whoever reads one and looks afterwards knows. */
typedef struct racer {
    mapping *m;
    _Atomic uint32_t *flag;
    _Atomic uint32_t *unseen;
} racer;

static void *race(void *arg)
{
    const racer *r = arg;
    om_fault_enter(r->flag);
    for (size_t i = 0; i < r->m->size; i += 64) {
        if (r->m->bytes[i] == 0 && atomic_load(r->flag) == 0) {
            atomic_fetch_add(r->unseen, 1);
        }
    }
    om_fault_leave();
    return NULL;
}

static void nobody_reads_zeros_without_seeing_the_flag(void **state)
{
    (void)state;
    om_fault_install(); /* cmocka has caught the signals of crashes itself */
    _Atomic uint32_t unseen = 0;
    for (int round = 0; round < 50; round++) {
        mapping m = map_file();
        _Atomic uint32_t flag = 0;
        racer r = {&m, &flag, &unseen};
        pthread_t thread[3];
        assert_int_equal(ftruncate(m.fd, (off_t)m.page), 0);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, race, &r), 0);
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
        }
        assert_int_equal(atomic_load(&flag), 1);
        unmap(&m);
    }
    assert_int_equal(atomic_load(&unseen), 0);
}

static int exit_code_of(void (*act)(mapping *m), mapping *m)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDERR_FILENO);
        act(m);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void read_all(mapping *m)
{
    (void)sum_of(m);
}

static void enter_leave_read(mapping *m)
{
    static _Atomic uint32_t flag;
    om_fault_enter(&flag);
    om_fault_leave();
    (void)sum_of(m);
}

static void be_told_to_die(mapping *m)
{
    static _Atomic uint32_t flag;
    (void)m;
    om_fault_enter(&flag);
    (void)raise(SIGBUS); /* no address belongs to it */
}

static void other_threads_end_the_process(void **state)
{
    (void)state;
    om_fault_install(); /* cmocka has caught the signals of crashes itself */
    mapping m = map_file();
    assert_int_equal(exit_code_of(read_all, &m), 0);
    assert_int_equal(ftruncate(m.fd, (off_t)m.page), 0);
    assert_int_equal(exit_code_of(read_all, &m), OM_EXIT_IO);
    assert_int_equal(exit_code_of(enter_leave_read, &m), OM_EXIT_IO);
    assert_int_equal(exit_code_of(be_told_to_die, &m), OM_EXIT_IO);
    unmap(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_file_reads_as_zeros_and_sets_the_flag),
        cmocka_unit_test(nobody_reads_zeros_without_seeing_the_flag),
        cmocka_unit_test(other_threads_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
