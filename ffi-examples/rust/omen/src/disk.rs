//! Databases in a folder: opening, checkpoints, figures, backups; and what data will take.
// SPDX-License-Identifier: Apache-2.0
use crate::codes::codes;
use crate::db::{c_path, Db};
use crate::error::{check, Result};
use crate::op::Op;
use crate::options::Options;
use libomendb_sys as sys;
use std::ffi::{CStr, CString};
use std::mem::{size_of, zeroed};
use std::path::Path;
use std::ptr::{null, null_mut};

codes! {
    /// Whether a database takes writes.
    State: u32 {
        /// It does.
        Writable = sys::OMEN_DB_WRITABLE,
        /// It was opened for reading.
        ReadOnly = sys::OMEN_DB_OPENED_READ_ONLY,
        /// Not until there is space on the disk again.
        DiskFull = sys::OMEN_DB_DISK_FULL,
        /// The log could not be written: open it again.
        Failed = sys::OMEN_DB_FAILED,
        /// The log is damaged below what was durable.
        Damaged = sys::OMEN_DB_DAMAGED,
    }
}

/// How a database is opened. What is not set is chosen by the library.
#[derive(Clone, Copy, Debug, Default)]
pub struct DbOptions {
    /// Threads; 0: one for each core.
    pub threads: u32,
    /// Bytes of index and scratch memory, beyond which writes are refused; 0: no limit.
    pub memory_limit: u64,
    /// Only read: beside the one process that writes, as the database is now (see [`Db::refresh`]).
    pub read_only: bool,
    /// An error instead of an empty database when there is none.
    pub must_exist: bool,
    /// Copy segments into memory instead of serving them from mapped files.
    pub ram: bool,
    /// Milliseconds between two syncs of the level `Interval`; 0: 50.
    pub interval_ms: u32,
    /// Rows of a growing segment before it becomes a file; 0: chosen.
    pub seal_rows: u64,
}

/// State and figures of a database.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DbStats {
    /// Whether it takes writes.
    pub state: State,
    /// Why not.
    pub reason: String,
    /// The newest version.
    pub version: u64,
    /// Everything up to it survives a loss of power.
    pub durable_version: u64,
    /// Collections.
    pub collections: u64,
    /// Segments of all collections.
    pub segments: u64,
    /// Bytes of the log and of the segment files.
    pub disk_bytes: u64,
    /// Rows that opening put back into memory from the log.
    pub recovered_rows: u64,
}

/// What a backup, a restoration or a verification has seen.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BackupResult {
    /// Everything durable up to it is in the backup.
    pub version: u64,
    /// Files, and their bytes.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Of these: linked, not copied.
    pub files_linked: u64,
    /// Bytes that were copied.
    pub bytes_copied: u64,
}

/// What a collection will take, in bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Estimate {
    /// Codes, links and ids, in memory or page cache.
    pub memory_serving: u64,
    /// At most beside it while rows come in and segments merge.
    pub memory_growing: u64,
    /// Files, once merged.
    pub disk: u64,
    /// At most while merging.
    pub disk_peak: u64,
}

impl Db {
    /// The database in this folder, which is made when it is missing. What was acknowledged is there
    /// again after any end of the process.
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Db::open_with(path, &DbOptions::default())
    }

    /// The same with options.
    pub fn open_with(path: impl AsRef<Path>, options: &DbOptions) -> Result<Db> {
        Db::start(Some(&c_path(path.as_ref())?), options)
    }

    /// Writes everything so far into segment files and trims the log. Writers go on.
    pub fn checkpoint(&self, op: Option<&Op>) -> Result<()> {
        // SAFETY: the handles live through the call.
        check(|err| unsafe { sys::omen_checkpoint(self.raw(), Op::raw(op), err) })
    }

    /// Opened for reading: moves on to what the writer has made durable since; whether there was
    /// something.
    pub fn refresh(&self) -> Result<bool> {
        let mut changed = 0;
        // SAFETY: `changed` is written to.
        check(|err| unsafe { sys::omen_refresh(self.raw(), &mut changed, err) })?;
        Ok(changed != 0)
    }

    /// State and figures.
    pub fn stats(&self) -> Result<DbStats> {
        // SAFETY: zero is a valid omen_db_stats.
        let mut raw: sys::omen_db_stats = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::omen_db_stats>() as u32;
        // SAFETY: struct_size is set.
        check(|err| unsafe { sys::omen_get_db_stats(self.raw(), &mut raw, err) })?;
        // SAFETY: the library ends the reason with a NUL.
        let reason = unsafe { CStr::from_ptr(raw.reason.as_ptr()) };
        Ok(DbStats {
            state: raw.state.into(),
            reason: reason.to_string_lossy().into_owned(),
            version: raw.version,
            durable_version: raw.durable_version,
            collections: raw.collections,
            segments: raw.segments,
            disk_bytes: raw.log_bytes + raw.segment_bytes,
            recovered_rows: raw.recovered_rows,
        })
    }

    /// A consistent copy in a new folder, while writes go on. Files that `previous`, an older backup,
    /// has are linked from it.
    pub fn backup(
        &self,
        path: impl AsRef<Path>,
        previous: Option<&Path>,
        op: Option<&Op>,
    ) -> Result<BackupResult> {
        let path = c_path(path.as_ref())?;
        let previous = previous.map(c_path).transpose()?;
        let options = backup_options(previous.as_ref(), op);
        let mut out = backup_result();
        // SAFETY: paths and options live through the call.
        check(|err| unsafe {
            sys::omen_backup(self.raw(), path.as_ptr(), &options, &mut out, err)
        })?;
        Ok(taken(&out))
    }
}

/// Checks a backup and copies it into a new folder, which [`Db::open`] opens.
pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<BackupResult> {
    let (from, to) = (c_path(from.as_ref())?, c_path(to.as_ref())?);
    let options = backup_options(None, None);
    let mut out = backup_result();
    // SAFETY: paths and options live through the call.
    check(|err| unsafe {
        sys::omen_restore(from.as_ptr(), to.as_ptr(), &options, &mut out, err)
    })?;
    Ok(taken(&out))
}

/// Reads every byte of a backup, or of a database that is not open for writing, and checks it.
pub fn verify(path: impl AsRef<Path>) -> Result<BackupResult> {
    let path = c_path(path.as_ref())?;
    let options = backup_options(None, None);
    let mut out = backup_result();
    // SAFETY: path and options live through the call.
    check(|err| unsafe { sys::omen_verify(path.as_ptr(), &options, &mut out, err) })?;
    Ok(taken(&out))
}

/// What `rows` items with ids of `id_bytes` bytes (text) will take.
pub fn estimate(options: &Options, rows: u64, id_bytes: u32) -> Result<Estimate> {
    // SAFETY: zero is a valid omen_estimate_result.
    let mut out: sys::omen_estimate_result = unsafe { zeroed() };
    out.struct_size = size_of::<sys::omen_estimate_result>() as u32;
    // SAFETY: both structs live through the call.
    check(|err| unsafe {
        sys::omen_estimate(&options.with_fields(), rows, id_bytes, &mut out, err)
    })?;
    Ok(Estimate {
        memory_serving: out.memory_serving,
        memory_growing: out.memory_growing,
        disk: out.disk,
        disk_peak: out.disk_peak,
    })
}

fn backup_options(previous: Option<&CString>, op: Option<&Op>) -> sys::omen_backup_options {
    sys::omen_backup_options {
        struct_size: size_of::<sys::omen_backup_options>() as u32,
        flags: 0,
        runtime: null_mut(),
        previous: previous.map_or(null(), |p| p.as_ptr()),
        op: Op::raw(op),
    }
}

fn backup_result() -> sys::omen_backup_result {
    // SAFETY: zero is a valid omen_backup_result.
    let mut out: sys::omen_backup_result = unsafe { zeroed() };
    out.struct_size = size_of::<sys::omen_backup_result>() as u32;
    out
}

fn taken(raw: &sys::omen_backup_result) -> BackupResult {
    BackupResult {
        version: raw.version,
        files: raw.files,
        bytes: raw.bytes,
        files_linked: raw.files_linked,
        bytes_copied: raw.bytes_copied,
    }
}
