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
use crate::watch::{Events, Watch};

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
        Self::wrap(retry(|| rustix::net::socket_with(family(domain), type_of(kind), FLAGS, None))?, domain)
    }

    /// Two Unix sockets, connected to each other.
    ///
    /// # Errors
    /// `EOPNOTSUPP` unless `domain` is [`Domain::Unix`]. `ENFILE`: the host is out of descriptors.
    pub fn pair(domain: Domain, kind: SocketKind) -> Result<(Self, Self)> {
        let (one, other) = retry(|| rustix::net::socketpair(family(domain), type_of(kind), FLAGS, None))?;
        Ok((Self::wrap(one, domain)?, Self::wrap(other, domain)?))
    }

    fn wrap(fd: OwnedFd, domain: Domain) -> Result<Self> {
        Ok(Self { host: HostFile::new(fd)?, domain, names: Mutex::default() })
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
        let (fd, peer) = retry(|| rustix::net::acceptfrom_with(&self.host, FLAGS))?;
        let accepted = Self::wrap(fd, self.domain)?;
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
        Self::wrap(fd, domain)
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
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Instant;

    use super::*;
    use crate::fd::SocketOption;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Tries until the host has moved what is under way.
    fn eventually<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            match attempt() {
                Err(Errno::EAGAIN) if start.elapsed().as_secs() < 10 => std::thread::yield_now(),
                done => return done,
            }
        }
    }

    fn connected(socket: &Socket) -> Result<()> {
        eventually(|| if socket.poll(Events::OUT, None).is_empty() { Err(Errno::EAGAIN) } else { Ok(()) })?;
        socket.take_error()
    }

    fn tcp() -> Socket {
        Socket::new(Domain::Inet, SocketKind::Stream).unwrap()
    }

    #[test]
    fn serves_a_client_of_the_host() {
        let listener = tcp();
        listener.set_option(SocketOption::ReuseAddress, 1).unwrap();
        listener.bind(loopback(0), &Cred::user(1, 1)).unwrap();
        assert_eq!(listener.option(SocketOption::Listening), Ok(0));
        listener.listen(16).unwrap();
        assert_eq!(listener.option(SocketOption::Listening), Ok(1));
        assert_eq!(listener.accept().unwrap_err(), Errno::EAGAIN);
        let Ok(SocketAddress::Inet(address)) = listener.local_address() else { panic!("not an internet address") };
        let mut client = TcpStream::connect(address).unwrap();
        let (accepted, peer) = eventually(|| listener.accept()).unwrap();
        assert_eq!(peer, SocketAddress::Inet(client.local_addr().unwrap()));
        assert_eq!(accepted.peer_address(), Ok(peer));
        assert_eq!(accepted.local_address(), Ok(SocketAddress::Inet(address)));
        let mut buf = [0; 8];
        assert_eq!(accepted.read_at(&mut buf, 0), Err(Errno::EAGAIN));
        client.write_all(b"ask").unwrap();
        assert_eq!(eventually(|| accepted.read_at(&mut buf, 0)), Ok(3));
        assert_eq!(accepted.write_at(b"answer", 0), Ok(6));
        accepted.shutdown(Shutdown::Write).unwrap();
        assert_eq!(accepted.write_at(b"more", 0), Err(Errno::EPIPE));
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
        drop(client);
        assert_eq!(eventually(|| accepted.read_at(&mut buf, 0)), Ok(0));
    }

    #[test]
    fn is_a_client_of_a_server_of_the_host() {
        let server = TcpListener::bind(loopback(0)).unwrap();
        let client = tcp();
        let address = server.local_addr().unwrap();
        if let Err(under_way) = client.connect(address) {
            assert_eq!(under_way, Errno::EINPROGRESS);
            connected(&client).unwrap();
            client.connect(address).unwrap();
        }
        assert_eq!(client.connect(address), Err(Errno::EISCONN));
        let (mut accepted, peer) = server.accept().unwrap();
        assert_eq!(client.local_address(), Ok(SocketAddress::Inet(peer)));
        assert_eq!(client.write_at(b"hello", 0), Ok(5));
        let mut buf = [0; 5];
        accepted.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello");
    }

    #[test]
    fn a_refused_connection_is_told_by_the_pending_error() {
        let gone = TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap();
        let client = tcp();
        match client.connect(gone) {
            Err(Errno::EINPROGRESS) => assert_eq!(connected(&client), Err(Errno::ECONNREFUSED)),
            done => assert_eq!(done, Err(Errno::ECONNREFUSED)),
        }
        assert_eq!(client.take_error(), Ok(()));
    }

    #[test]
    fn low_ports_are_for_root() {
        for port in [1, 80, 1023] {
            assert_eq!(tcp().bind(loopback(port), &Cred::user(7, 0)), Err(Errno::EACCES));
        }
        // Root's is decided by the host then.
        let as_root = tcp().bind(loopback(1023), &Cred::root());
        let by_host = TcpListener::bind(loopback(1023)).map(drop).map_err(Errno::from);
        assert_eq!(as_root.is_ok(), by_host.is_ok());
    }

    #[test]
    fn misuse_is_told_as_the_host_tells_it() {
        let socket = tcp();
        assert_eq!(socket.accept().unwrap_err(), Errno::EINVAL);
        assert_eq!(socket.peer_address(), Err(Errno::ENOTCONN));
        assert_eq!(socket.read_at(&mut [0], 0), Err(Errno::ENOTCONN));
        assert_eq!(socket.write_at(&[0], 0), Err(Errno::EPIPE));
        assert_eq!(socket.shutdown(Shutdown::Both), Err(Errno::ENOTCONN));
        let taken = TcpListener::bind(loopback(0)).unwrap();
        assert_eq!(socket.bind(taken.local_addr().unwrap(), &Cred::root()), Err(Errno::EADDRINUSE));
        assert_eq!(socket.bind("192.0.2.1:0".parse().unwrap(), &Cred::root()), Err(Errno::EADDRNOTAVAIL));
        assert_eq!(socket.bind("[::1]:0".parse().unwrap(), &Cred::root()), Err(Errno::EAFNOSUPPORT));
        let datagram = Socket::new(Domain::Inet, SocketKind::Datagram).unwrap();
        assert_eq!(datagram.listen(1), Err(Errno::EOPNOTSUPP));
        assert_eq!(datagram.write_at(b"x", 0), Err(Errno::EDESTADDRREQ));
        assert_eq!(Socket::pair(Domain::Inet, SocketKind::Stream).unwrap_err(), Errno::EOPNOTSUPP);
        let unix = Socket::new(Domain::Unix, SocketKind::Stream).unwrap();
        assert_eq!(unix.bind(loopback(0), &Cred::root()), Err(Errno::EINVAL));
        assert_eq!(unix.connect(loopback(1)), Err(Errno::EINVAL));
        assert_eq!(unix.listen(1), Err(Errno::EINVAL));
        assert_eq!(Socket::try_from(rustix::pipe::pipe().unwrap().0).unwrap_err(), Errno::ENOTSOCK);
    }

    #[test]
    fn a_pair_is_connected_and_tells_when_the_other_end_is_gone() {
        let (one, other) = Socket::pair(Domain::Unix, SocketKind::Stream).unwrap();
        assert_eq!(one.local_address(), Ok(SocketAddress::Unnamed));
        assert_eq!(one.peer_address(), Ok(SocketAddress::Unnamed));
        assert_eq!(other.read_at(&mut [], 0), Ok(0));
        one.write_at(b"x", 0).unwrap();
        drop(one);
        assert_eq!(other.poll(Events::IN | Events::OUT, None), Events::IN | Events::OUT | Events::HUP);
        let mut buf = [0; 4];
        assert_eq!(other.read_at(&mut buf, 0), Ok(1));
        assert_eq!(other.read_at(&mut buf, 0), Ok(0));
        assert_eq!(other.write_at(b"x", 0), Err(Errno::EPIPE));
    }

    #[test]
    fn unix_sockets_meet_at_a_node_and_have_virtual_names() {
        use rustix::fs::{Mode, OFlags};
        let dir = std::env::temp_dir().join(format!("lwproc-socket-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let parent = rustix::fs::open(&dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let (name, path) = (OsStr::new("meet"), Path::new("/run/meet"));
        let listener = Socket::new(Domain::Unix, SocketKind::Stream).unwrap();
        listener.bind_unix(parent.as_fd(), name, path).unwrap();
        let second = Socket::new(Domain::Unix, SocketKind::Stream).unwrap();
        assert_eq!(second.bind_unix(parent.as_fd(), name, path), Err(Errno::EADDRINUSE));
        let long = "x".repeat(108);
        assert_eq!(second.bind_unix(parent.as_fd(), OsStr::new(&long), path), Err(Errno::ENAMETOOLONG));
        assert_eq!(second.bind_unix(parent.as_fd(), OsStr::new("a\0b"), path), Err(Errno::EINVAL));
        assert_eq!(tcp().bind_unix(parent.as_fd(), name, path), Err(Errno::EAFNOSUPPORT));
        let node = rustix::fs::openat(&parent, "meet", OFlags::PATH, Mode::empty()).unwrap();
        assert_eq!(second.connect_unix(node.as_fd(), path), Err(Errno::ECONNREFUSED));
        listener.listen(0).unwrap();
        second.connect_unix(node.as_fd(), path).unwrap();
        let third = Socket::new(Domain::Unix, SocketKind::Stream).unwrap();
        assert_eq!(third.connect_unix(node.as_fd(), path), Err(Errno::EAGAIN));
        let (accepted, peer) = listener.accept().unwrap();
        third.connect_unix(node.as_fd(), path).unwrap();
        let named = Ok(SocketAddress::Unix(path.to_owned()));
        assert_eq!(
            (listener.local_address(), accepted.local_address(), second.peer_address()),
            (named.clone(), named.clone(), named)
        );
        assert_eq!((peer, second.local_address()), (SocketAddress::Unnamed, Ok(SocketAddress::Unnamed)));
        second.write_at(b"hi", 0).unwrap();
        assert_eq!(accepted.read_at(&mut [0; 4], 0), Ok(2));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_listener_of_the_host_can_be_taken_over() {
        let host = TcpListener::bind(loopback(0)).unwrap();
        let address = host.local_addr().unwrap();
        let listener = Socket::try_from(OwnedFd::from(host)).unwrap();
        assert_eq!(listener.domain(), Domain::Inet);
        assert_eq!(listener.accept().unwrap_err(), Errno::EAGAIN);
        let _client = TcpStream::connect(address).unwrap();
        eventually(|| listener.accept()).unwrap();
    }

    #[test]
    fn datagrams_go_to_whom_the_socket_is_connected_to() {
        let (one, other) = (
            Socket::new(Domain::Inet6, SocketKind::Datagram).unwrap(),
            Socket::new(Domain::Inet6, SocketKind::Datagram).unwrap(),
        );
        let local = "[::1]:0".parse().unwrap();
        if one.bind(local, &Cred::root()) == Err(Errno::EADDRNOTAVAIL) {
            eprintln!("skipped: this machine has no IPv6 loopback");
            return;
        }
        other.bind(local, &Cred::root()).unwrap();
        let Ok(SocketAddress::Inet(address)) = other.local_address() else { panic!("not an internet address") };
        one.connect(address).unwrap();
        one.write_at(b"ab", 0).unwrap();
        one.write_at(b"cd", 0).unwrap();
        let mut buf = [0; 8];
        assert_eq!(eventually(|| other.read_at(&mut buf, 0)), Ok(2));
        assert_eq!(eventually(|| other.read_at(&mut buf, 0)), Ok(2));
    }
}
