"""Metadata, filters, words and searches of several parts, against brute force in Python.

SPDX-License-Identifier: Apache-2.0
"""

import gc
import random
import subprocess
import sys
import threading
import unittest
from collections import Counter
from datetime import datetime, timedelta, timezone

import omen
from omen import Index, LikeLeg, TextLeg, VectorLeg

ROWS, DIM = 1500, 4
GENRES = ["Comedy", "Drama", "War", "Western"]
WORDS = ["moon", "train", "desert", "letter", "dragon", "harbour", "violin", "winter"]
UTC = timezone.utc


class Film:
    """One made-up item: whole numbers in the vector make every distance exact."""

    def __init__(self, number, rng):
        self.number = number
        self.vector = [rng.randrange(-50, 50) for _ in range(DIM)]
        self.year = rng.randrange(1900, 2000)
        self.genres = rng.sample(GENRES, rng.randrange(0, 4))
        self.rating = rng.choice([None, 1.5, 2.25, 3.0, 4.75])
        self.seen = rng.random() < 0.5
        self.plot = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 12)))

    def metadata(self):
        return {
            "year": self.year,
            "genres": self.genres,
            "rating": self.rating,
            "seen": self.seen,
            "plot": self.plot,
        }


def distance(film, query):
    return sum((a - b) ** 2 for a, b in zip(film.vector, query))


CONDITIONS = [
    ("year >= 1950", [], lambda f: f.year >= 1950),
    ("year >= $1 AND genres CONTAINS $2", [1950, "Drama"],
     lambda f: f.year >= 1950 and "Drama" in f.genres),
    ("year IN $1 OR NOT seen", [[1901, 1955, 1999]],
     lambda f: f.year in (1901, 1955, 1999) or not f.seen),
    ("genres CONTAINS ANY $1 AND rating > 2", [["War", "Western"]],
     lambda f: set(f.genres) & {"War", "Western"} and f.rating is not None and f.rating > 2),
    ("genres CONTAINS ALL ('Comedy', 'Drama')", [],
     lambda f: {"Comedy", "Drama"} <= set(f.genres)),
    ("rating IS NULL", [], lambda f: f.rating is None),
    ("NOT rating > $1", [2], lambda f: f.rating is not None and not f.rating > 2),
    ("year BETWEEN $1 AND $2 AND seen = $3", [1920, 1930, True],
     lambda f: 1920 <= f.year <= 1930 and f.seen),
    ("year = 1800", [], lambda f: False),
]  # fmt: skip


class FilmTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = random.Random(7)
        cls.films = [Film(i, rng) for i in range(ROWS)]
        cls.queries = [[rng.randrange(-50, 50) for _ in range(DIM)] for _ in range(5)]
        cls.index = Index(dim=DIM, fields={"plot": "text"})
        cls.index.add(
            [film.vector for film in cls.films],
            ids=range(ROWS),
            metadata=[film.metadata() for film in cls.films],
        )

    @classmethod
    def tearDownClass(cls):
        cls.index.close()

    def nearest(self, query, k, passes):
        """The truth: keys and distances of the nearest that pass, ties by key."""
        all_ = sorted((distance(f, query), f.number) for f in self.films if passes(f))
        return [key for _, key in all_[:k]], [float(d) for d, _ in all_[:k]]

    def test_filtered_search_is_exact(self):
        for text, params, passes in CONDITIONS:
            expected = [self.nearest(query, 10, passes) for query in self.queries]
            hits = self.index.search(self.queries, k=10, filter=text, params=params, exact=True)
            compiled = self.index.filter(text, params)
            again = self.index.search(self.queries, k=10, filter=compiled)  # planned, and cached
            for found in (hits, again):
                for q, (keys, distances) in enumerate(expected):
                    self.assertEqual(found.counts[q], len(keys), text)
                    self.assertEqual(found.keys.tolist()[q][: len(keys)], keys, text)
                    self.assertEqual(found.distances.tolist()[q][: len(keys)], distances, text)

    def test_the_graph_finds_what_passes(self):
        self.index.wait()
        with self.index.filter("year >= $1", [1950]) as late:
            found = total = 0
            for query in self.queries:
                hits = self.index.search(query, k=10, ef=200, filter=late, graph_only=True)
                expected, _ = self.nearest(query, 10, lambda f: f.year >= 1950)
                self.assertTrue(all(self.films[key].year >= 1950 for key in hits.keys))
                found += len(set(hits.keys) & set(expected))
                total += len(expected)
            self.assertGreaterEqual(found / total, 0.9)

    def test_counts(self):
        for text, params, passes in CONDITIONS:
            expected = sum(1 for film in self.films if passes(film))
            self.assertEqual(self.index.count(text, params), expected, text)
            with self.index.filter(text, params) as compiled:
                self.assertEqual(self.index.count(compiled), expected, text)
        self.assertEqual(self.index.count(), ROWS)

    def test_facets(self):
        late = [film for film in self.films if film.year >= 1950]
        for field, values in (
            ("genres", [g for film in late for g in film.genres]),
            ("year", [film.year for film in late]),
            ("rating", [film.rating for film in late if film.rating is not None]),
            ("seen", [film.seen for film in late]),
        ):
            expected = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
            facet = self.index.facet(field, "year >= 1950", limit=1000)
            self.assertEqual([tuple(entry) for entry in facet], expected)
            top = self.index.facet(field, "year >= 1950", limit=2)
            self.assertEqual([tuple(entry) for entry in top], expected[:2])

    def test_items(self):
        def truth(order):
            return [f.number for f in sorted(self.films, key=order) if "War" in f.genres]

        for order_by, descending, order in (
            (None, False, lambda f: f.number),
            ("year", False, lambda f: (f.year, f.number)),
            ("year", True, lambda f: (-f.year, f.number)),
            ("rating", False, lambda f: (f.rating is None, f.rating, f.number)),
        ):
            found = self.index.items(
                "genres CONTAINS 'War'", order_by=order_by, descending=descending, page=100,
                metadata=["year"],
            )  # fmt: skip
            items = list(found)
            self.assertEqual([item.id for item in items], truth(order))
            for item in items:
                self.assertEqual(item.metadata, {"year": self.films[item.id].year})

    def test_get(self):
        first, absent, last = self.index.get([0, ROWS, ROWS - 1])
        self.assertIsNone(absent)
        for item in (first, last):
            expected = self.films[item.id].metadata()
            expected = {name: value for name, value in expected.items() if value is not None}
            self.assertEqual(item.metadata, expected)
            self.assertEqual(item.version, 1)
        self.assertIsNone(self.index.get([0], metadata=False)[0].metadata)
        self.assertEqual(self.index.get([0], metadata=[])[0].metadata, {})

    def test_hybrid_is_the_fusion_of_its_lists(self):
        query, words = self.queries[0], "moon dragon"
        for weights, constant in (((1.0, 1.0), 60.0), ((0.5, 2.0), 10.0)):
            lists = [
                self.index.find(vector=query, k=50, filter="seen"),
                self.index.find(text=words, k=50, filter="seen"),
            ]
            scores = Counter()
            for part, weight in zip(lists, weights):
                for rank, key in enumerate(part.keys, 1):
                    scores[int(key)] += weight / (constant + rank)
            expected = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
            found = self.index.find(
                VectorLeg(query, limit=50, weight=weights[0]),
                TextLeg(words, limit=50, weight=weights[1]),
                k=30, offset=5, filter="seen", rank_constant=constant,
            )  # fmt: skip
            self.assertIsNone(found.distances)
            self.assertEqual(len(found), 30)
            for key, score, (_, best) in zip(found.keys, found.scores, expected[5:]):
                self.assertAlmostEqual(score, scores[int(key)], places=6)
                self.assertAlmostEqual(score, best, places=6)

    def test_words(self):
        found = self.index.find(text="dragon", k=ROWS)
        self.assertEqual(
            set(map(int, found.keys)), {f.number for f in self.films if "dragon" in f.plot}
        )
        scores = list(found.scores)
        self.assertEqual(scores, sorted(scores, reverse=True))
        phrase = self.index.find(TextLeg('"moon dragon"', field="plot"), k=ROWS)
        self.assertEqual(
            set(map(int, phrase.keys)), {f.number for f in self.films if "moon dragon" in f.plot}
        )
        above = scores[10]
        some = self.index.find(text="dragon", k=ROWS, min_score=above)
        self.assertEqual(len(some), sum(1 for score in scores if score >= above))

    def test_like_and_max_distance(self):
        a, b = self.films[3], self.films[8]
        middle = [(x + y) / 2 for x, y in zip(a.vector, b.vector)]
        expected = sorted(
            (distance(f, middle), f.number) for f in self.films if f.number not in (3, 8)
        )
        found = self.index.find(LikeLeg([3, 8]), k=5)
        self.assertEqual(list(found.keys), [key for _, key in expected[:5]])
        near = self.index.find(like=[3, 8], k=5, max_distance=expected[2][0])
        self.assertEqual(list(near.keys), [k for d, k in expected[:5] if d <= expected[2][0]])

    def test_groups(self):
        query = self.queries[1]
        order, _ = self.nearest(query, ROWS, lambda f: True)
        groups = {}
        for key in order:
            groups.setdefault(self.films[key].year, []).append(key)
        expected = [key for year in list(groups)[:4] for key in groups[year][:2]]
        found = self.index.find(
            VectorLeg(query, limit=ROWS), k=4, group_by="year", group_size=2
        )
        self.assertEqual(list(found.keys), expected)
        years = [self.films[key].year for key in found.keys]
        self.assertEqual(found.groups, [list(dict.fromkeys(years)).index(year) for year in years])

    def test_explain(self):
        share = self.index.count("year >= 1950") / ROWS
        hits = self.index.search(self.queries[0], filter="year >= 1950", explain=True)
        self.assertEqual(hits.explain[0]["matches"], round(share * ROWS))
        self.assertAlmostEqual(hits.explain[0]["selectivity"], share)
        self.assertEqual(self.index.search(self.queries[0]).explain, [])
        found = self.index.find(vector=self.queries[0], text="moon", explain=True)
        self.assertEqual(found.explain["plan"], "hybrid")

    def test_keys_as_a_filter(self):
        with self.index.filter_keys([5, 9, ROWS + 7]) as chosen:
            self.assertEqual(self.index.count(chosen), 2)
            hits = self.index.search(self.queries[0], filter=chosen)
            self.assertEqual(set(hits.keys), {5, 9})

    def test_errors_of_filters(self):
        for text, params, detail in (
            ("year >", [], "FILTER_SYNTAX"),
            ("year = $1", [], "FILTER_SYNTAX"),
            ("nothing = 1", [], "FIELD"),
            ("year = 'x'", [], "TYPE"),
            ("year = $1", ["x"], "TYPE"),
            ("year IN $1", [[1, "x"]], "TYPE"),
        ):
            with self.assertRaises(omen.InvalidArgument) as caught:
                self.index.search(self.queries[0], filter=text, params=params)
            self.assertEqual(caught.exception.detail, detail, text)
        with self.assertRaises(ValueError):
            self.index.search(self.queries[0], params=[1])
        with self.assertRaises(OverflowError):
            self.index.count("year = $1", [2**63])
        with self.assertRaises(TypeError):
            self.index.count("year = $1", [object()])
        self.assertEqual(self.index.count("year IN $1", [[]]), 0)
        with Index(dim=DIM) as other, self.index.filter("seen") as foreign:
            with self.assertRaises(omen.InvalidArgument) as caught:
                other.count(foreign)
            self.assertEqual(caught.exception.detail, "HANDLE")

    def test_errors_of_searches(self):
        for arguments in (
            {},
            {"vector": self.queries[:2]},
            {"text": "moon", "k": 0},
            {"text": "moon", "k": 16385},
            {"text": "moon", "fusion": "sum"},
            {"text": "moon", "group_by": "genres"},
            {"text": "moon", "group_by": "year", "group_size": 0},
            {"like": [ROWS + 1]},
            {"like": range(1025)},
        ):
            with self.assertRaises(omen.Error, msg=arguments):
                self.index.find(**arguments)
        with self.assertRaises(ValueError):
            TextLeg("moon", weight=0)
        with self.assertRaises(omen.InvalidArgument):
            self.index.find(TextLeg("moon", field="year"))


class WriteTest(unittest.TestCase):
    def test_patch_and_conflicts(self):
        with Index(dim=2, ids="str") as index:
            index.add([[1, 1], [2, 2]], ids=["a", "b"], metadata=[{"n": 1, "s": "x"}, {"n": 2}])
            before = index.get(["a"])[0]
            index.patch(["a"], [{"n": None, "t": "y"}], if_version=[before.version])
            after = index.get(["a"])[0]
            self.assertEqual(after.metadata, {"s": "x", "t": "y"})
            self.assertGreater(after.version, before.version)
            self.assertEqual(index.vectors([after.key]).tolist(), [[1, 1]])
            with self.assertRaises(omen.Error) as caught:
                index.patch(["b", "a"], [{"n": 7}, {"n": 7}],
                            if_version=[before.version, before.version])  # fmt: skip
            error = caught.exception
            self.assertEqual((error.status, error.detail), ("ABORTED", "VERSION_CONFLICT"))
            self.assertEqual(error.item, 1)
            self.assertEqual(index.get(["b"])[0].metadata, {"n": 2})  # all or nothing
            with self.assertRaises(omen.NotFound) as caught:
                index.patch(["a", "c"], [{"n": 1}, {"n": 1}])
            self.assertEqual(caught.exception.item, 1)
            index.add([[3, 3]], ids=["a"], metadata=[{"u": 1}], mode="patch")
            self.assertEqual(index.get(["a"])[0].metadata, {"s": "x", "t": "y", "u": 1})
            index.add([[4, 4]], ids=["a"])  # an upsert replaces everything
            self.assertEqual(index.get(["a"])[0].metadata, {})
            with self.assertRaises(omen.Error) as caught:
                index.add([[5, 5]], ids=["b"], if_version=[0])  # "only if it is not there"
            self.assertEqual(caught.exception.detail, "VERSION_CONFLICT")

    def test_delete_where(self):
        with Index(dim=2) as index:
            index.add([[i, i] for i in range(10)], metadata=[{"n": i} for i in range(10)])
            with index.snapshot() as before:
                self.assertEqual(index.delete_where("n >= $1", [4]).applied, 6)
                self.assertEqual(len(index), 4)
                self.assertEqual(before.count("n >= 4"), 6)
            self.assertEqual(index.delete_where("n >= 4").applied, 0)
            with self.assertRaises(TypeError):
                index.delete_where(None)
            self.assertEqual(index.delete_where("TRUE").applied, 4)

    def test_every_type(self):
        when = datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=timezone(timedelta(hours=2)))
        fields = {"t": "time", "b": "bytes", "g": "geo", "w": "text", "ts": "time[]"}
        with Index(dim=2, fields=fields) as index:
            row = {"i": -5, "d": 1.5, "s": "\u00e4\U0001f409", "l": [1, 2], "o": True, "t": when,
                   "b": b"\0\xff", "g": {"lat": 48.1, "lon": 11.5}, "w": "moon", "ts": [when]}  # fmt: skip
            index.add([[1, 1], [2, 2]], metadata=[row, None])
            got = index.get([0])[0].metadata
            self.assertEqual(got["s"], row["s"])
            self.assertEqual(got["g"], row["g"])
            self.assertEqual(got["b"], "AP8=")
            self.assertEqual(got["t"], "1969-07-20T18:17:40.123456Z")
            for text, value in (
                ("i = $1", -5), ("d = $1", 1.5), ("s = $1", row["s"]), ("l CONTAINS $1", 2),
                ("o = $1", True), ("t = $1", when), ("t = $1", "1969-07-20T18:17:40.123456Z"),
                ("b = $1", b"\0\xff"), ("ts CONTAINS $1", when), ("d IN $1", [1, 1.5]),
            ):  # fmt: skip
                self.assertEqual(index.count(text, [value]), 1, text)
            self.assertEqual(index.count("DISTANCE(g, 48.1, 11.6) < 10000"), 1)
            kinds = {field.name: field.type for field in index.fields()}
            self.assertEqual(kinds["ts"], "time[]")
            self.assertEqual((kinds["i"], kinds["l"], kinds["o"]), ("int64", "int64[]", "bool"))
            with self.assertRaises(ValueError):
                index.count("t = $1", [datetime(2000, 1, 1)])  # which zone?

    def test_fields(self):
        german = omen.Field("text", "text", weight=2.0, language="german", stop_words=True)
        with Index(dim=2, fields=[german]) as index:
            self.assertEqual(index.fields(), [german])
            index.declare([german])
            index.declare({"when": "time"})
            with self.assertRaises(omen.AlreadyExists) as caught:
                index.declare({"other": "string", "when": "string"})
            self.assertEqual(caught.exception.detail, "FIELD")
            self.assertEqual([field.name for field in index.fields()], ["text", "when"])
            for wrong in ({"x": "strings"}, {"x": "array"}, {"a\0b": "bool"}, {"x" * 129: "bool"},
                          {"x": "text[]"}, {"$x": "bool"}):  # fmt: skip
                with self.assertRaises(omen.InvalidArgument):
                    index.declare(wrong)
            self.assertEqual(len(index.fields()), 2)

    def test_refused_metadata_names_its_item(self):
        with Index(dim=2) as index:
            for wrong, detail in (
                ('{"n":', "METADATA"),
                (b"[1]", "METADATA"),
                ({"n": float("nan")}, "METADATA"),
                ({"n": {"x": 1}}, "TYPE"),
            ):
                with self.assertRaises(omen.InvalidArgument) as caught:
                    index.add([[1, 1], [2, 2]], metadata=[{"m": 1}, wrong])
                self.assertEqual((caught.exception.detail, caught.exception.item), (detail, 1))
            with self.assertRaises(TypeError):
                index.add([1, 1], metadata=[{"n": object()}])
            with self.assertRaises(omen.InvalidArgument):
                index.add([1, 1], metadata=[{}, {}])
            self.assertEqual((len(index), index.fields()), (0, []))


class LifeTest(unittest.TestCase):
    def test_any_order_of_closing(self):
        index = Index(dim=2)
        index.add([[1, 1]], metadata=[{"n": 1}])
        condition, snapshot = index.filter("n = 1"), index.snapshot()
        index.close()
        self.assertEqual(snapshot.count(condition), 1)
        snapshot.close()
        condition.close()
        condition.close()
        with Index(dim=2) as other:
            with self.assertRaises(omen.Error) as caught:
                other.count(condition)
            self.assertEqual(caught.exception.detail, "HANDLE")
        items = Index(dim=2).items()
        gc.collect()
        self.assertEqual(list(items), [])

    def test_an_abandoned_iteration_lets_go(self):
        with Index(dim=2) as index:
            index.add([[i, i] for i in range(50)], metadata=[{"n": i} for i in range(50)])
            items = index.items("n >= 0", page=10)
            first = next(items)
            index.delete_where("TRUE")
            self.assertEqual(len(list(items)), 49)  # what it was when it began
            self.assertEqual(first.metadata, {"n": 0})
            started = index.items(page=10)
            self.assertEqual(list(started), [])

    def test_close_a_filter_while_others_search(self):
        with Index(dim=2) as index:
            index.add([[i, i] for i in range(2000)], metadata=[{"n": i} for i in range(2000)])
            condition = index.filter("n >= 1000")
            barrier, failures = threading.Barrier(5), []

            def search():
                barrier.wait()
                try:
                    while True:
                        if index.search([0, 0], k=1, filter=condition).keys[0] != 1000:
                            failures.append("a wrong item")
                except omen.Error as error:
                    if error.detail != "HANDLE":
                        failures.append(error)

            threads = [threading.Thread(target=search) for _ in range(4)]
            for thread in threads:
                thread.start()
            barrier.wait()
            condition.close()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])

    def test_the_end_of_a_program(self):
        program = (
            "import omen\n"
            "index = omen.Index(dim=2)\n"
            "index.add([1, 1], metadata=[{'n': 1}])\n"
            "condition = index.filter('n = 1')\n"
            "items = index.items(condition)\n"
            "next(items)\n"
        )
        child = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
        self.assertEqual((child.returncode, child.stderr), (0, b""))


if __name__ == "__main__":
    unittest.main()
