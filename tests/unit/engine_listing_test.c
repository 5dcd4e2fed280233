/* engine_listing_test.c - pages, counts, facets and fetched metadata against the model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "things.h"

enum { ROWS = 3000 };

static void fill(things *t)
{
    things_put(t, 0, 1200);
    fx_index(&t->f);
    things_split(t);
    things_put(t, 1200, 1300);
    fx_index(&t->f);
    things_remove(t, 1, 2000, 4);
    things_put(t, 2500, 500);
    things_put(t, 100, 200); /* replaced */
}

/* ---- Pages --------------------------------------------------------------------------------------- */
typedef int (*thing_order)(const thing *a, const thing *b); /* both with a value */
typedef bool (*thing_has)(const thing *item);
typedef struct ordering {
    const char *field;
    thing_order order;
    thing_has has;
} ordering;
static int by_share(const thing *a, const thing *b)
{
    return (a->share > b->share) - (a->share < b->share);
}
static int by_number(const thing *a, const thing *b)
{
    return (a->number > b->number) - (a->number < b->number);
}
static int by_color(const thing *a, const thing *b)
{
    static const int place[THING_COLORS] = {3, 2, 0, 1, 4}; /* blue, d'or, green, red, e acute */
    return place[a->color] - place[b->color];
}
static int by_when(const thing *a, const thing *b)
{
    return (a->when > b->when) - (a->when < b->when);
}
static int by_on(const thing *a, const thing *b)
{
    return (int)a->on - (int)b->on;
}
static bool always(const thing *item)
{
    (void)item;
    return true;
}
static bool has_color(const thing *item)
{
    return item->color >= 0;
}
static const ordering orderings[] = {{"share", by_share, always},
                                     {"number", by_number, always},
                                     {"color", by_color, has_color},
                                     {"when", by_when, always},
                                     {"on", by_on, always}};

static const things *sorted_of;
static const ordering *sorted_by;
static bool sorted_down;
static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    const thing *p = &sorted_of->item[x], *q = &sorted_of->item[y];
    bool has_p = sorted_by->has(p), has_q = sorted_by->has(q);
    int order = has_p && has_q ? sorted_by->order(p, q) : 0;
    if (has_p != has_q) {
        return has_p ? -1 : 1;
    }
    if (order != 0) {
        return sorted_down ? -order : order;
    }
    return (x > y) - (x < y);
}

static uint32_t expected(const things *t, const thing_filter *filter, const ordering *by, bool down,
                         uint64_t *out)
{
    uint32_t n = 0;
    for (uint32_t key = 0; key < t->room; key++) {
        if (thing_passes(&t->item[key], filter)) {
            out[n++] = key;
        }
    }
    sorted_of = t;
    sorted_by = by;
    sorted_down = down;
    qsort(out, n, sizeof *out, compare);
    return n;
}

static uint32_t list_all(things *t, omen_collection *c, omen_listing listing, uint64_t page,
                         uint64_t *out)
{
    uint32_t n = 0;
    uint64_t count = page;
    for (bool first = true; count == page; first = false) {
        if (!first) {
            listing.flags |= OMEN_LIST_AFTER;
            listing.after = out[n - 1];
        }
        assert_true(n + page <= 2 * ROWS);
        OK(&t->f, omen_list_items(c, &listing, out + n, page, &count, &t->f.err));
        n += (uint32_t)count;
    }
    return n;
}

static void check_orders(things *t, omen_collection *c, const thing_filter *filter)
{
    static uint64_t got[2 * ROWS], truth[ROWS];
    static const uint64_t pages[] = {1000, 61, ROWS};
    omen_filter *compiled = filter != NULL ? things_compile(t, filter) : NULL;
    for (uint32_t i = 0; i < sizeof orderings / sizeof *orderings; i++) {
        for (uint32_t down = 0; down < 2; down++) {
            omen_listing listing = {.struct_size = sizeof listing,
                                    .flags = down != 0 ? OMEN_LIST_DESCENDING : 0u,
                                    .filter = compiled,
                                    .order_by = orderings[i].field};
            uint32_t n = list_all(t, c, listing, pages[(i + down) % 3], got);
            assert_int_equal(n, expected(t, filter, &orderings[i], down != 0, truth));
            assert_memory_equal(got, truth, n * sizeof *got);
        }
    }
    omen_filter_free(compiled);
}

static void pages_are_in_order(void **state)
{
    (void)state;
    things t;
    things_open(&t, OMEN_L2, ROWS, NULL);
    check_orders(&t, t.f.c, NULL);
    fill(&t);
    check_orders(&t, t.f.c, NULL);
    for (uint32_t i = 0; i < thing_filter_count; i++) {
        check_orders(&t, t.f.c, &thing_filters[i]);
    }
    things_close(&t);
}

static void written_order_is_kept(void **state)
{
    (void)state;
    static uint64_t up[2 * ROWS], down[2 * ROWS];
    things t;
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    for (uint32_t i = 0; i <= thing_filter_count; i++) {
        const thing_filter *filter = i < thing_filter_count ? &thing_filters[i] : NULL;
        omen_filter *compiled = filter != NULL ? things_compile(&t, filter) : NULL;
        omen_listing listing = {.struct_size = sizeof listing, .filter = compiled};
        uint32_t n = list_all(&t, t.f.c, listing, 77, up);
        assert_int_equal(n, things_matches(&t, filter));
        listing.flags = OMEN_LIST_DESCENDING;
        assert_int_equal(list_all(&t, t.f.c, listing, 500, down), n);
        for (uint32_t at = 0; at < n; at++) {
            assert_true(thing_passes(&t.item[up[at]], filter));
            assert_int_equal(up[at], down[n - 1 - at]);
            /* Written last: those that were replaced. */
            assert_true(at == 0 || (up[at] >= 100 && up[at] < 300) || up[at] > up[at - 1]);
        }
        omen_filter_free(compiled);
    }
    things_close(&t);
}

static void pages_of_snapshots_agree(void **state)
{
    (void)state;
    things t, past;
    omen_collection *snapshot = NULL;
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    past = t;
    past.item = malloc(ROWS * sizeof *past.item);
    assert_non_null(past.item);
    memcpy(past.item, t.item, ROWS * sizeof *past.item);
    OK(&t.f, omen_snapshot(t.f.c, &snapshot, &t.f.err));
    things_put(&t, 0, 1500);
    fx_index(&t.f);
    things_remove(&t, 0, ROWS, 3);
    for (uint32_t i = 0; i < thing_filter_count; i += 2) {
        check_orders(&past, snapshot, &thing_filters[i]);
        check_orders(&t, t.f.c, &thing_filters[i]);
    }
    omen_listing listing = {.struct_size = sizeof listing, .flags = OMEN_LIST_AFTER, .after = 3};
    uint64_t keys[4], count = 0;
    FAILS(&t.f, omen_list_items(t.f.c, &listing, keys, 4, &count, &t.f.err), OMEN_NOT_FOUND,
          OMEN_D_NONE);
    OK(&t.f, omen_list_items(snapshot, &listing, keys, 4, &count, &t.f.err));
    assert_int_equal(count, 4);
    omen_filter *all = things_compile(&t, &thing_filters[13]);
    FAILS(&t.f, omen_delete_where(snapshot, all, NULL, NULL, NULL, &t.f.err),
          OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY);
    omen_filter_free(all);
    omen_collection_free(snapshot);
    free(past.item);
    things_close(&t);
}

/* ---- Counts and facets --------------------------------------------------------------------------- */
static uint64_t at_offset(const omen_column *column, uint64_t i)
{
    uint64_t offset;
    memcpy(&offset, (const uint8_t *)column->offsets + i * sizeof offset, sizeof offset);
    return offset;
}

/* The count that the answer gives a value in JSON; 0: it is not there. */
static uint64_t counted(const omen_rows *rows, const char *json)
{
    omen_column values, counts;
    omen_rows_column(rows, OMEN_FIELD_VALUE, &values);
    omen_rows_column(rows, OMEN_FIELD_COUNT, &counts);
    assert_int_equal(values.offset_bits, 64);
    assert_int_equal(counts.width, 8);
    uint64_t found = 0, before = UINT64_MAX;
    for (uint64_t i = 0; i < omen_rows_count(rows); i++) {
        uint64_t n;
        uint64_t from = at_offset(&values, i), to = at_offset(&values, i + 1);
        memcpy(&n, (const uint8_t *)counts.data + i * sizeof n, sizeof n);
        assert_true(n != 0 && n <= before); /* most frequent first */
        before = n;
        if (to - from == strlen(json) &&
            memcmp((const char *)values.data + from, json, to - from) == 0) {
            assert_int_equal(found, 0);
            found = n;
        }
    }
    return found;
}

static void check_facets(things *t, omen_collection *c, const thing_filter *filter)
{
    static const char *const colors[] = {"\"red\"", "\"green\"", "\"blue\"", "\"d'or\"",
                                         "\"\xC3\xA9\""};
    omen_filter *compiled = filter != NULL ? things_compile(t, filter) : NULL;
    uint64_t color[THING_COLORS] = {0}, tag[THING_TAGS] = {0}, number[97] = {0}, on[2] = {0};
    omen_rows *rows = NULL;
    char json[32];
    for (uint32_t key = 0; key < t->room; key++) {
        const thing *item = &t->item[key];
        if (!thing_passes(item, filter)) {
            continue;
        }
        color[item->color >= 0 ? item->color : 0] += item->color >= 0;
        number[item->number + 20]++;
        on[item->on]++;
        for (uint32_t i = 0; i < THING_TAGS; i++) {
            tag[i] += item->tags >> i & 1;
        }
    }
    OK(&t->f, omen_facet(c, compiled, "color", 100, &rows, &t->f.err));
    for (uint32_t i = 0; i < THING_COLORS; i++) {
        assert_int_equal(counted(rows, colors[i]), color[i]);
    }
    omen_rows_free(rows);
    OK(&t->f, omen_facet(c, compiled, "tags", 100, &rows, &t->f.err));
    for (uint32_t i = 0; i < THING_TAGS; i++) {
        (void)snprintf(json, sizeof json, "\"t%u\"", i);
        assert_int_equal(counted(rows, json), tag[i]);
    }
    omen_rows_free(rows);
    OK(&t->f, omen_facet(c, compiled, "number", 1000, &rows, &t->f.err));
    for (int32_t i = 0; i < 97; i++) {
        (void)snprintf(json, sizeof json, "%d", i - 20);
        assert_int_equal(counted(rows, json), number[i]);
    }
    omen_rows_free(rows);
    OK(&t->f, omen_facet(c, compiled, "number", 3, &rows, &t->f.err));
    assert_true(omen_rows_count(rows) <= 3);
    (void)counted(rows, "");
    omen_rows_free(rows);
    OK(&t->f, omen_facet(c, compiled, "on", 2, &rows, &t->f.err));
    assert_int_equal(counted(rows, "true"), on[1]);
    assert_int_equal(counted(rows, "false"), on[0]);
    omen_rows_free(rows);
    uint64_t count = 0;
    OK(&t->f, omen_count_where(c, compiled, &count, &t->f.err));
    assert_int_equal(count, things_matches(t, filter));
    omen_filter_free(compiled);
}

static void facets_and_counts(void **state)
{
    (void)state;
    things t, past;
    omen_collection *snapshot = NULL;
    things_open(&t, OMEN_L2, ROWS, NULL);
    check_facets(&t, t.f.c, NULL);
    fill(&t);
    past = t;
    past.item = malloc(ROWS * sizeof *past.item);
    assert_non_null(past.item);
    memcpy(past.item, t.item, ROWS * sizeof *past.item);
    OK(&t.f, omen_snapshot(t.f.c, &snapshot, &t.f.err));
    things_put(&t, 0, 900);
    for (uint32_t i = 0; i <= thing_filter_count; i++) {
        const thing_filter *filter = i < thing_filter_count ? &thing_filters[i] : NULL;
        check_facets(&t, t.f.c, filter);
        check_facets(&past, snapshot, filter);
    }
    omen_collection_free(snapshot);
    free(past.item);
    things_close(&t);
}

/* Files: sealed segments, their merges, and what is written behind them. */
static void files_list_and_count_the_same(void **state)
{
    (void)state;
    things t;
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", fx_path("listings"));
    things_open(&t, OMEN_L2, ROWS, folder);
    things_put(&t, 0, 2000);
    OK(&t.f, omen_checkpoint(t.f.db, NULL, &t.f.err));
    things_remove(&t, 1, 2000, 4);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = round; i < thing_filter_count; i += 4) {
            check_orders(&t, t.f.c, &thing_filters[i]);
            check_facets(&t, t.f.c, &thing_filters[i]);
        }
        check_orders(&t, t.f.c, NULL);
        check_facets(&t, t.f.c, NULL);
        if (round == 0) {
            things_put(&t, 1900, 900);
            OK(&t.f, omen_optimize(t.f.c, NULL, &t.f.err));
        }
        things_put(&t, 2700, 300);
        things_reopen(&t);
    }
    things_close(&t);
    things_discard(folder);
}

static void values_that_are_as_frequent_come_in_order(void **state)
{
    (void)state;
    things t;
    omen_rows *rows = NULL;
    omen_column values;
    things_open(&t, OMEN_L2, 97, NULL);
    things_put(&t, 0, 97); /* each number once */
    OK(&t.f, omen_facet(t.f.c, NULL, "number", 4, &rows, &t.f.err));
    omen_rows_column(rows, OMEN_FIELD_VALUE, &values);
    assert_int_equal(omen_rows_count(rows), 4);
    assert_memory_equal(values.data, "-20-19-18-17", 12);
    omen_rows_free(rows);
    things_close(&t);
}

/* Elements that are twice in an array count once, in blocks and in single rows; long arrays take no longer
 * than their length. */
static void elements_of_an_array_count_once(void **state)
{
    (void)state;
    enum { LONG = 60000, ITEMS = 5000 };
    things t;
    omen_rows *rows = NULL;
    things_open(&t, OMEN_L2, 1, NULL);
    char *json = malloc(ITEMS * 64 + LONG * 8);
    int64_t *offsets = calloc(ITEMS + 1, sizeof *offsets);
    float *vectors = calloc((size_t)ITEMS * THING_DIM, sizeof *vectors);
    assert_true(json != NULL && offsets != NULL && vectors != NULL);
    for (uint32_t i = 0; i < ITEMS; i++) {
        char *at = json + offsets[i];
        int n = snprintf(at, 64, "{\"l\": [7, %u, 7, %u]", i % 3, i % 3);
        if (i == ITEMS - 1) { /* the last one is in no block */
            n = snprintf(at, 64, "{\"l\": [7");
            for (uint32_t e = 0; e < LONG; e++) {
                n += snprintf(at + n, 8, ",%u", e % (LONG / 2));
            }
            n += snprintf(at + n, 8, "]");
        }
        at[n] = '}';
        offsets[i + 1] = offsets[i] + n + 1;
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = ITEMS,
                        .vectors = vectors,
                        .dim = THING_DIM,
                        .metadata = {.data = json, .offsets = offsets, .offset_bits = 64}};
    OK(&t.f, omen_add_batch(t.f.c, &batch, NULL, NULL, &t.f.err));
    for (uint32_t round = 0; round < 2; round++) {
        OK(&t.f, omen_facet(t.f.c, NULL, "l", LONG, &rows, &t.f.err));
        assert_int_equal(omen_rows_count(rows), LONG / 2);
        omen_column counts;
        omen_rows_column(rows, OMEN_FIELD_COUNT, &counts);
        const uint64_t *count = counts.data;
        assert_int_equal(count[0], ITEMS); /* 7 */
        assert_int_equal(count[1] + count[2] + count[3], ITEMS - 1 + 3);
        assert_int_equal(count[LONG / 2 - 1], 1);
        omen_rows_free(rows);
        fx_index(&t.f); /* time for blocks */
    }
    free(json);
    free(offsets);
    free(vectors);
    things_close(&t);
}

/* ---- Fetching ------------------------------------------------------------------------------------ */
static bool holds(const omen_column *column, uint64_t i, const char *text)
{
    char all[800];
    uint64_t from = at_offset(column, i), to = at_offset(column, i + 1);
    assert_true(to - from < sizeof all);
    memcpy(all, (const char *)column->data + from, to - from);
    all[to - from] = '\0';
    return text[0] != '\0' ? strstr(all, text) != NULL : all[0] == '\0';
}

static void metadata_and_versions_are_fetched(void **state)
{
    (void)state;
    enum { MANY = 40 };
    static const char *const names[] = {"number", "on"};
    things t;
    omen_rows *rows = NULL;
    omen_column ids, json, versions;
    uint64_t keys[MANY];
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    omen_write_result result = {.struct_size = sizeof result};
    float vector[THING_DIM] = {1};
    uint64_t bare = 5000;
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = 1,
                        .vectors = vector,
                        .dim = THING_DIM,
                        .keys = &bare};
    OK(&t.f, omen_add_batch(t.f.c, &batch, &result, NULL, &t.f.err));
    for (uint32_t i = 0; i < MANY; i++) {
        keys[i] = i * 75;
    }
    keys[MANY - 1] = bare;
    keys[MANY - 2] = 999999;
    OK(&t.f, omen_fetch(t.f.c, keys, MANY, OMEN_FIELD_ID | OMEN_FIELD_METADATA | OMEN_FIELD_VERSION,
                        &rows, &t.f.err));
    assert_int_equal(omen_rows_count(rows), MANY);
    omen_rows_column(rows, OMEN_FIELD_ID, &ids);
    omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
    omen_rows_column(rows, OMEN_FIELD_VERSION, &versions);
    for (uint32_t i = 0; i < MANY - 2; i++) {
        const thing *item = &t.item[keys[i]];
        char part[64];
        (void)snprintf(part, sizeof part, "\"number\": %lld", (long long)item->number);
        assert_int_equal(holds(&json, i, part), item->alive);
        assert_int_equal(holds(&json, i, ""), !item->alive);
        assert_int_equal(holds(&json, i, "\"color\""), item->alive && item->color >= 0);
        assert_int_equal(((const uint64_t *)versions.data)[i] != 0, item->alive);
        assert_int_equal(((const uint64_t *)ids.data)[i], item->alive ? keys[i] : UINT64_MAX);
    }
    assert_true(holds(&json, MANY - 2, ""));
    assert_true(holds(&json, MANY - 1, "{}"));
    assert_int_equal(((const uint64_t *)versions.data)[MANY - 2], 0);
    assert_int_equal(((const uint64_t *)versions.data)[MANY - 1], result.version);
    omen_rows_free(rows);
    OK(&t.f, omen_fetch_fields(t.f.c, keys, MANY, OMEN_FIELD_METADATA, names, 2, &rows, &t.f.err));
    omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
    omen_rows_column(rows, OMEN_FIELD_ID, &ids);
    assert_null(ids.data);
    for (uint32_t i = 0; i < MANY - 2; i++) {
        const thing *item = &t.item[keys[i]];
        char whole[64];
        (void)snprintf(whole, sizeof whole, "{\"number\": %lld, \"on\": %s}",
                       (long long)item->number, item->on ? "true" : "false");
        assert_true(holds(&json, i, item->alive ? whole : ""));
    }
    omen_rows_free(rows);
    OK(&t.f, omen_fetch_fields(t.f.c, keys, 1, OMEN_FIELD_METADATA, NULL, 0, &rows, &t.f.err));
    omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
    assert_true(holds(&json, 0, "{}"));
    omen_rows_free(rows);
    things_close(&t);
}

/* ---- What is refused ----------------------------------------------------------------------------- */
static void bad_arguments_are_refused(void **state)
{
    (void)state;
    things t;
    omen_rows *rows = NULL;
    uint64_t keys[2] = {0, 1}, count = 0;
    static const char *const unknown[] = {"number", "nothing"};
    static const char *const missing[] = {NULL};
    omen_listing listing = {.struct_size = sizeof listing, .order_by = "tags"};
    things_open(&t, OMEN_L2, 10, NULL);
    things_put(&t, 0, 10);
    omen_collection *c = t.f.c;
    omen_error *err = &t.f.err;
    FAILS(&t.f, omen_list_items(c, &listing, keys, 2, &count, err), OMEN_INVALID_ARGUMENT,
          OMEN_D_TYPE);
    listing.order_by = "body";
    FAILS(&t.f, omen_list_items(c, &listing, keys, 2, &count, err), OMEN_INVALID_ARGUMENT,
          OMEN_D_TYPE);
    listing.order_by = "nothing";
    FAILS(&t.f, omen_list_items(c, &listing, keys, 2, &count, err), OMEN_INVALID_ARGUMENT,
          OMEN_D_FIELD);
    listing = (omen_listing){.struct_size = sizeof listing, .flags = 64};
    FAILS(&t.f, omen_list_items(c, &listing, keys, 2, &count, err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NONE);
    FAILS(&t.f, omen_list_items(c, NULL, keys, UINT64_MAX, &count, err), OMEN_INVALID_ARGUMENT,
          OMEN_D_LIMIT);
    FAILS(&t.f, omen_list_items(c, NULL, NULL, 1, &count, err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    OK(&t.f, omen_list_items(c, NULL, NULL, 0, &count, err));
    assert_int_equal(count, 0);
    FAILS(&t.f, omen_facet(c, NULL, "body", 1, &rows, err), OMEN_INVALID_ARGUMENT, OMEN_D_TYPE);
    FAILS(&t.f, omen_facet(c, NULL, "nothing", 1, &rows, err), OMEN_INVALID_ARGUMENT, OMEN_D_FIELD);
    FAILS(&t.f, omen_facet(c, NULL, NULL, 1, &rows, err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&t.f, omen_fetch(c, keys, 1, 0, &rows, err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&t.f, omen_fetch(c, keys, 1, OMEN_FIELD_VALUE, &rows, err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NONE);
    FAILS(&t.f, omen_fetch_fields(c, keys, 1, OMEN_FIELD_METADATA, unknown, 2, &rows, err),
          OMEN_INVALID_ARGUMENT, OMEN_D_FIELD);
    FAILS(&t.f, omen_fetch_fields(c, keys, 1, OMEN_FIELD_METADATA, missing, 1, &rows, err),
          OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&t.f, omen_fetch_fields(c, keys, 1, OMEN_FIELD_METADATA, NULL, 1, &rows, err),
          OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    assert_null(rows);
    assert_int_equal(omen_rows_count(NULL), 0);
    things_close(&t);
}

static void what_passes_is_deleted(void **state)
{
    (void)state;
    things t;
    omen_write_result result = {.struct_size = sizeof result};
    things_open(&t, OMEN_L2, ROWS, NULL);
    fill(&t);
    FAILS(&t.f, omen_delete_where(t.f.c, NULL, NULL, NULL, NULL, &t.f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NONE);
    for (uint32_t i = thing_filter_count; i-- != 0;) {
        const thing_filter *filter = &thing_filters[i];
        if (filter->test(&t.item[0], filter->value) && filter->test(&t.item[1], filter->value)) {
            continue; /* too many at once */
        }
        omen_filter *compiled = things_compile(&t, filter);
        OK(&t.f, omen_delete_where(t.f.c, compiled, NULL, &result, NULL, &t.f.err));
        assert_int_equal(result.applied, things_matches(&t, filter));
        for (uint32_t key = 0; key < t.room; key++) {
            t.item[key].alive &= !thing_passes(&t.item[key], filter);
        }
        OK(&t.f, omen_delete_where(t.f.c, compiled, NULL, &result, NULL, &t.f.err));
        assert_int_equal(result.applied, 0);
        omen_filter_free(compiled);
        check_facets(&t, t.f.c, NULL);
    }
    assert_true(fx_count(&t.f) < ROWS / 2);
    things_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_in_order),
        cmocka_unit_test(written_order_is_kept),
        cmocka_unit_test(pages_of_snapshots_agree),
        cmocka_unit_test(facets_and_counts),
        cmocka_unit_test(files_list_and_count_the_same),
        cmocka_unit_test(values_that_are_as_frequent_come_in_order),
        cmocka_unit_test(elements_of_an_array_count_once),
        cmocka_unit_test(metadata_and_versions_are_fetched),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(what_passes_is_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
