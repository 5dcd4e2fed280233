//! Ids going in as borrowed slices, ids coming out as owned values.
// SPDX-License-Identifier: Apache-2.0
use crate::error::{Detail, Error, Result};
use libomendb_sys as sys;
use std::convert::TryFrom;
use std::ffi::c_void;
use std::ptr::null;

/// Ids of items, borrowed. They must be of the collection's type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ids<'a> {
    /// Numbers.
    U64(&'a [u64]),
    /// Sixteen bytes each.
    Uuid(&'a [[u8; 16]]),
    /// UTF-8, at most 512 bytes each.
    Str(&'a [&'a str]),
}

/// The id of one item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Id {
    /// A number.
    U64(u64),
    /// Sixteen bytes.
    Uuid([u8; 16]),
    /// Text.
    Str(String),
}

impl Ids<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Ids::U64(ids) => ids.len(),
            Ids::Uuid(ids) => ids.len(),
            Ids::Str(ids) => ids.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Ids as the C interface takes them. Owns what had to be put together; borrows the rest.
pub(crate) struct Column<'a> {
    ids: Ids<'a>,
    text: Vec<u8>,
    offsets: Vec<i64>,
}

impl<'a> Column<'a> {
    pub(crate) fn new(ids: Ids<'a>) -> Self {
        let mut column = Column { ids, text: Vec::new(), offsets: Vec::new() };
        if let Ids::Str(strings) = ids {
            column.offsets.reserve(strings.len() + 1);
            column.offsets.push(0);
            for string in strings {
                column.text.extend_from_slice(string.as_bytes());
                column.offsets.push(column.text.len() as i64);
            }
            if column.text.is_empty() {
                column.text.push(0); // a pointer to no bytes would mean "absent"
            }
        }
        column
    }

    /// Valid as long as self is neither moved nor dropped.
    pub(crate) fn raw(&self) -> sys::omen_column {
        let (data, width): (*const c_void, u32) = match self.ids {
            Ids::U64(ids) => (ids.as_ptr().cast(), 8),
            Ids::Uuid(ids) => (ids.as_ptr().cast(), 16),
            Ids::Str(_) => (self.text.as_ptr().cast(), 0),
        };
        if width == 0 {
            let offsets = self.offsets.as_ptr().cast();
            return sys::omen_column { data, offsets, offset_bits: 64, width };
        }
        sys::omen_column { data, offsets: null(), offset_bits: 0, width }
    }
}

pub(crate) fn no_column() -> sys::omen_column {
    sys::omen_column { data: null(), offsets: null(), offset_bits: 0, width: 0 }
}

/// Copies the ids out of a column of the library. `None` for an absent key.
///
/// # Safety
/// `column` must hold `count` values, as the library fills it.
pub(crate) unsafe fn read_column(
    column: &sys::omen_column,
    count: usize,
) -> Result<Vec<Option<Id>>> {
    (0..count)
        .map(|i| match (column.offset_bits, column.width) {
            (0, 8) => {
                let id = *column.data.cast::<u64>().add(i);
                Ok(if id == sys::OMEN_NONE { None } else { Some(Id::U64(id)) })
            }
            (0, 16) => {
                let id = *column.data.cast::<[u8; 16]>().add(i);
                Ok(if id == [0xff; 16] { None } else { Some(Id::Uuid(id)) })
            }
            (64, _) => {
                let offsets = column.offsets.cast::<i64>();
                let (from, to) = (*offsets.add(i), *offsets.add(i + 1));
                let len = usize::try_from(to - from).map_err(|_| unknown_layout(column))?;
                if len == 0 {
                    return Ok(None);
                }
                let bytes = column.data.cast::<u8>().offset(from as isize);
                let text = std::slice::from_raw_parts(bytes, len);
                Ok(Some(Id::Str(String::from_utf8_lossy(text).into_owned())))
            }
            _ => Err(unknown_layout(column)),
        })
        .collect()
}

fn unknown_layout(column: &sys::omen_column) -> Error {
    let message = format!("ids of offset_bits {} and width {}", column.offset_bits, column.width);
    Error::invalid(Detail::Type, message)
}
