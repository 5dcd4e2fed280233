/* manifest_path.c - the names of a database's files, written and recognised.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "manifest_int.h"

static const char manifest_prefix[] = OM_MANIFEST_KEY "-";
static const char cursors_prefix[] = "CURSORS-";
static const char segment_suffix[] = ".seg";
static const char deaths_suffix[] = ".del";
static const char temporary_suffix[] = ".tmp";
enum { LONG_HEX = 16, SHORT_HEX = 8 };

static omen_status_t put(om_path *out, omen_error *err, const char *format, ...) OM_PRINTF(3, 4);

static omen_status_t put(om_path *out, omen_error *err, const char *format, ...)
{
    om_path path;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path.text, sizeof path.text, format, args);
    va_end(args);
    if ((size_t)length >= sizeof path.text) { /* also when it is negative */
        return om_fail(
            err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
            "path: the names of files in the folder would have %d bytes, the limit is %d", length,
            OM_PATH_MAX - 1);
    }
    memcpy(out->text, path.text, (size_t)length + 1);
    return OMEN_OK;
}

omen_status_t om_path_manifest(om_path *out, const char *folder, uint64_t generation,
                               omen_error *err)
{
    return put(out, err, "%s/%s%016llx", folder, manifest_prefix, (unsigned long long)generation);
}

omen_status_t om_path_cursors(om_path *out, const char *folder, uint64_t generation,
                              omen_error *err)
{
    return put(out, err, "%s/%s%016llx", folder, cursors_prefix, (unsigned long long)generation);
}

omen_status_t om_path_collection(om_path *out, const char *folder, uint32_t serial, omen_error *err)
{
    return put(out, err, "%s/%08x", folder, serial);
}

omen_status_t om_path_segment(om_path *out, const char *folder, uint32_t serial, uint64_t id,
                              omen_error *err)
{
    return put(out, err, "%s/%08x/%016llx%s", folder, serial, (unsigned long long)id,
               segment_suffix);
}

omen_status_t om_path_deaths(om_path *out, const char *folder, uint32_t serial, uint64_t id,
                             uint64_t generation, omen_error *err)
{
    return put(out, err, "%s/%08x/%016llx.%016llx%s", folder, serial, (unsigned long long)id,
               (unsigned long long)generation, deaths_suffix);
}

omen_status_t om_path_join(om_path *out, const char *folder, const char *name, omen_error *err)
{
    return put(out, err, "%s/%s", folder, name);
}

/* Takes the text when it begins so. */
static bool take(const char **at, const char *text)
{
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0) {
        return false;
    }
    *at += length;
    return true;
}

/* Takes exactly `digits` lower-case hexadecimal digits. */
static bool take_hex(const char **at, uint32_t digits, uint64_t *value)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (c >= '0' && c <= '9') {
            sum = sum << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            sum = sum << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *at += digits;
    *value = sum;
    return true;
}

/* The name itself, without what marks a temporary file. */
static uint32_t take_name(const char **at, om_name *out)
{
    if (take(at, manifest_prefix)) {
        return take_hex(at, LONG_HEX, &out->number) ? OM_NAME_MANIFEST : OM_NAME_OTHER;
    }
    if (take(at, cursors_prefix)) {
        return take_hex(at, LONG_HEX, &out->number) ? OM_NAME_CURSORS : OM_NAME_OTHER;
    }
    if (!take_hex(at, LONG_HEX, &out->number)) {
        return take_hex(at, SHORT_HEX, &out->number) ? OM_NAME_FOLDER : OM_NAME_OTHER;
    }
    if (take(at, segment_suffix)) {
        return OM_NAME_SEGMENT;
    }
    bool deaths = take(at, ".") && take_hex(at, LONG_HEX, &out->deaths) && take(at, deaths_suffix);
    return deaths ? OM_NAME_DEATHS : OM_NAME_OTHER;
}

void om_name_parse(const char *text, om_name *out)
{
    *out = (om_name){0};
    size_t length = strnlen(text, OM_NAME_TEXT);
    if (length == OM_NAME_TEXT) {
        return;
    }
    memcpy(out->text, text, length);
    const char *at = out->text;
    uint32_t kind = take_name(&at, out);
    if (*at == '\0') {
        out->kind = kind;
        return;
    }
    /* "<name>.tmp", or "<name>.<8 hex>.tmp". A folder is never on its way. */
    uint64_t random;
    if (strcmp(at, temporary_suffix) != 0 &&
        !(take(&at, ".") && take_hex(&at, SHORT_HEX, &random))) {
        return;
    }
    if (strcmp(at, temporary_suffix) == 0 && kind != OM_NAME_FOLDER) {
        out->kind = kind;
        out->temporary = true;
    }
}
