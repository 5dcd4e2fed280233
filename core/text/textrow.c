/* textrow.c - one row analysed: the words of its fields by their hashes, with positions, in one block.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

/* Everything in a row is addressed by u32. */
#define MAX_ROW_BYTES (UINT32_C(1) << 31)
#define MAX_WORDS (UINT32_C(1) << OM_TEXT_MAX_BITS)

/* ---- Order ---------------------------------------------------------------------------------- */
void om_text_sort(uint32_t *order, uint32_t *spare, uint32_t count, om_text_compare compare,
                  const void *ctx)
{
    for (uint32_t i = 1; i < count; i++) { /* runs of 8 by insertion, then merged */
        uint32_t value = order[i], at = i;
        for (; at % 8 != 0 && compare(ctx, order[at - 1], value) > 0; at--) {
            order[at] = order[at - 1];
        }
        order[at] = value;
    }
    uint32_t *from = order, *to = spare;
    for (uint64_t run = 8; run < count; run *= 2) {
        for (uint64_t begin = 0; begin < count; begin += 2 * run) {
            const uint64_t middle = om_min_u64(begin + run, count);
            const uint64_t end = om_min_u64(begin + 2 * run, count);
            uint64_t a = begin, b = middle;
            for (uint64_t at = begin; at < end; at++) {
                bool first = b == end || (a < middle && compare(ctx, from[a], from[b]) <= 0);
                to[at] = first ? from[a++] : from[b++];
            }
        }
        uint32_t *held = from;
        from = to;
        to = held;
    }
    if (from != order) {
        memcpy(order, from, (size_t)count * sizeof *order);
    }
}

/* Keys are (hash << 32 | place), all different. Moves keys to where they belong among those before them;
 * false: it came to more than `moves`, and the rest was left. */
static bool insert_keys(uint64_t *keys, uint32_t count, uint64_t moves)
{
    for (uint32_t i = 1; i < count; i++) {
        const uint64_t value = keys[i];
        uint32_t at = i;
        for (; at > 0 && keys[at - 1] > value; at--) {
            keys[at] = keys[at - 1];
        }
        keys[at] = value;
        if (i - at > moves) {
            return false;
        }
        moves -= i - at;
    }
    return true;
}

/* By one byte of the hash after the other; places of a hash stay in order, as every pass is stable. */
static void radix_keys(uint64_t *keys, uint64_t *spare, uint32_t count)
{
    for (uint32_t shift = 32; shift < 64; shift += 8) {
        uint32_t begin[257] = {0};
        for (uint32_t i = 0; i < count; i++) {
            begin[(keys[i] >> shift & 255) + 1]++;
        }
        for (uint32_t i = 0; i < 256; i++) {
            begin[i + 1] += begin[i];
        }
        for (uint32_t i = 0; i < count; i++) {
            spare[begin[keys[i] >> shift & 255]++] = keys[i];
        }
        uint64_t *held = keys;
        keys = spare;
        spare = held;
    }
}

/* One pass by the upper bits, as many buckets as keys: hashes are spread evenly, so that every key is near
 * its place then. */
static void spread_keys(uint64_t *keys, uint64_t *spare, uint32_t count)
{
    enum { MOST = 1024 };
    uint32_t begin[MOST + 1];
    const uint32_t bits = om_min_u32(32 - (uint32_t)__builtin_clz(count - 1), 10);
    memset(begin, 0, ((1u << bits) + 1) * sizeof begin[0]);
    for (uint32_t i = 0; i < count; i++) {
        begin[(keys[i] >> (64 - bits)) + 1]++;
    }
    for (uint32_t i = 0; i < 1u << bits; i++) {
        begin[i + 1] += begin[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        spare[begin[keys[i] >> (64 - bits)]++] = keys[i];
    }
    memcpy(keys, spare, count * sizeof *keys);
}

/* Somebody may have looked for words whose hashes lie together, and long texts have too few buckets: then
 * insertion gives up early, and four passes by bytes follow, which take the same time whatever comes. Places
 * of a hash are in order at any moment. */
static void sort_keys(uint64_t *keys, uint64_t *spare, uint32_t count)
{
    if (count > 8) {
        spread_keys(keys, spare, count);
    }
    if (!insert_keys(keys, count, 64 + 4 * (uint64_t)count)) {
        radix_keys(keys, spare, count);
    }
}

/* ---- Making --------------------------------------------------------------------------------- */
typedef struct token_list {
    const om_word *words;
    const char *bytes;
    uint64_t *keys;
    uint32_t *firsts; /* of each word, its first token in `keys` */
    uint32_t count;
} token_list;

static const om_word *token(const token_list *list, uint32_t i)
{
    return &list->words[(uint32_t)list->keys[i]];
}

static int compare_tokens(const void *ctx, uint32_t a, uint32_t b)
{
    const token_list *list = ctx;
    const om_word *x = &list->words[a], *y = &list->words[b];
    int order =
        memcmp(list->bytes + x->offset, list->bytes + y->offset, om_min_u32(x->length, y->length));
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* Different words of one hash lie mixed: nearly never, but somebody may have looked for them. Returns whether
 * there are any: without, another word is another hash. */
static bool part_equal_hashes(token_list *list, uint32_t *spare)
{
    bool any = false;
    for (uint32_t begin = 0, end; begin < list->count; begin = end) {
        bool mixed = false;
        for (end = begin + 1; end < list->count && list->keys[end] >> 32 == list->keys[begin] >> 32;
             end++) {
            mixed = mixed || compare_tokens(list, (uint32_t)list->keys[end - 1],
                                            (uint32_t)list->keys[end]) != 0;
        }
        if (!mixed) {
            continue;
        }
        any = true;
        const uint64_t hash = list->keys[begin] >> 32 << 32;
        const uint32_t count = end - begin;
        for (uint32_t i = 0; i < count; i++) {
            spare[i] = (uint32_t)list->keys[begin + i];
        }
        om_text_sort(spare, spare + count, count, compare_tokens, list);
        for (uint32_t i = 0; i < count; i++) {
            list->keys[begin + i] = hash | spare[i];
        }
    }
    return any;
}

static bool same_word(const token_list *list, uint32_t i, bool mixed)
{
    return list->keys[i] >> 32 == list->keys[i - 1] >> 32 &&
           (!mixed ||
            compare_tokens(list, (uint32_t)list->keys[i], (uint32_t)list->keys[i - 1]) == 0);
}

static void put_number(const om_rowhead *head, uint8_t *array, uint32_t i, uint32_t value)
{
    if (head->wide) {
        memcpy(array + (size_t)i * 4, &value, 4);
    } else {
        const uint16_t narrow = (uint16_t)value;
        memcpy(array + (size_t)i * 2, &narrow, 2);
    }
}

/* Eight bytes at a time: up to 7 behind the word are read and written too. */
static void copy_word(uint8_t *to, const char *from, uint32_t length)
{
    for (uint32_t at = 0; at < length; at += 8) {
        memcpy(to + at, from + at, 8);
    }
}

/* Lays out the sorted tokens; the head has words, length, bytes and wide. Returns the bytes of the
 * arrays. */
static size_t put_field(const token_list *list, const om_rowhead *head, uint8_t *out)
{
    const size_t unit = head->wide ? 4 : 2;
    uint8_t *hashes = out;
    uint8_t *start = hashes + (size_t)head->words * 4;
    uint8_t *first = start + ((size_t)head->words + 1) * unit;
    uint8_t *positions = first + ((size_t)head->words + 1) * unit;
    uint8_t *bytes = positions + (size_t)head->length * unit;
    uint32_t used = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        put_number(head, positions, i, token(list, i)->position);
    }
    for (uint32_t word = 0; word < head->words; word++) {
        const om_word *t = token(list, list->firsts[word]);
        memcpy(hashes + (size_t)word * 4, &t->hash, 4);
        put_number(head, start, word, used);
        put_number(head, first, word, list->firsts[word]);
        copy_word(bytes + used, list->bytes + t->offset, t->length);
        used += t->length;
    }
    put_number(head, start, head->words, used);
    put_number(head, first, head->words, list->count);
    const size_t size = (size_t)(bytes - out) + used;
    const size_t padded = om_round_up(size, 8);
    memset(out + size, 0, padded - size);
    return padded;
}

static void measure(const token_list *list, bool mixed, om_rowhead *head)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (i == 0 || !same_word(list, i, mixed)) {
            list->firsts[head->words++] = i;
            bytes += token(list, i)->length;
        }
    }
    head->length = list->count;
    head->bytes = (uint32_t)bytes;
    head->wide = list->count > UINT16_MAX || bytes > UINT16_MAX ||
                 list->words[list->count - 1].position > UINT16_MAX;
}

static omen_status_t room(om_textbuf *buf, size_t more, omen_error *err)
{
    if (buf->capacity - buf->size >= more) {
        return OMEN_OK;
    }
    size_t wanted = om_round_up(buf->size + more + buf->size / 2, 4096);
    uint8_t *grown = om_alloc_grow(buf->alloc, buf->data, buf->capacity, wanted, 64);
    if (grown == NULL) {
        return om_fail_memory(err, "words of a row", wanted);
    }
    buf->data = grown;
    buf->capacity = wanted;
    return OMEN_OK;
}

/* Heads ascend by their fields. The last one of `count` goes to its place; most often it is there. */
static void place_head(uint8_t *heads, uint32_t count)
{
    om_rowhead last, other;
    uint32_t at = count - 1;
    memcpy(&last, heads + at * sizeof last, sizeof last);
    for (; at > 0; at--) {
        memcpy(&other, heads + (at - 1) * sizeof other, sizeof other);
        if (other.field <= last.field) {
            break;
        }
        memcpy(heads + at * sizeof other, &other, sizeof other);
    }
    memcpy(heads + at * sizeof last, &last, sizeof last);
}

/* The words in `scratch` as a field behind `row` in out, its head at `at` there. */
static omen_status_t add_field(om_textbuf *out, size_t row, size_t at, uint16_t field,
                               const om_words *scratch, omen_error *err)
{
    token_list list = {.bytes = om_words_bytes(scratch)};
    om_rowhead head = {.field = field};
    uint64_t bytes = 0;
    list.words = om_words_list(scratch, &list.count);
    for (uint32_t i = 0; i < list.count; i++) {
        bytes += list.words[i].length;
    }
    /* At most 16 bytes a word in the arrays, 8 more of their ends, 7 of padding and 7 that copy_word takes;
     * behind them keys and their spare, which nobody keeps. */
    const uint64_t arrays = bytes + (uint64_t)list.count * 16 + 32;
    if (list.count > MAX_WORDS || arrays + (out->size - row) > MAX_ROW_BYTES) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "text: an item has more than %u words, or they need more than %u bytes",
                       MAX_WORDS, MAX_ROW_BYTES);
    }
    omen_status_t status = room(out, (size_t)(arrays + (uint64_t)list.count * 16 + 8), err);
    if (status != OMEN_OK) {
        return status;
    }
    list.keys = (uint64_t *)(void *)(out->data + om_round_up(out->size + arrays, 8));
    for (uint32_t i = 0; i < list.count; i++) {
        list.keys[i] = (uint64_t)list.words[i].hash << 32 | i;
    }
    sort_keys(list.keys, list.keys + list.count, list.count);
    list.firsts = (uint32_t *)(void *)(list.keys + list.count);
    const bool mixed = part_equal_hashes(&list, list.firsts);
    measure(&list, mixed, &head);
    head.at = (uint32_t)(out->size - row);
    out->size += put_field(&list, &head, out->data + out->size);
    memcpy(out->data + at, &head, sizeof head);
    return OMEN_OK;
}

omen_status_t om_textrow_make(const om_text_field *fields, uint32_t count, om_words *scratch,
                              om_textbuf *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const size_t row = out->size;
    const size_t heads = row + OM_ROW_HEAD;
    uint32_t kept = 0;
    OM_TRY(room(out, OM_ROW_HEAD + (size_t)count * sizeof(om_rowhead), err));
    out->size = heads + (size_t)count * sizeof(om_rowhead);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t words = 0;
        OM_TRY(om_analyse(fields[i].analyser, fields[i].text, fields[i].length, scratch, err));
        (void)om_words_list(scratch, &words);
        if (words != 0) {
            OM_TRY(add_field(out, row, heads + (size_t)kept * sizeof(om_rowhead), fields[i].field,
                             scratch, err));
            kept++;
            place_head(out->data + heads, kept);
        }
    }
    if (kept == 0) {
        out->size = heads;
    } else if (kept <
               count) { /* heads that nobody needed are no part of the format, only of its room */
        memset(out->data + heads + (size_t)kept * sizeof(om_rowhead), 0,
               (size_t)(count - kept) * sizeof(om_rowhead));
    }
    const uint32_t size = (uint32_t)(out->size - row);
    memcpy(out->data + row, &size, sizeof size);
    memcpy(out->data + row + 4, &kept, sizeof kept);
out:
    if (status != OMEN_OK) {
        out->size = row;
    }
    return status;
}

void om_textbuf_free(om_textbuf *buf)
{
    om_alloc_put(buf->alloc, buf->data, buf->capacity, 64);
    *buf = (om_textbuf){.alloc = buf->alloc};
}

/* ---- Reading -------------------------------------------------------------------------------- */
size_t om_textrow_size(const uint8_t *row)
{
    uint32_t size;
    memcpy(&size, row, sizeof size);
    return size;
}

bool om_textrow_empty(const uint8_t *row)
{
    return om_textrow_fields(row) == 0;
}

void om_rowfield_at(const uint8_t *row, uint32_t i, om_rowfield *out)
{
    const om_rowhead *head =
        (const om_rowhead *)(const void *)(row + OM_ROW_HEAD + i * sizeof(om_rowhead));
    const size_t unit = head->wide ? 4 : 2;
    const uint8_t *at = row + head->at;
    out->head = head;
    out->hash = (const uint32_t *)(const void *)at;
    out->start = at + (size_t)head->words * 4;
    out->first = (const uint8_t *)out->start + ((size_t)head->words + 1) * unit;
    out->positions = (const uint8_t *)out->first + ((size_t)head->words + 1) * unit;
    out->bytes = (const char *)out->positions + (size_t)head->length * unit;
}

bool om_rowfield_find(const uint8_t *row, uint16_t field, om_rowfield *out)
{
    const om_rowhead *heads = (const om_rowhead *)(const void *)(row + OM_ROW_HEAD);
    const uint32_t fields = om_textrow_fields(row);
    uint32_t low = 0, high = fields;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (heads[middle].field < field) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == fields || heads[low].field != field) {
        return false;
    }
    om_rowfield_at(row, low, out);
    return true;
}

uint32_t om_rowfield_word(const om_rowfield *field, uint32_t hash, const char *word,
                          uint32_t length)
{
    /* Hashes are spread evenly: the place is near to its share of the range. */
    const uint32_t words = field->head->words;
    uint32_t at = (uint32_t)((uint64_t)hash * words >> 32);
    while (at > 0 && field->hash[at - 1] >= hash) {
        at--;
    }
    while (at < words && field->hash[at] < hash) {
        at++;
    }
    for (; at < words && field->hash[at] == hash; at++) {
        uint32_t start = om_rowfield_number(field, field->start, at);
        uint32_t size = om_rowfield_number(field, field->start, at + 1) - start;
        if (size == length && memcmp(field->bytes + start, word, length) == 0) {
            return at;
        }
    }
    return UINT32_MAX;
}
