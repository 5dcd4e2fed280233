/* deaths.c - the tombstones of a segment as a file of their own. SPDX-License-Identifier: Apache-2.0
 *
 * The file is written under its final name: no manifest names it before it is whole and durable, and its
 * checksums tell when it is not. */
#include <string.h>

#include "manifest_int.h"
#include "segfile.h"

enum { HEADER_BYTES = 4096, WORD_BITS = 64 };

const om_head_kind om_deaths_kind = {
    .what = "file of deaths", .magic = "\x89OMENDL\n", .format = 1, .header_bytes = HEADER_BYTES};

typedef struct deaths_header { /* the first bytes of the page */
    om_head head;
    uint64_t segment;
    uint32_t rows;
    uint32_t words_crc;
} deaths_header;
_Static_assert(sizeof(deaths_header) == 56, "header of deaths");

static size_t words_bytes(uint32_t rows)
{
    return ((size_t)rows + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);
}

/* Bits of the last word that belong to rows. */
static uint64_t last_mask(uint32_t rows)
{
    uint32_t used = rows % WORD_BITS;
    return used == 0 ? UINT64_MAX : (UINT64_C(1) << used) - 1;
}

static omen_status_t write_file(const om_iofile *file, uint64_t segment, uint32_t rows,
                                const uint64_t *words, omen_error *err)
{
    uint8_t page[HEADER_BYTES] = {0};
    deaths_header header = {.segment = segment, .rows = rows};
    struct iovec parts[3] = {{.iov_base = page, .iov_len = sizeof page}};
    size_t bytes = words_bytes(rows);
    uint64_t last = 0;
    int count = 1;
    if (bytes != 0) {
        size_t whole = bytes - sizeof last;
        /* iovec has no const; the parts are only read. */
        memcpy(&parts[1].iov_base, &words, sizeof words);
        parts[1].iov_len = whole;
        last = words[whole / sizeof last] & last_mask(rows);
        parts[2] = (struct iovec){.iov_base = &last, .iov_len = sizeof last};
        header.words_crc = om_crc32c(om_crc32c(0, words, whole), &last, sizeof last);
        count = 3;
    }
    memcpy(page, &header, sizeof header);
    om_head_begin(&om_deaths_kind, page, HEADER_BYTES + bytes);
    om_head_seal(&om_deaths_kind, page);
    omen_status_t status = om_io_writev(file, parts, count, 0, err);
    return status == OMEN_OK ? om_io_sync(file, err) : status;
}

omen_status_t om_deaths_write(const om_io *io, const char *path, uint64_t segment, uint32_t rows,
                              const uint64_t *words, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_iofile file = {.fd = -1};
    /* Never into a file that somebody has mapped: an older attempt goes first. */
    OM_TRY(om_io_unlink(io, path, err));
    OM_TRY(om_io_open(io, path, OM_IO_WRITE | OM_IO_CREATE | OM_IO_EXCLUSIVE, &file, err));
    status = write_file(&file, segment, rows, words, err);
    om_io_close(&file);
    if (status == OMEN_OK) {
        status = om_io_sync_parent(io, path, err);
    }
    if (status != OMEN_OK) {
        (void)io->ops->unlink(io->ctx, path); /* Best effort: no manifest names it. */
    }
out:
    return status;
}

/* Reads and checks the header page; *crc is what the words must have. */
static omen_status_t check_header(const om_iofile *file, uint64_t segment, uint32_t rows,
                                  uint32_t *crc, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint8_t page[HEADER_BYTES] = {0};
    deaths_header header;
    uint64_t bytes;
    const char *name = om_path_tail(file->path);
    OM_TRY(om_io_size(file, &bytes, err));
    size_t read = (size_t)om_min_u64(bytes, sizeof page);
    OM_TRY(om_io_read(file, page, read, 0, err));
    OM_TRY(om_head_check(&om_deaths_kind, name, page, read, bytes, err));
    memcpy(&header, page, sizeof header);
    if (header.segment != segment || header.rows != rows) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                         "%s: deaths of segment %016llx with %u rows, must be %016llx with %u",
                         name, (unsigned long long)header.segment, header.rows,
                         (unsigned long long)segment, rows);
        goto out;
    }
    if (bytes != HEADER_BYTES + words_bytes(rows)) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                         "%s: the file has %llu bytes, %u rows need %zu", name,
                         (unsigned long long)bytes, rows, HEADER_BYTES + words_bytes(rows));
        goto out;
    }
    *crc = header.words_crc;
out:
    return status;
}

static omen_status_t check_words(const char *path, const om_deaths *deaths, uint32_t rows,
                                 uint32_t crc, omen_error *err)
{
    uint32_t found = om_crc32c(0, deaths->words, deaths->bytes);
    if (found != crc) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "%s: checksum of the deaths is %08x, the header says %08x",
                       om_path_tail(path), found, crc);
    }
    if (deaths->words != NULL && (deaths->words[(rows - 1) / WORD_BITS] & ~last_mask(rows)) != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: there are deaths behind the last of %u rows", om_path_tail(path), rows);
    }
    return OMEN_OK;
}

omen_status_t om_deaths_open(const om_io *io, const char *path, uint64_t segment, uint32_t rows,
                             om_deaths *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_iofile file = {.fd = -1};
    om_deaths deaths = {.bytes = words_bytes(rows)};
    uint32_t crc;
    OM_TRY(om_io_open(io, path, 0, &file, err));
    OM_TRY(check_header(&file, segment, rows, &crc, err));
    if (deaths.bytes != 0) {
        const om_io_mapping mapping = {
            .offset = HEADER_BYTES, .bytes = deaths.bytes, .writable = true};
        OM_TRY(om_io_map(&file, &mapping, &deaths.mapping, err));
        deaths.words = deaths.mapping;
    }
    OM_TRY(check_words(path, &deaths, rows, crc, err));
    *out = deaths;
    deaths = (om_deaths){0};
out:
    om_deaths_close(io, &deaths);
    om_io_close(&file);
    return status;
}

omen_status_t om_deaths_probe(const om_io *io, const char *path, uint64_t segment, uint32_t rows,
                              omen_error *err)
{
    om_deaths deaths = {.mapping = NULL};
    omen_status_t status = om_deaths_open(io, path, segment, rows, &deaths, err);
    om_deaths_close(io, &deaths);
    return status;
}

void om_deaths_close(const om_io *io, om_deaths *deaths)
{
    om_io_unmap(io, deaths->mapping, deaths->bytes);
    *deaths = (om_deaths){0};
}
