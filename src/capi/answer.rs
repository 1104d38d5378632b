//! How calls answer C: -1 and `errno`, or an errno value.

use std::ffi::c_int;

use super::boundary::boundary;
use crate::errno::{Errno, Result};

/// A result with a value that means an error.
pub(super) trait Answer {
    const ERROR: Self;
}

impl Answer for c_int {
    const ERROR: Self = -1;
}

/// `ssize_t` and `off_t`.
impl Answer for i64 {
    const ERROR: Self = -1;
}

/// `ssize_t` where it is not `off_t`'s type.
impl Answer for isize {
    const ERROR: Self = -1;
}

/// An entry that answers as system calls do: -1, and `errno` says why.
#[inline(always)]
pub(super) fn call<R: Answer>(body: impl FnOnce() -> Result<R>) -> R {
    boundary(|| match body() {
        Ok(answer) => answer,
        Err(error) => {
            set_errno(error);
            R::ERROR
        }
    })
}

/// An entry that answers 0, or -1 and `errno`.
#[inline(always)]
pub(super) fn call_unit(body: impl FnOnce() -> Result<()>) -> c_int {
    call(|| body().map(|()| 0))
}

/// An entry that answers with an errno value, 0 for none.
#[inline(always)]
pub(super) fn errno_of(body: impl FnOnce() -> Result<()>) -> c_int {
    boundary(|| body().map_or_else(Errno::raw, |()| 0))
}

/// Sets the host thread's `errno`.
#[inline]
pub(super) fn set_errno(error: Errno) {
    // SAFETY: the C library's, for the calling thread, at any time in its life.
    unsafe { *libc::__errno_location() = error.raw() };
}

/// A length that a buffer in memory has, which no answer is too narrow for.
#[inline]
pub(super) fn length(len: usize) -> isize {
    // What is in memory has no more than isize::MAX bytes.
    len as isize
}
