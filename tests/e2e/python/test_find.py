"""Searches beyond a plain vector: filters, text, several legs, groups, thresholds, facets, explain.

SPDX-License-Identifier: Apache-2.0
"""

import json
import math
import re
import threading
import unittest

import numpy as np
from harness import ITEMS, PATIENCE, TYPES, Test, column, distances_to, gaussian, ids_of

STRING, INT64, DOUBLE, BOOL, TIME, BYTES, GEO, TEXT = range(1, 9)
DELETE = ITEMS.WRITE_OP_DELETE
DIM, ROWS = 8, 5000  # more than one block of metadata and words
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
Value = TYPES.Value


def rows_of(seed):
    """Metadata with every kind of field, some of it missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(ROWS):
        row = {
            "n": int(rng.integers(0, 100)),
            "x": float(np.round(rng.normal(), 3)),
            "s": WORDS[rng.integers(0, len(WORDS))],
            "yes": bool(rng.integers(0, 2)),
            "tags": [WORDS[k] for k in sorted(set(rng.integers(0, len(WORDS), 3).tolist()))],
            "place": {"lat": float(rng.uniform(-80, 80)), "lon": float(rng.uniform(-179, 179))},
            "when": "2026-01-%02dT00:00:00Z" % (1 + i % 28),
            "group": i % 7,
            # Words that neither stem nor stop: one each from a list, with how often it says "common".
            "body": " ".join(["common"] * int(rng.integers(0, 3)) + ["word%d" % (i % 50), "tail"]),
        }
        for field in ("n", "x", "s"):
            if rng.random() < 0.1:
                del row[field]
        rows.append(row)
    return rows


def metres(a, b):
    """Along the sphere of omen.h."""
    lat1, lat2 = math.radians(a["lat"]), math.radians(b["lat"])
    half = math.sin((lat2 - lat1) / 2) ** 2
    half += math.cos(lat1) * math.cos(lat2) * math.sin(math.radians(b["lon"] - a["lon"]) / 2) ** 2
    return 2 * 6371008.8 * math.asin(min(1, math.sqrt(half)))


def known(row, *fields):
    return all(f in row for f in fields)


# Text, parameters, and the same as Python: a comparison with what is missing is never true.
FILTERS = [
    ("n = 5", (), lambda r: r.get("n") == 5),
    ("n != 5", (), lambda r: known(r, "n") and r["n"] != 5),
    ("NOT n < $1", (Value(int_value=90),), lambda r: known(r, "n") and r["n"] >= 90),
    ("x >= -0.5 and x <= 0.25", (), lambda r: known(r, "x") and -0.5 <= r["x"] <= 0.25),
    ("n BETWEEN $1 AND $2", (Value(int_value=10), Value(int_value=12)),
     lambda r: 10 <= r.get("n", -1) <= 12),
    ("n < 2.5", (), lambda r: r.get("n", 99) < 2.5),
    ("s = $1", (Value(string_value="beta"),), lambda r: r.get("s") == "beta"),
    ("s IN ('beta', 'zeta')", (), lambda r: r.get("s") in ("beta", "zeta")),
    ("s IN $1", (Value(strings=TYPES.StringList(values=["beta", "none"])),), lambda r: r.get("s") == "beta"),
    ("n NOT IN $1", (Value(ints=TYPES.IntList(values=range(0, 100, 2))),),
     lambda r: known(r, "n") and r["n"] % 2 == 1),
    ("s LIKE 'e%'", (), lambda r: r.get("s", "").startswith("e")),
    ("s > 'kappa'", (), lambda r: r.get("s", "") > "kappa"),
    ("yes", (), lambda r: r["yes"]),
    ("yes = $1 AND n IS NULL", (Value(bool_value=False),), lambda r: not r["yes"] and "n" not in r),
    ("n IS NOT NULL", (), lambda r: "n" in r),
    ("tags CONTAINS 'iota'", (), lambda r: "iota" in r["tags"]),
    ("tags CONTAINS ANY ('iota', 'eta')", (), lambda r: {"iota", "eta"} & set(r["tags"])),
    ("tags CONTAINS ALL ('iota', 'eta')", (), lambda r: {"iota", "eta"} <= set(r["tags"])),
    ("when >= '2026-01-20T00:00:00Z'", (), lambda r: r["when"] >= "2026-01-20T00:00:00Z"),
    ("when < $1", (Value(time_value=1767571200 * 10**6),), lambda r: r["when"] < "2026-01-05"),
    ("DISTANCE(place, 10, 20) <= 3000000", (),
     lambda r: metres(r["place"], {"lat": 10, "lon": 20}) <= 3000000),
    ("(n < 10 OR s = 'eta') AND NOT (yes OR x > 0)", (),
     lambda r: three(r) is True),
    ("TRUE", (), lambda r: True),
    ("FALSE", (), lambda r: False),
]


def three(r):
    """(n < 10 OR s = 'eta') AND NOT (yes OR x > 0) in the three-valued logic of SQL."""

    def either(a, b):
        return True if a is True or b is True else None if a is None or b is None else False

    left = either(r["n"] < 10 if "n" in r else None, r["s"] == "eta" if "s" in r else None)
    right = either(r["yes"], r["x"] > 0 if "x" in r else None)
    right = None if right is None else not right
    if left is False or right is False:
        return False
    return True if left and right else None


def vector_leg(vector, **fields):
    leg = {k: fields.pop(k) for k in ("ef", "exact", "rerank") if k in fields}
    return ITEMS.Leg(vector=ITEMS.VectorLeg(vector=column(vector), **leg), **fields)


def text_leg(text, field="", weight=0, limit=0, **fields):
    return ITEMS.Leg(text=ITEMS.TextLeg(text=text, field=field, **fields), weight=weight, limit=limit)


class FindTest(Test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vectors, cls.rows = gaussian(1, ROWS, DIM), rows_of(2)
        fields = [
            TYPES.Field(name="place", type=GEO),
            TYPES.Field(name="when", type=TIME),
            TYPES.Field(name="body", type=TEXT, no_stemming=True),
        ]
        cls.client.create("films", DIM, fields=fields)
        for first in range(0, ROWS, 500):
            part = slice(first, first + 500)
            items = TYPES.ItemBatch(
                ids=ids_of(range(first, first + 500)),
                vectors=column(cls.vectors[part]),
                metadata=TYPES.Metadata(json=[json.dumps(r).encode() for r in cls.rows[part]]),
            )
            cls.client.write("films", ITEMS.WriteBatch(items=items))

    def find(self, legs, timeout=PATIENCE, **fields):
        legs = [legs] if isinstance(legs, ITEMS.Leg) else legs
        request = ITEMS.SearchRequest(collection="films", legs=legs, **fields)
        return self.client.items.Search(request, timeout=timeout)

    def passing(self, test):
        return np.array([i for i, r in enumerate(self.rows) if test(r)], dtype=np.int64)

    def nearest(self, query, keys):
        """The keys by distance, with the distances, in double precision."""
        d = distances_to(query, self.vectors[keys], 1)
        order = np.lexsort((keys, d))
        return keys[order], d[order]

    def test_filtered_searches_equal_brute_force(self):
        query = gaussian(3, 1, DIM)[0]
        for text, params, test in FILTERS:
            with self.subTest(filter=text):
                keys, distances = self.nearest(query, self.passing(test))
                for exact in (False, True):
                    got = self.find(
                        vector_leg(query, exact=exact, ef=200), limit=20, filter=text, params=params, explain=1
                    )
                    self.assertEqual(len(got.ids.u64), min(20, len(keys)))
                    self.assertFalse(got.scores)
                    if exact:
                        self.assertEqual(list(got.ids.u64), keys[:20].tolist())
                        np.testing.assert_allclose(got.distances, distances[:20], rtol=1e-4, atol=1e-5)
                    else:
                        hits = len(set(got.ids.u64) & set(keys[:20].tolist()))
                        self.assertGreaterEqual(hits, 0.9 * min(20, len(keys)))
                        self.assertTrue(set(got.ids.u64) <= set(keys.tolist()))
                    self.assertEqual(got.explain.matches, len(keys))
                counted = ITEMS.CountRequest(collection="films", filter=text, params=params)
                self.assertEqual(self.client.items.Count(counted).count, len(keys))

    def test_filter_errors_tell_the_place(self):
        query = np.zeros(DIM, np.float32)
        for text, params, reason, byte in (
            ("n =", (), "FILTER_SYNTAX", 3),
            ("n = 1 AND", (), "FILTER_SYNTAX", 9),
            ("n = 1 )", (), "FILTER_SYNTAX", 6),
            ("(n = 1", (), "FILTER_SYNTAX", 6),
            ("n ~ 1", (), "FILTER_SYNTAX", 2),
            ("s = 'open", (), "FILTER_SYNTAX", None),
            ("absent = 1", (), "FIELD", None),
            ("n = 'text'", (), "TYPE", None),
            ("s = 5", (), "TYPE", None),
            ("s LIKE '%x'", (), None, None),
            ("n = $1", (), None, None),
            ("n = $1", (Value(string_value="x"),), "TYPE", None),
            ("(" * 65 + "n = 1" + ")" * 65, (), None, None),
            (" OR ".join(["n = 1"] * 1025), (), None, None),
            ("x" * 65537, (), "LIMIT", None),
        ):
            with self.subTest(filter=text[:40]):
                failure = self.fails(
                    "INVALID_ARGUMENT", self.find, vector_leg(query), filter=text, params=params,
                    reason=reason, field="filter",
                )
                if byte is not None:
                    self.assertIn(str(byte), re.findall(r"\d+", failure.text), failure)
        for text in ("(" * 64 + "n = 1" + ")" * 64, " OR ".join(["n = 1"] * 1024)):
            self.assertTrue(self.find(vector_leg(query), filter=text).ids.u64)
        stray = [Value(int_value=1)]
        self.fails("INVALID_ARGUMENT", self.find, vector_leg(query), params=stray, field="params")
        self.fails(
            "INVALID_ARGUMENT", self.find, vector_leg(query), filter="n = $1",
            params=[Value(int_value=1)] * 1025, field="params",
        )
        page = self.server.get("/metrics")[1]
        for reason in ("FILTER_SYNTAX", "FIELD", "TYPE"):
            count = re.search(r'omendb_filter_errors_total{reason="%s"} (\d+)' % reason, page)
            self.assertGreater(int(count[1]), 0)

    def bm25(self, word, k1=1.2, b=0.75):
        """The scores of one word over `body`: how Lucene counts, without its rounding of lengths."""
        bodies = [r["body"].split() for r in self.rows]
        mean = sum(len(w) for w in bodies) / len(bodies)
        found = {i: w.count(word) for i, w in enumerate(bodies) if word in w}
        idf = math.log(1 + (len(bodies) - len(found) + 0.5) / (len(found) + 0.5))
        return {
            i: idf * tf / (tf + k1 * (1 - b + b * len(bodies[i]) / mean)) for i, tf in found.items()
        }

    def test_text(self):
        want = self.bm25("word7")
        got = self.find(text_leg("word7"), limit=100, explain=1)
        self.assertEqual(set(got.ids.u64), set(want))
        self.assertFalse(got.distances)
        self.assertEqual(list(got.scores), sorted(got.scores, reverse=True))
        # The scores agree up to a factor that all of them share.
        factors = [s / want[i] for i, s in zip(got.ids.u64, got.scores)]
        np.testing.assert_allclose(factors, factors[0], rtol=0.05)
        self.assertEqual(got.explain.plan, "text")
        self.assertGreaterEqual(got.explain.candidates, len(want))
        self.assertEqual([s.name for s in got.explain.stages if s.name == "text"], ["text"])
        # More of a word is better, and both words are better than one.
        common = self.find(text_leg("common"), limit=10)
        self.assertTrue(all(self.rows[i]["body"].count("common") == 2 for i in common.ids.u64))
        both = self.bm25("common")
        for key, score in want.items():
            both[key] = both.get(key, 0) + score
        best = self.find(text_leg("common word7"), limit=10).ids.u64
        least = sorted(both.values(), reverse=True)[9]
        self.assertTrue(all(both[key] > 0.95 * least for key in best))
        phrase = self.find(text_leg('"word7 tail"'), limit=100)
        self.assertEqual(set(phrase.ids.u64), set(want))
        self.assertFalse(self.find(text_leg('"tail word7"'), limit=100).ids.u64)
        self.assertFalse(self.find(text_leg("nowhere"), limit=100).ids.u64)
        filtered = self.find(text_leg("word7", field="body"), limit=100, filter="yes")
        self.assertEqual(set(filtered.ids.u64), {i for i in want if self.rows[i]["yes"]})
        least = got.scores[len(got.scores) // 2]
        some = self.find(text_leg("word7"), limit=100, min_score=least)
        self.assertEqual(list(some.ids.u64), [i for i, s in zip(got.ids.u64, got.scores) if s >= least])

    def test_text_errors(self):
        for leg, field in (
            (text_leg(""), "text.text"),
            (text_leg("x" * 65537), "text.text"),
            (text_leg("x", field="absent"), "text.field"),
            (text_leg("x", field="s"), "text.field"),
            (text_leg("x", field="f" * 129), "text.field"),
            (text_leg("x", b=1.5), "text.b"),
            (text_leg("x", k1=-1), "text.k1"),
            (text_leg("x", k1=float("nan")), "text.k1"),
            (text_leg("x", weight=-1), "legs.weight"),
        ):
            with self.subTest(field=field):
                self.fails("INVALID_ARGUMENT", self.find, leg, field=field)
        self.assertEqual(len(self.find(text_leg("word1 " * 10922)).ids.u64), 10)

    def test_fusion(self):
        query = gaussian(5, 1, DIM)[0]
        legs = [vector_leg(query, exact=True, weight=2), text_leg("word3 common", weight=1)]
        lists = [self.find(legs[0], limit=100).ids.u64, self.find(legs[1], limit=100).ids.u64]
        for constant in (0, 10):
            want = {}
            for weight, found in zip((2, 1), lists):
                for rank, key in enumerate(found):
                    want[key] = want.get(key, 0) + weight / ((constant or 60) + rank + 1)
            got = self.find(legs, limit=20, rank_constant=constant, explain=1)
            self.assertEqual(got.explain.plan, "hybrid")
            self.assertFalse(got.distances)
            order = sorted(want, key=lambda k: (-want[k], k))[:20]
            self.assertEqual(list(got.ids.u64), order)
            np.testing.assert_allclose(got.scores, [want[k] for k in order], rtol=1e-5)
        # The legs' own limits, and pages.
        short = [vector_leg(query, exact=True, limit=3), text_leg("word3", limit=2)]
        self.assertLessEqual(len(self.find(short, limit=50).ids.u64), 5)
        whole = self.find(legs, limit=40)
        pages = [self.find(legs, limit=10, offset=o) for o in range(0, 40, 10)]
        self.assertEqual(list(whole.ids.u64), [k for p in pages for k in p.ids.u64])
        weighted = self.find(legs, limit=20, fusion=2)
        self.assertEqual(list(weighted.scores), sorted(weighted.scores, reverse=True))
        self.assertLessEqual(weighted.scores[0], 3.0001)
        most = self.find([text_leg("word%d" % i) for i in range(16)], limit=10)
        self.assertEqual(len(most.ids.u64), 10)
        for more, fields, field in (
            ([text_leg("x")] * 17, {}, "legs"),
            (legs, {"fusion": 3}, "fusion"),
            (legs, {"rank_constant": -1}, "rank_constant"),
            (legs, {"limit": 10000, "offset": 6385}, "offset"),
            (legs, {"max_distance": 1}, "max_distance"),
            (legs[:1], {"min_score": 1}, "min_score"),
            (legs[:1], {"max_distance": float("nan")}, "max_distance"),
            ([ITEMS.Leg()], {}, "legs"),
            ([], {}, "legs"),
        ):
            self.fails("INVALID_ARGUMENT", self.find, more, **fields, field=field)
        self.find(legs, limit=10000, offset=6384)

    def test_like(self):
        mean = self.vectors[[3, 4]].mean(axis=0)
        others = np.array([i for i in range(ROWS) if i not in (3, 4)])
        keys, _ = self.nearest(mean, others)
        got = self.find(ITEMS.Leg(like=ids_of([3, 4])), limit=10)
        self.assertGreaterEqual(len(set(got.ids.u64) & set(keys[:10].tolist())), 9)
        self.assertNotIn(3, got.ids.u64)
        self.assertEqual(len(got.distances), 10)
        failure = self.fails(
            "NOT_FOUND", self.find, ITEMS.Leg(like=ids_of([3, 999999])), reason="ITEM_NOT_FOUND"
        )
        self.assertEqual(failure.metadata["item"], "1")
        self.fails("INVALID_ARGUMENT", self.find, ITEMS.Leg(like=ids_of(["x"])), field="legs.like")
        self.fails("INVALID_ARGUMENT", self.find, ITEMS.Leg(like=TYPES.Ids()), field="legs.like")

    def test_like_with_string_ids(self):
        name = self.name()
        self.client.create(name, DIM, id_type=3)
        ids = ["id%d" % i for i in range(100)]
        self.client.add(name, self.vectors[:100], ids)
        leg = ITEMS.Leg(like=ids_of(["id5"]))
        request = ITEMS.SearchRequest(collection=name, legs=[leg], limit=5)
        keys, _ = self.nearest(self.vectors[5], np.delete(np.arange(100), 5))
        found = self.client.items.Search(request, timeout=PATIENCE).ids.str
        self.assertEqual(list(found), ["id%d" % k for k in keys[:5]])
        request.legs[0].like.str.append("absent")
        failure = self.fails("NOT_FOUND", self.client.items.Search, request, reason="ITEM_NOT_FOUND")
        self.assertEqual(failure.metadata["item"], "1")

    def test_thresholds_and_offsets(self):
        query = gaussian(6, 1, DIM)[0]
        keys, distances = self.nearest(query, np.arange(ROWS))
        bound = float((distances[9] + distances[10]) / 2)
        got = self.find(vector_leg(query, exact=True), limit=50, max_distance=bound)
        self.assertEqual(list(got.ids.u64), keys[:10].tolist())
        got = self.find(vector_leg(query, exact=True), limit=7, offset=5)
        self.assertEqual(list(got.ids.u64), keys[5:12].tolist())
        self.assertEqual(self.find(vector_leg(query), limit=5, offset=ROWS).ids.u64, [])

    def test_groups(self):
        query = gaussian(7, 1, DIM)[0]
        keys, _ = self.nearest(query, np.arange(ROWS))
        want, sizes = [], {}
        for key in keys:
            group = self.rows[key]["group"]
            if group in sizes or len(sizes) < 3:
                sizes.setdefault(group, [])
                if len(sizes[group]) < 2:
                    sizes[group].append(int(key))
        want = [k for members in sizes.values() for k in members]
        got = self.find(
            vector_leg(query, exact=True), limit=3, group_by="group", group_size=2, with_metadata=True
        )
        self.assertEqual(sorted(got.ids.u64), sorted(want))
        self.assertEqual(len(got.groups), len(got.ids.u64))
        groups = {}
        for number, text in zip(got.groups, got.metadata.json):
            groups.setdefault(number, set()).add(json.loads(text)["group"])
        self.assertEqual(sorted(groups), [0, 1, 2])
        self.assertTrue(all(len(v) == 1 for v in groups.values()))
        one = self.find(vector_leg(query, exact=True), limit=5, group_by="group")
        self.assertEqual(len({self.rows[k]["group"] for k in one.ids.u64}), 5)
        for fields, field in (
            ({"group_by": "absent"}, "group_by"),
            ({"group_by": "tags"}, "group_by"),
            ({"group_by": "x" * 129}, "group_by"),
            ({"group_size": 2}, "group_size"),
            ({"group_by": "group", "limit": 8192, "group_size": 3}, "group_size"),
        ):
            self.fails("INVALID_ARGUMENT", self.find, vector_leg(query), **fields, field=field)

    def test_answers_with_everything(self):
        query = gaussian(8, 1, DIM)[0]
        got = self.find(
            [vector_leg(query), text_leg("common")], limit=10, filter="n < 50", with_vectors=True,
            fields=["n", "s"], facets=[ITEMS.FacetRequest(field="s", limit=3)], explain=1,
        )
        vectors = np.frombuffer(got.vectors.data, np.float32).reshape(-1, DIM)
        self.assertTrue((vectors == self.vectors[list(got.ids.u64)]).all())
        for key, text in zip(got.ids.u64, got.metadata.json):
            row = self.rows[key]
            self.assertEqual(json.loads(text), {f: row[f] for f in ("n", "s") if f in row})
        rows = [r for r in self.rows if r.get("n", 99) < 50]
        counts = {}
        for row in rows:
            if "s" in row:
                counts[row["s"]] = counts.get(row["s"], 0) + 1
        top = sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:3]
        (facet,) = got.facets
        self.assertEqual([(json.loads(v), c) for v, c in zip(facet.values, facet.counts)], top)
        self.assertEqual(got.explain.matches, len(rows))
        self.assertAlmostEqual(got.explain.selectivity, len(rows) / ROWS, places=6)
        self.assertEqual(
            [s.name for s in got.explain.stages],
            ["queue", "filter", "entry", "graph", "scan", "rerank", "text", "fuse"],
        )
        plain = self.find(vector_leg(query), explain=1)
        self.assertEqual(
            [s.name for s in plain.explain.stages], ["queue", "entry", "graph", "scan", "rerank"]
        )
        self.assertFalse(plain.metadata.json or plain.facets or plain.groups or plain.scores)
        whole = self.find(vector_leg(query), with_metadata=True)
        self.assertEqual([json.loads(j)["group"] for j in whole.metadata.json],
                         [self.rows[k]["group"] for k in whole.ids.u64])
        for fields, field in (
            ({"facets": [ITEMS.FacetRequest(field="absent")]}, "facets.field"),
            ({"facets": [ITEMS.FacetRequest(field="body")]}, "facets.field"),
            ({"facets": [ITEMS.FacetRequest(field="s", limit=1001)]}, "facets.limit"),
            ({"facets": [ITEMS.FacetRequest(field="s")] * 17}, "facets"),
            ({"fields": ["absent"]}, "fields"),
            ({"fields": ["s"] * 1025}, "fields"),
        ):
            self.fails("INVALID_ARGUMENT", self.find, vector_leg(query), **fields, field=field)

    def test_answers_are_whole_while_items_come_and_go(self):
        """All columns of an answer have the same items, though some are deleted while it is made."""
        name = self.name()
        self.client.create(name, DIM, id_type=3)
        ids = ["id%d" % i for i in range(200)]
        rows = [json.dumps({"id": i}).encode() for i in ids]
        stop = threading.Event()

        def write(part, op):
            items = TYPES.ItemBatch(ids=ids_of(ids[part]))
            if op != DELETE:
                items.vectors.CopyFrom(column(self.vectors[:200][part]))
                items.metadata.CopyFrom(TYPES.Metadata(json=rows[part]))
            self.client.write(name, ITEMS.WriteBatch(op=op, items=items))

        def churn():
            first = 0
            while not stop.is_set():
                part = slice(first, first + 20)
                write(part, DELETE)
                write(part, 1)
                first = (first + 20) % 200

        write(slice(0, 200), 1)
        writer = threading.Thread(target=churn)
        writer.start()
        try:
            searches = [
                ITEMS.SearchRequest(
                    collection=name, legs=[vector_leg(q)], limit=100, with_metadata=True,
                    with_vectors=True,
                )
                for q in gaussian(12, 300, DIM)
            ]
            request = ITEMS.BatchSearchRequest(searches=searches)
            for answer in self.client.items.BatchSearch(request, timeout=PATIENCE):
                if answer.code == 10:
                    continue  # too many came and went: it may be asked again
                found = answer.result
                self.assertEqual(answer.code, 0, answer)
                self.assertEqual([json.loads(j)["id"] for j in found.metadata.json], list(found.ids.str))
                vectors = np.frombuffer(found.vectors.data, np.float32).reshape(-1, DIM)
                want = self.vectors[[int(i[2:]) for i in found.ids.str]]
                self.assertTrue((vectors == want).all())
                self.assertEqual(len(found.distances), len(found.ids.str))
        finally:
            stop.set()
            writer.join()

    def test_batches_of_searches(self):
        query = gaussian(9, 1, DIM)[0]
        make = ITEMS.SearchRequest
        searches = [
            make(collection="films", legs=[vector_leg(query, exact=True)], filter="n = %d" % (i % 30))
            for i in range(60)
        ]
        searches.append(make(collection="films", legs=[text_leg("common")], filter="n ="))
        searches.append(make(collection="films", legs=[text_leg("common")], with_metadata=True))
        request = ITEMS.BatchSearchRequest(searches=searches)
        answers = {a.index: a for a in self.client.items.BatchSearch(request, timeout=PATIENCE)}
        self.assertEqual(sorted(answers), list(range(62)))
        for i in range(60):
            keys, _ = self.nearest(query, self.passing(lambda r, n=i % 30: r.get("n") == n))
            self.assertEqual(list(answers[i].result.ids.u64), keys[:10].tolist())
        self.assertEqual((answers[60].code, answers[60].reason), (3, "FILTER_SYNTAX"))
        self.assertEqual(len(answers[61].result.metadata.json), 10)

    def test_metrics(self):
        query = gaussian(10, 1, DIM)[0]
        self.find(vector_leg(query), filter="n = 1")
        self.find(text_leg("common"))
        self.find([vector_leg(query), text_leg("common")])
        page = self.server.get("/metrics")[1]

        def value(series):
            return float(re.search("^" + re.escape(series) + r" (\S+)$", page, re.MULTILINE)[1])

        self.assertGreater(value('omendb_search_seconds_count{plan="text"}'), 0)
        self.assertGreater(value('omendb_search_seconds_count{plan="hybrid"}'), 0)
        self.assertGreater(value("omendb_search_filter_seconds_count"), 0)
        self.assertGreaterEqual(value("omendb_search_postings_total"), 0)
        self.assertEqual(value("omendb_search_short_total"), 0)
        self.assertGreater(value('omendb_collection_bytes{collection="films",part="metadata"}'), 0)
        self.assertGreater(value('omendb_collection_bytes{collection="films",part="text"}'), 0)

    def test_limits_are_told(self):
        limits = self.client.info().limits
        told = {
            "max_metadata_bytes": 1 << 20, "max_fields": 1024, "max_field_name_bytes": 128,
            "max_array_values": 65536, "max_filter_bytes": 65536, "max_filter_depth": 64,
            "max_filter_terms": 1024, "max_params": 1024, "max_param_values": 1 << 20,
            "max_legs": 16, "max_text_query_bytes": 65536, "max_facets": 16,
            "max_facet_values": 1000, "max_like_items": 1024, "max_get_items": 65536,
        }
        self.assertEqual({name: getattr(limits, name) for name in told}, told)


if __name__ == "__main__":
    unittest.main()
