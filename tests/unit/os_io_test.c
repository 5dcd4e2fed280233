/* os_io_test.c - the table of direct system calls and the helpers over any table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "io.h"

static om_budget budget;
static const om_alloc heap = {.budget = &budget};
static const om_io *const io = &om_io_system;
enum { NEW_FILE = OM_IO_WRITE | OM_IO_CREATE };

typedef struct folder {
    char path[64], file[96], other[96];
} folder;

static int make_folder(void **state)
{
    folder *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return 1;
    }
    (void)snprintf(self->path, sizeof self->path, "os_io_XXXXXX");
    if (mkdtemp(self->path) == NULL) {
        free(self);
        return 1;
    }
    (void)snprintf(self->file, sizeof self->file, "%s/file", self->path);
    (void)snprintf(self->other, sizeof self->other, "%s/other", self->path);
    *state = self;
    return 0;
}

static int remove_folder(void **state)
{
    folder *self = *state;
    omen_error err;
    bool fine = om_io_unlink(io, self->file, &err) == OMEN_OK &&
                om_io_unlink(io, self->other, &err) == OMEN_OK &&
                om_io_rmdir(io, self->path, &err) == OMEN_OK;
    free(self);
    return fine && budget.used == 0 ? 0 : 1;
}

static void parts_are_written_whole(void **state)
{
    const folder *f = *state;
    om_iofile file;
    uint64_t bytes = 0;
    char got[12] = "";
    assert_int_equal(om_io_open(io, f->file, NEW_FILE, &file, NULL), OMEN_OK);
    struct iovec parts[] = {{"", 0}, {"abc", 3}, {"", 0}, {"defgh", 5}, {"", 0}};
    assert_int_equal(om_io_writev(&file, parts, 5, 2, NULL), OMEN_OK);
    assert_int_equal(om_io_writev(&file, parts, 0, 0, NULL), OMEN_OK);
    assert_int_equal(om_io_sync(&file, NULL), OMEN_OK);
    assert_int_equal(om_io_size(&file, &bytes, NULL), OMEN_OK);
    assert_int_equal(bytes, 10);
    assert_int_equal(om_io_read(&file, got, 10, 0, NULL), OMEN_OK);
    assert_memory_equal(got, "\0\0abcdefgh", 10);
    om_io_close(&file);
    om_io_close(&file);
}

static void reading_behind_the_end_is_data_loss(void **state)
{
    const folder *f = *state;
    om_iofile file;
    omen_error err;
    char got[8];
    assert_int_equal(om_io_open(io, f->file, NEW_FILE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_write(&file, "abc", 3, 0, NULL), OMEN_OK);
    assert_int_equal(om_io_read(&file, got, 4, 0, &err), OMEN_DATA_LOSS);
    assert_non_null(strstr(err.message, f->file));
    assert_int_equal(om_io_read(&file, got, 0, 99, &err), OMEN_OK);
    void *base = NULL;
    om_io_mapping mapping = {.bytes = 4};
    assert_int_equal(om_io_map(&file, &mapping, &base, &err), OMEN_DATA_LOSS);
    mapping.offset = 4096;
    mapping.bytes = 1;
    assert_int_equal(om_io_map(&file, &mapping, &base, &err), OMEN_DATA_LOSS);
    assert_null(base);
    om_io_unmap(io, NULL, 4);
    om_io_close(&file);
}

static void writable_mappings_are_private(void **state)
{
    const folder *f = *state;
    om_iofile file;
    char got[4] = "";
    assert_int_equal(om_io_open(io, f->file, NEW_FILE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_write(&file, "abc", 3, 0, NULL), OMEN_OK);
    void *base = NULL;
    om_io_mapping mapping = {.bytes = 3, .writable = true};
    assert_int_equal(om_io_map(&file, &mapping, &base, NULL), OMEN_OK);
    memcpy(base, "xyz", 3);
    assert_int_equal(om_io_read(&file, got, 3, 0, NULL), OMEN_OK);
    assert_string_equal(got, "abc");
    om_io_unmap(io, base, 3);
    om_io_close(&file);
}

static void locks_belong_to_the_open_file(void **state)
{
    const folder *f = *state;
    om_iofile one, two, three;
    omen_error err;
    assert_int_equal(om_io_open(io, f->file, NEW_FILE, &one, NULL), OMEN_OK);
    assert_int_equal(om_io_open(io, f->file, OM_IO_WRITE, &two, NULL), OMEN_OK);
    assert_int_equal(om_io_open(io, f->file, OM_IO_WRITE, &three, NULL), OMEN_OK);
    assert_int_equal(om_io_lock(&one, NULL), OMEN_OK);
    om_io_close(&three); /* would end a lock of the process */
    assert_int_equal(om_io_lock(&two, &err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(err.detail, OMEN_D_LOCKED);
    om_io_close(&one);
    assert_int_equal(om_io_lock(&two, &err), OMEN_OK);
    om_io_close(&two);
}

static void allocation_grows_and_keeps(void **state)
{
    const folder *f = *state;
    om_iofile file;
    uint64_t bytes = 0;
    char got[4] = "";
    assert_int_equal(om_io_open(io, f->file, NEW_FILE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_write(&file, "abc", 3, 0, NULL), OMEN_OK);
    assert_int_equal(om_io_allocate(&file, 100000, NULL), OMEN_OK);
    assert_int_equal(om_io_allocate(&file, 10, NULL), OMEN_OK); /* never shorter */
    assert_int_equal(om_io_size(&file, &bytes, NULL), OMEN_OK);
    assert_int_equal(bytes, 100000);
    assert_int_equal(om_io_read(&file, got, 3, 0, NULL), OMEN_OK);
    assert_string_equal(got, "abc");
    assert_int_equal(om_io_truncate(&file, 1, NULL), OMEN_OK);
    assert_int_equal(om_io_size(&file, &bytes, NULL), OMEN_OK);
    assert_int_equal(bytes, 1);
    om_io_close(&file);
}

static void small_files_come_whole(void **state)
{
    const folder *f = *state;
    uint8_t *data = NULL;
    size_t bytes = 0;
    omen_error err;
    assert_int_equal(om_io_slurp(io, &heap, f->file, 10, &data, &bytes, &err), OMEN_NOT_FOUND);
    assert_int_equal(om_io_replace(io, f->file, "0123456789", 10, NULL), OMEN_OK);
    assert_int_equal(om_io_put(io, f->file, "abcdefghij", 10, NULL), OMEN_OK);
    assert_int_equal(om_io_slurp(io, &heap, f->file, 9, &data, &bytes, &err), OMEN_DATA_LOSS);
    assert_int_equal(om_io_slurp(io, &heap, f->file, 10, &data, &bytes, NULL), OMEN_OK);
    assert_int_equal(bytes, 10);
    assert_string_equal((char *)data, "abcdefghij");
    om_alloc_put(&heap, data, bytes + 1, 8);
    assert_int_equal(om_io_slurp(io, &heap, f->path, 10, &data, &bytes, &err),
                     OMEN_FAILED_PRECONDITION);
    om_budget small = {.limit = 5};
    om_alloc poor = {.budget = &small};
    assert_int_equal(om_io_slurp(io, &poor, f->file, 10, &data, &bytes, &err),
                     OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
}

static int stop_at_second(void *arg, const char *name)
{
    int *seen = arg;
    assert_true(strcmp(name, "file") == 0 || strcmp(name, "other") == 0);
    return ++*seen == 2 ? ECANCELED : 0;
}

static void names(void **state)
{
    const folder *f = *state;
    omen_error err;
    om_io_stat info;
    om_io_space space;
    bool found = true;
    int seen = 0;
    char path[4096], small[2];
    assert_int_equal(om_io_look(io, f->file, &info, &found, NULL), OMEN_OK);
    assert_false(found);
    assert_int_equal(om_io_unlink(io, f->file, NULL), OMEN_OK);
    assert_int_equal(om_io_rmdir(io, f->other, NULL), OMEN_OK);
    assert_int_equal(om_io_mkdir(io, f->path, NULL), OMEN_OK); /* is there */
    assert_int_equal(om_io_replace(io, f->file, "a", 1, NULL), OMEN_OK);
    assert_int_equal(om_io_mkdir(io, f->file, &err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(om_io_link(io, f->file, f->other, NULL), OMEN_OK);
    assert_int_equal(om_io_link(io, f->file, f->other, &err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(om_io_look(io, f->other, &info, &found, NULL), OMEN_OK);
    assert_true(found && info.regular && !info.folder && info.bytes == 1);
    assert_int_equal(om_io_list(io, f->path, stop_at_second, &seen, &err), OMEN_UNAVAILABLE);
    assert_int_equal(seen, 2);
    assert_int_equal(err.sys_errno, ECANCELED);
    assert_int_equal(om_io_rename(io, f->other, f->file, NULL), OMEN_OK);
    assert_int_equal(om_io_sync_dir(io, f->file, &err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(om_io_sync_parent(io, f->file, NULL), OMEN_OK);
    assert_int_equal(om_io_sync_parent(io, "file-without-folder", NULL), OMEN_OK);
    assert_int_equal(om_io_sync_parent(io, "/file-of-root", NULL), OMEN_OK);
    assert_int_equal(om_io_free_space(io, f->path, &space, NULL), OMEN_OK);
    assert_true(space.total >= space.available && space.total != 0);
    assert_int_equal(om_io_resolve(io, f->path, path, sizeof path, NULL), OMEN_OK);
    assert_true(path[0] == '/' && strstr(path, f->path) != NULL);
    assert_int_equal(om_io_resolve(io, f->path, small, sizeof small, &err),
                     OMEN_FAILED_PRECONDITION);
    assert_int_equal(om_io_resolve(io, f->file, path, sizeof path, &err), OMEN_FAILED_PRECONDITION);
}

static void children_get_no_mappings(void **state)
{
    const folder *f = *state;
    om_iofile file;
    assert_int_equal(om_io_replace(io, f->file, "abc", 3, NULL), OMEN_OK);
    assert_int_equal(om_io_open(io, f->file, 0, &file, NULL), OMEN_OK);
    void *base = NULL;
    om_io_mapping mapping = {.bytes = 3};
    assert_int_equal(om_io_map(&file, &mapping, &base, NULL), OMEN_OK);
    om_io_close(&file);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* The kernel says whether the page is there; touching it would be a signal. */
        _exit(write(pipes[1], base, 3) < 0 && errno == EFAULT ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_memory_equal(base, "abc", 3);
    om_io_unmap(io, base, 3);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

static void clocks_go_on(void **state)
{
    (void)state;
    uint64_t before = om_io_now(io);
    assert_true(om_io_now(io) >= before);
    assert_true(om_io_wall(io) > UINT64_C(1600000000) * 1000000000);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(parts_are_written_whole),
        IN_FOLDER(reading_behind_the_end_is_data_loss),
        IN_FOLDER(writable_mappings_are_private),
        IN_FOLDER(locks_belong_to_the_open_file),
        IN_FOLDER(allocation_grows_and_keeps),
        IN_FOLDER(small_files_come_whole),
        IN_FOLDER(names),
        IN_FOLDER(children_get_no_mappings),
        cmocka_unit_test(clocks_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
