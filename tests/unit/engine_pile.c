/* engine_pile.c - segments under the test's control, and the model beside them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_pile.h"

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256, MOST_DIM = 1024, ID_ROOM = 64, QUERIES = 3, K = 10 };

/* Another table with the same functions: the database starts no thread then. */
static om_io quiet_io;

/* ---- Life -------------------------------------------------------------------------------------- */
void pile_open(pile *p, const char *name, const pile_options *options)
{
    memset(p, 0, sizeof *p);
    quiet_io = om_io_system;
    if (options->io != NULL) {
        quiet_io.ops = options->io;
    }
    omen_runtime_options ropt = {.struct_size = sizeof ropt,
                                 .threads = options->threads,
                                 .memory_limit = options->memory_limit};
    if (options->allocator != NULL) {
        ropt.allocator = *options->allocator;
    }
    (void)snprintf(p->folder, sizeof p->folder, "%s", fx_path(name));
    OK(&p->f, omen_runtime_create(&ropt, &p->f.rt, &p->f.err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = p->f.rt};
    OK(&p->f, om_db_open_io(&quiet_io, p->folder, &dopt, &p->f.db, &p->f.err));
    omen_options o = options->collection;
    o.struct_size = sizeof o;
    o.durability = OMEN_DURABILITY_NONE;
    OK(&p->f, omen_create(p->f.db, "pile", &o, &p->f.c, &p->f.err));
    p->f.options.struct_size = sizeof p->f.options;
    OK(&p->f, omen_describe(p->f.c, &p->f.options, &p->f.err));
    assert_true(p->f.options.dim <= MOST_DIM);
    p->items = options->items;
    p->item = calloc(options->items + 1, sizeof *p->item);
    assert_non_null(p->item);
    for (uint32_t i = 0; i < p->items; i++) {
        p->item[i].key = OMEN_NONE;
    }
    p->rng.state = options->items;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void pile_close(pile *p)
{
    free(p->item);
    fx_close(&p->f);
    assert_int_equal(nftw(p->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

om_collection *pile_collection(const pile *p)
{
    return p->f.c->c;
}

/* ---- Items ------------------------------------------------------------------------------------- */
void pile_vector(const pile *p, uint32_t i, uint32_t turn, float *out)
{
    fx_rng rng = {((uint64_t)i << 32) + turn};
    bool zero = p->f.options.metric == OMEN_COSINE && i % 97 == 0;
    float least = p->f.options.dtype == OMEN_U8 ? 0 : -100;
    for (uint32_t d = 0; d < p->f.options.dim; d++) {
        out[d] = zero ? 0 : least + (float)fx_below(&rng, 201);
    }
}

static size_t id_of(const pile *p, uint32_t i, uint8_t *out)
{
    uint64_t key = (uint64_t)i * 7 + 3;
    if (p->f.options.id_type == OMEN_ID_U64) {
        memcpy(out, &key, sizeof key);
        return sizeof key;
    }
    if (p->f.options.id_type == OMEN_ID_UUID) {
        fx_rng rng = {key};
        uint64_t halves[2] = {fx_next(&rng), fx_next(&rng)};
        memcpy(out, halves, sizeof halves);
        return sizeof halves;
    }
    return (size_t)snprintf((char *)out, ID_ROOM, "item %u %.*s", i, (int)(i % 20),
                            "abcdefghijklmnopqrstuvwxyz");
}

/* Ids as a column; the arrays are the caller's. */
typedef struct ids {
    uint8_t *bytes;
    int64_t *offsets;
    omen_column column;
} ids;

static ids make_ids(const pile *p, const uint32_t *which, uint32_t n)
{
    ids list = {.bytes = malloc((size_t)n * ID_ROOM + 1),
                .offsets = calloc((size_t)n + 1, sizeof *list.offsets)};
    assert_non_null(list.bytes);
    assert_non_null(list.offsets);
    for (uint32_t i = 0; i < n; i++) {
        size_t length = id_of(p, which[i], list.bytes + list.offsets[i]);
        list.offsets[i + 1] = list.offsets[i] + (int64_t)length;
    }
    list.column = (omen_column){.data = list.bytes, .offsets = list.offsets, .offset_bits = 64};
    if (p->f.options.id_type == OMEN_ID_U64) {
        list.column = (omen_column){.data = list.bytes, .width = sizeof(uint64_t)};
    }
    return list;
}

static void free_ids(ids *list)
{
    free(list->bytes);
    free(list->offsets);
}

/* In the dtype that batches of the collection have. */
static void *make_vectors(const pile *p, const uint32_t *which, uint32_t n, uint32_t *dtype)
{
    uint32_t dim = p->f.options.dim;
    bool bytes = p->f.options.dtype == OMEN_I8 || p->f.options.dtype == OMEN_U8;
    float *rows = malloc((size_t)n * dim * sizeof *rows + 1);
    assert_non_null(rows);
    *dtype = bytes ? p->f.options.dtype : OMEN_F32;
    for (uint32_t i = 0; i < n; i++) {
        float vector[MOST_DIM] = {0};
        pile_vector(p, which[i], p->item[which[i]].turn, vector);
        for (uint32_t d = 0; d < dim; d++) {
            size_t at = (size_t)i * dim + d;
            if (bytes) {
                ((uint8_t *)rows)[at] = (uint8_t)(int)vector[d];
            } else {
                rows[at] = vector[d];
            }
        }
    }
    return rows;
}

void pile_put(pile *p, const uint32_t *which, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        p->item[which[i]].turn++;
        p->item[which[i]].alive = true;
    }
    ids list = make_ids(p, which, n);
    uint64_t *keys = malloc((size_t)n * sizeof *keys + 1);
    assert_non_null(keys);
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = n,
                        .dim = p->f.options.dim,
                        .ids = list.column,
                        .keys_out = keys};
    void *rows = make_vectors(p, which, n, &batch.dtype);
    batch.vectors = rows;
    OK(&p->f, omen_add_batch(p->f.c, &batch, NULL, NULL, &p->f.err));
    for (uint32_t i = 0; i < n; i++) {
        pile_item *item = &p->item[which[i]];
        assert_true(item->key == OMEN_NONE || item->key == keys[i]);
        item->key = keys[i];
    }
    free(rows);
    free(keys);
    free_ids(&list);
}

void pile_put_range(pile *p, uint32_t first, uint32_t n)
{
    uint32_t *which = malloc((size_t)n * sizeof *which + 1);
    assert_non_null(which);
    for (uint32_t i = 0; i < n; i++) {
        which[i] = first + i;
    }
    pile_put(p, which, n);
    free(which);
}

void pile_remove(pile *p, const uint32_t *which, uint32_t n)
{
    uint64_t there = 0;
    for (uint32_t i = 0; i < n; i++) {
        pile_item *item = &p->item[which[i]];
        there += item->alive;
        item->alive = false;
        if (p->f.options.id_type != OMEN_ID_U64) {
            item->key = OMEN_NONE; /* an id that comes back gets a new key */
        }
    }
    ids list = make_ids(p, which, n);
    omen_batch batch = {.struct_size = sizeof batch, .count = n, .ids = list.column};
    omen_write_result result = {.struct_size = sizeof result};
    OK(&p->f, omen_delete_batch(p->f.c, &batch, &result, NULL, &p->f.err));
    assert_int_equal(result.applied, there);
    free_ids(&list);
}

/* n different ones. */
static uint32_t *draw(pile *p, uint32_t first, uint32_t span, uint32_t n)
{
    uint32_t *all = malloc((size_t)span * sizeof *all + 1);
    assert_non_null(all);
    assert_true(n <= span);
    for (uint32_t i = 0; i < span; i++) {
        all[i] = first + i;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t with = i + fx_below(&p->rng, span - i);
        uint32_t swap = all[i];
        all[i] = all[with];
        all[with] = swap;
    }
    return all;
}

void pile_churn(pile *p, uint32_t first, uint32_t span, uint32_t puts, uint32_t removals)
{
    uint32_t *which = draw(p, first, span, puts);
    pile_put(p, which, puts);
    free(which);
    which = draw(p, first, span, removals);
    pile_remove(p, which, removals);
    free(which);
}

/* ---- Segments ---------------------------------------------------------------------------------- */
void pile_freeze(pile *p)
{
    om_collection *c = pile_collection(p);
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_collection_freeze(c, &p->f.err);
    om_mutex_unlock(&c->write_mu);
    OK(&p->f, status);
}

omen_status_t pile_seal_one(pile *p, bool *done)
{
    om_collection *c = pile_collection(p);
    om_stop stop = {.op = NULL};
    om_mutex_lock(&c->save_mu);
    omen_status_t status = om_seal_next(c, &stop, done, &p->f.err);
    om_mutex_unlock(&c->save_mu);
    return status;
}

void pile_seal(pile *p)
{
    bool done = true;
    pile_freeze(p);
    while (done) {
        OK(&p->f, pile_seal_one(p, &done));
    }
}

omen_status_t pile_merge(pile *p, bool all, const om_stop *stop, omen_op *op, bool *done)
{
    om_collection *c = pile_collection(p);
    om_stop none = {.op = op};
    om_mutex_lock(&c->merge_mu);
    omen_status_t status = om_merge_next(c, all, stop != NULL ? stop : &none, op, done, &p->f.err);
    om_mutex_unlock(&c->merge_mu);
    return status;
}

uint32_t pile_segments(const pile *p)
{
    return om_set_load(pile_collection(p))->count;
}

om_segment *pile_segment(const pile *p, uint32_t i)
{
    assert_true(i < pile_segments(p));
    return om_set_load(pile_collection(p))->part[i];
}

static uint32_t found_files;
static int count_file(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)at;
    found_files += kind == FTW_F && strstr(path, ".seg") != NULL;
    return 0;
}

uint32_t pile_files(const pile *p)
{
    found_files = 0;
    assert_int_equal(nftw(p->folder, count_file, 16, FTW_PHYS), 0);
    return found_files;
}

void pile_path(const pile *p, uint64_t id, char *out, size_t room)
{
    omen_error err;
    om_path path;
    om_collection *c = pile_collection(p);
    assert_int_equal(om_path_segment(&path, c->db->disk->folder.text, c->serial, id, &err),
                     OMEN_OK);
    int length = snprintf(out, room, "%s", path.text);
    assert_true(length > 0 && (size_t)length < room);
}

/* ---- Allocations that fail --------------------------------------------------------------------- */
static void *torture_alloc(void *ctx, size_t size, size_t align)
{
    pile_torture *t = ctx;
    (void)pthread_mutex_lock(&t->mutex);
    bool fail = t->fail_at != 0 && ++t->calls == t->fail_at;
    t->failed += fail;
    (void)pthread_mutex_unlock(&t->mutex);
    size_t power = align < 16 ? 16 : align;
    return fail ? NULL : aligned_alloc(power, (size + power - 1) / power * power + power);
}

static void torture_free(void *ctx, void *block, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(block);
}

omen_allocator pile_torture_init(pile_torture *t)
{
    memset(t, 0, sizeof *t);
    assert_int_equal(pthread_mutex_init(&t->mutex, NULL), 0);
    return (omen_allocator){torture_alloc, torture_free, t};
}

void pile_torture_arm(pile_torture *t, uint64_t fail_at)
{
    (void)pthread_mutex_lock(&t->mutex);
    t->fail_at = fail_at;
    t->calls = 0;
    if (fail_at != 0) {
        t->failed = 0;
    }
    (void)pthread_mutex_unlock(&t->mutex);
}

uint64_t pile_torture_end(pile_torture *t)
{
    assert_int_equal(pthread_mutex_destroy(&t->mutex), 0);
    return t->failed;
}

/* ---- The comparison ---------------------------------------------------------------------------- */
static void check_vectors(pile *p, const uint32_t *which, const uint64_t *keys, uint32_t n)
{
    uint32_t dim = p->f.options.dim;
    float *rows = malloc((size_t)n * dim * sizeof *rows + 1);
    assert_non_null(rows);
    OK(&p->f, omen_get_vectors(p->f.c, keys, n, rows, 0, OMEN_F32, NULL, &p->f.err));
    for (uint32_t i = 0; i < n; i++) {
        float expected[MOST_DIM] = {0};
        pile_vector(p, which[i], p->item[which[i]].turn, expected);
        assert_memory_equal(rows + (size_t)i * dim, expected, dim * sizeof *expected);
    }
    free(rows);
}

static void check_ids(pile *p, const uint32_t *which, const uint64_t *keys, uint32_t n)
{
    omen_rows *rows = NULL;
    omen_column column;
    OK(&p->f, omen_fetch(p->f.c, keys, n, OMEN_FIELD_ID, &rows, &p->f.err));
    omen_rows_column(rows, OMEN_FIELD_ID, &column);
    const uint8_t *bytes = column.data;
    const uint64_t *offsets = column.offsets;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t id[ID_ROOM];
        size_t length = id_of(p, which[i], id);
        size_t at = column.offsets != NULL ? (size_t)offsets[i] : (size_t)i * column.width;
        assert_int_equal(column.offsets != NULL ? offsets[i + 1] - offsets[i] : column.width,
                         length);
        assert_memory_equal(bytes + at, id, length);
    }
    omen_rows_free(rows);
}

static void check_chunk(pile *p, uint32_t first, uint32_t n)
{
    uint32_t which[CHUNK], there[CHUNK];
    uint64_t keys[CHUNK], live[CHUNK];
    uint32_t alive = 0;
    for (uint32_t i = 0; i < n; i++) {
        which[i] = first + i;
    }
    ids list = make_ids(p, which, n);
    OK(&p->f, omen_lookup(p->f.c, &list.column, n, keys, &p->f.err));
    for (uint32_t i = 0; i < n; i++) {
        const pile_item *item = &p->item[first + i];
        if (!item->alive) {
            assert_true(keys[i] == OMEN_NONE);
            continue;
        }
        assert_true(keys[i] == item->key);
        there[alive] = first + i;
        live[alive++] = keys[i];
    }
    check_vectors(p, there, live, alive);
    check_ids(p, there, live, alive);
    free_ids(&list);
}

static void check_scan(pile *p, uint64_t expected)
{
    uint64_t cursor = 0, count = CHUNK, total = 0, sum = 0, sum_of_model = 0;
    while (count == CHUNK) {
        uint64_t keys[CHUNK];
        OK(&p->f, omen_scan(p->f.c, &cursor, keys, CHUNK, &count, &p->f.err));
        total += count;
        for (uint64_t i = 0; i < count; i++) {
            sum += keys[i] * keys[i];
        }
    }
    for (uint32_t i = 0; i < p->items; i++) {
        sum_of_model += p->item[i].alive ? p->item[i].key * p->item[i].key : 0;
    }
    assert_int_equal(total, expected);
    assert_true(sum == sum_of_model);
}

static void check_search(pile *p, const float *query, const float *rows, const bool *alive,
                         uint64_t live)
{
    uint64_t keys[K];
    float distances[K];
    fx_query q = {.vector = query, .k = K, .flags = OMEN_EXACT};
    uint32_t count = fx_search(&p->f, &q, keys, distances);
    assert_int_equal(count, live < K ? live : K);
    for (uint32_t i = 0; i < count; i++) {
        double kth = fx_kth(&p->f, query, rows, alive, p->items, i + 1);
        assert_true(fabs(kth - (double)distances[i]) <= 1e-3 * (1 + fabs(kth)));
    }
}

static void check_searches(pile *p, uint64_t live)
{
    uint32_t dim = p->f.options.dim;
    float *rows = malloc((size_t)p->items * dim * sizeof *rows);
    bool *alive = malloc(p->items * sizeof *alive);
    assert_non_null(rows);
    assert_non_null(alive);
    for (uint32_t i = 0; i < p->items; i++) {
        alive[i] = p->item[i].alive;
        pile_vector(p, i, p->item[i].turn, rows + (size_t)i * dim);
    }
    for (uint32_t i = 0; i < QUERIES; i++) {
        float query[MOST_DIM] = {0};
        pile_vector(p, p->items + 1 + i, 0, query);
        check_search(p, query, rows, alive, live);
    }
    free(alive);
    free(rows);
}

void pile_check(pile *p)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < p->items; i++) {
        live += p->item[i].alive;
    }
    assert_int_equal(fx_count(&p->f), live);
    for (uint32_t i = 0; i < p->items; i += CHUNK) {
        check_chunk(p, i, p->items - i < CHUNK ? p->items - i : CHUNK);
    }
    check_scan(p, live);
    check_searches(p, live);
}

void pile_flip(const pile *p, uint32_t part, uint32_t kind)
{
    char path[4096];
    om_segment *seg = pile_segment(p, part);
    const om_section *section = &seg->mapped->section[kind];
    const om_section *meta = &seg->mapped->section[OM_SECTION_META];
    /* META is the first section, right behind the header page. */
    off_t at = 4096 + (section->data - meta->data) + (off_t)section->bytes / 2;
    uint8_t byte;
    pile_path(p, seg->id, path, sizeof path);
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}
