//! What a multiplexer does for the waits on its host thread: the hook through which [`wait`](crate::wait) finds it.
//!
//! A host thread that runs a multiplexer has a driver. What waits in one of its fibers is suspended by it; a future hands
//! it what it waits for beside its wakers. While a plain host thread blocks on a future it has a [lesser](crate::wait::alone) one.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use smallvec::SmallVec;

use crate::errno::{Errno, Result};
use crate::sync::{AtomicU64, Ordering, host_local};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::queue::WaitQueue;

/// See the module. One without fibers has what is said of them as it stands here.
pub(crate) trait Driver {
    /// The waker of the fiber that runs; `None` when none does. Good until the fiber ends.
    fn fiber(&self) -> Option<&Waker> {
        None
    }

    /// Suspends the fiber that runs until its waker is woken, one of `host` is ready, or `deadline`. May also come back
    /// for no reason.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOSPC`: the host cannot watch more. `EDEADLK`: no fiber runs.
    fn sleep(&self, host: &[(Arc<HostFd>, Events)], deadline: Option<Instant>) -> Result<()> {
        let _ = (host, deadline);
        Err(Errno::EDEADLK)
    }

    /// How often the fiber that runs was suspended.
    fn suspended(&self) -> u64 {
        0
    }

    /// Sees to it that the fiber that runs is entered in `interrupts`, and in no other of these: it stays there over its
    /// waits, to be woken when its process is killed. Runs nobody else's code.
    fn stay_in(&self, interrupts: &Arc<WaitQueue>) {
        let _ = interrupts;
    }

    /// Whether a waiter is told of what becomes ready between its look and its sleep, and so need not ask the host twice.
    fn tells_edges(&self) -> bool {
        true
    }

    /// Wakes `waker` when one of `host` is ready, or at `deadline`, until that is disarmed.
    ///
    /// # Errors
    /// As for [`sleep`](Self::sleep).
    fn arm(&self, waker: &Waker, host: &[(Arc<HostFd>, Events)], deadline: Option<Instant>) -> Result<Armed>;

    /// Undoes [`arm`](Self::arm). Nothing for what another driver has armed.
    fn disarm(&self, armed: &Armed);
}

/// What a driver will wake a future for. Dropped on the driver's host thread, it is disarmed; elsewhere the driver may
/// wake for it once more.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    /// The driver's number.
    pub(crate) driver: u64,
    pub(crate) host: SmallVec<[Watched; 1]>,
    pub(crate) timer: Option<u64>,
}

/// A waiter for a host descriptor, as the driver knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) fd: RawFd,
    pub(crate) key: u64,
}

impl Drop for Armed {
    fn drop(&mut self) {
        with(|driver| {
            if let Some(driver) = driver {
                driver.disarm(self);
            }
        });
    }
}

/// A number for a driver.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

host_local! {
    static DRIVER: Cell<Option<NonNull<dyn Driver>>> = const { Cell::new(None) };
}

/// Shows `f` the calling host thread's driver.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(Option<&dyn Driver>) -> R) -> R {
    // SAFETY: whoever set it keeps it as long as anything runs here that could ask for it.
    f(DRIVER.with(Cell::get).map(|driver| unsafe { driver.as_ref() }))
}

/// Gives the calling host thread another driver, or none, and answers which it had.
///
/// # Safety
/// The driver outlives all that runs on this host thread until the next `set`.
pub(crate) unsafe fn set(driver: Option<NonNull<dyn Driver>>) -> Option<NonNull<dyn Driver>> {
    DRIVER.with(|cell| cell.replace(driver))
}
