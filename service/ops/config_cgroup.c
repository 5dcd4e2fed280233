/* config_cgroup.c - how much memory this process may have: control groups v1 and v2, the machine.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PATH = 1024, MAX_TEXT = 16384 };

static bool read_text(const char *root, const char *path, char *out, size_t size)
{
    char full[MAX_PATH * 2];
    int n = snprintf(full, sizeof full, "%s%s", strcmp(root, "/") == 0 ? "" : root, path);
    if (n < 0 || (size_t)n >= sizeof full) {
        return false;
    }
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, out, size - 1) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    out[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

/* A limit file holds a number and a newline, or "max". 0: no limit known. */
static uint64_t read_limit(const char *root, const char *folder, const char *group,
                           const char *file)
{
    char path[MAX_PATH];
    char text[64];
    uint64_t value = 0;
    int n = snprintf(path, sizeof path, "%s%s/%s", folder, group, file);
    if (n < 0 || (size_t)n >= sizeof path || !read_text(root, path, text, sizeof text)) {
        return 0;
    }
    text[strcspn(text, "\n")] = '\0';
    return om_config_parse_u64(text, &value) ? value : 0;
}

/* The smallest limit from the group up to the root of the hierarchy: each of them binds. Inside a
 * container the path of /proc/self/cgroup may not exist; the walk then ends at the mounted root. */
static uint64_t walk_up(const char *root, const char *folder, char *group, const char *file)
{
    uint64_t limit = 0;
    for (;;) {
        limit = smaller(limit, read_limit(root, folder, group, file));
        char *slash = strrchr(group, '/');
        if (slash == NULL) {
            return limit;
        }
        *slash = '\0';
    }
}

/* One line of /proc/self/cgroup: "0::/path" (v2) or "7:memory:/path" (v1, perhaps with others). */
static uint64_t limit_of_line(const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL) {
        return 0;
    }
    *controllers++ = '\0';
    *group++ = '\0';
    if (strcmp(group, "/") == 0) {
        *group = '\0';
    }
    if (strcmp(line, "0") == 0 && controllers[0] == '\0') {
        return walk_up(root, "/sys/fs/cgroup", group, "memory.max");
    }
    for (char *save = NULL, *one = strtok_r(controllers, ",", &save); one != NULL;
         one = strtok_r(NULL, ",", &save)) {
        if (strcmp(one, "memory") == 0) {
            return walk_up(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
        }
    }
    return 0;
}

static uint64_t machine_memory(const char *root)
{
    char text[MAX_TEXT];
    if (!read_text(root, "/proc/meminfo", text, sizeof text)) {
        return 0;
    }
    const char *total = strstr(text, "MemTotal:");
    return total != NULL ? strtoull(total + 9, NULL, 10) * 1024 : 0;
}

uint64_t om_config_cgroup_memory(const char *root)
{
    char text[MAX_TEXT];
    uint64_t limit = machine_memory(root); /* v1 says "none" with a number beyond any machine */
    if (!read_text(root, "/proc/self/cgroup", text, sizeof text)) {
        return limit;
    }
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        limit = smaller(limit, limit_of_line(root, line));
    }
    return limit;
}
