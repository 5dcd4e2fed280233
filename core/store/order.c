/* order.c - a heap sort: n log n whatever comes, in place. SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

typedef struct heap {
    uint32_t *order;
    om_order_compare compare;
    const void *items;
} heap;

static bool before(const heap *h, uint32_t a, uint32_t b)
{
    return h->compare(h->items, h->order[a], h->order[b]) < 0;
}

static void swap(const heap *h, uint32_t a, uint32_t b)
{
    uint32_t held = h->order[a];
    h->order[a] = h->order[b];
    h->order[b] = held;
}

static void sift(const heap *h, uint32_t at, uint32_t count)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && before(h, child, child + 1)) {
            child++;
        }
        if (!before(h, at, child)) {
            return;
        }
        swap(h, at, child);
        at = child;
    }
}

void om_order_sort(uint32_t *order, uint32_t count, om_order_compare compare, const void *items)
{
    const heap h = {.order = order, .compare = compare, .items = items};
    om_assert(count <= UINT32_MAX / 2 - 1); /* 2 * at + 1 below has its place */
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (uint32_t i = count / 2; i > 0; i--) {
        sift(&h, i - 1, count);
    }
    for (uint32_t last = count; last > 1; last--) {
        swap(&h, 0, last - 1);
        sift(&h, 0, last - 1);
    }
}
