//! `switch`: another lwp becomes current.

use std::sync::Arc;

use crate::context::curlwp::{cpu, fatal};
use crate::context::implicit;
use crate::id::LwpId;
use crate::kernel::{FatalKind, Kernel};
use crate::lwp::{Slot, SwitchError};

impl Kernel {
    /// Makes `to` current, `None`: the implicit context, and lets go of the lwp that was. `None` in an implicit context
    /// changes nothing.
    ///
    /// # Fatal
    /// Where [`try_switch`](Self::try_switch) is an error: `to` runs already, on this host thread or another, was
    /// released, is made up, or is another kernel's; or the host thread is ending. There `None` changes nothing.
    ///
    /// A lwp that a [`Mux`](crate::Mux) runs is running for all but its own fiber or future, which may come back to it.
    ///
    /// Source: rump_lwproc(3).
    #[inline]
    pub fn switch(&self, to: Option<LwpId>) {
        if let Err(error) = self.try_switch(to) {
            self.cannot_switch(to, error);
        }
    }

    #[cold]
    fn cannot_switch(&self, to: Option<LwpId>, error: SwitchError) {
        match to {
            Some(to) => fatal(self.inner(), FatalKind::Switch { to, error }),
            // A thread that ends keeps no context: each call that it still makes has one of its own.
            None => debug_assert_eq!(error, SwitchError::HostEnding),
        }
    }

    /// As [`switch`](Self::switch), with an error where that is fatal.
    ///
    /// The lwp is claimed by one compare-exchange on its word before anything is let go of: of two threads that switch
    /// to it one wins, and the other's context is untouched.
    ///
    /// # Errors
    /// See [`SwitchError`].
    ///
    /// ```
    /// use lwproc::{FdInherit, Kernel, SwitchError};
    ///
    /// let kernel = Kernel::new()?;
    /// kernel.rfork(FdInherit::Clean)?;
    /// let lwp = kernel.curlwp();
    /// assert!(matches!(kernel.try_switch(lwp), Err(SwitchError::Running { .. })));
    /// kernel.releaselwp();
    /// assert_eq!(kernel.try_switch(lwp), Err(SwitchError::Stale));
    /// # Ok::<(), lwproc::Errno>(())
    /// ```
    #[inline]
    pub fn try_switch(&self, to: Option<LwpId>) -> Result<(), SwitchError> {
        let Some(to) = to else {
            let implicit = implicit::ready(self)?;
            // SAFETY: from `ready`.
            unsafe { implicit::bind(self, implicit, implicit) };
            return Ok(());
        };
        if to.kernel() != self.id() {
            return Err(SwitchError::Foreign);
        }
        let slot = self.inner().lwps.slot(to.handle()).ok_or(SwitchError::Stale)?;
        cpu(|cpu| {
            if !std::ptr::eq(cpu.kernel.get(), Arc::as_ptr(self.inner())) {
                return self.switch_from_elsewhere(to);
            }
            slot.claim(to.handle(), cpu.host()).or_else(|error| back_to_own(slot, to, error))?;
            let old = cpu.current.replace(slot);
            // SAFETY: it was this thread's current lwp and is no more. `self` is a handle, so the kernel does not halt.
            unsafe { (*old).yield_now() };
            Ok(())
        })
    }

    /// [`try_switch`](Self::try_switch) for a thread that is in another kernel, or in none.
    #[cold]
    fn switch_from_elsewhere(&self, to: LwpId) -> Result<(), SwitchError> {
        let implicit = implicit::ready(self)?;
        let slot = self.inner().lwps.slot(to.handle()).ok_or(SwitchError::Stale)?;
        slot.claim(to.handle(), cpu(|cpu| cpu.host())).or_else(|error| back_to_own(slot, to, error))?;
        // SAFETY: from `ready`; this thread holds it.
        unsafe { implicit::bind(self, implicit, slot) };
        Ok(())
    }
}

/// What a fiber or future left behind when it switched to another lwp is its own still, and it may come back to it.
#[cold]
fn back_to_own(slot: &Slot, to: LwpId, error: SwitchError) -> Result<(), SwitchError> {
    let _ = (slot, to);
    Err(error)
}
