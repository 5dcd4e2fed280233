/* engine_fields_rows.c - the bytes of single rows: slabs that are filled, or taken over from a batch, and
 * freed when their rows are in blocks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

/* Shared slabs begin small, so that a collection that rests costs little, and double. */
enum { SLAB_LEAST = 4096, SLAB_MOST = 262144 };

static omen_status_t new_slab(const om_alloc *alloc, om_slab **out, omen_error *err)
{
    om_slab *slab = om_alloc_zero(alloc, 1, sizeof *slab, _Alignof(om_slab));
    if (slab == NULL) {
        return om_fail_memory(err, "rows of metadata", sizeof *slab);
    }
    *out = slab;
    return OMEN_OK;
}

static void push(om_slabs *slabs, om_slab *slab, uint32_t end, size_t bytes)
{
    slab->end = end;
    slab->next = slabs->first;
    slabs->first = slab;
    slabs->bytes += bytes;
}

static bool is_shared(const om_slab *slab)
{
    return slab->adopted.bytes == NULL && slab->shared;
}

static omen_status_t add_shared(om_slabs *slabs, const om_alloc *alloc, size_t bytes, uint32_t end,
                                omen_error *err)
{
    om_slab *slab = NULL;
    const om_slab *last = slabs->first;
    size_t room = last != NULL && is_shared(last) ? last->buffer.capacity * 2 : SLAB_LEAST;
    room = room > SLAB_MOST ? SLAB_MOST : room;
    room = room < bytes ? bytes : room;
    omen_status_t status = new_slab(alloc, &slab, err);
    if (status != OMEN_OK) {
        return status;
    }
    slab->buffer = (om_textbuf){.alloc = alloc, .capacity = room};
    slab->buffer.data = om_alloc_get(alloc, room, OM_CACHE_LINE);
    if (slab->buffer.data == NULL) {
        om_alloc_put(alloc, slab, sizeof *slab, _Alignof(om_slab));
        return om_fail_memory(err, "rows of metadata", room);
    }
    slab->shared = true;
    push(slabs, slab, end, room);
    return OMEN_OK;
}

omen_status_t om_slabs_take(om_slabs *slabs, const om_alloc *alloc, size_t bytes, uint32_t end,
                            uint8_t **out, omen_error *err)
{
    om_slab *last = slabs->first;
    if (last == NULL || !is_shared(last) || last->buffer.capacity - last->buffer.size < bytes) {
        omen_status_t status = add_shared(slabs, alloc, bytes, end, err);
        if (status != OMEN_OK) {
            return status;
        }
        last = slabs->first;
    }
    *out = last->buffer.data + last->buffer.size;
    last->buffer.size += bytes;
    last->end = om_max_u32(last->end, end);
    return OMEN_OK;
}

omen_status_t om_slabs_adopt_meta(om_slabs *slabs, om_meta_rows *rows, uint32_t end,
                                  omen_error *err)
{
    om_slab *slab = NULL;
    omen_status_t status = new_slab(rows->alloc, &slab, err);
    if (status == OMEN_OK) {
        slab->adopted = *rows;
        push(slabs, slab, end, rows->capacity_bytes);
        memset(rows, 0, sizeof *rows);
    }
    return status;
}

omen_status_t om_slabs_adopt_text(om_slabs *slabs, om_textbuf *buffer, uint32_t end,
                                  omen_error *err)
{
    om_slab *slab = NULL;
    omen_status_t status = new_slab(buffer->alloc, &slab, err);
    if (status == OMEN_OK) {
        slab->buffer = *buffer;
        push(slabs, slab, end, buffer->capacity);
        memset(buffer, 0, sizeof *buffer);
    }
    return status;
}

/* Newest first, and the ends do not rise from there on. */
om_slab *om_slabs_cut(om_slabs *slabs, uint32_t end)
{
    om_slab **at = &slabs->first;
    while (*at != NULL && (*at)->end > end) {
        at = &(*at)->next;
    }
    om_slab *past = *at;
    *at = NULL;
    for (const om_slab *slab = past; slab != NULL; slab = slab->next) {
        slabs->bytes -=
            slab->adopted.bytes != NULL ? slab->adopted.capacity_bytes : slab->buffer.capacity;
    }
    return past;
}

void om_slab_free_list(const om_alloc *alloc, om_slab *list)
{
    while (list != NULL) {
        om_slab *next = list->next;
        if (list->adopted.bytes != NULL) {
            om_meta_rows_free(&list->adopted);
        }
        if (list->shared) {
            om_alloc_put(alloc, list->buffer.data, list->buffer.capacity, OM_CACHE_LINE);
        } else if (list->buffer.data != NULL) {
            om_textbuf_free(&list->buffer);
        }
        om_alloc_put(alloc, list, sizeof *list, _Alignof(om_slab));
        list = next;
    }
}
