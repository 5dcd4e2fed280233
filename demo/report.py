#!/usr/bin/env python3
"""report.py - turns the results of the demo into a table, a page and a contact sheet.

Usage: report.py DATA OUT
OUT holds the JSON files that run.sh wrote; report.html and contact.png are put beside them. The last
line on standard output is the summary that scripts read.

SPDX-License-Identifier: Apache-2.0
"""
import gzip
import json
import pathlib
import struct
import sys

import report_films
import report_page
import report_png

NEIGHBOURS = 8


def read_idx(path):
    """The bytes of an idx file of u8, and the size of an item."""
    raw = gzip.open(path, "rb").read()
    dims = raw[3]
    shape = struct.unpack(f">{dims}I", raw[4:4 + 4 * dims])
    size = 1
    for n in shape[1:]:
        size *= n
    body = raw[4 + 4 * dims:]
    if raw[:3] != b"\0\0\x08" or len(body) != shape[0] * size:
        sys.exit(f"{path}: not an idx file of bytes")
    return body, size


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load(out):
    names = ("import", "embedded-import", "stats", "server", "process", "recall", "embedded", "grpc",
             "grpc-latency")
    results = {name: json.loads((out / f"{name}.json").read_text()) for name in names}
    results["hits"] = read_lines(out / "hits.json")
    results["exact"] = read_lines(out / "exact.json")
    results["films"] = report_films.load(out)
    results["curve"] = []
    for path in out.glob("curve-*.json"):
        run = json.loads(path.read_text())
        results["curve"].append((run["recall"], run["results"][0]["qps"], run["ef"]))
    return results


def check_exact(results):
    """The brute-force search must have the same distances as the graph's true hits at best: an exact
    answer that is beaten by the approximate one would be a bug worth a failed demo."""
    for exact, found in zip(results["exact"], results["hits"]):
        for e, h in zip(exact["hits"], found["hits"]):
            if h["distance"] < e["distance"] * (1 - 1e-6):
                sys.exit(f"demo: query {exact['query']}: the exact search missed an item")


def figures(results, train_labels, test_labels):
    hits = results["hits"]
    agree = sum(train_labels[h["hits"][0]["id"]] == test_labels[h["query"]] for h in hits)
    two = [r for r in results["grpc"]["results"] if r["threads"] == 2]
    stats = results["stats"]
    return {
        "rows": results["import"]["rows"],
        "dim": stats["dim"],
        "queries": len(hits),
        "seconds": results["import"]["indexed_seconds"],
        "recall": results["recall"]["recall"],
        "accepted": results["import"]["accepted_rows_per_s"],
        "indexed": results["import"]["indexed_rows_per_s"],
        "qps": two[0]["qps"],
        "embedded_us": results["embedded"]["results"][0]["p50_us"],
        "bytes": stats["memory_bytes"] / stats["count"],
        "rss": results["process"]["rss_kib"] * 1024,
        "agree": agree / len(hits),
    }


def print_table(results, f):
    def line(name, text):
        print(f"  {name:<34}{text:>34}")
    print()
    line("images", f"{f['rows']:,} x {f['dim']} bytes")
    line("accepted", f"{f['accepted']:,.0f} rows/s")
    line("indexed", f"{f['indexed']:,.0f} rows/s")
    line("recall@10", f"{f['recall']:.4f}")
    line("memory", f"{f['bytes']:,.0f} bytes a vector, RSS {f['rss'] / 2**20:,.0f} MiB")
    line("nearest image of the same kind", f"{f['agree'] * 100:.1f} %")
    print(f"\n  {'':<10}{'threads':>8}{'in flight':>11}{'queries/s':>12}{'p50 us':>12}{'p99 us':>12}")
    for name, r in report_page.bench_rows(results):
        print(f"  {name:<10}{r['threads']:>8}{r['in_flight']:>11}{r['qps']:>12,.0f}"
              f"{r['p50_us']:>12,.1f}{r['p99_us']:>12,.1f}")
    print()


def choose(results, test_labels, train, test, size, train_labels):
    """Two queries of each kind, in the order of the kinds: the gallery takes the first of each, with one
    of the harder ones (a neighbour of another kind) where there is one."""
    easy, hard = {}, {}
    for hit in results["hits"]:
        label = test_labels[hit["query"]]
        ids = [h["id"] for h in hit["hits"][:NEIGHBOURS]]
        mixed = any(train_labels[i] != label for i in ids)
        (hard if mixed else easy).setdefault(label, (hit["query"], ids))
    rows = []
    for label in range(10):
        pick = (hard if label % 3 == 2 else easy).get(label) or easy.get(label) or hard.get(label)
        if pick is None:
            continue
        query, ids = pick
        rows.append((test[query * size:(query + 1) * size], label,
                     [(train[i * size:(i + 1) * size], train_labels[i]) for i in ids]))
    return rows


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    results = load(out)
    train, size = read_idx(data / "train-images-idx3-ubyte.gz")
    test, _ = read_idx(data / "t10k-images-idx3-ubyte.gz")
    train_labels, _ = read_idx(data / "train-labels-idx1-ubyte.gz")
    test_labels, _ = read_idx(data / "t10k-labels-idx1-ubyte.gz")
    check_exact(results)
    f = figures(results, train_labels, test_labels)
    rows = choose(results, test_labels, train, test, size, train_labels)
    (out / "contact.png").write_bytes(report_png.contact_sheet(rows))
    (out / "report.html").write_text(report_page.page(results, f, rows), encoding="utf-8")
    print_table(results, f)
    print(f"  report: {out / 'report.html'}, contact sheet: {out / 'contact.png'}\n")
    print(f"demo: recall@10={f['recall']:.4f} qps={f['qps']:.0f} rows_per_s={f['indexed']:.0f}")


if __name__ == "__main__":
    main()
