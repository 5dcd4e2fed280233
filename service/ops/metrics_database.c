/* metrics_database.c - what a scrape tells of the log, the segments, the disk and the last recovery.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"
#include "metrics_int.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

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
    {"omendb_checkpoints_total", "counter", "Manifests written.", AT(checkpoints)},
    {"omendb_seals_total", "counter", "Segments written from memory.", AT(seals)},
    {"omendb_merges_total", "counter", "Segments written from others.", AT(merges)},
    {"omendb_disk_free_bytes", "gauge", "Free space of the file system, as last looked at.",
     AT(disk_available)},
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
}
