/* crc32c.c - CRC-32C with the processor's instruction where there is one, three lanes at a time: the
 * instruction has a latency of three cycles and could start every cycle.
 * SPDX-License-Identifier: Apache-2.0 */
#include "crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { LANE = 4096 }; /* bytes of one lane: one step handles three of them */
#define POLYNOMIAL 0x82f63b78u

static uint32_t byte_table[256];
/* shift_table[i][b]: what byte i of a crc with value b becomes after LANE zero bytes. */
static uint32_t shift_table[4][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static uint32_t plain_step(uint32_t crc, const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        crc = byte_table[(crc ^ p[i]) & 0xff] ^ crc >> 8;
    }
    return crc;
}

static void make_tables(void)
{
    static const uint8_t zeros[LANE];
    uint32_t bit_after[32];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) {
            c = (c & 1) != 0 ? c >> 1 ^ POLYNOMIAL : c >> 1;
        }
        byte_table[i] = c;
    }
    /* Passing over zeros is linear: the shift of each single bit gives every table entry. */
    for (uint32_t bit = 0; bit < 32; bit++) {
        bit_after[bit] = plain_step(1u << bit, zeros, LANE);
    }
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t value = 0; value < 256; value++) {
            uint32_t sum = 0;
            for (uint32_t bit = 0; bit < 8; bit++) {
                sum ^= (value >> bit & 1) != 0 ? bit_after[8 * i + bit] : 0;
            }
            shift_table[i][value] = sum;
        }
    }
}

uint32_t om_wire_crc32c_plain(uint32_t crc, const void *data, size_t size)
{
    pthread_once(&tables_once, make_tables);
    return ~plain_step(~crc, data, size);
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HARDWARE __attribute__((target("sse4.2")))
#define STEP8(crc, word) _mm_crc32_u64((crc), (word))
#define STEP1(crc, byte) _mm_crc32_u8((uint32_t)(crc), (byte))
static bool have_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define HARDWARE
#define STEP8(crc, word) __crc32cd((uint32_t)(crc), (word))
#define STEP1(crc, byte) __crc32cb((uint32_t)(crc), (byte))
static bool have_instruction(void)
{
    return true;
}
#endif

#ifdef HARDWARE
static uint32_t shift(uint32_t crc)
{
    return shift_table[0][crc & 0xff] ^ shift_table[1][crc >> 8 & 0xff] ^
           shift_table[2][crc >> 16 & 0xff] ^ shift_table[3][crc >> 24];
}

static uint64_t load(const uint8_t *p)
{
    uint64_t word = 0;
    memcpy(&word, p, sizeof word);
    return word;
}

HARDWARE static uint32_t fast_step(uint32_t crc, const uint8_t *p, size_t size)
{
    uint64_t a = crc;
    while (size >= 3 * (size_t)LANE) {
        uint64_t b = 0;
        uint64_t c = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            a = STEP8(a, load(p + i));
            b = STEP8(b, load(p + LANE + i));
            c = STEP8(c, load(p + 2 * (size_t)LANE + i));
        }
        a = shift(shift((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
        p += 3 * (size_t)LANE;
        size -= 3 * (size_t)LANE;
    }
    for (; size >= 8; size -= 8, p += 8) {
        a = STEP8(a, load(p));
    }
    for (; size > 0; size--, p++) {
        a = STEP1(a, *p);
    }
    return (uint32_t)a;
}
#endif

uint32_t om_wire_crc32c(uint32_t crc, const void *data, size_t size)
{
#ifdef HARDWARE
    if (have_instruction()) {
        pthread_once(&tables_once, make_tables);
        return ~fast_step(~crc, data, size);
    }
#endif
    return om_wire_crc32c_plain(crc, data, size);
}
