/* search_writer.c - SearchResponse into one buffer of exactly its size.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "search_reader.h"
#include "wwrite.h"

static size_t string_size(const omen_column *ids, uint32_t i)
{
    const int64_t *offsets = ids->offsets;
    return (size_t)(offsets[i + 1] - offsets[i]);
}

static size_t ids_size(const om_wire_hits *h)
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

static void write_ids(om_wbuf *w, const om_wire_hits *h)
{
    om_w_len(w, 1, ids_size(h));
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

static const char *plan_name(uint32_t plan)
{
    return plan == OMEN_PLAN_EXACT ? "exact" : plan == OMEN_PLAN_GRAPH ? "graph" : "other";
}

static void write_stage(om_wbuf *w, const char *name, uint64_t ns)
{
    om_w_len(w, 7, om_wsize_len(strlen(name)) + om_wsize_uint(ns));
    om_w_string(w, 1, name);
    om_w_uint(w, 2, ns);
}

static void write_explain(om_wbuf *w, const om_wire_hits *h)
{
    const omen_explain *e = h->explain;
    om_w_string(w, 1, plan_name(e->plan));
    om_w_uint(w, 2, e->ef);
    om_w_uint(w, 3, e->distances);
    om_w_uint(w, 4, e->hops);
    om_w_uint(w, 5, e->scanned);
    om_w_uint(w, 6, e->reranked);
    write_stage(w, "queue", h->queue_ns);
    write_stage(w, "entry", e->entry_ns);
    write_stage(w, "graph", e->graph_ns);
    write_stage(w, "scan", e->scan_ns);
    write_stage(w, "rerank", e->rerank_ns);
}

/* An Explain is small and rarely asked for: written once to a side buffer to know its size. */
static size_t explain_bytes(const om_wire_hits *h, uint8_t *out, size_t capacity)
{
    om_wbuf w = om_wbuf_of(out, capacity);
    write_explain(&w, h);
    return (size_t)(w.at - out);
}

size_t om_search_response_size(const om_wire_hits *h)
{
    uint8_t scratch[512];
    size_t size = om_wsize_len(ids_size(h)) + om_wsize_fixed64(h->version) + (h->partial ? 2 : 0);
    if (h->count > 0 && h->distances != NULL) {
        size += om_wsize_len(4 * (size_t)h->count);
    }
    if (h->vectors != NULL) {
        size += om_wsize_len(vectors_size(h));
    }
    if (h->explain != NULL) {
        size += om_wsize_len(explain_bytes(h, scratch, sizeof scratch));
    }
    return size;
}

void om_write_search_response(const om_wire_hits *h, uint8_t *out, size_t size)
{
    uint8_t scratch[512];
    om_wbuf w = om_wbuf_of(out, size);
    write_ids(&w, h);
    if (h->count > 0 && h->distances != NULL) {
        om_w_bytes(&w, 2, h->distances, 4 * (size_t)h->count);
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
}
