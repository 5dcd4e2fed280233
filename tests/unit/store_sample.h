/* store_sample.h - sample segment files for tests, and changes to them that keep the checksums
 * right. SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SAMPLE_H
#define STORE_SAMPLE_H
#include <stdint.h>

#include "segfile.h"

/* A section of a sample: its bytes are a function of the kind and the position. */
typedef struct sample_section {
    uint32_t kind;
    uint64_t stride, rows, bytes;
} sample_section;
uint8_t sample_byte(uint32_t kind, uint64_t at);

/* Every kind, none longer than 4,100 bytes: a file of about 60 KiB. */
extern const sample_section sample_small[];
extern const uint32_t sample_small_count;
/* Sizes around the borders of blocks and alignments; about 12 MiB. */
extern const sample_section sample_large[];
extern const uint32_t sample_large_count;

/* Writes a sample, appended in pieces of about `piece` bytes. */
omen_status_t sample_write(const om_alloc *alloc, const char *path, const sample_section *sections,
                           uint32_t count, size_t piece, omen_error *err);

/* Makes the checksums of section table, header and tail right again for changed bytes. Files that
 * are too short stay as they are. */
void sample_reseal(uint8_t *bytes, size_t size);
/* The same, and the checksums of all blocks of sections that lie inside the file. */
void sample_reseal_blocks(uint8_t *bytes, size_t size);

/* An allocator whose calls after the first `left` fail; `blocks` are in use. */
typedef struct sample_scarce {
    uint64_t left;
    uint64_t blocks;
} sample_scarce;
om_alloc sample_scarce_alloc(sample_scarce *scarce);
#endif
