//! Sockets through `sys::`, against `std::net` and each other.

#[path = "common/killed.rs"]
mod killed;

use std::io::{IoSlice, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use killed::killed;
use lwproc::sys::{self, PollFd};
use lwproc::{
    Console, Domain, Errno, Events, Fd, Kernel, OpenFlags, ProcOptions, Resource, Rlimit, SocketAddress, SocketKind,
    SocketOption,
};

fn boot() -> Kernel {
    Kernel::builder().console(Console::null()).boot().unwrap()
}

fn loopback(port: u16) -> SocketAddress {
    SocketAddress::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn stream(flags: OpenFlags) -> Fd {
    sys::socket(Domain::Inet, SocketKind::Stream, flags).unwrap()
}

fn inet(address: SocketAddress) -> SocketAddr {
    match address {
        SocketAddress::Inet(address) => address,
        other => panic!("{other:?} is not an internet address"),
    }
}

/// A listening socket on a free port.
fn listener(flags: OpenFlags) -> (Fd, SocketAddr) {
    let fd = stream(flags);
    sys::bind(fd, &loopback(0)).unwrap();
    sys::listen(fd, 16).unwrap();
    (fd, inet(sys::getsockname(fd).unwrap()))
}

#[test]
fn a_blocking_server_serves_clients_of_the_host() {
    let kernel = boot();
    let (listening, address) = kernel.enter(|| listener(OpenFlags::empty()));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..3_u8 {
                thread::sleep(Duration::from_millis(10));
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(&[n; 3]).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, [n, n, n, 0xff]);
            }
        });
        kernel.enter(|| {
            for _ in 0..3 {
                let (fd, peer) = sys::accept(listening).unwrap();
                assert_eq!(sys::getpeername(fd), Ok(peer));
                assert_eq!(sys::getsockname(fd), Ok(SocketAddress::Inet(address)));
                let mut buf = [0; 8];
                loop {
                    match sys::read(fd, &mut buf).unwrap() {
                        0 => break,
                        len => assert_eq!(sys::write(fd, &buf[..len]), Ok(len)),
                    }
                }
                assert_eq!(sys::writev(fd, &[IoSlice::new(&[]), IoSlice::new(&[0xff])]), Ok(1));
                sys::close(fd).unwrap();
            }
        });
    });
}

#[test]
fn a_blocking_client_reaches_a_server_of_the_host_and_is_told_when_there_is_none() {
    boot().enter(|| {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = SocketAddress::Inet(server.local_addr().unwrap());
        let client = stream(OpenFlags::empty());
        sys::connect(client, &address).unwrap();
        assert_eq!(sys::connect(client, &address), Err(Errno::EISCONN));
        assert_eq!(sys::getpeername(client), Ok(address.clone()));
        // More than the host buffers, so that the write has to wait for the other side.
        let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 253) as u8).collect();
        let (mut accepted, _) = server.accept().unwrap();
        let received = thread::spawn(move || {
            let mut all = Vec::new();
            accepted.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(sys::write(client, &sent), Ok(sent.len()));
        sys::shutdown(client, Shutdown::Write).unwrap();
        assert!(received.join().unwrap() == sent);
        assert_eq!(sys::write(client, b"x"), Err(Errno::EPIPE));
        drop(server);
        assert_eq!(sys::connect(stream(OpenFlags::empty()), &address), Err(Errno::ECONNREFUSED));
    });
}

#[test]
fn a_non_blocking_client_is_told_by_poll_and_the_pending_error() {
    boot().enter(|| {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let there = SocketAddress::Inet(server.local_addr().unwrap());
        let gone = SocketAddress::Inet(TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap());
        for (address, outcome) in [(there, 0), (gone, Errno::ECONNREFUSED.raw())] {
            let client = stream(OpenFlags::NONBLOCK);
            match sys::connect(client, &address) {
                Err(Errno::EINPROGRESS) => {
                    let mut fds = [PollFd::new(client, Events::OUT)];
                    assert_eq!(sys::poll(&mut fds, None), Ok(1));
                    assert!(fds[0].revents.contains(Events::OUT));
                    assert_eq!(sys::getsockopt(client, SocketOption::Error), Ok(outcome));
                }
                Ok(()) => assert_eq!(outcome, 0),
                Err(error) => assert_eq!(error.raw(), outcome),
            }
            assert_eq!(sys::getsockopt(client, SocketOption::Error), Ok(0));
        }
    });
}

#[test]
fn non_blocking_is_of_the_descriptor_and_not_inherited_by_what_it_accepts() {
    boot().enter(|| {
        let (listening, address) = listener(OpenFlags::NONBLOCK);
        assert_eq!(sys::accept(listening), Err(Errno::EAGAIN));
        let clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        sys::poll(&mut [PollFd::new(listening, Events::IN)], None).unwrap();
        let (waits, _) = sys::accept(listening).unwrap();
        let (does_not, _) = sys::accept4(listening, OpenFlags::NONBLOCK | OpenFlags::CLOEXEC).unwrap();
        assert_eq!(sys::read(does_not, &mut [0]), Err(Errno::EAGAIN));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                (&clients[0]).write_all(b"x").unwrap();
            });
            assert_eq!(sys::read(waits, &mut [0]), Ok(1));
        });
        assert_eq!(sys::accept4(listening, OpenFlags::APPEND), Err(Errno::EINVAL));
        assert_eq!(sys::socket(Domain::Inet, SocketKind::Stream, OpenFlags::CREAT), Err(Errno::EINVAL));
        let pair = sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::RDWR);
        assert_eq!(pair, Err(Errno::EINVAL));
    });
}

#[test]
fn a_full_table_leaves_the_connection_in_the_queue() {
    boot().enter(|| {
        let (listening, address) = listener(OpenFlags::empty());
        let _client = TcpStream::connect(address).unwrap();
        let limit = sys::getrlimit(Resource::NoFile);
        sys::setrlimit(Resource::NoFile, Rlimit { soft: listening as u64 + 1, ..limit }).unwrap();
        assert_eq!(sys::accept(listening), Err(Errno::EMFILE));
        assert_eq!(sys::socket(Domain::Inet, SocketKind::Stream, OpenFlags::empty()), Err(Errno::EMFILE));
        sys::setrlimit(Resource::NoFile, Rlimit { soft: listening as u64 + 2, ..limit }).unwrap();
        let pair = sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::empty());
        assert_eq!(pair, Err(Errno::EMFILE));
        assert_eq!(sys::accept(listening).unwrap().0, listening + 1);
    });
}

#[test]
fn what_is_no_socket_says_so() {
    boot().enter(|| {
        let (pipe, _) = sys::pipe().unwrap();
        for (fd, error) in [(pipe, Errno::ENOTSOCK), (0, Errno::ENOTSOCK), (-1, Errno::EBADF), (999, Errno::EBADF)] {
            assert_eq!(sys::bind(fd, &loopback(0)), Err(error));
            assert_eq!(sys::listen(fd, 1), Err(error));
            assert_eq!(sys::accept(fd), Err(error));
            assert_eq!(sys::connect(fd, &loopback(1)), Err(error));
            assert_eq!(sys::shutdown(fd, Shutdown::Both), Err(error));
            assert_eq!(sys::getsockname(fd), Err(error));
            assert_eq!(sys::getpeername(fd), Err(error));
            assert_eq!(sys::getsockopt(fd, SocketOption::Error), Err(error));
            assert_eq!(sys::setsockopt(fd, SocketOption::NoDelay, 1), Err(error));
        }
        let socket = stream(OpenFlags::empty());
        assert_eq!(sys::pread(socket, &mut [0], 0), Err(Errno::ESPIPE));
        assert_eq!(sys::bind(socket, &SocketAddress::Unnamed), Err(Errno::EINVAL));
        assert_eq!(sys::connect(socket, &SocketAddress::Unnamed), Err(Errno::EAFNOSUPPORT));
    });
}

#[test]
fn only_root_binds_low_ports() {
    let kernel = boot();
    let mut user = kernel.spawn(ProcOptions::new().uid(1000).gid(1000)).unwrap();
    user.enter(|| {
        assert_eq!(sys::bind(stream(OpenFlags::empty()), &loopback(80)), Err(Errno::EACCES));
        assert_eq!(sys::bind(stream(OpenFlags::empty()), &loopback(0)), Ok(()));
    });
}

#[test]
fn a_datagram_socket_keeps_messages_apart() {
    boot().enter(|| {
        let (one, other) = sys::socketpair(Domain::Unix, SocketKind::Datagram, OpenFlags::empty()).unwrap();
        assert_eq!(sys::writev(one, &[IoSlice::new(b"ab"), IoSlice::new(b"cd")]), Ok(4));
        assert_eq!(sys::write(one, b"e"), Ok(1));
        let (mut first, mut second) = ([0; 3], [0; 3]);
        let mut bufs = [std::io::IoSliceMut::new(&mut first), std::io::IoSliceMut::new(&mut second)];
        assert_eq!(sys::readv(other, &mut bufs), Ok(4));
        assert_eq!((&first, second[0]), (b"abc", b'd'));
        assert_eq!(sys::read(other, &mut first), Ok(1));
    });
}

#[test]
fn a_kill_interrupts_accept_connect_read_and_write() {
    let kernel = boot();
    assert_eq!(killed(&kernel, || sys::accept(listener(OpenFlags::empty()).0)), Err(Errno::EINTR));
    let read = killed(&kernel, || {
        let (one, _other) = sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
        sys::read(one, &mut [0])
    });
    assert_eq!(read, Err(Errno::EINTR));
    let write = killed(&kernel, || {
        let (one, _other) = sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
        let first = sys::write(one, &vec![0; 10_000_000]).unwrap();
        assert!(first > 0 && first < 10_000_000);
        sys::write(one, &[0])
    });
    assert_eq!(write, Err(Errno::EINTR));
    let connect = killed(&kernel, || {
        // A listener that accepts none: at some point its queue is full, and the next one waits.
        let listening = stream(OpenFlags::empty());
        sys::bind(listening, &loopback(0)).unwrap();
        sys::listen(listening, 0).unwrap();
        let address = sys::getsockname(listening).unwrap();
        (0..100).map(|_| sys::connect(stream(OpenFlags::empty()), &address)).find(|done| done.is_err())
    });
    assert_eq!(connect, Some(Err(Errno::EINTR)));
}

#[test]
fn closing_a_listener_does_not_end_an_accept_but_shutting_it_down_does() {
    let kernel = boot();
    let (listening, address) = kernel.enter(|| listener(OpenFlags::empty()));
    let same = kernel.enter(|| sys::dup(listening).unwrap());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| kernel.enter(|| [sys::accept(listening).is_ok(), sys::accept(same).is_ok()]));
        kernel.enter(|| {
            thread::sleep(Duration::from_millis(30));
            sys::close(listening).unwrap();
            thread::sleep(Duration::from_millis(30));
            assert!(!waiting.is_finished());
            let _client = TcpStream::connect(address).unwrap();
            thread::sleep(Duration::from_millis(30));
            assert!(!waiting.is_finished());
            sys::shutdown(same, Shutdown::Both).unwrap();
            assert_eq!(waiting.join().unwrap(), [true, false]);
        });
    });
}
