/* textscan.c - text rows that are in no image yet: looked at one by one, twice: for the statistics,
 * then for their scores.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_search.h"

static omen_status_t keep_match(om_textrun *run, const om_textmatch *match, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    OM_TRY(om_text_room(s->alloc, (void **)&s->matches, &s->matches_room,
                        (size_t)s->match_count + 1, sizeof *s->matches, err));
    s->matches[s->match_count++] = *match;
out:
    return status;
}

static uint32_t times_of(const om_rowfield *field, uint32_t place)
{
    return om_rowfield_number(field, field->first, place + 1) -
           om_rowfield_number(field, field->first, place);
}

/* Positions of wide rows are u32 where they lie; others are widened into room. */
static omen_status_t phrase_parts(om_textrun *run, const om_clause *clause,
                                  const om_rowfield *field, om_phrasepart *parts, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    const om_part *part = run->query->parts + clause->first;
    size_t total = 0;
    for (uint32_t k = 0; k < clause->count; k++) {
        total += times_of(field, s->places[part[k].word]);
    }
    OM_TRY(om_text_room(s->alloc, (void **)&s->positions, &s->positions_room, total, 4, err));
    total = 0;
    for (uint32_t k = 0; k < clause->count; k++) {
        const uint32_t place = s->places[part[k].word];
        const uint32_t first = om_rowfield_number(field, field->first, place);
        const uint32_t times = times_of(field, place);
        for (uint32_t i = 0; i < times; i++) {
            s->positions[total + i] = om_rowfield_number(field, field->positions, first + i);
        }
        parts[k] = (om_phrasepart){
            .positions = s->positions + total, .count = times, .offset = part[k].offset};
        total += times;
    }
out:
    return status;
}

static omen_status_t count_phrase(om_textrun *run, const om_clause *clause,
                                  const om_rowfield *field, uint32_t *count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = run->scratch->alloc;
    const size_t size = clause->count * sizeof(om_phrasepart);
    om_phrasepart *parts = om_alloc_get(alloc, size, 64);
    if (parts == NULL) {
        return om_fail_memory(err, "a phrase", size);
    }
    OM_TRY(phrase_parts(run, clause, field, parts, err));
    if (!om_phrase_match(alloc, parts, clause->count, count)) {
        status = om_fail_memory(err, "a phrase", size);
    }
out:
    om_alloc_put(alloc, parts, size, 64);
    return status;
}

/* How often the clause is there: 0 when a word of it is missing. */
static omen_status_t count_clause(om_textrun *run, const om_clause *clause,
                                  const om_rowfield *field, uint32_t *count, omen_error *err)
{
    const om_part *part = run->query->parts + clause->first;
    *count = 0;
    for (uint32_t k = 0; k < clause->count; k++) {
        if (run->scratch->places[part[k].word] == UINT32_MAX) {
            return OMEN_OK;
        }
    }
    if (clause->count > 1) {
        return count_phrase(run, clause, field, count, err);
    }
    *count = times_of(field, run->scratch->places[part->word]);
    return OMEN_OK;
}

/* The words of a target in a row that has its field. True: one is there at least. */
static bool find_words(om_textrun *run, uint32_t target, const om_rowfield *field)
{
    const om_textquery *q = run->query;
    const om_targetspan *span = &q->spans[target];
    om_textscratch *s = run->scratch;
    bool any = false;
    for (uint32_t i = span->word; i < span->word_end; i++) {
        const om_queryword *word = &q->words[i];
        s->places[i] = om_rowfield_word(field, word->hash, q->bytes + word->at, word->length);
        s->df[i] += s->places[i] != UINT32_MAX;
        any = any || s->places[i] != UINT32_MAX;
    }
    return any;
}

static omen_status_t scan_field(om_textrun *run, uint32_t row, uint32_t target,
                                const om_rowfield *field, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_textquery *q = run->query;
    const om_targetspan *span = &q->spans[target];
    for (uint32_t i = span->clause; i < span->clause_end; i++) {
        om_textmatch match = {
            .source = run->source, .row = row, .clause = i, .length = field->head->length};
        OM_TRY(count_clause(run, &q->clauses[i], field, &match.count, err));
        if (match.count != 0) {
            OM_TRY(keep_match(run, &match, err));
        }
    }
out:
    return status;
}

omen_status_t om_textscan_rows(om_textrun *run, uint32_t source, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_textquery *q = run->query;
    const om_text_source *from = &run->search->sources[source];
    const uint32_t work = 1 + (q->word_count + q->target_count) / 32;
    om_textrun_source(run, source);
    for (uint32_t row = 0; row < from->count; row++) {
        const uint8_t *bytes = from->rows[row];
        const bool none = bytes == NULL || om_textrow_empty(bytes);
        OM_TRY(om_textrun_stop(run, none ? 1 : work));
        if (none) {
            continue;
        }
        for (uint32_t target = 0; target < q->target_count; target++) {
            om_rowfield field;
            if (!om_rowfield_find(bytes, q->targets[target].field, &field)) {
                continue;
            }
            run->scratch->stats[target].rows++;
            run->scratch->stats[target].total += field.head->length;
            /* Every row counts for the statistics, only those that pass are kept. */
            if (find_words(run, target, &field) && om_textrun_passes(run, row)) {
                OM_TRY(scan_field(run, row, target, &field, err));
            }
        }
    }
out:
    return status;
}

void om_textscan_score(om_textrun *run)
{
    const om_textscratch *s = run->scratch;
    for (uint32_t i = 0; i < s->match_count;) {
        const uint32_t source = s->matches[i].source, row = s->matches[i].row;
        uint32_t sum = 0;
        for (; i < s->match_count && s->matches[i].source == source && s->matches[i].row == row;
             i++) {
            const om_textmatch *match = &s->matches[i];
            sum += om_formula_score(&s->formulas[match->clause], match->count, match->length);
        }
        if (run->source != source) {
            om_textrun_source(run, source);
        }
        run->search->counters.candidates++;
        if (sum >= run->need) {
            om_textrun_offer(run, row, sum);
        }
    }
}
