//! What `stat` tells about a node, and how it changes.

use std::time::SystemTime;

use super::MemFs;
use crate::cred::Cred;
use crate::errno::Result;
use crate::fd::Stat;
use crate::vfs::access::{Change, Permissions, SetTime};

pub(super) struct Attributes {
    pub(super) permissions: Permissions,
    pub(super) nlink: u64,
    pub(super) atime: SystemTime,
    pub(super) mtime: SystemTime,
    pub(super) ctime: SystemTime,
}

impl Attributes {
    pub(super) fn new(permissions: Permissions, nlink: u64) -> Self {
        let now = SystemTime::now();
        Self { permissions, nlink, atime: now, mtime: now, ctime: now }
    }

    /// The contents changed.
    pub(super) fn modified(&mut self) {
        self.mtime = SystemTime::now();
        self.ctime = self.mtime;
    }

    /// Whether a read is to be noted: only the first after a change, as `relatime` does it.
    pub(super) fn read_is_news(&self) -> bool {
        self.atime <= self.mtime
    }

    pub(super) fn add_links(&mut self, change: i64) {
        self.nlink = self.nlink.saturating_add_signed(change);
        self.ctime = SystemTime::now();
    }

    pub(super) fn change(&mut self, cred: &Cred, change: Change) -> Result<()> {
        self.permissions = self.permissions.change(cred, change)?;
        let now = SystemTime::now();
        match change {
            Change::Mode(_) => {}
            Change::Owner(None, None) | Change::Times(SetTime::Omit, SetTime::Omit) => return Ok(()),
            Change::Owner(..) => {}
            Change::Times(atime, mtime) => {
                for (time, set) in [(&mut self.atime, atime), (&mut self.mtime, mtime)] {
                    match set {
                        SetTime::Now => *time = now,
                        SetTime::Omit => {}
                        SetTime::At(at) => *time = at,
                    }
                }
            }
        }
        self.ctime = now;
        Ok(())
    }

    pub(super) fn stat(&self, ino: u64, size: u64) -> Stat {
        Stat {
            dev: MemFs::DEV,
            ino,
            mode: self.permissions.mode,
            nlink: self.nlink,
            uid: self.permissions.uid,
            gid: self.permissions.gid,
            rdev: 0,
            size,
            blksize: 4096,
            blocks: size.div_ceil(512),
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }
}
