"""Databases: named indexes in memory or in a folder, their checkpoints and backups.

SPDX-License-Identifier: Apache-2.0
"""

import os
from ctypes import byref, c_char, c_size_t, c_uint32, c_void_p
from typing import Any, Dict, List, NamedTuple, Optional, Union

from . import _abi
from ._handle import Handle
from .errors import InvalidArgument, check
from .index import Index, _options, _path
from .reading import choice
from .results import Op, raw_op

Path = Union[str, "os.PathLike[str]"]
_NAME_BYTES = 64


class BackupResult(NamedTuple):
    """What a backup, a restoration or a verification has seen."""

    version: int  # everything durable up to it is in the backup
    files: int
    bytes: int
    files_linked: int  # of these
    bytes_copied: int


class Estimate(NamedTuple):
    """What an index will take, in bytes."""

    memory_serving: int  # codes, links and ids, in memory or page cache
    memory_growing: int  # at most beside it while rows come in and segments merge
    disk: int  # once merged
    disk_peak: int  # at most while merging


def _backup(call: Any, *arguments: Any, previous: Optional[Path] = None, copy: bool = False,
            op: Optional[Op] = None) -> BackupResult:
    options = _abi.BackupOptions(
        flags=_abi.BACKUP_COPY if copy else 0,
        previous=None if previous is None else _path(previous),
        op=raw_op(op),
    )
    result = _abi.BackupResult()
    check(call, *arguments, byref(options), byref(result))
    return BackupResult(*(getattr(result, name) for name in BackupResult._fields))


def restore(source: Path, to: Path, *, op: Optional[Op] = None) -> BackupResult:
    """Checks a backup and copies it into a new folder, which Database(to) opens."""
    return _backup(_abi.lib.omen_restore, _path(source), _path(to), op=op)


def verify(path: Path, *, op: Optional[Op] = None) -> BackupResult:
    """Reads every byte of a backup, or of a database not open for writing, and checks it."""
    return _backup(_abi.lib.omen_verify, _path(path), op=op)


def estimate(rows: int, dim: int, *, id_bytes: int = 16, **options: Any) -> Estimate:
    """What so many items will take; options as for Database.create."""
    out = _abi.EstimateResult()
    wanted = _options(dim, **options)
    check(_abi.lib.omen_estimate, byref(wanted), rows, id_bytes, byref(out))
    return Estimate(*(getattr(out, name) for name in Estimate._fields))


class Database(Handle):
    """Named indexes. Any number of threads may use one at once.

    path       a folder, made when it is missing: what was acknowledged is there again after any end of
               the process. None: in memory
    read_only  beside the one process that writes, as the database is now; see refresh()
    must_exist  NotFound instead of an empty database when there is none
    ram        copy segments into memory instead of serving them from mapped files
    """

    _what = "database"

    def __init__(
        self,
        path: Optional[Path] = None,
        *,
        threads: int = 0,
        memory_limit: int = 0,
        read_only: bool = False,
        must_exist: bool = False,
        ram: bool = False,
        interval_ms: int = 0,
        seal_rows: int = 0,
    ) -> None:
        self._begin()
        runtime = c_void_p()
        runtime_options = _abi.RuntimeOptions(threads=threads, memory_limit=memory_limit)
        check(_abi.lib.omen_runtime_create, byref(runtime_options), byref(runtime))
        try:
            options = _abi.DbOptions(
                flags=(_abi.DB_READ_ONLY if read_only else 0)
                | (_abi.DB_MUST_EXIST if must_exist else 0)
                | (_abi.DB_RAM if ram else 0),
                runtime=runtime,
                interval_ms=interval_ms,
                seal_rows=seal_rows,
            )
            name = None if path is None else _path(path)
            check(_abi.lib.omen_db_open, name, byref(options), byref(self._raw))
        finally:
            _abi.lib.omen_runtime_free(runtime)  # the database keeps what it needs alive

    def _free(self) -> None:
        _abi.lib.omen_db_free(self._raw)

    def close(self) -> None:
        """Frees the database once running calls have returned and its indexes are closed; then
        everything is durable and the folder is free for others. Closing again does nothing."""
        super().close()

    def create(
        self,
        name: str,
        dim: int,
        metric: str = "l2",
        dtype: str = "f32",
        ids: str = "u64",
        *,
        durability: str = "default",
        **options: Any,
    ) -> Index:
        """An empty index. durability: "batch" (synced before a write returns, the default),
        "interval" or "none"; the other options are those of Index."""
        wanted = _options(dim, metric, dtype, ids, **options)
        wanted.durability = choice("durability", _abi.DURABILITY, durability)
        raw = c_void_p()
        with self._use() as db:
            check(_abi.lib.omen_create, db, _name(name), byref(wanted), byref(raw))
        return Index._of(raw)

    def open(self, name: str) -> Index:
        """An index that is there."""
        raw = c_void_p()
        with self._use() as db:
            check(_abi.lib.omen_open, db, _name(name), None, byref(raw))
        return Index._of(raw)

    def drop(self, name: str) -> None:
        """Removes an index; its memory goes with the last handle."""
        with self._use() as db:
            check(_abi.lib.omen_drop, db, _name(name))

    def names(self) -> List[str]:
        """The names of all indexes, ascending."""
        page = (c_char * (_NAME_BYTES * 64))()
        found: List[str] = []
        while True:
            count = c_size_t()
            after = found[-1].encode() if found else None
            with self._use() as db:
                check(_abi.lib.omen_list, db, after, page, 64, byref(count))
            for i in range(count.value):
                text = page.raw[i * _NAME_BYTES : (i + 1) * _NAME_BYTES]
                found.append(text.split(b"\0", 1)[0].decode())
            if count.value < 64:
                return found

    def checkpoint(self, *, op: Optional[Op] = None) -> None:
        """Writes everything so far into segment files and trims the log. Writers go on."""
        with self._use() as db:
            check(_abi.lib.omen_checkpoint, db, raw_op(op))

    def refresh(self) -> bool:
        """Opened for reading: moves on to what the writer has made durable since; True if there was
        something."""
        changed = c_uint32()
        with self._use() as db:
            check(_abi.lib.omen_refresh, db, byref(changed))
        return bool(changed.value)

    def stats(self) -> Dict[str, Any]:
        """State and figures, named as in omen.h; state as a word."""
        out = _abi.DbStats()
        with self._use() as db:
            check(_abi.lib.omen_get_db_stats, db, byref(out))
        figures = {field[0]: getattr(out, field[0]) for field in out._fields_[1:]}
        figures["state"] = _abi.STATES.get(out.state, "unknown")
        figures["reason"] = out.reason.decode(errors="replace")
        return figures

    def backup(
        self,
        path: Path,
        *,
        previous: Optional[Path] = None,
        copy: bool = False,
        op: Optional[Op] = None,
    ) -> BackupResult:
        """A consistent copy in a new folder while writes go on. Files that previous (an older backup)
        has are linked from it."""
        with self._use() as db:
            call = _abi.lib.omen_backup
            return _backup(call, db, _path(path), previous=previous, copy=copy, op=op)


def _name(name: str) -> bytes:
    if "\0" in name:
        raise InvalidArgument("the name contains a NUL", detail="NAME")
    return name.encode()
