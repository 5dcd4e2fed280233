/* textimage_write.c - terms in order become an image: measured in one pass, written in a second.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

#define MAX_TERMS (UINT32_C(1) << 30)
enum { CHUNK_ROWS = 4096, LONG_PROBE = 96, SEEDS = 8 };

static omen_status_t check_stop(const om_textfeed *feed)
{
    return feed->stop != NULL ? om_stop_check(feed->stop) : OMEN_OK;
}

/* ---- Lists ---------------------------------------------------------------------------------- */
static omen_status_t write_list(const om_textfeed *feed, om_listwriter *list, om_textentry *entry,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_listwriter_begin(list);
    OM_TRY(feed->list_rows(feed->ctx, list, err));
    if (list->df != 0) {
        OM_TRY(om_listwriter_turn(list, err));
        OM_TRY(feed->list_positions(feed->ctx, list, err));
        OM_TRY(om_listwriter_end(list, entry, err));
    }
out:
    return status;
}

/* Terms whose rows are all dropped are no terms any more. */
static omen_status_t keep_term(om_textwriter *w, const om_textterm *term, om_textentry *entry,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (w->head.terms == MAX_TERMS || w->words_used + term->length > OM_TEXT_WORD_MAX) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "text: more than %u different words in a segment", MAX_TERMS);
    }
    OM_TRY(om_text_room(w->alloc, (void **)&w->entries, &w->entries_room, (size_t)w->head.terms + 1,
                        sizeof *w->entries, err));
    OM_TRY(om_text_room(w->alloc, (void **)&w->words, &w->words_room, w->words_used + term->length,
                        1, err));
    memcpy(w->words + w->words_used, term->word, term->length);
    entry->word = w->words_used | (uint64_t)term->length << 40 | (uint64_t)term->field << 48;
    w->words_used += term->length;
    w->entries[w->head.terms++] = *entry;
out:
    return status;
}

static omen_status_t measure_lists(om_textwriter *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_textfeed *feed = w->feed;
    bool more = true;
    feed->rewind(feed->ctx);
    for (uint32_t turn = 0;; turn++) {
        om_textterm term;
        om_textentry entry = {0};
        if (turn % 256 == 0) {
            OM_TRY(check_stop(feed));
        }
        OM_TRY(feed->next(feed->ctx, &term, &more, err));
        if (!more) {
            break;
        }
        w->list.out = &w->lists;
        OM_TRY(write_list(feed, &w->list, &entry, err));
        if (w->list.df != 0) {
            OM_TRY(keep_term(w, &term, &entry, err));
        }
    }
    w->head.lists_size = w->lists.at;
out:
    return status;
}

/* ---- Fields and lengths --------------------------------------------------------------------- */
static omen_status_t measure_fields(om_textwriter *w)
{
    const om_textfeed *feed = w->feed;
    uint64_t worded[CHUNK_ROWS / 64];
    uint32_t lengths[CHUNK_ROWS];
    for (uint32_t first = 0; first < feed->rows; first += CHUNK_ROWS) {
        const uint32_t n = om_min_u32(CHUNK_ROWS, feed->rows - first);
        memset(worded, 0, sizeof worded);
        omen_status_t status = check_stop(feed);
        if (status != OMEN_OK) {
            return status;
        }
        for (uint32_t f = 0; f < feed->fields; f++) {
            om_textfield *field = &w->fields[f];
            feed->lengths(feed->ctx, f, first, n, lengths);
            for (uint32_t i = 0; i < n; i++) {
                field->total += lengths[i];
                field->rows += lengths[i] != 0;
                field->reserved |= lengths[i];
                worded[i / 64] |= (uint64_t)(lengths[i] != 0) << (i % 64);
            }
        }
        for (uint32_t i = 0; i < CHUNK_ROWS / 64; i++) {
            w->head.worded += (uint32_t)__builtin_popcountll(worded[i]);
        }
    }
    for (uint32_t f = 0; f < feed->fields; f++) {
        om_textfield *field = &w->fields[f];
        field->field = feed->field[f];
        field->width = field->reserved < 256 ? 1 : field->reserved < 65536 ? 2 : 4;
        field->reserved = 0;
    }
    return OMEN_OK;
}

static omen_status_t write_lengths(const om_textwriter *w, om_textout *out, uint32_t f,
                                   omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_textfeed *feed = w->feed;
    const uint32_t width = w->fields[f].width;
    uint32_t lengths[CHUNK_ROWS];
    uint8_t bytes[CHUNK_ROWS * 4];
    OM_TRY(om_textout_align(out, 64, err));
    om_assert(out->at == w->fields[f].lengths_at);
    for (uint32_t first = 0; first < feed->rows; first += CHUNK_ROWS) {
        const uint32_t n = om_min_u32(CHUNK_ROWS, feed->rows - first);
        feed->lengths(feed->ctx, f, first, n, lengths);
        for (uint32_t i = 0; i < n; i++) {
            memcpy(bytes + (size_t)i * width, &lengths[i],
                   width); /* little-endian: the low bytes */
        }
        OM_TRY(om_textout_put(out, bytes, (size_t)n * width, err));
    }
out:
    return status;
}

/* ---- The table of words --------------------------------------------------------------------- */
uint32_t om_textimage_find(const om_textimage *image, uint32_t field, const char *word,
                           uint32_t length)
{
    const om_texthead *head = image->head;
    const uint64_t hash = om_text_hash(word, length, head->seed + field);
    const uint32_t mask = (UINT32_C(1) << head->slot_bits) - 1;
    const uint32_t most = head->seed < SEEDS ? om_min_u32(mask, LONG_PROBE) : mask;
    uint32_t at = (uint32_t)hash & mask;
    for (uint32_t probe = 0; probe <= most; probe++, at = (at + 1) & mask) {
        const uint64_t slot = image->slots[at];
        const char *found;
        uint32_t size;
        if ((uint32_t)slot == 0) {
            break;
        }
        const uint32_t term = (uint32_t)slot - 1;
        if ((slot ^ hash) >> 32 == 0 && term < head->terms &&
            om_textentry_field(&image->entries[term]) == field &&
            om_textimage_word(image, term, &found, &size) && size == length &&
            memcmp(found, word, length) == 0) {
            return term;
        }
    }
    return UINT32_MAX;
}

/* False: this seed puts too many words beside each other. Somebody may choose words for that, but
 * not for several seeds at once. */
static bool fill_slots(om_textwriter *w)
{
    const uint32_t mask = (UINT32_C(1) << w->head.slot_bits) - 1;
    memset(w->slots, 0, ((size_t)mask + 1) * sizeof *w->slots);
    for (uint32_t term = 0; term < w->head.terms; term++) {
        const om_textentry *entry = &w->entries[term];
        const uint64_t hash =
            om_text_hash(w->words + (entry->word & OM_TEXT_WORD_MAX), om_textentry_length(entry),
                         w->head.seed + om_textentry_field(entry));
        uint32_t at = (uint32_t)hash & mask, probe = 0;
        for (; w->slots[at] != 0; at = (at + 1) & mask) {
            if (++probe > LONG_PROBE && w->head.seed < SEEDS) {
                return false;
            }
        }
        w->slots[at] = (hash >> 32 << 32) | (term + 1);
    }
    return true;
}

static omen_status_t make_slots(om_textwriter *w, omen_error *err)
{
    uint32_t bits = 1;
    while ((UINT64_C(1) << bits) * 2 / 3 < w->head.terms) {
        bits++;
    }
    if (bits > 31) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT, "text: too many words");
    }
    w->head.slot_bits = bits;
    const size_t size = ((size_t)1 << bits) * sizeof *w->slots;
    w->slots = om_alloc_get(w->alloc, size, 64);
    if (w->slots == NULL) {
        return om_fail_memory(err, "the words of a text image", size);
    }
    while (!fill_slots(w)) {
        w->head.seed++;
    }
    return OMEN_OK;
}

/* ---- The whole ------------------------------------------------------------------------------ */
static void lay_out(om_textwriter *w)
{
    om_texthead *head = &w->head;
    uint64_t at = OM_TEXT_HEAD;
    head->fields_at = at;
    at += head->fields * sizeof(om_textfield);
    for (uint32_t f = 0; f < head->fields; f++) {
        at = (at + 63) & ~UINT64_C(63);
        w->fields[f].lengths_at = at;
        at += (uint64_t)head->rows * w->fields[f].width;
    }
    at = (at + 63) & ~UINT64_C(63);
    head->slots_at = at;
    at += (UINT64_C(1) << head->slot_bits) * 8;
    head->entries_at = at;
    at += (uint64_t)head->terms * sizeof(om_textentry);
    head->words_at = at;
    head->words_size = w->words_used;
    at = (at + w->words_used + 63) & ~UINT64_C(63);
    head->lists_at = at;
    at += head->lists_size + OM_TEXT_TAIL;
    head->size = (at + 63) & ~UINT64_C(63);
}

omen_status_t om_textwriter_measure(const om_alloc *alloc, const om_textfeed *feed, bool collect,
                                    om_textwriter *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    *out = (om_textwriter){.alloc = alloc, .feed = feed};
    out->list.alloc = alloc;
    out->lists.alloc = collect ? alloc : NULL;
    out->head = (om_texthead){.magic = OM_TEXT_MAGIC,
                              .version = OM_TEXT_VERSION,
                              .analyser = OM_ANALYSER_VERSION,
                              .rows = feed->rows,
                              .fields = feed->fields};
    out->fields = om_alloc_zero(alloc, feed->fields, sizeof *out->fields, 64);
    if (out->fields == NULL) {
        status = om_fail_memory(err, "a text image", feed->fields * sizeof *out->fields);
        goto out;
    }
    OM_TRY(measure_fields(out));
    OM_TRY(measure_lists(out, err));
    OM_TRY(make_slots(out, err));
    lay_out(out);
out:
    if (status != OMEN_OK) {
        om_textwriter_free(out);
    }
    return status;
}

static omen_status_t write_again(om_textwriter *w, om_textout *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_textfeed *feed = w->feed;
    bool more = true;
    feed->rewind(feed->ctx);
    /* Places of lists count from their first byte, which is aligned as that of the image. */
    const uint64_t before = out->at;
    out->at = 0;
    w->list.out = out;
    for (uint32_t turn = 0;; turn++) {
        om_textterm term;
        om_textentry entry = {0};
        if (turn % 256 == 0) {
            OM_TRY(check_stop(feed));
        }
        OM_TRY(feed->next(feed->ctx, &term, &more, err));
        if (!more) {
            break;
        }
        OM_TRY(write_list(feed, &w->list, &entry, err));
    }
    if (out->at != w->head.lists_size) {
        return om_fail(err, OMEN_INTERNAL, OMEN_D_NONE, "text: what is merged has changed");
    }
    out->at += before;
out:
    return status;
}

static omen_status_t write_directory(const om_textwriter *w, om_textout *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_texthead *head = &w->head;
    static const uint8_t zeros[OM_TEXT_HEAD - sizeof(om_texthead)];
    OM_TRY(om_textout_put(out, head, sizeof *head, err));
    OM_TRY(om_textout_put(out, zeros, sizeof zeros, err));
    OM_TRY(om_textout_put(out, w->fields, head->fields * sizeof *w->fields, err));
    for (uint32_t f = 0; f < head->fields; f++) {
        OM_TRY(write_lengths(w, out, f, err));
    }
    OM_TRY(om_textout_align(out, 64, err));
    om_assert(out->at == head->slots_at);
    OM_TRY(om_textout_put(out, w->slots, ((size_t)1 << head->slot_bits) * 8, err));
    OM_TRY(om_textout_put(out, w->entries, head->terms * sizeof *w->entries, err));
    OM_TRY(om_textout_put(out, w->words, w->words_used, err));
    OM_TRY(om_textout_align(out, 64, err));
out:
    return status;
}

omen_status_t om_textwriter_write(om_textwriter *w, om_text_sink sink, void *ctx, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    static const uint8_t zeros[OM_TEXT_TAIL];
    om_textout out = {.alloc = w->alloc, .sink = sink, .ctx = ctx};
    OM_TRY(write_directory(w, &out, err));
    if (w->lists.alloc != NULL) {
        OM_TRY(om_textout_put(&out, w->lists.data, w->lists.used, err));
    } else {
        OM_TRY(write_again(w, &out, err));
    }
    OM_TRY(om_textout_put(&out, zeros, sizeof zeros, err));
    OM_TRY(om_textout_align(&out, 64, err));
    om_assert(out.at == w->head.size);
    OM_TRY(om_textout_flush(&out, err));
out:
    om_textout_free(&out);
    return status;
}

typedef struct memory_sink {
    uint8_t *bytes;
    size_t used, size;
} memory_sink;

static omen_status_t to_memory(void *ctx, const void *bytes, size_t size, omen_error *err)
{
    memory_sink *sink = ctx;
    if (size > sink->size - sink->used) {
        return om_fail(err, OMEN_INTERNAL, OMEN_D_NONE, "text: an image outgrew its measure");
    }
    memcpy(sink->bytes + sink->used, bytes, size);
    sink->used += size;
    return OMEN_OK;
}

omen_status_t om_textwriter_memory(const om_alloc *alloc, const om_textfeed *feed, uint8_t **out,
                                   size_t *size, omen_error *err)
{
    om_textwriter w;
    memory_sink sink = {.bytes = NULL};
    omen_status_t status = om_textwriter_measure(alloc, feed, true, &w, err);
    if (status != OMEN_OK) {
        return status;
    }
    sink.size = (size_t)w.head.size;
    sink.bytes = om_alloc_get(alloc, sink.size, 64);
    status = sink.bytes == NULL ? om_fail_memory(err, "a text image", sink.size)
                                : om_textwriter_write(&w, to_memory, &sink, err);
    om_textwriter_free(&w);
    if (status != OMEN_OK) {
        om_alloc_put(alloc, sink.bytes, sink.size, 64);
        return status;
    }
    *out = sink.bytes;
    *size = sink.size;
    return OMEN_OK;
}

void om_textwriter_free(om_textwriter *w)
{
    om_alloc_put(w->alloc, w->fields, w->head.fields * sizeof *w->fields, 64);
    om_alloc_put(w->alloc, w->entries, w->entries_room * sizeof *w->entries, 16);
    om_alloc_put(w->alloc, w->words, w->words_room, 16);
    om_alloc_put(w->alloc, w->slots, ((size_t)1 << w->head.slot_bits) * sizeof *w->slots, 64);
    om_listwriter_free(&w->list);
    om_textout_free(&w->lists);
}
