/* fuzz_segfile.c - opens and reads any bytes as a segment file. SPDX-License-Identifier: Apache-2.0
 *
 * The first byte chooses: odd, the checksums of table, header and tail are made right and the size
 * in the header is set, since otherwise no change would get past them; even, the file is as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "segfile_int.h"
#include "store_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const om_alloc libc_alloc;

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* One file in memory for all inputs. */
static int file_in_memory(void)
{
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        need(fd >= 0, "memfd_create");
    }
    return fd;
}

static void read_section(om_segfile *file, const om_seg_entry *entry, uint64_t size)
{
    omen_error err;
    om_section section;
    volatile uint8_t sum = 0;
    need(om_segfile_section(file, entry->kind, entry->vector_index, 0, 0, &section, &err) ==
             OMEN_OK,
         "a section of the table is found");
    need(section.data != NULL && section.bytes <= size, "a section lies in the file");
    uint64_t half = section.bytes / 2;
    if (om_segfile_verify(file, &section, half, section.bytes - half, &err) == OMEN_OK &&
        om_segfile_verify(file, &section, 0, half, &err) == OMEN_OK) {
        for (uint64_t at = 0; at < section.bytes; at++) {
            sum = (uint8_t)(sum + section.data[at]);
        }
    } else {
        need(err.status == OMEN_DATA_LOSS, "a wrong checksum is data loss");
    }
    need(om_segfile_verify(file, &section, section.bytes, 1, &err) == OMEN_DATA_LOSS,
         "a range behind the section is refused");
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    bool reseal = data[0] % 2 == 1;
    size--;
    uint8_t *bytes = malloc(size + 1);
    need(bytes != NULL, "memory");
    memcpy(bytes, data + 1, size);
    if (reseal && size >= OM_SEG_HEADER_BYTES + sizeof(om_seg_tail)) {
        uint64_t said = size;
        memcpy(bytes, OM_SEG_MAGIC, 8);
        memcpy(bytes + offsetof(om_seg_header, file_bytes), &said, sizeof said);
        sample_reseal(bytes, size);
    }
    int fd = file_in_memory();
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    need(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size, "write");
    free(bytes);

    om_segfile *file = NULL;
    omen_error err;
    omen_status_t status = om_segfile_open(&om_io_system, &libc_alloc, path, &file, &err);
    if (status != OMEN_OK) {
        need(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED, "the status of a bad file");
        return 0;
    }
    for (uint32_t i = 0; i < file->header.sections; i++) {
        read_section(file, &file->entries[i], size);
    }
    status = om_segfile_verify_all(file, NULL, &err);
    need(status == OMEN_OK || status == OMEN_DATA_LOSS, "the status of verify_all");
    om_segfile_close(file);
    return 0;
}
