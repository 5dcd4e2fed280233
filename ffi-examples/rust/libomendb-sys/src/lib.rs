//! Raw declarations of the OmenDB C library, one for one with `omen.h`.
//!
//! The header is the reference: its rules on ownership, threads, `struct_size` and errors hold here
//! word for word. Most programs want the safe crate `omen` instead. Enumerations are plain integers,
//! because a newer library may return values that this file does not know.
// SPDX-License-Identifier: Apache-2.0
#![allow(non_camel_case_types)]

use std::ffi::c_void;

mod constants;
mod functions;
mod structs;

pub use constants::*;
pub use functions::*;
pub use std::os::raw::c_char;
pub use structs::*;

/// The answer of every call that can fail: 0 or a canonical gRPC code.
pub type omen_status_t = i32;

/// Receives log lines; runs on any thread and must not unwind.
pub type omen_log_fn = Option<
    unsafe extern "C" fn(
        ctx: *mut c_void,
        level: i32,
        module: *const c_char,
        text: *const c_char,
        len: usize,
    ),
>;
