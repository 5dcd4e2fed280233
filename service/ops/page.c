/* page.c - the growing text behind /metrics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void om_page_init(om_page *page, size_t limit)
{
    memset(page, 0, sizeof *page);
    page->limit = limit;
}

void om_page_free(om_page *page)
{
    free(page->text);
    memset(page, 0, sizeof *page);
}

/* Makes room for `more` bytes and a NUL. */
static bool reserve(om_page *page, size_t more)
{
    if (page->failed || more > page->limit - page->length) {
        page->failed = true;
        return false;
    }
    size_t need = page->length + more + 1;
    if (need <= page->capacity) {
        return true;
    }
    size_t capacity = page->capacity < 8192 ? 8192 : page->capacity * 2;
    if (capacity < need) {
        capacity = need;
    }
    char *text = realloc(page->text, capacity);
    if (text == NULL) {
        page->failed = true;
        return false;
    }
    page->text = text;
    page->capacity = capacity;
    return true;
}

static void put_bytes(om_page *page, const char *bytes, size_t length)
{
    if (reserve(page, length)) {
        memcpy(page->text + page->length, bytes, length);
        page->length += length;
        page->text[page->length] = '\0';
    }
}

void om_page_put(om_page *page, const char *text)
{
    put_bytes(page, text, strlen(text));
}

void om_page_printf(om_page *page, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !reserve(page, (size_t)n)) {
        page->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(page->text + page->length, (size_t)n + 1, format, args);
    va_end(args);
    page->length += (size_t)n;
}

void om_page_put_label(om_page *page, const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\\') {
            om_page_put(page, "\\\\");
        } else if (*c == '"') {
            om_page_put(page, "\\\"");
        } else if (*c == '\n') {
            om_page_put(page, "\\n");
        } else {
            put_bytes(page, c, 1);
        }
    }
}

void om_page_put_seconds(om_page *page, uint64_t ns)
{
    char text[32];
    int n =
        snprintf(text, sizeof text, "%" PRIu64 ".%09" PRIu64, ns / 1000000000u, ns % 1000000000u);
    while (n > 0 && text[n - 1] == '0') {
        n--;
    }
    if (n > 0 && text[n - 1] == '.') {
        n--;
    }
    put_bytes(page, text, (size_t)n);
}
