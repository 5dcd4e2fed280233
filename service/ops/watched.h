/* watched.h - files that an operator gives: keys, certificates. Read with limits, refused when everybody may
 * read a secret, noticed when they change. One place, so that all of them are held to the same.
 * Depends on: nothing.  Threads: the caller's.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WATCHED_H
#define OM_WATCHED_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct om_watched {
    char *path;
    uint64_t seen[8]; /* what a stat told when it was looked at last */
} om_watched;
bool om_watched_init(om_watched *w, const char *path); /* false: no memory */
void om_watched_free(om_watched *w);
/* Whether the file is another one than at the last look, which this is from now on. */
bool om_watched_changed(om_watched *w);
/* The text with a NUL, to be wiped and freed with om_secret_free. secret: refused when everybody may read it.
 * Follows links. NULL: *error, with the path. */
char *om_watched_read(const om_watched *w, bool secret, size_t limit, size_t *size, char *error,
                      size_t error_size);
void om_secret_free(char *text, size_t size);
#endif
