"""Bytes that no honest client sends, and limits at N and N + 1. The server must refuse and live on.

SPDX-License-Identifier: Apache-2.0
"""

import random
import unittest

import grpc
from harness import (
    COLLECTIONS,
    ITEMS,
    PATIENCE,
    TYPES,
    Failure,
    Test,
    batch_of,
    column,
    gaussian,
    poll,
    search_of,
)

WRITE, SEARCH = "/omen.v1.Items/BatchWrite", "/omen.v1.Items/Search"
CREATE, COUNT = "/omen.v1.Collections/CreateCollection", "/omen.v1.Items/Count"
LIST, DECLARE = "/omen.v1.Items/List", "/omen.v1.Collections/DeclareFields"
STREAM = "/omen.v1.Items/StreamWrite"


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, data):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def rich_batch(**fields):
    """Metadata, words and versions."""
    batch = batch_of(gaussian(1, 3, 4), **fields)
    for i in range(3):
        batch.items.metadata.json.append(b'{"n": %d, "s": "x", "t": [1.5], "body": "red cars"}' % i)
    return batch


def rich_search():
    """Every field of a search."""
    vector = search_of("rich", gaussian(1, 1, 4)[0]).legs[0]
    text = ITEMS.Leg(text=ITEMS.TextLeg(text='"red cars" red', field="body"), weight=2, limit=9)
    like = ITEMS.Leg(like=TYPES.Ids(u64=[0, 1]))
    values = [
        TYPES.Value(int_value=-1),
        TYPES.Value(strings=TYPES.StringList(values=["x", "y"])),
        TYPES.Value(doubles=TYPES.DoubleList(values=[1.5, 2])),
    ]
    return ITEMS.SearchRequest(
        collection="rich",
        limit=3,
        offset=1,
        legs=[vector, text, like],
        filter="n > $1 AND s IN $2 AND t CONTAINS ANY $3",
        params=values,
        fusion=2,
        min_score=0.01,
        group_by="s",
        group_size=2,
        fields=["n", "s"],
        with_vectors=True,
        facets=[ITEMS.FacetRequest(field="s", limit=2)],
        explain=1,
    )


class HostileTest(Test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client.create("target", 4)
        cls.client.create("written", 4)  # what is accepted goes here
        cls.client.add("target", gaussian(1, 20, 4))
        cls.client.create("rich", 4, fields=[TYPES.Field(name="body", type=8)])
        cls.client.write("rich", rich_batch())

    def send(self, path, data):
        """The code and details with which the raw bytes are answered."""
        call = self.client.channel.unary_unary(path)  # no serialisers: bytes in, bytes out
        try:
            call(data, timeout=PATIENCE)
        except grpc.RpcError as error:
            return Failure(error)
        return None

    def refuse(self, path, data, code="INVALID_ARGUMENT"):
        failure = self.send(path, data)
        self.assertIsNotNone(failure, "%s accepted %r" % (path, data[:40]))
        self.assertEqual(failure.code, code, failure)
        self.assertEqual(failure.domain, "omendb", failure)
        return failure

    def alive(self):
        self.assertEqual(self.client.count("target"), 20)

    def test_malformed_messages(self):
        for data in (
            b"\x0a",  # a tag and nothing
            b"\x0a\x05ab",  # five bytes are said, two are there
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # 2^63 - 1 bytes are said
            b"\x0a\xff\xff\xff\xff\x0f",  # 2^32 - 1 bytes are said
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a",  # a varint without an end
            b"\x00\x00",  # field 0
            b"\x0b\x0c",  # a group
            b"\x0f\x00",  # wire type 7
            b"\x0d\x00\x00",  # half a fixed32
            b"\x09\x00\x00\x00",  # half a fixed64
            field(1, b"\xff\xfe"),  # a name that is no UTF-8
            field(1, b"tar\0get"),  # a NUL inside
            field(1, b"\xed\xa0\x80"),  # a surrogate
        ):
            for path in (WRITE, SEARCH, CREATE, COUNT, LIST, DECLARE):
                with self.subTest(path=path, data=data):
                    self.refuse(path, data)
        self.alive()

    def test_malformed_insides(self):
        name = field(1, b"written")
        good = batch_of(gaussian(1, 2, 4)).SerializeToString()
        self.assertIsNone(self.send(WRITE, name + field(4, good)), "the good one is accepted")
        for cut in range(1, len(good)):
            if self.send(WRITE, name + field(4, good[:cut])) is None:
                self.fail("a batch cut at %d of %d was accepted" % (cut, len(good)))
        search = search_of("target", gaussian(1, 1, 4)[0]).legs[0].SerializeToString()
        for cut in range(1, len(search)):
            self.assertIsNotNone(self.send(SEARCH, name + field(3, search[:cut])), cut)
        lie = field(4, field(2, varint(3 << 3) + varint(2**31) + field(4, b"x" * 32)))  # dim 2^31
        self.refuse(WRITE, name + field(4, field(5, field(1, b"\x09" + bytes(8)) + lie[2:])))
        self.alive()

    def test_a_blob_and_a_dim_that_overflow_together(self):
        for dim in (2**32 - 1, 2**31, 2**30, 65536, 5, 3, 1):
            request = search_of("target", gaussian(1, 1, 4)[0])
            request.legs[0].vector.vector.dim = dim
            self.fails("INVALID_ARGUMENT", self.client.items.Search, request)
            batch = batch_of(gaussian(1, 1, 4))
            batch.items.vectors.dim = dim
            self.fails("INVALID_ARGUMENT", self.client.write, "target", batch)
        self.alive()

    def test_nesting_and_repetition(self):
        deep = b""
        for _ in range(10000):
            deep = field(1, deep)
        for path in (CREATE, COUNT, SEARCH, WRITE, LIST, DECLARE):
            self.refuse(path, deep)
        many = field(2, b"\x08\x04") * 200000  # one sub-message, again and again
        self.refuse(CREATE, field(1, b"many") + many)
        self.alive()

    def test_unknown_fields_are_skipped(self):
        request = ITEMS.CountRequest(collection="target").SerializeToString()
        self.assertIsNone(self.send(COUNT, request + field(1000, b"later") + b"\xc0\x3e\x01"))
        search = search_of("target", gaussian(1, 1, 4)[0]).SerializeToString()
        self.assertIsNone(self.send(SEARCH, search + field(1000, b"later")))

    def test_fields_in_any_order(self):
        """What other writers may do: the data before dim and type, fields split and mixed."""
        vector = column(gaussian(1, 1, 4))
        reordered = field(4, vector.data) + b"\x18\x04" + b"\x10\x01"
        request = field(3, field(1, field(1, reordered))) + b"\x10\x05" + field(1, b"target")
        self.assertIsNone(self.send(SEARCH, request))
        ids = field(1, (7).to_bytes(8, "little"))
        batch = field(5, field(2, reordered) + field(1, ids))
        self.assertIsNone(self.send(WRITE, field(4, batch) + field(1, b"written")))
        unpacked = b"\x09" + (8).to_bytes(8, "little")  # a repeated fixed64 that is not packed
        batch = field(5, field(2, reordered) + field(1, unpacked))
        self.assertIsNone(self.send(WRITE, field(1, b"written") + field(4, batch)))
        self.alive()

    def test_random_damage(self):
        chance = random.Random(20)
        seeds = [
            (
                WRITE,
                ITEMS.BatchWriteRequest(collection="written", batch=batch_of(gaussian(1, 3, 4))),
            ),
            (SEARCH, search_of("target", gaussian(1, 1, 4)[0], limit=3)),
            (COUNT, ITEMS.CountRequest(collection="target")),
            (SEARCH, rich_search()),
            (
                WRITE,
                ITEMS.BatchWriteRequest(collection="rich", batch=rich_batch(if_version=[0, 1, 2])),
            ),
            (WRITE, ITEMS.BatchWriteRequest(collection="rich", batch=rich_batch(op=4))),
            (
                WRITE,
                ITEMS.BatchWriteRequest(
                    collection="rich",
                    batch=ITEMS.WriteBatch(
                        op=5, delete_filter="n > $1", params=[TYPES.Value(int_value=100)]
                    ),
                ),
            ),
            (
                LIST,
                ITEMS.ListRequest(
                    collection="rich", filter="n < 5", order_by="n", fields=["s"], descending=True
                ),
            ),
            (
                DECLARE,
                COLLECTIONS.DeclareFieldsRequest(
                    name="rich", fields=[TYPES.Field(name="z", type=8, weight=1, language="german")]
                ),
            ),
        ]
        calls = []
        for _ in range(5000):
            path, message = chance.choice(seeds)
            data = bytearray(message.SerializeToString())
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(data))
                kind = chance.randrange(3)
                if kind == 0:
                    data[at] = chance.randrange(256)
                elif kind == 1:
                    del data[at : at + chance.randint(1, 8)]
                else:
                    data[at:at] = chance.randbytes(chance.randint(1, 8))
                if not data:
                    break
            calls.append(
                self.client.channel.unary_unary(path).future(bytes(data), timeout=PATIENCE)
            )
        codes = {call.code().name for call in calls}
        self.assertLessEqual(
            codes,
            {
                "OK",
                "INVALID_ARGUMENT",
                "NOT_FOUND",
                "UNIMPLEMENTED",
                "DATA_LOSS",
                "ALREADY_EXISTS",
                "ABORTED",
                "RESOURCE_EXHAUSTED",  # as many fields as there may be
            },
        )
        self.assertIn("INVALID_ARGUMENT", codes)

    def test_rich_searches_that_are_cut(self):
        good = rich_search().SerializeToString()
        self.assertIsNone(self.send(SEARCH, good), "the whole one is accepted")
        calls = [
            self.client.channel.unary_unary(SEARCH).future(good[:cut], timeout=PATIENCE)
            for cut in range(len(good))
        ]
        codes = [call.code().name for call in calls]
        self.assertLessEqual(set(codes), {"OK", "INVALID_ARGUMENT"})
        self.assertGreater(codes.count("INVALID_ARGUMENT"), len(good) // 2)
        self.alive()

    def test_malformed_streams(self):
        opened = field(1, field(1, b"target"))
        for messages in (
            [b"\xff\xff\xff"],
            [opened, b"\x12\xff\x7f"],
            [opened, field(2, field(5, b"\xff"))],
            [opened, field(9, b"")],
            [b""],
        ):
            call = self.client.channel.stream_stream(STREAM)(iter(messages), timeout=PATIENCE)
            with self.subTest(messages=messages), self.assertRaises(grpc.RpcError) as caught:
                list(call)
            self.assertIn(Failure(caught.exception).code, ("INVALID_ARGUMENT", "UNIMPLEMENTED"))
        self.alive()

    def test_unknown_methods(self):
        for path in ("/omen.v1.Items/Nothing", "/omen.v2.Items/Search", "/x", "/a/b/c"):
            self.assertEqual(self.send(path, b"").code, "UNIMPLEMENTED")

    def test_unary_calls_without_or_with_two_messages(self):
        for messages in ([], [b"", b""]):
            call = self.client.channel.stream_unary(COUNT)
            with self.assertRaises(grpc.RpcError) as caught:
                call(iter(messages), timeout=PATIENCE)
            self.assertIn(
                caught.exception.code().name, ("INVALID_ARGUMENT", "INTERNAL", "UNIMPLEMENTED")
            )
        self.alive()

    def test_compressed_messages_are_refused(self):
        """A small message may unpack to a large one before any limit sees it."""
        call = self.client.channel.unary_unary(COUNT)
        with self.assertRaises(grpc.RpcError) as caught:
            call(
                field(1, b"target" + bytes(100000)),
                timeout=PATIENCE,
                compression=grpc.Compression.Gzip,
            )
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.alive()

    def test_large_metadata(self):
        """It may cost the connection, so it has one of its own."""
        call = self.server.channel().unary_unary(COUNT)
        with self.assertRaises(grpc.RpcError):
            call(b"", timeout=PATIENCE, metadata=[("x-large", "a" * 100000)])
        self.alive()


class LimitsTest(Test):
    """Message size, calls in flight and streams of a connection, at N and at N + 1."""

    SIZE = 65536
    arguments = (
        "--max-message-bytes=65536",
        "--stream-window-bytes=65536",
        "--max-inflight=3",
        "--max-streams-per-connection=2",
    )

    def request(self, size):
        """A BatchWrite of exactly this many bytes; the length of an id makes the difference."""
        ids = ["id-%d" % i + "x" * 60 for i in range(200)]
        while True:
            batch = batch_of(gaussian(1, 200, 64), ids)
            request = ITEMS.BatchWriteRequest(collection="sized", batch=batch)
            missing = size - request.ByteSize()
            assert 0 <= missing < 200 * 50, missing
            if missing == 0:
                return request
            # Ids stay below 128 bytes, so that a byte more is one byte more.
            ids = [text + "y" * max(0, min(50, missing - 50 * i)) for i, text in enumerate(ids)]

    def test_message_size(self):
        self.client.create("sized", 64, id_type=3)
        write = self.client.items.BatchWrite
        for size in (self.SIZE, self.SIZE - 1):
            request = self.request(size)
            self.assertEqual(request.ByteSize(), size)
            self.assertEqual(write(request, timeout=PATIENCE).applied, 200)
        before = self.client.count("sized")
        with self.assertRaises(grpc.RpcError) as caught:
            write(self.request(self.SIZE + 1), timeout=PATIENCE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(self.client.count("sized"), before)
        self.assertEqual(self.client.info().limits.max_message_bytes, self.SIZE)

    def test_an_answer_over_the_limit(self):
        self.client.create("answers", 64)
        self.client.add("answers", gaussian(1, 200, 64))
        self.client.add("answers", gaussian(2, 200, 64), range(200, 400))
        ids = TYPES.Ids(u64=range(400))
        self.assertEqual(len(self.client.get("answers", ids).items.ids.u64), 400)
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.get("answers", ids, with_vectors=True)
        failure = Failure(caught.exception)
        self.assertEqual(failure.domain, "omendb", failure)
        self.assertIn("65536", failure.text)

    def is_let_in(self, name):
        try:
            return self.server.client().count(name) == 0
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            return False

    def test_calls_in_flight(self):
        self.client.create("inflight", 4)
        streams = []
        for _ in range(3):  # two fit on a connection
            stream = self.server.client().stream()
            stream.open("inflight")
            streams.append(stream)
        failure = self.fails("RESOURCE_EXHAUSTED", self.server.client().count, "inflight")
        self.assertGreater(failure.retry or 0, 0, "the client is told when to come back")
        streams[0].close()
        streams[0].rest()
        # The client hears of the end a moment before the server has put the call away.
        poll("the slot is free", lambda: self.is_let_in("inflight"))
        for stream in streams[1:]:
            stream.close()
            stream.rest()

    def test_streams_of_a_connection(self):
        self.client.create("streams", 4)
        client = self.server.client()
        streams = [client.stream(), client.stream()]
        for stream in streams:
            stream.open("streams")
        request = ITEMS.CountRequest(collection="streams")
        with self.assertRaises(grpc.RpcError) as caught:
            client.items.Count(request, timeout=0.2)  # has to wait for a free one
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        third = client.items.Count.future(request, timeout=PATIENCE)
        streams[0].close()
        streams[0].rest()
        self.assertEqual(third.result().count, 0)
        streams[1].close()
        streams[1].rest()


if __name__ == "__main__":
    unittest.main()
