/* segfile.h - the segment file: a checksummed header, a section table, and aligned sections, mapped
 * read-only. FORMAT.md gives every byte. This module knows sections as bytes, not what they mean.
 * Depends on: base, os.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SEGFILE_H
#define OM_SEGFILE_H
#include "alloc.h"
#include "base.h"
#include "op.h"
#include "os.h"

#define OM_FORMAT_VERSION 1u
/* Section kinds. Unknown ones are skipped unless flagged as required. */
enum {
    OM_SECTION_META = 1,        /* the collection's options (engine)                      */
    OM_SECTION_CODEC = 2,       /* om_codec_export                                        */
    OM_SECTION_CODES = 3,       /* code rows                                              */
    OM_SECTION_LINKS = 4,       /* level-0 link rows                                      */
    OM_SECTION_ENTRY = 5,       /* om_graph_export                                        */
    OM_SECTION_KEYS = 6,        /* u64 key a slot                                         */
    OM_SECTION_KEYMAP = 7,      /* live slots in the order of their keys                  */
    OM_SECTION_DEAD = 8,        /* tombstone bitmap, u64 words                            */
    OM_SECTION_VECTORS = 9,     /* raw vectors in the input type                          */
    OM_SECTION_NORMS = 10,      /* f32 norm a slot (cosine)                               */
    OM_SECTION_ID_BYTES = 11,   /* ids of UUID and STRING collections, by slot            */
    OM_SECTION_ID_OFFSETS = 12, /* where each of them begins                              */
    OM_SECTION_ID_MAP = 13,     /* slots sorted by the hash of their ids' bytes           */
    OM_SECTION_SCHEMA = 14,     /* fields of the metadata (om_schema_export)              */
    OM_SECTION_METADATA = 15,   /* blocks of 65,536 rows, then where each begins          */
    OM_SECTION_TEXT = 16,       /* the words of all rows (om_textimage)                   */
    OM_SECTION_BIRTHS = 17,     /* which write made which rows                            */
    OM_SECTION_MAX = 32
};
/* Or-ed into the kind at begin: a reader that does not know the kind refuses the file. */
#define OM_SECTION_REQUIRED 0x80000000u
#define OM_VECTOR_INDEX_DEFAULT 0u /* one unnamed vector per item for now (ruling 12) */

/* ---- Writing ---- */
typedef struct om_segwriter om_segwriter;
omen_status_t om_segwriter_create(const om_io *io, const om_alloc *alloc, const char *path,
                                  om_segwriter **out, omen_error *err) OM_NODISCARD;
/* Begins a section; its alignment follows from its size (4 KiB; 2 MiB from 2 MiB on). stride: bytes
 * of one element (0: a blob), rows: number of elements; unless stride is 0, bytes must be stride *
 * rows. Then append until `bytes` are there. A (kind, vector_index) may be there once. */
omen_status_t om_segwriter_begin(om_segwriter *writer, uint32_t kind, uint32_t vector_index,
                                 uint64_t stride, uint64_t rows, uint64_t bytes,
                                 omen_error *err) OM_NODISCARD;
/* The same for a blob whose size is known at its end only; the writer holds up to 2 MiB of it. */
omen_status_t om_segwriter_begin_open(om_segwriter *writer, uint32_t kind, uint32_t vector_index,
                                      omen_error *err) OM_NODISCARD;
omen_status_t om_segwriter_append(om_segwriter *writer, const void *data, size_t bytes,
                                  omen_error *err) OM_NODISCARD;
omen_status_t om_segwriter_end(om_segwriter *writer, omen_error *err) OM_NODISCARD;
/* Writes the block checksums, the table and the header, fsyncs, renames; frees the writer, also
 * when it fails: the path is then what it was before. After a failed call all that is left is this
 * or abort. */
omen_status_t om_segwriter_commit(om_segwriter *writer, uint64_t rows, uint64_t version,
                                  omen_error *err) OM_NODISCARD;
void om_segwriter_abort(om_segwriter *writer); /* frees; NULL ok */

/* ---- Reading ---- */
typedef struct om_segfile om_segfile;
typedef struct om_section {
    const uint8_t *data; /* NULL: the file has no such section */
    uint64_t bytes, stride, rows;
    uint32_t index; /* of the section in the file, for om_segfile_verify */
} om_section;
/* Maps the file and checks header, table and bounds: O(1), whatever the size. OMEN_DATA_LOSS names
 * what is wrong; OMEN_UNIMPLEMENTED / FORMAT_VERSION for a newer format or an unknown required
 * feature. */
omen_status_t om_segfile_open(const om_io *io, const om_alloc *alloc, const char *path,
                              om_segfile **out, omen_error *err) OM_NODISCARD;
/* Copies it into memory charged to the budget; before any section is asked for. */
omen_status_t om_segfile_load(om_segfile *file, om_budget *budget, omen_error *err) OM_NODISCARD;
void om_segfile_close(om_segfile *file);
uint64_t om_segfile_rows(const om_segfile *file);
uint64_t om_segfile_version(const om_segfile *file);
uint64_t om_segfile_bytes(const om_segfile *file);
uint32_t om_segfile_header_crc(const om_segfile *file); /* covers the section table too */
/* A section by kind; when it is there its stride and rows must be as given (0: any), else
 * DATA_LOSS. */
omen_status_t om_segfile_section(const om_segfile *file, uint32_t kind, uint32_t vector_index,
                                 uint64_t stride, uint64_t rows, om_section *out,
                                 omen_error *err) OM_NODISCARD;
/* Makes sure that bytes [offset, offset + bytes) of a section match their 1 MiB block checksums.
 * The first touch computes, a bitmap remembers; afterwards one load. Threads: any. */
omen_status_t om_segfile_verify(om_segfile *file, const om_section *section, uint64_t offset,
                                uint64_t bytes, omen_error *err) OM_NODISCARD;
/* Every block of every section. */
omen_status_t om_segfile_verify_all(om_segfile *file, const om_stop *stop,
                                    omen_error *err) OM_NODISCARD;
/* Reads a section into memory, in this thread. */
void om_segfile_warm(const om_segfile *file, const om_section *section);

/* CRC-32C (Castagnoli), hardware where there is one; seed 0. */
uint32_t om_crc32c(uint32_t seed, const void *data, size_t bytes);
#endif
