/* base64.h - RFC 4648 with padding, without line breaks. Depends on: nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_BASE64_H
#define OM_BASE64_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OM_BASE64_SIZE(bytes_) (((bytes_) + 2) / 3 * 4)
/* Writes OM_BASE64_SIZE(n) characters, no NUL. */
void om_base64_encode(const uint8_t *bytes, size_t n, char *out);
/* Exactly `want` bytes; false when the text is anything else. */
bool om_base64_decode(const char *text, size_t n, uint8_t *out, size_t want);
/* Bytes that a text of n characters stands for, by its length and padding alone. */
size_t om_base64_bytes(const char *text, size_t n);
#endif
