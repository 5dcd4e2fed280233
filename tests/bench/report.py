#!/usr/bin/env python3
"""report.py OUT - RESULTS.md and plots from OUT/results.json and OUT/extras.json.

QPS at a recall is read off the Pareto front of a curve: log QPS is interpolated over recall. A curve that
begins above the recall gives the QPS of its first value, marked ">="; one that ends below it says so.
SPDX-License-Identifier: Apache-2.0
"""
import json
import math
import os
import sys

TARGETS = (0.95, 0.99)
INT8 = ("faiss-hnsw-sq8", "usearch-i8", "usearch-i8+rerank", "vsag-hgraph-sq8")
ORDER = ("omen", "hnswlib", "faiss-hnsw", "faiss-hnsw-sq8", "usearch-f32", "usearch-i8",
         "usearch-i8+rerank", "vsag-hgraph-sq8", "vsag-hgraph-sq4")


def pareto(points):
    """The (recall, qps) that nothing beats in both, by rising recall."""
    front = []
    for recall, qps in sorted(points, reverse=True):
        if not front or qps > front[-1][1]:
            front.append((recall, qps))
    return front[::-1]


def qps_at(points, recall):
    """(QPS, how): how is "", ">=" (the curve begins above) or the best recall as a text (not reached)."""
    front = pareto(points)
    if not front or front[-1][0] < recall:
        return None, "ends at %.3f" % (front[-1][0] if front else 0)
    if front[0][0] >= recall:
        return front[0][1], ">=" if front[0][0] > recall else ""
    for (r0, q0), (r1, q1) in zip(front, front[1:]):
        if r0 <= recall <= r1:
            share = (recall - r0) / (r1 - r0)
            return math.exp(math.log(q0) + share * (math.log(q1) - math.log(q0))), ""
    raise AssertionError("a front without gaps")


class Curves:
    """The rows of one set."""

    def __init__(self, rows):
        self.rows = rows
        self.systems = [name for name in ORDER if any(row["system"] == name for row in rows)]

    def points(self, system, threads):
        return [(row["recall"], row["qps"]) for row in self.rows
                if row["system"] == system and row["threads"] == threads]

    def build(self, system, threads):
        return next((row["build_rows_per_s"] for row in self.rows
                     if row["system"] == system and row["threads"] == threads), None)

    def size(self, system):
        return next((row["bytes_per_row"] for row in self.rows if row["system"] == system), None)

    def best_int8(self, threads, recall):
        """The name of the fastest 8-bit peer at a recall, or None."""
        found = [(qps_at(self.points(name, threads), recall)[0], name)
                 for name in self.systems if name in INT8]
        found = [entry for entry in found if entry[0] is not None]
        return max(found)[1] if found else None


def number(value):
    return "-" if value is None else "{:,.0f}".format(value)


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]


def cell_qps(curves, system, threads, recall):
    if not curves.points(system, threads):
        return "-"
    qps, how = qps_at(curves.points(system, threads), recall)
    return how if qps is None else (how + " " + number(qps)).strip()


def systems_table(curves):
    header = ["system", "build rows/s, 1 thread", "2 threads"]
    header += ["QPS @%.2f, %d thr." % (recall, threads) for recall in TARGETS for threads in (1, 2)]
    rows = []
    for name in curves.systems:
        cells = [name, number(curves.build(name, 1)), number(curves.build(name, 2))]
        cells += [cell_qps(curves, name, threads, recall) for recall in TARGETS for threads in (1, 2)]
        rows.append(cells + [number(curves.size(name))])
    return table(header + ["bytes/row"], rows)


def ratio(ours, theirs, recall):
    """Our QPS over theirs at a recall, or at the lowest one above it where both curves have begun."""
    if not ours or not theirs:
        return "-"
    at = max(recall, pareto(ours)[0][0], pareto(theirs)[0][0])
    mine, other = qps_at(ours, at)[0], qps_at(theirs, at)[0]
    if mine is None or other is None:
        return "only one reaches it"
    return "%.2f" % (mine / other) + ("" if at == recall else " at %.3f" % at)


def ratios_table(curves, large):
    rows = []
    for threads in (1, 2):
        ours, theirs = curves.build("omen", threads), curves.build("hnswlib", threads)
        if ours and theirs:
            rows.append(["build, %d threads" % threads, "%.2f" % (ours / theirs), "",
                         ">= %d x hnswlib" % (4 if large else 5)])
    for recall in TARGETS:
        for threads in (1, 2):
            ours, theirs = (curves.points(name, threads) for name in ("omen", "hnswlib"))
            best = curves.best_int8(threads, recall)
            peer = "not run, or none reaches it"
            if best is not None:
                peer = "%s (%s)" % (ratio(ours, curves.points(best, threads), recall), best)
            rows.append(["QPS at recall %.2f, %d threads" % (recall, threads),
                         ratio(ours, theirs, recall), peer, ">= 3 x hnswlib, >= 1.3 x int8"])
    return table(["omen against", "hnswlib", "best int8 peer", "bar"], rows)


def scaling_table(curves, extra):
    scan = extra["scan_bytes_per_s"][1] / extra["scan_bytes_per_s"][0]
    rows = [["two scan processes (%.1f and %.1f GB/s)" % tuple(v / 1e9 for v in extra["scan_bytes_per_s"]),
             "%.2f" % scan, "", ""]]

    def add(what, one, two, bar):
        if one and two:
            rows.append([what, "%.2f" % (two / one), "%.2f" % (two / one / scan), bar])
    for name in ("omen", "hnswlib"):
        bar = ">= 0.95" if name == "omen" else ""
        add(name + ", build", curves.build(name, 1), curves.build(name, 2), bar)
        for recall in TARGETS:
            add("%s, search at %.2f" % (name, recall), qps_at(curves.points(name, 1), recall)[0],
                qps_at(curves.points(name, 2), recall)[0], bar)
    return table(["1 -> 2 threads", "times", "of the scan's", "bar"], rows)


def memory_table(extra):
    rows = []
    reference = extra["memory"].get("hnswlib", {}).get("walked")
    for name in ORDER:
        size = extra["memory"].get(name)
        if size is None:
            continue
        share = "%.2f" % (size["walked"] / reference) if reference else "-"
        rows.append([name, number(size["walked"]), share, number(size["index"])] +
                    [number(size.get(key)) for key in ("rss_anonymous", "rss_file")])
    return table(["bytes a row", "traversal data + overhead", "of hnswlib's", "with full vectors",
                  "resident while serving: anonymous", "of files"], rows)


def recall_section(extras):
    lines = ["## Recall of the defaults", "",
             "recall@10 with default parameters, graph forced; ties count.", ""]
    rows = [[name, number(s["rows"]), s["dim"], "%.4f" % s["defaults"]["recall"],
             "%.0f" % s["defaults"]["distances"], "%.2f %%" % (100 * s["defaults"]["distances"] / s["rows"])]
            for name, s in extras["sets"].items() if "defaults" in s]
    rows += [[s["set"], number(s["rows"]), s.get("dim", "-"), "%.4f" % s["recall"], "%.0f" % s["distances"],
              "%.2f %%" % (100 * s["distances"] / s["rows"])] for s in extras.get("recall", [])]
    return lines + table(["set", "rows", "dim", "recall@10", "distances a query", "of the rows"], rows)


def tables_section(extras, key, title):
    """What service_bench.py and its like have left."""
    found = extras.get(key)
    if not found:
        return []
    lines = ["## %s" % title, "", found["about"], ""]
    for part in found["tables"]:
        lines += table(part["header"], part["rows"])
    return lines


def set_section(name, curves, extra):
    lines = ["## %s" % name, "", "%s rows x %d, %s queries, k = 10%s; %s." % (
        number(extra["rows"]), extra["dim"], number(extra["queries"]),
        ", QUICK: fewer rows or repeats" if extra["quick"] else "", extra["date"]), ""]
    lines += systems_table(curves)
    if "omen" in curves.systems:
        lines += ratios_table(curves, extra["rows"] > 200000)
        lines += scaling_table(curves, extra)
    lines += memory_table(extra)
    lines += ["![1 thread](%s-1.png) ![2 threads](%s-2.png)" % (name, name), ""]
    return lines


def plot(name, threads, curves, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=110)
    for at, system in enumerate(ORDER):
        front = pareto(curves.points(system, threads)) if system in curves.systems else []
        if front:
            axes.plot(*zip(*front), marker="o", markersize=4 if system != "omen" else 6,
                      linewidth=1.2 if system != "omen" else 2.5, color="C%d" % at, label=system)
    axes.set_yscale("log")
    lowest = min(row["recall"] for row in curves.rows)
    axes.set_xlim(max(0.8, lowest - 0.005), 1.001)
    axes.set_xlabel("recall@10")
    axes.set_ylabel("queries a second")
    axes.set_title("%s, %d thread%s" % (name, threads, "" if threads == 1 else "s"))
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=8, loc="best")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def notes():
    """What people wrote down beside the figures: NOTES.md."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "NOTES.md")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [file.read().rstrip()]


def write(out):
    """RESULTS.md and one plot a set and number of threads, in out."""
    with open(os.path.join(out, "results.json"), encoding="utf-8") as file:
        rows = json.load(file)
    with open(os.path.join(out, "extras.json"), encoding="utf-8") as file:
        extras = json.load(file)
    machine = extras["machine"]
    lines = ["# Results of `make bench`", "", "%s, %d cores, Linux %s; %s." % (
        machine["cpu"], machine["cores"], machine["kernel"],
        ", ".join("%s %s" % pair for pair in machine["versions"].items())), "",
        "Medians; in each round all systems take turns. QPS at a recall: log QPS interpolated over recall on "
        "the Pareto front;", "\">=\": the curve begins above that recall. How it is run and measured: README.md.", ""]
    for name, extra in extras["sets"].items():
        curves = Curves([row for row in rows if row["set"] == name])
        lines += set_section(name, curves, extra)
        for threads in (1, 2):
            plot(name, threads, curves, os.path.join(out, "%s-%d.png" % (name, threads)))
    lines += recall_section(extras) + tables_section(extras, "filtered", "Filtered search")
    lines += tables_section(extras, "service", "The service")
    lines += tables_section(extras, "durable", "Databases on disk")
    lines += tables_section(extras, "filter", "Filters")
    lines += tables_section(extras, "text", "Text search") + notes()
    with open(os.path.join(out, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
