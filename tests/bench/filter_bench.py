"""`make bench SETS=filter`: conditions on a million rows of metadata, beside DuckDB on one thread.

Both hold the same rows and answer the same conditions, from their text to the number of rows that pass, in turns
of one process each; the medians are compared. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import subprocess
import time

import duckdb
import numpy as np

import bench
import report

ROWS = 1000000
COLUMNS = (("year", "int64"), ("views", "int64"), ("stock", "int64"), ("rating", "double"),
           ("price", "double"), ("genre", "string"), ("country", "string"), ("maker", "string"),
           ("public", "bool"), ("created", "time"))

# Three conditions each, from no row to nearly all of them.
CONDITIONS = (
    "year = 2031 AND genre = 'drama' AND rating > 5",
    "maker = 'maker-012345' AND rating >= 5 AND public",
    "country = 'country-150' AND year = 1999 AND price < 20",
    "maker IN ('maker-000001', 'maker-000777', 'maker-054321') AND views > 10 AND year > 1950",
    "genre = 'western' AND country = 'country-007' AND rating BETWEEN 3 AND 5",
    "maker LIKE 'maker-0012%' AND price > 1 AND year >= 1980",
    "year BETWEEN 1994 AND 1995 AND genre IN ('drama', 'comedy') AND price < 3",
    "views > 50000 AND rating >= 8 AND stock IS NOT NULL",
    "price BETWEEN 2.5 AND 3.5 AND genre != 'drama' AND year > 2000",
    "created >= '2025-06-01T00:00:00Z' AND created < '2025-08-01T00:00:00Z' AND genre = 'comedy'",
    "genre IN ('drama', 'crime', 'horror') AND rating > 6.5 AND stock < 300",
    "genre = 'drama' AND year >= 1990 AND NOT country = 'country-000'",
    "year > 1980 AND rating < 6 AND price > 5",
    "(genre = 'drama' OR genre = 'comedy') AND rating BETWEEN 4 AND 8 AND year >= 1960",
    "public AND year > 1970 AND stock >= 100",
    "year < 1950 OR rating > 8.5 OR genre = 'war'",
    "views >= 100 AND price < 50 AND NOT genre IN ('western', 'war', 'music')",
    "country != 'country-000' AND rating > 1.5 AND views < 1000000",
    "year > 1921 AND genre != 'western' AND price > 0.2",
    "rating >= 0.5 OR stock IS NULL OR maker < 'maker-05'",
)


def make_columns(rows):
    """Skewed values, as real metadata has them; seeds are fixed."""
    rng = np.random.default_rng(11)
    genres = np.array(["drama", "comedy", "crime", "horror", "action", "romance", "thriller", "family",
                       "mystery", "fantasy", "history", "music", "war", "western", "sport", "news",
                       "biography", "animation", "adventure", "noir"])
    share = 1 / np.arange(1, len(genres) + 1)
    created = np.sort(rng.integers(1704067200, 1767225600, rows)) * 1000000
    return {
        "year": 2025 - np.minimum(rng.exponential(22, rows), 105).astype(np.int64),
        "views": np.minimum(rng.pareto(0.7, rows) * 100, 1e9).astype(np.int64),
        "stock": rng.integers(0, 1000, rows),
        "rating": np.clip(np.round(rng.normal(6, 1.8, rows), 1), 0, 10),
        "price": np.exp(rng.normal(2, 1, rows)),
        "genre": genres[rng.choice(len(genres), rows, p=share / share.sum())],
        "country": np.char.add("country-", np.char.zfill(
            np.minimum(rng.exponential(25, rows), 199).astype(int).astype(str), 3)),
        "maker": np.char.add("maker-", np.char.zfill(
            rng.integers(0, 100000, rows).astype(str), 6)),
        "public": rng.random(rows) < 0.9,
        "created": created.astype(np.int64),
        "stock_valid": rng.random(rows) >= 0.3,
    }


def write_columns(columns, folder):
    os.makedirs(folder, exist_ok=True)
    for name, kind in COLUMNS:
        values = columns[name]
        base = os.path.join(folder, name)
        if kind == "string":
            encoded = [v.encode() for v in values.tolist()]
            offsets = np.zeros(len(encoded) + 1, dtype=np.uint64)
            offsets[1:] = np.cumsum([len(v) for v in encoded])
            offsets.tofile(base + ".offsets")
            with open(base + ".values", "wb") as file:
                file.write(b"".join(encoded))
        else:
            values.astype(np.float64 if kind == "double" else np.int64).tofile(base + ".values")
        if name + "_valid" in columns:
            columns[name + "_valid"].astype(np.uint8).tofile(base + ".valid")


class Omen:
    name = "OmenDB"

    def __init__(self, build, columns, rows, folder):
        write_columns(columns, folder)
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [os.path.join(build, "bin", "filter_bench"), folder, str(rows)] +
            ["%s:%s" % column for column in COLUMNS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.bytes = int(self.process.stdout.readline())
        self.build_s = time.perf_counter() - begin

    def run(self, condition, repeats):
        """Rows that pass and milliseconds of every repetition."""
        self.process.stdin.write("%d %s\n" % (repeats, condition))
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        return int(answer[0]), [int(ns) / 1e6 for ns in answer[1:-1]]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class DuckDB:
    name = "DuckDB"

    def __init__(self, columns, path):
        """path: a file, whose columns are compressed, or memory."""
        if path != ":memory:" and os.path.exists(path):
            os.remove(path)
        self.db = duckdb.connect(path)
        self.db.execute("SET threads = 1")
        stored = {name: values for name, values in columns.items()}
        # numpy's fixed-width text becomes VARCHAR through objects
        for name, kind in COLUMNS:
            if kind == "string":
                stored[name] = columns[name].astype(object)
        self.db.register("given", stored)
        casts = {"created": "make_timestamp(created) AS created",
                 "stock": "CASE WHEN stock_valid THEN stock END AS stock"}
        self.db.execute("CREATE TABLE t AS SELECT %s FROM given" % ", ".join(
            casts.get(name, name) for name, _ in COLUMNS))
        self.db.unregister("given")
        self.db.execute("CHECKPOINT")

    def run(self, condition, repeats):
        times = []
        query = "SELECT count(*) FROM t WHERE " + condition
        for _ in range(repeats):
            begin = time.perf_counter()
            count = self.db.execute(query).fetchone()[0]
            times.append((time.perf_counter() - begin) * 1e3)
        return count, times

    def close(self):
        self.db.close()


def measure(systems, rounds, repeats):
    """For every condition the rows and, of every system, all times: systems take turns in every round."""
    results = [{"condition": c, "ms": {s.name: [] for s in systems}} for c in CONDITIONS]
    for round_ in range(rounds):
        for result in results:
            order = systems if round_ % 2 == 0 else systems[::-1]
            for system in order:
                count, times = system.run(result["condition"], repeats + 1)
                result["ms"][system.name] += times[1:]  # the first one warms the caches of both
                if result.setdefault("count", count) != count:
                    raise SystemExit("filter_bench: %s counts %d, not %d: %s" % (
                        system.name, count, result["count"], result["condition"]))
    for result in results:
        result["ms"] = {name: float(np.median(times)) for name, times in result["ms"].items()}
    return results


def tables(results, omen, names, rows):
    """What report.py makes a section of."""
    medians = {name: float(np.median([r["ms"][name] for r in results])) for name in names}
    best = min(medians[name] for name in names if name != omen.name)
    lines = [["`%s`" % r["condition"], "{:,}".format(r["count"])] +
             ["%.3f" % r["ms"][name] for name in names] for r in results]
    lines.append(["**median**", ""] + ["**%.3f**" % medians[name] for name in names])
    bench.say("filter: median ms %s" % json.dumps(medians))
    return {"tables": [{"header": ["condition", "rows that pass"] + ["%s, ms" % n for n in names],
                        "rows": lines}],
            "about": ("%s rows of ten fields, %.1f bytes each in blocks; DuckDB %s, one thread. From the text of a "
                      "condition to the number of its rows. The faster DuckDB takes %.0f times as long."
                      % ("{:,}".format(rows), omen.bytes / rows, duckdb.__version__, best / medians[omen.name]))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    rows = 200000 if args.quick else ROWS
    columns = make_columns(rows)
    folder = os.path.join(args.out, "filter")
    omen = Omen(args.build, columns, rows, folder)
    memory = DuckDB(columns, ":memory:")
    stored = DuckDB(columns, os.path.join(folder, "duck.db"))
    memory.name, stored.name = "DuckDB, memory", "DuckDB, file"
    systems = [omen, memory, stored]
    results = measure(systems, 3 if args.quick else 7, 5)
    for system in systems:
        system.close()
    path = os.path.join(args.out, "extras.json")
    extras = bench.read_json(path, {"sets": {}, "quick": args.quick})
    extras.setdefault("machine", bench.machine())
    extras["filter"] = tables(results, omen, [system.name for system in systems], rows)
    bench.write_json(path, extras)
    if not os.path.exists(os.path.join(args.out, "results.json")):
        bench.write_json(os.path.join(args.out, "results.json"), [])
    report.write(args.out)


if __name__ == "__main__":
    main()
