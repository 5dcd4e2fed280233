/* guard.c - an iterative walk over wire bytes with the message descriptor at hand.
 * SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <string.h>

/* One open message: its type, where it ends, and which singular message fields it has had. */
typedef struct frame {
    const ProtobufCMessageDescriptor *type; /* NULL: not known, not entered */
    const uint8_t *end;
    uint64_t seen;
} frame;
typedef struct walk {
    frame stack[OM_GUARD_DEPTH];
    uint32_t depth;
    uint32_t fields;
    const uint8_t *at;
    const ProtobufCMessageDescriptor *root;
    om_failure *failure;
} walk;

static bool refuse(walk *w, const char *field, const char *why)
{
    return om_failure_set(w->failure, OMEN_INVALID_ARGUMENT, "MALFORMED", field,
                          "%s is malformed: %s", w->root->short_name, why);
}

static bool read_varint(walk *w, const uint8_t *end, uint64_t *value)
{
    uint64_t v = 0;
    for (uint32_t shift = 0; shift < 70; shift += 7) {
        if (w->at == end) {
            return refuse(w, NULL, "it ends inside a number");
        }
        uint8_t byte = *w->at++;
        if (shift == 63 && byte > 1) {
            return refuse(w, NULL, "a number has more than 64 bits");
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = v;
            return true;
        }
    }
    return refuse(w, NULL, "a number has more than 10 bytes");
}

/* Bookkeeping for a message-typed field: a singular one may occur once. */
static bool enter_message(walk *w, const ProtobufCFieldDescriptor *field, size_t size)
{
    frame *top = &w->stack[w->depth - 1];
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        size_t index = (size_t)(field - top->type->fields);
        if (index >= 64 || (top->seen >> index & 1) != 0) {
            return refuse(w, field->name, "a field that may occur once occurs twice");
        }
        top->seen |= 1ull << index;
    }
    if (w->depth == OM_GUARD_DEPTH) {
        return refuse(w, field->name, "messages are nested deeper than 32");
    }
    w->stack[w->depth++] = (frame){field->descriptor, w->at + size, 0};
    return true;
}

static bool length_delimited(walk *w, const ProtobufCFieldDescriptor *field, const uint8_t *end)
{
    uint64_t size = 0;
    if (!read_varint(w, end, &size)) {
        return false;
    }
    if (size > (uint64_t)(end - w->at)) {
        return refuse(w, field != NULL ? field->name : NULL, "a field is longer than its message");
    }
    if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return enter_message(w, field, (size_t)size);
    }
    if (field != NULL && field->type == PROTOBUF_C_TYPE_STRING &&
        !om_utf8_valid(w->at, (size_t)size)) {
        return refuse(w, field->name, "text is not UTF-8, or contains NUL");
    }
    w->at += size;
    return true;
}

static bool one_field(walk *w)
{
    const frame *top = &w->stack[w->depth - 1];
    uint64_t tag = 0;
    uint64_t ignored = 0;
    if (!read_varint(w, top->end, &tag)) {
        return false;
    }
    if (tag >> 3 == 0 || tag > UINT32_MAX) {
        return refuse(w, NULL, "a field has a number that does not exist");
    }
    if (++w->fields > OM_GUARD_FIELDS) {
        return refuse(w, NULL, "it has more than 100000 fields");
    }
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(top->type, (unsigned)(tag >> 3));
    size_t fixed = (tag & 7) == 1 ? 8 : 4;
    switch (tag & 7) {
    case 0:
        return read_varint(w, top->end, &ignored);
    case 1:
    case 5:
        if ((size_t)(top->end - w->at) < fixed) {
            return refuse(w, NULL, "it ends inside a number");
        }
        w->at += fixed;
        return true;
    case 2:
        return length_delimited(w, field, top->end);
    default:
        return refuse(w, NULL, "a field has a wire type that does not exist");
    }
}

bool om_guard_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                    om_failure *f)
{
    walk w = {.depth = 1, .at = data, .root = type, .failure = f};
    w.stack[0] = (frame){type, data + size, 0};
    while (w.depth > 0) {
        if (w.at == w.stack[w.depth - 1].end) {
            w.depth--;
        } else if (!one_field(&w)) {
            return false;
        }
    }
    return true;
}
