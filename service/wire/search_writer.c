/* search_writer.c - SearchResponse into one buffer of exactly its size.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "search_reader.h"
#include "wwrite.h"

enum { EXPLAIN_MAX = 512 }; /* 13 numbers and 8 stages take less */

static size_t string_size(const omen_column *ids, uint32_t i)
{
    const int64_t *offsets = ids->offsets;
    return (size_t)(offsets[i + 1] - offsets[i]);
}

size_t om_wsize_ids(const om_wire_hits *h)
{
    size_t size = 0;
    if (h->count == 0) {
        return 0;
    }
    switch (h->id_type) {
    case OMEN_ID_U64:
        return om_wsize_len(8 * (size_t)h->count);
    case OMEN_ID_UUID:
        return om_wsize_len(16 * (size_t)h->count);
    default:
        for (uint32_t i = 0; i < h->count; i++) {
            size += om_wsize_len(string_size(h->ids, i));
        }
        return size;
    }
}

void om_w_ids(om_wbuf *w, const om_wire_hits *h)
{
    if (h->count == 0) {
        return;
    }
    if (h->id_type == OMEN_ID_U64) {
        om_w_bytes(w, 1, h->keys, 8 * (size_t)h->count);
        return;
    }
    if (h->id_type == OMEN_ID_UUID) {
        om_w_bytes(w, 2, h->ids->data, 16 * (size_t)h->count);
        return;
    }
    const int64_t *offsets = h->ids->offsets;
    for (uint32_t i = 0; i < h->count; i++) {
        om_w_len(w, 3, string_size(h->ids, i));
        om_w_raw(w, (const char *)h->ids->data + offsets[i], string_size(h->ids, i));
    }
}

static size_t vectors_size(const om_wire_hits *h)
{
    return om_wsize_uint(h->vectors_type) + om_wsize_uint(h->vectors_dim) +
           (h->vectors_size > 0 ? om_wsize_len(h->vectors_size) : 0);
}

static void write_stage(om_wbuf *w, const char *name, uint64_t ns)
{
    om_w_len(w, 7, om_wsize_len(strlen(name)) + om_wsize_uint(ns));
    om_w_string(w, 1, name);
    om_w_uint(w, 2, ns);
}

static void write_explain(om_wbuf *w, const om_wire_hits *h)
{
    static const omen_filter_explain none;
    const omen_explain *e = h->explain;
    const omen_filter_explain *p = h->filter_explain != NULL ? h->filter_explain : &none;
    om_w_string(w, 1, omen_plan_name(e->plan));
    om_w_uint(w, 2, e->ef);
    om_w_uint(w, 3, e->distances);
    om_w_uint(w, 4, e->hops);
    om_w_uint(w, 5, e->scanned);
    om_w_uint(w, 6, e->reranked);
    write_stage(w, "queue", h->queue_ns);
    if (h->filter_explain != NULL) {
        write_stage(w, "filter", p->filter_ns);
    }
    write_stage(w, "entry", e->entry_ns);
    write_stage(w, "graph", e->graph_ns);
    write_stage(w, "scan", e->scan_ns);
    write_stage(w, "rerank", e->rerank_ns);
    if (h->filter_explain != NULL) {
        write_stage(w, "text", p->text_ns);
        write_stage(w, "fuse", p->fuse_ns);
    }
    om_w_double(w, 8, p->estimated);
    om_w_double(w, 9, p->selectivity);
    om_w_uint(w, 10, p->matches);
    om_w_uint(w, 11, p->tests);
    om_w_uint(w, 12, p->postings);
    om_w_uint(w, 13, p->candidates);
}

/* An Explain is small and rarely asked for: written once to a side buffer to know its size. */
static size_t explain_bytes(const om_wire_hits *h, uint8_t *out, size_t capacity)
{
    om_wbuf w = om_wbuf_of(out, capacity);
    write_explain(&w, h);
    return (size_t)(w.at - out);
}

/* ---- Texts, metadata, facets, groups -------------------------------------------------------------- */

static size_t text_size(const om_wire_texts *t, uint32_t i)
{
    return (size_t)(t->offsets[i + 1] - t->offsets[i]);
}

/* Repeated texts as field `number`, of one byte. */
static size_t texts_size(const om_wire_texts *t)
{
    size_t size = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        size += om_wsize_len(text_size(t, i));
    }
    return size;
}

static void write_texts(om_wbuf *w, uint32_t number, const om_wire_texts *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        om_w_len(w, number, text_size(t, i));
        om_w_raw(w, t->data + t->offsets[i], text_size(t, i));
    }
}

size_t om_wsize_metadata(const om_wire_texts *metadata)
{
    return texts_size(metadata);
}

void om_w_metadata(om_wbuf *w, const om_wire_texts *metadata)
{
    write_texts(w, 1, metadata);
}

static size_t counts_size(const om_wire_facet_values *facet)
{
    size_t size = 0;
    for (uint32_t i = 0; i < facet->values.count; i++) {
        size += om_wsize_varint(facet->counts[i]);
    }
    return size;
}

size_t om_wsize_facet(const om_wire_facet_values *facet)
{
    size_t counts = counts_size(facet);
    return om_wsize_len(strlen(facet->field)) + texts_size(&facet->values) +
           (counts > 0 ? om_wsize_len(counts) : 0);
}

void om_w_facet(om_wbuf *w, const om_wire_facet_values *facet)
{
    size_t counts = counts_size(facet);
    om_w_len(w, 1, strlen(facet->field));
    om_w_raw(w, facet->field, strlen(facet->field));
    write_texts(w, 2, &facet->values);
    if (counts > 0) {
        om_w_len(w, 3, counts);
        for (uint32_t i = 0; i < facet->values.count; i++) {
            om_w_varint(w, facet->counts[i]);
        }
    }
}

static size_t groups_size(const om_wire_hits *h)
{
    size_t size = 0;
    for (uint32_t i = 0; h->groups != NULL && i < h->count; i++) {
        size += om_wsize_varint(h->groups[i]);
    }
    return size;
}

/* ---- The answer ----------------------------------------------------------------------------------- */

/* What only searches beyond a plain vector leg have. */
static size_t extras_size(const om_wire_hits *h)
{
    size_t size = 0;
    if (h->count > 0 && h->scores != NULL) {
        size += om_wsize_len(4 * (size_t)h->count);
    }
    if (h->metadata != NULL) {
        size += om_wsize_len(om_wsize_metadata(h->metadata));
    }
    size_t groups = groups_size(h);
    size += groups > 0 ? om_wsize_len(groups) : 0;
    for (uint32_t i = 0; i < h->facet_count; i++) {
        size += om_wsize_len(om_wsize_facet(&h->facets[i]));
    }
    return size;
}

size_t om_search_response_size(const om_wire_hits *h)
{
    uint8_t scratch[EXPLAIN_MAX];
    size_t size =
        om_wsize_len(om_wsize_ids(h)) + om_wsize_fixed64(h->version) + (h->partial ? 2 : 0);
    if (h->count > 0 && h->distances != NULL) {
        size += om_wsize_len(4 * (size_t)h->count);
    }
    if (h->vectors != NULL) {
        size += om_wsize_len(vectors_size(h));
    }
    if (h->explain != NULL) {
        size += om_wsize_len(explain_bytes(h, scratch, sizeof scratch));
    }
    return size + extras_size(h);
}

static void write_groups(om_wbuf *w, const om_wire_hits *h)
{
    size_t groups = groups_size(h);
    if (groups > 0) {
        om_w_len(w, 9, groups);
        for (uint32_t i = 0; i < h->count; i++) {
            om_w_varint(w, h->groups[i]);
        }
    }
}

void om_write_search_response(const om_wire_hits *h, uint8_t *out, size_t size)
{
    uint8_t scratch[EXPLAIN_MAX];
    om_wbuf w = om_wbuf_of(out, size);
    om_w_len(&w, 1, om_wsize_ids(h));
    om_w_ids(&w, h);
    if (h->count > 0 && h->distances != NULL) {
        om_w_bytes(&w, 2, h->distances, 4 * (size_t)h->count);
    }
    if (h->count > 0 && h->scores != NULL) {
        om_w_bytes(&w, 3, h->scores, 4 * (size_t)h->count);
    }
    if (h->vectors != NULL) {
        om_w_len(&w, 4, vectors_size(h));
        om_w_uint(&w, 2, h->vectors_type);
        om_w_uint(&w, 3, h->vectors_dim);
        om_w_bytes(&w, 4, h->vectors, h->vectors_size);
    }
    om_w_fixed64(&w, 5, h->version);
    om_w_uint(&w, 6, h->partial ? 1 : 0);
    if (h->explain != NULL) {
        size_t bytes = explain_bytes(h, scratch, sizeof scratch);
        om_w_len(&w, 7, bytes);
        om_w_raw(&w, scratch, bytes);
    }
    if (h->metadata != NULL) {
        om_w_len(&w, 8, om_wsize_metadata(h->metadata));
        om_w_metadata(&w, h->metadata);
    }
    write_groups(&w, h);
    for (uint32_t i = 0; i < h->facet_count; i++) {
        om_w_len(&w, 10, om_wsize_facet(&h->facets[i]));
        om_w_facet(&w, &h->facets[i]);
    }
}
