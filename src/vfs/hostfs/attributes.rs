//! Changing attributes of the host's files.

use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, CWD, Gid as HostGid, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid as HostUid};

use super::HostNode;
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{FileKind, retry};
use crate::vfs::access::{Change, SetTime};
use crate::vfs::node::Node;

impl HostNode {
    /// Changes attributes, as [`Node::change`] says.
    pub(super) fn change_attributes(&self, cred: &Cred, change: Change) -> Result<()> {
        let own = self.permissions()?;
        let changed = own.change(cred, change)?;
        match change {
            Change::Mode(_) if self.kind == FileKind::Symlink => Err(Errno::EOPNOTSUPP),
            Change::Mode(_) => self.set_mode(changed.mode),
            Change::Owner(..) if self.fs.owner.is_some() => {
                if (changed.uid, changed.gid) == (own.uid, own.gid) {
                    Ok(())
                } else {
                    Err(Errno::EPERM)
                }
            }
            Change::Owner(uid, gid) => {
                let (uid, gid) = (uid.map(HostUid::from_raw), gid.map(HostGid::from_raw));
                retry(|| rustix::fs::chownat(&self.fd, "", uid, gid, AtFlags::EMPTY_PATH))
            }
            Change::Times(SetTime::Omit, SetTime::Omit) => Ok(()),
            Change::Times(atime, mtime) => {
                let times = Timestamps { last_access: timespec(atime)?, last_modification: timespec(mtime)? };
                retry(|| rustix::fs::utimensat(CWD, self.way(), &times, AtFlags::empty()))
            }
        }
    }
}

/// # Errors
/// `EINVAL`: too far from the epoch for the host.
fn timespec(time: SetTime) -> Result<Timespec> {
    let at = match time {
        SetTime::Now => return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        SetTime::Omit => return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
        SetTime::At(at) => at,
    };
    let (seconds, nanoseconds) = match at.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).map_err(|_| Errno::EINVAL)?, after.subsec_nanos()),
        // Nanoseconds count forward.
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).map_err(|_| Errno::EINVAL)?;
            match before.subsec_nanos() {
                0 => (-whole, 0),
                nanoseconds => (-whole - 1, 1_000_000_000 - nanoseconds),
            }
        }
    };
    Ok(Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) })
}
