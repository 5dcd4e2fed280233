//! Conditions on the metadata of items.
// SPDX-License-Identifier: Apache-2.0
use crate::batch::Write;
use crate::collection::{write_result, Collection};
use crate::error::{check, Result};
use libomendb_sys as sys;
use std::convert::TryFrom;
use std::ptr::{null, null_mut, NonNull};
use std::time::{SystemTime, UNIX_EPOCH};

/// A compiled condition; make one with [`Collection::filter`]. Used again it is faster than its text:
/// it keeps the answers that it has computed. It borrows nothing, may be used by any number of threads
/// with its collection and that one's snapshots, and may outlive them.
#[derive(Debug)]
pub struct Filter {
    raw: NonNull<sys::omen_filter>,
}

// SAFETY: the C interface allows any number of threads on an omen_filter at once.
unsafe impl Send for Filter {}
// SAFETY: as above.
unsafe impl Sync for Filter {}

impl Filter {
    fn from_raw(raw: *mut sys::omen_filter) -> Filter {
        Filter { raw: NonNull::new(raw).expect("the library returned OK and no handle") }
    }

    pub(crate) fn raw(filter: Option<&Filter>) -> *const sys::omen_filter {
        filter.map_or(null(), |f| f.raw.as_ptr())
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: calls borrow the Filter, so none of them runs any more.
        unsafe { sys::omen_filter_free(self.raw.as_ptr()) }
    }
}

/// A value of `$1`, `$2`, ... of a filter. Those of slices are for `IN $1`, `CONTAINS ANY $1` and
/// `CONTAINS ALL $1`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Param<'a> {
    /// A text; for a time RFC 3339.
    Str(&'a str),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Microseconds since 1970.
    Time(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Texts.
    Strs(&'a [&'a str]),
    /// Integers.
    Ints(&'a [i64]),
    /// Numbers.
    Floats(&'a [f64]),
    /// Truth values.
    Bools(&'a [bool]),
    /// Microseconds since 1970.
    Times(&'a [i64]),
}

/// Conversions into a [`Param`].
macro_rules! params {
    ($($from:ty => $variant:ident;)+) => {$(
        impl<'a> From<$from> for Param<'a> {
            fn from(value: $from) -> Self {
                Param::$variant(value.into())
            }
        }
    )+};
}

params! {
    &'a str => Str;
    i32 => Int;
    u32 => Int;
    i64 => Int;
    f32 => Float;
    f64 => Float;
    bool => Bool;
    &'a [u8] => Bytes;
    &'a [&'a str] => Strs;
    &'a [i64] => Ints;
    &'a [f64] => Floats;
}

impl From<SystemTime> for Param<'_> {
    /// Times that 64 bits of microseconds cannot hold become the first or the last that they can.
    fn from(time: SystemTime) -> Self {
        Param::Time(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        })
    }
}

/// Texts of a parameter, one after the other.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    offsets: Vec<u64>,
}

impl Texts {
    fn of<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Self {
        let mut all = Texts { bytes: Vec::new(), offsets: vec![0] };
        for text in texts {
            all.bytes.extend_from_slice(text);
            all.offsets.push(all.bytes.len() as u64);
        }
        all
    }
}

impl Param<'_> {
    fn texts(&self) -> Texts {
        match *self {
            Param::Str(text) => Texts::of([text.as_bytes()]),
            Param::Bytes(bytes) => Texts::of([bytes]),
            Param::Strs(texts) => Texts::of(texts.iter().map(|text| text.as_bytes())),
            _ => Texts::default(),
        }
    }

    /// Valid as long as self and `texts` stay where they are.
    fn raw(&self, texts: &Texts) -> sys::omen_param {
        let (type_, count, data) = match self {
            Param::Str(_) => (sys::OMEN_TYPE_STRING, 1, texts.bytes.as_ptr().cast()),
            Param::Bytes(_) => (sys::OMEN_TYPE_BYTES, 1, texts.bytes.as_ptr().cast()),
            Param::Strs(all) => (sys::OMEN_TYPE_STRING, all.len(), texts.bytes.as_ptr().cast()),
            Param::Int(value) => (sys::OMEN_TYPE_INT64, 1, (value as *const i64).cast()),
            Param::Float(value) => (sys::OMEN_TYPE_DOUBLE, 1, (value as *const f64).cast()),
            Param::Bool(value) => (sys::OMEN_TYPE_BOOL, 1, (value as *const bool).cast()),
            Param::Time(value) => (sys::OMEN_TYPE_TIME, 1, (value as *const i64).cast()),
            Param::Ints(all) => (sys::OMEN_TYPE_INT64, all.len(), all.as_ptr().cast()),
            Param::Floats(all) => (sys::OMEN_TYPE_DOUBLE, all.len(), all.as_ptr().cast()),
            Param::Bools(all) => (sys::OMEN_TYPE_BOOL, all.len(), all.as_ptr().cast()),
            Param::Times(all) => (sys::OMEN_TYPE_TIME, all.len(), all.as_ptr().cast()),
        };
        let count = u32::try_from(count).unwrap_or(u32::MAX); // over the limit either way
        sys::omen_param { type_, count, data, offsets: texts.offsets.as_ptr() }
    }
}

impl Collection {
    /// Compiles a condition: `c.filter("year >= $1 AND genres CONTAINS $2", &[1950.into(), "War".into()])`.
    /// `omen.h` has the language. [`Detail`](crate::Detail)s of errors are `FilterSyntax` (the message
    /// says what was expected at which byte), `Field` and `Type`.
    pub fn filter(&self, text: &str, params: &[Param<'_>]) -> Result<Filter> {
        let texts: Vec<Texts> = params.iter().map(Param::texts).collect();
        let values: Vec<sys::omen_param> =
            params.iter().zip(&texts).map(|(param, texts)| param.raw(texts)).collect();
        let mut raw = null_mut();
        // SAFETY: text and values live through the call, which copies them; `raw` receives the handle.
        check(|err| unsafe {
            let (at, len, count) = (text.as_ptr().cast(), text.len(), values.len() as u64);
            sys::omen_filter_compile(self.raw(), at, len, values.as_ptr(), count, &mut raw, err)
        })?;
        Ok(Filter::from_raw(raw))
    }

    /// A filter that the items of these keys pass, as far as they are there when it is used.
    pub fn filter_keys(&self, keys: &[u64]) -> Result<Filter> {
        let mut raw = null_mut();
        // SAFETY: the keys live through the call; `raw` receives the handle.
        check(|err| unsafe {
            let count = keys.len() as u64;
            sys::omen_filter_from_keys(self.raw(), keys.as_ptr(), count, &mut raw, err)
        })?;
        Ok(Filter::from_raw(raw))
    }

    /// Live items that pass.
    pub fn count_where(&self, filter: &Filter) -> Result<u64> {
        let mut count = 0;
        // SAFETY: `count` is written to.
        check(|err| unsafe {
            sys::omen_count_where(self.raw(), Filter::raw(Some(filter)), &mut count, err)
        })?;
        Ok(count)
    }

    /// Deletes the items that pass; [`Write::applied`] counts them.
    pub fn delete_where(&self, filter: &Filter) -> Result<Write> {
        let mut result = write_result();
        // SAFETY: the handles live through the call; no batch means no request id and no stream.
        check(|err| unsafe {
            let filter = Filter::raw(Some(filter));
            sys::omen_delete_where(self.raw(), filter, null(), &mut result, null_mut(), err)
        })?;
        Ok(Write::from_raw(&result))
    }
}
