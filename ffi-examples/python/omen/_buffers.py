"""Vectors and ids as the library takes them: addresses, strides and offsets.

Whatever speaks the buffer protocol (numpy arrays, array.array, bytes, memoryview) is passed as it
lies in memory, rows of any stride included. Lists are put into an array first.
SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import sys
import uuid
from array import array
from ctypes import POINTER, byref, c_char_p, c_int, c_ssize_t, c_void_p, py_object
from typing import Any, List, Optional, Sequence, Tuple

from . import _abi
from .errors import InvalidArgument

# Formats of the struct module to element types.
_FORMATS = {"f": "f32", "e": "f16", "b": "i8", "B": "u8"}
_TYPECODES = {"f32": "f", "f16": "f", "i8": "b", "u8": "B"}  # f32 goes into f16 collections
_PYBUF_RECORDS_RO = 0x1C  # strides and format, read-only will do


class _PyBuffer(ctypes.Structure):
    """Py_buffer of the C interface of Python."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", py_object),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_char_p),
        ("shape", POINTER(c_ssize_t)),
        ("strides", POINTER(c_ssize_t)),
        ("suboffsets", POINTER(c_ssize_t)),
        ("internal", c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [py_object, POINTER(_PyBuffer), c_int]
_get_buffer.restype = c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [POINTER(_PyBuffer)]
_release_buffer.restype = None


def _native(code: str) -> str:
    """The format without its byte order, or "" where that is not the machine's."""
    if code[:1] in ("@", "=", "<" if sys.byteorder == "little" else ">"):
        return code[1:]
    return code if code[:1] not in ("<", ">", "!") else ""


def _speaks_buffer(obj: Any) -> bool:
    try:
        memoryview(obj)
    except TypeError:
        return False
    except (ValueError, BufferError):
        return True  # it does, in a way that the checks below explain
    return True


def _from_lists(rows: Sequence[Any], dtype: str, dim: int) -> "array[Any]":
    """Numbers of one vector, or of a list of vectors, in one array."""
    flat = array(_TYPECODES[dtype])
    if len(rows) > 0 and not hasattr(rows[0], "__len__"):
        rows = [rows]
    for i, row in enumerate(rows):
        if len(row) != dim:
            raise InvalidArgument(
                "vector %d has %d elements, the index has dim %d" % (i, len(row), dim),
                detail="DIM_MISMATCH",
                item=i,
            )
        flat.extend(row)
    return flat


class Rows:
    """Vectors held in place for one call: address, rows, dim, stride, dtype."""

    def __init__(self, source: Any, dtype: str, dim: int) -> None:
        if isinstance(source, (list, tuple)):
            self.single = len(source) > 0 and not hasattr(source[0], "__len__")
            source = _from_lists(source, dtype, dim)
        elif _speaks_buffer(source):
            self.single = False
        else:
            raise TypeError(
                "vectors must be a buffer (numpy array, array.array, ...) or a list, not %s"
                % type(source).__name__
            )
        self._view = _PyBuffer()
        _get_buffer(source, byref(self._view), _PYBUF_RECORDS_RO)
        try:
            self._read(dim)
        except BaseException:
            self.release()
            raise

    def _read(self, dim: int) -> None:
        view = self._view
        code = (view.format or b"B").decode()
        self.dtype = _FORMATS.get(_native(code), "")
        if not self.dtype:
            raise TypeError(
                "elements of format %r are not supported: use float32, float16, int8 or uint8 in "
                "native byte order" % code
            )
        self.address = view.buf
        if view.ndim == 1:
            self._read_flat(view.shape[0], view.strides[0], dim)
        elif view.ndim == 2:
            self._read_rows(view.shape[0], view.shape[1], view.strides[0], view.strides[1])
        else:
            raise InvalidArgument("vectors must have 1 or 2 axes, not %d" % view.ndim)

    def _read_flat(self, elements: int, step: int, dim: int) -> None:
        """One vector, or several one after the other."""
        if elements % dim != 0:
            raise InvalidArgument(
                "%d elements are no whole vectors of dim %d" % (elements, dim),
                detail="DIM_MISMATCH",
            )
        if elements > 1 and step != self._view.itemsize:
            raise InvalidArgument("the elements of a vector must lie side by side")
        self.single = self.single or elements == dim
        self.rows, self.dim, self.stride = elements // dim, dim, 0

    def _read_rows(self, rows: int, dim: int, stride: int, step: int) -> None:
        if dim > 1 and step != self._view.itemsize:
            raise InvalidArgument("the elements of a vector must lie side by side")
        if rows > 1 and stride < dim * self._view.itemsize:
            raise InvalidArgument("rows overlap or run backwards: pass a copy")
        self.rows, self.dim = rows, dim
        self.stride = stride if rows > 1 else 0

    def release(self) -> None:
        _release_buffer(byref(self._view))

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _numbers(ids: Any) -> "array[Any]":
    """Ids as unsigned 64-bit numbers; OverflowError for negative and for larger ones."""
    if isinstance(ids, array) and ids.typecode == "Q":
        return ids
    try:
        view = memoryview(ids)
    except TypeError:
        return array("Q", ids)
    if view.ndim == 1 and view.itemsize == 8 and _native(view.format) in ("Q", "L"):
        return array("Q", view.tobytes())
    return array("Q", view.tolist())


class Texts:
    """Texts one after the other, with the places where they end; keeps alive what the addresses
    point to."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        offsets = array("q", [0])
        for text in texts:
            offsets.append(offsets[-1] + len(text))
        self.count = len(texts)
        self._keep = (ctypes.create_string_buffer(b"".join(texts)), offsets)
        self.column = _abi.Column(offset_bits=64)
        self.column.data = ctypes.addressof(self._keep[0])
        self.column.offsets = offsets.buffer_info()[0]


class Ids:
    """Ids as the library takes them; keeps alive what the addresses point to."""

    def __init__(self, ids: Any, id_type: str) -> None:
        self._keep: Tuple[Any, ...] = ()
        self.column = _abi.Column()
        self.keys: Optional[int] = None
        if id_type == "u64":
            numbers = _numbers(ids)
            self.count = len(numbers)
            self._numbers(numbers)
        elif id_type == "uuid":
            values = [i.bytes if isinstance(i, uuid.UUID) else bytes(i) for i in ids]
            for i, value in enumerate(values):
                if len(value) != 16:
                    raise InvalidArgument("id %d has %d bytes, not 16" % (i, len(value)), item=i)
            self.count = len(values)
            self._bytes(b"".join(values), 16)
        else:
            texts = Texts([text.encode() for text in ids])
            self.count, self.column, self._keep = texts.count, texts.column, (texts,)

    def _numbers(self, numbers: "array[Any]") -> None:
        address = numbers.buffer_info()[0]
        self._keep = (numbers,)
        self.keys = address
        self.column.data, self.column.width = address, 8

    def _bytes(self, data: bytes, width: int) -> None:
        block = ctypes.create_string_buffer(data)
        self._keep += (block,)
        self.column.data, self.column.width = ctypes.addressof(block), width


def read_ids(column: _abi.Column, count: int) -> List[Any]:
    """The ids of a column that the library has filled; None where a key is absent."""
    if column.offset_bits == 64:
        offsets = (ctypes.c_int64 * (count + 1)).from_address(column.offsets)
        texts = [
            ctypes.string_at(column.data + offsets[i], offsets[i + 1] - offsets[i])
            for i in range(count)
        ]
        return [text.decode() if text else None for text in texts]
    values = [ctypes.string_at(column.data + i * column.width, column.width) for i in range(count)]
    absent = b"\xff" * column.width
    if column.width == 16:
        return [None if value == absent else uuid.UUID(bytes=value) for value in values]
    return [None if value == absent else int.from_bytes(value, sys.byteorder) for value in values]
