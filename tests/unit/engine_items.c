/* engine_items.c - see the header. SPDX-License-Identifier: Apache-2.0 */
#include "engine_items.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"harbour", "lantern", "meadow", "granite", "compass", "violin"};
enum { WORDS = sizeof words / sizeof words[0] };

const char *it_word(uint32_t i)
{
    return words[i % WORDS];
}

static void vector_of(uint32_t key, uint32_t turn, float *out)
{
    for (uint32_t d = 0; d < IT_DIM; d++) {
        out[d] = (float)(om_mix64(((uint64_t)key << 32 | turn) * 8 + d) % 1000) / 1000.0f;
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------- */
static size_t add(char *out, size_t at, const char *format, const char *text, int64_t number)
{
    char value[256];
    (void)snprintf(value, sizeof value, "%s", text);
    at += (size_t)snprintf(out + at, IT_JSON - at, "%s", at > 1 ? ", " : "");
    if (text[0] != '\0') {
        at += (size_t)snprintf(out + at, IT_JSON - at, format, value);
    } else {
        at += (size_t)snprintf(out + at, IT_JSON - at, format, (long long)number);
    }
    return at;
}

size_t it_json(const it_item *item, char *out)
{
    char text[128];
    size_t at = (size_t)snprintf(out, IT_JSON, "{");
    if (item->has_title) {
        (void)snprintf(text, sizeof text, "%s %s number%u", it_word(item->title),
                       it_word(item->title / WORDS), item->title);
        at = add(out, at, "\"title\": \"%s\"", text, 0);
    }
    if (item->has_n) {
        at = add(out, at, "\"n\": %lld", "", item->n);
    }
    if (item->has_tag) {
        (void)snprintf(text, sizeof text, "t%u", item->tag);
        at = add(out, at, "\"tag\": \"%s\"", text, 0);
    }
    if (item->has_score) {
        (void)snprintf(text, sizeof text, "%.17g", item->score);
        at = add(out, at, "\"score\": %s", text, 0);
    }
    if (item->has_list) {
        (void)snprintf(text, sizeof text, "%u, %u", item->list, item->list + 1);
        at = add(out, at, "\"list\": [%s]", text, 0);
    }
    return at + (size_t)snprintf(out + at, IT_JSON - at, "}");
}

/* ---- Life ---------------------------------------------------------------------------------------- */
static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void it_remove_folder(const char *path)
{
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void it_begin(items *x, uint32_t count, const char *folder)
{
    memset(x, 0, sizeof *x);
    x->count = count;
    x->item = calloc(count, sizeof *x->item);
    x->rng.state = 12345;
    if (folder != NULL) {
        (void)snprintf(x->path, sizeof x->path, "%s", fx_path(folder));
    }
    x->f.options = (omen_options){
        .struct_size = sizeof x->f.options, .dim = IT_DIM, .durability = OMEN_DURABILITY_NONE};
    it_open(x, true);
}

void it_open(items *x, bool create)
{
    static const omen_field fields[] = {{.name = "title", .type = OMEN_TYPE_TEXT},
                                        {.name = "n", .type = OMEN_TYPE_INT64},
                                        {.name = "tag", .type = OMEN_TYPE_STRING},
                                        {.name = "score", .type = OMEN_TYPE_DOUBLE}};
    omen_runtime_options options = {.struct_size = sizeof options, .threads = 2};
    OK(&x->f, omen_runtime_create(&options, &x->f.rt, &x->f.err));
    x->options.struct_size = sizeof x->options;
    x->options.runtime = x->f.rt;
    OK(&x->f, omen_db_open(x->path[0] != '\0' ? x->path : NULL, &x->options, &x->f.db, &x->f.err));
    if (create) {
        omen_options o = x->f.options;
        o.fields = fields;
        o.field_count = sizeof fields / sizeof fields[0];
        OK(&x->f, omen_create(x->f.db, "c", &o, &x->f.c, &x->f.err));
    } else {
        OK(&x->f, omen_open(x->f.db, "c", NULL, &x->f.c, &x->f.err));
    }
}

void it_close(items *x)
{
    omen_collection_free(x->f.c);
    omen_db_free(x->f.db);
    omen_runtime_free(x->f.rt);
}

void it_end(items *x)
{
    it_close(x);
    free(x->item);
    if (x->path[0] != '\0') {
        it_remove_folder(x->path);
    }
}

/* ---- Writing -------------------------------------------------------------------------------------- */
typedef struct made {
    uint64_t *keys;
    float *vectors;
    char *json;
    int64_t *offsets;
} made;

static void make(made *m, uint32_t n)
{
    m->keys = calloc(n, sizeof *m->keys);
    m->vectors = calloc((size_t)n * IT_DIM, sizeof *m->vectors);
    m->json = calloc(n, IT_JSON);
    m->offsets = calloc(n + 1, sizeof *m->offsets);
}

static void drop(made *m)
{
    free(m->keys);
    free(m->vectors);
    free(m->json);
    free(m->offsets);
}

static omen_batch batch_of(const made *m, uint32_t n)
{
    return (omen_batch){.struct_size = sizeof(omen_batch),
                        .count = n,
                        .vectors = m->vectors,
                        .dim = IT_DIM,
                        .keys = m->keys,
                        .metadata = {.data = m->json, .offsets = m->offsets, .offset_bits = 64}};
}

static void randomise(items *x, it_item *item)
{
    item->has_n = fx_below(&x->rng, 4) != 0;
    item->has_tag = fx_below(&x->rng, 3) != 0;
    item->has_score = fx_below(&x->rng, 3) == 0;
    item->has_title = fx_below(&x->rng, 2) == 0;
    item->has_list = fx_below(&x->rng, 6) == 0;
    item->n = (int64_t)fx_below(&x->rng, 100) - 50;
    item->tag = fx_below(&x->rng, 2000);
    item->score = (double)fx_below(&x->rng, 1000) / 8 + 0.0625;
    item->title = fx_below(&x->rng, 5000);
    item->list = fx_below(&x->rng, 50);
}

omen_write_result it_put(items *x, uint32_t first, uint32_t n, bool bare)
{
    made m;
    omen_write_result result = {.struct_size = sizeof result};
    make(&m, n);
    for (uint32_t i = 0; i < n; i++) {
        it_item *item = &x->item[first + i];
        *item = (it_item){.alive = true, .turn = item->turn + 1};
        if (!bare) {
            randomise(x, item);
        }
        m.keys[i] = first + i;
        vector_of(first + i, item->turn, &m.vectors[(size_t)i * IT_DIM]);
        m.offsets[i + 1] = m.offsets[i] + (int64_t)it_json(item, m.json + m.offsets[i]);
    }
    omen_batch batch = batch_of(&m, n);
    if (bare) {
        batch.metadata = (omen_column){.data = NULL};
    }
    OK(&x->f, omen_add_batch(x->f.c, &batch, &result, NULL, &x->f.err));
    for (uint32_t i = 0; i < n; i++) {
        x->item[first + i].version = result.version;
    }
    drop(&m);
    return result;
}

/* n changes, the tag goes, the list is set; the title stays. */
omen_write_result it_patch(items *x, uint32_t first, uint32_t n, bool vectors)
{
    made m;
    omen_write_result result = {.struct_size = sizeof result};
    make(&m, n);
    for (uint32_t i = 0; i < n; i++) {
        it_item *item = &x->item[first + i];
        item->has_n = true;
        item->n = (int64_t)fx_below(&x->rng, 1000);
        item->has_tag = false;
        item->has_list = true;
        item->list = fx_below(&x->rng, 50);
        item->turn += vectors;
        m.keys[i] = first + i;
        vector_of(first + i, item->turn, &m.vectors[(size_t)i * IT_DIM]);
        m.offsets[i + 1] = m.offsets[i] + snprintf(m.json + m.offsets[i], IT_JSON,
                                                   "{\"n\":%lld,\"tag\":null,\"list\":[%u,%u]}",
                                                   (long long)item->n, item->list, item->list + 1);
    }
    omen_batch batch = batch_of(&m, n);
    batch.mode = OMEN_PATCH;
    batch.vectors = vectors ? m.vectors : NULL;
    OK(&x->f, omen_add_batch(x->f.c, &batch, &result, NULL, &x->f.err));
    assert_int_equal(result.applied, n);
    for (uint32_t i = 0; i < n; i++) {
        x->item[first + i].version = result.version;
    }
    drop(&m);
    return result;
}

void it_remove(items *x, uint32_t first, uint32_t n)
{
    made m;
    make(&m, n);
    for (uint32_t i = 0; i < n; i++) {
        m.keys[i] = first + i;
        x->item[first + i].alive = false;
    }
    omen_batch batch = {.struct_size = sizeof batch, .count = n, .keys = m.keys};
    OK(&x->f, omen_delete_batch(x->f.c, &batch, NULL, NULL, &x->f.err));
    drop(&m);
}

/* ---- Checking -------------------------------------------------------------------------------------- */
static void check_item(items *x, const om_reader *from, uint32_t key, const it_item *item)
{
    om_collection *c = from->c;
    om_place place;
    om_fields_look look;
    om_bytes scratch = {.alloc = &c->rt->alloc};
    om_bytes json = {.alloc = &c->rt->alloc};
    const uint8_t *row = NULL;
    uint64_t version = 0;
    char expected[IT_JSON];
    OK(&x->f, om_reader_find(from, key, &place, &x->f.err));
    assert_int_equal(place.segment != NULL, item->alive);
    if (!item->alive) {
        return;
    }
    om_fields_look_at(place.segment, atomic_load(&place.segment->visible), &look);
    OK(&x->f, om_fields_row(&look, place.slot, &scratch, &row, &x->f.err));
    OK(&x->f,
       om_meta_json(c->schema, row != NULL ? row : om_meta_empty, NULL, 0, &json, &x->f.err));
    size_t size = it_json(item, expected);
    if (json.size != size || memcmp(json.data, expected, size) != 0) {
        fail_msg("key %u: %.*s, must be %s", key, (int)json.size, (const char *)json.data,
                 expected);
    }
    OK(&x->f, om_segment_version(place.segment, place.slot, &version, &x->f.err));
    if (version != item->version) {
        fail_msg("key %u: version %llu, must be %llu", key, (unsigned long long)version,
                 (unsigned long long)item->version);
    }
    om_bytes_free(&scratch);
    om_bytes_free(&json);
}

void it_check_against(items *x, omen_collection *handle, const it_item *model)
{
    om_collection *c = handle->c;
    om_ctx *ctx = NULL;
    uint64_t count = 0;
    uint64_t alive = 0;
    OK(&x->f, om_ctx_acquire(c->rt, &ctx, &x->f.err));
    om_ctx_pin(c->rt, ctx);
    om_rwlock_read(&c->ids_mu);
    om_reader from = om_reader_of(handle);
    for (uint32_t key = 0; key < x->count; key++) {
        check_item(x, &from, key, &model[key]);
        alive += model[key].alive;
    }
    om_rwlock_unlock(&c->ids_mu);
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    OK(&x->f, omen_count(handle, &count, &x->f.err));
    assert_int_equal(count, alive);
    for (uint32_t key = 0; key < x->count; key += 97) {
        float there[IT_DIM];
        float expected[IT_DIM];
        uint64_t wanted = key;
        if (model[key].alive) {
            OK(&x->f, omen_get_vectors(handle, &wanted, 1, there, 0, 0, NULL, &x->f.err));
            vector_of(key, model[key].turn, expected);
            assert_memory_equal(there, expected, sizeof there);
        }
    }
}

void it_check(items *x, omen_collection *handle)
{
    it_check_against(x, handle, x->item);
}

/* ---- Text -------------------------------------------------------------------------------------------- */
typedef struct found {
    om_segment *segment;
    uint32_t base;
} found;

static void count_hits(items *x, om_collection *c, const om_set *set, uint32_t word, bool *hit)
{
    enum { MOST = 4096 };
    static om_text_source sources[MOST];
    static found at[MOST];
    uint32_t count = 0;
    om_textscratch *scratch = NULL;
    om_textquery *query = NULL;
    const om_text_of *field = om_text_of_field(c, 0);
    assert_non_null(field);
    const om_text_target target = {
        .field = field->field, .weight = field->weight, .analyser = field->analyser};
    const om_textquery_options options = {.text = it_word(word),
                                          .length = strlen(it_word(word)),
                                          .targets = &target,
                                          .target_count = 1,
                                          .k1 = 1.2f,
                                          .b = 0.75f};
    uint32_t rows_left = 0;
    const uint8_t **rows[MOST] = {NULL};
    for (uint32_t p = 0; p < set->count; p++) {
        om_segment *seg = set->part[p];
        om_fields_look look;
        om_fields_look_at(seg, atomic_load(&seg->visible), &look);
        for (uint32_t i = 0; i < look.parts->text_count; i++) {
            const om_text_part *part = &look.parts->text[i];
            const om_textimage *image = NULL;
            if (part->none) {
                continue;
            }
            OK(&x->f, om_fields_image(&look, i, &image, &x->f.err));
            at[count] = (found){.segment = seg, .base = part->first};
            sources[count++] = (om_text_source){.image = image, .count = part->rows};
        }
        if (look.any && look.rows > look.parts->text_covered) {
            rows_left = look.rows - look.parts->text_covered;
            rows[count] = calloc(rows_left, sizeof(uint8_t *));
            for (uint32_t i = 0; i < rows_left; i++) {
                rows[count][i] = om_fields_text_row(&look, look.parts->text_covered + i);
            }
            at[count] = (found){.segment = seg, .base = look.parts->text_covered};
            sources[count] = (om_text_source){.rows = rows[count], .count = rows_left};
            count++;
        }
    }
    om_text_hit *hits = calloc(x->count * 4, sizeof *hits);
    om_stop stop = {.op = NULL};
    OK(&x->f, om_textscratch_create(&c->rt->alloc, &scratch, &x->f.err));
    OK(&x->f, om_textquery_create(&c->rt->alloc, &options, &query, &x->f.err));
    om_text_search search = {.query = query,
                             .sources = sources,
                             .source_count = count,
                             .limit = x->count * 4,
                             .stop = &stop,
                             .hits = hits};
    OK(&x->f, om_text_run(&search, scratch, &x->f.err));
    for (uint32_t i = 0; i < search.found; i++) {
        om_segment *seg = at[hits[i].source].segment;
        uint32_t slot = at[hits[i].source].base + hits[i].row;
        if (!om_segment_is_dead(seg, slot)) {
            uint64_t key = om_view_load(seg)->keys[slot];
            assert_true(key < x->count);
            assert_false(hit[key]);
            hit[key] = true;
        }
    }
    om_textquery_free(query);
    om_textscratch_free(scratch);
    free(hits);
    for (uint32_t i = 0; i < count; i++) {
        free(rows[i]);
    }
}

void it_check_text(items *x, omen_collection *handle)
{
    om_collection *c = handle->c;
    om_ctx *ctx = NULL;
    OK(&x->f, om_ctx_acquire(c->rt, &ctx, &x->f.err));
    for (uint32_t word = 0; word < WORDS; word++) {
        bool *hit = calloc(x->count, sizeof *hit);
        om_ctx_pin(c->rt, ctx);
        count_hits(x, c, om_set_load(c), word, hit);
        om_ctx_unpin(ctx);
        for (uint32_t key = 0; key < x->count; key++) {
            const it_item *item = &x->item[key];
            bool expected = item->alive && item->has_title &&
                            (item->title % WORDS == word || item->title / WORDS % WORDS == word);
            if (hit[key] != expected) {
                fail_msg("key %u: %s by '%s'", key, hit[key] ? "found" : "not found",
                         it_word(word));
            }
        }
        free(hit);
    }
    om_ctx_release(ctx);
}
