//! What C hands in: strings, buffers, places for results.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use crate::errno::{Errno, Result};
use crate::sys::TRANSFER_MAX;

/// A path.
///
/// # Errors
/// `EFAULT`: null.
///
/// # Safety
/// Null, or a string that stays as it is for `'c`.
#[inline]
pub(super) unsafe fn path<'c>(path: *const c_char) -> Result<&'c Path> {
    if path.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the caller's, and not null.
    Ok(Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes())))
}

/// A buffer to be read from: no more of it than one call transfers.
///
/// # Errors
/// `EFAULT`: null, and not empty.
///
/// # Safety
/// Null, or `len` bytes that stay as they are for `'c`.
#[inline]
pub(super) unsafe fn bytes<'c>(buf: *const c_void, len: usize) -> Result<&'c [u8]> {
    // SAFETY: as above.
    unsafe { items(buf.cast(), len.min(TRANSFER_MAX)) }
}

/// A buffer to be written to: no more of it than one call transfers.
///
/// # Errors
/// `EFAULT`: null, and not empty.
///
/// # Safety
/// Null, or `len` bytes that are nobody else's for `'c`.
#[inline]
pub(super) unsafe fn bytes_mut<'c>(buf: *mut c_void, len: usize) -> Result<&'c mut [u8]> {
    // SAFETY: as above.
    unsafe { items_mut(buf.cast(), len.min(TRANSFER_MAX)) }
}

/// An array.
///
/// # Errors
/// `EFAULT`: null, and not empty.
///
/// # Safety
/// Null, or an array of `len` items, not more than there can be in memory, that stay as they are for `'c`.
#[inline]
pub(super) unsafe fn items<'c, T>(items: *const T, len: usize) -> Result<&'c [T]> {
    match (items.is_null(), len) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(Errno::EFAULT),
        // SAFETY: the caller's, and not null.
        (false, _) => Ok(unsafe { slice::from_raw_parts(items, len) }),
    }
}

/// An array to be written to.
///
/// # Errors
/// `EFAULT`: null, and not empty.
///
/// # Safety
/// Null, or an array of `len` items, not more than there can be in memory, that are nobody else's for `'c`.
#[inline]
pub(super) unsafe fn items_mut<'c, T>(items: *mut T, len: usize) -> Result<&'c mut [T]> {
    match (items.is_null(), len) {
        (true, 0) => Ok(&mut []),
        (true, _) => Err(Errno::EFAULT),
        // SAFETY: the caller's, and not null.
        (false, _) => Ok(unsafe { slice::from_raw_parts_mut(items, len) }),
    }
}

/// A place for a result, made sure of before anything is done.
pub(super) struct Place<T>(*mut T);

impl<T> Place<T> {
    /// # Errors
    /// `EFAULT`: null.
    ///
    /// # Safety
    /// Null, or room for a `T` that is nobody else's as long as this lives.
    #[inline]
    pub(super) unsafe fn new(place: *mut T) -> Result<Self> {
        if place.is_null() { Err(Errno::EFAULT) } else { Ok(Self(place)) }
    }

    /// Puts the result there.
    #[inline]
    pub(super) fn put(self, value: T) {
        // SAFETY: `new` made sure; what was there before was C's, and needs no drop.
        unsafe { self.0.write(value) };
    }
}

/// A value that C points to.
///
/// # Errors
/// `EFAULT`: null.
///
/// # Safety
/// Null, or a `T` that stays as it is meanwhile.
#[inline]
pub(super) unsafe fn value<T: Copy>(value: *const T) -> Result<T> {
    // SAFETY: the caller's, and not null.
    if value.is_null() { Err(Errno::EFAULT) } else { Ok(unsafe { value.read() }) }
}

/// A count or length that C has as an `int`.
///
/// # Errors
/// `EINVAL`: negative.
#[inline]
pub(super) fn count(count: c_int) -> Result<usize> {
    usize::try_from(count).map_err(|_| Errno::EINVAL)
}

/// A position or length in a file.
///
/// # Errors
/// `EINVAL`: negative.
#[inline]
pub(super) fn position(at: libc::off_t) -> Result<u64> {
    u64::try_from(at).map_err(|_| Errno::EINVAL)
}

/// Copies `text` and a NUL to `buf`, of `len` bytes, and gives the length with the NUL.
///
/// # Errors
/// `EFAULT`: null. `too_small`: it does not fit.
///
/// # Safety
/// Null, or `len` bytes that are nobody else's meanwhile.
pub(super) unsafe fn put_string(text: &[u8], buf: *mut c_char, len: usize, too_small: Errno) -> Result<usize> {
    // No more is made of it than is needed: a length beyond all memory is a way to say "enough".
    let needed = text.len() + 1;
    if len < needed {
        return Err(too_small);
    }
    // SAFETY: the caller's.
    let buf = unsafe { items_mut(buf.cast::<u8>(), needed) }?;
    buf[..text.len()].copy_from_slice(text);
    buf[text.len()] = 0;
    Ok(needed)
}
