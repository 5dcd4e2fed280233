/* overwrite_bench.c - what the disk gives to a log: a preallocated, once written file of 256 MiB is
 * overwritten from front to back, with fdatasync after every batch. Prints bytes a second.
 *
 *   overwrite_bench FILE BATCH_BYTES SECONDS
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 256 << 20 };

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_at(int fd, const uint8_t *bytes, size_t size, off_t at)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, bytes, size, at);
        if (done <= 0) {
            perror("overwrite_bench: pwrite");
            exit(1);
        }
        bytes += done;
        at += done;
        size -= (size_t)done;
    }
}

static void sync_data(int fd)
{
    if (fdatasync(fd) != 0) {
        perror("overwrite_bench: fdatasync");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    size_t batch = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
    double seconds = argc == 4 ? strtod(argv[3], NULL) : 0;
    if (batch == 0 || batch > FILE_BYTES || !(seconds > 0)) {
        (void)fprintf(stderr, "usage: overwrite_bench FILE BATCH_BYTES SECONDS\n");
        return 2;
    }
    int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t *bytes = malloc(batch);
    if (fd < 0 || bytes == NULL || posix_fallocate(fd, 0, FILE_BYTES) != 0) {
        perror("overwrite_bench");
        return 1;
    }
    for (size_t i = 0; i < batch; i++) {
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    for (size_t at = 0; at < FILE_BYTES; at += batch) {
        write_at(fd, bytes, batch < FILE_BYTES - at ? batch : FILE_BYTES - at, (off_t)at);
    }
    sync_data(fd);
    double begin = now();
    double done = 0;
    for (size_t at = 0; now() - begin < seconds; done += (double)batch) {
        write_at(fd, bytes, batch, (off_t)at);
        sync_data(fd);
        at = at + 2 * batch <= FILE_BYTES ? at + batch : 0;
    }
    (void)printf("%.0f\n", done / (now() - begin));
    free(bytes);
    (void)close(fd);
    (void)unlink(argv[1]);
    return 0;
}
