"""HTTP/2 by hand: frames that no honest client sends, and as many connections as wanted.

Header blocks are literals without compression, so that nothing is needed to write them; answers are told apart
by their frames alone. SPDX-License-Identifier: Apache-2.0
"""

import collections
import select
import socket
import ssl
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
NAMES = "DATA HEADERS PRIORITY RST SETTINGS PUSH PING GOAWAY WINDOW CONTINUATION".split()
END_STREAM, ACK, END_HEADERS = 1, 1, 4
HEADER_TABLE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5
NO_ERROR, CANCEL, ENHANCE_YOUR_CALM = 0, 8, 11

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _number(value, bits):
    """An integer of HPACK, with a prefix of so many bits."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytearray([most]), value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def literal(name, value):
    """A header that does not enter the table."""
    name, value = name.encode(), value if isinstance(value, bytes) else value.encode()
    return b"\0" + _number(len(name), 7) + name + _number(len(value), 7) + value


def request_block(path, *headers, scheme="http"):
    """The header block of a gRPC call."""
    fields = [
        (":method", "POST"), (":scheme", scheme), (":path", path), (":authority", "localhost"),
        ("content-type", "application/grpc"), ("te", "trailers"), *headers,
    ]
    return b"".join(literal(name, value) for name, value in fields)


def message(payload, compressed=0):
    """A gRPC message with its five bytes."""
    return struct.pack(">BI", compressed, len(payload)) + payload


class Closed(Exception):
    """The peer ended the connection."""


class Connection:
    """One connection. Nothing is read unless asked for; PING and SETTINGS are answered while reading, unless
    `mute`."""

    def __init__(self, address, tls=None, settings=(), mute=False, preface=True, receive_buffer=None,
                 source=None):
        host, port = address.rsplit(":", 1)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(60)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.scheme = "http" if tls is None else "https"
        self.mute = mute
        self._unread = b""
        self._next = 1
        if preface:
            self.send(PREFACE + self.settings_frame(settings))

    @staticmethod
    def settings_frame(settings):
        return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in settings))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError) as error:
            raise Closed(str(error)) from error

    def stream(self):
        number = self._next
        self._next += 2
        return number

    def headers(self, path, *headers, end_stream=False, stream=None):
        """The bytes that begin a call, and its stream."""
        stream = stream or self.stream()
        block = request_block(path, *headers, scheme=self.scheme)
        return stream, frame(HEADERS, END_HEADERS | (END_STREAM if end_stream else 0), stream, block)

    def call(self, path, payload, *headers):
        """Begins a unary call with its message; its stream."""
        stream, begin = self.headers(path, *headers)
        body, out = message(payload), [begin]
        for at in range(0, len(body), 16384):
            piece = body[at : at + 16384]
            last = at + len(piece) == len(body)
            out.append(frame(DATA, END_STREAM if last else 0, stream, piece))
        self.send(b"".join(out))
        return stream

    def ready(self, seconds=0):
        """Whether something, or the end, can be read."""
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0
        return bool(self._unread) or pending or bool(select.select([self.socket], [], [], seconds)[0])

    def _fill(self, size, deadline):
        while len(self._unread) < size:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(1 << 16)
            except socket.timeout as error:
                raise AssertionError("nothing came") from error
            except (ConnectionResetError, ssl.SSLError) as error:
                raise Closed(str(error)) from error
            finally:
                self.socket.settimeout(60)
            if not data:
                raise Closed("end of stream")
            self._unread += data

    def read(self, seconds=60):
        """The next frame; raises Closed."""
        deadline = time.monotonic() + seconds
        self._fill(9, deadline)
        size = int.from_bytes(self._unread[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self._unread[3:9])
        self._fill(9 + size, deadline)
        payload, self._unread = self._unread[9 : 9 + size], self._unread[9 + size :]
        got = Frame(kind, flags, stream & 0x7FFFFFFF, payload)
        if not self.mute and not flags & ACK:
            if kind == PING:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == SETTINGS:
                self.send(frame(SETTINGS, ACK, 0))
        return got

    def until(self, condition, seconds=60):
        """Reads up to the frame for which the condition holds."""
        deadline = time.monotonic() + seconds
        while True:
            got = self.read(max(0.001, deadline - time.monotonic()))
            if condition(got):
                return got

    def end_of(self, stream, seconds=60):
        """Reads up to the end of a stream: the frame that ends it."""
        return self.until(lambda f: self.ends(f, stream), seconds)

    @staticmethod
    def ends(got, stream):
        """Whether this frame ends the stream."""
        ended = got.kind == RST or (got.kind in (HEADERS, DATA) and got.flags & END_STREAM)
        return got.stream == stream and bool(ended)

    def closed_within(self, seconds):
        """Reads everything: whether the peer ends the connection by then. self.goaway: its error code."""
        deadline = time.monotonic() + seconds
        self.goaway = None
        try:
            while time.monotonic() < deadline:
                got = self.read(max(0.001, deadline - time.monotonic()))
                if got.kind == GOAWAY:
                    self.goaway = int.from_bytes(got.payload[4:8], "big")
        except Closed:
            return True
        except AssertionError:
            return False
        return False

    def reset(self):
        """Ends it with a TCP reset: what is on its way is lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
