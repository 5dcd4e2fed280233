/* wal_names.c - what lies in the log's folder: log files and spares. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "wal_int.h"

enum { HEX_DIGITS = 16, FIRST_CAPACITY = 16, NAME_BYTES = 40 };
#define FILE_SUFFIX ".wal"
#define SPARE_PREFIX "spare-"

void om_wal_path_join(om_wal_path *out, const char *folder, const char *name)
{
    int length = snprintf(out->text, sizeof out->text, "%s/%s", folder, name);
    om_assert(length > 0 && (size_t)length < sizeof out->text);
    if (length < 0 || (size_t)length >= sizeof out->text) { /* cover: opening has checked it */
        out->text[0] = '\0'; /* a cut path must not name another file */
    }
}

void om_wal_path_file(om_wal_path *out, const om_wal *wal, uint64_t first)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%016" PRIx64 FILE_SUFFIX, first);
    om_wal_path_join(out, wal->folder.text, name);
}

void om_wal_path_spare(om_wal_path *out, const om_wal *wal, uint64_t number)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, SPARE_PREFIX "%016" PRIx64, number);
    om_wal_path_join(out, wal->folder.text, name);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool om_wal_name_number(const char *name, const char *prefix, const char *suffix, uint64_t *out)
{
    size_t skip = strlen(prefix);
    if (strlen(name) != skip + HEX_DIGITS + strlen(suffix) || strncmp(name, prefix, skip) != 0 ||
        strcmp(name + skip + HEX_DIGITS, suffix) != 0) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < HEX_DIGITS; i++) {
        int digit = hex_digit(name[skip + i]);
        if (digit < 0) {
            return false;
        }
        *out = *out << 4 | (uint64_t)digit;
    }
    return true;
}

omen_status_t om_wal_names_reserve(const om_wal *wal, om_wal_names *names, uint32_t count,
                                   omen_error *err)
{
    if (count <= names->capacity) {
        return OMEN_OK;
    }
    if (count > OM_WAL_MAX_FILES) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "%s: more than %d files of the log", wal->folder.text, OM_WAL_MAX_FILES);
    }
    uint32_t capacity = om_max_u32(FIRST_CAPACITY, names->capacity * 2);
    om_wal_name *items =
        om_alloc_grow(wal->alloc, names->items, names->capacity * sizeof names->items[0],
                      capacity * sizeof names->items[0], alignof(om_wal_name));
    if (items == NULL) {
        return om_fail_memory(err, "names of log files", capacity * sizeof names->items[0]);
    }
    names->items = items;
    names->capacity = capacity;
    return OMEN_OK;
}

/* Folders come in any order, but new files at the end. */
void om_wal_names_add(om_wal_names *names, uint64_t number, uint64_t bytes)
{
    om_assert(names->count < names->capacity);
    uint32_t at = names->count++;
    for (; at > 0 && names->items[at - 1].number > number; at--) {
        names->items[at] = names->items[at - 1];
    }
    names->items[at] = (om_wal_name){.number = number, .bytes = bytes};
}

void om_wal_names_remove(om_wal_names *names, uint32_t index)
{
    om_assert(index < names->count);
    names->count--;
    memmove(&names->items[index], &names->items[index + 1],
            (names->count - index) * sizeof names->items[0]);
}

void om_wal_names_free(const om_wal *wal, om_wal_names *names)
{
    om_alloc_put(wal->alloc, names->items, names->capacity * sizeof names->items[0],
                 alignof(om_wal_name));
    *names = (om_wal_names){0};
}

uint32_t om_wal_names_find(const om_wal_names *names, uint64_t number)
{
    uint32_t low = 0, high = names->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (names->items[middle].number <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1; /* of 0: UINT32_MAX */
}

bool om_wal_names_same(const om_wal_names *a, const om_wal_names *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        same = a->items[i].number == b->items[i].number;
    }
    return same;
}

typedef struct listing {
    const om_wal *wal;
    om_wal_names *files, *spares;
    omen_error *err;
    omen_status_t failed;
} listing;

static int list_entry(void *arg, const char *name)
{
    listing *list = arg;
    uint64_t number = 0;
    om_wal_names *names = NULL;
    if (om_wal_name_number(name, "", FILE_SUFFIX, &number)) {
        names = list->files;
    } else if (om_wal_name_number(name, SPARE_PREFIX, "", &number)) {
        names = list->spares;
    } else {
        return 0; /* Not ours: left alone. */
    }
    list->failed = om_wal_names_reserve(list->wal, names, names->count + 1, list->err);
    if (list->failed != OMEN_OK) {
        return ECANCELED;
    }
    om_wal_names_add(names, number, 0);
    return 0;
}

/* A file that went away meanwhile (a reader beside the writer) has size 0. */
static omen_status_t fill_sizes(const om_wal *wal, om_wal_names *names, bool spares,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < names->count; i++) {
        om_wal_path path;
        om_io_stat info;
        bool found = false;
        uint64_t number = names->items[i].number;
        spares ? om_wal_path_spare(&path, wal, number) : om_wal_path_file(&path, wal, number);
        OM_TRY(om_io_look(wal->io, path.text, &info, &found, err));
        names->items[i].bytes = info.bytes;
    }
out:
    return status;
}

omen_status_t om_wal_list(const om_wal *wal, om_wal_names *files, om_wal_names *spares,
                          omen_error *err)
{
    omen_status_t status = OMEN_OK;
    listing list = {.wal = wal, .files = files, .spares = spares, .err = err};
    files->count = 0;
    spares->count = 0;
    int failed = wal->io->ops->list(wal->io->ctx, wal->folder.text, list_entry, &list);
    if (failed == ENOENT) {
        return OMEN_OK;
    }
    if (list.failed != OMEN_OK) {
        return list.failed;
    }
    if (failed != 0) {
        return om_fail_errno(err, OMEN_UNAVAILABLE, failed, "%s: cannot list the folder",
                             wal->folder.text);
    }
    OM_TRY(fill_sizes(wal, files, false, err));
    OM_TRY(fill_sizes(wal, spares, true, err));
out:
    return status;
}
