//! What becomes ready on the host's descriptors, told by edges.
//!
//! A descriptor is registered with the host when it is first waited for, for reading and writing, and stays so until it
//! is closed: from then on the host tells of each change once, and a wait costs no system call. That is sound because
//! who waits has entered first and looks second (see [`watch`](crate::watch)): a change that was told before the look is
//! seen by it, a later one is told to the waiter. When the descriptor was not registered before the look, registering it
//! tells what is ready by then.
//!
//! Descriptor numbers are used again. A source belongs to the [`HostFd`] that it was made for, by address; another one of
//! the same number is a new source. The host forgets a descriptor when it is closed, unless it has been duplicated: then
//! the old registration may tell of changes still, under a number that is another's, whose waiters look in vain.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use polling::{Event, PollMode, Poller};

use crate::driver::Watched;
use crate::errno::{Errno, Result};
use crate::hostfd::HostFd;
use crate::watch::Events;

/// How many changes the host tells at a time.
const TOLD: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// See the module. Of one host thread.
pub(super) struct Reactor {
    poller: Arc<Poller>,
    told: RefCell<polling::Events>,
    sources: RefCell<Sources>,
    next_key: Cell<u64>,
}

#[derive(Default)]
struct Sources {
    by_number: HashMap<RawFd, Source>,
    /// How many waiters there are in all.
    waiters: usize,
    /// At how many sources those of closed descriptors are looked for.
    crowded: usize,
}

/// A descriptor of the host that was waited for.
struct Source {
    fd: Weak<HostFd>,
    waiters: Vec<Waiter>,
}

struct Waiter {
    key: u64,
    events: Events,
    waker: Waker,
}

impl Reactor {
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`: the host has no descriptor for it. `EOPNOTSUPP`: a host that tells no edges.
    pub(super) fn new() -> Result<Self> {
        let poller = Poller::new().map_err(errno)?;
        if !poller.supports_edge() {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(Self {
            poller: Arc::new(poller),
            told: RefCell::new(polling::Events::with_capacity(TOLD)),
            sources: RefCell::default(),
            next_key: Cell::new(0),
        })
    }

    /// What ends a [`poll`](Self::poll) that waits, from any thread.
    pub(super) fn notifier(&self) -> &Arc<Poller> {
        &self.poller
    }

    /// Whether nobody waits for a descriptor.
    pub(super) fn is_idle(&self) -> bool {
        self.sources.borrow().waiters == 0
    }

    /// Enters a waiter, to be woken once.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOSPC`: the host can watch no more descriptors.
    pub(super) fn watch(&self, fd: &Arc<HostFd>, events: Events, waker: &Waker) -> Result<Watched> {
        // Off the borrow: a waker is anybody's code.
        let waker = waker.clone();
        let number = fd.as_fd().as_raw_fd();
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        let mut sources = self.sources.borrow_mut();
        let known = sources.by_number.get(&number).is_some_and(|source| source.is_of(fd));
        let mut left = Vec::new();
        if !known {
            match self.register(fd) {
                Ok(()) => {}
                // What the host does not watch is always ready.
                Err(Errno::EPERM) => {
                    drop(sources);
                    waker.wake();
                    return Ok(Watched { fd: number, key });
                }
                Err(error) => return Err(error),
            }
            left = sources.add(number, fd);
        }
        if let Some(source) = sources.by_number.get_mut(&number) {
            source.waiters.push(Waiter { key, events, waker });
            sources.waiters += 1;
        }
        drop(sources);
        drop(left);
        Ok(Watched { fd: number, key })
    }

    fn register(&self, fd: &HostFd) -> Result<()> {
        let number = fd.as_fd().as_raw_fd();
        let key = usize::try_from(number).map_err(|_| Errno::EBADF)?;
        let interest = Event::all(key).with_priority();
        // SAFETY: it asks that the descriptor be deleted before it is closed, for the sake of hosts that would go on to
        // use its number. One that tells edges (epoll) forgets it by itself; what it may tell of a duplicate is expected.
        match unsafe { self.poller.add_with_mode(number, interest, PollMode::Edge) } {
            // The same description, registered for a `HostFd` that gave the descriptor away.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.poller.modify_with_mode(fd, interest, PollMode::Edge).map_err(errno)
            }
            done => done.map_err(errno),
        }
    }

    /// Takes a waiter out, if it is there still.
    pub(super) fn leave(&self, watched: Watched) {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.by_number.get_mut(&watched.fd) else { return };
        let Some(place) = source.waiters.iter().position(|waiter| waiter.key == watched.key) else { return };
        let left = source.waiters.swap_remove(place);
        sources.waiters -= 1;
        // Off the borrow: a waker's drop is anybody's code.
        drop(sources);
        drop(left);
    }

    /// Waits `timeout` at most (`None`: for ever) until a descriptor becomes ready or the notifier is used, and adds the
    /// wakers of those who waited for it to `woken`.
    ///
    /// # Errors
    /// `ENOMEM`: the host cannot wait.
    pub(super) fn poll(&self, timeout: Option<Duration>, woken: &mut Vec<Waker>) -> Result<()> {
        let mut told = self.told.borrow_mut();
        told.clear();
        match self.poller.wait(&mut told, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            done => _ = done.map_err(errno)?,
        }
        let mut sources = self.sources.borrow_mut();
        for event in told.iter() {
            let Ok(number) = RawFd::try_from(event.key) else { continue };
            let Some(source) = sources.by_number.get_mut(&number) else { continue };
            let before = source.waiters.len();
            source.tell(events(&event), woken);
            let left = source.waiters.len();
            sources.waiters -= before - left;
        }
        Ok(())
    }
}

/// What an event of the host's means. An error or a hangup is for everyone.
fn events(event: &Event) -> Events {
    if event.is_interrupt() || event.is_err() == Some(true) {
        return Events::all();
    }
    let mut events = Events::empty();
    events.set(Events::IN, event.readable);
    events.set(Events::PRI, event.is_priority());
    events.set(Events::OUT, event.writable);
    events
}

impl Sources {
    /// Adds a source, in the place of another one of that number. The answer is what is to be dropped off the borrow.
    fn add(&mut self, number: RawFd, fd: &Arc<HostFd>) -> Vec<Source> {
        let mut left = Vec::new();
        if self.by_number.len() >= self.crowded {
            left.extend(self.by_number.extract_if(|_, source| source.fd.strong_count() == 0).map(|(_, source)| source));
            self.crowded = (2 * self.by_number.len()).max(64);
        }
        left.extend(self.by_number.insert(number, Source { fd: Arc::downgrade(fd), waiters: Vec::with_capacity(1) }));
        self.waiters -= left.iter().map(|source| source.waiters.len()).sum::<usize>();
        left
    }
}

impl Source {
    fn is_of(&self, fd: &Arc<HostFd>) -> bool {
        // The address is not used again as long as there is a weak reference.
        std::ptr::eq(self.fd.as_ptr(), Arc::as_ptr(fd))
    }

    /// Tells of a change: takes out those who waited for it.
    fn tell(&mut self, events: Events, woken: &mut Vec<Waker>) {
        if let Some(fd) = self.fd.upgrade() {
            fd.changed(events);
        }
        woken.extend(self.waiters.extract_if(.., |waiter| waiter.events.intersects(events)).map(|waiter| waiter.waker));
    }
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().and_then(Errno::from_raw).unwrap_or(Errno::EIO)
}

#[cfg(test)]
mod tests;
