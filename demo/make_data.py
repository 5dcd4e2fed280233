#!/usr/bin/env python3
"""make_data.py - regenerates demo/data: the first rows of fashion-mnist with exact ground truth.

Usage: make_data.py DATA [OUT] [--base N] [--queries N] [--k N]

DATA holds the four files of the data set (train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,
t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz) as its authors publish them; OUT is the folder to
write (default: data/ beside this script). The first --base training images become the base, the first
--queries test images the queries. The result is the same byte for byte on every run.

Needs numpy, for this script only: the demo itself runs without it.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import gzip
import pathlib
import struct
import sys
import zlib

import numpy


def read_idx(path, ndim):
    """Returns the u8 array of an idx file with ndim dimensions."""
    raw = gzip.open(path, "rb").read()
    magic = struct.unpack(">I", raw[:4])[0]
    if magic != 0x0800 + ndim:
        sys.exit(f"{path}: not an idx file of {ndim} dimensions (magic {magic:#x})")
    shape = struct.unpack(f">{ndim}I", raw[4 : 4 + 4 * ndim])
    return numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * ndim).reshape(shape)


def write_gzip(path, data):
    """Writes a gzip file without a name or a time, so that equal data gives equal files."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    body = deflate.compress(data) + deflate.flush()
    tail = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + body + tail)
    print(f"{path.name}: {path.stat().st_size} bytes")


def write_idx(path, array):
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    write_gzip(path, header + array.tobytes())


def write_ivecs(path, array):
    rows = numpy.empty((array.shape[0], array.shape[1] + 1), "<i4")
    rows[:, 0] = array.shape[1]
    rows[:, 1:] = array
    write_gzip(path, rows.tobytes())


def nearest(base, queries, k):
    """Ids and squared L2 distances of the exact k nearest, ties by lower id. Every value is an integer
    below 2**53, so float64 holds it exactly."""
    b = base.reshape(len(base), -1).astype(numpy.float64)
    q = queries.reshape(len(queries), -1).astype(numpy.float64)
    dist = (q * q).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * (q @ b.T)
    order = numpy.argsort(dist, axis=1, kind="stable")[:, :k]
    return order, numpy.take_along_axis(dist, order, axis=1)


def main():
    parser = argparse.ArgumentParser(description="Regenerates the data of the demo.")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, nargs="?",
                        default=pathlib.Path(__file__).resolve().parent / "data")
    parser.add_argument("--base", type=int, default=10000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=100)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    images = {}
    for part, count in (("train", args.base), ("t10k", args.queries)):
        images[part] = read_idx(args.data / f"{part}-images-idx3-ubyte.gz", 3)[:count]
        labels = read_idx(args.data / f"{part}-labels-idx1-ubyte.gz", 1)[:count]
        write_idx(args.out / f"{part}-images-idx3-ubyte.gz", images[part])
        write_idx(args.out / f"{part}-labels-idx1-ubyte.gz", labels)
    ids, dist = nearest(images["train"], images["t10k"], args.k)
    write_ivecs(args.out / "groundtruth.ivecs.gz", ids)
    write_ivecs(args.out / "sqdist.ivecs.gz", dist)


if __name__ == "__main__":
    main()
