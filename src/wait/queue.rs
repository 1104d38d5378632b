//! `WaitQueue`: those who wait for a change, and how whoever makes it wakes them.
//!
//! A waiter enters first and looks second; whoever changes something changes it first and wakes second. Either the waiter
//! sees the change, or it is woken.

use std::collections::BTreeMap;
use std::fmt;
use std::task::Waker;

use crate::sync::{AtomicUsize, Mutex, Ordering, fence};
use crate::wait::waker::ForeignWaker;

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
    wakers: BTreeMap<u64, ForeignWaker>,
}

impl WaitQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), list: Mutex::new(Waiters::default()) }
    }

    /// Wakes everyone who waits, once. Call it after the change that they wait for.
    ///
    /// A waker that panics keeps nobody from being woken, and does not panic here; see
    /// [`Builder::on_panic`](crate::Builder::on_panic).
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
        woken.into_values().for_each(ForeignWaker::wake);
    }

    /// Whether anyone waits: one plain load. Right only where a lock that the caller holds is also taken by every waiter
    /// when it looks: then either the waiter entered before its look, and is seen here, or it sees the change.
    pub(crate) fn is_watched(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    pub(super) fn enter(&self, waker: &Waker) -> u64 {
        // Out of the lock: a waker is anybody's code.
        let waker = ForeignWaker::of(waker);
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

    pub(super) fn leave(&self, key: u64) {
        let mut list = self.list.lock();
        let left = list.wakers.remove(&key);
        self.waiting.store(list.wakers.len(), Ordering::Relaxed);
        // Out of the lock: a waker's drop is anybody's code.
        drop(list);
        drop(left);
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::WaitQueue;
    use crate::wait::watch::Watch;

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
