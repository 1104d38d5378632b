//! Who a process is.

use std::ffi::c_int;

use super::answer::{call, call_unit};
use super::boundary::boundary;
use super::{memory, setid};
use crate::NGROUPS_MAX;
use crate::errno::{Errno, Result};
use crate::sys;

/// [`sys::getpid`], or what `rump_pub_allbetsareoff_setid` set.
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_getpid() -> libc::pid_t {
    boundary(|| setid::pid().unwrap_or_else(|| sys::getpid().raw()))
}

/// [`sys::getppid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_getppid() -> libc::pid_t {
    boundary(|| sys::getppid().raw())
}

/// A number for the lwp that fits in 31 bits, or what `rump_pub_allbetsareoff_setid` set.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "its name in C")]
pub extern "C" fn rump_sys__lwp_self() -> i32 {
    boundary(|| setid::lid().unwrap_or_else(setid::short_lid))
}

/// [`sys::getuid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_getuid() -> libc::uid_t {
    boundary(sys::getuid)
}

/// [`sys::geteuid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_geteuid() -> libc::uid_t {
    boundary(sys::geteuid)
}

/// [`sys::getgid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_getgid() -> libc::gid_t {
    boundary(sys::getgid)
}

/// [`sys::getegid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_getegid() -> libc::gid_t {
    boundary(sys::getegid)
}

/// [`sys::getgroups`]: how many there are, which with a `count` of 0 are not written.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_getgroups(count: c_int, groups: *mut libc::gid_t) -> c_int {
    call(|| {
        let room = memory::count(count)?;
        let own = sys::getgroups();
        if room > 0 {
            if room < own.len() {
                return Err(Errno::EINVAL);
            }
            // SAFETY: the caller's, of at least this length.
            unsafe { memory::items_mut(groups, own.len()) }?.copy_from_slice(&own);
        }
        // At most NGROUPS_MAX.
        Ok(own.len() as c_int)
    })
}

/// [`sys::setuid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_setuid(uid: libc::uid_t) -> c_int {
    call_unit(|| sys::setuid(uid))
}

/// [`sys::seteuid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_seteuid(uid: libc::uid_t) -> c_int {
    call_unit(|| sys::seteuid(uid))
}

/// [`sys::setreuid`]; -1 leaves one as it is.
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_setreuid(ruid: libc::uid_t, euid: libc::uid_t) -> c_int {
    call_unit(|| sys::setreuid(given(ruid), given(euid)))
}

/// [`sys::setgid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_setgid(gid: libc::gid_t) -> c_int {
    call_unit(|| sys::setgid(gid))
}

/// [`sys::setegid`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_setegid(gid: libc::gid_t) -> c_int {
    call_unit(|| sys::setegid(gid))
}

/// [`sys::setregid`]; -1 leaves one as it is.
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_setregid(rgid: libc::gid_t, egid: libc::gid_t) -> c_int {
    call_unit(|| sys::setregid(given(rgid), given(egid)))
}

/// [`sys::setgroups`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_setgroups(count: c_int, groups: *const libc::gid_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::setgroups(unsafe { group_list(memory::count(count)?, groups) }?))
}

/// A user or group; `None` for -1.
pub(super) fn given(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// A list of groups.
///
/// # Errors
/// `EINVAL`: more than there can be. `EFAULT`.
///
/// # Safety
/// Null, or `count` groups that stay as they are for `'c`.
pub(super) unsafe fn group_list<'c>(count: usize, groups: *const libc::gid_t) -> Result<&'c [libc::gid_t]> {
    if count > NGROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the caller's.
    unsafe { memory::items(groups, count) }
}
