//! Repeating an attempt on a file until it does not answer `EAGAIN`.

use std::task::Poll;

use super::call::Call;
use super::pool::{self, Job};
use crate::errno::{Errno, Result};
use crate::fd::{OpenFile, OpenFlags};
use crate::wait::events::Events;
use crate::wait::watch::Watch;

/// What a call does to an open file; a function where that is all.
pub(super) trait Attempt {
    /// What it gives.
    type Output;

    /// Goes as far as it can.
    ///
    /// # Errors
    /// `EAGAIN`: not to the end. And its own.
    fn attempt(&mut self, open: &OpenFile) -> Result<Self::Output>;

    /// The same for a file whose calls may take long: its `job` for the pool, which is made once, then what that answered.
    /// What is never done to such a file is done here.
    fn pooled(&mut self, open: &OpenFile, job: &mut Job<Moved>, watch: &Watch<'_>) -> Poll<Result<Self::Output>> {
        let _ = (job, watch);
        Poll::Ready(self.attempt(open))
    }

    /// What to answer in the place of an error: what was done before.
    #[inline]
    fn partly(&self) -> Option<Self::Output> {
        None
    }
}

impl<T, F: FnMut(&OpenFile) -> Result<T>> Attempt for F {
    type Output = T;

    #[inline]
    fn attempt(&mut self, open: &OpenFile) -> Result<T> {
        self(open)
    }
}

/// What a job has read or written.
pub(super) struct Moved {
    /// Those read.
    pub(super) bytes: Vec<u8>,
    /// How many.
    pub(super) count: usize,
}

/// See [`until_ready`].
pub(super) struct UntilReady<A> {
    open: OpenFile,
    events: Events,
    attempt: A,
    woken: bool,
    job: Job<Moved>,
}

/// What `attempt` answers, once it is not `EAGAIN`; in between it waits for `events`. Where the descriptor is
/// non-blocking, `EAGAIN` it is.
#[inline]
pub(super) fn until_ready<A: Attempt>(open: OpenFile, events: Events, attempt: A) -> UntilReady<A> {
    UntilReady { open, events, attempt, woken: false, job: Job::NONE }
}

impl<A: Attempt> UntilReady<A> {
    #[inline]
    fn end(&self, outcome: Result<A::Output>) -> Result<A::Output> {
        outcome.or_else(|error| self.attempt.partly().ok_or(error))
    }
}

impl<A: Attempt> Call for UntilReady<A> {
    type Output = A::Output;

    #[inline]
    fn first(&mut self) -> Poll<Result<A::Output>> {
        if self.open.pooled() {
            return pool::first(|| self.attempt.attempt(&self.open)).map(|done| self.end(done));
        }
        match self.attempt.attempt(&self.open) {
            Err(Errno::EAGAIN) if !self.open.flags().contains(OpenFlags::NONBLOCK) => Poll::Pending,
            done => Poll::Ready(self.end(done)),
        }
    }

    fn again(&mut self, watch: &mut Watch<'_>) -> Poll<Result<A::Output>> {
        if self.open.pooled() {
            return self.attempt.pooled(&self.open, &mut self.job, watch);
        }
        again(&self.open, self.events, &mut self.woken, watch, || self.attempt.attempt(&self.open))
    }

    fn waited(&mut self, outcome: Result<A::Output>) -> Poll<Result<A::Output>> {
        Poll::Ready(self.end(outcome))
    }
}

/// Makes an attempt as often as `open` is ready for one. `woken`: whether it has waited before.
pub(super) fn again<T>(
    open: &OpenFile,
    events: Events,
    woken: &mut bool,
    watch: &mut Watch<'_>,
    mut attempt: impl FnMut() -> Result<T>,
) -> Poll<Result<T>> {
    // Woken, it will most likely find something; if not, it looks anew.
    if std::mem::replace(woken, true) {
        match attempt() {
            Err(Errno::EAGAIN) => {}
            done => return Poll::Ready(done),
        }
    }
    // Ready, and yet nothing to get, is when somebody else was faster. Only when it is not ready has the waiter been
    // entered for certain. It takes what it finds: where another was woken for that, it need not be.
    while !watch.exclusively(|watch| open.file().poll(events, Some(watch))).is_empty() {
        match attempt() {
            Err(Errno::EAGAIN) => {}
            done => return Poll::Ready(done),
        }
    }
    Poll::Pending
}
