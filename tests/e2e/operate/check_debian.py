#!/usr/bin/env python3
"""check_debian.py - the Debian packages: built twice, looked at by lintian, installed, upgraded, removed.
SPDX-License-Identifier: Apache-2.0
"""
import os
import re

import distro
import harness
from harness import ROOT, check, folder, main, need, poll, read, run, write

NAMES = ("libomendb0", "libomendb-dev", "omend", "omen")
# Asks for the number of a bug in Debian that wants the package: these are not for Debian itself.
FOREIGN = "initial-upload-closes-no-bugs"


@check("two builds of the packages in different folders are the same bytes", seconds=3600)
def reproducible():
    first = distro.packages()
    second = folder("packages-again-")
    work = os.path.join(folder("elsewhere-"), "a", "longer", "folder")
    os.makedirs(os.path.dirname(work))
    old = os.umask(0o077)
    try:
        distro.build_packages(second, work, env={"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "USER": "somebody"})
    finally:
        os.umask(old)
    sums = [distro.sums([os.path.join(out, name) for name in os.listdir(out) if name.endswith(".deb")])
            for out in (first, second)]
    assert len(sums[0]) == 2 * len(NAMES) - 1, "packages and their debug symbols: %s" % sorted(sums[0])
    differ = [name for name in sums[0] if sums[0][name] != sums[1].get(name)]
    assert not differ, "not the same: %s" % ", ".join(differ)
    return "%d packages identical: %s" % (len(sums[0]), ", ".join(
        "%s %d KiB" % (name, os.path.getsize(distro.package(first, name)) // 1024) for name in NAMES))


@check("lintian finds nothing that matters in the packages", seconds=1800)
def lintian():
    need("lintian", "lintian")
    out = distro.packages()
    changes = [os.path.join(out, name) for name in os.listdir(out) if name.endswith(".changes")]
    done = run("lintian", "--allow-root", "--fail-on", "none", "--no-tag-display-limit",
               "--suppress-tags", FOREIGN, *changes,
               check=False, timeout=distro.NETWORK)
    tags = re.findall(r"^([EW]): (.*)$", done.stdout, re.M)
    assert done.returncode == 0, done.stderr
    assert not tags, "; ".join("%s: %s" % tag for tag in tags)
    return "no error and no warning"


def newer(out, work):
    """The package omend with a higher version and another configuration file, as an upgrade would bring."""
    tree = os.path.join(work, "tree")
    run("dpkg-deb", "-R", distro.package(out, "omend"), tree)
    control = os.path.join(tree, "DEBIAN/control")
    text = read(control).decode()
    version = re.search(r"^Version: (.*)$", text, re.M).group(1)
    write(control, text.replace("Version: " + version, "Version: " + version + "+upgrade"))
    conf = os.path.join(tree, "etc/omend/omend.conf")
    write(conf, read(conf).decode() + "# a line of the next version\n")
    path = os.path.join(work, "omend_next.deb")
    run("dpkg-deb", "--root-owner-group", "-b", tree, path)
    return path


def serve_and_find(debian, rows):
    """Starts omend inside as its user, with the installed configuration; the tool writes and finds. rows:
    they are not there yet."""
    ports = [harness.free_port(), harness.free_port()]
    server = harness.Child(*debian.words(
        "setpriv", "--reuid=omend", "--regid=omend", "--clear-groups", "--pdeathsig=KILL", "/usr/bin/omend",
        "--config", "/etc/omend/omend.conf", "--listen=127.0.0.1:%d" % ports[0], "--admin-listen=127.0.0.1:%d" % ports[1]))
    address = "127.0.0.1:%d" % ports[0]
    try:
        server.until("serves", lambda: harness.http_get("127.0.0.1:%d/readyz" % ports[1])[0] == 200)
        if rows:
            debian.run("omen", "create", "things", "--dim", "4", "--server", address)
            debian.run("omen", "import", "things", "/srv/rows.jsonl", "--server", address)
        found = debian.run("omen", "search", "things", "/srv/rows.jsonl", "-k", "1", "-n", "1", "--server", address)
        pid = server.process.pid
        assert re.search(r"\b7\b", found.stdout), found.stdout
    finally:
        server.end()  # by SIGKILL: the data are there again after it
        poll("omend is gone", lambda: not answers(ports[1]))


def answers(port):
    try:
        return harness.http_get("127.0.0.1:%d/livez" % port)[0]
    except OSError:
        return None


@check("the packages are installed, serve, are built against, upgraded, removed and purged", seconds=2400)
def life():
    out = distro.packages()
    debian = distro.Chroot()
    debian.update()
    debian.install_files([distro.package(out, name) for name in NAMES])
    assert debian.run("omen", "--version").stdout.strip()
    for folder_, mode in (("etc/omend", 0o755), ("usr/bin/omend", 0o755)):
        assert os.stat(debian.inside(folder_)).st_mode & 0o777 == mode, folder_
    user = debian.run("getent", "passwd", "omend").stdout.strip()
    assert user.endswith("/usr/sbin/nologin"), user

    # What the unit would make (StateDirectory); no systemd runs here, check_systemd has one.
    debian.run("install", "-d", "-o", "omend", "-m", "0700", "/var/lib/omend", "/var/lib/omend/backups")
    write(debian.inside("srv/rows.jsonl"), "".join(
        '{"id": %d, "vector": [%d, %d, 1, 0]}\n' % (i, i == 7, i) for i in [7, 1, 2, 3]))
    serve_and_find(debian, True)

    work = folder("upgrade-")
    consumer = os.path.join(ROOT, "tests/abi/consumer/consumer.c")
    built = debian.inside("srv/consumer")
    library = os.path.dirname(debian.run("sh", "-c", "ls /usr/lib/*/libomendb.so").stdout.strip())
    run("cc", "-std=c99", "-Wall", "-Werror", "-I" + debian.inside("usr/include"), "-o", built, consumer,
        "-L" + debian.inside(library), "-lomendb", "-Wl,--allow-shlib-undefined")
    debian.run("/srv/consumer", "/srv/consumer.omen")

    conf = debian.inside("etc/omend/omend.conf")
    own = read(conf).decode() + "log-level = warn\n"
    write(conf, own)
    debian.run("cp", "-p", "/etc/omend/omend.conf", "/srv/kept.conf")
    next_package = newer(out, work)
    place = debian.inside("srv/next.deb")
    write(place, read(next_package))
    debian.run("dpkg", "--force-confold", "-i", "/srv/next.deb", timeout=distro.NETWORK)
    assert read(conf).decode() == own, "an upgrade has overwritten the administrator's configuration"
    serve_and_find(debian, False)

    debian.run("dpkg", "-r", "omend", timeout=distro.NETWORK)
    assert os.path.exists(conf) and not os.path.exists(debian.inside("usr/bin/omend"))
    debian.run("dpkg", "-P", "omend", "omen", "libomendb-dev", "libomendb0", timeout=distro.NETWORK)
    assert not os.path.exists(conf), "a purge leaves its configuration"
    data = os.listdir(debian.inside("var/lib/omend"))
    assert "data" in data, "a purge has taken the data: %s" % data
    left = debian.run("dpkg", "-l").stdout
    assert "omen" not in left, "something is left: " + left
    return "installed, served as user omend, linked against, upgraded with its configuration kept, purged; data left"


if __name__ == "__main__":
    main()
