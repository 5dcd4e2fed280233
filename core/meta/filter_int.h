/* filter_int.h - a compiled condition: what the parser makes and evaluation reads.
 * Depends on: filter.h, metablock_int.h.  Threads: any after compiling.  Locks: none.
 * SPDX-License-Identifier: Apache-2.0
 *
 * NOT is pushed down to the tests while parsing (De Morgan holds in three-valued logic), where it becomes
 * another test or its flag `negate`. What is left are AND and OR over tests: a row passes one of these when
 * it passes all or one of the parts, so that "unknown" needs no bitmap of its own: a test whose field is
 * null does not pass, negated or not. */
#ifndef OM_FILTER_INT_H
#define OM_FILTER_INT_H
#include "filter.h"
#include "metablock_int.h"
#include "simd.h"

/* ---- Compiled ----------------------------------------------------------------------------------- */
typedef struct om_slice {
    const uint8_t *data;
    uint64_t length;
} om_slice;

enum { OM_NODE_CONST = 0, OM_NODE_TEST = 1, OM_NODE_AND = 2, OM_NODE_OR = 3 };
enum {
    OM_TEST_NULL = 0,  /* the field is null                                             */
    OM_TEST_RANGE = 1, /* the value, or an element of it, is in a range                 */
    OM_TEST_SET = 2,   /* ... is one of a set of two or more                            */
    OM_TEST_ALL = 3,   /* arrays: every value of a set of two or more is an element     */
    OM_TEST_EVERY = 4, /* anything that is not null                                     */
    OM_TEST_GEO = 5,
    OM_TEST_NONE = 6 /* nothing: the parser makes a constant of it */
};
/* How values of a type are compared. */
enum { OM_CLASS_NONE = 0, OM_CLASS_INT = 1, OM_CLASS_DOUBLE = 2, OM_CLASS_BYTES = 3 };
/* The ends of a range of bytes. PREFIX at the lower end: what begins with it, and there is no upper one. */
enum { OM_EDGE_NONE = 0, OM_EDGE_OPEN = 1, OM_EDGE_CLOSED = 2, OM_EDGE_PREFIX = 3 };

/* Closed ranges: nothing is in one whose lo is above its hi. */
typedef struct om_range_int {
    int64_t lo, hi;
} om_range_int;
typedef struct om_range_double {
    double lo, hi;
} om_range_double;
typedef struct om_range_bytes {
    om_slice lo, hi;
    uint8_t lo_edge, hi_edge;
} om_range_bytes;
/* Ascending and different; of the class of the test. */
typedef struct om_value_set {
    uint32_t count;
    const int64_t *ints;
    const double *doubles;
    const om_slice *slices;
} om_value_set;
/* Points whose distance to (lat, lon), in degrees, is at most (or below) metres. */
typedef struct om_circle {
    double lat, lon, metres;
    bool closed; /* points at just this distance are in */
    bool none, all;
    double cos_lat;
    double inside, outside; /* haversines surely below and above that of the distance */
    double south, north;    /* all points are in these latitudes, in degrees           */
    double half_width;      /* and at most so many degrees of longitude away; 180: any */
} om_circle;

typedef struct om_test {
    uint16_t field;
    uint16_t type; /* OMEN_TYPE_*, with OMEN_TYPE_ARRAY */
    uint8_t kind;  /* OM_TEST_* */
    uint8_t value_class;
    bool negate;
    uint32_t list_at; /* SET, ALL: where its codes are in the scratch, or OM_LIST_SHARED */
    union {
        om_range_int ints;
        om_range_double doubles;
        om_range_bytes bytes;
        om_value_set set;
        om_circle circle;
    } u;
} om_test;
#define OM_LIST_SHARED UINT32_MAX

typedef struct om_node om_node;
struct om_node {
    uint8_t kind;
    bool pass; /* CONST */
    uint32_t count, index;
    uint32_t order_at;  /* AND: where the order of its children is in the scratch */
    om_node **children; /* [count]; made of `first` and `next` when the group is complete */
    om_node *first, *last, *next;
    om_test test;
};

struct om_predicate {
    const om_alloc *alloc;
    om_arena arena;
    om_node *root;
    uint32_t nodes, levels, places; /* levels: bitmaps that evaluation needs; places: of orders */
    uint32_t listed, shared;        /* codes: in lists of their own, of the longest other one */
};

/* ---- Source text -------------------------------------------------------------------------------- */
enum {
    OM_TOKEN_END,
    OM_TOKEN_WORD,  /* a field or a word of the grammar */
    OM_TOKEN_NAME,  /* a field in double quotes */
    OM_TOKEN_TEXT,  /* 'text' */
    OM_TOKEN_BYTES, /* X'0aff' */
    OM_TOKEN_INT,
    OM_TOKEN_DOUBLE,
    OM_TOKEN_PARAM, /* $1 */
    OM_TOKEN_SIGN   /* one of ( ) , = != < <= > >= */
};
typedef struct om_token {
    uint32_t kind;
    uint32_t sign; /* SIGN: its characters, the first in the low byte */
    size_t at, length;
    const char *inner; /* NAME, TEXT, BYTES: what is between the quotes */
    size_t inner_length;
    bool escaped; /* NAME, TEXT: quotes inside are doubled */
    int64_t integer;
    double number;
    uint32_t param; /* from 0 */
} om_token;
enum { OM_SIGN_NE = '!' | '=' << 8, OM_SIGN_LE = '<' | '=' << 8, OM_SIGN_GE = '>' | '=' << 8 };

/* A parameter that the text uses: checked, copied, sorted and read as a pattern once, whatever the number of
 * its uses. In memory of the predicate. */
typedef struct om_bound_set {
    struct om_bound_set *next;
    uint32_t type; /* of the fields or of their elements */
    void *values;  /* ascending and different, of the class of the type */
    uint32_t count;
    bool lost; /* there are values that equal nothing */
} om_bound_set;
typedef struct om_bound {
    struct om_bound *next;
    uint32_t param;       /* from 0 */
    const uint8_t *bytes; /* STRING and BYTES: those from offsets[0] on */
    om_bound_set *sets;   /* as what it was used in IN and CONTAINS */
    bool patterned, open; /* it was used behind LIKE: what begins with this, or is this */
    om_slice prefix;
} om_bound;

/* A value of the text, or one of a parameter. */
enum { OM_LIT_INT, OM_LIT_DOUBLE, OM_LIT_BOOL, OM_LIT_TEXT, OM_LIT_BYTES, OM_LIT_TIME };
typedef struct om_literal {
    uint32_t kind;
    size_t at; /* byte of the text */
    int64_t integer;
    double number;
    om_slice slice;  /* in memory of the predicate */
    om_bound *bound; /* whose only value it is, or NULL */
} om_literal;
/* Values in a row: literals, or the elements of a parameter. */
typedef struct om_literals {
    const om_literal *list;  /* [count], or NULL: */
    const omen_param *param; /* of this, */
    om_bound *bound;         /* with what is known of it */
    uint32_t count;
    size_t at;
} om_literals;

/* Values of IN and CONTAINS in one condition: a block is asked for each of them. */
enum { OM_FILTER_VALUES = 1 << 20 };

typedef struct om_parse {
    const om_schema *schema;
    const om_predicate_text *in;
    om_predicate *out;
    om_token token;
    om_literal *list; /* [OMEN_MAX_FILTER_TERMS], of one test at a time; NULL: not needed yet */
    om_bound *bound;  /* parameters that were used so far */
    uint64_t values;  /* of sets that are left in the tree */
    uint32_t depth, terms;
    omen_error *err;
} om_parse;

/* filter_lex.c: the token behind the present one. */
omen_status_t om_filter_next(om_parse *parse) OM_NODISCARD;
/* INVALID_ARGUMENT / FILTER_SYNTAX: "byte 12: expected ..., found ...". */
omen_status_t om_filter_expected(om_parse *parse, const char *what);
/* Whether the token is this word of the grammar (capitals). */
bool om_filter_is(const om_token *token, const char *word);
/* filter_value.c: what is between the quotes, in memory of the predicate. */
omen_status_t om_filter_unquote(om_parse *parse, const om_token *token, om_slice *out) OM_NODISCARD;
omen_status_t om_filter_unhex(om_parse *parse, const om_token *token, om_slice *out) OM_NODISCARD;
/* The elements of the parameter at the token, whose bytes then belong to the predicate. */
omen_status_t om_filter_param(om_parse *parse, const om_token *token,
                              om_literals *out) OM_NODISCARD;
om_literal om_filter_value(const om_literals *values, uint32_t i);
/* The least and the largest value of an INT64 or DOUBLE field that passes >= (strict: >) and <= (<). */
bool om_filter_int_from(const om_literal *value, bool strict, int64_t *lo);
bool om_filter_int_to(const om_literal *value, bool strict, int64_t *hi);
double om_filter_double_from(const om_literal *value, bool strict);
double om_filter_double_to(const om_literal *value, bool strict);
void om_filter_sort_ints(int64_t *values, size_t count);
void om_filter_sort_doubles(double *values, size_t count);
void om_filter_sort_slices(om_slice *values, size_t count);

/* filter_bind.c: tests from their parts, checked against the schema. */
enum { OM_OP_EQ, OM_OP_NE, OM_OP_LT, OM_OP_LE, OM_OP_GT, OM_OP_GE };
typedef struct om_test_source {
    const om_field *field;
    size_t at; /* of the field in the text */
    bool negate;
} om_test_source;
omen_status_t om_filter_bind_null(om_parse *parse, const om_test_source *source,
                                  om_test *out) OM_NODISCARD;
omen_status_t om_filter_bind_bool(om_parse *parse, const om_test_source *source,
                                  om_test *out) OM_NODISCARD;
omen_status_t om_filter_bind_compare(om_parse *parse, const om_test_source *source, uint32_t op,
                                     const om_literals *value, om_test *out) OM_NODISCARD;
omen_status_t om_filter_bind_between(om_parse *parse, const om_test_source *source,
                                     const om_literals *from, const om_literals *to,
                                     om_test *out) OM_NODISCARD;
omen_status_t om_filter_bind_like(om_parse *parse, const om_test_source *source,
                                  const om_literals *value, om_test *out) OM_NODISCARD;
/* IN, and CONTAINS (contains) one, any or all. */
typedef struct om_set_source {
    bool contains, all;
    om_literals values;
} om_set_source;
omen_status_t om_filter_bind_set(om_parse *parse, const om_test_source *source,
                                 const om_set_source *set, om_test *out) OM_NODISCARD;
omen_status_t om_filter_bind_distance(om_parse *parse, const om_test_source *source, uint32_t op,
                                      const om_literals place[3], om_test *out) OM_NODISCARD;

/* ---- Evaluation --------------------------------------------------------------------------------- */
static inline int om_slice_compare(om_slice a, om_slice b)
{
    const uint64_t common = a.length < b.length ? a.length : b.length;
    const int order = common == 0 ? 0 : __builtin_memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}
/* Whether one value is in the range or set of a test (filter_row.c). */
bool om_test_has_int(const om_test *test, int64_t value);
bool om_test_has_double(const om_test *test, double value);
bool om_test_has_slice(const om_test *test, om_slice value);

/* filter_geo.c */
void om_circle_make(om_circle *circle);
bool om_circle_has(const om_circle *circle, double lat, double lon);
/* Whether all (1), none (-1) or perhaps some (0) of the points of a square of degrees are in the circle. */
int om_circle_square(const om_circle *circle, const double lat[2], const double lon[2]);
/* The borders of the square of cells [first, first + 4^level), level at most 32. */
void om_geo_square(uint64_t first, uint32_t level, double lat[2], double lon[2]);

/* What a test selects of a block: codes [lo, hi), or a list of codes. `least` and `most` bound the rows
 * that pass, negation included. */
typedef struct om_plan {
    const om_metacolumn *column; /* NULL: all rows are null */
    uint32_t lo, hi;
    uint32_t codes; /* SET, ALL: of the list */
    uint32_t
        values;    /* SET, ALL: of the set that are in the dictionary, 0.0 perhaps with two codes */
    uint32_t rows; /* entries of order that the codes have: rows, but of arrays some twice */
    uint32_t least, most;
} om_plan;

/* A bitmap, and rows when there are few. */
enum { OM_FEW_ROWS = 4096 };
typedef struct om_level {
    uint64_t words[OM_BLOCK_WORDS];
    uint16_t few[OM_FEW_ROWS];
} om_level;

typedef struct om_evaluation {
    const om_predicate *predicate;
    const om_metablock *block;
    const om_kernels *kernels;
    uint32_t rows, words;
    om_plan *plans;   /* [nodes] */
    uint32_t *order;  /* [places] */
    uint32_t *listed; /* [listed + shared] codes */
    om_level *levels; /* [levels] */
} om_evaluation;

/* Costs in tenths of a nanosecond, measured on a Zen 5 core with AVX-512 (FILTERS.md): a row that is set in
 * a bitmap, 64 codes of one byte or two scanned, a bitmap passed over, a row that is taken out of one, and
 * a row of a list that is tested. */
enum {
    OM_COST_ROW = 5,
    OM_COST_SCAN_8 = 6,
    OM_COST_SCAN_16 = 10,
    OM_COST_BITMAP = 1500,
    OM_COST_EXTRACT = 4,
    OM_COST_PROBE = 10
};

/* filter_find.c: where the values of a test are in a dictionary. list NULL: only counted. */
void om_test_find(const om_test *test, const om_metablock *block, uint32_t *list, om_plan *plan);
/* How many of ascending cells are below a bound. */
uint32_t om_cells_below(const uint64_t *cells, uint32_t count, uint64_t bound);
/* filter_test.c: the rows that pass as bits of out[0 .. e->words), and their number. spare: two
 * levels. */
uint32_t om_test_bits(const om_evaluation *e, const om_node *node, uint64_t *out, om_level *spare);
/* Joins (OM_SCAN_AND, OM_SCAN_OR) them with the bits of out; returns how many are set then. */
uint32_t om_test_join(const om_evaluation *e, const om_node *node, uint32_t kind, uint64_t *out,
                      om_level *spare);
void om_bits_all(const om_evaluation *e, uint64_t *out);
void om_bits_set(uint64_t *bits, const uint16_t *rows, uint32_t count);
void om_bits_join(const om_evaluation *e, uint64_t *out, const uint64_t *other, uint32_t kind);
uint32_t om_bits_count(const om_evaluation *e, const uint64_t *bits);
/* Sets or clears the rows of codes [lo, hi). */
void om_bits_touch(uint64_t *bits, bool set, const om_metacolumn *column, uint32_t lo, uint32_t hi);
/* A dense column that holds one code a row, and what a scan of it costs. */
bool om_column_scans(const om_metacolumn *column);
uint32_t om_scan_cost(const om_evaluation *e, const om_metacolumn *column);
/* filter_near.c: sets the rows of points in a circle, of the codes of a plan; or guesses how many there
 * are. */
void om_near_bits(const om_circle *circle, const om_plan *plan, uint64_t *out);
double om_near_guess(const om_circle *circle, const om_plan *plan);
/* filter_few.c: rows one by one. The rows of a test, when they are few and lie ready in the order of the
 * codes; UINT32_MAX: they do not. */
uint32_t om_few_take(const om_evaluation *e, const om_node *node, uint16_t *few);
/* Whether single rows can be tested, and sooner than all of them. */
bool om_few_can(const om_evaluation *e, const om_node *node, uint32_t count);
/* Keeps those rows that pass, in their order; returns how many. */
uint32_t om_few_keep(const om_evaluation *e, const om_node *node, uint16_t *few, uint32_t count);
uint32_t om_few_keep_bits(const uint64_t *bits, uint16_t *few, uint32_t count);
uint32_t om_few_extract(const om_evaluation *e, const uint64_t *bits, uint16_t *few);
#endif
