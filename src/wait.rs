//! The one blocking primitive: an attempt is repeated until it succeeds, and its waiter sleeps in between.
//!
//! An attempt is written once, as a poll function: it enters the [`Watch`] in whatever will tell of a change, then looks,
//! and answers `Pending` if there is nothing to do yet. It is driven in one of three ways:
//!
//! - a plain host thread parks, in a `poll(2)` if host descriptors are watched ([`until`]);
//! - a fiber is suspended, and its multiplexer goes on with others ([`until`]);
//! - a future answers `Pending` to whoever polls it ([`Wait`]).

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

#[cfg(not(loom))]
use crate::driver::{self, Armed, Driver};
use crate::errno::{Errno, Result};
use crate::implicit::current;
use crate::park::Parker;
use crate::sync::host_local;
#[cfg(not(loom))]
use crate::watch::Entries;
use crate::watch::Watch;

/// Repeats `attempt` until it is ready.
///
/// # Errors
/// `EINTR`: the process was killed. `ETIMEDOUT`: it was not ready by `deadline`. And the attempt's own.
pub(crate) fn until<T>(
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Result<T> {
    #[cfg(not(loom))]
    if let Some(result) = driver::with(|driver| {
        let driver = driver?;
        Some(suspend_until(driver, driver.fiber()?, deadline, &mut attempt))
    }) {
        return result;
    }
    park_until(deadline, &mut attempt)
}

/// [`until`] for a plain host thread.
fn park_until<T>(deadline: Option<Instant>, attempt: &mut impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>) -> Result<T> {
    let parker = Own::take();
    let waker = Waker::from(Arc::clone(&parker.0));
    loop {
        let mut watch = Watch::new(&waker);
        enter_interrupts(&mut watch);
        if let Poll::Ready(result) = look(&mut watch, deadline, attempt) {
            return result;
        }
        parker.0.park(watch.host_fds(), deadline)?;
    }
}

/// [`until`] for a fiber.
#[cfg(not(loom))]
fn suspend_until<T>(
    driver: &dyn Driver,
    waker: &Waker,
    deadline: Option<Instant>,
    attempt: &mut impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Result<T> {
    loop {
        // Entered once for many waits: that is too dear for each.
        let interrupts = current(|current| {
            let interrupts = current.proc().interrupts();
            (!driver.is_in(interrupts)).then(|| Arc::clone(interrupts))
        });
        if let Some(interrupts) = interrupts {
            driver.enter(&interrupts);
        }
        let before = driver.suspended();
        let mut watch = Watch::with_edges(waker);
        if let Poll::Ready(result) = look(&mut watch, deadline, attempt) {
            return result;
        }
        // A wait within the attempt, in a file's `poll`, may have taken a wake that was meant for this one.
        if driver.suspended() == before {
            driver.sleep(watch.host_fds(), deadline)?;
        }
    }
}

/// Enters the waiter in what wakes those whose process is killed.
fn enter_interrupts(watch: &mut Watch<'_>) {
    let interrupts = current(|current| Arc::clone(current.proc().interrupts()));
    watch.queue(&interrupts);
}

/// One round of a wait: enter first, then look. The waiter is in its process's interrupts.
fn look<T>(
    watch: &mut Watch<'_>,
    deadline: Option<Instant>,
    attempt: &mut impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Poll<Result<T>> {
    if current(|current| current.proc().lwps.exiting()) {
        return Poll::Ready(Err(Errno::EINTR));
    }
    if let Poll::Ready(result) = attempt(watch) {
        return Poll::Ready(result);
    }
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Poll::Ready(Err(Errno::ETIMEDOUT));
    }
    Poll::Pending
}

/// Waits for `future` as [`until`] does for an attempt.
///
/// # Errors
/// `EINTR`: the process was killed. `ETIMEDOUT`: it was not ready by `deadline`.
pub(crate) fn block_on<F: Future>(deadline: Option<Instant>, future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    until(deadline, |watch| future.as_mut().poll(&mut Context::from_waker(watch.waker())).map(Ok))
}

/// [`until`] as a future: it is polled with its lwp current.
///
/// Host descriptors and deadlines are watched by the multiplexer that polls it. Where there is none, a wait for one of
/// them is `EOPNOTSUPP`.
#[cfg(not(loom))]
#[must_use]
pub(crate) struct Wait<A> {
    deadline: Option<Instant>,
    attempt: A,
    /// What the last look has entered, as long as that must wake.
    entries: Entries,
    armed: Armed,
}

#[cfg(not(loom))]
impl<A> Wait<A> {
    pub(crate) fn new(deadline: Option<Instant>, attempt: A) -> Self {
        Self { deadline, attempt, entries: Entries::default(), armed: Armed::default() }
    }
}

#[cfg(not(loom))]
impl<A: Unpin + FnMut(&mut Watch<'_>) -> Poll<Result<T>>, T> Future for Wait<A> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let wait = &mut *self;
        let mut watch = Watch::with_edges(cx.waker());
        enter_interrupts(&mut watch);
        let looked = look(&mut watch, wait.deadline, &mut wait.attempt);
        let armed = match looked {
            Poll::Ready(_) => Armed::default(),
            Poll::Pending if watch.host_fds().is_empty() && wait.deadline.is_none() => Armed::default(),
            Poll::Pending => match driver::with(|driver| match driver {
                Some(driver) => driver.arm(cx.waker(), watch.host_fds(), wait.deadline),
                None => Err(Errno::EOPNOTSUPP),
            }) {
                Ok(armed) => armed,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        // Entered anew before the former look's entries go.
        wait.armed = armed;
        wait.entries = if looked.is_ready() { Entries::default() } else { watch.into_entries() };
        looked
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
