#!/usr/bin/env python3
"""dashboard.py - makes omendb.json, the Grafana dashboard of omend, from the tables below.

    dashboard.py > omendb.json        dashboard.py --check    (status 1: omendb.json is not what it would be)

In a query, @ stands for the selector of the chosen job and instances, % for that of the chosen collections.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import sys

WIDTH, HEIGHT = 24, 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"


def expand(query):
    query = query.replace("%", 'job=~"$job",instance=~"$instance",collection=~"$collection"')
    return query.replace("@", 'job=~"$job",instance=~"$instance"').replace("[]", RATE)


def quantile(q, metric, selector="@", by=""):
    return "histogram_quantile(%s, sum by (%sle) (rate(%s_bucket{%s}[])))" % (
        q, by + ", " if by else "", metric, selector)


def quantiles(metric, selector="@"):
    return [(quantile(q, metric, selector), name) for q, name in
            (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))]


def lines(title, unit, queries, text="", width=8, stack=False, low=0, overrides=()):
    """A plot over time; queries are pairs of a query and the legend of its lines."""
    custom = {"lineWidth": 1, "fillOpacity": 40 if stack else 8, "showPoints": "never", "spanNulls": False,
              "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
    defaults = {"unit": unit, "custom": custom, "color": {"mode": "palette-classic"}}
    if low is not None:
        defaults["min"] = low
    return {
        "type": "timeseries", "title": title, "description": text, "width": width, "queries": queries,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
    }


def number(title, unit, query, text="", steps=(), width=4, maps=()):
    """One figure; steps are pairs of a value and the colour from there on."""
    colours = [{"value": None, "color": "green"}] + [{"value": v, "color": c} for v, c in steps]
    return {
        "type": "stat", "title": title, "description": text, "width": width, "height": 4,
        "queries": [(query, "{{instance}}")],
        "fieldConfig": {"defaults": {"unit": unit, "mappings": list(maps),
                                     "thresholds": {"mode": "absolute", "steps": colours}},
                        "overrides": []},
        "options": {"colorMode": "value", "graphMode": "none", "textMode": "value",
                    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}},
    }


def words(*pairs):
    """Shows values as words."""
    return [{"type": "value", "options": {str(value): {"text": text, "color": colour, "index": i}}}
            for i, (value, text, colour) in enumerate(pairs)]


def dashed(name):
    """The line of this name is a limit."""
    return {"matcher": {"id": "byName", "options": name}, "properties": [
        {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
        {"id": "custom.fillOpacity", "value": 0},
        {"id": "custom.stacking", "value": {"mode": "none", "group": "limit"}},
        {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}]}


def band(upper, lower):
    """Fills what lies between the lines whose names match."""
    hidden = [{"id": "custom.lineWidth", "value": 0}, {"id": "custom.hideFrom",
              "value": {"legend": True, "tooltip": False, "viz": False}}]
    return [{"matcher": {"id": "byRegexp", "options": upper},
             "properties": [*hidden, {"id": "custom.fillOpacity", "value": 0}]},
            {"matcher": {"id": "byRegexp", "options": lower}, "properties": hidden}]


def table(title, columns, text="", width=24):
    """A row a collection; columns are triples of a title, a unit and a query."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    rename, overrides = {"collection": "collection", "instance": "instance"}, []
    for letter, (name, unit, _) in zip(letters, columns):
        rename["Value #" + letter] = name
        overrides.append({"matcher": {"id": "byName", "options": name},
                          "properties": [{"id": "unit", "value": unit}]})
    return {
        "type": "table", "title": title, "description": text, "width": width, "instant": True,
        "queries": [(query, "") for _, _, query in columns],
        "fieldConfig": {"defaults": {"custom": {"align": "auto", "filterable": True}}, "overrides": overrides},
        "options": {"showHeader": True, "sortBy": [{"displayName": columns[0][0], "desc": True}]},
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": rename,
                                           "indexByName": {"instance": 0, "collection": 1}}}],
    }


STATES = words((1, "yes", "green"), (0, "no", "red"))

ROWS = [
    ("At a glance", [
        number("Serves", "none", "min(omendb_ready{@})", "1 on every instance", maps=STATES),
        number("Takes writes", "none", "min(omendb_writable{@})", "disk_full, failed, damaged: no", maps=STATES),
        number("Calls a second", "reqps", "sum(rate(omendb_grpc_server_handled_total{@}[]))"),
        number("Faults of the server", "percentunit",
               'sum(rate(omendb_grpc_server_handled_total{@,code=~"UNKNOWN|INTERNAL|UNAVAILABLE|DATA_LOSS"}[]))'
               " / sum(rate(omendb_grpc_server_handled_total{@}[]))",
               "UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS of all calls", [(0.001, "orange"), (0.01, "red")]),
        number("Search p99", "s", quantile("0.99", "omendb_grpc_server_handling_seconds", '@,method="Search"'),
               "from arrival to end", [(0.1, "orange"), (0.5, "red")]),
        number("Items", "short", "sum(omendb_points{@})"),
    ]),
    ("Calls", [
        lines("Calls by method", "reqps",
              [("sum by (method) (rate(omendb_grpc_server_started_total{@}[])) > 0", "{{method}}")], stack=True),
        lines("Calls by code", "reqps",
              [("sum by (code) (rate(omendb_grpc_server_handled_total{@}[])) > 0", "{{code}}")],
              "How calls ended."),
        lines("p99 by method", "s",
              [(quantile("0.99", "omendb_grpc_server_handling_seconds",
                         '@,method!~"StreamWrite|Watch|WaitOperation|ServerReflectionInfo"', "method"), "{{method}}")],
              "From arrival to end. Streams are left out: they live as long as they like."),
        lines("Open calls", "short", [("sum by (method) (omendb_grpc_server_inflight{@}) > 0", "{{method}}"),
                                      ("sum(omendb_grpc_server_inflight{@})", "all")]),
        lines("Refused before they ran", "reqps",
              [("sum by (why) (rate(omendb_grpc_server_shed_total{@}[]))", "{{why}}")],
              "inflight, queue: more than it can do; memory: over the budget; deadline: would come too late."),
        lines("Network", "Bps",
              [("sum(rate(omendb_grpc_server_msg_received_bytes_total{@}[]))", "received"),
               ("sum(rate(omendb_grpc_server_msg_sent_bytes_total{@}[]))", "sent")], "Bytes of messages."),
    ]),
    ("Search", [
        lines("Search in the engine", "s", quantiles("omendb_search_seconds"), "All plans, without the queue."),
        lines("p99 by plan", "s", [(quantile("0.99", "omendb_search_seconds", "@", "plan"), "{{plan}}")]),
        lines("Searches by plan", "reqps",
              [("sum by (plan) (rate(omendb_search_seconds_count{@}[])) > 0", "{{plan}}")], stack=True),
        lines("Time of filters", "s", quantiles("omendb_search_filter_seconds"), "Of filtered searches only."),
        lines("Filtered and not", "reqps",
              [("sum(rate(omendb_search_filter_seconds_count{@}[]))", "filtered"),
               ("sum(rate(omendb_search_seconds_count{@}[])) - sum(rate(omendb_search_filter_seconds_count{@}[]))",
                "not filtered")], stack=True),
        lines("Queue", "s", [*quantiles("omendb_search_queue_seconds")], "Time that searches wait for a worker."),
        lines("Waiting", "short", [("sum by (queue) (omendb_queue_length{@})", "{{queue}}")],
              "Work that waits for a thread."),
        lines("Distances a search", "short",
              [("sum by (plan) (rate(omendb_search_distances_total{@}[]))"
                " / (sum by (plan) (rate(omendb_search_seconds_count{@}[])) > 0)", "{{plan}}")],
              "What a search costs, whatever the machine."),
        lines("Short, partial, refused filters", "reqps",
              [("sum(rate(omendb_search_short_total{@}[]))", "fewer than k"),
               ("sum(rate(omendb_search_partial_total{@}[]))", "cut by the deadline"),
               ("sum(rate(omendb_filter_errors_total{@}[]))", "bad filters")]),
    ]),
    ("Ingest", [
        lines("Items written", "wps", [("sum(rate(omendb_ingest_rows_total{@}[]))", "items")]),
        lines("Bytes written", "Bps", [("sum(rate(omendb_ingest_bytes_total{@}[]))", "bytes")],
              "Vectors, ids and metadata."),
        lines("Commit", "s", quantiles("omendb_ingest_commit_seconds"),
              "A batch in the engine, its sync included."),
        lines("Until searches see it", "s", quantiles("omendb_visible_lag_seconds"),
              "From the arrival of a batch until every search sees it."),
        lines("Behind", "s",
              [("max by (instance) (omendb_durable_lag_seconds{@})", "not durable {{instance}}"),
               ("max by (instance) (omendb_index_lag_seconds{@})", "not in the graph {{instance}}")],
              "Age of the oldest write that a loss of power would take, and of the oldest that is scanned."),
        lines("Streams and batches", "short",
              [("sum(omendb_ingest_streams{@})", "open streams"),
               ("sum(rate(omendb_ingest_batches_total{@}[]))", "batches a second"),
               ("sum(rate(omendb_ingest_replayed_batches_total{@}[]))", "sent again, a second")]),
        lines("Not acknowledged yet", "bytes", [("sum(omendb_ingest_window_bytes{@})", "bytes")]),
        lines("Made to wait", "percentunit",
              [("sum by (why) (rate(omendb_ingest_stall_seconds_total{@}[]))", "{{why}}")],
              "Share of time, added up over streams."),
    ]),
    ("Index", [
        table("Collections", [
            ("items", "short", "sum by (instance, collection) (omendb_points{%})"),
            ("not indexed", "short", "sum by (instance, collection) (omendb_unindexed_points{%})"),
            ("deleted", "percentunit", "max by (instance, collection) (omendb_deleted_ratio{%})"),
            ("segments", "short", "sum by (instance, collection) (omendb_collection_segments{%})"),
            ("memory", "bytes",
             'sum by (instance, collection) (omendb_collection_bytes{%,part!~"mapped|disk"})'),
            ("disk", "bytes", 'sum by (instance, collection) (omendb_collection_bytes{%,part="disk"})'),
            ("searches a second", "reqps",
             "sum by (instance, collection) (rate(omendb_collection_searches_total{%}[]))"),
        ], "The most used ones; the rest is summed as _other (--metrics-collections)."),
        lines("Not in the graph yet", "short", [("sum by (collection) (omendb_unindexed_points{%})", "{{collection}}")],
              "Scanned by every search until they are."),
        lines("Indexed in", "s",
              [("sum by (collection) (omendb_unindexed_points{%})"
                " / clamp_min(-sum by (collection) (deriv(omendb_unindexed_points{%}[5m])), 1)", "{{collection}}")],
              "At the pace of the last five minutes; while the backlog grows this is no promise."),
        lines("Deleted rows", "percentunit", [("max by (collection) (omendb_deleted_ratio{%})", "{{collection}}")],
              "A merge takes them out from 20 % on."),
        lines("Segments", "short", [("sum by (collection) (omendb_collection_segments{%})", "{{collection}}")]),
        lines("Seals, merges, manifests", "short",
              [("sum(rate(omendb_seals_total{@}[])) * 60", "seals a minute"),
               ("sum(rate(omendb_merges_total{@}[])) * 60", "merges a minute"),
               ("sum(rate(omendb_checkpoints_total{@}[])) * 60", "manifests a minute")]),
        lines("Operations under way", "short",
              [("sum by (kind) (omendb_maintenance_running{@})", "{{kind}}")]),
    ]),
    ("Memory", [
        lines("Used of the budget", "bytes",
              [('sum by (class) (omendb_memory_class_bytes{@,class!="ingest"})', "{{class}}"),
               ("sum(omendb_memory_budget_bytes{@})", "budget")],
              "What the engine counts, by what it is for.", 12, True, overrides=[dashed("budget")]),
        lines("Of the process", "bytes",
              [("sum(process_resident_memory_bytes{@})", "resident, file pages included"),
               ("sum(omendb_jemalloc_resident_bytes{@})", "allocator: resident"),
               ("sum(omendb_jemalloc_allocated_bytes{@})", "allocator: handed out"),
               ("sum(omendb_jemalloc_engine_allocated_bytes{@})", "allocator: to the engine"),
               ("sum(omendb_jemalloc_retained_bytes{@})", "allocator: address space kept")], width=12),
        lines("Refused for lack of memory", "reqps",
              [("sum(rate(omendb_memory_rejections_total{@}[]))", "requests")]),
        lines("Pages read from disk", "short",
              [("sum(rate(process_major_page_faults_total{@}[]))", "page faults a second")],
              "Segments are mapped files: what is not in memory is read when it is touched."),
        lines("Of collections", "bytes",
              [('sum by (collection) (omendb_collection_bytes{%,part!~"mapped|disk"})', "{{collection}}")], stack=True),
    ]),
    ("Disk and log", [
        lines("Disk", "bytes",
              [("sum(omendb_disk_free_bytes{@})", "free"), ("sum(omendb_disk_size_bytes{@})", "size"),
               ("sum(omendb_disk_used_bytes{@})", "used by omend")], overrides=[dashed("size")]),
        lines("Files", "bytes",
              [("sum(omendb_segment_bytes{@})", "segments"), ("sum(omendb_wal_bytes{@})", "log")], stack=True),
        lines("Time of a sync", "s", quantiles("omendb_wal_fsync_seconds"),
              "Writes of the level `batch` wait for one."),
        lines("Log", "short",
              [("sum(rate(omendb_wal_syncs_total{@}[]))", "syncs a second"),
               ("sum(rate(omendb_wal_records_total{@}[]))", "records a second"),
               ("sum(rate(omendb_wal_written_bytes_total{@}[])) / 1048576", "MiB a second")]),
        lines("Behind the newest version", "short",
              [("sum(omendb_version{@} - omendb_durable_version{@})", "not durable"),
               ("sum(omendb_version{@} - omendb_checkpoint_version{@})", "not in a manifest")],
              "Versions: records of the log."),
        lines("Written and not synced", "bytes", [("sum(omendb_wal_unsynced_bytes{@})", "bytes")]),
        number("Age of the last backup", "s",
               "max(time() - (max_over_time(omendb_backup_last_success_timestamp_seconds{@}[7d]) > 0)) or vector(-1)",
               "", [(26 * 3600, "red")], 8, words((-1, "none", "orange"))),
        lines("Operations ended", "short",
              [("sum by (kind, result) (increase(omendb_maintenance_ended_total{@}[1h])) > 0", "{{kind}} {{result}}")],
              "Within an hour."),
    ]),
    ("Recall", [
        lines("Recall by plan", "percentunit",
              [("max by (collection, plan) (omendb_recall_high{%})", "at most {{collection}} {{plan}}"),
               ("max by (collection, plan) (omendb_recall_estimate{%})", "{{collection}} {{plan}}"),
               ("min by (collection, plan) (omendb_recall_low{%})", "at least {{collection}} {{plan}}")],
              "Of searches that clients make, a sample of which is made again exactly; the band is 95 % sure.",
              12, low=None, overrides=band("/^at most /", "/^at least /")),
        lines("Samples", "reqps",
              [("sum by (result) (rate(omendb_recall_samples_total{@}[]))", "{{result}}")],
              "dropped: the monitor had no time left (--recall-cost).", 6),
        lines("What the monitor costs", "percentunit",
              [("sum(rate(omendb_recall_cpu_seconds_total{@}[]))", "of a core")], width=6),
    ]),
    ("Access, tenants, connections", [
        lines("Callers sent away", "reqps",
              [("sum by (reason) (rate(omendb_auth_failures_total{@}[]))", "credential {{reason}}"),
               ("sum(rate(omendb_auth_denied_total{@}[]))", "role does not suffice")]),
        lines("Tenants refused", "reqps",
              [('sum by (why) (rate(omendb_grpc_server_shed_total{@,why=~"rate|concurrency|quota"}[]))', "{{why}}")],
              "rate, concurrency: too much at once; quota: too much stored."),
        lines("Connections", "short",
              [("sum(omendb_grpc_server_connections{@})", "open"),
               ("sum by (why) (rate(omendb_grpc_server_connections_refused_total{@}[])) * 60",
                "refused a minute: {{why}}"),
               ("sum by (why) (rate(omendb_grpc_server_cut_total{@}[])) * 60", "cut a minute: {{why}}")]),
        lines("Answers that wait for slow readers", "bytes",
              [("sum(omendb_grpc_server_answer_bytes{@})", "bytes")]),
        lines("Slow calls", "reqps", [("sum(rate(omendb_slow_calls_total{@}[]))", "calls")],
              "Longer than --slow-log-ms."),
    ]),
    ("Start, process, certificates", [
        number("Up since", "dateTimeFromNow", "min(process_start_time_seconds{@}) * 1000", width=6),
        number("Start took", "s", "max(omendb_startup_seconds{@})", "Until it served.", width=6),
        number("Of it, replay of the log", "s", "max(omendb_recovery_seconds{@})", width=6),
        number("Certificate ends", "dateTimeFromNow",
               "min(omendb_tls_certificate_expiry_timestamp_seconds{@}) * 1000", width=6,
               maps=words((0, "no TLS", "text"))),
        lines("Processor", "percentunit", [("sum by (instance) (rate(process_cpu_seconds_total{@}[]))", "{{instance}}")],
              "1: one core."),
        lines("Descriptors and threads", "short",
              [("sum by (instance) (process_open_fds{@})", "descriptors {{instance}}"),
               ("sum by (instance) (process_threads{@})", "threads {{instance}}")]),
        lines("What should stay at 0", "short",
              [("sum(increase(omendb_grpc_server_accept_failures_total{@}[]))", "connections not accepted"),
               ("sum(increase(omendb_file_faults_total{@}[]))", "cut files"),
               ("sum(increase(omendb_log_failed_lines_total{@}[]))", "log lines lost"),
               ("sum(increase(omendb_log_suppressed_lines_total{@}[]))", "log lines left out"),
               ("sum(increase(omendb_checksum_failures_total{@}[]))", "damaged bytes"),
               ("sum(increase(omendb_audit_failed_lines_total{@}[]))", "audit lines lost"),
               ('sum(increase(omendb_tls_reloads_total{@,result="failed"}[]))', "bad certificate files"),
               ('sum(increase(omendb_auth_reloads_total{@,result="failed"}[]))', "bad key files")]),
    ]),
]


def panel_of(spec, number_of, x, y):
    panel = {k: v for k, v in spec.items() if k not in ("queries", "width", "height", "instant")}
    panel.update(id=number_of, datasource=SOURCE,
                 gridPos={"x": x, "y": y, "w": spec["width"], "h": spec.get("height", HEIGHT)})
    panel["targets"] = []
    for i, (query, legend) in enumerate(spec["queries"]):
        target = {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expand(query), "editorMode": "code",
                  "legendFormat": legend, "range": True}
        if spec.get("instant"):
            target.update(instant=True, range=False, format="table")
        panel["targets"].append(target)
    return panel


def panels():
    made, y = [], 0
    for title, specs in ROWS:
        made.append({"type": "row", "title": title, "id": len(made) + 1, "collapsed": False, "panels": [],
                     "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        x, y, height = 0, y + 1, 0
        for spec in specs:
            if x + spec["width"] > WIDTH:
                x, y, height = 0, y + height, 0
            made.append(panel_of(spec, len(made) + 1, x, y))
            x, height = x + spec["width"], max(height, spec.get("height", HEIGHT))
        y += height
    return made


def variable(name, label, query, everything=True):
    return {"type": "query", "name": name, "label": label, "datasource": SOURCE, "refresh": 2, "sort": 1,
            "definition": query, "query": {"query": query, "refId": name}, "multi": everything,
            "includeAll": everything, "allValue": ".*" if everything else None,
            "current": {"text": ["All"], "value": ["$__all"]} if everything else {}}


def annotation(name, colour, query, title):
    return {"name": name, "enable": True, "iconColor": colour, "datasource": SOURCE, "expr": expand(query),
            "titleFormat": title, "step": "30s"}


def dashboard():
    source = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
              "current": {}, "hide": 0}
    return {
        "title": "OmenDB", "uid": "omendb", "tags": ["omendb"], "schemaVersion": 38, "version": 1, "editable": True,
        "description": "omend: calls, search, ingest, index, memory, disk. Made by dashboard.py.",
        "time": {"from": "now-1h", "to": "now"}, "refresh": "30s", "graphTooltip": 1, "timezone": "",
        "templating": {"list": [
            source,
            variable("job", "Job", "label_values(omendb_build_info, job)"),
            variable("instance", "Instance", 'label_values(omendb_build_info{job=~"$job"}, instance)'),
            variable("collection", "Collection",
                     'label_values(omendb_points{job=~"$job",instance=~"$instance"}, collection)')]},
        "annotations": {"list": [
            annotation("Starts", "blue", "changes(omendb_startup_seconds{@}[1m]) > 0", "start of {{instance}}"),
            annotation("Alerts", "red", 'ALERTS{alertname=~"Omendb.+",alertstate="firing"}', "{{alertname}}")]},
        "links": [], "panels": panels(),
    }


def main():
    text = json.dumps(dashboard(), indent=1) + "\n"
    if sys.argv[1:] == ["--check"]:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "omendb.json")
        with open(path, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("omendb.json is not what dashboard.py makes: dashboard.py > omendb.json")
        return
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
