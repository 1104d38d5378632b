//! In a multiplexer: many futures on one host thread, over what is in memory and what is the host's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use lwproc::mux::yield_turn;
use lwproc::sys::{self, PollFd, aio};
use lwproc::{
    Domain, Errno, Events, Fd, FdInherit, HostFile, Kernel, Lwp, MountOptions, Mux, OpenFlags, PIPE_CAPACITY,
    ProcOptions, SocketAddress, SocketKind, block_on,
};

use self::temp::Temp;
use super::muxes::{mux, nothing_left, sharing};
use super::race;

#[path = "../common/temp.rs"]
mod temp;

const LONG: Duration = Duration::from_secs(600);

fn stream() -> Fd {
    sys::socket(Domain::Inet, SocketKind::Stream, OpenFlags::empty()).unwrap()
}

fn listener() -> (Fd, SocketAddress) {
    let listener = stream();
    sys::bind(listener, &SocketAddress::Inet("127.0.0.1:0".parse().unwrap())).unwrap();
    sys::listen(listener, 1024).unwrap();
    (listener, sys::getsockname(listener).unwrap())
}

/// The reader of a pipe of the host, and its writer.
fn host_pipe() -> (Fd, OwnedFd) {
    let (read, write) = rustix::pipe::pipe().unwrap();
    (sys::install(HostFile::new(read).unwrap(), OpenFlags::RDONLY).unwrap(), write)
}

async fn read_all(fd: Fd) -> Result<Vec<u8>, Errno> {
    let (mut all, mut buf) = (Vec::new(), [0; 512]);
    loop {
        match aio::read(fd, &mut buf).await? {
            0 => return Ok(all),
            read => all.extend_from_slice(&buf[..read]),
        }
    }
}

#[test]
fn futures_and_fibers_talk_through_pipes() {
    let (kernel, mut mux) = mux();
    let ((reader, writer), (back, answers)) = kernel.enter(|| (sys::pipe().unwrap(), sys::pipe().unwrap()));
    let bytes: Rc<[u8]> = (0..5 * PIPE_CAPACITY).map(|at| (at % 251) as u8).collect();
    let sent = Rc::clone(&bytes);
    mux.spawn(sharing(&kernel), async move {
        assert_eq!(aio::write(writer, &sent).await, Ok(sent.len()));
        sys::close(writer).unwrap();
    })
    .unwrap();
    mux.spawn_fiber(sharing(&kernel), move || {
        let mut buf = [0; 1000];
        loop {
            match sys::read(reader, &mut buf).unwrap() {
                0 => return sys::close(answers).unwrap(),
                read => assert_eq!(sys::write(answers, &buf[..read]), Ok(read)),
            }
        }
    })
    .unwrap();
    let mut all = mux.spawn(sharing(&kernel), read_all(back)).unwrap();
    mux.run().unwrap();
    assert!(all.join().unwrap().unwrap() == *bytes);
    nothing_left(&kernel);
}

#[test]
fn one_thread_serves_connections_as_futures() {
    const CLIENTS: usize = 50;
    let (kernel, mut mux) = mux();
    let (listening, address) = kernel.enter(listener);
    let clean = |kernel: &Kernel| kernel.spawn(ProcOptions::new().fds(FdInherit::Copy)).unwrap();
    let server = kernel.enter(|| clean(&kernel));
    let serving = kernel.clone();
    mux.spawn(server, async move {
        for _ in 0..CLIENTS {
            let (connection, _) = aio::accept(listening).await.unwrap();
            let child = clean(&serving);
            lwproc::mux::spawn(child, async move {
                let all = read_all(connection).await.unwrap();
                assert_eq!(aio::write(connection, &all).await, Ok(all.len()));
            })
            .unwrap();
            sys::close(connection).unwrap();
        }
    })
    .unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let address = address.clone();
            let lwp = kernel.spawn(ProcOptions::new()).unwrap();
            let talk = async move {
                let (socket, bytes) = (stream(), vec![client as u8; 1 + 3000 * client]);
                aio::connect(socket, &address).await?;
                assert_eq!(sys::getpeername(socket)?, address);
                for part in bytes.chunks(7000) {
                    aio::write(socket, part).await?;
                    yield_turn().await;
                }
                sys::shutdown(socket, std::net::Shutdown::Write)?;
                Ok::<_, Errno>(read_all(socket).await? == bytes)
            };
            mux.spawn(lwp, talk).unwrap()
        })
        .collect();
    mux.run().unwrap();
    assert!(clients.into_iter().all(|mut client| client.join().unwrap() == Ok(true)));
    nothing_left(&kernel);
}

#[test]
fn a_refused_connection_is_told() {
    let (kernel, mut mux) = mux();
    let closed = kernel.enter(|| {
        let (listening, address) = listener();
        sys::close(listening).unwrap();
        address
    });
    let refused = mux.run_until(async { aio::connect(stream(), &closed).await }).unwrap();
    assert_eq!(refused, Some(Err(Errno::ECONNREFUSED)));
}

#[test]
fn a_full_unix_listener_is_asked_again_until_it_has_room() {
    let (kernel, mut mux) = mux();
    let temp = Temp::new();
    kernel.enter(|| sys::mkdir("/run", 0o755)).unwrap();
    kernel.mount("/run", temp.dir(), MountOptions::new()).unwrap();
    let new = || sys::socket(Domain::Unix, SocketKind::Stream, OpenFlags::empty()).unwrap();
    let address = SocketAddress::Unix("/run/socket".into());
    let answers = Rc::new(RefCell::new(Vec::new()));
    let (noted, at) = (Rc::clone(&answers), address.clone());
    mux.spawn(sharing(&kernel), async move {
        let listening = new();
        sys::bind(listening, &at).unwrap();
        sys::listen(listening, 0).unwrap();
        // Until somebody has to wait.
        aio::nanosleep(Duration::from_millis(20), None).await.unwrap();
        assert!(noted.borrow().len() < 4, "all found room at once");
        for _ in 0..4 {
            aio::accept(listening).await.unwrap();
        }
    })
    .unwrap();
    for _ in 0..4 {
        let (answers, address) = (Rc::clone(&answers), address.clone());
        mux.spawn(sharing(&kernel), async move {
            let done = aio::connect(new(), &address).await;
            answers.borrow_mut().push(done);
        })
        .unwrap();
    }
    mux.run().unwrap();
    assert_eq!(*answers.borrow(), [Ok(()); 4]);
    nothing_left(&kernel);
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines_and_polls_time_out() {
    let (kernel, mut mux) = mux();
    let order = Rc::new(RefCell::new(Vec::new()));
    for ms in [60, 20, 40] {
        let order = Rc::clone(&order);
        mux.spawn(sharing(&kernel), async move {
            let start = Instant::now();
            let time = Duration::from_millis(ms);
            match ms {
                20 => assert_eq!(aio::poll(&mut [], Some(time)).await, Ok(0)),
                _ => assert_eq!(aio::nanosleep(time, None).await, Ok(())),
            }
            assert!(start.elapsed() >= time);
            order.borrow_mut().push(ms);
        })
        .unwrap();
    }
    mux.run().unwrap();
    assert_eq!(*order.borrow(), [20, 40, 60]);
    nothing_left(&kernel);
}

#[test]
fn poll_finds_what_is_the_hosts_and_what_is_in_memory() {
    let (kernel, mut mux) = mux();
    let (((reader, writer), (host, write)), waits) =
        kernel.enter(|| ((sys::pipe().unwrap(), host_pipe()), Rc::new(Cell::new(0))));
    let polling = |waits: Rc<Cell<usize>>| async move {
        let mut found = Vec::new();
        for _ in 0..2 {
            let mut fds = [PollFd::new(reader, Events::IN), PollFd::new(-1, Events::IN), PollFd::new(host, Events::IN)];
            assert_eq!(aio::poll(&mut fds, Some(LONG)).await, Ok(1));
            for ready in fds.iter().filter(|entry| !entry.revents.is_empty()) {
                found.push(ready.fd);
                aio::read(ready.fd, &mut [0; 8]).await.unwrap();
            }
            waits.set(waits.get() + 1);
        }
        found
    };
    let mut found = mux.spawn(sharing(&kernel), polling(Rc::clone(&waits))).unwrap();
    mux.spawn(sharing(&kernel), async move {
        for _ in 0..5 {
            yield_turn().await;
        }
        rustix::io::write(&write, b"x").unwrap();
        while waits.get() == 0 {
            yield_turn().await;
        }
        sys::write(writer, b"x").unwrap();
        // Not before: its end would be found, too.
        while waits.get() == 1 {
            yield_turn().await;
        }
        drop(write);
    })
    .unwrap();
    mux.run().unwrap();
    assert_eq!(found.join().unwrap(), [host, reader]);
}

#[test]
fn who_loses_a_race_has_taken_nothing() {
    const ROUNDS: usize = 200;
    let (kernel, mut mux) = mux();
    let ((reader, writer), (host, write)) = kernel.enter(|| (sys::pipe().unwrap(), host_pipe()));
    let mut reading = mux
        .spawn(sharing(&kernel), async move {
            let (mut first, mut second) = ([0; 4], [0; 4]);
            let (mut all, mut others, mut lost) = (Vec::new(), Vec::new(), 0);
            while all.len() < ROUNDS || others.len() < ROUNDS {
                match race(race(aio::read(reader, &mut first), aio::read(host, &mut second)), yield_turn()).await {
                    Ok(Ok(read)) => all.extend_from_slice(&first[..read?]),
                    Ok(Err(read)) => others.extend_from_slice(&second[..read?]),
                    Err(()) => lost += 1,
                }
            }
            Ok::<_, Errno>((all, others, lost))
        })
        .unwrap();
    mux.spawn(sharing(&kernel), async move {
        for round in 0..ROUNDS {
            sys::write(writer, &[round as u8]).unwrap();
            // Turns in which the reader finds nothing, and is told to give up.
            for _ in 0..4 {
                yield_turn().await;
            }
            rustix::io::write(&write, &[round as u8]).unwrap();
            yield_turn().await;
        }
    })
    .unwrap();
    mux.run().unwrap();
    let (all, others, lost) = reading.join().unwrap().unwrap();
    let bytes: Vec<u8> = (0..ROUNDS).map(|round| round as u8).collect();
    assert_eq!((all, others), (bytes.clone(), bytes));
    assert!(lost > ROUNDS, "it was never told to");
    nothing_left(&kernel);
}

#[test]
fn a_sleep_that_is_dropped_keeps_nobody_waiting() {
    let (kernel, mut mux) = mux();
    let start = Instant::now();
    let (reader, writer) = kernel.enter(|| sys::pipe().unwrap());
    let mut reading = mux
        .spawn(sharing(&kernel), async move {
            let mut buf = [0; 4];
            race(aio::nanosleep(LONG, None), aio::read(reader, &mut buf)).await
        })
        .unwrap();
    mux.spawn(sharing(&kernel), async move { sys::write(writer, b"x").unwrap() }).unwrap();
    mux.run().unwrap();
    assert_eq!(reading.join().unwrap(), Err(Ok(1)));
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn a_kill_ends_every_wait_of_its_process_and_no_other() {
    let (kernel, mut mux) = mux();
    let ((reader, _writer), (host, write)) = kernel.enter(|| (sys::pipe().unwrap(), host_pipe()));
    let (listening, _) = kernel.enter(listener);
    let first = sharing(&kernel);
    let pid = first.pid();
    let others: Vec<Lwp> = (0..4).map(|_| first.newlwp().unwrap()).collect();
    type Call = Pin<Box<dyn Future<Output = Errno>>>;
    let calls: [Call; 5] = [
        Box::pin(async move { aio::read(reader, &mut [0; 4]).await.unwrap_err() }),
        Box::pin(async move { aio::read(host, &mut [0; 4]).await.unwrap_err() }),
        Box::pin(async move { aio::accept(listening).await.unwrap_err() }),
        Box::pin(async move { aio::poll(&mut [PollFd::new(host, Events::IN)], Some(LONG)).await.unwrap_err() }),
        Box::pin(async move {
            let mut remaining = Duration::ZERO;
            let error = aio::nanosleep(LONG, Some(&mut remaining)).await.unwrap_err();
            assert!(remaining > LONG / 2 && remaining <= LONG);
            error
        }),
    ];
    let mut waiting: Vec<_> =
        others.into_iter().chain([first]).zip(calls).map(|(lwp, call)| mux.spawn(lwp, call).unwrap()).collect();
    let mut spared = mux.spawn(sharing(&kernel), async move { aio::read(host, &mut [0; 4]).await }).unwrap();
    let killing = kernel.clone();
    mux.spawn(sharing(&kernel), async move {
        aio::nanosleep(Duration::from_millis(5), None).await.unwrap();
        killing.kill(pid).unwrap();
        aio::nanosleep(Duration::from_millis(5), None).await.unwrap();
        rustix::io::write(&write, b"x").unwrap();
    })
    .unwrap();
    mux.run().unwrap();
    assert!(waiting.iter_mut().all(|join| join.join().unwrap() == Errno::EINTR));
    assert_eq!(spared.join().unwrap(), Ok(1));
    nothing_left(&kernel);
}

#[test]
fn a_fiber_that_blocks_on_a_future_is_suspended_alone() {
    let (kernel, mut mux) = mux();
    let ((host, write), turns) = kernel.enter(|| (host_pipe(), Rc::new(Cell::new(0))));
    let seen = Rc::clone(&turns);
    let mut blocked = mux
        .spawn_fiber(sharing(&kernel), move || {
            let mut buf = [0; 8];
            let read = block_on(race(aio::nanosleep(LONG, None), aio::read(host, &mut buf)));
            (read, seen.get())
        })
        .unwrap();
    mux.spawn(sharing(&kernel), async move {
        for _ in 0..100 {
            turns.set(turns.get() + 1);
            yield_turn().await;
        }
        rustix::io::write(&write, b"lwproc").unwrap();
    })
    .unwrap();
    mux.run().unwrap();
    assert_eq!(blocked.join().unwrap(), (Ok(Err(Ok(6))), 100));
    nothing_left(&kernel);
}

#[test]
fn to_block_within_a_future_holds_up_the_thread_and_no_more() {
    let (kernel, mut mux) = mux();
    let (host, write) = kernel.enter(host_pipe);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(10));
            rustix::io::write(&write, b"lwproc").unwrap();
        });
        let read = async {
            let blocked = block_on(aio::read(host, &mut [0; 3]));
            (blocked, aio::read(host, &mut [0; 3]).await)
        };
        assert_eq!(mux.run_until(read).unwrap(), Some((Ok(Ok(3)), Ok(3))));
    });
}

#[test]
fn a_multiplexer_that_is_dropped_drops_what_waits() {
    let (kernel, mut mux) = mux();
    let ((reader, writer), (host, _write)) = kernel.enter(|| (sys::pipe().unwrap(), host_pipe()));
    let mut waiting = [
        mux.spawn(sharing(&kernel), async move { aio::read(reader, &mut [0; 4]).await }).unwrap(),
        mux.spawn(sharing(&kernel), async move { aio::read(host, &mut [0; 4]).await }).unwrap(),
        mux.spawn(sharing(&kernel), async move { aio::nanosleep(LONG, None).await.map(|()| 0) }).unwrap(),
    ];
    assert_eq!(mux.run_until(yield_turn()).unwrap(), Some(()));
    drop(mux);
    assert!(waiting.iter_mut().all(|join| matches!(join.join(), Err(lwproc::JoinError::Cancelled))));
    nothing_left(&kernel);
    // What they waited for has no waker left to wake.
    kernel.enter(|| assert_eq!(sys::write(writer, b"x"), Ok(1)));
}

#[test]
fn a_future_may_leave_its_multiplexer_in_the_midst_of_a_wait() {
    let (kernel, mut mux) = mux();
    let ((host, write), mut other) = (kernel.enter(host_pipe), Mux::new(&kernel).unwrap());
    let mut reading = Box::pin(async move { aio::read(host, &mut [0; 8]).await });
    assert_eq!(mux.run_until(race(&mut reading, yield_turn())).unwrap(), Some(Err(())));
    assert_eq!(other.run_until(race(&mut reading, yield_turn())).unwrap(), Some(Err(())));
    drop(mux);
    rustix::io::write(&write, b"x").unwrap();
    assert_eq!(other.run_until(reading).unwrap(), Some(Ok(1)));
}

#[test]
fn many_wait_and_each_is_woken_for_its_own() {
    const MANY: usize = 1000;
    let (kernel, mut mux) = mux();
    kernel.enter(|| sys::setrlimit(lwproc::Resource::NoFile, lwproc::Rlimit { soft: 4096, hard: 4096 })).unwrap();
    let pairs: VecDeque<(Fd, Fd)> = kernel.enter(|| (0..MANY).map(|_| sys::pipe().unwrap()).collect());
    let joins: Vec<_> = pairs
        .iter()
        .map(|&(reader, _)| {
            mux.spawn(sharing(&kernel), async move {
                let mut buf = [0; 8];
                aio::read(reader, &mut buf).await.map(|_| usize::from_ne_bytes(buf))
            })
            .unwrap()
        })
        .collect();
    mux.spawn(sharing(&kernel), async move {
        for (number, (_, writer)) in pairs.into_iter().enumerate().rev() {
            sys::write(writer, &number.to_ne_bytes()).unwrap();
        }
    })
    .unwrap();
    mux.run().unwrap();
    for (number, mut join) in joins.into_iter().enumerate() {
        assert_eq!(join.join().unwrap(), Ok(number));
    }
    nothing_left(&kernel);
}

#[test]
fn a_peer_that_resets_is_an_error_and_one_that_ends_is_an_end() {
    let (kernel, mut mux) = mux();
    let (listening, address) = kernel.enter(listener);
    let SocketAddress::Inet(address) = address else { panic!("an internet address") };
    let clients = thread::spawn(move || {
        let connect = || TcpStream::connect(address).unwrap();
        let (ends, resets) = (connect(), connect());
        rustix::net::sockopt::set_socket_linger(&resets, Some(Duration::ZERO)).unwrap();
        thread::sleep(Duration::from_millis(10));
        drop((ends, resets));
    });
    let answers = mux.run_until(async {
        let (ends, _) = aio::accept(listening).await?;
        let (resets, _) = aio::accept(listening).await?;
        Ok::<_, Errno>((read_all(ends).await, read_all(resets).await))
    });
    assert_eq!(answers.unwrap(), Some(Ok((Ok(Vec::new()), Err(Errno::ECONNRESET)))));
    clients.join().unwrap();
}
