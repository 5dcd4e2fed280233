/* golden_data.c - formulas of the golden files. Never to change: old files hold what they say.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>

const golden_file golden_files[] = {
    {"v1-u64-l2-f32.omen", OMEN_ID_U64, OMEN_L2, OMEN_F32, OMEN_QUANT_SQ8},
    {"v1-uuid-cosine-f16.omen", OMEN_ID_UUID, OMEN_COSINE, OMEN_F16, OMEN_QUANT_SQ8},
    {"v1-string-ip-i8.omen", OMEN_ID_STRING, OMEN_IP, OMEN_I8, OMEN_QUANT_SQ8},
    {"v1-u64-l2-u8-plain.omen", OMEN_ID_U64, OMEN_L2, OMEN_U8, OMEN_QUANT_NONE},
};
const size_t golden_count = sizeof golden_files / sizeof golden_files[0];
const char golden_backup[] = "v1-backup";
const char *const golden_names[GOLDEN_COLLECTIONS] = {"first", "second"};
const golden_file *const golden_kinds[GOLDEN_COLLECTIONS] = {&golden_files[0], &golden_files[2]};

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void golden_remove(const char *path)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* it may not be there */
}

uint64_t golden_key(uint32_t n)
{
    return n % 2 == 0 ? n : UINT64_MAX - 1 - n;
}

size_t golden_id(const golden_file *file, uint32_t n, uint8_t *out)
{
    if (file->id_type == OMEN_ID_STRING) {
        char text[GOLDEN_MAX_ID];
        int length =
            snprintf(text, sizeof text, "item/%u%s", n, n % 5 == 0 ? "/\xC3\xA9t\xC3\xA9" : "");
        memcpy(out, text, (size_t)length);
        return (size_t)length;
    }
    const uint64_t words[2] = {golden_key(n), UINT64_C(0x0123456789ABCDEF) + n};
    size_t length = file->id_type == OMEN_ID_U64 ? 8 : 16;
    memcpy(out, words, length);
    return length;
}

/* Small whole numbers: exact in every type. */
void golden_vector(const golden_file *file, uint32_t n, float *out)
{
    uint32_t state = n * 2654435761u + 12345u;
    for (uint32_t d = 0; d < GOLDEN_DIM; d++) {
        state = state * 1664525u + 1013904223u;
        int32_t value = (int32_t)(state >> 25); /* 0 to 127 */
        out[d] = (float)(file->dtype == OMEN_U8 ? value : value - 64);
    }
}

static uint16_t to_half(float value)
{
    uint16_t sign = value < 0 ? 0x8000 : 0;
    uint32_t whole = (uint32_t)(value < 0 ? -value : value);
    if (whole == 0) {
        return sign;
    }
    uint32_t exponent = 31u - (uint32_t)__builtin_clz(whole);
    uint32_t mantissa = (whole << (10u - exponent)) & 0x3FFu;
    return (uint16_t)(sign | (exponent + 15u) << 10 | mantissa);
}

size_t golden_row_bytes(const golden_file *file)
{
    return GOLDEN_DIM * (file->dtype == OMEN_F32 ? 4u : file->dtype == OMEN_F16 ? 2u : 1u);
}

void golden_bytes(const golden_file *file, uint32_t n, void *out)
{
    float vector[GOLDEN_DIM];
    uint8_t *at = out;
    golden_vector(file, n, vector);
    for (uint32_t d = 0; d < GOLDEN_DIM; d++) {
        uint16_t half = to_half(vector[d]);
        if (file->dtype == OMEN_F32) {
            memcpy(at + 4 * d, &vector[d], 4);
        } else if (file->dtype == OMEN_F16) {
            memcpy(at + 2 * d, &half, 2);
        } else {
            at[d] = file->dtype == OMEN_I8 ? (uint8_t)(int8_t)vector[d] : (uint8_t)vector[d];
        }
    }
}

omen_column golden_column(const golden_file *file, uint32_t first, uint32_t last)
{
    static uint8_t bytes[GOLDEN_ITEMS * GOLDEN_MAX_ID];
    static int64_t offsets[GOLDEN_ITEMS + 1];
    size_t at = 0;
    for (uint32_t n = first; n < last; n++) {
        at += golden_id(file, n, bytes + at);
        offsets[n - first + 1] = (int64_t)at;
    }
    omen_column column = {.data = bytes};
    if (file->id_type == OMEN_ID_STRING) {
        column.offsets = offsets;
        column.offset_bits = 64;
    } else {
        column.width = file->id_type == OMEN_ID_U64 ? 8 : 16;
    }
    return column;
}
