//! A set of named collections.
// SPDX-License-Identifier: Apache-2.0
use crate::collection::Collection;
use crate::disk::DbOptions;
use crate::error::{check, Detail, Error, Result};
use crate::options::Options;
use libomendb_sys as sys;
use std::ffi::{CStr, CString};
use std::mem::{size_of, zeroed};
use std::path::Path;
use std::ptr::{null, null_mut, NonNull};

/// A set of named collections. Collections outlive it as long as their handles do.
#[derive(Debug)]
pub struct Db {
    raw: NonNull<sys::omen_db>,
}

// SAFETY: the C interface allows any number of threads on an omen_db at once.
unsafe impl Send for Db {}
// SAFETY: as above.
unsafe impl Sync for Db {}

/// Text for the library. A NUL inside would cut it short without a word, so it is refused.
pub(crate) fn c_string(what: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid(Detail::Name, format!("{} contains a NUL", what)))
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    let text = path
        .to_str()
        .ok_or_else(|| Error::invalid(Detail::Name, "the path is not UTF-8".to_string()))?;
    c_string("the path", text)
}

impl Db {
    /// An empty one in memory, with a thread for each core.
    pub fn memory() -> Result<Db> {
        Db::with_limits(0, 0)
    }

    /// An empty one in memory with this many threads (0: one for each core) and bytes of index and
    /// scratch memory (0: no limit), beyond which writes are refused.
    pub fn with_limits(threads: u32, memory_limit: u64) -> Result<Db> {
        Db::start(None, &DbOptions { threads, memory_limit, ..DbOptions::default() })
    }

    pub(crate) fn start(path: Option<&CStr>, wanted: &DbOptions) -> Result<Db> {
        // SAFETY: zero is valid for these structs: integers and pointers that may be NULL.
        let (mut rt_options, mut options): (sys::omen_runtime_options, sys::omen_db_options) =
            unsafe { (zeroed(), zeroed()) };
        rt_options.struct_size = size_of::<sys::omen_runtime_options>() as u32;
        rt_options.threads = wanted.threads;
        rt_options.memory_limit = wanted.memory_limit;
        let mut runtime = null_mut();
        // SAFETY: the options live through the call; `runtime` receives the handle.
        check(|err| unsafe { sys::omen_runtime_create(&rt_options, &mut runtime, err) })?;
        options.struct_size = size_of::<sys::omen_db_options>() as u32;
        options.runtime = runtime;
        for (set, flag) in [
            (wanted.read_only, sys::OMEN_DB_READ_ONLY),
            (wanted.must_exist, sys::OMEN_DB_MUST_EXIST),
            (wanted.ram, sys::OMEN_DB_RAM),
        ] {
            options.flags |= if set { flag } else { 0 };
        }
        options.interval_ms = wanted.interval_ms;
        options.seal_rows = wanted.seal_rows;
        let path = path.map_or(null(), CStr::as_ptr);
        let mut raw = null_mut();
        // SAFETY: as above; a NULL path means memory.
        let opened = check(|err| unsafe { sys::omen_db_open(path, &options, &mut raw, err) });
        // SAFETY: the database keeps what it needs of the runtime alive.
        unsafe { sys::omen_runtime_free(runtime) };
        opened?;
        Ok(Db { raw: NonNull::new(raw).expect("omen_db_open returned OK and no handle") })
    }

    /// Creates an empty collection. Names match `^[a-z0-9][a-z0-9_-]{0,62}$`.
    pub fn create(&self, name: &str, options: &Options) -> Result<Collection> {
        let name = c_string("the name", name)?;
        let (mut raw, options) = (null_mut(), options.with_fields());
        // SAFETY: name and options live through the call; `raw` receives the handle.
        check(|err| unsafe {
            sys::omen_create(self.raw.as_ptr(), name.as_ptr(), &options, &mut raw, err)
        })?;
        Collection::from_raw(raw)
    }

    pub(crate) fn raw(&self) -> *mut sys::omen_db {
        self.raw.as_ptr()
    }

    /// A handle to a collection that is there.
    pub fn open_collection(&self, name: &str) -> Result<Collection> {
        self.open_raw(name, None)
    }

    /// Maps a file written by [`Collection::save`] as the read-only collection `name`.
    pub fn open_file(&self, name: &str, file: &Path) -> Result<Collection> {
        self.open_raw(name, Some(&c_path(file)?))
    }

    fn open_raw(&self, name: &str, file: Option<&CStr>) -> Result<Collection> {
        let name = c_string("the name", name)?;
        // SAFETY: zero is a valid omen_open_options.
        let mut options: sys::omen_open_options = unsafe { zeroed() };
        options.struct_size = size_of::<sys::omen_open_options>() as u32;
        options.file = file.map_or(null(), CStr::as_ptr);
        let mut raw = null_mut();
        // SAFETY: everything lives through the call; `raw` receives the handle.
        check(|err| unsafe {
            sys::omen_open(self.raw.as_ptr(), name.as_ptr(), &options, &mut raw, err)
        })?;
        Collection::from_raw(raw)
    }

    /// Removes a collection; its memory goes with the last handle.
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        let name = c_string("the name", name)?;
        // SAFETY: the name lives through the call.
        check(|err| unsafe { sys::omen_drop(self.raw.as_ptr(), name.as_ptr(), err) })
    }

    /// The names of all collections, ascending.
    pub fn list(&self) -> Result<Vec<String>> {
        const WIDTH: usize = sys::OMEN_MAX_NAME as usize + 1;
        const PAGE: usize = 64;
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map(|n| c_string("the name", n)).transpose()?;
            let after = after.as_ref().map_or(null(), |n| n.as_ptr());
            let mut page = [0 as sys::c_char; WIDTH * PAGE];
            let mut count = 0;
            // SAFETY: `page` has room for PAGE names of WIDTH bytes.
            check(|err| unsafe {
                let out = page.as_mut_ptr();
                sys::omen_list(self.raw.as_ptr(), after, out, PAGE, &mut count, err)
            })?;
            for i in 0..count.min(PAGE) {
                // SAFETY: the library ends every name with a NUL inside its WIDTH bytes.
                let name = unsafe { CStr::from_ptr(page[i * WIDTH..].as_ptr()) };
                names.push(name.to_string_lossy().into_owned());
            }
            if count < PAGE {
                return Ok(names);
            }
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // SAFETY: calls borrow the Db, so none of them runs any more.
        unsafe { sys::omen_db_free(self.raw.as_ptr()) }
    }
}
