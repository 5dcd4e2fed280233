"""The systems that are measured, behind one interface: build, search, size.

Every system gets the same float32 rows and is called with NumPy batches. SPDX-License-Identifier: Apache-2.0
"""
import ctypes
import json
import os
import time

import numpy as np

ADD_ROWS = 10000


class System:
    """name, params (text), int8 (codes of 8 bits or fewer), build_threads per size of the set."""

    name = params = ""
    int8 = optional = False
    both_builds_large = False  # build with 1 and 2 threads also on large sets
    search_threads = (1, 2)

    def __init__(self):
        self.index = None

    def build(self, base, threads):
        """Builds a new index of all rows and returns the seconds it took."""
        raise NotImplementedError

    def search(self, queries, k, ef, threads):
        """ids, a row for each query."""
        raise NotImplementedError

    def bytes_per_row(self):
        """Of the index in memory while it serves: (traversal data and overhead, all); or None."""
        return None

    def save(self, path):
        raise NotImplementedError


class Omen(System):
    name, params, int8 = "omen", "defaults", True
    both_builds_large = True

    def build(self, base, threads):
        from omen import Index
        self.index = None
        begin = time.perf_counter()
        index = Index(base.shape[1], threads=threads)
        keys = np.arange(len(base), dtype=np.uint64)
        for at in range(0, len(base), ADD_ROWS):
            index.add(base[at:at + ADD_ROWS], keys[at:at + ADD_ROWS])
        index.wait()
        elapsed = time.perf_counter() - begin
        self.index = index
        return elapsed

    def search(self, queries, k, ef, threads):
        found = self.index.search(queries, k, ef=ef, threads=threads, graph_only=True)
        return np.asarray(found.keys).astype(np.int64)

    def distances_a_query(self, queries, k, ef):
        before = self.index.stats()["distances"]
        self.search(queries, k, ef, 1)
        return (self.index.stats()["distances"] - before) / len(queries)

    def bytes_per_row(self):
        s = self.index.stats()
        walked = s["bytes_codes"] + s["bytes_links"] + s["bytes_ids"]
        return walked / s["rows"], (walked + s["bytes_vectors"]) / s["rows"]

    def save(self, path):
        self.index.save(path)


class Hnswlib(System):
    name, params = "hnswlib", "M=16 ef_construction=200"
    both_builds_large = True

    def build(self, base, threads):
        import hnswlib
        self.index = None
        begin = time.perf_counter()
        index = hnswlib.Index(space="l2", dim=base.shape[1])
        index.init_index(max_elements=len(base), M=16, ef_construction=200)
        index.set_num_threads(threads)
        index.add_items(base, np.arange(len(base)), num_threads=threads)
        elapsed = time.perf_counter() - begin
        self.index = index
        return elapsed

    def search(self, queries, k, ef, threads):
        self.index.set_ef(ef)
        return self.index.knn_query(queries, k, num_threads=threads)[0].astype(np.int64)

    def bytes_per_row(self):
        whole = self.index.index_file_size() / self.index.get_current_count()
        return whole, whole

    def save(self, path):
        self.index.save_index(path)


class FaissHnsw(System):
    name, params = "faiss-hnsw", "M=16 efConstruction=200"

    def _make(self, faiss, dim):
        return faiss.IndexHNSWFlat(dim, 16)

    def build(self, base, threads):
        import faiss
        self.index = None
        faiss.omp_set_num_threads(threads)
        begin = time.perf_counter()
        index = self._make(faiss, base.shape[1])
        index.hnsw.efConstruction = 200
        if not index.is_trained:
            index.train(base)
        index.add(base)
        elapsed = time.perf_counter() - begin
        self.index = index
        return elapsed

    def search(self, queries, k, ef, threads):
        import faiss
        faiss.omp_set_num_threads(threads)
        self.index.hnsw.efSearch = ef
        return self.index.search(queries, k)[1]

    def bytes_per_row(self):
        hnsw, rows = self.index.hnsw, self.index.ntotal
        links = hnsw.neighbors.size() * 4 + hnsw.offsets.size() * 8 + hnsw.levels.size() * 4
        whole = (links + self.index.storage.sa_code_size() * rows) / rows
        return whole, whole


class FaissSq8(FaissHnsw):
    name, params, int8 = "faiss-hnsw-sq8", "QT_8bit M=16 efConstruction=200", True

    def _make(self, faiss, dim):
        return faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, 16)


class Usearch(System):
    name, params, dtype = "usearch-f32", "connectivity=16 expansion_add=200", "f32"

    def _rows(self, data):
        return data

    def _fit(self, base):
        pass

    def build(self, base, threads):
        from usearch.index import Index
        self.index = None
        begin = time.perf_counter()
        self._fit(base)
        index = Index(ndim=base.shape[1], metric="l2sq", dtype=self.dtype, connectivity=16,
                      expansion_add=200, enable_key_lookups=False)
        index.add(np.arange(len(base)), self._rows(base), threads=threads)
        elapsed = time.perf_counter() - begin
        self.index = index
        return elapsed

    def search(self, queries, k, ef, threads):
        self.index.expansion_search = ef
        found = self.index.search(self._rows(queries), k, threads=threads)
        return np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)

    def bytes_per_row(self):
        whole = self.index.memory_usage / len(self.index)
        return whole, whole


class UsearchI8(Usearch):
    """usearch's own cast from f32 to i8 scales every vector to unit length, which L2 does not survive: so
    the rows are centred and scaled into -127 .. 127 here, with one scale, before they go in."""

    name, params, dtype, int8 = "usearch-i8", "connectivity=16 expansion_add=200", "i8", True

    def _fit(self, base):
        sample = base[:: max(1, len(base) // 20000)]
        low, high = np.quantile(sample, (0.0005, 0.9995))
        whole = bool((sample == np.rint(sample)).all() and high - low <= 255 and sample.min() >= 0)
        self.center = np.float32(128 if whole else (low + high) / 2)
        self.scale = np.float32(1 if whole else 127 / ((high - low) / 2))

    def _rows(self, data):
        out = np.empty(data.shape, dtype=np.int8)
        for at in range(0, len(data), 65536):
            part = np.rint((data[at:at + 65536] - self.center) * self.scale)
            out[at:at + 65536] = np.clip(part, -128, 127).astype(np.int8)
        return out


class UsearchI8Rerank(System):
    """The index of usearch-i8, asked for 2 k, and these ordered again by float32 in NumPy."""

    name, params, int8 = "usearch-i8+rerank", "20 of i8 ordered by f32 in NumPy", True

    def __init__(self, of):
        super().__init__()
        self.of, self.base = of, None

    def build(self, base, threads):
        self.base = base
        return None

    def search(self, queries, k, ef, threads):
        found = self.of.search(queries, 2 * k, max(ef, 2 * k), threads)
        out = np.empty((len(queries), k), dtype=np.int64)
        for at in range(0, len(queries), 500):
            ids = found[at:at + 500]
            gap = self.base[ids] - queries[at:at + 500, None, :]
            order = np.argsort(np.einsum("qkd,qkd->qk", gap, gap), axis=1)[:, :k]
            out[at:at + 500] = np.take_along_axis(ids, order, axis=1)
        return out


class Vsag(System):
    """VSAG's HGraph with 8-bit codes and exact rerank; one query a call is all its binding has."""

    name, params, int8 = "vsag-hgraph-sq8", "max_degree=32 ef_construction=200, one call a query", True
    optional = True
    search_threads = (1,)
    quantization = "sq8_uniform"

    def build(self, base, threads):
        import pyvsag
        self.index = None
        about = {"dtype": "float32", "metric_type": "l2", "dim": base.shape[1],
                 "index_param": {"base_quantization_type": self.quantization, "max_degree": 32,
                                 "ef_construction": 200, "use_reorder": True,
                                 "precise_quantization_type": "fp32", "build_thread_count": threads}}
        begin = time.perf_counter()
        index = pyvsag.Index("hgraph", json.dumps(about))
        index.build(base.reshape(-1), np.arange(len(base), dtype=np.int64), len(base), base.shape[1])
        elapsed = time.perf_counter() - begin
        self.index = index
        return elapsed

    def search(self, queries, k, ef, threads):
        params = json.dumps({"hgraph": {"ef_search": ef}})
        out = np.full((len(queries), k), -1, dtype=np.int64)
        knn = self.index.knn_search
        for row, query in zip(out, queries):
            ids = knn(vector=query, k=k, parameters=params)[0]
            row[:len(ids)] = ids
        return out


class Vsag4(Vsag):
    name, quantization = "vsag-hgraph-sq4", "sq4_uniform"


def load_library(build):
    """Makes `import omen` find the library of this build."""
    os.environ["OMENDB_LIBRARY"] = os.path.join(build, "lib", "libomendb.so")
    ctypes.CDLL(os.environ["OMENDB_LIBRARY"])


def choose(wanted, large):
    """The systems, those that are not installed but optional left out. A required one must be there."""
    i8 = UsearchI8()
    every = [Omen(), Hnswlib(), FaissHnsw(), FaissSq8(), Usearch(), i8, UsearchI8Rerank(i8), Vsag(),
             Vsag4()]
    modules = {"hnswlib": "hnswlib", "faiss": "faiss", "usearch": "usearch.index", "vsag": "pyvsag"}
    chosen = []
    for system in every:
        if wanted and system.name not in wanted:
            continue
        if system.optional and large and not wanted:
            print("bench: %s is measured on the small set only" % system.name, flush=True)
            continue
        module = modules.get(system.name.split("-")[0])
        try:
            if module:
                __import__(module)
        except ImportError as error:
            if not system.optional:
                raise SystemExit("bench: the peer %s is missing: %s" % (system.name, error))
            print("bench: %s is left out: %s" % (system.name, error), flush=True)
            continue
        chosen.append(system)
    return chosen
