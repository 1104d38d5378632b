//! Fatal errors: misuse that a caller cannot recover from. Reported, then the host process aborts.

use std::fmt;
use std::io::Write;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::id::{LwpId, Pid};
use crate::lwp::SwitchError;

pub(crate) type FatalHook = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// A fatal error, as [`Builder::on_fatal`](super::Builder::on_fatal) sees it. `Display` is the report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fatal {
    /// What happened.
    pub kind: FatalKind,
    /// The kernel that was asked.
    pub kernel: NonZeroU32,
    /// The calling host thread's id, as the host numbers it.
    pub host: u32,
    /// The caller's process and lwp; `None` in an implicit context.
    pub current: Option<(Pid, LwpId)>,
}

/// What was fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FatalKind {
    /// `switch` to a lwp that cannot be switched to.
    Switch {
        /// The lwp that was asked for.
        to: LwpId,
        /// Why not.
        error: SwitchError,
    },
    /// `releaselwp` without a dedicated lwp.
    NothingToRelease,
    /// `releaselwp` by a lwp that is being released: a file's drop or an exit hook called it.
    AlreadyEnding,
    /// A file's drop or an exit hook left the lwp that was being released, and did not come back.
    LeftWhileEnding,
    /// An `enter`, or the run or drop of a [`Mux`](crate::Mux), ended in another context than its own: a coroutine of others was
    /// suspended in the midst of it, and went on elsewhere, or while something was under way that began after it. The host
    /// process aborts even if the hook panics.
    OutOfOrder,
}

impl fmt::Display for FatalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch { to, error } => write!(f, "switch to {to:?}: {error}"),
            Self::NothingToRelease => f.write_str("releaselwp without a dedicated lwp"),
            Self::AlreadyEnding => f.write_str("releaselwp by a lwp that is being released"),
            Self::LeftWhileEnding => f.write_str("a file or an exit hook left the lwp that was being released"),
            Self::OutOfOrder => f.write_str("an enter or a multiplexer ended in another context than its own"),
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lwproc: fatal: {} (kernel {}, host thread {}, ", self.kind, self.kernel, self.host)?;
        match self.current {
            Some((pid, lwp)) => write!(f, "in lwp {lwp} of pid {pid})"),
            None => write!(f, "in an implicit context)"),
        }
    }
}

pub(super) fn default_hook() -> FatalHook {
    Arc::new(|fatal| report(&fatal.to_string()))
}

/// Writes a line to standard error, in one piece, so that other threads' lines do not come in between. Where it cannot be
/// written there is nobody to tell.
#[cold]
pub(crate) fn report(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

impl super::Inner {
    /// Tells the hook, and aborts where that returns.
    #[cold]
    pub(crate) fn fatal(&self, fatal: &Fatal) -> ! {
        // Called off the lock: it may panic, and may do something fatal itself.
        let hook = self.fatal_hook.lock().clone().unwrap_or_else(default_hook);
        hook(fatal);
        std::process::abort()
    }
}
