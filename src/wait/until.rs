//! The one blocking primitive: an attempt is repeated until it succeeds, and its waiter sleeps in between.
//!
//! An attempt is written once, as a poll function: it enters the [`Watch`] in whatever will tell of a change, then looks,
//! and answers `Pending` if there is nothing to do yet. It is driven in one of three ways:
//!
//! - a plain host thread parks, in a `poll(2)` if host descriptors are watched ([`until`]);
//! - a fiber is suspended, and its multiplexer goes on with others ([`until`]);
//! - a future answers `Pending` to whoever polls it ([`Wait`]).
//!
//! Any future is an attempt, too ([`until_ready`]). Whose wait it is, and may be interrupted, the caller says ([`Interruptible`]).

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::errno::{Errno, Result};
use crate::sync::host_local;
#[cfg(not(loom))]
use crate::wait::alone::Alone;
#[cfg(not(loom))]
use crate::wait::driver::{self, Armed, Driver};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::interrupt::Interruptible;
use crate::wait::park::Parker;
#[cfg(not(loom))]
use crate::wait::waker::{ForeignWaker, Wakers, wakers_of};
use crate::wait::watch::{Entries, Watch};

/// Repeats `attempt` until it is ready.
///
/// # Errors
/// `EINTR`: the process was killed. `ETIMEDOUT`: it was not ready by `deadline`. And the attempt's own.
pub(crate) fn until<T>(
    who: impl Interruptible,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Result<T> {
    #[cfg(not(loom))]
    if let Some(result) = suspend_until(who, deadline, &mut attempt) {
        return result;
    }
    park_until(who, deadline, &mut attempt)
}

/// [`until`] for a plain host thread.
fn park_until<T>(
    who: impl Interruptible,
    deadline: Option<Instant>,
    attempt: &mut impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Result<T> {
    let parker = Own::take();
    let waker = Waker::from(Arc::clone(&parker.0));
    let mut watch = Watch::new(&waker);
    loop {
        watch.renew();
        enter_interrupts(who, &mut watch);
        if let Poll::Ready(result) = look(who, &mut watch, deadline, attempt) {
            return result;
        }
        parker.0.park(watch.host_fds(), deadline)?;
    }
}

/// [`until`] for a plain host thread whose attempt is a future.
#[cfg(not(loom))]
fn park_alone<T>(who: impl Interruptible, attempt: &mut impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>) -> Result<T> {
    let alone = Alone::new();
    let parker = Own::take();
    let waker = Waker::from(Arc::clone(&parker.0));
    loop {
        let mut watch = Watch::new(&waker);
        enter_interrupts(who, &mut watch);
        let driving = driver::enter(&alone);
        if let Poll::Ready(result) = look(who, &mut watch, None, attempt) {
            return result;
        }
        drop(driving);
        let (host, first) = alone.waits();
        parker.0.park(&host, first)?;
        alone.wake_due();
    }
}

/// [`until`] for a fiber; `None` where none runs. An attempt is anybody's code: that it comes back in the same fiber, or in
/// any, is not said, where a coroutine within a fiber goes on elsewhere.
#[cfg(not(loom))]
fn suspend_until<T>(
    who: impl Interruptible,
    deadline: Option<Instant>,
    attempt: &mut impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Option<Result<T>> {
    let begin = || {
        driver::fiber(|driver, waker| {
            // Entered once for many waits: that is too dear for each.
            who.interrupts(|interrupts| driver.stay_in(interrupts));
            (waker.clone(), driver.suspended())
        })
    };
    loop {
        let (waker, mut before) = begin()?;
        let mut watch = Watch::with_edges(&waker);
        loop {
            watch.renew();
            if let Poll::Ready(result) = look(who, &mut watch, deadline, attempt) {
                // Before others have a turn, and it may not come back.
                drop(watch);
                if matches!(result, Err(Errno::EINTR)) && who.interrupted() {
                    in_fiber(&waker, |driver| driver.interrupted());
                }
                return Some(result);
            }
            if in_fiber(&waker, |driver| driver.cancelled()) == Some(true) {
                // It does not sleep, and may be suspended for good: it takes nothing any more.
                watch = Watch::with_edges(&waker);
            }
            let slept = in_fiber(&waker, |driver| {
                // A wait within the attempt, in a file's `poll`, may have taken a wake that was meant for this one.
                if driver.suspended() == before {
                    driver.sleep(watch.host_fds(), deadline)?;
                }
                who.interrupts(|interrupts| driver.stay_in(interrupts));
                Ok(driver.suspended())
            });
            match slept {
                Some(Ok(now)) => before = now,
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
    }
}

/// Shows `f` the driver of the fiber that `waker` wakes; `None` where that is not what runs.
#[cfg(not(loom))]
#[inline]
fn in_fiber<R>(waker: &Waker, f: impl FnOnce(&dyn Driver) -> R) -> Option<R> {
    driver::fiber(|driver, fiber| fiber.will_wake(waker).then(|| f(driver))).flatten()
}

/// Enters the waiter in what wakes those whose process is killed.
fn enter_interrupts(who: impl Interruptible, watch: &mut Watch<'_>) {
    let interrupts = who.interrupts(Arc::clone);
    watch.queue(&interrupts);
}

/// One round of a wait: enter first, then look. The waiter is in its process's interrupts.
fn look<T>(
    who: impl Interruptible,
    watch: &mut Watch<'_>,
    deadline: Option<Instant>,
    attempt: &mut impl FnMut(&mut Watch<'_>) -> Poll<Result<T>>,
) -> Poll<Result<T>> {
    let attempted = attempt(watch);
    if !matches!(attempted, Poll::Ready(Err(_))) {
        watch.looked();
    }
    if attempted.is_ready() {
        return attempted;
    }
    // What need not wait is not interrupted: a killed process has its things to put in order.
    if who.interrupted() {
        return Poll::Ready(Err(Errno::EINTR));
    }
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Poll::Ready(Err(Errno::ETIMEDOUT));
    }
    Poll::Pending
}

/// [`until`] for a future, in whose polls what it waits for beside its wakers is watched, too.
///
/// # Errors
/// As there, but for `ETIMEDOUT`.
pub(crate) fn until_ready<F: Future>(who: impl Interruptible, future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    let mut attempt = |watch: &mut Watch<'_>| future.as_mut().poll(&mut Context::from_waker(watch.waker())).map(Ok);
    #[cfg(not(loom))]
    return suspend_until(who, None, &mut attempt).unwrap_or_else(|| park_alone(who, &mut attempt));
    #[cfg(loom)]
    park_until(who, None, &mut attempt)
}

/// [`until`] for a future that wakes whom it keeps waiting, and waits for nothing of the host's. Its polls do not block.
///
/// # Errors
/// `EINTR`: the process was killed. `ETIMEDOUT`: it was not ready by `deadline`.
pub(crate) fn until_woken<F: Future>(
    who: impl Interruptible,
    deadline: Option<Instant>,
    mut future: Pin<&mut F>,
) -> Result<F::Output> {
    #[cfg(not(loom))]
    if let Some(result) = suspend_until_woken(who, deadline, future.as_mut()) {
        return result;
    }
    park_until(who, deadline, &mut |watch| future.as_mut().poll(&mut Context::from_waker(watch.waker())).map(Ok))
}

/// [`until_woken`] for a fiber: as `suspend_until`, with nothing to collect.
#[cfg(not(loom))]
#[inline]
fn suspend_until_woken<F: Future>(
    who: impl Interruptible,
    deadline: Option<Instant>,
    mut future: Pin<&mut F>,
) -> Option<Result<F::Output>> {
    let mut waker = driver::fiber(|_, waker| waker.clone())?;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(Ok(output));
        }
        let slept = in_fiber(&waker, |driver| {
            // Entered before the look whether it was killed; it stays, so that this is done once for many waits.
            who.interrupts(|interrupts| driver.stay_in(interrupts));
            if who.interrupted() {
                driver.interrupted();
                return Err(Errno::EINTR);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Errno::ETIMEDOUT);
            }
            driver.sleep(&[], deadline)
        });
        match slept {
            Some(Ok(())) => {}
            Some(Err(error)) => return Some(Err(error)),
            None => waker = driver::fiber(|_, waker| waker.clone())?,
        }
    }
}

/// [`until`] as a future: it is polled with its lwp current.
///
/// Host descriptors and deadlines are watched by the driver of the host thread that polls it. Where there is none, a wait
/// for one of them is `EOPNOTSUPP`.
///
/// Whatever wakes it stays entered from one poll to the next. Each poll lets the former one's entries go, enters the waker
/// that it is given, and looks only then: a change in between is seen or told. So it may be polled for no reason, with
/// another waker, and on another host thread. Dropped, it has left all.
#[must_use]
pub(crate) struct Wait<I, A> {
    who: I,
    deadline: Option<Instant>,
    attempt: A,
    /// What the last look has entered, as long as that must wake.
    entries: Entries,
    #[cfg(not(loom))]
    armed: Armed,
}

impl<I, A> Wait<I, A> {
    pub(crate) fn new(who: I, deadline: Option<Instant>, attempt: A) -> Self {
        Self {
            who,
            deadline,
            attempt,
            entries: Entries::default(),
            #[cfg(not(loom))]
            armed: Armed::default(),
        }
    }

    /// Has the driver wake `waker` for what no queue tells.
    #[cfg(not(loom))]
    fn arm(&mut self, waker: &Waker, host: &[(Arc<HostFd>, Events)]) -> Result<()> {
        let mut armed = Armed::default();
        let count = host.len() + usize::from(self.deadline.is_some());
        if count != 0 {
            // Off the driver, as what is done with them afterwards: a waker is anybody's code.
            let (mut wakers, mut woken) = (wakers_of(waker, count), Wakers::new());
            driver::with(|driver| {
                let driver = driver.ok_or(Errno::EOPNOTSUPP)?;
                driver.arm(&mut armed, &mut wakers, &mut woken, host, self.deadline)
            })?;
            woken.into_iter().for_each(ForeignWaker::wake);
        }
        // Armed anew before the former is disarmed.
        self.armed = armed;
        Ok(())
    }

    #[cfg(loom)]
    fn arm(&mut self, _: &Waker, host: &[(Arc<HostFd>, Events)]) -> Result<()> {
        if host.is_empty() && self.deadline.is_none() { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }

    /// Leaves all that would wake it.
    fn leave(&mut self) {
        self.entries = Entries::default();
        #[cfg(not(loom))]
        {
            self.armed = Armed::default();
        }
    }
}

impl<I: Interruptible + Unpin, A: Unpin + FnMut(&mut Watch<'_>) -> Poll<Result<T>>, T> Future for Wait<I, A> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let wait = &mut *self;
        let mut watch = watch(cx.waker());
        watch.resume(std::mem::take(&mut wait.entries));
        enter_interrupts(wait.who, &mut watch);
        let looked = look(wait.who, &mut watch, wait.deadline, &mut wait.attempt);
        #[cfg(not(loom))]
        if matches!(looked, Poll::Ready(Err(Errno::EINTR)))
            && wait.who.interrupted()
            && !driver::with(|driver| driver.is_none_or(|driver| driver.interrupted()))
        {
            // Told so in this turn already.
            wait.entries = watch.into_entries();
            return Poll::Pending;
        }
        let waits = if looked.is_pending() { wait.arm(cx.waker(), watch.host_fds()) } else { Ok(()) };
        match (looked, waits) {
            (Poll::Pending, Ok(())) => {
                wait.entries = watch.into_entries();
                Poll::Pending
            }
            (Poll::Pending, Err(error)) => {
                wait.leave();
                Poll::Ready(Err(error))
            }
            (ready, _) => {
                wait.leave();
                ready
            }
        }
    }
}

/// A waiter that the host thread's driver, if there is one, will have woken.
fn watch(waker: &Waker) -> Watch<'_> {
    #[cfg(not(loom))]
    if knows_edges() {
        return Watch::with_edges(waker);
    }
    Watch::new(waker)
}

/// Whether the host thread has a driver that is told of what becomes ready.
pub(crate) fn knows_edges() -> bool {
    #[cfg(not(loom))]
    return driver::with(|driver| driver.is_some_and(Driver::tells_edges));
    #[cfg(loom)]
    false
}

/// Whether what waits here is suspended by a multiplexer, and may be: it was neither killed nor cancelled.
pub(crate) fn may_suspend() -> bool {
    #[cfg(not(loom))]
    return driver::with(|driver| driver.is_some_and(|driver| driver.tells_edges() && !driver.ends()));
    #[cfg(loom)]
    false
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
