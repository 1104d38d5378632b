//! `rfork`: a new process.

use std::sync::Arc;

use crate::context::curlwp::cpu;
use crate::context::{bind, ready};
use crate::errno::{Errno, Result};
use crate::fd::FdTable;
use crate::kernel::Kernel;
use crate::lwp::Slot;
use crate::proc::limits::Resource;
use crate::proc::locals::Locals;
use crate::proc::user::Identity;
use crate::proc::{Birth, Proc};

/// What a new process has of its parent's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FdInherit {
    /// The same table: what one opens or closes, the other sees. C: no flag.
    Share,
    /// A copy: the same numbers for the same open file descriptions, so offsets are shared. C: `RUMP_RFFDG`.
    Copy,
    /// None. C: `RUMP_RFCFDG`.
    Clean,
}

impl FdInherit {
    /// `RUMP_RFFDG`.
    pub const RFFDG: i32 = 0x1;
    /// `RUMP_RFCFDG`.
    pub const RFCFDG: i32 = 0x2;

    /// What the flags of C's `rfork` mean.
    ///
    /// # Errors
    /// `EINVAL`: both flags, or an unknown one.
    ///
    /// ```
    /// use lwproc::{Errno, FdInherit};
    /// assert_eq!(FdInherit::from_flags(FdInherit::RFFDG), Ok(FdInherit::Copy));
    /// assert_eq!(FdInherit::from_flags(FdInherit::RFFDG | FdInherit::RFCFDG), Err(Errno::EINVAL));
    /// ```
    pub const fn from_flags(flags: i32) -> Result<Self> {
        match flags {
            0 => Ok(Self::Share),
            Self::RFFDG => Ok(Self::Copy),
            Self::RFCFDG => Ok(Self::Clean),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The table of a child of `parent`.
    pub(super) fn of(self, parent: &Proc) -> Arc<FdTable> {
        match self {
            Self::Share => parent.fds.share(),
            Self::Copy => Arc::new(parent.fds.copy()),
            Self::Clean => Arc::new(FdTable::new()),
        }
    }
}

impl Kernel {
    /// Makes a process with one lwp, and makes that lwp current. The caller's process is its parent: pid 1 in an implicit
    /// context. Credentials, cwd, root, umask, limits and name are copied, descriptors as `fds` says, the embedder's
    /// values as each one's rule says. The lwp that was current goes on living, to be switched to.
    ///
    /// # Errors
    /// `EAGAIN`: the kernel's maximum of processes or lwps is reached, or the user's [`Resource::NProc`], or the host
    /// thread is ending. The context is as it was.
    ///
    /// Source: rump_lwproc(3).
    pub fn rfork(&self, fds: FdInherit) -> Result<()> {
        ready(self)?;
        let (identity, limit) =
            self.with_proc(|parent| (parent.identity.load_full(), parent.limits.soft(Resource::NProc)));
        let slot = self.start(identity, limit, self.inherit_locals(), |parent, identity| Birth {
            born_to: parent.pid,
            fds: fds.of(parent),
            identity,
            cwd: parent.cwd.load_full(),
            name: parent.name.load_full(),
            umask: parent.umask(),
            limits: parent.limits.copy(),
            locals: None,
        })?;
        // SAFETY: `ready` said so; started for this context just now.
        unsafe { bind(self, slot) };
        Ok(())
    }

    /// What a child has of the current process's locals. Runs the embedder's code: clones.
    pub(super) fn inherit_locals(&self) -> Option<Locals> {
        self.with_proc(|parent| parent.locals_if_any().cloned()).and_then(|parents| parents.inherit())
    }

    /// Starts a process of `identity`, whose user may have `limit` unless it is root, with one lwp, running on this
    /// thread and not yet current. `birth` sees the parent, when nothing can fail any more.
    pub(super) fn start(
        &self,
        identity: Arc<Identity>,
        limit: u32,
        locals: Option<Locals>,
        birth: impl FnOnce(&Proc, Arc<Identity>) -> Birth,
    ) -> Result<&Slot> {
        let inner = self.inner();
        let lwp = inner.lwps.reserve().ok_or(Errno::EAGAIN)?;
        let reserved = inner.procs.reserve().ok_or(Errno::EAGAIN)?;
        let limit = if identity.cred.is_root() { u32::MAX } else { limit };
        if !identity.user.add_proc(limit) {
            return Err(Errno::EAGAIN);
        }
        let pid = reserved.pid;
        let proc = self.with_proc(|parent| reserved.publish(Birth { locals, ..birth(parent, identity) }));
        Ok(lwp.start(proc, pid, cpu(|cpu| cpu.host())))
    }
}
