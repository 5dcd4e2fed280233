/* fuzz_dump.c - the reader of dumps, behind its checksums: those of the input are made right first, so that
 * what is fuzzed is what a writer who means harm can send. SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "dump.h"
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_crc(uint8_t *at, uint32_t crc)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(crc >> 8 * i);
    }
}

/* Checksums of the header and of every block that is all there; numbers of blocks, too. */
static void repair(uint8_t *bytes, size_t size)
{
    om_dump_block b;
    uint64_t number = 1;
    if (size < OM_DUMP_HEADER) {
        return;
    }
    put_crc(bytes + OM_DUMP_HEADER - 4, om_wire_crc32c(0, bytes, OM_DUMP_HEADER - 4));
    for (size_t at = OM_DUMP_HEADER; size - at >= OM_DUMP_BLOCK + 4;) {
        if (!om_dump_get_block(bytes + at, &b) || b.bytes > size - at - OM_DUMP_BLOCK - 4) {
            return;
        }
        b.number = number++;
        om_dump_put_block(&b, bytes + at);
        size_t all = OM_DUMP_BLOCK + (size_t)b.bytes;
        put_crc(bytes + at + all, om_wire_crc32c(0, bytes + at, all));
        at += all + 4;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_import_options opt = {.limit = 0};
    om_import *imp = NULL;
    om_tool_error err;
    om_import_rows rows = {.count = 1};
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL || size == 0) {
        free(bytes);
        return 0;
    }
    memcpy(bytes, data, size);
    size_t batch = bytes[0] % 7 + 1u;
    memcpy(bytes, OM_DUMP_MAGIC, size < 8 ? size : 8);
    repair(bytes, size);
    if (om_import_open_memory(bytes, size, "x.omendump", &opt, &imp, &err)) {
        const om_import_info *info = om_import_about(imp);
        if (info->dim == 0 || info->dim > OMEN_MAX_DIM || !info->has_shape) {
            abort();
        }
        uint64_t seen = 0;
        while (rows.count > 0 && om_import_read(imp, batch, &rows, &err)) {
            if (rows.count > batch || rows.ids == NULL || rows.ids->count != rows.count ||
                (rows.metadata != NULL && rows.metadata->count != rows.count)) {
                abort();
            }
            seen += rows.count;
        }
        /* A row has a byte of an id or more, and one value: more rows than bytes cannot be. */
        if (seen > size) {
            abort();
        }
        om_import_free(imp);
    }
    free(bytes);
    return 0;
}
