//! The indices of a table: handed out lowest first, then the one that has rested longest.
//!
//! Fresh indices come first as long as the memory made so far has some; then released ones, oldest first; only when
//! none is left does the table grow. So numbers count up, a released one rests, and the table stays as small as the
//! most that ever lived at once, rounded up to whole segments.

use std::fmt;

use crate::sync::{AtomicU32, Ordering, Queue};

/// Which indices are in use, and how many.
pub(crate) struct Indices {
    /// *Atomic*: how many are out, never above `limit`.
    live: AtomicU32,
    /// *Immutable*: how many may be out at once.
    limit: u32,
    /// *Atomic*: the first index never handed out.
    fresh: AtomicU32,
    /// *Immutable*: how long the table's first segment is.
    first: u32,
    /// *Atomic*: where fresh indices end until the table grows: at the end of a [segment](super::Segments), or at `end`.
    grown: AtomicU32,
    /// *Immutable*: where indices end.
    end: u32,
    free: Queue<u32>,
}

impl Indices {
    /// Indices from 0 to below `end`, the first `first` of them before any is used again, at most `limit` out at once.
    pub(crate) fn new(first: u32, end: u32, limit: u32) -> Self {
        Self {
            live: AtomicU32::new(0),
            limit,
            fresh: AtomicU32::new(0),
            first,
            grown: AtomicU32::new(first),
            end,
            free: Queue::new(),
        }
    }

    /// How many are out.
    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// An index of the caller's own, unless `limit` are out already or no index is left.
    pub(crate) fn acquire(&self) -> Option<u32> {
        // Relaxed, here and below: these are counts. What a holder wrote under an index reaches the next holder
        // through `free`, or through the table's own words.
        let mut live = self.live.load(Ordering::Relaxed);
        loop {
            if live >= self.limit {
                return None;
            }
            match self.live.compare_exchange_weak(live, live + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => live = now,
            }
        }
        let index = self.take();
        if index.is_none() {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
        index
    }

    fn take(&self) -> Option<u32> {
        loop {
            let grown = self.grown.load(Ordering::Relaxed);
            let fresh = self.fresh.load(Ordering::Relaxed);
            if fresh < grown {
                if self.fresh.compare_exchange_weak(fresh, fresh + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    return Some(fresh);
                }
            } else if let Some(index) = self.free.pop() {
                return Some(index);
            } else if grown >= self.end {
                return None;
            } else {
                // One more segment, which is as long as all before it and the first together. An index beyond it would
                // make the next one for nothing.
                let longer = grown.saturating_mul(2).saturating_add(self.first).min(self.end);
                // Another thread may have grown it: then its indices serve both.
                let _ = self.grown.compare_exchange(grown, longer, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Takes back an index; it rests behind all others that are free.
    pub(crate) fn release(&self, index: u32) {
        self.free.push(index);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes an index out of use for good.
    pub(crate) fn retire(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indices").field("live", &self.live()).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Indices;

    #[test]
    fn a_released_index_rests_until_the_fresh_ones_are_gone() {
        let indices = Indices::new(4, 8, 8);
        assert_eq!(indices.acquire(), Some(0));
        indices.release(0);
        assert_eq!([1, 2, 3, 0].map(Some), std::array::from_fn(|_| indices.acquire()));
        assert_eq!(indices.acquire(), Some(4), "grows when none is free");
    }

    #[test]
    fn the_table_grows_by_whole_segments() {
        let indices = Indices::new(2, 100, 100);
        let taken: Vec<u32> = (0..6).filter_map(|_| indices.acquire()).collect();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
        indices.release(3);
        assert_eq!(indices.acquire(), Some(3), "both segments are full, so a third is not made for one index");
        assert_eq!(indices.acquire(), Some(6));
    }

    #[test]
    fn the_limit_is_exact() {
        let indices = Indices::new(2, 8, 3);
        assert_eq!((0..3).filter_map(|_| indices.acquire()).count(), 3);
        assert_eq!(indices.acquire(), None);
        indices.release(1);
        assert!(indices.acquire().is_some());
        assert_eq!((indices.acquire(), indices.live()), (None, 3));
    }

    #[test]
    fn a_retired_index_never_returns() {
        let indices = Indices::new(1, 2, 2);
        indices.acquire().unwrap();
        indices.retire();
        assert_eq!((indices.acquire(), indices.acquire()), (Some(1), None));
        assert_eq!(indices.live(), 1);
    }
}
