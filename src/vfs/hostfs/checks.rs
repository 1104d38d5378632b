//! What is asked of a directory before names in it change.

use std::ffi::OsStr;
use std::sync::Arc;

use super::{HostNode, Link};
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::Stat;
use crate::vfs::access::{Access, Permissions};
use crate::vfs::node::Node;

impl HostNode {
    /// Whether this directory is what `stat` is of, or somewhere in it.
    pub(super) fn is_in(&self, stat: &Stat) -> Result<bool> {
        let mut above = Some(self.counted()?);
        while let Some(dir) = above {
            if dir.id == (stat.dev, stat.ino) {
                return Ok(true);
            }
            above = match &*dir.link.lock() {
                Link::In(parent, _) => Some(Arc::clone(parent)),
                Link::Root | Link::Removed(_) => None,
            };
        }
        Ok(false)
    }

    /// Its owner and mode as they are now.
    pub(super) fn own(&self) -> Result<Permissions> {
        let Stat { mode, uid, gid, .. } = self.stat()?;
        Ok(Permissions { mode, uid, gid })
    }

    pub(super) fn check_remove(&self, cred: &Cred, name: &OsStr) -> Result<Stat> {
        let own = self.own()?;
        own.check(cred, Access::EXECUTE)?;
        let stat = self.look(name)?;
        own.may_remove(cred, stat.uid)?;
        Ok(stat)
    }

    pub(super) fn check_add(&self, cred: &Cred, name: &OsStr) -> Result<Permissions> {
        let Stat { mode, uid, gid, nlink, .. } = self.stat()?;
        let own = Permissions { mode, uid, gid };
        own.check(cred, Access::EXECUTE)?;
        match self.look(name) {
            Ok(_) => Err(Errno::EEXIST),
            // Removed; not every host says so to whoever makes a file in it.
            Err(Errno::ENOENT) if nlink == 0 => Err(Errno::ENOENT),
            Err(Errno::ENOENT) => own.may_add(cred).map(|()| own),
            Err(error) => Err(error),
        }
    }
}
