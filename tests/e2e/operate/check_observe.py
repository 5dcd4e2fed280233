"""What a server tells about itself: recall as its users get it, slow calls, metrics at a thousand collections,
`omen top`, and what all this costs. SPDX-License-Identifier: Apache-2.0"""

import json
import os
import pty
import re
import select
import shutil
import statistics
import struct
import fcntl
import subprocess
import termios
import time

import numpy

from harness import (OMEN, OMEND, PATIENCE, Load, Omend, check, folder, free_port, http_get, main, need, omen,
                     poll, run, samples, wire, write)

DIM = 32
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def fill(client, name, rows, dim=DIM, metadata=False):
    """A collection of points near a plane of few dimensions, all of them in the graph."""
    client.create(name, dim)
    random = numpy.random.default_rng(7)
    plane = random.normal(size=(8, dim))
    vectors = (random.normal(size=(rows, 8)) @ plane).astype("<f4")
    for at in range(0, rows, 1000):
        batch = wire.batch_of(vectors[at : at + 1000], range(at + 1, at + 1001))
        if metadata:
            batch.items.metadata.json.extend(
                json.dumps({"n": i % 100, "s": "w%d" % (i % 3)}).encode() for i in range(at, min(at + 1000, rows))
            )
        client.write(name, batch)
    return vectors


def indexed(server, name, rows):
    """Waits until no more rows wait for the graph than an incomplete micro-batch has."""
    poll(
        "the graph",
        lambda: server.metric("omendb_points", collection=name) == rows
        and server.metric("omendb_unindexed_points", collection=name) < 512,
    )


def estimate(server, series, **labels):
    found = [
        value
        for name, has, value in samples(server.page("/metrics")[2])
        if name == series and labels.items() <= has.items()
    ]
    return found


@check("the recall monitor measures what users search, with and without filters")
def recall_is_estimated():
    with Omend("--recall-sample=1", "--recall-cost=1000") as server:
        client = server.client()
        vectors = fill(client, "films", 20000, metadata=True)
        indexed(server, "films", 20000)

        def search():
            for i in range(20):
                client.search("films", vectors[i], ef=12)
                client.search("films", vectors[i], filter="n < 60")
            plans = {
                has["plan"]
                for name, has, _ in samples(server.page("/metrics")[2])
                if name == "omendb_recall_estimate" and has["collection"] == "films"
            }
            return "graph" in plans and any(plan.startswith("filter_") for plan in plans)

        poll("estimates of both plans", search)
        shown = []
        for name, has, value in samples(server.page("/metrics")[2]):
            if name == "omendb_recall_estimate":
                low = estimate(server, "omendb_recall_low", **has)[0]
                high = estimate(server, "omendb_recall_high", **has)[0]
                assert 0.3 < value <= 1 and 0 <= low <= value + 1e-6 and value <= high + 1e-6 <= 1 + 2e-6
                shown.append("%s %.3f (%.3f to %.3f)" % (has["plan"], value, low, high))
        assert server.metric("omendb_recall_samples_total", result="failed") == 0
        assert server.metric("omendb_recall_cpu_seconds_total") > 0
        client.collections.DeleteCollection(wire.COLLECTIONS.DeleteCollectionRequest(name="films"))
        assert not estimate(server, "omendb_recall_estimate", collection="films")
    with Omend("--recall-sample=off") as server:
        client = server.client()
        vectors = fill(client, "films", 2000)
        for i in range(50):
            client.search("films", vectors[i])
        assert not [name for name, _, _ in samples(server.page("/metrics")[2]) if "recall" in name]
    return "; ".join(shown)


@check("the monitor stays within its share of one core while searches saturate the machine")
def recall_is_capped():
    permille = 20
    with Omend("--recall-sample=1", "--recall-cost=%d" % permille) as server:
        client = server.client()
        vectors = fill(client, "films", 20000)
        indexed(server, "films", 20000)
        with Load([lambda: client.search("films", vectors[5], ef=100)] * 4) as load:
            load.reach(200)
            began, before = time.monotonic(), server.metric("omendb_recall_cpu_seconds_total")
            poll("20 samples", lambda: server.metric("omendb_recall_samples_total", result="measured") > 20)
            while time.monotonic() - began < 5:
                load.reach(100)
            used = server.metric("omendb_recall_cpu_seconds_total") - before
            share = used / (time.monotonic() - began)
        assert not load.failures, load.failures
        dropped = server.metric("omendb_recall_samples_total", result="dropped")
        assert dropped > 0, "every search was sampled and none was dropped"
        # one measurement more than its share may just have ended
        assert share < 2 * permille / 1000, share
    return "%.2f %% of a core of %.1f %% allowed; %d offers dropped" % (share * 100, permille / 10, dropped)


@check("slow calls leave a line with ids, peer and figures, and nothing that was searched for")
def slow_calls():
    secret = "marker9000"
    key = "omen_" + "s" * 43
    keys = write(os.path.join(folder(), "bootstrap"), key + "\n", 0o600)
    with Omend("--slow-log-ms=1", "--log-format=json", "--bootstrap-key-file=" + keys) as server:
        client = server.client(token=key)
        vectors = fill(client, "films", 20000, metadata=True)

        def logged():
            request = wire.search_of("films", vectors[3], exact=True, filter="n < 99 OR s = '%s'" % secret)
            client.items.Search(
                request, timeout=PATIENCE,
                metadata=(("x-request-id", "req-77"), ("traceparent", "00-%s-00f067aa0ba902b7-01" % TRACE)),
            )
            lines = [json.loads(line) for line in server.read_log().splitlines() if line.startswith("{")]
            return [
                line for line in lines if line["kind"] == "slow_call" and line.get("request_id") == "req-77"
            ]

        line = poll("a slow search", logged)[0]
        for name in ("queue_us", "engine_us", "send_us", "visited", "filter_us", "received_bytes"):
            assert isinstance(line[name], int), line
        assert line["method"] == "Search" and line["collection"] == "films" and line["k"] == 10, line
        assert line["principal"] == "bootstrap", line
        assert line["trace_id"] == TRACE and re.match(r"ipv[46]:", line["peer"]), line
        assert line["total_us"] >= 1000 and line["total_us"] >= line["engine_us"], line
        assert server.metric("omendb_slow_calls_total") >= 1
        assert secret not in server.read_log() and key not in server.read_log()
        # The tool hands on the trace of the program that started it.
        trace = TRACE[::-1]
        def traced():  # the log takes few lines of a kind a second
            server.omen("recall", "films", "--samples", "200", "--key-file", keys,
                        env=dict(os.environ, TRACEPARENT="00-%s-00f067aa0ba902b7-00" % trace))
            return '"trace_id":"%s"' % trace in server.read_log()

        poll("the trace of the tool", traced)
        # Whatever a client sends as ids, it stays one field of one line.
        for bad in ("00-%s-00f067aa0ba902b7" % TRACE, "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
                    "ff-%s-00f067aa0ba902b7-01" % TRACE, "00-%s-00f067aa0ba902b7-01-x" % TRACE, "x" * 200):
            client.items.Search(
                wire.search_of("films", vectors[3], exact=True), timeout=PATIENCE,
                metadata=(("x-request-id", "bad-" + str(len(bad)) + bad[:2]), ("traceparent", bad)),
            )
        lines = [json.loads(line) for line in server.read_log().splitlines() if line.startswith("{")]
        assert not [line for line in lines
                    if line.get("request_id", "").startswith("bad-") and "trace_id" in line]
    return "%d us in all: %d queued, %d in the engine, %d sending; %d visited" % (
        line["total_us"], line["queue_us"], line["engine_us"], line["send_us"], line["visited"])


@check("faults of the server leave a line with the ids of the call; waiting is not slow; older backups are known")
def faults_are_told():
    backups = folder("backups-")
    options = ("--slow-log-ms=15", "--log-format=json", "--backup-dir=" + backups)

    def lines(server, kind):
        found = [json.loads(line) for line in server.read_log().splitlines() if line.startswith("{")]
        return [line for line in found if line["kind"] == kind]

    with Omend(*options) as server:
        client = server.client()
        fill(client, "films", 20000)

        def waited():  # the server looks every 20 ms whether the operation has ended
            started = client.maintenance.Backup(
                wire.MAINTENANCE.BackupRequest(name="b-%d" % len(os.listdir(backups)), copy=True), timeout=PATIENCE)
            begun = time.monotonic()
            client.maintenance.WaitOperation(
                wire.MAINTENANCE.WaitOperationRequest(id=started.id, timeout_ms=60000), timeout=PATIENCE)
            return time.monotonic() - begun >= 0.02

        for _ in range(3):
            poll("a call that waits", waited)
        waits = [line for line in lines(server, "slow_call") if line["method"] == "WaitOperation"]
        assert not waits, waits
    with Omend(*options, data=server.data) as server:
        newest = json.loads(server.omen("backups", "--json").stdout)["backups"][0]["created_unix_ms"] / 1000
        known = server.metric("omendb_backup_last_success_timestamp_seconds")
        assert abs(known - newest) < 0.01, (known, newest)
        assert not lines(server, "call_failed")
        shutil.rmtree(backups)  # what a disk does that goes away
        stub = server.client().maintenance
        try:
            stub.ListBackups(
                wire.MAINTENANCE.ListBackupsRequest(), timeout=PATIENCE,
                metadata=(("x-request-id", "req-78"), ("traceparent", "00-%s-00f067aa0ba902b7-01" % TRACE)))
            raise AssertionError("there was a list of a folder that is gone")
        except wire.grpc.RpcError as error:
            assert error.code() == wire.grpc.StatusCode.INTERNAL, error
        (line,) = lines(server, "call_failed")
        assert line["level"] == "error" and line["code"] == "INTERNAL" and line["reason"] == "IO", line
        assert line["service"] == "omen.v1.Maintenance" and line["method"] == "ListBackups", line
        assert line["request_id"] == "req-78" and line["trace_id"] == TRACE, line
        assert re.match(r"ipv[46]:", line["peer"]) and "folder for backups" in line["text"], line
        # Faults of clients are none of the server.
        assert server.omen("count", "nothing", check=False).returncode == 3
        assert len(lines(server, "call_failed")) == 1
    return "call_failed: %s %s %s" % (line["method"], line["code"], line["text"])


@check("a scrape at 1,000 collections with a label each", seconds=900)
def scrape_of_a_thousand():
    with Omend("--metrics-collections=1000") as server:
        client = server.client()
        rows = numpy.random.default_rng(3).normal(size=(20, 8)).astype("<f4")
        names = ["a-collection-with-a-name-of-usual-length-%04d" % i for i in range(1000)]
        for name in names:
            client.create(name, 8)
            client.add(name, rows)
            client.search(name, rows[0])
        server.page("/metrics")
        times = []
        for _ in range(9):
            began = time.monotonic()
            status, _, text = server.page("/metrics")
            times.append(time.monotonic() - began)
            assert status == 200
        assert len(text) < 5_000_000, len(text)
        assert statistics.median(times) < 2, times  # the bar is 0.1; this must hold on any machine
        labels = {has["collection"] for name, has, _ in samples(text) if "collection" in has}
        assert labels == set(names), len(labels)
        client.create("one-more", 8)
        labels = {has["collection"] for _, has, _ in samples(server.page("/metrics")[2])
                  if "collection" in has}
        assert labels == set(names) | {"_other"}, len(labels)
        assert server.metric("omendb_collection_search_seconds_count") == 1000
    return "median %.0f ms (%.0f to %.0f), %.2f MB" % (
        statistics.median(times) * 1000, min(times) * 1000, max(times) * 1000, len(text) / 1e6)


@check("metrics of the log, lags and memory move as they should")
def figures_of_the_log():
    with Omend("--memory-limit=256MiB", "--interval-ms=60000") as server:
        client = server.client()
        fill(client, "films", 6000, dim=64)
        page = server.page("/metrics")[2]
        got = {name: value for name, has, value in samples(page) if not has}
        assert got["omendb_wal_written_bytes_total"] > 6000 * 64 * 4
        assert got["omendb_wal_unsynced_bytes"] == 0  # every batch was synced before it was answered
        assert got["omendb_wal_fsync_seconds_count"] == got["omendb_wal_syncs_total"] > 0
        assert got["omendb_visible_lag_seconds_count"] == 6
        assert got["omendb_disk_size_bytes"] >= got["omendb_disk_free_bytes"] > 0
        assert got["omendb_disk_used_bytes"] > 0
        classes = {has["class"]: value for name, has, value in samples(page)
                   if name == "omendb_memory_class_bytes"}
        inside = sum(value for name, value in classes.items() if name != "ingest")
        assert classes["vectors"] >= 6000 * 64 * 4, classes
        assert abs(inside - got["omendb_memory_used_bytes"]) < 0.2 * inside, (classes, inside)
        client.create("lazy", 64, durability=1)  # none: synced when the system likes
        poll("an unsynced write", lambda: client.add("lazy", numpy.ones((100, 64), "<f4"))
             and server.metric("omendb_durable_lag_seconds") > 0
             and server.metric("omendb_wal_unsynced_bytes") > 0)
        lag = server.metric("omendb_durable_lag_seconds")
        client.maintenance.Checkpoint(wire.MAINTENANCE.CheckpointRequest(), timeout=PATIENCE)
        poll("no lag", lambda: server.metric("omendb_durable_lag_seconds") == 0)
    return "durable lag %.0f s seen and gone; classes add up to %.1f MB" % (lag, inside / 1e6)


def _terminal(command, columns, rows, until):
    """What the command writes onto a terminal until `until` is in it; then q is typed. (text, exit status)"""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(command[0], command)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    text = b""
    typed = False
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                got = os.read(fd, 65536)
            except OSError:
                break
            if not got:
                break
            text += got
        if until in text and not typed:
            os.write(fd, b"q")
            typed = True
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    return text.decode(), status


@check("omen top: live on a terminal, plain in a pipe, JSON, and what it says when there is no server")
def top_shows_a_server():
    with Omend() as server:
        client = server.client()
        vectors = fill(client, "films", 3000)
        with Load([lambda: client.search("films", vectors[1])] * 2) as load:
            load.reach(50)
            plain = omen("top", "--once", "--admin", server.admin).stdout
            assert "omendb" in plain and "films" in plain and "\033" not in plain, plain
            view = json.loads(omen("top", "--once", "--json", "--admin", server.admin).stdout)
            assert view["searches"]["per_s"] > 0 and view["searches"]["p99_s"] > 0, view
            assert view["collections"][0]["name"] == "films" and view["collections"][0]["items"] == 3000
            several = subprocess.Popen(
                [OMEN, "top", "--json", "--interval", "0.2", "--admin", server.admin],
                stdout=subprocess.PIPE, text=True)
            spans = [json.loads(several.stdout.readline())["span_s"] for _ in range(3)]
            several.terminate()
            assert several.wait(PATIENCE) == 0 and all(0.15 < span < PATIENCE for span in spans), spans
            several.stdout.close()
            for columns, rows in ((120, 30), (40, 12)):
                text, status = _terminal(
                    [OMEN, "top", "--interval", "0.2", "--admin", server.admin], columns, rows, b"search")
                assert status == 0, (status, text)
                assert text.startswith("\033[?1049h") and text.rstrip().endswith("\033[?1049l"), text[-200:]
                for line in re.sub(r"\033\[[?0-9;]*[a-zA-Z]", "", text).splitlines():
                    assert len(line) <= columns, line
        assert not load.failures
    done = omen("top", "--once", "--admin", "127.0.0.1:%d" % free_port(), check=False)
    assert done.returncode == 6 and "refused" in done.stderr, done
    return "%.0f searches/s seen" % view["searches"]["per_s"]


def _cost(outs, pattern, inclusive=False):
    """Instructions of the functions whose names match (inclusive: and of what they call), and of all."""
    annotated = run("callgrind_annotate", "--threshold=100", "--auto=no",
                    "--inclusive=" + ("yes" if inclusive else "no"), outs).stdout
    total = 0
    found = {}
    for line in annotated.splitlines():
        all_of = re.match(r"\s*([\d,]+) \(100\.0%\)\s+PROGRAM TOTALS", line)
        if all_of:
            total = int(all_of.group(1).replace(",", ""))
        one = re.match(r"\s*([\d,]+) \(.*?\)\s+\S*?:(\w+)", line)
        if one and re.fullmatch(pattern, one.group(2)):
            n = int(one.group(1).replace(",", ""))
            found[one.group(2)] = max(found.get(one.group(2), 0), n) if inclusive else (
                found.get(one.group(2), 0) + n)
    return found, total


@check("what metrics, credentials and the recall monitor cost a search, in instructions", seconds=1200)
def overhead():
    need("valgrind", "valgrind")
    place = folder("callgrind-")
    wrap = ["valgrind", "--tool=callgrind", "--cache-sim=no", "--instr-atstart=no",
            "--callgrind-out-file=" + os.path.join(place, "out")]
    key = "omen_" + "k" * 43
    keys = write(os.path.join(place, "bootstrap"), key + "\n", 0o600)
    with Omend("--search-workers=2", "--bootstrap-key-file=" + keys, wrap=wrap) as server:
        client = server.client(token=key)
        vectors = fill(client, "films", 10000, dim=64)
        indexed(server, "films", 10000)
        for i in range(100):
            client.search("films", vectors[i])
        run("callgrind_control", "-i", "on", str(server.process.pid))
        for i in range(400):
            client.search("films", vectors[i])
        run("callgrind_control", "-i", "off", str(server.process.pid))
        run("callgrind_control", "-d", str(server.process.pid))
    outs = sorted(name for name in os.listdir(place) if re.match(r"out\.\d+$", name))
    outs = os.path.join(place, outs[0])
    # In the call itself: what is counted, who calls, what may be measured.
    watch = (r"om_metrics_\w+|om_registry_(add|set|observe)|om_histogram_\w+|own_shard|om_recall_\w+"
             r"|om_coll_note_\w+|om_access_\w+|om_principal_\w+|om_tenant_\w+|om_rpc_note_\w+"
             r"|om_rpc_take_headers|om_rpc_authorize|om_rpc_leave|om_rpc_account|note_slow|note|is_short|is_plain"
             r"|offer|take_authorization|is_named|om_cache_\w+")
    called, total = _cost(outs, watch)
    # Beside it: measurements, and samples once a second (of which there are many here: valgrind is slow).
    beside, _ = _cost(outs, "om_recall_step|om_history_tick", inclusive=True)
    calls = 400
    rest = total - sum(beside.values())
    assert rest > 0 and called and "om_history_tick" in beside, (total, called, beside)
    within = sum(n for name, n in called.items())
    monitor = beside.get("om_recall_step", 0)
    assert within + monitor < 0.05 * rest, (within, monitor, rest, called)
    return "%d of %d instructions a call in it, %.2f %% (%s); monitor beside it %d, %.2f %%" % (
        within / calls, rest / calls, 100 * within / rest,
        ", ".join("%s %d" % (name, n / calls) for name, n in sorted(called.items(), key=lambda i: -i[1])[:5]),
        monitor / calls, 100 * monitor / rest)


if __name__ == "__main__":
    main()
