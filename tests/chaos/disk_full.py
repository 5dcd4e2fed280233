"""A full disk: 64 MiB of ext4 on a loop device. Writes until there is no space, reads and deletes go on, space comes
back, writes go on without a restart, and nothing is lost.  Needs root and loop devices.
SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import subprocess
import sys

from chaoslib import Oracle, Omend, remove, skip, workdir
from harness import MAINTENANCE, PATIENCE, poll

IMAGE_MIB, BALLAST_MIB = 64, 12
ROWS = 200


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout.strip()


def mount(folder):
    """The mounted file system, or the end of the test."""
    image, target = os.path.join(folder, "disk.img"), os.path.join(folder, "disk")
    for tool in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(tool) is None:
            skip("no " + tool)
    if os.geteuid() != 0:
        skip("needs root to mount a loop device")
    os.mkdir(target)
    with open(image, "wb") as file:
        file.truncate(IMAGE_MIB << 20)
    for command in (("mkfs.ext4", "-q", "-F", "-m", "0", image), ("mount", "-o", "loop", image, target)):
        code, text = run(*command)
        if code != 0:
            remove(folder)
            skip("%s: %s" % (command[0], text))
    return target


def state_of(client):
    info = client.maintenance.GetDatabaseInfo(MAINTENANCE.GetDatabaseInfoRequest(), timeout=PATIENCE)
    return MAINTENANCE.DatabaseInfo.State.Name(info.state)


def fill(client, oracle, first):
    """Upserts until the disk is full; the first id that was not taken."""
    for at in range(first, 10 ** 6, ROWS):
        failure = oracle.write(client, range(at, at + ROWS))
        if failure is not None:
            assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL"), failure
            assert failure.retry, "a full disk can get better: RetryInfo is missing"
            return at
    raise AssertionError("the disk is never full")


def optimize(client, name):
    """Compaction on a full disk: done, or refused as what it is."""
    operation = client.maintenance.Optimize(MAINTENANCE.OptimizeRequest(collection=name), timeout=PATIENCE)
    running = (MAINTENANCE.Operation.STATE_QUEUED, MAINTENANCE.Operation.STATE_RUNNING)
    while operation.state in running:
        operation = client.maintenance.WaitOperation(
            MAINTENANCE.WaitOperationRequest(id=operation.id, timeout_ms=10000), timeout=PATIENCE)
    ok = operation.state == MAINTENANCE.Operation.STATE_SUCCEEDED
    assert ok or operation.error.reason == "DISK_FULL", operation
    return "done" if ok else "refused: " + operation.error.message


def main(target):
    ballast = os.path.join(target, "ballast")
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, BALLAST_MIB << 20)
    data = os.path.join(target, "data")
    server = Omend("--data-dir", data, "--seal-rows=4096")
    client = server.client()
    client.create("items", 128)
    oracle = Oracle()
    full_at = fill(client, oracle, 0)
    print("full after %d rows, state %s" % (len(oracle.stamp), state_of(client)))
    assert len(oracle.stamp) > 0, "nothing fits on the disk"
    assert state_of(client) == "STATE_DISK_FULL"
    oracle.check(client)
    gone = list(range(0, full_at, 3))
    for at in range(0, len(gone), 500):
        failure = oracle.write(client, gone[at:at + 500], delete=True)
        assert failure is None, "a delete on a full disk: %s" % failure
    oracle.check(client, gone)
    print("deleted %d; optimize %s" % (len(gone), optimize(client, "items")))
    oracle.check(client, gone)
    os.unlink(ballast)
    # Nobody restarts anything: sooner or later a write is taken again.
    poll("a write is taken again", lambda: oracle.write(client, range(full_at, full_at + 10)) is None)
    assert state_of(client) == "STATE_WRITABLE"
    fill(client, oracle, full_at + 10)
    oracle.check(client, gone)
    print("%d rows after the space came back" % len(oracle.stamp))
    server.kill()
    server = Omend("--data-dir", data, "--seal-rows=4096")
    oracle.check(server.client(), gone)
    server.stop()
    print("nothing is lost")


if __name__ == "__main__":
    FOLDER = workdir()
    TARGET = mount(FOLDER)
    try:
        main(TARGET)
    finally:
        CODE, TEXT = run("umount", TARGET)
        if CODE != 0:
            run("umount", "-l", TARGET)
        remove(FOLDER)
    sys.exit(0)
