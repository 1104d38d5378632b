//! Waiting for many descriptors at once.

use std::task::Poll;
use std::time::{Duration, Instant};

use super::call::{Call, block};
use super::file;
use crate::context::current;
use crate::errno::{Errno, Result};
use crate::fd::OpenFile;
use crate::id::Fd;
use crate::proc::limits::Resource;
use crate::wait;
use crate::wait::events::Events;
use crate::wait::watch::Watch;

/// One descriptor to be polled, laid out as POSIX's `struct pollfd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PollFd {
    /// The descriptor; a negative one is passed over.
    pub fd: Fd,
    /// What to look for.
    pub events: Events,
    /// What was found: of `events`, and of [`Events::ALWAYS`].
    pub revents: Events,
}

impl PollFd {
    /// To be polled for `events`; nothing found yet.
    pub const fn new(fd: Fd, events: Events) -> Self {
        Self { fd, events, revents: Events::empty() }
    }
}

/// Waits until something is found on a descriptor, at most `timeout` (`None`: for ever; zero: just looks), and says on
/// how many there was. A descriptor that is not open is found to be so.
///
/// To close a descriptor does not end a call that waits for it: it holds on to the open file, as on Linux.
///
/// # Errors
/// `EINVAL`: more entries than the process may have descriptors. `EINTR`: the process was killed while waiting.
///
/// ```
/// use lwproc::sys::{self, PollFd};
/// use lwproc::{Events, Kernel};
/// use std::time::Duration;
///
/// Kernel::new()?.enter(|| {
///     let (reader, writer) = sys::pipe()?;
///     let mut fds = [PollFd::new(reader, Events::IN), PollFd::new(writer, Events::OUT)];
///     assert_eq!(sys::poll(&mut fds, Some(Duration::ZERO))?, 1);
///     assert_eq!(fds.map(|entry| entry.revents), [Events::empty(), Events::OUT]);
///     sys::close(writer)
/// })?;
/// # Ok::<(), lwproc::Errno>(())
/// ```
///
/// Source: POSIX.1-2024, section poll.
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
    block(polling(fds, timeout)?)
}

#[inline]
pub(super) fn polling(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<impl Call<Output = usize>> {
    if fds.len() > current(|current| current.proc().limits.soft(Resource::NoFile)) as usize {
        return Err(Errno::EINVAL);
    }
    let open = fds.iter().map(|entry| file(entry.fd).ok()).collect();
    // A time that no clock reaches is as good as none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    Ok(Polling { fds, open, waits: timeout != Some(Duration::ZERO), deadline })
}

struct Polling<'f> {
    fds: &'f mut [PollFd],
    open: Vec<Option<OpenFile>>,
    waits: bool,
    deadline: Option<Instant>,
}

impl Call for Polling<'_> {
    type Output = usize;

    fn first(&mut self) -> Poll<Result<usize>> {
        // Where it knows what the host would say, to enter and look is less than to ask.
        if self.waits && wait::knows_edges() {
            return Poll::Pending;
        }
        match look(self.fds, &self.open, None) {
            0 if self.waits => Poll::Pending,
            found => Poll::Ready(Ok(found)),
        }
    }

    fn again(&mut self, watch: &mut Watch<'_>) -> Poll<Result<usize>> {
        match look(self.fds, &self.open, Some(watch)) {
            0 => Poll::Pending,
            found => Poll::Ready(Ok(found)),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn waited(&mut self, outcome: Result<usize>) -> Poll<Result<usize>> {
        Poll::Ready(match outcome {
            Err(Errno::ETIMEDOUT) => Ok(0),
            found => found,
        })
    }
}

/// Looks at each entry, and says on how many something was found. Enters the waiter until there is one.
fn look(fds: &mut [PollFd], open: &[Option<OpenFile>], mut watch: Option<&mut Watch<'_>>) -> usize {
    let mut found = 0;
    for (entry, open) in fds.iter_mut().zip(open) {
        entry.revents = match open {
            Some(open) => open.file().poll(entry.events, watch.as_deref_mut()) & (entry.events | Events::ALWAYS),
            None if entry.fd < 0 => Events::empty(),
            None => Events::NVAL,
        };
        if !entry.revents.is_empty() {
            found += 1;
            watch = None;
        }
    }
    found
}
