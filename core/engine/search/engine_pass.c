/* engine_pass.c - which rows of a segment pass a filter: computed once, extended as rows come, read
 * without a lock.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A longer bitmap is a new one: what a search holds does not change. Making one copies what is known, an
 * eighth of a byte a row; rows are looked at once. Readers find bitmaps through an immutable list; what
 * gives way is retired with a tag of the epochs and freed by whoever makes the next one. One caller at a time
 * makes bitmaps of a filter, holding no lock; the others wait as long as they are wanted. */
#include <string.h>

#include "engine_filter.h"

/* Bitmaps of segments that are gone are dropped when there are this many more than segments. */
enum { STALE_MOST = 8, KEY_COST = 32 };
/* Who waits for another one's bitmap looks so often whether it is still wanted. */
enum { LOOK_NS = 5 * 1000 * 1000 };

static const uint64_t empty_row[1] = {sizeof(uint64_t)}; /* a meta row without fields */

/* ---- Memory -------------------------------------------------------------------------------------- */
static size_t words_of(uint32_t rows)
{
    return om_round_up(((size_t)rows + 63) / 64, 8);
}

static omen_status_t make_pass(om_filter *f, const om_segment *seg, uint32_t rows, om_pass **out,
                               omen_error *err)
{
    size_t words = words_of(rows) * sizeof(uint64_t);
    size_t head = om_round_up(sizeof(om_pass), OM_CACHE_LINE);
    size_t bytes = head + words + (rows / OM_PASS_CHUNK + 1) * sizeof(uint32_t);
    uint8_t *block = om_alloc_get(&f->rt->alloc, bytes, OM_CACHE_LINE);
    if (block == NULL) {
        return om_fail_memory(err, "bitmap of a filter", bytes);
    }
    om_pass *pass = (void *)block;
    memset(pass, 0, sizeof *pass);
    pass->serial = seg->serial;
    pass->rows = rows;
    pass->words = (void *)(block + head);
    pass->before = (void *)(block + head + words);
    pass->bytes = bytes;
    atomic_init(&pass->dead_now, UINT64_MAX);
    atomic_init(&pass->live_then, 0);
    atomic_init(&pass->guess, 0);
    *out = pass;
    return OMEN_OK;
}

static void free_pass(om_filter *f, om_pass *pass)
{
    om_alloc_put(&f->rt->alloc, pass, pass->bytes, OM_CACHE_LINE);
}

static size_t answers_bytes(uint32_t count)
{
    return sizeof(om_answers) + count * sizeof(om_pass *);
}

static void free_answers(om_filter *f, om_answers *answers)
{
    om_alloc_put(&f->rt->alloc, answers, answers_bytes(answers->count), _Alignof(om_answers));
}

/* Frees what no search holds any more; newest first, so behind the first one that is past all are. */
static void reclaim(om_filter *f)
{
    om_answers **answers = &f->retired_answers;
    while (*answers != NULL && !om_epoch_passed(f->rt, (*answers)->tag)) {
        answers = &(*answers)->next;
    }
    for (om_answers *at = *answers; at != NULL;) {
        om_answers *next = at->next;
        free_answers(f, at);
        at = next;
    }
    *answers = NULL;
    om_pass **pass = &f->retired;
    while (*pass != NULL && !om_epoch_passed(f->rt, (*pass)->tag)) {
        pass = &(*pass)->next;
    }
    for (om_pass *at = *pass; at != NULL;) {
        om_pass *next = at->next;
        free_pass(f, at);
        at = next;
    }
    *pass = NULL;
}

void om_pass_free_all(om_filter *f)
{
    om_answers *answers = atomic_load_explicit(&f->answers, memory_order_acquire);
    for (uint32_t i = 0; answers != NULL && i < answers->count; i++) {
        free_pass(f, answers->pass[i]);
    }
    if (answers != NULL) {
        free_answers(f, answers);
    }
    while (f->retired_answers != NULL) {
        om_answers *next = f->retired_answers->next;
        free_answers(f, f->retired_answers);
        f->retired_answers = next;
    }
    while (f->retired != NULL) {
        om_pass *next = f->retired->next;
        free_pass(f, f->retired);
        f->retired = next;
    }
}

/* ---- Finding and publishing ---------------------------------------------------------------------- */
static om_pass *find(om_filter *f, uint64_t serial)
{
    const om_answers *answers = atomic_load(&f->answers);
    for (uint32_t i = 0; answers != NULL && i < answers->count; i++) {
        if (answers->pass[i]->serial == serial) {
            return answers->pass[i];
        }
    }
    return NULL;
}

static void retire(om_filter *f, om_pass *pass, uint64_t tag)
{
    pass->tag = tag;
    pass->next = f->retired;
    f->retired = pass;
    atomic_fetch_sub_explicit(&f->bytes, pass->bytes, memory_order_relaxed);
}

/* The new list, in which `pass` has the place of the former one of its segment, or the first one; with
 * very many, the last ones, which were made or extended longest ago, are left out. mu held. */
static omen_status_t publish(om_filter *f, om_collection *c, om_pass *pass, omen_error *err)
{
    om_answers *former = atomic_load(&f->answers);
    uint32_t most = om_set_load(c)->count + STALE_MOST;
    uint32_t had = former != NULL ? former->count : 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < had; i++) {
        kept += former->pass[i]->serial != pass->serial;
    }
    kept = om_min_u32(kept, most);
    om_answers *made =
        om_alloc_zero(&f->rt->alloc, 1, answers_bytes(kept + 1), _Alignof(om_answers));
    if (made == NULL) {
        return om_fail_memory(err, "answers of a filter", answers_bytes(kept + 1));
    }
    made->pass[made->count++] = pass;
    for (uint32_t i = 0; i < had && made->count < kept + 1; i++) {
        if (former->pass[i]->serial != pass->serial) {
            made->pass[made->count++] = former->pass[i];
        }
    }
    atomic_store(&f->answers, made);
    atomic_fetch_add_explicit(&f->bytes, pass->bytes, memory_order_relaxed);
    if (former == NULL) {
        return OMEN_OK;
    }
    uint64_t tag = om_epoch_tag(f->rt);
    uint32_t others = 0;
    for (uint32_t i = 0; i < had; i++) {
        if (former->pass[i]->serial == pass->serial || ++others > kept) {
            retire(f, former->pass[i], tag);
        }
    }
    former->tag = tag;
    former->next = f->retired_answers;
    f->retired_answers = former;
    return OMEN_OK;
}

/* ---- Conditions: blocks, then single rows -------------------------------------------------------- */
static void set_bits(uint64_t *words, uint32_t first, uint32_t last, bool value)
{
    for (uint32_t i = first; i < last;) {
        if ((i & 63) == 0 && last - i >= 64) {
            words[i >> 6] = value ? UINT64_MAX : 0;
            i += 64;
            continue;
        }
        uint64_t bit = UINT64_C(1) << (i & 63);
        words[i >> 6] = value ? words[i >> 6] | bit : words[i >> 6] & ~bit;
        i++;
    }
}

static omen_status_t block_scratch(om_filter *f, omen_error *err)
{
    size_t bytes = om_predicate_scratch(f->predicate);
    bytes = om_round_up(bytes, OM_CACHE_LINE) + OM_BLOCK_WORDS * sizeof(uint64_t);
    f->scratch = om_alloc_get(&f->rt->alloc, bytes, OM_CACHE_LINE);
    if (f->scratch == NULL) {
        return om_fail_memory(err, "scratch of a filter", bytes);
    }
    f->scratch_bytes = bytes;
    return OMEN_OK;
}

static void drop_scratch(om_filter *f)
{
    om_alloc_put(&f->rt->alloc, f->scratch, f->scratch_bytes, OM_CACHE_LINE);
    f->scratch = NULL;
    f->scratch_bytes = 0;
}

bool om_filter_empty(const om_filter *f)
{
    return om_predicate_row(f->predicate, (const uint8_t *)empty_row);
}

/* A part of blocks, as far as it is wanted. Words that were known before get the same bits again. */
static omen_status_t test_part(om_filter *f, const om_fields_look *look, uint32_t i, om_pass *pass,
                               omen_error *err)
{
    const om_meta_part *part = &look->parts->meta[i];
    const om_metablock *block = NULL;
    uint32_t last = om_min_u32(part->first + part->rows, pass->rows);
    if (part->none) {
        set_bits(pass->words, part->first, last, om_filter_empty(f));
        return OMEN_OK;
    }
    omen_status_t status = om_fields_block(look, i, &block, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t *words = (void *)f->scratch;
    (void)om_predicate_block(f->predicate, block, words,
                             f->scratch + OM_BLOCK_WORDS * sizeof(uint64_t));
    memcpy(pass->words + part->first / 64, words,
           ((size_t)(last - part->first) + 63) / 64 * sizeof *words);
    if ((last & 63) != 0) { /* a block may go beyond the rows that are wanted */
        pass->words[last >> 6] &= ~(UINT64_MAX << (last & 63));
    }
    return OMEN_OK;
}

static void test_rows(om_filter *f, const om_fields_look *look, uint32_t first, uint32_t last,
                      om_pass *pass)
{
    bool empty = om_filter_empty(f);
    for (uint32_t slot = first; slot < last;) {
        uint32_t end = om_min_u32(last, (slot / OM_CHUNK_ROWS + 1) * OM_CHUNK_ROWS);
        const om_rowchunk *chunk = om_fields_chunk(look, slot);
        if (chunk == NULL) {
            set_bits(pass->words, slot, end, empty);
            slot = end;
        }
        for (; slot < end; slot++) {
            const uint8_t *row = chunk->meta[slot % OM_CHUNK_ROWS];
            bool passes = row != NULL ? om_predicate_row(f->predicate, row) : empty;
            pass->words[slot >> 6] |= (uint64_t)passes << (slot & 63);
        }
    }
}

/* Whether the caller still waits. When not, the bitmap ends with the rows that were looked at, [0, done). */
static omen_status_t go_on(const om_pass_need *need, uint32_t done, om_pass *pass, omen_error *err)
{
    omen_status_t status = om_stop_check(need->stop);
    if (OM_LIKELY(status == OMEN_OK)) {
        return OMEN_OK;
    }
    pass->rows = done;
    return om_fail(err, status, OMEN_D_NONE, "stopped while a filter looked at rows");
}

/* Blocks from the one that has row `first` up to row `covered`. */
static omen_status_t test_parts(om_filter *f, const om_pass_need *need, const om_fields_look *look,
                                uint32_t first, uint32_t covered, om_pass *pass, omen_error *err)
{
    omen_status_t status = block_scratch(f, err);
    for (uint32_t i = om_fields_part_of(look, first);
         status == OMEN_OK && i < look->parts->meta_count && look->parts->meta[i].first < covered;
         i++) {
        status = go_on(need, look->parts->meta[i].first, pass, err);
        if (status == OMEN_OK) {
            status = test_part(f, look, i, pass, err);
        }
    }
    drop_scratch(f);
    return status;
}

static omen_status_t test_condition(om_filter *f, const om_pass_need *need, uint32_t first,
                                    om_pass *pass, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_fields_look look;
    om_fields_look_at(need->segment, pass->rows, &look);
    if (!look.any) {
        set_bits(pass->words, first, pass->rows, om_filter_empty(f));
        return OMEN_OK;
    }
    uint32_t covered = om_min_u32(look.parts->meta_covered, pass->rows);
    if (first < covered) {
        status = test_parts(f, need, &look, first, covered, pass, err);
    }
    if (status == OMEN_OK && covered < pass->rows) {
        test_rows(f, &look, first > covered ? first : covered, pass->rows, pass);
    }
    return status;
}

/* ---- Keys ---------------------------------------------------------------------------------------- */
static bool has_key(const om_filter *f, uint64_t key)
{
    uint64_t low = 0;
    uint64_t n = f->key_count;
    while (n > 1) {
        uint64_t half = n / 2;
        low = f->keys[low + half] <= key ? low + half : low;
        n -= half;
    }
    return n == 1 && f->keys[low] == key;
}

/* Row after row by its key. */
static omen_status_t test_keys(om_filter *f, const om_pass_need *need, uint32_t first,
                               om_pass *pass, omen_error *err)
{
    const om_view *view = om_view_load(need->segment);
    for (uint32_t from = first; from < pass->rows; from += OM_PASS_CHUNK - from % OM_PASS_CHUNK) {
        uint32_t to = om_min_u32(pass->rows, from + OM_PASS_CHUNK - from % OM_PASS_CHUNK);
        omen_status_t status = go_on(need, from, pass, err);
        if (status == OMEN_OK && view->mapped != NULL) {
            status = om_mapped_touch(view->mapped, OM_TOUCH_KEYS, from, to - from, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
        for (uint32_t slot = from; slot < to; slot++) {
            uint64_t passes = has_key(f, view->keys[slot]);
            pass->words[slot >> 6] |= passes << (slot & 63);
        }
    }
    return OMEN_OK;
}

/* Key after key by the maps. They know the newest row of a key; of a file that is the only one that was
 * alive when it was written. A row behind pass->rows is not seen yet, and what it replaced is dead (or
 * about to be: the search then looks again, as `replacing` says). */
static omen_status_t look_keys_up(om_filter *f, const om_pass_need *need, om_pass *pass,
                                  omen_error *err)
{
    om_segment *seg = need->segment;
    omen_status_t status = OMEN_OK;
    om_rwlock_read(&seg->c->ids_mu);
    for (uint64_t i = 0; i < f->key_count && status == OMEN_OK; i++) {
        uint32_t slot = OM_IDMAP_ABSENT;
        if (seg->mapped != NULL) {
            status = om_mapped_slot_of_key(seg->mapped, f->keys[i], &slot, err);
        } else if (seg->store != NULL) {
            const uint64_t *keys = (const void *)seg->store->array[OM_A_KEYS].base;
            slot = om_idmap_get(&seg->map, keys, f->keys[i]);
        }
        if (slot != OM_IDMAP_ABSENT && slot < pass->rows) {
            pass->words[slot >> 6] |= UINT64_C(1) << (slot & 63);
        }
    }
    om_rwlock_unlock(&seg->c->ids_mu);
    return status;
}

static omen_status_t test_set(om_filter *f, const om_pass_need *need, uint32_t first, om_pass *pass,
                              omen_error *err)
{
    bool file = need->segment->mapped != NULL;
    if (first == 0 && f->key_count < pass->rows / KEY_COST && (file || !need->past)) {
        pass->present = !file;
        return look_keys_up(f, need, pass, err);
    }
    return test_keys(f, need, first, pass, err);
}

/* ---- All of it ----------------------------------------------------------------------------------- */
/* Twelve operations a word, which compilers turn into vectors; there may be no popcnt. */
static uint32_t bits_of(const uint64_t *words, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t x = words[i];
        x -= (x >> 1) & UINT64_C(0x5555555555555555);
        x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
        x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
        x += x >> 8;
        x += x >> 16;
        x += x >> 32;
        sum += x & 0x7F;
    }
    return (uint32_t)sum;
}

uint32_t om_pass_count(const om_pass *pass, uint32_t rows)
{
    if (rows >= pass->rows) {
        return pass->matches;
    }
    uint32_t chunk = rows / OM_PASS_CHUNK;
    size_t first = (size_t)chunk * (OM_PASS_CHUNK / 64);
    uint32_t count = pass->before[chunk] + bits_of(pass->words + first, (rows >> 6) - first);
    uint64_t rest = pass->words[rows >> 6] & ~(UINT64_MAX << (rows & 63));
    return count + bits_of(&rest, 1);
}

static void count_chunks(om_pass *pass)
{
    size_t words = words_of(pass->rows);
    pass->matches = 0;
    for (uint32_t chunk = 0; chunk <= pass->rows / OM_PASS_CHUNK; chunk++) {
        size_t first = (size_t)chunk * (OM_PASS_CHUNK / 64);
        size_t n = words - first < OM_PASS_CHUNK / 64 ? words - first : OM_PASS_CHUNK / 64;
        pass->before[chunk] = pass->matches;
        pass->matches += bits_of(pass->words + first, n);
    }
}

/* A bitmap of `rows` rows: the former one and what came behind it. When it was stopped on the way, of as many
 * as were looked at: the next caller goes on there. */
static omen_status_t extend(om_filter *f, const om_pass_need *need, const om_pass *former,
                            uint32_t rows, om_pass **out, omen_error *err)
{
    om_pass *pass = NULL;
    uint32_t first = former != NULL ? former->rows : 0;
    omen_status_t status = make_pass(f, need->segment, rows, &pass, err);
    if (status != OMEN_OK) {
        return status;
    }
    size_t known = words_of(first);
    memset(pass->words + known, 0, (words_of(rows) - known) * sizeof(uint64_t));
    if (former != NULL) {
        memcpy(pass->words, former->words, known * sizeof(uint64_t));
        pass->present = former->present;
        atomic_init(&pass->guess, atomic_load_explicit(&former->guess, memory_order_relaxed));
    }
    status = f->predicate != NULL ? test_condition(f, need, first, pass, err)
                                  : test_set(f, need, first, pass, err);
    bool stopped = status == OMEN_CANCELLED || status == OMEN_DEADLINE_EXCEEDED;
    if (status != OMEN_OK && !(stopped && pass->rows > first)) {
        free_pass(f, pass);
        return status;
    }
    count_chunks(pass);
    *out = pass;
    return status;
}

static bool suits(const om_pass *pass, const om_pass_need *need)
{
    return pass != NULL && pass->rows >= need->rows && !(pass->present && need->past);
}

/* By the one who makes bitmaps now, without a lock; *out: to be published. */
static omen_status_t make_longer(om_filter *f, const om_pass_need *need, om_pass **out,
                                 omen_error *err)
{
    om_pass *pass = find(f, need->segment->serial);
    uint32_t rows = om_max_u32(need->rows, atomic_load(&need->segment->visible));
    const om_pass *former = pass != NULL && pass->present && need->past ? NULL : pass;
    *out = NULL;
    return extend(f, need, former, rows, out, err);
}

static uint64_t next_look(const om_stop *stop)
{
    uint64_t at = om_now_ns() + LOOK_NS;
    return stop->deadline_ns != 0 ? om_min_u64(at, stop->deadline_ns) : at;
}

/* Until nobody makes bitmaps, which this caller then does; or until there is what it needs: *found. */
static omen_status_t take_turn(om_filter *f, const om_pass_need *need, om_pass **found,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    *found = NULL;
    om_mutex_lock(&f->mu);
    for (;;) {
        om_pass *pass = find(f, need->segment->serial);
        if (suits(pass, need)) {
            *found = pass;
            break;
        }
        if (!f->making) {
            f->making = true;
            break;
        }
        status = om_stop_check(need->stop);
        if (status != OMEN_OK) {
            break;
        }
        (void)om_cond_wait(&f->made, &f->mu, next_look(need->stop));
    }
    om_mutex_unlock(&f->mu);
    return status == OMEN_OK
               ? OMEN_OK
               : om_fail(err, status, OMEN_D_NONE, "stopped while another search looked at rows");
}

/* Publishes what was made, if it was, and lets the next one make bitmaps. */
static omen_status_t end_turn(om_filter *f, const om_pass_need *need, om_pass *made,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mutex_lock(&f->mu);
    if (made != NULL) {
        status = publish(f, need->segment->c, made, err);
        if (status == OMEN_OK) {
            reclaim(f);
        }
    }
    f->making = false;
    om_cond_broadcast(&f->made);
    om_mutex_unlock(&f->mu);
    return status;
}

static omen_status_t make_in_turn(om_filter *f, const om_pass_need *need, const om_pass **out,
                                  omen_error *err)
{
    om_pass *made = NULL;
    omen_status_t status = take_turn(f, need, &made, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (made != NULL) {
        *out = made;
        return OMEN_OK;
    }
    status = make_longer(f, need, &made, err);
    omen_status_t published = end_turn(f, need, made, status == OMEN_OK ? err : NULL);
    if (published != OMEN_OK) {
        free_pass(f, made);
        return status != OMEN_OK ? status : published;
    }
    *out = made != NULL ? made : *out;
    om_filters_trim(need->segment->c);
    return status;
}

/* When memory is short, filters that nobody but their list holds are given up, once. */
omen_status_t om_filter_pass(om_filter *f, const om_pass_need *need, const om_pass **out,
                             omen_error *err)
{
    const om_pass *pass = find(f, need->segment->serial);
    if (OM_LIKELY(suits(pass, need))) {
        *out = pass;
        return OMEN_OK;
    }
    omen_status_t status = make_in_turn(f, need, out, err);
    if (status == OMEN_RESOURCE_EXHAUSTED && om_filters_shed(need->segment->c)) {
        status = make_in_turn(f, need, out, err);
    }
    return status;
}
