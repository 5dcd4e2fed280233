//! Queries going in and the nearest items coming out.
// SPDX-License-Identifier: Apache-2.0
use crate::codes::{codes, DataType};
use crate::filter::Filter;
use crate::op::Op;
use libomendb_sys as sys;
use std::mem::zeroed;
use std::time::Duration;

/// Bits of a 16-bit floating point number (IEEE 754 binary16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct F16(
    /// The bits.
    pub u16,
);

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for super::F16 {}
    impl Sealed for i8 {}
    impl Sealed for u8 {}
}

/// The element types that vectors may have.
pub trait Element: Copy + sealed::Sealed {
    /// The number that the library knows it by.
    const DATA_TYPE: DataType;
}

impl Element for f32 {
    const DATA_TYPE: DataType = DataType::F32;
}
impl Element for F16 {
    const DATA_TYPE: DataType = DataType::F16;
}
impl Element for i8 {
    const DATA_TYPE: DataType = DataType::I8;
}
impl Element for u8 {
    const DATA_TYPE: DataType = DataType::U8;
}

/// One or more queries, borrowed for the call.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a, T> {
    pub(crate) vectors: &'a [T],
    pub(crate) dim: u32,
    pub(crate) k: u32,
    pub(crate) ef: u32,
    pub(crate) rerank: u32,
    pub(crate) threads: u32,
    pub(crate) flags: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) min_version: u64,
    pub(crate) explain: bool,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) op: Option<&'a Op>,
}

impl<'a, T: Element> Query<'a, T> {
    /// Rows of `dim` elements each, one after the other; the 10 nearest items of each.
    pub fn new(vectors: &'a [T], dim: u32) -> Self {
        Query {
            vectors,
            dim,
            k: 10,
            ef: 0,
            rerank: 0,
            threads: 0,
            flags: 0,
            timeout: None,
            min_version: 0,
            explain: false,
            filter: None,
            op: None,
        }
    }

    /// How many items, 1 to 16,384.
    pub fn k(mut self, k: u32) -> Self {
        self.k = k;
        self
    }

    /// Beam width: more is slower and finds more. 0: chosen.
    pub fn ef(mut self, ef: u32) -> Self {
        self.ef = ef;
        self
    }

    /// Candidates re-scored in full precision. 0: chosen.
    pub fn rerank(mut self, rerank: u32) -> Self {
        self.rerank = rerank;
        self
    }

    /// Threads for several queries. 0: all of the library's, 1: the caller's only.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// Brute force over all items.
    pub fn exact(mut self) -> Self {
        self.flags |= sys::OMEN_EXACT;
        self
    }

    /// Use the graph also where a scan would be cheaper: to measure it.
    pub fn graph_only(mut self) -> Self {
        self.flags |= sys::OMEN_GRAPH_ONLY;
        self
    }

    /// Give up after this long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// When time runs out, return the best found so far.
    pub fn partial_ok(mut self) -> Self {
        self.flags |= sys::OMEN_PARTIAL_OK;
        self
    }

    /// Wait until this version is visible: read your writes.
    pub fn min_version(mut self, version: u64) -> Self {
        self.min_version = version;
        self
    }

    /// Only items that pass.
    pub fn filter(mut self, filter: &'a Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Say what each query cost.
    pub fn explain(mut self) -> Self {
        self.explain = true;
        self
    }

    /// Watches and cancels the call.
    pub fn op(mut self, op: &'a Op) -> Self {
        self.op = Some(op);
        self
    }

    /// Microseconds for the library, where 0 means no limit: a timeout is at least one.
    pub(crate) fn timeout_us(&self) -> u64 {
        microseconds(self.timeout)
    }
}

/// A timeout as the library takes it.
pub(crate) fn microseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |t| t.as_micros().clamp(1, u128::from(u64::MAX)) as u64)
}

codes! {
    /// How a query was answered.
    Plan: u32 {
        /// All items were compared.
        Exact = sys::OMEN_PLAN_EXACT,
        /// The graph was traversed.
        Graph = sys::OMEN_PLAN_GRAPH,
        /// Nothing passes the filter.
        Empty = sys::OMEN_PLAN_EMPTY,
        /// The graph as it is, with only passing items in the result.
        FilterIn = sys::OMEN_PLAN_FILTER_IN,
        /// Over the neighbours of what does not pass.
        FilterHop = sys::OMEN_PLAN_FILTER_HOP,
        /// Among passing items and the bridges between them.
        FilterBridge = sys::OMEN_PLAN_FILTER_BRIDGE,
        /// A walk that cost more than comparing all that pass, which was then done.
        Abandoned = sys::OMEN_PLAN_ABANDONED,
        /// By words.
        Text = sys::OMEN_PLAN_TEXT,
        /// Several parts.
        Hybrid = sys::OMEN_PLAN_HYBRID,
    }
}

/// What one query cost.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Explain {
    /// How it was answered.
    pub plan: Plan,
    /// The beam width in use.
    pub ef: u32,
    /// Distances computed in the graph.
    pub distances: u64,
    /// Nodes visited.
    pub hops: u64,
    /// Rows scanned.
    pub scanned: u64,
    /// Rows scored in full precision.
    pub reranked: u64,
    /// Share of the items that pass the filter, as it was guessed beforehand.
    pub estimated: f64,
    /// The same, counted.
    pub selectivity: f64,
    /// Items that pass.
    pub matches: u64,
    /// Rows tested while walking through the graph.
    pub tests: u64,
    /// Nanoseconds of the filter, of the search for words, and of the fusion.
    pub filter_ns: u64,
    /// See `filter_ns`.
    pub text_ns: u64,
    /// See `filter_ns`.
    pub fuse_ns: u64,
}

/// What queries cost, as the library fills it in: nothing, or an entry for each query.
pub(crate) struct Explains {
    costs: Vec<sys::omen_explain>,
    filters: Vec<sys::omen_filter_explain>,
}

impl Explains {
    pub(crate) fn new(count: usize) -> Self {
        // SAFETY: zero is valid for these structs: numbers only.
        let (cost, filter) = unsafe { (zeroed(), zeroed()) };
        Explains { costs: vec![cost; count], filters: vec![filter; count] }
    }

    /// Valid until self is moved or dropped.
    pub(crate) fn set(&mut self, out: &mut sys::omen_hits) {
        if !self.costs.is_empty() {
            out.explain = self.costs.as_mut_ptr();
            out.filters = self.filters.as_mut_ptr();
        }
    }

    pub(crate) fn read(&self) -> Vec<Explain> {
        self.costs.iter().zip(&self.filters).map(|(c, f)| Explain::from_raw(c, f)).collect()
    }
}

impl Explain {
    fn from_raw(raw: &sys::omen_explain, filter: &sys::omen_filter_explain) -> Self {
        Explain {
            plan: Plan::from(raw.plan),
            ef: raw.ef,
            distances: raw.distances,
            hops: raw.hops,
            scanned: raw.scanned,
            reranked: raw.reranked,
            estimated: filter.estimated,
            selectivity: filter.selectivity,
            matches: filter.matches,
            tests: filter.tests,
            filter_ns: filter.filter_ns,
            text_ns: filter.text_ns,
            fuse_ns: filter.fuse_ns,
        }
    }
}

/// One found item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its key: the id itself where ids are numbers.
    pub key: u64,
    /// Its distance; smaller is nearer.
    pub distance: f32,
}

/// The nearest items of every query.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    pub(crate) k: usize,
    pub(crate) keys: Vec<u64>,
    pub(crate) distances: Vec<f32>,
    pub(crate) counts: Vec<u32>,
    pub(crate) flags: Vec<u32>,
    pub(crate) explain: Vec<Explain>,
    pub(crate) version: u64,
}

impl Hits {
    /// How many queries there were.
    pub fn queries(&self) -> usize {
        self.counts.len()
    }

    /// The items of query `q`, nearest first.
    pub fn query(&self, q: usize) -> impl Iterator<Item = Hit> + '_ {
        let (keys, distances) = (self.keys(q), self.distances(q));
        keys.iter().zip(distances).map(|(&key, &distance)| Hit { key, distance })
    }

    /// The keys of query `q`, nearest first.
    pub fn keys(&self, q: usize) -> &[u64] {
        &self.keys[q * self.k..][..self.counts[q] as usize]
    }

    /// The distances of query `q`, smallest first.
    pub fn distances(&self, q: usize) -> &[f32] {
        &self.distances[q * self.k..][..self.counts[q] as usize]
    }

    /// Whether time ran out for query `q`.
    pub fn is_partial(&self, q: usize) -> bool {
        self.flags[q] & sys::OMEN_HITS_PARTIAL != 0
    }

    /// What query `q` cost, when [`Query::explain`] was asked for.
    pub fn explain(&self, q: usize) -> Option<&Explain> {
        self.explain.get(q)
    }

    /// Everything up to this version was visible.
    pub fn version(&self) -> u64 {
        self.version
    }
}
