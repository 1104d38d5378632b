//! Processes: what they hold, how many lwps they have, and the table of them.

pub(crate) mod limits;
pub(crate) mod locals;
mod lwpcount;
mod table;
pub(crate) mod user;

use std::sync::Arc;

pub use limits::{Resource, Rlimit};
pub(crate) use lwpcount::{Detach, LwpCount};
pub(crate) use table::ProcTable;

use crate::fd::FdTable;
use crate::id::{Mode, Pid};
use crate::proc::limits::Limits;
use crate::proc::locals::Locals;
use crate::proc::user::Identity;
use crate::sync::{AtomicU32, AtomicU64, OnceLock, Ordering, Snapshot};
use crate::vfs::Cwd;
use crate::wait::queue::WaitQueue;

/// A process: the resources that its lwps share.
///
/// It lives as long as it has lwps, and is found by pid in the [`ProcTable`] until then. Each of its lwps keeps it; others
/// look at it under an epoch guard. When it ends, all that is more than memory leaves it, in the call that ends it; the
/// memory goes with the collector.
#[derive(Debug)]
pub(crate) struct Proc {
    /// *Immutable.*
    pub(crate) pid: Pid,
    /// *Immutable*: the parent that it was born to. Whether that one still lives is asked when it matters.
    pub(crate) born_to: Pid,
    /// *Atomic.*
    pub(crate) lwps: LwpCount,
    /// *Atomic.*
    umask: AtomicU32,
    /// *Immutable* here; the table is its own to synchronize. Dead, it is empty and stays so.
    pub(crate) fds: Arc<FdTable>,
    /// *Replaced as a whole*, each of the three. Of a process that has ended, `cwd` is
    /// [nowhere](crate::vfs::Namespace::nowhere).
    pub(crate) identity: Snapshot<Identity>,
    pub(crate) cwd: Snapshot<Cwd>,
    pub(crate) name: Snapshot<Box<str>>,
    /// *Atomic.*
    pub(crate) limits: Limits,
    /// *Made once*, when the first is set. Of a process that has ended they are empty.
    locals: OnceLock<Arc<Locals>>,
    /// *Made once*, when a call first blocks: woken by `kill`. Each waker in it is that of a waiter that keeps it.
    interrupts: OnceLock<Arc<WaitQueue>>,
    /// *Atomic*: how often lwps that are gone had been let go of.
    switches: AtomicU64,
}

/// What a new process is made of.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) born_to: Pid,
    pub(crate) fds: Arc<FdTable>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) cwd: Arc<Cwd>,
    pub(crate) name: Arc<Box<str>>,
    pub(crate) umask: Mode,
    pub(crate) limits: Limits,
    pub(crate) locals: Option<Locals>,
}

impl Proc {
    /// A process with one lwp.
    pub(crate) fn new(pid: Pid, birth: Birth) -> Self {
        Self {
            pid,
            born_to: birth.born_to,
            lwps: LwpCount::new(),
            umask: AtomicU32::new(birth.umask),
            fds: birth.fds,
            identity: Snapshot::new(birth.identity),
            cwd: Snapshot::new(birth.cwd),
            name: Snapshot::new(birth.name),
            limits: birth.limits,
            locals: birth.locals.map(Arc::new).map_or_else(OnceLock::new, OnceLock::from),
            interrupts: OnceLock::new(),
            switches: AtomicU64::new(0),
        }
    }

    pub(crate) fn umask(&self) -> Mode {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets the umask and gives the old one.
    pub(crate) fn set_umask(&self, umask: Mode) -> Mode {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }

    /// The embedder's values, if there ever were any.
    pub(crate) fn locals_if_any(&self) -> Option<&Arc<Locals>> {
        self.locals.get()
    }

    /// The place for the embedder's values.
    pub(crate) fn locals(&self) -> &Arc<Locals> {
        self.locals.get_or_init(|| Arc::new(Locals::new()))
    }

    /// Where calls that block wait for a `kill`, if any ever did.
    pub(crate) fn interrupts_if_any(&self) -> Option<&Arc<WaitQueue>> {
        self.interrupts.get()
    }

    /// Where calls that block wait for a `kill`.
    pub(crate) fn interrupts(&self) -> &Arc<WaitQueue> {
        self.interrupts.get_or_init(|| Arc::new(WaitQueue::new()))
    }

    /// How often lwps that are gone had been let go of.
    pub(crate) fn past_switches(&self) -> u64 {
        self.switches.load(Ordering::Relaxed)
    }

    /// Adds the count of an lwp that goes.
    pub(crate) fn add_past_switches(&self, switches: u64) {
        self.switches.fetch_add(switches, Ordering::Relaxed);
    }
}
