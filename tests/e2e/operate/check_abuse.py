"""The abuse of HTTP/2 that is known, against omend without a proxy: what the library does with it, and what our
limits make of that. Every check ends with the server serving others as before.

SPDX-License-Identifier: Apache-2.0
"""

import random
import time

import abuse
import grpc
from h2raw import Connection
from harness import Omend, check, main, poll
from watch import MIB, Peak, cut, fds, filled, in_flight, rss, serves


def cpu(server):
    """Seconds of processor time."""
    with open("/proc/%d/stat" % server.process.pid, encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / 100


def serves_again(server):
    """What an attack has left in flight may fill the server for a moment."""
    try:
        return serves(server, "c") == 100
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
        return False


def attacked(attack, *options, most=300, **keywords):
    """One attack: its outcome, the memory it cost in MiB, processor seconds. The server must serve on."""
    with Omend(*options, data=None) as server:
        filled(server, "c", 100, 8)
        before, used, descriptors = rss(server), cpu(server), fds(server)
        with Peak(server) as peak:
            got = attack(lambda: Connection(server.address), **keywords)
            poll("others are served", lambda: serves_again(server))
        poll("all calls are over", lambda: in_flight(server) <= 0)
        poll("descriptors are back", lambda: fds(server) <= descriptors + 8)
        assert serves(server, "c") == 100
        grown, spent = (peak.most - before) / MIB, cpu(server) - used
        cuts = sum(cut(server, why) for why in ("resets", "memory", "time"))
    assert grown < most, "%s: %d MiB more" % (attack.__name__, grown)
    return got, grown, spent, cuts


def line(got, what, grown, spent):
    return "%d %s, %s; +%d MiB, %.1f s of CPU" % (
        got.sent, what, "connection closed" if got.closed else "connection kept", grown, spent)


@check("rapid reset: the connection is cut")
def rapid_reset():
    got, grown, spent, cuts = attacked(abuse.rapid_reset)
    assert got.closed and cuts >= 1, "%d resets on one connection, which was kept" % got.sent
    assert got.sent < 100000, got
    return line(got, "resets", grown, spent)


@check("rapid reset without that limit: what the library does by itself")
def rapid_reset_unlimited():
    got, grown, spent, cuts = attacked(
        abuse.rapid_reset, "--max-resets-per-second=off", most=1024, count=50000)
    assert cuts == 0
    return line(got, "resets", grown, spent)


@check("an endless header block: memory is bounded, the connection is cut")
def continuation_flood():
    got, grown, spent, cuts = attacked(abuse.continuation_flood, most=2560, size=8192 * MIB)
    assert got.closed and cuts >= 1, got
    return line(got, "bytes of headers", grown, spent)


@check("one endless header value: time that brings nothing is noticed, the connection is cut")
def hpack_string():
    got, grown, spent, cuts = attacked(abuse.hpack_string, most=600)
    assert got.closed and cuts >= 1, got
    return line(got, "bytes of a header", grown, spent)


@check("a header that is named thousands of times")
def hpack_bomb():
    got, grown, spent, _ = attacked(abuse.hpack_bomb)
    return line(got, "requests", grown, spent)


@check("floods of SETTINGS, PING and empty DATA")
def frame_floods():
    shown = []
    for attack, what in (
        (abuse.settings_flood, "SETTINGS"),
        (abuse.ping_flood, "PING"),
        (abuse.empty_frames, "empty DATA"),
    ):
        got, grown, spent, _ = attacked(attack)
        shown.append(line(got, what, grown, spent))
    return "; ".join(shown)


@check("a bomb of gzip is refused packed")
def gzip_bomb():
    got, grown, spent, _ = attacked(abuse.gzip_bomb, most=64)
    return line(got, "bytes that unpack to 512 MiB", grown, spent)


@check("random frames")
def garbage():
    got, grown, spent, _ = attacked(abuse.garbage, chance=random.Random(11))
    return line(got, "connections", grown, spent)


@check("a rapid reset by one does not keep the others waiting")
def beside_an_attack():
    with Omend(data=None) as server:
        client, data = filled(server, "c", 2000, 32)
        end, worst, rounds, served = time.monotonic() + 3, 0.0, 0, 0
        while time.monotonic() < end:
            abuse.rapid_reset(lambda: Connection(server.address), count=20000)
            rounds += 1
            for row in data[:20]:
                begun = time.monotonic()
                client.search("c", row)
                worst, served = max(worst, time.monotonic() - begun), served + 1
        poll("all calls are over", lambda: in_flight(server) <= 0)
        assert cut(server, "resets") >= rounds - 1
        assert worst < 5, "a search took %.1f s" % worst
    return "%d attacks cut, %d searches served in between, the slowest in %.0f ms" % (
        rounds, served, worst * 1e3)


if __name__ == "__main__":
    main()
