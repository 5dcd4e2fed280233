/* textimage_verify.c - everything of an image against every rule, for omen_verify.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

typedef struct checker {
    const om_textimage *image;
    const om_stop *stop;
    uint32_t rows[OM_PACK] __attribute__((aligned(16)));
    uint32_t counts[OM_PACK] __attribute__((aligned(16)));
    uint32_t *words; /* [rows] of the field that is counted */
} checker;

/* ---- Lists ---------------------------------------------------------------------------------- */
static const char *check_positions(const checker *c, const om_textlist *list, uint32_t block)
{
    om_textplaces places;
    uint64_t from = 0;
    if (!om_textlist_places(list, block, c->counts, &places)) {
        return "positions are out of bounds";
    }
    for (uint32_t i = 0; i < om_textlist_count(list, block); from += c->counts[i], i++) {
        uint32_t before = 0;
        for (uint32_t done = 0; done < c->counts[i]; done++) {
            uint32_t gap;
            om_textplaces_get(&places, from + done, 1, &gap);
            if (done != 0 && (gap == 0 || before + gap < before)) {
                return "positions do not ascend";
            }
            before += gap;
        }
    }
    return NULL;
}

/* No row of the block beats the pairs [first, end) of its list. */
static bool impacts_hold(const checker *c, const om_textlist *list, uint32_t entry, uint32_t n)
{
    const uint32_t first = list->impact_at[entry], end = list->impact_at[entry + 1];
    if (first > end || end > list->impacts) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t count = om_min_u32(c->counts[i], UINT16_MAX);
        const uint32_t length =
            om_min_u32(om_textimage_length(c->image, list->field, c->rows[i]), UINT16_MAX);
        bool covered = false;
        for (uint32_t k = first; k < end && !covered; k++) {
            covered =
                list->impact[(size_t)k * 2] >= count && list->impact[(size_t)k * 2 + 1] <= length;
        }
        if (!covered) {
            return false;
        }
    }
    return true;
}

static const char *check_block(checker *c, const om_textlist *list, uint32_t block, uint32_t *last)
{
    const uint32_t n = om_textlist_count(list, block);
    if (!om_textlist_rows(list, block, c->rows) || !om_textlist_counts(list, block, c->counts)) {
        return "a block of postings is out of bounds";
    }
    for (uint32_t i = 0; i < n; i++) {
        if (*last != UINT32_MAX && c->rows[i] <= *last) {
            return "rows do not ascend";
        }
        *last = c->rows[i];
        c->words[c->rows[i]] -= c->counts[i]; /* ends at 0 when all lists are seen */
        if (om_textimage_length(c->image, list->field, c->rows[i]) < c->counts[i]) {
            return "a word stands more often than the text is long";
        }
    }
    if (list->kind == OM_LIST_LONG) {
        const uint32_t group = list->blocks + block / OM_TEXT_GROUP;
        if (list->last[block] != *last) {
            return "the last row of a block is another";
        }
        if (!impacts_hold(c, list, block, n) || !impacts_hold(c, list, group, n) ||
            !impacts_hold(c, list, list->blocks + list->groups, n)) {
            return "the bound of a block is too low";
        }
    }
    return check_positions(c, list, block);
}

static omen_status_t check_term(checker *c, uint32_t term, omen_error *err)
{
    om_textlist list;
    uint32_t last = UINT32_MAX;
    if (om_textlist_open(c->image, term, &list) != OMEN_OK) {
        return om_text_damaged(err, "a list is out of bounds");
    }
    for (uint32_t block = 0; block < list.blocks; block++) {
        const char *wrong = check_block(c, &list, block, &last);
        if (wrong != NULL) {
            return om_text_damaged(err, wrong);
        }
        if (block % 256 == 255 && c->stop != NULL) {
            omen_status_t status = om_stop_check(c->stop);
            if (status != OMEN_OK) {
                return status;
            }
        }
    }
    return OMEN_OK;
}

/* ---- Terms ---------------------------------------------------------------------------------- */
static const char *check_word(const om_textimage *image, uint32_t term)
{
    const char *word, *before;
    uint32_t length, before_length;
    const uint32_t field = om_textentry_field(&image->entries[term]);
    if (!om_textimage_word(image, term, &word, &length) || length == 0) {
        return "a term is out of bounds";
    }
    if (om_textimage_find(image, field, word, length) != term) {
        return "a term is not found by its word";
    }
    if (term == 0) {
        return NULL;
    }
    const uint32_t field_before = om_textentry_field(&image->entries[term - 1]);
    if (!om_textimage_word(image, term - 1, &before, &before_length) || field_before > field) {
        return "terms are not in order";
    }
    int order = memcmp(before, word, om_min_u32(before_length, length));
    if (field_before == field && (order > 0 || (order == 0 && before_length >= length))) {
        return "terms are not in order";
    }
    return NULL;
}

/* ---- Fields --------------------------------------------------------------------------------- */
/* The lengths of a field into words[]; its head must agree with them. */
static bool begin_field(checker *c, uint32_t field)
{
    const om_textfield *head = &c->image->fields[field];
    uint64_t total = 0;
    uint32_t rows = 0;
    for (uint32_t row = 0; row < c->image->head->rows; row++) {
        c->words[row] = om_textimage_length(c->image, field, row);
        total += c->words[row];
        rows += c->words[row] != 0;
    }
    return total == head->total && rows == head->rows;
}

static bool end_field(const checker *c)
{
    uint32_t left = 0;
    for (uint32_t row = 0; row < c->image->head->rows; row++) {
        left |= c->words[row];
    }
    return left == 0;
}

static uint32_t count_worded(const om_textimage *image)
{
    uint32_t worded = 0;
    for (uint32_t row = 0; row < image->head->rows; row++) {
        uint32_t any = 0;
        for (uint32_t f = 0; f < image->head->fields; f++) {
            any |= om_textimage_length(image, f, row);
        }
        worded += any != 0;
    }
    return worded;
}

static omen_status_t check_all(checker *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_texthead *head = c->image->head;
    uint32_t term = 0;
    for (uint32_t field = 0; field < head->fields; field++) {
        if (!begin_field(c, field)) {
            return om_text_damaged(err, "the totals of a field are wrong");
        }
        for (; term < head->terms && om_textentry_field(&c->image->entries[term]) == field;
             term++) {
            const char *wrong = check_word(c->image, term);
            if (wrong != NULL) {
                return om_text_damaged(err, wrong);
            }
            if (c->stop != NULL && term % 256 == 0) {
                OM_TRY(om_stop_check(c->stop));
            }
            OM_TRY(check_term(c, term, err));
        }
        if (!end_field(c)) {
            return om_text_damaged(err, "the length of a text is not that of its words");
        }
    }
    if (term != head->terms || count_worded(c->image) != head->worded) {
        return om_text_damaged(err, "the header's numbers are wrong");
    }
out:
    return status;
}

omen_status_t om_textimage_verify(const om_textimage *image, const om_stop *stop, omen_error *err)
{
    checker c = {.image = image, .stop = stop};
    const size_t size = (size_t)image->head->rows * sizeof *c.words;
    c.words = om_alloc_get(image->alloc, size, 64);
    if (c.words == NULL) {
        return om_fail_memory(err, "verifying a text index", size);
    }
    omen_status_t status = check_all(&c, err);
    om_alloc_put(image->alloc, c.words, size, 64);
    return status;
}
