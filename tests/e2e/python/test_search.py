"""Search against brute force in double precision, for all metrics; limits, deadlines, cancelling.

SPDX-License-Identifier: Apache-2.0
"""

import unittest

import grpc
import numpy as np
from harness import (
    ITEMS,
    MAINTENANCE,
    PATIENCE,
    TYPES,
    Test,
    distances_to,
    gaussian,
    poll,
    search_of,
)

ROWS, DIM, QUERIES = 4000, 24, 50


class SearchTest(Test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vectors, cls.queries = gaussian(1, ROWS, DIM), gaussian(2, QUERIES, DIM)
        cls.vectors[17] = 0  # the zero vector: cosine distance 1 to everything
        for metric in (1, 2, 3):
            cls.client.create("metric-%d" % metric, DIM, metric=metric)
            for at in range(0, ROWS, 1000):
                part = cls.vectors[at : at + 1000]
                cls.client.add("metric-%d" % metric, part, range(at, at + 1000))

    def check_exact(self, query, metric, found, limit):
        truth = distances_to(query, self.vectors, metric)
        order = np.lexsort((np.arange(ROWS), truth))[:limit]
        got = np.array(found.distances)
        scale = max(1.0, float(np.abs(truth).max()))
        np.testing.assert_allclose(got, truth[order], atol=1e-5 * scale)
        ids = np.array(found.ids.u64, dtype=np.int64)
        np.testing.assert_allclose(truth[ids], truth[order], atol=1e-5 * scale)
        self.assertEqual(len(set(ids.tolist())), limit)
        self.assertTrue((np.diff(got) >= 0).all())

    def test_exact_equals_brute_force(self):
        for metric in (1, 2, 3):
            for query in self.queries[:10]:
                found = self.client.search("metric-%d" % metric, query, limit=20, exact=True)
                self.check_exact(query, metric, found, 20)
        every = self.client.search("metric-3", self.queries[0], limit=ROWS + 1, exact=True)
        self.check_exact(self.queries[0], 3, every, ROWS)

    def test_recall(self):
        for metric in (1, 2, 3):
            hits = 0
            for query in self.queries:
                ef = 256 if metric == 2 else 0  # inner products need a wider beam on such data
                found = self.client.search("metric-%d" % metric, query, limit=10, ef=ef)
                truth = np.argsort(distances_to(query, self.vectors, metric), kind="stable")[:10]
                hits += len(set(truth.tolist()) & set(found.ids.u64))
            self.assertGreaterEqual(hits / (10 * QUERIES), 0.95, "metric %d" % metric)

    def test_batch_search(self):
        searches = [search_of("metric-1", q, limit=i % 7 + 1) for i, q in enumerate(self.queries)]
        searches[3] = search_of("absent", self.queries[3])
        searches[4] = search_of("metric-1", self.queries[4][:5])
        request = ITEMS.BatchSearchRequest(searches=searches)
        answers = list(self.client.items.BatchSearch(request, timeout=PATIENCE))
        self.assertEqual(sorted(a.index for a in answers), list(range(QUERIES)))
        for answer in answers:
            if answer.index == 3:
                self.assertEqual((answer.code, answer.HasField("result")), (5, False), answer)
            elif answer.index == 4:
                self.assertEqual((answer.code, answer.reason), (3, "DIM_MISMATCH"), answer)
            else:
                single = self.client.search(
                    "metric-1", self.queries[answer.index], limit=answer.index % 7 + 1
                )
                self.assertEqual(answer.code, 0)
                self.assertEqual(answer.result.ids, single.ids)
        most = ITEMS.BatchSearchRequest(searches=searches[:1] * 1024)
        self.assertEqual(len(list(self.client.items.BatchSearch(most, timeout=PATIENCE))), 1024)
        over = ITEMS.BatchSearchRequest(searches=searches[:1] * 1025)
        self.fails(
            "INVALID_ARGUMENT", lambda: list(self.client.items.BatchSearch(over)), reason="LIMIT"
        )

    def test_more_of_an_answer(self):
        found = self.client.search(
            "metric-1", self.vectors[5], limit=3, explain=1, with_vectors=True
        )
        self.assertEqual(found.ids.u64[0], 5)
        self.assertEqual(found.distances[0], 0)
        self.assertIn(found.explain.plan, ("exact", "graph"))
        self.assertGreater(found.explain.distances + found.explain.scanned, 0)
        self.assertGreater(len(found.explain.stages), 0)
        self.assertEqual(found.vectors.dim, DIM)
        back = np.frombuffer(found.vectors.data, np.float32).reshape(3, DIM)
        self.assertTrue((back == self.vectors[list(found.ids.u64)]).all())
        self.assertGreater(found.version, 0)
        self.assertFalse(found.partial or found.scores)
        self.assertEqual(len(self.client.search("metric-1", self.vectors[5], limit=0).ids.u64), 10)

    def test_read_your_writes(self):
        self.client.create("fresh", 2)
        for i in range(20):
            vector = np.float32([[i, -i]])
            version = self.client.add("fresh", vector, [i]).version
            found = self.client.search("fresh", vector[0], limit=1, min_version=version)
            self.assertEqual((list(found.ids.u64), found.distances[0]), ([i], 0))
            self.assertGreaterEqual(found.version, version)

    def test_a_version_that_nobody_has_written(self):
        self.fails(
            "OUT_OF_RANGE", self.client.search, "metric-1", self.queries[0], min_version=2**60
        )

    def test_limits(self):
        query = self.queries[0]
        self.assertEqual(len(self.client.search("metric-1", query, limit=16384).ids.u64), ROWS)
        self.client.search("metric-1", query, ef=16384)
        for fields in ({"limit": 16385}, {"ef": 16385}):
            failure = self.fails(
                "INVALID_ARGUMENT", self.client.search, "metric-1", query, reason="LIMIT", **fields
            )
            self.assertIn("16385", failure.text)
            self.assertIn("16384", failure.text)

    def test_bad_searches(self):
        search, query = self.client.search, self.queries[0].copy()
        self.fails("NOT_FOUND", search, "absent", query)
        self.fails("INVALID_ARGUMENT", search, "", query)
        self.fails(
            "INVALID_ARGUMENT", search, "metric-1", query[:3], reason="DIM_MISMATCH", field="dim"
        )
        self.fails("INVALID_ARGUMENT", search, "metric-1", query, filter="a = 1", reason="FIELD")
        query[3] = np.nan
        self.fails("INVALID_ARGUMENT", search, "metric-1", query, reason="NOT_FINITE")
        items = self.client.items
        none = ITEMS.SearchRequest(collection="metric-1")
        self.fails("INVALID_ARGUMENT", items.Search, none)
        text = ITEMS.SearchRequest(
            collection="metric-1", legs=[ITEMS.Leg(text=ITEMS.TextLeg(text="x"))]
        )
        self.fails("INVALID_ARGUMENT", items.Search, text)
        empty = search_of("metric-1", self.queries[0])
        empty.legs[0].vector.vector.CopyFrom(TYPES.VectorColumn(type=1, dim=DIM))
        self.fails("INVALID_ARGUMENT", items.Search, empty)

    def long_call(self):
        """A call that takes minutes: thousands of exact searches."""
        request = MAINTENANCE.MeasureRecallRequest(collection="long", samples=10000, k=10)
        return request

    def in_flight(self):
        _, page = self.server.get("/metrics")
        lines = [line for line in page.splitlines() if line.startswith("omendb_grpc_server_in")]
        return sum(float(line.split()[-1]) for line in lines if "MeasureRecall" in line)

    def test_cancel_and_deadline_stop_the_engine(self):
        self.client.create("long", 256)
        for at in range(0, 40000, 10000):
            self.client.add("long", gaussian(at, 10000, 256), range(at, at + 10000))
        measure = self.client.maintenance.MeasureRecall
        call = measure.future(self.long_call(), timeout=PATIENCE)
        poll("the call runs", lambda: self.in_flight() == 1)
        call.cancel()
        poll("the cancelled call is over", lambda: self.in_flight() == 0)
        with self.assertRaises(grpc.RpcError) as caught:
            measure(self.long_call(), timeout=0.5)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        poll("the expired call is over", lambda: self.in_flight() == 0)
        exact = search_of("long", gaussian(1, 1, 256), exact=True)
        request = ITEMS.BatchSearchRequest(searches=[exact] * 1024)
        stream = self.client.items.BatchSearch(request, timeout=PATIENCE)
        next(stream)
        stream.cancel()
        with self.assertRaises(grpc.RpcError) as caught:
            list(stream)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)
        self.assertEqual(self.client.count("long"), 40000)


if __name__ == "__main__":
    unittest.main()
