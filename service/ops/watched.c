/* watched.c - files of keys and certificates: read with limits, noticed when they change. A replaced file has
 * another inode, a rewritten one other times; a secret mounted by Kubernetes is a link that moves,
 * and stat follows links. SPDX-License-Identifier: Apache-2.0 */
#include "watched.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool om_watched_init(om_watched *w, const char *path)
{
    memset(w, 0, sizeof *w);
    w->path = strdup(path);
    return w->path != NULL;
}

void om_watched_free(om_watched *w)
{
    free(w->path);
    w->path = NULL;
}

bool om_watched_changed(om_watched *w)
{
    struct stat st;
    uint64_t now[8] = {0};
    if (stat(w->path, &st) != 0) {
        now[0] = (uint64_t)errno;
    } else {
        now[1] = (uint64_t)st.st_dev;
        now[2] = (uint64_t)st.st_ino;
        now[3] = (uint64_t)st.st_size;
        now[4] = (uint64_t)st.st_mtim.tv_sec;
        now[5] = (uint64_t)st.st_mtim.tv_nsec;
        now[6] = (uint64_t)st.st_ctim.tv_sec;
        now[7] = (uint64_t)st.st_ctim.tv_nsec;
    }
    bool changed = memcmp(now, w->seen, sizeof now) != 0;
    memcpy(w->seen, now, sizeof now);
    return changed;
}

void om_secret_free(char *text, size_t size)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, size);
        free(text);
    }
}

static const char too_large[] = "it is larger than its limit";

/* Everything in fd with a NUL. NULL: *why tells. */
static char *read_all(int fd, size_t limit, size_t *size, const char **why)
{
    char *text = malloc(limit + 2);
    size_t n = 0;
    *why = "no memory";
    while (text != NULL) {
        ssize_t got = read(fd, text + n, limit + 1 - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || n + (size_t)got > limit) {
            *why = got < 0 ? strerror(errno) : too_large;
            break;
        }
        if (got == 0) {
            text[n] = '\0';
            *size = n;
            if (memchr(text, '\0', n) == NULL) {
                return text;
            }
            *why = "it holds a zero byte, so it is no text";
            break;
        }
        n += (size_t)got;
    }
    om_secret_free(text, limit + 2);
    return NULL;
}

char *om_watched_read(const om_watched *w, bool secret, size_t limit, size_t *size, char *error,
                      size_t error_size)
{
    struct stat st;
    char closed[160];
    const char *why = NULL;
    char *text = NULL;
    /* Not blocking: a named pipe must not stop the server. */
    int fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == EACCES) {
        (void)snprintf(closed, sizeof closed,
                       "omend runs as user %u, which may not read it: chgrp it to a group of that "
                       "user and chmod g+r, or chown it",
                       (unsigned)geteuid());
        why = closed;
    } else if (fd < 0) {
        why = strerror(errno);
    } else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        why = "it is not a regular file";
    } else if (secret && (st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        why =
            "everybody on this machine may read it: chmod o-rwx (in Kubernetes: defaultMode: 0440)";
    } else {
        text = read_all(fd, limit, size, &why);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (text == NULL) {
        char most[48] = "";
        if (why == too_large) {
            (void)snprintf(most, sizeof most, " (limit %zu bytes)", limit);
        }
        (void)snprintf(error, error_size, "%.200s: %s%s", w->path, why, most);
    }
    return text;
}
