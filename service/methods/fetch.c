/* fetch.c - metadata in pieces. An item's JSON may have a megabyte, so a piece is short; what is fetched is
 * joined, since an answer needs all of it. SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "wwrite.h"

enum { PIECE = 64, DATA_MIN = 16384 };

static bool no_memory(om_failure *f)
{
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the answer");
    f->retry_ms = 1000;
    return false;
}

static bool reserve(const om_fetch *q, om_fetched *out, om_failure *f)
{
    *out = (om_fetched){0};
    if (q->metadata) {
        out->offsets = malloc((q->count + 1) * sizeof *out->offsets);
        if (out->offsets == NULL) {
            return no_memory(f);
        }
        out->offsets[0] = 0;
    }
    out->versions = q->versions ? malloc((q->count + 1) * sizeof *out->versions) : NULL;
    return !q->versions || out->versions != NULL || no_memory(f);
}

static bool room_for(om_fetched *out, size_t more, om_failure *f)
{
    if (more <= out->capacity - out->size) {
        return true;
    }
    size_t want = out->capacity < DATA_MIN ? DATA_MIN : 2 * out->capacity;
    want = want < out->size + more ? out->size + more : want;
    char *grown = realloc(out->data, want);
    if (grown == NULL) {
        return no_memory(f);
    }
    out->data = grown;
    out->capacity = want;
    return true;
}

static bool too_much(const om_fetch *q, om_failure *f)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "with_metadata",
                          "the metadata of %zu items takes more than %zu bytes, the limit of a "
                          "message: ask for fewer items or name fields",
                          q->count, q->room);
}

/* Appends the JSON of n items. *full: there is no room for the next one. */
static bool join(const om_fetch *q, const omen_column *column, size_t n, om_fetched *out,
                 bool *full, om_failure *f)
{
    const int64_t *offsets = column->offsets;
    for (size_t i = 0; i < n; i++) {
        size_t size = (size_t)(offsets[i + 1] - offsets[i]);
        size_t wire = om_wsize_len(size);
        bool over = wire > q->room - out->metadata_size;
        if (over && !q->cut) {
            return too_much(q, f);
        }
        if (over && out->count > 0) {
            *full = true;
            return true;
        }
        if (!room_for(out, size, f)) {
            return false;
        }
        if (size > 0) {
            memcpy(out->data + out->size, (const char *)column->data + offsets[i], size);
        }
        out->size += size;
        out->offsets[++out->count] = (int64_t)out->size;
        /* One item alone may go beyond the room: then the page ends with it. */
        out->metadata_size = over ? q->room : out->metadata_size + wire;
    }
    return true;
}

static omen_status_t fetch_rows(const om_fetch *q, size_t first, size_t n, omen_rows **rows,
                                omen_error *err)
{
    uint32_t columns =
        (q->metadata ? OMEN_FIELD_METADATA : 0) | (q->versions ? OMEN_FIELD_VERSION : 0);
    om_coll_enter(q->coll);
    omen_status_t status = q->field_count > 0
                               ? omen_fetch_fields(q->from, q->keys + first, n, columns, q->fields,
                                                   q->field_count, rows, err)
                               : omen_fetch(q->from, q->keys + first, n, columns, rows, err);
    return om_coll_leave(q->coll, status, err);
}

static bool fetch_piece(const om_fetch *q, size_t first, size_t n, om_fetched *out, bool *full,
                        om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    omen_rows *rows = NULL;
    omen_column column;
    if (fetch_rows(q, first, n, &rows, &err) != OMEN_OK) {
        om_failure_from_engine(f, &err);
        if (err.detail == OMEN_D_FIELD) {
            om_failure_about(f, "fields");
        }
        omen_rows_free(rows);
        return false;
    }
    if (q->versions) {
        omen_rows_column(rows, OMEN_FIELD_VERSION, &column);
        memcpy(out->versions + first, column.data, n * sizeof *out->versions);
    }
    bool ok = true;
    if (q->metadata) {
        omen_rows_column(rows, OMEN_FIELD_METADATA, &column);
        ok = join(q, &column, n, out, full, f);
    } else {
        out->count += n;
    }
    omen_rows_free(rows);
    return ok;
}

bool om_fetch_items(const om_fetch *q, om_fetched *out, om_failure *f)
{
    bool full = false;
    size_t piece = q->metadata ? PIECE : q->count;
    if (!reserve(q, out, f)) {
        return false;
    }
    for (size_t first = 0; first < q->count && !full; first += piece) {
        size_t n = q->count - first < piece ? q->count - first : piece;
        if (!fetch_piece(q, first, n, out, &full, f)) {
            return false;
        }
    }
    out->metadata = (om_wire_texts){out->data, out->offsets, (uint32_t)out->count};
    return true;
}

void om_fetched_end(om_fetched *out)
{
    free(out->data);
    free(out->offsets);
    free(out->versions);
    *out = (om_fetched){0};
}

/* ---- Facets ------------------------------------------------------------------------------------------ */

static bool one_facet(const om_facets_query *q, uint32_t i, om_facets *out, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    omen_column values;
    omen_column counts;
    om_coll_enter(q->coll);
    omen_status_t status = omen_facet(q->coll->handle, q->filter, q->facets[i].field,
                                      q->facets[i].limit, &out->rows[i], &err);
    if (om_coll_leave(q->coll, status, &err) != OMEN_OK) {
        om_failure_from_engine(f, &err);
        if (err.status == OMEN_INVALID_ARGUMENT) {
            om_failure_about(f, "facets.field");
        }
        return false;
    }
    omen_rows_column(out->rows[i], OMEN_FIELD_VALUE, &values);
    omen_rows_column(out->rows[i], OMEN_FIELD_COUNT, &counts);
    uint32_t n = (uint32_t)omen_rows_count(out->rows[i]);
    out->values[i] =
        (om_wire_facet_values){q->facets[i].field, {values.data, values.offsets, n}, counts.data};
    out->count = i + 1;
    out->size += om_wsize_len(om_wsize_facet(&out->values[i]));
    return out->size <= q->room ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "facets",
                          "the facets take %zu bytes, the limit of a message is %zu", out->size,
                          q->room);
}

static bool still_wanted(const om_facets_query *q, om_failure *f)
{
    if (q->rpc == NULL) {
        return true;
    }
    if (om_rpc_is_cancelled(q->rpc)) {
        return om_failure_set(f, OMEN_CANCELLED, "CANCELLED", NULL, "cancelled before all facets");
    }
    uint64_t deadline = om_rpc_deadline_ns(q->rpc);
    return deadline == 0 || om_pool_now_ns() < deadline ||
           om_failure_set(f, OMEN_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", NULL,
                          "the deadline passed before all facets were counted");
}

bool om_facets_run(const om_facets_query *q, om_facets *out, om_failure *f)
{
    *out = (om_facets){0};
    for (uint32_t i = 0; i < q->count; i++) {
        if (!still_wanted(q, f) || !one_facet(q, i, out, f)) {
            return false;
        }
    }
    return true;
}

void om_facets_end(om_facets *out)
{
    for (uint32_t i = 0; i < OM_SEARCH_MAX_FACETS; i++) {
        omen_rows_free(out->rows[i]);
        out->rows[i] = NULL;
    }
}
