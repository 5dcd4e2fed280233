/* fault_judge.c - whether a disk that a power failure left holds what was promised.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "engine_disk.h"
#include "fault_data.h"

enum { SECOND_CRASHES = 3, CRASHES_AFTER_KILL = 6 };

typedef struct look {
    const fault_run *run;
    fault_bounds bounds;
    uint64_t dice;
    om_io io;
    uint32_t step; /* whose state the database has */
    char *why;
} look;

fault_bounds fault_bounds_of(const fault_run *run, uint64_t mark)
{
    uint32_t started = (uint32_t)(mark >> 1);
    uint32_t acknowledged = (mark & 1) != 0 || started == 0 ? started : started - 1;
    return (fault_bounds){
        .floor = run->floor[acknowledged], .started = started, .acknowledged = acknowledged};
}

static bool bad(const look *l, const char *what, const char *detail)
{
    char text[FAULT_WHY];
    (void)snprintf(text, sizeof text, "%s", detail);
    (void)snprintf(l->why, FAULT_WHY, "%.100s: %.380s", what, text);
    return false;
}

static bool same(const fault_state *a, const fault_state *b)
{
    char why[FAULT_WHY];
    fault_difference(a, b, why);
    return why[0] == '\0';
}

/* The newest step between the two whose state this is. */
static bool match(look *l, const fault_state *got, uint32_t least, uint32_t most)
{
    for (uint32_t i = most + 1; i-- > least;) {
        if (same(&l->run->state[i], got)) {
            l->step = i;
            return true;
        }
    }
    char older[200], newer[FAULT_WHY], text[FAULT_WHY];
    fault_difference(&l->run->state[least], got, text);
    (void)snprintf(older, sizeof older, "%.199s", text);
    fault_difference(&l->run->state[most], got, newer);
    (void)snprintf(text, sizeof text, "after step %u: %.180s; after step %u: %.180s", least, older,
                   most, newer);
    return bad(l, "the content is of no step that it may be of", text);
}

static bool check_stats(const look *l, omen_db *db)
{
    omen_db_stats stats = {.struct_size = sizeof stats};
    omen_error err;
    char text[FAULT_WHY];
    if (omen_get_db_stats(db, &stats, &err) != OMEN_OK) {
        return bad(l, "no statistics", err.message);
    }
    if (stats.state != OMEN_DB_WRITABLE) {
        (void)snprintf(text, sizeof text, "state %u: %.150s", stats.state, stats.reason);
        return bad(l, "cannot be written", text);
    }
    uint64_t least = l->run->version[l->bounds.acknowledged];
    if (stats.version < least) {
        (void)snprintf(text, sizeof text, "%llu, and %llu was durable",
                       (unsigned long long)stats.version, (unsigned long long)least);
        return bad(l, "the version went back", text);
    }
    return true;
}

/* Sends the newest step again: it is applied exactly once, whether it was there or not. */
static bool send_again(look *l, omen_db *db)
{
    uint32_t step = l->bounds.started;
    const fault_step *s = &l->run->step[step];
    bool repeatable = s->action == FAULT_ADD || s->action == FAULT_DELETE;
    if (step == 0 || !repeatable || !(s->stream || s->request) || s->status != OMEN_OK ||
        l->step + 1 < step) {
        return true;
    }
    omen_open_options options = {.struct_size = sizeof options, .warm = OMEN_WARM_NONE};
    omen_collection *c = NULL;
    omen_write_result result = {.struct_size = sizeof result};
    fault_state got;
    omen_error err = {0};
    omen_status_t status = omen_open(db, fault_kinds[s->c].name, &options, &c, &err);
    if (status == OMEN_OK) {
        status = fault_send(l->run, step, c, &result, &err);
    }
    omen_collection_free(c);
    if (status != OMEN_OK) {
        return bad(l, "the newest step cannot be sent again", err.message);
    }
    /* A step that leads back to a state before it (it deleted what was not there, or what another step has
     * put there, which was lost) cannot be told from its absence. */
    bool told = true;
    for (uint32_t i = l->bounds.floor; i < step; i++) {
        told = told && !same(&l->run->state[step], &l->run->state[i]);
    }
    if (told && (result.replayed != 0) != (l->step == step)) {
        return bad(l, "sent again",
                   result.replayed != 0 ? "taken for a repeat, and it is not there"
                                        : "applied twice");
    }
    return fault_read(db, false, &got, l->why) && match(l, &got, step, step);
}

/* A database that must be whole, and of one of the steps. */
static bool look_into(look *l, omen_runtime *rt, const char *path, uint32_t least, uint32_t most)
{
    omen_error err;
    fault_state got;
    omen_db *db = fault_open(&l->io, rt, path, &err);
    if (db == NULL) {
        return bad(l, path, err.message);
    }
    bool fine = fault_read(db, true, &got, l->why) && match(l, &got, least, most);
    omen_db_free(db);
    return fine;
}

static bool is_there(const look *l, const char *path)
{
    om_io_stat info = {0};
    bool found = false;
    return om_io_look(&l->io, path, &info, &found, NULL) == OMEN_OK && found;
}

static bool judge_backup(look *l, omen_runtime *rt, uint32_t step)
{
    char from[64];
    const char *to = "/judged";
    omen_backup_options options = {.struct_size = sizeof options, .runtime = rt};
    omen_backup_result result = {.struct_size = sizeof result};
    omen_error err;
    fault_backup_path(step, false, from, sizeof from);
    if (!is_there(l, from)) {
        return step > l->bounds.acknowledged || bad(l, from, "is not there");
    }
    if (om_restore(&l->io, from, to, &options, &result, &err) != OMEN_OK) {
        return bad(l, from, err.message);
    }
    return look_into(l, rt, to, l->run->floor[step - 1], step);
}

static uint32_t source_of(const fault_run *run, uint32_t step)
{
    for (uint32_t i = step; i-- > 1;) {
        if (run->step[i].action == FAULT_BACKUP && run->step[i].status == OMEN_OK) {
            return i;
        }
    }
    return 0;
}

static bool judge_restored(look *l, omen_runtime *rt, uint32_t step)
{
    char path[64];
    uint32_t source = source_of(l->run, step);
    fault_backup_path(step, true, path, sizeof path);
    if (!is_there(l, path)) {
        return step > l->bounds.acknowledged || bad(l, path, "is not there");
    }
    return look_into(l, rt, path, l->run->floor[source - 1], source);
}

/* Backups and restored databases on the same disk. */
static bool judge_copies(look *l, omen_runtime *rt)
{
    for (uint32_t i = l->bounds.started; i >= 1; i--) {
        const fault_step *s = &l->run->step[i];
        if (s->action == FAULT_BACKUP && s->status == OMEN_OK) {
            return judge_backup(l, rt, i);
        }
        if (s->action == FAULT_RESTORE && s->status == OMEN_OK) {
            return judge_restored(l, rt, i);
        }
    }
    return true;
}

/* disk: NULL, or marked when the content was seen and when a step was sent again. */
static bool judge_open(look *l, omen_runtime *rt, bool send, sim_disk *disk)
{
    omen_error err;
    fault_state got;
    omen_db *db = fault_open(&l->io, rt, FAULT_DB, &err);
    if (db == NULL) {
        return bad(l, "cannot be opened", err.message);
    }
    bool fine = check_stats(l, db) && fault_read(db, l->dice % 4 == 0, &got, l->why) &&
                match(l, &got, l->bounds.floor, l->bounds.started);
    if (fine && disk != NULL) {
        sim_disk_mark(disk, fault_mark(l->step, true));
    }
    if (fine && send) {
        fine = send_again(l, db);
        if (fine && disk != NULL && l->run->floor[l->step] == l->step) {
            sim_disk_mark(disk, fault_mark(l->step, true));
        }
    }
    omen_db_free(db);
    return fine;
}

/* What was found once is found again, after a clean end. */
static bool judge_again(look *l, omen_runtime *rt)
{
    return look_into(l, rt, FAULT_DB, l->step, l->step);
}

static bool crash_again(const look *l, const sim_trace *trace, uint32_t depth)
{
    uint64_t rng = om_mix64(l->dice);
    size_t length = sim_trace_length(trace);
    for (int i = 0; i < SECOND_CRASHES && length != 0; i++) {
        size_t stop = om_rng_below(&rng, (uint32_t)length) + 1;
        sim_crash *crash = sim_crash_create(trace);
        while (sim_crash_at(crash) < stop && sim_crash_next(crash)) {
        }
        uint64_t dice = om_rng_next(&rng);
        sim_image *image = sim_crash_state(crash, (sim_kept)(dice % 4), dice);
        bool fine = fault_judge(l->run, image, l->bounds, dice, depth - 1, l->why);
        sim_image_free(image);
        sim_crash_free(crash);
        if (!fine) {
            char text[FAULT_WHY];
            (void)snprintf(text, sizeof text, "%s", l->why);
            return bad(l, "after a second power failure, during recovery", text);
        }
    }
    return true;
}

bool fault_judge(const fault_run *run, const sim_image *image, fault_bounds bounds, uint64_t dice,
                 uint32_t depth, char *why)
{
    if (run->seen != NULL) {
        run->seen(run->seen_arg, sim_image_hash(image));
    }
    sim_disk *disk = sim_disk_create(image);
    sim_disk_limit(disk, FAULT_DISK);
    look l = {.run = run, .bounds = bounds, .dice = dice, .io = sim_disk_io(disk), .why = why};
    why[0] = '\0';
    if (depth != 0) {
        sim_disk_record(disk);
        l.dice &= ~(uint64_t)15; /* nothing may be sent to a disk that is looked at again */
    }
    bool fine = judge_open(&l, run->rt, l.dice % 8 == 1, NULL);
    sim_trace *trace = sim_disk_recorded(disk);
    if (fine && trace != NULL) {
        fine = crash_again(&l, trace, depth);
    }
    if (fine && dice % 4 == 2) {
        fine = judge_again(&l, run->rt);
    }
    if (fine && (dice % 16 == 3 || run->step[bounds.started].action == FAULT_BACKUP ||
                 run->step[bounds.started].action == FAULT_RESTORE)) {
        fine = judge_copies(&l, run->rt);
    }
    sim_open open = sim_disk_open(disk);
    if (fine && open.files + open.mappings != 0) {
        fine = bad(&l, "left open", "files or mappings");
    }
    sim_trace_free(trace);
    sim_disk_free(disk);
    return fine;
}

/* Power failures after a kill. What the second process saw and what it acknowledged stays. */
static bool crash_after_kill(const look *l, const sim_trace *trace, size_t given)
{
    uint64_t rng = om_mix64(l->dice);
    size_t length = sim_trace_length(trace) - given;
    for (int i = 0; i < CRASHES_AFTER_KILL && length != 0; i++) {
        size_t stop = given + om_rng_below(&rng, (uint32_t)length) + 1;
        sim_crash *crash = sim_crash_create(trace);
        while (sim_crash_at(crash) < stop && sim_crash_next(crash)) {
        }
        fault_bounds bounds = l->bounds;
        if (sim_crash_mark(crash) != 0) {
            bounds.floor = (uint32_t)(sim_crash_mark(crash) >> 1);
        }
        uint64_t dice = om_rng_next(&rng);
        sim_image *image = sim_crash_state(crash, (sim_kept)(dice % 4), dice);
        bool fine = fault_judge(l->run, image, bounds, dice & ~(uint64_t)15, 0, l->why);
        sim_image_free(image);
        sim_crash_free(crash);
        if (!fine) {
            char text[FAULT_WHY], what[100];
            (void)snprintf(text, sizeof text, "%s", l->why);
            (void)snprintf(what, sizeof what,
                           "after a kill, then %zu operations, then a power failure", stop - given);
            return bad(l, what, text);
        }
    }
    return true;
}

bool fault_judge_killed(const fault_run *run, const sim_crash *crash, fault_bounds bounds,
                        uint64_t dice, char *why)
{
    sim_disk *disk = sim_crash_killed(crash);
    look l = {.run = run, .bounds = bounds, .dice = dice, .io = sim_disk_io(disk), .why = why};
    why[0] = '\0';
    sim_disk_limit(disk, FAULT_DISK);
    bool fine = judge_open(&l, run->rt, true, disk);
    sim_trace *trace = sim_disk_recorded(disk);
    fine = fine && crash_after_kill(&l, trace, sim_crash_pending(crash));
    sim_trace_free(trace);
    sim_disk_free(disk);
    return fine;
}
