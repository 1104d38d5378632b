//! `Sender`: the side of a channel that gives.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::channel::{Channel, GIVES, Givers, Giving, Outcome, State, another, one_less};
use super::waiters::Wait;
use crate::context::Curproc;
use crate::errno::Errno;
use crate::wait::{self, turn};

/// The side of a [`channel`](super::channel()) that values are sent to.
///
/// When the last one is dropped, receivers get what is still there, and then `EPIPE`.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// Why a value was not sent: it comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{errno}")]
pub struct SendError<T> {
    value: T,
    errno: Errno,
}

impl<T> SendError<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Why.
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

impl<T> From<SendError<T>> for Errno {
    fn from(error: SendError<T>) -> Self {
        error.errno
    }
}

/// The value need not be shown.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("errno", &self.errno).finish_non_exhaustive()
    }
}

impl<T> Sender<T> {
    pub(super) fn new(channel: Arc<Channel<T>>) -> Self {
        Self { channel }
    }

    /// Sends `value`, and waits as long as the channel is full. A process that was killed still sends what need not wait.
    ///
    /// # Errors
    /// `EPIPE`: no receiver is left. `EINTR`: the process was killed, in the wait or before.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.wait(None, value)
    }

    /// As [`send`](Self::send), until `deadline` at most.
    ///
    /// # Errors
    /// As there. `ETIMEDOUT`: the channel was still full at `deadline`.
    pub fn send_until(&self, value: T, deadline: Instant) -> Result<(), SendError<T>> {
        self.wait(Some(deadline), value)
    }

    #[inline]
    fn wait(&self, deadline: Option<Instant>, value: T) -> Result<(), SendError<T>> {
        turn::spend();
        match self.try_send(value) {
            Err(SendError { value, errno: Errno::EAGAIN }) => self.wait_for_room(deadline, value),
            sent => sent,
        }
    }

    fn wait_for_room(&self, deadline: Option<Instant>, value: T) -> Result<(), SendError<T>> {
        let mut send = pin!(self.giving(value));
        match wait::until_woken(Curproc, deadline, send.as_mut()) {
            Ok(sent) => sent,
            Err(errno) => match send.take_back() {
                Some(value) => Err(SendError { value, errno }),
                // It was received at the last moment.
                None => Ok(()),
            },
        }
    }

    /// [`send`](Self::send) as a future. Dropped before it is ready, it has sent the value or dropped it.
    ///
    /// # Errors
    /// `EPIPE`, as there.
    #[inline]
    pub async fn send_async(&self, value: T) -> Result<(), SendError<T>> {
        turn::spend_async().await;
        match self.try_send(value) {
            Err(SendError { value, errno: Errno::EAGAIN }) => self.giving(value).await,
            sent => sent,
        }
    }

    fn giving(&self, value: T) -> Give<'_, T> {
        Give { wait: Wait::new(&self.channel, Giving(Some(value))) }
    }

    /// Sends `value`, if it need not wait.
    ///
    /// # Errors
    /// `EPIPE`: no receiver is left. `EAGAIN`: the channel is full.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        if self.channel.glance() & GIVES == 0 {
            return Err(SendError { value, errno: Errno::EAGAIN });
        }
        let mut giving = Giving(Some(value));
        let given = self.channel.latch().give(&mut giving);
        concluded(given, &mut giving, Errno::EAGAIN)
    }
}

/// What has come of giving a value, for its sender: `full` if nothing has.
#[inline]
fn concluded<T>(given: Option<Outcome<()>>, giving: &mut Giving<T>, full: Errno) -> Result<(), SendError<T>> {
    let errno = match given {
        Some(Outcome::Done((), waker)) => {
            if let Some(waker) = waker {
                waker.wake();
            }
            return Ok(());
        }
        Some(Outcome::Closed) => Errno::EPIPE,
        None => full,
    };
    giving.0.take().map_or(Ok(()), |value| Err(SendError { value, errno }))
}

pin_project! {
    struct Give<'c, T> {
        #[pin]
        wait: Wait<'c, State<T>, Giving<T>>,
    }
}

impl<T> Give<'_, T> {
    /// The value, if it has not been received; it will not be any more.
    fn take_back(self: Pin<&mut Self>) -> Option<T> {
        self.project().wait.leave().1.0.take()
    }
}

impl<T> Future for Give<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut wait = self.project().wait;
        let hopeless = wait.latch().glance() & GIVES == 0;
        let given = ready!(wait.as_mut().poll(cx, hopeless, State::give));
        // What was settled and is still there was not received: nobody is left to do it.
        Poll::Ready(concluded(given, wait.leave().1, Errno::EPIPE))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { channel: another::<T, Givers>(&self.channel) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        one_less::<T, Givers>(&self.channel);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
