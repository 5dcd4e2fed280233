/* eval_filter.c - filtered searches at default settings against exact answers, a line for each kind of
 * filter.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Besides recall: no search may find fewer than min(k, matches) items, nor an item that does not pass, nor
 * count other matches than there are. Whether a row passes is decided here, from its JSON, apart from the
 * engine. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "eval_cases.h"

enum { MAX_KINDS = 64 };
static const double RECALL_LEAST = 0.95;

/* What happened to the filters of one kind. */
typedef struct kind {
    char *name;
    size_t count, few, strangers, miscounted;
    double recall;
} kind;

typedef struct kinds {
    kind kind[MAX_KINDS];
    size_t count;
} kinds;

static kind *kind_of(kinds *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->kind[i].name, name) == 0) {
            return &all->kind[i];
        }
    }
    if (all->count == MAX_KINDS) {
        eval_die(name, "there are too many kinds of filters");
    }
    kind *fresh = &all->kind[all->count++];
    fresh->name = strdup(name);
    if (fresh->name == NULL) {
        eval_die("memory", "there is none");
    }
    return fresh;
}

static omen_collection *create(omen_db *db, const eval_filter_set *set)
{
    omen_error err;
    omen_collection *c;
    omen_options options = {.struct_size = sizeof options,
                            .dim = set->base.dim,
                            .metric = set->metric,
                            .dtype = set->base.dtype};
    eval_must(omen_create(db, "eval", &options, &c, &err), &err);
    return c;
}

static bool is_true(const eval_case *one, uint64_t key)
{
    for (size_t i = 0; i < one->truths; i++) {
        if (one->truth[i] == key) {
            return true;
        }
    }
    return false;
}

static void judge(const eval_filter_set *set, const eval_case *one, const omen_hits *hits,
                  kind *out)
{
    uint32_t count = hits->counts[0], found = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool passes =
            hits->keys[i] < set->rows && eval_passes(set->row[hits->keys[i]], one->filter);
        bool again = i > 0 && hits->keys[i] == hits->keys[i - 1];
        out->strangers += !passes || again;
        /* As near as the last of the true ones is as good as it. */
        found += passes && !again &&
                 (is_true(one, hits->keys[i]) || (double)hits->distances[i] <= one->limit);
    }
    out->count++;
    out->few += count < one->truths;
    out->miscounted += hits->filters[0].matches != one->matches;
    out->recall += one->truths == 0 ? 1 : (double)found / (double)one->truths;
}

static void search(const eval_filter_set *set, omen_collection *c, const eval_case *one, kind *out)
{
    omen_error err;
    omen_filter *filter;
    char *text = eval_filter_text(one->filter);
    eval_must(omen_filter_compile(c, text, strlen(text), NULL, 0, &filter, &err), &err);
    uint64_t keys[EVAL_K];
    float distances[EVAL_K];
    uint32_t count = 0;
    omen_filter_explain explain;
    omen_query query = {.struct_size = sizeof query,
                        .vectors = eval_row(&set->queries, one->query),
                        .dim = set->queries.dim,
                        .count = 1,
                        .k = EVAL_K,
                        .filter = filter};
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .distances = distances,
                      .counts = &count,
                      .filters = &explain};
    eval_must(omen_search(c, &query, &hits, &err), &err);
    judge(set, one, &hits, out);
    omen_filter_free(filter);
    free(text);
}

bool eval_filtered(const char *name, const char *folder)
{
    eval_filter_set set;
    if (!eval_load_filters(&set, folder)) {
        return false;
    }
    omen_db *db = eval_open_db(name);
    omen_collection *c = create(db, &set);
    eval_add(c, &set.base, set.json);
    eval_settle(&db, &c);
    kinds *all = eval_alloc(1, sizeof *all);
    for (size_t i = 0; i < set.count; i++) {
        search(&set, c, &set.cases[i], kind_of(all, set.cases[i].kind));
    }
    for (size_t i = 0; i < all->count; i++) {
        const kind *k = &all->kind[i];
        char task[128];
        (void)snprintf(task, sizeof task, "filter_%s", k->name);
        eval_report(name, task, "recall@10", k->recall / (double)k->count, EVAL_LEAST,
                    RECALL_LEAST);
        eval_report(name, task, "short", (double)k->few, EVAL_EQUAL, 0);
        eval_report(name, task, "not_passing", (double)k->strangers, EVAL_EQUAL, 0);
        eval_report(name, task, "miscounted", (double)k->miscounted, EVAL_EQUAL, 0);
        free(k->name);
    }
    free(all);
    omen_collection_free(c);
    omen_db_free(db);
    eval_free_filters(&set);
    return true;
}
