/* store_wal_fixture.c - a log on a simulated disk beside a model of what must be in it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store_wal_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

void wal_setup(wal_fixture *f, const sim_image *from)
{
    memset(f, 0, sizeof *f);
    f->disk = sim_disk_create(from);
    sim_disk_limit(f->disk, WAL_DISK);
    f->io = sim_disk_io(f->disk);
    f->model.first = 1;
    f->options = (om_wal_options){.io = &f->io,
                                  .alloc = &f->alloc,
                                  .folder = "db/wal",
                                  .values = "db",
                                  .interval_ns = 1000000};
    for (uint8_t i = 0; i < sizeof f->options.database; i++) {
        f->options.database[i] = (uint8_t)(17 * i + 3);
    }
    if (from == NULL) {
        assert_int_equal(om_io_mkdir(&f->io, "db", NULL), OMEN_OK);
    }
}

void wal_teardown(wal_fixture *f)
{
    wal_close(f);
    sim_open open = sim_disk_open(f->disk);
    assert_int_equal(open.files, 0);
    sim_disk_free(f->disk);
}

omen_status_t wal_open(wal_fixture *f)
{
    assert_null(f->log);
    return om_wal_open(&f->options, &f->log, &f->err);
}

void wal_must_open(wal_fixture *f)
{
    if (wal_open(f) != OMEN_OK) {
        fail_msg("open: %s", f->err.message);
    }
}

void wal_close(wal_fixture *f)
{
    if (f->log != NULL) {
        f->log->ops->close(f->log);
        f->log = NULL;
    }
}

/* Closing would sync; a log that says it is open for reading only does not. */
void wal_kill(wal_fixture *f)
{
    atomic_store(&om_wal_of(f->log)->state, OM_LOG_READ_ONLY);
    wal_close(f);
}

om_log_state wal_state(wal_fixture *f)
{
    om_log_state state;
    f->log->ops->tail(f->log, &state);
    return state;
}

static void fill_payload(uint64_t seed, uint8_t *out, uint32_t bytes)
{
    uint64_t state = seed;
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)om_rng_next(&state);
    }
}

static uint8_t type_of(uint64_t seed)
{
    return (uint8_t)(1 + om_mix64(seed) % (OM_LOG_TYPES - 1));
}

/* Cut into parts of any size, empty ones too. */
static void cut_parts(om_log_entry *entry, uint8_t *payload, uint32_t bytes, uint64_t seed)
{
    uint64_t state = seed + 1;
    uint32_t at = 0;
    uint32_t parts = om_rng_below(&state, OM_LOG_MAX_PARTS + 1);
    for (uint32_t i = 0; i < parts; i++) {
        uint32_t part = i + 1 == parts ? bytes - at : om_rng_below(&state, bytes - at + 1);
        entry->parts[entry->part_count++] =
            (struct iovec){.iov_base = payload + at, .iov_len = part};
        at += part;
    }
    if (at < bytes) {
        entry->parts[entry->part_count++] = (struct iovec){.iov_base = payload, .iov_len = bytes};
    }
}

omen_status_t wal_append_sizes(wal_fixture *f, uint64_t seed, const uint32_t *sizes, uint32_t count,
                               uint8_t flags)
{
    static om_log_entry entries[OM_LOG_MAX_GROUP + 1];
    uint64_t seeds[OM_LOG_MAX_GROUP + 1];
    uint8_t *payloads[OM_LOG_MAX_GROUP + 1];
    uint64_t last = 0;
    assert_true(count <= OM_LOG_MAX_GROUP + 1);
    for (uint32_t i = 0; i < count; i++) {
        seeds[i] = om_mix64(seed + i);
        payloads[i] = malloc(sizes[i] + 1);
        assert_non_null(payloads[i]);
        fill_payload(seeds[i], payloads[i], sizes[i]);
        entries[i] = (om_log_entry){.collection = (uint32_t)(seeds[i] >> 8),
                                    .type = type_of(seeds[i]),
                                    .flags = (uint8_t)((seeds[i] & 1) | flags)};
        cut_parts(&entries[i], payloads[i], sizes[i], seeds[i]);
    }
    omen_status_t status = f->log->ops->append(f->log, entries, count, &last, &f->err);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t lsn = f->model.last + 1 + i;
        free(payloads[i]);
        f->model.seeds[lsn % WAL_MOST_RECORDS] = seeds[i];
        f->model.bytes[lsn % WAL_MOST_RECORDS] = sizes[i];
    }
    f->model.last += status == OMEN_OK ? count : 0;
    f->model.unknown = status != OMEN_OK && f->err.detail == OMEN_D_OUTCOME_UNKNOWN ? count : 0;
    assert_true(status != OMEN_OK || last == f->model.last);
    return status;
}

omen_status_t wal_append_one(wal_fixture *f, uint64_t seed, uint32_t bytes)
{
    return wal_append_sizes(f, seed, &bytes, 1, 0);
}

void wal_must_append(wal_fixture *f, uint64_t seed, uint32_t bytes)
{
    if (wal_append_one(f, seed, bytes) != OMEN_OK) {
        fail_msg("append: %s", f->err.message);
    }
}

omen_status_t wal_sync(wal_fixture *f)
{
    return f->log->ops->sync(f->log, f->model.last, &f->err);
}

typedef struct check {
    const wal_model *model;
    uint64_t next;
} check;

static omen_status_t check_record(void *ctx, const om_log_record *record, omen_error *err)
{
    check *c = ctx;
    const wal_model *model = c->model;
    uint64_t seed = model->seeds[record->lsn % WAL_MOST_RECORDS];
    (void)err;
    assert_int_equal(record->lsn, c->next);
    assert_true(record->lsn <= model->last);
    assert_int_equal(record->bytes, model->bytes[record->lsn % WAL_MOST_RECORDS]);
    assert_int_equal(record->type, type_of(seed));
    assert_int_equal(record->collection, (uint32_t)(seed >> 8));
    assert_int_equal(record->flags, (uint8_t)(seed & 1));
    assert_int_equal((uintptr_t)record->payload % 8, 0);
    uint8_t *want = malloc(record->bytes + 1);
    assert_non_null(want);
    fill_payload(seed, want, (uint32_t)record->bytes);
    assert_int_equal(memcmp(want, record->payload, record->bytes), 0);
    free(want);
    c->next++;
    return OMEN_OK;
}

omen_status_t wal_read_check(wal_fixture *f, uint64_t from, uint64_t *last)
{
    check c = {.model = &f->model, .next = from};
    omen_status_t status = f->log->ops->read(f->log, from, check_record, &c, &f->err);
    *last = c.next - 1;
    return status;
}

void wal_must_hold_until(wal_fixture *f, uint64_t last)
{
    uint64_t read = 0;
    assert_int_equal(wal_state(f).tail, last);
    if (wal_read_check(f, f->model.first, &read) != OMEN_OK) {
        fail_msg("read: %s", f->err.message);
    }
    assert_int_equal(read, last);
}

void wal_must_hold(wal_fixture *f)
{
    wal_must_hold_until(f, f->model.last);
}

/* ---- Bytes ---------------------------------------------------------------------------------------- */
static om_iofile open_raw(wal_fixture *f, const char *path)
{
    om_iofile file;
    if (om_io_open(&f->io, path, OM_IO_WRITE, &file, &f->err) != OMEN_OK) {
        fail_msg("%s", f->err.message);
    }
    return file;
}

uint64_t wal_file_size(wal_fixture *f, const char *path)
{
    om_iofile file = open_raw(f, path);
    uint64_t bytes = 0;
    assert_int_equal(om_io_size(&file, &bytes, NULL), OMEN_OK);
    om_io_close(&file);
    return bytes;
}

void wal_peek(wal_fixture *f, const char *path, uint64_t at, void *data, size_t bytes)
{
    om_iofile file = open_raw(f, path);
    assert_int_equal(om_io_read(&file, data, bytes, at, NULL), OMEN_OK);
    om_io_close(&file);
}

void wal_poke(wal_fixture *f, const char *path, uint64_t at, const void *data, size_t bytes)
{
    om_iofile file = open_raw(f, path);
    assert_int_equal(om_io_write(&file, data, bytes, at, NULL), OMEN_OK);
    om_io_close(&file);
}

void wal_flip(wal_fixture *f, const char *path, uint64_t bit)
{
    uint8_t byte = 0;
    wal_peek(f, path, bit / 8, &byte, 1);
    byte = (uint8_t)(byte ^ (1u << bit % 8));
    wal_poke(f, path, bit / 8, &byte, 1);
}

const char *wal_name(uint64_t first)
{
    static char name[64];
    (void)snprintf(name, sizeof name, "db/wal/%016" PRIx64 ".wal", first);
    return name;
}

typedef struct counting {
    const char *part;
    uint32_t count;
} counting;

static int count_name(void *arg, const char *name)
{
    counting *c = arg;
    c->count += strstr(name, c->part) != NULL;
    return 0;
}

uint32_t wal_count(wal_fixture *f, const char *folder, const char *part)
{
    counting c = {.part = part};
    assert_int_equal(om_io_list(&f->io, folder, count_name, &c, NULL), OMEN_OK);
    return c.count;
}

uint64_t wal_position(wal_fixture *f, uint64_t first, uint64_t lsn)
{
    uint64_t position = OM_WAL_HEADER_BYTES;
    for (uint64_t at = first; at < lsn; at++) {
        om_wal_frame frame;
        wal_peek(f, wal_name(first), position, &frame, sizeof frame);
        assert_int_equal(frame.lsn, at);
        position += OM_WAL_FRAME_BYTES + om_wal_padded(frame.bytes);
    }
    return position;
}

/* ---- Memory --------------------------------------------------------------------------------------- */
static void *get(void *ctx, size_t size, size_t align)
{
    wal_memory *memory = ctx;
    if (++memory->calls == memory->fail_at) {
        return NULL;
    }
    memory->blocks++;
    return aligned_alloc(align < sizeof(void *) ? sizeof(void *) : align,
                         om_round_up(size, align < sizeof(void *) ? sizeof(void *) : align));
}

static void put(void *ctx, void *block, size_t size, size_t align)
{
    wal_memory *memory = ctx;
    (void)size;
    (void)align;
    memory->blocks -= block != NULL;
    free(block);
}

om_alloc wal_memory_alloc(wal_memory *memory)
{
    return (om_alloc){.fns = {.alloc = get, .free = put, .ctx = memory}};
}
