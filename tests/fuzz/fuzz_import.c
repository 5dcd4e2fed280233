/* fuzz_import.c - the readers of vector files: the first byte chooses the format, the rest is the
 * file, plain or compressed. SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"x.fvecs", "x.bvecs", "x.ivecs", "x.npy",
                                        "x.idx",   "x.jsonl", "unnamed", "x.npy.gz"};
    if (size == 0) {
        return 0;
    }
    uint8_t choice = data[0];
    om_import_options opt = {.offset = (choice & 8) != 0 ? 1 : 0,
                             .limit = (choice & 16) != 0 ? 3 : 0,
                             .bare = choice >> 5 == 7};
    om_import *imp;
    om_tool_error err;
    if (!om_import_open_memory(data + 1, size - 1, names[choice % 8], &opt, &imp, &err)) {
        return 0;
    }
    const om_import_info *info = om_import_about(imp);
    if ((info->dim == 0 && !opt.bare) || info->dim > OMEN_MAX_DIM) {
        abort(); /* what callers size their memory by */
    }
    om_import_rows rows = {.count = 1};
    size_t batch = (size_t)(choice >> 5) + 1;
    uint64_t seen = 0;
    float converted[64];
    while (rows.count > 0 && om_import_read(imp, batch, &rows, &err)) {
        if (rows.count > batch || (rows.ids != NULL && rows.ids->count != rows.count) ||
            (rows.metadata != NULL && rows.metadata->count != rows.count)) {
            abort();
        }
        seen += rows.count;
        size_t n = rows.count * info->dim;
        size_t item;
        (void)om_import_convert(rows.data, info->dtype, converted, OMEN_F32, n < 64 ? n : 64, &item,
                                &err);
        if (seen > 4096) { /* a small compressed file may hold very many rows */
            break;
        }
    }
    om_import_free(imp);
    return 0;
}
