//! `WaitQueue`: those who wait for a change, and how whoever makes it wakes them.
//!
//! A waiter enters first and looks second; whoever changes something changes it first and wakes second. Either the waiter
//! sees the change, or it is woken.
//!
//! Who only looks is woken by each change. Who takes what has come waits *exclusively*, as Linux has it: of those
//! [`wake_one`](WaitQueue::wake_one) wakes one, and notes that it was *told*. One that leaves told, and has not looked
//! since, hands on: the next is told in its place. So as long as there is something and somebody waits for it, one of
//! those who were told is on the way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::task::Waker;

use crate::sync::{AtomicUsize, Mutex, Ordering, fence};
use crate::wait::waker::ForeignWaker;

/// Those who wait for something to change; whoever changes it calls [`wake_all`](WaitQueue::wake_all), or
/// [`wake_one`](WaitQueue::wake_one), after the change.
///
/// ```
/// use lwproc::WaitQueue;
/// let changed = std::sync::Arc::new(WaitQueue::new());
/// changed.wake_all(); // nobody waits: one load
/// ```
pub struct WaitQueue {
    /// How many wakers `list` holds. *Atomic*, so that a change without waiters takes no lock.
    waiting: AtomicUsize,
    list: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    next_key: u64,
    /// Those who look, in the order of entry, so that to leave is quick however many wait.
    lookers: BTreeMap<u64, ForeignWaker>,
    /// Those who wait exclusively, likewise.
    exclusive: BTreeMap<u64, ForeignWaker>,
    /// Those of them who were told alone, and have not left since.
    told: BTreeSet<u64>,
}

impl Waiters {
    fn len(&self) -> usize {
        self.lookers.len() + self.exclusive.len()
    }

    /// Takes out the first of those who wait exclusively, and notes that it was told.
    fn tell_one(&mut self) -> Option<ForeignWaker> {
        let (key, waker) = self.exclusive.pop_first()?;
        self.told.insert(key);
        Some(waker)
    }
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
            (std::mem::take(&mut list.lookers), std::mem::take(&mut list.exclusive))
        };
        // Out of the lock: a waker is anybody's code.
        woken.0.into_values().chain(woken.1.into_values()).for_each(ForeignWaker::wake);
    }

    /// Wakes those who only look, and the first of those who wait to take something. Call it after a change that is
    /// enough for one of them. Whoever takes a part and leaves something calls it as well, for the next.
    ///
    /// A system call that waits to read, write or accept waits to take something; `poll` looks. One that takes nothing
    /// after all, since it was killed, cancelled, dropped or out of time, hands its wake on. A future that is kept and
    /// not polled, or forgotten, keeps it. Where those who read and those who write wait in one queue, or where it
    /// takes two changes to go on, use [`wake_all`](WaitQueue::wake_all).
    ///
    /// A waker that panics does not panic here, as there.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU8, Ordering};
    /// use lwproc::{Errno, Events, File, Result, WaitQueue, Watch};
    ///
    /// /// Tokens, of which each read takes one.
    /// struct Tokens(AtomicU8, Arc<WaitQueue>);
    ///
    /// impl File for Tokens {
    ///     fn read_at(&self, _buf: &mut [u8], _at: u64) -> Result<usize> {
    ///         let taken = self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    ///         taken.map(|_| 0).map_err(|_| Errno::EAGAIN)
    ///     }
    ///
    ///     fn write_at(&self, buf: &[u8], _at: u64) -> Result<usize> {
    ///         self.0.fetch_add(1, Ordering::Relaxed);
    ///         self.1.wake_one(); // one token, one reader
    ///         Ok(buf.len())
    ///     }
    ///
    ///     fn poll(&self, events: Events, watch: Option<&mut Watch<'_>>) -> Events {
    ///         if let Some(watch) = watch {
    ///             watch.queue(&self.1);
    ///         }
    ///         let empty = self.0.load(Ordering::Relaxed) == 0;
    ///         if empty { Events::empty() } else { events & Events::IN }
    ///     }
    /// }
    /// ```
    pub fn wake_one(&self) {
        // SeqCst: pairs with the fence in `enter`, as in `wake_all`.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let (lookers, one) = {
            let mut list = self.list.lock();
            let woken = (std::mem::take(&mut list.lookers), list.tell_one());
            self.waiting.store(list.len(), Ordering::Relaxed);
            woken
        };
        // Out of the lock: a waker is anybody's code.
        lookers.into_values().chain(one).for_each(ForeignWaker::wake);
    }

    /// Tells the next in the place of one that was told, has left, and has not looked since.
    #[cold]
    pub(super) fn hand_on(&self) {
        let next = {
            let mut list = self.list.lock();
            let next = list.tell_one();
            self.waiting.store(list.len(), Ordering::Relaxed);
            next
        };
        // Out of the lock: a waker is anybody's code.
        next.into_iter().for_each(ForeignWaker::wake);
    }

    /// Whether anyone waits: one plain load. Right only where a lock that the caller holds is also taken by every waiter
    /// when it looks: then either the waiter entered before its look, and is seen here, or it sees the change.
    pub(crate) fn is_watched(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Enters a waiter, one that waits exclusively or one that looks; it is to [`leave`](Self::leave).
    pub(super) fn enter(&self, waker: &Waker, exclusive: bool) -> u64 {
        // Out of the lock: a waker is anybody's code.
        let waker = ForeignWaker::of(waker);
        let key = {
            let mut list = self.list.lock();
            let key = list.next_key;
            list.next_key += 1;
            if exclusive { &mut list.exclusive } else { &mut list.lookers }.insert(key, waker);
            self.waiting.store(list.len(), Ordering::Relaxed);
            key
        };
        // SeqCst: pairs with the fences in `wake_all` and `wake_one`.
        fence(Ordering::SeqCst);
        key
    }

    /// Takes a waiter out. Answers whether it was told alone: then it is to look, or to [`hand_on`](Self::hand_on).
    #[must_use]
    pub(super) fn leave(&self, key: u64) -> bool {
        let mut list = self.list.lock();
        let left = list.lookers.remove(&key).or_else(|| list.exclusive.remove(&key));
        let told = left.is_none() && list.told.remove(&key);
        self.waiting.store(list.len(), Ordering::Relaxed);
        // Out of the lock: a waker's drop is anybody's code.
        drop(list);
        drop(left);
        told
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
