//! The host's `struct sockaddr`.

use std::mem::{self, offset_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::slice;

use super::memory;
use crate::errno::{Errno, Result};
use crate::fd::SocketAddress;

/// Where the path begins, after the family.
const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);

/// The address that C hands in.
///
/// # Errors
/// `EINVAL`: too short or too long for its family, or a name that is no path. `EAFNOSUPPORT`: another family. `EFAULT`.
///
/// # Safety
/// Null, or `len` bytes that stay as they are meanwhile.
pub(super) unsafe fn read(address: *const libc::sockaddr, len: libc::socklen_t) -> Result<SocketAddress> {
    let len = len as usize;
    if address.is_null() {
        return Err(Errno::EFAULT);
    }
    if !(size_of::<libc::sa_family_t>()..=size_of::<libc::sockaddr_storage>()).contains(&len) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the caller's; copied, since it need not be aligned.
    let bytes = unsafe { memory::items(address.cast::<u8>(), len) }?;
    let family = libc::sa_family_t::from_ne_bytes([bytes[0], bytes[1]]);
    match family.into() {
        libc::AF_INET => {
            // SAFETY: all of its fields are numbers.
            let host: libc::sockaddr_in = unsafe { take(bytes) }?;
            let ip = Ipv4Addr::from(u32::from_be(host.sin_addr.s_addr));
            Ok(SocketAddress::Inet(SocketAddrV4::new(ip, u16::from_be(host.sin_port)).into()))
        }
        libc::AF_INET6 => {
            // SAFETY: all of its fields are numbers.
            let host: libc::sockaddr_in6 = unsafe { take(bytes) }?;
            let (ip, port) = (Ipv6Addr::from(host.sin6_addr.s6_addr), u16::from_be(host.sin6_port));
            Ok(SocketAddress::Inet(SocketAddrV6::new(ip, port, host.sin6_flowinfo, host.sin6_scope_id).into()))
        }
        libc::AF_UNIX => {
            let path = &bytes[PATH..];
            if len > size_of::<libc::sockaddr_un>() {
                return Err(Errno::EINVAL);
            }
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            match (end, path.len()) {
                (0, 0) => Ok(SocketAddress::Unnamed),
                // A name that begins with a NUL is the host's, in no file system.
                (0, _) => Err(Errno::EINVAL),
                _ => Ok(SocketAddress::Unix(PathBuf::from(std::ffi::OsString::from_vec(path[..end].to_vec())))),
            }
        }
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// # Errors
/// `EINVAL`: too short.
///
/// # Safety
/// Any bytes make a `T`.
unsafe fn take<T>(bytes: &[u8]) -> Result<T> {
    if bytes.len() < size_of::<T>() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: long enough, and the caller's.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Room for an address that C hands in; none if it wants none.
pub(super) struct Room(Option<(*mut u8, *mut libc::socklen_t, usize)>);

impl Room {
    /// # Errors
    /// `EINVAL`: a negative length. `EFAULT`: room without a length.
    ///
    /// # Safety
    /// `address` is null, or `len` points to how many bytes there are; nobody else's as long as this lives.
    pub(super) unsafe fn new(address: *mut libc::sockaddr, len: *mut libc::socklen_t) -> Result<Self> {
        if address.is_null() {
            return Ok(Self(None));
        }
        // SAFETY: the caller's.
        let room = unsafe { memory::value(len) }?;
        if i32::try_from(room).is_err() {
            return Err(Errno::EINVAL);
        }
        Ok(Self(Some((address.cast(), len, room as usize))))
    }

    /// As [`new`](Self::new), where there must be room.
    ///
    /// # Errors
    /// As for that, and `EFAULT`: none.
    ///
    /// # Safety
    /// As for that.
    pub(super) unsafe fn required(address: *mut libc::sockaddr, len: *mut libc::socklen_t) -> Result<Self> {
        if address.is_null() {
            return Err(Errno::EFAULT);
        }
        // SAFETY: the caller's.
        unsafe { Self::new(address, len) }
    }

    /// Puts as much of `address` there as fits, and how long it is.
    pub(super) fn put(self, address: &SocketAddress) {
        let Some((place, len, room)) = self.0 else { return };
        with_bytes(address, |bytes| {
            let fits = bytes.len().min(room);
            // SAFETY: `new` made sure. An address is far shorter than a length can be.
            unsafe {
                place.copy_from_nonoverlapping(bytes.as_ptr(), fits);
                len.write(bytes.len() as libc::socklen_t);
            }
        });
    }
}

fn with_bytes(address: &SocketAddress, show: impl FnOnce(&[u8])) {
    match address {
        SocketAddress::Inet(SocketAddr::V4(address)) => show_as_bytes(
            &libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            },
            size_of::<libc::sockaddr_in>(),
            show,
        ),
        SocketAddress::Inet(SocketAddr::V6(address)) => show_as_bytes(
            &libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            },
            size_of::<libc::sockaddr_in6>(),
            show,
        ),
        SocketAddress::Unix(path) => {
            let path = path.as_os_str().as_bytes();
            // SAFETY: zero is valid for each field: all are numbers.
            let mut host: libc::sockaddr_un = unsafe { mem::zeroed() };
            host.sun_family = libc::AF_UNIX as libc::sa_family_t;
            // It came from such an address, or from Rust, where it may be longer: then as much as fits.
            let fits = path.len().min(host.sun_path.len());
            for (to, from) in host.sun_path.iter_mut().zip(path) {
                *to = *from as libc::c_char;
            }
            // The NUL counts where there is room for it.
            let len = (PATH + fits + 1).min(size_of::<libc::sockaddr_un>());
            show_as_bytes(&host, len, show);
        }
        SocketAddress::Unnamed => show(&(libc::AF_UNIX as libc::sa_family_t).to_ne_bytes()),
    }
}

/// Shows the first `len` bytes of an address, none of which is padding.
fn show_as_bytes<T>(host: &T, len: usize, show: impl FnOnce(&[u8])) {
    assert!(len <= size_of::<T>());
    // SAFETY: within the value, and the host's addresses have no padding.
    show(unsafe { slice::from_raw_parts((&raw const *host).cast::<u8>(), len) });
}

#[cfg(test)]
mod tests {
    use super::{Room, read};
    use crate::SocketAddress;

    #[test]
    fn addresses_cross_and_come_back() {
        for address in [
            SocketAddress::Inet("127.0.0.1:80".parse().unwrap()),
            SocketAddress::Inet("[fe80::1%7]:65535".parse().unwrap()),
            SocketAddress::Unix("/tmp/socket".into()),
            SocketAddress::Unix(format!("/{}", "x".repeat(107)).into()),
            SocketAddress::Unnamed,
        ] {
            // SAFETY: zero is valid for each field: all are numbers.
            let mut host: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
            let mut len = size_of_val(&host) as libc::socklen_t;
            let place = (&raw mut host).cast();
            // SAFETY: room for any address.
            unsafe { Room::required(place, &raw mut len) }.unwrap().put(&address);
            // SAFETY: written just now.
            assert_eq!(unsafe { read(place, len) }, Ok(address));
        }
    }
}
