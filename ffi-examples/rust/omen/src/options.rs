//! What a collection is created with.
// SPDX-License-Identifier: Apache-2.0
use crate::codes::{DataType, Durability, Entry, IdType, Metric, Quantization, Rotation};
use crate::metadata::Field;
use libomendb_sys as sys;
use std::mem::{size_of, zeroed};

/// What a collection is created with. What is not set is chosen by the library.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) raw: sys::omen_options, // its pointer to fields is NULL
    fields: Vec<sys::omen_field>,
}

// SAFETY: the only pointer in it is NULL.
unsafe impl Send for Options {}
// SAFETY: as above.
unsafe impl Sync for Options {}

/// A setter and a getter of one field.
macro_rules! fields {
    ($($(#[$meta:meta])* $name:ident / $get:ident: $ty:ty;)+) => {$(
        $(#[$meta])*
        pub fn $name(mut self, $name: $ty) -> Self {
            self.raw.$name = $name.into();
            self
        }

        $(#[$meta])*
        pub fn $get(&self) -> $ty {
            self.raw.$name.into()
        }
    )+};
}

impl Options {
    /// A collection of vectors with `dim` elements (1 to 65,535): f32, L2, numbers as ids.
    pub fn new(dim: u32) -> Self {
        let mut options = Options::zero();
        options.raw.dim = dim;
        options.raw.metric = sys::OMEN_L2;
        options.raw.dtype = sys::OMEN_F32;
        options.raw.id_type = sys::OMEN_ID_U64;
        options
    }

    pub(crate) fn zero() -> Self {
        // SAFETY: zero is a valid omen_options: integers, and a pointer that may be NULL.
        let mut raw: sys::omen_options = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_options>() as u32;
        Options { raw, fields: Vec::new() }
    }

    /// Declares fields of the metadata. Numbers, strings, bools and arrays of one of them need none.
    pub fn fields(mut self, fields: &[Field]) -> Self {
        self.fields = fields.iter().map(Field::raw).collect();
        self
    }

    /// As the library takes it; valid as long as self lives and is not changed.
    pub(crate) fn with_fields(&self) -> sys::omen_options {
        let mut raw = self.raw;
        raw.fields = self.fields.as_ptr();
        raw.field_count = self.fields.len() as u64;
        raw
    }

    /// Elements of a vector.
    pub fn dim(&self) -> u32 {
        self.raw.dim
    }

    fields! {
        /// How near two vectors are.
        metric / get_metric: Metric;
        /// Type of the stored elements; they come back bit for bit.
        dtype / get_dtype: DataType;
        /// What identifies an item.
        id_type / get_id_type: IdType;
        /// Links chosen for a new item; a node keeps `2 m - 1`. 0: chosen.
        m / get_m: u32;
        /// Beam width while the graph is built. 0: chosen.
        ef_construction / get_ef_construction: u32;
        /// What the graph is traversed with.
        quantization / get_quantization: Quantization;
        /// Whether vectors are rotated before they are quantised.
        rotation / get_rotation: Rotation;
        /// Where a search enters the graph.
        entry / get_entry: Entry;
        /// Level of acknowledged writes.
        durability / get_durability: Durability;
        /// Rows expected; a hint only.
        capacity_hint / get_capacity_hint: u64;
        /// Rows not yet in the graph before writers wait. 0: chosen.
        max_backlog_rows / get_max_backlog_rows: u64;
    }
}
