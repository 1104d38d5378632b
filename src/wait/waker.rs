//! `ForeignWaker`: a waker that may be anybody's.

use std::mem::ManuallyDrop;
use std::task::Waker;

#[cfg(not(loom))]
use smallvec::SmallVec;

use crate::panics;

/// A waker whose code may panic, which is its own affair: to wake or drop it does not. So whoever makes a change, or takes
/// another's place, goes on, and so do all others who wait.
///
/// It is anybody's code nevertheless, and is woken and dropped off locks and borrows.
#[derive(Debug)]
pub(crate) struct ForeignWaker(ManuallyDrop<Waker>);

/// Few of them.
#[cfg(not(loom))]
pub(crate) type Wakers = SmallVec<[ForeignWaker; 2]>;

/// So many of one waiter's.
#[cfg(not(loom))]
pub(crate) fn wakers_of(waker: &Waker, count: usize) -> Wakers {
    (0..count).map(|_| ForeignWaker::of(waker)).collect()
}

impl ForeignWaker {
    /// A clone of `waker`. If that panics it is the waiter's own wait that does, before anything has come of it.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        Self(ManuallyDrop::new(waker.clone()))
    }

    /// One that does nothing.
    #[cfg(not(loom))]
    pub(crate) fn noop() -> Self {
        Self::of(Waker::noop())
    }

    /// Wakes who waits.
    #[inline]
    pub(crate) fn wake(self) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken out once: `this` is not dropped.
        let waker = unsafe { ManuallyDrop::take(&mut this.0) };
        panics::contain(|| waker.wake());
    }

    /// Whether it wakes the same as `waker`.
    #[inline]
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        self.0.will_wake(waker)
    }
}

impl Drop for ForeignWaker {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: dropped here alone, or taken out by `wake`, which does not come here.
        let waker = unsafe { ManuallyDrop::take(&mut self.0) };
        panics::contain(|| drop(waker));
    }
}
