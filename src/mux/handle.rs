//! What other threads have of a multiplexer: a handle to spawn from and to stop it by.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

#[cfg(feature = "capi")]
use super::scheduler;
use super::scheduler::Scheduler;
use super::spawn::{self, Charge, JoinHandle, SpawnError};
use super::stack::StackPool;
use super::task::{Birth, Body, FiberKind, Message, Remote};
use crate::lwproc::Lwp;

/// A handle on a [`Mux`](super::Mux) for other host threads. Clones are handles on the same one.
///
/// ```
/// use lwproc::{Kernel, Mux, ProcOptions, sys};
///
/// let kernel = Kernel::new()?;
/// let mut mux = Mux::new(&kernel)?;
/// let handle = mux.handle();
/// let alice = kernel.spawn(ProcOptions::new().uid(1001))?;
/// let other = std::thread::spawn(move || {
///     let mut join = handle.spawn_fiber(alice, || sys::getuid()).unwrap();
///     let uid = join.join().unwrap();
///     handle.stop();
///     uid
/// });
/// // Until it is stopped.
/// assert_eq!(mux.run_until(std::future::pending::<()>())?, None);
/// assert_eq!(other.join().unwrap(), 1001);
/// # Ok::<(), lwproc::Errno>(())
/// ```
#[derive(Clone)]
pub struct MuxHandle {
    remote: Arc<Remote<Message>>,
}

impl MuxHandle {
    pub(super) fn new(remote: &Arc<Remote<Message>>) -> Self {
        Self { remote: Arc::clone(remote) }
    }

    /// As [`Mux::spawn`](super::Mux::spawn), from any host thread.
    ///
    /// # Errors
    /// As there, and [`SpawnErrorKind::Closed`](super::SpawnErrorKind::Closed): the multiplexer was dropped. Dropped after
    /// that, it cancels the task.
    pub fn spawn<F>(&self, lwp: Lwp, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.send(lwp, future, |charge, future, _| Some(spawn::future(charge, future)))
    }

    /// As [`Mux::spawn_fiber`](super::Mux::spawn_fiber), from any host thread. Where the multiplexer finds no stack, the
    /// handle learns of it: [`JoinError::NoStack`](super::JoinError::NoStack).
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_fiber<T, F>(&self, lwp: Lwp, f: F) -> Result<JoinHandle<T>, SpawnError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.send_fiber(lwp, f, Body::Fiber)
    }

    /// Spawns a [`Guest`](Body::Guest), from any host thread.
    #[cfg(feature = "capi")]
    pub(crate) fn spawn_guest(&self, lwp: Lwp, f: impl FnOnce() + Send + 'static) -> Result<(), SpawnError> {
        scheduler::with(|scheduler| match scheduler {
            Some(scheduler) if scheduler.remote.id == self.remote.id => {
                scheduler.spawn_fiber(lwp, f, Body::Guest).map(drop)
            }
            _ => self.send_fiber(lwp, f, Body::Guest).map(drop),
        })
    }

    fn send_fiber<T, F>(&self, lwp: Lwp, f: F, kind: FiberKind) -> Result<JoinHandle<T>, SpawnError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.send(lwp, f, move |charge, f, stacks| {
            let taken = stacks.borrow_mut().take();
            match taken {
                Ok(stack) => Some(spawn::fiber(stack, charge, f, kind)),
                Err(error) => {
                    charge.no_stack(error, f);
                    None
                }
            }
        })
    }

    fn send<T: Send + 'static, F: Send + 'static>(
        &self,
        lwp: Lwp,
        f: F,
        birth: impl FnOnce(Charge<T>, F, &RefCell<StackPool>) -> Option<Birth> + Send + 'static,
    ) -> Result<JoinHandle<T>, SpawnError> {
        let (charge, join) = Scheduler::charge(&self.remote, lwp)?;
        let mut sent = Sent(Some((charge, f)));
        self.remote.load.sent();
        self.remote.send(Message::Spawn(Box::new(move |stacks| {
            let (charge, f) = sent.0.take()?;
            birth(charge, f, stacks)
        })));
        Ok(join)
    }

    /// Makes [`Mux::run`](super::Mux::run) or `run_until` return when the task whose turn it is has had it; the next run
    /// to come, if there is none now. The tasks stay as they are, and a later run goes on with them.
    pub fn stop(&self) {
        self.remote.stop();
    }

    /// How many tasks it has that have not finished.
    pub fn load(&self) -> u32 {
        self.remote.load.get()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.remote.name
    }

    /// The host's number of its thread.
    pub fn host(&self) -> u32 {
        self.remote.host
    }

    /// Whether it was dropped.
    pub fn is_closed(&self) -> bool {
        self.remote.inbox().is_closed()
    }
}

/// What is on its way to be made a task of. Dropped before that, it is cancelled: what was to run is dropped in its lwp.
struct Sent<T, F>(Option<(Charge<T>, F)>);

impl<T, F> Drop for Sent<T, F> {
    fn drop(&mut self) {
        if let Some((charge, f)) = self.0.take() {
            charge.cancel(f);
        }
    }
}

impl fmt::Debug for MuxHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MuxHandle").field("name", &self.name()).field("load", &self.load()).finish_non_exhaustive()
    }
}
