//! `newlwp`: one more lwp for a process.

use crate::context::curlwp::cpu;
use crate::context::{bind, ready};
use crate::errno::{Errno, Result};
use crate::id::Pid;
use crate::kernel::Kernel;
use crate::lwp::Slot;
use crate::proc::limits::Resource;
use crate::table;

impl Kernel {
    /// Adds a lwp to process `pid`, and makes it current.
    ///
    /// # Errors
    /// `ESRCH`: no such process. `EBUSY`: it is exiting. `EAGAIN`: it has as many lwps as its [`Resource::NThr`] allows,
    /// or the kernel its maximum, or the host thread is ending. The context is as it was.
    ///
    /// Source: rump_lwproc(3).
    pub fn newlwp(&self, pid: Pid) -> Result<()> {
        ready(self)?;
        let slot = self.start_lwp(pid)?;
        // SAFETY: `ready` said so; started for this context just now.
        unsafe { bind(self, slot) };
        Ok(())
    }

    /// Starts a lwp in process `pid`, running on this thread and not yet current.
    pub(super) fn start_lwp(&self, pid: Pid) -> Result<&Slot> {
        let inner = self.inner();
        let guard = table::pin();
        let proc = inner.procs.get(pid, &guard).ok_or(Errno::ESRCH)?;
        let lwp = inner.lwps.reserve().ok_or(Errno::EAGAIN)?;
        // Counted, the process outlives the guard.
        proc.lwps.attach(proc.limits.soft(Resource::NThr))?;
        Ok(lwp.start(proc, pid, cpu(|cpu| cpu.host())))
    }
}
