//! What the host can be asked of its files without waiting for a disk or a network.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode as HostMode, ResolveFlags};

use super::{HostNode, PATH};
use crate::errno::{Errno, Result};
use crate::fd::retry;
use crate::wait::nowait;

/// File systems, by the numbers of statfs(2), that have in memory what is asked of a file which is open: those on disks of
/// the host's own. All else, networks and FUSE above all, may ask somebody.
const LOCAL: &[u32] = &[
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // btrfs
    0xf2f5_2010, // F2FS
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // ZFS
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x7371_7368, // SquashFS
    0xe0f5_e1e2, // EROFS
    0x794c_7630, // overlayfs
];

/// The device that `root` is on, if it is a local one.
pub(super) fn device(root: &OwnedFd) -> Result<Option<u64>> {
    let kind = retry(|| rustix::fs::fstatfs(root))?.f_type;
    // The numbers have 32 bits, whatever the field is.
    if !LOCAL.contains(&(kind as u32)) {
        return Ok(None);
    }
    Ok(Some(retry(|| rustix::fs::fstat(root))?.st_dev))
}

/// Opens `name` with `O_PATH`, in a directory of a local file system, and on the same one.
///
/// # Errors
/// `EAGAIN`: the host does not know it without a look, or it is elsewhere, or this host cannot say.
pub(super) fn open_cached(dir: &OwnedFd, name: &OsStr) -> Result<OwnedFd> {
    let resolve = ResolveFlags::CACHED | ResolveFlags::NO_XDEV;
    match retry(|| rustix::fs::openat2(dir, name, PATH, HostMode::empty(), resolve)) {
        // Before Linux 5.12 it knows no such flag, and seccomp(2) may forbid the call.
        Err(Errno::EXDEV | Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => Err(Errno::EAGAIN),
        done => done,
    }
}

impl HostNode {
    /// Before the host is asked something about this file that it has in memory, if the file system is a local one.
    ///
    /// # Errors
    /// `EAGAIN`: it is none, and this is not to wait.
    #[inline]
    pub(super) fn at_hand(&self) -> Result<()> {
        if nowait::asked() && self.fs.local != Some(self.id.0) { Err(Errno::EAGAIN) } else { Ok(()) }
    }
}
