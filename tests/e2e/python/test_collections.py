"""Collections: create, get, list, delete, and what is refused.

SPDX-License-Identifier: Apache-2.0
"""

import threading
import unittest

import grpc
from harness import COLLECTIONS, MAINTENANCE, PATIENCE, Test, gaussian


class CollectionsTest(Test):
    def get_collection(self, name):
        request = COLLECTIONS.GetCollectionRequest(name=name)
        return self.client.collections.GetCollection(request, timeout=PATIENCE)

    def delete(self, name):
        request = COLLECTIONS.DeleteCollectionRequest(name=name)
        return self.client.collections.DeleteCollection(request, timeout=PATIENCE)

    def test_life_of_a_collection(self):
        name = self.name()
        created = self.client.create(name, 8, metric=3, dtype=2, id_type=3, ef_construction=64)
        self.assertEqual((created.name, created.config.dim), (name, 8))
        self.client.add(name, gaussian(1, 10, 8), ["i%d" % i for i in range(10)])
        got = self.get_collection(name)
        self.assertEqual(got.stats.count, 10)
        self.assertEqual(got.config.metric, 3)
        self.assertEqual(got.config.type, 2)
        self.assertEqual(got.config.id_type, 3)
        self.assertEqual((got.config.m, got.config.ef_construction), (16, 64), "defaults filled in")
        self.fails("ALREADY_EXISTS", self.client.create, name, 8)
        self.delete(name)
        self.fails("NOT_FOUND", self.get_collection, name)
        self.fails("NOT_FOUND", self.delete, name)
        self.fails("NOT_FOUND", self.client.count, name)
        self.fails("NOT_FOUND", self.client.search, name, gaussian(1, 1, 8))
        again = self.client.create(name, 4)
        self.assertEqual((again.config.dim, self.client.count(name)), (4, 0))

    def test_bad_names(self):
        for name in (
            "",
            "A",
            "a b",
            "-a",
            "_a",
            "a/b",
            "a" * 64,
            "\N{LATIN SMALL LETTER E WITH ACUTE}",
        ):
            with self.subTest(name=name):
                failure = self.fails("INVALID_ARGUMENT", self.client.create, name, 4, reason="NAME")
                self.assertIn(failure.field, ("name", "collection"))
        for name in ("a", "0", "a-b_c", "z" * 63):
            self.assertEqual(self.client.create(name, 4).name, name)

    def test_limits_of_the_config(self):
        self.client.create(self.name("max"), 65535)
        self.fails("INVALID_ARGUMENT", self.client.create, self.name("0"), 0)
        failure = self.fails(
            "INVALID_ARGUMENT", self.client.create, self.name("1"), 65536, reason="LIMIT"
        )
        self.assertIn("65536", failure.text)
        self.assertIn("65535", failure.text)
        self.client.create(self.name("m64"), 4, m=64)
        self.fails("INVALID_ARGUMENT", self.client.create, self.name("2"), 4, m=65)
        self.fails("INVALID_ARGUMENT", self.client.create, self.name("3"), 4, metric=99)
        self.fails("INVALID_ARGUMENT", self.client.create, self.name("4"), 4, dtype=99)
        self.fails("INVALID_ARGUMENT", self.client.create, self.name("5"), 4, id_type=99)
        self.fails("UNIMPLEMENTED", self.client.create, self.name("6"), 4, metric=4)
        self.fails("UNIMPLEMENTED", self.client.create, self.name("7"), 4, dtype=5)

    def test_list_in_pages(self):
        wanted = ["list-%03d" % i for i in range(25)]
        for name in reversed(wanted):
            self.client.create(name, 2)
        found, token, pages = [], "", 0
        while True:
            request = COLLECTIONS.ListCollectionsRequest(page_size=10, page_token=token)
            page = self.client.collections.ListCollections(request, timeout=PATIENCE)
            self.assertLessEqual(len(page.collections), 10)
            found += [c.name for c in page.collections]
            token, pages = page.next_page_token, pages + 1
            if not token:
                break
        self.assertEqual(found, sorted(found))
        self.assertEqual([name for name in found if name.startswith("list-")], wanted)
        self.assertGreaterEqual(pages, 3)

    def test_a_name_that_comes_and_goes_under_load(self):
        """Callers that open a collection while it is dropped must not leave a dead one behind."""
        name, over = self.name(), threading.Event()
        codes = set()

        def ask():
            client = self.server.client()
            while not over.is_set():
                try:
                    client.count(name)
                except grpc.RpcError as error:
                    codes.add(error.code().name)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(300):
            self.client.create(name, 2)
            self.assertEqual(self.client.count(name), 0)
            self.delete(name)
        over.set()
        for thread in threads:
            thread.join()
        self.assertLessEqual(codes, {"NOT_FOUND"})

    def test_server_info(self):
        info = self.client.info()
        self.assertRegex(info.version, r"^\d+\.\d+\.\d+")
        limits = info.limits
        self.assertEqual((limits.max_dim, limits.max_k, limits.max_ef), (65535, 16384, 16384))
        self.assertEqual(limits.max_message_bytes, 16 * 1024 * 1024)
        self.assertEqual((limits.max_string_id_bytes, limits.max_searches_per_batch), (512, 1024))
        self.assertEqual(limits.max_streams_per_connection, 128)
        self.assertTrue(info.isa and info.server_epoch)

    def measure(self, name, **fields):
        request = MAINTENANCE.MeasureRecallRequest(collection=name, **fields)
        return self.client.maintenance.MeasureRecall(request, timeout=PATIENCE)

    def test_measure_recall(self):
        name = self.name()
        self.client.create(name, 16)
        self.client.add(name, gaussian(2, 3000, 16))
        for graph_only in (False, True):
            measured = self.measure(name, samples=100, graph_only=graph_only)
            self.assertEqual(measured.samples, 100)
            self.assertGreaterEqual(measured.recall, 0.95)
            self.assertTrue(measured.low <= measured.recall <= measured.high)
        self.fails("NOT_FOUND", self.measure, "absent")
        self.fails("INVALID_ARGUMENT", self.measure, name, samples=10001)
        self.fails("INVALID_ARGUMENT", self.measure, name, k=16385)


if __name__ == "__main__":
    unittest.main()
