//! `Lwp`: a lwp that is owned, and so cannot be misused.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::context::curlwp::{cpu, fatal};
use crate::context::exit;
use crate::context::implicit::Nested;
use crate::errno::Result;
#[cfg(not(loom))]
use crate::id::LwpHandle;
use crate::id::{LwpId, Pid};
use crate::kernel::{FatalKind, Kernel};
use crate::lwp::{Slot, SwitchError};

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
    /// Takes over a lwp that this thread started or claimed and that is not current; it is Idle from now on.
    pub(super) fn adopt(kernel: &Kernel, slot: &Slot) -> Self {
        let lwp = Self { kernel: kernel.clone(), id: LwpId::new(kernel.id(), slot.handle()), pid: slot.pid() };
        // SAFETY: started by this thread, and used no more.
        unsafe { slot.lay_aside() };
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
    /// [`SwitchError::Running`], [`SwitchError::Stale`], or [`SwitchError::Foreign`]: it is another kernel's.
    pub fn from_id(kernel: &Kernel, id: LwpId) -> std::result::Result<Self, SwitchError> {
        if id.kernel() != kernel.id() {
            return Err(SwitchError::Foreign);
        }
        let slot = kernel.inner().lwps.slot(id.handle()).ok_or(SwitchError::Stale)?;
        slot.claim(id.handle(), cpu(|cpu| cpu.host()))?;
        Ok(Self::adopt(kernel, slot))
    }

    /// Gives up the ownership: the lwp goes on living, until it is released by way of its id.
    pub fn into_id(self) -> LwpId {
        let lwp = ManuallyDrop::new(self);
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
    /// its release.
    #[inline]
    pub fn enter<R>(&mut self, f: impl FnOnce() -> R) -> R {
        match self.nest() {
            Ok(_nested) => f(),
            Err(error) => fatal(self.kernel.inner(), FatalKind::Switch { to: self.id, error }),
        }
    }

    /// As [`enter`](Self::enter), with an error where that is fatal; then `f` has not run.
    ///
    /// # Errors
    /// [`SwitchError::Running`] or [`SwitchError::Stale`].
    #[inline]
    pub fn try_enter<R>(&mut self, f: impl FnOnce() -> R) -> std::result::Result<R, SwitchError> {
        let _nested = self.nest()?;
        Ok(f())
    }

    /// Takes it for a multiplexer on host thread `host`.
    #[cfg(not(loom))]
    pub(crate) fn own(&self, host: u32) -> std::result::Result<(), SwitchError> {
        let slot = self.kernel.inner().lwps.slot(self.id.handle()).ok_or(SwitchError::Stale)?;
        slot.own(self.id.handle(), host)
    }

    /// Its slot, which lives as long as the kernel; null where its id was made up.
    #[cfg(not(loom))]
    pub(crate) fn slot(&self) -> (*const Slot, LwpHandle) {
        let slot = self.kernel.inner().lwps.slot(self.id.handle());
        (slot.map_or(std::ptr::null(), std::ptr::from_ref), self.id.handle())
    }

    /// Gives it back from a multiplexer; nothing where it was released meanwhile. It is nobody's current lwp.
    #[cfg(not(loom))]
    pub(crate) fn disown(&self) {
        if let Some(slot) = self.kernel.inner().lwps.slot(self.id.handle())
            && slot.is_owned(self.id.handle())
        {
            // SAFETY: owned, and by the multiplexer that has this handle.
            unsafe { slot.lay_aside() };
        }
    }

    /// Whether it is the calling host thread's current lwp.
    pub(crate) fn is_current(&self) -> bool {
        let context = cpu(|cpu| cpu.context());
        std::ptr::eq(context.kernel, Arc::as_ptr(self.kernel.inner()))
            && context.dedicated().is_some_and(|slot| slot.handle() == self.id.handle())
    }

    #[inline]
    fn nest(&self) -> std::result::Result<Nested<'_>, SwitchError> {
        let inner = self.kernel.inner();
        let slot = inner.lwps.slot(self.id.handle()).ok_or(SwitchError::Stale)?;
        // Before the claim: this may run the embedder's code, whose panic must not leave the lwp claimed.
        let nested = Nested::enter(inner);
        slot.claim(self.id.handle(), cpu(|cpu| cpu.host()))?;
        // SAFETY: claimed just now.
        unsafe { nested.run(slot) };
        Ok(nested)
    }
}

impl Drop for Lwp {
    /// Releases the lwp, as [`Kernel::releaselwp`] does: in it, and then back in the context of before.
    ///
    /// Fatal: another host thread has switched to it, or this one has and entered another since.
    fn drop(&mut self) {
        let inner = self.kernel.inner();
        if self.is_current() {
            // SAFETY: this thread's current lwp; slots live as long as their kernel.
            unsafe { exit::release(inner, &*cpu(|cpu| cpu.current.get())) };
            return;
        }
        match self.nest() {
            Ok(_nested) => cpu(|cpu| {
                // SAFETY: `nest` made the lwp current; slots live as long as their kernel.
                unsafe { exit::release(inner, &*cpu.current.get()) };
            }),
            // Released by its id.
            Err(SwitchError::Stale) => {}
            Err(error) => fatal(inner, FatalKind::Switch { to: self.id, error }),
        }
    }
}
