"""An index of vectors in this process.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import os
from ctypes import byref, c_void_p
from typing import Any, Iterable, Optional, Sequence, Union

from . import _abi
from ._buffers import Ids, Rows
from .errors import InvalidArgument, check
from .filters import Filter, held
from .metadata import Fields, Object, encode, raw_fields
from .reading import Reading, choice, microseconds
from .results import Op, Write, raw_op

_NAME = b"index"


def _path(path: Union[str, "os.PathLike[str]"]) -> bytes:
    """A path for the library. A NUL inside would cut it short without a word, so it is refused."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise InvalidArgument("the path contains a NUL", detail="NAME")
    return name


def _options(
    dim: int,
    metric: str = "l2",
    dtype: str = "f32",
    ids: str = "u64",
    *,
    m: int = 0,
    ef_construction: int = 0,
    capacity_hint: int = 0,
    fields: Fields = (),
) -> _abi.Options:
    """What an index is created with, as the library takes it."""
    if not 0 < dim < 2**32:  # ctypes would cut it to 32 bits
        raise InvalidArgument("dim %d: at most 65,535" % dim, detail="LIMIT")
    declared = raw_fields(fields)
    options = _abi.Options(
        dim=dim,
        metric=choice("metric", _abi.METRICS, metric),
        dtype=choice("dtype", _abi.DTYPES, dtype),
        id_type=choice("ids", _abi.ID_TYPES, ids),
        m=m,
        ef_construction=ef_construction,
        capacity_hint=capacity_hint,
        field_count=len(declared),
    )
    options.fields = ctypes.addressof(declared)
    options.keep = declared  # lives as long as the struct that points to it
    return options


class Index(Reading):
    """Vectors with ids and metadata, and the nearest of them. Any number of threads may use one at
    once.

    dim     elements of a vector, 1 to 65,535
    metric  "l2" (squared), "ip" (minus the inner product) or "cosine"; smaller is nearer
    dtype   "f32", "f16", "i8" or "u8": what is stored
    ids     "u64", "uuid" or "str"
    fields  declared fields of the metadata: {"plot": "text", "seen": "time"}, or a list of omen.Field.
            Numbers, texts, bools and lists of them need no declaration.
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
        fields: Fields = (),
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
            fields=fields,
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

    def add(
        self,
        vectors: Any,
        ids: Any = None,
        *,
        metadata: Optional[Iterable[Object]] = None,
        if_version: Any = None,
        mode: str = "upsert",
        request_id: Optional[str] = None,
        op: Optional[Op] = None,
    ) -> Write:
        """Adds or replaces items in one call, all of them or none.

        vectors   rows: a 2-d array, or a flat one of whole vectors, uncopied; or lists
        ids       one for each row; None: rising numbers
        metadata  for each row a dict, or a JSON object as str or bytes, or None. Fields are int, float,
                  bool, str, lists of one of them, and what was declared: a datetime with a zone, bytes,
                  {"lat": y, "lon": x}. Nested objects are refused.
        if_version  for each row the Item.version that it must have (0: it must not be there); else the
                  call raises Error with the detail "VERSION_CONFLICT"
        mode      "upsert", "insert" (an id must not exist), "update" (it must; both replace the whole
                  item) or "patch" (it must; the named fields are set, those of None unset)
        request_id  a token that makes a repeated call harmless
        """
        with Rows(vectors, self.dtype, self.dim) as rows:
            batch = _abi.Batch(
                count=rows.rows,
                vectors=rows.address,
                stride=rows.stride,
                dtype=_abi.DTYPES[rows.dtype],
                dim=rows.dim,
                mode=choice("mode", _abi.MODES, mode),
            )
            return self._write(batch, ids, metadata, if_version, request_id, op)

    def patch(
        self,
        ids: Any,
        metadata: Iterable[Object],
        *,
        if_version: Any = None,
        request_id: Optional[str] = None,
        op: Optional[Op] = None,
    ) -> Write:
        """Sets the named fields of items and unsets those that are None. All other fields and the
        vectors stay; to change vectors as well: add(..., mode="patch"). NotFound, with the item, where
        an id is absent: then nothing was changed."""
        objects = list(metadata)
        batch = _abi.Batch(count=len(objects), mode=_abi.MODES["patch"])
        return self._write(batch, ids, objects, if_version, request_id, op)

    def _write(
        self,
        batch: _abi.Batch,
        ids: Any,
        metadata: Optional[Iterable[Object]],
        if_version: Any,
        request_id: Optional[str],
        op: Optional[Op],
    ) -> Write:
        """Completes a batch and sends it; what it points to lives until the call has returned."""
        keep = []
        for what, values in (("ids", ids), ("metadata", metadata), ("if_version", if_version)):
            if values is None:
                continue
            if what == "ids":
                part: Any = self._set_ids(batch, values)
            elif what == "metadata":
                part = encode(values)
                batch.metadata = part.column
            else:
                part = Ids(values, "u64")
                batch.if_version = part.keys
            if part.count != batch.count:
                raise InvalidArgument("%d %s for %d items" % (part.count, what, batch.count))
            keep.append(part)
        _set_request(batch, request_id)
        return self._written(_abi.lib.omen_add_batch, batch, op)

    def _written(self, call: Any, batch: _abi.Batch, op: Optional[Op]) -> Write:
        result = _abi.WriteResult()
        with self._use() as raw:
            check(call, raw, byref(batch), byref(result), raw_op(op))
        return _write_of(result)

    def _set_ids(self, batch: _abi.Batch, ids: Any) -> Ids:
        prepared = Ids(ids, self.id_type)
        if self.id_type == "u64":
            batch.keys = prepared.keys
        else:
            batch.ids = prepared.column
        return prepared

    def delete(self, ids: Any) -> Write:
        """Deletes items by id. Ids that are absent are skipped."""
        batch = _abi.Batch()
        keep = self._set_ids(batch, ids)
        batch.count = keep.count
        return self._written(_abi.lib.omen_delete_batch, batch, None)

    def delete_where(
        self,
        filter: Union[str, Filter],
        params: Sequence[Any] = (),
        *,
        request_id: Optional[str] = None,
        op: Optional[Op] = None,
    ) -> Write:
        """Deletes the items that pass, in one write; Write.applied counts them."""
        if filter is None:
            raise TypeError('a filter is needed; "TRUE" passes everything')
        batch, result = _abi.Batch(), _abi.WriteResult()
        _set_request(batch, request_id)
        with self._use() as raw, held(raw, filter, params) as passing:
            delete = _abi.lib.omen_delete_where
            check(delete, raw, passing, byref(batch), byref(result), raw_op(op))
        return _write_of(result)

    def declare(self, fields: Fields) -> None:
        """Declares more fields of the metadata. One that is there already as it is declared is fine;
        with another type it is AlreadyExists, and none is added."""
        declared = raw_fields(fields)
        with self._use() as raw:
            check(_abi.lib.omen_declare_fields, raw, declared, len(declared))

    def wait(self, timeout: Optional[float] = None) -> None:
        """Waits until everything added so far is in the graph."""
        with self._use() as raw:
            wait, us = _abi.lib.omen_wait, microseconds(timeout)
            check(wait, raw, 0, _abi.WAIT_INDEXED, us, None)

    def optimize(self, *, op: Optional[Op] = None) -> None:
        """Merges all segments into one without dead rows: what searches fastest."""
        with self._use() as raw:
            check(_abi.lib.omen_optimize, raw, raw_op(op))

    def save(self, path: Union[str, "os.PathLike[str]"], *, op: Optional[Op] = None) -> None:
        """Writes the index as one file; the path holds the old or the new one, never a part."""
        with self._use() as raw:
            check(_abi.lib.omen_save, raw, _path(path), raw_op(op))


def _set_request(batch: _abi.Batch, request_id: Optional[str]) -> None:
    if request_id is not None:
        token = request_id.encode()
        batch.request_id, batch.request_id_len = token, len(token)


def _write_of(result: _abi.WriteResult) -> Write:
    return Write(result.version, result.applied, result.replaced, bool(result.replayed))
