//! Files that are made on the host: whom they belong to, and what their modes are.
//!
//! The host makes them for its own process, less its own umask. Where that is root, they are given the owner that POSIX
//! says; where it is not, they stay its own. Until then nobody else can use them.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Gid as HostGid, Mode as HostMode, OFlags, RawMode, Uid as HostUid};

use super::{HostNode, Link, way_to};
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, retry};
use crate::id::Mode;
use crate::vfs::access::{Permissions, S_ISGID, S_ISUID};

impl HostNode {
    /// A new regular file called `name`, open for whoever makes it. It has its owner and mode before it has the name, so
    /// that whoever comes upon it may do what its mode says. The caller holds the lock on changes.
    pub(super) fn bear(&self, name: &OsStr, newborn: Permissions) -> Result<Arc<Self>> {
        let nameless = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (fd, node) = match retry(|| rustix::fs::openat(&self.fd, ".", nameless, HostMode::empty())) {
            Ok(fd) => {
                let path = OFlags::PATH | OFlags::CLOEXEC;
                let same = retry(|| rustix::fs::openat(CWD, way_to(fd.as_fd()), path, HostMode::empty()))?;
                let me = self.counted()?;
                let node = Self::new(&self.fs, same, |_| Link::In(me, name.to_owned()))?;
                node.settle(newborn)?;
                retry(|| rustix::fs::linkat(CWD, node.way(), &self.fd, name, AtFlags::SYMLINK_FOLLOW))?;
                (fd, node)
            }
            // Not every file system of the host has files without names.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = retry(|| rustix::fs::openat(&self.fd, name, flags, HostMode::empty()))?;
                (fd, self.born(name, newborn, AtFlags::empty())?)
            }
            Err(error) => return Err(error),
        };
        *node.made.lock() = Some(fd);
        Ok(node)
    }

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
        self.forget_found();
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
        // A virtual user can be called what no user of the host can.
        if [newborn.uid, newborn.gid].contains(&u32::MAX) {
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
