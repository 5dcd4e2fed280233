//! Every type of `omen.h`. A test compares the layouts with those of a C compiler.
// SPDX-License-Identifier: Apache-2.0
use crate::constants::OMEN_SYNC_TIMES;
use crate::{c_char, omen_log_fn, omen_status_t};
use std::ffi::c_void;
use std::marker::{PhantomData, PhantomPinned};

/// Declares types that only the library can make or look into.
macro_rules! opaque {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name {
            _data: [u8; 0],
            _marker: PhantomData<(*mut u8, PhantomPinned)>,
        }
    )*};
}

opaque! {
    /// Threads, memory budget, allocator, log.
    omen_runtime;
    /// A set of named collections.
    omen_db;
    /// One index with its ids.
    omen_collection;
    /// Fetched ids, metadata and versions, or the values of a facet.
    omen_rows;
    /// Watches and cancels one running call.
    omen_op;
    /// A compiled condition on the items of a collection.
    omen_filter;
}

/// Frozen: 256 bytes, filled by a failing call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_error {
    pub status: omen_status_t,
    pub detail: i32,
    pub sys_errno: i32,
    pub flags: u32,
    pub item: u64,
    pub message: [c_char; 232],
}

/// Frozen: values of variable or fixed length, in the Arrow layout.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_column {
    pub data: *const c_void,
    pub offsets: *const c_void,
    pub offset_bits: u32,
    pub width: u32,
}

/// Frozen: a field of the metadata.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_field {
    pub name: [c_char; 136],
    pub type_: u32,
    pub flags: u32,
    pub weight: f32,
    pub language: [c_char; 28],
}

/// Frozen: values bound to `$1`, `$2`, ... of a filter.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_param {
    pub type_: u32,
    pub count: u32,
    pub data: *const c_void,
    pub offsets: *const u64,
}

/// Frozen: a sized and aligned allocator.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_allocator {
    pub alloc:
        Option<unsafe extern "C" fn(ctx: *mut c_void, size: usize, align: usize) -> *mut c_void>,
    pub free:
        Option<unsafe extern "C" fn(ctx: *mut c_void, ptr: *mut c_void, size: usize, align: usize)>,
    pub ctx: *mut c_void,
}

/// Options of `omen_runtime_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_runtime_options {
    pub struct_size: u32,
    pub flags: u32,
    pub threads: u32,
    pub log_level: i32,
    pub memory_limit: u64,
    pub allocator: omen_allocator,
    pub log: omen_log_fn,
    pub log_ctx: *mut c_void,
}

/// Options of `omen_db_open`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_db_options {
    pub struct_size: u32,
    pub flags: u32,
    pub runtime: *mut omen_runtime,
    pub warm: u32,
    pub interval_ms: u32,
    pub seal_bytes: u64,
    pub seal_rows: u64,
    pub reserve_bytes: u64,
}

/// State and figures of a database.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_db_stats {
    pub struct_size: u32,
    pub state: u32,
    pub version: u64,
    pub durable_version: u64,
    pub checkpoint_version: u64,
    pub collections: u64,
    pub segments: u64,
    pub growing_rows: u64,
    pub log_bytes: u64,
    pub segment_bytes: u64,
    pub log_syncs: u64,
    pub log_records: u64,
    pub disk_available: u64,
    pub checkpoints: u64,
    pub seals: u64,
    pub merges: u64,
    pub replayed_records: u64,
    pub replayed_ns: u64,
    pub recovered_rows: u64,
    pub reason: [c_char; 160],
    pub log_written_bytes: u64,
    pub log_unsynced_bytes: u64,
    pub log_sync_ns: u64,
    pub log_sync_times: [u64; OMEN_SYNC_TIMES as usize],
}

/// Options of backups.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_backup_options {
    pub struct_size: u32,
    pub flags: u32,
    pub runtime: *mut omen_runtime,
    pub previous: *const c_char,
    pub op: *mut omen_op,
}

/// What a backup, a restoration or a verification has seen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_backup_result {
    pub struct_size: u32,
    pub reserved: u32,
    pub version: u64,
    pub files: u64,
    pub bytes: u64,
    pub files_linked: u64,
    pub bytes_copied: u64,
}

/// What a collection is created with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_options {
    pub struct_size: u32,
    pub flags: u32,
    pub dim: u32,
    pub metric: u32,
    pub dtype: u32,
    pub id_type: u32,
    pub m: u32,
    pub ef_construction: u32,
    pub quantization: u32,
    pub rotation: u32,
    pub entry: u32,
    pub durability: u32,
    pub capacity_hint: u64,
    pub max_backlog_rows: u64,
    pub fields: *const omen_field,
    pub field_count: u64,
}

/// Options of `omen_open`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_open_options {
    pub struct_size: u32,
    pub flags: u32,
    pub file: *const c_char,
    pub warm: u32,
    pub reserved: u32,
    pub op: *mut omen_op,
}

/// What a collection will take.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_estimate_result {
    pub struct_size: u32,
    pub reserved: u32,
    pub memory_serving: u64,
    pub memory_growing: u64,
    pub disk: u64,
    pub disk_peak: u64,
}

/// Items to add or to delete.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_batch {
    pub struct_size: u32,
    pub flags: u32,
    pub count: u64,
    pub vectors: *const c_void,
    pub stride: u64,
    pub dtype: u32,
    pub dim: u32,
    pub keys: *const u64,
    pub ids: omen_column,
    pub keys_out: *mut u64,
    pub item_status: *mut i32,
    pub mode: u32,
    pub durability: u32,
    pub stream_id: *const c_char,
    pub stream_id_len: usize,
    pub seq: u64,
    pub stream_epoch: u64,
    pub request_id: *const c_char,
    pub request_id_len: usize,
    pub crc: u32,
    pub reserved: u32,
    pub metadata: omen_column,
    pub if_version: *const u64,
}

/// What a write did.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_write_result {
    pub struct_size: u32,
    pub replayed: u32,
    pub version: u64,
    pub applied: u64,
    pub replaced: u64,
    pub refused: u64,
    pub backlog_rows: u64,
}

/// How far writes are.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_write_progress {
    pub struct_size: u32,
    pub reserved: u32,
    pub durable_version: u64,
    pub visible_version: u64,
    pub indexed_version: u64,
    pub backlog_rows: u64,
    pub backlog_limit_rows: u64,
    pub backlog_bytes: u64,
}

/// One or more queries.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_query {
    pub struct_size: u32,
    pub flags: u32,
    pub vectors: *const c_void,
    pub stride: u64,
    pub dtype: u32,
    pub dim: u32,
    pub count: u32,
    pub k: u32,
    pub ef: u32,
    pub rerank: u32,
    pub threads: u32,
    pub reserved: u32,
    pub timeout_us: u64,
    pub min_version: u64,
    pub op: *mut omen_op,
    pub filter: *const omen_filter,
}

/// Frozen: what one query cost.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_explain {
    pub plan: u32,
    pub ef: u32,
    pub distances: u64,
    pub hops: u64,
    pub scanned: u64,
    pub reranked: u64,
    pub entry_ns: u64,
    pub graph_ns: u64,
    pub scan_ns: u64,
    pub rerank_ns: u64,
}

/// Frozen: what the filter, the words and the fusion of one query cost.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_filter_explain {
    pub estimated: f64,
    pub selectivity: f64,
    pub matches: u64,
    pub tests: u64,
    pub filter_ns: u64,
    pub text_ns: u64,
    pub fuse_ns: u64,
    pub postings: u64,
    pub candidates: u64,
}

/// The caller's result arrays.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_hits {
    pub struct_size: u32,
    pub reserved: u32,
    pub keys: *mut u64,
    pub distances: *mut f32,
    pub counts: *mut u32,
    pub flags: *mut u32,
    pub explain: *mut omen_explain,
    pub version: u64,
    pub filters: *mut omen_filter_explain,
    pub scores: *mut f32,
    pub groups: *mut u32,
}

/// One part of a search: a vector, words, or items to be like.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_leg {
    pub struct_size: u32,
    pub flags: u32,
    pub kind: u32,
    pub limit: u32,
    pub vector: *const c_void,
    pub dtype: u32,
    pub dim: u32,
    pub ef: u32,
    pub rerank: u32,
    pub text: *const c_char,
    pub text_len: usize,
    pub field: *const c_char,
    pub keys: *const u64,
    pub key_count: u64,
    pub weight: f32,
    pub k1: f32,
    pub b: f32,
    pub reserved: u32,
}

/// One search of several legs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_request {
    pub struct_size: u32,
    pub flags: u32,
    pub legs: *const omen_leg,
    pub leg_count: u32,
    pub k: u32,
    pub offset: u32,
    pub fusion: u32,
    pub rank_constant: f32,
    pub max_distance: f32,
    pub min_score: f32,
    pub group_size: u32,
    pub group_by: *const c_char,
    pub filter: *const omen_filter,
    pub timeout_us: u64,
    pub min_version: u64,
    pub op: *mut omen_op,
}

/// A page of items.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_listing {
    pub struct_size: u32,
    pub flags: u32,
    pub filter: *const omen_filter,
    pub order_by: *const c_char,
    pub after: u64,
}

/// Options of `omen_measure_recall`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_recall_options {
    pub struct_size: u32,
    pub flags: u32,
    pub k: u32,
    pub ef: u32,
    pub samples: u32,
    pub reserved: u32,
    pub seed: u64,
    pub vectors: *const c_void,
    pub stride: u64,
    pub dtype: u32,
    pub dim: u32,
}

/// A measured recall.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_recall {
    pub struct_size: u32,
    pub samples: u32,
    pub recall: f64,
    pub low: f64,
    pub high: f64,
    pub distances: f64,
}

/// Frozen: how far a call is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_progress {
    pub done: u64,
    pub total: u64,
    pub stage: u32,
    pub reserved: u32,
}

/// Figures of a collection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_stats {
    pub struct_size: u32,
    pub dim: u32,
    pub count: u64,
    pub deleted: u64,
    pub rows: u64,
    pub indexed_rows: u64,
    pub backlog_rows: u64,
    pub bytes_codes: u64,
    pub bytes_links: u64,
    pub bytes_ids: u64,
    pub bytes_vectors: u64,
    pub bytes_scratch: u64,
    pub bytes_mapped: u64,
    pub bytes_disk: u64,
    pub searches: u64,
    pub distances: u64,
    pub hops: u64,
    pub version: u64,
    pub retrained: u64,
    pub clipped_rows: u64,
    pub rotated: u32,
    pub read_only: u32,
    pub segments: u32,
    pub frozen: u32,
    pub bytes_metadata: u64,
    pub bytes_text: u64,
    pub fields: u64,
    pub text_rows: u64,
}

/// Figures of a runtime.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct omen_runtime_stats {
    pub struct_size: u32,
    pub threads: u32,
    pub memory_limit: u64,
    pub memory_used: u64,
    pub memory_rejections: u64,
}
