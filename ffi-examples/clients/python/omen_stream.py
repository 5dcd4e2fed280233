"""Writes batches to OmenDB through Items.StreamWrite and survives anything: lost connections, a server that is
killed and started again, a client that is.  One file, to be copied.  Needs grpcio, grpcio-tools and
google-crc32c, and the folder with omen/v1/*.proto in sys.path.  SPDX-License-Identifier: Apache-2.0

The rules: batches carry seq 1, 2, 3, ... and are kept until the server says that they are durable; what is sent
and not acknowledged stays within the window; after a reconnect Opened.last_seq tells where to go on.
"""
import collections
import json
import random
import threading

import google_crc32c
import grpc

ITEMS, RPC = grpc.protos_and_services("omen/v1/items.proto")
TYPES = grpc.protos("omen/v1/types.proto")
BACKOFF_FIRST, BACKOFF_MOST = 0.1, 5.0  # seconds


class Lost(Exception):
    """The server knows less than it had acknowledged (its data folder is gone, or is another one)."""


def may_try_again(error):
    """The connection is gone, the server stops, or it says (RetryInfo) that what is missing may come back."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return error.code() == grpc.StatusCode.UNAVAILABLE or b"google.rpc.RetryInfo" in details


def crc_of(ids, data, metadata):
    """crc32c over the ids as they travel, then over the vectors, then over the metadata."""
    crc = 0
    for number in ids.u64:
        crc = google_crc32c.extend(crc, number.to_bytes(8, "little"))
    crc = google_crc32c.extend(crc, ids.uuid)
    for text in ids.str:
        crc = google_crc32c.extend(crc, text.encode())
    for text in (data, *metadata):
        crc = google_crc32c.extend(crc, text)
    return crc


class StreamWriter:
    """with StreamWriter("localhost:7700", "images", "loader-1") as w:
           for batch in batches[w.last_seq:]:          # what an earlier run has written is left out
               w.write(TYPES.Ids(u64=...), numpy_rows)
    credentials: of grpc.ssl_channel_credentials, for TLS.  key: an API key or a JWT, or a function that gives
    the one of the moment.
    refused: called with every BatchError (the batch had no effect; its seq is used up).  Default: raise."""

    def __init__(self, target, collection, stream_id, durability=0, credentials=None, refused=None, key=None):
        self._target, self._credentials, self._key = target, credentials, key
        self._open = ITEMS.StreamWriteRequest(open=ITEMS.StreamWriteRequest.Open(
            collection=collection, stream_id=stream_id, durability=durability))
        self._refused = refused or self._fail
        self._cond = threading.Condition()
        self._kept = collections.deque()  # (seq, message, bytes): not yet acknowledged
        self._next = self._acked = self._sent = self._sent_bytes = self._window = 0
        self._life = 0  # of the connection; a request generator of an older one ends
        self._opened = self._closing = self._ended = False
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait(lambda: self._opened)
        self.last_seq = self._acked  # written by earlier runs with this stream id

    def write(self, ids, rows, op=0, dtype=1, metadata=()):
        """Queues a batch and returns its seq; blocks while the credit is used up. rows: a 2-d numpy array, or
        None (deletes, and patches of metadata alone). metadata: a dict an item, or none at all."""
        data = b"" if rows is None else rows.tobytes()
        json_rows = [json.dumps(row).encode() for row in metadata]
        items = TYPES.ItemBatch(ids=ids, metadata=TYPES.Metadata(json=json_rows))
        if rows is not None:
            items.vectors.CopyFrom(TYPES.VectorColumn(type=dtype, dim=rows.shape[1], data=data))
        batch = ITEMS.WriteBatch(op=op, crc32c=crc_of(ids, data, json_rows), items=items)
        with self._cond:
            self._wait(lambda: not self._kept or self._kept_bytes() + batch.ByteSize() <= self._window)
            self._next += 1
            batch.seq = self._next
            message = ITEMS.StreamWriteRequest(batch=batch)
            self._kept.append((self._next, message, message.ByteSize()))
            self._cond.notify_all()
            return self._next

    def close(self):
        """Returns when everything is durable."""
        with self._cond:
            self._closing = True
            self._cond.notify_all()
        self._wait(lambda: self._ended)
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is None:
            self.close()

    def _kept_bytes(self):
        return sum(size for _, _, size in self._kept)

    def _wait(self, condition):
        with self._cond:
            self._cond.wait_for(lambda: self._error or condition())
            if self._error:
                raise self._error

    def _fail(self, error):
        raise RuntimeError("batch %d was refused: %s: %s" % (error.seq, error.reason, error.message))

    def _requests(self, life):
        """What is sent over one connection: Open, then the kept batches as the window allows."""
        yield self._open
        while True:
            with self._cond:
                self._cond.wait_for(lambda: life != self._life or (self._opened and (self._due() or self._all_sent())))
                if life != self._life:
                    return
                due = self._due()
                if due is None:
                    break  # the answer to Close acknowledges the rest
                self._sent, self._sent_bytes = due[0], self._sent_bytes + due[2]
            yield due[1]
        yield ITEMS.StreamWriteRequest(close=ITEMS.StreamWriteRequest.Close())

    def _due(self):
        due = next((kept for kept in self._kept if kept[0] > self._sent), None)
        fits = due and (self._sent_bytes == 0 or self._sent_bytes + due[2] <= self._window)
        return due if fits else None

    def _all_sent(self):
        return self._closing and self._sent == self._next

    def _forget(self, seq):
        while self._kept and self._kept[0][0] <= seq:
            number, _, size = self._kept.popleft()
            self._sent_bytes -= size if number <= self._sent else 0
        self._acked = max(self._acked, seq)

    def _take(self, message):
        kind = message.WhichOneof("message")
        if kind == "error":
            self._refused(message.error)  # outside of the lock: it may take its time
        with self._cond:
            if kind == "opened":
                if message.opened.last_seq < self._acked:
                    raise Lost("stream %s: the server has seq %d, and had acknowledged %d" % (
                        self._open.open.stream_id, message.opened.last_seq, self._acked))
                self._sent = self._sent_bytes = 0
                self._forget(message.opened.last_seq)
                self._next = max(self._next, message.opened.last_seq)
                self._sent, self._window, self._opened = self._acked, message.opened.window_bytes, True
            elif kind == "ack":
                self._forget(message.ack.durable_seq)
            elif kind == "window":
                self._window = message.window.window_bytes
            elif kind == "draining":
                self._life += 1  # nothing more is sent; the call ends when what was sent is acknowledged
            self._cond.notify_all()

    def _connect(self):
        """One connection, to its end. True: the server has ended the call as it was asked to."""
        options = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
        channel = (grpc.secure_channel(self._target, self._credentials, options) if self._credentials
                   else grpc.insecure_channel(self._target, options))
        with channel:
            with self._cond:
                self._life += 1
                life, self._opened = self._life, False
            key = self._key() if callable(self._key) else self._key
            metadata = [("authorization", "Bearer " + key)] if key else None
            try:
                for message in RPC.ItemsStub(channel).StreamWrite(
                        self._requests(life), wait_for_ready=True, metadata=metadata):
                    self._take(message)
                return self._closing and not self._kept
            except grpc.RpcError as error:
                if not may_try_again(error):
                    raise
                return False
            finally:
                with self._cond:
                    self._life += 1
                    self._cond.notify_all()

    def _run(self):
        wait = BACKOFF_FIRST
        try:
            while not self._connect():
                wait = BACKOFF_FIRST if self._opened else min(2 * wait, BACKOFF_MOST)
                with self._cond:
                    self._opened = False
                    self._cond.wait(wait * random.uniform(0.5, 1))
            self._ended = True
        except Exception as error:  # told to whoever waits
            self._error = error
        with self._cond:
            self._cond.notify_all()
