/* sim_disk_test.c - the simulated disk against a real one, its faults, and that copies are independent.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "rng.h"
#include "sim_disk.h"

enum { WHOLE = OM_IO_WRITE | OM_IO_CREATE };

static void put(const om_io *io, const char *path, const char *text)
{
    om_iofile file;
    assert_int_equal(om_io_open(io, path, WHOLE | OM_IO_TRUNCATE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_write(&file, text, strlen(text), 0, NULL), OMEN_OK);
    om_io_close(&file);
}

static void expect(const om_io *io, const char *path, const char *text)
{
    om_alloc heap = {.budget = NULL};
    uint8_t *data = NULL;
    size_t bytes = 0;
    assert_int_equal(om_io_slurp(io, &heap, path, 1 << 20, &data, &bytes, NULL), OMEN_OK);
    assert_string_equal((char *)data, text);
    om_alloc_put(&heap, data, bytes + 1, 8);
}

/* ---- The same operations on both disks give the same answers ---- */
enum { NAMES = 6, HANDLES = 5, STEPS = 30000, SPAN = 20000 };
typedef struct side {
    om_io io;
    char root[64];
    int fd[HANDLES];
} side;

static void name_of(const side *s, uint32_t which, char *out)
{
    static const char *const names[NAMES] = {"a", "b", "folder", "folder/c", "folder/d", "e/f"};
    (void)snprintf(out, 128, "%s/%s", s->root, names[which]);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

typedef struct listing {
    char names[NAMES][32];
    int count;
} listing;

static int add_name(void *arg, const char *name)
{
    listing *all = arg;
    (void)snprintf(all->names[all->count++], sizeof all->names[0], "%.31s", name);
    return 0;
}

static int list_names(const om_io *io, const char *path, uint64_t *sum)
{
    listing all = {.count = 0};
    int failed = io->ops->list(io->ctx, path, add_name, &all);
    qsort(all.names, (size_t)all.count, sizeof all.names[0], compare_names);
    for (int i = 0; i < all.count; i++) {
        for (const char *c = all.names[i]; *c != '\0'; c++) {
            *sum = om_mix64(*sum ^ (uint64_t)*c);
        }
    }
    return failed;
}

/* What a step gives: the errno, and a sum over everything else that comes back. */
typedef struct answer {
    int failed;
    uint64_t sum;
} answer;

static answer on_open_file(side *s, uint32_t what, uint64_t rng)
{
    static uint8_t data[SPAN];
    answer out = {0, 0};
    int fd = s->fd[rng % HANDLES];
    uint64_t offset = om_mix64(rng) % SPAN, bytes = om_mix64(rng + 1) % 9000;
    size_t done = 0;
    om_io_stat info = {0};
    if (what == 0) {
        memset(data, (int)(rng >> 8 & 0xFF), sizeof data);
        struct iovec parts[2] = {{data, (size_t)bytes}, {data, 100}};
        out.failed = s->io.ops->pwritev(s->io.ctx, fd, parts, 2, offset, &done);
        out.sum = done;
    } else if (what == 1) {
        out.failed = s->io.ops->pread(s->io.ctx, fd, data, (size_t)bytes, offset, &done);
        for (size_t i = 0; i < done; i++) {
            out.sum = out.sum * 31 + data[i] + 1;
        }
    } else if (what == 2) {
        out.failed = s->io.ops->truncate(s->io.ctx, fd, offset);
    } else if (what == 3) {
        out.failed = s->io.ops->allocate(s->io.ctx, fd, offset + 1);
    } else if (what == 4) {
        out.failed = s->io.ops->sync(s->io.ctx, fd);
    } else {
        out.failed = s->io.ops->fstat(s->io.ctx, fd, &info);
        out.sum = info.bytes * 4 + (info.regular ? 2 : 0);
    }
    return out;
}

static answer on_names(side *s, uint32_t what, uint64_t rng)
{
    char path[128], other[128];
    answer out = {0, 0};
    om_io_stat info = {0};
    name_of(s, (uint32_t)(rng % NAMES), path);
    name_of(s, (uint32_t)(om_mix64(rng) % NAMES), other);
    if (what == 0) {
        out.failed = s->io.ops->rename(s->io.ctx, path, other);
    } else if (what == 1) {
        out.failed = s->io.ops->link(s->io.ctx, path, other);
    } else if (what == 2) {
        out.failed = s->io.ops->unlink(s->io.ctx, path);
    } else if (what == 3) {
        out.failed = s->io.ops->mkdir(s->io.ctx, path);
    } else if (what == 4) {
        out.failed = s->io.ops->rmdir(s->io.ctx, path);
    } else if (what == 5) {
        out.failed = s->io.ops->sync_dir(s->io.ctx, path);
    } else if (what == 6) {
        out.failed = list_names(&s->io, path, &out.sum);
    } else {
        out.failed = s->io.ops->stat(s->io.ctx, path, &info);
        out.sum = info.folder ? 1 : info.bytes * 4 + (info.regular ? 2 : 0);
    }
    return out;
}

static answer step(side *s, uint64_t rng)
{
    answer out = {0, 0};
    uint32_t what = (uint32_t)(rng >> 32) % 20;
    if (what < 6) {
        return on_open_file(s, what, om_mix64(rng));
    }
    if (what < 14) {
        return on_names(s, what - 6, om_mix64(rng));
    }
    int *fd = &s->fd[rng % HANDLES];
    char path[128];
    if (*fd >= 0) {
        out.failed = s->io.ops->close(s->io.ctx, *fd);
        *fd = -1;
    } else {
        name_of(s, (uint32_t)(om_mix64(rng) % NAMES), path);
        uint32_t flags = (uint32_t)(om_mix64(rng + 2) % 16) | OM_IO_WRITE;
        out.failed = s->io.ops->open(s->io.ctx, path, flags, fd);
        *fd = out.failed == 0 ? *fd : -1;
    }
    return out;
}

static void remove_all(const side *s)
{
    char path[128];
    static const uint32_t order[NAMES] = {3, 4, 5, 0, 1, 2};
    for (int i = 0; i < NAMES; i++) {
        name_of(s, order[i], path);
        (void)s->io.ops->unlink(s->io.ctx, path);
        (void)s->io.ops->rmdir(s->io.ctx, path);
    }
    (void)s->io.ops->rmdir(s->io.ctx, s->root);
}

static void answers_as_a_real_disk_does(void **state)
{
    (void)state;
    sim_disk *disk = sim_disk_create(NULL);
    side real = {.io = om_io_system, .root = "sim_disk_testXXXXXX"};
    side sim = {.io = sim_disk_io(disk)};
    assert_non_null(mkdtemp(real.root));
    memcpy(sim.root, real.root, sizeof sim.root);
    assert_int_equal(om_io_mkdir(&sim.io, sim.root, NULL), OMEN_OK);
    memset(real.fd, -1, sizeof real.fd);
    memset(sim.fd, -1, sizeof sim.fd);
    uint64_t rng = 1;
    for (int i = 0; i < STEPS; i++) {
        uint64_t dice = om_rng_next(&rng);
        answer a = step(&real, dice), b = step(&sim, dice);
        if (a.failed != b.failed || a.sum != b.sum) {
            fail_msg("step %d (%u): %s, simulated %s; %llu and %llu", i,
                     (uint32_t)(dice >> 32) % 20, strerror(a.failed), strerror(b.failed),
                     (unsigned long long)a.sum, (unsigned long long)b.sum);
        }
    }
    for (int i = 0; i < HANDLES; i++) {
        (void)close(real.fd[i]);
    }
    remove_all(&real);
    sim_disk_free(disk);
}

/* ---- What a real disk does not do on demand ---- */
static void copies_are_independent(void **state)
{
    (void)state;
    sim_disk *first = sim_disk_create(NULL);
    om_io io = sim_disk_io(first);
    put(&io, "/x", "before");
    put(&io, "/y", "same");
    sim_image *image = sim_disk_image(first);
    sim_disk *second = sim_disk_create(image);
    om_io copy = sim_disk_io(second);
    assert_true(sim_image_hash(image) == sim_image_hash(image));
    put(&copy, "/x", "after");
    assert_int_equal(om_io_unlink(&copy, "/y", NULL), OMEN_OK);
    expect(&io, "/x", "before");
    expect(&io, "/y", "same");
    expect(&copy, "/x", "after");
    sim_image *changed = sim_disk_image(second);
    assert_true(sim_image_hash(image) != sim_image_hash(changed));
    put(&copy, "/y", "same");
    put(&copy, "/x", "before");
    sim_image *again = sim_disk_image(second);
    assert_true(sim_image_hash(image) == sim_image_hash(again));
    sim_image_free(image);
    sim_image_free(changed);
    sim_image_free(again);
    sim_disk_free(first);
    sim_disk_free(second);
}

static void the_nth_call_fails(void **state)
{
    (void)state;
    sim_disk *disk = sim_disk_create(NULL);
    om_io io = sim_disk_io(disk);
    om_iofile file;
    omen_error err;
    put(&io, "/x", "0123456789");
    assert_int_equal(om_io_open(&io, "/x", OM_IO_WRITE, &file, NULL), OMEN_OK);
    char data[10];
    /* Once, with the caller going on after EINTR and after a short transfer. */
    sim_disk_fault(disk, &(sim_fault){SIM_PREAD, 1, false, EINTR});
    assert_int_equal(om_io_read(&file, data, 10, 0, &err), OMEN_OK);
    assert_true(sim_disk_faulted(disk));
    sim_disk_fault(disk, &(sim_fault){SIM_PREAD, 1, false, 0});
    uint64_t reads = sim_disk_calls(disk, SIM_PREAD);
    assert_int_equal(om_io_read(&file, data, 10, 0, &err), OMEN_OK);
    assert_memory_equal(data, "0123456789", 10);
    assert_int_equal(sim_disk_calls(disk, SIM_PREAD), reads + 2);
    sim_disk_fault(disk, &(sim_fault){SIM_PWRITEV, 1, true, 0});
    assert_int_equal(om_io_write(&file, "abcdefghij", 10, 0, &err), OMEN_OK);
    expect(&io, "/x", "abcdefghij");
    /* The second of its kind, then for ever. */
    sim_disk_fault(disk, &(sim_fault){SIM_SYNC, 2, false, EIO});
    assert_int_equal(om_io_sync(&file, &err), OMEN_OK);
    assert_int_equal(om_io_sync(&file, &err), OMEN_UNAVAILABLE);
    assert_int_equal(err.sys_errno, EIO);
    assert_int_equal(om_io_sync(&file, &err), OMEN_OK);
    sim_disk_fault(disk, &(sim_fault){SIM_CALLS, 2, true, ENOSPC});
    assert_int_equal(om_io_sync(&file, &err), OMEN_OK);
    assert_int_equal(om_io_write(&file, "x", 1, 0, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_DISK_FULL);
    assert_int_equal(om_io_unlink(&io, "/x", &err), OMEN_RESOURCE_EXHAUSTED);
    sim_disk_fault(disk, &(sim_fault){0});
    assert_false(sim_disk_faulted(disk));
    assert_int_equal(om_io_write(&file, "x", 1, 0, &err), OMEN_OK);
    om_io_close(&file);
    sim_disk_free(disk);
}

static void a_full_disk_takes_what_fits(void **state)
{
    (void)state;
    static uint8_t data[8 * SIM_BLOCK];
    sim_disk *disk = sim_disk_create(NULL);
    om_io io = sim_disk_io(disk);
    om_iofile file, other;
    omen_error err;
    size_t done = 0;
    sim_disk_limit(disk, 4 * SIM_BLOCK);
    assert_int_equal(om_io_open(&io, "/x", WHOLE, &file, NULL), OMEN_OK);
    struct iovec part = {data, 6 * SIM_BLOCK};
    assert_int_equal(io.ops->pwritev(io.ctx, file.fd, &part, 1, 100, &done), 0);
    assert_int_equal(done, 4 * SIM_BLOCK - 100);
    assert_int_equal(om_io_write(&file, data, 1, 4 * SIM_BLOCK, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(om_io_write(&file, data, SIM_BLOCK, 0, &err), OMEN_OK); /* overwriting */
    assert_int_equal(om_io_open(&io, "/y", WHOLE, &other, NULL), OMEN_OK);
    assert_int_equal(om_io_allocate(&other, 1, &err), OMEN_RESOURCE_EXHAUSTED);
    om_io_space space;
    assert_int_equal(om_io_free_space(&io, "/", &space, NULL), OMEN_OK);
    assert_int_equal(space.available, 0);
    /* An open file keeps its blocks after its name is gone. */
    assert_int_equal(om_io_unlink(&io, "/x", NULL), OMEN_OK);
    assert_int_equal(sim_disk_used(disk), 4 * SIM_BLOCK);
    om_io_close(&file);
    assert_int_equal(sim_disk_used(disk), 0);
    assert_int_equal(om_io_allocate(&other, 4 * SIM_BLOCK, &err), OMEN_OK);
    assert_int_equal(om_io_write(&other, data, 4 * SIM_BLOCK, 0, &err), OMEN_OK);
    assert_int_equal(om_io_truncate(&other, 1, &err), OMEN_OK);
    assert_int_equal(sim_disk_used(disk), SIM_BLOCK);
    om_io_close(&other);
    sim_disk_free(disk);
}

static void locks_and_mappings(void **state)
{
    (void)state;
    sim_disk *disk = sim_disk_create(NULL);
    om_io io = sim_disk_io(disk);
    om_iofile one, two;
    omen_error err;
    put(&io, "/x", "0123456789");
    assert_int_equal(om_io_open(&io, "/x", OM_IO_WRITE, &one, NULL), OMEN_OK);
    assert_int_equal(om_io_open(&io, "/x", OM_IO_WRITE, &two, NULL), OMEN_OK);
    assert_int_equal(om_io_lock(&one, &err), OMEN_OK);
    assert_int_equal(om_io_lock(&two, &err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(err.detail, OMEN_D_LOCKED);
    om_io_close(&one);
    assert_int_equal(om_io_lock(&two, &err), OMEN_OK);
    void *base = NULL;
    om_io_mapping mapping = {.bytes = 10, .writable = true};
    assert_int_equal(om_io_map(&two, &mapping, &base, &err), OMEN_OK);
    assert_memory_equal(base, "0123456789", 10);
    memset(base, 'x', 10); /* private */
    expect(&io, "/x", "0123456789");
    mapping.bytes = 11;
    void *beyond = NULL;
    assert_int_equal(om_io_map(&two, &mapping, &beyond, &err), OMEN_DATA_LOSS);
    sim_open open = sim_disk_open(disk);
    assert_int_equal(open.files, 1);
    assert_int_equal(open.mappings, 1);
    om_io_unmap(&io, base, 10);
    om_io_close(&two);
    open = sim_disk_open(disk);
    assert_int_equal(open.files + open.mappings, 0);
    sim_disk_free(disk);
}

static void clocks_are_its_own(void **state)
{
    (void)state;
    sim_disk *disk = sim_disk_create(NULL);
    om_io io = sim_disk_io(disk);
    uint64_t before = om_io_now(&io), wall = om_io_wall(&io);
    sim_disk_advance(disk, UINT64_C(3600) * 1000000000);
    assert_true(om_io_now(&io) - before >= UINT64_C(3600) * 1000000000);
    assert_true(om_io_wall(&io) - wall >= UINT64_C(3600) * 1000000000);
    assert_true(om_io_now(&io) - before < UINT64_C(3601) * 1000000000);
    char name[64];
    assert_int_equal(om_io_mkdir(&io, "/folder", NULL), OMEN_OK);
    assert_int_equal(om_io_resolve(&io, "folder/", name, sizeof name, NULL), OMEN_OK);
    assert_string_equal(name, "/folder");
    assert_int_equal(om_io_resolve(&io, ".", name, sizeof name, NULL), OMEN_OK);
    assert_string_equal(name, "/");
    assert_int_equal(om_io_resolve(&io, "/none", name, sizeof name, NULL), OMEN_NOT_FOUND);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_a_real_disk_does),
        cmocka_unit_test(copies_are_independent),
        cmocka_unit_test(the_nth_call_fails),
        cmocka_unit_test(a_full_disk_takes_what_fits),
        cmocka_unit_test(locks_and_mappings),
        cmocka_unit_test(clocks_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
