//! A descriptor of the host that can be waited for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sync::{AtomicUsize, Ordering, thread};
use crate::watch::Events;

/// A descriptor of the host that a [`Watch`](crate::Watch) can wait for.
///
/// It remembers which host thread found it *dry*: nothing to read, or no room to write. A multiplexer of that thread has
/// been told of every change since, as soon as it knows the descriptor, and need not ask the host again before it waits.
/// That only holds on one thread: what another found dry may have changed in between, and its change been told.
#[derive(Debug)]
pub struct HostFd {
    fd: OwnedFd,
    /// *Atomic*: the thread that found nothing to read, 0 for none. Relaxed, as `output` is: a thread relies on its own
    /// stores alone, and if another's came between it asks the host once too often.
    input: AtomicUsize,
    /// *Atomic*: the thread that found no room to write, 0 for none.
    output: AtomicUsize,
}

impl HostFd {
    /// Takes `fd` over; it is closed with the last reference.
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, input: AtomicUsize::new(0), output: AtomicUsize::new(0) }
    }

    /// An attempt of this host thread's for `events` was `EAGAIN`, or it asked the host, and none of them was there.
    pub(crate) fn found_dry(&self, events: Events) {
        self.set(events, thread::token());
    }

    /// The host tells of a change.
    pub(crate) fn changed(&self, events: Events) {
        self.set(events, 0);
    }

    fn set(&self, events: Events, thread: usize) {
        if events.contains(Events::IN) {
            self.input.store(thread, Ordering::Relaxed);
        }
        if events.contains(Events::OUT) {
            self.output.store(thread, Ordering::Relaxed);
        }
    }

    /// Whether this host thread has found it dry for each of `events`, and nothing has changed since.
    pub(crate) fn is_dry(&self, events: Events) -> bool {
        let dry =
            |event, found: &AtomicUsize| !events.contains(event) || found.load(Ordering::Relaxed) == thread::token();
        !events.is_empty()
            && (Events::IN | Events::OUT).contains(events)
            && dry(Events::IN, &self.input)
            && dry(Events::OUT, &self.output)
    }
}

impl AsFd for HostFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for HostFd {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd)
    }
}
