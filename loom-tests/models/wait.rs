//! Blocking: nobody sleeps through what he waits for, above all not through a kill.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::thread;

use super::{Model, boot, host_thread};
use crate::context::Curproc;
use crate::errno::{Errno, Result};
use crate::lwproc::FdInherit;
use crate::sync::fault::Fault;
use crate::sync::{AtomicU32, Ordering};
use crate::wait::park::Parker;
use crate::wait::queue::WaitQueue;
use crate::wait::watch::Watch;
use crate::wait::{self, Wait};

/// A thread sleeps until a flag is up, another raises it and wakes it.
pub(super) const PARK: Model = Model {
    name: "park against wake",
    preemptions: None,
    run: || {
        let parker = Parker::new();
        let flag = Arc::new(AtomicU32::new(0));
        let waker = thread::spawn({
            let (waker, flag) = (Waker::from(Arc::clone(&parker)), Arc::clone(&flag));
            move || {
                for raised in 1..=2 {
                    flag.store(raised, Ordering::Relaxed);
                    waker.wake_by_ref();
                }
            }
        });
        while flag.load(Ordering::Relaxed) != 2 {
            // That the sleep ends is the model: loom reports a thread that sleeps for ever. And a wake hands on what
            // was done before it, or else the flag might be read as down, and the thread sleep again.
            parker.park(&[], None).unwrap();
        }
        waker.join().unwrap();
    },
};

#[test]
fn a_wake_is_never_lost() {
    PARK.check();
}

#[test]
fn a_lost_unpark_is_found() {
    PARK.must_fail(Fault::NoUnpark);
}

#[test]
fn a_sleep_that_is_begun_or_ended_in_two_steps_is_found() {
    PARK.must_fail(Fault::Torn("wait/park.rs"));
}

#[test]
fn a_wake_that_hands_nothing_on_is_found() {
    PARK.must_fail(Fault::Release("wait/park.rs"));
    PARK.must_fail(Fault::Acquire("wait/park.rs"));
}

/// Sleeps until `ready`, as `wait::until` does, entering `queue` each time.
fn sleep_until(queue: &Arc<WaitQueue>, ready: impl Fn() -> bool) {
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        let mut watch = Watch::new(&waker);
        watch.queue(queue);
        if ready() {
            return;
        }
        parker.park(&[], None).unwrap();
    }
}

/// Two threads wait for the same change, a third makes it.
pub(super) const CHANGE: Model = Model {
    name: "wait against change",
    preemptions: Some(2),
    run: || {
        let queue = Arc::new(WaitQueue::new());
        let changed = Arc::new(AtomicU32::new(0));
        let waiters = [(); 2].map(|()| {
            let (queue, changed) = (Arc::clone(&queue), Arc::clone(&changed));
            thread::spawn(move || sleep_until(&queue, || changed.load(Ordering::Relaxed) == 1))
        });
        changed.store(1, Ordering::Relaxed);
        queue.wake_all();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    },
};

#[test]
fn who_enters_before_he_looks_sees_the_change_or_is_woken() {
    CHANGE.check();
}

#[test]
fn a_queue_without_fences_is_found() {
    CHANGE.must_fail(Fault::Fence("wait/queue.rs"));
}

/// As `CHANGE`, with the mistake that the queue's documentation warns of.
const LOOK_FIRST: Model = Model {
    name: "look first, enter then",
    preemptions: Some(2),
    run: || {
        let queue = Arc::new(WaitQueue::new());
        let changed = Arc::new(AtomicU32::new(0));
        let waiter = thread::spawn({
            let (queue, changed) = (Arc::clone(&queue), Arc::clone(&changed));
            move || {
                let parker = Parker::new();
                let waker = Waker::from(Arc::clone(&parker));
                while changed.load(Ordering::Acquire) == 0 {
                    let mut watch = Watch::new(&waker);
                    watch.queue(&queue);
                    parker.park(&[], None).unwrap();
                }
            }
        });
        changed.store(1, Ordering::Relaxed);
        queue.wake_all();
        waiter.join().unwrap();
    },
};

#[test]
fn who_looks_before_he_enters_is_found() {
    LOOK_FIRST.must_fail_unbroken();
}

/// A lwp blocks for good in one thread, another kills its process; what that one did before is seen then.
pub(super) const KILL: Model = Model {
    name: "kill against block",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        kernel.rfork(FdInherit::Clean).unwrap();
        let (lwp, pid) = (kernel.curlwp(), crate::sys::getpid());
        kernel.switch(None);
        let reason = Arc::new(AtomicU32::new(0));
        let blocked = host_thread({
            let (kernel, reason) = (kernel.another(), Arc::clone(&reason));
            move || {
                // Not `enter`: what it leaves to be dropped would not survive a model that fails.
                kernel.switch(lwp);
                let outcome: Result<()> = wait::until(Curproc, None, |_| Poll::Pending);
                assert_eq!((outcome, reason.load(Ordering::Relaxed)), (Err(Errno::EINTR), 1));
                kernel.releaselwp();
            }
        });
        reason.store(1, Ordering::Relaxed);
        kernel.kill(pid).expect("it lives: its lwp is blocked");
        blocked.join().unwrap();
        assert_eq!(kernel.kill(pid), Err(Errno::ESRCH));
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
    },
};

#[test]
fn nobody_sleeps_through_a_kill() {
    KILL.check();
}

#[test]
fn a_kill_that_wakes_nobody_is_found() {
    KILL.must_fail(Fault::NoUnpark);
}

#[test]
fn a_kill_without_fences_is_found() {
    KILL.must_fail(Fault::Fence("wait/queue.rs"));
}

/// A change that a future waits for, and its wait.
#[derive(Clone)]
struct Change {
    queue: Arc<WaitQueue>,
    made: Arc<AtomicU32>,
}

impl Change {
    fn new() -> Self {
        Self { queue: Arc::new(WaitQueue::new()), made: Arc::new(AtomicU32::new(0)) }
    }

    fn make(&self) {
        self.made.store(1, Ordering::Relaxed);
        self.queue.wake_all();
    }

    fn wait(&self) -> impl Future<Output = Result<()>> + Unpin {
        let Self { queue, made } = self.clone();
        Wait::new(Curproc, None, move |watch: &mut Watch<'_>| {
            watch.queue(&queue);
            if made.load(Ordering::Relaxed) == 1 { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
    }
}

/// A waiter for a [`Change`] on one thread, which another one makes.
fn future_waits(waiter: impl FnOnce(&Change)) {
    let kernel = boot();
    kernel.rfork(FdInherit::Clean).unwrap();
    let change = Change::new();
    let other = thread::spawn({
        let change = change.clone();
        move || change.make()
    });
    waiter(&change);
    other.join().unwrap();
    kernel.releaselwp();
}

fn poll<T>(future: &mut (impl Future<Output = T> + Unpin), parker: &Arc<Parker>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(parker))))
}

/// A future is polled with one waker first, for no reason with another then, and whenever that one wakes it.
pub(super) const FUTURE: Model = Model {
    name: "wait of a future",
    preemptions: Some(2),
    run: || {
        future_waits(|change| {
            let (first, second) = (Parker::new(), Parker::new());
            let mut wait = change.wait();
            if poll(&mut wait, &first).is_pending() {
                while poll(&mut wait, &second).is_pending() {
                    second.park(&[], None).unwrap();
                }
            }
        });
    },
};

#[test]
fn a_pending_future_is_woken_by_its_last_waker() {
    FUTURE.check();
}

#[test]
fn a_future_in_a_queue_without_fences_is_found() {
    FUTURE.must_fail(Fault::Fence("wait/queue.rs"));
}

/// As `FUTURE`, but the waker changes and the future is not polled with the new one.
const STALE: Model = Model {
    name: "wait of a future by a waker that was replaced",
    preemptions: Some(2),
    run: || {
        future_waits(|change| {
            let (first, second) = (Parker::new(), Parker::new());
            let mut wait = change.wait();
            while poll(&mut wait, &first).is_pending() {
                second.park(&[], None).unwrap();
            }
        });
    },
};

#[test]
fn a_waker_that_was_not_handed_over_is_found() {
    STALE.must_fail_unbroken();
}

/// As `FUTURE`, but what a poll has entered is gone when it is over.
const FORGETFUL: Model = Model {
    name: "wait of a future that is dropped after each poll",
    preemptions: Some(2),
    run: || {
        future_waits(|change| {
            let parker = Parker::new();
            while poll(&mut change.wait(), &parker).is_pending() {
                parker.park(&[], None).unwrap();
            }
        });
    },
};

#[test]
fn entries_that_are_not_kept_between_polls_are_found() {
    FORGETFUL.must_fail_unbroken();
}

/// As `KILL`, of a future.
pub(super) const KILL_FUTURE: Model = Model {
    name: "kill against the wait of a future",
    preemptions: Some(3),
    run: || {
        let kernel = boot();
        kernel.rfork(FdInherit::Clean).unwrap();
        let (lwp, pid) = (kernel.curlwp(), crate::sys::getpid());
        kernel.switch(None);
        let blocked = host_thread({
            let kernel = kernel.another();
            move || {
                kernel.switch(lwp);
                let parker = Parker::new();
                let mut wait = Wait::new(Curproc, None, |_: &mut Watch<'_>| Poll::<Result<()>>::Pending);
                let outcome = loop {
                    match poll(&mut wait, &parker) {
                        Poll::Ready(outcome) => break outcome,
                        Poll::Pending => parker.park(&[], None).unwrap(),
                    }
                };
                assert_eq!(outcome, Err(Errno::EINTR));
                drop(wait);
                kernel.releaselwp();
            }
        });
        kernel.kill(pid).expect("it lives: its lwp waits");
        blocked.join().unwrap();
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
    },
};

#[test]
fn no_future_sleeps_through_a_kill() {
    KILL_FUTURE.check();
}

#[test]
fn a_kill_of_a_future_without_fences_is_found() {
    KILL_FUTURE.must_fail(Fault::Fence("wait/queue.rs"));
}

/// One thread kills a process, another releases its last lwp, a third adds one.
pub(super) const KILL_RELEASE: Model = Model {
    name: "kill against release and newlwp",
    preemptions: Some(2),
    run: || {
        let kernel = boot();
        let lwp = kernel.spawn();
        let pid = lwp.pid();
        let other = host_thread({
            let kernel = kernel.another();
            move || match kernel.newlwp(pid) {
                Ok(()) => kernel.releaselwp(),
                Err(error) => assert!([Errno::ESRCH, Errno::EBUSY].contains(&error), "{error}"),
            }
        });
        let killed = kernel.kill(pid);
        assert_eq!(killed, Ok(()));
        assert_eq!(kernel.newlwp(pid), Err(Errno::EBUSY));
        drop(lwp);
        other.join().unwrap();
        assert_eq!(kernel.kill(pid), Err(Errno::ESRCH));
        assert_eq!((kernel.usage().procs, kernel.usage().lwps), (0, 0));
    },
};

#[test]
fn a_killed_process_takes_no_lwp_and_ends_with_its_last() {
    KILL_RELEASE.check();
}

#[test]
fn a_kill_in_two_steps_is_found() {
    KILL_RELEASE.must_fail(Fault::Torn("proc/lwpcount.rs"));
}
