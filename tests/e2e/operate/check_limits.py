"""Peers that are slow, gone, many or in a hurry: what they may take, and what is left for the others.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import ctypes
import json
import os
import random
import resource
import socket
import statistics
import threading
import time

import numpy as np
from h2raw import (
    DATA,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW,
    SETTINGS,
    WINDOW,
    Closed,
    Connection,
    frame,
    message,
    request_block,
)
from harness import Load, Omend, check, folder, main, poll, run, skip, wire, write
from watch import MIB, Peak, connections, cut, fds, filled, in_flight, rss, serves

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ITEMS, TYPES = wire.ITEMS, wire.TYPES
SEARCH, GET = "/omen.v1.Items/Search", "/omen.v1.Items/BatchGet"
BATCH_SEARCH, WRITE = "/omen.v1.Items/BatchSearch", "/omen.v1.Items/BatchWrite"
STREAM, COUNT = "/omen.v1.Items/StreamWrite", "/omen.v1.Items/Count"
IDLE = 10000


@check("ten thousand idle connections are cheap and leave nothing behind")
def idle_connections():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    want = min(IDLE, hard * 3 // 4 if hard != resource.RLIM_INFINITY else IDLE)
    if want < 1000:
        skip("only %d open files are allowed" % hard)
    with Omend(data=None) as server:
        client, _ = filled(server, "c", 100, 8)
        descriptors, before, held = fds(server), rss(server), []
        for _ in range(2):
            peers = [Connection(server.address) for _ in range(want)]
            for peer in peers:
                peer.read()  # its SETTINGS: the server has set up the connection
            poll("all are counted", lambda: connections(server) >= want)
            held.append(rss(server))
            assert client.count("c") == 100 and serves(server, "c") == 100
            for peer in peers:
                peer.reset()
            poll("all are gone", lambda: connections(server) < 10)
            poll("descriptors are back", lambda: fds(server) < descriptors + 10)
        each = (held[0] - before) / want
        assert each < 65536, "an idle connection takes %d bytes" % each
        assert held[1] < held[0] + want * 4096, "a second wave takes more than the first: %s" % held
    return "%d connections, %.1f KiB each" % (want, each / 1024)


@check("no more connections than allowed, in all and of an address; no descriptor left is no end")
def connection_limits():
    with Omend("--max-connections=50", data=None) as server:
        filled(server, "c", 10, 8)
        kept = [Connection(server.address) for _ in range(60)]
        refused = sum(peer.closed_within(0.5) for peer in kept[45:])
        assert 10 <= refused <= 15, refused
        assert server.metric("omendb_grpc_server_connections_refused_total", why="limit") >= 10
        for peer in kept:
            peer.reset()
        poll("there is room again", lambda: connections(server) < 10)
        assert serves(server, "c") == 10
    with Omend("--max-connections-per-address=20", data=None) as server:
        kept = [Connection(server.address) for _ in range(30)]
        refused = sum(peer.closed_within(0.5) for peer in kept[15:])
        assert 10 <= refused <= 11, refused
        assert server.metric("omendb_grpc_server_connections_refused_total", why="address") >= 10
    shown = out_of_descriptors()
    return "refused beyond 50 and 20; " + shown


def out_of_descriptors():
    """The transport of Debian 12 closes its listener for good at the first EMFILE. Ours stays."""
    with Omend(data=None) as server:
        filled(server, "c", 10, 8)
        pid = server.process.pid
        was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        few = max(int(name) for name in os.listdir("/proc/%d/fd" % pid)) + 20
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, was[1]))
        peers = [Connection(server.address) for _ in range(100)]
        away = sum(peer.closed_within(1) for peer in peers[-70:])
        assert away >= 60, "only %d of 70 were turned away" % away
        resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
        refused = server.metric("omendb_grpc_server_connections_refused_total", why="descriptors")
        assert refused >= 60, refused
        for peer in peers:
            peer.reset()
        assert serves(server, "c") == 10
        assert server.page("/readyz")[0] == 200
    return "%d turned away for want of descriptors, then served again" % refused


@check("readers that take nothing hold bounded memory and are cut")
def slow_readers():
    with Omend("--stalled-call-ms=3000", data=None) as server:
        client, data = filled(server, "c", 4000, 256)
        get = ITEMS.BatchGetRequest(collection="c", ids=TYPES.Ids(u64=range(4000)), with_vectors=True)
        request, before = get.SerializeToString(), rss(server)
        with Peak(server) as peak:
            peers = [Connection(server.address, settings=[(INITIAL_WINDOW, 0)]) for _ in range(8)]
            for peer in peers:
                peer.send(frame(8, 0, 0, (1 << 24).to_bytes(4, "big")))
                # The request is longer than a window of 64 KiB: it takes some turns.
                threading.Thread(target=send_many, args=(peer, GET, request, 32), daemon=True).start()
            poll("answers wait", lambda: server.metric("omendb_grpc_server_answer_bytes") > 50 * MIB)
            for _ in range(50):
                assert client.count("c") == 4000
                assert len(client.search("c", data[0], limit=5).ids.u64) == 5
            poll("slow readers are cut", lambda: cut(server, "slow_reader") > 0)
            poll("all calls are over", lambda: in_flight(server) <= 0)
        grown = (peak.most - before) / MIB
        assert grown < 700, "%d MiB more" % grown
        poll("nothing is held", lambda: server.metric("omendb_grpc_server_answer_bytes") == 0)
        refused, ended = cut(server, "answers"), cut(server, "slow_reader")
        for peer in peers:
            peer.reset()
    return "256 calls of 4 MB answers nobody took: +%d MiB at most, %d cut, %d refused" % (
        grown, ended, refused)


def send_many(peer, path, request, count):
    """Calls with a message each, as the windows allow."""
    with contextlib.suppress(Closed, OSError, AssertionError):
        for _ in range(count):
            stream, begin = peer.headers(path)
            peer.send(begin)
            body = message(request)
            for at in range(0, len(body), 16384):
                piece = body[at : at + 16384]
                peer.send(frame(DATA, END_STREAM if at + len(piece) == len(body) else 0, stream, piece))


@check("a slow reader of a batch of searches parks it")
def slow_batch_reader():
    with Omend("--stalled-call-ms=3000", data=None) as server:
        client, data = filled(server, "c", 2000, 256)
        one = wire.search_of("c", data[0], limit=1000, with_vectors=True)
        request = ITEMS.BatchSearchRequest(searches=[one] * 40).SerializeToString()
        before = rss(server)
        with Peak(server) as peak:
            peers = [Connection(server.address, settings=[(INITIAL_WINDOW, 0)]) for _ in range(4)]
            for peer in peers:
                peer.call(BATCH_SEARCH, request)
            for _ in range(50):
                assert client.count("c") == 2000
            poll("they are cut", lambda: cut(server, "slow_reader") >= 4)
            poll("all calls are over", lambda: in_flight(server) <= 0)
        grown = (peak.most - before) / MIB
        assert grown < 200, "%d MiB more" % grown  # all answers are 160 MiB, a quarter of it may wait
        for peer in peers:
            peer.reset()
    return "4 batches of 40 MB of answers: +%d MiB" % grown


def send_in_turns(peer, path, request):
    """One call, its message sent as the windows open; its status when the server ended it early."""
    stream, begin = peer.headers(path)
    peer.send(begin)
    body, at, room = message(request), 0, [65535, 65535]
    while at < len(body):
        size = min(16384, room[0], room[1], len(body) - at)
        if size > 0:
            last = END_STREAM if at + size == len(body) else 0
            peer.send(frame(DATA, last, stream, body[at : at + size]))
            at, room = at + size, [room[0] - size, room[1] - size]
            continue
        got = peer.read(30)
        if got.kind == WINDOW:
            room[got.stream != 0] += int.from_bytes(got.payload, "big")
        elif got.kind == SETTINGS and not got.flags & 1:
            for i in range(0, len(got.payload), 6):
                if got.payload[i : i + 2] == b"\0\4":
                    room[1] += int.from_bytes(got.payload[i + 2 : i + 6], "big") - 65535


@check("searches that nobody takes hold no more memory than is for them, and go first")
def held_messages():
    with Omend("--stalled-call-ms=600000", data=None) as server:
        client, data = filled(server, "c", 2000, 256)
        one = wire.search_of("c", data[0], limit=1000)
        request = ITEMS.BatchSearchRequest(searches=[one] * 1000).SerializeToString()
        pad = 12 * MIB  # an unknown field
        request += b"\xfa\x3f" + bytes((128 | pad & 127, 128 | pad >> 7 & 127, 128 | pad >> 14 & 127, pad >> 21))
        request += bytes(pad)
        peers = [Connection(server.address, settings=[(INITIAL_WINDOW, 1)]) for _ in range(16)]
        for peer in peers:
            with contextlib.suppress(Closed, OSError):
                send_in_turns(peer, BATCH_SEARCH, request)
        refused = server.metric("omendb_grpc_server_shed_total", why="memory")
        assert refused > 0, "16 messages of 12 MiB were held"
        poll("those that take nothing are ended", lambda: cut(server, "memory") > 0)
        big = ITEMS.BatchSearchRequest(searches=[wire.search_of("c", data[0], limit=1)] * 100)
        assert big.ByteSize() > 64 << 10
        poll("others are served", lambda: len(list(client.items.BatchSearch(big))) == 100)
        for peer in peers:
            peer.reset()
        return "16 calls of 12 MiB: %d refused, %d ended" % (refused, cut(server, "memory"))


@check("calls whose message does not come free their slots; others are told to wait, health is not")
def slow_writers():
    with Omend("--stalled-call-ms=3000", "--max-inflight=512", data=None) as server:
        filled(server, "c", 10, 8)
        peers = [Connection(server.address) for _ in range(5)]
        block = request_block(WRITE)
        for peer in peers:
            for _ in range(120):
                peer.send(frame(HEADERS, 4, peer.stream(), block))
        for peer in peers:  # half a message, and then a byte now and then
            peer.send(frame(DATA, 0, 1, message(b"x" * 1000)[:500]))
        poll("all slots are taken", lambda: in_flight(server) >= 512)
        channel = server.channel()
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=60).status == 1
        try:
            serves(server, "c")
            raise AssertionError("a call beyond the limit was let in")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
        for _ in range(20):
            with contextlib.suppress(Closed):
                peers[0].send(frame(DATA, 0, 1, b"x"))
            time.sleep(0.05)
        poll("slow writers are cut", lambda: cut(server, "slow_writer") >= 500)
        poll("all calls are over", lambda: in_flight(server) <= 0)
        assert serves(server, "c") == 10
        for peer in peers:
            peer.reset()
    return "512 slots taken by calls without a message were free again; health answered meanwhile"


@check("streams of health, which need no credential, take the places of nobody, nor of probes")
def watchers():
    with Omend("--max-inflight=128", data=None) as server:
        filled(server, "c", 10, 8)
        peers = [Connection(server.address) for _ in range(6)]
        for peer in peers:
            for _ in range(120):
                peer.call("/grpc.health.v1.Health/Watch", b"")
        poll("all that may stay are there", lambda: in_flight(server) >= 512)
        poll("the others are refused", lambda: in_flight(server) <= 512)
        refused = server.metric("omendb_grpc_server_shed_total", why="inflight")
        assert refused == 6 * 120 - 512, refused
        other = Connection(server.address, source="127.0.0.2")
        for _ in range(100):  # of the places of who has most
            other.call("/grpc.health.v1.Health/Watch", b"")
        poll("others gave their places", lambda: in_flight(server) <= 512)
        time.sleep(0.2)
        assert in_flight(server) <= 512
        refused = server.metric("omendb_grpc_server_shed_total", why="inflight")
        assert refused == 6 * 120 - 512, refused
        assert serves(server, "c") == 10
        health = health_pb2_grpc.HealthStub(server.channel())
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=60).status == 1
        for peer in [*peers, other]:
            peer.reset()
        poll("all are gone", lambda: in_flight(server) <= 0)
    return "720 watch, 512 may; a limit of 128 calls was not touched"


@check("connections that make calls and take no answer go, and with them what they held")
def unread_refusals():
    with Omend("--max-inflight=256", data=None) as server:
        filled(server, "c", 10, 8)
        poll("nothing runs", lambda: in_flight(server) <= 0)
        before = rss(server)
        with Peak(server) as peak:
            peers = [Connection(server.address, mute=True, receive_buffer=1024) for _ in range(4)]
            block = request_block(COUNT)
            gone, sent = set(), 0
            for _ in range(100):
                for i, peer in enumerate(peers):
                    if i in gone:
                        continue
                    try:  # empty calls: the limit refuses some, the rest is malformed
                        peer.send(b"".join(frame(HEADERS, 5, peer.stream(), block) for _ in range(100)))
                        sent += 100
                    except Closed:
                        gone.add(i)
                if len(gone) == len(peers):
                    break
            poll("connections are cut", lambda: cut(server, "slow_reader") >= 4)
            poll("all calls are over", lambda: in_flight(server) <= 0)
            assert serves(server, "c") == 10
        took = (peak.most - before) / MIB
        for peer in peers:
            peer.reset()
    return "%d calls, none of %d answers taken: %d MiB, %d cut" % (sent, sent, took, 4)


@check("probes whose message does not come make room for those whose does")
def silent_probes():
    with Omend(data=None) as server:
        peers = [Connection(server.address) for _ in range(6)]
        path = request_block("/grpc.health.v1.Health/Check")
        for peer in peers:
            for _ in range(120):
                peer.send(frame(HEADERS, 4, peer.stream(), path))
        health = health_pb2_grpc.HealthStub(server.channel())
        poll("they are there", lambda: in_flight(server) >= 400)
        for _ in range(50):
            for peer in peers:  # whatever was ended comes again
                peer.send(b"".join(frame(HEADERS, 4, peer.stream(), path) for _ in range(20)))
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=60).status == 1
        poll("they are ended long before others", lambda: in_flight(server) <= 0)
        for peer in peers:
            peer.reset()
    return "720 without their message, 50 of 50 probes answered"


@check("peers that are gone without a word, silent from the start, or reset in the middle")
def half_open():
    options = ("--keepalive-ms=1000", "--keepalive-timeout-ms=1000")
    with Omend(*options, data=None) as server:
        client, _ = filled(server, "c", 10, 8)
        opened = ITEMS.StreamWriteRequest(open=ITEMS.StreamWriteRequest.Open(collection="c"))
        mute = [Connection(server.address, mute=True) for _ in range(20)]
        for peer in mute:
            stream, begin = peer.headers(STREAM)
            peer.send(begin + frame(DATA, 0, stream, message(opened.SerializeToString())))
        silent = [Connection(server.address, preface=False) for _ in range(20)]
        poll("streams are open", lambda: server.metric("omendb_ingest_streams") == 20)
        poll("streams of the dead end", lambda: server.metric("omendb_ingest_streams") == 0)
        for peer in mute:
            assert peer.closed_within(60), "a connection that does not answer pings was kept"
        for peer in silent:
            assert peer.closed_within(60), "a connection that never spoke was kept"
        poll("all calls are over", lambda: in_flight(server) <= 0)
        resets = reset_in_the_middle(server)
        assert client.count("c") == 10
    return "20 mute and 20 silent peers closed; %d resets in the middle left nothing" % resets


def reset_in_the_middle(server):
    chance = random.Random(3)
    batch = wire.batch_of(wire.gaussian(2, 2000, 8), range(10))
    bodies = {
        WRITE: ITEMS.BatchWriteRequest(collection="nothing", batch=batch).SerializeToString(),
        SEARCH: wire.search_of("c", wire.gaussian(3, 1, 8)[0], limit=5).SerializeToString(),
        STREAM: ITEMS.StreamWriteRequest(
            open=ITEMS.StreamWriteRequest.Open(collection="c")
        ).SerializeToString(),
    }
    descriptors = fds(server)
    for number in range(600):
        path = chance.choice(list(bodies))
        peer = Connection(server.address)
        stream, begin = peer.headers(path)
        body = message(bodies[path])
        data = begin + frame(DATA, END_STREAM, stream, body[:16000])
        peer.send(data[: chance.randint(1, len(data))])
        peer.reset()
        if number % 100 == 0:
            assert serves(server, "c") == 10
    poll("all calls are over", lambda: in_flight(server) <= 0)
    poll("descriptors are back", lambda: fds(server) <= descriptors + 8)
    return 600


class Storm:
    """Calls that are given up at once, `rate` a second over some connections, while the `with` runs."""

    def __init__(self, server, body, rate, timeout=None, reset=False):
        self.server, self.body, self.rate = server, message(body), rate
        self.extra = [("grpc-timeout", timeout)] if timeout else []
        self.reset = reset
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._rage)

    def _one(self, peer):
        stream = peer.stream()
        if not self.reset:
            peer.open.add(stream)
        block = request_block(SEARCH, *self.extra)
        peer.send(
            frame(HEADERS, 4, stream, block)
            + frame(DATA, END_STREAM, stream, self.body)
            + (frame(3, 0, stream, (8).to_bytes(4, "big")) if self.reset else b"")
        )
        self.sent += 1

    def _rage(self):
        peers = [Connection(self.server.address) for _ in range(8)]
        for peer in peers:
            peer.open = set()  # at most 128 at once: more is an error of the connection
        begun, turn = time.monotonic(), 0
        while not self._stop.wait(0.005):
            due = int((time.monotonic() - begun) * self.rate) - self.sent
            for _ in range(min(due, self.rate // 20)):
                if len(peers[turn % len(peers)].open) < 100:
                    self._one(peers[turn % len(peers)])
                turn += 1
            for peer in peers:
                while peer.ready():
                    got = peer.read()
                    if peer.ends(got, got.stream):
                        peer.open.discard(got.stream)
        for peer in peers:
            peer.reset()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def p99(server, queries, seconds):
    """Of a client of the tool that sends one search after the other, in us."""
    done = run(*OMEN_BENCH(server, queries, seconds), timeout=120)
    return json.loads(done.stdout)["results"][0]["p99_us"]


def OMEN_BENCH(server, queries, seconds):
    return (
        os.environ["OMEN"], "bench", "c", "--queries", queries, "--threads", "1", "--in-flight", "1",
        "--seconds", str(seconds), "--json", "--server", server.address,
    )


def storm_ratio(**how):
    """The ratio of five runs; what else runs on this machine is no storm of ours, so that a bad series is measured
    again, twice at most."""
    best = None
    for _ in range(3):
        found = storm_series(**how)
        best = found if best is None or found[0] < best[0] else best
        if best[0] <= 2:
            break
    return best


def storm_series(**how):
    """Median over five runs of the p99 of another client: with the storm, over without."""
    # Without the limit of resets, which would end the storm.
    with Omend("--max-resets-per-second=off", data=None) as server:
        client, data = filled(server, "c", 20000, 64)
        queries = os.path.join(folder(), "q.fvecs")
        rows = np.empty((200, 65), np.float32)
        rows[:, 1:] = data[:200] + 0.1
        rows[:, :1] = np.array([64], np.int32).view(np.float32)
        write(queries, rows.tobytes())
        client.search("c", data[0])
        poll("it is indexed", lambda: server.metric("omendb_unindexed_points") < 2048)
        body = wire.search_of("c", data[1], limit=10).SerializeToString()
        ratios, calm, stormy, sent = [], [], [], 0
        for _ in range(5):
            calm.append(p99(server, queries, 2))
            with Storm(server, body, **how) as storm:
                time.sleep(0.2)
                stormy.append(p99(server, queries, 2))
            sent += storm.sent
            ratios.append(stormy[-1] / calm[-1])
            poll("all slots are free", lambda: in_flight(server) <= 0)
        assert sent > 1000, sent
        return statistics.median(ratios), statistics.median(calm), statistics.median(stormy), sent


@check("a storm of deadlines of a millisecond leaves the others their time")
def deadline_storm():
    ratio, calm, stormy, sent = storm_ratio(rate=1000, timeout="1m")
    assert ratio <= 2, "p99 of another client: %.0f us, %.0f in the storm" % (calm, stormy)
    return "%d calls with 1 ms; p99 of another client x %.2f (%.0f -> %.0f us)" % (
        sent, ratio, calm, stormy)


@check("a storm of cancelled calls leaves the others their time")
def cancel_storm():
    ratio, calm, stormy, sent = storm_ratio(rate=1000, reset=True)
    assert ratio <= 2, "p99 of another client: %.0f us, %.0f in the storm" % (calm, stormy)
    return "%d calls cancelled at once; p99 of another client x %.2f (%.0f -> %.0f us)" % (
        sent, ratio, calm, stormy)


@check("health answers while searches saturate all cores")
def health_under_load():
    with Omend(data=None) as server:
        client, data = filled(server, "c", 20000, 128)
        body = wire.search_of("c", data[0], limit=10, exact=True)
        stubs = [server.client() for _ in range(4)]
        stop = health_pb2.HealthCheckRequest().SerializeToString()
        took = []
        with Load([lambda c=c: c.items.Search(body, timeout=60) for c in stubs * 4]) as load:
            load.reach(50)
            with Connection(server.address) as peer:
                peer.read()
                for _ in range(1000):
                    begun = time.perf_counter()
                    peer.end_of(peer.call("/grpc.health.v1.Health/Check", stop))
                    took.append((time.perf_counter() - begun) * 1e3)
            busy = load.calls
        assert not load.failures, load.failures
        took.sort()
        p50, last = took[500], took[990]
        assert last < 10, "p99 of a health check is %.1f ms" % last
    return "p50 %.2f ms, p99 %.2f ms over 1000 checks beside %d searches" % (p50, last, busy)


@check("a call that cannot meet its deadline behind the queue is refused at once")
def refused_in_time():
    with Omend("--search-workers=1", data=None) as server:
        client, data = filled(server, "c", 20000, 256)
        slow = wire.search_of("c", data[0], limit=10, exact=True)
        stub = client.items
        for _ in range(5):
            stub.Search(slow, timeout=60)  # what they take is known now
        with Load([lambda: stub.Search(slow, timeout=60)] * 24) as load:
            load.reach(30)
            refused, late = 0, 0
            for _ in range(100):
                try:
                    stub.Search(slow, timeout=0.005)
                except grpc.RpcError as error:
                    refused += error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                    late += error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert refused + late == 100, (refused, late)
        assert refused >= 50, "only %d of 100 were refused before their deadline" % refused
        assert server.metric("omendb_grpc_server_shed_total", why="deadline") >= refused
        assert not load.failures, load.failures
    return "%d of 100 calls with 5 ms behind a long queue were refused at once" % refused


@check("a thread of the transport that hangs fails /livez and the watchdog, and no other does")
def watchdog():
    place = folder()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(os.path.join(place, "notify"))
    listener.settimeout(60)
    env = dict(os.environ, NOTIFY_SOCKET=os.path.join(place, "notify"), WATCHDOG_USEC="2000000")
    with Omend(data=None, env=env) as server:

        def hear(wanted):
            while wanted not in listener.recv(4096).decode().splitlines():
                pass

        hear("READY=1")
        hear("WATCHDOG=1")
        thread = thread_named(server.process.pid, "omend-rpc")
        with Stopped(thread):
            poll("/livez says so", lambda: server.page("/livez")[0] == 503)
            listener.settimeout(4)
            with contextlib.suppress(TimeoutError):  # what was sent before
                while True:
                    listener.recv(4096)
            try:
                heard = listener.recv(4096)
                raise AssertionError("a hanging process sent " + heard.decode())
            except TimeoutError:
                pass
        listener.settimeout(60)
        hear("WATCHDOG=1")
        assert server.page("/livez")[0] == 200
        server.stop()
        hear("STOPPING=1")
    listener.close()
    return "silence and 503 while a queue thread stood still, WATCHDOG=1 and 200 before and after"


def thread_named(pid, name):
    for tid in sorted(map(int, os.listdir("/proc/%d/task" % pid))):
        with open("/proc/%d/task/%d/comm" % (pid, tid), encoding="ascii") as file:
            if file.read().strip() == name:
                return tid
    raise AssertionError("no thread %s" % name)


class Stopped:
    """One thread of another process that stands still: traced, which stops it alone."""

    ATTACH, DETACH = 16, 17

    def __init__(self, tid):
        self.tid, self.libc = tid, ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

    def __enter__(self):
        if self.libc.ptrace(self.ATTACH, self.tid, None, None) != 0:
            skip("threads cannot be traced here: " + os.strerror(ctypes.get_errno()))
        os.waitpid(self.tid, 0x40000000)  # __WALL
        return self

    def __exit__(self, *_):
        self.libc.ptrace(self.DETACH, self.tid, None, None)


if __name__ == "__main__":
    main()
