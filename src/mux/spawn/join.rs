//! `JoinHandle`: waiting for a fiber or task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::packet::{JoinError, Packet};
use crate::context::Curproc;
use crate::errno::Errno;
use crate::mux::task::queue::running;
use crate::wait;

/// Waits for a fiber or task and takes its result: from a host thread or a fiber by [`join`](Self::join), in a future by
/// awaiting it. Dropped, it leaves the task alone.
///
/// When there is a result, the task's lwp is released; with the last one of its process, so is that.
///
/// ```
/// use lwproc::{Kernel, Mux, ProcOptions, sys};
///
/// let kernel = Kernel::new()?;
/// let mut mux = Mux::new(&kernel)?;
/// let mut first = mux.spawn_fiber(kernel.spawn(ProcOptions::new())?, || sys::getpid())?;
/// let mut second = mux.spawn_fiber(kernel.spawn(ProcOptions::new())?, move || first.join().unwrap().raw() + 1)?;
/// mux.run()?;
/// assert_eq!(second.join().unwrap(), 3);
/// assert_eq!(kernel.usage().lwps, 0);
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub struct JoinHandle<T> {
    packet: Arc<Packet<T>>,
}

impl<T> JoinHandle<T> {
    pub(in crate::mux) fn new(packet: &Arc<Packet<T>>) -> Self {
        Self { packet: Arc::clone(packet) }
    }

    /// Waits for the task and takes its result.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn join(&mut self) -> Result<T, JoinError> {
        self.wait(None)
    }

    /// As [`join`](Self::join), until `deadline` at most: then [`JoinError::TimedOut`].
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn join_until(&mut self, deadline: Instant) -> Result<T, JoinError> {
        self.wait(Some(deadline))
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<T, JoinError> {
        if self.is_own() {
            return Err(JoinError::Deadlock);
        }
        let joined = wait::until(Curproc, deadline, |watch| {
            // SAFETY: this is the one handle, borrowed mutably.
            unsafe { self.packet.poll(watch.waker()) }.map(Ok)
        });
        match joined {
            Ok(result) => result,
            Err(Errno::ETIMEDOUT) => Err(JoinError::TimedOut),
            // All that is left, but for a host without descriptors to park on, which this does not need.
            Err(_) => Err(JoinError::Interrupted),
        }
    }

    /// Whether the task has finished: then [`join`](Self::join) does not wait.
    pub fn is_finished(&self) -> bool {
        self.packet.is_finished()
    }

    /// Whether it is the running task's own handle.
    fn is_own(&self) -> bool {
        let packet = Arc::as_ptr(&self.packet).cast();
        running(|task| task.is_some_and(|task| ptr::eq(task.packet, packet)))
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_own() {
            return Poll::Ready(Err(JoinError::Deadlock));
        }
        // SAFETY: this is the one handle, borrowed mutably.
        unsafe { self.packet.poll(cx.waker()) }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}
