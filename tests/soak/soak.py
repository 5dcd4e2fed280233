"""soak.py [--minutes N] [--seed N] [--round SECONDS] - mixed load for a long time; memory, descriptors and threads must
not grow.

The load comes in rounds. Between two of them everybody is gone, the database has merged and written everything, and
the same data are there as after the round before: whatever is larger then has grown for no reason. Of these rests the
first third is warm-up; through the others goes a line (the median of the slopes between all pairs). The last line is

    soak: minutes=n rss_slope_mb_per_h=x fds_start=a fds_end=b

Exit status 1: something grew, a call was answered as it should not be, items that nobody touched have changed,
or the server does not end with 0. SPDX-License-Identifier: Apache-2.0
"""

import argparse
import collections
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import soak_load
from harness import ITEMS, MAINTENANCE, PATIENCE, TYPES, Omend, ids_of, poll

HERE = os.path.dirname(os.path.abspath(__file__))
# Two streams and two searchers; seeds make them differ.
KINDS = ["stream", "stream", "write", "search", "search", "read", "rude"]
KEPT = 1000  # items that nobody touches
GROWTH_MIB, GROWTH_SHARE = 8, 0.04  # what a line through the rests may rise, the larger of the two
THREADS_MORE = 4  # the transport keeps threads that it has made when it was busy
REST_SECONDS = 20  # most that memory may take to come to rest after the load; a bound, not a measure
Rest = collections.namedtuple("Rest", "hours rss anonymous allocated engine fds threads disk")


def process_status(pid):
    """VmRSS and RssAnon in MiB, threads, descriptors."""
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    return (int(lines["VmRSS"].split()[0]) / 1024, int(lines["RssAnon"].split()[0]) / 1024, int(lines["Threads"]),
            len(os.listdir("/proc/%d/fd" % pid)))


def slope_of(rests, field):
    """The median of the slopes between all pairs: no single bad rest moves it. None: too few."""
    slopes = [(getattr(b, field) - getattr(a, field)) / (b.hours - a.hours)
              for a, b in itertools.combinations(rests, 2)]
    return statistics.median(slopes) if slopes else None


def disk_of(folder):
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # a segment that was merged away
    return total / 1048576


class Soak:
    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = tempfile.mkdtemp(prefix="soak-", dir=os.environ["OMEN_E2E_WORK"])
        self.data, self.backups = os.path.join(self.folder, "data"), os.path.join(self.folder, "backups")
        os.mkdir(self.backups)
        self.server = Omend("--data-dir=" + self.data, "--backup-dir=" + self.backups, "--memory-limit=1GiB",
                            "--seal-rows=4096", "--log-level=warn", "--slow-log-ms=off")
        self.client = self.server.client()
        self.began = time.monotonic()
        self.calls, self.codes, self.wrong = collections.Counter(), collections.Counter(), []
        self.rests, self.peak = [], 0

    # ---- Before and after ----------------------------------------------------------------------

    def prepare(self):
        self.client.create("items", soak_load.DIM, fields=[TYPES.Field(name="body", type=8)])
        self.client.create("kept", soak_load.DIM)
        self.client.add("kept", soak_load.rows_of(range(KEPT), 1))
        self.fill()

    def fill(self):
        """Every id has an item again, so that rests are alike."""
        for at in range(0, soak_load.IDS, 1000):
            self.client.write("items", soak_load.batch(range(at, at + 1000), 1))

    def check_kept(self):
        found = self.client.get("kept", ids_of(range(KEPT)), with_vectors=True)
        rows = np.frombuffer(found.items.vectors.data, np.float32).reshape(KEPT, soak_load.DIM)
        if found.missing or not np.array_equal(rows, soak_load.rows_of(range(KEPT), 1)):
            self.wrong.append("items that nobody touched have changed")

    def operation(self, what, **fields):
        stub = self.client.maintenance
        begun = getattr(stub, what)(getattr(MAINTENANCE, what + "Request")(**fields), timeout=PATIENCE)
        running = (MAINTENANCE.Operation.STATE_QUEUED, MAINTENANCE.Operation.STATE_RUNNING)
        while begun.state in running:
            begun = stub.WaitOperation(MAINTENANCE.WaitOperationRequest(id=begun.id, timeout_ms=10000), timeout=PATIENCE)
        if begun.state != MAINTENANCE.Operation.STATE_SUCCEEDED:
            self.wrong.append("%s: %s" % (what, begun.error))

    # ---- A round -------------------------------------------------------------------------------

    def load(self, seconds, number):
        """All kinds of clients for so long; a backup and merges in the middle of it."""
        clients = []
        for i, kind in enumerate(KINDS):
            command = [sys.executable, os.path.join(HERE, "soak_load.py"), kind, self.server.address, self.server.admin,
                       str(seconds), str(self.arguments.seed * 10007 + number * 100 + i)]
            clients.append((kind, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)))
        name = "round-%d" % number
        self.operation("Backup", name=name)
        self.operation("Verify", name=name)
        self.operation("Checkpoint")
        shutil.rmtree(os.path.join(self.backups, name))
        for kind, client in clients:
            out, err = client.communicate(timeout=seconds + 2 * PATIENCE)
            self.take(kind, client.returncode, out, err)
        self.peak = max(self.peak, process_status(self.server.process.pid)[0])

    def take(self, kind, status, out, err):
        if status != 0:
            self.wrong.append("the client %s ended with %s: %s" % (kind, status, err.strip()[-500:]))
            return
        report = json.loads(out.splitlines()[-1])
        self.calls.update(report["calls"])
        self.codes.update(report["codes"])
        self.wrong += ["%s: %s" % (kind, text) for text in report["unexpected"]]

    def metric(self, name):
        for line in self.server.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def forget_listings(self):
        """Listings that clients left stand in snapshots for five minutes; newer ones push them out."""
        for _ in range(64):
            self.client.items.List(ITEMS.ListRequest(collection="kept", page_size=1), timeout=PATIENCE)

    def quiet(self):
        """Nobody calls, nothing is merged."""
        page = self.server.get("/metrics")[1]
        busy = [line for line in page.splitlines() if line.startswith((
            "omendb_grpc_server_inflight{", "omendb_maintenance_running{")) and not line.endswith(" 0")]
        return not busy

    def rest(self):
        """Brings the database to the same state as ever, waits until memory has settled, and looks."""
        self.fill()
        self.forget_listings()
        poll("it comes to rest", self.quiet)
        for name in ("items", "kept"):
            self.operation("Optimize", collection=name)
        self.operation("Checkpoint")
        poll("it comes to rest", self.quiet)
        pid, end = self.server.process.pid, time.monotonic() + REST_SECONDS
        lowest, since = process_status(pid)[1], time.monotonic()
        while time.monotonic() < end and time.monotonic() - since < 6:  # the allocator gives pages back within 5 s
            time.sleep(0.5)
            now = process_status(pid)[1]
            if now < lowest - 0.1:
                lowest, since = now, time.monotonic()
        rss, anonymous, threads, fds = process_status(pid)
        found = Rest((time.monotonic() - self.began) / 3600, rss, anonymous,
                     self.metric("omendb_jemalloc_allocated_bytes") / 1048576,
                     self.metric("omendb_jemalloc_engine_allocated_bytes") / 1048576, fds, threads, disk_of(self.data))
        self.rests.append(found)
        print("rest %d: %.1f min, rss %.1f MiB (anonymous %.1f, allocated %.2f, of it the engine %.2f), "
              "%d descriptors, %d threads, disk %.0f MiB" % (len(self.rests), found.hours * 60, rss, anonymous,
              found.allocated, found.engine, fds, threads, found.disk), flush=True)

    def run(self):
        self.prepare()
        self.rest()
        end, number = self.began + self.arguments.minutes * 60, 0
        while time.monotonic() < end or number < 6:
            number += 1
            self.load(self.arguments.round, number)
            self.rest()
            if self.server.process.poll() is not None or len(self.wrong) > 20:
                break
        self.check_kept()

    # ---- What it says --------------------------------------------------------------------------

    def judge(self):
        kept = self.rests[len(self.rests) // 3:]
        first, last = kept[0], kept[-1]
        hours = last.hours - first.hours
        slopes = {field: slope_of(kept, field) or 0.0 for field in ("rss", "anonymous", "allocated", "engine", "disk")}
        for field in ("rss", "anonymous", "disk"):
            level = statistics.median(getattr(rest, field) for rest in kept)
            most = max(GROWTH_MIB, GROWTH_SHARE * level)
            if slopes[field] * hours > most:
                self.wrong.append("%s grew by %.1f MiB in %.2f h; %.1f are allowed" % (
                    field, slopes[field] * hours, hours, most))
        for field, more in (("fds", 0), ("threads", THREADS_MORE)):
            if (slope_of(kept, field) or 0) > 0 and getattr(last, field) > getattr(first, field) + more:
                self.wrong.append("%s grew from %d to %d" % (field, getattr(first, field), getattr(last, field)))
        print("calls: " + " ".join("%s=%d" % pair for pair in sorted(self.calls.items())))
        print("codes: " + " ".join("%s=%d" % pair for pair in sorted(self.codes.items())))
        print("slopes in MiB/h: " + " ".join("%s=%.1f" % pair for pair in slopes.items())
              + "; %d rests, largest rss %.0f MiB, threads %d to %d" % (len(kept), self.peak, first.threads, last.threads))
        for text in self.wrong[:20]:
            print("wrong: " + text)
        print("soak: minutes=%d rss_slope_mb_per_h=%.1f fds_start=%d fds_end=%d" % (
            round(last.hours * 60), slopes["rss"], first.fds, last.fds), flush=True)
        return 1 if self.wrong else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("SOAK_MINUTES") or 30))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round", type=float, help="seconds of load between two rests; 5 to 30 by the minutes")
    arguments = parser.parse_args()
    if arguments.round is None:
        arguments.round = min(30.0, max(5.0, arguments.minutes * 60 / 8 - 10))
    soak = Soak(arguments)
    try:
        soak.run()
    finally:
        try:
            soak.server.stop()
        except AssertionError as error:
            soak.wrong.append(str(error)[:2000])
        shutil.rmtree(soak.folder, ignore_errors=True)
    sys.exit(soak.judge())


if __name__ == "__main__":
    main()
