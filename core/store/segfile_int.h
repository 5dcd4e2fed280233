/* segfile_int.h - the bytes of a segment file's header, section table and tail. FORMAT.md says the
 * same. Depends on: base, os.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SEGFILE_INT_H
#define OM_SEGFILE_INT_H
#include "segfile.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little-endian and used as they lie in memory");

#define OM_SEG_MAGIC "\x89OMENSG\n"
#define OM_SEG_TAIL_MAGIC "OMENEND\n"
#define OM_SEG_BYTE_ORDER 0x01020304u
enum {
    OM_SEG_HEADER_BYTES = 4096,
    OM_SEG_TABLE_AT = 128,
    OM_SEG_MAX_SECTIONS = 60,
    OM_SEG_HEADER_CRC_AT = 4092,
    OM_SEG_BLOCK = 1 << 20,
    OM_SEG_SMALL_ALIGN = 4096,
    OM_SEG_LARGE_ALIGN = 2 << 20, /* of sections that are at least as long */
    OM_SEG_FLAG_REQUIRED = 1,
};
/* Features of version 1: none. A reader refuses unknown incompatible ones, opens files with unknown
 * ro-compatible ones only for reading (it never does anything else) and ignores the third kind. */
#define OM_SEG_KNOWN_INCOMPAT 0u

typedef struct om_seg_header {
    uint8_t magic[8];
    uint32_t format;
    uint32_t header_bytes;
    uint32_t incompat, ro_compat, compat;
    uint32_t byte_order;
    uint64_t rows;
    uint64_t version;
    uint64_t file_bytes;
    uint32_t sections;
    uint32_t block_bytes;
    uint32_t table_crc; /* of sections * sizeof(om_seg_entry) bytes at OM_SEG_TABLE_AT */
    uint32_t reserved[15];
} om_seg_header;
_Static_assert(sizeof(om_seg_header) == OM_SEG_TABLE_AT, "header");
_Static_assert(offsetof(om_seg_header, rows) == 32, "header");
_Static_assert(offsetof(om_seg_header, table_crc) == 64, "header");

typedef struct om_seg_entry {
    uint32_t kind;
    uint32_t vector_index;
    uint32_t flags;
    uint32_t checksums_crc; /* of the checksum table */
    uint64_t offset;
    uint64_t bytes;
    uint64_t stride;
    uint64_t rows;
    uint64_t checksums; /* where the table of one u32 a block begins */
    uint32_t blocks;
    uint32_t reserved;
} om_seg_entry;
_Static_assert(sizeof(om_seg_entry) == 64, "section entry");
_Static_assert(offsetof(om_seg_entry, offset) == 16, "section entry");
_Static_assert(OM_SEG_TABLE_AT + OM_SEG_MAX_SECTIONS * sizeof(om_seg_entry) <= OM_SEG_HEADER_CRC_AT,
               "the table fits into the header page");

typedef struct om_seg_tail {
    uint64_t file_bytes;
    uint32_t header_crc;
    uint32_t reserved;
    uint8_t magic[8];
} om_seg_tail;
_Static_assert(sizeof(om_seg_tail) == 24, "tail");

enum { OM_SEG_NAME = 80 };
struct om_segfile {
    const om_alloc *alloc;
    om_map map;
    char name[OM_SEG_NAME]; /* the end of the path, for messages */
    om_seg_header header;
    om_seg_entry entries[OM_SEG_MAX_SECTIONS];
    uint64_t first_block[OM_SEG_MAX_SECTIONS]; /* of a section, in the bitmap */
    uint64_t blocks;
    _Atomic uint64_t tables;    /* bit s: the checksum table of section s is right  */
    _Atomic uint64_t *verified; /* bit b: block b is right                          */
};

/* "codes"; "unknown kind" for numbers without a name, which this version does not know. */
const char *om_section_name(uint32_t kind);
bool om_section_known(uint32_t kind);
static inline uint64_t om_seg_blocks(uint64_t bytes)
{
    return bytes / OM_SEG_BLOCK + (bytes % OM_SEG_BLOCK != 0);
}
static inline uint64_t om_seg_alignment(uint64_t bytes)
{
    return bytes >= OM_SEG_LARGE_ALIGN ? OM_SEG_LARGE_ALIGN : OM_SEG_SMALL_ALIGN;
}
#endif
