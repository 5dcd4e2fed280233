"""Faults are injected into live servers, and Prometheus must tell of each, and of no other.

The times of the rules are divided by 60, their thresholds are as they are. SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import glob
import os
import shutil
import socket
import ssl
import subprocess

import numpy as np
from harness import Authority, Load, Omend, check, folder, main, poll, run, wire, write
from prometheus_server import QUIET, Prometheus

ITEMS, MAINTENANCE = wire.ITEMS, wire.MAINTENANCE
DISK_MIB = 64


def rows_of(count, dim=8, seed=1):
    return np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)


def refused(call, *codes):
    """The code of a call that must fail, or may succeed when "OK" is among the codes."""
    try:
        call()
        code = "OK"
    except wire.grpc.RpcError as error:
        code = error.code().name
    assert code in codes, "%s instead of %s" % (code, codes)
    return code


def ended(server):
    """A server that has no more to say."""
    with contextlib.suppress(ProcessLookupError):
        server.kill()


def operation(client, what, **fields):
    stub = client.maintenance
    begun = getattr(stub, what)(getattr(MAINTENANCE, what + "Request")(**fields), timeout=wire.PATIENCE)
    return stub.WaitOperation(
        MAINTENANCE.WaitOperationRequest(id=begun.id, timeout_ms=wire.PATIENCE * 1000), timeout=wire.PATIENCE)


class Faults:
    """One server a fault, all seen by one Prometheus; `expect` is what must fire."""

    def __init__(self, prometheus):
        self.prometheus = prometheus
        self.expected = set()
        self.cleanup = contextlib.ExitStack()
        self.shown = []

    def server(self, name, *options, **keywords):
        server = Omend(*options, **keywords)
        self.prometheus.target(name, server.admin)
        self.prometheus.wait_up([name])
        return server

    def expect(self, name, *alerts):
        self.expected |= {(alert, name) for alert in alerts}
        self.shown.append(name)

    # ---- Faults, in the order of how long their alerts wait -----------------------------------

    def stuck(self):
        """It does not serve: here since it drains, and takes its time."""
        server = self.server("stuck", "--predrain-ms=300000", data=None)
        server.terminate()
        self.cleanup.callback(ended, server)
        self.expect("stuck", "OmendbNotReady")

    def down(self):
        self.server("down", data=None).kill()
        self.expect("down", "OmendbDown")

    def restarts(self):
        """Killed again and again; the instance stays the same."""
        query = 'process_start_time_seconds{instance="restarts"}'
        server = None
        for _ in range(4):
            before = self.prometheus.value(query)
            if server is not None:
                server.kill()
            server = self.server("restarts", data=None)
            poll("it is seen to have started", lambda: self.prometheus.value(query) not in (None, before))
        self.cleanup.callback(server.stop)
        self.expect("restarts", "OmendbRestarts")

    def disk(self):
        """A file system of its own is filled."""
        place = folder("disk-")
        image, target = os.path.join(place, "disk.img"), os.path.join(place, "mounted")
        os.mkdir(target)
        with open(image, "wb") as file:
            file.truncate(DISK_MIB << 20)
        made = run("mkfs.ext4", "-q", "-F", "-m", "0", image, check=False)
        mounted = made.returncode == 0 and run("mount", "-o", "loop", image, target, check=False).returncode == 0
        if not mounted:
            return False
        self.cleanup.callback(subprocess.run, ["umount", target], check=False)
        server = self.server("disk", data=os.path.join(target, "data"))
        self.cleanup.callback(ended, server)
        client = server.client()
        client.create("c", 128)

        def fill():
            rows = rows_of(1000, 128)
            for at in range(0, 10**6, 1000):
                client.add("c", rows, range(at, at + 1000))

        refused(fill, "RESOURCE_EXHAUSTED")
        self.expect("disk", "OmendbNotWritable", "OmendbDiskSmall")
        return True

    def damage(self):
        """A file that is served is cut."""
        server = self.server("damage")
        self.cleanup.callback(ended, server)
        client = server.client()
        client.create("c", 64)
        client.add("c", rows_of(4000, 64))
        operation(client, "Checkpoint")
        for segment in glob.glob(os.path.join(server.data, "**", "*.seg"), recursive=True):
            os.truncate(segment, 4096)
        query = rows_of(1, 64)[0]
        refused(lambda: client.search("c", query, exact=True), "DATA_LOSS")
        self.expect("damage", "OmendbDataDamaged")

    def certificate(self):
        """It ends soon, and the one that was to replace it is none."""
        certificate, key = Authority(folder("tls-")).issue("server", "server")  # for two days
        server = self.server("certificate", "--tls-cert", certificate, "--tls-key", key, data=None)
        self.cleanup.callback(server.stop)
        self.prometheus.wait_up(["certificate"])
        write(certificate, "no certificate at all\n")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        host, port = server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), wire.PATIENCE) as plain:
            with context.wrap_socket(plain) as secured:  # the old certificate still serves
                assert secured.version() in ("TLSv1.2", "TLSv1.3")
        self.expect("certificate", "OmendbCertificateEnds", "OmendbCertificateEndsSoon", "OmendbReloadFailed")

    def busy(self):
        """More calls at once than it may have: two streams stay open, everybody else is refused."""
        server = self.server("busy", "--max-inflight=2", data=None)
        self.cleanup.callback(ended, server)
        client = server.client()
        client.create("c", 8)
        streams = [client.stream(timeout=3600) for _ in range(2)]
        for stream in streams:
            stream.open("c")
        self.cleanup.callback(streams.clear)  # who forgets a stream cancels it
        load = Load([lambda: refused(lambda: client.count("c"), "RESOURCE_EXHAUSTED")] * 2)
        self.cleanup.enter_context(load)
        self.expect("busy", "OmendbRefuses")

    def memory(self):
        """More is written than it may keep; the writer does not give up."""
        server = self.server("memory", "--memory-limit=32MiB", data=None)
        self.cleanup.callback(ended, server)
        client = server.client()
        client.create("c", 256)
        rows, place = rows_of(1000, 256), [0]

        def add():
            client.add("c", rows, range(place[0], place[0] + 1000))
            place[0] += 1000

        load = Load([lambda: refused(add, "OK", "RESOURCE_EXHAUSTED")])
        self.cleanup.enter_context(load)
        poll("something is refused", lambda: server.metric("omendb_memory_rejections_total") > 0)
        self.expect("memory", "OmendbMemoryRefusals")

    def intruder(self):
        """Somebody guesses keys."""
        key = write(os.path.join(folder("keys-"), "first"), "omk_" + "0" * 40 + "\n", 0o600)
        server = self.server("intruder", "--bootstrap-key-file=" + key, data=None)
        self.cleanup.callback(server.stop)
        guesses = server.client(token="omk_" + "1" * 40)
        self.cleanup.enter_context(Load([lambda: refused(lambda: guesses.count("c"), "UNAUTHENTICATED")]))
        self.expect("intruder", "OmendbCredentialsRefused")

    def backup(self):
        """A backup does not hold what it should."""
        backups = folder("backups-")
        server = self.server("backup", "--backup-dir=" + backups)
        self.cleanup.callback(server.stop)
        client = server.client()
        client.create("c", 8)
        client.add("c", rows_of(500))
        operation(client, "Checkpoint")
        operation(client, "Backup", name="full", copy=True)
        segment = glob.glob(os.path.join(backups, "full", "*", "*.seg"))[0]
        os.chmod(segment, 0o644)
        with open(segment, "r+b") as file:
            file.seek(os.path.getsize(segment) // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        verified = operation(client, "Verify", name="full")
        assert verified.state == MAINTENANCE.Operation.STATE_FAILED, verified
        self.expect("backup", "OmendbMaintenanceFailed", "OmendbDataDamaged")

    def inject(self):
        self.cleanup.callback(self.server("healthy").stop)
        for fault in (self.stuck, self.down, self.certificate, self.busy, self.memory, self.intruder,
                      self.backup, self.damage, self.restarts):
            fault()
        if os.geteuid() != 0 or not shutil.which("mkfs.ext4") or not self.disk():
            self.shown.append("(no disk of its own can be mounted here)")


@check("injected faults fire their alerts, and no others")
def faults():
    with Prometheus() as prometheus:
        faulty = Faults(prometheus)
        with faulty.cleanup:
            faulty.inject()

            def missing():
                return faulty.expected - prometheus.fired()

            try:
                poll("every alert fires", lambda: not missing())
            except AssertionError:
                assert not missing(), "did not fire: %s" % sorted(missing())
            fired = prometheus.fired()
    wrong = {pair for pair in fired - faulty.expected if pair[1] == "healthy" and pair[0] in QUIET}
    assert not wrong, "the healthy server: %s" % wrong
    serious = {"OmendbInternalErrors", "OmendbDataDamaged", "OmendbNotReady", "OmendbNotWritable", "OmendbOomKilled"}
    wrong = {pair for pair in fired - faulty.expected if pair[0] in serious}
    assert not wrong, "nobody asked for: %s" % wrong
    return "%d alerts of %d servers: %s" % (
        len(faulty.expected), len(faulty.shown), ", ".join(sorted(faulty.shown)))


if __name__ == "__main__":
    main()
