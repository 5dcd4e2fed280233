#!/usr/bin/env python3
"""filtered_bench.py - searches of which only a share of the rows passes: OmenDB beside its peers, at equal recall.

The rows are fashion-mnist with one more number each, u = (id * 40503) mod 65536, which has nothing to do with the
vector; the filter is u < limit. Every system compiles its filter from these numbers, and the clock runs meanwhile:
once for all queries, and in a second measurement for every query anew. One thread, k = 10. Of every system the
smallest ef counts that reaches recall 0.95 (exact neighbours among the passing rows are computed here), or its
exact scan. Leaves tables under "filtered" in OUT/extras.json. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import glob
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

import numpy as np

import bench
import report
import sets

K = sets.K
SHARES = (0.001, 0.01, 0.1, 0.5, 0.9)
EFS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 900, 1280, 1800, 2560)
TARGET = 0.95
START = time.monotonic()


def say(text):
    print("bench: %5.0f s  filtered: %s" % (time.monotonic() - START, text), flush=True)


class Program:
    """filtered_bench or hnsw_filter_bench: a process that answers lines with seconds."""

    def __init__(self, name, command, folder):
        self.name, self.folder = name, folder
        self.child = subprocess.Popen(command + [folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)

    def ready(self):
        say("%s: %s" % (self.name, self._line()))

    def _line(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit("bench: %s ended" % self.name)
        return line.strip()

    def search(self, limit, ef, anew):
        self.child.stdin.write("%d %d %d\n" % (limit, ef, anew))
        self.child.stdin.flush()
        seconds, *self.plans = self._line().split()
        ids = np.fromfile(os.path.join(self.folder, self.name.split()[0] + ".ids"), dtype=np.int32)
        return float(seconds), ids.reshape(-1, K)

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Omen(Program):
    efs = EFS


class HnswlibFlat:
    """BruteforceSearch, with the same functor, in the process of the graph."""

    name, efs = "hnswlib brute force", (0,)

    def __init__(self, of):
        self.of = of

    def search(self, limit, ef, anew):
        return self.of.search(limit, 0, anew)


class Faiss:
    """An index of faiss with IDSelectorBitmap."""

    def __init__(self, name, index, params, efs, made, values):
        self.name, self.index, self.params, self.efs = name, index, params, efs
        self.queries, self.values = made.queries, values

    def _selector(self, limit):
        import faiss
        bits = np.packbits(self.values < limit, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(self.values), faiss.swig_ptr(bits))
        selector.bits_kept = bits  # alive as long as the selector
        return selector

    def search(self, limit, ef, anew):
        import faiss
        faiss.omp_set_num_threads(1)
        begin = time.perf_counter()
        if limit and anew:
            found = [self.index.search(q[None, :], K, params=self.params(ef, self._selector(limit)))[1]
                     for q in self.queries]
            return time.perf_counter() - begin, np.concatenate(found)
        selector = self._selector(limit) if limit else None
        found = self.index.search(self.queries, K, params=self.params(ef, selector))[1]
        return time.perf_counter() - begin, found


def faiss_systems(made, values):
    import faiss

    def hnsw(ef, selector):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=ef)

    def flat(_, selector):
        return faiss.SearchParameters(sel=selector)

    def ivf(nprobe, selector):
        return faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)

    faiss.omp_set_num_threads(2)
    dim = made.base.shape[1]
    lists = int(4 * len(made.base) ** 0.5)
    kinds = (("faiss HNSW", faiss.IndexHNSWFlat(dim, 16), hnsw, EFS),
             ("faiss HNSW-SQ8", faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, 16), hnsw, EFS),
             ("faiss flat", faiss.IndexFlatL2(dim), flat, (0,)),
             ("faiss IVF", faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, lists), ivf,
              (1, 2, 4, 8, 16, 32, 64, 128)))
    out = []
    for name, index, params, efs in kinds:
        if hasattr(index, "hnsw"):
            index.hnsw.efConstruction = 200
        begin = time.perf_counter()
        index.train(made.base)
        index.add(made.base)
        say("%s: ready %.3f" % (name, time.perf_counter() - begin))
        out.append(Faiss(name, index, params, efs, made, values))
    return out


class Lancedb:
    """A table of lancedb with IVF_HNSW_SQ and a scalar index on u; the filter is its own SQL, before the search."""

    name, efs = "lancedb", EFS[2:]  # ef >= refine_factor * k

    def __init__(self, made, values, folder):
        # It takes a loaded module `datasets` for a package of that name; ours stays in use without the name.
        sys.modules.pop("datasets", None)
        import lancedb
        import pyarrow
        vectors = pyarrow.FixedSizeListArray.from_arrays(made.base.reshape(-1), made.base.shape[1])
        data = pyarrow.table({"id": np.arange(len(values)), "u": values.astype(np.int64), "vector": vectors})
        self.queries = made.queries
        self.table = lancedb.connect(os.path.join(folder, "lancedb")).create_table("t", data)
        begin = time.perf_counter()
        self.table.create_index(metric="l2", index_type="IVF_HNSW_SQ", num_partitions=1, m=16,
                                ef_construction=200)
        self.table.create_scalar_index("u")
        say("%s: ready %.3f" % (self.name, time.perf_counter() - begin))

    def search(self, limit, ef, anew):
        out = np.full((len(self.queries), K), -1, dtype=np.int64)
        begin = time.perf_counter()
        for row, query in zip(out, self.queries):
            search = self.table.search(query).limit(K).nprobes(1).ef(ef).refine_factor(2).select(["id", "_distance"])
            if limit:
                search = search.where("u < %d" % limit, prefilter=True)
            ids = search.to_arrow()["id"].to_numpy()
            row[:len(ids)] = ids
        return time.perf_counter() - begin, out


class Zvec:
    """A collection of zvec with HNSW and an inverted index on u."""

    name, efs = "zvec", EFS

    def __init__(self, made, values, folder):
        import zvec
        self.zvec, self.queries = zvec, made.queries
        zvec.init(query_threads=1, log_level=zvec.LogLevel.ERROR)
        schema = zvec.CollectionSchema(
            name="t",
            fields=[zvec.FieldSchema("u", zvec.DataType.INT64, nullable=False,
                                     index_param=zvec.InvertIndexParam(enable_range_optimization=True))],
            vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, dimension=made.base.shape[1],
                                      index_param=zvec.HnswIndexParam(metric_type=zvec.MetricType.L2, m=16,
                                                                      ef_construction=200)))
        self.collection = zvec.create_and_open(path=os.path.join(folder, "zvec"), schema=schema)
        begin = time.perf_counter()
        for at in range(0, len(values), 1000):
            self.collection.insert([zvec.Doc(id=str(i), vectors={"v": made.base[i].tolist()},
                                             fields={"u": int(values[i])})
                                    for i in range(at, min(at + 1000, len(values)))])
        self.collection.optimize()
        say("%s: ready %.3f" % (self.name, time.perf_counter() - begin))

    def search(self, limit, ef, anew):
        out = np.full((len(self.queries), K), -1, dtype=np.int64)
        param = self.zvec.HnswQueryParam(ef=ef)
        begin = time.perf_counter()
        for row, query in zip(out, self.queries):
            found = self.collection.query(
                self.zvec.VectorQuery("v", vector=query, param=param), topk=K,
                filter="u < %d" % limit if limit else None, output_fields=[])
            ids = [int(doc.id) for doc in found]
            row[:len(ids)] = ids
        return time.perf_counter() - begin, out


def hnswlib_program(out):
    """Compiles hnsw_filter_bench.cpp against the headers of the source distribution; None where that fails."""
    here = os.path.dirname(os.path.abspath(__file__))
    target = os.path.join(out, "hnsw_filter_bench")
    source = os.path.join(here, "hnsw_filter_bench.cpp")
    if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(source):
        return target
    folder = os.path.join(out, "hnswlib-headers")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(here, "requirements.txt"), encoding="utf-8") as file:
        wanted = [line.strip() for line in file if line.startswith("hnswlib")]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                    "--no-binary", "hnswlib", "-d", folder] + wanted, check=True)
    with tarfile.open(glob.glob(os.path.join(folder, "*.tar.gz"))[0]) as archive:
        archive.extractall(folder, filter="data")
    header = glob.glob(os.path.join(folder, "*", "hnswlib", "hnswlib.h"))[0]
    subprocess.run(["c++", "-O3", "-march=native", "-ffast-math", "-std=c++17", "-I",
                    os.path.dirname(os.path.dirname(header)), source, "-o", target], check=True)
    return target


def truth_of(made, values, limit):
    """The set with the exact K nearest among the passing rows, -1 where there are fewer."""
    rows = np.flatnonzero(values < limit) if limit else np.arange(len(values))
    part, truth = made.base[rows], np.full((len(made.queries), K), -1, dtype=np.int64)
    norms = (part.astype(np.float64) ** 2).sum(axis=1)
    for at in range(0, len(made.queries), 100):
        queries = made.queries[at:at + 100]
        rough = norms - 2.0 * (queries @ part.T).astype(np.float64)
        near = np.argsort(rough, axis=1, kind="stable")[:, :K + 20]
        for i, ids in enumerate(near):
            gaps = part[ids].astype(np.float64) - queries[i]
            best = ids[np.argsort((gaps ** 2).sum(axis=1), kind="stable")[:K]]
            truth[at + i, :len(best)] = rows[best]
    return truth


class Filtered(sets.Set):
    """Recall of results that must pass."""

    def __init__(self, made, values, limit):
        truth = truth_of(made, values, limit)
        super().__init__(made.name, made.base, made.queries, truth)
        self.values, self.limit, self.most = values, limit, (truth >= 0).sum(axis=1)
        finite = np.where(truth >= 0, self.distances(truth), -1.0)
        self.kth = finite.max(axis=1)

    def recall(self, ids):
        ids = ids[:, :K].astype(np.int64)
        inside = (ids >= 0) & (ids < len(self.values))
        if self.limit:
            inside &= self.values[np.where(inside, ids, 0)] < self.limit
        ids = np.where(inside, ids, -1)
        ordered = np.sort(ids, axis=1)
        unique = np.ones(ordered.shape, dtype=bool)
        unique[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        near = self.distances(ordered) <= self.kth[:, None] * (1 + 1e-9)
        return float((near & unique).sum() / self.most.sum())


def choose_ef(system, made, limit):
    """(ef, recall): the first that is enough, or the best."""
    best = (system.efs[0], -1.0)
    for ef in system.efs:
        seconds, ids = system.search(limit, ef, 0)
        found = made.recall(ids)
        if found > best[1]:
            best = (ef, found)
        if found >= TARGET or seconds > 60:
            break
    return best


def measure(systems, made, values, share, rounds):
    """Rows of the table of one share: [name, ef, recall, QPS, QPS with a filter for each query]."""
    limit = int(round(share * 65536)) if share < 1 else 0
    exact = Filtered(made, values, limit)
    chosen = {system.name: choose_ef(system, exact, limit) for system in systems}
    times = {}
    for _ in range(rounds):
        for anew in ((0, 1) if limit else (0,)):
            for system in systems:
                seconds, _ = system.search(limit, chosen[system.name][0], anew)
                times.setdefault((system.name, anew), []).append(seconds)
    qps = {key: len(made.queries) / statistics.median(value) for key, value in times.items()}
    plans = {system.name: " ".join(getattr(system, "plans", [])) for system in systems}
    found = []
    for system in systems:
        ef, recall = chosen[system.name]
        found.append({"share": share, "system": system.name, "ef": ef, "recall": recall, "plans": plans[system.name],
                      "qps": qps[system.name, 0], "qps_anew": qps.get((system.name, 1))})
        say("%5.1f %%: %s" % (100 * share, {key: value for key, value in found[-1].items() if key != "share"}))
    return found


def tables(found):
    """A table a share, then the ratios."""
    parts, ratios = [], []
    plain = next(row["qps"] for row in found if row["share"] == 1 and row["system"] == "omen")
    for share in sorted({row["share"] for row in found}):
        rows = [row for row in found if row["share"] == share]
        what = "no filter" if share == 1 else "%g %% pass" % (100 * share)
        parts.append({"header": [what, "ef", "recall", "QPS", "a filter a query", "plans"],
                      "rows": [[row["system"], row["ef"] or "-", "%.4f" % row["recall"], report.number(row["qps"]),
                                report.number(row["qps_anew"]), row["plans"]] for row in rows]})
        peers = [row for row in rows if row["system"] != "omen" and row["recall"] >= TARGET]
        ours = next(row for row in rows if row["system"] == "omen")
        line = [what]
        for key in ("qps", "qps_anew"):
            best = max((row for row in peers if row[key]), key=lambda row: row[key], default=None)
            line.append("%.2f (%s)" % (ours[key] / best[key], best["system"]) if best and ours[key] else "-")
        ratios.append(line + ["%.2f" % (ours["qps"] / plain), ">= 3 x the best peer, >= 0.12 of no filter"])
    parts.append({"header": ["omen against the best peer at recall 0.95", "QPS", "a filter a query",
                             "of no filter", "bar"], "rows": ratios})
    return parts


def open_systems(args, made, values, folder):
    wanted = args.systems.replace(",", " ").split()

    def asked(name):
        return not wanted or name in wanted
    systems = [Omen("omen", [os.path.join(args.build, "bin", "filtered_bench")], folder)]
    systems[0].ready()
    if asked("hnswlib"):
        hnsw = Program("hnswlib", [hnswlib_program(args.out)], folder)
        hnsw.efs = EFS
        hnsw.ready()
        systems += [hnsw, HnswlibFlat(hnsw)]
    if asked("faiss"):
        systems += faiss_systems(made, values)
    for kind in (Lancedb, Zvec):
        try:
            if asked(kind.name):
                systems.append(kind(made, values, folder))
        except ImportError as error:
            say("%s is left out: %s" % (kind.name, error))
    return systems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--systems", default="")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    made = sets.load("fashion-mnist", args.data, os.path.join(here, "..", "..", "demo", "data"),
                     os.path.join(args.out, "sets"), True)
    made.queries = made.queries[:200 if args.quick else 1000]
    values = ((np.arange(len(made.base)) * 40503) % 65536).astype(np.uint32)
    folder = tempfile.mkdtemp(prefix="filtered-", dir=args.out)
    try:
        for name, data in (("base.bin", made.base), ("query.bin", made.queries)):
            with open(os.path.join(folder, name), "wb") as file:
                np.array(data.shape, dtype=np.uint32).tofile(file)
                data.tofile(file)
        values.tofile(os.path.join(folder, "values.bin"))
        systems = open_systems(args, made, values, folder)
        found = []
        for share in SHARES + (1.0,):
            found += measure(systems, made, values, share, 3 if args.quick else 5)
        for system in systems:
            if isinstance(system, Program):
                system.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    path = os.path.join(args.out, "extras.json")
    extras = bench.read_json(path, {"sets": {}})
    extras["machine"] = extras.get("machine") or bench.machine()
    about = ("%s rows x %d, %d queries, k = 10, one thread, one query a call (faiss: all in one call, or one with a "
             "filter of its own); the filter is u < limit on a number of each row and is compiled while the clock "
             "runs. recall is among passing rows." % (report.number(len(made.base)), made.base.shape[1],
                                                     len(made.queries)))
    extras["filtered"] = {"about": about, "tables": tables(found), "rows": found}
    bench.write_json(path, extras)
    if not os.path.exists(os.path.join(args.out, "results.json")):
        bench.write_json(os.path.join(args.out, "results.json"), [])
    report.write(args.out)


if __name__ == "__main__":
    main()
