//! What a multiplexer does for the waits on its host thread: the hook through which [`wait`](crate::wait) finds it.
//!
//! A host thread that runs a multiplexer has a driver. What waits in one of its fibers is suspended by it; a future hands
//! it what it waits for beside its wakers. While a plain host thread blocks on a future it has a [lesser](crate::wait::alone) one.
//!
//! One may enter over another, whose it is again afterwards. Coroutines of others let them leave in any order: one that
//! is not the last leaves its place among those that are entered, and the last stays the host thread's.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use smallvec::SmallVec;

use crate::errno::{Errno, Result};
use crate::sync::{AtomicU64, Ordering, host_local};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::queue::WaitQueue;
use crate::wait::waker::Wakers;

/// See the module. One without fibers has what is said of them as it stands here.
///
/// None of its methods but [`sleep`](Self::sleep), [`give_up`](Self::give_up) and [`interrupted`](Self::interrupted) runs anybody
/// else's code: that might end the time of the driver.
pub(crate) trait Driver {
    /// Its number, and its place among its host thread's.
    fn place(&self) -> &Place;

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

    /// The fiber that runs lets others go first, unless it unwinds.
    fn give_up(&self) {}

    /// Whether the fiber that runs was cancelled, and so does not sleep any more.
    fn cancelled(&self) -> bool {
        false
    }

    /// Whether the task that runs was killed or cancelled: its turns are counted.
    fn ends(&self) -> bool {
        false
    }

    /// A number that is another one after the fiber that runs was suspended.
    fn suspended(&self) -> u64 {
        0
    }

    /// Whoever runs is about to be told `EINTR`, since its process was killed. Not more than once in a turn: a fiber comes back
    /// from this in its next one; a future that is answered `false` is to be pending until then.
    fn interrupted(&self) -> bool {
        true
    }

    /// Sees to it that the fiber that runs is entered in `interrupts`, and in no other of these: it stays there over its
    /// waits, to be woken when its process is killed.
    fn stay_in(&self, interrupts: &Arc<WaitQueue>) {
        let _ = interrupts;
    }

    /// Whether a waiter is told of what becomes ready between its look and its sleep, and so need not ask the host twice.
    fn tells_edges(&self) -> bool {
        true
    }

    /// Wakes the waiter, of whom there is a waker for each of these, when one of `host` is ready, or at `deadline`, until
    /// that is disarmed. Notes in `armed` what is armed.
    ///
    /// Wakers that are left are not needed; those in `woken` the caller is to wake at once.
    ///
    /// # Errors
    /// As for [`sleep`](Self::sleep). What is noted in `armed` by then is armed.
    fn arm(
        &self,
        armed: &mut Armed,
        wakers: &mut Wakers,
        woken: &mut Wakers,
        host: &[(Arc<HostFd>, Events)],
        deadline: Option<Instant>,
    ) -> Result<()>;

    /// Undoes [`arm`](Self::arm), and gives the wakers back.
    fn disarm(&self, armed: &Armed, wakers: &mut Wakers);
}

/// What a driver will wake a future for. Dropped on the driver's host thread, while the driver is entered, it is
/// disarmed; elsewhere the driver may wake for it once more.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    /// The driver's number; 0 for none.
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
        if self.driver == 0 {
            return;
        }
        // Dropped off the driver: a waker's drop is anybody's code.
        let mut left = Wakers::new();
        let mine = |driver: &&dyn Driver| driver.place().number == self.driver;
        if let Some(driver) = entered().find(mine) {
            driver.disarm(self, &mut left);
        }
    }
}

/// A number for a driver.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A driver's place among those that are entered on its host thread.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    /// The one that was the host thread's when this one entered, while it is entered.
    below: Cell<Option<NonNull<dyn Driver>>>,
}

impl Place {
    /// Of the driver of that [`number`].
    pub(crate) fn new(number: u64) -> Self {
        Self { number, below: Cell::new(None) }
    }
}

host_local! {
    /// The one that entered last, of those that are entered: each is there as long as it is.
    static LAST: Cell<Option<NonNull<dyn Driver>>> = const { Cell::new(None) };
}

/// Those that are entered on this host thread, the last first. To be used while nobody else's code runs.
fn entered<'d>() -> impl Iterator<Item = &'d dyn Driver> {
    // SAFETY: what is entered is there: its guard borrows it, or was forgotten with the stack that both are on. And it stays
    // entered as long as nobody else's code runs.
    let there = |driver: NonNull<dyn Driver>| unsafe { driver.as_ref() };
    std::iter::successors(LAST.with(Cell::get).map(there), move |driver| driver.place().below.get().map(there))
}

/// Shows `f` the fiber that runs on the calling host thread: its driver, and its waker. `f` runs nobody else's code, but
/// for a sleep.
///
/// A lesser driver may have entered over the multiplexer's: for a future that blocks, or for a wait that was suspended by a
/// coroutine of others, and is none of the fiber's.
#[inline]
pub(crate) fn fiber<R>(f: impl FnOnce(&dyn Driver, &Waker) -> R) -> Option<R> {
    for driver in entered() {
        if let Some(waker) = driver.fiber() {
            return Some(f(driver, waker));
        }
        if driver.tells_edges() {
            break;
        }
    }
    None
}

/// Shows `f` the calling host thread's driver: the one that entered last. `f` runs nobody else's code.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(Option<&dyn Driver>) -> R) -> R {
    f(entered().next())
}

/// The time in which a driver is entered. Dropped, it has left.
pub(crate) struct Entered<'d>(&'d dyn Driver);

/// Makes `driver`, which is not entered yet, the host thread's.
pub(crate) fn enter<'d>(driver: &'d (dyn Driver + 'static)) -> Entered<'d> {
    driver.place().below.set(LAST.with(|last| last.replace(Some(NonNull::from(driver)))));
    Entered(driver)
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let is_this =
            |driver: Option<NonNull<dyn Driver>>| driver.is_some_and(|driver| ptr::addr_eq(driver.as_ptr(), self.0));
        let below = self.0.place().below.take();
        if is_this(LAST.with(Cell::get)) {
            LAST.with(|last| last.set(below));
        } else if let Some(above) = entered().find(|above| is_this(above.place().below.get())) {
            above.place().below.set(below);
        }
    }
}
