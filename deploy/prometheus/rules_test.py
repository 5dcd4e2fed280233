#!/usr/bin/env python3
"""rules_test.py - makes omendb.rules.test.yml, the tests of the alerts, from the cases below.

    rules_test.py > omendb.rules.test.yml        rules_test.py --check    (status 1: it is not what it would be)
    promtool test rules omendb.rules.test.yml

Every case has an instance "bad", whose alert must fire, and a "good" one that looks as much like it as it can
and must stay silent; where an alert waits, it must be silent before, too. An alert without a case, or a text
that does not come out as it is written here, fails. SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = os.path.join(HERE, "omendb.rules.yml")
BAD, GOOD, THIRD = ({"job": "omendb", "instance": name} for name in ("bad", "good", "third"))
MIB = 1 << 20


def alerts():
    """{alert: {severity, description, runbook, for}} of the rules file, whose form is our own."""
    found = {}
    with open(RULES, encoding="utf-8") as file:
        text = file.read()
    for block in re.split(r"\n\n|\n  - name:", text):
        name = re.search(r"- alert: (\w+)", block)
        if name:
            found[name.group(1)] = {
                key: json.loads(value) if value.startswith('"') else value
                for key, value in re.findall(r"^ +(severity|description|runbook|for): (.*)$", block, re.M)}
    return found


def series(metric, target, values, **labels):
    """One input series; values in the notation of promtool, a sample a minute."""
    inside = ",".join('%s="%s"' % pair for pair in {**labels, **target}.items())
    return "%s{%s}" % (metric, inside), values


def histogram(metric, target, low, high, slow, **labels):
    """100 calls a minute: all of them below `low`, or (slow) all between it and `high`."""
    return [series(metric + "_bucket", target, "0+0x600" if slow else "0+100x600", le=low, **labels),
            series(metric + "_bucket", target, "0+100x600", le=high, **labels),
            series(metric + "_bucket", target, "0+100x600", le="+Inf", **labels)]


def calls(target, code, a_minute):
    return series("omendb_grpc_server_handled_total", target, "0+%dx600" % a_minute,
                  service="omen.v1.Items", method="Search", code=code)


def case(alert, fires, summary, inputs, silent=None, **labels):
    """silent: a time at which it must not fire yet; labels beside those of the target."""
    return {"alert": alert, "fires": fires, "summary": summary, "inputs": inputs, "silent": silent,
            "labels": labels}


def steady(metric, bad, good, **labels):
    """A gauge, or a counter that rises so much a minute when the values are texts."""
    return [series(metric, target, value if isinstance(value, str) else "%s+0x600" % value, **labels)
            for target, value in ((BAD, bad), (GOOD, good))]


POD = {"namespace": "db", "pod": "omendb-0", "container": "omendb"}
OLD = {"namespace": "db", "pod": "omendb-1", "container": "omendb"}
CASES = [
    case("OmendbDown", "20m", "omend at bad cannot be scraped",
         steady("up", "1+0x5 0+0x60", 1) + [series("up", {"job": "node", "instance": "other"}, "0+0x60")], "7m"),
    case("OmendbNotReady", "20m", "omend at bad has not served for 15 minutes",
         steady("omendb_ready", 0, "0+0x10 1+0x60"), "14m"),
    case("OmendbRestarts", "45m", "omend at bad started 3 times within an hour",
         steady("omendb_build_info", 1, 1)
         + steady("process_start_time_seconds", "1000+0x9 1600+0x9 2200+0x9 2800+0x60", "1000+0x9 1600+0x60")
         + [series("process_start_time_seconds", {"job": "node", "instance": "other"}, "0+60x60")], "25m"),
    case("OmendbOomKilled", "15m", "omendb-0 was killed for the memory it took",
         [series("kube_pod_container_status_last_terminated_reason", pod, "1+0x60", reason="OOMKilled")
          for pod in (POD, OLD, dict(POD, container="sidecar"))]
         + [series("kube_pod_container_status_restarts_total", POD, "1+0x9 2+0x60"),
            series("kube_pod_container_status_restarts_total", OLD, "1+0x60"),
            series("kube_pod_container_status_restarts_total", dict(POD, container="sidecar"), "1+0x9 2+0x60")],
         "8m", target=POD, reason="OOMKilled"),
    case("OmendbAcceptFailures", "12m", "omend at bad could not accept a connection",
         steady("omendb_grpc_server_accept_failures_total", "0+0x10 1+0x60", 0), "9m"),
    case("OmendbAcceptFailures", "12m", "omend at bad could not accept a connection",
         steady("omendb_grpc_server_connections_refused_total", "0+0x10 1+0x60", 0, why="descriptors")
         + steady("omendb_grpc_server_connections_refused_total", "0+9x60", "0+9x60", why="limit"),
         "9m", why="descriptors"),
    case("OmendbDescriptorsShort", "20m", "omend at bad uses 90% of its descriptors",
         steady("omendb_build_info", 1, 1) + steady("process_open_fds", 900, 700)
         + steady("process_max_fds", 1000, 1000)
         + [series("process_open_fds", {"job": "node", "instance": "other"}, "1000+0x60"),
            series("process_max_fds", {"job": "node", "instance": "other"}, "1000+0x60")], "4m"),

    case("OmendbErrors", "20m", "2% of the calls of bad fail",
         [calls(BAD, "OK", 98), calls(BAD, "UNAVAILABLE", 1), calls(BAD, "INTERNAL", 1),
          calls(GOOD, "OK", 98), calls(GOOD, "INVALID_ARGUMENT", 2), calls(GOOD, "INTERNAL", 0)], "4m"),
    case("OmendbInternalErrors", "20m", "omend at bad answered with INTERNAL",
         [series("omendb_grpc_server_handled_total", BAD, "0+0x15 1+0x60", method="Get", service="s",
                 code="INTERNAL"),
          series("omendb_grpc_server_handled_total", GOOD, "0+0x15 1+0x60", method="Get", service="s",
                 code="NOT_FOUND"),
          series("omendb_grpc_server_handled_total", GOOD, "7+0x60", method="Get", service="s",
                 code="INTERNAL")], "14m", code="INTERNAL"),
    case("OmendbRefuses", "20m", "omend at bad refuses 5% of the calls",
         steady("omendb_grpc_server_started_total", "0+100x600", "0+100x600", method="Search", service="s")
         + [series("omendb_grpc_server_shed_total", BAD, "0+2x600", why="inflight"),
            series("omendb_grpc_server_shed_total", BAD, "0+3x600", why="queue"),
            series("omendb_grpc_server_shed_total", GOOD, "0+0x600", why="queue"),
            series("omendb_grpc_server_shed_total", GOOD, "0+50x600", why="draining"),
            series("omendb_grpc_server_shed_total", GOOD, "0+50x600", why="rate")], "4m"),
    case("OmendbDeadlinesMissed", "20m", "10% of the calls of bad miss their deadline",
         [calls(BAD, "OK", 90), calls(BAD, "DEADLINE_EXCEEDED", 10), calls(GOOD, "OK", 97),
          calls(GOOD, "DEADLINE_EXCEEDED", 3)], "4m"),
    case("OmendbSearchSlow", "30m", "p99 of searches at bad is 992.5ms",
         histogram("omendb_grpc_server_handling_seconds", BAD, "0.25", "1", True, method="Search", service="s")
         + histogram("omendb_grpc_server_handling_seconds", GOOD, "0.25", "1", False, method="Search", service="s")
         + histogram("omendb_grpc_server_handling_seconds", GOOD, "0.25", "1", True, method="Optimize",
                     service="s"), "9m"),
    case("OmendbSearchQueueLong", "30m", "searches at bad wait 248.5ms for a worker (p99)",
         histogram("omendb_search_queue_seconds", BAD, "0.1", "0.25", True)
         + histogram("omendb_search_queue_seconds", GOOD, "0.1", "0.25", False), "9m"),
    case("OmendbShortResults", "40m", "5% of the searches of bad find fewer than k",
         steady("omendb_search_short_total", "0+5x600", "0+0x600")
         + steady("omendb_search_seconds_count", "0+60x600", "0+100x600", plan="graph")
         + steady("omendb_search_seconds_count", "0+40x600", "0+0x600", plan="filter_hop"), "9m"),
    case("OmendbRecallLow", "40m", "recall of films by graph is at most 85%",
         steady("omendb_recall_high", 0.85, 0.97, collection="films", plan="graph")
         + steady("omendb_recall_queries", 500, 500, collection="films", plan="graph")
         + [series("omendb_recall_high", THIRD, "0.5+0x600", collection="few", plan="graph"),
            series("omendb_recall_queries", THIRD, "12+0x600", collection="few", plan="graph")],
         "29m", collection="films", plan="graph"),

    case("OmendbIngestStalled", "30m", "writers of bad are made to wait",
         [series("omendb_ingest_stall_seconds_total", BAD, "0+30x600", why="memory"),
          series("omendb_ingest_stall_seconds_total", BAD, "0+15x600", why="index_backlog"),
          series("omendb_ingest_stall_seconds_total", GOOD, "0+15x600", why="index_backlog"),
          series("omendb_ingest_stall_seconds_total", GOOD, "0+60x600", why="window")], "9m"),
    case("OmendbIndexBehind", "40m", "100k items of films are not in the graph yet",
         steady("omendb_unindexed_points", 100000, 100000, collection="films")
         + steady("omendb_rows", 500000, 5000000, collection="films")
         + [series("omendb_unindexed_points", THIRD, "900+0x600", collection="small"),
            series("omendb_rows", THIRD, "1000+0x600", collection="small")], "29m", collection="films"),
    case("OmendbVisibleLate", "30m", "writes at bad are seen after 9.95s (p99)",
         histogram("omendb_visible_lag_seconds", BAD, "5", "10", True)
         + histogram("omendb_visible_lag_seconds", GOOD, "5", "10", False), "9m"),
    case("OmendbDurableLate", "30m", "a loss of power would take 1m 30s of writes of bad",
         steady("omendb_durable_lag_seconds", 90, 0), "4m"),
    case("OmendbSyncSlow", "30m", "the disk of bad takes 203.8ms for a sync (p99)",
         histogram("omendb_wal_fsync_seconds", BAD, "0.1024", "0.2048", True)
         + histogram("omendb_wal_fsync_seconds", GOOD, "0.0256", "0.0512", True), "9m"),

    case("OmendbDataDamaged", "12m", "data of bad are damaged",
         steady("omendb_file_faults_total", "0+0x10 1+0x60", "0+0x60"), "9m"),
    case("OmendbDataDamaged", "12m", "data of bad are damaged",
         steady("omendb_checksum_failures_total", "0+0x10 1+0x60", "3+0x60"), "9m"),
    case("OmendbDataDamaged", "12m", "data of bad are damaged",
         [series("omendb_grpc_server_handled_total", BAD, "0+0x10 1+0x60", method="Get", service="s",
                 code="DATA_LOSS"),
          series("omendb_grpc_server_handled_total", GOOD, "0+5x60", method="Get", service="s",
                 code="NOT_FOUND")], "9m"),
    case("OmendbDataDamaged", "12m", "data of bad are damaged",
         steady("omendb_database_state", "0+0x10 1+0x60", 0, state="damaged")
         + steady("omendb_database_state", "1+0x10 0+0x60", 1, state="writable"), "9m"),
    case("OmendbNotWritable", "20m", "omend at bad refuses writes",
         steady("omendb_writable", "1+0x10 0+0x60", 0) + steady("omendb_ready", 1, 0), "11m"),
    case("OmendbDiskSmall", "20m", "10% of the disk of bad is free",
         steady("omendb_disk_free_bytes", 10 * MIB, 20 * MIB) + steady("omendb_disk_size_bytes", 100 * MIB, 100 * MIB)
         + [series("omendb_disk_free_bytes", THIRD, "0+0x60"), series("omendb_disk_size_bytes", THIRD, "0+0x60")],
         "9m"),
    case("OmendbDiskFillsUp", "5h", "the disk of bad will be full within a day",
         steady("omendb_disk_free_bytes", "1000000000-1000000x600", "1000000000-100000x600"), "30m"),
    case("OmendbMergeRoomShort", "40m", "bad has no room to rewrite its largest collection",
         steady("omendb_disk_free_bytes", 1000 * MIB, 1000 * MIB)
         + steady("omendb_collection_bytes", 800 * MIB, 400 * MIB, collection="a", part="disk")
         + steady("omendb_collection_bytes", 400 * MIB, 400 * MIB, collection="b", part="disk")
         + steady("omendb_collection_bytes", 4000 * MIB, 4000 * MIB, collection="_other", part="disk")
         + steady("omendb_collection_bytes", 4000 * MIB, 4000 * MIB, collection="a", part="mapped"), "29m"),
    case("OmendbLogLong", "40m", "the log of bad holds 5GiB",
         steady("omendb_wal_bytes", 5 * 1024 * MIB, 256 * MIB), "29m"),
    case("OmendbMaintenanceFailed", "12m", "backup failed at bad",
         steady("omendb_maintenance_ended_total", "0+0x10 1+0x60", 0, kind="backup", result="failed")
         + steady("omendb_maintenance_ended_total", "0+1x60", "0+1x60", kind="backup", result="ok"),
         "9m", kind="backup", result="failed"),
    case("OmendbMaintenanceHangs", "7h", "optimize at bad has run for six hours",
         steady("omendb_maintenance_running", 1, "1+0x120 0+0x1 1+0x400", kind="optimize"), "5h",
         kind="optimize"),
    case("OmendbBackupOld", "27h", "the last backup of bad is 1d 2h 50m 0s old",
         steady("omendb_backup_last_success_timestamp_seconds", "0+0x10 600+0x1000 0+0x1000", "0+0x1400 84000+0x600")
         + steady("process_start_time_seconds", "0+0x1010 60660+0x1000", "0+0x2000")
         + steady("omendb_disk_free_bytes", "1+0x2000", "1+0x2000")
         + [series("process_start_time_seconds", {"job": "node", "instance": "other"}, "0+0x2000"),
            series("process_start_time_seconds", THIRD, "0+0x2000"),
            series("omendb_backup_last_success_timestamp_seconds", THIRD, "0+0x2000")], "25h"),
    case("OmendbBackupOld", "27h", "the last backup of bad is 1d 3h 0m 0s old",
         steady("omendb_backup_last_success_timestamp_seconds", "0+0x2000", "0+0x2000")
         + steady("process_start_time_seconds", "0+0x2000", "_x1000 60000+0x1000")
         + steady("omendb_disk_free_bytes", "1+0x2000", "1+0x2000"), "25h"),

    case("OmendbMemoryShort", "20m", "95% of the memory budget of bad is used",
         steady("omendb_memory_used_bytes", 95 * MIB, 85 * MIB) + steady("omendb_memory_budget_bytes", 100 * MIB, 100 * MIB)
         + [series("omendb_memory_used_bytes", THIRD, "1000000000+0x60")], "9m"),
    case("OmendbMemoryRefusals", "20m", "omend at bad refuses requests for lack of memory",
         steady("omendb_memory_rejections_total", "0+1x60", "9+0x60"), "4m"),

    case("OmendbCertificateEnds", "1h", "the certificate of bad ends in 9d 23h 0m 0s",
         steady("omendb_tls_certificate_expiry_timestamp_seconds", 10 * 86400, 20 * 86400)
         + [series("omendb_tls_certificate_expiry_timestamp_seconds", THIRD, "0+0x60")]),
    case("OmendbCertificateEndsSoon", "1h", "the certificate of bad ends in 23h 0m 0s",
         steady("omendb_tls_certificate_expiry_timestamp_seconds", 86400, 10 * 86400)
         + [series("omendb_tls_certificate_expiry_timestamp_seconds", THIRD, "0+0x60")]),
    case("OmendbReloadFailed", "12m", "omend at bad could not take up changed certificates or keys",
         steady("omendb_tls_reloads_total", "0+0x10 1+0x60", "2+0x60", result="failed")
         + steady("omendb_tls_reloads_total", "0+1x60", "0+1x60", result="ok"), "9m", result="failed"),
    case("OmendbReloadFailed", "12m", "omend at bad could not take up changed certificates or keys",
         steady("omendb_auth_reloads_total", "0+0x10 1+0x60", "2+0x60", result="failed", file="jwt"),
         "9m", result="failed", file="jwt"),
    case("OmendbCredentialsRefused", "20m", "2 calls a second reach bad with bad credentials",
         steady("omendb_auth_failures_total", "0+60x600", "0+20x600", reason="invalid")
         + steady("omendb_auth_failures_total", "0+60x600", "0+20x600", reason="missing"), "4m"),
    case("OmendbTenantAtLimit", "40m", "a tenant of bad may not write more",
         steady("omendb_grpc_server_shed_total", "0+1x600", 0, why="quota")
         + steady("omendb_grpc_server_shed_total", "0+9x600", "0+9x600", why="rate"), "14m", why="quota"),
    case("OmendbLogLinesLost", "12m", "omend at bad could not write log lines",
         steady("omendb_log_failed_lines_total", "0+0x10 4+0x60", "4+0x60"), "9m"),
    case("OmendbLogLinesLost", "12m", "omend at bad could not write log lines",
         steady("omendb_audit_failed_lines_total", "0+0x10 4+0x60", "4+0x60"), "9m"),
]


def test_of(spec, rule):
    labels = dict(spec["labels"])
    labels.update(labels.pop("target", BAD), severity=rule["severity"])
    fired = {"exp_labels": labels, "exp_annotations": {
        "summary": spec["summary"], "description": rule["description"], "runbook": rule["runbook"]}}
    times = [{"eval_time": spec["fires"], "alertname": spec["alert"], "exp_alerts": [fired]}]
    if spec["silent"]:
        times.insert(0, {"eval_time": spec["silent"], "alertname": spec["alert"], "exp_alerts": []})
    return {"interval": "1m", "name": spec["alert"], "alert_rule_test": times,
            "input_series": [{"series": name, "values": values} for name, values in spec["inputs"]]}


def scalar(text):
    return text if re.fullmatch(r"[\w./#]+", text) else json.dumps(text)


def yaml(value, indent):
    """Maps, lists and texts as YAML; empty lists inline."""
    space = "  " * indent
    if isinstance(value, dict):
        return "".join("%s%s:%s" % (space, key, after(item, indent)) for key, item in value.items())
    return "".join("%s- %s" % (space, scalar(item) + "\n" if isinstance(item, str)
                               else yaml(item, indent + 1).lstrip()) for item in value)


def after(item, indent):
    if isinstance(item, str):
        return " %s\n" % scalar(item)
    return "\n" + yaml(item, indent + 1) if item else " []\n"


def main():
    rules = alerts()
    without = sorted(set(rules) - {spec["alert"] for spec in CASES})
    unknown = sorted({spec["alert"] for spec in CASES} - set(rules))
    if without or unknown:
        sys.exit("alerts without a case: %s; cases without an alert: %s" % (without, unknown))
    early = [spec["alert"] for spec in CASES if not spec["silent"] and "for" in rules[spec["alert"]]]
    if early:
        sys.exit("cases that do not say when it must be silent: %s" % early)
    text = ("# omendb.rules.test.yml - tests of the alerts, made by rules_test.py; run them with\n"
            "# promtool test rules omendb.rules.test.yml. SPDX-License-Identifier: Apache-2.0\n")
    text += yaml({"rule_files": [os.path.basename(RULES)], "evaluation_interval": "1m",
                  "tests": [test_of(spec, rules[spec["alert"]]) for spec in CASES]}, 0)
    if sys.argv[1:] == ["--check"]:
        with open(RULES.replace(".yml", ".test.yml"), encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("omendb.rules.test.yml is not what rules_test.py makes")
        return
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
