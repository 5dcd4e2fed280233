"""Ids, types, buffers, errors and close on small indexes.

SPDX-License-Identifier: Apache-2.0
"""

import math
import subprocess
import sys
import threading
import unittest
import uuid
from array import array

import omen
from omen import Index

try:
    import numpy
except ImportError:
    numpy = None


def numbered(count):
    return [[i, i] for i in range(count)]


class DataTest(unittest.TestCase):
    def test_five_lines(self):
        index = Index(dim=3, metric="cosine")
        index.add([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        keys, distances = index.search([0.1, 0.9, 0], k=1)
        self.assertEqual(list(keys), [1])
        self.assertAlmostEqual(distances[0], 1 - 0.9 / math.sqrt(0.82), places=5)

    def test_lists_arrays_and_bytes(self):
        for source in (
            [[1, 2], [3, 4]],
            ((1, 2), (3, 4)),
            array("f", [1, 2, 3, 4]),
            memoryview(array("f", [1, 2, 3, 4])),
        ):
            with Index(dim=2) as index:
                index.add(source, ids=[5, 6])
                self.assertEqual(index.vectors([6, 5]).tolist(), [[3, 4], [1, 2]])
                self.assertEqual(sorted(index.keys()), [5, 6])
        with Index(dim=2, dtype="u8") as index:
            index.add(b"\x01\x02\xff\x00")
            self.assertEqual(index.vectors([1]).tolist(), [[255, 0]])
        with Index(dim=2, dtype="i8") as index:
            index.add([[-128, 127]])
            self.assertEqual(index.vectors([0]).tolist(), [[-128, 127]])

    def test_unused_places(self):
        with Index(dim=2) as index:
            index.add(numbered(2))
            hits = index.search([[0, 0], [1, 1]], k=3)
            self.assertEqual(hits.keys.tolist(), [[0, 1, omen.NONE], [1, 0, omen.NONE]])
            self.assertEqual(hits.distances.tolist()[0], [0, 2, math.inf])
            self.assertEqual(hits.counts, [2, 2])
            self.assertEqual(list(index.search([0, 0], k=3).keys), [0, 1])

    def test_id_types(self):
        first, second = uuid.uuid4(), uuid.uuid4()
        for kind, ids, absent in (
            ("u64", [2**64 - 2, 7], 8),
            ("uuid", [first, second], uuid.UUID(int=0)),
            ("str", ["eins", "zw\N{LATIN SMALL LETTER O WITH DIAERESIS}lf"], "drei"),
        ):
            with Index(dim=2, ids=kind) as index:
                index.add(numbered(2), ids=ids)
                keys, _ = index.search([1, 1], k=2)
                self.assertEqual(index.ids(keys), [ids[1], ids[0]])
                self.assertEqual(index.lookup([ids[1], absent]), [int(keys[0]), None])
                self.assertEqual(index.delete([ids[0], absent]).applied, 1)
                self.assertEqual(len(index), 1)

    def test_modes_and_request_ids(self):
        with Index(dim=2) as index:
            with self.assertRaises(omen.NotFound):
                index.add([1, 1], ids=[1], mode="update")
            self.assertEqual(index.add([1, 1], ids=[1], request_id="a").replaced, 0)
            self.assertTrue(index.add([1, 1], ids=[1], request_id="a").replayed)
            self.assertEqual(index.add([1, 1], ids=[1], request_id="b").replaced, 1)
            with self.assertRaises(omen.AlreadyExists):
                index.add([1, 1], ids=[1], mode="insert")

    @unittest.skipIf(numpy is None, "numpy is not installed")
    def test_numpy(self):
        for dtype, name in (("f4", "f32"), ("f2", "f16"), ("i1", "i8"), ("u1", "u8")):
            rows = numpy.arange(20).reshape(10, 2).astype(dtype)
            rows.setflags(write=False)
            with Index(dim=2, dtype=name) as index:
                index.add(rows, ids=numpy.arange(100, 110))
                keys, distances = index.search(rows[3:5], k=1)
                self.assertEqual(keys.tolist(), [[103], [104]])
                self.assertEqual(distances.dtype, numpy.float32)
                self.assertTrue((index.vectors([103]) == rows[3:4]).all())
                self.assertEqual(index.vectors([103]).dtype, rows.dtype)

    @unittest.skipIf(numpy is None, "numpy is not installed")
    def test_arrays_that_cannot_be_passed(self):
        rows = numpy.ones((4, 4), dtype="f4")
        with Index(dim=4) as index:
            for array_, kind in (
                (rows.T, ValueError),
                (rows[::-1], ValueError),
                (numpy.broadcast_to(rows[0], (3, 4)), ValueError),
                (rows[None], ValueError),
                (rows.astype(">f4"), TypeError),
                (rows.astype("f8"), TypeError),
                (rows.astype("i4"), TypeError),
            ):
                with self.assertRaises(kind):
                    index.add(array_)
            self.assertEqual(len(index), 0)


class ErrorTest(unittest.TestCase):
    def test_a_batch_is_all_or_nothing(self):
        with Index(dim=2) as index:
            with self.assertRaises(omen.InvalidArgument) as caught:
                index.add([[1, 2], [3, math.nan]])
            error = caught.exception
            self.assertEqual((error.status, error.detail), ("INVALID_ARGUMENT", "NOT_FINITE"))
            self.assertEqual((error.item, error.retriable), (1, False))
            self.assertIn("INVALID_ARGUMENT: ", str(error))
            self.assertEqual(len(index), 0)

    def test_wrong_dimensions(self):
        with Index(dim=2) as index:
            for rows in ([[1, 2], [3, 4, 5]], [1, 2, 3], array("f", [1, 2, 3])):
                with self.assertRaises(ValueError) as caught:
                    index.add(rows)
                self.assertEqual(caught.exception.detail, "DIM_MISMATCH")
            two = memoryview(bytes(range(24))).cast("B").cast("f", (2, 3))
            with self.assertRaises(omen.InvalidArgument) as caught:  # the library's own check
                index.add(two)
            self.assertEqual(caught.exception.detail, "DIM_MISMATCH")

    def test_other_arguments(self):
        for arguments in ({"dim": 0}, {"dim": 65536}, {"dim": 2**32}, {"dim": 2, "metric": "l3"}):
            with self.assertRaises(ValueError):
                Index(**arguments)
        Index(dim=65535).close()
        with Index(dim=2) as index:
            index.add(numbered(2))
            for k in (0, -1, 16385, 2**32):
                with self.assertRaises(ValueError):
                    index.search([1, 1], k=k)
            with self.assertRaises(ValueError):
                index.add(numbered(2), ids=[1])
            with self.assertRaises(OverflowError):
                index.add([1, 1], ids=[-1])
            with self.assertRaises(omen.InvalidArgument):
                index.add([1, 1], ids=[omen.NONE])
            with self.assertRaises(TypeError):
                index.add(42)
        with self.assertRaises(omen.Error) as caught:
            Index.open("/nonexistent/file.omen")
        self.assertEqual(caught.exception.os_error, 2)
        with self.assertRaises(ValueError):
            Index.open("a\0b")


class LifeTest(unittest.TestCase):
    def test_close(self):
        index = Index(dim=2)
        index.close()
        index.close()
        with self.assertRaises(omen.Error) as caught:
            index.search([1, 1])
        self.assertEqual(caught.exception.detail, "HANDLE")

    def test_close_while_others_search(self):
        index = Index(dim=2)
        index.add(numbered(1000))
        started = threading.Barrier(5)
        failures = []

        def search():
            started.wait()
            try:
                while True:
                    index.search([500, 500])
            except omen.Error as error:
                if error.detail != "HANDLE":
                    failures.append(error)

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        index.close()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_a_forked_child_gets_an_error(self):
        program = (
            "import os, omen\n"
            "index = omen.Index(dim=2)\n"
            "index.add([1, 1])\n"
            "if os.fork() == 0:\n"
            "    try:\n"
            "        index.search([1, 1])\n"
            "    except omen.Error as error:\n"
            "        os._exit(7 if error.detail == 'FORKED' else 8)\n"
            "    os._exit(9)\n"
            "_, status = os.wait()\n"
            "raise SystemExit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 10)\n"
        )
        child = subprocess.run([sys.executable, "-c", program], check=False)
        self.assertEqual(child.returncode, 7)


if __name__ == "__main__":
    unittest.main()
