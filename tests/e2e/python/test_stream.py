"""StreamWrite: acks, resuming after a cut, replays, gaps, errors, windows, ends of all kinds.

SPDX-License-Identifier: Apache-2.0
"""

import threading
import unittest

import grpc
import numpy as np
from harness import COLLECTIONS, ITEMS, PATIENCE, Failure, Test, batch_of, gaussian, ids_of
from proxy import Proxy

DIM, ROWS = 16, 100


def rows_of(seq):
    """The vectors and ids of batch number seq of a test."""
    return gaussian(seq, ROWS, DIM), range((seq - 1) * ROWS, seq * ROWS)


class StreamTest(Test):
    def collection(self, **config):
        name = self.name()
        self.client.create(name, DIM, **config)
        return name

    def send(self, stream, *seqs, **fields):
        for seq in seqs:
            stream.send(batch=batch_of(*rows_of(seq), seq=seq, **fields))

    def end_of(self, stream):
        """Reads to the end of a call that is refused; returns what it says."""
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream.call:
                pass
        return Failure(caught.exception)

    def check_rows(self, name, batches):
        """Every row is there once, with the vector that was sent."""
        self.assertEqual(self.client.count(name), batches * ROWS)
        for seq in (1, batches):
            vectors, ids = rows_of(seq)
            got = self.client.get(name, ids_of(ids), with_vectors=True)
            self.assertEqual(got.items.vectors.data, vectors.tobytes())

    def test_thousands_of_rows(self):
        name, stream = self.collection(), self.client.stream()
        opened = stream.open(name, "feed")
        self.assertEqual(opened.last_seq, 0)
        self.assertEqual(opened.max_message_bytes, 16 * 1024 * 1024)
        self.assertGreaterEqual(opened.window_bytes, opened.max_message_bytes)
        self.assertEqual(opened.server_epoch, self.client.info().server_epoch)
        self.send(stream, *range(1, 51))
        ack = stream.ack(50)
        self.assertEqual(ack.accepted_items, 50 * ROWS)
        self.assertGreaterEqual(ack.visible_seq, 50)
        vectors, _ = rows_of(50)
        found = self.client.search(name, vectors[7], limit=1, min_version=ack.version)
        self.assertEqual((found.ids.u64[0], found.distances[0]), (49 * ROWS + 7, 0))
        stream.flush()
        while stream.recv("ack").indexed_items < 50 * ROWS:
            pass
        stream.close()
        stream.rest()
        self.check_rows(name, 50)

    def test_many_streams_at_once(self):
        name = self.collection()
        failures = []

        def feed(number):
            try:
                stream = self.client.stream()
                stream.open(name, "feed-%d" % number)
                for seq in range(1, 11):
                    first = (number * 10 + seq) * ROWS
                    batch = batch_of(
                        gaussian(first, ROWS, DIM), range(first, first + ROWS), seq=seq
                    )
                    stream.send(batch=batch)
                stream.close()
                acks = [
                    m.ack.durable_seq for m in stream.rest() if m.WhichOneof("message") == "ack"
                ]
                assert acks[-1] == 10, acks
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=feed, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.client.count(name), 8 * 10 * ROWS)

    def test_resume_after_a_cut_connection(self):
        name, last = self.collection(), 0
        proxy = Proxy(self.server.address)
        self.addCleanup(proxy.close)
        for round_ in range(1, 5):
            client = self.server.client(address=proxy.address)
            stream = client.stream()
            opened = stream.open(name, "feed")
            self.assertGreaterEqual(opened.last_seq, last, "what was acknowledged is kept")
            # From one before the last: that batch is a replay, acknowledged and not applied.
            first = max(1, opened.last_seq)
            self.send(stream, *range(first, 20 * round_ + 1))
            last = stream.ack(first + 5).durable_seq
            proxy.cut()
            with self.assertRaises(grpc.RpcError):
                for message in stream.call:
                    last = max(last, message.ack.durable_seq)
        stream = self.client.stream()
        opened = stream.open(name, "feed")
        self.assertGreaterEqual(opened.last_seq, last)
        self.send(stream, *range(opened.last_seq + 1, 101))
        stream.close()
        stream.rest()
        self.check_rows(name, 100)

    def test_a_replay_is_acknowledged_and_not_applied(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, 1, 2, 3)
        stream.ack(3)
        other = batch_of(gaussian(99, ROWS, DIM), range(ROWS), seq=1)
        stream.send(batch=other)
        self.send(stream, 4)
        ack = stream.ack(4)
        self.assertEqual(ack.accepted_items, 4 * ROWS)
        stream.close()
        stream.rest()
        self.check_rows(name, 4)

    def test_a_gap_is_refused(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, 1)
        stream.ack(1)
        self.send(stream, 3)
        failure = self.end_of(stream)
        self.assertEqual(failure.reason, "SEQUENCE", failure)
        self.check_rows(name, 1)
        stream = self.client.stream()
        self.assertEqual(stream.open(name, "feed").last_seq, 1)
        self.send(stream, 2, 3)
        stream.close()
        stream.rest()
        self.check_rows(name, 3)

    def test_the_newest_open_fences_the_older_one(self):
        name = self.collection()
        older, newer = self.client.stream(), self.client.stream()
        older.open(name, "feed")
        self.send(older, 1)
        older.ack(1)
        self.assertEqual(newer.open(name, "feed").last_seq, 1)
        self.send(older, 2)
        failure = self.end_of(older)
        self.assertEqual((failure.code, failure.reason), ("ABORTED", "SEQUENCE"))
        self.send(newer, 2)
        newer.ack(2)
        newer.close()
        newer.rest()
        self.check_rows(name, 2)

    def test_a_bad_batch_consumes_its_seq(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, 1)
        bad = gaussian(2, ROWS, DIM)
        bad[42, 3] = np.nan
        stream.send(batch=batch_of(bad, range(ROWS, 2 * ROWS), seq=2))
        self.send(stream, 3)
        error, acked = None, 0
        while error is None or acked < 3:
            message = stream.recv()
            if message.WhichOneof("message") == "error":
                error = message.error
            else:
                acked = max(acked, message.ack.durable_seq)
        self.assertEqual((error.seq, error.code, error.reason), (2, 3, "NOT_FINITE"))
        self.assertFalse(error.retriable)
        self.assertTrue(error.message)
        stream.close()
        stream.rest()
        self.assertEqual(self.client.count(name), 2 * ROWS)
        again = self.client.stream()
        self.assertEqual(again.open(name, "feed").last_seq, 3)
        again.close()
        again.rest()

    def test_per_item_errors(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        bad = gaussian(1, ROWS, DIM)
        bad[[7, 70], 0] = np.inf
        stream.send(batch=batch_of(bad, range(ROWS), seq=1, per_item_errors=True))
        error = stream.recv("error")
        self.assertEqual(
            [(e.item, e.code, e.reason) for e in error.items],
            [(7, 3, "NOT_FINITE"), (70, 3, "NOT_FINITE")],
        )
        self.assertEqual(stream.ack(1).accepted_items, ROWS - 2)
        stream.close()
        stream.rest()
        self.assertEqual(self.client.count(name), ROWS - 2)

    def test_half_close_without_close(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, *range(1, 21))
        stream.half_close()
        acks = [m.ack.durable_seq for m in stream.rest() if m.WhichOneof("message") == "ack"]
        self.assertEqual(acks[-1], 20)
        self.check_rows(name, 20)

    def test_half_close_at_once(self):
        stream = self.client.stream()
        stream.half_close()
        self.assertEqual(self.end_of(stream).code, "FAILED_PRECONDITION")

    def test_bad_metadata_consumes_its_seq_too(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, 1)
        batch = batch_of(*rows_of(2), seq=2)
        batch.items.metadata.json.append(b"{}")  # one object for several items
        stream.send(batch=batch)
        code = None
        while code is None:
            message = stream.recv()
            if message.WhichOneof("message") == "error":
                code = message.error.code
                self.assertEqual(message.error.seq, 2)
        self.assertEqual(code, grpc.StatusCode.INVALID_ARGUMENT.value[0])
        self.send(stream, 3)
        stream.ack(3)
        stream.close()
        stream.rest()
        self.assertEqual(self.client.count(name), 2 * ROWS)

    def test_cancel_in_the_middle(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, *range(1, 31))
        acked = stream.ack(5).durable_seq
        stream.call.cancel()
        again = self.client.stream()
        last = again.open(name, "feed").last_seq
        self.assertGreaterEqual(last, acked)
        self.send(again, *range(last + 1, 31))
        again.close()
        again.rest()
        self.check_rows(name, 30)

    def test_without_a_stream_id(self):
        name, stream = self.collection(), self.client.stream()
        self.assertEqual(stream.open(name).last_seq, 0)
        self.send(stream, 1, 2)
        stream.ack(2)
        stream.close()
        stream.rest()
        again = self.client.stream()
        self.assertEqual(again.open(name).last_seq, 0, "it is not resumable")
        again.close()
        again.rest()
        self.check_rows(name, 2)

    def test_bad_beginnings(self):
        name = self.collection()
        Open = ITEMS.StreamWriteRequest.Open
        for code, message in (
            ("NOT_FOUND", {"open": Open(collection="absent")}),
            ("INVALID_ARGUMENT", {"open": Open(collection="")}),
            ("INVALID_ARGUMENT", {"open": Open(collection=name, stream_id="x" * 129)}),
            ("FAILED_PRECONDITION", {"batch": batch_of(*rows_of(1), seq=1)}),
            ("FAILED_PRECONDITION", {"flush": ITEMS.StreamWriteRequest.Flush()}),
            ("FAILED_PRECONDITION", {"close": ITEMS.StreamWriteRequest.Close()}),
            ("INVALID_ARGUMENT", {}),
        ):
            with self.subTest(message=str(message)[:60]):
                stream = self.client.stream()
                stream.send(**message)
                failure = self.end_of(stream)
                self.assertEqual((failure.code, failure.domain), (code, "omendb"), failure)
        stream = self.client.stream()
        stream.open(name, "x" * 128)
        stream.send(open=Open(collection=name))
        self.assertEqual(self.end_of(stream).code, "FAILED_PRECONDITION")

    def test_deletes_in_a_stream(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, 1)
        stream.send(batch=ITEMS.WriteBatch(seq=2, op=5, items={"ids": ids_of(range(0, ROWS, 2))}))
        stream.ack(2)
        stream.close()
        stream.rest()
        self.assertEqual(self.client.count(name), ROWS // 2)

    def test_the_collection_goes_away(self):
        name, stream = self.collection(), self.client.stream()
        stream.open(name, "feed")
        self.send(stream, 1)
        stream.ack(1)
        request = COLLECTIONS.DeleteCollectionRequest(name=name)
        self.client.collections.DeleteCollection(request, timeout=PATIENCE)
        self.send(stream, 2)
        code = None
        try:
            for message in stream.call:
                if message.WhichOneof("message") == "error":
                    code = message.error.code
                    stream.close()
        except grpc.RpcError as error:
            code = Failure(error).code
        self.assertIn(code, (5, "NOT_FOUND"))


class WindowTest(Test):
    """A window of 64 KiB: a client that keeps to it gets through, one that does not is slowed down."""

    arguments = ("--max-message-bytes=65536", "--stream-window-bytes=65536")

    def test_a_client_that_keeps_to_the_window(self):
        self.client.create("window", DIM)
        stream = self.client.stream()
        opened = stream.open("window", "feed")
        self.assertEqual((opened.window_bytes, opened.max_message_bytes), (65536, 65536))
        window, unacked, most = opened.window_bytes, {}, 0
        for seq in range(1, 201):
            batch = batch_of(*rows_of(seq), seq=seq)
            size = batch.ByteSize()
            while unacked and sum(unacked.values()) + size > window:
                message = stream.recv()
                kind = message.WhichOneof("message")
                if kind == "ack":
                    unacked = {s: n for s, n in unacked.items() if s > message.ack.durable_seq}
                else:
                    self.assertEqual(kind, "window")
                    window = message.window.window_bytes
            unacked[seq] = size
            most = max(most, len(unacked))
            stream.send(batch=batch)
        stream.close()
        stream.rest()
        self.assertGreater(most, 1)
        self.assertEqual(self.client.count("window"), 200 * ROWS)

    def test_a_client_that_does_not(self):
        """The server stops reading, or says so; it neither loses nor keeps more than it said."""
        self.client.create("flood", DIM)
        stream = self.client.stream()
        stream.open("flood", "feed")
        for seq in range(1, 201):
            stream.send(batch=batch_of(*rows_of(seq), seq=seq))
        stream.close()
        stream.rest()
        self.assertEqual(self.client.count("flood"), 200 * ROWS)

    def test_a_small_backlog_slows_the_writer(self):
        self.client.create("slow", DIM, max_backlog_rows=1000)
        stream = self.client.stream()
        stream.open("slow", "feed")
        for seq in range(1, 101):
            stream.send(batch=batch_of(*rows_of(seq), seq=seq))
        stream.close()
        stream.rest()
        self.assertEqual(self.client.count("slow"), 100 * ROWS)

    def test_a_message_over_the_limit(self):
        self.client.create("over", DIM)
        stream = self.client.stream()
        stream.open("over", "feed")
        stream.send(batch=batch_of(gaussian(1, 2000, DIM), seq=1))
        with self.assertRaises(grpc.RpcError) as caught:
            list(stream.call)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(self.client.count("over"), 0)


if __name__ == "__main__":
    unittest.main()
