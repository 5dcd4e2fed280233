"""soak_load.py KIND SERVER ADMIN SECONDS SEED - one client of the soak: makes calls of its kind until its time is over.

KIND: stream, write, search, read, rude. Its last line is a JSON object: calls by name, codes that came back, and
answers that nobody asked for. Each one ends after every round, so that connections come and go; within a round
channels are closed and opened again, with and without saying goodbye. SPDX-License-Identifier: Apache-2.0
"""

import collections
import json
import socket
import sys
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
from harness import COLLECTIONS, ITEMS, MAINTENANCE, OPTIONS, PATIENCE, TYPES, Client, Failure, Stream
from harness import batch_of, column, ids_of

DIM, IDS = 64, 20000  # ids 0 .. IDS - 1 come and go for ever: the data stay as large as they are
WORDS = "river stone cloud maple ember violet harbor meadow cipher lantern".split()
DELETE, PATCH, UPSERT = ITEMS.WRITE_OP_DELETE, ITEMS.WRITE_OP_PATCH, ITEMS.WRITE_OP_UPSERT
# Refusals that a healthy server may answer with under load: they say when to come again.
BUSY = {"RESOURCE_EXHAUSTED"}


def rows_of(ids, stamp):
    """Clustered vectors; id and stamp decide every value."""
    ids = np.asarray(ids, dtype=np.uint64)
    centers = np.random.default_rng(1).standard_normal((64, DIM)).astype(np.float32)
    noise = np.random.default_rng(stamp).standard_normal((len(ids), DIM)).astype(np.float32)
    return centers[(ids % np.uint64(64)).astype(int)] + 0.3 * noise


def metadata_of(ids, stamp):
    return [json.dumps({"n": int(i) % 1000, "even": bool(i % 2 == 0), "stamp": stamp % 100,
                        "word": WORDS[int(i) % len(WORDS)],
                        "body": "%s %s common" % (WORDS[int(i) % 10], WORDS[int(i) // 10 % 10])}).encode()
            for i in ids]


def batch(ids, stamp, op=UPSERT, **fields):
    made = batch_of(rows_of(ids, stamp), ids, op=op, **fields)
    made.items.metadata.CopyFrom(TYPES.Metadata(json=metadata_of(ids, stamp)))
    return made


class Worker:
    def __init__(self, server, admin, seconds, seed):
        self.server, self.admin, self.seed = server, admin, seed
        self.random = np.random.default_rng(seed)
        self.end = time.monotonic() + seconds
        self.calls, self.codes = collections.Counter(), collections.Counter()
        self.unexpected = []
        self.stage = ""  # of a stream: how far it was
        self.channel = None
        self.reconnect()

    def reconnect(self):
        if self.channel is not None:
            self.channel.close()
        self.channel = grpc.insecure_channel(self.server, OPTIONS)
        self.client = Client(self.channel)
        self.calls["connections"] += 1

    def going(self):
        return time.monotonic() < self.end

    def call(self, name, function, *expected):
        """One call; codes beside OK and BUSY must be expected."""
        self.calls[name] += 1
        try:
            answer = function()
            self.codes["OK"] += 1
            return answer
        except grpc.RpcError as error:
            failure = Failure(error)
            busy = failure.code in BUSY and failure.retry is not None
            self.codes[failure.code + ("/%s" % failure.reason if busy else "")] += 1
            if failure.code not in expected and not busy and len(self.unexpected) < 10:
                self.unexpected.append("%s%s: %s" % (name, self.stage, failure))
            return None

    def some(self, count):
        return self.random.choice(IDS, count, replace=False)

    def stamp(self):
        return int(self.random.integers(1, 2**31))

    # ---- Kinds --------------------------------------------------------------------------------

    def stream(self):
        """A resumable stream that is cut every now and then, at any point."""
        name = "soak-%d" % (self.seed % 2)  # neighbours: nobody else has it
        while self.going():
            self.call("stream", lambda: self.one_stream(name), "ABORTED", "CANCELLED", "UNAVAILABLE")
            self.reconnect()

    def one_stream(self, name):
        stream, self.stage = Stream(self.client.items, PATIENCE), ", opening"
        first = seq = acked = stream.open("items", name).last_seq
        for _ in range(int(self.random.integers(5, 40))):
            if not self.going():
                break
            seq += 1
            self.stage = ", batch %d behind %d, acknowledged %d" % (seq, first, acked)
            ids = self.some(int(self.random.integers(1, 100)))
            stream.send(batch=batch(ids, self.stamp(), seq=seq))
            self.calls["batches"] += 1
            if seq - acked > 8:
                acked = stream.ack(seq - 4).durable_seq
        if self.random.random() < 0.3:
            stream.call.cancel()  # what is under way is lost with it, or not
            stream.half_close()
            return
        if seq > acked:
            self.stage = ", all sent, %d behind %d" % (seq, first)
            stream.ack(seq)
        stream.close()
        self.stage = ", closed"
        stream.rest()

    def write(self):
        count = 0
        while self.going():
            count += 1
            ids, roll = self.some(int(self.random.integers(1, 50))), self.random.random()
            if roll < 0.5:
                made = batch(ids, self.stamp())
            elif roll < 0.8:
                made = ITEMS.WriteBatch(op=DELETE, items=TYPES.ItemBatch(ids=ids_of(ids)))
            elif roll < 0.95:
                made = ITEMS.WriteBatch(op=PATCH, per_item_errors=True, items=TYPES.ItemBatch(ids=ids_of(ids)))
                made.items.metadata.CopyFrom(TYPES.Metadata(json=[b'{"stamp": 7, "word": null}'] * len(ids)))
            else:
                made = ITEMS.WriteBatch(op=DELETE, delete_filter="stamp = %d AND n < 100" % (count % 100))
            # The server remembers the newest 65,536 of them: it would look like growth until there are so many.
            request = "%d-%d" % (self.stamp(), count) if count % 10 == 0 else ""
            self.call("write", lambda: self.client.write("items", made, request_id=request))
            if count % 300 == 0:
                self.reconnect()

    def legs(self):
        vector = rows_of([self.random.integers(IDS)], self.stamp())[0]
        near = ITEMS.Leg(vector=ITEMS.VectorLeg(vector=column(vector)))
        words = ITEMS.Leg(text=ITEMS.TextLeg(text=" ".join(self.random.choice(WORDS, 2))))
        exact = ITEMS.Leg(vector=ITEMS.VectorLeg(vector=column(vector), exact=True))
        return near, words, exact

    def search(self):
        count = 0
        while self.going():
            count += 1
            near, words, exact = self.legs()
            kinds = [
                dict(legs=[near]), dict(legs=[near], filter="n < %d" % self.random.integers(1, 900)),
                dict(legs=[near], filter="even AND word = 'maple'", with_metadata=True), dict(legs=[words]),
                dict(legs=[near, words], limit=20), dict(legs=[exact], explain=1),
                dict(legs=[near], group_by="word", group_size=2, limit=5),
                dict(legs=[near], facets=[ITEMS.FacetRequest(field="word")]),
            ]
            fields = {"limit": 10, **kinds[count % len(kinds)]}
            request = ITEMS.SearchRequest(collection="items", **fields)
            self.call("search", lambda: self.client.items.Search(request, timeout=PATIENCE))
            if count % 50 == 0:
                many = ITEMS.BatchSearchRequest(searches=[request] * 8)
                self.call("batch_search", lambda: list(self.client.items.BatchSearch(many, timeout=PATIENCE)))
            if count % 400 == 0:
                self.reconnect()

    def read(self):
        info, health = MAINTENANCE.GetDatabaseInfoRequest(), b""
        check = None
        while self.going():
            if check is None:
                check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
            self.call("get", lambda: self.client.get("items", ids_of(self.some(20)), with_vectors=True))
            self.call("count", lambda: self.client.count("items"))
            self.call("count", lambda: self.client.items.Count(
                ITEMS.CountRequest(collection="items", filter="word = 'river'"), timeout=PATIENCE))
            self.call("health", lambda: check(health, timeout=PATIENCE))
            self.call("info", lambda: self.client.maintenance.GetDatabaseInfo(info, timeout=PATIENCE))
            self.pages()
            for path in ("/metrics", "/livez", "/readyz?verbose", "/nothing"):
                self.page(path)
            if self.random.random() < 0.1:
                self.scratch()
                self.reconnect()
                check = None

    def pages(self):
        """A listing that is read to some page, mostly not the last one."""
        token = ""
        for _ in range(int(self.random.integers(1, 6))):
            request = ITEMS.ListRequest(collection="items", page_size=500, page_token=token)
            page = self.call("list", lambda: self.client.items.List(request, timeout=PATIENCE), "ABORTED")
            token = page.next_page_token if page is not None else ""
            if not token:
                return

    def page(self, path, data=None):
        self.calls["page"] += 1
        try:
            with urllib.request.urlopen("http://%s%s" % (self.admin, path), data, PATIENCE) as page:
                page.read()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError as error:
            if len(self.unexpected) < 10:
                self.unexpected.append("%s: %s" % (path, error))

    def scratch(self):
        """A collection that does not live long."""
        name = "scratch-%d" % self.stamp()
        self.call("create", lambda: self.client.create(name, 16))
        rows = self.random.standard_normal((200, 16)).astype(np.float32)
        self.call("write", lambda: self.client.add(name, rows))
        self.call("drop", lambda: self.client.collections.DeleteCollection(
            COLLECTIONS.DeleteCollectionRequest(name=name), timeout=PATIENCE))

    def rude(self):
        """Everything that a client should not do."""
        open_sockets = collections.deque()
        host, port = self.server.rsplit(":", 1)
        acts = [self.cancelled, self.hurried, self.abandoned, self.nonsense, lambda: self.page("/metrics", b"x")]
        while self.going():
            acts[self.random.integers(len(acts))]()
            if self.random.random() < 0.2:
                bytes_sent = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.random.bytes(64))[:self.random.integers(88)]
                self.calls["socket"] += 1
                connection = socket.create_connection((host, int(port)), PATIENCE)
                connection.sendall(bytes_sent)
                open_sockets.append(connection)
                if len(open_sockets) > 16:
                    open_sockets.popleft().close()
            if self.random.random() < 0.02:
                self.reconnect()
        for connection in open_sockets:
            connection.close()

    def cancelled(self):
        request = ITEMS.SearchRequest(collection="items", legs=[self.legs()[self.random.integers(3)]], limit=100)
        call = self.client.items.Search.future(request, timeout=PATIENCE)
        time.sleep(self.random.random() * 0.003)
        call.cancel()
        self.calls["cancelled"] += 1

    def hurried(self):
        request = ITEMS.SearchRequest(collection="items", legs=[self.legs()[2]], limit=1000)
        limit = 0.0005 + self.random.random() * 0.003
        self.call("hurried", lambda: self.client.items.Search(request, timeout=limit), "DEADLINE_EXCEEDED")

    def abandoned(self):
        request = ITEMS.SearchRequest(collection="items", legs=[self.legs()[0]], limit=50)
        answers = self.client.items.BatchSearch(ITEMS.BatchSearchRequest(searches=[request] * 20), timeout=PATIENCE)
        self.call("abandoned", lambda: next(answers))
        answers.cancel()
        stream = Stream(self.client.items, PATIENCE)
        self.call("abandoned", lambda: stream.open("items"))
        stream.send(batch=batch(self.some(5), self.stamp(), seq=1))
        stream.call.cancel()
        stream.half_close()

    def nonsense(self):
        near = self.legs()[0]
        unknown = self.channel.unary_unary("/omen.v1.Items/Nothing")
        garbage = self.channel.unary_unary("/omen.v1.Items/Search")
        self.call("nonsense", lambda: unknown(b"", timeout=PATIENCE), "UNIMPLEMENTED")
        self.call("nonsense", lambda: garbage(b"\xff\xff\xff\xff\x07", timeout=PATIENCE), "INVALID_ARGUMENT", "INTERNAL")
        for fields in (dict(filter="n = = 1"), dict(limit=20000), dict(filter="nothing = 1 OR")):
            request = ITEMS.SearchRequest(collection="items", legs=[near], **fields)
            self.call("nonsense", lambda: self.client.items.Search(request, timeout=PATIENCE), "INVALID_ARGUMENT")
        self.call("nonsense", lambda: self.client.count("no-such"), "NOT_FOUND")

    def report(self):
        self.channel.close()
        print(json.dumps({"calls": self.calls, "codes": self.codes, "unexpected": self.unexpected}))


def main(kind, server, admin, seconds, seed):
    worker = Worker(server, admin, float(seconds), int(seed))
    getattr(worker, kind)()
    worker.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
