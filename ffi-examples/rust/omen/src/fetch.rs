//! Items as they are stored, facets, and listings.
// SPDX-License-Identifier: Apache-2.0
use crate::collection::Collection;
use crate::db::c_string;
use crate::error::{check, Result};
use crate::filter::Filter;
use crate::ids::{no_column, read_column, Id, Ids};
use libomendb_sys as sys;
use std::ffi::CString;
use std::mem::{size_of, zeroed};
use std::ptr::{null, null_mut, NonNull};

/// One item as it is stored, borrowed from [`Rows`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item<'a> {
    /// Its key.
    pub key: u64,
    /// Its id.
    pub id: Id,
    /// A JSON object, its fields in the order of [`Collection::fields`].
    pub metadata: &'a str,
    /// For [`Batch::if_version`](crate::Batch::if_version).
    pub version: u64,
}

/// Columns of the library, freed when dropped.
#[derive(Debug)]
struct Columns {
    raw: NonNull<sys::omen_rows>,
}

// SAFETY: the library's rows never change, and any thread may read and free them.
unsafe impl Send for Columns {}
// SAFETY: as above.
unsafe impl Sync for Columns {}

impl Columns {
    fn from_raw(raw: *mut sys::omen_rows) -> Self {
        Columns { raw: NonNull::new(raw).expect("the library returned OK and no rows") }
    }

    fn len(&self) -> usize {
        // SAFETY: the handle is alive.
        unsafe { sys::omen_rows_count(self.raw.as_ptr()) as usize }
    }

    fn column(&self, field: u32) -> sys::omen_column {
        let mut column = no_column();
        // SAFETY: the handle is alive; `column` is written to.
        unsafe { sys::omen_rows_column(self.raw.as_ptr(), field, &mut column) };
        column
    }

    /// Value i of a column of UTF-8 that was asked for.
    fn text(&self, field: u32, i: usize) -> &str {
        assert!(i < self.len());
        let column = self.column(field);
        assert!(column.offset_bits == 64, "a text of the library has 64-bit offsets");
        // SAFETY: i is below the count; the column has count + 1 ascending offsets, lives as long as
        // self, and holds UTF-8.
        unsafe {
            let offsets = column.offsets.cast::<i64>();
            let (from, to) = (*offsets.add(i) as usize, *offsets.add(i + 1) as usize);
            if from == to {
                return "";
            }
            let bytes = column.data.cast::<u8>().add(from);
            std::str::from_utf8(std::slice::from_raw_parts(bytes, to - from)).unwrap_or("")
        }
    }

    /// Value i of a column of numbers that was asked for.
    fn number(&self, field: u32, i: usize) -> u64 {
        assert!(i < self.len());
        let column = self.column(field);
        assert!(
            column.offset_bits == 0 && column.width == 8,
            "numbers of the library have 8 bytes"
        );
        // SAFETY: i is below the count.
        unsafe { column.data.cast::<u64>().add(i).read_unaligned() }
    }
}

impl Drop for Columns {
    fn drop(&mut self) {
        // SAFETY: what was borrowed from self has ended.
        unsafe { sys::omen_rows_free(self.raw.as_ptr()) }
    }
}

/// Fetched items, one for each key that was asked for, all of one moment.
#[derive(Debug)]
pub struct Rows {
    columns: Columns,
    keys: Vec<u64>,
    ids: Vec<Option<Id>>,
}

impl Rows {
    /// As many as there were keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The item of key `i`; `None` when it is not there.
    pub fn get(&self, i: usize) -> Option<Item<'_>> {
        let (key, id) = (*self.keys.get(i)?, self.ids[i].clone()?);
        let version = self.columns.number(sys::OMEN_FIELD_VERSION, i);
        let metadata = self.columns.text(sys::OMEN_FIELD_METADATA, i);
        if version == 0 {
            return None;
        }
        Some(Item { key, id, metadata, version })
    }

    /// The items that are there, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> + '_ {
        (0..self.len()).filter_map(move |i| self.get(i))
    }
}

/// A value of a field, and how many items have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facet {
    /// As JSON: a string is in quotes.
    pub value: String,
    /// Items.
    pub count: u64,
}

/// Which items [`Collection::pages`] returns, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    filter: Option<&'a Filter>,
    order_by: Option<&'a str>,
    descending: bool,
    page: usize,
}

impl<'a> Listing<'a> {
    /// All items in the order they were written, 1,000 a page.
    pub fn new() -> Self {
        Listing { filter: None, order_by: None, descending: false, page: 1000 }
    }

    /// Only items that pass.
    pub fn filter(mut self, filter: &'a Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// By a field that is no array, geo or text; nulls come last.
    pub fn order_by(mut self, field: &'a str) -> Self {
        self.order_by = Some(field);
        self
    }

    /// The largest first.
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Items of a page, at least 1.
    pub fn page(mut self, items: usize) -> Self {
        self.page = items.max(1);
        self
    }
}

impl Default for Listing<'_> {
    fn default() -> Self {
        Listing::new()
    }
}

/// The pages of a listing, of the moment when it began.
#[derive(Debug)]
pub struct Pages<'a> {
    view: Collection,
    listing: Listing<'a>,
    order_by: Option<CString>,
    after: Option<u64>,
    over: bool,
}

impl Pages<'_> {
    fn page(&mut self) -> Result<Rows> {
        let mut keys = vec![sys::OMEN_NONE; self.listing.page];
        // SAFETY: zero is a valid omen_listing.
        let mut raw: sys::omen_listing = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_listing>() as u32;
        raw.flags = if self.listing.descending { sys::OMEN_LIST_DESCENDING } else { 0 };
        raw.filter = Filter::raw(self.listing.filter);
        raw.order_by = self.order_by.as_ref().map_or(null(), |name| name.as_ptr());
        if let Some(after) = self.after {
            raw.flags |= sys::OMEN_LIST_AFTER;
            raw.after = after;
        }
        let mut count = 0;
        // SAFETY: `keys` has as many places as are told; the rest lives through the call.
        check(|err| unsafe {
            let (out, capacity) = (keys.as_mut_ptr(), keys.len() as u64);
            sys::omen_list_items(self.view.raw(), &raw, out, capacity, &mut count, err)
        })?;
        self.over = (count as usize) < keys.len();
        keys.truncate(count as usize);
        self.after = keys.last().copied().or(self.after);
        self.view.fetch(&keys)
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Rows>;

    fn next(&mut self) -> Option<Result<Rows>> {
        if self.over {
            return None;
        }
        let page = self.page();
        self.over |= page.is_err();
        match page {
            Ok(rows) if rows.is_empty() => None,
            page => Some(page),
        }
    }
}

impl Collection {
    /// The items of keys, as searches return them.
    pub fn fetch(&self, keys: &[u64]) -> Result<Rows> {
        self.fetch_raw(keys, None)
    }

    /// The same with only these fields in their metadata.
    pub fn fetch_fields(&self, keys: &[u64], names: &[&str]) -> Result<Rows> {
        let names = names.iter().map(|name| c_string("the field", name));
        self.fetch_raw(keys, Some(names.collect::<Result<Vec<_>>>()?))
    }

    /// The items of ids.
    pub fn get(&self, ids: Ids<'_>) -> Result<Rows> {
        let keys = self.lookup(ids)?.into_iter().map(|key| key.unwrap_or(sys::OMEN_NONE));
        self.fetch(&keys.collect::<Vec<_>>())
    }

    fn fetch_raw(&self, keys: &[u64], names: Option<Vec<CString>>) -> Result<Rows> {
        const WANTED: u32 = sys::OMEN_FIELD_ID | sys::OMEN_FIELD_METADATA | sys::OMEN_FIELD_VERSION;
        let (count, at, mut rows) = (keys.len() as u64, keys.as_ptr(), null_mut());
        // SAFETY: keys and names live through the call; `rows` receives the handle.
        check(|err| unsafe {
            match &names {
                None => sys::omen_fetch(self.raw(), at, count, WANTED, &mut rows, err),
                Some(names) => {
                    let names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
                    let (list, len) = (names.as_ptr(), names.len() as u64);
                    let out = &mut rows;
                    sys::omen_fetch_fields(self.raw(), at, count, WANTED, list, len, out, err)
                }
            }
        })?;
        let columns = Columns::from_raw(rows);
        // SAFETY: the column lives as long as `columns` and has a value for each key.
        let ids = unsafe { read_column(&columns.column(sys::OMEN_FIELD_ID), keys.len()) }?;
        Ok(Rows { columns, keys: keys.to_vec(), ids })
    }

    /// Values of a field among the items that pass (of an array: each of its different values), the
    /// most frequent first, at most `limit`.
    pub fn facet(&self, field: &str, filter: Option<&Filter>, limit: u32) -> Result<Vec<Facet>> {
        let (name, mut rows) = (c_string("the field", field)?, null_mut());
        // SAFETY: name and filter live through the call; `rows` receives the handle.
        check(|err| unsafe {
            let filter = Filter::raw(filter);
            sys::omen_facet(self.raw(), filter, name.as_ptr(), limit, &mut rows, err)
        })?;
        let columns = Columns::from_raw(rows);
        Ok((0..columns.len())
            .map(|i| Facet {
                value: columns.text(sys::OMEN_FIELD_VALUE, i).to_string(),
                count: columns.number(sys::OMEN_FIELD_COUNT, i),
            })
            .collect())
    }

    /// All items that pass, page by page, as they are now.
    pub fn pages<'a>(&self, listing: &Listing<'a>) -> Result<Pages<'a>> {
        let order_by = listing.order_by.map(|name| c_string("the field", name)).transpose()?;
        let view = self.snapshot()?;
        Ok(Pages { view, listing: *listing, order_by, after: None, over: false })
    }
}
