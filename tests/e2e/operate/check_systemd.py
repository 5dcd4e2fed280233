#!/usr/bin/env python3
"""check_systemd.py - the unit: its rules, and its life under a systemd that is booted in a container.
SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import subprocess

import distro
import harness
from harness import ROOT, check, folder, main, need, poll, run, write

UNIT = os.path.join(ROOT, "deploy/systemd/omend.service")
SERVER = "127.0.0.1:7700"  # in the network of the container
EXPOSURE = 20  # tenths; systemd calls 2.0 and less "OK"


@check("systemd finds nothing wrong with the unit, and little exposed")
def unit():
    need("systemd-analyze", "systemd")
    root = folder("unit-")
    for name in ("usr/bin/omend", "bin/kill"):
        write(os.path.join(root, name), "#!/bin/sh\n", 0o755)
    write(os.path.join(root, "etc/systemd/system/omend.service"), harness.read(UNIT))
    for name in ("sysinit", "basic", "shutdown", "network-online", "multi-user"):
        write(os.path.join(root, "etc/systemd/system/%s.target" % name), "[Unit]\nDescription=%s\n" % name)
    done = run("systemd-analyze", "verify", "--man=no", "--root", root, "omend.service", check=False)
    wrong = [line for line in done.stderr.splitlines() if "omend" in line]
    assert not wrong, "; ".join(wrong)
    security = run("systemd-analyze", "security", "--offline=true", "--threshold=%d" % EXPOSURE, UNIT,
                   check=False)
    assert security.returncode == 0, security.stdout[-400:]
    return "exposure %s of 10" % re.search(r"Overall exposure level[^:]*: ([\d.]+)", security.stdout).group(1)


class Machine:
    """A Debian with omend's packages, booted with systemd in a container of systemd-nspawn; its network is
    its own."""

    def __init__(self):
        self.nspawn = need("systemd-nspawn", "systemd-container")
        need("nsenter", "util-linux")
        self.debian = distro.Chroot()
        self.debian.update()
        self.debian.apt("install", "systemd-sysv", "dbus")
        out = distro.packages()
        self.debian.install_files([distro.package(out, name) for name in ("libomendb0", "omend", "omen")])
        os.unlink(self.debian.inside("usr/sbin/policy-rc.d"))
        for name in ("systemd-networkd", "systemd-resolved", "systemd-timesyncd"):
            self.debian.run("systemctl", "mask", name)
        # The heartbeat is looked at in seconds, not in half a minute.
        write(self.debian.inside("etc/systemd/system/omend.service.d/fast.conf"),
              "[Service]\nWatchdogSec=4\nRestartSec=1\n")
        self.child = None

    def boot(self):
        self.child = harness.Child(
            self.nspawn, "--directory", self.debian.path, "--boot", "--register=no", "--keep-unit",
            "--private-network", "--link-journal=no", "--machine=omendb-check", "--console=pipe",
            env=dict(os.environ, SYSTEMD_NSPAWN_LOCK="0", PATH=os.environ["PATH"] + ":/usr/sbin"))
        poll("systemd runs", self.booted)

    def booted(self):
        status = self.child.process.poll()
        if status is not None:
            raise AssertionError("nspawn ended with %d: %s" % (status, self.child.output()[-1000:]))
        if self.leader() is None:
            return False
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def leader(self):
        """The first process inside: systemd."""
        pids = [self.child.process.pid]
        while pids:
            pid = pids.pop()
            try:
                with open("/proc/%d/status" % pid, encoding="utf-8") as file:
                    text = file.read()
                inside = re.search(r"^NSpid:(.*)$", text, re.M).group(1).split()
                if len(inside) > 1 and inside[-1] == "1" and "Name:\tsystemd\n" in text:
                    return pid
                with open("/proc/%d/task/%d/children" % (pid, pid), encoding="utf-8") as file:
                    pids += [int(word) for word in file.read().split()]
            except (OSError, AttributeError):
                continue
        return None

    def run(self, *command, check=True):
        return run("nsenter", "--target", self.leader(), "--mount", "--uts", "--ipc", "--net", "--pid",
                   "--root", "--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                   *command, check=check)

    def shows(self, what):
        return self.run("systemctl", "show", "-P", what, "omend").stdout.strip()

    def journal(self):
        return self.run("journalctl", "-u", "omend", "--no-pager", "-o", "cat").stdout

    def until(self, what, condition):
        try:
            poll(what, condition)
        except BaseException:
            print(self.run("systemctl", "status", "omend", "--no-pager", check=False).stdout)
            print(self.journal()[-4000:])
            raise

    def end(self):
        if self.child is not None and self.child.process.poll() is None:
            self.run("systemctl", "poweroff", check=False)
            try:
                self.child.process.wait(harness.PATIENCE)
            except subprocess.TimeoutExpired:
                pass
        if self.child is not None:
            self.child.end()


def inside_process(machine, pid):
    """What the kernel says of a process inside, by its number there."""
    return dict(line.split(":\t", 1) for line in machine.run("cat", "/proc/%s/status" % pid).stdout.splitlines()
                if ":\t" in line)


@check("a booted systemd starts, watches, restarts, reloads and stops omend", seconds=2400)
def service():
    machine = Machine()
    try:
        machine.boot()
        return live(machine)
    finally:
        machine.end()


def live(machine):
    def active():
        return machine.shows("ActiveState") == "active"

    def another(pid):
        """A main process that is not that one, and serves."""
        return machine.shows("MainPID") not in (pid, "0") and active()

    def rows():
        """How many the server has: it may be about to serve."""
        done = machine.run("omen", "count", "things", "--server", SERVER, check=False)
        return done.stdout.strip()

    machine.until("omend serves", active)
    first = machine.shows("MainPID")
    told = inside_process(machine, first)
    uid = machine.run("id", "-u", "omend").stdout.strip()
    assert told["Uid"].split() == [uid] * 4 and uid != "0", told["Uid"]
    assert int(told["CapEff"], 16) == 0 and told["NoNewPrivs"] == "1" and told["Seccomp"] == "2", told
    machine.run("omen", "create", "things", "--dim", "2", "--server", SERVER)
    write(machine.debian.inside("srv/rows.jsonl"), '{"id": 7, "vector": [1, 0]}\n{"id": 8, "vector": [0, 1]}\n')
    machine.run("omen", "import", "things", "/srv/rows.jsonl", "--server", SERVER)
    assert rows() == "2", rows()

    machine.run("systemctl", "reload", "omend")
    assert machine.shows("MainPID") == first, "a reload has started another process"
    machine.run("kill", "-KILL", first)
    machine.until("a killed omend is started again", lambda: another(first))
    assert rows() == "2", "rows are lost: " + rows()

    second = machine.shows("MainPID")
    machine.run("kill", "-STOP", second)
    machine.until("a frozen omend is started again", lambda: another(second))
    assert machine.shows("NRestarts") == "2", machine.shows("NRestarts")
    assert rows() == "2", "rows are lost: " + rows()

    machine.run("systemctl", "stop", "omend")
    assert machine.shows("Result") == "success", machine.shows("Result")
    write(machine.debian.inside("etc/omend/omend.conf"), "listen = 0.0.0.0:7700\n")
    assert machine.run("systemctl", "start", "omend", check=False).returncode != 0
    machine.until("a wrong configuration is final", lambda: machine.shows("ActiveState") == "failed")
    assert machine.shows("ExecMainStatus") == "78", machine.shows("ExecMainStatus")
    said = machine.journal()
    for word in ("Operation not permitted", "Bad system call"):
        assert word not in said, said[-2000:]
    return ("runs as uid %s without capabilities; reloaded; killed and frozen it came back with its rows; a wrong "
            "file is final (78)" % uid)


if __name__ == "__main__":
    main()
