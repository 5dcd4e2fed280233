"""The synthetic sets of the benchmark: fixed formulas and seeds, the same bytes on every machine with the
same NumPy generator (PCG64).

lowdim-1m      1,000,000 x 128: 28 latent Gaussian factors through one tanh layer, plus small noise: a smooth
               sheet of low intrinsic dimension, as learned embeddings are.
clustered-1m   1,000,000 x 128: 1,000 Gaussian clusters in 36 latent dimensions whose spread exceeds the
               distance between neighbouring centres (heavy overlap), mapped linearly, plus small noise.

Queries come from the same distributions and are no base rows. Ground truth is exact: float32 matrix products
to find candidates, float64 distances to order them.
SPDX-License-Identifier: Apache-2.0
"""
import os
import sys

import numpy as np

DIM = 128
QUERIES = 2000
TRUTH = 100


def _lowdim(rows, seed):
    model = np.random.Generator(np.random.PCG64(1001))
    first = model.standard_normal((28, 64), dtype=np.float32) / 5.0
    second = model.standard_normal((64, DIM), dtype=np.float32) / 8.0
    rng = np.random.Generator(np.random.PCG64(seed))
    out = np.empty((rows, DIM), dtype=np.float32)
    for at in range(0, rows, 100000):
        n = min(100000, rows - at)
        latent = rng.standard_normal((n, 28), dtype=np.float32)
        noise = rng.standard_normal((n, DIM), dtype=np.float32)
        out[at:at + n] = np.tanh(1.2 * latent @ first) @ second + 0.02 * noise
    return out


def _clustered(rows, seed):
    model = np.random.Generator(np.random.PCG64(2002))
    centers = model.standard_normal((1000, 36), dtype=np.float32)
    mapping = model.standard_normal((36, DIM), dtype=np.float32) / np.sqrt(np.float32(36))
    rng = np.random.Generator(np.random.PCG64(seed))
    out = np.empty((rows, DIM), dtype=np.float32)
    for at in range(0, rows, 100000):
        n = min(100000, rows - at)
        cluster = rng.integers(0, 1000, n)
        latent = centers[cluster] + 1.1 * rng.standard_normal((n, 36), dtype=np.float32)
        noise = rng.standard_normal((n, DIM), dtype=np.float32)
        out[at:at + n] = latent @ mapping + 0.05 * noise
    return out


SYNTHETIC = {"lowdim-1m": (_lowdim, 1000000), "clustered-1m": (_clustered, 1000000)}


def exact_neighbors(base, queries, k=TRUTH, metric="l2"):
    """ids and float64 distances (squared L2, 1 - cos or -ip) of the k nearest rows of each query."""
    ids = np.empty((len(queries), k), dtype=np.int32)
    distances = np.empty((len(queries), k), dtype=np.float64)
    norms = (base.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)
    for at in range(0, len(queries), 50):
        part = queries[at:at + 50]
        rough = norms[None, :] - 2.0 * (part @ base.T) if metric == "l2" else -(part @ base.T)
        near = np.argpartition(rough, k + 28, axis=1)[:, :k + 28]
        for i, row in enumerate(near):
            query = part[i].astype(np.float64)
            rows = base[row].astype(np.float64)
            exact = ((rows - query) ** 2).sum(axis=1) if metric == "l2" else -(rows @ query)
            order = np.lexsort((row, exact))[:k]
            ids[at + i] = row[order]
            distances[at + i] = exact[order]
    return ids, distances


def write_set(name, folder):
    """Writes base.bin, query.bin (u32 rows, u32 dim, then f32) and gt.bin (i32 ids) once."""
    make, rows = SYNTHETIC[name]
    target = os.path.join(folder, name)
    os.makedirs(target, exist_ok=True)
    if os.path.exists(os.path.join(target, "gt.bin")):
        return target
    base, queries = make(rows, 7), make(QUERIES, 8)
    truth, _ = exact_neighbors(base, queries)
    for file, data in (("base.bin", base), ("query.bin", queries), ("gt.bin", truth)):
        with open(os.path.join(target, file + ".tmp"), "wb") as out:
            np.array(data.shape, dtype=np.uint32).tofile(out)
            data.tofile(out)
        os.replace(os.path.join(target, file + ".tmp"), os.path.join(target, file))
    return target


if __name__ == "__main__":
    for wanted in sys.argv[2:] or SYNTHETIC:
        print(write_set(wanted, sys.argv[1]))
