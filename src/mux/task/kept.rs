//! The references to itself that a task keeps for its next wakers.

use std::cell::Cell;

/// A task's references to itself, for the next wakers that are made on its host thread: what those would count, and count off
/// again, is kept here instead.
///
/// ```text
///       put            put             close
///   0 <─────> 1 <─────> 2     any ──────────> CLOSED
///       take           take
/// ```
///
/// Two, since a fiber that waits has a waker of its own beside the one that is entered.
///
/// For the task's host thread alone. It is closed when the task goes, so that this keeps no task.
#[derive(Debug)]
pub(in crate::mux) struct Kept(Cell<usize>);

/// How many are kept at most.
const MOST: usize = 2;
const CLOSED: usize = usize::MAX;

impl Kept {
    pub(super) fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Keeps a reference, where there is room. Answers whether it does.
    #[inline]
    pub(super) fn put(&self) -> bool {
        let kept = self.0.get();
        let keeps = kept < MOST;
        if keeps {
            self.0.set(kept + 1);
        }
        keeps
    }

    /// Gives a reference that is kept, if one is.
    #[inline]
    pub(super) fn take(&self) -> bool {
        let kept = self.0.get();
        let gives = (1..=MOST).contains(&kept);
        if gives {
            self.0.set(kept - 1);
        }
        gives
    }

    /// Keeps none from now on. Answers how many were kept, which are the caller's now.
    #[inline]
    pub(in crate::mux) fn close(&self) -> usize {
        match self.0.replace(CLOSED) {
            CLOSED => 0,
            kept => kept,
        }
    }
}
