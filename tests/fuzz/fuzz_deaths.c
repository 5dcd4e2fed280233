/* fuzz_deaths.c - any bytes as a file of deaths. The first byte as in fuzz_manifest.c; segment and rows are
 * those of the file, so that it gets further. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_memory.h"
#include "manifest_int.h"
#include "segfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 4096, SEGMENT_AT = 40, ROWS_AT = 48, CRC_AT = 52 };

static void reseal(uint8_t *bytes, size_t size)
{
    if (size >= HEADER) {
        uint64_t said = size;
        uint32_t crc = om_crc32c(0, bytes + HEADER, size - HEADER);
        memcpy(bytes, om_deaths_kind.magic, 8);
        memcpy(bytes + offsetof(om_head, file_bytes), &said, sizeof said);
        memcpy(bytes + CRC_AT, &crc, sizeof crc);
        om_head_seal(&om_deaths_kind, bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_deaths deaths;
    uint64_t segment = 0;
    uint32_t rows = 0;
    if (size == 0) {
        return 0;
    }
    uint8_t *bytes = malloc(size);
    need(bytes != NULL, "memory");
    memcpy(bytes, data + 1, size - 1);
    if (data[0] % 2 == 1) {
        reseal(bytes, size - 1);
    }
    if (size > HEADER) {
        memcpy(&segment, bytes + SEGMENT_AT, sizeof segment);
        memcpy(&rows, bytes + ROWS_AT, sizeof rows);
    }
    fuzz_file file = {.bytes = bytes, .size = size - 1};
    const om_io io = {.ops = &fuzz_ops, .ctx = &file};
    omen_status_t status = om_deaths_open(&io, "/f", segment, rows, &deaths, NULL);
    if (status == OMEN_OK) {
        need(deaths.bytes == (rows + UINT64_C(63)) / 64 * 8, "a bit for each row");
        need(rows % 64 == 0 || deaths.words[rows / 64] >> rows % 64 == 0, "and none more");
        om_deaths_close(&io, &deaths);
    } else {
        need_told(status);
    }
    free(bytes);
    return 0;
}
