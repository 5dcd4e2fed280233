//! Items on their way in.
// SPDX-License-Identifier: Apache-2.0
use crate::codes::{codes, Durability};
use crate::error::{Detail, Error, Result};
use crate::ids::Ids;
use crate::metadata::Metadata;
use crate::op::Op;
use crate::search::Element;
use libomendb_sys as sys;

codes! {
    /// What to do with ids that exist, and with those that do not.
    Mode: u32 {
        /// Insert or replace.
        Upsert = sys::OMEN_UPSERT,
        /// Insert; an id that exists is an error.
        Insert = sys::OMEN_INSERT,
        /// Replace; an id that does not exist is an error.
        Update = sys::OMEN_UPDATE,
        /// Set the named fields of the metadata, unset those that are null, keep the others; an id that
        /// does not exist is an error. The other modes replace the whole item.
        Patch = sys::OMEN_PATCH,
    }
}

/// Items to add, borrowed for the call. A batch is applied as a whole or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, T> {
    pub(crate) vectors: &'a [T],
    pub(crate) dim: u32,
    pub(crate) ids: Option<Ids<'a>>,
    pub(crate) metadata: Option<&'a Metadata>,
    pub(crate) if_version: Option<&'a [u64]>,
    pub(crate) mode: Mode,
    pub(crate) durability: Durability,
    pub(crate) request_id: &'a str,
    pub(crate) stream: (&'a str, u64, u64),
    pub(crate) nowait: bool,
    pub(crate) op: Option<&'a Op>,
}

impl<'a, T: Element> Batch<'a, T> {
    /// Rows of `dim` elements each, one after the other. Without ids they get rising numbers.
    pub fn new(vectors: &'a [T], dim: u32) -> Self {
        Batch {
            vectors,
            dim,
            ids: None,
            metadata: None,
            if_version: None,
            mode: Mode::Upsert,
            durability: Durability::Default,
            request_id: "",
            stream: ("", 0, 0),
            nowait: false,
            op: None,
        }
    }

    /// One id for each row.
    pub fn ids(mut self, ids: Ids<'a>) -> Self {
        self.ids = Some(ids);
        self
    }

    /// A JSON object for each row.
    pub fn metadata(mut self, metadata: &'a Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// For each row the [version](crate::Item::version) that the item must have (0: it must not be
    /// there), else nothing is written: [`Detail::VersionConflict`].
    pub fn if_version(mut self, versions: &'a [u64]) -> Self {
        self.if_version = Some(versions);
        self
    }

    /// What to do with ids that exist.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// A higher level than the collection's.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// A token that makes a repeated call harmless.
    pub fn request_id(mut self, request_id: &'a str) -> Self {
        self.request_id = request_id;
        self
    }

    /// Place in a stream opened with
    /// [`Collection::open_stream`](crate::Collection::open_stream): `seq` is 1, 2, 3, ...
    pub fn stream(mut self, stream_id: &'a str, seq: u64, epoch: u64) -> Self {
        self.stream = (stream_id, seq, epoch);
        self
    }

    /// Return as soon as the batch is queued; [`Collection::wait`](crate::Collection::wait) tells the
    /// rest.
    pub fn nowait(mut self) -> Self {
        self.nowait = true;
        self
    }

    /// Watches and cancels the call.
    pub fn op(mut self, op: &'a Op) -> Self {
        self.op = Some(op);
        self
    }

    /// The number of rows, once the slices are found to fit each other.
    pub(crate) fn rows(&self) -> Result<usize> {
        let rows = match (self.metadata, self.has_vectors()) {
            (Some(metadata), false) => metadata.len(),
            _ => rows_of(self.vectors.len(), self.dim)?,
        };
        for (what, len) in [
            ("ids", self.ids.map(|ids| ids.len())),
            ("objects of metadata", self.metadata.map(Metadata::len)),
            ("versions", self.if_version.map(<[u64]>::len)),
        ] {
            if let Some(len) = len.filter(|&len| len != rows) {
                return Err(Error::invalid(
                    Detail::None,
                    format!("{} {} for {} rows", len, what, rows),
                ));
            }
        }
        Ok(rows)
    }

    /// Whether this is more than a patch of metadata.
    pub(crate) fn has_vectors(&self) -> bool {
        self.dim != 0 || !self.vectors.is_empty() || self.mode != Mode::Patch
    }
}

impl<'a> Batch<'a, f32> {
    /// Changes the metadata of items and leaves their vectors: fields are set, null ones unset.
    pub fn patch(ids: Ids<'a>, metadata: &'a Metadata) -> Self {
        Batch::new(&[], 0).ids(ids).metadata(metadata).mode(Mode::Patch)
    }
}

/// Elements to rows. Checked here, because the library cannot know where a slice ends.
pub(crate) fn rows_of(elements: usize, dim: u32) -> Result<usize> {
    if dim == 0 || elements % dim as usize != 0 {
        let message = format!("{} elements are no whole vectors of dimension {}", elements, dim);
        return Err(Error::invalid(Detail::DimMismatch, message));
    }
    Ok(elements / dim as usize)
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// Version of this write; the first one's when it was replayed.
    pub version: u64,
    /// Items inserted or replaced, or deleted.
    pub applied: u64,
    /// Of these: items that existed.
    pub replaced: u64,
    /// Whether the request or the sequence number was seen before.
    pub replayed: bool,
    /// Rows of the collection that are not in the graph yet.
    pub backlog_rows: u64,
}

impl Write {
    pub(crate) fn from_raw(raw: &sys::omen_write_result) -> Self {
        Write {
            version: raw.version,
            applied: raw.applied,
            replaced: raw.replaced,
            replayed: raw.replayed != 0,
            backlog_rows: raw.backlog_rows,
        }
    }
}
