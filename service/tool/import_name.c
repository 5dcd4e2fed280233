/* import_name.c - the stream id of an upload, from what is uploaded and where to: the same command, run again
 * after it was interrupted, goes on; another file, or another cut of it into batches, is another upload.
 * SPDX-License-Identifier: Apache-2.0 */
#include "import_name.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* FNV-1a, 64 bits, over texts and numbers with their ends. */
static void mix(uint64_t *hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i++) {
        *hash = (*hash ^ at[i]) * UINT64_C(1099511628211);
    }
    *hash = (*hash ^ 0xff) * UINT64_C(1099511628211);
}

static void mix_text(uint64_t *hash, const char *text)
{
    mix(hash, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

/* What is in a file, as far as its name, size and time of change can tell. False: it is a pipe. */
static bool mix_file(uint64_t *hash, const char *path)
{
    struct stat st;
    if (path == NULL) {
        mix_text(hash, NULL);
        return true;
    }
    if (strcmp(path, "-") == 0 || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    char *full = realpath(path, NULL);
    mix_text(hash, full != NULL ? full : path);
    free(full);
    const int64_t facts[] = {(int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
                             (int64_t)st.st_mtim.tv_nsec};
    mix(hash, facts, sizeof facts);
    return true;
}

bool om_import_name(const om_args *args, const om_import_name_parts *parts, char *out, size_t size)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    const uint64_t numbers[] = {args->offset, args->limit, args->first_id, parts->batch};
    mix_text(&hash, parts->collection);
    mix(&hash, numbers, sizeof numbers);
    mix_text(&hash, args->mode);
    if (args->again || !mix_file(&hash, parts->file) || !mix_file(&hash, args->id_file) ||
        (args->metadata_file != NULL && !mix_file(&hash, args->metadata_file))) {
        return false;
    }
    (void)snprintf(out, size, "omen-import-%016llx", (unsigned long long)hash);
    return true;
}
