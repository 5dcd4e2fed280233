#!/usr/bin/env python3
"""bench.py - builds and searches the sets with OmenDB and its peers, on the same rows and threads, in turns.

Writes OUT/results.json (a list of {set, system, params, threads, build_rows_per_s, recall, qps,
bytes_per_row}), OUT/extras.json (everything else that was measured), then tables and plots. run.sh makes
the environment and calls this. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy as np

import report
import sets
import systems

EFS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 512)
ENOUGH = 0.999
LARGE_ROWS = 200000
START = time.monotonic()


def say(text):
    print("bench: %5.0f s  %s" % (time.monotonic() - START, text), flush=True)


def scan_rates(program, rounds=3):
    """Bytes a second of one scanning process, and of two at once together: medians."""
    def together(count):
        children = [subprocess.Popen([program], stdout=subprocess.PIPE, text=True) for _ in range(count)]
        rates = [float(child.communicate()[0]) for child in children]
        if any(child.returncode for child in children):
            raise SystemExit("bench: %s failed" % program)
        return sum(rates)
    pairs = [(together(1), together(2)) for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*pairs)]


def build_all(chosen, made, repeats, quick):
    """Medians of rows a second by system and threads; the last index of each system stays."""
    large = len(made.base) > LARGE_ROWS
    times, cpu = {}, {}
    for repeat in range(repeats):
        for threads in (1, 2):
            for system in chosen:
                both = system.both_builds_large or not (large or quick)
                if threads == 1 and not both:
                    continue
                gc.collect()
                used = time.process_time()
                seconds = system.build(made.base, threads)
                if seconds is None:
                    continue
                used = time.process_time() - used
                times.setdefault((system.name, threads), []).append(seconds)
                cpu[system.name, threads] = used / seconds
                say("%s: %s built with %d threads: %.0f rows/s, %.2f cores" % (
                    made.name, system.name, threads, len(made.base) / seconds, used / seconds))
    rates = {key: len(made.base) / statistics.median(values) for key, values in times.items()}
    return rates, cpu


def sweep(system, made):
    """[(ef, recall)] up to the first recall that is enough, or until more ef brings nothing more."""
    found = []
    for ef in EFS:
        value = made.recall(system.search(made.queries, sets.K, ef, system.search_threads[-1]))
        found.append((ef, value))
        flat = len(found) > 3 and ef >= 80 and value - found[-2][1] < 0.0005
        if value > ENOUGH or flat:
            break
    say("%s: %s: %s" % (made.name, system.name, " ".join("%d:%.4f" % pair for pair in found)))
    return found


def search_all(chosen, made, rounds):
    """Medians of queries a second by system, ef and threads; in each round all systems take turns."""
    curves = {system.name: sweep(system, made) for system in chosen}
    times = {}
    for _ in range(rounds):
        for threads in (1, 2):
            for at in range(len(EFS)):
                for system in chosen:
                    if at >= len(curves[system.name]) or threads not in system.search_threads:
                        continue
                    ef = curves[system.name][at][0]
                    begin = time.perf_counter()
                    system.search(made.queries, sets.K, ef, threads)
                    elapsed = time.perf_counter() - begin
                    times.setdefault((system.name, ef, threads), []).append(elapsed)
    qps = {key: len(made.queries) / statistics.median(values) for key, values in times.items()}
    return curves, qps


def serving_memory(name, path, made, ef, folder):
    """Resident bytes that loading and searching adds in a fresh process: (anonymous, of files)."""
    np.save(os.path.join(folder, "queries.npy"), made.queries)
    command = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "serve_rss.py"),
               name, path, os.path.join(folder, "queries.npy"), str(ef)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [value / len(made.base) for value in json.loads(done.stdout)]


def memory_of(chosen, made, curves, folder):
    """By system: bytes a row of the walked data and of all, and resident ones while serving at 0.95."""
    out = {}
    for system in chosen:
        size = system.bytes_per_row()
        if size is None:
            continue
        out[system.name] = {"walked": size[0], "index": size[1]}
        if system.name in ("omen", "hnswlib"):
            ef = next((e for e, recall in curves[system.name] if recall >= 0.95), EFS[-1])
            path = os.path.join(folder, "serving-" + system.name)
            system.save(path)
            anonymous, of_file = serving_memory(system.name, path, made, ef, folder)
            out[system.name].update(ef=ef, rss_anonymous=anonymous, rss_file=of_file)
            os.unlink(path)
    return out


def rows_of(made, chosen, builds, curves, qps, memory):
    """The objects of results.json."""
    rows = []
    for system in chosen:
        size = memory.get(system.name, {}).get("walked")
        for threads in (1, 2):
            rate = builds.get((system.name, threads))
            for ef, recall in curves[system.name]:
                rows.append({"set": made.name, "system": system.name,
                             "params": "%s; ef=%d" % (system.params, ef), "threads": threads,
                             "build_rows_per_s": rate, "recall": recall,
                             "qps": qps.get((system.name, ef, threads)), "bytes_per_row": size})
    return [row for row in rows if row["qps"] is not None]


def measure(name, args):
    """Everything about one set: (rows of results.json, its part of extras.json)."""
    say("%s: loading" % name)
    made = sets.load(name, args.data, args.bundled, os.path.join(args.out, "sets"), args.quick)
    large = len(made.base) > LARGE_ROWS
    chosen = systems.choose(args.systems, large)
    say("%s: %d x %d, %d queries" % (made.name, *made.base.shape, len(made.queries)))
    builds, cpu = build_all(chosen, made, args.builds or (1 if args.quick or large else 3), args.quick)
    scans = [scan_rates(args.scan)]
    curves, qps = search_all(chosen, made, 3 if args.quick else 5)
    scans.append(scan_rates(args.scan))
    say("%s: memory" % made.name)
    memory = memory_of(chosen, made, curves, args.out)
    scan = [statistics.mean(column) for column in zip(*scans)]
    extra = {"rows": len(made.base), "dim": made.base.shape[1], "queries": len(made.queries),
             "quick": args.quick, "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
             "builds": [{"system": s, "threads": t, "rows_per_s": rate, "cores": cpu[s, t]}
                        for (s, t), rate in builds.items()],
             "scan_bytes_per_s": scan, "memory": memory}
    omen = next((s for s in chosen if s.name == "omen"), None)
    if omen is not None:
        ids = omen.search(made.queries, sets.K, 0, 2)
        extra["defaults"] = {"recall": made.recall(ids),
                             "distances": omen.distances_a_query(made.queries, sets.K, 0)}
    for system in chosen:
        system.index = None
    return rows_of(made, chosen, builds, curves, qps, memory), made.name, extra


def machine():
    """What the figures depend on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    import omen
    versions = {"omen": omen.__version__, "kernels": omen.isa, "python": platform.python_version(),
                "numpy": np.__version__}
    from importlib import metadata
    for package in ("hnswlib", "faiss-cpu", "usearch", "pyvsag", "tantivy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return {"cpu": model[0] if model else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release(), "versions": versions}


def read_json(path, otherwise):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return otherwise


def write_json(path, value):
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    os.replace(path + ".tmp", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--build", required=True, help="folder with lib/libomendb.so and bin/")
    parser.add_argument("--out", required=True)
    parser.add_argument("--sets", default="", help="of %s; default: all" % ", ".join(sets.NAMES))
    parser.add_argument("--systems", default="", help="names; default: all")
    parser.add_argument("--data", default="", help="folder with whole sets")
    parser.add_argument("--builds", type=int, default=0, help="builds a system; default: 3, 1 of large sets")
    parser.add_argument("--quick", action="store_true", help="fewer rows, queries and repeats")
    args = parser.parse_args()
    args.systems = args.systems.replace(",", " ").split()
    args.bundled = os.path.join(here, "..", "..", "demo", "data")
    args.scan = os.path.join(args.build, "bin", "scan_bench")
    wanted = args.sets.replace(",", " ").split()
    unknown = [name for name in wanted if name not in sets.NAMES]
    if unknown:
        raise SystemExit("bench: no set %s: there are %s" % (unknown[0], ", ".join(sets.NAMES)))
    systems.load_library(os.path.abspath(args.build))
    paths = [os.path.join(args.out, name) for name in ("results.json", "extras.json")]
    rows, extras = read_json(paths[0], []), read_json(paths[1], {})
    if not wanted or args.quick or extras.get("quick") or "sets" not in extras:
        rows, extras = [], {"sets": {}}  # a whole run, or a quick one, starts anew; else sets are replaced
    extras.update(quick=args.quick, machine=machine())
    for name in wanted or sets.NAMES:
        new, made_name, extra = measure(name, args)
        rows = [row for row in rows if row["set"] != made_name] + new
        extras["sets"][made_name] = extra
        write_json(paths[0], rows)
        write_json(paths[1], extras)
        report.write(args.out)
    say("results in %s" % args.out)


if __name__ == "__main__":
    main()
