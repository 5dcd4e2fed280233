"""Conditions on the metadata of items.

SPDX-License-Identifier: Apache-2.0
"""

from contextlib import contextmanager
from ctypes import byref, c_void_p
from typing import Any, Iterator, Optional, Sequence, Union

from . import _abi
from ._buffers import Ids
from ._handle import Handle
from .errors import InvalidArgument, check
from .metadata import bind


class Filter(Handle):
    """A compiled condition: ``index.filter("year >= $1 AND genres CONTAINS $2", [1950, "Drama"])``.

    Used again it is faster than the text of it: it keeps the answers that it has computed. It belongs
    to the index that made it and to that one's snapshots. Any number of threads may use one at once,
    and it may be closed before or after the index. omen.h has the whole language:

        = != < <= > >=    [NOT] IN (1, 2)    [NOT] BETWEEN 1 AND 2    IS [NOT] NULL
        [NOT] LIKE 'prefix%'    [NOT] CONTAINS 'x'    CONTAINS ANY ('x', 'y')    CONTAINS ALL $1
        DISTANCE(place, 48.1, 11.6) < 5000    TRUE    AND    OR    NOT    ( )

    Bound values are int, float, bool, str, bytes, datetime with a zone, and for IN, CONTAINS ANY and
    CONTAINS ALL lists of them. A text that does not parse raises InvalidArgument with the detail
    "FILTER_SYNTAX" and the byte, an unknown field "FIELD", a value that the field cannot have "TYPE".
    """

    _what = "filter"

    @classmethod
    def _compile(cls, index: c_void_p, text: str, params: Sequence[Any]) -> "Filter":
        if isinstance(params, (str, bytes)):
            raise TypeError("params must be a list of values, not one text")
        made, code = cls.__new__(cls), text.encode()
        made._begin()
        values, keep = bind(params)
        call = _abi.lib.omen_filter_compile
        check(call, index, code, len(code), values, len(keep), byref(made._raw))
        return made

    @classmethod
    def _of_keys(cls, index: c_void_p, keys: Any) -> "Filter":
        made, numbers = cls.__new__(cls), Ids(keys, "u64")
        made._begin()
        call = _abi.lib.omen_filter_from_keys
        check(call, index, numbers.keys, numbers.count, byref(made._raw))
        return made

    def _free(self) -> None:
        _abi.lib.omen_filter_free(self._raw)


Condition = Union[None, str, Filter]


@contextmanager
def held(
    index: c_void_p, condition: Condition, params: Sequence[Any]
) -> Iterator[Optional[c_void_p]]:
    """The filter of a call: compiled for it, or held for it."""
    if isinstance(condition, str):
        with Filter._compile(index, condition, params) as made:
            yield made._raw
        return
    if len(params) > 0:
        raise InvalidArgument("params belong to the text of a filter")
    if condition is None:
        yield None
        return
    with condition._use() as raw:
        yield raw
