#!/usr/bin/env python3
"""check_container.py - the image: built with buildah, held against its SBOM, run as an operator would.
SPDX-License-Identifier: Apache-2.0
"""
import atexit
import json
import os
import re
import sys

import distro
import harness
from harness import OMEN, ROOT, check, folder, http_get, main, need, need_root, poll, read, run

HERE = os.path.join(ROOT, "deploy/container")
TAG = "localhost/omend:check"
UID = 10001
MOST = 60e6  # bytes of the image's file system
_image = None


class Image:
    """The image in a storage of its own, mounted to be looked at."""

    def __init__(self):
        need_root()
        need("buildah", "buildah")
        # Layers stay from run to run, as the base does: only what has changed is built again.
        self.storage = os.path.join(distro.CACHE, "containers")
        os.makedirs(self.storage, exist_ok=True)
        self.sbom = os.path.join(folder("image-"), "omend.spdx.json")
        run(os.path.join(HERE, "build.sh"), "--tag", TAG, "--base-tar", distro.base_tar(), "--storage",
            self.storage, "--sbom", self.sbom, "--jobs", distro.jobs(), timeout=distro.NETWORK)
        self.config = json.loads(self.buildah("inspect", "--type", "image", TAG).stdout)["OCIv1"]
        self.container = self.buildah("from", "--pull-never", TAG).stdout.strip()
        self.root = self.buildah("mount", self.container).stdout.strip()
        atexit.register(self.close)

    def place(self):
        return ["--root", self.storage + "/root", "--runroot", self.storage + "/run"]

    def buildah(self, *words):
        return run("buildah", *self.place(), *words, timeout=distro.NETWORK)

    def close(self):
        self.buildah("umount", self.container)
        self.buildah("rm", self.container)

    def files(self):
        """{path in the image: its stat}, links not followed."""
        found = {}
        for place, folders, names in os.walk(self.root):
            for name in folders + names:
                full = os.path.join(place, name)
                found[os.path.relpath(full, self.root)] = os.lstat(full)
        return found


def image():
    global _image
    if _image is None:
        _image = Image()
    return _image


@check("the image is small, has no shell, no root, no package manager, and nothing that may be written",
       seconds=3600)
def build():
    made = image()
    files = made.files()
    size = sum(s.st_size for s in files.values() if s.st_mode & 0o170000 == 0o100000)
    assert size < MOST, "%.1f MB" % (size / 1e6)
    programs = {os.path.basename(name) for name, s in files.items()
                if s.st_mode & 0o170000 == 0o100000 and s.st_mode & 0o111 and ".so" not in name}
    assert programs == {"omend", "omen"}, programs
    marked = [name for name, s in files.items() if s.st_mode & 0o6000]
    assert not marked, "setuid or setgid: %s" % marked
    own = sorted(name for name, s in files.items() if s.st_uid == UID)
    assert own == ["var/lib/omend", "var/lib/omend-backups"], own
    others = [name for name, s in files.items() if s.st_mode & 0o002 and s.st_mode & 0o170000 != 0o120000]
    assert others == ["tmp"], "everybody may write: %s" % others
    for banned in ("bin/sh", "usr/bin/dash", "usr/bin/apt", "usr/bin/dpkg", "usr/bin/perl"):
        assert not os.path.lexists(os.path.join(made.root, banned)), banned
    config = made.config["config"]
    assert config["User"] == "%d:%d" % (UID, UID), config
    assert config["Entrypoint"] == ["/usr/bin/omend"] and config["StopSignal"] == "SIGTERM", config
    names = [item.split("=")[0] for item in config["Env"]]
    assert set(names) <= {"OMEND_CONFIG", "PATH"}, "options in the environment overrule files: %s" % names
    return "%.1f MB in %d files, programs omend and omen, user %s" % (size / 1e6, len(files), config["User"])


@check("the SBOM says what is in the image, in a form that other tools read", seconds=3600)
def sbom():
    made = image()
    sys.path.insert(0, HERE)
    import sbom as tool  # noqa: E402  (of deploy/container)
    wrong = tool.verify(made.sbom, made.root)
    assert not wrong, "; ".join(wrong[:5])
    body = json.loads(read(made.sbom))
    names = {p["name"]: p for p in body["packages"]}
    for name in ("omendb", "libgrpc29", "libssl3", "libc6", "libsqlite3-0"):
        assert name in names, "%s is missing: %s" % (name, sorted(names))
    # A check of the check: one changed byte, one file more.
    copy = os.path.join(folder("sbom-"), "root")
    run("cp", "-a", made.root, copy)
    with open(os.path.join(copy, "etc/passwd"), "a", encoding="utf-8") as file:
        file.write("x\n")
    harness.write(os.path.join(copy, "usr/bin/more"), "")
    found = tool.verify(made.sbom, copy)
    assert found == ["not in the SBOM: usr/bin/more", "other bytes: etc/passwd"], found
    return "SPDX-2.3, %d packages, %d files; %s" % (len(names), len(body["files"]), validated(made.sbom))


def validated(path):
    """What the validator of the SPDX project says, where it can be had."""
    place = os.path.join(distro.CACHE, "spdx")
    if not os.path.exists(os.path.join(place, "bin/pyspdxtools")):
        run(sys.executable, "-m", "venv", place, timeout=distro.NETWORK)
        done = run(os.path.join(place, "bin/pip"), "install", "-q", "spdx-tools", check=False,
                   timeout=distro.NETWORK)
        if done.returncode != 0:
            return "spdx-tools is not to be had here"
    done = run(os.path.join(place, "bin/pyspdxtools"), "-i", path, "--version", "SPDX-2.3", check=False,
               timeout=distro.NETWORK)
    assert done.returncode == 0, (done.stdout + done.stderr)[-800:]
    return "spdx-tools finds it valid"


class Container:
    """A running container: read-only root, no capabilities, no new privileges, half a gigabyte."""

    def __init__(self, made, data, *options, name="omendb-check", more=()):
        need("podman", "podman")
        # crun refuses a machine with control groups of both versions.
        self.runtime = need("runc", "runc")
        self.made, self.name = made, "%s-%d" % (name, os.getpid())
        self.options, self.data, self.more = options, data, more

    def podman(self, *words, check=True):
        return run("podman", *self.made.place(), "--cgroup-manager=cgroupfs", "--runtime=" + self.runtime,
                   *words, check=check)

    def start(self):
        self.podman("run", "-d", "--name", self.name, "--network=host", "--read-only", "--cap-drop=all",
                    "--security-opt=no-new-privileges", "--pull=never",
                    "--memory=512m", "--log-driver=k8s-file", *LIMITS,
                    "-v", self.data + ":/var/lib/omend", *self.more, TAG, *self.options)
        return self

    def logs(self):
        done = self.podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def addresses(self):
        """Where it serves, once it does: gRPC and admin."""
        def look():
            state = self.state("Status")
            assert state in ("running", "created", "initialized"), "%s: %s" % (state, self.logs())
            return re.findall(r"^omend: serving grpc=(\S+) admin=(\S+)", self.logs(), re.M)
        return poll("the container serves", look)[-1]

    def state(self, what):
        return self.podman("inspect", "--format", "{{.State.%s}}" % what, self.name).stdout.strip()

    def again(self):
        """What it says of a second start comes after what it said of the first."""
        before = self.logs().count("omend: serving grpc=")
        self.podman("start", self.name)
        poll("the container serves again", lambda: self.logs().count("omend: serving grpc=") > before)
        return self.addresses()

    def remove(self):
        self.podman("rm", "-f", "-t", "0", self.name, check=False)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.remove()


# Without them podman asks for more than it may where the machine's own limits are low.
LIMITS = ("--ulimit=nofile=8192:8192", "--ulimit=nproc=4096:4096")
LOCAL = ("--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0")


def data_folder(owner=UID):
    path = folder("volume-")
    os.chown(path, owner, owner)
    os.chmod(path, 0o700)
    # The folders above are the build's; who runs in the container reaches the mount itself.
    return path


def confined(pid):
    """What the kernel says of the process: who it is, and what it can still do."""
    told = dict(line.split(":\t", 1) for line in read("/proc/%s/status" % pid).decode().splitlines()
                if ":\t" in line)
    assert told["Uid"].split() == [str(UID)] * 4 and told["Gid"].split() == [str(UID)] * 4, told
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(told[kind], 16) == 0, kind + told[kind]
    assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2", told
    mounts = read("/proc/%s/mounts" % pid).decode().splitlines()
    root = [line.split()[3] for line in mounts if line.split()[1] == "/"]
    assert root and "ro" in root[-1].split(","), root
    return len(told)


@check("the container serves from a bind-mounted folder, survives kills, stops with 0", seconds=3600)
def serves():
    made = image()
    data = data_folder()
    rows = harness.write(os.path.join(folder("rows-"), "rows.jsonl"),
                         "".join('{"id": %d, "vector": [%d, 1]}\n' % (i, i) for i in range(100)))
    with Container(made, data, *LOCAL) as container:
        server, admin = container.addresses()
        confined(container.state("Pid"))
        run(OMEN, "create", "things", "--dim", "2", "--server", server)
        run(OMEN, "import", "things", rows, "--server", server)
        page = http_get(admin + "/metrics")[2]
        budget = [v for n, _, v in harness.samples(page) if n == "omendb_memory_budget_bytes"]
        limit = 512 << 20
        assert budget and limit / 2 < budget[0] < limit, "the budget is not that of the container: %s" % budget

        inside = container.podman("exec", container.name, "/usr/bin/omen", "count", "things", "--server", server)
        assert "100" in inside.stdout, inside.stdout
        shell = container.podman("exec", container.name, "/bin/sh", "-c", "true", check=False)
        assert shell.returncode != 0, "there is a shell"

        container.podman("kill", "-s", "KILL", container.name)
        poll("it is dead", lambda: container.state("Status") == "exited")
        server, _ = container.again()
        assert "100" in run(OMEN, "count", "things", "--server", server).stdout, "rows are lost"
        container.podman("stop", "-t", "30", container.name)
        assert container.state("ExitCode") == "0", container.logs()[-2000:]
    owners = {os.lstat(os.path.join(place, name)).st_uid
              for place, folders, names in os.walk(data) for name in folders + names}
    assert owners == {UID}, owners
    return "as %d, no capability, read-only root, budget %.0f MiB of 512; killed with 100 rows, all there" % (
        UID, budget[0] / (1 << 20))


def ends(made, data, *options, more=()):
    """The exit status and the words of a container that must not serve."""
    container = Container(made, data, *options, name="omendb-refused", more=more)
    try:
        container.start()
        poll("it ends", lambda: container.state("Status") == "exited")
        return int(container.state("ExitCode")), container.logs()
    finally:
        container.remove()


@check("what would be wrong is refused at start, with what to do", seconds=3600)
def refusals():
    made = image()
    code, said = ends(made, data_folder(), "--listen=0.0.0.0:0")
    assert code == 78 and "insecure-expose" in said, (code, said)
    code, said = ends(made, data_folder(owner=0), *LOCAL)
    assert code == 78 and "/var/lib/omend" in said, (code, said)
    code, said = ends(made, data_folder(), *LOCAL, "--no-such-option")
    assert code == 64 and "no-such-option" in said, (code, said)
    code, said = ends(made, data_folder(), *LOCAL, "--backup-dir=/nowhere")
    assert code == 78 and "/nowhere" in said, (code, said)
    return "exposed without TLS 78, another user's folder 78, unknown option 64, no backup folder 78"


if __name__ == "__main__":
    main()
