/* import_convert.c - turns the values of a file into those of a collection, only without loss.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "import.h"

const char *om_import_dtype_name(uint32_t dtype)
{
    return dtype == OM_IMPORT_I32 ? "i32" : om_tool_dtype_name(dtype);
}

size_t om_import_dtype_width(uint32_t dtype)
{
    return dtype == OM_IMPORT_I32 ? 4 : om_tool_dtype_width(dtype);
}

uint32_t om_import_natural_dtype(uint32_t dtype)
{
    return dtype == OM_IMPORT_I32 ? OMEN_F32 : dtype;
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 0x1fu;
    uint32_t mantissa = h & 0x3ffu;
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24, exact in f32 */
        float value = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    uint32_t bits = sign | mantissa << 13;
    bits |= exponent == 31 ? 0x7f800000u : (exponent + 112) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Value i of an array of any type; every one of them fits a double. */
static double load(const uint8_t *from, uint32_t dtype, size_t i)
{
    switch (dtype) {
    case OMEN_F32: {
        float v;
        memcpy(&v, from + 4 * i, 4);
        return (double)v;
    }
    case OMEN_F16: {
        uint16_t v;
        memcpy(&v, from + 2 * i, 2);
        return (double)half_to_float(v);
    }
    case OMEN_I8:
        return (double)(int8_t)from[i];
    case OMEN_U8:
        return (double)from[i];
    default: {
        int32_t v;
        memcpy(&v, from + 4 * i, 4);
        return (double)v;
    }
    }
}

/* Stores a value; false when the type cannot hold it exactly. NaN and infinities are left to the
 * library, whose refusal names the item. */
static bool store(double value, uint8_t *to, uint32_t dtype, size_t i)
{
    if (dtype == OMEN_F32) {
        float v = (float)value;
        memcpy(to + 4 * i, &v, 4);
        return !isfinite(value) || (double)v == value;
    }
    double low = dtype == OMEN_I8 ? -128.0 : 0.0;
    double high = dtype == OMEN_I8 ? 127.0 : 255.0;
    if (!(value >= low && value <= high) || value != floor(value)) {
        return false;
    }
    to[i] = dtype == OMEN_I8 ? (uint8_t)(int8_t)value : (uint8_t)value;
    return true;
}

bool om_import_convert(const void *from, uint32_t from_dtype, void *to, uint32_t to_dtype, size_t n,
                       size_t *item, om_tool_error *err)
{
    if (from_dtype == to_dtype) {
        if (n > 0) {
            memcpy(to, from, n * om_import_dtype_width(to_dtype));
        }
        return true;
    }
    if (to_dtype != OMEN_F32 && to_dtype != OMEN_I8 && to_dtype != OMEN_U8) {
        *item = 0;
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s values do not go into %s without loss",
                            om_import_dtype_name(from_dtype), om_import_dtype_name(to_dtype));
    }
    for (size_t i = 0; i < n; i++) {
        double value = load(from, from_dtype, i);
        if (!store(value, to, to_dtype, i)) {
            *item = i;
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "the value %g does not fit %s exactly",
                                value, om_import_dtype_name(to_dtype));
        }
    }
    return true;
}
