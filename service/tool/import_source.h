/* import_source.h - a file read once from front to back: plain, gzip or zstd, a buffer at a time.
 * Depends on: tool.h, zlib, zstd.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IMPORT_SOURCE_H
#define OM_IMPORT_SOURCE_H
#include "tool.h"

#define OM_SOURCE_PEEK_MAX 256u

typedef struct om_source om_source;

/* Opens a file ("-": standard input). The compression is told by the first bytes. Memory stays
 * below 1 MiB, plus the window of a zstd stream (at most 128 MiB, as zstd itself limits it). */
bool om_source_open(const char *path, om_source **out, om_tool_error *err);
/* The same over bytes in memory, which must outlive the source. */
bool om_source_open_memory(const void *data, size_t size, om_source **out, om_tool_error *err);
void om_source_free(om_source *s);

/* Reads up to n bytes; *got < n only at the end. A truncated or damaged compressed stream is an
 * error. */
bool om_source_read(om_source *s, void *out, size_t n, size_t *got, om_tool_error *err);
/* Reads up to and including the next '\n', at most max bytes, into *line, which stays valid until
 * the next call; the newline is not counted in *len. *got false: the end. */
bool om_source_line(om_source *s, size_t max, const char **line, size_t *len, bool *got,
                    om_tool_error *err);
/* The first bytes, up to OM_SOURCE_PEEK_MAX, without consuming them. Before the first read only. */
bool om_source_peek(om_source *s, const uint8_t **bytes, size_t *n, om_tool_error *err);

/* Uncompressed bytes handed out so far. */
uint64_t om_source_offset(const om_source *s);
/* Bytes of the file consumed, and its size, 0 when unknown: what a progress bar can go by. */
void om_source_position(const om_source *s, uint64_t *done, uint64_t *total);
/* Size of the uncompressed data when it is known before reading (a plain file), else 0. */
uint64_t om_source_plain_size(const om_source *s);
/* The name for messages. */
const char *om_source_name(const om_source *s);
#endif
