"""Looking at a server from outside while something is done to it.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os
import threading

from harness import wire

MIB = 1 << 20


def rss(server):
    """Bytes of memory that the process holds."""
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024


def fds(server):
    return len(os.listdir("/proc/%d/fd" % server.process.pid))


def in_flight(server):
    return server.metric("omendb_grpc_server_inflight")


def cut(server, why):
    return server.metric("omendb_grpc_server_cut_total", why=why)


def connections(server):
    return server.metric("omendb_grpc_server_connections")


class Peak:
    """The most memory that a server held while the `with` ran."""

    def __init__(self, server):
        self.server, self.most = server, rss(server)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self):
        while not self._stop.wait(0.02):
            self.most = max(self.most, rss(self.server))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def filled(server, name, rows, dim, seed=1):
    """A collection of random rows."""
    client = server.client()
    client.create(name, dim)
    data = wire.gaussian(seed, rows, dim)
    for at in range(0, rows, 2000):
        client.add(name, data[at : at + 2000], range(at, min(at + 2000, rows)))
    return client, data


def serves(server, name):
    """Somebody new is served."""
    with contextlib.closing(server.channel()) as channel:
        return wire.Client(channel).count(name)
