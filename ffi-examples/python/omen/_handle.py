"""Handles of the library that any number of threads use, and that are freed once.

SPDX-License-Identifier: Apache-2.0
"""

import threading
from contextlib import contextmanager
from ctypes import c_void_p
from typing import Any, Iterator, TypeVar

from .errors import Error

Self = TypeVar("Self", bound="Handle")


class Handle:
    """Counts its running calls: the last of them frees what was closed meanwhile."""

    _what = "handle"  # in errors

    def _begin(self) -> None:
        """First thing in the making of one."""
        self._lock = threading.Lock()
        self._users = 1  # running calls, and the object itself until it is closed
        self._closed = False
        self._raw = c_void_p()

    def _free(self) -> None:
        """Frees what _raw holds; called once."""
        raise NotImplementedError

    @contextmanager
    def _use(self) -> Iterator[c_void_p]:
        """Holds the handle for a call: after close() the last user frees it."""
        with self._lock:
            if self._closed:
                message = "the %s is closed" % self._what
                raise Error(message, status="FAILED_PRECONDITION", detail="HANDLE")
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
            self._free()

    def close(self) -> None:
        """Frees it as soon as running calls have returned. Closing again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._leave()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_raw"):
            self.close()
