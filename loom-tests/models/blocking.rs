//! Mutex, condition and channel: who waits is served, by whoever comes to do it, and loses nothing when it gives up.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::thread;

use super::Model;
use crate::blocking::{Condition, Mutex, Receiver, channel};
use crate::errno::Result;
use crate::sync::UnlessFailed;
use crate::sync::fault::Fault;
use crate::wait::park::Parker;

/// Waits as a host thread does that is in no kernel.
fn drive<F: Future>(future: F) -> F::Output {
    // Not dropped where the model fails: it may be in line.
    let mut future = UnlessFailed::new(Box::pin(future));
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        // That the sleep ends is the model: loom reports a thread that sleeps for ever.
        parker.park(&[], None).unwrap();
    }
}

/// Looks once, and gives up.
fn glance<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Two threads count under a mutex. Loom sees to it that nothing is counted by two at once, or unseen by the next.
pub(super) const MUTEX: Model = Model {
    name: "two lock",
    preemptions: Some(3),
    run: || {
        let count = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let counts = |count: Arc<Mutex<UnsafeCell<u32>>>| {
            let held = UnlessFailed::new(drive(count.lock_async()));
            // SAFETY: the mutex is held; loom looks whether that is enough.
            held.with_mut(|count| unsafe { *count += 1 });
        };
        let other = thread::spawn({
            let count = Arc::clone(&count);
            move || counts(count)
        });
        counts(Arc::clone(&count));
        other.join().unwrap();
        // SAFETY: as above.
        drive(count.lock_async()).with(|count| assert_eq!(unsafe { *count }, 2));
    },
};

#[test]
fn one_at_a_time_holds_a_mutex() {
    MUTEX.check();
}

#[test]
fn a_latch_taken_in_two_steps_is_found() {
    MUTEX.must_fail(Fault::Torn("blocking/latch.rs"));
}

#[test]
fn a_latch_that_hands_nothing_on_is_found() {
    MUTEX.must_fail(Fault::Release("blocking/latch.rs"));
    MUTEX.must_fail(Fault::Acquire("blocking/latch.rs"));
}

/// As `glance`, but forgets that it waits, so that nothing goes on from there.
fn glance_and_forget<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let polled = glance(future.as_mut());
    std::mem::forget(future);
    polled
}

/// A lock is given up, by `gives_up`, while it may be handed over.
fn lock_given_up(gives_up: fn(&Mutex<()>)) {
    let mutex = Arc::new(Mutex::new(()));
    let held = UnlessFailed::new(mutex.try_lock().unwrap());
    let gives_up = thread::spawn({
        let mutex = Arc::clone(&mutex);
        move || gives_up(&mutex)
    });
    drop(held);
    gives_up.join().unwrap();
    assert!(mutex.try_lock().is_ok(), "left locked");
}

pub(super) const LOCK_GIVEN_UP: Model = Model {
    name: "a lock given up",
    preemptions: Some(3),
    run: || lock_given_up(|mutex| drop(glance(mutex.lock_async()))),
};

const LOCK_FORGOTTEN: Model = Model {
    name: "a lock forgotten",
    preemptions: Some(3),
    run: || lock_given_up(|mutex| drop(glance_and_forget(mutex.lock_async()))),
};

#[test]
fn a_lock_that_is_given_up_is_let_go() {
    LOCK_GIVEN_UP.check();
}

#[test]
fn a_lock_that_is_not_let_go_is_found() {
    LOCK_FORGOTTEN.must_fail_unbroken();
}

/// A thread waits for a flag, another raises it.
pub(super) const CONDITION: Model = Model {
    name: "wait against notify",
    preemptions: Some(3),
    run: || {
        let shared = Arc::new((Mutex::new(false), Condition::new()));
        let waits = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (raised, changed) = &*shared;
                let held =
                    drive(async { changed.wait_while_async(raised.lock_async().await, |raised| !*raised).await });
                assert!(*held);
            }
        });
        let (raised, changed) = &*shared;
        **UnlessFailed::new(drive(raised.lock_async())) = true;
        changed.notify_one();
        waits.join().unwrap();
    },
};

#[test]
fn no_notification_is_missed() {
    CONDITION.check();
}

#[test]
fn a_notification_that_wakes_nobody_is_found() {
    CONDITION.must_fail(Fault::NoUnpark);
}

/// Two values through a channel for `bound`.
fn values(bound: usize) {
    let (sender, receiver) = channel(bound);
    let (sender, receiver) = (UnlessFailed::new(sender), UnlessFailed::new(receiver));
    let sends = thread::spawn(move || {
        for value in 0..2 {
            let cell = UnsafeCell::new(0);
            // SAFETY: nobody else has it. Loom looks whether the receiver may read it.
            cell.with_mut(|cell| unsafe { *cell = value });
            drive(sender.send_async(cell)).unwrap();
        }
    });
    for value in 0..2 {
        // SAFETY: it was received.
        drive(receiver.recv_async()).unwrap().with(|cell| assert_eq!(unsafe { *cell }, value));
    }
    sends.join().unwrap();
}

pub(super) const CHANNEL: Model = Model { name: "send against receive", preemptions: Some(2), run: || values(1) };

pub(super) const RENDEZVOUS: Model =
    Model { name: "send against receive, from hand to hand", preemptions: Some(2), run: || values(0) };

#[test]
fn what_is_sent_is_received() {
    CHANNEL.check();
    RENDEZVOUS.check();
}

/// A receiver looks again without having been woken, as it may.
pub(super) const UNASKED: Model = Model {
    name: "send against a receiver that looks again",
    preemptions: Some(3),
    run: || {
        let (sender, receiver) = channel(1);
        let (sender, receiver) = (UnlessFailed::new(sender), UnlessFailed::new(receiver));
        let sends = thread::spawn(move || {
            let cell = UnsafeCell::new(0);
            // SAFETY: nobody else has it. Loom looks whether the receiver may read it.
            cell.with_mut(|cell| unsafe { *cell = 1 });
            assert!(sender.try_send(cell).is_ok());
        });
        let mut receive = UnlessFailed::new(Box::pin(receiver.recv_async()));
        for _ in 0..2 {
            if let Poll::Ready(received) = receive.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                // SAFETY: it was received.
                received.unwrap().with(|cell| assert_eq!(unsafe { *cell }, 1));
                break;
            }
        }
        sends.join().unwrap();
    },
};

#[test]
fn what_is_handed_over_can_be_used_without_a_wake() {
    UNASKED.check();
}

#[test]
fn a_value_handed_over_unordered_is_found() {
    UNASKED.must_fail(Fault::Release("blocking/waiters.rs"));
    UNASKED.must_fail(Fault::Acquire("blocking/waiters.rs"));
}

/// A receiver gives up, by `gives_up`, while a value comes: it is there for another.
fn receive_given_up(gives_up: fn(&Receiver<u32>) -> Option<Result<u32>>) {
    let (sender, receiver) = channel(1);
    let (sender, receiver) = (UnlessFailed::new(sender), UnlessFailed::new(receiver));
    let sends = thread::spawn(move || assert!(sender.try_send(1).is_ok()));
    let first = gives_up(&receiver);
    sends.join().unwrap();
    assert_eq!(first.unwrap_or_else(|| receiver.try_recv()), Ok(1));
}

pub(super) const RECEIVE_GIVEN_UP: Model = Model {
    name: "a receive given up",
    preemptions: Some(3),
    run: || receive_given_up(|receiver| glance(receiver.recv_async())),
};

const RECEIVE_FORGOTTEN: Model = Model {
    name: "a receive forgotten",
    preemptions: Some(3),
    run: || receive_given_up(|receiver| glance_and_forget(receiver.recv_async())),
};

#[test]
fn a_receive_that_is_given_up_loses_nothing() {
    RECEIVE_GIVEN_UP.check();
}

#[test]
fn a_value_that_is_not_put_back_is_found() {
    RECEIVE_FORGOTTEN.must_fail_unbroken();
}

/// Senders wait while the last receiver goes: each has its value back, unless that was received.
pub(super) const CLOSE: Model = Model {
    name: "send against the end of the receivers",
    preemptions: Some(3),
    run: || {
        let (sender, receiver) = channel(0);
        let (sender, receiver) = (UnlessFailed::new(sender), UnlessFailed::new(receiver));
        let sends = thread::spawn(move || drive(sender.send_async(1)).map_err(|error| error.into_inner()));
        let received = receiver.try_recv();
        drop(receiver);
        assert_eq!(sends.join().unwrap(), if received.is_ok() { Ok(()) } else { Err(1) });
    },
};

#[test]
fn nobody_waits_for_a_side_that_is_gone() {
    CLOSE.check();
}

#[test]
fn an_end_that_wakes_nobody_is_found() {
    CLOSE.must_fail(Fault::NoUnpark);
}
