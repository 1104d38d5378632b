//! What a task runs: a function or a future of the embedder's, and then the discharge.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::charge::Charge;
use crate::mux::stack::{Fiber, Stack};
use crate::mux::task::queue::running;
use crate::mux::task::{Birth, Body, FiberKind, Owed, Task};
use crate::panics;

/// A function with captures of more bytes is allocated: on its way to where it runs it is moved a few times, on a stack that is
/// not large.
const LARGE: usize = 1 << 10;

/// What is made a task of for a future.
pub(in crate::mux) fn future<F: Future + 'static>(mut charge: Charge<F::Output>, future: F) -> Birth {
    let (slot, handle) = charge.begin();
    let packet = Arc::as_ptr(charge.packet()).cast();
    let future = Box::pin(Charged { future: Some(future), charge: Some(charge) });
    let ahead = ptr::from_ref(&*future).cast();
    Birth { body: Body::Future(future), slot, handle, packet, ahead }
}

/// What is made a task of for a function, as a fiber of that kind on `stack`.
pub(in crate::mux) fn fiber<T: 'static>(
    stack: Stack,
    mut charge: Charge<T>,
    f: impl FnOnce() -> T + 'static,
    kind: FiberKind,
) -> Birth {
    let (slot, handle) = charge.begin();
    let packet = Arc::as_ptr(charge.packet()).cast();
    let fiber = if size_of_val(&f) > LARGE {
        let f: Box<dyn FnOnce() -> T> = Box::new(f);
        begun(stack, charge, f)
    } else {
        begun(stack, charge, f)
    };
    let ahead = fiber.ahead();
    Birth { body: kind(fiber), slot, handle, packet, ahead }
}

#[inline]
fn begun<T: 'static>(stack: Stack, charge: Charge<T>, f: impl FnOnce() -> T + 'static) -> Fiber {
    let begun = Begun { f, charge };
    Fiber::new(stack, move || begun.run())
}

/// What a fiber runs. Dropped before it ran, `f` goes first.
struct Begun<F, T> {
    f: F,
    charge: Charge<T>,
}

impl<T, F: FnOnce() -> T> Begun<F, T> {
    fn run(self) {
        let Self { f, charge } = self;
        let mut charge = Some(charge);
        let owing = &raw mut charge;
        // SAFETY: it is there until this returns, and used here only as long as this goes on.
        let owed = unsafe { Owed::new(owing.cast(), cancel::<T>) };
        let task: *const Task = running(|task| task.map_or(ptr::null(), ptr::from_ref));
        // SAFETY: a fiber runs in the turns of one task, which is there as long.
        let Some(task) = (unsafe { task.as_ref() }) else { return };
        task.rare.owed.set(Some(owed));
        let result = catch_unwind(AssertUnwindSafe(f));
        let cancelled = task.ending.get().is_cancelled();
        // SAFETY: this goes on.
        if let Some(charge) = unsafe { &mut *owing } {
            if cancelled {
                // Taken by those who want it no more: what it was unwound with, most often.
                panics::contain(|| drop(result));
            } else {
                charge.discharge(result);
            }
        }
        task.rare.owed.set(None);
        // SAFETY: as above.
        drop(unsafe { &mut *owing }.take());
    }
}

/// # Safety
/// `charge` is an `Option<Charge<T>>` of nobody who goes on.
unsafe fn cancel<T>(charge: *mut ()) {
    // SAFETY: the caller's.
    drop(unsafe { &mut *charge.cast::<Option<Charge<T>>>() }.take());
}

pin_project! {
    /// A future that discharges its task when it has finished. Dropped before, the inner one goes first.
    struct Charged<F: Future> {
        #[pin]
        future: Option<F>,
        charge: Option<Charge<F::Output>>,
    }
}

impl<F: Future> Future for Charged<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| match this.future.as_mut().as_pin_mut() {
            Some(future) => {
                let value = ready!(future.poll(cx));
                this.future.set(None);
                Poll::Ready(Some(value))
            }
            None => Poll::Ready(None),
        }));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(None)) => return Poll::Ready(()),
            Ok(Poll::Ready(Some(value))) => Ok(value),
            Err(panic) => {
                // What is left of it, in spite of another panic.
                panics::contain(|| this.future.set(None));
                Err(panic)
            }
        };
        if let Some(mut charge) = this.charge.take() {
            charge.discharge(result);
        }
        Poll::Ready(())
    }
}
