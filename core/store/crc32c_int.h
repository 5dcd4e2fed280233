/* crc32c_int.h - the ways to compute CRC-32C that om_crc32c chooses from.
 * Depends on: base.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CRC32C_INT_H
#define OM_CRC32C_INT_H
#include "base.h"

/* Each takes and returns a finished checksum: om_crc32c(om_crc32c(0, a), b) is that of a followed
 * by b. */
uint32_t om_crc32c_table(uint32_t seed, const void *data, size_t bytes);
#if defined(__x86_64__)
uint32_t om_crc32c_sse42(uint32_t seed, const void *data, size_t bytes); /* SSE4.2 and PCLMULQDQ */
#elif defined(__aarch64__)
uint32_t om_crc32c_armv8(uint32_t seed, const void *data, size_t bytes); /* the CRC32 extension */
#endif
/* Whether this machine runs the one with special instructions. */
bool om_crc32c_has_hardware(void);
#endif
