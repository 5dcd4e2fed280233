"""OmenDB in your process: store vectors, find the nearest ones again.

    from omen import Index
    index = Index(dim=3, metric="cosine")
    index.add([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    keys, distances = index.search([0.1, 0.9, 0], k=1)
    print(keys[0])  # 1

Database("./data") keeps named indexes in a folder; what was added is there again after a crash.
numpy arrays go in without a copy and come out as results; without numpy, lists and array.array do.
After os.fork() every call in the child raises an error: make a new Index there, or let
multiprocessing use "spawn" or "forkserver".
SPDX-License-Identifier: Apache-2.0
"""

from ._abi import NONE, lib as _lib
from .database import BackupResult, Database, Estimate, estimate, restore, verify
from .errors import AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, Error, InvalidArgument
from .errors import NotFound
from .index import Hits, Index, Op, Write

__version__: str = _lib.omen_version_string().decode()
isa: str = _lib.omen_isa_name().decode()

__all__ = [
    "AlreadyExists",
    "BackupResult",
    "Cancelled",
    "DataLoss",
    "Database",
    "DeadlineExceeded",
    "Error",
    "Estimate",
    "Hits",
    "Index",
    "InvalidArgument",
    "NONE",
    "NotFound",
    "Op",
    "Write",
    "estimate",
    "isa",
    "restore",
    "verify",
]
