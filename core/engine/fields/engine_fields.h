/* engine_fields.h - metadata, text and versions of the rows of a segment: what those that write give, and
 * what those that read may look at while their epoch is pinned.
 * Depends on: engine_int.h, meta, text.  Threads: readers any, pinned (or write_mu held).  Locks: README.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Rows never change and never move inside their segment. Slots [0, meta_covered) are in blocks, [0,
 * text_covered) in images, both without gaps; slots from there on up to the visible ones are single rows.
 * Blocks begin and end at multiples of 4,096 or 65,536 in a growing segment, at multiples of 65,536 (but
 * for the last) in a file. A block only ever gives way to a larger one that has its rows: whatever was
 * computed about rows stays right. */
#ifndef OM_ENGINE_FIELDS_H
#define OM_ENGINE_FIELDS_H
#include "analyser.h"
#include "engine_int.h"
#include "metablock.h"
#include "textindex.h"

enum {
    OM_SUB_ROWS = 4096,   /* rows of the blocks and images that a growing segment makes at first */
    OM_FULL_ROWS = 65536, /* of those that sixteen become */
    OM_CHUNK_ROWS = 256   /* single rows lie in chunks of so many slots */
};

/* ---- The schema of a collection (engine_schema.c) -------------------------------------------------- */
/* c->schema: never NULL, fields are only added (write_mu held); look at it without a lock. Ids of fields
 * are those of the collection in every segment, block, row and file of it. */
typedef struct om_text_of { /* a TEXT field */
    uint16_t field;
    float weight;
    om_analyser *analyser;
} om_text_of;
/* TEXT fields in the order of their ids; valid as long as the collection. NULL and 0: there are none. */
const om_text_of *om_text_fields(om_collection *c, uint32_t *count);
const om_text_of *om_text_of_field(om_collection *c,
                                   uint16_t field); /* NULL: it is no TEXT field */

/* ---- What a reader sees of a segment (engine_fields.c) --------------------------------------------- */
typedef struct om_meta_part { /* rows [first, first + rows) */
    uint32_t first, rows;
    bool none;                    /* none of these rows has metadata: there is no block */
    struct om_meta_block *holder; /* not for readers: om_fields_block */
} om_meta_part;
typedef struct om_text_part {
    uint32_t first, rows;
    bool none;                    /* none of these rows has words */
    struct om_text_image *holder; /* not for readers: om_fields_image */
} om_text_part;
typedef struct om_parts {     /* immutable */
    const om_meta_part *meta; /* [meta_count] ascending, without gaps, from slot 0 */
    const om_text_part *text; /* [text_count] likewise */
    uint32_t meta_count, text_count, meta_covered, text_covered;
} om_parts;

typedef struct
    om_rowchunk { /* zeros at first; a row is written before it is visible, never changed */
    const uint8_t *meta[OM_CHUNK_ROWS]; /* meta rows; NULL: the item has no metadata */
    const uint8_t *text[OM_CHUNK_ROWS]; /* text rows; NULL: no words */
} om_rowchunk;
typedef struct om_rowdir {
    uint32_t first, room; /* of chunks: chunk[i] has slots (first + i) * OM_CHUNK_ROWS and so on */
    uint32_t dropped;     /* chunks that go with it when it was replaced */
    struct om_rowdir *next;
    uint64_t tag;
    _Atomic(om_rowchunk *) chunk[]; /* [room] NULL: none of these rows has metadata (yet) */
} om_rowdir;

/* A look at the fields of a segment. Everything in it is valid until the epoch is unpinned (write_mu or
 * ids_mu is not enough). */
typedef struct om_fields_look {
    om_segment *segment;
    const om_parts *
        parts; /* never NULL; its parts may go beyond `rows` (snapshots: use the first rows only) */
    const om_rowdir *dir; /* NULL: there are no single rows with metadata */
    uint32_t rows;        /* rows looked at, [0, rows): visible ones, or those of a snapshot */
    bool any;             /* some row may have metadata; false: all are null, nothing to look at */
} om_fields_look;
/* Load `rows` from seg->visible (or take the snapshot's) before. Epoch pinned. Costs three loads. */
void om_fields_look_at(om_segment *seg, uint32_t rows, om_fields_look *out);

/* The block of parts->meta[i] (not one of `none`), the image of parts->text[i]. In files they are opened, and
 * their bytes verified, at the first use: DATA_LOSS, no memory, or stopped. Any number of threads. */
omen_status_t om_fields_block(const om_fields_look *look, uint32_t i, const om_metablock **out,
                              omen_error *err) OM_NODISCARD;
omen_status_t om_fields_image(const om_fields_look *look, uint32_t i, const om_textimage **out,
                              omen_error *err) OM_NODISCARD;
/* The part that has a slot below meta_covered. */
uint32_t om_fields_part_of(const om_fields_look *look, uint32_t slot);

/* Single rows; slot in [meta_covered, rows) and [text_covered, rows). NULL: none. */
static inline om_rowchunk *om_fields_chunk(const om_fields_look *look, uint32_t slot)
{
    uint32_t at = slot / OM_CHUNK_ROWS;
    if (look->dir == NULL || at < look->dir->first || at - look->dir->first >= look->dir->room) {
        return NULL;
    }
    return atomic_load_explicit(&look->dir->chunk[at - look->dir->first], memory_order_acquire);
}
static inline const uint8_t *om_fields_meta_row(const om_fields_look *look, uint32_t slot)
{
    const om_rowchunk *chunk = om_fields_chunk(look, slot);
    return chunk != NULL ? chunk->meta[slot % OM_CHUNK_ROWS] : NULL;
}
static inline const uint8_t *om_fields_text_row(const om_fields_look *look, uint32_t slot)
{
    const om_rowchunk *chunk = om_fields_chunk(look, slot);
    return chunk != NULL ? chunk->text[slot % OM_CHUNK_ROWS] : NULL;
}
/* The meta row of any slot below look->rows: a single row as it lies, or a row of a block, which replaces
 * what scratch held. *row NULL: the item has no metadata. */
omen_status_t om_fields_row(const om_fields_look *look, uint32_t slot, om_bytes *scratch,
                            const uint8_t **row, omen_error *err) OM_NODISCARD;

/* ---- Versions of items (engine_births.c) ------------------------------------------------------------ */
/* The version of the write that made the row. ids_mu held (read is enough). */
omen_status_t om_segment_version(om_segment *seg, uint32_t slot, uint64_t *version,
                                 omen_error *err) OM_NODISCARD;

/* ---- What searches keep with a segment --------------------------------------------------------------- */
/* seg->kept is NULL at first; whoever searches sets it once, by compare and swap, to a structure of its
 * own that begins with this; `end` frees it when the segment goes (nobody reads the segment then). */
typedef struct om_kept {
    void (*end)(struct om_kept *self, om_segment *seg);
} om_kept;

/* ---- Deleting what a filter finds (engine_delete.c) --------------------------------------------------- */
/* Called once with write_mu held, when stream and request id were found to be new: what it sees (visible
 * rows, tombstones, parts) cannot change before the deletion. It may pin an epoch and take ids_mu, and
 * nothing above write_mu in rank. keys: OM_CACHE_LINE-aligned block of c->rt->alloc of `count` u64 (NULL
 * when 0), which the caller gives back. */
typedef omen_status_t (*om_find_keys)(void *ctx, om_collection *c, const om_stop *stop,
                                      uint64_t **keys, uint64_t *count, omen_error *err);
/* omen_delete_where but for the filter: origin is NULL, or has stream, request id, durability. */
omen_status_t om_collection_delete_found(omen_collection *handle, om_find_keys find, void *ctx,
                                         const omen_batch *origin, omen_write_result *result,
                                         omen_op *op, omen_error *err);
#endif
