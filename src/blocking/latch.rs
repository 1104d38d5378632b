//! The lock under which the state of a mutex, condition or channel changes: held for a few dozen instructions, which run
//! nobody else's code, and never while anything waits.
//!
//! So short a lock need not put anyone to sleep, and that is its gain: taken by one exchange, it is let go by a plain
//! store, where one that has sleepers to look for needs another exchange. What is put in the word by that store tells
//! others at a glance whether taking it is of any use.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use crate::sync::{AtomicU32, Ordering, thread};

/// Somebody holds it.
const LATCHED: u32 = 1;
/// How often a thread looks again, each time later, before it lets others run. Under loom nothing comes of looking.
const LOOKS: u32 = if cfg!(loom) { 0 } else { 6 };

/// What of a state is to be seen without its latch.
pub(super) trait Glance {
    /// Any bits but the lowest.
    fn glance(&self) -> u32;
}

/// A state and its latch.
///
/// ```text
///   glance ── latch ──> glance + LATCHED ── let go ──> new glance
/// ```
pub(super) struct Latch<S: Glance> {
    /// *Atomic*: LATCHED, and what the state showed when it was last let go.
    word: AtomicU32,
    /// *Whose holds the latch.*
    state: UnsafeCell<S>,
}

// SAFETY: the state is used by one thread at a time, the one that holds the latch.
unsafe impl<S: Glance + Send> Sync for Latch<S> {}

impl<S: Glance> Latch<S> {
    pub(super) fn new(state: S) -> Self {
        Self { word: AtomicU32::new(state.glance()), state: UnsafeCell::new(state) }
    }

    /// What the state showed when the latch was last let go. By the time of the answer it may have changed.
    #[inline]
    pub(super) fn glance(&self) -> u32 {
        // Relaxed: whoever then uses the state takes the latch.
        self.word.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn latch(&self) -> Latched<'_, S> {
        if let Err(seen) = self.try_latch(self.glance()) {
            self.contend(seen);
        }
        Latched(self)
    }

    /// Takes the latch, unless the word is another than was `seen` last, or somebody has it: then the word now.
    #[inline(always)]
    fn try_latch(&self, seen: u32) -> Result<u32, u32> {
        let free = seen & !LATCHED;
        // Acquire: pairs with the Release in `Latched::drop`.
        self.word.compare_exchange(free, free | LATCHED, Ordering::Acquire, Ordering::Relaxed)
    }

    #[cold]
    fn contend(&self, mut seen: u32) {
        let mut looks = 0;
        loop {
            if seen & LATCHED == 0 {
                match self.try_latch(seen) {
                    Ok(_) => return,
                    Err(now) => seen = now,
                }
                continue;
            }
            if looks < LOOKS {
                (0..1 << looks).for_each(|_| std::hint::spin_loop());
                looks += 1;
            } else {
                // Its holder may wait for a cpu.
                thread::yield_now();
            }
            // A look leaves the word with its holder's cpu. Loom's may never see it change, but an exchange does.
            seen = if cfg!(loom) { seen & !LATCHED } else { self.glance() };
        }
    }
}

/// A latch held.
pub(super) struct Latched<'l, S: Glance>(&'l Latch<S>);

impl<S: Glance> Deref for Latched<'_, S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        // SAFETY: this holds the latch.
        unsafe { &*self.0.state.get() }
    }
}

impl<S: Glance> DerefMut for Latched<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: this holds the latch, and is borrowed mutably.
        unsafe { &mut *self.0.state.get() }
    }
}

impl<S: Glance> Drop for Latched<'_, S> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `try_latch`.
        self.0.word.store(self.glance() & !LATCHED, Ordering::Release);
    }
}
