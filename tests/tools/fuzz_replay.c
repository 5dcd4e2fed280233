/* fuzz_replay.c - runs a fuzz target without libFuzzer: every corpus file, every truncation of short
 * ones, and a fixed number of seeded byte changes. Findings of the fuzzer thus stay in every build.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_LIMIT = 1 << 20, MUTATIONS = 200, MAX_TRUNCATIONS = 512 };

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Hands the target a copy of exactly `size` bytes, so that a sanitizer sees a read behind the end. */
static void run_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    copy[0] = 0; /* so that gcc sees no bytes that were never written */
    if (size != 0) {
        memcpy(copy, data, size);
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_with_damage(uint8_t *data, size_t size)
{
    run_copy(data, size);
    size_t step = size / MAX_TRUNCATIONS + 1;
    for (size_t cut = 0; cut < size; cut += step) {
        run_copy(data, cut);
    }
    uint64_t seed = UINT64_C(0x6F6D656E) + size;
    for (int i = 0; i < MUTATIONS && size != 0; i++) {
        size_t at = next_random(&seed) % size;
        uint8_t old = data[at];
        data[at] = (uint8_t)(old ^ (1u << (next_random(&seed) % 8)));
        run_copy(data, size);
        data[at] = old;
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_LIMIT);
    int result = 1;
    if (file != NULL && data != NULL) {
        size_t size = fread(data, 1, INPUT_LIMIT, file);
        if (ferror(file) == 0) {
            run_with_damage(data, size);
            result = 0;
        }
    }
    if (result != 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
    }
    free(data);
    if (file != NULL) {
        (void)fclose(file);
    }
    return result;
}

int main(int argc, char **argv)
{
    static uint8_t zeros[4096];
    run_with_damage(zeros, sizeof zeros);
    int files = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir == NULL) {
            fprintf(stderr, "%s: no such folder\n", argv[i]);
            return 2;
        }
        for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
            char path[4096];
            if (entry->d_name[0] == '.') {
                continue;
            }
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            failed += run_file(path);
            files++;
        }
        (void)closedir(dir);
    }
    printf("%d corpus files replayed, %d unreadable\n", files, failed);
    return failed == 0 ? 0 : 1;
}
