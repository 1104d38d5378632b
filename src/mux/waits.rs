//! How tasks wait: a fiber is suspended, a future has its waker armed.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::scheduler::Scheduler;
use super::task::ending::{Cancelled, Ending, Order, Unwound};
use super::task::{Task, Unwinding};
use crate::errno::{Errno, Result};
use crate::wait::driver::{Armed, Driver, Place};
use crate::wait::events::Events;
use crate::wait::hostfd::HostFd;
use crate::wait::queue::WaitQueue;
use crate::wait::waker::{ForeignWaker, Wakers, wakers_of};

impl Scheduler {
    /// The fiber that runs lets others go first.
    #[inline]
    pub(super) fn yield_fiber(&self, task: &Task) {
        if self.before_wait(task).is_ok() {
            self.queue.enqueue(task);
            self.suspend(task);
        }
    }

    /// Whether what runs unwinds, and nobody else does on this host thread.
    #[inline]
    pub(super) fn unwinds(&self) -> bool {
        std::thread::panicking() && self.unwinding.get() == 0
    }

    /// Before the fiber that runs waits.
    ///
    /// # Errors
    /// `EINTR`: it does not. It was cancelled; or it unwinds, and is told so once.
    #[inline]
    fn before_wait(&self, task: &Task) -> Result<()> {
        if task.ending.get().is_cancelled() {
            return self.cancelled_wait(task);
        }
        if std::thread::panicking() {
            return self.wait_in_panic(task);
        }
        task.unwinding.set(Unwinding::No);
        Ok(())
    }

    /// The host thread unwinds: for this fiber, for one that is suspended in it, or for whoever runs the multiplexer.
    #[cold]
    fn wait_in_panic(&self, task: &Task) -> Result<()> {
        let unwinding = &task.unwinding;
        match unwinding.get() {
            Unwinding::Told | Unwinding::Midway => unwinding.set(Unwinding::Midway),
            _ if self.unwinding.get() == 0 => {
                unwinding.set(Unwinding::Told);
                return Err(Errno::EINTR);
            }
            _ => unwinding.set(Unwinding::Unsure),
        }
        Ok(())
    }

    /// Suspends the fiber that runs until its next turn. One that is cancelled then is unwound from here, or told so by its
    /// next wait.
    #[inline]
    fn suspend(&self, task: &Task) {
        let midway = task.unwinding.get() == Unwinding::Midway;
        if midway {
            self.unwinding.set(self.unwinding.get() + 1);
        }
        // SAFETY: it is the task's fiber that runs, and its body stays. What this thread has of its own is not held here; whether
        // it unwinds is taken care of.
        unsafe {
            if let Some((fiber, _)) = task.fiber() {
                fiber.suspend();
            }
        }
        if midway {
            self.unwinding.set(self.unwinding.get() - 1);
        }
        if task.ending.get().is_cancelled() {
            // Where this is `EINTR`, whoever waits is told so when he looks whether he may wait on.
            let _ = self.cancelled_wait(task);
        }
    }

    /// A cancelled fiber waits.
    ///
    /// # Errors
    /// `EINTR`. Or it unwinds, or never comes back.
    #[cold]
    fn cancelled_wait(&self, task: &Task) -> Result<()> {
        // SAFETY: its body stays as long as it runs.
        let Some((fiber, unwinds)) = (unsafe { task.fiber() }) else { return Err(Errno::EINTR) };
        let midway = match task.unwinding.get() {
            Unwinding::No => self.unwinds(),
            _ => std::thread::panicking(),
        };
        match Cancelled::waits(&task.ending, unwinds && !midway) {
            Order::Interrupt => Err(Errno::EINTR),
            // Without the report of a panic: it is none.
            Order::Unwind => std::panic::resume_unwind(Box::new(Unwound)),
            Order::Abandon => loop {
                // SAFETY: as in `suspend`. It is never resumed.
                unsafe { fiber.suspend() };
            },
        }
    }
}

impl Driver for Scheduler {
    fn place(&self) -> &Place {
        &self.place
    }

    fn fiber(&self) -> Option<&Waker> {
        self.queue.fiber().map(Task::waker)
    }

    fn sleep(&self, host: &[(Arc<HostFd>, Events)], deadline: Option<Instant>) -> Result<()> {
        let task = self.queue.fiber().ok_or(Errno::EDEADLK)?;
        self.before_wait(task)?;
        let mut armed = Armed::default();
        let count = host.len() + usize::from(deadline.is_some());
        if count != 0 {
            let (mut wakers, mut woken) = (wakers_of(task.waker(), count), Wakers::new());
            self.arm(&mut armed, &mut wakers, &mut woken, host, deadline)?;
            woken.into_iter().for_each(ForeignWaker::wake);
        }
        self.suspend(task);
        if task.ending.get().is_cancelled() { Err(Errno::EINTR) } else { Ok(()) }
    }

    fn give_up(&self) {
        // What unwinds would be told `EINTR` by its first wait, and this is none.
        if let Some(task) = self.queue.fiber().filter(|_| !self.unwinds()) {
            self.yield_fiber(task);
        }
    }

    fn cancelled(&self) -> bool {
        self.queue.fiber().is_some_and(|task| task.ending.get().is_cancelled())
    }

    fn ends(&self) -> bool {
        self.queue.running().is_some_and(|task| task.ending.get() != Ending::No)
    }

    fn suspended(&self) -> u64 {
        self.queue.turn()
    }

    fn interrupted(&self) -> bool {
        let Some(task) = self.queue.running() else { return true };
        self.kill(task);
        if task.rare.interrupted.replace(self.queue.turn()) != self.queue.turn() {
            return true;
        }
        // Told so in this turn already: others go first.
        if task.on_fiber.get() {
            self.yield_fiber(task);
            task.rare.interrupted.set(self.queue.turn());
            return true;
        }
        self.queue.enqueue(task);
        false
    }

    #[inline]
    fn stay_in(&self, interrupts: &Arc<WaitQueue>) {
        if let Some(task) = self.queue.running()
            && !std::ptr::eq(task.interrupts.get(), Arc::as_ptr(interrupts))
        {
            task.enter(interrupts);
        }
    }

    fn arm(
        &self,
        armed: &mut Armed,
        wakers: &mut Wakers,
        woken: &mut Wakers,
        host: &[(Arc<HostFd>, Events)],
        deadline: Option<Instant>,
    ) -> Result<()> {
        armed.driver = self.remote.id;
        for (fd, events) in host {
            armed.host.push(self.reactor.watch(fd, *events, wakers, woken)?);
        }
        armed.timer = deadline.zip(wakers.pop()).map(|(deadline, waker)| self.timers.add(deadline, waker));
        Ok(())
    }

    fn disarm(&self, armed: &Armed, wakers: &mut Wakers) {
        wakers.extend(armed.host.iter().filter_map(|&watched| self.reactor.leave(watched)));
        wakers.extend(armed.timer.and_then(|timer| self.timers.remove(timer)));
    }
}
