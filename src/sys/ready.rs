//! Repeating an attempt on a file until it does not answer `EAGAIN`.

use std::task::Poll;

use crate::errno::{Errno, Result};
use crate::fd::{OpenFile, OpenFlags};
use crate::wait;
use crate::watch::Events;

/// What `attempt` answers, once it is not `EAGAIN`; in between waits for `events`. Where the descriptor is non-blocking,
/// `EAGAIN` it is.
///
/// # Errors
/// `EINTR`: the process was killed while waiting. And the attempt's own.
#[inline]
pub(super) fn until_ready<T>(open: &OpenFile, events: Events, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    match attempt() {
        Err(Errno::EAGAIN) if !open.flags().contains(OpenFlags::NONBLOCK) => wait_for(open, events, attempt),
        done => done,
    }
}

#[cold]
pub(super) fn wait_for<T>(open: &OpenFile, events: Events, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut woken = false;
    wait::until(None, |watch| {
        // Woken, it will most likely find something; if not, it looks anew.
        if std::mem::replace(&mut woken, true) {
            match attempt() {
                Err(Errno::EAGAIN) => {}
                done => return Poll::Ready(done),
            }
        }
        // Ready, and yet nothing to get, is when somebody else was faster. Only when it is not ready has the waiter been
        // entered for certain.
        while !open.file().poll(events, Some(watch)).is_empty() {
            match attempt() {
                Err(Errno::EAGAIN) => {}
                done => return Poll::Ready(done),
            }
        }
        Poll::Pending
    })
}
