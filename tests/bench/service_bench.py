#!/usr/bin/env python3
"""service_bench.py - omend: unary Search against the same call in process, and StreamWrite into memory.

The tables go into OUT/extras.json and RESULTS.md. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import contextlib
import json
import os
import re
import subprocess
import tempfile
import urllib.request

import numpy as np

import bench
import datasets
import report

CLOCK = os.sysconf("SC_CLK_TCK")
SEARCH_ROWS = 10000
STOP_SECONDS = 20


def tool(args, *command):
    """The JSON that a command of the omen tool prints."""
    done = subprocess.run([os.path.join(args.build, "bin", "omen"), *command, "--json"],
                          stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("bench: omen %s failed" % " ".join(command))
    return json.loads(done.stdout) if done.stdout.strip() else None


@contextlib.contextmanager
def server(args, *options):
    """A running omend: (address, address of /metrics, pid). Its first line says where it listens."""
    child = subprocess.Popen([os.path.join(args.build, "bin", "omend"), "--listen", "127.0.0.1:0",
                              "--admin-listen", "127.0.0.1:0", "--log-level", "warn", "--grace-ms", "2000", *options],
                             stdout=subprocess.PIPE, text=True)
    try:
        line = child.stdout.readline()
        addresses = re.search(r"grpc=(\S+) admin=(\S+)", line)
        if addresses is None:
            raise SystemExit("bench: omend said: %s" % line)
        yield addresses.group(1), addresses.group(2), child.pid
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print("bench: omend was still stopping after %d s" % STOP_SECONDS, flush=True)
            child.terminate()  # a second signal: at once
            child.wait()


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


def spent(admin, pid):
    """(searches, seconds of them in the engine, CPU seconds of the server) so far."""
    with urllib.request.urlopen("http://%s/metrics" % admin, timeout=60) as answer:
        text = answer.read().decode()
    values = [sum(float(value) for value in re.findall(r"^omendb_search_seconds_%s\S* (\S+)" % what, text, re.M))
              for what in ("count", "sum")]
    return np.array(values + [cpu_seconds(pid)])


def write_fvecs(path, rows):
    out = np.empty((len(rows), rows.shape[1] + 1), dtype=np.float32)
    out[:, 0] = np.array([rows.shape[1]], dtype=np.int32).view(np.float32)
    out[:, 1:] = rows
    out.tofile(path)


def write_rows(path, rows):
    with open(path, "wb") as file:
        np.array(rows.shape, dtype=np.uint32).tofile(file)
        rows.astype(np.float32).tofile(file)


def unary(args, folder):
    """QPS and CPU of a Search through gRPC beside the same call in process."""
    base, queries = datasets._lowdim(SEARCH_ROWS, 7), datasets._lowdim(2000, 8)
    files = [os.path.join(folder, name) for name in ("base.fvecs", "queries.fvecs", "bench.omen")]
    write_fvecs(files[0], base)
    write_fvecs(files[1], queries)
    tool(args, "import", files[2], files[0], "--create")
    seconds = 2 if args.quick else 5
    common = ("--queries", files[1], "-k", "10", "--seconds", str(seconds))
    rows = []
    inside_us = None
    for threads in (1, 2):
        run = tool(args, "bench", files[2], *common, "--threads", str(threads))["results"][0]
        inside_us = inside_us or 1e6 / run["qps"]  # of one thread
        rows.append(["in process", threads, 1, report.number(run["qps"]), "%.0f" % run["p50_us"],
                     "%.0f" % run["p99_us"], "%.1f" % (1e6 * threads / run["qps"]), "", "", ""])
    with server(args, "--open", "bench=" + files[2]) as (address, admin, pid):
        for threads, in_flight in ((1, 1), (2, 1), (1, 16), (2, 16)):
            before = spent(admin, pid)
            run = tool(args, "bench", "bench", "--server", address, *common, "--threads", str(threads),
                       "--in-flight", str(in_flight))["results"][0]
            calls, engine, cpu = spent(admin, pid) - before
            cpu, engine = 1e6 * cpu / calls, 1e6 * engine / calls
            rows.append(["gRPC", threads, in_flight, report.number(run["qps"]), "%.0f" % run["p50_us"],
                         "%.0f" % run["p99_us"], "%.1f" % cpu, "%.1f" % engine, "%.1f" % (cpu - inside_us),
                         "<= 15"])
    header = ["Search, %s x 128" % report.number(SEARCH_ROWS), "client threads", "in flight each", "QPS",
              "p50 us", "p99 us", "CPU us a call", "in the engine, by its clock", "over in process, us", "bar"]
    return {"header": header, "rows": rows}


def stream_once(args, rows, base, queries, seconds):
    """One run of stream_bench against a new server: what it prints, and the server's CPU seconds."""
    with server(args) as (address, _, pid):
        # QUICK has fewer rows than the tail may have by default: a smaller one shows the steady state.
        tail = ("--max-backlog", str(rows + rows // 10)) if args.quick else ()
        tool(args, "create", "stream", "--dim", "128", "--server", address, *tail)
        before = cpu_seconds(pid)
        command = [os.path.join(args.build, "bin", "stream_bench"), address, "stream", base, queries,
                   str(rows), seconds]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        used = cpu_seconds(pid) - before
    print("bench: stream: " + done.stdout.strip(), flush=True)
    return json.loads(done.stdout), used


def stream(args, folder):
    """How fast the first rows are accepted, the rate after that, and searches meanwhile."""
    if args.quick:
        rows = 100000
        base, queries = (os.path.join(folder, name) for name in ("base.bin", "query.bin"))
        write_rows(base, datasets._lowdim(rows, 7))
        write_rows(queries, datasets._lowdim(2000, 8))
    else:
        rows = 1000000
        made = datasets.write_set("lowdim-1m", os.path.join(args.out, "sets"))
        base, queries = os.path.join(made, "base.bin"), os.path.join(made, "query.bin")
    # The first rows are over in a second, most of it the system's giving out memory: the median of five.
    short = [stream_once(args, rows, base, queries, "1")[0]["first_rows_per_s"] for _ in range(4)]
    r, used = stream_once(args, rows, base, queries, "6" if args.quick else "60")
    r["first_rows_per_s"] = sorted(short + [r["first_rows_per_s"]])[2]
    out = [["first %s rows accepted, rows/s" % report.number(rows), report.number(r["first_rows_per_s"]),
            ">= 1,000,000"],
           ["of these indexed meanwhile", report.number(r["first_indexed"]), ""],
           ["then accepted, rows/s", report.number(r["steady_accepted_per_s"]), "the indexed rate"],
           ["then indexed, rows/s", report.number(r["steady_indexed_per_s"]), ""],
           ["searches beside it: number", report.number(r["searches"]), ""],
           ["p50, ms", "%.2f" % (r["p50_us"] / 1e3), "reported"],
           ["p99, ms", "%.2f" % (r["p99_us"] / 1e3), "reported"],
           ["server CPU, s", "%.1f" % used, ""]]
    return {"header": ["StreamWrite, batches of 1,000 x 128 f32", "", "bar"], "rows": out}


def recall_of_defaults(args):
    """A row for each set of the folder DATA."""
    done = subprocess.run([os.path.join(args.build, "bin", "recall_defaults"), "--json", args.data],
                          stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if not rows:
        raise SystemExit("bench: recall_defaults %s failed" % args.data)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    path = os.path.join(args.out, "extras.json")
    extras = bench.read_json(path, {"sets": {}, "quick": args.quick})
    extras["machine"] = bench.machine()
    with tempfile.TemporaryDirectory(dir=args.out) as folder:
        bench.say("service: unary Search")
        tables = [unary(args, folder)]
        bench.say("service: StreamWrite")
        tables.append(stream(args, folder))
    extras["service"] = {"tables": tables, "about": (
        "Server and client share the cores. In process, the CPU of a call is that of one thread; the server's "
        "is utime + stime of omend over all calls%s." % (" (QUICK)" if args.quick else ""))}
    if args.data:
        bench.say("recall of the defaults over DATA")
        extras["recall"] = recall_of_defaults(args)
    bench.write_json(path, extras)
    if not os.path.exists(os.path.join(args.out, "results.json")):
        bench.write_json(os.path.join(args.out, "results.json"), [])
    report.write(args.out)


if __name__ == "__main__":
    main()
