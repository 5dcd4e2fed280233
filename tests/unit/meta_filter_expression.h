/* meta_filter_expression.h - random rows, kept as meta rows and in SQLite, and random conditions on them in
 * both languages. SPDX-License-Identifier: Apache-2.0 */
#ifndef META_FILTER_EXPRESSION_H
#define META_FILTER_EXPRESSION_H
#include <sqlite3.h>
#include <stdio.h>

#include "schema.h"

enum { VALUE_TEXT = 32, MOST_FIELDS = 20, MOST_BINDS = 4096, MOST_BOUND = 64 };

/* One value of a field or in a condition. */
typedef struct oracle_value {
    uint32_t type; /* OMEN_TYPE_*, no array */
    int64_t integer;
    double number;
    char text[VALUE_TEXT];
    uint32_t length;
} oracle_value;

typedef struct oracle_field {
    const om_field *field;
    uint32_t type;
    uint32_t spread;       /* how many different values */
    uint32_t null_percent; /* of the rows */
} oracle_field;

typedef struct oracle {
    uint64_t random;
    om_schema *schema;
    sqlite3 *db;
    oracle_field fields[MOST_FIELDS];
    uint32_t field_count, count;
    uint8_t **rows;   /* [count] */
    uint8_t *passing; /* [count] of the last question */
} oracle;
void oracle_make(oracle *o, uint64_t seed, uint32_t rows);
void oracle_free(oracle *o);
uint32_t oracle_below(oracle *o, uint32_t bound);
oracle_value oracle_any(oracle *o, uint32_t type, uint32_t spread);

/* A condition: as text with parameters, and as SQL whose values are all bound. */
typedef struct expression {
    char *text, *sql;
    FILE *to_text, *to_sql;
    omen_param *params; /* [param_count] */
    uint32_t param_count;
    oracle_value *binds; /* [bind_count] */
    uint32_t bind_count;
} expression;
expression *expression_make(oracle *o);
void expression_free(expression *x);
/* A byte a row: whether it passes. */
const uint8_t *oracle_ask(oracle *o, const expression *x);

#define ORACLE_NEED(x) oracle_need((x), #x, __LINE__)
void oracle_need(bool holds, const char *what, int line);
#endif
