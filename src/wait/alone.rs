//! The driver of a plain host thread while it blocks on a future: what the future waits for beside its wakers goes into
//! the thread's own sleep.
//!
//! It cannot tell which of the descriptors ended a sleep. All who wait for one are woken then, and enter anew if they wait
//! on.
//!
//! Waits of one host thread share what they wait for: of several under way (one within another, or each in a coroutine
//! that somebody else suspends) whichever sleeps does so for all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use crate::errno::Result;
use crate::sync::host_local;
use crate::wait::driver::{self, Armed, Driver, Place, Watched};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::waker::{ForeignWaker, Wakers};

/// See the module. Of one wait.
pub(crate) struct Alone {
    place: Place,
    shared: Rc<Shared>,
}

/// What all waits of a host thread wait for. Gone with the last of them.
struct Shared {
    number: u64,
    next_key: Cell<u64>,
    host: RefCell<BTreeMap<u64, Waiter>>,
    timers: RefCell<BTreeMap<u64, (Instant, ForeignWaker)>>,
}

/// Who waits for a descriptor of the host.
struct Waiter {
    fd: Arc<HostFd>,
    events: Events,
    waker: ForeignWaker,
}

host_local! {
    static SHARED: RefCell<Weak<Shared>> = const { RefCell::new(Weak::new()) };
}

impl Shared {
    /// This host thread's.
    fn here() -> Rc<Self> {
        let here = SHARED.try_with(|shared| {
            let mut shared = shared.borrow_mut();
            shared.upgrade().unwrap_or_else(|| {
                let new = Rc::new(Self::new());
                *shared = Rc::downgrade(&new);
                new
            })
        });
        // A thread that ends has none: each wait is on its own.
        here.unwrap_or_else(|_| Rc::new(Self::new()))
    }

    fn new() -> Self {
        Self { number: driver::number(), next_key: Cell::new(0), host: RefCell::default(), timers: RefCell::default() }
    }

    fn key(&self) -> u64 {
        self.next_key.replace(self.next_key.get() + 1)
    }
}

impl Alone {
    pub(crate) fn new() -> Self {
        let shared = Shared::here();
        Self { place: Place::new(shared.number), shared }
    }

    /// What is waited for: descriptors, and the first of the deadlines.
    pub(crate) fn waits(&self) -> (Vec<(Arc<HostFd>, Events)>, Option<Instant>) {
        let host = self.shared.host.borrow().values().map(|waiter| (Arc::clone(&waiter.fd), waiter.events)).collect();
        let first = self.shared.timers.borrow().values().map(|(at, _)| *at).min();
        (host, first)
    }

    /// A sleep is over: wakes those who are due, and those who wait for a descriptor.
    pub(crate) fn wake_due(&self) {
        let mut woken: Vec<ForeignWaker> = self.shared.host.take().into_values().map(|waiter| waiter.waker).collect();
        if !self.shared.timers.borrow().is_empty() {
            let now = Instant::now();
            let mut timers = self.shared.timers.borrow_mut();
            woken.extend(timers.extract_if(.., |_, (at, _)| *at <= now).map(|(_, (_, waker))| waker));
        }
        // Off the borrows: a waker is anybody's code.
        woken.into_iter().for_each(ForeignWaker::wake);
    }
}

impl Driver for Alone {
    fn place(&self) -> &Place {
        &self.place
    }

    fn tells_edges(&self) -> bool {
        false
    }

    fn arm(
        &self,
        armed: &mut Armed,
        wakers: &mut Wakers,
        _: &mut Wakers,
        host: &[(Arc<HostFd>, Events)],
        deadline: Option<Instant>,
    ) -> Result<()> {
        armed.driver = self.shared.number;
        for (fd, events) in host {
            let Some(waker) = wakers.pop() else { break };
            let (key, waiter) = (self.shared.key(), Waiter { fd: Arc::clone(fd), events: *events, waker });
            armed.host.push(Watched { fd: fd.as_fd().as_raw_fd(), key });
            self.shared.host.borrow_mut().insert(key, waiter);
        }
        if let Some((deadline, waker)) = deadline.zip(wakers.pop()) {
            let key = self.shared.key();
            armed.timer = Some(key);
            self.shared.timers.borrow_mut().insert(key, (deadline, waker));
        }
        Ok(())
    }

    fn disarm(&self, armed: &Armed, wakers: &mut Wakers) {
        let mut host = self.shared.host.borrow_mut();
        wakers.extend(armed.host.iter().filter_map(|watched| host.remove(&watched.key)).map(|waiter| waiter.waker));
        let timer = armed.timer.and_then(|timer| self.shared.timers.borrow_mut().remove(&timer));
        wakers.extend(timer.map(|(_, waker)| waker));
    }
}
