//! Waits for one descriptor of the host from many sides: none misses a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use lwproc::{Domain, Events, Fd, Kernel, Mux, OpenFlags, SocketKind, sys};

use super::{mux, nothing_left, sharing};

/// How many bytes are written, each when the one before was read: a change that is missed by all leaves them waiting.
const BYTES: u32 = 3000;

/// Reads single bytes to the end, and counts them.
fn read_all(socket: Fd, read: &AtomicU32) {
    while sys::read(socket, &mut [0]).unwrap() == 1 {
        read.fetch_add(1, Ordering::Relaxed);
    }
}

fn write_all(kernel: &Kernel, socket: Fd, read: &AtomicU32) {
    kernel.enter(|| {
        for byte in 0..BYTES {
            assert_eq!(sys::write(socket, b"x"), Ok(1));
            while read.load(Ordering::Relaxed) == byte {
                thread::yield_now();
            }
        }
        sys::close(socket).unwrap();
    });
}

#[test]
fn readers_in_two_multiplexers_and_on_a_plain_thread_miss_nothing() {
    let kernel = Kernel::new().unwrap();
    let (here, there) = kernel.enter(|| sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::empty())).unwrap();
    let read = Arc::new(AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut mux = Mux::new(&kernel).unwrap();
                for _ in 0..3 {
                    let read = Arc::clone(&read);
                    mux.spawn_fiber(sharing(&kernel), move || read_all(here, &read)).unwrap();
                }
                mux.run().unwrap();
            });
        }
        scope.spawn(|| sharing(&kernel).enter(|| read_all(here, &read)));
        scope.spawn(|| write_all(&kernel, there, &read));
    });
    assert_eq!(read.load(Ordering::Relaxed), BYTES);
    nothing_left(&kernel);
}

#[test]
fn who_polls_and_who_reads_one_descriptor_miss_nothing() {
    let (kernel, mut mux) = mux();
    let (here, there) = kernel.enter(|| sys::socketpair(Domain::Unix, SocketKind::Stream, OpenFlags::empty())).unwrap();
    let read = Arc::new(AtomicU32::new(0));
    for events in [Events::IN, Events::IN | Events::PRI] {
        let read = Arc::clone(&read);
        mux.spawn_fiber(sharing(&kernel), move || {
            loop {
                let mut fds = [sys::PollFd::new(here, events)];
                // A change that it misses is found out in the end.
                assert_eq!(sys::poll(&mut fds, Some(Duration::from_secs(60))), Ok(1));
                assert!(fds[0].revents.contains(Events::IN));
                if fds[0].revents.contains(Events::HUP) && read.load(Ordering::Relaxed) == BYTES {
                    return;
                }
                sys::read(here, &mut [0]).map(|len| read.fetch_add(len as u32, Ordering::Relaxed)).unwrap();
            }
        })
        .unwrap();
    }
    let reader = Arc::clone(&read);
    mux.spawn_fiber(sharing(&kernel), move || read_all(here, &reader)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| write_all(&kernel, there, &read));
        mux.run().unwrap();
    });
    assert_eq!(read.load(Ordering::Relaxed), BYTES);
    drop(mux);
    nothing_left(&kernel);
}
