//! The result of a fiber or future on its way from the task to the handle.
//!
//! ```text
//!            enter                     finish
//!   EMPTY <────────> WAITING ─────────────────> FINISHED ── take ──> TAKEN
//!     │  (the waker is in its cell)                 ^
//!     └─────────────────── finish ──────────────────┘
//! ```

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::errno::Errno;
use crate::panics;
use crate::sync::{AtomicU32, Ordering};
use crate::wait::waker::ForeignWaker;

const EMPTY: u32 = 0;
const WAITING: u32 = 1;
const FINISHED: u32 = 2;
const TAKEN: u32 = 3;

/// Why there is no result.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It panicked, with this payload.
    #[error("it panicked{}", message(.0))]
    Panicked(Box<dyn Any + Send>),
    /// It was cancelled before it had finished: its multiplexer was dropped, or its process killed.
    #[error("it was cancelled before it had finished")]
    Cancelled,
    /// The process of the one who waits was killed. The handle is as good as before.
    #[error("interrupted")]
    Interrupted,
    /// It had not finished by the deadline. The handle is as good as before.
    #[error("timed out")]
    TimedOut,
    /// The multiplexer had no stack for the fiber.
    #[error("no stack: {0}")]
    NoStack(Errno),
    /// It would have waited for itself.
    #[error("it would wait for itself")]
    Deadlock,
    /// The result was taken before.
    #[error("the result was taken before")]
    Taken,
}

fn message(payload: &Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.map_or_else(String::new, |text| format!(": {text}"))
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What one task leaves and one handle takes.
pub(crate) struct Packet<T> {
    /// *Atomic*: one of the above.
    state: AtomicU32,
    /// *The handle's* in EMPTY, *whoever leaves WAITING's* in WAITING.
    waker: UnsafeCell<Option<ForeignWaker>>,
    /// *The task's* before FINISHED, *the handle's* from then on.
    result: UnsafeCell<Option<Result<T, JoinError>>>,
}

// SAFETY: the cells are handed from one to the other by `state`, as said there; what is in them is `Send`.
unsafe impl<T: Send> Sync for Packet<T> {}

impl<T> Packet<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU32::new(EMPTY), waker: UnsafeCell::new(None), result: UnsafeCell::new(None) })
    }

    /// Leaves the result, and wakes who waits for it.
    ///
    /// # Safety
    /// Only the one task does this, once.
    pub(crate) unsafe fn finish(&self, result: Result<T, JoinError>) {
        // SAFETY: the task's before FINISHED.
        unsafe { *self.result.get() = Some(result) };
        // Release: pairs with the Acquire in `poll`, for the result. Acquire: pairs with the Release there, for the waker.
        if self.state.swap(FINISHED, Ordering::AcqRel) == WAITING {
            // SAFETY: this took it out of WAITING.
            let waker = unsafe { &mut *self.waker.get() }.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Whether there is a result, or was one.
    pub(crate) fn is_finished(&self) -> bool {
        // Acquire: pairs with the Release in `finish`, for who goes on to look at what the task did.
        self.state.load(Ordering::Acquire) >= FINISHED
    }

    /// Takes the result, or leaves `waker` to be woken.
    ///
    /// # Safety
    /// Only the one handle does this, from one host thread at a time.
    pub(crate) unsafe fn poll(&self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        // Acquire: pairs with the Release in `finish`.
        match self.state.load(Ordering::Acquire) {
            TAKEN => return Poll::Ready(Err(JoinError::Taken)),
            FINISHED => return Poll::Ready(self.take()),
            // Acquire: where it fails, pairs with the Release in `finish`.
            WAITING if self.state.compare_exchange(WAITING, EMPTY, Ordering::Relaxed, Ordering::Acquire).is_err() => {
                return Poll::Ready(self.take());
            }
            _ => {}
        }
        let waker = ForeignWaker::of(waker);
        // SAFETY: the handle's in EMPTY.
        let old = unsafe { &mut *self.waker.get() }.replace(waker);
        // Release: pairs with the Acquire in `finish`, for the waker. Acquire: pairs with the Release there.
        let entered = self.state.compare_exchange(EMPTY, WAITING, Ordering::Release, Ordering::Acquire);
        // Its drop is anybody's code.
        drop(old);
        match entered {
            Ok(_) => Poll::Pending,
            Err(_) => Poll::Ready(self.take()),
        }
    }

    /// Takes the result. The handle's part, in FINISHED.
    fn take(&self) -> Result<T, JoinError> {
        // Relaxed: only the handle looks at it from now on.
        self.state.store(TAKEN, Ordering::Relaxed);
        // SAFETY: the handle's from FINISHED on, which the caller saw with Acquire.
        unsafe { &mut *self.result.get() }.take().unwrap_or(Err(JoinError::Taken))
    }
}

/// A result that nobody took is dropped by whoever comes last, the task or its handle, for neither of which it may panic.
impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        if let Some(result) = self.result.get_mut().take()
            && std::mem::needs_drop::<T>() | result.is_err()
        {
            panics::contain(|| drop(result));
        }
    }
}
