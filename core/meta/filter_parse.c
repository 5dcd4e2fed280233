/* filter_parse.c - the grammar of conditions by recursive descent, bounded in text, depth and terms. NOT is
 * carried down to the tests on the way. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "filter_int.h"
#include "metautf8.h"

enum { LIST_BYTES = OMEN_MAX_FILTER_TERMS * sizeof(om_literal) };

static omen_status_t parse_group(om_parse *parse, bool negate, uint32_t kind, om_node **out);

/* ---- Nodes -------------------------------------------------------------------------------------- */
static omen_status_t new_node(om_parse *parse, uint32_t kind, om_node **out)
{
    om_node *node = om_arena_get(&parse->out->arena, sizeof *node, _Alignof(om_node));
    if (node == NULL) {
        return om_fail_memory(parse->err, "filter", sizeof *node);
    }
    memset(node, 0, sizeof *node);
    node->kind = (uint8_t)kind;
    *out = node;
    return OMEN_OK;
}

/* Two ranges of one field as one: what is written as a >= 1 AND a < 5. */
static bool intersect(om_test *into, const om_test *other)
{
    if (into->kind != OM_TEST_RANGE || other->kind != OM_TEST_RANGE || into->negate ||
        other->negate || into->field != other->field || (into->type & OMEN_TYPE_ARRAY) != 0) {
        return false; /* two elements of an array may meet them */
    }
    if (into->value_class == OM_CLASS_INT) {
        om_range_int *a = &into->u.ints;
        const om_range_int *b = &other->u.ints;
        a->lo = a->lo > b->lo ? a->lo : b->lo;
        a->hi = a->hi < b->hi ? a->hi : b->hi;
        return true;
    }
    if (into->value_class == OM_CLASS_DOUBLE) {
        om_range_double *a = &into->u.doubles;
        const om_range_double *b = &other->u.doubles;
        a->lo = a->lo > b->lo ? a->lo : b->lo;
        a->hi = a->hi < b->hi ? a->hi : b->hi;
        return true;
    }
    return false;
}

/* Whether two tests ask the same of the same bound array. */
static bool same_set(const om_test *a, const om_test *b)
{
    return (a->kind == OM_TEST_SET || a->kind == OM_TEST_ALL) && a->kind == b->kind &&
           a->field == b->field && a->negate == b->negate && a->u.set.ints == b->u.set.ints &&
           a->u.set.doubles == b->u.set.doubles && a->u.set.slices == b->u.set.slices;
}

/* Puts a part into a group; parts of the same kind become parts of the group itself. */
static void append(om_node *group, om_node *part)
{
    enum { LOOK_BACK = 16 };
    if (part->kind == group->kind) {
        for (om_node *inner = part->first, *next; inner != NULL; inner = next) {
            next = inner->next;
            inner->next = NULL;
            append(group, inner);
        }
        return;
    }
    uint32_t looked = 0;
    for (om_node *other = group->first;
         part->kind == OM_NODE_TEST && other != NULL && looked < LOOK_BACK;
         other = other->next, looked++) {
        if (other->kind == OM_NODE_TEST &&
            (same_set(&other->test, &part->test) ||
             (group->kind == OM_NODE_AND && intersect(&other->test, &part->test)))) {
            return;
        }
    }
    if (group->first == NULL) {
        group->first = part;
    } else {
        group->last->next = part;
    }
    group->last = part;
    group->count++;
}

/* A group without constants: one that decides takes its place, others go. */
static om_node *simplify(om_node *group)
{
    om_node *part = group->first;
    const bool decides = group->kind == OM_NODE_OR;
    group->first = group->last = NULL;
    group->count = 0;
    for (om_node *next; part != NULL; part = next) {
        next = part->next;
        part->next = NULL;
        if (part->kind == OM_NODE_CONST && part->pass == decides) {
            return part;
        }
        if (part->kind != OM_NODE_CONST) {
            append(group, part);
        }
    }
    if (group->count == 0) {
        group->kind = OM_NODE_CONST;
        group->pass = !decides;
    }
    return group->count == 1 ? group->first : group;
}

/* ---- Values ------------------------------------------------------------------------------------- */
static omen_status_t count_term(om_parse *parse)
{
    if (++parse->terms > OMEN_MAX_FILTER_TERMS) {
        return om_fail(
            parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
            "filter, byte %zu: more than %u conditions and list elements (bind an array: IN $1)",
            parse->token.at, OMEN_MAX_FILTER_TERMS);
    }
    return OMEN_OK;
}

/* The literal at the token, which is no parameter. */
static omen_status_t parse_literal(om_parse *parse, om_literal *out)
{
    const om_token *token = &parse->token;
    *out = (om_literal){.at = token->at, .integer = token->integer, .number = token->number};
    switch (token->kind) {
    case OM_TOKEN_INT:
        out->kind = OM_LIT_INT;
        break;
    case OM_TOKEN_DOUBLE:
        out->kind = OM_LIT_DOUBLE;
        break;
    case OM_TOKEN_TEXT:
        out->kind = OM_LIT_TEXT;
        return om_filter_unquote(parse, token, &out->slice);
    case OM_TOKEN_BYTES:
        out->kind = OM_LIT_BYTES;
        return om_filter_unhex(parse, token, &out->slice);
    default:
        out->kind = OM_LIT_BOOL;
        out->integer = om_filter_is(token, "TRUE");
        if (om_filter_is(token, "NULL")) {
            return om_filter_expected(parse, "a value (null is asked for with IS NULL)");
        }
        if (!om_filter_is(token, "TRUE") && !om_filter_is(token, "FALSE")) {
            return om_filter_expected(parse, "a value ('text', number, TRUE, FALSE, X'00' or $1)");
        }
        break;
    }
    return OMEN_OK;
}

/* One value, in *slot; a parameter must have just one. */
static omen_status_t parse_value(om_parse *parse, om_literal *slot)
{
    omen_status_t status;
    if (parse->token.kind == OM_TOKEN_PARAM) {
        om_literals values;
        OM_TRY(om_filter_param(parse, &parse->token, &values));
        if (values.count != 1) {
            return om_fail(
                parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                "filter, byte %zu: $%u has %u values where one is wanted (IN $%u takes many)",
                parse->token.at, parse->token.param + 1, values.count, parse->token.param + 1);
        }
        *slot = om_filter_value(&values, 0);
    } else {
        OM_TRY(parse_literal(parse, slot));
    }
    return om_filter_next(parse);
out:
    return status;
}

static omen_status_t parse_one(om_parse *parse, om_literal *slot, om_literals *out)
{
    *out = (om_literals){.list = slot, .count = 1, .at = parse->token.at};
    return parse_value(parse, slot);
}

static omen_status_t expect_sign(om_parse *parse, uint32_t sign, const char *what)
{
    if (parse->token.kind != OM_TOKEN_SIGN || parse->token.sign != sign) {
        return om_filter_expected(parse, what);
    }
    return om_filter_next(parse);
}

/* ( value, ... ) or $n. The first value belongs to the condition's own term. */
static omen_status_t parse_list(om_parse *parse, om_literals *out)
{
    omen_status_t status;
    uint32_t count = 0;
    const size_t at = parse->token.at;
    if (parse->token.kind == OM_TOKEN_PARAM) {
        OM_TRY(om_filter_param(parse, &parse->token, out));
        return om_filter_next(parse);
    }
    OM_TRY(expect_sign(parse, '(', "'(' and values, or a parameter"));
    if (parse->list == NULL) {
        parse->list = om_alloc_get(parse->out->alloc, LIST_BYTES, _Alignof(om_literal));
        if (parse->list == NULL) {
            return om_fail_memory(parse->err, "filter", LIST_BYTES);
        }
    }
    for (;;) {
        if (count > 0) {
            OM_TRY(count_term(parse));
        }
        om_assert(count < OMEN_MAX_FILTER_TERMS);
        OM_TRY(parse_value(parse, &parse->list[count]));
        count++;
        if (parse->token.kind != OM_TOKEN_SIGN || parse->token.sign != ',') {
            break;
        }
        OM_TRY(om_filter_next(parse));
    }
    *out = (om_literals){.list = parse->list, .count = count, .at = at};
    return expect_sign(parse, ')', "',' or ')'");
out:
    return status;
}

/* ---- Tests -------------------------------------------------------------------------------------- */
/* Words that stand for themselves where a field could begin. */
static bool is_reserved(const om_token *token)
{
    static const char *const words[] = {"AND",  "OR",       "NOT",  "IN",   "BETWEEN", "IS",
                                        "LIKE", "CONTAINS", "NULL", "TRUE", "FALSE"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (om_filter_is(token, words[i])) {
            return true;
        }
    }
    return false;
}

static omen_status_t parse_field(om_parse *parse, om_test_source *out)
{
    const om_token *token = &parse->token;
    om_slice name = {(const uint8_t *)token->inner, token->inner_length};
    omen_status_t status;
    if (token->kind == OM_TOKEN_WORD && is_reserved(token)) {
        return om_filter_expected(parse,
                                  "a field (in double quotes when it is called like a word of the "
                                  "grammar)");
    }
    if (token->kind != OM_TOKEN_WORD && token->kind != OM_TOKEN_NAME) {
        return om_filter_expected(parse, "a field, NOT, '(' or DISTANCE(");
    }
    if (token->escaped) {
        OM_TRY(om_filter_unquote(parse, token, &name));
    }
    out->at = token->at;
    out->field = om_schema_find(parse->schema, (const char *)name.data, name.length);
    if (out->field == NULL) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_FIELD,
                       "filter, byte %zu: no field is called \"%.*s\"", token->at,
                       OM_NAME_ARGS((const char *)name.data, name.length));
    }
    return om_filter_next(parse);
out:
    return status;
}

/* The operator at the token; OM_OP_GE + 1: none. */
static uint32_t operator_of(const om_token *token)
{
    static const uint32_t signs[] = {'=', OM_SIGN_NE, '<', OM_SIGN_LE, '>', OM_SIGN_GE};
    uint32_t op = 0;
    while (op <= OM_OP_GE && (token->kind != OM_TOKEN_SIGN || token->sign != signs[op])) {
        op++;
    }
    return op;
}

/* DISTANCE(field, lat, lon) < metres, from the parenthesis on. */
static omen_status_t parse_distance(om_parse *parse, om_test_source *source, om_test *out)
{
    om_literal slots[3];
    om_literals place[3];
    omen_status_t status;
    OM_TRY(expect_sign(parse, '(', "'('"));
    OM_TRY(parse_field(parse, source));
    OM_TRY(expect_sign(parse, ',', "',' and a latitude"));
    OM_TRY(parse_one(parse, &slots[0], &place[0]));
    OM_TRY(expect_sign(parse, ',', "',' and a longitude"));
    OM_TRY(parse_one(parse, &slots[1], &place[1]));
    OM_TRY(expect_sign(parse, ')', "')'"));
    const uint32_t op = operator_of(&parse->token);
    if (op < OM_OP_LT || op > OM_OP_GE) {
        return om_filter_expected(parse, "one of < <= > >= and a distance in metres");
    }
    OM_TRY(om_filter_next(parse));
    OM_TRY(parse_one(parse, &slots[2], &place[2]));
    return om_filter_bind_distance(parse, source, op, place, out);
out:
    return status;
}

/* IS [NOT] NULL, from IS on. */
static omen_status_t parse_is(om_parse *parse, om_test_source *source, om_test *out)
{
    omen_status_t status;
    OM_TRY(om_filter_next(parse));
    if (om_filter_is(&parse->token, "NOT")) {
        source->negate = !source->negate;
        OM_TRY(om_filter_next(parse));
    }
    if (!om_filter_is(&parse->token, "NULL")) {
        return om_filter_expected(parse, "NULL or NOT NULL");
    }
    OM_TRY(om_filter_next(parse));
    return om_filter_bind_null(parse, source, out);
out:
    return status;
}

static omen_status_t parse_contains(om_parse *parse, const om_test_source *source, om_test *out)
{
    om_set_source set = {.contains = true, .all = om_filter_is(&parse->token, "ALL")};
    om_literal slot;
    omen_status_t status;
    if (set.all || om_filter_is(&parse->token, "ANY")) {
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_list(parse, &set.values));
    } else {
        OM_TRY(parse_one(parse, &slot, &set.values));
    }
    return om_filter_bind_set(parse, source, &set, out);
out:
    return status;
}

/* The tests that are words: [NOT] IN, BETWEEN, LIKE, CONTAINS. *known: it was one of them. */
static omen_status_t parse_word_test(om_parse *parse, om_test_source *source, om_test *out,
                                     bool *known)
{
    om_literal slots[2];
    om_literals from, to;
    om_set_source set = {0};
    omen_status_t status = OMEN_OK;
    *known = true;
    if (om_filter_is(&parse->token, "NOT")) {
        source->negate = !source->negate;
        OM_TRY(om_filter_next(parse));
    }
    if (om_filter_is(&parse->token, "IN")) {
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_list(parse, &set.values));
        return om_filter_bind_set(parse, source, &set, out);
    }
    if (om_filter_is(&parse->token, "BETWEEN")) {
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_one(parse, &slots[0], &from));
        if (!om_filter_is(&parse->token, "AND")) {
            return om_filter_expected(parse, "AND and the upper end of BETWEEN");
        }
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_one(parse, &slots[1], &to));
        return om_filter_bind_between(parse, source, &from, &to, out);
    }
    if (om_filter_is(&parse->token, "LIKE")) {
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_one(parse, &slots[0], &from));
        return om_filter_bind_like(parse, source, &from, out);
    }
    if (om_filter_is(&parse->token, "CONTAINS")) {
        OM_TRY(om_filter_next(parse));
        return parse_contains(parse, source, out);
    }
    *known = false;
out:
    return status;
}

/* Whether a field may stand alone in front of the token. */
static bool ends_test(const om_token *token)
{
    return token->kind == OM_TOKEN_END || om_filter_is(token, "AND") || om_filter_is(token, "OR") ||
           (token->kind == OM_TOKEN_SIGN && token->sign == ')');
}

/* What follows a field. */
static omen_status_t parse_field_test(om_parse *parse, om_test_source *source, om_test *out)
{
    om_literal slot;
    om_literals value;
    omen_status_t status;
    const uint32_t op = operator_of(&parse->token);
    const bool denied = om_filter_is(&parse->token, "NOT");
    bool known;
    if (op <= OM_OP_GE) {
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_one(parse, &slot, &value));
        return om_filter_bind_compare(parse, source, op, &value, out);
    }
    if (ends_test(&parse->token)) {
        return om_filter_bind_bool(parse, source, out);
    }
    if (om_filter_is(&parse->token, "IS")) {
        return parse_is(parse, source, out);
    }
    OM_TRY(parse_word_test(parse, source, out, &known));
    if (!known) {
        return om_filter_expected(
            parse, denied ? "IN, BETWEEN, LIKE or CONTAINS"
                          : "a comparison, [NOT] IN, BETWEEN, LIKE or CONTAINS, or IS");
    }
out:
    return status;
}

/* DISTANCE is only a word when a parenthesis follows. */
static bool is_distance(const om_parse *parse)
{
    om_parse ahead = *parse;
    ahead.err = NULL;
    return om_filter_is(&parse->token, "DISTANCE") && om_filter_next(&ahead) == OMEN_OK &&
           ahead.token.kind == OM_TOKEN_SIGN && ahead.token.sign == '(';
}

static omen_status_t parse_test(om_parse *parse, bool negate, om_node **out)
{
    om_test_source source = {.negate = negate};
    omen_status_t status;
    OM_TRY(count_term(parse));
    if (om_filter_is(&parse->token, "TRUE") || om_filter_is(&parse->token, "FALSE")) {
        OM_TRY(new_node(parse, OM_NODE_CONST, out));
        (*out)->pass = om_filter_is(&parse->token, "TRUE") != negate;
        return om_filter_next(parse);
    }
    OM_TRY(new_node(parse, OM_NODE_TEST, out));
    if (is_distance(parse)) {
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_distance(parse, &source, &(*out)->test));
    } else {
        OM_TRY(parse_field(parse, &source));
        OM_TRY(parse_field_test(parse, &source, &(*out)->test));
    }
    if ((*out)->test.kind == OM_TEST_NONE) {
        (*out)->kind = OM_NODE_CONST;
        (*out)->pass = false;
    }
out:
    return status;
}

/* ---- Groups ------------------------------------------------------------------------------------- */
static omen_status_t deeper(om_parse *parse)
{
    if (++parse->depth > OMEN_MAX_FILTER_DEPTH) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "filter, byte %zu: parentheses and NOTs nest deeper than %u",
                       parse->token.at, OMEN_MAX_FILTER_DEPTH);
    }
    return OMEN_OK;
}

static omen_status_t parse_not(om_parse *parse, bool negate, om_node **out)
{
    const uint32_t depth = parse->depth;
    omen_status_t status;
    if (om_filter_is(&parse->token, "NOT")) {
        negate = !negate;
        OM_TRY(deeper(parse));
        OM_TRY(om_filter_next(parse));
    }
    if (parse->token.kind == OM_TOKEN_SIGN && parse->token.sign == '(') {
        OM_TRY(deeper(parse));
        OM_TRY(om_filter_next(parse));
        OM_TRY(parse_group(parse, negate, OM_NODE_OR, out));
        OM_TRY(expect_sign(parse, ')', "AND, OR or ')'"));
    } else {
        OM_TRY(parse_test(parse, negate, out));
    }
    parse->depth = depth;
out:
    return status;
}

/* Parts joined by OR, or by AND; under a NOT the group is of the other kind. */
static omen_status_t parse_group(om_parse *parse, bool negate, uint32_t kind, om_node **out)
{
    const char *word = kind == OM_NODE_OR ? "OR" : "AND";
    om_node *group = NULL;
    om_node *part = NULL;
    omen_status_t status;
    OM_TRY(new_node(parse, (kind == OM_NODE_OR) != negate ? OM_NODE_OR : OM_NODE_AND, &group));
    for (;;) {
        if (kind == OM_NODE_OR) {
            OM_TRY(parse_group(parse, negate, OM_NODE_AND, &part));
        } else {
            OM_TRY(parse_not(parse, negate, &part));
        }
        append(group, part);
        if (!om_filter_is(&parse->token, word)) {
            break;
        }
        OM_TRY(om_filter_next(parse));
    }
    *out = simplify(group);
out:
    return status;
}

/* ---- The whole ---------------------------------------------------------------------------------- */
/* Numbers the nodes, makes arrays of their children and sums up what evaluation will need. */
static omen_status_t lay_out(om_parse *parse, om_node *node, uint32_t level)
{
    om_predicate *out = parse->out;
    omen_status_t status = OMEN_OK;
    node->index = out->nodes++;
    out->levels = om_max_u32(out->levels, level + 1);
    if (node->kind == OM_NODE_TEST &&
        (node->test.kind == OM_TEST_SET || node->test.kind == OM_TEST_ALL)) {
        /* Every value is in a dictionary once, but 0.0 perhaps twice. */
        enum { MOST_LISTED = 1 << 18 };
        const uint32_t codes = node->test.u.set.count + 1;
        parse->values += node->test.u.set.count;
        if (parse->values > OM_FILTER_VALUES) {
            return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                           "filter: its lists have more than %u values in all, a bound array "
                           "counted wherever it is used",
                           (uint32_t)OM_FILTER_VALUES);
        }
        const bool own = out->listed + codes <= MOST_LISTED;
        node->test.list_at = own ? out->listed : OM_LIST_SHARED;
        out->listed += own ? codes : 0;
        out->shared = own ? out->shared : om_max_u32(out->shared, codes);
    }
    if (node->count == 0) {
        return OMEN_OK;
    }
    const size_t size = node->count * sizeof(om_node *);
    node->children = om_arena_get(&out->arena, size, _Alignof(om_node *));
    if (node->children == NULL) {
        return om_fail_memory(parse->err, "filter", size);
    }
    node->order_at = out->places;
    out->places += node->count;
    uint32_t i = 0;
    for (om_node *child = node->first; status == OMEN_OK && child != NULL; child = child->next) {
        node->children[i++] = child;
        status = lay_out(parse, child, level + 1);
    }
    om_assert(status != OMEN_OK || i == node->count);
    return status;
}

static omen_status_t parse_all(om_parse *parse)
{
    const om_predicate_text *in = parse->in;
    omen_status_t status;
    if (in->length > OMEN_MAX_FILTER) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "filter: %zu bytes, and %u are the most", in->length, OMEN_MAX_FILTER);
    }
    if (in->param_count > OMEN_MAX_PARAMS) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "filter: %llu parameters, and %u are the most",
                       (unsigned long long)in->param_count, OMEN_MAX_PARAMS);
    }
    const size_t valid = om_utf8_valid((const uint8_t *)in->text, in->length);
    if (valid != in->length) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX,
                       "filter, byte %zu: expected UTF-8, found a byte 0x%02x that is none", valid,
                       (uint8_t)in->text[valid]);
    }
    OM_TRY(om_filter_next(parse));
    OM_TRY(parse_group(parse, false, OM_NODE_OR, &parse->out->root));
    if (parse->token.kind != OM_TOKEN_END) {
        return om_filter_expected(parse, "AND, OR or the end");
    }
    return lay_out(parse, parse->out->root, 0);
out:
    return status;
}

omen_status_t om_predicate_compile(const om_alloc *alloc, const om_schema *schema,
                                   const om_predicate_text *text, om_predicate **out,
                                   omen_error *err)
{
    enum { CHUNK = 4096 };
    om_predicate *predicate = om_alloc_zero(alloc, 1, sizeof *predicate, _Alignof(om_predicate));
    if (predicate == NULL) {
        return om_fail_memory(err, "filter", sizeof *predicate);
    }
    predicate->alloc = alloc;
    om_arena_init(&predicate->arena, alloc, CHUNK);
    om_parse parse = {.schema = schema, .in = text, .out = predicate, .err = err};
    const omen_status_t status = parse_all(&parse);
    om_alloc_put(alloc, parse.list, LIST_BYTES, _Alignof(om_literal));
    if (status != OMEN_OK) {
        om_predicate_free(predicate);
        return status;
    }
    *out = predicate;
    return OMEN_OK;
}

void om_predicate_free(om_predicate *predicate)
{
    if (predicate != NULL) {
        om_arena_free(&predicate->arena);
        om_alloc_put(predicate->alloc, predicate, sizeof *predicate, _Alignof(om_predicate));
    }
}

size_t om_predicate_bytes(const om_predicate *predicate)
{
    return sizeof *predicate + om_arena_bytes(&predicate->arena);
}
