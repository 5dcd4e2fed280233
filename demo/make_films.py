#!/usr/bin/env python3
"""make_films.py - regenerates demo/films: some thousand films with their texts, metadata and vectors.

Usage: make_films.py DATA [OUT] [--films N]

DATA holds base.jsonl.gz and base.fvecs.gz (one JSON object and one float vector a film, in the same
order); OUT is the folder to write (default: films/ beside this script). The films are taken evenly over
the years, and of a year those with the longest extracts. Vectors are stored as int8, each scaled so that
its largest component is 127, which cosine similarity does not notice. The result is the same byte for
byte on every run.

Needs numpy, for this script only: the demo itself runs without it.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import gzip
import io
import json
import pathlib
import struct
import sys

import numpy

from make_data import write_gzip

FIELDS = ("title", "year", "genres", "cast", "text")


def read_films(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_fvecs(path):
    raw = gzip.open(path, "rb").read()
    dim = struct.unpack("<i", raw[:4])[0]
    rows = numpy.frombuffer(raw, "<i4").reshape(-1, dim + 1)
    if (rows[:, 0] != dim).any():
        sys.exit(f"{path}: rows of different dimensions")
    return rows[:, 1:].view("<f4")


def choose(films, count):
    """Positions of the films to keep, in their order."""
    years = {}
    for position, film in enumerate(films):
        years.setdefault(film["year"], []).append(position)
    chosen = []
    for year in sorted(years):
        share = round(count * len(years[year]) / len(films))
        longest = sorted(years[year], key=lambda p: (-len(films[p]["text"]), p))
        chosen += longest[:share]
    return sorted(chosen)


def as_int8(vectors):
    largest = numpy.abs(vectors).max(axis=1, keepdims=True)
    return numpy.rint(vectors / numpy.where(largest == 0, 1, largest) * 127).astype(numpy.int8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, nargs="?",
                        default=pathlib.Path(__file__).resolve().parent / "films")
    parser.add_argument("--films", type=int, default=4000)
    options = parser.parse_args()
    films = read_films(options.data / "base.jsonl.gz")
    vectors = read_fvecs(options.data / "base.fvecs.gz")
    if len(films) != len(vectors):
        sys.exit(f"{len(films)} films, {len(vectors)} vectors")
    chosen = choose(films, options.films)
    lines = []
    for position in chosen:
        film = {"id": position, **{name: films[position][name] for name in FIELDS}}
        lines.append(json.dumps(film, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_gzip(options.out / "films.jsonl.gz", "".join(lines).encode())
    block = io.BytesIO()
    numpy.lib.format.write_array(block, as_int8(vectors[chosen]), version=(1, 0))
    write_gzip(options.out / "films.i8.npy.gz", block.getvalue())
    print(f"{len(chosen)} films")


if __name__ == "__main__":
    main()
