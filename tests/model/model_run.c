/* model_run.c - one run: random operations on one collection. SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static void create(model_run *run)
{
    const omen_options options = {.struct_size = sizeof options,
                                  .dim = run->dim,
                                  .metric = run->metric,
                                  .dtype = run->dtype,
                                  .id_type = run->id_type,
                                  .quantization = run->quantization,
                                  .m = 4 + model_below(run, 16)};
    CHECK(run, omen_db_open(NULL, NULL, &run->db, &run->err) == OMEN_OK);
    CHECK(run, omen_create(run->db, "model", &options, &run->c, &run->err) == OMEN_OK);
    model_declare(run);
}

static void index_all(model_run *run)
{
    run->what = "wait";
    CHECK(run, omen_wait(run->c, 0, OMEN_WAIT_INDEXED, 0, NULL, &run->err) == OMEN_OK);
    omen_stats stats = {.struct_size = sizeof stats};
    CHECK(run, omen_get_stats(run->c, &stats, &run->err) == OMEN_OK);
    CHECK(run, stats.backlog_rows == 0 && stats.indexed_rows == stats.rows);
    CHECK(run, stats.count == run->live && stats.version == run->version);
}

/* The saved file holds what the collection held, opens read-only, and says so to writers. */
static void save_and_open(model_run *run)
{
    run->what = "save";
    CHECK(run, omen_save(run->c, run->path, NULL, &run->err) == OMEN_OK);
    const omen_open_options options = {.struct_size = sizeof options,
                                       .flags = model_below(run, 2) == 0 ? OMEN_OPEN_VERIFY : 0,
                                       .file = run->path,
                                       .warm = model_below(run, 3)};
    omen_collection *copy = NULL;
    run->what = "open";
    CHECK(run, omen_open(run->db, "copy", &options, &copy, &run->err) == OMEN_OK);
    model_read_only(run, copy);
    run->what = "write to a file";
    omen_batch empty = {.struct_size = sizeof empty, .dim = run->dim};
    CHECK(run, omen_add_batch(copy, &empty, NULL, NULL, &run->err) == OMEN_FAILED_PRECONDITION);
    CHECK(run, run->err.detail == OMEN_D_READ_ONLY);
    CHECK(run, omen_drop(run->db, "copy", &run->err) == OMEN_OK);
    omen_collection_free(copy);
}

static void one_operation(model_run *run)
{
    uint32_t dice = model_below(run, 100);
    if (dice < 24) {
        model_add(run);
    } else if (dice < 27) {
        model_patch(run);
    } else if (dice < 28) {
        model_delete_where(run);
    } else if (dice < 30) {
        model_add_bad(run);
    } else if (dice < 31) {
        model_repeat(run);
    } else if (dice < 46) {
        model_delete(run);
    } else if (dice < 56) {
        model_get(run, run->c);
    } else if (dice < 60) {
        model_read_fields(run, run->c);
    } else if (dice < 64) {
        model_lookup(run, run->c);
    } else if (dice < 78) {
        model_search(run, run->c, OMEN_EXACT);
    } else if (dice < 90) {
        model_search(run, run->c, model_below(run, 2) == 0 ? 0 : OMEN_GRAPH_ONLY);
    } else if (dice < 94) {
        model_scan(run, run->c);
    } else if (dice < 98) {
        index_all(run);
    } else {
        save_and_open(run);
    }
}

void model_execute(model_run *run)
{
    run->what = "create";
    run->items = calloc(run->universe, sizeof *run->items);
    CHECK(run, run->items != NULL);
    create(run);
    model_read_only(run, run->c); /* empty */
    for (run->op = 0; run->op < run->ops; run->op++) {
        one_operation(run);
    }
    model_read_only(run, run->c);
    index_all(run);
    save_and_open(run);
    run->what = "recall";
    CHECK(run, run->found * 100 >= run->wanted * 90);
    omen_collection_free(run->c);
    omen_db_free(run->db);
    free(run->items);
}
