/* engine_snapshot_test.c - snapshots stay what they were while items are replaced and deleted, segments
 * sealed and merged; for every type of ids. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "engine_pile.h"

enum { ITEMS = 700, DIM = 8, MOST = 8 };

/* A snapshot and the model of its moment. */
typedef struct moment {
    omen_collection *snapshot;
    pile_item *item;
} moment;

static moment take(pile *p)
{
    moment m = {.item = malloc(p->items * sizeof *m.item)};
    assert_non_null(m.item);
    memcpy(m.item, p->item, p->items * sizeof *m.item);
    OK(&p->f, omen_snapshot(p->f.c, &m.snapshot, &p->f.err));
    return m;
}

/* Everything that can be read through the handle is compared with the model of that moment. */
static void check(pile *p, const moment *m)
{
    pile past = *p;
    past.item = m->item;
    past.f.c = m->snapshot;
    pile_check(&past);
}

static void drop(moment *m)
{
    omen_collection_free(m->snapshot);
    free(m->item);
}

static void snapshots_stay(void **state)
{
    (void)state;
    static const uint32_t ids[] = {OMEN_ID_U64, OMEN_ID_UUID, OMEN_ID_STRING};
    for (uint32_t i = 0; i < 3; i++) {
        pile p;
        moment m[MOST];
        pile_options options = {.collection = {.dim = DIM, .id_type = ids[i]},
                                .threads = 2,
                                .items = ITEMS};
        pile_open(&p, "snapshot", &options);
        m[0] = take(&p); /* of nothing */
        pile_put_range(&p, 0, 400);
        m[1] = take(&p);
        pile_churn(&p, 0, 500, 120, 80);
        m[2] = take(&p);
        pile_freeze(&p);
        pile_churn(&p, 0, 500, 120, 80);
        m[3] = take(&p);
        pile_seal(&p);
        m[4] = take(&p);
        pile_churn(&p, 0, 700, 150, 100);
        m[5] = take(&p);
        pile_seal(&p);
        bool done = false;
        OK(&p.f, pile_merge(&p, true, NULL, NULL, &done));
        assert_true(done);
        m[6] = take(&p);
        pile_churn(&p, 0, 700, 150, 100);
        m[7] = take(&p);
        pile_check(&p);
        for (uint32_t at = 0; at < MOST; at++) {
            check(&p, &m[at]);
        }
        for (uint32_t at = 0; at < MOST; at += 2) {
            drop(&m[at]);
        }
        for (uint32_t at = 1; at < MOST; at += 2) {
            check(&p, &m[at]);
            drop(&m[at]);
        }
        pile_check(&p);
        pile_close(&p);
    }
}

static void a_snapshot_outlives_the_rest(void **state)
{
    (void)state;
    pile p;
    pile_options options = {
        .collection = {.dim = DIM, .id_type = OMEN_ID_STRING}, .threads = 1, .items = ITEMS};
    pile_open(&p, "outlives", &options);
    pile_put_range(&p, 0, ITEMS);
    moment m = take(&p);
    pile_seal(&p);
    omen_collection_free(p.f.c);
    omen_db_free(p.f.db);
    p.f.c = m.snapshot;
    p.f.db = NULL;
    pile_check(&p);
    free(m.item);
    pile_close(&p);
}

static void it_can_only_be_read(void **state)
{
    (void)state;
    pile p;
    pile_options options = {.collection = {.dim = DIM}, .threads = 1, .items = ITEMS};
    pile_open(&p, "readonly", &options);
    pile_put_range(&p, 0, 100);
    moment m = take(&p);
    uint64_t key = 3;
    float row[DIM] = {0};
    omen_batch batch = {
        .struct_size = sizeof batch, .count = 1, .dim = DIM, .vectors = row, .keys = &key};
    omen_collection *again = NULL;
    FAILS(&p.f, omen_add_batch(m.snapshot, &batch, NULL, NULL, &p.f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    FAILS(&p.f, omen_delete_batch(m.snapshot, &batch, NULL, NULL, &p.f.err),
          OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY);
    FAILS(&p.f, omen_snapshot(m.snapshot, &again, &p.f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    assert_null(again);
    /* Versions after its own are not its to wait for. */
    pile_put_range(&p, 100, 1);
    omen_write_progress now = {.struct_size = sizeof now};
    OK(&p.f, omen_get_progress(p.f.c, &now, &p.f.err));
    omen_query query = {.struct_size = sizeof query,
                        .vectors = row,
                        .dim = DIM,
                        .count = 1,
                        .k = 1,
                        .min_version = now.visible_version};
    omen_hits hits = {.struct_size = sizeof hits, .keys = &key};
    FAILS(&p.f, omen_search(m.snapshot, &query, &hits, &p.f.err), OMEN_OUT_OF_RANGE, OMEN_D_NONE);
    OK(&p.f, omen_search(p.f.c, &query, &hits, &p.f.err));
    drop(&m);
    pile_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_stay),
        cmocka_unit_test(a_snapshot_outlives_the_rest),
        cmocka_unit_test(it_can_only_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
