/* fuzz_open.c - opens any bytes as a collection and reads all of it through omen.h.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The first reserved byte of the header chooses, 0 in files that were written: bit 0, leave the
 * checksums as they are (else they are made right, since no change would get past them); bit 1, ask for
 * the full check at open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "omen.h"
#include "segfile_int.h"
#include "store_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MANY = 64, MOST_DIM = 4096 };

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* A file that is damaged where it is not looked at in time may fail later, in this way only. */
static void allowed(omen_status_t status)
{
    need(status == OMEN_OK || status == OMEN_DATA_LOSS || status == OMEN_RESOURCE_EXHAUSTED ||
             status == OMEN_NOT_FOUND,
         "the status of reading a damaged file");
}

static int file_in_memory(void)
{
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        need(fd >= 0, "memfd_create");
    }
    return fd;
}

static omen_db *one_db(void)
{
    static omen_db *db = NULL;
    static omen_runtime *runtime = NULL;
    if (db == NULL) {
        const omen_runtime_options options = {
            .struct_size = sizeof options, .threads = 1, .memory_limit = 256u << 20};
        need(omen_runtime_create(&options, &runtime, NULL) == OMEN_OK, "runtime");
        const omen_db_options with = {.struct_size = sizeof with, .runtime = runtime};
        need(omen_db_open(NULL, &with, &db, NULL) == OMEN_OK, "database");
    }
    return db;
}

static void search(omen_collection *c, uint32_t dim, uint32_t flags)
{
    static float vector[MOST_DIM];
    uint64_t keys[10];
    float distances[10];
    for (uint32_t d = 0; d < dim; d++) {
        vector[d] = (float)(d % 7);
    }
    const omen_query query = {.struct_size = sizeof query,
                              .flags = flags,
                              .vectors = vector,
                              .dtype = OMEN_F32,
                              .dim = dim,
                              .count = 1,
                              .k = 10,
                              .threads = 1};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .distances = distances};
    allowed(omen_search(c, &query, &hits, NULL));
}

static void read_items(omen_collection *c, const omen_options *options)
{
    static uint8_t vectors[MANY * MOST_DIM * 4];
    uint64_t keys[MANY];
    uint64_t back[MANY];
    uint8_t found[MANY];
    uint64_t cursor = 0;
    uint64_t count = 0;
    omen_status_t status = omen_scan(c, &cursor, keys, MANY, &count, NULL);
    allowed(status);
    if (status != OMEN_OK) {
        return;
    }
    need(count <= MANY, "scan keeps to the capacity");
    allowed(omen_get_vectors(c, keys, count, vectors, 0, OMEN_F32, found, NULL));
    omen_rows *rows = NULL;
    status = omen_fetch(c, keys, count, OMEN_FIELD_ID, &rows, NULL);
    allowed(status);
    if (status == OMEN_OK) {
        omen_column ids;
        omen_rows_column(rows, OMEN_FIELD_ID, &ids);
        status = omen_lookup(c, &ids, count, back, NULL);
        /* Ids that the file made up may be of a length that no id has. */
        need(status == OMEN_INVALID_ARGUMENT || status == OMEN_OK || status == OMEN_DATA_LOSS,
             "the status of a lookup");
        omen_rows_free(rows);
    }
    (void)options;
}

static void read_collection(omen_collection *c)
{
    omen_options options = {.struct_size = sizeof options};
    omen_stats stats = {.struct_size = sizeof stats};
    uint64_t count = 0;
    need(omen_describe(c, &options, NULL) == OMEN_OK, "describe");
    need(options.dim >= 1 && options.dim <= OMEN_MAX_DIM, "the dimension is in its range");
    need(omen_get_stats(c, &stats, NULL) == OMEN_OK, "stats");
    allowed(omen_count(c, &count, NULL));
    if (options.dim <= MOST_DIM) {
        read_items(c, &options);
        search(c, options.dim, 0);
        search(c, options.dim, OMEN_GRAPH_ONLY);
        search(c, options.dim, OMEN_EXACT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t choice_at = offsetof(om_seg_header, reserved);
    uint8_t choice = size > choice_at ? data[choice_at] : 0;
    uint8_t *bytes = malloc(size + 1);
    need(bytes != NULL, "memory");
    if (size != 0) {
        memcpy(bytes, data, size);
    }
    if ((choice & 1) == 0 && size >= OM_SEG_HEADER_BYTES + sizeof(om_seg_tail)) {
        uint64_t said = size;
        memcpy(bytes, OM_SEG_MAGIC, 8);
        memcpy(bytes + offsetof(om_seg_header, file_bytes), &said, sizeof said);
        sample_reseal_blocks(bytes, size);
    }
    int fd = file_in_memory();
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    need(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size, "write");
    free(bytes);

    const omen_open_options options = {.struct_size = sizeof options,
                                       .flags = (choice & 2) != 0 ? OMEN_OPEN_VERIFY : 0,
                                       .file = path,
                                       .warm = OMEN_WARM_NONE};
    omen_collection *c = NULL;
    omen_error err;
    omen_status_t status = omen_open(one_db(), "fuzz", &options, &c, &err);
    if (status == OMEN_OK) {
        read_collection(c);
        need(omen_drop(one_db(), "fuzz", NULL) == OMEN_OK, "drop");
        omen_collection_free(c);
    } else {
        need(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED ||
                 status == OMEN_RESOURCE_EXHAUSTED,
             "the status of a bad file");
    }
    return 0;
}
