//! Long computations: where others may have their turns, and the one that computes learns that it was killed.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::scheduler::{self, Scheduler};
use crate::context::Curproc;
use crate::errno::{Errno, Result};
use crate::wait::driver::{self, Driver};
use crate::wait::{Interruptible, turn};

/// How long a turn lasts before it ends at a checkpoint.
const LONG: Duration = Duration::from_millis(1);

/// To be called now and then by what computes for long: if the turn has lasted a millisecond, others go first.
///
/// The time counts from the turn's first checkpoint, since a turn itself looks at no clock; so a turn lasts as long as it
/// takes to the first one, a millisecond, and what comes until the next. Each looks at the clock, which is some 30 ns. A turn
/// that ends here is followed by a look at descriptors and timers.
///
/// On a plain host thread, and in a future, which has [`checkpoint_async`] for it, no turn ends here.
///
/// # Errors
/// `EINTR`: the process was [killed](crate::Kernel::kill). Who goes on in spite of it is [ended](super#cancel-and-kill) by some
/// later checkpoint.
///
/// ```
/// use lwproc::{Kernel, Mux, ProcOptions, mux};
///
/// let kernel = Kernel::new()?;
/// let mut mux = Mux::new(&kernel)?;
/// let mut sum = mux.spawn_fiber(kernel.spawn(ProcOptions::new())?, || {
///     let mut sum = 0_u64;
///     for number in 0..100_000 {
///         if number % 1000 == 0 {
///             mux::checkpoint()?;
///         }
///         sum += number;
///     }
///     Ok::<_, lwproc::Errno>(sum)
/// })?;
/// mux.run()?;
/// assert_eq!(sum.join().unwrap(), Ok(4_999_950_000));
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub fn checkpoint() -> Result<()> {
    scheduler::with(|scheduler| {
        if let Some(scheduler) = scheduler
            && scheduler.queue.fiber().is_some()
            && scheduler.is_long()
        {
            turn::is_long();
            scheduler.give_up();
            // This turn begins here.
            scheduler.is_long();
        }
    });
    if Curproc.interrupted() {
        driver::fiber(|driver, _| driver.interrupted());
        return Err(Errno::EINTR);
    }
    Ok(())
}

/// [`checkpoint`] in a future. Where no multiplexer polls it, it is ready at once.
///
/// # Errors
/// As there.
pub async fn checkpoint_async() -> Result<()> {
    let mut ended = false;
    poll_fn(|cx| {
        let long = scheduler::with(|scheduler| scheduler.is_some_and(Scheduler::is_long));
        if std::mem::replace(&mut ended, true) || !long {
            return Poll::Ready(());
        }
        turn::is_long();
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    poll_fn(|_| {
        if !Curproc.interrupted() {
            return Poll::Ready(Ok(()));
        }
        // Told so in this turn already, it is pending until the next.
        let told = driver::with(|driver| driver.is_none_or(|driver| driver.interrupted()));
        if told { Poll::Ready(Err(Errno::EINTR)) } else { Poll::Pending }
    })
    .await
}

impl Scheduler {
    /// Whether this turn has lasted long since this was asked in it first.
    fn is_long(&self) -> bool {
        let (turn, now) = (self.queue.turn(), Instant::now());
        match self.checked.get() {
            Some((checked, since)) if checked == turn => now.saturating_duration_since(since) >= LONG,
            _ => {
                self.checked.set(Some((turn, now)));
                false
            }
        }
    }
}
