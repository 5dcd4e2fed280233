#!/usr/bin/env python3
"""run_tests.py - configures, builds and runs the tests in stages and sums them up.

    run_tests.py check            the stage `check`
    run_tests.py full             every other stage
    run_tests.py ci [--seconds N] check, then as many of the others as fit into N seconds

Goes on after failures. The last line is "N passed, N failed"; the exit status is 0 only when nothing
failed and something passed. A build that fails counts as one failure. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Modules without threads, whose tests the thread sanitizer would only slow down.
SINGLE = "^(simd|quant|ds|fuzz|tool_import)"

# Stage: (preset, labels to run, tests to leave out, what it is for).
STAGES = {
    "check": ("check", "^check$", "", "everything that a change must pass"),
    "asan": ("asan", "^(c|asan)$", "", "address and undefined-behaviour sanitizer"),
    "operate": ("check", "^operate$", "", "what an operator does, with the real programs"),
    "slow": ("check", "^full$", "", "slow tests"),
    "tsan": ("tsan", "^(c|tsan)$", SINGLE, "thread sanitizer"),
    "fuzz": ("fuzz", "^fuzz$", "", "fuzzing for FUZZ_SECONDS a target"),
    "clang": ("clang", "^c$", "", "the second compiler"),
}
# What a stage needs at least to be worth starting, in seconds.
LEAST = {"asan": 240, "operate": 300, "slow": 300, "tsan": 240, "fuzz": 180, "clang": 180}

ENVIRONMENT = {
    # Not detect_stack_use_after_return: gcc's fake stack does not keep the alignment of 64 bytes.
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # gRPC is not instrumented: what it does by itself would look like races.
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1",
}


# Of what a failing test printed last, lines that the summary repeats: CI logs are cut in the middle.
TAIL = 25


class Result:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []
        self.tails = []


def run(command, deadline, env):
    """The exit status of a command, or None when the time was over (its processes are ended then)."""
    print("+ " + " ".join(command), flush=True)
    child = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True)
    try:
        return child.wait(None if deadline is None else max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return None
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait()
        raise


def read_junit(path, stage, result):
    """Adds the cases of a JUnit file of ctest; False when there is none."""
    try:
        cases = ElementTree.parse(path).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError):
        return False
    seen = False
    for case in cases:
        seen = True
        name = "%s/%s" % (stage, case.get("name"))
        if case.get("status") == "run":
            result.passed += 1
        elif case.find("failure") is not None or case.get("status") == "fail":
            result.failed.append(name)
            printed = (case.findtext("system-out") or "").splitlines()
            result.tails.append((name, [line[:300] for line in printed[-TAIL:]]))
        else:
            result.skipped.append(name)
    return seen


def run_stage(stage, jobs, deadline, result):
    preset, labels, without, purpose = STAGES[stage]
    print("\n==== %s: %s" % (stage, purpose), flush=True)
    env = dict(os.environ)
    for key, value in ENVIRONMENT.items():
        env.setdefault(key, value)
    if stage == "operate":
        # A package that cannot be had only skips the checks that want it.
        run(["deploy/setup.sh", "operate"], deadline, env)
    build = os.path.join(ROOT, "build" if preset == "release" else "build-" + preset)
    for command in (["cmake", "--preset", preset],
                    ["cmake", "--build", build, "-j", str(jobs), "--", "-k", "0"]):
        status = run(command, deadline, env)
        if status is None:
            result.skipped.append(stage + " (no time left to build it)")
            return
        if status != 0:
            # The tests that could be built still run: one broken file must not hide the rest.
            result.failed.append("%s: %s" % (stage, " ".join(command[:3])))
            if command[1] == "--preset":
                return
    junit = os.path.join(build, "junit.xml")
    if os.path.exists(junit):
        os.unlink(junit)
    command = ["ctest", "--test-dir", build, "-L", labels, "-j", str(jobs), "--output-on-failure",
               "--no-tests=error", "--output-junit", junit]
    if without:
        command += ["-E", without]
    if deadline is not None:
        # ctest stops by itself, with a report, somewhat before it would be stopped.
        left = max(5.0, deadline - time.monotonic() - 15)
        command += ["--stop-time", time.strftime("%H:%M:%S", time.localtime(time.time() + left))]
    status = run(command, deadline, env)
    failures = len(result.failed)
    if not read_junit(junit, stage, result):
        if status is None:
            result.skipped.append(stage + " (time was over)")
        else:
            result.failed.append(stage + ": ctest left no results")
    elif status not in (0, None) and len(result.failed) == failures and deadline is None:
        result.failed.append("%s: ctest ended with status %d" % (stage, status))


def main():
    parser = argparse.ArgumentParser(description="Runs the tests in stages.")
    parser.add_argument("what", choices=["check", "full", "ci"] + list(STAGES))
    parser.add_argument("--seconds", type=float, help="for ci: stop after this time")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    start = time.monotonic()
    others = [stage for stage in STAGES if stage != "check"]
    # What an operator does needs a machine of its own (a web server, a browser, a container build, systemd) and
    # as long as all the rest: `make e2e` and `make check-full`. Its quick checks are in the stage `check` too.
    shared = [stage for stage in STAGES if stage != "operate"]
    stages = {"full": others, "ci": shared}.get(args.what, [args.what])
    deadline = start + args.seconds if args.seconds else None
    result = Result()
    for stage in stages:
        if deadline is not None and stage in LEAST and deadline - time.monotonic() < LEAST[stage]:
            result.skipped.append(stage + " (no time left)")
            continue
        run_stage(stage, args.jobs, deadline, result)
    print("\n==== summary after %.0f s" % (time.monotonic() - start))
    for name, lines in result.tails:
        print("---- the end of what %s printed" % name)
        print("\n".join(lines))
    for name in result.skipped:
        print("not run: " + name)
    for name in result.failed:
        print("FAILED:  " + name)
    print("%d passed, %d failed" % (result.passed, len(result.failed)), flush=True)
    return 1 if result.failed or result.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
