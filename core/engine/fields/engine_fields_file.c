/* engine_fields_file.c - metadata, text and versions of one or several segments as sections of a file.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Blocks have 65,536 rows of the output. Where nothing died and the borders meet they are copied; else
 * they are made again from the rows, one block in memory at a time. Text is merged term after term. */
#include <string.h>

#include "engine_fields_file.h"

/* ---- Inputs -------------------------------------------------------------------------------------- */
typedef struct source {
    const om_merge_input *input;
    om_parts_list *held; /* NULL: no row has metadata */
    om_birth *births;    /* [birth_count], own */
    uint64_t birth_count;
} source;

typedef struct writing {
    om_sink *sink;
    om_collection *c;
    omen_op *op;
    source *sources; /* [count] */
    uint32_t count;
    bool packed;   /* dead rows are left out */
    uint32_t rows; /* of the output */
    bool meta, text;
} writing;

static omen_status_t stopped(const writing *x, omen_error *err)
{
    omen_status_t status = om_stop_check(x->sink->stop);
    return status == OMEN_OK
               ? OMEN_OK
               : om_fail(err, status, OMEN_D_NONE, "stopped; nothing at the path has changed");
}

/* Those of the rows that are written; a growing segment's list moves when it grows. */
static omen_status_t copy_births(source *s, omen_error *err)
{
    om_segment *seg = s->input->segment;
    const om_birth *list = NULL;
    uint64_t count = 0;
    omen_status_t status = om_births_of(seg, &list, &count, err);
    while (count != 0 && list[count - 1].first >= s->input->rows) {
        count--;
    }
    size_t bytes = (count != 0 ? count : 1) * sizeof *s->births;
    s->births = status == OMEN_OK ? om_alloc_zero(&seg->rt->alloc, 1, bytes, OM_CACHE_LINE) : NULL;
    if (status == OMEN_OK && s->births == NULL) {
        status = om_fail_memory(err, "versions of rows", bytes);
    } else if (status == OMEN_OK) {
        s->birth_count = count != 0 ? count : 1;
        s->births[0].version = atomic_load(&seg->last_version); /* an old file does not say more */
        if (count != 0) {
            memcpy(s->births, list, bytes);
        }
    }
    return status;
}

/* Those of a file never change; in memory the list grows with ids_mu held. */
static omen_status_t take_births(source *s, omen_error *err)
{
    om_segment *seg = s->input->segment;
    if (seg->mapped != NULL) {
        return copy_births(s, err);
    }
    om_rwlock_read(&seg->c->ids_mu);
    omen_status_t status = copy_births(s, err);
    om_rwlock_unlock(&seg->c->ids_mu);
    return status;
}

static omen_status_t open_sources(writing *x, const om_merge_input *inputs, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    x->sources = om_alloc_zero(&x->c->rt->alloc, x->count, sizeof *x->sources, OM_CACHE_LINE);
    if (x->sources == NULL) {
        return om_fail_memory(err, "segments", x->count * sizeof *x->sources);
    }
    for (uint32_t i = 0; i < x->count; i++) {
        source *s = &x->sources[i];
        s->input = &inputs[i];
        if (inputs[i].rows == 0) {
            continue;
        }
        OM_TRY(take_births(s, err));
        OM_TRY(om_fields_hold(inputs[i].segment, inputs[i].rows, x->sink->stop, &s->held, err));
        for (uint32_t k = 0; s->held != NULL && k < s->held->parts.meta_count; k++) {
            x->meta = x->meta || !s->held->meta[k].none;
        }
        for (uint32_t k = 0; s->held != NULL && k < s->held->parts.text_count; k++) {
            x->text = x->text || !s->held->text[k].none;
        }
    }
out:
    return status;
}

static void close_sources(writing *x)
{
    const om_alloc *alloc = &x->c->rt->alloc;
    for (uint32_t i = 0; x->sources != NULL && i < x->count; i++) {
        source *s = &x->sources[i];
        om_parts_free(alloc, s->held);
        om_alloc_put(alloc, s->births, (size_t)s->birth_count * sizeof *s->births, OM_CACHE_LINE);
    }
    om_alloc_put(alloc, x->sources, x->count * sizeof *x->sources, OM_CACHE_LINE);
}

/* Live rows of [first, end); all of them when dead ones stay. */
static uint32_t live_in(const writing *x, const source *s, uint32_t first, uint32_t end)
{
    uint32_t live = 0;
    if (!x->packed) {
        return end - first;
    }
    for (uint32_t slot = first; slot < end;) {
        uint32_t next = om_min_u32((slot | 63) + 1, end);
        uint64_t alive = ~s->input->dead[slot >> 6] & (UINT64_MAX << (slot & 63));
        alive &= (next & 63) != 0 ? (UINT64_C(1) << (next & 63)) - 1 : UINT64_MAX;
        live += (uint32_t)__builtin_popcountll(alive);
        slot = next;
    }
    return live;
}

/* ---- Metadata ------------------------------------------------------------------------------------ */
typedef struct blocks {
    writing *x;
    om_metabuild *build;
    om_bytes scratch;
    uint32_t waiting; /* rows in the builder */
    bool any;         /* one of them has fields */
    uint64_t *begins; /* [count + 1] */
    uint32_t count, done;
    uint64_t at;
} blocks;

static void end_block(blocks *b, size_t size)
{
    om_assert(b->done < b->count);
    b->at += size;
    b->begins[++b->done] = b->at;
    b->waiting = 0;
    b->any = false;
}

static omen_status_t flush(blocks *b, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &b->x->c->rt->alloc;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (b->waiting == 0) {
        return OMEN_OK;
    }
    OM_TRY(stopped(b->x, err));
    OM_TRY(om_metabuild_finish(b->build, &bytes, &size, err));
    if (b->any) {
        status = om_segwriter_append(b->x->sink->writer, bytes, size, err);
    }
    om_alloc_put(alloc, bytes, size, OM_CACHE_LINE);
    if (status == OMEN_OK) {
        end_block(b, b->any ? size : 0);
    }
out:
    return status;
}

static omen_status_t add_row(blocks *b, const om_metablock *block, uint32_t i, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint8_t *row = om_meta_empty;
    if (block != NULL) {
        b->scratch.size = 0;
        OM_TRY(om_metablock_row(block, i, &b->scratch, err));
        row = b->scratch.data;
        b->any = b->any || om_meta_fields(row) != 0;
    }
    OM_TRY(om_metabuild_add(b->build, row, err));
    if (++b->waiting == OM_FULL_ROWS) {
        status = flush(b, err);
    }
out:
    return status;
}

static omen_status_t add_part(blocks *b, const source *s, const om_meta_part *part, bool last,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t end = part->first + part->rows;
    bool whole = live_in(b->x, s, part->first, end) == part->rows;
    if (b->waiting == 0 && whole && (part->rows == OM_FULL_ROWS || last)) {
        size_t size = part->none ? 0 : part->holder->size;
        const uint8_t *bytes = part->none                    ? NULL
                               : part->holder->bytes != NULL ? part->holder->bytes
                                                             : part->holder->mapped;
        OM_TRY(stopped(b->x, err));
        OM_TRY(om_segwriter_append(b->x->sink->writer, bytes, size, err));
        end_block(b, size);
        return OMEN_OK;
    }
    const om_metablock *block = part->none ? NULL : atomic_load(&part->holder->open);
    for (uint32_t slot = part->first; slot < end; slot++) {
        if (!b->x->packed || !om_input_is_dead(s->input, slot)) {
            OM_TRY(add_row(b, block, slot - part->first, err));
        }
    }
out:
    return status;
}

static omen_status_t add_blocks(blocks *b, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < b->x->count; i++) {
        const source *s = &b->x->sources[i];
        const om_meta_part nothing = {.rows = s->input->rows, .none = true};
        const om_meta_part *parts = s->held != NULL ? s->held->meta : &nothing;
        uint32_t count = s->held != NULL ? s->held->parts.meta_count : s->input->rows != 0;
        for (uint32_t k = 0; k < count; k++) {
            bool last = i + 1 == b->x->count && k + 1 == count;
            OM_TRY(add_part(b, s, &parts[k], last && parts[k].rows <= OM_FULL_ROWS, err));
        }
    }
    status = flush(b, err);
out:
    return status;
}

static omen_status_t write_metadata(writing *x, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &x->c->rt->alloc;
    blocks b = {.x = x, .scratch = {.alloc = alloc}, .count = om_fields_blocks(x->rows)};
    b.begins = om_alloc_zero(alloc, b.count + 1, sizeof *b.begins, OM_CACHE_LINE);
    if (b.begins == NULL) {
        return om_fail_memory(err, "blocks of metadata", (b.count + 1) * sizeof *b.begins);
    }
    OM_TRY(om_metabuild_create(alloc, x->c->schema, &b.build, err));
    OM_TRY(om_segwriter_begin_open(x->sink->writer, OM_SECTION_METADATA, OM_VECTOR_INDEX_DEFAULT,
                                   err));
    OM_TRY(add_blocks(&b, err));
    om_assert(b.done == b.count);
    OM_TRY(om_segwriter_append(x->sink->writer, b.begins, (b.count + 1) * sizeof *b.begins, err));
    OM_TRY(om_segwriter_end(x->sink->writer, err));
out:
    om_metabuild_free(b.build);
    if (b.scratch.data != NULL) {
        om_bytes_free(&b.scratch);
    }
    om_alloc_put(alloc, b.begins, (b.count + 1) * sizeof *b.begins, OM_CACHE_LINE);
    return status;
}

/* ---- Text ---------------------------------------------------------------------------------------- */
typedef struct images {
    const om_textimage **list; /* [room] */
    const uint64_t **drop;     /* [room] */
    uint32_t count, room;
    struct om_text_image *blank, *tail; /* rows without words: OM_FULL_ROWS of them, and fewer */
} images;

static omen_status_t add_blank(writing *x, images *m, const uint64_t *drop, uint32_t rows,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    struct om_text_image **image = rows == OM_FULL_ROWS ? &m->blank : NULL;
    struct om_text_image *made = NULL;
    if (image == NULL || *image == NULL) {
        OM_TRY(om_fields_empty_image(x->c, rows, &made, err));
        made->next = m->tail; /* freed with the others */
        m->tail = made;
        if (image != NULL) {
            *image = made;
        }
    }
    m->list[m->count] = atomic_load(&(image != NULL ? *image : made)->open);
    m->drop[m->count++] = drop;
out:
    return status;
}

static omen_status_t add_text(writing *x, images *m, const source *s, const om_text_part *part,
                              omen_error *err)
{
    const uint64_t *drop = x->packed ? s->input->dead + part->first / 64 : NULL;
    if (part->first % 64 !=
        0) { /* blocks begin at borders; words under other rows would stay for ever */
        return om_fail(err, OMEN_INTERNAL, OMEN_D_NONE, "text: an image begins at row %u",
                       part->first);
    }
    if (!part->none) {
        m->list[m->count] = atomic_load(&part->holder->open);
        m->drop[m->count++] = drop;
        return OMEN_OK;
    }
    for (uint32_t at = 0; at < part->rows; at += OM_FULL_ROWS) {
        uint32_t rows = om_min_u32(OM_FULL_ROWS, part->rows - at);
        const uint64_t *from = drop != NULL ? drop + at / 64 : NULL;
        omen_status_t status = add_blank(x, m, from, rows, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t collect_images(writing *x, images *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &x->c->rt->alloc;
    for (uint32_t i = 0; i < x->count; i++) {
        const source *s = &x->sources[i];
        m->room += s->input->rows / OM_FULL_ROWS + 1;
        m->room += s->held != NULL ? s->held->parts.text_count : 0;
    }
    m->list = om_alloc_zero(alloc, m->room, sizeof *m->list, OM_CACHE_LINE);
    m->drop = om_alloc_zero(alloc, m->room, sizeof *m->drop, OM_CACHE_LINE);
    if (m->list == NULL || m->drop == NULL) {
        return om_fail_memory(err, "images of text", m->room * 2 * sizeof *m->list);
    }
    for (uint32_t i = 0; i < x->count; i++) {
        const source *s = &x->sources[i];
        const om_text_part nothing = {.rows = s->input->rows, .none = true};
        const om_text_part *parts = s->held != NULL ? s->held->text : &nothing;
        uint32_t count = s->held != NULL ? s->held->parts.text_count : s->input->rows != 0;
        for (uint32_t k = 0; k < count; k++) {
            OM_TRY(add_text(x, m, s, &parts[k], err));
        }
    }
out:
    return status;
}

static omen_status_t to_section(void *ctx, const void *bytes, size_t size, omen_error *err)
{
    writing *x = ctx;
    omen_status_t status = stopped(x, err);
    return status != OMEN_OK ? status : om_segwriter_append(x->sink->writer, bytes, size, err);
}

static omen_status_t write_text(writing *x, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &x->c->rt->alloc;
    om_textmerge *merge = NULL;
    images m = {.count = 0};
    OM_TRY(collect_images(x, &m, err));
    const om_text_merge what = {
        .images = m.list, .drop = m.drop, .count = m.count, .stop = x->sink->stop};
    OM_TRY(om_textmerge_create(alloc, &what, &merge, err));
    om_assert(om_textmerge_rows(merge) == x->rows);
    OM_TRY(om_segwriter_begin(x->sink->writer, OM_SECTION_TEXT, OM_VECTOR_INDEX_DEFAULT, 0, 0,
                              om_textmerge_bytes(merge), err));
    OM_TRY(om_textmerge_write(merge, to_section, x, err));
    OM_TRY(om_segwriter_end(x->sink->writer, err));
out:
    om_textmerge_free(merge);
    while (m.tail != NULL) {
        struct om_text_image *next = m.tail->next;
        om_text_image_unref(m.tail);
        m.tail = next;
    }
    om_alloc_put(alloc, m.list, m.room * sizeof *m.list, OM_CACHE_LINE);
    om_alloc_put(alloc, m.drop, m.room * sizeof *m.drop, OM_CACHE_LINE);
    return status;
}

/* ---- Versions ------------------------------------------------------------------------------------ */
/* Births of rows that are written, into out (NULL: only their number). */
static uint64_t collect_births(const writing *x, om_birth *out)
{
    uint64_t count = 0;
    uint32_t row = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        const source *s = &x->sources[i];
        for (uint64_t k = 0; k < s->birth_count; k++) {
            uint32_t end = k + 1 < s->birth_count ? s->births[k + 1].first : s->input->rows;
            uint32_t live = live_in(x, s, s->births[k].first, end);
            if (live != 0 && out != NULL) {
                out[count] = (om_birth){.version = s->births[k].version, .first = row};
            }
            count += live != 0;
            row += live;
        }
    }
    om_assert(row == x->rows);
    return count;
}

static omen_status_t write_births(writing *x, omen_error *err)
{
    const om_alloc *alloc = &x->c->rt->alloc;
    uint64_t count = collect_births(x, NULL);
    size_t bytes = (size_t)count * sizeof(om_birth);
    om_birth *list = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
    if (list == NULL) {
        return om_fail_memory(err, "versions of rows", bytes);
    }
    (void)collect_births(x, list);
    const om_section section = {
        .data = (const uint8_t *)list, .bytes = bytes, .stride = sizeof *list, .rows = count};
    omen_status_t status = om_sink_section(x->sink, &section, OM_SECTION_BIRTHS, err);
    om_alloc_put(alloc, list, bytes, OM_CACHE_LINE);
    return status;
}

/* ---- All of it ------------------------------------------------------------------------------------- */
omen_status_t om_sink_schema(om_sink *sink, om_collection *c, omen_error *err)
{
    size_t size = 0;
    uint8_t *bytes = NULL;
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_schema_give(c, &bytes, &size, err);
    om_mutex_unlock(&c->write_mu);
    if (status != OMEN_OK || size == 0) {
        return status;
    }
    const om_section section = {.data = bytes, .bytes = size};
    status = om_sink_section(sink, &section, OM_SECTION_SCHEMA, err);
    om_alloc_put(&c->rt->alloc, bytes, size, 8);
    return status;
}

omen_status_t om_sink_fields(om_sink *sink, om_collection *c, const om_fields_job *job,
                             omen_error *err)
{
    omen_status_t status = OMEN_OK;
    writing x = {.sink = sink, .c = c, .count = job->count, .packed = job->packed};
    for (uint32_t i = 0; i < job->count; i++) {
        x.rows += job->packed ? job->inputs[i].live : job->inputs[i].rows;
    }
    if (x.rows == 0) {
        return OMEN_OK;
    }
    OM_TRY(open_sources(&x, job->inputs, err));
    if (x.meta) {
        OM_TRY(write_metadata(&x, err));
    }
    if (x.text) {
        OM_TRY(write_text(&x, err));
    }
    OM_TRY(write_births(&x, err));
out:
    close_sources(&x);
    return status;
}
