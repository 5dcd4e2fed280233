//! What went wrong: status, reason, item and text, copied out of the C library's `omen_error`.
// SPDX-License-Identifier: Apache-2.0
use crate::codes::codes;
use libomendb_sys as sys;
use std::ffi::CStr;
use std::fmt;
use std::mem::MaybeUninit;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

codes! {
    /// The kind of failure: the canonical gRPC codes, so that the library and the service agree.
    Status: i32 {
        /// The call was cancelled through its [`Op`](crate::Op).
        Cancelled = sys::OMEN_CANCELLED,
        /// The arguments are wrong, whatever the state is.
        InvalidArgument = sys::OMEN_INVALID_ARGUMENT,
        /// Time ran out.
        DeadlineExceeded = sys::OMEN_DEADLINE_EXCEEDED,
        /// There is no such thing.
        NotFound = sys::OMEN_NOT_FOUND,
        /// It is there already.
        AlreadyExists = sys::OMEN_ALREADY_EXISTS,
        /// A budget or a limit is used up.
        ResourceExhausted = sys::OMEN_RESOURCE_EXHAUSTED,
        /// The state does not allow it.
        FailedPrecondition = sys::OMEN_FAILED_PRECONDITION,
        /// Another writer was faster.
        Aborted = sys::OMEN_ABORTED,
        /// Beyond the valid range.
        OutOfRange = sys::OMEN_OUT_OF_RANGE,
        /// Not in this version.
        Unimplemented = sys::OMEN_UNIMPLEMENTED,
        /// A fault of the library.
        Internal = sys::OMEN_INTERNAL,
        /// Not now; try again.
        Unavailable = sys::OMEN_UNAVAILABLE,
        /// Stored bytes are damaged.
        DataLoss = sys::OMEN_DATA_LOSS,
    }
}

codes! {
    /// The machine-readable reason beside a [`Status`].
    Detail: i32 {
        /// Nothing more is known.
        None = sys::OMEN_D_NONE,
        /// The system has no memory.
        NoMemory = sys::OMEN_D_NO_MEMORY,
        /// The vectors have another dimension than the collection.
        DimMismatch = sys::OMEN_D_DIM_MISMATCH,
        /// A vector holds a NaN or an infinity.
        NotFinite = sys::OMEN_D_NOT_FINITE,
        /// A system call failed: see [`Error::os_error`].
        Io = sys::OMEN_D_IO,
        /// A checksum is wrong.
        Checksum = sys::OMEN_D_CHECKSUM,
        /// The file was written by another version.
        FormatVersion = sys::OMEN_D_FORMAT_VERSION,
        /// Someone else has it open.
        Locked = sys::OMEN_D_LOCKED,
        /// The handle belongs to the parent process.
        Forked = sys::OMEN_D_FORKED,
        /// The filter does not parse.
        FilterSyntax = sys::OMEN_D_FILTER_SYNTAX,
        /// A struct has an impossible size.
        StructSize = sys::OMEN_D_STRUCT_SIZE,
        /// The memory budget is used up.
        Budget = sys::OMEN_D_BUDGET,
        /// The disk is full.
        DiskFull = sys::OMEN_D_DISK_FULL,
        /// Too many calls in too short a time.
        Rate = sys::OMEN_D_RATE,
        /// The item has another version than the caller believes.
        VersionConflict = sys::OMEN_D_VERSION_CONFLICT,
        /// The collection cannot be written.
        ReadOnly = sys::OMEN_D_READ_ONLY,
        /// Whether it happened is not known.
        OutcomeUnknown = sys::OMEN_D_OUTCOME_UNKNOWN,
        /// A value is over its limit.
        Limit = sys::OMEN_D_LIMIT,
        /// A name is not well formed.
        Name = sys::OMEN_D_NAME,
        /// A batch of a stream came out of order.
        Sequence = sys::OMEN_D_SEQUENCE,
        /// Too many rows wait for the index.
        Backlog = sys::OMEN_D_BACKLOG,
        /// The handle is not valid.
        Handle = sys::OMEN_D_HANDLE,
        /// The elements or ids are of another type.
        Type = sys::OMEN_D_TYPE,
        /// Metadata that is no JSON object.
        Metadata = sys::OMEN_D_METADATA,
        /// A field that is not there, or is declared otherwise.
        Field = sys::OMEN_D_FIELD,
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    detail: Detail,
    os_error: Option<i32>,
    retriable: bool,
    item: Option<u64>,
    message: String,
}

impl Error {
    /// The kind of failure.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason, for programs.
    pub fn detail(&self) -> Detail {
        self.detail
    }

    /// Position in the batch of the item that is to blame.
    pub fn item(&self) -> Option<u64> {
        self.item
    }

    /// `errno` of the system call that failed.
    pub fn os_error(&self) -> Option<i32> {
        self.os_error
    }

    /// Whether the same call may succeed if tried again.
    pub fn is_retriable(&self) -> bool {
        self.retriable
    }

    /// The reason, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A refusal by this crate, before the library is asked.
    pub(crate) fn invalid(detail: Detail, message: String) -> Self {
        let status = Status::InvalidArgument;
        Error { status, detail, os_error: None, retriable: false, item: None, message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: the library returns a string in static storage for every number.
        let name = unsafe { static_text(sys::omen_status_name(self.status.into())) };
        write!(f, "{}: {}", name, self.message)
    }
}

impl std::error::Error for Error {}

/// Runs a call of the library and turns what it says into a `Result`.
pub(crate) fn check<F>(call: F) -> Result<()>
where
    F: FnOnce(*mut sys::omen_error) -> sys::omen_status_t,
{
    let mut err = MaybeUninit::<sys::omen_error>::uninit();
    let status = call(err.as_mut_ptr());
    if status == sys::OMEN_OK {
        return Ok(());
    }
    // SAFETY: the library fills the error of every call that fails.
    let err = unsafe { err.assume_init() };
    // SAFETY: the message is NUL-terminated inside its array.
    let message = unsafe { CStr::from_ptr(err.message.as_ptr()) };
    Err(Error {
        status: Status::from(status),
        detail: Detail::from(err.detail),
        os_error: if err.sys_errno == 0 { None } else { Some(err.sys_errno) },
        retriable: err.flags & sys::OMEN_ERROR_RETRIABLE != 0,
        item: if err.item == sys::OMEN_NONE { None } else { Some(err.item) },
        message: message.to_string_lossy().into_owned(),
    })
}

/// A string of the library that lives for ever.
///
/// # Safety
/// `text` must be NUL-terminated, in static storage.
pub(crate) unsafe fn static_text(text: *const sys::c_char) -> &'static str {
    CStr::from_ptr(text).to_str().unwrap_or("?")
}
