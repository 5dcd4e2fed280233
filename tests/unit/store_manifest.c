/* store_manifest.c - the sample manifest. SPDX-License-Identifier: Apache-2.0 */
#include "store_manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "segfile_int.h"

static const om_alloc libc_alloc;

static om_manifest_segment segment(uint64_t id, uint32_t rows, uint64_t first, uint64_t last,
                                   uint64_t deaths)
{
    return (om_manifest_segment){.id = id,
                                 .file_bytes = OM_SEG_HEADER_BYTES + sizeof(om_seg_tail) + 8 * id,
                                 .header_crc = 0x1000u + (uint32_t)id,
                                 .rows = rows,
                                 .live = rows - 2,
                                 .first_lsn = first,
                                 .last_lsn = last,
                                 .deaths = deaths};
}

static void collection(om_manifest_collection *out, const char *name, uint32_t serial)
{
    *out = (om_manifest_collection){.serial = serial, .contained = 500, .next_key = 77 + serial};
    out->options = (omen_options){.struct_size = sizeof out->options,
                                  .dim = 24,
                                  .metric = OMEN_COSINE,
                                  .dtype = OMEN_F16,
                                  .id_type = OMEN_ID_STRING,
                                  .m = 16,
                                  .ef_construction = 100,
                                  .quantization = OMEN_QUANT_SQ8,
                                  .rotation = OMEN_ROTATE_ON,
                                  .entry = OMEN_ENTRY_SEEDS,
                                  .durability = OMEN_DURABILITY_BATCH,
                                  .capacity_hint = 1000,
                                  .max_backlog_rows = 65536};
    (void)snprintf(out->name, sizeof out->name, "%s", name);
}

void manifest_sample_make(manifest_sample *s, uint64_t generation)
{
    memset(s, 0, sizeof *s);
    s->m = (om_manifest){.generation = generation,
                         .checkpoint = 400,
                         .durable = 600,
                         .next_segment = SAMPLE_NEXT_SEGMENT,
                         .next_serial = SAMPLE_NEXT_SERIAL,
                         .collection_count = SAMPLE_COLLECTIONS,
                         .cursors = 2,
                         .collections = s->collections};
    for (uint8_t i = 0; i < sizeof s->m.database; i++) {
        s->m.database[i] = (uint8_t)(0xA0 + i);
    }
    collection(&s->collections[0], "alpha", 3);
    collection(&s->collections[1], "beta-2", 11);
    collection(&s->collections[2], "gamma_3", 5);
    s->segments[0] = segment(7, 100, 10, 90, 0);
    s->segments[1] = segment(9, 65, 90, 300, 2);
    s->segments[2] = segment(8, 64, 15, 310, 0);
    s->segments[3] = segment(20, 1000, 311, 500, 2);
    s->collections[0].segments = &s->segments[0];
    s->collections[0].segment_count = 2;
    s->collections[2].segments = &s->segments[2];
    s->collections[2].segment_count = 2;
}

static void assert_collection_equal(const om_manifest_collection *a,
                                    const om_manifest_collection *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->serial, b->serial);
    assert_int_equal(a->contained, b->contained);
    assert_int_equal(a->next_key, b->next_key);
    assert_memory_equal(&a->options, &b->options, sizeof a->options);
    assert_int_equal(a->segment_count, b->segment_count);
    for (uint32_t i = 0; i < a->segment_count; i++) {
        assert_memory_equal(&a->segments[i], &b->segments[i], sizeof a->segments[i]);
    }
}

void manifest_assert_equal(const om_manifest *a, const om_manifest *b)
{
    assert_memory_equal(a->database, b->database, sizeof a->database);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->checkpoint, b->checkpoint);
    assert_int_equal(a->durable, b->durable);
    assert_int_equal(a->next_segment, b->next_segment);
    assert_int_equal(a->next_serial, b->next_serial);
    assert_int_equal(a->cursors, b->cursors);
    assert_int_equal(a->ro_compat, b->ro_compat);
    assert_int_equal(a->compat, b->compat);
    assert_int_equal(a->extra_bytes, b->extra_bytes);
    if (a->extra_bytes != 0) {
        assert_memory_equal(a->extra, b->extra, a->extra_bytes);
    }
    assert_int_equal(a->collection_count, b->collection_count);
    for (uint32_t i = 0; i < a->collection_count; i++) {
        assert_collection_equal(&a->collections[i], &b->collections[i]);
    }
}

void manifest_reseal(uint8_t *bytes, size_t size)
{
    if (size < sizeof(om_mf_header)) {
        return;
    }
    uint32_t crc = om_crc32c(0, bytes + sizeof(om_mf_header), size - sizeof(om_mf_header));
    memcpy(bytes + offsetof(om_mf_header, body_crc), &crc, sizeof crc);
    om_head_seal(&om_manifest_kind, bytes);
}

void file_put(const om_io *io, const char *path, const void *bytes, size_t size)
{
    omen_error err = {0};
    om_iofile file;
    if (om_io_open(io, path, OM_IO_WRITE | OM_IO_CREATE | OM_IO_TRUNCATE, &file, &err) != OMEN_OK ||
        om_io_write(&file, bytes, size, 0, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    om_io_close(&file);
}

uint8_t *file_get(const om_io *io, const char *path, size_t *size)
{
    omen_error err = {0};
    om_iofile file;
    uint64_t bytes = 0;
    if (om_io_open(io, path, 0, &file, &err) != OMEN_OK ||
        om_io_size(&file, &bytes, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    uint8_t *out = malloc((size_t)bytes + 1);
    assert_non_null(out);
    assert_int_equal(om_io_read(&file, out, (size_t)bytes, 0, NULL), OMEN_OK);
    om_io_close(&file);
    *size = (size_t)bytes;
    return out;
}

bool file_exists(const om_io *io, const char *path)
{
    om_io_stat info;
    bool found = false;
    assert_int_equal(om_io_look(io, path, &info, &found, NULL), OMEN_OK);
    return found;
}

static int count_entry(void *arg, const char *name)
{
    (void)name;
    ++*(uint32_t *)arg;
    return 0;
}

uint32_t folder_count(const om_io *io, const char *path)
{
    uint32_t count = 0;
    assert_int_equal(om_io_list(io, path, count_entry, &count, NULL), OMEN_OK);
    return count;
}

static void make_segment(const om_io *io, const char *path, om_manifest_segment *seg)
{
    uint8_t *bytes = calloc(1, (size_t)seg->file_bytes);
    assert_non_null(bytes);
    memcpy(bytes, &seg->id, sizeof seg->id);
    seg->header_crc = om_crc32c(0, bytes, OM_SEG_HEADER_CRC_AT);
    memcpy(bytes + OM_SEG_HEADER_CRC_AT, &seg->header_crc, sizeof seg->header_crc);
    file_put(io, path, bytes, (size_t)seg->file_bytes);
    free(bytes);
}

void manifest_sample_files(const om_io *io, manifest_sample *sample)
{
    static const uint64_t words[16] = {3, 1};
    const om_cursors cursors = {.lsn = 500};
    om_path path;
    assert_int_equal(om_io_mkdir(io, SAMPLE_FOLDER, NULL), OMEN_OK);
    for (uint32_t i = 0; i < SAMPLE_COLLECTIONS; i++) {
        om_manifest_collection *c = &sample->collections[i];
        assert_int_equal(om_path_collection(&path, SAMPLE_FOLDER, c->serial, NULL), OMEN_OK);
        assert_int_equal(om_io_mkdir(io, path.text, NULL), OMEN_OK);
        for (uint32_t s = 0; s < c->segment_count; s++) {
            om_manifest_segment *seg = &c->segments[s];
            assert_int_equal(om_path_segment(&path, SAMPLE_FOLDER, c->serial, seg->id, NULL),
                             OMEN_OK);
            make_segment(io, path.text, seg);
            if (seg->deaths != 0) {
                assert_int_equal(
                    om_path_deaths(&path, SAMPLE_FOLDER, c->serial, seg->id, seg->deaths, NULL),
                    OMEN_OK);
                assert_int_equal(om_deaths_write(io, path.text, seg->id, seg->rows, words, NULL),
                                 OMEN_OK);
            }
        }
    }
    assert_int_equal(om_path_cursors(&path, SAMPLE_FOLDER, sample->m.cursors, NULL), OMEN_OK);
    assert_int_equal(om_cursors_write(io, &libc_alloc, path.text, &cursors, NULL), OMEN_OK);
}

void manifest_sample_write(const om_io *io, const manifest_sample *sample)
{
    omen_error err = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    om_path path;
    if (om_manifest_encode(&libc_alloc, &sample->m, &bytes, &size, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(om_path_manifest(&path, SAMPLE_FOLDER, sample->m.generation, NULL), OMEN_OK);
    file_put(io, path.text, bytes, size);
    om_alloc_put(&libc_alloc, bytes, size, 8);
}
