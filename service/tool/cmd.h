/* cmd.h - what the commands share: shapes, matrices of vectors, truth, latencies.
 * Depends on: args.h, import.h, target.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CMD_H
#define OM_CMD_H
#include "args.h"
#include "import.h"
#include "out.h"
#include "target.h"

/* The options of a new collection. `dim` and `dtype` of a file are used where none is given (0:
 * none). */
bool om_shape_from_args(const om_args *args, uint32_t dim, uint32_t dtype, omen_options *out,
                        om_tool_error *err);
bool om_target_create(const om_args *args, const om_place *place, const omen_options *opt,
                      om_tool_error *err);
bool om_durability_from_args(const om_args *args, uint32_t *out, om_tool_error *err);
/* Figures of a whole database, at a server or in a folder. */
bool om_cmd_database(const om_args *args, om_tool_error *err);
/* A number of omen.h by its name in `words`, a list that ends with NULL. */
bool om_by_name(const char *option, const char *text, const char *const *words, uint32_t first,
                uint32_t *out, om_tool_error *err);
/* The fields of --field. */
bool om_fields_from_args(const om_args *args, om_field_list *out, om_tool_error *err);
/* A number of an option that must fit a range. */
bool om_check_range(const char *option, uint64_t value, uint64_t low, uint64_t high,
                    om_tool_error *err);

/* Rows in memory: queries, truth. */
typedef struct om_matrix {
    void *data;
    size_t rows;
    uint32_t dim, dtype; /* as om_import_info */
} om_matrix;
#define OM_MATRIX_BYTES_MAX (1u << 30)
bool om_matrix_load(const char *path, const om_import_options *opt, om_matrix *out,
                    om_tool_error *err);
/* Makes the values such as the collection takes in a query: of its own type, or f32. */
bool om_matrix_for_query(om_matrix *m, const om_target *t, om_tool_error *err);
/* A JSON array of numbers as one f32 row. */
bool om_matrix_parse(const char *json, om_matrix *out, om_tool_error *err);
void om_matrix_free(om_matrix *m);

/* The true neighbours: rows of ids and, perhaps, of distances. */
typedef struct om_truth {
    om_matrix ids;       /* i32 */
    om_matrix distances; /* i32 or f32; rows 0: none */
    bool cosine;         /* distances are similarities: 1 - value is the distance */
} om_truth;
bool om_truth_load(const om_args *args, om_truth *out, om_tool_error *err);
void om_truth_free(om_truth *t);
/* Mean share of the true k nearest that a result has. An item as near as the k-th true one
 * counts. */
bool om_truth_recall(const om_truth *truth, const om_search_result *found, size_t queries,
                     uint32_t k, double *recall, om_tool_error *err);
/* The same against an exact search of the same queries. */
double om_exact_recall(const om_search_result *exact, const om_search_result *found,
                       size_t queries);

/* A histogram of latencies: relative error below 1 %. */
#define OM_LATENCY_BUCKETS (58u * 128u)
typedef struct om_latency {
    uint64_t count;
    uint64_t buckets[OM_LATENCY_BUCKETS];
} om_latency;
void om_latency_add(om_latency *l, uint64_t ns);
void om_latency_merge(om_latency *to, const om_latency *from);
/* The latency that the share q (0 .. 1) of all is not above, in ns; 0 when there are none. */
uint64_t om_latency_quantile(const om_latency *l, double q);

/* Parameters of a search from the options. */
bool om_search_from_args(const om_args *args, const om_matrix *queries, om_search_params *out,
                         om_tool_error *err);
#endif
