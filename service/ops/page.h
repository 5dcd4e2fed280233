/* page.h - a growing text with a limit, for the pages of the admin server.
 * After the first failure (memory, limit) everything is ignored and `failed` stays set.
 * Depends on: nothing.  Threads: one.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_PAGE_H
#define OM_PAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct om_page {
    char *text; /* NUL-terminated when not NULL */
    size_t length, capacity, limit;
    bool failed;
} om_page;
void om_page_init(om_page *page, size_t limit);
void om_page_free(om_page *page);
void om_page_put(om_page *page, const char *text);
void om_page_printf(om_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A label's value as the Prometheus text format wants it: backslash, quote and newline escaped. */
void om_page_put_label(om_page *page, const char *value);
/* Nanoseconds as seconds, exactly: 1500000 -> 0.0015. */
void om_page_put_seconds(om_page *page, uint64_t ns);
#endif
