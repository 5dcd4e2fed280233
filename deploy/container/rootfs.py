#!/usr/bin/env python3
"""rootfs.py - the file system of the image: omend, omen and what they need, nothing else.

Runs in the build stage, on the distribution that the programs were linked on. Takes an install tree, follows
what the programs load, copies that with the licences of its packages, adds the user, and writes what is in it
as an SBOM (sbom.py). The same input gives the same bytes. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import glob
import os
import re
import shutil
import stat
import subprocess
import sys

import sbom

UID = 10001
PROGRAMS = ("usr/bin/omend", "usr/bin/omen")
SBOM_PATH = "usr/share/sbom/omend.spdx.json"

FILES = {
    "etc/passwd": "root:x:0:0:root:/nonexistent:/nonexistent\n"
                  "omend:x:%d:%d:OmenDB:/var/lib/omend:/nonexistent\n" % (UID, UID),
    "etc/group": "root:x:0:\nomend:x:%d:\n" % UID,
    # Names only from the hosts file and DNS: the other services would be modules that are not here.
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# Folder: (mode, owner). What omend writes is a volume; these are there so that it also starts without.
FOLDERS = {
    "var/lib/omend": (0o700, UID),
    "var/lib/omend-backups": (0o700, UID),
    "tmp": (0o1777, 0),
    "dev": (0o755, 0),
    "proc": (0o555, 0),
    "sys": (0o555, 0),
    "run": (0o755, 0),
}
LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def needed_libraries(program, env):
    """The paths that the loader takes for a program, itself included."""
    found = set()
    text = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
    for line in text.splitlines():
        if "not found" in line:
            sys.exit("rootfs.py: %s: %s" % (program, line.strip()))
        match = re.search(r"(/\S+) \(0x", line)
        if match:
            found.add(match.group(1))
    return found


def inside_usr(path):
    """/lib/x and /usr/lib/x are one file on a merged /usr; packages name the one or the other."""
    return path if path.startswith("/usr/") else "/usr" + path


def package_of(path):
    """The package that brought a file, architecture cut off."""
    for name in (path, os.path.realpath(path), re.sub("^/usr", "", os.path.realpath(path))):
        done = subprocess.run(["dpkg-query", "-S", name], stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.DEVNULL, text=True)
        if done.returncode == 0:
            return done.stdout.split(":")[0].split(",")[0]
    sys.exit("rootfs.py: no package owns %s" % path)


class Tree:
    def __init__(self, out):
        self.out = out
        self.owners = {}  # path in the image -> package

    def path(self, name):
        full = os.path.join(self.out, name.lstrip("/"))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def copy(self, source, name, package, mode=0o644):
        full = self.path(name)
        shutil.copyfile(source, full)
        os.chmod(full, mode)
        self.owners[name.lstrip("/")] = package

    def write(self, name, text, package="omend-image"):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        self.owners[name] = package

    def library(self, path, package):
        """A shared library under the name that the loader asks for, and what that is a link to."""
        soname, real = inside_usr(path), os.path.realpath(path)
        loader = os.path.basename(real).startswith("ld-linux")
        name = os.path.join(os.path.dirname(soname), os.path.basename(real))
        self.copy(real, name, package, 0o755 if loader else 0o644)
        if name != soname:
            link = self.path(soname)
            if not os.path.lexists(link):
                os.symlink(os.path.basename(real), link)


def add_programs(tree, install):
    """omend, omen and libomendb; returns the libraries of the distribution that they load."""
    libraries = set()
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.join(install, "usr/lib"), LC_ALL="C")
    for name in PROGRAMS:
        tree.copy(os.path.join(install, name), name, "omendb", 0o755)
        libraries |= needed_libraries(os.path.join(install, name), env)
    own = {path for path in libraries if path.startswith(install + "/")}
    for path in sorted(own):
        real = os.path.realpath(path)
        tree.copy(real, "usr/lib/" + os.path.basename(real), "omendb")
        os.symlink(os.path.basename(real), tree.path("usr/lib/" + os.path.basename(path)))
    if not own:
        sys.exit("rootfs.py: omend loads no libomendb out of %s" % install)
    return libraries - own


def add_licences(tree, package):
    """Its copyright file, under its own name, and the common licences that it points at."""
    source = "/usr/share/doc/%s/copyright" % package
    if not os.path.exists(source):
        sys.exit("rootfs.py: %s has no copyright file: does the base leave documentation out?" % package)
    tree.copy(os.path.realpath(source), source, package)
    with open(source, encoding="utf-8", errors="replace") as file:
        text = file.read()
    for name in set(re.findall(r"/usr/share/common-licenses/([\w.+-]*\w)", text)):
        path = "/usr/share/common-licenses/" + name
        if os.path.exists(path) and path.lstrip("/") not in tree.owners:
            tree.copy(os.path.realpath(path), path, "base-files")


def add_package_records(tree, packages):
    """One file a package, where scanners for holes look in images without a package manager."""
    for package in sorted(packages):
        tree.write("var/lib/dpkg/status.d/" + package, output("dpkg-query", "-s", package))
    tree.copy(os.path.realpath("/etc/os-release"), "usr/lib/os-release", "base-files")
    os.symlink("../usr/lib/os-release", tree.path("etc/os-release"))


def add_folders(tree):
    for name, target in LINKS.items():
        if os.path.isdir(tree.path(target)):
            os.symlink(target, tree.path(name))
    for name, (mode, owner) in FOLDERS.items():
        full = tree.path(name)
        os.makedirs(full, exist_ok=True)
        os.chmod(full, mode)
        os.chown(full, owner, owner)


def set_times(out, epoch):
    """Everything has one time, and folders the usual mode: what is built twice is the same."""
    for folder, folders, files in os.walk(out):
        for name in folders + files:
            full = os.path.join(folder, name)
            if stat.S_ISDIR(os.lstat(full).st_mode) and os.path.relpath(full, out) not in FOLDERS:
                os.chmod(full, 0o755)
            os.utime(full, (epoch, epoch), follow_symlinks=False)
    os.chmod(out, 0o755)
    os.utime(out, (epoch, epoch))


def main():
    parser = argparse.ArgumentParser(description="Makes the file system of the image.")
    parser.add_argument("--install", required=True, help="what cmake --install made")
    parser.add_argument("--out", required=True, help="the new folder")
    parser.add_argument("--epoch", type=int, default=0, help="time of everything, seconds since 1970")
    parser.add_argument("--grpc", default="distribution", help="how gRPC was built (grpc.sh)")
    args = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(here))
    os.umask(0o022)
    os.makedirs(args.out)
    tree = Tree(args.out)

    packages = {"base-files"}
    for path in sorted(add_programs(tree, os.path.abspath(args.install))):
        package = package_of(path)
        packages.add(package)
        tree.library(path, package)
    for name, text in FILES.items():
        tree.write(name, text)
    tree.copy(os.path.join(here, "omend.conf"), "etc/omend/omend.conf", "omend-image")
    for name in ("LICENSE", "NOTICE"):
        tree.copy(os.path.join(root, name), "usr/share/doc/omendb/" + name, "omendb")
    for package in sorted(packages):
        add_licences(tree, package)
    add_package_records(tree, packages)
    for banned in glob.glob(args.out + "/usr/bin/*sh"):
        sys.exit("rootfs.py: a shell has found its way in: %s" % banned)

    version = output(os.path.join(args.install, "usr/bin/omend"), "--version").split()
    text = sbom.document(args.out, tree.owners, next(word for word in version if word[0].isdigit()),
                         args.epoch, args.grpc)
    tree.write(SBOM_PATH, text)
    add_folders(tree)
    set_times(args.out, args.epoch)
    size = sum(os.lstat(os.path.join(folder, name)).st_size
               for folder, _, files in os.walk(args.out) for name in files)
    print("rootfs.py: %d packages, %d files, %.1f MB" % (len(packages), len(tree.owners), size / 1e6))


if __name__ == "__main__":
    main()
