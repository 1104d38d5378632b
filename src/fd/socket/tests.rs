//! Sockets, with those of the host as oracle.

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
