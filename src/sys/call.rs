//! Calls that may wait, each written once: a [`Call`] is driven to its end by the calling thread or fiber ([`block`]), or
//! by whoever polls it ([`future`]).

use std::task::Poll;
use std::time::Instant;

use crate::context::Curproc;
use crate::errno::Result;
use crate::wait::watch::Watch;
use crate::wait::{self, Wait, turn};

/// A call under way: what it tries, what it waits for in between, and what it answers in the end.
pub(super) trait Call {
    /// What the call gives.
    type Output;

    /// The first attempt, of which nobody is told when another one would do better.
    fn first(&mut self) -> Poll<Result<Self::Output>>;

    /// A further attempt. It enters the waiter first, and looks then.
    fn again(&mut self, watch: &mut Watch<'_>) -> Poll<Result<Self::Output>>;

    /// Until when to wait.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What the call answers after a wait with this outcome. `Pending`: it waits on, with another deadline.
    fn waited(&mut self, outcome: Result<Self::Output>) -> Poll<Result<Self::Output>> {
        Poll::Ready(outcome)
    }
}

/// Sees `call` through on this host thread, or in this fiber. It is one of the calls that a [turn] has.
#[inline]
pub(super) fn block<C: Call>(mut call: C) -> Result<C::Output> {
    turn::spend();
    match call.first() {
        Poll::Ready(done) => done,
        Poll::Pending => wait_for(call),
    }
}

#[cold]
fn wait_for<C: Call>(mut call: C) -> Result<C::Output> {
    loop {
        let outcome = wait::until(Curproc, call.deadline(), |watch| call.again(watch));
        if let Poll::Ready(done) = call.waited(outcome) {
            return done;
        }
    }
}

/// Sees through what `begin` gives, as one of the calls that a turn has. It begins, and takes hold of what it works on, when
/// it is first polled. Dropped, it has left whatever it waited for.
pub(super) async fn future<C: Call>(begin: impl FnOnce() -> Result<C>) -> Result<C::Output> {
    let mut call = begin()?;
    turn::spend_async().await;
    let mut done = call.first();
    loop {
        match done {
            Poll::Ready(done) => return done,
            Poll::Pending => {
                let outcome = Wait::new(Curproc, call.deadline(), |watch: &mut Watch<'_>| call.again(watch)).await;
                done = call.waited(outcome);
            }
        }
    }
}
