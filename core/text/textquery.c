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

/* The number of a word of the target, new or known. */
static omen_status_t add_word(om_textquery *q, uint32_t target, const char *word, uint32_t length,
                              uint32_t *number, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint32_t hash = (uint32_t)(om_text_hash(word, length, 0) >> 32);
    for (uint32_t i = q->word_count; i-- > 0 && q->words[i].target == target;) {
        const om_queryword *known = &q->words[i];
        if (known->hash == hash && known->length == length &&
            memcmp(q->bytes + known->at, word, length) == 0) {
            *number = i;
            return OMEN_OK;
        }
    }
    OM_TRY(om_text_room(q->alloc, (void **)&q->words, &q->words_room, (size_t)q->word_count + 1,
                        sizeof *q->words, err));
    OM_TRY(om_text_room(q->alloc, (void **)&q->bytes, &q->bytes_room,
                        (size_t)q->byte_count + length, 1, err));
    memcpy(q->bytes + q->byte_count, word, length);
    q->words[q->word_count] =
        (om_queryword){.target = target, .at = q->byte_count, .length = length, .hash = hash};
    q->byte_count += length;
    *number = q->word_count++;
out:
    return status;
}

/* The parts behind part_count become a clause, or one that is there already counts once more. */
static omen_status_t add_clause(om_textquery *q, uint32_t target, uint32_t count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_part *parts = q->parts + q->part_count;
    for (uint32_t i = q->clause_count; i-- > 0 && q->clauses[i].target == target;) {
        om_clause *known = &q->clauses[i];
        if (known->count == count &&
            memcmp(q->parts + known->first, parts, count * sizeof *parts) == 0) {
            known->times++;
            return OMEN_OK;
        }
    }
    OM_TRY(om_text_room(q->alloc, (void **)&q->clauses, &q->clauses_room,
                        (size_t)q->clause_count + 1, sizeof *q->clauses, err));
    q->clauses[q->clause_count++] =
        (om_clause){.target = target, .times = 1, .first = q->part_count, .count = count};
    q->part_count += count;
out:
    return status;
}

static omen_status_t add_part(om_textquery *q, uint32_t target, const om_words *words, uint32_t i,
                              uint32_t place, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t count, number;
    const om_word *list = om_words_list(words, &count);
    const om_word *word = &list[i];
    OM_TRY(om_text_room(q->alloc, (void **)&q->parts, &q->parts_room,
                        (size_t)q->part_count + place + 1, sizeof *q->parts, err));
    OM_TRY(add_word(q, target, om_words_bytes(words) + word->offset, word->length, &number, err));
    q->parts[q->part_count + place] =
        (om_part){.word = number, .offset = word->position - list[i - place].position};
out:
    return status;
}

/* One stretch of the text, between quotation marks or outside; *left: words that are still used. */
static omen_status_t add_stretch(om_textquery *q, uint32_t target, const om_words *words,
                                 bool phrase, uint32_t *left, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t count;
    (void)om_words_list(words, &count);
    count = om_min_u32(count, *left);
    *left -= count;
    for (uint32_t i = 0; i < count; i++) {
        OM_TRY(add_part(q, target, words, i, phrase ? i : 0, err));
        if (!phrase) {
            OM_TRY(add_clause(q, target, 1, err));
        }
    }
    if (phrase && count != 0) {
        OM_TRY(add_clause(q, target, count, err));
    }
out:
    return status;
}

/* A quotation mark without a second one is none. */
static omen_status_t add_target(om_textquery *q, uint32_t target,
                                const om_textquery_options *options, om_words *words,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_analyser *analyser = options->targets[target].analyser;
    const char *at = options->text;
    const char *end = at + options->length;
    uint32_t left = OM_QUERY_WORDS;
    while (at < end && left != 0) {
        const char *open = memchr(at, '"', (size_t)(end - at));
        const char *close = open != NULL ? memchr(open + 1, '"', (size_t)(end - open - 1)) : NULL;
        const char *stop = close != NULL ? open : end;
        if (stop > at) {
            OM_TRY(om_analyse(analyser, at, (size_t)(stop - at), words, err));
            OM_TRY(add_stretch(q, target, words, false, &left, err));
        }
        if (close == NULL) {
            break;
        }
        if (left != 0 && close > open + 1) {
            OM_TRY(om_analyse(analyser, open + 1, (size_t)(close - open - 1), words, err));
            OM_TRY(add_stretch(q, target, words, true, &left, err));
        }
        at = close + 1;
    }
out:
    return status;
}

static omen_status_t copy_targets(om_textquery *q, const om_textquery_options *options,
                                  omen_error *err)
{
    const size_t size = options->target_count * sizeof *q->targets;
    q->targets = om_alloc_get(q->alloc, size, 64);
    if (q->targets == NULL) {
        return om_fail_memory(err, "a text query", size);
    }
    q->target_count = options->target_count;
    memcpy(q->targets, options->targets, size);
    return OMEN_OK;
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
    for (uint32_t i = 0; i < options->target_count; i++) {
        if (options->targets[i].weight > 0) {
            om_words *words = NULL;
            OM_TRY(om_words_borrow(options->targets[i].analyser, &words, err));
            status = add_target(q, i, options, words, err);
            om_words_return(options->targets[i].analyser, words);
            OM_TRY(status);
        }
    }
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
