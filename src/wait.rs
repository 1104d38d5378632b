//! The one blocking primitive: an attempt is repeated until it succeeds, and its waiter sleeps in between.
//!
//! An attempt is written once, as a poll function: it enters the [`Watch`] in whatever will tell of a change, then looks,
//! and answers `Pending` if there is nothing to do yet. Here a plain host thread drives it: it parks, in a `poll(2)` if
//! host descriptors are watched.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::errno::{Errno, Result};
use crate::implicit::current;
use crate::park::Parker;
use crate::sync::host_local;
use crate::watch::Watch;

/// Repeats `attempt` until it is ready.
///
/// # Errors
/// `EINTR`: the process was killed. `ETIMEDOUT`: it was not ready by `deadline`. And the attempt's own.
pub(crate) fn until<T>(
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Result<T> {
    let parker = Own::take();
    let waker = Waker::from(Arc::clone(&parker.0));
    loop {
        let mut watch = Watch::new(&waker);
        // Enter first, then look, here as everywhere.
        let interrupts = current(|current| Arc::clone(current.proc().interrupts()));
        watch.queue(&interrupts);
        if current(|current| current.proc().lwps.exiting()) {
            return Err(Errno::EINTR);
        }
        if let Poll::Ready(result) = attempt(&mut watch) {
            return result;
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Errno::ETIMEDOUT);
        }
        parker.0.park(watch.host_fds(), deadline)?;
    }
}

host_local! {
    static PARKER: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
}

/// A parker of one wait's own: the one that the thread keeps, or a new one where that is in use or gone. A wait can come
/// in the midst of another, in a file's `poll`; sharing a parker, it would consume the other's wakes.
struct Own(Arc<Parker>);

impl Own {
    fn take() -> Self {
        let kept = PARKER.try_with(|parker| parker.borrow_mut().take());
        Self(kept.ok().flatten().unwrap_or_else(Parker::new))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A thread that panics keeps none: its next wait makes a new one.
        if std::thread::panicking() {
            return;
        }
        // Where the thread's locals are gone there is nothing to keep it for.
        let _ = PARKER.try_with(|parker| *parker.borrow_mut() = Some(Arc::clone(&self.0)));
    }
}
