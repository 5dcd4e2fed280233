"""distro.py - a minimal Debian to try packages and services in: made once with debootstrap, kept as a tarball
in the build folder, unpacked for each check. SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import os
import shutil
import subprocess
import time

import harness
from harness import BUILD, ROOT, need, need_root, run

CACHE = os.path.join(BUILD, "e2e", "cache")
NETWORK = 1800  # seconds: how long a mirror may take


def base_tar():
    """The tarball of deploy/container/base.sh. Updates of a week are taken in where it is used."""
    need_root()
    need("debootstrap", "debootstrap")
    os.makedirs(CACHE, exist_ok=True)
    path = os.path.join(CACHE, "bookworm.tar")
    if not os.path.exists(path) or os.path.getmtime(path) < time.time() - 7 * 86400:
        done = run(os.path.join(ROOT, "deploy/container/base.sh"), path, check=False, timeout=NETWORK)
        if done.returncode != 0:
            harness.skip("no base system: " + (done.stderr or done.stdout).strip()[-200:])
    return path


class Chroot:
    """A Debian of its own in a folder: run() is inside, with processes that end with it."""

    def __init__(self):
        need("unshare", "util-linux")
        self.path = harness.folder("debian-")
        run("tar", "-C", self.path, "--numeric-owner", "-xpf", base_tar(), timeout=NETWORK)
        for name in ("resolv.conf", "hosts"):
            shutil.copyfile("/etc/" + name, self.inside("etc/" + name))
        # As in a package build: what is installed does not start services of a machine that does not run.
        harness.write(self.inside("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", 0o755)

    def inside(self, name):
        return os.path.join(self.path, name.lstrip("/"))

    def words(self, *command):
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child",
                "--mount-proc=" + self.inside("proc"), "chroot", self.path, *map(str, command)]

    def run(self, *command, check=True, timeout=harness.PATIENCE, **keywords):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
               "DEBIAN_FRONTEND": "noninteractive"}
        env.update({name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")})
        return run(*self.words(*command), check=check, timeout=timeout, env=env, **keywords)

    def apt(self, *arguments):
        """apt-get; without a network the check is skipped when packages have to be fetched."""
        return self.run("apt-get", "-q", "-y", "--no-install-recommends", *arguments, timeout=NETWORK)

    def update(self):
        done = self.run("apt-get", "-q", "update", "--error-on=any", check=False, timeout=NETWORK)
        if done.returncode != 0:
            harness.skip("no package lists: " + done.stderr.strip()[-200:])

    def install_files(self, paths):
        """Package files, with what they depend on."""
        place = self.inside("srv/packages")
        os.makedirs(place, exist_ok=True)
        names = []
        for path in paths:
            shutil.copy(path, place)
            names.append("/srv/packages/" + os.path.basename(path))
        return self.apt("install", *names)


SOURCE_FILES = ("CMakeLists.txt", "CMakePresets.json", "LICENSE", "NOTICE", "README.md", "CHANGELOG.md")
SOURCE_FOLDERS = ("api", "capi", "core", "service", "deploy/cmake", "deploy/debian", "deploy/man",
                  "deploy/systemd")


def copy_tree(to):
    """The sources that a build needs, without builds and without git."""
    os.makedirs(to)
    for name in SOURCE_FILES:
        shutil.copy2(os.path.join(ROOT, name), to)
    for name in SOURCE_FOLDERS:
        shutil.copytree(os.path.join(ROOT, name), os.path.join(to, name), symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__"))
    return to


def source_hash():
    """Stands for all that copy_tree() would copy."""
    total = hashlib.sha256()
    paths = [os.path.join(ROOT, name) for name in SOURCE_FILES]
    for name in SOURCE_FOLDERS:
        for place, folders, names in os.walk(os.path.join(ROOT, name)):
            folders[:] = sorted(f for f in folders if f != "__pycache__")
            paths += [os.path.join(place, n) for n in sorted(names)]
    for path in paths:
        total.update(os.path.relpath(path, ROOT).encode() + b"\0" + hashlib.sha256(harness.read(path)).digest())
    return total.hexdigest()[:16]


def packages():
    """The folder with the Debian packages of this tree, built when its sources have changed."""
    need("dpkg-buildpackage", "dpkg-dev")
    need("dh", "debhelper")
    out = os.path.join(CACHE, "packages-" + source_hash())
    if not os.path.exists(out):
        os.makedirs(CACHE, exist_ok=True)
        for name in os.listdir(CACHE):
            if name.startswith("packages-"):
                shutil.rmtree(os.path.join(CACHE, name))
        shutil.rmtree(out + ".part", ignore_errors=True)
        build_packages(out + ".part")
        os.rename(out + ".part", out)
    return out


def build_packages(out, work=None, **keywords):
    words = [os.path.join(ROOT, "deploy/debian/build.sh"), out] + ([work] if work else [])
    env = dict(os.environ, DEB_BUILD_OPTIONS="parallel=%d" % jobs())
    env.update(keywords.pop("env", {}))
    run(*words, timeout=NETWORK, env=env, **keywords)


def jobs():
    return len(os.sched_getaffinity(0))


def package(out, name):
    """The file of a package by its name."""
    found = [f for f in os.listdir(out) if f.startswith(name + "_") and f.endswith(".deb")]
    assert len(found) == 1, "%s: %s" % (name, sorted(os.listdir(out)))
    return os.path.join(out, found[0])


def sums(paths):
    """{name: sha256} of files."""
    text = subprocess.run(["sha256sum", *paths], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {os.path.basename(line.split("  ", 1)[1]): line.split("  ", 1)[0] for line in text.splitlines()}
