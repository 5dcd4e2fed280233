"""What can be read of an index: searches, items, facets, figures.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import json
from ctypes import byref, c_uint8, c_uint64, c_void_p
from typing import Any, Dict, Iterator, List, Optional, Sequence, Type, TypeVar, Union

from . import _abi
from ._buffers import Ids, Rows, read_ids
from ._handle import Handle
from .errors import InvalidArgument, check
from .filters import Condition, Filter, held
from .finding import Leg, RawLegs, legs_of
from .metadata import Field, decode, field_name, read_field, read_numbers, read_texts
from .results import HAS_NUMPY, Arrays, Facet, Found, Hits, Item, Op, matrix, raw_op

Self = TypeVar("Self", bound="Reading")


def choice(what: str, table: Dict[str, int], name: str) -> int:
    try:
        return table[name]
    except KeyError:
        raise InvalidArgument("%s %r: choose from %s" % (what, name, ", ".join(table))) from None


def microseconds(seconds: Optional[float]) -> int:
    """A timeout for the library, where 0 means none."""
    return 0 if seconds is None else max(1, int(seconds * 1e6))


class Reading(Handle):
    """The half of Index that changes nothing. Any number of threads may use one at once."""

    _what = "index"

    @classmethod
    def _of(cls: Type[Self], raw: c_void_p) -> Self:
        """An index of a Database, which it keeps alive by itself."""
        index = cls.__new__(cls)
        index._begin()
        index._raw = raw
        index._describe()
        return index

    def _begin(self) -> None:
        super()._begin()
        self._db = c_void_p()

    def _free(self) -> None:
        _abi.lib.omen_collection_free(self._raw)
        _abi.lib.omen_db_free(self._db)

    def _describe(self) -> None:
        options = _abi.Options()
        check(_abi.lib.omen_describe, self._raw, byref(options))
        self.dim: int = options.dim
        self.metric = {v: k for k, v in _abi.METRICS.items()}[options.metric]
        self.dtype = {v: k for k, v in _abi.DTYPES.items()}[options.dtype]
        self.id_type = {v: k for k, v in _abi.ID_TYPES.items()}[options.id_type]

    def filter(self, text: str, params: Sequence[Any] = ()) -> Filter:
        """A compiled condition for any number of calls; see Filter."""
        with self._use() as raw:
            return Filter._compile(raw, text, params)

    def filter_keys(self, keys: Any) -> Filter:
        """A filter that the items of these keys pass, as far as they are there when it is used."""
        with self._use() as raw:
            return Filter._of_keys(raw, keys)

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
        filter: Condition = None,
        params: Sequence[Any] = (),
        explain: bool = False,
        op: Optional[Op] = None,
    ) -> Hits:
        """The k nearest items of each query.

        filter   only items that pass: a text with its params $1, $2, ..., or a Filter
        ef       beam width: more is slower and finds more; 0: chosen
        rerank   candidates scored again in full precision; 0: chosen
        exact    brute force over all items
        graph_only  use the graph also where a scan would be cheaper: to measure it
        timeout  seconds; then DeadlineExceeded, or with partial_ok the best found so far
        min_version  wait until this version is visible: read your writes
        explain  say what each query cost
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
                timeout_us=microseconds(timeout),
                min_version=min_version,
                op=raw_op(op),
            )
            with held(raw, filter, params) as passing:
                query.filter = passing
                return self._search(raw, query, rows.single, explain)

    @staticmethod
    def _search(raw: c_void_p, query: _abi.Query, single: bool, explain: bool) -> Hits:
        n, k = query.count, query.k
        arrays = Arrays(n, k, explain)
        hits = arrays.hits()
        check(_abi.lib.omen_search, raw, byref(query), byref(hits))
        keys, distances, _ = arrays.rows((n * k,) if single else (n, k))
        counts, flags = list(arrays.counts), list(arrays.flags)
        if single:
            keys, distances = keys[: counts[0]], distances[: counts[0]]
        return Hits(keys, distances, counts, flags, hits.version, arrays.explained())

    def find(
        self,
        *legs: Leg,
        vector: Any = None,
        text: Optional[str] = None,
        like: Any = None,
        k: int = 10,
        offset: int = 0,
        filter: Condition = None,
        params: Sequence[Any] = (),
        fusion: str = "rrf",
        rank_constant: float = 60.0,
        group_by: Optional[str] = None,
        group_size: int = 1,
        max_distance: Optional[float] = None,
        min_score: Optional[float] = None,
        timeout: Optional[float] = None,
        partial_ok: bool = False,
        min_version: int = 0,
        explain: bool = False,
        op: Optional[Op] = None,
    ) -> Found:
        """One search of up to 16 parts, whose lists become one: ``index.find(vector=v, text="moon")``.

        vector, text, like  the short forms of VectorLeg, TextLeg and LikeLeg (like: keys); those with
                 weights, fields and limits of their own come first: find(TextLeg(...), VectorLeg(...))
        k, offset  the hits offset to offset + k of the list
        filter   applied inside every part, as in search()
        fusion   "rrf": the sum of weight / (rank_constant + rank); or "weighted": of weight times a
                 score that goes from 1 for a part's best to 0 for its last
        group_by  a field that is no list: k then counts groups of its values, with the best group_size
                 items each
        max_distance  with a single vector or like part: nothing farther away
        min_score     with text or several parts: nothing below
        """
        flags = _abi.PARTIAL_OK if partial_ok else 0
        flags |= _abi.FIND_MAX_DISTANCE if max_distance is not None else 0
        flags |= _abi.FIND_MIN_SCORE if min_score is not None else 0
        places = k * (group_size if group_by is not None else 1)
        if not (0 < k <= _abi.MAX_K and 0 < places <= _abi.MAX_K):
            message = "k %d, %d places: at most %d" % (k, places, _abi.MAX_K)
            raise InvalidArgument(message, detail="LIMIT")
        request = _abi.Request(
            flags=flags,
            k=k,
            offset=offset,
            fusion=choice("fusion", _abi.FUSIONS, fusion),
            rank_constant=rank_constant,
            max_distance=max_distance or 0.0,
            min_score=min_score or 0.0,
            group_size=group_size if group_by is not None else 0,
            group_by=None if group_by is None else field_name(group_by),
            timeout_us=microseconds(timeout),
            min_version=min_version,
            op=raw_op(op),
        )
        parts = legs_of(legs, vector, text, like)
        with RawLegs(parts, self.dtype, self.dim) as raw_legs, self._use() as raw:
            request.legs, request.leg_count = ctypes.addressof(raw_legs.array), len(parts)
            with held(raw, filter, params) as passing:
                request.filter = passing
                arrays = Arrays(1, places, explain)
                hits = arrays.hits()
                hits.scores = ctypes.addressof(arrays.scores)
                hits.groups = ctypes.addressof(arrays.groups)
                check(_abi.lib.omen_find, raw, byref(request), byref(hits))
            return Found(arrays, hits.version, raw_legs.one_vector, group_by is not None)

    def count(self, filter: Condition = None, params: Sequence[Any] = ()) -> int:
        """Live items that pass."""
        count = c_uint64()
        with self._use() as raw, held(raw, filter, params) as passing:
            check(_abi.lib.omen_count_where, raw, passing, byref(count))
        return count.value

    def facet(
        self,
        field: str,
        filter: Condition = None,
        params: Sequence[Any] = (),
        *,
        limit: int = 10,
    ) -> List[Facet]:
        """The values of a field among the items that pass (of a list: each of its different values)
        and how many items have each: the most frequent first, at most limit."""
        if not 0 <= limit < 2**32:
            raise InvalidArgument("limit %d" % limit, detail="LIMIT")
        rows, name = c_void_p(), field_name(field)
        with self._use() as raw, held(raw, filter, params) as passing:
            check(_abi.lib.omen_facet, raw, passing, name, limit, byref(rows))
        try:
            count = _abi.lib.omen_rows_count(rows)
            values = read_texts(_column(rows, _abi.FIELD_VALUE), count)
            counts = read_numbers(_column(rows, _abi.FIELD_COUNT), count)
            return [Facet(json.loads(value), n) for value, n in zip(values, counts)]
        finally:
            _abi.lib.omen_rows_free(rows)

    def fetch(
        self, keys: Any, *, metadata: Union[bool, Sequence[str]] = True
    ) -> List[Optional[Item]]:
        """The items of keys, as search() and find() return them; None where absent.

        metadata  True, False, or the names of the fields that are wanted
        """
        numbers = Ids(keys, "u64")
        with self._use() as raw:
            return _fetch(raw, numbers, metadata)

    def get(
        self, ids: Any, *, metadata: Union[bool, Sequence[str]] = True
    ) -> List[Optional[Item]]:
        """The items of ids; None where absent. Their vectors: vectors(). See fetch()."""
        keys = [_abi.NONE if key is None else key for key in self.lookup(ids)]
        return self.fetch(keys, metadata=metadata)

    def items(
        self,
        filter: Condition = None,
        params: Sequence[Any] = (),
        *,
        order_by: Optional[str] = None,
        descending: bool = False,
        metadata: Union[bool, Sequence[str]] = True,
        page: int = 1000,
    ) -> Iterator[Item]:
        """All items that pass, as they are when the iteration begins, fetched page by page.

        order_by  a field that is no list, geo or text: nulls last; None: in the order of writing
        """
        if not 0 < page <= 65536:
            raise InvalidArgument("page %d: 1 to 65,536" % page, detail="LIMIT")
        listing = _abi.Listing(
            flags=_abi.LIST_DESCENDING if descending else 0,
            order_by=None if order_by is None else field_name(order_by),
        )
        with self.snapshot() as view, view._use() as raw, held(raw, filter, params) as passing:
            listing.filter = passing
            while True:
                block, count = (c_uint64 * page)(), c_uint64()
                check(_abi.lib.omen_list_items, raw, byref(listing), block, page, byref(count))
                keys = Ids(list(block[: count.value]), "u64")
                for item in _fetch(raw, keys, metadata):
                    if item is not None:
                        yield item
                if count.value < page:
                    return
                listing.flags |= _abi.LIST_AFTER
                listing.after = block[page - 1]

    def fields(self) -> List[Field]:
        """The fields of the metadata, declared or seen, in the order of their appearance."""
        page, count = (_abi.Field * 1024)(), c_uint64()
        with self._use() as raw:
            check(_abi.lib.omen_list_fields, raw, page, len(page), byref(count))
        return [read_field(page[i]) for i in range(count.value)]

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
        rows = c_void_p()
        with self._use() as raw:
            fetch = _abi.lib.omen_fetch
            check(fetch, raw, numbers.keys, numbers.count, _abi.FIELD_ID, byref(rows))
        try:
            return read_ids(_column(rows, _abi.FIELD_ID), numbers.count)
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
        if not HAS_NUMPY and code == "e":
            return matrix(block, "B", (numbers.count, self.dim * width))
        return matrix(block, code, (numbers.count, self.dim))

    def __len__(self) -> int:
        count = c_uint64()
        with self._use() as raw:
            check(_abi.lib.omen_count, raw, byref(count))
        return count.value

    def keys(self) -> List[int]:
        """The keys of all live items, in the order they were written or, on disk, of the keys."""
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

    def snapshot(self: Self) -> Self:
        """The index as it is now, read-only, whatever is written later. It keeps old segments alive:
        close it soon."""
        out = c_void_p()
        with self._use() as raw:
            check(_abi.lib.omen_snapshot, raw, byref(out))
        return type(self)._of(out)


def _column(rows: c_void_p, field: int) -> _abi.Column:
    """A column of rows; it lives as long as they do."""
    column = _abi.Column()
    _abi.lib.omen_rows_column(rows, field, byref(column))
    return column


def _fetch(raw: c_void_p, keys: Ids, metadata: Union[bool, Sequence[str]]) -> List[Optional[Item]]:
    """Ids, versions and metadata of keys, in one call and thus of one moment."""
    rows, wanted, n = c_void_p(), _abi.FIELD_ID | _abi.FIELD_VERSION, keys.count
    if metadata is True or metadata is False:
        wanted |= _abi.FIELD_METADATA if metadata else 0
        check(_abi.lib.omen_fetch, raw, keys.keys, n, wanted, byref(rows))
    else:
        wanted |= _abi.FIELD_METADATA
        names = [field_name(name) for name in metadata]
        block, call = (ctypes.c_char_p * len(names))(*names), _abi.lib.omen_fetch_fields
        check(call, raw, keys.keys, n, wanted, block, len(names), byref(rows))
    try:
        ids = read_ids(_column(rows, _abi.FIELD_ID), n)
        versions = read_numbers(_column(rows, _abi.FIELD_VERSION), n)
        objects: List[Any] = [None] * n
        if wanted & _abi.FIELD_METADATA:
            objects = [decode(t) for t in read_texts(_column(rows, _abi.FIELD_METADATA), n)]
    finally:
        _abi.lib.omen_rows_free(rows)
    numbers = (c_uint64 * n).from_address(keys.keys) if keys.keys and n > 0 else ()
    return [
        Item(key, id, found, version) if version else None
        for key, id, found, version in zip(numbers, ids, objects, versions)
    ]
