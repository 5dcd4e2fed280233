/* manifest_load.c - finds the manifest that counts. SPDX-License-Identifier: Apache-2.0
 *
 * A generation counts when it can be read and when every file that it names is there: segments with their
 * size and the checksum of the header page, so that everything else has a checksum that can be followed;
 * deaths and cursors, which are small, as a whole. Only damage makes an older generation count. A disk that
 * fails to read, too little memory or a newer format end the search: what an older generation does not
 * know would be lost without need. */
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "manifest_int.h"
#include "segfile_int.h"

enum { MAX_GENERATIONS = 64 }; /* more are a folder that nobody sweeps; the newest ones are tried */

typedef struct folder_list {
    uint64_t generation[MAX_GENERATIONS]; /* descending */
    uint32_t count;
    char other[OM_NAME_TEXT]; /* something that no unfinished creation leaves */
} folder_list;

static void add_generation(folder_list *list, uint64_t generation)
{
    uint32_t at = list->count;
    while (at > 0 && list->generation[at - 1] < generation) {
        at--;
    }
    if (at == MAX_GENERATIONS) {
        return;
    }
    uint32_t last = list->count < MAX_GENERATIONS ? list->count : MAX_GENERATIONS - 1;
    memmove(&list->generation[at + 1], &list->generation[at],
            (last - at) * sizeof list->generation[0]);
    list->generation[at] = generation;
    list->count = last + 1;
}

static int add_entry(void *arg, const char *text)
{
    folder_list *list = arg;
    om_name name;
    om_name_parse(text, &name);
    if (name.temporary) {
        return 0;
    }
    if (name.kind == OM_NAME_MANIFEST) {
        add_generation(list, name.number);
    } else if (strcmp(text, "LOCK") != 0 && strcmp(text, "wal") != 0 &&
               strcmp(text, "lost+found") != 0) {
        (void)snprintf(list->other, sizeof list->other, "%s", text);
    }
    return 0;
}

/* Size and header page of a segment file are those that the manifest was written for. */
static omen_status_t check_segment(const om_io *io, const om_path *path,
                                   const om_manifest_segment *seg, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_iofile file = {.fd = -1};
    uint8_t page[OM_SEG_HEADER_BYTES];
    uint64_t bytes;
    uint32_t stored;
    OM_TRY(om_io_open(io, path->text, 0, &file, err));
    OM_TRY(om_io_size(&file, &bytes, err));
    if (bytes != seg->file_bytes) {
        status =
            om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                    "%s: the file has %llu bytes, the manifest says %llu", om_path_tail(path->text),
                    (unsigned long long)bytes, (unsigned long long)seg->file_bytes);
        goto out;
    }
    OM_TRY(om_io_read(&file, page, sizeof page, 0, err));
    memcpy(&stored, page + OM_SEG_HEADER_CRC_AT, sizeof stored);
    uint32_t found = om_crc32c(0, page, OM_SEG_HEADER_CRC_AT);
    if (found != stored || stored != seg->header_crc) {
        status =
            om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                    "%s: checksum of the header is %08x, the file says %08x, the manifest %08x",
                    om_path_tail(path->text), found, stored, seg->header_crc);
    }
out:
    om_io_close(&file);
    return status;
}

static omen_status_t check_collection(const om_io *io, const char *folder,
                                      const om_manifest_collection *c, om_path *path,
                                      omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < c->segment_count; i++) {
        const om_manifest_segment *seg = &c->segments[i];
        OM_TRY(om_path_segment(path, folder, c->serial, seg->id, err));
        OM_TRY(check_segment(io, path, seg, err));
        if (seg->deaths != 0) {
            OM_TRY(om_path_deaths(path, folder, c->serial, seg->id, seg->deaths, err));
            OM_TRY(om_deaths_probe(io, path->text, seg->id, seg->rows, err));
        }
    }
out:
    return status;
}

static omen_status_t check_files(const om_io *io, const om_alloc *alloc, const char *folder,
                                 const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_path path;
    for (uint32_t i = 0; i < m->collection_count; i++) {
        OM_TRY(check_collection(io, folder, &m->collections[i], &path, err));
    }
    if (m->cursors != 0) {
        /* Defensive: the name of the manifest, which had its place, is longer. */
        OM_TRY(om_path_cursors(&path, folder, m->cursors, err));
        OM_TRY(om_cursors_probe(io, alloc, path.text, err));
    }
out:
    return status;
}

static omen_status_t load_one(const om_io *io, const om_alloc *alloc, const char *folder,
                              uint64_t generation, om_manifest *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_manifest m = {0};
    om_path path;
    uint8_t *bytes = NULL;
    size_t size = 0;
    OM_TRY(om_path_manifest(&path, folder, generation, err));
    OM_TRY(om_io_slurp(io, alloc, path.text, OM_MANIFEST_MAX_BYTES, &bytes, &size, err));
    OM_TRY(om_manifest_decode(alloc, bytes, size, &m, err));
    if (m.generation != generation) {
        status =
            om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                    "%s: it holds generation %llu, the name says %llu", om_path_tail(path.text),
                    (unsigned long long)m.generation, (unsigned long long)generation);
        goto out;
    }
    OM_TRY(check_files(io, alloc, folder, &m, err));
    *out = m;
    m = (om_manifest){0};
out:
    om_manifest_free(alloc, &m);
    om_alloc_put(alloc, bytes, bytes == NULL ? 0 : size + 1, 8);
    return status;
}

/* There is no manifest. Whatever else is there was not made by us, or is what is left of a database. */
static omen_status_t fail_none(const char *folder, const folder_list *list, omen_error *err)
{
    if (list->other[0] == '\0') {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NONE, "%s: there is no database",
                       om_path_tail(folder));
    }
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                   "%s: no database: there is '%s', but no " OM_MANIFEST_KEY, om_path_tail(folder),
                   list->other);
}

omen_status_t om_manifest_load(const om_io *io, const om_alloc *alloc, const char *folder,
                               om_manifest *out, uint32_t *skipped, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    folder_list list = {.count = 0};
    omen_error why = {0}, newest = {0};
    OM_TRY(om_io_list(io, folder, add_entry, &list, err));
    if (list.count == 0) {
        return fail_none(folder, &list, err);
    }
    for (uint32_t i = 0; i < list.count; i++) {
        status = load_one(io, alloc, folder, list.generation[i], out, &why);
        if (status == OMEN_OK) {
            out->newest = list.generation[0];
            (void)snprintf(out->trouble, sizeof out->trouble, "%.159s", newest.message);
            *skipped = i;
            return OMEN_OK;
        }
        newest = i == 0 ? why : newest;
        if (status != OMEN_DATA_LOSS && status != OMEN_NOT_FOUND) {
            if (err != NULL) {
                *err = why;
            }
            return status;
        }
    }
    return om_fail(err, OMEN_DATA_LOSS, newest.detail,
                   "%s: none of %u manifests can be used; the newest, %016llx: %.120s",
                   om_path_tail(folder), list.count, (unsigned long long)list.generation[0],
                   newest.message);
out:
    return status;
}
