/* manifest_code.c - a manifest as bytes, and back. SPDX-License-Identifier: Apache-2.0 */
#include <stdalign.h>
#include <string.h>

#include "manifest_int.h"
#include "segfile.h"

const om_head_kind om_manifest_kind = {.what = "manifest",
                                       .magic = "\x89OMENMF\n",
                                       .format = 1,
                                       .header_bytes = sizeof(om_mf_header),
                                       .incompat = OM_MF_SCHEMAS};
static const char value_name[] = "manifest";

static void free_segments(const om_alloc *alloc, om_manifest_collection *c)
{
    om_alloc_put(alloc, c->segments, c->segment_count * sizeof *c->segments,
                 alignof(om_manifest_segment));
    om_alloc_put(alloc, c->schema, c->schema_bytes, 8);
}

void om_manifest_free(const om_alloc *alloc, om_manifest *m)
{
    for (uint32_t i = 0; m->collections != NULL && i < m->collection_count; i++) {
        free_segments(alloc, &m->collections[i]);
    }
    om_alloc_put(alloc, m->collections, m->collection_count * sizeof *m->collections,
                 alignof(om_manifest_collection));
    om_alloc_put(alloc, m->extra, m->extra_bytes, 1);
    *m = (om_manifest){0};
}

/* ---- Encoding ---- */
static uint64_t padded(uint32_t bytes)
{
    return ((uint64_t)bytes + 7) / 8 * 8;
}

static uint64_t encoded_bytes(const om_manifest *m)
{
    uint64_t bytes = sizeof(om_mf_header) + m->extra_bytes;
    for (uint32_t i = 0; i < m->collection_count; i++) {
        bytes += sizeof(om_mf_collection);
        bytes += (uint64_t)m->collections[i].segment_count * sizeof(om_mf_segment);
        bytes += padded(m->collections[i].schema_bytes);
    }
    return bytes;
}

static uint8_t *put_collection(uint8_t *at, const om_manifest_collection *c)
{
    const omen_options *o = &c->options;
    om_mf_collection packed = {
        .serial = c->serial,
        .segments = c->segment_count,
        .contained = c->contained,
        .next_key = c->next_key,
        .dim = o->dim,
        .metric = o->metric,
        .dtype = o->dtype,
        .id_type = o->id_type,
        .m = o->m,
        .ef_construction = o->ef_construction,
        .quantization = o->quantization,
        .rotation = o->rotation,
        .entry = o->entry,
        .durability = o->durability,
        .capacity_hint = o->capacity_hint,
        .max_backlog_rows = o->max_backlog_rows,
        .flags = o->flags,
        .schema_bytes = c->schema_bytes,
    };
    memcpy(packed.name, c->name, strnlen(c->name, OMEN_MAX_NAME));
    memcpy(at, &packed, sizeof packed);
    at += sizeof packed;
    for (uint32_t i = 0; i < c->segment_count; i++) {
        const om_manifest_segment *seg = &c->segments[i];
        const om_mf_segment one = {.id = seg->id,
                                   .file_bytes = seg->file_bytes,
                                   .first_lsn = seg->first_lsn,
                                   .last_lsn = seg->last_lsn,
                                   .deaths = seg->deaths,
                                   .header_crc = seg->header_crc,
                                   .rows = seg->rows,
                                   .live = seg->live};
        memcpy(at, &one, sizeof one);
        at += sizeof one;
    }
    if (c->schema_bytes != 0) {
        uint64_t hole = padded(c->schema_bytes) - c->schema_bytes;
        memcpy(at, c->schema, c->schema_bytes);
        memset(at + c->schema_bytes, 0, (size_t)hole);
        at += c->schema_bytes + hole;
    }
    return at;
}

static void put_manifest(uint8_t *bytes, size_t size, const om_manifest *m)
{
    om_mf_header header = {.generation = m->generation,
                           .checkpoint = m->checkpoint,
                           .durable = m->durable,
                           .next_segment = m->next_segment,
                           .cursors = m->cursors,
                           .next_serial = m->next_serial,
                           .collections = m->collection_count,
                           .extra_bytes = m->extra_bytes};
    uint8_t *at = bytes + sizeof header;
    uint32_t incompat = 0;
    for (uint32_t i = 0; i < m->collection_count; i++) {
        at = put_collection(at, &m->collections[i]);
        incompat |= m->collections[i].schema_bytes != 0 ? (uint32_t)OM_MF_SCHEMAS : 0;
    }
    if (m->extra_bytes != 0) {
        memcpy(at, m->extra, m->extra_bytes);
    }
    header.body_crc = om_crc32c(0, bytes + sizeof header, size - sizeof header);
    memcpy(header.database, m->database, sizeof header.database);
    memcpy(bytes, &header, sizeof header);
    om_head_begin(&om_manifest_kind, bytes, size);
    memcpy(bytes + offsetof(om_head, incompat), &incompat, sizeof incompat);
    memcpy(bytes + offsetof(om_head, ro_compat), &m->ro_compat, sizeof m->ro_compat);
    memcpy(bytes + offsetof(om_head, compat), &m->compat, sizeof m->compat);
    om_head_seal(&om_manifest_kind, bytes);
}

omen_status_t om_manifest_encode(const om_alloc *alloc, const om_manifest *manifest,
                                 uint8_t **bytes, size_t *size, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (manifest->read_only || manifest->ro_compat != 0) {
        return om_fail(
            err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
            "manifest: a newer version added features %08x, with which this library only "
            "reads",
            manifest->ro_compat);
    }
    /* More collections than may be are refused by the check. */
    bool counted = manifest->collection_count <= OM_MANIFEST_MAX_COLLECTIONS;
    uint64_t total = counted ? encoded_bytes(manifest) : 0;
    if (total > OM_MANIFEST_MAX_BYTES) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "manifest: %llu bytes are above the limit of %d", (unsigned long long)total,
                       OM_MANIFEST_MAX_BYTES);
    }
    OM_TRY(om_manifest_check(alloc, manifest, OMEN_INTERNAL, err));
    uint8_t *out = om_alloc_get(alloc, (size_t)total, 8);
    if (out == NULL) {
        return om_fail_memory(err, "manifest", total);
    }
    put_manifest(out, (size_t)total, manifest);
    *bytes = out;
    *size = (size_t)total;
out:
    return status;
}

/* ---- Decoding ---- */
typedef struct reader {
    const om_alloc *alloc;
    const uint8_t *at;
    size_t left;
    omen_error *err;
} reader;

static omen_status_t fail_cut(const reader *r, uint32_t index, uint64_t need)
{
    return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_NONE,
                   "manifest: collection %u needs %llu bytes, but only %zu are left", index + 1,
                   (unsigned long long)need, r->left);
}

static void take(reader *r, void *to, size_t bytes)
{
    om_assert(bytes <= r->left);
    memcpy(to, r->at, bytes);
    r->at += bytes;
    r->left -= bytes;
}

static omen_status_t take_segments(reader *r, uint32_t index, uint32_t count,
                                   om_manifest_collection *c)
{
    if (count > r->left / sizeof(om_mf_segment)) {
        return fail_cut(r, index, (uint64_t)count * sizeof(om_mf_segment));
    }
    if (count == 0) {
        return OMEN_OK;
    }
    c->segments = om_alloc_get(r->alloc, count * sizeof *c->segments, alignof(om_manifest_segment));
    if (c->segments == NULL) {
        return om_fail_memory(r->err, "segments of a manifest", count * sizeof *c->segments);
    }
    c->segment_count = count;
    for (uint32_t i = 0; i < count; i++) {
        om_mf_segment one;
        take(r, &one, sizeof one);
        c->segments[i] = (om_manifest_segment){.id = one.id,
                                               .file_bytes = one.file_bytes,
                                               .header_crc = one.header_crc,
                                               .rows = one.rows,
                                               .live = one.live,
                                               .first_lsn = one.first_lsn,
                                               .last_lsn = one.last_lsn,
                                               .deaths = one.deaths};
    }
    return OMEN_OK;
}

static omen_status_t take_schema(reader *r, uint32_t index, uint32_t bytes,
                                 om_manifest_collection *c)
{
    uint64_t whole = padded(bytes);
    if (bytes > OM_MANIFEST_MAX_SCHEMA || whole > r->left) {
        return fail_cut(r, index, whole);
    }
    if (bytes == 0) {
        return OMEN_OK;
    }
    c->schema = om_alloc_get(r->alloc, bytes, 8);
    if (c->schema == NULL) {
        return om_fail_memory(r->err, "fields of a manifest", bytes);
    }
    c->schema_bytes = bytes;
    take(r, c->schema, bytes);
    r->at += whole - bytes;
    r->left -= (size_t)(whole - bytes);
    return OMEN_OK;
}

static omen_status_t take_collection(reader *r, uint32_t index, om_manifest_collection *c)
{
    om_mf_collection packed;
    if (r->left < sizeof packed) {
        return fail_cut(r, index, sizeof packed);
    }
    take(r, &packed, sizeof packed);
    size_t length = strnlen(packed.name, sizeof packed.name);
    for (size_t i = length; i < sizeof packed.name; i++) {
        length = packed.name[i] == '\0' ? length : sizeof packed.name;
    }
    if (length == sizeof packed.name) {
        return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_NAME,
                       "manifest: name of collection %u does not end in zeros", index + 1);
    }
    memcpy(c->name, packed.name, sizeof c->name);
    c->serial = packed.serial;
    c->contained = packed.contained;
    c->next_key = packed.next_key;
    c->options = (omen_options){.struct_size = sizeof c->options,
                                .flags = packed.flags,
                                .dim = packed.dim,
                                .metric = packed.metric,
                                .dtype = packed.dtype,
                                .id_type = packed.id_type,
                                .m = packed.m,
                                .ef_construction = packed.ef_construction,
                                .quantization = packed.quantization,
                                .rotation = packed.rotation,
                                .entry = packed.entry,
                                .durability = packed.durability,
                                .capacity_hint = packed.capacity_hint,
                                .max_backlog_rows = packed.max_backlog_rows};
    omen_status_t status = take_segments(r, index, packed.segments, c);
    return status != OMEN_OK ? status : take_schema(r, index, packed.schema_bytes, c);
}

static omen_status_t take_body(reader *r, om_manifest *m, uint32_t collections, uint32_t extra)
{
    omen_status_t status = OMEN_OK;
    if (collections > r->left / sizeof(om_mf_collection)) {
        return fail_cut(r, 0, (uint64_t)collections * sizeof(om_mf_collection));
    }
    if (collections != 0) {
        m->collections = om_alloc_zero(r->alloc, collections, sizeof *m->collections,
                                       alignof(om_manifest_collection));
        if (m->collections == NULL) {
            return om_fail_memory(r->err, "collections of a manifest",
                                  collections * sizeof *m->collections);
        }
        m->collection_count = collections;
    }
    for (uint32_t i = 0; i < collections; i++) {
        OM_TRY(take_collection(r, i, &m->collections[i]));
    }
    if (extra != r->left) {
        return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "manifest: %zu bytes stand behind the collections, the header says %u",
                       r->left, extra);
    }
    if (extra != 0) {
        m->extra = om_alloc_get(r->alloc, extra, 1);
        if (m->extra == NULL) {
            return om_fail_memory(r->err, "features of a manifest", extra);
        }
        m->extra_bytes = extra;
        take(r, m->extra, extra);
    }
out:
    return status;
}

static omen_status_t check_body(const om_mf_header *header, const uint8_t *bytes, size_t size,
                                omen_error *err)
{
    uint32_t found = om_crc32c(0, bytes + sizeof *header, size - sizeof *header);
    if (found != header->body_crc) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "manifest: checksum of the collections is %08x, the header says %08x", found,
                       header->body_crc);
    }
    return OMEN_OK;
}

omen_status_t om_manifest_decode(const om_alloc *alloc, const uint8_t *bytes, size_t size,
                                 om_manifest *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_manifest m = {0};
    om_mf_header header;
    if (size > OM_MANIFEST_MAX_BYTES) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_LIMIT,
                       "manifest: %zu bytes are above the limit of %d", size,
                       OM_MANIFEST_MAX_BYTES);
    }
    OM_TRY(om_head_check(&om_manifest_kind, value_name, bytes, size, size, err));
    memcpy(&header, bytes, sizeof header);
    OM_TRY(check_body(&header, bytes, size, err));
    memcpy(m.database, header.database, sizeof m.database);
    m.generation = header.generation;
    m.checkpoint = header.checkpoint;
    m.durable = header.durable;
    m.next_segment = header.next_segment;
    m.next_serial = header.next_serial;
    m.cursors = header.cursors;
    m.ro_compat = header.head.ro_compat;
    m.compat = header.head.compat;
    m.read_only = header.head.ro_compat != 0;
    reader r = {
        .alloc = alloc, .at = bytes + sizeof header, .left = size - sizeof header, .err = err};
    OM_TRY(take_body(&r, &m, header.collections, header.extra_bytes));
    OM_TRY(om_manifest_check(alloc, &m, OMEN_DATA_LOSS, err));
    *out = m;
    m = (om_manifest){0};
out:
    om_manifest_free(alloc, &m);
    return status;
}
