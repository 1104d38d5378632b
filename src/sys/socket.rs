//! Sockets.

use std::any::Any;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::descriptors::open_with;
use super::file;
use super::identity::with_cred;
use super::names::at_cwd;
use super::ready::{until_ready, wait_for};
use crate::errno::{Errno, Result};
use crate::fd::{Domain, OpenFile, OpenFlags, Socket, SocketAddress, SocketKind, SocketOption};
use crate::id::Fd;
use crate::wait;
use crate::watch::Events;

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
    check_flags(flags)?;
    let listening = file(fd)?;
    let listener = socket_of(&listening)?;
    until_ready(&listening, Events::IN, || {
        // The number is taken first, so that a connection is not accepted and then lost.
        let mut from = SocketAddress::Unnamed;
        let fd = open_with(flags, || {
            let (accepted, peer) = listener.accept()?;
            from = peer;
            Ok(opened(accepted, flags))
        })?;
        Ok((fd, from))
    })
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
    let open = file(fd)?;
    let socket = socket_of(&open)?;
    match address {
        SocketAddress::Inet(address) => finish(&open, || socket.connect(*address)),
        SocketAddress::Unix(path) => {
            let node = at_cwd(|namei| namei.socket(path))?;
            finish(&open, || socket.connect_unix(node.as_fd(), path))
        }
        SocketAddress::Unnamed => Err(Errno::EAFNOSUPPORT),
    }
}

/// Starts a connection and sees it through.
fn finish(open: &OpenFile, mut connect: impl FnMut() -> Result<()>) -> Result<()> {
    let started = connect();
    if open.flags().contains(OpenFlags::NONBLOCK) {
        return started;
    }
    match started {
        // Asked again, the host says how it went. Somebody else may have asked before.
        Err(Errno::EINPROGRESS | Errno::EALREADY) => wait_for(open, Events::OUT, || match connect() {
            Err(Errno::EALREADY) => Err(Errno::EAGAIN),
            Err(Errno::EISCONN) => Ok(()),
            done => done,
        }),
        Err(Errno::EAGAIN) => {
            let (mut pause, longest) = BACKOFF;
            loop {
                match wait::until(Some(Instant::now() + pause), |_| Poll::<Result<()>>::Pending) {
                    Err(Errno::ETIMEDOUT) => pause = longest.min(pause * 2),
                    interrupted => return interrupted,
                }
                match connect() {
                    Err(Errno::EAGAIN) => {}
                    done => return done,
                }
            }
        }
        done => done,
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
