"""10,000 real images in one call, found again: recall, uncopied arrays, threads, cancelling, files.

OMEN_EXAMPLE_DATA is the folder of the unpacked example data (see README.md).
SPDX-License-Identifier: Apache-2.0
"""

import os
import struct
import tempfile
import threading
import unittest
from array import array

import omen

try:
    import numpy
except ImportError:
    numpy = None


def read(name):
    with open(os.path.join(os.environ["OMEN_EXAMPLE_DATA"], name), "rb") as file:
        return file.read()


def read_idx(name):
    """Rows of bytes, as a memoryview with two axes: the buffer protocol without numpy."""
    data = read(name)
    magic, rows, height, width = struct.unpack(">4I", data[:16])
    assert magic == 0x803 and len(data) == 16 + rows * height * width, name
    return memoryview(data)[16:].cast("B", (rows, height * width))


def read_ivecs(name):
    numbers = array("i", read(name))
    return [numbers[at + 1 : at + 11] for at in range(0, len(numbers), numbers[0] + 1)]


def recall_at_10(keys, truth):
    found = sum(len(set(row[:10]) & set(near)) for row, near in zip(keys.tolist(), truth))
    return found / (10 * len(truth))


class ImagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.images = read_idx("train-images-idx3-ubyte")
        cls.queries = read_idx("t10k-images-idx3-ubyte")
        cls.truth = read_ivecs("groundtruth.ivecs")
        cls.index = omen.Index(dim=cls.images.shape[1], dtype="u8")
        write = cls.index.add(cls.images, ids=range(cls.images.shape[0]))
        assert write.applied == cls.images.shape[0]
        cls.index.wait()

    @classmethod
    def tearDownClass(cls):
        cls.index.close()

    def test_recall(self):
        keys, distances = self.index.search(self.queries, k=10, graph_only=True)
        recall = recall_at_10(keys, self.truth)
        print("python: recall@10=%.4f" % recall)
        self.assertGreaterEqual(recall, 0.95)
        for row in distances.tolist():
            self.assertEqual(row, sorted(row))
        keys, _ = self.index.search(self.queries, k=10, exact=True)
        self.assertGreaterEqual(recall_at_10(keys, self.truth), 0.999)
        self.assertGreaterEqual(self.index.measure_recall(samples=100), 0.95)

    def test_a_flat_query(self):
        hits = self.index.search(bytes(self.queries[0:1]), k=3)
        rows = self.index.search(self.queries[0:1], k=3)
        self.assertEqual(list(hits.keys), rows.keys.tolist()[0])

    def test_threads(self):
        expected = self.index.search(self.queries, threads=1).keys.tolist()
        answers = []

        def search():
            answers.append(self.index.search(self.queries, threads=1).keys.tolist())

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [expected] * 4)

    def test_cancel_and_timeout(self):
        op = omen.Op()
        op.cancel()
        with self.assertRaises(omen.Cancelled):
            self.index.search(self.queries, exact=True, op=op)
        op.reset()
        self.index.search(self.queries[0:1], op=op)
        with self.assertRaises(omen.DeadlineExceeded) as caught:
            self.index.search(self.queries, exact=True, timeout=1e-6)
        self.assertEqual(caught.exception.status, "DEADLINE_EXCEEDED")

    def test_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "images.omen")
            self.index.save(path)
            with omen.Index.open(path) as copy:
                self.assertEqual(len(copy), len(self.index))
                self.assertEqual((copy.dim, copy.dtype), (self.index.dim, "u8"))
                keys, _ = copy.search(self.queries, k=10, graph_only=True)
                self.assertGreaterEqual(recall_at_10(keys, self.truth), 0.95)
                with self.assertRaises(omen.Error) as caught:
                    copy.add(self.images[0:1])
                self.assertEqual(caught.exception.detail, "READ_ONLY")
            with open(path, "r+b") as file:
                file.truncate(1000)
            with self.assertRaises(omen.DataLoss):
                omen.Index.open(path)

    @unittest.skipIf(numpy is None, "numpy is not installed")
    def test_numpy_rows_are_not_copied(self):
        """Rows inside wider rows travel as they lie: the stride says where the next one is."""
        wide = numpy.zeros((100, 1000), dtype=numpy.uint8)
        wide[:, 100:884] = numpy.asarray(self.images)[:100]
        with omen.Index(dim=784, dtype="u8") as index:
            index.add(wide[:, 100:884])
            self.assertTrue((index.vectors([99]) == wide[99:, 100:884]).all())
            index.add(wide[::2, 100:884])  # every other row
            self.assertTrue((index.vectors([101]) == wide[2:3, 100:884]).all())
            keys, distances = index.search(wide[:5, 100:884], k=1)
            self.assertIsInstance(keys, numpy.ndarray)
            self.assertEqual(keys.dtype, numpy.uint64)
            self.assertEqual(distances.tolist(), [[0.0]] * 5)


if __name__ == "__main__":
    unittest.main()
