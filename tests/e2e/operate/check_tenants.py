"""Tenants share a server: what each may store and do, and what is left of the workers when all want them.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os
import statistics
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from harness import Failure, Load, Omend, check, folder, main, poll, wire, write
from watch import in_flight

A, COLLECTIONS, ITEMS = wire.ACCESS, wire.COLLECTIONS, wire.ITEMS
BOOT = "boot-key-0123456789-abcdefghijklmnopqrstuvwxyz"


class Served:
    """A server with tenants; `client(tenant)` manages the collections tenant-*."""

    def __init__(self, *options, data=None, keys=None):
        self.keys = keys or folder("keys-")
        boot = write(os.path.join(self.keys, "boot"), BOOT + "\n", 0o600)
        catalog = "--catalog=" + os.path.join(self.keys, "access.db")
        self.server = Omend(catalog, "--bootstrap-key-file=" + boot, *options, data=data)
        self.admin = self.server.client(token=BOOT)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)

    def limit(self, name, **limits):
        return self.admin.access.SetTenant(
            A.SetTenantRequest(tenant=A.Tenant(name=name, **limits)), timeout=60
        )

    def client(self, name, **limits):
        """A client of a new tenant; self.secret is its key."""
        self.limit(name, **limits)
        grant = A.Grant(role=3, collection=name + "-*")
        request = A.CreateKeyRequest(name=name, tenant=name, grants=[grant])
        self.secret = self.admin.access.CreateKey(request, timeout=60).secret
        return self.server.client(token=self.secret)

    def rows(self, name):
        told = self.admin.access.ListTenants(A.ListTenantsRequest(), timeout=60).tenants
        return next(t.rows for t in told if t.name == name)


def refused(call, *arguments, **keywords):
    """The failure of a call that must not succeed."""
    try:
        call(*arguments, **keywords)
    except grpc.RpcError as error:
        return Failure(error), error
    raise AssertionError("it was let through")


def subject_of(error):
    """Of the QuotaFailure in the details."""
    quota = error_details_pb2.QuotaFailure()
    for detail in rpc_status.from_call(error).details:
        if detail.Unpack(quota):
            return quota.violations[0].subject
    return None


@check("rows at N and N + 1, updates and deletes at a full quota, over a restart")
def quota_of_rows():
    data = folder("data-")
    with Served(data=data) as s:
        acme, other = s.client("acme", max_rows=100), s.client("other")
        acme.create("acme-one", 8)
        acme.create("acme-two", 8)
        rows = wire.gaussian(1, 200, 8)
        acme.add("acme-one", rows[:60], range(60))
        acme.add("acme-two", rows[:40], range(40))
        failure, error = refused(acme.add, "acme-two", rows[:1], [1000])
        assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "QUOTA"), failure
        assert failure.retry is None and subject_of(error) == "acme/rows", (failure, subject_of(error))
        assert "100" in failure.text, failure
        acme.write("acme-one", wire.batch_of(rows[100:110], range(10), op=3))  # UPDATE: nothing new
        assert acme.count("acme-one") == 60 and acme.count("acme-two") == 40
        gone = ITEMS.WriteBatch(op=5, items=wire.TYPES.ItemBatch(ids=wire.ids_of(range(10))))
        acme.write("acme-one", gone)
        poll("deletes are seen", lambda: fits(acme, rows[:10], range(100, 110)))
        refused(acme.add, "acme-one", rows[:1], [2000])
        other.create("other-one", 8)
        other.add("other-one", rows, range(200))  # another's quota is none of its business
        s.admin.create("of-default", 8)
        s.admin.add("of-default", rows, range(200))
        assert s.rows("acme") == 100 and s.rows("other") == 200
        keys = s.keys
    with Served(data=data, keys=keys) as s:
        again = s.admin  # counts for the tenant of the collection, whoever writes
        failure, _ = refused(again.add, "acme-one", rows[:1], [3000])
        assert failure.reason == "QUOTA", failure
        s.limit("acme", max_rows=101)
        again.add("acme-one", rows[:1], [3000])
        refused(again.add, "acme-one", rows[:1], [3001])
        shed = s.server.metric("omendb_grpc_server_shed_total", why="quota")
        assert shed == 2, shed
    return "100 rows in two collections, not one more; a restart changes nothing"


def fits(client, rows, ids):
    try:
        client.add("acme-one", rows, ids)
        return True
    except grpc.RpcError:
        return False


@check("a stream that meets the quota ends, loses nothing, and goes on when there is room")
def quota_of_a_stream():
    with Served() as s:
        acme = s.client("acme", max_rows=50)
        acme.create("acme-one", 8)
        rows = wire.gaussian(2, 100, 8)
        stream = acme.stream()
        assert stream.open("acme-one", "writer").last_seq == 0
        for seq in range(1, 9):
            ids = range(10 * seq, 10 * seq + 10)
            stream.send(batch=wire.batch_of(rows[:10], ids, seq=seq))
        try:
            while True:
                stream.recv()
        except grpc.RpcError as error:
            failure = Failure(error)
        assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "QUOTA"), failure
        assert acme.count("acme-one") == 50
        s.limit("acme", max_rows=80)
        stream = acme.stream()
        assert stream.open("acme-one", "writer").last_seq == 5  # the sixth was not used up
        for seq in range(6, 9):
            ids = range(10 * seq, 10 * seq + 10)
            stream.send(batch=wire.batch_of(rows[:10], ids, seq=seq))
        assert stream.ack(8).durable_seq == 8
        stream.close()
        stream.rest()
        assert acme.count("acme-one") == 80
    return "8 batches, 5 fit, 3 came after the quota was raised"


@check("a collection is its tenant's from its first moment, whoever looks for it meanwhile")
def owned_at_once():
    with Served() as s:
        acme = s.client("acme", max_rows=10)
        delete = COLLECTIONS.DeleteCollectionRequest(name="acme-one")
        rounds, over, opened = 60, threading.Event(), [0, 0]

        def look():  # a stream keeps the handle that it was opened with, made as early as there can be one
            while not over.is_set():
                stream = acme.stream()
                with contextlib.suppress(grpc.RpcError):
                    stream.open("acme-one")
                    opened[0] += 1
                    stream.send(batch=wire.batch_of(wire.gaussian(1, 50, 8), seq=1))
                    stream.ack(1)
                    opened[1] += 1  # it went in
                stream.half_close()

        with contextlib.ExitStack() as stack:
            for _ in range(3):
                thread = threading.Thread(target=look)
                thread.start()
                stack.callback(thread.join)
            stack.callback(over.set)
            for i in range(rounds):
                acme.create("acme-one", 8)
                failure, _ = refused(acme.add, "acme-one", wire.gaussian(i, 50, 8))
                assert failure.reason == "QUOTA", "round %d: %s" % (i, failure)
                if i % 2 == 0:
                    acme.collections.DeleteCollection(delete, timeout=60)
                else:
                    made_and_dropped(acme, delete)
                    acme.collections.DeleteCollection(delete, timeout=60)
    assert opened[0] > 0 and opened[1] == 0, "of %d streams %d went past the quota" % tuple(opened)
    return "%d collections, %d streams: 50 rows of 10 never went in" % (rounds, opened[0])


def made_and_dropped(client, delete):
    """Drops and makes a collection at the same time, many times; it is there afterwards, and its owner's."""
    create = COLLECTIONS.CreateCollectionRequest(
        name="acme-one", config=COLLECTIONS.CollectionConfig(dim=8)
    )
    for _ in range(5):
        calls = [client.collections.DeleteCollection.future(delete, timeout=60)]
        calls += [client.collections.CreateCollection.future(create, timeout=60) for _ in range(3)]
        for call in calls:
            call.code()
    with contextlib.suppress(grpc.RpcError):
        client.collections.CreateCollection(create, timeout=60)
    failure, _ = refused(client.add, "acme-one", wire.gaussian(1, 50, 8))
    assert failure.reason == "QUOTA", "after drops and creates at once: %s" % failure


@check("calls a second with the time to wait, calls and streams at once")
def rates():
    with Served() as s:
        acme = s.client("acme", max_calls_per_second=20)
        acme.create("acme-one", 8)
        request = ITEMS.CountRequest(collection="acme-one")
        calls = [acme.items.Count.future(request, timeout=60) for _ in range(200)]
        codes = [call.code().name for call in calls]
        assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}, set(codes)
        failures = [Failure(call.exception()) for call in calls if call.code().value[0] != 0]
        assert {f.reason for f in failures} == {"RATE"} and all(f.retry > 0 for f in failures)
        waited = max(f.retry for f in failures)
        assert waited <= 1, waited
        time.sleep(waited)
        assert acme.count("acme-one") == 0  # as it was told
        assert s.admin.count("acme-one") == 0  # of default: no limit
        let = codes.count("OK")
        s.limit("acme", max_concurrent_calls=3, max_streams=2)
        streams = [acme.stream(), acme.stream()]
        for stream in streams:
            stream.open("acme-one")
        third = acme.stream()
        failure, _ = refused(third.open, "acme-one")
        assert (failure.reason, "2 streams" in failure.text) == ("CONCURRENCY", True), failure
        assert acme.count("acme-one") == 0
        for stream in streams:
            stream.close()
            stream.rest()
        poll("slots are free", lambda: in_flight(s.server) <= 0)
        fourth = acme.stream()
        fourth.open("acme-one")
        fourth.close()
        fourth.rest()
        reflection_is_counted(s, acme)
        counted = s.server.metric("omendb_grpc_server_shed_total", why="rate")
        assert counted == len(failures), counted
    return "%d of 200 calls at once at 20 a second; the third of 2 streams refused" % let


def reflection_is_counted(s, acme):
    """A stream of reflection is a call of the tenant as any other, but none that writes."""
    s.limit("acme", max_concurrent_calls=1, max_streams=1)
    poll("slots are free", lambda: in_flight(s.server) <= 0)
    over = threading.Event()

    def ask():
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        over.wait(60)

    stub = reflection_pb2_grpc.ServerReflectionStub(s.server.channel())
    key = (("authorization", "Bearer " + s.secret),)
    answers = stub.ServerReflectionInfo(ask(), timeout=60, metadata=key)
    assert next(answers).list_services_response.service
    failure, _ = refused(acme.count, "acme-one")
    assert failure.reason == "CONCURRENCY", failure
    over.set()
    assert not list(answers)
    s.limit("acme", max_concurrent_calls=2, max_streams=1)


def slow_search(data):
    return {"vector": data[0], "limit": 10, "exact": True}


@check("a tenant with a flood of searches does not keep another waiting; weights divide the workers")
def fairness():
    with Served("--search-workers=1", "--slow-log-ms=off") as s:
        data = wire.gaussian(3, 20000, 384)
        flood, modest = s.client("flood"), None
        secret = s.secret
        modest = s.client("modest")
        for name, client in (("flood", flood), ("modest", modest)):
            client.create(name + "-one", 384)
            for at in range(0, len(data), 2000):
                client.add(name + "-one", data[at : at + 2000], range(at, at + 2000))

        def took(count=60):
            times = []
            for _ in range(count):
                begun = time.monotonic()
                modest.search("modest-one", **slow_search(data))
                times.append(time.monotonic() - begun)
            return statistics.median(times)

        alone = took()
        clients = [s.server.client(token=secret) for _ in range(4)]
        jobs = [lambda c=c: c.search("flood-one", **slow_search(data)) for c in clients * 8]
        with Load(jobs) as load:
            load.reach(100)
            beside = took()
        assert not load.failures, load.failures
        # In one queue for all it would wait for 32 searches; here for one or two.
        assert beside < 16 * alone, "%.1f ms alone, %.1f ms beside a flood" % (alone * 1e3, beside * 1e3)
        s.limit("flood", weight=1)
        s.limit("modest", weight=4)
        ratio = shares(s, clients, [s.server.client(token=s.secret) for _ in range(4)], data)
        assert 2 < ratio < 8, "weights of 4 to 1 divide the workers as %.2f to 1" % ratio
    return "median beside 32 searches of another at once: x %.1f; weights 4 to 1 give %.2f to 1" % (
        beside / alone, ratio)


def shares(s, light, heavy, data):
    """Searches of the second over those of the first while both want all they can get."""
    counts, over = [0, 0], threading.Event()
    lock = threading.Lock()

    def work(index, client, name):
        while not over.is_set():
            with contextlib.suppress(grpc.RpcError):
                client.search(name, **slow_search(data))
                with lock:
                    counts[index] += 1

    threads = [
        threading.Thread(target=work, args=(index, client, name))
        for index, clients, name in ((0, light, "flood-one"), (1, heavy, "modest-one"))
        for client in clients * 4
    ]
    for thread in threads:
        thread.start()
    poll("both are served", lambda: min(counts) > 20)
    with lock:
        start = list(counts)
    poll("enough", lambda: sum(counts) - sum(start) > 500)
    with lock:
        done = [now - was for now, was in zip(counts, start)]
    over.set()
    for thread in threads:
        thread.join()
    poll("all calls are over", lambda: in_flight(s.server) <= 0)
    return done[1] / done[0]


if __name__ == "__main__":
    main()
