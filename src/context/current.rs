//! A look at the current context, as system calls take it.

use super::curlwp::cpu;
use super::{bind, nest, ready};
use crate::cred::Cred;
use crate::kernel::{Inner, Kernel};
use crate::lwp::Slot;
use crate::proc::Proc;

/// The context that a system call runs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current<'c> {
    slot: &'c Slot,
    kernel: &'c Inner,
}

impl<'c> Current<'c> {
    /// The process.
    #[inline]
    pub(crate) fn proc(self) -> &'c Proc {
        // SAFETY: this context holds the lwp, and `current` lets nobody change that before the reference is gone.
        unsafe { self.slot.proc() }
    }

    /// The lwp, a dedicated or an implicit one.
    #[inline]
    pub(crate) fn slot(self) -> &'c Slot {
        self.slot
    }

    #[inline]
    pub(crate) fn kernel(self) -> &'c Inner {
        self.kernel
    }

    /// Shows `look` the process's credentials: through the lwp's own copy, or those of pid 1 as they are.
    #[inline]
    pub(crate) fn cred<R>(self, look: impl FnOnce(&Cred) -> R) -> R {
        if self.slot.is_implicit() {
            return look(&self.proc().identity.load().cred);
        }
        // SAFETY: this context holds the lwp, and looking at credentials neither lets go of it nor asks for them again.
        look(unsafe { &self.slot.identity().get().cred })
    }
}

/// Shows `f` the calling thread's context. In no kernel yet, the thread comes into the default kernel's implicit context.
///
/// `f` must run no code of the embedder's (a file's method or drop, a waker, a hook): that could release the lwp under
/// it. What outlives the look is taken out by count or by value.
#[inline]
pub(crate) fn current<R>(f: impl FnOnce(Current<'_>) -> R) -> R {
    let context = cpu(|cpu| cpu.context());
    if context.current.is_null() {
        return outside(f);
    }
    // SAFETY: a context in a kernel has its memory kept, and with it the slot; `f` does not change the context.
    f(unsafe { Current { slot: &*context.current, kernel: &*context.kernel } })
}

/// [`current`] for a thread that is in no kernel.
#[cold]
fn outside<R>(f: impl FnOnce(Current<'_>) -> R) -> R {
    let kernel = Kernel::global();
    match ready(kernel) {
        Ok(()) => {
            // SAFETY: `ready` said so; the implicit lwp is the kernel's.
            unsafe { bind(kernel, kernel.inner().implicit()) };
            current(f)
        }
        // The thread ends: its context lasts for this call alone.
        Err(_) => nest(kernel.inner(), |_| current(f)),
    }
}
