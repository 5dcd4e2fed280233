/* manifest_int.h - bytes of manifests, deaths and cursors, and the names of files. FORMAT.md says the same.
 * Depends on: base, os.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_MANIFEST_INT_H
#define OM_MANIFEST_INT_H
#include "filehead.h"
#include "manifest.h"

/* ---- The manifest ---- */
typedef struct om_mf_header {
    om_head head;
    uint8_t database[16];
    uint64_t generation, checkpoint, durable, next_segment, cursors;
    uint32_t next_serial;
    uint32_t collections;
    uint32_t extra_bytes; /* of what follows the collections */
    uint32_t reserved[3];
    uint32_t body_crc; /* of everything behind the header */
    uint32_t header_crc;
} om_mf_header;
_Static_assert(sizeof(om_mf_header) == 128, "manifest header");
_Static_assert(offsetof(om_mf_header, generation) == 56, "manifest header");
_Static_assert(offsetof(om_mf_header, body_crc) == 120, "manifest header");

typedef struct om_mf_collection { /* then its segments */
    char name[64];                /* zeros behind it */
    uint32_t serial;
    uint32_t segments;
    uint64_t contained, next_key;
    uint32_t dim, metric, dtype, id_type, m, ef_construction, quantization, rotation, entry,
        durability;
    uint64_t capacity_hint, max_backlog_rows;
    uint32_t flags;
    uint32_t schema_bytes; /* behind its segments, padded to 8 */
    uint32_t reserved[2];
} om_mf_collection;
enum { OM_MF_SCHEMAS = 1 }; /* incompatible feature: a collection has a schema */
_Static_assert(sizeof(om_mf_collection) == 160, "collection of a manifest");
_Static_assert(offsetof(om_mf_collection, dim) == 88, "collection of a manifest");
_Static_assert(offsetof(om_mf_collection, flags) == 144, "collection of a manifest");
_Static_assert(OMEN_MAX_NAME + 1 == 64, "names fill their field");

typedef struct om_mf_segment {
    uint64_t id, file_bytes, first_lsn, last_lsn, deaths;
    uint32_t header_crc, rows, live;
    uint32_t reserved[3];
} om_mf_segment;
_Static_assert(sizeof(om_mf_segment) == 64, "segment of a manifest");

extern const om_head_kind om_manifest_kind, om_deaths_kind, om_cursors_kind;

/* What every manifest keeps to, read or to be written; `wrong` is the status of one that does not. */
omen_status_t om_manifest_check(const om_alloc *alloc, const om_manifest *m, omen_status_t wrong,
                                omen_error *err) OM_NODISCARD;

/* ---- Numbers in order (manifest_sort.c) ---- */
typedef struct om_tag {
    uint64_t key, value;
} om_tag;
/* Ascending by key; equal keys keep their order. scratch: [count]. */
void om_tags_sort(om_tag *tags, om_tag *scratch, size_t count);
/* The first one whose key is not below `key`; count when there is none. */
size_t om_tags_find(const om_tag *tags, size_t count, uint64_t key);

/* ---- Names (manifest_path.c) ---- */
enum {
    OM_NAME_OTHER,
    OM_NAME_MANIFEST,
    OM_NAME_CURSORS,
    OM_NAME_FOLDER, /* of a collection */
    OM_NAME_SEGMENT,
    OM_NAME_DEATHS
};
enum { OM_NAME_TEXT = 64 }; /* longer than any name of ours */
typedef struct om_name {
    uint32_t kind;
    bool temporary;  /* a file on its way to this name */
    uint64_t number; /* generation of MANIFEST and CURSORS, serial of a folder, id of a segment */
    uint64_t deaths; /* DEATHS: their generation */
    char text[OM_NAME_TEXT];
} om_name;
void om_name_parse(const char *text, om_name *out);

/* ---- For om_manifest_load: small files, checked whole, so that an older generation can stand in ---- */
omen_status_t om_deaths_probe(const om_io *io, const char *path, uint64_t segment, uint32_t rows,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_cursors_probe(const om_io *io, const om_alloc *alloc, const char *path,
                               omen_error *err) OM_NODISCARD;
#endif
