/* disk_fixture.c - see disk_fixture.h. SPDX-License-Identifier: Apache-2.0 */
#include "disk_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_ROOM = 24 };

/* ---- Opening and closing ----------------------------------------------------------------------- */
static void init(dbx *x)
{
    x->f = (fixture){.rt = NULL};
    x->threads = 2;
    x->rng.state = 7;
    x->options = (omen_db_options){.struct_size = sizeof x->options, .warm = OMEN_WARM_NONE};
    for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
        db_collection *m = &x->model[i];
        (void)snprintf(m->name, sizeof m->name, "c%u", i);
        m->exists = false;
        m->handle = NULL;
        for (uint32_t k = 0; k < DB_ITEMS; k++) {
            m->item[k] = (db_item){.key = OMEN_NONE};
        }
    }
}

void db_init_sim(dbx *x)
{
    init(x);
    x->sim = sim_disk_create(NULL);
    x->io = sim_disk_io(x->sim);
    (void)snprintf(x->path, sizeof x->path, "/db");
}

void db_init_folder(dbx *x, const char *name)
{
    char command[320];
    init(x);
    x->sim = NULL;
    x->io = om_io_system;
    (void)snprintf(x->path, sizeof x->path, "%s", fx_path(name));
    (void)snprintf(command, sizeof command, "rm -rf '%s'", x->path);
    assert_int_equal(system(command), 0);
}

void db_end(dbx *x)
{
    char command[320];
    db_close(x);
    if (x->sim != NULL) {
        sim_open open = sim_disk_open(x->sim);
        assert_int_equal(open.files, 0);
        assert_int_equal(open.mappings, 0);
        sim_disk_free(x->sim);
    } else {
        (void)snprintf(command, sizeof command, "rm -rf '%s'", x->path);
        assert_int_equal(system(command), 0);
    }
}

static void make_runtime(dbx *x)
{
    const omen_runtime_options options = {.struct_size = sizeof options, .threads = x->threads};
    if (x->f.rt == NULL) {
        OK(&x->f, omen_runtime_create(&options, &x->f.rt, &x->f.err));
    }
    x->options.runtime = x->f.rt;
}

omen_status_t db_try_open(dbx *x)
{
    make_runtime(x);
    /* The system's table itself, not a copy: that is what a real database is told by. */
    const om_io *io = x->sim != NULL ? &x->io : &om_io_system;
    return om_db_open_io(io, x->path, &x->options, &x->f.db, &x->f.err);
}

static void open_handles(dbx *x)
{
    const omen_open_options open = {.struct_size = sizeof open};
    for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
        db_collection *m = &x->model[i];
        if (m->exists && m->handle == NULL) {
            OK(&x->f, omen_open(x->f.db, m->name, &open, &m->handle, &x->f.err));
        }
    }
}

void db_open(dbx *x)
{
    OK(&x->f, db_try_open(x));
    open_handles(x);
}

static void drop_handles(dbx *x)
{
    for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
        if (x->model[i].handle != NULL) {
            omen_collection_free(x->model[i].handle);
            x->model[i].handle = NULL;
        }
    }
}

void db_close(dbx *x)
{
    drop_handles(x);
    omen_db_free(x->f.db);
    omen_runtime_free(x->f.rt);
    x->f.db = NULL;
    x->f.rt = NULL;
}

void db_kill(dbx *x)
{
    sim_disk *former = x->sim;
    assert_non_null(former);
    sim_image *image = sim_disk_image(former);
    db_close(x);
    x->sim = sim_disk_create(image);
    x->io = sim_disk_io(x->sim);
    x->clock += 3600 * UINT64_C(1000000000); /* its clocks begin anew */
    sim_disk_advance(x->sim, x->clock);
    sim_image_free(image);
    sim_disk_free(former);
}

/* ---- Writing ----------------------------------------------------------------------------------- */
void db_create(dbx *x, uint32_t at, const omen_options *options)
{
    db_collection *m = &x->model[at];
    m->options = *options;
    m->options.struct_size = sizeof m->options;
    m->options.dim = DB_DIM;
    OK(&x->f, omen_create(x->f.db, m->name, &m->options, &m->handle, &x->f.err));
    m->exists = true;
    for (uint32_t k = 0; k < DB_ITEMS; k++) {
        m->item[k] = (db_item){.key = OMEN_NONE};
    }
}

void db_drop(dbx *x, uint32_t at)
{
    db_collection *m = &x->model[at];
    OK(&x->f, omen_drop(x->f.db, m->name, &x->f.err));
    omen_collection_free(m->handle);
    m->handle = NULL;
    m->exists = false;
}

/* Whole numbers that half floats hold. */
void db_vector(uint32_t at, uint32_t item, uint32_t turn, float *out)
{
    for (uint32_t d = 0; d < DB_DIM; d++) {
        uint64_t mixed = om_mix64(((uint64_t)at << 56) ^ ((uint64_t)turn << 32) ^ (item * 16 + d));
        out[d] = (float)((int32_t)(mixed % 1001) - 500);
    }
}

static uint32_t id_type(const db_collection *m)
{
    return m->options.id_type != 0 ? m->options.id_type : (uint32_t)OMEN_ID_U64;
}

/* The id of an item; its length. */
static uint32_t write_id(const db_collection *m, uint32_t item, char *out)
{
    if (id_type(m) == OMEN_ID_UUID) {
        uint64_t halves[2] = {om_mix64(item), item};
        memcpy(out, halves, sizeof halves);
        return sizeof halves;
    }
    return (uint32_t)snprintf(out, ID_ROOM, "%.*s%u", (int)(item % 7), "abcdefg", item);
}

typedef struct columns {
    uint64_t keys[DB_ITEMS];
    char ids[DB_ITEMS * ID_ROOM];
    int32_t offsets[DB_ITEMS + 1];
} columns;

static void fill_ids(const db_collection *m, uint32_t first, uint32_t n, columns *c,
                     omen_batch *batch)
{
    c->offsets[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        c->keys[i] = first + i;
        uint32_t length = write_id(m, first + i, c->ids + c->offsets[i]);
        c->offsets[i + 1] = c->offsets[i] + (int32_t)length;
    }
    if (id_type(m) == OMEN_ID_U64) {
        batch->keys = c->keys;
    } else if (id_type(m) == OMEN_ID_UUID) {
        batch->ids = (omen_column){.data = c->ids, .width = 16};
    } else {
        batch->ids = (omen_column){.data = c->ids, .offsets = c->offsets, .offset_bits = 32};
    }
}

omen_status_t db_put_how(dbx *x, uint32_t at, uint32_t first, uint32_t n, const omen_batch *how,
                         omen_write_result *result)
{
    static columns c;
    static float rows[DB_ITEMS][DB_DIM];
    static uint64_t keys_out[DB_ITEMS];
    db_collection *m = &x->model[at];
    omen_batch batch = how != NULL ? *how : (omen_batch){.flags = 0};
    omen_write_result local = {.struct_size = sizeof local};
    result = result != NULL ? result : &local;
    result->struct_size = sizeof *result;
    for (uint32_t i = 0; i < n; i++) {
        db_vector(at, first + i, m->item[first + i].turn + 1, rows[i]);
    }
    batch.struct_size = sizeof batch;
    batch.count = n;
    batch.vectors = rows;
    batch.dtype = OMEN_F32;
    batch.dim = DB_DIM;
    batch.keys_out = keys_out;
    fill_ids(m, first, n, &c, &batch);
    omen_status_t status = omen_add_batch(m->handle, &batch, result, NULL, &x->f.err);
    if (status != OMEN_OK || result->replayed) {
        return status;
    }
    for (uint32_t i = 0; i < n; i++) {
        db_item *item = &m->item[first + i];
        if (keys_out[i] == OMEN_NONE) {
            continue; /* refused */
        }
        if (item->alive) {
            assert_true(item->key == keys_out[i]); /* keys are stable over upserts */
        }
        *item = (db_item){.alive = true, .turn = item->turn + 1, .key = keys_out[i]};
    }
    m->version = result->version;
    return status;
}

void db_put(dbx *x, uint32_t at, uint32_t first, uint32_t n)
{
    OK(&x->f, db_put_how(x, at, first, n, NULL, NULL));
}

void db_remove(dbx *x, uint32_t at, uint32_t first, uint32_t n)
{
    static columns c;
    db_collection *m = &x->model[at];
    omen_batch batch = {.struct_size = sizeof batch, .count = n};
    omen_write_result result = {.struct_size = sizeof result};
    uint32_t there = 0;
    fill_ids(m, first, n, &c, &batch);
    OK(&x->f, omen_delete_batch(m->handle, &batch, &result, NULL, &x->f.err));
    for (uint32_t i = 0; i < n; i++) {
        there += m->item[first + i].alive;
        m->item[first + i].alive = false;
    }
    assert_int_equal(result.applied, there);
    m->version = result.version;
}

void db_churn(dbx *x, uint32_t batches)
{
    for (uint32_t b = 0; b < batches; b++) {
        uint32_t at = fx_below(&x->rng, DB_COLLECTIONS);
        uint32_t n = 1 + fx_below(&x->rng, 40);
        uint32_t first = fx_below(&x->rng, DB_ITEMS - n);
        if (!x->model[at].exists) {
            continue;
        }
        if (fx_below(&x->rng, 3) == 0) {
            db_remove(x, at, first, n);
        } else {
            db_put(x, at, first, n);
        }
    }
}

/* ---- Checking ---------------------------------------------------------------------------------- */
static void check_items(dbx *x, uint32_t at)
{
    static float rows[DB_ITEMS][DB_DIM];
    static uint64_t keys[DB_ITEMS];
    static uint8_t found[DB_ITEMS];
    db_collection *m = &x->model[at];
    uint64_t alive = 0;
    uint64_t count = 0;
    for (uint32_t i = 0; i < DB_ITEMS; i++) {
        keys[i] = id_type(m) == OMEN_ID_U64 ? i : m->item[i].key;
        alive += m->item[i].alive;
    }
    OK(&x->f, omen_get_vectors(m->handle, keys, DB_ITEMS, rows, 0, OMEN_F32, found, &x->f.err));
    for (uint32_t i = 0; i < DB_ITEMS; i++) {
        float expected[DB_DIM];
        if (found[i] != m->item[i].alive) {
            print_message("collection %u, item %u: found %u, alive %u\n", at, i, found[i],
                          m->item[i].alive);
        }
        assert_int_equal(found[i], m->item[i].alive);
        if (found[i]) {
            db_vector(at, i, m->item[i].turn, expected);
            assert_memory_equal(rows[i], expected, sizeof expected);
        }
    }
    OK(&x->f, omen_count(m->handle, &count, &x->f.err));
    assert_int_equal(count, alive);
}

static void check_ids(dbx *x, uint32_t at)
{
    static columns c;
    static uint64_t keys[DB_ITEMS];
    db_collection *m = &x->model[at];
    omen_batch batch = {.count = DB_ITEMS};
    if (id_type(m) == OMEN_ID_U64) {
        return;
    }
    fill_ids(m, 0, DB_ITEMS, &c, &batch);
    OK(&x->f, omen_lookup(m->handle, &batch.ids, DB_ITEMS, keys, &x->f.err));
    for (uint32_t i = 0; i < DB_ITEMS; i++) {
        assert_true(keys[i] == (m->item[i].alive ? m->item[i].key : OMEN_NONE));
    }
}

static void check_searches(dbx *x, uint32_t at)
{
    db_collection *m = &x->model[at];
    for (uint32_t n = 0; n < 5; n++) {
        uint32_t i = fx_below(&x->rng, DB_ITEMS);
        float vector[DB_DIM];
        uint64_t key = 0;
        float distance = 1;
        if (!m->item[i].alive) {
            continue;
        }
        db_vector(at, i, m->item[i].turn, vector);
        const omen_query query = {.struct_size = sizeof query,
                                  .flags = OMEN_EXACT,
                                  .vectors = vector,
                                  .dtype = OMEN_F32,
                                  .dim = DB_DIM,
                                  .count = 1,
                                  .k = 1,
                                  .threads = 1,
                                  .min_version = m->version,
                                  .timeout_us = 20000000};
        omen_hits hits = {.struct_size = sizeof hits, .keys = &key, .distances = &distance};
        OK(&x->f, omen_search(m->handle, &query, &hits, &x->f.err));
        assert_true(distance == 0);
        assert_true(key == m->item[i].key);
    }
}

void db_check_one(dbx *x, uint32_t at)
{
    check_items(x, at);
    check_ids(x, at);
    check_searches(x, at);
}

void db_check(dbx *x)
{
    size_t count = 0;
    size_t exist = 0;
    static char names[DB_COLLECTIONS + 1][OMEN_MAX_NAME + 1];
    OK(&x->f, omen_list(x->f.db, NULL, names[0], DB_COLLECTIONS + 1, &count, &x->f.err));
    for (uint32_t i = 0; i < DB_COLLECTIONS; i++) {
        if (x->model[i].exists) {
            exist++;
            db_check_one(x, i);
        }
    }
    assert_int_equal(count, exist);
}

om_collection *db_inner(dbx *x, uint32_t at)
{
    return x->model[at].handle->c;
}

omen_db_stats db_stats(dbx *x)
{
    omen_db_stats stats = {.struct_size = sizeof stats};
    OK(&x->f, omen_get_db_stats(x->f.db, &stats, &x->f.err));
    return stats;
}
