//! Sleeping, and what time it is.

use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec};

use crate::errno::{Errno, Result};
use crate::wait;

/// A clock. Both are the host's.
///
/// Source: POSIX.1-2024, section clock_getres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Time since the epoch, 1970-01-01 00:00 UTC. It jumps when it is set.
    Realtime,
    /// Time since some point in the past. It never jumps.
    Monotonic,
}

impl Clock {
    const fn id(self) -> ClockId {
        match self {
            Self::Realtime => ClockId::Realtime,
            Self::Monotonic => ClockId::Monotonic,
        }
    }
}

/// What `clock` says: the time since its zero.
///
/// # Errors
/// `EOVERFLOW`: the host's clock is set to before the epoch.
///
/// Source: POSIX.1-2024, section clock_gettime.
pub fn clock_gettime(clock: Clock) -> Result<Duration> {
    duration(rustix::time::clock_gettime(clock.id()))
}

/// How finely `clock` counts.
///
/// # Errors
/// `EOVERFLOW`, never seen: the host answers nonsense.
///
/// Source: POSIX.1-2024, section clock_getres.
pub fn clock_getres(clock: Clock) -> Result<Duration> {
    duration(rustix::time::clock_getres(clock.id()))
}

fn duration(host: Timespec) -> Result<Duration> {
    host.try_into().map_err(|_| Errno::EOVERFLOW)
}

/// Sleeps for `time`, as [`Clock::Monotonic`] measures it. Interrupted, it leaves in `remaining` how much was left.
///
/// # Errors
/// `EINTR`: the process was killed.
///
/// Source: POSIX.1-2024, section nanosleep.
pub fn nanosleep(time: Duration, remaining: Option<&mut Duration>) -> Result<()> {
    // A time that no clock reaches is as good as for ever.
    let deadline = Instant::now().checked_add(time);
    match wait::until(deadline, |_| Poll::<Result<()>>::Pending) {
        Err(Errno::EINTR) => {
            if let Some(remaining) = remaining {
                *remaining = deadline.map_or(time, |deadline| deadline.saturating_duration_since(Instant::now()));
            }
            Err(Errno::EINTR)
        }
        Err(Errno::ETIMEDOUT) => Ok(()),
        other => other,
    }
}
