//! What a multiplexer shows of its turns to a watchdog on another host thread: stores for the one, two looks for the other.
//!
//! The number is odd in a turn and even between, and never the same again. A look that finds it the same before and after has
//! seen what belongs to that turn.

use crate::sync::{AtomicU64, Ordering, fence};

/// See the module.
#[derive(Debug)]
pub(crate) struct Shown {
    /// *The multiplexer writes, the watchdog reads.*
    number: AtomicU64,
    /// *As above*: the lwp that the turn's task was spawned with, 0 for none.
    lwp: AtomicU64,
}

impl Shown {
    pub(crate) fn new() -> Self {
        Self { number: AtomicU64::new(0), lwp: AtomicU64::new(0) }
    }

    /// The turn of that number begins, of a task that was spawned with `lwp`.
    #[inline]
    pub(crate) fn begin(&self, turn: u64, lwp: u64) {
        // Release: pairs with the Acquire fence in `look`: who sees this turn's lwp sees that the turn before is over.
        fence(Ordering::Release);
        self.lwp.store(lwp, Ordering::Relaxed);
        // Release: pairs with the Acquire in `look`, for those who go on to look at the lwp.
        self.number.store(turn.wrapping_mul(2).wrapping_add(1), Ordering::Release);
    }

    /// It is over.
    #[inline]
    pub(crate) fn end(&self, turn: u64) {
        // Relaxed: what is seen too late is asked for once more.
        self.number.store(turn.wrapping_mul(2).wrapping_add(2), Ordering::Relaxed);
    }

    /// The turn that there is, and its lwp.
    pub(crate) fn look(&self) -> Option<(u64, u64)> {
        // Acquire: pairs with the Release in `begin`.
        let number = self.number.load(Ordering::Acquire);
        let lwp = self.lwp.load(Ordering::Relaxed);
        // Acquire: pairs with the Release fence in `begin`.
        fence(Ordering::Acquire);
        let same = number % 2 == 1 && self.number.load(Ordering::Relaxed) == number;
        same.then_some((number / 2, lwp))
    }
}
