/* engine_fields_int.h - metadata, text and versions for those that write: batches at the door, rows in a
 * growing segment, blocks and images made of them, and what goes into files.
 * Depends on: engine_fields.h.  Locks: README.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_FIELDS_INT_H
#define OM_ENGINE_FIELDS_INT_H
#include "engine_disk.h"
#include "engine_fields.h"

/* ---- The schema (engine_schema.c) --------------------------------------------------------------------- */
/* Fields out of a file or the log. DATA_LOSS when they do not agree with those there are. No lock held. */
omen_status_t om_schema_take(om_collection *c, const uint8_t *bytes, size_t size,
                             omen_error *err) OM_NODISCARD;
/* The same out: [*size] aligned to 8, NULL when there are none. write_mu held. */
omen_status_t om_schema_give(om_collection *c, uint8_t **bytes, size_t *size,
                             omen_error *err) OM_NODISCARD;
/* Checks, adds and (when the collection is in the log already) logs declared fields: all or none. */
omen_status_t om_schema_declare(om_collection *c, const omen_field *fields, uint64_t count,
                                omen_error *err) OM_NODISCARD;
/* Analysers for TEXT fields that were added since. write_mu held. */
omen_status_t om_schema_attach_texts(om_collection *c, omen_error *err) OM_NODISCARD;
void om_schema_detach(om_collection *c); /* at its end */

/* ---- Versions of rows (engine_births.c) --------------------------------------------------------------- */
omen_status_t om_births_reserve(om_segment *seg, uint32_t more, omen_error *err) OM_NODISCARD;
void om_births_push(om_segment *seg, uint64_t version, uint32_t first);
void om_births_free(om_segment *seg);
/* The births of all rows of a segment; those of a file are verified. count 0: it does not say. */
omen_status_t om_births_of(om_segment *seg, const om_birth **list, uint64_t *count,
                           omen_error *err) OM_NODISCARD;
uint64_t om_births_find(const om_birth *list, uint64_t count, uint32_t slot);

/* ---- PATCH (engine_patch.c)
 * ------------------------------------------------------------------------------ */
/* Whole items in the place of a batch that changes some fields of them. write_mu held. */
omen_status_t om_patch_apply(om_write *w, omen_error *err) OM_NODISCARD;
void om_patch_drop(om_write *w);

/* ---- Blocks and images, counted (engine_fields_parts.c) --------------------------------------------- */
struct om_meta_block {
    _Atomic uint32_t refs;
    const om_alloc *alloc;
    _Atomic(om_metablock *) open; /* of a file: NULL until its first use */
    uint8_t *bytes;               /* own; NULL: of a file */
    const uint8_t *mapped;        /* in the file's METADATA */
    size_t size;
};
struct om_text_image {
    _Atomic uint32_t refs;
    const om_alloc *alloc;
    _Atomic(om_textimage *) open;
    uint8_t *bytes;
    const uint8_t *mapped;
    size_t size;
    struct om_text_image *next; /* of whoever made it */
};
/* Take the bytes over when they succeed. */
omen_status_t om_meta_block_make(const om_alloc *alloc, const om_schema *schema, uint8_t *bytes,
                                 size_t size, struct om_meta_block **out,
                                 omen_error *err) OM_NODISCARD;
omen_status_t om_text_image_make(const om_alloc *alloc, uint8_t *bytes, size_t size,
                                 struct om_text_image **out, omen_error *err) OM_NODISCARD;
void om_meta_block_unref(struct om_meta_block *block); /* NULL ok */
void om_text_image_unref(struct om_text_image *image); /* NULL ok */

/* A list of parts that holds references; made with room, filled, then immutable. */
typedef struct om_parts_list {
    om_parts parts;
    om_meta_part *meta;
    om_text_part *text;
    uint32_t meta_room, text_room;
    uint64_t tag;
    struct om_parts_list *next;
} om_parts_list;
omen_status_t om_parts_make(const om_alloc *alloc, uint32_t meta_room, uint32_t text_room,
                            om_parts_list **out, omen_error *err) OM_NODISCARD;
void om_parts_free(const om_alloc *alloc, om_parts_list *list); /* with its references; NULL ok */
/* Appends; takes a reference of its own. */
void om_parts_add_meta(om_parts_list *list, uint32_t rows, struct om_meta_block *block);
void om_parts_add_text(om_parts_list *list, uint32_t rows, struct om_text_image *image);

/* ---- Bytes of single rows (engine_fields_rows.c) ----------------------------------------------------- */
/* Rows lie in slabs: a batch's own buffers when they are large, else shared ones that are filled. A slab goes
 * when all of its slots, which end at `end`, are in blocks (meta) or images (text). */
typedef struct om_slab {
    uint32_t end;
    bool shared;          /* buffer is filled by many batches */
    om_textbuf buffer;    /* or text rows of one batch; data NULL: none */
    om_meta_rows adopted; /* bytes NULL: none */
    struct om_slab *next;
} om_slab;
typedef struct om_slabs { /* newest first */
    om_slab *first;
    uint64_t bytes;
} om_slabs;
/* Room for `bytes` (a multiple of 8) that will not move. */
omen_status_t om_slabs_take(om_slabs *slabs, const om_alloc *alloc, size_t bytes, uint32_t end,
                            uint8_t **out, omen_error *err) OM_NODISCARD;
omen_status_t om_slabs_adopt_meta(om_slabs *slabs, om_meta_rows *rows, uint32_t end,
                                  omen_error *err) OM_NODISCARD;
omen_status_t om_slabs_adopt_text(om_slabs *slabs, om_textbuf *buffer, uint32_t end,
                                  omen_error *err) OM_NODISCARD;
/* Those that are not needed from slot `end` on. */
om_slab *om_slabs_cut(om_slabs *slabs, uint32_t end);
void om_slab_free_list(const om_alloc *alloc, om_slab *list);
enum { OM_ADOPT_BYTES = 32768 };

/* ---- Of one segment ------------------------------------------------------------------------------------ */
typedef struct om_retired { /* what goes when no search holds it any more */
    om_parts_list *parts;   /* NULL ok, as the next two */
    om_slab *meta, *text;
    uint64_t tag;
    struct om_retired *next;
} om_retired;
typedef struct om_fields {
    _Atomic(om_parts_list *) parts; /* never NULL; published with build_mu held */
    _Atomic(om_rowdir *) dir;       /* NULL: no single rows; published with write_mu held */
    _Atomic uint32_t covered;       /* rows in the newest parts */
    om_mutex build_mu;              /* rank BUILD: one builds; it may take write_mu */
    om_retired *retired;            /* guarded by build_mu */
    om_rowdir *old_dirs;            /* guarded by write_mu; so are the slabs */
    om_slabs meta, text;
    om_parts_list *first; /* the empty one, which lives as long */
    _Atomic bool untidy;  /* something waits to be freed */
    _Atomic uint64_t text_rows;
    _Atomic uint64_t retry_ns; /* building failed: not again before */
} om_fields;
void om_fields_stats(om_segment *seg, omen_stats *out);
void om_retired_free_list(const om_alloc *alloc, om_retired *list);
/* NULL ok. Nobody reads the segment any more. */
void om_fields_free(om_segment *seg);
/* An object without rows, published; seg has none. write_mu held, or the segment is nobody's yet. */
omen_status_t om_fields_start(om_segment *seg, om_fields **out, omen_error *err) OM_NODISCARD;
static inline om_fields *om_fields_of(om_segment *seg)
{
    return atomic_load_explicit(&seg->fields, memory_order_acquire);
}

/* The directory of single rows; write_mu held. reserve: chunks for slots [begin, end). reclaim: true when
 * nothing is left to be freed. */
omen_status_t om_fields_reserve(om_segment *seg, uint32_t begin, uint32_t end,
                                omen_error *err) OM_NODISCARD;
omen_status_t om_fields_replace_dir(om_segment *seg, uint32_t first, uint32_t room,
                                    omen_error *err) OM_NODISCARD;
bool om_fields_reclaim_dirs(om_segment *seg);
void om_fields_free_dirs(om_segment *seg);

/* ---- A batch (engine_fields_batch.c)
 * -------------------------------------------------------------------- */
struct om_batch_fields {
    om_collection *c;
    om_meta_rows rows;       /* as parsed; bytes NULL: the rows are somebody else's, or own */
    const uint8_t *bytes;    /* row of item i: bytes + offsets[i]; one behind the other */
    const uint64_t *offsets; /* [items + 1] */
    om_bytes own;            /* of a PATCH: the merged rows */
    uint64_t *own_offsets;   /* [items + 1] of these, or of rows from the log */
    uint64_t items;
    om_textbuf *texts;    /* [text_count] text rows of per_text neighbouring items each */
    size_t *text_offsets; /* [items] in its buffer; SIZE_MAX: no words. NULL: no item has words */
    uint32_t text_count, per_text;
    uint32_t known; /* TEXT fields with lower ids were there when it was parsed */
    bool bound;
    const uint8_t *
        *meta; /* [items] where rows of accepted items lie once staged: in order, without gaps */
    const uint8_t **text; /* [items] likewise, NULL: no words */
    uint64_t words;       /* accepted items that have some */
};
/* Parses, and analyses TEXT fields, on the caller's thread and the runtime's. No lock held. w->fields
 * stays NULL when no item has metadata. */
omen_status_t om_fields_parse(om_write *w, omen_error *err) OM_NODISCARD;
/* Meta rows from the log, which stay where they are: `count` of them, one behind the other. */
omen_status_t om_fields_recover(om_write *w, const uint8_t *rows, size_t bytes,
                                omen_error *err) OM_NODISCARD;
uint64_t om_fields_bytes(const om_write *w); /* of its meta rows and text rows */
/* Text rows of all items, again. */
omen_status_t om_fields_analyse(om_write *w, omen_error *err) OM_NODISCARD;
omen_status_t om_fields_make(om_write *w, omen_error *err) OM_NODISCARD;
omen_status_t om_fields_make_offsets(om_write *w, omen_error *err) OM_NODISCARD;
void om_fields_drop(om_write *w);     /* w->fields; NULL ok */
void om_words_drop(omen_runtime *rt); /* scratch that is kept */
/* New fields get their ids in the schema. write_mu held. */
omen_status_t om_fields_bind(om_write *w, omen_error *err) OM_NODISCARD;
/* Room for everything: rows lie where they will stay, w->fields->meta and text are set. write_mu held. */
omen_status_t om_fields_stage(om_write *w, omen_error *err) OM_NODISCARD;
/* Writes the rows' places, from `slot` on, before they are visible. Cannot fail. */
void om_fields_apply(om_write *w, uint32_t slot);
/* Bytes of a meta row. */
static inline size_t om_meta_size(const uint8_t *row)
{
    uint32_t bytes;
    __builtin_memcpy(&bytes, row, sizeof bytes);
    return bytes;
}
extern const uint8_t om_meta_empty[8]; /* the row without fields */

/* ---- Building (engine_fields_build.c)
 * ------------------------------------------------------------------- */
/* Whether the background should build now; *ready_ns: from when on. */
bool om_fields_wanted(om_segment *seg, uint64_t last_append_ns, uint64_t *ready_ns);
/* One block, when it is wanted, and freeing. *clean: nothing is left to be freed. seg has fields. */
omen_status_t om_fields_step(om_segment *seg, bool wanted, bool *moved, bool *clean,
                             omen_error *err) OM_NODISCARD;
/* Exactly the first `rows` rows, in blocks and images that are held: what lies beyond is left out, single
 * rows are built. Give it to om_parts_free. NULL: none of them has metadata. */
omen_status_t om_fields_hold(om_segment *seg, uint32_t rows, const om_stop *stop,
                             om_parts_list **out, omen_error *err) OM_NODISCARD;
/* Where the rows [first, end) lie that are in no block of OM_FULL_ROWS: they stay while build_mu is held. */
typedef struct om_span_rows {
    const uint8_t **meta; /* [count] from slot `first` on */
    const uint8_t **text;
    uint32_t first, count;
    bool any_meta, any_text;
} om_span_rows;
omen_status_t om_fields_take_rows(om_segment *seg, uint32_t first, uint32_t end, om_span_rows *r,
                                  omen_error *err) OM_NODISCARD;
void om_fields_drop_rows(om_segment *seg, om_span_rows *r);
/* A block of these rows (NULL: without metadata); an image of rows without words; images as one. */
omen_status_t om_fields_build_block(om_collection *c, const uint8_t *const *meta, uint32_t count,
                                    struct om_meta_block **out, omen_error *err) OM_NODISCARD;
omen_status_t om_fields_build_image(om_collection *c, const uint8_t *const *text, uint32_t count,
                                    struct om_text_image **out, omen_error *err) OM_NODISCARD;
omen_status_t om_fields_empty_image(om_collection *c, uint32_t rows, struct om_text_image **out,
                                    omen_error *err) OM_NODISCARD;
omen_status_t om_fields_merge_images(om_collection *c, const om_text_merge *merge,
                                     struct om_text_image **out, omen_error *err) OM_NODISCARD;
#endif
