/* fuzz_wal.c - opens any bytes as the files of a log, reads them, and goes on writing behind them.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Byte 0: bit 0: checksums, and what would end the log at once, are made right, since otherwise no change
 * would get past them; bit 1: there are two files; bit 2: the manifest knows of lsn 3; bit 3: opened for
 * reading. Bytes 1 and 2: size of the first file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "segfile.h"
#include "sim_disk.h"
#include "wal_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const om_alloc libc_alloc;

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* Frames one after another, each as long as it says or as is left. */
static uint64_t reseal_frames(uint8_t *bytes, size_t size, const om_wal_header *header,
                              uint32_t *last_crc)
{
    size_t at = OM_WAL_HEADER_BYTES;
    uint64_t lsn = header->first;
    uint32_t crc = header->previous_crc;
    while (size - at >= OM_WAL_FRAME_BYTES) {
        om_wal_frame frame;
        memcpy(&frame, bytes + at, sizeof frame);
        size_t left = size - at - OM_WAL_FRAME_BYTES;
        if (frame.lsn == 0 && frame.epoch == 0) {
            break; /* the input's own end */
        }
        frame.bytes = (uint32_t)(frame.bytes % (left + 1));
        frame.bytes -= om_wal_padded(frame.bytes) > left ? frame.bytes % 8 : 0;
        frame.lsn = lsn;
        frame.epoch = header->epoch;
        frame.previous_crc = crc;
        frame.frame_bytes = OM_WAL_FRAME_BYTES;
        om_wal_frame_seal(&frame, om_crc32c(0, bytes + at + sizeof frame, frame.bytes));
        memcpy(bytes + at, &frame, sizeof frame);
        crc = frame.crc;
        lsn++;
        at += OM_WAL_FRAME_BYTES + (size_t)om_wal_padded(frame.bytes);
    }
    *last_crc = crc;
    return lsn;
}

typedef struct chain {
    uint64_t first, previous_first;
    uint32_t crc;
} chain;

/* The next file of the chain; without `reseal` as it is. */
static void write_file(const om_io *io, const uint8_t *data, size_t size, bool reseal, chain *c)
{
    om_iofile file;
    char path[64];
    uint8_t *bytes = malloc(size + 1);
    need(bytes != NULL, "memory");
    if (size != 0) {
        memcpy(bytes, data, size);
    }
    (void)snprintf(path, sizeof path, "db/wal/%016llx.wal", (unsigned long long)c->first);
    if (reseal && size >= OM_WAL_HEADER_BYTES) {
        om_wal_header header;
        memcpy(&header, bytes, sizeof header);
        memcpy(header.magic, OM_WAL_MAGIC, sizeof header.magic);
        memset(header.database, 0, sizeof header.database);
        header.file_bytes = size;
        header.first = c->first;
        header.previous_first = c->previous_first;
        header.previous_crc = c->crc;
        header.epoch += header.epoch == 0;
        c->previous_first = c->first;
        uint8_t page[OM_WAL_HEADER_BYTES];
        om_wal_header_seal(&header, page);
        memcpy(bytes, page, sizeof page);
        c->first = reseal_frames(bytes, size, &header, &c->crc);
    }
    need(om_io_open(io, path, OM_IO_WRITE | OM_IO_CREATE, &file, NULL) == OMEN_OK, "create");
    need(om_io_write(&file, bytes, size, 0, NULL) == OMEN_OK, "write");
    om_io_close(&file);
    free(bytes);
}

static omen_status_t count_record(void *ctx, const om_log_record *record, omen_error *err)
{
    uint64_t *next = ctx;
    volatile uint8_t sum = 0;
    (void)err;
    need(record->lsn == *next, "lsns follow each other");
    for (size_t i = 0; i < record->bytes; i++) {
        sum = (uint8_t)(sum + record->payload[i]);
    }
    (*next)++;
    return OMEN_OK;
}

static om_log_state read_all(om_logdriver *log)
{
    om_log_state state;
    omen_error err;
    log->ops->tail(log, &state);
    uint64_t next = state.first;
    if (state.tail >= state.first) {
        need(log->ops->read(log, state.first, count_record, &next, &err) == OMEN_OK, "reading");
        need(next == state.tail + 1, "everything up to the tail is read");
    }
    return state;
}

static uint64_t hash_of(sim_disk *disk)
{
    sim_image *image = sim_disk_image(disk);
    uint64_t hash = sim_image_hash(image);
    sim_image_free(image);
    return hash;
}

/* What was opened for writing takes records, and has them when it is opened again. */
static void go_on(const om_wal_options *options, om_logdriver *log, uint64_t tail)
{
    om_log_entry entry = {.type = OM_LOG_NOOP};
    uint64_t last = 0;
    omen_error err;
    need(log->ops->append(log, &entry, 1, &last, &err) == OMEN_OK, "appending");
    need(last == tail + 1, "the next lsn");
    need(log->ops->sync(log, last, &err) == OMEN_OK, "syncing");
    log->ops->close(log);
    need(om_wal_open(options, &log, &err) == OMEN_OK, "opening again");
    om_log_state state = read_all(log);
    need(state.state == OM_LOG_OPEN && state.tail == last, "what was appended is there");
    log->ops->close(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    uint8_t how = data[0];
    size_t first = data[1] + 256u * data[2];
    data += 3;
    size -= 3;
    first = (how & 2) == 0 || first > size ? size : first;

    sim_disk *disk = sim_disk_create(NULL);
    sim_disk_limit(disk, 64 << 20);
    om_io io = sim_disk_io(disk);
    chain c = {.first = 1};
    need(om_io_mkdir(&io, "db", NULL) == OMEN_OK, "folder");
    need(om_io_mkdir(&io, "db/wal", NULL) == OMEN_OK, "folder");
    write_file(&io, data, first, (how & 1) != 0, &c);
    if ((how & 2) != 0) {
        c.first += c.first == 1;
        write_file(&io, data + first, size - first, (how & 1) != 0, &c);
    }
    const om_wal_options options = {.io = &io,
                                    .alloc = &libc_alloc,
                                    .folder = "db/wal",
                                    .values = "db",
                                    .durable_hint = (how & 4) != 0 ? 3 : 0,
                                    .read_only = (how & 8) != 0};
    om_logdriver *log = NULL;
    omen_error err;
    uint64_t before = hash_of(disk);
    omen_status_t status = om_wal_open(&options, &log, &err);
    if (status != OMEN_OK) {
        need(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED ||
                 status == OMEN_FAILED_PRECONDITION,
             "the status of a bad log");
        need(hash_of(disk) == before, "a bad log is left alone");
    } else {
        om_log_state state = read_all(log);
        need(hash_of(disk) == before, "opening and reading change nothing");
        if (state.state == OM_LOG_OPEN) {
            go_on(&options, log, state.tail);
        } else {
            log->ops->close(log);
            need(hash_of(disk) == before, "nor does closing what is read only");
        }
    }
    sim_disk_free(disk);
    return 0;
}
