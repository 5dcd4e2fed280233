/* metrics_database.c - what a scrape tells of the log, the segments, the disk and the last recovery.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"
#include "metrics_int.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/statvfs.h>

typedef struct figure {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t in omen_db_stats */
} figure;
#define AT(field_) offsetof(omen_db_stats, field_)

static const figure figures[] = {
    {"omendb_version", "gauge", "The newest version that was written.", AT(version)},
    {"omendb_durable_version", "gauge", "Everything up to it survives a loss of power.",
     AT(durable_version)},
    {"omendb_checkpoint_version", "gauge", "Nothing up to it needs the log.",
     AT(checkpoint_version)},
    {"omendb_segments", "gauge", "Segments of all collections.", AT(segments)},
    {"omendb_growing_rows", "gauge", "Rows that are not in a segment file yet.", AT(growing_rows)},
    {"omendb_segment_bytes", "gauge", "Bytes of the segment files.", AT(segment_bytes)},
    {"omendb_wal_bytes", "gauge", "Bytes of the log that are kept.", AT(log_bytes)},
    {"omendb_wal_syncs_total", "counter", "Times that the log was synced.", AT(log_syncs)},
    {"omendb_wal_records_total", "counter", "Records written to the log.", AT(log_records)},
    {"omendb_wal_written_bytes_total", "counter", "Bytes of records written to the log.",
     AT(log_written_bytes)},
    {"omendb_wal_unsynced_bytes", "gauge", "Of these, bytes that a loss of power would take.",
     AT(log_unsynced_bytes)},
    {"omendb_checkpoints_total", "counter", "Manifests written.", AT(checkpoints)},
    {"omendb_seals_total", "counter", "Segments written from memory.", AT(seals)},
    {"omendb_merges_total", "counter", "Segments written from others.", AT(merges)},
    {"omendb_recovery_records", "gauge", "Records of the log that the start replayed.",
     AT(replayed_records)},
    {"omendb_recovery_rows", "gauge", "Rows that the start put back into memory.",
     AT(recovered_rows)},
};

static uint64_t value_of(const omen_db_stats *stats, size_t offset)
{
    uint64_t value = 0;
    memcpy(&value, (const char *)stats + offset, sizeof value);
    return value;
}

static void put_state(om_page *page, const omen_db_stats *stats)
{
    static const char *const names[] = {"writable", "read_only", "disk_full", "failed", "damaged"};
    om_page_put_family(page, "omendb_database_state", "gauge", "1 for the state it is in.");
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        om_page_printf(page, "omendb_database_state{state=\"%s\"} %d\n", names[i],
                       stats->state == i);
    }
    om_page_put_family(page, "omendb_writable", "gauge", "1: writes are accepted.");
    om_page_printf(page, "omendb_writable %d\n", stats->state == OMEN_DB_WRITABLE);
}

static void put_syncs(om_page *page, const omen_db_stats *stats)
{
    static const char *const bounds[OMEN_SYNC_TIMES] = {
        "0.0001", "0.0002", "0.0004", "0.0008", "0.0016", "0.0032", "0.0064", "0.0128", "0.0256",
        "0.0512", "0.1024", "0.2048", "0.4096", "0.8192", "1.6384", "3.2768", "+Inf"};
    uint64_t total = 0;
    om_page_put_family(page, "omendb_wal_fsync_seconds", "histogram", "Time of a sync of the log.");
    for (uint32_t i = 0; i < OMEN_SYNC_TIMES; i++) {
        total += stats->log_sync_times[i];
        om_page_printf(page, "omendb_wal_fsync_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", bounds[i],
                       total);
    }
    om_page_put(page, "omendb_wal_fsync_seconds_sum ");
    om_page_put_seconds(page, stats->log_sync_ns);
    om_page_printf(page, "\nomendb_wal_fsync_seconds_count %" PRIu64 "\n", total);
}

/* Of the file system that holds the data folder: what alerts divide by. */
static void put_disk(const om_metrics *m, om_page *page, const omen_db_stats *stats)
{
    struct statvfs fs;
    if (m->data_dir == NULL || statvfs(m->data_dir, &fs) != 0) {
        return;
    }
    om_metrics_put_u64(page, "omendb_disk_size_bytes", "gauge",
                       "Size of the file system that holds the data folder.",
                       (uint64_t)fs.f_blocks * fs.f_frsize);
    om_metrics_put_u64(page, "omendb_disk_free_bytes", "gauge", "What may still be written to it.",
                       (uint64_t)fs.f_bavail * fs.f_frsize);
    om_metrics_put_u64(page, "omendb_disk_used_bytes", "gauge",
                       "Of the database: segment files and log.",
                       stats->segment_bytes + stats->log_bytes);
}

void om_metrics_put_database(om_metrics *m, om_page *page)
{
    omen_db_stats stats = {.struct_size = sizeof stats};
    om_page_put_family(page, "omendb_file_faults_total", "counter",
                       "Pages of mapped files that were cut while they were served.");
    om_page_printf(page, "omendb_file_faults_total %" PRIu64 "\n", om_fault_count());
    if (m->db == NULL || omen_get_db_stats(m->db, &stats, NULL) != OMEN_OK) {
        return;
    }
    put_state(page, &stats);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        om_page_put_family(page, figures[i].name, figures[i].type, figures[i].help);
        om_page_printf(page, "%s %" PRIu64 "\n", figures[i].name,
                       value_of(&stats, figures[i].offset));
    }
    om_page_put_family(page, "omendb_recovery_seconds", "gauge",
                       "Time that the start took to replay the log.");
    om_page_put(page, "omendb_recovery_seconds ");
    om_page_put_seconds(page, stats.replayed_ns);
    om_page_put(page, "\n");
    put_syncs(page, &stats);
    put_disk(m, page, &stats);
}
