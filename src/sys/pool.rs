//! Calls that may keep the host's disks, or a network, busy for long.
//!
//! A plain host thread makes them as they are. Under a multiplexer they are tried [without waiting](nowait) first; where that
//! does not do, a thread of a bounded pool makes them, and the caller alone waits. A call in flight has all that it works on
//! by count or by copy: whoever waited may be killed, cancelled or dropped meanwhile, and a call that has begun goes on to its
//! end.

#[cfg(not(loom))]
use std::future::Future;
#[cfg(not(loom))]
use std::pin::Pin;
#[cfg(not(loom))]
use std::task::Context;
use std::task::Poll;

#[cfg(not(loom))]
use blocking::Task;

use super::call::Call;
use crate::context::Curproc;
use crate::errno::{Errno, Result};
use crate::fd::OpenFile;
use crate::wait::watch::Watch;
use crate::wait::{Interruptible, may_suspend, nowait};

/// A call that a thread of the pool makes, or has made. Dropped, it is not begun any more.
#[cfg(not(loom))]
pub(super) struct Job<T>(Option<Task<Result<T>>>);

/// There is no multiplexer in a model, and so nothing for a pool, which has no models.
#[cfg(loom)]
pub(super) struct Job<T>(std::marker::PhantomData<T>);

impl<T: Send + 'static> Job<T> {
    #[cfg(not(loom))]
    pub(super) const NONE: Self = Self(None);
    #[cfg(loom)]
    pub(super) const NONE: Self = Self(std::marker::PhantomData);

    #[cfg(loom)]
    pub(super) fn poll<J: FnOnce() -> Result<T>>(
        &mut self,
        _: &Watch<'_>,
        make: impl FnOnce() -> J,
    ) -> Poll<Result<T>> {
        Poll::Ready(make()())
    }

    /// Has `make`'s call made, once; what it answered is for the last who asked.
    #[cfg(not(loom))]
    pub(super) fn poll<J>(&mut self, watch: &Watch<'_>, make: impl FnOnce() -> J) -> Poll<Result<T>>
    where
        J: FnOnce() -> Result<T> + Send + 'static,
    {
        let task = self.0.get_or_insert_with(|| blocking::unblock(make()));
        let done = Pin::new(task).poll(&mut Context::from_waker(watch.waker()));
        if done.is_ready() {
            self.0 = None;
        }
        done
    }
}

/// The first attempt at what may take long; `Pending`: it is one for the pool.
pub(super) fn first<T>(attempt: impl FnOnce() -> Result<T>) -> Poll<Result<T>> {
    // Whoever unwinds, or was cancelled or killed, does not wait any more, and has its things to put in order.
    if std::thread::panicking() || !may_suspend() || Curproc.interrupted() {
        return Poll::Ready(attempt());
    }
    match nowait::attempt(attempt) {
        Err(Errno::EAGAIN) => Poll::Pending,
        done => Poll::Ready(done),
    }
}

/// See [`pooled`].
pub(super) struct Pooled<S, A, M, T> {
    /// Whether it is none for the pool, whatever is answered: an embedder's code, say.
    here: bool,
    with: S,
    attempt: A,
    make: M,
    job: Job<T>,
}

/// A call that `attempt` makes, or else what `make` gives for the pool, unless it is to be made `here`; both of them `with` the
/// same.
#[inline]
pub(super) fn pooled<S, T, J>(
    here: bool,
    with: S,
    attempt: impl Fn(&S) -> Result<T>,
    make: impl Fn(&S) -> J,
) -> Pooled<S, impl Fn(&S) -> Result<T>, impl Fn(&S) -> J, T>
where
    T: Send + 'static,
    J: FnOnce() -> Result<T> + Send + 'static,
{
    Pooled { here, with, attempt, make, job: Job::NONE }
}

/// A call on an open file, for the pool where it may take long there.
#[inline]
pub(super) fn on_file<T: Send + 'static>(
    open: OpenFile,
    call: impl Fn(&OpenFile) -> Result<T> + Copy + Send + 'static,
) -> impl Call<Output = T> {
    pooled(!open.pooled(), open, call, move |open| {
        let open = open.clone();
        move || call(&open)
    })
}

impl<S, A, M, J, T> Call for Pooled<S, A, M, T>
where
    A: Fn(&S) -> Result<T>,
    M: Fn(&S) -> J,
    J: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    type Output = T;

    #[inline]
    fn first(&mut self) -> Poll<Result<T>> {
        let attempt = || (self.attempt)(&self.with);
        if self.here { Poll::Ready(attempt()) } else { first(attempt) }
    }

    fn again(&mut self, watch: &mut Watch<'_>) -> Poll<Result<T>> {
        self.job.poll(watch, || (self.make)(&self.with))
    }
}
