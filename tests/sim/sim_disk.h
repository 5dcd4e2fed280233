/* sim_disk.h - a disk in memory behind io.h, for tests: it records what is done to it, refuses calls when it
 * is told to, and gives the disks that a power failure could have left behind.
 * Depends on: os (io.h).  Locks: one of each disk, a leaf.  Threads: any.
 * SPDX-License-Identifier: Apache-2.0
 *
 * What a write, a new size or a new name becomes on stable storage is decided as POSIX allows it, not as one
 * file system does it: bytes and sizes are certain after `sync` of their file only, names after `sync_dir` of
 * their folder only, and what is not certain yet may be there in any combination (see sim_crash_state). */
#ifndef SIM_DISK_H
#define SIM_DISK_H
#include "io.h"

enum { SIM_BLOCK = 4096, SIM_SECTOR = 512, SIM_NAME = 96 };
typedef enum sim_call {
    SIM_OPEN,
    SIM_CLOSE,
    SIM_PREAD,
    SIM_PWRITEV,
    SIM_ALLOCATE,
    SIM_TRUNCATE,
    SIM_SYNC,
    SIM_FSTAT,
    SIM_STAT,
    SIM_RENAME,
    SIM_LINK,
    SIM_UNLINK,
    SIM_MKDIR,
    SIM_RMDIR,
    SIM_SYNC_DIR,
    SIM_LIST,
    SIM_RESOLVE,
    SIM_SPACE,
    SIM_LOCK,
    SIM_MAP,
    SIM_CALLS, /* also: any of them */
    SIM_MARK   /* in traces only: something that the test said */
} sim_call;
const char *sim_call_name(sim_call call);

/* ---- What a disk holds; never changes; a copy costs a pointer a file ---- */
typedef struct sim_image sim_image;
sim_image *sim_image_copy(const sim_image *image);
void sim_image_free(sim_image *image); /* NULL ok */
/* Equal for equal names and contents. */
uint64_t sim_image_hash(const sim_image *image);

/* ---- A disk in use ---- */
typedef struct sim_disk sim_disk;
sim_disk *sim_disk_create(const sim_image *from); /* NULL: an empty one */
void sim_disk_free(sim_disk *disk);               /* NULL ok */
om_io sim_disk_io(sim_disk *disk);
sim_image *sim_disk_image(sim_disk *disk); /* everything written so far */
/* Writes beyond `bytes` in all give ENOSPC; 0: no limit. */
void sim_disk_limit(sim_disk *disk, uint64_t bytes);
uint64_t sim_disk_used(sim_disk *disk);
void sim_disk_advance(sim_disk *disk, uint64_t ns); /* both clocks; every look adds a microsecond */
uint64_t sim_disk_calls(sim_disk *disk, sim_call call); /* so far */
typedef struct sim_open {                               /* for tests that want nothing leaked */
    uint32_t files, mappings;
} sim_open;
sim_open sim_disk_open(sim_disk *disk);

typedef struct sim_fault {
    sim_call call; /* SIM_CALLS: any of them */
    uint64_t nth;  /* counted from now on: 1 is the next one; 0: no fault */
    bool for_ever; /* and all calls of this kind after it */
    int error;     /* errno; 0: the transfer is cut to half */
} sim_fault;
/* A failed sync has the effect that ATC'20 "Can applications recover from fsync failures?" found: what was
 * not on disk yet never gets there, and the next sync says that all is well. */
void sim_disk_fault(sim_disk *disk, const sim_fault *fault);
bool sim_disk_faulted(sim_disk *disk); /* since sim_disk_fault */
/* The nth sync or sync_dir from now on does nothing and says that it did; 0: none. */
void sim_disk_lie(sim_disk *disk, uint64_t nth);
/* All syncs from one place (sim_site.id) do nothing, as if the call were not in the program; 0: none. */
void sim_disk_lie_site(sim_disk *disk, uint64_t site);

/* Where calls come from: a number for the chain of return addresses. Kept only while it is switched on. */
typedef struct sim_site {
    uint64_t id;
    sim_call call;
    uint64_t nth;    /* among all calls */
    uint64_t kind;   /* among calls of its kind */
    uint64_t sync;   /* among syncs and sync_dirs; 0: it is none */
    void *frames[4]; /* return addresses outside of this library; they make the id */
} sim_site;
void sim_disk_track(sim_disk *disk, bool on);
/* The calls so far; valid until the next one. */
const sim_site *sim_disk_sites(sim_disk *disk, size_t *count);

/* ---- Traces: what was done to a disk ---- */
typedef struct sim_trace sim_trace;
/* Begins: what is there now counts as being on stable storage. A former trace is dropped. */
void sim_disk_record(sim_disk *disk);
/* Ends: the trace is the caller's; NULL when nothing was recorded. */
sim_trace *sim_disk_recorded(sim_disk *disk);
void sim_disk_mark(sim_disk *disk, uint64_t value); /* for sim_crash_mark */
void sim_trace_free(sim_trace *trace);              /* NULL ok */
size_t sim_trace_length(const sim_trace *trace);
/* One line for operation i: "write 3 bytes at 0 of file 2". */
void sim_trace_describe(const sim_trace *trace, size_t i, char *text, size_t capacity);

/* ---- Power failures: walks over a trace ---- */
typedef struct sim_crash sim_crash;
sim_crash *sim_crash_create(const sim_trace *trace); /* which must live longer */
void sim_crash_free(sim_crash *crash);
bool sim_crash_next(sim_crash *crash);            /* one operation on; false: there is none */
size_t sim_crash_at(const sim_crash *crash);      /* operations passed */
uint64_t sim_crash_mark(const sim_crash *crash);  /* the newest passed, 0: none */
size_t sim_crash_pending(const sim_crash *crash); /* effects that are not certain */
typedef enum sim_kept {
    SIM_KEEP_NONE,   /* only what is certain */
    SIM_KEEP_ALL,    /* as if the process had been killed */
    SIM_KEEP_PREFIX, /* effects in their order up to one of them, that one in part */
    SIM_KEEP_SOME    /* any: sectors of 512 bytes, sizes, names, each for itself */
} sim_kept;
/* The disk after the process was killed here, in use again: everything is there, and what was not certain
 * still is not. It records; the first sim_crash_pending operations of the trace are what was done before. */
sim_disk *sim_crash_killed(const sim_crash *crash);
/* The disk after a power failure here. The same seed gives the same disk. */
sim_image *sim_crash_state(const sim_crash *crash, sim_kept kept, uint64_t seed);
#endif
