//! `SpawnError`: nothing was spawned.

use std::fmt;

use crate::errno::Errno;
use crate::lwp::SwitchError;
use crate::lwproc::Lwp;

/// Why nothing was spawned. The lwp is as it was, and comes back.
pub struct SpawnError {
    pub(in crate::mux) lwp: Lwp,
    pub(in crate::mux) kind: SpawnErrorKind,
}

/// What kept a task from being spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// The lwp cannot be had: it runs, was released, or is another kernel's.
    #[error(transparent)]
    Lwp(#[from] SwitchError),
    /// The multiplexer was dropped, or is being dropped.
    #[error("the multiplexer is closed")]
    Closed,
    /// There is no stack for the fiber.
    #[error("no stack: {0}")]
    NoStack(Errno),
    /// There is no multiplexer on this host thread.
    #[error("no multiplexer runs on this host thread")]
    NoMux,
}

impl SpawnError {
    /// Why.
    pub fn kind(&self) -> SpawnErrorKind {
        self.kind
    }

    /// The lwp.
    pub fn into_lwp(self) -> Lwp {
        self.lwp
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot spawn in {:?}: {}", self.lwp.id(), self.kind)
    }
}

impl fmt::Debug for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SpawnError {}

/// As for [`SwitchError`]; `EPIPE` for a closed multiplexer, `EOPNOTSUPP` where there is none. The lwp is released.
impl From<SpawnError> for Errno {
    fn from(error: SpawnError) -> Self {
        match error.kind {
            SpawnErrorKind::Lwp(error) => error.into(),
            SpawnErrorKind::Closed => Self::EPIPE,
            SpawnErrorKind::NoStack(error) => error,
            SpawnErrorKind::NoMux => Self::EOPNOTSUPP,
        }
    }
}
