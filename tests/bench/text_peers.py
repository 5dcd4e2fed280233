#!/usr/bin/env python3
"""text_peers.py SYSTEM DOCS QUERIES LIMIT - BM25 by tantivy or by SQLite's FTS5, in the manner of text_bench.c.

A line of JSON when the index is built, then one for each line read: {class: [[seconds, best score], ...]},
of the first LIMIT queries of each class (0: all). Texts are cut into words as they are, no stems, no stop words.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import sqlite3
import sys
import tempfile
import time

K = 10


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def read_queries(path, limit):
    classes = {}
    for line in read_lines(path):
        name, text = line.split("\t", 1)
        classes.setdefault(name, []).append(text)
    return {name: texts[:limit] if limit else texts for name, texts in classes.items()}


class Tantivy:
    """In a folder, one writing thread, merged to one segment when tantivy does not end with one."""

    def __init__(self, docs, work):
        import tantivy
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("t", stored=False, tokenizer_name="default")
        self.index = tantivy.Index(builder.build(), path=work)
        writer = self.index.writer(heap_size=1000000000, num_threads=1)
        for text in docs:
            writer.add_document(tantivy.Document(t=[text]))
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()
        self.searcher = self.index.searcher()
        self.bytes = sum(os.path.getsize(os.path.join(work, name)) for name in os.listdir(work))
        self.segments = self.searcher.num_segments

    def prepare(self, text):
        words = text.replace('"', " ") if not text.startswith('"') else text
        return self.index.parse_query_lenient(words, ["t"])[0]

    def search(self, query):
        # With count=True it would have to look at every match.
        hits = self.searcher.search(query, K, count=False).hits
        return hits[0][0] if hits else 0


class Sqlite:
    """FTS5 without a copy of the texts, optimised: one b-tree."""
    segments = 1

    def __init__(self, docs, work):
        self.db = sqlite3.connect(os.path.join(work, "fts.db"))
        self.db.executescript("pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-1000000;"
                              "create virtual table d using fts5(t, content='', tokenize='unicode61')")
        self.db.executemany("insert into d(rowid, t) values (?, ?)", enumerate(docs, 1))
        self.db.execute("insert into d(d) values ('optimize')")
        self.db.commit()
        self.bytes = os.path.getsize(os.path.join(work, "fts.db"))

    def prepare(self, text):
        if text.startswith('"'):
            return text
        words = "".join(c if c.isalnum() else " " for c in text).split()
        return " OR ".join('"%s"' % word for word in words)

    def search(self, query):
        rows = self.db.execute("select rowid, rank from d where d match ? order by rank limit %d" % K,
                               (query,)).fetchall()
        return -rows[0][1] if rows else 0


def run_round(system, prepared):
    out = {}
    for name, queries in prepared.items():
        times = out[name] = []
        for query in queries:
            begin = time.perf_counter()
            best = system.search(query)
            times.append([time.perf_counter() - begin, best])
    return out


def main():
    name, docs, queries, limit = sys.argv[1:5]
    texts = read_lines(docs)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(docs))) as work:
        begin = time.perf_counter()
        system = {"tantivy": Tantivy, "sqlite-fts5": Sqlite}[name](texts, work)
        seconds = time.perf_counter() - begin
        prepared = {c: [system.prepare(text) for text in found]
                    for c, found in read_queries(queries, int(limit)).items()}
        print(json.dumps({"rows": len(texts), "index_s": seconds, "bytes": system.bytes,
                          "segments": system.segments}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(run_round(system, prepared)), flush=True)


if __name__ == "__main__":
    main()
