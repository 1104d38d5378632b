//! The calls of the manual page: rfork, newlwp, switch, releaselwp, curlwp.

use std::ffi::c_int;
use std::ptr;

use super::answer::errno_of;
use super::boundary::boundary;
use crate::id::{LwpId, Pid};
use crate::kernel::Kernel;
use crate::lwproc::FdInherit;

/// `struct lwp` of C: not a thing in memory. A pointer to it is the lwp's number.
#[allow(non_camel_case_types, reason = "its name in C")]
#[derive(Debug)]
#[repr(C)]
pub struct lwp {
    nothing: [u8; 0],
}

/// The lwp's id; `None` for null.
#[inline]
pub(super) fn id(kernel: &Kernel, lwp: *mut lwp) -> Option<LwpId> {
    if lwp.is_null() { None } else { Some(LwpId::from_raw(kernel.id(), lwp.addr() as u64)) }
}

/// [`Kernel::rfork`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_lwproc_rfork(flags: c_int) -> c_int {
    errno_of(|| Kernel::try_global()?.rfork(FdInherit::from_flags(flags)?))
}

/// [`Kernel::newlwp`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_lwproc_newlwp(pid: libc::pid_t) -> c_int {
    errno_of(|| Kernel::try_global()?.newlwp(Pid::from_raw(pid)))
}

/// [`Kernel::switch`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_lwproc_switch(lwp: *mut lwp) {
    boundary(|| {
        let kernel = Kernel::global();
        kernel.switch(id(kernel, lwp));
    });
}

/// [`Kernel::releaselwp`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_lwproc_releaselwp() {
    boundary(|| Kernel::global().releaselwp());
}

/// [`Kernel::curlwp`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_pub_lwproc_curlwp() -> *mut lwp {
    boundary(|| Kernel::global().curlwp().map_or(ptr::null_mut(), |id| ptr::without_provenance_mut(id.raw() as usize)))
}
