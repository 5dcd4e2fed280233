/* filehead.h - what manifests, deaths and cursors begin with: magic, format, features, size, and a checksum
 * at the end of the header. FORMAT.md says the same.
 * Depends on: base, os.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FILEHEAD_H
#define OM_FILEHEAD_H
#include "base.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little-endian and used as they lie in memory");

#define OM_HEAD_BYTE_ORDER 0x01020304u
enum { OM_HEAD_MAGIC_BYTES = 8 };

typedef struct om_head {
    uint8_t magic[OM_HEAD_MAGIC_BYTES];
    uint32_t format;
    uint32_t header_bytes;
    uint32_t incompat, ro_compat, compat;
    uint32_t byte_order;
    uint64_t file_bytes;
} om_head;
_Static_assert(sizeof(om_head) == 40, "head");

typedef struct om_head_kind {
    const char *what;  /* "manifest" */
    const char *magic; /* OM_HEAD_MAGIC_BYTES bytes */
    uint32_t format;   /* the newest one that is read, and the one that is written */
    uint32_t header_bytes;
    uint32_t incompat; /* features that are known */
} om_head_kind;

/* Fills the first bytes of a zeroed header; the rest is the caller's. */
void om_head_begin(const om_head_kind *kind, uint8_t *header, uint64_t file_bytes);
/* Its last four bytes become the checksum of the others. */
void om_head_seal(const om_head_kind *kind, uint8_t *header);
/* A header, `read` bytes of which could be read from a file of file_bytes. `name` is for messages.
 * DATA_LOSS, or UNIMPLEMENTED / FORMAT_VERSION for a newer format or unknown needed features. */
omen_status_t om_head_check(const om_head_kind *kind, const char *name, const uint8_t *header,
                            size_t read, uint64_t file_bytes, omen_error *err) OM_NODISCARD;
/* The end of a path, as long as messages bear it. */
const char *om_path_tail(const char *path);
#endif
