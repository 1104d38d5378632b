//! The multiplexer's part that other threads touch: its inbox, errands to it, and results on their way.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use loom::cell::UnsafeCell;
use loom::thread;

use super::Model;
use crate::mux::inbox::{Enqueued, Inbox, Notify};
use crate::mux::spawn::packet::Packet;
use crate::sync::fault::Fault;
use crate::sync::{AtomicU32, Ordering};
use crate::wait::park::Parker;

/// A inbox, and what wakes who sleeps behind it.
struct Owner {
    inbox: Inbox<usize>,
    parker: Arc<Parker>,
    rings: AtomicU32,
}

impl Owner {
    /// The calling thread's.
    fn new() -> Arc<Self> {
        Arc::new(Self { inbox: Inbox::new(), parker: Parker::new(), rings: AtomicU32::new(0) })
    }

    fn answer(&self, notify: Notify) {
        if notify == Notify::Unpark {
            self.rings.fetch_add(1, Ordering::Relaxed);
            self.parker.wake_by_ref();
        }
    }

    /// Sleeps until something is there or it is not `quiet` any more, as the loop does.
    fn sleep(&self, quiet: impl FnOnce() -> bool) {
        if self.inbox.park(quiet) {
            self.parker.park(&[], None).unwrap();
            self.inbox.unpark();
        }
    }
}

/// Two threads leave something each; the owner takes both, and sleeps when nothing is there.
pub(super) const INBOX: Model = Model {
    name: "what is left against sleep",
    preemptions: Some(3),
    run: || {
        let owner = Owner::new();
        let pushers = [1, 2].map(|thing| {
            let owner = Arc::clone(&owner);
            thread::spawn(move || owner.answer(owner.inbox.push(thing)))
        });
        let (mut taken, mut dozed) = (0, 0);
        while taken != 3 {
            match owner.inbox.pop() {
                Some(thing) => taken += thing,
                // That it ends is the model: loom reports a thread that sleeps for ever.
                None => {
                    owner.sleep(|| true);
                    dozed += 1;
                }
            }
        }
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert!(owner.rings.load(Ordering::Relaxed) <= dozed, "one ring for each sleep will do");
    },
};

#[test]
fn what_is_left_is_found_and_one_ring_is_enough() {
    INBOX.check();
}

#[test]
fn a_knock_in_two_steps_is_found() {
    INBOX.must_fail(Fault::Torn("src/mux/inbox.rs"));
}

/// A thread knocks for something that is not in the queue: a stop.
pub(super) const STOP: Model = Model {
    name: "stop against sleep",
    preemptions: None,
    run: || {
        let owner = Owner::new();
        let stop = Arc::new(AtomicU32::new(0));
        let stopper = thread::spawn({
            let (owner, stop) = (Arc::clone(&owner), Arc::clone(&stop));
            move || {
                stop.store(1, Ordering::Relaxed);
                owner.answer(owner.inbox.notify());
            }
        });
        let stops = || stop.load(Ordering::Relaxed) == 1;
        while !stops() {
            owner.sleep(|| !stops());
        }
        stopper.join().unwrap();
    },
};

#[test]
fn a_stop_ends_a_sleep() {
    STOP.check();
}

#[test]
fn a_knock_or_a_sleep_without_a_fence_is_found() {
    // The queue orders what is left in it; a stop is ordered by the fences alone.
    STOP.must_fail(Fault::Fence("src/mux/inbox.rs"));
}

/// Two threads change something and wake the same task; the owner looks until it has seen both changes.
pub(super) const ENQUEUED: Model = Model {
    name: "wakes of one task",
    preemptions: Some(3),
    run: || {
        let owner = Owner::new();
        let enqueued = Arc::new(Enqueued::new());
        let changes = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let wakers = [0, 1].map(|which| {
            let (owner, enqueued, changes) = (Arc::clone(&owner), Arc::clone(&enqueued), Arc::clone(&changes));
            thread::spawn(move || {
                changes[which].store(1, Ordering::Relaxed);
                if enqueued.set() {
                    owner.answer(owner.inbox.push(0));
                }
            })
        });
        while changes.iter().any(|change| change.load(Ordering::Relaxed) == 0) {
            match owner.inbox.pop() {
                Some(_) => enqueued.clear(),
                None => owner.sleep(|| true),
            }
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    },
};

#[test]
fn a_wake_that_goes_with_another_is_as_good() {
    ENQUEUED.check();
}

#[test]
fn an_errand_that_hands_nothing_on_is_found() {
    ENQUEUED.must_fail(Fault::Release("src/mux/inbox.rs"));
    ENQUEUED.must_fail(Fault::Acquire("src/mux/inbox.rs"));
}

/// A thread leaves something while the owner closes: one of them disposes of it.
pub(super) const CLOSE: Model = Model {
    name: "what is left against close",
    preemptions: None,
    run: || {
        let owner = Owner::new();
        let pusher = thread::spawn({
            let owner = Arc::clone(&owner);
            move || match owner.inbox.push(1) {
                Notify::Closed => std::iter::from_fn(|| owner.inbox.pop()).count(),
                _ => 0,
            }
        });
        owner.inbox.close();
        let found = std::iter::from_fn(|| owner.inbox.pop()).count();
        assert_eq!(found + pusher.join().unwrap(), 1, "disposed of once");
    },
};

#[test]
fn what_is_left_at_a_door_that_closes_is_disposed_of() {
    CLOSE.check();
}

/// As `CLOSE`, by an owner who empties the owner before he closes.
const CLOSE_LAST: Model = Model {
    name: "empty first, close then",
    preemptions: None,
    run: || {
        let owner = Owner::new();
        let pusher = thread::spawn({
            let owner = Arc::clone(&owner);
            move || match owner.inbox.push(1) {
                Notify::Closed => std::iter::from_fn(|| owner.inbox.pop()).count(),
                _ => 0,
            }
        });
        let found = std::iter::from_fn(|| owner.inbox.pop()).count();
        owner.inbox.close();
        assert_eq!(found + pusher.join().unwrap(), 1, "disposed of once");
    },
};

#[test]
fn who_empties_before_he_closes_is_found() {
    CLOSE_LAST.must_fail_unbroken();
}

/// A task finishes while its handle waits, with another waker each time.
pub(super) const JOIN: Model = Model {
    name: "finish against join",
    preemptions: None,
    run: || {
        let packet = Packet::new();
        let task = thread::spawn({
            let packet = Arc::clone(&packet);
            move || {
                let result = UnsafeCell::new(0);
                // Loom's cell finds out who reads it without having acquired this.
                result.with_mut(|result| {
                    // SAFETY: nobody else has it yet.
                    unsafe { *result = 7 }
                });
                // SAFETY: the one task, once.
                unsafe { packet.finish(Ok(Shown(result))) };
            }
        });
        let mut first = true;
        let result = loop {
            let parker = Parker::new();
            // SAFETY: the one handle.
            match unsafe { packet.poll(&Waker::from(Arc::clone(&parker))) } {
                Poll::Ready(result) => break result,
                // The waker of the first time is not the one that counts.
                Poll::Pending if std::mem::take(&mut first) => {}
                Poll::Pending => parker.park(&[], None).unwrap(),
            }
        };
        let Ok(Shown(result)) = result else { panic!("it has a result") };
        result.with(|result| {
            // SAFETY: handed over by the packet.
            assert_eq!(unsafe { *result }, 7);
        });
        task.join().unwrap();
    },
};

struct Shown(UnsafeCell<u32>);

// SAFETY: loom's cell finds out who breaks its rules.
unsafe impl Send for Shown {}

#[test]
fn a_join_gets_the_result_or_is_woken_for_it() {
    JOIN.check();
}

#[test]
fn a_result_that_is_not_handed_over_is_found() {
    JOIN.must_fail(Fault::Release("src/mux/spawn/packet.rs"));
    JOIN.must_fail(Fault::Acquire("src/mux/spawn/packet.rs"));
}

#[test]
fn a_finish_in_two_steps_is_found() {
    JOIN.must_fail(Fault::Torn("src/mux/spawn/packet.rs"));
}
