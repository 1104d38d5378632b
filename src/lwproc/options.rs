//! What a spawned process is to be.

use std::path::PathBuf;

use super::FdInherit;
use crate::id::{Gid, Mode, Pid, Uid};
use crate::proc::limits::{Resource, Rlimit};
use crate::proc::locals::{Hook, Inherit, Locals};

/// A process to be [`spawn`](crate::Kernel::spawn)ed. What is not set is inherited as by `rfork`, but for descriptors,
/// of which it has none unless told.
///
/// ```
/// use lwproc::{Kernel, ProcOptions, Resource, Rlimit, sys};
///
/// let kernel = Kernel::new()?;
/// let options = ProcOptions::new().name("bob").uid(1002).gid(1002).cwd("/tmp").limit(Resource::NoFile, Rlimit::both(16));
/// let mut bob = kernel.spawn(options)?;
/// bob.enter(|| assert_eq!((sys::geteuid(), sys::getcwd().unwrap()), (1002, "/tmp".into())));
/// # Ok::<(), lwproc::Errno>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct ProcOptions {
    pub(super) fds: FdInherit,
    pub(super) uid: Option<Uid>,
    pub(super) gid: Option<Gid>,
    pub(super) groups: Option<Vec<Gid>>,
    pub(super) root: Option<PathBuf>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) umask: Option<Mode>,
    pub(super) name: Option<String>,
    pub(super) limits: Vec<(Resource, Rlimit)>,
    pub(super) locals: Locals,
}

impl ProcOptions {
    /// A child like its parent, without descriptors.
    pub fn new() -> Self {
        Self {
            fds: FdInherit::Clean,
            uid: None,
            gid: None,
            groups: None,
            root: None,
            cwd: None,
            umask: None,
            name: None,
            limits: Vec::new(),
            locals: Locals::new(),
        }
    }

    /// What it has of its parent's descriptors.
    pub fn fds(mut self, fds: FdInherit) -> Self {
        self.fds = fds;
        self
    }

    /// Its real, effective and saved user.
    pub fn uid(mut self, uid: Uid) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Its real, effective and saved group.
    pub fn gid(mut self, gid: Gid) -> Self {
        self.gid = Some(gid);
        self
    }

    /// Its supplementary groups, at most [`NGROUPS_MAX`](crate::NGROUPS_MAX).
    pub fn groups(mut self, groups: impl Into<Vec<Gid>>) -> Self {
        self.groups = Some(groups.into());
        self
    }

    /// Its root directory, and its cwd unless that is set too. A path in the parent's namespace.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Its working directory. A path as the process itself sees it, in its own root.
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Its umask; bits other than `0o777` are ignored.
    pub fn umask(mut self, umask: Mode) -> Self {
        self.umask = Some(umask);
        self
    }

    /// Its name, for [`Kernel::ps`](crate::Kernel::ps).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// One of its limits.
    pub fn limit(mut self, resource: Resource, limit: Rlimit) -> Self {
        self.limits.push((resource, limit));
        self
    }

    /// A value of the embedder's, which the process finds by its type; see [`local`](crate::local).
    pub fn local<T: Send + Sync + 'static>(self, value: T, inherit: Inherit<T>) -> Self {
        self.locals.set(value, inherit);
        self
    }

    /// Runs `hook` when the process ends; see [`local::on_exit`](crate::local::on_exit).
    pub fn on_exit(self, hook: impl FnOnce(Pid) + Send + 'static) -> Self {
        let hook: Hook = Box::new(hook);
        self.locals.on_exit(hook);
        self
    }
}

impl Default for ProcOptions {
    fn default() -> Self {
        Self::new()
    }
}
