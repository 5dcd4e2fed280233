/* fuzz_cursors.c - any bytes as a file of cursors. The first byte as in fuzz_manifest.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_memory.h"
#include "manifest_int.h"
#include "segfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 64, BODY_CRC_AT = 56 };
static const om_alloc libc_alloc;

static void reseal(uint8_t *bytes, size_t size)
{
    if (size >= HEADER) {
        uint64_t said = size;
        uint32_t crc = om_crc32c(0, bytes + HEADER, size - HEADER);
        memcpy(bytes, om_cursors_kind.magic, 8);
        memcpy(bytes + offsetof(om_head, file_bytes), &said, sizeof said);
        memcpy(bytes + BODY_CRC_AT, &crc, sizeof crc);
        om_head_seal(&om_cursors_kind, bytes);
    }
}

static void check(const om_cursors *c)
{
    for (uint32_t i = 0; i < c->cursor_count; i++) {
        need(c->cursors[i].length >= 1 && c->cursors[i].length <= OMEN_MAX_STREAM_ID, "length");
        need(c->cursors[i].collection != 0, "collection");
        need(i == 0 || c->cursors[i - 1].collection <= c->cursors[i].collection, "order");
    }
    for (uint32_t i = 0; i < c->request_count; i++) {
        need(c->requests[i].length >= 1 && c->requests[i].length <= OMEN_MAX_REQUEST_ID, "length");
        need(c->requests[i].collection != 0, "collection");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_cursors cursors = {0};
    if (size == 0) {
        return 0;
    }
    uint8_t *bytes = malloc(size);
    need(bytes != NULL, "memory");
    memcpy(bytes, data + 1, size - 1);
    if (data[0] % 2 == 1) {
        reseal(bytes, size - 1);
    }
    fuzz_file file = {.bytes = bytes, .size = size - 1};
    const om_io io = {.ops = &fuzz_ops, .ctx = &file};
    omen_status_t status = om_cursors_read(&io, &libc_alloc, "/f", &cursors, NULL);
    if (status == OMEN_OK) {
        need(om_cursors_probe(&io, &libc_alloc, "/f", NULL) == OMEN_OK, "the probe agrees");
        check(&cursors);
        om_cursors_free(&libc_alloc, &cursors);
    } else {
        need_told(status);
    }
    free(bytes);
    return 0;
}
