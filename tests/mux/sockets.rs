//! Sockets of the host, many at once, as servers meet them.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use lwproc::{Domain, Errno, Fd, FdInherit, Kernel, OpenFlags, ProcOptions, SocketAddress, SocketKind, mux, sys};

use super::{mux, nothing_left};

/// A process with the descriptors of the one that calls.
fn child(kernel: &Kernel) -> lwproc::Lwp {
    kernel.spawn(ProcOptions::new().fds(FdInherit::Copy)).unwrap()
}

/// A listening socket of pid 1, and its address.
fn listener(kernel: &Kernel) -> (Fd, SocketAddr) {
    kernel.enter(|| {
        let listener = sys::socket(Domain::Inet, SocketKind::Stream, OpenFlags::empty()).unwrap();
        sys::bind(listener, &SocketAddress::Inet("127.0.0.1:0".parse().unwrap())).unwrap();
        sys::listen(listener, 1024).unwrap();
        let SocketAddress::Inet(address) = sys::getsockname(listener).unwrap() else { panic!("an internet address") };
        (listener, address)
    })
}

/// Writes all that comes back to where it came from. How much that was, or what went wrong.
fn echo(connection: Fd) -> Result<usize, Errno> {
    let mut buf = [0; 512];
    let mut all = 0;
    let done = loop {
        match sys::read(connection, &mut buf) {
            Ok(0) => break Ok(all),
            Ok(read) => {
                let mut rest = &buf[..read];
                while !rest.is_empty() {
                    let written = sys::write(connection, rest)?;
                    rest = &rest[written..];
                }
                all += read;
            }
            Err(error) => break Err(error),
        }
    };
    sys::close(connection)?;
    done
}

#[test]
fn many_fibers_accept_on_one_socket_and_serve_at_once() {
    const FIBERS: usize = 20;
    const EACH: usize = 10;
    let (kernel, mut mux) = mux();
    let (listener, address) = listener(&kernel);
    for _ in 0..FIBERS {
        mux.spawn_fiber(child(&kernel), move || {
            for _ in 0..EACH {
                let (connection, _) = sys::accept(listener).unwrap();
                assert_eq!(echo(connection), Ok(5));
            }
        })
        .unwrap();
    }
    let clients = std::thread::spawn(move || {
        let mut clients: Vec<_> = (0..FIBERS * EACH).map(|_| TcpStream::connect(address).unwrap()).collect();
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
            // Half closed: what is under way still comes back.
            client.shutdown(Shutdown::Write).unwrap();
        }
        for client in &mut clients {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            assert_eq!(all, b"hello");
        }
    });
    mux.run().unwrap();
    clients.join().unwrap();
    nothing_left(&kernel);
}

#[test]
fn connections_that_are_reset_hurt_nobody() {
    const CLIENTS: usize = 1000;
    let (kernel, mut mux) = mux();
    let (listener, address) = listener(&kernel);
    let served = Rc::new(Cell::new(0));
    let (accepting, count) = (kernel.clone(), Rc::clone(&served));
    mux.spawn_fiber(child(&kernel), move || {
        let mut joins = Vec::new();
        for _ in 0..=CLIENTS {
            let (connection, _) = sys::accept(listener).unwrap();
            let lwp = accepting.spawn(ProcOptions::new().fds(FdInherit::Copy)).unwrap();
            let mine = connection;
            joins.push(mux::spawn_fiber(lwp, move || echo(mine)).unwrap());
            sys::close(connection).unwrap();
        }
        for mut join in joins {
            if join.join().unwrap().is_ok() {
                count.set(count.get() + 1);
            }
        }
    })
    .unwrap();
    let clients = std::thread::spawn(move || {
        for client in 0..CLIENTS {
            let mut stream = TcpStream::connect(address).unwrap();
            if client % 2 == 0 {
                stream.write_all(&[0; 100]).unwrap();
            }
            // Gone with a reset.
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
        let mut last = TcpStream::connect(address).unwrap();
        last.write_all(b"hello").unwrap();
        last.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        last.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"hello");
    });
    mux.run().unwrap();
    clients.join().unwrap();
    assert!(served.get() >= 1);
    nothing_left(&kernel);
}

#[test]
fn what_does_not_fit_waits_until_it_does() {
    const LEN: usize = 4 << 20;
    let (kernel, mut mux) = mux();
    let (listener, address) = listener(&kernel);
    mux.spawn_fiber(child(&kernel), move || {
        let (connection, _) = sys::accept(listener).unwrap();
        // A stream takes all of it, however long that lasts.
        assert_eq!(sys::write(connection, &vec![7; LEN]), Ok(LEN));
        sys::close(connection).unwrap();
    })
    .unwrap();
    let client = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut stream = TcpStream::connect(address).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        stream.read_to_end(&mut all).unwrap();
        assert!(all.len() == LEN && all.iter().all(|byte| *byte == 7));
    });
    mux.run().unwrap();
    client.join().unwrap();
}

#[test]
fn idle_connections_keep_nobody_waiting() {
    const IDLE: usize = 400;
    let (kernel, mut mux) = mux();
    let (listener, address) = listener(&kernel);
    let accepting = kernel.clone();
    mux.spawn_fiber(child(&kernel), move || {
        for _ in 0..=IDLE {
            let (connection, _) = sys::accept(listener).unwrap();
            let lwp = accepting.spawn(ProcOptions::new().fds(FdInherit::Copy)).unwrap();
            mux::spawn_fiber(lwp, move || echo(connection)).unwrap();
            sys::close(connection).unwrap();
        }
    })
    .unwrap();
    let clients = std::thread::spawn(move || {
        let idle: Vec<_> = (0..IDLE).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut busy = TcpStream::connect(address).unwrap();
        for round in 0..200 {
            busy.write_all(&[round; 10]).unwrap();
            let mut back = [0; 10];
            busy.read_exact(&mut back).unwrap();
            assert_eq!(back, [round; 10]);
        }
        drop(idle);
    });
    mux.run().unwrap();
    clients.join().unwrap();
    nothing_left(&kernel);
}

#[test]
fn fibers_connect_and_talk_to_each_other() {
    let (kernel, mut mux) = mux();
    let (listener, address) = listener(&kernel);
    mux.spawn_fiber(child(&kernel), move || {
        let (connection, _) = sys::accept(listener).unwrap();
        echo(connection).unwrap();
    })
    .unwrap();
    mux.spawn_fiber(child(&kernel), move || {
        let client = sys::socket(Domain::Inet, SocketKind::Stream, OpenFlags::empty()).unwrap();
        sys::connect(client, &SocketAddress::Inet(address)).unwrap();
        for word in [b"one", b"two"] {
            sys::write(client, word).unwrap();
            let mut back = [0; 3];
            assert_eq!(sys::read(client, &mut back), Ok(3));
            assert_eq!(&back, word);
        }
    })
    .unwrap();
    mux.run().unwrap();
    nothing_left(&kernel);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let (kernel, mut mux) = mux();
    let woken = Rc::new(std::cell::RefCell::new(Vec::new()));
    for ms in [30, 10, 20] {
        let told = Rc::clone(&woken);
        mux.spawn_fiber(super::lwp(&kernel), move || {
            sys::nanosleep(Duration::from_millis(ms), None).unwrap();
            told.borrow_mut().push(ms);
        })
        .unwrap();
        let told = Rc::clone(&woken);
        mux.spawn(super::lwp(&kernel), async move {
            mux::sleep(Duration::from_millis(ms + 5)).await.unwrap();
            told.borrow_mut().push(ms + 5);
        })
        .unwrap();
    }
    mux.run().unwrap();
    assert_eq!(*woken.borrow(), [10, 15, 20, 25, 30, 35]);
}

#[test]
fn a_timeout_ends_what_it_waits_for_and_a_kill_does_too() {
    let (kernel, mut mux) = mux();
    let lwp = super::lwp(&kernel);
    let pid = lwp.pid();
    let mut killed = mux.spawn(lwp, mux::timeout(Duration::from_secs(3600), std::future::pending::<()>())).unwrap();
    let killer = kernel.clone();
    let mut timed = mux
        .spawn(super::lwp(&kernel), async move {
            let timed = mux::timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
            killer.kill(pid).unwrap();
            (timed, mux::timeout(Duration::from_secs(3600), async { 7 }).await)
        })
        .unwrap();
    mux.run().unwrap();
    assert_eq!(timed.join().unwrap(), (Err(Errno::ETIMEDOUT), Ok(7)));
    assert_eq!(killed.join().unwrap(), Err(Errno::EINTR));
    nothing_left(&kernel);
}
