/* meta_filter_oracle.c - random rows as meta rows and in SQLite. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "meta_filter_expression.h"
#include "meta_filter_fixture.h"
#include "rng.h"

void oracle_need(bool holds, const char *what, int line)
{
    if (!holds) {
        fprintf(stderr, "oracle: line %d: %s\n", line, what);
        abort();
    }
}

uint32_t oracle_below(oracle *o, uint32_t bound)
{
    return om_rng_below(&o->random, bound);
}

/* ---- Values ------------------------------------------------------------------------------------- */
/* Where ints and doubles meet, and their ends. */
static const int64_t ints[] = {0,
                               1,
                               -1,
                               2,
                               3,
                               7,
                               INT64_C(9007199254740991),
                               INT64_C(9007199254740992),
                               INT64_C(9007199254740993),
                               INT64_C(-9007199254740993),
                               INT64_C(9223372036854774784),
                               INT64_MAX - 1,
                               INT64_MAX,
                               INT64_MIN,
                               INT64_MIN + 1,
                               100};
static const double doubles[] = {0.0,
                                 -0.0,
                                 1.0,
                                 1.5,
                                 -1.0,
                                 2.0,
                                 2.5,
                                 5e-324,
                                 -5e-324,
                                 9007199254740992.0,
                                 9007199254740994.0,
                                 9223372036854775808.0,
                                 -9223372036854775808.0,
                                 9223372036854774784.0,
                                 1e300,
                                 -1.7976931348623157e308};
static const char *const texts[] = {
    "",      "a", "ab",   "abc",         "b",   "it's", "a%b", "a_b",
    "\"q\"", "ü", "日本", "back\\slash", "ab'", "A",    "abd", "\xf0\x9f\x98\x80"};
static const char *const blobs[] = {"", "a", "\xff", "\xff\xfe", "ab", "\x01", "abc", "\x80z"};
#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

oracle_value oracle_any(oracle *o, uint32_t type, uint32_t spread)
{
    const uint32_t v = oracle_below(o, spread);
    const bool pool = spread <= 16;
    oracle_value value = {.type = type};
    switch (type) {
    case OMEN_TYPE_BOOL:
        value.integer = v & 1;
        break;
    case OMEN_TYPE_TIME:
        value.integer = INT64_C(1760000000000000) + (int64_t)v * 40000125;
        break;
    case OMEN_TYPE_DOUBLE:
        value.number = pool ? doubles[v % COUNT(doubles)] : (double)v * 0.25 - 40;
        break;
    case OMEN_TYPE_INT64:
        value.integer = pool ? ints[v % COUNT(ints)] : (int64_t)v * 3 - 200;
        break;
    default:
        if (!pool) {
            value.length = (uint32_t)snprintf(value.text, VALUE_TEXT, "w%05u", v * 7);
        } else {
            const char *from =
                type == OMEN_TYPE_BYTES ? blobs[v % COUNT(blobs)] : texts[v % COUNT(texts)];
            value.length = (uint32_t)strlen(from);
            memcpy(value.text, from, value.length);
        }
        break;
    }
    return value;
}

/* ---- SQLite ------------------------------------------------------------------------------------- */
static double radians(double degrees)
{
    return degrees * (3.14159265358979323846 / 180);
}

/* The haversine formula as it is in the books. */
static void distance(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    double v[4];
    for (int i = 0; i < argc; i++) {
        if (sqlite3_value_type(argv[i]) == SQLITE_NULL) {
            sqlite3_result_null(ctx);
            return;
        }
        v[i] = radians(sqlite3_value_double(argv[i]));
    }
    const double lat = sin((v[2] - v[0]) / 2), lon = sin((v[3] - v[1]) / 2);
    const double a = lat * lat + cos(v[0]) * cos(v[2]) * lon * lon;
    sqlite3_result_double(ctx, 2 * 6371008.8 * asin(sqrt(a < 1 ? a : 1)));
}

static void bind(sqlite3_stmt *statement, int at, const oracle_value *value)
{
    int rc;
    switch (value->type) {
    case OMEN_TYPE_DOUBLE:
        rc = sqlite3_bind_double(statement, at, value->number);
        break;
    case OMEN_TYPE_STRING:
        rc = sqlite3_bind_text(statement, at, value->text, (int)value->length, SQLITE_STATIC);
        break;
    case OMEN_TYPE_BYTES:
        rc = sqlite3_bind_blob(statement, at, value->text, (int)value->length, SQLITE_STATIC);
        break;
    default:
        rc = sqlite3_bind_int64(statement, at, value->integer);
        break;
    }
    ORACLE_NEED(rc == SQLITE_OK);
}

const uint8_t *oracle_ask(oracle *o, const expression *x)
{
    char *sql = sqlite3_mprintf("SELECT i FROM t WHERE %s", x->sql);
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(o->db, sql, -1, &statement, NULL);
    if (rc != SQLITE_OK) {
        fprintf(stderr, "%s\n%s\n", sqlite3_errmsg(o->db), sql);
    }
    ORACLE_NEED(rc == SQLITE_OK);
    ORACLE_NEED(sqlite3_bind_parameter_count(statement) == (int)x->bind_count);
    for (uint32_t i = 0; i < x->bind_count; i++) {
        bind(statement, (int)i + 1, &x->binds[i]);
    }
    memset(o->passing, 0, o->count);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        o->passing[sqlite3_column_int64(statement, 0)] = 1;
    }
    ORACLE_NEED(rc == SQLITE_DONE);
    sqlite3_finalize(statement);
    sqlite3_free(sql);
    return o->passing;
}

/* ---- Rows --------------------------------------------------------------------------------------- */
/* One element of an array as JSON. Bytes are written as hexadecimal digits. */
static void print_element(FILE *json, const oracle_value *value)
{
    switch (value->type) {
    case OMEN_TYPE_DOUBLE:
        fprintf(json, "%.17g", value->number);
        return;
    case OMEN_TYPE_STRING:
        fputc('"', json);
        for (uint32_t i = 0; i < value->length; i++) {
            fprintf(json, value->text[i] == '"' || value->text[i] == '\\' ? "\\%c" : "%c",
                    value->text[i]);
        }
        fputc('"', json);
        return;
    case OMEN_TYPE_BYTES:
        fputc('"', json);
        for (uint32_t i = 0; i < value->length; i++) {
            fprintf(json, "%02x", (uint8_t)value->text[i]);
        }
        fputc('"', json);
        return;
    default:
        fprintf(json, "%lld", (long long)value->integer);
        return;
    }
}

/* An array: given to the row, and to SQLite as JSON. */
static void make_array(oracle *o, const oracle_field *field, row_maker *maker, sqlite3_stmt *insert,
                       int column)
{
    enum { LONGEST = 6 };
    oracle_value values[LONGEST];
    const char *strings[LONGEST];
    uint32_t lengths[LONGEST];
    uint64_t words[LONGEST];
    char *json = NULL;
    size_t size;
    FILE *out = open_memstream(&json, &size);
    ORACLE_NEED(out != NULL);
    const uint32_t count = oracle_below(o, LONGEST + 1);
    fputc('[', out);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = oracle_any(o, field->type & 0xff, field->spread);
        strings[i] = values[i].text;
        lengths[i] = values[i].length;
        memcpy(&words[i],
               values[i].type == OMEN_TYPE_DOUBLE ? (const void *)&values[i].number
                                                  : (const void *)&values[i].integer,
               8);
        fputs(i == 0 ? "" : ",", out);
        print_element(out, &values[i]);
    }
    fputc(']', out);
    fclose(out);
    if ((field->type & 0xff) == OMEN_TYPE_STRING || (field->type & 0xff) == OMEN_TYPE_BYTES) {
        row_strings(maker, field->field, strings, lengths, count);
    } else {
        row_array(maker, field->field, words, count);
    }
    ORACLE_NEED(sqlite3_bind_text(insert, column, json, (int)size, SQLITE_TRANSIENT) == SQLITE_OK);
    free(json);
}

static double degrees(oracle *o, double most)
{
    /* Some at the poles, at the date line, at the origin, and near each other. */
    switch (oracle_below(o, 10)) {
    case 0:
        return oracle_below(o, 2) == 0 ? most : -most;
    case 1:
        return 0;
    case 2:
    case 3:
    case 4:
        return most - 0.001 * oracle_below(o, 1000);
    default:
        return most * (oracle_below(o, 2000001) / 1e6 - 1);
    }
}

static void make_geo(oracle *o, const oracle_field *field, row_maker *maker, sqlite3_stmt *insert,
                     int column)
{
    const double lat = degrees(o, 90), lon = degrees(o, 180);
    row_geo(maker, field->field, lat, lon);
    ORACLE_NEED(sqlite3_bind_double(insert, column, lat) == SQLITE_OK);
    ORACLE_NEED(sqlite3_bind_double(insert, column + MOST_FIELDS, lon) == SQLITE_OK);
}

static void make_row(oracle *o, sqlite3_stmt *insert, uint32_t i)
{
    row_maker maker;
    oracle_value bound[MOST_FIELDS];
    row_begin(&maker);
    ORACLE_NEED(sqlite3_reset(insert) == SQLITE_OK && sqlite3_clear_bindings(insert) == SQLITE_OK);
    ORACLE_NEED(sqlite3_bind_int64(insert, 1, i) == SQLITE_OK);
    for (uint32_t f = 0; f < o->field_count; f++) {
        const oracle_field *field = &o->fields[f];
        const int column = (int)f + 2;
        if (oracle_below(o, 100) < field->null_percent) {
            continue;
        }
        if ((field->type & OMEN_TYPE_ARRAY) != 0) {
            make_array(o, field, &maker, insert, column);
            continue;
        }
        if (field->type == OMEN_TYPE_GEO) {
            make_geo(o, field, &maker, insert, column);
            continue;
        }
        oracle_value *value = &bound[f];
        *value = oracle_any(o, field->type == OMEN_TYPE_TEXT ? OMEN_TYPE_STRING : field->type,
                            field->spread);
        bind(insert, column, value);
        if (value->type == OMEN_TYPE_STRING || value->type == OMEN_TYPE_BYTES) {
            row_value(&maker, field->field, value->text, value->length);
        } else if (value->type == OMEN_TYPE_DOUBLE) {
            row_double(&maker, field->field, value->number);
        } else {
            row_int(&maker, field->field, value->integer);
        }
    }
    ORACLE_NEED(sqlite3_step(insert) == SQLITE_DONE);
    o->rows[i] = row_end(&maker);
}

/* A field of every type, and more of those that are compared; how many values it has, and nulls, differ. */
static void make_fields(oracle *o)
{
    static const uint32_t types[] = {OMEN_TYPE_STRING,
                                     OMEN_TYPE_INT64,
                                     OMEN_TYPE_DOUBLE,
                                     OMEN_TYPE_BOOL,
                                     OMEN_TYPE_TIME,
                                     OMEN_TYPE_BYTES,
                                     OMEN_TYPE_GEO,
                                     OMEN_TYPE_TEXT,
                                     OMEN_TYPE_STRING | OMEN_TYPE_ARRAY,
                                     OMEN_TYPE_INT64 | OMEN_TYPE_ARRAY,
                                     OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY,
                                     OMEN_TYPE_TIME | OMEN_TYPE_ARRAY,
                                     OMEN_TYPE_BYTES | OMEN_TYPE_ARRAY,
                                     OMEN_TYPE_BOOL | OMEN_TYPE_ARRAY,
                                     OMEN_TYPE_INT64,
                                     OMEN_TYPE_DOUBLE,
                                     OMEN_TYPE_STRING,
                                     OMEN_TYPE_GEO};
    static const uint32_t spreads[] = {2, 16, 16, 200, 3000, 60000};
    static const uint32_t nulls[] = {0, 0, 10, 50, 97, 100};
    o->field_count = COUNT(types);
    for (uint32_t f = 0; f < o->field_count; f++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%u", f);
        oracle_field *field = &o->fields[f];
        field->type = types[f];
        field->field = schema_field(o->schema, name, types[f]);
        field->spread = spreads[oracle_below(o, COUNT(spreads))];
        field->null_percent = nulls[oracle_below(o, COUNT(nulls))];
        if (types[f] == (OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY)) {
            field->spread = om_max_u32(field->spread, 17); /* JSON keeps only plain ones exactly */
        }
    }
}

void oracle_make(oracle *o, uint64_t seed, uint32_t rows)
{
    sqlite3_stmt *insert;
    *o = (oracle){.random = om_mix64(seed), .count = rows};
    o->schema = schema_new();
    make_fields(o);
    o->rows = calloc(rows, sizeof *o->rows);
    o->passing = calloc(rows, 1);
    ORACLE_NEED(o->rows != NULL && o->passing != NULL);
    ORACLE_NEED(sqlite3_open(":memory:", &o->db) == SQLITE_OK);
    ORACLE_NEED(sqlite3_create_function(o->db, "distance", 4, SQLITE_UTF8, NULL, distance, NULL,
                                        NULL) == SQLITE_OK);
    char create[2048] = "CREATE TABLE t(i INTEGER PRIMARY KEY";
    char fill[1024] = "INSERT INTO t VALUES(?";
    for (uint32_t f = 0; f < 2 * MOST_FIELDS; f++) {
        const size_t at = strlen(create);
        (void)snprintf(create + at, sizeof create - at, f < MOST_FIELDS ? ",c%u" : ",lon%u",
                       f % MOST_FIELDS);
        strcat(fill, ",?");
    }
    strcat(create, ");BEGIN");
    strcat(fill, ")");
    ORACLE_NEED(sqlite3_exec(o->db, create, NULL, NULL, NULL) == SQLITE_OK);
    ORACLE_NEED(sqlite3_prepare_v2(o->db, fill, -1, &insert, NULL) == SQLITE_OK);
    for (uint32_t i = 0; i < rows; i++) {
        make_row(o, insert, i);
    }
    sqlite3_finalize(insert);
    ORACLE_NEED(sqlite3_exec(o->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
}

void oracle_free(oracle *o)
{
    for (uint32_t i = 0; i < o->count; i++) {
        free(o->rows[i]);
    }
    free(o->rows);
    free(o->passing);
    sqlite3_close(o->db);
    om_schema_free(o->schema);
}
