"""Batches of items written and read back: ids of all types, all element types, idempotency.

SPDX-License-Identifier: Apache-2.0
"""

import unittest
import uuid

import numpy as np
from harness import ITEMS, NP_TYPES, PATIENCE, TYPES, Test, batch_of, gaussian, ids_of


class ItemsTest(Test):
    def test_ids_of_all_types(self):
        vectors = gaussian(1, 5, 3)
        uuids = [uuid.UUID(int=i * 2**100 + 7) for i in range(5)]
        texts = ["zwei", "\N{SNOWMAN}", "x" * 512, "a b/c\n", "five"]
        for id_type, ids, absent in (
            (1, [2**64 - 2, 0, 7, 8, 9], 10),
            (2, uuids, uuid.UUID(int=1)),
            (3, texts, "absent"),
        ):
            with self.subTest(id_type=id_type):
                name = self.name(str(id_type))
                self.client.create(name, 3, id_type=id_type)
                written = self.client.add(name, vectors, ids)
                self.assertEqual((written.applied, written.replaced), (5, 0))
                wanted = [ids[3], absent, ids[0], ids[3]]
                got = self.client.get(name, ids_of(wanted), with_vectors=True)
                self.assertEqual(list(got.missing), [1])
                self.assertEqual(got.items.ids, ids_of([ids[3], ids[0], ids[3]]))
                back = np.frombuffer(got.items.vectors.data, np.float32).reshape(-1, 3)
                self.assertTrue((back == vectors[[3, 0, 3]]).all())
                self.assertEqual(self.client.get(name, ids_of([ids[0]])).items.vectors.data, b"")
                found = self.client.search(name, vectors[2], limit=1)
                self.assertEqual(found.ids, ids_of([ids[2]]))

    def test_empty_collections(self):
        for id_type in (1, 2, 3):
            name = self.name(str(id_type))
            self.client.create(name, 3, id_type=id_type)
            for fields in ({}, {"exact": True}, {"with_vectors": True}, {"explain": 1}):
                found = self.client.search(name, np.ones(3, np.float32), **fields)
                ids = found.ids
                self.assertFalse(ids.u64 or ids.uuid or ids.str or found.distances, fields)
            self.fails("INVALID_ARGUMENT", self.client.get, name, TYPES.Ids())

    def test_element_types_come_back_bit_for_bit(self):
        for number, kind in NP_TYPES.items():
            name = self.name(str(number))
            self.client.create(name, 4, dtype=number)
            raw = np.random.default_rng(number).integers(-100, 100, (50, 4))
            vectors = (raw % 100 if number == 4 else raw).astype(kind)
            self.client.add(name, vectors)
            got = self.client.get(name, ids_of(range(50)), with_vectors=True)
            self.assertEqual(got.items.vectors.type, number)
            self.assertEqual(got.items.vectors.data, vectors.tobytes())

    def test_upsert_insert_update_delete(self):
        name = self.name()
        self.client.create(name, 2)
        one, two = np.float32([[1, 1]]), np.float32([[2, 2]])
        insert, update, delete = 2, 3, 5
        self.fails("NOT_FOUND", self.client.write, name, batch_of(one, [1], op=update))
        self.assertEqual(self.client.write(name, batch_of(one, [1], op=insert)).applied, 1)
        self.fails("ALREADY_EXISTS", self.client.write, name, batch_of(one, [1], op=insert))
        replaced = self.client.write(name, batch_of(two, [1], op=update))
        self.assertEqual((replaced.applied, replaced.replaced), (1, 1))
        got = self.client.get(name, ids_of([1]), with_vectors=True)
        self.assertEqual(got.items.vectors.data, two.tobytes())
        ids_only = TYPES.ItemBatch(ids=ids_of([1, 99]))
        gone = self.client.write(name, ITEMS.WriteBatch(op=delete, items=ids_only))
        self.assertEqual(gone.applied, 1)
        self.assertEqual(self.client.count(name), 0)
        self.assertEqual(len(self.client.search(name, two[0]).ids.u64), 0)

    def test_a_request_id_makes_a_retry_harmless(self):
        name = self.name()
        self.client.create(name, 2)
        first = self.client.add(name, gaussian(1, 3, 2), request_id="r" * 128)
        other = self.client.add(name, gaussian(2, 3, 2), request_id="other")
        again = self.client.add(name, gaussian(3, 3, 2), request_id="r" * 128)
        self.assertFalse(first.replayed or other.replayed)
        self.assertTrue(again.replayed)
        self.assertEqual(again.version, first.version)
        got = self.client.get(name, ids_of(range(3)), with_vectors=True)
        self.assertEqual(got.items.vectors.data, gaussian(2, 3, 2).tobytes(), "not applied again")
        self.fails(
            "INVALID_ARGUMENT", self.client.add, name, gaussian(1, 1, 2), request_id="r" * 129
        )

    def test_all_or_nothing_and_per_item_errors(self):
        name = self.name()
        self.client.create(name, 2)
        vectors = gaussian(1, 5, 2)
        vectors[3, 1] = np.nan
        vectors[4, 0] = np.inf
        failure = self.fails(
            "INVALID_ARGUMENT", self.client.add, name, vectors, reason="NOT_FINITE"
        )
        self.assertEqual(failure.metadata.get("item"), "3", failure)
        self.assertEqual(self.client.count(name), 0)
        written = self.client.write(name, batch_of(vectors, per_item_errors=True))
        self.assertEqual(written.applied, 3)
        self.assertEqual(
            [(e.item, e.code, e.reason) for e in written.errors],
            [(3, 3, "NOT_FINITE"), (4, 3, "NOT_FINITE")],
        )
        self.assertEqual(self.client.count(name), 3)

    def test_checksum(self):
        name = self.name()
        self.client.create(name, 2)
        batch = batch_of(np.float32([[1, 2]]), [1])
        data = np.uint64([1]).tobytes() + batch.items.vectors.data
        batch.crc32c = crc32c(data)
        self.assertEqual(self.client.write(name, batch).applied, 1)
        batch.crc32c ^= 1
        self.fails("DATA_LOSS", self.client.write, name, batch, reason="CHECKSUM")

    def test_count_sees_the_version_it_is_asked_for(self):
        name = self.name()
        self.client.create(name, 2)
        for i in range(10):
            version = self.client.add(name, gaussian(i, 10, 2), range(10 * i, 10 * i + 10)).version
            request = ITEMS.CountRequest(collection=name, min_version=version)
            answer = self.client.items.Count(request, timeout=PATIENCE)
            self.assertEqual(answer.count, 10 * i + 10)
            self.assertGreaterEqual(answer.version, version)

    def refuse(self, code, batch, **expected):
        return self.fails(code, self.client.write, "bad", batch, **expected)

    def test_bad_batches(self):
        self.client.create("bad", 2)
        self.client.create("bad-str", 2, id_type=3)
        self.client.create("bad-uuid", 2, id_type=2)
        good = np.float32([[1, 2]])
        three = self.refuse("INVALID_ARGUMENT", batch_of(gaussian(1, 1, 3)), reason="DIM_MISMATCH")
        self.assertIn("3", three.text)
        self.assertIn("2", three.text)
        self.refuse("INVALID_ARGUMENT", batch_of(good, [1, 2]))  # two ids, one vector
        self.refuse("INVALID_ARGUMENT", batch_of(good.astype(np.float16)), reason="TYPE")
        self.refuse("INVALID_ARGUMENT", batch_of(good, [2**64 - 1]))
        self.refuse("INVALID_ARGUMENT", batch_of(good, ["text"]))  # ids of another type
        cut = batch_of(good)
        cut.items.vectors.data = cut.items.vectors.data[:-1]
        self.refuse("INVALID_ARGUMENT", cut)
        long = batch_of(good)
        long.items.vectors.data += b"\0\0\0\0"
        self.refuse("INVALID_ARGUMENT", long)
        both = batch_of(good)
        both.items.ids.str.append("x")
        self.refuse("INVALID_ARGUMENT", both)
        named = batch_of(good)
        named.items.vectors.name = "other"
        self.refuse("INVALID_ARGUMENT", named, reason="NOT_FOUND", field="name")
        self.refuse("INVALID_ARGUMENT", batch_of(good, op=6), reason="LIMIT", field="op")
        self.refuse("NOT_FOUND", batch_of(good, op=4), reason="ITEM_NOT_FOUND")
        self.refuse("ABORTED", batch_of(good, if_version=[1]), reason="VERSION_CONFLICT")
        self.refuse("INVALID_ARGUMENT", ITEMS.WriteBatch(op=5, delete_filter="a = 1"), reason="FIELD")
        with_metadata = batch_of(good)
        with_metadata.items.metadata.json.append(b"{")
        self.refuse("INVALID_ARGUMENT", with_metadata, reason="METADATA")
        self.fails("NOT_FOUND", self.client.write, "absent", batch_of(good), reason=None)
        short = batch_of(good)
        short.items.ids.CopyFrom(TYPES.Ids(uuid=b"x" * 15))
        self.fails("INVALID_ARGUMENT", self.client.write, "bad-uuid", short)
        self.fails("INVALID_ARGUMENT", self.client.write, "bad-str", batch_of(good, ["x" * 513]))
        self.assertEqual(self.client.count("bad"), 0)


def crc32c(data):
    """CRC-32C bit by bit: slow, and independent of anything in the server."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


if __name__ == "__main__":
    unittest.main()
