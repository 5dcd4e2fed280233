/* sim_int.h - inside the simulated disk: blocks, nodes, images, operations.
 * Depends on: sim_disk.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_INT_H
#define SIM_INT_H
#include <stdatomic.h>

#include "sim_disk.h"

#define SIM_NOTHING UINT32_MAX /* no node */
enum { SIM_ROOT = 0 };

/* Blocks and nodes are shared by all images that hold them and copied when one of these changes. */
typedef struct sim_block {
    _Atomic uint32_t refs;
    _Atomic uint64_t hash; /* 0: not computed */
    uint8_t data[SIM_BLOCK];
} sim_block;
typedef struct sim_entry {
    char name[SIM_NAME];
    uint32_t node;
} sim_entry;
typedef struct sim_node {
    _Atomic uint32_t refs;
    _Atomic uint64_t hash; /* of a file's content; 0: not computed */
    bool folder;
    uint64_t size;
    uint32_t block_count; /* of the array; behind it and at NULL there are holes */
    uint32_t held;        /* blocks that take space */
    sim_block **blocks;
    uint32_t entry_count, entry_capacity;
    sim_entry *entries;
} sim_node;
struct sim_image {
    sim_node **nodes; /* by number; NULL: gone */
    uint32_t count, capacity;
};

void *sim_memory(void *block, size_t bytes); /* realloc that ends the test when there is none */
sim_image *sim_image_create(void);           /* with an empty root */
uint32_t sim_image_add(sim_image *image, bool folder);
void sim_image_drop(sim_image *image, uint32_t node);
void sim_image_sweep(sim_image *image); /* drops what has no name */
static inline sim_node *sim_image_node(const sim_image *image, uint32_t node)
{
    return image->nodes[node];
}
size_t sim_image_read(const sim_image *image, uint32_t node, uint64_t offset, void *data,
                      size_t bytes);
void sim_image_write(sim_image *image, uint32_t node, uint64_t offset, const void *data,
                     size_t bytes);
void sim_image_resize(sim_image *image, uint32_t node, uint64_t size);
void sim_image_allocate(sim_image *image, uint32_t node, uint64_t bytes);
/* Blocks that writing or allocating the range would take. */
uint64_t sim_image_wants(const sim_image *image, uint32_t node, uint64_t offset, uint64_t bytes);
uint32_t sim_image_find(const sim_image *image, uint32_t folder, const char *name);
/* SIM_NOTHING removes the name. */
void sim_image_name(sim_image *image, uint32_t folder, const char *name, uint32_t node);

/* An operation that changed something, made something certain, or is a mark. */
typedef struct sim_op {
    sim_call call;
    bool lost;                /* a sync that failed */
    uint32_t node;            /* SIM_NOTHING: the name goes away */
    uint32_t folder, folder2; /* of name and name2 (rename: from and to) */
    uint64_t offset, bytes;   /* mark: bytes is its value */
    uint8_t *data;            /* of a write */
    char name[SIM_NAME], name2[SIM_NAME];
} sim_op;
struct sim_trace {
    sim_image *base;
    sim_op *ops;
    size_t count, capacity;
    size_t given; /* the first ones, from before: base has the nodes that they made */
};
sim_op *sim_trace_add(sim_trace *trace, sim_call call);
static inline bool sim_op_is_data(const sim_op *op)
{
    return op->call == SIM_PWRITEV || op->call == SIM_ALLOCATE || op->call == SIM_TRUNCATE;
}
static inline bool sim_op_is_name(const sim_op *op)
{
    return op->call == SIM_OPEN || op->call == SIM_MKDIR || op->call == SIM_LINK ||
           op->call == SIM_UNLINK || op->call == SIM_RMDIR || op->call == SIM_RENAME;
}
/* A whole operation, on an image that has its nodes. */
void sim_op_apply(const sim_op *op, sim_image *image);

enum { SIM_FILES = 512, SIM_MAPPINGS = 1024 };
typedef struct sim_file {
    bool open, writable, locked;
    uint32_t node;
} sim_file;
/* The mutex is taken and the call counted; an errno when it is to fail (SIM_SHORT: cut to half). */
#define SIM_SHORT (-1)
void sim_lock(sim_disk *disk); /* only the mutex */
int sim_enter(sim_disk *disk, sim_call call);
int sim_leave(sim_disk *disk, int failed); /* returns it */

struct sim_disk {
    void *mutex; /* pthread_mutex_t */
    sim_image *image;
    sim_trace *trace; /* NULL: not recording */
    uint64_t limit, clock;
    uint64_t calls[SIM_CALLS + 1];
    uint64_t syncs, lie; /* syncs of both kinds; the one that lies */
    uint64_t lie_site;
    sim_fault fault;
    uint64_t fault_at; /* value of its counter */
    bool faulted, tracking;
    bool lying; /* the call that has the mutex is a sync that shall do nothing */
    sim_site *sites;
    size_t site_count, site_capacity;
    sim_file files[SIM_FILES];
    void *mappings[SIM_MAPPINGS];
};
int sim_file_of(const sim_disk *disk, int fd, sim_file const **out);
/* Frees a node that has no name and is not open. */
void sim_disk_forget(sim_disk *disk, uint32_t node);
/* The names part of the table (sim_names.c). */
int sim_do_open(void *ctx, const char *path, uint32_t flags, int *fd);
int sim_do_stat(void *ctx, const char *path, om_io_stat *out);
int sim_do_rename(void *ctx, const char *from, const char *to);
int sim_do_link(void *ctx, const char *from, const char *to);
int sim_do_unlink(void *ctx, const char *path);
int sim_do_mkdir(void *ctx, const char *path);
int sim_do_rmdir(void *ctx, const char *path);
int sim_do_sync_dir(void *ctx, const char *path);
int sim_do_list(void *ctx, const char *path, om_io_entry entry, void *arg);
int sim_do_resolve(void *ctx, const char *path, char *out, size_t capacity);
int sim_do_space(void *ctx, const char *path, om_io_space *out);
#endif
