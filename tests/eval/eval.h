/* eval.h - what the parts of the evaluation share: data, the database, one line a measurement.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_EVAL_H
#define OM_EVAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

enum { EVAL_K = 10, EVAL_PATH = 4096, EVAL_BATCH = 1024 };

/* ---- Measurements (eval_main.c) ---------------------------------------------------------------- */
typedef enum {
    EVAL_NEAR,  /* within 0.01 of the reference */
    EVAL_LEAST, /* at least the reference */
    EVAL_EQUAL,
    EVAL_SHOWN /* there is no reference */
} eval_bound;
/* Prints a line; a value that is out of bounds makes the program fail at its end. */
void eval_report(const char *set, const char *task, const char *metric, double value,
                 eval_bound bound, double reference);
/* Ends the program: the evaluation itself cannot go on. */
_Noreturn void eval_die(const char *what, const char *why);
void eval_must(omen_status_t status, const omen_error *err);
/* A database of its own: in memory, or a new folder of the one that --disk names. */
omen_db *eval_open_db(const char *set);
/* All rows indexed; on disk also sealed, closed and opened again. */
void eval_settle(omen_db **db, omen_collection **c);

/* ---- Data (eval_data.c) -------------------------------------------------------------------------- */
typedef struct eval_matrix {
    void *data;
    size_t rows, row_bytes;
    uint32_t dim, dtype;
} eval_matrix;
bool eval_has(const char *folder, const char *file);
eval_matrix eval_load(const char *folder, const char *file);
void eval_matrix_free(eval_matrix *m);
static inline const void *eval_row(const eval_matrix *m, size_t row)
{
    return (const char *)m->data + row * m->row_bytes;
}
/* The lines of a gzip file, each ended by a zero byte. */
typedef struct eval_lines {
    char *bytes;
    char **line;
    size_t count;
} eval_lines;
eval_lines eval_read_lines(const char *folder, const char *file);
void eval_lines_free(eval_lines *lines);
/* The bytes behind the header of a gzip file of labels (MNIST idx1). */
uint8_t *eval_read_labels(const char *folder, const char *file, size_t rows);
void *eval_alloc(size_t count, size_t size);
/* Adds rows [0, vectors->rows) with keys 0, 1, ... and these JSON objects. */
void eval_add(omen_collection *c, const eval_matrix *vectors, char *const *metadata);

/* A collection "eval" for such vectors, compared by cosine, with the TEXT field "text": "porter", stop
 * words. */
omen_collection *eval_create_text(omen_db *db, const eval_matrix *vectors);

/* ---- Tasks ---------------------------------------------------------------------------------------- */
/* Filtered searches (eval_filter.c): a set with filters.jsonl.gz, labels or films. False: it has none. */
bool eval_filtered(const char *set, const char *folder);
/* BM25, vectors and both (eval_text.c): a set with corpus.jsonl.gz. False: it has none. */
bool eval_text(const char *set, const char *folder);
/* Films by their titles (eval_films.c): a set with films.jsonl.gz. False: it has none. */
bool eval_films(const char *set, const char *folder);
#endif
