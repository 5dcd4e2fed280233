/* idpages.c - the bytes of ids in key order, in pages that are compacted one at a time.
 * SPDX-License-Identifier: Apache-2.0
 *
 * An id costs its bytes and two more. Keys rise, so a page is a range of keys, and a key is found
 * by a binary search over the pages and an index into one. Removal marks; a closed page of which
 * more than half is dead is written anew without the dead bytes, and a page without ids goes. Both
 * touch one page only, so that no removal ever takes longer than the copy of 32 KiB. */
#include "idpages.h"

#include <string.h>

enum {
    PAGE_MIN = 1024,
    PAGE_MAX = 32768, /* an end offset needs 15 bits; the sixteenth marks removed ids */
    ID_COST = 2,      /* bytes an id takes besides its own */
    REMOVED = 0x8000,
    END_MASK = 0x7FFF,
    /* The most that is left unused when an id does not fit into a page any more. */
    PAGE_WASTE = (int)OMEN_MAX_STRING_ID + ID_COST - 1,
};
_Static_assert(PAGE_WASTE < PAGE_MIN, "the smallest page holds the longest id");

static uint16_t *word_of(const om_idpage *page, uint32_t index)
{
    return (uint16_t *)(void *)(page->data + page->size - ID_COST * ((size_t)index + 1));
}

static uint32_t begin_of(const om_idpage *page, uint32_t index)
{
    return index == 0 ? 0 : (uint32_t)*word_of(page, index - 1) & END_MASK;
}

static uint32_t end_of(const om_idpage *page, uint32_t index)
{
    return (uint32_t)*word_of(page, index) & END_MASK;
}

static bool is_removed(const om_idpage *page, uint32_t index)
{
    return (*word_of(page, index) & REMOVED) != 0;
}

static bool has_room(const om_idpage *page, uint64_t cost)
{
    return page->used + ID_COST * (uint64_t)page->count + cost <= page->size;
}

void om_idpages_init(om_idpages *pages, const om_alloc *alloc)
{
    *pages = (om_idpages){.alloc = alloc, .next_key = 1};
}

void om_idpages_free(om_idpages *pages)
{
    for (size_t i = 0; i < pages->count; i++) {
        om_alloc_put(pages->alloc, pages->pages[i].data, pages->pages[i].size, OM_CACHE_LINE);
    }
    om_alloc_put(pages->alloc, pages->pages, pages->capacity * sizeof pages->pages[0],
                 _Alignof(om_idpage));
    om_idpages_init(pages, pages->alloc);
}

static omen_status_t grow_directory(om_idpages *pages, omen_error *err)
{
    size_t capacity = pages->capacity == 0 ? 4 : pages->capacity * 2;
    size_t old_bytes = pages->capacity * sizeof pages->pages[0];
    size_t bytes = 0;
    if (!om_mul_size(capacity, sizeof pages->pages[0], &bytes)) {
        return om_fail_memory(err, "directory of id pages", UINT64_MAX);
    }
    om_idpage *grown =
        om_alloc_grow(pages->alloc, pages->pages, old_bytes, bytes, _Alignof(om_idpage));
    if (grown == NULL) {
        return om_fail_memory(err, "directory of id pages", bytes);
    }
    pages->pages = grown;
    pages->capacity = capacity;
    return OMEN_OK;
}

/* Adds one spare page. Small tables get small pages: a quarter of what there is, at least what is
 * wanted. */
static omen_status_t add_spare(om_idpages *pages, uint64_t wanted, omen_error *err)
{
    uint64_t target = pages->page_bytes / 4 > wanted ? pages->page_bytes / 4 : wanted;
    uint32_t size = PAGE_MIN;
    while (size < PAGE_MAX && size < target) {
        size *= 2;
    }
    if (pages->count == pages->capacity) {
        omen_status_t status = grow_directory(pages, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    uint8_t *data = om_alloc_get(pages->alloc, size, OM_CACHE_LINE);
    if (data == NULL) {
        return om_fail_memory(err, "page of ids", size);
    }
    pages->pages[pages->count++] = (om_idpage){.data = data, .size = size};
    pages->spare_room += size - PAGE_WASTE;
    pages->page_bytes += size;
    return OMEN_OK;
}

omen_status_t om_idpages_reserve(om_idpages *pages, uint64_t ids, uint64_t bytes, omen_error *err)
{
    uint64_t total = bytes + ID_COST * ids; /* the caller bounds both */
    if (pages->started != 0 && has_room(&pages->pages[pages->started - 1], total)) {
        return OMEN_OK;
    }
    /* Ids fill one page after the other, and each page that is left for the next one holds all but
     * PAGE_WASTE bytes of its size. The last page need not be left, so it counts in full. */
    for (;;) {
        uint64_t have = pages->spare_room + (pages->count > pages->started ? PAGE_WASTE : 0);
        if (have >= total) {
            return OMEN_OK;
        }
        omen_status_t status = add_spare(pages, total - have, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
}

/* Writes the ids that are left to a page of their size. When there is no memory for it, the page
 * stays as it is: right, only larger. */
static void compact(om_idpages *pages, om_idpage *page)
{
    uint32_t live_bytes = page->used - page->dead;
    om_idpage tight = *page;
    tight.size = (live_bytes + ID_COST * page->count + 1) & ~(uint32_t)1;
    tight.data = om_alloc_get(pages->alloc, tight.size, OM_CACHE_LINE);
    if (tight.data == NULL) {
        return;
    }
    tight.used = 0;
    tight.dead = 0;
    for (uint32_t i = 0; i < page->count; i++) {
        uint32_t removed = is_removed(page, i) ? (uint32_t)REMOVED : 0;
        if (removed == 0) {
            uint32_t begin = begin_of(page, i);
            uint32_t length = end_of(page, i) - begin;
            memcpy(tight.data + tight.used, page->data + begin, length);
            tight.used += length;
        }
        *word_of(&tight, i) = (uint16_t)(tight.used | removed);
    }
    om_assert(tight.used == live_bytes);
    pages->page_bytes -= page->size - tight.size;
    om_alloc_put(pages->alloc, page->data, page->size, OM_CACHE_LINE);
    *page = tight;
}

/* Gives back what a closed page wastes. Pages behind it may move up by one. */
static void tidy(om_idpages *pages, size_t index)
{
    om_idpage *page = &pages->pages[index];
    if (page->live == 0) {
        pages->page_bytes -= page->size;
        om_alloc_put(pages->alloc, page->data, page->size, OM_CACHE_LINE);
        memmove(page, page + 1, (pages->count - index - 1) * sizeof *page);
        pages->count--;
        pages->started--;
    } else if (page->dead * 2 > page->used) {
        compact(pages, page);
    }
}

uint64_t om_idpages_append(om_idpages *pages, const void *id, size_t length)
{
    om_assert(length >= 1 && length <= OMEN_MAX_STRING_ID);
    if (pages->started == 0 || !has_room(&pages->pages[pages->started - 1], length + ID_COST)) {
        om_assert(pages->started < pages->count);
        om_idpage *next = &pages->pages[pages->started];
        pages->spare_room -= next->size - PAGE_WASTE;
        next->first_key = pages->next_key;
        pages->started++;
        if (pages->started > 1) {
            tidy(pages, pages->started - 2);
        }
    }
    om_idpage *page = &pages->pages[pages->started - 1];
    om_assert(has_room(page, length + ID_COST));
    memcpy(page->data + page->used, id, length);
    page->used += (uint32_t)length;
    *word_of(page, page->count) = (uint16_t)page->used;
    page->count++;
    page->live++;
    return pages->next_key++;
}

/* The page whose range of keys a key would be in: the last one that begins at or before it. */
static size_t page_of(const om_idpages *pages, uint64_t key)
{
    size_t low = 0;
    size_t high = pages->started;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (pages->pages[middle].first_key <= key) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

const uint8_t *om_idpages_get(const om_idpages *pages, uint64_t key, size_t *length)
{
    if (pages->started == 0) {
        return NULL;
    }
    const om_idpage *page = &pages->pages[page_of(pages, key)];
    if (key < page->first_key || key - page->first_key >= page->count) {
        return NULL;
    }
    uint32_t index = (uint32_t)(key - page->first_key);
    if (is_removed(page, index)) {
        return NULL;
    }
    uint32_t begin = begin_of(page, index);
    *length = end_of(page, index) - begin;
    return page->data + begin;
}

void om_idpages_remove(om_idpages *pages, uint64_t key)
{
    size_t at = page_of(pages, key);
    om_idpage *page = &pages->pages[at];
    uint32_t index = (uint32_t)(key - page->first_key);
    om_assert(index < page->count && !is_removed(page, index));
    page->dead += end_of(page, index) - begin_of(page, index);
    page->live--;
    *word_of(page, index) = (uint16_t)(*word_of(page, index) | REMOVED);
    if (at + 1 < pages->started) {
        tidy(pages, at);
    }
}

void om_idpages_each(const om_idpages *pages, om_idpages_fn fn, void *ctx)
{
    for (size_t p = 0; p < pages->started; p++) {
        const om_idpage *page = &pages->pages[p];
        for (uint32_t i = 0; i < page->count; i++) {
            if (!is_removed(page, i)) {
                uint32_t begin = begin_of(page, i);
                fn(ctx, page->first_key + i, page->data + begin, end_of(page, i) - begin);
            }
        }
    }
}

size_t om_idpages_bytes(const om_idpages *pages)
{
    return (size_t)pages->page_bytes + pages->capacity * sizeof pages->pages[0];
}
