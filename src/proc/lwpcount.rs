//! How many lwps a process has, and whether more may come: one atomic word.
//!
//! ```text
//!             attach / detach                kill                detach of the last, or of the last after kill
//!   Alive ────────────────────> Alive   ─────────> Killed  ─────────────────────────────> Ending ──> Dead
//!     └──────────────────── detach of the last ──────────────────────────────────────────────┘
//! ```
//!
//! In Killed and Ending `attach` answers `EBUSY`, in Dead `ESRCH`. Ending is the time in which the last lwp, still
//! current, closes descriptors and runs exit hooks. Every transition is one read-modify-write, but Ending to Dead, which
//! the one thread that made it Ending does.

use crate::errno::{Errno, Result};
use crate::sync::{AtomicU32, Ordering};

/// The number of lwps in the lowest bits.
const COUNT: u32 = (1 << 30) - 1;
/// Set by `kill`: no more lwps, and no blocking.
const KILLED: u32 = 1 << 30;
/// Set by the last lwp when it begins to take the process down.
const ENDING: u32 = 1 << 31;

/// *Atomic*: a process's lwps. See the module.
#[derive(Debug)]
pub(crate) struct LwpCount(AtomicU32);

/// What a lwp that leaves has to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Detach {
    /// Nothing: others remain.
    Remaining,
    /// It is the last one: it ends the process and says [`LwpCount::dead`].
    Last,
    /// It has left before, and is ending the process right now.
    Ending,
}

impl LwpCount {
    /// A process with one lwp, its maker's.
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(1))
    }

    /// Whether the process was killed or is ending.
    #[inline]
    pub(crate) fn exiting(&self) -> bool {
        // Acquire: pairs with the Release in `kill`.
        self.0.load(Ordering::Acquire) & (KILLED | ENDING) != 0
    }

    /// Whether the last lwp has begun to take the process down.
    pub(crate) fn ending(&self) -> bool {
        // Relaxed: asked by the one who holds the last lwp.
        self.0.load(Ordering::Relaxed) & ENDING != 0
    }

    /// One more lwp.
    ///
    /// # Errors
    /// `ESRCH`: the process is dead. `EBUSY`: it is exiting. `EAGAIN`: it has `limit` lwps.
    pub(crate) fn attach(&self, limit: u32) -> Result<()> {
        let limit = limit.min(COUNT);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & COUNT == 0 {
                return Err(Errno::ESRCH);
            }
            if word & (KILLED | ENDING) != 0 {
                return Err(Errno::EBUSY);
            }
            if word & COUNT >= limit {
                return Err(Errno::EAGAIN);
            }
            // Relaxed: what makes the process visible is the table's publication; the count keeps it alive.
            match self.0.compare_exchange_weak(word, word + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// One lwp less. The last one stays counted until [`dead`](Self::dead).
    pub(crate) fn detach(&self) -> Detach {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (new, outcome) = match word & COUNT {
                _ if word & ENDING != 0 => return Detach::Ending,
                1 => (word | ENDING, Detach::Last),
                _ => (word - 1, Detach::Remaining),
            };
            // Release: what this lwp did in the process comes before the last one's ending it; Acquire: pairs with it.
            match self.0.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return outcome,
                Err(now) => word = now,
            }
        }
    }

    /// Ends the ending: no lwp is left.
    pub(crate) fn dead(&self) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed) & (ENDING | COUNT), ENDING | 1);
        // Relaxed: who sees it is only told that there is nothing to see.
        self.0.store(ENDING, Ordering::Relaxed);
    }

    /// Lets no more lwps come.
    ///
    /// # Errors
    /// `ESRCH`: the process is dead.
    pub(crate) fn kill(&self) -> Result<()> {
        // Release: pairs with the Acquire in `exiting`.
        let old = self.0.fetch_or(KILLED, Ordering::Release);
        if old & COUNT == 0 { Err(Errno::ESRCH) } else { Ok(()) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Detach, LwpCount};
    use crate::errno::Errno;

    #[test]
    fn the_last_to_leave_ends_the_process() {
        let count = LwpCount::new();
        count.attach(u32::MAX).unwrap();
        assert_eq!(count.detach(), Detach::Remaining);
        assert_eq!(count.detach(), Detach::Last);
        assert_eq!(count.detach(), Detach::Ending);
        assert_eq!(count.attach(u32::MAX), Err(Errno::EBUSY));
        count.dead();
        assert_eq!(count.attach(u32::MAX), Err(Errno::ESRCH));
        assert_eq!(count.kill(), Err(Errno::ESRCH));
    }

    #[test]
    fn a_killed_process_takes_no_more_lwps_and_ends_with_its_last() {
        let count = LwpCount::new();
        count.attach(2).unwrap();
        assert_eq!(count.attach(2), Err(Errno::EAGAIN));
        count.kill().unwrap();
        assert!(count.exiting());
        assert_eq!(count.attach(u32::MAX), Err(Errno::EBUSY));
        assert_eq!(count.detach(), Detach::Remaining);
        assert_eq!(count.detach(), Detach::Last);
    }
}
