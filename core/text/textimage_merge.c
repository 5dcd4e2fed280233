/* textimage_merge.c - several images as one: their terms side by side in order, rows renumbered on the
 * way.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

typedef struct input {
    const om_textimage *image;
    const uint64_t *drop;
    uint32_t *kept;      /* rows that stay before each word of drop; NULL without drop */
    uint32_t base, rows; /* its first row in the merged image; how many stay */
    uint32_t *fields;    /* [image fields] the field's number in the merged image */
    uint32_t term;       /* where it is */
    uint32_t length;
    const char *word;
} input;
struct om_textmerge {
    const om_alloc *alloc;
    om_textfeed feed;
    om_textwriter writer;
    bool measured;
    input *inputs;
    uint32_t count, heaped, equal;
    uint32_t *heap;   /* inputs by their terms, the least first */
    uint32_t *equals; /* those that have the term that is written, in their order */
    uint16_t *fields;
    size_t fields_room;
};

/* ---- Rows that stay ------------------------------------------------------------------------- */
static bool dropped(const input *in, uint32_t row)
{
    return in->drop != NULL && (in->drop[row / 64] >> (row % 64) & 1) != 0;
}

static uint32_t row_of(const input *in, uint32_t row)
{
    if (in->drop == NULL) {
        return in->base + row;
    }
    const uint64_t below = (UINT64_C(1) << (row % 64)) - 1;
    return in->base + in->kept[row / 64] +
           (uint32_t)__builtin_popcountll(~in->drop[row / 64] & below);
}

static size_t words_of(const input *in)
{
    return ((size_t)in->image->head->rows + 63) / 64;
}

static omen_status_t count_rows(om_textmerge *m, input *in, omen_error *err)
{
    const uint32_t rows = in->image->head->rows;
    in->rows = rows;
    if (in->drop == NULL) {
        return OMEN_OK;
    }
    in->kept = om_alloc_get(m->alloc, words_of(in) * sizeof *in->kept, 64);
    if (in->kept == NULL) {
        return om_fail_memory(err, "a merge of text", words_of(in) * sizeof *in->kept);
    }
    in->rows = 0;
    for (uint32_t i = 0; i < words_of(in); i++) {
        const uint32_t left = rows - i * 64;
        const uint64_t valid = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        in->kept[i] = in->rows;
        in->rows += (uint32_t)__builtin_popcountll(~in->drop[i] & valid);
    }
    return OMEN_OK;
}

/* ---- Terms side by side --------------------------------------------------------------------- */
static uint32_t field_of(const input *in)
{
    return in->fields[om_textentry_field(&in->image->entries[in->term])];
}

static int compare_inputs(const input *a, const input *b)
{
    const uint32_t x = field_of(a), y = field_of(b);
    if (x != y) {
        return x < y ? -1 : 1;
    }
    int order = memcmp(a->word, b->word, om_min_u32(a->length, b->length));
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

static bool before(const om_textmerge *m, uint32_t a, uint32_t b)
{
    int order = compare_inputs(&m->inputs[a], &m->inputs[b]);
    return order != 0 ? order < 0 : a < b;
}

static void sift_down(om_textmerge *m)
{
    const uint32_t moved = m->heap[0];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= m->heaped) {
            break;
        }
        if (child + 1 < m->heaped && before(m, m->heap[child + 1], m->heap[child])) {
            child++;
        }
        if (!before(m, m->heap[child], moved)) {
            break;
        }
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = moved;
}

static void sift_up(om_textmerge *m, uint32_t number)
{
    uint32_t at = m->heaped++;
    for (; at > 0 && before(m, number, m->heap[(at - 1) / 2]); at = (at - 1) / 2) {
        m->heap[at] = m->heap[(at - 1) / 2];
    }
    m->heap[at] = number;
}

/* Its next term into the heap, unless there is none. Terms that do not ascend are damage: the order
 * of the merged image, and of equal terms, rests on it. */
static omen_status_t load_term(om_textmerge *m, uint32_t number, bool first, omen_error *err)
{
    input *in = &m->inputs[number];
    input old = *in;
    in->term = first ? 0 : in->term + 1;
    if (in->term == in->image->head->terms) {
        return OMEN_OK;
    }
    if (!om_textimage_word(in->image, in->term, &in->word, &in->length)) {
        return om_text_damaged(err, "a term is out of bounds");
    }
    if (!first && compare_inputs(&old, in) >= 0) {
        return om_text_damaged(err, "terms are not in order");
    }
    sift_up(m, number);
    return OMEN_OK;
}

static void rewind_terms(void *ctx)
{
    om_textmerge *m = ctx;
    m->heaped = 0;
    m->equal = UINT32_MAX; /* nothing is loaded yet */
}

static omen_status_t next_term(void *ctx, om_textterm *term, bool *more, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textmerge *m = ctx;
    if (m->equal == UINT32_MAX) {
        for (uint32_t i = 0; i < m->count; i++) {
            OM_TRY(load_term(m, i, true, err));
        }
    } else {
        for (uint32_t i = 0; i < m->equal; i++) {
            OM_TRY(load_term(m, m->equals[i], false, err));
        }
    }
    m->equal = 0;
    *more = m->heaped != 0;
    if (!*more) {
        return OMEN_OK;
    }
    do { /* equal terms come in the order of their images */
        m->equals[m->equal++] = m->heap[0];
        m->heap[0] = m->heap[--m->heaped];
        sift_down(m);
    } while (m->heaped != 0 &&
             compare_inputs(&m->inputs[m->heap[0]], &m->inputs[m->equals[0]]) == 0);
    const input *in = &m->inputs[m->equals[0]];
    *term = (om_textterm){.field = field_of(in), .length = in->length, .word = in->word};
out:
    return status;
}

/* ---- Their postings ------------------------------------------------------------------------- */
typedef struct block {
    uint32_t rows[OM_PACK] __attribute__((aligned(16)));
    uint32_t counts[OM_PACK] __attribute__((aligned(16)));
    uint32_t n;
} block;

static omen_status_t load_block(const om_textlist *list, uint32_t number, block *b, omen_error *err)
{
    b->n = om_textlist_count(list, number);
    if (!om_textlist_rows(list, number, b->rows) || !om_textlist_counts(list, number, b->counts)) {
        return om_text_damaged(err, "a block of postings is out of bounds");
    }
    return OMEN_OK;
}

static omen_status_t write_rows(const input *in, const block *b, uint32_t field, uint32_t *last,
                                om_listwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < b->n; i++) {
        const uint32_t row = b->rows[i];
        if (*last != UINT32_MAX && row <= *last) {
            return om_text_damaged(err, "rows of a list are not in order");
        }
        *last = row;
        if (!dropped(in, row)) {
            OM_TRY(om_listwriter_row(writer, row_of(in, row), b->counts[i],
                                     om_textimage_length(in->image, field, row), err));
        }
    }
out:
    return status;
}

static omen_status_t write_positions(const input *in, const om_textlist *list, uint32_t number,
                                     const block *b, om_listwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textplaces places;
    uint64_t from = 0;
    if (!om_textlist_places(list, number, b->counts, &places)) {
        return om_text_damaged(err, "positions are out of bounds");
    }
    for (uint32_t i = 0; i < b->n; from += b->counts[i], i++) {
        if (!dropped(in, b->rows[i])) {
            uint32_t *positions;
            OM_TRY(om_listwriter_room(writer, b->counts[i], &positions, err));
            om_textplaces_get(&places, from, b->counts[i], positions);
            OM_TRY(om_listwriter_positions(writer, b->counts[i], err));
        }
    }
out:
    return status;
}

static omen_status_t feed_list(om_textmerge *m, om_listwriter *writer, bool positions,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < m->equal; i++) {
        const input *in = &m->inputs[m->equals[i]];
        om_textlist list;
        block b;
        uint32_t last = UINT32_MAX;
        if (om_textlist_open(in->image, in->term, &list) != OMEN_OK) {
            return om_text_damaged(err, "a list is out of bounds");
        }
        for (uint32_t number = 0; number < list.blocks; number++) {
            if (number % 256 == 255 && m->feed.stop != NULL) {
                OM_TRY(om_stop_check(m->feed.stop));
            }
            OM_TRY(load_block(&list, number, &b, err));
            if (positions) {
                OM_TRY(write_positions(in, &list, number, &b, writer, err));
            } else {
                OM_TRY(write_rows(in, &b, list.field, &last, writer, err));
            }
        }
    }
out:
    return status;
}

static omen_status_t feed_rows(void *ctx, om_listwriter *writer, omen_error *err)
{
    return feed_list(ctx, writer, false, err);
}

static omen_status_t feed_positions(void *ctx, om_listwriter *writer, omen_error *err)
{
    return feed_list(ctx, writer, true, err);
}

/* Lengths are asked for in ascending pieces; each is found again from the inputs. */
static void feed_lengths(void *ctx, uint32_t field, uint32_t first, uint32_t count, uint32_t *out)
{
    const om_textmerge *m = ctx;
    memset(out, 0, count * sizeof *out);
    for (uint32_t i = 0; i < m->count; i++) {
        const input *in = &m->inputs[i];
        const uint32_t own = om_textimage_field(in->image, m->fields[field]);
        if (own == UINT32_MAX || in->base + in->rows <= first || in->base >= first + count) {
            continue;
        }
        uint32_t row = 0;
        if (first > in->base && in->drop == NULL) {
            row = first - in->base;
        } else if (first > in->base) { /* the last word with no more than these rows before it */
            uint32_t low = 0, high = (uint32_t)words_of(in);
            while (high - low > 1) {
                const uint32_t middle = (low + high) / 2;
                if (in->kept[middle] <= first - in->base) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            row = low * 64;
        }
        for (; row < in->image->head->rows; row++) {
            if (dropped(in, row)) {
                continue;
            }
            const uint32_t to = row_of(in, row);
            if (to >= first + count) {
                break;
            }
            if (to >= first) {
                out[to - first] = om_textimage_length(in->image, own, row);
            }
        }
    }
}

/* ---- The whole ------------------------------------------------------------------------------ */
static omen_status_t note_field(om_textmerge *m, uint16_t field, omen_error *err)
{
    uint32_t at = 0;
    while (at < m->feed.fields && m->fields[at] < field) {
        at++;
    }
    if (at < m->feed.fields && m->fields[at] == field) {
        return OMEN_OK;
    }
    omen_status_t status = om_text_room(m->alloc, (void **)&m->fields, &m->fields_room,
                                        (size_t)m->feed.fields + 1, sizeof *m->fields, err);
    if (status == OMEN_OK) {
        memmove(m->fields + at + 1, m->fields + at, (m->feed.fields - at) * sizeof *m->fields);
        m->fields[at] = field;
        m->feed.fields++;
    }
    return status;
}

static omen_status_t map_fields(om_textmerge *m, input *in, omen_error *err)
{
    const uint32_t count = in->image->head->fields;
    in->fields = om_alloc_get(m->alloc, count * sizeof *in->fields, 64);
    if (in->fields == NULL) {
        return om_fail_memory(err, "a merge of text", count * sizeof *in->fields);
    }
    for (uint32_t f = 0, at = 0; f < count; f++) {
        while (m->fields[at] != in->image->fields[f].field) {
            at++;
        }
        in->fields[f] = at;
    }
    return OMEN_OK;
}

static omen_status_t open_inputs(om_textmerge *m, const om_text_merge *what, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < what->count; i++) {
        input *in = &m->inputs[i];
        in->image = what->images[i];
        in->drop = what->drop != NULL ? what->drop[i] : NULL;
        in->base = (uint32_t)rows;
        OM_TRY(count_rows(m, in, err));
        rows += in->rows;
        if (rows > OM_TEXT_MAX_ROWS) {
            return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                           "text: more than %u rows in a segment", OM_TEXT_MAX_ROWS);
        }
        for (uint32_t f = 0; f < in->image->head->fields; f++) {
            OM_TRY(note_field(m, in->image->fields[f].field, err));
        }
    }
    for (uint32_t i = 0; i < what->count; i++) {
        OM_TRY(map_fields(m, &m->inputs[i], err));
    }
    m->feed.rows = (uint32_t)rows;
    m->feed.field = m->fields;
out:
    return status;
}

static omen_status_t prepare(const om_alloc *alloc, const om_text_merge *what, om_textmerge **out,
                             omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textmerge *m = om_alloc_zero(alloc, 1, sizeof *m, 64);
    if (m == NULL) {
        return om_fail_memory(err, "a merge of text", sizeof *m);
    }
    m->alloc = alloc;
    m->count = what->count;
    m->feed = (om_textfeed){.stop = what->stop,
                            .ctx = m,
                            .rewind = rewind_terms,
                            .next = next_term,
                            .list_rows = feed_rows,
                            .list_positions = feed_positions,
                            .lengths = feed_lengths};
    m->inputs = om_alloc_zero(alloc, what->count, sizeof *m->inputs, 64);
    m->heap = om_alloc_get(alloc, ((size_t)what->count + 1) * sizeof *m->heap, 64);
    m->equals = om_alloc_get(alloc, ((size_t)what->count + 1) * sizeof *m->equals, 64);
    if (m->inputs == NULL || m->heap == NULL || m->equals == NULL) {
        status = om_fail_memory(err, "a merge of text", what->count * sizeof *m->inputs);
        goto out;
    }
    OM_TRY(open_inputs(m, what, err));
    *out = m;
out:
    if (status != OMEN_OK) {
        om_textmerge_free(m);
    }
    return status;
}

omen_status_t om_textmerge_create(const om_alloc *alloc, const om_text_merge *what,
                                  om_textmerge **out, omen_error *err)
{
    om_textmerge *m;
    omen_status_t status = prepare(alloc, what, &m, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = om_textwriter_measure(alloc, &m->feed, false, &m->writer, err);
    if (status != OMEN_OK) {
        om_textmerge_free(m);
        return status;
    }
    m->measured = true;
    *out = m;
    return OMEN_OK;
}

uint64_t om_textmerge_bytes(const om_textmerge *merge)
{
    return merge->writer.head.size;
}

uint32_t om_textmerge_rows(const om_textmerge *merge)
{
    return merge->feed.rows;
}

omen_status_t om_textmerge_write(om_textmerge *merge, om_text_sink sink, void *ctx, omen_error *err)
{
    return om_textwriter_write(&merge->writer, sink, ctx, err);
}

omen_status_t om_textimage_merge(const om_alloc *alloc, const om_text_merge *what, uint8_t **out,
                                 size_t *size, omen_error *err)
{
    om_textmerge *m;
    omen_status_t status = prepare(alloc, what, &m, err);
    if (status == OMEN_OK) {
        status = om_textwriter_memory(alloc, &m->feed, out, size, err);
        om_textmerge_free(m);
    }
    return status;
}

void om_textmerge_free(om_textmerge *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t i = 0; m->inputs != NULL && i < m->count; i++) {
        input *in = &m->inputs[i];
        if (in->kept != NULL) {
            om_alloc_put(m->alloc, in->kept, words_of(in) * sizeof *in->kept, 64);
        }
        if (in->fields != NULL) {
            om_alloc_put(m->alloc, in->fields, in->image->head->fields * sizeof *in->fields, 64);
        }
    }
    if (m->measured) {
        om_textwriter_free(&m->writer);
    }
    om_alloc_put(m->alloc, m->fields, m->fields_room * sizeof *m->fields, 16);
    om_alloc_put(m->alloc, m->heap, ((size_t)m->count + 1) * sizeof *m->heap, 64);
    om_alloc_put(m->alloc, m->equals, ((size_t)m->count + 1) * sizeof *m->equals, 64);
    om_alloc_put(m->alloc, m->inputs, m->count * sizeof *m->inputs, 64);
    om_alloc_put(m->alloc, m, sizeof *m, 64);
}
