/* golden.h - what the golden files hold. SPDX-License-Identifier: Apache-2.0 */
#ifndef GOLDEN_H
#define GOLDEN_H
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

enum { GOLDEN_ITEMS = 60, GOLDEN_DELETED = 7, GOLDEN_DIM = 10, GOLDEN_MAX_ID = 40 };

typedef struct golden_file {
    const char *name; /* in this folder */
    uint32_t id_type, metric, dtype, quantization;
} golden_file;
extern const golden_file golden_files[];
extern const size_t golden_count;
/* A backup, in the folder databases: a database whose collections "first" and "second" hold what these files hold, in
 * segments, deaths and the log. */
enum { GOLDEN_COLLECTIONS = 2, GOLDEN_EARLY = 10 };
extern const char golden_backup[];
extern const char *const golden_names[GOLDEN_COLLECTIONS];
extern const golden_file *const golden_kinds[GOLDEN_COLLECTIONS];

/* Item n: its id, its vector in the type of the file and as floats. Items below GOLDEN_DELETED were
 * added and then deleted; the others were written twice, the second time as here. */
size_t golden_id(const golden_file *file, uint32_t n, uint8_t *out);
uint64_t golden_key(uint32_t n); /* U64 files */
void golden_vector(const golden_file *file, uint32_t n, float *out);
void golden_bytes(const golden_file *file, uint32_t n, void *out);
size_t golden_row_bytes(const golden_file *file);
/* Removes a folder with everything in it. */
void golden_remove(const char *path);
/* A column with the ids of items [first, last); memory lives until the next call. */
omen_column golden_column(const golden_file *file, uint32_t first, uint32_t last);
#endif
