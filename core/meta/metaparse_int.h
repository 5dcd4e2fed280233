/* metaparse_int.h - one batch of JSON objects on its way to meta rows: the state that its parts share.
 * Depends on: metarow.h.  Threads: one.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METAPARSE_INT_H
#define OM_METAPARSE_INT_H
#include "metarow_int.h"

/* A value of the item that is being parsed. */
typedef struct om_parsed {
    uint16_t field; /* id, or OM_FIELD_ADDED + place */
    uint16_t type;  /* 0: null; OMEN_TYPE_ARRAY alone: an empty array of a field without a type */
    uint32_t size;
    size_t offset; /* in payload */
} om_parsed;

/* What a field that the batch adds has been through; beside om_meta_rows.added. Its type there is 0
 * until an accepted item has a value, and OMEN_TYPE_ARRAY alone while these are empty arrays. */
typedef struct om_added {
    uint32_t slot;  /* in the table of names */
    uint16_t place; /* where settling moves it; OM_NO_FIELD: it goes */
    bool inexact;   /* has an integer that no double holds */
    bool widened;   /* was INT64 and is DOUBLE: some rows hold integers */
} om_added;

typedef struct om_metaparse {
    const om_alloc *alloc;
    const om_schema *schema;
    uint32_t known; /* fields of the schema when parsing began: later ones are not looked at */
    bool patch;
    om_meta_rows *rows;
    om_bytes out;      /* the bytes of rows */
    omen_error *error; /* never NULL */
    /* The text of the item. */
    uint64_t item;
    const uint8_t *from, *at, *end;
    /* The field that is being parsed, for messages. */
    const char *name;
    uint32_t name_length;
    /* What the item has so far. */
    om_parsed *entries;
    uint32_t entry_count, entry_capacity;
    om_bytes payload;
    om_bytes key, text, ends; /* an unescaped name; bytes and ends of the strings of an array */
    uint16_t *next; /* [known + 1] the field that followed a field last time; [known]: the first */
    /* Fields that the batch adds. */
    om_added *added; /* [added_capacity] */
    uint32_t added_capacity;
    uint16_t *names; /* place + 1 by hash */
    uint64_t seed;
    uint32_t typed; /* of them that have a type */
    bool loose;     /* some row has an empty array of a field that had no type then */
} om_metaparse;
enum { OM_ADDED_NAMES = 16384, OM_ADDED_MOST = OM_ADDED_NAMES / 2 };

/* INVALID_ARGUMENT for the item at the byte where the parser is. */
omen_status_t om_metaparse_bad(om_metaparse *parse, int32_t detail, const char *format, ...)
    OM_PRINTF(3, 4);

/* JSON: all move parse->at. */
void om_metaparse_skip(om_metaparse *parse);
static inline void om_metaparse_space(om_metaparse *parse)
{
    if (parse->at < parse->end && *parse->at <= ' ') {
        om_metaparse_skip(parse);
    }
}
static inline bool om_metaparse_take(om_metaparse *parse, char c)
{
    bool there = parse->at < parse->end && *parse->at == (uint8_t)c;
    parse->at += there;
    return there;
}
/* Appends the string whose opening quote is behind; out is not parse->key of a name in use. */
omen_status_t om_metaparse_string(om_metaparse *parse, om_bytes *out);
/* The name whose opening quote is behind: parse->name, in the text itself when it has no escapes. */
omen_status_t om_metaparse_name(om_metaparse *parse);
typedef struct om_json_number {
    bool whole;    /* no point and no exponent */
    bool fits;     /* whole, and an int64 */
    int64_t value; /* when it fits */
    const char *text;
    size_t length;
} om_json_number;
omen_status_t om_metaparse_number(om_metaparse *parse, om_json_number *out);
bool om_metaparse_word(om_metaparse *parse, const char *word, size_t length);

/* A type that a value is expected to have. */
typedef struct om_want {
    uint16_t type; /* 0: any */
    bool soft;     /* INT64 may become DOUBLE */
    bool inexact;  /* but then some integer of the batch would be rounded */
} om_want;
/* The value at parse->at (not a null) into payload; *type is what it became. */
omen_status_t om_metaparse_value(om_metaparse *parse, om_want want, uint16_t *type);

/* After the last item: the fields that the batch adds get one type each in all rows; names without a
 * value go. */
void om_metaparse_settle(om_metaparse *parse);
/* Integers of a payload (INT64 or an array of it): whether doubles hold all of them; and makes them
 * doubles. */
bool om_meta_widens(const uint8_t *payload, uint32_t size);
void om_meta_widen(uint8_t *payload, uint32_t size);
#endif
