//! OmenDB in your process: store vectors, find the nearest ones again.
//!
//! ```
//! use omen::{Batch, Db, Options, Query};
//!
//! # fn main() -> Result<(), omen::Error> {
//! let db = Db::memory()?;
//! let points = db.create("points", &Options::new(2))?;
//! points.add(&Batch::new(&[0.0f32, 0.0, 1.0, 1.0, 5.0, 5.0], 2))?;
//! let hits = points.search(&Query::new(&[0.9f32, 0.9], 2).k(1))?;
//! assert_eq!(hits.query(0).next().unwrap().key, 1);
//! # Ok(())
//! # }
//! ```
//!
//! * Vectors go in as one slice of `rows * dim` elements of type `f32`, [`F16`], `i8` or `u8`; nothing
//!   is copied on the way to the library.
//! * [`Db`] and [`Collection`] are handles that any number of threads may use at once; dropping one
//!   frees it, in any order.
//! * [`Db::open`] keeps everything in a folder; what was acknowledged is there again after a crash.
//! * Items carry [`Metadata`]; a [`Filter`] is a condition on it, [`Find`] a search for vectors, words
//!   and likeness at once.
//! * Every failure is an [`Error`] with a [`Status`], a [`Detail`], the offending item and a text.
//! * An [`Op`] watches and cancels a call from another thread.
//! * After `fork` every call in the child returns an error; open a new [`Db`] there.
// SPDX-License-Identifier: Apache-2.0
#![deny(missing_docs)]

mod batch;
mod codes;
mod collection;
mod db;
mod disk;
mod error;
mod fetch;
mod filter;
mod find;
mod ids;
mod metadata;
mod op;
mod options;
mod search;

pub use batch::{Batch, Mode, Write};
pub use codes::{DataType, Durability, Entry, IdType, Metric, Quantization, Rotation};
pub use collection::{Collection, Recall, RecallOptions, Stats, WaitFor};
pub use db::Db;
pub use disk::{estimate, restore, verify, BackupResult, DbOptions, DbStats, Estimate, State};
pub use error::{Detail, Error, Result, Status};
pub use fetch::{Facet, Item, Listing, Pages, Rows};
pub use filter::{Filter, Param};
pub use find::{Find, Found, Fusion, Leg};
pub use ids::{Id, Ids};
pub use metadata::{Field, FieldType, Metadata};
pub use op::{Op, Progress};
pub use options::Options;
pub use search::{Element, Explain, Hit, Hits, Plan, Query, F16};

/// Version of the loaded library, such as "0.1.0".
pub fn version() -> &'static str {
    // SAFETY: the library returns a string in static storage.
    unsafe { error::static_text(libomendb_sys::omen_version_string()) }
}

/// The instruction set in use, such as "avx2".
pub fn isa() -> &'static str {
    // SAFETY: the library returns a string in static storage.
    unsafe { error::static_text(libomendb_sys::omen_isa_name()) }
}
