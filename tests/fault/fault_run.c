/* fault_run.c - runs the random program against a database. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "engine_disk.h"
#include "fault_data.h"

enum { SEAL_ROWS = 24, MOST_ROUNDS = 50 };

static const char *const action_names[FAULT_ACTIONS] = {
    "add",      "delete",   "create",     "drop",   "seal",    "merge",
    "optimize", "manifest", "checkpoint", "backup", "restore", "reopen",
};

void fault_describe(const fault_run *run, uint32_t step, char *text, size_t capacity)
{
    const fault_step *s = &run->step[step];
    (void)snprintf(text, capacity, "step %u: %s %s, items %u to %u%s%s, level %u: %s", step,
                   action_names[s->action], fault_kinds[s->c].name, s->first, s->first + s->count,
                   s->stream ? ", stream" : "", s->request ? ", request id" : "", s->durability,
                   omen_status_name(s->status));
}

void fault_backup_path(uint32_t step, bool restored, char *out, size_t capacity)
{
    (void)snprintf(out, capacity, "/%s-%u", restored ? "restored" : "backup", step);
}

omen_db *fault_open(const om_io *io, omen_runtime *rt, const char *path, omen_error *err)
{
    omen_db_options options = {.struct_size = sizeof options,
                               .runtime = rt,
                               .warm = OMEN_WARM_NONE,
                               .seal_rows = SEAL_ROWS};
    omen_db *db = NULL;
    return om_db_open_io(io, path, &options, &db, err) == OMEN_OK ? db : NULL;
}

/* ---- Choosing steps --------------------------------------------------------------------------------- */
typedef struct weight {
    fault_action action;
    uint32_t of;
} weight;
static const weight weights[] = {
    {FAULT_ADD, 46},     {FAULT_DELETE, 14},    {FAULT_SEAL, 9},    {FAULT_MERGE, 7},
    {FAULT_MANIFEST, 6}, {FAULT_CHECKPOINT, 3}, {FAULT_REOPEN, 3},  {FAULT_DROP, 2},
    {FAULT_OPTIMIZE, 2}, {FAULT_BACKUP, 3},     {FAULT_RESTORE, 2},
};

static uint32_t newest_backup(const fault_run *run, uint32_t before)
{
    for (uint32_t i = before; i-- > 1;) {
        if (run->step[i].action == FAULT_BACKUP && run->step[i].status == OMEN_OK) {
            return i;
        }
    }
    return 0;
}

/* Collections come one after the other, and come back after they were dropped. */
static bool wants_create(const fault_run *run, uint32_t step, uint32_t *c)
{
    static const uint32_t from[FAULT_KINDS] = {1, 6, 10, 15};
    for (*c = 0; *c < FAULT_KINDS; (*c)++) {
        if (!run->state[step - 1].exists[*c] && step >= from[*c]) {
            return true;
        }
    }
    return false;
}

static void choose_items(fault_step *s, uint64_t *rng)
{
    uint32_t ids = fault_kinds[s->c].ids;
    uint32_t most = fault_kinds[s->c].dim > 64 && om_rng_below(rng, 2) == 0 ? ids : 12;
    s->first = om_rng_below(rng, ids);
    s->count = 1 + om_rng_below(rng, most);
    if (s->action == FAULT_DELETE && om_rng_below(rng, 6) == 0) {
        s->count = ids / 2; /* makes segments that are worth being written again */
    }
    uint32_t raise = om_rng_below(rng, 4);
    s->durability = raise == 0 ? OMEN_DURABILITY_BATCH : OMEN_DURABILITY_DEFAULT;
    s->stream = om_rng_below(rng, 3) == 0;
    s->request = om_rng_below(rng, 3) == 0;
    s->patch = s->action == FAULT_ADD && fault_kinds[s->c].fields && om_rng_below(rng, 3) == 0;
    s->where = s->action == FAULT_DELETE && fault_kinds[s->c].fields && om_rng_below(rng, 3) == 0;
}

/* A PATCH is of items that are there: as many of the chosen ones as are, from the first on. */
static void fit_patch(fault_step *s, const fault_state *before)
{
    uint32_t there = 0;
    uint32_t ids = fault_kinds[s->c].ids;
    while (there < s->count && before->value[s->c][(s->first + there) % ids] != 0) {
        there++;
    }
    s->patch = s->patch && there != 0;
    s->count = s->patch ? there : s->count;
}

static void choose(fault_run *run, uint32_t step)
{
    uint64_t rng = om_mix64(run->seed * 1000003 + step);
    fault_step *s = &run->step[step];
    uint32_t missing = 0, total = 0;
    *s = (fault_step){.action = FAULT_ADD, .c = om_rng_below(&rng, FAULT_KINDS)};
    if (wants_create(run, step, &missing)) {
        s->action = FAULT_CREATE;
        s->c = missing;
        return;
    }
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        total += weights[i].of;
    }
    uint32_t dice = om_rng_below(&rng, total);
    size_t which = 0;
    for (; dice >= weights[which].of; which++) {
        dice -= weights[which].of;
    }
    s->action = weights[which].action;
    while (!run->state[step - 1].exists[s->c]) {
        s->c = (s->c + 1) % FAULT_KINDS; /* there is always one: the first is made first */
    }
    if (s->action == FAULT_RESTORE && newest_backup(run, step) == 0) {
        s->action = FAULT_BACKUP;
    }
    choose_items(s, &rng);
    fit_patch(s, &run->state[step - 1]);
}

/* A filter that these items pass, and no others. */
static omen_status_t delete_where(omen_collection *c, const uint32_t *ids, const omen_batch *batch,
                                  uint32_t count, omen_write_result *result, omen_error *err)
{
    char text[FAULT_IDS * 6 + 32];
    size_t at = (size_t)snprintf(text, sizeof text, "id IN (");
    omen_filter *filter = NULL;
    for (uint32_t i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u", i != 0 ? "," : "", ids[i]);
    }
    at += (size_t)snprintf(text + at, sizeof text - at, ")");
    omen_status_t status = omen_filter_compile(c, text, at, NULL, 0, &filter, err);
    if (status == OMEN_OK) {
        status = omen_delete_where(c, filter, batch, result, NULL, err);
    }
    omen_filter_free(filter);
    return status;
}

/* ---- Doing them ------------------------------------------------------------------------------------- */
omen_status_t fault_send(const fault_run *run, uint32_t step, omen_collection *c,
                         omen_write_result *result, omen_error *err)
{
    static _Thread_local float vectors[FAULT_IDS * FAULT_MAX_DIM];
    static _Thread_local fault_ids memory;
    static _Thread_local fault_objects objects;
    const fault_step *s = &run->step[step];
    const fault_kind *kind = &fault_kinds[s->c];
    uint32_t ids[FAULT_IDS];
    char request[32];
    for (uint32_t i = 0; i < s->count; i++) {
        ids[i] = (s->first + i) % kind->ids;
        fault_vector(s->c, ids[i], step, vectors + (size_t)i * kind->dim);
    }
    omen_column column = fault_column(s->c, ids, s->count, &memory);
    bool named = kind->id_type == OMEN_ID_STRING;
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = s->count,
                        .vectors = vectors,
                        .dim = kind->dim,
                        .durability = s->durability};
    if (named) {
        batch.ids = column;
    } else {
        batch.keys = memory.keys;
    }
    if (s->stream) {
        batch.stream_id = FAULT_STREAM;
        batch.stream_id_len = strlen(FAULT_STREAM);
        batch.seq = s->seq;
    }
    if (s->request) {
        int length = snprintf(request, sizeof request, "request-%u", step);
        batch.request_id = request;
        batch.request_id_len = (size_t)length;
    }
    if (kind->fields && s->action == FAULT_ADD) {
        batch.metadata = fault_metadata(ids, s->count, step, s->patch, &objects);
        batch.mode = s->patch ? OMEN_PATCH : OMEN_UPSERT;
    }
    *result = (omen_write_result){.struct_size = sizeof *result};
    if (s->where && run->state[step - 1].fields[s->c]) {
        return delete_where(c, ids, &batch, s->count, result, err);
    }
    return s->action == FAULT_ADD ? omen_add_batch(c, &batch, result, NULL, err)
                                  : omen_delete_batch(c, &batch, result, NULL, err);
}

static omen_status_t seal_all(omen_db *db, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (size_t i = 0; status == OMEN_OK; i++) {
        om_collection *c = om_db_at(db, i);
        if (c == NULL) {
            break;
        }
        om_stop stop = {0};
        bool done = true;
        om_mutex_lock(&c->save_mu);
        for (int round = 0; done && status == OMEN_OK && round < MOST_ROUNDS; round++) {
            status = om_seal_next(c, &stop, &done, err);
        }
        om_mutex_unlock(&c->save_mu);
        om_collection_unref(c);
    }
    return status;
}

static omen_status_t merge_all(omen_db *db, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (size_t i = 0; status == OMEN_OK; i++) {
        om_collection *c = om_db_at(db, i);
        if (c == NULL) {
            break;
        }
        om_stop stop = {0};
        bool done = true;
        om_mutex_lock(&c->save_mu);
        for (int round = 0; done && status == OMEN_OK && round < MOST_ROUNDS; round++) {
            status = om_merge_next(c, false, &stop, NULL, &done, err);
        }
        om_mutex_unlock(&c->save_mu);
        om_collection_unref(c);
    }
    return status;
}

static omen_status_t create(fault_run *run, uint32_t c, omen_error *err)
{
    const fault_kind *kind = &fault_kinds[c];
    const omen_field text = {.name = "text", .type = OMEN_TYPE_TEXT};
    omen_options options = {.struct_size = sizeof options,
                            .fields = kind->text ? &text : NULL,
                            .field_count = kind->text,
                            .dim = kind->dim,
                            .metric = kind->metric,
                            .id_type = kind->id_type,
                            .durability = kind->durability};
    return omen_create(run->db, kind->name, &options, &run->handle[c], err);
}

static omen_status_t drop(fault_run *run, uint32_t c, omen_error *err)
{
    omen_status_t status = omen_drop(run->db, fault_kinds[c].name, err);
    if (status == OMEN_OK) {
        omen_collection_free(run->handle[c]);
        run->handle[c] = NULL;
    }
    return status;
}

static omen_status_t backup(fault_run *run, uint32_t step, omen_error *err)
{
    char path[64], previous[64];
    uint32_t older = newest_backup(run, step);
    uint64_t dice = om_mix64(run->seed ^ step);
    omen_backup_options options = {.struct_size = sizeof options,
                                   .flags = (dice & 1) != 0 ? OMEN_BACKUP_COPY : 0,
                                   .runtime = run->rt};
    omen_backup_result result = {.struct_size = sizeof result};
    fault_backup_path(step, false, path, sizeof path);
    if (older != 0 && (dice & 2) != 0) {
        fault_backup_path(older, false, previous, sizeof previous);
        options.previous = previous;
    }
    return om_backup(run->db, path, &options, &result, err);
}

static omen_status_t restore(fault_run *run, uint32_t step, omen_error *err)
{
    char from[64], to[64];
    omen_backup_options options = {.struct_size = sizeof options, .runtime = run->rt};
    omen_backup_result result = {.struct_size = sizeof result};
    fault_backup_path(newest_backup(run, step), false, from, sizeof from);
    fault_backup_path(step, true, to, sizeof to);
    return om_restore(&run->io, from, to, &options, &result, err);
}

static void close_all(fault_run *run)
{
    for (uint32_t c = 0; c < FAULT_KINDS; c++) {
        omen_collection_free(run->handle[c]);
        run->handle[c] = NULL;
    }
    omen_db_free(run->db);
    run->db = NULL;
}

static omen_status_t reopen(fault_run *run, omen_error *err)
{
    omen_open_options options = {.struct_size = sizeof options, .warm = OMEN_WARM_NONE};
    omen_status_t status = OMEN_OK;
    close_all(run);
    run->db = fault_open(&run->io, run->rt, FAULT_DB, err);
    if (run->db == NULL) {
        return err->status;
    }
    for (uint32_t c = 0; c < FAULT_KINDS && status == OMEN_OK; c++) {
        status = omen_open(run->db, fault_kinds[c].name, &options, &run->handle[c], err);
        status = status == OMEN_NOT_FOUND ? OMEN_OK : status;
    }
    return status;
}

static omen_status_t act(fault_run *run, uint32_t step, omen_error *err)
{
    const fault_step *s = &run->step[step];
    omen_write_result result;
    switch (s->action) {
    case FAULT_ADD:
    case FAULT_DELETE:
        return fault_send(run, step, run->handle[s->c], &result, err);
    case FAULT_CREATE:
        return create(run, s->c, err);
    case FAULT_DROP:
        return drop(run, s->c, err);
    case FAULT_SEAL:
        return seal_all(run->db, err);
    case FAULT_MERGE:
        return merge_all(run->db, err);
    case FAULT_OPTIMIZE:
        return omen_optimize(run->handle[s->c], NULL, err);
    case FAULT_MANIFEST:
        return om_checkpoint_write(run->db, err);
    case FAULT_CHECKPOINT:
        return omen_checkpoint(run->db, NULL, err);
    case FAULT_BACKUP:
        return backup(run, step, err);
    case FAULT_RESTORE:
        return restore(run, step, err);
    case FAULT_REOPEN:
    case FAULT_ACTIONS:
        break;
    }
    return reopen(run, err);
}

/* ---- What they must lead to ------------------------------------------------------------------------- */
static bool changes(const fault_step *s)
{
    return s->action == FAULT_ADD || s->action == FAULT_DELETE || s->action == FAULT_CREATE ||
           s->action == FAULT_DROP;
}

static void apply(const fault_step *s, uint32_t step, fault_state *state)
{
    if (s->action == FAULT_CREATE || s->action == FAULT_DROP) {
        memset(state->value[s->c], 0, sizeof state->value[s->c]);
        state->last_seq[s->c] = 0;
        state->exists[s->c] = s->action == FAULT_CREATE;
        state->fields[s->c] = 0;
        return;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t id = (s->first + i) % fault_kinds[s->c].ids;
        state->value[s->c][id] = s->action == FAULT_ADD ? (uint16_t)step : 0;
    }
    state->fields[s->c] |= s->action == FAULT_ADD;
    state->last_seq[s->c] = s->stream ? s->seq : state->last_seq[s->c];
}

static bool makes_certain(const fault_step *s)
{
    uint32_t level = om_max_u32(s->durability, fault_kinds[s->c].durability);
    switch (s->action) {
    case FAULT_ADD:
    case FAULT_DELETE:
        return level == OMEN_DURABILITY_BATCH;
    case FAULT_CREATE:
    case FAULT_DROP:
    case FAULT_CHECKPOINT:
    case FAULT_REOPEN:
        return true;
    default:
        return false;
    }
}

static void note_version(fault_run *run, uint32_t step)
{
    omen_db_stats stats = {.struct_size = sizeof stats};
    omen_error err;
    run->version[step] = run->version[step - 1];
    if (run->db != NULL && omen_get_db_stats(run->db, &stats, &err) == OMEN_OK) {
        run->version[step] = stats.durable_version;
    }
}

static bool mistake(fault_run *run, uint32_t step, const char *what, const omen_error *err)
{
    char text[200];
    fault_describe(run, step, text, sizeof text);
    (void)snprintf(run->why, sizeof run->why, "%.200s: %s: %.250s", text, what, err->message);
    return false;
}

/* After a write whose outcome is not known: no more writes, and reading goes on. */
static bool check_failed_state(fault_run *run, uint32_t step)
{
    omen_error err = {0};
    omen_write_result result;
    omen_db_stats stats = {.struct_size = sizeof stats};
    uint64_t count = 0;
    omen_collection *c = run->handle[run->step[step].c];
    if (omen_get_db_stats(run->db, &stats, &err) != OMEN_OK || stats.state != OMEN_DB_FAILED ||
        stats.reason[0] == '\0') {
        return mistake(run, step, "the outcome is not known, and the database is not FAILED", &err);
    }
    if (c == NULL || run->step[step].count == 0) {
        return true;
    }
    if (omen_count(c, &count, &err) != OMEN_OK) {
        return mistake(run, step, "a database that cannot write cannot read", &err);
    }
    if (fault_send(run, step, c, &result, &err) == OMEN_OK && !result.replayed) {
        return mistake(run, step, "a write after one of unknown outcome", &err);
    }
    return true;
}

/* Refused is not applied; only OUTCOME_UNKNOWN leaves that open, and ends the run. */
static bool step_failed(fault_run *run, uint32_t step, const omen_error *err)
{
    fault_step *s = &run->step[step];
    run->version[step] = run->version[step - 1];
    if (!run->may_fail) {
        return mistake(run, step, "failed", err);
    }
    if (!changes(s) || s->detail != OMEN_D_OUTCOME_UNKNOWN) {
        return true;
    }
    run->unknown = step;
    run->steps = step;
    bool fine = check_failed_state(run, step);
    apply(s, step, &run->state[step]);
    return fine;
}

static bool do_chosen(fault_run *run, uint32_t step)
{
    omen_error err = {0};
    fault_step *s = &run->step[step];
    s->seq = run->state[step - 1].last_seq[s->c] + 1;
    run->state[step] = run->state[step - 1];
    run->floor[step] = run->floor[step - 1];
    run->done = step;
    sim_disk_mark(run->disk, fault_mark(step, false));
    s->status = act(run, step, &err);
    s->detail = err.detail;
    if (s->status != OMEN_OK) {
        return step_failed(run, step, &err);
    }
    if (changes(s)) {
        apply(s, step, &run->state[step]);
    }
    if (makes_certain(s)) {
        run->floor[step] = step;
    }
    note_version(run, step);
    sim_disk_mark(run->disk, fault_mark(step, true));
    return true;
}

static bool do_step(fault_run *run, uint32_t step)
{
    choose(run, step);
    return do_chosen(run, step);
}

/* The disk was full perhaps, and has space again: the database goes on without being opened again. */
static bool write_when_there_is_space(fault_run *run)
{
    uint32_t step = run->done + 1;
    omen_error err = {0};
    sim_disk_limit(run->disk, FAULT_DISK);
    sim_disk_advance(run->disk, UINT64_C(60) * 1000000000);
    run->may_fail = false;
    if (run->db == NULL) {
        omen_status_t status = reopen(run, &err);
        if (status != OMEN_OK) {
            return mistake(run, run->done, "cannot be opened when there is space again", &err);
        }
    }
    if (!run->state[run->done].exists[0] || run->handle[0] == NULL) {
        return true;
    }
    run->step[step] = (fault_step){.action = FAULT_ADD, .first = 1, .count = 5};
    return do_chosen(run, step);
}

bool fault_execute(fault_run *run, sim_disk *disk, omen_runtime *rt, uint64_t seed, uint32_t steps)
{
    omen_error err = {0};
    fault_run fresh = {.may_fail = run->may_fail,
                       .limit = run->limit,
                       .seen = run->seen,
                       .seen_arg = run->seen_arg};
    *run = fresh;
    run->seed = seed;
    run->steps = steps < FAULT_MAX_STEPS ? steps : (uint32_t)FAULT_MAX_STEPS;
    run->disk = disk;
    sim_disk_limit(disk, run->limit != 0 ? run->limit : FAULT_DISK);
    run->io = sim_disk_io(disk);
    run->rt = rt;
    run->db = fault_open(&run->io, rt, FAULT_DB, &err);
    bool fine = run->db != NULL || run->may_fail;
    if (!fine) {
        (void)snprintf(run->why, sizeof run->why, "cannot open: %s", err.message);
    }
    for (uint32_t i = 1; fine && run->db != NULL && i <= run->steps; i++) {
        fine = do_step(run, i);
    }
    if (fine && run->limit != 0) {
        fine = write_when_there_is_space(run);
    }
    close_all(run);
    return fine;
}
