/* text_int.h - inside core/text: text rows, the bytes of an image, packed integers, lists of postings.
 * Depends on: textindex.h, texthash.h, rng.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TEXT_INT_H
#define OM_TEXT_INT_H
#include <string.h>

#include "rng.h"
#include "texthash.h"
#include "textindex.h"

/* ---- Words ---------------------------------------------------------------------------------- */
/* The numbers in order[0 .. count), sorted by compare (below, at, above 0); spare: as many. Stable,
 * n log n whatever comes. */
typedef int (*om_text_compare)(const void *ctx, uint32_t a, uint32_t b);
void om_text_sort(uint32_t *order, uint32_t *spare, uint32_t count, om_text_compare compare,
                  const void *ctx);

/* ---- Text rows ------------------------------------------------------------------------------ */
/* u32 bytes, u32 fields; a head a field, ascending; then the fields' arrays: u32 hash[words] ascending (equal
 * ones by their words), start[words + 1] in the bytes, first[words + 1] in the positions,
 * positions[length], bytes. The last four are u16, or u32 when wide. */
typedef struct om_rowhead {
    uint16_t field, wide;
    uint32_t words, length; /* different ones; all */
    uint32_t at, bytes;     /* from the row's first byte; of the words */
    uint32_t reserved;
} om_rowhead;
enum { OM_ROW_HEAD = 8 };
static inline uint32_t om_textrow_fields(const uint8_t *row)
{
    uint32_t fields;
    memcpy(&fields, row + 4, sizeof fields);
    return fields;
}
typedef struct om_rowfield {
    const om_rowhead *head;
    const uint32_t *hash;
    const void *start, *first, *positions;
    const char *bytes;
} om_rowfield;
void om_rowfield_at(const uint8_t *row, uint32_t i, om_rowfield *out);
/* False: the row does not have the field. */
bool om_rowfield_find(const uint8_t *row, uint16_t field, om_rowfield *out);
static inline uint32_t om_rowfield_number(const om_rowfield *field, const void *array, uint32_t i)
{
    return field->head->wide ? ((const uint32_t *)array)[i] : ((const uint16_t *)array)[i];
}
/* The place of a word, or UINT32_MAX. hash: the upper half of om_text_hash(.., 0). */
uint32_t om_rowfield_word(const om_rowfield *field, uint32_t hash, const char *word,
                          uint32_t length);

/* ---- Packed integers ------------------------------------------------------------------------ */
enum { OM_PACK = 128 }; /* integers of a full block */
static inline uint32_t om_pack_width(uint32_t all_bits)
{
    return all_bits == 0 ? 0 : 32 - (uint32_t)__builtin_clz(all_bits);
}
/* 128 integers of width bits in 16 * width bytes, in four lanes: integer i is in lane i % 4. out and
 * in are aligned to 16 in memory; the packed side need not be. */
void om_pack_full(const uint32_t *in, uint32_t width, uint8_t *out);
void om_unpack_full(const uint8_t *in, uint32_t width, uint32_t *out);
/* The same for rows: gaps less one, out[0] follows `before` (UINT32_MAX: none). Returns the or of
 * all rows. */
uint32_t om_unpack_rows(const uint8_t *in, uint32_t width, uint32_t before, uint32_t *out);
/* n integers of width bits one behind the other. Reading takes up to 8 bytes behind the last one. */
static inline uint64_t om_pack_bytes(uint64_t n, uint32_t width)
{
    return (n * width + 7) / 8;
}
void om_pack_some(const uint32_t *in, uint32_t n, uint32_t width, uint8_t *out);
static inline uint32_t om_pack_get(const uint8_t *in, uint64_t i, uint32_t width)
{
    const uint64_t bit = i * width;
    uint64_t value;
    memcpy(&value, in + bit / 8, sizeof value);
    return (uint32_t)(value >> (bit % 8) & ((UINT64_C(1) << width) - 1));
}
void om_unpack_some(const uint8_t *in, uint32_t n, uint32_t width, uint32_t *out);

/* ---- The bytes of an image: FORMAT.md ------------------------------------------------------- */
#define OM_TEXT_MAGIC UINT64_C(0x0A5458455430314F) /* "O10TEXT\n" */
enum {
    OM_TEXT_VERSION = 1,
    OM_TEXT_TAIL = 64,     /* zeros behind the lists, so that reads may run over */
    OM_TEXT_GROUP = 32,    /* blocks of a group */
    OM_TEXT_MAX_BITS = 24, /* of a packed count: those of a block sum up below 2^32 */
    OM_TEXT_MAX_IMPACTS = 64
};
typedef struct om_texthead {
    uint64_t magic;
    uint32_t version, analyser;
    uint32_t rows, worded;
    uint32_t fields, terms;
    uint32_t slot_bits, reserved;
    uint64_t seed;
    uint64_t size;
    uint64_t fields_at, entries_at, words_at, words_size, slots_at, lists_at, lists_size;
    uint64_t zero[1];
} om_texthead;
_Static_assert(sizeof(om_texthead) == 120, "the header of a text image");
#define OM_TEXT_MAX_ROWS 2147483646u
enum { OM_TEXT_HEAD = 128 };
typedef struct om_textfield {
    uint16_t field;
    uint16_t width; /* bytes of a length: 1, 2, 4 */
    uint32_t rows;  /* that have the field */
    uint64_t total; /* words of all of them */
    uint64_t lengths_at;
    uint64_t reserved;
} om_textfield;
_Static_assert(sizeof(om_textfield) == 32, "a field of a text image");
typedef struct om_textentry {
    uint64_t
        word; /* bits 0 to 39: place in the words, 40 to 47: length, 48 to 63: field's number */
    uint32_t df;
    uint32_t extra; /* the only or first row; of a long list where its tables are, in units of 16 */
    uint64_t list;  /* bit 63: nothing but the position of the only one; else place in the lists */
} om_textentry;
_Static_assert(sizeof(om_textentry) == 24, "a term of a text image");
#define OM_TEXT_INLINE (UINT64_C(1) << 63)
#define OM_TEXT_WORD_MAX ((UINT64_C(1) << 40) - 1)
static inline uint32_t om_textentry_length(const om_textentry *entry)
{
    return (uint32_t)(entry->word >> 40) & 0xFF;
}
static inline uint32_t om_textentry_field(const om_textentry *entry)
{
    return (uint32_t)(entry->word >> 48);
}

struct om_textimage {
    const om_alloc *alloc;
    const uint8_t *bytes;
    const om_texthead *head;
    const om_textfield *fields;
    const om_textentry *entries;
    const char *words;
    const uint64_t *slots;
    const uint8_t *lists;
};
omen_status_t om_text_damaged(omen_error *err, const char *what);
/* The field's number in the image, or UINT32_MAX. */
uint32_t om_textimage_field(const om_textimage *image, uint16_t field);
/* The term's number, or UINT32_MAX. */
uint32_t om_textimage_find(const om_textimage *image, uint32_t field, const char *word,
                           uint32_t length);
/* The word of a term; false: its entry is damaged. */
bool om_textimage_word(const om_textimage *image, uint32_t term, const char **word,
                       uint32_t *length);
static inline uint32_t om_textimage_length(const om_textimage *image, uint32_t field, uint32_t row)
{
    const om_textfield *f = &image->fields[field];
    const uint8_t *lengths = image->bytes + f->lengths_at;
    return f->width == 1   ? lengths[row]
           : f->width == 2 ? ((const uint16_t *)(const void *)lengths)[row]
                           : ((const uint32_t *)(const void *)lengths)[row];
}

/* ---- Reading a list ------------------------------------------------------------------------- */
typedef enum om_listkind { OM_LIST_ONE, OM_LIST_SHORT, OM_LIST_LONG } om_listkind;
typedef struct om_textlist {
    const om_textimage *image;
    om_listkind kind;
    uint32_t df, field;
    uint32_t row, position; /* ONE; SHORT: row is the first one */
    const uint8_t *base;    /* SHORT, LONG: its bytes, of which `room` are there */
    uint64_t room;
    uint32_t row_width, count_width, position_width; /* SHORT */
    uint32_t blocks, groups, impacts;                /* LONG; ONE and SHORT have one block */
    const uint32_t *last, *data;                     /* [blocks] */
    const uint8_t *widths;                           /* [2 * blocks] of rows, of counts */
    const uint32_t *impact_at;                       /* [blocks + groups + 2] */
    const uint16_t *impact;                          /* [2 * impacts] count, length */
    const uint64_t *positions; /* [blocks] bits 0 to 55: place, 56 to 63: width */
} om_textlist;
/* DATA_LOSS (no text) when the entry or the tables are damaged. */
omen_status_t om_textlist_open(const om_textimage *image, uint32_t term, om_textlist *out);
static inline uint32_t om_textlist_count(const om_textlist *list, uint32_t block)
{
    return block + 1 < list->blocks ? OM_PACK : list->df - block * OM_PACK;
}
/* Rows (below the image's rows) and counts (1 to 2^24) of a block into arrays of OM_PACK, aligned to 16.
 * False: damaged. */
bool om_textlist_rows(const om_textlist *list, uint32_t block, uint32_t *rows);
bool om_textlist_counts(const om_textlist *list, uint32_t block, uint32_t *counts);
/* Positions of a block's rows: found once, then read by their number. */
typedef struct om_textplaces {
    const uint8_t *bytes;
    uint64_t total;
    uint32_t width, only;
} om_textplaces;
bool om_textlist_places(const om_textlist *list, uint32_t block, const uint32_t *counts,
                        om_textplaces *out);
/* The positions [from, from + count) of a row; from + count <= total. */
static inline void om_textplaces_get(const om_textplaces *places, uint64_t from, uint32_t count,
                                     uint32_t *out)
{
    uint32_t position = 0;
    for (uint32_t i = 0; i < count; i++) {
        position += places->bytes == NULL ? places->only
                                          : om_pack_get(places->bytes, from + i, places->width);
        out[i] = position;
    }
}

/* ---- Writing -------------------------------------------------------------------------------- */
/* Bytes on their way: counted, collected in memory, or given to a sink. */
typedef struct om_textout {
    const om_alloc *alloc;
    om_text_sink sink; /* NULL: collected when alloc is there, else counted */
    void *ctx;
    uint8_t *data;
    size_t used, capacity;
    uint64_t at;
} om_textout;
omen_status_t om_textout_put(om_textout *out, const void *bytes, size_t size,
                             omen_error *err) OM_NODISCARD;
omen_status_t om_textout_align(om_textout *out, uint32_t align, omen_error *err) OM_NODISCARD;
omen_status_t om_textout_flush(om_textout *out, omen_error *err) OM_NODISCARD;
void om_textout_free(om_textout *out);
/* Room for `count` elements in an array that grows by doubling. */
omen_status_t om_text_room(const om_alloc *alloc, void **array, size_t *capacity, size_t count,
                           size_t size, omen_error *err) OM_NODISCARD;

typedef struct
    om_impacts { /* the pairs (count, length) that no other one beats: counts fall, lengths too */
    uint32_t count;
    uint16_t pair[OM_TEXT_MAX_IMPACTS][2];
} om_impacts;
void om_impacts_add(om_impacts *impacts, uint32_t count, uint32_t length);

/* One list: all its rows first, then turn, then all positions in the same order, then end. */
typedef struct om_listwriter {
    const om_alloc *alloc;
    om_textout *out;
    uint64_t begin;           /* of the list in out */
    uint32_t df, held, block; /* rows that wait; the block whose positions come */
    uint32_t before;          /* the row before the block */
    uint32_t rows[OM_PACK] __attribute__((aligned(16)));
    uint32_t counts[OM_PACK] __attribute__((aligned(16)));
    uint32_t lengths[OM_PACK];
    uint32_t *last, *data, *impact_at, *positions;
    uint16_t *impact;
    uint8_t *widths;
    uint64_t *places;
    size_t last_room, data_room, impact_at_room, impact_room, widths_room, places_room;
    size_t positions_room, held_positions;
    uint32_t impacts;
    om_impacts group, all;
} om_listwriter;
void om_listwriter_begin(om_listwriter *writer);
omen_status_t om_listwriter_row(om_listwriter *writer, uint32_t row, uint32_t count,
                                uint32_t length, omen_error *err) OM_NODISCARD;
omen_status_t om_listwriter_turn(om_listwriter *writer, omen_error *err) OM_NODISCARD;
/* Room for the positions of the next row, ascending; then they are there. */
omen_status_t om_listwriter_room(om_listwriter *writer, uint32_t count, uint32_t **out,
                                 omen_error *err) OM_NODISCARD;
omen_status_t om_listwriter_positions(om_listwriter *writer, uint32_t count,
                                      omen_error *err) OM_NODISCARD;
omen_status_t om_listwriter_end(om_listwriter *writer, om_textentry *entry,
                                omen_error *err) OM_NODISCARD;
void om_listwriter_free(om_listwriter *writer);

/* What an image is made of: terms in the order of field and word, each asked for its rows, then for its
 * positions. */
typedef struct om_textterm {
    uint32_t field, length; /* the field's number in fields[] */
    const char *word;
} om_textterm;
typedef struct om_textfeed {
    uint32_t rows, fields;
    const uint16_t *field; /* [fields] ascending */
    const om_stop *stop;
    void *ctx;
    void (*rewind)(void *ctx);
    omen_status_t (*next)(void *ctx, om_textterm *term, bool *more, omen_error *err);
    omen_status_t (*list_rows)(void *ctx, om_listwriter *writer, omen_error *err);
    omen_status_t (*list_positions)(void *ctx, om_listwriter *writer, omen_error *err);
    /* Lengths of a field (0: the row does not have it) for rows [first, first + count). */
    void (*lengths)(void *ctx, uint32_t field, uint32_t first, uint32_t count, uint32_t *out);
} om_textfeed;
typedef struct om_textwriter {
    const om_alloc *alloc;
    const om_textfeed *feed;
    om_texthead head;
    om_textfield *fields;
    om_textentry *entries;
    char *words;
    uint64_t *slots;
    size_t entries_room, words_room, words_used;
    om_textout lists; /* counted, or collected */
    om_listwriter list;
} om_textwriter;
/* Measures; collect: and keeps the lists in memory, so that write need not make them again. */
omen_status_t om_textwriter_measure(const om_alloc *alloc, const om_textfeed *feed, bool collect,
                                    om_textwriter *out, omen_error *err) OM_NODISCARD;
omen_status_t om_textwriter_write(om_textwriter *writer, om_text_sink sink, void *ctx,
                                  omen_error *err) OM_NODISCARD;
/* measure (collecting) and write into memory of its own. */
omen_status_t om_textwriter_memory(const om_alloc *alloc, const om_textfeed *feed, uint8_t **out,
                                   size_t *size, omen_error *err) OM_NODISCARD;
void om_textwriter_free(om_textwriter *writer);
#endif
