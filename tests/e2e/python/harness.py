"""A running omend, stubs made from the .proto files, and what tests need around them.

OMEND is the program, OMEN_E2E_API the folder of the .proto files, OMEN_E2E_WORK a folder to write to.
SPDX-License-Identifier: Apache-2.0
"""

import os
import queue
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import grpc
import numpy as np
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.insert(0, os.environ["OMEN_E2E_API"])
TYPES = grpc.protos("omen/v1/types.proto")
COLLECTIONS, COLLECTIONS_RPC = grpc.protos_and_services("omen/v1/collections.proto")
ITEMS, ITEMS_RPC = grpc.protos_and_services("omen/v1/items.proto")
MAINTENANCE, MAINTENANCE_RPC = grpc.protos_and_services("omen/v1/maintenance.proto")
ACCESS, ACCESS_RPC = grpc.protos_and_services("omen/v1/access.proto")

# Nothing here takes this long; it only ends a test that would hang.
PATIENCE = 60
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a channel of a test is a connection of its own
]
NP_TYPES = {1: np.float32, 2: np.float16, 3: np.int8, 4: np.uint8}


def poll(what, condition):
    """Waits until the condition gives something true, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("never happened: " + what)


class Omend:
    """A server on ports of the kernel's choice. It dies with this process, whatever happens. wrap: a command
    that runs it. env: its environment."""

    def __init__(
        self, *arguments, listen="127.0.0.1:0", admin="127.0.0.1:0", wrap=(), env=None
    ):
        self.log = tempfile.NamedTemporaryFile(
            "w+", dir=os.environ["OMEN_E2E_WORK"], prefix="omend-", suffix=".log", delete=False
        )
        command = [os.environ["OMEND"], "--listen=" + listen, "--admin-listen=" + admin]
        command = [*wrap, *command]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=self.log, text=True, env=env
        )
        self.channels = []
        try:
            match = re.search(r"serving grpc=(\S+) admin=(\S+)", self._first_line())
            assert match, "no line that says where it serves: " + self.read_log()
            self.address, self.admin = match.groups()
        except BaseException:
            self.kill()
            raise

    def _first_line(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(PATIENCE), "omend says nothing"
        return self.process.stdout.readline()

    def read_log(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def channel(self, credentials=None, address=None, options=()):
        address, options = address or self.address, OPTIONS + list(options)
        if credentials is None:
            channel = grpc.insecure_channel(address, options)
        else:
            channel = grpc.secure_channel(address, credentials, options)
        self.channels.append(channel)
        return channel

    def client(self, **arguments):
        return Client(self.channel(**arguments))

    def get(self, path):
        """Status and text of an admin page."""
        try:
            with urllib.request.urlopen(
                "http://%s%s" % (self.admin, path), timeout=PATIENCE
            ) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        return self.process.wait(PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        for channel in self.channels:
            channel.close()
        self.process.stdout.close()
        self.log.close()
        os.unlink(self.log.name)

    def stop(self):
        """A clean end, which every test demands of its server."""
        self.terminate()
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "nothing: it does not end, signal %d" % self.process.wait()
        log = self.read_log()
        self.close()
        if code != 0:
            raise AssertionError("omend ended with %s:\n%s" % (code, log))


class Client:
    """The stubs over one channel."""

    def __init__(self, channel):
        self.channel = channel
        self.collections = COLLECTIONS_RPC.CollectionsStub(channel)
        self.items = ITEMS_RPC.ItemsStub(channel)
        self.maintenance = MAINTENANCE_RPC.MaintenanceStub(channel)
        self.access = ACCESS_RPC.AccessStub(channel)

    def create(self, name, dim, metric=0, dtype=0, id_type=0, **config):
        return self.collections.CreateCollection(
            COLLECTIONS.CreateCollectionRequest(
                name=name,
                config=COLLECTIONS.CollectionConfig(
                    dim=dim, metric=metric, type=dtype, id_type=id_type, **config
                ),
            ),
            timeout=PATIENCE,
        )

    def write(self, name, batch, **fields):
        request = ITEMS.BatchWriteRequest(collection=name, batch=batch, **fields)
        return self.items.BatchWrite(request, timeout=PATIENCE)

    def add(self, name, vectors, ids=None, **fields):
        return self.write(name, batch_of(vectors, ids), **fields)

    def count(self, name):
        return self.items.Count(ITEMS.CountRequest(collection=name), timeout=PATIENCE).count

    def get(self, name, ids, with_vectors=False):
        request = ITEMS.BatchGetRequest(collection=name, ids=ids, with_vectors=with_vectors)
        return self.items.BatchGet(request, timeout=PATIENCE)

    def search(self, name, vector, limit=10, timeout=PATIENCE, ef=0, exact=False, **fields):
        return self.items.Search(
            search_of(name, vector, limit, ef, exact, **fields), timeout=timeout
        )

    def info(self):
        return self.maintenance.GetServerInfo(MAINTENANCE.GetServerInfoRequest(), timeout=PATIENCE)

    def stream(self, timeout=PATIENCE):
        return Stream(self.items, timeout)


class Stream:
    """A StreamWrite call that a test drives message by message."""

    def __init__(self, stub, timeout):
        self._requests = queue.SimpleQueue()
        self.call = stub.StreamWrite(iter(self._requests.get, None), timeout=timeout)

    def send(self, **message):
        self._requests.put(ITEMS.StreamWriteRequest(**message))

    def open(self, collection, stream_id="", **fields):
        self.send(
            open=ITEMS.StreamWriteRequest.Open(collection=collection, stream_id=stream_id, **fields)
        )
        return self.recv("opened")

    def flush(self):
        self.send(flush=ITEMS.StreamWriteRequest.Flush())

    def close(self):
        self.send(close=ITEMS.StreamWriteRequest.Close())

    def half_close(self):
        self._requests.put(None)

    def recv(self, kind=None):
        """The next message; with a kind, that message itself, which it must be (windows may come
        at any time and are passed over)."""
        while True:
            message = next(self.call)
            which = message.WhichOneof("message")
            if kind is None:
                return message
            if which == kind:
                return getattr(message, kind)
            assert which == "window", "%s instead of %s: %s" % (which, kind, message)

    def ack(self, seq):
        """Reads acks until one is for seq. Acks only rise."""
        last = 0
        while True:
            ack = self.recv("ack")
            assert last <= ack.durable_seq <= ack.received_seq, ack
            last = ack.durable_seq
            if last >= seq:
                return ack

    def rest(self):
        """All messages up to the end of the call, which must be OK."""
        messages = list(self.call)
        assert self.call.code() == grpc.StatusCode.OK, self.call.details()
        return messages


def column(vectors, dtype=None):
    """A VectorColumn of the rows of an array."""
    rows = np.atleast_2d(vectors)
    if dtype is None:
        dtype = {np.dtype(kind): number for number, kind in NP_TYPES.items()}[rows.dtype]
    return TYPES.VectorColumn(
        type=dtype, dim=rows.shape[1], data=np.ascontiguousarray(rows).tobytes()
    )


def ids_of(ids):
    """Numbers, uuid.UUIDs or strings as Ids."""
    ids = list(ids)
    if ids and isinstance(ids[0], str):
        return TYPES.Ids(str=ids)
    if ids and hasattr(ids[0], "bytes"):
        return TYPES.Ids(uuid=b"".join(i.bytes for i in ids))
    return TYPES.Ids(u64=[int(i) for i in ids])


def batch_of(vectors, ids=None, **fields):
    if ids is None:
        ids = range(len(vectors))
    items = TYPES.ItemBatch(ids=ids_of(ids), vectors=column(vectors))
    return ITEMS.WriteBatch(items=items, **fields)


def search_of(name, vector, limit=10, ef=0, exact=False, rerank=0, **fields):
    leg = ITEMS.Leg(
        vector=ITEMS.VectorLeg(vector=column(vector), ef=ef, exact=exact, rerank=rerank)
    )
    return ITEMS.SearchRequest(collection=name, limit=limit, legs=[leg], **fields)


def distances_to(query, vectors, metric):
    """The distances of omen.v1.Metric in double precision: the oracle."""
    q, rows = query.astype(np.float64), vectors.astype(np.float64)
    if metric in (0, 1):
        return ((rows - q) ** 2).sum(axis=1)
    if metric == 2:
        return -(rows @ q)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(q)
    return np.where(norms > 0, 1 - (rows @ q) / np.where(norms > 0, norms, 1), 1.0)


class Failure:
    """What a refused call says: code, reason, field, text, and the rest of google.rpc.Status."""

    def __init__(self, error):
        self.code = error.code().name
        self.text = error.details() or ""
        self.reason = self.domain = self.field = None
        self.retry = None
        self.metadata = {}
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            self._read(detail)
        if status:
            assert status.code == error.code().value[0] and status.message == self.text

    def _read(self, detail):
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            self.reason, self.domain, self.metadata = info.reason, info.domain, dict(info.metadata)
        elif detail.Unpack(bad):
            self.field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            self.retry = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9

    def __repr__(self):
        return "%s / %s (field %s): %s" % (self.code, self.reason, self.field, self.text)


class Test(unittest.TestCase):
    """A test case with a server of its own for all its tests; `arguments` are the server's flags."""

    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Omend(*cls.arguments)
        cls.addClassCleanup(cls.server.stop)
        cls.client = cls.server.client()

    def name(self, part=""):
        """A collection name that no other test of the class has."""
        return (self.id().split(".")[-1].lower() + part)[-63:].lstrip("_-")

    def fails(self, code, call, *arguments, reason=None, field=None, **keywords):
        """The call is refused with this code, with details; returns them."""
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **keywords)
        failure = Failure(caught.exception)
        self.assertEqual(failure.code, code, failure)
        self.assertEqual(failure.domain, "omendb", failure)
        self.assertTrue(failure.text, failure)
        if reason is not None:
            self.assertEqual(failure.reason, reason, failure)
        if field is not None:
            self.assertTrue(failure.field and failure.field.endswith(field), failure)
        return failure


def gaussian(seed, count, dim):
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
