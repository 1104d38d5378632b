//! What other threads have of a multiplexer: a handle to spawn from and to stop it by.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use super::charge::Charge;
use super::inbox::{Inbox, Notify};
use super::join::JoinHandle;
use super::reactor::Notifier;
#[cfg(feature = "capi")]
use super::scheduler;
use super::scheduler::Scheduler;
use super::spawn::{SpawnError, SpawnErrorKind};
use super::task::{Body, FiberKind, Task};
use crate::context::curlwp::cpu;
use crate::lwp::SwitchError;
use crate::lwproc::Lwp;
use crate::sync::{AtomicBool, AtomicU32, Ordering};
use crate::wait::driver;

/// What a multiplexer shares with other threads.
pub(crate) struct Shared {
    /// *Immutable.* Its number in this host process, never used again.
    pub(super) id: u64,
    /// *Immutable.*
    pub(super) name: Box<str>,
    /// *Immutable.* The number of its kernel. Not a handle: what outlives the multiplexer must not keep the kernel.
    kernel: NonZeroU32,
    /// *Immutable.* Its host thread.
    pub(super) host: u32,
    inbox: Inbox<Message>,
    /// *Immutable.* Ends its sleep in the reactor. Gone with the multiplexer, so that wakers keep no descriptor of it.
    notifier: Weak<Notifier>,
    /// *Atomic*: whether it is to stop.
    stop: AtomicBool,
    pub(super) load: Load,
}

/// What other threads send.
pub(super) enum Message {
    /// A task was woken.
    Wake(Arc<Task>),
    /// Something to be spawned.
    Spawn(Box<dyn FnOnce(&Scheduler) + Send>),
}

/// How many tasks a multiplexer has.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// *The owner writes, all may read*: those that it has taken in, and that have not finished.
    here: AtomicU32,
    /// *Atomic*: those on their way.
    coming: AtomicU32,
}

impl Load {
    #[inline]
    pub(super) fn set(&self, here: usize) {
        // Relaxed, here and below: numbers to look at, which order nothing.
        self.here.store(u32::try_from(here).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> u32 {
        self.here.load(Ordering::Relaxed).saturating_add(self.coming.load(Ordering::Relaxed))
    }
}

impl Shared {
    pub(super) fn new(name: Box<str>, kernel: NonZeroU32, notifier: &Arc<Notifier>) -> Arc<Self> {
        Arc::new(Self {
            id: driver::number(),
            name,
            kernel,
            host: cpu(|cpu| cpu.host()),
            inbox: Inbox::new(),
            notifier: Arc::downgrade(notifier),
            stop: AtomicBool::new(false),
            load: Load::default(),
        })
    }

    pub(super) fn inbox(&self) -> &Inbox<Message> {
        &self.inbox
    }

    /// Leaves a task that was woken on another thread.
    #[cold]
    pub(super) fn enqueue(&self, task: Arc<Task>) {
        let notify = self.inbox.push(Message::Wake(task));
        self.answer(notify);
    }

    fn answer(&self, notify: Notify) {
        match notify {
            Notify::Nothing => {}
            Notify::Unpark => {
                if let Some(notifier) = self.notifier.upgrade() {
                    notifier.notify();
                }
            }
            // Each is dropped off the queue: a task's charge releases a lwp.
            Notify::Closed => {
                while let Some(left) = self.inbox.pop() {
                    drop(left);
                }
            }
        }
    }

    /// Takes the lwp for this multiplexer, to be run there; and the handle for what comes of it.
    pub(super) fn charge<T>(&self, lwp: Lwp) -> Result<(Charge<T>, JoinHandle<T>), SpawnError> {
        match self.own(&lwp) {
            Ok(()) => Ok(Charge::new(lwp)),
            Err(kind) => Err(SpawnError { lwp, kind }),
        }
    }

    fn own(&self, lwp: &Lwp) -> Result<(), SpawnErrorKind> {
        if lwp.kernel().id() != self.kernel {
            return Err(SpawnErrorKind::Lwp(SwitchError::Foreign));
        }
        if self.inbox.is_closed() {
            return Err(SpawnErrorKind::Closed);
        }
        lwp.own(self.host).map_err(SpawnErrorKind::Lwp)
    }

    /// Whether it was to stop; now it is not any more.
    pub(super) fn take_stop(&self) -> bool {
        // Acquire: pairs with the Release in `stop`.
        self.stop.load(Ordering::Relaxed) && self.stop.swap(false, Ordering::Acquire)
    }

    /// Whether it is to stop.
    pub(super) fn is_to_stop(&self) -> bool {
        // Relaxed: `take_stop` is what orders.
        self.stop.load(Ordering::Relaxed)
    }
}

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
    shared: Arc<Shared>,
}

impl MuxHandle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// As [`Mux::spawn`](super::Mux::spawn), from any host thread.
    ///
    /// # Errors
    /// As there, and [`SpawnErrorKind::Closed`]: the multiplexer was dropped. Dropped after that, it cancels the task.
    pub fn spawn<F>(&self, lwp: Lwp, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.leave(lwp, |charge, scheduler| scheduler.start(charge, future))
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
        self.leave_fiber(lwp, f, Body::Fiber)
    }

    /// Spawns a [`Guest`](Body::Guest), from any host thread.
    #[cfg(feature = "capi")]
    pub(crate) fn spawn_guest(&self, lwp: Lwp, f: impl FnOnce() + Send + 'static) -> Result<(), SpawnError> {
        scheduler::with(|scheduler| match scheduler {
            Some(scheduler) if scheduler.shared.id == self.shared.id => {
                scheduler.spawn_fiber(lwp, f, Body::Guest).map(drop)
            }
            _ => self.leave_fiber(lwp, f, Body::Guest).map(drop),
        })
    }

    fn leave_fiber<T, F>(&self, lwp: Lwp, f: F, kind: FiberKind) -> Result<JoinHandle<T>, SpawnError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.leave(lwp, move |charge, scheduler| {
            if let Err((charge, error)) = scheduler.start_fiber(charge, f, kind) {
                charge.no_stack(error);
            }
        })
    }

    fn leave<T: Send + 'static>(
        &self,
        lwp: Lwp,
        start: impl FnOnce(Charge<T>, &Scheduler) + Send + 'static,
    ) -> Result<JoinHandle<T>, SpawnError> {
        let (charge, join) = self.shared.charge(lwp)?;
        // Relaxed: see `Load`.
        self.shared.load.coming.fetch_add(1, Ordering::Relaxed);
        let spawn = move |scheduler: &Scheduler| {
            start(charge, scheduler);
            // Not before: it is counted twice for a moment rather than not at all.
            scheduler.shared.load.coming.fetch_sub(1, Ordering::Relaxed);
        };
        let notify = self.shared.inbox.push(Message::Spawn(Box::new(spawn)));
        self.shared.answer(notify);
        Ok(join)
    }

    /// Makes [`Mux::run`](super::Mux::run) or `run_until` return when the task whose turn it is has had it; the next run
    /// to come, if there is none now. The tasks stay as they are, and a later run goes on with them.
    pub fn stop(&self) {
        // Release: pairs with the Acquire in `take_stop`.
        self.shared.stop.store(true, Ordering::Release);
        let notify = self.shared.inbox.notify();
        self.shared.answer(notify);
    }

    /// How many tasks it has that have not finished.
    pub fn load(&self) -> u32 {
        self.shared.load.get()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The host's number of its thread.
    pub fn host(&self) -> u32 {
        self.shared.host
    }

    /// Whether it was dropped.
    pub fn is_closed(&self) -> bool {
        self.shared.inbox.is_closed()
    }
}

impl fmt::Debug for MuxHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MuxHandle").field("name", &self.name()).field("load", &self.load()).finish_non_exhaustive()
    }
}
