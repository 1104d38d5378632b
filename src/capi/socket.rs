//! Sockets.

use std::ffi::c_int;
use std::net::Shutdown;

use super::address::{self, Room};
use super::answer::{call, call_unit};
use super::descriptors::put_pair;
use super::open::flags;
use crate::errno::{Errno, Result};
use crate::fd::{Domain, OpenFlags, SocketAddress, SocketKind};
use crate::id::Fd;
use crate::sys;

/// What kind of socket C asks for.
///
/// # Errors
/// `EAFNOSUPPORT`, `EPROTONOSUPPORT`: there are none. `EINVAL`: an unknown flag.
fn kind(domain: c_int, kind: c_int, protocol: c_int) -> Result<(Domain, SocketKind, OpenFlags)> {
    /// Flags are above the kind.
    const KIND: c_int = 0xf;
    let domain = match domain {
        libc::AF_INET => Domain::Inet,
        libc::AF_INET6 => Domain::Inet6,
        libc::AF_UNIX => Domain::Unix,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let flags = flags(kind & !KIND)?;
    let (kind, own) = match kind & KIND {
        libc::SOCK_STREAM => (SocketKind::Stream, libc::IPPROTO_TCP),
        libc::SOCK_DGRAM => (SocketKind::Datagram, libc::IPPROTO_UDP),
        _ => return Err(Errno::EPROTONOSUPPORT),
    };
    if protocol == 0 || protocol == own && domain != Domain::Unix {
        Ok((domain, kind, flags))
    } else {
        Err(Errno::EPROTONOSUPPORT)
    }
}

/// [`sys::socket`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_socket(domain: c_int, r#type: c_int, protocol: c_int) -> c_int {
    call(|| {
        let (domain, kind, flags) = kind(domain, r#type, protocol)?;
        sys::socket(domain, kind, flags)
    })
}

/// [`sys::socketpair`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_socketpair(domain: c_int, r#type: c_int, protocol: c_int, ends: *mut c_int) -> c_int {
    call_unit(|| {
        let (domain, kind, flags) = kind(domain, r#type, protocol)?;
        // SAFETY: the caller's.
        unsafe { put_pair(ends, || sys::socketpair(domain, kind, flags)) }
    })
}

/// [`sys::bind`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_bind(fd: c_int, address: *const libc::sockaddr, len: libc::socklen_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::bind(fd, &unsafe { address::read(address, len) }?))
}

/// [`sys::listen`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_listen(fd: c_int, backlog: c_int) -> c_int {
    call_unit(|| sys::listen(fd, backlog))
}

/// [`sys::accept`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_accept(fd: c_int, address: *mut libc::sockaddr, len: *mut libc::socklen_t) -> c_int {
    // SAFETY: the caller's.
    call(|| unsafe { accept(fd, address, len, 0) })
}

/// [`sys::accept4`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_accept4(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    set: c_int,
) -> c_int {
    // SAFETY: the caller's.
    call(|| unsafe { accept(fd, address, len, set) })
}

/// # Safety
/// As [`Room::new`].
unsafe fn accept(fd: c_int, address: *mut libc::sockaddr, len: *mut libc::socklen_t, set: c_int) -> Result<c_int> {
    // Before there is a connection that could be lost.
    // SAFETY: the caller's.
    let (set, room) = (flags(set)?, unsafe { Room::new(address, len) }?);
    let (accepted, peer) = sys::accept4(fd, set)?;
    room.put(&peer);
    Ok(accepted)
}

/// [`sys::connect`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_connect(fd: c_int, address: *const libc::sockaddr, len: libc::socklen_t) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| sys::connect(fd, &unsafe { address::read(address, len) }?))
}

/// [`sys::shutdown`].
#[unsafe(no_mangle)]
pub extern "C" fn rump_sys_shutdown(fd: c_int, how: c_int) -> c_int {
    call_unit(|| {
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(Errno::EINVAL),
        };
        sys::shutdown(fd, how)
    })
}

/// [`sys::getsockname`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_getsockname(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { name(fd, address, len, sys::getsockname) })
}

/// [`sys::getpeername`].
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_sys_getpeername(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> c_int {
    // SAFETY: the caller's.
    call_unit(|| unsafe { name(fd, address, len, sys::getpeername) })
}

/// Puts one of a socket's names where C wants it.
///
/// # Safety
/// As the header says of both calls.
unsafe fn name(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    of: impl FnOnce(Fd) -> Result<SocketAddress>,
) -> Result<()> {
    // SAFETY: the caller's.
    let room = unsafe { Room::required(address, len) }?;
    room.put(&of(fd)?);
    Ok(())
}
