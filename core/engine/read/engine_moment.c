/* engine_moment.c - the live rows that pass, as they are between two batches.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_moment.h"

#include <string.h>

/* So often rows may come between the bitmaps and the lock; then writers wait for the bitmaps. */
enum { ROUNDS = 4, SPARE_WORDS = 64 };

void om_moment_free(om_moment *moment)
{
    om_alloc_put(moment->alloc, moment->part, moment->part_room * sizeof *moment->part,
                 OM_CACHE_LINE);
    om_alloc_put(moment->alloc, moment->words, moment->word_room * sizeof *moment->words,
                 OM_CACHE_LINE);
    *moment = (om_moment){.alloc = moment->alloc};
}

static omen_status_t reserve(om_moment *moment, uint32_t parts, size_t words, omen_error *err)
{
    if (parts > moment->part_room || words > moment->word_room) {
        om_moment_free(moment);
        moment->part = om_alloc_get(moment->alloc, parts * sizeof *moment->part, OM_CACHE_LINE);
        moment->part_room = moment->part != NULL ? parts : 0;
        moment->words = om_alloc_get(moment->alloc, words * sizeof *moment->words, OM_CACHE_LINE);
        moment->word_room = moment->words != NULL ? words : 0;
        if (moment->part == NULL || moment->words == NULL) {
            return om_fail_memory(err, "rows of a moment", words * sizeof *moment->words);
        }
    }
    moment->count = parts;
    return OMEN_OK;
}

/* What takes long, before the lock: memory and bitmaps. */
static omen_status_t prepare(const om_reader *from, om_filter *filter, const om_stop *stop,
                             om_moment *moment, omen_error *err)
{
    size_t words = 0;
    for (uint32_t i = 0; i < from->set->count; i++) {
        words += om_reader_rows(from, i) / 64 + SPARE_WORDS;
    }
    omen_status_t status = reserve(moment, from->set->count, words, err);
    for (uint32_t i = 0; status == OMEN_OK && i < from->set->count; i++) {
        om_part part = om_part_of(from, i);
        om_pass_need need = {.segment = part.segment,
                             .rows = part.rows,
                             .past = from->snapshot != NULL,
                             .stop = stop};
        moment->part[i] = (om_moment_part){.part = part};
        if (filter != NULL && part.rows != 0 && part.view != NULL) {
            status = om_filter_pass(filter, &need, &moment->part[i].pass, err);
        }
        if (status == OMEN_OK && part.rows != 0 && part.view != NULL && from->snapshot == NULL &&
            part.view->mapped != NULL) {
            status = om_mapped_touch(part.view->mapped, OM_TOUCH_DEAD, 0, part.rows, err);
        }
    }
    return status;
}

/* The rows of one part that pass and live; false: rows came that its bitmap or the room has not. */
static bool copy_part(om_moment *moment, om_moment_part *to, bool filtered, size_t *used)
{
    om_part *part = &to->part;
    size_t words = ((size_t)part->rows + 63) / 64;
    to->live = NULL;
    if (part->rows == 0 || part->view == NULL) {
        part->rows = 0;
        return true;
    }
    if (filtered && (to->pass == NULL || to->pass->rows < part->rows)) {
        return false;
    }
    if (part->live == part->rows && (!filtered || to->pass->rows == part->rows)) {
        to->live = filtered ? to->pass->words : NULL;
        return true;
    }
    if (*used + words > moment->word_room) {
        return false;
    }
    om_rows_of of = {.pass = to->pass, .dead_now = part->view->dead, .last = part->rows};
    of.dead_then = part->snapshot != NULL ? part->snapshot->dead[part->number] : NULL;
    uint64_t *live = moment->words + *used;
    for (size_t word = 0; word < words; word++) {
        live[word] = om_rows_word(&of, (uint32_t)word);
    }
    to->live = live;
    *used += words;
    return true;
}

/* *late: rows or segments came since prepare. */
static void copy_all(const om_reader *from, bool filtered, om_moment *moment, bool *late)
{
    size_t used = 0;
    *late = from->snapshot == NULL && om_set_load(from->c) != from->set;
    for (uint32_t i = 0; i < moment->count && !*late; i++) {
        moment->part[i].part = om_part_of(from, i);
        *late = !copy_part(moment, &moment->part[i], filtered, &used);
    }
}

static omen_status_t take_once(const omen_collection *handle, om_filter *filter,
                               const om_stop *stop, om_moment *moment, bool *late, omen_error *err)
{
    om_collection *c = handle->c;
    om_reader from = om_reader_of(handle);
    omen_status_t status = prepare(&from, filter, stop, moment, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (from.snapshot != NULL) {
        copy_all(&from, filter != NULL, moment, late);
        return OMEN_OK;
    }
    om_rwlock_read(&c->ids_mu);
    copy_all(&from, filter != NULL, moment, late);
    om_rwlock_unlock(&c->ids_mu);
    return OMEN_OK;
}

static omen_status_t take_alone(const omen_collection *handle, om_filter *filter,
                                const om_stop *stop, om_moment *moment, omen_error *err)
{
    bool late = false;
    om_mutex_lock(&handle->c->write_mu);
    omen_status_t status = take_once(handle, filter, stop, moment, &late, err);
    om_mutex_unlock(&handle->c->write_mu);
    om_assert(status != OMEN_OK || !late);
    return status;
}

static uint32_t bits_of(uint64_t x)
{
    x -= (x >> 1) & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (uint32_t)((x * UINT64_C(0x0101010101010101)) >> 56);
}

static void count(om_moment *moment)
{
    moment->matches = 0;
    moment->live = 0;
    moment->rows = 0;
    for (uint32_t i = 0; i < moment->count; i++) {
        om_moment_part *part = &moment->part[i];
        part->matches = part->live == NULL ? part->part.rows : 0;
        for (size_t word = 0; part->live != NULL && word < ((size_t)part->part.rows + 63) / 64;
             word++) {
            part->matches += bits_of(part->live[word]);
        }
        moment->matches += part->matches;
        moment->live += part->part.rows != 0 ? part->part.live : 0;
        moment->rows += part->part.rows;
    }
}

omen_status_t om_moment_take(const omen_collection *handle, om_filter *filter, const om_stop *stop,
                             om_moment *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    bool late = true;
    for (uint32_t round = 0; round < ROUNDS && late && status == OMEN_OK; round++) {
        status = take_once(handle, filter, stop, out, &late, err);
    }
    if (status == OMEN_OK && late) {
        status = take_alone(handle, filter, stop, out, err);
    }
    if (status == OMEN_OK) {
        count(out);
    }
    return status;
}

om_rows_of om_moment_rows(const om_moment_part *part, uint32_t first, uint32_t last)
{
    return (om_rows_of){.live = part->live, .still = true, .first = first, .last = last};
}
