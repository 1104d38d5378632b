//! A stay in a kernel: the former context is put aside and comes back.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use super::curlwp::{Home, cpu, out_of_order};
use super::leave::{leave, let_go, watch_thread_end};
use crate::id::LwpHandle;
use crate::kernel::Inner;
use crate::lwp::Slot;
use crate::panics::go_on;

/// Runs `f` in the kernel's implicit context, with the former context put aside, and restores that whatever happens; then
/// whatever lwp is current is let go of. What was put aside goes on to hold its lwp. Where its end comes in another context
/// than its own, which takes a coroutine of others, that is fatal.
#[inline]
pub(crate) fn nest<R>(kernel: &Arc<Inner>, f: impl FnOnce(&Nested<'_>) -> R) -> R {
    let nested = Nested { kernel, home: Home::new(kernel), own: Cell::new(None) };
    // From here to its drop it stays where it is: contexts point to it.
    nested.enter();
    f(&nested)
}

/// See [`nest`].
#[derive(Debug)]
pub(crate) struct Nested<'k> {
    kernel: &'k Arc<Inner>,
    home: Home,
    /// The lwp that is run by its owner, who is here as long as this.
    own: Cell<Option<LwpHandle>>,
}

impl Nested<'_> {
    #[inline(always)]
    fn enter(&self) {
        cpu(|cpu| {
            let aside = cpu.context();
            if aside.current.is_null() {
                // What is bound later is given back in time, whatever thread-locals come after this.
                let _ = watch_thread_end();
            }
            self.home.aside.set(aside);
            cpu.set_context(self.home.implicit());
        });
    }

    /// Makes `slot` current.
    ///
    /// # Safety
    /// It is a lwp of the kernel that the caller holds for this, and the implicit lwp is current.
    #[inline]
    pub(crate) unsafe fn run(&self, slot: &Slot) {
        cpu(|cpu| cpu.current.set(slot));
    }

    /// [`run`](Self::run) for the lwp's owner.
    ///
    /// # Safety
    /// As there; and the owner of `handle` does not go before this does.
    #[inline]
    pub(crate) unsafe fn run_own(&self, slot: &Slot, handle: LwpHandle) {
        self.own.set(Some(handle));
        // SAFETY: the caller's.
        unsafe { self.run(slot) };
    }
}

impl Drop for Nested<'_> {
    #[inline]
    fn drop(&mut self) {
        let left = cpu(|cpu| {
            let left = cpu.context();
            // Coroutines of others may have gone on with a stay elsewhere, or after one that is under way still.
            if !ptr::eq(left.home, &self.home) {
                out_of_order(self.kernel);
            }
            cpu.set_context(self.home.aside.get());
            left
        });
        if left.is_in(self.kernel) && !self.kernel.halted() {
            // SAFETY: the context had a lwp, in this kernel, which is there.
            let slot = unsafe { &*left.current };
            // SAFETY: it was this context's current lwp and is no more. The kernel has not halted, and whoever runs this has a
            // handle on it, so it does not meanwhile. An owner who said so is here.
            unsafe {
                if !self.own.get().is_some_and(|own| slot.let_go_own(own)) {
                    let_go(self.kernel, slot);
                }
            }
            return;
        }
        let mut panic = None;
        // SAFETY: it was this thread's context and is no more.
        unsafe { leave(left, &mut panic) };
        go_on(panic);
    }
}
