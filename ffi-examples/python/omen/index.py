"""An index of vectors in this process.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import os
import threading
from contextlib import contextmanager
from ctypes import byref, c_float, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from . import _abi
from ._buffers import Ids, Rows, read_ids
from .errors import Error, InvalidArgument, check

try:
    import numpy
except ImportError:  # results are memoryviews then
    numpy = None  # type: ignore[assignment]

_FORMAT = {"f32": (c_float, "f"), "u64": (c_uint64, "Q"), "u8": (c_uint8, "B")}
_NAME = b"index"


def _choice(what: str, table: Dict[str, int], name: str) -> int:
    try:
        return table[name]
    except KeyError:
        raise InvalidArgument("%s %r: choose from %s" % (what, name, ", ".join(table))) from None


def _microseconds(seconds: Optional[float]) -> int:
    """A timeout for the library, where 0 means none."""
    return 0 if seconds is None else max(1, int(seconds * 1e6))


def _matrix(block: Any, code: str, shape: Tuple[int, ...]) -> Any:
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


class Hits:
    """The nearest items of each query: ``keys, distances = index.search(...)``.

    For several queries both have a row of k places each; the unused ones hold omen.NONE and
    infinity, and counts tells how many are used. For one flat query they hold its items only.
    """

    def __init__(
        self, keys: Any, distances: Any, counts: List[int], flags: List[int], version: int
    ):
        self.keys = keys
        self.distances = distances
        self.counts = counts
        self.partial = [bool(flag & _abi.HITS_PARTIAL) for flag in flags]
        self.version = version

    def __iter__(self) -> Iterator[Any]:
        return iter((self.keys, self.distances))


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


def _path(path: Union[str, "os.PathLike[str]"]) -> bytes:
    """A path for the library. A NUL inside would cut it short without a word, so it is refused."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise InvalidArgument("the path contains a NUL", detail="NAME")
    return name


def _op(op: Optional[Op]) -> Optional[c_void_p]:
    return None if op is None else op._raw


def _options(
    dim: int,
    metric: str = "l2",
    dtype: str = "f32",
    ids: str = "u64",
    *,
    m: int = 0,
    ef_construction: int = 0,
    capacity_hint: int = 0,
) -> _abi.Options:
    """What an index is created with, as the library takes it."""
    if not 0 < dim < 2**32:  # ctypes would cut it to 32 bits
        raise InvalidArgument("dim %d: at most 65,535" % dim, detail="LIMIT")
    return _abi.Options(
        dim=dim,
        metric=_choice("metric", _abi.METRICS, metric),
        dtype=_choice("dtype", _abi.DTYPES, dtype),
        id_type=_choice("ids", _abi.ID_TYPES, ids),
        m=m,
        ef_construction=ef_construction,
        capacity_hint=capacity_hint,
    )


class Index:
    """Vectors with ids, and the nearest of them. Any number of threads may use one at once.

    dim     elements of a vector, 1 to 65,535
    metric  "l2" (squared), "ip" (minus the inner product) or "cosine"; smaller is nearer
    dtype   "f32", "f16", "i8" or "u8": what is stored
    ids     "u64", "uuid" or "str"
    """

    def __init__(
        self,
        dim: int,
        metric: str = "l2",
        dtype: str = "f32",
        ids: str = "u64",
        *,
        m: int = 0,
        ef_construction: int = 0,
        capacity_hint: int = 0,
        threads: int = 0,
        memory_limit: int = 0,
    ) -> None:
        options = _options(
            dim,
            metric,
            dtype,
            ids,
            m=m,
            ef_construction=ef_construction,
            capacity_hint=capacity_hint,
        )
        self._start(threads, memory_limit)
        check(_abi.lib.omen_create, self._db, _NAME, byref(options), byref(self._raw))
        self._describe()

    @classmethod
    def open(cls, path: Union[str, "os.PathLike[str]"], *, threads: int = 0) -> "Index":
        """Maps a file written by save(). The index can be read and not written."""
        index = cls.__new__(cls)
        index._start(threads, 0)
        options = _abi.OpenOptions(file=_path(path))
        check(_abi.lib.omen_open, index._db, _NAME, byref(options), byref(index._raw))
        index._describe()
        return index

    @classmethod
    def _of(cls, raw: c_void_p) -> "Index":
        """An index of a Database, which it keeps alive by itself."""
        index = cls.__new__(cls)
        index._begin()
        index._raw = raw
        index._describe()
        return index

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._users = 1  # running calls, and the Index itself until it is closed
        self._closed = False
        self._raw, self._db = c_void_p(), c_void_p()

    def _start(self, threads: int, memory_limit: int) -> None:
        self._begin()
        runtime = c_void_p()
        options = _abi.RuntimeOptions(threads=threads, memory_limit=memory_limit)
        check(_abi.lib.omen_runtime_create, byref(options), byref(runtime))
        try:
            db_options = _abi.DbOptions(runtime=runtime)
            check(_abi.lib.omen_db_open, None, byref(db_options), byref(self._db))
        finally:
            _abi.lib.omen_runtime_free(runtime)  # the database keeps what it needs alive

    def _describe(self) -> None:
        options = _abi.Options()
        check(_abi.lib.omen_describe, self._raw, byref(options))
        self.dim: int = options.dim
        self.metric = {v: k for k, v in _abi.METRICS.items()}[options.metric]
        self.dtype = {v: k for k, v in _abi.DTYPES.items()}[options.dtype]
        self.id_type = {v: k for k, v in _abi.ID_TYPES.items()}[options.id_type]

    @contextmanager
    def _use(self) -> Iterator[c_void_p]:
        """Holds the handle for a call: after close() the last user frees it."""
        with self._lock:
            if self._closed:
                raise Error("the index is closed", status="FAILED_PRECONDITION", detail="HANDLE")
            self._users += 1
        try:
            yield self._raw
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            _abi.lib.omen_collection_free(self._raw)
            _abi.lib.omen_db_free(self._db)

    def close(self) -> None:
        """Frees the index as soon as running calls have returned. Closing again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._leave()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self.close()

    def add(
        self,
        vectors: Any,
        ids: Any = None,
        *,
        mode: str = "upsert",
        request_id: Optional[str] = None,
        op: Optional[Op] = None,
    ) -> Write:
        """Adds or replaces items in one call, all of them or none.

        vectors  rows: a 2-d array, or a flat one of whole vectors, uncopied; or lists
        ids      one for each row; None: rising numbers
        mode     "upsert", "insert" (an id must not exist) or "update" (it must)
        request_id  a token that makes a repeated call harmless
        """
        with Rows(vectors, self.dtype, self.dim) as rows, self._use() as raw:
            batch = _abi.Batch(
                count=rows.rows,
                vectors=rows.address,
                stride=rows.stride,
                dtype=_abi.DTYPES[rows.dtype],
                dim=rows.dim,
                mode=_choice("mode", _abi.MODES, mode),
            )
            keep = None
            if ids is not None:
                keep = self._set_ids(batch, ids)
                if keep.count != rows.rows:
                    raise InvalidArgument("%d ids for %d vectors" % (keep.count, rows.rows))
            if request_id is not None:
                token = request_id.encode()
                batch.request_id, batch.request_id_len = token, len(token)
            result = _abi.WriteResult()
            check(_abi.lib.omen_add_batch, raw, byref(batch), byref(result), _op(op))
            return Write(result.version, result.applied, result.replaced, bool(result.replayed))

    def _set_ids(self, batch: _abi.Batch, ids: Any) -> Ids:
        prepared = Ids(ids, self.id_type)
        if self.id_type == "u64":
            batch.keys = prepared.keys
        else:
            batch.ids = prepared.column
        return prepared

    def delete(self, ids: Any) -> Write:
        """Deletes items by id. Ids that are absent are skipped."""
        with self._use() as raw:
            batch = _abi.Batch()
            keep = self._set_ids(batch, ids)
            batch.count = keep.count
            result = _abi.WriteResult()
            check(_abi.lib.omen_delete_batch, raw, byref(batch), byref(result), None)
            return Write(result.version, result.applied, result.replaced, bool(result.replayed))

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        ef: int = 0,
        rerank: int = 0,
        exact: bool = False,
        graph_only: bool = False,
        threads: int = 0,
        timeout: Optional[float] = None,
        partial_ok: bool = False,
        min_version: int = 0,
        op: Optional[Op] = None,
    ) -> Hits:
        """The k nearest items of each query.

        ef       beam width: more is slower and finds more; 0: chosen
        rerank   candidates scored again in full precision; 0: chosen
        exact    brute force over all items
        graph_only  use the graph also where a scan would be cheaper: to measure it
        timeout  seconds; then DeadlineExceeded, or with partial_ok the best found so far
        """
        with Rows(queries, self.dtype, self.dim) as rows, self._use() as raw:
            if not (0 < k <= _abi.MAX_K and 0 < rows.rows <= _abi.MAX_QUERIES):
                message = "k %d of at most %d, queries %d of at most %d"
                values = (k, _abi.MAX_K, rows.rows, _abi.MAX_QUERIES)
                raise InvalidArgument(message % values, detail="LIMIT")
            query = _abi.Query(
                flags=(_abi.EXACT if exact else 0)
                | (_abi.GRAPH_ONLY if graph_only else 0)
                | (_abi.PARTIAL_OK if partial_ok else 0),
                vectors=rows.address,
                stride=rows.stride,
                dtype=_abi.DTYPES[rows.dtype],
                dim=rows.dim,
                count=rows.rows,
                k=k,
                ef=ef,
                rerank=rerank,
                threads=threads,
                timeout_us=_microseconds(timeout),
                min_version=min_version,
                op=_op(op),
            )
            return self._search(raw, query, rows.single)

    @staticmethod
    def _search(raw: c_void_p, query: _abi.Query, single: bool) -> Hits:
        n, k = query.count, query.k
        keys, distances = (c_uint64 * (n * k))(), (c_float * (n * k))()
        counts, flags = (c_uint32 * n)(), (c_uint32 * n)()
        hits = _abi.Hits(
            keys=ctypes.addressof(keys),
            distances=ctypes.addressof(distances),
            counts=ctypes.addressof(counts),
            flags=ctypes.addressof(flags),
        )
        check(_abi.lib.omen_search, raw, byref(query), byref(hits))
        shape = (n * k,) if single else (n, k)
        key_rows, distance_rows = _matrix(keys, "Q", shape), _matrix(distances, "f", shape)
        if single:
            key_rows, distance_rows = key_rows[: counts[0]], distance_rows[: counts[0]]
        return Hits(key_rows, distance_rows, list(counts), list(flags), hits.version)

    def lookup(self, ids: Any) -> List[Optional[int]]:
        """Keys of ids; None where absent. Where ids are numbers, a key is the id."""
        prepared = Ids(ids, self.id_type)
        keys = (c_uint64 * prepared.count)()
        with self._use() as raw:
            check(_abi.lib.omen_lookup, raw, byref(prepared.column), prepared.count, keys)
        return [None if key == _abi.NONE else key for key in keys]

    def ids(self, keys: Any) -> List[Any]:
        """Ids of keys, as search() returns them; None where absent."""
        numbers = Ids(keys, "u64")
        rows, column = c_void_p(), _abi.Column()
        with self._use() as raw:
            fetch = _abi.lib.omen_fetch
            check(fetch, raw, numbers.keys, numbers.count, _abi.FIELD_ID, byref(rows))
            try:
                _abi.lib.omen_rows_column(rows, _abi.FIELD_ID, byref(column))
                return read_ids(column, numbers.count)
            finally:
                _abi.lib.omen_rows_free(rows)

    def vectors(self, keys: Any) -> Any:
        """The stored vectors of keys, bit for bit; of f16 and i8 their raw bytes without numpy."""
        numbers = Ids(keys, "u64")
        width = {"f32": 4, "f16": 2, "i8": 1, "u8": 1}[self.dtype]
        block = (c_uint8 * (numbers.count * self.dim * width))()
        with self._use() as raw:
            get = _abi.lib.omen_get_vectors
            check(get, raw, numbers.keys, numbers.count, block, 0, 0, None)
        code = {"f32": "f", "f16": "e", "i8": "b", "u8": "B"}[self.dtype]
        if numpy is None and code == "e":
            return _matrix(block, "B", (numbers.count, self.dim * width))
        return _matrix(block, code, (numbers.count, self.dim))

    def __len__(self) -> int:
        count = c_uint64()
        with self._use() as raw:
            check(_abi.lib.omen_count, raw, byref(count))
        return count.value

    def keys(self) -> List[int]:
        """The keys of all live items, in the order they were written."""
        page = (c_uint64 * 4096)()
        found: List[int] = []
        cursor, count = c_uint64(), c_uint64()
        with self._use() as raw:
            while True:
                scan = _abi.lib.omen_scan
                check(scan, raw, byref(cursor), page, len(page), byref(count))
                found.extend(page[: count.value])
                if count.value < len(page):
                    return found

    def wait(self, timeout: Optional[float] = None) -> None:
        """Waits until everything added so far is in the graph."""
        with self._use() as raw:
            wait, us = _abi.lib.omen_wait, _microseconds(timeout)
            check(wait, raw, 0, _abi.WAIT_INDEXED, us, None)

    def measure_recall(
        self, k: int = 10, *, ef: int = 0, samples: int = 200, seed: int = 0
    ) -> float:
        """Share of the true nearest items that search() finds, over sampled items, in the graph."""
        options = _abi.RecallOptions(flags=_abi.GRAPH_ONLY, k=k, ef=ef, samples=samples, seed=seed)
        out = _abi.Recall()
        with self._use() as raw:
            check(_abi.lib.omen_measure_recall, raw, byref(options), byref(out), None)
        return float(out.recall)

    def stats(self) -> Dict[str, int]:
        """Figures, named as in omen.h."""
        out = _abi.Stats()
        with self._use() as raw:
            check(_abi.lib.omen_get_stats, raw, byref(out))
        return {field[0]: getattr(out, field[0]) for field in out._fields_[1:]}

    def optimize(self, *, op: Optional[Op] = None) -> None:
        """Merges all segments into one without dead rows: what searches fastest."""
        with self._use() as raw:
            check(_abi.lib.omen_optimize, raw, _op(op))

    def snapshot(self) -> "Index":
        """The index as it is now, read-only, whatever is written later. It keeps old segments alive:
        close it soon."""
        out = c_void_p()
        with self._use() as raw:
            check(_abi.lib.omen_snapshot, raw, byref(out))
        return Index._of(out)

    def save(self, path: Union[str, "os.PathLike[str]"], *, op: Optional[Op] = None) -> None:
        """Writes the index as one file; the path holds the old or the new one, never a part."""
        with self._use() as raw:
            check(_abi.lib.omen_save, raw, _path(path), _op(op))
