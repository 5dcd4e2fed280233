/* fuzz_backup.c - any text as the list of a backup. The first byte: odd, a right last line is appended.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backupfile.h"
#include "fuzz_memory.h"
#include "segfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LAST_LINE = 13 };
static const om_alloc libc_alloc;

static void check(const om_backup_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const om_backup_file *file = &list->files[i];
        need(om_backup_list_find(list, file->name) == file, "a file is found by its name");
        need(strstr(file->name, "..") == NULL || file->name[0] != '.', "no way out of the folder");
        need(file->name[0] != '/' && strstr(file->name, "/.") == NULL, "no way out of the folder");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_backup_list list = {.count = 0};
    if (size == 0) {
        return 0;
    }
    char *text = malloc(size + LAST_LINE + 1);
    need(text != NULL, "memory");
    memcpy(text, data + 1, size - 1);
    fuzz_file file = {.bytes = (const uint8_t *)text, .size = size - 1};
    if (data[0] % 2 == 1) {
        (void)snprintf(text + file.size, LAST_LINE + 1, "end %08x\n",
                       om_crc32c(0, text, file.size));
        file.size += LAST_LINE;
    }
    const om_io io = {.ops = &fuzz_ops, .ctx = &file};
    omen_status_t status = om_backup_list_read(&io, &libc_alloc, "/f", &list, NULL);
    if (status == OMEN_OK) {
        check(&list);
        om_backup_list_free(&libc_alloc, &list);
    } else {
        need_told(status);
    }
    free(text);
    return 0;
}
