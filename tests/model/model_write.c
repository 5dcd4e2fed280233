/* model_write.c - adding and deleting, on the collection and in the model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* A batch with everything that its pointers point to. */
typedef struct big_batch {
    uint32_t names[MODEL_MAX_BATCH];
    float vectors[MODEL_MAX_BATCH][MODEL_MAX_DIM];
    uint8_t bytes[MODEL_MAX_BATCH * (MODEL_MAX_DIM * 4 + 8)];
    uint64_t keys[MODEL_MAX_BATCH], keys_out[MODEL_MAX_BATCH];
    int32_t status[MODEL_MAX_BATCH];
    bool bad[MODEL_MAX_BATCH]; /* must be refused */
    uint64_t versions[MODEL_MAX_BATCH];
    model_fields fields[MODEL_MAX_BATCH];
    char request[64];
    omen_batch batch;
} big_batch;

static big_batch *work(void)
{
    static big_batch only;
    return &only;
}

static void choose_names(model_run *run, big_batch *b, bool may_repeat)
{
    uint32_t count = model_below(run, 10) == 0 ? MODEL_MAX_BATCH : 1 + model_below(run, 40);
    count = count > run->universe / 2 ? run->universe / 2 : count;
    uint32_t first = model_below(run, run->universe);
    for (uint32_t i = 0; i < count; i++) {
        b->names[i] = may_repeat ? model_below(run, run->universe) : (first + i) % run->universe;
    }
    b->batch = (omen_batch){.struct_size = sizeof b->batch, .count = count};
}

static void set_ids(model_run *run, big_batch *b)
{
    for (uint32_t i = 0; i < b->batch.count; i++) {
        b->keys[i] = model_u64_id(b->names[i]);
    }
    if (run->id_type == OMEN_ID_U64 && model_below(run, 2) == 0) {
        b->batch.keys = b->keys;
    } else {
        b->batch.ids = model_column(run, b->names, (uint32_t)b->batch.count);
    }
}

/* Vectors in the collection's type, or as floats where those are taken; sometimes with a gap
 * between. */
static void set_vectors(model_run *run, big_batch *b)
{
    bool floats = run->dtype == OMEN_F32 || (run->dtype == OMEN_F16 && model_below(run, 2) == 0);
    uint32_t dtype = floats ? OMEN_F32 : run->dtype;
    size_t stride = run->dim * model_width(dtype);
    b->batch.dtype = dtype == run->dtype && model_below(run, 2) == 0 ? 0 : dtype;
    if (model_below(run, 3) == 0) {
        stride += 1 + model_below(run, 8);
        b->batch.stride = stride;
    }
    for (uint32_t i = 0; i < b->batch.count; i++) {
        model_vector(run, b->vectors[i]);
        model_encode(dtype, b->vectors[i], run->dim, b->bytes + i * stride);
    }
    b->batch.dim = run->dim;
    b->batch.vectors = b->bytes;
}

/* Notes an accepted item in the model; returns whether it replaced one. */
static bool store_item(model_run *run, const big_batch *b, uint32_t i)
{
    model_item *item = &run->items[b->names[i]];
    bool replaced = item->live;
    if (run->id_type == OMEN_ID_U64) {
        item->key = model_u64_id(b->names[i]);
    } else if (!replaced) {
        CHECK(run, b->keys_out[i] > run->highest_key); /* never one that was handed out before */
        item->key = b->keys_out[i];
        run->highest_key = item->key;
    }
    CHECK(run, b->keys_out[i] == item->key);
    if (b->batch.vectors != NULL) {
        memcpy(item->vector, b->vectors[i], run->dim * sizeof item->vector[0]);
    }
    if (b->batch.mode != OMEN_PATCH) {
        item->fields = b->fields[i];
    }
    item->live = true;
    run->live += !replaced;
    return replaced;
}

static void check_version(model_run *run, uint64_t version)
{
    CHECK(run, version > run->version);
    run->version = version;
}

static void add_good(model_run *run, big_batch *b)
{
    omen_write_result result = {.struct_size = sizeof result};
    b->batch.keys_out = b->keys_out;
    uint64_t applied = 0;
    uint64_t replaced = 0;
    CHECK(run, omen_add_batch(run->c, &b->batch, &result, NULL, &run->err) == OMEN_OK);
    for (uint32_t i = 0; i < b->batch.count; i++) {
        if (b->bad[i]) {
            CHECK(run, b->keys_out[i] == OMEN_NONE);
            continue;
        }
        replaced += store_item(run, b, i);
        run->items[b->names[i]].version = result.version;
        applied++;
    }
    CHECK(run, result.applied == applied);
    CHECK(run, result.replaced == replaced);
    CHECK(run, result.refused == b->batch.count - applied);
    CHECK(run, result.replayed == 0);
    check_version(run, result.version);
}

/* Refused as a whole: the item that is named is one of the bad ones, and nothing changed. */
static void add_refused(model_run *run, const big_batch *b, omen_status_t status, int32_t detail)
{
    omen_write_result result = {.struct_size = sizeof result, .version = 12345};
    CHECK(run, omen_add_batch(run->c, &b->batch, &result, NULL, &run->err) == status);
    CHECK(run, run->err.status == status);
    CHECK(run, detail == OMEN_D_NONE || run->err.detail == detail);
    CHECK(run, run->err.item < b->batch.count && b->bad[run->err.item]);
    CHECK(run, result.version == 12345);
    uint64_t count = 0;
    CHECK(run, omen_count(run->c, &count, &run->err) == OMEN_OK && count == run->live);
}

/* As part of a stream, or with a request id, or as neither. */
static void name_batch(model_run *run, big_batch *b)
{
    uint32_t dice = model_below(run, 8);
    if (dice < 2) {
        b->batch.stream_id = MODEL_STREAM;
        b->batch.stream_id_len = strlen(MODEL_STREAM);
        b->batch.seq = run->last_seq + 1;
        b->batch.crc = 1 + model_below(run, UINT32_MAX - 1);
    } else if (dice == 2) {
        int length = snprintf(b->request, sizeof b->request, "%llx-%u",
                              (unsigned long long)run->seed, run->op);
        b->batch.request_id = b->request;
        b->batch.request_id_len = (size_t)length;
    }
}

/* A refused batch uses up its seq all the same; its request id is not remembered. */
static void note_name(model_run *run, const big_batch *b, bool refused)
{
    if (b->batch.seq != 0) {
        run->last_seq = b->batch.seq;
        run->last_crc = refused ? 0 : b->batch.crc;
    } else if (b->batch.request_id != NULL && !refused) {
        memcpy(run->request, b->request, sizeof run->request);
    }
}

static void add_or_refuse(model_run *run, big_batch *b, omen_status_t status, int32_t detail)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < b->batch.count; i++) {
        bad += b->bad[i];
    }
    if (bad != 0 && model_below(run, 2) == 0) {
        b->batch.flags |= OMEN_PER_ITEM;
        b->batch.item_status = b->status;
        add_good(run, b);
        for (uint32_t i = 0; i < b->batch.count; i++) {
            CHECK(run, b->status[i] == (b->bad[i] ? status : OMEN_OK));
        }
    } else if (bad != 0) {
        add_refused(run, b, status, detail);
        note_name(run, b, true);
        return;
    } else {
        add_good(run, b);
    }
    note_name(run, b, false);
}

/* Written only while the items have the versions that they have; a few are asked for another one. */
static void ask_versions(model_run *run, big_batch *b)
{
    for (uint32_t i = 0; i < b->batch.count; i++) {
        const model_item *item = &run->items[b->names[i]];
        b->bad[i] = model_below(run, 20) == 0;
        b->versions[i] = (item->live ? item->version : 0) + b->bad[i];
    }
    b->batch.if_version = b->versions;
}

void model_add(model_run *run)
{
    big_batch *b = work();
    uint32_t dice = model_below(run, 10);
    uint32_t mode = dice < 6 ? OMEN_UPSERT : dice < 8 ? OMEN_INSERT : OMEN_UPDATE;
    run->what = mode == OMEN_UPSERT ? "upsert" : mode == OMEN_INSERT ? "insert" : "update";
    choose_names(run, b, mode == OMEN_UPSERT);
    set_ids(run, b);
    set_vectors(run, b);
    b->batch.mode = mode == OMEN_UPSERT && model_below(run, 2) == 0 ? 0 : mode;
    b->batch.flags = model_below(run, 4) == 0 ? OMEN_NOWAIT : 0;
    for (uint32_t i = 0; i < b->batch.count; i++) {
        bool live = run->items[b->names[i]].live;
        b->bad[i] = (mode == OMEN_INSERT && live) || (mode == OMEN_UPDATE && !live);
    }
    model_objects(run, &b->batch, b->fields);
    if (mode == OMEN_UPSERT && model_below(run, 6) == 0) {
        ask_versions(run, b);
        add_or_refuse(run, b, OMEN_ABORTED, OMEN_D_VERSION_CONFLICT);
        return;
    }
    name_batch(run, b);
    add_or_refuse(run, b, mode == OMEN_INSERT ? OMEN_ALREADY_EXISTS : OMEN_NOT_FOUND, OMEN_D_NONE);
}

/* Some fields change, and the vector or not. */
void model_patch(model_run *run)
{
    big_batch *b = work();
    run->what = "patch";
    choose_names(run, b, false);
    set_ids(run, b);
    set_vectors(run, b);
    b->batch.mode = OMEN_PATCH;
    for (uint32_t i = 0; i < b->batch.count; i++) {
        b->bad[i] = !run->items[b->names[i]].live;
    }
    if (model_below(run, 2) == 0) {
        b->batch.vectors = NULL;
        b->batch.stride = 0;
        b->batch.dim = 0;
    }
    uint32_t bad = 0;
    for (uint32_t i = 0; i < b->batch.count; i++) {
        bad += b->bad[i];
    }
    if (bad != 0 && model_below(run, 4) == 0) {
        add_refused(run, b, OMEN_NOT_FOUND, OMEN_D_NONE); /* without changes in the model */
        return;
    }
    model_changes(run, &b->batch, b->names);
    if (bad != 0) {
        b->batch.flags |= OMEN_PER_ITEM;
        b->batch.item_status = b->status;
    }
    add_good(run, b);
}

/* Items with a component that is no number, and batches of the wrong shape. */
void model_add_bad(model_run *run)
{
    big_batch *b = work();
    run->what = "bad batch";
    choose_names(run, b, false);
    set_ids(run, b);
    set_vectors(run, b);
    memset(b->bad, 0, sizeof b->bad);
    memset(b->fields, 0, sizeof b->fields);
    if (run->dtype == OMEN_F32) {
        size_t stride = b->batch.stride != 0 ? b->batch.stride : run->dim * sizeof(float);
        for (uint32_t n = 1 + model_below(run, 3); n > 0; n--) {
            uint32_t i = model_below(run, (uint32_t)b->batch.count);
            const float values[] = {NAN, INFINITY, -INFINITY};
            b->bad[i] = true;
            memcpy(b->bytes + i * stride + model_below(run, run->dim) * sizeof(float),
                   &values[model_below(run, 3)], sizeof(float));
        }
        add_or_refuse(run, b, OMEN_INVALID_ARGUMENT, OMEN_D_NOT_FINITE);
    }
    uint32_t at = model_below(run, (uint32_t)b->batch.count);
    b->batch.stride = 0;
    set_vectors(run, b);
    b->batch.flags = 0;
    memset(b->bad, 0, sizeof b->bad);
    memset(b->fields, 0, sizeof b->fields);
    b->bad[at] = true;
    model_bad_object(run, &b->batch, at);
    add_or_refuse(run, b, OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    omen_batch wrong = b->batch;
    wrong.flags = 0;
    wrong.metadata = (omen_column){0};
    wrong.dim = run->dim + 1;
    CHECK(run, omen_add_batch(run->c, &wrong, NULL, NULL, &run->err) == OMEN_INVALID_ARGUMENT);
    CHECK(run, run->err.detail == OMEN_D_DIM_MISMATCH);
    if (run->id_type == OMEN_ID_U64) {
        wrong = b->batch;
        wrong.flags = 0;
        wrong.ids = (omen_column){0};
        wrong.keys = b->keys;
        b->keys[b->batch.count - 1] = OMEN_NONE;
        CHECK(run, omen_add_batch(run->c, &wrong, NULL, NULL, &run->err) == OMEN_INVALID_ARGUMENT);
    }
}

/* By ids, or by keys; some absent, some twice. */
void model_delete(model_run *run)
{
    big_batch *b = work();
    run->what = "delete";
    choose_names(run, b, true);
    b->batch.count = b->batch.count > 40 ? 40 : b->batch.count;
    set_ids(run, b);
    if (run->id_type != OMEN_ID_U64 && model_below(run, 2) == 0) {
        b->batch.ids = (omen_column){0};
        b->batch.keys = b->keys;
        for (uint32_t i = 0; i < b->batch.count; i++) {
            const model_item *item = &run->items[b->names[i]];
            b->keys[i] = item->key != 0 ? item->key : run->highest_key + 1000;
        }
    }
    omen_write_result result = {.struct_size = sizeof result};
    CHECK(run, omen_delete_batch(run->c, &b->batch, &result, NULL, &run->err) == OMEN_OK);
    uint64_t applied = 0;
    for (uint32_t i = 0; i < b->batch.count; i++) {
        model_item *item = &run->items[b->names[i]];
        applied += item->live;
        run->live -= item->live;
        item->live = false; /* the key stays: it must not come back */
    }
    CHECK(run, result.applied == applied);
    check_version(run, result.version);
}

void model_repeat(model_run *run)
{
    big_batch *b = work();
    omen_write_result result = {.struct_size = sizeof result};
    choose_names(run, b, true);
    set_ids(run, b);
    set_vectors(run, b);
    uint32_t dice = model_below(run, 4);
    b->batch.stream_id = dice == 3 ? NULL : MODEL_STREAM;
    b->batch.stream_id_len = dice == 3 ? 0 : strlen(MODEL_STREAM);
    if (dice == 3) {
        run->what = "request again";
        b->batch.request_id = run->request;
        b->batch.request_id_len = strlen(run->request);
    } else if (dice == 2) {
        run->what = "gap in a stream";
        b->batch.seq = run->last_seq + 2 + model_below(run, 3);
    } else if (dice == 1) {
        run->what = "seq again with other bytes";
        b->batch.seq = run->last_seq;
        b->batch.crc = run->last_crc == 1 ? 2 : run->last_crc - 1;
    } else {
        run->what = "seq again";
        uint64_t back = model_below(run, 3);
        b->batch.seq = run->last_seq > back ? run->last_seq - back : run->last_seq;
    }
    if ((dice == 3 && run->request[0] == '\0') || (dice == 1 && run->last_crc == 0) ||
        (dice == 0 && run->last_seq == 0)) {
        return;
    }
    omen_status_t status = omen_add_batch(run->c, &b->batch, &result, NULL, &run->err);
    if (dice == 1) {
        CHECK(run, status == OMEN_INVALID_ARGUMENT && run->err.detail == OMEN_D_SEQUENCE);
    } else if (dice == 2) {
        CHECK(run, status != OMEN_OK && run->err.detail == OMEN_D_SEQUENCE);
    } else {
        CHECK(run, status == OMEN_OK && result.replayed == 1);
    }
    uint64_t count = 0;
    CHECK(run, omen_count(run->c, &count, &run->err) == OMEN_OK && count == run->live);
}
