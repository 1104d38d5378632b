//! Why a lwp cannot be switched to.

use crate::errno::Errno;
use crate::id::Pid;

/// Why a lwp cannot be switched to. The caller's context is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// The id names no living lwp: it was released, or made up.
    #[error("no such lwp")]
    Stale,
    /// The id is another kernel's.
    #[error("the lwp is another kernel's")]
    Foreign,
    /// A host thread, fiber or future holds it, the calling one included.
    #[error("already running, in pid {pid}, on host thread {host}")]
    Running {
        /// The lwp's process.
        pid: Pid,
        /// The host's number of the thread that runs it.
        host: u32,
    },
    /// An [`Lwp`](crate::Lwp) owns it already.
    #[error("owned already")]
    Owned,
    /// The host thread is ending, and its thread-locals are gone: nothing could give the lwp back.
    #[error("the host thread is ending")]
    HostEnding,
}

/// `ESRCH` for a stale or foreign id, `EBUSY` for a running or owned lwp, `EAGAIN` on a host thread that ends.
impl From<SwitchError> for Errno {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::Stale | SwitchError::Foreign => Self::ESRCH,
            SwitchError::Running { .. } | SwitchError::Owned => Self::EBUSY,
            SwitchError::HostEnding => Self::EAGAIN,
        }
    }
}
