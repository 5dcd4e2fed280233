/* fault_model.c - what a database must hold, and reading it back. SPDX-License-Identifier: Apache-2.0 */
#include "fault_model.h"

#include <stdio.h>
#include <string.h>

#include "fault_data.h"

const fault_kind fault_kinds[FAULT_KINDS] = {
    {"plain", 4, OMEN_ID_U64, OMEN_L2, OMEN_DURABILITY_BATCH, 96, false, false},
    {"named", 6, OMEN_ID_STRING, OMEN_COSINE, OMEN_DURABILITY_BATCH, 48, true, true},
    {"loose", 4, OMEN_ID_U64, OMEN_IP, OMEN_DURABILITY_NONE, 48, true, false},
    /* Fills log files, and its largest batches are more than one record. */
    {"wide", 1024, OMEN_ID_U64, OMEN_L2, OMEN_DURABILITY_INTERVAL, 80, true, true},
};

/* ---- Data of a step -------------------------------------------------------------------------------- */
uint64_t fault_key(uint32_t id)
{
    return UINT64_C(1000) + id;
}

void fault_vector(uint32_t c, uint32_t id, uint32_t value, float *out)
{
    uint64_t rng = ((uint64_t)c << 56) ^ ((uint64_t)id << 32) ^ value;
    out[0] = (float)value;
    for (uint32_t i = 1; i < fault_kinds[c].dim; i++) {
        out[i] = (float)(om_rng_next(&rng) >> 40) / 16777216.0f - 0.5f;
    }
}

omen_column fault_column(uint32_t c, const uint32_t *ids, uint32_t count, fault_ids *memory)
{
    if (fault_kinds[c].id_type != OMEN_ID_STRING) {
        for (uint32_t i = 0; i < count; i++) {
            memory->keys[i] = fault_key(ids[i]);
        }
        return (omen_column){.data = memory->keys, .width = 8};
    }
    int32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        memory->offsets[i] = at;
        at += snprintf(memory->text + at, sizeof memory->text - (size_t)at, "item-%u", ids[i]);
    }
    memory->offsets[count] = at;
    return (omen_column){.data = memory->text, .offsets = memory->offsets, .offset_bits = 32};
}

/* Fields come with time: those named after the step are new in one batch in four or so. */
size_t fault_json(uint32_t id, uint32_t value, bool changes, char *out)
{
    int length = changes ? snprintf(out, FAULT_JSON,
                                    "{\"value\": %u, \"text\": \"item of step %u\"}", value, value)
                         : snprintf(out, FAULT_JSON,
                                    "{\"value\": %u, \"id\": %u, \"text\": \"item of step %u\", "
                                    "\"late%u\": [%u]}",
                                    value, id, value, value / 16 % 8, value);
    return (size_t)length;
}

omen_column fault_metadata(const uint32_t *ids, uint32_t count, uint32_t value, bool changes,
                           fault_objects *memory)
{
    int32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        memory->offsets[i] = at;
        at += (int32_t)fault_json(ids[i], value, changes, memory->text + at);
    }
    memory->offsets[count] = at;
    return (omen_column){.data = memory->text, .offsets = memory->offsets, .offset_bits = 32};
}

/* ---- Reading back ---------------------------------------------------------------------------------- */
static bool bad(char *why, const fault_kind *kind, const char *what, const omen_error *err)
{
    (void)snprintf(why, FAULT_WHY, "%s: %.200s%s%s", kind->name, what, err != NULL ? ": " : "",
                   err != NULL ? err->message : "");
    return false;
}

/* The value that a vector was written with; false when no step wrote these bytes. */
static bool value_of(uint32_t c, uint32_t id, const float *vector, uint16_t *value)
{
    float want[FAULT_MAX_DIM];
    if (!(vector[0] >= 1.0f && vector[0] <= (float)FAULT_MAX_STEPS)) {
        return false;
    }
    *value = (uint16_t)vector[0];
    fault_vector(c, id, *value, want);
    return memcmp(want, vector, fault_kinds[c].dim * sizeof want[0]) == 0;
}

static bool read_items(omen_collection *handle, uint32_t c, fault_state *out, uint64_t *keys,
                       uint64_t *live, char *why)
{
    static _Thread_local float vectors[FAULT_IDS * FAULT_MAX_DIM];
    static _Thread_local fault_ids memory;
    const fault_kind *kind = &fault_kinds[c];
    uint32_t ids[FAULT_IDS];
    uint8_t found[FAULT_IDS] = {0};
    uint64_t count = 0;
    omen_error err;
    for (uint32_t i = 0; i < kind->ids; i++) {
        ids[i] = i;
    }
    omen_column column = fault_column(c, ids, kind->ids, &memory);
    if (omen_lookup(handle, &column, kind->ids, keys, &err) != OMEN_OK ||
        omen_count(handle, &count, &err) != OMEN_OK ||
        omen_get_vectors(handle, keys, kind->ids, vectors, 0, 0, found, &err) != OMEN_OK) {
        return bad(why, kind, "cannot read", &err);
    }
    *live = 0;
    for (uint32_t i = 0; i < kind->ids; i++) {
        if ((keys[i] != OMEN_NONE) != (found[i] != 0)) {
            return bad(why, kind, "an id has a key and no vector", NULL);
        }
        if (found[i] != 0) {
            *live += 1;
            if (!value_of(c, i, vectors + (size_t)i * kind->dim, &out->value[c][i])) {
                return bad(why, kind, "a vector that nobody wrote", NULL);
            }
        }
    }
    return *live == count ? true : bad(why, kind, "the count is not that of the items", NULL);
}

/* The metadata of each item is of the step that wrote its vector. */
static bool read_metadata(omen_collection *handle, uint32_t c, const fault_state *out,
                          const uint64_t *keys, char *why)
{
    const fault_kind *kind = &fault_kinds[c];
    omen_rows *rows = NULL;
    omen_column column;
    omen_error err;
    bool fine = true;
    if (!kind->fields) {
        return true;
    }
    if (omen_fetch(handle, keys, kind->ids, OMEN_FIELD_METADATA, &rows, &err) != OMEN_OK) {
        return bad(why, kind, "cannot read metadata", &err);
    }
    omen_rows_column(rows, OMEN_FIELD_METADATA, &column);
    const int64_t *offsets = column.offsets;
    for (uint32_t i = 0; fine && i < kind->ids; i++) {
        char text[512], value[48], id[48];
        (void)snprintf(text, sizeof text, "%.*s", (int)(offsets[i + 1] - offsets[i]),
                       (const char *)column.data + offsets[i]);
        (void)snprintf(value, sizeof value, "\"value\": %u,", out->value[c][i]);
        (void)snprintf(id, sizeof id, "\"id\": %u", i);
        bool there = out->value[c][i] != 0;
        bool right = there ? strstr(text, value) != NULL && strstr(text, id) != NULL &&
                                 strstr(text, "late") != NULL
                           : text[0] == '\0';
        if (!right) {
            char what[FAULT_WHY];
            (void)snprintf(what, sizeof what, "item %u of step %u has the metadata %.200s", i,
                           out->value[c][i], text);
            fine = bad(why, kind, what, NULL);
        }
    }
    omen_rows_free(rows);
    return fine;
}

/* A filter and a text search give as many items as there are. */
static bool read_by_fields(omen_collection *handle, const fault_kind *kind, uint64_t live,
                           char *why)
{
    static const char all[] = "value > 0 AND id IS NOT NULL";
    uint64_t hits[FAULT_IDS + 1], count = 0;
    uint32_t found = 0;
    omen_filter *filter = NULL;
    omen_error err;
    if (!kind->fields || live == 0) {
        return true;
    }
    if (omen_filter_compile(handle, all, sizeof all - 1, NULL, 0, &filter, &err) != OMEN_OK ||
        omen_count_where(handle, filter, &count, &err) != OMEN_OK) {
        omen_filter_free(filter);
        return bad(why, kind, "cannot count by a filter", &err);
    }
    omen_filter_free(filter);
    if (count != live) {
        return bad(why, kind, "a filter that all pass does not find them all", NULL);
    }
    omen_leg leg = {
        .struct_size = sizeof leg, .kind = OMEN_LEG_TEXT, .text = "item", .text_len = 4};
    omen_request request = {
        .struct_size = sizeof request, .legs = &leg, .leg_count = 1, .k = FAULT_IDS + 1};
    omen_hits h = {.struct_size = sizeof h, .keys = hits, .counts = &found};
    if (kind->text && omen_find(handle, &request, &h, &err) != OMEN_OK) {
        return bad(why, kind, "cannot search text", &err);
    }
    return !kind->text || found == live
               ? true
               : bad(why, kind, "a word that all items have does not find them all", NULL);
}

static bool has_key(const uint64_t *keys, uint32_t count, uint64_t key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i] == key) {
            return true;
        }
    }
    return false;
}

/* Scan and search give exactly the items that lookups gave. */
static bool read_other_ways(omen_collection *handle, const fault_kind *kind, const uint64_t *keys,
                            uint64_t live, char *why)
{
    uint64_t scanned[FAULT_IDS + 1], hits[FAULT_IDS + 1];
    float query[FAULT_MAX_DIM] = {1.0f};
    uint64_t cursor = 0, count = 0, found = 0;
    omen_error err;
    omen_query q = {.struct_size = sizeof q,
                    .flags = OMEN_EXACT,
                    .vectors = query,
                    .dim = kind->dim,
                    .count = 1,
                    .k = FAULT_IDS + 1};
    omen_hits h = {.struct_size = sizeof h, .keys = hits};
    if (omen_scan(handle, &cursor, scanned, FAULT_IDS + 1, &count, &err) != OMEN_OK ||
        omen_search(handle, &q, &h, &err) != OMEN_OK) {
        return bad(why, kind, "cannot scan or search", &err);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (!has_key(keys, kind->ids, scanned[i]) ||
            has_key(scanned + i + 1, (uint32_t)(count - i - 1), scanned[i])) {
            return bad(why, kind, "the scan gives an item that is not there, or one twice", NULL);
        }
    }
    for (uint32_t i = 0; i < FAULT_IDS + 1 && hits[i] != OMEN_NONE; i++) {
        found++;
        if (!has_key(scanned, (uint32_t)count, hits[i]) ||
            has_key(hits + i + 1, FAULT_IDS - i, hits[i])) {
            return bad(why, kind, "the search gives an item that is not there, or one twice", NULL);
        }
    }
    return count == live && found == live ? true
                                          : bad(why, kind, "scan or search miss items", NULL);
}

bool fault_read(omen_db *db, bool search, fault_state *out, char *why)
{
    memset(out, 0, sizeof *out);
    for (uint32_t c = 0; c < FAULT_KINDS; c++) {
        omen_open_options options = {.struct_size = sizeof options, .warm = OMEN_WARM_NONE};
        omen_collection *handle = NULL;
        uint64_t keys[FAULT_IDS], live = 0, epoch = 0;
        omen_error err;
        omen_status_t status = omen_open(db, fault_kinds[c].name, &options, &handle, &err);
        if (status == OMEN_NOT_FOUND) {
            continue;
        }
        if (status != OMEN_OK) {
            return bad(why, &fault_kinds[c], "cannot open", &err);
        }
        out->exists[c] = 1;
        bool fine = read_items(handle, c, out, keys, &live, why) &&
                    read_metadata(handle, c, out, keys, why);
        if (fine && omen_stream_open(handle, FAULT_STREAM, strlen(FAULT_STREAM), &out->last_seq[c],
                                     &epoch, &err) != OMEN_OK) {
            fine = bad(why, &fault_kinds[c], "cannot open the stream", &err);
        }
        fine = fine && (!search || (read_other_ways(handle, &fault_kinds[c], keys, live, why) &&
                                    read_by_fields(handle, &fault_kinds[c], live, why)));
        omen_collection_free(handle);
        if (!fine) {
            return false;
        }
    }
    return true;
}

void fault_difference(const fault_state *want, const fault_state *got, char *why)
{
    why[0] = '\0';
    for (uint32_t c = 0; c < FAULT_KINDS; c++) {
        const char *name = fault_kinds[c].name;
        if (want->exists[c] != got->exists[c]) {
            (void)snprintf(why, FAULT_WHY, "%s is %sthere", name, got->exists[c] ? "" : "not ");
            return;
        }
        for (uint32_t i = 0; i < FAULT_IDS; i++) {
            if (want->value[c][i] != got->value[c][i]) {
                (void)snprintf(why, FAULT_WHY, "%s: item %u is of step %u, must be of step %u",
                               name, i, got->value[c][i], want->value[c][i]);
                return;
            }
        }
        if (want->last_seq[c] != got->last_seq[c]) {
            (void)snprintf(why, FAULT_WHY, "%s: last seq is %llu, must be %llu", name,
                           (unsigned long long)got->last_seq[c],
                           (unsigned long long)want->last_seq[c]);
            return;
        }
    }
}
