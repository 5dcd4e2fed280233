/* quant_file_test.c - codecs as bytes: round trips, and every kind of damage.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "quant_fixture.h"
#include "rng.h"

enum { DIM = 70, COUNT = 200 };

/* The check sum of the format, written down a second time: what an attacker would do. */
static void seal(uint8_t *bytes, size_t size)
{
    size_t body = size - 8;
    uint64_t sum = body;
    for (size_t i = 0; i <= body; i += 8) {
        uint64_t word = 0;
        for (size_t k = 0; k < 8 && i + k < body; k++) {
            word |= (uint64_t)bytes[i + k] << (8 * k);
        }
        sum = om_mix64(sum ^ word);
    }
    for (size_t k = 0; k < 8; k++) {
        bytes[body + k] = (uint8_t)(sum >> (8 * k));
    }
}

static om_codec *import(const uint8_t *bytes, size_t size, omen_status_t wanted)
{
    om_codec *codec = NULL;
    omen_error err;
    /* A copy of just that size, so that the sanitizer sees a read behind it. */
    uint8_t *copy = om_alloc_get(&quant_alloc, size == 0 ? 1 : size, 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    omen_status_t status = om_codec_import(&quant_alloc, copy, size, &codec, &err);
    quant_free(copy);
    assert_int_equal(status, wanted);
    assert_true((codec != NULL) == (status == OMEN_OK));
    return codec;
}

static void round_trip(void **state)
{
    (void)state;
    quant_set set = quant_set_make(COUNT, DIM, 5);
    for (uint32_t kind = 0; kind < 24; kind++) {
        om_codec_params params =
            quant_params(DIM, kind % 3 + 1, kind / 3 % 2 + 1, kind / 6 % 2 + 1);
        params.dtype = kind >= 12 ? OMEN_U8 : OMEN_F32;
        quant_rows a = quant_encode(quant_train(&params, &set), &set);
        const size_t size = om_codec_export_size(a.codec);
        uint8_t *bytes = quant_aligned(size);
        om_codec_export(a.codec, bytes);
        quant_rows b = quant_encode(import(bytes, size, OMEN_OK), &set);
        assert_int_equal(a.stride, b.stride);
        assert_memory_equal(a.codes, b.codes, a.stride * a.count);
        assert_int_equal(om_codec_rotated(a.codec), om_codec_rotated(b.codec));
        assert_int_equal(om_codec_exact(a.codec), om_codec_exact(b.codec));
        om_probe probe;
        om_codec_query(a.codec, set.rows, a.scratch, a.data, &probe);
        quant_scan(&a, &probe);
        om_codec_query(b.codec, set.rows, b.scratch, b.data, &probe);
        quant_scan(&b, &probe);
        assert_memory_equal(a.distance, b.distance, a.count * sizeof *a.distance);
        quant_free(bytes);
        quant_rows_free(&a);
        quant_rows_free(&b);
    }
    quant_set_free(&set);
}

typedef struct exported {
    size_t size;
    uint8_t bytes[40 + 4 * (DIM + OM_IP_PAD) + 8];
} exported;

static exported export_one(uint32_t metric, uint32_t rotation)
{
    quant_set set = quant_set_make(COUNT, DIM, 5);
    om_codec_params params = quant_params(DIM, metric, OMEN_QUANT_SQ8, rotation);
    om_codec *codec = quant_train(&params, &set);
    exported out = {.size = om_codec_export_size(codec)};
    assert_true(out.size <= sizeof out.bytes);
    om_codec_export(codec, out.bytes);
    om_codec_free(codec);
    quant_set_free(&set);
    return out;
}

static void truncated_is_data_loss(void **state)
{
    (void)state;
    exported whole = export_one(OMEN_IP, OMEN_ROTATE_ON);
    for (size_t size = 0; size < whole.size; size++) {
        import(whole.bytes, size, OMEN_DATA_LOSS);
        if (size >= 8) {
            exported cut = whole;
            seal(cut.bytes, size);
            import(cut.bytes, size, OMEN_DATA_LOSS);
        }
    }
}

static void flipped_bits_are_data_loss(void **state)
{
    (void)state;
    exported whole = export_one(OMEN_L2, OMEN_ROTATE_ON);
    for (size_t bit = 0; bit < whole.size * 8; bit++) {
        whole.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        import(whole.bytes, whole.size, OMEN_DATA_LOSS);
        whole.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    om_codec_free(import(whole.bytes, whole.size, OMEN_OK));
}

/* Damage with a valid check sum: refused, or a codec that works. */
static void forged_bytes_are_harmless(void **state)
{
    (void)state;
    const exported whole = export_one(OMEN_L2, OMEN_ROTATE_OFF);
    uint64_t random = 11;
    uint32_t refused = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        exported forged = whole;
        const size_t span = round % 2 == 0 ? 40 : whole.size - 8; /* mostly the head */
        for (uint32_t hits = 0; hits <= round % 4; hits++) {
            forged.bytes[om_rng_below(&random, (uint32_t)span)] = (uint8_t)om_rng_next(&random);
        }
        seal(forged.bytes, forged.size);
        om_codec *codec = NULL;
        omen_error err;
        omen_status_t status =
            om_codec_import(&quant_alloc, forged.bytes, forged.size, &codec, &err);
        assert_true(status == OMEN_OK || status == OMEN_DATA_LOSS);
        refused += status != OMEN_OK;
        if (status == OMEN_OK) {
            float vector[DIM] = {1.0f, -2.0f};
            uint8_t *row = quant_aligned(om_codec_stride(codec));
            float *scratch = quant_aligned(om_codec_scratch(codec) * sizeof *scratch);
            om_codec_encode(codec, vector, scratch, row);
            quant_free(row);
            quant_free(scratch);
            om_codec_free(codec);
        }
    }
    assert_in_range(refused, 500, 3999);
}

static void each_field_is_checked(void **state)
{
    (void)state;
    const exported whole = export_one(OMEN_L2, OMEN_ROTATE_OFF);
    static const struct {
        size_t at;
        uint8_t value[4];
        size_t size;
    } bad[] = {
        {0, {2}, 1},
        {1, {0}, 1},
        {1, {4}, 1},
        {2, {5}, 1},
        {3, {0}, 1},
        {3, {3}, 1},
        {4, {3}, 1},
        {5, {2}, 1},
        {6, {1}, 1},
        {7, {9}, 1},
        {8, {0}, 4},
        {8, {71}, 4},
        {8, {0xff, 0xff, 0xff, 0xff}, 4},
        {12, {0}, 4},
        {12, {0, 0, 0x80, 0x7f}, 4},
        {12, {0, 0, 0xc0, 0x7f}, 4},
        {12, {0, 0, 0x80, 0xbf}, 4},
        {28, {0, 0, 0xf0, 0x7f}, 4},
        {28, {0, 0, 0xf8, 0xff}, 4},
        {36, {0, 0, 0xf8, 0x7f}, 4},
        {40, {0, 0, 0x80, 0x7f}, 4},
        {44, {1, 0, 0x80, 0xff}, 4},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        exported forged = whole;
        memcpy(forged.bytes + bad[i].at, bad[i].value, bad[i].size);
        seal(forged.bytes, forged.size);
        import(forged.bytes, forged.size, OMEN_DATA_LOSS);
    }
    exported same = whole;
    seal(same.bytes, same.size);
    assert_memory_equal(same.bytes, whole.bytes, whole.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(truncated_is_data_loss),
        cmocka_unit_test(flipped_bits_are_data_loss),
        cmocka_unit_test(forged_bytes_are_harmless),
        cmocka_unit_test(each_field_is_checked),
    };
    return cmocka_run_group_tests_name("quant_file", tests, NULL, NULL);
}
