"""Metadata of items: written, read back, patched, guarded by versions, deleted and listed by filters.

SPDX-License-Identifier: Apache-2.0
"""

import json
import threading
import unittest

import numpy as np
from harness import COLLECTIONS, ITEMS, PATIENCE, TYPES, Test, batch_of, column, gaussian, ids_of
from test_durable import Durable

UPSERT, INSERT, UPDATE, PATCH, DELETE = 1, 2, 3, 4, 5
STRING, INT64, DOUBLE, BOOL, TIME, BYTES, GEO, TEXT = range(1, 9)
DIM = 4


def metadata_of(rows):
    return TYPES.Metadata(json=[r if isinstance(r, bytes) else json.dumps(r).encode() for r in rows])


def batch_with(rows, ids=None, vectors=True, **fields):
    """A batch of items with this metadata, their vectors counting up."""
    ids = list(range(len(rows)) if ids is None else ids)
    items = TYPES.ItemBatch(ids=ids_of(ids), metadata=metadata_of(rows))
    if vectors:
        numbers = np.arange(len(rows) * DIM, dtype=np.float32).reshape(-1, DIM)
        items.vectors.CopyFrom(column(numbers))
    return ITEMS.WriteBatch(items=items, **fields)


def texts(metadata):
    return [json.loads(j) for j in metadata.json]


class MetadataTest(Test):
    def create(self, part="", **config):
        name = self.name(part)
        self.client.create(name, DIM, **config)
        return name

    def read(self, name, ids, **fields):
        request = ITEMS.BatchGetRequest(
            collection=name, ids=ids_of(ids), **{"with_metadata": True, **fields}
        )
        return self.client.items.BatchGet(request, timeout=PATIENCE)

    def declare(self, name, fields):
        request = COLLECTIONS.DeclareFieldsRequest(name=name, fields=fields)
        return self.client.collections.DeclareFields(request, timeout=PATIENCE)

    def list(self, name, **fields):
        """The pages of a listing."""
        pages, token = [], ""
        while True:
            request = ITEMS.ListRequest(collection=name, page_token=token, **fields)
            page = self.client.items.List(request, timeout=PATIENCE)
            pages.append(page)
            token = page.next_page_token
            if not token:
                return pages

    def test_values_of_all_types_come_back(self):
        fields = [
            TYPES.Field(name="when", type=TIME),
            TYPES.Field(name="raw", type=BYTES),
            TYPES.Field(name="where", type=GEO),
            TYPES.Field(name="body", type=TEXT, weight=2, stop_words=True),
            TYPES.Field(name="names", type=STRING, array=True),
        ]
        name = self.create(fields=fields)
        row = {
            "when": "2026-11-20T08:00:00.25Z",
            "raw": "AAEC/w==",
            "where": {"lat": 52.5, "lon": -13.25},
            "body": "The quick brown fox \N{SNOWMAN}",
            "names": ["a", "", "\u00fc"],
            "s": 'quote " and \\ and \u0007',
            "n": -(2**63),
            "x": 1e-300,
            "yes": True,
            "no": False,
            "ints": [1, -2, 2**62],
            "doubles": [0.5, 1.25],
            "odd name": "spaces",
        }
        self.client.write(name, batch_with([row, {}, {"n": 7, "s": None}]))
        got = texts(self.read(name, range(3)).items.metadata)
        self.assertEqual(got[1:], [{}, {"n": 7}])
        when = got[0].pop("when")
        self.assertIn(when.rstrip("Z").rstrip("0"), "2026-11-20T08:00:00.25")
        del row["when"]
        self.assertEqual(got[0], row)
        config = self.client.collections.GetCollection(
            COLLECTIONS.GetCollectionRequest(name=name), timeout=PATIENCE
        ).config
        described = {f.name: f for f in config.fields}
        self.assertEqual(described["body"].weight, 2)
        self.assertTrue(described["body"].stop_words)
        self.assertEqual((described["names"].type, described["names"].array), (STRING, True))
        self.assertEqual((described["n"].type, described["n"].array), (INT64, False))
        self.assertEqual((described["doubles"].type, described["doubles"].array), (DOUBLE, True))
        self.assertEqual(described["yes"].type, BOOL)
        # Named fields only, in no order that matters; unknown ones are refused.
        part = texts(self.read(name, [0], with_metadata=False, fields=["n", "s"]).items.metadata)
        self.assertEqual(part, [{"n": row["n"], "s": row["s"]}])
        self.fails(
            "INVALID_ARGUMENT", self.read, name, [0], fields=["absent"], reason="FIELD", field="fields"
        )

    def test_lists_of_collections_leave_fields_out(self):
        name = self.create(fields=[TYPES.Field(name="n", type=INT64)])
        listed = self.client.collections.ListCollections(
            COLLECTIONS.ListCollectionsRequest(page_size=1000), timeout=PATIENCE
        )
        (mine,) = [c for c in listed.collections if c.name == name]
        self.assertEqual(len(mine.config.fields), 0)

    def test_declared_fields(self):
        name = self.create()
        one = TYPES.Field(name="n", type=INT64)
        self.assertEqual([f.name for f in self.declare(name, [one]).config.fields], ["n"])
        both = self.declare(name, [one, TYPES.Field(name="t", type=TEXT, language="german")])
        self.assertEqual([f.name for f in both.config.fields], ["n", "t"])
        self.assertEqual(both.config.fields[1].language, "german")
        other = TYPES.Field(name="n", type=DOUBLE)
        self.fails("ALREADY_EXISTS", self.declare, name, [other], reason="FIELD")
        self.fails("NOT_FOUND", self.declare, "absent", [one], reason="COLLECTION_NOT_FOUND")
        for field, reason in (
            (TYPES.Field(name="u"), "TYPE"),
            (TYPES.Field(name="u", type=9), "TYPE"),
            (TYPES.Field(name="u", type=TEXT, array=True), "TYPE"),
            (TYPES.Field(name="u" * 129, type=STRING), "LIMIT"),
            (TYPES.Field(name="u", type=TEXT, weight=-1), "LIMIT"),
            (TYPES.Field(name="u", type=TEXT, weight=float("nan")), "LIMIT"),
            (TYPES.Field(name="u", type=TEXT, language="x" * 28), "LIMIT"),
            (TYPES.Field(name="$u", type=STRING), None),
            (TYPES.Field(name="", type=STRING), None),
            (TYPES.Field(name="u", type=TEXT, language="klingon"), None),
        ):
            with self.subTest(field=str(field)):
                self.fails("INVALID_ARGUMENT", self.declare, name, [field], reason=reason)
                config = COLLECTIONS.CollectionConfig(dim=DIM, fields=[field])
                request = COLLECTIONS.CreateCollectionRequest(name=name + "x", config=config)
                create = self.client.collections.CreateCollection
                self.fails("INVALID_ARGUMENT", create, request, timeout=PATIENCE, reason=reason)
        self.declare(name, [TYPES.Field(name="u" * 128, type=STRING)])
        self.assertEqual(len(self.declare(name, []).config.fields), 3)
        many = [TYPES.Field(name="f%d" % i, type=INT64) for i in range(1025)]
        self.fails("INVALID_ARGUMENT", self.declare, name, many, reason="LIMIT", field="fields")
        self.assertEqual(len(self.declare(name, many[: 1024 - 3]).config.fields), 1024)
        self.fails("RESOURCE_EXHAUSTED", self.declare, name, many[1022:1023], reason="LIMIT")

    def test_bad_metadata(self):
        name = self.create()
        self.client.write(name, batch_with([{"n": 1, "s": "x"}]))
        for row, reason in (
            (b"{", "METADATA"),
            (b"[]", "METADATA"),
            (b'{"a": {"b": 1}}', None),
            (b'{"a": 1e999}', None),
            (b'{"a": 1} x', "METADATA"),
            (b'{"a": "\xff"}', "METADATA"),
            (b'{"$a": 1}', None),
            (b'{"n": "text"}', "TYPE"),
            (b'{"n": 1.5}', "TYPE"),
            (b'{"s": 1}', "TYPE"),
            (b'{"m": [1, "x"]}', None),
        ):
            with self.subTest(row=row):
                bad = batch_with([{"n": 2}, row], ids=[5, 6])
                failure = self.fails(
                    "INVALID_ARGUMENT", self.client.write, name, bad, reason=reason
                )
                self.assertEqual(failure.metadata.get("item"), "1", failure)
                self.assertEqual(self.client.count(name), 1)
        # One object an item, or none.
        for rows in ([{}], [{}] * 3):
            short = batch_with([{}] * 2)
            short.items.metadata.CopyFrom(metadata_of(rows))
            self.fails(
                "INVALID_ARGUMENT", self.client.write, name, short, field="items.metadata"
            )
        told = self.client.write(
            name, batch_with([{"n": 2}, b"{", {"n": "x"}, {}], ids=range(4), per_item_errors=True)
        )
        self.assertEqual([(e.item, e.code) for e in told.errors], [(1, 3), (2, 3)])
        self.assertEqual({e.reason for e in told.errors}, {"METADATA"})
        self.assertEqual(told.applied, 2)

    def test_metadata_limits(self):
        name = self.create()
        limits = self.client.info().limits
        self.assertEqual(limits.max_metadata_bytes, 1 << 20)
        room = limits.max_metadata_bytes - len(b'{"s":""}')
        fits = b'{"s":"' + b"x" * room + b'"}'
        self.client.write(name, batch_with([fits]))
        back = self.read(name, [0]).items.metadata.json[0]
        self.assertEqual(json.loads(back), {"s": "x" * room})
        failure = self.fails(
            "INVALID_ARGUMENT",
            self.client.write,
            name,
            batch_with([{}, fits + b" "]),
            reason="LIMIT",
            field="items.metadata",
        )
        self.assertEqual(failure.metadata["item"], "1")

    def test_checksum_covers_metadata(self):
        import google_crc32c

        name = self.create()
        batch = batch_with([{"n": 1}, {"n": 2}])
        data = np.arange(2, dtype=np.uint64).tobytes() + batch.items.vectors.data
        batch.crc32c = google_crc32c.value(data + b"".join(batch.items.metadata.json))
        self.assertEqual(self.client.write(name, batch).applied, 2)
        batch.crc32c = google_crc32c.value(data)
        self.fails("DATA_LOSS", self.client.write, name, batch, reason="CHECKSUM", field="crc32c")

    def test_patch(self):
        name = self.create()
        self.client.write(name, batch_with([{"a": 1, "b": "x"}, {"a": 2}]))
        patch = batch_with([{"b": "y", "c": True}, {"a": None}], vectors=False, op=PATCH)
        told = self.client.write(name, patch)
        self.assertEqual((told.applied, told.replaced), (2, 2))
        got = self.read(name, range(2), with_vectors=True)
        self.assertEqual(texts(got.items.metadata), [{"a": 1, "b": "y", "c": True}, {}])
        vectors = np.frombuffer(got.items.vectors.data, np.float32)
        self.assertTrue((vectors == np.arange(8)).all())
        both = batch_with([{"a": 9}], ids=[1], op=PATCH)
        self.client.write(name, both)
        got = self.read(name, [1], with_vectors=True)
        self.assertEqual(texts(got.items.metadata), [{"a": 9}])
        self.assertTrue((np.frombuffer(got.items.vectors.data, np.float32) == np.arange(4)).all())
        absent = batch_with([{"a": 1}, {"a": 1}], ids=[0, 99], vectors=False, op=PATCH)
        failure = self.fails(
            "NOT_FOUND", self.client.write, name, absent, reason="ITEM_NOT_FOUND"
        )
        self.assertEqual(failure.metadata["item"], "1")
        self.assertEqual(texts(self.read(name, [0]).items.metadata)[0]["a"], 1)
        # An upsert replaces the whole item.
        self.client.write(name, batch_of(gaussian(1, 1, DIM), [0]))
        self.assertEqual(texts(self.read(name, [0]).items.metadata), [{}])

    def test_versions_guard_writes(self):
        name = self.create()
        first = self.client.write(name, batch_with([{"n": 1}, {"n": 2}]))
        got = self.read(name, [0, 1, 7], with_versions=True)
        self.assertEqual(list(got.items.versions), [first.version] * 2)
        self.assertEqual(list(got.missing), [2])
        guarded = batch_with([{"n": 3}], ids=[0], if_version=[first.version])
        second = self.client.write(name, guarded)
        self.assertGreater(second.version, first.version)
        self.assertEqual(list(self.read(name, [0], with_versions=True).items.versions), [second.version])
        stale = batch_with([{"n": 4}, {"n": 5}], ids=[1, 0], if_version=[first.version] * 2)
        failure = self.fails(
            "ABORTED", self.client.write, name, stale, reason="VERSION_CONFLICT"
        )
        self.assertEqual(failure.metadata["item"], "1")
        self.assertEqual([r["n"] for r in texts(self.read(name, [0, 1]).items.metadata)], [3, 2])
        stale.per_item_errors = True
        told = self.client.write(name, stale)
        self.assertEqual([(e.item, e.code, e.reason) for e in told.errors], [(1, 10, "VERSION_CONFLICT")])
        self.assertEqual([r["n"] for r in texts(self.read(name, [0, 1]).items.metadata)], [3, 4])
        # 0: the item must not be there.
        self.client.write(name, batch_with([{}], ids=[50], if_version=[0]))
        again = batch_with([{}], ids=[50], if_version=[0])
        self.fails("ABORTED", self.client.write, name, again, reason="VERSION_CONFLICT")
        counted = batch_with([{}, {}], ids=[1, 2], if_version=[1])
        self.fails("INVALID_ARGUMENT", self.client.write, name, counted, field="if_version")

    def test_answers_are_of_one_moment(self):
        """Vector, metadata and version of an answer belong together while the items are replaced."""
        name, stop, failures = self.create(), threading.Event(), []
        ids = list(range(200))

        def write(turn):
            batch = batch_with([{"turn": turn}] * len(ids), ids)
            batch.items.vectors.CopyFrom(column(np.full((len(ids), DIM), turn, np.float32)))
            request = ITEMS.BatchWriteRequest(collection=name, batch=batch)
            return self.client.items.BatchWrite(request, timeout=PATIENCE).version

        def write_on():
            turn = 2
            while not stop.is_set():
                turn += 1
                write(turn)

        versions = {1: write(1), 2: write(2)}
        writer = threading.Thread(target=write_on)
        writer.start()
        try:
            for _ in range(100):
                items = self.read(name, ids, with_vectors=True, with_versions=True).items
                rows = np.frombuffer(items.vectors.data, np.float32).reshape(-1, DIM)
                turns = [row["turn"] for row in texts(items.metadata)]
                if len(turns) != len(ids) or list(rows[:, 0].astype(int)) != turns:
                    failures.append("vectors and metadata of different moments")
                for turn, version in zip(turns, items.versions):
                    if versions.setdefault(turn, version) != version:
                        failures.append(f"turn {turn} has the versions {versions[turn]} and {version}")
        finally:
            stop.set()
            writer.join()
        self.assertEqual(failures, [])

    def test_delete_by_filter(self):
        name = self.create()
        self.client.write(name, batch_with([{"n": i, "s": "ab"[i % 2]} for i in range(100)]))
        delete = ITEMS.WriteBatch(
            op=DELETE, delete_filter="n < $1 AND s = 'a'", params=[TYPES.Value(int_value=10)]
        )
        self.assertEqual(self.client.write(name, delete).applied, 5)
        self.assertEqual(self.client.count(name), 95)
        self.assertEqual(self.client.write(name, delete).applied, 0)
        once = self.client.write(name, ITEMS.WriteBatch(op=DELETE, delete_filter="n < 20"), request_id="r")
        again = self.client.write(name, ITEMS.WriteBatch(op=DELETE, delete_filter="n < 20"), request_id="r")
        self.assertEqual((once.applied, once.replayed, again.replayed), (15, False, True))
        for batch, field in (
            (ITEMS.WriteBatch(op=UPSERT, delete_filter="n < 1"), "delete_filter"),
            (ITEMS.WriteBatch(op=DELETE, delete_filter="n <"), "delete_filter"),
            (ITEMS.WriteBatch(op=DELETE, delete_filter="absent = 1"), "delete_filter"),
            (ITEMS.WriteBatch(op=DELETE, params=[TYPES.Value(int_value=1)]), "params"),
            (ITEMS.WriteBatch(op=DELETE), "items.ids"),
        ):
            self.fails("INVALID_ARGUMENT", self.client.write, name, batch, field=field)
        ids = batch_of(gaussian(1, 1, DIM), [50], op=DELETE, delete_filter="n < 1")
        self.fails("INVALID_ARGUMENT", self.client.write, name, ids, field="delete_filter")
        rows = batch_with([{}], ids=[50], vectors=False, op=DELETE)
        self.fails("INVALID_ARGUMENT", self.client.write, name, rows, field="items.metadata")
        self.assertEqual(self.client.count(name), 80)

    def test_streams(self):
        name = self.create()
        stream = self.client.stream()
        stream.open(name, "s")
        batches = [
            batch_with([{"n": i} for i in range(10)], seq=1),
            batch_with([{"n": "wrong"}], ids=[3], seq=2),
            batch_with([{"n": 100}], ids=[3], vectors=False, op=PATCH, seq=3),
            batch_with([{"n": 1}], ids=[4], if_version=[12345], seq=4),
            ITEMS.WriteBatch(op=DELETE, delete_filter="n < 3", seq=5),
            ITEMS.WriteBatch(op=DELETE, delete_filter="n < (", seq=6),
        ]
        for batch in batches:
            stream.send(batch=batch)
        stream.close()
        messages = stream.rest()
        errors = {m.error.seq: m.error for m in messages if m.WhichOneof("message") == "error"}
        self.assertEqual(sorted(errors), [2, 4, 6])
        self.assertEqual(errors[2].reason, "TYPE")
        self.assertEqual((errors[4].code, errors[4].reason), (10, "VERSION_CONFLICT"))
        self.assertFalse(errors[4].retriable)
        self.assertEqual(errors[6].reason, "FILTER_SYNTAX")
        ack = [m.ack for m in messages if m.WhichOneof("message") == "ack"][-1]
        self.assertEqual(ack.durable_seq, 6)
        kept = {tuple(p.items.ids.u64): texts(p.items.metadata) for p in self.list(name, with_metadata=True)}
        ((ids, rows),) = kept.items()
        self.assertEqual(sorted(zip(ids, [r["n"] for r in rows]))[0], (3, 100))
        self.assertEqual(len(ids), 7)
        # The last one again: known; with another filter: refused.
        stream = self.client.stream()
        self.assertEqual(stream.open(name, "s").last_seq, 6)

    def test_listings(self):
        for id_type, ids in ((1, range(1000)), (3, ["id-%04d" % i for i in range(1000)])):
            name = self.create(str(id_type), id_type=id_type)
            ids = list(ids)
            rows = [{"n": (i * 37) % 100, "s": str(i)} for i in range(1000)]
            for row in rows[::50]:
                del row["n"]
            self.client.write(name, batch_with(rows, ids=ids))
            place = {str(i): row for i, row in zip(ids, rows)}

            def listed(**fields):
                pages = self.list(name, with_metadata=True, **fields)
                found = []
                for page in pages:
                    got = page.items.ids
                    keys = [str(k) for k in (got.u64 or got.str)]
                    for key, row in zip(keys, texts(page.items.metadata)):
                        self.assertEqual(row, place[key])
                    self.assertEqual(len(keys), len(page.items.metadata.json))
                    found += keys
                return pages, found

            pages, all_of_them = listed(page_size=300)
            self.assertEqual([len(p.items.metadata.json) for p in pages], [300, 300, 300, 100])
            self.assertEqual(all_of_them, [str(i) for i in ids])
            pages, found = listed(page_size=7, filter="n < $1", params=[TYPES.Value(int_value=20)])
            self.assertEqual(found, [str(i) for i, r in zip(ids, rows) if r.get("n", 99) < 20])
            for descending in (False, True):
                pages, found = listed(page_size=99, order_by="n", descending=descending)
                self.assertEqual(sorted(found), sorted(all_of_them))
                values = [place[k].get("n") for k in found]
                known = [v for v in values if v is not None]
                self.assertEqual(known, sorted(known, reverse=descending))
                self.assertEqual(values[len(known) :], [None] * 20)
            pages, found = listed(page_size=99, descending=True)
            self.assertEqual(found, all_of_them[::-1])
            pages, found = listed(page_size=11, order_by="n", filter="s LIKE '9%'", descending=True)
            self.assertEqual(len(found), sum(r["s"].startswith("9") for r in rows))
            only = self.list(name, fields=["s"])[0]
            self.assertEqual(texts(only.items.metadata)[0], {"s": "0"})

    def test_listings_keep_their_shape(self):
        name = self.create()
        self.client.write(name, batch_with([{"n": i} for i in range(50)]))
        items = self.client.items

        def page(token="", **fields):
            request = ITEMS.ListRequest(
                collection=name, page_size=10, page_token=token, with_metadata=True, **fields
            )
            return items.List(request, timeout=PATIENCE)

        first = page(filter="n >= 5", order_by="n")
        token = first.next_page_token
        for other in ({}, {"filter": "n >= 6", "order_by": "n"}, {"filter": "n >= 5"}):
            self.fails("INVALID_ARGUMENT", page, token, **other, field="page_token")
        self.client.write(name, batch_with([{"n": 0}] * 50))  # what is written later is not seen
        again = page(token, filter="n >= 5", order_by="n")
        self.assertEqual([r["n"] for r in texts(again.items.metadata)], list(range(15, 25)))
        self.assertEqual(again.version, first.version)
        for fields, field in (
            ({"filter": "n >="}, "filter"),
            ({"order_by": "absent"}, "order_by"),
            ({"order_by": "x" * 129}, "order_by"),
            ({"fields": ["x" * 129]}, "fields"),
            ({"params": [TYPES.Value(bool_value=True)]}, "params"),
        ):
            self.fails("INVALID_ARGUMENT", page, "", **fields, field=field)

    def test_counts_and_facets(self):
        name = self.create()
        rows = [{"n": i % 5, "s": "abc"[i % 3], "t": ["x", "y"][: i % 3]} for i in range(90)]
        self.client.write(name, batch_with(rows))

        def count(**fields):
            return self.client.items.Count(
                ITEMS.CountRequest(collection=name, **fields), timeout=PATIENCE
            )

        self.assertEqual(count().count, 90)
        self.assertEqual(count(filter="n = 2").count, 18)
        self.assertEqual(count(filter="n = $1", params=[TYPES.Value(int_value=9)]).count, 0)
        ask = [ITEMS.FacetRequest(field=f) for f in ("n", "s", "t")]
        got = count(filter="s != 'c'", facets=ask, min_version=count().version)
        self.assertEqual([f.field for f in got.facets], ["n", "s", "t"])
        self.assertEqual(dict(zip(got.facets[1].values, got.facets[1].counts)), {'"a"': 30, '"b"': 30})
        self.assertEqual([list(got.facets[2].values), list(got.facets[2].counts)], [['"x"'], [30]])
        top = count(facets=[ITEMS.FacetRequest(field="n", limit=2)]).facets[0]
        self.assertEqual([list(top.values), list(top.counts)], [["0", "1"], [18, 18]])
        for fields, field in (
            ({"filter": "n ="}, "filter"),
            ({"facets": [ITEMS.FacetRequest(field="absent")]}, "facets.field"),
            ({"facets": [ITEMS.FacetRequest()]}, "facets.field"),
            ({"facets": [ITEMS.FacetRequest(field="n", limit=1001)]}, "facets.limit"),
            ({"facets": [ITEMS.FacetRequest(field="n")] * 17}, "facets"),
        ):
            self.fails("INVALID_ARGUMENT", count, **fields, field=field)
        self.assertEqual(len(count(facets=[ITEMS.FacetRequest(field="n", limit=1000)] * 16).facets), 16)


class SmallMessagesTest(Test):
    """Pages and answers are bounded by bytes."""

    arguments = ("--max-message-bytes=1048576",)

    def test_pages_are_bounded(self):
        name = self.name()
        self.client.create(name, DIM)
        size = 50000
        for first in range(0, 60, 10):
            ids = range(first, first + 10)
            self.client.write(name, batch_with([{"i": i, "s": "x" * size} for i in ids], ids=ids))
        found, token, pages = [], "", 0
        while True:
            request = ITEMS.ListRequest(collection=name, page_token=token, with_metadata=True)
            page = self.client.items.List(request, timeout=PATIENCE)
            self.assertLess(page.ByteSize(), 1 << 20)
            found += [json.loads(j)["i"] for j in page.items.metadata.json]
            self.assertEqual(list(page.items.ids.u64), found[-len(page.items.ids.u64) :])
            pages += 1
            token = page.next_page_token
            if not token:
                break
        self.assertEqual(found, list(range(60)))
        self.assertGreaterEqual(pages, 6)
        get = ITEMS.BatchGetRequest(collection=name, ids=ids_of(range(60)), with_metadata=True)
        self.fails(
            "INVALID_ARGUMENT", self.client.items.BatchGet, get, timeout=PATIENCE, reason="LIMIT",
            field="with_metadata",
        )
        self.fails(
            "INVALID_ARGUMENT", self.client.search, name, np.zeros(DIM, np.float32), limit=60,
            with_metadata=True, reason="LIMIT", field="with_metadata",
        )
        few = self.client.search(name, np.zeros(DIM, np.float32), limit=60, fields=["i"])
        self.assertEqual(sorted(r["i"] for r in texts(few.metadata)), list(range(60)))


class DurableMetadataTest(Durable):
    """What was acknowledged is there after a kill: from the log, from segments, and from merged ones."""

    def check(self, name, model):
        found = {}
        for page in self.pages_of(name):
            found.update(zip(page.items.ids.u64, texts(page.items.metadata)))
        self.assertEqual(found, model)
        for text, test in (
            ("n < 10", lambda r: r.get("n", 99) < 10),
            ("s = 'x3' AND NOT even", lambda r: r["s"] == "x3" and not r["even"]),
            ("n IS NULL", lambda r: "n" not in r),
        ):
            count = self.client.items.Count(ITEMS.CountRequest(collection=name, filter=text)).count
            self.assertEqual(count, sum(map(test, model.values())), text)
        leg = ITEMS.Leg(text=ITEMS.TextLeg(text="needle"))
        request = ITEMS.SearchRequest(collection=name, legs=[leg], limit=1000)
        hits = self.client.items.Search(request, timeout=PATIENCE).ids.u64
        self.assertEqual(set(hits), {i for i, r in model.items() if "needle" in r["body"]})

    def pages_of(self, name):
        token = ""
        while True:
            request = ITEMS.ListRequest(collection=name, page_token=token, with_metadata=True)
            page = self.client.items.List(request, timeout=PATIENCE)
            yield page
            token = page.next_page_token
            if not token:
                return

    def again(self, name, model):
        self.kill()
        self.start()
        self.check(name, model)

    def test_metadata_survives_kills(self):
        name, model = "kept", {}
        self.start()
        self.client.create(name, DIM, fields=[TYPES.Field(name="body", type=TEXT)])
        for first in range(0, 6000, 1000):
            ids = range(first, first + 1000)
            rows = [
                {
                    "n": i % 100,
                    "even": i % 2 == 0,
                    "s": "x%d" % (i % 7),
                    "body": "hay needle" if i % 10 == 0 else "hay",
                }
                for i in ids
            ]
            self.client.write(name, batch_with(rows, ids=ids))
            model.update(zip(ids, rows))
        self.again(name, model)
        self.client.write(name, batch_with([{"n": None, "s": "x3"}] * 50, vectors=False, op=PATCH))
        for i in range(50):
            model[i]["s"] = "x3"
            del model[i]["n"]
        gone = self.client.write(name, ITEMS.WriteBatch(op=DELETE, delete_filter="n >= 90"))
        left = {i: r for i, r in model.items() if r.get("n", 0) < 90}
        self.assertEqual(gone.applied, len(model) - len(left))
        self.again(name, left)
        self.maintain("Checkpoint")
        self.again(name, left)
        self.maintain("Optimize", collection=name)
        self.check(name, left)
        self.maintain("Backup", name="b")
        self.again(name, left)
        self.maintain("Verify", name="b")
        self.maintain("Restore", name="b", to="r")
        self.stop()
        self.start(data="backups/r")
        self.check(name, left)

    def test_versions_survive(self):
        self.start()
        self.client.create("v", DIM)
        first = self.client.write("v", batch_with([{"n": 1}, {"n": 2}])).version
        second = self.client.write("v", batch_with([{"n": 3}], ids=[1])).version
        for step in (self.kill, lambda: self.maintain("Checkpoint") and self.kill()):
            step()
            self.start()
            request = ITEMS.BatchGetRequest(collection="v", ids=ids_of([0, 1]), with_versions=True)
            got = self.client.items.BatchGet(request, timeout=PATIENCE)
            self.assertEqual(list(got.items.versions), [first, second])
        stale = batch_with([{"n": 4}], ids=[1], if_version=[first])
        self.fails("ABORTED", self.client.write, "v", stale, reason="VERSION_CONFLICT")
        self.client.write("v", batch_with([{"n": 4}], ids=[1], if_version=[second]))


if __name__ == "__main__":
    unittest.main()
