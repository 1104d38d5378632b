//! The kernel's name as a host, and the process's own.

use std::ffi::{CStr, c_char, c_int};

use super::answer::call_unit;
use super::memory;
use crate::errno::{Errno, Result};
use crate::sys;

/// [`sys::gethostname`]. `ENAMETOOLONG`: it does not fit.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_gethostname(buf: *mut c_char, len: usize) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put_name(&sys::gethostname(), buf, len) })
}

/// [`sys::sethostname`]. `EINVAL` also: not UTF-8.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_sethostname(name: *const c_char, len: usize) -> c_int {
    call_unit(|| {
        // SAFETY: the caller's.
        let name = unsafe { memory::bytes(name.cast(), len) }?;
        sys::sethostname(str::from_utf8(name).map_err(|_| Errno::EINVAL)?)
    })
}

/// [`sys::procname`]. `ENAMETOOLONG`: it does not fit.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_getprocname(buf: *mut c_char, len: usize) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { put_name(&sys::procname(), buf, len) })
}

/// [`sys::setprocname`]. `EINVAL`: not UTF-8.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_setprocname(name: *const c_char) -> c_int {
    call_unit(|| {
        if name.is_null() {
            return Err(Errno::EFAULT);
        }
        // SAFETY: the caller's, and not null.
        sys::setprocname(unsafe { CStr::from_ptr(name) }.to_str().map_err(|_| Errno::EINVAL)?);
        Ok(())
    })
}

/// # Safety
/// As [`memory::put_string`].
unsafe fn put_name(name: &str, buf: *mut c_char, len: usize) -> Result<()> {
    // SAFETY: the caller's.
    unsafe { memory::put_string(name.as_bytes(), buf, len, Errno::ENAMETOOLONG) }.map(drop)
}
