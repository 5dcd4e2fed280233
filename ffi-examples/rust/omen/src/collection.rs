//! One index with its ids: write, search, read, measure, save.
// SPDX-License-Identifier: Apache-2.0
use crate::batch::{rows_of, Batch, Write};
use crate::codes::codes;
use crate::db::c_path;
use crate::error::{check, Detail, Error, Result};
use crate::filter::Filter;
use crate::ids::{no_column, read_column, Column, Id, Ids};
use crate::metadata::Metadata;
use crate::op::Op;
use crate::options::Options;
use crate::search::{Element, Explains, Hits, Query};
use libomendb_sys as sys;
use std::convert::TryFrom;
use std::mem::{size_of, zeroed};
use std::path::Path;
use std::ptr::{null, null_mut, NonNull};
use std::time::Duration;

/// A collection. Clone the handle by opening it again; threads may share one by reference.
#[derive(Debug)]
pub struct Collection {
    raw: NonNull<sys::omen_collection>,
}

// SAFETY: the C interface allows any number of threads on an omen_collection at once.
unsafe impl Send for Collection {}
// SAFETY: as above.
unsafe impl Sync for Collection {}

codes! {
    /// A state of a write that [`Collection::wait`] waits for.
    WaitFor: u32 {
        /// Safe at the collection's level.
        Durable = sys::OMEN_WAIT_DURABLE,
        /// Found by searches.
        Visible = sys::OMEN_WAIT_VISIBLE,
        /// In the graph.
        Indexed = sys::OMEN_WAIT_INDEXED,
    }
}

/// How recall is measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecallOptions {
    /// Items a query; 0: 10.
    pub k: u32,
    /// Beam width; 0: the search default.
    pub ef: u32,
    /// Stored rows used as queries; 0: 200.
    pub samples: u32,
    /// Which rows.
    pub seed: u64,
    /// Do not scan small collections: measure the graph.
    pub graph_only: bool,
}

/// A measured recall.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Recall {
    /// The mean over the samples.
    pub recall: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Distances computed for each query, mean.
    pub distances: f64,
    /// Queries asked.
    pub samples: u32,
}

/// Figures of a collection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Live items.
    pub count: u64,
    /// Dead rows that are not reclaimed yet.
    pub deleted: u64,
    /// Rows in the graph.
    pub indexed_rows: u64,
    /// Rows that are not in the graph yet.
    pub backlog_rows: u64,
    /// Bytes of codes, links, ids, vectors, metadata, words and scratch in memory.
    pub bytes_memory: u64,
    /// Bytes mapped from a file.
    pub bytes_mapped: u64,
    /// The newest version.
    pub version: u64,
    /// Whether it can only be read.
    pub read_only: bool,
}

impl Collection {
    pub(crate) fn from_raw(raw: *mut sys::omen_collection) -> Result<Collection> {
        Ok(Collection { raw: NonNull::new(raw).expect("the library returned OK and no handle") })
    }

    /// Adds or replaces items. Returns when they are durable at their level and visible to searches.
    pub fn add<T: Element>(&self, batch: &Batch<'_, T>) -> Result<Write> {
        let rows = batch.rows()?;
        let column = batch.ids.map(Column::new);
        // SAFETY: zero is a valid omen_batch.
        let mut raw: sys::omen_batch = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_batch>() as u32;
        raw.flags = if batch.nowait { sys::OMEN_NOWAIT } else { 0 };
        raw.count = rows as u64;
        if batch.has_vectors() {
            raw.vectors = batch.vectors.as_ptr().cast();
            raw.dtype = T::DATA_TYPE.into();
            raw.dim = batch.dim;
        }
        set_ids(&mut raw, batch.ids, column.as_ref());
        raw.metadata = batch.metadata.map_or_else(no_column, Metadata::raw);
        raw.if_version = batch.if_version.map_or(null(), <[u64]>::as_ptr);
        raw.mode = batch.mode.into();
        raw.durability = batch.durability.into();
        let (stream_id, seq, epoch) = batch.stream;
        if !stream_id.is_empty() {
            raw.stream_id = stream_id.as_ptr().cast();
            raw.stream_id_len = stream_id.len();
            raw.seq = seq;
            raw.stream_epoch = epoch;
        }
        if !batch.request_id.is_empty() {
            raw.request_id = batch.request_id.as_ptr().cast();
            raw.request_id_len = batch.request_id.len();
        }
        let mut result = write_result();
        // SAFETY: `rows` was computed from the slices, which are borrowed through the call.
        check(|err| unsafe {
            sys::omen_add_batch(self.raw(), &raw, &mut result, Op::raw(batch.op), err)
        })?;
        Ok(Write::from_raw(&result))
    }

    /// Deletes items by id. Ids that are absent are skipped.
    pub fn delete(&self, ids: Ids<'_>) -> Result<Write> {
        let column = Column::new(ids);
        // SAFETY: zero is a valid omen_batch.
        let mut raw: sys::omen_batch = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_batch>() as u32;
        raw.count = ids.len() as u64;
        set_ids(&mut raw, Some(ids), Some(&column));
        let mut result = write_result();
        // SAFETY: the ids are borrowed through the call.
        check(|err| unsafe {
            sys::omen_delete_batch(self.raw(), &raw, &mut result, null_mut(), err)
        })?;
        Ok(Write::from_raw(&result))
    }

    /// Opens or makes a resumable stream: the last sequence number it has, and the epoch to send with
    /// every batch. The newest open fences the older ones.
    pub fn open_stream(&self, stream_id: &str) -> Result<(u64, u64)> {
        let (mut last_seq, mut epoch) = (0, 0);
        // SAFETY: the text is borrowed through the call; both numbers are written to.
        check(|err| unsafe {
            let (text, len) = (stream_id.as_ptr().cast(), stream_id.len());
            sys::omen_stream_open(self.raw(), text, len, &mut last_seq, &mut epoch, err)
        })?;
        Ok((last_seq, epoch))
    }

    /// Waits until everything up to `version` (0: all so far) is in the state.
    pub fn wait(&self, version: u64, state: WaitFor, timeout: Option<Duration>) -> Result<()> {
        let us = |t: Duration| u64::try_from(t.as_micros()).unwrap_or(u64::MAX).max(1);
        let timeout_us = timeout.map_or(0, us);
        // SAFETY: no pointers but the handle and the error.
        check(|err| unsafe {
            sys::omen_wait(self.raw(), version, state.into(), timeout_us, null_mut(), err)
        })
    }

    /// The nearest items of each query; fewer than k only when the collection has fewer.
    pub fn search<T: Element>(&self, query: &Query<'_, T>) -> Result<Hits> {
        let count = rows_of(query.vectors.len(), query.dim)?;
        let too_many = |_| Error::invalid(Detail::Limit, format!("{} queries in a call", count));
        // SAFETY: zero is valid for these structs: integers and pointers that may be NULL.
        let (mut raw, mut out): (sys::omen_query, sys::omen_hits) = unsafe { (zeroed(), zeroed()) };
        raw.struct_size = size_of::<sys::omen_query>() as u32;
        raw.flags = query.flags;
        raw.vectors = query.vectors.as_ptr().cast();
        raw.dtype = T::DATA_TYPE.into();
        raw.dim = query.dim;
        raw.count = u32::try_from(count).map_err(too_many)?;
        raw.k = query.k;
        raw.ef = query.ef;
        raw.rerank = query.rerank;
        raw.threads = query.threads;
        raw.timeout_us = query.timeout_us();
        raw.min_version = query.min_version;
        raw.op = Op::raw(query.op);
        raw.filter = Filter::raw(query.filter);
        if query.k > sys::OMEN_MAX_K || raw.count > sys::OMEN_MAX_QUERIES {
            // Before the arrays below are reserved: they could not be.
            let message = format!("k = {}, queries = {}: over the limit", query.k, count);
            return Err(Error::invalid(Detail::Limit, message));
        }
        let k = query.k as usize;
        let mut hits = Hits {
            k,
            keys: vec![sys::OMEN_NONE; count * k],
            distances: vec![f32::INFINITY; count * k],
            counts: vec![0; count],
            flags: vec![0; count],
            ..Hits::default()
        };
        let mut explains = Explains::new(if query.explain { count } else { 0 });
        out.struct_size = size_of::<sys::omen_hits>() as u32;
        out.keys = hits.keys.as_mut_ptr();
        out.distances = hits.distances.as_mut_ptr();
        out.counts = hits.counts.as_mut_ptr();
        out.flags = hits.flags.as_mut_ptr();
        explains.set(&mut out);
        // SAFETY: the arrays have count * k and count elements, as the library expects.
        check(|err| unsafe { sys::omen_search(self.raw(), &raw, &mut out, err) })?;
        hits.explain = explains.read();
        hits.version = out.version;
        Ok(hits)
    }

    /// Keys of ids; `None` where absent.
    pub fn lookup(&self, ids: Ids<'_>) -> Result<Vec<Option<u64>>> {
        let column = Column::new(ids);
        let mut keys = vec![sys::OMEN_NONE; ids.len()];
        // SAFETY: `keys` has an element for each id.
        check(|err| unsafe {
            let raw = column.raw();
            sys::omen_lookup(self.raw(), &raw, ids.len() as u64, keys.as_mut_ptr(), err)
        })?;
        Ok(keys
            .into_iter()
            .map(|key| if key == sys::OMEN_NONE { None } else { Some(key) })
            .collect())
    }

    /// Ids of keys; `None` where absent.
    pub fn ids(&self, keys: &[u64]) -> Result<Vec<Option<Id>>> {
        let mut rows = null_mut();
        // SAFETY: `rows` receives the handle.
        check(|err| unsafe {
            let count = keys.len() as u64;
            sys::omen_fetch(self.raw(), keys.as_ptr(), count, sys::OMEN_FIELD_ID, &mut rows, err)
        })?;
        let mut column = no_column();
        // SAFETY: the column lives as long as `rows`, which is freed after it was read.
        unsafe {
            sys::omen_rows_column(rows, sys::OMEN_FIELD_ID, &mut column);
            let ids = read_column(&column, keys.len());
            sys::omen_rows_free(rows);
            ids
        }
    }

    /// The stored vectors of keys, one after the other, in the collection's own type or in `f32`.
    pub fn vectors<T: Element + Default>(&self, keys: &[u64]) -> Result<Vec<T>> {
        let dim = self.describe()?.dim() as usize;
        let mut out = vec![T::default(); keys.len() * dim];
        // SAFETY: `out` has room for a vector of each key.
        check(|err| unsafe {
            let (count, to) = (keys.len() as u64, out.as_mut_ptr().cast());
            let dtype = T::DATA_TYPE.into();
            sys::omen_get_vectors(self.raw(), keys.as_ptr(), count, to, 0, dtype, null_mut(), err)
        })?;
        Ok(out)
    }

    /// Live items.
    pub fn count(&self) -> Result<u64> {
        let mut count = 0;
        // SAFETY: `count` is written to.
        check(|err| unsafe { sys::omen_count(self.raw(), &mut count, err) })?;
        Ok(count)
    }

    /// The keys of all live items, in the order they were written or, on disk, of the keys.
    pub fn keys(&self) -> Result<Vec<u64>> {
        const PAGE: usize = 4096;
        let (mut all, mut cursor) = (Vec::new(), 0);
        loop {
            let (mut page, mut count) = ([0; PAGE], 0);
            // SAFETY: `page` has room for PAGE keys.
            check(|err| unsafe {
                let out = page.as_mut_ptr();
                sys::omen_scan(self.raw(), &mut cursor, out, PAGE as u64, &mut count, err)
            })?;
            all.extend_from_slice(&page[..count as usize]);
            if (count as usize) < PAGE {
                return Ok(all);
            }
        }
    }

    /// What the collection was created with, defaults filled in.
    pub fn describe(&self) -> Result<Options> {
        let mut options = Options::zero();
        // SAFETY: struct_size is set.
        check(|err| unsafe { sys::omen_describe(self.raw(), &mut options.raw, err) })?;
        Ok(options)
    }

    /// Figures.
    pub fn stats(&self) -> Result<Stats> {
        // SAFETY: zero is a valid omen_stats.
        let mut raw: sys::omen_stats = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_stats>() as u32;
        // SAFETY: struct_size is set.
        check(|err| unsafe { sys::omen_get_stats(self.raw(), &mut raw, err) })?;
        Ok(Stats {
            count: raw.count,
            deleted: raw.deleted,
            indexed_rows: raw.indexed_rows,
            backlog_rows: raw.backlog_rows,
            bytes_memory: raw.bytes_codes
                + raw.bytes_links
                + raw.bytes_ids
                + raw.bytes_vectors
                + raw.bytes_metadata
                + raw.bytes_text
                + raw.bytes_scratch,
            bytes_mapped: raw.bytes_mapped,
            version: raw.version,
            read_only: raw.read_only != 0,
        })
    }

    /// Compares searches with exact answers on sampled items.
    pub fn measure_recall(&self, options: &RecallOptions) -> Result<Recall> {
        // SAFETY: zero is valid for these structs.
        let (mut opt, mut out): (sys::omen_recall_options, sys::omen_recall) =
            unsafe { (zeroed(), zeroed()) };
        opt.struct_size = size_of::<sys::omen_recall_options>() as u32;
        opt.flags = if options.graph_only { sys::OMEN_GRAPH_ONLY } else { 0 };
        opt.k = options.k;
        opt.ef = options.ef;
        opt.samples = options.samples;
        opt.seed = options.seed;
        opt.vectors = null();
        out.struct_size = size_of::<sys::omen_recall>() as u32;
        // SAFETY: both live through the call.
        check(|err| unsafe {
            sys::omen_measure_recall(self.raw(), &opt, &mut out, null_mut(), err)
        })?;
        let sys::omen_recall { samples, recall, low, high, distances, .. } = out;
        Ok(Recall { recall, low, high, distances, samples })
    }

    /// Writes the collection as one file; the path holds the old or the new one, never a part.
    pub fn save(&self, path: &Path, op: Option<&Op>) -> Result<()> {
        let path = c_path(path)?;
        // SAFETY: the path lives through the call.
        check(|err| unsafe { sys::omen_save(self.raw(), path.as_ptr(), Op::raw(op), err) })
    }

    /// Merges all segments into one without dead rows: what searches fastest.
    pub fn optimize(&self, op: Option<&Op>) -> Result<()> {
        // SAFETY: the handles live through the call.
        check(|err| unsafe { sys::omen_optimize(self.raw(), Op::raw(op), err) })
    }

    /// A read-only handle to the collection as it is now, whatever is written later. It keeps old
    /// segments alive: drop it soon.
    pub fn snapshot(&self) -> Result<Collection> {
        let mut raw = null_mut();
        // SAFETY: `raw` receives the handle.
        check(|err| unsafe { sys::omen_snapshot(self.raw(), &mut raw, err) })?;
        Collection::from_raw(raw)
    }

    pub(crate) fn raw(&self) -> *mut sys::omen_collection {
        self.raw.as_ptr()
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        // SAFETY: calls borrow the Collection, so none of them runs any more.
        unsafe { sys::omen_collection_free(self.raw.as_ptr()) }
    }
}

pub(crate) fn write_result() -> sys::omen_write_result {
    // SAFETY: zero is a valid omen_write_result.
    let mut result: sys::omen_write_result = unsafe { zeroed() };
    result.struct_size = size_of::<sys::omen_write_result>() as u32;
    result
}

/// Numbers travel as keys, the other ids as a column.
fn set_ids(raw: &mut sys::omen_batch, ids: Option<Ids<'_>>, column: Option<&Column<'_>>) {
    raw.ids = no_column();
    match (ids, column) {
        (Some(Ids::U64(keys)), _) => raw.keys = keys.as_ptr(),
        (Some(_), Some(column)) => raw.ids = column.raw(),
        _ => {}
    }
}
