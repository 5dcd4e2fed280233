#!/usr/bin/env python3
"""read_database.py - reads database directories by core/store/FORMAT.md alone, all but the log.

    read_database.py FOLDER       every folder in it that holds a MANIFEST

It shares no code with the library: where the two disagree, the page or the library is wrong.
SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import struct
import sys

from read_format import check, crc32c, read_container

NAME = re.compile(rb"[a-z0-9][a-z0-9_-]{0,62}")
MOST_ROWS = 2147483646


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


def check_head(data, letters, size):
    check(data[:8] == b"\x89OMEN" + letters + b"\n", "magic number")
    form, header, incompatible, _, _, order = struct.unpack_from("<6I", data, 8)
    check((form, header, incompatible, order) == (1, size, 0, 0x01020304), "head")
    check(struct.unpack_from("<Q", data, 32)[0] == len(data), "file size")
    check(crc32c(data[:size - 4]) == struct.unpack_from("<I", data, size - 4)[0], "header checksum")


def read_collection(data, at, next_segment, next_serial):
    name = data[at:at + 64].rstrip(b"\0")
    serial, count = struct.unpack_from("<2I", data, at + 64)
    contained, _ = struct.unpack_from("<2Q", data, at + 72)
    options = struct.unpack_from("<10I", data, at + 88)
    hint, backlog = struct.unpack_from("<2Q", data, at + 128)
    check(NAME.fullmatch(name), "name")
    check(0 < serial < next_serial and count <= 4096, "serial")
    check(struct.unpack_from("<4I", data, at + 144) == (0, 0, 0, 0), "flags")
    low = (1, 1, 1, 1, 2, 1, 1, 0, 0, 1)
    high = (65535, 3, 4, 3, 64, 16384, 2, 2, 2, 3)
    check(all(a <= value <= b for a, value, b in zip(low, options, high)), "options")
    check(hint <= MOST_ROWS and 1 <= backlog <= MOST_ROWS, "hints")
    at += 160
    segments, before = [], 0
    for _ in range(count):
        ident, size, first, last, deaths = struct.unpack_from("<5Q", data, at)
        crc, rows, live = struct.unpack_from("<3I", data, at + 40)
        check(struct.unpack_from("<3I", data, at + 52) == (0, 0, 0), "reserved")
        check(0 < ident < next_segment and size >= 4120, "segment")
        check(before <= first <= last <= contained and live <= rows <= MOST_ROWS, "lsns, rows")
        segments.append((ident, size, deaths, crc, rows, live))
        before = last
        at += 64
    return name, serial, segments, at


def read_manifest(data, generation):
    check_head(data, b"MF", 128)
    number, checkpoint, durable, next_segment, cursors = struct.unpack_from("<5Q", data, 56)
    next_serial, count, extra = struct.unpack_from("<3I", data, 96)
    check(number == generation and checkpoint <= durable, "generation")
    check(not any(data[108:120]), "reserved")
    check(crc32c(data[128:]) == struct.unpack_from("<I", data, 120)[0], "body checksum")
    at, collections = 128, []
    for _ in range(count):
        name, serial, segments, at = read_collection(data, at, next_segment, next_serial)
        collections.append((name, serial, segments))
    check(at + extra == len(data) and extra == 0, "size")
    check(sorted(c[0] for c in collections) == [c[0] for c in collections], "order")
    check(len({c[1] for c in collections}) == count, "serials")
    ids = [segment[0] for c in collections for segment in c[2]]
    check(len(set(ids)) == len(ids), "ids")
    return collections, cursors, data[40:56]


def read_deaths(data, ident, rows):
    check_head(data, b"DL", 4096)
    segment, count, crc = struct.unpack_from("<QII", data, 40)
    words = data[4096:]
    check((segment, count) == (ident, rows) and len(words) == (rows + 63) // 64 * 8, "shape of deaths")
    check(not any(data[56:4092]) and crc32c(words) == crc, "words of deaths")
    bits = int.from_bytes(words, "little")
    check(bits >> rows == 0, "deaths behind the last row")
    return bin(bits).count("1")


def read_cursors(data):
    check_head(data, b"CU", 64)
    _, streams, requests, crc = struct.unpack_from("<Q3I", data, 40)
    check(crc32c(data[64:]) == crc, "body of cursors")
    at, seen = 64, []
    for kind, count, size in (("stream", streams, 48), ("request", requests, 40)):
        for _ in range(count):
            serial, length = struct.unpack_from("<2I", data, at)
            check(serial and 0 < length <= 128, "id")
            ident = data[at + size:at + size + length]
            room = -(-length // 8) * 8
            check(not any(data[at + size + length:at + size + room]), "padding of an id")
            seen.append((kind, serial, ident))
            at += size + room
    check(at == len(data) and len(set(seen)) == len(seen), "ids of cursors")
    check(sorted(seen[:streams]) == seen[:streams], "order of streams")
    return streams, requests


def read_list(folder, database):
    text = read(folder, "BACKUP")
    check(text[-13:] == b"end %08x\n" % crc32c(text[:-13]), "checksum of the list")
    lines = text[:-13].decode("ascii").split("\n")
    check(lines[0] == "omendb-backup 1" and lines[1] == "database " + database.hex(), "first lines")
    files = lines[5:-1]
    check(lines[4] == "files %d" % len(files) and sorted(f[9:].split()[1] for f in files)
          == [f[9:].split()[1] for f in files], "number and order of files")
    for line in files:
        crc, size, name = line.split(" ")
        data = read(folder, name)
        check(len(data) == int(size) and crc32c(data) == int(crc, 16), name)


def read_database(folder):
    newest = max(name for name in os.listdir(folder) if re.fullmatch("MANIFEST-[0-9a-f]{16}", name))
    collections, cursors, database = read_manifest(read(folder, newest), int(newest[9:], 16))
    for _, serial, segments in collections:
        for ident, size, deaths, crc, rows, live in segments:
            data = read(folder, "%08x" % serial, "%016x.seg" % ident)
            check(len(data) == size and struct.unpack_from("<I", data, 4092)[0] == crc, "segment %x" % ident)
            check(read_container(data)[0] == rows, "rows of segment %x" % ident)
            if deaths:
                dead = read_deaths(read(folder, "%08x" % serial, "%016x.%016x.del" % (ident, deaths)), ident, rows)
                check(rows - dead == live, "live rows of segment %x" % ident)
    check(cursors and read_cursors(read(folder, "CURSORS-%016x" % cursors)) == (2, 2), "cursors")
    read_list(folder, database)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folders = [os.path.join(sys.argv[1], name) for name in sorted(os.listdir(sys.argv[1]))]
    folders = [f for f in folders if os.path.isdir(f) and any(n.startswith("MANIFEST-") for n in os.listdir(f))]
    for folder in folders:
        try:
            read_database(folder)
        except (ValueError, struct.error, KeyError, OSError) as problem:
            print("%s: %s" % (folder, problem), file=sys.stderr)
            return 1
    return 0 if folders else 2


if __name__ == "__main__":
    sys.exit(main())
