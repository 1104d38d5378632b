//! Sleeping, and what time it is.

use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec};

use super::call::{Call, block};
use crate::errno::{Errno, Result};
use crate::wait::watch::Watch;

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
    block(sleeping(time, remaining))
}

pub(super) fn sleeping(time: Duration, remaining: Option<&mut Duration>) -> impl Call<Output = ()> {
    // A time that no clock reaches is as good as for ever.
    Sleeping { time, deadline: Instant::now().checked_add(time), remaining }
}

struct Sleeping<'r> {
    time: Duration,
    deadline: Option<Instant>,
    remaining: Option<&'r mut Duration>,
}

impl Call for Sleeping<'_> {
    type Output = ();

    fn first(&mut self) -> Poll<Result<()>> {
        Poll::Pending
    }

    fn again(&mut self, _: &mut Watch<'_>) -> Poll<Result<()>> {
        Poll::Pending
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn waited(&mut self, outcome: Result<()>) -> Poll<Result<()>> {
        if let (Err(Errno::EINTR), Some(remaining)) = (outcome, &mut self.remaining) {
            **remaining = self.deadline.map_or(self.time, |end| end.saturating_duration_since(Instant::now()));
        }
        Poll::Ready(match outcome {
            Err(Errno::ETIMEDOUT) => Ok(()),
            done => done,
        })
    }
}
