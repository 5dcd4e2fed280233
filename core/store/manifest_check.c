/* manifest_check.c - what every manifest keeps to. SPDX-License-Identifier: Apache-2.0
 *
 * A hostile manifest has a right checksum, so each value is checked before anybody uses it. The same checks
 * run before one is written: a manifest that the next start would refuse is a bug that must show now. */
#include <stdalign.h>
#include <string.h>

#include "manifest_int.h"
#include "segfile_int.h"

typedef struct checker {
    const om_manifest *m;
    omen_status_t wrong;
    omen_error *err;
} checker;

/* "manifest: collection 'x': m is 65, must be 2 to 64". */
static omen_status_t fail_range(const checker *ch, const om_manifest_collection *c,
                                const char *field, uint64_t value, uint64_t low, uint64_t high)
{
    return om_fail(ch->err, ch->wrong, OMEN_D_NONE,
                   "manifest: collection '%.63s': %s is %llu, must be %llu to %llu", c->name, field,
                   (unsigned long long)value, (unsigned long long)low, (unsigned long long)high);
}

static omen_status_t fail_segment(const checker *ch, const om_manifest_collection *c, uint32_t i,
                                  const char *what)
{
    return om_fail(ch->err, ch->wrong, OMEN_D_NONE,
                   "manifest: collection '%.63s': segment %016llx (%u of %u): %s", c->name,
                   (unsigned long long)c->segments[i].id, i + 1, c->segment_count, what);
}

static bool name_is_good(const char *name)
{
    size_t length = strnlen(name, OMEN_MAX_NAME + 1u);
    bool good = length >= 1 && length <= OMEN_MAX_NAME && name[0] != '_' && name[0] != '-';
    for (size_t i = 0; good && i < length; i++) {
        good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
               name[i] == '_' || name[i] == '-';
    }
    return good;
}

static omen_status_t check_names(const checker *ch)
{
    for (uint32_t i = 0; i < ch->m->collection_count; i++) {
        const char *name = ch->m->collections[i].name;
        if (!name_is_good(name)) {
            return om_fail(
                ch->err, ch->wrong, OMEN_D_NAME,
                "manifest: name of collection %u does not match [a-z0-9][a-z0-9_-]{0,62}", i + 1);
        }
        if (i > 0 && strcmp(ch->m->collections[i - 1].name, name) >= 0) {
            return om_fail(ch->err, ch->wrong, OMEN_D_NAME,
                           "manifest: collection '%.63s' does not stand behind '%.63s'", name,
                           ch->m->collections[i - 1].name);
        }
    }
    return OMEN_OK;
}

static omen_status_t check_options(const checker *ch, const om_manifest_collection *c)
{
    const omen_options *o = &c->options;
    const struct {
        const char *field;
        uint64_t value, low, high;
    } rules[] = {
        {"flags", o->flags, 0, 0},
        {"dim", o->dim, 1, OMEN_MAX_DIM},
        {"metric", o->metric, OMEN_L2, OMEN_COSINE},
        {"dtype", o->dtype, OMEN_F32, OMEN_U8},
        {"type of ids", o->id_type, OMEN_ID_U64, OMEN_ID_STRING},
        {"m", o->m, 2, OMEN_MAX_M},
        {"ef_construction", o->ef_construction, 1, OMEN_MAX_EF},
        {"quantization", o->quantization, OMEN_QUANT_SQ8, OMEN_QUANT_NONE},
        {"rotation", o->rotation, OMEN_ROTATE_AUTO, OMEN_ROTATE_ON},
        {"entry", o->entry, OMEN_ENTRY_AUTO, OMEN_ENTRY_HIERARCHY},
        {"durability", o->durability, OMEN_DURABILITY_NONE, OMEN_DURABILITY_BATCH},
        {"capacity hint", o->capacity_hint, 0, OMEN_MAX_ROWS},
        {"largest backlog", o->max_backlog_rows, 1, OMEN_MAX_ROWS},
        {"serial", c->serial, 1, (uint64_t)ch->m->next_serial - 1},
        {"size of its fields", c->schema_bytes, 0, OM_MANIFEST_MAX_SCHEMA},
        {"number of segments", c->segment_count, 0, OM_MANIFEST_MAX_SEGMENTS},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].value < rules[i].low || rules[i].value > rules[i].high) {
            return fail_range(ch, c, rules[i].field, rules[i].value, rules[i].low, rules[i].high);
        }
    }
    return OMEN_OK;
}

static omen_status_t check_segments(const checker *ch, const om_manifest_collection *c)
{
    uint64_t before = 0; /* newest lsn of the segments before this one */
    for (uint32_t i = 0; i < c->segment_count; i++) {
        const om_manifest_segment *seg = &c->segments[i];
        if (seg->id == 0 || seg->id >= ch->m->next_segment) {
            return fail_segment(ch, c, i, "its id was not given out yet");
        }
        if (seg->file_bytes < OM_SEG_HEADER_BYTES + sizeof(om_seg_tail) ||
            seg->file_bytes > INT64_MAX) {
            return fail_segment(ch, c, i, "its size is that of no segment file");
        }
        if (seg->rows > OMEN_MAX_ROWS) {
            return fail_segment(ch, c, i, "it has more rows than the limit of 2147483646");
        }
        if (seg->live > seg->rows) {
            return fail_segment(ch, c, i, "it has more live rows than rows");
        }
        if (seg->first_lsn > seg->last_lsn || seg->first_lsn < before) {
            return fail_segment(ch, c, i, "its lsns are not behind those of the one before it");
        }
        if (seg->last_lsn > c->contained) {
            return fail_segment(ch, c, i, "its lsns are above what the collection contains");
        }
        before = seg->last_lsn;
    }
    return OMEN_OK;
}

static size_t count_segments(const om_manifest *m)
{
    size_t count = 0;
    for (uint32_t i = 0; i < m->collection_count; i++) {
        count += m->collections[i].segment_count;
    }
    return count;
}

/* No two of the keys are equal. Twice as many tags as keys. */
static omen_status_t check_unique(const checker *ch, const char *what, om_tag *tags, size_t count)
{
    om_tags_sort(tags, tags + count, count);
    for (size_t i = 1; i < count; i++) {
        if (tags[i].key == tags[i - 1].key) {
            return om_fail(ch->err, ch->wrong, OMEN_D_NONE,
                           "manifest: %s %llu belongs to '%.63s' and to '%.63s'", what,
                           (unsigned long long)tags[i].key,
                           ch->m->collections[tags[i - 1].value].name,
                           ch->m->collections[tags[i].value].name);
        }
    }
    return OMEN_OK;
}

static omen_status_t check_numbers(const checker *ch, const om_alloc *alloc)
{
    omen_status_t status = OMEN_OK;
    const om_manifest *m = ch->m;
    size_t segments = count_segments(m), most = segments, used = 0;
    most = most < m->collection_count ? m->collection_count : most;
    if (most == 0) {
        return OMEN_OK;
    }
    size_t bytes = 2 * most * sizeof(om_tag);
    om_tag *tags = om_alloc_get(alloc, bytes, alignof(om_tag));
    if (tags == NULL) {
        return om_fail_memory(ch->err, "check of a manifest", bytes);
    }
    for (uint32_t i = 0; i < m->collection_count; i++) {
        tags[i] = (om_tag){.key = m->collections[i].serial, .value = i};
    }
    OM_TRY(check_unique(ch, "serial", tags, m->collection_count));
    for (uint32_t i = 0; i < m->collection_count; i++) {
        for (uint32_t s = 0; s < m->collections[i].segment_count; s++) {
            tags[used++] = (om_tag){.key = m->collections[i].segments[s].id, .value = i};
        }
    }
    OM_TRY(check_unique(ch, "segment", tags, segments));
out:
    om_alloc_put(alloc, tags, bytes, alignof(om_tag));
    return status;
}

omen_status_t om_manifest_check(const om_alloc *alloc, const om_manifest *m, omen_status_t wrong,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const checker ch = {.m = m, .wrong = wrong, .err = err};
    if (m->generation == 0 || m->next_segment == 0 || m->next_serial == 0) {
        return om_fail(
            err, wrong, OMEN_D_NONE,
            "manifest: generation %llu, next segment %llu, next serial %u: none may be 0",
            (unsigned long long)m->generation, (unsigned long long)m->next_segment, m->next_serial);
    }
    if (m->collection_count > OM_MANIFEST_MAX_COLLECTIONS) {
        return om_fail(err, wrong, OMEN_D_LIMIT,
                       "manifest: number of collections is %u, above the limit of %d",
                       m->collection_count, OM_MANIFEST_MAX_COLLECTIONS);
    }
    if (m->extra_bytes > OM_MANIFEST_MAX_EXTRA || (m->extra_bytes != 0 && m->compat == 0)) {
        return om_fail(
            err, wrong, OMEN_D_LIMIT,
            "manifest: %u bytes of features %08x: at most %d, and none without a feature",
            m->extra_bytes, m->compat, OM_MANIFEST_MAX_EXTRA);
    }
    OM_TRY(check_names(&ch));
    for (uint32_t i = 0; i < m->collection_count; i++) {
        OM_TRY(check_options(&ch, &m->collections[i]));
        OM_TRY(check_segments(&ch, &m->collections[i]));
    }
    OM_TRY(check_numbers(&ch, alloc));
out:
    return status;
}
