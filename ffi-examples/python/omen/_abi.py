"""The C interface of OmenDB, one for one with omen.h: structs, functions, finding the library.

The header is the reference. Nothing here decides anything; index.py is what programs use.
SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import ctypes.util
import os
from typing import Any
from ctypes import POINTER as P
from ctypes import Structure, c_char, c_char_p, c_double, c_float, c_int32, c_size_t
from ctypes import c_uint32, c_uint64, c_void_p, sizeof

ABI_MAJOR = 0
ABI_MINOR = 4
NONE = 2**64 - 1
MAX_K = 16384
MAX_QUERIES = 65536
MAX_FIELD_NAME = 128
MAX_LEGS = 16

EXACT = 1
PARTIAL_OK = 2
GRAPH_ONLY = 4
HITS_PARTIAL = 1
WAIT_INDEXED = 3
FIELD_ID = 1
FIELD_METADATA = 2
FIELD_VERSION = 4
FIELD_VALUE = 8
FIELD_COUNT = 16
FIELD_STOP_WORDS = 1
FIELD_NO_STEMMING = 2
FIND_MAX_DISTANCE = 16
FIND_MIN_SCORE = 32
LIST_DESCENDING = 1
LIST_AFTER = 2
LEG_VECTOR = 1
LEG_TEXT = 2
LEG_LIKE = 3
ERROR_RETRIABLE = 1
DB_READ_ONLY = 1
DB_MUST_EXIST = 2
DB_RAM = 4
BACKUP_COPY = 1
WAIT_DURABLE = 1

METRICS = {"l2": 1, "ip": 2, "cosine": 3}
DTYPES = {"f32": 1, "f16": 2, "i8": 3, "u8": 4}
ID_TYPES = {"u64": 1, "uuid": 2, "str": 3}
MODES = {"upsert": 1, "insert": 2, "update": 3, "patch": 4}
TYPES = {
    "string": 1,
    "int64": 2,
    "double": 3,
    "bool": 4,
    "time": 5,
    "bytes": 6,
    "geo": 7,
    "text": 8,
    "array": 0x100,
}
FUSIONS = {"rrf": 1, "weighted": 2}
DURABILITY = {"default": 0, "none": 1, "interval": 2, "batch": 3}
STATES = {0: "writable", 1: "read_only", 2: "disk_full", 3: "failed", 4: "damaged"}


class CStruct(Structure):
    """A struct of omen.h. One that begins with struct_size gets it at birth."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        for name, value in fields.items():  # ctypes would cut a number to fit, without a word
            if isinstance(value, int) and (getattr(self, name) or 0) != value:
                raise OverflowError("%s = %d does not fit" % (name, value))
        if self._fields_[0][0] == "struct_size":
            self.struct_size = sizeof(self)


class CError(CStruct):
    """Frozen: 256 bytes, filled by a failing call."""

    _fields_ = [
        ("status", c_int32),
        ("detail", c_int32),
        ("sys_errno", c_int32),
        ("flags", c_uint32),
        ("item", c_uint64),
        ("message", c_char * 232),
    ]


class Column(CStruct):
    """Frozen: values of variable or fixed length, in the Arrow layout."""

    _fields_ = [
        ("data", c_void_p),
        ("offsets", c_void_p),
        ("offset_bits", c_uint32),
        ("width", c_uint32),
    ]


class Field(CStruct):
    """Frozen: a field of the metadata."""

    _fields_ = [
        ("name", c_char * (MAX_FIELD_NAME + 8)),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("weight", c_float),
        ("language", c_char * 28),
    ]


class Param(CStruct):
    """Frozen: values bound to $1, $2, ... of a filter."""

    _fields_ = [
        ("type", c_uint32),
        ("count", c_uint32),
        ("data", c_void_p),
        ("offsets", c_void_p),
    ]


class Allocator(CStruct):
    """Frozen: a sized and aligned allocator."""

    _fields_ = [
        ("alloc", c_void_p),
        ("free", c_void_p),
        ("ctx", c_void_p),
    ]


class RuntimeOptions(CStruct):
    """Options of `omen_runtime_create`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("threads", c_uint32),
        ("log_level", c_int32),
        ("memory_limit", c_uint64),
        ("allocator", Allocator),
        ("log", c_void_p),
        ("log_ctx", c_void_p),
    ]


class DbOptions(CStruct):
    """Options of `omen_db_open`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("runtime", c_void_p),
        ("warm", c_uint32),
        ("interval_ms", c_uint32),
        ("seal_bytes", c_uint64),
        ("seal_rows", c_uint64),
        ("reserve_bytes", c_uint64),
    ]


class DbStats(CStruct):
    """State and figures of a database."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("state", c_uint32),
        ("version", c_uint64),
        ("durable_version", c_uint64),
        ("checkpoint_version", c_uint64),
        ("collections", c_uint64),
        ("segments", c_uint64),
        ("growing_rows", c_uint64),
        ("log_bytes", c_uint64),
        ("segment_bytes", c_uint64),
        ("log_syncs", c_uint64),
        ("log_records", c_uint64),
        ("disk_available", c_uint64),
        ("checkpoints", c_uint64),
        ("seals", c_uint64),
        ("merges", c_uint64),
        ("replayed_records", c_uint64),
        ("replayed_ns", c_uint64),
        ("recovered_rows", c_uint64),
        ("reason", c_char * 160),
        ("log_written_bytes", c_uint64),
        ("log_unsynced_bytes", c_uint64),
        ("log_sync_ns", c_uint64),
        ("log_sync_times", c_uint64 * 17),
    ]


class BackupOptions(CStruct):
    """Options of backups."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("runtime", c_void_p),
        ("previous", c_char_p),
        ("op", c_void_p),
    ]


class BackupResult(CStruct):
    """What a backup, a restoration or a verification has seen."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("version", c_uint64),
        ("files", c_uint64),
        ("bytes", c_uint64),
        ("files_linked", c_uint64),
        ("bytes_copied", c_uint64),
    ]


class Options(CStruct):
    """What a collection is created with."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("dim", c_uint32),
        ("metric", c_uint32),
        ("dtype", c_uint32),
        ("id_type", c_uint32),
        ("m", c_uint32),
        ("ef_construction", c_uint32),
        ("quantization", c_uint32),
        ("rotation", c_uint32),
        ("entry", c_uint32),
        ("durability", c_uint32),
        ("capacity_hint", c_uint64),
        ("max_backlog_rows", c_uint64),
        ("fields", c_void_p),
        ("field_count", c_uint64),
    ]


class OpenOptions(CStruct):
    """Options of `omen_open`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("file", c_char_p),
        ("warm", c_uint32),
        ("reserved", c_uint32),
        ("op", c_void_p),
    ]


class EstimateResult(CStruct):
    """What a collection will take."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("memory_serving", c_uint64),
        ("memory_growing", c_uint64),
        ("disk", c_uint64),
        ("disk_peak", c_uint64),
    ]


class Batch(CStruct):
    """Items to add or to delete."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("count", c_uint64),
        ("vectors", c_void_p),
        ("stride", c_uint64),
        ("dtype", c_uint32),
        ("dim", c_uint32),
        ("keys", c_void_p),
        ("ids", Column),
        ("keys_out", c_void_p),
        ("item_status", c_void_p),
        ("mode", c_uint32),
        ("durability", c_uint32),
        ("stream_id", c_char_p),
        ("stream_id_len", c_size_t),
        ("seq", c_uint64),
        ("stream_epoch", c_uint64),
        ("request_id", c_char_p),
        ("request_id_len", c_size_t),
        ("crc", c_uint32),
        ("reserved", c_uint32),
        ("metadata", Column),
        ("if_version", c_void_p),
    ]


class WriteResult(CStruct):
    """What a write did."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("replayed", c_uint32),
        ("version", c_uint64),
        ("applied", c_uint64),
        ("replaced", c_uint64),
        ("refused", c_uint64),
        ("backlog_rows", c_uint64),
    ]


class WriteProgress(CStruct):
    """How far writes are."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("durable_version", c_uint64),
        ("visible_version", c_uint64),
        ("indexed_version", c_uint64),
        ("backlog_rows", c_uint64),
        ("backlog_limit_rows", c_uint64),
        ("backlog_bytes", c_uint64),
    ]


class Query(CStruct):
    """One or more queries."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("vectors", c_void_p),
        ("stride", c_uint64),
        ("dtype", c_uint32),
        ("dim", c_uint32),
        ("count", c_uint32),
        ("k", c_uint32),
        ("ef", c_uint32),
        ("rerank", c_uint32),
        ("threads", c_uint32),
        ("reserved", c_uint32),
        ("timeout_us", c_uint64),
        ("min_version", c_uint64),
        ("op", c_void_p),
        ("filter", c_void_p),
    ]


class Explain(CStruct):
    """Frozen: what one query cost."""

    _fields_ = [
        ("plan", c_uint32),
        ("ef", c_uint32),
        ("distances", c_uint64),
        ("hops", c_uint64),
        ("scanned", c_uint64),
        ("reranked", c_uint64),
        ("entry_ns", c_uint64),
        ("graph_ns", c_uint64),
        ("scan_ns", c_uint64),
        ("rerank_ns", c_uint64),
    ]


class FilterExplain(CStruct):
    """Frozen: what the filter, the words and the fusion of one query cost."""

    _fields_ = [
        ("estimated", c_double),
        ("selectivity", c_double),
        ("matches", c_uint64),
        ("tests", c_uint64),
        ("filter_ns", c_uint64),
        ("text_ns", c_uint64),
        ("fuse_ns", c_uint64),
        ("postings", c_uint64),
        ("candidates", c_uint64),
    ]


class Hits(CStruct):
    """The caller's result arrays."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("keys", c_void_p),
        ("distances", c_void_p),
        ("counts", c_void_p),
        ("flags", c_void_p),
        ("explain", c_void_p),
        ("version", c_uint64),
        ("filters", c_void_p),
        ("scores", c_void_p),
        ("groups", c_void_p),
    ]


class Leg(CStruct):
    """One part of a search: a vector, words, or items to be like."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("kind", c_uint32),
        ("limit", c_uint32),
        ("vector", c_void_p),
        ("dtype", c_uint32),
        ("dim", c_uint32),
        ("ef", c_uint32),
        ("rerank", c_uint32),
        ("text", c_char_p),
        ("text_len", c_size_t),
        ("field", c_char_p),
        ("keys", c_void_p),
        ("key_count", c_uint64),
        ("weight", c_float),
        ("k1", c_float),
        ("b", c_float),
        ("reserved", c_uint32),
    ]


class Request(CStruct):
    """One search of several legs."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("legs", c_void_p),
        ("leg_count", c_uint32),
        ("k", c_uint32),
        ("offset", c_uint32),
        ("fusion", c_uint32),
        ("rank_constant", c_float),
        ("max_distance", c_float),
        ("min_score", c_float),
        ("group_size", c_uint32),
        ("group_by", c_char_p),
        ("filter", c_void_p),
        ("timeout_us", c_uint64),
        ("min_version", c_uint64),
        ("op", c_void_p),
    ]


class Listing(CStruct):
    """A page of items."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("filter", c_void_p),
        ("order_by", c_char_p),
        ("after", c_uint64),
    ]


class RecallOptions(CStruct):
    """Options of `omen_measure_recall`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("k", c_uint32),
        ("ef", c_uint32),
        ("samples", c_uint32),
        ("reserved", c_uint32),
        ("seed", c_uint64),
        ("vectors", c_void_p),
        ("stride", c_uint64),
        ("dtype", c_uint32),
        ("dim", c_uint32),
    ]


class Recall(CStruct):
    """A measured recall."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("samples", c_uint32),
        ("recall", c_double),
        ("low", c_double),
        ("high", c_double),
        ("distances", c_double),
    ]


class Progress(CStruct):
    """Frozen: how far a call is."""

    _fields_ = [
        ("done", c_uint64),
        ("total", c_uint64),
        ("stage", c_uint32),
        ("reserved", c_uint32),
    ]


class Stats(CStruct):
    """Figures of a collection."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("dim", c_uint32),
        ("count", c_uint64),
        ("deleted", c_uint64),
        ("rows", c_uint64),
        ("indexed_rows", c_uint64),
        ("backlog_rows", c_uint64),
        ("bytes_codes", c_uint64),
        ("bytes_links", c_uint64),
        ("bytes_ids", c_uint64),
        ("bytes_vectors", c_uint64),
        ("bytes_scratch", c_uint64),
        ("bytes_mapped", c_uint64),
        ("bytes_disk", c_uint64),
        ("searches", c_uint64),
        ("distances", c_uint64),
        ("hops", c_uint64),
        ("version", c_uint64),
        ("retrained", c_uint64),
        ("clipped_rows", c_uint64),
        ("rotated", c_uint32),
        ("read_only", c_uint32),
        ("segments", c_uint32),
        ("frozen", c_uint32),
        ("bytes_metadata", c_uint64),
        ("bytes_text", c_uint64),
        ("fields", c_uint64),
        ("text_rows", c_uint64),
    ]


class RuntimeStats(CStruct):
    """Figures of a runtime."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("threads", c_uint32),
        ("memory_limit", c_uint64),
        ("memory_used", c_uint64),
        ("memory_rejections", c_uint64),
    ]


# Short names for the table below.
I32, U32, U64, SIZE, TEXT, PTR = c_int32, c_uint32, c_uint64, c_size_t, c_char_p, c_void_p
OUT, ERR = P(c_void_p), P(CError)

# What every function returns and takes.
FUNCTIONS = {
    "omen_abi_version": (U32, []),
    "omen_format_version": (U32, []),
    "omen_version_string": (TEXT, []),
    "omen_has_feature": (I32, [TEXT]),
    "omen_isa_name": (TEXT, []),
    "omen_status_name": (TEXT, [I32]),
    "omen_detail_name": (TEXT, [I32]),
    "omen_runtime_create": (I32, [P(RuntimeOptions), OUT, ERR]),
    "omen_runtime_free": (None, [PTR]),
    "omen_db_open": (I32, [TEXT, P(DbOptions), OUT, ERR]),
    "omen_db_free": (None, [PTR]),
    "omen_checkpoint": (I32, [PTR, PTR, ERR]),
    "omen_refresh": (I32, [PTR, P(U32), ERR]),
    "omen_get_db_stats": (I32, [PTR, P(DbStats), ERR]),
    "omen_backup": (I32, [PTR, TEXT, P(BackupOptions), P(BackupResult), ERR]),
    "omen_restore": (I32, [TEXT, TEXT, P(BackupOptions), P(BackupResult), ERR]),
    "omen_verify": (I32, [TEXT, P(BackupOptions), P(BackupResult), ERR]),
    "omen_create": (I32, [PTR, TEXT, P(Options), OUT, ERR]),
    "omen_open": (I32, [PTR, TEXT, P(OpenOptions), OUT, ERR]),
    "omen_collection_free": (None, [PTR]),
    "omen_drop": (I32, [PTR, TEXT, ERR]),
    "omen_list": (I32, [PTR, TEXT, PTR, SIZE, P(SIZE), ERR]),
    "omen_describe": (I32, [PTR, P(Options), ERR]),
    "omen_declare_fields": (I32, [PTR, PTR, U64, ERR]),
    "omen_list_fields": (I32, [PTR, PTR, U64, P(U64), ERR]),
    "omen_save": (I32, [PTR, TEXT, PTR, ERR]),
    "omen_optimize": (I32, [PTR, PTR, ERR]),
    "omen_snapshot": (I32, [PTR, OUT, ERR]),
    "omen_estimate": (I32, [P(Options), U64, U32, P(EstimateResult), ERR]),
    "omen_add_batch": (I32, [PTR, P(Batch), P(WriteResult), PTR, ERR]),
    "omen_delete_batch": (I32, [PTR, P(Batch), P(WriteResult), PTR, ERR]),
    "omen_delete_where": (I32, [PTR, PTR, P(Batch), P(WriteResult), PTR, ERR]),
    "omen_stream_open": (I32, [PTR, TEXT, SIZE, PTR, PTR, ERR]),
    "omen_wait": (I32, [PTR, U64, U32, U64, PTR, ERR]),
    "omen_get_progress": (I32, [PTR, P(WriteProgress), ERR]),
    "omen_filter_compile": (I32, [PTR, TEXT, SIZE, PTR, U64, OUT, ERR]),
    "omen_filter_from_keys": (I32, [PTR, PTR, U64, OUT, ERR]),
    "omen_filter_free": (None, [PTR]),
    "omen_count_where": (I32, [PTR, PTR, P(U64), ERR]),
    "omen_facet": (I32, [PTR, PTR, TEXT, U32, OUT, ERR]),
    "omen_plan_name": (TEXT, [U32]),
    "omen_search": (I32, [PTR, P(Query), P(Hits), ERR]),
    "omen_find": (I32, [PTR, P(Request), P(Hits), ERR]),
    "omen_search_f32": (I32, [PTR, PTR, U32, U32, U32, PTR, PTR, ERR]),
    "omen_lookup": (I32, [PTR, P(Column), U64, PTR, ERR]),
    "omen_get_vectors": (I32, [PTR, PTR, U64, PTR, U64, U32, PTR, ERR]),
    "omen_fetch": (I32, [PTR, PTR, U64, U32, OUT, ERR]),
    "omen_fetch_fields": (I32, [PTR, PTR, U64, U32, PTR, U64, OUT, ERR]),
    "omen_rows_column": (None, [PTR, U32, P(Column)]),
    "omen_rows_count": (U64, [PTR]),
    "omen_rows_free": (None, [PTR]),
    "omen_count": (I32, [PTR, PTR, ERR]),
    "omen_scan": (I32, [PTR, P(U64), PTR, U64, P(U64), ERR]),
    "omen_list_items": (I32, [PTR, P(Listing), PTR, U64, P(U64), ERR]),
    "omen_measure_recall": (I32, [PTR, P(RecallOptions), P(Recall), PTR, ERR]),
    "omen_op_create": (I32, [OUT, ERR]),
    "omen_op_free": (None, [PTR]),
    "omen_op_reset": (None, [PTR]),
    "omen_op_cancel": (None, [PTR]),
    "omen_op_progress": (None, [PTR, P(Progress)]),
    "omen_get_stats": (I32, [PTR, P(Stats), ERR]),
    "omen_get_runtime_stats": (I32, [PTR, P(RuntimeStats), ERR]),
}


def _find() -> str:
    """OMENDB_LIBRARY where set, else what the dynamic linker finds."""
    return (
        os.environ.get("OMENDB_LIBRARY")
        or ctypes.util.find_library("omendb")
        or ("libomendb.so.%d" % ABI_MAJOR)
    )


def _load() -> ctypes.CDLL:
    """Loads the library and declares its functions. CDLL lets go of the GIL in every call."""
    path = _find()
    try:
        library = ctypes.CDLL(path)
    except OSError as cause:
        raise ImportError(
            "libomendb was not found (%s). Install it, or set OMENDB_LIBRARY to the path of "
            "libomendb.so." % cause
        ) from cause
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    version = library.omen_abi_version()
    if version >> 16 != ABI_MAJOR or version & 0xFFFF < ABI_MINOR:
        raise ImportError(
            "%s has ABI %d.%d; this package needs %d.%d or a later minor"
            % (path, version >> 16, version & 0xFFFF, ABI_MAJOR, ABI_MINOR)
        )
    return library


lib = _load()
