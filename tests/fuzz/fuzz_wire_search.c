/* fuzz_wire_search.c - the reader of SearchRequest on any bytes, split anywhere. What it takes,
 * protobuf-c must take too, with the same parameters. The first byte seeds the split.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "omen/v1/items.pb-c.h"
#include "search_reader.h"
#include "service_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t touched;

static void touch(const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        touched += p[i];
    }
}

static size_t data_size(const omen_param *p)
{
    if (p->type == OMEN_TYPE_STRING || p->type == OMEN_TYPE_BYTES) {
        return (size_t)p->offsets[p->count];
    }
    return p->count * (p->type == OMEN_TYPE_BOOL ? 1u : 8u);
}

static void check_params(const om_params *a, const om_params *b)
{
    if (a->count != b->count || a->values != b->values) {
        abort();
    }
    for (uint32_t i = 0; i < a->count; i++) {
        const omen_param *p = &a->list[i];
        const omen_param *q = &b->list[i];
        if (p->type != q->type || p->count != q->count || data_size(p) != data_size(q) ||
            memcmp(p->data, q->data, data_size(p)) != 0) {
            abort();
        }
    }
}

static void touch_all(const om_wire_search *q)
{
    for (uint32_t i = 0; i < q->leg_count; i++) {
        const om_wire_leg *leg = om_wire_leg_at(q, i);
        touch(leg->vector, leg->vector_size);
        touch(leg->text, leg->text_size);
        touch(leg->like.data, leg->like.size);
        touch(leg->like.offsets, leg->like.type == OM_IDS_STRING ? 4 * (leg->like.count + 1) : 0);
        touch(leg->field, leg->field != NULL ? strlen(leg->field) : 0);
    }
    touch(q->filter, q->filter_size);
    for (uint32_t i = 0; i < q->field_count; i++) {
        touch(q->fields[i], strlen(q->fields[i]));
    }
    for (uint32_t i = 0; i < q->facet_count; i++) {
        touch(q->facets[i].field, strlen(q->facets[i].field));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_wread r;
    om_failure f = {0};
    om_arena arena;
    om_wire_search search;
    if (size == 0) {
        return 0;
    }
    uint64_t seed = data[0];
    split parts = split_bytes(data + 1, size - 1, &seed);
    om_arena_init(&arena, NULL, 0, 0);
    om_wread_init(&r, parts.span, parts.count);
    if (om_read_search(&r, &arena, &search, &f)) {
        om_arena other;
        om_params params;
        om_arena_init(&other, NULL, 0, 0);
        touch_all(&search);
        const Omen__V1__SearchRequest *q =
            om_guard_unpack(&omen__v1__search_request__descriptor, &other, data + 1, size - 1, &f);
        if (q != NULL) {
            if (q->min_version != search.min_version || q->n_legs != search.leg_count ||
                q->n_fields != search.field_count || q->n_facets != search.facet_count ||
                !om_params_from_pb(q->params, q->n_params, &other, &params, &f)) {
                abort();
            }
            check_params(&search.params, &params);
        }
        om_arena_reset(&other);
    } else if (f.code == 0) {
        abort();
    }
    om_arena_reset(&arena);
    split_free(&parts);
    return 0;
}
