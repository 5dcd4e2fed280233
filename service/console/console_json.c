/* console_json.c - numbers, names and ids as JSON. SPDX-License-Identifier: Apache-2.0 */
#include "console_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

json_t *om_console_u64(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *om_console_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *om_console_string(const char *text, size_t size)
{
    json_t *string = json_stringn(text, size);
    return string != NULL ? string : json_string("");
}

json_t *om_console_version(uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static const char *name_of(const char *const *names, size_t count, uint32_t value)
{
    return value < count ? names[value] : "";
}

const char *om_console_metric(uint32_t metric)
{
    static const char *const names[] = {"", "l2", "ip", "cosine", "hamming"};
    return name_of(names, sizeof names / sizeof names[0], metric);
}

const char *om_console_type(uint32_t dtype)
{
    static const char *const names[] = {"", "f32", "f16", "i8", "u8", "bf16", "b1"};
    return name_of(names, sizeof names / sizeof names[0], dtype);
}

const char *om_console_id_type(uint32_t id_type)
{
    static const char *const names[] = {"", "u64", "uuid", "string"};
    return name_of(names, sizeof names / sizeof names[0], id_type);
}

/* 8-4-4-4-12 hex digits. */
static json_t *uuid_text(const uint8_t *id)
{
    char text[40];
    size_t n = 0;
    for (size_t i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%02x", dash ? "-" : "", id[i]);
    }
    return json_stringn(text, n);
}

json_t *om_console_id(uint32_t id_type, uint64_t key, const omen_column *ids, size_t i)
{
    if (id_type == OMEN_ID_U64) {
        return om_console_version(key);
    }
    if (id_type == OMEN_ID_UUID) {
        return uuid_text((const uint8_t *)ids->data + 16 * i);
    }
    const int64_t *offsets = ids->offsets;
    return om_console_string((const char *)ids->data + offsets[i],
                             (size_t)(offsets[i + 1] - offsets[i]));
}
