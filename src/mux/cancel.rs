//! The ends of tasks that do not come to them by themselves: by a kill of their process, and by cancellation. The rule is in
//! the documentation of [`mux`](crate::mux), under "Cancel and kill".

use std::sync::Arc;

use super::scheduler::Scheduler;
use super::task::ending::Ending;
use super::task::{Body, Task, Unwinding};
use crate::context::curlwp::cpu;
use crate::context::saved::Saved;
use crate::panics;
use crate::sync::Ordering;
use crate::table;

/// How many tasks are looked at at a time whether their process was killed.
const LOOKS: usize = 64;

impl Scheduler {
    /// The process of a task was killed: from now on its turns are counted, and it has them whether it asks or not.
    pub(super) fn kill(&self, task: &Task) {
        if task.ending.get() == Ending::No && task.counts() {
            task.ending.set(Ending::Killed { turns: 0 });
        }
    }

    /// Whether a task that does not go on as it likes may have the turn that has come: else it has been ended.
    #[cold]
    pub(super) fn may_have_turn(&self, task: &Task) -> bool {
        match task.ending.get() {
            Ending::Killed { turns } if turns < Ending::TURNS => {
                task.ending.set(Ending::Killed { turns: turns + 1 });
                true
            }
            Ending::Killed { .. } => {
                task.queued.set(false);
                self.cancel(task);
                false
            }
            _ => true,
        }
    }

    /// A task that does not go on as it likes has had a turn, and has not finished.
    #[cold]
    pub(super) fn after_turn(&self, task: &Task) {
        if task.ending.get().is_cancelled() {
            return;
        }
        self.queue.enqueue(task);
    }

    /// Looks through some of the tasks for those whose process was killed, if any was since the last look. Those that wait are
    /// woken by the kill itself; this finds those that do not.
    #[inline]
    pub(super) fn look_for_killed(&self) {
        // Relaxed: seen later, it is seen in time.
        let kills = self.kernel.inner().kills.load(Ordering::Relaxed);
        let (seen, left) = self.kills.get();
        if kills != seen || left != 0 {
            self.look_for_killed_among(kills, if kills == seen { left } else { usize::MAX });
        }
    }

    /// Looks through the last of the first `left` tasks. From the end: one that moves to the front meanwhile, since another is
    /// dismissed, was looked at.
    #[cold]
    fn look_for_killed_among(&self, kills: u32, left: usize) {
        let guard = table::pin();
        let inner = self.kernel.inner();
        // SAFETY: nothing here runs anybody else's code.
        let tasks = unsafe { &*self.tasks.get() };
        let end = left.min(tasks.len());
        let left = end.saturating_sub(LOOKS);
        for task in tasks[left..end].iter().filter(|task| task.ending.get() == Ending::No) {
            // SAFETY: the slot is the kernel's.
            let pid = unsafe { task.slot.as_ref() }.and_then(|slot| slot.pid_of(task.handle));
            if pid.and_then(|pid| inner.procs.get(pid, &guard)).is_some_and(|proc| proc.lwps.exiting()) {
                self.kill(task);
                self.queue.enqueue(task);
            }
        }
        self.kills.set((kills, left));
    }

    /// Ends a task that has not finished and does not run, in its context: its future is dropped, its fiber unwound.
    pub(super) fn cancel(&self, task: &Task) {
        // SAFETY: the task does not run; a body is taken out by whoever ends it.
        let body = task.body.get();
        // SAFETY: as above.
        if matches!(unsafe { &*body }, Body::Finished) {
            return;
        }
        task.ending.set(Ending::Cancelled(Default::default()));
        self.queue.begin(task);
        cpu(|cpu| task.saved.resume(cpu));
        // SAFETY: as above.
        let begun = unsafe { task.fiber() }.is_some_and(|(fiber, _)| fiber.started());
        // Comes back when the fiber is done, or suspended for good.
        // SAFETY: it is a fiber, neither done nor running.
        if begun && !unsafe { self.resume(task) } {
            return self.abandon(task);
        }
        if !begun {
            // SAFETY: as above. In the place of a future that is dropped nobody finds anything.
            let body = std::mem::replace(unsafe { &mut *body }, Body::Finished);
            panics::contain(|| match body {
                Body::Fiber(fiber) | Body::Guest(fiber) => {
                    let stack = fiber.into_stack();
                    self.stacks.borrow_mut().put(stack);
                }
                body => drop(body),
            });
        }
        cpu(|cpu| self.finish(cpu, task));
    }

    /// Gives up a fiber that is suspended for good, in its last turn: its stack is never touched again, and what lies there
    /// never dropped; but what it owes is given, and what it held is let go of.
    #[cold]
    fn abandon(&self, task: &Task) {
        if task.unwinding.get() == Unwinding::Midway || self.unwinds() {
            // The host thread counts as unwinding for good.
            self.unwinding.set(self.unwinding.get() + 1);
        }
        // What goes from here on runs on no fiber.
        task.on_fiber.set(false);
        if let Some(owed) = task.rare.owed.take() {
            // SAFETY: the fiber never goes on.
            panics::contain(|| unsafe { owed.cancel() });
        }
        let mut panic = None;
        // SAFETY: its context is the host thread's; its stack is there for good, since its fiber is abandoned.
        unsafe { Saved::abandon(&self.home, &mut panic) };
        panics::tell_any(panic);
        self.queue.end();
        // SAFETY: the fiber does not run. Dropped in the midst of it, it leaves its stack alone.
        unsafe { *task.body.get() = Body::Finished };
        self.forget(task);
    }

    /// The end of `main`, which has finished or not, in its turn or not: lets go of what is current in its context.
    pub(super) fn end_main(&self, task: &Task) {
        // SAFETY: the reference lasts for a look.
        if !matches!(unsafe { &*task.body.get() }, Body::Main) {
            return;
        }
        // Left by a panic, it is in its turn still.
        if self.queue.running().is_none() {
            self.queue.begin(task);
            cpu(|cpu| task.saved.resume(cpu));
        }
        cpu(|cpu| self.finish(cpu, task));
    }

    /// Ends all tasks. No more turns are given.
    pub(super) fn cancel_all(&self) {
        // What ends may wake others, but spawns no more: the inbox is closed.
        // SAFETY: the reference lasts for a look.
        while let Some(task) = unsafe { &*self.tasks.get() }.last().cloned() {
            self.cancel(&task);
            // SAFETY: as above. Queued, it was left for its turn to be dismissed.
            if unsafe { &*self.tasks.get() }.last().is_some_and(|last| Arc::ptr_eq(last, &task)) {
                self.dismiss(&task);
            }
        }
        self.queue.clear();
    }
}
