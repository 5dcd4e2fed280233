"""Metadata of items: declared fields, objects to JSON and back, values for filters.

SPDX-License-Identifier: Apache-2.0
"""

import base64
import ctypes
import json
import uuid
from array import array
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import _abi
from ._buffers import Texts
from .errors import InvalidArgument

# One item's metadata: a dict, or a JSON object as text or bytes, or nothing.
Object = Union[Mapping[str, Any], str, bytes, None]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Field(NamedTuple):
    """A field of the metadata.

    type        "string", "int64", "double", "bool", "time", "bytes", and arrays of these
                ("string[]"); "geo" ({"lat": y, "lon": x} in degrees); "text": its words are indexed
    weight      text: of its score
    language    text: a Snowball algorithm, such as "english" or "german"
    stop_words  text: leave out Lucene's 33 English stop words
    stemming    text: find "running" with "runs"
    """

    name: str
    type: str
    weight: float = 1.0
    language: str = "english"
    stop_words: bool = False
    stemming: bool = True


# Declared fields: {"plot": "text", "seen": "time"}, or a list of Field.
Fields = Union[Mapping[str, str], Iterable[Field]]


def raw_fields(fields: Fields) -> Any:
    """Fields as the library takes them: an array of omen_field."""
    if isinstance(fields, Mapping):
        fields = [Field(name, kind) for name, kind in fields.items()]
    wanted = list(fields)
    out = (_abi.Field * len(wanted))()
    for raw, field in zip(out, wanted):
        name = field_name(field.name)
        if len(name) > _abi.MAX_FIELD_NAME:
            raise InvalidArgument("field %.40r... : more than 128 bytes" % field.name, detail="LIMIT")
        language = field.language.encode()
        if len(language) > 27 or b"\0" in language:
            raise InvalidArgument("field %r: no such language" % field.name, detail="NAME")
        raw.name, raw.type = name, _type_number(field)
        if field.type == "text":
            raw.language, raw.weight = language, field.weight
            raw.flags = (_abi.FIELD_STOP_WORDS if field.stop_words else 0) | (
                0 if field.stemming else _abi.FIELD_NO_STEMMING
            )
    return out


def _type_number(field: Field) -> int:
    kind = field.type[:-2] if field.type.endswith("[]") else field.type
    if kind not in _abi.TYPES or kind == "array":
        choices = ", ".join(name for name in _abi.TYPES if name != "array")
        message = "field %r of type %r: choose from %s" % (field.name, field.type, choices)
        raise InvalidArgument(message, detail="TYPE")
    return _abi.TYPES[kind] | (_abi.TYPES["array"] if kind != field.type else 0)


def read_field(raw: _abi.Field) -> Field:
    """A field that the library has filled in."""
    names = {number: name for name, number in _abi.TYPES.items()}
    plain = raw.type & ~_abi.TYPES["array"]
    kind = names.get(plain, str(plain)) + ("[]" if plain != raw.type else "")
    name = raw.name.decode("utf-8", "replace")
    if kind != "text":
        return Field(name, kind)
    return Field(
        name,
        kind,
        weight=raw.weight or 1.0,
        language=raw.language.decode("utf-8", "replace") or "english",
        stop_words=bool(raw.flags & _abi.FIELD_STOP_WORDS),
        stemming=not raw.flags & _abi.FIELD_NO_STEMMING,
    )


def field_name(name: str) -> bytes:
    """A name for the library. A NUL inside would cut it short without a word, so it is refused."""
    if "\0" in name:
        raise InvalidArgument("the name of a field contains a NUL", detail="NAME")
    return name.encode()


def _plain(value: Any) -> Any:
    """What JSON has no words for: times, bytes, UUIDs, numpy's numbers and arrays."""
    if isinstance(value, datetime):
        _microseconds(value)  # refuses one without a zone
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, uuid.UUID):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError("a %s cannot be metadata" % type(value).__name__)


def encode(objects: Iterable[Object]) -> Texts:
    """JSON of each item, as a column."""
    texts: List[bytes] = []
    for item, value in enumerate(objects):
        if isinstance(value, Mapping):
            try:
                text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
            except ValueError as cause:
                raise InvalidArgument(str(cause), detail="METADATA", item=item) from cause
            texts.append(text.encode())
        elif value is None:
            texts.append(b"")
        else:
            texts.append(value.encode() if isinstance(value, str) else bytes(value))
    return Texts(texts)


def decode(text: bytes) -> Dict[str, Any]:
    """The object that the library has printed. Times come as text, bytes as base64."""
    found: Dict[str, Any] = json.loads(text) if text else {}
    return found


def _microseconds(value: datetime) -> int:
    if value.tzinfo is None:
        raise InvalidArgument("the time %s has no zone" % value.isoformat(), detail="TYPE")
    return (value - _EPOCH) // timedelta(microseconds=1)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    for kind, types in (
        ("int64", int),
        ("double", float),
        ("string", str),
        ("time", datetime),
        ("bytes", (bytes, bytearray, memoryview)),
    ):
        if isinstance(value, types):
            return kind
    raise TypeError("a %s cannot be bound to a filter" % type(value).__name__)


def _values(bound: Any) -> List[Any]:
    """The values of one parameter: one, or those of a list."""
    if hasattr(bound, "tolist") and not isinstance(bound, memoryview):
        bound = bound.tolist()  # numpy's and array's
    many = isinstance(bound, (list, tuple, set, frozenset))
    return list(bound) if many else [bound]


def _param(position: int, bound: Any) -> Tuple[_abi.Param, Any]:
    """One parameter, and what its addresses point to."""
    values = _values(bound)
    kinds = {_kind(value) for value in values}
    if kinds == {"int64", "double"}:
        kinds = {"double"}
    if len(kinds) > 1:
        message = "$%d has values of types %s" % (position, ", ".join(sorted(kinds)))
        raise InvalidArgument(message, detail="TYPE")
    kind = kinds.pop() if kinds else "string"
    param = _abi.Param(type=_abi.TYPES[kind], count=len(values))
    if kind in ("string", "bytes"):
        texts = Texts([v.encode() if isinstance(v, str) else bytes(v) for v in values])
        param.data, param.offsets = texts.column.data, texts.column.offsets
        return param, texts
    if kind == "time":
        values = [_microseconds(value) for value in values]
    block = array({"double": "d", "bool": "B"}.get(kind, "q"), values)
    param.data = block.buffer_info()[0]
    return param, block


def bind(params: Sequence[Any]) -> Tuple[Any, List[Any]]:
    """Values of $1, $2, ... as the library takes them, and what must live until the call is over."""
    bound = [_param(i + 1, value) for i, value in enumerate(params)]
    return (_abi.Param * len(bound))(*(param for param, _ in bound)), [keep for _, keep in bound]


def read_texts(column: _abi.Column, count: int) -> List[bytes]:
    """The values of a column of text that the library has filled."""
    offsets = (ctypes.c_int64 * (count + 1)).from_address(column.offsets)
    return [
        ctypes.string_at(column.data + offsets[i], offsets[i + 1] - offsets[i]) for i in range(count)
    ]


def read_numbers(column: Optional[_abi.Column], count: int) -> List[int]:
    """The values of a column of uint64_t that the library has filled."""
    if column is None or count == 0:
        return []
    return list((ctypes.c_uint64 * count).from_address(column.data))
