//! Opening, and what its flags are in C.

use std::ffi::{c_char, c_int};

use super::answer::call;
use super::memory;
use crate::errno::{Errno, Result};
use crate::fd::OpenFlags;
use crate::sys;

// What `socket` and `accept4` take are the same bits.
const _: () = assert!(
    OpenFlags::NONBLOCK.bits() as c_int == libc::SOCK_NONBLOCK
        && OpenFlags::CLOEXEC.bits() as c_int == libc::SOCK_CLOEXEC
);

/// Flags that change nothing here.
const HINTS: c_int = libc::O_LARGEFILE | libc::O_NOATIME;

/// The flags of `open`.
///
/// # Errors
/// `EINVAL`: one that asks for what there is not, such as `O_SYNC` or `O_PATH`.
#[inline]
fn open_flags(flags: c_int) -> Result<OpenFlags> {
    self::flags(flags & !HINTS)
}

/// Flags for a new descriptor.
///
/// # Errors
/// `EINVAL`: an unknown one.
#[inline]
pub(super) fn flags(flags: c_int) -> Result<OpenFlags> {
    OpenFlags::from_bits(flags as u32).ok_or(Errno::EINVAL)
}

/// [`sys::open`].
///
/// The headers declare it with `...` for `mode`, which calls without `O_CREAT` leave out: on all 64-bit targets of Linux an
/// `int` there is passed as one that is declared. Left out, it is whatever was in its register, and not looked at.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    call(|| {
        let flags = open_flags(flags)?;
        // SAFETY: the caller's.
        sys::open(unsafe { memory::path(path) }?, flags, permissions(flags, mode))
    })
}

/// [`sys::openat`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_openat(dir: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    call(|| {
        let flags = open_flags(flags)?;
        // SAFETY: the caller's.
        sys::openat(dir, unsafe { memory::path(path) }?, flags, permissions(flags, mode))
    })
}

#[inline]
fn permissions(flags: OpenFlags, mode: libc::mode_t) -> libc::mode_t {
    if flags.contains(OpenFlags::CREAT) { mode & 0o7777 } else { 0 }
}
