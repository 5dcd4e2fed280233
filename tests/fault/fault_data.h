/* fault_data.h - ids and vectors of the program of fault_model.h. SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULT_DATA_H
#define FAULT_DATA_H
#include "fault_model.h"
#include "rng.h"

typedef struct fault_ids {
    uint64_t keys[FAULT_IDS];
    int32_t offsets[FAULT_IDS + 1];
    char text[FAULT_IDS * 16];
} fault_ids;
uint64_t fault_key(uint32_t id);
/* Component 0 is the value itself. */
void fault_vector(uint32_t c, uint32_t id, uint32_t value, float *out);
/* Lives as long as `memory`. */
omen_column fault_column(uint32_t c, const uint32_t *ids, uint32_t count, fault_ids *memory);
/* Metadata of an item that this step writes; changes: only what a PATCH of it sends. */
enum { FAULT_JSON = 128 };
size_t fault_json(uint32_t id, uint32_t value, bool changes, char *out);
typedef struct fault_objects {
    char text[FAULT_IDS * FAULT_JSON];
    int32_t offsets[FAULT_IDS + 1];
} fault_objects;
omen_column fault_metadata(const uint32_t *ids, uint32_t count, uint32_t value, bool changes,
                           fault_objects *memory);
#endif
