"""The sets of the benchmark, as float32 rows with exact neighbours, and recall against these.

Recall counts ties as ann-benchmarks does: a row as near as the k-th true neighbour is as good as it.
SPDX-License-Identifier: Apache-2.0
"""
import gzip
import os

import numpy as np

import datasets

K = 10
NAMES = ("fashion-mnist", "lowdim-1m", "clustered-1m")
QUICK_ROWS = 100000
FASHION = "fashion-mnist-784-euclidean"


class Set:
    """base and queries (float32, C order), and the distance of each query's k-th true neighbour."""

    def __init__(self, name, base, queries, truth):
        self.name = name
        self.base = np.ascontiguousarray(base, dtype=np.float32)
        self.queries = np.ascontiguousarray(queries, dtype=np.float32)
        self.kth = self.distances(truth[:, :K]).max(axis=1)
        self.truth = truth

    def distances(self, ids):
        """Squared L2 distances, float64, of rows of ids; infinite where an id is no row."""
        out = np.empty(ids.shape, dtype=np.float64)
        for at in range(0, len(ids), 256):
            part = ids[at:at + 256].astype(np.int64)
            valid = (part >= 0) & (part < len(self.base))
            rows = self.base[np.where(valid, part, 0)].astype(np.float64)
            rows -= self.queries[at:at + 256, None, :]
            out[at:at + 256] = np.where(valid, np.einsum("qkd,qkd->qk", rows, rows), np.inf)
        return out

    def recall(self, ids):
        """Mean recall@k of found ids; an id found twice counts once."""
        ordered = np.sort(ids[:, :K].astype(np.int64), axis=1)
        unique = np.ones(ordered.shape, dtype=bool)
        unique[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        limit = self.kth[:, None] * (1 + 1e-9)
        near = self.distances(ordered) <= limit
        return float((near & unique).sum(axis=1).mean() / K)


def _read_idx(path):
    with gzip.open(path, "rb") as file:
        data = file.read()
    rows = int.from_bytes(data[4:8], "big")
    return np.frombuffer(data, dtype=np.uint8, offset=16).reshape(rows, -1)


def _read_ivecs(path):
    with gzip.open(path, "rb") as file:
        data = np.frombuffer(file.read(), dtype=np.int32)
    return data.reshape(-1, data[0] + 1)[:, 1:]


def fashion_folder(data, bundled):
    """The folder of the images: DATA itself, a folder in it, or the bundled part."""
    for folder in (data, os.path.join(data, FASHION)) if data else ():
        if os.path.exists(os.path.join(folder, "train-images-idx3-ubyte.gz")):
            return folder
    if data:
        raise SystemExit("bench: no train-images-idx3-ubyte.gz in %s or its %s" % (data, FASHION))
    return bundled


def _load_fashion(folder):
    base = _read_idx(os.path.join(folder, "train-images-idx3-ubyte.gz"))
    queries = _read_idx(os.path.join(folder, "t10k-images-idx3-ubyte.gz"))
    truth = _read_ivecs(os.path.join(folder, "groundtruth.ivecs.gz"))
    name = "fashion-mnist-784" if len(base) == 60000 else "fashion-mnist-%dk" % (len(base) // 1000)
    return Set(name, base, queries[:len(truth)], truth)


def _read_matrix(path, dtype):
    with open(path, "rb") as file:
        rows, dim = np.fromfile(file, dtype=np.uint32, count=2)
        return np.fromfile(file, dtype=dtype).reshape(rows, dim)


def _load_synthetic(name, cache, rows):
    make, whole = datasets.SYNTHETIC[name]
    if rows < whole:
        base, queries = make(rows, 7), make(datasets.QUERIES, 8)
        truth, _ = datasets.exact_neighbors(base, queries)
        return Set(name.replace("1m", "%dk" % (rows // 1000)), base, queries, truth)
    folder = datasets.write_set(name, cache)
    files = (("base.bin", np.float32), ("query.bin", np.float32), ("gt.bin", np.int32))
    return Set(name, *[_read_matrix(os.path.join(folder, file), t) for file, t in files])


def load(name, data, bundled, cache, quick):
    """A set by its name; quick takes fewer rows of the synthetic ones and fewer queries."""
    if name == "fashion-mnist":
        made = _load_fashion(fashion_folder(data, bundled))
    else:
        made = _load_synthetic(name, cache, QUICK_ROWS if quick else datasets.SYNTHETIC[name][1])
    if quick:
        return Set(made.name, made.base, made.queries[:2000], made.truth[:2000])
    return made
