/* filter_lex.c - the words, values and signs of a condition, and what is said when another was expected.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "filter_int.h"
#include "metatime.h"
#include "metautf8.h"

enum { SHOWN = 32 };

/* ---- Errors ------------------------------------------------------------------------------------- */
omen_status_t om_filter_expected(om_parse *parse, const char *what)
{
    if (parse->token.kind == OM_TOKEN_END) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX,
                       "filter, byte %zu: expected %s, found its end", parse->token.at, what);
    }
    const char *text = parse->in->text + parse->token.at;
    return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX,
                   "filter, byte %zu: expected %s, found %.*s", parse->token.at, what,
                   om_utf8_cut(text, parse->token.length, SHOWN), text);
}

static omen_status_t refuse(om_parse *parse, size_t at, const char *what)
{
    return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX, "filter, byte %zu: %s",
                   at, what);
}

/* ---- Characters --------------------------------------------------------------------------------- */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters of all scripts: everything beyond ASCII counts. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The character `ahead` bytes behind the token's first one; 0 behind the end. */
static char peek(const om_parse *parse, size_t ahead)
{
    const size_t at = parse->token.at + ahead;
    if (at >= parse->in->length) {
        return '\0';
    }
    return parse->in->text[at];
}

bool om_filter_is(const om_token *token, const char *word)
{
    if (token->kind != OM_TOKEN_WORD || token->length != strlen(word)) {
        return false;
    }
    for (size_t i = 0; i < token->length; i++) {
        const char c = token->inner[i];
        if (c != word[i] && (c < 'a' || c > 'z' || c - 'a' != word[i] - 'A')) {
            return false;
        }
    }
    return true;
}

/* ---- Tokens ------------------------------------------------------------------------------------- */
/* What begins with a quote `skip` bytes behind the token's first one. */
static omen_status_t lex_quoted(om_parse *parse, uint32_t kind, size_t skip)
{
    om_token *token = &parse->token;
    const char quote = peek(parse, skip);
    token->kind = kind;
    token->inner = parse->in->text + token->at + skip + 1;
    size_t length = skip + 1;
    while (token->at + length < parse->in->length) {
        if (peek(parse, length) == quote) {
            if (peek(parse, length + 1) != quote || kind == OM_TOKEN_BYTES) {
                token->inner_length = length - skip - 1;
                token->length = length + 1;
                return OMEN_OK;
            }
            token->escaped = true;
            length++;
        }
        length++;
    }
    return refuse(parse, token->at, "expected a closing quote, found the end of the filter");
}

/* The end of a number that begins at the token; *real: it has a point or an exponent. 0: none. */
static size_t number_length(const om_parse *parse, bool *real)
{
    size_t length = peek(parse, 0) == '-' ? 1 : 0;
    const size_t digits = length;
    while (is_digit(peek(parse, length))) {
        length++;
    }
    if (length == digits) {
        return 0;
    }
    if (peek(parse, length) == '.' && is_digit(peek(parse, length + 1))) {
        *real = true;
        for (length++; is_digit(peek(parse, length)); length++) {
        }
    }
    if (peek(parse, length) == 'e' || peek(parse, length) == 'E') {
        size_t exponent = length + 1;
        exponent += peek(parse, exponent) == '-' || peek(parse, exponent) == '+' ? 1 : 0;
        if (is_digit(peek(parse, exponent))) {
            *real = true;
            for (length = exponent; is_digit(peek(parse, length)); length++) {
            }
        }
    }
    return length;
}

/* An integer, unless it does not fit. */
static bool parse_int(const char *text, size_t length, int64_t *out)
{
    const bool negative = text[0] == '-';
    int64_t value = 0;
    for (size_t i = negative ? 1 : 0; i < length; i++) {
        const int64_t digit = text[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) {
            return false; /* counted downwards: the least one has no positive counterpart */
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *out = negative ? value : -value;
    return true;
}

/* Integers beyond 64 bits are doubles, like in JSON. */
static omen_status_t lex_number(om_parse *parse)
{
    om_token *token = &parse->token;
    bool real = false;
    token->length = number_length(parse, &real);
    if (token->length == 0 || is_letter(peek(parse, token->length)) ||
        peek(parse, token->length) == '.') {
        token->length += token->length == 0 ? 1 : 0;
        return refuse(parse, token->at, "expected a number such as 12, -1.5 or 2e6");
    }
    const char *text = parse->in->text + token->at;
    token->kind = OM_TOKEN_INT;
    if (!real && parse_int(text, token->length, &token->integer)) {
        return OMEN_OK;
    }
    if (token->length > OM_NUMBER_TEXT) {
        return refuse(parse, token->at, "expected a number of at most 1024 characters");
    }
    token->kind = OM_TOKEN_DOUBLE;
    if (!om_double_parse(text, token->length, &token->number)) {
        return refuse(parse, token->at, "expected a number of at most 1.797e308");
    }
    return OMEN_OK;
}

static omen_status_t lex_param(om_parse *parse)
{
    om_token *token = &parse->token;
    uint32_t number = 0;
    token->kind = OM_TOKEN_PARAM;
    for (token->length = 1; is_digit(peek(parse, token->length)); token->length++) {
        number = number * 10 + (uint32_t)(peek(parse, token->length) - '0');
        if (number > OMEN_MAX_PARAMS) {
            break;
        }
    }
    if (number == 0 || number > OMEN_MAX_PARAMS) {
        return refuse(parse, token->at, "expected a parameter of $1 to $1024");
    }
    if (number > parse->in->param_count) {
        return om_fail(
            parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX,
            "filter, byte %zu: expected a parameter that is bound, found $%u, and %llu are",
            token->at, number, (unsigned long long)parse->in->param_count);
    }
    token->param = number - 1;
    return OMEN_OK;
}

static omen_status_t lex_sign(om_parse *parse)
{
    om_token *token = &parse->token;
    const char first = peek(parse, 0);
    token->kind = OM_TOKEN_SIGN;
    token->sign = (uint8_t)first;
    token->length = 1;
    if (peek(parse, 1) == '=' && (first == '!' || first == '<' || first == '>')) {
        token->sign |= '=' << 8;
        token->length = 2;
    }
    if (token->sign == '!' || strchr("(),=!<>", first) == NULL || first == '\0') {
        return om_filter_expected(parse, "a field, a value or one of ( ) , = != < <= > >=");
    }
    return OMEN_OK;
}

omen_status_t om_filter_next(om_parse *parse)
{
    size_t at = parse->token.at + parse->token.length;
    while (at < parse->in->length && is_space(parse->in->text[at])) {
        at++;
    }
    parse->token = (om_token){.kind = OM_TOKEN_END, .at = at};
    if (at == parse->in->length) {
        return OMEN_OK;
    }
    const char first = parse->in->text[at];
    if ((first == 'x' || first == 'X') && peek(parse, 1) == '\'') {
        return lex_quoted(parse, OM_TOKEN_BYTES, 1);
    }
    if (is_letter(first)) {
        parse->token.kind = OM_TOKEN_WORD;
        parse->token.inner = parse->in->text + at;
        size_t length = 1;
        while (is_letter(peek(parse, length)) || is_digit(peek(parse, length)) ||
               peek(parse, length) == '.') {
            length++;
        }
        parse->token.length = parse->token.inner_length = length;
        return OMEN_OK;
    }
    if (is_digit(first) || first == '-' || first == '.') {
        return lex_number(parse);
    }
    switch (first) {
    case '"':
        return lex_quoted(parse, OM_TOKEN_NAME, 0);
    case '\'':
        return lex_quoted(parse, OM_TOKEN_TEXT, 0);
    case '$':
        return lex_param(parse);
    default:
        return lex_sign(parse);
    }
}
