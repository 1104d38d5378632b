//! What fibers and futures ask of the multiplexer that runs them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::scheduler;
use super::spawn::{JoinHandle, SpawnError, SpawnErrorKind};
use super::task::Body;
use crate::context::Curproc;
use crate::errno::{Errno, Result};
use crate::lwproc::Lwp;
use crate::wait::watch::Watch;
use crate::wait::{Wait, turn};

/// Lets others go first: in a fiber the other tasks that are ready, on a plain host thread whoever the host picks.
///
/// A fiber that neither yields nor blocks keeps its multiplexer from all others; [`Kernel::ps`](crate::Kernel::ps) shows
/// its process as running, with switches that stand still.
///
/// Source: sched_yield, POSIX.1-2024.
#[inline]
pub fn yield_now() {
    let yielded = scheduler::with(|scheduler| {
        let Some(scheduler) = scheduler else { return false };
        let Some(task) = scheduler.queue.fiber() else { return false };
        scheduler.yield_fiber(task);
        true
    });
    if !yielded {
        std::thread::yield_now();
    }
}

/// Whether a multiplexer runs on the calling host thread.
#[cfg(feature = "capi")]
pub(crate) fn runs_here() -> bool {
    scheduler::with(|scheduler| scheduler.is_some())
}

/// Lets others go first, in a future: it is ready when it is polled for the second time, and wakes itself at the first.
#[inline]
pub fn yield_turn() -> impl Future<Output = ()> + Send {
    let mut yielded = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Sleeps for `time`, in a future of a multiplexer; fibers have [`sys::nanosleep`](crate::sys::nanosleep).
///
/// # Errors
/// `EINTR`: the process was killed. `EOPNOTSUPP`: no multiplexer polls it.
///
/// ```
/// use std::time::Duration;
/// use lwproc::{Errno, Kernel, Mux, mux};
///
/// let mut mux = Mux::new(&Kernel::new()?)?;
/// let slept = mux.run_until(async {
///     mux::sleep(Duration::from_millis(1)).await?;
///     mux::timeout(Duration::from_millis(1), mux::sleep(Duration::from_secs(3600))).await?
/// })?;
/// assert_eq!(slept, Some(Err(Errno::ETIMEDOUT)));
/// # Ok::<(), Errno>(())
/// ```
pub async fn sleep(time: Duration) -> Result<()> {
    turn::spend_async().await;
    match Wait::new(Curproc, after(time), |_: &mut Watch<'_>| Poll::<Result<()>>::Pending).await {
        Err(Errno::ETIMEDOUT) => Ok(()),
        done => done,
    }
}

/// Waits for `future`, for `time` at most.
///
/// # Errors
/// `ETIMEDOUT`: it was not ready by then. And as for [`sleep`]. The future is dropped.
pub async fn timeout<F: Future>(time: Duration, future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    // One that was refused for others' sake would be so again and again, and this told each time that it took too long.
    turn::heed().await;
    let poll = |watch: &mut Watch<'_>| future.as_mut().poll(&mut Context::from_waker(watch.waker())).map(Ok);
    Wait::new(Curproc, after(time), poll).await
}

/// A time that no clock reaches is as good as for ever.
fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

/// Spawns a future on the multiplexer that runs the caller; see [`Mux::spawn`](super::Mux::spawn).
///
/// # Errors
/// As there, and [`SpawnErrorKind::NoMux`] where none runs on this host thread.
pub fn spawn<F: Future + 'static>(lwp: Lwp, future: F) -> std::result::Result<JoinHandle<F::Output>, SpawnError> {
    scheduler::with(|scheduler| match scheduler {
        Some(scheduler) => scheduler.spawn(lwp, future),
        None => Err(SpawnError { lwp, kind: SpawnErrorKind::NoMux }),
    })
}

/// Spawns a fiber on the multiplexer that runs the caller; see [`Mux::spawn_fiber`](super::Mux::spawn_fiber).
///
/// # Errors
/// As there, and [`SpawnErrorKind::NoMux`] where none runs on this host thread.
pub fn spawn_fiber<T: 'static>(
    lwp: Lwp,
    f: impl FnOnce() -> T + 'static,
) -> std::result::Result<JoinHandle<T>, SpawnError> {
    scheduler::with(|scheduler| match scheduler {
        Some(scheduler) => scheduler.spawn_fiber(lwp, f, Body::Fiber),
        None => Err(SpawnError { lwp, kind: SpawnErrorKind::NoMux }),
    })
}
