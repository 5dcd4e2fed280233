/* textimage_build.c - text rows become an image: every word gets a number, every number its rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

typedef struct word_term {
    uint64_t at;     /* of its bytes in words */
    uint64_t prefix; /* its first bytes, so that most comparisons end here */
    uint32_t field, length, hash;
    uint32_t df;
} word_term;
/* Where a word of a row stands: its number in the row's field, the field's number in the row above. */
typedef struct posting {
    uint32_t row, word;
    uint16_t field;
} posting;
typedef struct builder {
    const om_alloc *alloc;
    const uint8_t *const *rows;
    uint32_t count;
    uint64_t seed;
    word_term *terms;
    char *words;
    uint32_t *slots, *numbers, *order; /* numbers: of all words of all rows, as they come */
    posting *postings;
    uint64_t *begin; /* of each term's postings */
    uint16_t *fields;
    size_t terms_room, words_room, slots_count, numbers_room, fields_room, words_used;
    uint64_t total;
    uint32_t term_count, field_count, at; /* at: the term in order[] that is asked for */
} builder;

/* ---- Numbers for words ---------------------------------------------------------------------- */
static omen_status_t grow_slots(builder *b, omen_error *err)
{
    const size_t count = b->slots_count == 0 ? 4096 : b->slots_count * 2;
    uint32_t *slots = om_alloc_zero(b->alloc, count, sizeof *slots, 64);
    if (slots == NULL) {
        return om_fail_memory(err, "words", count * sizeof *slots);
    }
    for (uint32_t i = 0; i < b->term_count; i++) {
        size_t at = b->terms[i].hash & (count - 1);
        while (slots[at] != 0) {
            at = (at + 1) & (count - 1);
        }
        slots[at] = i + 1;
    }
    om_alloc_put(b->alloc, b->slots, b->slots_count * sizeof *slots, 64);
    b->slots = slots;
    b->slots_count = count;
    return OMEN_OK;
}

static uint64_t prefix_of(const char *word, uint32_t length)
{
    uint64_t prefix = 0;
    memcpy(&prefix, word, om_min_u32(length, 8));
    return __builtin_bswap64(prefix);
}

static omen_status_t add_term(builder *b, const word_term *like, const char *word, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_text_room(b->alloc, (void **)&b->terms, &b->terms_room, (size_t)b->term_count + 1,
                        sizeof *b->terms, err));
    OM_TRY(om_text_room(b->alloc, (void **)&b->words, &b->words_room, b->words_used + like->length,
                        1, err));
    memcpy(b->words + b->words_used, word, like->length);
    word_term *term = &b->terms[b->term_count++];
    *term = *like;
    term->at = b->words_used;
    term->prefix = prefix_of(word, like->length);
    b->words_used += like->length;
out:
    return status;
}

/* The seed is nobody's to know, so nobody can choose words that meet. */
static omen_status_t number_of(builder *b, uint32_t field, const char *word, uint32_t length,
                               uint32_t *number, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (((size_t)b->term_count + 1) * 2 > b->slots_count) {
        OM_TRY(grow_slots(b, err));
    }
    const word_term like = {.field = field,
                            .length = length,
                            .hash = (uint32_t)(om_text_hash(word, length, b->seed + field) >> 32)};
    const size_t mask = b->slots_count - 1;
    size_t at = like.hash & mask;
    for (; b->slots[at] != 0; at = (at + 1) & mask) {
        const word_term *term = &b->terms[b->slots[at] - 1];
        if (term->hash == like.hash && term->length == length && term->field == field &&
            memcmp(b->words + term->at, word, length) == 0) {
            *number = b->slots[at] - 1;
            return OMEN_OK;
        }
    }
    OM_TRY(add_term(b, &like, word, err));
    b->slots[at] = b->term_count;
    *number = b->term_count - 1;
out:
    return status;
}

static omen_status_t number_field(builder *b, const om_rowfield *field, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint32_t words = field->head->words;
    OM_TRY(om_text_room(b->alloc, (void **)&b->numbers, &b->numbers_room, (size_t)b->total + words,
                        4, err));
    for (uint32_t i = 0; i < words; i++) {
        const uint32_t start = om_rowfield_number(field, field->start, i);
        const uint32_t end = om_rowfield_number(field, field->start, i + 1);
        uint32_t *number = &b->numbers[b->total];
        OM_TRY(number_of(b, field->head->field, field->bytes + start, end - start, number, err));
        b->terms[*number].df++;
        b->total++;
    }
out:
    return status;
}

/* The fields that there are, ascending. */
static omen_status_t note_field(builder *b, uint16_t field, omen_error *err)
{
    uint32_t at = 0;
    while (at < b->field_count && b->fields[at] < field) {
        at++;
    }
    if (at < b->field_count && b->fields[at] == field) {
        return OMEN_OK;
    }
    omen_status_t status = om_text_room(b->alloc, (void **)&b->fields, &b->fields_room,
                                        (size_t)b->field_count + 1, sizeof *b->fields, err);
    if (status == OMEN_OK) {
        memmove(b->fields + at + 1, b->fields + at, (b->field_count - at) * sizeof *b->fields);
        b->fields[at] = field;
        b->field_count++;
    }
    return status;
}

static omen_status_t number_words(builder *b, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t row = 0; row < b->count; row++) {
        const uint32_t fields = b->rows[row] == NULL ? 0 : om_textrow_fields(b->rows[row]);
        for (uint32_t f = 0; f < fields; f++) {
            om_rowfield field;
            om_rowfield_at(b->rows[row], f, &field);
            OM_TRY(note_field(b, field.head->field, err));
            OM_TRY(number_field(b, &field, err));
        }
    }
out:
    return status;
}

/* ---- Rows for numbers ----------------------------------------------------------------------- */
static int compare_terms(const void *ctx, uint32_t a, uint32_t b)
{
    const builder *build = ctx;
    const word_term *x = &build->terms[a], *y = &build->terms[b];
    if (x->field != y->field) {
        return x->field < y->field ? -1 : 1;
    }
    if (x->prefix != y->prefix) {
        return x->prefix < y->prefix ? -1 : 1;
    }
    int order =
        memcmp(build->words + x->at, build->words + y->at, om_min_u32(x->length, y->length));
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

static omen_status_t order_terms(builder *b, omen_error *err)
{
    const size_t bytes = ((size_t)b->term_count * 2 + 1) * sizeof *b->order;
    b->order = om_alloc_get(b->alloc, bytes, 64);
    if (b->order == NULL) {
        return om_fail_memory(err, "words", bytes);
    }
    for (uint32_t i = 0; i < b->term_count; i++) {
        b->order[i] = i;
    }
    om_text_sort(b->order, b->order + b->term_count, b->term_count, compare_terms, b);
    return OMEN_OK;
}

static omen_status_t place_postings(builder *b, omen_error *err)
{
    const size_t begin_bytes = ((size_t)b->term_count + 1) * sizeof *b->begin;
    const size_t bytes = (size_t)b->total * sizeof *b->postings;
    uint64_t at = 0;
    b->begin = om_alloc_get(b->alloc, begin_bytes, 64);
    b->postings = om_alloc_get(b->alloc, bytes, 64);
    if (b->begin == NULL || b->postings == NULL) {
        return om_fail_memory(err, "postings", bytes + begin_bytes);
    }
    for (uint32_t i = 0; i < b->term_count; i++) {
        b->begin[i] = at;
        at += b->terms[i].df;
        b->terms[i].df = 0;
    }
    uint64_t next = 0;
    for (uint32_t row = 0; row < b->count; row++) {
        const uint32_t fields = b->rows[row] == NULL ? 0 : om_textrow_fields(b->rows[row]);
        for (uint32_t f = 0; f < fields; f++) {
            om_rowfield field;
            om_rowfield_at(b->rows[row], f, &field);
            for (uint32_t i = 0; i < field.head->words; i++) {
                const uint32_t number = b->numbers[next++];
                b->postings[b->begin[number] + b->terms[number].df++] =
                    (posting){.row = row, .word = i, .field = (uint16_t)f};
            }
        }
    }
    return OMEN_OK;
}

/* ---- The feed ------------------------------------------------------------------------------- */
static void rewind_terms(void *ctx)
{
    ((builder *)ctx)->at = UINT32_MAX;
}

static omen_status_t next_term(void *ctx, om_textterm *term, bool *more, omen_error *err)
{
    builder *b = ctx;
    (void)err;
    b->at++;
    *more = b->at < b->term_count;
    if (*more) {
        const word_term *t = &b->terms[b->order[b->at]];
        uint32_t field = 0;
        while (b->fields[field] != t->field) {
            field++;
        }
        *term = (om_textterm){.field = field, .length = t->length, .word = b->words + t->at};
    }
    return OMEN_OK;
}

/* The postings of the term that is asked for. */
static const posting *postings_of(const builder *b, uint32_t *count)
{
    const uint32_t number = b->order[b->at];
    *count = b->terms[number].df;
    return b->postings + b->begin[number];
}

static omen_status_t feed_rows(void *ctx, om_listwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const builder *b = ctx;
    uint32_t count;
    const posting *p = postings_of(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        om_rowfield field;
        om_rowfield_at(b->rows[p[i].row], p[i].field, &field);
        const uint32_t times = om_rowfield_number(&field, field.first, p[i].word + 1) -
                               om_rowfield_number(&field, field.first, p[i].word);
        OM_TRY(om_listwriter_row(writer, p[i].row, times, field.head->length, err));
    }
out:
    return status;
}

static omen_status_t feed_positions(void *ctx, om_listwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const builder *b = ctx;
    uint32_t count;
    const posting *p = postings_of(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        om_rowfield field;
        uint32_t *positions;
        om_rowfield_at(b->rows[p[i].row], p[i].field, &field);
        const uint32_t first = om_rowfield_number(&field, field.first, p[i].word);
        const uint32_t times = om_rowfield_number(&field, field.first, p[i].word + 1) - first;
        OM_TRY(om_listwriter_room(writer, times, &positions, err));
        for (uint32_t j = 0; j < times; j++) {
            positions[j] = om_rowfield_number(&field, field.positions, first + j);
        }
        OM_TRY(om_listwriter_positions(writer, times, err));
    }
out:
    return status;
}

static void feed_lengths(void *ctx, uint32_t field, uint32_t first, uint32_t count, uint32_t *out)
{
    const builder *b = ctx;
    for (uint32_t i = 0; i < count; i++) {
        om_rowfield found;
        const uint8_t *row = b->rows[first + i];
        out[i] =
            row != NULL && om_rowfield_find(row, b->fields[field], &found) ? found.head->length : 0;
    }
}

static void builder_free(builder *b)
{
    om_alloc_put(b->alloc, b->terms, b->terms_room * sizeof *b->terms, 16);
    om_alloc_put(b->alloc, b->words, b->words_room, 16);
    om_alloc_put(b->alloc, b->slots, b->slots_count * sizeof *b->slots, 64);
    om_alloc_put(b->alloc, b->numbers, b->numbers_room * 4, 16);
    om_alloc_put(b->alloc, b->order, ((size_t)b->term_count * 2 + 1) * sizeof *b->order, 64);
    om_alloc_put(b->alloc, b->begin, ((size_t)b->term_count + 1) * sizeof *b->begin, 64);
    om_alloc_put(b->alloc, b->postings, (size_t)b->total * sizeof *b->postings, 64);
    om_alloc_put(b->alloc, b->fields, b->fields_room * sizeof *b->fields, 16);
}

omen_status_t om_textimage_build(const om_alloc *alloc, const uint8_t *const *rows, uint32_t count,
                                 uint8_t **out, size_t *size, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    builder b = {.alloc = alloc, .rows = rows, .count = count};
    om_textfeed feed = {.rows = count,
                        .ctx = &b,
                        .rewind = rewind_terms,
                        .next = next_term,
                        .list_rows = feed_rows,
                        .list_positions = feed_positions,
                        .lengths = feed_lengths};
    b.seed = om_mix64(om_now_ns() ^ (uintptr_t)&b);
    OM_TRY(number_words(&b, err));
    OM_TRY(order_terms(&b, err));
    OM_TRY(place_postings(&b, err));
    feed.fields = b.field_count;
    feed.field = b.fields;
    OM_TRY(om_textwriter_memory(alloc, &feed, out, size, err));
out:
    builder_free(&b);
    return status;
}
