/* metatime.h - times, numbers and bytes as text: RFC 3339, doubles that read back bit for bit, base64.
 * Depends on: metarow.h.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METATIME_H
#define OM_METATIME_H
#include "metarow.h"

#define OM_TIME_TEXT 40
/* What om_time_parse reads, in UTC ("...Z"), without zeros at the end of the fraction. Returns its
 * length. */
size_t om_time_print(int64_t micros, char out[OM_TIME_TEXT]);

#define OM_DOUBLE_TEXT 32
/* The fewest digits that read back as the same double, always with a point or an exponent, as Python
 * prints it; value is finite. Does not depend on the locale. Returns its length. */
size_t om_double_print(double value, char out[OM_DOUBLE_TEXT]);
/* A number in the grammar of JSON, rounded to the nearest double: false when it is beyond their range.
 * length is at most OM_NUMBER_TEXT. Does not depend on the locale. */
#define OM_NUMBER_TEXT 1024u
bool om_double_parse(const char *text, size_t length, double *out);
/* Whether a double holds an integer exactly. */
static inline bool om_double_holds(int64_t value)
{
    /* 2^63 itself is the only double in reach that does not go back. */
    return (double)value < 9223372036854775808.0 && (int64_t)(double)value == value;
}

/* RFC 4648 with padding. */
static inline size_t om_base64_size(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}
void om_base64_print(const uint8_t *bytes, size_t length, char *out);
/* Decodes in place; false: no canonical base64 (alphabet, padding, bits that would be lost). */
bool om_base64_parse(uint8_t *text, size_t length, size_t *out_length);
#endif
