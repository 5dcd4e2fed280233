"""The proxy of deploy/nginx: what a client sees through it, and what is left of attacks on HTTP/2.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os
import random
import re
import ssl
import time

import abuse
import numpy as np
from h2raw import Connection
from harness import Authority, Child, Failure, Omend, ROOT, check, folder, free_port, main, need, poll, wire, write
from watch import MIB, filled, in_flight, rss

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

CONFIGURATION = os.path.join(ROOT, "deploy", "nginx", "omend.conf")


class Nginx(Child):
    """nginx with the configuration that is delivered: ports, paths and the upstream are this machine's."""

    def __init__(self, upstream, **limits):
        program = need("nginx", "nginx-light")
        self.folder, self.port = folder("nginx-"), free_port()
        authority = Authority(os.path.join(self.folder, "tls"))
        certificate, key = authority.issue("server", "server")
        with open(CONFIGURATION, encoding="ascii") as file:
            text = file.read()
        for pattern, value in (
            (r"listen 443 ssl", "listen 127.0.0.1:%d ssl" % self.port),
            (r"\n *listen \[::\]:443[^\n]*", ""),
            (r"server 127\.0\.0\.1:7700;", "server %s;" % upstream),
            (r"ssl_certificate [^;]*;", "ssl_certificate %s;" % certificate),
            (r"ssl_certificate_key [^;]*;", "ssl_certificate_key %s;" % key),
            *((r"%s [^;]*;" % name, "%s %s;" % (name, value)) for name, value in limits.items()),
        ):
            text, changed = re.subn(pattern, value, text)
            assert changed, "omend.conf has no %s" % pattern
        place = {"folder": self.folder, "site": write(os.path.join(self.folder, "omend.conf"), text)}
        whole = write(os.path.join(self.folder, "nginx.conf"), FRAME % place)
        super().__init__(program, "-p", self.folder, "-c", whole)
        self.address = "localhost:%d" % self.port
        with open(authority.ca, "rb") as file:
            self.credentials = grpc.ssl_channel_credentials(file.read())
        self.tls = ssl.create_default_context(cafile=authority.ca)
        self.tls.set_alpn_protocols(["h2"])
        self.until("listens", lambda: self.connect().close() is None)

    def connect(self, **keywords):
        return Connection("127.0.0.1:%d" % self.port, tls=self.tls, **keywords)

    def memory(self):
        """Bytes of all its processes."""
        total, pids = 0, [self.process.pid]
        with open("/proc/%d/task/%d/children" % (pids[0], pids[0]), encoding="ascii") as file:
            pids += [int(word) for word in file.read().split()]
        for pid in pids:
            with contextlib.suppress(FileNotFoundError), open(
                "/proc/%d/status" % pid, encoding="ascii"
            ) as file:
                total += next(int(l.split()[1]) for l in file if l.startswith("VmRSS")) * 1024
        return total


FRAME = """daemon off;
worker_processes 2;
worker_rlimit_nofile 20000;
pid %(folder)s/nginx.pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    include %(site)s;
}
"""


@contextlib.contextmanager
def proxied(**limits):
    need("nginx", "nginx-light")
    with Omend(data=None) as server, Nginx(server.address, **limits) as proxy:
        yield server, proxy


@check("everything works through nginx: unary, streams, large answers, errors, health")
def through_the_proxy():
    with proxied() as (server, proxy):
        channel = server.channel(credentials=proxy.credentials, address=proxy.address)
        client = wire.Client(channel)
        client.create("c", 64)
        data = wire.gaussian(1, 4000, 64)
        stream = client.stream()
        stream.open("c", "writer")
        for seq in range(1, 9):
            rows = range((seq - 1) * 500, seq * 500)
            stream.send(batch=wire.batch_of(data[rows.start : rows.stop], rows, seq=seq))
        assert stream.ack(8).durable_seq == 8
        stream.close()
        stream.rest()
        assert client.count("c") == 4000
        found = client.search("c", data[7], limit=3)
        assert found.ids.u64[0] == 7, found
        got = client.get("c", wire.TYPES.Ids(u64=range(4000)), with_vectors=True)
        assert np.frombuffer(got.items.vectors.data, np.float32).tolist() == data.ravel().tolist()
        many = wire.ITEMS.BatchSearchRequest(
            searches=[wire.search_of("c", row, limit=5) for row in data[:100]]
        )
        assert len(list(client.items.BatchSearch(many, timeout=60))) == 100
        try:
            client.count("nothing")
            raise AssertionError("a collection that is not there was counted")
        except grpc.RpcError as error:
            failure = Failure(error)
        assert (failure.code, failure.reason) == ("NOT_FOUND", "COLLECTION_NOT_FOUND"), failure
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert health.status == 1
        server.terminate()
        server.wait()
        try:
            client.count("c")
            raise AssertionError("a server that is gone was asked")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        server.close()
    return "a stream of 8 batches, an answer of 1 MB, 100 searches in one call, errors with details"


@check("calls beyond the rate of an address are RESOURCE_EXHAUSTED")
def rate_of_an_address():
    with proxied(limit_req="zone=omend_calls burst=20 nodelay") as (server, proxy):
        channel = server.channel(credentials=proxy.credentials, address=proxy.address)
        client = wire.Client(channel)
        client.create("c", 8)
        request = wire.ITEMS.CountRequest(collection="c")
        calls = [client.items.Count.future(request, timeout=60) for _ in range(2000)]
        codes = [call.code().name for call in calls]
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}, set(codes)
    return "%d of 2000 calls at once were let through" % codes.count("OK")


@check("attacks on HTTP/2 end at nginx")
def attacks_end_at_the_proxy():
    shown, small = [], 64 * MIB
    with proxied() as (server, proxy):
        client, _ = filled(server, "c", 100, 8)
        for attack, keywords, what in (
            (abuse.rapid_reset, {}, "resets"),
            (abuse.continuation_flood, {"size": small}, "bytes of headers"),
            (abuse.hpack_string, {"size": small}, "bytes of one header"),
            (abuse.hpack_bomb, {}, "bombs"),
            (abuse.settings_flood, {}, "SETTINGS"),
            (abuse.ping_flood, {}, "PING"),
            (abuse.empty_frames, {}, "empty DATA"),
            (abuse.gzip_bomb, {"size": 128 * MIB}, "bytes of a gzip bomb"),
            (abuse.garbage, {"chance": random.Random(5)}, "connections of random frames"),
        ):
            behind, front = rss(server), proxy.memory()
            got = attack(proxy.connect, **keywords)
            grown = max(0, rss(server) - behind) / MIB, max(0, proxy.memory() - front) / MIB
            assert max(grown) < 128, "%s: %s MiB" % (attack.__name__, grown)
            assert client.count("c") == 100
            poll("all calls are over", lambda: in_flight(server) <= 0)
            shown.append("%d %s, %s, +%d MiB" % (
                got.sent, what, "closed" if got.closed else "kept", max(grown)))
            if attack in (abuse.rapid_reset, abuse.continuation_flood, abuse.hpack_string):
                assert got.closed, "%s: nginx kept the connection" % attack.__name__
        assert server.metric("omendb_grpc_server_cut_total") == 0  # nothing came through to be cut
    return "; ".join(shown)


@check("silent and slow clients of nginx cost omend nothing")
def slow_clients_of_the_proxy():
    with proxied(client_header_timeout="2s", client_body_timeout="2s") as (server, proxy):
        client, _ = filled(server, "c", 100, 8)
        peers = [proxy.connect() for _ in range(200)]
        for peer in peers[:100]:
            stream, begin = peer.headers("/omen.v1.Items/BatchWrite")
            peer.send(begin)  # and no message
        begun = time.monotonic()
        assert client.count("c") == 100
        poll("calls without a message end", lambda: in_flight(server) <= 0)
        waited = time.monotonic() - begun
        for peer in peers:
            peer.reset()
        # Not more than what nginx keeps for later: two workers of 64.
        poll("its connections end", lambda: server.metric("omendb_grpc_server_connections") <= 129)
    return "100 calls without a message ended after %.1f s, 100 idle clients stayed at nginx" % waited


if __name__ == "__main__":
    main()
