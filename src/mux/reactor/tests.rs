use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::Reactor;
use crate::hostfd::HostFd;
use crate::watch::Events;

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

/// How many are woken by what the reactor is told now.
fn told(reactor: &Reactor) -> usize {
    let mut woken = Vec::new();
    reactor.poll(Some(Duration::ZERO), &mut woken).unwrap();
    let told = woken.len();
    woken.into_iter().for_each(Waker::wake);
    told
}

#[test]
fn a_waiter_is_woken_once_by_what_it_waits_for() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    let (count, waker) = counted();
    reactor.watch(&here, Events::IN, &waker).unwrap();
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
    reactor.watch(&here, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 1);
}

#[test]
fn a_change_that_was_told_to_nobody_is_found_by_a_look() {
    let reactor = Reactor::new().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let here = host(here);
    reactor.watch(&here, Events::OUT, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 1);
    here.found_dry(Events::IN);
    assert!(here.is_dry(Events::IN));
    std::io::Write::write_all(&mut &there, b"x").unwrap();
    assert_eq!(told(&reactor), 0);
    assert!(!here.is_dry(Events::IN), "so the one who waits next asks the host");
}

#[test]
fn what_one_thread_found_dry_another_asks_about_itself() {
    let (here, _there) = UnixStream::pair().unwrap();
    let here = host(here);
    here.found_dry(Events::IN | Events::OUT);
    assert!(here.is_dry(Events::IN) && here.is_dry(Events::IN | Events::OUT));
    assert!(!here.is_dry(Events::PRI) && !here.is_dry(Events::IN | Events::PRI) && !here.is_dry(Events::empty()));
    std::thread::scope(|scope| scope.spawn(|| assert!(!here.is_dry(Events::IN))).join().unwrap());
}

#[test]
fn all_who_wait_for_one_descriptor_are_woken() {
    let reactor = Reactor::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = host(listener);
    for _ in 0..10 {
        reactor.watch(&listener, Events::IN, Waker::noop()).unwrap();
    }
    let left = reactor.watch(&listener, Events::IN, Waker::noop()).unwrap();
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
    reactor.watch(&server, Events::IN, Waker::noop()).unwrap();
    assert_eq!(told(&reactor), 0);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(told(&reactor), 1);
    reactor.watch(&server, Events::PRI, Waker::noop()).unwrap();
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(told(&reactor), 1, "a reset is for everyone, whatever he waits for");

    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let writer = host(writer);
    reactor.watch(&writer, Events::PRI, Waker::noop()).unwrap();
    drop(reader);
    assert_eq!(told(&reactor), 1);
}

#[test]
fn a_number_that_is_used_again_is_another_source() {
    let reactor = Reactor::new().unwrap();
    let numbers: Vec<_> = (0..200)
        .map(|_| {
            let (here, there) = UnixStream::pair().unwrap();
            let duplicate = here.try_clone().unwrap();
            let number = std::os::fd::AsRawFd::as_raw_fd(&here);
            let here = host(here);
            let (count, waker) = counted();
            reactor.watch(&here, Events::IN, &waker).unwrap();
            assert_eq!(told(&reactor), 0);
            std::io::Write::write_all(&mut &there, b"x").unwrap();
            assert_eq!((told(&reactor), count.0.load(Ordering::Relaxed)), (1, 1));
            // The host goes on to tell of the duplicate, to nobody.
            reactor.watch(&here, Events::PRI, &waker).unwrap();
            drop(here);
            std::io::Write::write_all(&mut &there, b"y").unwrap();
            assert_eq!(told(&reactor), 0);
            drop(duplicate);
            number
        })
        .collect();
    assert!(numbers[1..].contains(&numbers[0]), "a number was used again");
    assert!(reactor.sources.borrow().by_number.len() < 150, "those of closed descriptors are forgotten");
}

#[test]
fn what_the_host_cannot_watch_is_ready() {
    let reactor = Reactor::new().unwrap();
    let (count, waker) = counted();
    reactor.watch(&host(std::fs::File::open("/proc/self/exe").unwrap()), Events::IN, &waker).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_notification_ends_a_poll_without_descriptors() {
    let reactor = Reactor::new().unwrap();
    let notifier = Arc::clone(reactor.notifier());
    std::thread::scope(|scope| {
        scope.spawn(move || notifier.notify().unwrap());
        reactor.poll(None, &mut Vec::new()).unwrap();
    });
}
