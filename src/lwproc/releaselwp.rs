//! `releaselwp`: the end of the current lwp.

use crate::context::curlwp::{cpu, fatal};
use crate::context::exit;
use crate::kernel::{FatalKind, Kernel};

impl Kernel {
    /// Ends the current lwp; then the implicit context is current. With its last lwp a process ends: descriptors are
    /// closed while the lwp is still current, exit hooks run, the embedder's values are dropped. If one of those panics,
    /// the rest is done all the same, and the panic goes on after it.
    ///
    /// # Fatal
    /// Without a dedicated lwp in this kernel. From within a file's drop or an exit hook that this very call runs.
    ///
    /// Source: rump_lwproc(3).
    pub fn releaselwp(&self) {
        let context = cpu(|cpu| cpu.context());
        match context.dedicated() {
            // SAFETY: this thread's current lwp, in this kernel.
            Some(slot) if context.is_in(self.inner()) => unsafe {
                exit::release(self.inner(), slot);
            },
            _ => fatal(self.inner(), FatalKind::NothingToRelease),
        }
    }
}
