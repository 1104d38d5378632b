//! Readiness: what can become ready says so through a [`WaitQueue`], what waits collects them in a [`Watch`].
//!
//! A file's [`poll`](crate::File::poll) answers what is ready now, and, when it is handed a `Watch`, first enters the
//! waiter in whatever will tell it of a change (Linux's `poll_table` is the same idea). The driver then sleeps, and
//! polls again when woken. Enter first, look second: a change between the two wakes the sleeper.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoValues;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use bitflags::bitflags;
use smallvec::SmallVec;

use crate::sync::{AtomicUsize, Mutex, Ordering, fence};
use crate::wait::hostfd::HostFd;

bitflags! {
    /// What a descriptor is ready for, with the values of `poll(2)`.
    ///
    /// Source: POSIX.1-2024, `<poll.h>`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    #[repr(transparent)]
    pub struct Events: i16 {
        /// Data, a connection or end of file can be read without blocking.
        const IN = 0x001;
        /// Priority data can be read.
        const PRI = 0x002;
        /// Data can be written without blocking.
        const OUT = 0x004;
        /// An error is pending. Reported whether asked for or not.
        const ERR = 0x008;
        /// The other side hung up. Reported whether asked for or not.
        const HUP = 0x010;
        /// The descriptor is not open. Reported whether asked for or not.
        const NVAL = 0x020;
    }
}

impl Events {
    /// Reported whether asked for or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP).union(Self::NVAL);
}

/// Those who wait for something to change; whoever changes it calls [`wake_all`](WaitQueue::wake_all) after the change.
///
/// ```
/// use lwproc::WaitQueue;
/// let changed = std::sync::Arc::new(WaitQueue::new());
/// changed.wake_all(); // nobody waits: one load
/// ```
pub struct WaitQueue {
    /// How many wakers `list` holds. Atomic, so that a change without waiters takes no lock.
    waiting: AtomicUsize,
    list: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    next_key: u64,
    /// In the order of entry, so that to leave is quick however many wait.
    wakers: BTreeMap<u64, Waker>,
}

impl WaitQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), list: Mutex::new(Waiters::default()) }
    }

    /// Wakes everyone who waits, once. Call it after the change that they wait for.
    pub fn wake_all(&self) {
        // SeqCst: pairs with the fence in `enter`. Either that waiter sees the change made before this call, or this
        // call sees the waiter.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let woken = {
            let mut list = self.list.lock();
            self.waiting.store(0, Ordering::Relaxed);
            std::mem::take(&mut list.wakers)
        };
        // Out of the lock: a waker is anybody's code.
        Woken(woken.into_values()).wake();
    }

    /// Whether anyone waits: one plain load. Right only where a lock that the caller holds is also taken by every waiter
    /// when it looks: then either the waiter entered before its look, and is seen here, or it sees the change.
    pub(crate) fn is_watched(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    fn enter(&self, waker: &Waker) -> u64 {
        // Out of the lock: a waker is anybody's code.
        let waker = waker.clone();
        let key = {
            let mut list = self.list.lock();
            let key = list.next_key;
            list.next_key += 1;
            list.wakers.insert(key, waker);
            self.waiting.store(list.wakers.len(), Ordering::Relaxed);
            key
        };
        // SeqCst: pairs with the fence in `wake_all`.
        fence(Ordering::SeqCst);
        key
    }

    fn leave(&self, key: u64) {
        let mut list = self.list.lock();
        let left = list.wakers.remove(&key);
        self.waiting.store(list.wakers.len(), Ordering::Relaxed);
        // Out of the lock: a waker's drop is anybody's code.
        drop(list);
        drop(left);
    }
}

/// Wakers to be woken, each in spite of another's panic.
struct Woken(IntoValues<u64, Waker>);

impl Woken {
    fn wake(&mut self) {
        self.0.by_ref().for_each(Waker::wake);
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.wake();
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("waiting", &self.waiting).finish()
    }
}

/// One waiter's look: it enters the waiter in queues that will wake it, and notes the host descriptors to be watched for
/// it. Dropped, it leaves all.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::{WaitQueue, Watch};

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
    fn a_waker_that_panics_keeps_no_other_from_being_woken() {
        let queue = Arc::new(WaitQueue::new());
        let waiters = [count(false), count(true), count(false)];
        let mut watches: Vec<Watch<'_>> = waiters.iter().map(|(_, waker)| Watch::new(waker)).collect();
        watches.iter_mut().for_each(|watch| watch.queue(&queue));
        assert!(catch_unwind(AssertUnwindSafe(|| queue.wake_all())).is_err());
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
