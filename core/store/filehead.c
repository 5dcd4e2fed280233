/* filehead.c - writes and checks the beginning of manifests, deaths and cursors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The order of the checks tells damage from a newer format: magic, then checksum, then versions. Their
 * places are the same in every version, so a header that passes the first two means what it says. */
#include "filehead.h"

#include <string.h>

#include "segfile.h"

enum { PATH_TAIL = 80 };

void om_head_begin(const om_head_kind *kind, uint8_t *header, uint64_t file_bytes)
{
    om_head head = {.format = kind->format,
                    .header_bytes = kind->header_bytes,
                    .byte_order = OM_HEAD_BYTE_ORDER,
                    .file_bytes = file_bytes};
    memcpy(head.magic, kind->magic, sizeof head.magic);
    memcpy(header, &head, sizeof head);
}

void om_head_seal(const om_head_kind *kind, uint8_t *header)
{
    size_t at = kind->header_bytes - sizeof(uint32_t);
    uint32_t crc = om_crc32c(0, header, at);
    memcpy(header + at, &crc, sizeof crc);
}

static omen_status_t check_bytes(const om_head_kind *kind, const char *name, const uint8_t *header,
                                 size_t read, omen_error *err)
{
    if (read < kind->header_bytes) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: %zu bytes are no %s: the smallest has %u", name, read, kind->what,
                       kind->header_bytes);
    }
    if (memcmp(header, kind->magic, OM_HEAD_MAGIC_BYTES) != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: no %s: the first 8 bytes are not its magic number", name, kind->what);
    }
    size_t at = kind->header_bytes - sizeof(uint32_t);
    uint32_t stored;
    memcpy(&stored, header + at, sizeof stored);
    uint32_t found = om_crc32c(0, header, at);
    if (found != stored) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "%s: checksum of the header is %08x, the file says %08x", name, found,
                       stored);
    }
    return OMEN_OK;
}

static omen_status_t check_format(const om_head_kind *kind, const char *name, const om_head *head,
                                  omen_error *err)
{
    if (head->format > kind->format) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "%s: %s format %u is newer than %u, the newest that this library reads",
                       name, kind->what, head->format, kind->format);
    }
    if ((head->incompat & ~kind->incompat) != 0) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "%s: the %s needs features %08x, which this library does not know", name,
                       kind->what, head->incompat & ~kind->incompat);
    }
    return OMEN_OK;
}

omen_status_t om_head_check(const om_head_kind *kind, const char *name, const uint8_t *header,
                            size_t read, uint64_t file_bytes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_head head;
    OM_TRY(check_bytes(kind, name, header, read, err));
    memcpy(&head, header, sizeof head);
    OM_TRY(check_format(kind, name, &head, err));
    if (head.format != kind->format || head.header_bytes != kind->header_bytes ||
        head.byte_order != OM_HEAD_BYTE_ORDER) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: format %u, header size %u, byte order mark %08x must be %u, %u, %08x",
                       name, head.format, head.header_bytes, head.byte_order, kind->format,
                       kind->header_bytes, OM_HEAD_BYTE_ORDER);
    }
    if (head.file_bytes != file_bytes) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "%s: the file has %llu bytes, its header says %llu: %s", name,
                       (unsigned long long)file_bytes, (unsigned long long)head.file_bytes,
                       file_bytes < head.file_bytes ? "it was cut off" : "something was appended");
    }
out:
    return status;
}

const char *om_path_tail(const char *path)
{
    size_t length = strlen(path);
    return length < PATH_TAIL ? path : path + length - (PATH_TAIL - 1);
}
