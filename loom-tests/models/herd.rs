//! Exclusive waits: nobody sleeps while there is something that nobody else is on the way to.

use std::sync::Arc;
use std::task::Waker;

use loom::thread;

use super::Model;
use crate::errno::Errno;
use crate::fd::{File, PipeReader, pipe};
use crate::sync::fault::Fault;
use crate::sync::{AtomicU32, Ordering, UnlessFailed};
use crate::wait::events::Events;
use crate::wait::park::Parker;
use crate::wait::queue::WaitQueue;
use crate::wait::watch::Watch;

/// Things, of which each waiter takes one.
#[derive(Clone)]
struct Things {
    left: Arc<AtomicU32>,
    queue: Arc<WaitQueue>,
}

impl Things {
    fn new() -> Self {
        Self { left: Arc::new(AtomicU32::new(0)), queue: Arc::new(WaitQueue::new()) }
    }

    fn put(&self) {
        // Where something was there, whoever was woken for that sees to the rest.
        if self.left.fetch_add(1, Ordering::Relaxed) == 0 {
            self.queue.wake_one();
        }
    }

    /// Takes one. `wakes`: and wakes the next if it leaves something.
    fn take(&self, wakes: bool) -> bool {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if wakes && taken.is_ok_and(|left| left > 1) {
            self.queue.wake_one();
        }
        taken.is_ok()
    }

    fn enter(&self, watch: &mut Watch<'_>) {
        watch.exclusively(|watch| watch.queue(&self.queue));
    }

    /// Waits until `look` takes one, as `wait::until` does.
    fn wait(&self, look: impl Fn() -> bool) {
        let parker = Parker::new();
        let waker = Waker::from(Arc::clone(&parker));
        let mut watch = Watch::new(&waker);
        loop {
            watch.renew();
            self.enter(&mut watch);
            let found = look();
            watch.looked();
            if found {
                return;
            }
            parker.park(&[], None).unwrap();
        }
    }
}

/// Two threads wait for a thing each; a third puts two.
fn two_wait(wakes: bool) {
    let things = Things::new();
    let waiters = [(); 2].map(|()| {
        let things = things.clone();
        thread::spawn(move || things.wait(|| things.take(wakes)))
    });
    things.put();
    things.put();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

pub(super) const TWO: Model =
    Model { name: "two exclusive waiters, two changes", preemptions: Some(2), run: || two_wait(true) };

const SELFISH: Model =
    Model { name: "two exclusive waiters, of whom none wakes the next", preemptions: Some(2), run: || two_wait(false) };

#[test]
fn each_of_two_exclusive_waiters_gets_what_there_is() {
    TWO.check();
}

#[test]
fn exclusive_waits_without_fences_are_found() {
    TWO.must_fail(Fault::Fence("wait/queue.rs"));
}

#[test]
fn who_takes_a_part_and_does_not_wake_the_next_is_found() {
    SELFISH.must_fail_unbroken();
}

/// Two threads wait, of whom one gives up before it looks; a third puts one thing. `hands_on`: as all do who leave.
fn one_gives_up(hands_on: bool) {
    let things = Things::new();
    let waiter = thread::spawn({
        let things = things.clone();
        move || things.wait(|| things.take(true))
    });
    let gives_up = thread::spawn({
        let things = things.clone();
        move || {
            let mut watch = Watch::new(Waker::noop());
            things.enter(&mut watch);
            if !hands_on {
                // It says that it has looked, and has not.
                watch.renew();
                watch.looked();
            }
        }
    });
    things.put();
    waiter.join().unwrap();
    gives_up.join().unwrap();
}

pub(super) const GIVE_UP: Model =
    Model { name: "an exclusive waiter gives up", preemptions: Some(2), run: || one_gives_up(true) };

const KEEPS: Model = Model {
    name: "an exclusive waiter gives up and keeps its wake",
    preemptions: Some(2),
    run: || one_gives_up(false),
};

#[test]
fn who_was_woken_and_gives_up_hands_on() {
    GIVE_UP.check();
}

#[test]
fn a_wake_that_is_not_handed_on_is_found() {
    KEEPS.must_fail_unbroken();
}

/// One is polled for no reason while it waits: what it finds then, and what it is told meanwhile, is not lost.
pub(super) const AGAIN: Model = Model {
    name: "an exclusive waiter looks again for no reason",
    preemptions: Some(2),
    run: || {
        let things = Things::new();
        let waiter = thread::spawn({
            let things = things.clone();
            move || things.wait(|| things.take(true))
        });
        let looks = thread::spawn({
            let things = things.clone();
            move || {
                let mut watch = Watch::new(Waker::noop());
                let mut taken = false;
                for _ in 0..2 {
                    watch.renew();
                    things.enter(&mut watch);
                    taken = taken || things.take(true);
                    watch.looked();
                }
                taken
            }
        });
        things.put();
        if looks.join().unwrap() {
            // It was the one, and there is another one for who waits.
            things.put();
        }
        waiter.join().unwrap();
    },
};

#[test]
fn who_looks_again_for_no_reason_loses_no_wake() {
    AGAIN.check();
}

/// Waits for a byte, as `sys::read` does.
fn read(reader: &PipeReader) {
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    let mut watch = Watch::new(&waker);
    loop {
        watch.renew();
        let ready = watch.exclusively(|watch| reader.poll(Events::IN, Some(watch)));
        let found = if ready.is_empty() { Err(Errno::EAGAIN) } else { reader.read_at(&mut [0], 0) };
        watch.looked();
        match found {
            Err(Errno::EAGAIN) if ready.is_empty() => parker.park(&[], None).unwrap(),
            Err(_) => {}
            Ok(read) => return assert_eq!(read, 1),
        }
    }
}

/// Two threads read a byte each from a pipe, into which a third writes so many at a time.
fn two_read(writes: &[usize]) {
    let (reader, writer) = pipe();
    let (reader, writer) = (Arc::new(UnlessFailed::new(reader)), UnlessFailed::new(writer));
    let readers = [(); 2].map(|()| {
        let reader = Arc::clone(&reader);
        thread::spawn(move || read(&reader))
    });
    for &bytes in writes {
        writer.write_at(&[0; 2][..bytes], 0).unwrap();
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

pub(super) const PIPE: Model =
    Model { name: "two readers of a pipe, a byte at a time", preemptions: Some(2), run: || two_read(&[1, 1]) };

pub(super) const PIPE_AT_ONCE: Model =
    Model { name: "two readers of a pipe, both bytes at once", preemptions: Some(2), run: || two_read(&[2]) };

#[test]
fn each_of_two_readers_gets_its_byte() {
    PIPE.check();
    PIPE_AT_ONCE.check();
}

#[test]
fn a_reader_that_is_not_woken_is_found() {
    PIPE.must_fail(Fault::NoUnpark);
}
