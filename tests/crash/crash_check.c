/* crash_check.c - what the server has after a start, against the models.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "crash.h"

typedef struct checker {
    crash_run *run;
    om_rpcc *client;
    om_arena arena;
    uint64_t seen[CRASH_IDS];
} checker;

/* ---- What is there ---------------------------------------------------------------------------- */

/* Fills c->seen with the batch that wrote each id of the writer, 0 where it is absent. */
static bool observe(checker *c, const crash_writer *w)
{
    uint16_t all[CRASH_IDS];
    for (uint16_t i = 0; i < CRASH_IDS; i++) {
        all[i] = i;
    }
    crash_ids *ids = crash_must(malloc(sizeof *ids));
    Omen__V1__BatchGetRequest request;
    omen__v1__batch_get_request__init(&request);
    crash_make_ids(w, all, CRASH_IDS, ids);
    request.collection = om_remote_text(crash_names[crash_collection(w)]);
    request.ids = &ids->ids;
    request.with_vectors = true;
    om_rpcc_status status;
    const Omen__V1__BatchGetResponse *reply = crash_call(
        c->client, "/omen.v1.Items/BatchGet", crash_must(om_remote_pack(&request.base)),
        CRASH_PATIENCE_MS, &omen__v1__batch_get_response__descriptor, &c->arena, &status);
    free(ids);
    if (reply == NULL) {
        crash_problem(c->run, CRASH_OTHER, "BatchGet: %d %s", status.code, status.message);
        return false;
    }
    size_t found = CRASH_IDS - reply->n_missing;
    const Omen__V1__VectorColumn *column = reply->items != NULL ? reply->items->vectors : NULL;
    size_t want = found * CRASH_DIM * sizeof(float);
    if (found > CRASH_IDS || (found > 0 && (column == NULL || column->data.len != want))) {
        crash_problem(c->run, CRASH_OTHER, "BatchGet: %zu found with vectors of the wrong size",
                      found);
        return false;
    }
    size_t missing = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < CRASH_IDS; i++) {
        float row[CRASH_DIM];
        if (missing < reply->n_missing && reply->missing[missing] == i) {
            missing++;
            c->seen[i] = 0;
            continue;
        }
        memcpy(row, column->data.data + at++ * sizeof row, sizeof row);
        c->seen[i] = crash_who_wrote(w, i, row);
    }
    return true;
}

static void compare(const checker *c, const crash_writer *w)
{
    for (uint32_t i = 0; i < CRASH_IDS; i++) {
        unsigned long long want = w->now[i];
        unsigned long long seen = c->seen[i];
        if (want == seen) {
            continue;
        }
        if (want == 0) {
            crash_problem(c->run, CRASH_RESURRECTED,
                          "%s, writer-%u: id %u was deleted and is there as of batch %llu",
                          crash_names[crash_collection(w)], w->index, i, seen);
        } else if (seen == UINT64_MAX) {
            crash_problem(c->run, CRASH_LOST, "%s, writer-%u: id %u has bytes that nobody wrote",
                          crash_names[crash_collection(w)], w->index, i);
        } else {
            crash_problem(c->run, seen < want ? CRASH_LOST : CRASH_DOUBLED,
                          "%s, writer-%u: id %u is as of batch %llu, must be of %llu (acked %llu, "
                          "sent %llu)",
                          crash_names[crash_collection(w)], w->index, i, seen, want,
                          (unsigned long long)w->acked, (unsigned long long)w->sent);
        }
    }
}

/* ---- What was under way ------------------------------------------------------------------------ */

/* Asks the server how far a stream is. */
static void settle_stream(checker *c, crash_writer *w)
{
    om_rpcc_stream *stream = NULL;
    om_rpcc_status status = {.code = OMEN_DEADLINE_EXCEEDED};
    om_rpcc_buf *message = NULL;
    om_rpcc_buf *open = crash_pack_open(w);
    om_rpcc_event event = OM_RPCC_NOTHING;
    if (om_rpcc_stream_open(c->client, "/omen.v1.Items/StreamWrite", &stream, &status)) {
        (void)om_rpcc_stream_send(stream, open);
        do {
            event = om_rpcc_stream_poll(stream, CRASH_PATIENCE_MS, &message, &status);
        } while (event == OM_RPCC_SENT);
    }
    om_tool_error err;
    const Omen__V1__StreamWriteResponse *m =
        event != OM_RPCC_MESSAGE ? NULL
                                 : om_remote_unpack(&omen__v1__stream_write_response__descriptor,
                                                    message, &c->arena, &err);
    if (m != NULL && m->message_case == OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_OPENED) {
        crash_on_opened(w, m->opened->last_seq);
    } else {
        crash_problem(c->run, status.code == OMEN_NOT_FOUND ? CRASH_LOST : CRASH_OTHER,
                      "writer-%u cannot open its stream: %d %s", w->index, status.code,
                      status.message);
    }
    om_rpcc_buf_unref(message);
    om_rpcc_buf_unref(open);
    om_rpcc_stream_free(stream);
}

/* The batch of the call that was under way is there wholly or not at all; the call made again says the
 * same. */
static void settle_single(checker *c, crash_writer *w)
{
    if (w->acked == w->made || !observe(c, w)) {
        return;
    }
    crash_batch *b = crash_at(w, w->made);
    uint64_t after[CRASH_IDS];
    memcpy(after, w->now, sizeof after);
    crash_apply(b, after);
    bool none = memcmp(c->seen, w->now, sizeof after) == 0;
    bool all = memcmp(c->seen, after, sizeof after) == 0;
    bool tried = w->sent == w->made;
    if ((!none && !all) || (!none && !tried)) {
        crash_problem(c->run, CRASH_OTHER, "writer-%u: of call %llu a part is there", w->index,
                      (unsigned long long)b->number);
        compare(c, w);
        return;
    }
    bool replayed = false;
    w->unsure = tried;
    if (!crash_try_single(w, c->client, &c->arena, CRASH_PATIENCE_MS, &replayed) || all == none) {
        return; /* a problem, or a batch that changes nothing: both answers are right */
    }
    if (replayed != all) {
        crash_problem(c->run, all ? CRASH_DOUBLED : CRASH_LOST,
                      "writer-%u: call %llu is %s, but the server says that it is %s", w->index,
                      (unsigned long long)b->number, all ? "there" : "not there",
                      replayed ? "known" : "new");
    }
}

/* ---- Whole collections ------------------------------------------------------------------------- */

static uint64_t live_items(const crash_run *run, uint32_t collection)
{
    uint64_t live = 0;
    for (uint32_t n = collection; n < CRASH_WRITERS; n += CRASH_COLLECTIONS) {
        for (uint32_t i = 0; i < CRASH_IDS; i++) {
            live += run->writers[n].now[i] != 0;
        }
    }
    return live;
}

static void check_count(checker *c, uint32_t collection, uint64_t live)
{
    Omen__V1__CountRequest request;
    omen__v1__count_request__init(&request);
    request.collection = om_remote_text(crash_names[collection]);
    om_rpcc_status status;
    const Omen__V1__CountResponse *reply =
        crash_call(c->client, "/omen.v1.Items/Count", crash_must(om_remote_pack(&request.base)),
                   CRASH_PATIENCE_MS, &omen__v1__count_response__descriptor, &c->arena, &status);
    if (reply == NULL) {
        crash_problem(c->run, CRASH_OTHER, "Count: %d %s", status.code, status.message);
    } else if (reply->count != live) {
        crash_problem(c->run, reply->count > live ? CRASH_DOUBLED : CRASH_LOST,
                      "%s has %llu items, must have %llu", crash_names[collection],
                      (unsigned long long)reply->count, (unsigned long long)live);
    }
}

static void check_hits(checker *c, uint32_t collection, const Omen__V1__SearchResponse *reply,
                       uint64_t live)
{
    static uint8_t times[CRASH_WRITERS][CRASH_IDS];
    memset(times, 0, sizeof times);
    size_t hits = om_remote_ids_count(reply->ids);
    for (size_t i = 0; i < hits; i++) {
        uint32_t writer;
        uint32_t id;
        if (!crash_read_id(collection, reply->ids, i, &writer, &id)) {
            crash_problem(c->run, CRASH_OTHER, "%s: a search finds an id that nobody wrote",
                          crash_names[collection]);
        } else if (c->run->writers[writer].now[id] == 0) {
            crash_problem(c->run, CRASH_RESURRECTED, "%s: a search finds id %u of writer-%u",
                          crash_names[collection], id, writer);
        } else if (++times[writer][id] == 2) {
            crash_problem(c->run, CRASH_DOUBLED, "%s: a search finds id %u of writer-%u twice",
                          crash_names[collection], id, writer);
        }
    }
    if (hits < live) {
        crash_problem(c->run, CRASH_LOST, "%s: a search for everything finds %zu of %llu",
                      crash_names[collection], hits, (unsigned long long)live);
    }
}

/* All items by an exact search: each id once. */
static void check_search(checker *c, uint32_t collection, uint64_t live)
{
    float query[CRASH_DIM];
    Omen__V1__VectorColumn column;
    omen__v1__vector_column__init(&column);
    Omen__V1__VectorLeg leg;
    omen__v1__vector_leg__init(&leg);
    Omen__V1__Leg any;
    omen__v1__leg__init(&any);
    Omen__V1__Leg *legs[1] = {&any};
    Omen__V1__SearchRequest request;
    omen__v1__search_request__init(&request);
    crash_row(&c->run->writers[collection], 1, 1, query);
    column.type = OMEN__V1__DATA_TYPE__DATA_TYPE_F32;
    column.dim = CRASH_DIM;
    column.data.data = (uint8_t *)query;
    column.data.len = sizeof query;
    leg.vector = &column;
    leg.exact = true;
    any.query_case = OMEN__V1__LEG__QUERY_VECTOR;
    any.vector = &leg;
    request.collection = om_remote_text(crash_names[collection]);
    request.limit = (uint32_t)live + 16;
    request.n_legs = 1;
    request.legs = legs;
    om_rpcc_status status;
    const Omen__V1__SearchResponse *reply =
        crash_call(c->client, "/omen.v1.Items/Search", crash_must(om_remote_pack(&request.base)),
                   CRASH_PATIENCE_MS, &omen__v1__search_response__descriptor, &c->arena, &status);
    if (reply == NULL) {
        crash_problem(c->run, CRASH_OTHER, "Search: %d %s", status.code, status.message);
        return;
    }
    check_hits(c, collection, reply, live);
}

static bool create(checker *c)
{
    for (uint32_t i = 0; i < CRASH_COLLECTIONS; i++) {
        Omen__V1__CollectionConfig config;
        omen__v1__collection_config__init(&config);
        Omen__V1__CreateCollectionRequest request;
        omen__v1__create_collection_request__init(&request);
        config.dim = CRASH_DIM;
        config.id_type = (Omen__V1__IdType)crash_id_types[i];
        config.durability = (Omen__V1__Durability)(OMEN_DURABILITY_NONE + i);
        request.name = om_remote_text(crash_names[i]);
        request.config = &config;
        om_rpcc_status status;
        if (crash_call(c->client, "/omen.v1.Collections/CreateCollection",
                       crash_must(om_remote_pack(&request.base)), CRASH_PATIENCE_MS,
                       &omen__v1__collection__descriptor, &c->arena, &status) == NULL) {
            crash_problem(c->run, CRASH_OTHER, "%s cannot be created: %d %s", crash_names[i],
                          status.code, status.message);
            return false;
        }
    }
    return true;
}

/* What recovery had to do, for the report: a run that never replays or seals proves little. */
static void note_recovery(checker *c)
{
    Omen__V1__GetDatabaseInfoRequest request;
    omen__v1__get_database_info_request__init(&request);
    om_rpcc_status status;
    const Omen__V1__DatabaseInfo *info =
        crash_call(c->client, "/omen.v1.Maintenance/GetDatabaseInfo",
                   crash_must(om_remote_pack(&request.base)), CRASH_PATIENCE_MS,
                   &omen__v1__database_info__descriptor, &c->arena, &status);
    if (info == NULL || info->state != OMEN__V1__DATABASE_INFO__STATE__STATE_WRITABLE) {
        crash_problem(c->run, CRASH_OTHER, "the database is not writable: %s",
                      info != NULL ? info->reason : status.message);
        return;
    }
    crash_run *run = c->run;
    run->recovered_rows += info->recovered_rows;
    run->replayed_records += info->replayed_records;
    run->segments_most = info->segments > run->segments_most ? info->segments : run->segments_most;
}

void crash_check(crash_run *run)
{
    double begin = om_tool_now();
    checker *c = crash_must(calloc(1, sizeof *c));
    c->run = run;
    c->client = crash_connect(run);
    om_arena_init(&c->arena, NULL, 0, 0);
    note_recovery(c);
    run->created = run->created || create(c);
    for (uint32_t n = 0; n < CRASH_WRITERS && !crash_is_bad(run); n++) {
        crash_writer *w = &run->writers[n];
        if (w->stream) {
            settle_stream(c, w);
        } else {
            settle_single(c, w);
        }
        if (!crash_is_bad(run) && observe(c, w)) {
            compare(c, w);
        }
    }
    for (uint32_t i = 0; i < CRASH_COLLECTIONS && !crash_is_bad(run); i++) {
        uint64_t live = live_items(run, i);
        check_count(c, i, live);
        check_search(c, i, live);
    }
    om_rpcc_close(c->client);
    om_arena_reset(&c->arena);
    free(c);
    run->seconds_checking += om_tool_now() - begin;
}
