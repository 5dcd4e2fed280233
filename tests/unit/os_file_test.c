/* os_file_test.c - files that appear whole or not at all. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os.h"

static om_budget budget;
static const om_alloc heap = {.budget = &budget};

typedef struct folder {
    char path[64];
    char file[96];
} folder;

static int make_folder(void **state)
{
    folder *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return 1;
    }
    const char *base = getenv("TMPDIR");
    (void)snprintf(self->path, sizeof self->path, "%s/omXXXXXX",
                   base != NULL && strlen(base) < 40 ? base : "/tmp");
    if (mkdtemp(self->path) == NULL) {
        free(self);
        return 1;
    }
    (void)snprintf(self->file, sizeof self->file, "%s/file", self->path);
    *state = self;
    return 0;
}

/* The number of entries, which are removed when `remove` is set. */
static int entries(const char *path, bool remove)
{
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        count++;
        if (remove) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    (void)closedir(dir);
    return count;
}

static int remove_folder(void **state)
{
    folder *self = *state;
    (void)entries(self->path, true);
    int failed = rmdir(self->path);
    free(self);
    return failed != 0 || budget.used != 0; /* also: nothing leaked */
}

static size_t content(const char *path, uint8_t *out, size_t capacity)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t bytes = fread(out, 1, capacity, file);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

static void write_text(const char *path, const char *text)
{
    om_file *file = NULL;
    assert_int_equal(om_file_create(&om_io_system, &heap, path, &file, NULL), OMEN_OK);
    assert_int_equal(om_file_write(file, text, strlen(text), NULL), OMEN_OK);
    assert_int_equal(om_file_commit(file, NULL), OMEN_OK);
}

static void is_invisible_until_commit(void **state)
{
    folder *dir = *state;
    om_file *file = NULL;
    uint8_t got[64];
    write_text(dir->file, "old");
    assert_int_equal(om_file_create(&om_io_system, &heap, dir->file, &file, NULL), OMEN_OK);
    assert_int_equal(om_file_write(file, "new content", 11, NULL), OMEN_OK);
    assert_int_equal(content(dir->file, got, sizeof got), 3);
    assert_int_equal(om_file_size(file), 11);
    assert_int_equal(om_file_commit(file, NULL), OMEN_OK);
    assert_int_equal(content(dir->file, got, sizeof got), 11);
    assert_memory_equal(got, "new content", 11);
    assert_int_equal(entries(dir->path, false), 1);
}

static void abort_leaves_nothing(void **state)
{
    folder *dir = *state;
    om_file *file = NULL;
    uint8_t got[64];
    write_text(dir->file, "old");
    assert_int_equal(om_file_create(&om_io_system, &heap, dir->file, &file, NULL), OMEN_OK);
    assert_int_equal(om_file_write(file, "new", 3, NULL), OMEN_OK);
    assert_int_equal(entries(dir->path, false), 2);
    om_file_abort(file);
    om_file_abort(NULL);
    assert_int_equal(entries(dir->path, false), 1);
    assert_int_equal(content(dir->file, got, sizeof got), 3);
    assert_memory_equal(got, "old", 3);
}

static void mixed_writes_match_a_model(void **state)
{
    folder *dir = *state;
    enum { TOTAL = 3 << 20 };
    uint8_t *model = malloc(TOTAL);
    uint8_t *got = malloc(TOTAL + 1);
    assert_non_null(model);
    assert_non_null(got);
    om_file *file = NULL;
    assert_int_equal(om_file_create(&om_io_system, &heap, dir->file, &file, NULL), OMEN_OK);
    size_t size = 0;
    uint32_t seed = 1;
    for (int i = 0; size < TOTAL; i++) {
        seed = seed * 1664525u + 1013904223u;
        /* Small, larger than the buffer, and empty ones. */
        size_t bytes = i % 7 == 6 ? 300000 + (seed >> 16) : (seed >> 20);
        bytes = bytes < TOTAL - size ? bytes : TOTAL - size;
        memset(model + size, (int)(seed & 0xFF), bytes);
        assert_int_equal(om_file_write(file, model + size, bytes, NULL), OMEN_OK);
        size += bytes;
        assert_int_equal(om_file_size(file), size);
        if (i % 3 == 0 && size >= 16) {
            size_t at = seed % (size - 15);
            memset(model + at, 0x5A, 16);
            assert_int_equal(om_file_write_at(file, at, model + at, 16, NULL), OMEN_OK);
            assert_int_equal(om_file_size(file), size);
        }
    }
    omen_error err;
    assert_int_equal(om_file_write_at(file, size - 1, model, 2, &err), OMEN_INTERNAL);
    assert_int_equal(om_file_write_at(file, UINT64_MAX, model, 2, &err), OMEN_INTERNAL);
    assert_int_equal(om_file_commit(file, NULL), OMEN_OK);
    assert_int_equal(content(dir->file, got, TOTAL + 1), TOTAL);
    assert_memory_equal(got, model, TOTAL);
    free(model);
    free(got);
}

static void refuses_what_is_no_file(void **state)
{
    folder *dir = *state;
    om_file *file = NULL;
    omen_error err;
    char path[160];
    assert_int_equal(om_file_create(&om_io_system, &heap, "", &file, &err), OMEN_INVALID_ARGUMENT);
    (void)snprintf(path, sizeof path, "%s/", dir->path);
    assert_int_equal(om_file_create(&om_io_system, &heap, path, &file, &err),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(om_file_create(&om_io_system, &heap, dir->path, &file, &err),
                     OMEN_FAILED_PRECONDITION);
    (void)snprintf(path, sizeof path, "%s/none/file", dir->path);
    assert_int_equal(om_file_create(&om_io_system, &heap, path, &file, &err), OMEN_NOT_FOUND);
    assert_int_equal(err.sys_errno, ENOENT);
    write_text(dir->file, "x");
    (void)snprintf(path, sizeof path, "%s/file", dir->file);
    assert_int_equal(om_file_create(&om_io_system, &heap, path, &file, &err),
                     OMEN_FAILED_PRECONDITION);
    assert_int_equal(err.sys_errno, ENOTDIR);
    assert_non_null(strstr(err.message, dir->file));
    (void)snprintf(path, sizeof path, "%s/fifo", dir->path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(om_file_create(&om_io_system, &heap, path, &file, &err),
                     OMEN_FAILED_PRECONDITION);
    assert_null(file);
    assert_int_equal(entries(dir->path, false), 2);
}

/* A limit on file sizes stands for a disk that stops taking bytes in the middle of a save. */
static void failed_write_keeps_the_old_file(void **state)
{
    folder *dir = *state;
    om_file *file = NULL;
    omen_error err;
    uint8_t got[64];
    enum { LIMIT = 512 << 10 };
    static uint8_t block[64 << 10];
    write_text(dir->file, "old");
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {LIMIT, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);

    omen_status_t status = om_file_create(&om_io_system, &heap, dir->file, &file, &err);
    for (int i = 0; status == OMEN_OK && i < 64; i++) {
        status = om_file_write(file, block, sizeof block, &err);
    }
    omen_status_t again = om_file_write(file, block, 1, NULL);
    omen_status_t at = om_file_write_at(file, 0, block, 1, NULL);
    omen_status_t commit = om_file_commit(file, NULL);

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status, OMEN_FAILED_PRECONDITION);
    assert_int_equal(err.sys_errno, EFBIG);
    assert_int_equal(again, OMEN_FAILED_PRECONDITION);
    assert_int_equal(at, OMEN_FAILED_PRECONDITION);
    assert_int_equal(commit, OMEN_FAILED_PRECONDITION);
    assert_int_equal(entries(dir->path, false), 1);
    assert_int_equal(content(dir->file, got, sizeof got), 3);
}

static void out_of_memory_is_a_status(void **state)
{
    folder *dir = *state;
    om_file *file = NULL;
    omen_error err;
    om_budget small = {.limit = 1000};
    om_alloc alloc = {.budget = &small};
    assert_int_equal(om_file_create(&om_io_system, &alloc, dir->file, &file, &err),
                     OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
    assert_int_equal(small.used, 0);
    assert_int_equal(entries(dir->path, false), 0);
}

static void relative_paths_follow_the_folder_not_the_process(void **state)
{
    folder *dir = *state;
    om_file *file = NULL;
    uint8_t got[8];
    int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(home >= 0);
    assert_int_equal(chdir(dir->path), 0);
    omen_status_t status = om_file_create(&om_io_system, &heap, "file", &file, NULL);
    assert_int_equal(fchdir(home), 0);
    assert_int_equal(close(home), 0);
    assert_int_equal(status, OMEN_OK);
    assert_int_equal(om_file_write(file, "abc", 3, NULL), OMEN_OK);
    assert_int_equal(om_file_commit(file, NULL), OMEN_OK);
    assert_int_equal(content(dir->file, got, sizeof got), 3);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(is_invisible_until_commit),
        IN_FOLDER(abort_leaves_nothing),
        IN_FOLDER(mixed_writes_match_a_model),
        IN_FOLDER(refuses_what_is_no_file),
        IN_FOLDER(failed_write_keeps_the_old_file),
        IN_FOLDER(out_of_memory_is_a_status),
        IN_FOLDER(relative_paths_follow_the_folder_not_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
