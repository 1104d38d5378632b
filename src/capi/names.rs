//! Files by name, and the working directory.

use std::ffi::{c_char, c_int};
use std::os::unix::ffi::OsStrExt;

use super::answer::{call, call_unit, length};
use super::boundary::boundary;
use super::identity::given;
use super::memory::{self, path};
use crate::errno::Errno;
use crate::sys;
use crate::vfs::Access;

/// [`sys::access`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_access(at: *const c_char, wanted: c_int) -> c_int {
    call_unit(|| {
        let wanted = Access::from_bits(wanted as u32).ok_or(Errno::EINVAL)?;
        // SAFETY: the caller's.
        sys::access(unsafe { path(at) }?, wanted)
    })
}

/// [`sys::mkdir`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_mkdir(at: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::mkdir(unsafe { path(at) }?, mode))
}

/// [`sys::rmdir`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_rmdir(at: *const c_char) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::rmdir(unsafe { path(at) }?))
}

/// [`sys::link`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { sys::link(path(from)?, path(to)?) })
}

/// [`sys::symlink`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_symlink(target: *const c_char, at: *const c_char) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { sys::symlink(path(target)?, path(at)?) })
}

/// [`sys::readlink`]: as much as fits, without a NUL.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_readlink(at: *const c_char, buf: *mut c_char, len: usize) -> isize {
    call(|| {
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's.
        let target = sys::readlink(unsafe { path(at) }?)?;
        let target = target.as_os_str().as_bytes();
        let len = len.min(target.len());
        // SAFETY: the caller's, of at least this length.
        unsafe { memory::items_mut(buf.cast::<u8>(), len) }?.copy_from_slice(&target[..len]);
        Ok(length(len))
    })
}

/// [`sys::unlink`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_unlink(at: *const c_char) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::unlink(unsafe { path(at) }?))
}

/// [`sys::rename`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { sys::rename(path(from)?, path(to)?) })
}

/// [`sys::truncate`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_truncate(at: *const c_char, len: libc::off_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::truncate(unsafe { path(at) }?, memory::position(len)?))
}

/// [`sys::chmod`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_chmod(at: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::chmod(unsafe { path(at) }?, mode))
}

/// [`sys::fchmod`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_fchmod(fd: c_int, mode: libc::mode_t) -> c_int {
    call_unit(|| sys::fchmod(fd, mode))
}

/// [`sys::chown`]; -1 leaves one as it is.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_chown(at: *const c_char, uid: libc::uid_t, gid: libc::gid_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::chown(unsafe { path(at) }?, given(uid), given(gid)))
}

/// [`sys::fchown`]; -1 leaves one as it is.
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_fchown(fd: c_int, uid: libc::uid_t, gid: libc::gid_t) -> c_int {
    call_unit(|| sys::fchown(fd, given(uid), given(gid)))
}

/// [`sys::lchown`]; -1 leaves one as it is.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_lchown(at: *const c_char, uid: libc::uid_t, gid: libc::gid_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::lchown(unsafe { path(at) }?, given(uid), given(gid)))
}

/// [`sys::umask`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_umask(mask: libc::mode_t) -> libc::mode_t {
    boundary(|| sys::umask(mask))
}

/// [`sys::chdir`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_chdir(at: *const c_char) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::chdir(unsafe { path(at) }?))
}

/// [`sys::fchdir`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_fchdir(fd: c_int) -> c_int {
    call_unit(|| sys::fchdir(fd))
}

/// [`sys::chroot`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_chroot(at: *const c_char) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::chroot(unsafe { path(at) }?))
}

/// [`sys::getcwd`], and its length with the NUL. `ERANGE`: it does not fit.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "its name in C")]
pub unsafe extern "C" fn rump_sys___getcwd(buf: *mut c_char, len: usize) -> c_int {
    call(|| {
        let cwd = sys::getcwd()?;
        // SAFETY: the caller's.
        let len = unsafe { memory::put_string(cwd.as_os_str().as_bytes(), buf, len, Errno::ERANGE) }?;
        c_int::try_from(len).map_err(|_| Errno::ENAMETOOLONG)
    })
}
