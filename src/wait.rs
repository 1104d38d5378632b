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
    let parker = parker();
    let waker = Waker::from(Arc::clone(&parker));
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
        parker.park(watch.host_fds(), deadline)?;
    }
}

host_local! {
    static PARKER: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
}

/// This thread's parker; a new one where the thread's locals are gone.
fn parker() -> Arc<Parker> {
    let kept = PARKER.try_with(|parker| Arc::clone(parker.borrow_mut().get_or_insert_with(Parker::new)));
    kept.unwrap_or_else(|_| Parker::new())
}
