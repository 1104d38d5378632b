//! Descriptors: closing, duplicating, pipes.

use std::ffi::c_int;

use super::answer::{call, call_unit};
use super::memory::Place;
use super::open::flags;
use crate::errno::{Errno, Result};
use crate::fd::{FdFlags, OpenFlags};
use crate::id::Fd;
use crate::sys::{self, Fcntl};

const _: () = assert!(FdFlags::CLOEXEC.bits() as c_int == libc::FD_CLOEXEC);

/// [`sys::close`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_close(fd: c_int) -> c_int {
    call_unit(|| sys::close(fd))
}

/// [`sys::dup`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_dup(fd: c_int) -> c_int {
    call(|| sys::dup(fd))
}

/// [`sys::dup2`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_dup2(from: c_int, to: c_int) -> c_int {
    call(|| sys::dup2(from, to))
}

/// [`sys::dup3`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_dup3(from: c_int, to: c_int, set: c_int) -> c_int {
    call(|| sys::dup3(from, to, flags(set)?))
}

/// [`sys::fcntl`]. `argument` is passed as [`rump_sys_open`](super::rump_sys_open)'s mode is.
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_fcntl(fd: c_int, command: c_int, argument: c_int) -> c_int {
    call(|| {
        let what = match command {
            libc::F_DUPFD => Fcntl::DupFd(argument),
            libc::F_DUPFD_CLOEXEC => Fcntl::DupFdCloexec(argument),
            libc::F_GETFD => Fcntl::GetFd,
            libc::F_SETFD => Fcntl::SetFd(FdFlags::from_bits_truncate(argument as _)),
            libc::F_GETFL => Fcntl::GetFl,
            libc::F_SETFL => Fcntl::SetFl(OpenFlags::from_bits_truncate(argument as u32)),
            // That it is open is asked first, as the host does.
            _ => return sys::fcntl(fd, Fcntl::GetFd).and(Err(Errno::EINVAL)),
        };
        sys::fcntl(fd, what)
    })
}

/// [`sys::pipe`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_pipe(ends: *mut c_int) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put_pair(ends, sys::pipe) })
}

/// [`sys::pipe2`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_pipe2(ends: *mut c_int, set: c_int) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put_pair(ends, || sys::pipe2(flags(set)?)) })
}

/// Makes two descriptors and puts them in an array.
///
/// # Safety
/// `pair` is null, or room for two.
pub(super) unsafe fn put_pair(pair: *mut c_int, make: impl FnOnce() -> Result<(Fd, Fd)>) -> Result<()> {
    // SAFETY: the caller's.
    let place = unsafe { Place::new(pair.cast::<[c_int; 2]>()) }?;
    let (first, second) = make()?;
    place.put([first, second]);
    Ok(())
}
