#!/usr/bin/env python3
"""cover.py - branch coverage of the parts that must not lose data: log, manifest, recovery, parsers.

    cover.py [GROUP...] [--build DIR] [--jobs N] [--missed]     GROUP: log manifest recovery parsers

Builds with clang's source coverage in build-cover-clang, runs the tests of the groups, and prints for each
"cover: GROUP branches=covered/all percent defensive=lines/all". Both ways of every condition count, in macros
too. Not counted: om_assert, and lines that carry the comment "cover: why", which can be reached by no test; at
most one line in a hundred may. --missed lists what is missing. The exit status is 1 when a group that is named
below as whole is not, or has too many such lines. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import collections
import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Group: (files, tests whose executables are built and run, whether it must be whole).
GROUPS = {
    "log": (["core/store/wal*.c"], "^(store_wal|fuzz_wal)", True),
    "manifest": (["core/store/manifest_*.c", "core/store/deaths.c", "core/store/cursors.c",
                  "core/store/filehead.c", "core/store/order.c", "core/store/sweep.c",
                  "core/store/backup*.c"],
                 "^(store_(manifest|deaths|cursors|load|sweep|backup)|fuzz_(manifest|cursors|deaths|backup))",
                 False),
    "recovery": (["core/engine/*/engine_%s.c" % part for part in (
                     "disk", "replay", "record", "record_decode", "record_parts", "state", "adopt", "files",
                     "refresh", "restore")],
                 "^(engine_|fuzz_record)", False),
    "parsers": (["core/store/segfile_open.c", "core/store/segfile_verify.c", "core/quant/quant_file.c",
                 "core/graph/graph_persist.c", "service/wire/guard.c", "service/wire/pbunpack.c",
                 "service/wire/search_reader.c", "service/wire/write_reader.c", "service/wire/wread.c",
                 "service/tool/import_*.c", "service/tool/dump.c", "service/tool/base64.c"],
                "^(store_(segfile|damage)|quant_file|quant_codec|graph|service_.*reader|service_guard|tool_"
                "|fuzz_(segfile|open|wire|import|dump)|engine_(file|hostile))", False),
}
MARK = re.compile(r"/\*\s*cover: ")
FLAGS = "-fprofile-instr-generate -fcoverage-mapping"


def run(command, **more):
    return subprocess.run(command, cwd=ROOT, check=True, **more)


def tool(name):
    """llvm-cov-14, or another version that is there."""
    for version in ("-14", "", "-19", "-16", "-15"):
        if subprocess.run(["which", name + version], capture_output=True, check=False).returncode == 0:
            return name + version
    sys.exit("cover.py: %s is not installed" % name)


def build_tests(build, pattern, jobs):
    """Names of the tests, and the programs that they run."""
    run(["cmake", "-S", ".", "-B", build, "-G", "Ninja", "--log-level=WARNING", "-DCMAKE_C_COMPILER=clang",
         "-DCMAKE_BUILD_TYPE=Debug", "-DOMEN_ASSERT=0", "-DCMAKE_C_FLAGS=" + FLAGS])
    def tests():
        listed = run(["ctest", "--test-dir", build, "--show-only=json-v1", "-R", pattern],
                     stdout=subprocess.PIPE, text=True).stdout
        return json.loads(listed)["tests"]
    known = run(["ninja", "-C", build, "-t", "targets", "all"], stdout=subprocess.PIPE, text=True).stdout
    known = set(re.findall(r"^(\w+): phony$", known, re.M))
    run(["ninja", "-C", build, "-j", str(jobs), "--quiet"] + [t["name"] for t in tests() if t["name"] in known])
    home = os.path.abspath(os.path.join(ROOT, build))
    inside = sorted({t["command"][0] for t in tests() if t.get("command", [""])[0].startswith(home)})
    if not inside:
        sys.exit("cover.py: no tests match %s" % pattern)
    return inside + glob.glob(os.path.join(ROOT, build, "**", "*.so"), recursive=True)


def run_tests(build, pattern):
    """Where the counters went. A test that fails has counted as well; its failure is another stage's matter."""
    raw = os.path.join(os.path.abspath(os.path.join(ROOT, build)), "profiles")
    os.makedirs(raw, exist_ok=True)
    for old in glob.glob(os.path.join(raw, "*")):
        os.unlink(old)
    env = dict(os.environ, LLVM_PROFILE_FILE=os.path.join(raw, "%p-%m.profraw"))
    subprocess.run(["ctest", "--test-dir", build, "-R", pattern, "-LE", "^full$", "--output-on-failure", "-Q"],
                   cwd=ROOT, env=env, check=False)
    merged = os.path.join(raw, "all.profdata")
    run([tool("llvm-profdata"), "merge", "-sparse", "-o", merged] + glob.glob(os.path.join(raw, "*.profraw")))
    return merged


def export(programs, merged, files):
    command = [tool("llvm-cov"), "export", programs[0], "-instr-profile=" + merged]
    for program in programs[1:]:
        command += ["-object", program]
    out = run(command + [os.path.join(ROOT, name) for name in files], stdout=subprocess.PIPE,
              stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(out)["data"][0]["files"]


def branches_of(file, lines):
    """(line, column, side, count) of both sides of each condition. A condition in a header or macro that is
    compiled more than once counts where it is used."""
    found = collections.Counter()
    uses = [(branch, branch[0], branch[1]) for branch in file.get("branches", [])]
    for expansion in file.get("expansions", []):
        line, column = expansion["source_region"][0], expansion["source_region"][1]
        if not lines[line - 1][column - 1:].startswith("om_assert"):
            uses += [(branch, line, (column, branch[0], branch[1])) for branch in expansion["branches"]]
    for branch, line, column in uses:
        for side in (4, 5):
            found[line, str(column), side] += branch[side]
    return found


def measure(name, files, data, missed):
    covered = total = marked = size = 0
    for file in data:
        path = os.path.relpath(file["filename"], ROOT)
        with open(file["filename"], encoding="utf-8") as source:
            lines = source.read().split("\n")
        marks = {number for number, line in enumerate(lines, 1) if MARK.search(line)}
        marked += len(marks)
        size += len(lines)
        for (line, _, side), count in sorted(branches_of(file, lines).items()):
            if line in marks:
                continue
            total += 1
            covered += count != 0
            if count == 0 and missed:
                print("%s:%d: never %s: %s" % (path, line, "true" if side == 4 else "false",
                                               lines[line - 1].strip()[:90]))
    if len(data) != len(files):
        print("cover.py: %s: %d of %d files were in no test" % (name, len(files) - len(data), len(files)))
    share = 100.0 * covered / total if total else 0.0
    print("cover: %s branches=%d/%d %.2f %% defensive=%d/%d" % (name, covered, total, share, marked, size))
    return covered == total and total != 0 and marked * 100 <= size and len(data) == len(files)


def main():
    parser = argparse.ArgumentParser(description="branch coverage", add_help=True)
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    parser.add_argument("--build", default="build-cover-clang")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--missed", action="store_true")
    args = parser.parse_args()
    good = True
    for name in args.groups or GROUPS:
        patterns, tests, whole = GROUPS[name]
        files = sorted(os.path.relpath(p, ROOT) for pattern in patterns
                       for p in glob.glob(os.path.join(ROOT, pattern)))
        programs = build_tests(args.build, tests, args.jobs)
        data = export(programs, run_tests(args.build, tests), files)
        done = measure(name, files, data, args.missed)
        good = good and (done or not whole)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
