/* model_fail.c - the end of a run that found something. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

_Noreturn void model_fail(const model_run *run, const char *what, const char *file, int line)
{
    fprintf(
        stderr,
        "%s:%d: not so: %s\n  id type %u, metric %u, dtype %u, quantization %u, dim %u, seed %llu, "
        "operation %u (%s), %llu items\n  last error: %d/%d %.232s\n",
        file, line, what, run->id_type, run->metric, run->dtype, run->quantization, run->dim,
        (unsigned long long)run->seed, run->op, run->what, (unsigned long long)run->live,
        run->err.status, run->err.detail, run->err.message);
    exit(1);
}
