/* engine_legs_text.c - legs by words: BM25 over the images and single rows of all segments.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "engine_find.h"

enum { FIRST_SOURCES = 64 };
#define DEFAULT_K1 1.2f
#define DEFAULT_B 0.75f

/* ---- The query ----------------------------------------------------------------------------------- */
static omen_status_t compile(om_find *f, om_find_leg *leg)
{
    const om_alloc *alloc = &f->c->rt->alloc;
    const omen_leg *in = leg->in;
    uint32_t count = 1;
    const om_text_of *of =
        leg->field != NULL ? om_text_of_field(f->c, leg->field->id) : om_text_fields(f->c, &count);
    om_text_target *targets = om_alloc_zero(alloc, count, sizeof *targets, OM_CACHE_LINE);
    if (targets == NULL) {
        return om_fail_memory(f->err, "fields of a text query", count * sizeof *targets);
    }
    for (uint32_t i = 0; i < count; i++) {
        targets[i] = (om_text_target){of[i].field, of[i].weight, of[i].analyser};
    }
    bool chosen = in->k1 == 0 && in->b == 0;
    om_textquery_options options = {.text = in->text != NULL ? in->text : "",
                                    .length = in->text_len,
                                    .targets = targets,
                                    .target_count = count,
                                    .k1 = chosen ? DEFAULT_K1 : in->k1,
                                    .b = chosen ? DEFAULT_B : in->b,
                                    .stop = &f->stop};
    omen_status_t status = om_textquery_create(alloc, &options, &leg->query, f->err);
    om_alloc_put(alloc, targets, count * sizeof *targets, OM_CACHE_LINE);
    return status;
}

/* ---- What is searched ---------------------------------------------------------------------------- */
typedef struct sources {
    om_find *f;
    uint32_t count; /* in f->sources */
} sources;

static omen_status_t add_source(sources *to, const om_moment_part *at, uint32_t first,
                                om_text_source source)
{
    om_find *f = to->f;
    if (to->count == f->source_room) {
        uint32_t room = f->source_room != 0 ? f->source_room * 2 : FIRST_SOURCES;
        om_text_source *grown =
            om_alloc_grow(&f->c->rt->alloc, f->sources, f->source_room * sizeof *grown,
                          room * sizeof *grown, OM_CACHE_LINE);
        if (grown == NULL) {
            return om_fail_memory(f->err, "parts of a text search", room * sizeof *grown);
        }
        f->sources = grown;
        f->source_room = room;
    }
    source.pass = at->live != NULL ? at->live + first / 64 : NULL;
    source.dead_shift = first; /* its first row: there are no dead ones in `live` */
    f->sources[to->count++] = source;
    return om_find_origin(f, at->part.segment, &f->sources[to->count - 1].tag);
}

static omen_status_t add_images(sources *to, const om_moment_part *at, const om_fields_look *look)
{
    for (uint32_t i = 0; i < look->parts->text_count; i++) {
        const om_text_part *text = &look->parts->text[i];
        om_text_source source = {.image = NULL};
        if (text->none || text->first >= at->part.rows) {
            continue;
        }
        omen_status_t status = om_fields_image(look, i, &source.image, to->f->err);
        if (status == OMEN_OK) {
            source.count = om_min_u32(text->rows, at->part.rows - text->first);
            status = add_source(to, at, text->first, source);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t add_rows(sources *to, const om_moment_part *at, const om_fields_look *look)
{
    for (uint32_t slot = look->parts->text_covered; slot < at->part.rows; slot += OM_CHUNK_ROWS) {
        const om_rowchunk *chunk = om_fields_chunk(look, slot);
        if (chunk == NULL) {
            continue;
        }
        om_text_source source = {.rows = chunk->text,
                                 .count = om_min_u32(OM_CHUNK_ROWS, at->part.rows - slot)};
        omen_status_t status = add_source(to, at, slot, source);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

/* Where nothing passes words are counted all the same: scores do not depend on the filter. */
static omen_status_t add_part(sources *to, const om_moment_part *at)
{
    om_find *f = to->f;
    om_fields_look look;
    om_fields_look_at(at->part.segment, at->part.rows, &look);
    if (f->filter != NULL && f->hits->filters != NULL) {
        double guess = 0;
        omen_status_t status =
            om_pass_estimate(f->filter, &look, at->pass, &f->stop, &guess, f->err);
        f->filters.estimated += guess;
        if (status != OMEN_OK) {
            return status;
        }
    }
    if (!look.any) {
        return OMEN_OK;
    }
    omen_status_t status = add_images(to, at, &look);
    return status != OMEN_OK ? status : add_rows(to, at, &look);
}

/* The rows of one moment, the same for all legs: an item that is replaced meanwhile is found as it was. */
static omen_status_t gather(om_find *f, sources *to)
{
    uint64_t begun = om_find_clock(f);
    const om_moment *moment = &f->moment;
    omen_status_t status = OMEN_OK;
    if (!f->taken) {
        status = om_moment_take(f->handle, f->filter, &f->stop, &f->moment, f->err);
        f->taken = status == OMEN_OK;
    }
    f->filters.estimated = 0;
    for (uint32_t i = 0; status == OMEN_OK && i < moment->count; i++) {
        if (moment->part[i].part.rows != 0) {
            status = add_part(to, &moment->part[i]);
        }
    }
    if (status != OMEN_OK) {
        return status;
    }
    f->filters.matches = moment->matches;
    if (f->filter != NULL && moment->matches == 0) {
        to->count = 0; /* nothing passes anywhere */
    }
    double live = moment->live != 0 ? (double)moment->live : 1;
    double rows = moment->rows != 0 ? (double)moment->rows : 1;
    f->filters.selectivity = fmin((double)moment->matches / live, 1);
    f->filters.estimated = f->filter == NULL ? 1 : fmin(f->filters.estimated / rows, 1);
    f->filters.filter_ns += om_find_clock(f) - begun;
    return OMEN_OK;
}

/* ---- Keys of what has equal scores --------------------------------------------------------------- */
/* A piece of them at a time, as keys of a file are checked before their first use. */
static omen_status_t keys_from(void *ctx, uint32_t source, uint32_t row, const uint64_t **keys,
                               uint32_t *count, omen_error *err)
{
    enum { PIECE = 4096 };
    const om_find *f = ctx;
    const om_text_source *from = &f->sources[source];
    const om_view *view = om_view_load(f->segments[from->tag]);
    uint32_t slot = from->dead_shift + row;
    *count = om_min_u32(PIECE - slot % PIECE, from->count - row);
    if (view->mapped != NULL) {
        omen_status_t status = om_mapped_touch(view->mapped, OM_TOUCH_KEYS, slot, *count, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    *keys = view->keys + slot;
    return OMEN_OK;
}

/* ---- What is found ------------------------------------------------------------------------------- */
static omen_status_t key_of(om_find *f, om_segment *seg, uint32_t slot, uint64_t *key)
{
    const om_view *view = om_view_load(seg);
    if (view->mapped != NULL) {
        omen_status_t status = om_mapped_touch(view->mapped, OM_TOUCH_KEYS, slot, 1, f->err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    *key = view->keys[slot];
    return OMEN_OK;
}

static omen_status_t take_hits(om_find *f, om_find_leg *leg, const om_text_search *search)
{
    leg->count = 0;
    for (uint32_t i = 0; i < search->found && leg->count < leg->limit; i++) {
        const om_text_hit *hit = &search->hits[i];
        const om_text_source *source = &search->sources[hit->source];
        om_ranked *item = &leg->items[leg->count];
        *item = (om_ranked){
            .value = hit->score, .origin = source->tag, .slot = source->dead_shift + hit->row};
        omen_status_t status = key_of(f, f->segments[source->tag], item->slot, &item->key);
        if (status != OMEN_OK) {
            return status;
        }
        leg->count++;
    }
    return OMEN_OK;
}

static void note(om_find *f, const om_text_search *search)
{
    f->filters.postings += search->counters.postings;
    f->filters.candidates += search->counters.candidates;
    f->explain.plan =
        f->filter != NULL && f->filters.matches == 0 ? OMEN_PLAN_EMPTY : OMEN_PLAN_TEXT;
}

/* What stops a search for words has no text; at the deadline the other legs may be enough. */
static omen_status_t stopped(om_find *f, omen_status_t status)
{
    if (status == OMEN_DEADLINE_EXCEEDED && (f->in->flags & OMEN_PARTIAL_OK) != 0) {
        f->partial = true;
        return OMEN_OK;
    }
    if (status == OMEN_DEADLINE_EXCEEDED || status == OMEN_CANCELLED) {
        return om_fail(f->err, status, OMEN_D_NONE, "stopped while text was searched");
    }
    return status;
}

static omen_status_t run(om_find *f, const om_find_leg *leg, om_text_search *search)
{
    sources to = {.f = f};
    omen_status_t status = stopped(f, gather(f, &to));
    search->query = leg->query;
    search->sources = f->sources;
    search->source_count = to.count;
    search->found = 0;
    if (status != OMEN_OK || f->partial) {
        return status;
    }
    uint64_t begun = om_find_clock(f);
    status = om_stop_check(&f->stop);
    if (status == OMEN_OK && to.count != 0) {
        status = om_text_run(search, f->ctx->text, f->err);
    }
    f->filters.text_ns += om_find_clock(f) - begun;
    return stopped(f, status);
}

omen_status_t om_leg_text(om_find *f, om_find_leg *leg)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &f->c->rt->alloc;
    om_text_search search = {
        .limit = leg->limit, .stop = &f->stop, .keys = keys_from, .keys_ctx = f};
    size_t bytes = search.limit * sizeof *search.hits;
    if (leg->query == NULL) {
        OM_TRY(stopped(f, compile(f, leg)));
        if (f->partial) {
            note(f, &search);
            return OMEN_OK;
        }
    }
    OM_TRY(om_leg_room(f, leg, leg->limit));
    OM_TRY(om_ctx_text(f->c->rt, f->ctx, f->err));
    search.hits = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
    if (search.hits == NULL) {
        return om_fail_memory(f->err, "hits of a text search", bytes);
    }
    status = run(f, leg, &search);
    if (status == OMEN_OK) {
        status = take_hits(f, leg, &search);
    }
    om_alloc_put(alloc, search.hits, bytes, OM_CACHE_LINE);
    om_ctx_note_bytes(f->ctx);
    f->searches++;
    note(f, &search);
out:
    return status;
}
