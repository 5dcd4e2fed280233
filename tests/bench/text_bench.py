#!/usr/bin/env python3
"""text_bench.py - BM25 beside tantivy and SQLite's FTS5: the same texts, queries and thread, the ten best.

The tables go into OUT/extras.json and RESULTS.md. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import gzip
import json
import os
import subprocess
import sys

import numpy as np

import bench
import report

ROWS, QUICK_ROWS = 1000000, 100000
VOCABULARY, SKEW, MEDIAN, SPREAD = 500000, 1.05, 45, 0.6
FREQUENT = 50  # words that a query of the plain classes does not have
CLASSES = (("1 word", 1), ("2 words", 2), ("3 words", 3), ("5 words", 5), ("10 words", 10))
QUERIES, PHRASES = 300, 200
SQLITE_QUERIES = 20  # of a class of the synthetic set: some take seconds
REAL = ("beir-scifact", "cranfield", "cisi", "wiki-movies-lsa256-cosine")


def spell(number):
    """A word that no two numbers share."""
    word, number = "", number + 1
    while number:
        word += "bcdfghklmnprstvz"[number % 16] + "aeiou"[number // 16 % 5]
        number //= 80
    return word


class Zipf:
    """Words by Zipf's law, lengths log-normal, each word of a text on its own."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        share = 1 / np.arange(1, VOCABULARY + 1) ** SKEW
        self.sums = np.cumsum(share / share.sum())
        self.words = np.array([spell(i) for i in range(VOCABULARY)], dtype=object)

    def texts(self, rows):
        for begin in range(0, rows, 10000):
            lengths = self.rng.lognormal(np.log(MEDIAN), SPREAD, min(10000, rows - begin))
            lengths = np.clip(lengths, 3, 400).astype(int)
            words = self.words[np.searchsorted(self.sums, self.rng.random(lengths.sum()))]
            at = 0
            for length in lengths:
                yield " ".join(words[at:at + length])
                at += length

    def query(self, count, first):
        """Different words as they stand in texts, the `first` most frequent ones left out."""
        found = []
        while len(found) < count:
            number = int(np.searchsorted(self.sums, self.rng.random()))
            if number >= first and number not in found:
                found.append(number)
        return " ".join(self.words[found])


def write_synthetic(folder, rows):
    zipf = Zipf(11)
    phrases = []
    with open(os.path.join(folder, "docs.txt"), "w", encoding="utf-8") as file:
        for number, text in enumerate(zipf.texts(rows)):
            file.write(text + "\n")
            if number % (rows // PHRASES) == 0:
                words = text.split()
                at = int(zipf.rng.integers(0, len(words) - 1))
                phrases.append('"%s"' % " ".join(words[at:at + 2]))
    with open(os.path.join(folder, "queries.txt"), "w", encoding="utf-8") as file:
        for name, count in CLASSES:
            file.writelines("%s\t%s\n" % (name, zipf.query(count, FREQUENT)) for _ in range(QUERIES))
        file.writelines("3 of all words\t%s\n" % zipf.query(3, 0) for _ in range(QUERIES))
        file.writelines("phrase\t%s\n" % phrase for phrase in phrases)


def read_jsonl(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def clean(text):
    """One line, no characters that mean something in a query of one of the systems."""
    return " ".join("".join(c if c.isalnum() else " " for c in text).split())


def write_real(folder, data, name):
    """False: DATA does not have the set."""
    movies = name.startswith("wiki-movies")
    docs = os.path.join(data, name, "base.jsonl.gz" if movies else "corpus.jsonl.gz")
    if not os.path.exists(docs):
        return False
    rows = read_jsonl(docs)
    queries = read_jsonl(os.path.join(data, name, "query.jsonl.gz" if movies else "queries.jsonl.gz"))
    with open(os.path.join(folder, "docs.txt"), "w", encoding="utf-8") as file:
        for row in rows:
            file.write(clean("%s %s" % (row.get("title", ""), row["text"])) + "\n")
    with open(os.path.join(folder, "queries.txt"), "w", encoding="utf-8") as file:
        for row in queries:
            text = clean(row["title"] if movies else row["text"])
            if text:
                file.write("%s\t%s\n" % ("titles" if movies else "queries", text))
        if movies:
            for row in queries:
                words = clean(row["text"]).split()[3:15]
                file.write("12 words of texts\t%s\n" % " ".join(words))
    return True


class System:
    """A child process: an index, then a round of all queries whenever it is asked."""

    def __init__(self, name, command):
        self.name = name
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.built = self.answer()
        self.best = {}

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit("bench: %s failed" % self.name)
        return json.loads(line)

    def round(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        for name, times in self.answer().items():
            old = self.best.setdefault(name, times)
            self.best[name] = [a if a[0] < b[0] else b for a, b in zip(old, times)]

    def close(self):
        self.child.stdin.close()
        self.child.wait()
        self.child.stdout.close()

    def qps(self, name, count):
        times = self.best[name][:count]
        return len(times) / sum(seconds for seconds, _ in times)

    def score(self, name, count):
        return sum(score for _, score in self.best[name][:count]) / count


def commands(args, folder, sqlite_limit):
    files = [os.path.join(folder, "docs.txt"), os.path.join(folder, "queries.txt")]
    peer = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "text_peers.py")]
    program = os.path.join(args.build, "bin", "text_bench")
    return (("omen", [program, *files, "0"]), ("omen, images of 65,536", [program, *files, "65536"]),
            ("tantivy", [*peer, "tantivy", *files, "0"]),
            ("sqlite-fts5", [*peer, "sqlite-fts5", *files, str(sqlite_limit)]))


def compare(args, name, folder, sqlite_limit, rounds):
    found = []
    try:
        for system, command in commands(args, folder, sqlite_limit):
            found.append(System(system, command))
            bench.say("text: %s: %s: %s" % (name, system, json.dumps(found[-1].built)))
        for _ in range(rounds):
            for system in found:
                system.round()
    finally:
        for system in found:
            system.close()
    return found


def rows_of(name, found):
    omen, split, tantivy, sqlite = found
    out = []
    for kind in omen.best:
        count, few = len(omen.best[kind]), len(sqlite.best[kind])
        out.append([name, kind, report.number(omen.qps(kind, count)), report.number(split.qps(kind, count)),
                    report.number(tantivy.qps(kind, count)), report.number(sqlite.qps(kind, few)),
                    "%.1f x" % (omen.qps(kind, count) / tantivy.qps(kind, count)),
                    "%.0f x" % (omen.qps(kind, few) / sqlite.qps(kind, few)),
                    " ".join("%.2f" % s.score(kind, few) for s in (omen, tantivy))])
        print("bench: text: %s" % "  ".join(out[-1]), flush=True)
    return out


def build_rows(name, found):
    return [[name, s.name, report.number(s.built["rows"]), report.number(s.built["rows"] / s.built["index_s"]),
             "%.0f" % (s.built["bytes"] / s.built["rows"])] for s in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    path = os.path.join(args.out, "extras.json")
    extras = bench.read_json(path, {"sets": {}, "quick": args.quick})
    if "machine" not in extras:
        extras["machine"] = bench.machine()
    searches, builds = [], []
    rows = QUICK_ROWS if args.quick else ROWS
    for name in ("zipf-%dk" % (rows // 1000), *(REAL if args.data else ())):
        folder = os.path.join(args.out, "text", name)
        os.makedirs(folder, exist_ok=True)
        synthetic = name.startswith("zipf")
        if synthetic and not os.path.exists(os.path.join(folder, "queries.txt")):
            write_synthetic(folder, rows)
        elif not synthetic and not write_real(folder, args.data, name):
            bench.say("text: no %s in DATA" % name)
            continue
        found = compare(args, name, folder, SQLITE_QUERIES if synthetic else 0, 3 if args.quick else 5)
        searches += rows_of(name, found)
        builds += build_rows(name, found)
    extras["text"] = {"tables": [
        {"header": ["set", "queries", "omen, QPS", "in images of 65,536", "tantivy", "SQLite FTS5",
                    "of tantivy", "of FTS5", "mean best score: omen, tantivy"], "rows": searches},
        {"header": ["set", "index", "texts", "texts/s, one thread", "bytes a text"], "rows": builds}],
        "about": ("BM25 (k1 1.2, b 0.75), any of the words, the ten best, one thread; words as they are, positions "
                  "kept. Each query counts with the fastest of its rounds, in which the systems take turns; FTS5 is "
                  "asked the first %d of a class of the synthetic set, and its ratio is over these. tantivy and "
                  "FTS5 are called from Python, with queries that are parsed beforehand; OmenDB's time includes "
                  "the analysis of the query%s." % (SQLITE_QUERIES, " (QUICK)" if args.quick else ""))}
    bench.write_json(path, extras)
    if not os.path.exists(os.path.join(args.out, "results.json")):
        bench.write_json(os.path.join(args.out, "results.json"), [])
    report.write(args.out)


if __name__ == "__main__":
    main()
