/* store_wal_damage_test.c - a torn tail is left out, rot is reported, and neither is mistaken for the other.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "segfile.h"
#include "store_wal_fixture.h"

enum { RECORDS = 12, SYNCED = 6 };

/* Records 1 to SYNCED are durable, and those behind know it. */
static sim_image *sample(wal_model *model, uint32_t most)
{
    wal_fixture f;
    uint64_t state = most;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    for (uint32_t i = 1; i <= RECORDS; i++) {
        wal_must_append(&f, i, om_rng_below(&state, most + 1));
        if (i == SYNCED) {
            assert_int_equal(wal_sync(&f), OMEN_OK);
        }
    }
    sim_image *image = sim_disk_image(f.disk);
    *model = f.model;
    wal_teardown(&f);
    return image;
}

static void setup_from(wal_fixture *f, const sim_image *image, const wal_model *model)
{
    wal_setup(f, image);
    f->model = *model;
}

static uint64_t hash_of(wal_fixture *f)
{
    sim_image *image = sim_disk_image(f->disk);
    uint64_t hash = sim_image_hash(image);
    sim_image_free(image);
    return hash;
}

/* Damage at record lsn that was durable: reading works up to it, writing does not, nothing is changed. */
static void must_be_rotten(wal_fixture *f, uint64_t lsn)
{
    uint64_t before = hash_of(f);
    wal_must_open(f);
    om_log_state state = wal_state(f);
    assert_int_equal(state.state, OM_LOG_ROTTEN);
    assert_int_equal(state.rotten_lsn, lsn);
    assert_non_null(strstr(state.reason, "record "));
    wal_must_hold_until(f, lsn - 1);
    assert_int_equal(wal_append_one(f, 1, 1), OMEN_FAILED_PRECONDITION);
    assert_int_equal(f->err.detail, OMEN_D_READ_ONLY);
    assert_int_equal(f->log->ops->trim(f->log, 3, &f->err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(f->log->ops->cas(f->log, "KEY", 0, "x", 1, &f->err), OMEN_FAILED_PRECONDITION);
    wal_close(f);
    assert_int_equal(hash_of(f), before);
}

/* Damage at record lsn that was not durable: it and what follows never were, not even when the same records
 * are written again. */
static void must_be_cut(wal_fixture *f, uint64_t lsn)
{
    wal_must_open(f);
    f->model.first = wal_state(f).first;
    assert_int_equal(wal_state(f).state, OM_LOG_OPEN);
    assert_int_equal(wal_state(f).durable, lsn - 1);
    wal_must_hold_until(f, lsn - 1);
    f->model.last = lsn - 1;
    wal_kill(f);
    wal_must_open(f);
    f->model.first = wal_state(f).first;
    wal_must_hold(f);
    uint64_t seed = f->model.last + 1;
    uint64_t state = 0;
    wal_must_append(f, seed, om_rng_below(&state, 50));
    wal_kill(f);
    wal_must_open(f);
    f->model.first = wal_state(f).first;
    wal_must_hold(f);
    wal_must_append(f, 1000, 7);
    assert_int_equal(wal_sync(f), OMEN_OK);
    wal_kill(f);
    wal_must_open(f);
    f->model.first = wal_state(f).first;
    wal_must_hold(f);
}

/* The file as if the disk had got everything up to a byte, and garbage or nothing behind. */
static void test_cut_at_every_byte(void **unused)
{
    (void)unused;
    wal_model model;
    sim_image *image = sample(&model, 60);
    uint64_t ends[RECORDS + 2];
    wal_fixture f;
    setup_from(&f, image, &model);
    for (uint64_t lsn = 1; lsn <= RECORDS + 1; lsn++) {
        ends[lsn] = wal_position(&f, 1, lsn); /* where lsn begins */
    }
    wal_teardown(&f);
    uint8_t junk[4096];
    for (uint32_t kind = 0; kind < 2; kind++) {
        memset(junk, kind == 0 ? 0 : 0xA5, sizeof junk);
        for (uint64_t at = ends[SYNCED + 1]; at < ends[RECORDS + 1]; at++) {
            setup_from(&f, image, &model);
            uint8_t whole[4096];
            uint64_t lsn = SYNCED + 1;
            wal_peek(&f, wal_name(1), at, whole, (size_t)(ends[RECORDS + 1] - at));
            wal_poke(&f, wal_name(1), at, junk, (size_t)(ends[RECORDS + 1] - at));
            /* Bytes of the padding, and zeros, may be what they were by chance. */
            while (lsn <= RECORDS) {
                uint64_t end = ends[lsn] + OM_WAL_FRAME_BYTES + model.bytes[lsn];
                if (end > at && memcmp(whole, junk, (size_t)(end - at)) != 0) {
                    break;
                }
                lsn++;
            }
            f.options.durable_hint = at % 2 == 0 ? SYNCED : 0;
            must_be_cut(&f, lsn);
            wal_teardown(&f);
        }
    }
    sim_image_free(image);
}

static void test_every_bit(void **unused)
{
    (void)unused;
    wal_model model;
    sim_image *image = sample(&model, 30);
    wal_fixture f;
    for (uint64_t lsn = 1; lsn <= RECORDS; lsn++) {
        setup_from(&f, image, &model);
        uint64_t from = wal_position(&f, 1, lsn);
        wal_teardown(&f);
        for (uint64_t bit = 0; bit < 8 * (OM_WAL_FRAME_BYTES + UINT64_C(0) + model.bytes[lsn]);
             bit++) {
            setup_from(&f, image, &model);
            wal_flip(&f, wal_name(1), from * 8 + bit);
            lsn <= SYNCED ? must_be_rotten(&f, lsn) : must_be_cut(&f, lsn);
            wal_teardown(&f);
        }
    }
    sim_image_free(image);
}

/* What the manifest knows makes rot of what else would be a torn tail. */
static void test_hint(void **unused)
{
    (void)unused;
    wal_model model;
    sim_image *image = sample(&model, 30);
    for (uint32_t hint = 0; hint <= RECORDS + 1; hint++) {
        for (uint64_t lsn = SYNCED + 1; lsn <= RECORDS; lsn++) {
            wal_fixture f;
            setup_from(&f, image, &model);
            wal_flip(&f, wal_name(1), wal_position(&f, 1, lsn) * 8 + 77);
            f.options.durable_hint = hint % 2 == 0 ? hint : 0;
            f.options.checkpoint = hint % 2 == 0 ? 0 : hint;
            hint >= lsn ? must_be_rotten(&f, lsn) : must_be_cut(&f, lsn);
            wal_teardown(&f);
        }
    }
    sim_image_free(image);
}

/* Zeroed sectors: of several records at once, with evidence lost together with what it is about. */
static void test_sectors(void **unused)
{
    (void)unused;
    wal_model model;
    sim_image *image = sample(&model, 3000);
    static const uint8_t zeros[SIM_SECTOR];
    for (uint64_t at = OM_WAL_HEADER_BYTES;; at += SIM_SECTOR) {
        wal_fixture f;
        setup_from(&f, image, &model);
        uint64_t end = wal_position(&f, 1, RECORDS + 1);
        uint64_t lsn = 1;
        while (lsn <= RECORDS && wal_position(&f, 1, lsn + 1) <= at) {
            lsn++;
        }
        if (at >= end) {
            wal_teardown(&f);
            break;
        }
        wal_poke(&f, wal_name(1), at, zeros, sizeof zeros);
        wal_must_open(&f);
        om_log_state state = wal_state(&f);
        /* A sector at the border of two records may hit nothing of the first but its padding. */
        assert_true(state.tail == lsn - 1 || state.tail == lsn);
        assert_int_equal(state.state, state.tail + 1 <= SYNCED ? OM_LOG_ROTTEN : OM_LOG_OPEN);
        wal_must_hold_until(&f, state.tail);
        wal_teardown(&f);
    }
    sim_image_free(image);
}

static void reseal(wal_fixture *f, const char *path, const om_wal_header *header)
{
    uint8_t page[OM_WAL_HEADER_BYTES];
    om_wal_header_seal(header, page);
    wal_poke(f, path, 0, page, sizeof page);
}

static void test_every_bit_of_the_header(void **unused)
{
    (void)unused;
    wal_model model;
    sim_image *image = sample(&model, 30);
    for (uint64_t bit = 0; bit < UINT64_C(8) * OM_WAL_HEADER_BYTES;
         bit +=
         bit < 8 * sizeof(om_wal_header) || bit >= UINT64_C(8) * OM_WAL_HEADER_CRC_AT ? 1 : 61) {
        wal_fixture f;
        setup_from(&f, image, &model);
        wal_flip(&f, wal_name(1), bit);
        must_be_rotten(&f, 1);
        wal_teardown(&f);
    }
    sim_image_free(image);
}

typedef void (*change)(om_wal_header *header);
static void newer_format(om_wal_header *header)
{
    header->format++;
}
static void new_feature(om_wal_header *header)
{
    header->incompat = 4;
}
static void compatible_feature(om_wal_header *header)
{
    header->compat = header->ro_compat = 8;
}
static void other_database(om_wal_header *header)
{
    header->database[15] ^= 1;
}
static void header_size(om_wal_header *header)
{
    header->header_bytes = 8192;
}
static void byte_order(om_wal_header *header)
{
    header->byte_order = 0x04030201;
}
static void file_too_small(om_wal_header *header)
{
    header->file_bytes = OM_WAL_HEADER_BYTES;
}
static void file_too_large(om_wal_header *header)
{
    header->file_bytes = (uint64_t)OM_WAL_MAX_FILE + 1;
}
static void no_lsn(om_wal_header *header)
{
    header->first = 0;
}
static void last_lsn(om_wal_header *header)
{
    header->first = UINT64_MAX;
}
static void unlike_name(om_wal_header *header)
{
    header->first = 2;
}
static void own_predecessor(om_wal_header *header)
{
    header->previous_first = header->first;
}
static void durable_too_late(om_wal_header *header)
{
    header->durable = header->first;
}
static void no_epoch(om_wal_header *header)
{
    header->epoch = 0;
}

static void test_hostile_headers(void **unused)
{
    (void)unused;
    static const struct {
        change make;
        omen_status_t status; /* OMEN_DATA_LOSS: opens rotten */
    } changes[] = {
        {newer_format, OMEN_UNIMPLEMENTED}, {new_feature, OMEN_UNIMPLEMENTED},
        {compatible_feature, OMEN_OK},      {other_database, OMEN_FAILED_PRECONDITION},
        {header_size, OMEN_DATA_LOSS},      {byte_order, OMEN_DATA_LOSS},
        {file_too_small, OMEN_DATA_LOSS},   {file_too_large, OMEN_DATA_LOSS},
        {no_lsn, OMEN_DATA_LOSS},           {last_lsn, OMEN_DATA_LOSS},
        {unlike_name, OMEN_DATA_LOSS},      {own_predecessor, OMEN_DATA_LOSS},
        {durable_too_late, OMEN_DATA_LOSS}, {no_epoch, OMEN_DATA_LOSS},
    };
    wal_model model;
    sim_image *image = sample(&model, 30);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        wal_fixture f;
        om_wal_header header;
        setup_from(&f, image, &model);
        wal_peek(&f, wal_name(1), 0, &header, sizeof header);
        changes[i].make(&header);
        reseal(&f, wal_name(1), &header);
        if (changes[i].status == OMEN_OK) {
            wal_must_open(&f);
            wal_must_hold(&f);
        } else if (changes[i].status == OMEN_DATA_LOSS) {
            must_be_rotten(&f, 1);
        } else {
            uint64_t before = hash_of(&f);
            assert_int_equal(wal_open(&f), changes[i].status);
            assert_int_equal(f.err.detail, changes[i].status == OMEN_UNIMPLEMENTED
                                               ? OMEN_D_FORMAT_VERSION
                                               : OMEN_D_NONE);
            assert_int_equal(hash_of(&f), before);
        }
        wal_teardown(&f);
    }
    sim_image_free(image);
}

/* What stands behind the end that the header gives is not looked at, not even for leftovers. */
static void test_longer_than_it_says(void **unused)
{
    (void)unused;
    wal_model model;
    sim_image *image = sample(&model, 30);
    for (uint32_t lsn = SYNCED + 1; lsn <= RECORDS; lsn++) {
        for (uint32_t more = 0; more < 48; more += 3) {
            wal_fixture f;
            om_wal_header header;
            setup_from(&f, image, &model);
            wal_peek(&f, wal_name(1), 0, &header, sizeof header);
            header.file_bytes = wal_position(&f, 1, lsn) + more;
            reseal(&f, wal_name(1), &header);
            wal_must_open(&f);
            assert_int_equal(wal_state(&f).state, OM_LOG_OPEN);
            uint64_t tail = wal_state(&f).tail;
            assert_true(tail == lsn - 1 || (tail == lsn && more > OM_WAL_FRAME_BYTES) ||
                        (tail > lsn - 1 && more >= OM_WAL_FRAME_BYTES && model.bytes[lsn] <= 8));
            wal_must_hold_until(&f, tail);
            wal_teardown(&f);
        }
    }
    sim_image_free(image);
}

/* Frames under a right checksum that no writer makes. */
static void test_hostile_frames(void **unused)
{
    (void)unused;
    wal_model model;
    sim_image *image = sample(&model, 30);
    for (uint32_t what = 0; what < 8; what++) {
        wal_fixture f;
        om_wal_frame frame;
        uint8_t payload[64];
        setup_from(&f, image, &model);
        uint64_t at = wal_position(&f, 1, RECORDS);
        wal_peek(&f, wal_name(1), at, &frame, sizeof frame);
        wal_peek(&f, wal_name(1), at + sizeof frame, payload, sizeof payload);
        frame.frame_bytes = what == 0 ? 48 : frame.frame_bytes;
        frame.bytes = what == 1 ? OM_LOG_MAX_PAYLOAD + 1 : frame.bytes;
        frame.bytes = what == 2 ? OM_LOG_MAX_PAYLOAD : frame.bytes; /* not in this file */
        frame.durable_back = what == 3 ? 0 : frame.durable_back;
        frame.durable_back = what == 4 ? RECORDS + 1 : frame.durable_back;
        frame.previous_crc += what == 5;
        frame.epoch += what == 6;
        frame.lsn += what == 7;
        om_wal_frame_seal(&frame,
                          om_crc32c(0, payload, frame.bytes <= sizeof payload ? frame.bytes : 0));
        wal_poke(&f, wal_name(1), at, &frame, sizeof frame);
        must_be_cut(&f, RECORDS);
        wal_teardown(&f);
    }
    sim_image_free(image);
}

/* ---- Several files ---- */
enum { LARGE = 200000 };
static sim_image *files_sample(wal_model *model, uint64_t firsts[4])
{
    wal_fixture f;
    uint32_t files = 0;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    while (files < 4) {
        wal_must_append(&f, f.model.last, LARGE);
        if (wal_count(&f, "db/wal", ".wal") > files) {
            firsts[files++] = f.model.last;
        }
    }
    wal_must_append(&f, 99, LARGE);
    assert_int_equal(wal_sync(&f), OMEN_OK);
    *model = f.model;
    sim_image *image = sim_disk_image(f.disk);
    wal_teardown(&f);
    return image;
}

static void test_missing_files(void **unused)
{
    (void)unused;
    wal_model model;
    uint64_t firsts[4];
    sim_image *image = files_sample(&model, firsts);
    for (uint32_t i = 0; i < 4; i++) {
        for (uint64_t checkpoint = 0; checkpoint <= model.last; checkpoint++) {
            wal_fixture f;
            setup_from(&f, image, &model);
            f.options.checkpoint = checkpoint;
            assert_int_equal(om_io_unlink(&f.io, wal_name(firsts[i]), NULL), OMEN_OK);
            uint64_t before = hash_of(&f);
            bool needed = i == 3 || checkpoint + 1 < firsts[i + 1];
            if (!needed) {
                wal_must_open(&f);
                assert_int_equal(wal_state(&f).state, OM_LOG_OPEN);
                f.model.first = wal_state(&f).first;
                wal_must_hold(&f);
            } else if (i == 3) {
                /* A file that was never made looks the same; the manifest knows better. */
                wal_must_open(&f);
                assert_int_equal(wal_state(&f).state,
                                 checkpoint >= firsts[3] ? OM_LOG_ROTTEN : OM_LOG_OPEN);
                wal_close(&f);
                f.options.durable_hint = firsts[3];
                wal_must_open(&f);
                assert_int_equal(wal_state(&f).state, OM_LOG_ROTTEN);
                assert_int_equal(wal_state(&f).rotten_lsn, firsts[3]);
            } else if (checkpoint + 1 >= firsts[i]) {
                /* The one before would have to hold the records that are needed. */
                omen_status_t status = wal_open(&f);
                assert_true(status == OMEN_DATA_LOSS);
                assert_int_equal(hash_of(&f), before);
            } else {
                assert_int_equal(wal_open(&f), OMEN_DATA_LOSS);
                assert_non_null(strstr(f.err.message, "missing"));
                assert_int_equal(hash_of(&f), before);
            }
            wal_teardown(&f);
        }
    }
    sim_image_free(image);
}

static void test_all_files_missing(void **unused)
{
    (void)unused;
    wal_fixture f;
    wal_setup(&f, NULL);
    f.options.checkpoint = 7;
    f.options.durable_hint = 8;
    assert_int_equal(wal_open(&f), OMEN_DATA_LOSS);
    assert_non_null(strstr(f.err.message, "no log files"));
    wal_teardown(&f);
}

static void truncate_file(wal_fixture *f, const char *path, uint64_t bytes)
{
    om_iofile file;
    assert_int_equal(om_io_open(&f->io, path, OM_IO_WRITE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_truncate(&file, bytes, NULL), OMEN_OK);
    om_io_close(&file);
}

static void test_truncation(void **unused)
{
    (void)unused;
    wal_model model;
    uint64_t firsts[4];
    sim_image *image = files_sample(&model, firsts);
    for (uint32_t i = 0; i < 4; i++) {
        for (uint64_t bytes = 0; bytes < OM_WAL_MIN_FILE; bytes += bytes < 8192 ? 509 : 50021) {
            wal_fixture f;
            setup_from(&f, image, &model);
            uint64_t lsn = firsts[i];
            uint64_t stop = i < 3 ? firsts[i + 1] : model.last + 1;
            while (bytes >= OM_WAL_HEADER_BYTES && lsn < stop &&
                   wal_position(&f, firsts[i], lsn) + OM_WAL_FRAME_BYTES +
                           model.bytes[lsn % WAL_MOST_RECORDS] <=
                       bytes) {
                lsn++;
            }
            truncate_file(&f, wal_name(firsts[i]), bytes);
            if (lsn < stop || i == 3) {
                must_be_rotten(&f, lsn);
            } else {
                wal_must_open(&f); /* only what was never used is missing */
                assert_int_equal(wal_state(&f).state, OM_LOG_OPEN);
                wal_must_hold(&f);
            }
            wal_teardown(&f);
        }
    }
    sim_image_free(image);
}

/* The next file knows what the one before must contain. */
static void test_chain_of_files(void **unused)
{
    (void)unused;
    wal_model model;
    uint64_t firsts[4];
    sim_image *image = files_sample(&model, firsts);
    wal_fixture f;
    om_wal_header header;
    setup_from(&f, image, &model);
    wal_peek(&f, wal_name(firsts[2]), 0, &header, sizeof header);
    header.previous_crc ^= 1;
    reseal(&f, wal_name(firsts[2]), &header);
    must_be_rotten(&f, firsts[2]);
    wal_teardown(&f);

    setup_from(&f, image, &model);
    wal_flip(&f, wal_name(firsts[2]), 3);
    must_be_rotten(&f, firsts[2]);
    wal_teardown(&f);

    /* The last record of a file that is followed: nothing in its own file tells that it was durable. */
    setup_from(&f, image, &model);
    wal_flip(&f, wal_name(firsts[1]),
             8 * (wal_position(&f, firsts[1], firsts[2] - 1) + OM_WAL_FRAME_BYTES + LARGE / 2));
    must_be_rotten(&f, firsts[2] - 1);
    wal_teardown(&f);

    /* A file between two others that says it is the next one. */
    setup_from(&f, image, &model);
    wal_peek(&f, wal_name(firsts[2]), 0, &header, sizeof header);
    header.first--;
    assert_int_equal(om_io_rename(&f.io, wal_name(firsts[1]), "db/wal/away", NULL), OMEN_OK);
    uint64_t before = hash_of(&f);
    assert_int_equal(wal_open(&f), OMEN_DATA_LOSS);
    assert_int_equal(hash_of(&f), before);
    wal_teardown(&f);
    sim_image_free(image);
}

/* Other names in the folder are nobody's business. */
static void test_strange_names(void **unused)
{
    (void)unused;
    static const char *const names[] = {
        "db/wal/0000000000000001.wal.tmp",
        "db/wal/000000000000000g.wal",
        "db/wal/000000000000001.wal",
        "db/wal/0000000000000001.WAL",
        "db/wal/spare-00000000000000zz",
        "db/wal/spare_0000000000000001",
        "db/wal/notes",
        "db/wal/000000000000000-.wal",
        "db/wal/0000000000000A01.wal",
    };
    wal_fixture f;
    wal_setup(&f, NULL);
    wal_must_open(&f);
    wal_must_append(&f, 1, 10);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        om_iofile file;
        assert_int_equal(om_io_open(&f.io, names[i], OM_IO_WRITE | OM_IO_CREATE, &file, NULL),
                         OMEN_OK);
        om_io_close(&file);
    }
    wal_close(&f);
    wal_must_open(&f);
    wal_must_hold(&f);
    wal_must_append(&f, 2, 10);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(wal_file_size(&f, names[i]), 0);
    }
    wal_teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_hint),
        cmocka_unit_test(test_sectors),
        cmocka_unit_test(test_every_bit_of_the_header),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_longer_than_it_says),
        cmocka_unit_test(test_hostile_frames),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_all_files_missing),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_chain_of_files),
        cmocka_unit_test(test_strange_names),
    };
    return cmocka_run_group_tests_name("wal damage", tests, NULL, NULL);
}
