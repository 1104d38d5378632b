//! `spawn`: a new process as an owned handle.

use std::path::Path;
use std::sync::Arc;

use super::{Lwp, ProcOptions};
use crate::cred::{Cred, check_groups, valid};
use crate::errno::Result;
use crate::kernel::Kernel;
use crate::proc::Birth;
use crate::proc::limits::Resource;
use crate::vfs::{Cwd, Namei};

impl Kernel {
    /// Makes a process with one lwp, and gives that lwp, which is not current. The parent is the caller's process, pid 1
    /// in an implicit context. The embedder is not held to the parent's credentials: any user, root and limit will do.
    ///
    /// # Errors
    /// `EAGAIN`: as for [`rfork`](Self::rfork). `EINVAL`: 2³²-1 as a user or group, more than
    /// [`NGROUPS_MAX`](crate::NGROUPS_MAX) groups, or limits as for
    /// [`sys::setrlimit`](crate::sys::setrlimit). `ENOENT`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`: root or cwd are not to be
    /// found, or no directories.
    pub fn spawn(&self, options: ProcOptions) -> Result<Lwp> {
        let (identity, cwd, limits) =
            self.with_proc(|parent| (parent.identity.load_full(), parent.cwd.load_full(), parent.limits.copy()));

        let mut cred = identity.cred.clone();
        if let Some(uid) = options.uid {
            valid(uid)?;
            (cred.ruid, cred.euid, cred.suid) = (uid, uid, uid);
        }
        if let Some(gid) = options.gid {
            valid(gid)?;
            (cred.rgid, cred.egid, cred.sgid) = (gid, gid, gid);
        }
        if let Some(groups) = options.groups {
            check_groups(&groups)?;
            cred.groups = groups.into();
        }
        for (resource, limit) in options.limits {
            limits.set(resource, limit, &Cred::root())?;
        }
        let cwd = self.directories(cwd, options.root.as_deref(), options.cwd.as_deref())?;

        let identity = self.inner().users.identify(cred);
        let inherited = self.inherit_locals();
        let locals = if options.locals.is_empty() { inherited } else { Some(options.locals.over(inherited)) };
        let name = options.name.map(|name| Arc::new(name.into()));
        let slot = self.start(identity, limits.soft(Resource::NProc), locals, |parent, identity| Birth {
            born_to: parent.pid,
            fds: options.fds.of(parent),
            identity,
            cwd,
            name: name.unwrap_or_else(|| parent.name.load_full()),
            umask: options.umask.map_or(parent.umask(), |umask| umask & 0o777),
            limits,
            locals: None,
        })?;
        Ok(Lwp::adopt(self, slot))
    }

    /// The parent's root and cwd, moved to `root`, then in it to `cwd`.
    fn directories(&self, parents: Arc<Cwd>, root: Option<&Path>, cwd: Option<&Path>) -> Result<Arc<Cwd>> {
        if root.is_none() && cwd.is_none() {
            return Ok(parents);
        }
        let superuser = Cred::root();
        let look = |from: &Cwd, path: &Path| {
            let namei = Namei {
                namespace: &self.inner().namespace,
                cred: &superuser,
                root: &from.root,
                base: &from.dir,
                umask: 0,
            };
            namei.directory(path)
        };
        let mut moved = (*parents).clone();
        if let Some(root) = root {
            let place = look(&moved, root)?;
            moved = Cwd { root: place.clone(), dir: place };
        }
        if let Some(cwd) = cwd {
            moved.dir = look(&moved, cwd)?;
        }
        Ok(Arc::new(moved))
    }
}
