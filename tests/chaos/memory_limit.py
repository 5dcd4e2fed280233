"""An import of four times what the memory budget could hold: the server is never killed. It refuses (with RetryInfo)
or serves from mapped files, and its anonymous memory stays near the budget.

Under a control group of its own where that is possible (root, v1 or v2), else with --memory-limit and a look at its
resident memory.  SPDX-License-Identifier: Apache-2.0
"""

import os
import sys
import threading
import time

import numpy as np
from chaoslib import Oracle, Omend, remove, workdir

DIM = 768
LIMIT_MIB = int(os.environ.get("OMEN_CHAOS_MIB", "256"))  # of the group
SLACK_MIB = 60  # transport, allocator, code: what is not the engine's
ROWS = 500


class Group:
    """A control group with a memory limit, or None of it."""

    def __init__(self, limit):
        name = "omen-chaos-%d" % os.getpid()
        v1, v2 = "/sys/fs/cgroup/memory/" + name, "/sys/fs/cgroup/" + name
        self.path = None
        for path, knob, extra in ((v1, "memory.limit_in_bytes", None), (v2, "memory.max", ("memory.swap.max", "0"))):
            try:
                os.mkdir(path)
                self._write(path, knob, str(limit))
                if extra:
                    self._write(path, *extra)
                self.path = path
                return
            except OSError:
                if os.path.isdir(path):
                    os.rmdir(path)

    @staticmethod
    def _write(path, name, text):
        with open(os.path.join(path, name), "w", encoding="ascii") as file:
            file.write(text)

    def wrap(self):
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.path] if self.path else []

    def close(self):
        if self.path:
            os.rmdir(self.path)


def anonymous(pid):
    """0 when the process has ended."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon")), 0)


class Watch(threading.Thread):
    """The most anonymous memory that was seen."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, anonymous(self.pid))

    def end(self):
        self.over.set()
        self.join()
        return self.most


def load(client, oracle, total):
    """Sends `total` rows; refused batches are sent again as long as that helps. How many were refused, and
    whether all were taken in the end."""
    refused = 0
    for first in range(0, total, ROWS):
        ids = np.arange(first, first + ROWS)
        begin = time.monotonic()
        while True:
            failure = oracle.write(client, ids)
            if failure is None:
                break
            assert failure.code == "RESOURCE_EXHAUSTED" and failure.retry, failure
            refused += 1
            if time.monotonic() - begin > 30:
                return refused, False
            time.sleep(min(failure.retry, 0.2))
    return refused, True


def main(folder, group):
    limit = LIMIT_MIB << 20
    budget = limit - max(limit // 5, 64 << 20)  # as omend chooses it: --memory-limit auto
    total = 4 * budget // (DIM * 4) // ROWS * ROWS
    options = () if group.path else ("--memory-limit=%d" % budget,)
    print("budget %d MiB%s, %d rows of %d x f32" % (
        budget >> 20, ", in a control group of %d MiB" % LIMIT_MIB if group.path else "", total, DIM))
    server = Omend("--data-dir", os.path.join(folder, "data"), *options, wrap=group.wrap())
    watch = Watch(server.process.pid)
    client = server.client()
    client.create("items", DIM)
    oracle = Oracle(dim=DIM)
    try:
        refused, complete = load(client, oracle, total)
        oracle.check(client)
    finally:
        most = watch.end()
        print("%d rows acknowledged, at most %d MiB of anonymous memory, omend %s" % (
            len(oracle.stamp), most >> 20, "runs" if server.process.poll() is None else "has ended"), flush=True)
    print("%s: %d of %d rows, %d batches refused for a while" % (
        "all taken and served" if complete else "refused in the end", len(oracle.stamp), total, refused))
    assert len(oracle.stamp) > 0
    assert most <= budget + (SLACK_MIB << 20), "%d MiB of anonymous memory" % (most >> 20)
    server.stop()


if __name__ == "__main__":
    FOLDER, GROUP = workdir(), Group(LIMIT_MIB << 20)
    try:
        main(FOLDER, GROUP)
    finally:
        remove(FOLDER)
        GROUP.close()
    sys.exit(0)
