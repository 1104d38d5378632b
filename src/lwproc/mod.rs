//! The calls of rump_lwproc(3), one verb a file, as methods of [`Kernel`], and their owned face, [`Lwp`].

mod handle;
mod newlwp;
mod options;
mod releaselwp;
mod rfork;
mod spawn;
mod switch;

pub use handle::Lwp;
pub use options::ProcOptions;
pub use rfork::FdInherit;

use crate::context::curlwp::cpu;
use crate::context::halt::halt;
use crate::context::{current, nest};
use crate::id::LwpId;
use crate::kernel::Kernel;
use crate::proc::Proc;

impl Kernel {
    /// The lwp that the calling host thread runs in this kernel; `None` in an implicit context, or in another kernel.
    ///
    /// Source: rump_lwproc(3).
    #[inline]
    pub fn curlwp(&self) -> Option<LwpId> {
        let context = cpu(|cpu| cpu.context());
        if !context.is_in(self.inner()) {
            return None;
        }
        context.dedicated().map(|slot| LwpId::new(self.id(), slot.handle()))
    }

    /// Runs `f` in this kernel's implicit context, and restores the context that the host thread was in, whatever
    /// happens. A lwp that was current stays this thread's meanwhile. Calls nest.
    ///
    /// ```
    /// use lwproc::{Kernel, Pid, sys};
    ///
    /// let kernel = Kernel::new()?;
    /// assert_eq!(kernel.enter(|| sys::getpid()), Pid::INIT);
    /// # Ok::<(), lwproc::Errno>(())
    /// ```
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        nest(self.inner(), |_| f())
    }

    /// Shows `f` the process of the calling thread: of its lwp in this kernel, or pid 1. `f` runs no embedder's code.
    fn with_proc<R>(&self, f: impl FnOnce(&Proc) -> R) -> R {
        if cpu(|cpu| cpu.context()).is_in(self.inner()) {
            current(|current| f(current.proc()))
        } else {
            f(self.inner().init())
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: it is being dropped.
        if let Some(inner) = unsafe { self.give_up() } {
            halt(&inner);
        }
    }
}
