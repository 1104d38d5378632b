//! Settings of sockets.

use std::ffi::{c_int, c_void};

use super::answer::call_unit;
use super::memory;
use crate::errno::{Errno, Result};
use crate::fd::SocketOption;
use crate::sys;

/// # Errors
/// `ENOPROTOOPT`: no such setting here.
fn option(level: c_int, name: c_int) -> Result<SocketOption> {
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => Ok(SocketOption::ReuseAddress),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => Ok(SocketOption::KeepAlive),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => Ok(SocketOption::SendBuffer),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => Ok(SocketOption::ReceiveBuffer),
        (libc::SOL_SOCKET, libc::SO_ERROR) => Ok(SocketOption::Error),
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => Ok(SocketOption::Listening),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => Ok(SocketOption::NoDelay),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// [`sys::getsockopt`]: as much of the `int` as fits.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut libc::socklen_t,
) -> c_int {
    call_unit(|| {
        // SAFETY: the caller's.
        let room = unsafe { memory::value(len) }?;
        let room = usize::try_from(i32::try_from(room).map_err(|_| Errno::EINVAL)?).map_err(|_| Errno::EINVAL)?;
        let fits = room.min(size_of::<c_int>());
        // SAFETY: the caller's.
        let value = unsafe { memory::bytes_mut(value, fits) }?;
        // That it is a socket is asked first, as the host does.
        let found = match option(level, name) {
            Ok(option) => sys::getsockopt(fd, option)?,
            Err(error) => return sys::getsockopt(fd, SocketOption::Listening).and(Err(error)),
        };
        value.copy_from_slice(&found.to_ne_bytes()[..fits]);
        // SAFETY: the caller's; not null, as it was read. At most 4.
        unsafe { len.write(fits as libc::socklen_t) };
        Ok(())
    })
}

/// [`sys::setsockopt`]. `EINVAL` also: shorter than an `int`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: libc::socklen_t,
) -> c_int {
    call_unit(|| {
        let option = match option(level, name) {
            Ok(option) => option,
            Err(error) => return sys::getsockopt(fd, SocketOption::Listening).and(Err(error)),
        };
        if (len as usize) < size_of::<c_int>() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's, of at least this length.
        let value = unsafe { memory::value(value.cast::<[u8; size_of::<c_int>()]>()) }?;
        sys::setsockopt(fd, option, c_int::from_ne_bytes(value))
    })
}
