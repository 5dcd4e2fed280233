/* cursors.c - where every stream stands, and the newest request ids. SPDX-License-Identifier: Apache-2.0
 *
 * Streams are written ascending by collection and id, so that a file that has one twice is told while it is
 * read, whatever its ids are. Requests keep the order in which they came; the reader sorts numbers of them
 * for the same check. */
#include <stdalign.h>
#include <string.h>

#include "manifest_int.h"
#include "order.h"
#include "segfile.h"

typedef struct cursors_header {
    om_head head;
    uint64_t lsn;
    uint32_t cursors, requests;
    uint32_t body_crc;
    uint32_t header_crc;
} cursors_header;
_Static_assert(sizeof(cursors_header) == 64, "header of cursors");

typedef struct packed_cursor { /* then the id, zeros up to a multiple of 8 */
    uint32_t collection, length;
    uint64_t last_seq, last_version, epoch, used_wall_ns;
    uint32_t crc, reserved;
} packed_cursor;
_Static_assert(sizeof(packed_cursor) == 48, "cursor");

typedef struct packed_request { /* likewise */
    uint32_t collection, length;
    uint64_t version, applied, replaced, refused;
} packed_request;
_Static_assert(sizeof(packed_request) == 40, "request");
_Static_assert(OMEN_MAX_STREAM_ID == OMEN_MAX_REQUEST_ID, "one limit for both kinds of ids");

const om_head_kind om_cursors_kind = {.what = "file of cursors",
                                      .magic = "\x89OMENCU\n",
                                      .format = 1,
                                      .header_bytes = sizeof(cursors_header)};

void om_cursors_free(const om_alloc *alloc, om_cursors *cursors)
{
    om_alloc_put(alloc, cursors->cursors, cursors->cursor_count * sizeof *cursors->cursors,
                 alignof(om_cursor));
    om_alloc_put(alloc, cursors->requests, cursors->request_count * sizeof *cursors->requests,
                 alignof(om_request));
    *cursors = (om_cursors){0};
}

/* ---- Order ---- */
typedef struct mark { /* whose it is */
    uint32_t collection, length;
    const char *id;
} mark;

static int compare(const mark *a, const mark *b)
{
    if (a->collection != b->collection) {
        return a->collection < b->collection ? -1 : 1;
    }
    int order = memcmp(a->id, b->id, om_min_u32(a->length, b->length));
    if (order == 0 && a->length != b->length) {
        order = a->length < b->length ? -1 : 1;
    }
    return order;
}

static mark cursor_mark(const om_cursors *from, uint32_t i)
{
    const om_cursor *c = &from->cursors[i];
    return (mark){.collection = c->collection, .length = c->length, .id = c->id};
}

static mark request_mark(const om_cursors *from, uint32_t i)
{
    const om_request *r = &from->requests[i];
    return (mark){.collection = r->collection, .length = r->length, .id = r->id};
}

static int compare_cursors(const void *from, uint32_t a, uint32_t b)
{
    const mark left = cursor_mark(from, a), right = cursor_mark(from, b);
    return compare(&left, &right);
}

static int compare_requests(const void *from, uint32_t a, uint32_t b)
{
    const mark left = request_mark(from, a), right = request_mark(from, b);
    return compare(&left, &right);
}

/* What is being checked: messages bear the name, `wrong` is the status of what breaks a rule. */
typedef struct rules {
    const om_cursors *from;
    const char *name;
    omen_status_t wrong;
    omen_error *err;
} rules;

static void free_order(const om_alloc *alloc, uint32_t *order, uint32_t count)
{
    om_alloc_put(alloc, order, order == NULL ? 0 : count * sizeof *order, alignof(uint32_t));
}

/* The numbers 0 to count - 1 in the order of their marks, of which no two may be equal. */
static omen_status_t make_order(const om_alloc *alloc, const rules *r, om_order_compare compare_at,
                                uint32_t count, uint32_t **out)
{
    *out = NULL;
    if (count == 0) {
        return OMEN_OK;
    }
    uint32_t *order = om_alloc_get(alloc, count * sizeof *order, alignof(uint32_t));
    if (order == NULL) {
        return om_fail_memory(r->err, "order of cursors", count * sizeof *order);
    }
    om_order_sort(order, count, compare_at, r->from);
    for (uint32_t i = 1; i < count; i++) {
        if (compare_at(r->from, order[i - 1], order[i]) == 0) {
            uint32_t twice = order[i];
            free_order(alloc, order, count);
            return om_fail(r->err, r->wrong, OMEN_D_NONE,
                           "%s: the id of %s %u is there twice in its collection", r->name,
                           compare_at == compare_cursors ? "stream" : "request", twice);
        }
    }
    *out = order;
    return OMEN_OK;
}

static omen_status_t check_mark(const rules *r, const char *what, uint32_t index, const mark *m)
{
    if (m->collection == 0) {
        return om_fail(r->err, r->wrong, OMEN_D_NONE, "%s: %s %u belongs to no collection", r->name,
                       what, index);
    }
    if (m->length == 0 || m->length > OMEN_MAX_STREAM_ID) {
        return om_fail(r->err, r->wrong, OMEN_D_LIMIT,
                       "%s: id of %s %u has %u bytes, must have 1 to %u", r->name, what, index,
                       m->length, OMEN_MAX_STREAM_ID);
    }
    return OMEN_OK;
}

/* ---- Writing ---- */
static size_t padded(uint32_t length)
{
    return om_round_up(length, 8);
}

static omen_status_t measure(const rules *r, uint64_t *total)
{
    omen_status_t status = OMEN_OK;
    const om_cursors *from = r->from;
    if (from->cursor_count > OM_CURSORS_MAX_STREAMS ||
        from->request_count > OM_CURSORS_MAX_REQUESTS) {
        return om_fail(r->err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "%s: %u streams and %u requests, the limits are %d and %d", r->name,
                       from->cursor_count, from->request_count, OM_CURSORS_MAX_STREAMS,
                       OM_CURSORS_MAX_REQUESTS);
    }
    uint64_t bytes = sizeof(cursors_header);
    for (uint32_t i = 0; i < from->cursor_count; i++) {
        const mark m = cursor_mark(from, i);
        OM_TRY(check_mark(r, "stream", i, &m));
        bytes += sizeof(packed_cursor) + padded(m.length);
    }
    for (uint32_t i = 0; i < from->request_count; i++) {
        const mark m = request_mark(from, i);
        OM_TRY(check_mark(r, "request", i, &m));
        bytes += sizeof(packed_request) + padded(m.length);
    }
    *total = bytes;
out:
    return status;
}

static uint8_t *put(uint8_t *at, const void *record, size_t bytes, const mark *m)
{
    memcpy(at, record, bytes);
    at += bytes;
    memset(at, 0, padded(m->length));
    memcpy(at, m->id, m->length);
    return at + padded(m->length);
}

static void put_cursors(uint8_t *bytes, size_t size, const om_cursors *from, const uint32_t *order)
{
    cursors_header header = {
        .lsn = from->lsn, .cursors = from->cursor_count, .requests = from->request_count};
    uint8_t *at = bytes + sizeof header;
    for (uint32_t i = 0; i < from->cursor_count; i++) {
        const om_cursor *c = &from->cursors[order[i]];
        const mark m = cursor_mark(from, order[i]);
        const packed_cursor one = {.collection = c->collection,
                                   .length = c->length,
                                   .last_seq = c->last_seq,
                                   .last_version = c->last_version,
                                   .epoch = c->epoch,
                                   .used_wall_ns = c->used_wall_ns,
                                   .crc = c->crc};
        at = put(at, &one, sizeof one, &m);
    }
    for (uint32_t i = 0; i < from->request_count; i++) {
        const om_request *r = &from->requests[i];
        const mark m = request_mark(from, i);
        const packed_request one = {.collection = r->collection,
                                    .length = r->length,
                                    .version = r->version,
                                    .applied = r->applied,
                                    .replaced = r->replaced,
                                    .refused = r->refused};
        at = put(at, &one, sizeof one, &m);
    }
    om_assert(at == bytes + size);
    header.body_crc = om_crc32c(0, bytes + sizeof header, size - sizeof header);
    memcpy(bytes, &header, sizeof header);
    om_head_begin(&om_cursors_kind, bytes, size);
    om_head_seal(&om_cursors_kind, bytes);
}

omen_status_t om_cursors_write(const om_io *io, const om_alloc *alloc, const char *path,
                               const om_cursors *cursors, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const rules r = {
        .from = cursors, .name = om_path_tail(path), .wrong = OMEN_INTERNAL, .err = err};
    uint32_t *streams = NULL, *requests = NULL;
    uint8_t *bytes = NULL;
    uint64_t total = 0;
    OM_TRY(measure(&r, &total));
    OM_TRY(make_order(alloc, &r, compare_cursors, cursors->cursor_count, &streams));
    OM_TRY(make_order(alloc, &r, compare_requests, cursors->request_count, &requests));
    bytes = om_alloc_get(alloc, (size_t)total, 8);
    if (bytes == NULL) {
        status = om_fail_memory(err, "cursors", total);
        goto out;
    }
    put_cursors(bytes, (size_t)total, cursors, streams);
    /* The manifest that names them goes into the same folder, which is synced then. */
    status = om_io_put(io, path, bytes, (size_t)total, err);
out:
    om_alloc_put(alloc, bytes, bytes == NULL ? 0 : (size_t)total, 8);
    free_order(alloc, requests, cursors->request_count);
    free_order(alloc, streams, cursors->cursor_count);
    return status;
}

/* ---- Reading ---- */
typedef struct reader {
    rules rules;
    const uint8_t *at;
    size_t left;
} reader;

/* A record that begins with collection and length, and its id. */
static omen_status_t take(reader *r, const char *what, uint32_t index, void *record, size_t bytes,
                          char *id)
{
    uint32_t begin[2];
    if (r->left < bytes) {
        return om_fail(r->rules.err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: %s %u needs %zu bytes, but only %zu are left", r->rules.name, what,
                       index, bytes, r->left);
    }
    memcpy(begin, r->at, sizeof begin);
    memcpy(record, r->at, bytes);
    r->at += bytes;
    r->left -= bytes;
    const mark m = {.collection = begin[0], .length = begin[1], .id = id};
    omen_status_t status = check_mark(&r->rules, what, index, &m);
    if (status != OMEN_OK) {
        return status;
    }
    if (r->left < padded(m.length)) {
        return om_fail(r->rules.err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: id of %s %u needs %zu bytes, but only %zu are left", r->rules.name,
                       what, index, padded(m.length), r->left);
    }
    memcpy(id, r->at, m.length);
    r->at += padded(m.length);
    r->left -= padded(m.length);
    return OMEN_OK;
}

static omen_status_t take_cursors(reader *r, om_cursors *out)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < out->cursor_count; i++) {
        om_cursor *c = &out->cursors[i];
        packed_cursor one = {0};
        OM_TRY(take(r, "stream", i, &one, sizeof one, c->id));
        c->collection = one.collection;
        c->length = one.length;
        c->last_seq = one.last_seq;
        c->last_version = one.last_version;
        c->epoch = one.epoch;
        c->used_wall_ns = one.used_wall_ns;
        c->crc = one.crc;
        if (i > 0 && compare_cursors(out, i - 1, i) >= 0) {
            return om_fail(r->rules.err, OMEN_DATA_LOSS, OMEN_D_NONE,
                           "%s: stream %u does not stand behind the one before it", r->rules.name,
                           i);
        }
    }
out:
    return status;
}

static omen_status_t take_requests(reader *r, om_cursors *out)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < out->request_count; i++) {
        om_request *request = &out->requests[i];
        packed_request one = {0};
        OM_TRY(take(r, "request", i, &one, sizeof one, request->id));
        request->collection = one.collection;
        request->length = one.length;
        request->version = one.version;
        request->applied = one.applied;
        request->replaced = one.replaced;
        request->refused = one.refused;
    }
out:
    return status;
}

static omen_status_t check_body(const rules *r, const cursors_header *header, const uint8_t *body,
                                size_t size)
{
    uint32_t found = om_crc32c(0, body, size);
    if (found != header->body_crc) {
        return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "%s: checksum of the cursors is %08x, the header says %08x", r->name, found,
                       header->body_crc);
    }
    uint64_t least = (uint64_t)header->cursors * sizeof(packed_cursor) +
                     (uint64_t)header->requests * sizeof(packed_request);
    if (header->cursors > OM_CURSORS_MAX_STREAMS || header->requests > OM_CURSORS_MAX_REQUESTS ||
        least > size) {
        return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_LIMIT,
                       "%s: %u streams and %u requests: the limits are %d and %d, and %zu bytes",
                       r->name, header->cursors, header->requests, OM_CURSORS_MAX_STREAMS,
                       OM_CURSORS_MAX_REQUESTS, size);
    }
    return OMEN_OK;
}

/* An array of zeroed records; NULL when there are none. */
static omen_status_t make_array(const om_alloc *alloc, uint32_t count, size_t size, size_t align,
                                void **out, omen_error *err)
{
    *out = NULL;
    if (count == 0) {
        return OMEN_OK;
    }
    *out = om_alloc_zero(alloc, count, size, align);
    return *out != NULL ? OMEN_OK : om_fail_memory(err, "cursors", count * size);
}

static omen_status_t decode(const om_alloc *alloc, const rules *how, const uint8_t *bytes,
                            size_t size, om_cursors *out)
{
    omen_status_t status = OMEN_OK;
    cursors_header header;
    void *array = NULL;
    uint32_t *order = NULL;
    OM_TRY(om_head_check(&om_cursors_kind, how->name, bytes, size, size, how->err));
    memcpy(&header, bytes, sizeof header);
    reader r = {.rules = *how, .at = bytes + sizeof header, .left = size - sizeof header};
    OM_TRY(check_body(how, &header, r.at, r.left));
    out->lsn = header.lsn;
    OM_TRY(make_array(alloc, header.cursors, sizeof *out->cursors, alignof(om_cursor), &array,
                      how->err));
    out->cursors = array;
    out->cursor_count = header.cursors;
    OM_TRY(make_array(alloc, header.requests, sizeof *out->requests, alignof(om_request), &array,
                      how->err));
    out->requests = array;
    out->request_count = header.requests;
    OM_TRY(take_cursors(&r, out));
    OM_TRY(take_requests(&r, out));
    if (r.left != 0) {
        return om_fail(how->err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: %zu bytes stand behind the last request", how->name, r.left);
    }
    r.rules.from = out;
    OM_TRY(make_order(alloc, &r.rules, compare_requests, out->request_count, &order));
    free_order(alloc, order, out->request_count);
out:
    return status;
}

omen_status_t om_cursors_read(const om_io *io, const om_alloc *alloc, const char *path,
                              om_cursors *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_cursors cursors = {0};
    const rules r = {.name = om_path_tail(path), .wrong = OMEN_DATA_LOSS, .err = err};
    uint8_t *bytes = NULL;
    size_t size = 0;
    OM_TRY(om_io_slurp(io, alloc, path, OM_CURSORS_MAX_BYTES, &bytes, &size, err));
    OM_TRY(decode(alloc, &r, bytes, size, &cursors));
    *out = cursors;
    cursors = (om_cursors){0};
out:
    om_cursors_free(alloc, &cursors);
    om_alloc_put(alloc, bytes, bytes == NULL ? 0 : size + 1, 8);
    return status;
}

omen_status_t om_cursors_probe(const om_io *io, const om_alloc *alloc, const char *path,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const rules r = {.name = om_path_tail(path), .wrong = OMEN_DATA_LOSS, .err = err};
    cursors_header header;
    uint8_t *bytes = NULL;
    size_t size = 0;
    OM_TRY(om_io_slurp(io, alloc, path, OM_CURSORS_MAX_BYTES, &bytes, &size, err));
    OM_TRY(om_head_check(&om_cursors_kind, r.name, bytes, size, size, err));
    memcpy(&header, bytes, sizeof header);
    status = check_body(&r, &header, bytes + sizeof header, size - sizeof header);
out:
    om_alloc_put(alloc, bytes, bytes == NULL ? 0 : size + 1, 8);
    return status;
}
