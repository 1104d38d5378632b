//! Reading, writing, positions.

use std::ffi::{c_int, c_void};
use std::io::{IoSlice, IoSliceMut, SeekFrom};

use super::answer::{call, call_unit, length};
use super::memory;
use super::sigmodel::with_signal;
use crate::errno::{Errno, Result};
use crate::sys::{self, IOV_MAX};

/// [`sys::read`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_read(fd: c_int, buf: *mut c_void, len: usize) -> isize {
    // SAFETY: the caller's.
    call(|| sys::read(fd, unsafe { memory::bytes_mut(buf, len) }?).map(length))
}

/// [`sys::write`](sys::write()).
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_write(fd: c_int, buf: *const c_void, len: usize) -> isize {
    // SAFETY: the caller's.
    call(|| with_signal(sys::write(fd, unsafe { memory::bytes(buf, len) }?)).map(length))
}

/// [`sys::pread`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_pread(fd: c_int, buf: *mut c_void, len: usize, at: libc::off_t) -> isize {
    // SAFETY: the caller's.
    call(|| sys::pread(fd, unsafe { memory::bytes_mut(buf, len) }?, memory::position(at)?).map(length))
}

/// [`sys::pwrite`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_pwrite(fd: c_int, buf: *const c_void, len: usize, at: libc::off_t) -> isize {
    // SAFETY: the caller's.
    call(|| with_signal(sys::pwrite(fd, unsafe { memory::bytes(buf, len) }?, memory::position(at)?)).map(length))
}

/// [`sys::readv`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_readv(fd: c_int, buffers: *const libc::iovec, count: c_int) -> isize {
    call(|| {
        let mut bufs = Vec::new();
        // SAFETY: the caller's.
        for buffer in unsafe { vector(buffers, count) }? {
            // SAFETY: the caller's.
            bufs.push(IoSliceMut::new(unsafe { memory::bytes_mut(buffer.iov_base, buffer.iov_len) }?));
        }
        sys::readv(fd, &mut bufs).map(length)
    })
}

/// [`sys::writev`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_writev(fd: c_int, buffers: *const libc::iovec, count: c_int) -> isize {
    call(|| {
        let mut bufs = Vec::new();
        // SAFETY: the caller's.
        for buffer in unsafe { vector(buffers, count) }? {
            // SAFETY: the caller's.
            bufs.push(IoSlice::new(unsafe { memory::bytes(buffer.iov_base, buffer.iov_len) }?));
        }
        with_signal(sys::writev(fd, &bufs)).map(length)
    })
}

/// The buffers of a vector. Each may then be cut to what one call transfers: no call gets beyond it.
///
/// # Errors
/// `EINVAL`: too many, or too long together. `EFAULT`.
///
/// # Safety
/// Null, or `count` of them that stay as they are for `'c`.
unsafe fn vector<'c>(buffers: *const libc::iovec, count: c_int) -> Result<&'c [libc::iovec]> {
    let count = memory::count(count)?;
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the caller's.
    let buffers = unsafe { memory::items(buffers, count) }?;
    let all = buffers.iter().try_fold(0_usize, |all, buffer| all.checked_add(buffer.iov_len));
    all.filter(|all| isize::try_from(*all).is_ok()).ok_or(Errno::EINVAL)?;
    Ok(buffers)
}

/// [`sys::lseek`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_lseek(fd: c_int, offset: libc::off_t, whence: c_int) -> libc::off_t {
    call(|| {
        let to = match whence {
            libc::SEEK_SET => SeekFrom::Start(memory::position(offset)?),
            libc::SEEK_CUR => SeekFrom::Current(offset),
            libc::SEEK_END => SeekFrom::End(offset),
            _ => return Err(Errno::EINVAL),
        };
        // At most 2⁶³-1.
        sys::lseek(fd, to).map(|at| at as libc::off_t)
    })
}

/// [`sys::ftruncate`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_ftruncate(fd: c_int, len: libc::off_t) -> c_int {
    call_unit(|| sys::ftruncate(fd, memory::position(len)?))
}

/// [`sys::fsync`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_fsync(fd: c_int) -> c_int {
    call_unit(|| sys::fsync(fd))
}

/// [`sys::fsync`], which does more than is asked for.
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_fdatasync(fd: c_int) -> c_int {
    call_unit(|| sys::fsync(fd))
}
