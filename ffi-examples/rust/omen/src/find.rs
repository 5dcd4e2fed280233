//! Searches of several parts: vectors, words, items to be like.
// SPDX-License-Identifier: Apache-2.0
use crate::codes::{codes, DataType};
use crate::collection::Collection;
use crate::db::c_string;
use crate::error::{check, Detail, Error, Result};
use crate::filter::Filter;
use crate::op::Op;
use crate::search::{microseconds, Element, Explain, Explains};
use libomendb_sys as sys;
use std::convert::TryFrom;
use std::ffi::CString;
use std::mem::{size_of, size_of_val, zeroed};
use std::ptr::null;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    Vector { bytes: &'a [u8], dtype: DataType, dim: usize },
    Text { text: &'a str, field: Option<&'a str> },
    Like { keys: &'a [u64] },
}

/// One part of a search.
#[derive(Clone, Copy, Debug)]
pub struct Leg<'a> {
    kind: Kind<'a>,
    flags: u32,
    limit: u32,
    ef: u32,
    rerank: u32,
    weight: f32,
    k1: f32,
    b: f32,
}

impl<'a> Leg<'a> {
    fn new(kind: Kind<'a>) -> Self {
        Leg { kind, flags: 0, limit: 0, ef: 0, rerank: 0, weight: 1.0, k1: 0.0, b: 0.0 }
    }

    /// The nearest items of one vector.
    pub fn vector<T: Element>(vector: &'a [T]) -> Self {
        // SAFETY: Element is sealed: plain numbers without padding, of which every byte may be read.
        let bytes =
            unsafe { std::slice::from_raw_parts(vector.as_ptr().cast(), size_of_val(vector)) };
        Leg::new(Kind::Vector { bytes, dtype: T::DATA_TYPE, dim: vector.len() })
    }

    /// The best items for words, by BM25; of "..." the words one after the other.
    pub fn text(text: &'a str) -> Self {
        Leg::new(Kind::Text { text, field: None })
    }

    /// The nearest items to the mean of the vectors of these keys (1 to 1,024), which are left out
    /// themselves.
    pub fn like(keys: &'a [u64]) -> Self {
        Leg::new(Kind::Like { keys })
    }

    /// Words: only of this field. Without it all text fields count, by their weights.
    pub fn field(mut self, name: &'a str) -> Self {
        if let Kind::Text { field, .. } = &mut self.kind {
            *field = Some(name);
        }
        self
    }

    /// In the fusion with other parts. Not negative; 0 is taken for 1.
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// How many of its best count. 0: chosen.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Vectors: the beam width. 0: chosen.
    pub fn ef(mut self, ef: u32) -> Self {
        self.ef = ef;
        self
    }

    /// Vectors: candidates scored again in full precision. 0: chosen.
    pub fn rerank(mut self, rerank: u32) -> Self {
        self.rerank = rerank;
        self
    }

    /// Words: the parameters of BM25. Both 0: 1.2 and 0.75.
    pub fn bm25(mut self, k1: f32, b: f32) -> Self {
        self.k1 = k1;
        self.b = b;
        self
    }

    /// Vectors: brute force over all items.
    pub fn exact(mut self) -> Self {
        self.flags |= sys::OMEN_EXACT;
        self
    }

    /// Vectors: use the graph also where a scan would be cheaper.
    pub fn graph_only(mut self) -> Self {
        self.flags |= sys::OMEN_GRAPH_ONLY;
        self
    }

    /// As the library takes it; `field` holds the name of the field for the call.
    fn raw(&self, field: &Option<CString>) -> Result<sys::omen_leg> {
        // SAFETY: zero is a valid omen_leg.
        let mut raw: sys::omen_leg = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_leg>() as u32;
        raw.flags = self.flags;
        raw.limit = self.limit;
        raw.weight = self.weight;
        raw.ef = self.ef;
        raw.rerank = self.rerank;
        raw.k1 = self.k1;
        raw.b = self.b;
        match self.kind {
            Kind::Vector { bytes, dtype, dim } => {
                raw.kind = sys::OMEN_LEG_VECTOR;
                raw.vector = bytes.as_ptr().cast();
                raw.dtype = dtype.into();
                let long = |_| Error::invalid(Detail::DimMismatch, format!("dimension {}", dim));
                raw.dim = u32::try_from(dim).map_err(long)?;
            }
            Kind::Text { text, .. } => {
                raw.kind = sys::OMEN_LEG_TEXT;
                raw.text = text.as_ptr().cast();
                raw.text_len = text.len();
                raw.field = field.as_ref().map_or(null(), |name| name.as_ptr());
            }
            Kind::Like { keys } => {
                raw.kind = sys::OMEN_LEG_LIKE;
                raw.keys = keys.as_ptr();
                raw.key_count = keys.len() as u64;
            }
        }
        Ok(raw)
    }

    fn field_name(&self) -> Result<Option<CString>> {
        match self.kind {
            Kind::Text { field: Some(name), .. } => c_string("the field", name).map(Some),
            _ => Ok(None),
        }
    }
}

codes! {
    /// How the lists of several parts become one.
    Fusion: u32 {
        /// The sum of weight / (rank constant + rank).
        Rrf = sys::OMEN_FUSE_RRF,
        /// The sum of weight times a score that goes from 1 for a part's best to 0 for its last.
        Weighted = sys::OMEN_FUSE_WEIGHTED,
    }
}

/// A search of 1 to 16 parts, borrowed for the call: `Find::new(10).text("moon").vector(&v)`.
#[derive(Clone, Debug)]
pub struct Find<'a> {
    legs: Vec<Leg<'a>>,
    k: u32,
    offset: u32,
    fusion: Fusion,
    rank_constant: f32,
    max_distance: Option<f32>,
    min_score: Option<f32>,
    group_by: Option<(&'a str, u32)>,
    filter: Option<&'a Filter>,
    flags: u32,
    timeout: Option<Duration>,
    min_version: u64,
    explain: bool,
    op: Option<&'a Op>,
}

impl<'a> Find<'a> {
    /// The best `k` items, 1 to 16,384, of the parts that are added next.
    pub fn new(k: u32) -> Self {
        Find {
            legs: Vec::new(),
            k,
            offset: 0,
            fusion: Fusion::Rrf,
            rank_constant: 0.0,
            max_distance: None,
            min_score: None,
            group_by: None,
            filter: None,
            flags: 0,
            timeout: None,
            min_version: 0,
            explain: false,
            op: None,
        }
    }

    /// A part with options of its own.
    pub fn leg(mut self, leg: Leg<'a>) -> Self {
        self.legs.push(leg);
        self
    }

    /// A part: [`Leg::vector`].
    pub fn vector<T: Element>(self, vector: &'a [T]) -> Self {
        self.leg(Leg::vector(vector))
    }

    /// A part: [`Leg::text`].
    pub fn text(self, text: &'a str) -> Self {
        self.leg(Leg::text(text))
    }

    /// A part: [`Leg::like`].
    pub fn like(self, keys: &'a [u64]) -> Self {
        self.leg(Leg::like(keys))
    }

    /// Leave out the first so many.
    pub fn offset(mut self, offset: u32) -> Self {
        self.offset = offset;
        self
    }

    /// Only items that pass, in every part.
    pub fn filter(mut self, filter: &'a Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// How the lists become one.
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// Of [`Fusion::Rrf`]; 0: 60.
    pub fn rank_constant(mut self, constant: f32) -> Self {
        self.rank_constant = constant;
        self
    }

    /// With one part that is not words: nothing farther away.
    pub fn max_distance(mut self, distance: f32) -> Self {
        self.max_distance = Some(distance);
        self
    }

    /// With words or several parts: nothing below.
    pub fn min_score(mut self, score: f32) -> Self {
        self.min_score = Some(score);
        self
    }

    /// Count groups of values of this field (no array), and return the best `size` items of each.
    pub fn group_by(mut self, field: &'a str, size: u32) -> Self {
        self.group_by = Some((field, size));
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

    /// Say what it cost.
    pub fn explain(mut self) -> Self {
        self.explain = true;
        self
    }

    /// Watches and cancels the call.
    pub fn op(mut self, op: &'a Op) -> Self {
        self.op = Some(op);
        self
    }

    /// Places for hits; before arrays are made that could not be.
    fn places(&self) -> Result<usize> {
        let places = u64::from(self.k) * u64::from(self.group_by.map_or(1, |(_, size)| size));
        if self.k == 0 || places == 0 || places > u64::from(sys::OMEN_MAX_K) {
            let message = format!("k = {}, with groups {} places: over the limit", self.k, places);
            return Err(Error::invalid(Detail::Limit, message));
        }
        Ok(places as usize)
    }

    /// Everything but the pointers to other structs.
    fn raw(&self) -> sys::omen_request {
        // SAFETY: zero is a valid omen_request.
        let mut raw: sys::omen_request = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_request>() as u32;
        raw.flags = self.flags;
        raw.k = self.k;
        raw.offset = self.offset;
        raw.fusion = self.fusion.into();
        raw.rank_constant = self.rank_constant;
        if let Some(distance) = self.max_distance {
            raw.flags |= sys::OMEN_FIND_MAX_DISTANCE;
            raw.max_distance = distance;
        }
        if let Some(score) = self.min_score {
            raw.flags |= sys::OMEN_FIND_MIN_SCORE;
            raw.min_score = score;
        }
        raw.group_size = self.group_by.map_or(0, |(_, size)| size);
        raw.filter = Filter::raw(self.filter);
        raw.timeout_us = microseconds(self.timeout);
        raw.min_version = self.min_version;
        raw.op = Op::raw(self.op);
        raw
    }

    /// Whether distances are filled in, not scores.
    fn is_one_vector(&self) -> bool {
        self.legs.len() == 1 && !matches!(self.legs[0].kind, Kind::Text { .. })
    }
}

/// The best items of a [`Find`], best first.
#[derive(Clone, Debug, Default)]
pub struct Found {
    keys: Vec<u64>,
    distances: Vec<f32>,
    scores: Vec<f32>,
    groups: Vec<u32>,
    partial: bool,
    explain: Option<Explain>,
    version: u64,
}

impl Found {
    /// Their keys.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Their distances, smaller is nearer. Empty with words or with several parts.
    pub fn distances(&self) -> &[f32] {
        &self.distances
    }

    /// Their scores, larger is better. Empty with one vector alone.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The number 0, 1, ... of each one's group. Empty without [`Find::group_by`].
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Whether time ran out.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// What it cost, when [`Find::explain`] was asked for.
    pub fn explain(&self) -> Option<&Explain> {
        self.explain.as_ref()
    }

    /// Everything up to this version was visible.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Collection {
    /// One search of several parts, whose lists become one.
    pub fn find(&self, find: &Find<'_>) -> Result<Found> {
        let places = find.places()?;
        let fields = find.legs.iter().map(Leg::field_name).collect::<Result<Vec<_>>>()?;
        let legs = find.legs.iter().zip(&fields).map(|(leg, field)| leg.raw(field));
        let legs = legs.collect::<Result<Vec<_>>>()?;
        let group_by = find.group_by.map(|(field, _)| c_string("the field", field)).transpose()?;
        let mut raw = find.raw();
        raw.legs = legs.as_ptr();
        raw.leg_count = u32::try_from(legs.len()).unwrap_or(u32::MAX); // over the limit either way
        raw.group_by = group_by.as_ref().map_or(null(), |name| name.as_ptr());

        let mut found = Found {
            keys: vec![sys::OMEN_NONE; places],
            distances: vec![0.0; places],
            scores: vec![0.0; places],
            groups: vec![0; places],
            ..Found::default()
        };
        let (mut count, mut flags) = (0u32, 0u32);
        let mut explains = Explains::new(usize::from(find.explain));
        // SAFETY: zero is a valid omen_hits.
        let mut out: sys::omen_hits = unsafe { zeroed() };
        out.struct_size = size_of::<sys::omen_hits>() as u32;
        out.keys = found.keys.as_mut_ptr();
        out.distances = found.distances.as_mut_ptr();
        out.scores = found.scores.as_mut_ptr();
        out.groups = found.groups.as_mut_ptr();
        out.counts = &mut count;
        out.flags = &mut flags;
        explains.set(&mut out);
        // SAFETY: the arrays have a place for every hit; all else lives through the call.
        check(|err| unsafe { sys::omen_find(self.raw(), &raw, &mut out, err) })?;

        let (count, one_vector) = (count as usize, find.is_one_vector());
        found.keys.truncate(count);
        found.distances.truncate(if one_vector { count } else { 0 });
        found.scores.truncate(if one_vector { 0 } else { count });
        found.groups.truncate(if find.group_by.is_some() { count } else { 0 });
        found.partial = flags & sys::OMEN_HITS_PARTIAL != 0;
        found.explain = explains.read().pop();
        found.version = out.version;
        Ok(found)
    }
}
