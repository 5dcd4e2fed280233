/* scan_bench.c - one independent process that sums its own 256 MiB over and over for a second, and
 * prints the bytes a second. Two of them at once tell what two cores of this machine can give.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORDS = 32 << 20, WARM_PASSES = 4 };
static const double SECONDS = 1.0;

static double now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static uint64_t sum_of(const uint64_t *words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < WORDS; i++) {
        sum += words[i];
    }
    return sum;
}

int main(void)
{
    uint64_t *words = malloc((size_t)WORDS * sizeof *words);
    volatile uint64_t sink = 0;
    if (words == NULL) {
        (void)fprintf(stderr, "scan_bench: no memory\n");
        return 1;
    }
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = i;
    }
    for (int i = 0; i < WARM_PASSES; i++) {
        sink += sum_of(words);
    }
    double begin = now();
    double elapsed = 0;
    uint64_t passes = 0;
    while (elapsed < SECONDS) {
        sink += sum_of(words);
        passes++;
        elapsed = now() - begin;
    }
    free(words);
    (void)printf("%.0f\n", (double)passes * WORDS * sizeof *words / elapsed);
    return 0;
}
