/* model_test.c - every type of id, metric and type of vector: random operations against the model.
 *     model_test [OPERATIONS [SEED [CONFIGURATION]]]
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model.h"

enum { CONFIGURATIONS = 3 * 3 * 4 * 2 };

static model_run configuration(uint32_t n, uint64_t seed)
{
    model_run run = {.seed = seed * 1000 + n};
    run.id_type = 1 + n % 3;
    run.metric = 1 + n / 3 % 3;
    run.dtype = 1 + n / 9 % 4;
    run.quantization = 1 + n / 36;
    run.dim = 1 + model_below(&run, model_below(&run, 4) == 0 ? 4 : MODEL_MAX_DIM);
    run.universe = 300 + model_below(&run, 900);
    return run;
}

int main(int argc, char **argv)
{
    uint32_t ops = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 300;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    uint32_t first = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
    uint32_t last = argc > 3 ? first + 1 : CONFIGURATIONS;
    char dir[] = "model-XXXXXX";
    char path[64];
    if (mkdtemp(dir) == NULL) {
        perror("mkdtemp");
        return 1;
    }
    (void)snprintf(path, sizeof path, "%s/model.omen", dir);
    for (uint32_t n = first; n < last; n++) {
        model_run run = configuration(n, seed);
        run.ops = ops;
        run.path = path;
        printf("configuration %u, seed %llu: id type %u, metric %u, dtype %u, quantization %u, dim "
               "%u\n",
               n, (unsigned long long)seed, run.id_type, run.metric, run.dtype, run.quantization,
               run.dim);
        (void)fflush(stdout);
        model_execute(&run);
        printf("  %u operations, recall %llu of %llu\n", run.ops, (unsigned long long)run.found,
               (unsigned long long)run.wanted);
    }
    (void)unlink(path);
    if (rmdir(dir) != 0) {
        perror("rmdir");
        return 1;
    }
    return 0;
}
