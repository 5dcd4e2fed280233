//! Sizes and offsets of every struct, against those of the C compiler that reads `omen.h`.
// SPDX-License-Identifier: Apache-2.0
use libomendb_sys::*;
use std::collections::BTreeMap;
use std::env;
use std::mem::{size_of, MaybeUninit};
use std::path::PathBuf;
use std::process::Command;
use std::ptr::addr_of;

type Layout = BTreeMap<String, String>;

/// The size of what a field pointer points to.
fn pointee_size<T>(_: *const T) -> usize {
    size_of::<T>()
}

/// Writes down size, and offset and size of each field, as the probe in C prints them.
macro_rules! layouts {
    ($($name:ident: $($field:ident),+;)+) => {{
        let mut all = Layout::new();
        $(
            all.insert(stringify!($name).to_string(), size_of::<$name>().to_string());
            let probe = MaybeUninit::<$name>::uninit();
            $(
                // SAFETY: addr_of! only computes an address inside `probe`; nothing is read.
                let field = unsafe { addr_of!((*probe.as_ptr()).$field) };
                all.insert(
                    concat!(stringify!($name), ".", stringify!($field)).trim_end_matches('_').to_string(),
                    format!("{} {}", field as usize - probe.as_ptr() as usize, pointee_size(field)),
                );
            )+
        )+
        all
    }};
}

fn rust_layouts() -> Layout {
    layouts! {
        omen_error: status, detail, sys_errno, flags, item, message;
        omen_column: data, offsets, offset_bits, width;
        omen_field: name, type_, flags, weight, language;
        omen_param: type_, count, data, offsets;
        omen_allocator: alloc, free, ctx;
        omen_runtime_options:
            struct_size, flags, threads, log_level, memory_limit, allocator, log, log_ctx;
        omen_db_options:
            struct_size, flags, runtime, warm, interval_ms, seal_bytes, seal_rows,
            reserve_bytes;
        omen_db_stats:
            struct_size, state, version, durable_version, checkpoint_version, collections,
            segments, growing_rows, log_bytes, segment_bytes, log_syncs, log_records,
            disk_available, checkpoints, seals, merges, replayed_records, replayed_ns,
            recovered_rows, reason, log_written_bytes, log_unsynced_bytes, log_sync_ns,
            log_sync_times;
        omen_backup_options: struct_size, flags, runtime, previous, op;
        omen_backup_result:
            struct_size, reserved, version, files, bytes, files_linked, bytes_copied;
        omen_options:
            struct_size, flags, dim, metric, dtype, id_type, m, ef_construction, quantization,
            rotation, entry, durability, capacity_hint, max_backlog_rows, fields, field_count;
        omen_open_options: struct_size, flags, file, warm, reserved, op;
        omen_estimate_result:
            struct_size, reserved, memory_serving, memory_growing, disk, disk_peak;
        omen_batch:
            struct_size, flags, count, vectors, stride, dtype, dim, keys, ids, keys_out,
            item_status, mode, durability, stream_id, stream_id_len, seq, stream_epoch,
            request_id, request_id_len, crc, reserved, metadata, if_version;
        omen_write_result: struct_size, replayed, version, applied, replaced, refused, backlog_rows;
        omen_write_progress:
            struct_size, reserved, durable_version, visible_version, indexed_version,
            backlog_rows, backlog_limit_rows, backlog_bytes;
        omen_query:
            struct_size, flags, vectors, stride, dtype, dim, count, k, ef, rerank, threads,
            reserved, timeout_us, min_version, op, filter;
        omen_explain:
            plan, ef, distances, hops, scanned, reranked, entry_ns, graph_ns, scan_ns,
            rerank_ns;
        omen_filter_explain:
            estimated, selectivity, matches, tests, filter_ns, text_ns, fuse_ns, postings,
            candidates;
        omen_hits:
            struct_size, reserved, keys, distances, counts, flags, explain, version, filters,
            scores, groups;
        omen_leg:
            struct_size, flags, kind, limit, vector, dtype, dim, ef, rerank, text, text_len,
            field, keys, key_count, weight, k1, b, reserved;
        omen_request:
            struct_size, flags, legs, leg_count, k, offset, fusion, rank_constant, max_distance,
            min_score, group_size, group_by, filter, timeout_us, min_version, op;
        omen_listing: struct_size, flags, filter, order_by, after;
        omen_recall_options:
            struct_size, flags, k, ef, samples, reserved, seed, vectors, stride, dtype, dim;
        omen_recall: struct_size, samples, recall, low, high, distances;
        omen_progress: done, total, stage, reserved;
        omen_stats:
            struct_size, dim, count, deleted, rows, indexed_rows, backlog_rows, bytes_codes,
            bytes_links, bytes_ids, bytes_vectors, bytes_scratch, bytes_mapped, bytes_disk,
            searches, distances, hops, version, retrained, clipped_rows, rotated, read_only,
            segments, frozen, bytes_metadata, bytes_text, fields, text_rows;
        omen_runtime_stats: struct_size, threads, memory_limit, memory_used, memory_rejections;
    }
}

/// Compiles and runs tests/layout_probe.c.
fn c_layouts() -> Layout {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = dir.join("layout-probe");
    let cc = env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let built = Command::new(&cc)
        .arg("-I")
        .arg(env!("OMENDB_HEADER_DIR"))
        .arg("-o")
        .arg(&program)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layout_probe.c"))
        .status()
        .unwrap_or_else(|e| panic!("{}: {}", cc, e));
    assert!(built.success(), "{} cannot compile the probe", cc);
    let output = Command::new(&program).output().expect("the probe runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("the probe prints text");
    text.lines()
        .map(|line| line.split_once(' ').expect("name and numbers"))
        .map(|(name, numbers)| (name.to_string(), numbers.to_string()))
        .collect()
}

#[test]
fn layouts_equal_those_of_c() {
    let (rust, c) = (rust_layouts(), c_layouts());
    for (name, numbers) in &c {
        assert_eq!(rust.get(name), Some(numbers), "{} differs from C", name);
    }
    assert_eq!(rust.len(), c.len());
    assert_eq!(rust["omen_error"], "256");
}
