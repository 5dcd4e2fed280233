/* filters.c - filters of requests. SPDX-License-Identifier: Apache-2.0 */
#include "filters.h"

#include <string.h>

omen_filter *om_source_compile(const om_filter_source *s, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    omen_filter *filter = NULL;
    if (omen_filter_compile(s->collection, s->text, s->size, s->params->list, s->params->count,
                            &filter, &err) == OMEN_OK) {
        return filter;
    }
    om_metrics_filter_error(s->metrics, err.detail);
    om_failure_from_engine(f, &err);
    if (err.status == OMEN_INVALID_ARGUMENT) {
        om_failure_about(f, s->field);
    }
    return NULL;
}

static uint64_t add(uint64_t h, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word = 0;
        memcpy(&word, p, 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    for (; size > 0; p++, size--) {
        h = (h ^ *p) * UINT64_C(0x100000001b3);
    }
    return h;
}

uint64_t om_source_hash(const om_filter_source *s)
{
    uint64_t head[2] = {s->size, s->params->count};
    uint64_t h = add(UINT64_C(0xcbf29ce484222325), head, sizeof head);
    h = add(h, s->text, s->size);
    for (uint32_t i = 0; i < s->params->count; i++) {
        const omen_param *p = &s->params->list[i];
        uint32_t shape[2] = {p->type, p->count};
        size_t size = p->count * (p->type == OMEN_TYPE_BOOL ? 1u : 8u);
        h = add(h, shape, sizeof shape);
        if (p->offsets != NULL) {
            h = add(h, p->offsets, ((size_t)p->count + 1) * sizeof *p->offsets);
            size = (size_t)p->offsets[p->count];
        }
        h = add(h, p->data, size);
    }
    return h;
}
