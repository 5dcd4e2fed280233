"""Errors of the library as exceptions.

SPDX-License-Identifier: Apache-2.0
"""

from ctypes import byref
from typing import Callable, Dict, Optional, Type

from . import _abi


class Error(Exception):
    """A failed call.

    status    the kind of failure: a canonical gRPC code, such as "NOT_FOUND"
    detail    the reason, for programs, such as "DIM_MISMATCH"
    item      position in the batch of the item that is to blame, or None
    os_error  errno of the system call that failed, or 0
    retriable whether the same call may succeed if tried again
    """

    status = "UNKNOWN"

    def __init__(
        self,
        message: str,
        status: Optional[str] = None,
        detail: str = "NONE",
        item: Optional[int] = None,
        os_error: int = 0,
        retriable: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status or self.status
        self.detail = detail
        self.item = item
        self.os_error = os_error
        self.retriable = retriable

    def __str__(self) -> str:
        return "%s: %s" % (self.status, self.args[0])


class InvalidArgument(Error, ValueError):
    """The arguments are wrong, whatever the state is."""

    status = "INVALID_ARGUMENT"


class NotFound(Error, LookupError):
    """There is no such thing."""

    status = "NOT_FOUND"


class AlreadyExists(Error):
    """It is there already."""

    status = "ALREADY_EXISTS"


class Cancelled(Error):
    """The call was cancelled through its Op."""

    status = "CANCELLED"


class DeadlineExceeded(Error, TimeoutError):
    """Time ran out."""

    status = "DEADLINE_EXCEEDED"


class DataLoss(Error):
    """Stored bytes are damaged."""

    status = "DATA_LOSS"


_BY_STATUS: Dict[str, Type[Error]] = {
    kind.status: kind
    for kind in (InvalidArgument, NotFound, AlreadyExists, Cancelled, DeadlineExceeded, DataLoss)
}


def check(call: Callable[..., int], *args: object) -> None:
    """Calls a function of the library with room for an error; raises what it says."""
    err = _abi.CError()
    status = call(*args, byref(err))
    if status == 0:
        return
    name = _abi.lib.omen_status_name(status).decode()
    raise _BY_STATUS.get(name, Error)(
        err.message.decode("utf-8", "replace"),
        status=name,
        detail=_abi.lib.omen_detail_name(err.detail).decode(),
        item=None if err.item == _abi.NONE else err.item,
        os_error=err.sys_errno,
        retriable=bool(err.flags & _abi.ERROR_RETRIABLE),
    )
