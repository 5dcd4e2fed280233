/* fuzz_wire_search.c - the reader of SearchRequest on any bytes, split anywhere. What it takes,
 * protobuf-c must take too. The first byte seeds the split. SPDX-License-Identifier: Apache-2.0 */
#include "omen/v1/items.pb-c.h"
#include "search_reader.h"
#include "service_random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_wread r;
    om_failure f = {0};
    om_arena arena;
    om_wire_search search;
    if (size == 0) {
        return 0;
    }
    uint64_t seed = data[0];
    split parts = split_bytes(data + 1, size - 1, &seed);
    om_arena_init(&arena, NULL, 0, size);
    om_wread_init(&r, parts.span, parts.count);
    if (om_read_search(&r, &arena, &search, &f)) {
        om_arena other;
        om_arena_init(&other, NULL, 0, 0);
        uint64_t sum = 0;
        for (size_t i = 0; i < search.vector_size; i++) {
            sum += search.vector[i];
        }
        const Omen__V1__SearchRequest *q =
            om_guard_unpack(&omen__v1__search_request__descriptor, &other, data + 1, size - 1, &f);
        if (q != NULL && (q->min_version != search.min_version || sum > 255 * search.vector_size)) {
            abort();
        }
        om_arena_reset(&other);
    } else if (f.code == 0) {
        abort();
    }
    om_arena_reset(&arena);
    split_free(&parts);
    return 0;
}
