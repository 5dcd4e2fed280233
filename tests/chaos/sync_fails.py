"""A log that cannot be synced, from outside: strace makes the Nth fdatasync of the real server fail. The batch in
question has an unknown outcome, the server ends with 70, and the next one has everything that was acknowledged.
SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import subprocess
import sys

import grpc
from chaoslib import Failure, Oracle, Omend, remove, skip, workdir

# Call, error, and which one of them: of the log, and of the files and folders of a checkpoint.
FAULTS = [("fdatasync", "EIO", n) for n in (8, 20, 45, 90)] + [("fsync", "EIO", n) for n in (3, 9)]
BATCHES, ROWS = 400, 60


def tracer(call, error, number):
    return ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=" + call,
            "-e", "inject=%s:error=%s:when=%d" % (call, error, number)]


def can_trace():
    if shutil.which("strace") is None:
        return "no strace"
    done = subprocess.run(tracer("fdatasync", "EIO", 1) + ["true"], stderr=subprocess.PIPE, text=True)
    return None if done.returncode == 0 else "strace cannot trace here: " + done.stderr.strip()


def write_until_it_fails(client, oracle):
    """The first failure, or None."""
    for n in range(BATCHES):
        first = n * 23 % 2000
        failure = oracle.write(client, range(first, first + ROWS), delete=n % 7 == 6)
        if failure is not None:
            return failure
    return None


def one(folder, call, error, number):
    data = os.path.join(folder, "data-%s-%d" % (call, number))
    options = ("--data-dir", data, "--seal-rows=1024", "--grace-ms=2000")
    oracle = Oracle()
    what = "%s %d fails with %s" % (call, number, error)
    try:
        server = Omend(*options, wrap=tracer(call, error, number))
    except AssertionError:
        print("%s: the server says so and does not start" % what)
        server = Omend(*options)
        server.stop()
        return "not started"
    client = server.client()
    try:
        client.create("items", 128)
        created = True
    except grpc.RpcError as refused:
        created = False
        failure = Failure(refused)
    if created:
        failure = write_until_it_fails(client, oracle)
    if failure is None:
        # The failure was that of a file which is made again: the server goes on, and ends well.
        oracle.check(client)
        server.stop()
        result = "goes on"
    else:
        assert failure.reason in ("OUTCOME_UNKNOWN", "IO", "READ_ONLY", "DRAINING") or failure.code == "UNAVAILABLE", failure
        code = server.wait()
        assert code == 70, "exit status %s after %s: %s" % (code, failure, server.read_log())
        server.close()
        result = "ends with 70, said %s / %s" % (failure.code, failure.reason)
    server = Omend(*options)
    client = server.client()
    if created:
        oracle.settle(client)
        oracle.check(client)
    server.stop()
    print("%s: %s; %d rows are there again" % (what, result, len(oracle.stamp)))
    return result


if __name__ == "__main__":
    WHY = can_trace()
    if WHY:
        skip(WHY)
    FOLDER = workdir()
    RESULTS = [one(FOLDER, *fault) for fault in FAULTS]
    assert any(result.startswith("ends with 70") for result in RESULTS), RESULTS
    remove(FOLDER)
    sys.exit(0)
