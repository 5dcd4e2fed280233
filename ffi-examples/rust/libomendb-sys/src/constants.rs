//! Every constant of `omen.h`. A test compares them with the header.
// SPDX-License-Identifier: Apache-2.0
use crate::omen_status_t;

pub const OMEN_ABI_MAJOR: u32 = 0;
pub const OMEN_ABI_MINOR: u32 = 4;
pub const OMEN_MAX_DIM: u32 = 65535;
pub const OMEN_MAX_K: u32 = 16384;
pub const OMEN_MAX_EF: u32 = 16384;
pub const OMEN_MAX_QUERIES: u32 = 65536;
pub const OMEN_MAX_BATCH_BYTES: u32 = 1_073_741_824;
pub const OMEN_MAX_BATCH_ITEMS: u32 = 16_777_216;
pub const OMEN_MAX_STRING_ID: u32 = 512;
pub const OMEN_MAX_NAME: u32 = 63;
pub const OMEN_MAX_STREAM_ID: u32 = 128;
pub const OMEN_MAX_REQUEST_ID: u32 = 128;
pub const OMEN_MAX_M: u32 = 64;
pub const OMEN_MAX_ROWS: u32 = 2_147_483_646;
pub const OMEN_MAX_METADATA: u32 = 1_048_576;
pub const OMEN_MAX_FIELDS: u32 = 1024;
pub const OMEN_MAX_FIELD_NAME: u32 = 128;
pub const OMEN_MAX_ARRAY: u32 = 65536;
pub const OMEN_MAX_FILTER: u32 = 65536;
pub const OMEN_MAX_FILTER_DEPTH: u32 = 64;
pub const OMEN_MAX_FILTER_TERMS: u32 = 1024;
pub const OMEN_MAX_PARAMS: u32 = 1024;
pub const OMEN_MAX_LEGS: u32 = 16;
pub const OMEN_MAX_TEXT_QUERY: u32 = 65536;
pub const OMEN_MAX_LIKE: u32 = 1024;
pub const OMEN_SYNC_TIMES: u32 = 17;
pub const OMEN_NONE: u64 = u64::MAX;

pub const OMEN_OK: omen_status_t = 0;
pub const OMEN_CANCELLED: omen_status_t = 1;
pub const OMEN_INVALID_ARGUMENT: omen_status_t = 3;
pub const OMEN_DEADLINE_EXCEEDED: omen_status_t = 4;
pub const OMEN_NOT_FOUND: omen_status_t = 5;
pub const OMEN_ALREADY_EXISTS: omen_status_t = 6;
pub const OMEN_RESOURCE_EXHAUSTED: omen_status_t = 8;
pub const OMEN_FAILED_PRECONDITION: omen_status_t = 9;
pub const OMEN_ABORTED: omen_status_t = 10;
pub const OMEN_OUT_OF_RANGE: omen_status_t = 11;
pub const OMEN_UNIMPLEMENTED: omen_status_t = 12;
pub const OMEN_INTERNAL: omen_status_t = 13;
pub const OMEN_UNAVAILABLE: omen_status_t = 14;
pub const OMEN_DATA_LOSS: omen_status_t = 15;

pub const OMEN_D_NONE: i32 = 0;
pub const OMEN_D_NO_MEMORY: i32 = 1;
pub const OMEN_D_DIM_MISMATCH: i32 = 2;
pub const OMEN_D_NOT_FINITE: i32 = 3;
pub const OMEN_D_IO: i32 = 4;
pub const OMEN_D_CHECKSUM: i32 = 5;
pub const OMEN_D_FORMAT_VERSION: i32 = 6;
pub const OMEN_D_LOCKED: i32 = 7;
pub const OMEN_D_FORKED: i32 = 8;
pub const OMEN_D_FILTER_SYNTAX: i32 = 9;
pub const OMEN_D_STRUCT_SIZE: i32 = 10;
pub const OMEN_D_BUDGET: i32 = 11;
pub const OMEN_D_DISK_FULL: i32 = 12;
pub const OMEN_D_RATE: i32 = 13;
pub const OMEN_D_VERSION_CONFLICT: i32 = 14;
pub const OMEN_D_READ_ONLY: i32 = 15;
pub const OMEN_D_OUTCOME_UNKNOWN: i32 = 16;
pub const OMEN_D_LIMIT: i32 = 17;
pub const OMEN_D_NAME: i32 = 18;
pub const OMEN_D_SEQUENCE: i32 = 19;
pub const OMEN_D_BACKLOG: i32 = 20;
pub const OMEN_D_HANDLE: i32 = 21;
pub const OMEN_D_TYPE: i32 = 22;
pub const OMEN_D_METADATA: i32 = 23;
pub const OMEN_D_FIELD: i32 = 24;

pub const OMEN_ERROR_RETRIABLE: u32 = 1;

pub const OMEN_TYPE_STRING: u32 = 1;
pub const OMEN_TYPE_INT64: u32 = 2;
pub const OMEN_TYPE_DOUBLE: u32 = 3;
pub const OMEN_TYPE_BOOL: u32 = 4;
pub const OMEN_TYPE_TIME: u32 = 5;
pub const OMEN_TYPE_BYTES: u32 = 6;
pub const OMEN_TYPE_GEO: u32 = 7;
pub const OMEN_TYPE_TEXT: u32 = 8;
pub const OMEN_TYPE_ARRAY: u32 = 0x100;

pub const OMEN_FIELD_STOP_WORDS: u32 = 1;
pub const OMEN_FIELD_NO_STEMMING: u32 = 2;

pub const OMEN_LOG_OFF: i32 = 0;
pub const OMEN_LOG_ERROR: i32 = 1;
pub const OMEN_LOG_WARN: i32 = 2;
pub const OMEN_LOG_INFO: i32 = 3;
pub const OMEN_LOG_DEBUG: i32 = 4;

pub const OMEN_DURABILITY_DEFAULT: u32 = 0;
pub const OMEN_DURABILITY_NONE: u32 = 1;
pub const OMEN_DURABILITY_INTERVAL: u32 = 2;
pub const OMEN_DURABILITY_BATCH: u32 = 3;

pub const OMEN_L2: u32 = 1;
pub const OMEN_IP: u32 = 2;
pub const OMEN_COSINE: u32 = 3;
pub const OMEN_HAMMING: u32 = 4;

pub const OMEN_F32: u32 = 1;
pub const OMEN_F16: u32 = 2;
pub const OMEN_I8: u32 = 3;
pub const OMEN_U8: u32 = 4;
pub const OMEN_BF16: u32 = 5;
pub const OMEN_B1: u32 = 6;

pub const OMEN_ID_U64: u32 = 1;
pub const OMEN_ID_UUID: u32 = 2;
pub const OMEN_ID_STRING: u32 = 3;

pub const OMEN_QUANT_SQ8: u32 = 1;
pub const OMEN_QUANT_NONE: u32 = 2;

pub const OMEN_ROTATE_AUTO: u32 = 0;
pub const OMEN_ROTATE_OFF: u32 = 1;
pub const OMEN_ROTATE_ON: u32 = 2;

pub const OMEN_ENTRY_AUTO: u32 = 0;
pub const OMEN_ENTRY_SEEDS: u32 = 1;
pub const OMEN_ENTRY_HIERARCHY: u32 = 2;

pub const OMEN_WARM_CODES: u32 = 0;
pub const OMEN_WARM_NONE: u32 = 1;
pub const OMEN_WARM_ALL: u32 = 2;

pub const OMEN_DB_READ_ONLY: u32 = 1;
pub const OMEN_DB_MUST_EXIST: u32 = 2;
pub const OMEN_DB_RAM: u32 = 4;

pub const OMEN_DB_WRITABLE: u32 = 0;
pub const OMEN_DB_OPENED_READ_ONLY: u32 = 1;
pub const OMEN_DB_DISK_FULL: u32 = 2;
pub const OMEN_DB_FAILED: u32 = 3;
pub const OMEN_DB_DAMAGED: u32 = 4;

pub const OMEN_BACKUP_COPY: u32 = 1;

pub const OMEN_OPEN_VERIFY: u32 = 1;

pub const OMEN_UPSERT: u32 = 1;
pub const OMEN_INSERT: u32 = 2;
pub const OMEN_UPDATE: u32 = 3;
pub const OMEN_PATCH: u32 = 4;

pub const OMEN_NOWAIT: u32 = 1;
pub const OMEN_PER_ITEM: u32 = 2;
pub const OMEN_NO_THROTTLE: u32 = 4;

pub const OMEN_WAIT_DURABLE: u32 = 1;
pub const OMEN_WAIT_VISIBLE: u32 = 2;
pub const OMEN_WAIT_INDEXED: u32 = 3;

pub const OMEN_EXACT: u32 = 1;
pub const OMEN_PARTIAL_OK: u32 = 2;
pub const OMEN_GRAPH_ONLY: u32 = 4;

pub const OMEN_HITS_PARTIAL: u32 = 1;

pub const OMEN_PLAN_EXACT: u32 = 1;
pub const OMEN_PLAN_GRAPH: u32 = 2;
pub const OMEN_PLAN_EMPTY: u32 = 3;
pub const OMEN_PLAN_FILTER_IN: u32 = 4;
pub const OMEN_PLAN_FILTER_HOP: u32 = 5;
pub const OMEN_PLAN_FILTER_BRIDGE: u32 = 6;
pub const OMEN_PLAN_ABANDONED: u32 = 7;
pub const OMEN_PLAN_TEXT: u32 = 8;
pub const OMEN_PLAN_HYBRID: u32 = 9;

pub const OMEN_LEG_VECTOR: u32 = 1;
pub const OMEN_LEG_TEXT: u32 = 2;
pub const OMEN_LEG_LIKE: u32 = 3;

pub const OMEN_FUSE_RRF: u32 = 1;
pub const OMEN_FUSE_WEIGHTED: u32 = 2;

pub const OMEN_FIND_MAX_DISTANCE: u32 = 16;
pub const OMEN_FIND_MIN_SCORE: u32 = 32;

pub const OMEN_FIELD_ID: u32 = 1;
pub const OMEN_FIELD_METADATA: u32 = 2;
pub const OMEN_FIELD_VERSION: u32 = 4;
pub const OMEN_FIELD_VALUE: u32 = 8;
pub const OMEN_FIELD_COUNT: u32 = 16;

pub const OMEN_LIST_DESCENDING: u32 = 1;
pub const OMEN_LIST_AFTER: u32 = 2;
