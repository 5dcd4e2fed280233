/* base_alloc.c - the caller's allocator behind a byte budget; the only file that calls the C library's.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

bool om_budget_take(om_budget *budget, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    for (;;) {
        uint64_t after;
        if (__builtin_add_overflow(used, bytes, &after) ||
            (budget->limit != 0 && after > budget->limit)) {
            atomic_fetch_add_explicit(&budget->rejections, 1, memory_order_relaxed);
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&budget->used, &used, after, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
}

void om_budget_give(om_budget *budget, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    om_assert(before >= bytes);
    (void)before;
}

/* A block of no bytes still needs an address of its own. */
static size_t real_size(size_t size)
{
    return size != 0 ? size : 1;
}

static void *get_block(const om_alloc *alloc, size_t size, size_t align)
{
    if (alloc->fns.alloc != NULL) {
        return alloc->fns.alloc(alloc->fns.ctx, size, align);
    }
    if (align <= alignof(max_align_t)) {
        return malloc(size);
    }
    return aligned_alloc(align, om_round_up(size, align));
}

void *om_alloc_get(const om_alloc *alloc, size_t size, size_t align)
{
    om_assert(align != 0 && (align & (align - 1)) == 0);
    size = real_size(size);
    if (size > PTRDIFF_MAX - align) {
        return NULL;
    }
    if (alloc->budget != NULL && !om_budget_take(alloc->budget, size)) {
        return NULL;
    }
    void *block = get_block(alloc, size, align);
    om_assert(((uintptr_t)block & (align - 1)) == 0);
    if (block == NULL && alloc->budget != NULL) {
        om_budget_give(alloc->budget, size);
    }
    return block;
}

void *om_alloc_zero(const om_alloc *alloc, size_t count, size_t size, size_t align)
{
    size_t bytes;
    if (!om_mul_size(count, size, &bytes)) {
        return NULL;
    }
    void *block = om_alloc_get(alloc, bytes, align);
    if (block != NULL) {
        memset(block, 0, bytes);
    }
    return block;
}

void om_alloc_put(const om_alloc *alloc, void *block, size_t size, size_t align)
{
    if (block == NULL) {
        return;
    }
    size = real_size(size);
    if (alloc->fns.alloc != NULL) {
        alloc->fns.free(alloc->fns.ctx, block, size, align);
    } else {
        free(block);
    }
    if (alloc->budget != NULL) {
        om_budget_give(alloc->budget, size);
    }
}

void *om_alloc_grow(const om_alloc *alloc, void *block, size_t old_size, size_t new_size,
                    size_t align)
{
    void *grown = om_alloc_get(alloc, new_size, align);
    if (grown == NULL) {
        return NULL;
    }
    size_t keep = old_size < new_size ? old_size : new_size;
    if (block != NULL && keep != 0) {
        memcpy(grown, block, keep);
    }
    om_alloc_put(alloc, block, old_size, align);
    return grown;
}
