/* sweep.c - removes files that no manifest names any more. SPDX-License-Identifier: Apache-2.0
 *
 * What may go is decided by names alone: a file goes when its name is one that we give, its number was given
 * out before the current manifest was made, and no manifest that is kept names it. Everything else
 * stays, whoever made it. A file that comes back because its removal was not durable is removed again. */
#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "manifest_int.h"

typedef struct name_list {
    const om_alloc *alloc;
    om_name *names;
    size_t count, capacity;
} name_list;

static void free_list(name_list *list)
{
    om_alloc_put(list->alloc, list->names, list->capacity * sizeof *list->names, alignof(om_name));
    *list = (name_list){0};
}

static int add_name(void *arg, const char *text)
{
    name_list *list = arg;
    om_name name;
    om_name_parse(text, &name);
    if (name.kind == OM_NAME_OTHER) {
        return 0;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        om_name *grown =
            om_alloc_grow(list->alloc, list->names, list->capacity * sizeof *list->names,
                          capacity * sizeof *list->names, alignof(om_name));
        if (grown == NULL) {
            return ENOMEM;
        }
        list->names = grown;
        list->capacity = capacity;
    }
    list->names[list->count++] = name;
    return 0;
}

typedef struct tag_list {
    om_tag *tags;
    size_t count, capacity;
} tag_list;

typedef struct sweep {
    const om_io *io;
    const om_alloc *alloc;
    const char *folder;
    const om_manifest *current;
    uint64_t below;    /* ids of segments */
    uint64_t oldest;   /* generation that is kept */
    tag_list segments; /* id, generation of its deaths: what the kept manifests name */
    tag_list serials, cursors;
    omen_status_t failed; /* of the first removal that failed */
    omen_error *err;
} sweep;

/* ---- What is named ---- */
static omen_status_t reserve(const sweep *s, tag_list *list, size_t extra, omen_error *err)
{
    size_t need = list->count + extra;
    if (need <= list->capacity) {
        return OMEN_OK;
    }
    need = need < 2 * list->capacity ? 2 * list->capacity : need;
    om_tag *grown = om_alloc_grow(s->alloc, list->tags, list->capacity * sizeof *list->tags,
                                  need * sizeof *list->tags, alignof(om_tag));
    if (grown == NULL) {
        return om_fail_memory(err, "files that manifests name", need * sizeof *list->tags);
    }
    list->tags = grown;
    list->capacity = need;
    return OMEN_OK;
}

static omen_status_t add_manifest(sweep *s, const om_manifest *m, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(reserve(s, &s->cursors, 1, err));
    s->cursors.tags[s->cursors.count++] = (om_tag){.key = m->cursors};
    OM_TRY(reserve(s, &s->serials, m->collection_count, err));
    for (uint32_t i = 0; i < m->collection_count; i++) {
        const om_manifest_collection *c = &m->collections[i];
        s->serials.tags[s->serials.count++] = (om_tag){.key = c->serial};
        OM_TRY(reserve(s, &s->segments, c->segment_count, err));
        for (uint32_t g = 0; g < c->segment_count; g++) {
            s->segments.tags[s->segments.count++] =
                (om_tag){.key = c->segments[g].id, .value = c->segments[g].deaths};
        }
    }
out:
    return status;
}

/* A kept manifest other than the current one. One that is damaged or just went names nothing: it cannot be
 * followed. */
static omen_status_t add_other(sweep *s, uint64_t generation, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_error why = {0};
    om_path path;
    uint8_t *bytes = NULL;
    size_t size = 0;
    om_manifest m = {0};
    OM_TRY(om_path_manifest(&path, s->folder, generation, &why));
    OM_TRY(om_io_slurp(s->io, s->alloc, path.text, OM_MANIFEST_MAX_BYTES, &bytes, &size, &why));
    OM_TRY(om_manifest_decode(s->alloc, bytes, size, &m, &why));
    OM_TRY(add_manifest(s, &m, &why));
out:
    om_manifest_free(s->alloc, &m);
    om_alloc_put(s->alloc, bytes, bytes == NULL ? 0 : size + 1, 8);
    if (status == OMEN_DATA_LOSS || status == OMEN_NOT_FOUND) {
        return OMEN_OK;
    }
    if (status != OMEN_OK && err != NULL) {
        *err = why;
    }
    return status;
}

static omen_status_t sort_tags(const sweep *s, tag_list *list, omen_error *err)
{
    if (list->count < 2) {
        return OMEN_OK;
    }
    size_t bytes = list->count * sizeof *list->tags;
    om_tag *scratch = om_alloc_get(s->alloc, bytes, alignof(om_tag));
    if (scratch == NULL) {
        return om_fail_memory(err, "files that manifests name", bytes);
    }
    om_tags_sort(list->tags, scratch, list->count);
    om_alloc_put(s->alloc, scratch, bytes, alignof(om_tag));
    return OMEN_OK;
}

static bool has_key(const tag_list *list, uint64_t key)
{
    size_t at = om_tags_find(list->tags, list->count, key);
    return at < list->count && list->tags[at].key == key;
}

static bool has_pair(const tag_list *list, uint64_t key, uint64_t value)
{
    for (size_t at = om_tags_find(list->tags, list->count, key);
         at < list->count && list->tags[at].key == key; at++) {
        if (list->tags[at].value == value) {
            return true;
        }
    }
    return false;
}

static bool is_manifest(const om_name *name)
{
    return name->kind == OM_NAME_MANIFEST && !name->temporary;
}

/* Of the generations up to the current one the newest three are kept, and whatever is newer. */
static void find_oldest(sweep *s, const name_list *list)
{
    s->oldest = s->current->generation;
    for (int kept = 1; kept < OM_MANIFEST_KEPT; kept++) {
        uint64_t next = 0;
        for (size_t i = 0; i < list->count; i++) {
            const om_name *name = &list->names[i];
            if (is_manifest(name) && name->number < s->oldest && name->number > next) {
                next = name->number;
            }
        }
        s->oldest = next == 0 ? s->oldest : next;
    }
}

static omen_status_t find_named(sweep *s, const name_list *list, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    find_oldest(s, list);
    OM_TRY(add_manifest(s, s->current, err));
    for (size_t i = 0; i < list->count; i++) {
        const om_name *name = &list->names[i];
        if (is_manifest(name) && name->number >= s->oldest &&
            name->number != s->current->generation) {
            OM_TRY(add_other(s, name->number, err));
        }
    }
    OM_TRY(sort_tags(s, &s->segments, err));
    OM_TRY(sort_tags(s, &s->serials, err));
    OM_TRY(sort_tags(s, &s->cursors, err));
out:
    return status;
}

/* ---- What goes ---- */
static bool goes(const sweep *s, const om_name *name)
{
    const om_manifest *current = s->current;
    switch (name->kind) {
    case OM_NAME_MANIFEST:
        return name->temporary ? name->number <= current->generation : name->number < s->oldest;
    case OM_NAME_CURSORS:
        return name->number <= current->generation &&
               (name->temporary || !has_key(&s->cursors, name->number));
    default:
        return false;
    }
}

static bool goes_from_folder(const sweep *s, const om_name *name)
{
    if (name->number >= s->below) {
        return false;
    }
    switch (name->kind) {
    case OM_NAME_SEGMENT:
        return name->temporary || !has_key(&s->segments, name->number);
    case OM_NAME_DEATHS:
        return name->deaths <= s->current->generation &&
               (name->temporary || !has_pair(&s->segments, name->number, name->deaths));
    default:
        return false;
    }
}

/* Remembers the first failure; the others would only say the same. */
static void note(sweep *s, omen_status_t status, const omen_error *why)
{
    if (status != OMEN_OK && s->failed == OMEN_OK) {
        s->failed = status;
        if (s->err != NULL) {
            *s->err = *why;
        }
    }
}

static void remove_file(sweep *s, const char *folder, const om_name *name)
{
    omen_error why = {0};
    om_path path;
    omen_status_t status = om_path_join(&path, folder, name->text, &why);
    if (status == OMEN_OK) {
        status = om_io_unlink(s->io, path.text, &why);
    }
    note(s, status, &why);
}

/* The folder of a dropped collection, unless something is in it that is not ours. */
static void remove_folder(sweep *s, const char *path)
{
    omen_error why = {0};
    omen_status_t status = om_io_rmdir(s->io, path, &why);
    if (status != OMEN_OK && why.sys_errno != ENOTEMPTY && why.sys_errno != EEXIST) {
        note(s, status, &why);
    }
}

static omen_status_t sweep_folder(sweep *s, const om_name *folder, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    name_list list = {.alloc = s->alloc};
    om_path path;
    om_io_stat info = {0};
    bool found = false;
    /* Defensive: a name of a manifest, which is longer, had its place. */
    OM_TRY(om_path_join(&path, s->folder, folder->text, err));
    OM_TRY(om_io_look(s->io, path.text, &info, &found, err));
    if (!found || !info.folder) {
        goto out;
    }
    OM_TRY(om_io_list(s->io, path.text, add_name, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        if (goes_from_folder(s, &list.names[i])) {
            remove_file(s, path.text, &list.names[i]);
        }
    }
    if (folder->number < s->current->next_serial && !has_key(&s->serials, folder->number)) {
        remove_folder(s, path.text);
    }
out:
    free_list(&list);
    return status;
}

static void sweep_all(sweep *s, const name_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const om_name *name = &list->names[i];
        if (name->kind == OM_NAME_FOLDER) {
            omen_error why = {0};
            note(s, sweep_folder(s, name, &why), &why);
        } else if (goes(s, name)) {
            remove_file(s, s->folder, name);
        }
    }
}

static void free_tags(const sweep *s, tag_list *list)
{
    om_alloc_put(s->alloc, list->tags, list->capacity * sizeof *list->tags, alignof(om_tag));
}

omen_status_t om_sweep(const om_io *io, const om_alloc *alloc, const om_sweeping *what,
                       omen_error *err)
{
    omen_status_t status = OMEN_OK;
    name_list list = {.alloc = alloc};
    sweep s = {.io = io,
               .alloc = alloc,
               .folder = what->folder,
               .current = what->current,
               .below = om_min_u64(what->segments_below, what->current->next_segment),
               .err = err};
    OM_TRY(om_io_list(io, what->folder, add_name, &list, err));
    OM_TRY(find_named(&s, &list, err));
    sweep_all(&s, &list);
    status = s.failed;
out:
    free_tags(&s, &s.cursors);
    free_tags(&s, &s.serials);
    free_tags(&s, &s.segments);
    free_list(&list);
    return status;
}
