/* metrics_page.c - what a scrape asks runtime, allocator and kernel for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"
#include "metrics_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define put_u64 om_metrics_put_u64

void om_metrics_put_u64(om_page *page, const char *name, const char *type, const char *help,
                        uint64_t value)
{
    om_page_put_family(page, name, type, help);
    om_page_printf(page, "%s %" PRIu64 "\n", name, value);
}

void om_metrics_put_build(om_page *page)
{
    om_page_put_family(page, "omendb_build_info", "gauge",
                       "Versions of the library that serves, and its kernels.");
    uint32_t abi = omen_abi_version();
    om_page_printf(
        page, "omendb_build_info{version=\"%s\",abi=\"%u.%u\",format=\"%u\",isa=\"%s\"} 1\n",
        omen_version_string(), abi >> 16, abi & 0xffff, omen_format_version(), omen_isa_name());
}

/* ---- Memory ------------------------------------------------------------------------------ */

static void put_runtime(om_metrics *m, om_page *page)
{
    omen_runtime_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    if (m->runtime == NULL || omen_get_runtime_stats(m->runtime, &stats, NULL) != OMEN_OK) {
        return;
    }
    if (stats.memory_limit > 0) { /* absent without a limit: 0 would read as one */
        put_u64(page, "omendb_memory_budget_bytes", "gauge",
                "Most that index and scratch may take.", stats.memory_limit);
    }
    put_u64(page, "omendb_memory_used_bytes", "gauge", "What index and scratch take.",
            stats.memory_used);
    put_u64(page, "omendb_memory_rejections_total", "counter",
            "Requests refused because the budget was used up.", stats.memory_rejections);
}

/* What the collections hold, by what it is for; the rest of what is used, and what the service holds. */
static void put_classes(const om_metrics *m, om_page *page, const omen_stats *all)
{
    const struct {
        const char *name;
        uint64_t bytes;
    } classes[] = {{"vectors", all->bytes_codes + all->bytes_vectors},
                   {"graph", all->bytes_links},
                   {"ids", all->bytes_ids},
                   {"text", all->bytes_text},
                   {"payload", all->bytes_metadata},
                   {"query", all->bytes_scratch}};
    omen_runtime_stats stats = {.struct_size = sizeof stats};
    uint64_t known = 0;
    if (m->runtime == NULL || omen_get_runtime_stats(m->runtime, &stats, NULL) != OMEN_OK) {
        return;
    }
    om_page_put_family(page, "omendb_memory_class_bytes", "gauge",
                       "Memory by what it is for; ingest: batches that wait, beside what index and "
                       "scratch take.");
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        known += classes[i].bytes;
        om_page_printf(page, "omendb_memory_class_bytes{class=\"%s\"} %" PRIu64 "\n",
                       classes[i].name, classes[i].bytes);
    }
    om_page_printf(page, "omendb_memory_class_bytes{class=\"other\"} %" PRIu64 "\n",
                   stats.memory_used > known ? stats.memory_used - known : 0);
    int64_t window = (int64_t)om_registry_read(m->registry, m->ingest_window);
    om_page_printf(page, "omendb_memory_class_bytes{class=\"ingest\"} %" PRId64 "\n",
                   window > 0 ? window : 0);
}

void om_metrics_put_memory(om_metrics *m, om_page *page, const omen_stats *all)
{
    put_runtime(m, page);
    put_classes(m, page, all);
    om_heap_stats heap;
    if (!om_heap_get_stats(&heap)) {
        return;
    }
    put_u64(page, "omendb_jemalloc_allocated_bytes", "gauge", "Handed out by the allocator.",
            heap.allocated);
    put_u64(page, "omendb_jemalloc_engine_allocated_bytes", "gauge",
            "Handed out to the engine; part of the former.", heap.engine_allocated);
    put_u64(page, "omendb_jemalloc_active_bytes", "gauge", "In pages with allocations.",
            heap.active);
    put_u64(page, "omendb_jemalloc_metadata_bytes", "gauge", "Of the allocator itself.",
            heap.metadata);
    put_u64(page, "omendb_jemalloc_resident_bytes", "gauge", "In memory, at most.", heap.resident);
    put_u64(page, "omendb_jemalloc_mapped_bytes", "gauge", "Of active extents.", heap.mapped);
    put_u64(page, "omendb_jemalloc_retained_bytes", "gauge", "Address space kept for later.",
            heap.retained);
}

/* ---- Process: the names that every Prometheus client uses -------------------------------- */

static uint64_t count_fds(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        count += e->d_name[0] != '.';
    }
    (void)closedir(dir);
    return count > 0 ? count - 1 : 0; /* without the one that was opened to look */
}

static size_t read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Field `index` (from 1, as in proc(5)) of /proc/self/stat; the name in field 2 may hold anything.
 */
static uint64_t stat_field(const char *stat, int index)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < index; field++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

/* Seconds since 1970 at which the process started: boot time, and ticks after it. */
static double start_time(const char *stat)
{
    char text[8192];
    (void)read_file("/proc/stat", text, sizeof text);
    const char *boot = strstr(text, "\nbtime ");
    if (boot == NULL) {
        return 0;
    }
    return (double)strtoull(boot + 7, NULL, 10) +
           (double)stat_field(stat, 22) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds_of(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec * 1e-6;
}

uint64_t om_metrics_cpu_ns(void)
{
    struct timespec t = {0, 0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t om_metrics_resident(void)
{
    char stat[1024];
    (void)read_file("/proc/self/stat", stat, sizeof stat);
    return stat_field(stat, 24) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void om_metrics_put_process(om_page *page)
{
    char stat[1024];
    struct rusage usage;
    struct rlimit fds;
    memset(&usage, 0, sizeof usage);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)read_file("/proc/self/stat", stat, sizeof stat);
    om_page_put_family(page, "process_cpu_seconds_total", "counter", "User and system time.");
    om_page_printf(page, "process_cpu_seconds_total %.6f\n",
                   seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    om_page_put_family(page, "process_start_time_seconds", "gauge", "Start, since 1970.");
    om_page_printf(page, "process_start_time_seconds %.2f\n", start_time(stat));
    put_u64(page, "process_resident_memory_bytes", "gauge", "Memory in use, file pages included.",
            stat_field(stat, 24) * (uint64_t)sysconf(_SC_PAGESIZE));
    put_u64(page, "process_virtual_memory_bytes", "gauge", "Address space.", stat_field(stat, 23));
    put_u64(page, "process_threads", "gauge", "Threads.", stat_field(stat, 20));
    put_u64(page, "process_major_page_faults_total", "counter", "Pages read from disk.",
            (uint64_t)usage.ru_majflt);
    put_u64(page, "process_minor_page_faults_total", "counter",
            "Pages that were in memory already, or new.", (uint64_t)usage.ru_minflt);
    put_u64(page, "process_open_fds", "gauge", "Open file descriptors.", count_fds());
    if (getrlimit(RLIMIT_NOFILE, &fds) == 0) {
        put_u64(page, "process_max_fds", "gauge", "Limit of open file descriptors.", fds.rlim_cur);
    }
}
