//! Spawning: a task is made of a lwp and what is to run in it.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::charge::Charge;
use super::join::JoinHandle;
use super::scheduler::{self, Scheduler};
use super::stack::Fiber;
use super::task::{Birth, Body, FiberKind};
use crate::context::exit;
use crate::errno::Errno;
use crate::lwp::SwitchError;
use crate::lwproc::Lwp;

/// Why nothing was spawned. The lwp is as it was, and comes back.
pub struct SpawnError {
    pub(super) lwp: Lwp,
    pub(super) kind: SpawnErrorKind,
}

/// What kept a task from being spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// The lwp cannot be had: it runs, was released, or is another kernel's.
    #[error(transparent)]
    Lwp(#[from] SwitchError),
    /// The multiplexer was dropped, or is being dropped.
    #[error("the multiplexer is closed")]
    Closed,
    /// There is no stack for the fiber.
    #[error("no stack: {0}")]
    NoStack(Errno),
    /// There is no multiplexer on this host thread.
    #[error("no multiplexer runs on this host thread")]
    NoMux,
}

impl SpawnError {
    /// Why.
    pub fn kind(&self) -> SpawnErrorKind {
        self.kind
    }

    /// The lwp.
    pub fn into_lwp(self) -> Lwp {
        self.lwp
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot spawn in {:?}: {}", self.lwp.id(), self.kind)
    }
}

impl fmt::Debug for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SpawnError {}

/// As for [`SwitchError`]; `EPIPE` for a closed multiplexer, `EOPNOTSUPP` where there is none. The lwp is released.
impl From<SpawnError> for Errno {
    fn from(error: SpawnError) -> Self {
        match error.kind {
            SpawnErrorKind::Lwp(error) => error.into(),
            SpawnErrorKind::Closed => Self::EPIPE,
            SpawnErrorKind::NoStack(error) => error,
            SpawnErrorKind::NoMux => Self::EOPNOTSUPP,
        }
    }
}

impl Scheduler {
    /// Spawns a future.
    pub(super) fn spawn<F: Future + 'static>(&self, lwp: Lwp, future: F) -> Result<JoinHandle<F::Output>, SpawnError> {
        let (charge, join) = self.shared.charge(lwp)?;
        self.start(charge, future);
        Ok(join)
    }

    /// Spawns a fiber, of that kind.
    pub(super) fn spawn_fiber<T: 'static>(
        &self,
        lwp: Lwp,
        f: impl FnOnce() -> T + 'static,
        kind: FiberKind,
    ) -> Result<JoinHandle<T>, SpawnError> {
        let (charge, join) = self.shared.charge(lwp)?;
        match self.start_fiber(charge, f, kind) {
            Ok(()) => Ok(join),
            Err((charge, error)) => Err(SpawnError { lwp: charge.give_back(), kind: SpawnErrorKind::NoStack(error) }),
        }
    }

    /// Makes a task of a future.
    pub(super) fn start<F: Future + 'static>(&self, charge: Charge<F::Output>, future: F) {
        let (slot, handle) = charge.slot();
        let packet = charge.packet();
        let future = Box::pin(Charged { future: Some(future), charge: Some(charge) });
        let ahead = ptr::from_ref(&*future).cast();
        self.admit(Birth { body: Body::Future(future), slot, handle, packet, ahead });
    }

    /// Makes a task of a fiber, of that kind.
    pub(super) fn start_fiber<T: 'static>(
        &self,
        charge: Charge<T>,
        f: impl FnOnce() -> T + 'static,
        kind: FiberKind,
    ) -> Result<(), (Charge<T>, Errno)> {
        let stack = match self.stacks.borrow_mut().take() {
            Ok(stack) => stack,
            Err(error) => return Err((charge, error)),
        };
        let (slot, handle) = charge.slot();
        let packet = charge.packet();
        let begun = Begun { f, charge };
        let fiber = Fiber::new(stack, move || begun.run());
        let ahead = fiber.ahead();
        self.admit(Birth { body: kind(fiber), slot, handle, packet, ahead });
        Ok(())
    }
}

/// What a fiber runs. Dropped before it ran, `f` goes first.
struct Begun<F, T> {
    f: F,
    charge: Charge<T>,
}

impl<T, F: FnOnce() -> T> Begun<F, T> {
    fn run(self) {
        scheduler::with(|scheduler| {
            if let Some(task) = scheduler.and_then(Scheduler::running) {
                task.begin();
            }
        });
        let Self { f, charge } = self;
        let result = catch_unwind(AssertUnwindSafe(f));
        let cancelled = || {
            scheduler::with(|scheduler| {
                scheduler.and_then(Scheduler::running).filter(|task| task.cancelled.get()).map(ptr::from_ref)
            })
        };
        if let Some(task) = cancelled() {
            // A payload's drop is anybody's code, and may panic.
            std::mem::forget(result);
            let mut panic = None;
            exit::catch(|| drop(charge), &mut panic);
            // SAFETY: it lives as long as it runs, and nobody else uses what is rare of it.
            unsafe { (*(*task).rare.get()).panic = panic };
        } else {
            charge.discharge(result);
        }
    }
}

pin_project! {
    /// A future that discharges its task when it has finished. Dropped before, the inner one goes first.
    struct Charged<F: Future> {
        #[pin]
        future: Option<F>,
        charge: Option<Charge<F::Output>>,
    }
}

impl<F: Future> Future for Charged<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| match this.future.as_mut().as_pin_mut() {
            Some(future) => {
                let value = ready!(future.poll(cx));
                this.future.set(None);
                Poll::Ready(Some(value))
            }
            None => Poll::Ready(None),
        }));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(None)) => return Poll::Ready(()),
            Ok(Poll::Ready(Some(value))) => Ok(value),
            Err(panic) => {
                // What is left of it, in spite of another panic.
                let rest = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
                std::mem::forget(rest);
                Err(panic)
            }
        };
        if let Some(charge) = this.charge.take() {
            charge.discharge(result);
        }
        Poll::Ready(())
    }
}
