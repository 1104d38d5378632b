//! What fibers and futures ask of the multiplexer that runs them.

use std::future::{Future, poll_fn};
use std::task::Poll;

use super::join::JoinHandle;
use super::local;
use super::spawn::{SpawnError, SpawnErrorKind};
use crate::lwproc::Lwp;

/// Lets others go first: in a fiber the other tasks that are ready, on a plain host thread whoever the host picks.
///
/// A fiber that neither yields nor blocks keeps its multiplexer from all others; [`Kernel::ps`](crate::Kernel::ps) shows
/// its process as running, with switches that stand still.
///
/// Source: sched_yield, POSIX.1-2024.
#[inline]
pub fn yield_now() {
    let yielded = local::with(|local| {
        let Some(local) = local else { return false };
        let Some(task) = local.running().filter(|task| !task.yielder.get().is_null()) else { return false };
        // Others' code must not run in the midst of this one's unwinding.
        if !std::thread::panicking() {
            local.make_ready(task);
            task.suspend();
        }
        true
    });
    if !yielded {
        std::thread::yield_now();
    }
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

/// Spawns a future on the multiplexer that runs the caller; see [`Mux::spawn`](super::Mux::spawn).
///
/// # Errors
/// As there, and [`SpawnErrorKind::NoMux`] where none runs on this host thread.
pub fn spawn<F: Future + 'static>(lwp: Lwp, future: F) -> Result<JoinHandle<F::Output>, SpawnError> {
    local::with(|local| match local {
        Some(local) => local.spawn(lwp, future),
        None => Err(SpawnError { lwp, kind: SpawnErrorKind::NoMux }),
    })
}

/// Spawns a fiber on the multiplexer that runs the caller; see [`Mux::spawn_fiber`](super::Mux::spawn_fiber).
///
/// # Errors
/// As there, and [`SpawnErrorKind::NoMux`] where none runs on this host thread.
pub fn spawn_fiber<T: 'static>(lwp: Lwp, f: impl FnOnce() -> T + 'static) -> Result<JoinHandle<T>, SpawnError> {
    local::with(|local| match local {
        Some(local) => local.spawn_fiber(lwp, f),
        None => Err(SpawnError { lwp, kind: SpawnErrorKind::NoMux }),
    })
}
