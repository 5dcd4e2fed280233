#!/usr/bin/env python3
"""read_log.py - reads logs by core/store/FORMAT.md alone, and checks every rule of that page.

    read_log.py FOLDER...       folders that hold wal/; each must have records and end where it should

It shares no code with the library: where the two disagree, the page or the library is wrong.
SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import struct
import sys

from read_format import TABLE, check, crc32c

NAME = re.compile(r"([0-9a-f]{16})\.wal")
HEADER, FRAME = 4096, 40


def extend(crc, data):
    """The checksum of what gave crc, followed by data."""
    crc ^= 0xFFFFFFFF
    for value in data:
        crc = crc >> 8 ^ TABLE[(crc ^ value) & 255]
    return crc ^ 0xFFFFFFFF


def read_header(data, first):
    check(len(data) >= HEADER and data[:8] == b"\x89OMENLG\n", "magic")
    check(crc32c(data[:HEADER - 4]) == struct.unpack_from("<I", data, HEADER - 4)[0], "header checksum")
    form, size, incompatible, _, _, order = struct.unpack_from("<6I", data, 8)
    check((form, size, incompatible, order) == (1, HEADER, 0, 0x01020304), "header")
    file_bytes, said, before, durable = struct.unpack_from("<4Q", data, 48)
    crc, epoch = struct.unpack_from("<2I", data, 80)
    check(HEADER + FRAME <= file_bytes <= min(len(data), 64 << 20), "file size")
    check(said == first and before < first and durable < first and epoch != 0, "header values")
    check(data[88:HEADER - 4] == bytes(HEADER - 92), "reserved bytes")
    return data[:file_bytes], before, durable, crc, epoch, data[32:48]


def frame_at(data, at, epoch):
    """The fields of a frame with a right checksum; None: there is none."""
    if len(data) - at < FRAME or struct.unpack_from("<I", data, at + 16)[0] != epoch:
        return None
    if crc32c(data[at:at + 36]) != struct.unpack_from("<I", data, at + 36)[0]:
        return None
    size, crc, lsn, _, _, kind, flags, frame, previous, back, _ = struct.unpack_from("<2IQ2I2BH3I", data, at)
    if frame != FRAME or size > 8 << 20 or not 1 <= back <= lsn:
        return None
    return size, crc, lsn, kind, flags, previous, back


def read_record(data, at, epoch, lsn, previous):
    """The record at this place if it holds: (its crc, the next place, how far it says the log was durable)."""
    frame = frame_at(data, at, epoch)
    if frame is None or frame[2] != lsn or frame[5] != previous:
        return None
    size, crc, _, kind, flags, _, back = frame
    end = at + FRAME + size
    if -(-end // 8) * 8 > len(data):
        return None
    bare = data[at:at + 4] + bytes(4) + data[at + 8:at + 36] + bytes(4)
    if extend(crc32c(data[at + FRAME:end]), bare) != crc:
        return None
    check(1 <= kind <= 10 and flags <= 1, "type and flags")
    check(data[end:-(-end // 8) * 8] == bytes(-end % 8), "zeros behind the payload")
    return crc, -(-end // 8) * 8, lsn - back


def read_log(folder):
    folder = os.path.join(folder, "wal")
    firsts = sorted(int(m.group(1), 16) for m in map(NAME.fullmatch, os.listdir(folder)) if m)
    check(firsts, "no log files")
    lsn, crc, known, database, before = firsts[0], None, 0, None, 0
    for number, first in enumerate(firsts):
        with open(os.path.join(folder, "%016x.wal" % first), "rb") as file:
            data, predecessor, durable, previous, epoch, uuid = read_header(file.read(), first)
        check(lsn == first, "the file before ends where this one begins")
        check(number == 0 or (predecessor == before and previous == crc and uuid == database), "chain")
        crc, database, before, known = previous, uuid, first, max(known, durable)
        stop = firsts[number + 1] if number + 1 < len(firsts) else 1 << 64
        at = HEADER
        while lsn < stop:
            record = read_record(data, at, epoch, lsn, crc)
            if record is None:
                break
            crc, at, durable = record
            known = max(known, durable)
            lsn += 1
    while at + FRAME <= len(data):
        frame = frame_at(data, at, epoch)
        check(frame is None or frame[2] < lsn or frame[2] - frame[6] < lsn, "rot")
        at += 8
    check(known < lsn, "durable records are there")
    return lsn - 1


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    for folder in sys.argv[1:]:
        try:
            check(read_log(folder) == 24, "the last record")
        except (ValueError, struct.error) as problem:
            print("%s: %s" % (folder, problem), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
