//! Sockets.

use std::any::Any;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::call::{Call, block};
use super::descriptors::open_with;
use super::file;
use super::identity::with_cred;
use super::names::at_cwd;
use super::ready::{again, until_ready};
use crate::errno::{Errno, Result};
use crate::fd::{Domain, OpenFile, OpenFlags, Socket, SocketAddress, SocketKind, SocketOption};
use crate::id::Fd;
use crate::wait::events::Events;
use crate::wait::watch::Watch;

/// How long `connect` waits, at first and at most, before it asks a Unix listener again whose queue is full.
const BACKOFF: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(20));

/// Makes a socket. `flags`: [`OpenFlags::NONBLOCK`], [`OpenFlags::CLOEXEC`].
///
/// # Errors
/// `EMFILE`: no descriptor is left. `EINVAL`: another flag. And those of [`Socket::new`].
///
/// Source: POSIX.1-2024, section socket; socket(2) for the flags.
pub fn socket(domain: Domain, kind: SocketKind, flags: OpenFlags) -> Result<Fd> {
    check_flags(flags)?;
    open_with(flags, || Ok(opened(Socket::new(domain, kind)?, flags)))
}

/// Makes two sockets, connected to each other.
///
/// # Errors
/// As [`socket`], and `EOPNOTSUPP` unless `domain` is [`Domain::Unix`].
///
/// Source: POSIX.1-2024, section socketpair.
pub fn socketpair(domain: Domain, kind: SocketKind, flags: OpenFlags) -> Result<(Fd, Fd)> {
    check_flags(flags)?;
    let mut second = -1;
    let first = open_with(flags, || {
        let (one, other) = Socket::pair(domain, kind)?;
        second = open_with(flags, || Ok(opened(other, flags)))?;
        Ok(opened(one, flags))
    })?;
    Ok((first, second))
}

/// Gives the socket an address. A path makes a socket file, with mode 0777 less the umask; it must be on a
/// [mount](crate::Kernel::mount) of the host.
///
/// # Errors
/// `EBADF`: `fd` is not open. `ENOTSOCK`: not a socket. For a path, those of every path, as for [`stat`](super::stat), and:
/// `EADDRINUSE`: there is something. `EACCES`: the directory may not be written. `EROFS`: on a read-only mount.
/// `EOPNOTSUPP`: in memory. And those of [`Socket::bind`] and [`Socket::bind_unix`].
///
/// Source: POSIX.1-2024, section bind.
pub fn bind(fd: Fd, address: &SocketAddress) -> Result<()> {
    let open = file(fd)?;
    let socket = socket_of(&open)?;
    match address {
        SocketAddress::Inet(address) => with_cred(|cred| socket.bind(*address, cred)),
        SocketAddress::Unix(path) => {
            at_cwd(|namei| namei.bind(path, |parent, name| socket.bind_unix(parent, name, path)))
        }
        SocketAddress::Unnamed => Err(Errno::EINVAL),
    }
}

/// Takes connections from now on, and lets about `backlog` of them wait.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`, and those of [`Socket::listen`].
///
/// Source: POSIX.1-2024, section listen.
pub fn listen(fd: Fd, backlog: i32) -> Result<()> {
    socket_of(&file(fd)?)?.listen(backlog)
}

/// Waits for a connection, and gives a descriptor for it and who it is from.
///
/// To close the listening descriptor does not end a call that waits: it holds on to the open file, as on Linux.
///
/// # Errors
/// As [`accept4`].
///
/// Source: POSIX.1-2024, section accept.
pub fn accept(fd: Fd) -> Result<(Fd, SocketAddress)> {
    accept4(fd, OpenFlags::empty())
}

/// As [`accept`], with `flags` for the new descriptor: [`OpenFlags::NONBLOCK`], [`OpenFlags::CLOEXEC`]. It inherits none.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`. `EAGAIN`: no connection, and the descriptor is non-blocking. `EINTR`: the process was killed while
/// waiting. `EMFILE`: no descriptor is left; the connection stays in the queue. `EINVAL`: another flag. And those of
/// [`Socket::accept`].
///
/// Source: POSIX.1-2024, section accept; accept(2).
pub fn accept4(fd: Fd, flags: OpenFlags) -> Result<(Fd, SocketAddress)> {
    block(accepting(fd, flags)?)
}

pub(super) fn accepting(fd: Fd, flags: OpenFlags) -> Result<impl Call<Output = (Fd, SocketAddress)>> {
    check_flags(flags)?;
    Ok(until_ready(file(fd)?, Events::IN, move |listening: &OpenFile| {
        let listener = socket_of(listening)?;
        // The number is taken first, so that a connection is not accepted and then lost.
        let mut from = SocketAddress::Unnamed;
        let fd = open_with(flags, || {
            let (accepted, peer) = listener.accept()?;
            from = peer;
            Ok(opened(accepted, flags))
        })?;
        Ok((fd, from))
    }))
}

/// Connects the socket to `address`, and waits until that is done or has failed; of a datagram socket, sets whom it sends
/// to and hears.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`. `EINPROGRESS`: under way, and the descriptor is non-blocking: [`poll`](super::poll) says
/// [`Events::OUT`] when it is done, and [`SocketOption::Error`] how. `EALREADY`: the same, for another call. `EAGAIN`: a
/// Unix listener's queue is full, and the descriptor is non-blocking. `EINTR`: the process was killed while waiting; it
/// goes on without. `ECONNREFUSED`, `ETIMEDOUT` and others from the host. For a path, those of every path, as for
/// [`stat`](super::stat), and `EACCES`: the socket file may not be written. Those of [`Socket::connect`] and
/// [`Socket::connect_unix`].
///
/// Source: POSIX.1-2024, section connect.
pub fn connect(fd: Fd, address: &SocketAddress) -> Result<()> {
    block(connecting(fd, address)?)
}

pub(super) fn connecting(fd: Fd, address: &SocketAddress) -> Result<impl Call<Output = ()>> {
    let open = file(fd)?;
    socket_of(&open)?;
    let to = match address {
        SocketAddress::Inet(address) => To::Inet(*address),
        SocketAddress::Unix(path) => To::Unix(at_cwd(|namei| namei.socket(path))?, path.clone()),
        SocketAddress::Unnamed => return Err(Errno::EAFNOSUPPORT),
    };
    Ok(Connecting { open, to, woken: false, backoff: None })
}

/// A connection that is started and seen through.
struct Connecting {
    open: OpenFile,
    to: To,
    woken: bool,
    /// Where the other side has no room: how long this pause is, and when it ends.
    backoff: Option<(Duration, Instant)>,
}

enum To {
    Inet(SocketAddr),
    Unix(OwnedFd, PathBuf),
}

impl Connecting {
    fn connect(&self) -> Result<()> {
        let socket = socket_of(&self.open)?;
        match &self.to {
            To::Inet(address) => socket.connect(*address),
            To::Unix(node, path) => socket.connect_unix(node.as_fd(), path),
        }
    }
}

impl Call for Connecting {
    type Output = ();

    fn first(&mut self) -> Poll<Result<()>> {
        let started = self.connect();
        if self.open.flags().contains(OpenFlags::NONBLOCK) {
            return Poll::Ready(started);
        }
        let pause = self.backoff.take().map_or(BACKOFF.0, |(pause, _)| BACKOFF.1.min(pause * 2));
        match started {
            Err(Errno::EINPROGRESS | Errno::EALREADY) => Poll::Pending,
            Err(Errno::EAGAIN) => {
                self.backoff = Some((pause, Instant::now() + pause));
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }

    fn again(&mut self, watch: &mut Watch<'_>) -> Poll<Result<()>> {
        if self.backoff.is_some() {
            return Poll::Pending;
        }
        let mut woken = self.woken;
        // Asked again, the host says how it went. Somebody else may have asked before.
        let done = again(&self.open, Events::OUT, &mut woken, watch, || match self.connect() {
            Err(Errno::EALREADY) => Err(Errno::EAGAIN),
            Err(Errno::EISCONN) => Ok(()),
            done => done,
        });
        self.woken = woken;
        done
    }

    fn deadline(&self) -> Option<Instant> {
        self.backoff.map(|(_, end)| end)
    }

    fn waited(&mut self, outcome: Result<()>) -> Poll<Result<()>> {
        match outcome {
            // The pause is over. Without one it is the host that says so, of the connection.
            Err(Errno::ETIMEDOUT) if self.backoff.is_some() => self.first(),
            done => Poll::Ready(done),
        }
    }
}

/// Ends reading, writing or both, for every descriptor of the socket and for its peer. A call that waits there is woken.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`, and those of [`Socket::shutdown`].
///
/// Source: POSIX.1-2024, section shutdown.
pub fn shutdown(fd: Fd, how: Shutdown) -> Result<()> {
    socket_of(&file(fd)?)?.shutdown(how)
}

/// The socket's own address.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`, and those of [`Socket::local_address`].
///
/// Source: POSIX.1-2024, section getsockname.
pub fn getsockname(fd: Fd) -> Result<SocketAddress> {
    socket_of(&file(fd)?)?.local_address()
}

/// The address of the socket's peer.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`, and those of [`Socket::peer_address`].
///
/// Source: POSIX.1-2024, section getpeername.
pub fn getpeername(fd: Fd) -> Result<SocketAddress> {
    socket_of(&file(fd)?)?.peer_address()
}

/// The value of a setting.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`, and those of [`Socket::option`].
///
/// Source: POSIX.1-2024, section getsockopt.
pub fn getsockopt(fd: Fd, option: SocketOption) -> Result<i32> {
    socket_of(&file(fd)?)?.option(option)
}

/// Changes a setting.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`, and those of [`Socket::set_option`].
///
/// Source: POSIX.1-2024, section setsockopt.
pub fn setsockopt(fd: Fd, option: SocketOption, value: i32) -> Result<()> {
    socket_of(&file(fd)?)?.set_option(option, value)
}

fn socket_of(open: &OpenFile) -> Result<&Socket> {
    (open.file() as &dyn Any).downcast_ref().ok_or(Errno::ENOTSOCK)
}

fn opened(socket: Socket, flags: OpenFlags) -> OpenFile {
    OpenFile::new(Box::new(socket), flags | OpenFlags::RDWR)
}

fn check_flags(flags: OpenFlags) -> Result<()> {
    if (OpenFlags::NONBLOCK | OpenFlags::CLOEXEC).contains(flags) { Ok(()) } else { Err(Errno::EINVAL) }
}
