//! `Condition`: waiting for what a mutex guards to change.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::latch::{Glance, Latch};
use super::mutex::MutexGuard;
use super::waiters::{Line, Wait, Waiters};
use crate::context::Curproc;
use crate::errno::{Errno, Result};
use crate::wait;

/// A condition variable: waits, without the [`Mutex`](super::Mutex), until whoever changes what that guards says so.
///
/// A wait may end without a notification, so the condition itself is to be looked at again; `wait_while` does that. Those
/// notified are the ones that have waited longest.
///
/// ```
/// use std::sync::Arc;
/// use lwproc::blocking::{Condition, Mutex};
/// use lwproc::{Kernel, Mux, ProcOptions};
///
/// let kernel = Kernel::new()?;
/// let mut mux = Mux::new(&kernel)?;
/// let shared = Arc::new((Mutex::new(false), Condition::new()));
/// let mut waits = mux.spawn_fiber(kernel.spawn(ProcOptions::new())?, {
///     let shared = Arc::clone(&shared);
///     move || {
///         let (ready, changed) = &*shared;
///         changed.wait_while(ready.lock()?, |ready| !*ready).map(|ready| *ready)
///     }
/// })?;
/// std::thread::spawn(move || {
///     let (ready, changed) = &*shared;
///     *ready.lock().unwrap() = true;
///     changed.notify_one();
/// });
/// mux.run()?;
/// assert!(waits.join()??);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: pthread_cond_wait, POSIX.1-2024.
pub struct Condition {
    line: Latch<Tickets>,
}

/// Those who wait, each with the number of its coming.
struct Tickets {
    next: u64,
    waiters: Waiters<u64>,
}

/// To be seen without the latch: somebody waits.
const WAITED_FOR: u32 = 2;

impl Glance for Tickets {
    fn glance(&self) -> u32 {
        if self.waiters.is_empty() { 0 } else { WAITED_FOR }
    }
}

impl Line<u64> for Tickets {
    fn line(&mut self) -> &mut Waiters<u64> {
        &mut self.waiters
    }
}

impl Condition {
    /// A condition for which nobody waits.
    pub fn new() -> Self {
        Self { line: Latch::new(Tickets { next: 0, waiters: Waiters::new() }) }
    }

    /// Unlocks, waits to be notified, and locks again.
    ///
    /// # Errors
    /// `EINTR`: the process was killed. The mutex is unlocked then.
    pub fn wait<'m, T: ?Sized>(&self, guard: MutexGuard<'m, T>) -> Result<MutexGuard<'m, T>> {
        wait::until_woken(Curproc, None, pin!(self.wait_async(guard)))
    }

    /// Waits as long as `condition` holds; it is looked at first, and after each notification.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_while<'m, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'m, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<'m, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), until `deadline` at most. Answers also whether it was notified: if not, the deadline has
    /// passed. To lock again may take longer.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_until<'m, T: ?Sized>(
        &self,
        guard: MutexGuard<'m, T>,
        deadline: Instant,
    ) -> Result<(MutexGuard<'m, T>, bool)> {
        let mutex = guard.mutex();
        let notified = match wait::until_woken(Curproc, Some(deadline), pin!(self.notified(guard))) {
            Ok(notified) => Some(notified),
            Err(Errno::ETIMEDOUT) => None,
            Err(error) => return Err(error),
        };
        let guard = mutex.lock()?;
        Ok((guard, notified.map(Notification::heed).is_some()))
    }

    /// [`wait`](Self::wait) as a future. Dropped, it leaves the mutex unlocked, and a notification to another.
    pub async fn wait_async<'m, T: ?Sized>(&self, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        let mutex = guard.mutex();
        let notified = self.notified(guard).await;
        let guard = mutex.lock_async().await;
        notified.heed();
        guard
    }

    /// [`wait_while`](Self::wait_while) as a future.
    pub async fn wait_while_async<'m, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'m, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'m, T> {
        while condition(&mut guard) {
            guard = self.wait_async(guard).await;
        }
        guard
    }

    /// Ends the wait of the one that has waited longest.
    pub fn notify_one(&self) {
        self.notify(|_| true);
    }

    /// Ends the waits of all who wait now.
    pub fn notify_all(&self) {
        let Some(end) = self.is_waited_for().then(|| self.line.latch().next) else { return };
        // Not those who come to wait meanwhile.
        while self.notify(|ticket| ticket < end) {}
    }

    fn is_waited_for(&self) -> bool {
        self.line.glance() & WAITED_FOR != 0
    }

    /// Ends the wait of the first, if its ticket is one of those meant. Whether it was.
    fn notify(&self, meant: impl FnOnce(u64) -> bool) -> bool {
        // Without the latch: who waits entered before it unlocked, which whoever changed what it waits for has seen.
        if !self.is_waited_for() {
            return false;
        }
        let mut tickets = self.line.latch();
        let first = tickets.waiters.first().copied();
        let notified = first.filter(|first| meant(*first)).and_then(|_| tickets.waiters.settle_first(|_| ()));
        drop(tickets);
        notified.map(|((), waker)| waker.wake()).is_some()
    }

    /// Unlocks when it waits.
    fn notified<'c, 'm, T: ?Sized>(&'c self, guard: MutexGuard<'m, T>) -> Notified<'c, 'm, T> {
        Notified { condition: self, guard: Some(guard), wait: Wait::new(&self.line, 0) }
    }
}

/// A notification that has reached a waiter. Dropped unheeded, it goes to another.
struct Notification<'c>(&'c Condition);

impl Notification<'_> {
    fn heed(self) {
        std::mem::forget(self);
    }
}

impl Drop for Notification<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

pin_project! {
    struct Notified<'c, 'm, T: ?Sized> {
        condition: &'c Condition,
        guard: Option<MutexGuard<'m, T>>,
        #[pin]
        wait: Wait<'c, Tickets, u64>,
    }

    impl<T: ?Sized> PinnedDrop for Notified<'_, '_, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (true, _) = this.wait.leave() {
                this.condition.notify_one();
            }
        }
    }
}

impl<'c, T: ?Sized> Future for Notified<'c, '_, T> {
    type Output = Notification<'c>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.wait.poll(cx, true, |tickets, ticket| {
            *ticket = tickets.next;
            tickets.next += 1;
            None::<()>
        });
        // It is in line now: who has the mutex from here on notifies it.
        drop(this.guard.take());
        polled.map(|_| Notification(this.condition))
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waited_for", &self.is_waited_for()).finish()
    }
}
