/* engine_fields_batch.c - the metadata of a batch: JSON parsed and text analysed at the door, without a
 * lock; then bound to the schema and put where it stays, with the write mutex, before the batch is logged.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

enum { TASK_LEAST = 64, TASK_MOST = 2048, STOP_EVERY = 128 };
_Alignas(8) const uint8_t om_meta_empty[8] = {8};

/* ---- Life -------------------------------------------------------------------------------------- */
static void drop_texts(struct om_batch_fields *f, const om_alloc *alloc)
{
    for (uint32_t i = 0; i < f->text_count; i++) {
        if (f->texts[i].data != NULL) {
            om_textbuf_free(&f->texts[i]);
        }
    }
    om_alloc_put(alloc, f->texts, f->text_count * sizeof *f->texts, OM_CACHE_LINE);
    om_alloc_put(alloc, f->text_offsets, (size_t)f->items * sizeof *f->text_offsets, OM_CACHE_LINE);
    f->texts = NULL;
    f->text_offsets = NULL;
    f->text_count = 0;
}

void om_fields_drop(om_write *w)
{
    struct om_batch_fields *f = w->fields;
    if (f == NULL) {
        return;
    }
    const om_alloc *alloc = &f->c->rt->alloc;
    size_t items = (size_t)f->items;
    drop_texts(f, alloc);
    if (f->rows.alloc != NULL) {
        om_meta_rows_free(&f->rows);
    }
    if (f->own.data != NULL) {
        om_bytes_free(&f->own);
    }
    om_alloc_put(alloc, f->own_offsets, (items + 1) * sizeof *f->own_offsets, OM_CACHE_LINE);
    om_alloc_put(alloc, f->meta, items * sizeof *f->meta, OM_CACHE_LINE);
    om_alloc_put(alloc, f->text, items * sizeof *f->text, OM_CACHE_LINE);
    om_alloc_put(alloc, f, sizeof *f, _Alignof(struct om_batch_fields));
    w->fields = NULL;
}

/* TEXT fields with lower ids have analysers. Before a batch is parsed: what came since may be a text to
 * it, or not, and its words may be missing. */
static uint32_t known_texts(om_collection *c)
{
    uint32_t count = 0;
    const om_text_of *fields = om_text_fields(c, &count);
    return count != 0 ? fields[count - 1].field + 1u : 0;
}

omen_status_t om_fields_make(om_write *w, omen_error *err)
{
    const om_alloc *alloc = &w->c->rt->alloc;
    size_t items = (size_t)w->batch->count;
    struct om_batch_fields *f =
        om_alloc_zero(alloc, 1, sizeof *f, _Alignof(struct om_batch_fields));
    if (f == NULL) {
        return om_fail_memory(err, "metadata of a batch", sizeof *f);
    }
    f->c = w->c;
    f->items = items;
    f->known = known_texts(w->c);
    w->fields = f;
    f->meta = om_alloc_zero(alloc, items, sizeof *f->meta, OM_CACHE_LINE);
    f->text = om_alloc_zero(alloc, items, sizeof *f->text, OM_CACHE_LINE);
    if (f->meta == NULL || f->text == NULL) {
        return om_fail_memory(err, "metadata of a batch", items * 2 * sizeof *f->meta);
    }
    return OMEN_OK;
}

omen_status_t om_fields_make_offsets(om_write *w, omen_error *err)
{
    struct om_batch_fields *f = w->fields;
    size_t bytes = ((size_t)f->items + 1) * sizeof *f->own_offsets;
    f->own_offsets = om_alloc_zero(&w->c->rt->alloc, 1, bytes, OM_CACHE_LINE);
    if (f->own_offsets == NULL) {
        return om_fail_memory(err, "metadata of a batch", bytes);
    }
    f->offsets = f->own_offsets;
    return OMEN_OK;
}

/* ---- Text rows ----------------------------------------------------------------------------------- */
typedef struct analysis {
    om_write *w;
    struct om_batch_fields *f;
    const om_text_of *targets; /* [target_count] */
    uint32_t target_count;
    omen_status_t *status; /* [tasks] */
    omen_error *errors;    /* [tasks] */
} analysis;

/* Scratch with its cache of stems is kept by the runtime: making it costs more than a short text. */
static omen_status_t take_words(omen_runtime *rt, om_words **out, omen_error *err)
{
    for (uint32_t i = 0; i < OM_WORDS_KEPT; i++) {
        om_words *words = atomic_exchange_explicit(&rt->words[i], NULL, memory_order_acquire);
        if (words != NULL) {
            *out = words;
            return OMEN_OK;
        }
    }
    return om_words_create(&rt->alloc, out, err);
}

static void give_words(omen_runtime *rt, om_words *words)
{
    for (uint32_t i = 0; i < OM_WORDS_KEPT; i++) {
        om_words *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&rt->words[i], &none, words,
                                                    memory_order_release, memory_order_relaxed)) {
            return;
        }
    }
    om_words_free(words);
}

void om_words_drop(omen_runtime *rt)
{
    for (uint32_t i = 0; i < OM_WORDS_KEPT; i++) {
        om_words *words = atomic_exchange(&rt->words[i], NULL);
        if (words != NULL) {
            om_words_free(words);
        }
    }
}

/* The TEXT fields that a row has; returns their number. */
static uint32_t texts_of(const analysis *a, const uint8_t *row, om_text_field *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->target_count; i++) {
        om_meta_value value;
        if (om_meta_get(row, a->targets[i].field, &value) && value.type == OMEN_TYPE_TEXT) {
            out[count++] = (om_text_field){.field = value.field,
                                           .analyser = a->targets[i].analyser,
                                           .text = (const char *)value.payload,
                                           .length = value.size};
        }
    }
    return count;
}

static omen_status_t analyse_items(const analysis *a, uint32_t task, om_text_field *fields,
                                   om_words *words, omen_error *err)
{
    struct om_batch_fields *f = a->f;
    om_textbuf *out = &f->texts[task];
    om_stop stop = {.op = a->w->op};
    uint64_t end = om_min_u64(f->items, ((uint64_t)task + 1) * f->per_text);
    for (uint64_t i = (uint64_t)task * f->per_text; i < end; i++) {
        if (i % STOP_EVERY == 0 && om_stop_check(&stop) != OMEN_OK) {
            return om_fail(err, OMEN_CANCELLED, OMEN_D_NONE,
                           "cancelled before anything was written");
        }
        uint32_t count =
            om_write_skips(a->w, i) ? 0 : texts_of(a, f->bytes + f->offsets[i], fields);
        size_t at = out->size;
        f->text_offsets[i] = SIZE_MAX;
        if (count == 0) {
            continue;
        }
        omen_status_t status = om_textrow_make(fields, count, words, out, err);
        if (status != OMEN_OK) {
            return status;
        }
        if (om_textrow_empty(out->data + at)) {
            out->size = at;
        } else {
            f->text_offsets[i] = at;
        }
    }
    return OMEN_OK;
}

static void analyse_task(void *ctx, uint32_t worker, uint32_t task)
{
    analysis *a = ctx;
    omen_runtime *rt = a->w->c->rt;
    omen_status_t status = OMEN_OK;
    omen_error *err = &a->errors[task];
    om_words *words = NULL;
    size_t bytes = a->target_count * sizeof(om_text_field);
    om_text_field *fields = om_alloc_get(&rt->alloc, bytes, OM_CACHE_LINE);
    (void)worker;
    if (fields == NULL) {
        status = om_fail_memory(err, "text of a batch", bytes);
        goto out;
    }
    a->f->texts[task].alloc = &rt->alloc;
    OM_TRY(take_words(rt, &words, err));
    status = analyse_items(a, task, fields, words, err);
out:
    if (words != NULL) {
        give_words(rt, words);
    }
    om_alloc_put(&rt->alloc, fields, bytes, OM_CACHE_LINE);
    a->status[task] = status;
}

/* Whether an accepted item has a TEXT field at all. */
static bool any_text(const analysis *a)
{
    const struct om_batch_fields *f = a->f;
    for (uint64_t i = 0; i < f->items; i++) {
        for (uint32_t t = 0; t < a->target_count; t++) {
            om_meta_value value;
            if (om_meta_get(f->bytes + f->offsets[i], a->targets[t].field, &value)) {
                return true;
            }
        }
    }
    return false;
}

static omen_status_t run_tasks(analysis *a, uint32_t tasks, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_runtime *rt = a->w->c->rt;
    om_executor *executor = tasks > 1 ? rt->executor : &om_executor_serial;
    a->status = om_alloc_zero(&rt->alloc, tasks, sizeof *a->status, OM_CACHE_LINE);
    a->errors = om_alloc_zero(&rt->alloc, tasks, sizeof *a->errors, OM_CACHE_LINE);
    if (a->status == NULL || a->errors == NULL) {
        status = om_fail_memory(err, "text of a batch", tasks * sizeof *a->errors);
        goto out;
    }
    executor->run(executor, analyse_task, a, tasks);
    for (uint32_t i = 0; i < tasks && status == OMEN_OK; i++) {
        status = a->status[i];
        if (status != OMEN_OK && err != NULL) {
            *err = a->errors[i];
        }
    }
out:
    om_alloc_put(&rt->alloc, a->status, tasks * sizeof *a->status, OM_CACHE_LINE);
    om_alloc_put(&rt->alloc, a->errors, tasks * sizeof *a->errors, OM_CACHE_LINE);
    return status;
}

omen_status_t om_fields_analyse(om_write *w, omen_error *err)
{
    struct om_batch_fields *f = w->fields;
    const om_alloc *alloc = &w->c->rt->alloc;
    analysis a = {.w = w, .f = f};
    drop_texts(f, alloc);
    a.targets = om_text_fields(w->c, &a.target_count);
    if (a.target_count == 0 || !any_text(&a)) {
        return OMEN_OK;
    }
    uint64_t share = f->items / w->c->rt->executor->threads + 1;
    f->per_text = (uint32_t)om_min_u64(share < TASK_LEAST ? TASK_LEAST : share, TASK_MOST);
    uint32_t tasks = (uint32_t)((f->items + f->per_text - 1) / f->per_text);
    f->text_offsets =
        om_alloc_get(alloc, (size_t)f->items * sizeof *f->text_offsets, OM_CACHE_LINE);
    f->texts = om_alloc_zero(alloc, tasks, sizeof *f->texts, OM_CACHE_LINE);
    f->text_count = f->texts != NULL ? tasks : 0;
    if (f->text_offsets == NULL || f->texts == NULL) {
        return om_fail_memory(err, "text of a batch", f->items * sizeof *f->text_offsets);
    }
    return run_tasks(&a, tasks, err);
}

/* ---- At the door --------------------------------------------------------------------------------- */
static omen_status_t refuse(void *ctx, uint64_t item, omen_status_t status, omen_error *err)
{
    return om_write_refuse(ctx, item, status, err);
}

/* Rows all without fields are as if there was no metadata. */
static bool is_empty(const struct om_batch_fields *f)
{
    return f->rows.added_count == 0 &&
           f->offsets[f->items] - f->offsets[0] == f->items * sizeof om_meta_empty;
}

omen_status_t om_fields_parse(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const omen_batch *b = w->batch;
    if (b->metadata.data == NULL || b->count == 0) {
        return OMEN_OK;
    }
    OM_TRY(om_fields_make(w, err));
    struct om_batch_fields *f = w->fields;
    const om_meta_input input = {.schema = w->c->schema,
                                 .column = &b->metadata,
                                 .count = b->count,
                                 .patch = b->mode == OMEN_PATCH,
                                 .refuse = refuse,
                                 .ctx = w};
    OM_TRY(om_meta_parse(&w->c->rt->alloc, &input, &f->rows, err));
    f->bytes = f->rows.bytes;
    f->offsets = f->rows.offsets;
    if (is_empty(f)) {
        om_fields_drop(w);
        goto out;
    }
    if (f->offsets[f->items] > OMEN_MAX_BATCH_BYTES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "batch: %llu bytes of metadata are above the limit of %u",
                       (unsigned long long)f->offsets[f->items], OMEN_MAX_BATCH_BYTES);
    }
    if (b->mode != OMEN_PATCH) { /* else the merged rows are */
        OM_TRY(om_fields_analyse(w, err));
    }
out:
    return status;
}

omen_status_t om_fields_recover(om_write *w, const uint8_t *rows, size_t bytes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    size_t count = (size_t)w->batch->count;
    OM_TRY(om_fields_make(w, err));
    OM_TRY(om_fields_make_offsets(w, err));
    struct om_batch_fields *f = w->fields;
    f->bytes = rows;
    for (size_t i = 0; i < count; i++) { /* that they fit was checked when the record was decoded */
        const uint8_t *row = rows + f->own_offsets[i];
        OM_TRY(om_meta_check(w->c->schema, row, om_meta_size(row), err));
        f->own_offsets[i + 1] = f->own_offsets[i] + om_meta_size(row);
    }
    om_assert(f->own_offsets[count] == bytes);
    (void)bytes;
    f->bound = true;
    OM_TRY(om_fields_analyse(w, err));
out:
    return status;
}

uint64_t om_fields_bytes(const om_write *w)
{
    const struct om_batch_fields *f = w->fields;
    uint64_t bytes = f != NULL ? f->offsets[f->items] : 0;
    for (uint32_t i = 0; f != NULL && i < f->text_count; i++) {
        bytes += f->texts[i].size;
    }
    return bytes;
}

/* ---- With the write mutex ------------------------------------------------------------------------ */
/* Whether a TEXT field came since the texts were analysed: one that the items call by its name has no
 * words yet. */
static bool text_is_stale(const struct om_batch_fields *f)
{
    return known_texts(f->c) > f->known;
}

omen_status_t om_fields_bind(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    struct om_batch_fields *f = w->fields;
    uint32_t first = 0;
    if (f->bound) {
        return OMEN_OK;
    }
    OM_TRY(om_meta_bind(f->c->schema, &f->rows, &first, err));
    f->bytes = f->rows.bytes; /* rows may have moved */
    f->offsets = f->rows.offsets;
    f->bound = true;
    if (w->batch->mode != OMEN_PATCH && text_is_stale(f)) {
        OM_TRY(om_fields_analyse(w, err));
    }
out:
    return status;
}

/* Rows of accepted items, one behind the other, where they stay. */
static omen_status_t place_meta(om_write *w, om_fields *fields, uint32_t end, omen_error *err)
{
    struct om_batch_fields *f = w->fields;
    const om_alloc *alloc = &w->c->rt->alloc;
    uint64_t total = 0;
    uint8_t *to = NULL;
    for (uint64_t i = 0; i < f->items; i++) {
        total += om_write_skips(w, i) ? 0 : f->offsets[i + 1] - f->offsets[i];
    }
    bool adopts = total >= OM_ADOPT_BYTES && w->accepted == f->items && f->rows.bytes == f->bytes;
    omen_status_t status = adopts
                               ? om_slabs_adopt_meta(&fields->meta, &f->rows, end, err)
                               : om_slabs_take(&fields->meta, alloc, (size_t)total, end, &to, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t row = 0;
    for (uint64_t i = 0; i < f->items; i++) {
        size_t size = (size_t)(f->offsets[i + 1] - f->offsets[i]);
        if (om_write_skips(w, i)) {
            continue;
        }
        f->meta[row] = f->bytes + f->offsets[i];
        if (!adopts) {
            memcpy(to, f->meta[row], size);
            f->meta[row] = to;
            to += size;
        }
        row++;
    }
    return OMEN_OK;
}

static omen_status_t place_buffer(om_write *w, om_fields *fields, uint32_t task, uint32_t end,
                                  const uint8_t **out, omen_error *err)
{
    om_textbuf *buffer = &w->fields->texts[task];
    uint8_t *to = NULL;
    *out = buffer->data;
    if (buffer->size == 0) {
        return OMEN_OK;
    }
    if (buffer->size >= OM_ADOPT_BYTES) {
        return om_slabs_adopt_text(&fields->text, buffer, end, err);
    }
    omen_status_t status =
        om_slabs_take(&fields->text, &w->c->rt->alloc, buffer->size, end, &to, err);
    if (status == OMEN_OK) {
        memcpy(to, buffer->data, buffer->size);
        *out = to;
    }
    return status;
}

static omen_status_t place_text(om_write *w, om_fields *fields, uint32_t end, omen_error *err)
{
    struct om_batch_fields *f = w->fields;
    const uint8_t *base = NULL;
    uint64_t row = 0;
    f->words = 0;
    if (f->text_offsets == NULL) {
        return OMEN_OK;
    }
    for (uint64_t i = 0; i < f->items; i++) {
        if (i % f->per_text == 0) {
            uint32_t task = (uint32_t)(i / f->per_text);
            omen_status_t status = place_buffer(w, fields, task, end, &base, err);
            if (status != OMEN_OK) {
                return status;
            }
        }
        if (!om_write_skips(w, i)) {
            bool words = f->text_offsets[i] != SIZE_MAX;
            f->text[row++] = words ? base + f->text_offsets[i] : NULL;
            f->words += words;
        }
    }
    return OMEN_OK;
}

omen_status_t om_fields_stage(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t slot = atomic_load_explicit(&w->seg->visible, memory_order_relaxed);
    uint32_t begin = slot + (uint32_t)w->ahead;
    uint32_t end = begin + (uint32_t)w->accepted;
    om_fields *fields = om_fields_of(w->seg);
    if (w->accepted == 0) {
        return OMEN_OK; /* nor do its new fields stay */
    }
    OM_TRY(om_fields_bind(w, err));
    if (fields == NULL) {
        OM_TRY(om_fields_start(w->seg, &fields, err));
    }
    OM_TRY(om_fields_reserve(w->seg, begin, end, err));
    OM_TRY(place_meta(w, fields, end, err));
    OM_TRY(place_text(w, fields, end, err));
out:
    return status;
}

void om_fields_apply(om_write *w, uint32_t slot)
{
    const struct om_batch_fields *f = w->fields;
    om_fields *fields = om_fields_of(w->seg);
    const om_rowdir *dir = atomic_load_explicit(&fields->dir, memory_order_relaxed);
    for (uint32_t i = 0; i < w->accepted; i++, slot++) {
        om_rowchunk *chunk = atomic_load_explicit(&dir->chunk[slot / OM_CHUNK_ROWS - dir->first],
                                                  memory_order_relaxed);
        chunk->meta[slot % OM_CHUNK_ROWS] = om_meta_fields(f->meta[i]) != 0 ? f->meta[i] : NULL;
        chunk->text[slot % OM_CHUNK_ROWS] = f->text[i];
    }
    atomic_fetch_add_explicit(&fields->text_rows, f->words, memory_order_relaxed);
}
