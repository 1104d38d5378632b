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
    /// Whether it takes what it waits for, and so need not be woken where another is.
    exclusive: bool,
    entries: Entries,
}

/// What a waiter has entered. Dropped, it has left all.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Most wait for one thing.
    queues: SmallVec<[Entry; 1]>,
    host: SmallVec<[(Arc<HostFd>, Events); 1]>,
}

/// A waiter's entry in a queue.
#[derive(Debug)]
struct Entry {
    queue: Arc<WaitQueue>,
    /// `None` when it has left.
    key: Option<u64>,
    exclusive: bool,
    /// It has left, was told alone before, and the waiter has not looked since.
    told: bool,
}

impl<'w> Watch<'w> {
    /// A waiter that `waker` wakes.
    pub fn new(waker: &'w Waker) -> Self {
        Self { waker, edges: false, exclusive: false, entries: Entries::default() }
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
        self.entries.enter(queue, self.waker, self.exclusive);
    }

    /// What `f` enters it enters exclusively: if that tells the waiter alone, it takes what is there, or finds nothing.
    pub(crate) fn exclusively<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.exclusive, true);
        let done = f(self);
        self.exclusive = before;
        done
    }

    /// Begins another look, of one whose last look has entered `entries`.
    pub(crate) fn resume(&mut self, entries: Entries) {
        self.entries = entries;
        self.renew();
    }

    /// Begins another look: leaves all. Who told the waiter is remembered until the look is [over](Self::looked).
    pub(crate) fn renew(&mut self) {
        self.entries.renew();
    }

    /// The look is over, and has taken what was there or found nothing: whoever told the waiter before it is served.
    pub(crate) fn looked(&mut self) {
        self.entries.queues.retain(|entry| !std::mem::take(&mut entry.told));
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
    pub(crate) fn enter(&mut self, queue: &Arc<WaitQueue>, waker: &Waker, exclusive: bool) {
        let key = queue.enter(waker, exclusive);
        self.queues.push(Entry { queue: Arc::clone(queue), key: Some(key), exclusive, told: false });
    }

    fn renew(&mut self) {
        self.host.clear();
        // Of one that waits in several queues it is not known which of them it will serve.
        let serves = self.queues.iter().filter(|entry| entry.exclusive).count() == 1;
        self.queues.retain(|entry| {
            entry.leave();
            serves && entry.told
        });
    }
}

impl Entry {
    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            self.told = self.queue.leave(key);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.leave();
        if self.told {
            self.queue.hand_on();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::Watch;
    use crate::wait::queue::WaitQueue;

    struct Count {
        wakes: AtomicUsize,
        panics: bool,
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            assert!(!self.panics, "a waker of the embedder's");
        }
    }

    fn count(panics: bool) -> (Arc<Count>, Waker) {
        let count = Arc::new(Count { wakes: AtomicUsize::new(0), panics });
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn wakers_that_panic_keep_no_other_from_being_woken() {
        let queue = Arc::new(WaitQueue::new());
        let waiters = [count(false), count(true), count(true), count(false)];
        let mut watches: Vec<Watch<'_>> = waiters.iter().map(|(_, waker)| Watch::new(waker)).collect();
        watches.iter_mut().for_each(|watch| watch.queue(&queue));
        queue.wake_all();
        queue.wake_all();
        assert!(waiters.iter().all(|(count, _)| count.wakes.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn who_has_left_is_not_woken() {
        let queue = Arc::new(WaitQueue::new());
        let (counted, waker) = count(false);
        let mut watch = Watch::new(&waker);
        watch.queue(&queue);
        drop(watch);
        queue.wake_all();
        assert_eq!(counted.wakes.load(Ordering::Relaxed), 0);
    }
}
