/* engine_backup_fault_test.c - backups, restores and verifications on disks that fail, are full or have no
 * links, of files that rot, and without memory. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backupfile.h"
#include "engine_journal.h"
#include "io.h"
#include "manifest.h"
#include "sim_disk.h"

enum { PATH = 512 };
static const om_alloc libc_alloc;
static const sim_fault no_fault;

static journal *new_journal(void)
{
    journal *j = calloc(1, sizeof *j);
    assert_non_null(j);
    return j;
}

static void write_batches(journal *j, omen_collection *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        omen_error err = {0};
        fx_ok(journal_write(j, c, &err), &err, "write", __FILE__, __LINE__);
    }
}

static void expect(omen_status_t got, omen_status_t want, const omen_error *err, const char *text)
{
    if (got != want || strstr(err->message, text) == NULL) {
        fail_msg("status %d (%s), expected %d and '%s'", got, got == OMEN_OK ? "" : err->message,
                 want, text);
    }
}

/* ---- Failing disks and memory ------------------------------------------------------------------ */
typedef struct simulated {
    sim_disk *disk;
    om_io io;
    omen_runtime *rt;
    omen_db *db;
    omen_collection *c;
    journal *j;
} simulated;

static void sim_begin(simulated *s, const omen_allocator *allocator)
{
    omen_error err = {0};
    omen_runtime_options runtime = {.struct_size = sizeof runtime, .threads = 1};
    if (allocator != NULL) {
        runtime.allocator = *allocator;
    }
    s->disk = sim_disk_create(NULL);
    s->io = sim_disk_io(s->disk);
    s->j = new_journal();
    fx_ok(omen_runtime_create(&runtime, &s->rt, &err), &err, "runtime", __FILE__, __LINE__);
    const omen_db_options options = {
        .struct_size = sizeof options, .runtime = s->rt, .warm = OMEN_WARM_NONE};
    fx_ok(om_db_open_io(&s->io, "/db", &options, &s->db, &err), &err, "open", __FILE__, __LINE__);
    fx_ok(journal_create(s->db, &s->c, &err), &err, "create", __FILE__, __LINE__);
    write_batches(s->j, s->c, 30);
    fx_ok(omen_checkpoint(s->db, NULL, &err), &err, "checkpoint", __FILE__, __LINE__);
    write_batches(s->j, s->c, 10);
}

static void sim_end(simulated *s)
{
    omen_collection_free(s->c);
    omen_db_free(s->db);
    omen_runtime_free(s->rt);
    sim_open open = sim_disk_open(s->disk);
    assert_int_equal(open.files, 0);
    assert_int_equal(open.mappings, 0);
    sim_disk_free(s->disk);
    free(s->j);
}

static bool sim_has(const simulated *s, const char *path)
{
    om_io_stat info;
    bool found = false;
    assert_int_equal(om_io_look(&s->io, path, &info, &found, NULL), OMEN_OK);
    return found;
}

static void sim_remove(const simulated *s, const char *path)
{
    om_backup_target target = {.io = &s->io, .alloc = &libc_alloc};
    char partial[PATH];
    (void)snprintf(partial, sizeof partial, "%s.partial", path);
    if (sim_has(s, path)) { /* as a leftover, which goes with the next try that is given up */
        assert_int_equal(om_io_rename(&s->io, path, partial, NULL), OMEN_OK);
    }
    assert_int_equal(om_backup_target_begin(&target, path, "/db", NULL), OMEN_OK);
    om_backup_target_end(&target);
    assert_false(sim_has(s, partial));
}

static void sim_check(simulated *s, const char *path, uint64_t version, uint32_t batches)
{
    omen_error err = {0};
    omen_db *db = NULL;
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s->rt};
    fx_ok(om_verify(&s->io, path, &how, NULL, &err), &err, "verify", __FILE__, __LINE__);
    const omen_db_options options = {.struct_size = sizeof options,
                                     .flags = OMEN_DB_READ_ONLY,
                                     .runtime = s->rt,
                                     .warm = OMEN_WARM_NONE};
    fx_ok(om_db_open_io(&s->io, path, &options, &db, &err), &err, "open", __FILE__, __LINE__);
    assert_int_equal(journal_check(s->j, db, version), batches);
    omen_db_free(db);
}

/* Every call of a backup fails once, then of a restore, then of a verification: a clear failure, no partial
 * folder, and the next try succeeds. */
static void test_failing_disk(void **unused)
{
    static const int errors[] = {EIO, ENOSPC};
    (void)unused;
    for (size_t e = 0; e < 2; e++) {
        simulated s;
        sim_begin(&s, NULL);
        const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
        uint64_t failures[3] = {0};
        for (int call = 0; call < 3; call++) {
            for (uint64_t nth = 1;; nth++) {
                omen_error err = {0};
                omen_backup_result result = {.struct_size = sizeof result};
                const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = errors[e]};
                sim_disk_fault(s.disk, &fault);
                omen_status_t status = call == 0 ? om_backup(s.db, "/b", &how, &result, &err)
                                       : call == 1
                                           ? om_restore(&s.io, "/b", "/r", &how, &result, &err)
                                           : om_verify(&s.io, "/b", &how, &result, &err);
                bool faulted = sim_disk_faulted(s.disk);
                sim_disk_fault(s.disk, &no_fault);
                if (status != OMEN_OK) {
                    failures[call]++;
                    assert_true(err.message[0] != '\0');
                    assert_true(status == OMEN_UNAVAILABLE || status == OMEN_RESOURCE_EXHAUSTED ||
                                status == OMEN_FAILED_PRECONDITION);
                }
                omen_db_stats stats = {.struct_size = sizeof stats};
                assert_int_equal(omen_get_db_stats(s.db, &stats, NULL), OMEN_OK);
                if (!faulted) {
                    assert_int_equal(status, OMEN_OK);
                    break;
                }
                if (call == 0 && stats.state == OMEN_DB_FAILED) {
                    /* The log's own sync failed: nothing is written until it is opened again. */
                    omen_collection_free(s.c);
                    omen_db_free(s.db);
                    const omen_db_options options = {
                        .struct_size = sizeof options, .runtime = s.rt, .warm = OMEN_WARM_NONE};
                    fx_ok(om_db_open_io(&s.io, "/db", &options, &s.db, &err), &err, "open",
                          __FILE__, __LINE__);
                    fx_ok(omen_open(s.db, "journal", NULL, &s.c, &err), &err, "open", __FILE__,
                          __LINE__);
                }
                if (call < 2) {
                    sim_remove(&s, call == 0 ? "/b" : "/r");
                }
            }
        }
        assert_true(failures[0] > 30 && failures[1] > 15 && failures[2] > 15);
        sim_check(&s, "/b", UINT64_MAX, 40);
        sim_check(&s, "/r", UINT64_MAX, 40);
        sim_end(&s);
    }
}

/* The disk has no room for a backup: it is told, nothing is left, and the database goes on. */
static void test_full_disk(void **unused)
{
    (void)unused;
    simulated s;
    sim_begin(&s, NULL);
    omen_error err = {0};
    omen_backup_result result = {.struct_size = sizeof result};
    const omen_backup_options copy = {
        .struct_size = sizeof copy, .flags = OMEN_BACKUP_COPY, .runtime = s.rt};
    fx_ok(om_backup(s.db, "/b", &copy, &result, &err), &err, "backup", __FILE__, __LINE__);
    sim_disk_limit(s.disk, sim_disk_used(s.disk) + 8192);
    assert_int_equal(om_restore(&s.io, "/b", "/r", &copy, NULL, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_DISK_FULL);
    assert_false(sim_has(&s, "/r"));
    assert_false(sim_has(&s, "/r.partial"));
    assert_int_equal(om_backup(s.db, "/b2", &copy, NULL, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_DISK_FULL);
    assert_false(sim_has(&s, "/b2"));
    assert_false(sim_has(&s, "/b2.partial"));
    sim_disk_limit(s.disk, 0);
    fx_ok(om_backup(s.db, "/b2", &copy, &result, &err), &err, "backup", __FILE__, __LINE__);
    fx_ok(om_restore(&s.io, "/b2", "/r", &copy, NULL, &err), &err, "restore", __FILE__, __LINE__);
    sim_check(&s, "/r", result.version, 40);
    assert_int_equal(journal_check(s.j, s.db, UINT64_MAX), 40);
    sim_end(&s);
}

/* A file system without hard links. */
static void test_without_links(void **unused)
{
    (void)unused;
    simulated s;
    sim_begin(&s, NULL);
    omen_error err = {0};
    omen_backup_result result = {.struct_size = sizeof result};
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
    const sim_fault never = {.call = SIM_LINK, .nth = 1, .for_ever = true, .error = EPERM};
    sim_disk_fault(s.disk, &never);
    fx_ok(om_backup(s.db, "/b", &how, &result, &err), &err, "backup", __FILE__, __LINE__);
    assert_int_equal(result.files_linked, 0);
    assert_int_equal(result.bytes_copied, result.bytes);
    const omen_backup_options more = {
        .struct_size = sizeof more, .runtime = s.rt, .previous = "/b"};
    fx_ok(om_backup(s.db, "/b2", &more, &result, &err), &err, "backup", __FILE__, __LINE__);
    assert_int_equal(result.files_linked, 0);
    sim_disk_fault(s.disk, &no_fault);
    fx_ok(om_backup(s.db, "/b3", &more, &result, &err), &err, "backup", __FILE__, __LINE__);
    assert_true(result.files_linked != 0);
    sim_check(&s, "/b", UINT64_MAX, 40);
    sim_check(&s, "/b2", UINT64_MAX, 40);
    sim_check(&s, "/b3", UINT64_MAX, 40);
    sim_end(&s);
}

/* Rot in a file of the database is found while it is backed up, and nothing is left behind. */
static void test_rotten_source(void **unused)
{
    (void)unused;
    simulated s;
    sim_begin(&s, NULL);
    omen_error err = {0};
    om_manifest m = {0};
    uint32_t skipped;
    om_path path;
    om_iofile file;
    uint8_t byte;
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
    assert_int_equal(om_manifest_load(&s.io, &libc_alloc, "/db", &m, &skipped, NULL), OMEN_OK);
    const om_manifest_segment *seg = &m.collections[0].segments[0];
    assert_int_equal(om_path_segment(&path, "/db", m.collections[0].serial, seg->id, NULL),
                     OMEN_OK);
    assert_int_equal(om_io_open(&s.io, path.text, OM_IO_WRITE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_read(&file, &byte, 1, 4100, NULL), OMEN_OK);
    byte ^= 16;
    assert_int_equal(om_io_write(&file, &byte, 1, 4100, NULL), OMEN_OK);
    om_io_close(&file);
    expect(om_backup(s.db, "/b", &how, NULL, &err), OMEN_DATA_LOSS, &err, "checksum");
    assert_non_null(strstr(err.message, ".seg"));
    assert_false(sim_has(&s, "/b.partial"));
    om_manifest_free(&libc_alloc, &m);
    sim_end(&s);
}

/* ---- Memory ------------------------------------------------------------------------------------ */
static _Atomic uint64_t allocations, fail_at, blocks;

static void *counted_get(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    uint64_t n = atomic_fetch_add(&allocations, 1) + 1;
    if (n == atomic_load(&fail_at)) {
        return NULL;
    }
    align = align < sizeof(void *) ? sizeof(void *) : align;
    void *block = aligned_alloc(align, (size + align - 1) / align * align);
    atomic_fetch_add(&blocks, block != NULL);
    return block;
}

static void counted_put(void *ctx, void *block, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    atomic_fetch_sub(&blocks, block != NULL);
    free(block);
}

static void test_without_memory(void **unused)
{
    static const omen_allocator allocator = {.alloc = counted_get, .free = counted_put};
    (void)unused;
    simulated s;
    sim_begin(&s, &allocator);
    const omen_backup_options how = {.struct_size = sizeof how, .runtime = s.rt};
    for (int call = 0; call < 3; call++) {
        omen_status_t status = OMEN_INTERNAL;
        for (uint64_t nth = 1; status != OMEN_OK; nth++) {
            omen_error err = {0};
            atomic_store(&fail_at, atomic_load(&allocations) + nth);
            status = call == 0   ? om_backup(s.db, "/b", &how, NULL, &err)
                     : call == 1 ? om_restore(&s.io, "/b", "/r", &how, NULL, &err)
                                 : om_verify(&s.io, "/b", &how, NULL, &err);
            atomic_store(&fail_at, 0);
            if (status != OMEN_OK) {
                assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
                assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
                assert_true(call == 2 || !sim_has(&s, call == 0 ? "/b" : "/r"));
                if (call < 2) {
                    sim_remove(&s, call == 0 ? "/b" : "/r");
                }
            }
        }
    }
    sim_check(&s, "/r", UINT64_MAX, 40);
    sim_end(&s);
    assert_int_equal(atomic_load(&blocks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_disk),   cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_without_links),  cmocka_unit_test(test_rotten_source),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests_name("engine backup faults", tests, NULL, NULL);
}
