#!/usr/bin/env python3
"""check_build.py - what is shipped: hardened, and the same bytes wherever it is built.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re

import distro
from harness import BUILD, ROOT, check, folder, main, need, read, run, write

SHIPPED = ("bin/omend", "bin/omen", "lib/libomendb.so")
# Lines of hardening-check that must say yes. A library is position independent by nature.
PROTECTIONS = ("Position Independent Executable", "Stack protected", "Fortify Source functions",
               "Read-only relocations", "Immediate binding", "Stack clash protection", "Control flow integrity")


def protections(path):
    """{protection: what hardening-check says} of a program or library."""
    done = run("hardening-check", path, check=False)
    found = dict(re.findall(r"^ ([^:\n]+): (.*)$", done.stdout, re.M))
    assert found, "hardening-check said nothing of %s: %s" % (path, done.stderr)
    return found


def missing(path):
    """The protections that a file does not have."""
    said = protections(path)
    return ["%s: %s" % (p, said[p]) for p in PROTECTIONS
            if p in said and not said[p].startswith("yes") and "shared library (ignored)" not in said[p]
            and not (p == "Stack clash protection" and probes(path))]


def probes(path):
    """Whether frames of more than a page are touched page by page. The tool knows only the loop that very large
    frames get, and says "unknown" where there is none."""
    return re.search(r"\bor[ql]\s+\$0x0,\(%[re]sp\)", run("objdump", "-d", "--no-show-raw-insn", path).stdout)


def compiled_without(flag):
    """Files of the build whose compiler was not told so."""
    commands = json.loads(read(os.path.join(BUILD, "compile_commands.json")))
    ours = [c for c in commands if "/gen/" not in c["file"] and c["file"].startswith(ROOT)]
    assert len(ours) > 100, "the list of compiler calls is no list: %d" % len(ours)
    return [c["file"] for c in ours if flag not in c["command"]]


def dynamic(path):
    return run("readelf", "-dlW", path).stdout


@check("every hardening of the compiler is in omend, omen and libomendb")
def hardening():
    need("hardening-check", "devscripts")
    work = folder("hardening-")
    bare = os.path.join(work, "bare")
    source = write(bare + ".c", "#include <stdio.h>\n#include <string.h>\nint main(int n, char **v)\n"
                   "{ char t[64]; strcpy(t, v[n - 1]); return puts(t); }\n")
    run("cc", "-O2", "-U_FORTIFY_SOURCE", "-fno-stack-protector", "-fcf-protection=none", "-no-pie",
        "-Wl,-z,norelro,-z,lazy", "-o", bare, source)
    assert len(missing(bare)) >= 5, "the tool finds nothing wrong with a bare program: %s" % missing(bare)
    for flag in ("-fstack-protector-strong", "-fstack-clash-protection", "_FORTIFY_SOURCE=2"):
        assert not compiled_without(flag), "%s: %s" % (flag, compiled_without(flag)[:3])
    for name in SHIPPED:
        path = os.path.realpath(os.path.join(BUILD, name))
        lacking = missing(path)
        assert not lacking, "%s: %s" % (name, "; ".join(lacking))
        text = dynamic(path)
        assert "TEXTREL" not in text, name + " has relocations in its code"
        assert not re.search(r"^\s+(LOAD|GNU_STACK)\s.* RWE ", text, re.M), name + " has writable code"
        for place in re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", text):
            assert all(p.startswith("$ORIGIN") for p in place.split(":")), "%s loads from %s" % (name, place)
    return "%d protections in each of %d files, no writable code, no foreign library path" % (
        len(PROTECTIONS), len(SHIPPED))


def cached(name):
    text = read(os.path.join(BUILD, "CMakeCache.txt")).decode()
    found = re.search(r"^%s:\w+=(.*)$" % name, text, re.M)
    return found.group(1) if found else ""


def build_release(tree, build, env):
    """The release build of a tree in a folder, as `make build` makes it."""
    run("cmake", "-G", "Ninja", "-S", tree, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DOMEN_WERROR=ON",
        "-DOMEN_BUILD_TESTS=OFF", env=env)
    run("cmake", "--build", build, "-j", distro.jobs(), timeout=distro.NETWORK, env=env)
    return build


@check("builds in two folders, by two users' settings, are the same bytes", seconds=2400)
def reproducible():
    work = folder("reproducible-")
    strange = dict(os.environ, CCACHE_DISABLE="1", TZ="Pacific/Kiritimati", LC_ALL="C", HOME="/nonexistent",
                   USER="somebody")
    one = BUILD
    if cached("CMAKE_BUILD_TYPE") != "Release" or cached("OMEN_SANITIZE"):
        one = build_release(distro.copy_tree(os.path.join(work, "a")), os.path.join(work, "a", "build"),
                            dict(os.environ, CCACHE_DISABLE="1"))
    other = os.path.join(work, "a folder/of/quite another name")
    distro.copy_tree(other)
    old = os.umask(0o077)
    try:
        two = build_release(other, os.path.join(work, "elsewhere"), strange)
    finally:
        os.umask(old)
    names = SHIPPED + ("lib/libomendb.a",)
    first = distro.sums([os.path.realpath(os.path.join(one, name)) for name in names])
    second = distro.sums([os.path.realpath(os.path.join(two, name)) for name in names])
    differ = sorted(name for name in first if first[name] != second.get(name))
    assert not differ, "not the same in %s and %s: %s" % (one, two, ", ".join(differ))
    for name in names:
        text = read(os.path.join(one, name))
        assert ROOT.encode() not in text, "%s knows where its sources were" % name
    return "%s identical" % ", ".join(sorted(first))


if __name__ == "__main__":
    main()
