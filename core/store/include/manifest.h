/* manifest.h - what a database directory consists of: collections, their segments, and how far the log is
 * contained in them. One checksummed value, replaced whole (logdriver cas), three generations kept; and
 * the cursors of streams and request ids beside it. FORMAT.md gives every byte.
 * Depends on: base, os.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_MANIFEST_H
#define OM_MANIFEST_H
#include "alloc.h"
#include "io.h"

#define OM_MANIFEST_KEY "MANIFEST"
enum {
    OM_MANIFEST_MAX_BYTES = 1 << 30,
    OM_MANIFEST_MAX_COLLECTIONS = 1 << 20,
    OM_MANIFEST_MAX_SEGMENTS = 4096, /* of one collection */
    OM_MANIFEST_MAX_EXTRA = 1 << 20,
    OM_MANIFEST_MAX_SCHEMA = 1 << 20, /* of one collection */
    OM_MANIFEST_KEPT = 3              /* generations */
};

typedef struct om_manifest_segment {
    uint64_t id; /* file "<collection serial, 8 hex>/<id, 16 hex>.seg"; not 0, never used twice   */
    uint64_t
        file_bytes; /* as the file must have                                                  */
    uint32_t
        header_crc; /* of the segment's header page, which covers its section table           */
    uint32_t rows;  /* slots, dead ones included                                              */
    uint32_t live;  /* at this generation: rows that are not dead                             */
    uint32_t reserved;
    uint64_t first_lsn; /* of its rows; not below the last one of the segment before it */
    uint64_t last_lsn;  /* not above `contained` */
    uint64_t
        deaths; /* generation of "<id, 16 hex>.<deaths, 16 hex>.del"; 0: DEAD of the file holds */
} om_manifest_segment;
typedef struct om_manifest_collection {
    char name[OMEN_MAX_NAME + 1];
    uint32_t serial; /* of its records in the log; not 0, never used twice in a database       */
    uint32_t segment_count;
    uint64_t contained; /* every record of this collection up to this lsn is in its segments      */
    uint64_t next_key;
    omen_options
        options; /* with defaults filled in                                                */
    om_manifest_segment
        *segments; /* [segment_count] in the order of their rows; NULL when none    */
    uint8_t
        *schema; /* [schema_bytes] fields of its metadata, as core/meta exports them; NULL: none */
    uint32_t schema_bytes;
} om_manifest_collection;
typedef struct om_manifest {
    uint8_t database[16]; /* random, given at creation */
    uint64_t generation;  /* revision of the value; not 0 */
    uint64_t checkpoint;  /* no record up to this lsn is needed */
    uint64_t durable;     /* an lsn that was durable when this was written */
    uint64_t
        next_segment; /* ids from here on are free or belong to files that no manifest names yet */
    uint32_t next_serial; /* likewise */
    uint32_t collection_count;
    uint64_t cursors;                    /* generation of the cursors file; 0: none */
    om_manifest_collection *collections; /* [collection_count] ascending by name */
    /* What a newer version added and this one does not know: written again as it came. Zeros and NULL in a
     * manifest of this version. */
    uint32_t ro_compat, compat;
    uint32_t extra_bytes;
    bool read_only; /* set by decode: ro_compat has unknown bits, so nothing may be changed */
    uint8_t *extra;
    /* Set by om_manifest_load, not part of the value. */
    uint64_t newest;   /* generation there is, also a bad one: the next one is this + 1 */
    char trouble[160]; /* why the newest one was skipped; empty when it was not */
} om_manifest;
/* Its arrays, each of which is a block of `alloc` of exactly its size; harmless when zeroed. */
void om_manifest_free(const om_alloc *alloc, om_manifest *manifest);
/* Checks first whatever decode checks, so that nothing is written that cannot be read: INTERNAL names the
 * field. FAILED_PRECONDITION / READ_ONLY for one that is read_only. */
omen_status_t om_manifest_encode(const om_alloc *alloc, const om_manifest *manifest,
                                 uint8_t **bytes, size_t *size, omen_error *err) OM_NODISCARD;
/* Trusts nothing. DATA_LOSS names the field; UNIMPLEMENTED / FORMAT_VERSION for a newer one. `bytes` of
 * *size are allocated with alignment 8. */
omen_status_t om_manifest_decode(const om_alloc *alloc, const uint8_t *bytes, size_t size,
                                 om_manifest *out, omen_error *err) OM_NODISCARD;
/* The newest generation in `folder` whose checksum holds and whose files all exist: segments with their sizes
 * and header checksums, deaths and cursors with all of theirs; *skipped counts newer ones that do not.
 * NOT_FOUND: there is no manifest, and nothing but what an unfinished creation leaves ("LOCK", "wal",
 * temporary files; "lost+found" is no one's): a database may be made here. DATA_LOSS: none of the manifests
 * holds, or there is none but other files are there. A newer format and a failing disk are failures, never a
 * reason to take an older generation. */
omen_status_t om_manifest_load(const om_io *io, const om_alloc *alloc, const char *folder,
                               om_manifest *out, uint32_t *skipped, omen_error *err) OM_NODISCARD;

/* ---- Names; each writes at most OM_PATH_MAX bytes ---- */
enum { OM_PATH_MAX = 4096 };
typedef struct om_path {
    char text[OM_PATH_MAX];
} om_path;
/* INVALID_ARGUMENT when it would be longer. */
omen_status_t om_path_manifest(om_path *out, const char *folder, uint64_t generation,
                               omen_error *err) OM_NODISCARD;
omen_status_t om_path_cursors(om_path *out, const char *folder, uint64_t generation,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_path_collection(om_path *out, const char *folder, uint32_t serial,
                                 omen_error *err) OM_NODISCARD;
omen_status_t om_path_segment(om_path *out, const char *folder, uint32_t serial, uint64_t id,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_path_deaths(om_path *out, const char *folder, uint32_t serial, uint64_t id,
                             uint64_t generation, omen_error *err) OM_NODISCARD;
omen_status_t om_path_join(om_path *out, const char *folder, const char *name,
                           omen_error *err) OM_NODISCARD;

/* ---- Deaths: the tombstones of one segment, a whole bitmap, checksummed ---- */
/* words: u64[(rows + 63) / 64], behind a header of 4,096 bytes so that it can be mapped; bits behind the
 * last row are written as 0. The file is durable on return, and a failure leaves none. */
omen_status_t om_deaths_write(const om_io *io, const char *path, uint64_t segment, uint32_t rows,
                              const uint64_t *words, omen_error *err) OM_NODISCARD;
/* Maps the words privately writable, checksum and bits behind the last row checked. words is NULL when there
 * are no rows. */
typedef struct om_deaths {
    void *mapping;
    size_t bytes;
    uint64_t *words;
} om_deaths;
omen_status_t om_deaths_open(const om_io *io, const char *path, uint64_t segment, uint32_t rows,
                             om_deaths *out, omen_error *err) OM_NODISCARD;
void om_deaths_close(const om_io *io, om_deaths *deaths);

/* ---- Cursors: last seq of every stream, and the newest request ids ---- */
enum {
    OM_CURSORS_MAX_BYTES = 1 << 30,
    OM_CURSORS_MAX_STREAMS = 1 << 22,
    OM_CURSORS_MAX_REQUESTS = 1 << 16
};
typedef struct om_cursor {
    uint32_t collection;
    uint32_t length;
    char id[OMEN_MAX_STREAM_ID];
    uint64_t last_seq, last_version, epoch;
    uint64_t used_wall_ns; /* cursors not used for 7 days are left out */
    uint32_t crc; /* of the last batch, so that a replay with other bytes is told; 0: none */
    uint32_t reserved;
} om_cursor;
typedef struct om_request { /* in the order they came */
    uint32_t collection;
    uint32_t length;
    char id[OMEN_MAX_REQUEST_ID];
    uint64_t version, applied, replaced, refused;
} om_request;
typedef struct om_cursors {
    uint64_t lsn; /* these are of this moment: records above it go on top */
    om_cursor *cursors;
    om_request *requests;
    uint32_t cursor_count, request_count;
} om_cursors;
/* Cursors in any order; they come back ascending by collection, then id. Requests keep their order. Nothing
 * may be there twice: INTERNAL. RESOURCE_EXHAUSTED / LIMIT: more than the limits above. */
omen_status_t om_cursors_write(const om_io *io, const om_alloc *alloc, const char *path,
                               const om_cursors *cursors, omen_error *err) OM_NODISCARD;
omen_status_t om_cursors_read(const om_io *io, const om_alloc *alloc, const char *path,
                              om_cursors *out, omen_error *err) OM_NODISCARD;
void om_cursors_free(const om_alloc *alloc, om_cursors *cursors);

/* ---- Files that no manifest names ---- */
typedef struct om_sweeping {
    const char *folder;
    const om_manifest *current;
    uint64_t segments_below; /* ids of segments that may go */
} om_sweeping;
/* Removes temporary files, segments, deaths, cursors and folders of collections that neither `current` nor
 * any other generation still kept names, and manifests older than the newest three. Never anything that
 * is newer than `current` says (ids from next_segment on, serials from next_serial on, generations of deaths
 * and cursors above its own) and never a name it does not know. A segment that is being written, or waits to
 * be named, is safe as long as its id is not below `segments_below`. One caller at a time. A failure to
 * remove one file does not keep the others; the first one is returned. */
omen_status_t om_sweep(const om_io *io, const om_alloc *alloc, const om_sweeping *what,
                       omen_error *err);

#endif
