/* os.h - the system beneath the engine: address space, files, threads, fork generation.
 * Depends on: base.  Locks: the pool's, rank 90 (a leaf).  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_OS_H
#define OM_OS_H
#include "alloc.h"
#include "base.h"
#include "executor.h"
#include "io.h"

/* ---- Address space: reserved once, committed in steps, never moved --------------------------------- */
typedef struct om_vm {
    uint8_t *base;     /* aligned to 2 MiB; NULL: nothing reserved  */
    size_t reserved;   /* bytes of address space                    */
    size_t committed;  /* bytes that may be touched, zero at first  */
    om_budget *budget; /* charged for committed bytes               */
} om_vm;
/* Reserves address space only (no memory, no overcommit charge). */
omen_status_t om_vm_reserve(om_vm *vm, size_t bytes, om_budget *budget,
                            omen_error *err) OM_NODISCARD;
/* Makes the first `bytes` usable; rounds up to 2 MiB steps (64 KiB while below 2 MiB), asks for huge
 * pages from 2 MiB on. Keeps what there is when bytes <= committed. */
omen_status_t om_vm_commit(om_vm *vm, size_t bytes, omen_error *err) OM_NODISCARD;
void om_vm_release(om_vm *vm); /* harmless on a zeroed struct */
/* Hints about memory that is read once from one end to the other, mapped files above all: the range is read
 * in now; its pages are the first to go when memory is short. Neither changes what is there. */
void om_pages_wanted(const void *base, size_t bytes);
void om_pages_done(const void *base, size_t bytes);

/* ---- Files ------------------------------------------------------------------------------------------- */
/* A file being written beside its final path; visible there only after om_file_commit. */
typedef struct om_file om_file;
omen_status_t om_file_create(const om_io *io, const om_alloc *alloc, const char *path,
                             om_file **out, omen_error *err);
omen_status_t om_file_write(om_file *file, const void *data, size_t bytes, omen_error *err);
/* Overwrites bytes written before (a header that is known last). */
omen_status_t om_file_write_at(om_file *file, uint64_t offset, const void *data, size_t bytes,
                               omen_error *err);
uint64_t om_file_size(const om_file *file);
/* Sync, rename over the path, sync of the directory; frees. On failure the path is untouched. */
omen_status_t om_file_commit(om_file *file, omen_error *err);
void om_file_abort(om_file *file); /* removes the temporary file; frees; NULL ok */

typedef struct om_map {
    const om_io *io;
    const uint8_t *base;
    size_t bytes;
    void *mapping;
    om_vm ram; /* instead of the mapping: om_map_load */
} om_map;
/* Maps a whole regular file read-only. */
omen_status_t om_map_open(const om_io *io, om_map *map, const char *path, omen_error *err);
/* Copies the file into memory of its own (huge pages, charged to the budget) and forgets the mapping. */
omen_status_t om_map_load(om_map *map, om_budget *budget, omen_error *err) OM_NODISCARD;
void om_map_close(om_map *map);
/* Hints: will be read at random / is wanted in memory (reads it, in this thread). */
void om_map_random(const om_map *map, size_t offset, size_t bytes);
void om_map_populate(const om_map *map, size_t offset, size_t bytes);

/* ---- Threads ----------------------------------------------------------------------------------------- */
uint32_t om_cpu_count(void); /* usable by this process; >= 1 */
typedef struct om_thread om_thread;
/* All signals blocked in the new thread; name up to 15 bytes. */
omen_status_t om_thread_create(const om_alloc *alloc, const char *name, void (*fn)(void *ctx),
                               void *ctx, om_thread **out, omen_error *err);
void om_thread_join(om_thread *thread); /* frees; NULL ok */

typedef struct om_pool om_pool;
/* threads - 1 workers: the caller of run is the last one. Workers start at the first run. */
omen_status_t om_pool_create(const om_alloc *alloc, uint32_t threads, om_pool **out,
                             omen_error *err);
om_executor *om_pool_executor(om_pool *pool);
void om_pool_free(om_pool *pool);

/* Grows by one in every forked child: handles of the parent are recognised by it. */
uint32_t om_fork_generation(void);
#endif
