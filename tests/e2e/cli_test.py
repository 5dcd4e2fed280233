#!/usr/bin/env python3
"""cli_test.py - the omen tool as its users meet it: on segment files and at a server, with connections
that break, with input that is wrong. Standard library only.

Usage: cli_test.py BUILD DATA [unittest arguments]      (BUILD/bin holds omen and omend)

SPDX-License-Identifier: Apache-2.0
"""
import fcntl
import gzip
import json
import os
import pathlib
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

OK, RUNTIME, USAGE, NOT_FOUND, DATA_LOSS, BAD_INPUT, UNAVAILABLE, PRECONDITION = range(8)
BUILD = pathlib.Path(sys.argv[1]).resolve()
DATA = pathlib.Path(sys.argv[2]).resolve()
OMEN = BUILD / "bin" / "omen"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("OMEN_")}
PATIENCE = 120  # seconds; only a test that would hang meets it


def omen(*args, code=OK, text=None, env=None):
    """Runs omen and checks its exit code."""
    run = subprocess.run([OMEN, *map(str, args)], input=text, capture_output=True, text=True,
                         timeout=PATIENCE, env={**ENVIRONMENT, **(env or {})}, check=False)
    if run.returncode != code:
        raise AssertionError(f"omen {' '.join(map(str, args))}: exit code {run.returncode}, not {code}\n"
                             f"{run.stdout}{run.stderr}")
    return run


def omen_json(*args, **more):
    return json.loads(omen(*args, "--json", **more).stdout)


def write_fvecs(path, rows):
    with open(path, "wb") as f:
        for row in rows:
            f.write(struct.pack(f"<i{len(row)}f", len(row), *row))


def rows_of(count, dim, salt=0):
    """Rows that differ from each other and are exact in f32 and in nine digits."""
    return [[float((r * 37 + v * 11 + salt) % 101) + r / 8 for v in range(dim)] for r in range(count)]


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cli_test."))
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return self.folder / name

    def interrupt(self, run):
        """Ctrl-C for a tool that waits for more input, which stays open. Returns what it says."""
        run.send_signal(signal.SIGINT)
        code = run.wait(PATIENCE)
        _, error = run.communicate()
        self.assertEqual(code, 130, error)
        return error


class Files(Folder):
    """On segment files."""

    def make(self, name="a.omen", count=500, dim=8):
        source = self.path("rows.fvecs")
        write_fvecs(source, rows_of(count, dim))
        omen("import", self.path(name), source, "--create")
        return self.path(name)

    def test_a_first_walk(self):
        a = self.path("shop.omen")
        omen("create", self.path("shop"), "--dim", 2)
        self.assertEqual(omen_json("count", a)["count"], 0)
        self.assertEqual(omen_json("search", a, "--vector", "[1, 2]")["hits"], [])
        omen("import", a, "-", "--format", "jsonl",
             text='{"id": 7, "vector": [0, 0]}\n{"id": 9, "vector": [3, 4]}\n')
        hits = omen_json("search", a, "--vector", "[0, 1]", "-k", 5)["hits"]
        self.assertEqual(hits, [{"id": 7, "distance": 1.0}, {"id": 9, "distance": 18.0}])
        self.assertEqual(omen_json("search", a, "--id", 9, "-k", 1)["hits"],
                         [{"id": 9, "distance": 0.0}])
        self.assertIn("7", omen("search", a, "--vector", "[0, 1]").stdout)
        self.assertEqual(omen_json("delete", a, 7, 8), {"removed": 1, "given": 2})
        self.assertEqual(omen_json("count", a)["count"], 1)
        omen("drop", a)
        omen("count", a, code=NOT_FOUND)

    def test_adding_keeps_what_is_there(self):
        a = self.make()
        more = self.path("more.fvecs")
        write_fvecs(more, rows_of(100, 8, salt=50))
        omen("import", a, more, "--first-id", 450)  # 50 replaced, 50 new
        self.assertEqual(omen_json("count", a)["count"], 550)
        old, new = rows_of(500, 8), rows_of(100, 8, salt=50)
        for number, want in ((0, old[0]), (449, old[449]), (450, new[0]), (549, new[99])):
            self.assertEqual(omen_json("get", a, number)["vector"], want)
        omen("import", a, more, "--first-id", 500, "--mode", "insert", code=PRECONDITION)
        self.assertEqual(omen_json("count", a)["count"], 550)

    def test_string_and_uuid_ids_survive_rewriting(self):
        for kind, names in (("string", ["a", "ä ö", "x" * 512]),
                            ("uuid", ["00112233-4455-6677-8899-aabbccddeeff",
                                      "00112233-4455-6677-8899-aabbccddee00",
                                      "ffffffff-ffff-ffff-ffff-fffffffffffe"])):
            a = self.path(f"{kind}.omen")
            omen("create", a, "--dim", 1, "--id-type", kind)
            for i, name in enumerate(names):  # three times into an existing file
                omen("import", a, "-", "--format", "jsonl",
                     text=json.dumps({"id": name, "vector": [i]}) + "\n")
            hits = omen_json("search", a, "--vector", "[0]")["hits"]
            self.assertEqual([h["id"] for h in hits], names)
            omen("delete", a, names[0])
            omen("get", a, names[0], code=NOT_FOUND)
            self.assertEqual(omen_json("get", a, names[2])["vector"], [2.0])

    def test_get_can_be_imported(self):
        a, b, ids = self.make(count=50), self.path("b.omen"), self.path("ids.txt")
        ids.write_text("\n".join(str(i) for i in range(50)) + "\n")
        lines = omen("get", a, "--id-file", ids, "--json").stdout
        omen("import", b, "-", "--format", "jsonl", "--create", text=lines)
        self.assertEqual(omen("get", b, "--id-file", ids, "--json").stdout, lines)

    def test_real_images_are_found(self):
        a = self.path("images.omen")
        tests = DATA / "t10k-images-idx3-ubyte.gz"
        done = omen_json("import", a, DATA / "train-images-idx3-ubyte.gz", "--create", "--limit", 3000)
        self.assertEqual((done["rows"], done["indexed_rows"]), (3000, 3000))
        self.assertEqual(omen_json("stats", a)["dtype"], "u8")
        exact = omen_json("recall", a, "--queries", tests, "--limit", 100, "--exact")
        self.assertGreaterEqual(exact["recall"], 0.95)
        sampled = omen_json("recall", a, "--samples", 50)
        self.assertGreaterEqual(sampled["recall"], 0.95)
        bench = omen_json("bench", a, "--queries", tests, "--limit", 50, "--seconds", 0.05, "--threads",
                          "1,2")
        self.assertEqual([r["threads"] for r in bench["results"]], [1, 2])
        self.assertTrue(all(r["qps"] > 0 and r["p50_us"] <= r["p99_us"] for r in bench["results"]))
        lines = omen("search", a, tests, "--limit", 3, "--offset", 4, "--json").stdout.splitlines()
        self.assertEqual([json.loads(line)["query"] for line in lines], [4, 5, 6])

    def test_a_file_of_true_neighbours(self):
        a, tests = self.path("all.omen"), DATA / "t10k-images-idx3-ubyte.gz"
        omen("import", a, DATA / "train-images-idx3-ubyte.gz", "--create", "--quiet")
        for more in ((), ("--sqdist", DATA / "sqdist.ivecs.gz")):
            found = omen_json("recall", a, "--queries", tests, "--truth", DATA / "groundtruth.ivecs.gz",
                              *more)
            self.assertGreaterEqual(found["recall"], 0.95)
        # Rows 10 on of the queries against rows 10 on of the truth.
        part = omen_json("recall", a, "--queries", tests, "--truth", DATA / "groundtruth.ivecs.gz",
                         "--offset", 10, "--limit", 40)
        self.assertEqual(part["queries"], 40)
        self.assertGreaterEqual(part["recall"], 0.95)

    def test_a_failed_import_changes_nothing(self):
        a = self.make()
        before = a.read_bytes()
        bad = self.path("bad.fvecs")
        write_fvecs(bad, rows_of(3000, 8) + [[float("nan")] * 8])
        error = omen("import", a, bad, code=BAD_INPUT).stderr
        self.assertIn("row 3000", error)
        bad.write_bytes(gzip.compress(bad.read_bytes())[:-20])
        self.assertIn("gzip", omen("import", a, bad, "--format", "fvecs", code=BAD_INPUT).stderr)
        write_fvecs(bad, rows_of(3, 9))
        self.assertIn("9 values", omen("import", a, bad, code=BAD_INPUT).stderr)
        omen("import", a, self.path("missing.npy"), code=NOT_FOUND)
        self.assertEqual(a.read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["a.omen", "bad.fvecs", "rows.fvecs"])

    def test_a_second_writer_is_refused(self):
        a = self.make()
        with open(a, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertIn("another omen", omen("delete", a, 1, code=PRECONDITION).stderr)
            omen("search", a, "--id", 1)  # readers go on
        omen("delete", a, 1)

    def test_an_interrupted_import_changes_nothing(self):
        a = self.make()
        before = a.read_bytes()
        run = subprocess.Popen([OMEN, "import", a, "-", "--format", "jsonl"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        # The pipe holds 64 KiB: once more than that is written, omen has begun to read.
        run.stdin.write(b"[1, 2, 3, 4, 5, 6, 7, 8]\n" * 8000)
        run.stdin.flush()
        error = self.interrupt(run)
        self.assertIn(b"interrupted", error)
        self.assertEqual(a.read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["a.omen", "rows.fvecs"])

    def test_damaged_and_foreign_files(self):
        a = self.make(count=3000)
        whole = a.read_bytes()
        a.write_bytes(whole[: len(whole) // 2])
        omen("search", a, "--id", 1, code=DATA_LOSS)
        a.write_bytes(b"\xff" * 64 + whole[64:])
        omen("count", a, code=DATA_LOSS)
        a.write_text("not a segment")
        omen("drop", a, code=DATA_LOSS)
        self.assertTrue(a.exists())

    def test_conversions(self):
        a = self.path("u8.omen")
        omen("create", a, "--dim", 2, "--dtype", "u8")
        write_fvecs(self.path("w.fvecs"), [[0, 255], [1, 2]])
        omen("import", a, self.path("w.fvecs"))
        self.assertEqual(omen_json("get", a, 0)["vector"], [0, 255])
        write_fvecs(self.path("h.fvecs"), [[0, 1], [1, 2.5]])
        self.assertIn("row 1, value 1", omen("import", a, self.path("h.fvecs"), code=BAD_INPUT).stderr)
        half = self.path("f16.omen")
        omen("create", half, "--dim", 2, "--dtype", "f16")
        omen("import", half, self.path("h.fvecs"))
        self.assertEqual(omen_json("get", half, 1)["vector"], [1.0, 2.5])

    def test_id_files(self):
        a, ids = self.path("a.omen"), self.path("ids.txt")
        write_fvecs(self.path("r.fvecs"), rows_of(4, 2))
        ids.write_text("one\r\ntwo\nthree\nfour")
        omen("create", a, "--dim", 2, "--id-type", "string")
        omen("import", a, self.path("r.fvecs"), code=USAGE)
        omen("import", a, self.path("r.fvecs"), "--id-file", ids, "--offset", 1, "--limit", 2)
        self.assertEqual(omen_json("get", a, "two")["vector"], rows_of(4, 2)[1])
        self.assertEqual(omen_json("count", a)["count"], 2)
        ids.write_text("one\ntwo\n")
        self.assertIn("2 lines", omen("import", a, self.path("r.fvecs"), "--id-file", ids,
                                      code=BAD_INPUT).stderr)

    def test_list_and_info(self):
        a = self.make()
        self.path("b.omen").write_text("broken")
        listed = omen("list", self.folder, code=DATA_LOSS)
        self.assertIn("a.omen", listed.stdout)
        self.assertIn("b.omen", listed.stderr)
        self.path("b.omen").unlink()
        self.assertEqual([c["count"] for c in omen_json("list", self.folder)["collections"]], [500])
        info = omen_json("info", self.path("rows.fvecs"))
        self.assertEqual((info["format"], info["dim"], info["rows"]), ("fvecs", 8, 500))
        self.assertEqual(omen_json("info", a)["count"], 500)
        labels = omen_json("info", DATA / "t10k-labels-idx1-ubyte.gz")
        self.assertEqual((labels["dim"], labels["rows"]), (1, 1000))


class CommandLine(Folder):
    def test_wrong_usage(self):
        for args in ((), ("nonsense",), ("create", "x.omen"), ("create", "x.omen", "--dim", "0"),
                     ("create", "x.omen", "--dim", "65536"), ("search", "x.omen", "--nope"),
                     ("create", "x.omen", "--dim", "3", "--metric", "l3"), ("help", "nonsense"),
                     ("import", "x.omen"), ("count",), ("completion", "tcsh"), ("count", "a.omen", "b"),
                     ("count", "x", "-s", "h:1", "--tls-cert", "a"), ("count", "x", "-s", "h:"),
                     ("count", "x", "-s", "h:0"), ("count", "x", "-s", "h:65536"), ("count", "x", "-s", "h:abc"),
                     ("count", "x", "-s", ":7700"), ("count", "x", "-s", "::1"), ("count", "x", "-s", "[::1"),
                     ("count", "x", "-s", "")):
            run = omen(*args, code=USAGE)
            self.assertTrue(run.stderr)
            self.assertEqual(run.stdout, "")

    def test_every_command_has_help(self):
        commands = [line.split()[0] for line in
                    omen("help").stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
        self.assertIn("import", commands)
        for command in commands:
            text = omen("help", command).stdout
            self.assertIn(f"omen {command} - ", text)
            self.assertEqual(text, omen(command, "--help", "x").stdout)
            self.assertIn(f"omen {command}" if command != "completion" else "source", text)
        self.assertIn("data loss", omen("help", "exit-codes").stdout)

    def test_errors_as_json(self):
        error = json.loads(omen("count", "nowhere.omen", "--json", code=NOT_FOUND).stderr)["error"]
        self.assertEqual(error["exit_code"], NOT_FOUND)
        self.assertIn("nowhere.omen", error["message"])

    def test_a_full_disk_is_not_success(self):
        with open("/dev/full", "w") as full:
            run = subprocess.run([OMEN, "help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                 timeout=PATIENCE, env=ENVIRONMENT, check=False)
        self.assertEqual(run.returncode, RUNTIME)
        self.assertIn("cannot write", run.stderr)

    def test_completion(self):
        script = self.path("omen.bash")
        script.write_text(omen("completion", "bash").stdout)

        def complete(*words):
            ask = (f'source "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _omen; '
                   'printf "%s\\n" "${COMPREPLY[@]}"')
            return subprocess.run(["bash", "-c", ask, "-", *words], capture_output=True, text=True,
                                  timeout=PATIENCE, check=True).stdout.split()
        self.assertEqual(complete("omen", "imp"), ["import"])
        self.assertEqual(complete("omen", "create", "--met"), ["--metric"])
        self.assertEqual(complete("omen", "create", "--metric", "c"), ["cosine"])
        self.assertEqual(complete("omen", "create", "--in-fl"), [])
        self.assertIn("exit-codes", complete("omen", "help", "e"))

    def test_the_bar_is_for_terminals_only(self):
        source = self.path("r.fvecs")
        write_fvecs(source, rows_of(20000, 16))
        self.assertEqual(omen("import", self.path("a.omen"), source, "--create").stderr, "")
        near, far = pty.openpty()
        run = subprocess.Popen([OMEN, "import", self.path("b.omen"), source, "--create"], stderr=far,
                               stdout=subprocess.PIPE, env={**ENVIRONMENT, "TERM": "xterm"})
        os.close(far)
        seen = b""
        while True:
            try:
                part = os.read(near, 4096)
            except OSError:  # Linux tells the end of a terminal this way
                break
            if not part:
                break
            seen += part
        os.close(near)
        self.assertIn(b"imported 20,000 rows", run.communicate(timeout=PATIENCE)[0])
        self.assertEqual(run.returncode, OK)
        for word in (b"import", b"rows", b"/s", b"indexed", b"ETA"):
            self.assertIn(word, seen)
        self.assertTrue(seen.endswith(b"\x1b[K"))  # the line is wiped in the end


class Server:
    """An omend on free ports; stop() checks that it ends cleanly."""

    def __init__(self):
        self.process = subprocess.Popen(
            [BUILD / "bin" / "omend", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
             "--log-level", "error"], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        line = self.process.stdout.readline()
        self.address = line.split("grpc=")[1].split()[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        if code != 0:
            raise AssertionError(f"omend ended with {code}")


class Relay:
    """Passes connections on to a server; the first one is cut when `cut_after` bytes have gone in."""

    def __init__(self, target, cut_after, then=None):
        self.target, self.cut_after, self.then = target, cut_after, then
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            host, port = self.target.rsplit(":", 1)
            far = socket.create_connection((host, int(port)))
            threading.Thread(target=self.pass_on, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(far, near, False), daemon=True).start()

    def pass_on(self, source, sink, inward):
        passed = 0
        try:
            while True:
                part = source.recv(65536)
                if not part:
                    break
                passed += len(part)
                if inward and self.cut_after is not None and passed > self.cut_after:
                    self.cut_after = None
                    self.target = self.then or self.target
                    break
                sink.sendall(part)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)  # wakes the other thread, which closes its own
            except OSError:
                pass
        source.close()

    def close(self):
        self.listener.close()


class AtAServer(Folder):
    def setUp(self):
        super().setUp()
        self.server = Server()
        self.addCleanup(self.server.stop)
        self.at = ("--server", self.server.address)

    def big_file(self, count=30000, dim=64):
        source = self.path("big.fvecs")
        write_fvecs(source, rows_of(count, dim))
        return source

    def test_a_first_walk(self):
        omen("create", "shop", "--dim", 2, *self.at)
        omen("create", "shop", "--dim", 2, *self.at, code=PRECONDITION)
        omen("import", "shop", "-", "--format", "jsonl", *self.at,
             text='{"id": 7, "vector": [0, 0]}\n{"id": 9, "vector": [3, 4]}\n')
        hits = omen_json("search", "shop", "--vector", "[0, 1]", "--explain", *self.at)
        self.assertEqual(hits["hits"], [{"id": 7, "distance": 1.0}, {"id": 9, "distance": 18.0}])
        self.assertIn(hits["explain"]["plan"], ("exact", "graph"))
        by_name = omen_json("search", "--collection", "shop", "--id", 9, "-k", 1, "--exact", *self.at)
        self.assertEqual(by_name["hits"], [{"id": 9, "distance": 0.0}])
        environment = {"OMEN_SERVER": self.server.address, "OMEN_COLLECTION": "shop"}
        self.assertEqual(omen_json("count", env=environment)["count"], 2)
        self.assertEqual(omen_json("get", 9, env=environment)["vector"], [3.0, 4.0])
        self.assertTrue(omen("get", "shop", 7, 8, *self.at, code=NOT_FOUND).stdout.startswith("7 "))
        self.assertEqual(omen_json("delete", "shop", 7, 8, *self.at), {"removed": 1, "given": 2})
        self.assertEqual([c["name"] for c in omen_json("list", *self.at)["collections"]], ["shop"])
        self.assertEqual(omen_json("info", *self.at)["max_dim"], 65535)
        omen("drop", "shop", *self.at)
        omen("drop", "shop", *self.at, code=NOT_FOUND)

    def test_string_and_uuid_ids(self):
        for kind, names in (("string", ["a", "ä ö"]), ("uuid", ["00112233-4455-6677-8899-aabbccddeeff",
                                                                "00112233-4455-6677-8899-aabbccddee00"])):
            omen("create", kind, "--dim", 1, "--id-type", kind, *self.at)
            lines = "".join(json.dumps({"id": n, "vector": [i]}) + "\n" for i, n in enumerate(names))
            omen("import", kind, "-", "--format", "jsonl", *self.at, text=lines)
            hits = omen_json("search", kind, "--vector", "[0]", *self.at)["hits"]
            self.assertEqual([h["id"] for h in hits], names)
            self.assertEqual(omen_json("get", kind, names[1], *self.at)["vector"], [1.0])
            self.assertEqual(omen_json("delete", kind, *names, *self.at)["removed"], 2)

    def test_answers_are_those_of_a_file(self):
        source, queries = self.big_file(5000, 24), self.path("q.fvecs")
        write_fvecs(queries, rows_of(600, 24, salt=3))  # more than one round of calls
        omen("import", self.path("f.omen"), source, "--create")
        omen("import", "s", source, "--create", *self.at)
        for more in (("--exact",), ("-k", 100, "--ef", 4096)):
            here = omen("search", self.path("f.omen"), queries, "--json", *more).stdout
            there = omen("search", "s", queries, "--json", *more, *self.at).stdout
            self.assertEqual(len(here.splitlines()), 600)
            self.assertEqual(here, there)

    def test_a_broken_connection_is_resumed(self):
        relay = Relay(self.server.address, 3 << 20)
        self.addCleanup(relay.close)
        source = self.big_file()
        omen("create", "big", "--dim", 64, *self.at)
        # The tool opens one connection for questions and one for the stream, which alone carries as
        # much as this.
        done = omen_json("import", "big", source, "--batch", 500, "--server", relay.address)
        self.assertEqual(done["rows"], 30000)
        self.assertGreaterEqual(done["reconnects"], 1)
        stats = omen_json("stats", "big", *self.at)
        self.assertEqual((stats["count"], stats["deleted"]), (30000, 0))  # nothing was written twice
        self.assertEqual(stats["backlog_rows"], 0)

    def test_a_second_run_goes_on_where_the_first_ended(self):
        source = self.big_file()
        name = ("--stream-id", "upload-1", "--batch", 500)
        first = omen_json("import", "big", source, "--create", "--limit", 10000, *name, *self.at)
        self.assertEqual((first["rows"], first["skipped"]), (10000, 0))
        second = omen_json("import", "big", source, *name, *self.at)
        self.assertEqual((second["rows"], second["skipped"]), (30000, 10000))
        stats = omen_json("stats", "big", *self.at)
        self.assertEqual((stats["count"], stats["deleted"]), (30000, 0))

    def test_a_server_that_forgot_is_told(self):
        other = Server()
        self.addCleanup(other.stop)
        relay = Relay(self.server.address, 6 << 20, then=other.address)
        self.addCleanup(relay.close)
        source = self.big_file(100000)
        for server in (self.server, other):
            omen("create", "big", "--dim", 64, "--server", server.address)
        run = omen("import", "big", source, "--batch", 200, "--server", relay.address, code=DATA_LOSS)
        self.assertIn("has lost batches", run.stderr)

    def test_an_interrupted_upload_can_go_on(self):
        lines = "".join(json.dumps(row) + "\n" for row in rows_of(4000, 8))
        name = ("--stream-id", "upload-2", "--batch", "100", "--format", "jsonl")
        omen("create", "part", "--dim", 8, *self.at)
        run = subprocess.Popen([OMEN, "import", "part", "-", *name, *self.at], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        half = lines[: len(lines) // 2]
        run.stdin.write(half.encode())
        run.stdin.flush()
        while omen_json("count", "part", *self.at)["count"] == 0:
            pass  # until the first batch is there
        error = self.interrupt(run)
        self.assertIn(b"interrupted", error)
        rest = omen_json("import", "part", "-", *name, *self.at, text=lines)
        self.assertEqual(rest["rows"], 4000)
        self.assertGreater(rest["skipped"], 0)
        stats = omen_json("stats", "part", *self.at)
        self.assertEqual((stats["count"], stats["deleted"]), (4000, 0))

    def test_a_refused_batch_names_the_row(self):
        source = self.path("bad.fvecs")
        write_fvecs(source, rows_of(1500, 4) + [[1, 2, float("inf"), 4]] + rows_of(10, 4))
        error = omen("import", "bad", source, "--create", "--batch", 1000, *self.at, code=BAD_INPUT)
        self.assertIn("rows from 1000 on", error.stderr)
        self.assertIn("NOT_FINITE", error.stderr)

    def test_batches_beyond_the_limits(self):
        source = self.path("wide.fvecs")
        write_fvecs(source, [[0.5] * 60000] * 100)  # 24 MB in one batch; the limit is 16 MiB
        error = omen("import", "wide", source, "--create", "--batch", 100, *self.at, code=USAGE)
        self.assertIn("--batch", error.stderr)
        omen("import", "wide", source, "--no-wait", *self.at)

    def test_errors_of_the_server(self):
        error = json.loads(omen("count", "nope", "--json", *self.at, code=NOT_FOUND).stderr)["error"]
        self.assertIn("nope", error["message"])
        omen("create", "Bad Name", "--dim", 3, *self.at, code=BAD_INPUT)
        omen("create", "three", "--dim", 3, *self.at)
        omen("search", "three", "--vector", "[1, 2]", *self.at, code=BAD_INPUT)
        omen("get", "three", "x", *self.at, code=BAD_INPUT)

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            omen("count", "x", "--server", address, "--timeout", 300, code=UNAVAILABLE)
        omen("count", "x", "--server", address, code=UNAVAILABLE)
        nobody = omen("count", "x", "--server", "nobody.invalid", "--timeout", 2000, code=UNAVAILABLE)
        self.assertIn("nobody.invalid:7700", nobody.stderr)

    def test_bench(self):
        source = self.big_file(2000, 16)
        omen("import", "b", source, "--create", *self.at)
        for in_flight in (1, 8):
            bench = omen_json("bench", "b", "--queries", source, "--limit", 100, "--seconds", 0.05,
                              "--threads", "1,2", "--in-flight", in_flight, *self.at)
            self.assertTrue(all(r["searches"] > 0 for r in bench["results"]))
        self.assertGreaterEqual(omen_json("recall", "b", *self.at)["recall"], 0.9)

    def test_tls(self):
        if shutil.which("openssl") is None:
            self.skipTest("no openssl")
        cert, key = self.path("cert.pem"), self.path("key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days",
                        "2", "-subj", "/CN=omen.test", "-addext", "subjectAltName=DNS:omen.test"],
                       check=True, capture_output=True, timeout=PATIENCE)
        process = subprocess.Popen(
            [BUILD / "bin" / "omend", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--tls-cert", cert,
             "--tls-key", key, "--tls-client-ca", cert, "--log-level", "off"], stdout=subprocess.PIPE,
            text=True, env=ENVIRONMENT)
        try:
            at = ("--server", process.stdout.readline().split("grpc=")[1].split()[0])
            trust = ("--tls-ca", cert, "--tls-name", "omen.test")
            own = ("--tls-cert", cert, "--tls-key", key)
            omen("create", "safe", "--dim", 2, *at, *trust, *own)
            omen("import", "safe", "-", "--format", "jsonl", *at, *trust, *own, text="[1, 2]\n")
            self.assertEqual(omen_json("count", "safe", *at, *trust, *own)["count"], 1)
            omen("count", "safe", *at, *trust, "--timeout", 5000, code=UNAVAILABLE)  # no certificate
            omen("count", "safe", *at, "--tls-ca", cert, *own, "--timeout", 5000, code=UNAVAILABLE)  # name
            omen("count", "safe", *at, "--timeout", 5000, code=UNAVAILABLE)  # plain text
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE)
            process.stdout.close()
        self.assertEqual(code, 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
