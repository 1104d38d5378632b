//! Sockets of the host for virtual processes.

use std::ffi::OsStr;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::host::retry;
use super::{Domain, File, HostFile, SocketAddress, SocketKind, Stat};
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::wait::events::Events;
use crate::wait::watch::Watch;

/// Ports below this one are root's to bind.
const UNPRIVILEGED_PORTS: u16 = 1024;
/// What the host is asked for: never to block, and not to hand the descriptor on to programs it starts.
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A socket of the host that belongs to a virtual process.
///
/// Reads and writes are those of its [`File`] face. Nothing blocks, [`accept`](Socket::accept) and
/// [`connect`](Socket::connect) neither: the system calls on top wait until [`poll`](File::poll) says that they go on.
#[derive(Debug)]
pub struct Socket {
    host: HostFile,
    domain: Domain,
    /// Whether it is known to be a stream, and nobody else's.
    stream: bool,
    names: Mutex<Names>,
}

/// A Unix socket's names in the virtual namespace. The host knows ways through `/proc` instead.
#[derive(Debug, Default)]
struct Names {
    local: Option<PathBuf>,
    peer: Option<PathBuf>,
}

impl Socket {
    /// A new socket.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`: the host has no such domain. `ENFILE`: the host is out of descriptors. `ENOBUFS`, `ENOMEM`.
    pub fn new(domain: Domain, kind: SocketKind) -> Result<Self> {
        let fd = retry(|| rustix::net::socket_with(family(domain), type_of(kind), FLAGS, None))?;
        Ok(Self::of(fd, domain, kind == SocketKind::Stream))
    }

    /// Two Unix sockets, connected to each other.
    ///
    /// # Errors
    /// `EOPNOTSUPP` unless `domain` is [`Domain::Unix`]. `ENFILE`: the host is out of descriptors.
    pub fn pair(domain: Domain, kind: SocketKind) -> Result<(Self, Self)> {
        let (one, other) = retry(|| rustix::net::socketpair(family(domain), type_of(kind), FLAGS, None))?;
        Ok((Self::of(one, domain, false), Self::of(other, domain, false)))
    }

    /// `stream`: it is one, and the host made it for this crate, so that nothing lies between it and TCP.
    fn of(fd: OwnedFd, domain: Domain, stream: bool) -> Self {
        let tcp = stream && matches!(domain, Domain::Inet | Domain::Inet6);
        Self { host: HostFile::socket(fd, tcp), domain, stream, names: Mutex::default() }
    }

    /// The kind of addresses that it has.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Gives the socket an internet address; port 0 is any free one.
    ///
    /// # Errors
    /// `EACCES`: a port below 1024, and `cred` is not root (or the host's process may not). `EADDRINUSE`.
    /// `EADDRNOTAVAIL`: not an address of this machine. `EINVAL`: bound already. `EAFNOSUPPORT` or `EINVAL`: an address
    /// of another domain.
    pub fn bind(&self, address: SocketAddr, cred: &Cred) -> Result<()> {
        if (1..UNPRIVILEGED_PORTS).contains(&address.port()) && !cred.is_root() {
            return Err(Errno::EACCES);
        }
        if self.domain == Domain::Unix {
            return Err(Errno::EINVAL);
        }
        retry(|| rustix::net::bind(&self.host, &address))
    }

    /// Gives a Unix socket the name `name` in the host directory `parent`, where a socket file is made. `path` is what
    /// the virtual namespace calls it.
    ///
    /// # Errors
    /// `EADDRINUSE`: the name is taken. `EINVAL`: bound already. `EAFNOSUPPORT`: not a Unix socket. `ENAMETOOLONG`: the
    /// name has more than about 85 bytes. Whatever making a file there answers.
    pub fn bind_unix(&self, parent: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<()> {
        let mut way = way_through(parent).into_bytes();
        way.push(b'/');
        way.extend_from_slice(name.as_bytes());
        let address = self.unix_address(&way)?;
        retry(|| rustix::net::bind(&self.host, &address))?;
        self.names.lock().local = Some(path.to_owned());
        Ok(())
    }

    /// Starts to connect to an internet address; of a datagram socket, sets whom it sends to and hears.
    ///
    /// # Errors
    /// `EINPROGRESS`: under way; when [`poll`](File::poll) says `OUT`, calling again, or
    /// [`take_error`](Socket::take_error), has the outcome. `EALREADY`: still under way. `EISCONN`. `ECONNREFUSED`,
    /// `ENETUNREACH`, `EADDRNOTAVAIL`: from the host. `EAFNOSUPPORT` or `EINVAL`: an address of another domain.
    pub fn connect(&self, address: SocketAddr) -> Result<()> {
        if self.domain == Domain::Unix {
            return Err(Errno::EINVAL);
        }
        retry(|| rustix::net::connect(&self.host, &address))
    }

    /// Connects a Unix socket to the one that `node` refers to, a descriptor opened with `O_PATH`. `path` is what the
    /// virtual namespace calls it.
    ///
    /// # Errors
    /// `EAGAIN`: too many wait to be accepted there; no readiness tells when that changes. `ECONNREFUSED`: nobody
    /// listens, or it is no socket. `EPROTOTYPE`: a socket of another kind. `EISCONN`. `EAFNOSUPPORT`: not a Unix socket.
    /// `EACCES`: the host's process may not write there.
    pub fn connect_unix(&self, node: BorrowedFd<'_>, path: &Path) -> Result<()> {
        let address = self.unix_address(way_through(node).as_bytes())?;
        retry(|| rustix::net::connect(&self.host, &address))?;
        self.names.lock().peer = Some(path.to_owned());
        Ok(())
    }

    fn unix_address(&self, way: &[u8]) -> Result<SocketAddrUnix> {
        if self.domain != Domain::Unix {
            return Err(Errno::EAFNOSUPPORT);
        }
        Ok(SocketAddrUnix::new(way)?)
    }

    /// Takes connections from now on, and lets about `backlog` of them wait; the host bounds it.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: a datagram socket. `EINVAL`: connected, or a Unix socket without a name. `EADDRINUSE`.
    pub fn listen(&self, backlog: i32) -> Result<()> {
        retry(|| rustix::net::listen(&self.host, backlog))
    }

    /// The first of the waiting connections, and who it is.
    ///
    /// # Errors
    /// `EAGAIN`: none waits. `EINVAL`: the socket does not listen. `EOPNOTSUPP`: a datagram socket. `ECONNABORTED`: it
    /// gave up meanwhile. `ENFILE`: the host is out of descriptors.
    pub fn accept(&self) -> Result<(Self, SocketAddress)> {
        let (fd, peer) = self.host.note(Events::IN, |listening| {
            listening.used(Events::IN);
            retry(|| rustix::net::acceptfrom_with(listening, FLAGS))
        })?;
        let accepted = Self::of(fd, self.domain, self.stream);
        accepted.names.lock().local = self.names.lock().local.clone();
        let peer = accepted.address(peer, |_| None);
        Ok((accepted, peer))
    }

    /// Ends reading, writing or both, for every descriptor of this socket and for its peer.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        retry(|| rustix::net::shutdown(&self.host, how))
    }

    /// The socket's own address; before `bind`, the unspecified one with port 0.
    ///
    /// # Errors
    /// `ENOBUFS` from the host.
    pub fn local_address(&self) -> Result<SocketAddress> {
        let host = retry(|| rustix::net::getsockname(&self.host))?;
        Ok(self.address(Some(host), |names| names.local.clone()))
    }

    /// The address of the socket that it is connected to.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn peer_address(&self) -> Result<SocketAddress> {
        let host = retry(|| rustix::net::getpeername(&self.host))?;
        Ok(self.address(host, |names| names.peer.clone()))
    }

    fn address(&self, host: Option<SocketAddrAny>, name: impl FnOnce(&Names) -> Option<PathBuf>) -> SocketAddress {
        match host.map(SocketAddr::try_from) {
            Some(Ok(address)) => SocketAddress::Inet(address),
            _ => name(&self.names.lock()).map_or(SocketAddress::Unnamed, SocketAddress::Unix),
        }
    }

    /// The pending error, which is then gone: after a [`connect`](Socket::connect) that was under way, its outcome.
    ///
    /// # Errors
    /// The pending error.
    pub fn take_error(&self) -> Result<()> {
        Ok(retry(|| sockopt::socket_error(&self.host))??)
    }
}

/// Takes over a socket that the host's program made, such as a listener that was bound before privileges were dropped.
/// It becomes non-blocking for everyone who shares it.
impl TryFrom<OwnedFd> for Socket {
    type Error = Errno;

    /// # Errors
    /// `ENOTSOCK`. `EAFNOSUPPORT`: of a domain that is not in [`Domain`].
    fn try_from(fd: OwnedFd) -> Result<Self> {
        let domain = match retry(|| sockopt::socket_domain(&fd))? {
            AddressFamily::INET => Domain::Inet,
            AddressFamily::INET6 => Domain::Inet6,
            AddressFamily::UNIX => Domain::Unix,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let flags = retry(|| rustix::fs::fcntl_getfl(&fd))?;
        retry(|| rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK))?;
        Ok(Self::of(fd, domain, false))
    }
}

impl File for Socket {
    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        self.host.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> Result<usize> {
        self.host.write_at(buf, at)
    }

    fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        self.host.append(buf)
    }

    fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
        self.host.poll(events, watch)
    }

    fn stat(&self) -> Result<Stat> {
        self.host.stat()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }
}

/// A path by which the host finds what `fd` refers to, wherever that is.
fn way_through(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn family(domain: Domain) -> AddressFamily {
    match domain {
        Domain::Inet => AddressFamily::INET,
        Domain::Inet6 => AddressFamily::INET6,
        Domain::Unix => AddressFamily::UNIX,
    }
}

fn type_of(kind: SocketKind) -> SocketType {
    match kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
