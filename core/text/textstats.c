/* textstats.c - what BM25 needs to know of all sources: how many rows have a field and how long it is, how
 * many have a word; and the formulas that follow.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "text_search.h"

/* All contributions together stay below 2^OM_SUM_BITS, plus one a clause. */
enum { OM_SUM_BITS = 30 };

/* ---- Images of which only the first rows are searched --------------------------------------- */
/* Rows behind those are of no one's business: a snapshot's scores are the same whatever is written
 * later, and in whatever image its last rows lie. */
static omen_status_t add_field(om_textrun *run, const om_textimage *image, uint32_t field,
                               uint32_t end, om_targetstats *stats)
{
    omen_status_t status = OMEN_OK;
    enum { STEP = 4096 };
    if (end == image->head->rows) {
        stats->rows += image->fields[field].rows;
        stats->total += image->fields[field].total;
        return OMEN_OK;
    }
    for (uint32_t row = 0; row < end;) {
        const uint32_t step = om_min_u32(end, row + STEP);
        OM_TRY(om_textrun_stop(run, 16));
        for (; row < step; row++) {
            const uint32_t length = om_textimage_length(image, field, row);
            stats->rows += length != 0;
            stats->total += length;
        }
    }
out:
    return status;
}

/* The rows of a list below end: its tables lead to their last block. */
static omen_status_t count_below(om_textrun *run, const om_textimage *image, uint32_t term,
                                 uint32_t end, uint64_t *df)
{
    om_lane *lane = &run->scratch->lanes[0]; /* nothing is open yet */
    om_textlist list;
    uint32_t block = 0;
    if (end == image->head->rows) {
        *df += image->entries[term].df;
        return OMEN_OK;
    }
    if (om_textlist_open(image, term, &list) != OMEN_OK) {
        return om_text_damaged(run->err, "a list is out of bounds");
    }
    if (list.kind == OM_LIST_LONG) {
        uint32_t high = list.blocks;
        while (block < high) {
            const uint32_t middle = block + (high - block) / 2;
            if (list.last[middle] < end) {
                block = middle + 1;
            } else {
                high = middle;
            }
        }
    }
    *df += (uint64_t)block * OM_PACK;
    if (block < list.blocks) {
        const uint32_t n = om_textlist_count(&list, block);
        if (!om_textlist_rows(&list, block, lane->rows)) {
            return om_text_damaged(run->err, "a block of postings is out of bounds");
        }
        for (uint32_t i = 0; i < n; i++) {
            *df += lane->rows[i] < end;
        }
    } else {
        *df -= (uint64_t)block * OM_PACK - list.df;
    }
    return OMEN_OK;
}

/* ---- Statistics ----------------------------------------------------------------------------- */
omen_status_t om_textrun_count(om_textrun *run, uint32_t *terms)
{
    omen_status_t status = OMEN_OK;
    const om_textquery *q = run->query;
    const om_textimage *image = run->from->image;
    om_textscratch *s = run->scratch;
    for (uint32_t t = 0; t < q->target_count; t++) {
        const om_targetspan *span = &q->spans[t];
        const uint32_t field = om_textimage_field(image, q->targets[t].field);
        if (field != UINT32_MAX) {
            OM_TRY(add_field(run, image, field, run->limit, &s->stats[t]));
        }
        for (uint32_t i = span->word; i < span->word_end; i++) {
            const om_queryword *word = &q->words[i];
            OM_TRY(om_textrun_stop(run, 1));
            terms[i] = field == UINT32_MAX
                           ? UINT32_MAX
                           : om_textimage_find(image, field, q->bytes + word->at, word->length);
            if (terms[i] != UINT32_MAX) {
                OM_TRY(count_below(run, image, terms[i], run->limit, &s->df[i]));
            }
        }
    }
out:
    return status;
}

static double idf(const om_textrun *run, uint32_t word)
{
    const double n = (double)run->scratch->stats[run->query->words[word].target].rows;
    const double df = fmin((double)run->scratch->df[word], n);
    return log(1 + (n - df + 0.5) / (df + 0.5));
}

/* Weights of all clauses, scaled by one power of two so that their sum fills OM_SUM_BITS. */
void om_textrun_formulas(om_textrun *run)
{
    const om_textquery *q = run->query;
    om_textscratch *s = run->scratch;
    double total = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < q->clause_count; i++) {
            const om_clause *clause = &q->clauses[i];
            const om_targetstats *stats = &s->stats[clause->target];
            double weight = 0;
            for (uint32_t k = 0; k < clause->count; k++) {
                weight += idf(run, q->parts[clause->first + k].word);
            }
            weight *=
                (double)q->targets[clause->target].weight * clause->times * ((double)q->k1 + 1);
            total += pass == 0 ? weight : 0;
            /* A row that has the field has a word at least, unless an image is damaged. */
            const double average = stats->rows == 0 || stats->total < stats->rows
                                       ? 1
                                       : (double)stats->total / (double)stats->rows;
            s->formulas[i] = (om_formula){.weight = (float)ldexp(weight, run->exponent),
                                          .ka = q->k1 * (1 - q->b),
                                          .kb = (float)((double)q->k1 * (double)q->b / average)};
        }
        if (pass == 0) {
            int high;
            (void)frexp(total, &high);
            run->exponent = OM_SUM_BITS - high;
        }
    }
}
