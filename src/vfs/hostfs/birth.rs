//! Files that are made on the host: whom they belong to, and what their modes are.
//!
//! The host makes them for its own process, less its own umask. Where that is root, they are given the owner that POSIX
//! says; where it is not, they stay its own. Until then nobody else can use them.

use std::ffi::OsStr;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Gid as HostGid, Mode as HostMode, RawMode, Uid as HostUid};

use super::HostNode;
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, retry};
use crate::id::Mode;
use crate::vfs::access::{Permissions, S_ISGID, S_ISUID};

impl HostNode {
    /// The file that was just made as `name` in this directory, when it has its owner and mode. One that cannot have them
    /// is removed again, by unlinkat(2) with `removal`. The caller holds the lock on changes.
    pub(super) fn born(&self, name: &OsStr, newborn: Permissions, removal: AtFlags) -> Result<Arc<Self>> {
        let settled = self.child(name).and_then(|node| node.settle(newborn).map(|()| node));
        if settled.is_err() {
            let _ = retry(|| rustix::fs::unlinkat(&self.fd, name, removal));
        }
        settled
    }

    fn settle(&self, newborn: Permissions) -> Result<()> {
        if self.fs.owner.is_none() {
            self.give(newborn)?;
        }
        // Last, as to be given away costs set-ID bits.
        if self.kind == FileKind::Symlink { Ok(()) } else { self.set_mode(newborn.mode) }
    }

    fn give(&self, newborn: Permissions) -> Result<()> {
        let stat = retry(|| rustix::fs::fstat(&self.fd))?;
        if (stat.st_uid, stat.st_gid) == (newborn.uid, newborn.gid) {
            return Ok(());
        }
        let (uid, gid) = (HostUid::from_raw(newborn.uid), HostGid::from_raw(newborn.gid));
        match retry(|| rustix::fs::chownat(&self.fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)) {
            // Not root, or root of a user namespace that does not have this user.
            Err(Errno::EPERM | Errno::EINVAL) => Ok(()),
            done => done,
        }
    }

    /// Sets the permission bits of what is no link, whoever asks. Where the owner seen here is not the host's, programs
    /// get no set-ID bits.
    pub(super) fn set_mode(&self, mode: Mode) -> Result<()> {
        let foreign = self.fs.owner.is_some() && self.kind != FileKind::Directory;
        let kept = if foreign { 0o7777 & !(S_ISUID | S_ISGID) } else { 0o7777 };
        let mode = HostMode::from_raw_mode((mode & kept) as RawMode);
        retry(|| rustix::fs::chmodat(CWD, self.way(), mode, AtFlags::empty()))
    }
}
