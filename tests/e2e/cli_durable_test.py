#!/usr/bin/env python3
"""cli_durable_test.py - the omen tool on databases in folders, its dumps and backups, and uploads that go on
after the server or the tool was killed. Standard library only.

Usage: cli_durable_test.py BUILD DATA [unittest arguments]      (BUILD/bin holds omen and omend)

SPDX-License-Identifier: Apache-2.0
"""
import glob
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

from cli_test import (BAD_INPUT, BUILD, DATA_LOSS, ENVIRONMENT, NOT_FOUND, OMEN, PATIENCE, PRECONDITION,
                      USAGE, Folder, omen, omen_json, rows_of, write_fvecs)


class DurableServer:
    """An omend on a data folder; restart() kills it and starts it again on the same port."""

    def __init__(self, folder, *arguments):
        self.arguments = ["--data-dir", folder / "data", "--backup-dir", folder / "backups",
                          "--admin-listen", "off", "--log-level", "error", *arguments]
        (folder / "backups").mkdir()
        self.start("127.0.0.1:0")

    def start(self, address):
        self.process = subprocess.Popen([BUILD / "bin" / "omend", "--listen", address, *self.arguments],
                                        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.address = self.process.stdout.readline().split("grpc=")[1].split()[0]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def restart(self):
        self.kill()
        self.start(self.address)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        if code != 0:
            raise AssertionError(f"omend ended with {code}")


class InAFolder(Folder):
    def setUp(self):
        super().setUp()
        self.data = self.path("data")
        self.at = ("--db", self.data)

    def fill(self, name="shop", count=500, dim=8):
        source = self.path("rows.fvecs")
        if not source.exists():
            write_fvecs(source, rows_of(count, dim))
        return omen_json("import", name, source, "--create", *self.at)

    def test_a_first_walk(self):
        omen("count", "shop", *self.at, code=NOT_FOUND)
        omen("create", "shop", "--dim", 2, *self.at)
        omen("create", "shop", "--dim", 2, *self.at, code=PRECONDITION)
        omen("import", "shop", "-", "--format", "jsonl", *self.at,
             text='{"id": 7, "vector": [0, 0]}\n{"id": 9, "vector": [3, 4]}\n')
        hits = omen_json("search", "shop", "--vector", "[0, 1]", *self.at)["hits"]
        self.assertEqual(hits, [{"id": 7, "distance": 1.0}, {"id": 9, "distance": 18.0}])
        self.assertEqual(omen_json("get", "shop", 9, *self.at)["vector"], [3.0, 4.0])
        environment = {"OMEN_DB": str(self.data), "OMEN_COLLECTION": "shop"}
        self.assertEqual(omen_json("count", env=environment)["count"], 2)
        self.assertEqual(omen_json("delete", "shop", 7, 8, *self.at), {"removed": 1, "given": 2})
        self.assertEqual([c["name"] for c in omen_json("list", *self.at)["collections"]], ["shop"])
        stats = omen_json("stats", *self.at)
        self.assertEqual((stats["collections"], stats["persistent"]), (1, True))
        self.assertEqual(omen_json("stats", "shop", *self.at)["count"], 1)
        omen("drop", "shop", *self.at)
        omen("drop", "shop", *self.at, code=NOT_FOUND)
        self.assertEqual(omen_json("list", *self.at)["collections"], [])

    def test_one_file_is_written_once(self):
        first = self.fill()
        self.assertEqual((first["rows"], first["skipped"]), (500, 0))
        again = self.fill()
        self.assertEqual((again["rows"], again["skipped"]), (500, 500))
        self.assertTrue(again["stream_id"].startswith("omen-import-"))
        omen("delete", "shop", 3, *self.at)
        source = self.path("rows.fvecs")
        forced = omen_json("import", "shop", source, "--again", *self.at)
        self.assertEqual((forced["rows"], forced["skipped"]), (500, 0))
        self.assertEqual(omen_json("count", "shop", *self.at)["count"], 500)
        write_fvecs(source, rows_of(500, 8, salt=5))  # another file under the same name
        os.utime(source, (1, 1))
        changed = omen_json("import", "shop", source, *self.at)
        self.assertEqual(changed["skipped"], 0)
        self.assertEqual(omen_json("get", "shop", 4, *self.at)["vector"], rows_of(500, 8, salt=5)[4])

    def test_an_import_that_was_killed_goes_on(self):
        source = self.path("big.fvecs")
        write_fvecs(source, rows_of(20000, 32))
        omen("create", "big", "--dim", 32, *self.at)
        for _ in range(3):
            run = subprocess.Popen([OMEN, "import", "big", source, "--batch", "100", "--no-wait", *self.at],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
            before = omen_json("count", "big", *self.at)["count"]
            while run.poll() is None and omen_json("count", "big", *self.at)["count"] == before:
                pass
            run.kill()
            run.wait()
        done = omen_json("import", "big", source, "--batch", 100, "--no-wait", *self.at)
        self.assertEqual(done["rows"], 20000)
        self.assertGreater(done["skipped"], 0)
        stats = omen_json("stats", "big", *self.at)
        self.assertEqual((stats["count"], stats["deleted"]), (20000, 0))  # nothing lost, nothing twice

    def test_dumps_come_back_byte_for_byte(self):
        shapes = (("u64", "f32", [1, 2, 3]), ("string", "f16", ["a", "ä ö", "x" * 512]),
                  ("uuid", "u8", ["00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-fffffffffffe",
                                  "00000000-0000-0000-0000-000000000001"]))
        for kind, dtype, names in shapes:
            omen("create", kind, "--dim", 2, "--id-type", kind, "--dtype", dtype, "--metric", "cosine", "--m", 8,
                 *self.at)
            lines = "".join(json.dumps({"id": n, "vector": [i, i + 1]}) + "\n" for i, n in enumerate(names))
            omen("import", kind, "-", "--format", "jsonl", *self.at, text=lines)
            first, second = self.path(kind + ".omendump"), self.path(kind + "-2.omendump")
            omen("dump", kind, first, *self.at)
            loaded = omen_json("load", kind + "-copy", first, *self.at)
            self.assertEqual(loaded["rows"], 3)
            omen("dump", kind + "-copy", second, *self.at)
            self.assertEqual(first.read_bytes(), second.read_bytes())
            for more in ((), ("--base64",)):
                text = omen("dump", kind, "--format", "jsonl", *more, *self.at).stdout
                self.assertEqual([json.loads(line)["id"] for line in text.splitlines()], names)
                name = kind + ("-64" if more else "-json")
                omen("load", name, "-", "--format", "jsonl", "--create", "--id-type", kind, "--dtype", dtype,
                     "--metric", "cosine", *self.at, text=text)
                self.assertEqual(omen("dump", name, "--format", "jsonl", *self.at).stdout,
                                 omen("dump", kind, "--format", "jsonl", *self.at).stdout)

    def test_a_dump_that_is_damaged(self):
        self.fill()
        whole = self.path("whole.omendump")
        omen("dump", "shop", whole, *self.at)
        data = whole.read_bytes()
        cut, changed = self.path("cut.omendump"), self.path("changed.omendump")
        cut.write_bytes(data[:-30])
        changed.write_bytes(data[:5000] + bytes([data[5000] ^ 4]) + data[5001:])
        self.assertIn("cut short", omen("load", "a", cut, *self.at, code=DATA_LOSS).stderr)
        self.assertIn("checksum", omen("load", "b", changed, *self.at, code=DATA_LOSS).stderr)
        omen("load", "c", self.path("nowhere.omendump"), *self.at, code=NOT_FOUND)
        self.assertEqual(omen_json("info", whole)["rows"], None)
        self.assertEqual(omen("dump", "shop", whole, "--base64", "--format", "dump", *self.at, code=USAGE).stdout,
                         "")

    def restore_in_place(self, backup, restored):
        """With what is there moved aside, and only once when that is asked for."""
        at = ("--db", restored)
        omen("drop", "shop", *at)
        omen("restore", backup, restored, "--once", "x", code=PRECONDITION)
        omen("restore", backup, restored, "--replace", "--once", "", code=USAGE)
        omen("restore", backup, restored, "--replace", "--once", "today/1")
        self.assertEqual(omen_json("count", "shop", *at)["count"], 2000)
        omen("drop", "shop", *at)
        aside = restored.with_name(restored.name + ".replaced-1")
        self.assertEqual(omen_json("list", "--db", aside)["collections"], [])
        # Once is once: what has changed since stays, until another text is given.
        told = omen("restore", backup, restored, "--replace", "--once", "today/1").stderr
        self.assertIn("already", told)
        self.assertEqual(omen_json("list", *at)["collections"], [])
        omen("restore", backup, restored, "--replace", "--once", "today/2")
        self.assertEqual(omen_json("count", "shop", *at)["count"], 2000)
        self.assertEqual(restored.with_name(restored.name + ".restored").read_text(), "today/2\n")
        # Whole but not moved when it was killed: kept aside, and done again.
        staging = restored.with_name(restored.name + ".restoring")
        omen("restore", backup, staging)
        omen("restore", backup, f"{restored}/", "--replace")
        self.assertFalse(staging.exists())
        self.assertEqual(len(list(restored.parent.glob(restored.name + ".replaced-*"))), 4)
        # A backup that is damaged leaves everything as it was.
        before = sorted(restored.parent.iterdir())
        omen("restore", self.path("none"), restored, "--replace", code=NOT_FOUND)
        self.assertEqual(sorted(restored.parent.iterdir()), before)
        self.assertEqual(omen_json("count", "shop", *at)["count"], 2000)

    def test_backup_restore_verify(self):
        self.fill(count=2000)
        backup, restored = self.path("backup"), self.path("restored")
        made = omen_json("backup", backup, *self.at)
        self.assertGreater(made["files"], 0)
        omen("backup", backup, *self.at, code=PRECONDITION)
        omen("backup", self.path("second"), "--previous", backup, *self.at)
        omen("verify", backup)
        omen("verify", *self.at)
        omen("restore", backup, restored)
        omen("restore", backup, restored, code=PRECONDITION)
        omen("restore", self.path("none"), self.path("x"), code=NOT_FOUND)
        self.assertEqual(omen_json("count", "shop", "--db", restored)["count"], 2000)
        whole = omen("dump", "shop", "--format", "jsonl", *self.at).stdout
        self.assertEqual(omen("dump", "shop", "--format", "jsonl", "--db", restored).stdout, whole)
        self.restore_in_place(backup, restored)
        omen("checkpoint", *self.at)
        omen("backup", self.path("third"), "--copy", *self.at)
        segment = pathlib.Path(glob.glob(str(self.path("third") / "*" / "*.seg"))[0])
        segment.chmod(0o644)
        os.truncate(segment, segment.stat().st_size - 1)
        error = omen("verify", self.path("third"), code=DATA_LOSS).stderr
        self.assertIn(segment.name, error)
        omen("restore", self.path("third"), self.path("y"), code=DATA_LOSS)
        omen("verify", self.path("none"), code=NOT_FOUND)

    def test_optimize_and_checkpoint(self):
        self.fill(count=3000)
        omen("delete", "shop", *range(100), *self.at)
        omen("checkpoint", *self.at)
        omen("optimize", "shop", *self.at)
        stats = omen_json("stats", "shop", *self.at)
        self.assertEqual((stats["count"], stats["deleted"], stats["backlog_rows"]), (2900, 0, 0))
        omen("optimize", "absent", *self.at, code=NOT_FOUND)
        omen("optimize", self.path("a.omen"), code=USAGE)
        omen("checkpoint", code=USAGE)

    def test_estimates(self):
        small = omen_json("estimate", "--rows", "100k", "--dim", 128)
        large = omen_json("estimate", "--rows", "1M", "--dim", 128)
        self.assertGreater(large["disk_bytes"], small["disk_bytes"] + 900000 * 128 * 5)  # f32 and a code
        self.assertGreaterEqual(large["disk_peak_bytes"], large["disk_bytes"])
        self.assertGreaterEqual(large["memory_serving_bytes"], 128000000)
        self.assertIn("1,000,000 items", omen("estimate", "--rows", "1M", "--dim", 128).stdout)
        omen("estimate", "--dim", 128, code=USAGE)
        omen("estimate", "--rows", 10, code=USAGE)
        omen("estimate", "--rows", 10, "--dim", 4, "--id-bytes", 513, code=USAGE)

    def test_places_that_do_not_go_together(self):
        omen("count", "x", "--server", "localhost:1", *self.at, code=USAGE)
        omen("count", "x", env={"OMEN_SERVER": "localhost:1", "OMEN_DB": str(self.data)}, code=USAGE)
        omen("count", "x", *self.at, env={"OMEN_SERVER": "localhost:1"}, code=NOT_FOUND)
        omen("operations", *self.at, code=USAGE)
        self.path("foreign").mkdir()
        self.path("foreign", ).joinpath("notes.txt").write_text("not ours")
        omen("create", "x", "--dim", 2, "--db", self.path("foreign"), code=DATA_LOSS)


class Resuming(Folder):
    def setUp(self):
        super().setUp()
        self.server = DurableServer(self.folder)
        self.addCleanup(self.server.stop)
        self.at = ("--server", self.server.address)

    def test_an_upload_survives_the_death_of_its_server(self):
        for level in ("batch", "interval", "none"):
            source = self.path(f"{level}.fvecs")
            write_fvecs(source, rows_of(20000, 32))
            omen("create", level, "--dim", 32, "--durability", level, *self.at)
            run = subprocess.Popen([OMEN, "import", level, source, "--batch", "200", "--json", "--no-wait",
                                    *self.at],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
            while run.poll() is None and omen_json("count", level, *self.at)["count"] == 0:
                pass
            self.server.restart()
            output, error = run.communicate(timeout=PATIENCE)
            self.assertEqual(run.returncode, 0, error)
            done = json.loads(output)
            self.assertEqual(done["rows"], 20000)
            stats = omen_json("stats", level, *self.at)
            self.assertEqual((stats["count"], stats["deleted"]), (20000, 0))

    def test_an_upload_survives_its_own_death(self):
        source = self.path("own.fvecs")
        write_fvecs(source, rows_of(20000, 32))
        omen("create", "own", "--dim", 32, *self.at)
        run = subprocess.Popen([OMEN, "import", "own", source, "--batch", "200", "--no-wait", *self.at],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        while run.poll() is None and omen_json("count", "own", *self.at)["count"] == 0:
            pass
        run.kill()
        run.wait()
        self.server.restart()
        done = omen_json("import", "own", source, "--batch", 200, "--no-wait", *self.at)
        self.assertEqual(done["rows"], 20000)
        self.assertGreater(done["skipped"], 0)
        stats = omen_json("stats", "own", *self.at)
        self.assertEqual((stats["count"], stats["deleted"]), (20000, 0))

    def test_metadata_survive_the_death_of_the_server(self):
        """Vectors and metadata in two files: what is cut into batches, sent again and replayed stays together."""
        source, metadata = self.path("v.fvecs"), self.path("m.jsonl")
        write_fvecs(source, rows_of(8000, 8))
        metadata.write_text("".join(json.dumps({"id": 9000 - i, "row": i, "words": f"w{i} " + "x" * (i % 900)})
                                    + "\n" for i in range(8000)))
        upload = ("import", "both", source, "--metadata", metadata, "--batch", 100, "--no-wait", *self.at)
        omen("create", "both", "--dim", 8, "--field", "words:text", *self.at)
        run = subprocess.Popen([OMEN, *map(str, upload)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env=ENVIRONMENT)
        while run.poll() is None and omen_json("count", "both", *self.at)["count"] == 0:
            pass
        self.server.restart()
        _, error = run.communicate(timeout=PATIENCE)
        self.assertEqual(run.returncode, 0, error)
        self.assertEqual(omen_json(*upload)["skipped"], 8000)
        self.server.restart()
        stats = omen_json("stats", "both", *self.at)
        self.assertEqual((stats["count"], stats["deleted"]), (8000, 0))
        lines = omen("items", "both", "--fields", "row", "--json", *self.at).stdout.splitlines()
        self.assertEqual({(r["id"], r["metadata"]["row"]) for r in map(json.loads, lines)},
                         {(9000 - i, i) for i in range(8000)})
        hits = omen_json("search", "both", "--text", "w4321", *self.at)["hits"]
        self.assertEqual([h["id"] for h in hits], [9000 - 4321])

    def test_a_folder_that_is_served_is_only_read(self):
        omen("create", "a", "--dim", 2, *self.at)
        omen("import", "a", "-", "--format", "jsonl", *self.at, text="[1, 2]\n")
        here = ("--db", self.path("data"))
        self.assertEqual(omen_json("count", "a", *here)["count"], 1)
        error = omen("delete", "a", 0, *here, code=PRECONDITION).stderr
        self.assertIn(f"process {self.server.process.pid}", error)
        self.assertIn("--server", error)

    def test_operations(self):
        source = self.path("rows.fvecs")
        write_fvecs(source, rows_of(3000, 8))
        omen("import", "a", source, "--create", *self.at)
        self.assertEqual(omen_json("checkpoint", *self.at)["state"], "succeeded")
        self.assertEqual(omen_json("optimize", "a", *self.at)["target"], "a")
        made = omen_json("backup", "one", *self.at)
        self.assertGreater(made["files"], 0)
        omen("backup", "one", *self.at, code=PRECONDITION)
        omen("backup", "../two", *self.at, code=BAD_INPUT)
        omen("verify", "one", *self.at)
        omen("verify", "none", *self.at, code=NOT_FOUND)
        omen("restore", "one", "two", *self.at)
        started = omen_json("backup", "three", "--no-wait", *self.at)
        shown = omen_json("operations", started["id"], *self.at)
        self.assertEqual(shown["kind"], "backup")
        omen("operations", started["id"], "--cancel", *self.at)
        listed = omen_json("operations", *self.at)["operations"]
        self.assertEqual([o["kind"] for o in listed],
                         ["backup", "restore", "verify", "backup", "optimize", "checkpoint"])
        self.assertIn("succeeded", omen("operations", *self.at).stdout)
        omen("operations", "nothing", *self.at, code=NOT_FOUND)
        omen("operations", "--cancel", *self.at, code=USAGE)
        stats = omen_json("stats", *self.at)
        self.assertEqual((stats["state"], stats["persistent"], stats["backups"]), ("writable", True, True))
        self.assertEqual(omen_json("count", "a", "--db", self.path("backups") / "two")["count"], 3000)

    def test_backups_are_listed_and_pruned(self):
        omen("create", "a", "--dim", 2, *self.at)
        self.assertEqual(omen_json("backups", *self.at), {"backups": [], "deleted": 0})
        for name in ("n-1", "n-2", "keep", "n-3"):
            omen("backup", name, "--incremental", *self.at)
        listed = omen_json("backups", *self.at)["backups"]
        self.assertEqual({b["name"] for b in listed}, {"n-1", "n-2", "n-3", "keep"})
        self.assertTrue(all(b["files"] > 0 and b["bytes"] > 0 for b in listed))
        self.assertEqual(listed, sorted(listed, key=lambda b: b["created_unix_ms"], reverse=True))
        left = omen_json("backups", "--prefix", "n-", "--keep", 2, *self.at)
        self.assertEqual(left["deleted"], 1)
        self.assertEqual([b["name"] for b in left["backups"]], ["n-3", "n-2"])
        omen("verify", "n-3", *self.at)
        omen("verify", "n-1", *self.at, code=NOT_FOUND)
        omen("backups", "--delete", "n-1", *self.at, code=NOT_FOUND)
        omen("backups", "--delete", "../a", *self.at, code=BAD_INPUT)
        self.assertEqual(omen_json("backups", "--delete", "n-3", *self.at)["deleted"], 1)
        self.assertIn("keep", omen("backups", *self.at).stdout)
        for wrong in (["--keep", 1], ["--prefix", "n-", "--keep", 0], ["--delete", "keep", "--prefix", "k"], ["n-2"]):
            omen("backups", *wrong, *self.at, code=USAGE)
        omen("backups", code=USAGE)
        omen("backup", "x", "--incremental", "--previous", "keep", *self.at, code=USAGE)
        omen("restore", "keep", "x", "--replace", *self.at, code=USAGE)
        # A database that is served is not replaced under it.
        folder = self.path("data")
        error = omen("restore", self.path("backups") / "keep", folder, "--replace", code=PRECONDITION).stderr
        self.assertIn("another process", error)
        self.assertEqual(sorted(p.name for p in self.path("backups").iterdir()), ["keep", "n-2"])

    def test_dump_and_load_at_a_server(self):
        source = self.path("rows.fvecs")
        write_fvecs(source, rows_of(25000, 8))
        omen("import", "a", source, "--create", *self.at)
        first, second = self.path("1.omendump"), self.path("2.omendump")
        omen("dump", "a", first, *self.at)
        done = omen_json("load", "b", first, *self.at)
        self.assertEqual((done["rows"], done["skipped"]), (25000, 0))
        again = omen_json("load", "b", first, *self.at)
        self.assertEqual((again["rows"], again["skipped"]), (25000, 25000))
        omen("dump", "b", second, *self.at)
        self.assertEqual(first.read_bytes(), second.read_bytes())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
