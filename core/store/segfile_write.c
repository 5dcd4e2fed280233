/* segfile_write.c - writes a segment file from the first byte to the last, checksums beside.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The header is known last, so its page is zero until commit; the file has another name until then
 * anyway. Data pass through one buffer of a checksum block, so that blocks are summed while they
 * are in cache. */
#include <stdalign.h>
#include <string.h>

#include "segfile_int.h"

struct om_segwriter {
    const om_alloc *alloc;
    om_file *file;
    uint8_t *buffer;   /* one block */
    size_t filled;     /* bytes in the buffer */
    uint64_t position; /* bytes given to the file */
    uint64_t left;     /* bytes that the open section still wants */
    uint8_t *held; /* [OM_SEG_LARGE_ALIGN] of a section of unknown size: its place depends on it */
    size_t held_bytes;
    bool unsized;   /* the open section ends where it ends */
    uint32_t *sums; /* of the blocks of all sections */
    size_t sum_count, sum_capacity;
    om_seg_entry entries[OM_SEG_MAX_SECTIONS];
    uint32_t count;
    bool open;            /* between begin and end */
    omen_status_t failed; /* of the first call that failed: nothing is written any more */
};

static void free_writer(om_segwriter *writer)
{
    const om_alloc *alloc = writer->alloc;
    om_alloc_put(alloc, writer->sums, writer->sum_capacity * sizeof writer->sums[0],
                 alignof(uint32_t));
    om_alloc_put(alloc, writer->held, OM_SEG_LARGE_ALIGN, OM_SEG_SMALL_ALIGN);
    om_alloc_put(alloc, writer->buffer, OM_SEG_BLOCK, OM_SEG_SMALL_ALIGN);
    om_alloc_put(alloc, writer, sizeof *writer, alignof(om_segwriter));
}

void om_segwriter_abort(om_segwriter *writer)
{
    if (writer != NULL) {
        om_file_abort(writer->file);
        free_writer(writer);
    }
}

/* Bytes that belong to no block. */
static omen_status_t write_raw(om_segwriter *writer, const void *data, size_t bytes,
                               omen_error *err)
{
    omen_status_t status = om_file_write(writer->file, data, bytes, err);
    if (status == OMEN_OK) {
        writer->position += bytes;
    }
    return status;
}

/* Zeros up to a multiple of a power of two. The buffer must be empty. */
static omen_status_t pad(om_segwriter *writer, uint64_t alignment, omen_error *err)
{
    om_assert(writer->filled == 0);
    uint64_t zeros = (alignment - writer->position % alignment) % alignment;
    memset(writer->buffer, 0, (size_t)om_min_u64(zeros, OM_SEG_BLOCK));
    while (zeros != 0) {
        size_t part = (size_t)om_min_u64(zeros, OM_SEG_BLOCK);
        omen_status_t status = write_raw(writer, writer->buffer, part, err);
        if (status != OMEN_OK) {
            return status;
        }
        zeros -= part;
    }
    return OMEN_OK;
}

omen_status_t om_segwriter_create(const om_io *io, const om_alloc *alloc, const char *path,
                                  om_segwriter **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segwriter *writer = om_alloc_zero(alloc, 1, sizeof *writer, alignof(om_segwriter));
    if (writer == NULL) {
        return om_fail_memory(err, "segment writer", sizeof *writer);
    }
    writer->alloc = alloc;
    writer->buffer = om_alloc_zero(alloc, 1, OM_SEG_BLOCK, OM_SEG_SMALL_ALIGN);
    if (writer->buffer == NULL) {
        status = om_fail_memory(err, "buffer of a segment writer", OM_SEG_BLOCK);
        goto out;
    }
    OM_TRY(om_file_create(io, alloc, path, &writer->file, err));
    OM_TRY(write_raw(writer, writer->buffer, OM_SEG_HEADER_BYTES, err));
    *out = writer;
    writer = NULL;
out:
    om_segwriter_abort(writer);
    return status;
}

/* After a failure the position in the file is unknown: everything later fails as well. */
static omen_status_t refuse_failed(const om_segwriter *writer, omen_error *err)
{
    if (writer->failed == OMEN_OK) {
        return OMEN_OK;
    }
    return om_fail(err, writer->failed, OMEN_D_NONE, "segment writer: an earlier call failed");
}

static omen_status_t fail_use(om_segwriter *writer, const char *what, omen_error *err)
{
    writer->failed = OMEN_INTERNAL;
    return om_fail(err, OMEN_INTERNAL, OMEN_D_NONE, "segment writer: section %u: %s", writer->count,
                   what);
}

/* Checksums of `blocks` more blocks have their place before the data are written. */
static omen_status_t reserve_sums(om_segwriter *writer, uint64_t blocks, omen_error *err)
{
    if (blocks > UINT32_MAX) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "segment writer: %llu blocks of a section are above the limit of %u",
                       (unsigned long long)blocks, UINT32_MAX);
    }
    size_t capacity = writer->sum_count + (size_t)blocks;
    if (capacity <= writer->sum_capacity) {
        return OMEN_OK;
    }
    if (writer->unsized && capacity < writer->sum_capacity * 2) {
        capacity = writer->sum_capacity * 2; /* block after block */
    }
    uint32_t *grown =
        om_alloc_grow(writer->alloc, writer->sums, writer->sum_capacity * sizeof writer->sums[0],
                      capacity * sizeof writer->sums[0], alignof(uint32_t));
    if (grown == NULL) {
        return om_fail_memory(err, "checksums of a segment", capacity * sizeof writer->sums[0]);
    }
    writer->sums = grown;
    writer->sum_capacity = capacity;
    return OMEN_OK;
}

/* What is wrong with a new section; NULL: nothing. */
static const char *misuse(const om_segwriter *writer, uint32_t kind, uint32_t vector_index,
                          uint64_t stride, uint64_t rows, uint64_t bytes)
{
    uint64_t product = 0;
    if (writer->open) {
        return "the section before it was not ended";
    }
    if (writer->count == OM_SEG_MAX_SECTIONS) {
        return "there is no place for more sections";
    }
    if (stride != 0 && (__builtin_mul_overflow(stride, rows, &product) || product != bytes)) {
        return "its size is not its rows times its row size";
    }
    for (uint32_t i = 0; i < writer->count; i++) {
        if (writer->entries[i].kind == kind && writer->entries[i].vector_index == vector_index) {
            return "its kind is there already";
        }
    }
    return NULL;
}

omen_status_t om_segwriter_begin(om_segwriter *writer, uint32_t kind, uint32_t vector_index,
                                 uint64_t stride, uint64_t rows, uint64_t bytes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t flags = (kind & OM_SECTION_REQUIRED) != 0 ? (uint32_t)OM_SEG_FLAG_REQUIRED : 0;
    kind &= ~OM_SECTION_REQUIRED;
    OM_TRY(refuse_failed(writer, err));
    const char *wrong = misuse(writer, kind, vector_index, stride, rows, bytes);
    if (wrong != NULL) {
        return fail_use(writer, wrong, err);
    }
    OM_TRY(reserve_sums(writer, om_seg_blocks(bytes), err));
    OM_TRY(pad(writer, om_seg_alignment(bytes), err));
    writer->entries[writer->count] = (om_seg_entry){
        .kind = kind,
        .vector_index = vector_index,
        .flags = flags,
        .offset = writer->position,
        .bytes = bytes,
        .stride = stride,
        .rows = rows,
        .blocks = (uint32_t)om_seg_blocks(bytes),
    };
    writer->left = bytes;
    writer->open = true;
out:
    writer->failed = status;
    return status;
}

/* One block, full or the last of its section. */
static omen_status_t write_block(om_segwriter *writer, const uint8_t *data, size_t bytes,
                                 omen_error *err)
{
    omen_status_t status = reserve_sums(writer, 1, err);
    if (status != OMEN_OK) {
        return status;
    }
    writer->sums[writer->sum_count++] = om_crc32c(0, data, bytes);
    return write_raw(writer, data, bytes, err);
}

/* Bytes of the open section, whose place is known. */
static omen_status_t put(om_segwriter *writer, const uint8_t *from, size_t bytes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    while (bytes != 0) {
        if (writer->filled == 0 && bytes >= OM_SEG_BLOCK) {
            OM_TRY(write_block(writer, from, OM_SEG_BLOCK, err));
            from += OM_SEG_BLOCK;
            bytes -= OM_SEG_BLOCK;
            continue;
        }
        size_t part = (size_t)om_min_u64(bytes, OM_SEG_BLOCK - writer->filled);
        memcpy(writer->buffer + writer->filled, from, part);
        writer->filled += part;
        from += part;
        bytes -= part;
        if (writer->filled == OM_SEG_BLOCK) {
            OM_TRY(write_block(writer, writer->buffer, OM_SEG_BLOCK, err));
            writer->filled = 0;
        }
    }
out:
    return status;
}

omen_status_t om_segwriter_begin_open(om_segwriter *writer, uint32_t kind, uint32_t vector_index,
                                      omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(refuse_failed(writer, err));
    const char *wrong = misuse(writer, kind, vector_index, 0, 0, 0);
    if (wrong != NULL) {
        return fail_use(writer, wrong, err);
    }
    writer->held = om_alloc_get(writer->alloc, OM_SEG_LARGE_ALIGN, OM_SEG_SMALL_ALIGN);
    if (writer->held == NULL) {
        status = om_fail_memory(err, "buffer of a segment writer", OM_SEG_LARGE_ALIGN);
        goto out;
    }
    writer->entries[writer->count] = (om_seg_entry){.kind = kind, .vector_index = vector_index};
    writer->held_bytes = 0;
    writer->left = UINT64_MAX;
    writer->unsized = true;
    writer->open = true;
out:
    writer->failed = status;
    return status;
}

/* The section is at least as long as what is held, or just as long: its place is known. */
static omen_status_t place(om_segwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(pad(writer, om_seg_alignment(writer->held_bytes), err));
    writer->entries[writer->count].offset = writer->position;
    OM_TRY(put(writer, writer->held, writer->held_bytes, err));
    om_alloc_put(writer->alloc, writer->held, OM_SEG_LARGE_ALIGN, OM_SEG_SMALL_ALIGN);
    writer->held = NULL;
out:
    return status;
}

omen_status_t om_segwriter_append(om_segwriter *writer, const void *data, size_t bytes,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint8_t *from = data;
    OM_TRY(refuse_failed(writer, err));
    if (!writer->open || bytes > writer->left) {
        return fail_use(writer, writer->open ? "more was appended than its size" : "not begun",
                        err);
    }
    writer->left -= bytes;
    if (writer->held != NULL && bytes != 0) {
        size_t part = (size_t)om_min_u64(bytes, OM_SEG_LARGE_ALIGN - writer->held_bytes);
        memcpy(writer->held + writer->held_bytes, from, part);
        writer->held_bytes += part;
        from += part;
        bytes -= part;
        if (writer->held_bytes == OM_SEG_LARGE_ALIGN) {
            OM_TRY(place(writer, err));
        }
    }
    OM_TRY(put(writer, from, bytes, err));
out:
    writer->failed = status;
    return status;
}

/* Now its size is known. */
static omen_status_t settle(om_segwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_seg_entry *entry = &writer->entries[writer->count];
    if (writer->held != NULL) {
        OM_TRY(place(writer, err));
    }
    entry->bytes = UINT64_MAX - writer->left;
    entry->blocks = (uint32_t)om_seg_blocks(entry->bytes);
    writer->left = 0;
    writer->unsized = false;
out:
    return status;
}

omen_status_t om_segwriter_end(om_segwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(refuse_failed(writer, err));
    if (writer->open && writer->unsized) {
        OM_TRY(settle(writer, err));
    }
    if (!writer->open || writer->left != 0) {
        return fail_use(writer, writer->open ? "less was appended than its size" : "not begun",
                        err);
    }
    if (writer->filled != 0) {
        OM_TRY(write_block(writer, writer->buffer, writer->filled, err));
        writer->filled = 0;
    }
    writer->open = false;
    writer->count++;
out:
    writer->failed = status;
    return status;
}

static omen_status_t write_sums(om_segwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(pad(writer, sizeof(uint64_t), err));
    const uint32_t *from = writer->sums;
    for (uint32_t i = 0; i < writer->count; i++) {
        om_seg_entry *entry = &writer->entries[i];
        size_t bytes = entry->blocks * sizeof writer->sums[0];
        entry->checksums = writer->position;
        entry->checksums_crc = om_crc32c(0, from, bytes);
        if (bytes != 0) {
            OM_TRY(write_raw(writer, from, bytes, err));
            from += entry->blocks;
        }
    }
    OM_TRY(pad(writer, sizeof(uint64_t), err));
out:
    return status;
}

static omen_status_t write_header_and_tail(om_segwriter *writer, uint64_t rows, uint64_t version,
                                           omen_error *err)
{
    omen_status_t status = OMEN_OK;
    size_t table_bytes = writer->count * sizeof writer->entries[0];
    om_seg_header header = {
        .magic = OM_SEG_MAGIC,
        .format = OM_FORMAT_VERSION,
        .header_bytes = OM_SEG_HEADER_BYTES,
        .byte_order = OM_SEG_BYTE_ORDER,
        .rows = rows,
        .version = version,
        .file_bytes = writer->position + sizeof(om_seg_tail),
        .sections = writer->count,
        .block_bytes = OM_SEG_BLOCK,
        .table_crc = om_crc32c(0, writer->entries, table_bytes),
    };
    uint8_t *page = writer->buffer;
    memset(page, 0, OM_SEG_HEADER_BYTES);
    memcpy(page, &header, sizeof header);
    memcpy(page + OM_SEG_TABLE_AT, writer->entries, table_bytes);
    uint32_t crc = om_crc32c(0, page, OM_SEG_HEADER_CRC_AT);
    memcpy(page + OM_SEG_HEADER_CRC_AT, &crc, sizeof crc);
    om_seg_tail tail = {
        .file_bytes = header.file_bytes, .header_crc = crc, .magic = OM_SEG_TAIL_MAGIC};
    OM_TRY(write_raw(writer, &tail, sizeof tail, err));
    OM_TRY(om_file_write_at(writer->file, 0, page, OM_SEG_HEADER_BYTES, err));
out:
    return status;
}

omen_status_t om_segwriter_commit(om_segwriter *writer, uint64_t rows, uint64_t version,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(refuse_failed(writer, err));
    if (writer->open || rows > OMEN_MAX_ROWS) {
        status = fail_use(writer, writer->open ? "not ended" : "too many rows", err);
        goto out;
    }
    OM_TRY(write_sums(writer, err));
    OM_TRY(write_header_and_tail(writer, rows, version, err));
    om_file *file = writer->file;
    writer->file = NULL; /* commit frees it, whatever comes */
    OM_TRY(om_file_commit(file, err));
out:
    om_segwriter_abort(writer);
    return status;
}
