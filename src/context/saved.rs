//! The context of a task: a whole one, as a host thread has it, saved from one turn to the next.

use std::cell::Cell;
use std::ptr;

use super::curlwp::{Context, Cpu, Home, cpu};
use super::leave::leave;
use crate::lwp::Slot;
use crate::panics::Panic;

/// See the module. What is current in it is held by its task, whether that has its turn or not. To change turns is plain
/// stores: nothing is claimed, and nothing let go of.
#[derive(Debug)]
pub(crate) struct Saved(Cell<Context>);

impl Saved {
    /// Of a task made at `home`, with `slot` current.
    ///
    /// # Safety
    /// `home` outlives the task, and does not move. The caller holds the lwp, which is of the kernel of `home`, for the task.
    pub(crate) unsafe fn in_lwp(home: &Home, slot: &Slot) -> Self {
        slot.park_first();
        Self(Cell::new(home.in_lwp(slot)))
    }

    /// Of a task made at `home`, in its kernel's implicit context.
    ///
    /// # Safety
    /// `home` outlives the task, and does not move.
    #[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
    pub(crate) unsafe fn implicit(home: &Home) -> Self {
        Self(Cell::new(home.implicit()))
    }

    /// A turn begins: it becomes the host thread's context. What that had is left as it is, saved by whoever had it.
    #[inline(always)]
    pub(crate) fn resume(&self, cpu: &Cpu) {
        let context = self.0.get();
        cpu.set_context(context);
        if let Some(slot) = context.slot() {
            slot.unpark();
        }
    }

    /// A turn is over: saves the host thread's context, which is as the task has left it, and stays until another is set.
    #[inline(always)]
    pub(crate) fn suspend(&self, cpu: &Cpu) {
        let context = cpu.context();
        self.0.set(context);
        if let Some(slot) = context.slot() {
            slot.park();
        }
    }

    /// The lwp that was current when it was saved.
    #[inline(always)]
    #[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
    pub(crate) fn current(&self) -> *const Slot {
        self.0.get().current
    }

    /// The end of a task that has come to the end of what it ran: lets go of what is current in its last turn, which is
    /// this one, and leaves the thread in the implicit context of `home`. Keeps the first panic of what ends then.
    ///
    /// # Safety
    /// The task's context is the host thread's, and `home` is where the task was made.
    #[inline]
    pub(crate) unsafe fn end(cpu: &Cpu, home: &Home, panic: &mut Option<Panic>) {
        let left = cpu.context();
        let implicit = home.implicit();
        cpu.set_context(implicit);
        if !ptr::eq(left.current, implicit.current) {
            // SAFETY: it was the task's context, which is over.
            unsafe { leave(left, panic) };
        }
    }

    /// The end of a task in the midst of what it ran, which never goes on: lets go of what is current in its last turn,
    /// which is this one, and of what it had put aside, and leaves the thread in the implicit context of `home`.
    ///
    /// # Safety
    /// As for [`end`](Self::end); and the stays that the task was in, which lie on a stack that nobody touches any more, are there
    /// for good.
    #[cold]
    #[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
    pub(crate) unsafe fn abandon(home: &Home, panic: &mut Option<Panic>) {
        let mut left = cpu(|cpu| {
            let left = cpu.context();
            cpu.set_context(home.implicit());
            left
        });
        loop {
            // SAFETY: none of them is anybody's context any more.
            unsafe { leave(left, panic) };
            if ptr::eq(left.home, home) {
                return;
            }
            // SAFETY: homes on the way are stays of the task, which are there for good.
            left = unsafe { (*left.home).aside.get() };
        }
    }
}
