/* bitrot.c - damages every section of every file of a closed database, one place at a time, and opens it:
 * detected or harmless, never a wrong vector, never a signal. SPDX-License-Identifier: Apache-2.0
 *
 *     bitrot [--places N] [--seed S]     N random places for each kind of damage in each section
 *
 * The last line is "bitrot: cases=n detected=d harmless=h wrong=w"; the status is 0 only when w is 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitrot_data.h"
#include "manifest.h"
#include "rng.h"
#include "segfile_int.h"

enum { MAX_FILES = 64, MAX_RANGES = 128, NAME = 128, PAGE = 4096, MOST_SHOWN = 20 };

typedef struct range { /* of a file: a section, a header, or everything */
    uint64_t at, bytes;
} range;
typedef struct rot {
    sim_image *image; /* the undamaged disk */
    omen_runtime *rt;
    rot_model model;
    uint64_t seed, cases, detected, harmless, wrong;
    uint64_t by_kind[4][2]; /* bits, pages, cuts, more: cases and detected */
    uint32_t places;
    char files[MAX_FILES][NAME];
    uint32_t file_count;
} rot;

/* ---- The files --------------------------------------------------------------------------------- */
typedef struct names {
    char name[MAX_FILES][NAME];
    uint32_t count;
} names;

static int add_name(void *arg, const char *name)
{
    names *n = arg;
    if (n->count == MAX_FILES) {
        return 1;
    }
    (void)snprintf(n->name[n->count++], NAME, "%s", name);
    return 0;
}

/* All but those that hold nothing. */
static void find_files(rot *r, const om_io *io, const char *folder)
{
    names *list = calloc(1, sizeof *list);
    if (list == NULL || io->ops->list(io->ctx, folder, add_name, list) != 0) {
        fprintf(stderr, "%s: cannot be listed\n", folder);
        exit(2);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const char *name = list->name[i];
        char path[2 * NAME];
        om_io_stat info;
        bool found = false;
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        if (om_io_look(io, path, &info, &found, NULL) == OMEN_OK && info.folder) {
            find_files(r, io, path);
        } else if (strcmp(name, "LOCK") != 0 && strncmp(name, "spare-", 6) != 0) {
            if (r->file_count == MAX_FILES || strlen(path) >= NAME) {
                fprintf(stderr, "%s: too many files\n", folder);
                exit(2);
            }
            memcpy(r->files[r->file_count++], path, strlen(path) + 1);
        }
    }
    free(list);
}

static uint64_t file_bytes(const om_io *io, const char *path)
{
    om_iofile file;
    uint64_t bytes = 0;
    if (om_io_open(io, path, 0, &file, NULL) != OMEN_OK ||
        om_io_size(&file, &bytes, NULL) != OMEN_OK) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        exit(2);
    }
    om_io_close(&file);
    return bytes;
}

/* The header page, the sections and what stands behind them of a segment; header and rest of others. A log
 * file is mostly room for more: only its records rot, and a little behind them. */
static uint32_t find_ranges(const om_io *io, const char *path, range *out)
{
    uint64_t bytes = file_bytes(io, path);
    uint8_t page[OM_SEG_HEADER_BYTES];
    om_seg_header header;
    om_iofile file;
    uint32_t count = 0;
    uint64_t head = bytes < 64 ? bytes : 64;
    out[count++] = (range){.at = 0, .bytes = head};
    if (strstr(path, ".seg") == NULL) {
        uint64_t end = strstr(path, ".wal") != NULL && bytes > 96 << 10 ? 96 << 10 : bytes;
        out[count++] = (range){.at = head, .bytes = end - head};
        return count;
    }
    if (om_io_open(io, path, 0, &file, NULL) != OMEN_OK ||
        om_io_read(&file, page, sizeof page, 0, NULL) != OMEN_OK) {
        exit(2);
    }
    om_io_close(&file);
    memcpy(&header, page, sizeof header);
    uint64_t end = OM_SEG_HEADER_BYTES;
    out[count++] = (range){.at = 64, .bytes = OM_SEG_HEADER_BYTES - 64};
    for (uint32_t i = 0; i < header.sections; i++) {
        om_seg_entry entry;
        memcpy(&entry, page + OM_SEG_TABLE_AT + i * sizeof entry, sizeof entry);
        if (entry.bytes != 0) {
            out[count++] = (range){.at = entry.offset, .bytes = entry.bytes};
            end = entry.offset + entry.bytes;
        }
    }
    out[count++] = (range){.at = end, .bytes = bytes - end};
    return count;
}

/* ---- Damage ------------------------------------------------------------------------------------ */
typedef enum kind { FLIP, ZERO, CUT, MORE } kind;
static const char *const kind_names[] = {"a bit flipped", "a page of zeros", "cut off", "appended"};

typedef struct harm {
    const char *path;
    kind how;
    uint64_t at;
    uint32_t bit;
} harm;

static void do_harm(const om_io *io, const harm *h)
{
    static const uint8_t zeros[PAGE];
    om_iofile file;
    uint64_t bytes = file_bytes(io, h->path);
    uint8_t byte = 0x5A;
    omen_status_t status = om_io_open(io, h->path, OM_IO_WRITE, &file, NULL);
    if (status == OMEN_OK && h->how == FLIP) {
        status = om_io_read(&file, &byte, 1, h->at, NULL);
        byte ^= (uint8_t)(1u << h->bit);
        if (status == OMEN_OK) {
            status = om_io_write(&file, &byte, 1, h->at, NULL);
        }
    } else if (status == OMEN_OK && h->how == ZERO) {
        uint64_t from = h->at / PAGE * PAGE;
        uint64_t most = bytes - from < PAGE ? bytes - from : PAGE;
        status = om_io_write(&file, zeros, (size_t)most, from, NULL);
    } else if (status == OMEN_OK && h->how == CUT) {
        status = om_io_truncate(&file, h->at, NULL);
    } else if (status == OMEN_OK) {
        status = om_io_write(&file, &byte, 1, bytes, NULL);
    }
    om_io_close(&file);
    if (status != OMEN_OK) {
        fprintf(stderr, "%s: cannot be damaged\n", h->path);
        exit(2);
    }
}

static void try_harm(rot *r, const harm *h)
{
    char why[ROT_WHY];
    sim_disk *disk = sim_disk_create(r->image);
    const om_io io = sim_disk_io(disk);
    do_harm(&io, h);
    uint32_t flags = r->cases % 2 == 0 ? 0 : OMEN_DB_READ_ONLY;
    rot_verdict verdict = rot_judge(&io, r->rt, &r->model, flags, why);
    sim_open left = sim_disk_open(disk);
    if (verdict != ROT_WRONG && (left.files != 0 || left.mappings != 0)) {
        verdict = ROT_WRONG;
        (void)snprintf(why, sizeof why, "%u files and %u mappings are still open", left.files,
                       left.mappings);
    }
    sim_disk_free(disk);
    r->cases++;
    r->by_kind[h->how][0]++;
    r->by_kind[h->how][1] += verdict == ROT_DETECTED;
    r->detected += verdict == ROT_DETECTED;
    r->harmless += verdict == ROT_HARMLESS;
    r->wrong += verdict == ROT_WRONG;
    if (verdict == ROT_WRONG && r->wrong <= MOST_SHOWN) {
        fprintf(stderr, "%s, %s at %llu, bit %u, flags %u: %s\n", h->path, kind_names[h->how],
                (unsigned long long)h->at, h->bit, flags, why);
    }
}

/* First byte, last byte, and random ones of a range. */
static uint64_t place(rot *r, const range *at, uint32_t i)
{
    uint64_t offset = i == 0 ? 0 : i == 1 ? at->bytes - 1 : om_rng_next(&r->seed) % at->bytes;
    return at->at + offset;
}

static void damage_range(rot *r, const char *path, const range *at)
{
    for (uint32_t i = 0; at->bytes != 0 && i < r->places + 2; i++) {
        const harm flip = {
            .path = path, .at = place(r, at, i), .bit = (uint32_t)(om_rng_next(&r->seed) % 8)};
        try_harm(r, &flip);
        if (i < r->places) {
            const harm zero = {.path = path, .how = ZERO, .at = place(r, at, i)};
            const harm cut = {.path = path, .how = CUT, .at = place(r, at, i)};
            try_harm(r, &zero);
            try_harm(r, &cut);
        }
    }
}

static void damage_file(rot *r, const om_io *io, const char *path)
{
    range ranges[MAX_RANGES];
    uint32_t count = find_ranges(io, path, ranges);
    uint64_t bytes = file_bytes(io, path);
    for (uint32_t i = 0; i < count; i++) {
        damage_range(r, path, &ranges[i]);
    }
    const harm more = {.path = path, .how = MORE};
    const harm last = {.path = path, .how = CUT, .at = bytes == 0 ? 0 : bytes - 1};
    try_harm(r, &more);
    try_harm(r, &last);
}

static bool has_kind(const rot *r, const char *part)
{
    for (uint32_t i = 0; i < r->file_count; i++) {
        if (strstr(r->files[i], part) != NULL) {
            return true;
        }
    }
    fprintf(stderr, "the database has no file of the kind %s\n", part);
    return false;
}

/* A judge that never finds anything proves nothing: here another vector, and another item, was written. */
static bool judge_is_awake(rot *r, const om_io *io)
{
    char why[ROT_WHY];
    bool awake = true;
    for (uint32_t c = 0; c < ROT_COLLECTIONS; c++) {
        rot_model other = r->model;
        uint32_t item = 0;
        while (!other.alive[c][item]) {
            item++;
        }
        other.turns[c][item]++;
        awake = awake && rot_judge(io, r->rt, &other, OMEN_DB_READ_ONLY, why) == ROT_WRONG;
        other = r->model;
        other.alive[c][item] = false;
        awake = awake && rot_judge(io, r->rt, &other, OMEN_DB_READ_ONLY, why) == ROT_WRONG;
    }
    if (!awake) {
        fprintf(stderr, "the judge does not see a wrong vector\n");
    }
    return awake;
}

static bool run(rot *r)
{
    char why[ROT_WHY];
    sim_disk *disk = sim_disk_create(NULL);
    const om_io io = sim_disk_io(disk);
    rot_make(&io, r->rt, &r->model);
    r->image = sim_disk_image(disk);
    find_files(r, &io, ROT_FOLDER);
    bool good = has_kind(r, ".seg") && has_kind(r, ".del") && has_kind(r, ".wal") &&
                has_kind(r, "MANIFEST-") && has_kind(r, "CURSORS-");
    if (rot_judge(&io, r->rt, &r->model, OMEN_DB_READ_ONLY, why) != ROT_HARMLESS) {
        fprintf(stderr, "the undamaged database: %s\n", why);
        good = false;
    }
    good = good && judge_is_awake(r, &io);
    for (uint32_t i = 0; good && i < r->file_count; i++) {
        damage_file(r, &io, r->files[i]);
    }
    sim_disk_free(disk);
    sim_image_free(r->image);
    for (int k = FLIP; k <= MORE; k++) {
        printf("%-16s cases=%llu detected=%llu\n", kind_names[k],
               (unsigned long long)r->by_kind[k][0], (unsigned long long)r->by_kind[k][1]);
        good = good && r->by_kind[k][1] != 0;
    }
    printf("bitrot: cases=%llu detected=%llu harmless=%llu wrong=%llu\n",
           (unsigned long long)r->cases, (unsigned long long)r->detected,
           (unsigned long long)r->harmless, (unsigned long long)r->wrong);
    return good && r->wrong == 0;
}

static uint64_t number(const char *text)
{
    char *end = NULL;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        fprintf(stderr, "bitrot: '%s' is no number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    const omen_runtime_options options = {.struct_size = sizeof options, .threads = 1};
    omen_error err;
    rot *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return 2;
    }
    r->places = 2;
    r->seed = 1;
    for (int i = 1; i < argc; i += 2) {
        bool places = strcmp(argv[i], "--places") == 0;
        if (i + 1 == argc || (!places && strcmp(argv[i], "--seed") != 0)) {
            fprintf(stderr, "usage: bitrot [--places N] [--seed S]\n");
            free(r);
            return 2;
        }
        uint64_t value = number(argv[i + 1]);
        r->places = places ? (uint32_t)(value < 100000 ? value : 100000) : r->places;
        r->seed = places ? r->seed : value;
    }
    if (omen_runtime_create(&options, &r->rt, &err) != OMEN_OK) {
        fprintf(stderr, "%s\n", err.message);
        free(r);
        return 2;
    }
    bool good = run(r);
    omen_runtime_free(r->rt);
    free(r);
    return good ? 0 : 1;
}
