//! Parking a host thread until a waker, a host descriptor or a deadline ends its sleep.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::task::Wake;
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::errno::{Errno, Result};
use crate::sync::{AtomicU32, Ordering, thread};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;

/// Nothing has happened since the last sleep.
const EMPTY: u32 = 0;
/// A wake has come that no sleep has consumed: the next one ends at once.
const NOTIFIED: u32 = 1;
/// The thread sleeps, or is about to, until it is unparked.
const PARKED: u32 = 2;
/// The thread sleeps in `poll(2)`, or is about to, with the event descriptor among what it polls.
const POLLING: u32 = 3;

/// A host thread's sleep. Its thread alone parks; anyone may wake it, through a `Waker`.
///
/// ```text
///   EMPTY ── park ──> PARKED or POLLING ── wake ──> NOTIFIED ── the sleep ends ──> EMPTY
///     └────────────────── wake ───────────────────────^
/// ```
#[derive(Debug)]
pub(crate) struct Parker {
    /// *Atomic*: one of the above. A wake is one swap, so none is lost between the last look and the sleep.
    state: AtomicU32,
    thread: thread::Thread,
    /// *Made once*, when the thread first sleeps over host descriptors.
    event: OnceLock<OwnedFd>,
}

impl Parker {
    /// The calling thread's.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU32::new(EMPTY), thread: thread::current(), event: OnceLock::new() })
    }

    /// Sleeps until woken, until one of `host` is ready, or until `deadline`. May also end for no reason.
    ///
    /// # Errors
    /// `ENFILE`, `EMFILE`, `ENOMEM`: the host has no event descriptor left, or no memory for the poll.
    pub(crate) fn park(&self, host: &[(Arc<HostFd>, Events)], deadline: Option<Instant>) -> Result<()> {
        if host.is_empty() {
            if self.fall_asleep(PARKED) {
                self.sleep(deadline);
                // Acquire: pairs with the Release in `wake_by_ref`.
                self.state.swap(EMPTY, Ordering::Acquire);
            }
            return Ok(());
        }
        let event = self.event()?;
        if self.fall_asleep(POLLING) {
            let slept = poll(host, event, deadline);
            // Acquire: pairs with the Release in `wake_by_ref`.
            self.state.swap(EMPTY, Ordering::Acquire);
            slept?;
        }
        Ok(())
    }

    /// Enters `state`, unless a wake has come before: that is consumed, and the thread stays awake.
    fn fall_asleep(&self, state: u32) -> bool {
        let asleep = self.state.compare_exchange(EMPTY, state, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !asleep {
            // Acquire: pairs with the Release in `wake_by_ref`.
            self.state.swap(EMPTY, Ordering::Acquire);
        }
        asleep
    }

    fn sleep(&self, deadline: Option<Instant>) {
        // Relaxed: `park` goes on to acquire what ended it.
        while self.state.load(Ordering::Relaxed) == PARKED {
            match deadline.map(|deadline| deadline.checked_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Some(left)) => thread::park_timeout(left),
                Some(None) => return,
            }
        }
    }

    fn event(&self) -> Result<BorrowedFd<'_>> {
        if self.event.get().is_none() {
            let made = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            // Only this thread makes it.
            let _ = self.event.set(made);
        }
        self.event.get().map(AsFd::as_fd).ok_or(Errno::ENFILE)
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: what the waker did comes before what the woken thread sees (Acquire in `park`).
        match self.state.swap(NOTIFIED, Ordering::Release) {
            PARKED => self.thread.unpark(),
            POLLING => {
                if let Some(event) = self.event.get() {
                    // A full counter (EAGAIN) wakes as well.
                    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
                }
            }
            _ => {}
        }
    }
}

/// Sleeps in `poll(2)`. An interrupted one is over, as is one for which the thread was woken.
fn poll(host: &[(Arc<HostFd>, Events)], event: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<()> {
    let mut fds: Vec<PollFd<'_>> = host
        .iter()
        .map(|(fd, events)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::from_bits_truncate(events.bits() as u16)))
        .collect();
    fds.push(PollFd::from_borrowed_fd(event, PollFlags::IN));
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    // A time too long for the host is as good as none.
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if fds.last().is_some_and(|event| !event.revents().is_empty()) {
        // The wake is consumed by the state; this only empties the counter.
        let _ = rustix::io::read(event, &mut [0; 8]);
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::{Duration, Instant};

    use super::Parker;
    use crate::wait::events::Events;

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(5))
    }

    #[test]
    fn a_wake_before_the_sleep_ends_it_and_is_spent() {
        let parker = Parker::new();
        let waker = Waker::from(Arc::clone(&parker));
        let (read, _write) = rustix::pipe::pipe().unwrap();
        for host in [&[][..], &[(Arc::new(read.into()), Events::IN)]] {
            waker.wake_by_ref();
            parker.park(host, None).unwrap();
            // Were it not spent, this would return before the deadline.
            let deadline = soon();
            while Instant::now() < deadline.unwrap() {
                parker.park(host, deadline).unwrap();
            }
        }
    }

    #[test]
    fn another_thread_wakes_each_kind_of_sleep() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        for host in [&[][..], &[(Arc::new(read.into()), Events::IN)]] {
            let parker = Parker::new();
            let waker = Waker::from(Arc::clone(&parker));
            let done = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    done.store(true, std::sync::atomic::Ordering::Relaxed);
                    waker.wake_by_ref();
                });
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    parker.park(host, None).unwrap();
                }
            });
        }
    }

    #[test]
    fn a_ready_descriptor_ends_the_sleep() {
        let parker = Parker::new();
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"x").unwrap();
        parker.park(&[(Arc::new(read.into()), Events::IN)], None).unwrap();
    }
}
