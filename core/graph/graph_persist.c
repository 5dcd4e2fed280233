/* graph_persist.c - the entry structure as portable bytes, and a read-only graph over such bytes. The arrays
 * are used where they lie (a mapped file): opening costs the same whatever the size.
 * Layout, little-endian; every array begins at a multiple of 64 bytes from the start:
 *   0   u32 version (1)   4  u32 entry (OMEN_ENTRY_SEEDS | OMEN_ENTRY_HIERARCHY)
 *   8   u32 seeds         12 u32 upper nodes
 *   16  u64 code stride   24 u64 link stride of the hierarchy
 *   64  seeds: u32 slot[seeds], then code[seeds][stride]
 *       hierarchy: u32 slot[upper], code[upper][stride], links[upper][link stride]
 * With a hierarchy the seeds are those of the hierarchy's own graph.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph_int.h"

#define ENTRY_VERSION 1u
#define ENTRY_HEADER 64u

typedef struct entry_header {
    uint32_t version, entry, seeds, upper;
    uint64_t stride, link_stride;
} entry_header;

/* Where the arrays lie; end is the size of the whole. */
typedef struct entry_layout {
    size_t seed_slots, seed_codes, upper_slots, upper_codes, upper_links, end;
} entry_layout;

/* Counts are below 2^31 and strides below 2^20: no overflow in 64 bits. */
static entry_layout lay_out(const entry_header *header)
{
    entry_layout at;
    at.seed_slots = ENTRY_HEADER;
    at.seed_codes = at.seed_slots + om_round_up((size_t)header->seeds * 4, OM_CACHE_LINE);
    at.upper_slots = at.seed_codes + (size_t)header->seeds * header->stride;
    at.upper_codes = at.upper_slots + om_round_up((size_t)header->upper * 4, OM_CACHE_LINE);
    at.upper_links = at.upper_codes + (size_t)header->upper * header->stride;
    at.end = at.upper_links + (size_t)header->upper * header->link_stride;
    return at;
}

static const om_seeds *seeds_of(const om_graph *graph)
{
    return graph->hierarchy && graph->upper_graph != NULL ? graph->upper_graph->seeds
                                                          : graph->seeds;
}

static entry_header header_of(const om_graph *graph)
{
    const om_seeds *seeds = seeds_of(graph);
    entry_header header = {.version = ENTRY_VERSION,
                           .entry = graph->hierarchy ? OMEN_ENTRY_HIERARCHY : OMEN_ENTRY_SEEDS,
                           .seeds = seeds != NULL ? seeds->count : 0,
                           .upper = graph->upper != NULL ? graph->upper->count : 0,
                           .stride = seeds != NULL ? seeds->stride : OM_CACHE_LINE,
                           .link_stride = om_graph_link_stride(graph->m)};
    return header;
}

size_t om_graph_export_size(const om_graph *graph)
{
    entry_header header = header_of(graph);
    return lay_out(&header).end;
}

void om_graph_export(const om_graph *graph, uint8_t *out)
{
    entry_header header = header_of(graph);
    entry_layout at = lay_out(&header);
    const om_seeds *seeds = seeds_of(graph);
    const om_upper *upper = graph->upper;
    memset(out, 0, at.end);
    memcpy(out, &header, sizeof header);
    if (header.seeds > 0) {
        memcpy(out + at.seed_slots, seeds->slots, header.seeds * sizeof(uint32_t));
        memcpy(out + at.seed_codes, seeds->codes, header.seeds * seeds->stride);
    }
    if (header.upper > 0) {
        memcpy(out + at.upper_slots, upper->slots, header.upper * sizeof(uint32_t));
        memcpy(out + at.upper_codes, upper->codes, header.upper * upper->stride);
        memcpy(out + at.upper_links, upper->links, header.upper * upper->link_stride);
    }
}

static omen_status_t check_slots(const uint8_t *bytes, uint32_t n, uint32_t limit, const char *what,
                                 omen_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot;
        memcpy(&slot, bytes + (size_t)i * sizeof slot, sizeof slot);
        if (slot >= limit) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                           "entry points: %s %u names slot %u of %u", what, i, slot, limit);
        }
    }
    return OMEN_OK;
}

static omen_status_t check_header(const entry_header *header, const om_graph_params *params,
                                  uint32_t count, size_t size, omen_error *err)
{
    if (header->version != ENTRY_VERSION || header->entry != params->entry) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_FORMAT_VERSION,
                       "entry points: version %u, kind %u", header->version, header->entry);
    }
    if (header->seeds > count || header->upper > count || (count > 0 && header->seeds == 0) ||
        header->stride == 0 || header->stride % OM_CACHE_LINE != 0 ||
        header->stride > (OMEN_MAX_DIM + 2 * OM_IP_PAD + 64u) * sizeof(float) ||
        header->link_stride != om_graph_link_stride(params->m) || lay_out(header).end != size ||
        (header->entry == OMEN_ENTRY_HIERARCHY) != (header->upper > 0 && count > 0)) {
        return om_fail(
            err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
            "entry points: %u seeds, %u upper nodes, stride %llu do not fit %zu bytes and %u rows",
            header->seeds, header->upper, (unsigned long long)header->stride, size, count);
    }
    return OMEN_OK;
}

static omen_status_t import_seeds(om_graph *graph, const entry_header *header, const uint8_t *slots,
                                  const uint8_t *codes, omen_error *err)
{
    om_seeds *seeds = om_alloc_zero(graph->alloc, 1, sizeof *seeds, OM_CACHE_LINE);
    if (seeds == NULL) {
        return om_fail_memory(err, "seeds", sizeof *seeds);
    }
    *seeds = (om_seeds){.alloc = graph->alloc,
                        .capacity = header->seeds,
                        .count = header->seeds,
                        .stride = header->stride,
                        .borrowed = true,
                        .slots = (uint32_t *)(uintptr_t)slots,
                        .codes = (uint8_t *)(uintptr_t)codes};
    atomic_init(&seeds->refs, 1);
    graph->seeds = seeds;
    return OMEN_OK;
}

static omen_status_t import_upper(om_graph *graph, const entry_header *header, const uint8_t *bytes,
                                  omen_error *err)
{
    entry_layout at = lay_out(header);
    om_graph_params params = graph->params;
    params.entry = OMEN_ENTRY_SEEDS;
    om_upper *upper = om_alloc_zero(graph->alloc, 1, sizeof *upper, OM_CACHE_LINE);
    if (upper == NULL) {
        return om_fail_memory(err, "hierarchy", sizeof *upper);
    }
    *upper = (om_upper){.alloc = graph->alloc,
                        .capacity = header->upper,
                        .count = header->upper,
                        .stride = header->stride,
                        .link_stride = header->link_stride,
                        .borrowed = true,
                        .slots = (uint32_t *)(uintptr_t)(bytes + at.upper_slots),
                        .codes = (uint8_t *)(uintptr_t)(bytes + at.upper_codes),
                        .links = (uint32_t *)(uintptr_t)(bytes + at.upper_links)};
    atomic_init(&upper->refs, 1);
    graph->upper = upper;
    omen_status_t status = om_graph_create(graph->alloc, &params, &graph->upper_graph, err);
    if (status == OMEN_OK) {
        atomic_store_explicit(&graph->upper_graph->count, header->upper, memory_order_release);
        status = import_seeds(graph->upper_graph, header, bytes + at.seed_slots,
                              bytes + at.seed_codes, err);
    }
    return status;
}

omen_status_t om_graph_import(const om_alloc *alloc, const om_graph_params *params, uint32_t count,
                              const uint8_t *bytes, size_t size, om_graph **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_graph *graph = NULL;
    entry_header header;
    if (size < ENTRY_HEADER || (uintptr_t)bytes % OM_CACHE_LINE != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "entry points: %zu bytes, at least %u needed", size, ENTRY_HEADER);
    }
    memcpy(&header, bytes, sizeof header);
    OM_TRY(check_header(&header, params, count, size, err));
    entry_layout at = lay_out(&header);
    bool hierarchy = header.upper > 0;
    OM_TRY(check_slots(bytes + at.seed_slots, header.seeds, hierarchy ? header.upper : count,
                       "seed", err));
    OM_TRY(check_slots(bytes + at.upper_slots, header.upper, count, "upper node", err));
    OM_TRY(om_graph_create(alloc, params, &graph, err));
    atomic_store_explicit(&graph->count, count, memory_order_release);
    OM_TRY(hierarchy
               ? import_upper(graph, &header, bytes, err)
               : import_seeds(graph, &header, bytes + at.seed_slots, bytes + at.seed_codes, err));
    *out = graph;
    graph = NULL;
out:
    om_graph_free(graph);
    return status;
}

size_t om_graph_entry_bytes(const om_graph *graph)
{
    size_t bytes = 0;
    if (graph->seeds != NULL) {
        bytes += graph->seeds->capacity * (graph->seeds->stride + sizeof(uint32_t));
    }
    if (graph->upper != NULL) {
        bytes += graph->upper->capacity *
                 (graph->upper->stride + graph->upper->link_stride + 2 * sizeof(uint32_t));
        bytes += om_graph_entry_bytes(graph->upper_graph);
    }
    return bytes;
}
