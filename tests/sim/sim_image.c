/* sim_image.c - what a simulated disk holds: nodes of shared blocks, copied when they change.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "sim_int.h"

/* Takes the place of blocks that are allocated and were never written. Never freed. */
static sim_block zero_block = {.refs = 1};

void *sim_memory(void *block, size_t bytes)
{
    void *grown = realloc(block, bytes);
    if (grown == NULL) {
        (void)fprintf(stderr, "simulated disk: no memory for %zu bytes\n", bytes);
        abort();
    }
    return grown;
}

static void release_block(sim_block *block)
{
    if (block != NULL && atomic_fetch_sub(&block->refs, 1) == 1) {
        free(block);
    }
}

static sim_block *share_block(sim_block *block)
{
    if (block != NULL) {
        (void)atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    }
    return block;
}

static void release_node(sim_node *node)
{
    if (node == NULL || atomic_fetch_sub(&node->refs, 1) != 1) {
        return;
    }
    for (uint32_t i = 0; i < node->block_count; i++) {
        release_block(node->blocks[i]);
    }
    free(node->blocks);
    free(node->entries);
    free(node);
}

static sim_node *new_node(bool folder)
{
    sim_node *node = sim_memory(NULL, sizeof *node);
    memset(node, 0, sizeof *node);
    atomic_init(&node->refs, 1);
    node->folder = folder;
    return node;
}

static sim_node *clone_node(const sim_node *from)
{
    sim_node *node = new_node(from->folder);
    node->size = from->size;
    node->held = from->held;
    node->block_count = from->block_count;
    if (from->block_count != 0) {
        node->blocks = sim_memory(NULL, from->block_count * sizeof node->blocks[0]);
        for (uint32_t i = 0; i < from->block_count; i++) {
            node->blocks[i] = share_block(from->blocks[i]);
        }
    }
    node->entry_count = node->entry_capacity = from->entry_count;
    if (from->entry_count != 0) {
        size_t bytes = from->entry_count * sizeof node->entries[0];
        node->entries = sim_memory(NULL, bytes);
        memcpy(node->entries, from->entries, bytes);
    }
    return node;
}

/* The node as this image's own, to be changed. */
static sim_node *own_node(sim_image *image, uint32_t number)
{
    sim_node *node = image->nodes[number];
    if (atomic_load(&node->refs) != 1) {
        sim_node *clone = clone_node(node);
        release_node(node);
        image->nodes[number] = node = clone;
    }
    atomic_store_explicit(&node->hash, 0, memory_order_relaxed);
    return node;
}

/* The same for a block; the caller overwrites it when `whole`. */
static sim_block *own_block(sim_node *node, uint32_t index, bool whole)
{
    sim_block *block = node->blocks[index];
    if (block != NULL && block != &zero_block && atomic_load(&block->refs) == 1) {
        atomic_store_explicit(&block->hash, 0, memory_order_relaxed);
        return block;
    }
    sim_block *own = sim_memory(NULL, sizeof *own);
    atomic_init(&own->refs, 1);
    atomic_init(&own->hash, 0);
    if (block == NULL) {
        node->held++;
        memset(own->data, 0, sizeof own->data);
    } else {
        if (!whole) {
            memcpy(own->data, block->data, sizeof own->data);
        }
        release_block(block);
    }
    node->blocks[index] = own;
    return own;
}

static void reserve_blocks(sim_node *node, uint64_t bytes)
{
    uint32_t count = (uint32_t)((bytes + SIM_BLOCK - 1) / SIM_BLOCK);
    if (count > node->block_count) {
        node->blocks = sim_memory(node->blocks, count * sizeof node->blocks[0]);
        memset(node->blocks + node->block_count, 0,
               (count - node->block_count) * sizeof node->blocks[0]);
        node->block_count = count;
    }
}

sim_image *sim_image_create(void)
{
    sim_image *image = sim_memory(NULL, sizeof *image);
    memset(image, 0, sizeof *image);
    (void)sim_image_add(image, true);
    return image;
}

sim_image *sim_image_copy(const sim_image *from)
{
    sim_image *image = sim_memory(NULL, sizeof *image);
    image->count = from->count;
    image->capacity = from->count + 8;
    image->nodes = sim_memory(NULL, image->capacity * sizeof image->nodes[0]);
    for (uint32_t i = 0; i < from->count; i++) {
        image->nodes[i] = from->nodes[i];
        if (from->nodes[i] != NULL) {
            (void)atomic_fetch_add_explicit(&from->nodes[i]->refs, 1, memory_order_relaxed);
        }
    }
    return image;
}

void sim_image_free(sim_image *image)
{
    if (image == NULL) {
        return;
    }
    for (uint32_t i = 0; i < image->count; i++) {
        release_node(image->nodes[i]);
    }
    free(image->nodes);
    free(image);
}

uint32_t sim_image_add(sim_image *image, bool folder)
{
    if (image->count == image->capacity) {
        image->capacity = image->capacity * 2 + 16;
        image->nodes = sim_memory(image->nodes, image->capacity * sizeof image->nodes[0]);
    }
    image->nodes[image->count] = new_node(folder);
    return image->count++;
}

void sim_image_drop(sim_image *image, uint32_t node)
{
    release_node(image->nodes[node]);
    image->nodes[node] = NULL;
}

static void mark_reachable(const sim_image *image, uint32_t number, uint8_t *seen)
{
    seen[number] = 1;
    const sim_node *node = image->nodes[number];
    for (uint32_t i = 0; i < node->entry_count; i++) {
        mark_reachable(image, node->entries[i].node, seen);
    }
}

void sim_image_sweep(sim_image *image)
{
    uint8_t *seen = sim_memory(NULL, image->count);
    memset(seen, 0, image->count);
    mark_reachable(image, SIM_ROOT, seen);
    for (uint32_t i = 0; i < image->count; i++) {
        if (!seen[i]) {
            sim_image_drop(image, i);
        }
    }
    free(seen);
}

size_t sim_image_read(const sim_image *image, uint32_t number, uint64_t offset, void *data,
                      size_t bytes)
{
    const sim_node *node = image->nodes[number];
    if (offset >= node->size) {
        return 0;
    }
    bytes = (size_t)om_min_u64(bytes, node->size - offset);
    uint8_t *to = data;
    for (size_t done = 0; done < bytes;) {
        uint64_t at = offset + done;
        size_t within = (size_t)(at % SIM_BLOCK);
        size_t part = (size_t)om_min_u64(bytes - done, SIM_BLOCK - within);
        uint64_t index = at / SIM_BLOCK;
        if (index < node->block_count && node->blocks[index] != NULL) {
            memcpy(to + done, node->blocks[index]->data + within, part);
        } else {
            memset(to + done, 0, part);
        }
        done += part;
    }
    return bytes;
}

void sim_image_write(sim_image *image, uint32_t number, uint64_t offset, const void *data,
                     size_t bytes)
{
    sim_node *node = own_node(image, number);
    const uint8_t *from = data;
    reserve_blocks(node, offset + bytes);
    for (size_t done = 0; done < bytes;) {
        uint64_t at = offset + done;
        size_t within = (size_t)(at % SIM_BLOCK);
        size_t part = (size_t)om_min_u64(bytes - done, SIM_BLOCK - within);
        sim_block *block = own_block(node, (uint32_t)(at / SIM_BLOCK), part == SIM_BLOCK);
        memcpy(block->data + within, from + done, part);
        done += part;
    }
    node->size = node->size > offset + bytes ? node->size : offset + bytes;
}

void sim_image_resize(sim_image *image, uint32_t number, uint64_t size)
{
    sim_node *node = own_node(image, number);
    if (size < node->size) {
        uint32_t keep = (uint32_t)((size + SIM_BLOCK - 1) / SIM_BLOCK);
        for (uint32_t i = keep; i < node->block_count; i++) {
            node->held -= node->blocks[i] != NULL ? 1 : 0;
            release_block(node->blocks[i]);
        }
        node->block_count = keep < node->block_count ? keep : node->block_count;
        size_t within = (size_t)(size % SIM_BLOCK);
        uint64_t last = size / SIM_BLOCK;
        if (within != 0 && last < node->block_count && node->blocks[last] != NULL) {
            sim_block *block = own_block(node, (uint32_t)last, false);
            memset(block->data + within, 0, SIM_BLOCK - within);
        }
    }
    node->size = size;
}

void sim_image_allocate(sim_image *image, uint32_t number, uint64_t bytes)
{
    sim_node *node = own_node(image, number);
    reserve_blocks(node, bytes);
    for (uint64_t i = 0; i * SIM_BLOCK < bytes; i++) {
        if (node->blocks[i] == NULL) {
            node->blocks[i] = share_block(&zero_block);
            node->held++;
        }
    }
    node->size = node->size > bytes ? node->size : bytes;
}

uint64_t sim_image_wants(const sim_image *image, uint32_t number, uint64_t offset, uint64_t bytes)
{
    const sim_node *node = image->nodes[number];
    uint64_t wants = 0;
    for (uint64_t i = offset / SIM_BLOCK; bytes != 0 && i * SIM_BLOCK < offset + bytes; i++) {
        wants += i >= node->block_count || node->blocks[i] == NULL ? 1 : 0;
    }
    return wants;
}

uint32_t sim_image_find(const sim_image *image, uint32_t folder, const char *name)
{
    const sim_node *node = image->nodes[folder];
    for (uint32_t i = 0; i < node->entry_count; i++) {
        if (strcmp(node->entries[i].name, name) == 0) {
            return node->entries[i].node;
        }
    }
    return SIM_NOTHING;
}

void sim_image_name(sim_image *image, uint32_t folder, const char *name, uint32_t number)
{
    sim_node *node = own_node(image, folder);
    uint32_t at = 0;
    while (at < node->entry_count && strcmp(node->entries[at].name, name) != 0) {
        at++;
    }
    if (number == SIM_NOTHING) {
        if (at < node->entry_count) {
            node->entries[at] = node->entries[--node->entry_count];
        }
        return;
    }
    if (at == node->entry_count) {
        if (node->entry_count == node->entry_capacity) {
            node->entry_capacity = node->entry_capacity * 2 + 8;
            node->entries =
                sim_memory(node->entries, node->entry_capacity * sizeof node->entries[0]);
        }
        node->entry_count++;
        (void)snprintf(node->entries[at].name, SIM_NAME, "%s", name);
    }
    node->entries[at].node = number;
}

static uint64_t hash_bytes(const void *data, size_t bytes, uint64_t seed)
{
    const uint8_t *from = data;
    uint64_t hash = seed ^ bytes;
    for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t), from += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, from, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    uint64_t rest = 0;
    memcpy(&rest, from, bytes);
    return om_mix64(hash ^ rest);
}

static uint64_t hash_block(sim_block *block)
{
    block = block != NULL ? block : &zero_block; /* A hole reads as zeros do. */
    uint64_t hash = atomic_load_explicit(&block->hash, memory_order_relaxed);
    if (hash == 0) {
        hash = hash_bytes(block->data, SIM_BLOCK, 1) | 1;
        atomic_store_explicit(&block->hash, hash, memory_order_relaxed);
    }
    return hash;
}

static uint64_t hash_node(const sim_image *image, uint32_t number)
{
    sim_node *node = image->nodes[number];
    uint64_t hash = atomic_load_explicit(&node->hash, memory_order_relaxed);
    if (node->folder) {
        hash = om_mix64(node->entry_count); /* Entries have no order: a sum. */
        for (uint32_t i = 0; i < node->entry_count; i++) {
            const sim_entry *entry = &node->entries[i];
            hash += om_mix64(hash_bytes(entry->name, strlen(entry->name), 2) ^
                             hash_node(image, entry->node));
        }
    } else if (hash == 0) {
        hash = om_mix64(node->size);
        for (uint64_t i = 0; i * SIM_BLOCK < node->size; i++) {
            sim_block *block = i < node->block_count ? node->blocks[i] : NULL;
            hash = om_mix64(hash ^ hash_block(block));
        }
        hash |= 1;
        atomic_store_explicit(&node->hash, hash, memory_order_relaxed);
    }
    return hash;
}

uint64_t sim_image_hash(const sim_image *image)
{
    return hash_node(image, SIM_ROOT);
}
