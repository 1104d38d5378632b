//! Those who wait for a mutex, condition or channel, in the order in which they came.
//!
//! A waiter lies in the future that waits, and is linked to its neighbours; a wait allocates nothing. Whoever has what
//! it waits for puts that into the waiter, takes it out of the line and wakes it: nobody can come in between, and the
//! woken one needs no latch.
//!
//! ```text
//!            enter                settle
//!   IDLE ─────────────> WAITING ──────────> SETTLED
//!    ^ ^                   │                   │
//!    │ └────── leave ──────┘                   │
//!    └──────────── the waiter has seen it ─────┘
//! ```

use std::cell::UnsafeCell;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::latch::{Glance, Latch};
use crate::sync::{AtomicU32, Ordering};
use crate::wait::waker::ForeignWaker;

const IDLE: u32 = 0;
const WAITING: u32 = 1;
const SETTLED: u32 = 2;

/// A line of waiters. It is part of what a latch guards.
pub(super) struct Waiters<P> {
    first: *const Waiter<P>,
    last: *const Waiter<P>,
}

// SAFETY: what is linked is used under the latch alone, from any thread.
unsafe impl<P: Send> Send for Waiters<P> {}

/// One that waits, with what it gives or gets.
struct Waiter<P> {
    /// *Atomic*: one of the above.
    state: AtomicU32,
    /// *Whose holds the latch* in WAITING, *its owner's* otherwise.
    inner: UnsafeCell<Inner<P>>,
    _pinned: PhantomPinned,
}

struct Inner<P> {
    parcel: P,
    /// In WAITING; else there is nothing.
    place: MaybeUninit<Place<P>>,
}

/// A place in the line, and what wakes who has it.
struct Place<P> {
    waker: ForeignWaker,
    before: *const Waiter<P>,
    after: *const Waiter<P>,
}

// SAFETY: its owner and whoever holds the latch hand it to each other by `state`.
unsafe impl<P: Send> Send for Waiter<P> {}
// SAFETY: as above; by a shared reference nothing can be done to it.
unsafe impl<P: Send> Sync for Waiter<P> {}

impl<P> Waiters<P> {
    pub(super) fn new() -> Self {
        Self { first: ptr::null(), last: ptr::null() }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Shows what the first one brought.
    pub(super) fn first(&self) -> Option<&P> {
        // SAFETY: what is in line waits, and this is under its latch.
        unsafe { self.first.as_ref().map(|first| &(*first.inner.get()).parcel) }
    }

    /// Takes the first one out of the line, when `settle` has put into it or taken from it what it waits for. The waker
    /// is to be woken when the latch is let go.
    #[inline]
    pub(super) fn settle_first<R>(&mut self, settle: impl FnOnce(&mut P) -> R) -> Option<(R, ForeignWaker)> {
        // SAFETY: what is in line lives.
        let first = unsafe { self.first.as_ref() }?;
        // SAFETY: what is in line waits, and this is under its latch. The reference ends with the call.
        let settled = settle(unsafe { &mut (*first.inner.get()).parcel });
        // SAFETY: as above.
        let waker = unsafe { self.take_out(first) };
        // Release: pairs with the Acquire in `Wait::poll` and `Wait::leave`. From here on it may be gone.
        first.state.store(SETTLED, Ordering::Release);
        Some((settled, waker))
    }

    /// Puts `waiter` at the end of the line.
    ///
    /// # Safety
    /// It is idle and the caller's own, stays where it is, and leaves this line before it goes.
    #[inline]
    unsafe fn enter(&mut self, waiter: &Waiter<P>, waker: ForeignWaker) {
        let place = Place { waker, before: self.last, after: ptr::null() };
        // SAFETY: the owner's in IDLE.
        unsafe { &mut *waiter.inner.get() }.place.write(place);
        // Relaxed: others see it when they have the latch.
        waiter.state.store(WAITING, Ordering::Relaxed);
        // SAFETY: what is in line waits, and this is under its latch.
        match unsafe { self.last.as_ref().map(|last| last.place()) } {
            Some(last) => last.after = waiter,
            None => self.first = waiter,
        }
        self.last = waiter;
    }

    /// Takes `waiter` out of the line. Its state is to be changed by the caller.
    ///
    /// # Safety
    /// It waits in this line, and this is under its latch.
    #[inline]
    unsafe fn take_out(&mut self, waiter: &Waiter<P>) -> ForeignWaker {
        // SAFETY: it waits, so there is a place, and nobody reads it after this.
        let Place { waker, before, after } = unsafe { (*waiter.inner.get()).place.assume_init_read() };
        // SAFETY: neighbours wait as well.
        match unsafe { before.as_ref().map(|before| before.place()) } {
            Some(before) => before.after = after,
            None => self.first = after,
        }
        // SAFETY: as above.
        match unsafe { after.as_ref().map(|after| after.place()) } {
            Some(after) => after.before = before,
            None => self.last = before,
        }
        waker
    }
}

impl<P> Waiter<P> {
    /// # Safety
    /// It waits, and this is under its latch. The reference does not last.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the latch is held, and the reference does not last")]
    unsafe fn place(&self) -> &mut Place<P> {
        // SAFETY: in WAITING there is a place, which is whose holds the latch.
        unsafe { (*self.inner.get()).place.assume_init_mut() }
    }
}

/// A state that has a line of waiters with `P`.
pub(super) trait Line<P>: Glance {
    fn line(&mut self) -> &mut Waiters<P>;
}

pin_project! {
    /// A wait in a line of what `latch` guards. Dropped, it has left the line.
    pub(super) struct Wait<'l, S: Line<P>, P> {
        latch: &'l Latch<S>,
        #[pin]
        waiter: Waiter<P>,
    }

    impl<S: Line<P>, P> PinnedDrop for Wait<'_, S, P> {
        fn drop(this: Pin<&mut Self>) {
            this.leave();
        }
    }
}

impl<'l, S: Line<P>, P> Wait<'l, S, P> {
    pub(super) fn new(latch: &'l Latch<S>, parcel: P) -> Self {
        let inner = UnsafeCell::new(Inner { parcel, place: MaybeUninit::uninit() });
        let waiter = Waiter { state: AtomicU32::new(IDLE), inner, _pinned: PhantomPinned };
        Self { latch, waiter }
    }

    pub(super) fn latch(&self) -> &'l Latch<S> {
        self.latch
    }

    /// Waits: ready with what `attempt` finds at the first poll, or with `None` once it is settled. `hopeless` says that
    /// the attempt will hardly find anything.
    ///
    /// When it was ready, it may be polled to wait anew.
    #[inline]
    pub(super) fn poll<R>(
        self: Pin<&mut Self>,
        cx: &Context<'_>,
        hopeless: bool,
        mut attempt: impl FnMut(&mut S, &mut P) -> Option<R>,
    ) -> Poll<Option<R>> {
        // Acquire: pairs with the Release in `settle_first`.
        match self.waiter.state.load(Ordering::Acquire) {
            SETTLED => {
                // Relaxed: out of the line, it is seen by its owner alone.
                self.waiter.state.store(IDLE, Ordering::Relaxed);
                return Poll::Ready(None);
            }
            WAITING => return self.poll_again(cx),
            _ => {}
        }
        // Off the latch: a waker is anybody's code.
        let mut waker = hopeless.then(|| ForeignWaker::of(cx.waker()));
        loop {
            let mut state = self.latch.latch();
            // SAFETY: the owner's in IDLE.
            let parcel = unsafe { &mut (*self.waiter.inner.get()).parcel };
            if let Some(found) = attempt(&mut state, parcel) {
                return Poll::Ready(Some(found));
            }
            if let Some(waker) = waker.take() {
                // SAFETY: it is idle and pinned, and `leave` is called by the drop.
                unsafe { state.line().enter(&self.waiter, waker) };
                return Poll::Pending;
            }
            drop(state);
            waker = Some(ForeignWaker::of(cx.waker()));
        }
    }

    /// Polled in line: only the waker may have to be another.
    #[cold]
    fn poll_again<R>(self: Pin<&mut Self>, cx: &Context<'_>) -> Poll<Option<R>> {
        // Off the latch, as is the drop of the old one: a waker is anybody's code.
        let mut waker = ForeignWaker::of(cx.waker());
        let state = self.latch.latch();
        // Relaxed: under the latch, which ordered it.
        if self.waiter.state.load(Ordering::Relaxed) == WAITING {
            // SAFETY: it waits, and this holds the latch.
            let kept = &mut unsafe { self.waiter.place() }.waker;
            if !kept.will_wake(cx.waker()) {
                std::mem::swap(kept, &mut waker);
            }
            return Poll::Pending;
        }
        drop(state);
        // Relaxed: out of the line, it is seen by its owner alone.
        self.waiter.state.store(IDLE, Ordering::Relaxed);
        Poll::Ready(None)
    }

    /// Leaves the line. Answers whether it was settled and has not seen it, and its parcel.
    #[inline]
    pub(super) fn leave(self: Pin<&mut Self>) -> (bool, &mut P) {
        let this = self.project();
        let waiter = this.waiter.into_ref().get_ref();
        // Acquire: pairs with the Release in `settle_first`.
        let state = waiter.state.load(Ordering::Acquire);
        let settled = state != IDLE && (state == SETTLED || Self::leave_line(this.latch, waiter));
        if state != IDLE {
            // Relaxed: out of the line, it is seen by its owner alone.
            waiter.state.store(IDLE, Ordering::Relaxed);
        }
        // SAFETY: the owner's in IDLE, and the owner is borrowed mutably.
        (settled, unsafe { &mut (*waiter.inner.get()).parcel })
    }

    /// Takes a waiter that has been seen to wait out of the line, unless it has been settled: then `true`.
    #[cold]
    fn leave_line(latch: &Latch<S>, waiter: &Waiter<P>) -> bool {
        let mut state = latch.latch();
        // Relaxed: under the latch, which ordered it.
        if waiter.state.load(Ordering::Relaxed) == SETTLED {
            return true;
        }
        // SAFETY: it waits, and this holds the latch.
        let waker = unsafe { state.line().take_out(waiter) };
        drop(state);
        // Off the latch: its drop is anybody's code.
        drop(waker);
        false
    }
}
