/* schema.c - the fields of a collection: chunks that never move, found through a table of hashes.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Readers take no lock. A field is written, then its number goes into the table and into the count,
 * both with release: whoever sees the number sees the field. Nothing is ever taken away. */
#include "schema.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "metautf8.h"
#include "op.h"
#include "rng.h"
#include "schema_int.h"

enum { CHUNK = 16, CHUNKS = OMEN_MAX_FIELDS / CHUNK, TABLE = 2 * OMEN_MAX_FIELDS };
_Static_assert((TABLE & (TABLE - 1)) == 0, "the table's mask");
_Static_assert(OMEN_MAX_FIELDS % CHUNK == 0, "whole chunks");

/* Made for the first field: most collections have none, and there may be ten thousand. */
typedef struct om_schema_room {
    _Atomic uint16_t table[TABLE]; /* id + 1; 0: empty; released after the field; readers acquire */
    om_field *chunks[CHUNKS];
} om_schema_room;

struct om_schema {
    const om_alloc *alloc;
    uint64_t seed;
    om_schema_room *_Atomic room; /* released when it is empty; readers acquire */
    _Atomic uint32_t count;       /* released after the field; readers acquire */
};

static om_schema_room *room_of(const om_schema *schema)
{
    return atomic_load_explicit(&schema->room, memory_order_acquire);
}

const char *om_type_name(uint32_t type)
{
    static const char *const plain[] = {"?",    "string", "int64", "double", "bool",
                                        "time", "bytes",  "geo",   "text"};
    static const char *const arrays[] = {"array",           "array of string", "array of int64",
                                         "array of double", "array of bool",   "array of time",
                                         "array of bytes"};
    uint32_t base = type & ~(uint32_t)OMEN_TYPE_ARRAY;
    if ((type & OMEN_TYPE_ARRAY) != 0) {
        return base < sizeof arrays / sizeof arrays[0] ? arrays[base] : "?";
    }
    return base < sizeof plain / sizeof plain[0] ? plain[base] : "?";
}

const char *om_field_name_fault(const char *name, size_t length)
{
    if (length == 0) {
        return "it is empty";
    }
    if (length > OMEN_MAX_FIELD_NAME) {
        return "it is longer than 128 bytes";
    }
    if (om_utf8_valid((const uint8_t *)name, length) != length) {
        return "it is not valid UTF-8";
    }
    if (name[0] == '$') {
        return "names that begin with '$' are reserved";
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)name[i];
        bool high = byte == 0xC2 && (unsigned char)name[i + 1] < 0xA0; /* U+0080 to U+009F */
        if (byte < 0x20 || byte == 0x7F || high) {
            return "it holds a control character";
        }
    }
    return NULL;
}

uint64_t om_field_hash(uint64_t seed, const char *name, size_t length)
{
    uint64_t hash = om_mix64(seed ^ length);
    for (; length > 8; length -= 8, name += 8) {
        uint64_t word;
        memcpy(&word, name, 8);
        hash = om_mix64(hash ^ word);
    }
    uint64_t last = 0;
    memcpy(&last, name, length);
    return om_mix64(hash ^ last);
}

omen_status_t om_schema_create(const om_alloc *alloc, om_schema **out, omen_error *err)
{
    om_schema *schema = om_alloc_zero(alloc, 1, sizeof *schema, _Alignof(om_schema));
    if (schema == NULL) {
        return om_fail_memory(err, "the fields of a collection", sizeof *schema);
    }
    schema->alloc = alloc;
    schema->seed = om_mix64((uint64_t)(uintptr_t)schema ^ om_mix64(om_now_ns()));
    *out = schema;
    return OMEN_OK;
}

void om_schema_free(om_schema *schema)
{
    if (schema == NULL) {
        return;
    }
    const om_alloc *alloc = schema->alloc;
    om_schema_room *room = room_of(schema);
    for (uint32_t i = 0; room != NULL && i < CHUNKS; i++) {
        om_alloc_put(alloc, room->chunks[i], CHUNK * sizeof(om_field), _Alignof(om_field));
    }
    om_alloc_put(alloc, room, sizeof *room, _Alignof(om_schema_room));
    om_alloc_put(alloc, schema, sizeof *schema, _Alignof(om_schema));
}

uint32_t om_schema_count(const om_schema *schema)
{
    return atomic_load_explicit(&schema->count, memory_order_acquire);
}

const om_field *om_schema_at(const om_schema *schema, uint32_t id)
{
    return &room_of(schema)->chunks[id / CHUNK][id % CHUNK];
}

const om_field *om_schema_find(const om_schema *schema, const char *name, size_t length)
{
    om_schema_room *room = room_of(schema);
    if (room == NULL) {
        return NULL;
    }
    uint32_t at = (uint32_t)om_field_hash(schema->seed, name, length) % TABLE;
    for (;; at = (at + 1) % TABLE) {
        uint16_t word = atomic_load_explicit(&room->table[at], memory_order_acquire);
        if (word == 0) {
            return NULL;
        }
        const om_field *field = &room->chunks[(word - 1u) / CHUNK][(word - 1u) % CHUNK];
        if (field->name_length == length && memcmp(field->name, name, length) == 0) {
            return field;
        }
    }
}

static omen_status_t bad_field(omen_error *err, const om_field *field, const char *what)
{
    return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_FIELD, "field '%.*s': %s",
                   OM_NAME_ARGS(field->name, field->name_length), what);
}

/* The options of a TEXT; other types have none. */
static omen_status_t check_text(const omen_field *in, om_field *out, omen_error *err)
{
    bool text = in->type == OMEN_TYPE_TEXT;
    size_t length = strnlen(in->language, sizeof in->language);
    if (!text && (in->flags != 0 || in->weight != 0 || length != 0)) {
        return bad_field(err, out, "flags, weight and language are for the type text only");
    }
    if ((in->flags & ~(uint32_t)(OMEN_FIELD_STOP_WORDS | OMEN_FIELD_NO_STEMMING)) != 0) {
        return bad_field(err, out, "unknown flags");
    }
    if (!isfinite(in->weight) || in->weight < 0) {
        return bad_field(err, out, "the weight must be a finite number above 0 (or 0: 1)");
    }
    if (length == sizeof in->language) {
        return bad_field(err, out, "the language is longer than 27 bytes");
    }
    for (size_t i = 0; i < length; i++) {
        char c = in->language[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) {
            return bad_field(err, out, "the language must be a name of a stemmer as \"english\"");
        }
    }
    out->flags = in->flags;
    out->weight = text && in->weight == 0 ? 1.0f : in->weight;
    memcpy(out->language, text && length == 0 ? "english" : in->language,
           text && length == 0 ? sizeof "english" : length);
    return OMEN_OK;
}

omen_status_t om_field_check(const omen_field *in, om_field *out, omen_error *err)
{
    size_t length = strnlen(in->name, sizeof in->name);
    const char *fault = om_field_name_fault(in->name, length);
    if (fault != NULL) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_FIELD,
                       "the name of a field cannot be used: %s", fault);
    }
    om_field field = {.id = OM_NO_FIELD, .name_length = (uint32_t)length};
    memcpy(field.name, in->name, length);
    uint32_t base = in->type & ~(uint32_t)OMEN_TYPE_ARRAY;
    bool array = (in->type & OMEN_TYPE_ARRAY) != 0;
    if (base < OMEN_TYPE_STRING || base > (array ? OMEN_TYPE_BYTES : OMEN_TYPE_TEXT)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "field '%.*s': %u is not the type of a field",
                       OM_NAME_ARGS(field.name, field.name_length), in->type);
    }
    field.type = (uint16_t)in->type;
    omen_status_t status = check_text(in, &field, err);
    if (status == OMEN_OK) {
        *out = field;
    }
    return status;
}

void om_field_describe(const om_field *field, omen_field *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->name, field->name, field->name_length);
    out->type = field->type;
    out->flags = field->flags;
    out->weight = field->weight;
    memcpy(out->language, field->language, sizeof out->language);
}

bool om_field_same(const om_field *a, const om_field *b)
{
    return a->type == b->type && a->flags == b->flags && a->weight == b->weight &&
           strcmp(a->language, b->language) == 0;
}

omen_status_t om_schema_reserve(om_schema *schema, uint32_t extra, omen_error *err)
{
    uint32_t count = om_schema_count(schema);
    if (extra > OMEN_MAX_FIELDS - count) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "metadata: %u fields and %u more are above the limit of %u fields", count,
                       extra, OMEN_MAX_FIELDS);
    }
    om_schema_room *room = room_of(schema);
    if (room == NULL && extra != 0) {
        room = om_alloc_zero(schema->alloc, 1, sizeof *room, _Alignof(om_schema_room));
        if (room == NULL) {
            return om_fail_memory(err, "fields of the metadata", sizeof *room);
        }
        atomic_store_explicit(&schema->room, room, memory_order_release);
    }
    for (uint32_t i = count / CHUNK; i * CHUNK < count + extra; i++) {
        if (room->chunks[i] == NULL) {
            room->chunks[i] =
                om_alloc_zero(schema->alloc, CHUNK, sizeof(om_field), _Alignof(om_field));
        }
        if (room->chunks[i] == NULL) {
            return om_fail_memory(err, "fields of the metadata", CHUNK * sizeof(om_field));
        }
    }
    return OMEN_OK;
}

omen_status_t om_schema_add(om_schema *schema, om_field *field, omen_error *err)
{
    const om_field *there = om_schema_find(schema, field->name, field->name_length);
    if (there != NULL && !om_field_same(there, field)) {
        return om_fail(err, OMEN_ALREADY_EXISTS, OMEN_D_FIELD,
                       "field '%.*s' is there already, as %s%s",
                       OM_NAME_ARGS(field->name, field->name_length), om_type_name(there->type),
                       there->type == field->type ? " with other options" : "");
    }
    if (there != NULL) {
        field->id = there->id;
        return OMEN_OK;
    }
    omen_status_t status = om_schema_reserve(schema, 1, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint32_t id = om_schema_count(schema);
    field->id = (uint16_t)id;
    om_schema_room *room = room_of(schema);
    room->chunks[id / CHUNK][id % CHUNK] = *field;
    uint32_t at = (uint32_t)om_field_hash(schema->seed, field->name, field->name_length) % TABLE;
    while (atomic_load_explicit(&room->table[at], memory_order_relaxed) != 0) {
        at = (at + 1) % TABLE;
    }
    atomic_store_explicit(&room->table[at], (uint16_t)(id + 1), memory_order_release);
    atomic_store_explicit(&schema->count, id + 1, memory_order_release);
    return OMEN_OK;
}
