#!/usr/bin/env python3
"""read_format.py - reads segment files by core/store/FORMAT.md alone, and checks every rule of that page.

    read_format.py FOLDER       all *.omen files in it

It shares no code with the library: where the two disagree, the page or the library is wrong.
SPDX-License-Identifier: Apache-2.0
"""
import os
import struct
import sys

META, CODEC, CODES, LINKS, ENTRY, KEYS, KEYMAP, DEAD, VECTORS, NORMS, ID_BYTES, ID_OFFSETS, ID_MAP = range(1, 14)
L2, COSINE = 1, 3
WIDTH = {1: 4, 2: 2, 3: 1, 4: 1}
WORD = (1 << 64) - 1
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for value in data:
        crc = crc >> 8 ^ TABLE[(crc ^ value) & 255]
    return crc ^ 0xFFFFFFFF


def mix(x):
    x = x + 0x9E3779B97F4A7C15 & WORD
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB & WORD
    return x ^ x >> 31


def mix_words(start, data):
    data += b"\0" * (-len(data) % 8)
    for (word,) in struct.iter_unpack("<Q", data):
        start = mix(start ^ word)
    return start


def check(holds, text):
    if not holds:
        raise ValueError(text)


def read_container(data):
    """Header, table, tail and all checksums -> rows, {kind: (bytes, stride, rows)}."""
    check(data[:8] == b"\x89OMENSG\n" and data[-8:] == b"OMENEND\n", "magic numbers")
    version, size, incompatible, _, _, order = struct.unpack_from("<6I", data, 8)
    rows, _, file_size = struct.unpack_from("<3Q", data, 32)
    count, block, table_crc = struct.unpack_from("<3I", data, 56)
    header_crc, = struct.unpack_from("<I", data, 4092)
    check((version, size, incompatible, order, block) == (1, 4096, 0, 0x01020304, 1 << 20), "header")
    check(file_size == len(data) and count <= 60, "sizes")
    check(crc32c(data[:4092]) == header_crc, "header checksum")
    check(crc32c(data[128:128 + 64 * count]) == table_crc, "table checksum")
    check(struct.unpack_from("<QII", data, len(data) - 24) == (len(data), header_crc, 0), "tail")
    check(not any(data[68:128]) and not any(data[128 + 64 * count:4092]), "reserved bytes")
    sections = {}
    end = 4096
    for i in range(count):
        kind, vector, _, sums_crc, offset, size, stride, n, sums, blocks, zero = struct.unpack_from(
            "<4I5Q2I", data, 128 + 64 * i)
        alignment = 2 << 20 if size >= 2 << 20 else 4096
        check(offset >= end and offset % alignment == 0 and vector == 0 and zero == 0, "place of %d" % kind)
        check(not any(data[end:offset]), "padding before %d" % kind)
        check(stride == 0 or stride * n == size, "shape of %d" % kind)
        check(blocks == -(-size // block), "blocks of %d" % kind)
        check(crc32c(data[sums:sums + 4 * blocks]) == sums_crc, "checksum table of %d" % kind)
        for b in range(blocks):
            part = data[offset + b * block:min(offset + size, offset + (b + 1) * block)]
            check(crc32c(part) == struct.unpack_from("<I", data, sums + 4 * b)[0], "block of %d" % kind)
        check(kind not in sections, "kind %d twice" % kind)
        sections[kind] = (data[offset:offset + size], stride, n)
        end = offset + size
    return rows, sections


def check_codes(sections, rows, dim, metric, dtype, quantization):
    codec = sections[CODEC][0]
    head = codec[:-8]
    tail = b"\0" * (8 if len(head) % 8 == 0 else 0)
    check(struct.unpack("<Q", codec[-8:])[0] == mix_words(len(head), head + tail), "codec check sum")
    check(codec[0] == 1 and codec[1] == metric and codec[2] == dtype, "codec head")
    depth = dim + (0 if metric != 2 else 16 if quantization == 1 else 1)
    bytes_ = 4 * depth if quantization == 2 else depth if depth <= 256 else depth + 4
    codes, stride, _ = sections[CODES]
    check(stride == -(-bytes_ // 64) * 64, "stride of codes")
    if (metric, dtype, quantization, codec[5]) != (L2, 1, 1, 0) or depth > 256:
        return
    scale, = struct.unpack_from("<f", codec, 12)
    centre = struct.unpack_from("<%df" % dim, codec, 40)
    for slot in range(rows):
        vector = struct.unpack_from("<%df" % dim, sections[VECTORS][0], slot * 4 * dim)
        code = codes[slot * stride:(slot + 1) * stride]
        for i in range(dim):
            # One step more or less: the library rounds in single precision.
            exact = max(-128, min(127, (vector[i] - centre[i]) / scale))
            check(abs((code[i] ^ 0x80) - (256 if code[i] ^ 0x80 > 127 else 0) - exact) <= 0.51, "a code")
        check(set(code[dim:]) <= {0x80}, "bytes behind a code")


def check_graph(sections, rows, m):
    most = 2 * m - 1
    links, stride, _ = sections[LINKS]
    check(stride == -(-8 * m // 64) * 64, "stride of links")
    for slot in range(rows):
        words = struct.unpack_from("<%dI" % (most + 1), links, slot * stride)
        own = words[1:1 + words[0]]
        check(words[0] <= most and len(set(own)) == words[0], "links of %d" % slot)
        check(all(link < rows and link != slot for link in own), "links of %d" % slot)
        check(set(words[1 + words[0]:]) <= {0xFFFFFFFF}, "unused links of %d" % slot)
    version, entry, seeds, upper, code_stride, link_stride = struct.unpack_from("<4I2Q", sections[ENTRY][0])
    check((version, link_stride, code_stride) == (1, stride, sections[CODES][1]), "entry head")
    check(entry in (1, 2) and (upper > 0) == (entry == 2), "entry kind")
    slots = struct.unpack_from("<%dI" % seeds, sections[ENTRY][0], 64)
    check(all(slot < (upper or rows) for slot in slots), "seeds")
    if upper == 0:
        at = 64 + -(-4 * seeds // 64) * 64
        for i, slot in enumerate(slots):
            code = sections[CODES][0][slot * code_stride:(slot + 1) * code_stride]
            check(sections[ENTRY][0][at + i * code_stride:at + (i + 1) * code_stride] == code, "code of a seed")


def check_ids(sections, rows, live, id_type):
    keys = struct.unpack("<%dQ" % rows, sections[KEYS][0])
    words = struct.unpack("<%dQ" % (-(-rows // 64)), sections[DEAD][0])
    dead = [words[slot // 64] >> slot % 64 & 1 for slot in range(rows)]
    alive = [slot for slot in range(rows) if not dead[slot]]
    check(len(alive) == live, "live slots")
    check(sum(bin(word).count("1") for word in words) == rows - live, "bits behind the last slot")
    check(len({keys[slot] for slot in alive}) == live, "keys of live slots")
    order = struct.unpack("<%dI" % live, sections[KEYMAP][0])
    check(list(order) == sorted(alive, key=lambda slot: keys[slot]), "key map")
    if id_type == 1:
        return
    ends = struct.unpack("<%dQ" % (rows + 1), sections[ID_OFFSETS][0])
    ids = [sections[ID_BYTES][0][ends[slot]:ends[slot + 1]] for slot in range(rows)]
    check(ends[0] == 0 and list(ends) == sorted(ends) and ends[-1] == len(sections[ID_BYTES][0]), "offsets")
    check(all((ids[slot] == b"") == bool(dead[slot]) for slot in range(rows)), "ids of dead slots")
    check(id_type != 2 or all(len(ids[slot]) == 16 for slot in alive), "length of UUIDs")
    want = sorted((mix_words(mix(len(ids[slot])), ids[slot]), slot, 0) for slot in alive)
    check(list(struct.iter_unpack("<QII", sections[ID_MAP][0])) == want, "id map")


def read_file(path):
    with open(path, "rb") as file:
        rows, sections = read_container(file.read())
    meta = struct.unpack_from("<12I4Q", sections[META][0])
    size, dim, metric, dtype, id_type, m, _, quantization = meta[:8]
    live = meta[15]
    check(size == 80 and meta[11] == 0, "meta")
    if rows != 0:
        check(sections[VECTORS][1:] == (dim * WIDTH[dtype], rows), "shape of vectors")
        check((NORMS in sections) == (metric == COSINE), "norms")
        check_codes(sections, rows, dim, metric, dtype, quantization)
        check_graph(sections, rows, m)
        check_ids(sections, rows, live, id_type)
    print("%s: %d rows, %d live, sections %s" % (path, rows, live, sorted(sections)))


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    paths = sorted(os.path.join(sys.argv[1], name) for name in os.listdir(sys.argv[1]) if name.endswith(".omen"))
    for path in paths:
        try:
            read_file(path)
        except (ValueError, struct.error, KeyError) as problem:
            print("%s: %s" % (path, problem), file=sys.stderr)
            return 1
    return 0 if paths else 2


if __name__ == "__main__":
    sys.exit(main())
