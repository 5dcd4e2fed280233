"""The reference clients of ffi-examples/clients against a server that is killed in the middle, and again.

OMEN_E2E_CLIENT_PYTHON and OMEN_E2E_CLIENT_GO are the commands of their examples.
SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from harness import ITEMS, TYPES, Omend, Test, ids_of, poll

sys.path.append(os.path.join(os.environ["OMEN_E2E_API"], "../ffi-examples/clients/python"))
import omen_stream  # noqa: E402 the file that users copy

BATCHES, ROWS, DIM = 2000, 100, 64
KILLS = 3


def rows_of(ids):
    return ((31 * ids[:, None] + 7 * np.arange(DIM)) % 1000).astype(np.float32)


class ClientsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=os.environ["OMEN_E2E_WORK"])
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = None
        self.address = "127.0.0.1:0"
        self.start()
        self.server.client().create("feed", DIM)
        self.addCleanup(lambda: self.server.kill() if self.server else None)

    def start(self):
        """The server on its old address, with its old data."""
        self.server = Omend("--data-dir", os.path.join(self.folder, "data"), listen=self.address)
        self.address = self.server.address

    def example(self, name, stream="loader"):
        command = shlex.split(os.environ["OMEN_E2E_CLIENT_" + name])
        arguments = [self.address, "feed", stream, str(BATCHES), str(ROWS), str(DIM)]
        child = subprocess.Popen(command + arguments, stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def kill_server_after(self, child, more):
        """SIGKILL when so many more items are there (or the client has ended), then a new start. Whether
        the client was still at work."""
        client = self.server.client()
        want = client.count("feed") + more
        poll("progress", lambda: child.poll() is not None or client.count("feed") >= want)
        working = child.poll() is None
        self.server.kill()
        self.start()
        return working

    def check(self):
        """Every row once, with its bytes, and the stream at its end."""
        client = self.server.client()
        self.assertEqual(client.count("feed"), BATCHES * ROWS)
        for first in range(0, BATCHES * ROWS, 50 * ROWS):
            ids = np.arange(first, first + 50 * ROWS)
            got = client.get("feed", ids_of(ids), with_vectors=True)
            self.assertEqual(got.items.vectors.data, rows_of(ids).tobytes())
        for text, rows in (("even", BATCHES * ROWS // 2), ("batch = 7", ROWS), ("batch IS NULL", 0)):
            count = ITEMS.CountRequest(collection="feed", filter=text)
            self.assertEqual(client.items.Count(count).count, rows, text)
        stream = client.stream()
        self.assertEqual(stream.open("feed", "loader").last_seq, BATCHES)
        stream.close()
        stream.rest()

    def survive(self, name):
        child = self.example(name)
        kills = [self.kill_server_after(child, BATCHES * ROWS // (KILLS + 3)) for _ in range(KILLS)]
        self.assertTrue(kills[0], "the client was done before the server was killed")
        out, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0, out)
        self.assertIn("%d batches are durable" % BATCHES, out)
        self.check()
        self.server.stop()
        self.server = None

    def resume(self, name):
        """The client is killed; the next one goes on where it was."""
        client = self.server.client()
        child = self.example(name)
        poll("progress", lambda: child.poll() is not None or client.count("feed") >= 20 * ROWS)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        child = self.example(name)
        out, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0, out)
        there = int(re.search(r"(\d+) batches were there", out).group(1))
        self.assertGreaterEqual(there, 20)
        self.check()
        self.server.stop()
        self.server = None

    def lost(self, name):
        """Another server, without the data, answers on the same address: told, not hidden."""
        child = self.example(name)
        client = self.server.client()
        poll("progress", lambda: child.poll() is not None or client.count("feed") >= 20 * ROWS)
        self.assertIsNone(child.poll(), "it ended before the server did")
        self.server.kill()
        shutil.rmtree(os.path.join(self.folder, "data"))
        # The collection is made again before the client can come back: on another address first.
        address, self.address = self.address, "127.0.0.1:0"
        self.start()
        self.server.client().create("feed", DIM)
        self.server.stop()
        self.address = address
        self.start()
        child.communicate(timeout=60)
        self.assertNotEqual(child.returncode, 0)
        self.server.stop()
        self.server = None

    def test_python_survives_a_killed_server(self):
        self.survive("PYTHON")

    def test_python_resumes_after_its_own_end(self):
        self.resume("PYTHON")

    def test_python_tells_that_data_are_lost(self):
        self.lost("PYTHON")

    @unittest.skipUnless(os.environ.get("OMEN_E2E_CLIENT_GO"), "the Go client was not built")
    def test_go_survives_a_killed_server(self):
        self.survive("GO")

    @unittest.skipUnless(os.environ.get("OMEN_E2E_CLIENT_GO"), "the Go client was not built")
    def test_go_resumes_after_its_own_end(self):
        self.resume("GO")

    @unittest.skipUnless(os.environ.get("OMEN_E2E_CLIENT_GO"), "the Go client was not built")
    def test_go_tells_that_data_are_lost(self):
        self.lost("GO")


class LibraryTest(Test):
    """The Python client as a library: refused batches, and the window."""

    arguments = ("--stream-window-bytes=65536", "--max-message-bytes=65536")

    def writer(self, **keywords):
        self.client.create(self.name(), DIM)
        return omen_stream.StreamWriter(self.server.address, self.name(), "loader", **keywords)

    def send(self, writer, first, count, op=0):
        ids = np.arange(first, first + count)
        return writer.write(TYPES.Ids(u64=ids.tolist()), rows_of(ids), op=op)

    def test_refused_batches_are_handed_over(self):
        refused = []
        with self.writer(refused=refused.append) as writer:
            self.assertEqual(self.send(writer, 0, 50), 1)
            self.assertEqual(self.send(writer, 49, 50, op=ITEMS.WRITE_OP_INSERT), 2)
            self.assertEqual(self.send(writer, 50, 50, op=ITEMS.WRITE_OP_INSERT), 3)
        self.assertEqual([(e.seq, e.code) for e in refused], [(2, 6)])
        self.assertEqual(self.client.count(self.name()), 100)

    def test_metadata_alone(self):
        with self.writer() as writer:
            self.send(writer, 0, 50)
            patch = [{"n": i} for i in range(50)]
            writer.write(ids_of(range(50)), None, op=ITEMS.WRITE_OP_PATCH, metadata=patch)
            writer.write(ids_of(range(5)), None, op=ITEMS.WRITE_OP_DELETE)
        count = ITEMS.CountRequest(collection=self.name(), filter="n < 10")
        self.assertEqual(self.client.items.Count(count).count, 5)

    def test_a_refused_batch_ends_the_writer_unless_somebody_listens(self):
        writer = self.writer()
        self.send(writer, 0, 50)
        self.send(writer, 0, 50, op=ITEMS.WRITE_OP_INSERT)
        with self.assertRaisesRegex(RuntimeError, "batch 2 was refused"):
            writer.close()

    def test_what_is_under_way_stays_within_the_window(self):
        with self.writer() as writer:
            most, due = [], writer._due

            def watched():
                found = due()
                most.append(writer._sent_bytes + (found[2] if found else 0))
                return found

            writer._due = watched
            for first in range(0, 20000, 50):
                self.send(writer, first, 50)
        self.assertGreater(max(most), 30000)
        self.assertLessEqual(max(most), 65536)
        self.assertEqual(self.client.count(self.name()), 20000)

    def test_a_collection_that_is_not_there(self):
        with self.assertRaisesRegex(Exception, "does not exist"):
            omen_stream.StreamWriter(self.server.address, "nothing", "loader")


if __name__ == "__main__":
    unittest.main()
