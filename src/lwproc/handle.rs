//! `Lwp`: a lwp that is owned, and so cannot be misused.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::context::curlwp::{cpu, fatal};
use crate::context::exit;
use crate::context::nest;
use crate::errno::Result;
use crate::id::{LwpHandle, LwpId, Pid};
use crate::kernel::{FatalKind, Kernel};
use crate::lwp::{Orphaning, Slot, SwitchError};

/// A lwp that its owner takes on by [`enter`](Lwp::enter) and releases by dropping it; its process ends with the last.
///
/// It can be sent to another host thread; what it makes current is bound to the thread that enters it.
///
/// ```
/// use lwproc::{Kernel, ProcOptions, sys};
///
/// let kernel = Kernel::new()?;
/// let mut alice = kernel.spawn(ProcOptions::new().name("alice").uid(1001).gid(1001))?;
/// let mut helper = alice.newlwp()?;
/// std::thread::spawn(move || helper.enter(|| assert_eq!(sys::getuid(), 1001))).join().unwrap();
/// alice.enter(|| assert_eq!(sys::getuid(), 1001));
/// drop(alice);
/// assert_eq!(kernel.usage().procs, 0);
/// # Ok::<(), lwproc::Errno>(())
/// ```
#[derive(Debug)]
pub struct Lwp {
    kernel: Kernel,
    id: LwpId,
    pid: Pid,
}

impl Lwp {
    /// Owns a lwp that the caller started or claimed, that nobody owns and that is not current; it is Idle from now on.
    pub(super) fn adopt(kernel: &Kernel, slot: &Slot) -> Self {
        let lwp = Self { kernel: kernel.clone(), id: LwpId::new(kernel.id(), slot.handle()), pid: slot.pid() };
        // SAFETY: started or claimed for this, not owned, and used no more.
        unsafe { slot.own() };
        lwp
    }

    /// Takes over a lwp that [`Kernel::rfork`] or [`Kernel::newlwp`] made, and that no host thread has current. It is
    /// released when this is dropped. Whoever else has its id may still switch to it.
    ///
    /// ```
    /// use lwproc::{FdInherit, Kernel, Lwp, SwitchError, sys};
    ///
    /// let kernel = Kernel::new()?;
    /// kernel.rfork(FdInherit::Clean)?;
    /// let id = kernel.curlwp().unwrap();
    /// assert!(matches!(Lwp::from_id(&kernel, id), Err(SwitchError::Running { .. })));
    /// kernel.switch(None);
    /// let mut lwp = Lwp::from_id(&kernel, id).unwrap();
    /// assert_eq!(lwp.enter(|| sys::getpid()), lwp.pid());
    /// # Ok::<(), lwproc::Errno>(())
    /// ```
    ///
    /// # Errors
    /// [`SwitchError::Running`], [`SwitchError::Stale`], [`SwitchError::Foreign`]: it is another kernel's; or
    /// [`SwitchError::Owned`]: another [`Lwp`] owns it.
    pub fn from_id(kernel: &Kernel, id: LwpId) -> std::result::Result<Self, SwitchError> {
        if id.kernel() != kernel.id() {
            return Err(SwitchError::Foreign);
        }
        let slot = kernel.inner().lwps.slot(id.handle()).ok_or(SwitchError::Stale)?;
        slot.claim_unowned(id.handle(), cpu(|cpu| cpu.host()))?;
        Ok(Self::adopt(kernel, slot))
    }

    /// Gives up the ownership: the lwp goes on living, until it is released by way of its id.
    pub fn into_id(self) -> LwpId {
        let lwp = ManuallyDrop::new(self);
        if let Some(slot) = lwp.slot() {
            slot.disown(lwp.id.handle());
        }
        // SAFETY: the kernel's handle is dropped here, and not again with the lwp.
        drop(unsafe { std::ptr::read(&lwp.kernel) });
        lwp.id
    }

    /// The lwp's id, for [`Kernel::switch`].
    pub fn id(&self) -> LwpId {
        self.id
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Adds a lwp to the same process.
    ///
    /// # Errors
    /// As [`Kernel::newlwp`].
    pub fn newlwp(&self) -> Result<Self> {
        Ok(Self::adopt(&self.kernel, self.kernel.start_lwp(self.pid)?))
    }

    /// Runs `f` with this lwp current, and restores the context that the host thread was in, whatever happens: `f`
    /// panics, or switches, or releases the lwp. Calls nest; a lwp that was current stays this thread's meanwhile.
    ///
    /// # Fatal
    /// Where [`try_enter`](Self::try_enter) is an error, which takes a [`Kernel::switch`] to this lwp's id elsewhere, or
    /// its release there. [`FatalKind::OutOfOrder`](crate::FatalKind::OutOfOrder), which takes coroutines of others in `f`.
    #[inline]
    pub fn enter<R>(&mut self, f: impl FnOnce() -> R) -> R {
        match self.try_enter(f) {
            Ok(result) => result,
            Err(error) => fatal(self.kernel.inner(), FatalKind::Switch { to: self.id, error }),
        }
    }

    /// As [`enter`](Self::enter), with an error where that is fatal; then `f` has not run.
    ///
    /// # Errors
    /// [`SwitchError::Running`] or [`SwitchError::Stale`].
    ///
    /// # Fatal
    /// [`FatalKind::OutOfOrder`](crate::FatalKind::OutOfOrder).
    #[inline]
    pub fn try_enter<R>(&mut self, f: impl FnOnce() -> R) -> std::result::Result<R, SwitchError> {
        let slot = self.slot().ok_or(SwitchError::Stale)?;
        slot.claim_owned(self.id.handle(), cpu(|cpu| cpu.host()))?;
        nest(self.kernel.inner(), |nested| {
            // SAFETY: claimed just now; the owner is borrowed until this ends.
            unsafe { nested.run_own(slot, self.id.handle()) };
            Ok(f())
        })
    }

    /// Its slot, which lives as long as the kernel; `None` where its id was made up.
    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.kernel.inner().lwps.slot(self.id.handle())
    }

    /// Its handle.
    #[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
    pub(crate) fn handle(&self) -> LwpHandle {
        self.id.handle()
    }

    /// Whether it is current in the calling context.
    pub(crate) fn is_current(&self) -> bool {
        let context = cpu(|cpu| cpu.context());
        context.is_in(self.kernel.inner()) && context.dedicated().is_some_and(|slot| slot.handle() == self.id.handle())
    }

    /// Takes it for a task on host thread `host`, to be held by that from now on.
    ///
    /// # Errors
    /// As for [`try_enter`](Self::try_enter).
    pub(crate) fn hold(&self, host: u32) -> std::result::Result<(), SwitchError> {
        self.slot().ok_or(SwitchError::Stale)?.claim_owned(self.id.handle(), host)
    }

    /// Lets go of it, which was held for a task that has not come to be.
    pub(crate) fn let_go(&self) {
        if let Some(slot) = self.slot() {
            // SAFETY: held, by the caller; and its owner is here.
            let let_go = unsafe { slot.let_go_own(self.id.handle()) };
            debug_assert!(let_go);
        }
    }

    /// Runs `first` in it and releases it, which is held for a task that has not come to be.
    #[cfg_attr(loom, expect(dead_code, reason = "the multiplexer itself is not modelled"))]
    pub(crate) fn release_held(self, first: impl FnOnce()) {
        let kernel = Arc::clone(self.kernel.inner());
        nest(&kernel, |nested| {
            if let Some(slot) = self.slot() {
                // SAFETY: held, by the caller.
                unsafe { nested.run(slot) };
            }
            first();
            // Current, it is released where it is.
            drop(self);
        });
    }

    /// Releases it in `slot`, which is current.
    fn release(&self, slot: &Slot) {
        // SAFETY: the caller's.
        if unsafe { slot.proc() }.lwps.ending() {
            // A file or hook of its process, which it ends at this moment, had it.
            return;
        }
        // SAFETY: the calling context's current lwp, of this kernel.
        unsafe { exit::release(self.kernel.inner(), slot) };
    }
}

impl Drop for Lwp {
    /// Releases the lwp, as [`Kernel::releaselwp`] does: in it, and then back in the context of before. Where somebody else
    /// runs it, by its id, it goes on until that one lets go of it, who ends it then.
    fn drop(&mut self) {
        let Some(slot) = self.slot() else { return };
        if self.is_current() {
            return self.release(slot);
        }
        loop {
            match slot.claim_owned(self.id.handle(), cpu(|cpu| cpu.host())) {
                Ok(()) => {
                    return nest(self.kernel.inner(), |nested| {
                        // SAFETY: claimed just now.
                        unsafe { nested.run(slot) };
                        self.release(slot);
                    });
                }
                Err(SwitchError::Running { .. }) => match slot.orphan(self.id.handle()) {
                    Orphaning::Left | Orphaning::Gone => return,
                    // Let go of at this moment.
                    Orphaning::Idle => {}
                },
                // Released by its id.
                Err(_) => return,
            }
        }
    }
}
