//! The `Node` trait: a file as its file system keeps it, apart from its names.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};

use super::access::{Change, Permissions};
use crate::cred::Cred;
use crate::errno::{Errno, Result};
use crate::fd::{DirEntry, File, FileKind, HostRange, OpenFlags, Stat, fsize};
use crate::id::Mode;

/// Makes the file that an open of a device refers to. The namespace keeps it; nodes only know it, so that none of
/// them, which may go at any moment and under any lock, takes anything of an embedder's with it.
pub(super) type Opener = dyn Fn(OpenFlags) -> Result<Box<dyn File>> + Send + Sync;

/// A file to be made.
pub(super) enum New<'n> {
    Regular,
    Directory,
    /// What it refers to, not empty.
    Symlink(&'n OsStr),
    /// Its number and what opens it.
    Device(u64, Weak<Opener>),
    /// A regular file with contents that the host keeps.
    Shown(Arc<HostRange>),
}

impl New<'_> {
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::Regular | Self::Shown(_) => FileKind::Regular,
            Self::Directory => FileKind::Directory,
            Self::Symlink(_) => FileKind::Symlink,
            Self::Device(..) => FileKind::CharDevice,
        }
    }
}

/// A file of a file system. Methods with a name are those of directories; the name is one component, neither `.` nor
/// `..`, of at most 255 bytes and without NUL. Each checks in one step with what it does that `cred` may do it. Other
/// nodes that are handed in are of the same mount.
///
/// None of them runs an embedder's code, so that they can be called with the current context in hand; what opens a
/// device is handed out instead.
pub(super) trait Node: Any + Send + Sync {
    /// Never changes.
    fn kind(&self) -> FileKind;

    fn stat(&self) -> Result<Stat>;

    fn permissions(&self) -> Result<Permissions>;

    /// The file called `name`.
    ///
    /// # Errors
    /// `EACCES`: no permission to search. `ENOENT`. `ENOTDIR`: this is no directory.
    fn lookup(&self, cred: &Cred, name: &OsStr) -> Result<Arc<dyn Node>> {
        let _ = (cred, name);
        Err(Errno::ENOTDIR)
    }

    /// The directory that this one is in, or was in before it was removed.
    ///
    /// # Errors
    /// `ENOENT`: the root of the file system.
    fn parent(&self) -> Result<Arc<dyn Node>> {
        Err(Errno::ENOENT)
    }

    /// What this directory is called there.
    ///
    /// # Errors
    /// `ENOENT`: it was removed, or is the root of the file system.
    fn name(&self) -> Result<OsString> {
        Err(Errno::ENOENT)
    }

    /// Makes a file; the umask is taken off `mode` already.
    ///
    /// # Errors
    /// `EEXIST`. `EACCES`. `ENOENT`: this directory was removed. `ENOSPC`.
    fn make(&self, cred: &Cred, name: &OsStr, new: New<'_>, mode: Mode) -> Result<Arc<dyn Node>> {
        let _ = (cred, name, new, mode);
        Err(Errno::ENOTDIR)
    }

    /// Gives `target`, which is no directory, one more name.
    ///
    /// # Errors
    /// As `make`.
    fn link(&self, cred: &Cred, name: &OsStr, target: &Arc<dyn Node>) -> Result<()> {
        let _ = (cred, name, target);
        Err(Errno::ENOTDIR)
    }

    /// Takes away the name of a file that is no directory.
    ///
    /// # Errors
    /// `ENOENT`. `EACCES`. `EPERM`: sticky. `EISDIR`.
    fn unlink(&self, cred: &Cred, name: &OsStr) -> Result<()> {
        let _ = (cred, name);
        Err(Errno::ENOTDIR)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOENT`. `EACCES`. `EPERM`: sticky. `ENOTDIR`. `ENOTEMPTY`.
    fn rmdir(&self, cred: &Cred, name: &OsStr) -> Result<()> {
        let _ = (cred, name);
        Err(Errno::ENOTDIR)
    }

    /// Moves what is called `name` here to `to_name` in the directory `to`, in the place of what is there.
    ///
    /// # Errors
    /// As `unlink` and `make`. `EINVAL`: a directory into itself. `ENOTEMPTY`, `ENOTDIR`, `EISDIR`: what is there.
    fn rename(&self, cred: &Cred, name: &OsStr, to: &dyn Node, to_name: &OsStr) -> Result<()> {
        let _ = (cred, name, to, to_name);
        Err(Errno::ENOTDIR)
    }

    /// What a symbolic link refers to.
    ///
    /// # Errors
    /// `EINVAL`: this is none.
    fn readlink(&self) -> Result<OsString> {
        Err(Errno::EINVAL)
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// Those of [`Permissions::change`].
    fn change(&self, cred: &Cred, change: Change) -> Result<()>;

    /// What an open of this file refers to.
    fn open(&self, flags: OpenFlags) -> Result<Opened>;

    /// Lets `bind` make a socket called `name` in this directory of the host, given its descriptor; the umask is taken off
    /// `mode` already.
    ///
    /// # Errors
    /// As `make`, and `EOPNOTSUPP`: it is none of the host. What `bind` says.
    fn bind(
        &self,
        cred: &Cred,
        name: &OsStr,
        mode: Mode,
        bind: &mut dyn FnMut(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<()> {
        let _ = (cred, name, mode, bind);
        Err(Errno::EOPNOTSUPP)
    }

    /// The descriptor that stands for this file, opened with `O_PATH`, if it is one of the host.
    fn host(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes set-ID bits away, since somebody else than root changes the contents by way of the file that was opened.
    fn strip(&self) -> Result<()> {
        Ok(())
    }

    // What follows is what `File` has under the same names, for nodes that are `Opened::Node`. `strip`: set-ID bits go,
    // since somebody else than root changes the contents.

    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        let _ = (buf, at);
        Err(Errno::EISDIR)
    }

    fn write_at(&self, buf: &[u8], at: u64, strip: bool) -> Result<usize> {
        let _ = (buf, at, strip);
        Err(Errno::EISDIR)
    }

    /// What is beyond `limit` is left out.
    ///
    /// # Errors
    /// `EFBIG`: all of it.
    fn append(&self, buf: &[u8], limit: u64, strip: bool) -> Result<(usize, u64)> {
        let _ = (buf, limit, strip);
        Err(Errno::EISDIR)
    }

    fn set_len(&self, len: u64, strip: bool) -> Result<()> {
        let _ = (len, strip);
        Err(if self.kind() == FileKind::Directory { Errno::EISDIR } else { Errno::EINVAL })
    }

    /// `set_len`, which does not make it longer than `limit`.
    ///
    /// # Errors
    /// `EFBIG`: it would.
    fn set_len_within(&self, len: u64, limit: u64, strip: bool) -> Result<()> {
        if len > limit {
            fsize::check(self.stat()?.size, len, limit)?;
        }
        self.set_len(len, strip)
    }

    fn read_dir(&self, at: u64) -> Result<Option<(DirEntry, u64)>> {
        let _ = at;
        Err(Errno::ENOTDIR)
    }
}

/// What an open refers to.
pub(super) enum Opened {
    /// The node itself.
    Node,
    /// A file that was opened for it.
    File(Box<dyn File>),
    /// What this makes.
    Device(Arc<Opener>),
}
