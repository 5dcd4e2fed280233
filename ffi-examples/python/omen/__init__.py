"""OmenDB in your process: store vectors, find the nearest ones again.

    from omen import Index
    index = Index(dim=3, metric="cosine")
    index.add([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    keys, distances = index.search([0.1, 0.9, 0], k=1)
    print(keys[0])  # 1

Items carry metadata, and searches take conditions on it, words, and both with vectors:

    films = Index(dim=256, fields={"plot": "text"})
    films.add(vectors, ids, metadata=[{"title": ..., "year": 1953, "genres": [...], "plot": ...}, ...])
    films.search(v, k=10, filter="year >= $1 AND genres CONTAINS $2", params=[1950, "Drama"])
    films.find(vector=v, text="moon landing", filter="year < 1970", group_by="year")

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
from .filters import Filter
from .finding import Leg, LikeLeg, TextLeg, VectorLeg
from .index import Index
from .metadata import Field
from .results import Facet, Found, Hits, Item, Op, Write

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
    "Facet",
    "Field",
    "Filter",
    "Found",
    "Hits",
    "Index",
    "InvalidArgument",
    "Item",
    "Leg",
    "LikeLeg",
    "NONE",
    "NotFound",
    "Op",
    "TextLeg",
    "VectorLeg",
    "Write",
    "estimate",
    "isa",
    "restore",
    "verify",
]
