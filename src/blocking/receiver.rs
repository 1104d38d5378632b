//! `Receiver`: the side of a channel that takes.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::channel::{Channel, Outcome, State, TAKES, Taken, Takers, Taking, another, drop_value, one_less};
use super::waiters::Wait;
use crate::context::Curproc;
use crate::errno::{Errno, Result};
use crate::wait::{self, turn};

/// The side of a [`channel`](super::channel()) that values are received from, each by one.
///
/// When the last one is dropped, so are the values that are still there, and senders get theirs back with `EPIPE`.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(channel: Arc<Channel<T>>) -> Self {
        Self { channel }
    }

    /// Waits for a value. A process that was killed still receives what is there.
    ///
    /// # Errors
    /// `EPIPE`: nothing is there, and no sender is left. `EINTR`: the process was killed, in the wait or before.
    pub fn recv(&self) -> Result<T> {
        self.wait(None)
    }

    /// As [`recv`](Self::recv), until `deadline` at most.
    ///
    /// # Errors
    /// As there. `ETIMEDOUT`: nothing was there by `deadline`.
    pub fn recv_until(&self, deadline: Instant) -> Result<T> {
        self.wait(Some(deadline))
    }

    #[inline]
    fn wait(&self, deadline: Option<Instant>) -> Result<T> {
        turn::spend();
        match self.try_recv() {
            Err(Errno::EAGAIN) => wait::until_woken(Curproc, deadline, pin!(self.taking()))?,
            received => received,
        }
    }

    /// [`recv`](Self::recv) as a future. Dropped before it is ready, it has received nothing: what was meant for it goes to
    /// the next, in its old place.
    ///
    /// # Errors
    /// `EPIPE`, as there.
    #[inline]
    pub async fn recv_async(&self) -> Result<T> {
        turn::spend_async().await;
        match self.try_recv() {
            Err(Errno::EAGAIN) => self.taking().await,
            received => received,
        }
    }

    fn taking(&self) -> Take<'_, T> {
        Take { wait: Wait::new(&self.channel, Taking(None)) }
    }

    /// Receives a value, if one is there.
    ///
    /// # Errors
    /// `EPIPE`: nothing is there, and no sender is left. `EAGAIN`: nothing is there.
    #[inline]
    pub fn try_recv(&self) -> Result<T> {
        if self.channel.glance() & TAKES == 0 {
            return Err(Errno::EAGAIN);
        }
        let taken = self.channel.latch().take();
        taken.map_or(Err(Errno::EAGAIN), received)
    }
}

/// What has come of taking a value.
#[inline]
fn received<T>(taken: Outcome<Taken<T>>) -> Result<T> {
    match taken {
        Outcome::Done(taken, waker) => {
            if let Some(waker) = waker {
                waker.wake();
            }
            Ok(taken.value)
        }
        Outcome::Closed => Err(Errno::EPIPE),
    }
}

pin_project! {
    struct Take<'c, T> {
        #[pin]
        wait: Wait<'c, State<T>, Taking<T>>,
    }

    impl<T> PinnedDrop for Take<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let mut wait = this.project().wait;
            let Some(taken) = wait.as_mut().leave().1.0.take() else { return };
            let (waker, unwanted) = wait.latch().latch().put_back(taken);
            if let Some(waker) = waker {
                waker.wake();
            }
            if let Some(unwanted) = unwanted {
                drop_value(unwanted);
            }
        }
    }
}

impl<T> Future for Take<'_, T> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut wait = self.project().wait;
        let hopeless = wait.latch().glance() & TAKES == 0;
        Poll::Ready(match ready!(wait.as_mut().poll(cx, hopeless, |state, _| state.take())) {
            Some(taken) => received(taken),
            // What was settled with nothing has no sender left.
            None => wait.leave().1.0.take().map(|taken| taken.value).ok_or(Errno::EPIPE),
        })
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { channel: another::<T, Takers>(&self.channel) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        one_less::<T, Takers>(&self.channel);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
