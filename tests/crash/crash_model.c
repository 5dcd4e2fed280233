/* crash_model.c - what the writers write, and what must be there then. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "crash.h"

uint64_t crash_mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint32_t crash_below(uint64_t *rng, uint32_t bound)
{
    *rng = crash_mix(*rng);
    return (uint32_t)(((*rng >> 32) * bound) >> 32);
}

void crash_writer_init(crash_run *run, uint32_t index)
{
    crash_writer *w = &run->writers[index];
    memset(w, 0, sizeof *w);
    w->run = run;
    w->index = index;
    w->stream = index < 2 * CRASH_COLLECTIONS;
    w->rng = crash_mix(run->seed ^ ((uint64_t)(index + 1) << 40));
}

crash_batch *crash_at(crash_writer *w, uint64_t number)
{
    return &w->ring[number % CRASH_RING];
}

void crash_apply(const crash_batch *b, uint64_t *state)
{
    for (uint32_t i = 0; i < b->count && !b->refused; i++) {
        bool gone = b->op == OMEN__V1__WRITE_OP__WRITE_OP_DELETE;
        state[b->ids[i]] = gone ? 0 : b->number;
    }
}

void crash_advance(crash_writer *w, uint64_t number)
{
    while (w->acked < number) {
        const crash_batch *b = crash_at(w, ++w->acked);
        crash_apply(b, w->now);
        w->rows += b->count;
    }
    w->sent = w->sent < w->acked ? w->acked : w->sent;
}

/* Up to CRASH_ROWS different ids; with `want`, only such that exist (1) or do not (0). */
static uint32_t choose(crash_writer *w, crash_batch *b, int want)
{
    uint32_t wanted = 1 + crash_below(&w->rng, CRASH_ROWS);
    uint32_t at = crash_below(&w->rng, CRASH_IDS);
    uint32_t step =
        1 + 2 * crash_below(&w->rng, 8); /* 240 = 16 * 15: some of these come back early */
    step = step % 3 == 0 || step % 5 == 0 ? 7 : step;
    b->count = 0;
    for (uint32_t n = 0; n < CRASH_IDS && b->count < wanted; n++) {
        bool live = w->next[at] != 0;
        if (want < 0 || live == (want == 1)) {
            b->ids[b->count++] = (uint16_t)at;
        }
        at = (at + step) % CRASH_IDS;
    }
    return b->count;
}

crash_batch *crash_make(crash_writer *w)
{
    crash_batch *b = crash_at(w, ++w->made);
    *b = (crash_batch){.number = w->made, .op = OMEN__V1__WRITE_OP__WRITE_OP_UPSERT};
    uint32_t dice = crash_below(&w->rng, 100);
    if (dice < 25 && choose(w, b, crash_below(&w->rng, 4) == 0 ? -1 : 1) > 0) {
        b->op = OMEN__V1__WRITE_OP__WRITE_OP_DELETE;
    } else if (dice >= 25 && dice < 40 && choose(w, b, 0) > 0) {
        b->op = OMEN__V1__WRITE_OP__WRITE_OP_INSERT;
    } else if (dice >= 40 && dice < 50 && choose(w, b, 1) > 0) {
        b->op = OMEN__V1__WRITE_OP__WRITE_OP_UPDATE;
    } else if (dice >= 50 && dice < 54 && choose(w, b, 1) > 0) {
        b->op = OMEN__V1__WRITE_OP__WRITE_OP_INSERT;
        b->refused = true;
    } else {
        (void)choose(w, b, -1);
    }
    crash_apply(b, w->next);
    return b;
}

void crash_row(const crash_writer *w, uint32_t id, uint64_t number, float *out)
{
    uint64_t state = crash_mix(number ^ ((uint64_t)w->index << 32) ^ ((uint64_t)id << 40));
    out[0] = (float)id;
    out[1] = (float)(number & 0xFFFFFF);
    for (uint32_t d = 2; d < CRASH_DIM; d++) {
        out[d] = (float)crash_below(&state, 1024);
    }
}

uint64_t crash_who_wrote(const crash_writer *w, uint32_t id, const float *row)
{
    float want[CRASH_DIM];
    if (!(row[1] >= 1 && row[1] <= (float)0xFFFFFF)) {
        return UINT64_MAX;
    }
    uint64_t number = (uint64_t)row[1];
    crash_row(w, id, number, want);
    return memcmp(row, want, sizeof want) == 0 ? number : UINT64_MAX;
}
