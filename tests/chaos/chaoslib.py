"""What the tests of this folder share: a database served by omend, and an oracle of what it acknowledged.

A test that cannot run here says why and ends with 77, which ctest counts as skipped, not as passed.
SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import sys
import tempfile

import grpc
import numpy as np
from harness import ITEMS, PATIENCE, Failure, Omend, batch_of, ids_of

DIM = 128


def skip(why):
    print("skipped: " + why, flush=True)
    sys.exit(77)


def workdir(parent=None):
    return tempfile.mkdtemp(prefix="chaos-", dir=parent or os.environ["OMEN_E2E_WORK"])


def rows_of(ids, stamp, dim=DIM):
    """Vectors that tell id and stamp: whole numbers, exact in float32."""
    ids = np.asarray(ids)
    rows = ((31 * ids[:, None] + 7 * np.arange(dim) + 13 * stamp) % 1009).astype(np.float32)
    rows[:, 0] = stamp
    return rows


class Oracle:
    """Writes through a client and remembers what was acknowledged. A batch with an unknown outcome is
    settled when it is sent again under its request id."""

    def __init__(self, name="items", dim=DIM, tag="o"):
        self.name, self.dim, self.tag = name, dim, tag
        self.stamp = {}  # id: stamp of the last acknowledged write
        self.writes = 0
        self.unsure = None  # (request id, ids, stamp, delete)

    def _send(self, client, request, ids, stamp, delete):
        if delete:
            batch = ITEMS.WriteBatch(op=ITEMS.WRITE_OP_DELETE)
            batch.items.ids.CopyFrom(ids_of(ids))
        else:
            batch = batch_of(rows_of(ids, stamp, self.dim), ids)
        client.write(self.name, batch, request_id=request)
        for number in ids:
            if delete:
                self.stamp.pop(int(number), None)
            else:
                self.stamp[int(number)] = stamp

    def write(self, client, ids, delete=False):
        """None, or the Failure of a refused batch. UNAVAILABLE and unknown outcomes leave it unsure."""
        assert self.unsure is None
        self.writes += 1
        request = "%s-%d" % (self.tag, self.writes)
        try:
            self._send(client, request, ids, self.writes, delete)
        except grpc.RpcError as error:
            failure = Failure(error)
            if failure.code in ("UNAVAILABLE", "CANCELLED") or failure.reason == "OUTCOME_UNKNOWN":
                self.unsure = (request, ids, self.writes, delete)
            return failure
        return None

    def settle(self, client):
        if self.unsure is not None:
            self._send(client, *self.unsure)
            self.unsure = None

    def check(self, client, deleted=()):
        """Every acknowledged row with its bytes, no deleted one, no other."""
        assert client.count(self.name) == len(self.stamp), (client.count(self.name), len(self.stamp))
        ids = sorted(self.stamp)
        for at in range(0, len(ids), 2000):
            some = ids[at:at + 2000]
            got = client.get(self.name, ids_of(some), with_vectors=True)
            assert not got.missing, "lost: %s" % [some[i] for i in list(got.missing)[:10]]
            rows = np.frombuffer(got.items.vectors.data, np.float32).reshape(len(some), self.dim)
            want = np.concatenate([rows_of([i], self.stamp[i], self.dim) for i in some])
            wrong = np.flatnonzero((rows != want).any(axis=1))
            assert not len(wrong), "wrong bytes: %s" % [some[i] for i in wrong[:10]]
        gone = [i for i in deleted if i not in self.stamp][:2000]
        if gone:
            assert len(client.get(self.name, ids_of(gone)).missing) == len(gone), "deleted ones are back"
        if ids:
            query = rows_of([ids[0]], self.stamp[ids[0]], self.dim)[0]
            found = client.search(self.name, query, limit=1, exact=True)
            assert found.distances[0] == 0


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["DIM", "Failure", "Omend", "Oracle", "PATIENCE", "remove", "rows_of", "skip", "workdir"]
