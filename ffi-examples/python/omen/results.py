"""What calls return: hits, items, writes; and watching a call.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
from ctypes import byref, c_float, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import _abi
from .errors import check

try:
    import numpy
except ImportError:  # results are memoryviews then
    numpy = None  # type: ignore[assignment]
HAS_NUMPY = numpy is not None


def matrix(block: Any, code: str, shape: Tuple[int, ...]) -> Any:
    """A ctypes array as a numpy array, or as a memoryview where numpy is not installed."""
    if numpy is not None:
        return numpy.frombuffer(block, dtype=numpy.dtype(code)).reshape(shape)
    return memoryview(block).cast("B").cast(code, shape)


class Write(NamedTuple):
    """What a write did."""

    version: int  # of this write; the first one's when it was replayed
    applied: int  # items inserted or replaced, or deleted
    replaced: int  # of these: items that existed
    replayed: bool  # the request or the sequence number was seen before


class Item(NamedTuple):
    """One item as it is stored."""

    key: int
    id: Any  # int, uuid.UUID or str; where ids are numbers, the key
    metadata: Optional[Dict[str, Any]]  # None when it was not asked for
    version: int  # for if_version of add() and patch()


class Facet(NamedTuple):
    """A value of a field, and how many items have it."""

    value: Any
    count: int  # type: ignore[assignment]  # hides that of tuples


class Hits:
    """The nearest items of each query: ``keys, distances = index.search(...)``.

    For several queries both have a row of k places each; the unused ones hold omen.NONE and
    infinity, and counts tells how many are used. For one flat query they hold its items only.

    partial  for each query, whether time ran out
    explain  for each query what it cost, as a dict of the figures of omen.h with the plan as a word,
             where explain=True was asked for; else empty
    version  everything up to it was visible
    """

    def __init__(
        self,
        keys: Any,
        distances: Any,
        counts: List[int],
        flags: List[int],
        version: int,
        explain: List[Dict[str, Any]],
    ):
        self.keys = keys
        self.distances = distances
        self.counts = counts
        self.partial = [bool(flag & _abi.HITS_PARTIAL) for flag in flags]
        self.version = version
        self.explain = explain

    def __iter__(self) -> Iterator[Any]:
        return iter((self.keys, self.distances))


class Found:
    """The best items of a search of several parts: ``keys, figures = index.find(...)``.

    keys       best first
    distances  smaller is nearer; None where the search was for words or had several parts
    scores     larger is better; None where it was for a vector alone
    groups     with group_by the number 0, 1, ... of each item's group, else None
    partial    whether time ran out
    explain    what it cost, as in Hits, or None
    version    everything up to it was visible
    """

    def __init__(self, arrays: "Arrays", version: int, one_vector: bool, grouped: bool):
        count = arrays.counts[0]
        keys, distances, scores = arrays.rows((arrays.places,))
        self.keys = keys[:count]
        self.distances = distances[:count] if one_vector else None
        self.scores = None if one_vector else scores[:count]
        self.groups = list(arrays.groups[:count]) if grouped else None
        self.partial = bool(arrays.flags[0] & _abi.HITS_PARTIAL)
        explain = arrays.explained()
        self.explain = explain[0] if explain else None
        self.version = version

    def __iter__(self) -> Iterator[Any]:
        return iter((self.keys, self.scores if self.distances is None else self.distances))

    def __len__(self) -> int:
        return len(self.keys)


class Arrays:
    """The arrays that the library fills for `queries` queries of `places` places each."""

    def __init__(self, queries: int, places: int, explain: bool) -> None:
        total = queries * places
        self.places = places
        self.keys, self.distances = (c_uint64 * total)(), (c_float * total)()
        self.scores, self.groups = (c_float * total)(), (c_uint32 * total)()
        self.counts, self.flags = (c_uint32 * queries)(), (c_uint32 * queries)()
        self._explain = (_abi.Explain * (queries if explain else 0))()
        self._filters = (_abi.FilterExplain * (queries if explain else 0))()

    def hits(self) -> _abi.Hits:
        """For omen_search; omen_find wants scores and groups as well."""
        raw = _abi.Hits(
            keys=ctypes.addressof(self.keys),
            distances=ctypes.addressof(self.distances),
            counts=ctypes.addressof(self.counts),
            flags=ctypes.addressof(self.flags),
        )
        if len(self._explain) > 0:
            raw.explain = ctypes.addressof(self._explain)
            raw.filters = ctypes.addressof(self._filters)
        return raw

    def rows(self, shape: Tuple[int, ...]) -> Tuple[Any, Any, Any]:
        """Keys, distances and scores."""
        return (
            matrix(self.keys, "Q", shape),
            matrix(self.distances, "f", shape),
            matrix(self.scores, "f", shape),
        )

    def explained(self) -> List[Dict[str, Any]]:
        """What each query cost."""
        found = []
        for cost, filtered in zip(self._explain, self._filters):
            figures: Dict[str, Any] = {name: getattr(cost, name) for name, _ in cost._fields_}
            figures.update((name, getattr(filtered, name)) for name, _ in filtered._fields_)
            figures["plan"] = _abi.lib.omen_plan_name(cost.plan).decode()
            found.append(figures)
        return found


class Op:
    """Watches and cancels one running call from another thread."""

    def __init__(self) -> None:
        self._raw = c_void_p()
        check(_abi.lib.omen_op_create, byref(self._raw))

    def cancel(self) -> None:
        """Asks the call to stop; it then raises Cancelled."""
        _abi.lib.omen_op_cancel(self._raw)

    def reset(self) -> None:
        """Prepares for the next call, once the one before has returned."""
        _abi.lib.omen_op_reset(self._raw)

    def progress(self) -> Tuple[int, int]:
        """Steps done, and steps in all (0: not known)."""
        out = _abi.Progress()
        _abi.lib.omen_op_progress(self._raw, byref(out))
        return out.done, out.total

    def __del__(self) -> None:
        raw = self.__dict__.pop("_raw", None)
        if raw:
            _abi.lib.omen_op_free(raw)


def raw_op(op: Optional[Op]) -> Optional[c_void_p]:
    """The handle for the library."""
    return None if op is None else op._raw
