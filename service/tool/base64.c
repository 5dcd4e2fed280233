/* base64.c - bytes as text. SPDX-License-Identifier: Apache-2.0 */
#include "base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void om_base64_encode(const uint8_t *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= have > 2 ? bytes[i + 2] : 0;
        *out++ = digits[word >> 18];
        *out++ = digits[word >> 12 & 63];
        *out++ = have > 1 ? digits[word >> 6 & 63] : '=';
        *out++ = have > 2 ? digits[word & 63] : '=';
    }
}

static int value_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

size_t om_base64_bytes(const char *text, size_t n)
{
    size_t padding = n > 0 && text[n - 1] == '=' ? 1 : 0;
    padding += n > 1 && text[n - 2] == '=' && padding == 1 ? 1 : 0;
    return n / 4 * 3 - (n >= 4 ? padding : 0);
}

bool om_base64_decode(const char *text, size_t n, uint8_t *out, size_t want)
{
    size_t at = 0;
    if (n % 4 != 0 || om_base64_bytes(text, n) != want) {
        return false;
    }
    for (size_t i = 0; i < n; i += 4) {
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            bool padding = text[i + k] == '=' && i + 4 == n && i / 4 * 3 + k > want;
            int value = padding ? 0 : value_of(text[i + k]);
            if (value < 0) {
                return false;
            }
            word = word << 6 | (uint32_t)value;
        }
        for (size_t k = 0; k < 3; k++) {
            uint8_t byte = (uint8_t)(word >> (16 - 8 * k));
            if (at < want) {
                out[at++] = byte;
            } else if (byte != 0) {
                return false; /* bits behind the end: another text for the same bytes */
            }
        }
    }
    return true;
}
