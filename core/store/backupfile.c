/* backupfile.c - the list of a backup: text that people can read, taken in one form only.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Reading is strict by construction: what was understood is written again in memory and must give the same
 * bytes. So there is one text for each list, and no rule of the form can be forgotten here. */
#include "backupfile.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "filehead.h"
#include "manifest.h"
#include "order.h"
#include "segfile.h"

enum { FORMAT = 1, HEAD_TEXT = 160, LINE_TEXT = 100, END_TEXT = 13 };
static const char first_words[] = "omendb-backup ";

void om_backup_list_free(const om_alloc *alloc, om_backup_list *list)
{
    om_alloc_put(alloc, list->files, list->capacity * sizeof *list->files, alignof(om_backup_file));
    *list = (om_backup_list){0};
}

/* Letters, digits, '.', '_' and '-' in one or two parts, none of which begins with a dot; nothing that a
 * backup has beside its files. */
static bool name_is_good(const char *name)
{
    size_t length = strnlen(name, OM_BACKUP_MAX_NAME + 1u), slashes = 0;
    bool good = length >= 1 && length <= OM_BACKUP_MAX_NAME;
    bool begins = true;
    for (size_t i = 0; good && i < length; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '-';
        slashes += c == '/';
        good = letter || (!begins && (c == '.' || (c == '/' && slashes == 1)));
        begins = c == '/';
    }
    return good && !begins && strcmp(name, OM_BACKUP_LIST) != 0 && strcmp(name, "LOCK") != 0;
}

omen_status_t om_backup_list_add(const om_alloc *alloc, om_backup_list *list,
                                 const om_backup_file *file, omen_error *err)
{
    if (!name_is_good(file->name)) {
        return om_fail(err, OMEN_INTERNAL, OMEN_D_NAME, "backup: '%.63s' is no name for its list",
                       file->name);
    }
    if (list->count == OM_BACKUP_MAX_FILES) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "backup: more files than the limit of %d", OM_BACKUP_MAX_FILES);
    }
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        om_backup_file *grown =
            om_alloc_grow(alloc, list->files, list->capacity * sizeof *list->files,
                          capacity * sizeof *list->files, alignof(om_backup_file));
        if (grown == NULL) {
            return om_fail_memory(err, "list of a backup", capacity * sizeof *list->files);
        }
        list->files = grown;
        list->capacity = capacity;
    }
    list->files[list->count++] = *file;
    return OMEN_OK;
}

const om_backup_file *om_backup_list_find(const om_backup_list *list, const char *name)
{
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(list->files[middle].name, name);
        if (order == 0) {
            return &list->files[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

uint64_t om_backup_list_bytes(const om_backup_list *list)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        sum += list->files[i].bytes;
    }
    return sum;
}

/* ---- Writing ---- */
static int compare_names(const void *files, uint32_t a, uint32_t b)
{
    const om_backup_file *all = files;
    return strcmp(all[a].name, all[b].name);
}

static omen_status_t sort(const om_alloc *alloc, om_backup_list *list, omen_error *err)
{
    size_t order_bytes = list->count * sizeof(uint32_t);
    size_t bytes = list->capacity * sizeof *list->files;
    if (list->count == 0) {
        return OMEN_OK;
    }
    uint32_t *order = om_alloc_get(alloc, order_bytes, alignof(uint32_t));
    om_backup_file *sorted = om_alloc_get(alloc, bytes, alignof(om_backup_file));
    if (order == NULL || sorted == NULL) {
        om_alloc_put(alloc, order, order_bytes, alignof(uint32_t));
        om_alloc_put(alloc, sorted, bytes, alignof(om_backup_file));
        return om_fail_memory(err, "list of a backup", bytes + order_bytes);
    }
    om_order_sort(order, list->count, compare_names, list->files);
    for (uint32_t i = 0; i < list->count; i++) {
        sorted[i] = list->files[order[i]];
    }
    om_alloc_put(alloc, order, order_bytes, alignof(uint32_t));
    om_alloc_put(alloc, list->files, bytes, alignof(om_backup_file));
    list->files = sorted;
    return OMEN_OK;
}

static void put_hex(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

/* The text of a sorted list; *capacity is what to give back. */
static omen_status_t encode(const om_alloc *alloc, const om_backup_list *list, char **out,
                            size_t *length, size_t *capacity, omen_error *err)
{
    size_t room = HEAD_TEXT + (size_t)list->count * LINE_TEXT + END_TEXT + 1;
    char *text = om_alloc_get(alloc, room, 1);
    char database[2 * sizeof list->database + 1];
    if (text == NULL) {
        return om_fail_memory(err, "text of a list of a backup", room);
    }
    put_hex(database, list->database, sizeof list->database);
    size_t at =
        (size_t)snprintf(text, room, "%s%d\ndatabase %s\ngeneration %llu\nversion %llu\nfiles %u\n",
                         first_words, FORMAT, database, (unsigned long long)list->generation,
                         (unsigned long long)list->version, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const om_backup_file *file = &list->files[i];
        at += (size_t)snprintf(text + at, room - at, "%08x %llu %s\n", file->crc,
                               (unsigned long long)file->bytes, file->name);
    }
    at += (size_t)snprintf(text + at, room - at, "end %08x\n", om_crc32c(0, text, at));
    om_assert(at < room);
    *out = text;
    *length = at;
    *capacity = room;
    return OMEN_OK;
}

omen_status_t om_backup_list_write(const om_io *io, const om_alloc *alloc, const char *folder,
                                   om_backup_list *list, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    char *text = NULL;
    size_t length = 0, capacity = 0;
    om_path path;
    OM_TRY(sort(alloc, list, err));
    for (uint32_t i = 1; i < list->count; i++) {
        if (strcmp(list->files[i - 1].name, list->files[i].name) == 0) {
            return om_fail(err, OMEN_INTERNAL, OMEN_D_NAME, "backup: '%s' is listed twice",
                           list->files[i].name);
        }
    }
    OM_TRY(om_path_join(&path, folder, OM_BACKUP_LIST, err));
    OM_TRY(encode(alloc, list, &text, &length, &capacity, err));
    status = om_io_put(io, path.text, text, length, err);
    om_alloc_put(alloc, text, capacity, 1);
out:
    return status;
}

/* ---- Reading ---- */
typedef struct reader {
    const char *name; /* for messages */
    const char *at, *end;
    omen_error *err;
} reader;

static omen_status_t fail_form(const reader *r, const char *what)
{
    return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_NONE, "%s: damaged list of a backup: %s", r->name,
                   what);
}

static bool take(reader *r, const char *words)
{
    size_t length = strlen(words);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, words, length) != 0) {
        return false;
    }
    r->at += length;
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* Digits of a base until something else comes; false: there is none, or the number is above `most`. */
static bool take_number(reader *r, uint64_t base, uint64_t most, uint64_t *out)
{
    const char *begin = r->at;
    uint64_t sum = 0;
    for (; r->at < r->end && (uint64_t)digit_of(*r->at) < base; r->at++) {
        uint64_t digit = (uint64_t)digit_of(*r->at);
        if (sum > (most - digit) / base) {
            return false;
        }
        sum = sum * base + digit;
    }
    *out = sum;
    return r->at != begin;
}

static bool take_database(reader *r, uint8_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (r->end - r->at < 2 || digit_of(r->at[0]) > 15 || digit_of(r->at[1]) > 15) {
            return false;
        }
        out[i] = (uint8_t)(digit_of(r->at[0]) << 4 | digit_of(r->at[1]));
        r->at += 2;
    }
    return true;
}

/* The last line holds the checksum of everything before it. */
static omen_status_t check_end(reader *r)
{
    uint64_t stored = 0;
    size_t size = (size_t)(r->end - r->at);
    if (size < END_TEXT) {
        return fail_form(r, "it was cut off");
    }
    reader last = {.at = r->end - END_TEXT, .end = r->end};
    if (!take(&last, "end ") || !take_number(&last, 16, UINT32_MAX, &stored) ||
        !take(&last, "\n") || last.at != last.end) {
        return fail_form(r, "its last line is not there");
    }
    uint32_t found = om_crc32c(0, r->at, size - END_TEXT);
    if (found != stored) {
        return om_fail(r->err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "%s: checksum of the list is %08x, its last line says %08x", r->name, found,
                       (uint32_t)stored);
    }
    r->end -= END_TEXT;
    return OMEN_OK;
}

static omen_status_t take_head(reader *r, om_backup_list *list, uint64_t *files)
{
    uint64_t format = 0;
    if (!take(r, first_words) || !take_number(r, 10, UINT32_MAX, &format)) {
        return fail_form(r, "its first line is not that of one");
    }
    if (format > FORMAT) {
        return om_fail(
            r->err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
            "%s: backup format %llu is newer than %d, the newest that this library reads", r->name,
            (unsigned long long)format, FORMAT);
    }
    bool good = take(r, "\ndatabase ") && take_database(r, list->database, sizeof list->database) &&
                take(r, "\ngeneration ") && take_number(r, 10, UINT64_MAX, &list->generation) &&
                take(r, "\nversion ") && take_number(r, 10, UINT64_MAX, &list->version) &&
                take(r, "\nfiles ") && take_number(r, 10, OM_BACKUP_MAX_FILES, files) &&
                take(r, "\n");
    return good ? OMEN_OK : fail_form(r, "its head makes no sense");
}

static omen_status_t take_file(reader *r, om_backup_file *file)
{
    uint64_t crc = 0;
    if (!take_number(r, 16, UINT32_MAX, &crc) || !take(r, " ") ||
        !take_number(r, 10, INT64_MAX, &file->bytes) || !take(r, " ")) {
        return fail_form(r, "a line makes no sense");
    }
    file->crc = (uint32_t)crc;
    const char *line_end = memchr(r->at, '\n', (size_t)(r->end - r->at));
    size_t length = line_end == NULL ? 0 : (size_t)(line_end - r->at);
    if (length == 0 || length > OM_BACKUP_MAX_NAME) {
        return fail_form(r, "a name has a length that no name of ours has");
    }
    memcpy(file->name, r->at, length);
    file->name[length] = '\0';
    r->at = line_end + 1;
    return name_is_good(file->name) ? OMEN_OK : fail_form(r, "a name is not one of ours");
}

static omen_status_t decode(const om_alloc *alloc, reader *r, om_backup_list *list)
{
    omen_status_t status = OMEN_OK;
    uint64_t files = 0, total = 0;
    OM_TRY(check_end(r));
    OM_TRY(take_head(r, list, &files));
    for (uint64_t i = 0; i < files; i++) {
        om_backup_file file = {.bytes = 0};
        OM_TRY(take_file(r, &file));
        if (list->count > 0 && strcmp(list->files[list->count - 1].name, file.name) >= 0) {
            return fail_form(r, "the names do not ascend");
        }
        total += file.bytes; /* both are at most INT64_MAX */
        if (total > INT64_MAX) {
            return fail_form(r, "the files have impossible sizes");
        }
        OM_TRY(om_backup_list_add(alloc, list, &file, r->err));
    }
out:
    return status;
}

/* There is one text for every list. */
static omen_status_t check_text(const om_alloc *alloc, const reader *r, const om_backup_list *list,
                                const uint8_t *bytes, size_t size)
{
    char *text = NULL;
    size_t length = 0, capacity = 0;
    omen_status_t status = encode(alloc, list, &text, &length, &capacity, r->err);
    if (status != OMEN_OK) {
        return status;
    }
    bool same = length == size && memcmp(text, bytes, size) == 0;
    om_alloc_put(alloc, text, capacity, 1);
    return same ? OMEN_OK : fail_form(r, "it is not written as a list is written");
}

omen_status_t om_backup_list_read(const om_io *io, const om_alloc *alloc, const char *folder,
                                  om_backup_list *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_backup_list list = {.count = 0};
    om_path path;
    om_io_stat info;
    bool found = false;
    uint8_t *bytes = NULL;
    size_t size = 0;
    OM_TRY(om_path_join(&path, folder, OM_BACKUP_LIST, err));
    OM_TRY(om_io_look(io, path.text, &info, &found, err));
    if (!found) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NONE,
                       "%s: is no backup: there is no " OM_BACKUP_LIST " in it",
                       om_path_tail(folder));
    }
    OM_TRY(om_io_slurp(io, alloc, path.text, OM_BACKUP_MAX_BYTES, &bytes, &size, err));
    reader r = {.name = om_path_tail(path.text),
                .at = (const char *)bytes,
                .end = (const char *)bytes + size,
                .err = err};
    OM_TRY(decode(alloc, &r, &list));
    OM_TRY(check_text(alloc, &r, &list, bytes, size));
    *out = list;
    list = (om_backup_list){.count = 0};
out:
    om_backup_list_free(alloc, &list);
    om_alloc_put(alloc, bytes, bytes == NULL ? 0 : size + 1, 8);
    return status;
}
