//! The driver of a plain host thread while it blocks on a future: what the future waits for beside its wakers goes into
//! the thread's own sleep.
//!
//! It cannot tell which of the descriptors ended a sleep. All who wait for one are woken then, and enter anew if they wait
//! on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use smallvec::SmallVec;

use crate::errno::Result;
use crate::wait::driver::{self, Armed, Driver, Watched};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;

/// See the module. Of one wait.
pub(crate) struct Alone {
    id: u64,
    next_key: Cell<u64>,
    host: RefCell<BTreeMap<u64, Waiter>>,
    timers: RefCell<BTreeMap<u64, (Instant, Waker)>>,
    /// The host thread's other driver.
    outer: Cell<Option<NonNull<dyn Driver>>>,
}

/// Who waits for a descriptor of the host.
struct Waiter {
    fd: Arc<HostFd>,
    events: Events,
    waker: Waker,
}

/// The time in which it is the host thread's driver.
pub(crate) struct Entered<'a>(&'a Alone);

impl Alone {
    pub(crate) fn new() -> Self {
        Self {
            id: driver::number(),
            next_key: Cell::new(0),
            host: RefCell::default(),
            timers: RefCell::default(),
            outer: Cell::new(None),
        }
    }

    /// Makes it the host thread's driver, until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered<'_> {
        let this = ptr::from_ref::<dyn Driver>(self) as *mut (dyn Driver + 'static);
        // SAFETY: not null; and the guard, which borrows it, takes the pointer away again.
        self.outer.set(unsafe { driver::set(Some(NonNull::new_unchecked(this))) });
        Entered(self)
    }

    /// What is waited for: descriptors, and the first of the deadlines.
    pub(crate) fn waits(&self) -> (Vec<(Arc<HostFd>, Events)>, Option<Instant>) {
        let host = self.host.borrow().values().map(|waiter| (Arc::clone(&waiter.fd), waiter.events)).collect();
        let first = self.timers.borrow().values().map(|(at, _)| *at).min();
        (host, first)
    }

    /// A sleep is over: wakes those who are due, and those who wait for a descriptor.
    pub(crate) fn wake_due(&self) {
        let mut woken: Vec<Waker> = self.host.take().into_values().map(|waiter| waiter.waker).collect();
        if !self.timers.borrow().is_empty() {
            let now = Instant::now();
            let mut timers = self.timers.borrow_mut();
            woken.extend(timers.extract_if(.., |_, (at, _)| *at <= now).map(|(_, (_, waker))| waker));
        }
        // Off the borrows: a waker is anybody's code.
        woken.into_iter().for_each(Waker::wake);
    }

    fn key(&self) -> u64 {
        self.next_key.replace(self.next_key.get() + 1)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: it was set before, by one that is still there.
        unsafe { driver::set(self.0.outer.take()) };
    }
}

impl Driver for Alone {
    fn tells_edges(&self) -> bool {
        false
    }

    fn arm(&self, waker: &Waker, host: &[(Arc<HostFd>, Events)], deadline: Option<Instant>) -> Result<Armed> {
        let mut armed = Armed { driver: self.id, host: SmallVec::new(), timer: None };
        for (fd, events) in host {
            let (key, waiter) = (self.key(), Waiter { fd: Arc::clone(fd), events: *events, waker: waker.clone() });
            armed.host.push(Watched { fd: fd.as_fd().as_raw_fd(), key });
            self.host.borrow_mut().insert(key, waiter);
        }
        if let Some(deadline) = deadline {
            let (key, waker) = (self.key(), waker.clone());
            armed.timer = Some(key);
            self.timers.borrow_mut().insert(key, (deadline, waker));
        }
        Ok(armed)
    }

    fn disarm(&self, armed: &Armed) {
        if armed.driver != self.id {
            return;
        }
        // What is left is dropped off the borrows.
        for watched in &armed.host {
            let left = self.host.borrow_mut().remove(&watched.key);
            drop(left);
        }
        if let Some(timer) = armed.timer {
            let left = self.timers.borrow_mut().remove(&timer);
            drop(left);
        }
    }
}
