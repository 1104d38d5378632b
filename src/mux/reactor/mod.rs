//! What becomes ready on the host's descriptors, told by edges.
//!
//! A descriptor is registered with the host when it is first waited for, for all that can be told, and stays so until it
//! is closed: from then on the host tells of each change once, and a wait costs no system call of its own. No wake is
//! lost:
//!
//! - Who waits has found the descriptor *dry* on this thread (an attempt was `EAGAIN`, or a look found nothing), and is
//!   entered here before this thread polls again. An edge that was told before it found that came before it, and is of no
//!   account. An edge after it has not been told, and is told by a later poll, to a waiter who is entered by then.
//! - If it polls in between after all, [`HostFd`] is not dry any more for whoever looks next; he asks the host.
//! - A descriptor that was not registered yet is told when it is registered, if it is ready by then.
//!
//! Descriptor numbers are used again. A source belongs to the [`HostFd`] that it was made for, by address; another one of
//! the same number is a new source. The host forgets a descriptor when it is closed, unless it has been duplicated: then
//! the old registration goes on telling of changes, under its own mark, by which they are known as nobody's.
//!
//! The host is used directly, not through a portable crate: such a one (`polling`) takes five system calls for each look,
//! to arm its timer and its notifier, in the place of one.

mod timers;

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec};
use rustix::io::Errno as HostErrno;
use smallvec::SmallVec;

use crate::errno::{Errno, Result};
use crate::wait::driver::Watched;
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::waker::{ForeignWaker, Wakers};

pub(super) use timers::Timers;

/// How many changes the host tells at a time.
const TOLD: usize = 1024;
/// What the notifier is registered with. No descriptor has that number.
const NOTIFIER: u64 = u64::MAX;

/// See the module. Of one host thread.
pub(super) struct Reactor {
    epoll: OwnedFd,
    notifier: Arc<Notifier>,
    told: RefCell<Vec<epoll::Event>>,
    sources: RefCell<Sources>,
    next_key: Cell<u64>,
}

/// What ends a [`poll`](Reactor::poll) that waits, or the next one to come; from any thread.
#[derive(Debug)]
pub(in crate::mux) struct Notifier(OwnedFd);

impl Notifier {
    pub(in crate::mux) fn notify(&self) {
        // Each write is an edge: the counter is never emptied. It is full after 2^64 rings.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

#[derive(Default)]
struct Sources {
    by_number: FxHashMap<RawFd, Source>,
    /// How many waiters there are in all.
    waiters: usize,
    /// At how many sources those of closed descriptors are looked for.
    crowded: usize,
    /// How many registrations there were.
    registered: u32,
}

/// A descriptor of the host that was waited for.
struct Source {
    fd: Weak<HostFd>,
    /// Which of the registrations under this number is its own.
    mark: u32,
    /// In the order of their keys.
    waiters: SmallVec<[Waiter; 1]>,
}

struct Waiter {
    key: u64,
    events: Events,
    waker: ForeignWaker,
}

impl Reactor {
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`: the host has no descriptors for it.
    pub(super) fn new() -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let notifier = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &notifier, EventData::new_u64(NOTIFIER), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            epoll,
            notifier: Arc::new(Notifier(notifier)),
            told: RefCell::new(Vec::with_capacity(TOLD)),
            sources: RefCell::default(),
            next_key: Cell::new(0),
        })
    }

    pub(super) fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }

    /// Whether nobody waits for a descriptor.
    pub(super) fn is_idle(&self) -> bool {
        self.sources.borrow().waiters == 0
    }

    /// Enters a waiter, one of whose `wakers` is to be woken, once. The caller is to wake those that it adds to `woken`.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOSPC`: the host can watch no more descriptors.
    pub(super) fn watch(
        &self,
        fd: &Arc<HostFd>,
        events: Events,
        wakers: &mut Wakers,
        woken: &mut Wakers,
    ) -> Result<Watched> {
        let number = fd.as_fd().as_raw_fd();
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        let mut sources = self.sources.borrow_mut();
        if !sources.by_number.get(&number).is_some_and(|source| source.is_of(fd)) {
            let mark = sources.registered;
            sources.registered = mark.wrapping_add(1);
            match register(&self.epoll, fd, data(number, mark)) {
                // Who waits for a descriptor that was closed will look, and learn it.
                Ok(()) => sources.add(number, fd, mark, woken),
                // What the host does not watch (plain files, some devices) can always be read and written.
                Err(Errno::EPERM) => {
                    if events.intersects(Events::IN | Events::OUT) {
                        woken.extend(wakers.pop());
                    }
                    return Ok(Watched { fd: number, key });
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(source) = sources.by_number.get_mut(&number)
            && let Some(waker) = wakers.pop()
        {
            // Told of these whether asked for or not.
            source.waiters.push(Waiter { key, events: events | Events::ALWAYS, waker });
            sources.waiters += 1;
        }
        Ok(Watched { fd: number, key })
    }

    /// Takes a waiter out, if it is there still.
    pub(super) fn leave(&self, watched: Watched) -> Option<ForeignWaker> {
        let mut sources = self.sources.borrow_mut();
        let source = sources.by_number.get_mut(&watched.fd)?;
        let place = source.waiters.binary_search_by_key(&watched.key, |waiter| waiter.key).ok()?;
        let left = source.waiters.remove(place);
        sources.waiters -= 1;
        Some(left.waker)
    }

    /// Waits `timeout` at most (`None`: for ever) until a descriptor becomes ready or the notifier is rung, and adds the
    /// wakers of those who waited for it to `woken`. May also come back for no reason.
    ///
    /// # Errors
    /// `ENOMEM`: the host cannot wait.
    pub(super) fn poll(&self, timeout: Option<Duration>, woken: &mut Vec<ForeignWaker>) -> Result<()> {
        let mut told = self.told.borrow_mut();
        told.clear();
        match wait(&self.epoll, &mut told, timeout) {
            Ok(()) => {}
            // By a signal of the host.
            Err(HostErrno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let sources = &mut *self.sources.borrow_mut();
        for event in told.iter() {
            // Packed: copied out.
            let (data, flags) = (event.data.u64(), event.flags);
            let (number, mark) = (data as RawFd, (data >> 32) as u32);
            let Some(source) = sources.by_number.get_mut(&number).filter(|source| source.mark == mark) else {
                continue;
            };
            let before = woken.len();
            source.tell(flags, woken);
            sources.waiters -= woken.len() - before;
        }
        Ok(())
    }
}

/// What a source is registered with: its number, and its mark.
fn data(number: RawFd, mark: u32) -> u64 {
    u64::from(mark) << 32 | u64::from(number.cast_unsigned())
}

fn register(epoll: &OwnedFd, fd: &HostFd, data: u64) -> Result<()> {
    let data = EventData::new_u64(data);
    let all = EventFlags::IN | EventFlags::OUT | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET;
    match epoll::add(epoll, fd, data, all) {
        // The same description under the same number, which was closed and given to it again: it tells what is ready, as
        // at first.
        Err(HostErrno::EXIST) => Ok(epoll::modify(epoll, fd, data, all)?),
        done => Ok(done?),
    }
}

fn wait(epoll: &OwnedFd, told: &mut Vec<epoll::Event>, timeout: Option<Duration>) -> rustix::io::Result<()> {
    // A time too long for the host is as good as none.
    let exact = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match epoll::wait(epoll, spare_capacity(told), exact.as_ref()) {
        // Before Linux 5.11 it counts in milliseconds.
        Err(HostErrno::NOSYS) => {
            let coarse = timeout.map(whole_millis).and_then(|timeout| Timespec::try_from(timeout).ok());
            epoll::wait(epoll, spare_capacity(told), coarse.as_ref()).map(|_| ())
        }
        done => done.map(|_| ()),
    }
}

/// Not less than `timeout`, or the most that the host knows.
fn whole_millis(timeout: Duration) -> Duration {
    let millis = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
    Duration::from_millis(millis as u64)
}

/// What the host tells. An error or a hangup is for everyone.
fn events(flags: EventFlags) -> Events {
    if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
        return Events::all();
    }
    let mut events = Events::empty();
    events.set(Events::IN, flags.contains(EventFlags::IN));
    events.set(Events::PRI, flags.contains(EventFlags::PRI));
    events.set(Events::OUT, flags.contains(EventFlags::OUT));
    events
}

impl Sources {
    /// Adds a source, in the place of another one of that number. Adds those who waited for closed ones to `woken`.
    fn add(&mut self, number: RawFd, fd: &Arc<HostFd>, mark: u32, woken: &mut Wakers) {
        let mut left = Vec::new();
        if self.by_number.len() >= self.crowded {
            left.extend(self.by_number.extract_if(|_, source| source.fd.strong_count() == 0).map(|(_, source)| source));
            self.crowded = (2 * self.by_number.len()).max(64);
        }
        let source = Source { fd: Arc::downgrade(fd), mark, waiters: SmallVec::new() };
        left.extend(self.by_number.insert(number, source));
        for waiter in left.into_iter().flat_map(|source| source.waiters) {
            self.waiters -= 1;
            woken.push(waiter.waker);
        }
    }
}

impl Source {
    fn is_of(&self, fd: &Arc<HostFd>) -> bool {
        // The address is not used again as long as there is a weak reference.
        std::ptr::eq(self.fd.as_ptr(), Arc::as_ptr(fd))
    }

    /// Tells of a change: takes out those who waited for it.
    fn tell(&mut self, flags: EventFlags, woken: &mut Vec<ForeignWaker>) {
        let events = events(flags);
        let mut awaited = Events::empty();
        self.waiters.retain(|waiter| {
            let told = waiter.events.intersects(events);
            if told {
                awaited |= waiter.events;
                woken.push(std::mem::replace(&mut waiter.waker, ForeignWaker::noop()));
            }
            !told
        });
        if let Some(fd) = self.fd.upgrade() {
            // What else is told they are to ask the host about.
            let awaited = if events.intersects(Events::ALWAYS) { Events::empty() } else { awaited };
            let ends = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR | EventFlags::PRI;
            fd.changed(events, awaited, flags.intersects(ends));
        }
    }
}

#[cfg(test)]
mod tests;
