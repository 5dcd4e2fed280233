/* golden_log.c - log files of released formats, which every later version reads.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     golden_log make FOLDER     writes them as this version does, in FOLDER/plain; in FOLDER/short, cut behind
 *                                the last record: as they are kept
 *     golden_log check FOLDER    reads them and compares
 *
 * The log has two files and a torn tail between them: a record was damaged before it was durable. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal_int.h"

enum { RECORDS = 24, TORN_AT = 15, LOST = 4, MOST = 400 };

static const om_alloc libc_alloc;
static omen_error err;

static void need(omen_status_t status, const char *what)
{
    if (status != OMEN_OK) {
        fprintf(stderr, "golden_log: %s: %.230s\n", what, err.message);
        exit(1);
    }
}

static uint32_t payload_of(uint64_t lsn, uint8_t *out)
{
    uint32_t bytes = (uint32_t)(lsn * lsn * 7 % MOST);
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(lsn * 31 + i * i);
    }
    return bytes;
}

static void open_log(const char *folder, bool read_only, om_logdriver **log)
{
    static char values[4096], wal[4096 + 8];
    (void)snprintf(values, sizeof values, "%s", folder);
    (void)snprintf(wal, sizeof wal, "%s/wal", values);
    om_wal_options options = {.io = &om_io_system,
                              .alloc = &libc_alloc,
                              .folder = wal,
                              .values = values,
                              .read_only = read_only};
    for (uint8_t i = 0; i < sizeof options.database; i++) {
        options.database[i] = (uint8_t)(0xA0 + i);
    }
    need(om_wal_open(&options, log, &err), folder);
}

static void append(om_logdriver *log, uint64_t lsn)
{
    uint8_t payload[MOST];
    uint64_t last = 0;
    om_log_entry entry = {.collection = (uint32_t)(lsn % 5),
                          .type = (uint8_t)(1 + lsn % (OM_LOG_TYPES - 1)),
                          .flags = (uint8_t)(lsn % 2),
                          .part_count = 1};
    entry.parts[0] = (struct iovec){.iov_base = payload, .iov_len = payload_of(lsn, payload)};
    need(log->ops->append(log, &entry, 1, &last, &err), "append");
    if (last != lsn) {
        fprintf(stderr, "golden_log: lsn %" PRIu64 " instead of %" PRIu64 "\n", last, lsn);
        exit(1);
    }
}

static void file_name(char *out, size_t size, const char *folder, uint64_t first)
{
    (void)snprintf(out, size, "%s/wal/%016" PRIx64 ".wal", folder, first);
}

/* The place of record lsn, and the header of its file. */
static uint64_t find(const char *path, uint64_t lsn, om_wal_header *header)
{
    om_iofile file;
    om_wal_frame frame;
    uint64_t at = OM_WAL_HEADER_BYTES;
    need(om_io_open(&om_io_system, path, 0, &file, &err), path);
    need(om_io_read(&file, header, sizeof *header, 0, &err), path);
    for (uint64_t i = header->first; i < lsn; i++) {
        need(om_io_read(&file, &frame, sizeof frame, at, &err), path);
        at += OM_WAL_FRAME_BYTES + om_wal_padded(frame.bytes);
    }
    om_io_close(&file);
    return at;
}

static void damage(const char *path, uint64_t lsn)
{
    om_iofile file;
    om_wal_header header;
    uint8_t byte = 0x55;
    uint64_t at = find(path, lsn, &header);
    need(om_io_open(&om_io_system, path, OM_IO_WRITE, &file, &err), path);
    need(om_io_write(&file, &byte, 1, at + 37, &err), path);
    om_io_close(&file);
}

static void make_plain(const char *folder)
{
    om_logdriver *log = NULL;
    char path[4200];
    open_log(folder, false, &log);
    for (uint64_t lsn = 1; lsn < TORN_AT + LOST; lsn++) {
        append(log, lsn);
        if (lsn == 9) {
            need(log->ops->sync(log, lsn, &err), "sync");
        }
    }
    log->ops->close(log);
    file_name(path, sizeof path, folder, 1);
    damage(path, TORN_AT);
    open_log(folder, false, &log);
    for (uint64_t lsn = TORN_AT; lsn <= RECORDS; lsn++) {
        append(log, lsn);
    }
    log->ops->close(log);
}

/* The leftovers of the first file stay, so that readers must leave them out. */
static void make_short(const char *from, const char *to, uint64_t first, uint64_t last)
{
    om_iofile file;
    om_wal_header header;
    char path[4200], copy[4200];
    file_name(path, sizeof path, from, first);
    file_name(copy, sizeof copy, to, first);
    uint64_t bytes = find(path, last + 1, &header);
    uint8_t *data = malloc((size_t)bytes);
    need(data != NULL ? OMEN_OK : OMEN_INTERNAL, "memory");
    need(om_io_open(&om_io_system, path, 0, &file, &err), path);
    need(om_io_read(&file, data, (size_t)bytes, 0, &err), path);
    om_io_close(&file);
    header.file_bytes = bytes;
    om_wal_header_seal(&header, data);
    need(om_io_replace(&om_io_system, copy, data, (size_t)bytes, &err), copy);
    free(data);
}

static omen_status_t check_record(void *ctx, const om_log_record *record, omen_error *told)
{
    uint64_t *next = ctx;
    uint8_t payload[MOST];
    uint64_t lsn = record->lsn;
    uint32_t bytes = payload_of(lsn, payload);
    if (lsn != (*next)++ || record->collection != lsn % 5 ||
        record->type != 1 + lsn % (OM_LOG_TYPES - 1) || record->flags != lsn % 2 ||
        record->bytes != bytes || memcmp(record->payload, payload, bytes) != 0) {
        return om_fail(told, OMEN_DATA_LOSS, OMEN_D_NONE, "record %" PRIu64 " is another one", lsn);
    }
    return OMEN_OK;
}

static void check(const char *folder)
{
    om_logdriver *log = NULL;
    om_log_state state;
    uint64_t next = 1;
    open_log(folder, true, &log);
    log->ops->tail(log, &state);
    need(log->ops->read(log, 1, check_record, &next, &err), "read");
    need(state.state == OM_LOG_READ_ONLY && state.tail == RECORDS && next == RECORDS + 1
             ? OMEN_OK
             : om_fail(&err, OMEN_DATA_LOSS, OMEN_D_NONE, "ends with %" PRIu64, next - 1),
         folder);
    log->ops->close(log);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "check") == 0) {
        check(argv[2]);
        return 0;
    }
    if (argc != 3 || strcmp(argv[1], "make") != 0) {
        fprintf(stderr, "usage: golden_log make|check FOLDER\n");
        return 2;
    }
    char plain[4000], brief[4000], path[4200];
    static const char *const wal[] = {"", "/wal"};
    (void)snprintf(plain, sizeof plain, "%s/plain", argv[2]);
    (void)snprintf(brief, sizeof brief, "%s/short", argv[2]);
    need(om_io_mkdir(&om_io_system, argv[2], &err), argv[2]);
    for (int i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s%s", i < 2 ? plain : brief, wal[i % 2]);
        need(om_io_mkdir(&om_io_system, path, &err), path);
    }
    for (uint64_t first = 1; first <= TORN_AT; first += TORN_AT - 1) {
        file_name(path, sizeof path, plain, first);
        need(om_io_unlink(&om_io_system, path, &err), path);
    }
    make_plain(plain);
    make_short(plain, brief, 1, TORN_AT + LOST - 1);
    make_short(plain, brief, TORN_AT, RECORDS);
    return 0;
}
