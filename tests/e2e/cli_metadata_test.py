#!/usr/bin/env python3
"""cli_metadata_test.py - metadata, filters, words and searches of several parts with the omen tool: the same
walks on a segment file, in a database and at a server. Standard library only.

Usage: cli_metadata_test.py BUILD DATA [unittest arguments]      (BUILD/bin holds omen and omend)

SPDX-License-Identifier: Apache-2.0
"""
import json
import struct
import sys
import unittest

from cli_test import (BAD_INPUT, NOT_FOUND, PRECONDITION, USAGE, Folder, Server, omen, omen_json)

FILMS = [
    {"id": 1, "vector": [0, 0], "title": "The Thin Man", "year": 1934, "genres": ["Crime", "Comedy"],
     "text": "A retired detective drinks in New York."},
    {"id": 2, "vector": [1, 0], "title": "The Big Sleep", "year": 1946, "genres": ["Crime"],
     "text": "A private detective in Los Angeles."},
    {"id": 3, "vector": [0, 2], "title": "Das Boot", "year": 1981, "genres": ["War"],
     "text": "A submarine in the war.", "rating": 8.4},
    {"id": 4, "vector": [3, 0], "title": "Airplane!", "year": 1980, "genres": ["Comedy"],
     "text": "Nobody flies to New Jersey, nor to York."},
]
FIELDS = ("--field", "title:text:weight=3", "--field", "text:text", "--field", "at:geo")


def lines_of(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows_of(*args, **more):
    return [json.loads(line) for line in omen(*args, "--json", **more).stdout.splitlines()]


class Walks:
    """What must be the same on all targets: self.films is the target, self.at its options."""

    def fill(self):
        omen("import", self.films, "-", "--format", "jsonl", "--create", *FIELDS, *self.at,
             text=lines_of(FILMS))

    def search(self, *args):
        return omen_json("search", self.films, *args, *self.at)

    def found(self, *args):
        return [hit["id"] for hit in self.search(*args)["hits"]]

    def metadata(self, name):
        return omen_json("get", self.films, name, "--metadata", *self.at)["metadata"]

    def everything(self):
        return {row["id"]: row["metadata"] for row in rows_of("items", self.films, *self.at)}

    def test_what_goes_in_comes_out(self):
        self.fill()
        want = {f["id"]: {k: v for k, v in f.items() if k not in ("id", "vector")} for f in FILMS}
        self.assertEqual(self.everything(), want)
        fields = {f["name"]: f for f in omen_json("fields", self.films, *self.at)["fields"]}
        self.assertEqual({n: f["type"] for n, f in fields.items()},
                         {"title": "text", "text": "text", "at": "geo", "year": "int",
                          "genres": "string[]", "rating": "double"})
        self.assertEqual((fields["title"]["weight"], fields["title"]["language"]), (3, "english"))
        self.assertEqual(self.metadata(3), want[3])
        only = omen_json("get", self.films, 3, "--fields", "year,rating", *self.at)
        self.assertEqual(only["metadata"], {"year": 1981, "rating": 8.4})

    def test_filters(self):
        self.fill()
        nearest = ("--vector", "[0, 0]")
        self.assertEqual(self.found(*nearest), [1, 2, 3, 4])
        self.assertEqual(self.found(*nearest, "--filter", "year > 1940"), [2, 3, 4])
        self.assertEqual(self.found(*nearest, "--filter", "genres CONTAINS $1 AND year < $2",
                                    "--param", "Comedy", "--param", "1980"), [1])
        self.assertEqual(self.found(*nearest, "--filter", "year IN $1", "--param", "[1934, 1981]"), [1, 3])
        self.assertEqual(self.found(*nearest, "--filter", "year > 2000"), [])
        count = ("count", self.films, "--filter", "genres CONTAINS 'Crime'", *self.at)
        self.assertEqual(omen(*count).stdout, "2\n")
        self.assertEqual(omen_json(*count, "--facet", "genres"),
                         {"count": 2, "facets": {"genres": [{"value": "Crime", "count": 2},
                                                            {"value": "Comedy", "count": 1}]}})
        for text, byte in (("yaer > 1", "yaer"), ("year >", "byte 6")):
            run = omen("search", self.films, *nearest, "--filter", text, *self.at, code=BAD_INPUT)
            self.assertIn(byte, run.stderr)
        omen("count", self.films, "--param", "1", *self.at, code=USAGE)
        plan = self.search(*nearest, "--filter", "year > 1940", "--explain")["explain"]
        self.assertEqual((plan["matches"], plan["selectivity"]), (3, 0.75))
        self.assertIn("filter", [s["name"] for s in plan["stages"]])

    def test_words_and_examples(self):
        self.fill()
        self.assertEqual(self.found("--text", "detective"), [2, 1])  # the shorter text
        self.assertEqual(self.found("--text", '"new york"'), [1])
        self.assertEqual(set(self.found("--text", "new york")), {1, 4})
        self.assertEqual(self.found("--text", "sleep", "--text-field", "text"), [])
        self.assertEqual(self.found("--like", 1), [2, 3, 4])
        self.assertEqual(self.found("--like", 1, "--like", 4, "--filter", "year < 1950"), [2])
        both = self.search("--text", "submarine", "--like", 1)
        self.assertIn("score", both["hits"][0])
        self.assertEqual(both["hits"][0]["id"], 3)
        weighted = self.found("--text", "submarine", "--like", 1, "--fusion", "weighted",
                              "--weight", 9, "--weight", 1)
        self.assertEqual(weighted[0], 2)
        self.assertEqual(self.found("--vector", "[0, 0]", "--skip", 1, "-k", 2), [2, 3])
        self.assertEqual(self.found("--vector", "[0, 0]", "--max-distance", 4), [1, 2, 3])
        groups = self.search("--vector", "[0, 0]", "--group-by", "year", "-k", 2)["hits"]
        self.assertEqual([(h["id"], h["group"]) for h in groups], [(1, 0), (2, 1)])
        omen("search", self.films, "--like", 99, *self.at, code=NOT_FOUND)
        omen("search", self.films, *self.at, code=USAGE)
        omen("search", self.films, "--text", "x", "--weight", 1, "--weight", 2, *self.at, code=USAGE)

    def test_the_list_for_people(self):
        self.fill()
        shown = omen("search", self.films, "--text", "detective", "--metadata", "--explain", "--facet",
                     "year", *self.at).stdout
        self.assertIn("plan text", shown)
        self.assertRegex(shown, r"\n +1  The Big Sleep +[0-9.]+ +id 2\n +text A private detective[^\n]* · year 1946 · genres Crime")
        self.assertIn("\nyear\n", shown)
        self.assertNotIn("\x1b", shown)  # colours are for terminals

    def test_listing(self):
        self.fill()
        years = [r["metadata"]["year"] for r in rows_of("items", self.films, "--order-by", "year", "--desc",
                                                        "--limit", 3, "--fields", "year", *self.at)]
        self.assertEqual(years, [1981, 1980, 1946])
        some = rows_of("items", self.films, "--filter", "year > 1940", "--order-by", "year", *self.at)
        self.assertEqual([r["id"] for r in some], [2, 4, 3])

    def test_patches(self):
        self.fill()
        omen("patch", self.films, 2, '{"stock": 5, "text": null, "year": 1947}', *self.at)
        self.assertEqual(self.metadata(2), {"title": "The Big Sleep", "year": 1947, "genres": ["Crime"],
                                            "stock": 5})
        self.assertEqual(self.found("--vector", "[1, 0]", "-k", 1), [2])  # the vector stays
        self.assertEqual(self.found("--text", "angeles"), [])
        omen("patch", self.films, 77, '{"stock": 5}', *self.at, code=NOT_FOUND)
        omen("patch", self.films, 2, '[1]', *self.at, code=BAD_INPUT)
        omen("import", self.films, "-", "--format", "jsonl", "--mode", "patch", *self.at,
             text='{"id": 1, "stock": 1}\n{"id": 2, "stock": null}\n')
        self.assertEqual(self.metadata(1)["stock"], 1)
        self.assertEqual(self.metadata(1)["year"], 1934)
        self.assertNotIn("stock", self.metadata(2))
        omen("import", self.films, "-", "--format", "jsonl", *self.at, text='{"id": 1, "stock": 1}\n',
             code=BAD_INPUT)

    def test_versions(self):
        self.fill()
        version = omen_json("get", self.films, 1, "--versions", *self.at)["version"]
        self.assertGreater(version, 0)
        omen("patch", self.films, 1, '{"stock": 1}', "--if-version", version + 7, *self.at,
             code=self.conflict)
        self.assertNotIn("stock", self.metadata(1))

    def test_deleting_what_passes(self):
        self.fill()
        omen("delete", self.films, 1, "--filter", "year < 1950", *self.at, code=USAGE)
        self.assertEqual(omen_json("delete", self.films, "--filter", "year < $1", "--param", 1950,
                                   *self.at), {"removed": 2})
        self.assertEqual(sorted(self.everything()), [3, 4])
        self.assertEqual(omen_json("delete", self.films, "--filter", "year < 1950", *self.at),
                         {"removed": 0})

    def test_a_refused_type_changes_nothing(self):
        self.fill()
        omen("import", self.films, "-", "--format", "jsonl", *self.at, code=BAD_INPUT,
             text='{"id": 9, "vector": [1, 1], "year": "MCM"}\n')
        self.assertEqual(sorted(self.everything()), [1, 2, 3, 4])

    def test_declaring(self):
        self.fill()
        more = omen_json("fields", self.films, "--field", "seen:time", "--field", "tags:string[]", *self.at)
        self.assertEqual([f["name"] for f in more["fields"]][-2:], ["seen", "tags"])
        omen("fields", self.films, "--field", "seen:int", *self.at, code=PRECONDITION)
        omen("fields", self.films, "--field", "seen:era", *self.at, code=USAGE)
        omen("patch", self.films, 1, '{"seen": "2026-11-20T08:00:00Z", "at": {"lat": 1.5, "lon": -2}}',
             *self.at)
        self.assertEqual(omen("count", self.films, "--filter", "seen > '2026-01-01T00:00:00Z'",
                              *self.at).stdout, "1\n")
        self.assertEqual(omen("count", self.films, "--filter", "DISTANCE(at, 1.5, -2.001) < 200",
                              *self.at).stdout, "1\n")

    def test_vectors_and_metadata_in_two_files(self):
        vectors, metadata = self.path("v.fvecs"), self.path("m.jsonl")
        vectors.write_bytes(b"".join(struct.pack("<i2f", 2, *f["vector"]) for f in FILMS))
        plain = [{k: v for k, v in f.items() if k != "vector"} for f in FILMS]
        plain[0]["id"] = 4000000000
        metadata.write_text(lines_of(plain))
        omen("import", self.films, vectors, "--metadata", metadata, "--create", *FIELDS, *self.at)
        self.assertEqual(sorted(self.everything()), [2, 3, 4, 4000000000])
        self.assertEqual(self.metadata(4000000000)["title"], "The Thin Man")
        self.assertEqual(self.found("--vector", "[3, 0]", "-k", 1), [4])
        for rows in (plain[:3], plain + [{"id": 8}]):
            metadata.write_text(lines_of(rows))
            omen("import", self.films, vectors, "--metadata", metadata, "--again", *self.at, code=BAD_INPUT)
        metadata.write_text(lines_of(FILMS))
        omen("import", self.films, vectors, "--metadata", metadata, *self.at, code=BAD_INPUT)

    def test_dumps_lose_nothing(self):
        self.fill()
        strange = {"id": 5, "vector": [9, 9], "metadata": {
            "id": "mine", "vector": "v", "dtype": "d", "metadata": "m", "fields": ["a"], "big": 2 ** 53 + 1,
            "tiny": 5e-324, "third": 1 / 3, "ä\"\\": "é\n", "at": {"lat": -1.25, "lon": 179.5}}}
        omen("import", self.films, "-", "--format", "jsonl", *self.at, text=lines_of([strange]))
        want, fields = self.everything(), omen_json("fields", self.films, *self.at)
        self.assertEqual(want[5], strange["metadata"])
        for name, more in (("a.omendump", ()), ("a.jsonl", ()), ("b.jsonl", ("--base64",))):
            omen("dump", self.films, self.path(name), *more, *self.at)
            copy = self.path(f"copy-{name}.omen")
            omen("load", copy, self.path(name), "--create")
            self.assertEqual({r["id"]: r["metadata"] for r in rows_of("items", copy)}, want)
            self.assertEqual(omen_json("fields", copy), fields)
            self.assertEqual(omen_json("search", copy, "--text", "submarine")["hits"][0]["id"], 3)
            again = self.path("again-" + name)
            omen("dump", copy, again, *more)
            self.assertEqual(sorted(again.read_bytes().splitlines()),
                             sorted(self.path(name).read_bytes().splitlines()))

    def test_filtered_recall(self):
        rows = [{"id": i, "vector": [i % 37, i % 101], "half": i % 2} for i in range(3000)]
        omen("import", self.films, "-", "--format", "jsonl", "--create", *self.at, text=lines_of(rows))
        recall = omen_json("recall", self.films, "--filter", "half = 1", "--samples", 50, *self.at)
        self.assertGreater(recall["recall"], 0.95)
        self.assertEqual(recall["queries"], 50)


class OnAFile(Walks, Folder):
    conflict = PRECONDITION

    def setUp(self):
        super().setUp()
        self.films, self.at = self.path("films.omen"), ()

    def test_rewriting_keeps_metadata(self):
        self.fill()
        want, fields = self.everything(), omen_json("fields", self.films)
        omen("delete", self.films, 1)
        omen("import", self.films, "-", "--format", "jsonl", text='{"id": 9, "vector": [5, 5]}\n')
        del want[1]
        self.assertEqual(self.everything(), {**want, 9: {}})
        self.assertEqual(omen_json("fields", self.films), fields)
        self.assertEqual(self.found("--text", "submarine"), [3])


class InADatabase(Walks, Folder):
    conflict = PRECONDITION

    def setUp(self):
        super().setUp()
        self.films, self.at = "films", ("--db", self.path("data"))


class AtAServer(Walks, Folder):
    conflict = PRECONDITION

    def setUp(self):
        super().setUp()
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.films, self.at = "films", ("--server", self.server.address)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
