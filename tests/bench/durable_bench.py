#!/usr/bin/env python3
"""durable_bench.py - databases on disk: how fast they open, and how fast batches are accepted for good.

The tables go into OUT/extras.json and RESULTS.md. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile

import bench
import report
from service_bench import server, tool

DIM, INGEST_DIM = 128, 768
ROUNDS = 3


def program(args, name):
    return os.path.join(args.build, "bin", name)


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def open_rounds(args, folder):
    """The median round by its time to the first answer; every one must answer right."""
    rounds = [json.loads(output(program(args, "open_bench"), "open", folder, str(DIM))) for _ in range(ROUNDS)]
    return sorted(rounds, key=lambda r: r["answer_ms"])[ROUNDS // 2]


def after_kill(args, folder, rows):
    """kill -9 in full ingest, when at least so many rows were acknowledged."""
    child = subprocess.Popen([program(args, "open_bench"), "ingest", folder, str(rows), str(DIM)],
                             stdout=subprocess.PIPE, text=True)
    line = child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    if line != "written\n":
        raise SystemExit("bench: open_bench ingest ended early")
    # Opened once only: the next open would find what the first one has put in order.
    return json.loads(output(program(args, "open_bench"), "open", folder, str(DIM)))


def opening(args, work):
    rows = 100000 if args.quick else 1000000
    out = []
    for count in (rows // 10, rows):
        folder = os.path.join(work, "clean-%d" % count)
        output(program(args, "open_bench"), "fill", folder, str(count), str(DIM))
        out.append(("clean stop", open_rounds(args, folder), "<= 100 ms"))
        shutil.rmtree(folder)
    folder = os.path.join(work, "killed")
    out.append(("kill -9 in full ingest", after_kill(args, folder, rows), "<= 1,000 ms"))
    shutil.rmtree(folder)
    header = ["opened after", "rows x %d" % DIM, "open, ms", "to the first right answer, ms", "bar", "of 100 found",
              "segments", "rows replayed", "heap, KiB"]
    table = [[what, report.number(r["rows"]), "%.1f" % r["open_ms"], "%.1f" % r["answer_ms"], bar,
              r["found_of_100"], r["segments"], report.number(r["recovered_rows"]),
              report.number(r["heap_bytes"] / 1024)] for what, r, bar in out]
    return {"header": header, "rows": table}


def echo(args, seconds, *how):
    child = subprocess.Popen([program(args, "echo_server"), *how], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    try:
        address = child.stdout.readline().strip()
        return json.loads(output(program(args, "ingest_bench"), address, "echo", str(INGEST_DIM), str(seconds)))
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


def ingest(args, work, seconds, *create):
    with server(args, "--data-dir", os.path.join(work, "served")) as (address, _, pid):
        tool(args, "create", "ingest", "--dim", str(INGEST_DIM), "--server", address, *create)
        r = json.loads(output(program(args, "ingest_bench"), address, "ingest", str(INGEST_DIM), str(seconds)))
        with open("/proc/%d/status" % pid, encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        r["anonymous"] = int(fields["RssAnon"].split()[0]) * 1024
    shutil.rmtree(os.path.join(work, "served"))
    return r


def backlog_rows():
    """Rows that half of the free memory can hold, in whole millions."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    return max(1, free // 2 // (4 * INGEST_DIM) // 1000000) * 1000000


def accepting(args, work):
    seconds = 6 if args.quick else 60
    short = 3 if args.quick else 20
    bench.say("durable: echo")
    echoed, whole = echo(args, short), echo(args, short, "whole")
    bench.say("durable: overwriting a file")
    disk = float(output(program(args, "overwrite_bench"), os.path.join(work, "overwritten"),
                        str(echoed["batch_bytes"]), str(short)))
    limit = min(disk, echoed["bytes_per_s"])
    table = [["overwriting a preallocated file, fdatasync a batch", "%.0f" % (disk / 1e6), "", "", ""],
             ["gRPC echo, answered with an Ack", "%.0f" % (echoed["bytes_per_s"] / 1e6),
              report.number(echoed["rows_per_s"]), "", ""],
             ["gRPC echo of whole batches", "%.0f" % (whole["bytes_per_s"] / 1e6),
              report.number(whole["rows_per_s"]), "", ""]]
    rows = backlog_rows()
    for what, create in (("omend, defaults", ()), ("omend, a backlog of %s rows" % report.number(rows),
                                                  ("--max-backlog", str(rows)))):
        bench.say("durable: %s" % what)
        r = ingest(args, work, seconds, *create)
        print("bench: ingest: %s" % json.dumps(r), flush=True)
        table.append([what, "%.0f" % (r["bytes_per_s"] / 1e6), report.number(r["rows_per_s"]),
                      "%.0f %% (>= 50 %%)" % (100 * r["bytes_per_s"] / limit),
                      " ".join(report.number(part) for part in r["parts"])])
    header = ["%d s, batches of 1,000 x %d f32, durable at level batch" % (seconds, INGEST_DIM), "MB/s", "rows/s",
              "of the smaller of disk and echo (Ack)", "rows/s in each sixth of the time"]
    return {"header": header, "rows": table}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    path = os.path.join(args.out, "extras.json")
    extras = bench.read_json(path, {"sets": {}, "quick": args.quick})
    extras.setdefault("machine", bench.machine())
    with tempfile.TemporaryDirectory(dir=args.out) as work:
        bench.say("durable: opening")
        tables = [opening(args, work), accepting(args, work)]
    extras["durable"] = {"tables": tables, "about": (
        "The library opens the folder in a fresh process, warm page cache; heap: the most that its allocator had "
        "given out by then. Server, client and disk share the machine%s." % (" (QUICK)" if args.quick else ""))}
    bench.write_json(path, extras)
    if not os.path.exists(os.path.join(args.out, "results.json")):
        bench.write_json(os.path.join(args.out, "results.json"), [])
    report.write(args.out)


if __name__ == "__main__":
    main()
