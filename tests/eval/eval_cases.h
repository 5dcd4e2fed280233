/* eval_cases.h - filtered queries with their exact answers. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_EVAL_CASES_H
#define OM_EVAL_CASES_H
#include <jansson.h>

#include "eval.h"

typedef struct eval_case {
    size_t query;
    json_t *filter; /* {"field", "op", "value"} or {"and": [...]} */
    char kind[80];  /* filters alike are measured together */
    uint64_t matches;
    uint64_t truth[EVAL_K]; /* [truths] the nearest that pass */
    size_t truths;          /* min(k, matches) */
    double limit;           /* a distance up to it is as good as the last of the truth */
} eval_case;

typedef struct eval_filter_set {
    eval_matrix base, queries;
    uint32_t metric;
    size_t rows;
    json_t **row; /* [rows] metadata */
    char **json;  /* [rows] the same as text */
    eval_case *cases;
    size_t count;
} eval_filter_set;

/* False: the folder has neither filters nor labels nor films. Of labels or films without filters the cases
 * are made here, as those of the whole sets were, with exact answers. */
bool eval_load_filters(eval_filter_set *set, const char *folder);
void eval_free_filters(eval_filter_set *set);
bool eval_passes(const json_t *row, const json_t *filter);
/* The filter in the engine's grammar; free() it. */
char *eval_filter_text(const json_t *filter);
#endif
