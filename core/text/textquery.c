/* textquery.c - the text of a query becomes words and phrases of each field.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "text_search.h"

static omen_status_t check_options(const om_textquery_options *options, omen_error *err)
{
    if (!(options->k1 >= 0 && options->k1 <= 1e6f)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "k1: %g is not between 0 and 1,000,000", (double)options->k1);
    }
    if (!(options->b >= 0 && options->b <= 1)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "b: %g is not between 0 and 1",
                       (double)options->b);
    }
    for (uint32_t i = 0; i < options->target_count; i++) {
        const float weight = options->targets[i].weight;
        if (!(weight >= 0 && isfinite(weight))) {
            return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                           "the weight of a text field: %g is not 0 or above", (double)weight);
        }
    }
    return OMEN_OK;
}

/* ---- One target ----------------------------------------------------------------------------- */
/* A query that is being made. Words and clauses of the target at hand are found by hash, however many
 * there are. */
typedef struct making {
    om_textquery *q;
    uint32_t target;
    uint32_t most, left; /* words of a target; that are still used */
    uint32_t mask;       /* of the places in both tables */
    uint32_t *words;     /* [mask + 1] a word's number plus one; 0: free */
    uint32_t *clauses;   /* [mask + 1] likewise */
} making;

static bool is_word(const making *m, uint32_t number, const om_queryword *word, const char *bytes)
{
    const om_queryword *known = &m->q->words[number];
    return known->hash == word->hash && known->length == word->length &&
           memcmp(m->q->bytes + known->at, bytes, word->length) == 0;
}

/* The number of a word of the target, new or known. */
static omen_status_t add_word(making *m, const char *bytes, uint32_t length, uint32_t *number,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textquery *q = m->q;
    const om_queryword word = {.target = m->target,
                               .at = q->byte_count,
                               .length = length,
                               .hash = om_text_row_hash(bytes, length)};
    uint32_t at = word.hash & m->mask;
    for (; m->words[at] != 0; at = (at + 1) & m->mask) {
        if (is_word(m, m->words[at] - 1, &word, bytes)) {
            *number = m->words[at] - 1;
            return OMEN_OK;
        }
    }
    OM_TRY(om_text_room(q->alloc, (void **)&q->words, &q->words_room, (size_t)q->word_count + 1,
                        sizeof *q->words, err));
    OM_TRY(om_text_room(q->alloc, (void **)&q->bytes, &q->bytes_room,
                        (size_t)q->byte_count + length, 1, err));
    memcpy(q->bytes + q->byte_count, bytes, length);
    q->words[q->word_count] = word;
    q->byte_count += length;
    *number = q->word_count++;
    m->words[at] = q->word_count;
out:
    return status;
}

static uint32_t hash_parts(const om_part *parts, uint32_t count)
{
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++) {
        hash = om_mix64(hash ^ ((uint64_t)parts[i].word << 32 | parts[i].offset));
    }
    return (uint32_t)hash;
}

/* The parts behind part_count become a clause, or one that is there already counts once more. */
static omen_status_t add_clause(making *m, uint32_t count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textquery *q = m->q;
    const om_part *parts = q->parts + q->part_count;
    uint32_t at = hash_parts(parts, count) & m->mask;
    for (; m->clauses[at] != 0; at = (at + 1) & m->mask) {
        om_clause *known = &q->clauses[m->clauses[at] - 1];
        if (known->count == count &&
            memcmp(q->parts + known->first, parts, count * sizeof *parts) == 0) {
            known->times++;
            return OMEN_OK;
        }
    }
    OM_TRY(om_text_room(q->alloc, (void **)&q->clauses, &q->clauses_room,
                        (size_t)q->clause_count + 1, sizeof *q->clauses, err));
    q->clauses[q->clause_count++] =
        (om_clause){.target = m->target, .times = 1, .first = q->part_count, .count = count};
    q->part_count += count;
    m->clauses[at] = q->clause_count;
out:
    return status;
}

static omen_status_t add_part(making *m, const om_words *words, uint32_t i, uint32_t place,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textquery *q = m->q;
    uint32_t count, number;
    const om_word *list = om_words_list(words, &count);
    const om_word *word = &list[i];
    OM_TRY(om_text_room(q->alloc, (void **)&q->parts, &q->parts_room,
                        (size_t)q->part_count + place + 1, sizeof *q->parts, err));
    OM_TRY(add_word(m, om_words_bytes(words) + word->offset, word->length, &number, err));
    q->parts[q->part_count + place] =
        (om_part){.word = number, .offset = word->position - list[i - place].position};
out:
    return status;
}

/* One stretch of the text, between quotation marks or outside. */
static omen_status_t add_stretch(making *m, const om_words *words, bool phrase, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t count;
    (void)om_words_list(words, &count);
    count = om_min_u32(count, m->left);
    m->left -= count;
    for (uint32_t i = 0; i < count; i++) {
        OM_TRY(add_part(m, words, i, phrase ? i : 0, err));
        if (!phrase) {
            OM_TRY(add_clause(m, 1, err));
        }
    }
    if (phrase && count != 0) {
        OM_TRY(add_clause(m, count, err));
    }
out:
    return status;
}

/* A quotation mark without a second one is none. */
static omen_status_t add_text(making *m, const om_textquery_options *options, om_words *words,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_analyser *analyser = options->targets[m->target].analyser;
    const char *at = options->text;
    const char *end = at + options->length;
    m->left = m->most;
    while (at < end && m->left != 0) {
        const char *open = memchr(at, '"', (size_t)(end - at));
        const char *close = open != NULL ? memchr(open + 1, '"', (size_t)(end - open - 1)) : NULL;
        const char *stop = close != NULL ? open : end;
        if (stop > at) {
            OM_TRY(om_analyse(analyser, at, (size_t)(stop - at), words, err));
            OM_TRY(add_stretch(m, words, false, err));
        }
        if (close == NULL) {
            break;
        }
        if (m->left != 0 && close > open + 1) {
            OM_TRY(om_analyse(analyser, open + 1, (size_t)(close - open - 1), words, err));
            OM_TRY(add_stretch(m, words, true, err));
        }
        at = close + 1;
    }
out:
    return status;
}

/* What a target with the same analyser has, once more. */
static omen_status_t copy_target(making *m, const om_targetspan *from, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textquery *q = m->q;
    const uint32_t words = from->word_end - from->word, parts = from->part_end - from->part;
    const uint32_t clauses = from->clause_end - from->clause;
    const uint32_t word = q->word_count - from->word, part = q->part_count - from->part;
    OM_TRY(om_text_room(q->alloc, (void **)&q->words, &q->words_room, (size_t)q->word_count + words,
                        sizeof *q->words, err));
    OM_TRY(om_text_room(q->alloc, (void **)&q->parts, &q->parts_room, (size_t)q->part_count + parts,
                        sizeof *q->parts, err));
    OM_TRY(om_text_room(q->alloc, (void **)&q->clauses, &q->clauses_room,
                        (size_t)q->clause_count + clauses, sizeof *q->clauses, err));
    for (uint32_t i = from->word; i < from->word_end; i++) {
        q->words[q->word_count] = q->words[i];
        q->words[q->word_count++].target = m->target;
    }
    for (uint32_t i = from->part; i < from->part_end; i++) {
        q->parts[q->part_count] = q->parts[i];
        q->parts[q->part_count++].word += word;
    }
    for (uint32_t i = from->clause; i < from->clause_end; i++) {
        om_clause *clause = &q->clauses[q->clause_count++];
        *clause = q->clauses[i];
        clause->target = m->target;
        clause->first += part;
    }
out:
    return status;
}

static omen_status_t analyse_target(making *m, const om_textquery_options *options, omen_error *err)
{
    const om_analyser *analyser = options->targets[m->target].analyser;
    om_words *words = NULL;
    memset(m->words, 0, ((size_t)m->mask + 1) * sizeof *m->words);
    memset(m->clauses, 0, ((size_t)m->mask + 1) * sizeof *m->clauses);
    omen_status_t status = om_words_borrow(analyser, &words, err);
    if (status == OMEN_OK) {
        status = add_text(m, options, words, err);
        om_words_return(analyser, words);
    }
    return status;
}

/* ---- All targets ---------------------------------------------------------------------------- */
static omen_status_t check_stop(const om_stop *stop, omen_error *err)
{
    const omen_status_t status = stop != NULL ? om_stop_check(stop) : OMEN_OK;
    return status == OMEN_OK
               ? OMEN_OK
               : om_fail(err, status, OMEN_D_NONE, "stopped while a text query was made");
}

/* An analyser that does the same is most often that of a neighbour. */
static bool find_same(const om_textquery *q, uint32_t target, uint32_t *same)
{
    for (uint32_t i = target; i-- > 0;) {
        if (q->targets[i].weight > 0 &&
            om_analyser_same(q->targets[i].analyser, q->targets[target].analyser)) {
            *same = i;
            return true;
        }
    }
    return false;
}

static omen_status_t add_targets(making *m, const om_textquery_options *options, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textquery *q = m->q;
    for (m->target = 0; m->target < q->target_count; m->target++) {
        om_targetspan *span = &q->spans[m->target];
        uint32_t same;
        *span = (om_targetspan){
            .word = q->word_count, .clause = q->clause_count, .part = q->part_count};
        if (q->targets[m->target].weight > 0) {
            OM_TRY(check_stop(options->stop, err));
            OM_TRY(find_same(q, m->target, &same) ? copy_target(m, &q->spans[same], err)
                                                  : analyse_target(m, options, err));
        }
        span->word_end = q->word_count;
        span->clause_end = q->clause_count;
        span->part_end = q->part_count;
    }
out:
    return status;
}

static omen_status_t copy_targets(om_textquery *q, const om_textquery_options *options,
                                  omen_error *err)
{
    const size_t size = options->target_count * sizeof *q->targets;
    q->targets = om_alloc_get(q->alloc, size, 64);
    q->spans = om_alloc_zero(q->alloc, options->target_count, sizeof *q->spans, 64);
    q->target_count = options->target_count;
    if (q->targets == NULL || q->spans == NULL) {
        return om_fail_memory(err, "a text query", size);
    }
    memcpy(q->targets, options->targets, size);
    return OMEN_OK;
}

/* Tables of twice the words that there can be at least: three bytes of UTF-8 become eighteen characters at
 * most, so a text has fewer than eight words a byte, whatever they are made of. */
static omen_status_t make_all(om_textquery *q, const om_textquery_options *options, omen_error *err)
{
    making m = {.q = q};
    uint32_t weighted = 0, slots = 64;
    for (uint32_t i = 0; i < q->target_count; i++) {
        weighted += q->targets[i].weight > 0;
    }
    m.most = OM_TEXT_QUERY_LANES / om_max_u32(weighted, OM_TEXT_QUERY_LANES / OM_TEXT_QUERY_WORDS);
    while (slots < 2 * m.most && slots < 8 * options->length) {
        slots *= 2;
    }
    m.mask = slots - 1;
    m.words = om_alloc_get(q->alloc, (size_t)slots * 2 * sizeof *m.words, 64);
    if (m.words == NULL) {
        return om_fail_memory(err, "a text query", (size_t)slots * 2 * sizeof *m.words);
    }
    m.clauses = m.words + slots;
    const omen_status_t status = add_targets(&m, options, err);
    om_alloc_put(q->alloc, m.words, (size_t)slots * 2 * sizeof *m.words, 64);
    return status;
}

omen_status_t om_textquery_create(const om_alloc *alloc, const om_textquery_options *options,
                                  om_textquery **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textquery *q = om_alloc_zero(alloc, 1, sizeof *q, 64);
    if (q == NULL) {
        return om_fail_memory(err, "a text query", sizeof *q);
    }
    q->alloc = alloc;
    q->k1 = options->k1;
    q->b = options->b;
    OM_TRY(check_options(options, err));
    OM_TRY(copy_targets(q, options, err));
    OM_TRY(make_all(q, options, err));
    *out = q;
out:
    if (status != OMEN_OK) {
        om_textquery_free(q);
    }
    return status;
}

void om_textquery_free(om_textquery *q)
{
    if (q == NULL) {
        return;
    }
    om_alloc_put(q->alloc, q->targets, q->target_count * sizeof *q->targets, 64);
    om_alloc_put(q->alloc, q->spans, q->target_count * sizeof *q->spans, 64);
    om_alloc_put(q->alloc, q->words, q->words_room * sizeof *q->words, 16);
    om_alloc_put(q->alloc, q->clauses, q->clauses_room * sizeof *q->clauses, 16);
    om_alloc_put(q->alloc, q->parts, q->parts_room * sizeof *q->parts, 16);
    om_alloc_put(q->alloc, q->bytes, q->bytes_room, 16);
    om_alloc_put(q->alloc, q, sizeof *q, 64);
}

bool om_textquery_empty(const om_textquery *query)
{
    return query->clause_count == 0;
}
