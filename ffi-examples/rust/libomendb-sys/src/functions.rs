//! Every function of `omen.h`, in its order. A test looks for missing ones.
// SPDX-License-Identifier: Apache-2.0
use crate::*;
use std::ffi::c_void;

extern "C" {
    pub fn omen_abi_version() -> u32;
    pub fn omen_format_version() -> u32;
    pub fn omen_version_string() -> *const c_char;
    pub fn omen_has_feature(name: *const c_char) -> i32;
    pub fn omen_isa_name() -> *const c_char;
    pub fn omen_status_name(status: omen_status_t) -> *const c_char;
    pub fn omen_detail_name(detail: i32) -> *const c_char;
    pub fn omen_runtime_create(
        opt: *const omen_runtime_options,
        out: *mut *mut omen_runtime,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_runtime_free(rt: *mut omen_runtime);
    pub fn omen_db_open(
        path: *const c_char,
        opt: *const omen_db_options,
        out: *mut *mut omen_db,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_db_free(db: *mut omen_db);
    pub fn omen_checkpoint(
        db: *mut omen_db,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_refresh(
        db: *mut omen_db,
        changed: *mut u32,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_get_db_stats(
        db: *mut omen_db,
        out: *mut omen_db_stats,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_backup(
        db: *mut omen_db,
        path: *const c_char,
        opt: *const omen_backup_options,
        out: *mut omen_backup_result,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_restore(
        from: *const c_char,
        to: *const c_char,
        opt: *const omen_backup_options,
        out: *mut omen_backup_result,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_verify(
        path: *const c_char,
        opt: *const omen_backup_options,
        out: *mut omen_backup_result,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_create(
        db: *mut omen_db,
        name: *const c_char,
        opt: *const omen_options,
        out: *mut *mut omen_collection,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_open(
        db: *mut omen_db,
        name: *const c_char,
        opt: *const omen_open_options,
        out: *mut *mut omen_collection,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_collection_free(c: *mut omen_collection);
    pub fn omen_drop(db: *mut omen_db, name: *const c_char, err: *mut omen_error) -> omen_status_t;
    pub fn omen_list(
        db: *mut omen_db,
        after: *const c_char,
        names: *mut c_char,
        capacity: usize,
        count: *mut usize,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_describe(
        c: *mut omen_collection,
        out: *mut omen_options,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_declare_fields(
        c: *mut omen_collection,
        fields: *const omen_field,
        count: u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_list_fields(
        c: *mut omen_collection,
        fields: *mut omen_field,
        capacity: u64,
        count: *mut u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_save(
        c: *mut omen_collection,
        path: *const c_char,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_optimize(
        c: *mut omen_collection,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_snapshot(
        c: *mut omen_collection,
        out: *mut *mut omen_collection,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_estimate(
        opt: *const omen_options,
        rows: u64,
        id_bytes: u32,
        out: *mut omen_estimate_result,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_add_batch(
        c: *mut omen_collection,
        batch: *const omen_batch,
        result: *mut omen_write_result,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_delete_batch(
        c: *mut omen_collection,
        batch: *const omen_batch,
        result: *mut omen_write_result,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_delete_where(
        c: *mut omen_collection,
        filter: *const omen_filter,
        batch: *const omen_batch,
        result: *mut omen_write_result,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_stream_open(
        c: *mut omen_collection,
        stream_id: *const c_char,
        stream_id_len: usize,
        last_seq: *mut u64,
        epoch: *mut u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_wait(
        c: *mut omen_collection,
        version: u64,
        state: u32,
        timeout_us: u64,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_get_progress(
        c: *mut omen_collection,
        out: *mut omen_write_progress,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_filter_compile(
        c: *mut omen_collection,
        text: *const c_char,
        text_len: usize,
        params: *const omen_param,
        param_count: u64,
        out: *mut *mut omen_filter,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_filter_from_keys(
        c: *mut omen_collection,
        keys: *const u64,
        count: u64,
        out: *mut *mut omen_filter,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_filter_free(filter: *mut omen_filter);
    pub fn omen_count_where(
        c: *mut omen_collection,
        filter: *const omen_filter,
        count: *mut u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_facet(
        c: *mut omen_collection,
        filter: *const omen_filter,
        field: *const c_char,
        limit: u32,
        out: *mut *mut omen_rows,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_plan_name(plan: u32) -> *const c_char;
    pub fn omen_search(
        c: *mut omen_collection,
        query: *const omen_query,
        hits: *mut omen_hits,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_find(
        c: *mut omen_collection,
        request: *const omen_request,
        hits: *mut omen_hits,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_search_f32(
        c: *mut omen_collection,
        queries: *const f32,
        count: u32,
        k: u32,
        ef: u32,
        keys: *mut u64,
        distances: *mut f32,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_lookup(
        c: *mut omen_collection,
        ids: *const omen_column,
        count: u64,
        keys: *mut u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_get_vectors(
        c: *mut omen_collection,
        keys: *const u64,
        count: u64,
        out: *mut c_void,
        stride: u64,
        dtype: u32,
        found: *mut u8,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_fetch(
        c: *mut omen_collection,
        keys: *const u64,
        count: u64,
        fields: u32,
        out: *mut *mut omen_rows,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_fetch_fields(
        c: *mut omen_collection,
        keys: *const u64,
        count: u64,
        fields: u32,
        names: *const *const c_char,
        name_count: u64,
        out: *mut *mut omen_rows,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_rows_column(r: *const omen_rows, field: u32, out: *mut omen_column);
    pub fn omen_rows_count(r: *const omen_rows) -> u64;
    pub fn omen_rows_free(r: *mut omen_rows);
    pub fn omen_count(
        c: *mut omen_collection,
        count: *mut u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_scan(
        c: *mut omen_collection,
        cursor: *mut u64,
        keys: *mut u64,
        capacity: u64,
        count: *mut u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_list_items(
        c: *mut omen_collection,
        listing: *const omen_listing,
        keys: *mut u64,
        capacity: u64,
        count: *mut u64,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_measure_recall(
        c: *mut omen_collection,
        opt: *const omen_recall_options,
        out: *mut omen_recall,
        op: *mut omen_op,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_op_create(out: *mut *mut omen_op, err: *mut omen_error) -> omen_status_t;
    pub fn omen_op_free(op: *mut omen_op);
    pub fn omen_op_reset(op: *mut omen_op);
    pub fn omen_op_cancel(op: *mut omen_op);
    pub fn omen_op_progress(op: *const omen_op, out: *mut omen_progress);
    pub fn omen_get_stats(
        c: *mut omen_collection,
        out: *mut omen_stats,
        err: *mut omen_error,
    ) -> omen_status_t;
    pub fn omen_get_runtime_stats(
        rt: *mut omen_runtime,
        out: *mut omen_runtime_stats,
        err: *mut omen_error,
    ) -> omen_status_t;
}
