/* crc32c.h - CRC-32C (Castagnoli) of the bytes of a batch, as clients of every language have it.
 * Depends on: nothing.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WIRE_CRC32C_H
#define OM_WIRE_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at the start) over the bytes. */
uint32_t om_wire_crc32c(uint32_t crc, const void *data, size_t size);
/* The same without the processor's instruction; the oracle of the tests. */
uint32_t om_wire_crc32c_plain(uint32_t crc, const void *data, size_t size);
#endif
