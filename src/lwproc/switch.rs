//! `switch`: another lwp becomes current.

use crate::context::curlwp::fatal;
use crate::context::{bind, ready, switch};
use crate::id::LwpId;
use crate::kernel::{FatalKind, Kernel};
use crate::lwp::SwitchError;

impl Kernel {
    /// Makes `to` current, `None`: the implicit context, and lets go of the lwp that was. `None` in an implicit context
    /// changes nothing.
    ///
    /// # Fatal
    /// Where [`try_switch`](Self::try_switch) is an error: `to` runs already, on this host thread or another, was
    /// released, is made up, or is another kernel's; or the host thread is ending. There `None` changes nothing.
    ///
    /// A fiber or future of a [`Mux`](crate::Mux) is as good as a host thread: what is current in it runs, whether it has its
    /// turn or not, and what it switches away from is anybody's.
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
            ready(self)?;
            // SAFETY: `ready` said so; the implicit lwp is the kernel's.
            unsafe { bind(self, self.inner().implicit()) };
            return Ok(());
        };
        if to.kernel() != self.id() {
            return Err(SwitchError::Foreign);
        }
        let slot = self.inner().lwps.slot(to.handle()).ok_or(SwitchError::Stale)?;
        switch(self, slot, to.handle())
    }
}
