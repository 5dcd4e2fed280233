/* engine_items.h - items with metadata and text, and a model of them: what each must be, and of which
 * version.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_ITEMS_H
#define OM_ENGINE_ITEMS_H
#include "engine_fields_int.h"
#include "engine_fixture.h"

enum { IT_DIM = 4, IT_JSON = 512 };
typedef struct it_item { /* of key = its index */
    bool alive;
    bool has_n, has_tag, has_score, has_title, has_list;
    int64_t n;
    uint32_t tag, title, list;
    double score;
    uint32_t turn; /* of its vector */
    uint64_t version;
} it_item;
typedef struct items {
    fixture f;
    char path[512]; /* "": in memory */
    omen_db_options options;
    fx_rng rng;
    uint32_t count; /* keys are below it */
    it_item *item;  /* [count] */
} items;

void it_begin(items *x, uint32_t count, const char *folder); /* folder NULL: in memory */
void it_end(items *x);
void it_open(items *x, bool create); /* the database and its collection */
void it_close(items *x);
void it_remove_folder(const char *path);
/* An object of the item's fields, as the library writes it. */
size_t it_json(const it_item *item, char *out);
/* Items [first, first + n) anew, as one batch. bare: without metadata. */
omen_write_result it_put(items *x, uint32_t first, uint32_t n, bool bare);
/* Some fields of theirs change, some are unset; vectors: they get new ones too. */
omen_write_result it_patch(items *x, uint32_t first, uint32_t n, bool vectors);
void it_remove(items *x, uint32_t first, uint32_t n);
/* Everything that is there is as it must be: through a handle of the present, or of a snapshot. */
void it_check(items *x, omen_collection *handle);
void it_check_against(items *x, omen_collection *handle, const it_item *model);
/* Rows whose text has this word of it_word, by reading images and single rows. */
void it_check_text(items *x, omen_collection *handle);
const char *it_word(uint32_t i);
#endif
