/* filter_value.c - values: literals and parameters, exact comparison of ints and doubles, sorted sets.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "filter_int.h"
#include "metautf8.h"

/* ---- Literals ----------------------------------------------------------------------------------- */
static omen_status_t take(om_parse *parse, size_t size, uint8_t **out)
{
    *out = om_arena_get(&parse->out->arena, size == 0 ? 1 : size, 1);
    return *out != NULL ? OMEN_OK : om_fail_memory(parse->err, "filter", size);
}

omen_status_t om_filter_unquote(om_parse *parse, const om_token *token, om_slice *out)
{
    uint8_t *copy;
    omen_status_t status = take(parse, token->inner_length, &copy);
    if (status != OMEN_OK) {
        return status;
    }
    const char quote = token->kind == OM_TOKEN_NAME ? '"' : '\'';
    size_t length = 0;
    for (size_t i = 0; i < token->inner_length; i++) {
        copy[length++] = (uint8_t)token->inner[i];
        i += token->inner[i] == quote ? 1 : 0; /* the second one of two */
    }
    *out = (om_slice){copy, length};
    return OMEN_OK;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

omen_status_t om_filter_unhex(om_parse *parse, const om_token *token, om_slice *out)
{
    uint8_t *copy;
    omen_status_t status = take(parse, token->inner_length / 2, &copy);
    if (status != OMEN_OK) {
        return status;
    }
    bool sound = token->inner_length % 2 == 0;
    for (size_t i = 0; sound && i < token->inner_length; i += 2) {
        const int high = hex_digit(token->inner[i]);
        const int low = hex_digit(token->inner[i + 1]);
        sound = high >= 0 && low >= 0;
        copy[i / 2] = sound ? (uint8_t)(high << 4 | low) : 0;
    }
    if (!sound) {
        return om_filter_expected(parse, "pairs of hexadecimal digits, as in X'0aff'");
    }
    *out = (om_slice){copy, token->inner_length / 2};
    return OMEN_OK;
}

/* ---- Parameters --------------------------------------------------------------------------------- */
static omen_status_t bad_param(om_parse *parse, const om_token *token, const char *what)
{
    return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, "filter, byte %zu: $%u %s",
                   token->at, token->param + 1, what);
}

static omen_status_t check_bytes(om_parse *parse, const om_token *token, const omen_param *param)
{
    if (param->offsets == NULL) {
        return bad_param(parse, token, "has no offsets");
    }
    for (uint32_t i = 0; i < param->count; i++) {
        if (param->offsets[i] > param->offsets[i + 1]) {
            return bad_param(parse, token, "has offsets that fall");
        }
    }
    for (uint32_t i = 0; param->type == OMEN_TYPE_STRING && i < param->count; i++) {
        const uint64_t length = param->offsets[i + 1] - param->offsets[i];
        const uint8_t *text = (const uint8_t *)param->data + param->offsets[i];
        if (om_utf8_valid(text, length) != length) {
            return bad_param(parse, token, "is not UTF-8");
        }
    }
    return OMEN_OK;
}

static omen_status_t check_param(om_parse *parse, const om_token *token, const omen_param *param)
{
    if (param->count > OMEN_MAX_ARRAY) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "filter, byte %zu: $%u has %u values, and %u are the most", token->at,
                       token->param + 1, param->count, OMEN_MAX_ARRAY);
    }
    if (param->count != 0 && param->data == NULL) {
        return bad_param(parse, token, "has no data");
    }
    switch (param->type) {
    case OMEN_TYPE_INT64:
    case OMEN_TYPE_TIME:
    case OMEN_TYPE_BOOL:
        return OMEN_OK;
    case OMEN_TYPE_DOUBLE:
        for (uint32_t i = 0; i < param->count; i++) {
            double value;
            memcpy(&value, (const char *)param->data + i * sizeof value, sizeof value);
            if (!isfinite(value)) {
                return bad_param(parse, token, "is not a finite number");
            }
        }
        return OMEN_OK;
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_BYTES:
        return param->count == 0 ? OMEN_OK : check_bytes(parse, token, param);
    default:
        return bad_param(parse, token, "is none of STRING, INT64, DOUBLE, BOOL, TIME and BYTES");
    }
}

/* At its first use: checked, and its bytes copied. */
static omen_status_t first_use(om_parse *parse, const om_token *token, const omen_param *param,
                               om_bound **out)
{
    omen_status_t status = check_param(parse, token, param);
    uint8_t *copy = NULL;
    if (status != OMEN_OK) {
        return status;
    }
    om_bound *bound = om_arena_get(&parse->out->arena, sizeof *bound, _Alignof(om_bound));
    if (bound == NULL) {
        return om_fail_memory(parse->err, "filter", sizeof *bound);
    }
    if (param->count != 0 && (param->type == OMEN_TYPE_STRING || param->type == OMEN_TYPE_BYTES)) {
        const size_t size = (size_t)(param->offsets[param->count] - param->offsets[0]);
        status = take(parse, size, &copy);
        if (status != OMEN_OK) {
            return status;
        }
        memcpy(copy, (const uint8_t *)param->data + param->offsets[0], size);
    }
    *bound = (om_bound){.next = parse->bound, .param = token->param, .bytes = copy};
    parse->bound = bound;
    *out = bound;
    return OMEN_OK;
}

omen_status_t om_filter_param(om_parse *parse, const om_token *token, om_literals *out)
{
    const omen_param *param = &parse->in->params[token->param];
    om_bound *bound = parse->bound;
    omen_status_t status = OMEN_OK;
    while (bound != NULL && bound->param != token->param) {
        bound = bound->next;
    }
    if (bound == NULL) {
        status = first_use(parse, token, param, &bound);
    }
    *out = (om_literals){.param = param, .bound = bound, .count = param->count, .at = token->at};
    return status;
}

om_literal om_filter_value(const om_literals *values, uint32_t i)
{
    if (values->list != NULL) {
        return values->list[i];
    }
    const omen_param *param = values->param;
    const uint8_t *data = param->data;
    om_literal value = {.at = values->at, .bound = values->bound};
    switch (param->type) {
    case OMEN_TYPE_DOUBLE:
        value.kind = OM_LIT_DOUBLE;
        memcpy(&value.number, data + (size_t)i * 8, 8);
        break;
    case OMEN_TYPE_BOOL:
        value.kind = OM_LIT_BOOL;
        value.integer = data[i] != 0;
        break;
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_BYTES:
        value.kind = param->type == OMEN_TYPE_STRING ? OM_LIT_TEXT : OM_LIT_BYTES;
        value.slice = (om_slice){values->bound->bytes + (param->offsets[i] - param->offsets[0]),
                                 param->offsets[i + 1] - param->offsets[i]};
        break;
    default:
        value.kind = param->type == OMEN_TYPE_TIME ? OM_LIT_TIME : OM_LIT_INT;
        memcpy(&value.integer, data + (size_t)i * 8, 8);
        break;
    }
    return value;
}

/* ---- Ints and doubles by value ------------------------------------------------------------------ */
#define TWO_63 9223372036854775808.0

bool om_filter_int_from(const om_literal *value, bool strict, int64_t *lo)
{
    if (value->kind != OM_LIT_DOUBLE) {
        *lo = value->integer;
        return !strict || !__builtin_add_overflow(*lo, 1, lo);
    }
    if (value->number >= TWO_63) {
        return false;
    }
    if (value->number < -TWO_63) {
        *lo = INT64_MIN;
        return true;
    }
    const double whole = ceil(value->number);
    *lo = (int64_t)whole;
    /* Doubles of this size are whole only below 2^53, so that one more fits. */
    *lo += strict && whole == value->number ? 1 : 0;
    return true;
}

bool om_filter_int_to(const om_literal *value, bool strict, int64_t *hi)
{
    if (value->kind != OM_LIT_DOUBLE) {
        *hi = value->integer;
        return !strict || !__builtin_sub_overflow(*hi, 1, hi);
    }
    if (value->number >= TWO_63) {
        *hi = INT64_MAX;
        return true;
    }
    if (value->number < -TWO_63 || (strict && value->number == -TWO_63)) {
        return false;
    }
    const double whole = floor(value->number);
    *hi = (int64_t)whole;
    *hi -= strict && whole == value->number ? 1 : 0;
    return true;
}

/* The double nearest to a value, and where the value lies: -1 below it, 0 there, 1 above it. */
static double nearest(const om_literal *value, int *side)
{
    *side = 0;
    if (value->kind == OM_LIT_DOUBLE) {
        return value->number;
    }
    const double near = (double)value->integer;
    if (near >= TWO_63) {
        *side = -1; /* ints end before it */
        return near;
    }
    const int64_t back = (int64_t)near;
    *side = (value->integer > back) - (value->integer < back);
    return near;
}

double om_filter_double_from(const om_literal *value, bool strict)
{
    int side;
    const double near = nearest(value, &side);
    return side > 0 || (side == 0 && strict) ? nextafter(near, INFINITY) : near;
}

double om_filter_double_to(const om_literal *value, bool strict)
{
    int side;
    const double near = nearest(value, &side);
    return side < 0 || (side == 0 && strict) ? nextafter(near, -INFINITY) : near;
}

/* ---- Sorting: heapsort, which needs no memory and has no bad inputs ----------------------------- */
/* NOLINTBEGIN(bugprone-macro-parentheses): types and names take none */
#define DEFINE_SORT(name, type, above)                                          \
    static void name##_sift(type *values, size_t root, size_t count)            \
    {                                                                           \
        const type value = values[root];                                        \
        for (size_t child; (child = 2 * root + 1) < count; root = child) {      \
            if (child + 1 < count && above(values[child + 1], values[child])) { \
                child++;                                                        \
            }                                                                   \
            if (!above(values[child], value)) {                                 \
                break;                                                          \
            }                                                                   \
            values[root] = values[child];                                       \
        }                                                                       \
        values[root] = value;                                                   \
    }                                                                           \
    void name(type *values, size_t count)                                       \
    {                                                                           \
        size_t sorted = 1;                                                      \
        while (sorted < count && !above(values[sorted - 1], values[sorted])) {  \
            sorted++;                                                           \
        }                                                                       \
        if (sorted >= count) {                                                  \
            return; /* lists often are in order */                              \
        }                                                                       \
        for (size_t root = count / 2; root-- > 0;) {                            \
            name##_sift(values, root, count);                                   \
        }                                                                       \
        for (size_t end = count - 1; end > 0; end--) {                          \
            const type largest = values[0];                                     \
            values[0] = values[end];                                            \
            values[end] = largest;                                              \
            name##_sift(values, 0, end);                                        \
        }                                                                       \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
#define ABOVE_NUMBER(a, b) ((a) > (b))
#define ABOVE_SLICE(a, b) (om_slice_compare((a), (b)) > 0)
DEFINE_SORT(om_filter_sort_ints, int64_t, ABOVE_NUMBER)
DEFINE_SORT(om_filter_sort_doubles, double, ABOVE_NUMBER)
DEFINE_SORT(om_filter_sort_slices, om_slice, ABOVE_SLICE)
