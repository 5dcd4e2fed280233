#!/usr/bin/env python3
"""run.py [NAME...] - the checks of `make e2e`: what an operator does, with the real programs.

    run.py --build DIR                 every check_*.py and check_*.sh here
    run.py --build DIR access console  those of these areas
    run.py --build DIR access.roles    one of them
    run.py --list

A line each: `ok|skip|FAIL name seconds what-it-showed`, skipped and failed ones with the reason. The status
is 1 when one failed. What a check prints beside its line is shown when it failed, or with --verbose.
SPDX-License-Identifier: Apache-2.0
"""

import argparse
import glob
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
SKIPPED = 77  # exit status of a shell check that cannot run here
OUTCOMES = ("ok", "skip", "FAIL")


def area_of(path):
    return os.path.basename(path)[len("check_") :].rsplit(".", 1)[0]


def environment(build):
    env = dict(os.environ, OMENDB_BUILD=build, PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
    env["OMEND"] = os.path.join(build, "bin", "omend")
    env["OMEN"] = os.path.join(build, "bin", "omen")
    env["OMEN_E2E_WORK"] = os.path.join(build, "e2e", "tmp")
    env["OMEN_E2E_API"] = os.path.join(ROOT, "api")
    env["OMEN_E2E_MODULES"] = os.path.join(build, "e2e", "node")
    return env


def outcome_of(line):
    """("ok", "area.name") of a line of a check; None for any other."""
    words = line.split(None, 2)
    if len(words) == 3 and words[0] in OUTCOMES and "." in words[1]:
        return words[0], words[1]
    return None


class Run:
    def __init__(self, build, verbose, limit):
        self.env = environment(build)
        self.python = os.path.join(build, "e2e", "venv", "bin", "python")
        self.verbose, self.limit = verbose, limit
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.failed = []
        self.seen = {}  # outcomes of the file that runs

    def say(self, outcome, name, seconds, text):
        print("%-4s %-40s %7.1f  %s" % (outcome, name, seconds, text), flush=True)
        self.count(outcome, name)

    def count(self, outcome, name):
        self.counts[outcome] += 1
        if outcome == "FAIL":
            self.failed.append(name)

    def area(self, path, names):
        """Runs a file; its stderr comes out when something failed."""
        area, started = area_of(path), time.monotonic()
        shell = path.endswith(".sh")
        command = ["sh", path] if shell else [self.python, path, *names]
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            child = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=None if self.verbose else said, text=True, errors="replace",
                start_new_session=True,
            )
            try:
                lines = self.relay(child, shell)
            finally:
                self.end(child)
            self.judge(area, child.returncode, lines, time.monotonic() - started, shell)
            if not self.verbose and child.returncode not in (0, SKIPPED):
                said.seek(0)
                sys.stderr.write(said.read()[-8000:])

    def relay(self, child, shell):
        """Lines of checks go out as they come; returns the last others."""
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(child.pid, signal.SIGKILL))
        signal.alarm(self.limit)
        lines = []
        self.seen = dict.fromkeys(OUTCOMES, 0)
        for line in child.stdout:
            found = None if shell else outcome_of(line)
            if found is None:
                lines = (lines + [line.rstrip()])[-40:]
                if self.verbose:
                    sys.stderr.write(line)
                continue
            self.seen[found[0]] += 1
            print(line, end="", flush=True)
            self.count(*found)
        child.wait()
        signal.alarm(0)
        return lines

    def judge(self, area, status, lines, seconds, shell):
        """What a file as a whole has to say: a shell check its line, a Python one that it broke."""
        last = lines[-1] if lines else ""
        if shell:
            outcome = {0: "ok", SKIPPED: "skip"}.get(status, "FAIL")
            self.say(outcome, area + ".sh", seconds, last if status == 0 else "(%s)" % last)
        elif status not in (0, 1) or not any(self.seen.values()) or status != min(1, self.seen["FAIL"]):
            self.say("FAIL", area + ".file", seconds, "(ended with %s)" % status)

    @staticmethod
    def end(child):
        """Nothing of a check outlives it: its process group goes too."""
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.stdout.close()
        child.wait()


def choose(names):
    """{path: names of checks in it}, in order; all of them when no name is given."""
    files = sorted(glob.glob(os.path.join(HERE, "check_*.py")) +
                   glob.glob(os.path.join(HERE, "check_*.sh")))
    if not names:
        return {path: [] for path in files}
    chosen = {}
    for name in names:
        area = name.split(".")[0].removeprefix("check_")
        paths = [path for path in files if area_of(path) == area]
        if not paths:
            sys.exit("run.py: no check_%s; there are: %s"
                     % (area, " ".join(area_of(path) for path in files)))
        for path in paths:
            chosen.setdefault(path, [])
            if "." in name:
                chosen[path].append(name)
    return chosen


def prepare(build):
    """The clients' packages, once; programs that are not built end it here."""
    for program in ("omend", "omen"):
        if not os.access(os.path.join(build, "bin", program), os.X_OK):
            sys.exit("run.py: %s/bin/%s is not built; `make build` does it" % (build, program))
    done = subprocess.run([os.path.join(ROOT, "tests", "e2e", "run.sh"), "setup", build], check=False)
    if done.returncode != 0:
        sys.exit("run.py: the clients' packages could not be installed")


def main():
    parser = argparse.ArgumentParser(description="Runs the checks of `make e2e`.")
    parser.add_argument("names", nargs="*", help="areas, or area.check")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="the build folder")
    parser.add_argument("--list", action="store_true", help="only name the checks")
    parser.add_argument("--verbose", action="store_true", help="show all that the checks print")
    parser.add_argument("--ctest", action="store_true", help="77 when all were skipped")
    parser.add_argument("--limit", type=int, default=3600, help="seconds for one file")
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    chosen = choose(args.names)
    prepare(build)
    if args.list:
        python = os.path.join(build, "e2e", "venv", "bin", "python")
        for path in chosen:
            if path.endswith(".py"):
                subprocess.run([python, path, "--list"], env=environment(build), check=True)
            else:
                print("%-40s %s" % (area_of(path) + ".sh", os.path.basename(path)))
        return 0
    started = time.monotonic()
    run = Run(build, args.verbose, args.limit)
    for path, names in chosen.items():
        run.area(path, names)
    print("e2e: %d ok, %d skipped, %d failed in %.0f s%s"
          % (run.counts["ok"], run.counts["skip"], run.counts["FAIL"], time.monotonic() - started,
             ": " + " ".join(run.failed) if run.failed else ""))
    if args.ctest and not run.failed and not run.counts["ok"]:
        return SKIPPED
    return 1 if run.failed or not sum(run.counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
