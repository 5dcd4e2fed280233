/* textindex.h - words to rows: an inverted index over the TEXT fields of neighbouring rows
 * (immutable, the same bytes in memory and in a segment file), rows that are not in one yet, and
 * BM25 over many of both.
 * Depends on: analyser.h.  Threads: any; scratch one.  Locks: none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TEXTINDEX_H
#define OM_TEXTINDEX_H
#include "analyser.h"
#include "op.h"

/* ---- One row, analysed ("text row") --------------------------------------------------------- */
/* Bytes, a multiple of 8: for each TEXT field that the row has, its words sorted with counts and
 * positions. The layout is the module's own and never leaves memory. */
typedef struct om_text_field {
    uint16_t field;
    const om_analyser *analyser;
    const char *text;
    size_t length;
} om_text_field;
/* Appends the row of these fields to out; an empty row (no words) is 8 bytes. */
typedef struct om_textbuf {
    const om_alloc *alloc;
    uint8_t *data;
    size_t size, capacity;
} om_textbuf;
omen_status_t om_textrow_make(const om_text_field *fields, uint32_t count, om_words *scratch,
                              om_textbuf *out, omen_error *err) OM_NODISCARD;
void om_textbuf_free(om_textbuf *buf);
size_t om_textrow_size(const uint8_t *row); /* bytes of it */
bool om_textrow_empty(const uint8_t *row);  /* it has no words */

/* ---- Images: immutable, rows [0, rows) of their own ----------------------------------------- */
typedef struct om_textimage om_textimage;
/* From text rows (NULL: without words). The bytes, aligned to 64, are given back by om_alloc_put(..,
 * 64). */
omen_status_t om_textimage_build(const om_alloc *alloc, const uint8_t *const *rows, uint32_t count,
                                 uint8_t **out, size_t *size, omen_error *err) OM_NODISCARD;
/* O(fields): the header and the tables' bounds are checked here, everything else with bounds where
 * it is read. The bytes are aligned to 64 and outlive the image. */
omen_status_t om_textimage_open(const om_alloc *alloc, const uint8_t *bytes, size_t size,
                                om_textimage **out, omen_error *err) OM_NODISCARD;
/* Decodes everything against every rule: omen_verify. */
omen_status_t om_textimage_verify(const om_textimage *image, const om_stop *stop,
                                  omen_error *err) OM_NODISCARD;
void om_textimage_free(om_textimage *image);
uint32_t om_textimage_rows(const om_textimage *image);
uint32_t om_textimage_worded(const om_textimage *image); /* rows that have a word at least */
uint64_t om_textimage_terms(const om_textimage *image);  /* different words, field by field */

/* Several images, one behind the other, as one; rows whose bit in drop[i] is set are left out and
 * the others move up (drop or drop[i] NULL: none are). Two passes over the terms in order: create
 * measures, write streams. Memory is bounded by the directory of terms and by the skip data of one
 * list, not by the postings. The images and bitmaps must outlive the merge and may not change. */
typedef struct om_text_merge {
    const om_textimage *const *images;
    const uint64_t *const *drop;
    uint32_t count;
    const om_stop *stop; /* NULL: cannot be stopped */
} om_text_merge;
typedef struct om_textmerge om_textmerge;
omen_status_t om_textmerge_create(const om_alloc *alloc, const om_text_merge *what,
                                  om_textmerge **out, omen_error *err) OM_NODISCARD;
uint64_t om_textmerge_bytes(const om_textmerge *merge); /* exactly what write gives to the sink */
uint32_t om_textmerge_rows(const om_textmerge *merge);
typedef omen_status_t (*om_text_sink)(void *ctx, const void *bytes, size_t size, omen_error *err);
omen_status_t om_textmerge_write(om_textmerge *merge, om_text_sink sink, void *ctx,
                                 omen_error *err) OM_NODISCARD;
void om_textmerge_free(om_textmerge *merge); /* NULL ok */
/* The same into memory: given back as the bytes of om_textimage_build. */
omen_status_t om_textimage_merge(const om_alloc *alloc, const om_text_merge *what, uint8_t **out,
                                 size_t *size, omen_error *err) OM_NODISCARD;

/* ---- Searching ------------------------------------------------------------------------------ */
/* A query: words and phrases ("...") for each field, analysed as that field is. At most
 * OM_TEXT_QUERY_WORDS of the text are used, and fewer when there are so many fields with a weight that
 * this would be more than OM_TEXT_QUERY_LANES over all of them: that number divided by theirs. k1 >= 0,
 * b in [0, 1], weights >= 0, all finite: else INVALID_ARGUMENT. */
#define OM_TEXT_QUERY_WORDS 1024u
#define OM_TEXT_QUERY_LANES 16384u
typedef struct om_textquery om_textquery;
typedef struct om_text_target {
    uint16_t field;
    float weight;
    const om_analyser *analyser;
} om_text_target;
typedef struct om_textquery_options {
    const char *text;
    size_t length;
    const om_text_target *targets; /* [target_count] the fields searched: their scores are summed */
    uint32_t target_count;
    float k1, b;
    const om_stop *stop; /* NULL: cannot be stopped */
} om_textquery_options;
omen_status_t om_textquery_create(const om_alloc *alloc, const om_textquery_options *options,
                                  om_textquery **out, omen_error *err) OM_NODISCARD;
void om_textquery_free(om_textquery *query);
bool om_textquery_empty(const om_textquery *query); /* no word is left: nothing is found */

/* What is searched: images and text rows, each with its rows' bitmaps. */
typedef struct om_text_source {
    const om_textimage *image;    /* or NULL: */
    const uint8_t *const *rows;   /* [count] text rows */
    uint32_t count;               /* rows of it that are searched: from the first on */
    const uint64_t *pass;         /* NULL, or bit i: row i passes; words of (count + 63) / 64 */
    const _Atomic uint64_t *dead; /* NULL, or bit i + dead_shift: row i is dead */
    uint32_t dead_shift;
    uint32_t tag; /* the caller's */
} om_text_source;
typedef struct om_text_hit {
    float score;
    uint32_t source, row;
} om_text_hit;
typedef struct om_text_counters {
    uint64_t postings, candidates, blocks_skipped;
} om_text_counters;
/* Keys of the rows [row, row + *count) of a source, one at least; they stay as long as the search. */
typedef omen_status_t (*om_text_keys)(void *ctx, uint32_t source, uint32_t row,
                                      const uint64_t **keys, uint32_t *count, omen_error *err);
/* The `limit` best rows over all sources by BM25, best first, ties by key (without keys by source, then
 * row), so that a longer list begins with the shorter one; a row is there when it has one word or phrase
 * of the query at least. A word adds weight * idf * count * (k1 + 1) / (count + k1 * (1 - b + b * length /
 * average)), idf = ln(1 + (N - df + 0.5) / (df + 0.5)); N and the average length are of the rows that
 * have the field, over the rows [0, count) of all sources, dead rows included until they are merged away,
 * whatever passes. A phrase is a word of its own: its count is how often it occurs, its idf the sum of its
 * words'. A word that is twice in the query counts twice. The sums are made of integers (README), so that
 * a row has the same score whatever way it was found. Block-max MaxScore: nothing that could be among the
 * best is left out. hits: [limit]. Rows that die meanwhile may be there. DEADLINE_EXCEEDED: the hits are
 * the best so far. */
typedef struct om_text_search {
    const om_textquery *query;
    const om_text_source *sources;
    uint32_t source_count, limit;
    const om_stop *stop;
    om_text_keys keys; /* or NULL */
    void *keys_ctx;
    om_text_hit *hits;
    uint32_t found;
    om_text_counters counters;
} om_text_search;
typedef struct om_textscratch om_textscratch;
omen_status_t om_textscratch_create(const om_alloc *alloc, om_textscratch **out,
                                    omen_error *err) OM_NODISCARD;
void om_textscratch_free(om_textscratch *scratch);
size_t om_textscratch_bytes(const om_textscratch *scratch);
omen_status_t om_text_run(om_text_search *search, om_textscratch *scratch,
                          omen_error *err) OM_NODISCARD;
#endif
