//! Watching and cancelling a running call from another thread.
// SPDX-License-Identifier: Apache-2.0
use crate::error::{check, Result};
use libomendb_sys as sys;
use std::mem::MaybeUninit;
use std::ptr::{null_mut, NonNull};

/// Watches and cancels one running call. Share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct Op {
    raw: NonNull<sys::omen_op>,
}

// SAFETY: the C interface allows any number of threads on an omen_op at once.
unsafe impl Send for Op {}
// SAFETY: as above.
unsafe impl Sync for Op {}

/// How far a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub done: u64,
    /// Steps in all; 0 when not known.
    pub total: u64,
    /// Which part of the call it is in.
    pub stage: u32,
}

impl Op {
    /// Makes one that no call uses yet.
    pub fn new() -> Result<Op> {
        let mut raw = null_mut();
        // SAFETY: `raw` receives the handle.
        check(|err| unsafe { sys::omen_op_create(&mut raw, err) })?;
        Ok(Op { raw: NonNull::new(raw).expect("omen_op_create returned OK and no handle") })
    }

    /// Asks the call to stop; it then returns [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn cancel(&self) {
        // SAFETY: the handle is alive as long as self.
        unsafe { sys::omen_op_cancel(self.raw.as_ptr()) }
    }

    /// Prepares for the next call, once the one before has returned.
    pub fn reset(&mut self) {
        // SAFETY: the handle is alive, and `&mut` says that no call uses it.
        unsafe { sys::omen_op_reset(self.raw.as_ptr()) }
    }

    /// How far the call is.
    pub fn progress(&self) -> Progress {
        let mut out = MaybeUninit::<sys::omen_progress>::zeroed();
        // SAFETY: the handle is alive; zero is a valid omen_progress.
        let raw = unsafe {
            sys::omen_op_progress(self.raw.as_ptr(), out.as_mut_ptr());
            out.assume_init()
        };
        Progress { done: raw.done, total: raw.total, stage: raw.stage }
    }

    pub(crate) fn raw(op: Option<&Op>) -> *mut sys::omen_op {
        op.map_or(null_mut(), |op| op.raw.as_ptr())
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        // SAFETY: calls borrow the Op, so none of them runs any more.
        unsafe { sys::omen_op_free(self.raw.as_ptr()) }
    }
}
