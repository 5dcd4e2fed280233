/* cmd_estimate.c - what a collection will take, before there is one. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"

bool om_cmd_estimate(const om_args *args, om_tool_error *err)
{
    omen_options opt;
    omen_estimate_result e = {.struct_size = sizeof e};
    omen_error why;
    if (args->rows == 0) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--rows is needed: the number of items");
    }
    if (!om_shape_from_args(args, 0, 0, &opt, err) ||
        !om_check_range("--id-bytes", args->id_bytes, 1, OMEN_MAX_STRING_ID, err)) {
        return false;
    }
    if (omen_estimate(&opt, args->rows, (uint32_t)args->id_bytes, &e, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    if (args->json) {
        om_out_object(json_pack("{s:I, s:i, s:I, s:I, s:I, s:I}", "rows", (json_int_t)args->rows,
                                "dim", (int)opt.dim, "memory_serving_bytes",
                                (json_int_t)e.memory_serving, "memory_growing_bytes",
                                (json_int_t)e.memory_growing, "disk_bytes", (json_int_t)e.disk,
                                "disk_peak_bytes", (json_int_t)e.disk_peak));
        return true;
    }
    char rows[32], a[32], b[32], c[32], d[32], sum[32];
    (void)printf("%s items of %u x %s\n", om_out_count(rows, args->rows), opt.dim,
                 om_tool_dtype_name(opt.dtype));
    (void)printf("  memory, serving   %s  codes, links and ids; in memory or page cache\n",
                 om_out_bytes(a, e.memory_serving));
    (void)printf("  memory, writing   %s  more, at most, while rows come in and segments merge\n",
                 om_out_bytes(b, e.memory_growing));
    (void)printf("  in all            %s\n",
                 om_out_bytes(sum, e.memory_serving + e.memory_growing));
    (void)printf("  disk              %s  once merged\n", om_out_bytes(c, e.disk));
    (void)printf("  disk, at most     %s  while merging\n", om_out_bytes(d, e.disk_peak));
    return true;
}
