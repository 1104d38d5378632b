use std::cell::Cell;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::Duration;

use rustix::process::Resource;

use super::{Reactor, Watched, whole_millis};
use crate::errno::Result;
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::waker::{ForeignWaker, Wakers, wakers_of};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counted() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

fn host(fd: impl Into<OwnedFd>) -> Arc<HostFd> {
    Arc::new(HostFd::new(fd.into()))
}

/// Enters a waiter, and wakes those who are to be woken at once.
fn watch(reactor: &Reactor, fd: &Arc<HostFd>, events: Events, waker: &Waker) -> Result<Watched> {
    let mut woken = Wakers::new();
    let watched = reactor.watch(fd, events, &mut wakers_of(waker, 1), &mut woken);
    woken.into_iter().for_each(ForeignWaker::wake);
    watched
}

/// How many are woken by what the reactor is told now.
fn told(reactor: &Reactor) -> usize {
    let mut woken = Vec::new();
    reactor.poll(Some(Duration::ZERO), &mut woken).unwrap();
    let told = woken.len();
    woken.into_iter().for_each(ForeignWaker::wake);
    told
}

#[test]
fn a_waiter_is_woken_once_by_what_it_waits_for() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    let (count, waker) = counted();
    watch(&reactor, &here, Events::IN, &waker).unwrap();
    assert_eq!((told(&reactor), reactor.is_idle()), (0, false));
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    assert_eq!((told(&reactor), reactor.is_idle()), (1, true));
    std::io::Write::write_all(&mut &there, b"y").unwrap();
    assert_eq!((told(&reactor), count.0.load(Ordering::Relaxed)), (0, 1));
}

#[test]
fn what_was_ready_before_it_was_known_is_told() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    let here = host(here);
    watch(&reactor, &here, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 1);
}

#[test]
fn a_change_that_was_told_to_nobody_is_found_by_a_look() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    watch(&reactor, &here, Events::OUT, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 1);
    here.found_dry(Events::IN);
    assert_eq!(here.known(Events::IN), Some(Events::empty()));
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    assert_eq!(told(&reactor), 0);
    assert_eq!(here.known(Events::IN), None, "so the one who waits next asks the host");
}

#[test]
fn what_one_thread_found_dry_another_asks_about_itself() {
    let (here, _there) = UnixStream::pair().unwrap();
    let here = host(here);
    here.found_dry(Events::IN | Events::OUT);
    let dry = Some(Events::empty());
    assert_eq!((here.known(Events::IN), here.known(Events::IN | Events::OUT)), (dry, dry));
    let not_known = [Events::PRI, Events::IN | Events::PRI, Events::empty()];
    assert!(not_known.iter().all(|events| here.known(*events).is_none()));
    std::thread::scope(|scope| scope.spawn(|| assert_eq!(here.known(Events::IN), None)).join().unwrap());
}

#[test]
fn all_who_wait_for_one_descriptor_are_woken() {
    let reactor = Reactor::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = host(listener);
    for _ in 0..10 {
        watch(&reactor, &listener, Events::IN, Waker::noop()).unwrap();
    }
    let left = watch(&reactor, &listener, Events::IN, Waker::noop()).unwrap();
    reactor.leave(left);
    let _client = TcpStream::connect(address).unwrap();
    assert_eq!(told(&reactor), 10);
    reactor.leave(left);
    assert!(reactor.is_idle());
}

#[test]
fn half_closed_reset_and_hung_up_are_told() {
    let reactor = Reactor::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = host(listener.accept().unwrap().0);
    watch(&reactor, &server, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 0);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(told(&reactor), 1);
    watch(&reactor, &server, Events::PRI, Waker::noop()).unwrap();
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(told(&reactor), 1, "a reset is for everyone, whatever he waits for");

    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let writer = host(writer);
    watch(&reactor, &writer, Events::PRI, Waker::noop()).unwrap();
    drop(reader);
    assert_eq!(told(&reactor), 1);
}

/// How many descriptors this host process may have now: room for thousands, and for numbers that are used for nothing
/// else.
fn room() -> u64 {
    static ROOM: OnceLock<u64> = OnceLock::new();
    *ROOM.get_or_init(|| {
        let mut limit = rustix::process::getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(u64::MAX).min(16384);
        if limit.current.is_some_and(|current| current < most) {
            limit.current = Some(most);
            rustix::process::setrlimit(Resource::Nofile, limit).unwrap();
        }
        most
    })
}

/// A duplicate of `fd` that has a number of which a test has but one, so that it is used again.
fn numbered(fd: impl AsFd, of_test: u64) -> OwnedFd {
    let number = i32::try_from(room() - of_test).unwrap();
    let duplicate = rustix::io::fcntl_dupfd_cloexec(fd, number).unwrap();
    assert_eq!(duplicate.as_raw_fd(), number);
    duplicate
}

#[test]
fn a_number_that_is_used_again_is_another_source() {
    let reactor = Reactor::new().unwrap();
    for _ in 0..200 {
        let (duplicated, there) = UnixStream::pair().unwrap();
        let here = host(numbered(&duplicated, 3));
        let (count, waker) = counted();
        watch(&reactor, &here, Events::IN, &waker).unwrap();
        assert_eq!(told(&reactor), 0);
        std::io::Write::write_all(&mut &there, b"x").unwrap();
        assert_eq!((told(&reactor), count.0.load(Ordering::Relaxed)), (1, 1));
        // The host goes on to tell of the duplicate, to nobody.
        let left = watch(&reactor, &here, Events::PRI, &waker).unwrap();
        drop(here);
        std::io::Write::write_all(&mut &there, b"y").unwrap();
        assert_eq!(told(&reactor), 0);
        reactor.leave(left);
    }
    assert!(reactor.is_idle());
}

#[test]
fn those_of_closed_descriptors_are_forgotten() {
    let reactor = Reactor::new().unwrap();
    let (stream, _peer) = UnixStream::pair().unwrap();
    for which in 0..1000 {
        let here = host(numbered(&stream, 4 + which));
        reactor.leave(watch(&reactor, &here, Events::IN, Waker::noop()).unwrap());
    }
    assert!(reactor.sources.borrow().by_number.len() < 150);
}

#[test]
fn registrations_that_outlive_their_descriptor_are_nobodys() {
    let reactor = Reactor::new().unwrap();
    let (first, first_peer) = UnixStream::pair().unwrap();
    let (second, second_peer) = UnixStream::pair().unwrap();
    let old = host(numbered(&first, 1));
    watch(&reactor, &old, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 0);
    drop(old);

    let new = host(numbered(&second, 1));
    watch(&reactor, &new, Events::IN, Waker::noop()).unwrap();
    std::io::Write::write_all(&mut &first_peer, b"x").unwrap();
    assert_eq!((told(&reactor), reactor.is_idle()), (0, false), "told of the first, which was closed here");
    std::io::Write::write_all(&mut &second_peer, b"x").unwrap();
    assert_eq!(told(&reactor), 1);
    drop(new);

    // The number has the first description once more, which the host has registered for it still.
    let again = host(numbered(&first, 1));
    watch(&reactor, &again, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 1, "what was ready before");
    watch(&reactor, &again, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 0);
    std::io::Write::write_all(&mut &first_peer, b"y").unwrap();
    assert_eq!(told(&reactor), 1);
}

#[test]
fn who_asked_for_nothing_is_told_of_a_hangup() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    watch(&reactor, &here, Events::empty(), Waker::noop()).unwrap();
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    assert_eq!(told(&reactor), 0);
    drop(there);
    assert_eq!(told(&reactor), 1);
}

#[test]
fn of_thousands_those_are_woken_that_are_ready() {
    let reactor = Reactor::new().unwrap();
    room();
    let pipes: Vec<_> = (0..1500).map(|_| rustix::pipe::pipe().unwrap()).map(|(r, w)| (host(r), w)).collect();
    let counts: Vec<_> = pipes
        .iter()
        .map(|(reader, _)| {
            let (count, waker) = counted();
            watch(&reactor, reader, Events::IN, &waker).unwrap();
            count
        })
        .collect();
    assert_eq!(told(&reactor), 0);
    for (_, writer) in pipes.iter().step_by(3) {
        rustix::io::write(writer, b"x").unwrap();
    }
    assert_eq!(told(&reactor), 500);
    for (place, count) in counts.iter().enumerate() {
        assert_eq!(count.0.load(Ordering::Relaxed), usize::from(place % 3 == 0));
    }
    for (reader, _) in pipes.iter().step_by(3) {
        watch(&reactor, reader, Events::IN, Waker::noop()).unwrap();
    }
    for (_, writer) in &pipes {
        rustix::io::write(writer, b"x").unwrap();
    }
    // More than the host tells at a time.
    assert_eq!((told(&reactor), reactor.is_idle()), (1024, false));
    assert_eq!((told(&reactor), reactor.is_idle()), (476, true));
}

#[test]
fn waiters_leave_in_any_order_and_the_others_are_woken_in_theirs() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    let entered: Vec<(Watched, Waker)> = (0..8)
        .map(|_| {
            let (_, waker) = counted();
            (watch(&reactor, &here, Events::IN, &waker).unwrap(), waker)
        })
        .collect();
    for left in [3, 0, 7, 3] {
        reactor.leave(entered[left].0);
    }
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    let mut woken = Vec::new();
    reactor.poll(Some(Duration::ZERO), &mut woken).unwrap();
    let places: Vec<_> =
        woken.iter().map(|woken| entered.iter().position(|(_, it)| woken.will_wake(it)).unwrap()).collect();
    assert_eq!(places, [1, 2, 4, 5, 6]);
}

#[test]
fn a_waker_may_use_the_reactor_when_it_is_dropped() {
    thread_local! {
        static REACTOR: Rc<Reactor> = Rc::new(Reactor::new().unwrap());
        static DROPPED: Cell<u32> = const { Cell::new(0) };
    }
    struct Reentrant(Arc<HostFd>);
    impl Wake for Reentrant {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Reentrant {
        fn drop(&mut self) {
            REACTOR.with(|reactor| reactor.leave(watch(reactor, &self.0, Events::IN, Waker::noop()).unwrap()));
            DROPPED.set(DROPPED.get() + 1);
        }
    }
    let reactor = REACTOR.with(Rc::clone);
    let (other, _other_peer) = UnixStream::pair().unwrap();
    let other = host(other);
    let waker = || Waker::from(Arc::new(Reentrant(Arc::clone(&other))));
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(numbered(here, 2));
    let watched = watch(&reactor, &here, Events::IN, &waker()).unwrap();
    reactor.leave(watched);
    assert_eq!(DROPPED.get(), 1);
    // Never left: goes with the source, when its number is another's.
    watch(&reactor, &here, Events::IN, &waker()).unwrap();
    drop(here);
    let next = host(numbered(there, 2));
    watch(&reactor, &next, Events::IN, Waker::noop()).unwrap();
    assert_eq!(DROPPED.get(), 2);
}

#[test]
fn what_the_host_cannot_watch_is_ready() {
    let reactor = Reactor::new().unwrap();
    let (count, waker) = counted();
    let file = host(std::fs::File::open("/proc/self/exe").unwrap());
    watch(&reactor, &file, Events::IN, &waker).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    watch(&reactor, &file, Events::PRI, &waker).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "for reading and writing alone");
    assert!(reactor.is_idle());
}

#[test]
fn a_waker_that_panics_leaves_the_reactor_whole() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of the embedder's");
        }
    }
    let reactor = Reactor::new().unwrap();
    let file = host(std::fs::File::open("/proc/self/exe").unwrap());
    let panics = Waker::from(Arc::new(Panics));
    watch(&reactor, &file, Events::IN, &panics).unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    for waker in [&panics, Waker::noop(), &panics] {
        watch(&reactor, &here, Events::IN, waker).unwrap();
    }
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    assert_eq!((told(&reactor), reactor.is_idle()), (3, true));
    watch(&reactor, &here, Events::IN, Waker::noop()).unwrap();
    drop(there);
    assert_eq!((told(&reactor), reactor.is_idle()), (1, true));
}

#[test]
fn a_time_in_milliseconds_is_never_shorter() {
    let millis = |timeout| whole_millis(timeout).as_millis();
    assert_eq!([0, 1, 999_999, 1_000_000, 1_000_001].map(|ns| millis(Duration::from_nanos(ns))), [0, 1, 1, 1, 2]);
    assert_eq!(millis(Duration::MAX), i32::MAX as u128);
}

#[test]
fn a_notification_ends_a_poll_without_descriptors() {
    let reactor = Reactor::new().unwrap();
    let notifier = Arc::clone(reactor.notifier());
    // Also when it was rung before, and more than once.
    for _ in 0..3 {
        std::thread::scope(|scope| {
            scope.spawn(|| notifier.notify());
            reactor.poll(None, &mut Vec::new()).unwrap();
        });
    }
}

#[test]
fn who_waited_is_told_once_what_it_is_ready_for() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    watch(&reactor, &here, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 0);
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    assert_eq!((told(&reactor), here.known(Events::OUT)), (1, None));
    assert_eq!((here.known(Events::IN), here.known(Events::IN)), (Some(Events::IN), None));

    // Not after something was read.
    watch(&reactor, &here, Events::IN, Waker::noop()).unwrap();
    std::io::Write::write_all(&mut &there, b"y").unwrap();
    assert_eq!(told(&reactor), 1);
    here.used(Events::IN);
    assert_eq!(here.known(Events::IN), None);

    // Nor where more is told than that: the host knows what.
    watch(&reactor, &here, Events::IN, Waker::noop()).unwrap();
    assert!(!here.ends());
    drop(there);
    assert_eq!((told(&reactor), here.known(Events::IN), here.ends()), (1, None, true));
}
