"""Restarts under load: streams of the reference clients, single writes and searches, on one address and one folder.

SPDX-License-Identifier: Apache-2.0
"""

import os
import sys
import threading
import time

import grpc
import numpy as np
from harness import OMEN, PATIENCE, ROOT, Child, Load, Omend, check, folder, main, poll, wire, write

sys.path.append(os.path.join(ROOT, "ffi-examples", "clients", "python"))
import omen_stream  # noqa: E402  (the file that users copy)

DIM, ROWS = 32, 100
RESTARTS = 12
INSERT = wire.ITEMS.WRITE_OP_INSERT  # a row that came twice would be refused, and told


def rows_of(ids):
    return ((31 * np.asarray(ids)[:, None] + 7 * np.arange(DIM)) % 997).astype(np.float32)


class Watched(omen_stream.StreamWriter):
    """Remembers how its connections ended, and what was refused."""

    def __init__(self, *arguments, **keywords):
        self.ends, self.drained, self.bad = [], 0, []
        super().__init__(*arguments, refused=self.bad.append, **keywords)

    def _take(self, message):
        self.drained += message.WhichOneof("message") == "draining"
        super()._take(message)

    def _connect(self):
        try:
            return super()._connect()
        except BaseException as error:
            self.ends.append(repr(error))
            raise


class Feed:
    """A stream that inserts rows until it is told to stop."""

    def __init__(self, address, number):
        self.first = number << 32
        self.count = 0
        self.error = None
        self._stop = threading.Event()
        self.writer = Watched(address, "feed", "feed-%d" % number)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        try:
            with self.writer as writer:
                while not self._stop.is_set():
                    ids = range(self.first + self.count, self.first + self.count + ROWS)
                    writer.write(omen_stream.TYPES.Ids(u64=ids), rows_of(ids), op=INSERT)
                    self.count += ROWS
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def progress(self, batches):
        """Waits until so many more are acknowledged."""
        want = self.writer._acked + batches
        try:
            poll("progress", lambda: self.error or self.writer._acked >= want)
        except AssertionError as error:
            w = self.writer
            raise AssertionError("a stream stands still: acked %d, sent %d, next %d, window %d, opened %s, "
                                 "error %s" % (w._acked, w._sent, w._next, w._window, w._opened, w._error)) from error

    def stop(self):
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a stream does not end"
        if self.error:
            raise self.error


def client_of(address):
    """One that outlives the server: what a program has that is not told of restarts."""
    quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
    return wire.Client(grpc.insecure_channel(address, wire.OPTIONS + quick))


class Singles:
    """One batch after the other by BatchWrite: the same request again until there is an answer."""

    def __init__(self, client, first):
        self.client, self.first, self.count, self.codes = client, first, 0, set()

    def __call__(self):
        ids = range(self.first + self.count, self.first + self.count + ROWS)
        batch = wire.batch_of(rows_of(ids), ids, op=INSERT)
        request = "single-%d" % self.count
        while True:
            try:
                self.client.write("feed", batch, request_id=request)
                self.count += ROWS
                return
            except grpc.RpcError as error:
                self.codes.add(error.code().name)
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.05)  # a client that does not hammer


class Searches:
    def __init__(self, client):
        self.client, self.codes, self.failed = client, set(), 0

    def __call__(self):
        try:
            self.client.search("feed", rows_of([7])[0])
        except grpc.RpcError as error:
            self.codes.add(error.code().name)
            self.failed += 1
            time.sleep(0.05)


def codes_seen():
    """Records the codes that may_try_again is asked about: how streams were ended."""
    seen = []
    asked = omen_stream.may_try_again

    def recorded(error):
        seen.append(error.code().name)
        return asked(error)

    omen_stream.may_try_again = recorded
    return seen


def check_rows(client, ranges):
    """Every row once, with its bytes; no other."""
    total = sum(count for _, count in ranges)
    assert client.count("feed") == total, "%d rows, not %d" % (client.count("feed"), total)
    for first, count in ranges:
        for at in range(first, first + count, 2000):
            ids = range(at, min(at + 2000, first + count))
            got = client.get("feed", wire.ids_of(ids), with_vectors=True)
            assert not got.missing, "lost: %s" % list(got.missing)[:5]
            assert got.items.vectors.data == rows_of(ids).tobytes(), "wrong bytes from %d on" % at
    return total


def save_import(path, count):
    """A file for `omen import`, as fvecs."""
    body = np.empty((count, DIM + 1), np.float32)
    body[:, 0] = np.array([DIM], np.int32).view(np.float32)
    body[:, 1:] = rows_of(range(count))
    return write(path, body.tobytes())


@check("streams, single writes, searches and `omen import` while the server is restarted", seconds=900)
def restarts_under_ingest():
    data, seen = folder("rolling-"), codes_seen()
    options = ("--grace-ms=5000", "--max-message-bytes=1MiB", "--stream-window-bytes=1MiB")
    server = Omend(*options, data=os.path.join(data, "db"))
    address = server.address
    server.client().create("feed", DIM)
    imported = 60000
    path = save_import(os.path.join(data, "rows.fvecs"), imported)
    feeds = [Feed(address, number) for number in (1, 2)]
    single = Singles(client_of(address), 3 << 32)
    search = Searches(client_of(address))
    tool = Child(OMEN, "import", "feed", path, "--mode", "insert", "--batch", "200", "--server", address)
    working = 0
    with Load([single]) as writes, Load([search]) as searches:
        for _ in range(RESTARTS):
            for feed in feeds:
                feed.progress(20)
            writes.reach(1)
            working += tool.process.poll() is None
            server.stop()  # must end with 0
            server = Omend(*options, data=os.path.join(data, "db"), listen=address)
        searches.reach(1)
    for feed in feeds:
        feed.stop()
    assert tool.process.wait(PATIENCE) == 0, tool.output()
    assert working, "`omen import` was done before the first restart"
    assert not any(feed.writer.bad for feed in feeds), feeds[0].writer.bad
    assert not any(feed.writer.ends for feed in feeds), [feed.writer.ends for feed in feeds]
    other = (set(seen) | single.codes | search.codes) - {"UNAVAILABLE"}
    assert not other, "clients saw %s" % other
    ranges = [(0, imported), (single.first, single.count)] + [(f.first, f.count) for f in feeds]
    total = check_rows(server.client(), ranges)
    server.stop()
    return "%d restarts, %d rows of 4 writers, 0 lost, 0 twice; %d stream ends, %d searches failed, all " \
        "UNAVAILABLE; %d of them during `omen import`" % (
            RESTARTS, total, len(seen), search.failed, working)


if __name__ == "__main__":
    main()
