//! Readiness: what can become ready says so through a [`WaitQueue`], what waits collects them in a [`Watch`].
//!
//! A file's [`poll`](crate::File::poll) answers what is ready now, and, when it is handed a `Watch`, first enters the
//! waiter in whatever will tell it of a change (Linux's `poll_table` is the same idea). The driver then sleeps, and
//! polls again when woken. Enter first, look second: a change between the two wakes the sleeper.

use std::sync::Arc;
use std::task::Waker;

use smallvec::SmallVec;

use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::queue::WaitQueue;

/// One waiter's look: it enters the waiter in queues that will wake it, and notes the host descriptors to be watched for
/// it. Dropped, it leaves all.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::task::Waker;
/// use lwproc::{WaitQueue, Watch};
///
/// let (changed, queue) = (AtomicBool::new(false), Arc::new(WaitQueue::new()));
/// let mut watch = Watch::new(Waker::noop());
/// watch.queue(&queue); // enters first
/// assert!(!changed.load(Ordering::Relaxed)); // looks second
/// changed.store(true, Ordering::Relaxed);
/// queue.wake_all(); // the waiter will look again
/// ```
#[derive(Debug)]
pub struct Watch<'w> {
    waker: &'w Waker,
    /// Whether the waiter is also woken by what becomes ready after an attempt that found nothing, before it waits.
    edges: bool,
    entries: Entries,
}

/// What a waiter has entered. Dropped, it has left all.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Most wait for one thing.
    queues: SmallVec<[(Arc<WaitQueue>, u64); 1]>,
    host: SmallVec<[(Arc<HostFd>, Events); 1]>,
}

impl<'w> Watch<'w> {
    /// A waiter that `waker` wakes.
    pub fn new(waker: &'w Waker) -> Self {
        Self { waker, edges: false, entries: Entries::default() }
    }

    /// A waiter in a multiplexer, which has seen each change of the host descriptors that it knows.
    #[cfg(not(loom))]
    pub(crate) fn with_edges(waker: &'w Waker) -> Self {
        Self { edges: true, ..Self::new(waker) }
    }

    /// What wakes the waiter.
    pub fn waker(&self) -> &'w Waker {
        self.waker
    }

    /// Enters the waiter in `queue`. Look for readiness only after that.
    pub fn queue(&mut self, queue: &Arc<WaitQueue>) {
        self.entries.enter(queue, self.waker);
    }

    /// Watches a descriptor of the host, which stays open as long as the watch lives.
    pub fn host(&mut self, fd: &Arc<HostFd>, events: Events) {
        self.entries.host.push((Arc::clone(fd), events));
    }

    /// Which of `events` `fd` is ready for, if the host need not be asked: this host thread has found it not ready before, and
    /// the waiter is woken by what has changed since; or that was just told.
    pub(crate) fn known(&self, fd: &HostFd, events: Events) -> Option<Events> {
        if self.edges { fd.known(events) } else { None }
    }

    /// The host descriptors watched so far.
    pub fn host_fds(&self) -> &[(Arc<HostFd>, Events)] {
        &self.entries.host
    }

    /// What was entered, to be kept when the look is over.
    pub(crate) fn into_entries(self) -> Entries {
        self.entries
    }
}

impl Entries {
    pub(crate) fn enter(&mut self, queue: &Arc<WaitQueue>, waker: &Waker) {
        let key = queue.enter(waker);
        self.queues.push((Arc::clone(queue), key));
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        for (queue, key) in self.queues.drain(..) {
            queue.leave(key);
        }
    }
}
