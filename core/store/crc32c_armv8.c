/* crc32c_armv8.c - CRC-32C with the instructions of the ARMv8 CRC32 extension. Compiled with
 * -march=armv8-a+crc, called only where the processor has them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "crc32c_int.h"

#include <arm_acle.h>
#include <string.h>

uint32_t om_crc32c_armv8(uint32_t seed, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint32_t crc = ~seed;
    for (; bytes >= 8; at += 8, bytes -= 8) {
        uint64_t value;
        memcpy(&value, at, sizeof value);
        crc = __crc32cd(crc, value);
    }
    for (; bytes > 0; at++, bytes--) {
        crc = __crc32cb(crc, *at);
    }
    return ~crc;
}
