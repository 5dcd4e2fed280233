"""A server with a data folder: what survives its death, backups, listings, and files that are cut under it.

SPDX-License-Identifier: Apache-2.0
"""

import glob
import os
import shutil
import subprocess
import tempfile
import unittest

import grpc
import numpy as np
from harness import (
    COLLECTIONS,
    ITEMS,
    MAINTENANCE,
    PATIENCE,
    TYPES,
    Failure,
    Omend,
    Test,
    batch_of,
    ids_of,
    poll,
)

BATCH, INTERVAL, NONE = 3, 2, 1
SUCCEEDED, FAILED, CANCELLED = 3, 4, 5
DELETE = ITEMS.WRITE_OP_DELETE


def rows_of(count, dim=8, seed=1):
    return np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)


class Durable(Test):
    """Each test has a folder and starts servers on it."""

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=os.environ["OMEN_E2E_WORK"])
        self.addCleanup(shutil.rmtree, self.folder)
        os.mkdir(self.path("backups"))
        self.server = None
        self.addCleanup(self.stop)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def start(self, *arguments, data="data"):
        flags = ["--data-dir", self.path(data), "--backup-dir", self.path("backups")]
        self.server = Omend(*flags, *arguments)
        self.client = self.server.client()

    def stop(self):
        server, self.server = self.server, None
        if server is not None:
            server.stop()

    def kill(self):
        self.server.kill()
        self.server = None

    def fails_to_start(self, code, *arguments):
        command = [os.environ["OMEND"], "--listen=127.0.0.1:0", "--admin-listen=off", *arguments]
        run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stderr

    def maintain(self, what, state=SUCCEEDED, **fields):
        """Starts an operation and waits for its end."""
        stub = self.client.maintenance
        request = getattr(MAINTENANCE, what + "Request")(**fields)
        operation = getattr(stub, what)(request, timeout=PATIENCE)
        self.assertTrue(operation.id)
        wait = MAINTENANCE.WaitOperationRequest(id=operation.id, timeout_ms=PATIENCE * 1000)
        operation = stub.WaitOperation(wait, timeout=PATIENCE)
        self.assertEqual(operation.state, state, operation)
        return operation

    def database(self):
        return self.client.maintenance.GetDatabaseInfo(
            MAINTENANCE.GetDatabaseInfoRequest(), timeout=PATIENCE
        )

    def pages(self, name, size, with_vectors=True):
        token = ""
        while True:
            page = self.client.items.List(
                ITEMS.ListRequest(
                    collection=name, page_size=size, page_token=token, with_vectors=with_vectors
                ),
                timeout=PATIENCE,
            )
            yield page
            token = page.next_page_token
            if not token:
                return


class Restarts(Durable):
    def test_what_was_acknowledged_is_there_after_a_kill(self):
        rows = rows_of(300)
        for level in (BATCH, INTERVAL, NONE):
            with self.subTest(level=level):
                name = "level-%d" % level
                self.start()
                self.client.create(name, 8, durability=level)
                self.client.add(name, rows)
                self.client.write(name, ITEMS.WriteBatch(
                    op=DELETE, items=TYPES.ItemBatch(ids=ids_of([7]))))
                self.kill()
                self.start()
                self.assertEqual(self.client.count(name), 299)
                found = self.client.search(name, rows[42], limit=1)
                self.assertEqual(list(found.ids.u64), [42])
                self.assertEqual(list(self.client.get(name, ids_of([7, 8])).missing), [0])
                self.assertGreater(self.database().recovered_rows, 0)
                self.stop()

    def test_a_stream_resumes_behind_its_last_batch(self):
        rows = rows_of(40)
        self.start()
        self.client.create("s", 8)
        stream = self.client.stream()
        self.assertEqual(stream.open("s", "upload").last_seq, 0)
        for seq in (1, 2, 3):
            batch = batch_of(rows[seq * 10 - 10 : seq * 10], range(seq * 10 - 10, seq * 10), seq=seq)
            stream.send(batch=batch)
        version = stream.ack(3).version
        self.kill()
        self.start()
        stream = self.client.stream()
        self.assertEqual(stream.open("s", "upload").last_seq, 3)
        stream.send(batch=batch_of(rows[20:30], range(20, 30), seq=3))  # the same again
        stream.send(batch=batch_of(rows[30:40], range(30, 40), seq=4))
        ack = stream.ack(4)
        self.assertEqual(ack.accepted_items, 10)
        self.assertGreater(ack.version, version)
        stream.close()
        stream.rest()
        self.assertEqual(self.client.count("s"), 40)
        # A version of before the restart can still be waited for.
        self.client.search("s", rows[0], limit=1, min_version=version)

    def test_other_bytes_under_an_old_seq_are_refused(self):
        rows = rows_of(20)
        self.start()
        self.client.create("s", 8)
        stream = self.client.stream()
        stream.open("s", "upload")
        stream.send(batch=batch_of(rows[:10], range(10), seq=1))
        stream.ack(1)
        self.kill()
        self.start()
        stream = self.client.stream()
        stream.open("s", "upload")
        stream.send(batch=batch_of(rows[10:], range(10), seq=1))
        with self.assertRaises((grpc.RpcError, AssertionError)) as caught:
            stream.ack(1)
        if isinstance(caught.exception, grpc.RpcError):
            self.assertEqual(Failure(caught.exception).reason, "SEQUENCE")
        else:
            self.assertIn("SEQUENCE", str(caught.exception))
        kept = self.client.get("s", ids_of([0]), with_vectors=True)
        self.assertEqual(kept.items.vectors.data, rows[0].tobytes())
        self.assertEqual(self.client.count("s"), 10)

    def test_a_request_id_is_remembered(self):
        self.start()
        self.client.create("r", 8)
        first = self.client.add("r", rows_of(5), request_id="once")
        self.kill()
        self.start()
        again = self.client.add("r", rows_of(5), request_id="once")
        self.assertTrue(again.replayed)
        self.assertEqual(again.version, first.version)

    def test_a_clean_stop_leaves_nothing_to_replay(self):
        self.start()
        self.client.create("c", 8)
        self.client.add("c", rows_of(100))
        self.maintain("Checkpoint")
        self.stop()
        self.start()
        self.assertEqual(self.database().recovered_rows, 0)
        self.assertEqual(self.client.count("c"), 100)

    def test_dropped_collections_stay_dropped(self):
        self.start()
        self.client.create("gone", 8)
        self.client.add("gone", rows_of(10))
        self.client.collections.DeleteCollection(
            COLLECTIONS.DeleteCollectionRequest(name="gone"), timeout=PATIENCE
        )
        self.kill()
        self.start()
        self.fails("NOT_FOUND", self.client.count, "gone", reason="COLLECTION_NOT_FOUND")


class Acks(Durable):
    """Acknowledgements tell what is visible and what is synced."""

    def send(self, level, batches=4):
        rows = rows_of(10)
        self.start()
        self.client.create("a", 8, durability=level)
        stream = self.client.stream()
        stream.open("a")
        for seq in range(1, batches + 1):
            stream.send(batch=batch_of(rows, range(seq * 10, seq * 10 + 10), seq=seq))
        return stream

    def test_batch_means_synced(self):
        stream = self.send(BATCH)
        while True:
            ack = stream.recv("ack")
            self.assertEqual(ack.durable_seq, ack.visible_seq)
            if ack.durable_seq == 4:
                break
        self.assertGreaterEqual(self.database().durable_version, ack.version)

    def test_the_other_levels_follow_by_themselves(self):
        for level in (INTERVAL, NONE):
            with self.subTest(level=level):
                stream = self.send(level)
                while True:
                    ack = stream.recv("ack")
                    self.assertLessEqual(ack.durable_seq, ack.visible_seq)
                    self.assertLessEqual(ack.visible_seq, ack.received_seq)
                    if ack.durable_seq == 4:  # nothing else is sent, and it comes all the same
                        break
                self.assertGreaterEqual(self.database().durable_version, ack.version)
                stream.close()
                self.stop()
                shutil.rmtree(self.path("data"))

    def test_the_last_ack_before_the_end_is_durable(self):
        stream = self.send(NONE)
        stream.close()
        acks = [m.ack for m in stream.rest() if m.WhichOneof("message") == "ack"]
        self.assertEqual(acks[-1].durable_seq, 4)

    def test_the_window_shrinks_with_the_backlog(self):
        self.start("--stream-window-bytes", "16MiB")
        self.client.create("w", 64, max_backlog_rows=4096)
        stream = self.client.stream()
        full = stream.open("w").window_bytes
        rows = rows_of(2000, 64)
        windows = []
        for seq in range(1, 9):
            stream.send(batch=batch_of(rows, range(seq * 2000, seq * 2000 + 2000), seq=seq))
        last = 0
        while last < 8:
            message = stream.recv()
            kind = message.WhichOneof("message")
            if kind == "window":
                windows.append(message.window)
            last = message.ack.durable_seq if kind == "ack" else last
        stream.close()
        stream.rest()
        small = [w for w in windows if w.window_bytes < full]
        self.assertTrue(small)
        self.assertTrue(all(w.why == "index_backlog" for w in small), small)


class Backups(Durable):
    def test_a_backup_is_restored_and_served(self):
        rows = rows_of(500)
        self.start()
        self.client.create("b", 8)
        self.client.add("b", rows)
        made = self.maintain("Backup", name="monday")
        self.assertGreater(made.result.files, 0)
        self.assertGreaterEqual(made.result.version, 1)
        self.client.add("b", rows_of(10, seed=2), ids=range(1000, 1010))
        self.maintain("Verify", name="monday")
        self.maintain("Backup", name="tuesday", previous="monday")
        self.maintain("Restore", name="monday", to="monday-again")
        listed = self.client.maintenance.ListOperations(
            MAINTENANCE.ListOperationsRequest(), timeout=PATIENCE
        )
        self.assertEqual([o.kind for o in listed.operations], [4, 3, 5, 3])
        self.assertTrue(all(o.ended_unix_ms >= o.started_unix_ms > 0 for o in listed.operations))
        self.assertIn('omendb_maintenance_ended_total{kind="backup",result="ok"} 2',
                      self.server.get("/metrics")[1])
        self.stop()
        self.start(data="backups/monday-again")
        self.assertEqual(self.client.count("b"), 500)
        self.assertEqual(list(self.client.search("b", rows[3], limit=1).ids.u64), [3])

    def test_backups_are_listed_and_deleted(self):
        self.start()
        stub = self.client.maintenance
        self.client.create("b", 8)
        self.client.add("b", rows_of(500))
        self.maintain("Checkpoint")
        for name, previous in (("n-1", ""), ("n-2", "n-1"), ("other", "n-2")):
            self.maintain("Backup", name=name, previous=previous)
        listed = stub.ListBackups(MAINTENANCE.ListBackupsRequest(prefix="n-"), timeout=PATIENCE)
        self.assertEqual([b.name for b in listed.backups], ["n-2", "n-1"])
        self.assertTrue(all(b.files > 0 and b.bytes > 0 and b.created_unix_ms > 0 for b in listed.backups))
        # Files that others link stay with them.
        stub.DeleteBackup(MAINTENANCE.DeleteBackupRequest(name="n-1"), timeout=PATIENCE)
        self.maintain("Verify", name="n-2")
        self.fails("NOT_FOUND", stub.DeleteBackup, MAINTENANCE.DeleteBackupRequest(name="n-1"),
                   reason="BACKUP_NOT_FOUND")
        self.maintain("Restore", name="n-2", to="restored")
        self.fails("NOT_FOUND", stub.DeleteBackup, MAINTENANCE.DeleteBackupRequest(name="restored"))
        self.assertEqual(sorted(os.listdir(self.path("backups"))), ["n-2", "other", "restored"])

    def test_a_damaged_backup_is_told(self):
        self.start()
        self.client.create("b", 8)
        self.client.add("b", rows_of(500))
        self.maintain("Checkpoint")
        self.maintain("Backup", name="full", copy=True)
        segment = glob.glob(self.path("backups", "full", "*", "*.seg"))[0]
        os.chmod(segment, 0o644)
        with open(segment, "r+b") as file:
            file.seek(os.path.getsize(segment) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        verified = self.maintain("Verify", name="full", state=FAILED)
        self.assertEqual(verified.error.code, 15)
        self.assertIn(".seg", verified.error.message)
        self.maintain("Restore", name="full", to="copy", state=FAILED)
        self.assertFalse(os.path.exists(self.path("backups", "copy")))
        self.assertEqual(self.client.count("b"), 500)  # what is served is another file

    def test_names_lead_nowhere_else(self):
        self.start()
        stub = self.client.maintenance
        for name in ("", "..", ".", "a/b", "/etc", "a\\b", "x.partial", "ä", "a" * 64):
            for what in ("Backup", "Verify", "DeleteBackup"):
                request = getattr(MAINTENANCE, what + "Request")(name=name)
                self.fails("INVALID_ARGUMENT", getattr(stub, what), request, reason="NAME", field="name")
            request = MAINTENANCE.RestoreRequest(name=name, to="x")
            self.fails("INVALID_ARGUMENT", stub.Restore, request, reason="NAME")
        self.fails("NOT_FOUND", stub.Verify, MAINTENANCE.VerifyRequest(name="none"),
                   reason="BACKUP_NOT_FOUND")
        os.symlink("/", self.path("backups", "root"))
        self.fails("NOT_FOUND", stub.Verify, MAINTENANCE.VerifyRequest(name="root"))
        self.fails("NOT_FOUND", stub.DeleteBackup, MAINTENANCE.DeleteBackupRequest(name="root"),
                   reason="BACKUP_NOT_FOUND")
        self.assertEqual(len(stub.ListBackups(MAINTENANCE.ListBackupsRequest()).backups), 0)
        self.fails("ALREADY_EXISTS", stub.Backup, MAINTENANCE.BackupRequest(name="root"))
        self.assertEqual(os.listdir(self.path("backups")), ["root"])

    def test_operations_that_are_not_there(self):
        self.start()
        stub = self.client.maintenance
        for call, request in (
            (stub.GetOperation, MAINTENANCE.GetOperationRequest(id="x-1")),
            (stub.CancelOperation, MAINTENANCE.CancelOperationRequest(id="")),
            (stub.WaitOperation, MAINTENANCE.WaitOperationRequest(id="y" * 300)),
        ):
            self.fails("NOT_FOUND", call, request, reason="OPERATION_NOT_FOUND")
        self.fails("INVALID_ARGUMENT", stub.WaitOperation,
                   MAINTENANCE.WaitOperationRequest(id="x", timeout_ms=600001), field="timeout_ms")
        self.fails("NOT_FOUND", stub.Optimize, MAINTENANCE.OptimizeRequest(collection="absent"),
                   reason="COLLECTION_NOT_FOUND")

    def test_optimize_leaves_one_segment(self):
        self.start("--seal-rows", "2000")
        self.client.create("o", 8)
        rows = rows_of(9000)
        for first in range(0, 9000, 1000):
            self.client.add("o", rows[first : first + 1000], ids=range(first, first + 1000))
        self.client.write("o", ITEMS.WriteBatch(op=DELETE, items=TYPES.ItemBatch(ids=ids_of(range(500)))))
        self.maintain("Optimize", collection="o")
        stats = self.client.collections.GetCollection(
            COLLECTIONS.GetCollectionRequest(name="o"), timeout=PATIENCE
        ).stats
        self.assertEqual((stats.count, stats.deleted, stats.backlog_rows), (8500, 0, 0))
        self.assertLessEqual(stats.segments, 2)  # the merged one, and an empty one that grows
        self.assertEqual(list(self.client.search("o", rows[8999], limit=1).ids.u64), [8999])


class Listings(Durable):
    def test_pages_are_of_one_version(self):
        self.start()
        rows = rows_of(1000)
        for kind, ids in ((1, list(range(1000))), (3, ["id-%d" % i for i in range(1000)])):
            name = "list-%d" % kind
            self.client.create(name, 8, id_type=kind)
            self.client.add(name, rows, ids=ids)
            seen, versions = {}, set()
            for number, page in enumerate(self.pages(name, 300)):
                listed = page.items.ids.u64 if kind == 1 else page.items.ids.str
                data = np.frombuffer(page.items.vectors.data, np.float32).reshape(-1, 8)
                seen.update(zip(listed, data))
                versions.add(page.version)
                # What happens meanwhile is not seen.
                self.client.write(name, ITEMS.WriteBatch(
                    op=DELETE, items=TYPES.ItemBatch(ids=ids_of(ids[-number - 1 :][:1]))))
                self.client.add(name, rows[:1], ids=["new-%d" % number if kind == 3 else 5000 + number])
            self.assertEqual(list(seen), ids)
            self.assertTrue(all((seen[i] == rows[n]).all() for n, i in enumerate(ids)))
            self.assertEqual(len(versions), 1)

    def test_tokens(self):
        self.start()
        for name in ("one", "two"):
            self.client.create(name, 8)
            self.client.add(name, rows_of(50))
        stub = self.client.items
        first = stub.List(ITEMS.ListRequest(collection="one", page_size=20), timeout=PATIENCE)
        token = first.next_page_token
        again = [
            stub.List(ITEMS.ListRequest(collection="one", page_size=20, page_token=token),
                      timeout=PATIENCE)
            for _ in range(2)
        ]
        self.assertEqual(list(again[0].items.ids.u64), list(range(20, 40)))
        self.assertEqual(again[0], again[1])
        self.assertFalse(first.items.HasField("vectors"))
        for bad in (token[:-1] + "x", "x", token.replace(".", ".99"), "0.0.0", "a" * 500):
            self.fails("ABORTED", stub.List, ITEMS.ListRequest(collection="one", page_token=bad),
                       reason="CURSOR_EXPIRED")
        self.fails("ABORTED", stub.List, ITEMS.ListRequest(collection="two", page_token=token),
                   reason="CURSOR_EXPIRED")
        self.fails("INVALID_ARGUMENT", stub.List,
                   ITEMS.ListRequest(collection="one", page_size=10001), field="page_size")
        self.fails("NOT_FOUND", stub.List, ITEMS.ListRequest(collection="none"),
                   reason="COLLECTION_NOT_FOUND")


class Starts(Durable):
    def test_one_server_a_folder(self):
        self.start()
        text = self.fails_to_start(75, "--data-dir", self.path("data"))
        self.assertIn("process %d" % self.server.process.pid, text)
        self.kill()
        self.start()  # the lock went with its process

    def test_folders_that_are_none(self):
        with open(self.path("file"), "w", encoding="ascii") as file:
            file.write("x")
        os.mkdir(self.path("foreign"))
        with open(self.path("foreign", "notes.txt"), "w", encoding="ascii") as file:
            file.write("not ours")
        self.fails_to_start(78, "--data-dir", self.path("file"))
        self.fails_to_start(65, "--data-dir", self.path("foreign"))
        self.fails_to_start(78, "--data-dir", self.path("no", "parent"))
        self.assertEqual(os.listdir(self.path("foreign")), ["notes.txt"])

    def test_options_that_do_not_go_together(self):
        backups = self.path("backups")
        self.fails_to_start(78, "--backup-dir", backups)
        self.fails_to_start(78, "--data-dir", self.path("d"), "--backup-dir", self.path("none"))
        os.mkdir(self.path("data"))
        inside = self.path("data", "inside")
        os.mkdir(inside)
        self.fails_to_start(78, "--data-dir", self.path("data"), "--backup-dir", inside)
        self.fails_to_start(78, "--data-dir", backups, "--backup-dir", backups)
        self.fails_to_start(64, "--durability", "sometimes")

    def test_in_memory_says_so(self):
        server = Omend()
        try:
            self.assertIn("memory only", server.read_log())
            client = server.client()
            info = client.maintenance.GetDatabaseInfo(
                MAINTENANCE.GetDatabaseInfoRequest(), timeout=PATIENCE
            )
            self.assertFalse(info.persistent or info.backups)
            self.client = client
            self.fails("FAILED_PRECONDITION", client.maintenance.Backup,
                       MAINTENANCE.BackupRequest(name="b"), reason="NO_BACKUP_DIR")
        finally:
            server.stop()

    def test_segments_in_memory(self):
        self.start()
        self.client.create("r", 8)
        self.client.add("r", rows_of(3000))
        self.maintain("Checkpoint")
        self.stop()
        for arguments in (["--ram"], ["--warm", "all"], ["--warm", "none"]):
            self.start(*arguments)
            self.assertEqual(list(self.client.search("r", rows_of(3000)[9], limit=1).ids.u64), [9])
            self.stop()

    def test_limits_are_told(self):
        self.start()
        limits = self.client.info().limits
        self.assertEqual((limits.max_operations, limits.max_listings, limits.max_page_size), (64, 64, 10000))
        self.assertEqual(limits.max_backup_name_bytes, 63)

    def test_the_level_of_new_collections(self):
        self.start("--durability", "interval")
        made = self.client.create("d", 8)
        self.assertEqual(made.config.durability, INTERVAL)
        made = self.client.create("e", 8, durability=BATCH)
        self.assertEqual(made.config.durability, BATCH)

    def test_admin_pages_tell_the_state(self):
        self.start()
        code, text = self.server.get("/readyz?verbose")
        self.assertEqual((code, text.splitlines()), (200, ["ready", "writable: yes", "state: writable"]))
        self.assertEqual(self.server.get("/readyz")[1], "ready\n")
        self.client.create("m", 8)
        self.client.add("m", rows_of(10))
        page = self.server.get("/metrics")[1]
        for line in ("omendb_writable 1", 'omendb_database_state{state="writable"} 1',
                     "omendb_file_faults_total 0", "omendb_growing_rows 10"):
            self.assertIn(line + "\n", page)
        syncs = [line for line in page.splitlines() if line.startswith("omendb_wal_syncs_total")]
        self.assertGreater(int(syncs[0].split()[1]), 0)


class CutFiles(Durable):
    """Somebody cuts a segment file under the running server."""

    def test_the_collection_tells_and_the_others_go_on(self):
        self.start("--warm", "none")
        rows = rows_of(4000, 32)
        for name in ("cut", "whole"):
            self.client.create(name, 32)
            self.client.add(name, rows)
        self.maintain("Checkpoint")
        segments = sorted(glob.glob(self.path("data", "*", "*.seg")), key=os.path.getmtime)
        served = {name: self.client.search(name, rows[0], limit=1) for name in ("cut", "whole")}
        self.assertEqual(list(served["cut"].ids.u64), [0])
        self.assertEqual(len(segments), 2)
        victim = sorted(segments)[0]  # of the collection that was made first
        os.chmod(victim, 0o644)
        os.truncate(victim, 4096)
        failure = self.fails("DATA_LOSS", self.client.search, "cut", rows[1], exact=True)
        self.assertIn("cut", failure.text)
        self.fails("DATA_LOSS", self.client.get, "cut", ids_of([3]), with_vectors=True)
        self.fails("DATA_LOSS", self.client.add, "cut", rows[:1])
        self.assertEqual(self.maintain("Optimize", collection="cut", state=FAILED).error.code, 15)
        self.assertEqual(list(self.client.search("whole", rows[2], limit=1).ids.u64), [2])
        self.client.add("whole", rows[:1], ids=[9000])
        self.assertEqual(self.server.get("/livez")[0], 200)
        faults = [line for line in self.server.get("/metrics")[1].splitlines()
                  if line.startswith("omendb_file_faults_total")]
        self.assertGreater(int(faults[0].split()[1]), 0)
        poll("the fault is logged", lambda: "was cut" in self.server.read_log())
        # The log still has what was in the file: a start passes over the manifest that names it.
        self.kill()
        self.start()
        self.assertIn(os.path.basename(victim), self.server.read_log())
        self.assertEqual(self.client.count("cut"), 4000)
        self.assertEqual(list(self.client.search("cut", rows[1], limit=1).ids.u64), [1])


if __name__ == "__main__":
    unittest.main()
