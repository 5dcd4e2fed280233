/* wal_format.c - the bytes of log files: header page and frames. FORMAT.md says the same.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "segfile.h"
#include "wal_int.h"

void om_wal_header_seal(const om_wal_header *header, uint8_t page[OM_WAL_HEADER_BYTES])
{
    memset(page, 0, OM_WAL_HEADER_BYTES);
    memcpy(page, header, sizeof *header);
    uint32_t crc = om_crc32c(0, page, OM_WAL_HEADER_CRC_AT);
    memcpy(page + OM_WAL_HEADER_CRC_AT, &crc, sizeof crc);
}

/* Under a right checksum only a hostile or a newer writer gives such values. */
static bool makes_sense(const om_wal_header *header)
{
    return header->header_bytes == OM_WAL_HEADER_BYTES && header->byte_order == OM_WAL_BYTE_ORDER &&
           header->file_bytes >= OM_WAL_HEADER_BYTES + OM_WAL_FRAME_BYTES &&
           header->file_bytes <= (uint64_t)OM_WAL_MAX_FILE && header->first != 0 &&
           header->first <= (uint64_t)INT64_MAX && header->previous_first < header->first &&
           header->durable < header->first && header->epoch != 0;
}

omen_status_t om_wal_header_read(const uint8_t page[OM_WAL_HEADER_BYTES],
                                 const uint8_t database[16], const char *path, om_wal_header *out,
                                 omen_error *err)
{
    uint32_t crc = 0;
    memcpy(out, page, sizeof *out);
    memcpy(&crc, page + OM_WAL_HEADER_CRC_AT, sizeof crc);
    if (memcmp(out->magic, OM_WAL_MAGIC, sizeof out->magic) != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO, "%s: is no log file of OmenDB", path);
    }
    if (om_crc32c(0, page, OM_WAL_HEADER_CRC_AT) != crc) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "%s: wrong checksum of the header",
                       path);
    }
    if (out->format != OM_WAL_FORMAT || (out->incompat & ~OM_WAL_KNOWN_INCOMPAT) != 0) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "%s: log format %u with features 0x%x, this version knows format %u", path,
                       out->format, out->incompat, OM_WAL_FORMAT);
    }
    if (memcmp(out->database, database, sizeof out->database) != 0) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_NONE,
                       "%s: is a log file of another database", path);
    }
    if (!makes_sense(out)) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO, "%s: impossible values in the header", path);
    }
    return OMEN_OK;
}

static uint32_t full_crc(const om_wal_frame *frame, uint32_t payload_crc)
{
    om_wal_frame bare = *frame;
    bare.crc = 0;
    bare.frame_crc = 0;
    return om_crc32c(payload_crc, &bare, sizeof bare);
}

void om_wal_frame_seal(om_wal_frame *frame, uint32_t payload_crc)
{
    frame->crc = full_crc(frame, payload_crc);
    frame->frame_crc = om_crc32c(0, frame, OM_WAL_FRAME_CRC_AT);
}

bool om_wal_frame_holds(const om_wal_frame *frame, uint32_t epoch)
{
    return frame->epoch == epoch && om_crc32c(0, frame, OM_WAL_FRAME_CRC_AT) == frame->frame_crc &&
           frame->frame_bytes == OM_WAL_FRAME_BYTES && frame->bytes <= OM_LOG_MAX_PAYLOAD &&
           frame->durable_back != 0 && frame->durable_back <= frame->lsn;
}

bool om_wal_payload_holds(const om_wal_frame *frame, const uint8_t *payload)
{
    return full_crc(frame, om_crc32c(0, payload, frame->bytes)) == frame->crc;
}
