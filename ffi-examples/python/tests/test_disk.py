"""A database in a folder: written, closed, opened again, backed up.

SPDX-License-Identifier: Apache-2.0
"""

import os
import tempfile
import unittest

import omen
from omen import Database


class DiskTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def test_what_was_written_is_there_again(self):
        with Database(self.path("db")) as db, db.create("points", dim=2) as index:
            index.add([[1, 1], [5, 5]], ids=[10, 20])
            index.delete([20])
            with self.assertRaises(omen.Error) as caught:
                Database(self.path("db"))
            self.assertEqual(caught.exception.detail, "LOCKED")
        with Database(self.path("db"), must_exist=True) as db:
            self.assertEqual(db.names(), ["points"])
            with db.open("points") as index:
                keys, _ = index.search([1.1, 1.1], k=2)
                self.assertEqual(list(keys), [10])
            stats = db.stats()
            self.assertEqual((stats["state"], stats["collections"]), ("writable", 1))
            db.drop("points")
            self.assertEqual(db.names(), [])
            with self.assertRaises(omen.NotFound):
                db.open("points")
        with self.assertRaises(omen.NotFound):
            Database(self.path("none"), must_exist=True)

    def test_snapshots_readers_and_backups(self):
        db = Database(self.path("db"))
        index = db.create("points", 2, durability="interval")
        index.add([[i, i] for i in range(1000)])
        with index.snapshot() as before:
            index.delete([0, 1, 2])
            self.assertEqual((len(before), len(index)), (1000, 997))
        db.checkpoint()
        index.optimize()
        with Database(self.path("db"), read_only=True) as reader, reader.open("points") as seen:
            self.assertEqual(len(seen), 997)
            self.assertEqual(reader.stats()["state"], "read_only")
            index.delete([3])
            db.checkpoint()
            self.assertTrue(reader.refresh())
            self.assertEqual(len(seen), 996)
        made = db.backup(self.path("first"))
        self.assertGreater(made.files, 0)
        index.delete([4])
        second = db.backup(self.path("second"), previous=self.path("first"))
        self.assertGreater(second.version, made.version)
        omen.verify(self.path("first"))
        omen.restore(self.path("first"), self.path("again"))
        with self.assertRaises(omen.AlreadyExists):
            omen.restore(self.path("first"), self.path("again"))
        with Database(self.path("again")) as restored, restored.open("points") as copy:
            self.assertEqual(len(copy), 996)
        index.close()
        db.close()
        with self.assertRaises(omen.Error):
            db.names()

    def test_estimates(self):
        small, large = omen.estimate(100000, 128), omen.estimate(1000000, 128, dtype="f32")
        self.assertGreater(large.memory_serving, 5 * small.memory_serving)
        self.assertGreaterEqual(large.disk_peak, large.disk)
        with self.assertRaises(omen.InvalidArgument):
            omen.estimate(1, 0)


if __name__ == "__main__":
    unittest.main()
