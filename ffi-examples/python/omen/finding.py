"""Searches of several parts: a vector, words, items to be like.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
from array import array
from typing import Any, List, Optional, Sequence, Union

from . import _abi
from ._buffers import Ids, Rows
from .errors import InvalidArgument
from .metadata import field_name


class Leg:
    """One part of a search: VectorLeg, TextLeg or LikeLeg. It may be used for any number of searches.

    limit   how many of its best count; 0: chosen
    weight  in the fusion with other parts, above 0
    """

    def __init__(self, limit: int, weight: float) -> None:
        if not weight > 0:  # the library takes 0 for 1
            raise InvalidArgument("weight %g: it must be above 0" % weight)
        self._limit, self._weight = limit, weight

    def _fill(self, raw: _abi.Leg, dtype: str, dim: int) -> Any:
        """Sets what the kind of leg needs; returns what must live until the call is over."""
        raise NotImplementedError


class VectorLeg(Leg):
    """The nearest items of one vector; ef, rerank, exact and graph_only as in Index.search."""

    def __init__(
        self,
        vector: Any,
        *,
        ef: int = 0,
        rerank: int = 0,
        exact: bool = False,
        graph_only: bool = False,
        limit: int = 0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(limit, weight)
        self._vector, self._ef, self._rerank = vector, ef, rerank
        self._flags = (_abi.EXACT if exact else 0) | (_abi.GRAPH_ONLY if graph_only else 0)

    def _fill(self, raw: _abi.Leg, dtype: str, dim: int) -> Any:
        rows = Rows(self._vector, dtype, dim)
        if rows.rows != 1:
            found = rows.rows
            rows.release()
            raise InvalidArgument("a part of a search takes one vector, not %d" % found)
        raw.kind, raw.flags, raw.vector = _abi.LEG_VECTOR, self._flags, rows.address
        raw.dtype, raw.dim = _abi.DTYPES[rows.dtype], rows.dim
        raw.ef, raw.rerank = self._ef, self._rerank
        return rows


class TextLeg(Leg):
    """The best items for words, by BM25; of "..." the words one after the other.

    field  a text field; None: all of them, by their weights
    k1, b  of BM25; None: 1.2 and 0.75
    """

    def __init__(
        self,
        text: str,
        *,
        field: Optional[str] = None,
        k1: Optional[float] = None,
        b: Optional[float] = None,
        limit: int = 0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(limit, weight)
        self._text = text.encode()
        self._field = None if field is None else field_name(field)
        self._k1, self._b = 1.2 if k1 is None else k1, 0.75 if b is None else b

    def _fill(self, raw: _abi.Leg, dtype: str, dim: int) -> Any:
        raw.kind, raw.text, raw.text_len = _abi.LEG_TEXT, self._text, len(self._text)
        raw.field, raw.k1, raw.b = self._field, self._k1, self._b
        return self._text, self._field


class LikeLeg(Leg):
    """The nearest items to the mean of the vectors of these keys (1 to 1,024), which are left out
    themselves."""

    def __init__(
        self, keys: Any, *, ef: int = 0, rerank: int = 0, limit: int = 0, weight: float = 1.0
    ) -> None:
        super().__init__(limit, weight)
        self._keys = Ids(array("Q", keys), "u64")
        self._ef, self._rerank = ef, rerank

    def _fill(self, raw: _abi.Leg, dtype: str, dim: int) -> Any:
        raw.kind, raw.keys, raw.key_count = _abi.LEG_LIKE, self._keys.keys, self._keys.count
        raw.ef, raw.rerank = self._ef, self._rerank
        return self._keys


def legs_of(
    legs: Sequence[Leg], vector: Any, text: Union[None, str], like: Any
) -> List[Leg]:
    """The parts of a search, the short forms among them."""
    found = list(legs)
    if vector is not None:
        found.append(VectorLeg(vector))
    if text is not None:
        found.append(TextLeg(text))
    if like is not None:
        found.append(LikeLeg(like))
    if not 0 < len(found) <= _abi.MAX_LEGS:
        message = "%d parts of a search: 1 to %d" % (len(found), _abi.MAX_LEGS)
        raise InvalidArgument(message, detail="LIMIT")
    return found


class RawLegs:
    """Legs as the library takes them, held for one call."""

    def __init__(self, legs: Sequence[Leg], dtype: str, dim: int) -> None:
        self.array = (_abi.Leg * len(legs))()
        self._keep: List[Any] = []
        try:
            for raw, leg in zip(self.array, legs):
                raw.struct_size = ctypes.sizeof(_abi.Leg)
                raw.limit, raw.weight = leg._limit, leg._weight
                self._keep.append(leg._fill(raw, dtype, dim))
        except BaseException:
            self.release()
            raise
        vectors = len(legs) == 1 and not isinstance(legs[0], TextLeg)
        self.one_vector = vectors  # distances, not scores

    def release(self) -> None:
        for keep in self._keep:
            if isinstance(keep, Rows):
                keep.release()

    def __enter__(self) -> "RawLegs":
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
